/* SPDX-License-Identifier: MIT */
/*
 * A VFIO device cdev: /dev/vfio/devices/vfioN of a vfio-pci device.
 *
 * Invariants: nothing but BIND_IOMMUFD works before a file is bound, and only one
 * file of a device can be; closing it detaches, unbinds and lets the iommufd go.
 *
 * Up: fds.c. Down: device.c for the IOMMU side, edu.c for the device side.
 */
#include <linux/vfio.h>

#include "iommufd.h"

/* VFIO_PCI_INDEX_TO_OFFSET of vfio-pci */
#define REGION_SHIFT 40

typedef struct {
    EmuDevice *device;
    EmuIdev *idev; /* NULL: not bound */
} VfioFile;

static void file_release(EmuFd *file)
{
    VfioFile *vfio = file->object;

    if (vfio->idev) {
        viommui_emu_edu_disable(&vfio->device->edu);
        viommui_emu_vfio_unbind(vfio->idev);
        vfio->device->opened = FALSE;
    }
    g_free(vfio);
}

static int bind_iommufd(VfioFile *vfio, void *arg)
{
    struct vfio_device_bind_iommufd *user = arg;
    struct vfio_device_bind_iommufd bind;
    EmuDevice *device = vfio->device;
    EmuIommufd *ctx = NULL;
    guint32 argsz;
    guint32 id = 0;
    int ret = viommui_emu_copy_from_user(&argsz, arg, sizeof(argsz));

    if (ret < 0) {
        return ret;
    }
    if (argsz < G_STRUCT_OFFSET(struct vfio_device_bind_iommufd, token_uuid_ptr)) {
        return -EINVAL;
    }
    ret = viommui_emu_copy_struct(&bind, sizeof(bind), arg, argsz);
    if (ret < 0) {
        return ret;
    }
    if (bind.iommufd < 0 || (bind.flags & ~(guint32)VFIO_DEVICE_BIND_FLAG_TOKEN) ||
        vfio->idev) {
        return -EINVAL;
    }
    if (bind.flags & VFIO_DEVICE_BIND_FLAG_TOKEN) {
        /* edu is no SR-IOV function, so no token can be right. */
        return bind.token_uuid_ptr ? -EINVAL : -EFAULT;
    }
    ret = viommui_emu_iommufd_from_fd(device->emulator, bind.iommufd, &ctx);
    if (ret < 0) {
        return ret;
    }
    if (device->opened) {
        return -EINVAL;
    }
    ret = viommui_emu_device_bind(ctx, device, &id);
    if (ret < 0) {
        return ret;
    }
    viommui_emu_edu_enable(&device->edu);
    device->opened = TRUE;
    vfio->idev = device->idev;
    return viommui_emu_copy_to_user(&user->out_devid, &id, sizeof(id));
}

/* What follows the fixed part when a flag says so. */
static int copy_pasid(guint32 *pasid, guint32 argsz, gsize minsz, const void *arg)
{
    if (argsz < minsz + sizeof(*pasid)) {
        return -EINVAL;
    }
    return viommui_emu_copy_from_user(pasid, (const guint8 *)arg + minsz, sizeof(*pasid));
}

static int attach_pt(VfioFile *vfio, void *arg)
{
    const gsize minsz = G_STRUCT_OFFSET(struct vfio_device_attach_iommufd_pt, pasid);
    struct vfio_device_attach_iommufd_pt *user = arg;
    struct vfio_device_attach_iommufd_pt attach = {0};
    int ret = viommui_emu_copy_from_user(&attach, arg, minsz);

    if (ret < 0) {
        return ret;
    }
    if (attach.argsz < minsz || (attach.flags & ~(guint32)VFIO_DEVICE_ATTACH_PASID)) {
        return -EINVAL;
    }
    if (attach.flags & VFIO_DEVICE_ATTACH_PASID) {
        ret = copy_pasid(&attach.pasid, attach.argsz, minsz, arg);
        if (ret < 0) {
            return ret;
        }
        ret = viommui_emu_vfio_attach_pasid(vfio->idev, attach.pasid, &attach.pt_id);
    } else {
        ret = viommui_emu_vfio_attach(vfio->idev, &attach.pt_id);
    }
    if (ret < 0) {
        return ret;
    }
    return viommui_emu_copy_to_user(&user->pt_id, &attach.pt_id, sizeof(attach.pt_id));
}

