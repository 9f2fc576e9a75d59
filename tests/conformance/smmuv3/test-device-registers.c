/* SPDX-License-Identifier: MIT */
/*
 * The whole device: its registers (6.1 to 6.3), interrupts, and what they do to DMA while
 * translation is off. A point is a rule.
 */
#include "tap.h"
#include "vmachine.h"

static void test_identity(VMachine *vm)
{
    guint32 idr0 = vm_get(vm, VM_IDR0), idr1 = vm_get(vm, VM_IDR1);
    guint32 idr5 = vm_get(vm, VM_IDR5);

    tap_is(idr0 & 3, 2, "IDR0: stage 1, and no stage 2");
    tap_is(idr0 >> 2 & 3, 2, "IDR0.TTF: AArch64 tables");
    tap_is(idr0 >> 4 & 1, 1, "IDR0.COHACC: tables are read coherently");
    tap_is(idr0 >> 24 & 3, 1, "IDR0.STALL_MODEL: faults terminate");
    tap_is(idr0 >> 27 & 3, 1, "IDR0.ST_LEVEL: two-level stream tables");
    tap_is(idr0 >> 13 & 1, 1, "IDR0.MSI");
    tap_is(idr0 >> 16 & 1, 0, "IDR0.PRI: none");
    tap_is(idr1 & 0x3f, 16, "IDR1.SIDSIZE: 16 bits");
    tap_is(idr1 >> 21 & 0x1f, 19, "IDR1.CMDQS: 2^19 commands");
    tap_is(idr1 >> 16 & 0x1f, 19, "IDR1.EVENTQS: 2^19 events");
    tap_is(idr1 >> 28, 0, "IDR1: nothing preset");
    tap_ok(idr5 & 0x10, "IDR5.GRAN4K");
    tap_is(vm_get(vm, VM_AIDR) & 0xff, 2, "AIDR: SMMUv3.2");
    for (guint reg = VM_IDR0; reg <= VM_AIDR; reg += 4) {
        guint32 before = vm_get(vm, reg);

        vm_set(vm, reg, ~before);
        if (vm_get(vm, reg) != before)
            tap_ok(FALSE, "register 0x%x is read-only", reg);
    }
    tap_is(vm_get(vm, VM_IDR0), idr0, "ID registers are read-only");
}

static void test_access(VMachine *vm)
{
    const guint64 base = 0x0000123456789000ull;

    vm_set64(vm, VM_STRTAB_BASE, base);
    tap_is(vm_get64(vm, VM_STRTAB_BASE), base, "a 64-bit register, 64 bits at once");
    tap_is(vm_get(vm, VM_STRTAB_BASE), (guint32)base, "... its lower half");
    tap_is(vm_get(vm, VM_STRTAB_BASE + 4), base >> 32, "... its upper half");
    vm_set(vm, VM_STRTAB_BASE, 0xabcde000);
    tap_is(vm_get64(vm, VM_STRTAB_BASE), (base & ~0xffffffffull) | 0xabcde000,
           "a half written leaves the other");
    vm_set(vm, VM_STRTAB_BASE + 4, 0);
    tap_is(vm_get64(vm, VM_STRTAB_BASE), 0xabcde000, "... either half");
    tap_is(viommu_smmuv3_read(vm->smmu, VM_STRTAB_BASE, 2), 0, "16 bits read as 0");
    tap_is(viommu_smmuv3_read(vm->smmu, VM_STRTAB_BASE, 1), 0, "8 bits read as 0");
    tap_is(viommu_smmuv3_read(vm->smmu, VM_STRTAB_BASE + 2, 4), 0, "unaligned reads as 0");
    tap_is(viommu_smmuv3_read(vm->smmu, VM_STRTAB_BASE + 4, 8), 0,
           "64 bits, half aligned, read as 0");
    viommu_smmuv3_write(vm->smmu, VM_STRTAB_BASE, 1, 0);
    viommu_smmuv3_write(vm->smmu, VM_STRTAB_BASE, 2, 0);
    viommu_smmuv3_write(vm->smmu, VM_STRTAB_BASE + 2, 4, 0);
    viommu_smmuv3_write(vm->smmu, VM_STRTAB_BASE - 4, 8, 0);
    tap_is(vm_get64(vm, VM_STRTAB_BASE), 0xabcde000, "such writes do nothing");
    tap_is(vm_get(vm, VIOMMU_SMMUV3_MMIO_SIZE), 0, "beyond the pages there is 0");
    tap_is(viommu_smmuv3_read(vm->smmu, G_MAXUINT64 - 3, 4), 0, "... to the very end");
    viommu_smmuv3_write(vm->smmu, G_MAXUINT64 - 7, 8, 1);
    tap_is(vm_get(vm, 0x38), 0, "a reserved register reads as 0");
    vm_set(vm, 0x38, G_MAXUINT32);
    tap_is(vm_get(vm, 0x38), 0, "... and is not written");
    tap_is(vm_get(vm, 0x10000 + VM_IDR0), 0, "page 1 has no ID registers");
    vm_set64(vm, VM_STRTAB_BASE, 0);
}

