/* SPDX-License-Identifier: MIT */
/*
 * DMA of a device: translated page by page, each page on its own, as on a bus.
 *
 * Invariants: bytes move only where the IOMMU's answer is mapped in its IOAS with that
 * permission at this moment, whatever a cache says.
 *
 * Up: edu.c and inspect.c. Down: EmuIommuOps.translate, ioas-map.c.
 */
#include "iommufd.h"

int viommui_emu_dma_page(EmuDevice *device, guint64 iova, void *data, gsize size,
                         gboolean write)
{
    const EmuAccess access = {.iova = iova, .write = write};
    EmuIoas *ioas = NULL;
    guint64 ipa = 0;
    void *host;
    int ret;

    if (!device->idev) {
        return -EFAULT;
    }
    ret = device->iommu->ops->translate(device, &access, &ipa, &ioas);
    if (ret < 0) {
        return ret;
    }
    host = viommui_emu_ioas_host(ioas, ipa, size, write);
    if (!host) {
        return -EFAULT;
    }
    if (write) {
        memcpy(host, data, size);
    } else {
        memcpy(data, host, size);
    }
    return 0;
}

void viommui_emu_dma(EmuDevice *device, guint64 iova, void *data, gsize size,
                     gboolean write)
{
    guint8 *bytes = data;

    while (size) {
        gsize part = MIN(size, EMU_PAGE_SIZE - iova % EMU_PAGE_SIZE);

        if (viommui_emu_dma_page(device, iova, bytes, part, write) < 0 && !write) {
            memset(bytes, 0, part);
        }
        iova += part;
        bytes += part;
        size -= part;
    }
}
