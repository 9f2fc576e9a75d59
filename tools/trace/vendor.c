/* SPDX-License-Identifier: MIT */
/*
 * From a path to a played recording: the table of vendors, the first pass, and the loop of
 * the second.
 *
 * Up: replay.c. Down: reader.c, memory.c, the players.
 */
#include "vendor.h"

#include <string.h>

enum { MAX_DEVICES = 4096 };

static const TraceVendor vendors[] = {
    {
        .name = "smmuv3",
        .title = "Arm SMMUv3",
        .cover = trace_smmuv3_cover,
        /* Where Linux puts the doorbells of a nested SMMUv3, and no RAM. */
        .msi_window = {0x8000000, 0x80fffff},
        .player = &trace_smmuv3_player,
        .self_check = &trace_smmuv3_self_check,
    },
    {
        .name = "vtd",
        .title = "Intel VT-d",
        .msi_window = {0xfee00000, 0xfeefffff},
    },
};

const TraceVendor *trace_vendor_find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(vendors); i++)
        if (g_str_equal(vendors[i].name, name))
            return &vendors[i];
    return NULL;
}

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

/* FALSE: too many addresses or devices, or memory where none can be. */
static gboolean take_event(TraceSurvey *survey, const TraceLine *line)
{
    switch (line->kind) {
    case TRACE_LINE_REGISTER_READ:
        if (!g_hash_table_contains(survey->first_read, &line->address))
            g_hash_table_insert(survey->first_read,
                                g_memdup2(&line->address, sizeof(line->address)),
                                g_memdup2(&line->value, sizeof(line->value)));
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
    g_free(survey);
}

gboolean trace_survey_get_read(const TraceSurvey *survey, guint64 offset,
                               guint64 *ret_value)
{
    const guint64 *value = g_hash_table_lookup(survey->first_read, &offset);

    if (value)
        *ret_value = *value;
    return value != NULL;
}

/* --- the second --------------------------------------------------------------------------
 */

static gboolean play_lines(const TraceSurvey *survey, const TraceMemory *memory,
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

/* For a vendor whose tables are not walked here. */
static gpointer parse_only_create(const TraceSurvey *survey, const TraceMemory *memory,
                                  TraceResult *result, GError **error)
{
    (void)survey;
    (void)memory;
    (void)error;
    trace_result_excuse(result,
                        "parsed only: the tables of this vendor are not walked here");
    return result;
}

static void parse_only_play(gpointer player, const TraceLine *line)
{
    TraceResult *result = player;

    result->counts[TRACE_PARSED_ONLY] += line->kind == TRACE_LINE_TRANSLATED;
}

static void parse_only_end(gpointer player)
{
    (void)player;
}

static const TracePlayerOps parse_only = {
    .create = parse_only_create,
    .play = parse_only_play,
    .finish = parse_only_end,
    .destroy = parse_only_end,
};

gboolean trace_play(const char *path, gboolean self_check, TraceResult *result,
                    GError **error)
{
    g_autoptr(TraceSurvey) survey = trace_survey_new(path, error);
    g_autoptr(TraceMemory) memory = NULL;
    const TracePlayerOps *ops;
    gpointer player;
    gboolean ok;

    if (!survey)
        return FALSE;
    result->vendor = survey->vendor->name;
    result->guest = g_strdup(survey->guest);
    ops = self_check ? survey->vendor->self_check : survey->vendor->player;
    if (!ops && self_check)
        ops = &parse_only;
    if (!ops) {
        g_set_error(error, TRACE_ERROR, TRACE_ERROR_UNSUPPORTED,
                    "%s: a recording of vendor \"%s\" (%s), of which this library has no "
                    "device yet",
                    path, survey->vendor->name, survey->vendor->title);
        return FALSE;
    }
    memory = trace_memory_new(survey->cover, &survey->vendor->msi_window, error);
    player = memory ? ops->create(survey, memory, result, error) : NULL;
    ok = player && play_lines(survey, memory, ops, player, result, error);
    if (player)
        ops->destroy(player);
    return ok;
}
