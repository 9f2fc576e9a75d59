/* SPDX-License-Identifier: MIT */
#ifndef TRACE_VENDOR_H
#define TRACE_VENDOR_H

#include "memory.h"
#include "result.h"

/*
 * What can be done with the recordings of one vendor: a row in vendor.c's table.
 *
 * A *player* takes a recording line by line. There are two: player.c plays it through a
 * whole device of the library with the emulator behind it as host; self-check.c holds the
 * recording against itself, its tables walked independently at each translation.
 */

typedef struct TraceVendor TraceVendor;
typedef struct TraceTablesOps TraceTablesOps; /* tables.h */
typedef struct TraceUnitOps TraceUnitOps;     /* player.h */

/* What a first pass over a recording finds. */
typedef struct {
    const char *path;
    const TraceVendor *vendor;
    char *guest;       /* the header's words about it, or NULL */
    TraceCover *cover; /* every address that must be memory */
    GArray *sids;      /* guint32, every device that does DMA, by first appearance */
    GHashTable *known_sids;
    GHashTable *first_read; /* register offset -> TraceRead, what its first R saw */
    guint64 bases[2];       /* what the vendor's cover() remembers of registers */
    TraceRange doorbells;   /* DMA targets in the vendor's window; none: first > last */
    GHashTable *left_out;   /* device -> const char *, why scout() leaves it to software */
} TraceSurvey;

TraceSurvey *trace_survey_new(const char *path, GError **error);
void trace_survey_free(TraceSurvey *survey);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TraceSurvey, trace_survey_free)

/* The value that the guest first read there; FALSE: it never did. */
gboolean trace_survey_get_read(const TraceSurvey *survey, guint64 offset,
                               guint64 *ret_value);
/*
 * Of a 64-bit register that may be read in halves. *ret_known: the bits that the guest has
 * looked at.
 */
guint64 trace_survey_get_wide(const TraceSurvey *survey, guint64 offset,
                              guint64 *ret_known);

/* How to play. */
typedef struct {
    gboolean self_check; /* against itself, and nothing of what follows */
    const char *backend; /* the library's; NULL: its default */
    gboolean no_nesting; /* the host's IOMMU is one without */
} TraceOptions;

typedef struct {
    /* Mandatory. NULL with an error when there is no playing it. */
    gpointer (*create)(const TraceSurvey *survey, const TraceMemory *memory,
                       const TraceOptions *options, TraceResult *result, GError **error);
    /*
     * Mandatory. One event; P and S are in memory when it is called for what follows them,
     * and it is not called for them. A P that follows a W belongs to what that W made
     * reachable, and is in memory before the W.
     */
    void (*play)(gpointer player, const TraceLine *line);
    /* Mandatory. No more lines. */
    void (*finish)(gpointer player);
    /* Mandatory. Accepts NULL. */
    void (*destroy)(gpointer player);
} TracePlayerOps;

/* Play a recording on memory, which has its contents afterwards. */
gboolean trace_survey_play(const TraceSurvey *survey, const TraceMemory *memory,
                           const TracePlayerOps *ops, gpointer player, TraceResult *result,
                           GError **error);

struct TraceVendor {
    const char *name;  /* in a recording's header */
    const char *title; /* for people */
    /*
     * Optional. In the first pass: a W may name memory that no P does, as a queue that the
     * IOMMU only writes. FALSE: too much of it.
     */
    gboolean (*cover)(TraceSurvey *survey, const TraceLine *line);
    /*
     * Optional. A pass of its own before the recording is played, on memory that is thrown
     * away: for what only tables and queues tell. It may add to survey->cover and
     * survey->left_out.
     */
    gboolean (*scout)(TraceSurvey *survey, const TraceMemory *memory, GError **error);
    TraceRange msi_window;        /* writes there are interrupts, and it is no memory */
    const TraceTablesOps *tables; /* how to walk its tables */
    const TraceUnitOps *unit;     /* NULL: the library is built without such a device */
};

/* NULL: not a vendor of recordings. */
const TraceVendor *trace_vendor_find(const char *name);

/* Play a whole recording. FALSE: unreadable or garbled, or it cannot be played. */
gboolean trace_play(const char *path, const TraceOptions *options, TraceResult *result,
                    GError **error);

extern const TracePlayerOps trace_self_check;

gboolean trace_smmuv3_cover(TraceSurvey *survey, const TraceLine *line);
extern const TraceTablesOps trace_smmuv3_tables;
extern const TraceUnitOps trace_smmuv3_unit;

gboolean trace_vtd_cover(TraceSurvey *survey, const TraceLine *line);
gboolean trace_vtd_scout(TraceSurvey *survey, const TraceMemory *memory, GError **error);
extern const TraceTablesOps trace_vtd_tables;
extern const TraceUnitOps trace_vtd_unit;

#endif
