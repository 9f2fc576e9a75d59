/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <linux/vfio.h>

static const char *const bdfs[RIG_DEVICES] = {"0000:00:02.0", "0000:00:03.0"};

int rig_ioctl(Rig *rig, int fd, unsigned long request, void *arg)
{
    return rig->seam->ops->ioctl(rig->seam->data, fd, request, arg);
}

void rig_init(Rig *rig, ViommuEmulator *emulator, guint n_devices)
{
    *rig = (Rig){.emulator = emulator, .seam = viommu_emulator_get_seam(emulator)};
    rig->iommufd = rig->seam->ops->open(rig->seam->data, "/dev/iommu", O_RDWR);
    for (guint i = 0; i < n_devices; i++) {
        g_autofree char *path = g_strdup_printf("/dev/vfio/devices/vfio%u", i);
        struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind),
                                                .iommufd = rig->iommufd};

        rig->bdfs[i] = bdfs[i];
        rig->devices[i] = rig->seam->ops->open(rig->seam->data, path, O_RDWR);
        if (rig_ioctl(rig, rig->devices[i], VFIO_DEVICE_BIND_IOMMUFD, &bind) < 0)
            tap_ok(FALSE, "device %u is bound", i);
        rig->devids[i] = bind.out_devid;
    }
    rig->ram = mmap(NULL, RIG_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    rig->next_free = RIG_RAM_BASE;
    rig->ioas = rig_ioas(rig);
    if (rig_map(rig, rig->ioas, RIG_RAM_BASE, rig->ram, RIG_RAM_SIZE,
                IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE) < 0)
        tap_ok(FALSE, "guest memory is mapped");
}

void rig_clear(Rig *rig)
{
    viommu_emulator_free(rig->emulator);
    munmap(rig->ram, RIG_RAM_SIZE);
}

guint32 rig_ioas(Rig *rig)
{
    struct iommu_ioas_alloc cmd = {.size = sizeof(cmd)};

    return rig_ioctl(rig, rig->iommufd, IOMMU_IOAS_ALLOC, &cmd) < 0 ? 0 : cmd.out_ioas_id;
}

int rig_map(Rig *rig, guint32 ioas, guint64 iova, void *memory, guint64 size, guint32 flags)
{
    struct iommu_ioas_map cmd = {
        .size = sizeof(cmd),
        .flags = flags | IOMMU_IOAS_MAP_FIXED_IOVA,
        .ioas_id = ioas,
        .user_va = (uintptr_t)memory,
        .length = size,
        .iova = iova,
    };

    return rig_ioctl(rig, rig->iommufd, IOMMU_IOAS_MAP, &cmd);
}

int rig_unmap(Rig *rig, guint32 ioas, guint64 iova, guint64 size)
{
    struct iommu_ioas_unmap cmd = {
        .size = sizeof(cmd), .ioas_id = ioas, .iova = iova, .length = size};

    return rig_ioctl(rig, rig->iommufd, IOMMU_IOAS_UNMAP, &cmd);
}

int rig_destroy(Rig *rig, guint32 id)
{
    struct iommu_destroy cmd = {.size = sizeof(cmd), .id = id};

    return rig_ioctl(rig, rig->iommufd, IOMMU_DESTROY, &cmd);
}

int rig_hwpt(Rig *rig, guint n, guint32 pt_id, guint32 flags, guint32 data_type,
             const void *data, guint32 size, guint32 fault_id, guint32 *ret_id)
{
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof(cmd),
        .flags = flags,
        .dev_id = rig->devids[n],
        .pt_id = pt_id,
        .data_type = data_type,
        .data_len = size,
        .data_uptr = (uintptr_t)data,
        .fault_id = fault_id,
    };
    int ret = rig_ioctl(rig, rig->iommufd, IOMMU_HWPT_ALLOC, &cmd);

    if (ret == 0 && ret_id)
        *ret_id = cmd.out_hwpt_id;
    return ret;
}

int rig_invalidate(Rig *rig, guint32 id, guint32 type, const void *data, guint32 entry_len,
                   guint32 *entry_num)
{
    struct iommu_hwpt_invalidate cmd = {
        .size = sizeof(cmd),
        .hwpt_id = id,
        .data_uptr = (uintptr_t)data,
        .data_type = type,
        .entry_len = entry_len,
        .entry_num = *entry_num,
    };
    int ret = rig_ioctl(rig, rig->iommufd, IOMMU_HWPT_INVALIDATE, &cmd);

    *entry_num = cmd.entry_num;
    return ret;
}

int rig_attach(Rig *rig, guint n, guint32 pasid, guint32 pt_id)
{
    struct vfio_device_attach_iommufd_pt cmd = {
        .argsz = sizeof(cmd),
        .flags = pasid ? VFIO_DEVICE_ATTACH_PASID : 0,
        .pt_id = pt_id,
        .pasid = pasid,
    };

    return rig_ioctl(rig, rig->devices[n], VFIO_DEVICE_ATTACH_IOMMUFD_PT, &cmd);
}

int rig_detach(Rig *rig, guint n, guint32 pasid)
{
    struct vfio_device_detach_iommufd_pt cmd = {
        .argsz = sizeof(cmd),
        .flags = pasid ? VFIO_DEVICE_DETACH_PASID : 0,
        .pasid = pasid,
    };

    return rig_ioctl(rig, rig->devices[n], VFIO_DEVICE_DETACH_IOMMUFD_PT, &cmd);
}

int rig_hw_info(Rig *rig, guint n, struct iommu_hw_info *ret_info, void *data, guint32 size)
{
    *ret_info = (struct iommu_hw_info){
        .size = sizeof(*ret_info),
        .dev_id = rig->devids[n],
        .data_len = size,
        .data_uptr = (uintptr_t)data,
    };
    return rig_ioctl(rig, rig->iommufd, IOMMU_GET_HW_INFO, ret_info);
}

guint64 rig_alloc(Rig *rig, gsize size)
{
    guint64 gpa = (rig->next_free + size - 1) & ~(guint64)(size - 1);

    g_assert(gpa + size <= RIG_RAM_BASE + RIG_RAM_SIZE);
    rig->next_free = gpa + size;
    memset(rig->ram + (gpa - RIG_RAM_BASE), 0, size);
    return gpa;
}

guint64 *rig_word(Rig *rig, guint64 gpa)
{
    return (guint64 *)(void *)(rig->ram + (gpa - RIG_RAM_BASE));
}

int rig_access(Rig *rig, guint n, const ViommuEmulatorAccess *access, guint64 *value)
{
    return viommu_emulator_dma_as(rig->emulator, rig->bdfs[n], access, value,
                                  sizeof(*value));
}

int rig_read(Rig *rig, guint n, guint64 iova, guint64 *ret_value)
{
    const ViommuEmulatorAccess access = {.iova = iova};

    return rig_access(rig, n, &access, ret_value);
}

int rig_write(Rig *rig, guint n, guint64 iova, guint64 value)
{
    const ViommuEmulatorAccess access = {.iova = iova, .write = TRUE};

    return rig_access(rig, n, &access, &value);
}

gint64 rig_peek(Rig *rig, guint n, const ViommuEmulatorAccess *access,
                ViommuEmulatorCache *ret_cache)
{
    guint64 ipa = 0;
    int ret = viommu_emulator_peek_as(rig->emulator, rig->bdfs[n], access, &ipa, ret_cache);

    return ret < 0 ? ret : (gint64)ipa;
}
