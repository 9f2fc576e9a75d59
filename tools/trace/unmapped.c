/* SPDX-License-Identifier: MIT */
/*
 * Addresses flushed by a recorded guest.
 *
 * Invariants: a page is *due* when an invalidation that covers it was met, and no DMA since
 * then; when that is complete it is asked for, and then forgotten until it is translated
 * again. What it was when it was translated (tag, table, block) decides what covers it. In
 * doubt it is not due: pages are left out whose table base changed, or which a leaf-only
 * command may have missed.
 *
 * Up: player.c, the vendors' queues. Down: the walk of the vendor's tables.
 */
#include "unmapped.h"

/* More pages than this in one command: look at all instead of at each. */
enum { PAGE_SHIFT = 12, FEW_PAGES = 64 };

typedef struct {
    guint64 page;
    guint32 sid;
    gboolean due;
    gboolean entry_gone; /* its entry, and what was cached of that */
    TraceAnswer was;
} Page;

struct TraceUnmapped {
    const TraceUnmappedOps *ops;
    const TraceTablesOps *tables_ops;
    gconstpointer tables;
    const TraceMemory *memory;
    TraceUnmappedFunc func;
    gpointer user_data;
    GHashTable *pages; /* Page -> itself, owned */
    GArray *sids;      /* those in pages */
    GPtrArray *due;    /* of Page */
};

static guint page_hash(gconstpointer key)
{
    const Page *page = key;
    guint64 mixed = (page->page ^ (guint64)page->sid << 40) * 0x9e3779b97f4a7c15ULL;

    return mixed >> 32;
}

static gboolean page_equal(gconstpointer a, gconstpointer b)
{
    const Page *left = a;
    const Page *right = b;

    return left->page == right->page && left->sid == right->sid;
}

TraceUnmapped *trace_unmapped_new(const TraceUnmappedOps *ops,
                                  const TraceTablesOps *tables_ops, gconstpointer tables,
                                  const TraceMemory *memory, TraceUnmappedFunc func,
                                  gpointer user_data)
{
    TraceUnmapped *unmapped = g_new0(TraceUnmapped, 1);

    unmapped->ops = ops;
    unmapped->tables_ops = tables_ops;
    unmapped->tables = tables;
    unmapped->memory = memory;
    unmapped->func = func;
    unmapped->user_data = user_data;
    unmapped->pages = g_hash_table_new_full(page_hash, page_equal, g_free, NULL);
    unmapped->sids = g_array_new(FALSE, FALSE, sizeof(guint32));
    unmapped->due = g_ptr_array_new();
    return unmapped;
}

void trace_unmapped_free(TraceUnmapped *unmapped)
{
    if (!unmapped)
        return;
    g_ptr_array_unref(unmapped->due);
    g_array_unref(unmapped->sids);
    g_hash_table_unref(unmapped->pages);
    g_free(unmapped);
}

static Page *find(TraceUnmapped *unmapped, guint32 sid, guint64 iova)
{
    const Page key = {.page = iova >> PAGE_SHIFT, .sid = sid};

    return g_hash_table_lookup(unmapped->pages, &key);
}

static void walk(const TraceUnmapped *unmapped, const Page *page, TraceAnswer *ret_now)
{
    unmapped->tables_ops->walk(unmapped->tables, page->sid, page->page << PAGE_SHIFT,
                               ret_now);
}

/* Whatever is cached since the invalidation may be: a block is more than its page. */
static void none_due(TraceUnmapped *unmapped)
{
    for (guint i = 0; i < unmapped->due->len; i++)
        ((Page *)g_ptr_array_index(unmapped->due, i))->due = FALSE;
    g_ptr_array_set_size(unmapped->due, 0);
}

void trace_unmapped_add(TraceUnmapped *unmapped, guint32 sid, guint64 iova)
{
    Page *page = find(unmapped, sid, iova);
    TraceAnswer now;
    gboolean known = FALSE;

    none_due(unmapped);
    unmapped->tables_ops->walk(unmapped->tables, sid, iova, &now);
    if (now.kind != TRACE_MAPPED)
        return; /* translated by what was cached: it says nothing of what it was */
    if (page) {
        page->was = now;
        page->entry_gone = FALSE;
        return;
    }
    page = g_new0(Page, 1);
    *page = (Page){.page = iova >> PAGE_SHIFT, .sid = sid, .was = now};
    g_hash_table_add(unmapped->pages, page);
    for (guint i = 0; i < unmapped->sids->len; i++)
        known |= g_array_index(unmapped->sids, guint32, i) == sid;
    if (!known)
        g_array_append_val(unmapped->sids, sid);
}

