/* SPDX-License-Identifier: MIT */
#ifndef TRACE_VTD_FAULTS_H
#define TRACE_VTD_FAULTS_H

#include "faults.h"

#include <viommu/vtd.h>

/* The fault recording registers of a VT-d unit (11.4.7.5), as faults. */
typedef struct {
    ViommuVtd *vtd;
    gboolean known[256]; /* by register: its fault is told already */
} VtdRecords;

/* Of a VtdRecords. */
extern const TraceFaultsOps vtd_faults_ops;

/* The guest has written a register: what is recorded now comes of no DMA to come. */
void vtd_records_follow(VtdRecords *records);
/* FALSE: the difference of an R line of a record is none to be excused. */
gboolean vtd_records_excuse(const VtdRecords *records, const TraceLine *line, guint64 ours,
                            TraceResult *result);

#endif
