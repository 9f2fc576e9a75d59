/* SPDX-License-Identifier: MIT */
/*
 * Which translation a stream and substream have: SMMUEN, the stream table entry and the
 * context descriptor, and a cache of what they said.
 *
 * Invariants: only legal configurations are cached, by {StreamID, SubstreamID}, those that
 * abort too; any other is read again by the next transaction, which the architecture
 * allows.
 *
 * Up the path: translate.c, command-queue.c. Down: stream-table.c, ste.c, walk.c,
 * core/configurations.h.
 */

#include "vsmmu.h"

#include <string.h>

/* --- forgetting -------------------------------------------------------------------------
 */

void viommui_smmuv3_forget_streams(ViommuSmmuv3 *smmu, guint32 first, guint32 last)
{
    viommui_configurations_forget(smmu->configurations, first, last);
    viommui_endpoints_tell(smmu->endpoints, first, last, 0, G_MAXUINT64);
}

void viommui_smmuv3_forget_cd(ViommuSmmuv3 *smmu, guint32 sid, guint32 ssid)
{
    if (ssid == VIOMMU_SMMUV3_NO_SUBSTREAM) {
        viommui_smmuv3_forget_streams(smmu, sid, sid);
        return;
    }
    viommui_configurations_forget_pasid(smmu->configurations, sid, ssid);
    if (ssid == 0) /* transactions without one may have the first */
        viommui_configurations_forget_pasid(smmu->configurations, sid,
                                            VIOMMU_SMMUV3_NO_SUBSTREAM);
    viommui_endpoints_tell(smmu->endpoints, sid, sid, 0, G_MAXUINT64);
}

/* --- from guest memory ------------------------------------------------------------------
 */

/* A transaction's stream, and what is being made of it. */
typedef struct {
    ViommuSmmuv3 *smmu;
    guint32 sid;
    guint32 ssid;
    gboolean found; /* there is an entry */
    guint64 ste[2];
    ViommuiSmmuv3Configuration *result;
} Lookup;

static guint64 load_word(const guint8 *bytes, gsize i)
{
    guint64 word;

    memcpy(&word, bytes + i * sizeof word, sizeof word);
    return GUINT64_FROM_LE(word);
}

static void fault(const Lookup *lookup, guint id, guint64 fetch)
{
    guint64 words[4];

    viommui_smmuv3_make_event(id, lookup->sid, lookup->ssid, words);
    if (id == EVENT_C_BAD_SUBSTREAMID) /* always about one: no SSV (7.3.9) */
        words[0] = viommui_field_set(words[0], EVENT0_SSV, 0);
    words[3] = viommui_field_set(words[3], EVENT3_FETCHADDR, fetch >> 3);
    for (guint i = 0; i < G_N_ELEMENTS(words); i++)
        words[i] = GUINT64_TO_LE(words[i]);
    lookup->result->kind = VIOMMUI_CONFIGURATION_FAULT;
    memcpy(lookup->result->event, words, sizeof words);
}

static void abort_silently(const Lookup *lookup)
{
    lookup->result->kind = VIOMMUI_CONFIGURATION_ABORT;
}

static gboolean is_beyond_output(const Lookup *lookup, guint64 address)
{
    return address >> viommui_smmuv3_address_bits(lookup->smmu->regs.idr[5]) != 0;
}

/* Where the context descriptor of a substream stands; FALSE: the fault is made. */
static gboolean locate_cd(const Lookup *lookup, guint32 index, guint64 *ret_address)
{
    const ViommuServices *services = &lookup->smmu->config.services;
    guint64 table = lookup->ste[0] & viommui_field_mask(STE0_S1CONTEXTPTR);
    guint64 format = viommui_field_get(lookup->ste[0], STE0_S1FMT);
    guint split = format == S1FMT_4K_L2 ? 6 : 10;
    guint64 address = table + (index >> split) * sizeof(guint64), descriptor;

    if (!viommui_field_get(lookup->ste[0], STE0_S1CDMAX) || format == S1FMT_LINEAR) {
        *ret_address = table + (guint64)index * CD_SIZE;
        return TRUE;
    }
    if (!services->read_memory(address, &descriptor, sizeof descriptor,
                               services->user_data)) {
        fault(lookup, EVENT_F_CD_FETCH, address);
        return FALSE;
    }
    descriptor = GUINT64_FROM_LE(descriptor);
    table = descriptor & viommui_field_mask(L1CD_L2PTR);
    if (split == 10)
        table &= ~(guint64)0xffff;
    if (!viommui_field_get(descriptor, L1CD_V) || is_beyond_output(lookup, table)) {
        fault(lookup, EVENT_C_BAD_SUBSTREAMID, 0);
        return FALSE;
    }
    *ret_address = table + (index & ((1u << split) - 1)) * CD_SIZE;
    return TRUE;
}

static void get_cd(const Lookup *lookup, guint32 index)
{
    const ViommuServices *services = &lookup->smmu->config.services;
    guint64 address, cd[CD_WORDS];

    if (!locate_cd(lookup, index, &address))
        return;
    if (!services->read_memory(address, cd, sizeof cd, services->user_data)) {
        fault(lookup, EVENT_F_CD_FETCH, address);
        return;
    }
    for (guint i = 0; i < CD_WORDS; i++)
        cd[i] = GUINT64_FROM_LE(cd[i]);
    if (!viommui_smmuv3_is_legal_cd(lookup->smmu->regs.idr, cd)) {
        fault(lookup, EVENT_C_BAD_CD, 0);
        return;
    }
    lookup->result->kind = VIOMMUI_CONFIGURATION_TRANSLATE;
    lookup->result->asid = (guint16)viommui_field_get(cd[0], CD0_ASID);
    memcpy(lookup->result->cd, cd, sizeof cd);
}

