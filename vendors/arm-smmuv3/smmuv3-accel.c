/* SPDX-License-Identifier: MIT */
/*
 * The acceleration of one guest SMMUv3: devices and their streams, stream table
 * entries bound into host SMMUs, events back.
 *
 * Invariants: a stream without a StreamID, or whose last entry failed, aborts; `by_sid`
 * holds exactly the streams with a StreamID; each host SMMU has one host vIOMMU here, and
 * it lives as long as a device behind it is attached. What a guest command concerns is
 * found by StreamID, never by a walk over all.
 *
 * Up the path: the VMM. Down the path: core/core.h. Beside: smmuv3-accel-commands.c.
 */

#include "smmuv3.h"

enum { DEFAULT_EVENT_DEPTH = 256, MAX_EVENT_DEPTH = 1 << 19 };

ViommuSmmuv3Accel *viommu_smmuv3_accel_new(ViommuHost *host,
                                           const ViommuSmmuv3AccelConfig *config,
                                           GError **error)
{
    ViommuSmmuv3Accel *accel;

    if (!viommui_smmuv3_check_guest_idr(config->idr, error))
        return NULL;
    if (config->event_depth > MAX_EVENT_DEPTH) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "an event queue of %u entries is more than the %d that can be had",
                    config->event_depth, MAX_EVENT_DEPTH);
        return NULL;
    }
    accel = g_new0(ViommuSmmuv3Accel, 1);
    accel->host = host;
    accel->config = *config;
    if (!accel->config.event_depth)
        accel->config.event_depth = DEFAULT_EVENT_DEPTH;
    accel->hosts = g_ptr_array_new();
    accel->by_device = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    accel->by_sid = g_hash_table_new(NULL, NULL);
    accel->put_off = g_hash_table_new(NULL, NULL);
    viommui_host_hold(host);
    return accel;
}

void viommu_smmuv3_accel_free(ViommuSmmuv3Accel *accel)
{
    GList *devices;

    if (!accel)
        return;
    devices = g_hash_table_get_keys(accel->by_device);
    for (GList *l = devices; l; l = l->next)
        viommu_smmuv3_accel_detach_device(accel, l->data);
    g_list_free(devices);
    g_ptr_array_unref(accel->hosts);
    g_hash_table_unref(accel->by_device);
    g_hash_table_unref(accel->by_sid);
    g_hash_table_unref(accel->put_off);
    viommui_host_let_go(accel->host);
    g_free(accel);
}

/* --- host SMMUs -------------------------------------------------------------------------
 */

static void watch(ViommuSmmuv3Accel *accel, ViommuiSmmuv3HostSmmu *host, gboolean on)
{
    int fd = viommui_host_viommu_get_event_fd(host->viommu);

    if (accel->config.watch_fd && fd >= 0)
        accel->config.watch_fd(fd, on, accel->config.user_data);
}

static ViommuiSmmuv3HostSmmu *host_new(ViommuSmmuv3Accel *accel, ViommuHostDevice *device,
                                       GError **error)
{
    guint64 abort[2], bypass[2];
    ViommuiHostViommuConfig config = {
        .type = VIOMMUI_DATA_ARM_SMMUV3,
        .nest = TRUE,
        .blocked_data = abort,
        .identity_data = bypass,
        .data_size = sizeof abort,
        .event_depth = accel->config.event_depth,
        .invalidate_twice = viommu_host_device_get_info(device)->smmuv3.repeat_tlbi_cfgi,
    };
    ViommuiHostViommu *viommu;
    ViommuiSmmuv3HostSmmu *host;

    viommui_smmuv3_make_ste(CONFIG_ABORT, abort);
    viommui_smmuv3_make_ste(CONFIG_BYPASS, bypass);
    viommu = viommui_host_viommu_new(device, &config, error);
    if (!viommu)
        return NULL;
    host = g_new0(ViommuiSmmuv3HostSmmu, 1);
    host->viommu = viommu;
    host->batch = viommui_batch_new(viommu, NULL, VIOMMU_SMMUV3_COMMAND_SIZE);
    g_ptr_array_add(accel->hosts, host);
    watch(accel, host, TRUE);
    return host;
}

