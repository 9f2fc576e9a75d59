/* SPDX-License-Identifier: MIT */
/*
 * Guest commands handed to a host vIOMMU: checked one by one as the driver does,
 * issued in chunks, and carried out as the hardware would.
 *
 * Invariants: a command is carried out only when every command of its chunk has passed
 * the checks; the count handed back is the number that passed, whether issued or not.
 * The guest's VMID and StreamID never reach the hardware: the vIOMMU's own do. On an
 * SMMU with the repeat erratum a TLBI or CFGI does nothing until it has been issued
 * again after a sync, and nobody repeats a guest's command but who sent it.
 *
 * Up: hwpt.c. Down: smmuv3-tlb.c, and the CD cache in smmuv3.c.
 */
#include "smmuv3.h"

/* 4.1: opcodes */
enum {
    CMD_CFGI_CD = 0x05,
    CMD_CFGI_CD_ALL = 0x06,
    CMD_TLBI_NH_ALL = 0x10,
    CMD_TLBI_NH_ASID = 0x11,
    CMD_TLBI_NH_VA = 0x12,
    CMD_TLBI_NH_VAA = 0x13,
    CMD_TLBI_NSNH_ALL = 0x30,
    CMD_ATC_INV = 0x40,
};

#define CMD0_OP         EMU_MASK64(7, 0)
#define CMD0_ATC_GLOBAL EMU_MASK64(9, 9)
#define CMD0_SSV        EMU_MASK64(11, 11)
#define CMD0_NUM        EMU_MASK64(16, 12)
#define CMD0_SCALE      EMU_MASK64(25, 20)
#define CMD0_SSID       EMU_MASK64(31, 12)
#define CMD0_VMID       EMU_MASK64(47, 32)
#define CMD0_SID        EMU_MASK64(63, 32)
#define CMD1_LEAF       EMU_MASK64(0, 0)
#define CMD1_ATC_SIZE   EMU_MASK64(5, 0)
#define CMD1_TTL        EMU_MASK64(9, 8)
#define CMD1_TG         EMU_MASK64(11, 10)
#define CMD1_ADDR       EMU_MASK64(63, 12)

#define ATC_SIZE_ALL    52

/* The driver's queue batch is 64 entries, of which one is the sync. */
#define CHUNK 63

/* What waits for a repetition that never comes is forgotten some day. */
#define MAX_HALF_DONE 65536

typedef struct {
    guint64 words[2];
    Smmuv3Master *master; /* of a CFGI; NULL otherwise */
} Command;

static gboolean range_is_valid(const Smmuv3 *smmu, const guint64 words[2])
{
    gboolean range = (words[0] & (CMD0_NUM | CMD0_SCALE)) != 0;
    guint64 ttl = EMU_BITS64(words[1], 9, 8);
    guint64 tg = EMU_BITS64(words[1], 11, 10);

    if (!tg) {
        return !range && !ttl;
    }
    if (tg == 2 && ttl == 1 && !(smmu->config.idr[5] & SMMU_IDR5_DS)) {
        return FALSE;
    }
    return range || ttl;
}

/* The bits that a TLBI by address may carry; FALSE when its range is reserved. */
static gboolean allow_tlbi_va(const Smmuv3 *smmu, const guint64 words[2],
                              guint64 allowed[2])
{
    allowed[0] |= CMD0_VMID;
    allowed[1] |= CMD1_LEAF | CMD1_ADDR;
    if (!(smmu->config.idr[3] & SMMU_IDR3_RIL)) {
        return TRUE;
    }
    allowed[0] |= CMD0_NUM | CMD0_SCALE;
    allowed[1] |= CMD1_TG | CMD1_TTL;
    if (!(smmu->config.idr[5] & SMMU_IDR5_DS)) {
        allowed[0] &= ~(1ULL << 25);
    }
    return range_is_valid(smmu, words);
}

static gboolean allow_atc(const Smmuv3 *smmu, const guint64 words[2], guint64 allowed[2])
{
    allowed[0] |= CMD0_SID;
    allowed[1] |= CMD1_ATC_SIZE | CMD1_ADDR;
    if (smmu->ssid_bits) {
        allowed[0] |= CMD0_SSV | CMD0_SSID | CMD0_ATC_GLOBAL;
    }
    return (smmu->config.idr[0] & SMMU_IDR0_ATS) &&
           EMU_BITS64(words[1], 5, 0) <= ATC_SIZE_ALL;
}

