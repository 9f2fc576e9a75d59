/* SPDX-License-Identifier: MIT */
/*
 * Plays recordings: the host and its devices, and what is held against each line. How a
 * vendor's unit is made and asked is behind TraceUnitOps.
 *
 * What hardware says is asked by a look at it first (peek), then by real accesses, which
 * fill its caches as the recorded device's did: so a missing invalidation shows later.
 * Where nothing was translated, hardware is only looked at: it reports no event then, and
 * each recorded fault is one for the guest, not two.
 *
 * Up: vendor.c. Down: the vendors' players, unmapped.c, faults.c, the public library and
 * emulator.
 */
#include "player.h"

#include <string.h>

/* What was left to software, for one reason. */
typedef struct {
    const char *why; /* static */
    guint64 n_translations;
    guint64 n_others;
} Omission;

/* --- host services -----------------------------------------------------------------------
 */

static gboolean read_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    const TracePlayer *player = user_data;

    return trace_memory_read(player->memory, gpa, data, size);
}

static gboolean write_memory(guint64 gpa, const void *data, gsize size, void *user_data)
{
    const TracePlayer *player = user_data;

    return trace_memory_write(player->memory, gpa, data, size);
}

static gboolean compare_and_swap(guint64 gpa, guint64 expected, guint64 desired,
                                 guint64 *ret_found, void *user_data)
{
    const TracePlayer *player = user_data;
    guint64 word = GUINT64_TO_LE(desired);

    if (!trace_memory_read_word(player->memory, gpa, ret_found))
        return FALSE;
    return *ret_found != expected ||
           trace_memory_write(player->memory, gpa, &word, sizeof(word));
}

/* A message to memory is a store: Linux has SYNC write into its own queue. */
static gboolean send_msi(guint64 address, guint32 data, void *user_data)
{
    const TracePlayer *player = user_data;
    guint32 word = GUINT32_TO_LE(data);

    player->result->counts[TRACE_INTERRUPTS]++;
    trace_memory_write(player->memory, address, &word, sizeof(word));
    return TRUE;
}

static void pulse_irq(guint line, void *user_data)
{
    const TracePlayer *player = user_data;

    (void)line;
    player->result->counts[TRACE_INTERRUPTS]++;
}

static void trace_refusals(const ViommuTraceRecord *record, void *user_data)
{
    TracePlayer *player = user_data;

    if (record->point != VIOMMU_TRACE_REFUSED)
        return;
    g_free(player->refused);
    player->refused = g_strdup(record->message);
}

/* --- set-up ------------------------------------------------------------------------------
 */

static void device_free(gpointer data)
{
    TraceDevice *device = data;

    viommu_host_device_free(device->host_device);
    g_free(device->bdf);
    g_free(device);
}

static void destroy(gpointer data)
{
    TracePlayer *player = data;

    if (!player)
        return;
    player->ops->free(player);
    g_hash_table_unref(player->by_sid);
    g_ptr_array_unref(player->devices);
    viommu_host_free(player->host);
    viommu_emulator_free(player->emulator);
    trace_unmapped_free(player->unmapped);
    trace_faults_free(player->faults);
    g_array_unref(player->omissions);
    g_free(player->tables);
    g_free(player->refused);
    g_free(player);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TracePlayer, destroy)

static gboolean make_host(TracePlayer *player, GError **error)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;

    config.backend = player->options->backend;
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

static gboolean make_unit(TracePlayer *player, GError **error)
{
    const ViommuServices services = {
        .read_memory = read_memory,
        .write_memory = write_memory,
        .compare_and_swap = compare_and_swap,
        .send_msi = send_msi,
        .pulse_irq = pulse_irq,
        .user_data = player,
    };

    return player->ops->create(player, &services, error);
}

/* The physical number has nothing to do with the guest's, and must not need to. */
static gboolean add_device(TracePlayer *player, guint32 sid, GError **error)
{
    guint index = player->devices->len;
    TraceDevice *device = g_new0(TraceDevice, 1);
    ViommuEmulatorDeviceConfig config = {
        .iommu = player->iommu, .stream_id = 0x100 + index, .iommu_group = -1};

    g_ptr_array_add(player->devices, device);
    g_hash_table_insert(player->by_sid, GUINT_TO_POINTER(sid), device);
    device->sid = sid;
    device->left_out = player->ops->describe(player, sid, &config);
    if (device->left_out)
        return TRUE;
    device->bdf =
        g_strdup_printf("0000:%02x:%02x.%x", index >> 8, index >> 3 & 0x1f, index & 7);
    config.bdf = device->bdf;
    if (!viommu_emulator_add_device(player->emulator, &config, error))
        return FALSE;
    device->host_device = viommu_host_device_new_from_bdf(player->host, device->bdf, error);
    return device->host_device &&
           player->ops->attach(player, device->host_device, sid, error);
}

