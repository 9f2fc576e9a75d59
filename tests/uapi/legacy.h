/* SPDX-License-Identifier: MIT */
#ifndef TESTS_LEGACY_H
#define TESTS_LEGACY_H

#include "uapi.h"

/*
 * VFIO as it was before iommufd: groups, containers and type 1, over the target of uapi.h.
 * Nothing here binds a cdev, so each test begins with groups that nobody uses.
 */
enum { LEGACY_PAGE = 4096, LEGACY_IOVA = 0x2000000 };
enum { LEGACY_RW = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE };
/* Where legacy_make() maps the pages `fill` and `spare`. */
enum { LEGACY_FILL = 0x1000000, LEGACY_SPARE = 0x1001000 };

/* The first device, by way of its group. */
typedef struct {
    int container;
    int group;
    int device;
} Legacy;

/* The whole of main(): every test with guest memory of its own, and nothing opened. */
typedef void (*LegacyTest)(Uapi *u);
int legacy_main(int argc, char **argv, const LegacyTest *tests, guint n_tests);

int legacy_open(Uapi *u, const char *path);
int legacy_open_group(Uapi *u, guint n);
int legacy_open_container(Uapi *u);
/* A call whose argument is a number. */
int legacy_number(Uapi *u, int fd, unsigned long request, gulong number);
int legacy_set_container(Uapi *u, int group, int container);
int legacy_group_flags(Uapi *u, int group);
/* The file of a device: by name, or the nth ready to do DMA. */
int legacy_get_device(Uapi *u, int group, const char *name);
int legacy_use_device(Uapi *u, int group, guint n);

/*
 * All of it, type 1 of that version: the device's buffer holds UAPI_FILL, the two pages are
 * mapped. Bails out when that fails.
 */
void legacy_make(Uapi *u, Legacy *l, guint type);
void legacy_close(Uapi *u, Legacy *l);

int legacy_map(Uapi *u, int fd, guint64 iova, const void *va, guint64 size, guint32 flags);
/* A page of guest memory. */
int legacy_map_page(Uapi *u, int fd, guint64 iova, guint64 gpa);
/* The bytes that went, or a negated errno. */
gint64 legacy_unmap(Uapi *u, int fd, guint64 iova, guint64 size, guint32 flags);

#endif
