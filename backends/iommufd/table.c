/* SPDX-License-Identifier: MIT */
/*
 * Tables: address spaces of their own, filled from guest memory.
 *
 * Each is an IOAS with one plain HWPT over it. What it maps is copied from the IOAS of
 * guest memory, so that the kernel shares the pages: they are pinned and accounted once.
 *
 * Up the path: core's shadow engine. Down the path: the seam.
 */

#include "iommufd.h"

struct ViommuiTable {
    ViommuiSpace *space;
    guint32 ioas;
    guint32 hwpt;
};

static int hwpt_alloc(ViommuiTable *table, const ViommuiBackendViommu *viommu,
                      guint32 devid)
{
    struct iommu_hwpt_alloc cmd = {
        .size = sizeof cmd,
        .flags = viommui_iommufd_pasid_flag(viommu),
        .dev_id = devid,
        .pt_id = table->ioas,
    };
    int ret = viommui_iommufd_ioctl(table->space, IOMMU_HWPT_ALLOC, &cmd, sizeof cmd);

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

    table->space = viommu->space;
    ret = viommui_iommufd_ioas_alloc(table->space, &table->ioas);
    if (ret == 0)
        ret = hwpt_alloc(table, viommu, device->devid);
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

void viommui_iommufd_table_free(ViommuiTable *table)
{
    if (table->hwpt)
        viommui_iommufd_destroy(table->space, table->hwpt);
    if (table->ioas)
        viommui_iommufd_destroy(table->space, table->ioas);
    g_free(table);
}

int viommui_iommufd_table_map(ViommuiTable *table, guint64 iova, guint64 gpa, guint64 size,
                              ViommuMapFlags flags)
{
    struct iommu_ioas_copy cmd = {
        .size = sizeof cmd,
        .flags = viommui_iommufd_map_flags(flags),
        .dst_ioas_id = table->ioas,
        .src_ioas_id = table->space->ioas,
        .length = size,
        .dst_iova = iova,
        .src_iova = gpa,
    };

    return viommui_iommufd_ioctl(table->space, IOMMU_IOAS_COPY, &cmd, sizeof cmd);
}

int viommui_iommufd_table_unmap(ViommuiTable *table, guint64 iova, guint64 size)
{
    struct iommu_ioas_unmap cmd = {
        .size = sizeof cmd,
        .ioas_id = table->ioas,
        .iova = iova,
        .length = size,
    };

    return viommui_iommufd_ioctl(table->space, IOMMU_IOAS_UNMAP, &cmd, sizeof cmd);
}

/* The kernel tells no more than what it wants addresses aligned to. */
guint64 viommui_iommufd_table_get_page_sizes(ViommuiTable *table)
{
    guint64 last, alignment = 4096;

    viommui_iommufd_ioas_get_limits(table->space, table->ioas, &last, &alignment);
    return ~(alignment - 1);
}

int viommui_iommufd_table_get_last(ViommuiTable *table, guint64 *ret_last)
{
    guint64 alignment;

    return viommui_iommufd_ioas_get_limits(table->space, table->ioas, ret_last, &alignment);
}

guint viommui_iommufd_table_get_available(ViommuiTable *table)
{
    (void)table;
    return G_MAXUINT;
}
