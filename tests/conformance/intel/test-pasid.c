/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: PASIDs of a host device, each bound by its own entry, and RID_PASID.
 * No device of the test VM has PASIDs, so this is for the emulator. A point is a rule.
 */
#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

#include <viommu-emulator/inspect.h>

#include "tap.h"
#include "vtd-machine.h"

enum { PASID = 5, OTHER_DID = 30, THIRD_DID = 31 };
#define ATTACH VFIO_DEVICE_ATTACH_IOMMUFD_PT
#define DETACH VFIO_DEVICE_DETACH_IOMMUFD_PT

typedef struct {
    VtdMachine vm;
    Spy *spy;
    GuestVtdDomain other; /* leads VTDM_IOVA to `page` */
    guint64 page;
} Rig;

static void install(Rig *r, guint32 pasid, const GuestVtdDomain *domain)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_table(words, domain);
    vtdm_install_pasid(&r->vm, VTDM_RID, pasid, words);
}

/* A privileged store, at an address of PASID's table. */
static int store_privileged(Rig *r, guint64 iova)
{
    const ViommuEmulatorAccess access = {
        .iova = iova, .write = TRUE, .has_pasid = TRUE, .pasid = PASID, .privileged = TRUE};
    guint8 byte = 1;

    return viommu_emulator_dma_as(r->vm.emulator, r->vm.bdfs[0], &access, &byte, 1);
}

static void install_nothing(Rig *r, guint32 pasid)
{
    const guint64 words[GUEST_VTD_PASID_WORDS] = {0};

    vtdm_install_pasid(&r->vm, VTDM_RID, pasid, words);
}

static gboolean reaches(Rig *r, guint32 pasid, guint64 page)
{
    return vtdm_pasid_reaches(&r->vm, 0, pasid, VTDM_IOVA, page);
}

static gboolean is_refused(Rig *r, guint32 pasid)
{
    return vtdm_store_as(&r->vm, 0, pasid, VTDM_IOVA) == -EFAULT;
}

static void test_offer(Rig *r)
{
    tap_is(vtdm_ecap(&r->vm, VTDM_ECAP_PASID, 1), 1, "ECAP.PASID, as the host's unit has");
    tap_is(vtdm_ecap(&r->vm, VTDM_ECAP_PSS, 5), 19, "ECAP.PSS: 20 bits, as the unit has");
    tap_is(vtdm_ecap(&r->vm, VTDM_ECAP_RPS, 1), 1, "ECAP.RPS");
}

static void test_bind(Rig *r)
{
    VtdMachine *vm = &r->vm;

    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "requests without a PASID");
    tap_ok(is_refused(r, PASID), "a PASID without an entry is refused");
    spy_reset_counts(r->spy);
    install(r, PASID, &r->other);
    tap_is(spy_count(r->spy, IOMMU_HWPT_ALLOC), 1, "an entry of a PASID is one HWPT");
    tap_is(spy_count(r->spy, ATTACH), 1, "... and one attach");
    tap_ok(reaches(r, PASID, r->page), "... which its DMA follows");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and requests without do not");
    tap_ok(is_refused(r, PASID + 1), "... nor other PASIDs");
    spy_reset_counts(r->spy);
    install(r, PASID, &r->other);
    tap_is(spy_count(r->spy, ATTACH), 0, "an unchanged entry makes no attach");
    spy_reset_counts(r->spy);
    install(r, PASID + 1, &r->other);
    tap_is(spy_count(r->spy, IOMMU_HWPT_ALLOC), 0, "an equal entry shares the HWPT");
    tap_is(spy_count(r->spy, ATTACH), 1, "... by an attach of its own");
    tap_ok(reaches(r, PASID + 1, r->page), "... which DMA follows");
    install(r, PASID, &vm->domain);
    tap_ok(reaches(r, PASID, vm->page) && reaches(r, PASID + 1, r->page),
           "a changed entry changes its own PASID");
    spy_reset_counts(r->spy);
    install_nothing(r, PASID);
    tap_is(spy_count(r->spy, DETACH), 1, "an entry removed is one detach");
    tap_ok(is_refused(r, PASID) && reaches(r, PASID + 1, r->page),
           "... and blocks its own PASID");
    tap_is(vtdm_fault_reason(vm), 0, "... in silence");
}

static void test_pass_through(Rig *r)
{
    VtdMachine *vm = &r->vm;
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_pass_through(words, VTDM_PT_DID, vtdm_aw(vm));
    vtdm_install_pasid(vm, VTDM_RID, PASID, words);
    tap_ok(vtdm_pasid_reaches(vm, 0, PASID, vm->page, vm->page),
           "PGTT 4 of a PASID: DMA meets guest-physical memory");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... of others not");
}