static void test_control(VMachine *vm)
{
    vm_start(vm, VM_LINEAR, 0);
    tap_is(vm_get(vm, VM_CR0), 0, "CR0 after a reset: all is off");
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN);
    tap_is(vm_get(vm, VM_CR0ACK), VM_CR0_CMDQEN, "CR0ACK follows CR0");
    vm_set(vm, VM_CR0ACK, 0);
    tap_is(vm_get(vm, VM_CR0ACK), VM_CR0_CMDQEN, "... and is read-only");
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN | 0xfffffe00);
    tap_is(vm_get(vm, VM_CR0ACK) & 0xfffffe00, 0, "reserved bits are not acknowledged");
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN);
    vm_set64(vm, VM_CMDQ_BASE, 0x55000);
    tap_is(vm_get64(vm, VM_CMDQ_BASE) & 0xfffff000, (guint32)vm->cmdq,
           "CMDQ_BASE stays while the queue is on");
    vm_set(vm, VM_CMDQ_CONS, 5);
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, 0, "... CMDQ_CONS too");
    vm_set(vm, VM_CR0, VM_CR0_EVENTQEN);
    vm_set64(vm, VM_EVENTQ_BASE, 0x55000);
    tap_is(vm_get64(vm, VM_EVENTQ_BASE) & 0xfffff000, (guint32)vm->eventq,
           "EVENTQ_BASE stays while the queue is on");
    vm_set(vm, VM_EVENTQ_PROD, 5);
    tap_is(vm_get(vm, VM_EVENTQ_PROD), 0, "... EVENTQ_PROD too");
    vm_set(vm, VM_CR0, 0);
    vm_set(vm, VM_CMDQ_CONS, 5);
    tap_is(vm_get(vm, VM_CMDQ_CONS), 5, "CMDQ_CONS is the driver's while the queue is off");
    vm_set(vm, VM_CR2, VM_CR2_PTM);
    tap_is(vm_get(vm, VM_CR2), VM_CR2_PTM, "CR2 reads as written");
    vm_set(vm, VM_CR1, VM_CR1_NORMAL);
    tap_is(vm_get(vm, VM_CR1), VM_CR1_NORMAL, "CR1 reads as written");
    vm_set(vm, VM_IRQ_CTRL, VM_IRQ_GERROR | VM_IRQ_EVENTQ);
    tap_is(vm_get(vm, VM_IRQ_CTRLACK), VM_IRQ_GERROR | VM_IRQ_EVENTQ,
           "IRQ_CTRLACK follows IRQ_CTRL");
    vm_set(vm, VM_IRQ_CTRL, 0);
    tap_is(vm_get(vm, VM_IRQ_CTRLACK), 0, "... both ways");
    vm_set64(vm, VM_GERROR_IRQ_CFG0, VM_DOORBELL);
    vm_set(vm, VM_GERROR_IRQ_CFG1, 42);
    tap_ok(vm_get64(vm, VM_GERROR_IRQ_CFG0) == VM_DOORBELL &&
               vm_get(vm, VM_GERROR_IRQ_CFG1) == 42,
           "GERROR_IRQ_CFG reads as written");
    vm_set64(vm, VM_GERROR_IRQ_CFG0, 0);
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    vm_set64(vm, VM_STRTAB_BASE, 0x77000);
    tap_is(vm_get64(vm, VM_STRTAB_BASE) & 0xfffff000, (guint32)vm->strtab,
           "STRTAB_BASE stays while translation is on");
    vm_set(vm, VM_STRTAB_BASE_CFG, 0);
    tap_is(vm_get(vm, VM_STRTAB_BASE_CFG), vm->table_bits, "... STRTAB_BASE_CFG too");
    vm_set(vm, VM_CR0, 0);
}

