/* SPDX-License-Identifier: MIT */
/*
 * The life of a guest SMMUv3: made, host devices put behind it and taken away, reset.
 *
 * Invariants: `devices` holds exactly the devices that the accel layer has, `by_sid` those
 * of them with a StreamID. What is offered follows the devices until the guest has seen
 * it, and the accel layer always decodes by what is offered.
 *
 * Up the path: the VMM, by viommu/smmuv3.h. Down the path: the accel layer. Beside: the
 * other files of vsmmu.h.
 */

#include "vsmmu.h"

#include <string.h>

/* What the host's event queues hold before the guest has said how large its own is. */
enum { EVENT_DEPTH = 256 };

/* --- what is offered --------------------------------------------------------------------
 */

void viommui_smmuv3_update_offer(ViommuSmmuv3 *smmu, ViommuHostDevice *newcomer)
{
    g_autoptr(GPtrArray) hosts = NULL;
    GHashTableIter iter;
    gpointer device;

    if (smmu->frozen)
        return;
    hosts = g_ptr_array_new();
    g_hash_table_iter_init(&iter, smmu->devices);
    while (g_hash_table_iter_next(&iter, &device, NULL))
        g_ptr_array_add(hosts, (gpointer)viommu_host_device_get_info(device));
    if (newcomer)
        g_ptr_array_add(hosts, (gpointer)viommu_host_device_get_info(newcomer));
    viommui_smmuv3_begin_change(smmu);
    viommui_smmuv3_offer(&smmu->config,
                         (const ViommuHostDeviceInfo *const *)(void *)hosts->pdata,
                         hosts->len, smmu->regs.idr);
    if (hosts->len)
        viommui_smmuv3_limit_address_bits(
            &smmu->config, viommui_host_get_address_bits(smmu->host), smmu->regs.idr);
    viommui_smmuv3_end_change(smmu);
    if (smmu->accel)
        memcpy(smmu->accel->config.idr, smmu->regs.idr, sizeof smmu->regs.idr);
}

/* --- made and freed ---------------------------------------------------------------------
 */

static gboolean make_accel(ViommuSmmuv3 *smmu, GError **error)
{
    const ViommuServices *services = &smmu->config.services;
    ViommuSmmuv3AccelConfig config = {
        .event_depth = EVENT_DEPTH,
        .watch_fd = services->watch_fd,
        .user_data = services->user_data,
    };

    memcpy(config.idr, smmu->regs.idr, sizeof config.idr);
    smmu->event_depth = EVENT_DEPTH;
    smmu->accel = viommu_smmuv3_accel_new(smmu->host, &config, error);
    return smmu->accel != NULL;
}

ViommuSmmuv3 *viommu_smmuv3_new(ViommuHost *host, const ViommuSmmuv3Config *config,
                                GError **error)
{
    ViommuSmmuv3 *smmu;

    if (!viommui_smmuv3_check_config(config, error))
        return NULL;
    smmu = g_new0(ViommuSmmuv3, 1);
    smmu->host = host;
    smmu->config = *config;
    smmu->devices = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    smmu->by_sid = g_hash_table_new(NULL, NULL);
    smmu->held = TRUE;
    g_mutex_init(&smmu->event_lock);
    viommui_smmuv3_endpoints_init(smmu);
    viommui_smmuv3_registers_reset(smmu);
    viommui_smmuv3_update_offer(smmu, NULL);
    if (!host || make_accel(smmu, error))
        return smmu;
    viommu_smmuv3_free(smmu);
    return NULL;
}

void viommu_smmuv3_free(ViommuSmmuv3 *smmu)
{
    if (!smmu)
        return;
    viommu_smmuv3_accel_free(smmu->accel);
    viommui_smmuv3_endpoints_clear(smmu);
    g_mutex_clear(&smmu->event_lock);
    g_hash_table_unref(smmu->by_sid);
    g_hash_table_unref(smmu->devices);
    g_free(smmu);
}

/* --- host devices -----------------------------------------------------------------------
 */

static void set_sid(ViommuSmmuv3 *smmu, ViommuiSmmuv3HostStream *stream, guint32 sid)
{
    if (stream->sid != VIOMMU_SMMUV3_SID_UNKNOWN)
        g_hash_table_remove(smmu->by_sid, GUINT_TO_POINTER(stream->sid));
    if (sid != VIOMMU_SMMUV3_SID_UNKNOWN)
        g_hash_table_insert(smmu->by_sid, GUINT_TO_POINTER(sid), stream);
    stream->sid = sid;
    stream->follows = FALSE;
    stream->event = 0;
}

/*
 * Its stream has what registers and table say, or aborts: the guest is told of what it did
 * wrong, and what is put off comes with its next command. FALSE: it will never be.
 */
static gboolean settle(ViommuSmmuv3 *smmu, ViommuiSmmuv3HostStream *stream, GError **error)
{
    if (viommui_smmuv3_refresh_stream(smmu, stream->sid) != VIOMMU_HOST_GONE)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE,
                "%s does not take what the guest has for StreamID 0x%x",
                viommu_host_device_get_name(stream->device), stream->sid);
    return FALSE;
}

