/* SPDX-License-Identifier: MIT */
/*
 * What VFIO containers cannot, and calls that fail: limits are named before they are run
 * into, a mapping that fails in one container is in none, and whatever fails leaks nothing
 * and lets no device see what it should not.
 */

#include "backend-bench.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

enum { IOVA = 0x40000000, MSI = 0xfee00000, MORE = 0x8000000 };

/* --- limits ----------------------------------------------------------------------------
 */

/* What the kernel tells of a container is made less. */
typedef struct {
    guint32 taken; /* of the mappings that there can be, that many are said to be gone */
    guint64 page_sizes; /* 0: as they are */
    gboolean no_caps;   /* as an older kernel's */
    guint64 first;      /* the first IOVA */
} Less;

static void tell_less(void *user_data, unsigned long request, void *arg, int *ret)
{
    const Less *less = user_data;
    struct vfio_iommu_type1_info *info = arg;
    guint32 at;

    if (request != VFIO_IOMMU_GET_INFO || *ret < 0)
        return;
    if (less->page_sizes)
        info->iova_pgsizes = less->page_sizes;
    if (less->no_caps) {
        info->flags = 0;
        return;
    }
    for (at = info->cap_offset; at;) {
        struct vfio_iommu_type1_info_dma_avail *capability = (void *)((guint8 *)info + at);
        struct vfio_iommu_type1_info_cap_iova_range *ranges = (void *)capability;

        if (capability->header.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
            capability->avail -= less->taken;
        if (capability->header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
            ranges->iova_ranges[0].start = less->first;
        at = capability->header.next;
    }
}

/* One device of a group of two, whose container has less; guest memory is not mapped. */
static void start(Reach *r, const char *container, Less *less)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD};

    reach_init_host(
        r, &(ReachOptions){.backend = "legacy", .container = container, .n_devices = 2});
    r->spy.answer = tell_less;
    r->spy.answer_data = less;
    r->devices[0] = viommu_host_device_new_from_bdf(r->host, r->bdfs[0], NULL);
    r->hv = viommui_host_viommu_new(r->devices[0], &config, NULL);
}

static void test_number(void)
{
    Less less = {.taken = 65535 - 3};
    ViommuiTable *table, *other;
    guint32 hwpt, other_hwpt;
    Reach r;

    start(&r, NULL, &less);
    viommu_host_map(r.host, REACH_BASE, REACH_SIZE, r.ram, REACH_RW, NULL);
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    for (guint i = 0; i < 3; i++) {
        if (i == 1)
            reach_attach(&r, 0, hwpt);
        tap_is(viommui_backend_table_map(r.hv, table, IOVA + i * REACH_PAGE, reach_gpa(i),
                                         REACH_PAGE, REACH_RW),
               VIOMMU_OK, "one of three mappings");
    }
    tap_is(viommui_backend_table_map(r.hv, table, IOVA + 3 * REACH_PAGE, reach_gpa(3),
                                     REACH_PAGE, REACH_RW),
           VIOMMU_TRANSIENT, "a fourth not now");
    tap_has(r.refusal, g_strerror(ENOSPC), "... as is said");
    tap_is(reach_reads(&r, 0, IOVA + 3 * REACH_PAGE), -EFAULT, "... nor is it seen");
    viommui_backend_table_unmap(r.hv, table, IOVA, REACH_PAGE);
    tap_is(viommui_backend_table_map(r.hv, table, IOVA + 3 * REACH_PAGE, reach_gpa(3),
                                     REACH_PAGE, REACH_RW),
           VIOMMU_OK, "... but when one was given back");
    tap_is(reach_reads(&r, 0, IOVA + 3 * REACH_PAGE), 3, "... and seen");
    r.devices[1] = viommu_host_device_new_from_bdf(r.host, r.bdfs[1], NULL);
    viommui_backend_table_new(r.hv, r.devices[1], &other, &other_hwpt);
    for (guint i = 0; i < 4; i++)
        tap_is(viommui_backend_table_map(r.hv, other, IOVA + i * REACH_PAGE, reach_gpa(i),
                                         REACH_PAGE, REACH_RW),
               i < 3 ? VIOMMU_OK : VIOMMU_TRANSIENT, "another table has three of its own");
    viommui_backend_table_free(r.hv, other, other_hwpt);
    reach_detach(&r, 0);
    viommui_backend_table_free(r.hv, table, hwpt);
    reach_clear(&r);
}

