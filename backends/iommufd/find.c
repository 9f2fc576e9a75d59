/* SPDX-License-Identifier: MIT */
/*
 * Finding a device's cdev, IOMMU group and reserved regions in sysfs, all by the seam. In a
 * sandbox without /proc or /sys nothing is found, and the VMM says what it knows.
 */

#include "iommufd.h"

#include <fcntl.h>
#include <string.h>

enum { LINK_SIZE = 4096 };

/* The last component of what a link points to, or NULL. */
static char *link_basename(const ViommuSeam *seam, const char *path)
{
    char target[LINK_SIZE];

    if (seam->ops->read_link(seam->data, path, target, sizeof target) < 0)
        return NULL;
    return g_path_get_basename(target);
}

/* domain:bus:device.function, as Linux writes it. */
static gboolean is_bdf(const char *bdf)
{
    static const char form[] = "hhhh:hh:hh.h";

    if (strlen(bdf) != sizeof form - 1)
        return FALSE;
    for (gsize i = 0; form[i]; i++)
        if (form[i] == 'h' ? !g_ascii_isxdigit(bdf[i]) : bdf[i] != form[i])
            return FALSE;
    return TRUE;
}

char *viommui_iommufd_find_cdev(const ViommuSeam *seam, const char *bdf, GError **error)
{
    g_autofree char *path = NULL;
    g_auto(GStrv) names = NULL;

    if (!is_bdf(bdf)) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "\"%s\" is no PCI address: they look like 0000:00:02.0", bdf);
        return NULL;
    }
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
    g_autofree char *device_link = g_strdup_printf("/sys/class/vfio-dev/%s/device", name);
    g_autofree char *bdf = link_basename(seam, device_link);
    g_autofree char *group_link = NULL;
    g_autofree char *group = NULL;
    guint64 number;

    if (!bdf)
        return VIOMMU_GROUP_ASK;
    group_link = g_strdup_printf("/sys/bus/pci/devices/%s/iommu_group", bdf);
    group = link_basename(seam, group_link);
    if (!group || !g_ascii_string_to_unsigned(group, 10, 0, G_MAXINT, &number, NULL))
        return VIOMMU_GROUP_ASK;
    return (int)number;
}

static char *read_file(const ViommuSeam *seam, const char *path)
{
    int fd = viommui_seam_open(seam, path, O_RDONLY);
    g_autoptr(GString) text = g_string_new(NULL);
    char chunk[1024];
    ssize_t n;

    if (fd < 0)
        return NULL;
    while ((n = seam->ops->read(seam->data, fd, chunk, sizeof chunk)) > 0)
        g_string_append_len(text, chunk, n);
    seam->ops->close(seam->data, fd);
    return n < 0 ? NULL : g_strdup(text->str);
}

GArray *viommui_iommufd_find_reserved(const ViommuSeam *seam, int group)
{
    GArray *regions = g_array_new(FALSE, FALSE, sizeof(ViommuReservedRegion));
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (group == VIOMMU_GROUP_ASK)
        return regions;
    path = g_strdup_printf("/sys/kernel/iommu_groups/%d/reserved_regions", group);
    text = read_file(seam, path);
    lines = g_strsplit(text ? text : "", "\n", -1);
    for (gsize i = 0; lines[i]; i++) {
        g_auto(GStrv) words = g_strsplit(lines[i], " ", 3);
        ViommuReservedRegion region;

        /* The kernel lets memory be mapped over the relaxable ones. */
        if (g_strv_length(words) < 3 || g_str_has_prefix(words[2], "direct-relaxable"))
            continue;
        region.start = g_ascii_strtoull(words[0], NULL, 16);
        region.last = g_ascii_strtoull(words[1], NULL, 16);
        region.msi = g_str_has_prefix(words[2], "msi");
        g_array_append_val(regions, region);
    }
    return regions;
}
