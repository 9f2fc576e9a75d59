/* SPDX-License-Identifier: MIT */
#ifndef TRACE_SMMUV3_FAULTS_H
#define TRACE_SMMUV3_FAULTS_H

#include "faults.h"

#include <viommu/smmuv3.h>

/* The events that an SMMUv3 puts into its guest's queue, as faults. */
typedef struct {
    ViommuSmmuv3 *smmu;
    const TraceMemory *memory;
    guint32 seen; /* EVENTQ_PROD up to which events are known */
} Smmuv3Events;

/* Of a Smmuv3Events. */
extern const TraceFaultsOps smmuv3_faults_ops;

/* The guest has set EVENTQ_PROD. */
void smmuv3_events_restart(Smmuv3Events *events);

#endif
