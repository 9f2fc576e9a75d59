/* SPDX-License-Identifier: MIT */
/*
 * Which CAP and ECAP the guest sees (VT-d 11.4.2, 11.4.3): what was asked for, what the
 * library implements, and what every host unit behind can do. Pure functions.
 *
 * AUTO is what all hosts have; with no host device, what the library implements. ON is
 * offered whatever the hosts have, so that the one that lacks it is refused at attach, by
 * viommui_vtd_check_caps() or here. What depends on what is not offered is not offered
 * either.
 */

#include "vunit.h"

enum { DEFAULT_DOMAIN_BITS = 16, DEFAULT_ADDRESS_BITS = 48, MAX_PASID_BITS = 20 };
enum { PSI_MASK = 18, LARGE_PAGES = 3 };

/* --- config -----------------------------------------------------------------------------
 */

static gboolean refuse(GError **error, const char *name, int value, const char *what)
{
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s %d is not %s", name, value,
                what);
    return FALSE;
}

static gboolean check_services(const ViommuVtdConfig *config, GError **error)
{
    const ViommuServices *services = &config->services;
    const char *missing = NULL;

    if (!services->send_msi)
        missing = "send_msi";
    if (!services->compare_and_swap && config->scalable_mode != VIOMMU_OFF &&
        config->first_stage != VIOMMU_OFF)
        missing = "compare_and_swap";
    if (!services->write_memory)
        missing = "write_memory";
    if (!services->read_memory)
        missing = "read_memory";
    if (!missing)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "the service %s is missing",
                missing);
    return FALSE;
}

/* What cannot be had without something else that is off. */
static gboolean check_dependencies(const ViommuVtdConfig *config, GError **error)
{
    gboolean scalable = config->scalable_mode != VIOMMU_OFF;
    gboolean first = scalable && config->first_stage != VIOMMU_OFF;
    const struct {
        const char *name;
        gboolean asked;
        const char *needs;
        gboolean has;
    } rules[] = {
        {"first_stage", config->first_stage == VIOMMU_ON, "scalable_mode", scalable},
        {"second_stage", config->second_stage == VIOMMU_ON, "scalable_mode", scalable},
        {"pasid_bits", config->pasid_bits > 0, "scalable_mode", scalable},
        {"page_requests", config->page_requests == VIOMMU_ON, "scalable_mode", scalable},
        {"rid_pasid", config->rid_pasid == VIOMMU_ON, "scalable_mode", scalable},
        {"first_stage_1g", config->first_stage_1g == VIOMMU_ON, "first_stage", first},
        {"five_level", config->five_level == VIOMMU_ON, "first_stage", first},
        {"supervisor_requests", config->supervisor_requests == VIOMMU_ON, "first_stage",
         first},
        {"extended_accessed", config->extended_accessed == VIOMMU_ON, "first_stage", first},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (!rules[i].asked || rules[i].has)
            continue;
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s is on, and %s is off",
                    rules[i].name, rules[i].needs);
        return FALSE;
    }
    return TRUE;
}

gboolean viommui_vtd_check_config(const ViommuVtdConfig *config, GError **error)
{
    guint bits = config->address_bits;

    if (!check_services(config, error))
        return FALSE;
    if (config->pasid_bits < -1 || config->pasid_bits > MAX_PASID_BITS)
        return refuse(error, "pasid_bits", config->pasid_bits, "-1 to 20");
    if (config->domain_bits &&
        (config->domain_bits < 4 || config->domain_bits > 16 || config->domain_bits % 2))
        return refuse(error, "domain_bits", (int)config->domain_bits, "4, 6, ... or 16");
    if (bits && bits != 39 && bits != 48 && bits != 57)
        return refuse(error, "address_bits", (int)bits, "39, 48 or 57");
    if (config->fault_records > VTD_MAX_FRCD)
        return refuse(error, "fault_records", (int)config->fault_records, "1 to 8");
    if (config->version > 0xff)
        return refuse(error, "version", (int)config->version, "major << 4 | minor");
    return check_dependencies(config, error);
}

/* --- the offer --------------------------------------------------------------------------
 */

typedef struct {
    const ViommuVtdConfig *config;
    const ViommuHostDeviceInfo *const *hosts;
    guint n;
    gboolean scalable;
    gboolean first_stage;
    gboolean device_tlb;
} Offer;

