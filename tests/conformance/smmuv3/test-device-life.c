/* SPDX-License-Identifier: MIT */
/*
 * The whole device: the life of a driver as Linux drives an SMMUv3, its registers in its
 * order, its commands with its fields, SYNC by message into the queue; from the first probe
 * to a kexec that finds the SMMU running. Each step is seen in bytes of memory.
 */
#include "tap.h"
#include "vmachine.h"

enum { BYPASS = 4, UNMAPPED = 0x20000000, N_PAGES = 24, MAP_BASE = 0x4000000 };

/* A register that is acknowledged in another. */
static gboolean set_and_wait(VMachine *vm, guint reg, guint ack, guint32 value)
{
    vm_set(vm, reg, value);
    return vm_get(vm, ack) == value;
}

/* SYNC that writes 0 over its own word 0, where IDR0.MSI is: what Linux polls for. */
static gboolean send_sync(VMachine *vm)
{
    guint64 at = vm->cmdq + 16 * (vm->prod & ((1u << vm->cmdq_bits) - 1));

    vm_queue(vm, VM_SYNC | 1 << 12 | 3 << 22 | 0xfull << 24, at);
    vm_ring(vm);
    return (guint32)vm_load(vm, at) == 0;
}

static gboolean command(VMachine *vm, guint64 word0, guint64 word1)
{
    vm_queue(vm, word0, word1);
    return send_sync(vm);
}

static gboolean probe(VMachine *vm)
{
    guint32 idr0 = vm_get(vm, VM_IDR0), idr1 = vm_get(vm, VM_IDR1);
    guint32 idr5 = vm_get(vm, VM_IDR5);

    return (idr0 & 2) && (idr0 >> 3 & 1) && (idr1 & 0x3f) && !(idr1 >> 28 & 7) &&
           (idr5 & 0x70) && (idr0 >> 24 & 3) == 1;
}

/* arm_smmu_device_reset(), with an empty table. */
static gboolean reset(VMachine *vm, VmTable table)
{
    gsize bits = table == VM_LINEAR ? 9 : 10;
    gboolean ok = TRUE;

    if (vm_get(vm, VM_CR0) & VM_CR0_SMMUEN) {
        vm_set(vm, VM_GBPA, (vm_get(vm, VM_GBPA) | VM_GBPA_ABORT) | VM_GBPA_UPDATE);
        ok &= !(vm_get(vm, VM_GBPA) & VM_GBPA_UPDATE);
    }
    ok &= set_and_wait(vm, VM_CR0, VM_CR0ACK, 0);
    ok &= set_and_wait(vm, VM_IRQ_CTRL, VM_IRQ_CTRLACK, 0);
    vm_set(vm, VM_CR1, VM_CR1_NORMAL);
    vm_set(vm, VM_CR2, VM_CR2_PTM | VM_CR2_RECINVSID);
    vm->strtab = vm_alloc(vm, table == VM_LINEAR ? 64u << bits : 4096);
    vm->cmdq = vm_alloc(vm, 16u << vm->cmdq_bits);
    vm->eventq = vm_alloc(vm, 32u << vm->eventq_bits);
    vm_set_table(vm, table, bits, vm->strtab);
    vm_set64(vm, VM_CMDQ_BASE, vm->cmdq | 1ull << 62 | vm->cmdq_bits);
    vm_set(vm, VM_CMDQ_PROD, 0);
    vm_set(vm, VM_CMDQ_CONS, 0);
    vm->prod = 0;
    ok &= set_and_wait(vm, VM_CR0, VM_CR0ACK, VM_CR0_CMDQEN);
    ok &= command(vm, VM_CFGI_STE_RANGE, 31);
    ok &= command(vm, VM_TLBI_NSNH_ALL, 0);
    vm_set64(vm, VM_EVENTQ_BASE, vm->eventq | 1ull << 62 | vm->eventq_bits);
    vm_set(vm, VM_EVENTQ_PROD, 0);
    vm_set(vm, VM_EVENTQ_CONS, 0);
    vm->cons = 0;
    ok &= set_and_wait(vm, VM_CR0, VM_CR0ACK, VM_CR0_CMDQEN | VM_CR0_EVENTQEN);
    vm_set64(vm, VM_GERROR_IRQ_CFG0, 0);
    vm_set64(vm, VM_EVENTQ_IRQ_CFG0, VM_DOORBELL + 0x40);
    vm_set(vm, VM_EVENTQ_IRQ_CFG1, 1);
    vm_set(vm, VM_EVENTQ_IRQ_CFG2, 1);
    ok &= set_and_wait(vm, VM_IRQ_CTRL, VM_IRQ_CTRLACK, VM_IRQ_GERROR | VM_IRQ_EVENTQ);
    return ok;
}

