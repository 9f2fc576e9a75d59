/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: what is kept of an emulated endpoint's translations, and which
 * invalidations of the queue end that: by page, PASID, domain and all, of first-stage,
 * second-stage and pass-through entries, and after a change of the entry. A point is a
 * rule.
 */
#include "tap.h"
#include "vtd-machine.h"

enum { EP = VTDM_ENDPOINT, SS_DID = 20, OTHER_DID = 30 };

typedef struct {
    VtdMachine vm;
    GuestVtdDomain *domain; /* what EP has */
    guint64 other;          /* a page to map elsewhere */
} Rig;

static guint64 reads(Rig *r)
{
    return vtdm_reads(&r->vm, EP, VTDM_IOVA);
}

static gboolean settle(Rig *r)
{
    guest_vtd_map(r->domain, VTDM_IOVA, r->vm.page, TRUE);
    return vtdm_flush_all(&r->vm);
}

/* Map VTDM_IOVA elsewhere: the endpoint is where it was, after the descriptor not. */
static void stale_until(Rig *r, guint64 word0, guint64 word1, const char *name)
{
    gboolean stale;

    reads(r);
    guest_vtd_map(r->domain, VTDM_IOVA, r->other, TRUE);
    stale = reads(r) == r->vm.page;
    vtdm_issue(&r->vm, word0, word1);
    tap_ok(stale && reads(r) == r->other, "a translation is kept until %s", name);
    settle(r);
}

static void untouched_by(Rig *r, guint64 word0, guint64 word1, const char *name)
{
    reads(r);
    guest_vtd_map(r->domain, VTDM_IOVA, r->other, TRUE);
    vtdm_issue(&r->vm, word0, word1);
    tap_is(reads(r), r->vm.page, "... and over %s", name);
    settle(r);
}

static guint64 page_of(guint16 did, guint32 pasid)
{
    return guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_PAGE, did, pasid);
}

static void test_first_stage(Rig *r)
{
    stale_until(r, page_of(VTDM_DID, 0), VTDM_IOVA, "PASID-based IOTLB of the page");
    stale_until(r, page_of(VTDM_DID, 0), guest_vtd_inv_pages(VTDM_IOVA, 0, TRUE),
                "... of its leaf");
    stale_until(r, page_of(VTDM_DID, 0), guest_vtd_inv_pages(VTDM_IOVA, 3, FALSE),
                "... of 8 pages, named by any of them");
    stale_until(r, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, VTDM_DID, 0), 0,
                "... of the PASID");
    stale_until(r, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0, "IOTLB, global");
    untouched_by(r, page_of(OTHER_DID, 0), VTDM_IOVA, "another domain's");
    untouched_by(r, page_of(VTDM_DID, 0), VTDM_IOVA + 0x1000, "that of the page beside it");
    untouched_by(r, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, OTHER_DID), 0,
                 "IOTLB of another domain");
    tap_ok(vtdm_reads(&r->vm, EP, 0x9000) == VTDM_REFUSED, "what is not mapped is refused");
    guest_vtd_map(r->domain, 0x9000, r->other, TRUE);
    tap_is(vtdm_reads(&r->vm, EP, 0x9000), r->other,
           "... and not kept: a new mapping needs no flush");
    vtdm_drain_faults(&r->vm);
}

/* A read does not earn the right to write. */
static void test_rights(Rig *r)
{
    VtdMachine *vm = &r->vm;
    const guint write = VIOMMU_ACCESS_WRITE;

    guest_vtd_map(r->domain, 0xa000, r->other, FALSE);
    tap_is(vtdm_reads(vm, EP, 0xa000), r->other, "a read-only page is read");
    tap_ok(vtdm_translate(vm, EP, VTDM_NO_PASID, 0xa000, write) == VTDM_REFUSED,
           "... and not written for that");
    guest_vtd_map(r->domain, 0xa000, r->other, TRUE);
    tap_is(vtdm_translate(vm, EP, VTDM_NO_PASID, 0xa000, write), r->other,
           "more rights need no flush");
    vtdm_drain_faults(vm);
}

/* --- after a change of the entry --------------------------------------------------------
 */

