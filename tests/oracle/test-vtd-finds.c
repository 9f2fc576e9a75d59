/* SPDX-License-Identifier: MIT */
/*
 * What the oracle of a whole guest VT-d unit has found in the library, and what it could
 * have, each as short as it can be told.
 */
#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

#include <viommu-emulator/inspect.h>

#include "tap.h"
#include "vtd-machine.h"

#define ICC (1ull << 63)
enum { OTHER_RID = VTDM_RID + 8, OTHER_DID = VTDM_DID + 1, PASID = 1 };

typedef struct {
    Target target;
    VtdMachine vm;
    GuestVtdDomain other; /* another first stage, empty */
} Find;

/* Devices of one unit with PASIDs, all in this IOMMU group, or -1: each in its own. */
static gboolean find_init(Find *f, guint n_devices, int group)
{
    ViommuEmulatorDeviceConfig devices[VTDM_DEVICES];
    ViommuEmulatorVtdConfig unit;

    viommu_emulator_vtd_defaults(&unit);
    for (guint i = 0; i < n_devices; i++)
        devices[i] = (ViommuEmulatorDeviceConfig){.iommu_group = group, .pasid_bits = 8};
    target_init_vtd(&f->target, &unit, 1, devices, n_devices);
    if (!vtdm_init(&f->vm, &f->target, f->target.bdfs, NULL)) {
        tap_ok(FALSE, "a machine");
        target_clear(&f->target);
        return FALSE;
    }
    guest_vtd_domain_init(&f->other, &f->vm.ram, GUEST_VTD_FIRST, 4, OTHER_DID);
    return TRUE;
}

static void find_clear(Find *f)
{
    vtdm_clear(&f->vm);
    target_clear(&f->target);
}

static void fail_always(Find *f, unsigned long call, guint from)
{
    viommu_emulator_fail_call(f->target.emulator, call, from, EIO, TRUE);
}

static void fail_none(Find *f)
{
    viommu_emulator_fail_call(f->target.emulator, VIOMMU_EMULATOR_CALL_ANY, 1, 0, FALSE);
    spy_fail_none(&f->target.spy);
}

/* Requests without PASID go by PASID 1, and there is an entry for PASID 0. */
static void set_rid_pasid(VtdMachine *vm)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_table(words, &vm->domain);
    vtdm_put_pasid(vm, VTDM_RID, 0, words);
    vtdm_put_pasid(vm, VTDM_RID, PASID, words);
    vtdm_install_context(vm, VTDM_RID, vtdm_load(vm, vtdm_context_at(vm, VTDM_RID)), PASID);
}

static gboolean is_restored(VtdMachine *vm)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) state = viommu_vtd_save(vm->vtd, &error);
    gboolean ok = state && viommu_vtd_restore(vm->vtd, state, &error);

    if (error)
        tap_note("%s", error->message);
    return ok;
}

/*
 * PASID 0 cannot be attached on the host, which has it for requests without PASID. A guest
 * with RID_PASID 1 may have it all the same.
 */
static void test_pasid_0(void)
{
    g_autoptr(GError) error = NULL;
    gboolean blocked;
    Find f;

    if (!find_init(&f, 1, -1))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    set_rid_pasid(&f.vm);
    tap_ok(vtdm_reaches(&f.vm, 0, VTDM_IOVA, f.vm.page), "RID_PASID 1 is followed");
    blocked = viommu_vtd_block(f.vm.vtd, &error);
    tap_ok(blocked,
           "... with an entry for PASID 0 too, the unit is blocked without an error");
    tap_ok(vtdm_is_blocked(&f.vm, 0), "... and the device is blocked");
    find_clear(&f);
    if (!find_init(&f, 1, -1))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    set_rid_pasid(&f.vm);
    tap_ok(is_restored(&f.vm), "... and saved and restored");
    find_clear(&f);
}

/* PASIDs of devices that share a group are refused, and the guest is told. */
static void test_restore_refused(void)
{
    guint64 words[GUEST_VTD_PASID_WORDS];
    Find f;

    if (!find_init(&f, 2, 5))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    vtdm_install(&f.vm, VTDM_RID, &f.vm.domain);
    guest_vtd_pasid_table(words, &f.other);
    vtdm_install_pasid(&f.vm, VTDM_RID, PASID, words);
    tap_ok(vtdm_fault_reason(&f.vm), "a PASID that is refused is told of");
    tap_ok(is_restored(&f.vm), "... and does not keep the unit from being restored");
    find_clear(&f);
}

