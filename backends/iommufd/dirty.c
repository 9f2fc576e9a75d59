/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking of a nesting parent: what devices have written, by whatever stage 1.
 */

#include "iommufd.h"

#include <errno.h>

/* The unit that is asked about: no host has smaller pages. */
enum { PAGE_SIZE_ASKED = 4096 };

gboolean viommui_iommufd_can_track_dirty(ViommuiBackendViommu *viommu)
{
    return viommu->tracks_dirty;
}

int viommui_iommufd_set_dirty_tracking(ViommuiBackendViommu *viommu, gboolean on)
{
    struct iommu_hwpt_set_dirty_tracking cmd = {
        .size = sizeof cmd,
        .flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
        .hwpt_id = viommu->parent,
    };

    if (!viommu->tracks_dirty)
        return -EOPNOTSUPP;
    return viommui_iommufd_ioctl(viommu->space, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd,
                                 sizeof cmd);
}

int viommui_iommufd_get_dirty(ViommuiBackendViommu *viommu, guint64 gpa, guint64 size,
                              guint64 *bitmap, gboolean keep)
{
    struct iommu_hwpt_get_dirty_bitmap cmd = {
        .size = sizeof cmd,
        .hwpt_id = viommu->parent,
        .flags = keep ? IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
        .iova = gpa,
        .length = size,
        .page_size = PAGE_SIZE_ASKED,
        .data = (guintptr)bitmap,
    };

    return viommui_iommufd_ioctl(viommu->space, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd,
                                 sizeof cmd);
}