/* What cannot be mapped is what a device reserves, whoever says so. */
static void test_holes(void)
{
    Less less = {.first = 0x2000};
    const ViommuHostDeviceInfo *info;
    Reach r;

    start(&r, NULL, &less);
    info = viommu_host_device_get_info(r.devices[0]);
    tap_is(info->n_reserved, 2, "two regions cannot be mapped");
    tap_ok(info->reserved[0].msi && info->reserved[0].start == MSI,
           "... that of interrupts, as sysfs says");
    tap_ok(info->reserved[1].start == 0 && info->reserved[1].last == 0x1fff,
           "... and what lies before the first that can");
    reach_clear(&r);
}

static void test_no_number(const char *container, gboolean no_caps)
{
    Less less = {.no_caps = no_caps};
    ViommuiTable *table;
    guint64 last;
    guint32 hwpt;
    Reach r;

    start(&r, container, &less);
    viommu_host_map(r.host, REACH_BASE, REACH_SIZE, r.ram, REACH_RW, NULL);
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    last = viommui_backend_table_get_last(r.hv, table);
    tap_is(last == G_MAXUINT64, no_caps, "%s%s: whether there is an end of addresses",
           container, no_caps ? ", older" : "");
    reach_attach(&r, 0, hwpt);
    tap_is(viommui_backend_table_map(r.hv, table, MSI, reach_gpa(3), REACH_PAGE, REACH_RW),
           VIOMMU_GUEST_INVALID, "what is not told is refused by the kernel");
    viommui_backend_table_map(r.hv, table, IOVA, reach_gpa(3), REACH_PAGE, REACH_RW);
    tap_is(reach_reads(&r, 0, IOVA), 3, "and the rest is mapped");
    reach_detach(&r, 0);
    viommui_backend_table_free(r.hv, table, hwpt);
    reach_clear(&r);
}

static void test_units(void)
{
    Less less = {.page_sizes = 1 << 16 | 1 << 21};
    guint8 *memory = g_aligned_alloc0(1, 0x40000, 0x10000);
    const struct {
        guint64 gpa, size;
        guint address;
    } maps[] = {{REACH_BASE, 0x3000, 0},
                {REACH_BASE + 0x1000, 0x10000, 0},
                {REACH_BASE, 0x10000, 0x1000}};
    ViommuiTable *table;
    guint32 hwpt;
    Reach r;

    start(&r, NULL, &less);
    for (guint i = 0; i < G_N_ELEMENTS(maps); i++) {
        g_autoptr(GError) error = NULL;

        tap_ok(!viommu_host_map(r.host, maps[i].gpa, maps[i].size, memory + maps[i].address,
                                REACH_RW, &error),
               "an IOMMU of 64 KiB pages has no part of one mapped");
        tap_has(error->message, "pages of 0x10000 bytes", "... as is said");
    }
    tap_ok(viommu_host_map(r.host, REACH_BASE, 0x40000, memory, REACH_RW, NULL),
           "... but whole ones");
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    tap_is(viommui_backend_table_map(r.hv, table, IOVA, REACH_BASE, 0x8000, REACH_RW),
           VIOMMU_GUEST_INVALID, "a table has no half ones either");
    tap_is(viommui_backend_table_map(r.hv, table, IOVA, REACH_BASE, 0x10000, REACH_RW),
           VIOMMU_OK, "... but whole ones");
    viommui_backend_table_free(r.hv, table, hwpt);
    reach_clear(&r);
    g_aligned_free(memory);
}

static void test_unaligned(void)
{
    const struct {
        guint64 gpa, size;
        guint address;
    } maps[] = {{8, REACH_PAGE, 0}, {0, REACH_PAGE + 8, 0}, {0, REACH_PAGE, 8}};
    Reach r;

    reach_init_host(&r, &(ReachOptions){.backend = "legacy"});
    for (guint i = 0; i < G_N_ELEMENTS(maps); i++) {
        g_autoptr(GError) error = NULL;

        tap_ok(!viommu_host_map(r.host, REACH_BASE + maps[i].gpa, maps[i].size,
                                r.ram + maps[i].address, REACH_RW, &error),
               "a part of a page is refused before there is a device");
        tap_has(error->message, "pages of 0x1000 bytes", "... as is said");
    }
    reach_clear(&r);
}

