/* SPDX-License-Identifier: MIT */
/*
 * The slots of what a backend lacks: each refuses, and has nothing to free.
 *
 * Up the path: core, which takes EOPNOTSUPP for VIOMMU_UNSUPPORTED.
 */

#include "backends/unsupported.h"

#include <errno.h>

int viommui_unsupported_hwpt_alloc(ViommuiBackendViommu *viommu,
                                   ViommuiBackendDevice *device, const void *data,
                                   gsize size, ViommuiFaultQueue *faults, guint32 *ret_hwpt)
{
    (void)viommu;
    (void)device;
    (void)data;
    (void)size;
    (void)faults;
    (void)ret_hwpt;
    return -EOPNOTSUPP;
}

void viommui_unsupported_hwpt_free(ViommuiBackendViommu *viommu, guint32 hwpt)
{
    (void)viommu;
    (void)hwpt;
}

int viommui_unsupported_invalidate(ViommuiBackendViommu *viommu, guint32 hwpt,
                                   const void *entries, gsize entry_size, guint n)
{
    (void)viommu;
    (void)hwpt;
    (void)entries;
    (void)entry_size;
    (void)n;
    return -EOPNOTSUPP;
}

int viommui_unsupported_vdevice_alloc(ViommuiBackendViommu *viommu,
                                      ViommuiBackendDevice *device, guint64 virt_id)
{
    (void)viommu;
    (void)device;
    (void)virt_id;
    return -EOPNOTSUPP;
}

void viommui_unsupported_vdevice_free(ViommuiBackendDevice *device)
{
    (void)device;
}

gboolean viommui_unsupported_event_queue_new(ViommuiBackendViommu *viommu, guint depth,
                                             ViommuiEventQueue **ret_queue, int *ret_fd,
                                             GError **error)
{
    (void)viommu;
    (void)ret_queue;
    (void)ret_fd;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "no event queue of depth %u: this backend has no events", depth);
    return FALSE;
}

void viommui_unsupported_event_queue_free(ViommuiEventQueue *queue)
{
    (void)queue;
}

int viommui_unsupported_read_events(ViommuiEventQueue *queue, void *events,
                                    gsize event_size, gsize max_events, gsize *ret_n_events,
                                    guint64 *ret_n_lost)
{
    (void)queue;
    (void)events;
    (void)event_size;
    (void)max_events;
    *ret_n_events = 0;
    *ret_n_lost = 0;
    return -EOPNOTSUPP;
}

gboolean viommui_unsupported_fault_queue_new(ViommuiBackendViommu *viommu,
                                             ViommuiFaultQueue **ret_queue, int *ret_fd,
                                             GError **error)
{
    (void)viommu;
    (void)ret_queue;
    (void)ret_fd;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "no queue of page requests: this backend has none");
    return FALSE;
}

void viommui_unsupported_fault_queue_free(ViommuiFaultQueue *queue)
{
    (void)queue;
}

int viommui_unsupported_read_page_requests(ViommuiFaultQueue *queue,
                                           ViommuiPageRequest *requests, gsize max,
                                           gsize *ret_n)
{
    (void)queue;
    (void)requests;
    (void)max;
    *ret_n = 0;
    return -EOPNOTSUPP;
}

int viommui_unsupported_respond(ViommuiFaultQueue *queue, guint32 cookie, gboolean success)
{
    (void)queue;
    (void)cookie;
    (void)success;
    return -EOPNOTSUPP;
}
