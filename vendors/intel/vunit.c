/* SPDX-License-Identifier: MIT */
/*
 * The life of a guest VT-d unit: made, host devices put behind it and taken away, what the
 * acceleration layer asks about the guest's tables, reset.
 *
 * Invariants: `devices` holds exactly the devices that the accel layer has. What is offered
 * follows them until the guest has seen it, and the accel layer always decodes by that.
 *
 * Up the path: the VMM, by viommu/vtd.h. Down the path: the accel layer. Beside: the other
 * files of vunit.h.
 */

#include "vunit.h"

#include <string.h>

enum { VERSION_1_0 = 0x10 };

/* --- what is offered --------------------------------------------------------------------
 */

static guint mappable_bits(ViommuVtd *vtd, ViommuHostDevice *newcomer)
{
    GHashTableIter iter;
    gpointer device;
    guint bits = 64;

    g_hash_table_iter_init(&iter, vtd->devices);
    while (g_hash_table_iter_next(&iter, &device, NULL))
        bits =
            MIN(bits, viommui_host_get_address_bits(viommui_host_device_get_host(device)));
    if (newcomer)
        bits = MIN(bits,
                   viommui_host_get_address_bits(viommui_host_device_get_host(newcomer)));
    return bits;
}

/* What host units are made for, or without, does not come while a device is behind one. */
static guint64 keep_out(guint64 ecap, guint64 kept)
{
    if (!viommui_field_get(kept, ECAP_PASID)) {
        ecap = viommui_field_set(ecap, ECAP_PASID, 0);
        ecap = viommui_field_set(ecap, ECAP_PSS, 0);
    }
    if (!viommui_field_get(kept, ECAP_PRS)) {
        ecap = viommui_field_set(ecap, ECAP_PRS, 0);
        ecap = viommui_field_set(ecap, ECAP_PDS, 0);
    }
    return ecap;
}

void viommui_vtd_update_offer(ViommuVtd *vtd, ViommuHostDevice *newcomer)
{
    g_autoptr(GPtrArray) hosts = NULL;
    guint64 kept;
    GHashTableIter iter;
    gpointer device;

    if (vtd->frozen)
        return;
    hosts = g_ptr_array_new();
    g_hash_table_iter_init(&iter, vtd->devices);
    while (g_hash_table_iter_next(&iter, &device, NULL))
        g_ptr_array_add(hosts, (gpointer)viommu_host_device_get_info(device));
    kept = hosts->len ? vtd->regs.ecap : G_MAXUINT64;
    if (newcomer)
        g_ptr_array_add(hosts, (gpointer)viommu_host_device_get_info(newcomer));
    viommui_vtd_begin_change(vtd);
    viommui_vtd_offer(&vtd->config,
                      (const ViommuHostDeviceInfo *const *)(void *)hosts->pdata, hosts->len,
                      mappable_bits(vtd, newcomer), &vtd->regs.cap, &vtd->regs.ecap);
    vtd->regs.ecap = keep_out(vtd->regs.ecap, kept);
    viommui_vtd_end_change(vtd);
    if (vtd->accel) {
        vtd->accel->config.cap = vtd->regs.cap;
        vtd->accel->config.ecap = vtd->regs.ecap;
    }
}

/* --- what the accel layer asks ----------------------------------------------------------
 */

