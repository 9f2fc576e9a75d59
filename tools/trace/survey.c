/* SPDX-License-Identifier: MIT */
/*
 * Passes over a recording: the first, which finds what must be there before it is played,
 * and the loop of all others.
 *
 * Up: vendor.c, the scouts. Down: reader.c, memory.c.
 */
#include "vendor.h"

#include <string.h>

enum { MAX_DEVICES = 4096 };

typedef struct {
    guint64 value;
    guint size;
} TraceRead;

/* --- the first pass ----------------------------------------------------------------------
 */

static gboolean take_comment(TraceSurvey *survey, const TraceLine *line, GError **error)
{
    const char *text = line->text + strspn(line->text, " ");

    if (g_str_has_prefix(text, "guest ") && !survey->guest) {
        survey->guest = g_strdup(text + strlen("guest "));
    } else if (g_str_has_prefix(text, "vendor ") && !survey->vendor) {
        survey->vendor = trace_vendor_find(text + strlen("vendor "));
        if (!survey->vendor) {
            trace_line_error(error, survey->path, line->number,
                             "\"%s\" is no vendor known here", text + strlen("vendor "));
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean is_in(const TraceRange *range, guint64 address)
{
    return range->first <= address && address <= range->last;
}

static gboolean take_target(TraceSurvey *survey, guint64 gpa)
{
    TraceRange *doorbells = &survey->doorbells;

    if (!is_in(&survey->vendor->msi_window, gpa))
        return trace_cover_add(survey->cover, gpa);
    doorbells->first = MIN(doorbells->first, gpa);
    doorbells->last = MAX(doorbells->last, gpa);
    return TRUE;
}

static gboolean take_sid(TraceSurvey *survey, guint32 sid)
{
    if (g_hash_table_add(survey->known_sids, GUINT_TO_POINTER(sid)))
        g_array_append_val(survey->sids, sid);
    return survey->sids->len <= MAX_DEVICES;
}

static void take_read(TraceSurvey *survey, const TraceLine *line)
{
    const TraceRead read = {line->value, line->size};

    if (!g_hash_table_contains(survey->first_read, &line->address))
        g_hash_table_insert(survey->first_read,
                            g_memdup2(&line->address, sizeof(line->address)),
                            g_memdup2(&read, sizeof(read)));
}

/* FALSE: too many addresses or devices, or memory where none can be. */
static gboolean take_event(TraceSurvey *survey, const TraceLine *line)
{
    switch (line->kind) {
    case TRACE_LINE_REGISTER_READ:
        take_read(survey, line);
        return TRUE;
    case TRACE_LINE_REGISTER_WRITE:
        return !survey->vendor->cover || survey->vendor->cover(survey, line);
    case TRACE_LINE_PAGE:
        return !is_in(&survey->vendor->msi_window, line->address) &&
               trace_cover_add(survey->cover, line->address);
    case TRACE_LINE_STORE:
        return !is_in(&survey->vendor->msi_window, line->address) &&
               trace_cover_add(survey->cover, line->address) &&
               trace_cover_add(survey->cover, line->address + line->size - 1);
    case TRACE_LINE_TRANSLATED:
        return take_sid(survey, line->sid) && take_target(survey, line->value);
    case TRACE_LINE_BYPASSED:
    case TRACE_LINE_DISABLED:
        return take_sid(survey, line->sid) && take_target(survey, line->address);
    case TRACE_LINE_ABORTED:
    case TRACE_LINE_FAULT:
        return take_sid(survey, line->sid);
    default:
        return TRUE;
    }
}

static gboolean take_lines(TraceSurvey *survey, GError **error)
{
    g_autoptr(TraceReader) reader = trace_reader_open(survey->path, error);
    g_autoptr(GError) reason = NULL;
    TraceLine line;

    if (!reader)
        return FALSE;
    while (trace_reader_next(reader, &line, &reason)) {
        if (line.kind == TRACE_LINE_COMMENT) {
            if (!take_comment(survey, &line, error))
                return FALSE;
        } else if (!survey->vendor) {
            trace_line_error(error, survey->path, line.number,
                             "an event before the header has named a vendor");
            return FALSE;
        } else if (!take_event(survey, &line)) {
            trace_line_error(error, survey->path, line.number,
                             "memory where none can be, or more memory or devices than a "
                             "guest can have");
            return FALSE;
        }
    }
    if (reason) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return FALSE;
    }
    if (!survey->vendor)
        trace_line_error(error, survey->path, 1, "the header names no vendor");
    return survey->vendor != NULL;
}

TraceSurvey *trace_survey_new(const char *path, GError **error)
{
    g_autoptr(TraceSurvey) survey = g_new0(TraceSurvey, 1);

    survey->path = path;
    survey->cover = trace_cover_new();
    survey->sids = g_array_new(FALSE, FALSE, sizeof(guint32));
    survey->known_sids = g_hash_table_new(NULL, NULL);
    survey->first_read = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    survey->doorbells = (TraceRange){G_MAXUINT64, 0};
    survey->left_out = g_hash_table_new(NULL, NULL);
    if (!take_lines(survey, error))
        return NULL;
    return g_steal_pointer(&survey);
}

void trace_survey_free(TraceSurvey *survey)
{
    if (!survey)
        return;
    g_free(survey->guest);
    trace_cover_free(survey->cover);
    g_array_unref(survey->sids);
    g_hash_table_unref(survey->known_sids);
    g_hash_table_unref(survey->first_read);
    g_hash_table_unref(survey->left_out);
    g_free(survey);
}

gboolean trace_survey_get_read(const TraceSurvey *survey, guint64 offset,
                               guint64 *ret_value)
{
    const TraceRead *read = g_hash_table_lookup(survey->first_read, &offset);

    if (read)
        *ret_value = read->value;
    return read != NULL;
}

guint64 trace_survey_get_wide(const TraceSurvey *survey, guint64 offset, guint64 *ret_known)
{
    const guint64 halves[] = {offset, offset + 4};
    const TraceRead *low = g_hash_table_lookup(survey->first_read, &halves[0]);
    const TraceRead *high = g_hash_table_lookup(survey->first_read, &halves[1]);
    guint64 value = low ? low->value : 0;

    *ret_known = low ? G_MAXUINT64 >> (64 - 8 * low->size) : 0;
    if (high && high->size == 4 && !(*ret_known >> 32)) {
        value |= high->value << 32;
        *ret_known |= (guint64)G_MAXUINT32 << 32;
    }
    return value;
}

/* --- all others --------------------------------------------------------------------------
 */

gboolean trace_survey_play(const TraceSurvey *survey, const TraceMemory *memory,
                           const TracePlayerOps *ops, gpointer player, TraceResult *result,
                           GError **error)
{
    g_autoptr(TraceReader) reader = trace_reader_open(survey->path, error);
    g_autoptr(GError) reason = NULL;
    TraceLine line;
    TraceLine write = {0}; /* held back for the pages that it makes reachable */

    if (!reader)
        return FALSE;
    result->counts[TRACE_LINES] = 1; /* the reader takes the first itself */
    while (trace_reader_next(reader, &line, &reason)) {
        result->counts[TRACE_LINES]++;
        if (line.kind == TRACE_LINE_COMMENT)
            continue;
        if (line.kind != TRACE_LINE_PAGE && write.kind) {
            ops->play(player, &write);
            write.kind = 0;
        }
        if (line.kind == TRACE_LINE_PAGE || line.kind == TRACE_LINE_STORE) {
            trace_memory_apply(memory, &line);
            result->counts[TRACE_MEMORY_UPDATES]++;
        } else if (line.kind == TRACE_LINE_REGISTER_WRITE) {
            write = line;
        } else {
            ops->play(player, &line);
        }
    }
    if (reason) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return FALSE;
    }
    if (write.kind)
        ops->play(player, &write);
    ops->finish(player);
    return TRUE;
}
