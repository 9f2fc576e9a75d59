/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_BACKENDS_UNSUPPORTED_H
#define VIOMMUI_BACKENDS_UNSUPPORTED_H

#include "core/backend.h"

/*
 * What a backend's ops have where it lacks something: no slot is ever NULL. As groups of
 * designated initialisers and not as a whole struct to begin from, since initialising a
 * member twice is what compilers warn of; and so the ops say what is lacking.
 */

/* clang-format off */
#define VIOMMUI_UNSUPPORTED_NESTING \
    .hwpt_alloc = viommui_unsupported_hwpt_alloc, \
    .hwpt_free = viommui_unsupported_hwpt_free, \
    .invalidate = viommui_unsupported_invalidate, \
    .vdevice_alloc = viommui_unsupported_vdevice_alloc, \
    .vdevice_free = viommui_unsupported_vdevice_free

#define VIOMMUI_UNSUPPORTED_EVENTS \
    .event_queue_new = viommui_unsupported_event_queue_new, \
    .event_queue_free = viommui_unsupported_event_queue_free, \
    .read_events = viommui_unsupported_read_events

#define VIOMMUI_UNSUPPORTED_PAGE_REQUESTS \
    .fault_queue_new = viommui_unsupported_fault_queue_new, \
    .fault_queue_free = viommui_unsupported_fault_queue_free, \
    .read_page_requests = viommui_unsupported_read_page_requests, \
    .respond = viommui_unsupported_respond
/* clang-format on */

int viommui_unsupported_hwpt_alloc(ViommuiBackendViommu *viommu,
                                   ViommuiBackendDevice *device, const void *data,
                                   gsize size, ViommuiFaultQueue *faults,
                                   guint32 *ret_hwpt);
void viommui_unsupported_hwpt_free(ViommuiBackendViommu *viommu, guint32 hwpt);
int viommui_unsupported_invalidate(ViommuiBackendViommu *viommu, guint32 hwpt,
                                   const void *entries, gsize entry_size, guint n);
int viommui_unsupported_vdevice_alloc(ViommuiBackendViommu *viommu,
                                      ViommuiBackendDevice *device, guint64 virt_id);
void viommui_unsupported_vdevice_free(ViommuiBackendDevice *device);

gboolean viommui_unsupported_event_queue_new(ViommuiBackendViommu *viommu, guint depth,
                                             ViommuiEventQueue **ret_queue, int *ret_fd,
                                             GError **error);
void viommui_unsupported_event_queue_free(ViommuiEventQueue *queue);
int viommui_unsupported_read_events(ViommuiEventQueue *queue, void *events,
                                    gsize event_size, gsize max_events, gsize *ret_n_events,
                                    guint64 *ret_n_lost);

gboolean viommui_unsupported_fault_queue_new(ViommuiBackendViommu *viommu,
                                             ViommuiFaultQueue **ret_queue, int *ret_fd,
                                             GError **error);
void viommui_unsupported_fault_queue_free(ViommuiFaultQueue *queue);
int viommui_unsupported_read_page_requests(ViommuiFaultQueue *queue,
                                           ViommuiPageRequest *requests, gsize max,
                                           gsize *ret_n);
int viommui_unsupported_respond(ViommuiFaultQueue *queue, guint32 cookie, gboolean success);

#endif