/* Where no memory may be: at a mapping, and at an attach when it was mapped before. */
static void test_ranges(const char *container)
{
    const struct {
        const char *name;
        guint64 gpa;
        const char *map_says, *attach_says;
    } places[] = {
        {"interrupt messages", MSI, "IOMMU group 0 can have mapped: 0x0-0xfedfffff, 0xfef",
         "overlaps the MSI region 0xfee00000-0xfeefffff"},
        {"beyond the last address", 1ULL << 60, "IOMMU group 0 can have mapped: 0x0-",
         "the last address that can be mapped"},
    };
    Reach r;

    reach_init(
        &r, &(ReachOptions){.backend = "legacy", .container = container, .n_devices = 1});
    viommui_host_device_join(r.devices[0], r.hv);
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GError) error = NULL;

        tap_is(viommui_host_device_detach(r.devices[0], VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                                          VIOMMUI_FAIL_CLOSED),
               VIOMMU_OK, "%s: a device at IDENTITY", container);
        tap_ok(!viommu_host_map(r.host, places[i].gpa, REACH_PAGE, r.ram, REACH_RW, &error),
               "... no memory at %s", places[i].name);
        tap_has(error->message, places[i].map_says, "... as is said");
        tap_ok(reach_sees_memory(&r, 0), "... the rest is seen");
        viommui_host_device_detach(r.devices[0], VIOMMUI_NO_PASID, VIOMMUI_BLOCKED,
                                   VIOMMUI_FAIL_CLOSED);
        tap_ok(viommu_host_map(r.host, places[i].gpa, REACH_PAGE, r.ram, REACH_RW, NULL),
               "while it is BLOCKED it is nobody's business");
        tap_is(viommui_host_device_detach(r.devices[0], VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                                          VIOMMUI_FAIL_CLOSED),
               VIOMMU_UNSUPPORTED, "... then it is");
        tap_has(r.refusal, places[i].attach_says, "... as is said");
        tap_ok(reach_sees_nothing(&r, 0), "... and nothing is seen");
        tap_ok(viommu_host_unmap(r.host, places[i].gpa, REACH_PAGE, NULL), "without it");
        tap_is(viommui_host_device_detach(r.devices[0], VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                                          VIOMMUI_FAIL_CLOSED),
               VIOMMU_OK, "... it can be");
        tap_ok(reach_sees_memory(&r, 0), "... and all is seen");
    }
    viommui_host_device_leave(r.devices[0]);
    reach_clear(&r);
}

/* --- calls that fail -------------------------------------------------------------------
 */

/* Three groups at IDENTITY. */
static void start_three(Reach *r, const char *container)
{
    reach_init(r, &(ReachOptions){.backend = "legacy",
                                  .container = container,
                                  .n_devices = 3,
                                  .n_groups = 3,
                                  .by_fd = TRUE});
    for (guint i = 0; i < 3; i++)
        reach_attach(r, i, reach_identity(r));
}

static gboolean nobody_reads(Reach *r, guint64 iova)
{
    for (guint i = 0; i < r->n_devices; i++)
        if (reach_reads(r, i, iova) != -EFAULT)
            return FALSE;
    return TRUE;
}

static gboolean all_read(Reach *r, guint64 iova, int page)
{
    for (guint i = 0; i < r->n_devices; i++)
        if (reach_reads(r, i, iova) != page)
            return FALSE;
    return TRUE;
}

static void test_map_fails(const char *container)
{
    Reach r;

    start_three(&r, container);
    for (guint nth = 1; nth <= 3; nth++) {
        g_autoptr(GError) error = NULL;
        guint before = reach_count(&r);

        spy_fail(&r.spy, VFIO_IOMMU_MAP_DMA, nth, EFAULT, 1);
        tap_ok(!viommu_host_map_fd(r.host, MORE, REACH_PAGE, r.memfd,
                                   REACH_SIZE + 7 * REACH_PAGE, REACH_RW, &error),
               "%s: container %u of three refuses memory", container, nth);
        spy_fail_none(&r.spy);
        tap_has(error->message, "each of 3 IOMMU groups", "... as is said");
        tap_ok(nobody_reads(&r, MORE), "... none has it");
        tap_ok(reach_sees_memory(&r, 0) && reach_sees_memory(&r, 1) &&
                   reach_sees_memory(&r, 2),
               "... and all have the rest");
        tap_is(reach_count(&r), before, "... and nothing is left");
    }
    tap_ok(viommu_host_map_fd(r.host, MORE, REACH_PAGE, r.memfd,
                              REACH_SIZE + 7 * REACH_PAGE, REACH_RW, NULL),
           "then it is mapped");
    tap_ok(all_read(&r, MORE, 7), "... for all");
    reach_clear(&r);
}

