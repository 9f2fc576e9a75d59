/* SPDX-License-Identifier: MIT */
/*
 * The host-device contract as the SMMUv3 acceleration keeps it: what calls it makes and
 * does not make, what it leaves behind when they fail. Each point is one rule; all hold on
 * the emulator and on the kernel.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <string.h>

#include "machine.h"
#include "tap.h"

enum { PATTERN = 0x5a, OLD = 0x22, SIZE = 32 };
enum { ABORT = 0, BYPASS = 4, STAGE2 = 6 };

static DmaDevice dma;

/* Does the first device reach this page at MACHINE_IOVA (0: nothing at all)? */
static gboolean reaches(Machine *m, guint64 page)
{
    gboolean got_there;

    guest_memory_fill(&m->ram, m->page, OLD, SIZE);
    if (page)
        guest_memory_fill(&m->ram, page, OLD, SIZE);
    dma_store(&dma, MACHINE_IOVA, SIZE, NULL);
    got_there = guest_memory_is_filled(&m->ram, page ? page : m->page, PATTERN, SIZE);
    return page ? got_there : !got_there;
}

/* The buffer of the first device holds the pattern; its DMA goes nowhere afterwards. */
static void prime(Machine *m, const ViommuSeam *seam)
{
    g_autoptr(GError) error = NULL;
    guint64 page = guest_memory_alloc(&m->ram);

    guest_memory_fill(&m->ram, page, PATTERN, SIZE);
    tap_ok(dma_device_init(&dma, seam, m->devices[0], &error), "a device that does DMA");
    tap_is(machine_install_config(m, 0, BYPASS), VIOMMU_OK, "bypass");
    dma_load(&dma, page, SIZE, NULL);
    tap_is(machine_install_config(m, 0, ABORT), VIOMMU_OK, "abort");
}

static void test_calls(Machine *m, Spy *spy)
{
    spy_reset_counts(spy);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "a stage-1 entry is installed");
    tap_is(spy_count(spy, IOMMU_HWPT_ALLOC), 1, "... by one HWPT");
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 1, "... and one attach");
    tap_is(spy->n_calls, 2, "... and no other call");
    tap_ok(reaches(m, m->page), "... and DMA follows it");

    spy_reset_counts(spy);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "the same entry again");
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 0, "... makes no attach");
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 1,
           "... but invalidates cached descriptors");
    tap_is(spy->n_calls, 1, "... and that is all");

    spy_reset_counts(spy);
    tap_is(machine_install_config(m, 0, ABORT), VIOMMU_OK, "an abort entry");
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 1, "... is one attach");
    tap_is(spy_count(spy, IOMMU_HWPT_ALLOC), 0, "... of an HWPT that is there already");
    tap_is(spy_count(spy, IOMMU_DESTROY), 1, "... and the unused one goes");
    tap_ok(reaches(m, 0), "... and DMA is refused");
    spy_reset_counts(spy);
    tap_is(machine_install_config(m, 0, ABORT), VIOMMU_OK, "abort again");
    tap_is(viommu_smmuv3_accel_install_ste(m->accel, MACHINE_SID, NULL), VIOMMU_OK,
           "an entry that cannot be read");
    tap_is(spy->n_calls, 0, "... make no call at all");
    spy_reset_counts(spy);
    tap_is(viommu_smmuv3_accel_install_ste(m->accel, 0x999, NULL), VIOMMU_OK,
           "a stream without a device");
    tap_is(spy->n_calls, 0, "... makes no call");
}

