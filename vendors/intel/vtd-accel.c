/* SPDX-License-Identifier: MIT */
/*
 * The acceleration of one guest VT-d unit: its life, the devices behind it and the host
 * units behind those, reset.
 *
 * Invariants: each device has a host unit here, shared by those whose host's registers are
 * equal, which is what makes Linux take one nesting parent for both; it lives as long as a
 * device behind it is attached. What a guest descriptor concerns is found by indexes.
 *
 * Up the path: the VMM. Down the path: core/core.h. Beside: vtd-accel-bindings.c.
 */

#include "vtd.h"

/* --- made and freed ---------------------------------------------------------------------
 */

static gboolean check_config(const ViommuVtdAccelConfig *config, GError **error)
{
    const char *missing = NULL;

    if (!config->read_context)
        missing = "read_context";
    if (!config->read_pasid_entry)
        missing = "read_pasid_entry";
    if (!config->find_pasid && viommui_field_get(config->ecap, ECAP_PASID))
        missing = "find_pasid";
    if (!config->refused)
        missing = "refused";
    if (!missing)
        return viommui_vtd_check_guest_caps(config->cap, config->ecap, error);
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "the callback %s is missing",
                missing);
    return FALSE;
}

static void device_free(gpointer data)
{
    ViommuiVtdDevice *device = data;

    g_hash_table_unref(device->pasids);
    g_hash_table_unref(device->requests);
    g_free(device);
}

ViommuVtdAccel *viommu_vtd_accel_new(const ViommuVtdAccelConfig *config, GError **error)
{
    ViommuVtdAccel *accel;

    if (!check_config(config, error))
        return NULL;
    accel = g_new0(ViommuVtdAccel, 1);
    accel->config = *config;
    accel->hosts = g_ptr_array_new();
    accel->by_device = g_hash_table_new_full(NULL, NULL, NULL, device_free);
    accel->by_rid = viommui_index_new();
    accel->pasid_devices = g_hash_table_new(NULL, NULL);
    accel->by_did = viommui_index_new();
    accel->by_did_pasid = viommui_index_new();
    accel->unsettled = viommui_index_new();
    accel->all_unsettled = g_hash_table_new(NULL, NULL);
    accel->put_off = g_hash_table_new(NULL, NULL);
    accel->hwpts = g_hash_table_new(NULL, NULL);
    accel->hwpt_by_did = viommui_index_new();
    accel->hwpt_by_did_pasid = viommui_index_new();
    accel->queued = g_ptr_array_new();
    accel->shadows = g_ptr_array_new();
    accel->shadow_by_did = viommui_index_new();
    return accel;
}

void viommu_vtd_accel_free(ViommuVtdAccel *accel)
{
    GList *devices;

    if (!accel)
        return;
    devices = g_hash_table_get_keys(accel->by_device);
    for (GList *l = devices; l; l = l->next)
        viommu_vtd_accel_detach_device(accel, l->data);
    g_list_free(devices);
    viommui_index_free(accel->shadow_by_did);
    g_ptr_array_unref(accel->shadows);
    g_ptr_array_unref(accel->queued);
    viommui_index_free(accel->hwpt_by_did_pasid);
    viommui_index_free(accel->hwpt_by_did);
    g_hash_table_unref(accel->hwpts);
    g_hash_table_unref(accel->put_off);
    g_hash_table_unref(accel->all_unsettled);
    viommui_index_free(accel->unsettled);
    viommui_index_free(accel->by_did_pasid);
    viommui_index_free(accel->by_did);
    g_hash_table_unref(accel->pasid_devices);
    viommui_index_free(accel->by_rid);
    g_hash_table_unref(accel->by_device);
    g_ptr_array_unref(accel->hosts);
    g_free(accel);
}

/* --- host units -------------------------------------------------------------------------
 */

static void watch(ViommuVtdAccel *accel, ViommuiVtdHost *host, gboolean on)
{
    int fd = viommui_host_viommu_get_page_request_fd(host->viommu);

    if (accel->config.watch_fd && fd >= 0)
        accel->config.watch_fd(fd, on, accel->config.user_data);
}

