/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_TRACE_H
#define VIOMMU_TRACE_H

#include <viommu/error.h>

G_BEGIN_DECLS

/*
 * Trace points. A VMM subscribes with one callback per host (viommu_host_set_trace());
 * without one, a trace point is a test of a pointer and formats nothing.
 *
 * This is also where a refusal says in words what was wrong: VIOMMU_TRACE_REFUSED.
 */
typedef enum {
    VIOMMU_TRACE_MAP,        /* value: guest-physical address */
    VIOMMU_TRACE_UNMAP,      /* value: guest-physical address */
    VIOMMU_TRACE_HWPT_ALLOC, /* value: HWPT ID */
    VIOMMU_TRACE_HWPT_FREE,  /* value: HWPT ID */
    VIOMMU_TRACE_ATTACH,     /* value: HWPT ID */
    VIOMMU_TRACE_DETACH,
    VIOMMU_TRACE_INVALIDATE,     /* value: number of entries in one host call */
    VIOMMU_TRACE_VDEVICE,        /* value: virtual device ID */
    VIOMMU_TRACE_EVENTS,         /* value: number of events read */
    VIOMMU_TRACE_EVENTS_LOST,    /* value: number of events lost */
    VIOMMU_TRACE_PAGE_REQUESTS,  /* value: number of page requests read */
    VIOMMU_TRACE_PAGE_RESPONSE,  /* value: the host's cookie of the group answered */
    VIOMMU_TRACE_DIRTY_TRACKING, /* value: 1 on, 0 off */
    VIOMMU_TRACE_DIRTY_READ,     /* value: guest-physical address of the range */
    VIOMMU_TRACE_TABLE_NEW,      /* value: HWPT ID */
    VIOMMU_TRACE_TABLE_FREE,     /* value: HWPT ID */
    VIOMMU_TRACE_TABLE_MAP,      /* value: IOVA */
    VIOMMU_TRACE_TABLE_UNMAP,    /* value: IOVA */
    VIOMMU_TRACE_PINNINGS,       /* value: as viommu_host_count_pinnings() */
    VIOMMU_TRACE_REFUSED,        /* message: what was wrong, with its value */
} ViommuTracePoint;

typedef struct {
    ViommuTracePoint point;
    ViommuResult result;
    const char *device;  /* name of the host device concerned, or NULL */
    guint64 value;       /* as the point says */
    const char *message; /* for VIOMMU_TRACE_REFUSED, else NULL */
} ViommuTraceRecord;

/*
 * Called in the thread of the call that is traced. The record and its strings live for
 * the callback only. It must not call back into the library.
 */
typedef void (*ViommuTraceFunc)(const ViommuTraceRecord *record, void *user_data);

/* "attach", "detach", ...; static. */
const char *viommu_trace_point_name(ViommuTracePoint point);

G_END_DECLS

#endif
