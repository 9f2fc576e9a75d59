/* SPDX-License-Identifier: MIT */
/*
 * What a recorded VT-d guest has invalidated. Section numbers are of the Intel VT-d
 * architecture specification, 4.1.
 *
 * In doubt an invalidation covers less: what a unit may remember is not held against it.
 *
 * Up: vtd-player.c, vtd-scout.c. Down: unmapped.c, guest memory.
 */
#include "vtd-commands.h"

#define BITS  TRACE_BITS
#define FIELD TRACE_FIELD

/* 6.5.2: types of descriptors. */
enum {
    CONTEXT_CACHE = 1,
    IOTLB = 2,
    WAIT = 5,
    PASID_IOTLB = 6,
    PASID_CACHE = 7,
};

/* Granularities: of context cache and IOTLB; of the PASID-based IOTLB; of the PASID cache.
 */
enum { GLOBAL = 1, DOMAIN = 2, SELECTIVE = 3 };
enum { BY_PASID = 2, BY_PAGE = 3 };
enum { PASID_DOMAIN = 0, PASID_ONE = 1, PASID_GLOBAL = 3 };

struct VtdCommands {
    const VtdTables *tables;
    TraceUnmapped *unmapped;
    VtdCommandsFunc func;
    gpointer user_data;
    GArray *waiting; /* not carried out yet */
    guint64 seen;    /* IQH before them */
};

VtdCommands *vtd_commands_new(const VtdTables *tables, TraceUnmapped *unmapped,
                              VtdCommandsFunc func, gpointer user_data)
{
    VtdCommands *commands = g_new0(VtdCommands, 1);

    commands->tables = tables;
    commands->unmapped = unmapped;
    commands->func = func;
    commands->user_data = user_data;
    return commands;
}

void vtd_commands_free(VtdCommands *commands)
{
    if (!commands)
        return;
    g_clear_pointer(&commands->waiting, g_array_unref);
    g_free(commands);
}

/* --- what covers what --------------------------------------------------------------------
 */

static guint type_of(const guint64 *descriptor)
{
    return BITS(descriptor[0], 3, 0) | BITS(descriptor[0], 11, 9) << 4;
}

static guint granularity_of(const guint64 *descriptor)
{
    return BITS(descriptor[0], 5, 4);
}

static guint16 domain_of(const guint64 *descriptor)
{
    return BITS(descriptor[0], 31, 16);
}

static guint32 pasid_of(const guint64 *descriptor)
{
    return BITS(descriptor[0], 51, 32);
}

/* 6.5.2.1: the source ID, but for as many bits of the function as FM says. */
static gboolean is_source(const guint64 *descriptor, guint32 requester_id)
{
    static const guint8 ignored[] = {0, 4, 6, 7};
    guint32 differing = BITS(descriptor[0], 47, 32) ^ requester_id;

    return !(differing & ~(guint32)ignored[BITS(descriptor[0], 49, 48)]);
}

static void decode_range(const guint64 *descriptor, TraceInvalidation *invalidation)
{
    guint shift = 12 + BITS(descriptor[1], 5, 0);

    invalidation->leaf = descriptor[1] >> 6 & 1;
    if (shift >= 64)
        return;
    invalidation->first = descriptor[1] >> shift << shift;
    invalidation->last = invalidation->first + ((1ULL << shift) - 1);
}

/* All of the page: whether a part is enough the specification leaves open. */
static gboolean is_in_range(const TraceInvalidation *invalidation, const TraceAnswer *was)
{
    return invalidation->first <= was->start &&
           was->start + (was->size - 1) <= invalidation->last;
}

