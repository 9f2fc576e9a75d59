/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: host devices where no first-stage table is in play: translation off,
 * legacy mode, second-stage tables, caching mode off; coming, going and being renumbered. A
 * point is a rule.
 */
#include "tap.h"
#include "vtd-machine.h"

enum { OTHER_RID = 0x118 };

/* --- translation off --------------------------------------------------------------------
 */

/* Before the first release, DMA of a device whose memory nobody has cleared is refused. */
static void test_before_release(const Target *target)
{
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, target, target->first, NULL), "a machine"))
        return;
    tap_ok(vtdm_is_identity(&vm, 0), "released: TE 0 lets DMA through");
    tap_ok(vtdm_remake(&vm, NULL), "a unit that was not released yet");
    tap_ok(vtdm_is_blocked(&vm, 0), "... keeps its host device blocked");
    vm.root = 0;
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "... until TE 1: tables count");
    vtdm_command(&vm, VTDM_TE, FALSE);
    tap_ok(vtdm_is_identity(&vm, 0), "... and TE 0 then lets DMA through");
    vtdm_clear(&vm);
}

static void test_switch(VtdMachine *vm, Spy *spy)
{
    vtdm_start(vm, VTDM_SCALABLE);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    spy_reset_counts(spy);
    vtdm_command(vm, VTDM_TE, TRUE);
    vtdm_command(vm, VTDM_QIE, TRUE);
    tap_is(spy->n_calls, 0, "TE 1 while it is 1 is no host call");
    vtdm_command(vm, VTDM_TE, FALSE);
    tap_ok(vtdm_is_identity(vm, 0), "TE 0: DMA passes");
    spy_reset_counts(spy);
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_is(vtdm_count(vm, spy, VTDM_CALL_ATTACH), 0,
           "invalidations meanwhile attach nothing");
    tap_ok(vtdm_is_identity(vm, 0), "... and change nothing");
    vtdm_command(vm, VTDM_TE, TRUE);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) && vtdm_is_refused(vm, 0, vm->page),
           "TE 1: by its table again");
    vtdm_command(vm, VTDM_TE, FALSE);
}

/* --- legacy mode ------------------------------------------------------------------------
 */

static void test_legacy(VtdMachine *vm)
{
    GuestVtdDomain second;
    guint64 words[2];

    vtdm_start(vm, VTDM_LEGACY);
    tap_ok(vtdm_is_blocked(vm, 0) && !vtdm_fault_reason(vm),
           "legacy: no entry blocks in silence");
    vtdm_install_pass_through(vm, VTDM_RID);
    tap_ok(vtdm_is_identity(vm, 0), "TT 2: DMA passes");
    guest_vtd_domain_init(&second, &vm->ram, GUEST_VTD_SECOND, vtdm_aw(vm) + 2, 20);
    guest_vtd_map(&second, VTDM_IOVA, vm->page, TRUE);
    vtdm_drain_faults(vm);
    vtdm_install(vm, VTDM_RID, &second);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) && !vtdm_fault_reason(vm),
           "TT 0: a second-stage table is shadowed");
    tap_is(vtdm_reads(vm, VTDM_RID, VTDM_IOVA), vm->page,
           "... translate() walks it all the same");
    guest_vtd_context_pass_through(words, VTDM_PT_DID, vtdm_aw(vm));
    vtdm_install_context(vm, VTDM_RID, words[0] | 1 << 2, words[1]);
    tap_ok(vtdm_is_blocked(vm, 0) && vtdm_fault_reason(vm) == VTDM_F_CONTEXT_INVALID,
           "TT 3 blocks with fault 0x03");
    vtdm_install_pass_through(vm, VTDM_RID);
    tap_ok(vtdm_is_identity(vm, 0), "TT 2 again: DMA passes");
    vtdm_put_context(vm, VTDM_RID, 0, 0);
    vtdm_issue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DOMAIN, VTDM_PT_DID, 0, 0), 0);
    tap_ok(vtdm_is_blocked(vm, 0), "removed: context-cache by domain blocks");
    vtdm_put_context(vm, VTDM_RID, words[0], words[1]);
    vtdm_flush_context(vm, VTDM_RID, VTDM_PT_DID);
    tap_ok(vtdm_is_identity(vm, 0), "... and by device binds");
}

/* --- second-stage tables in scalable mode -----------------------------------------------
 */

