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

/* As many as make the cost of the call itself vanish; the buffer stays a few pages. */
enum { CAPACITY = 1024 };

struct ViommuiBatch {
    ViommuiHostViommu *viommu;
    gsize entry_size;
    GByteArray *entries;
    gsize commands[CAPACITY]; /* the guest command of each entry */
    guint n;
    /* Hosts with an erratum want some entries in a second call, after the first. */
    GByteArray *second;
};

ViommuiBatch *viommui_batch_new(ViommuiHostViommu *hv, gsize entry_size)
{
    ViommuiBatch *batch = g_new0(ViommuiBatch, 1);

    batch->viommu = hv;
    batch->entry_size = entry_size;
    batch->entries = g_byte_array_sized_new(CAPACITY * entry_size);
    batch->second = g_byte_array_new();
    return batch;
}

void viommui_batch_free(ViommuiBatch *batch)
{
    if (!batch)
        return;
    g_byte_array_unref(batch->entries);
    g_byte_array_unref(batch->second);
    g_free(batch);
}

gboolean viommui_batch_is_full(ViommuiBatch *batch)
{
    return batch->n == CAPACITY;
}

void viommui_batch_add(ViommuiBatch *batch, const void *entry, gsize command,
                       gboolean twice)
{
    batch->commands[batch->n++] = command;
    g_byte_array_append(batch->entries, entry, batch->entry_size);
    if (twice && batch->viommu->invalidate_twice)
        g_byte_array_append(batch->second, entry, batch->entry_size);
}

static ViommuResult issue_one_by_one(ViommuiBatch *batch, gsize *ret_command)
{
    for (guint i = 0; i < batch->n; i++) {
        ViommuResult result = viommui_backend_invalidate(
            batch->viommu, batch->entries->data + i * batch->entry_size, batch->entry_size,
            1);

        if (result != VIOMMU_OK) {
            *ret_command = batch->commands[i];
            return result;
        }
    }
    return VIOMMU_OK;
}

static ViommuResult issue(ViommuiBatch *batch, gsize *ret_command)
{
    ViommuResult result = viommui_backend_invalidate(batch->viommu, batch->entries->data,
                                                     batch->entry_size, batch->n);

    return result == VIOMMU_OK ? result : issue_one_by_one(batch, ret_command);
}

static ViommuResult issue_second(ViommuiBatch *batch, gsize *ret_command)
{
    guint n = batch->second->len / batch->entry_size;
    ViommuResult result = viommui_backend_invalidate(batch->viommu, batch->second->data,
                                                     batch->entry_size, n);

    /* All were good the first time: what fails now is the host, not a command. */
    if (result != VIOMMU_OK)
        *ret_command = batch->commands[0];
    return result;
}

ViommuResult viommui_batch_flush(ViommuiBatch *batch, gsize *ret_command)
{
    ViommuResult result = VIOMMU_OK;

    if (batch->n == 0)
        return VIOMMU_OK;
    result = issue(batch, ret_command);
    if (result == VIOMMU_OK && batch->second->len)
        result = issue_second(batch, ret_command);
    batch->n = 0;
    g_byte_array_set_size(batch->entries, 0);
    g_byte_array_set_size(batch->second, 0);
    return result;
}
