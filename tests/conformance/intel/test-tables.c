/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: root, context and PASID tables (chapter 9), as requests of an
 * emulated endpoint meet them. Each thing that can be wrong with an entry is one reason of
 * the fault (7.1.3). A point is a rule.
 */
#include "tap.h"
#include "vtd-machine.h"

/* Devices 8 and 24 of a bus: below and above the middle of its functions. */
enum { LOW = VTDM_ENDPOINT, HIGH = 0x3c0, LAST = 0xffff };

/* This word there, and nothing else, makes a read of VTDM_IOVA fault for this reason. */
static void faults(VtdMachine *vm, guint16 rid, guint64 at, guint64 word, guint reason,
                   const char *name)
{
    tap_is(vtdm_fault_with(vm, rid, at, word), reason, "%s: 0x%02x", name, reason);
}

static void serves(VtdMachine *vm, guint16 rid, const char *name)
{
    vtdm_flush_all(vm);
    tap_is(vtdm_reads(vm, rid, VTDM_IOVA + 0x123), vm->page + 0x123, "%s", name);
}

/* --- legacy mode (9.1, 9.3) -------------------------------------------------------------
 */

static void test_legacy_root(VtdMachine *vm)
{
    guint64 root = vm->root, at = root + 16 * (LOW >> 8), word = vtdm_load(vm, at);

    faults(vm, LOW, at, 0, VTDM_F_ROOT_P, "root entry not present");
    faults(vm, LOW, at, word | 1 << 1, VTDM_F_ROOT_RESERVED, "root entry, bit 1");
    faults(vm, LOW, at, word | 1 << 11, VTDM_F_ROOT_RESERVED, "root entry, bit 11");
    faults(vm, LOW, at + 8, 1, VTDM_F_ROOT_RESERVED, "root entry, bit 64");
    faults(vm, LOW, at, VTDM_NOWHERE | 1, VTDM_F_CONTEXT_ACCESS,
           "a context table that is no memory");
    vtdm_set_root(vm, VTDM_LEGACY, VTDM_NOWHERE);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reads(vm, LOW, VTDM_IOVA) == VTDM_REFUSED, "a root table that is none");
    tap_is(vtdm_fault_reason(vm), VTDM_F_ROOT_ACCESS, "... is another reason");
    vtdm_set_root(vm, VTDM_LEGACY, root);
    serves(vm, LOW, "put right, it serves");
}

static void test_legacy_context(VtdMachine *vm)
{
    guint64 at = vtdm_context_at(vm, LOW);
    guint64 low = vtdm_load(vm, at), high = vtdm_load(vm, at + 8);

    faults(vm, LOW, at, low & ~1ull, VTDM_F_CONTEXT_P, "context entry not present");
    faults(vm, LOW, at, low | 3 << 2, VTDM_F_CONTEXT_INVALID, "TT 3");
    if (vtdm_ecap(vm, VTDM_ECAP_DT, 1))
        tap_skip("ECAP.DT is offered", "TT 1 without it");
    else
        faults(vm, LOW, at, low | 1 << 2, VTDM_F_CONTEXT_INVALID, "TT 1 without ECAP.DT");
    faults(vm, LOW, at + 8, high & ~7ull, VTDM_F_CONTEXT_INVALID, "AW 0");
    faults(vm, LOW, at + 8, high | 7, VTDM_F_CONTEXT_INVALID, "AW 7");
    faults(vm, LOW, at, low | 1 << 4, VTDM_F_CONTEXT_RESERVED, "context entry, bit 4");
    faults(vm, LOW, at, low | 1 << 11, VTDM_F_CONTEXT_RESERVED, "context entry, bit 11");
    faults(vm, LOW, at + 8, high | 1 << 7, VTDM_F_CONTEXT_RESERVED,
           "context entry, bit 71");
    faults(vm, LOW, at + 8, high | 1ull << 24, VTDM_F_CONTEXT_RESERVED,
           "context entry, bit 88");
    faults(vm, LOW, at + 8, high | 1ull << 63, VTDM_F_CONTEXT_RESERVED,
           "context entry, bit 127");
    vtdm_store(vm, at + 8, high | 0xf << 3);
    serves(vm, LOW, "bits 70:67 are software's");
    vtdm_store(vm, at + 8, high);
}