static void test_second_stage(const Target *target)
{
    const ViommuVtdConfig config = {.pasid_bits = -1, .second_stage = VIOMMU_ON};
    GuestVtdDomain second;
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, target, target->first, &config),
                "second_stage on, with a host device"))
        return;
    tap_is(vtdm_ecap(&vm, VTDM_ECAP_SSTS, 1), 1, "... is offered");
    vtdm_start(&vm, VTDM_SCALABLE);
    guest_vtd_domain_init(&second, &vm.ram, GUEST_VTD_SECOND, vtdm_aw(&vm) + 2, 20);
    guest_vtd_map(&second, VTDM_IOVA, vm.page, TRUE);
    vtdm_drain_faults(&vm);
    vtdm_install(&vm, VTDM_RID, &second);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page) && !vtdm_fault_reason(&vm),
           "... it is shadowed for a host device");
    vtdm_install(&vm, VTDM_ENDPOINT, &second);
    tap_is(vtdm_reads(&vm, VTDM_ENDPOINT, VTDM_IOVA), vm.page, "... an endpoint is served");
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "... by a first stage both are");
    vtdm_clear(&vm);
}

/* --- caching mode off -------------------------------------------------------------------
 */

/* Without flushes for every page there is no copying them. */
static void test_not_shadowed(VtdMachine *vm)
{
    GuestVtdDomain second;
    VtdmFault fault = {0};

    guest_vtd_domain_init(&second, &vm->ram, GUEST_VTD_SECOND, vtdm_aw(vm) + 2, 20);
    guest_vtd_map(&second, VTDM_IOVA, vm->page, TRUE);
    vtdm_drain_faults(vm);
    vtdm_install(vm, VTDM_RID, &second);
    tap_ok(vtdm_is_blocked(vm, 0), "PGTT second blocks a host device");
    tap_has(vm->refusal, "PGTT 2", "... refused by its value");
    tap_is(vtdm_fault_reason(vm), VTDM_F_SS_ACCESS, "... with fault 0x78");
    vtdm_start(vm, VTDM_LEGACY);
    vtdm_install(vm, VTDM_RID, &second);
    tap_ok(vtdm_is_blocked(vm, 0), "TT 0 blocks a host device");
    tap_ok(vtdm_next_fault(vm, &fault) && fault.reason == VTDM_F_PAGE_ACCESS &&
               fault.rid == VTDM_RID && fault.read && !fault.address && !fault.has_pasid,
           "... with fault 0x07");
    vtdm_flush_all(vm);
    tap_is(vtdm_fault_reason(vm), 0, "... once");
}

/* What copies tables has to be told of every page: such a host takes no such unit. */
static void test_caching_mode_refused(const Target *target)
{
    ViommuVtdConfig config = {.pasid_bits = -1, .caching_mode = VIOMMU_OFF};
    guint64 words[GUEST_VTD_PASID_WORDS];
    g_autoptr(GError) error = NULL;
    VtdMachine vm;

    if (!vtdm_init(&vm, target, target->first, NULL))
        return;
    viommu_vtd_free(vm.vtd);
    config.services = vtdm_services(&vm);
    vm.vtd = viommu_vtd_new(&config, NULL);
    tap_ok(!viommu_vtd_attach_device(vm.vtd, vm.devices[0], VTDM_RID, 0, &error),
           "caching mode off is refused");
    tap_has(error ? error->message : NULL, "CAP.CM 0", "... by its name");
    tap_is(vtdm_cap(&vm, VTDM_CAP_CM, 1), 0, "... and obeyed, for emulated endpoints");
    vtdm_start(&vm, VTDM_SCALABLE);
    guest_vtd_pasid_table(words, &vm.domain);
    vtdm_command(&vm, VTDM_TE, FALSE);
    vtdm_put_pasid(&vm, VTDM_ENDPOINT, 0, words);
    vtdm_command(&vm, VTDM_TE, TRUE);
    tap_is(vtdm_reads(&vm, VTDM_ENDPOINT, VTDM_IOVA), vm.page, "what is there serves them");
    vtdm_remove(&vm, VTDM_ENDPOINT);
    tap_is(vtdm_reads(&vm, VTDM_ENDPOINT, VTDM_IOVA), VTDM_REFUSED,
           "what is removed and told does not");
    vtdm_put_pasid(&vm, VTDM_ENDPOINT, 0, words);
    tap_is(vtdm_reads(&vm, VTDM_ENDPOINT, VTDM_IOVA), vm.page,
           "what becomes present does, told or not");
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_is_blocked(&vm, 0), "PGTT second does not let the host device in");
    vtdm_start(&vm, VTDM_LEGACY);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_is_blocked(&vm, 0), "nor does TT 0");
    tap_is(vtdm_reads(&vm, VTDM_RID, VTDM_IOVA), vm.page, "... which translate() walks");
    config.caching_mode = VIOMMU_AUTO;
    vm.config = config;
    vm.root = 0;
    tap_ok(vtdm_remake(&vm, NULL), "a unit with caching mode is taken");
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "... and serves the host device");
    vtdm_clear(&vm);
}

