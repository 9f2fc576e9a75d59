/* SPDX-License-Identifier: MIT */
/*
 * The invalidation batch: validated entries for one host vIOMMU, or one HWPT of it, in
 * program order, issued in one host call.
 *
 * The error rule: after a failed call nothing is known of any of its entries, whatever the
 * host counted as handled. Invalidations are idempotent, so all are issued again one at
 * a time, and the first that fails alone is the one to report.
 */

#include "private.h"

#include <string.h>

/* As many as make the cost of the call itself vanish; the buffer stays a few pages. */
enum { CAPACITY = 1024 };

/* What goes with an entry, but not to the host. */
typedef struct {
    gsize command;  /* the guest command that it came from */
    gboolean twice; /* an erratum of the host wants it again, in a later call */
} Origin;

struct ViommuiBatch {
    ViommuiHostViommu *viommu;
    ViommuiConfig *config; /* a reference, or NULL: aimed at the host vIOMMU */
    gsize entry_size;
    GByteArray *entries;
    GArray *origins; /* Origin, one an entry */
};

ViommuiBatch *viommui_batch_new(ViommuiHostViommu *hv, ViommuiConfig *config,
                                gsize entry_size)
{
    ViommuiBatch *batch = g_new0(ViommuiBatch, 1);

    batch->viommu = hv;
    batch->config = config ? viommui_config_ref(config) : NULL;
    batch->entry_size = entry_size;
    batch->entries = g_byte_array_new();
    batch->origins = g_array_new(FALSE, FALSE, sizeof(Origin));
    return batch;
}

void viommui_batch_free(ViommuiBatch *batch)
{
    if (!batch)
        return;
    viommui_config_unref(batch->config);
    g_byte_array_unref(batch->entries);
    g_array_unref(batch->origins);
    g_free(batch);
}

gboolean viommui_batch_is_full(ViommuiBatch *batch)
{
    return batch->origins->len == CAPACITY;
}

void viommui_batch_add(ViommuiBatch *batch, const void *entry, gsize command,
                       gboolean twice)
{
    const Origin origin = {command, twice && batch->viommu->invalidate_twice};

    g_array_append_val(batch->origins, origin);
    g_byte_array_append(batch->entries, entry, batch->entry_size);
}

void *viommui_batch_get_last(ViommuiBatch *batch)
{
    guint n = batch->origins->len;

    return n ? batch->entries->data + (n - 1) * batch->entry_size : NULL;
}

static gsize command_of(const ViommuiBatch *batch, guint i)
{
    return g_array_index(batch->origins, Origin, i).command;
}

static const guint8 *entry_at(const ViommuiBatch *batch, guint i)
{
    return batch->entries->data + i * batch->entry_size;
}

/* *ret_done: how many of the first n entries are surely done. */
static ViommuResult issue(ViommuiBatch *batch, guint n, guint *ret_done)
{
    guint32 hwpt = batch->config ? batch->config->hwpt : 0;
    ViommuResult result = viommui_backend_invalidate(
        batch->viommu, hwpt, entry_at(batch, 0), batch->entry_size, n);

    *ret_done = n;
    if (result == VIOMMU_OK)
        return VIOMMU_OK;
    for (guint i = 0; i < n; i++) {
        result = viommui_backend_invalidate(batch->viommu, hwpt, entry_at(batch, i),
                                            batch->entry_size, 1);
        if (result != VIOMMU_OK) {
            *ret_done = i;
            return result;
        }
    }
    return VIOMMU_OK;
}

/* Keep of the first n entries those that the host wants again. */
static guint keep_second(ViommuiBatch *batch, guint n)
{
    guint kept = 0;

    for (guint i = 0; i < n; i++) {
        Origin origin = g_array_index(batch->origins, Origin, i);

        if (!origin.twice)
            continue;
        memmove(batch->entries->data + kept * batch->entry_size, entry_at(batch, i),
                batch->entry_size);
        g_array_index(batch->origins, Origin, kept++) = origin;
    }
    return kept;
}

ViommuResult viommui_batch_flush(ViommuiBatch *batch, gsize *ret_command)
{
    ViommuResult result = VIOMMU_OK, again = VIOMMU_OK;
    guint done, second;

    if (batch->origins->len == 0)
        return VIOMMU_OK;
    result = issue(batch, batch->origins->len, &done);
    if (result != VIOMMU_OK)
        *ret_command = command_of(batch, done);
    second = keep_second(batch, done);
    if (second)
        again = issue(batch, second, &done);
    if (again != VIOMMU_OK) {
        *ret_command = command_of(batch, done);
        /* It was good the first time: this is the host's fault, not the command's. */
        result = again == VIOMMU_GUEST_INVALID ? VIOMMU_HOST_GONE : again;
    }
    g_array_set_size(batch->origins, 0);
    g_byte_array_set_size(batch->entries, 0);
    return result;
}
