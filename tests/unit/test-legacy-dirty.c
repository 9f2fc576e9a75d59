/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking by VFIO containers. The kernel says of a real device that all that is
 * mapped for it is dirty; so bits tell of what is mapped for writing, or was since they
 * were read.
 *
 * What core makes of the bits is test-dirty.c's.
 */

#include "backend-bench.h"

#include <errno.h>
#include <linux/vfio.h>

enum { IOVA = 0x40000000 };
/* Guest memory is one word of bits. */
G_STATIC_ASSERT(REACH_PAGES == 64);

/* Two groups of one. */
static void start(Reach *r)
{
    reach_init(r, &(ReachOptions){.backend = "legacy", .n_devices = 2, .n_groups = 2});
    tap_ok(viommu_host_device_get_info(r->devices[0])->dirty_tracking &&
               viommu_host_can_track_dirty(r->host),
           "what is written can be told");
}

static gboolean set(Reach *r, gboolean on)
{
    return viommu_host_set_dirty_tracking(r->host, on, NULL);
}

/* The bits of n pages from the first; all ones if they cannot be read. */
static guint64 read_bits(Reach *r, guint first, guint n, gboolean keep)
{
    guint64 bits = 0;
    g_autoptr(GError) error = NULL;

    if (viommu_host_get_dirty(r->host, reach_gpa(first), (guint64)n * REACH_PAGE,
                              REACH_PAGE, &bits, keep, &error))
        return bits;
    tap_note("%s", error->message);
    return 0xbadbadbadULL;
}

static guint64 read_all(Reach *r)
{
    return read_bits(r, 0, REACH_PAGES, FALSE);
}

static void test_identity(void)
{
    Reach r;

    start(&r);
    reach_attach(&r, 0, reach_identity(&r));
    tap_is((gint64)read_all(&r), 0xbadbadbad, "nothing is told before");
    tap_ok(set(&r, TRUE), "tracking is on");
    tap_is((gint64)spy_count(&r.spy, VFIO_IOMMU_DIRTY_PAGES), 1, "... where it matters");
    tap_is((gint64)read_all(&r), -1, "all that is mapped is dirty");
    tap_is((gint64)read_bits(&r, 8, 4, FALSE), 0xf, "... each part of it");
    tap_is((gint64)read_all(&r), -1, "... again");
    reach_detach(&r, 0);
    tap_is((gint64)read_bits(&r, 8, 4, TRUE), 0xf, "detached, it has been");
    tap_is((gint64)read_bits(&r, 8, 4, FALSE), 0xf, "... which is kept as asked");
    tap_is((gint64)read_all(&r), (gint64) ~(0xfULL << 8), "... or not");
    tap_is((gint64)read_all(&r), 0, "... and then it is no more");
    reach_attach(&r, 1, reach_identity(&r));
    tap_is((gint64)read_all(&r), -1, "a group that comes later is dirty, too");
    reach_detach(&r, 1);
    tap_ok(set(&r, FALSE) && set(&r, TRUE), "tracking anew");
    tap_is((gint64)read_all(&r), 0, "... forgets what was");
    reach_attach(&r, 0, reach_identity(&r));
    spy_reset_counts(&r.spy);
    tap_ok(set(&r, FALSE), "tracking is off");
    tap_is((gint64)spy_count(&r.spy, VFIO_IOMMU_DIRTY_PAGES), 1, "... where it was on");
    tap_is((gint64)read_all(&r), 0xbadbadbad, "... and nothing is told");
    reach_detach(&r, 0);
    reach_clear(&r);
}

/* What is written by way of a table is told as the guest memory that it is. */
static void test_tables(void)
{
    ViommuiTable *table;
    guint32 hwpt;
    Reach r;

    start(&r);
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    viommui_backend_table_map(r.hv, table, IOVA, reach_gpa(7), 2 * REACH_PAGE, REACH_RW);
    viommui_backend_table_map(r.hv, table, IOVA + 0x10000, reach_gpa(20), REACH_PAGE,
                              VIOMMU_MAP_READ);
    set(&r, TRUE);
    tap_is((gint64)read_all(&r), 0, "a table that nobody sees is not dirty");
    reach_attach(&r, 0, hwpt);
    tap_is((gint64)read_all(&r), 3 << 7, "what a device sees of it and may write is");
    viommui_backend_table_map(r.hv, table, IOVA + 0x20000, reach_gpa(30), REACH_PAGE,
                              REACH_RW);
    tap_is((gint64)read_all(&r), 3 << 7 | 1 << 30, "... also what came later");
    tap_is((gint64)read_bits(&r, 8, 8, FALSE), 1, "a part of it");
    viommui_backend_table_unmap(r.hv, table, IOVA, 2 * REACH_PAGE);
    tap_is((gint64)read_bits(&r, 0, 16, FALSE), 3 << 7, "what went has been, too");
    tap_is((gint64)read_bits(&r, 0, 16, FALSE), 0, "... once");
    tap_is((gint64)read_all(&r), 1 << 30, "... and the rest is still");
    reach_attach(&r, 0, reach_identity(&r));
    reach_detach(&r, 0);
    viommui_backend_table_free(r.hv, table, hwpt);
    tap_is((gint64)read_all(&r), -1, "after IDENTITY all is");
    tap_is((gint64)read_all(&r), 0, "... once");
    reach_clear(&r);
}

