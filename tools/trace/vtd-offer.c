/* SPDX-License-Identifier: MIT */
/*
 * From the capability registers that a recorded guest read: a unit that offers just that,
 * and what is excused where it cannot be asked for. Section numbers are of the Intel VT-d
 * architecture specification, 4.1.
 *
 * Up: vtd-player.c. Down: excuse.c.
 */
#include "vtd-offer.h"

#include "excuse.h"
#include "vtd-tables.h"

#define BITS TRACE_BITS

enum { MAX_DOMAIN_BITS = 16, MAX_RECORDS = 8 };

/* A register, as far as the guest has looked at it. */
typedef struct {
    guint64 value;
    guint64 known;
} Register;

static Register read_register(const TraceSurvey *survey, guint64 offset)
{
    Register reg;

    reg.value = trace_survey_get_wide(survey, offset, &reg.known);
    return reg;
}

static ViommuSwitch flag(Register reg, guint bit)
{
    if (!(reg.known >> bit & 1))
        return VIOMMU_AUTO;
    return reg.value >> bit & 1 ? VIOMMU_ON : VIOMMU_OFF;
}

/* The narrowest that holds MGAW. */
static guint address_bits(guint mgaw)
{
    return mgaw <= 39 ? 39 : mgaw <= 48 ? 48 : 57;
}

static void ask_for_cap(Register cap, ViommuVtdConfig *config) /* 11.4.2 */
{
    config->caching_mode = flag(cap, 7);
    config->first_stage_1g = flag(cap, 56);
    config->five_level = flag(cap, 60);
    if (cap.known & G_MAXUINT32) {
        config->domain_bits = MIN(4 + 2 * BITS(cap.value, 2, 0), MAX_DOMAIN_BITS);
        config->address_bits = address_bits(BITS(cap.value, 21, 16) + 1);
    }
    if (cap.known >> 32)
        config->fault_records = MIN(BITS(cap.value, 47, 40) + 1, MAX_RECORDS);
}

static void ask_for_ecap(Register ecap, ViommuVtdConfig *config) /* 11.4.3 */
{
    config->coherent = flag(ecap, 0);
    config->device_tlb = flag(ecap, 2);
    config->pass_through = flag(ecap, 6);
    config->page_requests = flag(ecap, 29);
    config->rid_pasid = flag(ecap, 49);
    config->supervisor_requests = flag(ecap, 31);
    config->extended_accessed = flag(ecap, 34);
    config->scalable_mode = flag(ecap, 43);
    config->second_stage = flag(ecap, 46);
    config->first_stage = flag(ecap, 47);
    config->rid_pasid = flag(ecap, 49);
    if (ecap.known >> 32)
        config->pasid_bits = ecap.value >> 40 & 1 ? BITS(ecap.value, 39, 35) + 1 : 0;
}

void vtd_offer_config(const TraceSurvey *survey, ViommuVtdConfig *config)
{
    ask_for_cap(read_register(survey, VTD_CAP), config);
    ask_for_ecap(read_register(survey, VTD_ECAP), config);
    config->version = BITS(read_register(survey, VTD_VER).value, 7, 0);
}

static ViommuVtdConfig get_config(const TraceSurvey *survey)
{
    ViommuVtdConfig config = {.pasid_bits = -1};

    vtd_offer_config(survey, &config);
    return config;
}

/* Which devices had ATS, PRI and PASIDs a recording does not say. */
void vtd_offer_device(const TraceSurvey *survey, ViommuEmulatorDeviceConfig *device)
{
    ViommuVtdConfig config = get_config(survey);

    device->ats = config.device_tlb == VIOMMU_ON;
    device->pri = config.page_requests == VIOMMU_ON;
    device->pasid_bits = MAX(config.pasid_bits, 0);
    device->pasid_privileged = config.supervisor_requests == VIOMMU_ON;
}

ViommuVtdDeviceFlags vtd_offer_device_flags(const TraceSurvey *survey)
{
    return get_config(survey).page_requests == VIOMMU_ON ? VIOMMU_VTD_DEVICE_PAGE_REQUESTS
                                                         : 0;
}

