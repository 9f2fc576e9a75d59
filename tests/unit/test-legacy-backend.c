/* SPDX-License-Identifier: MIT */
/*
 * VFIO groups and containers as a backend: what devices see and when, by DMA; groups of
 * two, two groups; where devices come from, and what is refused by name.
 *
 * What of it any backend does, test-tables.c asks.
 */

#include "backend-bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>

static const char *const containers[] = {"/dev/vfio/vfio", "/dev/iommu"};

/* --- IDENTITY --------------------------------------------------------------------------
 */

static void test_identity(Reach *r)
{
    guint32 identity = reach_identity(r);

    tap_ok(reach_sees_nothing(r, 0), "a device sees nothing");
    tap_is(reach_attach(r, 0, identity), 0, "at IDENTITY");
    tap_ok(reach_sees_memory(r, 0), "... it sees guest memory");
    tap_is(reach_writes(r, 0, reach_gpa(3)), 0, "... and writes it");
    tap_ok(viommu_host_map(r->host, 0x8000000, 2 * REACH_PAGE, r->ram + 5 * REACH_PAGE,
                           VIOMMU_MAP_READ, NULL),
           "more guest memory");
    tap_is(reach_reads(r, 0, 0x8000000 + REACH_PAGE), 6, "... is seen at once");
    tap_is(reach_writes(r, 0, 0x8000000), -EFAULT, "... with the rights that it has");
    tap_ok(viommu_host_unmap(r->host, 0x8000000, 2 * REACH_PAGE, NULL), "unmapped");
    tap_is(reach_reads(r, 0, 0x8000000), -EFAULT, "... it is not seen any more");
    tap_is(reach_detach(r, 0), 0, "detached");
    tap_ok(reach_sees_nothing(r, 0), "... it sees nothing");
    tap_ok(viommu_host_map(r->host, 0x8000000, REACH_PAGE, r->ram + 5 * REACH_PAGE,
                           REACH_RW, NULL),
           "more guest memory meanwhile");
    tap_is(reach_reads(r, 0, 0x8000000), -EFAULT, "... is not seen");
    tap_is(reach_attach(r, 0, identity), 0, "at IDENTITY again");
    tap_ok(reach_sees_memory(r, 0) && reach_reads(r, 0, 0x8000000) == 5,
           "... all of it is");
    spy_reset_counts(&r->spy);
    tap_is(reach_attach(r, 0, identity), 0, "attached to what it is attached to");
    tap_is((gint64)r->spy.n_calls, 0, "... makes no call");
    tap_is(reach_attach(r, 0, identity + 77), -ENOENT, "an HWPT that there is not");
    tap_ok(reach_sees_memory(r, 0), "... changes nothing");
    tap_is(r->ops->attach(r->devices[0]->backend, 5, identity), -EOPNOTSUPP, "a PASID");
    tap_is(r->ops->detach(r->devices[0]->backend, 5), 0, "... is attached to nothing");
    tap_ok(reach_sees_memory(r, 0), "... and all is as it was");
    reach_detach(r, 0);
}

/* Guest memory that the VMM takes back is nobody's, whoever saw it. */
static void test_memory_goes(Reach *r)
{
    g_autoptr(GError) error = NULL;
    ViommuiTable *table;
    guint32 hwpt;

    viommui_backend_table_new(r->hv, r->devices[0], &table, &hwpt);
    viommui_backend_table_map(r->hv, table, 0x5000, reach_gpa(3), REACH_PAGE, REACH_RW);
    tap_ok(!viommu_host_unmap(r->host, REACH_BASE, REACH_SIZE, &error),
           "memory that a table has is not unmapped");
    tap_has(error->message, "1 entries of guest tables", "... as is said");
    tap_ok(viommui_backend_table_unmap(r->hv, table, 0x5000, REACH_PAGE) == VIOMMU_OK &&
               viommu_host_unmap(r->host, REACH_BASE, REACH_SIZE, NULL),
           "without it, it is");
    tap_is(r->spy.n_mapped, 0, "... and no file is mapped for it");
    reach_attach(r, 0, reach_identity(r));
    tap_ok(reach_sees_nothing(r, 0), "... nor is it seen at IDENTITY");
    reach_detach(r, 0);
    viommui_backend_table_free(r->hv, table, hwpt);
}

