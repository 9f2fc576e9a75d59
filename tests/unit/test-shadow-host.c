/* SPDX-License-Identifier: MIT */
/*
 * What a shadow meets on the host: calls that fail, guest memory that comes and goes,
 * devices that come, go, share it and are put off. On every backend; every host call is
 * watched by shadow-bench.h.
 */

#include "shadow-bench.h"

#include "core/private.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <viommu/viommu.h>

enum { PIECES = 5 };

static guint64 iova(guint page)
{
    return SB_IOVA + (guint64)page * SB_PAGE;
}

static guint64 ram(guint page)
{
    return SB_RAM + (guint64)page * SB_PAGE;
}

/* Pages that are mappings of their own. */
static void put_pieces(ShadowBench *b, guint first_page)
{
    for (guint i = 0; i < PIECES; i++)
        sb_put(b, iova(i), ram(first_page + 2 * i), SB_PAGE, SB_RW);
}

/* --- calls that fail --------------------------------------------------------------------
 */

static guint count_reached(ShadowBench *b)
{
    guint n = 0;

    for (guint i = 0; i < PIECES; i++)
        n += sb_see(b, i).rights != 0;
    return n;
}

static void test_map_fails(const ShadowBenchOptions *options, int err, ViommuResult class)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), PIECES + 1);
    sb_attach(&b, 0);
    for (guint nth = 1; nth <= PIECES; nth++) {
        put_pieces(&b, 40 * nth);
        sb_reset(&b);
        sb_fail_map(&b, nth, err);
        tap_is(sb_sync_all(&b), VIOMMU_OK, "%s of page %u", g_strerror(err), nth);
        tap_ok(count_reached(&b) == PIECES - 1 && !sb_see(&b, nth - 1).rights,
               "... all but that are mapped");
        tap_ok(b.n_failed == 1 && b.failed_iova == iova(nth - 1) &&
                   b.failed_result == class,
               "... it is told, once");
        tap_is(sb_count(&b), PIECES - 1, "... and not taken for mapped");
        sb_sync_page(&b, nth - 1);
        tap_ok(sb_is_right(&b) && sb_count(&b) == PIECES, "... the next sync has it");
    }
    put_pieces(&b, 500);
    sb_reset(&b);
    viommu_emulator_fail_call(b.emulator, b.map_call, 1, err, TRUE);
    tap_is(sb_sync_all(&b), VIOMMU_OK, "%s of all", g_strerror(err));
    tap_ok(count_reached(&b) == 0 && sb_count(&b) == 0 && b.n_failed == 1,
           "... nothing is mapped, and that told once");
    viommu_emulator_fail_call(b.emulator, b.map_call, 1, 0, FALSE);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b), "... until it is");
    sb_clear(&b);
}

/* Of one piece with something in its midst, each part is tried. */
static void test_gap_fails(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 8);
    sb_attach(&b, 0);
    sb_put_pages(&b, iova(3), ram(3), 2, SB_RW);
    sb_sync_all(&b);
    sb_put_pages(&b, iova(0), ram(0), 8, SB_RW);
    sb_reset(&b);
    sb_fail_map(&b, 1, EINVAL);
    sb_sync_all(&b);
    tap_ok(b.failed_iova == iova(0) && !sb_see(&b, 2).rights, "the first gap fails");
    tap_ok(sb_see(&b, 4).rights && sb_see(&b, 7).rights, "... the second is filled");
    sb_reset(&b);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b) && sb_maps(&b) == 1, "... and then the first");
    sb_clear(&b);
}

static void test_unmap_fails(const ShadowBenchOptions *options, int err, ViommuResult class)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), PIECES + 2);
    for (guint nth = 1; nth <= 3; nth++) {
        put_pieces(&b, 20);
        sb_take(&b, iova(PIECES), SB_PAGE);
        sb_sync_all(&b);
        sb_attach(&b, 0);
        sb_take(&b, iova(0), SB_PAGE);
        sb_put(&b, iova(1), ram(50), SB_PAGE, SB_RW);
        sb_take(&b, iova(2), SB_PAGE);
        sb_put(&b, iova(PIECES), ram(51), SB_PAGE, SB_RW);
        sb_reset(&b);
        sb_fail_unmap(&b, nth, err);
        tap_is(sb_sync_all(&b), class, "%s of unmap %u of 3", g_strerror(err), nth);
        tap_ok(sb_maps(&b) == 0 && !sb_see(&b, PIECES).rights, "... nothing new comes");
        tap_ok(sb_see(&b, nth - 1).gpa == ram(20 + 2 * (nth - 1)), "... as the old stays");
        tap_is(sb_count(&b), PIECES + 1 - nth, "... and is known to");
        sb_block(&b, 0);
        tap_is(sb_sync_all(&b), VIOMMU_OK, "the next sync");
        sb_attach(&b, 0);
        tap_ok(sb_is_right(&b), "... makes it right");
        sb_block(&b, 0);
    }
    sb_clear(&b);
}