static gboolean decide(ViommuSwitch asked, gboolean possible)
{
    return asked == VIOMMU_ON || (asked == VIOMMU_AUTO && possible);
}

static gboolean all_have(const Offer *offer, gboolean in_ecap, ViommuiField field)
{
    for (guint i = 0; i < offer->n; i++)
        if (!viommui_field_get(
                in_ecap ? offer->hosts[i]->vtd.ecap : offer->hosts[i]->vtd.cap, field))
            return FALSE;
    return TRUE;
}

static gboolean all_nest(const Offer *offer)
{
    for (guint i = 0; i < offer->n; i++)
        if (!offer->hosts[i]->can_nest)
            return FALSE;
    return TRUE;
}

static gboolean can_have_ats(const Offer *offer)
{
    for (guint i = 0; i < offer->n; i++)
        if (offer->hosts[i]->ats_unavailable)
            return FALSE;
    return offer->n ? all_have(offer, TRUE, ECAP_DT)
                    : offer->config->services.translations_changed != NULL;
}

static guint pasid_bits(const Offer *offer)
{
    guint bits = MAX_PASID_BITS;

    if (!offer->scalable)
        return 0;
    if (offer->config->pasid_bits >= 0)
        return (guint)offer->config->pasid_bits;
    if (!all_have(offer, TRUE, ECAP_PASID))
        return 0;
    for (guint i = 0; i < offer->n; i++)
        bits = MIN(bits, (guint)viommui_field_get(offer->hosts[i]->vtd.ecap, ECAP_PSS) + 1);
    return bits;
}

/* All that the host maps, though its tables may be those of a wider width (11.4.2, MGAW).
 */
static guint address_bits(const ViommuVtdConfig *config, guint mappable_bits)
{
    if (config->address_bits)
        return config->address_bits;
    return CLAMP(mappable_bits, 39, DEFAULT_ADDRESS_BITS);
}

static guint64 make_cap(const Offer *offer, guint bits)
{
    const ViommuVtdConfig *config = offer->config;
    guint domain_bits = config->domain_bits ? config->domain_bits : DEFAULT_DOMAIN_BITS;
    /* A bit for each number of levels, from 3 up to the width. */
    guint sagaw = bits <= 39 ? 0x2 : bits <= 48 ? 0x6 : 0xe;
    guint64 cap = 0;

    cap = viommui_field_set(cap, CAP_ND, (domain_bits - 4) / 2);
    cap = viommui_field_set(cap, CAP_CM, decide(config->caching_mode, offer->n > 0));
    cap = viommui_field_set(cap, CAP_SAGAW, sagaw);
    cap = viommui_field_set(cap, CAP_MGAW, bits - 1);
    cap = viommui_field_set(cap, CAP_FRO, VTD_FRCD / VTD_FRCD_SIZE);
    cap = viommui_field_set(cap, CAP_SSLPS, LARGE_PAGES);
    cap = viommui_field_set(cap, CAP_PSI, 1);
    cap = viommui_field_set(cap, CAP_NFR,
                            config->fault_records ? config->fault_records - 1 : 0);
    cap = viommui_field_set(cap, CAP_MAMV, PSI_MASK);
    cap = viommui_field_set(cap, CAP_DWD, 1);
    cap = viommui_field_set(cap, CAP_DRD, 1);
    cap =
        viommui_field_set(cap, CAP_FS1GP,
                          offer->first_stage && decide(config->first_stage_1g,
                                                       all_have(offer, FALSE, CAP_FS1GP)));
    return viommui_field_set(
        cap, CAP_FS5LP,
        offer->first_stage &&
            decide(config->five_level, all_have(offer, FALSE, CAP_FS5LP)));
}

static gboolean offers_page_requests(const Offer *offer)
{
    return offer->scalable &&
           decide(offer->config->page_requests, offer->n && offer->device_tlb &&
                                                    all_have(offer, TRUE, ECAP_PRS) &&
                                                    all_have(offer, TRUE, ECAP_PDS));
}

/*
 * Of scalable mode's tables. The hosts walk first stages, and one that is to come may not
 * snoop; all else is walked here.
 */
