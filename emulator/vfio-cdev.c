/* SPDX-License-Identifier: MIT */
/*
 * The file of a vfio-pci device: the cdev /dev/vfio/devices/vfioN, or what the device's
 * group handed out.
 *
 * Invariants: nothing but BIND_IOMMUFD works before a cdev file is bound, and only one
 * file of a device can be; closing it detaches, unbinds and lets the iommufd go. A
 * group may hand out any number of files, which work from the start; the last of them
 * lets the device go. An unplugged device goes on answering its files, all ones.
 *
 * Up: fds.c, vfio-group.c. Down: vfio-iommufd.c for the IOMMU side, edu.c for the
 * device side.
 */
#include "vfio.h"

/* VFIO_PCI_INDEX_TO_OFFSET of vfio-pci */
#define REGION_SHIFT 40

typedef struct {
    EmuDevice *device;
    EmuVfioGroup *group; /* NULL: a cdev */
    gboolean granted;    /* bound, if it has to be */
} VfioFile;

static void file_release(EmuFd *file)
{
    VfioFile *vfio = file->object;

    EmuDevice *device = vfio->device;

    if (vfio->granted && --device->open_count == 0) {
        viommui_emu_edu_disable(&device->edu);
        if (vfio->group) {
            viommui_emu_vfio_group_put_device(vfio->group, device);
        } else {
            viommui_emu_vfio_unbind(device->idev);
        }
    }
    if (vfio->granted && !vfio->group) {
        viommui_emu_vfio_group_unblock(device->group);
    }
    device->n_files--;
    viommui_emu_device_forget(device);
    g_free(vfio);
}

/* What is left when no file of the group's is in the way. */
static int bind_device(VfioFile *vfio, const struct vfio_device_bind_iommufd *bind,
                       guint32 *out_devid)
{
    EmuDevice *device = vfio->device;
    EmuIommufd *ctx = NULL;
    guint32 id = 0;
    int ret;

    if (vfio->granted) {
        return -EINVAL;
    }
    if (bind->flags & VFIO_DEVICE_BIND_FLAG_TOKEN) {
        /* edu is no SR-IOV function, so no token can be right. */
        guint8 token[16];

        ret = viommui_emu_copy_from_user(token, viommui_emu_user_ptr(bind->token_uuid_ptr),
                                         sizeof(token));
        return ret < 0 ? ret : -EINVAL;
    }
    ret = viommui_emu_iommufd_from_fd(device->emulator, bind->iommufd, &ctx);
    if (ret < 0) {
        return ret;
    }
    if (device->open_count) {
        return -EINVAL;
    }
    if (device->gone) {
        return -ENODEV;
    }
    ret = viommui_emu_device_bind(ctx, device, &id);
    if (ret < 0) {
        return ret;
    }
    ret = viommui_emu_copy_to_user(out_devid, &id, sizeof(id));
    if (ret < 0) {
        viommui_emu_vfio_unbind(device->idev);
    }
    return ret;
}

static int bind_iommufd(VfioFile *vfio, void *arg)
{
    struct vfio_device_bind_iommufd *user = arg;
    struct vfio_device_bind_iommufd bind;
    EmuDevice *device = vfio->device;
    guint32 argsz;
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
        vfio->group) {
        return -EINVAL;
    }
    ret = viommui_emu_vfio_group_block(device->group);
    if (ret < 0) {
        return ret;
    }
    ret = bind_device(vfio, &bind, &user->out_devid);
    if (ret < 0) {
        viommui_emu_vfio_group_unblock(device->group);
        return ret;
    }
    viommui_emu_edu_enable(&device->edu);
    device->open_count = 1;
    vfio->granted = TRUE;
    return 0;
}

/* What follows the fixed part when a flag says so. */
static int copy_pasid(guint32 *pasid, guint32 argsz, gsize minsz, const void *arg)
{
    if (argsz < minsz + sizeof(*pasid)) {
        return -EINVAL;
    }
    return viommui_emu_copy_from_user(pasid, (const guint8 *)arg + minsz, sizeof(*pasid));
}

static int attach_pt(EmuIdev *idev, void *arg)
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
        ret = viommui_emu_vfio_attach_pasid(idev, attach.pasid, &attach.pt_id);
    } else {
        ret = viommui_emu_vfio_attach(idev, &attach.pt_id);
    }
    if (ret < 0) {
        return ret;
    }
    return viommui_emu_copy_to_user(&user->pt_id, &attach.pt_id, sizeof(attach.pt_id));
}

static int detach_pt(EmuIdev *idev, void *arg)
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
            viommui_emu_vfio_detach_pasid(idev, detach.pasid);
        }
        return ret;
    }
    viommui_emu_vfio_detach(idev);
    return 0;
}

static int get_info(const EmuDevice *device, void *arg)
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
    info.flags = VFIO_DEVICE_FLAGS_PCI | (device->flr ? VFIO_DEVICE_FLAGS_RESET : 0);
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

/* What a feature that can only be set answers: 1 when it is to be set now. */
static int check_settable(guint32 flags, guint32 size, guint32 min_size)
{
    if (flags & VFIO_DEVICE_FEATURE_GET) {
        return -EINVAL;
    }
    if (flags & VFIO_DEVICE_FEATURE_PROBE) {
        return 0;
    }
    return (flags & VFIO_DEVICE_FEATURE_SET) && size >= min_size ? 1 : -EINVAL;
}

/*
 * Of the features that vfio-pci has for a device like this one only low power is there,
 * which changes nothing here: a device wakes up when it is used.
 */
