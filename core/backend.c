/* SPDX-License-Identifier: MIT */
/*
 * The wrappers around a backend's data-path slots: each calls, turns an errno into its
 * class, and traces.
 *
 * Up the path: the rest of core/. Down the path: the backend. Nobody else calls a slot of
 * the data path that may fail.
 */

#include "private.h"

static ViommuResult finish(ViommuHost *host, ViommuHostDevice *device, ViommuiCall call,
                           int err, ViommuTracePoint point, guint64 value)
{
    ViommuResult result = err ? host->ops->classify(call, err) : VIOMMU_OK;

    viommui_trace(host, device, point, result, value);
    if (result != VIOMMU_OK)
        viommui_refuse(host, device, result,
                       "host call \"%s\" (%" G_GUINT64_FORMAT ") failed: %s",
                       viommu_trace_point_name(point), value, g_strerror(err));
    return result;
}

ViommuResult viommui_backend_hwpt_alloc(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                        const ViommuiStage1 *stage1, guint32 *ret_hwpt)
{
    guint32 hwpt = 0;
    int err =
        -hv->host->ops->hwpt_alloc(hv->backend, device->backend, stage1->data, stage1->size,
                                   stage1->page_requests ? hv->faults : NULL, &hwpt);

    if (!err)
        *ret_hwpt = hwpt;
    return finish(hv->host, device, VIOMMUI_CALL_HWPT_ALLOC, err, VIOMMU_TRACE_HWPT_ALLOC,
                  hwpt);
}

void viommui_backend_hwpt_free(ViommuiHostViommu *hv, guint32 hwpt)
{
    hv->host->ops->hwpt_free(hv->backend, hwpt);
    viommui_trace(hv->host, NULL, VIOMMU_TRACE_HWPT_FREE, VIOMMU_OK, hwpt);
}

/* Attach is where the host enforces reserved regions, so that is said where it applies. */
static void explain_reserved(ViommuHostDevice *device, ViommuResult result)
{
    guint64 gpa;

    for (gsize i = 0; i < device->info.n_reserved; i++) {
        const ViommuReservedRegion *region = &device->info.reserved[i];

        if (viommui_host_find_mapped(device->host, region->start, region->last, &gpa))
            viommui_refuse(device->host, device, result,
                           "guest memory mapped at 0x%" G_GINT64_MODIFIER
                           "x overlaps the %s region 0x%" G_GINT64_MODIFIER
                           "x-0x%" G_GINT64_MODIFIER "x of the device",
                           gpa, region->msi ? "MSI" : "reserved", region->start,
                           region->last);
    }
}

/* A plain parent goes as far as its IOMMU does, whatever was mapped before. */
static void explain_last(ViommuHostDevice *device, ViommuResult result)
{
    ViommuHost *host = device->host;
    guint64 last = G_MAXUINT64, gpa;

    host->ops->space_get_last(host->space, &last);
    if (last != G_MAXUINT64 && viommui_host_find_mapped(host, last + 1, G_MAXUINT64, &gpa))
        viommui_refuse(host, device, result,
                       "guest memory mapped at 0x%" G_GINT64_MODIFIER
                       "x goes beyond 0x%" G_GINT64_MODIFIER
                       "x, the last address that can be mapped",
                       gpa, last);
}

static void explain_attach(const ViommuiSlot *slot, ViommuResult result, gboolean faults)
{
    ViommuHostDevice *device = slot->device;

    if (slot->wanted.kind == VIOMMUI_IDENTITY && result == VIOMMU_UNSUPPORTED)
        explain_last(device, result);
    if (slot->pasid == VIOMMUI_NO_PASID)
        explain_reserved(device, result);
    else
        viommui_refuse(device->host, device, result, "that was PASID %u of %s", slot->pasid,
                       device->name);
    if (faults && result == VIOMMU_UNSUPPORTED)
        viommui_refuse(device->host, device, result,
                       "page requests were asked for: does %s have them?", device->name);
}

ViommuResult viommui_backend_attach(const ViommuiSlot *slot, guint32 hwpt)
{
    ViommuHostDevice *device = slot->device;
    ViommuHost *host = device->host;
    gboolean faults = slot->wanted.config && slot->wanted.config->page_requests;
    ViommuiCall call = faults ? VIOMMUI_CALL_ATTACH_WITH_FAULTS : VIOMMUI_CALL_ATTACH;
    int err = -host->ops->attach(device->backend, slot->pasid, hwpt);
    ViommuResult result = finish(host, device, call, err, VIOMMU_TRACE_ATTACH, hwpt);

    if (result != VIOMMU_OK && viommui_tracing(host))
        explain_attach(slot, result, faults);
    return result;
}

ViommuResult viommui_backend_detach(const ViommuiSlot *slot)
{
    ViommuHostDevice *device = slot->device;
    ViommuHost *host = device->host;
    int err, tries = 0;

    /* The last resort against stale tables: here any failure is worth another try. */
    do
        err = -host->ops->detach(device->backend, slot->pasid);
    while (err && ++tries < 3);
    return finish(host, device, VIOMMUI_CALL_DETACH, err, VIOMMU_TRACE_DETACH, 0);
}

ViommuResult viommui_backend_invalidate(ViommuiHostViommu *hv, guint32 hwpt,
                                        const void *entries, gsize entry_size, guint n)
{
    int err = -hv->host->ops->invalidate(hv->backend, hwpt, entries, entry_size, n);

    return finish(hv->host, NULL, VIOMMUI_CALL_INVALIDATE, err, VIOMMU_TRACE_INVALIDATE, n);
}

