/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: the life of a driver as Linux drives one in scalable mode, its
 * registers in its order, its descriptors with its fields; from the first probe over
 * attach, map, unmap, domains changed, to a kexec that finds translation on and starts in
 * the other mode, and a reset. Each step is seen in bytes of memory.
 */
#include "tap.h"
#include "vtd-machine.h"

/* Linux has 1 for all its pass-through entries, and domains from 2 on. */
enum { IDENTITY_DID = 1, DID = 2, OTHER_DID = 3, EP = VTDM_ENDPOINT };
enum { N_PAGES = 24, MAP_BASE = 0x4000000, UNMAPPED = 0x8000000 };

typedef struct {
    VtdMachine vm;
    GuestVtdDomain domain;
    guint64 pages[N_PAGES];
} Life;

/* --- probe ------------------------------------------------------------------------------
 */

static void test_probe(Life *l)
{
    VtdMachine *vm = &l->vm;

    tap_ok(vtdm_get64(vm, VTDM_CAP) != 0 && vtdm_get64(vm, VTDM_CAP) != G_MAXUINT64 &&
               vtdm_get64(vm, VTDM_ECAP) != G_MAXUINT64,
           "probe: there is a unit");
    tap_ok(vtdm_get(vm, VTDM_VER) > 0, "... of a version");
    tap_is(vtdm_get(vm, VTDM_GSTS) & (VTDM_TE | VTDM_QIE), 0, "... found off");
    tap_ok(vtdm_cap(vm, VTDM_CAP_SAGAW, 5) & (1 << 2 | 1 << 3),
           "... with tables wide enough");
    tap_ok(vtdm_ecap(vm, VTDM_ECAP_SMTS, 1) && vtdm_ecap(vm, VTDM_ECAP_SSTS, 1) &&
               vtdm_ecap(vm, VTDM_ECAP_FSTS, 1) == (guint)vm->nests,
           "... scalable, with a first stage just where the host nests");
}

static void test_enable(Life *l)
{
    VtdMachine *vm = &l->vm;

    vtdm_set_queue(vm, TRUE);
    tap_is(vtdm_get(vm, VTDM_GSTS) & VTDM_QIE, VTDM_QIE, "the queue is enabled");
    vtdm_set_root(vm, VTDM_SCALABLE, vtdm_alloc(vm, GUEST_PAGE));
    tap_is(vtdm_get(vm, VTDM_GSTS) & VTDM_SRTP, VTDM_SRTP, "the root table is set");
    vtdm_queue(vm, guest_vtd_inv_context(GUEST_CONTEXT_GLOBAL, 0, 0, 0), 0);
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "global flushes: contexts");
    tap_ok(vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0),
           "... PASIDs");
    tap_ok(vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0) | 3 << 6, 0),
           "... IOTLB, with DR and DW");
    vtdm_set_events(vm);
    tap_is(vtdm_get(vm, VTDM_FECTL), 0, "fault events are on");
    tap_ok(vtdm_is_identity(vm, 0), "DMA passes until translation is on");
    tap_ok(vtdm_command(vm, VTDM_TE, TRUE), "translation is on");
    tap_ok(vtdm_is_blocked(vm, 0), "... DMA is refused");
}

/* --- domains ----------------------------------------------------------------------------
 */

/* What Linux flushes of an entry: it, and all translations under it. */
static void flush_entry(VtdMachine *vm, guint16 did)
{
    vtdm_flush_pasid(vm, did, 0);
    vtdm_flush_tables(vm, did, 0);
}

static void write_entry(VtdMachine *vm, guint16 rid, guint64 words[GUEST_VTD_PASID_WORDS])
{
    gboolean fresh = !(vtdm_load(vm, vtdm_context_at(vm, rid)) & 1);

    if (vtdm_ecap(vm, VTDM_ECAP_SMPWCS, 1))
        words[1] |= 1 << 23; /* PWSNP */
    vtdm_put_pasid(vm, rid, 0, words);
    if (fresh && vtdm_cap(vm, VTDM_CAP_CM, 1)) {
        vtdm_flush_context(vm, rid, 0);
        vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, 0), 0);
    }
    if (vtdm_cap(vm, VTDM_CAP_CM, 1))
        flush_entry(vm, words[1]);
}

static void attach(VtdMachine *vm, guint16 rid, const GuestVtdDomain *domain)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_table(words, domain);
    write_entry(vm, rid, words);
}

static void attach_identity(VtdMachine *vm, guint16 rid)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_pass_through(words, IDENTITY_DID, vtdm_aw(vm));
    write_entry(vm, rid, words);
}

static void detach(VtdMachine *vm, guint16 rid, guint16 did)
{
    const guint64 nothing[GUEST_VTD_PASID_WORDS] = {0};

    vtdm_put_pasid(vm, rid, 0, nothing);
    flush_entry(vm, did);
}

