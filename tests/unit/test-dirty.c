/* SPDX-License-Identifier: MIT */
/*
 * What a VMM that migrates asks of guest memory, on an emulated VT-d: which of it devices
 * have written, told from what they did write; and read-only memory, which a nesting parent
 * with erratum 772415 does not take.
 */

#include "vtd-bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <string.h>

enum { PAGE = 0x1000, PASID = 7, IOVA = BENCH_IOVA + 0x10000, N_WORDS = 64 };
/* VT-d 11.4.3: second-stage accessed and dirty bits */
#define ECAP_SSADS (1ULL << 45)

typedef struct {
    Bench bench;
    ViommuiHostViommu *hv;
    ViommuHostDevice *device;
    guint64 bitmap[N_WORDS];
} Fixture;

static void fixture_init(Fixture *f)
{
    bench_init(&f->bench, &(BenchOptions){.n_devices = 1, .group = -1});
    f->device = f->bench.devices[0];
    f->hv = bench_viommu(&f->bench, 0, TRUE, FALSE);
    viommui_host_device_join(f->device, f->hv);
    viommui_host_device_bind(f->device, PASID, &f->bench.domains[0].stage1,
                             VIOMMUI_FAIL_CLOSED);
    viommui_host_device_detach(f->device, VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                               VIOMMUI_FAIL_CLOSED);
}

static void fixture_clear(Fixture *f)
{
    viommui_host_device_leave(f->device);
    viommui_host_viommu_free(f->hv);
    bench_clear(&f->bench);
}

/* The device writes a page of guest memory, by its own tables or by the guest's. */
static void dirty(Fixture *f, guint64 page, gboolean nested)
{
    guint64 gpa = BENCH_RAM_BASE + page * PAGE;
    int ret;

    if (nested)
        bench_map(&f->bench, 0, IOVA + page * PAGE, gpa);
    ret = bench_writes(&f->bench, 0, nested ? PASID : VIOMMUI_NO_PASID,
                       nested ? IOVA + page * PAGE : gpa, 1);
    if (ret < 0)
        tap_ok(FALSE, "page %" G_GUINT64_FORMAT " is written: %d", page, ret);
}

/* "5 9": the numbers of the bits that are set when n pages from `first` are asked about. */
static char *read_dirty(Fixture *f, guint64 first, guint64 n, guint64 page_size,
                        gboolean keep)
{
    GString *bits = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    memset(f->bitmap, 0, sizeof f->bitmap);
    if (!viommu_host_get_dirty(f->bench.host, BENCH_RAM_BASE + first * page_size,
                               n * page_size, page_size, f->bitmap, keep, &error))
        g_string_append(bits, error->message);
    for (guint i = 0; i < N_WORDS * 64; i++)
        if (f->bitmap[i / 64] >> i % 64 & 1)
            g_string_append_printf(bits, "%s%u", bits->len ? " " : "", i);
    return g_string_free(bits, FALSE);
}

static void dirty_is(Fixture *f, guint64 first, guint64 n, guint64 page_size, gboolean keep,
                     const char *want, const char *name)
{
    g_autofree char *got = read_dirty(f, first, n, page_size, keep);

    if (!tap_ok(g_str_equal(got, want), "%s", name))
        tap_note("got \"%s\", want \"%s\"", got, want);
}