static int detach_pt(VfioFile *vfio, void *arg)
{
    const gsize minsz = G_STRUCT_OFFSET(struct vfio_device_detach_iommufd_pt, pasid);
    struct vfio_device_detach_iommufd_pt detach = {0};
    int ret = viommui_emu_copy_from_user(&detach, arg, minsz);

    if (ret < 0) {
        return ret;
    }
    if (detach.argsz < minsz || (detach.flags & ~(guint32)VFIO_DEVICE_DETACH_PASID)) {
        return -EINVAL;
    }
    if (detach.flags & VFIO_DEVICE_DETACH_PASID) {
        ret = copy_pasid(&detach.pasid, detach.argsz, minsz, arg);
        if (ret == 0) {
            viommui_emu_vfio_detach_pasid(vfio->idev, detach.pasid);
        }
        return ret;
    }
    viommui_emu_vfio_detach(vfio->idev);
    return 0;
}

static int get_info(void *arg)
{
    const gsize minsz =
        G_STRUCT_OFFSET(struct vfio_device_info, num_irqs) + sizeof(guint32);
    struct vfio_device_info info = {0};
    int ret = viommui_emu_copy_from_user(&info, arg, minsz);

    if (ret < 0) {
        return ret;
    }
    if (info.argsz < minsz) {
        return -EINVAL;
    }
    info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
    info.num_regions = VFIO_PCI_NUM_REGIONS;
    info.num_irqs = VFIO_PCI_NUM_IRQS;
    return viommui_emu_copy_to_user(arg, &info, MIN(info.argsz, sizeof(info)));
}

static int get_region_info(void *arg)
{
    const gsize minsz = G_STRUCT_OFFSET(struct vfio_region_info, offset) + sizeof(guint64);
    struct vfio_region_info info = {0};
    int ret = viommui_emu_copy_from_user(&info, arg, minsz);

    if (ret < 0) {
        return ret;
    }
    if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_REGIONS ||
        info.index == VFIO_PCI_VGA_REGION_INDEX) {
        return -EINVAL;
    }
    info.offset = (guint64)info.index << REGION_SHIFT;
    info.flags = 0;
    info.size = 0;
    if (info.index == VFIO_PCI_CONFIG_REGION_INDEX ||
        info.index == VFIO_PCI_BAR0_REGION_INDEX) {
        /* No mmap: a device in this process has no pages to give. */
        info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
        info.size = info.index == VFIO_PCI_BAR0_REGION_INDEX ? EMU_EDU_BAR_SIZE
                                                             : EMU_EDU_CONFIG_SIZE;
    }
    return viommui_emu_copy_to_user(arg, &info, minsz);
}

static int file_ioctl(EmuFd *file, unsigned long request, void *arg)
{
    VfioFile *vfio = file->object;

    if (request == VFIO_DEVICE_BIND_IOMMUFD) {
        return bind_iommufd(vfio, arg);
    }
    if (!vfio->idev) {
        return -EINVAL;
    }
    switch (request) {
    case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
        return attach_pt(vfio, arg);
    case VFIO_DEVICE_DETACH_IOMMUFD_PT:
        return detach_pt(vfio, arg);
    case VFIO_DEVICE_GET_INFO:
        return get_info(arg);
    case VFIO_DEVICE_GET_REGION_INFO:
        return get_region_info(arg);
    case VFIO_DEVICE_RESET:
        /* Linux saves and restores config space around it, and QEMU's edu has no
         * reset of its own, so nothing is left to see. */
        return vfio->device->blocked_for_reset ? -EAGAIN : 0;
    default:
        return -ENOTTY;
    }
}

