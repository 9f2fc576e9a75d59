/* SPDX-License-Identifier: MIT */
/*
 * A viommu: there is no such object in VFIO of old. It is IDENTITY, the view of guest
 * memory whole, and what its tables belong to.
 */

#include "legacy.h"

gboolean viommui_legacy_viommu_new(ViommuiSpace *space, ViommuiBackendDevice *device,
                                   ViommuiDataType type, gboolean pasids, gboolean nest,
                                   ViommuiBackendViommu **ret_viommu, GError **error)
{
    ViommuiBackendViommu *viommu;

    (void)type;
    if (nest || pasids) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "backend \"legacy\" has no %s: a VFIO container maps memory, and no "
                    "more",
                    nest ? "nesting" : "PASIDs");
        return FALSE;
    }
    viommu = g_new0(ViommuiBackendViommu, 1);
    viommu->space = space;
    viommu->can_track_dirty = device->container->limits.tracks_dirty;
    viommu->dirt = viommui_dirt_new();
    viommui_legacy_view_init(&viommu->identity, viommu, space->memory);
    *ret_viommu = viommu;
    return TRUE;
}

void viommui_legacy_viommu_free(ViommuiBackendViommu *viommu)
{
    viommui_legacy_set_dirty_tracking(viommu, FALSE);
    viommui_legacy_view_clear(&viommu->identity);
    viommui_dirt_free(viommu->dirt);
    g_free(viommu);
}

guint32 viommui_legacy_viommu_get_parent(ViommuiBackendViommu *viommu)
{
    return viommu->identity.hwpt;
}
