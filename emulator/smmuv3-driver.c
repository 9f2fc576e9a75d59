/* SPDX-License-Identifier: MIT */
/*
 * The Linux SMMUv3 driver as far as it shows: domains and their VMIDs, which STE an
 * attachment installs, and what is flushed when.
 *
 * Invariants: a paging domain belongs to one SMMU. A stage 2 domain has a VMID of its
 * own; when the last master leaves it, everything under that VMID is flushed, and
 * nothing is while masters remain: an attach by itself leaves stage 1 translations in
 * the TLB. Only a changed STE drops the stream's cached CDs; every attach empties the
 * device's ATC. PASIDs of the kernel's own CD table and a second stage exclude each other.
 *
 * Up: EmuIommuOps, for iommufd's objects. Down: smmuv3.c.
 */
#include "smmuv3.h"

static const guint8 oas_table[8] = {32, 36, 40, 42, 44, 48, 52, 48};

static Smmuv3 *to_smmu(EmuIommu *iommu)
{
    return (Smmuv3 *)iommu;
}

static gboolean has_nesting(const Smmuv3 *smmu)
{
    const guint32 both = SMMU_IDR0_S1P | SMMU_IDR0_S2P;

    return (smmu->config.idr[0] & both) == both;
}

static void smmu_free(EmuIommu *iommu)
{
    Smmuv3 *smmu = to_smmu(iommu);

    viommui_emu_smmuv3_tlb_free(smmu->tlb);
    g_hash_table_unref(smmu->vmids);
    g_ptr_array_unref(smmu->masters);
    g_hash_table_unref(smmu->half_done);
    g_free(smmu);
}

static gpointer smmu_device_new(EmuIommu *iommu, EmuDevice *device)
{
    Smmuv3Master *master = g_new0(Smmuv3Master, 1);

    master->smmu = to_smmu(iommu);
    master->device = device;
    master->cds = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    master->l1_cds = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    master->pasids = g_hash_table_new(NULL, NULL);
    master->atc = viommui_emu_atc_new();
    g_ptr_array_add(master->smmu->masters, master);
    return master;
}

static void smmu_device_free(EmuIommu *iommu, gpointer priv)
{
    Smmuv3Master *master = priv;

    g_ptr_array_remove_fast(to_smmu(iommu)->masters, master);
    g_hash_table_unref(master->cds);
    g_hash_table_unref(master->l1_cds);
    g_hash_table_unref(master->pasids);
    viommui_emu_atc_free(master->atc);
    g_free(master);
}

static gboolean smmu_is_coherent(EmuIommu *iommu)
{
    return !!(to_smmu(iommu)->config.idr[0] & SMMU_IDR0_COHACC);
}

static gboolean smmu_has_dirty_tracking(EmuIommu *iommu)
{
    return SMMU_IDR0_HTTU(to_smmu(iommu)->config.idr[0]) >= 2 && smmu_is_coherent(iommu);
}

static int smmu_hw_info(EmuIommu *iommu, guint32 *type, void *data, guint32 *ret_size)
{
    const ViommuEmulatorSmmuv3Config *config = &to_smmu(iommu)->config;
    struct iommu_hw_info_arm_smmuv3 info = {.iidr = config->iidr, .aidr = config->aidr};

    if (*type != IOMMU_HW_INFO_TYPE_DEFAULT && *type != IOMMU_HW_INFO_TYPE_ARM_SMMUV3) {
        return -EOPNOTSUPP;
    }
    for (guint i = 0; i < G_N_ELEMENTS(config->idr); i++) {
        info.idr[i] = config->idr[i];
    }
    if (config->repeat_tlbi_cfgi) {
        info.flags |= IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI;
    }
    memcpy(data, &info, sizeof(info));
    *ret_size = sizeof(info);
    *type = IOMMU_HW_INFO_TYPE_ARM_SMMUV3;
    return 0;
}

/* VMID 0 is the kernel's own, for streams without stage 2. */
static int alloc_vmid(Smmuv3 *smmu, guint16 *ret_vmid)
{
    for (guint vmid = 1; vmid < 1U << smmu->vmid_bits; vmid++) {
        if (g_hash_table_add(smmu->vmids, GUINT_TO_POINTER(vmid))) {
            *ret_vmid = (guint16)vmid;
            return 0;
        }
    }
    return -ENOSPC;
}