static void test_attach(Life *l)
{
    VtdMachine *vm = &l->vm;

    attach_identity(vm, VTDM_RID);
    attach_identity(vm, EP);
    tap_ok(vtdm_is_identity(vm, 0), "attach: the identity domain");
    tap_is(vtdm_reads(vm, EP, vm->page), vm->page, "... of an endpoint too");
    detach(vm, VTDM_RID, IDENTITY_DID);
    detach(vm, EP, IDENTITY_DID);
    tap_ok(vtdm_is_blocked(vm, 0), "detach: blocked");
    vtdm_domain_init(vm, &l->domain, DID);
    attach(vm, VTDM_RID, &l->domain);
    attach(vm, EP, &l->domain);
    tap_ok(vtdm_is_blocked(vm, 0), "attach: a DMA domain, with nothing mapped");
    tap_is(vtdm_get(vm, VTDM_FSTS), 0, "... without a fault");
}

/* --- mapping ----------------------------------------------------------------------------
 */

static gboolean all_reached(Life *l)
{
    gboolean ok = TRUE;

    for (guint i = 0; i < N_PAGES; i++) {
        guint64 iova = MAP_BASE + i * GUEST_PAGE;

        ok &= vtdm_reaches(&l->vm, 0, iova, l->pages[i]) &&
              vtdm_reads(&l->vm, EP, iova) == l->pages[i];
    }
    return ok;
}

static gboolean none_reached(Life *l, guint first, guint n)
{
    gboolean ok = TRUE;

    for (guint i = first; i < first + n; i++) {
        guint64 iova = MAP_BASE + i * GUEST_PAGE;

        ok &= !vtdm_reaches(&l->vm, 0, iova, l->pages[i]) &&
              vtdm_reads(&l->vm, EP, iova) == VTDM_REFUSED;
    }
    vtdm_drain_faults(&l->vm);
    return ok;
}

static void unmap(Life *l, guint first, guint order)
{
    guint64 iova = MAP_BASE + (guint64)first * GUEST_PAGE;

    for (guint i = 0; i < 1u << order; i++)
        guest_vtd_unmap(&l->domain, iova + i * GUEST_PAGE);
    vtdm_issue(&l->vm, vtdm_page_flush(&l->vm, DID, 0),
               guest_vtd_inv_pages(iova, order, FALSE));
}

static void test_map(Life *l)
{
    for (guint i = 0; i < N_PAGES; i++) {
        l->pages[i] = vtdm_alloc(&l->vm, GUEST_PAGE);
        guest_vtd_map(&l->domain, MAP_BASE + i * GUEST_PAGE, l->pages[i], TRUE);
    }
    /* 6.1: caching mode is for second-stage tables, and not for first-stage ones. */
    if (!l->vm.nests)
        vtdm_issue(&l->vm, vtdm_page_flush(&l->vm, DID, 0),
                   guest_vtd_inv_pages(MAP_BASE, 5, FALSE));
    tap_ok(all_reached(l), "map: 24 pages, and %s flush for them",
           VTDM_BY_NESTING(&l->vm, "no", "one"));
    unmap(l, 3, 0);
    tap_ok(none_reached(l, 3, 1), "unmap: a page");
    unmap(l, 8, 3);
    tap_ok(none_reached(l, 8, 8), "unmap: 8 pages by one descriptor");
    tap_ok(vtdm_reaches(&l->vm, 0, MAP_BASE, l->pages[0]) &&
               vtdm_reaches(&l->vm, 0, MAP_BASE + 16 * GUEST_PAGE, l->pages[16]),
           "... the others stay");
    for (guint i = 0; i < N_PAGES; i++)
        guest_vtd_map(&l->domain, MAP_BASE + i * GUEST_PAGE, l->pages[N_PAGES - 1 - i],
                      TRUE);
    vtdm_flush_tables(&l->vm, DID, 0);
    for (guint i = 0; i < N_PAGES / 2; i++) {
        guint64 page = l->pages[i];

        l->pages[i] = l->pages[N_PAGES - 1 - i];
        l->pages[N_PAGES - 1 - i] = page;
    }
    tap_ok(all_reached(l), "all mapped elsewhere, and flushed at once");
}

static void test_fault(Life *l)
{
    VtdMachine *vm = &l->vm;
    VtdmFault f = {0};

    vtdm_drain_faults(vm);
    vm->n_msis[VTDM_FAULT_EVENT] = 0;
    vtdm_reads(vm, EP, UNMAPPED);
    tap_is(vm->n_msis[VTDM_FAULT_EVENT], 1, "fault: the interrupt comes");
    tap_ok(vtdm_next_fault(vm, &f) && f.rid == EP && f.address == UNMAPPED,
           "... the driver finds the record");
    tap_ok(vtdm_is_refused(vm, 0, UNMAPPED), "a host device's DMA there is refused");
    tap_ok(vtdm_reaches(vm, 0, MAP_BASE, l->pages[0]), "... DMA elsewhere goes on");
}

