/* SPDX-License-Identifier: MIT */
/*
 * An emulated VT-d unit from a request to its answer: the interrupt range, the PASID
 * entry, its translation, and the device's own cache where ATS is on.
 *
 * Invariants: a request without PASID is one of PASID 0 in all but the interrupt range
 * and privilege. A refused request leaves no event: Linux keeps VT-d's fault records
 * to itself. A device with page requests gets to know what it may ask for.
 *
 * Up: EmuIommuOps.translate for dma.c. Down: vtd-walk.c, atc.c.
 */
#include "vtd.h"

/* 3.14: only what comes without a PASID can be an interrupt message. */
static gboolean is_interrupt(const EmuAccess *access)
{
    return !access->has_pasid && access->iova >= VTD_MSI_FIRST &&
           access->iova <= VTD_MSI_LAST;
}

/* What Linux would drop: it answers such a page request with "invalid" by itself. */
static gboolean can_ask(const VtdDevice *device, const EmuAccess *access)
{
    guint64 high = access->iova >> 47;

    return viommui_emu_vtd_has_pri(device) && !access->peek &&
           (high == 0 || high == EMU_MASK64(16, 0)) &&
           !(access->has_pasid && access->privileged);
}

static int nested(VtdDevice *device, const VtdPasidEntry *entry, guint32 pasid,
                  const EmuAccess *access, guint64 *ret_ipa)
{
    VtdIotlbEntry found = {0};
    VtdFault fault = viommui_emu_vtd_first_stage(device->vtd, entry, pasid, access, &found);

    if (fault) {
        return fault == VTD_RECOVERABLE && can_ask(device, access) ? -EINPROGRESS : -EFAULT;
    }
    *ret_ipa = found.out | (access->iova & ((1ULL << found.shift) - 1));
    if (device->device->iommu->ops->has_ats(device->device) && !access->peek) {
        const EmuAtcEntry answer = {
            .has_pasid = access->has_pasid,
            .pasid = access->has_pasid ? pasid : 0,
            .privileged = access->has_pasid && access->privileged,
            .va = access->iova,
            .shift = found.shift,
            .out = found.out,
            /* A read must not earn the right to write past the dirty flag. */
            .writable = access->write,
        };

        viommui_emu_atc_insert(device->atc, &answer);
    }
    return 0;
}

/* What the kernel's tables lack can be asked for as well. */
static int check_ioas(const VtdDevice *device, const EmuIoas *ioas, const EmuAccess *access,
                      guint64 ipa)
{
    return can_ask(device, access) &&
                   !viommui_emu_dma_host(device->device, access, ioas, ipa, 1)
               ? -EINPROGRESS
               : 0;
}

int viommui_emu_vtd_translate(EmuDevice *device, const EmuAccess *access, guint64 *ret_ipa,
                              EmuIoas **ret_ioas)
{
    VtdDevice *self = device->iommu_priv;
    guint32 pasid = access->has_pasid ? access->pasid : 0;
    const VtdPasidEntry *entry =
        g_hash_table_lookup(self->entries, GUINT_TO_POINTER(pasid));
    const EmuAtcEntry *known;
    int ret = 0;

    if (is_interrupt(access)) {
        return access->write ? -EADDRNOTAVAIL : -EFAULT;
    }
    /* A request with a PASID from a device without the capability cannot be. */
    if (!entry || entry->pgtt == VTD_PGTT_NONE ||
        (access->has_pasid && !device->iommu->ops->pasid_bits(device))) {
        return -EFAULT;
    }
    /* Linux never sets what would allow requests to execute. */
    if (access->exec) {
        return -EFAULT;
    }
    *ret_ioas = entry->paging->ioas;
    if (entry->pgtt != VTD_PGTT_NESTED) {
        /* The host's own tables, which are the IOAS: never stale. */
        *ret_ipa = access->iova;
        return access->iova >> entry->width ? -EFAULT
                                            : check_ioas(self, *ret_ioas, access, *ret_ipa);
    }
    known = viommui_emu_atc_find(self->atc, access);
    if (known) {
        *ret_ipa = known->out | (access->iova & ((1ULL << known->shift) - 1));
        if (access->ret_cache) {
            *access->ret_cache = VIOMMU_EMULATOR_CACHE_ATC;
        }
        return 0;
    }
    ret = nested(self, entry, pasid, access, ret_ipa);
    return ret < 0 ? ret : check_ioas(self, *ret_ioas, access, *ret_ipa);
}
