/* SPDX-License-Identifier: MIT */
/*
 * A recorded SMMUv3 guest played through a whole device of the library, with the emulator
 * behind it as host. Each recorded StreamID is two things at once: an emulated device
 * attached as a host device, whose DMA goes through the emulated hardware by what the
 * library forwarded; and an endpoint asked for by viommu_smmuv3_translate().
 *
 * What hardware says is asked by a look at it first (peek), then by real accesses, which
 * fill its caches as the recorded device's did: so a missing invalidation shows later.
 * Where nothing was translated, hardware is only looked at: it reports no event then, and
 * each recorded fault is one event in the guest's queue, not two.
 *
 * Up: vendor.c's table. Down: the public library and emulator; smmuv3-offer.c,
 * smmuv3-unmapped.c, smmuv3-faults.c.
 */
#include "smmuv3-faults.h"
#include "smmuv3-offer.h"
#include "smmuv3-tables.h"
#include "smmuv3-unmapped.h"
#include "vendor.h"

#include <viommu-emulator/emulator.h>
#include <viommu-emulator/inspect.h>
#include <viommu/smmuv3.h>

#include <string.h>

/* A GICv3 ITS has its doorbell in a frame of 64 KiB. */
enum { DOORBELL_FRAME = 0x10000 };

typedef struct {
    guint32 sid;
    char *bdf;
    ViommuHostDevice *host_device; /* NULL: no StreamID that the device can have */
} Device;

typedef struct {
    const TraceMemory *memory;
    TraceRange msi_window;
    TraceResult *result;
    guint64 line; /* the one being played */

    ViommuEmulator *emulator;
    ViommuHost *host;
    ViommuSmmuv3 *smmu;
    GPtrArray *devices;  /* of Device */
    GHashTable *by_sid;  /* StreamID -> Device */
    Smmuv3Tables tables; /* what the guest says, for what is asked beyond the recording */
    Smmuv3Unmapped *unmapped;
    Smmuv3Faults *faults;
    char *refused; /* what the library last refused, in words; for messages */
    guint32 marker;
} Player;

/* --- host services -----------------------------------------------------------------------
 */

static gboolean read_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    const Player *player = user_data;

    return trace_memory_read(player->memory, gpa, data, size);
}

static gboolean write_memory(guint64 gpa, const void *data, gsize size, void *user_data)
{
    const Player *player = user_data;

    return trace_memory_write(player->memory, gpa, data, size);
}

static gboolean compare_and_swap(guint64 gpa, guint64 expected, guint64 desired,
                                 guint64 *ret_found, void *user_data)
{
    const Player *player = user_data;
    guint64 word = GUINT64_TO_LE(desired);

    if (!trace_memory_read_word(player->memory, gpa, ret_found))
        return FALSE;
    return *ret_found != expected ||
           trace_memory_write(player->memory, gpa, &word, sizeof(word));
}

/* A message to memory is a store: Linux has SYNC write into its own queue. */
static gboolean send_msi(guint64 address, guint32 data, void *user_data)
{
    const Player *player = user_data;
    guint32 word = GUINT32_TO_LE(data);

    player->result->counts[TRACE_INTERRUPTS]++;
    trace_memory_write(player->memory, address, &word, sizeof(word));
    return TRUE;
}

static void pulse_irq(guint line, void *user_data)
{
    const Player *player = user_data;

    (void)line;
    player->result->counts[TRACE_INTERRUPTS]++;
}

static void trace_refusals(const ViommuTraceRecord *record, void *user_data)
{
    Player *player = user_data;

    if (record->point != VIOMMU_TRACE_REFUSED)
        return;
    g_free(player->refused);
    player->refused = g_strdup(record->message);
}

/* --- set-up ------------------------------------------------------------------------------
 */

static void device_free(gpointer data)
{
    Device *device = data;

    viommu_host_device_free(device->host_device);
    g_free(device->bdf);
    g_free(device);
}