static gboolean add_devices(TracePlayer *player, GError **error)
{
    const GArray *sids = player->survey->sids;

    for (guint i = 0; i < sids->len; i++)
        if (!add_device(player, g_array_index(sids, guint32, i), error))
            return FALSE;
    return player->ops->release(player, error);
}

static void check_unmapped(guint32 sid, guint64 iova, guint perms, gboolean cleared,
                           gpointer user_data);
static char *fault_probe(guint32 sid, guint64 iova, gboolean write, gpointer user_data);

static gpointer create(const TraceSurvey *survey, const TraceMemory *memory,
                       const TraceOptions *options, TraceResult *result, GError **error)
{
    const TraceTablesOps *tables_ops = survey->vendor->tables;
    g_autoptr(TracePlayer) player = g_new0(TracePlayer, 1);

    player->survey = survey;
    player->ops = survey->vendor->unit;
    player->memory = memory;
    player->options = options;
    player->result = result;
    player->devices = g_ptr_array_new_with_free_func(device_free);
    player->by_sid = g_hash_table_new(NULL, NULL);
    player->omissions = g_array_new(FALSE, FALSE, sizeof(Omission));
    player->tables = tables_ops->create(survey, memory);
    player->unmapped = trace_unmapped_new(player->ops->unmapped, tables_ops, player->tables,
                                          memory, check_unmapped, player);
    player->emulator = viommu_emulator_new();
    if (!make_host(player, error) || !make_unit(player, error) ||
        !add_devices(player, error)) {
        g_prefix_error(error, "%s: no host or device to play it on: ", survey->path);
        return NULL;
    }
    player->faults = trace_faults_new(player->ops->faults, player->fault_source, result,
                                      fault_probe, player);
    viommu_emulator_reset_calls(player->emulator);
    return g_steal_pointer(&player);
}

/* --- the two sides -----------------------------------------------------------------------
 */

static TraceDevice *find_device(const TracePlayer *player, guint32 sid)
{
    return g_hash_table_lookup(player->by_sid, GUINT_TO_POINTER(sid));
}

gboolean trace_player_is_in_msi_window(const TracePlayer *player, guint64 address)
{
    const TraceRange *window = &player->survey->vendor->msi_window;

    return window->first <= address && address <= window->last;
}

ViommuResult trace_player_translate(TracePlayer *player, guint32 sid, guint64 iova,
                                    ViommuAccess access, ViommuTranslation *ret_translation)
{
    return player->ops->translate(player, sid, iova, access, ret_translation);
}

/* Why the software walk does not say this; NULL: it does. */
static char *software_differs(TracePlayer *player, const TraceLine *line,
                              const TraceDma *dma)
{
    ViommuTranslation got = {0};
    ViommuResult result =
        trace_player_translate(player, dma->sid, dma->iova,
                               dma->write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ, &got);

    if (result != VIOMMU_OK)
        return g_strdup_printf("the software walk says %s%s%s", viommu_result_name(result),
                               player->refused ? ": " : "",
                               player->refused ? player->refused : "");
    if (got.gpa != dma->gpa)
        return g_strdup_printf("the software walk says 0x%" G_GINT64_MODIFIER "x", got.gpa);
    if (dma->perms &&
        (got.access & (dma->may_write ? 1 : 3)) != (dma->perms & (dma->may_write ? 1 : 3)))
        return g_strdup_printf("the software walk allows %u, not %u", got.access & 3,
                               dma->perms);
    if (got.is_msi != dma->message)
        return g_strdup_printf("the software walk calls it %s",
                               got.is_msi ? "a message" : "memory");
    if (!got.length)
        return g_strdup("the software walk gives it no length");
    return player->ops->check ? player->ops->check(player, line, dma, &got) : NULL;
}

/* One real access by the device, seen by what changes in memory, and undone. */
static gboolean dma_reaches(TracePlayer *player, const TraceDevice *device,
                            const TraceDma *dma)
{
    guint64 room = 0;
    guint8 *bytes = trace_memory_at(player->memory, dma->gpa, &room);
    gsize size = MIN(sizeof(guint32), TRACE_PAGE_SIZE - dma->iova % TRACE_PAGE_SIZE);
    guint32 marker = ++player->marker * 0x9e3779b1u;
    guint32 buffer = dma->write ? marker : ~marker;
    guint8 old[sizeof(guint32)];
    gboolean ok;

    if (!bytes || room < size)
        return FALSE;
    memcpy(old, bytes, size);
    if (dma->write)
        memset(bytes, ~(marker & 0xff), size);
    else
        memcpy(bytes, &marker, size);
    ok = viommu_emulator_dma(player->emulator, device->bdf, dma->iova, &buffer, size,
                             dma->write) == 0 &&
         memcmp(dma->write ? (void *)bytes : &buffer, &marker, size) == 0;
    memcpy(bytes, old, size);
    player->result->counts[TRACE_DMA]++;
    return ok;
}

