/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_VFIO_H
#define VIOMMU_EMULATOR_VFIO_H

/*
 * VFIO below its descriptors: a group with its /dev/vfio/GROUP, a container, and the
 * type 1 driver that a container is given by VFIO_SET_IOMMU. The iommufd way shares
 * the device files with it, and can stand for a container.
 *
 * vfio-cdev.c is a device's file, come by either way; vfio-group.c a group;
 * vfio-container.c a container; type1.c maps, type1-info.c tells; vfio-compat.c is
 * what an iommufd does as a container.
 */

#include <linux/vfio.h>

#include "iommufd.h"

typedef struct EmuContainer EmuContainer;
typedef struct EmuType1 EmuType1;
typedef struct EmuVfioGroup EmuVfioGroup;

/* A group is in use by one file of its own, or by device cdevs, never by both. */
struct EmuVfioGroup {
    EmuGroup *group;
    gboolean opened;    /* by a file, which device files may outlive */
    gboolean forgotten; /* that file's descriptor is closed, users are left */
    guint n_cdevs;
    EmuContainer *container;
    guint container_users; /* 1 and the open devices; 0: no container */
    EmuIommufd *iommufd;   /* in place of a container */
};

struct EmuContainer {
    guint refs;
    GPtrArray *groups; /* EmuVfioGroup, last come first */
    EmuType1 *type1;   /* NULL: VFIO_SET_IOMMU is still to come */
};

/* vfio-group.c */
int viommui_emu_vfio_group_open(ViommuEmulator *emulator, const char *path, int number);
EmuVfioGroup *viommui_emu_vfio_group(EmuGroup *group);
/* A cdev is bound, and let go. -EBUSY: the group's own file is open. */
int viommui_emu_vfio_group_block(EmuGroup *group);
void viommui_emu_vfio_group_unblock(EmuGroup *group);
/* The group has no device left: it leaves its container. */
void viommui_emu_vfio_group_forget(EmuVfioGroup *group);
/* The last file of a device, opened by the group, is closed. */
void viommui_emu_vfio_group_put_device(EmuVfioGroup *group, EmuDevice *device);

/* vfio-container.c */
int viommui_emu_container_open(ViommuEmulator *emulator, const char *path);
/* NULL when the file is no container. */
EmuContainer *viommui_emu_container_from_file(EmuFd *file);
int viommui_emu_container_attach(EmuContainer *container, EmuVfioGroup *group);
void viommui_emu_container_detach(EmuVfioGroup *group);

/* type1.c */
EmuType1 *viommui_emu_type1_new(gboolean v2);
void viommui_emu_type1_free(EmuType1 *type1);
int viommui_emu_type1_attach(EmuType1 *type1, EmuGroup *group);
void viommui_emu_type1_detach(EmuType1 *type1, EmuGroup *group);
/* `type1` may be NULL for CHECK_EXTENSION. */
int viommui_emu_type1_ioctl(EmuType1 *type1, unsigned long request, void *arg);
int viommui_emu_type1_check_extension(const EmuType1 *type1, unsigned long extension);

/* type1-info.c */
int viommui_emu_type1_get_info(const EmuIoas *ioas, guint64 pgsizes, guint32 dma_avail,
                               void *arg);
int viommui_emu_vfio_compat_get_info(const EmuIoas *ioas, void *arg);
/* What all of these HWPTs can map, the way VFIO says it. */
guint64 viommui_emu_vfio_page_sizes(const EmuIoas *ioas);

/* vfio-cdev.c: a file of a device opened by its group; the caller did the rest. */
int viommui_emu_vfio_open_by_group(EmuVfioGroup *group, EmuDevice *device);

#endif
