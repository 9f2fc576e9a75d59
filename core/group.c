/* SPDX-License-Identifier: MIT */
/*
 * IOMMU groups: whose requester IDs the host attaches as one.
 *
 * Every device is in exactly one group, alone in it when its group is unknown. What is
 * attached is unit.c's business.
 */

#include "private.h"

ViommuiGroup *viommui_group_join(ViommuHostDevice *device, int number, gboolean known)
{
    GHashTable *groups = device->host->groups;
    ViommuiGroup *group = NULL;

    if (number != VIOMMU_GROUP_ASK)
        group = g_hash_table_lookup(groups, GINT_TO_POINTER(number));
    if (!group) {
        group = g_new0(ViommuiGroup, 1);
        group->host = device->host;
        group->number = number;
        viommui_unit_init(&group->unit, device->host);
        if (number != VIOMMU_GROUP_ASK)
            g_hash_table_insert(groups, GINT_TO_POINTER(number), group);
    }
    /* A newcomer is not attached to what the others are. */
    if (!known || group->unit.hwpt)
        group->unit.known = FALSE;
    g_ptr_array_add(group->unit.members, &device->requester_id);
    return group;
}

void viommui_group_leave(ViommuHostDevice *device)
{
    ViommuiGroup *group = device->group;

    g_ptr_array_remove_fast(group->unit.members, &device->requester_id);
    if (group->unit.members->len)
        return;
    if (group->number != VIOMMU_GROUP_ASK)
        g_hash_table_remove(group->host->groups, GINT_TO_POINTER(group->number));
    viommui_unit_clear(&group->unit);
    g_free(group);
}

const ViommuHostDevice *viommui_group_find_stranger(const ViommuiGroup *group,
                                                    const ViommuiHostViommu *hv)
{
    for (guint i = 0; i < group->unit.members->len; i++) {
        const ViommuiSlot *member = group->unit.members->pdata[i];

        if (member->device->viommu && member->device->viommu != hv)
            return member->device;
    }
    return NULL;
}

gboolean viommui_host_device_has_mates(const ViommuHostDevice *device)
{
    return device->group->unit.members->len > 1;
}

gboolean viommui_host_device_is_mate(const ViommuHostDevice *device,
                                     const ViommuHostDevice *other)
{
    return device != other && device->group == other->group;
}

const ViommuHostDevice *viommui_group_find_other(const ViommuHostDevice *device)
{
    for (guint i = 0; i < device->group->unit.members->len; i++) {
        const ViommuiSlot *member = device->group->unit.members->pdata[i];

        if (member->device != device)
            return member->device;
    }
    return NULL;
}
