/* SPDX-License-Identifier: MIT */
/*
 * The independent walk of a recorded guest's SMMUv3 tables.
 *
 * Up: the self check, unmapped.c, smmuv3-player.c. Down: tables.c, memory.c.
 */
#include "smmuv3-tables.h"

#define BITS  TRACE_BITS
#define FIELD TRACE_FIELD

enum { CONFIG_ABORT = 0, CONFIG_BYPASS = 4, CONFIG_STAGE1 = 5 };

/* The queues (3.5): that of events is written by the device, and no P names it. */
gboolean trace_smmuv3_cover(TraceSurvey *survey, const TraceLine *line)
{
    static const struct {
        guint64 offset;
        guint entry_shift;
    } queues[G_N_ELEMENTS(survey->bases)] = {{SMMU_CMDQ_BASE, 4}, {SMMU_EVENTQ_BASE, 5}};

    for (gsize i = 0; i < G_N_ELEMENTS(queues); i++) {
        guint64 *base = &survey->bases[i];
        guint64 size;

        if (!trace_write_wide(base, queues[i].offset, line))
            continue;
        size = 1ULL << (MIN(BITS(*base, 4, 0), 19) + queues[i].entry_shift);
        return trace_cover_add_range(survey->cover, FIELD(*base, 51, 5) & ~(size - 1),
                                     size);
    }
    return TRUE;
}

static gpointer create(const TraceSurvey *survey, const TraceMemory *memory)
{
    Smmuv3Tables *tables = g_new0(Smmuv3Tables, 1);

    (void)survey;
    tables->memory = memory;
    return tables;
}

static void write_register(gpointer data, const TraceLine *line)
{
    Smmuv3Tables *tables = data;

    trace_write_wide(&tables->strtab_base, SMMU_STRTAB_BASE, line);
    trace_write_wide(&tables->cmdq_base, SMMU_CMDQ_BASE, line);
    switch (line->address) {
    case SMMU_CR0:
        tables->cr0 = line->value;
        break;
    case SMMU_GBPA: /* 6.3.14: taken with UPDATE */
        if (line->value >> 31 & 1)
            tables->gbpa = FIELD(line->value, 30, 0);
        break;
    case SMMU_STRTAB_BASE_CFG:
        tables->strtab_base_cfg = line->value;
        break;
    }
}

/* 3.3.1, 5.2: FALSE when the stream has no entry that can be read. */
static gboolean fetch_ste(const Smmuv3Tables *tables, guint32 sid, guint64 ret_ste[2])
{
    guint64 base = FIELD(tables->strtab_base, 51, 6);
    guint log2_size = BITS(tables->strtab_base_cfg, 5, 0);
    guint split = BITS(tables->strtab_base_cfg, 10, 6);
    guint64 l1, index = sid;
    guint span;

    if (log2_size < 32 && sid >> log2_size)
        return FALSE;
    if (BITS(tables->strtab_base_cfg, 17, 16) == 1) {
        if (log2_size > split)
            base &= ~((8ULL << (log2_size - split)) - 1);
        if (!trace_memory_read_word(tables->memory, base + (sid >> split) * 8ULL, &l1))
            return FALSE;
        span = BITS(l1, 4, 0);
        index = sid & ((1u << split) - 1);
        if (!span || index >> (span - 1))
            return FALSE;
        base = FIELD(l1, 51, 6) & ~((64ULL << (span - 1)) - 1);
    } else {
        base &= ~((64ULL << log2_size) - 1);
    }
    return trace_memory_read_word(tables->memory, base + index * 64, &ret_ste[0]) &&
           trace_memory_read_word(tables->memory, base + index * 64 + 8, &ret_ste[1]);
}

/* 5.3, 5.4: the context descriptor of transactions without a SubstreamID. */
static gboolean fetch_cd(const Smmuv3Tables *tables, const guint64 ste[2],
                         guint64 ret_cd[4])
{
    guint64 at = FIELD(ste[0], 51, 6);
    guint format = BITS(ste[0], 5, 4);
    guint64 l1;

    if (BITS(ste[0], 63, 59) && format) { /* S1CDMax: a table, of two levels */
        if (!trace_memory_read_word(tables->memory, at, &l1) || !(l1 & 1))
            return FALSE;
        at = FIELD(l1, 51, 12);
    }
    for (guint i = 0; i < 4; i++)
        if (!trace_memory_read_word(tables->memory, at + 8 * i, &ret_cd[i]))
            return FALSE;
    return BITS(ret_cd[0], 31, 31) == 1;
}

typedef struct {
    const Smmuv3Tables *tables;
    guint64 iova;
    guint input_bits;
    guint granule;
    guint64 table;
    gboolean big_endian;
    gboolean no_af; /* the access flag does not matter */
    gboolean no_hierarchy;
    gboolean read_only;
    gboolean privileged;
} Walk;

