/* SPDX-License-Identifier: MIT */
/*
 * What iommufd and VFIO cdevs answer whichever IOMMU is behind them: the rules about
 * sizes and reserved fields, IDs and kinds of objects, what keeps an object from being
 * destroyed, bind, attach and detach, and orders of tear-down. Mappings are test-ioas.c.
 *
 * The same points on the emulator and, with --device, on the kernel.
 */
#include "uapi.h"

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- sizes and reserved fields ----------------------------------------------------------
 */

typedef struct {
    const char *name;
    unsigned long request;
    guint32 min_size;
    guint32 size;
    guint32 reserved; /* where a word stands that must be 0; 0: there is none */
} Call;

#define CALL(request, type, last, reserved)                                        \
    {                                                                              \
#request, request,                                                         \
            G_STRUCT_OFFSET(struct type, last) + sizeof(((struct type *)0)->last), \
            sizeof(struct type), reserved                                          \
    }
#define AT(type, field) G_STRUCT_OFFSET(struct type, field)

static const Call calls[] = {
    CALL(IOMMU_DESTROY, iommu_destroy, id, 0),
    CALL(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, out_ioas_id, AT(iommu_ioas_alloc, flags)),
    CALL(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, allowed_iovas,
         AT(iommu_ioas_allow_iovas, __reserved)),
    CALL(IOMMU_IOAS_COPY, iommu_ioas_copy, src_iova, AT(iommu_ioas_copy, flags)),
    CALL(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, out_iova_alignment,
         AT(iommu_ioas_iova_ranges, __reserved)),
    CALL(IOMMU_IOAS_MAP, iommu_ioas_map, iova, AT(iommu_ioas_map, __reserved)),
    CALL(IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, iova, AT(iommu_ioas_map_file, flags)),
    CALL(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, length, 0),
    CALL(IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process, __reserved,
         AT(iommu_ioas_change_process, __reserved)),
    CALL(IOMMU_OPTION, iommu_option, val64, AT(iommu_option, __reserved)),
    CALL(IOMMU_VFIO_IOAS, iommu_vfio_ioas, __reserved, AT(iommu_vfio_ioas, __reserved)),
    CALL(IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, __reserved, AT(iommu_hwpt_alloc, __reserved)),
    CALL(IOMMU_GET_HW_INFO, iommu_hw_info, __reserved, AT(iommu_hw_info, flags)),
    CALL(IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, __reserved,
         AT(iommu_hwpt_set_dirty_tracking, flags)),
    CALL(IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, data,
         AT(iommu_hwpt_get_dirty_bitmap, __reserved)),
    CALL(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, __reserved,
         AT(iommu_hwpt_invalidate, __reserved)),
    CALL(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, out_fault_fd,
         AT(iommu_fault_alloc, flags)),
    CALL(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, out_viommu_id,
         AT(iommu_viommu_alloc, flags)),
    CALL(IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, virt_id, 0),
    CALL(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, out_veventq_fd,
         AT(iommu_veventq_alloc, flags)),
    CALL(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, length,
         AT(iommu_hw_queue_alloc, flags)),
};

static void test_sizes(Uapi *u)
{
    for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
        const Call *call = &calls[i];
        union {
            guint32 words[64];
            guint64 align;
        } arg = {{call->min_size - 1}};

        tap_is(uapi_ioctl(u, call->request, &arg), -EINVAL, "%s too small", call->name);
        arg.words[0] = call->size + 8;
        arg.words[call->size / 4] = 1;
        tap_is(uapi_ioctl(u, call->request, &arg), -E2BIG, "%s larger, with more to say",
               call->name);
        arg.words[call->size / 4] = 0;
        if (call->reserved) {
            arg.words[call->reserved / 4] = 0x80000000;
            tap_is(uapi_ioctl(u, call->request, &arg), -EOPNOTSUPP,
                   "%s larger, with nothing to say, then a reserved bit", call->name);
        }
    }
}

