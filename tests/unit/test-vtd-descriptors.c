/* SPDX-License-Identifier: MIT */
/*
 * Invalidation descriptors of VT-d bit by bit: each that the architecture defines is taken,
 * and each that it reserves is an error. Fields are from the manual, 6.5.2.1 to 6.5.2.9.
 */
#include "vendors/intel/vtd.h"

#include <string.h>

#include "tap.h"

typedef struct {
    guint last, first; /* bits of 256 */
} Range;

typedef struct {
    const char *name;
    guint type;
    guint granularity; /* one that is legal, in bits 5:4; 0: there is no such field */
    Range fields[12];  /* besides; they end with 0, 0 */
} Type;

static const Type types[] = {
    {"context-cache", DESC_CONTEXT_CACHE, 1, {{31, 16}, {47, 32}, {49, 48}}},
    {"IOTLB", DESC_IOTLB, 1, {{6, 6}, {7, 7}, {31, 16}, {69, 64}, {70, 70}, {127, 76}}},
    {"device-TLB",
     DESC_DEVICE_TLB,
     0,
     {{15, 12}, {20, 16}, {47, 32}, {63, 52}, {64, 64}, {127, 76}}},
    {"interrupt entry cache", DESC_INTERRUPT_ENTRY_CACHE, 0, {{4, 4}, {31, 27}, {47, 32}}},
    {"wait", DESC_WAIT, 0, {{4, 4}, {5, 5}, {6, 6}, {7, 7}, {63, 32}, {127, 66}}},
    {"PASID-based IOTLB",
     DESC_PASID_IOTLB,
     2,
     {{31, 16}, {51, 32}, {69, 64}, {70, 70}, {127, 76}}},
    {"PASID-cache", DESC_PASID_CACHE, 3, {{31, 16}, {51, 32}}},
    {"PASID-based device-TLB",
     DESC_PASID_DEVICE_TLB,
     0,
     {{8, 4}, {15, 12}, {31, 16}, {51, 32}, {63, 52}, {64, 64}, {75, 75}, {127, 76}}},
    {"page group response",
     DESC_PAGE_GROUP_RESPONSE,
     0,
     {{4, 4}, {5, 5}, {15, 12}, {31, 16}, {51, 32}, {66, 66}, {75, 67}, {255, 128}}},
};

static gboolean is_known(const Type *type, guint bit)
{
    for (const Range *range = type->fields; range->last; range++)
        if (bit >= range->first && bit <= range->last)
            return TRUE;
    return FALSE;
}

static ViommuiDescriptor decode(guint64 words[4])
{
    guint64 ecap = 0;

    for (guint i = 0; i < 4; i++)
        words[i] = GUINT64_TO_LE(words[i]);
    ecap = viommui_field_set(ecap, ECAP_DT, 1);
    ecap = viommui_field_set(ecap, ECAP_PRS, 1);
    ecap = viommui_field_set(ecap, ECAP_PDS, 1);
    ecap = viommui_field_set(ecap, ECAP_SMTS, 1);
    return viommui_vtd_decode_descriptor(viommui_field_set(0, CAP_MAMV, 63), ecap,
                                         TTM_SCALABLE, (const guint8 *)words);
}

static void test_bits(const Type *type)
{
    guint n_taken = 0, n_refused = 0, wrong = G_MAXUINT;

    for (guint bit = 0; bit < 256; bit++) {
        guint64 words[4] = {type->type | type->granularity << 4};
        ViommuiDescriptor descriptor;
        gboolean legal, known = is_known(type, bit);

        /* The type and granularity are settled. */
        if (bit < 4 || (bit >= 9 && bit <= 11) ||
            (type->granularity && (bit == 4 || bit == 5)))
            continue;
        words[bit / 64] |= 1ull << bit % 64;
        descriptor = decode(words);
        legal = descriptor.kind != VIOMMUI_DESCRIPTOR_ILLEGAL;
        n_taken += legal;
        n_refused += !legal;
        if (legal != known || (!legal && descriptor.error != IQEI_RESERVED))
            wrong = MIN(wrong, bit);
    }
    tap_ok(wrong == G_MAXUINT && n_taken && n_refused,
           "%s: %u bits are taken, %u are reserved", type->name, n_taken, n_refused);
    if (wrong != G_MAXUINT)
        tap_note("bit %u", wrong);
}

int main(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        test_bits(&types[i]);
    return tap_done();
}