static void test_batches(Machine *m, Spy *spy)
{
    enum { N = 4096 };
    g_autofree guint8 *commands = g_malloc0(N * VIOMMU_SMMUV3_COMMAND_SIZE);
    gsize handled;

    for (gsize i = 0; i < N; i++)
        if (i % 64 == 63)
            guest_cmd_sync(commands + i * VIOMMU_SMMUV3_COMMAND_SIZE);
        else
            guest_cmd_tlbi_va(commands + i * VIOMMU_SMMUV3_COMMAND_SIZE, MACHINE_ASID,
                              i << 12);
    spy_reset_counts(spy);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, N, &handled), VIOMMU_OK,
           "4,096 commands are forwarded");
    tap_is(handled, N, "... all of them handled");
    tap_ok(spy->n_calls <= 4, "... by no more than 4 host calls");
    tap_note("%" G_GUINT64_FORMAT " calls", spy->n_calls);

    spy_reset_counts(spy);
    guest_cmd_sync(commands);
    guest_cmd_raw(commands + 16, 0x01, 0);
    guest_cmd_raw(commands + 32, 0x05 | 0x999ull << 32, 0);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, 3, &handled), VIOMMU_OK,
           "SYNC, PREFETCH, and CFGI_CD for no device");
    tap_is(spy->n_calls, 0, "... complete without a host call");
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, NULL, 0, &handled), VIOMMU_OK,
           "no command");
    tap_is(handled, 0, "... is none handled");
}

/* A command that cannot be: everything before it is done. */
static void test_bad_command(Machine *m)
{
    guint64 other = guest_memory_alloc(&m->ram);
    guint8 commands[5 * VIOMMU_SMMUV3_COMMAND_SIZE];
    gsize handled = 99;

    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "stage 1");
    tap_ok(reaches(m, m->page), "the page is cached");
    guest_domain_map(&m->domain, MACHINE_IOVA, other, TRUE);
    tap_ok(reaches(m, m->page), "... and stale");
    guest_cmd_sync(commands);
    guest_cmd_tlbi_va(commands + 16, MACHINE_ASID, MACHINE_IOVA);
    guest_cmd_sync(commands + 32);
    guest_cmd_raw(commands + 48, 0x20, 0);
    guest_cmd_tlbi_all(commands + 64);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, 5, &handled),
           VIOMMU_GUEST_INVALID, "TLBI_EL2_ALL is illegal");
    tap_is(handled, 3, "... at its own index");
    tap_has(m->refusal, "opcode 0x20", "... and is named");
    tap_ok(reaches(m, other), "... with the invalidation before it done");
    guest_cmd_raw(commands, 0x03 | (guint64)MACHINE_SID << 32, 1);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, 1, &handled),
           VIOMMU_UNSUPPORTED, "CFGI_STE is not forwarded");
    guest_domain_map(&m->domain, MACHINE_IOVA, m->page, TRUE);
    guest_cmd_tlbi_all(commands);
    tap_is(machine_command(m, commands), VIOMMU_OK, "all is invalidated");
}

/* What the host refuses of a batch is found, whatever it counted. */
static void test_batch_error(Machine *m, Spy *spy)
{
    guint64 other = guest_memory_alloc(&m->ram);
    guint8 commands[3 * VIOMMU_SMMUV3_COMMAND_SIZE];
    gsize handled = 99;

    tap_ok(reaches(m, m->page), "the page is cached");
    guest_domain_map(&m->domain, MACHINE_IOVA, other, TRUE);
    guest_cmd_tlbi_va(commands, MACHINE_ASID, MACHINE_IOVA);
    guest_cmd_tlbi_va(commands + 16, MACHINE_ASID, 0x7000);
    guest_cmd_tlbi_va(commands + 32, MACHINE_ASID, 0x8000);
    spy_reset_counts(spy);
    spy_fail(spy, IOMMU_HWPT_INVALIDATE, 1, EIO, 1);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, 3, &handled), VIOMMU_OK,
           "a batch that fails as one succeeds one by one");
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 4, "... in as many calls more");
    tap_is(handled, 3, "... all handled");
    tap_ok(reaches(m, other), "... and all done");

    guest_domain_map(&m->domain, MACHINE_IOVA, m->page, TRUE);
    spy_fail(spy, IOMMU_HWPT_INVALIDATE, 1, EIO, 1);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, 1, &handled), VIOMMU_OK,
           "an only command is tried again too");
    tap_ok(reaches(m, m->page), "... and done");
    spy_fail(spy, IOMMU_HWPT_INVALIDATE, 1, EIO, 5);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, 3, &handled),
           VIOMMU_GUEST_INVALID, "one that the host goes on refusing is the guest's fault");
    tap_is(handled, 0, "... at its index");
    spy_fail(spy, IOMMU_HWPT_INVALIDATE, 1, ENODEV, 5);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, 3, &handled),
           VIOMMU_HOST_GONE, "a host that is gone is not");
    spy_fail(spy, IOMMU_HWPT_INVALIDATE, 1, ENOMEM, 2);
    spy_reset_counts(spy);
    tap_is(viommu_smmuv3_accel_invalidate(m->accel, commands, 3, &handled), VIOMMU_OK,
           "a moment without memory is ridden out");
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 3, "... within the same call");
    spy_fail_none(spy);
}