/* Which stage a domain of these flags is, or a negated errno. */
static int choose_stage(const Smmuv3 *smmu, guint32 flags)
{
    gboolean has_s1 = !!(smmu->config.idr[0] & SMMU_IDR0_S1P);

    switch (flags) {
    case 0:
        return has_s1 ? 1 : 2;
    case IOMMU_HWPT_ALLOC_NEST_PARENT:
        return has_nesting(smmu) ? 2 : -EOPNOTSUPP;
    case IOMMU_HWPT_ALLOC_DIRTY_TRACKING:
    case IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_PASID:
    case IOMMU_HWPT_ALLOC_PASID:
        return has_s1 ? 1 : -EOPNOTSUPP;
    default:
        return -EOPNOTSUPP;
    }
}

static guint64 smallest_page(const Smmuv3 *smmu)
{
    guint32 idr5 = smmu->config.idr[5];

    return idr5 & SMMU_IDR5_GRAN4K ? 4096 : idr5 & SMMU_IDR5_GRAN16K ? 16384 : 65536;
}

static int smmu_paging_init(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags,
                            gboolean has_user_data)
{
    Smmuv3 *smmu = to_smmu(iommu);
    Smmuv3Domain *domain;
    int stage = has_user_data ? -EOPNOTSUPP : choose_stage(smmu, flags);
    guint16 vmid = 0;
    int ret = 0;

    if (stage < 0) {
        return stage;
    }
    if (stage == 2) {
        ret = alloc_vmid(smmu, &vmid);
    }
    if (ret < 0) {
        return ret;
    }
    domain = g_new0(Smmuv3Domain, 1);
    domain->stage2 = stage == 2;
    domain->vmid = vmid;
    hwpt->priv = domain;
    /* Hardware dirty state is on from the start and never turned off. */
    hwpt->dirty_enabled = hwpt->has_dirty;
    hwpt->page_size = smallest_page(smmu);
    hwpt->all_readable = !domain->stage2;
    /* An arm64 kernel of 48-bit virtual addresses gives its stage 1 no more. */
    hwpt->aperture_last = (1ULL << (domain->stage2 ? smmu->oas_bits : 48)) - 1;
    return 0;
}

/* SMMUv3 nests through a vIOMMU only. */
static int smmu_nested_init(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags, guint32 type,
                            const void *data, guint32 size)
{
    (void)iommu;
    (void)hwpt;
    (void)flags;
    (void)type;
    (void)data;
    (void)size;
    return -EOPNOTSUPP;
}

static void smmu_hwpt_free(EmuIommu *iommu, EmuHwpt *hwpt)
{
    if (!hwpt->parent && hwpt->priv) {
        const Smmuv3Domain *domain = hwpt->priv;

        g_hash_table_remove(to_smmu(iommu)->vmids, GUINT_TO_POINTER((guint)domain->vmid));
    }
    g_free(hwpt->priv);
}

/* Of every device whose stage 1 is over this stage 2. */
static void flush_atcs(EmuIommu *iommu, const EmuHwpt *hwpt)
{
    const GPtrArray *masters = to_smmu(iommu)->masters;

    for (guint i = 0; i < masters->len; i++) {
        const Smmuv3Master *master = g_ptr_array_index(masters, i);

        if (master->ste.paging == hwpt) {
            viommui_emu_atc_flush(master->atc);
        }
    }
}

/*
 * Stage 2 itself is looked up at every access. But the driver cannot know what
 * stage 1 led to the range, so it clears everything of the VMID.
 */
static void smmu_unmapped(EmuIommu *iommu, EmuHwpt *hwpt)
{
    const Smmuv3Domain *domain = hwpt->priv;

    if (domain->stage2 && domain->n_masters) {
        viommui_emu_smmuv3_tlb_flush_vmid(to_smmu(iommu)->tlb, domain->vmid);
        flush_atcs(iommu, hwpt);
    }
}

/* Invalidations of SMMUv3 go to the vIOMMU. */
static int smmu_hwpt_invalidate(EmuIommu *iommu, EmuHwpt *hwpt, guint32 type,
                                const void *data, guint32 entry_len, guint32 *entry_num)
{
    (void)iommu;
    (void)hwpt;
    (void)type;
    (void)data;
    (void)entry_len;
    *entry_num = 0;
    return -EOPNOTSUPP;
}

/* The vDEVICE of this device in the vIOMMU, which need not be the device's only one. */
static const EmuVdevice *find_vdevice(const EmuDevice *device, const EmuViommu *viommu)
{
    const EmuVdevice *vdevice = device->idev ? device->idev->vdevice : NULL;

    return vdevice && vdevice->viommu == viommu ? vdevice : NULL;
}

