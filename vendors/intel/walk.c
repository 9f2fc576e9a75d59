/* SPDX-License-Identifier: MIT */
/*
 * One translation by the guest's tables: where do first-stage (VT-d 3.6, 9.7) or
 * second-stage tables (3.7, 9.8) lead, and what do they allow?
 *
 * Invariants: pure but for memory. Every entry is read once, or taken again after a lost
 * compare-and-swap; flags are set only in entries that are still what was read, and not by
 * who only asks. At most five levels.
 *
 * Up the path: translate.c. Down: ViommuServices.
 */

#include "vunit.h"

enum { PAGE_BITS = 12, LEVEL_BITS = 9, MAX_ATTEMPTS = 64 };

typedef struct {
    const ViommuServices *services;
    const ViommuiVtdTables *tables;
    guint64 iova;
    ViommuAccess access;
    guint level; /* 1: of 4 KiB pages */
    guint64 table;
    ViommuiVtdWalk found;
} Walk;

static gboolean has(guint64 word, ViommuiField field)
{
    return viommui_field_get(word, field) != 0;
}

static guint level_shift(guint level)
{
    return PAGE_BITS + LEVEL_BITS * (level - 1);
}

static guint64 entry_address(const Walk *walk)
{
    guint64 index = walk->iova >> level_shift(walk->level) & ((1u << LEVEL_BITS) - 1);

    return walk->table + index * sizeof(guint64);
}

static gboolean read_entry(const Walk *walk, guint64 *ret_word)
{
    const ViommuServices *services = walk->services;

    if (!services->read_memory(entry_address(walk), ret_word, sizeof *ret_word,
                               services->user_data))
        return FALSE;
    *ret_word = GUINT64_FROM_LE(*ret_word);
    return TRUE;
}

/* Address bits that there are not, and those below a large page. `ignored`: below it. */
static gboolean has_reserved_bits(const Walk *walk, guint64 word, gboolean large,
                                  guint64 ignored)
{
    guint64 address = word & viommui_field_mask(FS_ADDR);
    guint64 below = (1ull << level_shift(walk->level)) - 1;

    return address >> walk->tables->physical_bits != 0 ||
           (large && (address & below & ~ignored) != 0);
}

static gboolean may_be_large(const Walk *walk)
{
    return walk->level == 2 || (walk->level == 3 && walk->tables->page_1g);
}

static void end_walk(Walk *walk, guint64 word)
{
    guint shift = level_shift(walk->level);
    guint64 below = (1ull << shift) - 1;

    walk->found.input = walk->iova & ~below;
    walk->found.output = word & viommui_field_mask(FS_ADDR) & ~below;
    walk->found.order = shift;
}

/* --- first stage ------------------------------------------------------------------------
 */

gboolean viommui_vtd_is_canonical(guint64 iova, guint levels)
{
    guint64 above = iova >> (PAGE_BITS + LEVEL_BITS * levels - 1);

    return above == 0 || above == G_MAXUINT64 >> (PAGE_BITS + LEVEL_BITS * levels - 1);
}

guint8 viommui_vtd_check_first_stage(const ViommuiVtdTables *tables,
                                     const ViommuiVtdWalk *walk, ViommuAccess access)
{
    gboolean write = !!(access & VIOMMU_ACCESS_WRITE);

    if (access & VIOMMU_ACCESS_PRIVILEGED)
        return write && !walk->writable && tables->write_protect ? FR_SM_WRITE : 0;
    if (!walk->user)
        return FR_SM_US;
    return write && !walk->writable ? FR_SM_WRITE : 0;
}

/* What an entry means as it was read; *ret_flags: to be set before it may be used. */
static guint8 judge_first(Walk *walk, guint64 word, guint64 *ret_flags, gboolean *ret_leaf)
{
    gboolean large = walk->level > 1 && has(word, FS_PS);
    guint8 reason;

    if (!has(word, FS_P))
        return FR_SM_FS_P;
    if ((large && !may_be_large(walk)) ||
        has_reserved_bits(walk, word, large, viommui_field_mask(FS_PAT)))
        return FR_SM_FS_RESERVED;
    walk->found.user &= has(word, FS_US);
    walk->found.writable &= has(word, FS_RW);
    *ret_leaf = walk->level == 1 || large;
    *ret_flags = viommui_field_mask(FS_A);
    if (walk->tables->extended_accessed)
        *ret_flags |= viommui_field_mask(FS_EA);
    if (*ret_leaf) {
        reason = viommui_vtd_check_first_stage(walk->tables, &walk->found, walk->access);
        if (reason)
            return reason;
        if (walk->access & VIOMMU_ACCESS_WRITE)
            *ret_flags |= viommui_field_mask(FS_D);
    }
    *ret_flags &= ~word;
    return 0;
}

