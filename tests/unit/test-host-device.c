/* SPDX-License-Identifier: MIT */
/*
 * The three verbs where no vendor takes them yet: the old attachment kept, a device that
 * came attached to something, states that verbs refuse. On the emulator, from the inside.
 */

#include "core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

#include <viommu-emulator/inspect.h>

#include "guest.h"
#include "tap.h"
#include "target.h"

enum { RAM_BASE = 0x1000000, RAM_SIZE = 0x100000, IOVA = 0x5000, CONFIG_SIZE = 16 };
enum { PASID = 7 };

typedef struct {
    Target target;
    ViommuHost *host;
    ViommuHostDevice *device;
    ViommuiHostViommu *hv;
    GuestMemory ram;
    GuestDomain domains[2];
    guint64 pages[2];
    guint8 configs[2][64];
} Bench;

static void refused(const ViommuTraceRecord *record, void *user_data)
{
    (void)user_data;
    if (record->point == VIOMMU_TRACE_REFUSED)
        tap_note("%s", record->message);
}

static void bench_init(Bench *b)
{
    guint64 abort[2] = {GUINT64_TO_LE(1)}, bypass[2] = {GUINT64_TO_LE(1 | 4 << 1)};
    const ViommuiHostViommuConfig config = {
        .type = VIOMMUI_DATA_ARM_SMMUV3,
        .nest = TRUE,
        .blocked_data = abort,
        .identity_data = bypass,
        .data_size = sizeof abort,
    };
    ViommuHostConfig host_config = VIOMMU_HOST_CONFIG_INIT;

    *b = (Bench){0};
    target_init(&b->target, 0, NULL, 1);
    host_config.seam = b->target.seam;
    b->host = viommu_host_new(&host_config, NULL);
    viommu_host_set_trace(b->host, refused, NULL);
    guest_memory_init(&b->ram, b->host, RAM_BASE, RAM_SIZE, FALSE, NULL);
    b->device = viommu_host_device_new_from_bdf(b->host, b->target.bdfs[0], NULL);
    b->hv = viommui_host_viommu_new(b->device, &config, NULL);
    for (guint i = 0; i < 2; i++) {
        guest_domain_init(&b->domains[i], &b->ram, 1 + i);
        b->pages[i] = guest_memory_alloc(&b->ram);
        guest_domain_map(&b->domains[i], IOVA, b->pages[i], TRUE);
        guest_ste_s1(b->configs[i], &b->domains[i]);
    }
}

static void bench_clear(Bench *b)
{
    viommui_host_device_leave(b->device);
    viommui_host_viommu_free(b->hv);
    viommu_host_device_free(b->device);
    guest_memory_clear(&b->ram);
    viommu_host_free(b->host);
    target_clear(&b->target);
}

static guint64 lands(Bench *b)
{
    guint64 at;

    if (viommu_emulator_peek(b->target.emulator, b->target.bdfs[0], IOVA, TRUE, &at) < 0)
        return G_MAXUINT64;
    return at;
}

static ViommuResult bind(Bench *b, guint i, ViommuiOnFailure on_failure)
{
    const ViommuiStage1 stage1 = {b->configs[i], CONFIG_SIZE, FALSE};

    return viommui_host_device_bind(b->device, VIOMMUI_NO_PASID, &stage1, on_failure);
}

static ViommuResult replace(Bench *b, guint i, ViommuiOnFailure on_failure)
{
    const ViommuiStage1 stage1 = {b->configs[i], CONFIG_SIZE, FALSE};

    return viommui_host_device_replace(b->device, VIOMMUI_NO_PASID, &stage1, on_failure);
}

