/* SPDX-License-Identifier: MIT */
#ifndef SCENARIO_DMA_H
#define SCENARIO_DMA_H

#include <viommu/viommu.h>

/*
 * A device made to do DMA, through its VFIO regions: QEMU's "edu" (1234:11e8), which has a
 * buffer of 4 KiB and copies between it and memory. Works the same on the emulator and on
 * the kernel. A DMA that the IOMMU refuses looks to the caller like one that succeeds:
 * only memory, or the buffer, tells.
 */
typedef struct {
    const ViommuSeam *seam;
    int fd;
    gint64 registers; /* where BAR 0 begins in the descriptor */
    gint64 config;    /* and configuration space */
    guint16 command;  /* the PCI command register as it was found */
} DmaDevice;

/* Is it a device that can be driven here? */
gboolean dma_check_id(guint16 vendor, guint16 device, GError **error);

/* Refuses devices it cannot drive, naming their ID. */
gboolean dma_device_init(DmaDevice *dma, const ViommuSeam *seam, ViommuHostDevice *device,
                         GError **error);
/* The same by a bound cdev descriptor. */
gboolean dma_device_init_fd(DmaDevice *dma, const ViommuSeam *seam, int fd, GError **error);

/* Leave the device's command register as it was. Of one never initialised: nothing. */
void dma_device_clear(DmaDevice *dma);

/* Memory to the device's buffer, and the other way; up to 4 KiB, complete on return. */
gboolean dma_load(DmaDevice *dma, guint64 iova, gsize size, GError **error);
gboolean dma_store(DmaDevice *dma, guint64 iova, gsize size, GError **error);

#endif
