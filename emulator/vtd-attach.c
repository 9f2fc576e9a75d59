/* SPDX-License-Identifier: MIT */
/*
 * Attaching a device, or one of its PASIDs, as Intel's driver does it: domain IDs,
 * PASID entries, and who is told when a domain's tables change.
 *
 * Invariants: a requester ID's old entry goes first, so that whatever fails after that
 * leaves it blocked; a PASID's goes when only the entry itself can still fail. A domain
 * has one ID on a unit while something is attached there. An entry that was torn down
 * has left nothing in a cache.
 *
 * Up: EmuIommuOps in vtd-driver.c. Down: vtd-iotlb.c, atc.c.
 */
#include "vtd.h"

/* 0 is the hardware's for entries that are not present, 1 Linux's for first stages. */
#define FIRST_DID 2

static int get_did(Vtd *vtd, VtdDomain *domain, guint16 *ret_did)
{
    guint limit = MIN(1U << (4 + 2 * VTD_CAP_ND(vtd->config.cap)), 1U << 16);
    VtdDid *known = g_hash_table_lookup(domain->dids, vtd);

    if (known) {
        known->refs++;
        *ret_did = known->did;
        return 0;
    }
    for (guint did = FIRST_DID; did < limit; did++) {
        if (g_hash_table_add(vtd->dids, GUINT_TO_POINTER(did))) {
            known = g_new0(VtdDid, 1);
            known->did = (guint16)did;
            known->refs = 1;
            g_hash_table_insert(domain->dids, vtd, known);
            *ret_did = known->did;
            return 0;
        }
    }
    return -ENOSPC;
}

static void put_did(Vtd *vtd, VtdDomain *domain)
{
    VtdDid *known = g_hash_table_lookup(domain->dids, vtd);

    if (--known->refs == 0) {
        g_hash_table_remove(vtd->dids, GUINT_TO_POINTER((guint)known->did));
        g_hash_table_remove(domain->dids, vtd);
    }
}

static VtdDomain *parent_domain(const EmuHwpt *hwpt)
{
    return hwpt->parent ? hwpt->parent->priv : NULL;
}

static void add_tags(VtdDevice *device, EmuHwpt *hwpt, guint32 pasid, guint16 did)
{
    VtdDomain *domain = hwpt->priv;
    VtdCacheTag tag = {.device = device, .pasid = pasid, .did = did};

    g_array_append_val(domain->tags, tag);
    if (parent_domain(hwpt)) {
        tag.for_parent = TRUE;
        g_array_append_val(parent_domain(hwpt)->tags, tag);
    }
}

static void remove_tag(VtdDomain *domain, const VtdDevice *device, guint32 pasid,
                       guint16 did)
{
    for (guint i = 0; domain && i < domain->tags->len; i++) {
        const VtdCacheTag *tag = &g_array_index(domain->tags, VtdCacheTag, i);

        if (tag->device == device && tag->pasid == pasid && tag->did == did) {
            g_array_remove_index_fast(domain->tags, i);
            return;
        }
    }
}

/* A domain ID and the tags of one attachment. */
static int join(VtdDevice *device, EmuHwpt *hwpt, guint32 pasid, guint16 *ret_did)
{
    int ret = get_did(device->vtd, hwpt->priv, ret_did);

    if (ret == 0) {
        add_tags(device, hwpt, pasid, *ret_did);
    }
    return ret;
}

static void leave(VtdDevice *device, EmuHwpt *hwpt, guint32 pasid)
{
    VtdDomain *domain = hwpt->priv;
    const VtdDid *known = g_hash_table_lookup(domain->dids, device->vtd);

    remove_tag(domain, device, pasid, known->did);
    remove_tag(parent_domain(hwpt), device, pasid, known->did);
    put_did(device->vtd, domain);
}

/* Device-TLB invalidation: for the requester ID without PASID, which spares nothing. */
static void flush_atc(const VtdDevice *device, guint32 pasid, guint64 first, guint64 last)
{
    const EmuAtcInv what = {
        .has_pasid = pasid != 0,
        .pasid = pasid,
        .first = first,
        .last = last,
    };

    viommui_emu_atc_invalidate(device->atc, &what);
}

static void tear_down_entry(VtdDevice *device, guint32 pasid)
{
    gpointer key = GUINT_TO_POINTER(pasid);
    const VtdPasidEntry *entry = g_hash_table_lookup(device->entries, key);

    if (!entry) {
        return;
    }
    viommui_emu_vtd_iotlb_flush_did(device->vtd->iotlb, entry->did);
    flush_atc(device, pasid, 0, G_MAXUINT64);
    g_hash_table_remove(device->entries, key);
}

/* What only the writing of a nested entry finds out. */
static int check_nested(const Vtd *vtd, const struct iommu_hwpt_vtd_s1 *s1)
{
    const ViommuEmulatorVtdConfig *config = &vtd->config;

    if (s1->addr_width != 48 && !(s1->addr_width == 57 && (config->cap & VTD_CAP_FS5LP))) {
        return -EINVAL;
    }
    if (((s1->flags & IOMMU_VTD_S1_SRE) && !(config->ecap & VTD_ECAP_SRS)) ||
        ((s1->flags & IOMMU_VTD_S1_EAFE) && !(config->ecap & VTD_ECAP_EAFS))) {
        return -EINVAL;
    }
    return 0;
}