static void test_states(Bench *b)
{
    tap_ok(viommu_host_device_get_info(b->device)->can_nest, "an SMMU may nest");
    tap_is(bind(b, 0, VIOMMUI_KEEP_OLD), VIOMMU_UNSUPPORTED,
           "nothing is bound outside a vIOMMU");
    tap_is(viommui_host_device_detach(b->device, VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                                      VIOMMUI_KEEP_OLD),
           VIOMMU_UNSUPPORTED, "... nor is there an identity");
    tap_is(viommui_host_device_join(b->device, b->hv), VIOMMU_OK, "in a vIOMMU's hands");
    tap_is(viommui_host_device_set_virt_id(b->device, 5), VIOMMU_OK, "and with a name");
    tap_is(replace(b, 0, VIOMMUI_KEEP_OLD), VIOMMU_UNSUPPORTED,
           "what is not bound is not replaced");
    tap_is(bind(b, 0, VIOMMUI_KEEP_OLD), VIOMMU_OK, "bind");
    tap_is(lands(b), b->pages[0], "... takes effect");
    tap_is(bind(b, 1, VIOMMUI_KEEP_OLD), VIOMMU_UNSUPPORTED,
           "what is bound is not bound elsewhere");
    tap_is(lands(b), b->pages[0], "... and stays");
    spy_reset_counts(&b->target.spy);
    tap_is(bind(b, 0, VIOMMUI_KEEP_OLD), VIOMMU_OK, "bind to the same");
    tap_is(replace(b, 0, VIOMMUI_KEEP_OLD), VIOMMU_OK, "replace by the same");
    tap_is(b->target.spy.n_calls, 0, "... make no call");
    tap_is(viommui_host_device_bind(b->device, PASID,
                                    &(ViommuiStage1){b->configs[0], CONFIG_SIZE, FALSE},
                                    VIOMMUI_KEEP_OLD),
           VIOMMU_UNSUPPORTED, "a PASID cannot be bound");
    tap_is(viommui_host_device_detach(b->device, PASID, VIOMMUI_IDENTITY, VIOMMUI_KEEP_OLD),
           VIOMMU_UNSUPPORTED, "... nor pass through");
    tap_is(viommui_host_device_detach(b->device, PASID, VIOMMUI_BLOCKED, VIOMMUI_KEEP_OLD),
           VIOMMU_OK, "... and is blocked, being attached nowhere");
    tap_is(replace(b, 1, VIOMMUI_KEEP_OLD), VIOMMU_OK, "replace by another");
    tap_is(lands(b), b->pages[1], "... takes effect");
    tap_is(replace(b, 0, VIOMMUI_KEEP_OLD), VIOMMU_OK, "and back");
}

/* After a failed replace the host may have anything; detach, then what is wanted. */
static void test_keep_old(Bench *b)
{
    Spy *spy = &b->target.spy;

    spy_reset_counts(spy);
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EINVAL, 1);
    tap_is(replace(b, 1, VIOMMUI_KEEP_OLD), VIOMMU_UNSUPPORTED, "a replace that fails");
    tap_is(lands(b), b->pages[0], "... keeps the old");
    tap_is(spy_count(spy, VFIO_DEVICE_DETACH_IOMMUFD_PT), 1, "... by way of a detach");
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 2, "... and an attach");
    tap_is(viommui_host_device_get_attachment(b->device, VIOMMUI_NO_PASID), VIOMMUI_NESTED,
           "... and says so");

    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EINVAL, 2);
    tap_is(replace(b, 1, VIOMMUI_KEEP_OLD), VIOMMU_UNSUPPORTED,
           "where the old cannot be had either");
    tap_is(lands(b), G_MAXUINT64, "... it is blocked");
    tap_is(viommui_host_device_get_attachment(b->device, VIOMMUI_NO_PASID), VIOMMUI_BLOCKED,
           "... and says so");
    tap_ok(!viommui_host_device_is_pending(b->device, VIOMMUI_NO_PASID), "... for good");

    tap_is(bind(b, 0, VIOMMUI_KEEP_OLD), VIOMMU_OK, "bound again");
    spy_reset_counts(spy);
    spy_fail(spy, IOMMU_HWPT_ALLOC, 1, ENODEV, 1);
    tap_is(replace(b, 1, VIOMMUI_KEEP_OLD), VIOMMU_HOST_GONE, "no HWPT for the new one");
    tap_is(lands(b), b->pages[0], "... keeps the old");
    tap_is(spy_count(spy, VFIO_DEVICE_DETACH_IOMMUFD_PT), 0, "... which was never touched");

    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EINVAL, 1);
    tap_is(viommui_host_device_detach(b->device, VIOMMUI_NO_PASID, VIOMMUI_IDENTITY,
                                      VIOMMUI_KEEP_OLD),
           VIOMMU_UNSUPPORTED, "an identity that is refused");
    tap_is(lands(b), b->pages[0], "... keeps the old");
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EINVAL, 9);
    tap_is(viommui_host_device_detach(b->device, VIOMMUI_NO_PASID, VIOMMUI_BLOCKED,
                                      VIOMMUI_KEEP_OLD),
           VIOMMU_OK, "blocking by the last resort");
    tap_is(lands(b), G_MAXUINT64, "... blocks");
    spy_fail_none(spy);
}

