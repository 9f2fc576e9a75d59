/* SPDX-License-Identifier: MIT */
/*
 * The whole device: what it makes the host do. Counts of host calls, and where DMA goes
 * when the host refuses, when devices come late, go, and are renumbered. A point is a rule.
 */
#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "tap.h"
#include "vmachine.h"

enum { ABORT = 0, BYPASS = 4, OTHER_SID = 0x31 };

static void test_calls(VMachine *vm, Spy *spy)
{
    vm_install_config(vm, VM_SID, ABORT);
    spy_reset_counts(spy);
    vm_install_s1(vm, VM_SID, &vm->domain);
    tap_is(spy_count(spy, IOMMU_HWPT_ALLOC), 1, "a new stage-1 entry is one HWPT");
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 1, "... and one attach");
    tap_ok(spy->n_calls <= 3, "... and little else");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... which DMA follows");
    spy_reset_counts(spy);
    vm_cfgi_ste(vm, VM_SID);
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 0,
           "an unchanged entry makes no attach");
    tap_is(spy_count(spy, IOMMU_HWPT_ALLOC), 0, "... and no HWPT");
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 1, "... but one CFGI_CD_ALL");
    spy_reset_counts(spy);
    vm_issue(vm, VM_CFGI_STE_RANGE | (guint64)VM_SID << 32, 3);
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 1, "... CFGI_STE_RANGE likewise");
    spy_reset_counts(spy);
    vm_issue(vm, VM_CFGI_STE_RANGE, 31);
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 0, "... CFGI_ALL likewise");
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 1, "... by one call");
    spy_reset_counts(spy);
    vm_cfgi_ste(vm, 0x1f0);
    tap_is(spy->n_calls, 0, "a stream without a host device is no host call");
    vm_issue(vm, VM_CFGI_STE_RANGE | 0x180ull << 32, 6);
    tap_is(spy->n_calls, 0, "... nor is a range of them");
    vm_issue(vm, VM_CFGI_CD | 0x1f0ull << 32, 1);
    tap_is(spy->n_calls, 0, "... nor their CDs");
    spy_reset_counts(spy);
    vm_install_config(vm, VM_SID, BYPASS);
    tap_is(spy_count(spy, IOMMU_HWPT_ALLOC), 0, "bypass needs no HWPT of its own");
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 1, "... but one attach");
    spy_reset_counts(spy);
    vm_install_config(vm, VM_SID, ABORT);
    tap_is(spy_count(spy, IOMMU_HWPT_ALLOC), 0, "abort needs none either");
    spy_reset_counts(spy);
    vm_install_config(vm, VM_SID, ABORT);
    tap_is(spy->n_calls, 0, "abort after abort is no host call");
}

static void test_batches(VMachine *vm, Spy *spy)
{
    guint64 pages[2] = {vm_alloc(vm, GUEST_PAGE), vm_alloc(vm, GUEST_PAGE)};

    vm_install_s1(vm, VM_SID, &vm->domain);
    spy_reset_counts(spy);
    for (guint i = 0; i < 200; i++)
        vm_queue(vm, VM_TLBI_NH_VA | (guint64)VM_ASID << 48, (guint64)i << 12);
    vm_queue(vm, VM_SYNC, 0);
    vm_ring(vm);
    tap_ok(spy_count(spy, IOMMU_HWPT_INVALIDATE) >= 1 &&
               spy_count(spy, IOMMU_HWPT_INVALIDATE) <= 2,
           "200 TLBIs are two host calls at most");
    spy_reset_counts(spy);
    vm_queue(vm, VM_SYNC, 0);
    vm_queue(vm, VM_PREFETCH_CONFIG | (guint64)VM_SID << 32, 0);
    vm_ring(vm);
    tap_is(spy->n_calls, 0, "SYNC and PREFETCH are none");
    vm_reaches(vm, 0, VM_IOVA, vm->page);
    guest_domain_map(&vm->domain, VM_IOVA, pages[0], TRUE);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "a changed page is stale");
    vm_tlbi_va(vm, VM_ASID, VM_IOVA);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, pages[0]), "TLBI_NH_VA: DMA follows the new page");
    guest_domain_map(&vm->domain, VM_IOVA, pages[1], TRUE);
    vm_issue(vm, VM_TLBI_NH_VAA, VM_IOVA);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, pages[1]), "TLBI_NH_VAA: DMA follows the new page");
    guest_domain_map(&vm->domain, VM_IOVA, pages[0], TRUE);
    vm_issue(vm, VM_TLBI_NH_ASID | (guint64)VM_ASID << 48, 0);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, pages[0]), "TLBI_NH_ASID: DMA follows the new page");
    guest_domain_map(&vm->domain, VM_IOVA, pages[1], TRUE);
    vm_issue(vm, VM_TLBI_NH_ALL, 0);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, pages[1]), "TLBI_NH_ALL: DMA follows the new page");
    guest_domain_map(&vm->domain, VM_IOVA, vm->page, TRUE);
    vm_tlbi_all(vm);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "TLBI_NSNH_ALL: DMA follows the new page");
}

