/* SPDX-License-Identifier: MIT */
/*
 * The emulator's VFIO of old where only an emulator can be asked: several devices in one
 * group, several IOMMUs in one container, and DMA of a device that nobody has open.
 * What a kernel can be asked too is tests/uapi/test-vfio.c and test-type1.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include <viommu-emulator/emulator.h>
#include <viommu-emulator/inspect.h>

#include "tap.h"

enum { PAGE = 4096, MEMORY = 64 * PAGE, IOVA = 0x100000 };

/* Group 0: one device of an SMMU; group 1: two; group 2: one of another SMMU. */
typedef struct {
    ViommuEmulator *emulator;
    const ViommuSeam *seam;
    guint8 *memory;
} Host;

static void host_init(Host *host)
{
    static const struct {
        guint iommu;
        int group;
    } devices[] = {{0, 0}, {0, 1}, {0, 1}, {1, 2}};
    ViommuEmulatorSmmuv3Config config;

    host->emulator = viommu_emulator_new();
    host->seam = viommu_emulator_get_seam(host->emulator);
    viommu_emulator_smmuv3_defaults(&config);
    viommu_emulator_add_smmuv3(host->emulator, &config);
    viommu_emulator_add_smmuv3(host->emulator, &config);
    for (guint i = 0; i < G_N_ELEMENTS(devices); i++) {
        g_autofree char *bdf = g_strdup_printf("0000:00:%02x.0", 2 + i);
        const ViommuEmulatorDeviceConfig device = {.bdf = bdf,
                                                   .iommu = devices[i].iommu,
                                                   .stream_id = 16 + i,
                                                   .iommu_group = devices[i].group};

        viommu_emulator_add_device(host->emulator, &device, NULL);
    }
    host->memory =
        mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void host_clear(Host *host)
{
    viommu_emulator_free(host->emulator);
    munmap(host->memory, MEMORY);
}

static int host_open(Host *host, const char *path)
{
    return host->seam->ops->open(host->seam->data, path, O_RDWR);
}

static int host_close(Host *host, int fd)
{
    return host->seam->ops->close(host->seam->data, fd);
}

static int host_ioctl(Host *host, int fd, unsigned long request, void *arg)
{
    return host->seam->ops->ioctl(host->seam->data, fd, request, arg);
}

static int host_number(Host *host, int fd, unsigned long request, guint number)
{
    return host_ioctl(host, fd, request, GUINT_TO_POINTER(number));
}

static int host_string(Host *host, int fd, unsigned long request, const char *text)
{
    g_autofree char *copy = g_strdup(text);

    return host_ioctl(host, fd, request, copy);
}

static int map(Host *host, int fd, guint64 iova, guint page, guint64 size, guint32 flags)
{
    struct vfio_iommu_type1_dma_map cmd = {
        .argsz = sizeof(cmd),
        .flags = flags,
        .vaddr = (uintptr_t)host->memory + (guint64)page * PAGE,
        .iova = iova,
        .size = size,
    };

    return host_ioctl(host, fd, VFIO_IOMMU_MAP_DMA, &cmd);
}

static int host_dma(Host *host, const char *bdf, guint64 iova, gboolean write)
{
    guint64 value = 0x55;

    return viommu_emulator_dma(host->emulator, bdf, iova, &value, sizeof(value), write);
}

/* A container with that group, and the group. */
static int make_container(Host *host, const char *path, int *ret_group)
{
    int container = host_open(host, "/dev/vfio/vfio");

    *ret_group = host_open(host, path);
    tap_is(host_ioctl(host, *ret_group, VFIO_GROUP_SET_CONTAINER, &container), 0,
           "a container of %s", path);
    tap_is(host_number(host, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0,
           "... of type 1");
    return container;
}

static void test_lives(Host *host)
{
    int group;
    int container = make_container(host, "/dev/vfio/0", &group);
    int device = host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:02.0");

    map(host, container, IOVA, 0, PAGE, 3);
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), 0, "DMA");
    tap_is(host->memory[0], 0x55, "... has come through");
    host_close(host, group);
    host_close(host, container);
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), 0,
           "the device keeps them all alive");
    host_close(host, device);
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), -EFAULT, "then nothing is left");
    container = make_container(host, "/dev/vfio/0", &group);
    map(host, container, IOVA, 0, PAGE, 3);
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), 0,
           "a group in a container has its domain before a device is opened");
    tap_is(host_number(host, group, VFIO_GROUP_UNSET_CONTAINER, 0), 0, "it leaves");
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), -EFAULT, "... and has none");
    host_close(host, group);
    host_close(host, container);
}

/* A group of two devices. */
static void test_two_devices(Host *host)
{
    int group;
    int container = make_container(host, "/dev/vfio/1", &group);
    int first = host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
    int second = host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");

    tap_ok(first >= 0 && second >= 0, "a group hands out both its devices");
    map(host, container, IOVA, 0, PAGE, 3);
    tap_is(host_dma(host, "0000:00:03.0", IOVA, TRUE), 0, "a mapping is for one");
    tap_is(host_dma(host, "0000:00:04.0", IOVA, TRUE), 0, "... and the other");
    host_close(host, first);
    tap_is(host_number(host, group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY,
           "one is closed, and the other keeps the container");
    tap_is(host_dma(host, "0000:00:03.0", IOVA, TRUE), 0, "... for both");
    host_close(host, second);
    tap_is(host_number(host, group, VFIO_GROUP_UNSET_CONTAINER, 0), 0,
           "it can be left now");
    host_close(host, group);
    host_close(host, container);
}

/* Groups of two IOMMUs in one container, each with a domain of its own. */
static void test_two_iommus(Host *host)
{
    int group;
    int container = make_container(host, "/dev/vfio/0", &group);
    int other = host_open(host, "/dev/vfio/2");
    int device;

    map(host, container, IOVA, 0, PAGE, 3);
    tap_is(host_ioctl(host, other, VFIO_GROUP_SET_CONTAINER, &container), 0,
           "a group joins behind another IOMMU");
    device = host_string(host, other, VFIO_GROUP_GET_DEVICE_FD, "0000:00:05.0");
    tap_is(host_dma(host, "0000:00:05.0", IOVA, TRUE), 0, "and sees what was mapped");
    host_close(host, group);
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), -EFAULT, "one leaves");
    tap_is(host_dma(host, "0000:00:05.0", IOVA, TRUE), 0, "the other stays");
    host_close(host, device);
    host_close(host, other);
    host_close(host, container);
}

