/* SPDX-License-Identifier: MIT */
/*
 * Faults told by an SMMUv3: its event queue, and the types of events. Section numbers are
 * of Arm IHI 0070.
 *
 * Up: smmuv3-player.c, faults.c. Down: the device's registers, its queue in guest memory.
 */
#include "smmuv3-faults.h"

#include "smmuv3-tables.h"

enum { EVENT_BYTES = 32, F_TRANSLATION = 0x10 };

/* 7.3 */
static const struct {
    const char *name;
    guint type;
} types[] = {
    {"F_UUT", 0x01},          {"C_BAD_STREAMID", 0x02}, {"F_STE_FETCH", 0x03},
    {"C_BAD_STE", 0x04},      {"F_BAD_ATS_TREQ", 0x05}, {"F_STREAM_DISABLED", 0x06},
    {"F_TRANS_FORBIDDEN", 7}, {"C_BAD_SUBSTREAMID", 8}, {"F_CD_FETCH", 0x09},
    {"C_BAD_CD", 0x0a},       {"F_WALK_EABT", 0x0b},    {"F_TRANSLATION", 0x10},
    {"F_ADDR_SIZE", 0x11},    {"F_ACCESS", 0x12},       {"F_PERMISSION", 0x13},
    {"F_TLB_CONFLICT", 0x20}, {"F_CFG_CONFLICT", 0x21},
};

static guint find_type(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_str_equal(types[i].name, name))
            return types[i].type;
    return TRACE_FAULT_ANY;
}

static gboolean is_of_any_address(guint type)
{
    return type < F_TRANSLATION;
}

static gboolean is_of_write(guint type)
{
    (void)type;
    return FALSE;
}

void smmuv3_events_restart(Smmuv3Events *events)
{
    events->seen = viommu_smmuv3_read(events->smmu, SMMU_EVENTQ_PROD, 4);
}

/* 3.5: read what the device has added to the guest's queue. */
static void collect(TraceFaults *faults, gpointer device)
{
    Smmuv3Events *events = device;
    guint64 base_register = viommu_smmuv3_read(events->smmu, SMMU_EVENTQ_BASE, 8);
    guint32 prod = viommu_smmuv3_read(events->smmu, SMMU_EVENTQ_PROD, 4);
    guint log2_size = MIN(base_register & 0x1f, 19);
    guint32 wrap_mask = (2u << log2_size) - 1;
    guint64 base =
        (base_register & 0xfffffffffffe0) & ~(((guint64)EVENT_BYTES << log2_size) - 1);

    for (guint32 at = events->seen & wrap_mask; at != (prod & wrap_mask);
         at = (at + 1) & wrap_mask) {
        guint64 gpa = base + (guint64)(at & (wrap_mask >> 1)) * EVENT_BYTES;
        guint64 word = 0;
        TraceFault event = {0};

        if (!trace_memory_read_word(events->memory, gpa, &word))
            break;
        event.sid = word >> 32;
        event.type = word & 0xff;
        trace_faults_told(faults, &event);
    }
    events->seen = prod;
}

/* A full queue shows in EVENTQ_PROD's overflow flag, which recordings show by R. */
static const char *is_silent(const TraceFault *fault, gpointer device,
                             gboolean *ret_excused)
{
    (void)fault;
    (void)device;
    (void)ret_excused;
    return NULL;
}

const TraceFaultsOps smmuv3_faults_ops = {
    .find_type = find_type,
    .is_of_any_address = is_of_any_address,
    .is_of_write = is_of_write,
    .collect = collect,
    .is_silent = is_silent,
};
