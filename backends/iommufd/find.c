/* SPDX-License-Identifier: MIT */
/*
 * Finding a device's cdev by its PCI address, and the IOMMU group of a cdev, in sysfs and
 * procfs; see backends/find.c.
 */

#include "iommufd.h"

enum { LINK_SIZE = 4096 };

char *viommui_iommufd_find_cdev(const ViommuSeam *seam, const char *bdf, GError **error)
{
    g_autofree char *path = NULL;
    g_auto(GStrv) names = NULL;

    if (!viommui_find_check_bdf(bdf, error))
        return NULL;
    path = g_strdup_printf("/sys/bus/pci/devices/%s/vfio-dev", bdf);
    if (seam->ops->list_dir(seam->data, path, &names) < 0 || !names[0]) {
        g_set_error(
            error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
            "PCI function %s has no VFIO cdev: it does not exist, or is not bound to a "
            "VFIO driver",
            bdf);
        return NULL;
    }
    return g_strdup_printf("/dev/vfio/devices/%s", names[0]);
}

char *viommui_iommufd_find_path(const ViommuSeam *seam, int fd)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    char target[LINK_SIZE];

    if (seam->ops->read_link(seam->data, link, target, sizeof target) < 0)
        return NULL;
    return g_strdup(target);
}

int viommui_iommufd_find_group(const ViommuSeam *seam, const char *cdev_path)
{
    g_autofree char *name = g_path_get_basename(cdev_path);
    g_autofree char *link = g_strdup_printf("/sys/class/vfio-dev/%s/device", name);
    g_autofree char *bdf = viommui_find_link_basename(seam, link);

    return bdf ? viommui_find_group(seam, bdf) : VIOMMU_GROUP_ASK;
}
