/* SPDX-License-Identifier: MIT */
/*
 * Emulated endpoints: read sections, translations through the IOTLB, and the faults that
 * the guest is told of; and what the guest's TLBI and ATC_INV mean for them.
 *
 * Invariants: what a section reads of registers and tables is not changed while it lasts,
 * and what it puts into a cache is there before an invalidation that waited for it. The
 * IOTLB knows addresses by bits 55:0 and spaces by ASID. Nothing is allocated on a hit.
 *
 * Up the path: the VMM's endpoints; command-queue.c. Down: configuration.c, walk.c,
 * core/iotlb.c, core/sections.c; event-queue.c.
 */

#include "vsmmu.h"

#include <string.h>

enum { IOTLB_ENTRIES = 65536 };
enum { VA_BITS = 56, PAGE_BITS = 12, ALL_ORDERS = 64 };

/* --- sections ---------------------------------------------------------------------------
 */

void viommui_smmuv3_endpoints_init(ViommuSmmuv3 *smmu)
{
    smmu->sections = viommui_sections_new();
    smmu->endpoints = viommui_endpoints_new(&smmu->config.services);
    smmu->iotlb = viommui_iotlb_new(IOTLB_ENTRIES);
    smmu->configurations = viommui_configurations_new(sizeof(ViommuiSmmuv3Configuration));
}

void viommui_smmuv3_endpoints_clear(ViommuSmmuv3 *smmu)
{
    viommui_configurations_free(smmu->configurations);
    viommui_iotlb_free(smmu->iotlb);
    viommui_endpoints_free(smmu->endpoints);
    viommui_sections_free(smmu->sections);
}

void viommui_smmuv3_begin_change(ViommuSmmuv3 *smmu)
{
    viommui_sections_begin_change(smmu->sections);
}

void viommui_smmuv3_end_change(ViommuSmmuv3 *smmu)
{
    viommui_sections_end_change(smmu->sections);
}

void viommu_smmuv3_enter(ViommuSmmuv3 *smmu)
{
    viommui_sections_enter(smmu->sections);
}

void viommu_smmuv3_exit(ViommuSmmuv3 *smmu)
{
    viommui_sections_exit(smmu->sections);
    if (G_UNLIKELY(g_atomic_int_get(&smmu->owed)))
        viommui_smmuv3_deliver_interrupts(smmu);
}

/* --- faults -----------------------------------------------------------------------------
 */

/* One transaction. */
typedef struct {
    ViommuSmmuv3 *smmu;
    guint32 sid;
    guint32 ssid;
    guint64 iova;
    ViommuAccess access;
} Transaction;

static void record(const Transaction *t, guint id, guint class, guint64 fetch)
{
    gboolean write = !!(t->access & VIOMMU_ACCESS_WRITE);
    gboolean execute = !write && t->access & VIOMMU_ACCESS_EXECUTE;
    guint64 words[4];

    if (t->access & VIOMMU_ACCESS_PEEK)
        return;
    viommui_smmuv3_make_event(id, t->sid, t->ssid, words);
    words[1] =
        viommui_field_set(words[1], EVENT1_PNU, !!(t->access & VIOMMU_ACCESS_PRIVILEGED));
    words[1] = viommui_field_set(words[1], EVENT1_IND, execute);
    words[1] = viommui_field_set(words[1], EVENT1_RNW, !write);
    words[1] = viommui_field_set(words[1], EVENT1_CLASS, class);
    words[2] = t->iova;
    words[3] = viommui_field_set(words[3], EVENT3_FETCHADDR, fetch >> 3);
    for (guint i = 0; i < G_N_ELEMENTS(words); i++)
        words[i] = GUINT64_TO_LE(words[i]);
    viommui_smmuv3_record_event(t->smmu, (const guint8 *)words);
}

/* Faults of a walk: R says whether the guest hears of all but EABT (5.5). */
static ViommuResult fail_walk(const Transaction *t, const guint64 *cd,
                              ViommuiWalkResult result, guint64 fetch)
{
    static const guint8 ids[] = {
        [VIOMMUI_WALK_TRANSLATION] = EVENT_F_TRANSLATION,
        [VIOMMUI_WALK_ADDR_SIZE] = EVENT_F_ADDR_SIZE,
        [VIOMMUI_WALK_ACCESS] = EVENT_F_ACCESS,
        [VIOMMUI_WALK_PERMISSION] = EVENT_F_PERMISSION,
    };

    if (result == VIOMMUI_WALK_EABT)
        record(t, EVENT_F_WALK_EABT, CLASS_TT, fetch);
    else if (viommui_field_get(cd[0], CD0_R))
        record(t, ids[result], CLASS_IN, 0);
    return VIOMMU_GUEST_INVALID;
}

