/* SPDX-License-Identifier: MIT */
/*
 * A container: what is mapped in it, which is all that its group's devices can reach.
 *
 * Every change from one view to another passes through BLOCKED, so devices never see a
 * mixture. After a failed call nothing is known, and everything is unmapped before anything
 * else is mapped. A container that is not known keeps its view, and is to have it again, or
 * is leaving it.
 *
 * Up the path: view.c, device.c. Down the path: the seam.
 */

#include "legacy.h"

#include <linux/vfio.h>

static int unmap(ViommuiLegacyContainer *container, guint64 iova, guint64 size,
                 guint32 flags)
{
    struct vfio_iommu_type1_dma_unmap cmd = {
        .argsz = sizeof cmd, .flags = flags, .iova = iova, .size = size};

    return viommui_seam_ioctl(container->space->seam, container->fd, VFIO_IOMMU_UNMAP_DMA,
                              &cmd, sizeof cmd);
}

/* Older kernels know ranges only, and no size is that of all addresses: two halves are. */
static int unmap_all(ViommuiLegacyContainer *container)
{
    const guint64 half = 1ULL << 63;
    int ret;

    if (container->unmaps_all)
        return unmap(container, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL);
    ret = unmap(container, 0, half, 0);
    return ret < 0 ? ret : unmap(container, half, half, 0);
}

int viommui_legacy_container_empty(ViommuiLegacyContainer *container)
{
    int ret = unmap_all(container);

    container->known = FALSE;
    if (ret >= 0 && container->view)
        viommui_legacy_keep_view(container->view);
    return ret;
}

int viommui_legacy_container_block(ViommuiLegacyContainer *container)
{
    int ret;

    if (container->known && !container->view)
        return 0;
    ret = viommui_legacy_container_empty(container);
    container->is_leaving = ret < 0;
    if (ret < 0)
        return ret;
    if (container->view)
        g_ptr_array_remove_fast(container->view->containers, container);
    container->view = NULL;
    container->known = TRUE;
    return 0;
}

typedef struct {
    ViommuiLegacyContainer *container;
    int ret;
} Mapping;

static gboolean map_range(gpointer key, gpointer value, gpointer data)
{
    Mapping *mapping = data;

    (void)key;
    mapping->ret = viommui_legacy_container_map(mapping->container, value);
    return mapping->ret < 0;
}

/* All of the view, of which nothing is mapped. */
static int map_view(ViommuiLegacyContainer *container)
{
    Mapping mapping = {container, 0};

    g_tree_foreach(container->view->ranges, map_range, &mapping);
    container->known = mapping.ret >= 0;
    return mapping.ret;
}

int viommui_legacy_container_show(ViommuiLegacyContainer *container,
                                  ViommuiLegacyView *view)
{
    gboolean records = view->viommu->tracks_dirty;
    int ret;

    if (container->known && container->view == view)
        return 0;
    ret = viommui_legacy_container_block(container);
    if (ret < 0)
        return ret;
    ret = viommui_legacy_container_record(container, records);
    /* One that records for nothing does no harm. */
    if (ret < 0 && records)
        return ret;
    container->view = view;
    g_ptr_array_add(view->containers, container);
    ret = map_view(container);
    if (ret < 0)
        viommui_legacy_container_block(container);
    return ret;
}

int viommui_legacy_container_settle(ViommuiLegacyContainer *container)
{
    int ret;

    if (container->known)
        return 0;
    if (container->is_leaving || !container->view)
        return viommui_legacy_container_block(container);
    ret = viommui_legacy_container_empty(container);
    return ret < 0 ? ret : map_view(container);
}

int viommui_legacy_container_map(ViommuiLegacyContainer *container,
                                 const ViommuiLegacyRange *range)
{
    struct vfio_iommu_type1_dma_map cmd = {
        .argsz = sizeof cmd,
        .flags = (range->flags & VIOMMU_MAP_READ ? VFIO_DMA_MAP_FLAG_READ : 0) |
                 (range->flags & VIOMMU_MAP_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0),
        .vaddr = (guintptr)range->address,
        .iova = range->iova,
        .size = range->size,
    };

    return viommui_seam_ioctl(container->space->seam, container->fd, VFIO_IOMMU_MAP_DMA,
                              &cmd, sizeof cmd);
}

int viommui_legacy_container_unmap(ViommuiLegacyContainer *container,
                                   const ViommuiLegacyRange *range)
{
    return unmap(container, range->iova, range->size, 0);
}
