/* SPDX-License-Identifier: MIT */
/*
 * The Linux driver for VT-d as far as it shows: what it says of the hardware, and which
 * domains it makes.
 *
 * Invariants: a paging domain is of the first stage unless something is asked of it
 * that only the second can do; it fits any unit that can do as much as the one it was
 * made for. There is no vIOMMU: guests nest from the parent itself.
 *
 * Up: EmuIommuOps, for iommufd's objects. Down: vtd-attach.c, vtd-nested.c, vtd.c.
 */
#include "vtd.h"

static Vtd *to_vtd(EmuIommu *iommu)
{
    return (Vtd *)iommu;
}

static gboolean is_scalable(const Vtd *vtd)
{
    return !!(vtd->config.ecap & VTD_ECAP_SMTS);
}

static gboolean is_coherent(const Vtd *vtd)
{
    return !!(vtd->config.ecap & (is_scalable(vtd) ? VTD_ECAP_SMPWCS : VTD_ECAP_C));
}

gboolean viommui_emu_vtd_has_nesting(const Vtd *vtd)
{
    return is_scalable(vtd) && (vtd->config.ecap & VTD_ECAP_NEST);
}

gboolean viommui_emu_vtd_has_pasid(const Vtd *vtd)
{
    return is_scalable(vtd) && (vtd->config.ecap & VTD_ECAP_PASID);
}

static gboolean has_ats(EmuDevice *device)
{
    return device->ats && (to_vtd(device->iommu)->config.ecap & VTD_ECAP_DT);
}

gboolean viommui_emu_vtd_has_pri(const VtdDevice *device)
{
    const guint64 both = VTD_ECAP_PRS | VTD_ECAP_PDS;

    return is_scalable(device->vtd) && has_ats(device->device) && device->device->pri &&
           (device->vtd->config.ecap & both) == both;
}

static void vtd_free(EmuIommu *iommu)
{
    Vtd *vtd = to_vtd(iommu);

    viommui_emu_vtd_iotlb_free(vtd->iotlb);
    g_hash_table_unref(vtd->dids);
    g_free(vtd);
}

static gpointer vtd_device_new(EmuIommu *iommu, EmuDevice *device)
{
    VtdDevice *self = g_new0(VtdDevice, 1);

    self->vtd = to_vtd(iommu);
    self->device = device;
    self->entries = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    self->hwpts = g_hash_table_new(NULL, NULL);
    self->atc = viommui_emu_atc_new();
    return self;
}

static void vtd_device_free(EmuIommu *iommu, gpointer priv)
{
    VtdDevice *self = priv;

    (void)iommu;
    g_hash_table_unref(self->entries);
    g_hash_table_unref(self->hwpts);
    viommui_emu_atc_free(self->atc);
    g_free(self);
}

/* Whatever the hardware: the driver says so of every device. */
static gboolean vtd_is_coherent(EmuIommu *iommu)
{
    (void)iommu;
    return TRUE;
}

static gboolean has_dirty_tracking(const Vtd *vtd)
{
    const guint64 both = VTD_ECAP_SSADS | VTD_ECAP_SMPWCS;

    return is_scalable(vtd) && (vtd->config.ecap & both) == both;
}

static gboolean vtd_has_dirty_tracking(EmuIommu *iommu)
{
    return has_dirty_tracking(to_vtd(iommu));
}

static gboolean vtd_enforces_coherency(EmuIommu *iommu)
{
    return !!(to_vtd(iommu)->config.ecap & VTD_ECAP_SC);
}

static int vtd_hw_info(EmuIommu *iommu, guint32 *type, void *data, guint32 *ret_size)
{
    const ViommuEmulatorVtdConfig *config = &to_vtd(iommu)->config;
    const struct iommu_hw_info_vtd info = {
        .flags = config->without_errata_772415
                     ? 0
                     : (guint32)IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17,
        .cap_reg = config->cap,
        .ecap_reg = config->ecap,
    };

    if (*type != IOMMU_HW_INFO_TYPE_DEFAULT && *type != IOMMU_HW_INFO_TYPE_INTEL_VTD) {
        return -EOPNOTSUPP;
    }
    memcpy(data, &info, sizeof(info));
    *ret_size = sizeof(info);
    *type = IOMMU_HW_INFO_TYPE_INTEL_VTD;
    return 0;
}