/* Range invalidation (4.4.1.1): NUM, SCALE, TG. */
static void test_ril(VMachine *vm)
{
    guint64 page = vm_alloc(vm, GUEST_PAGE);
    guint64 range = 1ull << 12 /* NUM 1: two of 2^SCALE pages */ | 1ull << 20;

    if (!(vm_get(vm, VM_IDR3) >> 10 & 1)) {
        tap_skip("no RIL", "a range invalidates all of it");
        return;
    }
    guest_domain_map(&vm->domain, VM_IOVA + 0x3000, vm->page, TRUE);
    vm_reaches(vm, 0, VM_IOVA + 0x3000, vm->page);
    guest_domain_map(&vm->domain, VM_IOVA + 0x3000, page, TRUE);
    vm_issue(vm, VM_TLBI_NH_VA | (guint64)VM_ASID << 48 | range, VM_IOVA | 1 << 10);
    tap_ok(vm_reaches(vm, 0, VM_IOVA + 0x3000, page), "a range invalidates all of it");
    guest_domain_unmap(&vm->domain, VM_IOVA + 0x3000);
    vm_tlbi_all(vm);
}

static void test_cd(VMachine *vm)
{
    GuestDomain other;
    guint64 page = vm_alloc(vm, GUEST_PAGE), root = vm->domain.root;

    guest_domain_init(&other, &vm->ram, VM_ASID + 1);
    guest_domain_map(&other, VM_IOVA, page, TRUE);
    vm_reaches(vm, 0, VM_IOVA, vm->page);
    guest_domain_set_root(&vm->domain, other.root);
    vm_queue(vm, VM_CFGI_CD | (guint64)VM_SID << 32, 1);
    vm_issue(vm, VM_TLBI_NH_ASID | (guint64)VM_ASID << 48, 0);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, page), "CFGI_CD: DMA follows the new descriptor");
    guest_domain_set_root(&vm->domain, root);
    vm_queue(vm, VM_CFGI_CD_ALL | (guint64)VM_SID << 32, 0);
    vm_issue(vm, VM_TLBI_NH_ASID | (guint64)VM_ASID << 48, 0);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "CFGI_CD_ALL: DMA follows it back");
    guest_domain_set_root(&vm->domain, other.root);
    vm_queue(vm, VM_CFGI_STE | (guint64)VM_SID << 32, 1);
    vm_issue(vm, VM_TLBI_NH_ASID | (guint64)VM_ASID << 48, 0);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, page), "CFGI_STE of an equal entry: the CD is read");
    guest_domain_set_root(&vm->domain, root);
    vm_queue(vm, VM_CFGI_STE_RANGE, 31);
    vm_issue(vm, VM_TLBI_NH_ASID | (guint64)VM_ASID << 48, 0);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "CFGI_ALL likewise");
    vm_install_s1(vm, VM_SID, &other);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, page), "another entry: DMA follows its tables");
    vm_install_s1(vm, VM_SID, &vm->domain);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... and back");
}