/* What a device sees while it is moved: old, nothing, new. */
typedef struct {
    Reach *r;
    guint n_maps, n_mixed, n_late;
    int ret;
} Watch;

static void watch_replace(void *user_data, unsigned long request, void *arg, int *ret)
{
    Watch *watch = user_data;
    gboolean old = reach_reads(watch->r, 0, reach_gpa(5)) >= 0;
    gboolean new = reach_reads(watch->r, 0, 0x40000000) >= 0;

    (void)arg;
    (void)ret;
    watch->n_maps += request == VFIO_IOMMU_MAP_DMA;
    watch->n_mixed += old && new;
    watch->n_late += request == VFIO_IOMMU_MAP_DMA && old;
}

static void test_replace(Reach *r)
{
    Watch watch = {r, 0, 0, 0, 0};
    ViommuiTable *table;
    guint32 hwpt;

    viommui_backend_table_new(r->hv, r->devices[0], &table, &hwpt);
    for (guint i = 0; i < 4; i++)
        viommui_backend_table_map(r->hv, table, 0x40000000 + i * REACH_PAGE, reach_gpa(i),
                                  REACH_PAGE, REACH_RW);
    reach_attach(r, 0, reach_identity(r));
    spy_reset_counts(&r->spy);
    r->spy.answer_data = &watch;
    r->spy.answer = watch_replace;
    tap_is(reach_attach(r, 0, hwpt), 0, "from IDENTITY to a table");
    r->spy.answer = NULL;
    tap_is(watch.n_maps, 4, "... that is made anew");
    tap_is(watch.n_mixed, 0, "... the two are never seen together");
    tap_is(watch.n_late, 0, "... for it passes through BLOCKED");
    tap_is((gint64)spy_count(&r->spy, VFIO_IOMMU_UNMAP_DMA), 1, "... by one unmap");
    tap_is(reach_reads(r, 0, 0x40000000), 0, "and is there in the end");
    reach_detach(r, 0);
    viommui_backend_table_free(r->hv, table, hwpt);
}

/* --- groups ----------------------------------------------------------------------------
 */

static void test_group_of_two(const char *container)
{
    Reach r;
    guint32 identity;

    reach_init(
        &r, &(ReachOptions){.backend = "legacy", .container = container, .n_devices = 2});
    identity = reach_identity(&r);
    tap_is(viommu_host_count_pinnings(r.host), 1, "%s: two devices of a group", container);
    tap_is((gint64)r.pinnings, 1, "... pin memory once");
    tap_ok(r.devices[0]->group == r.devices[1]->group, "... are known for one group");
    tap_is(reach_attach(&r, 0, identity), 0, "one is attached");
    tap_ok(reach_sees_memory(&r, 0) && reach_sees_memory(&r, 1), "... both are");
    spy_reset_counts(&r.spy);
    tap_is(reach_attach(&r, 1, identity), 0, "the other is attached");
    tap_is((gint64)r.spy.n_calls, 0, "... which is nothing new");
    tap_is(reach_detach(&r, 0), 0, "one is detached");
    tap_ok(reach_sees_nothing(&r, 0) && reach_sees_nothing(&r, 1), "... both are");
    spy_reset_counts(&r.spy);
    tap_is(reach_detach(&r, 1), 0, "and the other");
    tap_is((gint64)r.spy.n_calls, 0, "... which is nothing new");
    reach_attach(&r, 1, identity);
    viommu_host_device_free(r.devices[0]);
    r.devices[0] = NULL;
    tap_ok(reach_sees_nothing(&r, 1), "one is freed: the group is blocked");
    tap_is(reach_attach(&r, 1, identity), 0, "the other is attached again");
    tap_ok(reach_sees_memory(&r, 1), "... and lives on");
    reach_detach(&r, 1);
    reach_clear(&r);
}

