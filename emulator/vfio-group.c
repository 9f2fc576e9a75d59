/* SPDX-License-Identifier: MIT */
/*
 * /dev/vfio/GROUP: a group's own file, which joins a container (or an iommufd in its
 * place) and hands out its devices.
 *
 * Invariants: one file at a time, and none while a cdev of the group is bound. In a
 * container, open devices keep the group's file alive after its descriptor is closed;
 * with an iommufd they keep the iommufd alive instead.
 *
 * Up: fds.c. Down: vfio-container.c, vfio-iommufd.c, vfio-cdev.c for a device's file.
 */
#include "vfio.h"

EmuVfioGroup *viommui_emu_vfio_group(EmuGroup *group)
{
    if (!group->vfio) {
        group->vfio = g_new0(EmuVfioGroup, 1);
        group->vfio->group = group;
    }
    return group->vfio;
}

int viommui_emu_vfio_group_block(EmuGroup *group)
{
    EmuVfioGroup *vfio = viommui_emu_vfio_group(group);

    if (vfio->opened) {
        return -EBUSY;
    }
    vfio->n_cdevs++;
    return 0;
}

void viommui_emu_vfio_group_unblock(EmuGroup *group)
{
    group->vfio->n_cdevs--;
}

static gboolean has_iommu(const EmuVfioGroup *group)
{
    return group->container || group->iommufd;
}

static void put_iommufd(EmuVfioGroup *group)
{
    if (group->iommufd) {
        viommui_emu_iommufd_unref(group->iommufd);
        group->iommufd = NULL;
    }
}

/* The file is gone for good. */
static void release(EmuVfioGroup *group)
{
    if (group->container) {
        viommui_emu_container_detach(group);
    }
    put_iommufd(group);
    group->opened = FALSE;
    group->forgotten = FALSE;
}

static void group_release(EmuFd *file)
{
    EmuVfioGroup *group = file->object;

    if (group->container_users > 1) {
        group->forgotten = TRUE;
    } else {
        release(group);
    }
}

void viommui_emu_vfio_group_put_device(EmuVfioGroup *group, EmuDevice *device)
{
    if (device->idev) {
        viommui_emu_vfio_unbind(device->idev);
        return;
    }
    group->container_users--;
    if (group->forgotten && group->container_users == 1) {
        release(group);
    }
}

void viommui_emu_vfio_group_forget(EmuVfioGroup *group)
{
    if (group->container) {
        viommui_emu_container_detach(group);
    }
}

/* An IOMMU group goes with its last device, while the file may still be open. */
static gboolean is_gone(const EmuVfioGroup *group)
{
    return !group->group->devices->len;
}

static int get_status(EmuVfioGroup *group, void *arg)
{
    struct vfio_group_status status;
    int ret = viommui_emu_copy_from_user(&status, arg, sizeof(status));

    if (ret < 0) {
        return ret;
    }
    if (status.argsz < sizeof(status)) {
        return -EINVAL;
    }
    if (is_gone(group)) {
        return -ENODEV;
    }
    status.flags = 0;
    if (has_iommu(group)) {
        status.flags = VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
    } else if (!group->group->owner) {
        status.flags = VFIO_GROUP_FLAGS_VIABLE;
    }
    return viommui_emu_copy_to_user(arg, &status, sizeof(status));
}

static int set_container(EmuVfioGroup *group, ViommuEmulator *emulator, const void *arg)
{
    EmuIommufd *ctx = NULL;
    EmuContainer *container;
    EmuFd *file;
    gint32 fd;
    int not_iommufd;
    int ret = viommui_emu_copy_from_user(&fd, arg, sizeof(fd));

    if (ret < 0) {
        return ret;
    }
    /* A descriptor that is none of the emulator's is a file of another kind. */
    not_iommufd = viommui_emu_iommufd_from_fd(emulator, fd, &ctx);
    if (not_iommufd == -EBADF) {
        return -EBADF;
    }
    if (has_iommu(group)) {
        return -EINVAL;
    }
    if (is_gone(group)) {
        return -ENODEV;
    }
    file = viommui_emu_fd_find(emulator, fd);
    container = file ? viommui_emu_container_from_file(file) : NULL;
    if (container) {
        return viommui_emu_container_attach(container, group);
    }
    if (not_iommufd < 0) {
        return not_iommufd;
    }
    viommui_emu_vfio_ioas_create(ctx);
    viommui_emu_iommufd_ref(ctx);
    group->iommufd = ctx;
    return 0;
}

static int unset_container(EmuVfioGroup *group)
{
    if (!has_iommu(group)) {
        return -EINVAL;
    }
    if (group->container) {
        if (group->container_users != 1) {
            return -EBUSY;
        }
        viommui_emu_container_detach(group);
    }
    put_iommufd(group);
    return 0;
}

