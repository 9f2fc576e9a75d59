/* SPDX-License-Identifier: MIT */
/*
 * The stream table (Arm IHI 0070, 3.3, 5.1 and 6.3.25): which entry a stream has, and host
 * devices made to follow theirs.
 *
 * Invariants: what is read is read once, into a copy; only streams that have a host device
 * are touched, whatever range a command names. A stream whose entry is bad, or that the
 * host refuses, aborts.
 *
 * The guest is told of a bad entry when it is installed, once for each change of it: the
 * host reports nothing of a stream that aborts, so there is no transaction to wait for.
 * That is not done where a guest would hear of devices that it has never touched: an entry
 * with V 0 is silent, and a StreamID without an entry is, unless CFGI_STE names it or it
 * had one.
 *
 * Up the path: registers.c, command-queue.c, configuration.c. Down the path: guest memory,
 * the accel layer.
 */

#include "vsmmu.h"

#include <string.h>

enum { L1STD_SIZE = 8, STE_SHIFT = 6, L1STD_SHIFT = 3 };

/* --- reading ----------------------------------------------------------------------------
 */

/* Bits of an address below the size of what it points to count as 0. */
static guint64 align_down(guint64 address, guint log2_size)
{
    return address & ~(((guint64)1 << log2_size) - 1);
}

/* Reserved values are taken for the smallest. */
static guint get_split(guint32 cfg)
{
    guint split = viommui_field_get(cfg, STRTAB_BASE_CFG_SPLIT);

    return split == 8 || split == 10 ? split : 6;
}

/* Where the entry of a StreamID within the table stands, by its level 1 descriptor. */
static ViommuiSteFetch find_level_2(ViommuSmmuv3 *smmu, guint64 base, guint log2size,
                                    guint32 sid, guint64 *ret_address)
{
    const ViommuServices *services = &smmu->config.services;
    guint split = get_split(smmu->regs.strtab_base_cfg);
    guint l1_bits = log2size > split ? log2size - split : 0;
    guint32 index = sid & ((1u << split) - 1);
    guint64 descriptor, address;
    guint span;

    address = align_down(base, MAX(l1_bits + L1STD_SHIFT, STE_SHIFT)) +
              (guint64)(sid >> split) * L1STD_SIZE;
    *ret_address = address;
    if (!services->read_memory(address, &descriptor, sizeof descriptor,
                               services->user_data))
        return VIOMMUI_STE_FETCH_ABORT;
    descriptor = GUINT64_FROM_LE(descriptor);
    span = viommui_field_get(descriptor, L1STD_SPAN);
    if (span == 0 || span > split + 1)
        return VIOMMUI_STE_BAD_L1;
    if (index >> (span - 1))
        return VIOMMUI_STE_BAD_STREAMID;
    address = viommui_field_get(descriptor, L1STD_L2PTR) << L1STD_L2PTR.shift;
    *ret_address =
        align_down(address, span - 1 + STE_SHIFT) + (guint64)index * VIOMMU_SMMUV3_STE_SIZE;
    return VIOMMUI_STE_FOUND;
}

ViommuiSteFetch viommui_smmuv3_fetch_ste(ViommuSmmuv3 *smmu, guint32 sid,
                                         guint8 ret_ste[VIOMMU_SMMUV3_STE_SIZE],
                                         guint64 *ret_address)
{
    const ViommuServices *services = &smmu->config.services;
    const ViommuiSmmuv3Registers *regs = &smmu->regs;
    guint64 base = viommui_field_get(regs->strtab_base, STRTAB_BASE_ADDR)
                   << STRTAB_BASE_ADDR.shift;
    guint log2size = MIN(viommui_field_get(regs->strtab_base_cfg, STRTAB_BASE_CFG_LOG2SIZE),
                         viommui_field_get(regs->idr[1], IDR1_SIDSIZE));

    *ret_address = base;
    if (sid >> log2size)
        return VIOMMUI_STE_BAD_STREAMID;
    if (viommui_field_get(regs->strtab_base_cfg, STRTAB_BASE_CFG_FMT) == STRTAB_2LEVEL) {
        ViommuiSteFetch found = find_level_2(smmu, base, log2size, sid, ret_address);

        if (found != VIOMMUI_STE_FOUND)
            return found;
    } else {
        *ret_address =
            align_down(base, log2size + STE_SHIFT) + (guint64)sid * VIOMMU_SMMUV3_STE_SIZE;
    }
    return services->read_memory(*ret_address, ret_ste, VIOMMU_SMMUV3_STE_SIZE,
                                 services->user_data)
               ? VIOMMUI_STE_FOUND
               : VIOMMUI_STE_FETCH_ABORT;
}

