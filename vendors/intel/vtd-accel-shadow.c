/* SPDX-License-Identifier: MIT */
/*
 * Shadows: copies of the guest's second-stage tables on the host, one for each guest
 * domain, for the bindings whose context or PASID table entry says so.
 *
 * The guest tells of every page it maps and unmaps (CAP.CM); an IOTLB invalidation has the
 * copies of its domain made equal where it says. That takes place before the VMM's call
 * returns, and so before the guest sees its wait completed.
 *
 * Invariants: a shadow lives as long as a binding has it, or is to have it when the host
 * lets it. What cannot be mapped is told for each of its requester IDs, and the rest
 * stands; a host that does not unmap has all bindings blocked.
 *
 * Down the path: core/shadow.h, second-stage.c. Beside: vtd-accel-bindings.c.
 */

#include "vtd.h"

struct ViommuiVtdShadow {
    ViommuVtdAccel *accel;
    ViommuiVtdHost *host;
    ViommuiVtdSecondStage tables;
    guint16 did;
    ViommuiShadow *shadow;
    GHashTable *bindings; /* a set of ViommuiVtdBinding */
};

gboolean viommui_vtd_can_shadow(const ViommuVtdAccel *accel)
{
    return accel->config.read_memory && viommui_field_get(accel->config.cap, CAP_CM);
}

/* --- the source -------------------------------------------------------------------------
 */

static gboolean walk(guint64 first, guint64 last, ViommuiShadowVisit visit,
                     void *visit_data, void *user_data)
{
    const ViommuiVtdShadow *shadow = user_data;
    const ViommuServices services = {.read_memory = shadow->accel->config.read_memory,
                                     .user_data = shadow->accel->config.user_data};

    return viommui_vtd_visit_second_stage(&services, &shadow->tables, first, last, visit,
                                          visit_data);
}

static void failed(guint64 iova, ViommuResult result, void *user_data)
{
    ViommuiVtdShadow *shadow = user_data;
    GHashTableIter iter;
    gpointer binding;

    g_hash_table_iter_init(&iter, shadow->bindings);
    while (g_hash_table_iter_next(&iter, &binding, NULL))
        viommui_vtd_binding_refuse_page(shadow->accel, binding, iova, result);
}

/* It goes with the last of them. */
static void broken(ViommuResult result, void *user_data)
{
    ViommuiVtdShadow *shadow = user_data;
    ViommuVtdAccel *accel = shadow->accel;
    g_autofree gpointer *bindings = NULL;
    guint n;

    bindings = g_hash_table_get_keys_as_array(shadow->bindings, &n);
    for (guint i = 0; i < n; i++)
        viommui_vtd_binding_fail(accel, bindings[i], result);
}

/* --- life -------------------------------------------------------------------------------
 */

static gboolean is_of(const ViommuiVtdShadow *shadow, const ViommuiVtdBinding *binding,
                      const ViommuiVtdSecondStage *tables, guint16 did)
{
    return shadow->host == binding->device->host && shadow->did == did &&
           shadow->tables.table == tables->table && shadow->tables.levels == tables->levels;
}

static ViommuiVtdShadow *find(ViommuVtdAccel *accel, const ViommuiVtdBinding *binding,
                              const ViommuiVtdSecondStage *tables, guint16 did)
{
    g_autoptr(GPtrArray) shadows = g_ptr_array_new();

    viommui_index_collect(accel->shadow_by_did, did, shadows);
    for (guint i = 0; i < shadows->len; i++)
        if (is_of(shadows->pdata[i], binding, tables, did))
            return shadows->pdata[i];
    return NULL;
}

static ViommuResult shadow_new(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                               const ViommuiVtdSecondStage *tables, guint16 did,
                               ViommuiVtdShadow **ret_shadow)
{
    ViommuiVtdShadow *self = g_new0(ViommuiVtdShadow, 1);
    const ViommuiShadowSource source = {
        .walk = walk, .failed = failed, .broken = broken, .user_data = self};
    ViommuResult result = viommui_shadow_new(
        binding->device->host->viommu, binding->device->device, &source, &self->shadow);

    if (result != VIOMMU_OK) {
        g_free(self);
        return result;
    }
    self->accel = accel;
    self->host = binding->device->host;
    self->tables = *tables;
    self->did = did;
    self->bindings = g_hash_table_new(NULL, NULL);
    g_ptr_array_add(accel->shadows, self);
    viommui_index_add(accel->shadow_by_did, did, self);
    *ret_shadow = self;
    return VIOMMU_OK;
}