static int make_nested_ste(EmuDevice *device, EmuHwpt *hwpt, Smmuv3Ste *ste)
{
    const Smmuv3Nested *nested = hwpt->priv;
    guint64 config = STE0_CONFIG(nested->ste[0]);

    if (config == STE_CONFIG_S1 && !find_vdevice(device, hwpt->viommu)) {
        return -ENOENT;
    }
    switch (config) {
    case STE_CONFIG_S1:
        ste->kind = STE_NESTED;
        ste->words[0] = nested->ste[0];
        ste->words[1] = nested->ste[1];
        ste->paging = hwpt->parent;
        break;
    case STE_CONFIG_BYPASS:
        ste->kind = STE_DIRECT;
        ste->paging = hwpt->parent;
        break;
    default:
        ste->kind = STE_ABORT;
        break;
    }
    return 0;
}

static gboolean needs_stage2(EmuHwpt *hwpt)
{
    const Smmuv3Domain *domain = viommui_emu_hwpt_paging(hwpt)->priv;

    return domain->stage2;
}

static int make_ste(EmuDevice *device, EmuHwpt *hwpt, Smmuv3Ste *ste)
{
    const Smmuv3Master *master = device->iommu_priv;

    if (!hwpt) {
        return 0;
    }
    if (hwpt->iommu != device->iommu) {
        return -EINVAL;
    }
    if (needs_stage2(hwpt) && g_hash_table_size(master->pasids)) {
        return -EBUSY;
    }
    if (hwpt->parent) {
        return make_nested_ste(device, hwpt, ste);
    }
    ste->kind = STE_DIRECT;
    ste->paging = hwpt;
    return 0;
}

/* The new domain is joined before the old one is left, which may be the same. */
static void move_to_domain(Smmuv3Master *master, Smmuv3Domain *domain)
{
    Smmuv3Domain *old = master->domain;

    if (domain) {
        domain->n_masters++;
    }
    master->domain = domain;
    if (old && --old->n_masters == 0 && old->stage2) {
        viommui_emu_smmuv3_tlb_flush_vmid(master->smmu->tlb, old->vmid);
    }
}

static gboolean smmu_has_ats(EmuDevice *device)
{
    const Smmuv3Master *master = device->iommu_priv;

    return device->ats && (master->smmu->config.idr[0] & SMMU_IDR0_ATS);
}

static int smmu_attach(EmuDevice *device, EmuHwpt *hwpt)
{
    Smmuv3Master *master = device->iommu_priv;
    const EmuVdevice *vdevice;
    Smmuv3Ste ste = {.kind = STE_ABORT};
    int ret = make_ste(device, hwpt, &ste);

    if (ret < 0) {
        return ret;
    }
    viommui_emu_smmuv3_install_ste(master, &ste);
    /* A vDEVICE made later does not count until the next attach. */
    vdevice = hwpt && hwpt->viommu ? find_vdevice(device, hwpt->viommu) : NULL;
    master->viommu = vdevice ? hwpt->viommu : NULL;
    master->vsid = vdevice ? vdevice->virt_id : 0;
    master->ats_enabled = ste.kind == STE_NESTED && smmu_has_ats(device) &&
                          ((const Smmuv3Nested *)hwpt->priv)->enable_ats;
    viommui_emu_atc_flush(master->atc);
    move_to_domain(master, hwpt ? viommui_emu_hwpt_paging(hwpt)->priv : NULL);
    return 0;
}

static gboolean smmu_is_blocking(EmuDevice *device)
{
    const Smmuv3Master *master = device->iommu_priv;

    return master->ste.kind == STE_ABORT;
}

static guint smmu_pasid_bits(EmuDevice *device)
{
    const Smmuv3Master *master = device->iommu_priv;

    return MIN(master->smmu->ssid_bits, device->pasid_bits);
}

static gboolean smmu_enforces_coherency(EmuIommu *iommu)
{
    return to_smmu(iommu)->config.canwbs;
}

static gboolean smmu_takes_pasid(EmuHwpt *hwpt)
{
    return !hwpt->parent;
}

static int smmu_attach_pasid(EmuDevice *device, guint32 pasid, EmuHwpt *hwpt, EmuHwpt *old)
{
    Smmuv3Master *master = device->iommu_priv;

    (void)old;
    if (!hwpt) {
        g_hash_table_remove(master->pasids, GUINT_TO_POINTER(pasid));
        return 0;
    }
    if (hwpt->iommu != device->iommu || hwpt->parent || needs_stage2(hwpt)) {
        return -EINVAL;
    }
    /* The requester ID is blocked, or in the CD table as well. */
    if (master->ste.kind != STE_ABORT && (!master->domain || master->domain->stage2)) {
        return -EINVAL;
    }
    g_hash_table_insert(master->pasids, GUINT_TO_POINTER(pasid), hwpt);
    return 0;
}

