/* SPDX-License-Identifier: MIT */
/*
 * IOMMU groups as the kernel's IOMMU core handles them: who owns the group's DMA, one
 * domain for all its devices, and the blocking of a device while it is being reset.
 *
 * Invariants: group->domain is what every device of the group is attached to, but for
 * a device in its reset window, which is blocked until reset_end puts it back. While a
 * window is open no domain can be set; only the way to blocked stays open. What is
 * attached at a PASID is attached for every member that has PASIDs.
 *
 * Up: device.c, and inspect.c for the reset window. Down: EmuIommuOps.attach.
 */
#include "iommufd.h"

static int device_set(EmuDevice *device, EmuHwpt *hwpt)
{
    return device->iommu->ops->attach(device, hwpt);
}

static int set_domain(EmuGroup *group, EmuHwpt *hwpt)
{
    if (group->domain == hwpt) {
        return 0;
    }
    if (group->n_resetting) {
        return -EBUSY;
    }
    for (guint i = 0; i < group->devices->len; i++) {
        int ret = device_set(g_ptr_array_index(group->devices, i), hwpt);

        if (ret < 0) {
            while (i-- > 0) {
                device_set(g_ptr_array_index(group->devices, i), group->domain);
            }
            return ret;
        }
    }
    group->domain = hwpt;
    return 0;
}

static void set_blocked(EmuGroup *group)
{
    for (guint i = 0; group->domain && i < group->devices->len; i++) {
        EmuDevice *device = g_ptr_array_index(group->devices, i);

        if (!device->blocked_for_reset) {
            device_set(device, NULL);
        }
    }
    group->domain = NULL;
}

int viommui_emu_group_set_domain(EmuGroup *group, EmuHwpt *hwpt)
{
    return group->domain ? -EBUSY : set_domain(group, hwpt);
}

void viommui_emu_group_block(EmuGroup *group)
{
    set_blocked(group);
}

static EmuHandle *find_handle(const EmuGroup *group, guint32 pasid)
{
    return g_hash_table_lookup(group->handles, GUINT_TO_POINTER(pasid));
}

/* In place of what was attached there, whose page requests nobody will answer now. */
static void set_handle(EmuGroup *group, guint32 pasid, EmuHwpt *hwpt, guint32 dev_id)
{
    EmuHandle *old = find_handle(group, pasid);
    EmuHandle *handle = hwpt ? g_new0(EmuHandle, 1) : NULL;

    if (old && old->hwpt->fault) {
        viommui_emu_fault_auto_respond(old->hwpt->fault, old);
    }
    if (!handle) {
        g_hash_table_remove(group->handles, GUINT_TO_POINTER(pasid));
        return;
    }
    handle->hwpt = hwpt;
    handle->dev_id = dev_id;
    g_hash_table_insert(group->handles, GUINT_TO_POINTER(pasid), handle);
}

EmuHwpt *viommui_emu_group_hwpt(const EmuGroup *group, guint32 pasid)
{
    const EmuHandle *handle = find_handle(group, pasid);

    return !pasid ? group->domain : handle ? handle->hwpt : NULL;
}

int viommui_emu_group_claim(EmuGroup *group, gconstpointer owner)
{
    if (group->n_owners && group->owner != owner) {
        return -EPERM;
    }
    if (!group->n_owners && group->n_resetting) {
        return -EBUSY;
    }
    group->owner = owner;
    group->n_owners++;
    return 0;
}

void viommui_emu_group_release(EmuGroup *group)
{
    if (--group->n_owners == 0) {
        group->owner = NULL;
        set_blocked(group);
    }
}

/* It was made by the driver that the group's devices have. */
static gboolean fits(const EmuGroup *group, const EmuHwpt *hwpt)
{
    const EmuDevice *first = g_ptr_array_index(group->devices, 0);

    return first->iommu->ops == hwpt->iommu->ops;
}

int viommui_emu_group_replace(EmuGroup *group, EmuHwpt *hwpt, guint32 dev_id)
{
    int ret;

    /* No machine has IOMMUs of two kinds, so Linux asks only at the first attach. */
    if (!fits(group, hwpt)) {
        return -EINVAL;
    }
    ret = set_domain(group, hwpt);
    if (ret == 0) {
        set_handle(group, 0, hwpt, dev_id);
    }
    return ret;
}

int viommui_emu_group_attach(EmuGroup *group, EmuHwpt *hwpt, guint32 dev_id)
{
    if (find_handle(group, 0) || group->domain) {
        return -EBUSY;
    }
    return viommui_emu_group_replace(group, hwpt, dev_id);
}

void viommui_emu_group_detach(EmuGroup *group)
{
    set_blocked(group);
    set_handle(group, 0, NULL, 0);
}

