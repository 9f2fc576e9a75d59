/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: fault recording (7.2, 7.3; 11.4.9, 11.4.14): what a record says,
 * when there is none, when records run out, and the event that tells of them. A point is a
 * rule.
 */
#include "tap.h"
#include "vtd-machine.h"

enum { UNMAPPED = 0x9000, EP = VTDM_ENDPOINT };
enum { FPD = 1 << 1 };
#define READ  VIOMMU_ACCESS_READ
#define WRITE VIOMMU_ACCESS_WRITE

/* 7.1.3: of what is not mapped. */
static guint not_mapped(const VtdMachine *vm)
{
    return VTDM_BY_NESTING(vm, VTDM_F_FS_P, VTDM_F_SS_PERMISSION);
}

static void fault(VtdMachine *vm, guint16 rid)
{
    vtdm_reads(vm, rid, UNMAPPED);
}

static guint pending(VtdMachine *vm)
{
    return vtdm_get(vm, VTDM_FSTS) & (VTDM_PPF | VTDM_PFO);
}

static guint events(const VtdMachine *vm)
{
    return vm->n_msis[VTDM_FAULT_EVENT];
}

static void test_record(VtdMachine *vm)
{
    VtdmFault f = {0};

    vm->n_msis[VTDM_FAULT_EVENT] = 0;
    vtdm_translate(vm, EP, VTDM_NO_PASID, UNMAPPED + 0x123, READ);
    tap_is(vtdm_get(vm, VTDM_FSTS) & 0xff, VTDM_PPF, "a fault: FSTS.PPF");
    tap_ok(events(vm) == 1 && vm->msi_address == VTDM_MSI, "... and the event");
    tap_is(vtdm_get64(vm, vtdm_record(vm, 0)), UNMAPPED, "... and a record, of a page");
    tap_ok(vtdm_next_fault(vm, &f), "... which is taken");
    tap_is(f.reason, not_mapped(vm), "... of its reason");
    tap_is(f.rid, EP, "... of the source");
    tap_is(f.address, UNMAPPED, "... at its page");
    tap_ok(f.read && f.type == 2, "... a read");
    tap_ok(!f.has_pasid && !f.pasid, "... without a PASID");
    tap_ok(!f.execute && !f.privileged, "... neither execute nor privileged");
    tap_is(pending(vm), 0, "taken, PPF is cleared");
    vtdm_translate(vm, EP, VTDM_NO_PASID, UNMAPPED, WRITE);
    tap_ok(vtdm_next_fault(vm, &f) && !f.read && f.type == 0, "a write is one");
    tap_is(events(vm), 2, "... with its own event");
    vtdm_set(vm, VTDM_FEUADDR, 0x34);
    fault(vm, EP);
    tap_is((gint64)(vm->msi_address >> 32), 0x34, "FEUADDR: to an address of 64 bits");
    vtdm_set(vm, VTDM_FEUADDR, 0);
    vtdm_drain_faults(vm);
    vtdm_translate(vm, EP, VTDM_NO_PASID, UNMAPPED, READ | VIOMMU_ACCESS_PEEK);
    tap_is(pending(vm), 0, "who only peeks leaves no record");
    fault(vm, EP);
    vtdm_set(vm, VTDM_FSTS, VTDM_PPF);
    tap_is(pending(vm), VTDM_PPF, "PPF is not cleared by writing to it");
    vtdm_set64(vm, vtdm_record(vm, 0), 0);
    vtdm_set(vm, vtdm_record(vm, 0) + 8, 0);
    tap_ok(vtdm_next_fault(vm, &f) && f.rid == EP && f.address == UNMAPPED &&
               f.reason == not_mapped(vm),
           "a record is read-only but for F");
}

/* With one record: the next one is lost, and that is told. */
static void test_overflow(VtdMachine *vm)
{
    VtdmFault f = {0};

    tap_is(vtdm_cap(vm, VTDM_CAP_NFR, 8), 0, "CAP.NFR: one record");
    fault(vm, EP);
    fault(vm, EP);
    tap_is(pending(vm), VTDM_PPF, "another fault of the same source is none of its own");
    fault(vm, EP + 8);
    tap_is(pending(vm), VTDM_PPF | VTDM_PFO, "one of another source is an overflow");
    tap_ok(vtdm_next_fault(vm, &f) && f.rid == EP, "... and the record is the first's");
    tap_is(pending(vm), VTDM_PFO, "the overflow stays");
    fault(vm, EP);
    tap_is(pending(vm), VTDM_PFO, "... and nothing is recorded meanwhile");
    vtdm_set(vm, VTDM_FSTS, VTDM_PFO);
    tap_is(pending(vm), 0, "... until it is cleared");
    fault(vm, EP + 8);
    tap_ok(vtdm_next_fault(vm, &f) && f.rid == EP + 8, "then the next fault is recorded");
}

