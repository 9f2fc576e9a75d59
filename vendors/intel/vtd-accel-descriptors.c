/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: which bindings and HWPTs each concerns.
 *
 * A descriptor about context or PASID table entries has the bindings that it concerns read
 * their entries again: those indexed under what it names, and those that have no entry yet,
 * for which it may tell of one. One about translations goes to each distinct HWPT of its
 * domain. Nothing walks over all devices but a descriptor that means all.
 *
 * A PASID that gets its first entry is named by PASID alone, not by device: each device
 * whose PASIDs are enabled, and which has no binding of that PASID, is looked at for it.
 *
 * Up the path: the VMM. Beside: vtd-accel-bindings.c, vtd-accel-hwpt.c.
 */

#include "vtd.h"

/* --- context cache ----------------------------------------------------------------------
 */

static void collect_all(ViommuVtdAccel *accel, GPtrArray *devices)
{
    GHashTableIter iter;
    gpointer device;

    g_hash_table_iter_init(&iter, accel->by_device);
    while (g_hash_table_iter_next(&iter, NULL, &device))
        g_ptr_array_add(devices, device);
}

/* A requester ID, with the bits that the mask covers in every combination. */
static void collect_by_rid(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor,
                           GPtrArray *devices)
{
    guint mask = descriptor->function_mask;
    guint16 base = descriptor->rid & ~mask;

    for (guint function = 0; function <= mask; function++)
        if (!(function & ~mask))
            viommui_index_collect(accel->by_rid, base | function, devices);
}

static void invalidate_contexts(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor)
{
    g_autoptr(GPtrArray) devices = g_ptr_array_new();

    /*
     * Only legacy entries have a domain ID, and those not present have none: to find who a
     * domain's are would be to read most of them.
     */
    if (descriptor->granularity == VIOMMUI_GRANULARITY_DEVICE)
        collect_by_rid(accel, descriptor, devices);
    else
        collect_all(accel, devices);
    for (guint i = 0; i < devices->len; i++)
        viommui_vtd_refresh_device(accel, devices->pdata[i]);
}

/* --- PASID cache ------------------------------------------------------------------------
 */

static void settle_each(ViommuVtdAccel *accel, GPtrArray *bindings)
{
    for (guint i = 0; i < bindings->len; i++) {
        ViommuiVtdBinding *binding = bindings->pdata[i];

        if (binding->goal != VIOMMUI_GOAL_ENTRY)
            continue;
        if (binding->pasid == VIOMMUI_NO_PASID)
            viommui_vtd_settle(accel, binding);
        else
            viommui_vtd_settle_pasid(accel, binding->device, binding->pasid);
    }
}

static void collect_unsettled(ViommuVtdAccel *accel, GPtrArray *bindings)
{
    GHashTableIter iter;
    gpointer binding;

    g_hash_table_iter_init(&iter, accel->all_unsettled);
    while (g_hash_table_iter_next(&iter, &binding, NULL))
        g_ptr_array_add(bindings, binding);
}

/* Devices whose PASIDs are enabled: for one whose entry may have become present. */
static void look_for_pasid(ViommuVtdAccel *accel, guint32 pasid)
{
    g_autofree gpointer *devices = NULL;
    guint n;

    devices = g_hash_table_get_keys_as_array(accel->pasid_devices, &n);
    for (guint i = 0; i < n; i++) {
        ViommuiVtdDevice *device = devices[i];

        if (!g_hash_table_contains(device->pasids, GUINT_TO_POINTER(pasid)) &&
            (pasid || device->context.rid_pasid))
            viommui_vtd_settle_pasid(accel, device, pasid);
    }
}

/* For any: all their tables are read, so once for all descriptors that ask for it. */
static void look_for_pasids(ViommuVtdAccel *accel)
{
    g_autofree gpointer *devices = NULL;
    guint n;

    devices = g_hash_table_get_keys_as_array(accel->pasid_devices, &n);
    for (guint i = 0; i < n; i++)
        viommui_vtd_find_new_pasids(accel, devices[i]);
}

