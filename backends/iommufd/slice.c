/* SPDX-License-Identifier: MIT */
/*
 * A slice of one physical IOMMU for one guest vIOMMU: the nesting parent, the kernel's
 * vIOMMU object over it, nested HWPTs and the invalidation of what they cache.
 *
 * One parent for each slice: on SMMUv3 the parent carries the VMID, and two guest
 * vIOMMUs on one would see each other's ASIDs.
 */

#include "iommufd.h"

static int parent_alloc(ViommuiSpace *space, guint32 devid, guint32 *ret_parent)
{
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof cmd,
        .flags = IOMMU_HWPT_ALLOC_NEST_PARENT,
        .dev_id = devid,
        .pt_id = space->ioas,
    };
    int ret = viommui_iommufd_ioctl(space, IOMMU_HWPT_ALLOC, &cmd);

    if (ret == 0)
        *ret_parent = cmd.out_hwpt_id;
    return ret;
}

static int viommu_alloc(ViommuiSlice *slice, guint32 devid)
{
    struct iommu_viommu_alloc cmd = {
        .size = sizeof cmd,
        .type = viommui_iommufd_types(slice->type)->viommu_type,
        .dev_id = devid,
        .hwpt_id = slice->parent,
    };
    int ret = viommui_iommufd_ioctl(slice->space, IOMMU_VIOMMU_ALLOC, &cmd);

    if (ret == 0)
        slice->viommu = cmd.out_viommu_id;
    return ret;
}

gboolean viommui_iommufd_slice_new(ViommuiSpace *space, ViommuiBackendDevice *device,
                                   ViommuiDataType type, ViommuiSlice **ret_slice,
                                   GError **error)
{
    ViommuiSlice *slice = g_new0(ViommuiSlice, 1);
    int ret;

    slice->space = space;
    slice->type = type;
    ret = parent_alloc(space, device->devid, &slice->parent);
    if (ret < 0) {
        viommui_iommufd_set_error(
            error, -ret,
            "the IOMMU of device %u gives no nesting parent: it cannot "
            "nest, or refuses the guest memory mapped so far",
            device->devid);
        g_free(slice);
        return FALSE;
    }
    ret = viommu_alloc(slice, device->devid);
    if (ret < 0) {
        viommui_iommufd_set_error(
            error, -ret,
            "the IOMMU of device %u gives no vIOMMU: the platform must "
            "keep DMA coherent (CANWBS or S2FWB)",
            device->devid);
        viommui_iommufd_destroy(space, slice->parent);
        g_free(slice);
        return FALSE;
    }
    *ret_slice = slice;
    return TRUE;
}

void viommui_iommufd_slice_free(ViommuiSlice *slice)
{
    viommui_iommufd_destroy(slice->space, slice->viommu);
    viommui_iommufd_destroy(slice->space, slice->parent);
    g_free(slice);
}

guint32 viommui_iommufd_slice_get_parent(ViommuiSlice *slice)
{
    return slice->parent;
}

int viommui_iommufd_hwpt_alloc(ViommuiSlice *slice, ViommuiBackendDevice *device,
                               const void *data, gsize size, guint32 *ret_hwpt)
{
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof cmd,
        .dev_id = device->devid,
        .pt_id = slice->viommu,
        .data_type = viommui_iommufd_types(slice->type)->hwpt_data_type,
        .data_len = size,
        .data_uptr = (guintptr)data,
    };
    int ret = viommui_iommufd_ioctl(slice->space, IOMMU_HWPT_ALLOC, &cmd);

    if (ret == 0)
        *ret_hwpt = cmd.out_hwpt_id;
    return ret;
}

void viommui_iommufd_hwpt_free(ViommuiSlice *slice, guint32 hwpt)
{
    viommui_iommufd_destroy(slice->space, hwpt);
}

int viommui_iommufd_invalidate(ViommuiSlice *slice, const void *entries, gsize entry_size,
                               guint n)
{
    struct iommu_hwpt_invalidate cmd = {
        .size = sizeof cmd,
        .hwpt_id = slice->viommu,
        .data_uptr = (guintptr)entries,
        .data_type = viommui_iommufd_types(slice->type)->invalidate_data_type,
        .entry_len = entry_size,
        .entry_num = n,
    };

    return viommui_iommufd_ioctl(slice->space, IOMMU_HWPT_INVALIDATE, &cmd);
}
