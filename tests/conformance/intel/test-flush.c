/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: which invalidations of the guest go to the host, how many calls they
 * are, what DMA makes of them, and what happens when the host fails one. A point is a rule.
 */
#include <errno.h>
#include <linux/iommufd.h>
#include <string.h>

#include "tap.h"
#include "vtd-machine.h"

enum { OTHER_DID = 30 };

static guint64 page_flush(const VtdMachine *vm, guint16 did)
{
    return vtdm_page_flush(vm, did, 0);
}

/* Map VTDM_IOVA elsewhere: DMA goes on as it did, and after the descriptor no more. */
static void stale_until(VtdMachine *vm, guint64 word0, guint64 word1, const char *name)
{
    guint64 other = vtdm_alloc(vm, GUEST_PAGE);
    gboolean stale;

    vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
    guest_vtd_map(&vm->domain, VTDM_IOVA, other, TRUE);
    stale = vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
    vtdm_issue(vm, word0, word1);
    tap_ok(stale && vtdm_reaches(vm, 0, VTDM_IOVA, other), "DMA is stale until %s", name);
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_flush_tables(vm, VTDM_DID, 0);
}

static void untouched_by(VtdMachine *vm, guint64 word0, guint64 word1, const char *name)
{
    guint64 other = vtdm_alloc(vm, GUEST_PAGE);

    vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
    guest_vtd_map(&vm->domain, VTDM_IOVA, other, TRUE);
    vtdm_issue(vm, word0, word1);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and over %s", name);
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_flush_tables(vm, VTDM_DID, 0);
}

static void test_reach(VtdMachine *vm)
{
    stale_until(vm, page_flush(vm, VTDM_DID), VTDM_IOVA, "a flush of the page");
    stale_until(vm, page_flush(vm, VTDM_DID), guest_vtd_inv_pages(VTDM_IOVA, 0, TRUE),
                "a flush of its leaf");
    stale_until(vm, page_flush(vm, VTDM_DID), guest_vtd_inv_pages(0, 3, FALSE),
                "a flush of 8 pages");
    stale_until(vm, page_flush(vm, VTDM_DID), guest_vtd_inv_pages(VTDM_IOVA, 3, FALSE),
                "... named by any of them");
    stale_until(vm, page_flush(vm, VTDM_DID), guest_vtd_inv_pages(0, 9, FALSE),
                "a flush of 2 MiB");
    stale_until(vm, vtdm_tables_flush(vm, VTDM_DID, 0), 0,
                VTDM_BY_NESTING(vm, "a flush of the PASID", "a flush of the domain"));
    stale_until(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0, "a global IOTLB flush");
    untouched_by(vm, page_flush(vm, OTHER_DID), VTDM_IOVA, "one of another domain");
    untouched_by(vm, page_flush(vm, VTDM_DID), VTDM_IOVA + 0x1000,
                 "one of the page beside it");
    untouched_by(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, 0, VTDM_RID, 0), 0,
                 "a context-cache flush");
    untouched_by(vm, GUEST_INV_WAIT, 0, "a wait");
}

/* Unmapped by as few descriptors as reach both ends (CAP.MAMV is no limit of PASIDs'). */
static void flush_half(VtdMachine *vm, guint64 iova, guint64 last)
{
    guint order = VTDM_BY_NESTING(vm, 36, vtdm_cap(vm, VTDM_CAP_MAMV, 6));

    if (!vm->nests)
        vtdm_queue(vm, page_flush(vm, VTDM_DID), guest_vtd_inv_pages(iova, order, FALSE));
    vtdm_issue(vm, page_flush(vm, VTDM_DID),
               guest_vtd_inv_pages(VTDM_BY_NESTING(vm, G_MAXUINT64, last), order, FALSE));
}

