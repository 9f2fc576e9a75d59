/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: what it makes the host do. What each PASID table entry becomes,
 * counts of host calls, and where DMA goes when the host refuses. A point is a rule.
 */
#include <errno.h>

#include "tap.h"
#include "vtd-machine.h"

enum { OTHER_DID = 30 };

/* Another domain, with a page of its own at VTDM_IOVA. */
static guint64 make_domain(VtdMachine *vm, GuestVtdDomain *domain, guint16 did)
{
    guint64 page = vtdm_alloc(vm, GUEST_PAGE);

    vtdm_domain_init(vm, domain, did);
    guest_vtd_map(domain, VTDM_IOVA, page, TRUE);
    return page;
}

/* The entry of a domain, with another PGTT. */
static void put_pgtt(VtdMachine *vm, guint pgtt)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_table(words, &vm->domain);
    words[0] = (words[0] & ~GUEST_VTD_PGTT(7)) | GUEST_VTD_PGTT(pgtt);
    vtdm_install_pasid(vm, VTDM_RID, 0, words);
}

static void test_calls(VtdMachine *vm, Spy *spy)
{
    spy_reset_counts(spy);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_is(vtdm_count(vm, spy, VTDM_CALL_TABLES), 1, "an entry with tables is one %s",
           VTDM_BY_WAY(vtdm_way(vm), "HWPT", "HWPT", "map, as the domain has one page"));
    tap_is(vtdm_count(vm, spy, VTDM_CALL_ATTACH), 1, "... and one attach");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... which DMA follows");
    tap_ok(vtdm_is_refused(vm, 0, vm->page), "... and nothing but it");
    spy_reset_counts(spy);
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_DOMAIN, VTDM_DID, 0), 0);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_is(vtdm_count(vm, spy, VTDM_CALL_ATTACH) + vtdm_count(vm, spy, VTDM_CALL_TABLES), 0,
           "an unchanged entry makes no attach, however it is told");
    tap_is(spy->n_calls, 0, "... and no host call at all");
    vtdm_flush_context(vm, 0xff00, 0);
    vtdm_flush_page(vm, OTHER_DID, 0, VTDM_IOVA);
    vtdm_flush_pasid(vm, OTHER_DID, 0);
    tap_is(spy->n_calls, 0, "what concerns no host device is no host call");
    vtdm_issue(vm, GUEST_INV_WAIT, 0);
    tap_is(spy->n_calls, 0, "nor is a wait");
    vtdm_install_pass_through(vm, VTDM_RID);
    tap_is(vtdm_count(vm, spy, VTDM_CALL_TABLES), VTDM_BY_WAY(vtdm_way(vm), 0, 0, 1),
           "pass-through needs no %s",
           VTDM_BY_WAY(vtdm_way(vm), "HWPT of its own", "HWPT of its own",
                       "more than guest memory mapped"));
    tap_is(vtdm_count(vm, spy, VTDM_CALL_ATTACH), 1, "... but one attach");
    tap_ok(vtdm_is_identity(vm, 0), "... and DMA meets guest-physical memory");
    vtdm_remove(vm, VTDM_RID);
    tap_ok(vtdm_is_blocked(vm, 0), "an entry that is not present blocks");
    tap_is(vtdm_fault_reason(vm), 0, "... in silence");
    spy_reset_counts(spy);
    vtdm_flush_pasid(vm, 0, 0);
    vtdm_flush_all(vm);
    tap_is(spy->n_calls, 0, "blocked after blocked is no host call");
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "present again, it serves");
}

/* What cannot be bound is refused once, in words and by a fault record. */
static void refused(VtdMachine *vm, guint pgtt, guint reason)
{
    g_autofree char *words = g_strdup_printf("PGTT %u", pgtt);
    VtdmFault fault = {0};

    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_drain_faults(vm);
    g_clear_pointer(&vm->refusal, g_free);
    put_pgtt(vm, pgtt);
    tap_ok(vtdm_is_blocked(vm, 0), "PGTT %u is blocked", pgtt);
    tap_has(vm->refusal, words, "... refused by its value");
    tap_has(vm->refusal,
            pgtt == GUEST_PGTT_FIRST    ? "ECAP.FSTS"
            : pgtt == GUEST_PGTT_NESTED ? "ECAP.NEST"
                                        : "neither",
            "... and by what it is, or what is not offered");
    tap_ok(vtdm_next_fault(vm, &fault) && fault.reason == reason && fault.rid == VTDM_RID,
           "... and is fault 0x%02x", reason);
    if (fault.reason != reason)
        tap_note("reason 0x%02x", fault.reason);
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    vtdm_flush_all(vm);
    tap_ok(!vtdm_next_fault(vm, &fault), "... once, as long as it is the same");
}