static void test_dispatch(Uapi *u)
{
    struct iommu_ioas_alloc alloc = {.size = sizeof alloc};
    struct {
        struct iommu_ioas_alloc alloc;
        guint8 more[100];
    } large = {.alloc.size = sizeof large};
    void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    tap_is(uapi_ioctl(u, _IO(IOMMUFD_TYPE, 0x7f), &alloc), -ENOTTY, "a number below all");
    tap_is(uapi_ioctl(u, _IO(IOMMUFD_TYPE, 0x98), &alloc), -ENOTTY, "a number above all");
    tap_is(uapi_ioctl(u, _IO('x', IOMMUFD_CMD_IOAS_ALLOC), &alloc), -ENOTTY,
           "a number under another letter");
    tap_is(uapi_ioctl(u, _IOWR(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC, guint32), &alloc),
           -ENOTTY, "a number that claims a size");
    tap_is(uapi_ioctl(u, IOMMU_IOAS_ALLOC, NULL), -EFAULT, "no argument");
    tap_is(uapi_ioctl(u, IOMMU_IOAS_ALLOC, hole), -EFAULT, "an argument that is no memory");
    tap_is(uapi_ioctl(u, _IO('x', IOMMUFD_CMD_IOAS_ALLOC), NULL), -EFAULT,
           "no argument, and another letter");
    tap_is(uapi_ioctl(u, IOMMU_IOAS_ALLOC, &large), 0, "a larger struct, zero at its end");
    uapi_destroy(u, large.alloc.out_ioas_id);
    munmap(hole, 4096);
}

/* --- IDs and kinds ----------------------------------------------------------------------
 */

static void test_ids(Uapi *u)
{
    guint32 a = 0, b = 0, c = 0;

    tap_is(u->devices[0], 1, "the first object has ID 1");
    tap_is(u->ioas, u->n_devices + 1, "IDs count up");
    uapi_ioas_alloc(u, &a);
    uapi_ioas_alloc(u, &b);
    tap_is(b, a + 1, "... and up");
    tap_is(uapi_destroy(u, a), 0, "an unused IOAS goes");
    tap_is(uapi_destroy(u, a), -ENOENT, "... once");
    uapi_ioas_alloc(u, &c);
    tap_is(c, a, "the lowest free ID is given again");
    tap_is(uapi_destroy(u, 0), -ENOENT, "there is no ID 0");
    tap_is(uapi_destroy(u, UAPI_NO_ID), -ENOENT, "an ID never given");
    tap_is(uapi_destroy(u, u->devices[0]), -EBUSY, "a bound device stays");
    tap_is(uapi_destroy(u, u->ioas), 0, "an IOAS goes with its mappings");
    u->ioas = 0;
    uapi_destroy(u, b);
    uapi_destroy(u, c);
}

