/* SPDX-License-Identifier: MIT */
#include "shadow-bench.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

static const char *const bdfs[SB_DEVICES] = {"0000:00:02.0", "0000:00:03.0"};

/* --- the host ---------------------------------------------------------------------------
 */

static void traced(const ViommuTraceRecord *record, void *user_data)
{
    ShadowBench *b = user_data;

    if (record->point != VIOMMU_TRACE_REFUSED)
        return;
    g_free(b->refusal);
    b->refusal = g_strdup(record->message);
    b->n_refusals++;
}

static void add_devices(ShadowBench *b)
{
    ViommuEmulatorVtdConfig config;
    guint unit;

    viommu_emulator_vtd_defaults(&config);
    /* 48 bits and 4 levels, with or without a first stage */
    config.cap = (config.cap & ~(0x3full << 16 | 0x1full << 8 | 1ull << 60)) |
                 (SB_BITS - 1ull) << 16 | 4ull << 8;
    /* Dirty tracking, by SSADS, would have copies be of the second stage always. */
    config.ecap &= ~(1ull << 45);
    if (b->options->second_stage)
        config.ecap &= ~(1ull << 47);
    unit = viommu_emulator_add_vtd(b->emulator, &config);
    b->limit = (1ull << (b->options->second_stage ? SB_BITS : SB_BITS - 1)) - 1;
    for (guint i = 0; i < b->n_devices; i++) {
        const ViommuEmulatorDeviceConfig device = {.bdf = bdfs[i],
                                                   .iommu = unit,
                                                   .stream_id = 0x10 + i,
                                                   .iommu_group = b->options->group};

        b->bdfs[i] = bdfs[i];
        viommu_emulator_add_device(b->emulator, &device, NULL);
    }
}

static void make_region(ShadowBench *b, guint n, guint64 gpa, guint64 size, guint flags)
{
    ShadowRegion *region = &b->regions[n];

    *region = (ShadowRegion){.gpa = gpa, .size = size, .flags = flags};
    region->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    /* Pages of the large one are marked where they are looked at. */
    for (guint64 at = 0; n != SB_BIG && at < size; at += SB_PAGE)
        viewer_mark(&b->viewer, gpa + at, region->bytes + at);
    sb_plug(b, n);
}

static void make_regions(ShadowBench *b)
{
    make_region(b, SB_LOW, SB_RAM, SB_LOW_SIZE, SB_RW);
    make_region(b, SB_NEXT, SB_NEXT_RAM, SB_NEXT_SIZE, SB_RW);
    make_region(b, SB_ROM, SB_ROM_RAM, SB_ROM_SIZE, SB_R);
    if (b->options->big)
        make_region(b, SB_BIG, SB_BIG_RAM, SB_BIG_SIZE, SB_RW);
}

static gboolean make_host(ShadowBench *b, GError **error)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD};
    ViommuHostConfig host = VIOMMU_HOST_CONFIG_INIT;

    host.seam = &b->watch.seam;
    host.backend = b->options->backend;
    b->host = viommu_host_new(&host, error);
    if (!b->host)
        return FALSE;
    viommu_host_set_trace(b->host, traced, b);
    make_regions(b);
    for (guint i = 0; i < b->n_devices; i++) {
        b->devices[i] = viommu_host_device_new_from_bdf(b->host, bdfs[i], error);
        if (!b->devices[i])
            return FALSE;
    }
    b->hv = viommui_host_viommu_new(b->devices[0], &config, error);
    for (guint i = 0; b->hv && i < b->n_devices; i++)
        viommui_host_device_join(b->devices[i], b->hv);
    return b->hv != NULL;
}

/* --- the source -------------------------------------------------------------------------
 */

static guint64 last_of(const ViommuiShadowEntry *entry)
{
    return entry->iova + (entry->size - 1);
}

static gboolean walk(guint64 first, guint64 last, ViommuiShadowVisit visit,
                     void *visit_data, void *user_data)
{
    ShadowBench *b = user_data;

    b->n_walks++;
    b->first = first;
    b->last = last;
    if (b->on_walk)
        b->on_walk(b);
    for (guint i = 0; i < b->entries->len; i++) {
        const ViommuiShadowEntry *entry = &g_array_index(b->entries, ViommuiShadowEntry, i);

        if (last_of(entry) < first || entry->iova > last)
            continue;
        b->n_visits++;
        if ((b->max_visits && b->n_visits > b->max_visits) || !visit(entry, visit_data))
            return FALSE;
    }
    return TRUE;
}