/* --- translations -----------------------------------------------------------------------
 */

/* Where it ends, and what is there; a translation has doorbell or memory, never both. */
static void fill(const Transaction *t, guint64 gpa, guint64 length, guint access,
                 ViommuTranslation *ret_translation)
{
    const ViommuSmmuv3Config *config = &t->smmu->config;
    guint64 doorbell = config->msi_doorbell, size = config->msi_doorbell_size;
    gboolean is_msi = gpa - doorbell < size;

    if (is_msi)
        length = MIN(length, size - (gpa - doorbell));
    else if (size && gpa < doorbell)
        length = MIN(length, doorbell - gpa);
    *ret_translation = (ViommuTranslation){
        .gpa = gpa, .length = length, .access = access, .is_msi = is_msi};
}

/* No stage translates: what goes in comes out, if it is an address at all (3.4). */
static ViommuResult bypass(const Transaction *t, ViommuTranslation *ret_translation)
{
    guint64 size = 1ull << viommui_smmuv3_address_bits(t->smmu->regs.idr[5]);

    if (t->iova >= size) {
        if (viommui_field_get(t->smmu->regs.cr0, CR0_SMMUEN))
            record(t, EVENT_F_ADDR_SIZE, CLASS_IN, 0);
        return VIOMMU_GUEST_INVALID;
    }
    fill(t, t->iova, size - t->iova,
         VIOMMU_ACCESS_READ | VIOMMU_ACCESS_WRITE | VIOMMU_ACCESS_EXECUTE, ret_translation);
    return VIOMMU_OK;
}

static ViommuiWalkResult walk(const Transaction *t,
                              const ViommuiSmmuv3Configuration *configuration, guint64 va,
                              ViommuiIotlbEntry *ret_entry, guint64 *ret_fetch)
{
    ViommuiWalk found;
    ViommuiWalkResult result =
        viommui_smmuv3_walk(&t->smmu->config.services, configuration->cd,
                            t->smmu->regs.idr[5], t->iova, t->access, &found, ret_fetch);

    if (result != VIOMMUI_WALK_OK && result != VIOMMUI_WALK_PERMISSION)
        return result;
    *ret_entry = (ViommuiIotlbEntry){.input = va & ~(found.size - 1),
                                     .output = found.output,
                                     .order = (guint)__builtin_ctzll(found.size),
                                     .access = found.access,
                                     .level = found.level,
                                     .global = found.global};
    viommui_iotlb_insert(t->smmu->iotlb, configuration->asid, ret_entry);
    return VIOMMUI_WALK_OK;
}

static ViommuResult translate(const Transaction *t,
                              const ViommuiSmmuv3Configuration *configuration,
                              ViommuTranslation *ret_translation)
{
    guint asked =
        t->access & (VIOMMU_ACCESS_READ | VIOMMU_ACCESS_WRITE | VIOMMU_ACCESS_EXECUTE);
    const guint64 *cd = configuration->cd;
    guint64 va, offset, fetch = 0;
    ViommuiIotlbEntry entry;
    guint allowed;

    if (!viommui_smmuv3_is_in_range(cd, t->iova, &va))
        return fail_walk(t, cd, VIOMMUI_WALK_TRANSLATION, 0);
    if (!viommui_iotlb_lookup(t->smmu->iotlb, configuration->asid, va, &entry)) {
        ViommuiWalkResult result = walk(t, configuration, va, &entry, &fetch);

        if (result != VIOMMUI_WALK_OK)
            return fail_walk(t, cd, result, fetch);
    }
    allowed = viommui_smmuv3_allowed(entry.access, t->access);
    if (asked & ~allowed)
        return fail_walk(t, cd, VIOMMUI_WALK_PERMISSION, 0);
    offset = va - entry.input;
    fill(t, entry.output + offset, (1ull << entry.order) - offset, allowed,
         ret_translation);
    return VIOMMU_OK;
}

