/* SPDX-License-Identifier: MIT */
/*
 * A recorded VT-d unit: how the library's is made, asked and followed.
 *
 * Up: vendor.c's table, player.c. Down: the public library and emulator; vtd-offer.c,
 * vtd-commands.c, vtd-faults.c, vtd-tables.c.
 */
#include "player.h"
#include "vtd-commands.h"
#include "vtd-faults.h"
#include "vtd-offer.h"
#include "vtd-tables.h"

#include <viommu/vtd.h>

#include <errno.h>
#include <string.h>

/* Pages that one translation is followed over, beyond what was recorded. */
enum { MAX_PAGES = 1024 };
#define ECAP_NEST (1ULL << 26)

typedef struct {
    ViommuVtd *vtd;
    VtdCommands *commands;
    VtdRecords records;
    gboolean caching_mode;
    GHashTable *told; /* requester ID -> VtdEntry, what hardware has to know; owned */
} Unit;

static ViommuVtd *vtd_of(const TracePlayer *player)
{
    return ((const Unit *)player->unit)->vtd;
}

static guint64 read_register(TracePlayer *player, guint64 offset, guint size)
{
    return viommu_vtd_read(vtd_of(player), offset, size);
}

/* --- what hardware has been told ---------------------------------------------------------
 */

/* Everything that is looked at when a device is bound. */
static gboolean is_same_entry(const VtdEntry *a, const VtdEntry *b)
{
    return a->form == b->form && a->at == b->at &&
           memcmp(a->context, b->context, sizeof(a->context)) == 0 &&
           memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static void tell(TracePlayer *player, guint32 sid, const VtdEntry *entry)
{
    const Unit *unit = player->unit;

    g_hash_table_insert(unit->told, GUINT_TO_POINTER(sid),
                        g_memdup2(entry, sizeof(*entry)));
}

static void tell_all(TracePlayer *player, const guint64 *descriptor)
{
    const Unit *unit = player->unit;
    const GArray *sids = player->survey->sids;

    for (guint i = 0; i < sids->len; i++) {
        guint32 sid = g_array_index(sids, guint32, i);
        const VtdEntry *old = g_hash_table_lookup(unit->told, GUINT_TO_POINTER(sid));
        VtdEntry now;

        vtd_tables_find(player->tables, sid, &now);
        if (!descriptor || vtd_commands_concern(descriptor, sid, &now) ||
            (old && vtd_commands_concern(descriptor, sid, old)))
            tell(player, sid, &now);
    }
}

static void invalidated(const guint64 descriptor[VTD_DESCRIPTOR_WORDS], gpointer user_data)
{
    tell_all(user_data, descriptor);
}

static const char *is_untold(TracePlayer *player, guint32 sid)
{
    const Unit *unit = player->unit;
    const VtdEntry *told = g_hash_table_lookup(unit->told, GUINT_TO_POINTER(sid));
    VtdEntry now;

    if (unit->caching_mode)
        return NULL;
    vtd_tables_find(player->tables, sid, &now);
    return told && is_same_entry(told, &now)
               ? NULL
               : "caching mode off, an entry that became present without an invalidation";
}

/* --- set-up ------------------------------------------------------------------------------
 */

static gboolean create(TracePlayer *player, const ViommuServices *services, GError **error)
{
    ViommuVtdConfig config = VIOMMU_VTD_CONFIG_INIT(*services);
    ViommuEmulatorVtdConfig host;
    Unit *unit = g_new0(Unit, 1);

    player->unit = unit;
    viommu_emulator_vtd_defaults(&host);
    if (player->options->no_nesting)
        host.ecap &= ~ECAP_NEST;
    player->iommu = viommu_emulator_add_vtd(player->emulator, &host);
    vtd_offer_config(player->survey, &config);
    unit->vtd = viommu_vtd_new(&config, error);
    unit->commands =
        vtd_commands_new(player->tables, player->unmapped, invalidated, player);
    unit->records.vtd = unit->vtd;
    unit->caching_mode = vtd_offer_has_caching_mode(player->survey);
    unit->told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    player->fault_source = &unit->records;
    return unit->vtd != NULL;
}

static void free_unit(TracePlayer *player)
{
    Unit *unit = player->unit;

    if (!unit)
        return;
    viommu_vtd_free(unit->vtd);
    vtd_commands_free(unit->commands);
    g_hash_table_unref(unit->told);
    g_free(unit);
}

static const char *describe(TracePlayer *player, guint32 sid,
                            ViommuEmulatorDeviceConfig *config)
{
    vtd_offer_device(player->survey, config);
    if (sid > G_MAXUINT16)
        return "requester IDs of more than 16 bits";
    return g_hash_table_lookup(player->survey->left_out, GUINT_TO_POINTER(sid));
}

static gboolean attach(TracePlayer *player, ViommuHostDevice *device, guint32 sid,
                       GError **error)
{
    return viommu_vtd_attach_device(vtd_of(player), device, sid,
                                    vtd_offer_device_flags(player->survey), error);
}

static gboolean release(TracePlayer *player, GError **error)
{
    if (!viommu_vtd_release(vtd_of(player), error))
        return FALSE;
    tell_all(player, NULL);
    return TRUE;
}

/* --- registers ---------------------------------------------------------------------------
 */

static gboolean excuse(TracePlayer *player, const TraceLine *line, guint64 ours)
{
    const Unit *unit = player->unit;

    return vtd_offer_excuse(line, ours, player->result) ||
           vtd_records_excuse(&unit->records, line, ours, player->result);
}

/* The upper half of a register was written: it holds the bit that starts the work. */
static gboolean starts(const TraceLine *line, guint64 offset)
{
    return line->address <= offset + 4 && line->address + line->size == offset + 8;
}

/* Invalidations by register are complete when the bit that started them reads 0. */
static void follow_registers(TracePlayer *player, const TraceLine *line)
{
    const guint64 busy = 1ULL << 63;
    VtdTables *tables = player->tables;
    guint64 iotlb = vtd_tables_get_iva_offset(tables) + 8;
    const Unit *unit = player->unit;

    if (starts(line, VTD_CCMD) && (tables->ccmd & busy) &&
        !(read_register(player, VTD_CCMD, 8) & busy))
        vtd_commands_context_register(unit->commands);
    if (starts(line, iotlb) && (tables->iotlb & busy) &&
        !(read_register(player, iotlb, 8) & busy))
        vtd_commands_iotlb_register(unit->commands);
}

static void write_register(TracePlayer *player, const TraceLine *line)
{
    Unit *unit = player->unit;
    VtdTables *tables = player->tables;
    gboolean queued = tables->queued;
    guint64 head, tail;

    player->survey->vendor->tables->write(tables, line);
    if (tables->queued) {
        /* The queue begins at 0 whenever it is enabled (11.4.4.1, QIE). */
        head = queued ? read_register(player, VTD_IQH, 8) : 0;
        tail = line->address == VTD_IQT ? line->value : read_register(player, VTD_IQT, 8);
        vtd_commands_ring(unit->commands, head, tail);
    }
    viommu_vtd_write(unit->vtd, line->address, line->size, line->value);
    if (line->address == VTD_GCMD)
        tell_all(player, NULL);
    if (tables->queued)
        vtd_commands_consumed(unit->commands, read_register(player, VTD_IQH, 8));
    follow_registers(player, line);
    vtd_records_follow(&unit->records);
}

/* --- requests ----------------------------------------------------------------------------
 */

static ViommuResult translate(TracePlayer *player, guint32 sid, guint64 iova,
                              ViommuAccess access, ViommuTranslation *ret_translation)
{
    ViommuVtd *vtd = vtd_of(player);
    ViommuResult result;

    viommu_vtd_enter(vtd);
    result =
        viommu_vtd_translate(vtd, sid, VIOMMU_VTD_NO_PASID, iova, access, ret_translation);
    viommu_vtd_exit(vtd);
    return result;
}

static void handle_events(TracePlayer *player)
{
    viommu_vtd_handle_events(vtd_of(player));
}

/*
 * A recording does not say what a translation allowed, nor what the DMA was: the tables do,
 * unless it was translated by what was cached of others.
 */
static void expect(TracePlayer *player, const TraceLine *line, TraceDma *dma)
{
    ViommuTranslation got = {0};
    TraceAnswer answer;

    /* Nothing is translated there, and only writes are let through (3.14). */
    dma->message = trace_player_is_in_msi_window(player, dma->iova);
    if (dma->message)
        dma->write = TRUE;
    if (line->kind != TRACE_LINE_TRANSLATED || dma->message)
        return;
    player->survey->vendor->tables->walk(player->tables, dma->sid, dma->iova, &answer);
    if (answer.kind != TRACE_MAPPED || answer.gpa != dma->gpa) {
        dma->write = translate(player, dma->sid, dma->iova,
                               VIOMMU_ACCESS_READ | VIOMMU_ACCESS_PEEK, &got) != VIOMMU_OK;
        return;
    }
    dma->perms = answer.perms;
    dma->write = answer.perms & VIOMMU_ACCESS_WRITE;
    dma->may_write =
        !dma->write && trace_unmapped_get_perms(player->unmapped, dma->sid, dma->iova) &
                           VIOMMU_ACCESS_WRITE;
}

/* One byte, which must lead where the recorded page has it. NULL: it does. */
static char *byte_differs(TracePlayer *player, const TraceDma *dma, guint64 iova,
                          guint64 gpa)
{
    ViommuTranslation got = {0};

    if (translate(player, dma->sid, iova,
                  (dma->write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ) |
                      VIOMMU_ACCESS_PEEK,
                  &got) != VIOMMU_OK)
        return g_strdup_printf(
            "the software walk refuses 0x%" G_GINT64_MODIFIER "x of the same page", iova);
    if (got.gpa == gpa)
        return NULL;
    return g_strdup_printf("the software walk says 0x%" G_GINT64_MODIFIER
                           "x of 0x%" G_GINT64_MODIFIER "x, of the same page",
                           got.gpa, iova);
}

/* Beyond the recorded page a translation may lead on where the tables do without a gap. */
static gboolean leads_on(TracePlayer *player, const TraceDma *dma, guint64 from,
                         guint64 length)
{
    for (guint n = 0; from < length && n < MAX_PAGES; n++) {
        TraceAnswer answer;

        player->survey->vendor->tables->walk(player->tables, dma->sid, dma->iova + from,
                                             &answer);
        if (answer.kind != TRACE_MAPPED || answer.gpa != dma->gpa + from)
            return FALSE;
        from += answer.size - (dma->iova + from - answer.start);
    }
    return TRUE;
}

/* Of T the fourth column is the mask of the page: all of it leads on, and no more. */
static char *check(TracePlayer *player, const TraceLine *line, const TraceDma *dma,
                   const ViommuTranslation *got)
{
    guint64 mask = line->extra;
    guint64 offset = dma->iova & mask;
    char *problem;

    if (line->kind != TRACE_LINE_TRANSLATED || !line->has_extra || dma->message)
        return NULL;
    if (mask & (mask + 1))
        return g_strdup_printf(
            "the recorded mask %" G_GINT64_MODIFIER "x is that of no page", mask);
    problem = byte_differs(player, dma, dma->iova - offset, dma->gpa - offset);
    if (!problem)
        problem =
            byte_differs(player, dma, dma->iova - offset + mask, dma->gpa - offset + mask);
    if (!problem && !leads_on(player, dma, mask - offset + 1, got->length))
        problem = g_strdup_printf("the software walk gives it %" G_GUINT64_FORMAT
                                  " bytes, the page has %" G_GUINT64_FORMAT " from there",
                                  got->length, mask - offset + 1);
    return problem;
}

static char *check_message(TracePlayer *player, const TraceDevice *device,
                           const TraceDma *dma)
{
    const ViommuEmulatorAccess access = {.iova = dma->iova, .write = TRUE};
    int ret = viommu_emulator_peek_as(player->emulator, device->bdf, &access, NULL, NULL);

    return ret == -EADDRNOTAVAIL
               ? NULL
               : g_strdup("the hardware does not take it for an interrupt message");
}

const TraceUnitOps trace_vtd_unit = {
    .source = "requester",
    .unmapped = &vtd_unmapped_ops,
    .faults = &vtd_faults_ops,
    .create = create,
    .free = free_unit,
    .describe = describe,
    .attach = attach,
    .release = release,
    .read = read_register,
    .write = write_register,
    .excuse = excuse,
    .translate = translate,
    .handle_events = handle_events,
    .expect = expect,
    .check = check,
    .check_message = check_message,
    .is_untold = is_untold,
};
