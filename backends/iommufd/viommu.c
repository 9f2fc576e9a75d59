/* SPDX-License-Identifier: MIT */
/*
 * A viommu of one physical IOMMU for one guest vIOMMU: the nesting parent, the kernel's
 * vIOMMU object over it, nested HWPTs and the invalidation of what they cache.
 *
 * One parent for each viommu: on SMMUv3 the parent carries the VMID, and two guest
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
    int ret = viommui_iommufd_ioctl(space, IOMMU_HWPT_ALLOC, &cmd, sizeof cmd);

    if (ret == 0)
        *ret_parent = cmd.out_hwpt_id;
    return ret;
}

static int viommu_alloc(ViommuiBackendViommu *viommu, guint32 devid)
{
    struct iommu_viommu_alloc cmd = {
        .size = sizeof cmd,
        .type = viommui_iommufd_types(viommu->type)->viommu_type,
        .dev_id = devid,
        .hwpt_id = viommu->parent,
    };
    int ret = viommui_iommufd_ioctl(viommu->space, IOMMU_VIOMMU_ALLOC, &cmd, sizeof cmd);

    if (ret == 0)
        viommu->id = cmd.out_viommu_id;
    return ret;
}

gboolean viommui_iommufd_viommu_new(ViommuiSpace *space, ViommuiBackendDevice *device,
                                    ViommuiDataType type, ViommuiBackendViommu **ret_viommu,
                                    GError **error)
{
    ViommuiBackendViommu *viommu = g_new0(ViommuiBackendViommu, 1);
    int ret;

    viommu->space = space;
    viommu->type = type;
    ret = parent_alloc(space, device->devid, &viommu->parent);
    if (ret < 0) {
        viommui_iommufd_set_error(
            error, -ret,
            "the IOMMU of device %u gives no nesting parent: it cannot "
            "nest, or refuses the guest memory mapped so far",
            device->devid);
        g_free(viommu);
        return FALSE;
    }
    ret = viommu_alloc(viommu, device->devid);
    if (ret < 0) {
        viommui_iommufd_set_error(
            error, -ret,
            "the IOMMU of device %u gives no vIOMMU: the platform must "
            "keep DMA coherent (CANWBS or S2FWB)",
            device->devid);
        viommui_iommufd_destroy(space, viommu->parent);
        g_free(viommu);
        return FALSE;
    }
    *ret_viommu = viommu;
    return TRUE;
}

void viommui_iommufd_viommu_free(ViommuiBackendViommu *viommu)
{
    viommui_iommufd_destroy(viommu->space, viommu->id);
    viommui_iommufd_destroy(viommu->space, viommu->parent);
    g_free(viommu);
}

guint32 viommui_iommufd_viommu_get_parent(ViommuiBackendViommu *viommu)
{
    return viommu->parent;
}

int viommui_iommufd_hwpt_alloc(ViommuiBackendViommu *viommu, ViommuiBackendDevice *device,
                               const void *data, gsize size, guint32 *ret_hwpt)
{
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof cmd,
        .dev_id = device->devid,
        .pt_id = viommu->id,
        .data_type = viommui_iommufd_types(viommu->type)->hwpt_data_type,
        .data_len = size,
        .data_uptr = (guintptr)data,
    };
    int ret = viommui_iommufd_ioctl(viommu->space, IOMMU_HWPT_ALLOC, &cmd, sizeof cmd);

    if (ret == 0)
        *ret_hwpt = cmd.out_hwpt_id;
    return ret;
}

void viommui_iommufd_hwpt_free(ViommuiBackendViommu *viommu, guint32 hwpt)
{
    viommui_iommufd_destroy(viommu->space, hwpt);
}

int viommui_iommufd_invalidate(ViommuiBackendViommu *viommu, const void *entries,
                               gsize entry_size, guint n)
{
    struct iommu_hwpt_invalidate cmd = {
        .size = sizeof cmd,
        .hwpt_id = viommu->id,
        .data_uptr = (guintptr)entries,
        .data_type = viommui_iommufd_types(viommu->type)->invalidate_data_type,
        .entry_len = entry_size,
        .entry_num = n,
    };

    return viommui_iommufd_ioctl(viommu->space, IOMMU_HWPT_INVALIDATE, &cmd, sizeof cmd);
}