/* Addresses that edu cannot have. */
static void test_upper_half(VtdMachine *vm)
{
    /* A second stage has no sign extension: its last is by CAP.MGAW. */
    guint64 last =
        VTDM_BY_NESTING(vm, G_MAXUINT64, (2ull << vtdm_cap(vm, VTDM_CAP_MGAW, 6)) - 1) &
        ~0xfffull;
    guint64 iova =
        VTDM_BY_NESTING(vm, 0xffff800000000000ull, (last + GUEST_PAGE) / 2) + 0x5000;
    const guint64 pages[] = {vtdm_alloc(vm, GUEST_PAGE), vtdm_alloc(vm, GUEST_PAGE)};

    if (!vm->emulator) {
        tap_skip("edu's addresses have 28 bits", "the upper half");
        return;
    }
    guest_vtd_map(&vm->domain, iova, pages[0], TRUE);
    guest_vtd_map(&vm->domain, last, pages[0], TRUE);
    vtdm_flush_tables(vm, VTDM_DID, 0);
    tap_ok(vtdm_lands(vm, 0, iova, pages[0]) && vtdm_lands(vm, 0, last, pages[0]),
           "the upper half, to its end");
    guest_vtd_map(&vm->domain, iova, pages[1], TRUE);
    guest_vtd_map(&vm->domain, last, pages[1], TRUE);
    tap_ok(vtdm_lands(vm, 0, iova, pages[0]), "... stale");
    vtdm_queue(vm, page_flush(vm, VTDM_DID), iova);
    vtdm_queue(vm, page_flush(vm, VTDM_DID), last);
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_lands(vm, 0, iova, pages[1]) &&
               vtdm_lands(vm, 0, last, pages[1]),
           "... until its pages are flushed");
    guest_vtd_unmap(&vm->domain, iova);
    guest_vtd_unmap(&vm->domain, last);
    flush_half(vm, iova, last);
    tap_ok(!vtdm_lands(vm, 0, iova, pages[1]) && !vtdm_lands(vm, 0, last, pages[1]),
           "... by a range of it, too");
    vtdm_flush_tables(vm, VTDM_DID, 0);
}

/* --- how many calls ---------------------------------------------------------------------
 */

/* Pages that no others are beside, and then some that are. */
static void test_gathered(VtdMachine *vm, Spy *spy)
{
    enum { MANY = 0x100000, BESIDE = 0x200000 };
    guint64 pages = vtdm_alloc(vm, 8 * GUEST_PAGE);

    for (guint i = 0; i < 100; i++)
        guest_vtd_map(&vm->domain, MANY + ((guint64)(2 * i) << 12), vm->page, TRUE);
    for (guint i = 0; i < 8; i++)
        guest_vtd_map(&vm->domain, BESIDE + i * GUEST_PAGE, pages + i * GUEST_PAGE, TRUE);
    spy_reset_counts(spy);
    for (guint i = 0; i < 100; i++)
        vtdm_queue(vm, page_flush(vm, VTDM_DID), MANY + ((guint64)(2 * i) << 12));
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "100 flushes of one doorbell");
    tap_is(vtdm_count(vm, spy, VTDM_CALL_GRANT), VTDM_BY_NESTING(vm, 1, 100), "... are %s",
           VTDM_BY_NESTING(vm, "one host call", "one map each"));
    spy_reset_counts(spy);
    vm->n_entries = 0;
    if (vm->nests)
        for (guint i = 0; i < 8; i++)
            vtdm_queue(vm, page_flush(vm, VTDM_DID), BESIDE + i * GUEST_PAGE);
    else
        vtdm_queue(vm, page_flush(vm, VTDM_DID), guest_vtd_inv_pages(BESIDE, 3, FALSE));
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
    tap_is(vtdm_count(vm, spy, VTDM_CALL_GRANT), 1, "flushes of neighbours are one call");
    tap_is(VTDM_BY_NESTING(vm, vm->n_entries, spy->n_calls), 1, "... of one entry");
    for (guint i = 0; i < 100; i++)
        guest_vtd_unmap(&vm->domain, MANY + ((guint64)(2 * i) << 12));
    for (guint i = 0; i < 8; i++)
        guest_vtd_unmap(&vm->domain, BESIDE + i * GUEST_PAGE);
    vtdm_flush_tables(vm, VTDM_DID, 0);
}