static void test_legacy_pass_through(void)
{
    Find f;

    if (!find_init(&f, 1, -1))
        return;
    vtdm_start(&f.vm, VTDM_LEGACY);
    fail_always(&f, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1);
    vtdm_install_pass_through(&f.vm, VTDM_RID);
    fail_none(&f);
    tap_ok(vtdm_is_blocked(&f.vm, 0), "legacy pass-through that the host refuses blocks");
    tap_ok(vtdm_fault_reason(&f.vm), "... and the guest is told");
    find_clear(&f);
}

/* Requester IDs of the faults that wait: bit n is that of device n. */
static guint take_faults(VtdMachine *vm)
{
    VtdmFault fault;
    guint rids = 0;

    while (vtdm_next_fault(vm, &fault))
        rids |= 1u << (fault.rid - VTDM_RID) / 8;
    return rids;
}

/*
 * The tables of one device are given to another under a domain ID of its own: what is
 * cached of them is to be flushed, and when that fails all are attached anew.
 */
static void test_join(void)
{
    ViommuVtdConfig config = {.pasid_bits = -1, .fault_records = 4};
    guint64 words[GUEST_VTD_PASID_WORDS];
    guint told;
    Find f;

    if (!find_init(&f, 2, -1))
        return;
    vtdm_clear(&f.vm);
    if (!vtdm_init(&f.vm, &f.target, f.target.bdfs, &config))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    vtdm_install(&f.vm, VTDM_RID, &f.vm.domain);
    vtdm_install_pass_through(&f.vm, OTHER_RID);
    f.vm.domain.did = OTHER_DID;
    guest_vtd_pasid_table(words, &f.vm.domain);
    vtdm_put_pasid(&f.vm, OTHER_RID, 0, words);
    spy_fail(&f.target.spy, IOMMU_HWPT_INVALIDATE, 1, EIO, 8);
    fail_always(&f, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 2);
    vtdm_flush_pasid(&f.vm, VTDM_PT_DID, 0);
    fail_none(&f);
    told = take_faults(&f.vm);
    tap_ok(vtdm_is_blocked(&f.vm, 0) && (told & 1),
           "one who cannot be attached anew is blocked, and told of");
    tap_ok(!vtdm_is_blocked(&f.vm, 1) || (told & 2), "... and so is the newcomer");
    find_clear(&f);
}

/* Nothing may be told complete while a device is not even blocked. */
static void test_at_large(void)
{
    Find f;
    gboolean ended;
    guint at;

    if (!find_init(&f, 1, -1))
        return;
    vtdm_start(&f.vm, VTDM_LEGACY);
    vtdm_install_pass_through(&f.vm, VTDM_RID);
    vtdm_put_context(&f.vm, VTDM_RID, 0, 0);
    fail_always(&f, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1);
    tap_ok(!vtdm_flush_context(&f.vm, VTDM_RID, VTDM_PT_DID) &&
               (vtdm_get(&f.vm, VTDM_FSTS) & VTDM_ITE),
           "a device that is not blocked: a descriptor is not complete");
    vtdm_set(&f.vm, VTDM_FSTS, VTDM_ITE);
    vtdm_command(&f.vm, VTDM_QIE, FALSE);
    vtdm_set64(&f.vm, VTDM_CCMD, ICC | 3ull << 61 | (guint64)VTDM_RID << 16 | VTDM_PT_DID);
    ended = !(vtdm_get64(&f.vm, VTDM_CCMD) & ICC);
    tap_ok(!ended || vtdm_is_blocked(&f.vm, 0), "... nor is an invalidation by registers");
    at = 16 * vtdm_ecap(&f.vm, VTDM_ECAP_IRO, 10) + 8;
    vtdm_set64(&f.vm, at, ICC | 1ull << 60);
    tap_ok(!!(vtdm_get64(&f.vm, at) & ICC), "... nor that of the IOTLB");
    fail_none(&f);
    tap_ok(!(vtdm_get64(&f.vm, at) & ICC) && !(vtdm_get64(&f.vm, VTDM_CCMD) & ICC) &&
               vtdm_is_blocked(&f.vm, 0),
           "... until the read for which it is blocked");
    find_clear(&f);
}

