/* SPDX-License-Identifier: MIT */
/*
 * Stream table entries (Arm IHI 0070, 5.2): what the guest wrote, and what of it the
 * host takes. Pure functions of their arguments.
 */

#include "smmuv3.h"

#include <string.h>

static guint64 read_word(const guint8 *bytes, gsize i)
{
    guint64 word;

    memcpy(&word, bytes + i * sizeof word, sizeof word);
    return GUINT64_FROM_LE(word);
}

static ViommuiSte illegal(const char *why, guint64 value)
{
    return (ViommuiSte){.kind = VIOMMUI_STE_ILLEGAL, .why = why, .value = value};
}

void viommui_smmuv3_make_ste(guint config, guint64 ret_words[2])
{
    guint64 word = viommui_field_set(viommui_field_mask(STE0_V), STE0_CONFIG, config);

    ret_words[0] = GUINT64_TO_LE(word);
    ret_words[1] = 0;
}

/* The fields of a table of several context descriptors; ignored where there is but one. */
static const char *check_cd_table(const guint32 guest_idr[6], guint64 word0, guint64 word1,
                                  guint64 *ret_value)
{
    *ret_value = viommui_field_get(word0, STE0_S1CDMAX);
    if (*ret_value > viommui_field_get(guest_idr[1], IDR1_SSIDSIZE))
        return "S1CDMax";
    *ret_value = viommui_field_get(word0, STE0_S1FMT);
    if (*ret_value == S1FMT_RESERVED ||
        (*ret_value != S1FMT_LINEAR && !viommui_field_get(guest_idr[0], IDR0_CD2L)))
        return "S1Fmt";
    *ret_value = viommui_field_get(word1, STE1_S1DSS);
    return *ret_value == S1DSS_RESERVED ? "S1DSS" : NULL;
}

static ViommuiSte decode_s1(const guint32 guest_idr[6], const ViommuHostDeviceInfo *host,
                            guint64 word0, guint64 word1)
{
    guint64 keep0 = viommui_field_mask(STE0_V) | viommui_field_mask(STE0_CONFIG) |
                    viommui_field_mask(STE0_S1CONTEXTPTR);
    guint64 keep1 = viommui_field_mask(STE1_S1CIR) | viommui_field_mask(STE1_S1COR) |
                    viommui_field_mask(STE1_S1CSH);
    gboolean host_stalls =
        viommui_field_get(host->smmuv3.idr[0], IDR0_STALL_MODEL) == STALL_MODEL_BOTH;
    /* A device that cannot have ATS sends no translation requests to be let through. */
    gboolean has_ats = viommui_field_get(guest_idr[0], IDR0_ATS) && !host->ats_unavailable;
    guint64 eats = has_ats ? viommui_field_get(word1, STE1_EATS) : EATS_ABORT;
    ViommuiSte ste = {.kind = VIOMMUI_STE_S1, .ats = eats == EATS_TRANSLATE};

    if (eats != EATS_ABORT && eats != EATS_TRANSLATE)
        return illegal("EATS", eats);
    if (viommui_field_get(word0, STE0_S1CDMAX)) {
        guint64 value;
        const char *why = check_cd_table(guest_idr, word0, word1, &value);

        if (why)
            return illegal(why, value);
        keep0 |= viommui_field_mask(STE0_S1FMT) | viommui_field_mask(STE0_S1CDMAX);
        keep1 |= viommui_field_mask(STE1_S1DSS);
    }
    /* Faults terminate, even where the host could stall: the guest was told so. */
    word1 = viommui_field_set(word1 & keep1, STE1_EATS, eats);
    word1 = viommui_field_set(word1, STE1_S1STALLD, host_stalls);
    ste.words[0] = GUINT64_TO_LE(word0 & keep0);
    ste.words[1] = GUINT64_TO_LE(word1);
    return ste;
}

ViommuiSte viommui_smmuv3_decode_ste(const guint32 guest_idr[6],
                                     const ViommuHostDeviceInfo *host, const guint8 *bytes)
{
    static const ViommuiSte abort = {.kind = VIOMMUI_STE_ABORT};
    static const ViommuiSte bypass = {.kind = VIOMMUI_STE_BYPASS};
    guint64 word0, config;

    if (!bytes)
        return abort;
    word0 = read_word(bytes, 0);
    if (!viommui_field_get(word0, STE0_V))
        return abort;
    config = viommui_field_get(word0, STE0_CONFIG);
    if (config < CONFIG_BYPASS) /* 0b0xx, whatever the lower bits */
        return abort;
    if (config == CONFIG_BYPASS)
        return bypass;
    if (config == CONFIG_S1)
        return decode_s1(guest_idr, host, word0, read_word(bytes, 1));
    return illegal("Config", config);
}