static void failed(guint64 iova, ViommuResult result, void *user_data)
{
    ShadowBench *b = user_data;

    b->n_failed++;
    b->failed_iova = iova;
    b->failed_result = result;
}

static void broken(ViommuResult result, void *user_data)
{
    ShadowBench *b = user_data;

    (void)result;
    b->n_broken++;
    for (guint n = 0; n < b->n_devices; n++) {
        viommui_host_device_detach(b->devices[n], VIOMMUI_NO_PASID, VIOMMUI_BLOCKED,
                                   VIOMMUI_FAIL_CLOSED);
        b->had[n] = b->gets[n] = FALSE;
    }
}

/* --- the table --------------------------------------------------------------------------
 */

static gint compare(gconstpointer a, gconstpointer b)
{
    const ViommuiShadowEntry *x = a, *y = b;

    return x->iova < y->iova ? -1 : x->iova > y->iova;
}

void sb_take(ShadowBench *b, guint64 iova, guint64 size)
{
    for (guint i = b->entries->len; i > 0; i--) {
        const ViommuiShadowEntry *entry =
            &g_array_index(b->entries, ViommuiShadowEntry, i - 1);

        if (last_of(entry) >= iova && entry->iova <= iova + (size - 1))
            g_array_remove_index(b->entries, i - 1);
    }
}

void sb_put(ShadowBench *b, guint64 iova, guint64 gpa, guint64 size, guint rights)
{
    const ViommuiShadowEntry entry = {iova, gpa, size, rights};

    sb_take(b, iova, size);
    if (!rights)
        return;
    g_array_append_val(b->entries, entry);
    g_array_sort(b->entries, compare);
}

void sb_put_pages(ShadowBench *b, guint64 iova, guint64 gpa, guint n, guint rights)
{
    for (guint i = 0; i < n; i++)
        sb_put(b, iova + (guint64)i * SB_PAGE, gpa + (guint64)i * SB_PAGE, SB_PAGE, rights);
}

static ShadowRegion *find_region(ShadowBench *b, guint64 gpa)
{
    for (guint i = 0; i < SB_REGIONS; i++) {
        ShadowRegion *region = &b->regions[i];

        if (region->bytes && gpa >= region->gpa && gpa - region->gpa < region->size)
            return region;
    }
    return NULL;
}

void *sb_at(ShadowBench *b, guint64 gpa)
{
    const ShadowRegion *region = find_region(b, gpa);

    g_assert(region);
    return region->bytes + (gpa - region->gpa);
}

/* What guest memory is there, with what it allows. */
static View grant_memory(ShadowBench *b, guint64 gpa, guint rights)
{
    const ShadowRegion *region = find_region(b, gpa);

    if (!region || !region->is_mapped || !(rights & region->flags))
        return (View){0};
    if (region == &b->regions[SB_BIG])
        viewer_mark(&b->viewer, gpa, sb_at(b, gpa));
    rights &= region->flags;
    /* First-stage tables have no entries that are only written. */
    return (View){gpa, b->options->second_stage ? rights : rights | SB_R};
}

/* What the table grants at this page. */
static View grant(ShadowBench *b, guint64 iova)
{
    for (guint i = 0; iova <= b->limit && i < b->entries->len; i++) {
        const ViommuiShadowEntry *entry = &g_array_index(b->entries, ViommuiShadowEntry, i);

        if (iova >= entry->iova && iova <= last_of(entry))
            return grant_memory(b, entry->gpa + (iova - entry->iova), entry->flags);
    }
    return (View){0};
}

/* --- looking on -------------------------------------------------------------------------
 */

static void look_at_device(ShadowBench *b, guint n)
{
    static const View nothing;
    gboolean old = TRUE, new = TRUE;

    for (guint i = 0; i < b->n_watched; i++) {
        View seen = viewer_look(&b->viewer, b->bdfs[n], VIEW_NO_PASID, b->watched[i]);
        gboolean was = view_is_within(seen, b->had[n] ? b->was[i] : nothing);
        gboolean will = view_is_within(seen, b->gets[n] ? b->will[i] : nothing);

        old = old && (was || (will && b->either[i]));
        new = new && (will || (was && b->either[i]));
        if (!old && !new && !b->wrong)
            b->wrong = g_strdup_printf("device %u at 0x%" G_GINT64_MODIFIER
                                       "x reaches 0x%" G_GINT64_MODIFIER "x, rights %u",
                                       n, b->watched[i], seen.gpa, seen.rights);
    }
}

static void look(void *user_data)
{
    ShadowBench *b = user_data;

    for (guint i = 0; i < b->n_devices; i++)
        if (!b->is_elsewhere[i])
            look_at_device(b, i);
}

