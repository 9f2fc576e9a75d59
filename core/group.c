/* SPDX-License-Identifier: MIT */
/*
 * IOMMU groups: the unit of what the host attaches.
 *
 * Every device is in exactly one group, alone in it when its group is unknown. Members each
 * want something; the group gets what all agree on, and BLOCKED while they do not, or while
 * one wants that (a device that no vIOMMU has does). Callers keep members from being had by
 * different host vIOMMUs.
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
        group->doubtful = g_ptr_array_new();
        group->known = TRUE;
        if (number != VIOMMU_GROUP_ASK)
            g_hash_table_insert(groups, GINT_TO_POINTER(number), group);
    }
    /* A newcomer is not attached to what the others are. */
    if (!known || group->hwpt)
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
    viommui_group_drop_all(group);
    g_ptr_array_unref(group->members);
    g_ptr_array_unref(group->doubtful);
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
    const ViommuHostDevice *first = group->members->pdata[0];
    const ViommuiAttachment *wanted = &first->wanted;
    const ViommuiHostViommu *hv = NULL;
    gboolean blocked = FALSE;

    for (guint i = 0; i < group->members->len; i++) {
        const ViommuHostDevice *member = group->members->pdata[i];

        hv = hv ? hv : member->viommu;
        blocked = blocked || member->wanted.kind == VIOMMUI_BLOCKED ||
                  !same_attachment(first, member);
    }
    if (blocked)
        return hv && hv->blocked ? hv->blocked->hwpt : 0;
    if (wanted->kind == VIOMMUI_NESTED)
        return wanted->config->hwpt;
    return hv->identity ? hv->identity->hwpt
                        : group->host->ops->viommu_get_parent(hv->backend);
}

void viommui_group_drop(ViommuiGroup *group, ViommuiConfig *config)
{
    if (group->known)
        viommui_config_unref(config);
    else if (config)
        g_ptr_array_add(group->doubtful, config);
}

void viommui_group_drop_all(ViommuiGroup *group)
{
    for (guint i = 0; i < group->doubtful->len; i++)
        viommui_config_unref(group->doubtful->pdata[i]);
    g_ptr_array_set_size(group->doubtful, 0);
}

static ViommuResult settle(ViommuiGroup *group, ViommuResult result, guint32 hwpt)
{
    group->known = result == VIOMMU_OK;
    group->hwpt = hwpt;
    if (group->known)
        viommui_group_drop_all(group);
    return result;
}

ViommuResult viommui_group_detach(ViommuiGroup *group)
{
    ViommuResult result = VIOMMU_OK;

    for (guint i = 0; i < group->members->len; i++) {
        ViommuResult one = viommui_backend_detach(group->members->pdata[i]);

        if (result == VIOMMU_OK)
            result = one;
    }
    return settle(group, result, 0);
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
    return settle(group, result, hwpt);
}
