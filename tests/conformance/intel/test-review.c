/* SPDX-License-Identifier: MIT */
/*
 * Where the idea comes from: QEMU's patch "intel_iommu: Bind/unbind guest page table to
 * host", and what its review asked for; then what was left a hole there. Each by name. A
 * point is an answer.
 */
#include <errno.h>

#include "tap.h"
#include "vtd-machine.h"

enum { OTHER_DID = 30 };

static void put_pgtt(VtdMachine *vm, guint pgtt)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_table(words, &vm->domain);
    words[0] = (words[0] & ~GUEST_VTD_PGTT(7)) | GUEST_VTD_PGTT(pgtt);
    vtdm_install_pasid(vm, VTDM_RID, 0, words);
}

/* --- what the patch does ----------------------------------------------------------------
 */

static void test_patch(VtdMachine *vm, Spy *spy)
{
    spy_reset_counts(spy);
    vtdm_install_pass_through(vm, VTDM_RID);
    /* Guest memory is mapped by one call, where that is to attach. */
    tap_ok(vtdm_is_identity(vm, 0) &&
               vtdm_count(vm, spy, VTDM_CALL_TABLES) == VTDM_BY_WAY(vtdm_way(vm), 0, 0, 1),
           "PGTT pass-through attaches %s",
           VTDM_BY_WAY(vtdm_way(vm), "the stage-2 HWPT that is there",
                       "the stage-2 HWPT that is there", "guest memory as it is"));
    spy_reset_counts(spy);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) &&
               vtdm_count(vm, spy, VTDM_CALL_TABLES) == 1 &&
               vtdm_count(vm, spy, VTDM_CALL_ATTACH) == 1,
           "PGTT %s",
           VTDM_BY_NESTING(vm, "first-stage attaches a nested HWPT",
                           "second-stage attaches a copy of its tables"));
    vtdm_remove(vm, VTDM_RID);
    tap_ok(vtdm_is_blocked(vm, 0), "unbind in scalable mode blocks");
    vtdm_command(vm, VTDM_TE, FALSE);
    tap_ok(vtdm_is_identity(vm, 0), "DMA remapping off: guest-physical memory");
    vtdm_command(vm, VTDM_TE, TRUE);
    tap_ok(vtdm_is_blocked(vm, 0), "... and on: blocked again");
    vtdm_start(vm, VTDM_LEGACY);
    vtdm_install_pass_through(vm, VTDM_RID);
    tap_ok(vtdm_is_identity(vm, 0), "legacy mode, pass-through: guest-physical memory");
    vtdm_start(vm, VTDM_SCALABLE);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "scalable mode again: bound");
}

/* --- what the review asked for ----------------------------------------------------------
 */

static void test_message(VtdMachine *vm)
{
    for (guint pgtt = 5; pgtt < 8; pgtt++) {
        g_autofree char *words = g_strdup_printf("PGTT %u", pgtt);

        g_clear_pointer(&vm->refusal, g_free);
        put_pgtt(vm, pgtt);
        tap_has(vm->refusal, words, "the wrong PGTT value is in the message: %u", pgtt);
    }
    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_drain_faults(vm);
}

/* What each host failure of a bind comes to, for the guest and for the device. */
static void test_error_values(VtdMachine *vm, Spy *spy)
{
    static const struct {
        VtdmCall call;
        const char *name;
        int err;
    } errors[] = {{VTDM_CALL_TABLES, "alloc: EINVAL", EINVAL},
                  {VTDM_CALL_TABLES, "alloc: EOPNOTSUPP", EOPNOTSUPP},
                  {VTDM_CALL_ATTACH, "attach: EINVAL", EINVAL},
                  {VTDM_CALL_ATTACH, "attach: ENODEV", ENODEV}};
    guint reason = VTDM_BY_NESTING(vm, VTDM_F_FS_TABLE, VTDM_F_SS_ACCESS);
    GuestVtdDomain other;
    VtdmFault f = {0};

    vtdm_domain_init(vm, &other, OTHER_DID);
    guest_vtd_map(&other, VTDM_IOVA, vm->page, TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(errors); i++) {
        vtdm_install(vm, VTDM_RID, &vm->domain);
        vtdm_drain_faults(vm);
        spy_fail(spy, vtdm_request(vm, errors[i].call), 1, errors[i].err, 99);
        vtdm_install(vm, VTDM_RID, &other);
        spy_fail_none(spy);
        f.reason = 0;
        tap_ok(vtdm_next_fault(vm, &f) && f.reason == reason && f.rid == VTDM_RID &&
                   vtdm_is_blocked(vm, 0),
               "the error picks the fault record: %s, 0x%02x", errors[i].name, reason);
    }
    vtdm_drain_faults(vm);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and the guest can go on");
}

static gboolean is_sentence(const GError *error)
{
    return error && error->domain == VIOMMU_ERROR && *error->message &&
           !g_str_has_prefix(error->message, ":") &&
           !g_str_has_suffix(error->message, ": ");
}