ViommuResult viommu_smmuv3_translate(ViommuSmmuv3 *smmu, guint32 sid, guint32 ssid,
                                     guint64 iova, ViommuAccess access,
                                     ViommuTranslation *ret_translation)
{
    const Transaction t = {smmu, sid, ssid, iova, access};
    ViommuiSmmuv3Configuration configuration;

    viommui_smmuv3_get_configuration(smmu, sid, ssid, &configuration);
    switch (configuration.kind) {
    case VIOMMUI_CONFIGURATION_BYPASS:
        return bypass(&t, ret_translation);
    case VIOMMUI_CONFIGURATION_TRANSLATE:
        return translate(&t, &configuration, ret_translation);
    case VIOMMUI_CONFIGURATION_FAULT:
        if (!(access & VIOMMU_ACCESS_PEEK))
            viommui_smmuv3_record_event(smmu, configuration.event);
        return VIOMMU_GUEST_INVALID;
    default:
        return VIOMMU_GUEST_INVALID;
    }
}

/* --- invalidation -----------------------------------------------------------------------
 */

/*
 * What a TLBI by address covers, of bits 55:0: one address of any granule, or a range of
 * (NUM + 1) * 2^SCALE granules (4.4.1.1). TTL and Leaf are hints that need not be taken.
 */
static void decode_range(const guint32 idr[6], const guint64 word[2], guint64 *ret_first,
                         guint64 *ret_last)
{
    const guint64 top = (1ull << VA_BITS) - 1;
    guint64 address = word[1] & viommui_field_mask(CMD1_ADDRESS) & top;
    guint64 tg = viommui_field_get(word[1], CMD1_TLBI_TG);
    guint64 scale = viommui_field_get(word[0], CMD0_TLBI_SCALE);
    guint64 pages = viommui_field_get(word[0], CMD0_TLBI_NUM) + 1;
    guint granule_bits = PAGE_BITS;

    if (viommui_field_get(idr[3], IDR3_RIL) && tg != TG_NONE)
        granule_bits = PAGE_BITS + 2 * ((guint)tg - 1);
    else
        pages = 1, scale = 0;
    *ret_first = address >> granule_bits << granule_bits;
    /* A scale beyond what is defined covers all; pages are 32 at most. */
    if (scale > SCALE_MAX_WITHOUT_DS ||
        (pages << scale << granule_bits) - 1 > top - *ret_first)
        *ret_last = top;
    else
        *ret_last = *ret_first + (pages << scale << granule_bits) - 1;
}

/* To endpoints an address of the upper half is sign-extended. */
static void tell_range(ViommuSmmuv3 *smmu, guint64 first, guint64 last)
{
    guint64 size = last - first + 1;

    if (first >> (VA_BITS - 1) & 1)
        first |= ~((1ull << VA_BITS) - 1);
    viommui_endpoints_tell(smmu->endpoints, 0, G_MAXUINT32, first, size);
}

void viommui_smmuv3_invalidate_iotlb(ViommuSmmuv3 *smmu, guint opcode,
                                     const guint64 word[2])
{
    guint64 asid = viommui_field_get(word[0], CMD0_TLBI_ASID);
    guint64 first = 0, last = G_MAXUINT64;

    if (!viommui_field_get(smmu->regs.idr[0], IDR0_ASID16))
        asid &= 0xff;
    switch (opcode) {
    case CMD_TLBI_NH_ASID:
        viommui_iotlb_invalidate_space(smmu->iotlb, asid);
        break;
    case CMD_TLBI_NH_VA:
    case CMD_TLBI_NH_VAA:
        decode_range(smmu->regs.idr, word, &first, &last);
        viommui_iotlb_invalidate_range(smmu->iotlb, asid, opcode == CMD_TLBI_NH_VAA, first,
                                       last);
        tell_range(smmu, first, last);
        return;
    default: /* NH_ALL, NSNH_ALL */
        viommui_iotlb_invalidate_all(smmu->iotlb);
    }
    viommui_endpoints_tell(smmu->endpoints, 0, G_MAXUINT32, first, last);
}

void viommui_smmuv3_invalidate_atc(ViommuSmmuv3 *smmu, const guint64 word[2])
{
    const ViommuServices *services = &smmu->config.services;
    guint64 order = viommui_field_get(word[1], CMD1_ATC_SIZE) + PAGE_BITS;
    guint64 iova = word[1] & viommui_field_mask(CMD1_ADDRESS);
    gboolean one_substream = viommui_field_get(word[0], CMD0_SSV) &&
                             !viommui_field_get(word[0], CMD0_ATC_GLOBAL);

    if (!services->translations_changed)
        return;
    if (order >= ALL_ORDERS)
        iova = 0;
    else
        iova = iova >> order << order;
    services->translations_changed(
        (guint32)viommui_field_get(word[0], CMD0_SID),
        one_substream ? (guint32)viommui_field_get(word[0], CMD0_SSID) : G_MAXUINT32, iova,
        order >= ALL_ORDERS ? G_MAXUINT64 : 1ull << order, services->user_data);
}
