/* SPDX-License-Identifier: MIT */
/*
 * What a recorded SMMUv3 guest has invalidated. Section numbers are of Arm IHI 0070.
 *
 * Up: smmuv3-player.c. Down: unmapped.c, guest memory.
 */
#include "smmuv3-commands.h"

#define BITS TRACE_BITS

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

struct Smmuv3Commands {
    const Smmuv3Tables *tables;
    TraceUnmapped *unmapped;
    GArray *waiting; /* of guint64[2], not consumed yet */
    guint32 seen;    /* how far the queue is known, as CMDQ_CONS */
};

Smmuv3Commands *smmuv3_commands_new(const Smmuv3Tables *tables, TraceUnmapped *unmapped)
{
    Smmuv3Commands *commands = g_new0(Smmuv3Commands, 1);

    commands->tables = tables;
    commands->unmapped = unmapped;
    commands->waiting = g_array_new(FALSE, FALSE, 2 * sizeof(guint64));
    return commands;
}

void smmuv3_commands_free(Smmuv3Commands *commands)
{
    if (!commands)
        return;
    g_array_unref(commands->waiting);
    g_free(commands);
}

/* --- what covers what --------------------------------------------------------------------
 */

/* 4.4.1: what a TLBI by address is aimed at, besides its range. */
typedef struct {
    guint granule; /* log2; 0: any */
    guint level;   /* 0: any */
} Target;

static Target decode_target(const guint64 command[2])
{
    static const guint8 granules[] = {0, 12, 14, 16};
    Target target = {.granule = granules[BITS(command[1], 11, 10)]};

    target.level = target.granule ? BITS(command[1], 9, 8) : 0;
    return target;
}

static void decode_range(const guint64 command[2], TraceInvalidation *invalidation)
{
    guint granule = decode_target(command).granule;
    guint64 pages = (BITS(command[0], 16, 12) + 1) << BITS(command[0], 24, 20);
    guint64 size = granule ? pages << granule : 1;

    invalidation->leaf = command[1] & 1;
    invalidation->first = command[1] & ~0xfffULL;
    invalidation->last = invalidation->first + size - 1;
    if (invalidation->last < invalidation->first)
        invalidation->last = G_MAXUINT64;
}

static gboolean target_covers(const TraceInvalidation *invalidation, const TraceAnswer *was)
{
    Target target = decode_target(invalidation->command);

    return invalidation->first < was->start + was->size &&
           invalidation->last >= was->start &&
           (!target.granule || target.granule == was->granule) &&
           (!target.level || target.level == was->level);
}

/* By the translation tables: the TLBIs. */
static gboolean tlbi_covers(const TraceInvalidation *invalidation, guint32 sid,
                            const TraceAnswer *was)
{
    const guint64 *command = invalidation->command;
    gboolean asid = BITS(command[0], 63, 48) == was->tag;

    (void)sid;
    switch (BITS(command[0], 7, 0)) {
    case TLBI_NH_ALL:
    case TLBI_NSNH_ALL:
        return TRUE;
    case TLBI_NH_ASID:
        return asid && !was->global;
    case TLBI_NH_VA:
        return (asid || was->global) && target_covers(invalidation, was);
    case TLBI_NH_VAA:
        return target_covers(invalidation, was);
    default:
        return FALSE;
    }
}

/* By configuration: the CFGIs. */
static gboolean cfgi_covers(const TraceInvalidation *invalidation, guint32 sid,
                            const TraceAnswer *was)
{
    const guint64 *command = invalidation->command;
    guint32 named = command[0] >> 32;
    guint range = BITS(command[1], 4, 0) + 1;

    (void)was;
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

const TraceUnmappedOps smmuv3_unmapped_ops = {
    .covers = tlbi_covers,
    .covers_entry = cfgi_covers,
    .entry_is_enough = TRUE,
};

static void carry_out(Smmuv3Commands *commands, const guint64 command[2])
{
    TraceInvalidation invalidation = {.command = command, .last = G_MAXUINT64};

    switch (BITS(command[0], 7, 0)) {
    case SYNC:
        trace_unmapped_complete(commands->unmapped);
        return;
    case TLBI_NH_VA:
    case TLBI_NH_VAA:
        decode_range(command, &invalidation);
        break;
    }
    trace_unmapped_invalidate(commands->unmapped, &invalidation);
}

/* --- the command queue (3.5) -------------------------------------------------------------
 */

void smmuv3_commands_restart(Smmuv3Commands *commands, guint32 cmdq_cons)
{
    commands->seen = cmdq_cons;
    g_array_set_size(commands->waiting, 0);
}

static guint queue_shift(const Smmuv3Commands *commands)
{
    return MIN(BITS(commands->tables->cmdq_base, 4, 0), 19);
}

void smmuv3_commands_ring(Smmuv3Commands *commands, guint32 cmdq_prod)
{
    guint32 wrap_mask = (2u << queue_shift(commands)) - 1;
    guint32 size = 1u << queue_shift(commands);
    /* 3.5.1: a base is aligned to the queue's size */
    guint64 base = (commands->tables->cmdq_base & 0xfffffffffffe0) & ~(size * 16ULL - 1);
    guint32 n = (cmdq_prod - commands->seen) & wrap_mask;

    g_array_set_size(commands->waiting, 0);
    for (guint32 i = 0; i < MIN(n, size); i++) {
        guint64 gpa = base + ((commands->seen + i) & (size - 1)) * 16ULL;
        guint64 command[2];

        if (!trace_memory_read_word(commands->tables->memory, gpa, &command[0]) ||
            !trace_memory_read_word(commands->tables->memory, gpa + 8, &command[1]))
            break;
        g_array_append_vals(commands->waiting, command, 1);
    }
}

void smmuv3_commands_consumed(Smmuv3Commands *commands, guint32 cmdq_cons)
{
    guint32 wrap_mask = (2u << queue_shift(commands)) - 1;
    guint32 n = (cmdq_cons - commands->seen) & wrap_mask;

    for (guint32 i = 0; i < MIN(n, commands->waiting->len); i++)
        carry_out(commands,
                  (const guint64 *)(void *)commands->waiting->data + 2 * (gsize)i);
    g_array_set_size(commands->waiting, 0);
    commands->seen = cmdq_cons & wrap_mask;
}