static gboolean offers_coherent_walks(const Offer *offer)
{
    gboolean can =
        !offer->first_stage || (offer->n && all_have(offer, TRUE, ECAP_SMPWCS));

    return offer->scalable && decide(offer->config->coherent, can);
}

static guint64 make_ecap(const Offer *offer)
{
    const ViommuVtdConfig *config = offer->config;
    gboolean coherent = decide(config->coherent, TRUE);
    gboolean page_requests = offers_page_requests(offer);
    guint pasids = pasid_bits(offer);
    guint64 ecap = 0;

    ecap = viommui_field_set(ecap, ECAP_C, coherent);
    ecap = viommui_field_set(ecap, ECAP_QI, 1);
    ecap = viommui_field_set(ecap, ECAP_DT, offer->device_tlb);
    ecap = viommui_field_set(ecap, ECAP_PT, decide(config->pass_through, TRUE));
    ecap = viommui_field_set(ecap, ECAP_IRO, VTD_IVA / 16);
    ecap = viommui_field_set(ecap, ECAP_PRS, page_requests);
    ecap = viommui_field_set(ecap, ECAP_PDS, page_requests);
    ecap = viommui_field_set(ecap, ECAP_SRS,
                             offer->first_stage && decide(config->supervisor_requests,
                                                          all_have(offer, TRUE, ECAP_SRS)));
    ecap =
        viommui_field_set(ecap, ECAP_EAFS,
                          offer->first_stage && decide(config->extended_accessed,
                                                       all_have(offer, TRUE, ECAP_EAFS)));
    if (pasids) {
        ecap = viommui_field_set(ecap, ECAP_PASID, 1);
        ecap = viommui_field_set(ecap, ECAP_PSS, pasids - 1);
    }
    ecap = viommui_field_set(ecap, ECAP_SMTS, offer->scalable);
    ecap = viommui_field_set(ecap, ECAP_SSTS,
                             offer->scalable && decide(config->second_stage, TRUE));
    ecap = viommui_field_set(ecap, ECAP_FSTS, offer->first_stage);
    ecap = viommui_field_set(ecap, ECAP_SMPWCS, offers_coherent_walks(offer));
    return viommui_field_set(ecap, ECAP_RPS,
                             offer->scalable && decide(config->rid_pasid, TRUE));
}

/* Something is asked for that is a first stage's, and not to be dropped in silence. */
static gboolean asks_first_stage(const ViommuVtdConfig *config)
{
    return config->first_stage == VIOMMU_AUTO &&
           (config->first_stage_1g == VIOMMU_ON || config->five_level == VIOMMU_ON ||
            config->supervisor_requests == VIOMMU_ON ||
            config->extended_accessed == VIOMMU_ON);
}

void viommui_vtd_offer(const ViommuVtdConfig *config,
                       const ViommuHostDeviceInfo *const *hosts, guint n,
                       guint mappable_bits, guint64 *ret_cap, guint64 *ret_ecap)
{
    Offer offer = {.config = config, .hosts = hosts, .n = n};

    offer.scalable = decide(config->scalable_mode, TRUE);
    offer.first_stage = offer.scalable && (decide(config->first_stage, all_nest(&offer)) ||
                                           asks_first_stage(config));
    offer.device_tlb = decide(config->device_tlb, can_have_ats(&offer));
    *ret_cap = make_cap(&offer, address_bits(config, mappable_bits));
    *ret_ecap = make_ecap(&offer);
}

gboolean viommui_vtd_check_device(const ViommuVtdConfig *config, guint64 cap,
                                  guint mappable_bits, ViommuHostDevice *device,
                                  GError **error)
{
    const char *name = viommu_host_device_get_name(device);
    guint bits = viommui_vtd_physical_bits(cap);

    if (bits > mappable_bits) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s: the guest's unit has CAP.MGAW of %u bits, the host's %u", name,
                    bits, mappable_bits);
        return FALSE;
    }
    /* Asked for, it is obeyed; else a guest that was not told must not be left guessing. */
    if (!viommui_field_get(cap, CAP_CM) && config->caching_mode != VIOMMU_OFF) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s: the guest's unit has CAP.CM 0, a host device needs 1", name);
        return FALSE;
    }
    return TRUE;
}
