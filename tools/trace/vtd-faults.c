/* SPDX-License-Identifier: MIT */
/*
 * Faults told by a VT-d unit: its fault recording registers, and the reasons of faults.
 * Section numbers are of the Intel VT-d architecture specification, 4.1.
 *
 * Up: vtd-player.c, faults.c. Down: the device's registers.
 */
#include "vtd-faults.h"

#include "excuse.h"
#include "vtd-tables.h"

#define BITS TRACE_BITS

/* 7.1.3: reasons, as far as they tell what the request was. */
enum {
    ROOT_NOT_PRESENT = 0x01,
    CONTEXT_INVALID = 0x03,
    NO_WRITE = 0x05,
    ROOT_TABLE_ADDRESS = 0x08,
    CONTEXT_RESERVED = 0x0b,
    SCALABLE_ROOT = 0x30,      /* from here */
    SCALABLE_PASID_END = 0x60, /* to here: root, context and PASID tables */
    SCALABLE_NO_WRITE = 0x85,
};

/* FSTS.PFO (11.4.7.1): the unit had more faults than registers. */
#define FSTS_OVERFLOW 1u

/* Spelt as numbers only. */
static guint find_type(const char *name)
{
    (void)name;
    return TRACE_FAULT_ANY;
}

static gboolean is_of_any_address(guint type)
{
    return (type >= ROOT_NOT_PRESENT && type <= CONTEXT_INVALID) ||
           (type >= ROOT_TABLE_ADDRESS && type <= CONTEXT_RESERVED) ||
           (type >= SCALABLE_ROOT && type < SCALABLE_PASID_END);
}

static gboolean is_of_write(guint type)
{
    return type == NO_WRITE || type == SCALABLE_NO_WRITE;
}

/*
 * 7.1.3 has reasons of its own for scalable mode. The model that recordings are made with
 * gives those of legacy mode there too, where it has one walk for both.
 */
static const struct {
    guint legacy;
    guint scalable;
} reasons[] = {
    {0x1, 0x39}, /* root entry: not present */
    {0x2, 0x41}, /* context entry: not present */
    {0x3, 0x43}, /* that cannot be used */
    {0x4, 0x83}, /* address beyond the width */
    {0x5, 0x85}, /* no write */
    {0x6, 0x86}, /* no read */
    {0x7, 0x78}, /* second-stage entry: cannot be read */
    {0x8, 0x38}, /* root entry */
    {0x9, 0x40}, /* context entry */
    {0xa, 0x3a}, /* root entry: reserved bits */
    {0xb, 0x42}, /* context entry */
    {0xc, 0x7a}, /* second-stage entry */
    {0xe, 0x87}, /* interrupt address */
};

static const char *is_also(guint recorded, guint told)
{
    for (gsize i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (reasons[i].legacy == recorded && reasons[i].scalable == told)
            return "the recorded unit gives a reason of legacy mode in scalable mode";
    return NULL;
}

/* Where the registers stand, and how many there are (11.4.2: FRO, NFR). */
static guint64 find_registers(const VtdRecords *records, guint *ret_n)
{
    guint64 cap = viommu_vtd_read(records->vtd, VTD_CAP, 8);

    *ret_n = BITS(cap, 47, 40) + 1;
    return BITS(cap, 33, 24) * 16;
}

static gboolean read_record(const VtdRecords *records, guint64 at, TraceFault *ret_fault)
{
    guint64 high = viommu_vtd_read(records->vtd, at + 8, 8);

    *ret_fault = (TraceFault){
        .sid = BITS(high, 15, 0),
        .type = BITS(high, 39, 32),
        .has_iova = TRUE,
        .iova = viommu_vtd_read(records->vtd, at, 8) & ~0xfffULL,
    };
    return high >> 63;
}

static void collect(TraceFaults *faults, gpointer source)
{
    VtdRecords *records = source;
    guint n;
    guint64 at = find_registers(records, &n);
    TraceFault fault;

    for (guint i = 0; i < n; i++) {
        gboolean there = read_record(records, at + 16 * i, &fault);

        if (there && !records->known[i])
            trace_faults_told(faults, &fault);
        records->known[i] = there;
    }
}

void vtd_records_follow(VtdRecords *records)
{
    guint n;
    guint64 at = find_registers(records, &n);
    TraceFault fault;

    for (guint i = 0; i < n; i++)
        records->known[i] = read_record(records, at + 16 * i, &fault);
}

/*
 * 7.2.1: a fault of a device that has one pending need not be recorded too; and none is
 * once there have been more than registers.
 */
static const char *is_silent(const TraceFault *fault, gpointer source,
                             gboolean *ret_excused)
{
    const VtdRecords *records = source;
    guint n;
    guint64 at = find_registers(records, &n);
    TraceFault pending;

    for (guint i = 0; i < n; i++)
        if (read_record(records, at + 16 * i, &pending) && pending.sid == fault->sid)
            return "one of the same device is pending";
    *ret_excused = TRUE;
    return viommu_vtd_read(records->vtd, VTD_FSTS, 4) & FSTS_OVERFLOW
               ? "the guest has not read the fault recording registers, which are full"
               : NULL;
}

/* FR (11.4.7.5), in the upper half of a record or alone. */
gboolean vtd_records_excuse(const VtdRecords *records, const TraceLine *line, guint64 ours,
                            TraceResult *result)
{
    guint n;
    guint64 inside = line->address - find_registers(records, &n);
    guint shift = inside % 16 == 8 ? 32 : 0;
    guint recorded = TRACE_BITS(line->value, shift + 7, shift);
    guint told = TRACE_BITS(ours, shift + 7, shift);
    TraceExcuse excuse = {inside, shift + 7, shift, "FR", is_also(recorded, told)};

    if (inside >= 16 * n || !excuse.reason ||
        !(shift ? line->size == 8 : inside % 16 == 12 && line->size == 4))
        return FALSE;
    return trace_excuse_register(&excuse, 1, inside, 8 * line->size, "FRCD", line->value,
                                 ours, result);
}

const TraceFaultsOps vtd_faults_ops = {
    .find_type = find_type,
    .is_of_any_address = is_of_any_address,
    .is_of_write = is_of_write,
    .is_also = is_also,
    .collect = collect,
    .is_silent = is_silent,
};
