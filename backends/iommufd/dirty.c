/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking: what devices have written, by the parent, whatever stage 1 is over it,
 * and by tables, whose mappings are told as the guest memory that they are of.
 *
 * The kernel's record of a mapping goes with the mapping, and what a device writes before
 * it does is not known after: so what of a table could be written is dirty when it goes.
 */

#include "iommufd.h"

#include <errno.h>

/* The unit that is asked about: no host has smaller pages. */
enum { PAGE_SHIFT = 12 };

int viommui_iommufd_record(ViommuiSpace *space, guint32 hwpt, gboolean on)
{
    struct iommu_hwpt_set_dirty_tracking cmd = {
        .size = sizeof cmd,
        .flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
        .hwpt_id = hwpt,
    };

    return viommui_iommufd_ioctl(space, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd, sizeof cmd);
}

/* The parent and the first so many tables, as far as that goes; the first failure. */
static int record_off(ViommuiBackendViommu *viommu, guint n_tables)
{
    int first = viommui_iommufd_record(viommu->space, viommu->parent, FALSE);

    for (guint i = 0; i < n_tables; i++) {
        const ViommuiTable *table = viommu->tables->pdata[i];
        int ret = viommui_iommufd_record(viommu->space, table->hwpt, FALSE);

        if (first == 0)
            first = ret;
    }
    return first;
}

/* The parent and all tables, or none. */
static int record_on(ViommuiBackendViommu *viommu)
{
    int ret = viommui_iommufd_record(viommu->space, viommu->parent, TRUE);

    for (guint i = 0; ret == 0 && i < viommu->tables->len; i++) {
        const ViommuiTable *table = viommu->tables->pdata[i];

        ret = viommui_iommufd_record(viommu->space, table->hwpt, TRUE);
        if (ret < 0)
            record_off(viommu, i);
    }
    return ret;
}

gboolean viommui_iommufd_can_track_dirty(ViommuiBackendViommu *viommu)
{
    return viommu->can_track_dirty;
}

int viommui_iommufd_set_dirty_tracking(ViommuiBackendViommu *viommu, gboolean on)
{
    int ret;

    if (!viommu->can_track_dirty)
        return -EOPNOTSUPP;
    viommui_dirt_clear(viommu->dirt);
    ret = on ? record_on(viommu) : record_off(viommu, viommu->tables->len);
    viommu->tracks_dirty = on && ret == 0;
    return ret;
}

void viommui_iommufd_keep_range(ViommuiBackendViommu *viommu,
                                const ViommuiIommufdRange *range)
{
    if (viommu->tracks_dirty && range->flags & VIOMMU_MAP_WRITE)
        viommui_dirt_add(viommu->dirt, range->gpa, range->size);
}

static int get_dirty(ViommuiSpace *space, guint32 hwpt, guint64 iova, guint64 size,
                     guint64 *bitmap, gboolean keep)
{
    struct iommu_hwpt_get_dirty_bitmap cmd = {
        .size = sizeof cmd,
        .hwpt_id = hwpt,
        .flags = keep ? IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
        .iova = iova,
        .length = size,
        .page_size = 1 << PAGE_SHIFT,
        .data = (guintptr)bitmap,
    };

    return viommui_iommufd_ioctl(space, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd, sizeof cmd);
}

/* The bits of one mapping, as far as its memory is asked about: gpa to last. */
static int get_of_range(const ViommuiTable *table, const ViommuiIommufdRange *range,
                        guint64 gpa, guint64 last, guint64 *bitmap, gboolean keep)
{
    guint64 start = MAX(gpa, range->gpa), end = MIN(last, range->gpa + (range->size - 1));
    guint64 n = (end - start + 1) >> PAGE_SHIFT, first = (start - gpa) >> PAGE_SHIFT;
    g_autofree guint64 *words = g_new0(guint64, (n + 63) / 64);
    int ret = get_dirty(table->viommu->space, table->hwpt,
                        range->iova + (start - range->gpa), end - start + 1, words, keep);

    for (guint64 i = 0; i < n; i++)
        if (words[i / 64] >> i % 64 & 1)
            bitmap[(first + i) / 64] |= 1ULL << (first + i) % 64;
    return ret;
}

static int get_of_table(const ViommuiTable *table, guint64 gpa, guint64 last,
                        guint64 *bitmap, gboolean keep)
{
    GHashTableIter iter;
    gpointer value;
    int ret = 0;

    g_hash_table_iter_init(&iter, table->ranges);
    while (ret == 0 && g_hash_table_iter_next(&iter, NULL, &value)) {
        const ViommuiIommufdRange *range = value;

        if (range->flags & VIOMMU_MAP_WRITE && range->gpa <= last &&
            range->gpa + (range->size - 1) >= gpa)
            ret = get_of_range(table, range, gpa, last, bitmap, keep);
    }
    return ret;
}

int viommui_iommufd_get_dirty(ViommuiBackendViommu *viommu, guint64 gpa, guint64 size,
                              guint64 *bitmap, gboolean keep)
{
    int ret = get_dirty(viommu->space, viommu->parent, gpa, size, bitmap, keep);

    for (guint i = 0; ret == 0 && i < viommu->tables->len; i++)
        ret = get_of_table(viommu->tables->pdata[i], gpa, gpa + (size - 1), bitmap, keep);
    if (ret == 0)
        viommui_dirt_take(viommu->dirt, gpa, size, bitmap, keep);
    return ret;
}