/* "BDF", with blanks behind it at most: a VF's token is for those who have one. */
static int match_name(const EmuDevice *device, const char *name)
{
    gsize length = strlen(device->bdf);

    if (strncmp(name, device->bdf, length) || (name[length] && name[length] != ' ')) {
        return 0;
    }
    name += length;
    return name[strspn(name, " ")] ? -EINVAL : 1;
}

static int find_device(const EmuVfioGroup *group, const char *name, EmuDevice **ret_device)
{
    for (guint i = 0; i < group->group->devices->len; i++) {
        EmuDevice *device = g_ptr_array_index(group->group->devices, i);
        int ret = device->gone ? 0 : match_name(device, name);

        if (ret < 0) {
            return ret;
        }
        if (ret) {
            *ret_device = device;
            return 0;
        }
    }
    return -ENODEV;
}

/* A string of the caller's, terminated within a page. */
static int copy_name(char name[EMU_PAGE_SIZE], const char *user)
{
    for (gsize i = 0; i < EMU_PAGE_SIZE; i++) {
        const void *from = viommui_emu_user_ptr((guint64)(uintptr_t)user + i);
        int ret = viommui_emu_copy_from_user(&name[i], from, 1);

        if (ret < 0) {
            return ret;
        }
        if (!name[i]) {
            return 0;
        }
    }
    return -EINVAL;
}

/* The first file of a device brings it to its container or iommufd. */
static int use_device(EmuVfioGroup *group, EmuDevice *device)
{
    guint32 id = 0;
    guint32 pt_id;
    int ret;

    if (!group->iommufd) {
        if (!group->container->type1) {
            return -EINVAL;
        }
        group->container_users++;
        return 0;
    }
    ret = viommui_emu_device_bind(group->iommufd, device, &id);
    if (ret < 0) {
        return ret;
    }
    if (!group->iommufd->vfio_ioas) {
        viommui_emu_vfio_unbind(device->idev);
        return -ENODEV;
    }
    pt_id = group->iommufd->vfio_ioas->obj.id;
    ret = viommui_emu_vfio_attach(device->idev, &pt_id);
    if (ret < 0) {
        viommui_emu_vfio_unbind(device->idev);
    }
    return ret;
}

static int get_device_fd(EmuVfioGroup *group, const char *arg)
{
    char name[EMU_PAGE_SIZE];
    EmuDevice *device = NULL;
    int ret = copy_name(name, arg);
    int fd;

    if (ret == 0) {
        ret = find_device(group, name, &device);
    }
    if (ret < 0) {
        return ret;
    }
    if (!has_iommu(group)) {
        return -EINVAL;
    }
    if (!device->open_count) {
        ret = use_device(group, device);
    }
    if (ret < 0) {
        return ret;
    }
    fd = viommui_emu_vfio_open_by_group(group, device);
    if (fd < 0 && !device->open_count) {
        viommui_emu_vfio_group_put_device(group, device);
    }
    return fd;
}

static int group_ioctl(EmuFd *file, unsigned long request, void *arg)
{
    EmuVfioGroup *group = file->object;

    switch (request) {
    case VFIO_GROUP_GET_DEVICE_FD:
        return get_device_fd(group, arg);
    case VFIO_GROUP_GET_STATUS:
        return get_status(group, arg);
    case VFIO_GROUP_SET_CONTAINER:
        return set_container(group, file->emulator, arg);
    case VFIO_GROUP_UNSET_CONTAINER:
        return unset_container(group);
    default:
        return -ENOTTY;
    }
}

static const EmuFdOps group_ops = {
    .release = group_release,
    .ioctl = group_ioctl,
    .read = viommui_emu_fd_no_read,
    .write = viommui_emu_fd_no_write,
    .pread = viommui_emu_fd_no_pread,
    .pwrite = viommui_emu_fd_no_pwrite,
    .pollable = FALSE,
};

static EmuGroup *find_group(const ViommuEmulator *emulator, int number)
{
    for (guint i = 0; i < emulator->groups->len; i++) {
        EmuGroup *group = g_ptr_array_index(emulator->groups, i);

        for (guint j = 0; group->number == number && j < group->devices->len; j++) {
            const EmuDevice *device = g_ptr_array_index(group->devices, j);

            if (!device->gone) {
                return group;
            }
        }
    }
    return NULL;
}

int viommui_emu_vfio_group_open(ViommuEmulator *emulator, const char *path, int number)
{
    EmuGroup *group = find_group(emulator, number);
    EmuVfioGroup *vfio;
    int fd;

    if (!group) {
        return -ENOENT;
    }
    vfio = viommui_emu_vfio_group(group);
    if (vfio->n_cdevs || vfio->opened) {
        return -EBUSY;
    }
    fd = viommui_emu_fd_new(emulator, path, &group_ops, vfio);
    vfio->opened = fd >= 0;
    return fd;
}