/* Drop it with the last device behind it. */
static void host_release(ViommuSmmuv3Accel *accel, ViommuiSmmuv3HostSmmu *host)
{
    if (host->n_streams)
        return;
    watch(accel, host, FALSE);
    g_ptr_array_remove_fast(accel->hosts, host);
    viommui_batch_free(host->batch);
    viommui_host_viommu_free(host->viommu);
    g_free(host);
}

/* Which host SMMU a device is behind cannot be seen: the first that takes it. */
static ViommuResult join_existing(ViommuSmmuv3Accel *accel, ViommuHostDevice *device,
                                  ViommuiSmmuv3HostSmmu **ret_host)
{
    for (guint i = 0; i < accel->hosts->len; i++) {
        ViommuiSmmuv3HostSmmu *host = accel->hosts->pdata[i];
        ViommuResult result = viommui_host_device_join(device, host->viommu);

        if (result == VIOMMU_OK)
            *ret_host = host;
        if (result != VIOMMU_UNSUPPORTED)
            return result;
    }
    return VIOMMU_UNSUPPORTED;
}

static ViommuiSmmuv3HostSmmu *join_host(ViommuSmmuv3Accel *accel, ViommuHostDevice *device,
                                        GError **error)
{
    const char *name = viommu_host_device_get_name(device);
    ViommuiSmmuv3HostSmmu *host = NULL;
    ViommuResult result;

    viommui_begin_set_up(accel->host);
    result = join_existing(accel, device, &host);
    if (result != VIOMMU_UNSUPPORTED)
        return viommui_end_set_up(accel->host, result, error, "%s cannot be attached", name)
                   ? host
                   : NULL;
    viommui_end_set_up(accel->host, result, NULL, "%s is behind another host SMMU", name);

    host = host_new(accel, device, error);
    if (!host)
        return NULL;
    viommui_begin_set_up(accel->host);
    result = viommui_host_device_join(device, host->viommu);
    if (viommui_end_set_up(accel->host, result, error, "%s cannot be attached", name))
        return host;
    host_release(accel, host);
    return NULL;
}

/* --- devices and StreamIDs --------------------------------------------------------------
 */

static ViommuiSmmuv3Stream *find_stream(ViommuSmmuv3Accel *accel, guint32 sid)
{
    return g_hash_table_lookup(accel->by_sid, GUINT_TO_POINTER(sid));
}

/* After every change: is it to be tried again with the guest's next command? */
static void note_put_off(ViommuSmmuv3Accel *accel, ViommuiSmmuv3Stream *stream)
{
    if (viommui_host_device_is_pending(stream->device, VIOMMUI_NO_PASID))
        g_hash_table_add(accel->put_off, stream);
    else
        g_hash_table_remove(accel->put_off, stream);
}

/* The stream loses its StreamID, if it has one, and so everything that went by it. */
static void forget_sid(ViommuSmmuv3Accel *accel, ViommuiSmmuv3Stream *stream)
{
    if (stream->sid != VIOMMU_SMMUV3_SID_UNKNOWN)
        g_hash_table_remove(accel->by_sid, GUINT_TO_POINTER(stream->sid));
    stream->sid = VIOMMU_SMMUV3_SID_UNKNOWN;
    stream->ats = FALSE;
    g_hash_table_remove(accel->put_off, stream);
}

static gboolean check_sid(ViommuSmmuv3Accel *accel, ViommuHostDevice *device, guint32 sid,
                          GError **error)
{
    guint sidsize = viommui_field_get(accel->config.idr[1], IDR1_SIDSIZE);
    ViommuiSmmuv3Stream *other;

    if (sid == VIOMMU_SMMUV3_SID_UNKNOWN)
        return TRUE;
    if (sidsize < 32 && sid >> sidsize) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "StreamID 0x%x is out of the guest's range: its IDR1.SIDSIZE is %u",
                    sid, sidsize);
        return FALSE;
    }
    other = find_stream(accel, sid);
    if (other && other->device != device) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "StreamID 0x%x of %s is taken by %s", sid,
                    viommu_host_device_get_name(device),
                    viommu_host_device_get_name(other->device));
        return FALSE;
    }
    return TRUE;
}

