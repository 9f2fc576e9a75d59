/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: its registers (11.2 to 11.4), what they do while translation is off,
 * invalidation by registers, and global commands. A point is a rule.
 */
#include <errno.h>

#include "tap.h"
#include "vtd-machine.h"

static void test_identity(VtdMachine *vm)
{
    guint first = vtdm_record(vm, 0);
    guint last = vtdm_record(vm, vtdm_cap(vm, VTDM_CAP_NFR, 8) + 1);
    guint iro = 16 * vtdm_ecap(vm, VTDM_ECAP_IRO, 10);
    guint64 cap = vtdm_get64(vm, VTDM_CAP), ecap = vtdm_get64(vm, VTDM_ECAP);

    tap_is(vtdm_get(vm, VTDM_VER), 0x10, "VER: 1.0");
    tap_is(cap & 7, 6, "CAP.ND: 2^16 domains");
    tap_is(cap >> 3 & 0xf, 0, "CAP: no AFL, RWBF, PLMR, PHMR");
    tap_is(vtdm_cap(vm, VTDM_CAP_CM, 1), 1, "CAP.CM: with host devices");
    tap_is(cap >> 59 & 1, 0, "CAP.PI: none");
    tap_ok(first >= 0x100 && last <= VIOMMU_VTD_MMIO_SIZE,
           "CAP.FRO: fault records are in the page, past the other registers");
    tap_ok(iro >= 0xf0 && iro + 16 <= VIOMMU_VTD_MMIO_SIZE &&
               (iro + 16 <= first || iro >= last),
           "ECAP.IRO: so are the IOTLB's, and apart from them");
    tap_is(ecap & 1, 1, "ECAP.C: tables are read coherently");
    tap_is(ecap >> 1 & 1, 1, "ECAP.QI");
    tap_is(ecap >> 3 & 3, 0, "ECAP: no IR, no EIM");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_PT, 1), 1, "ECAP.PT");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_NEST, 1), 0, "ECAP.NEST: none");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_SMTS, 1), 1, "ECAP.SMTS");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_FSTS, 1), vm->nests, "ECAP.FSTS, where the host nests");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_SSTS, 1), 1, "ECAP.SSTS: shadowed for host devices");
    tap_ok(vtdm_cap(vm, VTDM_CAP_SAGAW, 5) & ~1u & 0xe, "CAP.SAGAW: there are tables");
    tap_ok(!vtdm_cap(vm, VTDM_CAP_PSI, 1) || vtdm_cap(vm, VTDM_CAP_MAMV, 6),
           "CAP.MAMV: page-selective invalidation has masks");
    vtdm_set64(vm, VTDM_CAP, ~cap);
    vtdm_set64(vm, VTDM_ECAP, ~ecap);
    vtdm_set(vm, VTDM_VER, 0xff);
    tap_ok(vtdm_get64(vm, VTDM_CAP) == cap && vtdm_get64(vm, VTDM_ECAP) == ecap &&
               vtdm_get(vm, VTDM_VER) == 0x10,
           "they are read-only");
}

static void test_reset_values(VtdMachine *vm)
{
    tap_is(vtdm_get(vm, VTDM_GSTS), 0, "GSTS after a reset: all is off");
    tap_is(vtdm_get(vm, VTDM_FSTS), 0, "FSTS: nothing pending");
    tap_is(vtdm_get(vm, VTDM_FECTL), VTDM_IM, "FECTL: masked");
    tap_is(vtdm_get(vm, VTDM_IECTL), VTDM_IM, "IECTL: masked");
    tap_is(vtdm_get64(vm, VTDM_RTADDR), 0, "RTADDR: 0");
    tap_ok(!vtdm_get64(vm, VTDM_IQH) && !vtdm_get64(vm, VTDM_IQT) &&
               !vtdm_get64(vm, VTDM_IQA),
           "IQH, IQT and IQA: 0");
    tap_is(vtdm_get(vm, VTDM_PMEN), 0, "PMEN: no protected memory");
    vtdm_set(vm, VTDM_PMEN, 1u << 31);
    tap_is(vtdm_get(vm, VTDM_PMEN), 0, "... nor can it be enabled");
    if (!vtdm_ecap(vm, VTDM_ECAP_PRS, 1)) {
        vtdm_set64(vm, VTDM_PQA, 0x55000);
        tap_is(vtdm_get64(vm, VTDM_PQA), 0, "PQA: not there without ECAP.PRS");
    } else {
        tap_skip("page requests are offered", "PQA: not there without ECAP.PRS");
    }
}