/* Asked about the second half: in the first are the tables, which the walk writes to. */
static void test_bits(void)
{
    Fixture f;
    ViommuHost *host;
    guint64 filled = ~0ULL;

    fixture_init(&f);
    host = f.bench.host;
    tap_ok(viommu_host_can_track_dirty(host), "a VT-d can say what was written");
    dirty(&f, 800, FALSE);
    tap_ok(viommu_host_set_dirty_tracking(host, TRUE, NULL), "dirty tracking");
    dirty_is(&f, 512, 512, PAGE, FALSE, "", "... starts with nothing");
    dirty(&f, 801, FALSE);
    dirty(&f, 900, TRUE);
    dirty_is(&f, 512, 512, PAGE, TRUE, "289 388",
             "what a device wrote, by whatever tables");
    dirty_is(&f, 801, 1, PAGE, TRUE, "0", "... counted from where it is asked about");
    dirty_is(&f, 802, 98, PAGE, TRUE, "", "... and nothing that is not asked about");
    dirty_is(&f, 1, 1, 0x200000, TRUE, "0", "... by larger pages");
    dirty_is(&f, 800, 128, PAGE, FALSE, "1 100", "... is told as often as it is kept");
    dirty_is(&f, 512, 512, PAGE, FALSE, "", "... and then forgotten");
    dirty(&f, 801, FALSE);
    tap_ok(viommu_host_set_dirty_tracking(host, TRUE, NULL), "on while it is on");
    dirty_is(&f, 512, 512, PAGE, FALSE, "289", "... forgets nothing");
    tap_ok(viommu_host_get_dirty(host, BENCH_RAM_BASE, 64 * PAGE, PAGE, &filled, FALSE,
                                 NULL) &&
               filled == ~0ULL,
           "no bit is cleared in the VMM's bitmap");
    tap_ok(viommu_host_set_dirty_tracking(host, FALSE, NULL), "off");
    dirty(&f, 802, FALSE);
    tap_ok(viommu_host_set_dirty_tracking(host, TRUE, NULL), "... and on");
    dirty_is(&f, 512, 512, PAGE, FALSE, "", "... knows nothing of what was between");
    viommu_host_set_dirty_tracking(host, FALSE, NULL);
    fixture_clear(&f);
}

/* The kernel's report ends at the first hole of its range without a word. */
static void test_holes(void)
{
    enum { FAR = 0x200 }; /* pages past the end of what the bench maps */
    Fixture f;
    guint64 gpa = BENCH_RAM_BASE + BENCH_RAM_SIZE + FAR * PAGE;
    guint8 *memory = g_aligned_alloc0(1, 2 * PAGE, PAGE);

    fixture_init(&f);
    viommu_host_map(f.bench.host, gpa, PAGE, memory, VIOMMU_MAP_READ | VIOMMU_MAP_WRITE,
                    NULL);
    viommu_host_map(f.bench.host, gpa + PAGE, PAGE, memory + PAGE,
                    VIOMMU_MAP_READ | VIOMMU_MAP_WRITE, NULL);
    viommu_host_set_dirty_tracking(f.bench.host, TRUE, NULL);
    dirty(&f, 1000, FALSE);
    dirty(&f, 1024 + FAR, FALSE);
    dirty(&f, 1024 + FAR + 1, FALSE);
    dirty_is(&f, 0, 4096, PAGE, TRUE, "1000 1536 1537", "holes are passed over");
    dirty_is(&f, 0, 8, 0x200000, TRUE, "1 3", "... pages larger than what is mapped too");
    dirty_is(&f, 1100, 100, PAGE, TRUE, "", "a hole alone has nothing");
    dirty_is(&f, 1500, 37, PAGE, TRUE, "36", "a range that begins in one and ends outside");
    viommu_host_unmap(f.bench.host, gpa, PAGE, NULL);
    dirty_is(&f, 0, 4096, PAGE, TRUE, "1000 1537", "what is unmapped has no bits");
    fixture_clear(&f);
    g_aligned_free(memory);
}