static void settle_all(ViommuVtdAccel *accel)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, accel->by_device);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        ViommuiVtdDevice *device = value;

        if (device->rid_binding.goal == VIOMMUI_GOAL_ENTRY)
            viommui_vtd_settle(accel, &device->rid_binding);
        viommui_vtd_settle_known_pasids(accel, device);
    }
}

/* TRUE: there may be new ones of any number. */
static gboolean invalidate_pasids(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor)
{
    g_autoptr(GPtrArray) bindings = g_ptr_array_new();

    if (descriptor->granularity == VIOMMUI_GRANULARITY_GLOBAL) {
        settle_all(accel);
        return TRUE;
    }
    if (descriptor->granularity == VIOMMUI_GRANULARITY_PASID) {
        viommui_index_collect(accel->by_did_pasid,
                              viommui_vtd_did_pasid(descriptor->did, descriptor->pasid),
                              bindings);
        viommui_index_collect(accel->unsettled, descriptor->pasid, bindings);
    } else {
        viommui_index_collect(accel->by_did, descriptor->did, bindings);
        collect_unsettled(accel, bindings);
    }
    settle_each(accel, bindings);
    if (descriptor->granularity != VIOMMUI_GRANULARITY_PASID)
        return TRUE;
    look_for_pasid(accel, descriptor->pasid);
    return FALSE;
}

/* --- all descriptors --------------------------------------------------------------------
 */

static void answer(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor)
{
    viommu_vtd_accel_respond(accel, descriptor->rid, descriptor->has_pasid,
                             descriptor->pasid, descriptor->group, descriptor->success);
}

/* TRUE: PASIDs are to be looked for. */
static gboolean carry_out(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor)
{
    switch (descriptor->kind) {
    case VIOMMUI_DESCRIPTOR_CONTEXT_CACHE:
        viommui_vtd_flush(accel);
        invalidate_contexts(accel, descriptor);
        break;
    case VIOMMUI_DESCRIPTOR_PASID_CACHE:
        viommui_vtd_flush(accel);
        return invalidate_pasids(accel, descriptor);
    case VIOMMUI_DESCRIPTOR_IOTLB:
        /* By address it means second stages, which are shadows here, and no HWPT. */
        if (descriptor->granularity != VIOMMUI_GRANULARITY_PAGE)
            viommui_vtd_queue_all(accel, descriptor);
        viommui_vtd_sync_shadows(accel, descriptor);
        break;
    case VIOMMUI_DESCRIPTOR_PASID_IOTLB:
        viommui_vtd_queue_pasid(accel, descriptor);
        break;
    case VIOMMUI_DESCRIPTOR_PAGE_GROUP_RESPONSE:
        answer(accel, descriptor);
        break;
    default: /* waits are done when this returns, device TLBs are flushed by the host */
        break;
    }
    return FALSE;
}

ViommuResult viommu_vtd_accel_invalidate(ViommuVtdAccel *accel, const guint8 *descriptors,
                                         gsize n_descriptors, gsize *ret_handled)
{
    gboolean legal = TRUE, look = FALSE;

    *ret_handled = 0;
    viommui_vtd_retry_put_off(accel);
    for (gsize i = 0; i < n_descriptors && legal; i++) {
        ViommuiDescriptor descriptor = viommui_vtd_decode_descriptor(
            accel->config.cap, accel->config.ecap, TTM_SCALABLE,
            descriptors + i * VIOMMU_VTD_DESCRIPTOR_SIZE);

        legal = descriptor.kind != VIOMMUI_DESCRIPTOR_ILLEGAL;
        if (!legal)
            break;
        look |= carry_out(accel, &descriptor);
        *ret_handled = i + 1;
    }
    viommui_vtd_flush(accel);
    if (look)
        look_for_pasids(accel);
    /* The guest must not believe that its old tables are out of use. */
    if (!viommui_vtd_retry_put_off(accel)) {
        *ret_handled = 0;
        return VIOMMU_TRANSIENT;
    }
    return legal ? VIOMMU_OK : VIOMMU_GUEST_INVALID;
}