/* --- telling the guest ------------------------------------------------------------------
 */

static void tell(ViommuSmmuv3 *smmu, ViommuiSmmuv3HostStream *stream, guint id,
                 guint64 address, const guint8 *ste)
{
    guint64 words[4], reason[2] = {address, 0};

    if (id == EVENT_C_BAD_STE)
        memcpy(reason, ste, sizeof reason);
    if (stream->event == id && !memcmp(stream->reason, reason, sizeof reason))
        return;
    stream->event = id;
    memcpy(stream->reason, reason, sizeof reason);
    viommui_smmuv3_make_event(id, stream->sid, VIOMMU_SMMUV3_NO_SUBSTREAM, words);
    if (id == EVENT_F_STE_FETCH)
        words[3] = address & viommui_field_mask(EVENT3_FETCHADDR);
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        words[i] = GUINT64_TO_LE(words[i]);
    viommui_smmuv3_record_event(smmu, (const guint8 *)words);
}

/* Abort a stream that has no entry which could be read, and tell. */
static ViommuResult refuse(ViommuSmmuv3 *smmu, ViommuiSmmuv3HostStream *stream,
                           ViommuiSteFetch why, guint64 address, gboolean named)
{
    gboolean followed = stream->follows;

    stream->follows = FALSE;
    if (why == VIOMMUI_STE_FETCH_ABORT)
        tell(smmu, stream, EVENT_F_STE_FETCH, address, NULL);
    else if (viommui_field_get(smmu->regs.cr2, CR2_RECINVSID) && (named || followed))
        tell(smmu, stream, EVENT_C_BAD_STREAMID, 0, NULL);
    return viommu_smmuv3_accel_install_ste(smmu->accel, stream->sid, NULL);
}

static ViommuResult follow(ViommuSmmuv3 *smmu, ViommuiSmmuv3HostStream *stream,
                           gboolean named)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];
    guint64 address, word0;
    ViommuiSteFetch found = viommui_smmuv3_fetch_ste(smmu, stream->sid, ste, &address);
    ViommuResult result;

    if (found != VIOMMUI_STE_FOUND)
        return refuse(smmu, stream, found, address, named);
    result = viommu_smmuv3_accel_install_ste(smmu->accel, stream->sid, ste);
    memcpy(&word0, ste, sizeof word0);
    stream->follows =
        result == VIOMMU_OK && viommui_field_get(GUINT64_FROM_LE(word0), STE0_V);
    if (result == VIOMMU_OK)
        stream->event = 0;
    else if (result == VIOMMU_GUEST_INVALID)
        tell(smmu, stream, EVENT_C_BAD_STE, address, ste);
    else /* the entry is good, and yet it did not reach the SMMU */
        tell(smmu, stream, EVENT_F_STE_FETCH, address, ste);
    return result;
}

/* --- host devices -----------------------------------------------------------------------
 */