static void test_legacy_paging(VtdMachine *vm, GuestVtdDomain *domain)
{
    guint64 context = vtdm_context_at(vm, LOW),
            leaf = guest_vtd_entry_at(domain, VTDM_IOVA, 1);
    guint64 top = guest_vtd_entry_at(domain, VTDM_IOVA, domain->levels);
    guint64 word = vtdm_load(vm, leaf);

    faults(vm, LOW, context, VTDM_NOWHERE | 1, VTDM_F_PAGE_ACCESS,
           "a first table that is no memory");
    faults(vm, LOW, top, VTDM_NOWHERE | 3, VTDM_F_PAGE_ACCESS, "a table that is none");
    faults(vm, LOW, leaf, 0, VTDM_F_READ, "a read of what is not mapped");
    faults(vm, LOW, leaf, word & ~1ull, VTDM_F_READ, "a read of what is write-only");
    faults(vm, LOW, top, vtdm_load(vm, top) & ~1ull, VTDM_F_READ,
           "... and of what a table makes so");
    faults(vm, LOW, top, vtdm_load(vm, top) | GUEST_SS_PS, VTDM_F_PAGE_RESERVED,
           "a page at the highest level");
    vtdm_store(vm, leaf, word & ~2ull);
    vtdm_flush_all(vm);
    vtdm_drain_faults(vm);
    tap_ok(vtdm_translate(vm, LOW, VTDM_NO_PASID, VTDM_IOVA, VIOMMU_ACCESS_WRITE) ==
                   VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_WRITE,
           "a write to what is read-only: 0x05");
    vtdm_store(vm, leaf, word);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reads(vm, LOW, 1ull << (12 + 9 * domain->levels)) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_ADDRESS,
           "an address beyond the tables: 0x04");
    serves(vm, LOW, "put right, it serves");
}

static void test_legacy(VtdMachine *vm)
{
    GuestVtdDomain domain;

    vtdm_start(vm, VTDM_LEGACY);
    guest_vtd_domain_init(&domain, &vm->ram, GUEST_VTD_SECOND, vtdm_aw(vm) + 2, 20);
    guest_vtd_map(&domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_install(vm, LOW, &domain);
    vtdm_install(vm, HIGH, &domain);
    vtdm_install(vm, LAST, &domain);
    serves(vm, LOW, "legacy mode: a second-stage table");
    serves(vm, HIGH, "... of any function");
    serves(vm, LAST, "... to the last bus");
    test_legacy_root(vm);
    test_legacy_context(vm);
    test_legacy_paging(vm, &domain);
    vtdm_drain_faults(vm);
    tap_ok(vtdm_reads(vm, LOW, 0xfee00000) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_LEGACY_INTERRUPT,
           "a read of the interrupt range: 0x0e");
    vtdm_install_pass_through(vm, HIGH);
    tap_is(vtdm_reads(vm, HIGH, vm->page), vm->page, "TT 2: requests pass through");
    faults(vm, HIGH, vtdm_context_at(vm, HIGH) + 8, (guint64)VTDM_PT_DID << 8,
           VTDM_F_CONTEXT_INVALID, "TT 2 with AW 0");
    vtdm_drain_faults(vm);
    tap_ok(vtdm_translate(vm, LOW, 1, VTDM_IOVA, VIOMMU_ACCESS_READ) == VTDM_REFUSED,
           "a request with PASID in legacy mode");
    tap_is(vtdm_fault_reason(vm), VTDM_F_TTM_PASID, "... is a fault of its own");
}

/* --- scalable mode (9.2, 9.4) -----------------------------------------------------------
 */

static void test_root(VtdMachine *vm)
{
    guint64 root = vm->root, at = root + 16 * (LOW >> 8), word = vtdm_load(vm, at);

    faults(vm, LOW, at, 0, VTDM_F_SM_ROOT_P, "LP 0");
    faults(vm, HIGH, at + 8, 0, VTDM_F_SM_ROOT_P, "UP 0");
    faults(vm, LOW, at, word | 1 << 1, VTDM_F_SM_ROOT_RESERVED, "root entry, bit 1");
    faults(vm, HIGH, at + 8, word | 1 << 11, VTDM_F_SM_ROOT_RESERVED, "root entry, bit 75");
    faults(vm, LOW, at, VTDM_NOWHERE | 1, VTDM_F_SM_CONTEXT_ACCESS,
           "a context table that is no memory");
    vtdm_store(vm, at + 8, 0);
    serves(vm, LOW, "the halves are apart");
    vtdm_set_root(vm, VTDM_SCALABLE, VTDM_NOWHERE);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reads(vm, LOW, VTDM_IOVA) == VTDM_REFUSED, "a root table that is none");
    tap_is(vtdm_fault_reason(vm), VTDM_F_SM_ROOT_ACCESS, "... is another reason");
    vtdm_set_root(vm, VTDM_SCALABLE, root);
    serves(vm, LOW, "put right, it serves");
}

