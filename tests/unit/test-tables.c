/* SPDX-License-Identifier: MIT */
/*
 * Tables, of every backend that is built: what devices see that are attached to one, how it
 * goes beside IDENTITY and other tables, what is refused, and that nothing is left of what
 * fails.
 */

#include "backend-bench.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <viommu/viommu.h>

enum { IOVA = 0x40000000, OTHER = 0x50000000 };

typedef struct {
    ViommuiTable *table;
    guint32 hwpt;
} Table;

static Table make(Reach *r)
{
    Table t = {0};

    tap_is(viommui_backend_table_new(r->hv, r->devices[0], &t.table, &t.hwpt), VIOMMU_OK,
           "a table");
    return t;
}

static void drop(Reach *r, Table t)
{
    viommui_backend_table_free(r->hv, t.table, t.hwpt);
}

static ViommuResult map(Reach *r, Table t, guint64 iova, guint page)
{
    return viommui_backend_table_map(r->hv, t.table, iova, reach_gpa(page), REACH_PAGE,
                                     REACH_RW);
}

static ViommuResult unmap(Reach *r, Table t, guint64 iova)
{
    return viommui_backend_table_unmap(r->hv, t.table, iova, REACH_PAGE);
}

static void test_map(Reach *r)
{
    Table t = make(r), u = make(r);

    tap_ok(t.hwpt && u.hwpt && t.hwpt != u.hwpt && t.hwpt != reach_identity(r) &&
               u.hwpt != reach_identity(r),
           "each has an HWPT ID of its own");
    tap_is(map(r, t, IOVA, 3), VIOMMU_OK, "a page is mapped before anybody is attached");
    tap_is(reach_reads(r, 0, IOVA), -EFAULT, "... and not seen");
    tap_is(reach_attach(r, 0, t.hwpt), 0, "attached");
    tap_is(reach_reads(r, 0, IOVA), 3, "... it is");
    tap_ok(reach_sees_nothing(r, 0), "... and guest memory is not");
    tap_is(map(r, t, IOVA + REACH_PAGE, 9), VIOMMU_OK, "another page");
    tap_is(reach_reads(r, 0, IOVA + REACH_PAGE), 9, "... is seen at once");
    tap_is(map(r, t, reach_gpa(5), 3), VIOMMU_OK, "the first once more");
    tap_is(reach_reads(r, 0, reach_gpa(5)), 3, "... is seen there too");
    tap_is(unmap(r, t, IOVA), VIOMMU_OK, "unmapped");
    tap_is(reach_reads(r, 0, IOVA), -EFAULT, "... it is not seen any more");
    tap_is(reach_reads(r, 0, IOVA + REACH_PAGE), 9, "... and the others are");
    tap_is(reach_reads(r, 0, reach_gpa(5)), 3, "... each");
    tap_is(map(r, t, IOVA, 20), VIOMMU_OK, "something else in its place");
    tap_is(reach_reads(r, 0, IOVA), 20, "... is seen");
    tap_is(reach_detach(r, 0), 0, "detached");
    tap_is(reach_reads(r, 0, IOVA), -EFAULT, "... nothing is");
    tap_is(reach_attach(r, 0, t.hwpt), 0, "attached again");
    tap_is(reach_reads(r, 0, IOVA), 20, "... it has what it had");
    tap_is(reach_reads(r, 0, IOVA + REACH_PAGE), 9, "... all of it");
    tap_is(reach_detach(r, 0), 0, "detached");
    tap_is(reach_detach(r, 0), 0, "... twice");
    drop(r, t);
    drop(r, u);
}

static void test_rights(Reach *r)
{
    Table t = make(r);

    reach_attach(r, 0, t.hwpt);
    tap_is(viommui_backend_table_map(r->hv, t.table, IOVA, reach_gpa(1), 4 * REACH_PAGE,
                                     VIOMMU_MAP_READ),
           VIOMMU_OK, "four pages to be read only");
    tap_is(reach_reads(r, 0, IOVA + 2 * REACH_PAGE), 3, "... are");
    tap_is(reach_writes(r, 0, IOVA + 2 * REACH_PAGE), -EFAULT, "... and not written");
    tap_is(viommui_backend_table_unmap(r->hv, t.table, IOVA, 4 * REACH_PAGE), VIOMMU_OK,
           "unmapped as they were mapped");
    tap_is(viommui_backend_table_map(r->hv, t.table, IOVA, reach_gpa(1), REACH_PAGE,
                                     VIOMMU_MAP_WRITE),
           VIOMMU_OK, "a page to be written only");
    tap_is(reach_writes(r, 0, IOVA), 0, "... is");
    tap_is(map(r, t, OTHER, 1), VIOMMU_OK, "and both");
    tap_is(reach_writes(r, 0, OTHER), 0, "... is written");
    tap_is(reach_reads(r, 0, OTHER), 1, "... and read");
    reach_detach(r, 0);
    drop(r, t);
}