static void test_batches(VtdMachine *vm, Spy *spy)
{
    test_gathered(vm, spy);
    spy_reset_counts(spy);
    for (guint i = 0; i < 20; i++) {
        vtdm_queue(vm, page_flush(vm, VTDM_DID), (guint64)i << 16);
        vtdm_queue_wait(vm);
    }
    vtdm_ring(vm);
    tap_is(spy->n_calls, VTDM_BY_NESTING(vm, 1, 0), "waits in between cost none");
    spy_reset_counts(spy);
    vtdm_queue(vm, page_flush(vm, OTHER_DID), VTDM_IOVA);
    vtdm_queue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, OTHER_DID), 0);
    vtdm_queue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, OTHER_DID), VTDM_IOVA);
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
    tap_is(spy->n_calls, 0, "flushes of domains without host devices are none");
    vtdm_install_pass_through(vm, VTDM_RID);
    spy_reset_counts(spy);
    vtdm_issue(vm, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, VTDM_PT_DID, 0), 0);
    vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, VTDM_PT_DID), 0);
    tap_is(spy->n_calls, 0, "pass-through has nothing to flush");
    vtdm_install(vm, VTDM_RID, &vm->domain);
}

/* A flush before a change of the entry is done before it, one behind it is for the new. */
static void test_order(VtdMachine *vm)
{
    guint64 words[GUEST_VTD_PASID_WORDS], pages[2];
    GuestVtdDomain other;

    for (guint i = 0; i < 2; i++)
        pages[i] = vtdm_alloc(vm, GUEST_PAGE);
    vtdm_domain_init(vm, &other, OTHER_DID);
    guest_vtd_map(&other, VTDM_IOVA, pages[0], TRUE);
    guest_vtd_pasid_table(words, &other);
    vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
    vtdm_put_pasid(vm, VTDM_RID, 0, words);
    vtdm_queue(vm, page_flush(vm, VTDM_DID), VTDM_IOVA);
    vtdm_queue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_PASID, VTDM_DID, 0), 0);
    vtdm_queue(vm, vtdm_tables_flush(vm, OTHER_DID, 0), 0);
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "a flush, a change, a flush in one doorbell");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, pages[0]), "... end with the new entry");
    guest_vtd_map(&other, VTDM_IOVA, pages[1], TRUE);
    vtdm_flush_page(vm, OTHER_DID, 0, VTDM_IOVA);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, pages[1]), "... whose flushes work");
    vtdm_install(vm, VTDM_RID, &vm->domain);
}

/* --- failures ---------------------------------------------------------------------------
 */

/* However the host fails: a wait that completed leaves nothing stale in reach. */
static void test_failures(VtdMachine *vm, Spy *spy)
{
    static const struct {
        const char *name;
        int err;
        guint times;
    } failures[] = {{"once, EINVAL", EINVAL, 1},
                    {"for long, EINVAL", EINVAL, 99},
                    {"EIO", EIO, 99},
                    {"ENOMEM, for a moment", ENOMEM, 2},
                    {"ENOMEM, for long", ENOMEM, 100000}};

    for (gsize i = 0; i < G_N_ELEMENTS(failures); i++) {
        guint64 other = vtdm_alloc(vm, GUEST_PAGE);
        /* To block, the other way out, is to unmap as well: for long, there is none. */
        gboolean can = failures[i].times <= 2 || vtdm_way(vm) != VTDM_MAPPED;
        gboolean done;

        vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
        guest_vtd_map(&vm->domain, VTDM_IOVA, other, TRUE);
        spy_fail(spy, vtdm_request(vm, VTDM_CALL_REVOKE), 1, failures[i].err,
                 failures[i].times);
        done = vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA);
        spy_fail_none(spy);
        tap_is(done, can, "an invalidation that the host fails (%s) %s", failures[i].name,
               can ? "completes" : "does not complete, until it is submitted again");
        if (!can) {
            vtdm_clear_queue_errors(vm);
            vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA);
        }
        tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, other), "... DMA has the new page");
        guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
        vtdm_flush_tables(vm, VTDM_DID, 0);
        tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and flushes work again");
    }
    vtdm_drain_faults(vm);
}

