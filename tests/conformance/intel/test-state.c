/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: state saved and restored mid-traffic, and reset in two steps. A
 * point is a rule.
 */
#include <errno.h>
#include <string.h>

#include "tap.h"
#include "vtd-machine.h"

enum { EP = VTDM_ENDPOINT, UNMAPPED = 0x9000 };

/* Save, make all anew, restore. */
static gboolean migrate(VtdMachine *vm)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) state = viommu_vtd_save(vm->vtd, &error);

    if (state && vtdm_remake(vm, &error) && viommu_vtd_restore(vm->vtd, state, &error))
        return TRUE;
    tap_note("%s", error ? error->message : "?");
    return FALSE;
}

static void test_registers(VtdMachine *vm)
{
    static const guint regs[] = {VTDM_VER,      VTDM_CAP,    VTDM_CAP + 4, VTDM_ECAP,
                                 VTDM_ECAP + 4, VTDM_GSTS,   VTDM_RTADDR,  VTDM_FSTS,
                                 VTDM_FECTL,    VTDM_FEDATA, VTDM_FEADDR,  VTDM_IQH,
                                 VTDM_IQT,      VTDM_IQA,    VTDM_ICS,     VTDM_IECTL,
                                 VTDM_IEDATA,   VTDM_IEADDR, VTDM_IQERCD,  VTDM_CCMD + 4};
    guint32 before[G_N_ELEMENTS(regs)];
    gboolean same = TRUE;

    vtdm_set(vm, VTDM_FEDATA, 0x41);
    vtdm_set(vm, VTDM_IEDATA, 0x42);
    for (gsize i = 0; i < G_N_ELEMENTS(regs); i++)
        before[i] = vtdm_get(vm, regs[i]);
    tap_ok(migrate(vm), "saved and restored mid-traffic");
    for (gsize i = 0; i < G_N_ELEMENTS(regs); i++) {
        if (vtdm_get(vm, regs[i]) != before[i])
            tap_note("register 0x%x was 0x%x and is 0x%x", regs[i], before[i],
                     vtdm_get(vm, regs[i]));
        same &= vtdm_get(vm, regs[i]) == before[i];
    }
    tap_ok(same, "... every register is as it was");
    vtdm_set_events(vm);
}

static void test_traffic(VtdMachine *vm)
{
    guint64 page = vtdm_alloc(vm, GUEST_PAGE);

    tap_ok(migrate(vm), "with translation on");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... host devices have their tables");
    tap_ok(vtdm_is_refused(vm, 0, vm->page), "... and nothing else");
    tap_is(vtdm_reads(vm, EP, VTDM_IOVA), vm->page, "... endpoints too");
    guest_vtd_map(&vm->domain, VTDM_IOVA, page, TRUE);
    tap_ok(vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA),
           "... the queue goes on where it was");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page) && vtdm_reads(vm, EP, VTDM_IOVA) == page,
           "... and works");
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA);
    vtdm_install_pass_through(vm, VTDM_RID);
    tap_ok(migrate(vm) && vtdm_is_identity(vm, 0), "with pass-through");
    vtdm_remove(vm, VTDM_RID);
    tap_ok(migrate(vm) && vtdm_is_blocked(vm, 0), "with no entry");
    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_command(vm, VTDM_TE, FALSE);
    tap_ok(migrate(vm) && vtdm_is_identity(vm, 0), "with translation off");
    vtdm_command(vm, VTDM_TE, TRUE);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and then on: its table");
}

/* The latched root table is state, whatever RTADDR says by now. */
static void test_latch(VtdMachine *vm)
{
    vtdm_set64(vm, VTDM_RTADDR, vtdm_alloc(vm, GUEST_PAGE) | 1 << 10);
    tap_ok(migrate(vm), "with RTADDR written and not set");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) &&
               vtdm_reads(vm, EP, VTDM_IOVA) == vm->page,
           "... the root table is the one that was set");
    vtdm_set_root(vm, VTDM_SCALABLE, vm->root);
}

static void test_pending(VtdMachine *vm)
{
    VtdmFault f = {0};

    vtdm_drain_faults(vm);
    vtdm_reads(vm, EP, UNMAPPED);
    vtdm_reads(vm, EP + 0x100, UNMAPPED);
    tap_is(vtdm_get(vm, VTDM_FSTS) & 3, VTDM_PFO | VTDM_PPF, "a fault, and an overflow");
    tap_ok(migrate(vm), "... saved and restored");
    tap_is(vtdm_get(vm, VTDM_FSTS) & 3, VTDM_PFO | VTDM_PPF, "... are there still");
    tap_ok(vtdm_next_fault(vm, &f) && f.address == UNMAPPED && f.rid == EP,
           "... with the record");
    vtdm_drain_faults(vm);
    vtdm_set(vm, VTDM_FECTL, VTDM_IM);
    vtdm_reads(vm, EP, UNMAPPED);
    vm->n_msis[VTDM_FAULT_EVENT] = 0;
    tap_ok(migrate(vm), "with a fault event held");
    vtdm_set(vm, VTDM_FECTL, 0);
    tap_is(vm->n_msis[VTDM_FAULT_EVENT], 1, "... it is sent when unmasked");
    vtdm_drain_faults(vm);
    vtdm_queue(vm, 0xf, 0);
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
    tap_ok(migrate(vm), "with a descriptor in error");
    tap_ok(vtdm_queue_error(vm) == VTDM_IQEI_TYPE && !vtdm_waited(vm), "... it is still");
    vtdm_acknowledge(vm);
    tap_ok(vtdm_head(vm) == vm->tail && vtdm_waited(vm), "... until put right");
    vtdm_queue(vm, GUEST_INV_WAIT | 1 << 4, 0);
    vtdm_ring(vm);
    tap_ok(migrate(vm) && vtdm_get(vm, VTDM_ICS) == 1, "with ICS.IWC set");
    vtdm_set(vm, VTDM_ICS, 1);
}

