/* SPDX-License-Identifier: MIT */
/*
 * The whole device: its command queue (3.5, chapter 4). Every command that a stage-1
 * SMMUv3.2 has, every encoding that it has not, errors at the very command, SYNC in all its
 * forms, and a queue that a hostile guest moves about.
 */
#include <errno.h>
#include <linux/iommufd.h>

#include "tap.h"
#include "vmachine.h"

typedef struct {
    const char *name;
    guint64 word0;
    guint64 word1;
} Command;

#define SID     ((guint64)VM_SID << 32)
#define NO_SID  ((guint64)0x1ff << 32)
#define SSEC    (1ull << 10)
#define OF_ASID ((guint64)VM_ASID << 48)

static void test_legal(VMachine *vm)
{
    static const Command commands[] = {
        {"PREFETCH_CONFIG", VM_PREFETCH_CONFIG | SID, 0},
        {"PREFETCH_ADDR", VM_PREFETCH_ADDR | SID, VM_IOVA},
        {"CFGI_STE", VM_CFGI_STE | SID, 1},
        {"CFGI_STE, not only the leaf", VM_CFGI_STE | SID, 0},
        {"CFGI_STE of a stream without a device", VM_CFGI_STE | NO_SID, 1},
        {"CFGI_STE beyond the table", VM_CFGI_STE | 0xffffull << 32, 1},
        {"CFGI_STE_RANGE", VM_CFGI_STE_RANGE | SID, 3},
        {"CFGI_ALL", VM_CFGI_STE_RANGE, 31},
        {"CFGI_CD", VM_CFGI_CD | SID, 1},
        {"CFGI_CD of a stream without a device", VM_CFGI_CD | NO_SID, 1},
        {"CFGI_CD_ALL", VM_CFGI_CD_ALL | SID, 0},
        {"TLBI_NH_ALL", VM_TLBI_NH_ALL, 0},
        {"TLBI_NH_ASID", VM_TLBI_NH_ASID | OF_ASID, 0},
        {"TLBI_NH_VA", VM_TLBI_NH_VA | OF_ASID, VM_IOVA},
        {"TLBI_NH_VA, leaf", VM_TLBI_NH_VA | OF_ASID, VM_IOVA | 1},
        {"TLBI_NH_VAA", VM_TLBI_NH_VAA, VM_IOVA},
        {"TLBI_NSNH_ALL", VM_TLBI_NSNH_ALL, 0},
        {"SYNC", VM_SYNC, 0},
        {"SYNC with SEV", VM_SYNC | 2 << 12, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        tap_ok(vm_issue(vm, commands[i].word0, commands[i].word1), "%s completes",
               commands[i].name);
}

static void test_illegal(VMachine *vm)
{
    static const Command commands[] = {
        {"opcode 0", 0, 0},
        {"an unknown opcode", 0xfe, 0},
        {"RESUME", VM_RESUME | SID, 0},
        {"STALL_TERM", VM_STALL_TERM | SID, 0},
        {"PRI_RESP", 0x41 | SID, 0},
        {"CFGI_VMS_PIDM", 0x07, 0},
        {"TLBI_EL3_ALL", 0x18, 0},
        {"TLBI_EL3_VA", 0x1a, 0},
        {"TLBI_EL2_ALL", 0x20, 0},
        {"TLBI_EL2_ASID", 0x21, 0},
        {"TLBI_EL2_VA", 0x22, 0},
        {"TLBI_EL2_VAA", 0x23, 0},
        {"TLBI_S12_VMALL", 0x28, 0},
        {"TLBI_S2_IPA", 0x2a, 0},
        {"TLBI_SNH_ALL", 0x60, 0},
        {"CFGI_STE of a Secure stream", VM_CFGI_STE | SID | SSEC, 1},
        {"CFGI_CD of a Secure stream", VM_CFGI_CD | SID | SSEC, 1},
        {"SYNC with a reserved signal", VM_SYNC | 3 << 12, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        guint32 at;

        vm_queue(vm, VM_SYNC, 0);
        at = vm->prod;
        vm_queue(vm, commands[i].word0, commands[i].word1);
        vm_queue(vm, VM_SYNC, 0);
        vm_ring(vm);
        tap_ok((vm_get(vm, VM_CMDQ_CONS) & 0xfffff) == at &&
                   vm_cerror(vm) == VM_CERROR_ILL &&
                   (vm_get(vm, VM_GERROR) ^ vm_get(vm, VM_GERRORN)) == VM_GERROR_CMDQ,
               "%s is CERROR_ILL at its index", commands[i].name);
        vm_acknowledge(vm);
    }
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, vm->prod,
           "acknowledged, the queue goes on by itself");
}

/* What is before a bad command is done, what is behind it is not. */
static void test_error_position(VMachine *vm)
{
    guint64 other = vm_alloc(vm, GUEST_PAGE), third = vm_alloc(vm, GUEST_PAGE);
    guint32 at;

    vm_install_s1(vm, VM_SID, &vm->domain);
    guest_domain_map(&vm->domain, VM_IOVA + 0x1000, third, TRUE);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page) &&
               vm_reaches(vm, 0, VM_IOVA + 0x1000, third),
           "two pages are mapped and used");
    guest_domain_map(&vm->domain, VM_IOVA, other, TRUE);
    guest_domain_map(&vm->domain, VM_IOVA + 0x1000, other, TRUE);
    vm_queue(vm, VM_TLBI_NH_VA | OF_ASID, VM_IOVA);
    at = vm->prod;
    vm_queue(vm, 0xfe, 0);
    vm_queue(vm, VM_TLBI_NH_VA | OF_ASID, VM_IOVA + 0x1000);
    vm_queue(vm, VM_SYNC, 0);
    vm_ring(vm);
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, at, "the queue stops at a bad command");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, other), "... with the TLBI before it done");
    vm_ring(vm);
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, at, "... and the doorbell moves nothing");
    vm_acknowledge(vm);
    tap_ok(vm_reaches(vm, 0, VM_IOVA + 0x1000, other),
           "acknowledged, the TLBI behind it is done");
    guest_domain_map(&vm->domain, VM_IOVA, vm->page, TRUE);
    guest_domain_unmap(&vm->domain, VM_IOVA + 0x1000);
    vm_tlbi_all(vm);
}

