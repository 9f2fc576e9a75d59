/* SPDX-License-Identifier: MIT */
/*
 * What iommufd calls the things of a VT-d: numbers of data types, and hardware facts.
 *
 * The kernel has no vIOMMU object for it: nested HWPTs come from the parent itself and are
 * invalidated one by one, and there are neither vDEVICEs nor events.
 */

#include "iommufd.h"

/* What core and vendors call by neutral names is what the kernel takes. */
G_STATIC_ASSERT(sizeof(ViommuiVtdStage1) == sizeof(struct iommu_hwpt_vtd_s1));
G_STATIC_ASSERT(G_STRUCT_OFFSET(ViommuiVtdStage1, flags) ==
                G_STRUCT_OFFSET(struct iommu_hwpt_vtd_s1, flags));
G_STATIC_ASSERT(G_STRUCT_OFFSET(ViommuiVtdStage1, table) ==
                G_STRUCT_OFFSET(struct iommu_hwpt_vtd_s1, pgtbl_addr));
G_STATIC_ASSERT(G_STRUCT_OFFSET(ViommuiVtdStage1, address_width) ==
                G_STRUCT_OFFSET(struct iommu_hwpt_vtd_s1, addr_width));
G_STATIC_ASSERT((int)VIOMMUI_VTD_S1_SRE == (int)IOMMU_VTD_S1_SRE);
G_STATIC_ASSERT((int)VIOMMUI_VTD_S1_EAFE == (int)IOMMU_VTD_S1_EAFE);
G_STATIC_ASSERT((int)VIOMMUI_VTD_S1_WPE == (int)IOMMU_VTD_S1_WPE);
G_STATIC_ASSERT(sizeof(ViommuiVtdInvalidation) ==
                sizeof(struct iommu_hwpt_vtd_s1_invalidate));
G_STATIC_ASSERT(G_STRUCT_OFFSET(ViommuiVtdInvalidation, address) ==
                G_STRUCT_OFFSET(struct iommu_hwpt_vtd_s1_invalidate, addr));
G_STATIC_ASSERT(G_STRUCT_OFFSET(ViommuiVtdInvalidation, n_pages) ==
                G_STRUCT_OFFSET(struct iommu_hwpt_vtd_s1_invalidate, npages));
G_STATIC_ASSERT(G_STRUCT_OFFSET(ViommuiVtdInvalidation, flags) ==
                G_STRUCT_OFFSET(struct iommu_hwpt_vtd_s1_invalidate, flags));
G_STATIC_ASSERT((int)VIOMMUI_VTD_INV_LEAF == (int)IOMMU_VTD_INV_FLAGS_LEAF);

/* ECAP, 11.4.3: scalable mode, and in it a first stage through a second. */
#define ECAP_SMTS (1ULL << 43)
#define ECAP_NEST (1ULL << 26)

const ViommuiIommufdTypes viommui_iommufd_vtd_types = {
    .hwpt_data_type = IOMMU_HWPT_DATA_VTD_S1,
    .invalidate_data_type = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1,
    .parent_tracks_dirty = TRUE,
};

void viommui_iommufd_read_vtd_info(const struct iommu_hw_info_vtd *raw,
                                   ViommuHostDeviceInfo *ret_info)
{
    ret_info->vtd.cap = raw->cap_reg;
    ret_info->vtd.ecap = raw->ecap_reg;
    ret_info->can_nest = (raw->ecap_reg & ECAP_SMTS) && (raw->ecap_reg & ECAP_NEST);
    ret_info->read_only_refused = !!(raw->flags & IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17);
}
