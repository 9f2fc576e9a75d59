/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking of a paging HWPT: which of its pages hardware has written.
 *
 * Up: dma.c and the IOMMU models. Down: nothing.
 */
#include "iommufd.h"

void viommui_emu_hwpt_mark_dirty(EmuHwpt *hwpt, guint64 iova)
{
    (void)hwpt;
    (void)iova;
}