static void test_kinds(Uapi *u)
{
    guint32 device = u->devices[0];
    guint32 hwpt = 0, id;
    guint64 iova = 0;
    guint64 length = 4096;
    guint32 n = 0;
    struct iommu_hw_info info = {.size = sizeof info, .dev_id = u->ioas};
    struct iommu_hwpt_set_dirty_tracking dirty = {.size = sizeof dirty, .hwpt_id = u->ioas};
    struct iommu_hwpt_get_dirty_bitmap bitmap = {.size = sizeof bitmap, .hwpt_id = u->ioas};

    uapi_paging(u, 0, u->ioas, 0, &hwpt);
    tap_is(uapi_map_at(u, device, u->ram.bytes, 4096, 0), -ENOENT, "map into a device");
    tap_is(uapi_map_at(u, hwpt, u->ram.bytes, 4096, 0), -ENOENT, "map into an HWPT");
    tap_is(uapi_unmap(u, hwpt, 0, &length), -ENOENT, "unmap from an HWPT");
    tap_is(uapi_ranges(u, device, NULL, &n, &iova), -ENOENT, "ranges of a device");
    tap_is(uapi_allow(u, hwpt, NULL, 0), -ENOENT, "allow in an HWPT");
    tap_is(uapi_copy(u, u->ioas, hwpt, UAPI_FIXED_RW, UAPI_RAM_BASE, 4096, &iova), -ENOENT,
           "copy from an HWPT");
    tap_is(uapi_copy(u, hwpt, u->ioas, UAPI_FIXED_RW, UAPI_RAM_BASE, 4096, &iova), -ENOENT,
           "copy to an HWPT");
    tap_is(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), -ENOENT, "hardware info of an IOAS");
    tap_is(uapi_ioctl(u, IOMMU_HWPT_SET_DIRTY_TRACKING, &dirty), -ENOENT,
           "dirty tracking of an IOAS");
    tap_is(uapi_ioctl(u, IOMMU_HWPT_GET_DIRTY_BITMAP, &bitmap), -ENOENT,
           "dirty bitmap of an IOAS");
    tap_is(uapi_paging(u, 0, device, 0, &id), -EINVAL, "an HWPT over a device");
    tap_is(uapi_paging(u, 0, UAPI_NO_ID, 0, &id), -EINVAL, "an HWPT over nothing");
    tap_is(uapi_viommu(u, 0, u->ioas, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &id),
           u->hw_type == IOMMU_HW_INFO_TYPE_ARM_SMMUV3 ? -ENOENT : -EOPNOTSUPP,
           "a vIOMMU over an IOAS");
    tap_is(uapi_viommu(u, 0, hwpt, IOMMU_VIOMMU_TYPE_DEFAULT, &id), -EOPNOTSUPP,
           "a vIOMMU of no type");
    tap_is(uapi_viommu(u, 0, hwpt, 0x7fff, &id), -EOPNOTSUPP, "a vIOMMU of a strange type");
    tap_is(uapi_vdevice(u, hwpt, 0, 1, &id), -ENOENT, "a vDEVICE in an HWPT");
    tap_is(uapi_invalidate(u, hwpt, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, NULL, 0, &n),
           -EINVAL, "invalidate an HWPT that is not nested");
    n = 0;
    tap_is(uapi_invalidate(u, UAPI_NO_ID, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, NULL, 0, &n),
           -ENOENT, "invalidate nothing");
    n = 1;
    tap_is(uapi_invalidate(u, UAPI_NO_ID, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, NULL, 16, &n),
           -EINVAL, "entries without data come first");
    tap_is(n, 0, "... and none is handled");
    n = 1;
    tap_is(uapi_invalidate(u, UAPI_NO_ID, 0, &n, 0, &n), -EINVAL, "entries of no size");
    n = 1;
    tap_is(uapi_invalidate(u, UAPI_NO_ID, 0, &n, 65537, &n), -EINVAL, "entries too large");
    n = (1 << 19) + 1;
    tap_is(uapi_invalidate(u, UAPI_NO_ID, 0, &n, 16, &n), -EINVAL, "entries too many");
    n = 1;
    tap_is(uapi_attach_to(u, 0, device), -EINVAL, "attach to a device");
    tap_is(uapi_attach_to(u, 0, UAPI_NO_ID), -ENOENT, "attach to nothing");
    tap_is(uapi_destroy(u, u->ioas), -EBUSY, "an IOAS under an HWPT stays");
    tap_is(uapi_destroy(u, hwpt), 0, "an unused HWPT goes");
}