/* What one sees is never seen through the other. */
static void test_replace(Reach *r)
{
    Table t = make(r), u = make(r);

    map(r, t, IOVA, 3);
    map(r, t, reach_gpa(7), 8);
    map(r, u, IOVA, 4);
    map(r, u, OTHER, 5);
    tap_is(reach_attach(r, 0, reach_identity(r)), 0, "at IDENTITY");
    tap_ok(reach_sees_memory(r, 0), "... guest memory is seen");
    tap_is(reach_reads(r, 0, IOVA), -EFAULT, "... and no table");
    tap_is(reach_attach(r, 0, t.hwpt), 0, "at a table");
    tap_is(reach_reads(r, 0, IOVA), 3, "... the table is seen");
    tap_is(reach_reads(r, 0, reach_gpa(7)), 8, "... also where guest memory was");
    tap_is(reach_reads(r, 0, reach_gpa(6)), -EFAULT, "... which is gone");
    tap_is(reach_attach(r, 0, u.hwpt), 0, "at another table");
    tap_is(reach_reads(r, 0, IOVA), 4, "... that one is seen");
    tap_is(reach_reads(r, 0, OTHER), 5, "... all of it");
    tap_is(reach_reads(r, 0, reach_gpa(7)), -EFAULT, "... and nothing of the first");
    tap_is(map(r, t, OTHER + REACH_PAGE, 6), VIOMMU_OK, "the first gets a page");
    tap_is(reach_reads(r, 0, OTHER + REACH_PAGE), -EFAULT, "... which is not seen");
    tap_is(unmap(r, t, IOVA), VIOMMU_OK, "... and loses one");
    tap_is(reach_reads(r, 0, IOVA), 4, "... which the second has still");
    tap_is(reach_attach(r, 0, reach_identity(r)), 0, "at IDENTITY again");
    tap_ok(reach_sees_memory(r, 0), "... guest memory is seen");
    tap_is(reach_reads(r, 0, OTHER), -EFAULT, "... and no table");
    reach_detach(r, 0);
    tap_ok(reach_sees_nothing(r, 0), "detached, nothing");
    drop(r, t);
    drop(r, u);
}

static void test_two_devices(Reach *r)
{
    Table t = make(r);

    map(r, t, IOVA, 3);
    reach_attach(r, 0, t.hwpt);
    reach_attach(r, 1, reach_identity(r));
    tap_is(reach_reads(r, 0, IOVA), 3, "one device at a table");
    tap_ok(reach_sees_nothing(r, 0), "... sees only that");
    tap_ok(reach_sees_memory(r, 1), "another at IDENTITY sees guest memory");
    tap_is(reach_reads(r, 1, IOVA), -EFAULT, "... and not the table");
    reach_attach(r, 1, t.hwpt);
    tap_is(map(r, t, OTHER, 5), VIOMMU_OK, "a page for both");
    tap_ok(reach_reads(r, 0, OTHER) == 5 && reach_reads(r, 1, OTHER) == 5,
           "... is seen by both");
    tap_is(unmap(r, t, IOVA), VIOMMU_OK, "one less");
    tap_ok(reach_reads(r, 0, IOVA) == -EFAULT && reach_reads(r, 1, IOVA) == -EFAULT,
           "... is seen by neither");
    reach_detach(r, 0);
    tap_is(reach_reads(r, 0, OTHER), -EFAULT, "one is detached");
    tap_is(reach_reads(r, 1, OTHER), 5, "... and the other not");
    reach_detach(r, 1);
    drop(r, t);
}