/* A context entry is read again by whoever needs it: each time whole, and once. */
static void read_context(guint16 rid, ViommuVtdContext *ret_context, void *user_data)
{
    ViommuVtd *vtd = user_data;
    ViommuiVtdContextEntry entry;

    *ret_context = (ViommuVtdContext){.kind = VIOMMU_VTD_BLOCKED};
    if (!viommui_vtd_is_translating(vtd)) {
        if (!vtd->regs.held)
            ret_context->kind = VIOMMU_VTD_PASS_THROUGH;
        return;
    }
    entry = viommui_vtd_read_context_entry(vtd, rid);
    ret_context->fault_disabled = entry.fault_disabled;
    memcpy(ret_context->entry, entry.words, sizeof entry.words);
    if (entry.reason) {
        ret_context->fault = viommui_vtd_is_not_present(entry.reason) ? 0 : entry.reason;
    } else if (viommui_vtd_ttm(vtd) == TTM_LEGACY) {
        ret_context->kind =
            entry.tt == TT_PASS_THROUGH ? VIOMMU_VTD_PASS_THROUGH : VIOMMU_VTD_SECOND_STAGE;
        ret_context->domain_id = entry.did;
        ret_context->table = entry.table;
        ret_context->levels = entry.levels;
    } else {
        guint offered = (guint)viommui_field_get(vtd->regs.ecap, ECAP_PSS) + 1;

        ret_context->kind = VIOMMU_VTD_PASID_TABLE;
        if (entry.rid_pasid >> entry.pasid_bits)
            ret_context->fault = FR_SM_RID_PASID;
        ret_context->rid_pasid = entry.rid_pasid;
        ret_context->page_requests = entry.page_requests;
        if (entry.pasids_enabled)
            ret_context->n_pasids = 1u << MIN(entry.pasid_bits, offered);
    }
}

static guint8 read_pasid_entry(guint16 rid, guint32 pasid,
                               guint8 ret_entry[VIOMMU_VTD_PASID_ENTRY_SIZE],
                               gboolean *ret_fault_disabled, void *user_data)
{
    ViommuVtd *vtd = user_data;
    ViommuiVtdContextEntry context = viommui_vtd_read_context_entry(vtd, rid);
    guint8 reason = context.reason;

    *ret_fault_disabled = context.fault_disabled;
    if (!reason)
        reason = viommui_vtd_read_pasid_entry(vtd, &context, pasid, ret_entry,
                                              ret_fault_disabled);
    return viommui_vtd_is_not_present(reason) ? 0 : reason;
}

static gboolean read_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    const ViommuServices *services = &((ViommuVtd *)user_data)->config.services;

    return services->read_memory(gpa, data, size, services->user_data);
}

static gboolean find_pasid(guint16 rid, guint32 first, guint32 last, guint32 *ret_pasid,
                           void *user_data)
{
    ViommuVtd *vtd = user_data;
    ViommuiVtdContextEntry context = viommui_vtd_read_context_entry(vtd, rid);

    return !context.reason && viommui_vtd_find_pasid(vtd, &context, first, last, ret_pasid);
}

/* No request is at hand: it is recorded as a read. */
static void refused(const ViommuVtdRefusal *refusal, void *user_data)
{
    const ViommuiVtdFault fault = {
        .rid = refusal->requester_id,
        .pasid = refusal->pasid,
        .reason = refusal->reason,
        .address = refusal->address,
        .read = TRUE,
    };

    viommui_vtd_record_fault(user_data, &fault, refusal->fault_disabled);
}

static void watch_fd(int fd, gboolean watch, void *user_data)
{
    const ViommuServices *services = &((ViommuVtd *)user_data)->config.services;

    services->watch_fd(fd, watch, services->user_data);
}

/* --- made and freed ---------------------------------------------------------------------
 */

static gboolean make_accel(ViommuVtd *vtd, GError **error)
{
    const ViommuVtdAccelConfig config = {
        .cap = vtd->regs.cap,
        .ecap = vtd->regs.ecap,
        .read_context = read_context,
        .read_pasid_entry = read_pasid_entry,
        .find_pasid = find_pasid,
        .read_memory = read_memory,
        .refused = refused,
        .watch_fd = vtd->config.services.watch_fd ? watch_fd : NULL,
        .user_data = vtd,
    };

    vtd->accel = viommu_vtd_accel_new(&config, error);
    return vtd->accel != NULL;
}

ViommuVtd *viommu_vtd_new(const ViommuVtdConfig *config, GError **error)
{
    ViommuVtd *vtd;

    if (!viommui_vtd_check_config(config, error))
        return NULL;
    vtd = g_new0(ViommuVtd, 1);
    vtd->config = *config;
    if (!vtd->config.version)
        vtd->config.version = VERSION_1_0;
    vtd->devices = g_hash_table_new(NULL, NULL);
    g_mutex_init(&vtd->event_lock);
    viommui_vtd_endpoints_init(vtd);
    viommui_vtd_registers_reset(vtd);
    vtd->regs.held = TRUE;
    viommui_vtd_update_offer(vtd, NULL);
    if (make_accel(vtd, error))
        return vtd;
    viommu_vtd_free(vtd);
    return NULL;
}