/* Without a name the device aborts. */
static ViommuResult set_name(ViommuSmmuv3Accel *accel, ViommuiSmmuv3Stream *stream,
                             guint32 sid)
{
    ViommuResult result;

    forget_sid(accel, stream);
    if (sid == VIOMMU_SMMUV3_SID_UNKNOWN)
        result = viommui_host_device_clear_virt_id(stream->device);
    else
        result = viommui_host_device_set_virt_id(stream->device, sid);
    note_put_off(accel, stream);
    if (result != VIOMMU_OK || sid == VIOMMU_SMMUV3_SID_UNKNOWN)
        return result;
    stream->sid = sid;
    g_hash_table_insert(accel->by_sid, GUINT_TO_POINTER(sid), stream);
    return VIOMMU_OK;
}

gboolean viommu_smmuv3_accel_set_stream_id(ViommuSmmuv3Accel *accel,
                                           ViommuHostDevice *device, guint32 sid,
                                           GError **error)
{
    ViommuiSmmuv3Stream *stream = g_hash_table_lookup(accel->by_device, device);
    const char *name = viommu_host_device_get_name(device);
    g_autofree char *what = NULL;
    ViommuResult result;

    if (!stream) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s is not attached", name);
        return FALSE;
    }
    if (!check_sid(accel, device, sid, error)) {
        set_name(accel, stream, VIOMMU_SMMUV3_SID_UNKNOWN);
        return FALSE;
    }
    what = sid == VIOMMU_SMMUV3_SID_UNKNOWN ? g_strdup("no StreamID")
                                            : g_strdup_printf("StreamID 0x%x", sid);
    viommui_begin_set_up(accel->host);
    result = set_name(accel, stream, sid);
    return viommui_end_set_up(accel->host, result, error, "%s cannot have %s", name, what);
}

gboolean viommu_smmuv3_accel_attach_device(ViommuSmmuv3Accel *accel,
                                           ViommuHostDevice *device, guint32 sid,
                                           GError **error)
{
    const char *name = viommu_host_device_get_name(device);
    ViommuiSmmuv3Stream *stream;
    ViommuiSmmuv3HostSmmu *host;

    if (viommui_host_device_get_host(device) != accel->host) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s is of another host",
                    name);
        return FALSE;
    }
    if (viommui_host_device_get_viommu(device)) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s is attached already",
                    name);
        return FALSE;
    }
    if (!viommui_smmuv3_check_caps(accel->config.idr, viommu_host_device_get_info(device),
                                   name, error) ||
        !check_sid(accel, device, sid, error))
        return FALSE;
    host = join_host(accel, device, error);
    if (!host)
        return FALSE;
    stream = g_new0(ViommuiSmmuv3Stream, 1);
    stream->device = device;
    stream->host = host;
    stream->sid = VIOMMU_SMMUV3_SID_UNKNOWN;
    host->n_streams++;
    g_hash_table_insert(accel->by_device, device, stream);
    if (sid == VIOMMU_SMMUV3_SID_UNKNOWN ||
        viommu_smmuv3_accel_set_stream_id(accel, device, sid, error))
        return TRUE;
    viommu_smmuv3_accel_detach_device(accel, device);
    return FALSE;
}

void viommu_smmuv3_accel_detach_device(ViommuSmmuv3Accel *accel, ViommuHostDevice *device)
{
    ViommuiSmmuv3Stream *stream = g_hash_table_lookup(accel->by_device, device);
    ViommuiSmmuv3HostSmmu *host;

    if (!stream)
        return;
    host = stream->host;
    forget_sid(accel, stream);
    viommui_host_device_leave(device);
    g_hash_table_remove(accel->by_device, device);
    host->n_streams--;
    host_release(accel, host);
}

/* --- stream table entries ---------------------------------------------------------------
 */

void viommui_smmuv3_begin_installs(ViommuSmmuv3Accel *accel)
{
    accel->installing = TRUE;
    accel->gathered = VIOMMU_OK;
}

static void flush_gathered(ViommuSmmuv3Accel *accel)
{
    gsize command;
    ViommuResult result = viommui_smmuv3_flush(accel, &command);

    if (accel->gathered == VIOMMU_OK)
        accel->gathered = result;
}