/* What a sync of this range is to come to. */
static void begin(ShadowBench *b, guint64 first, guint64 last)
{
    for (guint i = 0; i < b->n_watched; i++) {
        guint64 page = b->watched[i];

        b->will[i] = grant(b, page);
        b->either[i] = page + (SB_PAGE - 1) < first || page > last;
    }
    b->watch.check = look;
    look(b);
}

/* It has: all that was walked is as it is to be, and the rest as it was. */
static void end(ShadowBench *b, gboolean walked)
{
    look(b);
    b->watch.check = NULL;
    for (guint i = 0; walked && i < b->n_watched; i++)
        if (b->watched[i] >= b->first && b->watched[i] <= b->last)
            b->was[i] = b->will[i];
    for (guint i = 0; i < b->n_devices; i++)
        b->had[i] = b->gets[i];
}

void sb_watch(ShadowBench *b, guint64 iova, guint n)
{
    for (guint i = 0; i < n; i++) {
        g_assert(b->n_watched < SB_WATCHED);
        b->watched[b->n_watched++] = iova + (guint64)i * SB_PAGE;
    }
}

/* --- what is done -----------------------------------------------------------------------
 */

ViommuResult sb_sync(ShadowBench *b, guint64 first, guint64 last)
{
    ViommuResult result;

    begin(b, first, last);
    result = viommui_shadow_sync(b->shadow, first, last);
    end(b, result == VIOMMU_OK);
    return result;
}

ViommuResult sb_sync_page(ShadowBench *b, guint n)
{
    guint64 first = SB_IOVA + (guint64)n * SB_PAGE;

    return sb_sync(b, first, first + SB_PAGE - 1);
}

ViommuResult sb_sync_all(ShadowBench *b)
{
    return sb_sync(b, 0, G_MAXUINT64);
}

ViommuResult sb_attach(ShadowBench *b, guint n)
{
    ViommuResult result;

    b->gets[n] = TRUE;
    memcpy(b->will, b->was, sizeof b->will);
    b->watch.check = look;
    result = viommui_host_device_shadow(b->devices[n], VIOMMUI_NO_PASID, b->shadow,
                                        VIOMMUI_FAIL_CLOSED);
    b->gets[n] = result == VIOMMU_OK;
    end(b, FALSE);
    return result;
}

ViommuResult sb_block(ShadowBench *b, guint n)
{
    ViommuResult result;

    b->gets[n] = FALSE;
    memcpy(b->will, b->was, sizeof b->will);
    b->watch.check = look;
    result = viommui_host_device_detach(b->devices[n], VIOMMUI_NO_PASID, VIOMMUI_BLOCKED,
                                        VIOMMUI_FAIL_CLOSED);
    end(b, FALSE);
    return result;
}

gboolean sb_plug(ShadowBench *b, guint n)
{
    ShadowRegion *region = &b->regions[n];
    guint n_walks = b->n_walks;
    g_autoptr(GError) error = NULL;

    region->is_mapped = TRUE;
    begin(b, 0, G_MAXUINT64);
    region->is_mapped = viommu_host_map(b->host, region->gpa, region->size, region->bytes,
                                        region->flags, &error);
    end(b, b->n_walks > n_walks);
    if (error)
        tap_note("%s", error->message);
    return region->is_mapped;
}

gboolean sb_unplug(ShadowBench *b, guint n)
{
    ShadowRegion *region = &b->regions[n];

    memset(b->either, 0, sizeof b->either);
    for (guint i = 0; i < b->n_watched; i++)
        b->will[i] = find_region(b, b->was[i].gpa) == region ? (View){0} : b->was[i];
    b->watch.check = look;
    region->is_mapped = !viommu_host_unmap(b->host, region->gpa, region->size, NULL);
    if (!region->is_mapped)
        memcpy(b->was, b->will, sizeof b->was);
    end(b, FALSE);
    return !region->is_mapped;
}

/* --- what is so -------------------------------------------------------------------------
 */

gboolean sb_is_right(ShadowBench *b)
{
    static const View nothing;
    gboolean right = TRUE;

    for (guint n = 0; n < b->n_devices; n++)
        for (guint i = 0; i < b->n_watched; i++) {
            View seen = viewer_look(&b->viewer, b->bdfs[n], VIEW_NO_PASID, b->watched[i]);
            View wanted = b->gets[n] ? b->was[i] : nothing;

            if (view_is(seen, wanted))
                continue;
            if (right)
                tap_note(
                    "device %u at 0x%" G_GINT64_MODIFIER "x reaches 0x%" G_GINT64_MODIFIER
                    "x, rights %u, and not 0x%" G_GINT64_MODIFIER "x, rights %u",
                    n, b->watched[i], seen.gpa, seen.rights, wanted.gpa, wanted.rights);
            right = FALSE;
        }
    return right;
}