static void test_context(VtdMachine *vm)
{
    guint64 at = vtdm_context_at(vm, LOW);
    guint64 low = vtdm_load(vm, at), high = vtdm_load(vm, at + 8);

    faults(vm, LOW, at, low & ~1ull, VTDM_F_SM_CONTEXT_P, "context entry not present");
    faults(vm, LOW, at, low | 1 << 8, VTDM_F_SM_CONTEXT_RESERVED, "context entry, bit 8");
    faults(vm, LOW, at + 8, high | 1 << 30, VTDM_F_SM_CONTEXT_RESERVED,
           "context entry, bit 94");
    faults(vm, LOW, at + 16, 1, VTDM_F_SM_CONTEXT_RESERVED, "context entry, bit 128");
    faults(vm, LOW, at + 24, 1ull << 63, VTDM_F_SM_CONTEXT_RESERVED,
           "context entry, bit 255");
    if (vtdm_ecap(vm, VTDM_ECAP_DT, 1))
        tap_skip("ECAP.DT is offered", "DTE without it");
    else
        faults(vm, LOW, at, low | 1 << 2, VTDM_F_SM_CONTEXT_RESERVED,
               "DTE without ECAP.DT");
    if (vtdm_ecap(vm, VTDM_ECAP_PRS, 1))
        tap_skip("ECAP.PRS is offered", "PRE without it");
    else
        faults(vm, LOW, at, low | 1 << 4, VTDM_F_SM_CONTEXT_RESERVED,
               "PRE without ECAP.PRS");
    if (vtdm_ecap(vm, VTDM_ECAP_RPS, 1))
        faults(vm, LOW, at + 8, 128 << 6, VTDM_F_RID_PASID_RANGE,
               "RID_PASID beyond the directory");
    else
        tap_skip("no ECAP.RPS", "RID_PASID beyond the directory");
    serves(vm, LOW, "put right, it serves");
}

static void test_directory(VtdMachine *vm)
{
    guint64 context = vtdm_context_at(vm, LOW), word;
    guint64 at = vtdm_load(vm, context) & ~0xfffull;

    word = vtdm_load(vm, at);
    faults(vm, LOW, context, (vtdm_load(vm, context) & 0xfff) | VTDM_NOWHERE,
           VTDM_F_DIRECTORY_ACCESS, "a PASID directory that is no memory");
    faults(vm, LOW, at, word & ~1ull, VTDM_F_DIRECTORY_P,
           "PASID directory entry not present");
    faults(vm, LOW, at, word | 1 << 2, VTDM_F_DIRECTORY_RESERVED,
           "PASID directory entry, bit 2");
    faults(vm, LOW, at, word | 1 << 11, VTDM_F_DIRECTORY_RESERVED,
           "PASID directory entry, bit 11");
    faults(vm, LOW, at, VTDM_NOWHERE | 1, VTDM_F_PASID_ACCESS,
           "a PASID table that is no memory");
}

