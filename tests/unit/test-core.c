/* SPDX-License-Identifier: MIT */
/*
 * Corners of core/ that no life of a device reaches.
 */

#include "backends/dirt.h"
#include "backends/seam.h"
#include "core/private.h"

#include <errno.h>
#include <string.h>

#include <viommu-emulator/emulator.h>

#include "tap.h"

static void test_slots(void)
{
    for (gsize i = 0; viommui_backends[i]; i++) {
        void *slots[sizeof(ViommuiBackendOps) / sizeof(void *)];

        memcpy(slots, viommui_backends[i], sizeof slots);
        for (gsize j = 0; j < G_N_ELEMENTS(slots); j++)
            tap_ok(slots[j] != NULL, "slot %u of backend %s", (guint)j,
                   viommui_backends[i]->name);
    }
    tap_ok(!g_strcmp0(viommui_backends[0]->name, viommu_backend_names()[0]),
           "the first backend is the first by name");
}

static void test_names(void)
{
    const ViommuResult results[] = {VIOMMU_OK, VIOMMU_GUEST_INVALID, VIOMMU_UNSUPPORTED,
                                    VIOMMU_TRANSIENT, VIOMMU_HOST_GONE};

    for (gsize i = 0; i < G_N_ELEMENTS(results); i++)
        tap_ok(g_strcmp0(viommu_result_name(results[i]), "unknown"), "result %d has a name",
               results[i]);
    tap_has(viommu_result_name(-99), "unknown", "result -99 has none");
    for (guint i = VIOMMU_TRACE_MAP; i <= VIOMMU_TRACE_REFUSED; i++)
        tap_ok(g_strcmp0(viommu_trace_point_name(i), "unknown"),
               "trace point %u has a name", i);
    tap_has(viommu_trace_point_name(99), "unknown", "trace point 99 has none");
    tap_is(viommui_result_to_error(VIOMMU_GUEST_INVALID), VIOMMU_ERROR_INVALID,
           "errors keep");
    tap_is(viommui_result_to_error(VIOMMU_UNSUPPORTED), VIOMMU_ERROR_UNSUPPORTED,
           "... their");
    tap_is(viommui_result_to_error(VIOMMU_TRANSIENT), VIOMMU_ERROR_TRANSIENT, "... class");
    tap_is(viommui_result_to_error(VIOMMU_HOST_GONE), VIOMMU_ERROR_HOST_GONE,
           "... all of it");
}

typedef struct {
    guint n;
    ViommuTraceRecord last;
} Seen;

static void see(const ViommuTraceRecord *record, void *user_data)
{
    Seen *seen = user_data;

    seen->n++;
    seen->last = *record;
}

static void test_trace(void)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    const ViommuHostConfig config = {.seam = viommu_emulator_get_seam(emulator),
                                     .iommufd = -1};
    ViommuHost *host = viommu_host_new(&config, NULL);
    guint8 *page = g_aligned_alloc0(1, 4096, 4096);
    Seen seen = {0};

    tap_ok(viommu_host_map(host, 0x10000, 4096, page, VIOMMU_MAP_READ, NULL), "a map");
    tap_is(seen.n, 0, "... is not traced while nobody listens");
    viommu_host_set_trace(host, see, &seen);
    tap_ok(viommu_host_unmap(host, 0x10000, 4096, NULL), "an unmap");
    tap_ok(seen.n == 1 && seen.last.point == VIOMMU_TRACE_UNMAP &&
               seen.last.value == 0x10000,
           "... is traced when somebody does");
    tap_is(viommui_refuse(host, NULL, VIOMMU_UNSUPPORTED, "value %d", 7),
           VIOMMU_UNSUPPORTED, "a refusal hands its result on");
    tap_ok(seen.n == 2 && seen.last.result == VIOMMU_UNSUPPORTED, "... and is traced");
    viommu_host_set_trace(host, NULL, NULL);
    tap_is(viommui_refuse(host, NULL, VIOMMU_TRANSIENT, "value %d", 7), VIOMMU_TRANSIENT,
           "... or not");
    tap_is(seen.n, 2, "... when nobody listens any more");
    viommu_host_free(host);
    viommu_host_free(NULL);
    viommu_host_device_free(NULL);
    tap_ok(TRUE, "freeing NULL is nothing");
    g_aligned_free(page);
    viommu_emulator_free(emulator);
}