static void test_hwpt(Uapi *u)
{
    guint64 data[8] = {0};
    guint32 hwpt = 0, other = 0;
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof cmd, .dev_id = UAPI_NO_ID, .pt_id = u->ioas};

    tap_is(uapi_ioctl(u, IOMMU_HWPT_ALLOC, &cmd), -ENOENT, "an HWPT for no device");
    cmd.dev_id = u->ioas;
    tap_is(uapi_ioctl(u, IOMMU_HWPT_ALLOC, &cmd), -ENOENT, "an HWPT for an IOAS");
    tap_is(uapi_paging(u, 0, u->ioas, 0x80000000, &hwpt), -EOPNOTSUPP,
           "an HWPT with a flag of tomorrow");
    tap_is(uapi_paging(u, 0, u->ioas, IOMMU_HWPT_FAULT_ID_VALID, &hwpt), -ENOENT,
           "an HWPT with a fault queue that is not there");
    tap_is(uapi_paging(u, 0, u->ioas,
                       IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_NEST_PARENT, &hwpt),
           -EOPNOTSUPP, "a nesting parent with a fault queue");
    tap_is(uapi_hwpt(u, 0, u->ioas, 0, IOMMU_HWPT_DATA_NONE, data, 16, &hwpt), -EINVAL,
           "data of no type");
    tap_is(uapi_hwpt(u, 0, u->ioas, 0, IOMMU_HWPT_DATA_VTD_S1, data, 0, &hwpt), -EINVAL,
           "a type without data");
    tap_is(uapi_hwpt(u, 0, u->ioas, 0, IOMMU_HWPT_DATA_VTD_S1, data, 24, &hwpt),
           -EOPNOTSUPP, "data for a paging HWPT");
    tap_is(uapi_paging(u, 0, u->ioas, 0, &hwpt), 0, "a paging HWPT");
    tap_is(uapi_hwpt(u, 0, hwpt, 0, IOMMU_HWPT_DATA_NONE, NULL, 0, &other), -EOPNOTSUPP,
           "a nested HWPT without data");
    tap_is(uapi_hwpt(u, 0, hwpt, IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_DATA_VTD_S1, data,
                     24, &other),
           -EOPNOTSUPP, "a nested HWPT that would be a parent");
    tap_is(uapi_attach_to(u, 0, hwpt), 0, "attach to it");
    tap_is(uapi_destroy(u, hwpt), -EBUSY, "an attached HWPT stays");
    tap_is(uapi_detach(u, 0), 0, "detach");
    tap_is(uapi_destroy(u, hwpt), 0, "... and it goes");
}

static void test_hw_info(Uapi *u)
{
    guint8 buffer[512];
    guint32 size;
    struct iommu_hw_info info = {.size = sizeof info, .dev_id = u->devices[0]};

    tap_is(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), 0, "hardware info, without data");
    size = info.data_len;
    tap_ok(size > 0, "... tells how much there is");
    tap_is(info.out_max_pasid_log2, 0, "... and no PASIDs for a device without");
    info.data_len = size;
    tap_is(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), -EFAULT, "room at NULL");
    memset(buffer, 0xa5, sizeof buffer);
    info.data_uptr = (guintptr)buffer;
    info.data_len = sizeof buffer;
    tap_is(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), 0, "more room than there is");
    tap_is(info.data_len, size, "... tells how much there is");
    tap_ok(buffer[size] == 0 && buffer[sizeof buffer - 1] == 0, "... and zeroes the rest");
    memset(buffer, 0xa5, sizeof buffer);
    info.data_len = 4;
    tap_is(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), 0, "less room than there is");
    tap_is(info.data_len, size, "... tells how much there is");
    tap_is(buffer[4], 0xa5, "... and writes no more than fits");
    info.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE;
    info.in_data_type = 0x7fff;
    tap_is(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), -EOPNOTSUPP, "info of a strange type");
    info.in_data_type = u->hw_type;
    tap_is(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), 0, "info of the type asked for");
    tap_is(info.out_data_type, u->hw_type, "... is of that type");
}

/* --- fault queues -----------------------------------------------------------------------
 */