static ViommuiVtdHost *host_new(ViommuVtdAccel *accel, ViommuHostDevice *device,
                                GError **error)
{
    const ViommuHostDeviceInfo *info = viommu_host_device_get_info(device);
    const ViommuiHostViommuConfig config = {
        .type = VIOMMUI_DATA_VTD,
        .nest = info->can_nest,
        .pasids = !!viommui_field_get(accel->config.ecap, ECAP_PASID),
        .page_requests = !!viommui_field_get(accel->config.ecap, ECAP_PRS),
    };
    ViommuiHostViommu *viommu = viommui_host_viommu_new(device, &config, error);
    ViommuiVtdHost *host;

    if (!viommu)
        return NULL;
    host = g_new0(ViommuiVtdHost, 1);
    host->host = viommui_host_device_get_host(device);
    host->cap = info->vtd.cap;
    host->ecap = info->vtd.ecap;
    host->viommu = viommu;
    host->by_devid = g_hash_table_new(NULL, NULL);
    g_ptr_array_add(accel->hosts, host);
    watch(accel, host, TRUE);
    return host;
}

/* Drop it with the last device behind it. */
static void host_release(ViommuVtdAccel *accel, ViommuiVtdHost *host)
{
    if (host->n_devices)
        return;
    watch(accel, host, FALSE);
    g_ptr_array_remove_fast(accel->hosts, host);
    g_hash_table_unref(host->by_devid);
    viommui_host_viommu_free(host->viommu);
    g_free(host);
}

static ViommuiVtdHost *find_host(ViommuVtdAccel *accel, ViommuHostDevice *device)
{
    const ViommuHostDeviceInfo *info = viommu_host_device_get_info(device);

    for (guint i = 0; i < accel->hosts->len; i++) {
        ViommuiVtdHost *host = accel->hosts->pdata[i];

        if (host->host == viommui_host_device_get_host(device) &&
            host->cap == info->vtd.cap && host->ecap == info->vtd.ecap)
            return host;
    }
    return NULL;
}

static ViommuiVtdHost *join_host(ViommuVtdAccel *accel, ViommuHostDevice *device,
                                 GError **error)
{
    ViommuHost *on = viommui_host_device_get_host(device);
    ViommuiVtdHost *host = find_host(accel, device);
    ViommuResult result;

    if (!host)
        host = host_new(accel, device, error);
    if (!host)
        return NULL;
    viommui_begin_set_up(on);
    result = viommui_host_device_join(device, host->viommu);
    if (viommui_end_set_up(on, result, error, "%s cannot be attached",
                           viommu_host_device_get_name(device)))
        return host;
    host_release(accel, host);
    return NULL;
}

/* --- devices ----------------------------------------------------------------------------
 */

static gboolean check_device(ViommuVtdAccel *accel, ViommuHostDevice *device,
                             ViommuVtdDeviceFlags flags, GError **error)
{
    const ViommuHostDeviceInfo *info = viommu_host_device_get_info(device);
    const char *name = viommu_host_device_get_name(device);

    if (viommui_host_device_get_viommu(device)) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s is attached already",
                    name);
        return FALSE;
    }
    if (flags & ~(guint)VIOMMU_VTD_DEVICE_PAGE_REQUESTS) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "%s: flags 0x%x are not known", name, flags);
        return FALSE;
    }
    if (viommui_field_get(accel->config.ecap, ECAP_DT) && info->ats_unavailable) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s: the guest's unit has ECAP.DT 1, the host's 0 for this device",
                    name);
        return FALSE;
    }
    return viommui_vtd_check_caps(accel->config.cap, accel->config.ecap, info, name, error);
}

static ViommuiVtdDevice *device_new(ViommuHostDevice *device, ViommuiVtdHost *host,
                                    guint16 rid, ViommuVtdDeviceFlags flags)
{
    ViommuiVtdDevice *self = g_new0(ViommuiVtdDevice, 1);

    self->device = device;
    self->host = host;
    self->rid = rid;
    self->page_requests = !!(flags & VIOMMU_VTD_DEVICE_PAGE_REQUESTS);
    self->pasids = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    viommui_vtd_binding_init(&self->rid_binding, self, VIOMMUI_NO_PASID);
    viommui_vtd_requests_init(self);
    return self;
}

static gboolean settle_device(ViommuVtdAccel *accel, ViommuiVtdDevice *device,
                              GError **error)
{
    ViommuHost *host = device->host->host;
    ViommuResult result;

    viommui_begin_set_up(host);
    result = viommui_vtd_refresh_device(accel, device);
    /* The guest is told of what is refused; what is put off comes with a descriptor. */
    if (result != VIOMMU_HOST_GONE)
        result = VIOMMU_OK;
    return viommui_end_set_up(host, result, error,
                              "%s does not take what the guest has for requester ID 0x%04x",
                              viommu_host_device_get_name(device->device), device->rid);
}

