/* SPDX-License-Identifier: MIT */
/*
 * The rig of legacy.h: groups are found by sysfs, and everything goes by the target's seam.
 */
#include "legacy.h"

#include "tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static void must(gint64 ret, const char *what)
{
    if (ret < 0) {
        printf("Bail out! %s: %s\n", what, g_strerror((int)-ret));
        exit(1);
    }
}

static void must_not_fail(gboolean ok, const GError *error)
{
    if (!ok) {
        printf("Bail out! %s\n", error->message);
        exit(1);
    }
}

static void start(Uapi *u)
{
    GError *error = NULL;

    must_not_fail(
        guest_memory_init(&u->ram, NULL, UAPI_RAM_BASE, UAPI_RAM_SIZE, FALSE, &error),
        error);
    u->fill = guest_memory_alloc(&u->ram);
    u->spare = guest_memory_alloc(&u->ram);
    guest_memory_fill(&u->ram, u->fill, UAPI_FILL, GUEST_PAGE);
}

int legacy_main(int argc, char **argv, const LegacyTest *tests, guint n_tests)
{
    Uapi u;

    if (!uapi_init(&u, argc, argv))
        return 1;
    for (guint i = 0; i < n_tests; i++) {
        start(&u);
        tests[i](&u);
        uapi_stop(&u);
    }
    uapi_clear(&u);
    return tap_done();
}

int legacy_open(Uapi *u, const char *path)
{
    return u->seam->ops->open(u->seam->data, path, O_RDWR);
}

int legacy_open_group(Uapi *u, guint n)
{
    g_autofree char *link =
        g_strdup_printf("/sys/bus/pci/devices/%s/iommu_group", u->target.bdfs[n]);
    g_autofree char *path = NULL;
    char target[256];
    gssize ret = u->seam->ops->read_link(u->seam->data, link, target, sizeof target);

    if (ret < 0)
        return (int)ret;
    path = g_strdup_printf("/dev/vfio%s", strrchr(target, '/'));
    return legacy_open(u, path);
}

int legacy_open_container(Uapi *u)
{
    return legacy_open(u, "/dev/vfio/vfio");
}

int legacy_number(Uapi *u, int fd, unsigned long request, gulong number)
{
    return uapi_cdev_ioctl(u, fd, request, GSIZE_TO_POINTER(number));
}

int legacy_set_container(Uapi *u, int group, int container)
{
    return uapi_cdev_ioctl(u, group, VFIO_GROUP_SET_CONTAINER, &container);
}

int legacy_group_flags(Uapi *u, int group)
{
    struct vfio_group_status status = {.argsz = sizeof status};
    int ret = uapi_cdev_ioctl(u, group, VFIO_GROUP_GET_STATUS, &status);

    return ret < 0 ? ret : (int)status.flags;
}

int legacy_get_device(Uapi *u, int group, const char *name)
{
    g_autofree char *copy = g_strdup(name);

    return uapi_cdev_ioctl(u, group, VFIO_GROUP_GET_DEVICE_FD, copy);
}

int legacy_use_device(Uapi *u, int group, guint n)
{
    GError *error = NULL;
    int fd = legacy_get_device(u, group, u->target.bdfs[n]);

    if (fd >= 0)
        must_not_fail(dma_device_init_fd(&u->dma[n], u->seam, fd, &error), error);
    return fd;
}

void legacy_make(Uapi *u, Legacy *l, guint type)
{
    l->container = legacy_open_container(u);
    must(l->container, "/dev/vfio/vfio");
    l->group = legacy_open_group(u, 0);
    must(l->group, "the group");
    must(legacy_set_container(u, l->group, l->container), "VFIO_GROUP_SET_CONTAINER");
    must(legacy_number(u, l->container, VFIO_SET_IOMMU, type), "VFIO_SET_IOMMU");
    l->device = legacy_use_device(u, l->group, 0);
    must(l->device, "VFIO_GROUP_GET_DEVICE_FD");
    must(legacy_map_page(u, l->container, LEGACY_FILL, u->fill), "VFIO_IOMMU_MAP_DMA");
    must(legacy_map_page(u, l->container, LEGACY_SPARE, u->spare), "VFIO_IOMMU_MAP_DMA");
    uapi_prime(u, 0, LEGACY_FILL);
}

void legacy_close(Uapi *u, Legacy *l)
{
    uapi_close(u, l->device);
    uapi_close(u, l->group);
    uapi_close(u, l->container);
}

int legacy_map(Uapi *u, int fd, guint64 iova, const void *va, guint64 size, guint32 flags)
{
    struct vfio_iommu_type1_dma_map cmd = {.argsz = sizeof cmd,
                                           .flags = flags,
                                           .vaddr = (guintptr)va,
                                           .iova = iova,
                                           .size = size};

    return uapi_cdev_ioctl(u, fd, VFIO_IOMMU_MAP_DMA, &cmd);
}

int legacy_map_page(Uapi *u, int fd, guint64 iova, guint64 gpa)
{
    return legacy_map(u, fd, iova, guest_memory_at(&u->ram, gpa), LEGACY_PAGE, LEGACY_RW);
}

gint64 legacy_unmap(Uapi *u, int fd, guint64 iova, guint64 size, guint32 flags)
{
    struct vfio_iommu_type1_dma_unmap cmd = {
        .argsz = sizeof cmd, .flags = flags, .iova = iova, .size = size};
    int ret = uapi_cdev_ioctl(u, fd, VFIO_IOMMU_UNMAP_DMA, &cmd);

    return ret < 0 ? ret : (gint64)cmd.size;
}