guint trace_unmapped_get_perms(TraceUnmapped *unmapped, guint32 sid, guint64 iova)
{
    const Page *page = find(unmapped, sid, iova);

    return page ? page->was.perms : 0;
}

/* The tables lead to the page as they did, as far as they do, and nothing is left of it. */
static gboolean is_same_way(const TraceAnswer *was, const TraceAnswer *now, gboolean leaf)
{
    return (now->kind == TRACE_UNMAPPED || now->kind == TRACE_MAPPED) &&
           now->root == was->root && now->tag == was->tag && now->pasid == was->pasid &&
           (!leaf || (now->level == was->level && now->descriptor == was->descriptor));
}

/* Is nothing known of the page after this, but what its tables say now? */
static gboolean becomes_due(TraceUnmapped *unmapped, Page *page,
                            const TraceInvalidation *invalidation)
{
    const TraceUnmappedOps *ops = unmapped->ops;
    gboolean by_tables = ops->covers(invalidation, page->sid, &page->was);
    gboolean by_entry = ops->covers_entry(invalidation, page->sid, &page->was);
    TraceAnswer now;

    if (page->due || (!by_tables && !by_entry))
        return FALSE;
    walk(unmapped, page, &now);
    if (by_entry && now.kind == TRACE_ABORTED && now.entry == page->was.entry) {
        page->entry_gone = TRUE;
        return ops->entry_is_enough;
    }
    if (!by_tables)
        return FALSE;
    return (page->entry_gone && now.kind == TRACE_ABORTED) ||
           is_same_way(&page->was, &now, invalidation->leaf);
}

static void consider(TraceUnmapped *unmapped, Page *page,
                     const TraceInvalidation *invalidation)
{
    if (!page || !becomes_due(unmapped, page, invalidation))
        return;
    page->due = TRUE;
    g_ptr_array_add(unmapped->due, page);
}

static void consider_all(TraceUnmapped *unmapped, const TraceInvalidation *invalidation)
{
    GHashTableIter iter;
    gpointer page;

    g_hash_table_iter_init(&iter, unmapped->pages);
    while (g_hash_table_iter_next(&iter, &page, NULL))
        consider(unmapped, page, invalidation);
}

void trace_unmapped_invalidate(TraceUnmapped *unmapped,
                               const TraceInvalidation *invalidation)
{
    guint64 last = invalidation->last >> PAGE_SHIFT;

    if (last - (invalidation->first >> PAGE_SHIFT) >= FEW_PAGES) {
        consider_all(unmapped, invalidation);
        return;
    }
    for (guint i = 0; i < unmapped->sids->len; i++)
        for (guint64 page = invalidation->first >> PAGE_SHIFT; page <= last; page++)
            consider(unmapped,
                     find(unmapped, g_array_index(unmapped->sids, guint32, i),
                          page << PAGE_SHIFT),
                     invalidation);
}

static void ask(TraceUnmapped *unmapped, const Page *page)
{
    static const guint64 zero;
    guint64 iova = page->page << PAGE_SHIFT;
    guint perms = page->was.perms;
    guint64 descriptor;
    TraceAnswer now;

    walk(unmapped, page, &now);
    if (now.kind == TRACE_UNMAPPED || now.kind == TRACE_ABORTED) {
        unmapped->func(page->sid, iova, perms, FALSE, unmapped->user_data);
    } else if (now.kind == TRACE_MAPPED && now.root == page->was.root &&
               trace_memory_read(unmapped->memory, now.descriptor, &descriptor,
                                 sizeof(descriptor))) {
        trace_memory_write(unmapped->memory, now.descriptor, &zero, sizeof(zero));
        unmapped->func(page->sid, iova, perms, TRUE, unmapped->user_data);
        trace_memory_write(unmapped->memory, now.descriptor, &descriptor,
                           sizeof(descriptor));
    }
}

void trace_unmapped_complete(TraceUnmapped *unmapped)
{
    for (guint i = 0; i < unmapped->due->len; i++) {
        Page *page = g_ptr_array_index(unmapped->due, i);

        ask(unmapped, page);
        g_hash_table_remove(unmapped->pages, page);
    }
    g_ptr_array_set_size(unmapped->due, 0);
}