/* TRUE with no error, or FALSE with one that is whole by itself; no call is inverted. */
static void test_convention(VtdMachine *vm, Spy *spy)
{
    GError *error = NULL;

    tap_ok(viommu_vtd_set_requester_id(vm->vtd, vm->devices[0], VTDM_RID, &error) && !error,
           "one success convention: TRUE, and no error");
    tap_ok(!viommu_vtd_attach_device(vm->vtd, vm->devices[0], VTDM_RID, 0, &error),
           "... FALSE");
    tap_ok(is_sentence(error) && error->code == VIOMMU_ERROR_INVALID,
           "... and an error of a class, whose words need no prefix");
    g_clear_error(&error);
    viommu_vtd_block(vm->vtd, NULL);
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_ATTACH), 1, EINVAL, 99);
    tap_ok(!viommu_vtd_release(vm->vtd, &error) && is_sentence(error),
           "no fatal error in reset: it is reported");
    spy_fail_none(spy);
    g_clear_error(&error);
    tap_ok(vtdm_is_blocked(vm, 0), "... the device is blocked");
    viommu_vtd_block(vm->vtd, NULL);
    tap_ok(viommu_vtd_release(vm->vtd, &error) && !error, "... and the next succeeds");
    vtdm_start(vm, VTDM_SCALABLE);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... with the guest's tables");
}

/* --- the holes that were left -----------------------------------------------------------
 */

static void test_holes(VtdMachine *vm, Spy *spy)
{
    GuestVtdDomain other, renamed = vm->domain;
    guint64 page = vtdm_alloc(vm, GUEST_PAGE), third = vtdm_alloc(vm, GUEST_PAGE);

    vtdm_domain_init(vm, &other, OTHER_DID);
    guest_vtd_map(&other, VTDM_IOVA, page, TRUE);
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_ATTACH), 1, EINVAL, 99);
    vtdm_install(vm, VTDM_RID, &other);
    spy_fail_none(spy);
    vtdm_flush_pasid(vm, OTHER_DID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page),
           "a failed attach is not taken for done: the same entry is tried again");
    vtdm_drain_faults(vm);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    renamed.did = OTHER_DID + 1;
    vtdm_install(vm, VTDM_RID, &renamed);
    vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
    guest_vtd_map(&renamed, VTDM_IOVA, third, TRUE);
    vtdm_flush_page(vm, OTHER_DID + 1, 0, VTDM_IOVA);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, third),
           "a domain ID changed in place: its flushes find the device");
    guest_vtd_map(&renamed, VTDM_IOVA, vm->page, TRUE);
    vtdm_flush_tables(vm, OTHER_DID + 1, 0);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_BLOCK), 1, EIO, 99);
    vtdm_remove(vm, VTDM_RID);
    spy_fail_none(spy);
    tap_ok(!vtdm_waited(vm), "a detach that fails is not told complete");
    vtdm_clear_queue_errors(vm);
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    tap_ok(vtdm_is_blocked(vm, 0), "... nor forgotten");
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and the device serves again");
}

/* One call for a flush, however many devices have the domain; none for others'. */
static void test_costs(const Target *target, Spy *spy)
{
    VtdMachine vm;

    if (!target->bdfs[1]) {
        tap_skip("one device", "flushes of shared domains");
        return;
    }
    if (!tap_ok(vtdm_init(&vm, target, target->first, NULL), "one device of two"))
        return;
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
    vm.devices[1] = viommu_host_device_new_from_bdf(vm.host, target->bdfs[1], NULL);
    dma_device_init(&vm.dma[1], target->seam, vm.devices[1], NULL);
    vm.n_devices = 2;
    tap_ok(viommu_vtd_attach_device(vm.vtd, vm.devices[1], VTDM_RID + 8, 0, NULL),
           "a second device, plugged in late");
    guest_vtd_map(&vm.domain, 0x6000, vm.pattern, FALSE);
    vtdm_flush_page(&vm, VTDM_DID, 0, 0x6000); /* as caching mode wants it */
    dma_load(&vm.dma[1], 0x6000, 32, NULL);
    tap_ok(vtdm_reaches(&vm, 1, VTDM_IOVA, vm.page),
           "... has its own entry at once, not bare stage 2");
    guest_vtd_map(&vm.domain, VTDM_IOVA, vm.pattern, TRUE);
    spy_reset_counts(spy);
    vtdm_flush_page(&vm, VTDM_DID, 0, VTDM_IOVA);
    tap_is(vtdm_count(&vm, spy, VTDM_CALL_REVOKE), VTDM_BY_WAY(vtdm_way(&vm), 1, 1, 2),
           "a flush is one call for %s",
           VTDM_BY_WAY(vtdm_way(&vm), "both", "both", "each container"));
    vtdm_clear(&vm);
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 2, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        test_patch(&vm, &target.spy);
        test_message(&vm);
        test_error_values(&vm, &target.spy);
        test_holes(&vm, &target.spy);
        test_convention(&vm, &target.spy);
        vtdm_clear(&vm);
    }
    test_costs(&target, &target.spy);
    target_clear(&target);
    return tap_done();
}
