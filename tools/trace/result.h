/* SPDX-License-Identifier: MIT */
#ifndef TRACE_RESULT_H
#define TRACE_RESULT_H

#include <glib.h>

/*
 * What came of a recording: counts, and in words what differed and what was excused.
 */
typedef enum {
    TRACE_LINES,
    TRACE_MEMORY_UPDATES, /* P and S */
    TRACE_WRITES,
    TRACE_READS_EQUAL,
    TRACE_READS_DIFFER,
    TRACE_READS_EXCUSED,
    TRACE_TRANSLATIONS_EQUAL, /* in the software walk, and in hardware unless left out */
    TRACE_TRANSLATIONS_DIFFER,
    TRACE_SOFTWARE_ONLY, /* of the DMAs here: hardware is left out, see `omissions` */
    TRACE_DOORBELLS,     /* of the DMAs: to where stage 2 has no memory, but MSIs */
    TRACE_DMA,           /* accesses that the emulated hardware really made */
    TRACE_BYPASSES_EQUAL,
    TRACE_BYPASSES_DIFFER,
    TRACE_ABORTS_EQUAL,
    TRACE_ABORTS_DIFFER,
    TRACE_FAULTS_EQUAL,
    TRACE_FAULTS_DIFFER,
    TRACE_FAULTS_EXCUSED,
    TRACE_UNMAPPED_REFUSED, /* addresses unmapped and flushed, asked again */
    TRACE_FLUSHED_REFUSED,  /* flushed only: descriptors cleared for the question */
    TRACE_UNMAPPED_DIFFER,
    TRACE_INTERRUPTS, /* messages and lines */
    TRACE_HOST_CALLS,
    TRACE_N_COUNTS,
} TraceCount;

/* "reads_equal", ...; static. */
const char *trace_count_name(TraceCount count);

typedef struct {
    guint64 counts[TRACE_N_COUNTS];
    const char *vendor; /* static */
    char *guest;        /* or NULL */
    gboolean all;       /* keep all differences, not the first few only */
    guint64 n_differences;
    GPtrArray *differences; /* of char * */
    GPtrArray *excuses;     /* of char *, each once: what differs and may */
    GPtrArray *omissions;   /* of char *, each once: what was not compared, and why */
} TraceResult;

TraceResult *trace_result_new(gboolean all);
void trace_result_free(TraceResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TraceResult, trace_result_free)

/* Count one, and say at which line what differed. */
void trace_result_differ(TraceResult *result, TraceCount count, guint64 line,
                         const char *format, ...) G_GNUC_PRINTF(4, 5);
void trace_result_excuse(TraceResult *result, const char *format, ...) G_GNUC_PRINTF(2, 3);
void trace_result_omit(TraceResult *result, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Nothing differs. */
gboolean trace_result_is_ok(const TraceResult *result);

#endif
