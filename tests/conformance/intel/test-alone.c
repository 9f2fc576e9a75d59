/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit without a host: emulated endpoints have what no host here could give.
 * Second-stage tables in scalable mode, requests with PASID, privilege and execute,
 * extended accessed flags, 5 levels, device TLBs that are told. A point is a rule.
 */
#include "tap.h"
#include "vtd-machine.h"

enum { EP = VTDM_ENDPOINT, SS_DID = 20, PASID = 70, MIB2 = 1 << 21 };
#define READ       VIOMMU_ACCESS_READ
#define WRITE      VIOMMU_ACCESS_WRITE
#define EXECUTE    VIOMMU_ACCESS_EXECUTE
#define PRIVILEGED VIOMMU_ACCESS_PRIVILEGED

static gboolean faults(VtdMachine *vm, guint16 rid, int pasid, guint64 iova, guint access,
                       guint reason)
{
    guint got;

    vtdm_drain_faults(vm);
    if (vtdm_translate(vm, rid, pasid, iova, access) != VTDM_REFUSED) {
        tap_note("translated");
        return FALSE;
    }
    got = vtdm_fault_reason(vm);
    if (got != reason)
        tap_note("reason 0x%02x", got);
    return got == reason;
}

/* --- the second stage (3.7, 9.8) --------------------------------------------------------
 */

static void test_second_stage(VtdMachine *vm)
{
    guint levels = vtdm_aw(vm) + 2, reason;
    GuestVtdDomain ss;
    guint64 leaf, top, word;
    const guint16 rid = EP + 8;
    const int none = VTDM_NO_PASID;

    guest_vtd_domain_init(&ss, &vm->ram, GUEST_VTD_SECOND, levels, SS_DID);
    guest_vtd_map(&ss, VTDM_IOVA, vm->page, TRUE);
    vtdm_install(vm, rid, &ss);
    tap_is(vtdm_reads(vm, rid, VTDM_IOVA + 8), vm->page + 8,
           "PGTT 2: a second-stage table");
    leaf = guest_vtd_entry_at(&ss, VTDM_IOVA, 1);
    top = guest_vtd_entry_at(&ss, VTDM_IOVA, levels);
    word = vtdm_load(vm, leaf);
    tap_ok(faults(vm, rid, none, 0x9000, READ, VTDM_F_SS_PERMISSION),
           "what is not mapped: 0x79");
    guest_vtd_map(&ss, 0x6000, vm->page, FALSE);
    tap_ok(faults(vm, rid, none, 0x6000, WRITE, VTDM_F_SM_WRITE),
           "a write to what is read-only: 0x85");
    vtdm_store(vm, leaf, word & ~(guint64)GUEST_SS_R);
    vtdm_flush_all(vm);
    tap_ok(faults(vm, rid, none, VTDM_IOVA, READ, VTDM_F_SM_READ),
           "a read of what is write-only: 0x86");
    vtdm_store(vm, leaf, word);
    vtdm_store(vm, top, vtdm_load(vm, top) | GUEST_SS_PS);
    vtdm_flush_all(vm);
    tap_ok(faults(vm, rid, none, VTDM_IOVA, READ, VTDM_F_SS_RESERVED),
           "a page at the highest level: 0x7a");
    word = vtdm_load(vm, top) & ~(guint64)GUEST_SS_PS;
    vtdm_store(vm, top, VTDM_NOWHERE | GUEST_SS_R | GUEST_SS_W);
    vtdm_flush_all(vm);
    tap_ok(faults(vm, rid, none, VTDM_IOVA, READ, VTDM_F_SS_ACCESS),
           "a table that is no memory: 0x78");
    vtdm_store(vm, top, word);
    vtdm_store(vm, guest_vtd_entry_at(&ss, 0x40000000, 2),
               (VTDM_RAM_BASE + MIB2) | GUEST_SS_R | GUEST_SS_W | GUEST_SS_PS);
    vtdm_flush_all(vm);
    if (vtdm_cap(vm, VTDM_CAP_SSLPS, 1))
        tap_is(vtdm_reads(vm, rid, 0x40012345), VTDM_RAM_BASE + MIB2 + 0x12345,
               "a page of 2 MiB");
    else
        tap_ok(faults(vm, rid, none, 0x40012345, READ, VTDM_F_SS_RESERVED),
               "a page of 2 MiB without SSLPS: 0x7a");
    vtdm_drain_faults(vm);
    vtdm_reads(vm, rid, 1ull << 60);
    reason = vtdm_fault_reason(vm);
    tap_ok(reason == VTDM_F_SS_ADDRESS_1 || reason == VTDM_F_SS_ADDRESS_2,
           "an address beyond MGAW and AW: 0x83, or 0x84");
}

