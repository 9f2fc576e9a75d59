/* SPDX-License-Identifier: MIT */
/*
 * The emulator's VFIO of old: groups, containers, type 1; an iommufd in a container's
 * place; and how groups and cdevs keep out of each other's way.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

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

static int group_flags(Host *host, int group)
{
    struct vfio_group_status status = {.argsz = sizeof(status)};
    int ret = host_ioctl(host, group, VFIO_GROUP_GET_STATUS, &status);

    return ret < 0 ? ret : (int)status.flags;
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

/* The bytes that went, or a negated errno. */
static gint64 unmap(Host *host, int fd, guint64 iova, guint64 size, guint32 flags)
{
    struct vfio_iommu_type1_dma_unmap cmd = {
        .argsz = sizeof(cmd), .flags = flags, .iova = iova, .size = size};
    int ret = host_ioctl(host, fd, VFIO_IOMMU_UNMAP_DMA, &cmd);

    return ret < 0 ? ret : (gint64)cmd.size;
}

static int host_dma(Host *host, const char *bdf, guint64 iova, gboolean write)
{
    guint64 value = 0x55;

    return viommu_emulator_dma(host->emulator, bdf, iova, &value, sizeof(value), write);
}

static void test_setup(Host *host)
{
    int container = host_open(host, "/dev/vfio/vfio");
    int group = host_open(host, "/dev/vfio/0");
    struct vfio_device_feature feature = {.argsz = sizeof(feature),
                                          .flags = VFIO_DEVICE_FEATURE_PROBE |
                                                   VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY};
    int device;

    tap_is(host_open(host, "/dev/vfio/7"), -ENOENT, "no such group");
    tap_is(host_open(host, "/dev/vfio/0"), -EBUSY, "a group is opened once");
    tap_is(host_number(host, container, VFIO_GET_API_VERSION, 0), 0, "the version is 0");
    tap_is(host_number(host, container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU), 1,
           "type 1 version 2 is there");
    tap_is(host_number(host, container, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_IOMMU), 0,
           "another machine's is not");
    tap_is(host_number(host, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL,
           "no IOMMU without a group");
    tap_is(map(host, container, IOVA, 0, PAGE, 3), -EINVAL, "no mapping without an IOMMU");
    tap_is(group_flags(host, group), VFIO_GROUP_FLAGS_VIABLE, "the group is viable");
    tap_is(host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:02.0"), -EINVAL,
           "no device without a container");
    tap_is(host_number(host, group, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL,
           "no container to leave");
    tap_is(host_ioctl(host, group, VFIO_GROUP_SET_CONTAINER, &(int){9999}), -EBADF,
           "a container that is not open");
    tap_is(host_ioctl(host, group, VFIO_GROUP_SET_CONTAINER, &group), -EBADFD,
           "one that is none");
    tap_is(host_ioctl(host, group, VFIO_GROUP_SET_CONTAINER, &container), 0, "a container");
    tap_is(host_ioctl(host, group, VFIO_GROUP_SET_CONTAINER, &container), -EINVAL, "once");
    tap_is(group_flags(host, group),
           VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET, "the group tells");
    tap_is(host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:02.0"), -EINVAL,
           "no device without an IOMMU");
    tap_is(host_number(host, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), -ENODEV,
           "an IOMMU that is not there");
    tap_is(host_number(host, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0, "type 1");
    tap_is(host_number(host, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL,
           "once");
    tap_is(host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0"), -ENODEV,
           "a device of another group");
    tap_is(host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:02.0 x"), -EINVAL,
           "a device with a token that it does not have");
    device = host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:02.0");
    tap_ok(device >= 0, "a device");
    tap_is(host_number(host, device, VFIO_DEVICE_RESET, 0), -EINVAL,
           "which works at once, but has no reset");
    tap_is(host_ioctl(host, device, VFIO_DEVICE_FEATURE, &feature), 0, "it has low power");
    feature.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_MIGRATION;
    tap_is(host_ioctl(host, device, VFIO_DEVICE_FEATURE, &feature), -ENOTTY,
           "but cannot migrate");
    tap_is(host_number(host, group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY,
           "the container cannot be left");
    tap_is(map(host, container, IOVA, 0, PAGE, 3), 0, "a mapping");
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), 0, "DMA");
    tap_is(host->memory[0], 0x55, "has come through");
    host_close(host, group);
    host_close(host, container);
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), 0,
           "the device keeps them all alive");
    tap_is(host_open(host, "/dev/vfio/0"), -EBUSY, "the group too");
    host_close(host, device);
    tap_is(host_dma(host, "0000:00:02.0", IOVA, TRUE), -EFAULT, "then nothing is left");
    group = host_open(host, "/dev/vfio/0");
    tap_ok(group >= 0, "and the group can be opened");
    host_close(host, group);
}

/* A container of that type with group 0, and its group. */
static int make_container(Host *host, guint type, int *ret_group)
{
    int container = host_open(host, "/dev/vfio/vfio");

    *ret_group = host_open(host, "/dev/vfio/0");
    host_ioctl(host, *ret_group, VFIO_GROUP_SET_CONTAINER, &container);
    tap_is(host_number(host, container, VFIO_SET_IOMMU, type), 0, "a container of type %u",
           type);
    return container;
}

static void test_map(Host *host)
{
    int group;
    int container = make_container(host, VFIO_TYPE1v2_IOMMU, &group);

    tap_is(map(host, container, IOVA, 0, PAGE, 0), -EINVAL, "map: no permission");
    tap_is(map(host, container, IOVA, 0, PAGE, 8), -EINVAL, "map: unknown flag");
    tap_is(map(host, container, IOVA, 0, 0, 3), -EINVAL, "map: nothing");
    tap_is(map(host, container, IOVA + 1, 0, PAGE, 3), -EINVAL, "map: unaligned");
    tap_is(map(host, container, ~0ULL - PAGE + 1, 0, 2 * PAGE, 3), -EOVERFLOW,
           "map: beyond the end");
    tap_is(map(host, container, 1ULL << 60, 0, PAGE, 3), -EINVAL, "map: no such IOVA");
    tap_is(map(host, container, 0x8000000, 0, PAGE, 3), -EINVAL, "map: reserved");
    tap_is(map(host, container, IOVA, 0, 4 * PAGE, 3), 0, "map");
    tap_is(map(host, container, IOVA + PAGE, 8, PAGE, 3), -EEXIST, "map: again");
    tap_is(map(host, container, IOVA + 8 * PAGE, 8, PAGE, 1), 0, "map: read only");
    tap_is(host_dma(host, "0000:00:02.0", IOVA + 8 * PAGE, TRUE), -EFAULT, "is obeyed");
    tap_is(unmap(host, container, IOVA, PAGE, 0), -EINVAL, "unmap: a part");
    tap_is(unmap(host, container, IOVA + PAGE, PAGE, 0), -EINVAL, "unmap: the middle");
    tap_is(unmap(host, container, IOVA, 0, 0), -EINVAL, "unmap: nothing");
    tap_is(unmap(host, container, IOVA + 32 * PAGE, PAGE, 0), 0, "unmap: where none is");
    tap_is(unmap(host, container, IOVA, 16 * PAGE, 0), 5 * PAGE, "unmap: more than all");
    map(host, container, IOVA, 0, PAGE, 3);
    map(host, container, IOVA + PAGE, 1, PAGE, 3);
    tap_is(unmap(host, container, IOVA, PAGE, VFIO_DMA_UNMAP_FLAG_ALL), -EINVAL,
           "unmap: all of a range");
    tap_is(unmap(host, container, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 2 * PAGE, "unmap: all");
    host_close(host, group);
    host_close(host, container);

    container = make_container(host, VFIO_TYPE1_IOMMU, &group);
    tap_is(map(host, container, IOVA, 0, 4 * PAGE, 3), 0, "version 1: map");
    tap_is(unmap(host, container, IOVA + PAGE, PAGE, 0), 0,
           "version 1: the middle is left, and no error");
    tap_is(unmap(host, container, IOVA, PAGE, 0), 4 * PAGE,
           "version 1: the start takes all");
    host_close(host, group);
    host_close(host, container);
}

static void test_vaddr(Host *host)
{
    int group;
    int container = make_container(host, VFIO_TYPE1v2_IOMMU, &group);

    tap_is(host_number(host, container, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 1,
           "addresses can be updated");
    map(host, container, IOVA, 0, PAGE, 3);
    tap_is(map(host, container, IOVA, 4, PAGE, VFIO_DMA_MAP_FLAG_VADDR), -EINVAL,
           "but not one that is in use");
    tap_is(unmap(host, container, IOVA, PAGE, VFIO_DMA_UNMAP_FLAG_VADDR), PAGE,
           "it is taken back");
    tap_is(unmap(host, container, IOVA, PAGE, VFIO_DMA_UNMAP_FLAG_VADDR), -EINVAL, "once");
    map(host, container, IOVA, 4, PAGE, VFIO_DMA_MAP_FLAG_VADDR);
    unmap(host, container, IOVA, PAGE, VFIO_DMA_UNMAP_FLAG_VADDR);
    tap_is(map(host, container, IOVA + PAGE, 4, PAGE, VFIO_DMA_MAP_FLAG_VADDR), -ENOENT,
           "given where nothing is");
    tap_is(map(host, container, IOVA, 4, PAGE, VFIO_DMA_MAP_FLAG_VADDR), 0, "and given");
    host_close(host, group);
    host_close(host, container);
}

static void test_info(Host *host)
{
    union {
        struct vfio_iommu_type1_info info;
        guint8 bytes[512];
    } answer = {.info = {.argsz = sizeof(struct vfio_iommu_type1_info)}};
    guint ids[8] = {0};
    guint n = 0;
    int group;
    int container = make_container(host, VFIO_TYPE1v2_IOMMU, &group);
    const struct vfio_info_cap_header *cap;

    map(host, container, IOVA, 0, PAGE, 3);
    tap_is(host_ioctl(host, container, VFIO_IOMMU_GET_INFO, &answer.info), 0, "info");
    tap_is((gint64)(answer.info.iova_pgsizes & -answer.info.iova_pgsizes), PAGE,
           "the smallest page");
    tap_is(answer.info.cap_offset, 0, "there is no room for more");
    tap_ok(answer.info.argsz > sizeof(struct vfio_iommu_type1_info), "which there is");
    tap_is(host_ioctl(host, container, VFIO_IOMMU_GET_INFO, &answer.info), 0, "all of it");
    for (guint32 at = answer.info.cap_offset; at && n < G_N_ELEMENTS(ids); at = cap->next) {
        cap = (const void *)(answer.bytes + at);
        ids[n++] = cap->id;
        if (cap->id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
            tap_is(
                ((const struct vfio_iommu_type1_info_dma_avail *)(const void *)cap)->avail,
                65534, "one mapping is in use");
        if (cap->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
            tap_is(((const struct vfio_iommu_type1_info_cap_iova_range *)(const void *)cap)
                       ->nr_iovas,
                   2, "IOVAs on either side of the doorbells");
    }
    tap_ok(n == 3 && ids[0] == VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION &&
               ids[1] == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL &&
               ids[2] == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
           "the chain is in the kernel's order");
    answer.info.argsz = 4;
    tap_is(host_ioctl(host, container, VFIO_IOMMU_GET_INFO, &answer.info), -EINVAL,
           "too small to ask");
    host_close(host, group);
    host_close(host, container);
}

static int dirty(Host *host, int fd, guint32 flags)
{
    struct vfio_iommu_type1_dirty_bitmap cmd = {.argsz = sizeof(cmd), .flags = flags};

    return host_ioctl(host, fd, VFIO_IOMMU_DIRTY_PAGES, &cmd);
}

static int get_bitmap(Host *host, int fd, guint64 iova, guint64 size, guint64 *bits)
{
    guint8 cmd[sizeof(struct vfio_iommu_type1_dirty_bitmap) +
               sizeof(struct vfio_iommu_type1_dirty_bitmap_get)];
    const struct vfio_iommu_type1_dirty_bitmap head = {
        .argsz = sizeof(cmd), .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP};
    const struct vfio_iommu_type1_dirty_bitmap_get get = {
        .iova = iova,
        .size = size,
        .bitmap = {.pgsize = PAGE, .size = 8, .data = (__u64 *)(void *)bits},
    };

    memcpy(cmd, &head, sizeof(head));
    memcpy(cmd + sizeof(head), &get, sizeof(get));
    return host_ioctl(host, fd, VFIO_IOMMU_DIRTY_PAGES, cmd);
}

static void test_dirty(Host *host)
{
    guint64 bits = 1;
    int group;
    int container = make_container(host, VFIO_TYPE1v2_IOMMU, &group);

    map(host, container, IOVA + 2 * PAGE, 0, 3 * PAGE, 3);
    tap_is(get_bitmap(host, container, IOVA, 16 * PAGE, &bits), -EINVAL,
           "no bitmap before tracking");
    tap_is(dirty(host, container, 0), -EINVAL, "dirty: neither on nor off");
    tap_is(dirty(host, container, 3), -EINVAL, "dirty: both");
    tap_is(dirty(host, container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0, "dirty: on");
    tap_is(get_bitmap(host, container, IOVA, 16 * PAGE, &bits), 0, "a bitmap");
    tap_is((gint64)bits, 0x1d, "all that is mapped, and what was set before it");
    tap_is(get_bitmap(host, container, IOVA + 3 * PAGE, PAGE, &bits), -EINVAL,
           "a mapping cannot be cut");
    tap_is(get_bitmap(host, container, IOVA, 65 * PAGE, &bits), -EINVAL,
           "more than the bitmap holds");
    tap_is(dirty(host, container, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0, "dirty: off");
    host_close(host, group);
    host_close(host, container);
    container = make_container(host, VFIO_TYPE1_IOMMU, &group);
    tap_is(dirty(host, container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START), -EACCES,
           "dirty: not in version 1");
    host_close(host, group);
    host_close(host, container);
}

/* Groups of two IOMMUs in one container, each with a domain of its own. */
static void test_two_groups(Host *host)
{
    int group;
    int container = make_container(host, VFIO_TYPE1v2_IOMMU, &group);
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
    tap_is(map(host, container, IOVA, 0, PAGE, 3), -EINVAL,
           "without groups a container has no IOMMU");
    host_close(host, container);
}

static int bind_cdev(Host *host, int cdev, int iommufd)
{
    struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = iommufd};

    return host_ioctl(host, cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

static void test_exclusion(Host *host)
{
    int iommufd = host_open(host, "/dev/iommu");
    int container = host_open(host, "/dev/vfio/vfio");
    int cdev = host_open(host, "/dev/vfio/devices/vfio1");
    int group = host_open(host, "/dev/vfio/1");
    int device;

    tap_is(bind_cdev(host, cdev, iommufd), -EBUSY, "a cdev keeps away from an open group");
    host_close(host, group);
    tap_is(bind_cdev(host, cdev, iommufd), 0, "and can have a closed one");
    tap_is(host_open(host, "/dev/vfio/1"), -EBUSY, "which then cannot be opened");
    host_close(host, cdev);
    group = host_open(host, "/dev/vfio/1");
    tap_ok(group >= 0, "until the cdev is closed");
    host_ioctl(host, group, VFIO_GROUP_SET_CONTAINER, &container);
    host_number(host, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
    device = host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
    tap_is(bind_cdev(host, device, iommufd), -EINVAL,
           "a group's device has no use for an iommufd");
    host_close(host, device);
    host_close(host, group);
    host_close(host, container);
    host_close(host, iommufd);
}

static void test_compat(Host *host)
{
    struct iommu_vfio_ioas ioas = {.size = sizeof(ioas), .op = IOMMU_VFIO_IOAS_GET};
    struct iommu_destroy destroy = {.size = sizeof(destroy)};
    int iommufd = host_open(host, "/dev/iommu");
    int group = host_open(host, "/dev/vfio/1");
    int device;

    tap_is(host_number(host, iommufd, VFIO_GET_API_VERSION, 0), 0,
           "an iommufd has a version");
    tap_is(host_number(host, iommufd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -ENODEV,
           "but no IOMMU without a group");
    tap_is(host_ioctl(host, iommufd, IOMMU_VFIO_IOAS, &ioas), -ENODEV, "nor an IOAS");
    tap_is(host_ioctl(host, group, VFIO_GROUP_SET_CONTAINER, &iommufd), 0,
           "it is a container");
    tap_is(host_ioctl(host, iommufd, IOMMU_VFIO_IOAS, &ioas), 0, "with an IOAS");
    tap_is(host_number(host, iommufd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0, "of version 1");
    tap_is(map(host, iommufd, IOVA, 0, 4 * PAGE, 3), 0, "a mapping");
    device = host_string(host, group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:03.0");
    tap_ok(device >= 0, "a device");
    tap_is(host_dma(host, "0000:00:03.0", IOVA, TRUE), 0, "DMA");
    tap_is(unmap(host, iommufd, IOVA + PAGE, PAGE, 0), PAGE, "a hole in the mapping");
    tap_is(host_dma(host, "0000:00:03.0", IOVA + PAGE, TRUE), -EFAULT, "is one");
    tap_is(host_dma(host, "0000:00:03.0", IOVA + 2 * PAGE, TRUE), 0, "the rest is there");
    tap_is(unmap(host, iommufd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 3 * PAGE, "and goes");
    tap_is(host_number(host, iommufd, VFIO_IOMMU_DIRTY_PAGES, 0), -ENOTTY,
           "it has no dirty tracking");
    destroy.id = ioas.ioas_id;
    tap_is(host_ioctl(host, iommufd, IOMMU_DESTROY, &destroy), -EBUSY,
           "the IOAS is in use");
    host_close(host, device);
    tap_is(host_ioctl(host, iommufd, IOMMU_DESTROY, &destroy), 0, "then it can go");
    tap_is(map(host, iommufd, IOVA, 0, PAGE, 3), -ENODEV, "and is missed");
    host_close(host, group);
    host_close(host, iommufd);
}

int main(void)
{
    Host host;

    host_init(&host);
    test_setup(&host);
    test_map(&host);
    test_vaddr(&host);
    test_info(&host);
    test_dirty(&host);
    test_two_groups(&host);
    test_exclusion(&host);
    test_compat(&host);
    tap_is(viommu_emulator_count_objects(host.emulator, VIOMMU_EMULATOR_OBJECT_FD), 0,
           "no descriptor is left");
    host_clear(&host);
    return tap_done();
}