static void test_refusals(VtdMachine *vm)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    refused(vm, 0, VTDM_F_PASID_INVALID);
    refused(vm, GUEST_PGTT_NESTED, VTDM_F_PASID_INVALID);
    /* A host that cannot nest has no first stage to give. */
    refused(vm, VTDM_BY_NESTING(vm, 5, GUEST_PGTT_FIRST), VTDM_F_PASID_INVALID);
    refused(vm, 7, VTDM_F_PASID_INVALID);
    put_pgtt(vm, 6);
    tap_is(vtdm_fault_reason(vm), VTDM_F_PASID_INVALID,
           "another bad entry is another fault");
    guest_vtd_pasid_table(words, &vm->domain);
    words[3] = 1;
    vtdm_install_pasid(vm, VTDM_RID, 0, words);
    tap_is(vtdm_fault_reason(vm), VTDM_F_PASID_RESERVED,
           "... each by its reason: reserved");
    tap_ok(vtdm_is_blocked(vm, 0), "... blocked too");
    guest_vtd_pasid_table(words, &vm->domain);
    words[VTDM_BY_NESTING(vm, 2, 0)] |= VTDM_BY_NESTING(vm, 3, 7) << 2;
    vtdm_install_pasid(vm, VTDM_RID, 0, words);
    tap_is(vtdm_fault_reason(vm), VTDM_F_PASID_INVALID, "%s is invalid",
           VTDM_BY_NESTING(vm, "FSPM 3", "AW 7"));
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "put right, it serves");
    tap_is(vtdm_fault_reason(vm), 0, "... without a fault");
}

/* Tables on the way to the entry. */
static void test_way(VtdMachine *vm)
{
    guint64 context = vtdm_context_at(vm, VTDM_RID), entry = vtdm_load(vm, context);
    guint64 directory = entry & ~0xfffull, table = vtdm_load(vm, directory);

    vtdm_store(vm, directory, 0);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_DOMAIN, VTDM_DID, 0), 0);
    tap_ok(vtdm_is_blocked(vm, 0) && !vtdm_fault_reason(vm),
           "a directory entry not present blocks in silence");
    vtdm_store(vm, directory, table | 1 << 2);
    vtdm_flush_all(vm);
    tap_ok(vtdm_is_blocked(vm, 0) && vtdm_fault_reason(vm) == VTDM_F_DIRECTORY_RESERVED,
           "a bad one is refused: 0x52");
    vtdm_store(vm, directory, VTDM_NOWHERE | 1);
    vtdm_flush_all(vm);
    tap_ok(vtdm_is_blocked(vm, 0) && vtdm_fault_reason(vm) == VTDM_F_PASID_ACCESS,
           "one that leads nowhere: 0x58");
    vtdm_store(vm, directory, table);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "put right, it serves");
    vtdm_put_context(vm, VTDM_RID, 0, 0);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(vtdm_is_blocked(vm, 0) && !vtdm_fault_reason(vm),
           "a context entry not present blocks in silence");
    vtdm_put_context(vm, VTDM_RID, entry | 1 << 8, 0);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(vtdm_is_blocked(vm, 0) && vtdm_fault_reason(vm) == VTDM_F_SM_CONTEXT_RESERVED,
           "a bad one is refused: 0x42");
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_is(vtdm_fault_reason(vm), 0, "... once");
    vtdm_put_context(vm, VTDM_RID, entry | 1 << 7, 0);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_is(vtdm_fault_reason(vm), VTDM_F_SM_CONTEXT_RESERVED,
           "... and again for another bad one");
    vtdm_put_context(vm, VTDM_RID, entry, 128 << 6);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(vtdm_is_blocked(vm, 0) && vtdm_fault_reason(vm) == VTDM_F_RID_PASID_RANGE,
           "RID_PASID beyond the directory: 0x48");
    vtdm_put_context(vm, VTDM_RID, entry, 0);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "present, it is bound by that alone");
}