static void test_fault_queue(Uapi *u)
{
    struct iommu_fault_alloc alloc = {.size = sizeof alloc};
    guint8 buffer[256] = {0};
    guint32 hwpt = 0;
    struct iommu_hwpt_alloc cmd = {.size = sizeof cmd,
                                   .flags = IOMMU_HWPT_FAULT_ID_VALID,
                                   .dev_id = u->devices[0],
                                   .pt_id = u->ioas};
    int ret = uapi_ioctl(u, IOMMU_FAULT_QUEUE_ALLOC, &alloc);
    int fd = (int)alloc.out_fault_fd;
    struct pollfd poll = {.fd = fd, .events = POLLIN | POLLOUT};

    tap_is(ret, 0, "a fault queue");
    if (ret < 0)
        return;
    tap_is(u->seam->ops->poll(u->seam->data, &poll, 1, 0), 1, "... can be polled");
    tap_is(poll.revents, POLLOUT, "... takes responses, and has no request");
    tap_is(u->seam->ops->read(u->seam->data, fd, buffer, 1), -ESPIPE, "read a part of one");
    tap_is(u->seam->ops->read(u->seam->data, fd, buffer, sizeof(struct iommu_hwpt_pgfault)),
           0, "read none");
    cmd.fault_id = u->ioas;
    tap_is(uapi_ioctl(u, IOMMU_HWPT_ALLOC, &cmd), -ENOENT, "an IOAS is no fault queue");
    cmd.fault_id = alloc.out_fault_id;
    tap_is(uapi_ioctl(u, IOMMU_HWPT_ALLOC, &cmd), 0, "an HWPT with the fault queue");
    hwpt = cmd.out_hwpt_id;
    tap_is(uapi_destroy(u, alloc.out_fault_id), -EBUSY, "a queue in use stays");
    tap_is(uapi_destroy(u, hwpt), 0, "the HWPT goes");
    tap_is(uapi_destroy(u, alloc.out_fault_id), -EBUSY, "a queue that is open stays");
    uapi_close(u, fd);
    tap_is(uapi_destroy(u, alloc.out_fault_id), 0, "closed, it goes");
}

/* --- cdevs ------------------------------------------------------------------------------
 */

static int bind_raw(Uapi *u, int cdev, guint32 argsz, guint32 flags, int iommufd)
{
    struct {
        struct vfio_device_bind_iommufd bind;
        guint32 more[4];
    } arg = {.bind = {.argsz = argsz, .flags = flags, .iommufd = iommufd}, .more = {1}};

    return uapi_cdev_ioctl(u, cdev, VFIO_DEVICE_BIND_IOMMUFD, &arg);
}

static void test_bind(Uapi *u)
{
    const guint32 size = sizeof(struct vfio_device_bind_iommufd);
    struct vfio_device_info info = {.argsz = sizeof info};
    int second = uapi_cdev_open(u, 0);
    int file = memfd_create("no-iommufd", MFD_CLOEXEC);
    int other = u->seam->ops->open(u->seam->data, "/dev/iommu", O_RDWR);
    guint32 id = 0;

    tap_ok(second >= 0, "a cdev may be opened again");
    tap_is(uapi_cdev_ioctl(u, second, VFIO_DEVICE_GET_INFO, &info), -EINVAL,
           "before bind: no info");
    tap_is(uapi_bind(u, second, u->fd, &id), -EINVAL, "a device is bound once");
    tap_is(uapi_bind(u, second, other, &id), -EINVAL, "... also by another iommufd");
    tap_is(uapi_bind(u, u->cdevs[0], u->fd, &id), -EINVAL, "... also by the same file");
    uapi_close(u, u->cdevs[0]);
    u->cdevs[0] = second;
    tap_is(bind_raw(u, second, 8, 0, u->fd), -EINVAL, "bind, too small");
    tap_is(bind_raw(u, second, size + 4, 0, u->fd), -E2BIG, "bind, larger");
    tap_is(bind_raw(u, second, size, 0x80, u->fd), -EINVAL, "bind, a flag of tomorrow");
    tap_is(bind_raw(u, second, size, 0, -1), -EINVAL, "bind to -1");
    tap_is(bind_raw(u, second, size, 0, 999), -EBADF, "bind to no descriptor");
    tap_is(bind_raw(u, second, size, 0, file), -EBADFD, "bind to a file");
    tap_is(bind_raw(u, second, size, 0, second), -EBADFD, "bind to a cdev");
    tap_is(uapi_cdev_ioctl(u, second, VFIO_DEVICE_BIND_IOMMUFD, NULL), -EFAULT,
           "bind to NULL");
    tap_is(uapi_attach_to(u, 0, u->ioas), -EINVAL, "attach before bind");
    tap_is(uapi_detach(u, 0), -EINVAL, "detach before bind");
    tap_is(uapi_bind(u, second, u->fd, &u->devices[0]), 0, "bind");
    tap_is(u->devices[0], 1, "... under the ID that was left free");
    tap_is(uapi_cdev_ioctl(u, second, VFIO_DEVICE_GET_INFO, &info), 0, "after bind: info");
    tap_ok(info.flags & VFIO_DEVICE_FLAGS_PCI, "... it is PCI");
    tap_is(uapi_cdev_ioctl(u, second, _IO(VFIO_TYPE, VFIO_BASE + 90), &info), -ENOTTY,
           "a number that VFIO has not");
    close(file);
    uapi_close(u, other);
}

