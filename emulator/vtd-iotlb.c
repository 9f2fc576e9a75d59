/* SPDX-License-Identifier: MIT */
/*
 * The caches of an emulated VT-d unit: the IOTLB (what nested translation came to, in
 * first-stage pages) and the first-stage paging-structure caches, under domain ID and
 * PASID.
 *
 * Invariants: an entry stays, right or wrong, until an invalidation covers it or all is
 * dropped because it is full; at most one entry has a given key. What it answers is
 * an address of the IOAS, looked up there at every access, so a stale entry can
 * mislead but not let out.
 *
 * Up: vtd-walk.c, vtd-attach.c. Down: nothing.
 */
#include "vtd.h"

#define MAX_ENTRIES 8192

/* Entries are found by what they cover, so each size in use is tried in turn. */
struct VtdIotlb {
    GHashTable *entries; /* VtdIotlbEntry, its own key */
    guint n_by_shift[64];
};

static guint entry_hash(gconstpointer key)
{
    const VtdIotlbEntry *entry = key;
    guint64 mixed = (entry->va ^ entry->shift) * 0x9e3779b97f4a7c15ULL;

    return (guint)(mixed >> 32) ^ entry->did * 31U ^ entry->pasid * 131U ^
           (entry->table ? 7U : 0U);
}

static gboolean entry_equal(gconstpointer left, gconstpointer right)
{
    const VtdIotlbEntry *a = left;
    const VtdIotlbEntry *b = right;

    return a->va == b->va && a->shift == b->shift && a->did == b->did &&
           a->pasid == b->pasid && a->table == b->table;
}

VtdIotlb *viommui_emu_vtd_iotlb_new(void)
{
    VtdIotlb *iotlb = g_new0(VtdIotlb, 1);

    iotlb->entries = g_hash_table_new_full(entry_hash, entry_equal, g_free, NULL);
    return iotlb;
}

void viommui_emu_vtd_iotlb_free(VtdIotlb *iotlb)
{
    g_hash_table_unref(iotlb->entries);
    g_free(iotlb);
}

static const VtdIotlbEntry *find(const VtdIotlb *iotlb, guint16 did, guint32 pasid,
                                 guint64 va, guint shift, gboolean table)
{
    const VtdIotlbEntry key = {
        .did = did,
        .pasid = pasid,
        .table = table,
        .va = va >> shift << shift,
        .shift = shift,
    };

    return iotlb->n_by_shift[shift] ? g_hash_table_lookup(iotlb->entries, &key) : NULL;
}

const VtdIotlbEntry *viommui_emu_vtd_iotlb_find(const VtdIotlb *iotlb, guint16 did,
                                                guint32 pasid, guint64 va)
{
    static const guint8 shifts[] = {12, 21, 30};

    for (guint i = 0; i < G_N_ELEMENTS(shifts); i++) {
        const VtdIotlbEntry *entry = find(iotlb, did, pasid, va, shifts[i], FALSE);

        if (entry) {
            return entry;
        }
    }
    return NULL;
}

const VtdIotlbEntry *viommui_emu_vtd_iotlb_find_table(const VtdIotlb *iotlb, guint16 did,
                                                      guint32 pasid, guint64 va,
                                                      guint shift)
{
    return find(iotlb, did, pasid, va, shift, TRUE);
}

void viommui_emu_vtd_iotlb_insert(VtdIotlb *iotlb, const VtdIotlbEntry *entry)
{
    VtdIotlbEntry *copy = g_memdup2(entry, sizeof(*entry));

    copy->va = entry->va >> entry->shift << entry->shift;
    if (g_hash_table_size(iotlb->entries) >= MAX_ENTRIES) {
        g_hash_table_remove_all(iotlb->entries);
        memset(iotlb->n_by_shift, 0, sizeof(iotlb->n_by_shift));
    }
    if (g_hash_table_replace(iotlb->entries, copy, copy)) {
        iotlb->n_by_shift[copy->shift]++;
    }
}

/* Hardware may drop more than it must; a judge drops only what it must. */
static gboolean covers(const VtdIotlbInv *what, const VtdIotlbEntry *entry)
{
    return entry->did == what->did && entry->pasid == what->pasid &&
           !(entry->table && what->leaf_only) && entry->va <= what->last &&
           entry->va + ((1ULL << entry->shift) - 1) >= what->first;
}

static void remove_matching(VtdIotlb *iotlb, const VtdIotlbInv *what, guint16 did)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, iotlb->entries);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const VtdIotlbEntry *entry = key;

        if (what ? covers(what, entry) : entry->did == did) {
            iotlb->n_by_shift[entry->shift]--;
            g_hash_table_iter_remove(&iter);
        }
    }
}

void viommui_emu_vtd_iotlb_invalidate(VtdIotlb *iotlb, const VtdIotlbInv *what)
{
    remove_matching(iotlb, what, 0);
}

void viommui_emu_vtd_iotlb_flush_did(VtdIotlb *iotlb, guint16 did)
{
    remove_matching(iotlb, NULL, did);
}
