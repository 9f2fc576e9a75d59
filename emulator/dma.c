/* SPDX-License-Identifier: MIT */
/*
 * DMA of a device: translated page by page, each page on its own, as on a bus.
 *
 * Invariants: bytes move only where the IOMMU's answer is mapped in its IOAS with that
 * permission at this moment, whatever a cache says; every write leaves its mark on the
 * HWPT that it went through.
 *
 * Up: edu.c, inspect-dma.c, and dma-wait.c for what was refused at first. Down:
 * EmuIommuOps.translate, ioas-map.c, hwpt.c.
 */
#include "iommufd.h"

/* The HWPT behind an access: a guest's own PASIDs go by the requester ID's. */
static EmuHwpt *find_hwpt(const EmuDevice *device, const EmuAccess *access)
{
    EmuHwpt *hwpt =
        access->has_pasid ? viommui_emu_group_hwpt(device->group, access->pasid) : NULL;

    return hwpt ? hwpt : viommui_emu_group_hwpt(device->group, 0);
}

static void mark_dirty(const EmuDevice *device, const EmuAccess *access, guint64 ipa)
{
    EmuHwpt *hwpt = find_hwpt(device, access);

    if (hwpt) {
        viommui_emu_hwpt_mark_dirty(viommui_emu_hwpt_paging(hwpt), ipa);
    }
}

void *viommui_emu_dma_host(const EmuDevice *device, const EmuAccess *access,
                           const EmuIoas *ioas, guint64 ipa, gsize size)
{
    void *host = viommui_emu_ioas_host(ioas, ipa, size, access->write);
    const EmuHwpt *hwpt = host ? NULL : find_hwpt(device, access);

    return hwpt && hwpt->all_readable && !access->write
               ? viommui_emu_ioas_host(ioas, ipa, size, TRUE)
               : host;
}

static int try_access(EmuDevice *device, const EmuAccess *access, void *data, gsize size)
{
    EmuIoas *ioas = NULL;
    guint64 ipa = 0;
    void *host;
    int ret;

    if (!device->group->owner || device->gone) {
        return -EFAULT;
    }
    ret = device->iommu->ops->translate(device, access, &ipa, &ioas);
    if (ret < 0) {
        return ret;
    }
    host = viommui_emu_dma_host(device, access, ioas, ipa, size);
    if (!host) {
        return -EFAULT;
    }
    if (access->write) {
        mark_dirty(device, access, ipa);
        return viommui_emu_copy_to_user(host, data, size);
    }
    /* Asking whether it is there: a kernel would have kept it from being unmapped. */
    return data ? viommui_emu_copy_from_user(data, host, size) : 0;
}

int viommui_emu_dma_try(EmuDevice *device, const EmuAccess *access, void *data, gsize size)
{
    int ret = try_access(device, access, data, size);

    device->n_dma++;
    device->n_refused += ret < 0;
    return ret;
}

int viommui_emu_dma_access(EmuDevice *device, const EmuAccess *access, void *data,
                           gsize size, gboolean in_device)
{
    int ret = viommui_emu_dma_try(device, access, data, size);

    return ret == -EINPROGRESS ? viommui_emu_dma_wait(device, access, data, size, in_device)
                               : ret;
}

int viommui_emu_dma_page(EmuDevice *device, guint64 iova, void *data, gsize size,
                         gboolean write)
{
    const EmuAccess access = {.iova = iova, .write = write};

    return viommui_emu_dma_access(device, &access, data, size, FALSE);
}

void viommui_emu_dma(EmuDevice *device, guint64 iova, void *data, gsize size,
                     gboolean write)
{
    guint8 *bytes = data;

    while (size) {
        gsize part = MIN(size, EMU_PAGE_SIZE - iova % EMU_PAGE_SIZE);
        const EmuAccess access = {.iova = iova, .write = write};

        if (viommui_emu_dma_access(device, &access, bytes, part, TRUE) < 0 && !write) {
            memset(bytes, 0, part);
        }
        iova += part;
        bytes += part;
        size -= part;
    }
}
