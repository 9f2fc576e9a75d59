/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_LEGACY_H
#define VIOMMUI_LEGACY_H

/*
 * What the files of this backend share: VFIO as it was before iommufd, groups and
 * containers with type 1.
 *
 * space.c holds guest memory; group.c brings an IOMMU group to a container of its own, of
 * which container.c maps and unmaps, limits.c knows the limits and dirty.c what was
 * written; view.c keeps sorted ranges and has containers follow them; viommu.c is
 * IDENTITY, table.c all other views; device.c devices; legacy.c holds the ops.
 *
 * Vocabulary: a *view* is what devices see that are attached to its HWPT: ranges, and the
 * containers that show them. The kernel has no such thing: its HWPT IDs are made here.
 * IDENTITY is a view of guest memory whole. A container with no view has nothing mapped,
 * and so is BLOCKED. "last" is inclusive.
 *
 * Up the path: core/backend.h. Down the path: the seam. ioctl semantics: the kernel's
 * include/uapi/linux/vfio.h, Linux 7.3.
 */

#include "backends/dirt.h"
#include "backends/error.h"
#include "backends/find.h"
#include "backends/seam.h"
#include "core/backend.h"

typedef struct ViommuiLegacyMemory ViommuiLegacyMemory;
typedef struct ViommuiLegacyContainer ViommuiLegacyContainer;

/* What one mapping makes reachable. */
typedef struct {
    guint64 iova;
    guint64 size;
    guint8 *address;             /* in this process */
    ViommuiLegacyMemory *memory; /* that it is a part of */
    ViommuMapFlags flags;
} ViommuiLegacyRange;

/* A mapping of guest memory. */
struct ViommuiLegacyMemory {
    ViommuiLegacyRange range; /* as IDENTITY shows it */
    gboolean is_ours;         /* mapped here, of a file */
    guint n_copies;           /* ranges of tables */
};

/* What a container can map. */
typedef struct {
    guint64 page_sizes;
    GArray *ranges; /* struct vfio_iova_range, ascending; empty: the kernel does not say */
    guint n_mappings;
    gboolean tracks_dirty;
} ViommuiLegacyLimits;

typedef struct {
    guint32 hwpt;
    ViommuiBackendViommu *viommu;
    GTree *ranges;         /* &iova -> ViommuiLegacyRange; IDENTITY: the space's memory */
    GPtrArray *containers; /* those that show it, or may in part when not `known` */
} ViommuiLegacyView;

struct ViommuiSpace {
    const ViommuSeam *seam;
    char *container_path;
    GTree *memory; /* &iova -> ViommuiLegacyMemory */
    GPtrArray *containers;
    GHashTable *views; /* HWPT ID -> ViommuiLegacyView */
    guint32 last_hwpt;
    int last_unknown; /* group number given away in place of one that cannot be known */
};

struct ViommuiLegacyContainer {
    ViommuiSpace *space;
    int number; /* of the group; below VIOMMU_GROUP_ASK: it cannot be known */
    int group_fd;
    gboolean owns_group_fd;
    int fd;
    gboolean unmaps_all; /* in one call */
    guint n_devices;
    ViommuiLegacyLimits limits;
    ViommuiLegacyView *view; /* NULL: BLOCKED */
    gboolean known;          /* FALSE: a call failed; anything may be mapped */
    gboolean is_leaving;     /* not known, and to be BLOCKED */
    gboolean records;        /* what is written */
};

struct ViommuiBackendDevice {
    ViommuiLegacyContainer *container;
    int fd;
    GArray *reserved; /* ViommuReservedRegion */
};

struct ViommuiBackendViommu {
    ViommuiSpace *space;
    ViommuiLegacyView identity;
    gboolean can_track_dirty;
    gboolean tracks_dirty;
    ViommuiDirt *dirt; /* told, or gone with its mapping, and not asked for */
};