static void test_pasid_entry(VtdMachine *vm)
{
    guint64 at = vtdm_pasid_at(vm, LOW, 0);
    guint64 word0 = vtdm_load(vm, at), word2 = vtdm_load(vm, at + 16);
    const guint64 without_pgtt = word0 & ~GUEST_VTD_PGTT(7);

    faults(vm, LOW, at, word0 & ~1ull, VTDM_F_PASID_P, "PASID entry not present");
    for (guint pgtt = 0; pgtt < 8; pgtt++) {
        g_autofree char *name = g_strdup_printf("PGTT %u", pgtt);

        if (pgtt == GUEST_PGTT_FIRST || pgtt == GUEST_PGTT_PASS_THROUGH ||
            (pgtt == GUEST_PGTT_SECOND && vtdm_ecap(vm, VTDM_ECAP_SSTS, 1)))
            continue;
        faults(vm, LOW, at, without_pgtt | GUEST_VTD_PGTT(pgtt), VTDM_F_PASID_INVALID,
               name);
    }
    faults(vm, LOW, at + 16, word2 | 2 << 2, VTDM_F_PASID_INVALID, "FSPM 2");
    if (vtdm_cap(vm, VTDM_CAP_FS5LP, 1))
        tap_skip("CAP.FS5LP is offered", "FSPM 1 without it");
    else
        faults(vm, LOW, at + 16, word2 | 1 << 2, VTDM_F_PASID_INVALID,
               "FSPM 1 without CAP.FS5LP");
    for (guint bit = 8; bit <= 11; bit++) {
        g_autofree char *name = g_strdup_printf("PASID entry, bit %u", 128 + bit);

        faults(vm, LOW, at + 16, word2 | 1ull << bit, VTDM_F_PASID_RESERVED, name);
    }
    faults(vm, LOW, at + 16, word2 | 1 << 1, VTDM_F_PASID_RESERVED, "ERE without ECAP.ERS");
    faults(vm, LOW, at + 24, 1, VTDM_F_PASID_RESERVED, "PASID entry, bit 192");
    faults(vm, LOW, at + 32, 1ull << 63, VTDM_F_PASID_RESERVED, "PASID entry, bit 319");
    faults(vm, LOW, at + 56, 1, VTDM_F_PASID_RESERVED, "PASID entry, bit 448");
    if (vtdm_ecap(vm, VTDM_ECAP_EAFS, 1))
        tap_skip("ECAP.EAFS is offered", "EAFE without it");
    else
        faults(vm, LOW, at + 16, word2 | 1 << 7, VTDM_F_PASID_RESERVED,
               "EAFE without ECAP.EAFS");
    if (vtdm_ecap(vm, VTDM_ECAP_SRS, 1))
        tap_skip("ECAP.SRS is offered", "SRE without it");
    else
        faults(vm, LOW, at + 16, word2 | 1, VTDM_F_PASID_RESERVED, "SRE without ECAP.SRS");
    serves(vm, LOW, "put right, it serves");
}