static void test_two_groups(const char *container)
{
    Reach r;
    guint32 identity;

    reach_init(&r, &(ReachOptions){.backend = "legacy",
                                   .container = container,
                                   .n_devices = 4,
                                   .n_groups = 2});
    identity = reach_identity(&r);
    tap_is(viommu_host_count_pinnings(r.host), 2, "%s: two groups of two", container);
    tap_is((gint64)r.pinnings, 2, "... pin memory twice, as is told");
    tap_is(reach_attach(&r, 0, identity), 0, "one group at IDENTITY");
    tap_ok(reach_sees_memory(&r, 0) && reach_sees_memory(&r, 2), "... sees guest memory");
    tap_ok(reach_sees_nothing(&r, 1) && reach_sees_nothing(&r, 3), "... the other not");
    tap_is(reach_attach(&r, 1, identity), 0, "the other too");
    tap_ok(viommu_host_map(r.host, 0x8000000, REACH_PAGE, r.ram, REACH_RW, NULL),
           "more guest memory");
    tap_ok(reach_reads(&r, 0, 0x8000000) == 0 && reach_reads(&r, 3, 0x8000000) == 0,
           "... is seen by both");
    tap_is(reach_detach(&r, 2), 0, "one is detached");
    tap_ok(viommu_host_unmap(r.host, 0x8000000, REACH_PAGE, NULL), "unmapped");
    tap_is(reach_reads(&r, 3, 0x8000000), -EFAULT, "... it is not seen any more");
    tap_ok(reach_sees_nothing(&r, 0) && reach_sees_memory(&r, 1), "... the rest is");
    reach_detach(&r, 1);
    viommu_host_device_free(r.devices[3]);
    viommu_host_device_free(r.devices[1]);
    r.devices[1] = r.devices[3] = NULL;
    tap_is((gint64)r.pinnings, 1, "without the second group memory is pinned once");
    reach_clear(&r);
}

/* As core has them: BLOCKED until all of the group are in a vIOMMU's hands. */
static void test_verbs(void)
{
    Reach r;
    const guint8 config[16] = {1};
    const ViommuiStage1 stage1 = {config, sizeof config, FALSE};

    reach_init(&r, &(ReachOptions){.backend = "legacy", .n_devices = 2});
    tap_is(viommui_host_device_join(r.devices[0], r.hv), VIOMMU_OK, "in a vIOMMU's hands");
    tap_is(viommui_host_device_detach(r.devices[0], VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                                      VIOMMUI_FAIL_CLOSED),
           VIOMMU_OK, "to IDENTITY");
    tap_ok(reach_sees_nothing(&r, 0), "... not before the other of the group");
    tap_is(viommui_host_device_join(r.devices[1], r.hv), VIOMMU_OK, "which is, too");
    tap_is(viommui_host_device_detach(r.devices[1], VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                                      VIOMMUI_FAIL_CLOSED),
           VIOMMU_OK, "... to IDENTITY");
    tap_ok(reach_sees_memory(&r, 0) && reach_sees_memory(&r, 1), "both see guest memory");
    tap_is(
        viommui_host_device_bind(r.devices[0], VIOMMUI_NO_PASID, &stage1, VIOMMUI_KEEP_OLD),
        VIOMMU_UNSUPPORTED, "a stage 1 cannot be bound");
    tap_ok(reach_sees_memory(&r, 0), "... and all is as it was");
    tap_is(viommui_host_device_bind(r.devices[0], 5, &stage1, VIOMMUI_KEEP_OLD),
           VIOMMU_UNSUPPORTED, "nor a PASID");
    tap_is(viommui_host_device_set_virt_id(r.devices[0], 5), VIOMMU_UNSUPPORTED,
           "there are no vDEVICEs");
    tap_ok(reach_sees_nothing(&r, 1), "... for which the device was blocked");
    viommui_host_device_leave(r.devices[0]);
    viommui_host_device_leave(r.devices[1]);
    reach_clear(&r);
}

/* --- where devices come from -----------------------------------------------------------
 */

