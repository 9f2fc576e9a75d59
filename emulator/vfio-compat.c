/* SPDX-License-Identifier: MIT */
/*
 * An iommufd as a VFIO container: which IOAS the container calls mean, and those calls.
 *
 * Invariants: the compat IOAS is an ordinary one, and may be destroyed, after which there
 * is none. A group that comes to an iommufd without one makes one.
 *
 * Up: iommufd.c, vfio-group.c. Down: ioas-map.c, type1-info.c.
 */
#include "vfio.h"

EmuIoas *viommui_emu_vfio_ioas_create(EmuIommufd *ctx)
{
    if (!ctx->vfio_ioas) {
        ctx->vfio_ioas = viommui_emu_ioas_new();
        viommui_emu_object_publish(ctx, &ctx->vfio_ioas->obj, EMU_OBJECT_IOAS);
    }
    return ctx->vfio_ioas;
}

int viommui_emu_vfio_ioas(EmuUcmd *ucmd)
{
    struct iommu_vfio_ioas *cmd = ucmd->cmd;
    EmuIommufd *ctx = ucmd->ctx;
    EmuObject *object;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    switch (cmd->op) {
    case IOMMU_VFIO_IOAS_GET:
        if (!ctx->vfio_ioas) {
            return -ENODEV;
        }
        cmd->ioas_id = ctx->vfio_ioas->obj.id;
        return viommui_emu_respond(ucmd, sizeof(*cmd));
    case IOMMU_VFIO_IOAS_SET:
        object = viommui_emu_object_get(ctx, cmd->ioas_id, EMU_OBJECT_IOAS);
        if (!object) {
            return -ENOENT;
        }
        ctx->vfio_ioas = (EmuIoas *)object;
        return 0;
    case IOMMU_VFIO_IOAS_CLEAR:
        ctx->vfio_ioas = NULL;
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static int map_dma(const EmuIommufd *ctx, const void *arg)
{
    const guint32 both = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    struct vfio_iommu_type1_dma_map map;
    int ret = viommui_emu_copy_from_user(&map, arg, sizeof(map));

    if (ret < 0) {
        return ret;
    }
    if (map.argsz < sizeof(map) || (map.flags & ~both)) {
        return -EINVAL;
    }
    if (!ctx->vfio_ioas) {
        return -ENODEV;
    }
    return viommui_emu_ioas_map_user(ctx->vfio_ioas, map.iova, map.vaddr, map.size,
                                     !!(map.flags & VFIO_DMA_MAP_FLAG_READ),
                                     !!(map.flags & VFIO_DMA_MAP_FLAG_WRITE));
}

/* Without blocks in its tables a mapping can be cut where the range begins and ends. */
static int cut_range(EmuIoas *ioas, guint64 iova, guint64 size)
{
    int ret = ioas->no_huge ? viommui_emu_ioas_cut(ioas, iova + size - 1) : 0;

    return ret == 0 && ioas->no_huge && iova ? viommui_emu_ioas_cut(ioas, iova - 1) : ret;
}

static int unmap_range(EmuIoas *ioas, guint64 iova, guint64 size, guint64 *ret_unmapped)
{
    if (!size) {
        return -EINVAL;
    }
    if (iova + (size - 1) < iova) {
        return -EOVERFLOW;
    }
    return viommui_emu_ioas_unmap_range(ioas, iova, iova + (size - 1), ret_unmapped);
}

static int unmap_dma(const EmuIommufd *ctx, void *arg)
{
    const gsize minsz = G_STRUCT_OFFSET(struct vfio_iommu_type1_dma_unmap, data);
    struct vfio_iommu_type1_dma_unmap unmap;
    guint64 unmapped = 0;
    int ret = viommui_emu_copy_from_user(&unmap, arg, minsz);

    if (ret < 0) {
        return ret;
    }
    if (unmap.argsz < minsz || (unmap.flags & ~(guint32)VFIO_DMA_UNMAP_FLAG_ALL)) {
        return -EINVAL;
    }
    if (!ctx->vfio_ioas) {
        return -ENODEV;
    }
    if (!(unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL)) {
        ret = cut_range(ctx->vfio_ioas, unmap.iova, unmap.size);
        if (ret < 0) {
            return ret;
        }
        ret = unmap_range(ctx->vfio_ioas, unmap.iova, unmap.size, &unmapped);
    } else if (unmap.iova || unmap.size) {
        return -EINVAL;
    } else {
        ret = viommui_emu_ioas_unmap_range(ctx->vfio_ioas, 0, G_MAXUINT64, &unmapped);
    }
    /* Told with an error too. */
    unmap.size = unmapped;
    return viommui_emu_copy_to_user(arg, &unmap, minsz) < 0 ? -EFAULT : ret;
}

static int is_coherent(const EmuIommufd *ctx)
{
    if (!ctx->vfio_ioas) {
        return -ENODEV;
    }
    for (guint i = 0; i < ctx->vfio_ioas->hwpts->len; i++) {
        const EmuHwpt *hwpt = g_ptr_array_index(ctx->vfio_ioas->hwpts, i);

        if (!hwpt->iommu->ops->enforces_coherency(hwpt->iommu)) {
            return 0;
        }
    }
    return 1;
}

static int check_extension(const EmuIommufd *ctx, unsigned long extension)
{
    switch (extension) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
        return 1;
    case VFIO_DMA_CC_IOMMU:
        return is_coherent(ctx);
    default:
        return 0;
    }
}

/* Version 1 unmaps anywhere, so its tables are without blocks. */
static int set_iommu(const EmuIommufd *ctx, unsigned long type)
{
    if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU) {
        return -EINVAL;
    }
    if (!ctx->vfio_ioas) {
        return -ENODEV;
    }
    return type == VFIO_TYPE1_IOMMU ? viommui_emu_ioas_set_huge(ctx->vfio_ioas, FALSE) : 0;
}

int viommui_emu_vfio_compat_ioctl(EmuIommufd *ctx, unsigned long request, void *arg)
{
    unsigned long number = (unsigned long)(uintptr_t)arg;

    switch (request) {
    case VFIO_GET_API_VERSION:
        return VFIO_API_VERSION;
    case VFIO_SET_IOMMU:
        return set_iommu(ctx, number);
    case VFIO_CHECK_EXTENSION:
        return check_extension(ctx, number);
    case VFIO_IOMMU_GET_INFO:
        return viommui_emu_vfio_compat_get_info(ctx->vfio_ioas, arg);
    case VFIO_IOMMU_MAP_DMA:
        return map_dma(ctx, arg);
    case VFIO_IOMMU_UNMAP_DMA:
        return unmap_dma(ctx, arg);
    default:
        return -ENOTTY;
    }
}