static gboolean attach(ViommuSmmuv3 *smmu, ViommuHostDevice *device, guint32 sid,
                       GError **error)
{
    viommui_smmuv3_update_offer(smmu, device);
    if (!viommui_smmuv3_check_device(smmu->regs.idr, device, error) ||
        !viommu_smmuv3_accel_attach_device(smmu->accel, device, sid, error))
        return FALSE;
    /* Now that its SMMU has a nesting parent, what can be mapped is known. */
    viommui_smmuv3_update_offer(smmu, device);
    if (viommui_smmuv3_check_address_bits(
            smmu->regs.idr, viommui_host_get_address_bits(smmu->host), device, error))
        return TRUE;
    viommu_smmuv3_accel_detach_device(smmu->accel, device);
    return FALSE;
}

gboolean viommu_smmuv3_attach_device(ViommuSmmuv3 *smmu, ViommuHostDevice *device,
                                     guint32 sid, GError **error)
{
    ViommuiSmmuv3HostStream *stream;

    if (!smmu->accel) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "%s: this SMMU was made without a host",
                    viommu_host_device_get_name(device));
        return FALSE;
    }
    if (!attach(smmu, device, sid, error)) {
        viommui_smmuv3_update_offer(smmu, NULL);
        return FALSE;
    }
    stream = g_new0(ViommuiSmmuv3HostStream, 1);
    stream->device = device;
    stream->sid = VIOMMU_SMMUV3_SID_UNKNOWN;
    g_hash_table_insert(smmu->devices, device, stream);
    set_sid(smmu, stream, sid);
    if (!settle(smmu, stream, error)) {
        viommu_smmuv3_detach_device(smmu, device);
        return FALSE;
    }
    viommui_smmuv3_deliver_interrupts(smmu);
    return TRUE;
}

void viommu_smmuv3_detach_device(ViommuSmmuv3 *smmu, ViommuHostDevice *device)
{
    ViommuiSmmuv3HostStream *stream = g_hash_table_lookup(smmu->devices, device);

    if (!stream)
        return;
    /* Its last events go with the host's queue. */
    viommui_smmuv3_drain_host_events(smmu);
    set_sid(smmu, stream, VIOMMU_SMMUV3_SID_UNKNOWN);
    viommu_smmuv3_accel_detach_device(smmu->accel, device);
    g_hash_table_remove(smmu->devices, device);
    viommui_smmuv3_update_offer(smmu, NULL);
    viommui_smmuv3_deliver_interrupts(smmu);
}

gboolean viommu_smmuv3_set_stream_id(ViommuSmmuv3 *smmu, ViommuHostDevice *device,
                                     guint32 sid, GError **error)
{
    ViommuiSmmuv3HostStream *stream = g_hash_table_lookup(smmu->devices, device);
    gboolean ok;

    if (!stream) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s is not attached",
                    viommu_host_device_get_name(device));
        return FALSE;
    }
    /* Events that wait have the old StreamID. */
    viommui_smmuv3_drain_host_events(smmu);
    set_sid(smmu, stream, VIOMMU_SMMUV3_SID_UNKNOWN);
    ok = viommu_smmuv3_accel_set_stream_id(smmu->accel, device, sid, error);
    if (ok) {
        set_sid(smmu, stream, sid);
        ok = settle(smmu, stream, error);
    }
    viommui_smmuv3_deliver_interrupts(smmu);
    return ok;
}

/* --- reset ------------------------------------------------------------------------------
 */

static void forget_streams_told(ViommuSmmuv3 *smmu)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, smmu->devices);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        ViommuiSmmuv3HostStream *stream = value;

        stream->follows = FALSE;
        stream->event = 0;
    }
}

static void set_blocked(ViommuSmmuv3 *smmu, gboolean blocked)
{
    viommui_smmuv3_begin_change(smmu);
    smmu->blocked = blocked;
    viommui_smmuv3_end_change(smmu);
}

gboolean viommu_smmuv3_block(ViommuSmmuv3 *smmu, GError **error)
{
    set_blocked(smmu, TRUE);
    smmu->frozen = FALSE;
    forget_streams_told(smmu);
    return !smmu->accel || viommu_smmuv3_accel_block(smmu->accel, error);
}

gboolean viommu_smmuv3_release(ViommuSmmuv3 *smmu, GError **error)
{
    gboolean bypass;

    viommui_smmuv3_registers_reset(smmu);
    viommui_smmuv3_update_offer(smmu, NULL);
    set_blocked(smmu, FALSE);
    smmu->held = FALSE;
    smmu->lost = FALSE;
    forget_streams_told(smmu);
    bypass = !viommui_field_get(smmu->regs.gbpa, GBPA_ABORT);
    return !smmu->accel || viommu_smmuv3_accel_release(smmu->accel, bypass, error);
}