/* What cannot be mapped, whether or not somebody is attached. */
static void refuse(Reach *r, Table t, gboolean attached)
{
    const char *when = attached ? "attached" : "alone";
    const guint64 end = reach_gpa(REACH_PAGES);
    const struct {
        const char *name;
        guint64 iova, gpa, size;
    } maps[] = {
        {"no guest memory", OTHER, end, REACH_PAGE},
        {"beyond the end of it", OTHER, end - REACH_PAGE, 2 * REACH_PAGE},
        {"before its start", OTHER, REACH_BASE - REACH_PAGE, 2 * REACH_PAGE},
        {"nothing", OTHER, REACH_BASE, 0},
        {"a part of a page", OTHER, REACH_BASE, REACH_PAGE / 2},
        {"from within a page", OTHER, REACH_BASE + 8, REACH_PAGE},
        {"to within a page", OTHER + 8, REACH_BASE, REACH_PAGE},
        {"what is there", IOVA, REACH_BASE, REACH_PAGE},
        {"over what is there", IOVA - REACH_PAGE, REACH_BASE, 3 * REACH_PAGE},
        {"over the end of it", IOVA - REACH_PAGE, REACH_BASE, 2 * REACH_PAGE},
        {"round the end", G_MAXUINT64 - REACH_PAGE + 1, REACH_BASE, 2 * REACH_PAGE},
        {"beyond the last address", 1ULL << 58, REACH_BASE, REACH_PAGE},
        {"interrupt messages", 0xfee00000, REACH_BASE, REACH_PAGE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(maps); i++)
        /* iommufd finds out what a device reserves when it is attached. */
        if (attached || maps[i].iova != 0xfee00000 || g_strcmp0(r->ops->name, "iommufd"))
            tap_is(viommui_backend_table_map(r->hv, t.table, maps[i].iova, maps[i].gpa,
                                             maps[i].size, REACH_RW),
                   VIOMMU_GUEST_INVALID, "%s: cannot be mapped: %s", when, maps[i].name);
    tap_is(viommui_backend_table_map(r->hv, t.table, OTHER, REACH_BASE, REACH_PAGE, 0),
           VIOMMU_GUEST_INVALID, "%s: nor without rights", when);
    tap_is(
        viommui_backend_table_map(r->hv, t.table, OTHER, 0x8000000, REACH_PAGE, REACH_RW),
        VIOMMU_GUEST_INVALID, "%s: nor with more than guest memory has", when);
    tap_is(viommui_backend_table_map(r->hv, t.table, OTHER, 0x8000000, REACH_PAGE,
                                     VIOMMU_MAP_READ),
           VIOMMU_OK, "%s: with no more it can", when);
    tap_is(unmap(r, t, OTHER), VIOMMU_OK, "%s: unmapped", when);
}

static void test_refusals(Reach *r)
{
    Table t = make(r);
    guint64 last;

    tap_ok(viommu_host_map(r->host, 0x8000000, REACH_PAGE, r->ram, VIOMMU_MAP_READ, NULL),
           "guest memory that devices may only read");
    last = viommui_backend_table_get_last(r->hv, t.table);
    tap_ok(last >= (1ULL << 39) - 1 && last < 1ULL << 58 && !((last + 1) & 0xfff),
           "its last address is that of its IOMMU");
    map(r, t, IOVA, 2);
    refuse(r, t, FALSE);
    reach_attach(r, 0, t.hwpt);
    refuse(r, t, TRUE);
    tap_is(reach_reads(r, 0, IOVA), 2, "what was there is there");
    tap_is(reach_reads(r, 0, OTHER), -EFAULT, "... and nothing else");
    tap_is(viommui_backend_table_map(r->hv, t.table, last - REACH_PAGE + 1, REACH_BASE,
                                     REACH_PAGE, REACH_RW),
           VIOMMU_OK, "the last page can be mapped");
    tap_is(reach_reads(r, 0, last - REACH_PAGE + 1), 0, "... and is seen");
    reach_detach(r, 0);
    drop(r, t);
    tap_ok(viommu_host_unmap(r->host, 0x8000000, REACH_PAGE, NULL), "and it can go");
}

/* A table's life, as far as it goes. */
static ViommuResult live(Reach *r, Table *t)
{
    ViommuResult result =
        viommui_backend_table_new(r->hv, r->devices[0], &t->table, &t->hwpt);

    if (result != VIOMMU_OK)
        return result;
    result = map(r, *t, IOVA, 3);
    if (result == VIOMMU_OK)
        result = map(r, *t, OTHER, 4);
    if (result == VIOMMU_OK)
        result = reach_attach(r, 0, t->hwpt) == 0 ? VIOMMU_OK : VIOMMU_HOST_GONE;
    if (result == VIOMMU_OK)
        result = map(r, *t, OTHER + REACH_PAGE, 5);
    return result;
}

/* What a device sees of it at most: each page where it belongs, if at all. */
static gboolean is_sane(Reach *r, gboolean attached)
{
    const struct {
        guint64 iova;
        int page;
    } pages[] = {{IOVA, 3}, {OTHER, 4}, {OTHER + REACH_PAGE, 5}};

    for (guint i = 0; i < G_N_ELEMENTS(pages); i++) {
        int page = reach_reads(r, 0, pages[i].iova);

        if (page != -EFAULT && (!attached || page != pages[i].page))
            return FALSE;
    }
    return reach_sees_nothing(r, 0);
}

static void test_faults(Reach *r)
{
    guint before = reach_count(r), nth = 0;
    gboolean hit;

    do {
        Table t = {0};
        ViommuResult result;

        spy_fail(&r->spy, 0, ++nth, EIO, 1);
        result = live(r, &t);
        hit = r->spy.hit;
        spy_fail_none(&r->spy);
        tap_is(result, hit ? VIOMMU_HOST_GONE : VIOMMU_OK, "call %u of %s fails, or none",
               nth, r->ops->name);
        tap_ok(is_sane(r, TRUE), "... without it a table's life ends early");
        tap_ok(reach_detach(r, 0) == 0 && is_sane(r, FALSE), "... and nobody sees it");
        if (t.table)
            drop(r, t);
        tap_is(reach_count(r), before, "... and nothing is left of it");
    } while (hit);
}

/* Unmapping is worth another try, and until it succeeds nothing is forgotten. */
static void test_unmap_fails(Reach *r)
{
    Table t = make(r);

    map(r, t, IOVA, 3);
    reach_attach(r, 0, t.hwpt);
    tap_is(reach_reads(r, 0, IOVA), 3, "a page is mapped");
    spy_fail(&r->spy, 0, 1, EIO, 2);
    tap_is(unmap(r, t, IOVA), VIOMMU_OK, "a host that twice refuses to unmap it");
    tap_is(reach_reads(r, 0, IOVA), -EFAULT, "... is asked again");
    map(r, t, IOVA, 3);
    spy_fail(&r->spy, 0, 1, EIO, 3);
    tap_is(unmap(r, t, IOVA), VIOMMU_HOST_GONE, "one that refuses it for good");
    spy_fail_none(&r->spy);
    tap_is(reach_reads(r, 0, IOVA), 3, "... leaves it mapped");
    tap_is(unmap(r, t, IOVA), VIOMMU_OK, "... so that it can be unmapped");
    tap_is(reach_reads(r, 0, IOVA), -EFAULT, "... later");
    reach_detach(r, 0);
    drop(r, t);
}

static void test_not_nesting(Reach *r)
{
    guint8 config[sizeof(ViommuiVtdStage1)] = {0};
    guint32 hwpt = 7;

    tap_is(r->ops->hwpt_alloc(r->hv->backend, r->devices[0]->backend, config, sizeof config,
                              NULL, &hwpt),
           -EOPNOTSUPP, "a vIOMMU that does not nest gives no nested HWPT");
    tap_is(hwpt, 7, "... at all");
    tap_is(r->ops->invalidate(r->hv->backend, 0, config, sizeof config, 1), -EOPNOTSUPP,
           "... has nothing to be invalidated");
    tap_is(r->ops->vdevice_alloc(r->hv->backend, r->devices[0]->backend, 1), -EOPNOTSUPP,
           "... and no vDEVICEs");
    tap_ok(viommu_host_takes_read_only(r->host), "it takes read-only memory");
}

/* A PASID at a table, where there are PASIDs. */
static void test_pasids(void)
{
    const ViommuEmulatorAccess access = {.iova = IOVA, .has_pasid = TRUE, .pasid = 5};
    guint32 value = 0;
    Reach r;
    Table t;

    reach_init(&r, &(ReachOptions){.backend = "iommufd", .n_devices = 1, .pasid_bits = 8});
    t = make(&r);
    map(&r, t, IOVA, 3);
    tap_is(reach_attach(&r, 0, reach_identity(&r)), 0, "a requester ID at IDENTITY");
    tap_is(r.ops->attach(r.devices[0]->backend, 5, t.hwpt), 0, "a PASID at a table");
    tap_ok(viommu_emulator_dma_as(r.emulator, r.bdfs[0], &access, &value, sizeof value) ==
                   0 &&
               (value & 0xff) == 3,
           "... sees it");
    tap_ok(reach_sees_memory(&r, 0), "... and the requester ID guest memory");
    tap_is(unmap(&r, t, IOVA), VIOMMU_OK, "unmapped");
    tap_is(viommu_emulator_dma_as(r.emulator, r.bdfs[0], &access, &value, sizeof value),
           -EFAULT, "... it is not seen any more");
    tap_is(r.ops->detach(r.devices[0]->backend, 5), 0, "detached");
    reach_detach(&r, 0);
    drop(&r, t);
    reach_clear(&r);
}

/* --- dirty tracking, where the IOMMU tells; legacy: test-legacy-dirty.c ----------------
 */

static guint64 read_bits(Reach *r, guint first, guint n, gboolean keep)
{
    guint64 bits = 0;

    return viommu_host_get_dirty(r->host, reach_gpa(first), (guint64)n * REACH_PAGE,
                                 REACH_PAGE, &bits, keep, NULL)
               ? bits
               : 0xbadbadbadULL;
}

static guint64 read_all(Reach *r)
{
    return read_bits(r, 0, REACH_PAGES, FALSE);
}

static void test_dirty(gboolean nest)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD, .nest = TRUE};
    Table t, u;
    Reach r;

    reach_init(&r, &(ReachOptions){.backend = "iommufd", .n_devices = 1});
    if (nest) {
        viommui_host_viommu_free(r.hv);
        r.hv = viommui_host_viommu_new(r.devices[0], &config, NULL);
    }
    t = make(&r);
    viommui_backend_table_map(r.hv, t.table, IOVA, reach_gpa(7), 4 * REACH_PAGE, REACH_RW);
    tap_ok(viommu_host_set_dirty_tracking(r.host, TRUE, NULL), "tracking is on%s",
           nest ? ", beside nesting" : "");
    u = make(&r);
    map(&r, u, IOVA, 40);
    reach_attach(&r, 0, t.hwpt);
    reach_writes(&r, 0, IOVA + 2 * REACH_PAGE);
    tap_is((gint64)read_bits(&r, 0, REACH_PAGES, TRUE), 1 << 9,
           "what is written by way of a table is told");
    tap_is((gint64)read_bits(&r, 8, 1, FALSE), 0, "... where it is");
    tap_is((gint64)read_bits(&r, 9, 1, TRUE), 1, "... and only there");
    tap_is((gint64)read_all(&r), 1 << 9, "... until it is forgotten");
    tap_is((gint64)read_all(&r), 0, "... which it is then");
    reach_attach(&r, 0, u.hwpt);
    reach_writes(&r, 0, IOVA);
    reach_detach(&r, 0);
    tap_is((gint64)read_all(&r), 1LL << 40, "by a table that was made meanwhile, too");
    viommui_backend_table_map(r.hv, t.table, OTHER, reach_gpa(20), REACH_PAGE,
                              VIOMMU_MAP_READ);
    unmap(&r, t, OTHER);
    tap_is((gint64)read_all(&r), 0, "what could not be written goes clean");
    viommui_backend_table_unmap(r.hv, t.table, IOVA, 4 * REACH_PAGE);
    tap_is((gint64)read_bits(&r, 0, REACH_PAGES, TRUE), 0xf << 7, "what could goes dirty");
    tap_is((gint64)read_bits(&r, 8, 2, FALSE), 3, "... each part of it");
    tap_is((gint64)read_all(&r), 1 << 7 | 1 << 10, "... once");
    drop(&r, u);
    tap_is((gint64)read_all(&r), 1LL << 40, "also with its table");
    map(&r, t, IOVA, 3);
    unmap(&r, t, IOVA);
    viommu_host_set_dirty_tracking(r.host, FALSE, NULL);
    tap_ok(viommu_host_set_dirty_tracking(r.host, TRUE, NULL), "tracking anew");
    tap_is((gint64)read_all(&r), 0, "... forgets what went before");
    drop(&r, t);
    reach_clear(&r);
}

