/* SPDX-License-Identifier: MIT */
/*
 * Invalidation descriptors (VT-d 6.5.2): what the guest wrote, and whether it is legal.
 * Pure functions of their arguments.
 *
 * Down the path: nothing. Beside: the acceleration layer, and the front end's queue.
 */

#include "vtd.h"

#include <string.h>

enum { WORDS = 4, PAGE_BITS = 12, MAX_MASK = 52 };

static gboolean offers(guint64 word, ViommuiField field)
{
    return viommui_field_get(word, field) != 0;
}

static void refuse(ViommuiDescriptor *descriptor, guint8 error, const char *why)
{
    descriptor->kind = VIOMMUI_DESCRIPTOR_ILLEGAL;
    descriptor->error = error;
    descriptor->why = why;
}

void viommui_vtd_mask_range(guint64 address, guint mask, guint64 *ret_first,
                            guint64 *ret_last)
{
    guint64 below = mask >= MAX_MASK ? G_MAXUINT64 : (1ull << (mask + PAGE_BITS)) - 1;

    *ret_first = address & ~below;
    *ret_last = address | below;
}

/* An address of a device-TLB invalidation says its size by its lowest 0, if S is set. */
static void size_range(guint64 address, gboolean sized, guint64 *ret_first,
                       guint64 *ret_last)
{
    guint64 page = address >> PAGE_BITS;
    guint mask = 0;

    if (sized)
        for (mask = 1; page & 1; page >>= 1)
            mask++;
    viommui_vtd_mask_range(address & viommui_field_mask(DESC1_ADDR), mask, ret_first,
                           ret_last);
}

/* --- by type ----------------------------------------------------------------------------
 */

static void decode_context_cache(const guint64 *word, ViommuiDescriptor *descriptor)
{
    static const ViommuiGranularity granularity[] = {
        [G_GLOBAL] = VIOMMUI_GRANULARITY_GLOBAL,
        [G_DOMAIN] = VIOMMUI_GRANULARITY_DOMAIN,
        [G_DEVICE] = VIOMMUI_GRANULARITY_DEVICE,
    };
    /* 6.5.1.1: none, bit 2, bits 2:1, bits 2:0 */
    static const guint8 function_mask[] = {0, 4, 6, 7};
    guint g = viommui_field_get(word[0], DESC0_G);

    descriptor->kind = VIOMMUI_DESCRIPTOR_CONTEXT_CACHE;
    descriptor->granularity = granularity[g];
    descriptor->rid = viommui_field_get(word[0], CC0_SID);
    descriptor->function_mask = function_mask[viommui_field_get(word[0], CC0_FM)];
    if (!g)
        refuse(descriptor, IQEI_RESERVED, "granularity 0 of a context-cache invalidation");
}

static void decode_iotlb(guint64 cap, const guint64 *word, ViommuiDescriptor *descriptor)
{
    static const ViommuiGranularity granularity[] = {
        [G_GLOBAL] = VIOMMUI_GRANULARITY_GLOBAL,
        [G_DOMAIN] = VIOMMUI_GRANULARITY_DOMAIN,
        [G_PAGE] = VIOMMUI_GRANULARITY_PAGE,
    };
    guint g = viommui_field_get(word[0], DESC0_G);
    guint mask = viommui_field_get(word[1], DESC1_AM);

    descriptor->kind = VIOMMUI_DESCRIPTOR_IOTLB;
    descriptor->granularity = granularity[g];
    descriptor->leaf = offers(word[1], DESC1_IH);
    viommui_vtd_mask_range(word[1] & viommui_field_mask(DESC1_ADDR), mask,
                           &descriptor->first, &descriptor->last);
    if (!g)
        refuse(descriptor, IQEI_RESERVED, "granularity 0 of an IOTLB invalidation");
    else if (g == G_PAGE && mask > viommui_field_get(cap, CAP_MAMV))
        refuse(descriptor, IQEI_RESERVED, "address mask beyond CAP.MAMV");
}