/* A refused stage-1 entry: never on the old table, and tried again the next time. */
static void test_refused_attach(Machine *m, Spy *spy)
{
    GuestDomain second;
    guint64 other = guest_memory_alloc(&m->ram);

    guest_domain_init(&second, &m->ram, MACHINE_ASID + 1);
    guest_domain_map(&second, MACHINE_IOVA, other, TRUE);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "bound to one table");
    tap_ok(reaches(m, m->page), "... which DMA follows");

    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EINVAL, 1);
    tap_is(machine_install_s1(m, 0, &second), VIOMMU_UNSUPPORTED,
           "the attach of another fails");
    tap_ok(reaches(m, 0), "... and DMA does not follow the old one");
    spy_reset_counts(spy);
    tap_is(machine_install_s1(m, 0, &second), VIOMMU_OK, "the same entry again");
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 1, "... is tried again");
    tap_ok(reaches(m, other), "... and works");

    spy_fail(spy, IOMMU_HWPT_ALLOC, 1, EIO, 1);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_GUEST_INVALID,
           "an entry that the host calls bad");
    tap_ok(reaches(m, 0), "... blocks");
    spy_fail(spy, IOMMU_HWPT_ALLOC, 1, ENOMEM, 2);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK,
           "a moment without memory is ridden out");
    tap_ok(reaches(m, m->page), "... and DMA follows");

    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, ENODEV, 9);
    tap_is(machine_install_s1(m, 0, &second), VIOMMU_HOST_GONE,
           "a host that attaches nothing");
    tap_ok(reaches(m, 0), "... blocks by detaching");
    spy_fail_none(spy);
    tap_is(machine_install_config(m, 0, STAGE2), VIOMMU_GUEST_INVALID, "an illegal entry");
    tap_has(m->refusal, "Config 6", "... is named");
    tap_ok(reaches(m, 0), "... and blocks");
}

/* EBUSY: a reset of the device is under way; not spun on, put off. */
static void test_busy(Machine *m, Spy *spy)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];

    guest_cmd_tlbi_all(command);
    tap_is(machine_install_config(m, 0, ABORT), VIOMMU_OK, "abort");
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EBUSY, 99);
    spy_reset_counts(spy);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_TRANSIENT,
           "the device is being reset");
    tap_ok(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT) <= 2, "... which is not spun on");
    tap_ok(reaches(m, 0), "... and blocks");
    tap_is(viommu_host_device_reset_done(m->devices[0]), VIOMMU_TRANSIENT,
           "done too early");
    spy_fail_none(spy);
    tap_is(viommu_host_device_reset_done(m->devices[0]), VIOMMU_OK, "the reset is done");
    tap_ok(reaches(m, m->page), "... and the change is made");
    tap_is(viommu_host_device_reset_done(m->devices[0]), VIOMMU_OK,
           "nothing is left to do");

    tap_is(machine_install_config(m, 0, ABORT), VIOMMU_OK, "abort");
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EBUSY, 99);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_TRANSIENT, "another reset");
    spy_fail_none(spy);
    tap_is(machine_command(m, command), VIOMMU_OK, "the guest's next invalidation");
    tap_ok(reaches(m, m->page), "... makes the change as well");
    spy_reset_counts(spy);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK,
           "the entry is known as installed");
    tap_is(spy_count(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 0, "... and not attached again");
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 1, "... but its invalidation is made");
}

