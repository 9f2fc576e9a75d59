/* SPDX-License-Identifier: MIT */
/*
 * Stage 1 of an emulated SMMUv3: VMSAv8-64 tables of 4, 16 and 64 KiB granules, read
 * from guest memory through stage 2, behind the TLB.
 *
 * Invariants: every descriptor is read once; nothing that is invalid, or lacks its
 * access flag, enters the TLB; a peek changes nothing. Faults are judged in the
 * architecture's order: translation, address size, access flag, permission.
 *
 * Up: smmuv3.c. Down: smmuv3-tlb.c, and stage 2 by viommui_emu_smmuv3_fetch().
 */
#include "smmuv3.h"

#define DESC_VALID     1ULL
#define DESC_TABLE     2ULL /* or a page, at level 3 */
#define DESC_AP1_EL0   (1ULL << 6)
#define DESC_AP2_RO    (1ULL << 7)
#define DESC_AF        (1ULL << 10)
#define DESC_NG        (1ULL << 11)
#define DESC_PXN       (1ULL << 53)
#define DESC_UXN       (1ULL << 54)
#define DESC_PXN_TABLE (1ULL << 59)
#define DESC_UXN_TABLE (1ULL << 60)
#define DESC_APT_NOEL0 (1ULL << 61)
#define DESC_APT_RO    (1ULL << 62)

typedef struct {
    Smmuv3 *smmu;
    const Smmuv3Cd *cd;
    const Smmuv3Tt *tt;
    const EmuIoas *ioas;
    guint64 va;
    gboolean keep; /* what is walked goes into the TLB */
    guint level;
    guint64 table;
    /* Walked so far; then the translation. */
    Smmuv3TlbEntry entry;
} Walk;

static guint level_shift(const Smmuv3Tt *tt, guint level)
{
    return tt->granule + (tt->granule - 3) * (3 - level);
}

/* Which half the address lies in; NULL when in neither. */
static const Smmuv3Tt *find_half(const Smmuv3Cd *cd, guint64 va)
{
    const Smmuv3Tt *tt = &cd->tt[va >> 55 & 1];
    guint64 above = va & (1ULL << 55) ? ~va : va;

    if (tt->disabled) {
        return NULL;
    }
    if (tt->tbi) {
        above &= EMU_MASK64(55, 0);
    }
    return above >> tt->size_bits ? NULL : tt;
}

/* Begin at the translation table base, or below it where the TLB knows the way. */
static void start(Walk *walk)
{
    const Smmuv3Tt *tt = walk->tt;
    guint stride = tt->granule - 3;
    guint first = 4 - (tt->size_bits - tt->granule + stride - 1) / stride;
    guint top_bits = tt->size_bits - level_shift(tt, first);

    walk->level = first;
    walk->table = tt->ttb & ~((8ULL << top_bits) - 1);
    for (guint level = 3; level-- > first;) {
        const Smmuv3TlbEntry *known = viommui_emu_smmuv3_tlb_find_table(
            walk->smmu->tlb, walk->entry.vmid, walk->cd->asid, walk->va,
            level_shift(tt, level), tt->granule);

        if (known && known->level == level) {
            walk->level = level + 1;
            walk->table = known->out;
            walk->entry.read_only = known->read_only;
            walk->entry.privileged = known->privileged;
            walk->entry.no_user_exec = known->no_user_exec;
            walk->entry.no_privileged_exec = known->no_privileged_exec;
            return;
        }
    }
}

static guint64 descriptor_ipa(const Walk *walk)
{
    guint shift = level_shift(walk->tt, walk->level);
    guint high = MIN(shift + walk->tt->granule - 3, walk->tt->size_bits);

    return walk->table + 8 * EMU_BITS64(walk->va, high - 1, shift);
}

static gboolean is_block_level(const Walk *walk)
{
    switch (walk->tt->granule) {
    case 12:
        return walk->level == 1 || walk->level == 2;
    case 14:
        return walk->level == 2;
    default:
        return walk->level == 2 || (walk->level == 1 && walk->smmu->oas_bits == 52);
    }
}

/* The output address of a descriptor from bit `low` up, all 52 bits of it. */
static guint64 output_address(const Walk *walk, guint64 desc, guint low)
{
    guint64 out = desc & EMU_MASK64(47, low);

    if (walk->tt->granule == 16 && walk->smmu->oas_bits == 52) {
        out |= EMU_BITS64(desc, 15, 12) << 48;
    }
    return out;
}

static void remember(Walk *walk, guint shift, gboolean table, guint64 out)
{
    Smmuv3TlbEntry *entry = &walk->entry;

    entry->va = walk->va;
    entry->shift = shift;
    entry->level = walk->level;
    entry->table = table;
    entry->out = out;
    if (walk->keep) {
        viommui_emu_smmuv3_tlb_insert(walk->smmu->tlb, entry);
    }
}