/* What stays mapped is stale: that is worth another try or two. */
static void test_unmap_again(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), PIECES);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    sb_take(&b, iova(1), SB_PAGE);
    spy_fail(&b.watch.spy, b.unmap_call, 1, EIO, 2);
    tap_is(sb_sync_all(&b), VIOMMU_OK, "an unmap that fails twice");
    tap_ok(sb_is_right(&b), "... is made the third time");
    sb_clear(&b);
}

/* Memory that does not go stays for all that have it, each a container or all by one. */
static void test_unplug_fails_for_one(const ShadowBenchOptions *options)
{
    gboolean legacy = !g_strcmp0(options->backend, "legacy");
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), PIECES);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    sb_attach(&b, 1);
    spy_fail_pattern(&b.watch.spy, b.unmap_call, legacy ? ".x.x.x" : "xxx", EIO);
    tap_ok(!sb_unplug(&b, SB_LOW), "memory that does not go, of one device of two");
    spy_fail_none(&b.watch.spy);
    tap_ok(sb_is_right(&b), "... stays for both");
    tap_ok(sb_unplug(&b, SB_LOW) && sb_is_right(&b), "then it goes");
    sb_plug(&b, SB_LOW);
    tap_ok(sb_is_right(&b), "... and comes");
    sb_clear(&b);
}

static void test_new_fails(const ShadowBenchOptions *options)
{
    static const unsigned long calls[] = {IOMMU_IOAS_ALLOC, IOMMU_HWPT_ALLOC};
    const ViommuiShadowSource source = {0};
    ViommuiShadow *shadow = NULL;
    ShadowBench b;
    guint n_ioas;

    sb_init(&b, options);
    n_ioas = sb_objects(&b, VIOMMU_EMULATOR_OBJECT_IOAS);
    for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
        spy_fail(&b.watch.spy, calls[i], 1, ENOMEM, 3);
        tap_is(viommui_shadow_new(b.hv, b.devices[0], &source, &shadow), VIOMMU_TRANSIENT,
               "no shadow");
        tap_ok(!shadow && sb_objects(&b, VIOMMU_EMULATOR_OBJECT_IOAS) == n_ioas,
               "... nor part of it");
        tap_has(b.refusal, "no address space", "... in words");
    }
    /* Where the limits are not told, it is for the host to refuse. */
    spy_fail(&b.watch.spy, IOMMU_IOAS_IOVA_RANGES, 1, EIO, 99);
    sb_put(&b, b.limit + 1, ram(0), SB_PAGE, SB_RW);
    sb_put(&b, iova(0), ram(1), SB_PAGE, SB_RW);
    sb_watch(&b, iova(0), 1);
    sb_watch(&b, b.limit + 1, 1);
    sb_attach(&b, 0);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b) && b.n_failed == 1 && b.failed_iova == b.limit + 1,
           "a limit that is not told is found");
    sb_clear(&b);
}

/* --- guest memory comes and goes --------------------------------------------------------
 */