/* Fewer levels than the unit has: the entry's own limit. */
static void test_narrow(VtdMachine *vm)
{
    guint sagaw = vtdm_cap(vm, VTDM_CAP_SAGAW, 5);
    guint64 words[GUEST_VTD_PASID_WORDS];
    GuestVtdDomain ss;

    for (guint levels = 3; levels < vtdm_aw(vm) + 2; levels++) {
        if (!(sagaw >> (levels - 2) & 1)) {
            tap_skip("SAGAW has none", "tables of %u levels", levels);
            continue;
        }
        guest_vtd_domain_init(&ss, &vm->ram, GUEST_VTD_SECOND, levels, SS_DID);
        guest_vtd_map(&ss, VTDM_IOVA, vm->page, TRUE);
        vtdm_install(vm, EP + 8, &ss);
        tap_is(vtdm_reads(vm, EP + 8, VTDM_IOVA), vm->page, "tables of %u levels", levels);
        tap_ok(faults(vm, EP + 8, VTDM_NO_PASID, 1ull << (12 + 9 * levels), READ,
                      VTDM_F_SS_ADDRESS_2),
               "... an address beyond them: 0x84");
    }
    guest_vtd_domain_init(&ss, &vm->ram, GUEST_VTD_SECOND, vtdm_aw(vm) + 2, SS_DID);
    guest_vtd_pasid_table(words, &ss);
    words[0] |= 7 << 2;
    vtdm_install_pasid(vm, EP + 8, 0, words);
    tap_ok(faults(vm, EP + 8, VTDM_NO_PASID, VTDM_IOVA, READ, VTDM_F_PASID_INVALID),
           "AW 7: 0x5b");
}

/* --- requests with PASID ----------------------------------------------------------------
 */

static void test_pasids(VtdMachine *vm)
{
    guint64 words[GUEST_VTD_PASID_WORDS], page = vtdm_alloc(vm, GUEST_PAGE), context;
    GuestVtdDomain other;
    VtdmFault f = {0};

    guest_vtd_domain_init(&other, &vm->ram, GUEST_VTD_FIRST, 4, 31);
    guest_vtd_map(&other, VTDM_IOVA, page, TRUE);
    guest_vtd_pasid_table(words, &other);
    vtdm_install_pasid(vm, EP, PASID, words);
    tap_is(vtdm_translate(vm, EP, PASID, VTDM_IOVA, READ), page,
           "a PASID has its own table");
    tap_is(vtdm_reads(vm, EP, VTDM_IOVA), vm->page, "... and requests without have theirs");
    tap_is(vtdm_translate(vm, EP, 0, VTDM_IOVA, READ), vm->page, "PASID 0 is one, too");
    tap_ok(faults(vm, EP, PASID + 1, VTDM_IOVA, READ, VTDM_F_PASID_P),
           "one whose entry is not present: 0x59");
    tap_ok(faults(vm, EP, 1000, VTDM_IOVA, READ, VTDM_F_DIRECTORY_P),
           "... whose directory entry is not: 0x51");
    tap_ok(faults(vm, EP, 128 << 6, VTDM_IOVA, READ, VTDM_F_PASID_RANGE),
           "one beyond the directory: 0x46");
    vtdm_translate(vm, EP, PASID, 0x9000, WRITE);
    tap_ok(vtdm_next_fault(vm, &f) && f.has_pasid && f.pasid == PASID && f.rid == EP,
           "a fault's record has the PASID");
    vtdm_translate(vm, EP, PASID, 0x9000, EXECUTE | READ);
    vtdm_next_fault(vm, &f);
    tap_ok(f.has_pasid && f.execute, "... and whether it would execute");
    context = vtdm_context_at(vm, EP);
    vtdm_store(vm, context, vtdm_load(vm, context) & ~8ull);
    vtdm_flush_all(vm);
    tap_ok(faults(vm, EP, PASID, VTDM_IOVA, READ, VTDM_F_PASIDE), "PASIDE 0: 0x45");
    tap_is(vtdm_reads(vm, EP, VTDM_IOVA), vm->page, "... requests without go on");
    vtdm_store(vm, context, vtdm_load(vm, context) | 8);
    vtdm_store(vm, context + 8, PASID);
    vtdm_flush_all(vm);
    tap_is(vtdm_ecap(vm, VTDM_ECAP_RPS, 1), 1, "ECAP.RPS");
    tap_is(vtdm_reads(vm, EP, VTDM_IOVA), page,
           "RID_PASID: whose entry requests without have");
    vtdm_store(vm, context + 8, 0);
    vtdm_flush_all(vm);
    vtdm_translate(vm, EP, PASID, 0xfee00000, WRITE);
    tap_ok(vtdm_next_fault(vm, &f) && f.address == 0xfee00000,
           "with a PASID 0xfee00000 is an address like any");
}