static void test_access(VtdMachine *vm)
{
    const guint64 base = 0x0000003456789000ull;

    vtdm_set64(vm, VTDM_RTADDR, base);
    tap_is(vtdm_get64(vm, VTDM_RTADDR), base, "a 64-bit register, 64 bits at once");
    tap_is(vtdm_get(vm, VTDM_RTADDR), (guint32)base, "... its lower half");
    tap_is(vtdm_get(vm, VTDM_RTADDR + 4), base >> 32, "... its upper half");
    vtdm_set(vm, VTDM_RTADDR, 0xabcde000);
    tap_is(vtdm_get64(vm, VTDM_RTADDR), (base & ~0xffffffffull) | 0xabcde000,
           "a half written leaves the other");
    vtdm_set(vm, VTDM_RTADDR + 4, 0);
    tap_is(vtdm_get64(vm, VTDM_RTADDR), 0xabcde000, "... either half");
    tap_is(viommu_vtd_read(vm->vtd, VTDM_RTADDR, 2), 0, "16 bits read as 0");
    tap_is(viommu_vtd_read(vm->vtd, VTDM_RTADDR, 1), 0, "8 bits read as 0");
    tap_is(viommu_vtd_read(vm->vtd, VTDM_RTADDR + 2, 4), 0, "unaligned reads as 0");
    tap_is(viommu_vtd_read(vm->vtd, VTDM_RTADDR + 4, 8), 0,
           "64 bits, half aligned, read as 0");
    viommu_vtd_write(vm->vtd, VTDM_RTADDR, 1, 0);
    viommu_vtd_write(vm->vtd, VTDM_RTADDR, 2, 0);
    viommu_vtd_write(vm->vtd, VTDM_RTADDR + 2, 4, 0);
    viommu_vtd_write(vm->vtd, VTDM_RTADDR - 4, 8, 0);
    tap_is(vtdm_get64(vm, VTDM_RTADDR), 0xabcde000, "such writes do nothing");
    tap_is(vtdm_get(vm, VIOMMU_VTD_MMIO_SIZE), 0, "beyond the page there is 0");
    tap_is(viommu_vtd_read(vm->vtd, G_MAXUINT64 - 3, 4), 0, "... to the very end");
    viommu_vtd_write(vm->vtd, G_MAXUINT64 - 7, 8, 1);
    vtdm_set(vm, VIOMMU_VTD_MMIO_SIZE + VTDM_RTADDR, 1);
    tap_is(vtdm_get64(vm, VTDM_RTADDR), 0xabcde000, "... and nothing is written there");
    vtdm_set(vm, 0x50, G_MAXUINT32);
    tap_is(vtdm_get(vm, 0x50), 0, "a reserved register reads as 0");
    vtdm_set64(vm, VTDM_RTADDR, 0);
}

