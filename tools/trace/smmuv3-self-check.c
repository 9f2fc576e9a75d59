/* SPDX-License-Identifier: MIT */
/*
 * A recorded SMMUv3 held against itself: at each DMA the tables recorded so far say what
 * the recording says came of it. So the reader, the memory and the independent walk are
 * known to be right before they judge anything else.
 *
 * Up: vendor.c's table. Down: smmuv3-tables.c.
 */
#include "smmuv3-tables.h"
#include "vendor.h"

typedef struct {
    Smmuv3Tables tables;
    TraceResult *result;
} Check;

static gpointer create(const TraceSurvey *survey, const TraceMemory *memory,
                       TraceResult *result, GError **error)
{
    Check *check = g_new0(Check, 1);

    (void)survey;
    (void)error;
    check->tables.memory = memory;
    check->result = result;
    return check;
}

static void count(Check *check, const TraceLine *line, gboolean ok, TraceCount equal,
                  TraceCount differ, const Smmuv3Answer *answer)
{
    if (ok)
        check->result->counts[equal]++;
    else
        trace_result_differ(check->result, differ, line->number,
                            "%c of stream 0x%x at 0x%" G_GINT64_MODIFIER
                            "x: the tables say %s, 0x%" G_GINT64_MODIFIER
                            "x, permissions %u",
                            line->kind, line->sid, line->address,
                            smmuv3_answer_name(answer), answer->gpa, answer->perms);
}

static void play(gpointer player, const TraceLine *line)
{
    Check *check = player;
    Smmuv3Answer answer;

    if (line->kind == TRACE_LINE_REGISTER_WRITE) {
        check->result->counts[TRACE_WRITES]++;
        smmuv3_tables_write(&check->tables, line);
        return;
    }
    smmuv3_tables_walk(&check->tables, line->sid, line->address, &answer);
    switch (line->kind) {
    case TRACE_LINE_TRANSLATED:
        count(check, line,
              answer.kind == SMMUV3_MAPPED && answer.gpa == line->value &&
                  (!line->has_extra || answer.perms == line->extra),
              TRACE_TRANSLATIONS_EQUAL, TRACE_TRANSLATIONS_DIFFER, &answer);
        break;
    case TRACE_LINE_BYPASSED:
        count(check, line, answer.kind == SMMUV3_BYPASSED, TRACE_BYPASSES_EQUAL,
              TRACE_BYPASSES_DIFFER, &answer);
        break;
    case TRACE_LINE_DISABLED:
        count(check, line, answer.kind == SMMUV3_DISABLED, TRACE_BYPASSES_EQUAL,
              TRACE_BYPASSES_DIFFER, &answer);
        break;
    case TRACE_LINE_ABORTED:
        count(check, line,
              answer.kind == SMMUV3_ABORTED || answer.kind == SMMUV3_UNMAPPED ||
                  !(answer.perms & (line->write ? 2 : 1)),
              TRACE_ABORTS_EQUAL, TRACE_ABORTS_DIFFER, &answer);
        break;
    default:
        break;
    }
}

static void finish(gpointer player)
{
    (void)player;
}

const TracePlayerOps trace_smmuv3_self_check = {
    .create = create,
    .play = play,
    .finish = finish,
    .destroy = g_free,
};