/* --- privilege and execute (3.6.1) ------------------------------------------------------
 */

static void set_word2(VtdMachine *vm, guint64 bits)
{
    guint64 at = vtdm_pasid_at(vm, EP, PASID) + 16;

    vtdm_store(vm, at, (vtdm_load(vm, at) & ~0xffull) | bits);
    vtdm_flush_all(vm);
}

static void test_privilege(VtdMachine *vm)
{
    enum { SRE = 1, WPE = 1 << 4 };
    GuestVtdDomain domain;
    guint64 words[GUEST_VTD_PASID_WORDS];
    VtdmFault f = {0};

    guest_vtd_domain_init(&domain, &vm->ram, GUEST_VTD_FIRST, 4, 32);
    guest_vtd_map(&domain, VTDM_IOVA, vm->page, TRUE);
    guest_vtd_map(&domain, 0x6000, vm->page, FALSE);
    vtdm_store(vm, guest_vtd_entry_at(&domain, 0x7000, 1),
               vm->page | GUEST_FS_P | GUEST_FS_RW);
    guest_vtd_pasid_table(words, &domain);
    vtdm_install_pasid(vm, EP, PASID, words);
    tap_ok(faults(vm, EP, PASID, VTDM_IOVA, READ | PRIVILEGED, VTDM_F_SRE),
           "a privileged request where SRE is 0: 0x5d");
    tap_ok(faults(vm, EP, PASID, VTDM_IOVA, READ | EXECUTE, VTDM_F_ERE),
           "one that would execute where ERE is 0: 0x5c");
    set_word2(vm, SRE);
    tap_is(vtdm_translate(vm, EP, PASID, 0x7000, READ | PRIVILEGED), vm->page,
           "SRE: a privileged request meets a supervisor's page");
    tap_ok(faults(vm, EP, PASID, 0x7000, READ, VTDM_F_USER), "... a user's does not: 0x81");
    tap_is(vtdm_translate(vm, EP, PASID, 0x6000, WRITE | PRIVILEGED), vm->page,
           "WPE 0: a privileged write ignores read-only");
    set_word2(vm, SRE | WPE);
    tap_ok(faults(vm, EP, PASID, 0x6000, WRITE | PRIVILEGED, VTDM_F_SM_WRITE),
           "WPE: it does not: 0x85");
    vtdm_translate(vm, EP, PASID, 0x9000, READ | PRIVILEGED);
    tap_ok(vtdm_next_fault(vm, &f) && f.privileged, "a fault's record says privileged");
    tap_ok(faults(vm, EP, VTDM_NO_PASID, 0x7000, READ, VTDM_F_FS_P),
           "requests without PASID have a table of their own still");
}

