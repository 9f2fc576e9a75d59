/* SPDX-License-Identifier: MIT */
/*
 * Attachments and the three verbs: bind, replace, detach; of requester IDs and PASIDs
 * alike.
 *
 * The vendors' face of slots: what is asked is checked here, and done by slot.c. What the
 * guest is told comes from the result; what was wrong goes to the trace.
 *
 * Up the path: vendors/. Down the path: slot.c.
 */

#include "private.h"

/* --- the verbs ---------------------------------------------------------------------- */

static ViommuResult refuse(ViommuHostDevice *device, guint32 pasid, const char *why)
{
    if (pasid == VIOMMUI_NO_PASID)
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED, "%s %s",
                              device->name, why);
    return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED, "PASID %u of %s %s",
                          pasid, device->name, why);
}

/* For what the host takes for granted: requests without PASID are its PASID 0. */
static gboolean is_reserved(guint32 pasid)
{
    return pasid == 0;
}

/* A PASID would be that of this device too; or NULL. */
static const ViommuHostDevice *find_sharer(const ViommuHostDevice *device, guint32 pasid)
{
    return pasid == VIOMMUI_NO_PASID ? NULL : viommui_group_find_other(device);
}

/* What a host takes for granted about a PASID is asked here, by name. */
static ViommuResult check_pasid(ViommuHostDevice *device, guint32 pasid)
{
    const ViommuHostDevice *other;

    if (pasid == VIOMMUI_NO_PASID)
        return VIOMMU_OK;
    if (!device->viommu)
        return refuse(device, pasid, "is in no vIOMMU's hands");
    if (!device->viommu->pasids)
        return refuse(device, pasid, "is in the hands of a vIOMMU made without PASIDs");
    if (is_reserved(pasid))
        return refuse(device, pasid, "is the requester ID to the host");
    if (device->info.pasid_bits < 32 && pasid >> device->info.pasid_bits)
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "PASID %u of %s is out of range: the device has %u bits",
                              pasid, device->name, device->info.pasid_bits);
    other = find_sharer(device, pasid);
    if (other)
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "PASID %u of %s would be that of %s too: both are in IOMMU "
                              "group %d",
                              pasid, device->name, other->name, device->group->number);
    return VIOMMU_OK;
}

static ViommuResult check_nested(ViommuHostDevice *device, guint32 pasid, gboolean bound)
{
    ViommuResult result = check_pasid(device, pasid);
    gboolean nested = viommui_host_device_get_attachment(device, pasid) == VIOMMUI_NESTED;

    if (result != VIOMMU_OK)
        return result;
    if (!device->viommu)
        return refuse(device, pasid, "is in no vIOMMU's hands");
    if (!bound && nested)
        return refuse(device, pasid,
                      "is bound to another configuration: that is a replace");
    if (bound && !nested)
        return refuse(device, pasid, "is not bound: that is a bind");
    return VIOMMU_OK;
}

static ViommuResult bind_or_replace(ViommuHostDevice *device, guint32 pasid,
                                    const ViommuiStage1 *stage1,
                                    ViommuiOnFailure on_failure, gboolean bound)
{
    ViommuResult result;

    if (viommui_host_device_is_bound_to(device, pasid, stage1))
        return VIOMMU_OK;
    result = check_nested(device, pasid, bound);
    if (result != VIOMMU_OK)
        return result;
    return viommui_slot_set_nested(viommui_slot_obtain(device, pasid), stage1, on_failure);
}

ViommuResult viommui_host_device_bind(ViommuHostDevice *device, guint32 pasid,
                                      const ViommuiStage1 *stage1,
                                      ViommuiOnFailure on_failure)
{
    return bind_or_replace(device, pasid, stage1, on_failure, FALSE);
}

ViommuResult viommui_host_device_replace(ViommuHostDevice *device, guint32 pasid,
                                         const ViommuiStage1 *stage1,
                                         ViommuiOnFailure on_failure)
{
    return bind_or_replace(device, pasid, stage1, on_failure, TRUE);
}

