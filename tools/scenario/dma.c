/* SPDX-License-Identifier: MIT */
#include "dma.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>

/* Registers of edu, offsets in BAR 0. */
enum {
    EDU_DMA_SOURCE = 0x80,
    EDU_DMA_TARGET = 0x88,
    EDU_DMA_COUNT = 0x90,
    EDU_DMA_COMMAND = 0x98
};
enum { EDU_COMMAND_START = 1, EDU_COMMAND_TO_MEMORY = 2 };
enum { EDU_BUFFER = 0x40000 };
enum { EDU_VENDOR = 0x1234, EDU_DEVICE = 0x11e8 };

/* How often a busy device is asked before it counts as broken. */
enum { MAX_POLLS = 100000, POLL_INTERVAL_US = 200 };

static gboolean fail(GError **error, const char *what, gssize ret)
{
    g_set_error(error, G_FILE_ERROR, g_file_error_from_errno((int)-ret), "%s: %s", what,
                ret < 0 ? g_strerror((int)-ret) : "short transfer");
    return FALSE;
}

static gboolean get_region(DmaDevice *dma, guint index, gint64 *ret_offset, GError **error)
{
    struct vfio_region_info info = {.argsz = sizeof info, .index = index};
    int ret =
        dma->seam->ops->ioctl(dma->seam->data, dma->fd, VFIO_DEVICE_GET_REGION_INFO, &info);

    if (ret < 0)
        return fail(error, "cannot find a region of the device", ret);
    *ret_offset = (gint64)info.offset;
    return TRUE;
}

static gboolean read_at(DmaDevice *dma, gint64 at, void *value, gsize size, GError **error)
{
    gssize n = dma->seam->ops->pread(dma->seam->data, dma->fd, value, size, at);

    return n == (gssize)size || fail(error, "cannot read the device", n);
}

static gboolean write_at(DmaDevice *dma, gint64 at, const void *value, gsize size,
                         GError **error)
{
    gssize n = dma->seam->ops->pwrite(dma->seam->data, dma->fd, value, size, at);

    return n == (gssize)size || fail(error, "cannot write the device", n);
}

gboolean dma_check_id(guint16 vendor, guint16 device, GError **error)
{
    if (vendor == EDU_VENDOR && device == EDU_DEVICE)
        return TRUE;
    g_set_error(
        error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
        "device %04x:%04x: no way is known here to make it do DMA; %04x:%04x (edu) can",
        vendor, device, EDU_VENDOR, EDU_DEVICE);
    return FALSE;
}

static gboolean check_id(DmaDevice *dma, gint64 config, GError **error)
{
    guint16 id[2];

    return read_at(dma, config + PCI_VENDOR_ID, id, sizeof id, error) &&
           dma_check_id(GUINT16_FROM_LE(id[0]), GUINT16_FROM_LE(id[1]), error);
}

gboolean dma_device_init(DmaDevice *dma, const ViommuSeam *seam, ViommuHostDevice *device,
                         GError **error)
{
    return dma_device_init_fd(dma, seam, viommu_host_device_get_fd(device), error);
}

gboolean dma_device_init_fd(DmaDevice *dma, const ViommuSeam *seam, int fd, GError **error)
{
    DmaDevice opened = {.seam = seam, .fd = fd};
    guint16 command;

    if (!get_region(&opened, VFIO_PCI_CONFIG_REGION_INDEX, &opened.config, error) ||
        !check_id(&opened, opened.config, error) ||
        !get_region(&opened, VFIO_PCI_BAR0_REGION_INDEX, &opened.registers, error) ||
        !read_at(&opened, opened.config + PCI_COMMAND, &opened.command,
                 sizeof opened.command, error))
        return FALSE;
    command = opened.command | GUINT16_TO_LE(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    if (!write_at(&opened, opened.config + PCI_COMMAND, &command, sizeof command, error))
        return FALSE;
    *dma = opened;
    return TRUE;
}

void dma_device_clear(DmaDevice *dma)
{
    if (dma->seam)
        write_at(dma, dma->config + PCI_COMMAND, &dma->command, sizeof dma->command, NULL);
    dma->seam = NULL;
}

static gboolean set_register(DmaDevice *dma, guint reg, guint64 value, GError **error)
{
    value = GUINT64_TO_LE(value);
    return write_at(dma, dma->registers + reg, &value, sizeof value, error);
}

static gboolean wait_idle(DmaDevice *dma, GError **error)
{
    for (guint i = 0; i < MAX_POLLS; i++) {
        guint64 command;

        if (!read_at(dma, dma->registers + EDU_DMA_COMMAND, &command, sizeof command,
                     error))
            return FALSE;
        if (!(GUINT64_FROM_LE(command) & EDU_COMMAND_START))
            return TRUE;
        g_usleep(POLL_INTERVAL_US);
    }
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE,
                "the device does not finish its DMA");
    return FALSE;
}

static gboolean run(DmaDevice *dma, guint64 source, guint64 target, gsize size,
                    guint command, GError **error)
{
    return set_register(dma, EDU_DMA_SOURCE, source, error) &&
           set_register(dma, EDU_DMA_TARGET, target, error) &&
           set_register(dma, EDU_DMA_COUNT, size, error) &&
           set_register(dma, EDU_DMA_COMMAND, EDU_COMMAND_START | command, error) &&
           wait_idle(dma, error);
}

gboolean dma_load(DmaDevice *dma, guint64 iova, gsize size, GError **error)
{
    return run(dma, iova, EDU_BUFFER, size, 0, error);
}

gboolean dma_store(DmaDevice *dma, guint64 iova, gsize size, GError **error)
{
    return run(dma, EDU_BUFFER, iova, size, EDU_COMMAND_TO_MEMORY, error);
}
