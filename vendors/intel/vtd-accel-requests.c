/* SPDX-License-Identifier: MIT */
/*
 * Page requests: from the host's fault queues to the guest, and answers back.
 *
 * A group is known by the guest as {requester ID, PASID, index}, by the host as a cookie;
 * what is not answered yet is remembered with its device. A group whose binding goes is
 * answered "invalid" before that, as the host would do, and the guest's later answer finds
 * nothing.
 *
 * Down the path: core/core.h. Beside: vtd-accel-descriptors.c.
 */

#include "vtd.h"

enum { GROUP_BITS = 9 };

/* A group not answered yet. */
typedef struct {
    guint64 key; /* {has PASID, PASID, index} */
    guint32 cookie;
    guint32 pasid; /* of the binding: VIOMMUI_NO_PASID, or a number */
} Request;

static guint64 make_key(gboolean has_pasid, guint32 pasid, guint group)
{
    return (has_pasid ? (guint64)pasid + 1 : 0) << GROUP_BITS | group;
}

void viommui_vtd_requests_init(ViommuiVtdDevice *device)
{
    device->requests = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
}

/* What fails is traced below; the host has answered by itself then, or will. */
static ViommuResult respond(ViommuiVtdDevice *device, const Request *request,
                            gboolean success)
{
    return viommui_host_viommu_respond(device->host->viommu, request->cookie, success);
}

static void answer(ViommuiVtdDevice *device, const ViommuiVtdBinding *binding,
                   gboolean success)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, device->requests);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Request *request = value;

        if (binding && request->pasid != binding->pasid)
            continue;
        respond(device, request, success);
        g_hash_table_iter_remove(&iter);
    }
}

void viommui_vtd_requests_drop(ViommuiVtdDevice *device, const ViommuiVtdBinding *binding)
{
    answer(device, binding, FALSE);
}

void viommui_vtd_answer_requests(ViommuVtdAccel *accel)
{
    GHashTableIter iter;
    gpointer device;

    g_hash_table_iter_init(&iter, accel->by_device);
    while (g_hash_table_iter_next(&iter, NULL, &device))
        answer(device, NULL, TRUE);
}

ViommuResult viommu_vtd_accel_respond(ViommuVtdAccel *accel, guint16 rid,
                                      gboolean has_pasid, guint32 pasid, guint group,
                                      gboolean success)
{
    guint64 key = make_key(has_pasid, pasid, group);
    g_autoptr(GPtrArray) devices = g_ptr_array_new();

    viommui_index_collect(accel->by_rid, rid, devices);
    for (guint i = 0; i < devices->len; i++) {
        ViommuiVtdDevice *device = devices->pdata[i];
        const Request *request = g_hash_table_lookup(device->requests, &key);
        ViommuResult result;

        if (!request)
            continue;
        result = respond(device, request, success);
        g_hash_table_remove(device->requests, &key);
        return result;
    }
    return VIOMMU_OK;
}

/* --- read -------------------------------------------------------------------------------
 */

/* A device may reuse an index only after the answer: a second group under it is its error.
 */
static void remember(ViommuiVtdDevice *device, const ViommuiPageRequest *from)
{
    guint64 key = make_key(from->has_pasid, from->pasid, from->group);
    Request *request = g_hash_table_lookup(device->requests, &key);

    if (request)
        respond(device, request, FALSE);
    request = g_new0(Request, 1);
    request->key = key;
    request->cookie = from->cookie;
    request->pasid = from->has_pasid && g_hash_table_contains(device->pasids,
                                                              GUINT_TO_POINTER(from->pasid))
                         ? from->pasid
                         : VIOMMUI_NO_PASID;
    g_hash_table_replace(device->requests, &request->key, request);
}

static ViommuVtdPageRequest translate(const ViommuiVtdDevice *device,
                                      const ViommuiPageRequest *from)
{
    return (ViommuVtdPageRequest){
        .requester_id = device->rid,
        .has_pasid = from->has_pasid,
        .pasid = from->pasid,
        .group = from->group,
        .last = from->last,
        .read = from->read,
        .write = from->write,
        .execute = from->execute,
        .privileged = from->privileged,
        .address = from->address,
    };
}

static ViommuResult read_host(ViommuiVtdHost *host, ViommuVtdPageRequest *requests,
                              gsize max, gsize *ret_n)
{
    g_autofree ViommuiPageRequest *batch = g_new(ViommuiPageRequest, max);
    ViommuResult result;
    gsize n = 0;

    *ret_n = 0;
    result = viommui_host_viommu_read_page_requests(host->viommu, batch, max, &n);
    for (gsize i = 0; i < n; i++) {
        ViommuiVtdDevice *device =
            g_hash_table_lookup(host->by_devid, GUINT_TO_POINTER(batch[i].devid));

        if (!device) {
            if (batch[i].last)
                viommui_host_viommu_respond(host->viommu, batch[i].cookie, FALSE);
            continue;
        }
        if (batch[i].last)
            remember(device, &batch[i]);
        requests[(*ret_n)++] = translate(device, &batch[i]);
    }
    return result;
}

ViommuResult viommu_vtd_accel_read_page_requests(ViommuVtdAccel *accel,
                                                 ViommuVtdPageRequest *requests, gsize max,
                                                 gsize *ret_n)
{
    ViommuResult first = VIOMMU_OK;

    *ret_n = 0;
    /* From another one each time, so that one with many leaves room for others. */
    accel->first_host++;
    for (guint i = 0; i < accel->hosts->len && *ret_n < max; i++) {
        ViommuiVtdHost *host =
            accel->hosts->pdata[(accel->first_host + i) % accel->hosts->len];
        gsize n;
        ViommuResult result = read_host(host, requests + *ret_n, max - *ret_n, &n);

        *ret_n += n;
        /* There is no room for the next, which waits. */
        if (result == VIOMMU_TRANSIENT && *ret_n)
            continue;
        if (first == VIOMMU_OK)
            first = result;
    }
    return first == VIOMMU_TRANSIENT && *ret_n ? VIOMMU_OK : first;
}