static void refuse(VtdMachine *vm, const guint8 *bytes, gsize size, const char *what)
{
    g_autoptr(GBytes) state = g_bytes_new(bytes, size);
    g_autoptr(GError) error = NULL;

    tap_ok(vtdm_remake(vm, NULL) && !viommu_vtd_restore(vm->vtd, state, &error),
           "%s is refused", what);
    tap_ok(error && *error->message, "... in words");
    tap_ok(vtdm_is_blocked(vm, 0), "... and the device blocked");
}

static void test_bad_state(VtdMachine *vm)
{
    g_autoptr(GBytes) state = viommu_vtd_save(vm->vtd, NULL);
    gsize size = g_bytes_get_size(state);
    g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(state, NULL), size);
    gboolean survived = TRUE;

    refuse(vm, bytes, 0, "an empty state");
    refuse(vm, bytes, size - 1, "a state that is cut short");
    bytes[0] ^= 0x55;
    refuse(vm, bytes, size, "a state of something else");
    bytes[0] ^= 0x55;
    for (gsize i = 0; i < size; i++) {
        g_autofree guint8 *copy = g_memdup2(bytes, size);
        g_autoptr(GBytes) bent = NULL;

        copy[i] ^= 0xff;
        bent = g_bytes_new(copy, size);
        viommu_vtd_restore(vm->vtd, bent, NULL);
        survived &= vtdm_get(vm, VTDM_VER) != 0;
    }
    tap_ok(survived, "any byte of it may be wrong");
    tap_ok(vtdm_remake(vm, NULL) && viommu_vtd_restore(vm->vtd, state, NULL),
           "the right one is taken");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and DMA goes on");
    tap_ok(viommu_vtd_restore(vm->vtd, state, NULL) &&
               vtdm_reaches(vm, 0, VTDM_IOVA, vm->page),
           "... again, too");
}

static void test_other_config(VtdMachine *vm)
{
    g_autoptr(GBytes) state = viommu_vtd_save(vm->vtd, NULL);
    g_autoptr(GError) error = NULL;

    vm->config.domain_bits = 8;
    tap_ok(vtdm_remake(vm, NULL) && !viommu_vtd_restore(vm->vtd, state, &error),
           "the state of another config is refused");
    tap_has(error ? error->message : NULL, "CAP", "... naming what does not fit");
    tap_ok(vtdm_is_blocked(vm, 0), "... and the device blocked");
    vm->config.domain_bits = 0;
    tap_ok(vtdm_remake(vm, NULL) && viommu_vtd_restore(vm->vtd, state, NULL),
           "the right one once more");
}

/* A binding that the host refuses at restore: the guest is told, nothing stale is left. */
static void test_host_refuses(VtdMachine *vm, Spy *spy)
{
    g_autoptr(GBytes) state = viommu_vtd_save(vm->vtd, NULL);
    gboolean restored;

    vtdm_remake(vm, NULL);
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_ATTACH), 1, EINVAL, 99);
    restored = viommu_vtd_restore(vm->vtd, state, NULL);
    spy_fail_none(spy);
    tap_ok(vtdm_is_blocked(vm, 0), "a binding refused at restore: blocked");
    tap_ok(!restored || vtdm_fault_reason(vm) ==
                            VTDM_BY_NESTING(vm, VTDM_F_FS_TABLE, VTDM_F_SS_ACCESS),
           "... and told, by a fault or by the restore");
    vtdm_remake(vm, NULL);
    tap_ok(viommu_vtd_restore(vm->vtd, state, NULL) &&
               vtdm_reaches(vm, 0, VTDM_IOVA, vm->page),
           "the next restore succeeds");
    vtdm_drain_faults(vm);
}

