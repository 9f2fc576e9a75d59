/* SPDX-License-Identifier: MIT */
/*
 * What sysfs tells of a device, whichever way it is opened: its IOMMU group, and the
 * regions that it reserves. All by the seam; in a sandbox without /sys nothing is found,
 * and the VMM says what it knows.
 *
 * Up the path: the backends. Down the path: the seam.
 */

#include "backends/find.h"

#include "backends/seam.h"

#include <fcntl.h>
#include <string.h>

enum { LINK_SIZE = 4096 };

char *viommui_find_link_basename(const ViommuSeam *seam, const char *path)
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

gboolean viommui_find_check_bdf(const char *bdf, GError **error)
{
    if (is_bdf(bdf))
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                "\"%s\" is no PCI address: they look like 0000:00:02.0", bdf);
    return FALSE;
}

int viommui_find_group(const ViommuSeam *seam, const char *bdf)
{
    g_autofree char *link = g_strdup_printf("/sys/bus/pci/devices/%s/iommu_group", bdf);
    g_autofree char *group = viommui_find_link_basename(seam, link);
    guint64 number;

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

GArray *viommui_find_reserved(const ViommuSeam *seam, int group)
{
    GArray *regions = g_array_new(FALSE, FALSE, sizeof(ViommuReservedRegion));
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (group < 0)
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
