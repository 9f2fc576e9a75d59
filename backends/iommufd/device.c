/* SPDX-License-Identifier: MIT */
/*
 * The VFIO cdev of a device: bound to the iommufd, attached to HWPTs, and named in the
 * guest's terms by a vDEVICE.
 *
 * The kernel wants the vDEVICE destroyed before the cdev is closed: the other way round its
 * virtual ID cannot be used again.
 */

#include "iommufd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>

static gboolean bind_device(ViommuiBackendDevice *device, GError **error)
{
    struct vfio_device_bind_iommufd cmd = {
        .argsz = sizeof cmd,
        .iommufd = device->space->iommufd,
    };
    int ret = viommui_seam_ioctl(device->space->seam, device->fd, VFIO_DEVICE_BIND_IOMMUFD,
                                 &cmd, sizeof cmd);

    if (ret < 0) {
        viommui_iommufd_set_error(error, -ret,
                                  "device cdev (fd %d) does not bind to iommufd %d",
                                  device->fd, device->space->iommufd);
        return FALSE;
    }
    device->devid = cmd.out_devid;
    return TRUE;
}

static gboolean read_info(ViommuiBackendDevice *device, ViommuHostDeviceInfo *ret_info,
                          GError **error)
{
    union {
        struct iommu_hw_info_vtd vtd;
        struct iommu_hw_info_arm_smmuv3 smmuv3;
    } raw = {0};
    struct iommu_hw_info cmd = {
        .size = sizeof cmd,
        .dev_id = device->devid,
        .data_len = sizeof raw,
        .data_uptr = (guintptr)&raw,
    };
    int ret = viommui_iommufd_ioctl(device->space, IOMMU_GET_HW_INFO, &cmd, sizeof cmd);

    if (ret < 0) {
        viommui_iommufd_set_error(error, -ret, "no IOMMU information of device %u",
                                  device->devid);
        return FALSE;
    }
    ret_info->dirty_tracking = !!(cmd.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING);
    ret_info->ats_unavailable =
        !!(cmd.out_capabilities & IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
    ret_info->pasid_bits = cmd.out_max_pasid_log2;
    switch (cmd.out_data_type) {
    case IOMMU_HW_INFO_TYPE_NONE:
        ret_info->type = VIOMMU_IOMMU_NONE;
        break;
    case IOMMU_HW_INFO_TYPE_INTEL_VTD:
        ret_info->type = VIOMMU_IOMMU_INTEL_VTD;
        viommui_iommufd_read_vtd_info(&raw.vtd, ret_info);
        break;
    case IOMMU_HW_INFO_TYPE_ARM_SMMUV3:
        ret_info->type = VIOMMU_IOMMU_ARM_SMMUV3;
        viommui_iommufd_read_smmuv3_info(&raw.smmuv3, ret_info);
        break;
    default:
        ret_info->type = VIOMMU_IOMMU_OTHER;
    }
    return TRUE;
}

/* The path of the cdev, opened; or NULL with an error. For a descriptor: "". */
static char *open_source(ViommuiBackendDevice *device, const ViommuiDeviceSource *source,
                         GError **error)
{
    const ViommuSeam *seam = device->space->seam;
    char *path;

    if (source->fd >= 0) {
        device->fd = source->fd;
        return g_strdup("");
    }
    path = source->bdf ? viommui_iommufd_find_cdev(seam, source->bdf, error)
                       : g_strdup(source->path);
    if (!path)
        return NULL;
    device->fd = viommui_seam_open(seam, path, O_RDWR);
    if (device->fd < 0) {
        viommui_iommufd_set_error(error, -device->fd, "cannot open %s", path);
        g_free(path);
        return NULL;
    }
    device->owns_fd = TRUE;
    return path;
}

gboolean viommui_iommufd_device_open(ViommuiSpace *space, const ViommuiDeviceSource *source,
                                     ViommuiBackendDevice **ret_device,
                                     ViommuHostDeviceInfo *ret_info, int *ret_group,
                                     GError **error)
{
    ViommuiBackendDevice *device;
    ViommuHostDeviceInfo info = {0};
    g_autofree char *path = NULL;
    g_autofree char *opened = NULL;
    int group = source->group;

    if (source->group_fd >= 0) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "backend \"iommufd\" takes no IOMMU group (fd %d) for %s: it opens "
                    "cdevs",
                    source->group_fd, source->bdf);
        return FALSE;
    }
    device = g_new0(ViommuiBackendDevice, 1);
    device->space = space;
    device->fd = -1;
    device->devid = source->devid;
    path = open_source(device, source, error);
    if (!path || (!device->devid && !bind_device(device, error)) ||
        !read_info(device, &info, error)) {
        viommui_iommufd_device_close(device);
        return FALSE;
    }
    device->dirty_tracking = info.dirty_tracking;
    /* The path given may be a link, or another name for the node. */
    opened = viommui_iommufd_find_path(space->seam, device->fd);
    if (group == VIOMMU_GROUP_ASK)
        group = viommui_iommufd_find_group(space->seam, opened ? opened : path);
    device->reserved = viommui_find_reserved(space->seam, group);
    info.devid = device->devid;
    info.reserved = (const ViommuReservedRegion *)(void *)device->reserved->data;
    info.n_reserved = device->reserved->len;
    *ret_info = info;
    *ret_group = group;
    *ret_device = device;
    return TRUE;
}