static void test_refused(Rig *r)
{
    VtdMachine *vm = &r->vm;
    guint64 words[GUEST_VTD_PASID_WORDS];
    VtdmFault f = {0};

    vtdm_drain_faults(vm);
    guest_vtd_pasid_table(words, &r->other);
    words[0] = (words[0] & ~GUEST_VTD_PGTT(7)) | GUEST_VTD_PGTT(6);
    vtdm_install_pasid(vm, VTDM_RID, PASID, words);
    tap_ok(is_refused(r, PASID), "a bad entry of a PASID blocks it");
    tap_has(vm->refusal, "PGTT 6", "... refused by its value");
    tap_ok(vtdm_next_fault(vm, &f) && f.reason == VTDM_F_PASID_INVALID &&
               f.rid == VTDM_RID && f.has_pasid && f.pasid == PASID && f.read && !f.address,
           "... with a fault that names the PASID");
    tap_ok(!vtdm_next_fault(vm, &f), "... once");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... requests without go on");
    spy_fail(r->spy, ATTACH, 1, EINVAL, 99);
    install(r, PASID, &r->other);
    spy_fail_none(r->spy);
    tap_ok(is_refused(r, PASID), "an attach that the host refuses blocks it");
    tap_ok(vtdm_next_fault(vm, &f) && f.reason == VTDM_F_FS_TABLE && f.has_pasid &&
               f.pasid == PASID,
           "... with fault 0x73");
    vtdm_flush_pasid(vm, OTHER_DID, PASID);
    tap_ok(reaches(r, PASID, r->page), "... and is tried again");
    vtdm_drain_faults(vm);
}

/* The unit has 20 bits of them, the device 8. */
static void test_beyond(Rig *r)
{
    VtdMachine *vm = &r->vm;
    VtdmFault f = {0};

    install(r, 300, &r->other);
    tap_ok(is_refused(r, 300) && vtdm_reaches(vm, 0, VTDM_IOVA, vm->page),
           "a PASID that the device has not is bound to nothing");
    tap_ok(!vtdm_next_fault(vm, &f) || (f.has_pasid && f.pasid == 300),
           "... and if it is told, by its number");
    spy_reset_counts(r->spy);
    vtdm_flush_pasid(vm, OTHER_DID + 5, 7);
    tap_is(spy_count(r->spy, ATTACH), 0, "... and is not tried for others");
    install_nothing(r, 300);
    vtdm_drain_faults(vm);
}

/* SRE and WPE go to the host. */
static void test_privilege(Rig *r)
{
    enum { SRE = 1, WPE = 1 << 4, SUPERVISOR = 0xa000, READ_ONLY = 0xb000 };
    guint64 words[GUEST_VTD_PASID_WORDS];

    vtdm_store(&r->vm, guest_vtd_entry_at(&r->other, SUPERVISOR, 1),
               r->page | GUEST_FS_P | GUEST_FS_RW);
    vtdm_store(&r->vm, guest_vtd_entry_at(&r->other, READ_ONLY, 1),
               r->page | GUEST_FS_P | GUEST_FS_US);
    install(r, PASID, &r->other);
    tap_is(store_privileged(r, SUPERVISOR), -EFAULT,
           "SRE 0: a privileged store is refused");
    guest_vtd_pasid_table(words, &r->other);
    words[2] |= SRE;
    vtdm_install_pasid(&r->vm, VTDM_RID, PASID, words);
    tap_is(store_privileged(r, SUPERVISOR), 0, "SRE 1: it reaches a supervisor's page");
    tap_is(store_privileged(r, READ_ONLY), 0, "WPE 0: and one that is read-only");
    words[2] |= WPE;
    vtdm_install_pasid(&r->vm, VTDM_RID, PASID, words);
    tap_is(store_privileged(r, READ_ONLY), -EFAULT, "WPE 1: not that one");
    install(r, PASID, &r->other);
}

