/* SPDX-License-Identifier: MIT */
/*
 * One translation by the guest's tables: is a context descriptor legal (5.4), and where do
 * its VMSAv8-64 tables of 4, 16 or 64 KiB granules lead?
 *
 * Invariants: pure but for memory, which is read one descriptor a level, once; at most four
 * levels. Faults are judged in the architecture's order: translation, address size,
 * access flag, permission. Addresses are at most 48 bits; there is no HTTU, no contiguous
 * hint taken, no HAD, E0PD or small tables, as ID registers say.
 *
 * Up the path: configuration.c and translate.c. Down: ViommuServices.read_memory.
 */

#include "vsmmu.h"

enum { MAX_ADDRESS_BITS = 48, VA_BITS = 56, TTB1_SELECT = 55, LAST_LEVEL = 3 };

/* One half of the address space, as a context descriptor has it. */
typedef struct {
    gboolean disabled;
    gboolean ignores_top_byte;
    guint granule_bits; /* 0: a reserved granule */
    guint tsz;
    guint64 ttb;
} Half;

typedef struct {
    const ViommuServices *services;
    const guint64 *cd;
    Half half;
    guint64 va;
    guint output_bits;
    guint level;
    guint64 table;
    /* What the tables on the way took away. */
    gboolean no_el0;
    gboolean read_only;
    gboolean no_unprivileged_execute;
    gboolean no_privileged_execute;
} Walk;

static gboolean has(guint64 word, ViommuiField field)
{
    return viommui_field_get(word, field) != 0;
}

static guint64 mask_below(guint bits)
{
    return (1ull << bits) - 1;
}

/* Bits high - 1 to low, in place. */
static guint64 keep_bits(guint64 word, guint high, guint low)
{
    return word & mask_below(high) & ~mask_below(low);
}

guint viommui_smmuv3_address_bits(guint32 idr5)
{
    static const guint8 bits[8] = {32, 36, 40, 42, 44, 48, 48, 48};

    return bits[viommui_field_get(idr5, IDR5_OAS)];
}

/* CD.IPS has the encoding of IDR5.OAS, which caps it. */
static guint output_bits(const guint64 cd[8], guint32 idr5)
{
    guint ips = viommui_smmuv3_address_bits((guint32)viommui_field_get(cd[0], CD0_IPS));

    return MIN(ips, viommui_smmuv3_address_bits(idr5));
}

static Half decode_half(const guint64 cd[8], gboolean upper)
{
    static const guint8 tg0[4] = {12, 16, 14, 0};
    static const guint8 tg1[4] = {0, 14, 12, 16};

    if (upper)
        return (Half){.disabled = has(cd[0], CD0_EPD1),
                      .ignores_top_byte = has(cd[0], CD0_TBI1),
                      .granule_bits = tg1[viommui_field_get(cd[0], CD0_TG1)],
                      .tsz = (guint)viommui_field_get(cd[0], CD0_T1SZ),
                      .ttb = cd[2] & viommui_field_mask(CD_TTB)};
    return (Half){.disabled = has(cd[0], CD0_EPD0),
                  .ignores_top_byte = has(cd[0], CD0_TBI0),
                  .granule_bits = tg0[viommui_field_get(cd[0], CD0_TG0)],
                  .tsz = (guint)viommui_field_get(cd[0], CD0_T0SZ),
                  .ttb = cd[1] & viommui_field_mask(CD_TTB)};
}

/* --- context descriptors ----------------------------------------------------------------
 */

static gboolean is_granule_offered(guint32 idr5, guint granule_bits)
{
    switch (granule_bits) {
    case 12:
        return has(idr5, IDR5_GRAN4K);
    case 14:
        return has(idr5, IDR5_GRAN16K);
    case 16:
        return has(idr5, IDR5_GRAN64K);
    default:
        return FALSE;
    }
}

static gboolean is_legal_half(const guint64 cd[8], guint32 idr5, gboolean upper)
{
    Half half = decode_half(cd, upper);

    return half.disabled ||
           (is_granule_offered(idr5, half.granule_bits) && half.tsz >= TXSZ_MIN &&
            half.tsz <= TXSZ_MAX && !(half.ttb >> output_bits(cd, idr5)));
}

/* TTENDIAN; the field means nothing where no table is walked. */
static gboolean is_legal_endianness(guint32 idr0, guint64 word)
{
    gboolean big = has(word, CD0_ENDI);

    if (has(word, CD0_EPD0) && has(word, CD0_EPD1))
        return TRUE;
    switch (viommui_field_get(idr0, IDR0_TTENDIAN)) {
    case TTENDIAN_LITTLE:
        return !big;
    case TTENDIAN_BIG:
        return big;
    default:
        return TRUE;
    }
}

