/* SPDX-License-Identifier: MIT */
/*
 * The guest's first stage behind an emulated VT-d unit (3.6, 9.7): 4 or 5 levels of
 * tables, 4 KiB, 2 MiB and 1 GiB pages, read from guest memory through the parent's
 * IOAS, behind the IOTLB and the paging-structure caches.
 *
 * Invariants: every entry is read once, or taken again after a lost compare-and-swap;
 * flags are set only in entries that are still what was read. Nothing that is not
 * present, or has reserved bits set, enters a cache; a peek changes nothing. A cached
 * translation that lacks the right asked for does not refuse: the tables are walked.
 *
 * Up: vtd.c. Down: vtd-iotlb.c, ioas-map.c for tables, hwpt.c for dirt.
 */
#include <sys/mman.h>

#include "vtd.h"

#define FS_P        (1ULL << 0)
#define FS_RW       (1ULL << 1)
#define FS_US       (1ULL << 2)
#define FS_A        (1ULL << 5)
#define FS_D        (1ULL << 6)
#define FS_PS       (1ULL << 7) /* of levels 2 and 3; reserved above */
#define FS_EA       (1ULL << 10)
#define FS_ADDR     EMU_MASK64(51, 12)
#define FS_HUGE_PAT (1ULL << 12)

typedef struct {
    Vtd *vtd;
    const VtdPasidEntry *entry;
    const EmuAccess *access;
    guint level; /* 1: of 4 KiB pages */
    guint64 table;
    VtdIotlbEntry found; /* gathered so far; then the translation */
} Walk;

static guint level_shift(guint level)
{
    return 12 + 9 * (level - 1);
}

/* All bits above the top level's are copies of its highest. */
static gboolean is_canonical(guint64 va, guint levels)
{
    guint bits = 12 + 9 * levels;
    guint64 high = va >> (bits - 1);

    return high == 0 || high == ~0ULL >> (bits - 1);
}

/* Begin at the top, or below it where the structure caches know the way. */
static void start(Walk *walk)
{
    const VtdIotlbEntry *key = &walk->found;

    walk->level = walk->entry->levels;
    walk->table = walk->entry->table;
    walk->found.user = TRUE;
    walk->found.writable = TRUE;
    for (guint level = 2; level <= walk->entry->levels; level++) {
        const VtdIotlbEntry *known = viommui_emu_vtd_iotlb_find_table(
            walk->vtd->iotlb, key->did, key->pasid, walk->access->iova, level_shift(level));

        if (known) {
            walk->level = level - 1;
            walk->table = known->out;
            walk->found.user = known->user;
            walk->found.writable = known->writable;
            return;
        }
    }
}

static gboolean is_reserved(const Walk *walk, guint64 word)
{
    guint shift = level_shift(walk->level);

    if ((word & FS_ADDR) >> walk->vtd->config.host_bits) {
        return TRUE;
    }
    if (walk->level == 1 || !(word & FS_PS)) {
        return FALSE;
    }
    if (walk->level > 3 || (walk->level == 3 && !(walk->vtd->config.cap & VTD_CAP_FS1GP))) {
        return TRUE;
    }
    return (word & EMU_MASK64(shift - 1, 12) & ~FS_HUGE_PAT) != 0;
}

/* What the request may do by the rights gathered (3.6.1). */
static gboolean is_permitted(const Walk *walk)
{
    const EmuAccess *access = walk->access;

    if (!(access->has_pasid && access->privileged)) {
        return walk->found.user && (walk->found.writable || !access->write);
    }
    return !access->write || walk->found.writable || !walk->entry->wpe;
}

/*
 * What a kernel would have pinned the caller may have taken away since. Where the system
 * cannot be asked (before Linux 5.14), it is taken for good.
 */
static gboolean is_writable(void *host)
{
    void *page = (void *)((uintptr_t)host & EMU_PAGE_MASK);

    return madvise(page, EMU_PAGE_SIZE, MADV_POPULATE_WRITE) == 0 ||
           madvise(page, 0, MADV_POPULATE_WRITE) < 0;
}

/*
 * Set flags in an entry by compare-and-swap (3.6.2). FALSE: the second stage does not
 * let it be written. *word becomes what is there now: when somebody else was faster,
 * the caller has to judge it again.
 */