static SmmuFault descend(Walk *walk, guint64 desc)
{
    guint64 next = output_address(walk, desc, walk->tt->granule);

    if (next >> walk->cd->oa_bits) {
        return SMMU_F_ADDR_SIZE;
    }
    if (!walk->tt->had) {
        walk->entry.read_only |= !!(desc & DESC_APT_RO);
        walk->entry.privileged |= !!(desc & DESC_APT_NOEL0);
        walk->entry.no_user_exec |= !!(desc & DESC_UXN_TABLE);
        walk->entry.no_privileged_exec |= !!(desc & DESC_PXN_TABLE);
    }
    walk->entry.global = FALSE;
    remember(walk, level_shift(walk->tt, walk->level), TRUE, next);
    walk->table = next;
    walk->level++;
    return SMMU_OK;
}

static SmmuFault finish(Walk *walk, guint64 desc)
{
    guint shift = level_shift(walk->tt, walk->level);
    guint64 out = output_address(walk, desc, shift);

    if (out >> walk->cd->oa_bits) {
        return SMMU_F_ADDR_SIZE;
    }
    if (!(desc & DESC_AF) && !walk->cd->affd) {
        return SMMU_F_ACCESS;
    }
    walk->entry.read_only |= !!(desc & DESC_AP2_RO);
    walk->entry.privileged |= !(desc & DESC_AP1_EL0);
    walk->entry.no_user_exec |= !!(desc & DESC_UXN);
    /* What the unprivileged can write the privileged never execute. */
    walk->entry.no_privileged_exec |=
        !!(desc & DESC_PXN) || (!walk->entry.privileged && !walk->entry.read_only);
    walk->entry.global = !(desc & DESC_NG);
    remember(walk, shift, FALSE, out);
    return SMMU_OK;
}

static SmmuFault walk_tables(Walk *walk)
{
    start(walk);
    for (;;) {
        SmmuFault fault;
        guint64 desc;

        if (!viommui_emu_smmuv3_fetch(walk->ioas, descriptor_ipa(walk), &desc)) {
            return SMMU_SILENT;
        }
        if (walk->cd->big_endian) {
            desc = GUINT64_SWAP_LE_BE(desc);
        }
        if (!(desc & DESC_VALID)) {
            return SMMU_F_TRANSLATION;
        }
        if (walk->level == 3) {
            return desc & DESC_TABLE ? finish(walk, desc) : SMMU_F_TRANSLATION;
        }
        if (!(desc & DESC_TABLE)) {
            return is_block_level(walk) ? finish(walk, desc) : SMMU_F_TRANSLATION;
        }
        fault = descend(walk, desc);
        if (fault) {
            return fault;
        }
    }
}

/* Without a SubstreamID nothing is privileged. */
static SmmuFault permit(const Smmuv3TlbEntry *entry, const EmuAccess *access,
                        Smmuv3TlbEntry *ret_found)
{
    gboolean privileged = access->has_pasid && access->privileged;

    if ((entry->privileged && !privileged) || (access->write && entry->read_only)) {
        return SMMU_F_PERMISSION;
    }
    if (access->exec && !access->write &&
        (privileged ? entry->no_privileged_exec : entry->no_user_exec)) {
        return SMMU_F_PERMISSION;
    }
    *ret_found = *entry;
    return SMMU_OK;
}

SmmuFault viommui_emu_smmuv3_stage1(Smmuv3 *smmu, const Smmuv3Cd *cd, const EmuIoas *ioas,
                                    guint16 vmid, const EmuAccess *access,
                                    Smmuv3TlbEntry *ret_found)
{
    Walk walk = {
        .smmu = smmu,
        .cd = cd,
        .tt = find_half(cd, access->iova),
        .ioas = ioas,
        .va = access->iova,
        .keep = !access->peek,
        .entry = {.vmid = vmid, .asid = cd->asid},
    };
    const Smmuv3TlbEntry *known;
    SmmuFault fault;

    if (!walk.tt) {
        return SMMU_F_TRANSLATION;
    }
    known = viommui_emu_smmuv3_tlb_find(smmu->tlb, vmid, cd->asid, access->iova);
    if (known) {
        if (access->ret_cache) {
            *access->ret_cache = VIOMMU_EMULATOR_CACHE_TLB;
        }
        return permit(known, access, ret_found);
    }
    walk.entry.granule = walk.tt->granule;
    fault = walk_tables(&walk);
    return fault ? fault : permit(&walk.entry, access, ret_found);
}