/* What becomes of a fault (5.5). */
static gboolean is_legal_fault_model(guint32 idr0, guint64 word)
{
    guint64 stall_model = viommui_field_get(idr0, IDR0_STALL_MODEL);
    gboolean stalls = has(word, CD0_S);

    if (has(idr0, IDR0_TERM_MODEL) && !has(word, CD0_A))
        return FALSE;
    if (stall_model == STALL_MODEL_TERMINATE)
        return !stalls;
    return stall_model != STALL_MODEL_FORCED || stalls;
}

gboolean viommui_smmuv3_is_legal_cd(const guint32 idr[6], const guint64 cd[8])
{
    guint64 word = cd[0];

    /* AArch64 tables only, no hardware updates of flags (IDR0.TTF, HTTU). */
    if (!has(word, CD0_V) || !has(word, CD0_AA64) || has(word, CD0_HA) || has(word, CD0_HD))
        return FALSE;
    if (!has(idr[0], IDR0_ASID16) && viommui_field_get(word, CD0_ASID) > 0xff)
        return FALSE;
    return is_legal_fault_model(idr[0], word) && is_legal_endianness(idr[0], word) &&
           is_legal_half(cd, idr[5], FALSE) && is_legal_half(cd, idr[5], TRUE);
}

/* --- tables -----------------------------------------------------------------------------
 */

/* Sign extension from bit 55 or, below that, from the top of the half (3.4.1). */
static gboolean is_in_half(const Half *half, gboolean upper, guint64 iova)
{
    guint64 above = upper ? ~iova : iova;

    if (half->disabled)
        return FALSE;
    if (half->ignores_top_byte)
        above &= mask_below(VA_BITS);
    return !(above >> (64 - half->tsz));
}

gboolean viommui_smmuv3_is_in_range(const guint64 cd[8], guint64 iova, guint64 *ret_va)
{
    gboolean upper = iova >> TTB1_SELECT & 1;
    Half half = decode_half(cd, upper);

    if (!is_in_half(&half, upper, iova))
        return FALSE;
    *ret_va = iova & mask_below(VA_BITS);
    return TRUE;
}

static guint level_shift(const Walk *walk, guint level)
{
    guint granule = walk->half.granule_bits;

    return granule + (granule - 3) * (LAST_LEVEL - level);
}

static void start(Walk *walk)
{
    guint stride = walk->half.granule_bits - 3;
    guint size_bits = 64 - walk->half.tsz;
    guint index_bits;

    walk->level =
        LAST_LEVEL + 1 - (size_bits - walk->half.granule_bits + stride - 1) / stride;
    /* The first table may be small; its base is taken as aligned to its size. */
    index_bits = size_bits - level_shift(walk, walk->level);
    walk->table = walk->half.ttb & ~mask_below(index_bits + 3);
}

static guint64 descriptor_address(const Walk *walk)
{
    guint shift = level_shift(walk, walk->level);
    guint top = MIN(shift + walk->half.granule_bits - 3, 64 - walk->half.tsz);

    return walk->table + (keep_bits(walk->va, top, shift) >> shift) * sizeof(guint64);
}

static gboolean read_descriptor(const Walk *walk, guint64 address, guint64 *ret_descriptor)
{
    const ViommuServices *services = walk->services;

    if (!services->read_memory(address, ret_descriptor, sizeof *ret_descriptor,
                               services->user_data))
        return FALSE;
    *ret_descriptor = has(walk->cd[0], CD0_ENDI) ? GUINT64_FROM_BE(*ret_descriptor)
                                                 : GUINT64_FROM_LE(*ret_descriptor);
    return TRUE;
}

static ViommuiWalkResult descend(Walk *walk, guint64 descriptor)
{
    walk->table = keep_bits(descriptor, MAX_ADDRESS_BITS, walk->half.granule_bits);
    if (walk->table >> walk->output_bits)
        return VIOMMUI_WALK_ADDR_SIZE;
    walk->no_el0 |= has(descriptor, DESC_APT_NOEL0);
    walk->read_only |= has(descriptor, DESC_APT_RO);
    walk->no_unprivileged_execute |= has(descriptor, DESC_UXNTABLE);
    walk->no_privileged_execute |= has(descriptor, DESC_PXNTABLE);
    walk->level++;
    return VIOMMUI_WALK_OK;
}

static guint data_access(gboolean readable, gboolean writable)
{
    return (readable ? VIOMMU_ACCESS_READ : 0) | (writable ? VIOMMU_ACCESS_WRITE : 0);
}

