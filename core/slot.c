/* SPDX-License-Identifier: MIT */
/*
 * Slots: what a device's requester ID, or one of its PASIDs, has, and how that changes.
 *
 * A change states what the slot wants, has its unit applied, and on failure settles for
 * what the caller asked for in that case, and for BLOCKED if that fails too. It is the same
 * for both kinds of slot: the unit knows whom else it concerns.
 *
 * Invariants: `wanted` is what the slot has, as far as it has a say in its unit, but for
 * one whose last host call failed even at detaching (the unit is then not `known`). A
 * config is attached before the reference to the one before it is dropped. A PASID has a
 * slot only while there is something to remember of it: an attachment, a change that was
 * put off, or doubt about what the host has.
 *
 * Up the path: attachment.c, host-device.c. Down the path: unit.c, config.c.
 */

#include "private.h"

static const ViommuiAttachment blocked = {VIOMMUI_BLOCKED, NULL};

/* --- their life --------------------------------------------------------------------- */

/* A PASID is attached alone, so its slot and its unit come and go together. */
typedef struct {
    ViommuiSlot slot;
    ViommuiUnit unit;
} PasidSlot;

static void init_slot(ViommuiSlot *slot, ViommuHostDevice *device, guint32 pasid,
                      ViommuiUnit *unit)
{
    slot->device = device;
    slot->pasid = pasid;
    slot->unit = unit;
    slot->wanted = slot->pending = blocked;
    slot->is_pending = FALSE;
}

static void pasid_slot_free(gpointer data)
{
    PasidSlot *self = data;

    viommui_unit_clear(&self->unit);
    g_free(self);
}

void viommui_slots_init(ViommuHostDevice *device)
{
    init_slot(&device->requester_id, device, VIOMMUI_NO_PASID, &device->group->unit);
    device->pasids = g_hash_table_new_full(NULL, NULL, NULL, pasid_slot_free);
}

void viommui_slots_clear(ViommuHostDevice *device)
{
    g_hash_table_unref(device->pasids);
}

ViommuiSlot *viommui_slot_find(ViommuHostDevice *device, guint32 pasid)
{
    if (pasid == VIOMMUI_NO_PASID)
        return &device->requester_id;
    return g_hash_table_lookup(device->pasids, GUINT_TO_POINTER(pasid));
}

ViommuiSlot *viommui_slot_obtain(ViommuHostDevice *device, guint32 pasid)
{
    ViommuiSlot *slot = viommui_slot_find(device, pasid);
    PasidSlot *self;

    if (slot)
        return slot;
    self = g_new0(PasidSlot, 1);
    viommui_unit_init(&self->unit, device->host);
    init_slot(&self->slot, device, pasid, &self->unit);
    g_ptr_array_add(self->unit.members, &self->slot);
    g_hash_table_insert(device->pasids, GUINT_TO_POINTER(pasid), self);
    return &self->slot;
}

/* After every change: it may be gone afterwards. */
static void release(ViommuiSlot *slot)
{
    if (slot->pasid != VIOMMUI_NO_PASID && slot->wanted.kind == VIOMMUI_BLOCKED &&
        !slot->is_pending && slot->unit->known)
        g_hash_table_remove(slot->device->pasids, GUINT_TO_POINTER(slot->pasid));
}

static void drop(ViommuiSlot *slot, ViommuiAttachment attachment)
{
    viommui_unit_drop(slot->unit, attachment.config);
}

static void forget_pending(ViommuiSlot *slot)
{
    drop(slot, slot->pending);
    slot->pending = blocked;
    slot->is_pending = FALSE;
}

static void put_off(ViommuiSlot *slot, ViommuiAttachment to)
{
    slot->pending = to;
    slot->is_pending = TRUE;
}

/* BLOCKED by a detach; where that is refused, the unit is not known. */
static void leave(ViommuiSlot *slot)
{
    ViommuiAttachment old = slot->wanted;

    forget_pending(slot);
    slot->wanted = blocked;
    viommui_unit_detach(slot->unit);
    drop(slot, old);
    /* The host vIOMMU that the configs belong to may go next. */
    viommui_unit_drop_all(slot->unit);
}

gboolean viommui_slots_leave_pasids(ViommuHostDevice *device)
{
    GList *slots = g_hash_table_get_values(device->pasids);

    for (GList *l = slots; l; l = l->next) {
        leave(l->data);
        release(l->data);
    }
    g_list_free(slots);
    return g_hash_table_size(device->pasids) == 0;
}

void viommui_slots_leave(ViommuHostDevice *device)
{
    viommui_slots_leave_pasids(device);
    leave(&device->requester_id);
}

/* --- changing what one has ---------------------------------------------------------- */

/*
 * The unit gets what its members want now, in which one is to be blocked; or is detached.
 */
static gboolean block(ViommuiSlot *slot, gboolean in_best_form)
{
    return (in_best_form && viommui_unit_apply(slot->unit) == VIOMMU_OK) ||
           viommui_unit_detach(slot->unit) == VIOMMU_OK;
}

