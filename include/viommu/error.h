/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_ERROR_H
#define VIOMMU_ERROR_H

#include <glib.h>

G_BEGIN_DECLS

/*
 * Errors have a class, because what the guest gets to see depends on it.
 *
 * Data-path calls return a ViommuResult: 0 is success, every failure is negative. What
 * was wrong, with its value, goes to the trace callback (viommu/trace.h). Set-up calls
 * return TRUE for success, or FALSE with a GError of this domain. No call does both.
 */
typedef enum {
    VIOMMU_OK = 0,
    /* The guest asked for what the architecture, or the host on its behalf, refuses. */
    VIOMMU_GUEST_INVALID = -1,
    /* Legal for the guest, but this host, backend or version cannot do it. */
    VIOMMU_UNSUPPORTED = -2,
    /* It may succeed later: the library has already retried as far as that makes sense. */
    VIOMMU_TRANSIENT = -3,
    /* The device or the host's IOMMU no longer answers; it will not get better. */
    VIOMMU_HOST_GONE = -4,
} ViommuResult;

/* "ok", "guest invalid", "unsupported", "transient", "host gone"; static. */
const char *viommu_result_name(ViommuResult result);

#define VIOMMU_ERROR (viommu_error_quark())
GQuark viommu_error_quark(void);

typedef enum {
    /* What the VMM passed is wrong, or the call does not fit the object's state. */
    VIOMMU_ERROR_INVALID,
    VIOMMU_ERROR_UNSUPPORTED,
    VIOMMU_ERROR_TRANSIENT,
    VIOMMU_ERROR_HOST_GONE,
} ViommuError;

G_END_DECLS

#endif