/* Flushes are by domain ID and PASID. */
static void test_flush(Rig *r)
{
    VtdMachine *vm = &r->vm;
    guint64 third = vtdm_alloc(vm, GUEST_PAGE);

    install(r, PASID, &r->other);
    install(r, PASID + 1, &r->other);
    tap_ok(reaches(r, PASID, r->page) && reaches(r, PASID + 1, r->page),
           "two PASIDs of one domain");
    guest_vtd_map(&r->other, VTDM_IOVA, third, TRUE);
    spy_reset_counts(r->spy);
    vtdm_flush_page(vm, OTHER_DID, PASID + 2, VTDM_IOVA);
    tap_is(r->spy->n_calls, 0, "a flush of a PASID without binding is no host call");
    tap_ok(reaches(r, PASID, r->page), "... and does nothing");
    vtdm_flush_page(vm, VTDM_DID, PASID, VTDM_IOVA);
    tap_ok(reaches(r, PASID, r->page), "nor does one of another domain");
    vtdm_queue(vm, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_PAGE, OTHER_DID, PASID),
               VTDM_IOVA);
    vtdm_queue(vm, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_PAGE, OTHER_DID, PASID + 1),
               VTDM_IOVA);
    vtdm_queue_wait(vm);
    spy_reset_counts(r->spy);
    vtdm_ring(vm);
    tap_is(spy_count(r->spy, IOMMU_HWPT_INVALIDATE), 1,
           "flushes of both, which share an HWPT, are one call");
    tap_ok(reaches(r, PASID, third) && reaches(r, PASID + 1, third), "... done for both");
    guest_vtd_map(&r->other, VTDM_IOVA, r->page, TRUE);
    vtdm_flush_tables(vm, OTHER_DID, PASID);
    vtdm_flush_tables(vm, OTHER_DID, PASID + 1);
}

/* Invalidations that concern many entries. */
static void test_many(Rig *r)
{
    VtdMachine *vm = &r->vm;
    guint64 words[GUEST_VTD_PASID_WORDS], at;

    install(r, PASID, &r->other);
    install(r, PASID + 1, &r->other);
    install(r, 200, &vm->domain);
    vtdm_store(vm, vtdm_pasid_at(vm, VTDM_RID, PASID), 0);
    vtdm_store(vm, vtdm_pasid_at(vm, VTDM_RID, PASID + 1), 0);
    vtdm_store(vm, vtdm_pasid_at(vm, VTDM_RID, 200), 0);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_DOMAIN, OTHER_DID, 0), 0);
    tap_ok(is_refused(r, PASID) && is_refused(r, PASID + 1),
           "PASID-cache by domain: all its PASIDs");
    tap_ok(reaches(r, 200, vm->page), "... and no other's");
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
    tap_ok(is_refused(r, 200), "... global: all");
    guest_vtd_pasid_table(words, &r->other);
    vtdm_put_pasid(vm, VTDM_RID, PASID, words);
    vtdm_put_pasid(vm, VTDM_RID, 200, words);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
    tap_ok(reaches(r, PASID, r->page) && reaches(r, 200, r->page),
           "... and finds those that are new");
    at = vtdm_context_at(vm, VTDM_RID);
    vtdm_store(vm, at, vtdm_load(vm, at) & ~8ull);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(is_refused(r, PASID) && is_refused(r, 200), "PASIDE 0: none is left");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... requests without go on");
    vtdm_store(vm, at, vtdm_load(vm, at) | 8);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(reaches(r, PASID, r->page) && reaches(r, 200, r->page),
           "PASIDE 1: all are back");
    vtdm_command(vm, VTDM_TE, FALSE);
    tap_ok(!reaches(r, PASID, r->page) && vtdm_is_identity(vm, 0),
           "TE 0: no PASID has its table");
    vtdm_command(vm, VTDM_TE, TRUE);
    tap_ok(reaches(r, PASID, r->page) && reaches(r, 200, r->page), "TE 1: all are back");
    install_nothing(r, 200);
}

/* The entry that requests without PASID have. */
static void test_rid_pasid(Rig *r)
{
    VtdMachine *vm = &r->vm;
    guint64 at = vtdm_context_at(vm, VTDM_RID) + 8;
    GuestVtdDomain third;
    guint64 page = vtdm_alloc(vm, GUEST_PAGE);

    guest_vtd_domain_init(&third, &vm->ram, GUEST_VTD_FIRST, 4, THIRD_DID);
    guest_vtd_map(&third, VTDM_IOVA, page, TRUE);
    install(r, PASID, &r->other);
    vtdm_store(vm, at, PASID);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, r->page),
           "RID_PASID 5: requests without have that entry");
    install(r, PASID, &third);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... and its changes");
    guest_vtd_map(&third, VTDM_IOVA, r->page, TRUE);
    vtdm_flush_page(vm, THIRD_DID, PASID, VTDM_IOVA);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, r->page), "... and its flushes");
    install_nothing(r, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, r->page), "... and not those of PASID 0");
    vtdm_store(vm, at, 0);
    vtdm_flush_context(vm, VTDM_RID, 0);
    install(r, 0, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "RID_PASID 0 again");
    tap_ok(reaches(r, PASID, r->page), "... and PASID 5 has its own");
    vtdm_drain_faults(vm);
    vtdm_store(vm, at, 0xfffff);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(vtdm_is_blocked(vm, 0) && vtdm_fault_reason(vm) == VTDM_F_RID_PASID_RANGE,
           "RID_PASID beyond the directory: requests without a PASID are blocked");
    tap_ok(reaches(r, PASID, r->page), "... and those with one not");
    vtdm_store(vm, at, 0);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... until it is in range again");
}