static void decode_pasid_iotlb(const guint64 *word, ViommuiDescriptor *descriptor)
{
    guint g = viommui_field_get(word[0], DESC0_G);

    descriptor->kind = VIOMMUI_DESCRIPTOR_PASID_IOTLB;
    descriptor->granularity =
        g == P_IOTLB_PAGE ? VIOMMUI_GRANULARITY_PAGE : VIOMMUI_GRANULARITY_PASID;
    descriptor->leaf = g == P_IOTLB_PAGE && offers(word[1], DESC1_IH);
    viommui_vtd_mask_range(word[1] & viommui_field_mask(DESC1_ADDR),
                           viommui_field_get(word[1], DESC1_AM), &descriptor->first,
                           &descriptor->last);
    if (g != P_IOTLB_PASID && g != P_IOTLB_PAGE)
        refuse(descriptor, IQEI_RESERVED,
               "reserved granularity of a PASID-based IOTLB invalidation");
}

static void decode_pasid_cache(const guint64 *word, ViommuiDescriptor *descriptor)
{
    guint g = viommui_field_get(word[0], DESC0_G);

    descriptor->kind = VIOMMUI_DESCRIPTOR_PASID_CACHE;
    descriptor->granularity = g == PC_DOMAIN  ? VIOMMUI_GRANULARITY_DOMAIN
                              : g == PC_PASID ? VIOMMUI_GRANULARITY_PASID
                                              : VIOMMUI_GRANULARITY_GLOBAL;
    if (g != PC_DOMAIN && g != PC_PASID && g != PC_GLOBAL)
        refuse(descriptor, IQEI_RESERVED,
               "reserved granularity of a PASID-cache invalidation");
}

static void decode_device_tlb(const guint64 *word, ViommuiDescriptor *descriptor)
{
    gboolean by_pasid = descriptor->type == DESC_PASID_DEVICE_TLB;

    descriptor->kind = VIOMMUI_DESCRIPTOR_DEVICE_TLB;
    if (by_pasid) {
        descriptor->rid = viommui_field_get(word[0], P_DEVTLB0_SID);
        descriptor->has_pasid = !offers(word[1], P_DEVTLB1_G);
    } else {
        descriptor->rid = viommui_field_get(word[0], DEVTLB0_SID);
    }
    size_range(word[1], offers(word[1], by_pasid ? P_DEVTLB1_S : DEVTLB1_S),
               &descriptor->first, &descriptor->last);
}

static void decode_wait(const guint64 *word, ViommuiDescriptor *descriptor)
{
    descriptor->kind = VIOMMUI_DESCRIPTOR_WAIT;
    descriptor->drains = offers(word[0], WAIT0_PD);
    descriptor->interrupt = offers(word[0], WAIT0_IF);
    descriptor->status_write = offers(word[0], WAIT0_SW);
    descriptor->status_data = viommui_field_get(word[0], WAIT0_DATA);
    descriptor->status_address = word[1] & viommui_field_mask(WAIT1_ADDR);
}

static void decode_page_group_response(const guint64 *word, ViommuiDescriptor *descriptor)
{
    descriptor->kind = VIOMMUI_DESCRIPTOR_PAGE_GROUP_RESPONSE;
    descriptor->rid = viommui_field_get(word[0], PGRP0_SID);
    descriptor->has_pasid = offers(word[0], PGRP0_PASID_P);
    descriptor->group = viommui_field_get(word[1], PGRP1_PRGI);
    descriptor->success = viommui_field_get(word[0], PGRP0_CODE) == PGRP_SUCCESS;
}

static void decode_fields(guint64 cap, const guint64 *word, ViommuiDescriptor *descriptor)
{
    descriptor->did = viommui_field_get(word[0], DESC0_DID);
    descriptor->pasid = viommui_field_get(word[0], DESC0_PASID);
    switch (descriptor->type) {
    case DESC_CONTEXT_CACHE:
        decode_context_cache(word, descriptor);
        break;
    case DESC_IOTLB:
        decode_iotlb(cap, word, descriptor);
        break;
    case DESC_PASID_IOTLB:
        decode_pasid_iotlb(word, descriptor);
        break;
    case DESC_PASID_CACHE:
        decode_pasid_cache(word, descriptor);
        break;
    case DESC_DEVICE_TLB:
    case DESC_PASID_DEVICE_TLB:
        decode_device_tlb(word, descriptor);
        break;
    case DESC_WAIT:
        decode_wait(word, descriptor);
        break;
    case DESC_PAGE_GROUP_RESPONSE:
        decode_page_group_response(word, descriptor);
        break;
    default:
        descriptor->kind = VIOMMUI_DESCRIPTOR_COMPLETE;
    }
}