VtdDomain *viommui_emu_vtd_domain_new(VtdStage stage)
{
    VtdDomain *domain = g_new0(VtdDomain, 1);

    domain->stage = stage;
    domain->dids = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    domain->tags = g_array_new(FALSE, FALSE, sizeof(VtdCacheTag));
    return domain;
}

static void vtd_hwpt_free(EmuIommu *iommu, EmuHwpt *hwpt)
{
    VtdDomain *domain = hwpt->priv;

    (void)iommu;
    if (domain) {
        g_hash_table_unref(domain->dids);
        g_array_unref(domain->tags);
        g_free(domain);
    }
}

static VtdDomain *new_first_stage(const Vtd *vtd)
{
    VtdDomain *domain = viommui_emu_vtd_domain_new(VTD_FIRST_STAGE);
    guint mgaw = (guint)VTD_CAP_MGAW(vtd->config.cap);
    gboolean five = mgaw > 48 && (vtd->config.cap & VTD_CAP_FS5LP);

    domain->levels = five ? 5 : 4;
    domain->width = MIN(mgaw, five ? 57 : 48);
    domain->huge_2m = TRUE;
    domain->huge_1g = !!(vtd->config.cap & VTD_CAP_FS1GP);
    domain->coherent = is_coherent(vtd);
    domain->sync_map = !!(vtd->config.cap & VTD_CAP_RWBF);
    return domain;
}

/* The largest tables that MGAW and SAGAW both know; FALSE: there are none. */
static gboolean choose_tables(guint64 cap, VtdDomain *domain)
{
    guint sagaw = (guint)VTD_CAP_SAGAW(cap);
    guint mgaw = (guint)VTD_CAP_MGAW(cap);

    for (guint levels = 5; levels >= 3; levels--) {
        guint below = 12 + 9 * (levels - 1);

        /* A unit may walk only more levels than its addresses need. */
        if (mgaw > below && sagaw >= 1U << (levels - 2)) {
            domain->width = MIN(below + 9, mgaw);
            domain->levels = levels;
            while (domain->levels < 5 && !(sagaw & 1U << (domain->levels - 2))) {
                domain->levels++;
            }
            return TRUE;
        }
    }
    return FALSE;
}