/* --- changes ----------------------------------------------------------------------------
 */

/* Each invalidation that concerns an entry has it read again. */
static void test_changes(VtdMachine *vm)
{
    GuestVtdDomain other;
    guint64 page = make_domain(vm, &other, OTHER_DID);
    guint64 words[2][GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_table(words[0], &vm->domain);
    guest_vtd_pasid_table(words[1], &other);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_put_pasid(vm, VTDM_RID, 0, words[1]);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "a changed entry is not seen");
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... until PASID-cache by PASID, old DID");
    vtdm_put_pasid(vm, VTDM_RID, 0, words[0]);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_DOMAIN, OTHER_DID, 0), 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... or by domain");
    vtdm_put_pasid(vm, VTDM_RID, 0, words[1]);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... or global");
    vtdm_put_pasid(vm, VTDM_RID, 0, words[0]);
    vtdm_flush_pasid(vm, OTHER_DID + 1, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... and not by another domain's");
    vtdm_flush_pasid(vm, OTHER_DID, 0);
    vtdm_put_pasid(vm, VTDM_RID, 0, words[1]);
    vtdm_flush_context(vm, VTDM_RID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... or context-cache by device");
    vtdm_put_pasid(vm, VTDM_RID, 0, words[0]);
    vtdm_issue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, 0, VTDM_RID + 7, 3), 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... by its function mask");
    vtdm_put_pasid(vm, VTDM_RID, 0, words[1]);
    vtdm_issue(vm, guest_vtd_inv_context(GUEST_CONTEXT_GLOBAL, 0, 0, 0), 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... or global");
    vtdm_put_pasid(vm, VTDM_RID, 0, words[0]);
    vtdm_set_root(vm, VTDM_SCALABLE, vm->root);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... or SRTP");
    vtdm_command(vm, VTDM_TE, FALSE);
    vtdm_put_pasid(vm, VTDM_RID, 0, words[1]);
    tap_ok(vtdm_is_identity(vm, 0), "TE 0: DMA passes");
    vtdm_command(vm, VTDM_TE, TRUE);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... and TE 1 has the entry read");
    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_flush_tables(vm, OTHER_DID, 0);
}

/* Which functions a mask covers (6.5.1.1). */
static void test_function_mask(VtdMachine *vm)
{
    static const struct {
        guint function; /* that the descriptor names */
        guint mask;
        gboolean meant; /* function 0, which the device is */
    } masks[] = {{4, 0, FALSE}, {4, 1, TRUE}, {2, 1, FALSE}, {6, 2, TRUE},
                 {1, 2, FALSE}, {7, 3, TRUE}, {8, 3, FALSE}};
    guint64 words[GUEST_VTD_PASID_WORDS], page;
    GuestVtdDomain other;

    page = make_domain(vm, &other, OTHER_DID);
    guest_vtd_pasid_table(words, &other);
    for (gsize i = 0; i < G_N_ELEMENTS(masks); i++) {
        vtdm_install(vm, VTDM_RID, &vm->domain);
        vtdm_put_pasid(vm, VTDM_RID, 0, words);
        vtdm_issue(vm,
                   guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, 0,
                                         VTDM_RID + masks[i].function, masks[i].mask),
                   0);
        tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, masks[i].meant ? page : vm->page),
               "function %u, mask %u: function 0 is %s", masks[i].function, masks[i].mask,
               masks[i].meant ? "meant" : "not meant");
    }
    viommu_vtd_set_requester_id(vm->vtd, vm->devices[0], VTDM_RID + 5, NULL);
    vtdm_install(vm, VTDM_RID + 5, &vm->domain);
    vtdm_put_pasid(vm, VTDM_RID + 5, 0, words);
    vtdm_issue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, 0, VTDM_RID + 1, 1), 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "function 1, mask 1: function 5 is meant");
    viommu_vtd_set_requester_id(vm->vtd, vm->devices[0], VTDM_RID, NULL);
    vtdm_install(vm, VTDM_RID, &vm->domain);
}

