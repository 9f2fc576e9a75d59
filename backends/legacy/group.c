/* SPDX-License-Identifier: MIT */
/*
 * An IOMMU group, and the container that it has for itself.
 *
 * A group cannot leave its container while a device of it is open, and what one group sees
 * is not what the next does; so each has its own, and guest memory is pinned once for each.
 *
 * Invariants: a container lives as long as a device of its group does here. A group's file
 * that the VMM brought along is handed back without a container, and never closed.
 *
 * Up the path: device.c. Down the path: the seam.
 */

#include "legacy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>

static gboolean check_container(ViommuiSpace *space, int fd, GError **error)
{
    int version = viommui_seam_ioctl_number(space->seam, fd, VFIO_GET_API_VERSION, 0);

    if (version != VFIO_API_VERSION) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s is no VFIO container: its version is %d, not %d",
                    space->container_path, version, VFIO_API_VERSION);
        return FALSE;
    }
    if (viommui_seam_ioctl_number(space->seam, fd, VFIO_CHECK_EXTENSION,
                                  VFIO_TYPE1v2_IOMMU) > 0)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "%s has no type 1 IOMMU of version 2 (VFIO_TYPE1v2_IOMMU)",
                space->container_path);
    return FALSE;
}

int viommui_legacy_open_container(ViommuiSpace *space, GError **error)
{
    int fd = viommui_seam_open(space->seam, space->container_path, O_RDWR);

    if (fd < 0) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED, "cannot open %s: %s",
                    space->container_path, g_strerror(-fd));
        return -1;
    }
    if (!check_container(space, fd, error)) {
        space->seam->ops->close(space->seam->data, fd);
        return -1;
    }
    return fd;
}

/* By its number, or where that cannot be known by its descriptor. */
static ViommuiLegacyContainer *find_container(ViommuiSpace *space, int number, int group_fd)
{
    for (guint i = 0; i < space->containers->len; i++) {
        ViommuiLegacyContainer *container = space->containers->pdata[i];

        if (number != VIOMMU_GROUP_ASK ? container->number == number
                                       : container->group_fd == group_fd)
            return container;
    }
    return NULL;
}

static int open_group(ViommuiSpace *space, const char *bdf, int number, GError **error)
{
    g_autofree char *path = g_strdup_printf("/dev/vfio/%d", number);
    int fd;

    if (number == VIOMMU_GROUP_ASK) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "PCI function %s has no IOMMU group: it does not exist or is behind no "
                    "IOMMU, or /sys cannot be read",
                    bdf);
        return -1;
    }
    fd = viommui_seam_open(space->seam, path, O_RDWR);
    if (fd >= 0)
        return fd;
    viommui_legacy_set_error(error, -fd, "cannot open %s, the IOMMU group of %s", path,
                             bdf);
    return -1;
}

static gboolean check_group(ViommuiLegacyContainer *container, GError **error)
{
    struct vfio_group_status status = {.argsz = sizeof status};
    int ret = viommui_seam_ioctl(container->space->seam, container->group_fd,
                                 VFIO_GROUP_GET_STATUS, &status, sizeof status);

    if (ret < 0) {
        viommui_legacy_set_error(error, -ret, "fd %d is no IOMMU group",
                                 container->group_fd);
        return FALSE;
    }
    if (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "IOMMU group %d (fd %d) is in a container already", container->number,
                    container->group_fd);
        return FALSE;
    }
    if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "IOMMU group %d is not viable: some device of it is in use by another "
                "driver than VFIO's",
                container->number);
    return FALSE;
}

static gboolean join(ViommuiLegacyContainer *container, GError **error)
{
    const ViommuSeam *seam = container->space->seam;
    int ret = viommui_seam_ioctl(seam, container->group_fd, VFIO_GROUP_SET_CONTAINER,
                                 &container->fd, sizeof container->fd);

    if (ret >= 0) {
        ret = viommui_seam_ioctl_number(seam, container->fd, VFIO_SET_IOMMU,
                                        VFIO_TYPE1v2_IOMMU);
        if (ret < 0)
            viommui_seam_ioctl_number(seam, container->group_fd, VFIO_GROUP_UNSET_CONTAINER,
                                      0);
    }
    if (ret < 0) {
        viommui_legacy_set_error(error, -ret, "IOMMU group %d gets no container of %s",
                                 container->number, container->space->container_path);
        return FALSE;
    }
    container->unmaps_all =
        viommui_seam_ioctl_number(seam, container->fd, VFIO_CHECK_EXTENSION,
                                  VFIO_UNMAP_ALL) > 0;
    return TRUE;
}

static void close_files(ViommuiLegacyContainer *container)
{
    const ViommuSeam *seam = container->space->seam;

    if (container->owns_group_fd)
        seam->ops->close(seam->data, container->group_fd);
    if (container->fd >= 0)
        seam->ops->close(seam->data, container->fd);
    g_free(container);
}

static ViommuiLegacyContainer *container_new(ViommuiSpace *space, const char *bdf,
                                             int number, int group_fd, GError **error)
{
    ViommuiLegacyContainer *container = g_new0(ViommuiLegacyContainer, 1);

    container->space = space;
    container->number = number == VIOMMU_GROUP_ASK ? --space->last_unknown : number;
    container->fd = -1;
    container->known = TRUE;
    container->limits.ranges = g_array_new(FALSE, FALSE, sizeof(struct vfio_iova_range));
    container->group_fd = group_fd < 0 ? open_group(space, bdf, number, error) : group_fd;
    container->owns_group_fd = group_fd < 0 && container->group_fd >= 0;
    if (container->group_fd >= 0 && check_group(container, error))
        container->fd = viommui_legacy_open_container(space, error);
    if (container->fd < 0 || !join(container, error)) {
        viommui_legacy_limits_clear(&container->limits);
        close_files(container);
        return NULL;
    }
    g_ptr_array_add(space->containers, container);
    return container;
}

ViommuiLegacyContainer *viommui_legacy_container_obtain(ViommuiSpace *space,
                                                        const char *bdf, int group_fd,
                                                        GError **error)
{
    int number = viommui_find_group(space->seam, bdf);
    ViommuiLegacyContainer *container = find_container(space, number, group_fd);

    if (!container)
        container = container_new(space, bdf, number, group_fd, error);
    if (container)
        container->n_devices++;
    return container;
}

void viommui_legacy_container_release(ViommuiLegacyContainer *container)
{
    if (--container->n_devices)
        return;
    /* Once more, if it was refused before; with its container the group loses the rest. */
    viommui_legacy_container_block(container);
    if (container->view)
        g_ptr_array_remove_fast(container->view->containers, container);
    if (!container->owns_group_fd)
        viommui_seam_ioctl_number(container->space->seam, container->group_fd,
                                  VFIO_GROUP_UNSET_CONTAINER, 0);
    g_ptr_array_remove_fast(container->space->containers, container);
    viommui_legacy_limits_clear(&container->limits);
    close_files(container);
}
