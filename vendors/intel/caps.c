/* SPDX-License-Identifier: MIT */
/*
 * What the guest's CAP and ECAP promise, held against what this library and a host unit can
 * do. Pure functions.
 */

#include "vtd.h"

enum { MAX_PHYSICAL_BITS = 52 };

typedef struct {
    const char *name;
    gboolean in_ecap;
    ViommuiField field;
} HostField;

guint viommui_vtd_physical_bits(guint64 cap)
{
    return MIN((guint)viommui_field_get(cap, CAP_MGAW) + 1, MAX_PHYSICAL_BITS);
}

static gboolean refuse(GError **error, const char *device, const char *name, guint64 guest,
                       guint64 host)
{
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "%s: the guest's unit has %s %" G_GUINT64_FORMAT
                ", the host's %" G_GUINT64_FORMAT,
                device, name, guest, host);
    return FALSE;
}

/* Where nothing can be bound, everything is shadowed: second-stage tables, by their
 * flushes. */
static gboolean check_without_nesting(guint64 cap, guint64 ecap, const char *device,
                                      GError **error)
{
    if (viommui_field_get(ecap, ECAP_FSTS))
        return refuse(error, device, "ECAP.FSTS, which needs ECAP.NEST,", 1, 0);
    if (!viommui_field_get(cap, CAP_CM)) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s: the guest's unit has CAP.CM 0, a host that cannot nest needs 1",
                    device);
        return FALSE;
    }
    return TRUE;
}

gboolean viommui_vtd_check_caps(guint64 cap, guint64 ecap, const ViommuHostDeviceInfo *host,
                                const char *device, GError **error)
{
    /* Numbers and flags: no more than the host's. */
    const HostField fields[] = {
        {"CAP.FS1GP", FALSE, CAP_FS1GP},  {"CAP.FS5LP", FALSE, CAP_FS5LP},
        {"ECAP.SRS", TRUE, ECAP_SRS},     {"ECAP.EAFS", TRUE, ECAP_EAFS},
        {"ECAP.PASID", TRUE, ECAP_PASID}, {"ECAP.DT", TRUE, ECAP_DT},
        {"ECAP.PRS", TRUE, ECAP_PRS},     {"ECAP.PDS", TRUE, ECAP_PDS},
    };
    guint64 pss = viommui_field_get(ecap, ECAP_PSS);
    guint64 host_pss = viommui_field_get(host->vtd.ecap, ECAP_PSS);

    if (host->type != VIOMMU_IOMMU_INTEL_VTD && host->type != VIOMMU_IOMMU_NONE) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s is not behind a VT-d unit (IOMMU type %d)", device, host->type);
        return FALSE;
    }
    if (!host->can_nest && !check_without_nesting(cap, ecap, device, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        const HostField *field = &fields[i];
        guint64 guest_value = viommui_field_get(field->in_ecap ? ecap : cap, field->field);
        guint64 host_value = viommui_field_get(
            field->in_ecap ? host->vtd.ecap : host->vtd.cap, field->field);

        if (guest_value > host_value)
            return refuse(error, device, field->name, guest_value, host_value);
    }
    if (viommui_field_get(ecap, ECAP_PASID) && pss > host_pss)
        return refuse(error, device, "ECAP.PSS", pss, host_pss);
    /* The host's own walks are of first stages. */
    if (viommui_field_get(ecap, ECAP_FSTS) && viommui_field_get(ecap, ECAP_SMPWCS) &&
        !viommui_field_get(host->vtd.ecap, ECAP_SMPWCS))
        return refuse(error, device, "ECAP.SMPWCS", 1, 0);
    return TRUE;
}

/* What would need of the host, or of this library, what neither gives. */
gboolean viommui_vtd_check_guest_caps(guint64 cap, guint64 ecap, GError **error)
{
    const HostField refused[] = {
        {"CAP.PI", FALSE, CAP_PI},          {"CAP.ECMDS", FALSE, CAP_ECMDS},
        {"ECAP.MTS", TRUE, ECAP_MTS},       {"ECAP.NEST", TRUE, ECAP_NEST},
        {"ECAP.ERS", TRUE, ECAP_ERS},       {"ECAP.NWFS", TRUE, ECAP_NWFS},
        {"ECAP.DIT", TRUE, ECAP_DIT},       {"ECAP.VCS", TRUE, ECAP_VCS},
        {"ECAP.SSADS", TRUE, ECAP_SSADS},   {"ECAP.ADMS", TRUE, ECAP_ADMS},
        {"ECAP.RPRIVS", TRUE, ECAP_RPRIVS},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        if (!viommui_field_get(refused[i].in_ecap ? ecap : cap, refused[i].field))
            continue;
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "the guest's unit has %s 1, which acceleration cannot keep",
                    refused[i].name);
        return FALSE;
    }
    return TRUE;
}