ViommuResult viommui_host_device_detach(ViommuHostDevice *device, guint32 pasid,
                                        ViommuiAttachmentKind to,
                                        ViommuiOnFailure on_failure)
{
    ViommuResult result;
    ViommuiSlot *slot;

    /* What was never attached is blocked, whatever it is; and what was can be. */
    if (to == VIOMMUI_BLOCKED) {
        slot = viommui_slot_find(device, pasid);
        return slot ? viommui_slot_set(slot, to, on_failure) : VIOMMU_OK;
    }
    result = check_pasid(device, pasid);
    if (result != VIOMMU_OK)
        return result;
    if (to == VIOMMUI_NESTED || to == VIOMMUI_SHADOW ||
        (to == VIOMMUI_IDENTITY && !device->viommu))
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "%s cannot be detached to attachment %d", device->name, to);
    slot = viommui_slot_obtain(device, pasid);
    return viommui_slot_set(slot, to, on_failure);
}

ViommuResult viommui_host_device_set_shadow(ViommuHostDevice *device, guint32 pasid,
                                            ViommuiConfig *config,
                                            ViommuiOnFailure on_failure)
{
    ViommuResult result = check_pasid(device, pasid);

    if (result != VIOMMU_OK)
        return result;
    if (!device->viommu)
        return refuse(device, pasid, "is in no vIOMMU's hands");
    return viommui_slot_set_shadow(viommui_slot_obtain(device, pasid), config, on_failure);
}

ViommuResult viommui_host_device_rebind(ViommuHostDevice *device, guint32 pasid)
{
    ViommuiSlot *slot = viommui_slot_find(device, pasid);

    return slot ? viommui_slot_renew(slot) : VIOMMU_OK;
}

/* --- what it has now ---------------------------------------------------------------- */

gboolean viommui_host_device_is_bound_to(ViommuHostDevice *device, guint32 pasid,
                                         const ViommuiStage1 *stage1)
{
    const ViommuiSlot *slot = viommui_slot_find(device, pasid);

    return slot && slot->wanted.config && viommui_config_is(slot->wanted.config, stage1) &&
           slot->unit->known && !viommui_unit_find_conflict(slot);
}

ViommuiAttachmentKind viommui_host_device_get_attachment(ViommuHostDevice *device,
                                                         guint32 pasid)
{
    const ViommuiSlot *slot = viommui_slot_find(device, pasid);

    return slot ? slot->wanted.kind : VIOMMUI_BLOCKED;
}

ViommuiConfig *viommui_host_device_get_config(ViommuHostDevice *device, guint32 pasid)
{
    const ViommuiSlot *slot = viommui_slot_find(device, pasid);

    return slot ? slot->wanted.config : NULL;
}

gboolean viommui_host_device_is_contested(ViommuHostDevice *device, guint32 pasid)
{
    const ViommuiSlot *slot = viommui_slot_find(device, pasid);

    return is_reserved(pasid) || find_sharer(device, pasid) ||
           (slot && viommui_unit_find_conflict(slot));
}

gboolean viommui_host_device_is_pending(ViommuHostDevice *device, guint32 pasid)
{
    const ViommuiSlot *slot = viommui_slot_find(device, pasid);

    return slot && slot->is_pending;
}

gboolean viommui_host_device_is_at_large(ViommuHostDevice *device, guint32 pasid)
{
    const ViommuiSlot *slot = viommui_slot_find(device, pasid);

    return slot && slot->is_pending && slot->pending.kind == VIOMMUI_BLOCKED;
}

/* --- changes that were put off ------------------------------------------------------ */

ViommuResult viommui_host_device_retry(ViommuHostDevice *device, guint32 pasid)
{
    ViommuiSlot *slot = viommui_slot_find(device, pasid);

    return slot ? viommui_slot_retry(slot) : VIOMMU_OK;
}

static ViommuResult retry_all(ViommuHostDevice *device)
{
    GList *slots = g_hash_table_get_values(device->pasids);
    ViommuResult first = viommui_slot_retry(&device->requester_id);

    for (GList *l = slots; l; l = l->next) {
        ViommuResult result = viommui_slot_retry(l->data);

        if (first == VIOMMU_OK)
            first = result;
    }
    g_list_free(slots);
    return first;
}

ViommuResult viommu_host_device_reset_done(ViommuHostDevice *device)
{
    const GPtrArray *members = device->group->unit.members;
    ViommuResult first = VIOMMU_OK;

    /* While one is reset, the host refuses changes of any member of its group. */
    for (guint i = 0; i < members->len; i++) {
        ViommuiSlot *member = members->pdata[i];
        ViommuResult result = retry_all(member->device);

        if (first == VIOMMU_OK)
            first = result;
    }
    return first;
}