static void test_commands(VtdMachine *vm)
{
    static const struct {
        const char *name;
        guint32 bit;
    } missing[] = {{"IRE", VTDM_IRE}, {"SIRTP", VTDM_SIRTP}, {"CFI", 1u << 23},
                   {"SFL", 1u << 29}, {"EAFL", 1u << 28},    {"a reserved bit", 1}};

    tap_is(vtdm_get(vm, VTDM_GCMD), 0, "GCMD is write-only");
    for (gsize i = 0; i < G_N_ELEMENTS(missing); i++) {
        vtdm_command(vm, missing[i].bit, TRUE);
        tap_is(vtdm_get(vm, VTDM_GSTS), 0, "GCMD: %s, not offered, does nothing",
               missing[i].name);
    }
    vtdm_command(vm, VTDM_WBF, TRUE);
    tap_is(vtdm_get(vm, VTDM_GSTS), 0, "GCMD.WBF is done at once");
    vtdm_set(vm, VTDM_GSTS, G_MAXUINT32);
    tap_is(vtdm_get(vm, VTDM_GSTS), 0, "GSTS is read-only");
    vtdm_set_queue(vm, TRUE);
    tap_is(vtdm_get(vm, VTDM_GSTS), VTDM_QIE, "GCMD.QIE shows in GSTS");
    vtdm_set_root(vm, VTDM_SCALABLE, vtdm_alloc(vm, GUEST_PAGE));
    tap_is(vtdm_get(vm, VTDM_GSTS), VTDM_QIE | VTDM_SRTP, "GCMD.SRTP too");
    tap_ok(vtdm_command(vm, VTDM_TE, TRUE), "GCMD.TE too");
    tap_is(vtdm_get(vm, VTDM_GSTS), VTDM_TE | VTDM_QIE | VTDM_SRTP, "... RTPS stays");
    tap_ok(vtdm_command(vm, VTDM_TE, FALSE), "... and off again");
    vtdm_flush_all(vm);
    tap_ok(vtdm_get64(vm, VTDM_IQH), "IQH moves with what is done");
    vtdm_set64(vm, VTDM_IQH, 0);
    tap_is(vtdm_head(vm), vm->tail, "... and is read-only");
    tap_ok(vtdm_command(vm, VTDM_QIE, FALSE), "GCMD.QIE off");
    tap_is(vtdm_get64(vm, VTDM_IQH), 0, "IQH reads 0 then");
    vtdm_set64(vm, VTDM_IQERCD, G_MAXUINT64);
    tap_is(vtdm_get64(vm, VTDM_IQERCD), 0, "IQERCD is read-only");
}

static void test_events(VtdMachine *vm)
{
    static const struct {
        const char *name;
        guint at;
    } events[] = {{"FE", VTDM_FECTL}, {"IE", VTDM_IECTL}};

    for (gsize i = 0; i < G_N_ELEMENTS(events); i++) {
        guint at = events[i].at;

        vtdm_set(vm, at + 4, 0x1234);
        vtdm_set(vm, at + 8, 0xfee01000);
        vtdm_set(vm, at, 0);
        tap_ok(vtdm_get(vm, at + 4) == 0x1234 && vtdm_get(vm, at + 8) == 0xfee01000,
               "%sDATA and %sADDR read as written", events[i].name, events[i].name);
        tap_is(vtdm_get(vm, at), 0, "%sCTL.IM is the driver's", events[i].name);
        vtdm_set(vm, at, VTDM_IM | VTDM_IP);
        tap_is(vtdm_get(vm, at), VTDM_IM, "%sCTL.IP is not", events[i].name);
    }
    vtdm_set(vm, VTDM_ICS, 1);
    tap_is(vtdm_get(vm, VTDM_ICS), 0, "ICS.IWC cannot be set");
    vtdm_set(vm, VTDM_FSTS, 0xffff);
    tap_is(vtdm_get(vm, VTDM_FSTS), 0, "FSTS neither");
}

/* TE off: everything passes. TE on with empty tables: nothing does. */
static void test_translation(VtdMachine *vm, VtdmMode mode, const char *name)
{
    tap_ok(vtdm_is_identity(vm, 0), "%s: TE 0: a host device is let through", name);
    tap_is(vtdm_reads(vm, VTDM_ENDPOINT, vm->page), vm->page, "... an endpoint too");
    vtdm_start(vm, mode);
    tap_ok(vtdm_is_blocked(vm, 0), "%s: TE 1 with empty tables: it is blocked", name);
    tap_ok(vtdm_reads(vm, VTDM_ENDPOINT, vm->page) == VTDM_REFUSED, "... the endpoint too");
    tap_is(vtdm_fault_reason(vm), mode == VTDM_LEGACY ? VTDM_F_ROOT_P : VTDM_F_SM_ROOT_P,
           "... with a fault, the first");
    tap_is(vtdm_fault_reason(vm), 0, "... and only: the host device's is silent");
    vtdm_command(vm, VTDM_TE, FALSE);
    tap_ok(vtdm_is_identity(vm, 0), "%s: TE 0: let through again", name);
    tap_is(vtdm_reads(vm, VTDM_ENDPOINT, vm->page), vm->page, "... the endpoint too");
}