static void destroy(gpointer data)
{
    Player *player = data;

    if (!player)
        return;
    viommu_smmuv3_free(player->smmu);
    g_hash_table_unref(player->by_sid);
    g_ptr_array_unref(player->devices);
    viommu_host_free(player->host);
    viommu_emulator_free(player->emulator);
    smmuv3_unmapped_free(player->unmapped);
    smmuv3_faults_free(player->faults);
    g_free(player->refused);
    g_free(player);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Player, destroy)

static gboolean make_host(Player *player, GError **error)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;

    config.seam = viommu_emulator_get_seam(player->emulator);
    player->host = viommu_host_new(&config, error);
    if (!player->host)
        return FALSE;
    viommu_host_set_trace(player->host, trace_refusals, player);
    for (guint i = 0; i < trace_memory_count_regions(player->memory); i++) {
        const TraceRegion *region = trace_memory_get_region(player->memory, i);

        if (!viommu_host_map_fd(player->host, region->gpa, region->size,
                                trace_memory_get_fd(player->memory), region->offset,
                                VIOMMU_MAP_READ | VIOMMU_MAP_WRITE, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean make_smmu(Player *player, const TraceSurvey *survey, GError **error)
{
    const ViommuServices services = {
        .read_memory = read_memory,
        .write_memory = write_memory,
        .compare_and_swap = compare_and_swap,
        .send_msi = send_msi,
        .pulse_irq = pulse_irq,
        .user_data = player,
    };
    ViommuSmmuv3Config config = VIOMMU_SMMUV3_CONFIG_INIT(services);

    smmuv3_offer_config(survey, &config);
    if (survey->doorbells.first <= survey->doorbells.last) {
        guint64 mask = DOORBELL_FRAME - 1;

        config.msi_doorbell = survey->doorbells.first & ~mask;
        config.msi_doorbell_size =
            (survey->doorbells.last | mask) + 1 - config.msi_doorbell;
    }
    player->smmu = viommu_smmuv3_new(player->host, &config, error);
    return player->smmu != NULL;
}

/* The physical StreamID has nothing to do with the guest's, and must not need to. */
static gboolean add_device(Player *player, guint iommu, guint32 sid, gboolean attach,
                           gboolean ats, GError **error)
{
    guint index = player->devices->len;
    Device *device = g_new0(Device, 1);
    ViommuEmulatorDeviceConfig config = {
        .iommu = iommu, .stream_id = 0x100 + index, .iommu_group = -1, .ats = ats};

    g_ptr_array_add(player->devices, device);
    g_hash_table_insert(player->by_sid, GUINT_TO_POINTER(sid), device);
    device->sid = sid;
    if (!attach) {
        trace_result_excuse(player->result,
                            "stream 0x%x: out of the range of StreamIDs, so there is no "
                            "host device behind it",
                            sid);
        return TRUE;
    }
    device->bdf =
        g_strdup_printf("0000:%02x:%02x.%x", index >> 8, index >> 3 & 0x1f, index & 7);
    config.bdf = device->bdf;
    if (!viommu_emulator_add_device(player->emulator, &config, error))
        return FALSE;
    device->host_device = viommu_host_device_new_from_bdf(player->host, device->bdf, error);
    return device->host_device &&
           viommu_smmuv3_attach_device(player->smmu, device->host_device, sid, error);
}

static gboolean add_devices(Player *player, const TraceSurvey *survey, guint iommu,
                            GError **error)
{
    /* Which devices had ATS a recording does not say; their stream table entries do. */
    gboolean ats = smmuv3_offer_has_ats(survey);
    guint bits = smmuv3_offer_stream_bits(survey);

    for (guint i = 0; i < survey->sids->len; i++) {
        guint32 sid = g_array_index(survey->sids, guint32, i);

        if (!add_device(player, iommu, sid, sid >> bits == 0, ats, error))
            return FALSE;
    }
    return viommu_smmuv3_release(player->smmu, error);
}

static void check_unmapped(guint32 sid, guint64 iova, gboolean cleared, gpointer user_data);
static void fault_probe(guint32 sid, guint64 iova, gboolean write, gpointer user_data);

static gpointer create(const TraceSurvey *survey, const TraceMemory *memory,
                       TraceResult *result, GError **error)
{
    g_autoptr(Player) player = g_new0(Player, 1);
    ViommuEmulatorSmmuv3Config host;
    guint iommu;

    player->memory = memory;
    player->msi_window = survey->vendor->msi_window;
    player->result = result;
    player->tables.memory = memory;
    player->devices = g_ptr_array_new_with_free_func(device_free);
    player->by_sid = g_hash_table_new(NULL, NULL);
    player->emulator = viommu_emulator_new();
    smmuv3_offer_host(&host);
    iommu = viommu_emulator_add_smmuv3(player->emulator, &host);
    if (!make_host(player, error) || !make_smmu(player, survey, error) ||
        !add_devices(player, survey, iommu, error)) {
        g_prefix_error(error, "%s: no host or device to play it on: ", survey->path);
        return NULL;
    }
    player->unmapped = smmuv3_unmapped_new(&player->tables, check_unmapped, player);
    player->faults = smmuv3_faults_new(player->smmu, memory, result, fault_probe, player);
    viommu_emulator_reset_calls(player->emulator);
    return g_steal_pointer(&player);
}

/* --- the two sides -----------------------------------------------------------------------
 */

static Device *find_device(const Player *player, guint32 sid)
{
    return g_hash_table_lookup(player->by_sid, GUINT_TO_POINTER(sid));
}

static gboolean is_doorbell(const Player *player, guint64 gpa)
{
    return player->msi_window.first <= gpa && gpa <= player->msi_window.last;
}

static ViommuResult translate(Player *player, guint32 sid, guint64 iova,
                              ViommuAccess access, ViommuTranslation *ret_translation)
{
    ViommuResult result;

    viommu_smmuv3_enter(player->smmu);
    result = viommu_smmuv3_translate(player->smmu, sid, VIOMMU_SMMUV3_NO_SUBSTREAM, iova,
                                     access, ret_translation);
    viommu_smmuv3_exit(player->smmu);
    return result;
}

/* Why the software walk does not say this; NULL: it does. perms 0: not recorded. */
static char *software_differs(Player *player, guint32 sid, guint64 iova, gboolean write,
                              guint64 gpa, guint perms)
{
    ViommuTranslation got = {0};
    ViommuResult result = translate(player, sid, iova,
                                    write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ, &got);

    if (result != VIOMMU_OK)
        return g_strdup_printf("the software walk says %s%s%s", viommu_result_name(result),
                               player->refused ? ": " : "",
                               player->refused ? player->refused : "");
    if (got.gpa != gpa)
        return g_strdup_printf("the software walk says 0x%" G_GINT64_MODIFIER "x", got.gpa);
    if (perms && (got.access & 3) != perms)
        return g_strdup_printf("the software walk allows %u", got.access & 3);
    if (got.is_msi != is_doorbell(player, gpa))
        return g_strdup_printf("the software walk calls it %s",
                               got.is_msi ? "a message" : "memory");
    if (!got.length)
        return g_strdup("the software walk gives it no length");
    return NULL;
}

/* One real access by the device, seen by what changes in memory, and undone. */
static gboolean dma_reaches(Player *player, const Device *device, guint64 iova, guint64 gpa,
                            gboolean write)
{
    guint64 room = 0;
    guint8 *bytes = trace_memory_at(player->memory, gpa, &room);
    gsize size = MIN(sizeof(guint32), TRACE_PAGE_SIZE - iova % TRACE_PAGE_SIZE);
    guint32 marker = ++player->marker * 0x9e3779b1u;
    guint32 buffer = write ? marker : ~marker;
    guint8 old[sizeof(guint32)];
    gboolean ok;

    if (!bytes || room < size)
        return FALSE;
    memcpy(old, bytes, size);
    if (write)
        memset(bytes, ~(marker & 0xff), size);
    else
        memcpy(bytes, &marker, size);
    ok = viommu_emulator_dma(player->emulator, device->bdf, iova, &buffer, size, write) ==
             0 &&
         memcmp(write ? (void *)bytes : &buffer, &marker, size) == 0;
    memcpy(bytes, old, size);
    player->result->counts[TRACE_DMA]++;
    return ok;
}

static char *hardware_differs(Player *player, const Device *device, guint64 iova,
                              gboolean write, guint64 gpa, guint perms)
{
    gboolean doorbell = is_doorbell(player, gpa);
    guint64 got = 0;
    int ret;

    if (!device->host_device)
        return NULL;
    ret = doorbell ? viommu_emulator_peek_stage1(player->emulator, device->bdf, iova, write,
                                                 &got)
                   : viommu_emulator_peek(player->emulator, device->bdf, iova, write, &got);
    if (ret < 0)
        return g_strdup("the hardware refuses it");
    if (got != gpa)
        return g_strdup_printf("the hardware goes to 0x%" G_GINT64_MODIFIER "x", got);
    if (perms == VIOMMU_ACCESS_READ &&
        viommu_emulator_peek(player->emulator, device->bdf, iova, TRUE, &got) == 0)
        return g_strdup("the hardware allows a write");
    if (!doorbell && !dma_reaches(player, device, iova, gpa, write)) {
        viommu_smmuv3_handle_events(player->smmu);
        return g_strdup("an access by the hardware does not arrive there");
    }
    if (doorbell) {
        player->result->counts[TRACE_DOORBELLS]++;
        trace_result_excuse(
            player->result,
            "doorbells, 0x%" G_GINT64_MODIFIER
            "x: hardware is compared in stage 1 only; the "
            "host keeps that window for its own MSIs, so that there is nothing to access",
            gpa);
    }
    return NULL;
}

/* Why either side lets this through; NULL: both refuse it. Asks only. */
static char *not_refused(Player *player, guint32 sid, guint64 iova, gboolean write)
{
    const Device *device = find_device(player, sid);
    ViommuTranslation got = {0};
    guint64 gpa = 0;

    if (translate(player, sid, iova,
                  (write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ) | VIOMMU_ACCESS_PEEK,
                  &got) == VIOMMU_OK)
        return g_strdup_printf("the software walk says 0x%" G_GINT64_MODIFIER "x", got.gpa);
    if (device && device->host_device &&
        viommu_emulator_peek_stage1(player->emulator, device->bdf, iova, write, &gpa) == 0)
        return g_strdup_printf("the hardware goes to 0x%" G_GINT64_MODIFIER "x", gpa);
    return NULL;
}

static void check_unmapped(guint32 sid, guint64 iova, gboolean cleared, gpointer user_data)
{
    Player *player = user_data;
    g_autofree char *problem = not_refused(player, sid, iova, FALSE);

    if (problem) {
        trace_result_differ(player->result, TRACE_UNMAPPED_DIFFER, player->line,
                            "stream 0x%x at 0x%" G_GINT64_MODIFIER
                            "x is unmapped and flushed, but %s",
                            sid, iova, problem);
        return;
    }
    player->result->counts[cleared ? TRACE_FLUSHED_REFUSED : TRACE_UNMAPPED_REFUSED]++;
}

/* --- lines -------------------------------------------------------------------------------
 */

static void play_read(Player *player, const TraceLine *line)
{
    guint64 *counts = player->result->counts;
    guint64 got = viommu_smmuv3_read(player->smmu, line->address, line->size);

    if (got == line->value)
        counts[TRACE_READS_EQUAL]++;
    else if (smmuv3_offer_excuse(line, got, player->result))
        counts[TRACE_READS_EXCUSED]++;
    else
        trace_result_differ(player->result, TRACE_READS_DIFFER, line->number,
                            "register 0x%" G_GINT64_MODIFIER
                            "x: recorded %" G_GINT64_MODIFIER "x, ours %" G_GINT64_MODIFIER
                            "x%s%s",
                            line->address, line->value, got, player->refused ? "; " : "",
                            player->refused ? player->refused : "");
}

static void play_write(Player *player, const TraceLine *line)
{
    gboolean rings = line->address == SMMU_CR0 || line->address == SMMU_CMDQ_PROD;

    player->result->counts[TRACE_WRITES]++;
    smmuv3_faults_settle(player->faults);
    smmuv3_tables_write(&player->tables, line);
    if (rings)
        smmuv3_unmapped_ring(player->unmapped,
                             line->address == SMMU_CMDQ_PROD
                                 ? line->value
                                 : viommu_smmuv3_read(player->smmu, SMMU_CMDQ_PROD, 4));
    viommu_smmuv3_write(player->smmu, line->address, line->size, line->value);
    if (rings)
        smmuv3_unmapped_consumed(player->unmapped,
                                 viommu_smmuv3_read(player->smmu, SMMU_CMDQ_CONS, 4));
    else if (line->address == SMMU_CMDQ_CONS)
        smmuv3_unmapped_restart(player->unmapped, line->value);
    else if (line->address == SMMU_EVENTQ_PROD)
        smmuv3_faults_restart(player->faults);
}

/* T, B, D: where the DMA went. */
static void play_passed(Player *player, const TraceLine *line, guint64 gpa, guint perms,
                        gboolean write, TraceCount equal, TraceCount differ)
{
    g_autofree char *software =
        software_differs(player, line->sid, line->address, write, gpa, perms);
    g_autofree char *hardware = hardware_differs(player, find_device(player, line->sid),
                                                 line->address, write, gpa, perms);

    if (!software && !hardware) {
        player->result->counts[equal]++;
        return;
    }
    trace_result_differ(player->result, differ, line->number,
                        "%c of stream 0x%x at 0x%" G_GINT64_MODIFIER
                        "x: recorded 0x%" G_GINT64_MODIFIER "x, permissions %u; %s%s%s",
                        line->kind, line->sid, line->address, gpa, perms,
                        software ? software : "", software && hardware ? "; " : "",
                        hardware ? hardware : "");
    smmuv3_faults_discard(player->faults);
}

static void play_translated(Player *player, const TraceLine *line)
{
    guint perms = line->has_extra ? line->extra & 3 : 0;
    gboolean write =
        perms & VIOMMU_ACCESS_WRITE || (!perms && is_doorbell(player, line->value));

    play_passed(player, line, line->value, perms, write, TRACE_TRANSLATIONS_EQUAL,
                TRACE_TRANSLATIONS_DIFFER);
    smmuv3_unmapped_add(player->unmapped, line->sid, line->address);
}

static void play_aborted(Player *player, const TraceLine *line)
{
    g_autofree char *problem = not_refused(player, line->sid, line->address, line->write);

    if (problem) {
        trace_result_differ(player->result, TRACE_ABORTS_DIFFER, line->number,
                            "A of stream 0x%x at 0x%" G_GINT64_MODIFIER "x: but %s",
                            line->sid, line->address, problem);
        return;
    }
    player->result->counts[TRACE_ABORTS_EQUAL]++;
    fault_probe(line->sid, line->address, line->write, player);
    smmuv3_faults_collect(player->faults);
}

/* The transaction itself, so that its event is recorded. */
static void fault_probe(guint32 sid, guint64 iova, gboolean write, gpointer user_data)
{
    ViommuTranslation got = {0};

    translate(user_data, sid, iova, write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ, &got);
}

static void play(gpointer data, const TraceLine *line)
{
    Player *player = data;

    player->line = line->number;
    g_clear_pointer(&player->refused, g_free);
    switch (line->kind) {
    case TRACE_LINE_REGISTER_READ:
        play_read(player, line);
        break;
    case TRACE_LINE_REGISTER_WRITE:
        play_write(player, line);
        break;
    case TRACE_LINE_TRANSLATED:
        play_translated(player, line);
        break;
    case TRACE_LINE_BYPASSED:
    case TRACE_LINE_DISABLED:
        play_passed(player, line, line->address, 0, line->write, TRACE_BYPASSES_EQUAL,
                    TRACE_BYPASSES_DIFFER);
        break;
    case TRACE_LINE_ABORTED:
        play_aborted(player, line);
        break;
    case TRACE_LINE_FAULT:
        smmuv3_faults_expect(player->faults, line);
        break;
    default:
        break;
    }
}

static void finish(gpointer data)
{
    Player *player = data;

    smmuv3_faults_settle(player->faults);
    player->result->counts[TRACE_HOST_CALLS] +=
        viommu_emulator_count_calls(player->emulator, VIOMMU_EMULATOR_CALL_ANY);
}

const TracePlayerOps trace_smmuv3_player = {
    .create = create,
    .play = play,
    .finish = finish,
    .destroy = destroy,
};