/* Stage 1: which context descriptor, if any (5.2 S1CDMax, S1DSS). */
static void get_stage1(const Lookup *lookup)
{
    guint64 max = viommui_field_get(lookup->ste[0], STE0_S1CDMAX);
    guint64 default_substream = viommui_field_get(lookup->ste[1], STE1_S1DSS);
    gboolean has_substream = lookup->ssid != VIOMMU_SMMUV3_NO_SUBSTREAM;

    if (is_beyond_output(lookup, lookup->ste[0] & viommui_field_mask(STE0_S1CONTEXTPTR))) {
        fault(lookup, EVENT_C_BAD_STE, 0); /* 3.4.3 */
        return;
    }
    if (has_substream) {
        if (!max || lookup->ssid >> max)
            fault(lookup, EVENT_C_BAD_SUBSTREAMID, 0);
        else if (lookup->ssid == 0 && default_substream == S1DSS_SSID0)
            fault(lookup, EVENT_F_STREAM_DISABLED, 0);
        else
            get_cd(lookup, lookup->ssid);
    } else if (!max || default_substream == S1DSS_SSID0) {
        get_cd(lookup, 0);
    } else if (default_substream == S1DSS_BYPASS) {
        lookup->result->kind = VIOMMUI_CONFIGURATION_BYPASS;
    } else {
        fault(lookup, EVENT_F_STREAM_DISABLED, 0);
    }
}

static void get_from_ste(Lookup *lookup, const guint8 *bytes)
{
    /* Of a device that can do what the guest was offered. */
    static const ViommuHostDeviceInfo any_device = {0};
    ViommuiSte ste = viommui_smmuv3_decode_ste(lookup->smmu->regs.idr, &any_device, bytes);

    if (!viommui_field_get(load_word(bytes, 0), STE0_V) ||
        ste.kind == VIOMMUI_STE_ILLEGAL) {
        fault(lookup, EVENT_C_BAD_STE, 0);
    } else if (ste.kind == VIOMMUI_STE_ABORT) {
        abort_silently(lookup);
    } else if (ste.kind == VIOMMUI_STE_S1) {
        lookup->ste[0] = GUINT64_FROM_LE(ste.words[0]);
        lookup->ste[1] = GUINT64_FROM_LE(ste.words[1]);
        get_stage1(lookup);
    } else if (lookup->ssid != VIOMMU_SMMUV3_NO_SUBSTREAM) {
        fault(lookup, EVENT_C_BAD_SUBSTREAMID, 0); /* stage 1 does not translate */
    } else {
        lookup->result->kind = VIOMMUI_CONFIGURATION_BYPASS;
    }
}

static void get_from_tables(Lookup *lookup)
{
    guint8 bytes[VIOMMU_SMMUV3_STE_SIZE];
    guint64 address = 0;

    switch (viommui_smmuv3_fetch_ste(lookup->smmu, lookup->sid, bytes, &address)) {
    case VIOMMUI_STE_FOUND:
        lookup->found = TRUE;
        get_from_ste(lookup, bytes);
        break;
    case VIOMMUI_STE_FETCH_ABORT:
        fault(lookup, EVENT_F_STE_FETCH, address);
        break;
    default: /* out of range, or an illegal level 1 descriptor: recorded if asked for */
        if (viommui_field_get(lookup->smmu->regs.cr2, CR2_RECINVSID))
            fault(lookup, EVENT_C_BAD_STREAMID, 0);
        else
            abort_silently(lookup);
    }
}

void viommui_smmuv3_get_configuration(ViommuSmmuv3 *smmu, guint32 sid, guint32 ssid,
                                      ViommuiSmmuv3Configuration *ret_configuration)
{
    Lookup look = {.smmu = smmu, .sid = sid, .ssid = ssid, .result = ret_configuration};

    if (smmu->blocked) {
        abort_silently(&look);
        return;
    }
    if (!viommui_field_get(smmu->regs.cr0, CR0_SMMUEN)) {
        /* Streams have no part in it, nor have tables (6.3.14). */
        viommui_endpoints_note(smmu->endpoints, sid);
        *ret_configuration = (ViommuiSmmuv3Configuration){
            .kind = viommui_field_get(smmu->regs.gbpa, GBPA_ABORT)
                        ? VIOMMUI_CONFIGURATION_ABORT
                        : VIOMMUI_CONFIGURATION_BYPASS};
        return;
    }
    if (viommui_configurations_lookup(smmu->configurations, sid, ssid, ret_configuration))
        return;
    viommui_endpoints_note(smmu->endpoints, sid);
    memset(ret_configuration, 0, sizeof *ret_configuration);
    get_from_tables(&look);
    if (look.found && ret_configuration->kind != VIOMMUI_CONFIGURATION_FAULT)
        viommui_configurations_insert(smmu->configurations, sid, ssid, ret_configuration);
}
