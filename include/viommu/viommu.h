/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_VIOMMU_H
#define VIOMMU_VIOMMU_H

/* Everything of libviommu that every build has; vendors have headers of their own. */

#include <viommu/error.h>
#include <viommu/host-device.h>
#include <viommu/host.h>
#include <viommu/seam.h>
#include <viommu/trace.h>

G_BEGIN_DECLS

/* "MAJOR.MINOR.PATCH" of the library that is running; static. */
const char *viommu_version(void);

/* The vendors in this build ("arm-smmuv3"), NULL-terminated; static. */
const char *const *viommu_vendor_names(void);

G_END_DECLS

#endif
