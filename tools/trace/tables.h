/* SPDX-License-Identifier: MIT */
#ifndef TRACE_TABLES_H
#define TRACE_TABLES_H

#include "vendor.h"

/*
 * What a recorded guest's registers and tables say, read anew each time: walks that share
 * no code with the library or the emulator, and cache nothing.
 */

typedef enum {
    TRACE_MAPPED,
    TRACE_BYPASSED, /* by the device's own entry */
    TRACE_DISABLED, /* the IOMMU is: bypassed */
    TRACE_MESSAGE,  /* an interrupt message, untranslated: only a write can be one */
    TRACE_ABORTED,  /* by configuration */
    TRACE_UNMAPPED, /* by the translation tables */
} TraceAnswerKind;

typedef struct {
    TraceAnswerKind kind;
    guint64 gpa;
    guint perms; /* of an unprivileged access: 1 read, 2 write */
    /* What the tables say on the way: MAPPED and UNMAPPED. */
    guint32 tag;   /* of what is cached of it: ASID, domain ID */
    guint32 pasid; /* VT-d: likewise */
    guint form;    /* VT-d: of the tables, a VtdForm */
    guint64 entry; /* VT-d, also ABORTED: where the device's last entry stands */
    guint64 root;  /* the translation table base */
    guint granule; /* SMMUv3: log2 */
    gboolean global;
    guint level;        /* of the last descriptor read */
    guint64 descriptor; /* and where it stands */
    guint64 start;      /* MAPPED: what the page or block covers */
    guint64 size;
} TraceAnswer;

/* "mapped", ...; static. */
const char *trace_answer_name(const TraceAnswer *answer);

struct TraceTablesOps {
    /* Mandatory. Freed by g_free(); `memory` outlives it. */
    gpointer (*create)(const TraceSurvey *survey, const TraceMemory *memory);
    /* Mandatory. Follow a W line. */
    void (*write)(gpointer tables, const TraceLine *line);
    /* Mandatory. A transaction without SubstreamID or PASID. */
    void (*walk)(gconstpointer tables, guint32 sid, guint64 iova, TraceAnswer *ret_answer);
    /* Mandatory. A T line's fourth column says the same. */
    gboolean (*extra_fits)(const TraceAnswer *answer, guint64 extra);
};

/* A 64-bit register that stands at `base`; it may be written in halves. FALSE: not it. */
gboolean trace_write_wide(guint64 *wide, guint64 base, const TraceLine *line);

#define TRACE_BITS(word, high, low) \
    (((guint64)(word) >> (low)) & (G_MAXUINT64 >> (63 - (high) + (low))))
/* The same, left where it is. */
#define TRACE_FIELD(word, high, low) \
    ((word) & (G_MAXUINT64 >> (63 - (high)) & G_MAXUINT64 << (low)))

#endif