/* Which half of the address space, and its table. FALSE: neither. */
static gboolean start(const guint64 cd[4], Walk *walk)
{
    static const guint8 granules[2][4] = {{12, 16, 14, 0}, {0, 14, 12, 16}};
    gboolean high = walk->iova >> 55 & 1;
    guint shift = high ? 16 : 0;
    gboolean tbi = BITS(cd[0], high ? 39 : 38, high ? 39 : 38);
    guint64 above;

    walk->granule = granules[high][BITS(cd[0], shift + 7, shift + 6)];
    walk->input_bits = 64 - BITS(cd[0], shift + 5, shift);
    walk->table = FIELD(cd[1 + high], 51, 4);
    walk->no_hierarchy = BITS(cd[1 + high], 60, 60);
    above = high ? ~walk->iova : walk->iova;
    if (tbi)
        above = FIELD(above, 55, 0);
    return !BITS(cd[0], shift + 14, shift + 14) && walk->granule &&
           walk->input_bits > walk->granule && walk->input_bits <= 48 &&
           above >> walk->input_bits == 0;
}

/* A page or block: FALSE when it faults all the same. */
static gboolean finish(const Walk *walk, guint64 descriptor, guint shift,
                       TraceAnswer *answer)
{
    guint64 offset_mask = (1ULL << shift) - 1;

    answer->gpa = (FIELD(descriptor, 47, 12) & ~offset_mask) | (walk->iova & offset_mask);
    answer->start = walk->iova & ~offset_mask;
    answer->size = 1ULL << shift;
    answer->global = !(descriptor >> 11 & 1);
    if (!walk->privileged && descriptor >> 6 & 1)
        answer->perms = walk->read_only || descriptor >> 7 & 1 ? 1 : 3;
    return walk->no_af || descriptor >> 10 & 1;
}

/* VMSAv8-64. */
static gboolean walk_tables(Walk *walk, TraceAnswer *answer)
{
    guint stride = walk->granule - 3;
    guint level = 4 - (walk->input_bits - walk->granule + stride - 1) / stride;
    guint high = walk->input_bits;

    for (;; level++) {
        guint shift = walk->granule + stride * (3 - level);
        guint64 at, descriptor;

        at = FIELD(walk->table, 51, 3) & ~((8ULL << (high - shift)) - 1);
        at += BITS(walk->iova, high - 1, shift) * 8;
        answer->level = level;
        answer->descriptor = at;
        if (!trace_memory_read_word(walk->tables->memory, at, &descriptor))
            return FALSE;
        if (walk->big_endian)
            descriptor = GUINT64_SWAP_LE_BE(descriptor);
        if (!(descriptor & 1) || (level == 3 && !(descriptor & 2)))
            return FALSE;
        if (level == 3 || !(descriptor & 2))
            return finish(walk, descriptor, shift, answer);
        if (!walk->no_hierarchy) {
            walk->read_only |= descriptor >> 62 & 1;
            walk->privileged |= descriptor >> 61 & 1;
        }
        walk->table = FIELD(descriptor, 47, 0) & ~((1ULL << walk->granule) - 1);
        high = shift;
    }
}

static void stage1(const Smmuv3Tables *tables, const guint64 ste[2], guint64 iova,
                   TraceAnswer *answer)
{
    guint64 cd[4];
    Walk state = {.tables = tables, .iova = iova};

    answer->kind = TRACE_ABORTED;
    if (BITS(ste[0], 63, 59) && BITS(ste[1], 1, 0) != 2) { /* S1DSS: not substream 0 */
        if (BITS(ste[1], 1, 0) == 1)
            answer->kind = TRACE_BYPASSED;
        return;
    }
    if (!fetch_cd(tables, ste, cd))
        return;
    state.big_endian = BITS(cd[0], 15, 15);
    state.no_af = BITS(cd[0], 35, 35);
    answer->kind = TRACE_UNMAPPED;
    answer->tag = BITS(cd[0], 63, 48);
    if (!start(cd, &state))
        return;
    answer->root = state.table;
    answer->granule = state.granule;
    if (walk_tables(&state, answer))
        answer->kind = TRACE_MAPPED;
}

static void walk(gconstpointer data, guint32 sid, guint64 iova, TraceAnswer *ret_answer)
{
    const Smmuv3Tables *tables = data;
    guint64 ste[2];

    *ret_answer = (TraceAnswer){.kind = TRACE_ABORTED, .gpa = iova, .perms = 3};
    if (!(tables->cr0 & 1)) {
        if (!(tables->gbpa >> 20 & 1))
            ret_answer->kind = TRACE_DISABLED;
        return;
    }
    if (!fetch_ste(tables, sid, ste) || !(ste[0] & 1))
        return;
    switch (BITS(ste[0], 3, 1)) {
    case CONFIG_BYPASS:
        ret_answer->kind = TRACE_BYPASSED;
        break;
    case CONFIG_STAGE1:
        ret_answer->perms = 0;
        stage1(tables, ste, iova, ret_answer);
        if (ret_answer->kind == TRACE_BYPASSED)
            ret_answer->perms = 3;
        break;
    }
}

/* Permissions. */
static gboolean extra_fits(const TraceAnswer *answer, guint64 extra)
{
    return answer->perms == extra;
}

const TraceTablesOps trace_smmuv3_tables = {
    .create = create,
    .write = write_register,
    .walk = walk,
    .extra_fits = extra_fits,
};