static gboolean iotlb_covers(const TraceInvalidation *invalidation, const TraceAnswer *was)
{
    const guint64 *descriptor = invalidation->command;
    gboolean plain = was->form == VTD_LEGACY_TABLE || was->form == VTD_SECOND;

    switch (granularity_of(descriptor)) {
    case GLOBAL:
        return TRUE;
    case DOMAIN:
        return domain_of(descriptor) == was->tag && (plain || was->form == VTD_NESTED);
    case SELECTIVE:
        return domain_of(descriptor) == was->tag && plain && is_in_range(invalidation, was);
    default:
        return FALSE;
    }
}

static gboolean pasid_iotlb_covers(const TraceInvalidation *invalidation,
                                   const TraceAnswer *was)
{
    const guint64 *descriptor = invalidation->command;

    if ((was->form != VTD_FIRST && was->form != VTD_NESTED) ||
        domain_of(descriptor) != was->tag || pasid_of(descriptor) != was->pasid)
        return FALSE;
    return granularity_of(descriptor) == BY_PASID ||
           (granularity_of(descriptor) == BY_PAGE && is_in_range(invalidation, was));
}

static gboolean covers(const TraceInvalidation *invalidation, guint32 sid,
                       const TraceAnswer *was)
{
    (void)sid;
    switch (type_of(invalidation->command)) {
    case IOTLB:
        return iotlb_covers(invalidation, was);
    case PASID_IOTLB:
        return pasid_iotlb_covers(invalidation, was);
    default:
        return FALSE;
    }
}

static gboolean context_covers(const guint64 *descriptor, guint32 requester_id,
                               guint16 domain)
{
    switch (granularity_of(descriptor)) {
    case GLOBAL:
        return TRUE;
    case DOMAIN:
        return domain_of(descriptor) == domain;
    case SELECTIVE:
        return domain_of(descriptor) == domain && is_source(descriptor, requester_id);
    default:
        return FALSE;
    }
}

static gboolean pasid_covers(const guint64 *descriptor, guint16 domain, guint32 pasid)
{
    switch (granularity_of(descriptor)) {
    case PASID_GLOBAL:
        return TRUE;
    case PASID_DOMAIN:
        return domain_of(descriptor) == domain;
    case PASID_ONE:
        return domain_of(descriptor) == domain && pasid_of(descriptor) == pasid;
    default:
        return FALSE;
    }
}

/* The entry that says which tables: a context entry, or one of a PASID table. */
static gboolean covers_entry(const TraceInvalidation *invalidation, guint32 sid,
                             const TraceAnswer *was)
{
    const guint64 *descriptor = invalidation->command;

    switch (type_of(descriptor)) {
    case CONTEXT_CACHE:
        return was->form == VTD_LEGACY_TABLE && context_covers(descriptor, sid, was->tag);
    case PASID_CACHE:
        return was->form != VTD_LEGACY_TABLE &&
               pasid_covers(descriptor, was->tag, was->pasid);
    default:
        return FALSE;
    }
}

/* What the IOTLB has of an entry that is gone, it may have until it is invalidated too. */
const TraceUnmappedOps vtd_unmapped_ops = {
    .covers = covers,
    .covers_entry = covers_entry,
    .entry_is_enough = FALSE,
};

gboolean vtd_commands_concern(const guint64 descriptor[VTD_DESCRIPTOR_WORDS],
                              guint16 requester_id, const VtdEntry *entry)
{
    if (type_of(descriptor) == PASID_CACHE)
        return pasid_covers(descriptor, entry->domain, entry->pasid);
    /* Context entries of scalable mode have no domain, new ones are not cached under one.
     */
    return granularity_of(descriptor) == SELECTIVE
               ? is_source(descriptor, requester_id)
               : context_covers(descriptor, requester_id, entry->domain);
}

