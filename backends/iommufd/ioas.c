/* SPDX-License-Identifier: MIT */
/*
 * The iommufd and its IOAS: guest memory as devices see it.
 *
 * An iommufd or IOAS that the VMM brought along is used, never closed or destroyed.
 */

#include "iommufd.h"

#include <errno.h>
#include <fcntl.h>

int viommui_iommufd_ioas_alloc(ViommuiSpace *space, guint32 *ret_ioas)
{
    struct iommu_ioas_alloc cmd = {.size = sizeof cmd};
    int ret = viommui_iommufd_ioctl(space, IOMMU_IOAS_ALLOC, &cmd, sizeof cmd);

    if (ret == 0)
        *ret_ioas = cmd.out_ioas_id;
    return ret;
}

static gboolean make_ioas(ViommuiSpace *space, GError **error)
{
    int ret = viommui_iommufd_ioas_alloc(space, &space->ioas);

    if (ret < 0)
        viommui_iommufd_set_error(error, -ret, "iommufd %d gives no address space",
                                  space->iommufd);
    space->owns_ioas = ret == 0;
    return ret == 0;
}

gboolean viommui_iommufd_space_open(const ViommuHostConfig *config,
                                    ViommuiSpace **ret_space, GError **error)
{
    ViommuiSpace *space;

    if (config->container) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "backend \"iommufd\" takes no VFIO container: %s was given",
                    config->container);
        return FALSE;
    }
    space = g_new0(ViommuiSpace, 1);
    space->seam = config->seam;
    space->iommufd = config->iommufd;
    if (space->iommufd < 0) {
        space->iommufd = viommui_seam_open(space->seam, "/dev/iommu", O_RDWR);
        if (space->iommufd < 0) {
            g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                        "cannot open /dev/iommu: %s", g_strerror(-space->iommufd));
            g_free(space);
            return FALSE;
        }
        space->owns_iommufd = TRUE;
    }
    space->ioas = config->ioas_id;
    if (!space->ioas && !make_ioas(space, error)) {
        viommui_iommufd_space_close(space);
        return FALSE;
    }
    *ret_space = space;
    return TRUE;
}

void viommui_iommufd_space_close(ViommuiSpace *space)
{
    if (space->owns_ioas)
        viommui_iommufd_destroy(space, space->ioas);
    if (space->owns_iommufd)
        space->seam->ops->close(space->seam->data, space->iommufd);
    g_free(space);
}

/* The kernel says how many ranges there are when they find no room. */
int viommui_iommufd_ioas_get_limits(ViommuiSpace *space, guint32 ioas, guint64 *ret_last,
                                    guint64 *ret_alignment)
{
    struct iommu_ioas_iova_ranges cmd = {.size = sizeof cmd, .ioas_id = ioas};
    g_autofree struct iommu_iova_range *ranges = NULL;
    int ret = viommui_iommufd_ioctl(space, IOMMU_IOAS_IOVA_RANGES, &cmd, sizeof cmd);

    if (ret == -EMSGSIZE) {
        ranges = g_new0(struct iommu_iova_range, cmd.num_iovas);
        cmd.allowed_iovas = (guintptr)ranges;
        ret = viommui_iommufd_ioctl(space, IOMMU_IOAS_IOVA_RANGES, &cmd, sizeof cmd);
    }
    if (ret < 0)
        return ret;
    if (!ranges || cmd.num_iovas == 0)
        return -ERANGE;
    *ret_last = ranges[cmd.num_iovas - 1].last;
    *ret_alignment = cmd.out_iova_alignment;
    return 0;
}

/* Tables share what is pinned for the IOAS that they are copies of. */
guint viommui_iommufd_space_count_pinnings(ViommuiSpace *space)
{
    (void)space;
    return 1;
}

int viommui_iommufd_space_get_last(ViommuiSpace *space, guint64 *ret_last)
{
    guint64 alignment;

    return viommui_iommufd_ioas_get_limits(space, space->ioas, ret_last, &alignment);
}

guint32 viommui_iommufd_map_flags(ViommuMapFlags flags)
{
    return IOMMU_IOAS_MAP_FIXED_IOVA |
           (flags & VIOMMU_MAP_READ ? IOMMU_IOAS_MAP_READABLE : 0) |
           (flags & VIOMMU_MAP_WRITE ? IOMMU_IOAS_MAP_WRITEABLE : 0);
}

static int map_address(ViommuiSpace *space, const ViommuiMapping *mapping)
{
    struct iommu_ioas_map cmd = {
        .size = sizeof cmd,
        .flags = viommui_iommufd_map_flags(mapping->flags),
        .ioas_id = space->ioas,
        .user_va = (guintptr)mapping->address,
        .length = mapping->size,
        .iova = mapping->gpa,
    };

    return viommui_iommufd_ioctl(space, IOMMU_IOAS_MAP, &cmd, sizeof cmd);
}

static int map_file(ViommuiSpace *space, const ViommuiMapping *mapping)
{
    struct iommu_ioas_map_file cmd = {
        .size = sizeof cmd,
        .flags = viommui_iommufd_map_flags(mapping->flags),
        .ioas_id = space->ioas,
        .fd = mapping->fd,
        .start = mapping->offset,
        .length = mapping->size,
        .iova = mapping->gpa,
    };

    return viommui_iommufd_ioctl(space, IOMMU_IOAS_MAP_FILE, &cmd, sizeof cmd);
}

gboolean viommui_iommufd_map(ViommuiSpace *space, const ViommuiMapping *mapping,
                             GError **error)
{
    int ret = mapping->fd < 0 ? map_address(space, mapping) : map_file(space, mapping);

    if (ret < 0)
        viommui_iommufd_set_error(error, -ret,
                                  "the host does not map 0x%" G_GINT64_MODIFIER
                                  "x bytes at guest-physical 0x%" G_GINT64_MODIFIER "x",
                                  mapping->size, mapping->gpa);
    return ret == 0;
}

gboolean viommui_iommufd_unmap(ViommuiSpace *space, guint64 gpa, guint64 size,
                               GError **error)
{
    struct iommu_ioas_unmap cmd = {
        .size = sizeof cmd,
        .ioas_id = space->ioas,
        .iova = gpa,
        .length = size,
    };
    int ret = viommui_iommufd_ioctl(space, IOMMU_IOAS_UNMAP, &cmd, sizeof cmd);

    if (ret < 0)
        viommui_iommufd_set_error(error, -ret,
                                  "the host does not unmap 0x%" G_GINT64_MODIFIER
                                  "x bytes at guest-physical 0x%" G_GINT64_MODIFIER "x",
                                  size, gpa);
    return ret == 0;
}