/* A host that does what it is asked, and says that it failed. */
static void test_unknown(Bench *b)
{
    Spy *spy = &b->target.spy;

    tap_is(bind(b, 0, VIOMMUI_KEEP_OLD), VIOMMU_OK, "bound");
    spy_fail(spy, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, EIO, 9);
    tap_is(viommui_host_device_set_virt_id(b->device, 6), VIOMMU_OK,
           "a new name needs no detach");
    spy_fail(spy, 0, 1, EIO, 99);
    tap_is(bind(b, 1, VIOMMUI_FAIL_CLOSED), VIOMMU_GUEST_INVALID,
           "a host that refuses everything");
    tap_is(viommui_host_device_get_attachment(b->device, VIOMMUI_NO_PASID), VIOMMUI_BLOCKED,
           "... is not believed");
    spy_fail_none(spy);
    tap_is(bind(b, 1, VIOMMUI_FAIL_CLOSED), VIOMMU_OK, "until it comes round");
    tap_is(lands(b), b->pages[1], "... and all is well");
}

/* The VMM had it attached itself, with its DMA going to guest memory. */
static void test_came_attached(void)
{
    Target target;
    const ViommuSeam *seam;
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    struct iommu_ioas_alloc ioas = {.size = sizeof ioas};
    struct vfio_device_bind_iommufd bind_cmd = {.argsz = sizeof bind_cmd};
    struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof attach};
    GuestMemory ram;
    ViommuHost *host;
    ViommuHostDevice *device;
    guint64 at;
    int cdev;

    target_init(&target, 0, NULL, 1);
    seam = target.seam;
    config.seam = seam;
    config.iommufd = seam->ops->open(seam->data, "/dev/iommu", O_RDWR);
    cdev = seam->ops->open(seam->data, "/dev/vfio/devices/vfio0", O_RDWR);
    bind_cmd.iommufd = config.iommufd;
    seam->ops->ioctl(seam->data, cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind_cmd);
    seam->ops->ioctl(seam->data, config.iommufd, IOMMU_IOAS_ALLOC, &ioas);
    config.ioas_id = ioas.out_ioas_id;
    host = viommu_host_new(&config, NULL);
    guest_memory_init(&ram, host, RAM_BASE, RAM_SIZE, FALSE, NULL);
    attach.pt_id = ioas.out_ioas_id;
    seam->ops->ioctl(seam->data, cdev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
    tap_is(viommu_emulator_peek(target.emulator, target.bdfs[0], RAM_BASE, TRUE, &at), 0,
           "a device comes with its DMA going to guest memory");
    device = viommu_host_device_new_from_bound(host, cdev, bind_cmd.out_devid,
                                               VIOMMU_GROUP_ASK, NULL);
    tap_is(viommui_host_device_detach(device, VIOMMUI_NO_PASID, VIOMMUI_BLOCKED,
                                      VIOMMUI_KEEP_OLD),
           VIOMMU_OK, "blocked");
    tap_is(viommu_emulator_peek(target.emulator, target.bdfs[0], RAM_BASE, TRUE, &at),
           -EFAULT, "... it is, though the library never attached it");
    viommu_host_device_free(device);
    guest_memory_clear(&ram);
    viommu_host_free(host);
    seam->ops->close(seam->data, cdev);
    seam->ops->close(seam->data, config.iommufd);
    target_clear(&target);
}

/* Of an SMMUv3, which can do the one and cannot do the other. */
static void test_memory(Bench *b)
{
    g_autoptr(GError) error = NULL;

    tap_ok(viommu_host_takes_read_only(b->host), "an SMMUv3 takes read-only memory");
    tap_ok(!viommu_host_can_track_dirty(b->host), "... and cannot say what was written");
    tap_ok(!viommu_host_set_dirty_tracking(b->host, TRUE, &error) &&
               g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED),
           "... nor is it asked to");
    tap_has(error->message, b->target.bdfs[0], "... which says whose it is");
}

/* What is freed too early is kept, and that is said. */
static void test_freed_too_early(Bench *b)
{
    viommu_host_device_free(b->device);
    tap_is(lands(b), b->pages[1], "a device in use is not freed");
    viommu_host_free(b->host);
    tap_is(lands(b), b->pages[1], "... nor is its host");
}

int main(void)
{
    Bench b;

    bench_init(&b);
    test_states(&b);
    test_keep_old(&b);
    test_unknown(&b);
    test_memory(&b);
    test_freed_too_early(&b);
    bench_clear(&b);
    test_came_attached();
    return tap_done();
}
