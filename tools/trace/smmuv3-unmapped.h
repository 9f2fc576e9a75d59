/* SPDX-License-Identifier: MIT */
#ifndef TRACE_SMMUV3_UNMAPPED_H
#define TRACE_SMMUV3_UNMAPPED_H

#include "smmuv3-tables.h"

/*
 * Which addresses a recorded guest has flushed: pages that were translated once, and that
 * an invalidation which covers them, and a SYNC after it, have passed since. What is
 * unmapped by then both sides must refuse. A guest that invalidates lazily is not held to
 * more than it asked for.
 *
 * Recordings may lack the stores of zero that clear a descriptor. So of a page that the
 * recorded tables still map the descriptor is cleared for the question, and put back: what
 * is flushed nobody may know any more.
 */
typedef struct Smmuv3Unmapped Smmuv3Unmapped;

/* cleared: it was still mapped, and is not while this runs. */
typedef void (*Smmuv3UnmappedFunc)(guint32 sid, guint64 iova, gboolean cleared,
                                   gpointer user_data);

/* `tables` is followed by the caller and outlives it. */
Smmuv3Unmapped *smmuv3_unmapped_new(const Smmuv3Tables *tables, Smmuv3UnmappedFunc func,
                                    gpointer user_data);
void smmuv3_unmapped_free(Smmuv3Unmapped *unmapped);

/* A DMA of this stream was translated. */
void smmuv3_unmapped_add(Smmuv3Unmapped *unmapped, guint32 sid, guint64 iova);
/*
 * The device is about to see commands up to here: CMDQ_PROD. They are read now, as a SYNC
 * may be told to write where it stands.
 */
void smmuv3_unmapped_ring(Smmuv3Unmapped *unmapped, guint32 cmdq_prod);
/*
 * And it has consumed them up to here: CMDQ_CONS. Calls `func` for each address that must
 * be refused from now on.
 */
void smmuv3_unmapped_consumed(Smmuv3Unmapped *unmapped, guint32 cmdq_cons);
/* The guest has set CMDQ_CONS itself. */
void smmuv3_unmapped_restart(Smmuv3Unmapped *unmapped, guint32 cmdq_cons);

#endif