/* 11.4.4.1: RTADDR counts when SRTP is set. */
static void test_latch(VtdMachine *vm)
{
    guint64 root, fresh = vtdm_alloc(vm, GUEST_PAGE);

    vtdm_start(vm, VTDM_SCALABLE);
    root = vm->root;
    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_install(vm, VTDM_ENDPOINT, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) &&
               vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA) == vm->page,
           "tables serve a host device and an endpoint");
    vtdm_set64(vm, VTDM_RTADDR, fresh | 1 << 10);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) &&
               vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA) == vm->page,
           "RTADDR alone changes nothing");
    vtdm_set_root(vm, VTDM_SCALABLE, fresh);
    vtdm_flush_all(vm);
    tap_ok(vtdm_is_blocked(vm, 0), "with SRTP the host device has the new root table");
    tap_ok(vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA) == VTDM_REFUSED,
           "... the endpoint too");
    vtdm_set_root(vm, VTDM_SCALABLE, root);
    vtdm_flush_all(vm);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) &&
               vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA) == vm->page,
           "... and back");
    vtdm_drain_faults(vm);
    vtdm_command(vm, VTDM_TE, FALSE);
}

/* --- invalidation by registers (11.4.6.1, 11.4.7) ---------------------------------------
 */

static guint64 ccmd(VtdMachine *vm, guint granularity, guint16 rid, guint16 did)
{
    vtdm_set64(vm, VTDM_CCMD,
               1ull << 63 | (guint64)granularity << 61 | (guint64)rid << 16 | did);
    return vtdm_get64(vm, VTDM_CCMD);
}

static guint64 iotlb(VtdMachine *vm, guint granularity, guint16 did, guint64 address)
{
    guint at = 16 * vtdm_ecap(vm, VTDM_ECAP_IRO, 10);

    vtdm_set64(vm, at, address);
    vtdm_set64(vm, at + 8, 1ull << 63 | (guint64)granularity << 60 | (guint64)did << 32);
    return vtdm_get64(vm, at + 8);
}

static void test_granularities(VtdMachine *vm)
{
    static const char *const names[] = {NULL, "global", "by domain", "by device or page"};
    guint finest = vtdm_cap(vm, VTDM_CAP_PSI, 1) ? 3 : 2;

    vtdm_command(vm, VTDM_QIE, FALSE);
    for (guint g = 1; g <= 3; g++) {
        guint64 value = ccmd(vm, g, VTDM_RID, VTDM_DID);

        tap_is(value >> 63, 0, "CCMD %s: ICC is cleared", names[g]);
        tap_is(value >> 59 & 3, g, "... and CAIG says so");
        value = iotlb(vm, g, VTDM_DID, VTDM_IOVA);
        tap_is(value >> 63, 0, "IOTLB %s: IVT is cleared", names[g]);
        tap_is(value >> 57 & 3, MIN(g, finest), "... and IAIG says so");
    }
    tap_is(iotlb(vm, 3, VTDM_DID, VTDM_IOVA | 0x3f) >> 57 & 3, 2,
           "a range beyond CAP.MAMV is done with the domain: IAIG");
    tap_is(ccmd(vm, 0, 0, 0) >> 59 & 0x1f, 0, "CCMD, granularity 0: CAIG 0, nothing done");
    tap_is(iotlb(vm, 0, 0, 0) >> 57 & 0x5f, 0, "IOTLB, granularity 0: IAIG 0");
}

/* 64-bit registers may be written by halves: the command is in the upper one. */
static void test_halves(VtdMachine *vm)
{
    guint at = 16 * vtdm_ecap(vm, VTDM_ECAP_IRO, 10);

    vtdm_set(vm, VTDM_CCMD, (guint32)VTDM_RID << 16 | VTDM_DID);
    tap_is(vtdm_get64(vm, VTDM_CCMD), VTDM_RID << 16 | VTDM_DID, "CCMD, its lower half");
    vtdm_set(vm, VTDM_CCMD + 4, 1u << 31 | 3u << 29);
    tap_is(vtdm_get(vm, VTDM_CCMD + 4) >> 27 & 0x13, 3, "... its upper half does it");
    tap_is(vtdm_get(vm, VTDM_CCMD), VTDM_RID << 16 | VTDM_DID, "... and leaves the lower");
    vtdm_set64(vm, at, 0);
    vtdm_set(vm, at + 12, 1u << 31 | 2u << 28 | VTDM_DID);
    tap_is(vtdm_get(vm, at + 12) >> 25 & 0x43, 2, "the IOTLB's likewise");
    vtdm_command(vm, VTDM_QIE, TRUE);
    tap_is(ccmd(vm, 1, 0, 0) >> 59 & 0x13, 0,
           "with the queue on CCMD does nothing: CAIG 0");
    tap_is(iotlb(vm, 1, 0, 0) >> 57 & 0x43, 0, "... the IOTLB's too: IAIG 0");
    vtdm_command(vm, VTDM_QIE, FALSE);
}