/* The widest naturally aligned access that fits, as vfio-pci splits a transfer. */
static guint access_size(guint64 offset, gsize size)
{
    guint width = 8;

    while (width > size || offset % width) {
        width /= 2;
    }
    return width;
}

/* Check a transfer against the device's regions; *ret_size is what is left of it. */
static int find_region(const VfioFile *vfio, const void *buf, size_t size, int64_t offset,
                       guint64 *ret_offset, gsize *ret_size)
{
    guint64 index = (guint64)offset >> REGION_SHIFT;
    guint64 limit = index == VFIO_PCI_BAR0_REGION_INDEX     ? EMU_EDU_BAR_SIZE
                    : index == VFIO_PCI_CONFIG_REGION_INDEX ? EMU_EDU_CONFIG_SIZE
                                                            : 0;

    *ret_offset = (guint64)offset & EMU_MASK64(REGION_SHIFT - 1, 0);
    if (!vfio->idev) {
        return -EINVAL;
    }
    /* A BAR access is cut short at the end, one of config space refused. */
    if (index == VFIO_PCI_CONFIG_REGION_INDEX &&
        (*ret_offset > limit || size > limit - *ret_offset)) {
        return -EFAULT;
    }
    if (*ret_offset >= limit) {
        return -EINVAL;
    }
    size = MIN(size, limit - *ret_offset);
    if (size && !buf) {
        return -EFAULT;
    }
    if (index == VFIO_PCI_BAR0_REGION_INDEX &&
        !viommui_emu_edu_memory_enabled(&vfio->device->edu)) {
        return -EIO;
    }
    *ret_size = size;
    return (int)index;
}

static ssize_t file_pread(EmuFd *file, void *buf, size_t size, int64_t offset)
{
    VfioFile *vfio = file->object;
    guint8 *to = buf;
    guint64 at = 0;
    gsize left = 0;
    int index = find_region(vfio, buf, size, offset, &at, &left);
    ssize_t done = (ssize_t)left;

    if (index < 0) {
        return index;
    }
    if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
        viommui_emu_edu_config_read(&vfio->device->edu, at, to, left);
        return done;
    }
    while (left) {
        guint width = access_size(at, left);
        guint64 value = GUINT64_TO_LE(viommui_emu_edu_bar_read(vfio->device, at, width));

        memcpy(to, &value, width);
        to += width;
        at += width;
        left -= width;
    }
    return done;
}

static ssize_t file_pwrite(EmuFd *file, const void *buf, size_t size, int64_t offset)
{
    VfioFile *vfio = file->object;
    const guint8 *from = buf;
    guint64 at = 0;
    gsize left = 0;
    int index = find_region(vfio, buf, size, offset, &at, &left);
    ssize_t done = (ssize_t)left;

    if (index < 0) {
        return index;
    }
    if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
        viommui_emu_edu_config_write(&vfio->device->edu, at, from, left);
        return done;
    }
    while (left) {
        guint width = access_size(at, left);
        guint64 value = 0;

        memcpy(&value, from, width);
        viommui_emu_edu_bar_write(vfio->device, at, GUINT64_FROM_LE(value), width);
        from += width;
        at += width;
        left -= width;
    }
    return done;
}

static const EmuFdOps file_ops = {
    .release = file_release,
    .ioctl = file_ioctl,
    .read = viommui_emu_fd_read_on,
    .write = viommui_emu_fd_write_on,
    .pread = file_pread,
    .pwrite = file_pwrite,
    .pollable = FALSE,
};

int viommui_emu_vfio_open(ViommuEmulator *emulator, const char *path, guint index)
{
    VfioFile *vfio = g_new0(VfioFile, 1);
    int fd;

    vfio->device = g_ptr_array_index(emulator->devices, index);
    fd = viommui_emu_fd_new(emulator, path, &file_ops, vfio);
    if (fd < 0) {
        g_free(vfio);
    }
    return fd;
}