static gboolean update(const Walk *walk, guint64 ipa, guint64 *word, guint64 flags)
{
    guint64 *host =
        viommui_emu_ioas_host(walk->entry->paging->ioas, ipa, sizeof(*host), TRUE);
    guint64 expected = GUINT64_TO_LE(*word);

    if (!host || !is_writable(host)) {
        return FALSE;
    }
    if (__atomic_compare_exchange_n(host, &expected, GUINT64_TO_LE(*word | flags), FALSE,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        *word |= flags;
        viommui_emu_hwpt_mark_dirty(walk->entry->paging, ipa);
        return TRUE;
    }
    *word = GUINT64_FROM_LE(expected);
    return TRUE;
}

static gboolean fetch(const Walk *walk, guint64 ipa, guint64 *ret_word)
{
    const guint64 *host =
        viommui_emu_ioas_host(walk->entry->paging->ioas, ipa, sizeof(*host), FALSE);

    guint64 probe;

    if (!host || !EMU_ALIGNED((uintptr_t)host, sizeof(*host)) ||
        viommui_emu_copy_from_user(&probe, host, sizeof(probe)) < 0) {
        return FALSE;
    }
    *ret_word = GUINT64_FROM_LE(__atomic_load_n(host, __ATOMIC_ACQUIRE));
    return TRUE;
}

/*
 * Judge an entry as it was read. *ret_flags is what has to be set in it before it may
 * be used, *ret_leaf whether the walk ends here.
 */
static VtdFault judge(Walk *walk, guint64 word, guint64 *ret_flags, gboolean *ret_leaf)
{
    if (!(word & FS_P)) {
        return VTD_RECOVERABLE;
    }
    if (is_reserved(walk, word)) {
        return VTD_REFUSED;
    }
    walk->found.user &= !!(word & FS_US);
    walk->found.writable &= !!(word & FS_RW);
    *ret_flags = FS_A | (walk->entry->eafe ? FS_EA : 0);
    *ret_leaf = walk->level == 1 || (word & FS_PS);
    if (*ret_leaf) {
        if (!is_permitted(walk)) {
            return VTD_RECOVERABLE;
        }
        *ret_flags |= walk->access->write ? FS_D : 0;
    }
    *ret_flags &= ~word;
    return VTD_OK;
}

/* One entry, with its flags set; *ret_word is what was used. */
static VtdFault use_entry(Walk *walk, guint64 *ret_word, gboolean *ret_leaf)
{
    guint shift = level_shift(walk->level);
    guint64 ipa = walk->table + 8 * EMU_BITS64(walk->access->iova, shift + 8, shift);
    gboolean user = walk->found.user;
    gboolean writable = walk->found.writable;
    guint64 word;

    if (!fetch(walk, ipa, &word)) {
        return VTD_REFUSED;
    }
    /* A guest that goes on rewriting the entry is not waited for without end. */
    for (guint attempt = 0; attempt < 64; attempt++) {
        guint64 flags = 0;
        VtdFault fault;

        walk->found.user = user;
        walk->found.writable = writable;
        fault = judge(walk, word, &flags, ret_leaf);
        if (fault || !flags || walk->access->peek) {
            *ret_word = word;
            return fault;
        }
        if (!update(walk, ipa, &word, flags)) {
            return VTD_REFUSED;
        }
    }
    return VTD_REFUSED;
}

static void remember(Walk *walk, gboolean table, guint64 out)
{
    walk->found.table = table;
    walk->found.shift = level_shift(walk->level);
    walk->found.va = walk->access->iova;
    walk->found.out = out;
    if (!walk->access->peek) {
        viommui_emu_vtd_iotlb_insert(walk->vtd->iotlb, &walk->found);
    }
}

static VtdFault walk_tables(Walk *walk)
{
    start(walk);
    for (;;) {
        gboolean leaf = FALSE;
        guint64 word = 0;
        VtdFault fault = use_entry(walk, &word, &leaf);

        if (fault) {
            return fault;
        }
        if (leaf) {
            walk->found.dirty = !!(word & FS_D);
            remember(walk, FALSE,
                     word & FS_ADDR & ~((1ULL << level_shift(walk->level)) - 1));
            return VTD_OK;
        }
        remember(walk, TRUE, word & FS_ADDR);
        walk->table = word & FS_ADDR;
        walk->level--;
    }
}

VtdFault viommui_emu_vtd_first_stage(Vtd *vtd, const VtdPasidEntry *entry, guint32 pasid,
                                     const EmuAccess *access, VtdIotlbEntry *ret_found)
{
    Walk walk = {
        .vtd = vtd,
        .entry = entry,
        .access = access,
        .found = {.did = entry->did, .pasid = pasid},
    };
    const VtdIotlbEntry *known;
    VtdFault fault;

    if (!is_canonical(access->iova, entry->levels)) {
        return VTD_REFUSED;
    }
    if (access->has_pasid && access->privileged && !entry->sre) {
        return VTD_REFUSED;
    }
    known = viommui_emu_vtd_iotlb_find(vtd->iotlb, entry->did, pasid, access->iova);
    if (known) {
        walk.found = *known;
        if (is_permitted(&walk) && (known->dirty || !access->write)) {
            *ret_found = *known;
            if (access->ret_cache) {
                *access->ret_cache = VIOMMU_EMULATOR_CACHE_TLB;
            }
            return VTD_OK;
        }
        walk.found = (VtdIotlbEntry){.did = entry->did, .pasid = pasid};
    }
    fault = walk_tables(&walk);
    if (fault == VTD_OK) {
        *ret_found = walk.found;
    }
    return fault;
}