/* *word becomes what is there now: set, or as somebody else has changed it. */
static gboolean set_flags(const Walk *walk, guint64 *word, guint64 flags)
{
    const ViommuServices *services = walk->services;
    guint64 found;

    if (!services->compare_and_swap ||
        !services->compare_and_swap(entry_address(walk), *word, *word | flags, &found,
                                    services->user_data))
        return FALSE;
    *word = found == *word ? *word | flags : found;
    return TRUE;
}

/* One entry, with its flags set; *ret_word is what was used. */
static guint8 use_first(Walk *walk, guint64 *ret_word, gboolean *ret_leaf)
{
    const ViommuiVtdWalk before = walk->found;

    if (!read_entry(walk, ret_word))
        return walk->level == walk->tables->levels ? FR_SM_FS_FIRST_ACCESS
                                                   : FR_SM_FS_ACCESS;
    /* A guest that goes on rewriting the entry is not waited for without end. */
    for (guint attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        guint64 flags = 0;
        guint8 reason;

        walk->found = before;
        reason = judge_first(walk, *ret_word, &flags, ret_leaf);
        if (reason || !flags || walk->access & VIOMMU_ACCESS_PEEK)
            return reason;
        if (!set_flags(walk, ret_word, flags))
            break;
    }
    return FR_SM_FLAG_UPDATE;
}

guint8 viommui_vtd_walk_first_stage(const ViommuServices *services,
                                    const ViommuiVtdTables *tables, guint64 iova,
                                    ViommuAccess access, ViommuiVtdWalk *ret_walk)
{
    Walk walk = {.services = services,
                 .tables = tables,
                 .iova = iova,
                 .access = access,
                 .level = tables->levels,
                 .table = tables->table,
                 .found = {.user = TRUE, .writable = TRUE, .readable = TRUE}};

    for (;; walk.level--) {
        gboolean leaf = FALSE;
        guint64 word;
        guint8 reason = use_first(&walk, &word, &leaf);

        if (reason)
            return reason;
        if (leaf) {
            end_walk(&walk, word);
            walk.found.dirty = has(word, FS_D);
            *ret_walk = walk.found;
            return 0;
        }
        walk.table = word & viommui_field_mask(FS_ADDR);
    }
}

/* --- second stage -----------------------------------------------------------------------
 */

guint8 viommui_vtd_check_second_stage(const ViommuiVtdTables *tables,
                                      const ViommuiVtdWalk *walk, ViommuAccess access)
{
    gboolean write = !!(access & VIOMMU_ACCESS_WRITE);
    gboolean read = access & VIOMMU_ACCESS_READ || !write;

    /* In scalable mode an entry that allows nothing is told apart. */
    if (tables->scalable && !walk->readable && !walk->writable)
        return FR_SM_SS_PERMISSION;
    if (write && !walk->writable)
        return tables->scalable ? FR_SM_WRITE : FR_WRITE;
    if (read && !walk->readable)
        return tables->scalable ? FR_SM_READ : FR_READ;
    return 0;
}

guint8 viommui_vtd_walk_second_stage(const ViommuServices *services,
                                     const ViommuiVtdTables *tables, guint64 iova,
                                     ViommuAccess access, ViommuiVtdWalk *ret_walk)
{
    Walk walk = {.services = services,
                 .tables = tables,
                 .iova = iova,
                 .access = access,
                 .level = tables->levels,
                 .table = tables->table,
                 .found = {.writable = TRUE, .readable = TRUE, .dirty = TRUE}};

    for (;; walk.level--) {
        gboolean large;
        guint64 word;
        guint8 reason;

        if (!read_entry(&walk, &word))
            return tables->scalable ? FR_SM_SS_ACCESS : FR_SS_ACCESS;
        walk.found.readable &= has(word, SS_R);
        walk.found.writable &= has(word, SS_W);
        reason = viommui_vtd_check_second_stage(tables, &walk.found, access);
        if (reason)
            return reason;
        large = walk.level > 1 && has(word, SS_PS);
        if ((large && !may_be_large(&walk)) || has_reserved_bits(&walk, word, large, 0) ||
            (tables->snoop_reserved && has(word, SS_SNP)))
            return tables->scalable ? FR_SM_SS_RESERVED : FR_SS_RESERVED;
        if (walk.level == 1 || large) {
            end_walk(&walk, word);
            *ret_walk = walk.found;
            return 0;
        }
        walk.table = word & viommui_field_mask(SS_ADDR);
    }
}
