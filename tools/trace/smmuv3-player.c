/* SPDX-License-Identifier: MIT */
/*
 * A recorded SMMUv3: how the library's is made, asked and followed.
 *
 * Up: vendor.c's table, player.c. Down: the public library and emulator; smmuv3-offer.c,
 * smmuv3-commands.c, smmuv3-faults.c.
 */
#include "player.h"
#include "smmuv3-commands.h"
#include "smmuv3-faults.h"
#include "smmuv3-offer.h"
#include "smmuv3-tables.h"

#include <viommu/smmuv3.h>

/* A GICv3 ITS has its doorbell in a frame of 64 KiB. */
enum { DOORBELL_FRAME = 0x10000 };

typedef struct {
    ViommuSmmuv3 *smmu;
    Smmuv3Commands *commands;
    Smmuv3Events events;
} Unit;

static ViommuSmmuv3 *smmu_of(const TracePlayer *player)
{
    return ((const Unit *)player->unit)->smmu;
}

static gboolean create(TracePlayer *player, const ViommuServices *services, GError **error)
{
    const TraceRange *doorbells = &player->survey->doorbells;
    ViommuSmmuv3Config config = VIOMMU_SMMUV3_CONFIG_INIT(*services);
    ViommuEmulatorSmmuv3Config host;
    Unit *unit = g_new0(Unit, 1);

    player->unit = unit;
    if (player->options->no_nesting) {
        g_set_error(error, TRACE_ERROR, TRACE_ERROR_UNSUPPORTED,
                    "an SMMUv3 is not emulated without nesting");
        return FALSE;
    }
    smmuv3_offer_host(&host);
    player->iommu = viommu_emulator_add_smmuv3(player->emulator, &host);
    smmuv3_offer_config(player->survey, &config);
    if (doorbells->first <= doorbells->last) {
        guint64 mask = DOORBELL_FRAME - 1;

        config.msi_doorbell = doorbells->first & ~mask;
        config.msi_doorbell_size = (doorbells->last | mask) + 1 - config.msi_doorbell;
    }
    unit->smmu = viommu_smmuv3_new(player->host, &config, error);
    unit->commands = smmuv3_commands_new(player->tables, player->unmapped);
    unit->events = (Smmuv3Events){.smmu = unit->smmu, .memory = player->memory};
    player->fault_source = &unit->events;
    return unit->smmu != NULL;
}

static void free_unit(TracePlayer *player)
{
    Unit *unit = player->unit;

    if (!unit)
        return;
    viommu_smmuv3_free(unit->smmu);
    smmuv3_commands_free(unit->commands);
    g_free(unit);
}

/* Which devices had ATS a recording does not say; their stream table entries do. */
static const char *describe(TracePlayer *player, guint32 sid,
                            ViommuEmulatorDeviceConfig *config)
{
    config->ats = smmuv3_offer_has_ats(player->survey);
    return sid >> smmuv3_offer_stream_bits(player->survey)
               ? "streams out of the range of StreamIDs"
               : NULL;
}

static gboolean attach(TracePlayer *player, ViommuHostDevice *device, guint32 sid,
                       GError **error)
{
    return viommu_smmuv3_attach_device(smmu_of(player), device, sid, error);
}

static gboolean release(TracePlayer *player, GError **error)
{
    return viommu_smmuv3_release(smmu_of(player), error);
}

static guint64 read_register(TracePlayer *player, guint64 offset, guint size)
{
    return viommu_smmuv3_read(smmu_of(player), offset, size);
}

static gboolean excuse(TracePlayer *player, const TraceLine *line, guint64 ours)
{
    return smmuv3_offer_excuse(line, ours, player->result);
}

static void write_register(TracePlayer *player, const TraceLine *line)
{
    Unit *unit = player->unit;
    gboolean rings = line->address == SMMU_CR0 || line->address == SMMU_CMDQ_PROD;

    player->survey->vendor->tables->write(player->tables, line);
    if (rings)
        smmuv3_commands_ring(unit->commands,
                             line->address == SMMU_CMDQ_PROD
                                 ? line->value
                                 : viommu_smmuv3_read(unit->smmu, SMMU_CMDQ_PROD, 4));
    viommu_smmuv3_write(unit->smmu, line->address, line->size, line->value);
    if (rings)
        smmuv3_commands_consumed(unit->commands,
                                 viommu_smmuv3_read(unit->smmu, SMMU_CMDQ_CONS, 4));
    else if (line->address == SMMU_CMDQ_CONS)
        smmuv3_commands_restart(unit->commands, line->value);
    else if (line->address == SMMU_EVENTQ_PROD)
        smmuv3_events_restart(&unit->events);
}

static ViommuResult translate(TracePlayer *player, guint32 sid, guint64 iova,
                              ViommuAccess access, ViommuTranslation *ret_translation)
{
    ViommuSmmuv3 *smmu = smmu_of(player);
    ViommuResult result;

    viommu_smmuv3_enter(smmu);
    result = viommu_smmuv3_translate(smmu, sid, VIOMMU_SMMUV3_NO_SUBSTREAM, iova, access,
                                     ret_translation);
    viommu_smmuv3_exit(smmu);
    return result;
}

static void handle_events(TracePlayer *player)
{
    viommu_smmuv3_handle_events(smmu_of(player));
}

/* Of T the fourth column says permissions. Doorbells are only written. */
static void expect(TracePlayer *player, const TraceLine *line, TraceDma *dma)
{
    dma->message = trace_player_is_in_msi_window(player, dma->gpa);
    if (line->kind != TRACE_LINE_TRANSLATED)
        return;
    dma->perms = line->has_extra ? line->extra & 3 : 0;
    dma->write = dma->perms & VIOMMU_ACCESS_WRITE || (!dma->perms && dma->message);
}

static char *check_message(TracePlayer *player, const TraceDevice *device,
                           const TraceDma *dma)
{
    guint64 got = 0;

    if (viommu_emulator_peek_stage1(player->emulator, device->bdf, dma->iova, dma->write,
                                    &got) < 0)
        return g_strdup("the hardware refuses it");
    if (got != dma->gpa)
        return g_strdup_printf("the hardware goes to 0x%" G_GINT64_MODIFIER "x", got);
    trace_result_omit(
        player->result,
        "doorbells, 0x%" G_GINT64_MODIFIER "x: hardware is compared in stage 1 only; the "
        "host keeps that window for its own MSIs, so that there is nothing to access",
        dma->gpa);
    return NULL;
}

const TraceUnitOps trace_smmuv3_unit = {
    .source = "stream",
    .unmapped = &smmuv3_unmapped_ops,
    .faults = &smmuv3_faults_ops,
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
    .check_message = check_message,
};