static void test_dirty_fails(void)
{
    Table t, u;
    Reach r;

    reach_init(&r, &(ReachOptions){.backend = "iommufd", .n_devices = 1});
    t = make(&r);
    u = make(&r);
    for (guint nth = 1; nth <= 3; nth++) {
        spy_reset_counts(&r.spy);
        spy_fail(&r.spy, IOMMU_HWPT_SET_DIRTY_TRACKING, nth, EIO, 1);
        tap_ok(!viommu_host_set_dirty_tracking(r.host, TRUE, NULL),
               "tracking that HWPT %u of three refuses", nth);
        spy_fail_none(&r.spy);
        tap_is((gint64)spy_count(&r.spy, IOMMU_HWPT_SET_DIRTY_TRACKING), 2 * nth - 1,
               "... is undone for those before");
    }
    viommu_host_set_dirty_tracking(r.host, TRUE, NULL);
    spy_fail(&r.spy, IOMMU_HWPT_SET_DIRTY_TRACKING, 1, EIO, 1);
    tap_is(viommui_backend_table_new(r.hv, r.devices[0], &t.table, &t.hwpt),
           VIOMMU_HOST_GONE, "a table that would not track is none");
    spy_fail_none(&r.spy);
    drop(&r, u);
    drop(&r, t);
    reach_clear(&r);
}

