/* SPDX-License-Identifier: MIT */
/*
 * Addresses flushed by a recorded guest.
 *
 * Invariants: a page is *due* when an invalidation that covers it was met, and no DMA since
 * then; at the next SYNC it is asked for, and then forgotten until it is translated again.
 * What it was when it was translated (ASID, table, block) decides what covers it. In doubt
 * it is not due: pages are left out whose table base changed, or which a leaf-only command
 * may have missed.
 *
 * Up: smmuv3-player.c. Down: smmuv3-tables.c.
 */
#include "smmuv3-unmapped.h"

#include <string.h>

#define BITS(word, high, low) \
    (((guint64)(word) >> (low)) & (G_MAXUINT64 >> (63 - (high) + (low))))

/* 4.1: opcodes. */
enum {
    CFGI_STE = 0x03,
    CFGI_STE_RANGE = 0x04,
    CFGI_CD = 0x05,
    CFGI_CD_ALL = 0x06,
    TLBI_NH_ALL = 0x10,
    TLBI_NH_ASID = 0x11,
    TLBI_NH_VA = 0x12,
    TLBI_NH_VAA = 0x13,
    TLBI_NSNH_ALL = 0x30,
    SYNC = 0x46,
};

/* More pages than this in one command: look at all instead of at each. */
enum { PAGE_SHIFT = 12, FEW_PAGES = 64 };

typedef struct {
    guint64 page;
    guint32 sid;
    gboolean due;
    Smmuv3Answer was;
} Page;