static void test_bad_requests(void)
{
    static const struct {
        guint64 gpa, size, page_size;
        const char *part;
    } bad[] = {
        {BENCH_RAM_BASE, 0, PAGE, "no range"},
        {G_MAXUINT64 - 0xfff, 2 * PAGE, PAGE, "no range"},
        {BENCH_RAM_BASE, PAGE, 0, "pages of 0x0 bytes"},
        {BENCH_RAM_BASE, PAGE, 0x800, "pages of 0x800 bytes"},
        {BENCH_RAM_BASE, 0x3000, 0x3000, "pages of 0x3000 bytes"},
        {BENCH_RAM_BASE + 0x800, PAGE, PAGE, "guest-physical 0x1000800"},
        {BENCH_RAM_BASE, PAGE, 0x2000, "0x1000 bytes"},
    };
    g_autoptr(GError) off = NULL;
    Fixture f;

    fixture_init(&f);
    tap_ok(!viommu_host_get_dirty(f.bench.host, BENCH_RAM_BASE, PAGE, PAGE, f.bitmap, FALSE,
                                  &off),
           "nothing is read while it is off");
    tap_has(off->message, "dirty tracking is off", "... which is said");
    viommu_host_set_dirty_tracking(f.bench.host, TRUE, NULL);
    spy_reset_counts(&f.bench.spy);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        tap_ok(!viommu_host_get_dirty(f.bench.host, bad[i].gpa, bad[i].size,
                                      bad[i].page_size, f.bitmap, FALSE, &error) &&
                   g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID),
               "bad request %u", i);
        tap_has(error->message, bad[i].part, "... is named");
    }
    tap_is(f.bench.spy.n_calls, 0, "the host is not asked");
    fixture_clear(&f);
}

static gboolean records(Bench *b, guint n)
{
    guint64 bitmap[16] = {0};
    guint64 gpa = BENCH_RAM_BASE + 900 * PAGE;

    viommui_host_device_detach(b->devices[n], VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                               VIOMMUI_FAIL_CLOSED);
    return bench_writes(b, n, VIOMMUI_NO_PASID, gpa, 1) == 0 &&
           viommu_host_get_dirty(b->host, gpa, PAGE, PAGE, bitmap, FALSE, NULL) &&
           bitmap[0] == 1;
}

/* Two parents, of units that can; later ones; a host that fails in between. */
static void test_all_or_none(void)
{
    ViommuiHostViommu *hv[2];
    g_autoptr(GError) error = NULL;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 2, .group = -1, .two_units = TRUE});
    for (guint i = 0; i < 2; i++) {
        hv[i] = bench_viommu(&b, i, FALSE, FALSE);
        viommui_host_device_join(b.devices[i], hv[i]);
    }
    spy_fail(&b.spy, IOMMU_HWPT_SET_DIRTY_TRACKING, 2, EIO, 1);
    tap_ok(!viommu_host_set_dirty_tracking(b.host, TRUE, &error),
           "the second parent fails");
    tap_ok(g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE), "... and why");
    tap_is(spy_count(&b.spy, IOMMU_HWPT_SET_DIRTY_TRACKING), 3, "... the first is undone");
    tap_ok(!records(&b, 0), "... and nothing can be read");
    tap_ok(viommu_host_set_dirty_tracking(b.host, TRUE, NULL), "both");
    tap_ok(records(&b, 0) && records(&b, 1), "... record");

    spy_fail(&b.spy, IOMMU_HWPT_GET_DIRTY_BITMAP, 2, EIO, 1);
    bench_writes(&b, 0, VIOMMUI_NO_PASID, BENCH_RAM_BASE + 900 * PAGE, 1);
    guint64 bitmap[16] = {0};
    tap_ok(!viommu_host_get_dirty(b.host, BENCH_RAM_BASE, 1024 * PAGE, PAGE, bitmap, FALSE,
                                  NULL),
           "a read that fails at the second");
    tap_is(bitmap[14], 1 << 4, "... has what the first has forgotten by now");

    viommui_host_device_leave(b.devices[1]);
    viommui_host_viommu_free(hv[1]);
    hv[1] = bench_viommu(&b, 1, FALSE, FALSE);
    viommui_host_device_join(b.devices[1], hv[1]);
    tap_ok(records(&b, 1), "one made while it is on records too");
    spy_fail(&b.spy, IOMMU_HWPT_SET_DIRTY_TRACKING, 1, EIO, 1);
    spy_reset_counts(&b.spy);
    tap_ok(!viommu_host_set_dirty_tracking(b.host, FALSE, NULL), "one goes on recording");
    tap_is(spy_count(&b.spy, IOMMU_HWPT_SET_DIRTY_TRACKING), 2, "... but not the other");
    tap_ok(!records(&b, 0), "... and nothing can be read");
    tap_ok(viommu_host_set_dirty_tracking(b.host, TRUE, NULL) && records(&b, 0) &&
               records(&b, 1),
           "on again: both record");
    spy_fail(&b.spy, IOMMU_HWPT_SET_DIRTY_TRACKING, 1, EIO, 1);
    tap_ok(!viommu_host_set_dirty_tracking(b.host, FALSE, NULL), "once more one goes on");
    tap_ok(viommu_host_set_dirty_tracking(b.host, FALSE, NULL), "until all are off");
    for (guint i = 0; i < 2; i++) {
        viommui_host_device_leave(b.devices[i]);
        viommui_host_viommu_free(hv[i]);
    }
    bench_clear(&b);
}

