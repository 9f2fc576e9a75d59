/* SPDX-License-Identifier: MIT */
/*
 * What iommufd calls the things of an SMMUv3: numbers of data types, and hardware facts.
 */

#include "iommufd.h"

G_STATIC_ASSERT(sizeof(struct iommu_hwpt_arm_smmuv3) == 16);
G_STATIC_ASSERT(sizeof(struct iommu_viommu_arm_smmuv3_invalidate) == 16);
G_STATIC_ASSERT(sizeof(struct iommu_vevent_arm_smmuv3) == 32);

/* SMMU_IDR0.S2P and S1P (IHI0070, 6.3.1) */
enum { BOTH_STAGES = 1 << 0 | 1 << 1 };

const ViommuiIommufdTypes viommui_iommufd_smmuv3_types = {
    .viommu_type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
    .veventq_type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3,
    .hwpt_data_type = IOMMU_HWPT_DATA_ARM_SMMUV3,
    .invalidate_data_type = IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
    .event_size = sizeof(struct iommu_vevent_arm_smmuv3),
};

void viommui_iommufd_read_smmuv3_info(const struct iommu_hw_info_arm_smmuv3 *raw,
                                      ViommuHostDeviceInfo *ret_info)
{
    /* The kernel tells the rest when a vIOMMU is made: no register has it (CANWBS). */
    ret_info->can_nest = (raw->idr[0] & BOTH_STAGES) == BOTH_STAGES;
    ret_info->smmuv3.repeat_tlbi_cfgi =
        !!(raw->flags & IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI);
    for (gsize i = 0; i < G_N_ELEMENTS(ret_info->smmuv3.idr); i++)
        ret_info->smmuv3.idr[i] = raw->idr[i];
    ret_info->smmuv3.iidr = raw->iidr;
    ret_info->smmuv3.aidr = raw->aidr;
}