static void test_unplug(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 12);
    sb_put_pages(&b, iova(0), SB_NEXT_RAM - 4 * SB_PAGE, 8, SB_RW);
    sb_put(&b, iova(9), ram(9), SB_PAGE, SB_RW);
    sb_put(&b, iova(11), SB_NEXT_RAM + SB_NEXT_SIZE - SB_PAGE, SB_PAGE, SB_R);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    tap_ok(sb_is_right(&b) && sb_count(&b) == 4, "pages of two mappings of memory");
    tap_ok(sb_unplug(&b, SB_ROM) && sb_is_right(&b) && sb_count(&b) == 4,
           "memory goes that no page has");
    sb_reset(&b);
    tap_ok(sb_plug(&b, SB_ROM), "... and comes");
    tap_ok(b.n_walks == 0 && sb_is_right(&b), "... which concerns nobody");

    sb_reset(&b);
    tap_ok(sb_unplug(&b, SB_NEXT), "one mapping of memory goes");
    tap_ok(sb_is_right(&b) && sb_count(&b) == 2, "... and its pages with it");
    tap_is(b.n_walks, 0, "... without a look at the table");
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b) && b.n_failed == 1 && b.failed_iova == iova(4),
           "... where they are no memory now");
    tap_ok(sb_plug(&b, SB_NEXT), "it comes back");
    tap_ok(sb_is_right(&b) && sb_count(&b) == 4, "... and so do its pages");
    sb_reset(&b);
    sb_unplug(&b, SB_ROM);
    sb_plug(&b, SB_ROM);
    tap_is(b.n_walks, 0, "nothing is lacking then");

    sb_unplug(&b, SB_NEXT);
    sb_take(&b, iova(4), 2 * SB_PAGE);
    sb_put(&b, iova(10), SB_NEXT_RAM, SB_PAGE, SB_RW);
    sb_plug(&b, SB_NEXT);
    tap_ok(sb_is_right(&b), "it comes back to what the table is then");
    sb_clear(&b);
}

/* Memory that does not go after all. */
static void test_unplug_fails(const ShadowBenchOptions *options)
{
    ShadowBench b;
    gboolean gone;

    sb_init(&b, options);
    sb_watch(&b, iova(0), PIECES);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    for (guint nth = 1; nth <= PIECES; nth++) {
        g_autoptr(GError) error = NULL;

        sb_fail_unmap(&b, nth, EIO);
        tap_ok(!viommu_host_unmap(b.host, SB_RAM, SB_LOW_SIZE, &error), "copy %u stays",
               nth);
        tap_ok(g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE) &&
                   g_strrstr(error->message, "still reaches guest-physical 0x1000000") &&
                   g_strrstr(error->message, "\"table-unmap\""),
               "... in words");
        tap_ok(sb_is_right(&b) && sb_count(&b) == PIECES, "... and all others are back");
    }
    sb_reset(&b);
    sb_fail_unmap(&b, PIECES + 1, EIO);
    /* In a container it was mapped nowhere but in the copy. */
    gone = viommu_host_unmap(b.host, SB_RAM, SB_LOW_SIZE, NULL);
    tap_is(gone, g_str_equal(options->backend, "legacy"),
           "the memory stays, where it is mapped besides");
    spy_fail_none(&b.watch.spy);
    if (gone)
        sb_plug(&b, SB_LOW);
    tap_ok(sb_is_right(&b), "... and so do the copies");
    sb_clear(&b);
}

/* Memory comes, and what the guest took back meanwhile cannot be unmapped. */
static void test_plug_fails(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 5);
    put_pieces(&b, 0);
    sb_put(&b, iova(4), SB_NEXT_RAM, SB_PAGE, SB_RW);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    sb_unplug(&b, SB_NEXT);
    sb_take(&b, iova(0), SB_PAGE);
    sb_reset(&b);
    sb_fail_unmap(&b, 1, EIO);
    tap_ok(sb_plug(&b, SB_NEXT), "memory comes");
    tap_is(b.n_broken, 1, "... and the copy cannot be made right: the source is told");
    tap_ok(sb_is_right(&b), "... so that nobody has it");
    spy_fail_none(&b.watch.spy);
    sb_unplug(&b, SB_ROM);
    sb_plug(&b, SB_ROM);
    tap_is(sb_attach(&b, 0), VIOMMU_OK, "when more memory comes it is tried again");
    tap_ok(sb_is_right(&b), "... and had");
    sb_clear(&b);
}