/* A domain is left: blocked, another, then one in the place of the other. */
static void test_domains(Life *l)
{
    VtdMachine *vm = &l->vm;
    guint64 page = vtdm_alloc(vm, GUEST_PAGE), words[GUEST_VTD_PASID_WORDS];
    GuestVtdDomain other;

    vtdm_domain_init(vm, &other, OTHER_DID);
    guest_vtd_map(&other, MAP_BASE, page, TRUE);
    detach(vm, VTDM_RID, DID);
    tap_ok(!vtdm_reaches(vm, 0, MAP_BASE, l->pages[0]), "detach: the blocked domain");
    tap_is(vtdm_reads(vm, EP, MAP_BASE), l->pages[0], "... the endpoint's goes on");
    attach(vm, VTDM_RID, &other);
    tap_ok(vtdm_reaches(vm, 0, MAP_BASE, page), "attach: another domain");
    guest_vtd_pasid_table(words, &l->domain);
    vtdm_put_pasid(vm, VTDM_RID, 0, words);
    flush_entry(vm, OTHER_DID);
    tap_ok(vtdm_reaches(vm, 0, MAP_BASE, l->pages[0]),
           "replace: the first, flushed under the old domain's ID");
    tap_is(vtdm_get(vm, VTDM_FSTS), 0, "no fault in all");
}

/* --- kexec, reset -----------------------------------------------------------------------
 */

/* A new kernel finds translation on, and nobody has reset the unit; it is no friend of
 * scalable mode. */
static void test_kexec(Life *l)
{
    VtdMachine *vm = &l->vm;
    guint64 words[2];

    tap_is(vtdm_get(vm, VTDM_GSTS) & VTDM_TE, VTDM_TE, "kexec: found on");
    tap_ok(vtdm_reaches(vm, 0, MAP_BASE, l->pages[0]), "... with the old kernel's tables");
    vtdm_command(vm, VTDM_TE, FALSE);
    tap_ok(vtdm_is_identity(vm, 0), "... turned off: DMA passes");
    vtdm_drain_faults(vm);
    vtdm_set_queue(vm, FALSE);
    vtdm_set_root(vm, VTDM_LEGACY, vtdm_alloc(vm, GUEST_PAGE));
    tap_ok(vtdm_flush_all(vm), "... a queue of 128 bits, a legacy root table");
    vtdm_set_events(vm);
    vtdm_command(vm, VTDM_TE, TRUE);
    tap_ok(vtdm_is_blocked(vm, 0) && vtdm_is_refused(vm, 0, MAP_BASE),
           "... on: the old tables are gone");
    tap_ok(vtdm_reads(vm, EP, MAP_BASE) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_ROOT_P,
           "... of endpoints too");
    guest_vtd_context_pass_through(words, IDENTITY_DID, vtdm_aw(vm));
    vtdm_put_context(vm, VTDM_RID, words[0], words[1]);
    vtdm_flush_context(vm, VTDM_RID, 0);
    vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, IDENTITY_DID), 0);
    tap_ok(vtdm_is_identity(vm, 0), "... the identity domain, in legacy mode");
}

static void test_back(Life *l)
{
    VtdMachine *vm = &l->vm;
    guint64 page = vtdm_alloc(vm, GUEST_PAGE);
    GuestVtdDomain fresh;

    tap_ok(viommu_vtd_block(vm->vtd, NULL) && vtdm_is_blocked(vm, 0), "reset: blocked");
    tap_ok(viommu_vtd_release(vm->vtd, NULL) && vtdm_is_identity(vm, 0), "... released");
    vm->root = 0;
    vtdm_start(vm, VTDM_SCALABLE);
    vtdm_domain_init(vm, &fresh, DID);
    guest_vtd_map(&fresh, MAP_BASE, page, TRUE);
    attach(vm, VTDM_RID, &fresh);
    attach(vm, EP, &fresh);
    tap_ok(vtdm_reaches(vm, 0, MAP_BASE, page),
           "a new kernel's tables, scalable again, the same domain ID");
    tap_is(vtdm_reads(vm, EP, MAP_BASE), page, "... of endpoints too");
    tap_is(vtdm_get(vm, VTDM_FSTS), 0, "no fault in all");
}

int main(int argc, char **argv)
{
    Target target;
    Life l = {0};

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&l.vm, &target, target.first, NULL), "a machine")) {
        test_probe(&l);
        test_enable(&l);
        test_attach(&l);
        test_map(&l);
        test_fault(&l);
        test_domains(&l);
        test_kexec(&l);
        test_back(&l);
        vtdm_clear(&l.vm);
    }
    target_clear(&target);
    return tap_done();
}