/* Never on the old table, and the guest is told. */
static void test_refused(VMachine *vm, Spy *spy)
{
    GuestDomain other;
    guint64 page = vm_alloc(vm, GUEST_PAGE);

    guest_domain_init(&other, &vm->ram, VM_ASID + 2);
    guest_domain_map(&other, VM_IOVA, page, TRUE);
    vm_install_s1(vm, VM_SID, &vm->domain);
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EINVAL, 1);
    vm_install_s1(vm, VM_SID, &other);
    spy_fail_none(spy);
    tap_ok(vm_is_blocked(vm, 0), "an attach that fails leaves the stream aborting");
    vm_acknowledge(vm);
    vm_cfgi_ste(vm, VM_SID);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, page), "... and the next CFGI_STE tries again");
    spy_fail(spy, IOMMU_HWPT_ALLOC, 1, EIO, 1);
    vm_install_s1(vm, VM_SID, &vm->domain);
    spy_fail_none(spy);
    tap_ok(vm_is_blocked(vm, 0), "an entry that the host calls bad aborts");
    vm_acknowledge(vm);
    spy_fail(spy, IOMMU_HWPT_ALLOC, 1, ENOMEM, 2);
    vm_cfgi_ste(vm, VM_SID);
    spy_fail_none(spy);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "a moment without memory is ridden out");
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EBUSY, 99);
    vm_install_s1(vm, VM_SID, &other);
    tap_ok(vm_is_blocked(vm, 0), "while a device is being reset it aborts");
    spy_fail_none(spy);
    vm_acknowledge(vm);
    vm_tlbi_all(vm);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, page),
           "... and the guest's next command makes the change");
    vm_install_s1(vm, VM_SID, &vm->domain);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "all is well again");
    vm_tlbi_all(vm);
}

static void test_smmuen(VMachine *vm, Spy *spy)
{
    vm_install_s1(vm, VM_SID, &vm->domain);
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN | VM_CR0_EVENTQEN);
    tap_ok(vm_is_bypassed(vm, 0), "SMMUEN off: as GBPA says");
    spy_reset_counts(spy);
    vm_cfgi_ste(vm, VM_SID);
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 0,
           "a CFGI_STE meanwhile attaches nothing");
    tap_ok(vm_is_bypassed(vm, 0), "... and changes nothing");
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "SMMUEN on: streams have their entries");
    vm_set(vm, VM_GBPA, vm_get(vm, VM_GBPA) | VM_GBPA_ABORT | VM_GBPA_UPDATE);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... whatever GBPA says");
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN | VM_CR0_EVENTQEN);
    tap_ok(vm_is_blocked(vm, 0), "SMMUEN off with GBPA.ABORT: blocked");
    vm_set(vm, VM_GBPA, (vm_get(vm, VM_GBPA) & ~VM_GBPA_ABORT) | VM_GBPA_UPDATE);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
}

