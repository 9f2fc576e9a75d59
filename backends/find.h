/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_BACKENDS_FIND_H
#define VIOMMUI_BACKENDS_FIND_H

#include <viommu/host-device.h>

/* FALSE with an error: it does not look like a PCI address. */
gboolean viommui_find_check_bdf(const char *bdf, GError **error);
/* The last component of what a link points to, or NULL. */
char *viommui_find_link_basename(const ViommuSeam *seam, const char *path);
/* The number of the IOMMU group of a PCI function, or VIOMMU_GROUP_ASK. */
int viommui_find_group(const ViommuSeam *seam, const char *bdf);
/* The ViommuReservedRegions of a group; empty where that cannot be read. */
GArray *viommui_find_reserved(const ViommuSeam *seam, int group);

#endif