static void test_sync(VMachine *vm)
{
    guint64 mailbox = vm_alloc(vm, GUEST_PAGE);

    vm->n_msis = 0;
    vm_queue(vm, VM_SYNC, 0);
    vm_ring(vm);
    tap_ok(vm->n_msis == 0 && vm->n_irqs[VIOMMU_SMMUV3_IRQ_CMDQ_SYNC] == 0,
           "SYNC without a signal gives none");
    vm_queue(vm, VM_SYNC | 1 << 12 | 0xcafeull << 32, mailbox);
    vm_ring(vm);
    tap_is(vm_load(vm, mailbox), 0xcafe, "SYNC with a message writes it");
    tap_is(vm->n_msis, 1, "... once");
    vm_queue(vm, VM_SYNC | 1 << 12, 0);
    vm_ring(vm);
    tap_is(vm->n_irqs[VIOMMU_SMMUV3_IRQ_CMDQ_SYNC], 1,
           "SYNC with an interrupt and no address is the wired one");
    tap_is(vm->n_msis, 1, "... and no message");
}

static void test_wrap(VMachine *vm)
{
    guint size = 1u << vm->cmdq_bits;
    gboolean ok = TRUE;

    for (guint i = 0; i < 5 * size; i++) {
        vm_queue(vm, VM_TLBI_NH_VA | OF_ASID, (guint64)i << 12);
        if (i % 50 == 0)
            ok &= vm_ring(vm);
    }
    tap_ok(vm_ring(vm) && ok, "the queue wraps, again and again");
    for (guint i = 0; i < size; i++)
        vm_queue(vm, VM_SYNC, 0);
    tap_ok(vm_ring(vm), "a full queue is consumed by one doorbell");
    vm_ring(vm);
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, vm->prod,
           "a doorbell without commands does nothing");
}

static void test_switch(VMachine *vm)
{
    guint32 cons = vm_get(vm, VM_CMDQ_CONS);

    vm_set(vm, VM_CR0, VM_CR0_SMMUEN | VM_CR0_EVENTQEN);
    vm_queue(vm, VM_SYNC, 0);
    vm_ring(vm);
    tap_is(vm_get(vm, VM_CMDQ_CONS), cons, "a queue that is off consumes nothing");
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, vm->prod,
           "switched on, it consumes what waits");
}

/* Memory is hostile: each command is read once, and no more of them than a queue holds. */
static void test_hostile(VMachine *vm)
{
    guint size = 1u << vm->cmdq_bits;

    vm->counted = vm->cmdq;
    vm->n_reads = 0;
    vm->read_bytes = 0;
    for (guint i = 0; i < 10; i++)
        vm_queue(vm, VM_TLBI_NSNH_ALL, 0);
    vm_ring(vm);
    tap_is(vm->read_bytes, 10 * 16, "each command is read once");
    for (guint i = 0; i < size; i++)
        vm_store(vm, vm->cmdq + 16 * i, VM_SYNC);
    vm->read_bytes = 0;
    vm_set(vm, VM_CMDQ_PROD, (vm_get(vm, VM_CMDQ_CONS) + size + 3) & (2 * size - 1));
    tap_ok(vm->read_bytes <= 16 * size, "an impossible CMDQ_PROD is bounded");
    vm->counted = 0;
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
}