static int set_entry(VtdDevice *device, EmuHwpt *hwpt, guint32 pasid, guint16 did)
{
    EmuHwpt *paging = viommui_emu_hwpt_paging(hwpt);
    const VtdDomain *domain = hwpt->priv;
    const struct iommu_hwpt_vtd_s1 *s1 = &domain->s1;
    VtdPasidEntry entry = {.did = did, .paging = paging};
    int ret;

    switch (domain->stage) {
    case VTD_FIRST_STAGE:
        entry.pgtt = VTD_PGTT_FIRST;
        entry.width = domain->width - 1; /* only the lower half is ever mapped */
        break;
    case VTD_SECOND_STAGE:
        entry.pgtt = VTD_PGTT_SECOND;
        entry.width = domain->width;
        break;
    default:
        ret = check_nested(device->vtd, s1);
        if (ret < 0) {
            return ret;
        }
        entry.pgtt = VTD_PGTT_NESTED;
        entry.table = s1->pgtbl_addr & EMU_PAGE_MASK;
        entry.levels = s1->addr_width == 57 ? 5 : 4;
        entry.sre = !!(s1->flags & IOMMU_VTD_S1_SRE);
        entry.wpe = entry.sre && (s1->flags & IOMMU_VTD_S1_WPE);
        entry.eafe = !!(s1->flags & IOMMU_VTD_S1_EAFE);
        break;
    }
    g_hash_table_insert(device->entries, GUINT_TO_POINTER(pasid),
                        g_memdup2(&entry, sizeof(entry)));
    return 0;
}

/* A domain with a fault queue is only for devices with page requests. */
static int check_faults(const VtdDevice *device, const EmuHwpt *hwpt)
{
    return hwpt->fault && !viommui_emu_vtd_has_pri(device) ? -ENODEV : 0;
}

static void block(VtdDevice *device, guint32 pasid)
{
    EmuHwpt *old = g_hash_table_lookup(device->hwpts, GUINT_TO_POINTER(pasid));

    tear_down_entry(device, pasid);
    if (old) {
        leave(device, old, pasid);
        g_hash_table_remove(device->hwpts, GUINT_TO_POINTER(pasid));
    }
}

int viommui_emu_vtd_attach(EmuDevice *device, EmuHwpt *hwpt)
{
    VtdDevice *self = device->iommu_priv;
    guint16 did = 0;
    int ret;

    block(self, 0);
    if (!hwpt) {
        return 0;
    }
    ret = viommui_emu_vtd_compatible(self->vtd, viommui_emu_hwpt_paging(hwpt)->priv);
    if (ret < 0) {
        return ret;
    }
    /* The two kinds look for a free domain ID at different moments. */
    ret = hwpt->parent ? 0 : check_faults(self, hwpt);
    if (ret == 0) {
        ret = join(self, hwpt, 0, &did);
    }
    if (ret < 0) {
        return ret;
    }
    ret = check_faults(self, hwpt);
    if (ret == 0) {
        ret = set_entry(self, hwpt, 0, did);
    }
    if (ret < 0) {
        leave(self, hwpt, 0);
        return ret;
    }
    g_hash_table_insert(self->hwpts, NULL, hwpt);
    return 0;
}

int viommui_emu_vtd_attach_pasid(EmuDevice *device, guint32 pasid, EmuHwpt *hwpt,
                                 EmuHwpt *old)
{
    VtdDevice *self = device->iommu_priv;
    guint16 did = 0;
    int ret;

    if (!hwpt) {
        block(self, pasid);
        return 0;
    }
    if (!viommui_emu_vtd_has_pasid(self->vtd)) {
        return -EOPNOTSUPP;
    }
    ret = viommui_emu_vtd_compatible(self->vtd, viommui_emu_hwpt_paging(hwpt)->priv);
    if (ret == 0) {
        ret = join(self, hwpt, pasid, &did);
    }
    if (ret < 0) {
        return ret;
    }
    ret = check_faults(self, hwpt);
    if (ret == 0) {
        if (old) {
            tear_down_entry(self, pasid);
        }
        ret = set_entry(self, hwpt, pasid, did);
    }
    if (ret < 0) {
        leave(self, hwpt, pasid);
        return ret;
    }
    old = g_hash_table_lookup(self->hwpts, GUINT_TO_POINTER(pasid));
    if (old) {
        leave(self, old, pasid);
    }
    g_hash_table_insert(self->hwpts, GUINT_TO_POINTER(pasid), hwpt);
    return 0;
}

void viommui_emu_vtd_flush_range(VtdDomain *domain, guint64 first, guint64 last,
                                 gboolean leaf_only)
{
    guint64 differ = (first & EMU_PAGE_MASK) ^ last;
    guint64 mask = EMU_PAGE_SIZE - 1;

    /* The smallest naturally aligned power of two that holds both ends. */
    while (differ & ~mask) {
        mask = mask << 1 | 1;
    }
    first &= ~mask;
    last = first | mask;
    for (guint i = 0; i < domain->tags->len; i++) {
        const VtdCacheTag *tag = &g_array_index(domain->tags, VtdCacheTag, i);
        const VtdIotlbInv what = {
            .did = tag->did,
            .pasid = tag->pasid,
            .first = first,
            .last = last,
            /* Of everything, there is no leaf-only form. */
            .leaf_only = leaf_only && mask != G_MAXUINT64,
        };

        viommui_emu_vtd_iotlb_invalidate(tag->device->vtd->iotlb, &what);
        flush_atc(tag->device, tag->pasid, first, last);
    }
}

void viommui_emu_vtd_flush_parent(VtdDomain *domain)
{
    for (guint i = 0; i < domain->tags->len; i++) {
        const VtdCacheTag *tag = &g_array_index(domain->tags, VtdCacheTag, i);

        viommui_emu_vtd_iotlb_flush_did(tag->device->vtd->iotlb, tag->did);
        flush_atc(tag->device, tag->pasid, 0, G_MAXUINT64);
    }
}