static void test_group_fds(gboolean hide_sysfs)
{
    struct vfio_group_status status = {.argsz = sizeof status};
    const char *when = hide_sysfs ? "without sysfs" : "with sysfs";
    const ViommuHostDeviceInfo *info;
    const ViommuSeam *seam;
    Reach r;

    reach_init(&r, &(ReachOptions){.backend = "legacy",
                                   .n_devices = 4,
                                   .n_groups = 2,
                                   .by_group_fd = TRUE,
                                   .hide_sysfs = hide_sysfs});
    seam = &r.spy.seam;
    tap_is(viommu_host_count_pinnings(r.host), 2, "%s: groups by their files", when);
    tap_ok(r.devices[0]->group == r.devices[2]->group &&
               r.devices[0]->group != r.devices[1]->group,
           "%s: ... members are known", when);
    tap_is(reach_attach(&r, 0, reach_identity(&r)), 0, "%s: one is attached", when);
    tap_ok(reach_sees_memory(&r, 2) && reach_sees_nothing(&r, 1),
           "%s: ... and no more than its group", when);
    info = viommu_host_device_get_info(r.devices[0]);
    tap_is(info->type, VIOMMU_IOMMU_NONE, "%s: nothing is known of its IOMMU", when);
    tap_ok(!info->can_nest && info->pasid_bits == 0, "%s: ... which does not nest", when);
    tap_ok(info->n_reserved == 1 && info->reserved[0].start == 0xfee00000 &&
               info->reserved[0].last == 0xfeefffff,
           "%s: ... but what it reserves", when);
    tap_ok(viommu_host_device_get_fd(r.devices[0]) >= 0, "%s: there is a device file",
           when);
    reach_detach(&r, 0);
    for (guint i = 0; i < 4; i++) {
        viommui_host_viommu_free(r.hv);
        r.hv = NULL;
        viommu_host_device_free(r.devices[i]);
        r.devices[i] = NULL;
    }
    tap_is(seam->ops->ioctl(seam->data, r.group_fds[0], VFIO_GROUP_GET_STATUS, &status), 0,
           "%s: a group's file is not closed", when);
    tap_is(status.flags, VFIO_GROUP_FLAGS_VIABLE, "%s: ... and has no container", when);
    r.devices[0] =
        viommu_host_device_new_from_group_fd(r.host, r.group_fds[0], r.bdfs[0], NULL);
    tap_ok(r.devices[0] != NULL, "%s: ... so that it can be used again", when);
    reach_clear(&r);
}

/* By address what came by a group's file; and memory that is mapped without devices. */
static void test_mixed(void)
{
    Reach r;
    int fd;

    reach_init_host(&r, &(ReachOptions){.backend = "legacy", .n_devices = 2});
    tap_ok(viommu_host_map(r.host, REACH_BASE, REACH_SIZE, r.ram, REACH_RW, NULL),
           "memory comes before devices");
    fd = r.spy.seam.ops->open(r.spy.seam.data, "/dev/vfio/0", O_RDWR);
    r.group_fds[0] = fd;
    spy_fail(&r.spy, VFIO_SET_IOMMU, 1, EIO, 1);
    tap_ok(!viommu_host_device_new_from_group_fd(r.host, fd, r.bdfs[0], NULL),
           "a container that the host does not set up");
    spy_fail_none(&r.spy);
    r.devices[0] = viommu_host_device_new_from_group_fd(r.host, fd, r.bdfs[0], NULL);
    r.devices[1] = viommu_host_device_new_from_bdf(r.host, r.bdfs[1], NULL);
    tap_ok(r.devices[0] && r.devices[1],
           "... is left; one by its group's file, one by its address");
    tap_ok(r.devices[0]->group == r.devices[1]->group, "... are of one group");
    reach_clear(&r);
}

typedef ViommuHostDevice *(*Open)(Reach *r, GError **error);

static ViommuHostDevice *open_path(Reach *r, GError **error)
{
    return viommu_host_device_new_from_path(r->host, "/dev/vfio/devices/vfio0", error);
}

static ViommuHostDevice *open_fd(Reach *r, GError **error)
{
    return viommu_host_device_new_from_fd(r->host, 77, VIOMMU_GROUP_ASK, error);
}

static ViommuHostDevice *open_bound(Reach *r, GError **error)
{
    return viommu_host_device_new_from_bound(r->host, 78, 3, VIOMMU_GROUP_ASK, error);
}

static ViommuHostDevice *open_bad_bdf(Reach *r, GError **error)
{
    return viommu_host_device_new_from_bdf(r->host, "02.0", error);
}

