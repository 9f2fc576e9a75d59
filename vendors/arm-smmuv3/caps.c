/* SPDX-License-Identifier: MIT */
/*
 * What the guest's ID registers promise, held against what this library and a host SMMU can
 * do. Of the host's registers only those fields are read that the kernel's uAPI vouches
 * for (struct iommu_hw_info_arm_smmuv3).
 */

#include "smmuv3.h"

typedef enum {
    AT_MOST, /* a number or a flag: no more than the host's */
    SUBSET,  /* a set of bits, all of them the host's too */
    ENDIAN,  /* the host's, or the host does both */
} Rule;

typedef struct {
    const char *name;
    guint reg;
    ViommuiField field;
    Rule rule;
} HostField;

static gboolean keeps(const HostField *field, guint64 guest, guint64 host)
{
    switch (field->rule) {
    case AT_MOST:
        return guest <= host;
    case SUBSET:
        return (guest & ~host) == 0;
    case ENDIAN:
        return guest == host || host == TTENDIAN_MIXED;
    }
    return FALSE;
}

gboolean viommui_smmuv3_check_caps(const guint32 guest_idr[6],
                                   const ViommuHostDeviceInfo *host, const char *device,
                                   GError **error)
{
    const HostField fields[] = {
        {"IDR0.TTF", 0, IDR0_TTF, SUBSET},
        {"IDR0.ASID16", 0, IDR0_ASID16, AT_MOST},
        {"IDR0.CD2L", 0, IDR0_CD2L, AT_MOST},
        {"IDR0.TTENDIAN", 0, IDR0_TTENDIAN, ENDIAN},
        {"IDR1.SSIDSIZE", 1, IDR1_SSIDSIZE, AT_MOST},
        {"IDR3.RIL", 3, IDR3_RIL, AT_MOST},
        {"IDR3.BBML", 3, IDR3_BBML, AT_MOST},
        {"IDR5.GRAN4K", 5, IDR5_GRAN4K, AT_MOST},
        {"IDR5.GRAN16K", 5, IDR5_GRAN16K, AT_MOST},
        {"IDR5.GRAN64K", 5, IDR5_GRAN64K, AT_MOST},
        {"IDR5.DS", 5, IDR5_DS, AT_MOST},
        {"IDR5.VAX", 5, IDR5_VAX, AT_MOST},
    };

    if (host->type != VIOMMU_IOMMU_ARM_SMMUV3) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s is not behind an SMMUv3 (IOMMU type %d)", device, host->type);
        return FALSE;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        const HostField *field = &fields[i];
        guint guest_value = viommui_field_get(guest_idr[field->reg], field->field);
        guint host_value = viommui_field_get(host->smmuv3.idr[field->reg], field->field);

        if (!keeps(field, guest_value, host_value)) {
            g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                        "%s: the guest's SMMU has %s %u, the host's %u", device,
                        field->name, guest_value, host_value);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean viommui_smmuv3_check_guest_idr(const guint32 guest_idr[6], GError **error)
{
    const struct {
        const char *name;
        guint reg;
        ViommuiField field;
        guint value;
    } required[] = {
        {"IDR0.S1P", 0, IDR0_S1P, 1},
        {"IDR0.S2P", 0, IDR0_S2P, 0},
        {"IDR0.BTM", 0, IDR0_BTM, 0},
        {"IDR0.HTTU", 0, IDR0_HTTU, 0},
        {"IDR0.Hyp", 0, IDR0_HYP, 0},
        {"IDR0.PRI", 0, IDR0_PRI, 0},
        {"IDR0.STALL_MODEL", 0, IDR0_STALL_MODEL, STALL_MODEL_TERMINATE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(required); i++) {
        guint value = viommui_field_get(guest_idr[required[i].reg], required[i].field);

        if (value != required[i].value) {
            g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                        "the guest's SMMU has %s %u where acceleration needs %u",
                        required[i].name, value, required[i].value);
            return FALSE;
        }
    }
    return TRUE;
}