void viommui_iommufd_device_close(ViommuiBackendDevice *device)
{
    const ViommuSeam *seam = device->space->seam;

    /* If it was refused before: a cdev closed first loses the name for good. */
    viommui_iommufd_vdevice_free(device);
    /* VFIO has no unbind but close: a descriptor that is the VMM's stays bound. */
    if (device->owns_fd)
        seam->ops->close(seam->data, device->fd);
    if (device->reserved)
        g_array_unref(device->reserved);
    g_free(device);
}

int viommui_iommufd_device_get_fd(ViommuiBackendDevice *device)
{
    return device->fd;
}

int viommui_iommufd_attach(ViommuiBackendDevice *device, guint32 pasid, guint32 hwpt)
{
    struct vfio_device_attach_iommufd_pt cmd = {.argsz = sizeof cmd, .pt_id = hwpt};

    if (pasid != VIOMMUI_NO_PASID) {
        cmd.flags = VFIO_DEVICE_ATTACH_PASID;
        cmd.pasid = pasid;
    }
    return viommui_seam_ioctl(device->space->seam, device->fd,
                              VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd, sizeof cmd);
}

int viommui_iommufd_detach(ViommuiBackendDevice *device, guint32 pasid)
{
    struct vfio_device_detach_iommufd_pt cmd = {.argsz = sizeof cmd};

    if (pasid != VIOMMUI_NO_PASID) {
        cmd.flags = VFIO_DEVICE_DETACH_PASID;
        cmd.pasid = pasid;
    }
    return viommui_seam_ioctl(device->space->seam, device->fd,
                              VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd, sizeof cmd);
}

int viommui_iommufd_vdevice_alloc(ViommuiBackendViommu *viommu,
                                  ViommuiBackendDevice *device, guint64 virt_id)
{
    struct iommu_vdevice_alloc cmd = {
        .size = sizeof cmd,
        .viommu_id = viommu->id,
        .dev_id = device->devid,
        .virt_id = virt_id,
    };
    int ret;

    if (!viommu->id)
        return -EOPNOTSUPP;
    viommui_iommufd_vdevice_free(device);
    ret = viommui_iommufd_ioctl(device->space, IOMMU_VDEVICE_ALLOC, &cmd, sizeof cmd);
    if (ret == 0)
        device->vdevice = cmd.out_vdevice_id;
    return ret;
}

void viommui_iommufd_vdevice_free(ViommuiBackendDevice *device)
{
    /* Where it is refused, the device keeps its old name until it is to have a new one. */
    if (device->vdevice && viommui_iommufd_destroy(device->space, device->vdevice))
        device->vdevice = 0;
}