void viommu_vtd_free(ViommuVtd *vtd)
{
    if (!vtd)
        return;
    viommu_vtd_accel_free(vtd->accel);
    viommui_vtd_endpoints_clear(vtd);
    g_mutex_clear(&vtd->event_lock);
    g_hash_table_unref(vtd->devices);
    g_free(vtd);
}

/* --- host devices -----------------------------------------------------------------------
 */

ViommuHost *viommui_vtd_get_host(ViommuVtd *vtd)
{
    GHashTableIter iter;
    gpointer device;

    g_hash_table_iter_init(&iter, vtd->devices);
    return g_hash_table_iter_next(&iter, &device, NULL)
               ? viommui_host_device_get_host(device)
               : NULL;
}

void viommui_vtd_refresh(ViommuVtd *vtd)
{
    viommu_vtd_accel_refresh(vtd->accel);
}

gboolean viommui_vtd_catch_up(ViommuVtd *vtd)
{
    gsize n_handled;

    return viommu_vtd_accel_invalidate(vtd->accel, NULL, 0, &n_handled) == VIOMMU_OK;
}

static gboolean attach(ViommuVtd *vtd, ViommuHostDevice *device, guint16 rid,
                       ViommuVtdDeviceFlags flags, GError **error)
{
    viommui_vtd_update_offer(vtd, device);
    if (!viommu_vtd_accel_attach_device(vtd->accel, device, rid, flags, error))
        return FALSE;
    /* Now that its unit has a nesting parent, what can be mapped is known. */
    viommui_vtd_update_offer(vtd, device);
    if (viommui_vtd_check_device(&vtd->config, vtd->regs.cap, mappable_bits(vtd, device),
                                 device, error))
        return TRUE;
    viommu_vtd_accel_detach_device(vtd->accel, device);
    return FALSE;
}

gboolean viommu_vtd_attach_device(ViommuVtd *vtd, ViommuHostDevice *device, guint16 rid,
                                  ViommuVtdDeviceFlags flags, GError **error)
{
    gboolean ok = attach(vtd, device, rid, flags, error);

    if (ok)
        g_hash_table_add(vtd->devices, device);
    else
        viommui_vtd_update_offer(vtd, NULL);
    viommui_vtd_deliver_interrupts(vtd);
    return ok;
}

void viommu_vtd_detach_device(ViommuVtd *vtd, ViommuHostDevice *device)
{
    if (!g_hash_table_remove(vtd->devices, device))
        return;
    viommui_vtd_move_page_requests(vtd);
    viommu_vtd_accel_detach_device(vtd->accel, device);
    viommui_vtd_update_offer(vtd, NULL);
    viommui_vtd_deliver_interrupts(vtd);
}

gboolean viommu_vtd_set_requester_id(ViommuVtd *vtd, ViommuHostDevice *device, guint16 rid,
                                     GError **error)
{
    gboolean ok;

    /* Page requests that wait have the old ID. */
    viommui_vtd_move_page_requests(vtd);
    ok = viommu_vtd_accel_set_requester_id(vtd->accel, device, rid, error);
    viommui_vtd_deliver_interrupts(vtd);
    return ok;
}

/* --- reset ------------------------------------------------------------------------------
 */

static void set_blocked(ViommuVtd *vtd, gboolean blocked)
{
    viommui_vtd_begin_change(vtd);
    vtd->blocked = blocked;
    viommui_vtd_end_change(vtd);
}

gboolean viommu_vtd_block(ViommuVtd *vtd, GError **error)
{
    set_blocked(vtd, TRUE);
    vtd->frozen = FALSE;
    return viommu_vtd_accel_block(vtd->accel, error);
}

gboolean viommu_vtd_release(ViommuVtd *vtd, GError **error)
{
    viommui_vtd_registers_reset(vtd);
    viommui_vtd_update_offer(vtd, NULL);
    set_blocked(vtd, FALSE);
    vtd->regs.held = FALSE;
    return viommu_vtd_accel_release(vtd->accel, error);
}