static void test_cannot(void)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD, .nest = TRUE};
    ViommuiHostViommu *hv[2];
    g_autoptr(GError) error = NULL, later = NULL;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 2,
                                   .group = -1,
                                   .two_units = TRUE,
                                   .second_lacks = ECAP_SSADS});
    tap_ok(viommu_host_can_track_dirty(b.host), "a host without vIOMMUs hides nothing");
    for (guint i = 0; i < 2; i++)
        hv[i] = bench_viommu(&b, i, FALSE, FALSE);
    tap_ok(!viommu_host_can_track_dirty(b.host), "one of two cannot");
    spy_reset_counts(&b.spy);
    tap_ok(!viommu_host_set_dirty_tracking(b.host, TRUE, &error) &&
               g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED),
           "... nor does the host");
    tap_has(error->message, "0000:00:03.0", "... which says whose it is");
    tap_ok(viommu_host_set_dirty_tracking(b.host, FALSE, NULL), "off is off");
    viommui_host_viommu_free(hv[1]);
    tap_ok(viommu_host_can_track_dirty(b.host) &&
               viommu_host_set_dirty_tracking(b.host, TRUE, NULL),
           "without it the other can");
    tap_ok(!viommui_host_viommu_new(b.devices[1], &config, &later) &&
               g_error_matches(later, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED),
           "then there is no vIOMMU that cannot");
    tap_has(later->message, "0000:00:03.0", "... which says whose it would be");
    viommui_host_viommu_free(hv[0]);
    bench_clear(&b);
}

/* A VMM that maps memory itself, in an IOAS of its own. */
static void test_shared_ioas(void)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    struct iommu_ioas_alloc ioas = {.size = sizeof ioas};
    struct iommu_ioas_map map = {.size = sizeof map};
    const ViommuSeam *seam;
    guint64 bitmap[16] = {0};
    ViommuiHostViommu *hv;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    seam = config.seam = b.seam;
    viommu_host_device_free(b.devices[0]);
    viommu_host_free(b.host);
    config.iommufd = seam->ops->open(seam->data, "/dev/iommu", O_RDWR);
    seam->ops->ioctl(seam->data, config.iommufd, IOMMU_IOAS_ALLOC, &ioas);
    map.ioas_id = config.ioas_id = ioas.out_ioas_id;
    map.flags =
        IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
    map.user_va = (guintptr)b.ram;
    map.length = BENCH_RAM_SIZE;
    map.iova = BENCH_RAM_BASE;
    seam->ops->ioctl(seam->data, config.iommufd, IOMMU_IOAS_MAP, &map);
    b.host = viommu_host_new(&config, NULL);
    b.devices[0] = viommu_host_device_new_from_bdf(b.host, b.bdfs[0], NULL);
    hv = bench_viommu(&b, 0, FALSE, FALSE);
    viommui_host_device_join(b.devices[0], hv);
    viommu_host_set_dirty_tracking(b.host, TRUE, NULL);
    viommui_host_device_detach(b.devices[0], VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                               VIOMMUI_FAIL_CLOSED);
    bench_writes(&b, 0, VIOMMUI_NO_PASID, BENCH_RAM_BASE + 900 * PAGE, 1);
    tap_ok(viommu_host_get_dirty(b.host, BENCH_RAM_BASE, BENCH_RAM_SIZE, PAGE, bitmap,
                                 FALSE, NULL),
           "memory that the VMM has mapped itself");
    tap_is(bitmap[14], 1 << 4, "... is asked about too");
    viommui_host_device_leave(b.devices[0]);
    viommui_host_viommu_free(hv);
    viommu_host_device_free(b.devices[0]);
    viommu_host_free(b.host);
    seam->ops->close(seam->data, config.iommufd);
    b.devices[0] = NULL;
    b.host = NULL;
    bench_clear(&b);
}