static void test_enable_at_large(void)
{
    Find f;

    if (!find_init(&f, 1, -1))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    vtdm_install(&f.vm, VTDM_RID, &f.vm.domain);
    vtdm_command(&f.vm, VTDM_TE, FALSE);
    tap_ok(vtdm_is_identity(&f.vm, 0), "translation off: pass-through");
    fail_always(&f, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1);
    spy_fail(&f.target.spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EIO, 100);
    tap_ok(!vtdm_command(&f.vm, VTDM_TE, TRUE) && vtdm_is_identity(&f.vm, 0),
           "... translation that does not reach a device is not told to be on");
    fail_none(&f);
    tap_ok((vtdm_get(&f.vm, VTDM_GSTS) & VTDM_TE) &&
               vtdm_reaches(&f.vm, 0, VTDM_IOVA, f.vm.page),
           "... and is with the first read for which it does");
    fail_always(&f, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1);
    spy_fail(&f.target.spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EIO, 100);
    tap_ok(!vtdm_command(&f.vm, VTDM_TE, FALSE), "... nor that it is off");
    fail_none(&f);
    tap_ok(!(vtdm_get(&f.vm, VTDM_GSTS) & VTDM_TE) && vtdm_is_identity(&f.vm, 0),
           "... and is then");
    find_clear(&f);
}

/* Who comes to the tables of such a device shares what the host has cached of them. */
static void test_join_at_large(void)
{
    guint64 page, words[GUEST_VTD_PASID_WORDS] = {0};
    Find f;

    if (!find_init(&f, 2, -1))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    vtdm_install(&f.vm, VTDM_RID, &f.vm.domain);
    vtdm_install_pass_through(&f.vm, OTHER_RID);
    tap_ok(vtdm_reaches(&f.vm, 0, VTDM_IOVA, f.vm.page), "one device caches a page");
    page = vtdm_alloc(&f.vm, GUEST_PAGE);
    guest_vtd_map(&f.vm.domain, VTDM_IOVA, page, TRUE);
    vtdm_put_pasid(&f.vm, VTDM_RID, 0, words);
    f.vm.domain.did = OTHER_DID;
    guest_vtd_pasid_table(words, &f.vm.domain);
    vtdm_put_pasid(&f.vm, OTHER_RID, 0, words);
    fail_always(&f, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1);
    vtdm_flush_pasid(&f.vm, VTDM_DID, 0);
    vtdm_set(&f.vm, VTDM_FSTS, VTDM_ITE);
    vtdm_flush_pasid(&f.vm, VTDM_PT_DID, 0);
    fail_none(&f);
    tap_ok(!vtdm_reaches(&f.vm, 1, VTDM_IOVA, f.vm.page),
           "... and is not blocked; another that comes to its tables does not see that");
    find_clear(&f);
}

/*
 * One of a group is refused, as the other has different tables; then the other gets the
 * same, and the group is attached. The first is bound then, too, and under its own domain
 * ID.
 */
static void test_group(void)
{
    Find f;

    if (!find_init(&f, 2, 5))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    vtdm_install(&f.vm, VTDM_RID, &f.vm.domain);
    vtdm_install(&f.vm, OTHER_RID, &f.other);
    tap_ok(vtdm_is_blocked(&f.vm, 0) && vtdm_is_blocked(&f.vm, 1),
           "members of a group with different tables are blocked");
    guest_vtd_map(&f.other, VTDM_IOVA, f.vm.page, TRUE);
    f.other.did = VTDM_DID;
    vtdm_install(&f.vm, VTDM_ENDPOINT, &f.other);
    viommu_vtd_set_requester_id(f.vm.vtd, f.vm.devices[0], VTDM_ENDPOINT, NULL);
    tap_ok(vtdm_reaches(&f.vm, 1, VTDM_IOVA, f.vm.page),
           "... and reach memory when they have the same");
    guest_vtd_unmap(&f.other, VTDM_IOVA);
    vtdm_flush_tables(&f.vm, OTHER_DID, 0);
    tap_ok(vtdm_is_refused(&f.vm, 1, VTDM_IOVA),
           "... which is flushed for either's domain ID");
    find_clear(&f);
}