/* What is looked through for entries that are new: no more than the device can have. */
static void test_cost(Rig *r)
{
    enum { ENTRIES = 16384, N = 100 };
    VtdMachine *vm = &r->vm;
    guint64 at = vtdm_context_at(vm, VTDM_RID), word = vtdm_load(vm, at);
    guint64 directory = vtdm_alloc(vm, ENTRIES * 8), table = vtdm_alloc(vm, GUEST_PAGE);

    vtdm_store(vm, directory, vtdm_load(vm, word & ~0xfffull));
    for (guint i = 1; i < ENTRIES; i++)
        vtdm_store(vm, directory + 8 * i, table | 1);
    vtdm_store(vm, at, directory | 7 << 9 | (word & 0x1ff));
    vtdm_flush_context(vm, VTDM_RID, 0);
    vm->counted = table;
    vm->n_reads = 0;
    for (guint i = 0; i < N; i++)
        vtdm_queue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_DOMAIN, 77, 0), 0);
    vtdm_ring(vm);
    tap_ok(vm->n_reads < 10,
           "%d PASID-cache invalidations by domain, and a directory of %d tables: %u read", N,
           ENTRIES, vm->n_reads);
    vm->counted = 0;
    vtdm_store(vm, at, word);
    vtdm_flush_context(vm, VTDM_RID, 0);
}

static void test_end(Rig *r)
{
    VtdMachine *vm = &r->vm;

    viommu_vtd_block(vm->vtd, NULL);
    tap_ok(is_refused(r, PASID) && vtdm_is_blocked(vm, 0), "a block is for PASIDs, too");
    viommu_vtd_release(vm->vtd, NULL);
    tap_ok(!reaches(r, PASID, r->page), "... and so is the release");
    vtdm_start(vm, VTDM_SCALABLE);
    tap_ok(reaches(r, PASID, r->page), "the tables that are there serve again");
    viommu_vtd_detach_device(vm->vtd, vm->devices[0]);
    tap_ok(is_refused(r, PASID), "detached: no PASID reaches anything");
    tap_ok(viommu_vtd_attach_device(vm->vtd, vm->devices[0], VTDM_RID, 0, NULL),
           "attached again");
    tap_ok(reaches(r, PASID, r->page), "... its PASIDs are bound at once");
}

static void make_target(Target *target)
{
    const ViommuEmulatorDeviceConfig device = {
        .iommu_group = -1, .pasid_bits = 8, .pasid_privileged = TRUE};
    ViommuEmulatorVtdConfig unit;

    viommu_emulator_vtd_defaults(&unit);
    target_init_vtd(target, &unit, 1, &device, 1);
}

int main(int argc, char **argv)
{
    Target target;
    Rig r = {0};

    if (argc > 1 && g_str_equal(argv[1], "--device"))
        return tap_skip_all("the device has no PASIDs (edu never has)");
    make_target(&target);
    if (tap_ok(vtdm_init(&r.vm, &target, target.first, NULL), "a device with PASIDs")) {
        r.spy = &target.spy;
        r.page = vtdm_alloc(&r.vm, GUEST_PAGE);
        guest_vtd_domain_init(&r.other, &r.vm.ram, GUEST_VTD_FIRST, 4, OTHER_DID);
        guest_vtd_map(&r.other, VTDM_IOVA, r.page, TRUE);
        test_offer(&r);
        vtdm_start(&r.vm, VTDM_SCALABLE);
        test_bind(&r);
        test_pass_through(&r);
        test_refused(&r);
        test_privilege(&r);
        test_beyond(&r);
        test_flush(&r);
        test_many(&r);
        test_rid_pasid(&r);
        test_cost(&r);
        test_end(&r);
        vtdm_clear(&r.vm);
    }
    target_clear(&target);
    return tap_done();
}