static int attach_raw(Uapi *u, guint32 argsz, guint32 flags, guint32 pt_id, guint32 pasid)
{
    struct vfio_device_attach_iommufd_pt arg = {
        .argsz = argsz, .flags = flags, .pt_id = pt_id, .pasid = pasid};

    return uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static int detach_raw(Uapi *u, guint32 argsz, guint32 flags)
{
    struct vfio_device_detach_iommufd_pt arg = {.argsz = argsz, .flags = flags};

    return uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

static void test_attach(Uapi *u)
{
    guint32 pt = u->ioas, again = u->ioas, ioas = 0;

    tap_is(attach_raw(u, 8, 0, u->ioas, 0), -EINVAL, "attach, too small");
    tap_is(attach_raw(u, 16, 0x80, u->ioas, 0), -EINVAL, "attach, a flag of tomorrow");
    tap_is(attach_raw(u, 12, VFIO_DEVICE_ATTACH_PASID, u->ioas, 1), -EINVAL,
           "attach a PASID, too small");
    tap_is(attach_raw(u, 16, VFIO_DEVICE_ATTACH_PASID, UAPI_NO_ID, 1), -ENOENT,
           "attach a PASID to nothing");
    tap_is(attach_raw(u, 16, VFIO_DEVICE_ATTACH_PASID, u->ioas, 1), -EINVAL,
           "attach a PASID of a device without");
    tap_is(uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_ATTACH_IOMMUFD_PT, NULL), -EFAULT,
           "attach at NULL");
    tap_is(detach_raw(u, 4, 0), -EINVAL, "detach, too small");
    tap_is(detach_raw(u, 12, 0x80), -EINVAL, "detach, a flag of tomorrow");
    tap_is(detach_raw(u, 8, VFIO_DEVICE_DETACH_PASID), -EINVAL,
           "detach a PASID, too small");
    tap_is(uapi_detach(u, 0), 0, "detach what is not attached");

    tap_is(uapi_attach(u, 0, &pt), 0, "attach to an IOAS");
    tap_ok(pt != u->ioas, "... comes down to an HWPT");
    tap_is(uapi_destroy(u, pt), -EBUSY, "... which stays");
    tap_is(uapi_destroy(u, u->ioas), -EBUSY, "... and the IOAS, too");
    tap_is(uapi_attach(u, 0, &again), 0, "attach to it again");
    tap_is(again, pt, "... is the same HWPT");
    again = u->ioas;
    if (u->n_devices > 1) {
        tap_is(uapi_attach(u, 1, &again), 0, "a second device");
        tap_is(again, pt, "... shares the HWPT");
        tap_is(uapi_detach(u, 1), 0, "... and leaves it");
    }
    uapi_ioas_alloc(u, &ioas);
    again = ioas;
    tap_is(uapi_attach(u, 0, &again), 0, "replace by an IOAS");
    tap_is(uapi_destroy(u, pt), -ENOENT, "... and the old HWPT is gone");
    tap_is(uapi_attach_to(u, 0, UAPI_NO_ID), -ENOENT, "replace by nothing");
    tap_is(uapi_destroy(u, ioas), -EBUSY, "... leaves what was");
    tap_is(uapi_detach(u, 0), 0, "detach");
    tap_is(uapi_destroy(u, again), -ENOENT, "... and the HWPT is gone");
    tap_is(uapi_detach(u, 0), 0, "detach again");
    tap_is(uapi_destroy(u, ioas), 0, "the IOAS goes");
}

static void test_regions(Uapi *u)
{
    struct vfio_region_info info = {.argsz = sizeof info, .index = 0};
    guint8 byte;

    tap_is(uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_GET_REGION_INFO, &info), 0,
           "BAR 0 is there");
    tap_is(info.size, 0x100000, "... of edu's size");
    info.index = 1;
    tap_is(uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_GET_REGION_INFO, &info), 0,
           "BAR 1 can be asked for");
    tap_is(info.size, 0, "... and is not there");
    info.index = 200;
    tap_is(uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_GET_REGION_INFO, &info), -EINVAL,
           "a region of no such number");
    info.index = 0;
    info.argsz = 8;
    tap_is(uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_GET_REGION_INFO, &info), -EINVAL,
           "a region, too small");
    tap_is(u->seam->ops->pread(u->seam->data, u->cdevs[0], &byte, 1, 200ll << 40), -EINVAL,
           "read of no region");
}