static void test_first_stage(VtdMachine *vm)
{
    guint64 entry = vtdm_pasid_at(vm, LOW, 0) + 16;
    guint64 leaf = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, 1);
    guint64 large = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, 2);
    guint64 top = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, 4);
    guint64 word = vtdm_load(vm, leaf);

    faults(vm, LOW, entry, VTDM_NOWHERE, VTDM_F_FS_TABLE,
           "a first table that is no memory");
    faults(vm, LOW, top, VTDM_NOWHERE | GUEST_FS_USUAL, VTDM_F_FS_ACCESS,
           "a table that is none");
    faults(vm, LOW, leaf, 0, VTDM_F_FS_P, "a page not present");
    faults(vm, LOW, top, 0, VTDM_F_FS_P, "a table not present");
    faults(vm, LOW, top, vtdm_load(vm, top) | GUEST_FS_PS, VTDM_F_FS_RESERVED,
           "a page at level 4");
    faults(vm, LOW, large, 0x2000 | GUEST_FS_USUAL | GUEST_FS_PS, VTDM_F_FS_RESERVED,
           "a page of 2 MiB off its size");
    faults(vm, LOW, leaf, word & ~(guint64)GUEST_FS_US, VTDM_F_USER, "a supervisor's page");
    faults(vm, LOW, top, vtdm_load(vm, top) & ~(guint64)GUEST_FS_US, VTDM_F_USER,
           "... by its table");
    vtdm_store(vm, leaf, word & ~(guint64)GUEST_FS_RW);
    vtdm_flush_all(vm);
    vtdm_drain_faults(vm);
    tap_ok(vtdm_translate(vm, LOW, VTDM_NO_PASID, VTDM_IOVA, VIOMMU_ACCESS_WRITE) ==
                   VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_SM_WRITE,
           "a write to what is read-only: 0x85");
    vtdm_store(vm, leaf, word);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reads(vm, LOW, 1ull << 47) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_CANONICAL,
           "an address that is not canonical: 0x80");
    tap_ok(vtdm_reads(vm, LOW, 0xfffe000000000000ull) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_CANONICAL,
           "... of the upper half: 0x80");
    serves(vm, LOW, "put right, it serves");
}

static void test_ttm(VtdMachine *vm)
{
    static const guint reserved[] = {2, 3};

    for (gsize i = 0; i < G_N_ELEMENTS(reserved); i++) {
        vtdm_drain_faults(vm);
        vtdm_set64(vm, VTDM_RTADDR, vm->root | (guint64)reserved[i] << 10);
        vtdm_command(vm, VTDM_SRTP, TRUE);
        tap_ok(vtdm_reads(vm, LOW, VTDM_IOVA) == VTDM_REFUSED &&
                   vtdm_fault_reason(vm) == VTDM_F_TTM,
               "TTM %u: 0x30", reserved[i]);
    }
    vtdm_set_root(vm, VTDM_SCALABLE, vm->root);
    serves(vm, LOW, "put right, it serves");
}

