/* SPDX-License-Identifier: MIT */
/*
 * A context descriptor (5.4): is it legal on this SMMU, and what does it say?
 *
 * Up: smmuv3.c, which fetched the words. Down: nothing.
 */
#include "smmuv3.h"

#define CD0_TSZ0(w)   EMU_BITS64(w, 5, 0)
#define CD0_TG0(w)    EMU_BITS64(w, 7, 6)
#define CD0_EPD0      (1ULL << 14)
#define CD0_ENDI      (1ULL << 15)
#define CD0_TSZ1(w)   EMU_BITS64(w, 21, 16)
#define CD0_TG1(w)    EMU_BITS64(w, 23, 22)
#define CD0_EPD1      (1ULL << 30)
#define CD0_V         (1ULL << 31)
#define CD0_IPS(w)    EMU_BITS64(w, 34, 32)
#define CD0_AFFD      (1ULL << 35)
#define CD0_TBI0      (1ULL << 38)
#define CD0_TBI1      (1ULL << 39)
#define CD0_AA64      (1ULL << 41)
#define CD0_HD        (1ULL << 42)
#define CD0_HA        (1ULL << 43)
#define CD0_S         (1ULL << 44)
#define CD0_R         (1ULL << 45)
#define CD0_A         (1ULL << 46)
#define CD0_ASID(w)   EMU_BITS64(w, 63, 48)
#define CD12_HAD      (1ULL << 1)
#define CD12_TTB_MASK EMU_MASK64(51, 4)

/* IDR0.STALL_MODEL */
#define STALL_NEVER  1
#define STALL_ALWAYS 2

static const guint8 ips_table[8] = {32, 36, 40, 42, 44, 48, 52, 52};
static const guint8 tg0_table[4] = {12, 16, 14, 0};
static const guint8 tg1_table[4] = {0, 14, 12, 16};

static gboolean has_granule(const Smmuv3 *smmu, guint granule)
{
    guint32 idr5 = smmu->config.idr[5];

    switch (granule) {
    case 12:
        return !!(idr5 & SMMU_IDR5_GRAN4K);
    case 14:
        return !!(idr5 & SMMU_IDR5_GRAN16K);
    case 16:
        return !!(idr5 & SMMU_IDR5_GRAN64K);
    default:
        return FALSE;
    }
}

static gboolean decode_tt(const Smmuv3 *smmu, guint granule, guint64 tsz, guint64 word,
                          guint oa_bits, Smmuv3Tt *tt)
{
    guint min = granule == 16 && SMMU_IDR5_VAX(smmu->config.idr[5]) == 1 ? 12 : 16;

    if (tt->disabled) {
        return TRUE;
    }
    if (!has_granule(smmu, granule) || tsz < min || tsz > 39) {
        return FALSE;
    }
    tt->granule = granule;
    tt->size_bits = 64 - (guint)tsz;
    tt->had = (word & CD12_HAD) && (smmu->config.idr[3] & SMMU_IDR3_HAD);
    tt->ttb = word & CD12_TTB_MASK;
    return !(tt->ttb >> oa_bits);
}

/* Fields whose illegal values do not depend on the tables. */
static gboolean is_legal(const Smmuv3 *smmu, const guint64 ste[2], guint64 word)
{
    guint32 idr0 = smmu->config.idr[0];
    guint64 stall = SMMU_IDR0_STALL(idr0);

    if (!(word & CD0_V) || !(word & CD0_AA64)) {
        return FALSE;
    }
    if (!(word & CD0_A) && (idr0 & SMMU_IDR0_TERM_MODEL)) {
        return FALSE;
    }
    if (word & CD0_S ? stall == STALL_NEVER || (ste[1] & STE1_S1STALLD)
                     : stall == STALL_ALWAYS) {
        return FALSE;
    }
    /* Hardware updates of access flag and dirty state are not modelled. */
    if (word & (CD0_HA | CD0_HD)) {
        return FALSE;
    }
    if (!(idr0 & SMMU_IDR0_ASID16) && CD0_ASID(word) > 0xff) {
        return FALSE;
    }
    switch (SMMU_IDR0_TTENDIAN(idr0)) {
    case 0:
        return TRUE;
    case 2:
        return !(word & CD0_ENDI);
    default:
        return !!(word & CD0_ENDI);
    }
}

gboolean viommui_emu_smmuv3_decode_cd(const Smmuv3 *smmu, const guint64 ste[2],
                                      const guint64 words[8], Smmuv3Cd *ret_cd)
{
    guint64 word = words[0];
    Smmuv3Cd cd = {
        /* A stalled fault goes to the page fault path, not to a vEVENTQ. */
        .record = (word & CD0_R) && !(word & CD0_S),
        .affd = !!(word & CD0_AFFD),
        .big_endian = !!(word & CD0_ENDI),
        .asid = (guint16)CD0_ASID(word),
        .oa_bits = MIN(ips_table[CD0_IPS(word)], smmu->oas_bits),
        .tt = {{.disabled = !!(word & CD0_EPD0), .tbi = !!(word & CD0_TBI0)},
               {.disabled = !!(word & CD0_EPD1), .tbi = !!(word & CD0_TBI1)}},
    };

    if (!is_legal(smmu, ste, word) ||
        !decode_tt(smmu, tg0_table[CD0_TG0(word)], CD0_TSZ0(word), words[1], cd.oa_bits,
                   &cd.tt[0]) ||
        !decode_tt(smmu, tg1_table[CD0_TG1(word)], CD0_TSZ1(word), words[2], cd.oa_bits,
                   &cd.tt[1])) {
        return FALSE;
    }
    *ret_cd = cd;
    return TRUE;
}
