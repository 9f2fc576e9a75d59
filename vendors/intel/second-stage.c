/* SPDX-License-Identifier: MIT */
/*
 * All that second-stage tables map in a range (VT-d 3.7, 9.8): what a shadow is made of.
 *
 * Invariants: pure but for memory. Of each table on the way only the entries of the range
 * are read, each once; bounded by how many tables there may be. An entry that is not legal
 * maps nothing.
 *
 * Up the path: vtd-accel-shadow.c. Down: read_memory. Beside: walk.c, for one address.
 */

#include "vtd.h"

enum { PAGE_BITS = 12, LEVEL_BITS = 9, ENTRIES = 1 << LEVEL_BITS };

/* As many as 2 TiB of scattered pages need; a guest may have tables lead to each other. */
enum { MAX_TABLES = 1 << 20 };

typedef struct {
    const ViommuServices *services;
    const ViommuiVtdSecondStage *tables;
    guint64 first;
    guint64 last;
    ViommuiShadowVisit visit;
    void *visit_data;
    guint n_tables;
} Visit;

static guint level_shift(guint level)
{
    return PAGE_BITS + LEVEL_BITS * (level - 1);
}

/* But for the interrupt range, which is never translated (3.14). */
static gboolean visit_page(Visit *visit, const ViommuiShadowEntry *page)
{
    guint64 last = page->iova + (page->size - 1);
    ViommuiShadowEntry part = *page;

    if (last < VTD_INTERRUPT_FIRST || page->iova > VTD_INTERRUPT_LAST)
        return visit->visit(page, visit->visit_data);
    if (page->iova < VTD_INTERRUPT_FIRST) {
        part.size = VTD_INTERRUPT_FIRST - page->iova;
        if (!visit->visit(&part, visit->visit_data))
            return FALSE;
    }
    if (last <= VTD_INTERRUPT_LAST)
        return TRUE;
    part.iova = VTD_INTERRUPT_LAST + 1ull;
    part.gpa = page->gpa + (part.iova - page->iova);
    part.size = last - part.iova + 1;
    return visit->visit(&part, visit->visit_data);
}

static gboolean is_legal(const Visit *visit, guint level, guint64 word, gboolean large)
{
    guint64 address = word & viommui_field_mask(SS_ADDR);

    return !(address >> visit->tables->physical_bits) &&
           !(visit->tables->snoop_reserved && viommui_field_get(word, SS_SNP)) &&
           (!large || (level <= 3 && !(address & ((1ull << level_shift(level)) - 1))));
}

static gboolean visit_table(Visit *visit, guint level, guint64 table, guint64 base,
                            guint rights);

/* rights: those of all entries on the way, ViommuMapFlags. */
static gboolean visit_entry(Visit *visit, guint level, guint64 word, guint64 iova,
                            guint rights)
{
    gboolean large = level > 1 && viommui_field_get(word, SS_PS);
    guint64 address = word & viommui_field_mask(SS_ADDR);

    rights &= (viommui_field_get(word, SS_R) ? VIOMMU_MAP_READ : 0) |
              (viommui_field_get(word, SS_W) ? VIOMMU_MAP_WRITE : 0);
    if (!rights || !is_legal(visit, level, word, large))
        return TRUE;
    if (level == 1 || large) {
        const ViommuiShadowEntry page = {iova, address, 1ull << level_shift(level), rights};

        return visit_page(visit, &page);
    }
    return visit_table(visit, level - 1, address, iova, rights);
}

/* The part of a table that the range concerns; base: what its first entry translates. */
static gboolean visit_table(Visit *visit, guint level, guint64 table, guint64 base,
                            guint rights)
{
    guint shift = level_shift(level);
    guint64 end = base + ((guint64)(ENTRIES - 1) << shift) + ((1ull << shift) - 1);
    guint from = visit->first > base ? (guint)((visit->first - base) >> shift) : 0;
    guint to = visit->last < end ? (guint)((visit->last - base) >> shift) : ENTRIES - 1;
    guint64 words[ENTRIES];

    if (++visit->n_tables > MAX_TABLES)
        return FALSE;
    if (!visit->services->read_memory(table + from * sizeof *words, words,
                                      (to - from + 1) * sizeof *words,
                                      visit->services->user_data))
        return TRUE; /* it is no memory, and maps nothing */
    for (guint i = from; i <= to; i++)
        if (!visit_entry(visit, level, GUINT64_FROM_LE(words[i - from]),
                         base + ((guint64)i << shift), rights))
            return FALSE;
    return TRUE;
}

gboolean viommui_vtd_visit_second_stage(const ViommuServices *services,
                                        const ViommuiVtdSecondStage *tables, guint64 first,
                                        guint64 last, ViommuiShadowVisit visit_func,
                                        void *visit_data)
{
    guint64 top = (1ull << (PAGE_BITS + LEVEL_BITS * tables->levels)) - 1;
    Visit visit = {.services = services,
                   .tables = tables,
                   .first = first,
                   .last = MIN(last, top),
                   .visit = visit_func,
                   .visit_data = visit_data};

    return first > top || visit_table(&visit, tables->levels, tables->table, 0,
                                      VIOMMU_MAP_READ | VIOMMU_MAP_WRITE);
}
