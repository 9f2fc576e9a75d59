/* SPDX-License-Identifier: MIT */
/*
 * From the ID registers that a recorded guest read: a device that offers just that, an
 * emulated host SMMU that can keep it, and what is excused where the library offers less.
 * Section numbers are of Arm IHI 0070.
 *
 * Up: smmuv3-player.c. Down: excuse.c.
 */
#include "smmuv3-offer.h"

#include "excuse.h"
#include "tables.h"

enum { IDR0 = 0x0, IDR1 = 0x4, IDR2 = 0x8, IDR3 = 0xc, IDR4 = 0x10, IDR5 = 0x14 };
enum { IIDR = 0x18, AIDR = 0x1c };
/* Where the emulated host's answers come from, in its ID registers. */
enum { MAX_STREAM_BITS = 24, OAS_48 = 5 };

#define BITS TRACE_BITS

static gboolean read_register(const TraceSurvey *survey, guint64 offset, guint32 *ret_value)
{
    guint64 value;

    if (trace_survey_get_read(survey, offset, &value)) {
        *ret_value = value;
        return TRUE;
    }
    /* The upper half of what was read before it. */
    if (offset % 8 == 4 && trace_survey_get_read(survey, offset - 4, &value) &&
        value >> 32) {
        *ret_value = value >> 32;
        return TRUE;
    }
    return FALSE;
}

static ViommuSwitch flag(guint32 value, guint bit)
{
    return value >> bit & 1 ? VIOMMU_ON : VIOMMU_OFF;
}

void smmuv3_offer_config(const TraceSurvey *survey, ViommuSmmuv3Config *config)
{
    static const guint8 address_bits[] = {32, 36, 40, 42, 44, 48, 48, 48};
    guint32 idr;

    if (read_register(survey, IDR0, &idr)) { /* 6.3.1 */
        config->ats = flag(idr, 10);
        config->asid16 = flag(idr, 12);
        config->msi = flag(idr, 13);
        config->two_level_cd_table = flag(idr, 19);
        config->two_level_stream_table = flag(idr, 27);
    }
    if (read_register(survey, IDR1, &idr)) { /* 6.3.2 */
        config->stream_bits = MIN(BITS(idr, 5, 0), MAX_STREAM_BITS);
        config->substream_bits = BITS(idr, 10, 6);
        config->event_queue_bits = BITS(idr, 20, 16);
        config->command_queue_bits = BITS(idr, 25, 21);
    }
    if (read_register(survey, IDR3, &idr)) /* 6.3.4 */
        config->ril = flag(idr, 10);
    if (read_register(survey, IDR5, &idr)) { /* 6.3.6 */
        config->address_bits = address_bits[BITS(idr, 2, 0)];
        config->granule_4k = flag(idr, 4);
        config->granule_16k = flag(idr, 5);
        config->granule_64k = flag(idr, 6);
    }
}

guint smmuv3_offer_stream_bits(const TraceSurvey *survey)
{
    ViommuSmmuv3Config config = {.stream_bits = 0};

    smmuv3_offer_config(survey, &config);
    return config.stream_bits ? config.stream_bits : 16;
}

gboolean smmuv3_offer_has_ats(const TraceSurvey *survey)
{
    ViommuSmmuv3Config config = {.ats = VIOMMU_OFF};

    smmuv3_offer_config(survey, &config);
    return config.ats == VIOMMU_ON;
}

void smmuv3_offer_host(ViommuEmulatorSmmuv3Config *host)
{
    viommu_emulator_smmuv3_defaults(host);
    host->idr[5] = (host->idr[5] & ~7u) | OAS_48;
}

/* --- what is excused ---------------------------------------------------------------------
 */

#define STAGE1_ONLY "the device has stage 1 only"
#define UNVOUCHED   "the host's kernel does not vouch for it to guests"
#define TERMINATES  "faults terminate, as those of host devices do"
#define NOT_OFFERED "the device does not offer it"
#define WHOSE       "which implementation it is"

