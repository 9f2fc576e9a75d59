/* SPDX-License-Identifier: MIT */
/*
 * IOMMU groups as the kernel's IOMMU core handles them: who owns the group's DMA, one
 * domain for all its devices, and the blocking of a device while it is being reset.
 *
 * Invariants: group->domain is what every device of the group is attached to, but for
 * a device in its reset window, which is blocked until reset_end puts it back. While a
 * window is open no domain can be set; only the way to blocked stays open.
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

int viommui_emu_group_claim(EmuGroup *group, EmuIommufd *owner)
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

int viommui_emu_group_attach(EmuGroup *group, EmuHwpt *hwpt)
{
    EmuDevice *first = g_ptr_array_index(group->devices, 0);
    int ret;

    if (group->has_handle || group->domain) {
        return -EBUSY;
    }
    if (first->iommu->ops != hwpt->iommu->ops) {
        return -EINVAL;
    }
    ret = set_domain(group, hwpt);
    group->has_handle = ret == 0;
    return ret;
}

int viommui_emu_group_replace(EmuGroup *group, EmuHwpt *hwpt)
{
    return set_domain(group, hwpt);
}

void viommui_emu_group_detach(EmuGroup *group)
{
    set_blocked(group);
    group->has_handle = FALSE;
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
    device->group->n_resetting--;
}