gboolean vtd_offer_has_caching_mode(const TraceSurvey *survey)
{
    return get_config(survey).caching_mode != VIOMMU_OFF;
}

/* --- what is excused ---------------------------------------------------------------------
 */

#define NOT_OFFERED "the device does not offer it"
#define NO_IR       "interrupt remapping is not offered"
#define ITS_OWN     "the device has its own"

static const TraceExcuse excuses[] = {
    {VTD_CAP, 3, 3, "AFL", NOT_OFFERED},
    {VTD_CAP, 4, 4, "RWBF", "writes of the guest are seen at once"},
    {VTD_CAP, 5, 5, "PLMR", NOT_OFFERED},
    {VTD_CAP, 6, 6, "PHMR", NOT_OFFERED},
    {VTD_CAP, 12, 8, "SAGAW", "as address widths of 39, 48 and 57 bits have it"},
    {VTD_CAP, 21, 16, "MGAW", "address widths of 39, 48 and 57 bits only"},
    {VTD_CAP, 22, 22, "ZLR", ITS_OWN},
    {VTD_CAP, 37, 34, "SSLPS", ITS_OWN},
    {VTD_CAP, 39, 39, "PSI", ITS_OWN},
    {VTD_CAP, 47, 40, "NFR", "8 fault recording registers at most"},
    {VTD_CAP, 53, 48, "MAMV", ITS_OWN},
    {VTD_CAP, 55, 54, "DWD and DRD", ITS_OWN},
    {VTD_CAP, 59, 59, "PI", NO_IR},
    {VTD_CAP, 61, 61, "ECMDS", NOT_OFFERED},
    {VTD_CAP, 62, 62, "ESIRTPS", NO_IR},
    {VTD_CAP, 63, 63, "ESRTPS", ITS_OWN},
    {VTD_ECAP, 3, 3, "IR", NO_IR},
    {VTD_ECAP, 4, 4, "EIM", NO_IR},
    {VTD_ECAP, 7, 7, "SC", NOT_OFFERED},
    {VTD_ECAP, 23, 20, "MHMV", NO_IR},
    {VTD_ECAP, 25, 25, "MTS", NOT_OFFERED},
    {VTD_ECAP, 26, 26, "NEST", "nesting is the host's"},
    {VTD_ECAP, 30, 30, "ERS", NOT_OFFERED},
    {VTD_ECAP, 33, 33, "NWFS", NOT_OFFERED},
    {VTD_ECAP, 41, 41, "DIT", NOT_OFFERED},
    {VTD_ECAP, 42, 42, "PDS", ITS_OWN},
    {VTD_ECAP, 44, 44, "VCS", NOT_OFFERED},
    {VTD_ECAP, 45, 45, "SSADS", NOT_OFFERED},
    {VTD_ECAP, 48, 48, "SMPWCS", "offered with C or not at all"},
    {VTD_ECAP, 53, 51, "PMS, ABORT and RPRIVS", NOT_OFFERED},
    {VTD_ECAP, 63, 56, "bits 63:56", NOT_OFFERED},
    /* What comes of those: the status of what is not offered. */
    {VTD_GSTS, 23, 23, "CFIS", NO_IR},
    {VTD_GSTS, 24, 24, "IRTPS", NO_IR},
    {VTD_GSTS, 25, 25, "IRES", NO_IR},
};

/* Registers of which something can be excused; 8 bytes, or 4. */
static const struct {
    guint64 offset;
    guint bytes;
    const char *name;
} registers[] = {{VTD_CAP, 8, "CAP"}, {VTD_ECAP, 8, "ECAP"}, {VTD_GSTS, 4, "GSTS"}};

gboolean vtd_offer_excuse(const TraceLine *line, guint64 ours, TraceResult *result)
{
    for (gsize i = 0; i < G_N_ELEMENTS(registers); i++) {
        guint64 inside = line->address - registers[i].offset;

        if (inside < registers[i].bytes && inside + line->size <= registers[i].bytes)
            return trace_excuse_register(excuses, G_N_ELEMENTS(excuses),
                                         registers[i].offset, registers[i].bytes * 8,
                                         registers[i].name, line->value << (8 * inside),
                                         ours << (8 * inside), result);
    }
    return FALSE;
}
