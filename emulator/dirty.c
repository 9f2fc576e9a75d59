/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking of a paging HWPT: which of its pages hardware has written.
 *
 * Invariants: the unit is 4 KiB, as in a table without blocks. Only a HWPT that was
 * allocated for it tracks, and it records while its driver has that enabled. A page
 * that is unmapped is forgotten.
 *
 * Up: iommufd.c, and dma.c and the IOMMU models for what is written. Down:
 * EmuIommuOps.set_dirty_tracking, ioas-map.c.
 */
#include "iommufd.h"

void viommui_emu_hwpt_mark_dirty(EmuHwpt *hwpt, guint64 iova)
{
    guint64 page = iova & EMU_PAGE_MASK;
    guint64 *key;

    if (!hwpt->dirty_enabled || g_hash_table_contains(hwpt->dirty, &page)) {
        return;
    }
    key = g_new(guint64, 1);
    *key = page;
    g_hash_table_add(hwpt->dirty, key);
}

static EmuHwpt *get_hwpt(EmuUcmd *ucmd, guint32 id)
{
    return (EmuHwpt *)viommui_emu_object_get(ucmd->ctx, id, EMU_OBJECT_HWPT_PAGING);
}

int viommui_emu_hwpt_set_dirty_tracking(EmuUcmd *ucmd)
{
    const struct iommu_hwpt_set_dirty_tracking *cmd = ucmd->cmd;
    gboolean enable = !!(cmd->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
    EmuHwpt *hwpt;

    if (cmd->flags & ~(guint32)IOMMU_HWPT_DIRTY_TRACKING_ENABLE) {
        return -EOPNOTSUPP;
    }
    hwpt = get_hwpt(ucmd, cmd->hwpt_id);
    if (!hwpt) {
        return -ENOENT;
    }
    if (!hwpt->has_dirty) {
        return -EOPNOTSUPP;
    }
    if (enable) {
        g_hash_table_remove_all(hwpt->dirty);
    }
    return hwpt->iommu->ops->set_dirty_tracking(hwpt, enable);
}

static int check_range(const EmuIoas *ioas, const struct iommu_hwpt_get_dirty_bitmap *cmd)
{
    guint64 last = cmd->iova + (cmd->length - 1);

    if (!cmd->length) {
        return -EINVAL;
    }
    if (last < cmd->iova) {
        return -EOVERFLOW;
    }
    if (!EMU_ALIGNED(cmd->iova | (last + 1), ioas->alignment) || !cmd->page_size ||
        !EMU_ALIGNED(cmd->iova | (last + 1), cmd->page_size)) {
        return -EINVAL;
    }
    return 0;
}

/* Where the mapping without a hole that begins at `first` ends: 0 for none at all. */
static guint64 mapped_end(const EmuIoas *ioas, guint64 first, guint64 last)
{
    guint64 end = 0;
    const EmuArea *area;

    while ((area = viommui_emu_ioas_area(ioas, first, first))) {
        end = MIN(area->last, last);
        if (end == last) {
            break;
        }
        first = end + 1;
    }
    return end;
}

/* Bits are only ever set. A bitmap that is not there is no error to Linux either. */
static void set_bits(const struct iommu_hwpt_get_dirty_bitmap *cmd, guint64 page)
{
    guint shift = (guint)__builtin_ctzll(cmd->page_size);
    guint64 last = MIN(page + (EMU_PAGE_SIZE - 1), cmd->iova + (cmd->length - 1));

    for (guint64 bit = (page - cmd->iova) >> shift; bit <= (last - cmd->iova) >> shift;
         bit++) {
        guint8 *at = (guint8 *)viommui_emu_user_ptr(cmd->data) + bit / 8;
        guint8 byte;

        if (viommui_emu_copy_from_user(&byte, at, 1) < 0) {
            return;
        }
        byte |= (guint8)(1U << bit % 8);
        if (viommui_emu_copy_to_user(at, &byte, 1) < 0) {
            return;
        }
    }
}

static void report_dirty(EmuHwpt *hwpt, const struct iommu_hwpt_get_dirty_bitmap *cmd,
                         guint64 end)
{
    gboolean clear = !(cmd->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, hwpt->dirty);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        guint64 page = *(guint64 *)key;

        if (page < cmd->iova || page > end) {
            continue;
        }
        set_bits(cmd, page);
        if (clear) {
            g_hash_table_iter_remove(&iter);
        }
    }
}

/* A hole in the range ends the report, and is no error either. */
int viommui_emu_hwpt_get_dirty_bitmap(EmuUcmd *ucmd)
{
    const struct iommu_hwpt_get_dirty_bitmap *cmd = ucmd->cmd;
    EmuHwpt *hwpt;
    guint64 end;
    int ret;

    if ((cmd->flags & ~(guint32)IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR) || cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    hwpt = get_hwpt(ucmd, cmd->hwpt_id);
    if (!hwpt) {
        return -ENOENT;
    }
    ret = check_range(hwpt->ioas, cmd);
    if (ret < 0) {
        return ret;
    }
    if (!hwpt->has_dirty) {
        return -EOPNOTSUPP;
    }
    end = mapped_end(hwpt->ioas, cmd->iova, cmd->iova + (cmd->length - 1));
    if (end && hwpt->dirty_enabled) {
        report_dirty(hwpt, cmd, end);
    }
    return 0;
}