/* Switched off in part only, it is on again when it is asked to be. */
static void test_dirty_again(const char *backend)
{
    gboolean legacy = g_str_equal(backend, "legacy");
    Table t;
    Reach r;

    reach_init(&r, &(ReachOptions){.backend = backend, .n_devices = 1});
    t = make(&r);
    map(&r, t, IOVA, 3);
    viommui_host_device_join(r.devices[0], r.hv);
    reach_attach(&r, 0, t.hwpt);
    viommu_host_set_dirty_tracking(r.host, TRUE, NULL);
    spy_fail(&r.spy, legacy ? VFIO_IOMMU_DIRTY_PAGES : IOMMU_HWPT_SET_DIRTY_TRACKING, 1,
             EIO, 1);
    tap_ok(!viommu_host_set_dirty_tracking(r.host, FALSE, NULL),
           "%s: tracking that is not switched off", backend);
    spy_fail_none(&r.spy);
    tap_ok(viommu_host_set_dirty_tracking(r.host, TRUE, NULL), "... is switched on");
    reach_writes(&r, 0, IOVA);
    unmap(&r, t, IOVA);
    tap_is((gint64)read_all(&r) & 1 << 3, 1 << 3,
           "... and keeps what a mapping that goes has had written");
    reach_detach(&r, 0);
    drop(&r, t);
    viommu_host_set_dirty_tracking(r.host, FALSE, NULL);
    viommui_host_device_leave(r.devices[0]);
    reach_clear(&r);
}