static ViommuHostDevice *open_no_bdf(Reach *r, GError **error)
{
    return viommu_host_device_new_from_bdf(r->host, "0000:07:00.0", error);
}

static ViommuHostDevice *open_no_group(Reach *r, GError **error)
{
    return viommu_host_device_new_from_group_fd(r->host, -1, "0000:00:02.0", error);
}

static ViommuHostDevice *open_nobody(Reach *r, GError **error)
{
    return viommu_host_device_new_from_group_fd(r->host, r->group_fds[0], NULL, error);
}

static ViommuHostDevice *open_stranger(Reach *r, GError **error)
{
    return viommu_host_device_new_from_group_fd(r->host, r->group_fds[0], "0000:00:03.0",
                                                error);
}

static ViommuHostDevice *open_no_file(Reach *r, GError **error)
{
    return viommu_host_device_new_from_group_fd(r->host, 79, "0000:00:02.0", error);
}

static ViommuHostDevice *open_busy(Reach *r, GError **error)
{
    return viommu_host_device_new_from_bdf(r->host, r->bdfs[0], error);
}

static void test_sources(void)
{
    static const struct {
        const char *name;
        Open open;
        const char *says;
        int code;
    } opens[] = {
        {"a cdev", open_path, "takes no cdev (/dev/vfio/devices/vfio0)",
         VIOMMU_ERROR_UNSUPPORTED},
        {"a cdev's file", open_fd, "takes no cdev (fd 77)", VIOMMU_ERROR_UNSUPPORTED},
        {"a bound one", open_bound, "takes no cdev (fd 78)", VIOMMU_ERROR_UNSUPPORTED},
        {"half an address", open_bad_bdf, "\"02.0\" is no PCI address",
         VIOMMU_ERROR_INVALID},
        {"nobody's address", open_no_bdf, "0000:07:00.0 has no IOMMU group",
         VIOMMU_ERROR_INVALID},
        {"no group", open_no_group, "fd -1 is no IOMMU group", VIOMMU_ERROR_INVALID},
        {"nobody of a group", open_nobody, "device (none)", VIOMMU_ERROR_INVALID},
        {"one of another group", open_stranger, "gives no VFIO device 0000:00:03.0",
         VIOMMU_ERROR_INVALID},
        {"no file", open_no_file, "fd 79 is no IOMMU group", VIOMMU_ERROR_INVALID},
        {"a group that is open", open_busy,
         "cannot open /dev/vfio/0, the IOMMU group of "
         "0000:00:02.0",
         VIOMMU_ERROR_TRANSIENT},
    };
    const ViommuSeam *seam;
    guint before;
    Reach r;

    reach_init_host(&r,
                    &(ReachOptions){.backend = "legacy", .n_devices = 2, .n_groups = 2});
    seam = &r.spy.seam;
    r.group_fds[0] = seam->ops->open(seam->data, "/dev/vfio/0", O_RDWR);
    before = reach_count(&r);
    for (guint i = 0; i < G_N_ELEMENTS(opens); i++) {
        g_autoptr(GError) error = NULL;

        tap_ok(!opens[i].open(&r, &error), "no device: %s", opens[i].name);
        tap_has(error->message, opens[i].says, "... as is said");
        tap_is(error->code, opens[i].code, "... with its class");
        tap_is(reach_count(&r), before, "... and nothing is left");
    }
    reach_clear(&r);
}

/* The state of a group, as the kernel might tell it. */
static void change_status(void *user_data, unsigned long request, void *arg, int *ret)
{
    struct vfio_group_status *status = arg;

    (void)ret;
    if (request == VFIO_GROUP_GET_STATUS)
        status->flags = *(guint32 *)user_data;
}

