/* SPDX-License-Identifier: MIT */
/*
 * Host devices: made from what the VMM hands over, put in a vIOMMU's hands and taken back,
 * freed. What they are attached to meanwhile is attachment.c's.
 *
 * Invariants: a device in no vIOMMU's hands wants BLOCKED, and so do all its PASIDs. No
 * device that shares its IOMMU group has a PASID attached.
 *
 * Up the path: the VMM, vendors/. Down the path: group.c, slot.c.
 */

#include "private.h"

/* --- making and freeing ------------------------------------------------------------- */

/* Others of its group are blocked along with it until it is in use itself. */
static gboolean block_group(ViommuHostDevice *device, GError **error)
{
    const ViommuHostDevice *other = viommui_group_find_other(device);
    ViommuiUnit *unit = &device->group->unit;

    if (!other)
        return TRUE;
    if (g_hash_table_size(other->pasids)) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s is in IOMMU group %d with %s, whose PASIDs are attached and would "
                    "be its own too",
                    device->name, device->group->number, other->name);
        return FALSE;
    }
    if (viommui_unit_apply(unit) != VIOMMU_OK && viommui_unit_detach(unit) != VIOMMU_OK) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE,
                    "%s joins IOMMU group %d, which the host does not block", device->name,
                    device->group->number);
        return FALSE;
    }
    return TRUE;
}

/* Each device may bring another IOMMU that pins guest memory for itself. */
static void trace_pinnings(ViommuHost *host, ViommuHostDevice *device)
{
    guint n = viommu_host_count_pinnings(host);

    if (n != host->n_pinnings)
        viommui_trace(host, device, VIOMMU_TRACE_PINNINGS, VIOMMU_OK, n);
    host->n_pinnings = n;
}

static ViommuHostDevice *device_new(ViommuHost *host, const ViommuiDeviceSource *source,
                                    char *name, GError **error)
{
    ViommuHostDevice *device = g_new0(ViommuHostDevice, 1);
    int group;

    device->host = host;
    device->name = name;
    if (!host->ops->device_open(host->space, source, &device->backend, &device->info,
                                &group, error)) {
        g_free(device->name);
        g_free(device);
        return NULL;
    }
    /* A device that came bound may be attached to anything. */
    device->group = viommui_group_join(device, group, source->devid == 0);
    viommui_slots_init(device);
    host->n_devices++;
    trace_pinnings(host, device);
    if (block_group(device, error))
        return device;
    viommu_host_device_free(device);
    return NULL;
}

ViommuHostDevice *viommu_host_device_new_from_path(ViommuHost *host, const char *path,
                                                   GError **error)
{
    const ViommuiDeviceSource source = {
        .path = path, .fd = -1, .group_fd = -1, .group = VIOMMU_GROUP_ASK};

    return device_new(host, &source, g_strdup(path), error);
}

ViommuHostDevice *viommu_host_device_new_from_bdf(ViommuHost *host, const char *bdf,
                                                  GError **error)
{
    const ViommuiDeviceSource source = {
        .bdf = bdf, .fd = -1, .group_fd = -1, .group = VIOMMU_GROUP_ASK};

    return device_new(host, &source, g_strdup(bdf), error);
}

ViommuHostDevice *viommu_host_device_new_from_fd(ViommuHost *host, int cdev_fd, int group,
                                                 GError **error)
{
    const ViommuiDeviceSource source = {.fd = cdev_fd, .group_fd = -1, .group = group};

    if (cdev_fd < 0 || group < VIOMMU_GROUP_ASK) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "fd %d in IOMMU group %d is no device", cdev_fd, group);
        return NULL;
    }
    return device_new(host, &source, g_strdup_printf("fd %d", cdev_fd), error);
}

ViommuHostDevice *viommu_host_device_new_from_bound(ViommuHost *host, int cdev_fd,
                                                    guint32 devid, int group,
                                                    GError **error)
{
    const ViommuiDeviceSource source = {
        .fd = cdev_fd, .group_fd = -1, .devid = devid, .group = group};

    if (cdev_fd < 0 || devid == 0 || group < VIOMMU_GROUP_ASK) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "fd %d with device ID %u in IOMMU group %d is no bound device", cdev_fd,
                    devid, group);
        return NULL;
    }
    return device_new(host, &source, g_strdup_printf("fd %d", cdev_fd), error);
}

