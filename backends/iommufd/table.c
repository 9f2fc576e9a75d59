/* SPDX-License-Identifier: MIT */
/*
 * Tables: address spaces of their own, filled from guest memory.
 *
 * Each is an IOAS with one plain HWPT over it. What it maps is copied from the IOAS of
 * guest memory, so that the kernel shares the pages: they are pinned and accounted once.
 * What was copied where is kept, to tell what a device has written in terms of the guest.
 *
 * Up the path: core's shadow engine. Down the path: the seam.
 */

#include "iommufd.h"

#include <errno.h>

static int hwpt_alloc(ViommuiTable *table, guint32 devid)
{
    const ViommuiBackendViommu *viommu = table->viommu;
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof cmd,
        .flags = viommui_iommufd_pasid_flag(viommu) |
                 (viommu->can_track_dirty ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0),
        .dev_id = devid,
        .pt_id = table->ioas,
    };
    int ret = viommui_iommufd_ioctl(viommu->space, IOMMU_HWPT_ALLOC, &cmd, sizeof cmd);

    if (ret == 0)
        table->hwpt = cmd.out_hwpt_id;
    return ret;
}

gboolean viommui_iommufd_table_new(ViommuiBackendViommu *viommu,
                                   ViommuiBackendDevice *device, ViommuiTable **ret_table,
                                   guint32 *ret_hwpt, GError **error)
{
    ViommuiTable *table = g_new0(ViommuiTable, 1);
    int ret;

    table->viommu = viommu;
    table->ranges = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    g_ptr_array_add(viommu->tables, table);
    ret = viommui_iommufd_ioas_alloc(viommu->space, &table->ioas);
    if (ret == 0)
        ret = hwpt_alloc(table, device->devid);
    if (ret == 0 && viommu->tracks_dirty)
        ret = viommui_iommufd_record(viommu->space, table->hwpt, TRUE);
    if (ret < 0) {
        viommui_iommufd_set_error(error, -ret,
                                  "the IOMMU of device %u gives no address space%s for a "
                                  "copy of a guest table",
                                  device->devid, viommu->pasids ? " for PASIDs" : "");
        viommui_iommufd_table_free(table);
        return FALSE;
    }
    *ret_table = table;
    *ret_hwpt = table->hwpt;
    return TRUE;
}

gboolean viommui_iommufd_table_free(ViommuiTable *table)
{
    ViommuiBackendViommu *viommu = table->viommu;
    gboolean freed = TRUE;
    GHashTableIter iter;
    gpointer range;

    g_hash_table_iter_init(&iter, table->ranges);
    while (g_hash_table_iter_next(&iter, NULL, &range))
        viommui_iommufd_keep_range(viommu, range);
    if (table->hwpt)
        viommui_iommufd_destroy(viommu->space, table->hwpt);
    if (table->ioas)
        freed = viommui_iommufd_destroy(viommu->space, table->ioas);
    g_ptr_array_remove_fast(viommu->tables, table);
    g_hash_table_unref(table->ranges);
    g_free(table);
    return freed;
}

int viommui_iommufd_table_map(ViommuiTable *table, guint64 iova, guint64 gpa, guint64 size,
                              ViommuMapFlags flags)
{
    const ViommuiIommufdRange range = {iova, gpa, size, flags};
    struct iommu_ioas_copy cmd = {
        .size = sizeof cmd,
        .flags = viommui_iommufd_map_flags(flags),
        .dst_ioas_id = table->ioas,
        .src_ioas_id = table->viommu->space->ioas,
        .length = size,
        .dst_iova = iova,
        .src_iova = gpa,
    };
    int ret =
        viommui_iommufd_ioctl(table->viommu->space, IOMMU_IOAS_COPY, &cmd, sizeof cmd);
    ViommuiIommufdRange *kept;

    if (ret < 0)
        return ret;
    kept = g_memdup2(&range, sizeof range);
    g_hash_table_insert(table->ranges, &kept->iova, kept);
    return 0;
}

int viommui_iommufd_table_unmap(ViommuiTable *table, guint64 iova, guint64 size)
{
    struct iommu_ioas_unmap cmd = {
        .size = sizeof cmd,
        .ioas_id = table->ioas,
        .iova = iova,
        .length = size,
    };
    const ViommuiIommufdRange *range = g_hash_table_lookup(table->ranges, &iova);
    int ret;

    if (!range || range->size != size)
        return -ENOENT;
    ret = viommui_iommufd_ioctl(table->viommu->space, IOMMU_IOAS_UNMAP, &cmd, sizeof cmd);
    if (ret < 0)
        return ret;
    viommui_iommufd_keep_range(table->viommu, range);
    g_hash_table_remove(table->ranges, &iova);
    return 0;
}

/* An IOAS is one, whoever is attached. */
int viommui_iommufd_table_settle(ViommuiTable *table)
{
    (void)table;
    return 0;
}

int viommui_iommufd_table_get_last(ViommuiTable *table, guint64 *ret_last)
{
    guint64 alignment;

    return viommui_iommufd_ioas_get_limits(table->viommu->space, table->ioas, ret_last,
                                           &alignment);
}