/* What is put off is undone by what comes later, whatever that is. */
static void test_put_off(Machine *m, Spy *spy)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];

    guest_cmd_tlbi_all(command);
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EBUSY, 99);
    tap_is(machine_install_config(m, 0, BYPASS), VIOMMU_TRANSIENT, "a change is put off");
    tap_is(machine_install_config(m, 0, STAGE2), VIOMMU_GUEST_INVALID,
           "an illegal entry follows");
    spy_fail_none(spy);
    tap_is(machine_command(m, command), VIOMMU_OK, "the guest's next command");
    tap_ok(reaches(m, 0), "... does not bring back what was put off");

    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "stage 1");
    spy_fail(spy, 0, 1, EINVAL, 99);
    tap_is(machine_install_config(m, 0, ABORT), VIOMMU_HOST_GONE,
           "a host that does not even detach");
    tap_ok(reaches(m, m->page), "... cannot be helped");
    spy_fail_none(spy);
    tap_is(machine_command(m, command), VIOMMU_OK, "but with the guest's next command");
    tap_ok(reaches(m, 0), "... the device is blocked");
    spy_reset_counts(spy);
    tap_is(machine_command(m, command), VIOMMU_OK, "and with the one after that");
    tap_is(spy->n_calls, 1, "... nothing is left to do");
}

/* The device is being reset, and the guest goes on. */
static void test_busy_is_cheap(Machine *m, Spy *spy)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];

    guest_cmd_sync(command);
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EBUSY, 999);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_TRANSIENT, "a change is put off");
    spy_reset_counts(spy);
    for (guint i = 0; i < 100; i++)
        machine_command(m, command);
    tap_ok(spy->n_calls <= 200, "a hundred commands try it by two calls each at most");
    spy_fail_none(spy);
    tap_is(machine_install_config(m, 0, ABORT), VIOMMU_OK, "abort");
}

static void test_stream_ids(Machine *m)
{
    g_autoptr(GError) error = NULL;

    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "stage 1");
    tap_ok(!viommu_smmuv3_accel_set_stream_id(m->accel, m->devices[0], 0x10000, &error),
           "a StreamID beyond SIDSIZE is refused");
    tap_has(error->message, "0x10000", "... and named");
    g_clear_error(&error);
    tap_ok(reaches(m, 0), "... and the device aborts, wherever the guest thinks it is");
    tap_ok(viommu_smmuv3_accel_set_stream_id(m->accel, m->devices[0], MACHINE_SID, &error),
           "its old StreamID is to be had again");
    tap_ok(!viommu_smmuv3_accel_attach_device(m->accel, m->devices[0], 1, &error),
           "a device is attached once");
    tap_has(error->message, "attached already", "... and that is said");
    g_clear_error(&error);
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "stage 1");
    tap_ok(viommu_smmuv3_accel_set_stream_id(m->accel, m->devices[0],
                                             VIOMMU_SMMUV3_SID_UNKNOWN, &error),
           "the StreamID becomes unknown");
    tap_ok(reaches(m, 0), "... and the device aborts");
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "entries for the old one");
    tap_ok(reaches(m, 0), "... do nothing");
    tap_ok(viommu_smmuv3_accel_set_stream_id(m->accel, m->devices[0], MACHINE_SID, &error),
           "it is known again");
    tap_ok(reaches(m, 0), "... and aborts until an entry is installed");
    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "which it is");
    tap_ok(reaches(m, m->page), "... and DMA follows");
}