View sb_see(ShadowBench *b, guint n)
{
    return viewer_look(&b->viewer, b->bdfs[0], VIEW_NO_PASID,
                       SB_IOVA + (guint64)n * SB_PAGE);
}

guint sb_count(ShadowBench *b)
{
    return viommui_shadow_count(b->shadow);
}

guint64 sb_maps(ShadowBench *b)
{
    return spy_count(&b->watch.spy, b->map_call);
}

guint64 sb_unmaps(ShadowBench *b)
{
    return spy_count(&b->watch.spy, b->unmap_call);
}

void sb_reset(ShadowBench *b)
{
    spy_reset_counts(&b->watch.spy);
    b->n_walks = b->n_visits = b->n_failed = b->n_broken = b->n_refusals = 0;
    b->failed_iova = 0;
    b->failed_result = VIOMMU_OK;
}

/* The seam and core try some calls again. */
void sb_fail_map(ShadowBench *b, guint nth, int err)
{
    spy_fail(&b->watch.spy, b->map_call, nth, err, err == ENOMEM ? 3 : 1);
}

void sb_fail_unmap(ShadowBench *b, guint nth, int err)
{
    spy_fail(&b->watch.spy, b->unmap_call, nth, err, err == ENOMEM ? 9 : 3);
}

guint sb_objects(ShadowBench *b, ViommuEmulatorObject kind)
{
    return viommu_emulator_count_objects(b->emulator, kind);
}

/* --- life -------------------------------------------------------------------------------
 */

void sb_new_shadow(ShadowBench *b)
{
    const ViommuiShadowSource source = {
        .walk = walk, .failed = failed, .broken = broken, .user_data = b};

    if (viommui_shadow_new(b->hv, b->devices[0], &source, &b->shadow) != VIOMMU_OK)
        tap_ok(FALSE, "a shadow: %s", b->refusal);
    memset(b->was, 0, sizeof b->was);
}

void sb_init(ShadowBench *b, const ShadowBenchOptions *options)
{
    gboolean legacy = !g_strcmp0(options->backend, "legacy");
    g_autoptr(GError) error = NULL;

    *b = (ShadowBench){.options = options, .n_devices = MAX(options->n_devices, 1)};
    b->map_call = legacy ? VFIO_IOMMU_MAP_DMA : IOMMU_IOAS_COPY;
    b->unmap_call = legacy ? VFIO_IOMMU_UNMAP_DMA : IOMMU_IOAS_UNMAP;
    b->entries = g_array_new(FALSE, FALSE, sizeof(ViommuiShadowEntry));
    b->emulator = viommu_emulator_new();
    viewer_init(&b->viewer, b->emulator);
    watch_init(&b->watch, viommu_emulator_get_seam(b->emulator));
    b->watch.user_data = b;
    add_devices(b);
    if (!make_host(b, &error))
        tap_ok(FALSE, "a bench to work at: %s", error->message);
    sb_new_shadow(b);
}

static guint count_objects(ShadowBench *b)
{
    guint n = 0;

    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        n += sb_objects(b, kind);
    return n;
}

void sb_clear(ShadowBench *b)
{
    spy_fail_none(&b->watch.spy);
    for (guint i = 0; i < b->n_devices; i++)
        viommui_host_device_leave(b->devices[i]);
    viommui_shadow_free(b->shadow);
    viommui_host_viommu_free(b->hv);
    for (guint i = 0; i < b->n_devices; i++)
        viommu_host_device_free(b->devices[i]);
    viommu_host_free(b->host);
    tap_ok(!b->wrong,
           "never a page that is not granted, at %" G_GUINT64_FORMAT " looks%s%s",
           b->watch.n_looks, b->wrong ? ": " : "", b->wrong ? b->wrong : "");
    tap_is(count_objects(b), 0, "in the end nothing is left on the host");
    watch_clear(&b->watch);
    viewer_clear(&b->viewer);
    viommu_emulator_free(b->emulator);
    for (guint i = 0; i < SB_REGIONS; i++)
        if (b->regions[i].bytes)
            munmap(b->regions[i].bytes, b->regions[i].size);
    g_array_unref(b->entries);
    g_free(b->refusal);
    g_free(b->wrong);
}