void viommui_vtd_shadow_leave(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    ViommuiVtdShadow *self = binding->shadow;

    if (!self)
        return;
    binding->shadow = NULL;
    g_hash_table_remove(self->bindings, binding);
    if (g_hash_table_size(self->bindings))
        return;
    g_ptr_array_remove_fast(accel->shadows, self);
    viommui_index_remove(accel->shadow_by_did, self->did, self);
    viommui_shadow_free(self->shadow);
    g_hash_table_unref(self->bindings);
    g_free(self);
}

/* The copy is whole before a device has it; where it cannot be kept so, nobody does. */
static ViommuResult prepare(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                            const ViommuiVtdSecondStage *tables, guint16 did,
                            ViommuiVtdShadow **ret_shadow)
{
    ViommuResult result = shadow_new(accel, binding, tables, did, ret_shadow);

    if (result != VIOMMU_OK)
        return result;
    /* Its failures are this binding's to hear of. */
    g_hash_table_add((*ret_shadow)->bindings, binding);
    return viommui_shadow_sync((*ret_shadow)->shadow, 0, G_MAXUINT64);
}

/* Where it cannot be made fit for this device, it is nobody's any more: *shadow is NULL. */
static ViommuResult admit(ViommuiVtdShadow **shadow, ViommuHostDevice *device)
{
    ViommuResult result = viommui_shadow_admit((*shadow)->shadow, device);

    if (result != VIOMMU_OK)
        broken(result, g_steal_pointer(shadow));
    return result;
}

/* It may come to have its copy without being asked: at the end of a reset, or of a quarrel.
 */
static gboolean waits(const ViommuiVtdBinding *binding)
{
    ViommuHostDevice *device = binding->device->device;

    return viommui_host_device_is_pending(device, binding->pasid) ||
           viommui_host_device_get_attachment(device, binding->pasid) == VIOMMUI_SHADOW;
}

ViommuResult viommui_vtd_shadow_attach(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                       const ViommuiVtdSecondStage *tables, guint16 did)
{
    ViommuHostDevice *device = binding->device->device;
    ViommuiVtdShadow *shadow = find(accel, binding, tables, did);
    ViommuiVtdBinding former = {.shadow = NULL};
    ViommuResult result = VIOMMU_OK;

    if (!shadow)
        result = prepare(accel, binding, tables, did, &shadow);
    else
        result = admit(&shadow, device);
    if (shadow && shadow != binding->shadow) {
        former.shadow = binding->shadow;
        if (former.shadow)
            g_hash_table_remove(former.shadow->bindings, binding);
        binding->shadow = shadow;
        g_hash_table_add(shadow->bindings, binding);
    }
    if (result == VIOMMU_OK)
        result = viommui_host_device_shadow(device, binding->pasid, shadow->shadow,
                                            VIOMMUI_FAIL_CLOSED);
    else
        viommui_host_device_detach(device, binding->pasid, VIOMMUI_BLOCKED,
                                   VIOMMUI_FAIL_CLOSED);
    /* What it had goes when it is not attached to that any more. */
    viommui_vtd_shadow_leave(accel, &former);
    /* Then it is to find the table as it is then; so are others of its group. */
    if (result != VIOMMU_OK && !waits(binding))
        viommui_vtd_shadow_leave(accel, binding);
    return result;
}

/* --- kept -------------------------------------------------------------------------------
 */

static void sync_one(ViommuiVtdShadow *self, guint64 first, guint64 last)
{
    ViommuResult result = viommui_shadow_sync(self->shadow, first, last);

    if (result != VIOMMU_OK)
        broken(result, self);
}

void viommui_vtd_sync_shadows(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor)
{
    gboolean pages = descriptor->granularity == VIOMMUI_GRANULARITY_PAGE;
    g_autoptr(GPtrArray) shadows = g_ptr_array_new();

    if (descriptor->granularity == VIOMMUI_GRANULARITY_GLOBAL)
        g_ptr_array_extend(shadows, accel->shadows, NULL, NULL);
    else
        viommui_index_collect(accel->shadow_by_did, descriptor->did, shadows);
    for (guint i = 0; i < shadows->len; i++)
        sync_one(shadows->pdata[i], pages ? descriptor->first : 0,
                 pages ? descriptor->last : G_MAXUINT64);
}
