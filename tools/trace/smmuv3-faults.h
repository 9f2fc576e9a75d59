/* SPDX-License-Identifier: MIT */
#ifndef TRACE_SMMUV3_FAULTS_H
#define TRACE_SMMUV3_FAULTS_H

#include "vendor.h"

#include <viommu/smmuv3.h>

/*
 * F lines held against the events that the device records in the guest's queue.
 *
 * A recorder may write F with or without an A beside it, before or after, with more or less
 * about the fault. So: an F takes an event of its stream (and type, if it says one) that no
 * other F has taken; if there is none, and it names an address, that is asked for; if it
 * names none but any address would do, address 0; else it waits for an A to bring the
 * event. What still waits when the guest goes on is excused: nothing says what to ask for.
 */
typedef struct Smmuv3Faults Smmuv3Faults;

/* Make a transaction, for its event's sake. */
typedef void (*Smmuv3FaultsProbe)(guint32 sid, guint64 iova, gboolean write,
                                  gpointer user_data);

Smmuv3Faults *smmuv3_faults_new(ViommuSmmuv3 *smmu, const TraceMemory *memory,
                                TraceResult *result, Smmuv3FaultsProbe probe,
                                gpointer user_data);
void smmuv3_faults_free(Smmuv3Faults *faults);

/* An F line. */
void smmuv3_faults_expect(Smmuv3Faults *faults, const TraceLine *line);
/* A transaction was refused: its event, if any, is there for an F. */
void smmuv3_faults_collect(Smmuv3Faults *faults);
/* Events that no F will speak of. */
void smmuv3_faults_discard(Smmuv3Faults *faults);
/* The guest has set EVENTQ_PROD. */
void smmuv3_faults_restart(Smmuv3Faults *faults);
/*
 * The guest goes on, or there is no more: faults and events of one DMA stand beside each
 * other, and what has not met by now will not.
 */
void smmuv3_faults_settle(Smmuv3Faults *faults);

#endif