/* Where a mapping cannot be undone, all goes, and what ought to be there comes again. */
static void test_undo_fails(const char *container)
{
    g_autoptr(GError) error = NULL;
    Reach r;

    start_three(&r, container);
    spy_fail_pattern(&r.spy, VFIO_IOMMU_UNMAP_DMA, "xxx", EIO);
    viommu_emulator_fail_call(r.emulator, VFIO_IOMMU_MAP_DMA, 2, EFAULT, FALSE);
    tap_ok(!viommu_host_map(r.host, MORE, REACH_PAGE, r.ram, REACH_RW, NULL),
           "%s: a mapping that is refused, and cannot be undone", container);
    spy_fail_none(&r.spy);
    tap_ok(nobody_reads(&r, MORE), "... is seen by nobody");
    tap_ok(reach_sees_memory(&r, 0) && reach_sees_memory(&r, 1) && reach_sees_memory(&r, 2),
           "... and all have the rest");
    spy_fail(&r.spy, VFIO_IOMMU_UNMAP_DMA, 1, EIO, G_MAXUINT);
    viommu_emulator_fail_call(r.emulator, VFIO_IOMMU_MAP_DMA, 2, EFAULT, FALSE);
    tap_ok(!viommu_host_map(r.host, MORE, REACH_PAGE, r.ram, REACH_RW, &error) &&
               g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE),
           "one that stays for all that is tried");
    tap_has(error->message, "devices may reach it", "... is said to");
    spy_fail_none(&r.spy);
    viommu_host_map(r.host, MORE + REACH_PAGE, REACH_PAGE, r.ram, REACH_RW, NULL);
    tap_ok(nobody_reads(&r, MORE), "... and goes with the next change");
    reach_clear(&r);
}

/* The same of a table, which is settled when it is asked to be. */
static void test_settle(const char *container)
{
    ViommuiTable *table;
    guint32 hwpt;
    Reach r;

    start_three(&r, container);
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    viommui_backend_table_map(r.hv, table, IOVA, reach_gpa(3), REACH_PAGE, REACH_RW);
    reach_attach(&r, 0, hwpt);
    reach_attach(&r, 1, hwpt);
    spy_fail_pattern(&r.spy, VFIO_IOMMU_UNMAP_DMA, "xxx", EIO);
    viommu_emulator_fail_call(r.emulator, VFIO_IOMMU_MAP_DMA, 2, EFAULT, FALSE);
    tap_ok(viommui_backend_table_map(r.hv, table, MORE, reach_gpa(4), REACH_PAGE,
                                     REACH_RW) != VIOMMU_OK,
           "%s: a page of a table that is refused, and cannot be undone", container);
    tap_is(reach_reads(&r, 0, MORE), 4, "... stays");
    spy_fail_pattern(&r.spy, VFIO_IOMMU_UNMAP_DMA, "x", EIO);
    tap_is(viommui_backend_table_settle(r.hv, table), VIOMMU_HOST_GONE,
           "... as long as nothing can be unmapped");
    spy_fail_none(&r.spy);
    spy_fail(&r.spy, VFIO_IOMMU_MAP_DMA, 1, EIO, 1);
    tap_is(viommui_backend_table_settle(r.hv, table), VIOMMU_HOST_GONE, "... or mapped");
    tap_ok(reach_sees_nothing(&r, 0) && nobody_reads(&r, MORE),
           "... when it goes at least");
    spy_fail_none(&r.spy);
    tap_is(viommui_backend_table_settle(r.hv, table), VIOMMU_OK, "settled");
    tap_ok(reach_reads(&r, 0, IOVA) == 3 && reach_reads(&r, 1, IOVA) == 3,
           "... both have what was there");
    tap_ok(nobody_reads(&r, MORE), "... and no more");
    spy_fail_pattern(&r.spy, VFIO_IOMMU_UNMAP_DMA, ".x.x.x", EIO);
    viommu_emulator_fail_call(r.emulator, VFIO_IOMMU_MAP_DMA, 1, EIO, TRUE);
    tap_is(viommui_backend_table_unmap(r.hv, table, IOVA, REACH_PAGE), VIOMMU_HOST_GONE,
           "one that does not unmap, and one that cannot be given it again");
    spy_fail_none(&r.spy);
    viommu_emulator_fail_call(r.emulator, VIOMMU_EMULATOR_CALL_ANY, 1, 0, FALSE);
    tap_is(viommui_backend_table_settle(r.hv, table), VIOMMU_OK, "settled");
    tap_ok(reach_reads(&r, 0, IOVA) == 3 && reach_reads(&r, 1, IOVA) == 3,
           "... both have it");
    spy_fail(&r.spy, VFIO_IOMMU_UNMAP_DMA, 1, EIO, 1);
    tap_is(reach_detach(&r, 0), -EIO, "a detach that is refused");
    spy_fail_none(&r.spy);
    tap_is(viommui_backend_table_settle(r.hv, table), VIOMMU_OK, "settled");
    tap_ok(reach_sees_nothing(&r, 0) && reach_reads(&r, 0, IOVA) == -EFAULT,
           "... it is blocked");
    tap_is(reach_reads(&r, 1, IOVA), 3, "... and the other not");
    reach_detach(&r, 0);
    reach_detach(&r, 1);
    viommui_backend_table_free(r.hv, table, hwpt);
    reach_clear(&r);
}