/* What the kernel says is what counts while it can be asked: pages that it leaves out. */
static void leave_out(void *user_data, unsigned long request, void *arg, int *ret)
{
    struct vfio_iommu_type1_dirty_bitmap *cmd = arg;
    struct vfio_iommu_type1_dirty_bitmap_get *get = (void *)cmd->data;

    (void)user_data;
    if (request == VFIO_IOMMU_DIRTY_PAGES && *ret == 0 &&
        cmd->flags == VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
        get->bitmap.data[0] = 1 << 3;
}

static void test_kernel_knows(void)
{
    ViommuiTable *table;
    guint32 hwpt;
    Reach r;

    start(&r);
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    viommui_backend_table_map(r.hv, table, IOVA, reach_gpa(32), 8 * REACH_PAGE, REACH_RW);
    reach_attach(&r, 0, hwpt);
    set(&r, TRUE);
    r.spy.answer = leave_out;
    tap_is((gint64)read_all(&r), 1LL << 35, "a kernel that knows of one page");
    reach_detach(&r, 0);
    viommui_backend_table_free(r.hv, table, hwpt);
    reach_clear(&r);
}

/* Units of the IOMMU that are larger than those of the bitmap. */
static void tell_64k(void *user_data, unsigned long request, void *arg, int *ret)
{
    (void)user_data;
    if (request == VFIO_IOMMU_GET_INFO && *ret == 0)
        ((struct vfio_iommu_type1_info *)arg)->iova_pgsizes = 1 << 16;
    /* The emulator does not know it has them. */
    if (request == VFIO_IOMMU_DIRTY_PAGES && *ret == -EINVAL) {
        struct vfio_iommu_type1_dirty_bitmap *cmd = arg;
        struct vfio_iommu_type1_dirty_bitmap_get *get = (void *)cmd->data;

        get->bitmap.data[0] = get->bitmap.pgsize == 1 << 16 ? 1 << 1 : 0;
        *ret = 0;
    }
}

static void test_units(void)
{
    guint8 *memory = g_aligned_alloc0(1, REACH_SIZE, 1 << 16);
    Reach r;

    reach_init_host(&r, &(ReachOptions){.backend = "legacy", .n_devices = 1});
    r.spy.answer = tell_64k;
    viommu_host_map(r.host, REACH_BASE, REACH_SIZE, memory, REACH_RW, NULL);
    r.devices[0] = viommu_host_device_new_from_bdf(r.host, r.bdfs[0], NULL);
    r.hv = viommui_host_viommu_new(
        r.devices[0], &(ViommuiHostViommuConfig){.type = VIOMMUI_DATA_VTD}, NULL);
    reach_attach(&r, 0, reach_identity(&r));
    set(&r, TRUE);
    tap_is((gint64)read_all(&r), 0xffffLL << 16, "a page of 64 KiB is sixteen of 4 KiB");
    tap_is((gint64)read_bits(&r, 20, 4, TRUE), 0xf, "... a part of it");
    reach_detach(&r, 0);
    reach_clear(&r);
    g_aligned_free(memory);
}

static void test_failures(void)
{
    g_autoptr(GError) error = NULL;
    Reach r;

    start(&r);
    reach_attach(&r, 0, reach_identity(&r));
    reach_attach(&r, 1, reach_identity(&r));
    spy_fail(&r.spy, VFIO_IOMMU_DIRTY_PAGES, 2, EIO, 1);
    tap_ok(!viommu_host_set_dirty_tracking(r.host, TRUE, &error),
           "tracking that one container of two refuses");
    spy_fail_none(&r.spy);
    spy_reset_counts(&r.spy);
    tap_ok(set(&r, TRUE), "... is on later");
    tap_is((gint64)spy_count(&r.spy, VFIO_IOMMU_DIRTY_PAGES), 2, "... in both");
    spy_fail(&r.spy, VFIO_IOMMU_DIRTY_PAGES, 2, EIO, 1);
    tap_is((gint64)read_all(&r), 0xbadbadbad, "bits that one container does not tell");
    spy_fail_none(&r.spy);
    tap_is((gint64)read_all(&r), -1, "... are not lost");
    reach_detach(&r, 0);
    spy_fail(&r.spy, VFIO_IOMMU_DIRTY_PAGES, 1, EIO, 9);
    tap_ok(!set(&r, FALSE), "off that a container refuses");
    spy_fail_none(&r.spy);
    tap_ok(set(&r, TRUE), "... is on again, if asked");
    tap_is((gint64)read_all(&r), -1, "... and tells");
    spy_fail(&r.spy, VFIO_IOMMU_DIRTY_PAGES, 1, EIO, 9);
    tap_ok(!set(&r, FALSE), "off that it refuses again");
    spy_fail_none(&r.spy);
    tap_ok(set(&r, FALSE), "... is off later");
    tap_ok(set(&r, TRUE), "on");
    reach_detach(&r, 1);
    set(&r, FALSE);
    /* Detached while tracking was on, both containers go on recording, for nothing. */
    set(&r, TRUE);
    spy_fail(&r.spy, VFIO_IOMMU_DIRTY_PAGES, 1, EIO, 9);
    tap_is(reach_attach(&r, 0, reach_identity(&r)), 0,
           "a container that records already is attached");
    reach_detach(&r, 0);
    set(&r, FALSE);
    spy_fail_none(&r.spy);
    reach_attach(&r, 0, reach_identity(&r));
    reach_detach(&r, 0);
    set(&r, TRUE);
    spy_fail(&r.spy, VFIO_IOMMU_DIRTY_PAGES, 1, EIO, 9);
    tap_is(reach_attach(&r, 0, reach_identity(&r)), -EIO,
           "one that does not, and will not, is not attached");
    tap_ok(reach_sees_nothing(&r, 0), "... for what it writes would be lost");
    spy_fail_none(&r.spy);
    reach_clear(&r);
}

/* Another vIOMMU's tracking is its own. */
static void test_two_viommus(void)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD};
    ViommuiBackendViommu *first, *second;
    ViommuiHostViommu *other;
    guint64 bits[2] = {0};
    Reach r;

    start(&r);
    other = viommui_host_viommu_new(r.devices[1], &config, NULL);
    first = r.hv->backend;
    second = other->backend;
    tap_ok(r.ops->viommu_get_parent(first) != r.ops->viommu_get_parent(second),
           "each vIOMMU has an IDENTITY of its own");
    reach_attach(&r, 0, r.ops->viommu_get_parent(first));
    reach_attach(&r, 1, r.ops->viommu_get_parent(second));
    tap_is(r.ops->set_dirty_tracking(first, TRUE), 0, "one tracks");
    reach_detach(&r, 0);
    tap_is(r.ops->get_dirty(second, REACH_BASE, REACH_SIZE, bits, TRUE), -EINVAL,
           "... the other not");
    tap_is(r.ops->set_dirty_tracking(second, TRUE), 0, "then it does");
    tap_is(r.ops->get_dirty(first, REACH_BASE, REACH_SIZE, bits, FALSE), 0,
           "and the first");
    tap_is((gint64)bits[0], -1, "... has not forgotten");
    reach_detach(&r, 1);
    tap_is(r.ops->get_dirty(second, REACH_BASE, 2 * REACH_SIZE, bits, FALSE), 0,
           "the second's");
    tap_is((gint64)bits[1], 0, "... ends where guest memory does");
    viommui_host_viommu_free(other);
    reach_clear(&r);
}

static void test_not_tracking(void)
{
    g_autoptr(GError) error = NULL;
    Reach r;

    reach_init(&r, &(ReachOptions){
                       .backend = "legacy", .container = "/dev/iommu", .n_devices = 1});
    tap_ok(!viommu_host_device_get_info(r.devices[0])->dirty_tracking &&
               !viommu_host_can_track_dirty(r.host),
           "an iommufd as a container cannot tell");
    tap_ok(!viommu_host_set_dirty_tracking(r.host, TRUE, &error), "... nor be made to");
    tap_is(error->code, VIOMMU_ERROR_UNSUPPORTED, "... which is unsupported");
    tap_is(r.ops->set_dirty_tracking(r.hv->backend, TRUE), -EOPNOTSUPP, "... by any way");
    reach_clear(&r);
}

int main(void)
{
    test_identity();
    test_tables();
    test_kernel_knows();
    test_units();
    test_failures();
    test_two_viommus();
    test_not_tracking();
    return tap_done();
}