/* The same tables under another domain ID. */
static void test_did(VtdMachine *vm, Spy *spy)
{
    guint64 page = vtdm_alloc(vm, GUEST_PAGE), words[GUEST_VTD_PASID_WORDS];
    GuestVtdDomain renamed = vm->domain;

    renamed.did = OTHER_DID;
    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
    vtdm_install(vm, VTDM_RID, &renamed);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "a domain ID changed in place");
    guest_vtd_map(&renamed, VTDM_IOVA, page, TRUE);
    spy_reset_counts(spy);
    vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA);
    tap_is(spy->n_calls, 0, "... the old one is nobody's any more");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... its flush does nothing");
    vtdm_flush_page(vm, OTHER_DID, 0, VTDM_IOVA);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... the new one's reaches the host");
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_flush_tables(vm, OTHER_DID, 0);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
    guest_vtd_map(&vm->domain, VTDM_IOVA, page, TRUE);
    guest_vtd_pasid_table(words, &renamed);
    vtdm_put_pasid(vm, VTDM_RID, 0, words);
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page),
           "what was cached under the old ID is not the new one's");
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_flush_tables(vm, OTHER_DID, 0);
    vtdm_install(vm, VTDM_RID, &vm->domain);
}

/* Flags that the hardware sets for the guest, where it can and there is a first stage. */
static void test_extended_accessed(VtdMachine *vm)
{
    guint64 words[GUEST_VTD_PASID_WORDS], leaf;
    GuestVtdDomain first;

    guest_vtd_domain_init(&first, &vm->ram, GUEST_VTD_FIRST, 4, OTHER_DID);
    guest_vtd_map(&first, VTDM_IOVA, vm->page, TRUE);
    guest_vtd_pasid_table(words, &first);
    words[2] |= 1 << 7;
    vtdm_drain_faults(vm);
    vtdm_install_pasid(vm, VTDM_RID, 0, words);
    if (vtdm_ecap(vm, VTDM_ECAP_EAFS, 1)) {
        vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
        leaf = vtdm_load(vm, guest_vtd_entry_at(&first, VTDM_IOVA, 1));
        tap_is(leaf & (GUEST_FS_A | GUEST_FS_EA), GUEST_FS_A | GUEST_FS_EA,
               "EAFE goes to the host: its DMA sets A and EA");
    } else {
        tap_ok(vtdm_is_blocked(vm, 0) &&
                   vtdm_fault_reason(vm) ==
                       VTDM_BY_NESTING(vm, VTDM_F_PASID_RESERVED, VTDM_F_PASID_INVALID),
               "EAFE that the host cannot have is refused");
    }
    vtdm_install(vm, VTDM_RID, &vm->domain);
}

/* --- the host's refusals ----------------------------------------------------------------
 */

static void test_host_refuses(VtdMachine *vm, Spy *spy)
{
    GuestVtdDomain other;
    guint64 page = make_domain(vm, &other, OTHER_DID);
    guint reason = VTDM_BY_NESTING(vm, VTDM_F_FS_TABLE, VTDM_F_SS_ACCESS);
    VtdmFault fault = {0};

    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_drain_faults(vm);
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_TABLES), 1, EINVAL, 99);
    vtdm_install(vm, VTDM_RID, &other);
    spy_fail_none(spy);
    tap_ok(vtdm_is_blocked(vm, 0), "an HWPT that the host refuses: blocked");
    tap_ok(vtdm_next_fault(vm, &fault) && fault.reason == reason && fault.rid == VTDM_RID &&
               fault.read && !fault.address,
           "... and fault 0x%02x", reason);
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    vtdm_flush_pasid(vm, OTHER_DID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... the same entry is tried again");
    tap_ok(!vtdm_next_fault(vm, &fault), "... and succeeds");
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_ATTACH), 1, EINVAL, 99);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_is_blocked(vm, 0), "an attach that fails: blocked");
    tap_is(vtdm_fault_reason(vm), reason, "... and fault 0x%02x", reason);
    spy_fail_none(spy);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... tried again by a global flush");
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_ATTACH), 1, EINVAL, 99);
    vtdm_install(vm, VTDM_RID, &other);
    spy_fail_none(spy);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_DOMAIN, OTHER_DID, 0), 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... and by one of the domain");
    vtdm_install(vm, VTDM_RID, &vm->domain);
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_TABLES), 1, ENOMEM, 2);
    vtdm_install(vm, VTDM_RID, &other);
    spy_fail_none(spy);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "a moment without memory is ridden out");
    spy_fail(spy, vtdm_request(vm, VTDM_CALL_ATTACH), 1, EBUSY, 99);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_ok(vtdm_is_blocked(vm, 0), "while a device is being reset it is blocked");
    spy_fail_none(spy);
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and then has its entry");
    vtdm_drain_faults(vm);
}