/* --- legacy.c --- */
/* Set an error of the class that a failure of this errno (> 0) has. */
void viommui_legacy_set_error(GError **error, int err, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
ViommuResult viommui_legacy_classify(ViommuiCall call, int err);

/* --- space.c --- */
gboolean viommui_legacy_space_open(const ViommuHostConfig *config, ViommuiSpace **ret_space,
                                   GError **error);
void viommui_legacy_space_close(ViommuiSpace *space);
int viommui_legacy_space_get_last(ViommuiSpace *space, guint64 *ret_last);
guint viommui_legacy_space_count_pinnings(ViommuiSpace *space);
gboolean viommui_legacy_map(ViommuiSpace *space, const ViommuiMapping *mapping,
                            GError **error);
gboolean viommui_legacy_unmap(ViommuiSpace *space, guint64 gpa, guint64 size,
                              GError **error);

/* --- group.c --- */
/* An open container of type 1, which is closed with close(); -1 with an error. */
int viommui_legacy_open_container(ViommuiSpace *space, GError **error);
/*
 * The container of the group that this function is in, with one device more: one that is
 * there, or a new one. group_fd: the group's file, or -1 to open it.
 */
ViommuiLegacyContainer *viommui_legacy_container_obtain(ViommuiSpace *space,
                                                        const char *bdf, int group_fd,
                                                        GError **error);
/* One device less; gone with the last. */
void viommui_legacy_container_release(ViommuiLegacyContainer *container);

/* --- limits.c --- */
gboolean viommui_legacy_limits_read(ViommuiLegacyContainer *container, GError **error);
void viommui_legacy_limits_clear(ViommuiLegacyLimits *limits);
ViommuiLegacyLimits viommui_legacy_limits_copy(const ViommuiLegacyLimits *limits);
guint64 viommui_legacy_limits_get_page_size(const ViommuiLegacyLimits *limits);
guint64 viommui_legacy_limits_get_last(const ViommuiLegacyLimits *limits);
/* All of it is in one range of IOVAs. */
gboolean viommui_legacy_limits_allow(const ViommuiLegacyLimits *limits, guint64 iova,
                                     guint64 size);
/* The ranges in words. */
char *viommui_legacy_limits_describe(const ViommuiLegacyLimits *limits);

/* --- container.c: 0 or a negated errno --- */
/* Unmap everything: afterwards it has no view. */
int viommui_legacy_container_block(ViommuiLegacyContainer *container);
/* Unmap everything, and keep the view, to be mapped by settle(). */
int viommui_legacy_container_empty(ViommuiLegacyContainer *container);
/* Where a call failed before: have it show its view, or be BLOCKED, as it ought to. */
int viommui_legacy_container_settle(ViommuiLegacyContainer *container);
/* By way of BLOCKED, where it stays on failure if it can. */
int viommui_legacy_container_show(ViommuiLegacyContainer *container,
                                  ViommuiLegacyView *view);
int viommui_legacy_container_map(ViommuiLegacyContainer *container,
                                 const ViommuiLegacyRange *range);
/* What is not mapped is unmapped without an error. */
int viommui_legacy_container_unmap(ViommuiLegacyContainer *container,
                                   const ViommuiLegacyRange *range);

/* --- view.c --- */
GTree *viommui_legacy_ranges_new(GDestroyNotify free_range);
/* The range that this address is in, or NULL. */
ViommuiLegacyRange *viommui_legacy_ranges_find(GTree *ranges, guint64 iova);
gboolean viommui_legacy_ranges_overlap(GTree *ranges, guint64 iova, guint64 size);
/* A view of these ranges, with an HWPT ID of its own. */
void viommui_legacy_view_init(ViommuiLegacyView *view, ViommuiBackendViommu *viommu,
                              GTree *ranges);
/* No container shows it any more. */
void viommui_legacy_view_clear(ViommuiLegacyView *view);
/* Map a range in all of these containers that are known, or in none. */
int viommui_legacy_map_everywhere(GPtrArray *containers, const ViommuiLegacyRange *range);
/* Unmap it in all of them, or in none. In those that are not known, so is all else. */
int viommui_legacy_unmap_everywhere(GPtrArray *containers, const ViommuiLegacyRange *range);
/* After either: those that are not known are brought to be. The first failure. */
int viommui_legacy_settle_everywhere(GPtrArray *containers);

/* --- device.c --- */
gboolean viommui_legacy_device_open(ViommuiSpace *space, const ViommuiDeviceSource *source,
                                    ViommuiBackendDevice **ret_device,
                                    ViommuHostDeviceInfo *ret_info, int *ret_group,
                                    GError **error);
void viommui_legacy_device_close(ViommuiBackendDevice *device);
int viommui_legacy_device_get_fd(ViommuiBackendDevice *device);
int viommui_legacy_attach(ViommuiBackendDevice *device, guint32 pasid, guint32 hwpt);
int viommui_legacy_detach(ViommuiBackendDevice *device, guint32 pasid);

/* --- viommu.c --- */
gboolean viommui_legacy_viommu_new(ViommuiSpace *space, ViommuiBackendDevice *device,
                                   ViommuiDataType type, gboolean pasids, gboolean nest,
                                   ViommuiBackendViommu **ret_viommu, GError **error);
void viommui_legacy_viommu_free(ViommuiBackendViommu *viommu);
guint32 viommui_legacy_viommu_get_parent(ViommuiBackendViommu *viommu);

/* --- table.c --- */
gboolean viommui_legacy_table_new(ViommuiBackendViommu *viommu,
                                  ViommuiBackendDevice *device, ViommuiTable **ret_table,
                                  guint32 *ret_hwpt, GError **error);
gboolean viommui_legacy_table_free(ViommuiTable *table);
int viommui_legacy_table_map(ViommuiTable *table, guint64 iova, guint64 gpa, guint64 size,
                             ViommuMapFlags flags);
int viommui_legacy_table_unmap(ViommuiTable *table, guint64 iova, guint64 size);
int viommui_legacy_table_settle(ViommuiTable *table);
int viommui_legacy_table_get_last(ViommuiTable *table, guint64 *ret_last);

/* --- dirty.c --- */
gboolean viommui_legacy_can_track_dirty(ViommuiBackendViommu *viommu);
int viommui_legacy_set_dirty_tracking(ViommuiBackendViommu *viommu, gboolean on);
int viommui_legacy_get_dirty(ViommuiBackendViommu *viommu, guint64 gpa, guint64 size,
                             guint64 *bitmap, gboolean keep);
/* Have the container record or not; it does already: 0. */
int viommui_legacy_container_record(ViommuiLegacyContainer *container, gboolean on);
/* A range, or all of a view, is about to be unmapped, and its bits with it. */
void viommui_legacy_keep_range(const ViommuiLegacyView *view,
                               const ViommuiLegacyRange *range);
void viommui_legacy_keep_view(const ViommuiLegacyView *view);

#endif