static void test_caching_mode(const Target *target)
{
    const ViommuVtdConfig config = {.pasid_bits = -1, .caching_mode = VIOMMU_OFF};
    guint64 words[GUEST_VTD_PASID_WORDS];
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, target, target->first, &config), "caching mode off"))
        return;
    tap_is(vtdm_cap(&vm, VTDM_CAP_CM, 1), 0, "... is obeyed");
    vtdm_start(&vm, VTDM_SCALABLE);
    guest_vtd_pasid_table(words, &vm.domain);
    vtdm_command(&vm, VTDM_TE, FALSE);
    vtdm_put_pasid(&vm, VTDM_RID, 0, words);
    vtdm_command(&vm, VTDM_TE, TRUE);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "what is there is bound with TE 1");
    vtdm_remove(&vm, VTDM_RID);
    tap_ok(vtdm_is_blocked(&vm, 0), "what is removed and told is blocked");
    vtdm_put_pasid(&vm, VTDM_RID, 0, words);
    vtdm_flush_tables(&vm, VTDM_DID, 0);
    vtdm_flush_pasid(&vm, VTDM_DID, 0);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page),
           "what becomes present is bound with the next invalidation");
    test_not_shadowed(&vm);
    vtdm_clear(&vm);
}

/* --- coming and going -------------------------------------------------------------------
 */

static void test_hot_plug(VtdMachine *vm)
{
    g_autoptr(GError) error = NULL;

    vtdm_start(vm, VTDM_SCALABLE);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    viommu_vtd_detach_device(vm->vtd, vm->devices[0]);
    tap_ok(vtdm_is_blocked(vm, 0), "a device that was detached reaches nothing");
    tap_ok(viommu_vtd_attach_device(vm->vtd, vm->devices[0], VTDM_RID, 0, &error),
           "attached late");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... it has its entry at once");
    viommu_vtd_detach_device(vm->vtd, vm->devices[0]);
    vtdm_install_pass_through(vm, VTDM_RID);
    viommu_vtd_attach_device(vm->vtd, vm->devices[0], VTDM_RID, 0, NULL);
    tap_ok(vtdm_is_identity(vm, 0), "... whatever that is now");
    viommu_vtd_detach_device(vm->vtd, vm->devices[0]);
    vtdm_remove(vm, VTDM_RID);
    viommu_vtd_attach_device(vm->vtd, vm->devices[0], VTDM_RID, 0, NULL);
    tap_ok(vtdm_is_blocked(vm, 0), "... none too");
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and follows its invalidations");
    tap_ok(!viommu_vtd_attach_device(vm->vtd, vm->devices[0], OTHER_RID, 0, &error) &&
               error && *error->message,
           "attached twice is refused, in words");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and changes nothing");
}

static void test_renumber(VtdMachine *vm)
{
    tap_ok(viommu_vtd_set_requester_id(vm->vtd, vm->devices[0], OTHER_RID, NULL),
           "another requester ID");
    tap_ok(vtdm_is_blocked(vm, 0), "... whose tables say nothing: blocked");
    vtdm_install_pass_through(vm, OTHER_RID);
    tap_ok(vtdm_is_identity(vm, 0), "... it follows its own invalidations");
    vtdm_remove(vm, VTDM_RID);
    tap_ok(vtdm_is_identity(vm, 0), "... and not the old one's");
    vtdm_install(vm, VTDM_RID, &vm->domain);
    viommu_vtd_set_requester_id(vm->vtd, vm->devices[0], VTDM_RID, NULL);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "back under the first, by its table");
}

int main(int argc, char **argv)
{
    gboolean nests = TRUE;
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    test_before_release(&target);
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        test_switch(&vm, &target.spy);
        test_legacy(&vm);
        test_hot_plug(&vm);
        test_renumber(&vm);
        nests = vm.nests;
        vtdm_clear(&vm);
    }
    test_second_stage(&target);
    if (nests)
        test_caching_mode(&target);
    else
        test_caching_mode_refused(&target);
    target_clear(&target);
    return tap_done();
}
