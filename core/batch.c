/* SPDX-License-Identifier: MIT */
/*
 * The invalidation batch: validated entries for one host vIOMMU, in program order, issued
 * in one host call.
 *
 * The error rule: after a failed call nothing is known of any of its entries, whatever the
 * host counted as handled. Invalidations are idempotent, so all are issued again one at
 * a time, and the first that fails alone is the one to report.
 */

#include "private.h"

#include <string.h>

/* As many as make the cost of the call itself vanish; the buffer stays a few pages. */
enum { CAPACITY = 1024 };

struct ViommuiBatch {
    ViommuiHostViommu *viommu;
    gsize entry_size;
    GByteArray *entries;
    gsize commands[CAPACITY]; /* the guest command of each entry */
    gboolean twice[CAPACITY]; /* an erratum of the host wants it again, in a later call */
    guint n;
};

ViommuiBatch *viommui_batch_new(ViommuiHostViommu *hv, gsize entry_size)
{
    ViommuiBatch *batch = g_new0(ViommuiBatch, 1);

    batch->viommu = hv;
    batch->entry_size = entry_size;
    batch->entries = g_byte_array_sized_new(CAPACITY * entry_size);
    return batch;
}

void viommui_batch_free(ViommuiBatch *batch)
{
    if (!batch)
        return;
    g_byte_array_unref(batch->entries);
    g_free(batch);
}

gboolean viommui_batch_is_full(ViommuiBatch *batch)
{
    return batch->n == CAPACITY;
}

void viommui_batch_add(ViommuiBatch *batch, const void *entry, gsize command,
                       gboolean twice)
{
    batch->commands[batch->n] = command;
    batch->twice[batch->n] = twice && batch->viommu->invalidate_twice;
    batch->n++;
    g_byte_array_append(batch->entries, entry, batch->entry_size);
}

static const guint8 *entry_at(const ViommuiBatch *batch, guint i)
{
    return batch->entries->data + i * batch->entry_size;
}

/* *ret_done: how many of the first n entries are surely done. */
static ViommuResult issue(ViommuiBatch *batch, guint n, guint *ret_done)
{
    ViommuResult result =
        viommui_backend_invalidate(batch->viommu, entry_at(batch, 0), batch->entry_size, n);

    *ret_done = n;
    if (result == VIOMMU_OK)
        return VIOMMU_OK;
    for (guint i = 0; i < n; i++) {
        result = viommui_backend_invalidate(batch->viommu, entry_at(batch, i),
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
        if (!batch->twice[i])
            continue;
        memmove(batch->entries->data + kept * batch->entry_size, entry_at(batch, i),
                batch->entry_size);
        batch->commands[kept++] = batch->commands[i];
    }
    return kept;
}

ViommuResult viommui_batch_flush(ViommuiBatch *batch, gsize *ret_command)
{
    ViommuResult result = VIOMMU_OK, again = VIOMMU_OK;
    guint done, second;

    if (batch->n == 0)
        return VIOMMU_OK;
    result = issue(batch, batch->n, &done);
    if (result != VIOMMU_OK)
        *ret_command = batch->commands[done];
    second = keep_second(batch, done);
    if (second)
        again = issue(batch, second, &done);
    if (again != VIOMMU_OK) {
        *ret_command = batch->commands[done];
        /* It was good the first time: this is the host's fault, not the command's. */
        result = again == VIOMMU_GUEST_INVALID ? VIOMMU_HOST_GONE : again;
    }
    batch->n = 0;
    g_byte_array_set_size(batch->entries, 0);
    return result;
}
