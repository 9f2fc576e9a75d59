/* SPDX-License-Identifier: MIT */
#ifndef TRACE_VTD_OFFER_H
#define TRACE_VTD_OFFER_H

#include "vendor.h"

#include <viommu-emulator/emulator.h>
#include <viommu/vtd.h>

/*
 * What a recorded VT-d unit offered its guest, and what the device offers in the replay:
 * the same, but for what cannot be asked for, which is excused by register and field.
 */

/* Ask for what the guest was offered, where it looked; else AUTO. */
void vtd_offer_config(const TraceSurvey *survey, ViommuVtdConfig *config);
/* A device that can keep it. */
void vtd_offer_device(const TraceSurvey *survey, ViommuEmulatorDeviceConfig *device);
ViommuVtdDeviceFlags vtd_offer_device_flags(const TraceSurvey *survey);
/* The guest was told to say when an entry becomes present (CAP.CM). */
gboolean vtd_offer_has_caching_mode(const TraceSurvey *survey);

/* FALSE: the difference of an R line to what the device reads as is none to be excused. */
gboolean vtd_offer_excuse(const TraceLine *line, guint64 ours, TraceResult *result);

#endif