static gboolean has_pasids(EmuDevice *device)
{
    return device->iommu->ops->pasid_bits(device) > 0;
}

/* Members without PASIDs cannot use one, and do not count. */
static int set_pasid(EmuGroup *group, guint32 pasid, EmuHwpt *hwpt, EmuHwpt *old)
{
    for (guint i = 0; i < group->devices->len; i++) {
        EmuDevice *device = g_ptr_array_index(group->devices, i);
        int ret;

        if (!has_pasids(device)) {
            continue;
        }
        ret = device->iommu->ops->attach_pasid(device, pasid, hwpt, old);
        while (ret < 0 && i-- > 0) {
            device = g_ptr_array_index(group->devices, i);
            if (has_pasids(device) &&
                (!old || device->iommu->ops->attach_pasid(device, pasid, old, hwpt) < 0)) {
                device->iommu->ops->attach_pasid(device, pasid, NULL, hwpt);
            }
        }
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* What attaching and replacing ask first, in the kernel's order. */
static int check_pasid(const EmuDevice *device, EmuHwpt *hwpt)
{
    if (!hwpt->iommu->ops->takes_pasid(hwpt)) {
        return -EOPNOTSUPP;
    }
    if (device->iommu->ops != hwpt->iommu->ops) {
        return -EINVAL;
    }
    return device->group->n_resetting ? -EBUSY : 0;
}

int viommui_emu_group_attach_pasid(EmuDevice *device, guint32 pasid, EmuHwpt *hwpt,
                                   guint32 dev_id)
{
    EmuGroup *group = device->group;
    int ret = check_pasid(device, hwpt);

    for (guint i = 0; ret == 0 && i < group->devices->len; i++) {
        EmuDevice *member = g_ptr_array_index(group->devices, i);
        guint bits = member->iommu->ops->pasid_bits(member);

        if (bits && pasid >= 1U << bits) {
            return -EINVAL;
        }
    }
    if (ret == 0 && find_handle(group, pasid)) {
        ret = -EBUSY;
    }
    if (ret == 0) {
        ret = set_pasid(group, pasid, hwpt, NULL);
    }
    if (ret == 0) {
        set_handle(group, pasid, hwpt, dev_id);
    }
    return ret;
}

int viommui_emu_group_replace_pasid(EmuDevice *device, guint32 pasid, EmuHwpt *hwpt,
                                    guint32 dev_id)
{
    const EmuHandle *old = find_handle(device->group, pasid);
    int ret = check_pasid(device, hwpt);

    if (ret < 0) {
        return ret;
    }
    if (!old) {
        return -EINVAL;
    }
    ret = old->hwpt == hwpt ? 0 : set_pasid(device->group, pasid, hwpt, old->hwpt);
    if (ret == 0) {
        set_handle(device->group, pasid, hwpt, dev_id);
    }
    return ret;
}

void viommui_emu_group_detach_pasid(EmuGroup *group, guint32 pasid)
{
    const EmuHandle *old = find_handle(group, pasid);

    for (guint i = 0; old && i < group->devices->len; i++) {
        EmuDevice *device = g_ptr_array_index(group->devices, i);

        if (!device->blocked_for_reset && has_pasids(device)) {
            device->iommu->ops->attach_pasid(device, pasid, NULL, old->hwpt);
        }
    }
    set_handle(group, pasid, NULL, 0);
}

static void reset_pasids(EmuDevice *device, gboolean restore)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;

    if (!has_pasids(device)) {
        return;
    }
    g_hash_table_iter_init(&iter, device->group->handles);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        EmuHwpt *hwpt = ((EmuHandle *)value)->hwpt;

        if (GPOINTER_TO_UINT(key)) {
            device->iommu->ops->attach_pasid(device, GPOINTER_TO_UINT(key),
                                             restore ? hwpt : NULL, restore ? NULL : hwpt);
        }
    }
}

void viommui_emu_device_reset_begin(EmuDevice *device)
{
    if (device->reset_depth++) {
        return;
    }
    if (device->group->domain) {
        device_set(device, NULL);
    }
    device->blocked_for_reset = TRUE;
    reset_pasids(device, FALSE);
    device->group->n_resetting++;
}

void viommui_emu_device_reset_end(EmuDevice *device)
{
    if (!device->reset_depth || --device->reset_depth) {
        return;
    }
    /* A failure here leaves the device blocked, as the kernel does after a warning. */
    if (device->group->domain) {
        device_set(device, device->group->domain);
    }
    device->blocked_for_reset = FALSE;
    reset_pasids(device, TRUE);
    device->group->n_resetting--;
}