ViommuHostDevice *viommu_host_device_new_from_group_fd(ViommuHost *host, int group_fd,
                                                       const char *bdf, GError **error)
{
    const ViommuiDeviceSource source = {
        .bdf = bdf, .fd = -1, .group_fd = group_fd, .group = VIOMMU_GROUP_ASK};

    if (group_fd < 0 || !bdf) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "fd %d is no IOMMU group of device %s", group_fd, bdf ? bdf : "(none)");
        return NULL;
    }
    return device_new(host, &source, g_strdup(bdf), error);
}

void viommu_host_device_free(ViommuHostDevice *device)
{
    ViommuiUnit *rest;

    if (!device)
        return;
    if (device->viommu) {
        viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                       "%s is kept: it is attached to a vIOMMU", device->name);
        return;
    }
    rest = viommui_group_find_other(device) ? &device->group->unit : NULL;
    /* One that came bound is handed back detached. */
    viommui_slots_leave_pasids(device);
    viommui_backend_detach(&device->requester_id);
    viommui_group_leave(device);
    /* The others may have waited for that. */
    if (rest)
        viommui_unit_apply_or_block(rest);
    viommui_slots_clear(device);
    device->host->n_devices--;
    device->host->ops->device_close(device->backend);
    trace_pinnings(device->host, device);
    g_free(device->name);
    g_free(device);
}

const char *viommu_host_device_get_name(ViommuHostDevice *device)
{
    return device->name;
}

int viommu_host_device_get_fd(ViommuHostDevice *device)
{
    return device->host->ops->device_get_fd(device->backend);
}

const ViommuHostDeviceInfo *viommu_host_device_get_info(ViommuHostDevice *device)
{
    return &device->info;
}

/* --- in a vIOMMU's hands ------------------------------------------------------------ */

ViommuHost *viommui_host_device_get_host(ViommuHostDevice *device)
{
    return device->host;
}

ViommuiHostViommu *viommui_host_device_get_viommu(ViommuHostDevice *device)
{
    return device->viommu;
}

ViommuResult viommui_host_device_join(ViommuHostDevice *device, ViommuiHostViommu *hv)
{
    const ViommuHostDevice *stranger = viommui_group_find_stranger(device->group, hv);
    ViommuResult result;

    if (stranger)
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "%s is in IOMMU group %d with %s, which another vIOMMU has",
                              device->name, device->group->number, stranger->name);
    if (!viommui_slots_leave_pasids(device))
        return viommui_refuse(device->host, device, VIOMMU_HOST_GONE,
                              "%s has PASIDs that the host does not detach", device->name);
    device->viommu = hv;
    result = viommui_unit_apply(&device->group->unit);
    if (result != VIOMMU_OK)
        viommui_host_device_leave(device);
    return result;
}

static void free_virt_id(ViommuHostDevice *device)
{
    if (device->has_virt_id)
        viommui_backend_vdevice_free(device);
    device->has_virt_id = FALSE;
}

void viommui_host_device_leave(ViommuHostDevice *device)
{
    if (!device->viommu)
        return;
    viommui_slots_leave(device);
    free_virt_id(device);
    device->viommu = NULL;
}

ViommuResult viommui_host_device_clear_virt_id(ViommuHostDevice *device)
{
    ViommuResult result = viommui_host_device_detach(device, VIOMMUI_NO_PASID,
                                                     VIOMMUI_BLOCKED, VIOMMUI_FAIL_CLOSED);

    if (result == VIOMMU_OK)
        free_virt_id(device);
    return result;
}

ViommuResult viommui_host_device_set_virt_id(ViommuHostDevice *device, guint64 virt_id)
{
    ViommuResult result = viommui_host_device_clear_virt_id(device);

    if (result == VIOMMU_OK)
        result = viommui_backend_vdevice_alloc(device, virt_id);
    device->has_virt_id = device->has_virt_id || result == VIOMMU_OK;
    return result;
}