/* --- read-only memory -------------------------------------------------------------------
 */

static void test_read_only(void)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD, .nest = TRUE};
    guint8 *rom = g_aligned_alloc0(1, PAGE, PAGE);
    g_autoptr(GError) refused = NULL, error = NULL;
    ViommuiHostViommu *hv;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    tap_ok(viommu_host_device_get_info(b.devices[0])->read_only_refused,
           "an IOMMU with erratum 772415");
    tap_ok(viommu_host_takes_read_only(b.host), "... in no vIOMMU is no matter yet");
    tap_ok(viommu_host_map(b.host, 0x100000, PAGE, rom, VIOMMU_MAP_READ, NULL),
           "... read-only memory is mapped");
    spy_reset_counts(&b.spy);
    tap_ok(!viommui_host_viommu_new(b.devices[0], &config, &error) &&
               g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED),
           "... then there is no vIOMMU");
    tap_has(error->message, "0x1000 bytes at guest-physical 0x100000",
            "... for that memory");
    tap_has(error->message, "0000:00:02.0", "... and that device");
    tap_is(b.spy.n_calls, 0, "... and the host is not asked");
    viommu_host_unmap(b.host, 0x100000, PAGE, NULL);

    hv = bench_viommu(&b, 0, FALSE, FALSE);
    tap_ok(!viommu_host_takes_read_only(b.host), "with a vIOMMU it is a matter");
    spy_reset_counts(&b.spy);
    tap_ok(!viommu_host_map(b.host, 0x100000, PAGE, rom, VIOMMU_MAP_READ, &refused) &&
               g_error_matches(refused, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED),
           "... read-only memory is refused");
    tap_has(refused->message, "0x100000", "... by its address");
    tap_has(refused->message, "0000:00:02.0 has erratum 772415",
            "... and whose fault it is");
    tap_is(b.spy.n_calls, 0, "... and the host is not asked");
    tap_ok(viommu_host_map(b.host, 0x100000, PAGE, rom, VIOMMU_MAP_READ | VIOMMU_MAP_WRITE,
                           NULL),
           "... writable memory is taken");
    viommui_host_viommu_free(hv);
    tap_ok(viommu_host_takes_read_only(b.host), "without the vIOMMU it is no matter again");
    bench_clear(&b);

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1, .no_erratum = TRUE});
    hv = bench_viommu(&b, 0, FALSE, FALSE);
    tap_ok(viommu_host_takes_read_only(b.host), "an IOMMU without the erratum");
    tap_ok(viommu_host_map(b.host, 0x100000, PAGE, rom, VIOMMU_MAP_READ, NULL),
           "... takes it");
    viommui_host_viommu_free(hv);
    bench_clear(&b);
    g_aligned_free(rom);
}

/* CAP and ECAP reach the vendor as the hardware has them. */
static void test_info(void)
{
    ViommuEmulatorVtdConfig config;
    const ViommuHostDeviceInfo *info;
    Bench b;

    viommu_emulator_vtd_defaults(&config);
    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    info = viommu_host_device_get_info(b.devices[0]);
    tap_is(info->type, VIOMMU_IOMMU_INTEL_VTD, "a VT-d");
    tap_ok(info->vtd.cap == config.cap && info->vtd.ecap == config.ecap,
           "... and what it can");
    tap_is(info->pasid_bits, BENCH_PASID_BITS, "... and the device");
    bench_clear(&b);
}

int main(void)
{
    test_bits();
    test_holes();
    test_bad_requests();
    test_all_or_none();
    test_cannot();
    test_shared_ioas();
    test_read_only();
    test_info();
    return tap_done();
}
