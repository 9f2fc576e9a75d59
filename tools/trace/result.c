/* SPDX-License-Identifier: MIT */
/*
 * Counts and words of what came of a recording. Up: replay.c prints them. Down: nothing.
 */
#include "result.h"

#include <stdarg.h>

/* Without being asked for all. */
enum { KEPT = 20 };

static const char *const names[TRACE_N_COUNTS] = {
    [TRACE_LINES] = "lines",
    [TRACE_MEMORY_UPDATES] = "memory_updates",
    [TRACE_WRITES] = "writes",
    [TRACE_READS_EQUAL] = "reads_equal",
    [TRACE_READS_DIFFER] = "reads_differ",
    [TRACE_READS_EXCUSED] = "reads_excused",
    [TRACE_TRANSLATIONS_EQUAL] = "translations_equal",
    [TRACE_TRANSLATIONS_DIFFER] = "translations_differ",
    [TRACE_SOFTWARE_ONLY] = "software_only",
    [TRACE_DOORBELLS] = "doorbells",
    [TRACE_DMA] = "dma_made",
    [TRACE_BYPASSES_EQUAL] = "bypasses_equal",
    [TRACE_BYPASSES_DIFFER] = "bypasses_differ",
    [TRACE_ABORTS_EQUAL] = "aborts_equal",
    [TRACE_ABORTS_DIFFER] = "aborts_differ",
    [TRACE_FAULTS_EQUAL] = "faults_equal",
    [TRACE_FAULTS_DIFFER] = "faults_differ",
    [TRACE_FAULTS_EXCUSED] = "faults_excused",
    [TRACE_UNMAPPED_REFUSED] = "unmapped_refused",
    [TRACE_FLUSHED_REFUSED] = "flushed_refused",
    [TRACE_UNMAPPED_DIFFER] = "unmapped_differ",
    [TRACE_INTERRUPTS] = "interrupts",
    [TRACE_HOST_CALLS] = "host_calls",
};

const char *trace_count_name(TraceCount count)
{
    return names[count];
}

TraceResult *trace_result_new(gboolean all)
{
    TraceResult *result = g_new0(TraceResult, 1);

    result->all = all;
    result->differences = g_ptr_array_new_with_free_func(g_free);
    result->excuses = g_ptr_array_new_with_free_func(g_free);
    result->omissions = g_ptr_array_new_with_free_func(g_free);
    return result;
}

void trace_result_free(TraceResult *result)
{
    if (!result)
        return;
    g_free(result->guest);
    g_ptr_array_unref(result->differences);
    g_ptr_array_unref(result->excuses);
    g_ptr_array_unref(result->omissions);
    g_free(result);
}

void trace_result_differ(TraceResult *result, TraceCount count, guint64 line,
                         const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list args;

    result->counts[count]++;
    if (result->n_differences++ >= KEPT && !result->all)
        return;
    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    g_ptr_array_add(result->differences,
                    g_strdup_printf("line %" G_GUINT64_FORMAT ": %s", line, what));
}

static void add_once(GPtrArray *list, char *what)
{
    if (g_ptr_array_find_with_equal_func(list, what, g_str_equal, NULL))
        g_free(what);
    else
        g_ptr_array_add(list, what);
}

void trace_result_excuse(TraceResult *result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_once(result->excuses, g_strdup_vprintf(format, args));
    va_end(args);
}

void trace_result_omit(TraceResult *result, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_once(result->omissions, g_strdup_vprintf(format, args));
    va_end(args);
}

gboolean trace_result_is_ok(const TraceResult *result)
{
    return result->n_differences == 0;
}