static void test_masking(VtdMachine *vm)
{
    vtdm_drain_faults(vm);
    vm->n_msis[VTDM_FAULT_EVENT] = 0;
    vtdm_set(vm, VTDM_FECTL, VTDM_IM);
    fault(vm, EP);
    tap_ok(events(vm) == 0 && vtdm_get(vm, VTDM_FECTL) == (VTDM_IM | VTDM_IP),
           "IM: the event is held, and IP set");
    vtdm_set(vm, VTDM_FECTL, 0);
    tap_ok(events(vm) == 1 && vtdm_get(vm, VTDM_FECTL) == 0,
           "IM cleared, it is sent, and IP cleared");
    vtdm_drain_faults(vm);
    vtdm_set(vm, VTDM_FECTL, VTDM_IM);
    fault(vm, EP);
    vtdm_drain_faults(vm);
    tap_is(vtdm_get(vm, VTDM_FECTL), VTDM_IM, "what was pending is cleared: so is IP");
    vtdm_set(vm, VTDM_FECTL, 0);
    tap_is(events(vm), 1, "... and no event is sent");
    fault(vm, EP);
    fault(vm, EP + 8);
    tap_is(events(vm), 2, "while one is pending there is no other");
    vtdm_drain_faults(vm);
    fault(vm, EP);
    tap_is(events(vm), 3, "... but after it");
    vtdm_drain_faults(vm);
}

/* FPD: nothing is recorded that the entry qualifies. */
static void silent(VtdMachine *vm, guint64 at, guint64 bad_at, guint64 bad,
                   const char *name)
{
    guint64 word = vtdm_load(vm, at), before = vtdm_load(vm, bad_at);
    gboolean refused;

    vtdm_store(vm, at, word | FPD);
    vtdm_store(vm, bad_at, bad_at == at ? bad | FPD : bad);
    vtdm_flush_all(vm);
    vtdm_drain_faults(vm);
    refused = vtdm_reads(vm, EP, VTDM_IOVA) == VTDM_REFUSED;
    tap_ok(refused && !pending(vm), "FPD: %s is refused in silence", name);
    vtdm_store(vm, bad_at, before);
    vtdm_store(vm, at, word);
    vtdm_flush_all(vm);
}

static void test_fpd(VtdMachine *vm)
{
    guint64 context = vtdm_context_at(vm, EP), entry = vtdm_pasid_at(vm, EP, 0);
    guint64 directory = vtdm_load(vm, context) & ~0xfffull;
    guint64 leaf = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, 1);
    guint64 page = vtdm_load(vm, leaf);
    const guint64 no_pgtt = vtdm_load(vm, entry) & ~GUEST_VTD_PGTT(7);

    silent(vm, context, leaf, 0, "(context entry) a page not present");
    silent(vm, context, entry, 0, "(context entry) a PASID entry not present");
    silent(vm, context, directory, 0, "(context entry) a directory entry not present");
    silent(vm, directory, leaf, 0, "(directory entry) a page not present");
    silent(vm, directory, entry, no_pgtt, "(directory entry) PGTT 0");
    silent(vm, entry, leaf, 0, "(PASID entry) a page not present");
    silent(vm, entry, entry, no_pgtt, "(PASID entry) PGTT 0");
    vtdm_store(vm, leaf, 0);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reads(vm, EP, VTDM_IOVA) == VTDM_REFUSED && pending(vm),
           "without FPD it is recorded");
    vtdm_store(vm, leaf, page);
    vtdm_flush_all(vm);
    vtdm_drain_faults(vm);
}

/* What is found before any entry could say FPD, or in that very entry, is recorded. */
static void test_unqualified(VtdMachine *vm)
{
    guint64 context = vtdm_context_at(vm, EP), word = vtdm_load(vm, context);
    guint64 root = vm->root + 16 * (EP >> 8), half = vtdm_load(vm, root);

    vtdm_store(vm, context, word | FPD);
    vtdm_store(vm, context + 16, 1);
    vtdm_flush_all(vm);
    vtdm_drain_faults(vm);
    vtdm_reads(vm, EP, VTDM_IOVA);
    tap_is(vtdm_fault_reason(vm), VTDM_F_SM_CONTEXT_RESERVED,
           "a context entry's reserved bits are told, with FPD too");
    vtdm_store(vm, context + 16, 0);
    vtdm_store(vm, root, 0);
    vtdm_flush_all(vm);
    vtdm_reads(vm, EP, VTDM_IOVA);
    tap_is(vtdm_fault_reason(vm), VTDM_F_SM_ROOT_P, "... a root entry not present too");
    vtdm_store(vm, root, half);
    vtdm_store(vm, context, word);
    vtdm_flush_all(vm);
}

static void test_fpd_legacy(VtdMachine *vm)
{
    guint64 context, low;

    vtdm_start(vm, VTDM_LEGACY);
    vtdm_install_pass_through(vm, EP);
    context = vtdm_context_at(vm, EP);
    low = vtdm_load(vm, context);
    silent(vm, context, context, low | 3 << 2, "(legacy) TT 3");
    silent(vm, context, context, low & ~1ull, "(legacy) a context entry not present");
    vtdm_store(vm, context, low | 3 << 2);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reads(vm, EP, VTDM_IOVA) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_CONTEXT_INVALID,
           "without FPD it is recorded");
}