/* A field of what is not offered is reserved, or its value is none. */
static void test_bare(const Target *target)
{
    const ViommuVtdConfig config = {.pasid_bits = 0,
                                    .pass_through = VIOMMU_OFF,
                                    .rid_pasid = VIOMMU_OFF,
                                    .coherent = VIOMMU_OFF,
                                    .domain_bits = 8};
    GuestVtdDomain second;
    guint64 at, entry;
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, target, target->first, &config), "a unit that has little"))
        return;
    guest_vtd_domain_init(&second, &vm.ram, GUEST_VTD_SECOND, vtdm_aw(&vm) + 2, 20);
    guest_vtd_map(&second, VTDM_IOVA, vm.page, TRUE);
    vtdm_start(&vm, VTDM_LEGACY);
    vtdm_install(&vm, LOW, &second);
    at = vtdm_context_at(&vm, LOW);
    faults(&vm, LOW, at, vtdm_load(&vm, at) | 2 << 2, VTDM_F_CONTEXT_INVALID,
           "TT 2 without ECAP.PT");
    faults(&vm, LOW, at + 8, vtdm_load(&vm, at + 8) | 0x100 << 8, VTDM_F_CONTEXT_INVALID,
           "a domain ID beyond CAP.ND, legacy mode");
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, LOW, &second);
    at = vtdm_context_at(&vm, LOW);
    entry = vtdm_pasid_at(&vm, LOW, 0);
    faults(&vm, LOW, at, vtdm_load(&vm, at) | 1 << 3, VTDM_F_SM_CONTEXT_RESERVED,
           "PASIDE without ECAP.PASID");
    faults(&vm, LOW, at + 8, 1 << 20, VTDM_F_SM_CONTEXT_RESERVED,
           "RID_PRIV without ECAP.RPRIVS");
    faults(&vm, LOW, entry, vtdm_load(&vm, entry) | 3 << 10, VTDM_F_PASID_RESERVED,
           "PASID entry, bits 11:10");
    for (guint bit = 16; bit <= 24; bit++) {
        g_autofree char *name = g_strdup_printf("PASID entry, bit %u", 64 + bit);

        faults(&vm, LOW, entry + 8, vtdm_load(&vm, entry + 8) | 1ull << bit,
               VTDM_F_PASID_RESERVED, name);
    }
    faults(&vm, LOW, entry,
           (vtdm_load(&vm, entry) & ~GUEST_VTD_PGTT(7)) | GUEST_VTD_PGTT(4),
           VTDM_F_PASID_INVALID, "PGTT 4 without ECAP.PT");
    faults(&vm, LOW, entry + 8, vtdm_load(&vm, entry + 8) | 0x100, VTDM_F_PASID_INVALID,
           "a domain ID beyond CAP.ND");
    vtdm_store(&vm, at + 8, 5);
    serves(&vm, LOW, "RID_PASID without ECAP.RPS is ignored");
    vtdm_store(&vm, at + 8, 0);
    vtdm_drain_faults(&vm);
    tap_ok(vtdm_translate(&vm, LOW, 1, VTDM_IOVA, VIOMMU_ACCESS_READ) == VTDM_REFUSED &&
               vtdm_fault_reason(&vm) == VTDM_F_PASIDE,
           "a request with PASID: 0x45");
    vtdm_clear(&vm);
}

/* Without ECAP.SMTS there is only the legacy mode. */
static void test_without_scalable(const Target *target)
{
    const ViommuVtdConfig config = {.pasid_bits = -1, .scalable_mode = VIOMMU_OFF};
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, target, target->first, &config), "without ECAP.SMTS"))
        return;
    vtdm_start(&vm, VTDM_LEGACY);
    vtdm_install_pass_through(&vm, LOW);
    tap_is(vtdm_reads(&vm, LOW, vm.page), vm.page, "... legacy mode works");
    vtdm_set64(&vm, VTDM_RTADDR, vm.root | 1 << 10);
    vtdm_command(&vm, VTDM_SRTP, TRUE);
    vtdm_drain_faults(&vm);
    tap_ok(vtdm_reads(&vm, LOW, vm.page) == VTDM_REFUSED &&
               vtdm_fault_reason(&vm) == VTDM_F_TTM,
           "... TTM 1: 0x30");
    tap_ok(vtdm_is_blocked(&vm, 0), "... and host devices are blocked");
    vtdm_clear(&vm);
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init_first_stage(&vm, &target), "a machine")) {
        test_legacy(&vm);
        vtdm_start(&vm, VTDM_SCALABLE);
        vtdm_install(&vm, LOW, &vm.domain);
        vtdm_install(&vm, HIGH, &vm.domain);
        vtdm_install(&vm, LAST, &vm.domain);
        serves(&vm, LOW, "scalable mode: a first-stage table");
        serves(&vm, HIGH, "... of a function in the upper half");
        serves(&vm, LAST, "... to the last bus");
        test_context(&vm);
        test_directory(&vm);
        test_pasid_entry(&vm);
        test_first_stage(&vm);
        test_ttm(&vm);
        test_root(&vm);
        vtdm_clear(&vm);
    }
    test_bare(&target);
    test_without_scalable(&target);
    target_clear(&target);
    return tap_done();
}