static void test_unreadable(VMachine *vm)
{
    guint64 cmdq = vm->cmdq;

    vm->cmdq = VM_NOWHERE;
    vm_set(vm, VM_CR0, 0);
    vm_set64(vm, VM_CMDQ_BASE, vm->cmdq | vm->cmdq_bits);
    vm_set(vm, VM_CMDQ_PROD, 0);
    vm_set(vm, VM_CMDQ_CONS, 0);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    vm_set(vm, VM_CMDQ_PROD, 1);
    tap_is(vm_cerror(vm), VM_CERROR_ABT, "an unreadable queue is CERROR_ABT");
    tap_is((vm_get(vm, VM_GERROR) ^ vm_get(vm, VM_GERRORN)), VM_GERROR_CMDQ,
           "... and a global error");
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, 0, "... at its index");
    vm->cmdq = cmdq;
    vm_set(vm, VM_CR0, 0);
    vm_set(vm, VM_GERRORN, vm_get(vm, VM_GERROR));
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    tap_ok(vm_issue(vm, VM_TLBI_NSNH_ALL, 0), "a new queue works");
    /* A page in the middle of a queue that is there */
    vm->hole = vm->cmdq;
    vm_queue(vm, VM_SYNC, 0);
    vm_ring(vm);
    tap_is(vm_cerror(vm), VM_CERROR_ABT, "a hole in the queue is CERROR_ABT");
    vm->hole = 0;
    vm_set(vm, VM_GERRORN, vm_get(vm, VM_GERROR));
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, vm->prod,
           "filled and acknowledged, it goes on");
}

/* 4.1: LOG2SIZE beyond IDR1.CMDQS is taken for that; the smallest queue has one entry. */
static void test_sizes(VMachine *vm)
{
    guint bits = vm->cmdq_bits;

    vm->cmdq_bits = 0;
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
    vm_queue(vm, VM_TLBI_NSNH_ALL, 0);
    tap_ok(vm_ring(vm), "a queue of one command");
    vm_queue(vm, VM_SYNC, 0);
    tap_ok(vm_ring(vm), "... used again");
    vm->cmdq_bits = bits;
    vm_start(vm, VM_LINEAR, VM_CR0_ALL);
}

/* The host's refusal of a command, told apart (rule 6 of the contract). */
static void test_host_errors(VMachine *vm, Spy *spy)
{
    guint64 other = vm_alloc(vm, GUEST_PAGE);
    guint32 at;

    vm_install_s1(vm, VM_SID, &vm->domain);
    vm_reaches(vm, 0, VM_IOVA, vm->page);
    guest_domain_map(&vm->domain, VM_IOVA, other, TRUE);
    vm_queue(vm, VM_SYNC, 0);
    at = vm->prod;
    vm_queue(vm, VM_TLBI_NH_VA | OF_ASID, VM_IOVA);
    vm_queue(vm, VM_SYNC, 0);
    spy_fail(spy, IOMMU_HWPT_INVALIDATE, 1, EIO, 9);
    vm_ring(vm);
    spy_fail_none(spy);
    tap_ok(vm_cerror(vm) == VM_CERROR_ILL && (vm_get(vm, VM_CMDQ_CONS) & 0xfffff) == at,
           "what the host calls the guest's fault is CERROR_ILL at its index");
    vm_acknowledge(vm);
    spy_fail(spy, IOMMU_HWPT_INVALIDATE, 1, ENOMEM, 2);
    tap_ok(vm_tlbi_va(vm, VM_ASID, VM_IOVA), "a moment without memory is ridden out");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, other), "... and the command done");
    guest_domain_map(&vm->domain, VM_IOVA, vm->page, TRUE);
    spy_fail(spy, IOMMU_HWPT_INVALIDATE, 1, ENOMEM, 1000);
    vm_queue(vm, VM_TLBI_NH_VA | OF_ASID, VM_IOVA);
    vm_queue(vm, VM_SYNC, 0);
    tap_ok(!vm_ring(vm), "without memory for long, the guest is told");
    tap_ok(vm_cerror(vm) != VM_CERROR_ILL, "... but not that it did wrong");
    spy_fail_none(spy);
    vm_set(vm, VM_GERRORN, vm_get(vm, VM_GERROR));
    tap_is(vm_get(vm, VM_CMDQ_CONS) & 0xfffff, vm->prod, "the same command again succeeds");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... and is done");
}

static void test_ats(const Target *target)
{
    ViommuSmmuv3Config config = {.substream_bits = -1, .ats = VIOMMU_OFF};
    VMachine vm;

    if (!vm_init(&vm, target, target->first, &config))
        return;
    vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
    vm_issue(&vm, VM_ATC_INV | SID, 52);
    tap_is(vm_cerror(&vm), VM_CERROR_ILL, "ATC_INV without ATS is CERROR_ILL");
    vm_clear(&vm);
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine")) {
        vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
        test_legal(&vm);
        test_illegal(&vm);
        test_error_position(&vm);
        test_sync(&vm);
        test_wrap(&vm);
        test_switch(&vm);
        test_hostile(&vm);
        test_unreadable(&vm);
        test_sizes(&vm);
        test_host_errors(&vm, &target.spy);
        vm_clear(&vm);
    }
    test_ats(&target);
    target_clear(&target);
    return tap_done();
}
