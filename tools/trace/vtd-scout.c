/* SPDX-License-Identifier: MIT */
/*
 * What only the tables and queues of a recorded VT-d guest tell before it is played: where
 * the unit writes the status of waits, and which devices hardware cannot serve all along.
 *
 * A device whose entry cannot be bound is told to the guest by a fault, which the recorded
 * unit had no reason for. So a device that has such an entry at any time is left to
 * software from the start.
 *
 * Up: vendor.c's table. Down: vtd-tables.c, vtd-commands.c.
 */
#include "vtd-commands.h"

#include <string.h>

typedef struct {
    TraceSurvey *survey;
    VtdTables *tables;
    guint64 iqt;       /* the register */
    guint64 seen;      /* as far as the queue is known */
    gboolean too_much; /* memory */
} Scout;

/* Second-stage tables are shadowed, where the guest tells of every page. */
static gboolean has_caching_mode(const TraceSurvey *survey)
{
    guint64 cap;

    return trace_survey_get_read(survey, VTD_CAP, &cap) && cap >> 7 & 1; /* CM */
}

/* NULL: it is bound, or blocked without a word. */
static const char *cannot_bind(const Scout *scout, VtdForm form)
{
    switch (form) {
    case VTD_LEGACY_TABLE:
    case VTD_SECOND:
        return has_caching_mode(scout->survey) ? NULL : vtd_form_name(form);
    case VTD_BAD:
    case VTD_NESTED:
        return vtd_form_name(form);
    default:
        return NULL;
    }
}

static void look_at(Scout *scout, guint32 sid)
{
    GHashTable *left_out = scout->survey->left_out;
    const char *why;
    VtdEntry entry;

    if (g_hash_table_contains(left_out, GUINT_TO_POINTER(sid)))
        return;
    vtd_tables_find(scout->tables, sid, &entry);
    why = cannot_bind(scout, entry.form);
    if (why)
        g_hash_table_insert(left_out, GUINT_TO_POINTER(sid), (gpointer)why);
}

static void look_at_all(Scout *scout)
{
    const GArray *sids = scout->survey->sids;

    for (guint i = 0; i < sids->len; i++)
        look_at(scout, g_array_index(sids, guint32, i));
}

/* Status words are guest memory though no P may name them. */
static void read_queue(Scout *scout)
{
    g_autoptr(GArray) descriptors =
        vtd_commands_read(scout->tables, scout->seen, scout->iqt);
    const guint64 *words = (const guint64 *)(void *)descriptors->data;
    guint64 gpa;

    for (guint i = 0; i < descriptors->len; i++)
        if (vtd_commands_writes_status(words + VTD_DESCRIPTOR_WORDS * i, &gpa))
            scout->too_much |= !trace_cover_add(scout->survey->cover, gpa);
    scout->seen = scout->iqt;
}

static void take_write(Scout *scout, const TraceLine *line)
{
    trace_vtd_tables.write(scout->tables, line);
    if (line->address == VTD_IQT)
        scout->iqt = line->value;
    if (scout->tables->queued)
        read_queue(scout);
    else
        scout->seen = 0;
    look_at_all(scout);
}

static void play(gpointer data, const TraceLine *line)
{
    Scout *scout = data;

    if (line->kind == TRACE_LINE_REGISTER_WRITE)
        take_write(scout, line);
    else if (strchr("TBDAF", line->kind))
        look_at(scout, line->sid);
}

static void finish(gpointer data)
{
    (void)data;
}

gboolean trace_vtd_scout(TraceSurvey *survey, const TraceMemory *memory, GError **error)
{
    static const TracePlayerOps ops = {.play = play, .finish = finish};
    g_autoptr(TraceResult) ignored = trace_result_new(FALSE);
    Scout scout = {.survey = survey, .tables = trace_vtd_tables.create(survey, memory)};
    gboolean ok = trace_survey_play(survey, memory, &ops, &scout, ignored, error);

    g_free(scout.tables);
    if (ok && scout.too_much)
        g_set_error(error, TRACE_ERROR, TRACE_ERROR_GARBLED,
                    "%s: invalidation waits write to more memory than a guest can have",
                    survey->path);
    return ok && !scout.too_much;
}