static int smmu_set_dirty_tracking(EmuHwpt *hwpt, gboolean enable)
{
    (void)hwpt;
    (void)enable;
    return 0;
}

static void smmu_page_response(EmuDevice *device, const EmuPageRequest *last, guint32 code)
{
    (void)device;
    (void)last;
    (void)code;
}

static const EmuIommuOps smmu_ops = {
    .free = smmu_free,
    .device_new = smmu_device_new,
    .device_free = smmu_device_free,
    .is_coherent = smmu_is_coherent,
    .has_dirty_tracking = smmu_has_dirty_tracking,
    .hw_info = smmu_hw_info,
    .paging_init = smmu_paging_init,
    .nested_init = smmu_nested_init,
    .hwpt_free = smmu_hwpt_free,
    .unmapped = smmu_unmapped,
    .hwpt_invalidate = smmu_hwpt_invalidate,
    .has_viommu_type = viommui_emu_vsmmu_has_type,
    .viommu_init = viommui_emu_vsmmu_init,
    .viommu_nested_init = viommui_emu_vsmmu_nested_init,
    .viommu_invalidate = viommui_emu_vsmmu_invalidate,
    .attach = smmu_attach,
    .translate = viommui_emu_smmuv3_translate,
    .is_blocking = smmu_is_blocking,
    .pasid_bits = smmu_pasid_bits,
    .has_ats = smmu_has_ats,
    .enforces_coherency = smmu_enforces_coherency,
    .takes_pasid = smmu_takes_pasid,
    .attach_pasid = smmu_attach_pasid,
    .set_dirty_tracking = smmu_set_dirty_tracking,
    .page_response = smmu_page_response,
    .user_pasid_table = TRUE,
    .msi_first = 0x8000000,
    .msi_last = 0x80fffff,
};

EmuIommu *viommui_emu_smmuv3_new(const ViommuEmulatorSmmuv3Config *config)
{
    Smmuv3 *smmu = g_new0(Smmuv3, 1);

    smmu->iommu.ops = &smmu_ops;
    smmu->config = *config;
    smmu->oas_bits = oas_table[SMMU_IDR5_OAS(config->idr[5])];
    smmu->asid_bits = config->idr[0] & SMMU_IDR0_ASID16 ? 16 : 8;
    smmu->vmid_bits = config->idr[0] & SMMU_IDR0_VMID16 ? 16 : 8;
    smmu->ssid_bits = (guint)SMMU_IDR1_SSIDSIZE(config->idr[1]);
    smmu->vmids = g_hash_table_new(NULL, NULL);
    smmu->masters = g_ptr_array_new();
    smmu->tlb = viommui_emu_smmuv3_tlb_new();
    smmu->half_done = viommui_emu_smmuv3_half_done_new();
    return &smmu->iommu;
}

void viommu_emulator_smmuv3_defaults(ViommuEmulatorSmmuv3Config *ret_config)
{
    *ret_config = (ViommuEmulatorSmmuv3Config){
        .idr =
            {
                /* TTENDIAN little, no stalls, aborts only, 2-level stream tables */
                SMMU_IDR0_S2P | SMMU_IDR0_S1P | SMMU_IDR0_TTF_AARCH64 | SMMU_IDR0_COHACC |
                    SMMU_IDR0_ATS | SMMU_IDR0_ASID16 | SMMU_IDR0_VMID16 | SMMU_IDR0_CD2L |
                    2U << 21 | 1U << 24 | SMMU_IDR0_TERM_MODEL | 1U << 27,
                /* SIDSIZE 16, SSIDSIZE 20, queues of 2^19 entries, attribute overrides */
                16U | 20U << 6 | 19U << 16 | 19U << 21 | 1U << 27,
                0,
                /* break-before-make level 2 */
                SMMU_IDR3_HAD | SMMU_IDR3_RIL | 2U << 11,
                0,
                /* 48-bit output addresses */
                5U | SMMU_IDR5_GRAN4K | SMMU_IDR5_GRAN16K | SMMU_IDR5_GRAN64K,
            },
        .iidr = 0x43b,
        .aidr = 0x02, /* SMMUv3.2 */
        .canwbs = TRUE,
    };
}