static gboolean is_valid(const Smmuv3 *smmu, const guint64 words[2])
{
    const guint64 asid = EMU_MASK64(63, 48) >> (16 - smmu->asid_bits) & EMU_MASK64(63, 48);
    guint64 allowed[2] = {CMD0_OP, 0};
    gboolean ok = TRUE;

    switch (words[0] & CMD0_OP) {
    case CMD_TLBI_NSNH_ALL:
        break;
    case CMD_TLBI_NH_VA:
        allowed[0] |= asid;
        ok = allow_tlbi_va(smmu, words, allowed);
        break;
    case CMD_TLBI_NH_VAA:
        ok = allow_tlbi_va(smmu, words, allowed);
        break;
    case CMD_TLBI_NH_ASID:
        allowed[0] |= asid | CMD0_VMID;
        break;
    case CMD_TLBI_NH_ALL:
        allowed[0] |= CMD0_VMID;
        break;
    case CMD_ATC_INV:
        ok = allow_atc(smmu, words, allowed);
        break;
    case CMD_CFGI_CD:
        allowed[0] |= CMD0_SID | (smmu->ssid_bits ? CMD0_SSID : 0);
        allowed[1] |= CMD1_LEAF;
        break;
    case CMD_CFGI_CD_ALL:
        allowed[0] |= CMD0_SID;
        break;
    default:
        ok = FALSE;
        break;
    }
    return ok && !(words[0] & ~allowed[0]) && !(words[1] & ~allowed[1]);
}

/* Check one command and find the stream it names. */
static int convert(const Smmuv3 *smmu, const EmuViommu *viommu, Command *command)
{
    const EmuVdevice *vdevice;

    if (!is_valid(smmu, command->words)) {
        return -EIO;
    }
    switch (command->words[0] & CMD0_OP) {
    case CMD_ATC_INV:
    case CMD_CFGI_CD:
    case CMD_CFGI_CD_ALL:
        vdevice = viommui_emu_viommu_find(viommu, EMU_BITS64(command->words[0], 63, 32));
        if (!vdevice) {
            return -EIO;
        }
        command->master = vdevice->idev->device->iommu_priv;
        break;
    default:
        break;
    }
    return 0;
}

/* 4.4.1.1: one address, or NUM, SCALE and TG for a range with TTL for its leaves. */
static void aim_at_va(const guint64 words[2], Smmuv3Tlbi *what)
{
    guint64 tg = EMU_BITS64(words[1], 11, 10);
    guint64 addr = words[1] & EMU_MASK64(55, 12);
    guint64 pages;

    what->by_va = TRUE;
    what->leaf_only = !!(words[1] & CMD1_LEAF);
    what->first = addr;
    what->last = addr | EMU_MASK64(11, 0);
    if (!tg) {
        return;
    }
    what->granule = 10 + 2 * (guint)tg;
    what->level = (guint)EMU_BITS64(words[1], 9, 8);
    what->first = addr & ~((1ULL << what->granule) - 1);
    pages = EMU_BITS64(words[0], 16, 12) + 1;
    if (EMU_BITS64(words[0], 25, 20) + what->granule + 5 >= 56) {
        what->last = EMU_MASK64(55, 0);
        return;
    }
    what->last =
        what->first + ((pages << EMU_BITS64(words[0], 25, 20)) << what->granule) - 1;
    what->last = MIN(what->last, EMU_MASK64(55, 0));
}

/* 4.5.1: 2^Size pages, or everything. */
static void invalidate_atc(const Command *command)
{
    const guint64 *words = command->words;
    guint64 size = EMU_BITS64(words[1], 5, 0);
    guint64 mask = size == ATC_SIZE_ALL ? G_MAXUINT64 : (1ULL << (size + 12)) - 1;
    const EmuAtcInv what = {
        .has_pasid = !!(words[0] & CMD0_SSV),
        .global = !!(words[0] & CMD0_ATC_GLOBAL),
        .pasid = (guint32)EMU_BITS64(words[0], 31, 12),
        .first = words[1] & CMD1_ADDR & ~mask,
        .last = (words[1] & CMD1_ADDR) | mask,
    };

    viommui_emu_atc_invalidate(command->master->atc, &what);
}