/* Nor when nothing works any more: then nothing completes that is not so. */
static void test_hopeless(VtdMachine *vm, Spy *spy)
{
    guint64 other = vtdm_alloc(vm, GUEST_PAGE);

    vtdm_reaches(vm, 0, VTDM_IOVA, vm->page);
    guest_vtd_map(&vm->domain, VTDM_IOVA, other, TRUE);
    spy_fail(spy, 0, 1, EIO, 100000);
    vm->n_msis[VTDM_FAULT_EVENT] = 0;
    vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA);
    tap_ok(!vtdm_waited(vm), "every host call fails: the wait does not complete");
    tap_is(vtdm_get(vm, VTDM_FSTS) & (VTDM_IQE | VTDM_ITE), VTDM_ITE,
           "... which the guest is told by ITE");
    tap_is(vm->n_msis[VTDM_FAULT_EVENT], 1, "... and an event");
    spy_reset_counts(spy);
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
    tap_is(spy->n_calls, 0, "... and the queue stands until that is cleared");
    vtdm_clear_queue_errors(vm);
    tap_ok(!vtdm_waited(vm), "... then no other completes, as long as it is so");
    spy_fail_none(spy);
    vtdm_clear_queue_errors(vm);
    tap_ok(vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA),
           "the host well again, the flush submitted again completes");
    tap_ok(!vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... and nothing stale is left");
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, other), "... DMA has the new page");
    vtdm_drain_faults(vm);
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_flush_tables(vm, VTDM_DID, 0);
}

/* --- entries of the host's ---------------------------------------------------------------
 */

/* What the last invalidation had. */
typedef struct {
    guint n;
    struct iommu_hwpt_vtd_s1_invalidate entries[4];
} Entries;

static void take_entries(void *user_data, unsigned long request, void *arg, int *ret)
{
    const struct iommu_hwpt_invalidate *cmd = arg;
    Entries *entries = user_data;

    if (request != IOMMU_HWPT_INVALIDATE || *ret < 0)
        return;
    entries->n = cmd->entry_num;
    memcpy(entries->entries, (const void *)(guintptr)cmd->data_uptr,
           MIN(cmd->entry_num, G_N_ELEMENTS(entries->entries)) * cmd->entry_len);
}

/* One or two pages, one after the other. */
static void flush_two(VtdMachine *vm, Entries *entries, guint64 one, guint64 other)
{
    entries->n = 0;
    vtdm_queue(vm, page_flush(vm, VTDM_DID), one);
    if (other != one)
        vtdm_queue(vm, page_flush(vm, VTDM_DID), other);
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
}

static void test_entries(VtdMachine *vm, Spy *spy)
{
    const guint64 base = 0x100000;
    guint64 words[GUEST_VTD_PASID_WORDS];
    Entries seen = {0};
    const struct iommu_hwpt_vtd_s1_invalidate *first = &seen.entries[0];

    if (!vm->nests) /* then its host is given maps and unmaps */
        return;
    spy->answer = take_entries;
    spy->answer_data = &seen;
    flush_two(vm, &seen, base, base);
    tap_ok(seen.n == 1 && first->addr == base && first->npages == 1 && !first->flags,
           "a page, with all tables on the way");
    flush_two(vm, &seen, base | 1 << 6, base | 1 << 6);
    tap_ok(seen.n == 1 && first->flags == IOMMU_VTD_INV_FLAGS_LEAF, "IH: its leaf");
    flush_two(vm, &seen, base, base | 0x1000 | 1 << 6);
    tap_is(seen.n, 2, "with and without are two");
    flush_two(vm, &seen, base, base + 0x1000);
    tap_ok(seen.n == 1 && first->addr == base && first->npages == 2,
           "a page and the next are one");
    flush_two(vm, &seen, base + 0x1000, base);
    tap_ok(seen.n == 1 && first->addr == base && first->npages == 2,
           "... and a page and the one before");
    flush_two(vm, &seen, base - 0x1000, base);
    tap_is(seen.n, 2, "... but where the host would round up to far more");
    flush_two(vm, &seen, base, base + 0x2000);
    tap_is(seen.n, 2, "pages apart are two");
    spy->answer = NULL;
    vtdm_remove(vm, VTDM_RID);
    vtdm_flush_all(vm);
    spy_reset_counts(spy);
    guest_vtd_pasid_table(words, &vm->domain);
    vtdm_put_pasid(vm, VTDM_RID, 0, words);
    vtdm_flush_pasid(vm, VTDM_DID, 0);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) &&
               spy_count(spy, IOMMU_HWPT_INVALIDATE) == 0,
           "tables bound for the first time need none");
}