/* As many mappings as a container takes; and what fits is there. */
static void test_limit(const ShadowBenchOptions *options)
{
    enum { LIMIT = 65535, N = LIMIT + 5 };
    ShadowBench b;

    sb_init(&b, options);
    sb_attach(&b, 0);
    for (guint i = 0; i < N; i++) {
        const ViommuiShadowEntry entry = {iova(2 * i), SB_RAM + i % 1024 * SB_PAGE, SB_PAGE,
                                          SB_RW};

        g_array_append_val(b.entries, entry);
    }
    sb_reset(&b);
    tap_is(viommui_shadow_sync(b.shadow, 0, G_MAXUINT64), VIOMMU_OK,
           "five pages more than a container takes");
    tap_is(sb_count(&b), LIMIT, "... as many as it takes are mapped");
    tap_ok(b.n_failed == 1 && b.failed_iova == iova(2 * LIMIT) &&
               b.failed_result == VIOMMU_TRANSIENT,
           "... of the first of the others the guest is told");
    tap_ok(g_strrstr(b.refusal, g_strerror(ENOSPC)) != NULL, "... and the VMM, in words");
    tap_ok(sb_see(&b, 0).rights && sb_see(&b, 2 * (LIMIT - 1)).rights &&
               !sb_see(&b, 2 * LIMIT).rights,
           "... and what fits is seen");
    g_array_set_size(b.entries, 0);
    tap_ok(viommui_shadow_sync(b.shadow, 0, G_MAXUINT64) == VIOMMU_OK && !sb_count(&b),
           "all gone");
    sb_clear(&b);
}

/* What a device reserves can be left out only once it is unmapped. */
static void test_admit_fails(const ShadowBenchOptions *options)
{
    const ViommuReservedRegion region = {.start = iova(1), .last = iova(2) - 1};
    const ShadowBenchOptions two = {
        .backend = options->backend, .n_devices = 2, .group = -1};
    ShadowBench b;

    sb_init(&b, &two);
    sb_watch(&b, iova(0), PIECES);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    b.devices[1]->info.reserved = &region;
    b.devices[1]->info.n_reserved = 1;
    for (guint tries = 0; tries < 2; tries++) {
        sb_fail_unmap(&b, 1, EIO);
        tap_is(viommui_shadow_admit(b.shadow, b.devices[1]), VIOMMU_HOST_GONE,
               "a device is not admitted while what it reserves is mapped");
    }
    spy_fail_none(&b.watch.spy);
    tap_is(viommui_shadow_admit(b.shadow, b.devices[1]), VIOMMU_OK, "... but then");
    tap_ok(!sb_see(&b, 1).rights && sb_see(&b, 0).rights, "... without that page");
    sb_clear(&b);
}

/* A device that cannot be detached, and pages that cannot be unmapped for it. */
static void test_unreleased(const ShadowBenchOptions *options)
{
    g_autoptr(GError) error = NULL;
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), PIECES);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    viommu_emulator_fail_call(b.emulator, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, EIO, TRUE);
    sb_fail_unmap(&b, 2, EIO);
    viommui_host_device_leave(b.devices[0]);
    viommui_shadow_free(b.shadow);
    b.shadow = NULL;
    tap_ok(!viommu_host_unmap(b.host, SB_RAM, SB_LOW_SIZE, &error),
           "memory that a device reaches, which is neither detached nor unmapped, stays");
    tap_ok(error && g_strrstr(error->message, "could not be detached still reaches"),
           "... as is said");
    spy_fail_none(&b.watch.spy);
    viommu_emulator_fail_call(b.emulator, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, 0, FALSE);
    sb_clear(&b);
}

/* Memory of other rights in the place of what was there. */
static void test_other_memory(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 3);
    sb_put(&b, iova(0), SB_ROM_RAM, SB_PAGE, SB_W);
    sb_put(&b, iova(1), ram(0), SB_PAGE, SB_RW);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    tap_ok(sb_is_right(&b) && sb_count(&b) == 1,
           "what is read-only is granted for writing");
    sb_unplug(&b, SB_ROM);
    b.regions[SB_ROM].flags = SB_RW;
    sb_plug(&b, SB_ROM);
    tap_ok(sb_is_right(&b) && sb_see(&b, 0).gpa == SB_ROM_RAM,
           "... until it can be written");
    sb_put(&b, iova(2), SB_ROM_RAM + 2 * SB_PAGE, SB_PAGE, SB_RW);
    sb_sync_all(&b);
    sb_unplug(&b, SB_ROM);
    b.regions[SB_ROM].flags = SB_R;
    sb_plug(&b, SB_ROM);
    tap_ok(sb_is_right(&b) && sb_see(&b, 2).rights == SB_R && !sb_see(&b, 0).rights,
           "... and when it cannot any more");
    sb_clear(&b);
}

