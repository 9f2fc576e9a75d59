/* SPDX-License-Identifier: MIT */
/*
 * /dev/vfio/vfio: a container, in which groups share one set of mappings.
 *
 * Invariants: it lives while its descriptor or a group in it does. It has a type 1 driver
 * from VFIO_SET_IOMMU, which needs a group, until the last group leaves.
 *
 * Up: fds.c, vfio-group.c. Down: type1.c.
 */
#include "vfio.h"

static void container_unref(EmuContainer *container)
{
    if (--container->refs == 0) {
        g_ptr_array_unref(container->groups);
        g_free(container);
    }
}

static void container_release(EmuFd *file)
{
    container_unref(file->object);
}

int viommui_emu_container_attach(EmuContainer *container, EmuVfioGroup *group)
{
    int ret = group->group->owner ? -EPERM : viommui_emu_group_claim(group->group, group);

    if (ret < 0) {
        return ret;
    }
    if (container->type1) {
        ret = viommui_emu_type1_attach(container->type1, group->group);
    }
    if (ret < 0) {
        viommui_emu_group_release(group->group);
        return ret;
    }
    group->container = container;
    group->container_users = 1;
    g_ptr_array_insert(container->groups, 0, group);
    container->refs++;
    return 0;
}

void viommui_emu_container_detach(EmuVfioGroup *group)
{
    EmuContainer *container = group->container;

    if (container->type1) {
        viommui_emu_type1_detach(container->type1, group->group);
    }
    viommui_emu_group_release(group->group);
    group->container = NULL;
    group->container_users = 0;
    g_ptr_array_remove(container->groups, group);
    if (container->type1 && !container->groups->len) {
        viommui_emu_type1_free(container->type1);
        container->type1 = NULL;
    }
    container_unref(container);
}

static int attach_groups(EmuContainer *container, EmuType1 *type1)
{
    for (guint i = 0; i < container->groups->len; i++) {
        EmuVfioGroup *group = g_ptr_array_index(container->groups, i);
        int ret = viommui_emu_type1_attach(type1, group->group);

        if (ret < 0) {
            while (i-- > 0) {
                group = g_ptr_array_index(container->groups, i);
                viommui_emu_type1_detach(type1, group->group);
            }
            return ret;
        }
    }
    return 0;
}

static int set_iommu(EmuContainer *container, unsigned long type)
{
    EmuType1 *type1;
    int ret;

    if (!container->groups->len || container->type1) {
        return -EINVAL;
    }
    if (viommui_emu_type1_check_extension(NULL, type) <= 0) {
        return -ENODEV;
    }
    if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU) {
        return -EINVAL;
    }
    type1 = viommui_emu_type1_new(type == VFIO_TYPE1v2_IOMMU);
    ret = attach_groups(container, type1);
    if (ret < 0) {
        viommui_emu_type1_free(type1);
        return ret;
    }
    container->type1 = type1;
    return 0;
}

static int container_ioctl(EmuFd *file, unsigned long request, void *arg)
{
    EmuContainer *container = file->object;
    unsigned long number = (unsigned long)(uintptr_t)arg;

    switch (request) {
    case VFIO_GET_API_VERSION:
        return VFIO_API_VERSION;
    case VFIO_CHECK_EXTENSION:
        return viommui_emu_type1_check_extension(container->type1, number);
    case VFIO_SET_IOMMU:
        return set_iommu(container, number);
    default:
        return container->type1 ? viommui_emu_type1_ioctl(container->type1, request, arg)
                                : -EINVAL;
    }
}

static const EmuFdOps container_ops = {
    .release = container_release,
    .ioctl = container_ioctl,
    .read = viommui_emu_fd_no_read,
    .write = viommui_emu_fd_no_write,
    .pread = viommui_emu_fd_no_pread,
    .pwrite = viommui_emu_fd_no_pwrite,
    .pollable = FALSE,
};

EmuContainer *viommui_emu_container_from_file(EmuFd *file)
{
    return file->ops == &container_ops ? file->object : NULL;
}

int viommui_emu_container_open(ViommuEmulator *emulator, const char *path)
{
    EmuContainer *container = g_new0(EmuContainer, 1);
    int fd;

    container->refs = 1;
    container->groups = g_ptr_array_new();
    fd = viommui_emu_fd_new(emulator, path, &container_ops, container);
    if (fd < 0) {
        container_unref(container);
    }
    return fd;
}
