/* SPDX-License-Identifier: MIT */
#ifndef TRACE_UNMAPPED_H
#define TRACE_UNMAPPED_H

#include "tables.h"

/*
 * Which addresses a recorded guest has flushed: pages that were translated once, and that
 * an invalidation which covers them has passed since, and been waited for. What is unmapped
 * by then all sides must refuse. A guest that invalidates lazily is not held to more than
 * it asked for.
 *
 * Recordings may lack the stores of zero that clear a descriptor. So of a page that the
 * recorded tables still map the descriptor is cleared for the question, and put back: what
 * is flushed nobody may know any more.
 */
typedef struct TraceUnmapped TraceUnmapped;

/* An invalidation, as far as all vendors have that. */
typedef struct {
    gconstpointer command; /* the vendor's */
    guint64 first;         /* of the addresses that it is aimed at */
    guint64 last;          /* inclusive */
    gboolean leaf;         /* not what led to the last descriptor */
} TraceInvalidation;

typedef struct {
    /* Mandatory. What was cached of a page by the translation tables is forgotten. */
    gboolean (*covers)(const TraceInvalidation *invalidation, guint32 sid,
                       const TraceAnswer *was);
    /* Mandatory. What was cached of the device's entries on the way to it is. */
    gboolean (*covers_entry)(const TraceInvalidation *invalidation, guint32 sid,
                             const TraceAnswer *was);
    /* That alone is enough; else what was cached by the tables must be covered after it. */
    gboolean entry_is_enough;
} TraceUnmappedOps;

/* perms: of the page when it was translated. cleared: it was still mapped until now. */
typedef void (*TraceUnmappedFunc)(guint32 sid, guint64 iova, guint perms, gboolean cleared,
                                  gpointer user_data);

/* `tables` is followed by the caller; it and `memory` outlive it. */
TraceUnmapped *trace_unmapped_new(const TraceUnmappedOps *ops,
                                  const TraceTablesOps *tables_ops, gconstpointer tables,
                                  const TraceMemory *memory, TraceUnmappedFunc func,
                                  gpointer user_data);
void trace_unmapped_free(TraceUnmapped *unmapped);

/* A DMA of this device was translated. */
void trace_unmapped_add(TraceUnmapped *unmapped, guint32 sid, guint64 iova);
/* The permissions when it was last translated, if it is not forgotten since; else 0. */
guint trace_unmapped_get_perms(TraceUnmapped *unmapped, guint32 sid, guint64 iova);
/* The IOMMU has begun this invalidation. */
void trace_unmapped_invalidate(TraceUnmapped *unmapped,
                               const TraceInvalidation *invalidation);
/*
 * And completed all those begun. Calls `func` for each address that must be refused from
 * now on.
 */
void trace_unmapped_complete(TraceUnmapped *unmapped);

#endif