/* --- devices ----------------------------------------------------------------------------
 */

static void test_sharing(const ShadowBenchOptions *options)
{
    ViommuiShadow *first;
    ShadowBench b;
    guint n_ioas, n_hwpts;

    sb_init(&b, options);
    n_ioas = sb_objects(&b, VIOMMU_EMULATOR_OBJECT_IOAS);
    n_hwpts = sb_objects(&b, VIOMMU_EMULATOR_OBJECT_HWPT_PAGING);
    sb_watch(&b, iova(0), PIECES);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    tap_is(sb_attach(&b, 0), VIOMMU_OK, "a device");
    tap_ok(sb_is_right(&b), "... has the table, the other nothing");
    tap_is(sb_attach(&b, 1), VIOMMU_OK, "another");
    tap_ok(sb_is_right(&b), "... has the same");
    tap_ok(sb_objects(&b, VIOMMU_EMULATOR_OBJECT_IOAS) == n_ioas &&
               sb_objects(&b, VIOMMU_EMULATOR_OBJECT_HWPT_PAGING) == n_hwpts,
           "... by the same address space");
    b.watch.spy.n_calls = 0;
    tap_is(sb_attach(&b, 1), VIOMMU_OK, "attached to what it has");
    tap_is(b.watch.spy.n_calls, 0, "... makes no call");
    tap_ok(viommui_host_device_get_attachment(b.devices[1], VIOMMUI_NO_PASID) ==
               VIOMMUI_SHADOW,
           "... it is a SHADOW");
    sb_take(&b, iova(2), SB_PAGE);
    sb_sync_page(&b, 2);
    tap_ok(sb_is_right(&b), "a page goes for both");
    sb_block(&b, 0);
    tap_ok(sb_is_right(&b), "one is blocked, the other not");

    first = b.shadow;
    sb_new_shadow(&b);
    b.is_elsewhere[1] = TRUE;
    tap_is(sb_attach(&b, 0), VIOMMU_OK, "one at a new shadow");
    tap_ok(!sb_see(&b, 0).rights, "... which is empty");
    tap_is(viewer_look(&b.viewer, b.bdfs[1], VIEW_NO_PASID, iova(0)).gpa, ram(0),
           "... the other has what it had");
    viommui_shadow_free(first);
    sb_sync_all(&b);
    tap_is(sb_attach(&b, 1), VIOMMU_OK, "from one shadow to another");
    b.is_elsewhere[1] = FALSE;
    tap_ok(sb_is_right(&b), "... both have this one");
    tap_ok(sb_objects(&b, VIOMMU_EMULATOR_OBJECT_IOAS) == n_ioas,
           "... and the first is gone");
    sb_clear(&b);
}

/* Let go of, it stays for who has it: kept from memory that goes, and asked no more. */
static void test_freed(const ShadowBenchOptions *options)
{
    ShadowBench b;
    guint n_ioas;

    sb_init(&b, options);
    n_ioas = sb_objects(&b, VIOMMU_EMULATOR_OBJECT_IOAS);
    sb_watch(&b, iova(0), PIECES);
    put_pieces(&b, 0);
    sb_put(&b, iova(1), SB_NOWHERE, SB_PAGE, SB_RW);
    sb_put(&b, iova(2), SB_NEXT_RAM, SB_PAGE, SB_RW);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    viommui_shadow_free(NULL);
    viommui_shadow_free(b.shadow);
    b.shadow = NULL;
    tap_ok(sb_is_right(&b), "a shadow let go of is there while a device has it");
    sb_reset(&b);
    tap_ok(sb_unplug(&b, SB_NEXT) && sb_is_right(&b), "memory that goes is not reached");
    sb_plug(&b, SB_NEXT);
    tap_ok(b.n_walks == 0 && !sb_see(&b, 2).rights, "... and not asked for when it comes");
    sb_block(&b, 0);
    tap_ok(sb_is_right(&b) &&
               sb_objects(&b, VIOMMU_EMULATOR_OBJECT_IOAS) == n_ioas - (n_ioas > 1),
           "it goes with the device");
    sb_clear(&b);
}

static void test_destroy_fails(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    sb_block(&b, 0);
    sb_fail_unmap(&b, 2, EIO);
    viommui_shadow_free(b.shadow);
    b.shadow = NULL;
    tap_ok(sb_unplug(&b, SB_LOW), "unmaps that fail at the end: memory goes all the same");
    sb_plug(&b, SB_LOW);
    sb_clear(&b);
}