static void execute(Smmuv3 *smmu, guint16 vmid, const Command *command)
{
    const guint64 *words = command->words;
    Smmuv3Tlbi what = {.vmid = vmid, .asid = (guint16)EMU_BITS64(words[0], 63, 48)};

    switch (words[0] & CMD0_OP) {
    case CMD_TLBI_NH_VA:
        what.by_asid = TRUE;
        aim_at_va(words, &what);
        break;
    case CMD_TLBI_NH_VAA:
        aim_at_va(words, &what);
        break;
    case CMD_TLBI_NH_ASID:
        what.by_asid = TRUE;
        what.spare_global = TRUE;
        break;
    case CMD_CFGI_CD:
        viommui_emu_smmuv3_cfgi_cd(command->master, (guint32)EMU_BITS64(words[0], 31, 12),
                                   !!(words[1] & CMD1_LEAF));
        return;
    case CMD_CFGI_CD_ALL:
        viommui_emu_smmuv3_cfgi_cd_all(command->master);
        return;
    case CMD_ATC_INV:
        invalidate_atc(command);
        return;
    default:
        break;
    }
    viommui_emu_smmuv3_tlb_invalidate(smmu->tlb, &what);
}

/* A command that waits for its repetition, and the sync that it preceded. */
typedef struct {
    guint64 words[2];
    const Smmuv3Master *master;
    guint64 n_syncs;
    guint16 vmid;
} HalfDone;

static guint half_done_hash(gconstpointer key)
{
    const HalfDone *half = key;

    return g_int64_hash(&half->words[0]) ^ 31 * g_int64_hash(&half->words[1]) ^ half->vmid;
}

static gboolean half_done_equal(gconstpointer left, gconstpointer right)
{
    const HalfDone *a = left;
    const HalfDone *b = right;

    return a->words[0] == b->words[0] && a->words[1] == b->words[1] &&
           a->master == b->master && a->vmid == b->vmid;
}

GHashTable *viommui_emu_smmuv3_half_done_new(void)
{
    return g_hash_table_new_full(half_done_hash, half_done_equal, g_free, NULL);
}

/* TRUE when the erratum swallows this one. */
static gboolean is_swallowed(Smmuv3 *smmu, guint16 vmid, const Command *command)
{
    HalfDone half = {
        .words = {command->words[0], command->words[1]},
        .master = command->master,
        .n_syncs = smmu->n_syncs,
        .vmid = vmid,
    };
    const HalfDone *earlier;

    if (!smmu->config.repeat_tlbi_cfgi || (half.words[0] & CMD0_OP) == CMD_ATC_INV) {
        return FALSE;
    }
    earlier = g_hash_table_lookup(smmu->half_done, &half);
    if (!earlier) {
        if (g_hash_table_size(smmu->half_done) > MAX_HALF_DONE) {
            g_hash_table_remove_all(smmu->half_done);
        }
        g_hash_table_add(smmu->half_done, g_memdup2(&half, sizeof(half)));
        return TRUE;
    }
    if (earlier->n_syncs == smmu->n_syncs) {
        return TRUE;
    }
    g_hash_table_remove(smmu->half_done, &half);
    return FALSE;
}

static void issue(Smmuv3 *smmu, guint16 vmid, const Command *commands, guint32 n_commands)
{
    for (guint32 i = 0; i < n_commands; i++) {
        if (!is_swallowed(smmu, vmid, &commands[i])) {
            execute(smmu, vmid, &commands[i]);
        }
    }
    smmu->n_syncs++;
}

static int copy_commands(Command *commands, const guint8 *data, guint32 entry_len,
                         guint32 entry_num)
{
    for (guint32 i = 0; i < entry_num; i++) {
        guint64 *words = commands[i].words;
        int ret = viommui_emu_copy_struct(words, sizeof(commands[i].words),
                                          data + (gsize)i * entry_len, entry_len);

        if (ret < 0) {
            return ret;
        }
        words[0] = GUINT64_FROM_LE(words[0]);
        words[1] = GUINT64_FROM_LE(words[1]);
    }
    return 0;
}

int viommui_emu_vsmmu_invalidate(EmuIommu *iommu, EmuViommu *viommu, guint32 type,
                                 const void *data, guint32 entry_len, guint32 *entry_num)
{
    const Smmuv3Domain *parent = viommu->parent->priv;
    Smmuv3 *smmu = (Smmuv3 *)iommu;
    guint32 total = *entry_num;
    guint32 issued = 0;
    guint32 done = 0;
    Command *commands;
    int ret;

    *entry_num = 0;
    /* The header promises an empty probe; Linux 7.3 answers it so, of either type. */
    if (type != IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 || !total) {
        return -EINVAL;
    }
    commands = g_new0(Command, total);
    ret = copy_commands(commands, data, entry_len, total);
    while (ret == 0 && done < total) {
        ret = convert(smmu, viommu, &commands[done]);
        if (ret < 0) {
            break;
        }
        done++;
        if (done == total || done - issued == CHUNK) {
            issue(smmu, parent->vmid, &commands[issued], done - issued);
            issued = done;
        }
    }
    g_free(commands);
    *entry_num = done;
    return ret;
}