static void test_map(Machine *m)
{
    g_autoptr(GError) error = NULL;

    tap_ok(!viommu_host_map(m->host, MACHINE_RAM_BASE + 4096, 4096, m->ram.bytes,
                            VIOMMU_MAP_READ, &error),
           "an overlapping map is refused");
    tap_has(error->message, "0x1001000", "... naming the address");
    g_clear_error(&error);
    tap_ok(!viommu_host_map(m->host, 0x300000, 0, m->ram.bytes, VIOMMU_MAP_READ, &error),
           "an empty map is refused");
    g_clear_error(&error);
    tap_ok(!viommu_host_map(m->host, 0x300000, 4096, m->ram.bytes, 0, &error),
           "a map without access is refused");
    g_clear_error(&error);
    tap_ok(!viommu_host_map(m->host, 0x300001, 4096, m->ram.bytes, VIOMMU_MAP_READ, &error),
           "an unaligned map is refused by the host");
    tap_has(error->message, "0x300001", "... naming the address");
    g_clear_error(&error);
    tap_ok(
        !viommu_host_map(m->host, 0x8000000, 4096, m->ram.bytes, VIOMMU_MAP_READ, &error),
        "a map over the MSI window is refused by the host");
    g_clear_error(&error);
    tap_ok(!viommu_host_map_fd(m->host, 0x300000, 4096, -1, 0, VIOMMU_MAP_READ, &error),
           "a map of no file is refused");
    g_clear_error(&error);
    tap_ok(!viommu_host_unmap(m->host, MACHINE_RAM_BASE, 4096, &error),
           "a part of a map is not unmapped");
    tap_has(error->message, "0x1000000", "... naming the address");
    g_clear_error(&error);
}

static void test_reset(Machine *m, Spy *spy)
{
    g_autoptr(GError) error = NULL;

    tap_is(machine_install_s1(m, 0, &m->domain), VIOMMU_OK, "stage 1");
    tap_ok(viommu_smmuv3_accel_block(m->accel, &error), "everything is blocked");
    tap_ok(reaches(m, 0), "... and DMA refused");
    spy_fail(spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EINVAL, 1);
    tap_ok(!viommu_smmuv3_accel_release(m->accel, TRUE, &error),
           "a release that fails is reported");
    tap_has(error ? error->message : NULL, "released", "... in words");
    tap_ok(reaches(m, 0), "... and leaves what could not be released blocked");
    g_clear_error(&error);
    tap_ok(viommu_smmuv3_accel_release(m->accel, FALSE, &error), "released to abort");
    tap_ok(reaches(m, 0), "... and DMA refused");
}