static void gather(ViommuSmmuv3Accel *accel, ViommuiSmmuv3HostSmmu *host,
                   const guint64 words[2])
{
    if (viommui_batch_is_full(host->batch))
        flush_gathered(accel);
    viommui_batch_add(host->batch, words, 0, TRUE);
}

ViommuResult viommui_smmuv3_end_installs(ViommuSmmuv3Accel *accel)
{
    accel->installing = FALSE;
    flush_gathered(accel);
    return accel->gathered;
}

/* An entry that has not changed means: its context descriptors may have (4.3.1). */
static ViommuResult invalidate_cds(ViommuSmmuv3Accel *accel, ViommuiSmmuv3Stream *stream)
{
    ViommuResult result;
    guint64 words[2];
    gsize command;

    viommui_smmuv3_make_cfgi_cd_all(stream->sid, words);
    if (accel->installing) {
        gather(accel, stream->host, words);
        return VIOMMU_OK;
    }
    viommui_batch_add(stream->host->batch, words, 0, TRUE);
    result = viommui_smmuv3_flush(accel, &command);
    if (result == VIOMMU_OK)
        return VIOMMU_OK;
    viommui_host_device_detach(stream->device, VIOMMUI_NO_PASID, VIOMMUI_BLOCKED,
                               VIOMMUI_FAIL_CLOSED);
    /* The command is ours: nothing about it is the guest's fault. */
    return result == VIOMMU_GUEST_INVALID ? VIOMMU_HOST_GONE : result;
}

static ViommuResult install_s1(ViommuSmmuv3Accel *accel, ViommuiSmmuv3Stream *stream,
                               const ViommuiSte *ste)
{
    ViommuHostDevice *device = stream->device;
    const ViommuiStage1 stage1 = {.data = ste->words, .size = sizeof ste->words};

    if (viommui_host_device_is_bound_to(device, VIOMMUI_NO_PASID, &stage1))
        return invalidate_cds(accel, stream);
    if (viommui_host_device_get_attachment(device, VIOMMUI_NO_PASID) == VIOMMUI_NESTED)
        return viommui_host_device_replace(device, VIOMMUI_NO_PASID, &stage1,
                                           VIOMMUI_FAIL_CLOSED);
    return viommui_host_device_bind(device, VIOMMUI_NO_PASID, &stage1, VIOMMUI_FAIL_CLOSED);
}

static ViommuResult install_detached(ViommuiSmmuv3Stream *stream, ViommuiAttachmentKind to)
{
    return viommui_host_device_detach(stream->device, VIOMMUI_NO_PASID, to,
                                      VIOMMUI_FAIL_CLOSED);
}

static ViommuResult refuse_illegal(ViommuSmmuv3Accel *accel, ViommuiSmmuv3Stream *stream,
                                   const ViommuiSte *ste)
{
    if (install_detached(stream, VIOMMUI_BLOCKED) != VIOMMU_OK)
        return VIOMMU_HOST_GONE;
    return viommui_refuse(
        accel->host, stream->device, VIOMMU_GUEST_INVALID,
        "the stream table entry of StreamID 0x%x has an illegal %s %" G_GUINT64_FORMAT,
        stream->sid, ste->why, ste->value);
}

static ViommuResult install(ViommuSmmuv3Accel *accel, ViommuiSmmuv3Stream *stream,
                            const ViommuiSte *ste)
{
    switch (ste->kind) {
    case VIOMMUI_STE_ABORT:
        return install_detached(stream, VIOMMUI_BLOCKED);
    case VIOMMUI_STE_BYPASS:
        return install_detached(stream, VIOMMUI_IDENTITY);
    case VIOMMUI_STE_S1:
        return install_s1(accel, stream, ste);
    case VIOMMUI_STE_ILLEGAL:
        break;
    }
    return refuse_illegal(accel, stream, ste);
}

ViommuResult viommu_smmuv3_accel_install_ste(ViommuSmmuv3Accel *accel, guint32 sid,
                                             const guint8 *bytes)
{
    ViommuiSmmuv3Stream *stream = find_stream(accel, sid);
    ViommuResult result;
    ViommuiSte ste;

    if (!stream)
        return VIOMMU_OK;
    ste = viommui_smmuv3_decode_ste(accel->config.idr,
                                    viommu_host_device_get_info(stream->device), bytes);
    result = install(accel, stream, &ste);
    note_put_off(accel, stream);
    /* Bound, or to be bound with a later command. */
    stream->ats =
        ste.ats && (viommui_host_device_is_pending(stream->device, VIOMMUI_NO_PASID) ||
                    viommui_host_device_get_attachment(stream->device, VIOMMUI_NO_PASID) ==
                        VIOMMUI_NESTED);
    return result;
}