/* --- legality ---------------------------------------------------------------------------
 */

/* What may be set in each word, besides the type. */
static const guint64 known_bits[][WORDS] = {
    [DESC_CONTEXT_CACHE] = {0x0003ffffffff0030, 0},
    [DESC_IOTLB] = {0x00000000ffff00f0, 0xfffffffffffff07f},
    [DESC_DEVICE_TLB] = {0xfff0ffff001ff000, 0xfffffffffffff001},
    [DESC_INTERRUPT_ENTRY_CACHE] = {0x0000fffff8000010, 0},
    [DESC_WAIT] = {0xffffffff000000f0, 0xfffffffffffffffc},
    [DESC_PASID_IOTLB] = {0x000fffffffff0030, 0xfffffffffffff07f},
    [DESC_PASID_CACHE] = {0x000fffffffff0030, 0},
    [DESC_PASID_DEVICE_TLB] = {0xfffffffffffff1f0, 0xfffffffffffff801},
    /* with the device's private data */
    [DESC_PAGE_GROUP_RESPONSE] = {0x000ffffffffff030, 0xffc, G_MAXUINT64, G_MAXUINT64},
};

static gboolean is_offered(guint64 ecap, guint type)
{
    switch (type) {
    case DESC_CONTEXT_CACHE:
    case DESC_IOTLB:
    case DESC_INTERRUPT_ENTRY_CACHE:
    case DESC_WAIT:
        return TRUE;
    case DESC_DEVICE_TLB:
        return offers(ecap, ECAP_DT);
    case DESC_PASID_DEVICE_TLB:
        return offers(ecap, ECAP_DT) && offers(ecap, ECAP_SMTS);
    case DESC_PASID_IOTLB:
    case DESC_PASID_CACHE:
        return offers(ecap, ECAP_SMTS);
    case DESC_PAGE_GROUP_RESPONSE:
        return offers(ecap, ECAP_PRS);
    default:
        return FALSE;
    }
}

static gboolean has_unknown_bits(guint type, const guint64 word[WORDS])
{
    guint64 of_type = viommui_field_mask(DESC0_TYPE) | viommui_field_mask(DESC0_TYPE_HI);

    for (guint i = 0; i < WORDS; i++)
        if (word[i] & ~(known_bits[type][i] | (i ? 0 : of_type)))
            return TRUE;
    return FALSE;
}

static gboolean needs_scalable_mode(guint type)
{
    return type == DESC_PASID_IOTLB || type == DESC_PASID_CACHE ||
           type == DESC_PASID_DEVICE_TLB;
}

ViommuiDescriptor viommui_vtd_decode_descriptor(guint64 cap, guint64 ecap, guint ttm,
                                                const guint8 *bytes)
{
    ViommuiDescriptor descriptor = {0};
    guint64 word[WORDS];

    memcpy(word, bytes, sizeof word);
    for (guint i = 0; i < WORDS; i++)
        word[i] = GUINT64_FROM_LE(word[i]);
    descriptor.type = viommui_field_get(word[0], DESC0_TYPE) |
                      viommui_field_get(word[0], DESC0_TYPE_HI) << DESC0_TYPE.width;
    if (!is_offered(ecap, descriptor.type))
        refuse(&descriptor, IQEI_TYPE, "type");
    else if (needs_scalable_mode(descriptor.type) && ttm == TTM_LEGACY)
        refuse(&descriptor, IQEI_TTM, "type in legacy mode");
    else if (has_unknown_bits(descriptor.type, word))
        refuse(&descriptor, IQEI_RESERVED, "reserved bits");
    else
        decode_fields(cap, word, &descriptor);
    return descriptor;
}
