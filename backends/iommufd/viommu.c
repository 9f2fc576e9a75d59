/* SPDX-License-Identifier: MIT */
/*
 * A viommu of one physical IOMMU for one guest vIOMMU: the parent, the kernel's vIOMMU
 * object over it where there is one, nested HWPTs and the invalidation of what they cache.
 * Without nesting the parent is a plain one, and there is nothing else.
 *
 * One parent for each viommu: on SMMUv3 the parent carries the VMID, and two guest
 * vIOMMUs on one would see each other's ASIDs.
 */

#include "iommufd.h"

#include <errno.h>

/* The vendors' numbers. */
static const ViommuiIommufdTypes *const types[] = {
    [VIOMMUI_DATA_ARM_SMMUV3] = &viommui_iommufd_smmuv3_types,
    [VIOMMUI_DATA_VTD] = &viommui_iommufd_vtd_types,
};

/* Every HWPT of a viommu with PASIDs has it, or none could be beside one that has not. */
guint32 viommui_iommufd_pasid_flag(const ViommuiBackendViommu *viommu)
{
    return viommu->pasids ? IOMMU_HWPT_ALLOC_PASID : 0;
}

static int parent_alloc(ViommuiBackendViommu *viommu, guint32 devid)
{
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof cmd,
        .flags = (viommu->nest ? IOMMU_HWPT_ALLOC_NEST_PARENT : 0) |
                 viommui_iommufd_pasid_flag(viommu) |
                 (viommu->can_track_dirty ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0),
        .dev_id = devid,
        .pt_id = viommu->space->ioas,
    };
    int ret = viommui_iommufd_ioctl(viommu->space, IOMMU_HWPT_ALLOC, &cmd, sizeof cmd);

    if (ret == 0)
        viommu->parent = cmd.out_hwpt_id;
    return ret;
}

static int viommu_alloc(ViommuiBackendViommu *viommu, guint32 devid)
{
    struct iommu_viommu_alloc cmd = {
        .size = sizeof cmd,
        .type = viommu->types->viommu_type,
        .dev_id = devid,
        .hwpt_id = viommu->parent,
    };
    int ret;

    if (!viommu->nest || !cmd.type)
        return 0;
    ret = viommui_iommufd_ioctl(viommu->space, IOMMU_VIOMMU_ALLOC, &cmd, sizeof cmd);
    if (ret == 0)
        viommu->id = cmd.out_viommu_id;
    return ret;
}

static void set_parent_error(GError **error, int err, const ViommuiBackendViommu *viommu,
                             guint32 devid)
{
    const char *pasids = viommu->pasids ? " for PASIDs" : "";

    if (viommu->nest)
        viommui_iommufd_set_error(
            error, err,
            "the IOMMU of device %u gives no nesting parent%s: it cannot "
            "nest, or refuses the guest memory mapped so far",
            devid, pasids);
    else
        viommui_iommufd_set_error(error, err,
                                  "the IOMMU of device %u gives no address space%s: it "
                                  "refuses the guest memory mapped so far",
                                  devid, pasids);
}

static gboolean make(ViommuiBackendViommu *viommu, guint32 devid, GError **error)
{
    int ret = parent_alloc(viommu, devid);

    if (ret < 0) {
        set_parent_error(error, -ret, viommu, devid);
        return FALSE;
    }
    ret = viommu_alloc(viommu, devid);
    if (ret < 0)
        viommui_iommufd_set_error(
            error, -ret,
            "the IOMMU of device %u gives no vIOMMU: the platform must "
            "keep DMA coherent (CANWBS or S2FWB)",
            devid);
    return ret == 0;
}

gboolean viommui_iommufd_viommu_new(ViommuiSpace *space, ViommuiBackendDevice *device,
                                    ViommuiDataType type, gboolean pasids, gboolean nest,
                                    ViommuiBackendViommu **ret_viommu, GError **error)
{
    ViommuiBackendViommu *viommu = g_new0(ViommuiBackendViommu, 1);

    viommu->space = space;
    viommu->types = types[type];
    viommu->pasids = pasids;
    viommu->nest = nest;
    viommu->can_track_dirty =
        device->dirty_tracking && (!nest || viommu->types->parent_tracks_dirty);
    viommu->tables = g_ptr_array_new();
    viommu->dirt = viommui_dirt_new();
    if (!make(viommu, device->devid, error)) {
        viommui_iommufd_viommu_free(viommu);
        return FALSE;
    }
    *ret_viommu = viommu;
    return TRUE;
}

void viommui_iommufd_viommu_free(ViommuiBackendViommu *viommu)
{
    if (viommu->id)
        viommui_iommufd_destroy(viommu->space, viommu->id);
    if (viommu->parent)
        viommui_iommufd_destroy(viommu->space, viommu->parent);
    g_ptr_array_unref(viommu->tables);
    viommui_dirt_free(viommu->dirt);
    g_free(viommu);
}

guint32 viommui_iommufd_viommu_get_parent(ViommuiBackendViommu *viommu)
{
    return viommu->parent;
}

int viommui_iommufd_hwpt_alloc(ViommuiBackendViommu *viommu, ViommuiBackendDevice *device,
                               const void *data, gsize size, ViommuiFaultQueue *faults,
                               guint32 *ret_hwpt)
{
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof cmd,
        .flags =
            viommui_iommufd_pasid_flag(viommu) | (faults ? IOMMU_HWPT_FAULT_ID_VALID : 0),
        .dev_id = device->devid,
        .pt_id = viommu->id ? viommu->id : viommu->parent,
        .data_type = viommu->types->hwpt_data_type,
        .data_len = size,
        .data_uptr = (guintptr)data,
        .fault_id = faults ? viommui_iommufd_fault_queue_get_id(faults) : 0,
    };
    int ret;

    if (!viommu->nest)
        return -EOPNOTSUPP;
    ret = viommui_iommufd_ioctl(viommu->space, IOMMU_HWPT_ALLOC, &cmd, sizeof cmd);
    if (ret == 0)
        *ret_hwpt = cmd.out_hwpt_id;
    return ret;
}

void viommui_iommufd_hwpt_free(ViommuiBackendViommu *viommu, guint32 hwpt)
{
    viommui_iommufd_destroy(viommu->space, hwpt);
}

int viommui_iommufd_invalidate(ViommuiBackendViommu *viommu, guint32 hwpt,
                               const void *entries, gsize entry_size, guint n)
{
    struct iommu_hwpt_invalidate cmd = {
        .size = sizeof cmd,
        .hwpt_id = hwpt ? hwpt : viommu->id,
        .data_uptr = (guintptr)entries,
        .data_type = viommu->types->invalidate_data_type,
        .entry_len = entry_size,
        .entry_num = n,
    };

    /* Of a whole viommu, where the kernel has no object for that. */
    if (!cmd.hwpt_id)
        return -EOPNOTSUPP;
    return viommui_iommufd_ioctl(viommu->space, IOMMU_HWPT_INVALIDATE, &cmd, sizeof cmd);
}