/* What all streams have while SMMUEN is 0 (6.3.14), and while nothing may pass. */
static ViommuResult follow_gbpa(ViommuSmmuv3 *smmu, ViommuiSmmuv3HostStream *stream)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE] = {0};
    gboolean abort = smmu->blocked || smmu->lost || smmu->held ||
                     viommui_field_get(smmu->regs.gbpa, GBPA_ABORT);
    guint64 words[2];

    viommui_smmuv3_make_ste(CONFIG_BYPASS, words);
    memcpy(ste, words, sizeof words);
    stream->follows = FALSE;
    stream->event = 0;
    return viommu_smmuv3_accel_install_ste(smmu->accel, stream->sid, abort ? NULL : ste);
}

static ViommuResult refresh(ViommuSmmuv3 *smmu, ViommuiSmmuv3HostStream *stream,
                            gboolean named)
{
    if (stream->sid == VIOMMU_SMMUV3_SID_UNKNOWN)
        return VIOMMU_OK; /* it aborts */
    if (smmu->blocked || smmu->lost || !viommui_field_get(smmu->regs.cr0, CR0_SMMUEN))
        return follow_gbpa(smmu, stream);
    return follow(smmu, stream, named);
}

ViommuResult viommui_smmuv3_refresh_stream(ViommuSmmuv3 *smmu, guint32 sid)
{
    ViommuiSmmuv3HostStream *stream =
        g_hash_table_lookup(smmu->by_sid, GUINT_TO_POINTER(sid));

    return stream ? refresh(smmu, stream, TRUE) : VIOMMU_OK;
}

static ViommuResult refresh_range(ViommuSmmuv3 *smmu, guint32 first, guint32 last)
{
    ViommuResult worst = VIOMMU_OK, result;
    ViommuiSmmuv3HostStream *stream;
    GHashTableIter iter;
    gpointer value;

    /* The shorter of the two ways. */
    if (last - first < g_hash_table_size(smmu->by_sid)) {
        for (guint64 sid = first; sid <= last; sid++) {
            stream = g_hash_table_lookup(smmu->by_sid, GUINT_TO_POINTER((guint32)sid));
            result = stream ? refresh(smmu, stream, FALSE) : VIOMMU_OK;
            worst = MIN(worst, result);
        }
        return worst;
    }
    g_hash_table_iter_init(&iter, smmu->by_sid);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        stream = value;
        if (stream->sid < first || stream->sid > last)
            continue;
        result = refresh(smmu, stream, FALSE);
        worst = MIN(worst, result);
    }
    return worst;
}

ViommuResult viommui_smmuv3_refresh_streams(ViommuSmmuv3 *smmu, guint32 first, guint32 last)
{
    ViommuResult worst;

    viommui_smmuv3_begin_installs(smmu->accel);
    worst = refresh_range(smmu, first, last);
    /* Which of them failed shows when each is done alone. */
    if (viommui_smmuv3_end_installs(smmu->accel) != VIOMMU_OK)
        worst = refresh_range(smmu, first, last);
    return worst;
}

gboolean viommui_smmuv3_refresh_all(ViommuSmmuv3 *smmu, GError **error)
{
    ViommuResult result;

    if (!smmu->accel)
        return TRUE;
    result = viommui_smmuv3_refresh_streams(smmu, 0, G_MAXUINT32);
    /*
     * What the guest did wrong it is told, what is put off comes with its next command, and
     * what its host cannot do aborts as it did when the guest asked for it.
     */
    if (result != VIOMMU_HOST_GONE)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE,
                "not every stream has what the guest's tables say: %s",
                viommu_result_name(result));
    return FALSE;
}

void viommui_smmuv3_lose_streams(ViommuSmmuv3 *smmu)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];
    GHashTableIter iter;
    gpointer value;

    smmu->lost = TRUE;
    viommu_smmuv3_accel_block(smmu->accel, NULL);
    g_hash_table_iter_init(&iter, smmu->by_sid);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        ViommuiSmmuv3HostStream *stream = value;
        guint64 address;

        stream->follows = FALSE;
        viommui_smmuv3_fetch_ste(smmu, stream->sid, ste, &address);
        tell(smmu, stream, EVENT_F_STE_FETCH, address, NULL);
    }
}
