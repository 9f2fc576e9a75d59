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
#define EVT0_SSV      (1ULL << 11)
#define EVT1_PNU      (1ULL << 33)
#define EVT1_IND      (1ULL << 34)
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

    /* What a kernel would have pinned the caller may have taken away since. */
    if (!host || viommui_emu_copy_from_user(&word, host, sizeof(word)) < 0) {
        return FALSE;
    }
    if (EMU_ALIGNED((uintptr_t)host, sizeof(word))) {
        word = __atomic_load_n(host, __ATOMIC_ACQUIRE);
    }
    *ret_word = GUINT64_FROM_LE(word);
    return TRUE;
}

/* How many bits of a SubstreamID a level 2 table of this format resolves. */
static guint l2_bits(guint64 format)
{
    return format == S1FMT_4K_L2 ? 6 : 10;
}

void viommui_emu_smmuv3_cfgi_cd(Smmuv3Master *master, guint32 ssid, gboolean leaf)
{
    g_hash_table_remove(master->cds, GUINT_TO_POINTER(ssid));
    if (!leaf) {
        guint index = ssid >> l2_bits(STE0_S1FMT(master->ste.words[0]));

        g_hash_table_remove(master->l1_cds, GUINT_TO_POINTER(index));
    }
}

void viommui_emu_smmuv3_cfgi_cd_all(Smmuv3Master *master)
{
    g_hash_table_remove_all(master->cds);
    g_hash_table_remove_all(master->l1_cds);
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

static gboolean get_l1_desc(Smmuv3Master *master, guint index, gboolean keep,
                            guint64 *ret_desc)
{
    const guint64 *known = g_hash_table_lookup(master->l1_cds, GUINT_TO_POINTER(index));

    if (known) {
        *ret_desc = *known;
        return TRUE;
    }
    if (!viommui_emu_smmuv3_fetch(master->ste.paging->ioas,
                                  STE0_S1CTXPTR(master->ste.words[0]) + index * 8ULL,
                                  ret_desc)) {
        return FALSE;
    }
    if (keep) {
        g_hash_table_insert(master->l1_cds, GUINT_TO_POINTER(index),
                            g_memdup2(ret_desc, sizeof(*ret_desc)));
    }
    return TRUE;
}

/* Where the CD of a SubstreamID lies: at once, or by a level 1 descriptor. */
static SmmuFault locate_cd(Smmuv3Master *master, guint32 ssid, gboolean keep,
                           guint64 *ret_ipa)
{
    const guint64 *ste = master->ste.words;
    guint64 table = STE0_S1CTXPTR(ste[0]);
    guint split = l2_bits(STE0_S1FMT(ste[0]));
    guint64 desc;

    if (!STE0_S1CDMAX(ste[0]) || STE0_S1FMT(ste[0]) == S1FMT_LINEAR) {
        *ret_ipa = table + (guint64)ssid * CD_BYTES;
        return SMMU_OK;
    }
    if (!get_l1_desc(master, ssid >> split, keep, &desc)) {
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
        fault = locate_cd(master, ssid, keep, &ipa);
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

/* Which CD a transaction takes, by S1DSS and by what comes with it (5.2). */
static SmmuFault choose_cd(const Smmuv3Master *master, const EmuAccess *access,
                           guint32 *ret_ssid, gboolean *ret_bypass)
{
    const guint64 *ste = master->ste.words;
    guint64 cdmax = STE0_S1CDMAX(ste[0]);
    guint64 s1dss = STE1_S1DSS(ste[1]);

    *ret_ssid = 0;
    *ret_bypass = FALSE;
    if (access->has_pasid) {
        *ret_ssid = access->pasid;
        /* SubstreamID 0 is taken where it stands for none. */
        return !cdmax || access->pasid >> cdmax ||
                       (s1dss == STE_S1DSS_SSID0 && !access->pasid)
                   ? SMMU_C_BAD_SUBSTREAMID
                   : SMMU_OK;
    }
    if (cdmax && s1dss != STE_S1DSS_SSID0) {
        *ret_bypass = s1dss == STE_S1DSS_BYPASS;
        return *ret_bypass ? SMMU_OK : SMMU_F_STREAM_DISABLED;
    }
    return SMMU_OK;
}

/* Stage 1 of a nested STE. *record is what CD.R says about faults of the walk. */
static SmmuFault nested_stage1(Smmuv3Master *master, const EmuAccess *access,
                               Smmuv3TlbEntry *ret_found, gboolean *record)
{
    const Smmuv3Domain *domain = master->ste.paging->priv;
    gboolean bypass = FALSE;
    SmmuFault fault;
    guint32 ssid;
    Smmuv3Cd cd;

    *record = TRUE;
    if (!is_legal_ste(master->smmu, master->ste.words)) {
        return SMMU_C_BAD_STE;
    }
    fault = choose_cd(master, access, &ssid, &bypass);
    if (fault) {
        return fault;
    }
    if (bypass) {
        *ret_found = (Smmuv3TlbEntry){.out = access->iova & EMU_PAGE_MASK, .shift = 12};
        return SMMU_OK;
    }
    fault = get_cd(master, ssid, !access->peek, &cd);
    if (fault) {
        return fault;
    }
    *record = cd.record;
    return viommui_emu_smmuv3_stage1(master->smmu, &cd, master->ste.paging->ioas,
                                     domain->vmid, access, ret_found);
}

static void report(const Smmuv3Master *master, SmmuFault fault, const EmuAccess *access)
{
    struct iommu_vevent_arm_smmuv3 event = {{0}};
    guint64 words[2] = {(guint64)fault | master->vsid << 32, 0};

    if (!master->viommu || fault == SMMU_SILENT) {
        return;
    }
    if (access->has_pasid) {
        words[0] |= EVT0_SSV | (guint64)access->pasid << 12;
    }
    if (fault >= SMMU_F_TRANSLATION) {
        words[1] = EVT1_CLASS_IN | (access->write ? 0 : EVT1_RNW) |
                   (access->privileged ? EVT1_PNU : 0) | (access->exec ? EVT1_IND : 0);
        event.evt[2] = GUINT64_TO_LE(access->iova);
    }
    event.evt[0] = GUINT64_TO_LE(words[0]);
    event.evt[1] = GUINT64_TO_LE(words[1]);
    viommui_emu_viommu_report(master->viommu, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, &event,
                              sizeof(event));
}

/*
 * A device that gets no translation by ATS makes the access untranslated, so the fault is
 * recorded all the same; what it gets it keeps.
 */
static int translate_nested(Smmuv3Master *master, const EmuAccess *access, guint64 *ret_ipa)
{
    const EmuAtcEntry *known = master->ats_enabled && !access->exec
                                   ? viommui_emu_atc_find(master->atc, access)
                                   : NULL;
    Smmuv3TlbEntry found = {0};
    gboolean record = FALSE;
    SmmuFault fault;

    if (known) {
        *ret_ipa = known->out | (access->iova & ((1ULL << known->shift) - 1));
        if (access->ret_cache) {
            *access->ret_cache = VIOMMU_EMULATOR_CACHE_ATC;
        }
        return 0;
    }
    fault = nested_stage1(master, access, &found, &record);
    if (fault) {
        if (record && !access->peek) {
            report(master, fault, access);
        }
        return -EFAULT;
    }
    *ret_ipa = found.out | (access->iova & ((1ULL << found.shift) - 1));
    if (master->ats_enabled && !access->exec && !access->peek) {
        const EmuAtcEntry answer = {
            .has_pasid = access->has_pasid,
            .pasid = access->has_pasid ? access->pasid : 0,
            .privileged = access->has_pasid && access->privileged,
            .va = access->iova,
            .shift = found.shift,
            .out = found.out,
            .writable = !found.read_only,
        };

        viommui_emu_atc_insert(master->atc, &answer);
    }
    return 0;
}

/* Stage 1 is not the guest's: a SubstreamID is one of the kernel's own CD table. */
static const EmuHwpt *find_direct(const Smmuv3Master *master, const EmuAccess *access)
{
    if (access->has_pasid) {
        return g_hash_table_lookup(master->pasids, GUINT_TO_POINTER(access->pasid));
    }
    return master->ste.kind == STE_DIRECT ? master->ste.paging : NULL;
}

int viommui_emu_smmuv3_translate(EmuDevice *device, const EmuAccess *access,
                                 guint64 *ret_ipa, EmuIoas **ret_ioas)
{
    Smmuv3Master *master = device->iommu_priv;
    const EmuHwpt *direct;

    /* A device without substreams cannot send one. */
    if (access->has_pasid && !device->iommu->ops->pasid_bits(device)) {
        return -EFAULT;
    }
    if (master->ste.kind == STE_NESTED) {
        *ret_ioas = master->ste.paging->ioas;
        return translate_nested(master, access, ret_ipa);
    }
    direct = find_direct(master, access);
    if (!direct) {
        if (master->ste.kind == STE_DIRECT && !access->peek) {
            report(master, SMMU_C_BAD_SUBSTREAMID, access);
        }
        return -EFAULT;
    }
    *ret_ipa = access->iova;
    *ret_ioas = direct->ioas;
    return 0;
}