/* --- two devices ------------------------------------------------------------------------
 */

static void test_two_devices(const Target *target, Spy *spy)
{
    GuestVtdDomain other;
    guint64 page;
    VtdMachine vm;

    if (!target->bdfs[1]) {
        tap_skip("one device", "two devices");
        return;
    }
    if (!tap_ok(vtdm_init(&vm, target, target->bdfs, NULL), "two devices"))
        return;
    page = vtdm_alloc(&vm, GUEST_PAGE);
    vtdm_domain_init(&vm, &other, OTHER_DID);
    guest_vtd_map(&other, VTDM_IOVA, page, TRUE);
    vtdm_start(&vm, VTDM_SCALABLE);
    spy_reset_counts(spy);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
    /* What two containers share is one table of mappings, of which this domain has one. */
    tap_is(vtdm_count(&vm, spy, VTDM_CALL_TABLES), VTDM_BY_WAY(vtdm_way(&vm), 1, 1, 2),
           "equal entries share one %s",
           VTDM_BY_WAY(vtdm_way(&vm), "HWPT", "HWPT", "table, mapped once for each"));
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page) &&
               vtdm_reaches(&vm, 1, VTDM_IOVA, vm.page),
           "... which both devices follow");
    guest_vtd_map(&vm.domain, VTDM_IOVA, page, TRUE);
    spy_reset_counts(spy);
    vtdm_flush_page(&vm, VTDM_DID, 0, VTDM_IOVA);
    tap_is(vtdm_count(&vm, spy, VTDM_CALL_REVOKE), VTDM_BY_WAY(vtdm_way(&vm), 1, 1, 2),
           "a flush is one call for %s",
           VTDM_BY_WAY(vtdm_way(&vm), "both", "both", "each container"));
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, page) && vtdm_reaches(&vm, 1, VTDM_IOVA, page),
           "... and done for both");
    guest_vtd_map(&vm.domain, VTDM_IOVA, vm.page, TRUE);
    vtdm_flush_page(&vm, VTDM_DID, 0, VTDM_IOVA);
    vtdm_install(&vm, VTDM_RID + 8, &other);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page) &&
               vtdm_reaches(&vm, 1, VTDM_IOVA, page),
           "different entries lead different ways");
    guest_vtd_map(&vm.domain, VTDM_IOVA, page, TRUE);
    guest_vtd_map(&other, VTDM_IOVA, vm.page, TRUE);
    spy_reset_counts(spy);
    vtdm_queue(&vm, page_flush(&vm, VTDM_DID), VTDM_IOVA);
    vtdm_queue(&vm, page_flush(&vm, OTHER_DID), VTDM_IOVA);
    vtdm_queue(&vm, page_flush(&vm, VTDM_DID), VTDM_IOVA + 0x4000);
    vtdm_queue(&vm, page_flush(&vm, OTHER_DID), VTDM_IOVA + 0x4000);
    vtdm_queue_wait(&vm);
    vtdm_ring(&vm);
    tap_is(vtdm_count(&vm, spy, VTDM_CALL_REVOKE), 2,
           "flushes of two domains are a call each");
    guest_vtd_map(&vm.domain, VTDM_IOVA, vm.page, TRUE);
    vtdm_flush_page(&vm, VTDM_DID, 0, VTDM_IOVA);
    vtdm_remove(&vm, VTDM_RID + 8);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page) && vtdm_is_blocked(&vm, 1),
           "one removed leaves the other");
    vtdm_clear(&vm);
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 2, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        vtdm_install(&vm, VTDM_RID, &vm.domain);
        test_reach(&vm);
        test_upper_half(&vm);
        test_batches(&vm, &target.spy);
        test_order(&vm);
        test_entries(&vm, &target.spy);
        test_failures(&vm, &target.spy);
        test_hopeless(&vm, &target.spy);
        vtdm_clear(&vm);
    }
    test_two_devices(&target, &target.spy);
    target_clear(&target);
    return tap_done();
}
