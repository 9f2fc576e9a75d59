/* SPDX-License-Identifier: MIT */
/*
 * A device's address translation cache; see atc.h.
 *
 * Invariants: an entry stays until an invalidation covers it or all is dropped because
 * it is full. It never grants more than it was answered with: a write through one
 * without write permission makes the device ask again.
 *
 * Up: the IOMMU models. Down: nothing.
 */
#include "atc.h"

#define MAX_ENTRIES 4096

struct EmuAtc {
    GHashTable *entries; /* EmuAtcEntry, its own key */
    guint n_by_shift[64];
};

static guint entry_hash(gconstpointer key)
{
    const EmuAtcEntry *entry = key;
    guint64 mixed = (entry->va ^ entry->shift) * 0x9e3779b97f4a7c15ULL;

    return (guint)(mixed >> 32) ^ entry->pasid * 131U ^ (entry->has_pasid ? 31U : 0U) ^
           (entry->privileged ? 7U : 0U);
}

static gboolean entry_equal(gconstpointer left, gconstpointer right)
{
    const EmuAtcEntry *a = left;
    const EmuAtcEntry *b = right;

    return a->va == b->va && a->shift == b->shift && a->has_pasid == b->has_pasid &&
           a->pasid == b->pasid && a->privileged == b->privileged;
}

EmuAtc *viommui_emu_atc_new(void)
{
    EmuAtc *atc = g_new0(EmuAtc, 1);

    atc->entries = g_hash_table_new_full(entry_hash, entry_equal, g_free, NULL);
    return atc;
}

void viommui_emu_atc_free(EmuAtc *atc)
{
    g_hash_table_unref(atc->entries);
    g_free(atc);
}

const EmuAtcEntry *viommui_emu_atc_find(const EmuAtc *atc, const EmuAccess *access)
{
    EmuAtcEntry key = {
        .has_pasid = access->has_pasid,
        .pasid = access->has_pasid ? access->pasid : 0,
        .privileged = access->has_pasid && access->privileged,
    };

    for (key.shift = 12; key.shift < 64; key.shift++) {
        const EmuAtcEntry *entry;

        if (!atc->n_by_shift[key.shift]) {
            continue;
        }
        key.va = access->iova >> key.shift << key.shift;
        entry = g_hash_table_lookup(atc->entries, &key);
        if (entry && (entry->writable || !access->write)) {
            return entry;
        }
    }
    return NULL;
}

void viommui_emu_atc_insert(EmuAtc *atc, const EmuAtcEntry *entry)
{
    EmuAtcEntry *copy = g_memdup2(entry, sizeof(*entry));

    copy->va = entry->va >> entry->shift << entry->shift;
    if (g_hash_table_size(atc->entries) >= MAX_ENTRIES) {
        viommui_emu_atc_flush(atc);
    }
    if (g_hash_table_replace(atc->entries, copy, copy)) {
        atc->n_by_shift[copy->shift]++;
    }
}

static gboolean covers(const EmuAtcInv *what, const EmuAtcEntry *entry)
{
    if (what->has_pasid &&
        (!entry->has_pasid || (!what->global && entry->pasid != what->pasid))) {
        return FALSE;
    }
    return entry->va <= what->last &&
           entry->va + ((1ULL << entry->shift) - 1) >= what->first;
}

void viommui_emu_atc_invalidate(EmuAtc *atc, const EmuAtcInv *what)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, atc->entries);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const EmuAtcEntry *entry = key;

        if (covers(what, entry)) {
            atc->n_by_shift[entry->shift]--;
            g_hash_table_iter_remove(&iter);
        }
    }
}

void viommui_emu_atc_flush(EmuAtc *atc)
{
    g_hash_table_remove_all(atc->entries);
    memset(atc->n_by_shift, 0, sizeof(atc->n_by_shift));
}