/* All of an entry but word 0, then word 0, each step made known: never half an entry. */
static void write_ste(VMachine *vm, guint32 sid, guint64 word0, guint64 word1)
{
    guint64 at = vm_ste_address(vm, sid);

    if (vm_load(vm, at) & 1) {
        vm_store(vm, at, 0);
        command(vm, VM_CFGI_STE | (guint64)sid << 32, 1);
    }
    vm_store(vm, at + 8, word1);
    command(vm, VM_CFGI_STE | (guint64)sid << 32, 1);
    vm_store(vm, at, word0);
    command(vm, VM_CFGI_STE | (guint64)sid << 32, 1);
}

static void attach(VMachine *vm, guint32 sid, const GuestDomain *domain)
{
    guint64 words[2];

    vm_s1_words(domain, words);
    write_ste(vm, sid, words[0], words[1]);
}

/* arm_smmu_tlb_inv_range_domain(): ranges where there is RIL, else page by page. */
static gboolean invalidate(VMachine *vm, guint16 asid, guint64 iova, guint n_pages)
{
    gboolean ril = vm_get(vm, VM_IDR3) >> 10 & 1;

    while (n_pages) {
        guint scale = 0, num;
        guint64 word0 = VM_TLBI_NH_VA | (guint64)asid << 48, word1 = iova | 1 /* leaf */;

        if (ril) {
            scale = __builtin_ctz(n_pages);
            num = n_pages >> scale & 0x1f;
            word0 |= (guint64)(num - 1) << 12 | (guint64)scale << 20;
            word1 |= 1 << 10 /* TG: 4 KiB */ | 3 << 8 /* TTL: level 3 */;
            num <<= scale;
        } else {
            num = 1;
        }
        vm_queue(vm, word0, word1);
        n_pages -= num;
        iova += (guint64)num * GUEST_PAGE;
    }
    return send_sync(vm);
}

static void test_probe(VMachine *vm, VmTable table)
{
    tap_ok(probe(vm), "probe: an SMMUv3 that Linux drives");
    tap_ok(reset(vm, table), "reset: every write is acknowledged, every SYNC comes");
    tap_ok(vm_is_bypassed(vm, 0), "not enabled yet, DMA bypasses");
    tap_ok(set_and_wait(vm, VM_CR0, VM_CR0ACK, VM_CR0_ALL), "SMMUEN");
    tap_ok(vm_is_blocked(vm, 0), "enabled, with no entry DMA is refused");
    write_ste(vm, VM_SID, 1 | BYPASS << 1, 1ull << 44);
    tap_ok(vm_is_bypassed(vm, 0), "a device of an identity domain bypasses");
    attach(vm, VM_SID, &vm->domain);
    attach(vm, VM_ENDPOINT, &vm->domain);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "attached to a domain, it is translated");
    tap_ok(!vm_is_bypassed(vm, 0), "... and nothing else");
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "... an endpoint too");
}

static gboolean all_reach(VMachine *vm, const guint64 pages[N_PAGES])
{
    gboolean ok = TRUE;

    for (guint i = 0; i < N_PAGES; i++)
        ok &= vm_reaches(vm, 0, MAP_BASE + (guint64)i * GUEST_PAGE, pages[i]) &&
              vm_reads(vm, VM_ENDPOINT, MAP_BASE + (guint64)i * GUEST_PAGE) == pages[i];
    return ok;
}

static gboolean none_reaches(VMachine *vm, guint first, guint n)
{
    gboolean ok = TRUE;

    for (guint i = first; i < first + n; i++)
        ok &= vm_is_refused(vm, 0, MAP_BASE + (guint64)i * GUEST_PAGE) &&
              vm_reads(vm, VM_ENDPOINT, MAP_BASE + (guint64)i * GUEST_PAGE) == VM_REFUSED;
    return ok;
}