static void test_unmap_fails(const char *container)
{
    Reach r;

    start_three(&r, container);
    for (guint nth = 1; nth <= 3; nth++) {
        g_autoptr(GError) error = NULL;

        viommu_host_map_fd(r.host, MORE, REACH_PAGE, r.memfd, REACH_SIZE + 7 * REACH_PAGE,
                           REACH_RW, NULL);
        spy_fail(&r.spy, VFIO_IOMMU_UNMAP_DMA, nth, EIO, 1);
        tap_ok(!viommu_host_unmap(r.host, MORE, REACH_PAGE, &error),
               "%s: container %u of three does not unmap", container, nth);
        spy_fail_none(&r.spy);
        tap_has(error->message, "does not unmap", "... as is said");
        tap_is(r.spy.n_mapped, 2, "... the memory stays");
        tap_ok(all_read(&r, MORE, 7), "... for all");
        tap_ok(viommu_host_unmap(r.host, MORE, REACH_PAGE, NULL), "once more");
        tap_ok(nobody_reads(&r, MORE), "... and none has it");
        tap_is(r.spy.n_mapped, 1, "... and it may go");
    }
    reach_clear(&r);
}

/* One that is blocked at last does not get what another keeps. */
static void test_unmap_blocks(const char *container)
{
    Reach r;

    for (guint nth = 1; nth <= 3; nth++) {
        start_three(&r, container);
        viommu_host_map_fd(r.host, MORE, REACH_PAGE, r.memfd, REACH_SIZE + 7 * REACH_PAGE,
                           REACH_RW, NULL);
        spy_fail(&r.spy, VFIO_IOMMU_UNMAP_DMA, 1, EIO, 1);
        tap_is(reach_detach(&r, 2), -EIO, "%s: a detach that is refused", container);
        spy_fail(&r.spy, VFIO_IOMMU_UNMAP_DMA, nth, EIO, 1);
        tap_ok(!viommu_host_unmap(r.host, MORE, REACH_PAGE, NULL),
               "... and unmap %u of what follows", nth);
        spy_fail_none(&r.spy);
        tap_ok(reach_reads(&r, 0, MORE) == 7 && reach_reads(&r, 1, MORE) == 7,
               "... which the others keep");
        tap_ok(nth == 1 ||
                   (reach_sees_nothing(&r, 2) && reach_reads(&r, 2, MORE) == -EFAULT),
               "... and it does not");
        viommu_host_unmap(r.host, MORE, REACH_PAGE, NULL);
        tap_ok(reach_sees_nothing(&r, 2) && nobody_reads(&r, MORE),
               "once more: it is blocked, and nobody has it");
        reach_clear(&r);
    }
}