static void test_reset(VtdMachine *vm, Spy *spy)
{
    g_autoptr(GError) error = NULL;
    guint64 cap = vtdm_get64(vm, VTDM_CAP), ecap = vtdm_get64(vm, VTDM_ECAP);

    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "before a reset DMA follows tables");
    tap_ok(viommu_vtd_block(vm->vtd, &error), "block");
    tap_ok(vtdm_is_blocked(vm, 0), "... blocks host devices");
    tap_ok(vtdm_reads(vm, EP, VTDM_IOVA) == VTDM_REFUSED &&
               vtdm_reads(vm, EP, vm->page) == VTDM_REFUSED,
           "... and endpoints");
    tap_ok(viommu_vtd_block(vm->vtd, &error), "... and may be called again");
    tap_ok(!viommu_vtd_save(vm->vtd, &error) && error,
           "... what is between block and release cannot be saved");
    g_clear_error(&error);
    tap_ok(viommu_vtd_release(vm->vtd, &error), "release");
    tap_is(vtdm_get(vm, VTDM_GSTS), 0, "... resets GSTS");
    tap_ok(!vtdm_get64(vm, VTDM_RTADDR) && !vtdm_get64(vm, VTDM_IQA) &&
               !vtdm_get64(vm, VTDM_IQT) && !vtdm_get(vm, VTDM_FSTS) &&
               vtdm_get(vm, VTDM_FECTL) == VTDM_IM,
           "... and the others");
    tap_ok(vtdm_get64(vm, VTDM_CAP) == cap && vtdm_get64(vm, VTDM_ECAP) == ecap,
           "... but for CAP and ECAP");
    tap_ok(vtdm_is_identity(vm, 0), "... and lets DMA pass, as TE 0 does");
    vtdm_start(vm, VTDM_SCALABLE);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page),
           "the tables that are there serve again");
    viommu_vtd_block(vm->vtd, NULL);
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_ATTACH), 1, EINVAL, 99);
    tap_ok(!viommu_vtd_release(vm->vtd, &error), "a release that fails is reported");
    spy_fail_none(spy);
    tap_ok(error && *error->message, "... in words");
    tap_ok(vtdm_is_blocked(vm, 0), "... and leaves the device blocked");
    viommu_vtd_block(vm->vtd, NULL);
    tap_ok(viommu_vtd_release(vm->vtd, NULL) && vtdm_is_identity(vm, 0),
           "the next reset succeeds");
}

/* Neither released nor translating, it lets nothing pass; nor does its state. */
static void test_held(VtdMachine *vm)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) state = NULL;

    tap_ok(vtdm_remake(vm, &error) && vtdm_is_blocked(vm, 0), "a unit not released yet");
    state = viommu_vtd_save(vm->vtd, &error);
    tap_ok(state && viommu_vtd_restore(vm->vtd, state, &error) && vtdm_is_blocked(vm, 0),
           "... saved and restored, it still blocks");
    viommu_vtd_block(vm->vtd, NULL);
    tap_ok(viommu_vtd_release(vm->vtd, NULL) && vtdm_is_identity(vm, 0), "... until released");
}

/* Every bit set, but for those that are compared: what no guest could have written is not. */
static void test_hostile(VtdMachine *vm)
{
    enum { HEADER = 32 };
    g_autoptr(GBytes) state = viommu_vtd_save(vm->vtd, NULL);
    g_autofree guint8 *bytes = NULL;
    g_autoptr(GBytes) hostile = NULL;
    gsize size;

    bytes = g_memdup2(g_bytes_get_data(state, &size), g_bytes_get_size(state));
    size = g_bytes_get_size(state);
    for (gsize i = 0; i + 8 <= size; i++) {
        const guint64 cap = vtdm_get64(vm, VTDM_CAP), ecap = vtdm_get64(vm, VTDM_ECAP);

        if (memcmp(bytes + i, &cap, 8) || i + 16 > size || memcmp(bytes + i + 8, &ecap, 8))
            continue;
        memset(bytes + i + 16, 0xff, size - i - 16);
        break;
    }
    hostile = g_bytes_new(bytes, size);
    viommu_vtd_restore(vm->vtd, hostile, NULL);
    tap_is(vtdm_get(vm, VTDM_GSTS) & ~(VTDM_TE | VTDM_QIE | VTDM_SRTP), 0,
           "a state of ones: GSTS has no more than there can be");
    tap_is(vtdm_get(vm, VTDM_FSTS) & ~0xff73u, 0, "... nor FSTS");
    tap_is(vtdm_get(vm, VTDM_ICS), 1, "... nor ICS");
    tap_is(vtdm_get(vm, VTDM_PRS) & ~3u, 0, "... nor PRS");
    tap_is(vtdm_get(vm, VTDM_FECTL) & ~(VTDM_IM | VTDM_IP), 0, "... nor FECTL");
    tap_is((gint64)(vtdm_get64(vm, VTDM_IQT) & ~0x7fff0ull), 0, "... nor IQT");
    viommu_vtd_block(vm->vtd, NULL);
    tap_ok(viommu_vtd_release(vm->vtd, NULL), "... and it can be reset");
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        vtdm_install(&vm, VTDM_RID, &vm.domain);
        vtdm_install(&vm, EP, &vm.domain);
        test_registers(&vm);
        test_traffic(&vm);
        test_latch(&vm);
        test_pending(&vm);
        test_bad_state(&vm);
        test_other_config(&vm);
        test_host_refuses(&vm, &target.spy);
        test_reset(&vm, &target.spy);
        test_held(&vm);
        test_hostile(&vm);
        vtdm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