static void carry_out(VtdCommands *commands, const guint64 *descriptor)
{
    TraceInvalidation invalidation = {.command = descriptor, .last = G_MAXUINT64};
    guint type = type_of(descriptor);

    switch (type) {
    case WAIT:
        trace_unmapped_complete(commands->unmapped);
        return;
    case IOTLB:
        if (granularity_of(descriptor) == SELECTIVE)
            decode_range(descriptor, &invalidation);
        break;
    case PASID_IOTLB:
        if (granularity_of(descriptor) == BY_PAGE)
            decode_range(descriptor, &invalidation);
        break;
    case CONTEXT_CACHE:
    case PASID_CACHE:
        commands->func(descriptor, commands->user_data);
        break;
    default:
        return;
    }
    trace_unmapped_invalidate(commands->unmapped, &invalidation);
}

/* --- the queue (6.5) ---------------------------------------------------------------------
 */

static guint64 mask_of(const VtdTables *tables)
{
    return ((guint64)TRACE_PAGE_SIZE << BITS(tables->iqa, 2, 0)) - 1;
}

GArray *vtd_commands_read(const VtdTables *tables, guint64 iqh, guint64 iqt)
{
    GArray *list = g_array_new(FALSE, FALSE, VTD_DESCRIPTOR_WORDS * sizeof(guint64));
    guint shift = vtd_tables_get_descriptor_shift(tables);
    guint64 mask = mask_of(tables) >> shift << shift;

    for (guint64 at = iqh & mask; at != (iqt & mask); at = (at + (1u << shift)) & mask) {
        guint64 gpa = FIELD(tables->iqa, 63, 12) + at;
        guint64 descriptor[VTD_DESCRIPTOR_WORDS];

        if (!trace_memory_read_word(tables->memory, gpa, &descriptor[0]) ||
            !trace_memory_read_word(tables->memory, gpa + 8, &descriptor[1]))
            break;
        g_array_append_vals(list, descriptor, 1);
    }
    return list;
}

void vtd_commands_ring(VtdCommands *commands, guint64 iqh, guint64 iqt)
{
    g_clear_pointer(&commands->waiting, g_array_unref);
    commands->waiting = vtd_commands_read(commands->tables, iqh, iqt);
    commands->seen = iqh;
}

void vtd_commands_consumed(VtdCommands *commands, guint64 iqh)
{
    guint64 bytes = (iqh - commands->seen) & mask_of(commands->tables);
    guint64 n = bytes >> vtd_tables_get_descriptor_shift(commands->tables);

    for (guint64 i = 0; i < MIN(n, commands->waiting->len); i++)
        carry_out(commands, (const guint64 *)(void *)commands->waiting->data +
                                VTD_DESCRIPTOR_WORDS * i);
}

gboolean vtd_commands_writes_status(const guint64 descriptor[VTD_DESCRIPTOR_WORDS],
                                    guint64 *ret_gpa)
{
    *ret_gpa = FIELD(descriptor[1], 63, 2);
    return type_of(descriptor) == WAIT && descriptor[0] >> 5 & 1;
}

/* --- registers (6.5.1), as the descriptors that mean the same --------------------------
 */

static void carry_out_register(VtdCommands *commands, const guint64 *descriptor)
{
    carry_out(commands, descriptor);
    trace_unmapped_complete(commands->unmapped);
}

/* 11.4.6.1 */
void vtd_commands_context_register(VtdCommands *commands)
{
    guint64 ccmd = commands->tables->ccmd;
    const guint64 descriptor[VTD_DESCRIPTOR_WORDS] = {
        CONTEXT_CACHE | BITS(ccmd, 62, 61) << 4 | BITS(ccmd, 15, 0) << 16 |
        BITS(ccmd, 33, 16) << 32};

    carry_out_register(commands, descriptor);
}

/* 11.4.6.2 */
void vtd_commands_iotlb_register(VtdCommands *commands)
{
    guint64 iotlb = commands->tables->iotlb;
    const guint64 descriptor[VTD_DESCRIPTOR_WORDS] = {IOTLB | BITS(iotlb, 61, 60) << 4 |
                                                          BITS(iotlb, 47, 32) << 16,
                                                      commands->tables->iva};

    carry_out_register(commands, descriptor);
}