/* `to` is not what the others of the unit have: refused, and they are blocked with it. */
static ViommuResult disagree(ViommuiSlot *slot, const ViommuiSlot *other,
                             ViommuiAttachment old, ViommuiOnFailure on_failure)
{
    ViommuHostDevice *device = slot->device;
    ViommuiAttachment to = slot->wanted;
    ViommuResult result =
        viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                       "%s is in IOMMU group %d with %s, whose configuration differs",
                       device->name, device->group->number, other->device->name);

    if (on_failure == VIOMMUI_KEEP_OLD) {
        slot->wanted = old;
        drop(slot, to);
        return result;
    }
    /* What it wants stands: when the others want it too, all have it. */
    if (!block(slot, TRUE)) {
        put_off(slot, blocked);
        result = VIOMMU_HOST_GONE;
    }
    drop(slot, old);
    return result;
}

/* The host has refused `to`, which the slot wants: settle for what is left. */
static ViommuResult settle(ViommuiSlot *slot, ViommuResult result, ViommuiAttachment old,
                           ViommuiOnFailure on_failure)
{
    ViommuiAttachment to = slot->wanted;

    if (to.kind != VIOMMUI_BLOCKED && on_failure == VIOMMUI_KEEP_OLD) {
        slot->wanted = old;
        if (viommui_unit_apply(slot->unit) == VIOMMU_OK) {
            drop(slot, to);
            return result;
        }
    }
    slot->wanted = blocked;
    if (!block(slot, to.kind != VIOMMUI_BLOCKED && result != VIOMMU_TRANSIENT)) {
        put_off(slot, blocked);
        result = VIOMMU_HOST_GONE;
    } else if (to.kind == VIOMMUI_BLOCKED) {
        result = VIOMMU_OK;
    } else if (result == VIOMMU_TRANSIENT) {
        put_off(slot, to);
        to = blocked;
    }
    drop(slot, to);
    drop(slot, old);
    return result;
}

/* Takes over the reference that `to` holds. */
static ViommuResult change(ViommuiSlot *slot, ViommuiAttachment to,
                           ViommuiOnFailure on_failure)
{
    ViommuiAttachment old = slot->wanted;
    const ViommuiSlot *other;
    ViommuResult result;

    forget_pending(slot);
    slot->wanted = to;
    other = viommui_unit_find_conflict(slot);
    if (other)
        return disagree(slot, other, old, on_failure);
    result = viommui_unit_apply(slot->unit);
    if (result != VIOMMU_OK)
        return settle(slot, result, old, on_failure);
    drop(slot, old);
    return VIOMMU_OK;
}

static ViommuResult change_to_nested(ViommuiSlot *slot, const ViommuiStage1 *stage1,
                                     ViommuiOnFailure on_failure)
{
    ViommuHostDevice *device = slot->device;
    ViommuiAttachment to = {VIOMMUI_NESTED, NULL};
    ViommuResult result = viommui_config_get(device->viommu, device, stage1, &to.config);

    if (result == VIOMMU_OK)
        return change(slot, to, on_failure);
    /* Nothing was changed on the host yet. */
    if (on_failure == VIOMMUI_FAIL_CLOSED) {
        ViommuResult now = change(slot, blocked, on_failure);

        if (now != VIOMMU_OK)
            return VIOMMU_HOST_GONE;
    }
    return result;
}

ViommuResult viommui_slot_set(ViommuiSlot *slot, ViommuiAttachmentKind to,
                              ViommuiOnFailure on_failure)
{
    ViommuResult result = change(slot, (ViommuiAttachment){to, NULL}, on_failure);

    release(slot);
    return result;
}

ViommuResult viommui_slot_set_nested(ViommuiSlot *slot, const ViommuiStage1 *stage1,
                                     ViommuiOnFailure on_failure)
{
    ViommuResult result = change_to_nested(slot, stage1, on_failure);

    release(slot);
    return result;
}

ViommuResult viommui_slot_set_shadow(ViommuiSlot *slot, ViommuiConfig *config,
                                     ViommuiOnFailure on_failure)
{
    ViommuResult result = change(
        slot, (ViommuiAttachment){VIOMMUI_SHADOW, viommui_config_ref(config)}, on_failure);

    release(slot);
    return result;
}

ViommuResult viommui_slot_renew(ViommuiSlot *slot)
{
    ViommuResult result;

    if (slot->wanted.kind == VIOMMUI_BLOCKED)
        return VIOMMU_OK;
    result = viommui_unit_detach(slot->unit);
    if (result == VIOMMU_OK)
        result = viommui_unit_apply(slot->unit);
    if (result != VIOMMU_OK)
        result = settle(slot, result, blocked, VIOMMUI_FAIL_CLOSED);
    release(slot);
    return result;
}

ViommuResult viommui_slot_retry(ViommuiSlot *slot)
{
    ViommuiAttachment to = slot->pending;
    ViommuResult result;

    if (!slot->is_pending)
        return VIOMMU_OK;
    slot->pending = blocked;
    slot->is_pending = FALSE;
    result = change(slot, to, VIOMMUI_FAIL_CLOSED);
    release(slot);
    return result;
}
