/* SPDX-License-Identifier: MIT */
/*
 * The whole device: events (chapter 7) of host devices and emulated endpoints in the
 * guest's queue, its overflow, its interrupts. A point is a rule.
 */
#include "tap.h"
#include "vmachine.h"

enum { UNMAPPED = 0x9000, READ_ONLY = 0x7000, BYPASS = 4 };

/* A load that faults leaves the device's buffer in no known state. */
static void load_pattern(VMachine *vm)
{
    vm_install_config(vm, VM_SID, BYPASS);
    dma_load(&vm->dma[0], vm->pattern, 64, NULL);
    vm_install_s1(vm, VM_SID, &vm->domain);
}

static void test_host_events(VMachine *vm)
{
    guint64 event[4] = {0}, cd = vm_load(vm, vm->domain.cd);

    guest_domain_map(&vm->domain, READ_ONLY, vm->page, FALSE);
    vm_install_s1(vm, VM_SID, &vm->domain);
    vm_drain_events(vm);
    tap_ok(vm_is_refused(vm, 0, UNMAPPED), "a host device meets a hole");
    tap_ok(vm_meets_event(vm, VM_F_TRANSLATION, VM_SID, UNMAPPED, event),
           "... F_TRANSLATION arrives with the guest's StreamID");
    tap_is(event[1] >> 35 & 1, 0, "... RnW says it was a write");
    dma_load(&vm->dma[0], UNMAPPED + 0x1000, 8, NULL);
    tap_ok(vm_meets_event(vm, VM_F_TRANSLATION, VM_SID, UNMAPPED + 0x1000, event) &&
               (event[1] >> 35 & 1),
           "... or that it was a read");
    load_pattern(vm);
    tap_ok(vm_is_refused(vm, 0, READ_ONLY), "a host device writes what is read-only");
    tap_ok(vm_meets_event(vm, VM_F_PERMISSION, VM_SID, READ_ONLY, event),
           "... F_PERMISSION");
    vm_store(vm, vm->domain.cd, cd & ~(1ull << 31));
    vm_issue(vm, VM_CFGI_CD | (guint64)VM_SID << 32, 1);
    tap_ok(vm_is_refused(vm, 0, VM_IOVA), "a host device's descriptor is made invalid");
    tap_ok(vm_meets_event(vm, VM_C_BAD_CD, VM_SID, 0, event), "... C_BAD_CD");
    vm_store(vm, vm->domain.cd, cd);
    vm_issue(vm, VM_CFGI_CD | (guint64)VM_SID << 32, 1);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... and put right DMA goes on");
}

static void test_both_sources(VMachine *vm)
{
    guint64 event[4] = {0};

    vm_install_s1(vm, VM_ENDPOINT, &vm->domain);
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    vm_is_refused(vm, 0, UNMAPPED + 0x2000);
    tap_ok(vm_meets_event(vm, VM_F_TRANSLATION, VM_ENDPOINT, UNMAPPED, event),
           "emulated endpoints have events in the queue, under their StreamIDs");
    tap_ok(vm_meets_event(vm, VM_F_TRANSLATION, VM_SID, UNMAPPED + 0x2000, event),
           "... and so have host devices, beside them");
}

static void test_interrupts(VMachine *vm)
{
    const guint line = VIOMMU_SMMUV3_IRQ_EVENTQ;

    vm_drain_events(vm);
    vm->n_irqs[line] = 0;
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_is(vm->n_irqs[line], 1, "an event in an empty queue interrupts");
    vm_drain_events(vm);
    vm_set(vm, VM_IRQ_CTRL, VM_IRQ_GERROR);
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_is(vm->n_irqs[line], 1, "not while it is disabled");
    vm_drain_events(vm);
    vm_set64(vm, VM_EVENTQ_IRQ_CFG0, VM_DOORBELL + 0x40);
    vm_set(vm, VM_EVENTQ_IRQ_CFG1, 1234);
    vm_set(vm, VM_IRQ_CTRL, VM_IRQ_GERROR | VM_IRQ_EVENTQ);
    vm->n_msis = 0;
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_ok(vm->n_msis == 1 && vm->msi_address == VM_DOORBELL + 0x40 && vm->msi_data == 1234,
           "with EVENTQ_IRQ_CFG it is a message");
    tap_is(vm->n_irqs[line], 1, "... and no line");
    vm_drain_events(vm);
    vm_set(vm, VM_IRQ_CTRL, 0);
    vm_set64(vm, VM_EVENTQ_IRQ_CFG0, 0);
    vm_set(vm, VM_IRQ_CTRL, VM_IRQ_GERROR | VM_IRQ_EVENTQ);
}

