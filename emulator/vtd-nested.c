/* SPDX-License-Identifier: MIT */
/*
 * Nested domains of Intel's driver: made from a nesting parent, and flushed by the
 * guest's own invalidations.
 *
 * Invariants: the guest's configuration is kept as it came; what the unit cannot do is
 * found out only when it is attached. Entries of an invalidation are carried out one by
 * one as they are read, so the count handed back is exactly what was done.
 *
 * Up: EmuIommuOps in vtd-driver.c. Down: vtd-attach.c for the flush.
 */
#include "vtd.h"

static int copy_exact(void *dst, gsize size, const void *src, guint32 user_size)
{
    /* No version of either struct is shorter or longer. */
    return user_size == size ? viommui_emu_copy_from_user(dst, src, size) : -EINVAL;
}

int viommui_emu_vtd_nested_init(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags, guint32 type,
                                const void *data, guint32 size)
{
    const EmuHwpt *parent = hwpt->parent;
    const VtdDomain *over;
    struct iommu_hwpt_vtd_s1 s1;
    VtdDomain *domain;
    int ret;

    if (parent->auto_domain || !parent->nest_parent || parent->iommu->ops != iommu->ops) {
        return -EINVAL;
    }
    if (!viommui_emu_vtd_has_nesting((Vtd *)iommu) ||
        (flags & ~(guint32)IOMMU_HWPT_ALLOC_PASID) || type != IOMMU_HWPT_DATA_VTD_S1) {
        return -EOPNOTSUPP;
    }
    over = parent->priv;
    if (over->stage != VTD_SECOND_STAGE || !over->nest_parent) {
        return -EINVAL;
    }
    ret = copy_exact(&s1, sizeof(s1), data, size);
    if (ret < 0) {
        return ret;
    }
    domain = viommui_emu_vtd_domain_new(VTD_NESTED);
    domain->s1 = s1;
    hwpt->priv = domain;
    return 0;
}

static int flush_entry(VtdDomain *domain, const struct iommu_hwpt_vtd_s1_invalidate *entry)
{
    if ((entry->flags & ~(guint32)IOMMU_VTD_INV_FLAGS_LEAF) || entry->__reserved) {
        return -EOPNOTSUPP;
    }
    if (!EMU_ALIGNED(entry->addr, EMU_PAGE_SIZE) ||
        (entry->npages == G_MAXUINT64 && entry->addr)) {
        return -EINVAL;
    }
    /* The driver shifts without a look at what falls out at the top. */
    viommui_emu_vtd_flush_range(domain, entry->addr,
                                entry->addr + (entry->npages << 12) - 1,
                                !!(entry->flags & IOMMU_VTD_INV_FLAGS_LEAF));
    return 0;
}

int viommui_emu_vtd_invalidate(EmuIommu *iommu, EmuHwpt *hwpt, guint32 type,
                               const void *data, guint32 entry_len, guint32 *entry_num)
{
    struct iommu_hwpt_vtd_s1_invalidate entry;
    guint32 total = *entry_num;
    int ret = 0;

    (void)iommu;
    *entry_num = 0;
    if (type != IOMMU_HWPT_INVALIDATE_DATA_VTD_S1) {
        return -EINVAL;
    }
    for (guint32 i = 0; i < total && ret == 0; i++) {
        ret = copy_exact(&entry, sizeof(entry), (const guint8 *)data + (gsize)i * entry_len,
                         entry_len);
        if (ret == 0) {
            ret = flush_entry(hwpt->priv, &entry);
        }
        if (ret == 0) {
            ++*entry_num;
        }
    }
    return ret;
}
