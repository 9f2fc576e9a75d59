/* SPDX-License-Identifier: MIT */
/*
 * The whole device: state saved and restored mid-traffic, and reset in two steps. A point
 * is a rule.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

#include "tap.h"
#include "vmachine.h"

enum { BYPASS = 4, UNMAPPED = 0x9000 };

/* Save, make all anew, restore. */
static gboolean migrate(VMachine *vm)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) state = viommu_smmuv3_save(vm->smmu, &error);

    if (state && vm_remake(vm, &error) && viommu_smmuv3_restore(vm->smmu, state, &error))
        return TRUE;
    tap_note("%s", error ? error->message : "?");
    return FALSE;
}

static void test_restore(VMachine *vm)
{
    static const guint regs[] = {VM_IDR0,
                                 VM_IDR1,
                                 VM_IDR3,
                                 VM_IDR5,
                                 VM_CR0,
                                 VM_CR0ACK,
                                 VM_CR1,
                                 VM_CR2,
                                 VM_GBPA,
                                 VM_GERROR,
                                 VM_GERRORN,
                                 VM_IRQ_CTRL,
                                 VM_IRQ_CTRLACK,
                                 VM_STRTAB_BASE,
                                 VM_STRTAB_BASE_CFG,
                                 VM_CMDQ_BASE,
                                 VM_CMDQ_PROD,
                                 VM_CMDQ_CONS,
                                 VM_EVENTQ_BASE,
                                 VM_EVENTQ_PROD,
                                 VM_EVENTQ_CONS,
                                 VM_GERROR_IRQ_CFG1,
                                 VM_EVENTQ_IRQ_CFG1};
    guint32 before[G_N_ELEMENTS(regs)];
    guint64 page = vm_alloc(vm, GUEST_PAGE), event[4];
    gboolean same = TRUE;

    vm_set(vm, VM_GERROR_IRQ_CFG1, 11);
    vm_set(vm, VM_EVENTQ_IRQ_CFG1, 12);
    vm_install_s1(vm, VM_SID, &vm->domain);
    vm_install_s1(vm, VM_ENDPOINT, &vm->domain);
    vm_drain_events(vm);
    for (gsize i = 0; i < G_N_ELEMENTS(regs); i++)
        before[i] = vm_get(vm, regs[i]);
    tap_ok(migrate(vm), "saved and restored mid-traffic");
    for (gsize i = 0; i < G_N_ELEMENTS(regs); i++) {
        if (vm_get(vm, regs[i]) != before[i])
            tap_note("register 0x%x was 0x%x and is 0x%x", regs[i], before[i],
                     vm_get(vm, regs[i]));
        same &= vm_get(vm, regs[i]) == before[i];
    }
    tap_ok(same, "... every register is as it was");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... host devices have their tables");
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "... endpoints too");
    guest_domain_map(&vm->domain, VM_IOVA, page, TRUE);
    tap_ok(vm_tlbi_va(vm, VM_ASID, VM_IOVA), "... commands go on where they were");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, page), "... and work");
    vm_is_refused(vm, 0, UNMAPPED);
    tap_ok(vm_meets_event(vm, VM_F_TRANSLATION, VM_SID, UNMAPPED, event), "... events too");
    guest_domain_map(&vm->domain, VM_IOVA, vm->page, TRUE);
    vm_tlbi_all(vm);
}

static void test_pending(VMachine *vm)
{
    guint64 event[4];

    vm_drain_events(vm);
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_ok(migrate(vm), "with an event not yet read");
    tap_ok(vm_next_event(vm, event) && event[2] == UNMAPPED, "... which is there still");
    vm_issue(vm, 0xfe, 0);
    tap_ok(migrate(vm), "with a command in error");
    tap_is(vm_cerror(vm), VM_CERROR_ILL, "... which is in error still");
    vm_acknowledge(vm);
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, vm->prod, "... until acknowledged");
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN | VM_CR0_EVENTQEN);
    tap_ok(migrate(vm), "with SMMUEN off");
    tap_ok(vm_is_bypassed(vm, 0), "... host devices bypass");
    vm_set(vm, VM_GBPA, VM_GBPA_ABORT | VM_GBPA_UPDATE);
    tap_ok(migrate(vm) && vm_is_blocked(vm, 0), "with GBPA.ABORT they are blocked");
    vm_set(vm, VM_GBPA, VM_GBPA_UPDATE);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "and switched on have their tables");
}

