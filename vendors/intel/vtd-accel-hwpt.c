/* SPDX-License-Identifier: MIT */
/*
 * Stage-1 tables on the host, and the invalidation of what is cached of them.
 *
 * The host tags what it caches by that HWPT, the guest by its
 * own domain ID and PASID: what was cached for one pair must not serve another that the
 * guest has never used with these tables. So an HWPT counts the pairs that it is bound
 * under, and all of it is invalidated when a new pair comes to it; a device that could not
 * be detached from it counts as well, which no binding tells of.
 *
 * Invalidations are queued for each HWPT in order, a range next to the one before it
 * joined with it where the host would not round the two up to much more, and issued in one
 * host call for each HWPT: before anything is bound otherwise, and before the VMM's call
 * returns.
 *
 * Down the path: core/core.h. Beside: vtd-accel-descriptors.c, vtd-accel-bindings.c.
 */

#include "vtd.h"

enum { PAGE_BITS = 12 };

struct ViommuiVtdHwpt {
    ViommuiConfig *config;
    ViommuiBatch *batch;
    GHashTable *bindings; /* a set of ViommuiVtdBinding */
    gboolean is_queued;
};

/* --- who shares one ---------------------------------------------------------------------
 */

/* *ret_is_shared: others use it, or may do still. */
static ViommuiVtdHwpt *get_hwpt(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                gboolean *ret_is_shared)
{
    ViommuiConfig *config =
        viommui_host_device_get_config(binding->device->device, binding->pasid);
    ViommuiVtdHwpt *hwpt = g_hash_table_lookup(accel->hwpts, config);

    *ret_is_shared = hwpt || viommui_config_is_shared(config);
    if (hwpt)
        return hwpt;
    hwpt = g_new0(ViommuiVtdHwpt, 1);
    hwpt->config = config;
    hwpt->batch = viommui_batch_new(binding->device->host->viommu, config,
                                    sizeof(ViommuiVtdInvalidation));
    hwpt->bindings = g_hash_table_new(NULL, NULL);
    g_hash_table_insert(accel->hwpts, config, hwpt);
    return hwpt;
}

static void queue(ViommuVtdAccel *accel, ViommuiVtdHwpt *hwpt, guint64 first, guint64 last,
                  gboolean leaf);

void viommui_vtd_hwpt_join(ViommuVtdAccel *accel, ViommuiVtdBinding *binding, guint16 did,
                           gboolean was_bound)
{
    guint64 pair = viommui_vtd_did_pasid(did, binding->table_pasid);
    gboolean is_shared;
    ViommuiVtdHwpt *hwpt = get_hwpt(accel, binding, &is_shared);
    gboolean is_known = viommui_index_contains(accel->hwpt_by_did_pasid, pair, hwpt);

    g_hash_table_add(hwpt->bindings, binding);
    viommui_index_add(accel->hwpt_by_did, did, hwpt);
    viommui_index_add(accel->hwpt_by_did_pasid, pair, hwpt);
    binding->hwpt = hwpt;
    if (was_bound || (is_shared && !is_known)) {
        queue(accel, hwpt, 0, G_MAXUINT64, FALSE);
        viommui_vtd_flush(accel);
    }
}

void viommui_vtd_hwpt_leave(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    ViommuiVtdHwpt *hwpt = binding->hwpt;

    if (!hwpt)
        return;
    binding->hwpt = NULL;
    viommui_index_remove(accel->hwpt_by_did, binding->did, hwpt);
    viommui_index_remove(accel->hwpt_by_did_pasid,
                         viommui_vtd_did_pasid(binding->did, binding->table_pasid), hwpt);
    g_hash_table_remove(hwpt->bindings, binding);
    if (g_hash_table_size(hwpt->bindings))
        return;
    if (hwpt->is_queued)
        g_ptr_array_remove_fast(accel->queued, hwpt);
    g_hash_table_remove(accel->hwpts, hwpt->config);
    viommui_batch_free(hwpt->batch);
    g_hash_table_unref(hwpt->bindings);
    g_free(hwpt);
}

/* --- queued -----------------------------------------------------------------------------
 */

static guint64 last_of(const ViommuiVtdInvalidation *entry)
{
    return entry->n_pages == G_MAXUINT64
               ? G_MAXUINT64
               : entry->address + (entry->n_pages << PAGE_BITS) - 1;
}

static ViommuiVtdInvalidation make_entry(guint64 first, guint64 last, gboolean leaf)
{
    ViommuiVtdInvalidation entry = {.address = first};

    if (first == 0 && last == G_MAXUINT64)
        entry.n_pages = G_MAXUINT64;
    else
        entry.n_pages = (last - first + 1) >> PAGE_BITS;
    /* Of everything, there is no leaf-only form. */
    if (leaf && entry.n_pages != G_MAXUINT64)
        entry.flags = VIOMMUI_VTD_INV_LEAF;
    return entry;
}