/* What hosts say of nesting, before it is tried. */
static void test_can_nest(void)
{
    const guint64 lacks[] = {0, 1ULL << 26, 1ULL << 43};

    for (guint i = 0; i < G_N_ELEMENTS(lacks); i++) {
        Reach r;

        reach_init_host(
            &r, &(ReachOptions){.backend = "iommufd", .n_devices = 1, .lacks = lacks[i]});
        r.devices[0] = viommu_host_device_new_from_bdf(r.host, r.bdfs[0], NULL);
        tap_is(viommu_host_device_get_info(r.devices[0])->can_nest, lacks[i] == 0,
               "a VT-d without ECAP bits 0x%" G_GINT64_MODIFIER "x", lacks[i]);
        reach_clear(&r);
    }
}

static void test_all(const char *backend, gboolean by_fd)
{
    static void (*const tests[])(Reach *) = {
        test_map,      test_rights, test_replace,     test_two_devices,
        test_refusals, test_faults, test_unmap_fails, test_not_nesting,
    };

    tap_note("%s, guest memory %s", backend, by_fd ? "in a file" : "by address");
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        Reach r;

        reach_init(&r, &(ReachOptions){.backend = backend,
                                       .n_devices = 2,
                                       .n_groups = 2,
                                       .by_fd = by_fd,
                                       .lacks = i % 2 ? 1ULL << 26 : 0});
        tests[i](&r);
        reach_clear(&r);
    }
}

int main(void)
{
    const char *const *backends = viommu_backend_names();

    for (guint i = 0; backends[i]; i++) {
        test_all(backends[i], FALSE);
        test_all(backends[i], TRUE);
        test_dirty_again(backends[i]);
        if (g_str_equal(backends[i], "iommufd")) {
            test_pasids();
            test_dirty(FALSE);
            test_dirty(TRUE);
            test_dirty_fails();
            test_can_nest();
        }
    }
    return tap_done();
}