static char *hardware_differs(TracePlayer *player, const TraceDevice *device,
                              const TraceDma *dma)
{
    guint64 got = 0;

    if (dma->message) {
        player->result->counts[TRACE_DOORBELLS]++;
        return player->ops->check_message(player, device, dma);
    }
    if (viommu_emulator_peek(player->emulator, device->bdf, dma->iova, dma->write, &got) <
        0)
        return g_strdup("the hardware refuses it");
    /* A copy of the guest's table knows no guest-physical addresses: only bytes tell. */
    if (got != dma->gpa && got != dma->iova)
        return g_strdup_printf("the hardware goes to 0x%" G_GINT64_MODIFIER "x", got);
    if (dma->perms == VIOMMU_ACCESS_READ && !dma->may_write &&
        viommu_emulator_peek(player->emulator, device->bdf, dma->iova, TRUE, &got) == 0)
        return g_strdup("the hardware allows a write");
    if (!dma_reaches(player, device, dma)) {
        player->ops->handle_events(player);
        return g_strdup("an access by the hardware does not arrive there");
    }
    return NULL;
}

/* Count a DMA that hardware is not asked for. */
static void leave_out(TracePlayer *player, const TraceLine *line, const char *why)
{
    Omission *omission = NULL;

    for (guint i = 0; i < player->omissions->len && !omission; i++) {
        omission = &g_array_index(player->omissions, Omission, i);
        if (!g_str_equal(omission->why, why))
            omission = NULL;
    }
    if (!omission) {
        const Omission fresh = {.why = why};

        g_array_append_val(player->omissions, fresh);
        omission = &g_array_index(player->omissions, Omission, player->omissions->len - 1);
    }
    if (line->kind == TRACE_LINE_TRANSLATED)
        omission->n_translations++;
    else
        omission->n_others++;
    player->result->counts[TRACE_SOFTWARE_ONLY]++;
}

static void tell_omissions(TracePlayer *player)
{
    for (guint i = 0; i < player->omissions->len; i++) {
        const Omission *omission = &g_array_index(player->omissions, Omission, i);
        g_autofree char *others =
            omission->n_others
                ? g_strdup_printf(" and %" G_GUINT64_FORMAT " bypassed or refused DMAs",
                                  omission->n_others)
                : g_strdup("");

        trace_result_omit(player->result,
                          "%s: not bound, hardware comparison left out for "
                          "%" G_GUINT64_FORMAT " translations%s",
                          omission->why, omission->n_translations, others);
    }
}

/*
 * Why either side lets this through; NULL: both refuse it. Asks only. cleared: the tables
 * have forgotten it for this question alone, which a copy of them does not hear of.
 */
static char *not_refused(TracePlayer *player, guint32 sid, guint64 iova, gboolean write,
                         gboolean cleared)
{
    const TraceDevice *device = find_device(player, sid);
    ViommuTranslation got = {0};
    guint64 gpa = 0;

    if (trace_player_translate(player, sid, iova,
                               (write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ) |
                                   VIOMMU_ACCESS_PEEK,
                               &got) == VIOMMU_OK)
        return g_strdup_printf("the software walk says 0x%" G_GINT64_MODIFIER "x", got.gpa);
    if (device && device->host_device &&
        viommu_emulator_peek_stage1(player->emulator, device->bdf, iova, write, &gpa) ==
            0 &&
        /* What no stage 1 has translated ends in the host's own tables. */
        (gpa != iova || (!cleared && viommu_emulator_peek(player->emulator, device->bdf,
                                                          iova, write, &gpa) == 0)))
        return g_strdup_printf("the hardware goes to 0x%" G_GINT64_MODIFIER "x", gpa);
    return NULL;
}

static void check_unmapped(guint32 sid, guint64 iova, guint perms, gboolean cleared,
                           gpointer user_data)
{
    TracePlayer *player = user_data;
    gboolean write = !(perms & VIOMMU_ACCESS_READ);
    g_autofree char *problem = not_refused(player, sid, iova, write, cleared);

    if (problem) {
        trace_result_differ(player->result, TRACE_UNMAPPED_DIFFER, player->line,
                            "%s 0x%x at 0x%" G_GINT64_MODIFIER
                            "x is unmapped and flushed, but %s",
                            player->ops->source, sid, iova, problem);
        return;
    }
    player->result->counts[cleared ? TRACE_FLUSHED_REFUSED : TRACE_UNMAPPED_REFUSED]++;
}