/* --- tear-down --------------------------------------------------------------------------
 */

static void test_tear_down(Uapi *u)
{
    guint32 pt = u->ioas, id = 0;
    int iommufd;

    tap_is(uapi_attach(u, 0, &pt), 0, "attach");
    uapi_prime(u, 0, u->fill);
    uapi_close(u, u->fd);
    u->fd = -1;
    tap_ok(uapi_stores(u, 0, u->spare, u->spare), "DMA goes on when /dev/iommu is closed");
    tap_is(uapi_detach(u, 0), 0, "... and detach does");
    tap_ok(!uapi_stores(u, 0, u->spare, u->spare), "... and stops it");
    tap_is(uapi_attach_to(u, 0, u->ioas), 0, "... and attach does");
    tap_ok(uapi_stores(u, 0, u->spare, u->spare), "... and starts it");
    for (guint i = 0; i < u->n_devices; i++) {
        tap_is(uapi_close(u, u->cdevs[i]), 0, "close the cdev while attached");
        u->cdevs[i] = -1;
    }
    iommufd = u->seam->ops->open(u->seam->data, "/dev/iommu", O_RDWR);
    u->fd = iommufd;
    u->cdevs[0] = uapi_cdev_open(u, 0);
    tap_is(uapi_bind(u, u->cdevs[0], iommufd, &id), 0, "bind anew, to another iommufd");
    tap_is(id, 1, "... which begins its IDs anew");
    tap_is(uapi_destroy(u, id), -EBUSY, "the device is there");
    uapi_close(u, u->cdevs[0]);
    u->cdevs[0] = -1;
    tap_is(uapi_destroy(u, id), -ENOENT, "closing its cdev takes it away");
}

static void test_options(Uapi *u)
{
    guint64 value = 7;
    int fd = u->fd;

    tap_is(uapi_option(u, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 0, &value), 0,
           "the accounting mode");
    tap_is(value, 0, "... is by user");
    tap_is(uapi_option(u, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value), -EBUSY,
           "... fixed once there are objects");
    tap_is(uapi_option(u, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, u->ioas, &value),
           -EOPNOTSUPP, "... not of an object");
    tap_is(uapi_option(u, IOMMU_OPTION_RLIMIT_MODE, 2, 0, &value), -EOPNOTSUPP,
           "... neither set nor got");
    tap_is(uapi_option(u, 99, IOMMU_OPTION_OP_GET, 0, &value), -EOPNOTSUPP,
           "an option of tomorrow");
    u->fd = u->seam->ops->open(u->seam->data, "/dev/iommu", O_RDWR);
    value = 2;
    tap_is(uapi_option(u, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value),
           -EINVAL, "a mode that is none");
    value = 1;
    tap_is(uapi_option(u, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value), 0,
           "set the accounting mode");
    value = 7;
    uapi_option(u, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 0, &value);
    tap_is(value, 1, "... holds");
    uapi_close(u, u->fd);
    u->fd = fd;
}

int main(int argc, char **argv)
{
    static const UapiTest tests[] = {
        test_dispatch, test_sizes,   test_ids,     test_kinds,
        test_hwpt,     test_hw_info, test_bind,    test_fault_queue,
        test_attach,   test_regions, test_options, test_tear_down,
    };

    return uapi_main(argc, argv, IOMMU_HW_INFO_TYPE_NONE, tests, G_N_ELEMENTS(tests));
}