/* --- several records --------------------------------------------------------------------
 */

static guint recorded(VtdMachine *vm, guint n)
{
    guint64 high = vtdm_get64(vm, vtdm_record(vm, n) + 8);

    return high >> 63 ? high & 0xffff : 0;
}

static void test_records(const Target *target)
{
    const ViommuVtdConfig config = {.pasid_bits = -1, .fault_records = 4};
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, target, target->first, &config), "four records"))
        return;
    tap_is(vtdm_cap(&vm, VTDM_CAP_NFR, 8), 3, "... CAP.NFR says so");
    vtdm_start(&vm, VTDM_SCALABLE);
    for (guint i = 0; i < 4; i++)
        fault(&vm, EP + 8 * i);
    tap_is(pending(&vm), VTDM_PPF, "four faults of four sources fit");
    tap_is(vtdm_get(&vm, VTDM_FSTS) >> 8 & 0xff, 0, "... FRI is that of the first");
    tap_ok(recorded(&vm, 0) == EP && recorded(&vm, 1) == EP + 8 &&
               recorded(&vm, 2) == EP + 16 && recorded(&vm, 3) == EP + 24,
           "... they stand in order");
    fault(&vm, EP + 16);
    tap_is(pending(&vm), VTDM_PPF, "a source that is pending does not overflow");
    vtdm_set(&vm, vtdm_record(&vm, 1) + 12, 1u << 31);
    fault(&vm, EP + 32);
    tap_is(pending(&vm), VTDM_PPF | VTDM_PFO,
           "the next register is still pending: an overflow, though another is free");
    tap_is(recorded(&vm, 1), 0, "... which stays free");
    vtdm_drain_faults(&vm);
    tap_is(pending(&vm), 0, "all are taken");
    fault(&vm, EP);
    fault(&vm, EP + 8);
    vtdm_set(&vm, vtdm_record(&vm, 0) + 12, 1u << 31);
    fault(&vm, EP + 16);
    tap_ok(recorded(&vm, 1) == EP + 8 && recorded(&vm, 2) == EP + 16,
           "the registers are used in turn");
    vtdm_drain_faults(&vm);
    fault(&vm, EP);
    tap_ok(vtdm_get(&vm, VTDM_FSTS) >> 8 == 3 && recorded(&vm, 3) == EP,
           "FRI: where the first of a new series is");
    vtdm_clear(&vm);
}

/* --- host devices -----------------------------------------------------------------------
 */

static void test_refused(VtdMachine *vm)
{
    guint64 words[GUEST_VTD_PASID_WORDS];
    VtdmFault f = {0};

    vtdm_start(vm, VTDM_SCALABLE);
    guest_vtd_pasid_table(words, &vm->domain);
    words[0] = (words[0] & ~GUEST_VTD_PGTT(7)) | GUEST_VTD_PGTT(5);
    vtdm_drain_faults(vm);
    vm->n_msis[VTDM_FAULT_EVENT] = 0;
    vtdm_install_pasid(vm, VTDM_RID, 0, words);
    tap_ok(vtdm_next_fault(vm, &f), "a bad entry of a host device is a fault at once");
    tap_is(f.rid, VTDM_RID, "... of the device");
    tap_is(f.reason, VTDM_F_PASID_INVALID, "... for the entry's reason");
    tap_ok(f.read && f.address == 0, "... a read at 0");
    tap_ok(!f.has_pasid, "... without a PASID");
    tap_is(events(vm), 1, "... with one event");
    tap_ok(vtdm_is_blocked(vm, 0), "... and the device is blocked");
    tap_ok(!vtdm_next_fault(vm, &f), "... whose DMA is not recorded");
    words[0] |= FPD;
    vtdm_install_pasid(vm, VTDM_RID, 0, words);
    tap_ok(!vtdm_next_fault(vm, &f), "with FPD it is refused in silence");
    tap_ok(vtdm_is_blocked(vm, 0), "... but refused");
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "put right, it serves");
}

/* What hardware refuses is not passed on: Linux 7.3 has no way of telling user space. */
static void test_hardware(VtdMachine *vm)
{
    vtdm_drain_faults(vm);
    vm->n_msis[VTDM_FAULT_EVENT] = 0;
    tap_ok(vtdm_is_refused(vm, 0, UNMAPPED), "DMA to a page that is not mapped is refused");
    tap_ok(pending(vm) == 0 && events(vm) == 0, "... by hardware, without a record");
    fault(vm, EP);
    tap_ok(pending(vm) == VTDM_PPF && events(vm) == 1, "... which an endpoint's DMA has");
    vtdm_drain_faults(vm);
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        vtdm_install(&vm, EP, &vm.domain);
        vtdm_install(&vm, EP + 8, &vm.domain);
        test_record(&vm);
        test_overflow(&vm);
        test_masking(&vm);
        test_fpd(&vm);
        test_unqualified(&vm);
        test_fpd_legacy(&vm);
        test_refused(&vm);
        test_hardware(&vm);
        vtdm_clear(&vm);
    }
    test_records(&target);
    target_clear(&target);
    return tap_done();
}
