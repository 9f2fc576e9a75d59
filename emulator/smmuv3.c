/* SPDX-License-Identifier: MIT */
/*
 * An emulated SMMUv3 from a transaction to its translation or its event: STE, CD with
 * its cache, stage 1, and the record of what went wrong.
 *
 * Invariants: a CD, valid or not, is used from the cache until CFGI_CD, CFGI_CD_ALL or
 * a rewritten STE drops it. What a transaction fetches from guest memory it fetches
 * once. Only the events that Linux passes on to a vEVENTQ leave this file, and only
 * for a stream that was attached through a vIOMMU while it had a vDEVICE there;
 * stage 2 faults do not.
 *
 * Up: EmuIommuOps.translate for dma.c, smmuv3-driver.c and smmuv3-invalidate.c.
 * Down: smmuv3-cd.c, smmuv3-walk.c, and veventq.c for events.
 */
#include "smmuv3.h"

#define CD_WORDS 8
#define CD_BYTES 64

/* 7.3.13: transaction fields of the second word */
#define EVT1_RNW      (1ULL << 35)
#define EVT1_CLASS_IN (2ULL << 40)

/* S1Fmt */
#define S1FMT_LINEAR 0
#define S1FMT_4K_L2  1
#define S1FMT_64K_L2 2

gboolean viommui_emu_smmuv3_fetch(const EmuIoas *ioas, guint64 ipa, guint64 *ret_word)
{
    const guint64 *host = viommui_emu_ioas_host(ioas, ipa, sizeof(*ret_word), FALSE);
    guint64 word;

    if (!host) {
        return FALSE;
    }
    if (EMU_ALIGNED((uintptr_t)host, sizeof(word))) {
        word = __atomic_load_n(host, __ATOMIC_ACQUIRE);
    } else {
        memcpy(&word, host, sizeof(word));
    }
    *ret_word = GUINT64_FROM_LE(word);
    return TRUE;
}

void viommui_emu_smmuv3_cfgi_cd(Smmuv3Master *master, guint32 ssid)
{
    g_hash_table_remove(master->cds, GUINT_TO_POINTER(ssid));
}

void viommui_emu_smmuv3_cfgi_cd_all(Smmuv3Master *master)
{
    g_hash_table_remove_all(master->cds);
}

void viommui_emu_smmuv3_install_ste(Smmuv3Master *master, const Smmuv3Ste *ste)
{
    const Smmuv3Ste *old = &master->ste;
    gboolean same = old->kind == ste->kind && old->paging == ste->paging &&
                    old->words[0] == ste->words[0] && old->words[1] == ste->words[1];

    /* The driver writes, and issues CFGI_STE, only for what differs. */
    if (!same) {
        master->ste = *ste;
        viommui_emu_smmuv3_cfgi_cd_all(master);
    }
}

static gboolean is_legal_ste(const Smmuv3 *smmu, const guint64 ste[2])
{
    guint64 cdmax = STE0_S1CDMAX(ste[0]);
    guint64 format = STE0_S1FMT(ste[0]);

    if (SMMU_IDR0_STALL(smmu->config.idr[0]) == 2 && (ste[1] & STE1_S1STALLD)) {
        return FALSE;
    }
    if (!cdmax) {
        return TRUE;
    }
    return cdmax <= smmu->ssid_bits && format <= S1FMT_64K_L2 &&
           (format == S1FMT_LINEAR || (smmu->config.idr[0] & SMMU_IDR0_CD2L));
}

/* Where the CD of a SubstreamID lies: at once, or by a level 1 descriptor. */
static SmmuFault locate_cd(const EmuIoas *ioas, const guint64 ste[2], guint32 ssid,
                           guint64 *ret_ipa)
{
    guint64 table = STE0_S1CTXPTR(ste[0]);
    guint split = STE0_S1FMT(ste[0]) == S1FMT_4K_L2 ? 6 : 10;
    guint64 desc;

    if (!STE0_S1CDMAX(ste[0]) || STE0_S1FMT(ste[0]) == S1FMT_LINEAR) {
        *ret_ipa = table + (guint64)ssid * CD_BYTES;
        return SMMU_OK;
    }
    if (!viommui_emu_smmuv3_fetch(ioas, table + (ssid >> split) * sizeof(desc), &desc)) {
        return SMMU_SILENT;
    }
    if (!(desc & 1)) {
        return SMMU_C_BAD_SUBSTREAMID;
    }
    *ret_ipa = (desc & (split == 6 ? EMU_MASK64(51, 12) : EMU_MASK64(51, 16))) +
               (ssid & ((1U << split) - 1)) * CD_BYTES;
    return SMMU_OK;
}