static int bind_cdev(Host *host, int cdev, int iommufd)
{
    struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommufd};

    return host_ioctl(host, cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

/* A group's own file, and the cdevs of its two devices. */
static void test_exclusion(Host *host)
{
    int iommufd = host_open(host, "/dev/iommu");
    int first = host_open(host, "/dev/vfio/devices/vfio1");
    int second = host_open(host, "/dev/vfio/devices/vfio2");
    int group;

    tap_is(bind_cdev(host, first, iommufd), 0, "a cdev is bound");
    tap_is(bind_cdev(host, second, iommufd), 0, "... and another of the same group");
    host_close(host, first);
    tap_is(host_open(host, "/dev/vfio/1"), -EBUSY, "one cdev is enough to keep it closed");
    host_close(host, second);
    group = host_open(host, "/dev/vfio/1");
    tap_ok(group >= 0, "without cdevs it can be opened");
    host_close(host, group);
    host_close(host, iommufd);
}

/* An iommufd as the container of a group of two devices. */
static void test_compat(Host *host)
{
    struct iommu_vfio_ioas ioas = {.size = sizeof(ioas), .op = IOMMU_VFIO_IOAS_GET};
    struct iommu_destroy destroy = {.size = sizeof(destroy)};
    int iommufd = host_open(host, "/dev/iommu");
    int group = host_open(host, "/dev/vfio/1");
    int first, second;

    tap_is(host_ioctl(host, group, VFIO_GROUP_SET_CONTAINER, &iommufd), 0,
           "an iommufd is a container");
    map(host, iommufd, IOVA, 0, PAGE, 3);
    first = host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
    tap_is(host_dma(host, "0000:00:03.0", IOVA, TRUE), 0, "a device does DMA");
    tap_is(host_dma(host, "0000:00:04.0", IOVA, TRUE), 0,
           "... and the other of its group, which shares its domain");
    second = host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
    host_close(host, first);
    tap_is(host_dma(host, "0000:00:03.0", IOVA, TRUE), 0,
           "both do until the last is closed");
    host_ioctl(host, iommufd, IOMMU_VFIO_IOAS, &ioas);
    destroy.id = ioas.ioas_id;
    tap_is(host_ioctl(host, iommufd, IOMMU_DESTROY, &destroy), -EBUSY,
           "the IOAS is in use");
    host_close(host, second);
    tap_is(host_dma(host, "0000:00:04.0", IOVA, TRUE), -EFAULT, "then neither");
    tap_is(host_ioctl(host, iommufd, IOMMU_DESTROY, &destroy), 0, "... and it can go");
    host_close(host, group);
    host_close(host, iommufd);
}

/* The caller's memory files are mapped, and nothing that is emulated. */
static void test_mmap(Host *host)
{
    const ViommuSeamOps *ops = host->seam->ops;
    int memfd = memfd_create("test", MFD_CLOEXEC);
    int iommufd = host_open(host, "/dev/iommu");
    void *first, *second;

    tap_is(ftruncate(memfd, 2 * PAGE), 0, "a memory file");
    tap_is(ops->mmap(host->seam->data, memfd, PAGE, PAGE, TRUE, &first), 0,
           "... is mapped");
    tap_is(ops->mmap(host->seam->data, memfd, 0, 2 * PAGE, FALSE, &second), 0,
           "... and again");
    *(guint8 *)first = 7;
    tap_is(((guint8 *)second)[PAGE], 7, "... shared, from its offset on");
    tap_is(ops->munmap(host->seam->data, first, PAGE), 0, "it is unmapped");
    tap_is(ops->munmap(host->seam->data, second, 2 * PAGE), 0, "... both times");
    tap_is(ops->mmap(host->seam->data, iommufd, 0, PAGE, TRUE, &first), -ENODEV,
           "an emulated file cannot be");
    tap_is(ops->mmap(host->seam->data, memfd, 8, PAGE, TRUE, &first), -EINVAL,
           "nor a part of a page");
    viommu_emulator_fail_call(host->emulator, VIOMMU_EMULATOR_CALL_ANY, 1, ENOMEM, FALSE);
    tap_is(ops->mmap(host->seam->data, memfd, 0, PAGE, TRUE, &first), -ENOMEM,
           "it fails on demand");
    host_close(host, iommufd);
    close(memfd);
}

int main(void)
{
    Host host;

    host_init(&host);
    test_lives(&host);
    test_two_devices(&host);
    test_two_iommus(&host);
    test_exclusion(&host);
    test_compat(&host);
    test_mmap(&host);
    tap_is(viommu_emulator_count_objects(host.emulator, VIOMMU_EMULATOR_OBJECT_FD), 0,
           "no descriptor is left");
    host_clear(&host);
    return tap_done();
}