/* Renumbered while it cannot be detached, a PASID must not stay where it was. */
static void test_renumber(void)
{
    guint64 words[GUEST_VTD_PASID_WORDS];
    Find f;

    if (!find_init(&f, 1, -1))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    vtdm_install(&f.vm, VTDM_RID, &f.vm.domain);
    guest_vtd_map(&f.other, VTDM_IOVA, f.vm.page, TRUE);
    guest_vtd_pasid_table(words, &f.other);
    vtdm_install_pasid(&f.vm, VTDM_RID, PASID, words);
    tap_ok(vtdm_pasid_reaches(&f.vm, 0, PASID, VTDM_IOVA, f.vm.page), "a PASID is bound");
    spy_fail(&f.target.spy, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, EIO, G_MAXUINT);
    tap_ok(!viommu_vtd_set_requester_id(f.vm.vtd, f.vm.devices[0], OTHER_RID, NULL),
           "... the device gets another ID, and cannot be detached: the VMM is told");
    tap_ok(!vtdm_flush_all(&f.vm), "... nothing is told complete");
    fail_none(&f);
    vtdm_clear_queue_errors(&f.vm);
    tap_ok(vtdm_flush_all(&f.vm) &&
               !vtdm_pasid_reaches(&f.vm, 0, PASID, VTDM_IOVA, f.vm.page),
           "... before the PASID is off the old ID's tables");
    find_clear(&f);
}

/* A status that is polled for may bring a fault, and its event. */
static void test_event_of_read(void)
{
    guint64 words[GUEST_VTD_PASID_WORDS];
    Find f;

    if (!find_init(&f, 1, -1))
        return;
    vtdm_start(&f.vm, VTDM_SCALABLE);
    vtdm_install(&f.vm, VTDM_RID, &f.vm.domain);
    vtdm_command(&f.vm, VTDM_TE, FALSE);
    guest_vtd_pasid_table(words, &f.vm.domain);
    words[0] |= 7 << 6; /* PGTT: none */
    vtdm_put_pasid(&f.vm, VTDM_RID, 0, words);
    spy_fail(&f.target.spy, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, EIO, G_MAXUINT);
    vtdm_command(&f.vm, VTDM_TE, TRUE);
    vtdm_drain_faults(&f.vm);
    words[0] ^= 1 << 6; /* nor this, which is told anew */
    vtdm_put_pasid(&f.vm, VTDM_RID, 0, words);
    f.vm.n_msis[VTDM_FAULT_EVENT] = 0;
    fail_none(&f);
    vtdm_get(&f.vm, VTDM_GSTS);
    tap_ok((vtdm_get(&f.vm, VTDM_FSTS) & VTDM_PPF) && f.vm.n_msis[VTDM_FAULT_EVENT] == 1,
           "a fault that is found as GSTS is read is told by an event");
    find_clear(&f);
}

/* What the host refuses is not told, either, where the entry says so (FPD). */
static void test_silent(gboolean legacy)
{
    guint64 words[GUEST_VTD_PASID_WORDS];
    GuestVtdDomain second;
    Find f;

    if (!find_init(&f, 1, -1))
        return;
    guest_vtd_domain_init(&second, &f.vm.ram, GUEST_VTD_SECOND, 4, OTHER_DID);
    vtdm_start(&f.vm, legacy ? VTDM_LEGACY : VTDM_SCALABLE);
    for (guint fpd = 0; fpd < 2; fpd++) {
        fail_always(&f, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1);
        if (legacy) {
            guest_vtd_context_table(words, &second);
            vtdm_install_context(&f.vm, VTDM_RID, words[0] | fpd << 1, words[1]);
        } else {
            guest_vtd_pasid_table(words, &f.vm.domain);
            words[0] |= fpd << 1;
            vtdm_install_pasid(&f.vm, VTDM_RID, 0, words);
        }
        fail_none(&f);
        tap_is(!vtdm_fault_reason(&f.vm), fpd,
               "%s mode, FPD %u: tables that the host refuses are %stold of",
               legacy ? "legacy" : "scalable", fpd, fpd ? "not " : "");
        vtdm_drain_faults(&f.vm);
    }
    find_clear(&f);
}

int main(void)
{
    test_pasid_0();
    test_restore_refused();
    test_legacy_pass_through();
    test_join();
    test_at_large();
    test_enable_at_large();
    test_join_at_large();
    test_group();
    test_renumber();
    test_event_of_read();
    test_silent(FALSE);
    test_silent(TRUE);
    return tap_done();
}
