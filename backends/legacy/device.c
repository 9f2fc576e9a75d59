/* SPDX-License-Identifier: MIT */
/*
 * A device of a group: its file, and the facts. What it is attached to is its group's
 * business: the first member that is attached moves all, and the others find it done.
 */

#include "legacy.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

static gboolean check_source(const ViommuiDeviceSource *source, GError **error)
{
    if (source->bdf)
        return viommui_find_check_bdf(source->bdf, error);
    if (source->path)
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "backend \"legacy\" takes no cdev (%s): it opens devices by their "
                    "PCI address, or from their IOMMU group",
                    source->path);
    else
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "backend \"legacy\" takes no cdev (fd %d): it opens devices by their "
                    "PCI address, or from their IOMMU group",
                    source->fd);
    return FALSE;
}

static gboolean open_device(ViommuiBackendDevice *device, const char *bdf, GError **error)
{
    ViommuiLegacyContainer *container = device->container;
    g_autofree char *name = g_strdup(bdf);
    int fd = viommui_seam_ioctl(container->space->seam, container->group_fd,
                                VFIO_GROUP_GET_DEVICE_FD, name, strlen(name) + 1);

    if (fd >= 0) {
        device->fd = fd;
        return TRUE;
    }
    viommui_legacy_set_error(error, -fd, "IOMMU group %d gives no VFIO device %s",
                             container->number, bdf);
    return FALSE;
}

static gboolean is_listed(const GArray *regions, const ViommuReservedRegion *hole)
{
    for (guint i = 0; i < regions->len; i++) {
        const ViommuReservedRegion *region =
            &g_array_index(regions, ViommuReservedRegion, i);

        if (hole->start >= region->start && hole->last <= region->last)
            return TRUE;
    }
    return FALSE;
}

/* What lies before and between the ranges that can be mapped, if it is not listed. */
static void add_holes(GArray *regions, const GArray *ranges)
{
    ViommuReservedRegion hole = {.start = 0};

    for (guint i = 0; i < ranges->len; i++) {
        const struct vfio_iova_range *range =
            &g_array_index(ranges, struct vfio_iova_range, i);

        hole.last = range->start - 1;
        if (range->start > hole.start && !is_listed(regions, &hole))
            g_array_append_val(regions, hole);
        hole.start = range->end + 1;
    }
}

static void find_facts(ViommuiBackendDevice *device, ViommuHostDeviceInfo *ret_info)
{
    const ViommuiLegacyContainer *container = device->container;

    device->reserved = viommui_find_reserved(container->space->seam, container->number);
    add_holes(device->reserved, container->limits.ranges);
    *ret_info = (ViommuHostDeviceInfo){
        .type = VIOMMU_IOMMU_NONE,
        .dirty_tracking = container->limits.tracks_dirty,
        .reserved = (const ViommuReservedRegion *)(void *)device->reserved->data,
        .n_reserved = device->reserved->len,
    };
}

gboolean viommui_legacy_device_open(ViommuiSpace *space, const ViommuiDeviceSource *source,
                                    ViommuiBackendDevice **ret_device,
                                    ViommuHostDeviceInfo *ret_info, int *ret_group,
                                    GError **error)
{
    ViommuiLegacyContainer *container;
    ViommuiBackendDevice *device;

    if (!check_source(source, error))
        return FALSE;
    container =
        viommui_legacy_container_obtain(space, source->bdf, source->group_fd, error);
    if (!container)
        return FALSE;
    device = g_new0(ViommuiBackendDevice, 1);
    device->container = container;
    device->fd = -1;
    /* An iommufd in place of a container knows no limits before it has a device. */
    if (!open_device(device, source->bdf, error) ||
        !viommui_legacy_limits_read(container, error)) {
        viommui_legacy_device_close(device);
        return FALSE;
    }
    find_facts(device, ret_info);
    *ret_group = container->number;
    *ret_device = device;
    return TRUE;
}

void viommui_legacy_device_close(ViommuiBackendDevice *device)
{
    const ViommuSeam *seam = device->container->space->seam;

    if (device->fd >= 0)
        seam->ops->close(seam->data, device->fd);
    viommui_legacy_container_release(device->container);
    if (device->reserved)
        g_array_unref(device->reserved);
    g_free(device);
}

int viommui_legacy_device_get_fd(ViommuiBackendDevice *device)
{
    return device->fd;
}

int viommui_legacy_attach(ViommuiBackendDevice *device, guint32 pasid, guint32 hwpt)
{
    ViommuiLegacyView *view;

    if (pasid != VIOMMUI_NO_PASID)
        return -EOPNOTSUPP;
    view = g_hash_table_lookup(device->container->space->views, GUINT_TO_POINTER(hwpt));
    return view ? viommui_legacy_container_show(device->container, view) : -ENOENT;
}

int viommui_legacy_detach(ViommuiBackendDevice *device, guint32 pasid)
{
    return pasid == VIOMMUI_NO_PASID ? viommui_legacy_container_block(device->container)
                                     : 0;
}