/* With descriptors that the VMM holds; the library gives back what it was given. */
static void test_given_descriptors(Target *target)
{
    const ViommuSeamOps *ops = target->seam->ops;
    g_autofree char *dir =
        g_strdup_printf("/sys/bus/pci/devices/%s/vfio-dev", target->bdfs[0]);
    g_auto(GStrv) names = NULL;
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;
    struct iommu_ioas_alloc ioas = {.size = sizeof ioas};
    struct vfio_device_bind_iommufd bind = {.argsz = sizeof bind};
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    ViommuHostDevice *device;
    ViommuHost *host;
    int iommufd, cdev;

    tap_is(ops->list_dir(target->seam->data, dir, &names), 0, "the device's cdev is found");
    path = g_strdup_printf("/dev/vfio/devices/%s", names[0]);
    iommufd = ops->open(target->seam->data, "/dev/iommu", O_RDWR);
    cdev = ops->open(target->seam->data, path, O_RDWR);
    tap_is(ops->ioctl(target->seam->data, iommufd, IOMMU_IOAS_ALLOC, &ioas), 0,
           "a VMM has an iommufd, an IOAS, a cdev");

    config.seam = target->seam;
    config.iommufd = iommufd;
    config.ioas_id = ioas.out_ioas_id;
    host = viommu_host_new(&config, &error);
    device = viommu_host_device_new_from_fd(host, cdev, VIOMMU_GROUP_ASK, &error);
    tap_ok(device != NULL, "the library takes them");
    tap_is(viommu_host_device_get_info(device)->type, VIOMMU_IOMMU_ARM_SMMUV3,
           "... and uses them");
    tap_is(viommu_host_device_get_fd(device), cdev, "... itself");
    viommu_host_device_free(device);
    viommu_host_free(host);

    bind.iommufd = iommufd;
    tap_is(ops->ioctl(target->seam->data, cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind), -EINVAL,
           "the cdev is open still, and bound");
    {
        struct iommu_destroy destroy = {.size = sizeof destroy, .id = ioas.out_ioas_id};

        tap_is(ops->ioctl(target->seam->data, iommufd, IOMMU_DESTROY, &destroy), 0,
               "the IOAS is there still");
    }
    ops->close(target->seam->data, cdev);
    ops->close(target->seam->data, iommufd);

    iommufd = ops->open(target->seam->data, "/dev/iommu", O_RDWR);
    cdev = ops->open(target->seam->data, path, O_RDWR);
    bind.iommufd = iommufd;
    tap_is(ops->ioctl(target->seam->data, cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind), 0,
           "a VMM has bound its device itself");
    config.iommufd = iommufd;
    config.ioas_id = 0;
    host = viommu_host_new(&config, &error);
    device = viommu_host_device_new_from_bound(host, cdev, bind.out_devid, VIOMMU_GROUP_ASK,
                                               &error);
    tap_ok(device != NULL, "the library takes it as it is");
    viommu_host_device_free(device);
    viommu_host_free(host);
    ops->close(target->seam->data, cdev);
    ops->close(target->seam->data, iommufd);
}

static void test_bad_sources(Target *target)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    g_autoptr(GError) error = NULL;
    ViommuHost *host;

    config.backend = "telepathy";
    tap_ok(!viommu_host_new(&config, &error), "an unknown backend is refused");
    tap_has(error->message, "telepathy", "... by name");
    g_clear_error(&error);
    config.backend = NULL;
    config.ioas_id = 7;
    tap_ok(!viommu_host_new(&config, &error), "an IOAS without its iommufd is refused");
    g_clear_error(&error);
    config.ioas_id = 0;
    config.seam = target->seam;
    host = viommu_host_new(&config, &error);
    tap_ok(!viommu_host_device_new_from_bdf(host, "02.0", &error),
           "a malformed BDF is refused");
    tap_has(error->message, "\"02.0\"", "... by name");
    g_clear_error(&error);
    tap_ok(!viommu_host_device_new_from_bdf(host, "00ff:00:1f.7", &error),
           "a function that is not there is refused");
    tap_has(error->message, "00ff:00:1f.7", "... by name");
    g_clear_error(&error);
    tap_ok(!viommu_host_device_new_from_path(host, "/dev/vfio/devices/vfio99", &error),
           "a cdev that is not there is refused");
    tap_has(error->message, "vfio99", "... by name");
    viommu_host_free(host);
}

int main(int argc, char **argv)
{
    Target target;
    Machine m;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    test_bad_sources(&target);
    test_given_descriptors(&target);
    if (tap_ok(machine_init(&m, target.seam, target.first, 0), "a machine")) {
        prime(&m, target.seam);
        test_calls(&m, &target.spy);
        test_batches(&m, &target.spy);
        test_bad_command(&m);
        test_batch_error(&m, &target.spy);
        test_refused_attach(&m, &target.spy);
        test_busy(&m, &target.spy);
        test_put_off(&m, &target.spy);
        test_busy_is_cheap(&m, &target.spy);
        test_stream_ids(&m);
        test_map(&m);
        test_reset(&m, &target.spy);
        machine_clear(&m);
    }
    target_clear(&target);
    return tap_done();
}