static const TraceExcuse excuses[] = {
    {IDR0, 0, 0, "S2P", STAGE1_ONLY},
    {IDR0, 2, 2, "TTF", "tables of AArch64 only"},
    {IDR0, 5, 5, "BTM", UNVOUCHED},
    {IDR0, 7, 6, "HTTU", UNVOUCHED},
    {IDR0, 8, 8, "DORMHINT", NOT_OFFERED},
    {IDR0, 9, 9, "HYP", NOT_OFFERED},
    {IDR0, 11, 11, "NS1ATS", STAGE1_ONLY},
    {IDR0, 14, 14, "SEV", NOT_OFFERED},
    {IDR0, 15, 15, "ATOS", NOT_OFFERED},
    {IDR0, 16, 16, "PRI", NOT_OFFERED},
    {IDR0, 17, 17, "VMW", STAGE1_ONLY},
    {IDR0, 18, 18, "VMID16", STAGE1_ONLY},
    {IDR0, 20, 20, "VATOS", NOT_OFFERED},
    {IDR0, 22, 21, "TTENDIAN", "tables of little endian only"},
    {IDR0, 25, 24, "STALL_MODEL", TERMINATES},
    {IDR0, 26, 26, "TERM_MODEL", TERMINATES},
    {IDR0, 31, 29, "bits 31:29", NOT_OFFERED},
    {IDR1, 15, 11, "PRIQS", NOT_OFFERED},
    {IDR1, 31, 26, "bits 31:26", NOT_OFFERED},
    {IDR2, 31, 0, "all", NOT_OFFERED},
    {IDR3, 2, 2, "HAD", UNVOUCHED},
    {IDR3, 3, 3, "PBHA", UNVOUCHED},
    {IDR3, 4, 4, "XNX", STAGE1_ONLY},
    {IDR3, 5, 5, "PPS", NOT_OFFERED},
    {IDR3, 7, 7, "MPAM", NOT_OFFERED},
    {IDR3, 8, 8, "FWB", STAGE1_ONLY},
    {IDR3, 9, 9, "STT", STAGE1_ONLY},
    {IDR3, 12, 11, "BBML", "the device promises nothing of updates without break"},
    {IDR3, 31, 13, "bits 31:13", NOT_OFFERED},
    {IDR4, 31, 0, "all", WHOSE},
    {IDR5, 2, 0, "OAS", "output addresses of 48 bits at most"},
    {IDR5, 7, 7, "DS", "output addresses of 48 bits at most"},
    {IDR5, 11, 10, "VAX", "input addresses of 48 bits at most"},
    {IDR5, 31, 12, "bits 31:12", NOT_OFFERED},
    {IIDR, 31, 0, "all", WHOSE},
    {AIDR, 31, 0, "all", WHOSE},
};

gboolean smmuv3_offer_is_id(guint64 offset)
{
    return offset < AIDR + 4;
}

static const char *register_name(guint64 offset)
{
    static const char *const names[] = {"IDR0", "IDR1", "IDR2", "IDR3",
                                        "IDR4", "IDR5", "IIDR", "AIDR"};

    return names[offset / 4];
}

static gboolean excuse_word(guint64 offset, guint32 recorded, guint32 ours,
                            TraceResult *result)
{
    return trace_excuse_register(excuses, G_N_ELEMENTS(excuses), offset, 32,
                                 register_name(offset), recorded, ours, result);
}

gboolean smmuv3_offer_excuse(const TraceLine *line, guint64 ours, TraceResult *result)
{
    if (!smmuv3_offer_is_id(line->address) || line->address % 4 || line->size < 4)
        return FALSE;
    if (!excuse_word(line->address, line->value, ours, result))
        return FALSE;
    return line->size == 4 ||
           (smmuv3_offer_is_id(line->address + 4) &&
            excuse_word(line->address + 4, line->value >> 32, ours >> 32, result));
}
