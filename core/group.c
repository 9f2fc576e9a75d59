/* SPDX-License-Identifier: MIT */
/*
 * IOMMU groups: the unit of what the host attaches.
 *
 * Every device is in exactly one group, alone in it when its group is unknown. Members each
 * want something; the group gets BLOCKED if any wants that (a device in no vIOMMU's hands
 * does), else what all agree on. Callers keep members from disagreeing, and from being in
 * the hands of different host vIOMMUs.
 *
 * Invariants: while `known`, every member is attached to `hwpt`, or the host refuses its
 * DMA (0). After a failed host call nothing is known, and everybody is detached
 * before anything else is tried: a host whose replace failed may have torn the old
 * attachment down, or may think it still has it.
 *
 * Down the path: backend.c.
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
        group->members = g_ptr_array_new();
        group->known = TRUE;
        if (number != VIOMMU_GROUP_ASK)
            g_hash_table_insert(groups, GINT_TO_POINTER(number), group);
    }
    if (!known)
        group->known = FALSE;
    g_ptr_array_add(group->members, device);
    return group;
}

void viommui_group_leave(ViommuHostDevice *device)
{
    ViommuiGroup *group = device->group;

    g_ptr_array_remove_fast(group->members, device);
    if (group->members->len)
        return;
    if (group->number != VIOMMU_GROUP_ASK)
        g_hash_table_remove(group->host->groups, GINT_TO_POINTER(group->number));
    g_ptr_array_unref(group->members);
    g_free(group);
}

static gboolean same_attachment(const ViommuHostDevice *a, const ViommuHostDevice *b)
{
    return a->wanted.kind == b->wanted.kind && a->wanted.config == b->wanted.config;
}

const ViommuHostDevice *viommui_group_find_stranger(const ViommuiGroup *group,
                                                    const ViommuiHostViommu *hv)
{
    for (guint i = 0; i < group->members->len; i++) {
        const ViommuHostDevice *member = group->members->pdata[i];

        if (member->viommu && member->viommu != hv)
            return member;
    }
    return NULL;
}

ViommuHostDevice *viommui_group_find_conflict(ViommuHostDevice *device)
{
    if (device->wanted.kind == VIOMMUI_BLOCKED)
        return NULL;
    for (guint i = 0; i < device->group->members->len; i++) {
        ViommuHostDevice *other = device->group->members->pdata[i];

        if (other->wanted.kind != VIOMMUI_BLOCKED && !same_attachment(device, other))
            return other;
    }
    return NULL;
}

/* The HWPT for what the group wants; 0: a detach. */
static guint32 wanted_hwpt(const ViommuiGroup *group)
{
    const ViommuiHostViommu *hv = NULL;
    const ViommuiAttachment *wanted = NULL;
    gboolean blocked = FALSE;

    for (guint i = 0; i < group->members->len; i++) {
        const ViommuHostDevice *member = group->members->pdata[i];

        hv = hv ? hv : member->viommu;
        wanted = &member->wanted;
        blocked = blocked || wanted->kind == VIOMMUI_BLOCKED;
    }
    if (blocked)
        return hv && hv->blocked ? hv->blocked->hwpt : 0;
    if (wanted->kind == VIOMMUI_NESTED)
        return wanted->config->hwpt;
    return hv->identity ? hv->identity->hwpt
                        : group->host->ops->slice_get_parent(hv->slice);
}

ViommuResult viommui_group_detach(ViommuiGroup *group)
{
    ViommuResult result = VIOMMU_OK;

    for (guint i = 0; i < group->members->len; i++) {
        ViommuResult one = viommui_backend_detach(group->members->pdata[i]);

        if (result == VIOMMU_OK)
            result = one;
    }
    group->known = result == VIOMMU_OK;
    group->hwpt = 0;
    return result;
}

ViommuResult viommui_group_apply(ViommuiGroup *group)
{
    guint32 hwpt = wanted_hwpt(group);
    ViommuResult result = VIOMMU_OK;

    if (group->known && group->hwpt == hwpt)
        return VIOMMU_OK;
    if (!group->known || hwpt == 0) {
        result = viommui_group_detach(group);
        if (result != VIOMMU_OK || hwpt == 0)
            return result;
    }
    /* The first attach moves the whole group, the others make the members follow. */
    for (guint i = 0; i < group->members->len && result == VIOMMU_OK; i++)
        result = viommui_backend_attach(group->members->pdata[i], hwpt);
    group->known = result == VIOMMU_OK;
    group->hwpt = hwpt;
    return result;
}