/* Mappings are kept sorted, found by their exact range, and by what they cover. */
static void test_mappings(void)
{
    enum { N = 64, STEP = 0x4000, SIZE = 0x2000 };
    ViommuEmulator *emulator = viommu_emulator_new();
    const ViommuHostConfig config = {.seam = viommu_emulator_get_seam(emulator),
                                     .iommufd = -1};
    ViommuHost *host = viommu_host_new(&config, NULL);
    guint8 *memory = g_aligned_alloc0(1, SIZE, 4096);
    gboolean ok = TRUE;
    guint64 gpa;

    /* Neither up nor down: by a stride that meets every slot once. */
    for (guint64 i = 0, slot = 0; i < N; i++, slot = (slot + 37) % N)
        ok = ok && viommu_host_map(host, 0x100000 + slot * STEP, SIZE, memory,
                                   VIOMMU_MAP_READ, NULL);
    tap_ok(ok, "%d maps out of order", N);
    tap_ok(!viommu_host_map(host, 0x100000 - 0x1000, SIZE, memory, VIOMMU_MAP_READ, NULL),
           "an overlap with the first");
    tap_ok(!viommu_host_map(host, 0x100000 + (N - 1) * STEP + 0x1000, SIZE, memory,
                            VIOMMU_MAP_READ, NULL),
           "an overlap with the last");
    tap_ok(!viommu_host_map(host, 0, 0x1000000, memory, VIOMMU_MAP_READ, NULL),
           "... with all");
    tap_ok(
        !viommu_host_map(host, G_MAXUINT64 - 0xfff, 0x2000, memory, VIOMMU_MAP_READ, NULL),
        "a range beyond the end");
    tap_ok(!viommui_host_find_mapped(host, 0x100000 + SIZE, 0x100000 + STEP - 1, &gpa),
           "a hole has nothing");
    tap_ok(viommui_host_find_mapped(host, 0x100000 + SIZE, 0x100000 + STEP, &gpa) &&
               gpa == 0x100000 + STEP,
           "one byte more has the next");
    for (guint64 i = 0, slot = 5; i < N; i++, slot = (slot + 11) % N)
        ok = ok && viommu_host_unmap(host, 0x100000 + slot * STEP, SIZE, NULL);
    tap_ok(ok, "all of them unmapped in another order");
    tap_ok(!viommu_host_unmap(host, 0x100000, SIZE, NULL), "nothing is left to unmap");
    tap_ok(viommu_host_map(host, 0x101000, SIZE, memory, VIOMMU_MAP_READ, NULL),
           "... nor in the way of another map");
    viommu_host_free(host);
    g_aligned_free(memory);
    viommu_emulator_free(emulator);
}

typedef struct {
    guint n_calls;
    int err;
    guint n_failures;
} Grumpy;

/* Fails a few times, and writes over its argument each time. */
static int grumpy_ioctl(void *data, int fd, unsigned long request, void *arg)
{
    Grumpy *grumpy = data;
    guint32 *value = arg;

    (void)fd;
    (void)request;
    grumpy->n_calls++;
    *value += 1;
    return grumpy->n_calls <= grumpy->n_failures ? -grumpy->err : 0;
}

static void test_retries(void)
{
    static const ViommuSeamOps ops = {.ioctl = grumpy_ioctl};
    Grumpy grumpy = {.err = ENOMEM, .n_failures = 2};
    const ViommuSeam seam = {&ops, &grumpy};
    guint32 value = 7;

    tap_is(viommui_seam_ioctl(&seam, 0, 0, &value, sizeof value), 0,
           "two moments without memory");
    tap_is(grumpy.n_calls, 3, "... are ridden out");
    tap_is(value, 8, "... each try with the input of the first");
    grumpy = (Grumpy){.err = EINTR, .n_failures = 9};
    tap_is(viommui_seam_ioctl(&seam, 0, 0, &value, sizeof value), -EINTR, "nine are not");
    tap_is(grumpy.n_calls, 3, "... nor tried for");
    grumpy = (Grumpy){.err = EBUSY, .n_failures = 9};
    tap_is(viommui_seam_ioctl(&seam, 0, 0, &value, sizeof value), -EBUSY, "busy");
    tap_is(grumpy.n_calls, 1, "... is not tried again");
}

enum { DIRT_BASE = 0x1f0000, DIRT_PAGES = 1100 };

/* A range of those pages, some of three chunks. */
static void pick(GRand *rand, guint *ret_first, guint *ret_n)
{
    *ret_first = (guint)g_rand_int_range(rand, 0, DIRT_PAGES);
    *ret_n = (guint)g_rand_int_range(rand, 1, DIRT_PAGES - (gint)*ret_first + 1);
}

static gboolean take_some(ViommuiDirt *dirt, gboolean *pages, GRand *rand)
{
    guint64 bits[DIRT_PAGES / 64 + 1] = {0};
    gboolean keep = g_rand_boolean(rand), ok = TRUE;
    guint first, n;

    pick(rand, &first, &n);
    viommui_dirt_take(dirt, DIRT_BASE + ((guint64)first << 12), (guint64)n << 12, bits,
                      keep);
    for (guint i = 0; i < G_N_ELEMENTS(bits) * 64; i++) {
        gboolean is_dirty = i < n && pages[first + i];

        ok = ok && is_dirty == (gboolean)(bits[i / 64] >> i % 64 & 1);
        if (i < n && !keep)
            pages[first + i] = FALSE;
    }
    return ok;
}

/* Against an array of pages. */
static void test_dirt(void)
{
    ViommuiDirt *dirt = viommui_dirt_new();
    g_autofree gboolean *pages = g_new0(gboolean, DIRT_PAGES);
    GRand *rand = g_rand_new_with_seed(1);
    gboolean ok = TRUE;
    guint first, n;

    for (guint step = 0; step < 500; step++) {
        pick(rand, &first, &n);
        n = MIN(n, step % 2 ? 3 : 600);
        viommui_dirt_add(dirt, DIRT_BASE + ((guint64)first << 12), (guint64)n << 12);
        for (guint i = first; i < first + n; i++)
            pages[i] = TRUE;
        ok = take_some(dirt, pages, rand) && ok;
    }
    tap_ok(ok, "dirt is told and forgotten as it was found");
    viommui_dirt_clear(dirt);
    memset(pages, 0, DIRT_PAGES * sizeof *pages);
    tap_ok(take_some(dirt, pages, rand), "... or all at once");
    viommui_dirt_free(dirt);
    g_rand_free(rand);
}

int main(void)
{
    test_dirt();
    test_retries();
    test_slots();
    test_names();
    test_trace();
    test_mappings();
    return tap_done();
}