static void refuse(VMachine *vm, const guint8 *bytes, gsize size, const char *what)
{
    g_autoptr(GBytes) state = g_bytes_new(bytes, size);
    g_autoptr(GError) error = NULL;

    tap_ok(vm_remake(vm, NULL) && !viommu_smmuv3_restore(vm->smmu, state, &error),
           "%s is refused", what);
    tap_ok(error && *error->message, "... in words");
    tap_ok(vm_is_blocked(vm, 0), "... and the device aborts");
}

static void test_bad_state(VMachine *vm)
{
    g_autoptr(GBytes) state = viommu_smmuv3_save(vm->smmu, NULL);
    gsize size = g_bytes_get_size(state);
    g_autofree guint8 *bytes = g_memdup2(g_bytes_get_data(state, NULL), size);
    gboolean survived = TRUE;

    refuse(vm, bytes, 0, "an empty state");
    refuse(vm, bytes, size - 1, "a state that is cut short");
    bytes[0] ^= 0x55;
    refuse(vm, bytes, size, "a state of something else");
    bytes[0] ^= 0x55;
    for (gsize i = 0; i < size; i++) {
        g_autoptr(GBytes) bent = NULL;
        g_autofree guint8 *copy = g_memdup2(bytes, size);

        copy[i] ^= 0xff;
        bent = g_bytes_new(copy, size);
        viommu_smmuv3_restore(vm->smmu, bent, NULL);
        survived &= vm_get(vm, VM_AIDR) == vm_get(vm, VM_AIDR);
    }
    tap_ok(survived, "any byte of it may be wrong");
    tap_ok(vm_remake(vm, NULL) && viommu_smmuv3_restore(vm->smmu, state, NULL),
           "the right one is taken");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... and DMA goes on");
    vm->config.stream_bits = 8;
    {
        g_autoptr(GError) error = NULL;

        tap_ok(vm_remake(vm, NULL) && !viommu_smmuv3_restore(vm->smmu, state, &error),
               "the state of another config is refused");
        tap_has(error ? error->message : NULL, "IDR1", "... naming what does not fit");
    }
    vm->config.stream_bits = 0;
    tap_ok(vm_remake(vm, NULL) && viommu_smmuv3_restore(vm->smmu, state, NULL),
           "the right one once more");
}

static void test_reset(VMachine *vm, Spy *spy)
{
    g_autoptr(GError) error = NULL;
    guint32 idr0 = vm_get(vm, VM_IDR0);

    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "before a reset DMA follows tables");
    tap_ok(viommu_smmuv3_block(vm->smmu, &error), "block");
    tap_ok(vm_is_blocked(vm, 0), "... blocks host devices");
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == VM_REFUSED &&
               vm_reads(vm, VM_ENDPOINT, vm->page) == VM_REFUSED,
           "... and endpoints");
    tap_ok(viommu_smmuv3_block(vm->smmu, &error), "... and may be called again");
    tap_ok(viommu_smmuv3_release(vm->smmu, &error), "release");
    tap_is(vm_get(vm, VM_CR0) | vm_get(vm, VM_CR0ACK), 0, "... resets CR0");
    tap_ok(!vm_get(vm, VM_CMDQ_PROD) && !vm_get(vm, VM_CMDQ_CONS) &&
               !vm_get(vm, VM_EVENTQ_PROD) && !vm_get(vm, VM_GERROR) &&
               !vm_get(vm, VM_IRQ_CTRL),
           "... and the others");
    tap_is(vm_get(vm, VM_IDR0), idr0, "... but for ID registers");
    tap_ok(vm_is_bypassed(vm, 0), "... and bypasses as GBPA says");
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "the tables that are there serve again");
    viommu_smmuv3_block(vm->smmu, NULL);
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EINVAL, 1);
    tap_ok(!viommu_smmuv3_release(vm->smmu, &error), "a release that fails is reported");
    spy_fail_none(spy);
    tap_ok(error && *error->message, "... in words");
    tap_ok(vm_is_blocked(vm, 0), "... and leaves the device blocked");
    viommu_smmuv3_block(vm->smmu, NULL);
    tap_ok(viommu_smmuv3_release(vm->smmu, NULL) && vm_is_bypassed(vm, 0),
           "the next reset succeeds");
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine")) {
        vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
        test_restore(&vm);
        test_pending(&vm);
        test_bad_state(&vm);
        test_reset(&vm, &target.spy);
        vm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