static void test_viability(void)
{
    const struct {
        guint32 flags;
        const char *says;
    } states[] = {
        {0, "IOMMU group 1 is not viable"},
        {VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET, "IOMMU group 1 (fd"},
    };
    Reach r;

    reach_init_host(&r,
                    &(ReachOptions){.backend = "legacy", .n_devices = 2, .n_groups = 2});
    for (guint i = 0; i < G_N_ELEMENTS(states); i++) {
        g_autoptr(GError) error = NULL;
        guint32 flags = states[i].flags;
        guint before = reach_count(&r);

        r.spy.answer_data = &flags;
        r.spy.answer = change_status;
        tap_ok(!viommu_host_device_new_from_bdf(r.host, r.bdfs[1], &error),
               "a group of flags 0x%x is not used", flags);
        tap_has(error->message, states[i].says, "... and named");
        tap_is(reach_count(&r), before, "... and nothing is left");
        r.spy.answer = NULL;
    }
    reach_clear(&r);
}

/* --- hosts -----------------------------------------------------------------------------
 */

/* An extension that this kernel does not have. */
static void hide_extension(void *user_data, unsigned long request, void *arg, int *ret)
{
    if (request == VFIO_CHECK_EXTENSION && arg == user_data)
        *ret = 0;
}

static void check_host(Reach *r, const ViommuHostConfig *like, const char *name,
                       const char *says)
{
    ViommuHostConfig config = *like;
    g_autoptr(GError) error = NULL;
    guint before = reach_count(r);

    config.seam = &r->spy.seam;
    tap_ok(!viommu_host_new(&config, &error), "no host: %s", name);
    tap_has(error->message, says, "... as is said");
    tap_is(reach_count(r), before, "... and nothing is left");
}

static void test_hosts(void)
{
    Reach r;

    reach_init_host(&r, &(ReachOptions){.backend = "legacy"});
    check_host(&r, &(ViommuHostConfig){.backend = "legacy", .iommufd = 7},
               "with an iommufd", "takes no iommufd: 7 with IOAS 0");
    check_host(&r, &(ViommuHostConfig){.backend = "legacy", .iommufd = 7, .ioas_id = 9},
               "with an IOAS", "takes no iommufd: 7 with IOAS 9");
    check_host(&r,
               &(ViommuHostConfig){
                   .backend = "legacy", .iommufd = -1, .container = "/dev/vfio/none"},
               "without a container", "cannot open /dev/vfio/none");
    check_host(&r,
               &(ViommuHostConfig){.backend = "legacy",
                                   .iommufd = -1,
                                   .container = "/dev/vfio/devices/vfio0"},
               "with something else", "cannot open /dev/vfio/devices/vfio0");
    r.spy.answer = hide_extension;
    r.spy.answer_data = GSIZE_TO_POINTER(VFIO_TYPE1v2_IOMMU);
    check_host(&r, &(ViommuHostConfig){.backend = "legacy", .iommufd = -1},
               "without type 1", "VFIO_TYPE1v2_IOMMU");
    r.spy.answer = NULL;
    reach_clear(&r);
}

static void test_not_legacy(void)
{
    const ViommuHostConfig config = {
        .backend = "iommufd", .iommufd = -1, .container = "/dev/vfio/vfio"};
    g_autoptr(GError) error = NULL;
    Reach r;

    if (!g_strv_contains(viommu_backend_names(), "iommufd")) {
        tap_skip("it is not in this build", "backend iommufd refuses what is legacy");
        return;
    }
    reach_init_host(&r, &(ReachOptions){.backend = "iommufd", .n_devices = 1});
    check_host(&r, &config, "iommufd with a container", "takes no VFIO container");
    tap_ok(!viommu_host_device_new_from_group_fd(r.host, 77, r.bdfs[0], &error),
           "no device: a group for iommufd");
    tap_has(error->message, "takes no IOMMU group (fd 77) for 0000:00:02.0",
            "... as is said");
    tap_is(viommu_host_count_pinnings(r.host), 1, "iommufd pins memory once");
    reach_clear(&r);
}

