/* SPDX-License-Identifier: MIT */
/*
 * Units: what the host attaches as one. The requester IDs of an IOMMU group are one, and
 * each PASID of a device is one with a single member.
 *
 * Members each want something; the unit gets what all agree on, and BLOCKED while they do
 * not, or while one wants that (a device that no vIOMMU has does). Callers keep members
 * from being had by different host vIOMMUs.
 *
 * Invariants: while `known`, every member is attached to `hwpt`, or the host refuses its
 * DMA (0). After a failed host call nothing is known, and everybody is detached
 * before anything else is tried: a host whose replace failed may have torn the old
 * attachment down, or may think it still has it.
 *
 * Up the path: slot.c, group.c. Down the path: backend.c.
 */

#include "private.h"

void viommui_unit_init(ViommuiUnit *unit, ViommuHost *host)
{
    unit->host = host;
    unit->members = g_ptr_array_new();
    unit->doubtful = g_ptr_array_new();
    unit->known = TRUE;
    unit->hwpt = 0;
}

void viommui_unit_clear(ViommuiUnit *unit)
{
    viommui_unit_drop_all(unit);
    g_ptr_array_unref(unit->members);
    g_ptr_array_unref(unit->doubtful);
}

static gboolean same_attachment(const ViommuiSlot *a, const ViommuiSlot *b)
{
    return a->wanted.kind == b->wanted.kind && a->wanted.config == b->wanted.config;
}

const ViommuiSlot *viommui_unit_find_conflict(const ViommuiSlot *slot)
{
    if (slot->wanted.kind == VIOMMUI_BLOCKED)
        return NULL;
    for (guint i = 0; i < slot->unit->members->len; i++) {
        const ViommuiSlot *other = slot->unit->members->pdata[i];

        if (other->wanted.kind != VIOMMUI_BLOCKED && !same_attachment(slot, other))
            return other;
    }
    return NULL;
}

/* The HWPT for what the unit wants; 0: a detach. */
static guint32 wanted_hwpt(const ViommuiUnit *unit)
{
    const ViommuiSlot *first = unit->members->pdata[0];
    const ViommuiAttachment *wanted = &first->wanted;
    const ViommuiHostViommu *hv = NULL;
    gboolean blocked = FALSE;

    for (guint i = 0; i < unit->members->len; i++) {
        const ViommuiSlot *member = unit->members->pdata[i];

        hv = hv ? hv : member->device->viommu;
        blocked = blocked || member->wanted.kind == VIOMMUI_BLOCKED ||
                  !same_attachment(first, member);
    }
    /* A PASID that is blocked is to cost nothing, on the host either. */
    if (blocked)
        return hv && hv->blocked && first->pasid == VIOMMUI_NO_PASID ? hv->blocked->hwpt
                                                                     : 0;
    if (wanted->config)
        return wanted->config->hwpt;
    return hv->identity ? hv->identity->hwpt
                        : unit->host->ops->viommu_get_parent(hv->backend);
}

void viommui_unit_drop(ViommuiUnit *unit, ViommuiConfig *config)
{
    if (unit->known)
        viommui_config_unref(config);
    else if (config)
        g_ptr_array_add(unit->doubtful, config);
}

void viommui_unit_drop_all(ViommuiUnit *unit)
{
    for (guint i = 0; i < unit->doubtful->len; i++)
        viommui_config_unref(unit->doubtful->pdata[i]);
    g_ptr_array_set_size(unit->doubtful, 0);
}

static ViommuResult settle(ViommuiUnit *unit, ViommuResult result, guint32 hwpt)
{
    unit->known = result == VIOMMU_OK;
    unit->hwpt = hwpt;
    if (unit->known)
        viommui_unit_drop_all(unit);
    return result;
}

ViommuResult viommui_unit_detach(ViommuiUnit *unit)
{
    ViommuResult result = VIOMMU_OK;

    for (guint i = 0; i < unit->members->len; i++) {
        ViommuResult one = viommui_backend_detach(unit->members->pdata[i]);

        if (result == VIOMMU_OK)
            result = one;
    }
    return settle(unit, result, 0);
}

ViommuResult viommui_unit_apply(ViommuiUnit *unit)
{
    guint32 hwpt = wanted_hwpt(unit);
    ViommuResult result = VIOMMU_OK;

    if (unit->known && unit->hwpt == hwpt)
        return VIOMMU_OK;
    if (!unit->known || hwpt == 0) {
        result = viommui_unit_detach(unit);
        if (result != VIOMMU_OK || hwpt == 0)
            return result;
    }
    /* The first attach moves the whole unit, the others make the members follow. */
    for (guint i = 0; i < unit->members->len && result == VIOMMU_OK; i++)
        result = viommui_backend_attach(unit->members->pdata[i], hwpt);
    return settle(unit, result, hwpt);
}

void viommui_unit_apply_or_block(ViommuiUnit *unit)
{
    if (viommui_unit_apply(unit) == VIOMMU_OK)
        return;
    viommui_unit_detach(unit);
    for (guint i = 0; i < unit->members->len; i++) {
        ViommuiSlot *member = unit->members->pdata[i];

        viommui_unit_drop(unit, member->wanted.config);
        member->wanted = (ViommuiAttachment){VIOMMUI_BLOCKED, NULL};
    }
}