static void test_entries(Rig *r)
{
    VtdMachine *vm = &r->vm;
    guint64 words[2][GUEST_VTD_PASID_WORDS], context, was;
    GuestVtdDomain other;

    guest_vtd_domain_init(&other, &vm->ram, GUEST_VTD_FIRST, 4, OTHER_DID);
    guest_vtd_map(&other, VTDM_IOVA, r->other, TRUE);
    guest_vtd_pasid_table(words[0], r->domain);
    guest_vtd_pasid_table(words[1], &other);
    reads(r);
    vtdm_put_pasid(vm, EP, 0, words[1]);
    vtdm_queue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_PASID, VTDM_DID, 0), 0);
    vtdm_flush_tables(vm, VTDM_DID, 0);
    tap_is(reads(r), r->other, "another entry: PASID-cache by PASID, and IOTLB");
    vtdm_put_pasid(vm, EP, 0, words[0]);
    vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_PASID, OTHER_DID, 7), 0);
    tap_is(reads(r), r->other, "... and not by another PASID");
    vtdm_put_pasid(vm, EP, 0, words[0]);
    vtdm_queue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_DOMAIN, OTHER_DID, 0), 0);
    vtdm_flush_tables(vm, OTHER_DID, 0);
    tap_is(reads(r), vm->page, "... by domain");
    vtdm_put_pasid(vm, EP, 0, words[1]);
    vtdm_flush_all(vm);
    tap_is(reads(r), r->other, "... all");
    vtdm_put_pasid(vm, EP, 0, words[0]);
    vtdm_flush_all(vm);
    context = vtdm_context_at(vm, EP);
    was = vtdm_load(vm, context);
    vtdm_store(vm, context, 0);
    vtdm_queue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, 0, EP, 0), 0);
    vtdm_queue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
    vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0);
    tap_ok(reads(r) == VTDM_REFUSED && vtdm_fault_reason(vm) == VTDM_F_SM_CONTEXT_P,
           "a context entry taken away: context-cache, PASID-cache, IOTLB");
    vtdm_store(vm, context, was);
    vtdm_flush_all(vm);
    tap_is(reads(r), vm->page, "... and put back");
    vtdm_put_pasid(vm, EP, 0, words[1]);
    vtdm_queue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, 0, EP + 4, 1), 0);
    vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0);
    tap_is(reads(r), r->other, "context-cache by a function mask concerns what it covers");
    vtdm_put_pasid(vm, EP, 0, words[0]);
    vtdm_flush_all(vm);
}

/* Endpoints of one domain share what is kept, and its flushes. */
static void test_shared(Rig *r)
{
    VtdMachine *vm = &r->vm;

    vtdm_install(vm, EP + 8, r->domain);
    tap_ok(reads(r) == vm->page && vtdm_reads(vm, EP + 8, VTDM_IOVA) == vm->page,
           "two endpoints of one domain");
    guest_vtd_map(r->domain, VTDM_IOVA, r->other, TRUE);
    vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA);
    tap_ok(reads(r) == r->other && vtdm_reads(vm, EP + 8, VTDM_IOVA) == r->other,
           "... one flush is for both");
    settle(r);
    vtdm_remove(vm, EP + 8);
    tap_ok(reads(r) == vm->page && vtdm_reads(vm, EP + 8, VTDM_IOVA) == VTDM_REFUSED,
           "... one removed leaves the other");
    vtdm_drain_faults(vm);
}

/* --- legacy mode ------------------------------------------------------------------------
 */

static void test_legacy(Rig *r)
{
    VtdMachine *vm = &r->vm;
    GuestVtdDomain second;

    vtdm_start(vm, VTDM_LEGACY);
    guest_vtd_domain_init(&second, &vm->ram, GUEST_VTD_SECOND, vtdm_aw(vm) + 2, SS_DID);
    guest_vtd_map(&second, VTDM_IOVA, vm->page, TRUE);
    vtdm_install(vm, EP, &second);
    r->domain = &second;
    stale_until(r, guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, SS_DID), VTDM_IOVA,
                "(legacy) IOTLB of the page");
    stale_until(r, guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, SS_DID),
                guest_vtd_inv_pages(VTDM_IOVA, 3, FALSE), "(legacy) ... of 8 pages");
    stale_until(r, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, SS_DID), 0,
                "(legacy) ... of the domain");
    stale_until(r, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0, "(legacy) ... of all");
    untouched_by(r, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, OTHER_DID), 0,
                 "another domain's");
    untouched_by(r, guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, SS_DID), VTDM_IOVA + 0x1000,
                 "that of the page beside it");
    vtdm_install_pass_through(vm, EP);
    tap_is(reads(r), VTDM_IOVA, "(legacy) pass-through in its place");
    vtdm_install(vm, EP, &second);
    tap_is(reads(r), vm->page, "... and the table again");
    vtdm_command(vm, VTDM_TE, FALSE);
    tap_is(reads(r), VTDM_IOVA, "TE 0: nothing of it is kept");
    vtdm_command(vm, VTDM_TE, TRUE);
    tap_is(reads(r), vm->page, "TE 1: the table again");
}

int main(int argc, char **argv)
{
    Target target;
    Rig r = {0};

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init_first_stage(&r.vm, &target), "a machine")) {
        r.domain = &r.vm.domain;
        r.other = vtdm_alloc(&r.vm, GUEST_PAGE);
        vtdm_start(&r.vm, VTDM_SCALABLE);
        vtdm_install(&r.vm, EP, r.domain);
        test_first_stage(&r);
        test_rights(&r);
        test_entries(&r);
        test_shared(&r);
        test_legacy(&r);
        vtdm_clear(&r.vm);
    }
    target_clear(&target);
    return tap_done();
}