static void test_extended_accessed(VtdMachine *vm)
{
    guint64 words[GUEST_VTD_PASID_WORDS];
    GuestVtdDomain domain;

    guest_vtd_domain_init(&domain, &vm->ram, GUEST_VTD_FIRST, 4, 33);
    guest_vtd_map(&domain, VTDM_IOVA, vm->page, TRUE);
    guest_vtd_pasid_table(words, &domain);
    words[2] |= 1 << 7;
    vtdm_install_pasid(vm, EP, PASID, words);
    tap_is(vtdm_translate(vm, EP, PASID, VTDM_IOVA, READ), vm->page, "EAFE");
    tap_is(vtdm_load(vm, guest_vtd_entry_at(&domain, VTDM_IOVA, 1)) &
               (GUEST_FS_A | GUEST_FS_EA | GUEST_FS_D),
           GUEST_FS_A | GUEST_FS_EA, "... sets A and EA");
    tap_is(vtdm_load(vm, guest_vtd_entry_at(&domain, VTDM_IOVA, 4)) &
               (GUEST_FS_A | GUEST_FS_EA),
           GUEST_FS_A | GUEST_FS_EA, "... on the way there, too");
}

static void test_five_levels(VtdMachine *vm)
{
    const guint64 far = 0x00ff000000005000ull;
    GuestVtdDomain domain;

    guest_vtd_domain_init(&domain, &vm->ram, GUEST_VTD_FIRST, 5, 34);
    guest_vtd_map(&domain, far, vm->page, TRUE);
    vtdm_install(vm, EP + 16, &domain);
    tap_is(vtdm_reads(vm, EP + 16, far), vm->page, "FSPM 1: tables of 5 levels");
    tap_ok(faults(vm, EP + 16, VTDM_NO_PASID, 1ull << 56, READ, VTDM_F_CANONICAL),
           "... with their own canonical addresses");
}

/* --- device TLBs ------------------------------------------------------------------------
 */

static void test_device_tlb(VtdMachine *vm)
{
    tap_is(vtdm_ecap(vm, VTDM_ECAP_DT, 1), 1, "ECAP.DT");
    vm->n_changed = 0;
    tap_ok(vtdm_issue(vm, GUEST_INV_DEVICE_TLB | (guint64)EP << 32, VTDM_IOVA),
           "device-TLB completes");
    tap_is(vm->n_changed, 1, "... and tells the endpoint");
    tap_is(vm->changed_rid, EP, "... by its requester ID");
    tap_ok(vm->changed_iova <= VTDM_IOVA &&
               vm->changed_iova + vm->changed_size >= VTDM_IOVA + 0x1000,
           "... of at least the page");
    vm->n_changed = 0;
    /* S: of 8 pages, by the lowest zero among the address bits. */
    vtdm_issue(vm, GUEST_INV_DEVICE_TLB | (guint64)EP << 32, 0x10000 | 0x3000 | 1);
    tap_ok(vm->n_changed == 1 && vm->changed_iova <= 0x10000 &&
               vm->changed_iova + vm->changed_size >= 0x18000,
           "... of a range");
    vm->n_changed = 0;
    tap_ok(vtdm_issue(vm,
                      GUEST_INV_PASID_DEVICE_TLB | (guint64)EP << 16 | (guint64)PASID << 32,
                      VTDM_IOVA),
           "PASID-based device-TLB completes");
    tap_ok(vm->n_changed == 1 && vm->changed_rid == EP && vm->changed_pasid == PASID,
           "... and tells the endpoint, with the PASID");
}

int main(void)
{
    VtdMachine vm;

    if (tap_ok(vtdm_init(&vm, NULL, NULL, NULL), "a unit without a host")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        vtdm_install(&vm, EP, &vm.domain);
        tap_is(vtdm_reads(&vm, EP, VTDM_IOVA), vm.page, "... serves its endpoints");
        test_second_stage(&vm);
        test_narrow(&vm);
        test_pasids(&vm);
        test_privilege(&vm);
        test_extended_accessed(&vm);
        test_five_levels(&vm);
        test_device_tlb(&vm);
        vtdm_clear(&vm);
    }
    return tap_done();
}