static void test_attach_fails(const ShadowBenchOptions *options)
{
    unsigned long call = VFIO_DEVICE_ATTACH_IOMMUFD_PT;
    ShadowBench b;

    if (!g_strcmp0(options->backend, "legacy"))
        call = VFIO_IOMMU_MAP_DMA;
    sb_init(&b, options);
    sb_watch(&b, iova(0), PIECES);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    spy_fail(&b.watch.spy, call, 1, EINVAL, 1);
    tap_is(sb_attach(&b, 0), VIOMMU_UNSUPPORTED, "an attach refused");
    tap_ok(sb_is_right(&b) && viommui_host_device_get_attachment(
                                  b.devices[0], VIOMMUI_NO_PASID) == VIOMMUI_BLOCKED,
           "... is BLOCKED");
    tap_is(sb_attach(&b, 0), VIOMMU_OK, "and tried again");
    tap_ok(sb_is_right(&b), "... has it");
    sb_clear(&b);
}

/* Put off by a reset of the device, it finds the table as it is then. */
static void test_put_off(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), PIECES + 1);
    put_pieces(&b, 0);
    sb_sync_all(&b);
    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    tap_is(sb_attach(&b, 0), VIOMMU_TRANSIENT, "an attach during a reset is put off");
    tap_ok(viommui_host_device_is_pending(b.devices[0], VIOMMUI_NO_PASID), "... pending");
    sb_take(&b, iova(0), SB_PAGE);
    sb_put(&b, iova(1), ram(30), SB_PAGE, SB_R);
    sb_put(&b, iova(PIECES), ram(31), SB_PAGE, SB_RW);
    tap_is(sb_sync_all(&b), VIOMMU_OK, "the table changes meanwhile");
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    tap_ok(sb_is_right(&b), "the reset over, it is still blocked");
    b.gets[0] = TRUE;
    tap_is(viommu_host_device_reset_done(b.devices[0]), VIOMMU_OK, "... and told to be");
    tap_ok(sb_is_right(&b), "... it has the table as it is now");
    b.had[0] = TRUE;

    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    sb_block(&b, 0);
    sb_attach(&b, 0);
    viommui_shadow_free(b.shadow);
    sb_new_shadow(&b);
    tap_is(sb_attach(&b, 0), VIOMMU_TRANSIENT, "another shadow in the first one's place");
    sb_put(&b, iova(2), ram(40), SB_PAGE, SB_RW);
    sb_sync_all(&b);
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    b.gets[0] = TRUE;
    tap_is(viommu_host_device_reset_done(b.devices[0]), VIOMMU_OK, "... is what it gets");
    tap_ok(sb_is_right(&b), "... as it is now");
    b.had[0] = TRUE;
    sb_clear(&b);
}

static void test_backend(const ShadowBenchOptions *options)
{
    ShadowBenchOptions two = *options;

    two.n_devices = 2;
    tap_note("backend %s", options->backend);
    test_map_fails(options, ENOMEM, VIOMMU_TRANSIENT);
    test_map_fails(options, ENOSPC, VIOMMU_TRANSIENT);
    test_map_fails(options, EINVAL, VIOMMU_GUEST_INVALID);
    test_gap_fails(options);
    test_unmap_fails(options, EIO, VIOMMU_HOST_GONE);
    test_unmap_fails(options, ENOMEM, VIOMMU_TRANSIENT);
    test_unmap_again(options);
    test_unplug(options);
    test_unplug_fails(options);
    test_unplug_fails_for_one(&two);
    test_other_memory(options);
    test_sharing(&two);
    test_freed(options);
    test_plug_fails(options);
    test_admit_fails(options);
    if (!g_strcmp0(options->backend, "legacy"))
        test_limit(options);
    test_destroy_fails(options);
    test_attach_fails(options);
    if (g_strcmp0(options->backend, "iommufd"))
        return;
    /* By their own calls. */
    test_new_fails(options);
    test_put_off(options);
    test_unreleased(options);
}

int main(void)
{
    for (const char *const *name = viommu_backend_names(); *name; name++)
        test_backend(&(ShadowBenchOptions){.backend = *name, .group = -1});
    return tap_done();
}