/* A container that is to be blocked, and is not, is not forgotten. */
static void test_detach_fails(const char *container)
{
    ViommuiTable *table;
    guint32 hwpt;
    Reach r;

    start_three(&r, container);
    viommu_host_map(r.host, MORE, REACH_PAGE, r.ram + 7 * REACH_PAGE, REACH_RW, NULL);
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    viommui_backend_table_map(r.hv, table, IOVA, reach_gpa(3), REACH_PAGE, REACH_RW);
    spy_fail(&r.spy, VFIO_IOMMU_UNMAP_DMA, 1, EIO, 9);
    tap_is(reach_detach(&r, 0), -EIO, "%s: a detach that is refused", container);
    tap_is(reach_attach(&r, 0, hwpt), -EIO, "... and so is what should follow");
    tap_is(reach_reads(&r, 0, IOVA), -EFAULT, "... which is not seen");
    tap_ok(!viommu_host_unmap(r.host, MORE, REACH_PAGE, NULL),
           "nor is memory unmapped that it may have");
    spy_fail_none(&r.spy);
    tap_ok(viommu_host_map(r.host, MORE + REACH_PAGE, REACH_PAGE, r.ram + 8 * REACH_PAGE,
                           REACH_RW, NULL),
           "memory is mapped meanwhile");
    tap_is(reach_reads(&r, 0, MORE + REACH_PAGE), -EFAULT, "... and not for it");
    tap_is(reach_reads(&r, 1, MORE + REACH_PAGE), 8, "... but for others");
    tap_ok(viommu_host_unmap(r.host, MORE, REACH_PAGE, NULL), "memory is unmapped");
    tap_ok(nobody_reads(&r, MORE), "... for all");
    tap_ok(reach_sees_nothing(&r, 0), "... and what should be blocked is");
    tap_is(reach_attach(&r, 0, hwpt), 0, "then it is attached to what it should");
    tap_is(reach_reads(&r, 0, IOVA), 3, "... and sees that");
    tap_ok(reach_sees_nothing(&r, 0), "... and nothing else");
    reach_detach(&r, 0);
    viommui_backend_table_free(r.hv, table, hwpt);
    reach_clear(&r);
}

/* The table goes while a container may have parts of it. */
static void test_table_goes(const char *container)
{
    ViommuiTable *table;
    guint32 hwpt;
    Reach r;

    start_three(&r, container);
    reach_detach(&r, 1);
    reach_detach(&r, 2);
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    viommui_backend_table_map(r.hv, table, IOVA, reach_gpa(3), REACH_PAGE, REACH_RW);
    reach_attach(&r, 0, hwpt);
    spy_fail(&r.spy, VFIO_IOMMU_UNMAP_DMA, 1, EIO, 9);
    reach_detach(&r, 0);
    viommui_backend_table_free(r.hv, table, hwpt);
    tap_is(reach_attach(&r, 0, hwpt), -ENOENT, "%s: a table that is gone", container);
    tap_ok(!viommu_host_unmap(r.host, REACH_BASE, REACH_SIZE, NULL),
           "... may be seen still, and so its memory stays");
    spy_fail_none(&r.spy);
    tap_ok(viommu_host_unmap(r.host, REACH_BASE, REACH_SIZE, NULL), "... until it is not");
    tap_is(reach_reads(&r, 0, IOVA), -EFAULT, "... by anybody");
    reach_clear(&r);
}

/* An attach whose nth mapping fails leaves nothing of it. */
static void test_attach_fails(const char *container)
{
    ViommuiTable *table;
    guint32 hwpt;
    Reach r;

    start_three(&r, container);
    viommui_backend_table_new(r.hv, r.devices[0], &table, &hwpt);
    for (guint i = 0; i < 4; i++)
        viommui_backend_table_map(r.hv, table, IOVA + i * REACH_PAGE, reach_gpa(i),
                                  REACH_PAGE, REACH_RW);
    for (guint nth = 1; nth <= 4; nth++) {
        spy_fail(&r.spy, VFIO_IOMMU_MAP_DMA, nth, ENOMEM, 3);
        tap_is(reach_attach(&r, 0, hwpt), -ENOMEM, "%s: mapping %u of four fails",
               container, nth);
        spy_fail_none(&r.spy);
        tap_ok(reach_sees_nothing(&r, 0) && reach_reads(&r, 0, IOVA) == -EFAULT,
               "... nothing is seen, old or new");
        tap_is(reach_attach(&r, 0, reach_identity(&r)), 0, "what it had");
        tap_ok(reach_sees_memory(&r, 0), "... can be had again");
    }
    reach_detach(&r, 0);
    viommui_backend_table_free(r.hv, table, hwpt);
    reach_clear(&r);
}

