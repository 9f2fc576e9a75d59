/* SPDX-License-Identifier: MIT */
/*
 * What the guest's ID registers promise, held against what this library and a host SMMU can
 * do. Of the host's registers only those fields are read that the kernel's uAPI vouches
 * for (struct iommu_hw_info_arm_smmuv3).
 */

#include "smmuv3.h"

typedef enum {
    AT_MOST,  /* a number or a flag: no more than the host's */
    AT_LEAST, /* a flag that takes something away: where the host has it, the guest has */
    SUBSET,   /* a set of bits, all of them the host's too */
    ENDIAN,   /* the host's, or the host does both */
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
    case AT_LEAST:
        return guest >= host;
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
        {"IDR0.TERM_MODEL", 0, IDR0_TERM_MODEL, AT_LEAST},
        {"IDR1.SSIDSIZE", 1, IDR1_SSIDSIZE, AT_MOST},
        {"IDR3.RIL", 3, IDR3_RIL, AT_MOST},
        {"IDR3.BBML", 3, IDR3_BBML, AT_MOST},
        {"IDR5.GRAN4K", 5, IDR5_GRAN4K, AT_MOST},
        {"IDR5.GRAN16K", 5, IDR5_GRAN16K, AT_MOST},
        {"IDR5.GRAN64K", 5, IDR5_GRAN64K, AT_MOST},
        {"IDR5.DS", 5, IDR5_DS, AT_MOST},
        {"IDR5.VAX", 5, IDR5_VAX, AT_MOST},
    };
    guint stall_model = viommui_field_get(host->smmuv3.idr[0], IDR0_STALL_MODEL);

    if (!host->can_nest) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s: the host cannot nest for it, and an SMMUv3 has no caching mode by "
                    "which its tables could be shadowed",
                    device);
        return FALSE;
    }
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
    if (stall_model == STALL_MODEL_FORCED) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s: the host's SMMU has IDR0.STALL_MODEL %u and cannot end faults",
                    device, stall_model);
        return FALSE;
    }
    return TRUE;
}

/* Fields that the guest may be shown, the host's or the VMM's own doing; all else is 0. */
static guint32 known_fields(guint reg)
{
    static const ViommuiField idr0[] = {
        IDR0_S1P,         IDR0_TTF,        IDR0_COHACC,  IDR0_ATS,  IDR0_NS1ATS,
        IDR0_ASID16,      IDR0_MSI,        IDR0_SEV,     IDR0_CD2L, IDR0_TTENDIAN,
        IDR0_STALL_MODEL, IDR0_TERM_MODEL, IDR0_ST_LEVEL};
    static const ViommuiField idr3[] = {IDR3_RIL, IDR3_BBML};
    static const ViommuiField idr5[] = {IDR5_OAS,     IDR5_GRAN4K, IDR5_GRAN16K,
                                        IDR5_GRAN64K, IDR5_DS,     IDR5_VAX};
    const struct {
        const ViommuiField *fields;
        gsize n;
    } known[] = {
        [0] = {idr0, G_N_ELEMENTS(idr0)},
        [3] = {idr3, G_N_ELEMENTS(idr3)},
        [5] = {idr5, G_N_ELEMENTS(idr5)},
    };
    guint32 mask = 0;

    if (reg == 1) /* sizes of queues, tables and IDs, but for SSIDSIZE the VMM's own */
        return G_MAXUINT32;
    for (gsize i = 0; i < known[reg].n; i++)
        mask |= viommui_field_mask(known[reg].fields[i]);
    return mask;
}

gboolean viommui_smmuv3_check_guest_idr(const guint32 guest_idr[6], GError **error)
{
    guint stall_model = viommui_field_get(guest_idr[0], IDR0_STALL_MODEL);

    for (guint reg = 0; reg < 6; reg++) {
        guint32 unknown = guest_idr[reg] & ~known_fields(reg);

        if (unknown) {
            g_set_error(
                error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                "the guest's SMMU has bits 0x%08x of IDR%u, which acceleration cannot "
                "keep",
                unknown, reg);
            return FALSE;
        }
    }
    if (!viommui_field_get(guest_idr[0], IDR0_S1P) ||
        stall_model != STALL_MODEL_TERMINATE) {
        g_set_error(
            error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
            "the guest's SMMU has IDR0.S1P %u and STALL_MODEL %u where acceleration "
            "needs 1 and %u",
            (guint)viommui_field_get(guest_idr[0], IDR0_S1P), stall_model,
            STALL_MODEL_TERMINATE);
        return FALSE;
    }
    return TRUE;
}