/* --- reset ------------------------------------------------------------------------------
 */

static ViommuResult set_one(ViommuSmmuv3Accel *accel, ViommuiSmmuv3Stream *stream,
                            ViommuiAttachmentKind to)
{
    gboolean may_bypass = stream->sid != VIOMMU_SMMUV3_SID_UNKNOWN;
    ViommuResult result = install_detached(stream, may_bypass ? to : VIOMMUI_BLOCKED);

    stream->ats = FALSE;
    /* Nothing but blocking is put off here: it would be done who knows when. */
    if (result != VIOMMU_OK)
        install_detached(stream, VIOMMUI_BLOCKED);
    note_put_off(accel, stream);
    return result;
}

static gboolean set_all(ViommuSmmuv3Accel *accel, ViommuiAttachmentKind to,
                        const char *state, GError **error)
{
    ViommuResult first = VIOMMU_OK;
    GHashTableIter iter;
    gpointer stream;

    viommui_begin_set_up(accel->host);
    g_hash_table_iter_init(&iter, accel->by_device);
    while (g_hash_table_iter_next(&iter, NULL, &stream)) {
        ViommuResult result = set_one(accel, stream, to);

        if (first == VIOMMU_OK)
            first = result;
    }
    return viommui_end_set_up(accel->host, first, error, "not every stream could be %s",
                              state);
}

gboolean viommu_smmuv3_accel_block(ViommuSmmuv3Accel *accel, GError **error)
{
    return set_all(accel, VIOMMUI_BLOCKED, "blocked", error);
}

gboolean viommu_smmuv3_accel_release(ViommuSmmuv3Accel *accel, gboolean bypass,
                                     GError **error)
{
    return set_all(accel, bypass ? VIOMMUI_IDENTITY : VIOMMUI_BLOCKED, "released", error);
}

/* --- events -----------------------------------------------------------------------------
 */

gboolean viommu_smmuv3_accel_set_event_depth(ViommuSmmuv3Accel *accel, guint depth,
                                             GError **error)
{
    gboolean ok = TRUE;

    if (!depth || depth > MAX_EVENT_DEPTH) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "an event queue of %u entries is not 1 to %d", depth, MAX_EVENT_DEPTH);
        return FALSE;
    }
    accel->config.event_depth = depth;
    for (guint i = 0; i < accel->hosts->len; i++) {
        ViommuiSmmuv3HostSmmu *host = accel->hosts->pdata[i];

        watch(accel, host, FALSE);
        /* The first error is the one to report. */
        if (!viommui_host_viommu_set_event_depth(host->viommu, depth, ok ? error : NULL))
            ok = FALSE;
        watch(accel, host, TRUE);
    }
    return ok;
}

ViommuResult viommu_smmuv3_accel_read_events(ViommuSmmuv3Accel *accel, guint8 *events,
                                             gsize max_events, gsize *ret_n_events,
                                             guint64 *ret_n_lost)
{
    ViommuResult first = VIOMMU_OK;

    *ret_n_events = 0;
    *ret_n_lost = 0;
    /* From another one each time, so that a host with many events leaves room for others.
     */
    accel->first_host++;
    for (guint i = 0; i < accel->hosts->len && *ret_n_events < max_events; i++) {
        ViommuiSmmuv3HostSmmu *host =
            accel->hosts->pdata[(accel->first_host + i) % accel->hosts->len];
        gsize n;
        guint64 lost;
        ViommuResult result = viommui_host_viommu_read_events(
            host->viommu, events + *ret_n_events * VIOMMU_SMMUV3_EVENT_SIZE,
            VIOMMU_SMMUV3_EVENT_SIZE, max_events - *ret_n_events, &n, &lost);

        *ret_n_events += n;
        *ret_n_lost += lost;
        if (first == VIOMMU_OK)
            first = result;
    }
    return first;
}