/* A queue of four, by the endpoint alone: exact. */
static void test_overflow(VMachine *vm)
{
    guint64 event[4];

    vm->eventq_bits = 2;
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    vm_cfgi_ste(vm, VM_ENDPOINT);
    for (guint i = 0; i < 4; i++)
        vm_reads(vm, VM_ENDPOINT, UNMAPPED + i * 0x1000);
    tap_is(vm_get(vm, VM_EVENTQ_PROD), 4, "four events fill a queue of four");
    vm_reads(vm, VM_ENDPOINT, UNMAPPED + 0x4000);
    tap_is(vm_get(vm, VM_EVENTQ_PROD), 4 | VM_OVERFLOW, "a fifth is lost: overflow");
    vm_reads(vm, VM_ENDPOINT, UNMAPPED + 0x5000);
    tap_is(vm_get(vm, VM_EVENTQ_PROD), 4 | VM_OVERFLOW, "a sixth does not toggle it back");
    tap_ok(vm_load(vm, vm->eventq + 16) == UNMAPPED, "... nor overwrite the first");
    vm_drain_events(vm);
    tap_is(vm_get(vm, VM_EVENTQ_CONS), 4 | VM_OVERFLOW, "the driver acknowledges");
    vm_reads(vm, VM_ENDPOINT, UNMAPPED + 0x6000);
    tap_ok(vm_next_event(vm, event) && event[2] == UNMAPPED + 0x6000,
           "... and events are written again, from the start");
    tap_is(vm_get(vm, VM_EVENTQ_PROD), 5 | VM_OVERFLOW, "... with the wrap bit");
    for (guint i = 0; i < 9; i++) {
        vm_reads(vm, VM_ENDPOINT, UNMAPPED);
        vm_next_event(vm, event);
    }
    tap_is(vm_get(vm, VM_EVENTQ_PROD) & 7, 6, "the queue wraps, again and again");
    for (guint i = 0; i < 5; i++)
        vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_is(vm_get(vm, VM_EVENTQ_PROD) & VM_OVERFLOW, 0, "the next overflow toggles back");
    vm_drain_events(vm);
}

/* Host events beyond the guest's queue are lost, and it is told. */
static void test_host_overflow(VMachine *vm)
{
    enum { FAULTS = 400 }; /* more than a host queue holds by default */
    guint64 event[4];
    guint n = 0;

    vm_cfgi_ste(vm, VM_SID);
    for (guint i = 0; i < 12; i++)
        dma_store(&vm->dma[0], UNMAPPED + i * 0x1000, 8, NULL);
    while (n < 4 && vm_wait_event(vm, event))
        n += event[0] >> 32 == VM_SID;
    tap_is(n, 4, "of twelve host events four fit");
    vm_drain_events(vm);
    tap_ok(vm_get(vm, VM_EVENTQ_PROD) & VM_OVERFLOW, "... and the loss is an overflow");
    vm_drain_events(vm);

    vm_set(vm, VM_CR0, 0);
    vm->eventq = 0;
    vm->eventq_bits = 11;
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    vm_cfgi_ste(vm, VM_SID);
    for (guint i = 0; i < FAULTS; i++)
        dma_store(&vm->dma[0], (guint64)(UNMAPPED + i * GUEST_PAGE), 8, NULL);
    for (n = 0; n < FAULTS && vm_wait_event(vm, event);)
        n += event[0] >> 32 == VM_SID && event[2] == (guint64)(UNMAPPED + n * GUEST_PAGE);
    tap_is(n, FAULTS, "the host's queue follows the guest's: all of many events wait");
    tap_is(vm_get(vm, VM_EVENTQ_PROD) & VM_OVERFLOW, 0, "... and none is lost");
}

static void test_switch(VMachine *vm)
{
    guint32 prod;

    vm_drain_events(vm);
    vm_set(vm, VM_CR0, VM_CR0_SMMUEN | VM_CR0_CMDQEN);
    prod = vm_get(vm, VM_EVENTQ_PROD);
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_is(vm_get(vm, VM_EVENTQ_PROD), prod, "a queue that is off gets no events");
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_ok(vm_get(vm, VM_EVENTQ_PROD) != prod, "switched on, it does");
    vm_drain_events(vm);
}

static void test_unwritable(VMachine *vm)
{
    guint64 eventq = vm->eventq;

    vm_set(vm, VM_CR0, VM_CR0_SMMUEN | VM_CR0_CMDQEN);
    vm_set64(vm, VM_EVENTQ_BASE, VM_NOWHERE | vm->eventq_bits);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_is((vm_get(vm, VM_GERROR) ^ vm_get(vm, VM_GERRORN)), VM_GERROR_EVENTQ_ABT,
           "a queue that is no memory is GERROR.EVENTQ_ABT_ERR");
    vm_set(vm, VM_GERRORN, vm_get(vm, VM_GERROR));
    vm->eventq = eventq;
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    vm_reads(vm, VM_ENDPOINT, UNMAPPED);
    tap_is(vm_event_id(vm), VM_F_TRANSLATION, "a new queue works");
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine")) {
        tap_is(vm.n_watched, 1, "a descriptor of events is watched");
        vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
        test_host_events(&vm);
        test_both_sources(&vm);
        test_interrupts(&vm);
        test_overflow(&vm);
        test_host_overflow(&vm);
        test_switch(&vm);
        test_unwritable(&vm);
        vm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