/* Devices come late, go, and are renumbered. */
static void test_hot_plug(VMachine *vm)
{
    g_autoptr(GError) error = NULL;

    vm_install_s1(vm, VM_SID, &vm->domain);
    viommu_smmuv3_detach_device(vm->smmu, vm->devices[0]);
    tap_ok(vm_is_blocked(vm, 0), "a device that was detached reaches nothing");
    tap_ok(viommu_smmuv3_attach_device(vm->smmu, vm->devices[0], VM_SID, &error),
           "attached late");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... it has its stream's entry at once");
    viommu_smmuv3_detach_device(vm->smmu, vm->devices[0]);
    vm_install_config(vm, VM_SID, BYPASS);
    viommu_smmuv3_attach_device(vm->smmu, vm->devices[0], VM_SID, NULL);
    tap_ok(vm_is_bypassed(vm, 0), "... whatever that is now");
    viommu_smmuv3_detach_device(vm->smmu, vm->devices[0]);
    vm_install_config(vm, VM_SID, ABORT);
    viommu_smmuv3_attach_device(vm->smmu, vm->devices[0], VM_SID, NULL);
    tap_ok(vm_is_blocked(vm, 0), "... abort too");
    vm_install_s1(vm, VM_SID, &vm->domain);
    tap_ok(viommu_smmuv3_set_stream_id(vm->smmu, vm->devices[0], VIOMMU_SMMUV3_SID_UNKNOWN,
                                       NULL),
           "a StreamID becomes unknown");
    tap_ok(vm_is_blocked(vm, 0), "... and the device aborts");
    vm_cfgi_ste(vm, VM_SID);
    tap_ok(vm_is_blocked(vm, 0), "... whatever its old stream is told");
    vm_install_config(vm, OTHER_SID, BYPASS);
    tap_ok(viommu_smmuv3_set_stream_id(vm->smmu, vm->devices[0], OTHER_SID, NULL),
           "another number");
    tap_ok(vm_is_bypassed(vm, 0), "... has that stream's entry at once");
    vm_install_s1(vm, OTHER_SID, &vm->domain);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... and follows its commands");
    viommu_smmuv3_set_stream_id(vm->smmu, vm->devices[0], VM_SID, NULL);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "back under the first");
    tap_ok(!viommu_smmuv3_set_stream_id(vm->smmu, vm->devices[0], 0x10000, &error),
           "a StreamID beyond SIDSIZE is refused");
    tap_has(error ? error->message : NULL, "0x10000", "... by its value");
    tap_ok(vm_is_blocked(vm, 0), "... and the device aborts");
    viommu_smmuv3_set_stream_id(vm->smmu, vm->devices[0], VM_SID, NULL);
    viommu_smmuv3_detach_device(vm->smmu, vm->devices[0]);
    tap_ok(viommu_smmuv3_attach_device(vm->smmu, vm->devices[0], VIOMMU_SMMUV3_SID_UNKNOWN,
                                       NULL),
           "attached before its number is known");
    tap_ok(vm_is_blocked(vm, 0), "... it aborts");
    viommu_smmuv3_set_stream_id(vm->smmu, vm->devices[0], VM_SID, NULL);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... until it is");
}

static void test_two_devices(const Target *target, Spy *spy)
{
    GuestDomain other;
    guint64 page;
    VMachine vm;

    if (!target->bdfs[1]) {
        tap_skip("one device", "two devices");
        return;
    }
    if (!tap_ok(vm_init(&vm, target, target->bdfs, NULL), "two devices"))
        return;
    page = vm_alloc(&vm, GUEST_PAGE);
    guest_domain_init(&other, &vm.ram, VM_ASID + 1);
    guest_domain_map(&other, VM_IOVA, page, TRUE);
    vm_start(&vm, VM_TWO_LEVEL, VM_CR0_ALL);
    spy_reset_counts(spy);
    vm_install_s1(&vm, VM_SID, &vm.domain);
    vm_install_s1(&vm, VM_SID + 1, &vm.domain);
    tap_is(spy_count(spy, IOMMU_HWPT_ALLOC), 1, "equal entries share one HWPT");
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, vm.page) && vm_reaches(&vm, 1, VM_IOVA, vm.page),
           "... which both devices follow");
    spy_reset_counts(spy);
    vm_tlbi_va(&vm, VM_ASID, VM_IOVA);
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 1, "a TLBI is one call for both");
    vm_install_s1(&vm, VM_SID + 1, &other);
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, vm.page) && vm_reaches(&vm, 1, VM_IOVA, page),
           "different entries lead different ways");
    spy_reset_counts(spy);
    vm_issue(&vm, VM_CFGI_STE_RANGE, 31);
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 1,
           "CFGI_ALL of unchanged entries is one call for both");
    vm_install_config(&vm, VM_SID + 1, ABORT);
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, vm.page) && vm_is_blocked(&vm, 1),
           "abort of one leaves the other");
    viommu_smmuv3_detach_device(vm.smmu, vm.devices[1]);
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, vm.page), "... as does its going");
    tap_ok(!viommu_smmuv3_attach_device(vm.smmu, vm.devices[1], VM_SID, NULL),
           "a StreamID is one device's");
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, vm.page), "... and it keeps it");
    vm_clear(&vm);
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 2))
        return 2;
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine")) {
        vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
        test_calls(&vm, &target.spy);
        test_batches(&vm, &target.spy);
        test_ril(&vm);
        test_cd(&vm);
        test_refused(&vm, &target.spy);
        test_smmuen(&vm, &target.spy);
        test_hot_plug(&vm);
        vm_clear(&vm);
    }
    test_two_devices(&target, &target.spy);
    target_clear(&target);
    return tap_done();
}