struct Smmuv3Unmapped {
    const Smmuv3Tables *tables;
    Smmuv3UnmappedFunc func;
    gpointer user_data;
    GHashTable *pages; /* Page -> itself, owned */
    GArray *sids;      /* those in pages */
    GPtrArray *due;    /* of Page */
    GArray *commands;  /* of guint64[2], not consumed yet */
    guint32 seen;      /* how far the queue is known, as CMDQ_CONS */
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

Smmuv3Unmapped *smmuv3_unmapped_new(const Smmuv3Tables *tables, Smmuv3UnmappedFunc func,
                                    gpointer user_data)
{
    Smmuv3Unmapped *unmapped = g_new0(Smmuv3Unmapped, 1);

    unmapped->tables = tables;
    unmapped->func = func;
    unmapped->user_data = user_data;
    unmapped->pages = g_hash_table_new_full(page_hash, page_equal, g_free, NULL);
    unmapped->sids = g_array_new(FALSE, FALSE, sizeof(guint32));
    unmapped->due = g_ptr_array_new();
    unmapped->commands = g_array_new(FALSE, FALSE, 2 * sizeof(guint64));
    return unmapped;
}

void smmuv3_unmapped_free(Smmuv3Unmapped *unmapped)
{
    if (!unmapped)
        return;
    g_ptr_array_unref(unmapped->due);
    g_array_unref(unmapped->commands);
    g_array_unref(unmapped->sids);
    g_hash_table_unref(unmapped->pages);
    g_free(unmapped);
}

static Page *find(Smmuv3Unmapped *unmapped, guint32 sid, guint64 iova)
{
    const Page key = {.page = iova >> PAGE_SHIFT, .sid = sid};

    return g_hash_table_lookup(unmapped->pages, &key);
}

/* Whatever is cached since the invalidation may be: a block is more than its page. */
static void none_due(Smmuv3Unmapped *unmapped)
{
    for (guint i = 0; i < unmapped->due->len; i++)
        ((Page *)g_ptr_array_index(unmapped->due, i))->due = FALSE;
    g_ptr_array_set_size(unmapped->due, 0);
}

void smmuv3_unmapped_add(Smmuv3Unmapped *unmapped, guint32 sid, guint64 iova)
{
    Page *page = find(unmapped, sid, iova);
    Smmuv3Answer now;
    gboolean known = FALSE;

    none_due(unmapped);
    smmuv3_tables_walk(unmapped->tables, sid, iova, &now);
    if (now.kind != SMMUV3_MAPPED)
        return; /* translated by what was cached: it says nothing of what it was */
    if (page) {
        page->was = now;
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

/* --- what covers what --------------------------------------------------------------------
 */

/* 4.4.1: what a TLBI by address is aimed at. */
typedef struct {
    guint64 first;
    guint64 last;  /* inclusive */
    guint granule; /* log2; 0: any */
    guint level;   /* 0: any */
    gboolean leaf;
} Target;

static void decode_target(const guint64 command[2], Target *target)
{
    static const guint8 granules[] = {0, 12, 14, 16};
    guint64 pages = (BITS(command[0], 16, 12) + 1) << BITS(command[0], 24, 20);
    guint64 size;

    target->granule = granules[BITS(command[1], 11, 10)];
    target->level = target->granule ? BITS(command[1], 9, 8) : 0;
    target->leaf = command[1] & 1;
    target->first = command[1] & ~0xfffULL;
    size = target->granule ? pages << target->granule : 1;
    target->last = target->first + size - 1;
    if (target->last < target->first)
        target->last = G_MAXUINT64;
}

static gboolean target_covers(const Target *target, const Smmuv3Answer *was)
{
    return target->first < was->start + was->size && target->last >= was->start &&
           (!target->granule || target->granule == was->granule) &&
           (!target->level || target->level == was->level);
}

/* By the translation tables: the TLBIs. */
static gboolean tlbi_covers(const guint64 command[2], const Target *target,
                            const Smmuv3Answer *was)
{
    gboolean asid = BITS(command[0], 63, 48) == was->asid;

    switch (BITS(command[0], 7, 0)) {
    case TLBI_NH_ALL:
    case TLBI_NSNH_ALL:
        return TRUE;
    case TLBI_NH_ASID:
        return asid && !was->global;
    case TLBI_NH_VA:
        return (asid || was->global) && target_covers(target, was);
    case TLBI_NH_VAA:
        return target_covers(target, was);
    default:
        return FALSE;
    }
}

/* By configuration: the CFGIs. */
static gboolean cfgi_covers(const guint64 command[2], guint32 sid)
{
    guint32 named = command[0] >> 32;
    guint range = BITS(command[1], 4, 0) + 1;

    switch (BITS(command[0], 7, 0)) {
    case CFGI_STE:
    case CFGI_CD:
    case CFGI_CD_ALL:
        return named == sid;
    case CFGI_STE_RANGE:
        return range >= 32 || named >> range == sid >> range;
    default:
        return FALSE;
    }
}

/* Is nothing known of the page after this command, but what its tables say now? */
static gboolean becomes_due(Smmuv3Unmapped *unmapped, const Page *page,
                            const guint64 command[2], const Target *target)
{
    gboolean by_tables = tlbi_covers(command, target, &page->was);
    Smmuv3Answer now;

    if (page->due || (!by_tables && !cfgi_covers(command, page->sid)))
        return FALSE;
    smmuv3_tables_walk(unmapped->tables, page->sid, page->page << PAGE_SHIFT, &now);
    if (!by_tables)
        return now.kind == SMMUV3_ABORTED;
    return (now.kind == SMMUV3_UNMAPPED || now.kind == SMMUV3_MAPPED) &&
           now.root == page->was.root && now.asid == page->was.asid &&
           (!target->leaf || now.level == page->was.level);
}

static void consider(Smmuv3Unmapped *unmapped, Page *page, const guint64 command[2],
                     const Target *target)
{
    if (!page || !becomes_due(unmapped, page, command, target))
        return;
    page->due = TRUE;
    g_ptr_array_add(unmapped->due, page);
}

static void consider_all(Smmuv3Unmapped *unmapped, const guint64 command[2],
                         const Target *target)
{
    GHashTableIter iter;
    gpointer page;

    g_hash_table_iter_init(&iter, unmapped->pages);
    while (g_hash_table_iter_next(&iter, &page, NULL))
        consider(unmapped, page, command, target);
}

static void invalidate(Smmuv3Unmapped *unmapped, const guint64 command[2])
{
    guint opcode = BITS(command[0], 7, 0);
    Target target = {0};

    if (opcode == TLBI_NH_VA || opcode == TLBI_NH_VAA)
        decode_target(command, &target);
    if ((opcode != TLBI_NH_VA && opcode != TLBI_NH_VAA) ||
        (target.last - target.first) >> PAGE_SHIFT >= FEW_PAGES) {
        consider_all(unmapped, command, &target);
        return;
    }
    for (guint i = 0; i < unmapped->sids->len; i++)
        for (guint64 page = target.first >> PAGE_SHIFT; page <= target.last >> PAGE_SHIFT;
             page++)
            consider(unmapped,
                     find(unmapped, g_array_index(unmapped->sids, guint32, i),
                          page << PAGE_SHIFT),
                     command, &target);
}

static void ask(Smmuv3Unmapped *unmapped, const Page *page)
{
    static const guint64 zero;
    const TraceMemory *memory = unmapped->tables->memory;
    guint64 iova = page->page << PAGE_SHIFT;
    guint64 descriptor;
    Smmuv3Answer now;

    smmuv3_tables_walk(unmapped->tables, page->sid, iova, &now);
    if (now.kind == SMMUV3_UNMAPPED || now.kind == SMMUV3_ABORTED) {
        unmapped->func(page->sid, iova, FALSE, unmapped->user_data);
    } else if (now.kind == SMMUV3_MAPPED && now.root == page->was.root &&
               trace_memory_read(memory, now.descriptor, &descriptor, sizeof(descriptor))) {
        trace_memory_write(memory, now.descriptor, &zero, sizeof(zero));
        unmapped->func(page->sid, iova, TRUE, unmapped->user_data);
        trace_memory_write(memory, now.descriptor, &descriptor, sizeof(descriptor));
    }
}

static void sync_done(Smmuv3Unmapped *unmapped)
{
    for (guint i = 0; i < unmapped->due->len; i++) {
        Page *page = g_ptr_array_index(unmapped->due, i);

        ask(unmapped, page);
        g_hash_table_remove(unmapped->pages, page);
    }
    g_ptr_array_set_size(unmapped->due, 0);
}

/* --- the command queue (3.5) -------------------------------------------------------------
 */

void smmuv3_unmapped_restart(Smmuv3Unmapped *unmapped, guint32 cmdq_cons)
{
    unmapped->seen = cmdq_cons;
    g_array_set_size(unmapped->commands, 0);
}

static guint queue_shift(const Smmuv3Unmapped *unmapped)
{
    return MIN(BITS(unmapped->tables->cmdq_base, 4, 0), 19);
}

void smmuv3_unmapped_ring(Smmuv3Unmapped *unmapped, guint32 cmdq_prod)
{
    guint32 wrap_mask = (2u << queue_shift(unmapped)) - 1;
    guint32 size = 1u << queue_shift(unmapped);
    /* 3.5.1: a base is aligned to the queue's size */
    guint64 base = (unmapped->tables->cmdq_base & 0xfffffffffffe0) & ~(size * 16ULL - 1);
    guint32 n = (cmdq_prod - unmapped->seen) & wrap_mask;

    g_array_set_size(unmapped->commands, 0);
    for (guint32 i = 0; i < MIN(n, size); i++) {
        guint64 gpa = base + ((unmapped->seen + i) & (size - 1)) * 16ULL;
        guint64 command[2];

        if (!trace_memory_read_word(unmapped->tables->memory, gpa, &command[0]) ||
            !trace_memory_read_word(unmapped->tables->memory, gpa + 8, &command[1]))
            break;
        g_array_append_vals(unmapped->commands, command, 1);
    }
}

void smmuv3_unmapped_consumed(Smmuv3Unmapped *unmapped, guint32 cmdq_cons)
{
    guint32 wrap_mask = (2u << queue_shift(unmapped)) - 1;
    guint32 n = (cmdq_cons - unmapped->seen) & wrap_mask;

    for (guint32 i = 0; i < MIN(n, unmapped->commands->len); i++) {
        const guint64 *command =
            (const guint64 *)(void *)unmapped->commands->data + 2 * (gsize)i;

        if (BITS(command[0], 7, 0) == SYNC)
            sync_done(unmapped);
        else
            invalidate(unmapped, command);
    }
    g_array_set_size(unmapped->commands, 0);
    unmapped->seen = cmdq_cons & wrap_mask;
}