/* Pages in the smallest naturally aligned power of two around a range: what a unit takes.
 */
static guint64 rounded(guint64 first, guint64 last)
{
    guint64 differ = (first ^ last) >> PAGE_BITS;

    return differ ? 2ull << (63 - __builtin_clzll(differ)) : 1;
}

/* The range is next to or over the last one: make it one, unless that flushes far more. */
static gboolean widen(ViommuiVtdInvalidation *before, guint64 first, guint64 last,
                      gboolean leaf)
{
    guint64 before_last = last_of(before);
    guint64 both_first = MIN(before->address, first), both_last = MAX(before_last, last);

    if (!!before->flags != leaf || before->n_pages == G_MAXUINT64)
        return before->n_pages == G_MAXUINT64;
    if ((first > before_last && first - before_last > 1) ||
        (before->address > last && before->address - last > 1))
        return FALSE;
    if (rounded(both_first, both_last) / 2 > ((both_last - both_first) >> PAGE_BITS) + 1)
        return FALSE;
    *before = make_entry(both_first, both_last, leaf);
    return TRUE;
}

static void issue(ViommuVtdAccel *accel, ViommuiVtdHwpt *hwpt);

static void queue(ViommuVtdAccel *accel, ViommuiVtdHwpt *hwpt, guint64 first, guint64 last,
                  gboolean leaf)
{
    ViommuiVtdInvalidation *before = viommui_batch_get_last(hwpt->batch);
    ViommuiVtdInvalidation entry = make_entry(first, last, leaf);

    if (before && widen(before, first, last, entry.flags != 0))
        return;
    if (viommui_batch_is_full(hwpt->batch))
        issue(accel, hwpt);
    viommui_batch_add(hwpt->batch, &entry, 0, FALSE);
    if (!hwpt->is_queued)
        g_ptr_array_add(accel->queued, hwpt);
    hwpt->is_queued = TRUE;
}

static void queue_each(ViommuVtdAccel *accel, GPtrArray *hwpts, guint64 first, guint64 last,
                       gboolean leaf)
{
    for (guint i = 0; i < hwpts->len; i++)
        queue(accel, hwpts->pdata[i], first, last, leaf);
}

void viommui_vtd_queue_all(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor)
{
    g_autoptr(GPtrArray) hwpts = g_ptr_array_new();
    GHashTableIter iter;
    gpointer hwpt;

    if (descriptor->granularity == VIOMMUI_GRANULARITY_DOMAIN) {
        viommui_index_collect(accel->hwpt_by_did, descriptor->did, hwpts);
    } else {
        g_hash_table_iter_init(&iter, accel->hwpts);
        while (g_hash_table_iter_next(&iter, NULL, &hwpt))
            g_ptr_array_add(hwpts, hwpt);
    }
    queue_each(accel, hwpts, 0, G_MAXUINT64, FALSE);
}

void viommui_vtd_queue_pasid(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor)
{
    guint64 pair = viommui_vtd_did_pasid(descriptor->did, descriptor->pasid);
    g_autoptr(GPtrArray) hwpts = g_ptr_array_new();

    viommui_index_collect(accel->hwpt_by_did_pasid, pair, hwpts);
    if (descriptor->granularity == VIOMMUI_GRANULARITY_PAGE)
        queue_each(accel, hwpts, descriptor->first, descriptor->last, descriptor->leaf);
    else
        queue_each(accel, hwpts, 0, G_MAXUINT64, FALSE);
}

/* --- issued -----------------------------------------------------------------------------
 */

/* Blocked it can be in any case, and then it has no part in the tables any more. */
static void attach_anew(ViommuVtdAccel *accel, ViommuiVtdHwpt *hwpt)
{
    g_autofree gpointer *bindings = NULL;
    guint n;

    bindings = g_hash_table_get_keys_as_array(hwpt->bindings, &n);
    for (guint i = 0; i < n; i++) {
        ViommuiVtdBinding *binding = bindings[i];

        viommui_vtd_requests_drop(binding->device, binding);
        if (viommui_host_device_rebind(binding->device->device, binding->pasid) !=
            VIOMMU_OK)
            /* Tried again, and told if need be, with the guest's next descriptor. */
            g_hash_table_add(accel->put_off, binding);
    }
}

static void issue(ViommuVtdAccel *accel, ViommuiVtdHwpt *hwpt)
{
    gsize command;

    if (viommui_batch_flush(hwpt->batch, &command) != VIOMMU_OK)
        attach_anew(accel, hwpt);
}

void viommui_vtd_flush(ViommuVtdAccel *accel)
{
    while (accel->queued->len) {
        ViommuiVtdHwpt *hwpt = g_ptr_array_steal_index_fast(accel->queued, 0);

        hwpt->is_queued = FALSE;
        issue(accel, hwpt);
    }
}