/* The transaction itself, so that its event is recorded. */
static char *fault_probe(guint32 sid, guint64 iova, gboolean write, gpointer user_data)
{
    char *problem = not_refused(user_data, sid, iova, write, FALSE);
    ViommuTranslation got = {0};

    trace_player_translate(user_data, sid, iova,
                           write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ, &got);
    return problem;
}

/* --- lines -------------------------------------------------------------------------------
 */

static void play_read(TracePlayer *player, const TraceLine *line)
{
    guint64 *counts = player->result->counts;
    guint64 got = player->ops->read(player, line->address, line->size);

    if (got == line->value)
        counts[TRACE_READS_EQUAL]++;
    else if (player->ops->excuse(player, line, got))
        counts[TRACE_READS_EXCUSED]++;
    else
        trace_result_differ(player->result, TRACE_READS_DIFFER, line->number,
                            "register 0x%" G_GINT64_MODIFIER
                            "x: recorded %" G_GINT64_MODIFIER "x, ours %" G_GINT64_MODIFIER
                            "x%s%s",
                            line->address, line->value, got, player->refused ? "; " : "",
                            player->refused ? player->refused : "");
}

static void play_write(TracePlayer *player, const TraceLine *line)
{
    player->result->counts[TRACE_WRITES]++;
    trace_faults_settle(player->faults);
    player->ops->write(player, line);
}

/* What hardware says of a DMA, or that it is not asked. */
static char *judge_hardware(TracePlayer *player, const TraceLine *line, const TraceDma *dma)
{
    const TraceDevice *device = find_device(player, dma->sid);
    const char *why = device->left_out;
    char *problem;

    if (why) {
        leave_out(player, line, why);
        return NULL;
    }
    problem = hardware_differs(player, device, dma);
    why =
        problem && player->ops->is_untold ? player->ops->is_untold(player, dma->sid) : NULL;
    if (!why)
        return problem;
    leave_out(player, line, why);
    g_free(problem);
    return NULL;
}

/* T, B, D: where the DMA went. */
static void play_passed(TracePlayer *player, const TraceLine *line, guint64 gpa,
                        TraceCount equal, TraceCount differ)
{
    TraceDma dma = {
        .sid = line->sid, .iova = line->address, .gpa = gpa, .write = line->write};
    g_autofree char *software = NULL;
    g_autofree char *hardware = NULL;

    player->ops->expect(player, line, &dma);
    software = software_differs(player, line, &dma);
    hardware = judge_hardware(player, line, &dma);
    if (!software && !hardware) {
        player->result->counts[equal]++;
        return;
    }
    trace_result_differ(player->result, differ, line->number,
                        "%c of %s 0x%x at 0x%" G_GINT64_MODIFIER
                        "x: recorded 0x%" G_GINT64_MODIFIER "x, permissions %u; %s%s%s",
                        line->kind, player->ops->source, line->sid, line->address, gpa,
                        dma.perms, software ? software : "",
                        software && hardware ? "; " : "", hardware ? hardware : "");
    trace_faults_discard(player->faults);
}

static void play_aborted(TracePlayer *player, const TraceLine *line)
{
    const TraceDevice *device = find_device(player, line->sid);
    g_autofree char *problem = fault_probe(line->sid, line->address, line->write, player);

    if (device->left_out)
        leave_out(player, line, device->left_out);
    if (problem) {
        trace_result_differ(player->result, TRACE_ABORTS_DIFFER, line->number,
                            "A of %s 0x%x at 0x%" G_GINT64_MODIFIER "x: but %s",
                            player->ops->source, line->sid, line->address, problem);
        return;
    }
    player->result->counts[TRACE_ABORTS_EQUAL]++;
    trace_faults_collect(player->faults);
}

static void play(gpointer data, const TraceLine *line)
{
    TracePlayer *player = data;

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
        play_passed(player, line, line->value, TRACE_TRANSLATIONS_EQUAL,
                    TRACE_TRANSLATIONS_DIFFER);
        trace_unmapped_add(player->unmapped, line->sid, line->address);
        break;
    case TRACE_LINE_BYPASSED:
    case TRACE_LINE_DISABLED:
        play_passed(player, line, line->address, TRACE_BYPASSES_EQUAL,
                    TRACE_BYPASSES_DIFFER);
        break;
    case TRACE_LINE_ABORTED:
        play_aborted(player, line);
        break;
    case TRACE_LINE_FAULT:
        trace_faults_expect(player->faults, line);
        break;
    default:
        break;
    }
}

static void finish(gpointer data)
{
    TracePlayer *player = data;

    trace_faults_settle(player->faults);
    tell_omissions(player);
    player->result->counts[TRACE_HOST_CALLS] +=
        viommu_emulator_count_calls(player->emulator, VIOMMU_EMULATOR_CALL_ANY);
}

const TracePlayerOps trace_player = {
    .create = create,
    .play = play,
    .finish = finish,
    .destroy = destroy,
};