/* An older kernel cannot unmap everything in one call. */
static void test_no_unmap_all(void)
{
    Reach r;

    reach_init_host(&r, &(ReachOptions){.backend = "legacy", .n_devices = 1});
    r.spy.answer = hide_extension;
    r.spy.answer_data = GSIZE_TO_POINTER(VFIO_UNMAP_ALL);
    viommu_host_map(r.host, REACH_BASE, REACH_SIZE, r.ram, REACH_RW, NULL);
    r.devices[0] = viommu_host_device_new_from_bdf(r.host, r.bdfs[0], NULL);
    r.hv = viommui_host_viommu_new(
        r.devices[0], &(ViommuiHostViommuConfig){.type = VIOMMUI_DATA_VTD}, NULL);
    reach_attach(&r, 0, reach_identity(&r));
    tap_ok(reach_sees_memory(&r, 0), "an older kernel has IDENTITY");
    spy_fail(&r.spy, VFIO_IOMMU_UNMAP_DMA, 1, EIO, 1);
    tap_is(reach_detach(&r, 0), -EIO, "... a half that is refused");
    spy_fail_none(&r.spy);
    tap_is(reach_attach(&r, 0, reach_identity(&r)), 0, "... is had anew");
    tap_ok(reach_sees_memory(&r, 0), "... and whole");
    spy_reset_counts(&r.spy);
    tap_is(reach_detach(&r, 0), 0, "... and BLOCKED");
    tap_ok(reach_sees_nothing(&r, 0), "... with nothing mapped");
    tap_is((gint64)spy_count(&r.spy, VFIO_IOMMU_UNMAP_DMA), 2, "... in two halves");
    reach_clear(&r);
}

/* What there is not is refused in words, or as unsupported. */
static void test_lacking(Reach *r)
{
    const ViommuiHostViommuConfig configs[] = {
        {.type = VIOMMUI_DATA_VTD, .nest = TRUE},
        {.type = VIOMMUI_DATA_VTD, .pasids = TRUE},
        {.type = VIOMMUI_DATA_VTD, .page_requests = TRUE},
        {.type = VIOMMUI_DATA_VTD, .event_depth = 16},
    };
    const char *const says[] = {"nesting", "PASIDs", "page requests", "event queue"};
    ViommuiPageRequest request;
    guint64 lost = 7;
    gsize n = 7;

    for (guint i = 0; i < G_N_ELEMENTS(configs); i++) {
        g_autoptr(GError) error = NULL;

        tap_ok(!viommui_host_viommu_new(r->devices[0], &configs[i], &error),
               "a vIOMMU with %s", says[i]);
        tap_has(error->message, says[i], "... is refused by that name");
        tap_is(error->code, VIOMMU_ERROR_UNSUPPORTED, "... as unsupported");
    }
    tap_is(r->ops->read_events(NULL, NULL, 32, 1, &n, &lost), -EOPNOTSUPP, "no events");
    tap_ok(n == 0 && lost == 0, "... in numbers");
    n = 7;
    tap_is(r->ops->read_page_requests(NULL, &request, 1, &n), -EOPNOTSUPP,
           "no page requests");
    tap_is((gint64)n, 0, "... in numbers");
    tap_is(r->ops->respond(NULL, 1, TRUE), -EOPNOTSUPP, "... to be answered");
    r->ops->event_queue_free(NULL);
    r->ops->fault_queue_free(NULL);
    r->ops->hwpt_free(r->hv->backend, 1);
    r->ops->vdevice_free(r->devices[0]->backend);
    tap_is(r->ops->classify(VIOMMUI_CALL_INVALIDATE, EOPNOTSUPP), VIOMMU_UNSUPPORTED,
           "which is unsupported");
}

static void on_each(void (*test)(Reach *r))
{
    for (guint i = 0; i < 2 * G_N_ELEMENTS(containers); i++) {
        Reach r;

        tap_note("%s, guest memory %s", containers[i / 2],
                 i % 2 ? "in a file" : "by address");
        reach_init(&r, &(ReachOptions){.backend = "legacy",
                                       .container = containers[i / 2],
                                       .n_devices = 1,
                                       .by_fd = i % 2 != 0});
        test(&r);
        reach_clear(&r);
    }
}

int main(void)
{
    on_each(test_identity);
    on_each(test_memory_goes);
    on_each(test_replace);
    on_each(test_lacking);
    for (guint i = 0; i < G_N_ELEMENTS(containers); i++) {
        test_group_of_two(containers[i]);
        test_two_groups(containers[i]);
    }
    test_verbs();
    test_group_fds(FALSE);
    test_group_fds(TRUE);
    test_mixed();
    test_sources();
    test_viability();
    test_hosts();
    test_not_legacy();
    test_no_unmap_all();
    return tap_done();
}