/*
 * A host that says it has tables of 5 levels and does not: the attach fails after the old
 * entry is gone, and iommufd still names it.
 */
static void test_torn_down(const Target *target, Spy *spy)
{
    const guint64 five = 1ull << VTDM_CAP_FS5LP;
    const ViommuVtdConfig config = {.pasid_bits = -1, .five_level = VIOMMU_ON};
    GuestVtdDomain wide;
    VtdMachine vm;

    spy->vtd.claimed_cap = five;
    if (!vtdm_init(&vm, target, target->first, &config)) {
        spy->vtd.claimed_cap = 0;
        tap_ok(FALSE, "a host that claims tables of 5 levels");
        return;
    }
    spy->vtd.claimed_cap = 0;
    if (spy->vtd.cap & five) {
        tap_skip("the host has tables of 5 levels", "a replace that fails half-way");
        vtdm_clear(&vm);
        return;
    }
    guest_vtd_domain_init(&wide, &vm.ram, GUEST_VTD_FIRST, 5, OTHER_DID);
    guest_vtd_map(&wide, VTDM_IOVA, vm.page, TRUE);
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page);
    vtdm_drain_faults(&vm);
    vtdm_install(&vm, VTDM_RID, &wide);
    tap_ok(vtdm_is_blocked(&vm, 0), "a replace that fails half-way: blocked");
    tap_is(vtdm_fault_reason(&vm), VTDM_F_FS_TABLE, "... and fault 0x73");
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "... what was before serves again");
    vtdm_clear(&vm);
}

/* Nor can there be any of them, where the host has no first stage to give. */
static void test_no_first_stage(const Target *target)
{
    g_autoptr(GError) error = NULL;
    VtdMachine vm;

    if (!vtdm_init(&vm, target, target->first, NULL)) {
        tap_ok(FALSE, "a host that cannot nest");
        return;
    }
    vm.config.five_level = VIOMMU_ON;
    tap_ok(!vtdm_remake(&vm, &error),
           "tables of 5 levels asked of a host that cannot nest: refused");
    tap_has(error ? error->message : NULL, "NEST", "... naming what it lacks");
    vm.config.five_level = VIOMMU_AUTO;
    tap_ok(vtdm_remake(&vm, NULL) && viommu_vtd_release(vm.vtd, NULL) &&
               vtdm_is_identity(&vm, 0),
           "... not asked for, it serves");
    vtdm_clear(&vm);
}

/* The emulator has what the VM's QEMU has not, but for this. */
static void test_half_way(Target *target, VtdmWay way)
{
    const ViommuEmulatorDeviceConfig device = {.iommu_group = -1};
    ViommuEmulatorVtdConfig unit;
    Target board;

    if (way == VTDM_MAPPED || (!target->emulator && way != VTDM_NESTED)) {
        test_no_first_stage(target);
        return;
    }
    if (!target->emulator) {
        test_torn_down(target, &target->spy);
        return;
    }
    viommu_emulator_vtd_defaults(&unit);
    unit.cap &= ~(1ull << VTDM_CAP_FS5LP);
    target_init_vtd(&board, &unit, 1, &device, 1);
    test_torn_down(&board, &board.spy);
    target_clear(&board);
}

int main(int argc, char **argv)
{
    VtdmWay way = VTDM_NESTED;
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        test_calls(&vm, &target.spy);
        test_refusals(&vm);
        test_way(&vm);
        test_changes(&vm);
        test_function_mask(&vm);
        test_did(&vm, &target.spy);
        test_extended_accessed(&vm);
        test_host_refuses(&vm, &target.spy);
        way = vtdm_way(&vm);
        vtdm_clear(&vm);
    }
    test_half_way(&target, way);
    target_clear(&target);
    return tap_done();
}