/* --- any call --------------------------------------------------------------------------
 */

/* A host, from nothing to IDENTITY and a table and back; FALSE: it ended early. */
static gboolean live(Reach *r, const ViommuHostConfig *config, GError **error)
{
    const ViommuiHostViommuConfig viommu = {.type = VIOMMUI_DATA_VTD};
    gboolean ok;

    r->host = viommu_host_new(config, error);
    if (!r->host)
        return FALSE;
    r->ops = r->host->ops;
    for (guint i = 0; i < r->n_devices; i++) {
        r->devices[i] = viommu_host_device_new_from_bdf(r->host, r->bdfs[i], error);
        if (!r->devices[i])
            return FALSE;
    }
    r->hv = viommui_host_viommu_new(r->devices[0], &viommu, error);
    ok = r->hv && reach_attach(r, 0, reach_identity(r)) == 0 &&
         viommu_host_map_fd(r->host, REACH_BASE, REACH_SIZE, r->memfd, REACH_SIZE, REACH_RW,
                            error) &&
         reach_attach(r, 1, reach_identity(r)) == 0;
    return ok && reach_sees_memory(r, 0) && reach_sees_memory(r, 1) &&
           reach_detach(r, 0) == 0 && reach_sees_nothing(r, 0);
}

static void die(Reach *r)
{
    viommui_host_viommu_free(r->hv);
    r->hv = NULL;
    for (guint i = 0; i < r->n_devices; i++) {
        viommu_host_device_free(r->devices[i]);
        r->devices[i] = NULL;
    }
    viommu_host_free(r->host);
    r->host = NULL;
}

static void sweep(const char *container, guint n_groups)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    guint nth = 0, n_failed = 0;
    gboolean hit;
    Reach r;

    reach_init_host(&r, &(ReachOptions){.backend = "legacy",
                                        .container = container,
                                        .n_devices = 3,
                                        .n_groups = n_groups});
    viommu_host_free(r.host);
    config.backend = "legacy";
    config.container = container;
    config.seam = &r.spy.seam;
    do {
        g_autoptr(GError) error = NULL;
        gboolean ok;

        spy_fail(&r.spy, 0, ++nth, EIO, 1);
        ok = live(&r, &config, &error);
        hit = r.spy.hit;
        n_failed += !ok;
        spy_fail_none(&r.spy);
        tap_ok(ok || hit, "%s, %u groups: call %u: %s", container, n_groups, nth,
               ok      ? "it does without"
               : error ? error->message
                       : "its life ends early");
        die(&r);
        tap_is(reach_count(&r), 0, "... and nothing is left");
        for (guint i = 0; i < r.n_devices; i++)
            if (!reach_sees_nothing(&r, i))
                tap_ok(FALSE, "... nor seen");
    } while (hit);
    tap_ok(n_failed > 15, "%u calls cannot be done without", n_failed);
    reach_clear(&r);
}

int main(void)
{
    static const char *const containers[] = {"/dev/vfio/vfio", "/dev/iommu"};

    test_holes();
    test_number();
    test_no_number("/dev/vfio/vfio", TRUE);
    test_no_number("/dev/iommu", FALSE);
    test_units();
    test_unaligned();
    for (guint i = 0; i < G_N_ELEMENTS(containers); i++) {
        test_ranges(containers[i]);
        test_map_fails(containers[i]);
        test_undo_fails(containers[i]);
        test_settle(containers[i]);
        test_unmap_fails(containers[i]);
        test_unmap_blocks(containers[i]);
        test_detach_fails(containers[i]);
        test_table_goes(containers[i]);
        test_attach_fails(containers[i]);
        sweep(containers[i], 1);
        sweep(containers[i], 2);
    }
    return tap_done();
}
