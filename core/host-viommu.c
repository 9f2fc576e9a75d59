/* SPDX-License-Identifier: MIT */
/*
 * Host vIOMMUs: the part of one physical IOMMU that serves one guest vIOMMU.
 *
 * It comes with the forms of BLOCKED and IDENTITY that its vendor asks for, and goes in the
 * order the kernel wants: (devices detached and nameless), HWPTs, queues, then
 * the vIOMMU and its parent.
 *
 * Up the path: vendors/. Down the path: the backend's viommu slots, and backend.c.
 */

#include "private.h"

static gboolean get_form(ViommuiHostViommu *hv, ViommuHostDevice *device, const void *data,
                         gsize size, const char *form, ViommuiConfig **ret_config,
                         GError **error)
{
    ViommuResult result;

    viommui_begin_set_up(hv->host);
    result =
        viommui_config_get(hv, device, &(ViommuiStage1){data, size, FALSE}, ret_config);
    return viommui_end_set_up(hv->host, result, error,
                              "the host refuses a %s configuration for %s", form,
                              device->name);
}

static gboolean make(ViommuiHostViommu *hv, ViommuHostDevice *device,
                     const ViommuiHostViommuConfig *config, GError **error)
{
    ViommuHost *host = hv->host;

    if (hv->read_only_refused && !viommui_host_check_all_writable(host, hv->name, error))
        return FALSE;
    if (!host->ops->viommu_new(host->space, device->backend, config->type, config->pasids,
                               config->nest, &hv->backend, error))
        return FALSE;
    if (host->tracks_dirty && !viommui_host_viommu_track_dirty(hv, error))
        return FALSE;
    if (config->page_requests &&
        !host->ops->fault_queue_new(hv->backend, &hv->faults, &hv->fault_fd, error))
        return FALSE;
    if (config->data_size &&
        (!get_form(hv, device, config->blocked_data, config->data_size, "blocking",
                   &hv->blocked, error) ||
         !get_form(hv, device, config->identity_data, config->data_size, "bypassing",
                   &hv->identity, error)))
        return FALSE;
    return !config->event_depth ||
           viommui_host_viommu_set_event_depth(hv, config->event_depth, error);
}

ViommuiHostViommu *viommui_host_viommu_new(ViommuHostDevice *device,
                                           const ViommuiHostViommuConfig *config,
                                           GError **error)
{
    ViommuHost *host = device->host;
    ViommuiHostViommu *hv = g_new0(ViommuiHostViommu, 1);

    hv->host = host;
    hv->name = g_strdup(device->name);
    hv->nest = config->nest;
    hv->read_only_refused = config->nest && device->info.read_only_refused;
    hv->pasids = config->pasids;
    hv->event_fd = hv->fault_fd = -1;
    hv->invalidate_twice = config->invalidate_twice;
    viommui_host_hold(host);
    if (!make(hv, device, config, error)) {
        viommui_host_viommu_free(hv);
        return NULL;
    }
    g_ptr_array_add(host->viommus, hv);
    return hv;
}

void viommui_host_viommu_free(ViommuiHostViommu *hv)
{
    if (!hv)
        return;
    g_ptr_array_remove_fast(hv->host->viommus, hv);
    viommui_config_unref(hv->blocked);
    viommui_config_unref(hv->identity);
    if (hv->events)
        hv->host->ops->event_queue_free(hv->events);
    if (hv->faults)
        hv->host->ops->fault_queue_free(hv->faults);
    if (hv->backend)
        hv->host->ops->viommu_free(hv->backend);
    viommui_host_let_go(hv->host);
    g_free(hv->name);
    g_free(hv);
}

static gboolean make_events(ViommuiHostViommu *hv, guint depth, GError **error)
{
    return hv->host->ops->event_queue_new(hv->backend, depth, &hv->events, &hv->event_fd,
                                          error);
}

gboolean viommui_host_viommu_set_event_depth(ViommuiHostViommu *hv, guint depth,
                                             GError **error)
{
    if (hv->events)
        hv->host->ops->event_queue_free(hv->events);
    hv->events = NULL;
    hv->event_fd = -1;
    if (!make_events(hv, depth, error)) {
        if (hv->event_depth)
            make_events(hv, hv->event_depth, NULL);
        return FALSE;
    }
    hv->event_depth = depth;
    return TRUE;
}

int viommui_host_viommu_get_event_fd(ViommuiHostViommu *hv)
{
    return hv->event_fd;
}

ViommuResult viommui_host_viommu_read_events(ViommuiHostViommu *hv, void *events,
                                             gsize event_size, gsize max_events,
                                             gsize *ret_n_events, guint64 *ret_n_lost)
{
    *ret_n_events = 0;
    *ret_n_lost = 0;
    if (!hv->events)
        return VIOMMU_OK;
    return viommui_backend_read_events(hv, events, event_size, max_events, ret_n_events,
                                       ret_n_lost);
}

int viommui_host_viommu_get_page_request_fd(ViommuiHostViommu *hv)
{
    return hv->fault_fd;
}

ViommuResult viommui_host_viommu_read_page_requests(ViommuiHostViommu *hv,
                                                    ViommuiPageRequest *requests, gsize max,
                                                    gsize *ret_n)
{
    *ret_n = 0;
    if (!hv->faults)
        return VIOMMU_OK;
    return viommui_backend_read_page_requests(hv, requests, max, ret_n);
}

ViommuResult viommui_host_viommu_respond(ViommuiHostViommu *hv, guint32 cookie,
                                         gboolean success)
{
    if (!hv->faults)
        return viommui_refuse(hv->host, NULL, VIOMMU_UNSUPPORTED,
                              "page request %u: the vIOMMU was made without them", cookie);
    return viommui_backend_respond(hv, cookie, success);
}
