/* SPDX-License-Identifier: MIT */
#ifndef TRACE_MEMORY_H
#define TRACE_MEMORY_H

#include "reader.h"

/*
 * The recorded guest's memory: real memory of this process, zero but for what the recording
 * says, in a memfd so that a host can map it. It covers the 2 MiB around every address that
 * was added before it is made, less what is left out.
 */
typedef struct TraceMemory TraceMemory;

typedef struct {
    guint64 first;
    guint64 last; /* inclusive */
} TraceRange;

/* Addresses that memory must cover. */
typedef struct TraceCover TraceCover;

TraceCover *trace_cover_new(void);
void trace_cover_free(TraceCover *cover);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TraceCover, trace_cover_free)
/* FALSE when there would be too much of it. */
gboolean trace_cover_add(TraceCover *cover, guint64 gpa);
gboolean trace_cover_add_range(TraceCover *cover, guint64 gpa, guint64 size);

/* `hole`: what is no memory (whole pages), or NULL. */
TraceMemory *trace_memory_new(const TraceCover *cover, const TraceRange *hole,
                              GError **error);
void trace_memory_free(TraceMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TraceMemory, trace_memory_free)

typedef struct {
    guint64 gpa;
    guint64 size;
    guint64 offset; /* in the memfd */
} TraceRegion;

guint trace_memory_count_regions(const TraceMemory *memory);
const TraceRegion *trace_memory_get_region(const TraceMemory *memory, guint index);
int trace_memory_get_fd(const TraceMemory *memory);

/* The bytes at gpa, of which *ret_size follow without a gap; NULL: no memory. */
guint8 *trace_memory_at(const TraceMemory *memory, guint64 gpa, guint64 *ret_size);
/* FALSE, with a part done, when not all of it is memory. */
gboolean trace_memory_read(const TraceMemory *memory, guint64 gpa, void *data, gsize size);
gboolean trace_memory_write(const TraceMemory *memory, guint64 gpa, const void *data,
                            gsize size);
/* A little-endian 64-bit word. */
gboolean trace_memory_read_word(const TraceMemory *memory, guint64 gpa, guint64 *ret_word);

/* A P or S line. FALSE: not memory. */
gboolean trace_memory_apply(const TraceMemory *memory, const TraceLine *line);

#endif