/* Both privileges' permissions (Arm ARM, D8.4): the EL1&0 regime. */
static guint permissions(const Walk *walk, guint64 descriptor)
{
    gboolean writable = !walk->read_only && !has(descriptor, DESC_AP_RO);
    gboolean el0 = !walk->no_el0 && has(descriptor, DESC_AP_EL0);
    gboolean wxn = has(walk->cd[0], CD0_WXN);
    gboolean pan = el0 && has(walk->cd[0], CD0_PAN);
    guint unprivileged = data_access(el0, el0 && writable);
    guint privileged = data_access(!pan, writable && !pan);

    if (!walk->no_unprivileged_execute && !has(descriptor, DESC_UXN) &&
        !(wxn && el0 && writable))
        unprivileged |= VIOMMU_ACCESS_EXECUTE;
    /* What the unprivileged can write, the privileged must not execute. */
    if (!walk->no_privileged_execute && !has(descriptor, DESC_PXN) && !(el0 && writable) &&
        !(wxn && writable))
        privileged |= VIOMMU_ACCESS_EXECUTE;
    return unprivileged | privileged << VIOMMUI_PRIVILEGED_SHIFT;
}

guint viommui_smmuv3_allowed(guint access_of_both, ViommuAccess access)
{
    if (access & VIOMMU_ACCESS_PRIVILEGED)
        access_of_both >>= VIOMMUI_PRIVILEGED_SHIFT;
    return access_of_both &
           (VIOMMU_ACCESS_READ | VIOMMU_ACCESS_WRITE | VIOMMU_ACCESS_EXECUTE);
}

static ViommuiWalkResult finish(const Walk *walk, guint64 descriptor, guint64 iova,
                                ViommuAccess access, ViommuiWalk *ret_walk)
{
    guint asked =
        access & (VIOMMU_ACCESS_READ | VIOMMU_ACCESS_WRITE | VIOMMU_ACCESS_EXECUTE);
    guint shift = level_shift(walk, walk->level);
    guint64 output = keep_bits(descriptor, MAX_ADDRESS_BITS, shift);

    if (output >> walk->output_bits)
        return VIOMMUI_WALK_ADDR_SIZE;
    if (!has(descriptor, DESC_AF) && !has(walk->cd[0], CD0_AFFD))
        return VIOMMUI_WALK_ACCESS;
    *ret_walk = (ViommuiWalk){.output = output,
                              .input = iova & ~mask_below(shift),
                              .size = 1ull << shift,
                              .access = permissions(walk, descriptor),
                              .global = !has(descriptor, DESC_NG),
                              .level = walk->level};
    return asked & ~viommui_smmuv3_allowed(ret_walk->access, access)
               ? VIOMMUI_WALK_PERMISSION
               : VIOMMUI_WALK_OK;
}

/* A block stands at level 2; with 4 KiB granules at level 1 too. */
static gboolean is_leaf(const Walk *walk, guint64 descriptor)
{
    if (walk->level == LAST_LEVEL)
        return has(descriptor, DESC_TABLE);
    return !has(descriptor, DESC_TABLE) &&
           (walk->level == 2 || (walk->level == 1 && walk->half.granule_bits == 12));
}

ViommuiWalkResult viommui_smmuv3_walk(const ViommuServices *services, const guint64 cd[8],
                                      guint32 idr5, guint64 iova, ViommuAccess access,
                                      ViommuiWalk *ret_walk, guint64 *ret_fetch)
{
    Walk walk = {.services = services,
                 .cd = cd,
                 .half = decode_half(cd, iova >> TTB1_SELECT & 1),
                 .output_bits = output_bits(cd, idr5)};

    if (!viommui_smmuv3_is_in_range(cd, iova, &walk.va))
        return VIOMMUI_WALK_TRANSLATION;
    for (start(&walk);;) {
        guint64 address = descriptor_address(&walk), descriptor;
        ViommuiWalkResult result;

        if (!read_descriptor(&walk, address, &descriptor)) {
            *ret_fetch = address;
            return VIOMMUI_WALK_EABT;
        }
        if (!has(descriptor, DESC_VALID))
            return VIOMMUI_WALK_TRANSLATION;
        if (is_leaf(&walk, descriptor))
            return finish(&walk, descriptor, iova, access, ret_walk);
        if (walk.level == LAST_LEVEL || !has(descriptor, DESC_TABLE))
            return VIOMMUI_WALK_TRANSLATION; /* reserved here */
        result = descend(&walk, descriptor);
        if (result != VIOMMUI_WALK_OK)
            return result;
    }
}