static void test_by_register(VtdMachine *vm)
{
    guint64 other = vtdm_alloc(vm, GUEST_PAGE), words[2];
    GuestVtdDomain second;

    vtdm_start(vm, VTDM_LEGACY);
    guest_vtd_domain_init(&second, &vm->ram, GUEST_VTD_SECOND, vtdm_aw(vm) + 2, 20);
    guest_vtd_map(&second, VTDM_IOVA, vm->page, TRUE);
    vtdm_install(vm, VTDM_ENDPOINT, &second);
    vtdm_install_pass_through(vm, VTDM_RID);
    vtdm_command(vm, VTDM_QIE, FALSE);
    tap_ok(vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA) == vm->page && vtdm_is_identity(vm, 0),
           "legacy mode, queue off: an endpoint translates, a host device passes");
    guest_vtd_map(&second, VTDM_IOVA, other, TRUE);
    iotlb(vm, 3, 20, VTDM_IOVA);
    tap_is(vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA), other, "IOTLB by page");
    guest_vtd_map(&second, VTDM_IOVA, vm->page, TRUE);
    iotlb(vm, 2, 20, 0);
    tap_is(vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA), vm->page, "IOTLB by domain");
    guest_vtd_map(&second, VTDM_IOVA, other, TRUE);
    iotlb(vm, 1, 0, 0);
    tap_is(vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA), other, "IOTLB global");
    vtdm_put_context(vm, VTDM_RID, 0, 0);
    ccmd(vm, 3, VTDM_RID, VTDM_PT_DID);
    tap_ok(vtdm_is_blocked(vm, 0), "CCMD by device: the host device's entry is gone");
    guest_vtd_context_pass_through(words, VTDM_PT_DID, vtdm_aw(vm));
    vtdm_put_context(vm, VTDM_RID, words[0], words[1]);
    ccmd(vm, 1, 0, 0);
    tap_ok(vtdm_is_identity(vm, 0), "CCMD global: it is back");
    vtdm_put_context(vm, VTDM_RID, 0, 0);
    ccmd(vm, 2, 0, VTDM_PT_DID);
    tap_ok(vtdm_is_blocked(vm, 0), "CCMD by domain");
    vtdm_command(vm, VTDM_TE, FALSE);
    vtdm_drain_faults(vm);
}

/* A device that is to be blocked and is not: the guest must not take it for done. */
static void test_host_fails(VtdMachine *vm, Spy *spy)
{
    guint64 value;

    vtdm_start(vm, VTDM_LEGACY);
    vtdm_install_pass_through(vm, VTDM_RID);
    vtdm_command(vm, VTDM_QIE, FALSE);
    vtdm_put_context(vm, VTDM_RID, 0, 0);
    spy_fail(spy, 0, 1, EIO, 100000);
    value = ccmd(vm, 1, 0, 0);
    spy_fail_none(spy);
    tap_ok(!vtdm_is_identity(vm, 0) || value >> 63 || !(value >> 59 & 3),
           "CCMD that the host fails: blocked, or not told done");
    ccmd(vm, 1, 0, 0);
    tap_ok(vtdm_is_blocked(vm, 0), "... the next one blocks");
    vtdm_command(vm, VTDM_TE, FALSE);
    vtdm_drain_faults(vm);
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        test_identity(&vm);
        test_reset_values(&vm);
        test_access(&vm);
        test_commands(&vm);
        test_events(&vm);
        test_translation(&vm, VTDM_SCALABLE, "scalable");
        test_translation(&vm, VTDM_LEGACY, "legacy");
        test_latch(&vm);
        test_granularities(&vm);
        test_halves(&vm);
        test_by_register(&vm);
        test_host_fails(&vm, &target.spy);
        vtdm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