ViommuResult viommui_backend_vdevice_alloc(ViommuHostDevice *device, guint64 virt_id)
{
    ViommuHost *host = device->host;
    int err = -host->ops->vdevice_alloc(device->viommu->backend, device->backend, virt_id);

    return finish(host, device, VIOMMUI_CALL_VDEVICE, err, VIOMMU_TRACE_VDEVICE, virt_id);
}

void viommui_backend_vdevice_free(ViommuHostDevice *device)
{
    device->host->ops->vdevice_free(device->backend);
}

ViommuResult viommui_backend_read_events(ViommuiHostViommu *hv, void *events,
                                         gsize event_size, gsize max_events,
                                         gsize *ret_n_events, guint64 *ret_n_lost)
{
    ViommuHost *host = hv->host;
    int err = -host->ops->read_events(hv->events, events, event_size, max_events,
                                      ret_n_events, ret_n_lost);

    if (*ret_n_lost)
        viommui_trace(host, NULL, VIOMMU_TRACE_EVENTS_LOST, VIOMMU_OK, *ret_n_lost);
    return finish(host, NULL, VIOMMUI_CALL_EVENTS, err, VIOMMU_TRACE_EVENTS, *ret_n_events);
}

ViommuResult viommui_backend_read_page_requests(ViommuiHostViommu *hv,
                                                ViommuiPageRequest *requests, gsize max,
                                                gsize *ret_n)
{
    int err = -hv->host->ops->read_page_requests(hv->faults, requests, max, ret_n);

    return finish(hv->host, NULL, VIOMMUI_CALL_PAGE_REQUESTS, err,
                  VIOMMU_TRACE_PAGE_REQUESTS, *ret_n);
}

ViommuResult viommui_backend_respond(ViommuiHostViommu *hv, guint32 cookie,
                                     gboolean success)
{
    int err = -hv->host->ops->respond(hv->faults, cookie, success);

    return finish(hv->host, NULL, VIOMMUI_CALL_PAGE_RESPONSE, err,
                  VIOMMU_TRACE_PAGE_RESPONSE, cookie);
}

gboolean viommui_backend_can_track_dirty(const ViommuiHostViommu *hv)
{
    return hv->host->ops->viommu_can_track_dirty(hv->backend);
}

ViommuResult viommui_backend_set_dirty_tracking(ViommuiHostViommu *hv, gboolean on)
{
    int err = -hv->host->ops->set_dirty_tracking(hv->backend, on);

    return finish(hv->host, NULL, VIOMMUI_CALL_DIRTY, err, VIOMMU_TRACE_DIRTY_TRACKING,
                  (guint64)on);
}

ViommuResult viommui_backend_get_dirty(ViommuiHostViommu *hv, guint64 gpa, guint64 size,
                                       guint64 *bitmap, gboolean keep)
{
    int err = -hv->host->ops->get_dirty(hv->backend, gpa, size, bitmap, keep);

    return finish(hv->host, NULL, VIOMMUI_CALL_DIRTY, err, VIOMMU_TRACE_DIRTY_READ, gpa);
}

/* --- tables ------------------------------------------------------------------------- */

ViommuResult viommui_backend_table_new(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                       ViommuiTable **ret_table, guint32 *ret_hwpt)
{
    g_autoptr(GError) error = NULL;
    ViommuResult result = VIOMMU_OK;
    guint32 hwpt = 0;

    if (hv->host->ops->table_new(hv->backend, device->backend, ret_table, &hwpt, &error))
        *ret_hwpt = hwpt;
    else
        result = viommui_error_to_result(error);
    viommui_trace(hv->host, device, VIOMMU_TRACE_TABLE_NEW, result, hwpt);
    if (error)
        viommui_refuse(hv->host, device, result, "%s", error->message);
    return result;
}

gboolean viommui_backend_table_free(ViommuiHostViommu *hv, ViommuiTable *table,
                                    guint32 hwpt)
{
    gboolean freed = hv->host->ops->table_free(table);

    viommui_trace(hv->host, NULL, VIOMMU_TRACE_TABLE_FREE,
                  freed ? VIOMMU_OK : VIOMMU_HOST_GONE, hwpt);
    return freed;
}

ViommuResult viommui_backend_table_map(ViommuiHostViommu *hv, ViommuiTable *table,
                                       guint64 iova, guint64 gpa, guint64 size,
                                       ViommuMapFlags flags)
{
    int err = -hv->host->ops->table_map(table, iova, gpa, size, flags);

    return finish(hv->host, NULL, VIOMMUI_CALL_TABLE_MAP, err, VIOMMU_TRACE_TABLE_MAP,
                  iova);
}

ViommuResult viommui_backend_table_unmap(ViommuiHostViommu *hv, ViommuiTable *table,
                                         guint64 iova, guint64 size)
{
    int err, tries = 0;

    /* As a detach: what stays mapped is stale. */
    do
        err = -hv->host->ops->table_unmap(table, iova, size);
    while (err && ++tries < 3);
    return finish(hv->host, NULL, VIOMMUI_CALL_TABLE_UNMAP, err, VIOMMU_TRACE_TABLE_UNMAP,
                  iova);
}

ViommuResult viommui_backend_table_settle(ViommuiHostViommu *hv, ViommuiTable *table)
{
    int err = -hv->host->ops->table_settle(table);

    return err ? finish(hv->host, NULL, VIOMMUI_CALL_TABLE_UNMAP, err,
                        VIOMMU_TRACE_TABLE_UNMAP, 0)
               : VIOMMU_OK;
}

guint64 viommui_backend_table_get_last(ViommuiHostViommu *hv, ViommuiTable *table)
{
    guint64 last = G_MAXUINT64;

    hv->host->ops->table_get_last(table, &last);
    return last;
}