static VtdDomain *new_second_stage(const Vtd *vtd, guint32 flags)
{
    VtdDomain *domain = viommui_emu_vtd_domain_new(VTD_SECOND_STAGE);
    guint sslps = (guint)VTD_CAP_SSLPS(vtd->config.cap);

    if (!choose_tables(vtd->config.cap, domain)) {
        g_hash_table_unref(domain->dids);
        g_array_unref(domain->tags);
        g_free(domain);
        return NULL;
    }
    domain->huge_2m = !!(sslps & 1);
    domain->huge_1g = !!(sslps & 2);
    domain->coherent = is_coherent(vtd);
    domain->sync_map = !!(vtd->config.cap & (VTD_CAP_RWBF | VTD_CAP_CM));
    domain->nest_parent = !!(flags & IOMMU_HWPT_ALLOC_NEST_PARENT);
    domain->has_dirty = !!(flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
    return domain;
}

static gboolean is_first_stage(const Vtd *vtd, guint32 flags)
{
    return !(flags & ~(guint32)IOMMU_HWPT_ALLOC_PASID) && is_scalable(vtd) &&
           (vtd->config.ecap & VTD_ECAP_FSTS);
}

static int check_second_stage(const Vtd *vtd, guint32 flags)
{
    const guint32 known = IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
                          IOMMU_HWPT_ALLOC_PASID;

    if ((flags & ~known) ||
        ((flags & IOMMU_HWPT_ALLOC_NEST_PARENT) && !viommui_emu_vtd_has_nesting(vtd)) ||
        ((flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) && !has_dirty_tracking(vtd)) ||
        (is_scalable(vtd) && !(vtd->config.ecap & VTD_ECAP_SSTS))) {
        return -EOPNOTSUPP;
    }
    return 0;
}

static int vtd_paging_init(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags,
                           gboolean has_user_data)
{
    Vtd *vtd = to_vtd(iommu);
    VtdDomain *domain;
    int ret;

    if (has_user_data) {
        return -EOPNOTSUPP;
    }
    if (is_first_stage(vtd, flags)) {
        domain = new_first_stage(vtd);
        hwpt->aperture_last = (1ULL << (domain->width - 1)) - 1;
        hwpt->all_readable = TRUE;
    } else {
        ret = check_second_stage(vtd, flags);
        if (ret < 0) {
            return ret;
        }
        domain = new_second_stage(vtd, flags);
        if (!domain) {
            return -EINVAL;
        }
        hwpt->aperture_last = (1ULL << domain->width) - 1;
        /* Of every unit, for the sake of those that have the erratum. */
        hwpt->force_writable = domain->nest_parent && !vtd->config.without_errata_772415;
    }
    domain->force_snooping = !!(vtd->config.ecap & VTD_ECAP_SC);
    hwpt->priv = domain;
    hwpt->page_size = EMU_PAGE_SIZE;
    return 0;
}

static gboolean fits_first_stage(const Vtd *vtd, const VtdDomain *domain)
{
    guint64 cap = vtd->config.cap;

    return is_first_stage(vtd, 0) && (is_coherent(vtd) || !domain->coherent) &&
           ((cap & VTD_CAP_FS5LP) || domain->width <= 48) &&
           ((cap & VTD_CAP_FS1GP) || !domain->huge_1g) &&
           (!(cap & VTD_CAP_RWBF) || domain->sync_map);
}

static gboolean fits_second_stage(const Vtd *vtd, const VtdDomain *domain)
{
    guint64 cap = vtd->config.cap;
    guint sslps = (guint)VTD_CAP_SSLPS(cap);

    if ((domain->has_dirty && !has_dirty_tracking(vtd)) ||
        (domain->nest_parent && !viommui_emu_vtd_has_nesting(vtd)) ||
        (is_scalable(vtd) && !(vtd->config.ecap & VTD_ECAP_SSTS))) {
        return FALSE;
    }
    return (is_coherent(vtd) || !domain->coherent) && VTD_CAP_MGAW(cap) >= domain->width &&
           (VTD_CAP_SAGAW(cap) & 1U << (domain->levels - 2)) &&
           ((sslps & 1) || !domain->huge_2m) && ((sslps & 2) || !domain->huge_1g) &&
           (!(cap & (VTD_CAP_RWBF | VTD_CAP_CM)) || domain->sync_map) &&
           (!domain->force_snooping || (vtd->config.ecap & VTD_ECAP_SC));
}

int viommui_emu_vtd_compatible(const Vtd *vtd, const VtdDomain *domain)
{
    gboolean fits = domain->stage == VTD_FIRST_STAGE ? fits_first_stage(vtd, domain)
                                                     : fits_second_stage(vtd, domain);

    return fits ? 0 : -EINVAL;
}

static void vtd_unmapped(EmuIommu *iommu, EmuHwpt *hwpt)
{
    (void)iommu;
    viommui_emu_vtd_flush_parent(hwpt->priv);
}

static gboolean vtd_has_viommu_type(EmuIommu *iommu, guint32 type)
{
    (void)iommu;
    (void)type;
    return FALSE;
}

static int vtd_viommu_init(EmuIommu *iommu, EmuViommu *viommu)
{
    (void)iommu;
    (void)viommu;
    return -EOPNOTSUPP;
}

static int vtd_viommu_nested_init(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags,
                                  guint32 type, const void *data, guint32 size)
{
    (void)iommu;
    (void)hwpt;
    (void)flags;
    (void)type;
    (void)data;
    (void)size;
    return -EOPNOTSUPP;
}

static int vtd_viommu_invalidate(EmuIommu *iommu, EmuViommu *viommu, guint32 type,
                                 const void *data, guint32 entry_len, guint32 *entry_num)
{
    (void)iommu;
    (void)viommu;
    (void)type;
    (void)data;
    (void)entry_len;
    *entry_num = 0;
    return -EOPNOTSUPP;
}

static gboolean vtd_is_blocking(EmuDevice *device)
{
    const VtdDevice *self = device->iommu_priv;

    return !g_hash_table_contains(self->entries, NULL);
}

static guint vtd_pasid_bits(EmuDevice *device)
{
    const Vtd *vtd = to_vtd(device->iommu);

    return viommui_emu_vtd_has_pasid(vtd)
               ? MIN(device->pasid_bits, (guint)VTD_ECAP_PSS(vtd->config.ecap) + 1)
               : 0;
}

static gboolean vtd_takes_pasid(EmuHwpt *hwpt)
{
    (void)hwpt;
    return TRUE;
}

/* The entries' SSADE bit changes, and their caches go. */
static int vtd_set_dirty_tracking(EmuHwpt *hwpt, gboolean enable)
{
    hwpt->dirty_enabled = enable;
    viommui_emu_vtd_flush_parent(hwpt->priv);
    return 0;
}

static void vtd_page_response(EmuDevice *device, const EmuPageRequest *last, guint32 code)
{
    viommui_emu_dma_answer(device, last, code);
}

static const EmuIommuOps vtd_ops = {
    .free = vtd_free,
    .device_new = vtd_device_new,
    .device_free = vtd_device_free,
    .is_coherent = vtd_is_coherent,
    .has_dirty_tracking = vtd_has_dirty_tracking,
    .hw_info = vtd_hw_info,
    .paging_init = vtd_paging_init,
    .nested_init = viommui_emu_vtd_nested_init,
    .hwpt_free = vtd_hwpt_free,
    .unmapped = vtd_unmapped,
    .hwpt_invalidate = viommui_emu_vtd_invalidate,
    .has_viommu_type = vtd_has_viommu_type,
    .viommu_init = vtd_viommu_init,
    .viommu_nested_init = vtd_viommu_nested_init,
    .viommu_invalidate = vtd_viommu_invalidate,
    .attach = viommui_emu_vtd_attach,
    .translate = viommui_emu_vtd_translate,
    .is_blocking = vtd_is_blocking,
    .pasid_bits = vtd_pasid_bits,
    .has_ats = has_ats,
    .enforces_coherency = vtd_enforces_coherency,
    .takes_pasid = vtd_takes_pasid,
    .attach_pasid = viommui_emu_vtd_attach_pasid,
    .set_dirty_tracking = vtd_set_dirty_tracking,
    .page_response = vtd_page_response,
    .user_pasid_table = FALSE,
    .msi_first = VTD_MSI_FIRST,
    .msi_last = VTD_MSI_LAST,
};

EmuIommu *viommui_emu_vtd_new(const ViommuEmulatorVtdConfig *config)
{
    Vtd *vtd = g_new0(Vtd, 1);

    vtd->iommu.ops = &vtd_ops;
    vtd->config = *config;
    vtd->config.host_bits = CLAMP(config->host_bits, 12, 52);
    vtd->dids = g_hash_table_new(NULL, NULL);
    vtd->iotlb = viommui_emu_vtd_iotlb_new();
    return &vtd->iommu;
}

void viommu_emulator_vtd_defaults(ViommuEmulatorVtdConfig *ret_config)
{
    *ret_config = (ViommuEmulatorVtdConfig){
        /* 2^16 domains, 4 and 5 levels, MGAW 57, all page sizes, page-selective */
        .cap = 6ULL | 0xcULL << 8 | 56ULL << 16 | 3ULL << 34 | 1ULL << 39 | 52ULL << 48 |
               3ULL << 54 | VTD_CAP_FS1GP | VTD_CAP_FS5LP,
        /* 2^20 PASIDs; supervisor requests, extended access flags, page requests */
        .ecap = VTD_ECAP_C | VTD_ECAP_QI | VTD_ECAP_DT | VTD_ECAP_IR | VTD_ECAP_PT |
                VTD_ECAP_SC | VTD_ECAP_NEST | VTD_ECAP_PRS | VTD_ECAP_SRS | VTD_ECAP_EAFS |
                19ULL << 35 | VTD_ECAP_PASID | VTD_ECAP_PDS | VTD_ECAP_SMTS |
                VTD_ECAP_SSADS | VTD_ECAP_SSTS | VTD_ECAP_FSTS | VTD_ECAP_SMPWCS,
        .host_bits = 52,
    };
}