static SmmuFault get_cd(Smmuv3Master *master, guint32 ssid, gboolean keep, Smmuv3Cd *ret_cd)
{
    const EmuIoas *ioas = master->ste.paging->ioas;
    const guint64 *known = g_hash_table_lookup(master->cds, GUINT_TO_POINTER(ssid));
    guint64 words[CD_WORDS];
    guint64 ipa = 0;
    SmmuFault fault;

    if (known) {
        memcpy(words, known, sizeof(words));
    } else {
        fault = locate_cd(ioas, master->ste.words, ssid, &ipa);
        if (fault) {
            return fault;
        }
        for (guint i = 0; i < CD_WORDS; i++) {
            if (!viommui_emu_smmuv3_fetch(ioas, ipa + i * sizeof(words[i]), &words[i])) {
                return SMMU_SILENT;
            }
        }
        if (keep) {
            g_hash_table_insert(master->cds, GUINT_TO_POINTER(ssid),
                                g_memdup2(words, sizeof(words)));
        }
    }
    return viommui_emu_smmuv3_decode_cd(master->smmu, master->ste.words, words, ret_cd)
               ? SMMU_OK
               : SMMU_C_BAD_CD;
}

/*
 * Stage 1 of a nested STE for a transaction without a SubstreamID. *record is what
 * CD.R says about faults of the walk.
 */
static SmmuFault nested_stage1(Smmuv3Master *master, const EmuAccess *access,
                               guint64 *ret_ipa, gboolean *record)
{
    const guint64 *ste = master->ste.words;
    const Smmuv3Domain *domain = master->ste.paging->priv;
    SmmuFault fault;
    Smmuv3Cd cd;

    *record = TRUE;
    if (!is_legal_ste(master->smmu, ste)) {
        return SMMU_C_BAD_STE;
    }
    if (STE0_S1CDMAX(ste[0])) {
        switch (STE1_S1DSS(ste[1])) {
        case STE_S1DSS_BYPASS:
            *ret_ipa = access->iova;
            return SMMU_OK;
        case STE_S1DSS_SSID0:
            break;
        default:
            return SMMU_F_STREAM_DISABLED;
        }
    }
    fault = get_cd(master, 0, !access->peek, &cd);
    if (fault) {
        return fault;
    }
    *record = cd.record;
    return viommui_emu_smmuv3_stage1(master->smmu, &cd, master->ste.paging->ioas,
                                     domain->vmid, access, ret_ipa);
}

static void report(const Smmuv3Master *master, SmmuFault fault, const EmuAccess *access)
{
    struct iommu_vevent_arm_smmuv3 event = {{0}};

    if (!master->viommu || fault == SMMU_SILENT) {
        return;
    }
    event.evt[0] = GUINT64_TO_LE((guint64)fault | master->vsid << 32);
    if (fault >= SMMU_F_TRANSLATION) {
        event.evt[1] = GUINT64_TO_LE(EVT1_CLASS_IN | (access->write ? 0 : EVT1_RNW));
        event.evt[2] = GUINT64_TO_LE(access->iova);
    }
    viommui_emu_viommu_report(master->viommu, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, &event,
                              sizeof(event));
}

int viommui_emu_smmuv3_translate(EmuDevice *device, const EmuAccess *access,
                                 guint64 *ret_ipa, EmuIoas **ret_ioas)
{
    Smmuv3Master *master = device->iommu_priv;
    gboolean record = FALSE;
    SmmuFault fault;

    switch (master->ste.kind) {
    case STE_DIRECT:
        *ret_ipa = access->iova;
        break;
    case STE_NESTED:
        fault = nested_stage1(master, access, ret_ipa, &record);
        if (fault) {
            if (record && !access->peek) {
                report(master, fault, access);
            }
            return -EFAULT;
        }
        break;
    default:
        return -EFAULT;
    }
    *ret_ioas = master->ste.paging->ioas;
    return 0;
}
