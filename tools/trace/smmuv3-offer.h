/* SPDX-License-Identifier: MIT */
#ifndef TRACE_SMMUV3_OFFER_H
#define TRACE_SMMUV3_OFFER_H

#include "vendor.h"

#include <viommu-emulator/emulator.h>
#include <viommu/smmuv3.h>

/*
 * What a recorded SMMUv3 offered its guest, and what the device offers in the replay: the
 * same, or less where that is excused, by register and field.
 */

/* Ask for what the guest was offered, where it looked; else AUTO. */
void smmuv3_offer_config(const TraceSurvey *survey, ViommuSmmuv3Config *config);
guint smmuv3_offer_stream_bits(const TraceSurvey *survey);
gboolean smmuv3_offer_has_ats(const TraceSurvey *survey);
/* A host SMMU that can keep it. */
void smmuv3_offer_host(ViommuEmulatorSmmuv3Config *host);

/* An identification register. */
gboolean smmuv3_offer_is_id(guint64 offset);
/* FALSE: the difference of an R line to what the device reads as is none to be excused. */
gboolean smmuv3_offer_excuse(const TraceLine *line, guint64 ours, TraceResult *result);

#endif