gboolean viommu_vtd_accel_attach_device(ViommuVtdAccel *accel, ViommuHostDevice *device,
                                        guint16 rid, ViommuVtdDeviceFlags flags,
                                        GError **error)
{
    ViommuiVtdDevice *self;
    ViommuiVtdHost *host;

    if (!check_device(accel, device, flags, error))
        return FALSE;
    host = join_host(accel, device, error);
    if (!host)
        return FALSE;
    self = device_new(device, host, rid, flags);
    g_hash_table_insert(accel->by_device, device, self);
    host->n_devices++;
    g_hash_table_insert(host->by_devid,
                        GUINT_TO_POINTER(viommu_host_device_get_info(device)->devid), self);
    viommui_index_add(accel->by_rid, rid, self);
    if (settle_device(accel, self, error))
        return TRUE;
    viommu_vtd_accel_detach_device(accel, device);
    return FALSE;
}

/*
 * Everything known of the requests of a device that is to go, or to have another ID. In that
 * case a PASID that could not be blocked stays, to be tried again.
 */
static void forget_bindings(ViommuVtdAccel *accel, ViommuiVtdDevice *device, gboolean goes)
{
    GHashTableIter iter;
    gpointer binding, pasid;

    viommui_vtd_flush(accel);
    viommui_vtd_requests_drop(device, NULL);
    g_hash_table_iter_init(&iter, device->pasids);
    while (g_hash_table_iter_next(&iter, &pasid, &binding)) {
        viommui_vtd_binding_forget(accel, binding);
        if (goes || !viommui_host_device_is_pending(device->device, GPOINTER_TO_UINT(pasid)))
            g_hash_table_iter_remove(&iter);
    }
    viommui_vtd_binding_forget(accel, &device->rid_binding);
    g_hash_table_remove(accel->pasid_devices, device);
}

void viommu_vtd_accel_detach_device(ViommuVtdAccel *accel, ViommuHostDevice *device)
{
    ViommuiVtdDevice *self = g_hash_table_lookup(accel->by_device, device);
    ViommuiVtdHost *host;

    if (!self)
        return;
    host = self->host;
    forget_bindings(accel, self, TRUE);
    viommui_host_device_leave(device);
    viommui_index_remove(accel->by_rid, self->rid, self);
    g_hash_table_remove(host->by_devid,
                        GUINT_TO_POINTER(viommu_host_device_get_info(device)->devid));
    g_hash_table_remove(accel->by_device, device);
    host->n_devices--;
    host_release(accel, host);
}

gboolean viommu_vtd_accel_set_requester_id(ViommuVtdAccel *accel, ViommuHostDevice *device,
                                           guint16 rid, GError **error)
{
    ViommuiVtdDevice *self = g_hash_table_lookup(accel->by_device, device);

    if (!self) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s is not attached",
                    viommu_host_device_get_name(device));
        return FALSE;
    }
    forget_bindings(accel, self, FALSE);
    viommui_index_remove(accel->by_rid, self->rid, self);
    self->rid = rid;
    viommui_index_add(accel->by_rid, rid, self);
    return settle_device(accel, self, error);
}

/* --- all of them ------------------------------------------------------------------------
 */

ViommuResult viommu_vtd_accel_refresh(ViommuVtdAccel *accel)
{
    ViommuResult worst = VIOMMU_OK;
    GHashTableIter iter;
    gpointer device;

    viommui_vtd_flush(accel);
    g_hash_table_iter_init(&iter, accel->by_device);
    while (g_hash_table_iter_next(&iter, NULL, &device)) {
        ViommuResult result = viommui_vtd_refresh_device(accel, device);

        worst = MIN(worst, result);
    }
    return worst;
}

static gboolean set_blocked(ViommuVtdAccel *accel, gboolean blocked, const char *state,
                            GError **error)
{
    gboolean ok = TRUE;
    GHashTableIter iter;
    gpointer device;

    accel->blocked = blocked;
    viommui_vtd_flush(accel);
    g_hash_table_iter_init(&iter, accel->by_device);
    while (g_hash_table_iter_next(&iter, NULL, &device)) {
        ViommuiVtdDevice *self = device;
        ViommuResult result;

        viommui_begin_set_up(self->host->host);
        result = viommui_vtd_refresh_device(accel, self);
        /* The first error is the one to report. */
        if (!viommui_end_set_up(self->host->host, result, ok ? error : NULL,
                                "%s could not be %s",
                                viommu_host_device_get_name(self->device), state))
            ok = FALSE;
    }
    return ok;
}

gboolean viommu_vtd_accel_block(ViommuVtdAccel *accel, GError **error)
{
    return set_blocked(accel, TRUE, "blocked", error);
}

gboolean viommu_vtd_accel_release(ViommuVtdAccel *accel, GError **error)
{
    return set_blocked(accel, FALSE, "released", error);
}