static void test_bypass(VMachine *vm)
{
    guint32 gbpa = vm_get(vm, VM_GBPA);

    tap_is(gbpa & VM_GBPA_ABORT, 0, "GBPA after a reset: bypass");
    tap_ok(vm_is_bypassed(vm, 0), "... and a host device is let through");
    tap_is(vm_reads(vm, VM_ENDPOINT, vm->page), vm->page, "... an emulated endpoint too");
    vm_set(vm, VM_GBPA, gbpa | VM_GBPA_ABORT);
    tap_is(vm_get(vm, VM_GBPA), gbpa, "GBPA is not written without UPDATE");
    tap_ok(vm_is_bypassed(vm, 0), "... and changes nothing");
    vm_set(vm, VM_GBPA, gbpa | VM_GBPA_ABORT | VM_GBPA_UPDATE);
    tap_is(vm_get(vm, VM_GBPA), gbpa | VM_GBPA_ABORT, "with UPDATE it is, and UPDATE is 0");
    tap_ok(vm_is_blocked(vm, 0), "GBPA.ABORT: a host device is blocked");
    tap_ok(vm_reads(vm, VM_ENDPOINT, vm->page) == VM_REFUSED,
           "... an emulated endpoint aborts");
    vm_set(vm, VM_GBPA, (gbpa & ~VM_GBPA_ABORT) | VM_GBPA_UPDATE);
    tap_ok(vm_is_bypassed(vm, 0), "GBPA without ABORT: let through again");
    tap_is(vm_reads(vm, VM_ENDPOINT, vm->page), vm->page, "... the endpoint too");
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    tap_ok(vm_is_blocked(vm, 0), "SMMUEN: a stream whose entry is not valid is blocked");
    vm_set(vm, VM_GBPA, gbpa | VM_GBPA_UPDATE);
    tap_ok(vm_is_blocked(vm, 0), "... whatever GBPA says");
    vm_set(vm, VM_CR0, VM_CR0_EVENTQEN | VM_CR0_CMDQEN);
    tap_ok(vm_is_bypassed(vm, 0), "SMMUEN off: as GBPA says");
    vm_set(vm, VM_CR0, 0);
}

/* 6.3.15, 6.3.16: errors toggle, and are active while GERROR and GERRORN differ. */
static void test_global_errors(VMachine *vm)
{
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR] = 0;
    vm_set(vm, VM_GERROR, 1);
    tap_is(vm_get(vm, VM_GERROR), 0, "GERROR is read-only");
    tap_ok(!vm_issue(vm, 0xff, 0), "a command in error");
    tap_is(vm_get(vm, VM_GERROR), VM_GERROR_CMDQ, "... toggles GERROR.CMDQ_ERR");
    tap_is(vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR], 1, "... and the wired interrupt comes");
    vm_ring(vm);
    tap_is(vm_get(vm, VM_GERROR), VM_GERROR_CMDQ, "an active error does not toggle again");
    vm_acknowledge(vm);
    tap_is(vm_get(vm, VM_GERRORN), VM_GERROR_CMDQ, "GERRORN acknowledges");
    vm_set(vm, VM_GERRORN, VM_GERROR_CMDQ | 0xfffffe02);
    tap_is(vm_get(vm, VM_GERRORN) & 0xfffffe02, 0, "... and has no reserved bits");
    vm_issue(vm, 0xff, 0);
    tap_is(vm_get(vm, VM_GERROR), 0, "the next error toggles back");
    vm_acknowledge(vm);
    vm_set(vm, VM_IRQ_CTRL, 0);
    vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR] = 0;
    vm_issue(vm, 0xff, 0);
    tap_is(vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR], 0, "disabled, no interrupt comes");
    vm_acknowledge(vm);
    vm_set64(vm, VM_GERROR_IRQ_CFG0, VM_DOORBELL);
    vm_set(vm, VM_GERROR_IRQ_CFG1, 77);
    vm_set(vm, VM_IRQ_CTRL, VM_IRQ_GERROR);
    vm->n_msis = 0;
    vm_issue(vm, 0xff, 0);
    tap_ok(vm->n_msis == 1 && vm->msi_address == VM_DOORBELL && vm->msi_data == 77,
           "with GERROR_IRQ_CFG it is a message");
    tap_is(vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR], 0, "... and no line");
    vm_acknowledge(vm);
    vm_set(vm, VM_IRQ_CTRL, 0);
    vm_set64(vm, VM_GERROR_IRQ_CFG0, 0);
    vm_set(vm, VM_CR0, 0);
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine")) {
        test_identity(&vm);
        test_access(&vm);
        test_control(&vm);
        test_bypass(&vm);
        test_global_errors(&vm);
        vm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