static int feature(const void *arg)
{
    const guint32 ops = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET;
    struct vfio_device_low_power_entry_with_wakeup wakeup;
    struct vfio_device_feature head;
    int ret = viommui_emu_copy_from_user(&head, arg, sizeof(head));

    if (ret < 0) {
        return ret;
    }
    if (head.argsz < sizeof(head) ||
        (head.flags & ~(VFIO_DEVICE_FEATURE_MASK | ops | VFIO_DEVICE_FEATURE_PROBE)) ||
        (!(head.flags & VFIO_DEVICE_FEATURE_PROBE) && (head.flags & ops) == ops)) {
        return -EINVAL;
    }
    switch (head.flags & VFIO_DEVICE_FEATURE_MASK) {
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
    case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
        return MIN(check_settable(head.flags, 0, 0), 0);
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
        ret =
            check_settable(head.flags, head.argsz - (guint32)sizeof(head), sizeof(wakeup));
        if (ret <= 0) {
            return ret;
        }
        ret = viommui_emu_copy_from_user(&wakeup, (const guint8 *)arg + sizeof(head),
                                         sizeof(wakeup));
        return ret < 0 ? ret : wakeup.wakeup_eventfd < 0 ? -EINVAL : 0;
    case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
        return -EINVAL;
    default:
        return -ENOTTY;
    }
}

static int file_ioctl(EmuFd *file, unsigned long request, void *arg)
{
    VfioFile *vfio = file->object;

    if (request == VFIO_DEVICE_BIND_IOMMUFD) {
        return bind_iommufd(vfio, arg);
    }
    if (!vfio->granted) {
        return -EINVAL;
    }
    switch (request) {
    case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
        return vfio->group ? -ENOTTY : attach_pt(vfio->device->idev, arg);
    case VFIO_DEVICE_DETACH_IOMMUFD_PT:
        return vfio->group ? -ENOTTY : detach_pt(vfio->device->idev, arg);
    case VFIO_DEVICE_FEATURE:
        return feature(arg);
    case VFIO_DEVICE_GET_INFO:
        return get_info(vfio->device, arg);
    case VFIO_DEVICE_GET_REGION_INFO:
        return get_region_info(arg);
    case VFIO_DEVICE_RESET:
        /* Linux saves and restores config space around it: nothing is left to see. */
        return !vfio->device->flr ? -EINVAL : vfio->device->blocked_for_reset ? -EAGAIN : 0;
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
    if (!vfio->granted) {
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

/* One access to the device, of at most 8 bytes. */
static void read_part(EmuDevice *device, int index, guint64 at, guint8 *to, guint width)
{
    if (device->gone) {
        memset(to, 0xff, width);
    } else if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
        viommui_emu_edu_config_read(&device->edu, at, to, width);
    } else {
        guint64 value = GUINT64_TO_LE(viommui_emu_edu_bar_read(device, at, width));

        memcpy(to, &value, width);
    }
}

static void write_part(EmuDevice *device, int index, guint64 at, const guint8 *from,
                       guint width)
{
    guint64 value = 0;

    if (device->gone) {
        return;
    }
    if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
        viommui_emu_edu_config_write(&device->edu, at, from, width);
        return;
    }
    memcpy(&value, from, width);
    viommui_emu_edu_bar_write(device, at, GUINT64_FROM_LE(value), width);
}

static ssize_t file_pread(EmuFd *file, void *buf, size_t size, int64_t offset)
{
    VfioFile *vfio = file->object;
    guint64 at = 0;
    gsize left = 0;
    int index = find_region(vfio, buf, size, offset, &at, &left);
    ssize_t done = (ssize_t)left;

    for (guint8 *to = buf; index >= 0 && left;) {
        guint width = access_size(at, left);
        guint8 part[8];

        read_part(vfio->device, index, at, part, width);
        if (viommui_emu_copy_to_user(to, part, width) < 0) {
            return -EFAULT;
        }
        to += width;
        at += width;
        left -= width;
    }
    return index < 0 ? index : done;
}

static ssize_t file_pwrite(EmuFd *file, const void *buf, size_t size, int64_t offset)
{
    VfioFile *vfio = file->object;
    guint64 at = 0;
    gsize left = 0;
    int index = find_region(vfio, buf, size, offset, &at, &left);
    ssize_t done = (ssize_t)left;

    for (const guint8 *from = buf; index >= 0 && left;) {
        guint width = access_size(at, left);
        guint8 part[8];

        if (viommui_emu_copy_from_user(part, from, width) < 0) {
            return -EFAULT;
        }
        write_part(vfio->device, index, at, part, width);
        from += width;
        at += width;
        left -= width;
    }
    return index < 0 ? index : done;
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

int viommui_emu_vfio_open_by_group(EmuVfioGroup *group, EmuDevice *device)
{
    VfioFile *vfio = g_new0(VfioFile, 1);
    int fd =
        viommui_emu_fd_new(device->emulator, "anon_inode:[vfio-device]", &file_ops, vfio);

    if (fd < 0) {
        g_free(vfio);
        return fd;
    }
    vfio->device = device;
    vfio->group = group;
    device->n_files++;
    vfio->granted = TRUE;
    if (device->open_count++ == 0) {
        viommui_emu_edu_enable(&device->edu);
    }
    return fd;
}

int viommui_emu_vfio_open(ViommuEmulator *emulator, const char *path, guint index)
{
    VfioFile *vfio = g_new0(VfioFile, 1);
    int fd;

    vfio->device = g_ptr_array_index(emulator->devices, index);
    if (vfio->device->gone) {
        g_free(vfio);
        return -ENOENT;
    }
    fd = viommui_emu_fd_new(emulator, path, &file_ops, vfio);
    if (fd < 0) {
        g_free(vfio);
        return fd;
    }
    vfio->device->n_files++;
    return fd;
}