static void test_map(VMachine *vm)
{
    guint64 pages[N_PAGES];

    for (guint i = 0; i < N_PAGES; i++) {
        pages[i] = vm_alloc(vm, GUEST_PAGE);
        guest_domain_map(&vm->domain, MAP_BASE + (guint64)i * GUEST_PAGE, pages[i], TRUE);
    }
    tap_ok(all_reach(vm, pages), "map: %u pages, without a command", N_PAGES);
    for (guint i = 3; i < 3 + 13; i++)
        guest_domain_unmap(&vm->domain, MAP_BASE + (guint64)i * GUEST_PAGE);
    tap_ok(invalidate(vm, VM_ASID, MAP_BASE + 3 * GUEST_PAGE, 13),
           "unmap: 13 pages, by range");
    tap_ok(none_reaches(vm, 3, 13), "... none of them is reached any more");
    tap_ok(vm_reaches(vm, 0, MAP_BASE + 2 * GUEST_PAGE, pages[2]) &&
               vm_reaches(vm, 0, MAP_BASE + 16 * GUEST_PAGE, pages[16]),
           "... those beside them are");
    for (guint i = 3; i < 3 + 13; i++) {
        pages[i] = vm_alloc(vm, GUEST_PAGE);
        guest_domain_map(&vm->domain, MAP_BASE + (guint64)i * GUEST_PAGE, pages[i], TRUE);
    }
    tap_ok(all_reach(vm, pages), "map again, elsewhere");
    for (guint i = 0; i < N_PAGES; i++)
        guest_domain_unmap(&vm->domain, MAP_BASE + (guint64)i * GUEST_PAGE);
    command(vm, VM_TLBI_NH_ASID | (guint64)VM_ASID << 48, 0);
    tap_ok(none_reaches(vm, 0, N_PAGES), "unmap all, by ASID");
}

static void test_fault(VMachine *vm)
{
    guint64 event[4] = {0};

    vm_drain_events(vm);
    vm->n_msis = 0;
    dma_store(&vm->dma[0], 0x9000, 8, NULL);
    tap_ok(vm_meets_event(vm, VM_F_TRANSLATION, VM_SID, 0x9000, event),
           "fault: the driver finds it in its queue");
    tap_ok(vm->n_msis >= 1 && vm->msi_address == VM_DOORBELL + 0x40,
           "... and its interrupt came");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... DMA elsewhere goes on");
}

/* A domain is left: bypass, then another. */
static void test_detach(VMachine *vm)
{
    GuestDomain other;
    guint64 page = vm_alloc(vm, GUEST_PAGE);

    guest_domain_init(&other, &vm->ram, VM_ASID + 5);
    guest_domain_map(&other, VM_IOVA, page, TRUE);
    write_ste(vm, VM_SID, 1, 0);
    command(vm, VM_TLBI_NH_ASID | (guint64)VM_ASID << 48, 0);
    tap_ok(vm_is_blocked(vm, 0), "detach: the blocked domain");
    attach(vm, VM_SID, &other);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, page), "attach: another domain");
    attach(vm, VM_SID, &vm->domain);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... and the first again");
}

/* A new kernel finds the SMMU enabled, and nobody has reset it. */
static void test_kexec(VMachine *vm, VmTable table)
{
    GuestDomain fresh;
    guint64 page = vm_alloc(vm, GUEST_PAGE);

    tap_is(vm_get(vm, VM_CR0) & VM_CR0_SMMUEN, VM_CR0_SMMUEN, "kexec: found enabled");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... with the old kernel's tables");
    tap_ok(probe(vm) && reset(vm, table), "... taken over as it is");
    tap_ok(vm_is_blocked(vm, 0), "... DMA is refused, by GBPA.ABORT");
    tap_ok(set_and_wait(vm, VM_CR0, VM_CR0ACK, VM_CR0_ALL), "... enabled");
    tap_ok(vm_is_blocked(vm, 0), "... and the old tables are gone");
    guest_domain_init(&fresh, &vm->ram, VM_ASID);
    guest_domain_map(&fresh, VM_IOVA, page, TRUE);
    attach(vm, VM_SID, &fresh);
    attach(vm, VM_ENDPOINT, &fresh);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, page), "... the new kernel's serve, same ASID");
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == page, "... endpoints too");
    tap_is((vm_get(vm, VM_GERROR) ^ vm_get(vm, VM_GERRORN)), 0, "no global error in all");
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    for (VmTable table = VM_LINEAR; table <= VM_TWO_LEVEL; table++) {
        if (!tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine, %s",
                    table == VM_LINEAR ? "a linear table" : "a table of two levels"))
            break;
        test_probe(&vm, table);
        test_map(&vm);
        test_fault(&vm);
        test_detach(&vm);
        test_kexec(&vm, table == VM_LINEAR ? VM_TWO_LEVEL : VM_LINEAR);
        vm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
