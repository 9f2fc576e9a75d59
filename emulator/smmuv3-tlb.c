/* SPDX-License-Identifier: MIT */
/*
 * The TLB of an emulated SMMUv3: stage 1 only, translations and the table descriptors
 * that led to them, under VMID and ASID.
 *
 * Invariants: an entry stays, right or wrong, until an invalidation covers it or the
 * whole TLB is dropped because it is full; stage 2 is never in it. Addresses are kept
 * without their top byte. At most one entry has a given key.
 *
 * Up: smmuv3-walk.c, smmuv3-invalidate.c, smmuv3-driver.c. Down: nothing.
 */
#include "smmuv3.h"

#define VA_MASK     EMU_MASK64(55, 0)
#define MAX_ENTRIES 8192

/* Entries are found by what they cover, so each size in use is tried in turn. */
struct Smmuv3Tlb {
    GHashTable *entries; /* Smmuv3TlbEntry, its own key */
    guint n_by_shift[64];
};

static guint entry_hash(gconstpointer key)
{
    const Smmuv3TlbEntry *entry = key;
    guint64 mixed = (entry->va ^ entry->shift) * 0x9e3779b97f4a7c15ULL;

    return (guint)(mixed >> 32) ^ (entry->vmid * 31U) ^ (entry->asid * 131U) ^
           (entry->table * 7U);
}

static gboolean entry_equal(gconstpointer left, gconstpointer right)
{
    const Smmuv3TlbEntry *a = left;
    const Smmuv3TlbEntry *b = right;

    return a->va == b->va && a->shift == b->shift && a->vmid == b->vmid &&
           a->table == b->table && a->global == b->global && a->asid == b->asid;
}

Smmuv3Tlb *viommui_emu_smmuv3_tlb_new(void)
{
    Smmuv3Tlb *tlb = g_new0(Smmuv3Tlb, 1);

    tlb->entries = g_hash_table_new_full(entry_hash, entry_equal, g_free, NULL);
    return tlb;
}

void viommui_emu_smmuv3_tlb_free(Smmuv3Tlb *tlb)
{
    g_hash_table_unref(tlb->entries);
    g_free(tlb);
}

/* The tag of an entry that belongs to an ASID, or of a global one. */
static Smmuv3TlbEntry make_key(guint16 vmid, guint16 asid, gboolean global, guint64 va,
                               guint shift)
{
    return (Smmuv3TlbEntry){
        .vmid = vmid,
        .asid = global ? 0 : asid,
        .global = global,
        .va = (va & VA_MASK) >> shift << shift,
        .shift = shift,
    };
}

const Smmuv3TlbEntry *viommui_emu_smmuv3_tlb_find(const Smmuv3Tlb *tlb, guint16 vmid,
                                                  guint16 asid, guint64 va)
{
    for (guint shift = 12; shift < 56; shift++) {
        for (int global = 0; tlb->n_by_shift[shift] && global <= 1; global++) {
            Smmuv3TlbEntry key = make_key(vmid, asid, global, va, shift);
            const Smmuv3TlbEntry *entry = g_hash_table_lookup(tlb->entries, &key);

            if (entry) {
                return entry;
            }
        }
    }
    return NULL;
}

const Smmuv3TlbEntry *viommui_emu_smmuv3_tlb_find_table(const Smmuv3Tlb *tlb, guint16 vmid,
                                                        guint16 asid, guint64 va,
                                                        guint shift, guint granule)
{
    Smmuv3TlbEntry key = make_key(vmid, asid, FALSE, va, shift);
    const Smmuv3TlbEntry *entry;

    key.table = TRUE;
    entry = g_hash_table_lookup(tlb->entries, &key);
    return entry && entry->granule == granule ? entry : NULL;
}

void viommui_emu_smmuv3_tlb_insert(Smmuv3Tlb *tlb, const Smmuv3TlbEntry *entry)
{
    Smmuv3TlbEntry *copy = g_memdup2(entry, sizeof(*entry));
    Smmuv3TlbEntry key =
        make_key(entry->vmid, entry->asid, entry->global, entry->va, entry->shift);

    copy->asid = key.asid;
    copy->va = key.va;
    if (g_hash_table_size(tlb->entries) >= MAX_ENTRIES) {
        g_hash_table_remove_all(tlb->entries);
        memset(tlb->n_by_shift, 0, sizeof(tlb->n_by_shift));
    }
    if (g_hash_table_replace(tlb->entries, copy, copy)) {
        tlb->n_by_shift[copy->shift]++;
    }
}

static gboolean covers(const Smmuv3Tlbi *what, const Smmuv3TlbEntry *entry)
{
    if (entry->vmid != what->vmid) {
        return FALSE;
    }
    if (what->by_asid && (entry->global ? what->spare_global : entry->asid != what->asid)) {
        return FALSE;
    }
    if (!what->by_va) {
        return TRUE;
    }
    if (entry->va > what->last || entry->va + ((1ULL << entry->shift) - 1) < what->first) {
        return FALSE;
    }
    if (what->granule && entry->granule != what->granule) {
        return FALSE;
    }
    /* Hardware may drop more than it must; a judge drops only what it must. */
    return entry->table ? !what->leaf_only : !what->level || entry->level == what->level;
}

void viommui_emu_smmuv3_tlb_invalidate(Smmuv3Tlb *tlb, const Smmuv3Tlbi *what)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, tlb->entries);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const Smmuv3TlbEntry *entry = key;

        if (covers(what, entry)) {
            tlb->n_by_shift[entry->shift]--;
            g_hash_table_iter_remove(&iter);
        }
    }
}

void viommui_emu_smmuv3_tlb_flush_vmid(Smmuv3Tlb *tlb, guint16 vmid)
{
    const Smmuv3Tlbi what = {.vmid = vmid};

    viommui_emu_smmuv3_tlb_invalidate(tlb, &what);
}
