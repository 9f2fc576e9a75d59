/* SPDX-License-Identifier: MIT */
/*
 * The SMMUv3 driver's vIOMMU: who may have one, and which guest STEs it takes.
 *
 * Invariants: a nested HWPT keeps the guest's words as they came, but for EATS, and
 * all zero when the guest's STE is not valid (which blocks, without an event).
 *
 * Up: EmuIommuOps in smmuv3-driver.c. Down: nothing.
 */
#include "smmuv3.h"

/* V, Config, S1Fmt, S1ContextPtr, S1CDMax */
#define STE0_ALLOWED \
    (STE0_V | EMU_MASK64(3, 1) | EMU_MASK64(5, 4) | EMU_MASK64(51, 6) | EMU_MASK64(63, 59))
/* S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS */
#define STE1_ALLOWED                                                             \
    (EMU_MASK64(1, 0) | EMU_MASK64(3, 2) | EMU_MASK64(5, 4) | EMU_MASK64(7, 6) | \
     STE1_S1STALLD | STE1_EATS_MASK)

gboolean viommui_emu_vsmmu_has_type(EmuIommu *iommu, guint32 type)
{
    const ViommuEmulatorSmmuv3Config *config = &((Smmuv3 *)iommu)->config;
    const guint32 both = SMMU_IDR0_S1P | SMMU_IDR0_S2P;

    return (config->idr[0] & both) == both &&
           (config->canwbs || (config->idr[3] & SMMU_IDR3_FWB)) &&
           type == IOMMU_VIOMMU_TYPE_ARM_SMMUV3;
}

int viommui_emu_vsmmu_init(EmuIommu *iommu, EmuViommu *viommu)
{
    return viommu->parent->iommu == iommu ? 0 : -EINVAL;
}

static int check_vste(guint64 ste[2], gboolean *ret_ats)
{
    guint64 config = STE0_CONFIG(ste[0]);

    if (!(ste[0] & STE0_V)) {
        ste[0] = 0;
        ste[1] = 0;
        return 0;
    }
    if ((ste[0] & ~STE0_ALLOWED) || (ste[1] & ~STE1_ALLOWED)) {
        return -EIO;
    }
    if (config != STE_CONFIG_ABORT && config != STE_CONFIG_BYPASS &&
        config != STE_CONFIG_S1) {
        return -EIO;
    }
    /* Abort or full ATS; what is installed depends on the device. */
    if (STE1_EATS(ste[1]) > 1) {
        return -EIO;
    }
    *ret_ats = config == STE_CONFIG_S1 && STE1_EATS(ste[1]) == 1;
    ste[1] &= ~STE1_EATS_MASK;
    return 0;
}

int viommui_emu_vsmmu_nested_init(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags,
                                  guint32 type, const void *data, guint32 size)
{
    struct iommu_hwpt_arm_smmuv3 arg;
    Smmuv3Nested *nested;
    gboolean ats = FALSE;
    guint64 ste[2];
    int ret;

    (void)iommu;
    if (flags) {
        return -EOPNOTSUPP;
    }
    if (type != IOMMU_HWPT_DATA_ARM_SMMUV3 || size != sizeof(arg)) {
        return -EINVAL;
    }
    ret = viommui_emu_copy_from_user(&arg, data, sizeof(arg));
    if (ret < 0) {
        return ret;
    }
    ste[0] = GUINT64_FROM_LE(arg.ste[0]);
    ste[1] = GUINT64_FROM_LE(arg.ste[1]);
    ret = check_vste(ste, &ats);
    if (ret < 0) {
        return ret;
    }
    nested = g_new0(Smmuv3Nested, 1);
    nested->ste[0] = ste[0];
    nested->ste[1] = ste[1];
    nested->enable_ats = ats;
    hwpt->priv = nested;
    return 0;
}
