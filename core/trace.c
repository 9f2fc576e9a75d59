/* SPDX-License-Identifier: MIT */
/*
 * Trace points: one subscriber per host, and the words that go with a refusal.
 * The fast test for "nobody listens" is viommui_trace() in private.h.
 */

#include "private.h"

static const char *const point_names[] = {
    [VIOMMU_TRACE_MAP] = "map",
    [VIOMMU_TRACE_UNMAP] = "unmap",
    [VIOMMU_TRACE_HWPT_ALLOC] = "hwpt-alloc",
    [VIOMMU_TRACE_HWPT_FREE] = "hwpt-free",
    [VIOMMU_TRACE_ATTACH] = "attach",
    [VIOMMU_TRACE_DETACH] = "detach",
    [VIOMMU_TRACE_INVALIDATE] = "invalidate",
    [VIOMMU_TRACE_VDEVICE] = "vdevice",
    [VIOMMU_TRACE_EVENTS] = "events",
    [VIOMMU_TRACE_EVENTS_LOST] = "events-lost",
    [VIOMMU_TRACE_PAGE_REQUESTS] = "page-requests",
    [VIOMMU_TRACE_PAGE_RESPONSE] = "page-response",
    [VIOMMU_TRACE_DIRTY_TRACKING] = "dirty-tracking",
    [VIOMMU_TRACE_DIRTY_READ] = "dirty-read",
    [VIOMMU_TRACE_TABLE_NEW] = "table-new",
    [VIOMMU_TRACE_TABLE_FREE] = "table-free",
    [VIOMMU_TRACE_TABLE_MAP] = "table-map",
    [VIOMMU_TRACE_TABLE_UNMAP] = "table-unmap",
    [VIOMMU_TRACE_PINNINGS] = "pinnings",
    [VIOMMU_TRACE_REFUSED] = "refused",
};

const char *viommu_trace_point_name(ViommuTracePoint point)
{
    return (guint)point < G_N_ELEMENTS(point_names) ? point_names[point] : "unknown";
}

void viommu_host_set_trace(ViommuHost *host, ViommuTraceFunc func, void *user_data)
{
    host->trace = func;
    host->trace_data = user_data;
}

gboolean viommui_tracing(ViommuHost *host)
{
    return host->trace || host->refusals;
}

static void emit(ViommuHost *host, ViommuHostDevice *device, ViommuTracePoint point,
                 ViommuResult result, guint64 value, const char *message)
{
    const ViommuTraceRecord record = {
        .point = point,
        .result = result,
        .device = device ? device->name : NULL,
        .value = value,
        .message = message,
    };

    host->trace(&record, host->trace_data);
}

void viommui_trace_slow(ViommuHost *host, ViommuHostDevice *device, ViommuTracePoint point,
                        ViommuResult result, guint64 value)
{
    emit(host, device, point, result, value, NULL);
}

ViommuResult viommui_refuse(ViommuHost *host, ViommuHostDevice *device, ViommuResult result,
                            const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    if (!viommui_tracing(host))
        return result;
    va_start(args, format);
    message = g_strdup_vprintf(format, args);
    va_end(args);
    if (host->refusals)
        g_string_append_printf(host->refusals, "%s%s", host->refusals->len ? "; " : "",
                               message);
    if (host->trace)
        emit(host, device, VIOMMU_TRACE_REFUSED, result, 0, message);
    return result;
}

void viommui_begin_set_up(ViommuHost *host)
{
    host->refusals = g_string_new(NULL);
}

gboolean viommui_end_set_up(ViommuHost *host, ViommuResult result, GError **error,
                            const char *format, ...)
{
    g_autofree char *why = g_string_free(g_steal_pointer(&host->refusals), FALSE);
    g_autofree char *what = NULL;
    va_list args;

    if (result == VIOMMU_OK)
        return TRUE;
    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, VIOMMU_ERROR, viommui_result_to_error(result), "%s: %s", what,
                *why ? why : viommu_result_name(result));
    return FALSE;
}
