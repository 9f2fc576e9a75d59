/* SPDX-License-Identifier: MIT */
/*
 * A recording held against itself: at each DMA the tables recorded so far say what the
 * recording says came of it. So the reader, the memory and the independent walk are known
 * to be right before they judge anything else.
 *
 * Up: vendor.c. Down: the walk of the vendor's tables.
 */
#include "tables.h"

#include <string.h>

typedef struct {
    const TraceTablesOps *ops;
    gpointer tables;
    TraceResult *result;
} Check;

static gpointer create(const TraceSurvey *survey, const TraceMemory *memory,
                       const TraceOptions *options, TraceResult *result, GError **error)
{
    Check *check = g_new0(Check, 1);

    (void)options;
    (void)error;
    check->ops = survey->vendor->tables;
    check->tables = check->ops->create(survey, memory);
    check->result = result;
    return check;
}

static void destroy(gpointer player)
{
    Check *check = player;

    if (!check)
        return;
    g_free(check->tables);
    g_free(check);
}

static void count(Check *check, const TraceLine *line, gboolean ok, TraceCount equal,
                  TraceCount differ, const TraceAnswer *answer)
{
    if (ok)
        check->result->counts[equal]++;
    else
        trace_result_differ(check->result, differ, line->number,
                            "%c of device 0x%x at 0x%" G_GINT64_MODIFIER
                            "x: the tables say %s, 0x%" G_GINT64_MODIFIER
                            "x, permissions %u, %" G_GUINT64_FORMAT " bytes",
                            line->kind, line->sid, line->address, trace_answer_name(answer),
                            answer->gpa, answer->perms, answer->size);
}

static gboolean is_translated(const Check *check, const TraceAnswer *answer,
                              const TraceLine *line)
{
    if (answer->gpa != line->value)
        return FALSE;
    return answer->kind == TRACE_MESSAGE ||
           (answer->kind == TRACE_MAPPED && answer->perms &&
            (!line->has_extra || check->ops->extra_fits(answer, line->extra)));
}

static gboolean is_passed(const TraceAnswer *answer, TraceAnswerKind kind,
                          const TraceLine *line)
{
    return answer->kind == kind || (answer->kind == TRACE_MESSAGE && line->write);
}

static gboolean is_refused(const TraceAnswer *answer, const TraceLine *line)
{
    switch (answer->kind) {
    case TRACE_ABORTED:
    case TRACE_UNMAPPED:
        return TRUE;
    case TRACE_MAPPED:
    case TRACE_MESSAGE:
        return !(answer->perms & (line->write ? 2 : 1));
    default:
        return FALSE;
    }
}

static void play(gpointer player, const TraceLine *line)
{
    Check *check = player;
    TraceAnswer answer;

    if (line->kind == TRACE_LINE_REGISTER_WRITE) {
        check->result->counts[TRACE_WRITES]++;
        check->ops->write(check->tables, line);
    }
    if (!strchr("TBDA", line->kind))
        return;
    check->ops->walk(check->tables, line->sid, line->address, &answer);
    switch (line->kind) {
    case TRACE_LINE_TRANSLATED:
        count(check, line, is_translated(check, &answer, line), TRACE_TRANSLATIONS_EQUAL,
              TRACE_TRANSLATIONS_DIFFER, &answer);
        break;
    case TRACE_LINE_BYPASSED:
        count(check, line, is_passed(&answer, TRACE_BYPASSED, line), TRACE_BYPASSES_EQUAL,
              TRACE_BYPASSES_DIFFER, &answer);
        break;
    case TRACE_LINE_DISABLED:
        count(check, line, is_passed(&answer, TRACE_DISABLED, line), TRACE_BYPASSES_EQUAL,
              TRACE_BYPASSES_DIFFER, &answer);
        break;
    case TRACE_LINE_ABORTED:
        count(check, line, is_refused(&answer, line), TRACE_ABORTS_EQUAL,
              TRACE_ABORTS_DIFFER, &answer);
        break;
    default:
        break;
    }
}

static void finish(gpointer player)
{
    (void)player;
}

const TracePlayerOps trace_self_check = {
    .create = create,
    .play = play,
    .finish = finish,
    .destroy = destroy,
};
