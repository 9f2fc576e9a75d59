/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_IOMMUFD_H
#define VIOMMUI_IOMMUFD_H

/*
 * What the files of this backend share. One file per kernel object: ioas.c, device.c (the
 * VFIO cdev and its vDEVICE), viommu.c (nesting parent, vIOMMU, nested HWPTs,
 * invalidation), table.c (address spaces of
 * their own), dirty.c (what is written), veventq.c, fault-queue.c; find.c knows
 * where cdevs are, smmuv3.c and vtd.c what is particular to those, and iommufd.c holds the
 * ops.
 *
 * Up the path: core/backend.h. Down the path: the seam. ioctl semantics: the kernel's
 * include/uapi/linux/iommufd.h and vfio.h, Linux 7.3.
 */

#include "backends/dirt.h"
#include "backends/error.h"
#include "backends/find.h"
#include "backends/seam.h"
#include "core/backend.h"

#include <linux/iommufd.h>

struct ViommuiSpace {
    const ViommuSeam *seam;
    int iommufd;
    gboolean owns_iommufd;
    guint32 ioas;
    gboolean owns_ioas;
};

struct ViommuiBackendDevice {
    ViommuiSpace *space;
    int fd;
    gboolean owns_fd;
    guint32 devid;
    gboolean dirty_tracking; /* its IOMMU can do it */
    guint32 vdevice;         /* 0: none */
    GArray *reserved;        /* ViommuReservedRegion */
};

/* The kernel's numbers for the neutral data types, and what is there of each. */
typedef struct {
    guint32 viommu_type; /* 0: nested HWPTs come from the parent, and there are no events */
    guint32 veventq_type;
    guint32 hwpt_data_type;
    guint32 invalidate_data_type;
    gsize event_size;
    gboolean parent_tracks_dirty; /* a nesting one, where the device's IOMMU can */
} ViommuiIommufdTypes;

struct ViommuiBackendViommu {
    ViommuiSpace *space;
    const ViommuiIommufdTypes *types;
    gboolean pasids;
    gboolean nest;
    gboolean can_track_dirty;
    gboolean tracks_dirty;
    guint32 parent;
    guint32 id;        /* 0: the kernel has no vIOMMU object of this type */
    GPtrArray *tables; /* ViommuiTable */
    ViommuiDirt *dirt; /* gone with its mapping, and not asked for */
};

/* What one mapping of a table is of. */
typedef struct {
    guint64 iova;
    guint64 gpa;
    guint64 size;
    ViommuMapFlags flags;
} ViommuiIommufdRange;

struct ViommuiTable {
    ViommuiBackendViommu *viommu;
    guint32 ioas;
    guint32 hwpt;
    GHashTable *ranges; /* &iova -> ViommuiIommufdRange */
};

/* 0 or a negated errno. */
int viommui_iommufd_ioctl(ViommuiSpace *space, unsigned long request, void *arg,
                          gsize size);
/* FALSE: the kernel refuses again and again, and keeps the object until the iommufd closes.
 */
gboolean viommui_iommufd_destroy(ViommuiSpace *space, guint32 id);
/* Set an error of the class that a failure of this errno (> 0) has. */
void viommui_iommufd_set_error(GError **error, int err, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
ViommuResult viommui_iommufd_classify(ViommuiCall call, int err);

/* --- ioas.c --- */
gboolean viommui_iommufd_space_open(const ViommuHostConfig *config,
                                    ViommuiSpace **ret_space, GError **error);
int viommui_iommufd_space_get_last(ViommuiSpace *space, guint64 *ret_last);
guint viommui_iommufd_space_count_pinnings(ViommuiSpace *space);
/* Of any IOAS: the last address that can be mapped, and what mappings are aligned to. */
int viommui_iommufd_ioas_get_limits(ViommuiSpace *space, guint32 ioas, guint64 *ret_last,
                                    guint64 *ret_alignment);
/* A new IOAS's ID, or a negated errno and *ret_ioas untouched. */
int viommui_iommufd_ioas_alloc(ViommuiSpace *space, guint32 *ret_ioas);
guint32 viommui_iommufd_map_flags(ViommuMapFlags flags);
void viommui_iommufd_space_close(ViommuiSpace *space);
gboolean viommui_iommufd_map(ViommuiSpace *space, const ViommuiMapping *mapping,
                             GError **error);
gboolean viommui_iommufd_unmap(ViommuiSpace *space, guint64 gpa, guint64 size,
                               GError **error);

/* --- find.c --- */
/* The cdev's path for a PCI address; NULL with an error that names what is missing. */
char *viommui_iommufd_find_cdev(const ViommuSeam *seam, const char *bdf, GError **error);
/* The path behind a descriptor, or NULL. */
char *viommui_iommufd_find_path(const ViommuSeam *seam, int fd);
/* The number of the IOMMU group of the device behind a cdev, or VIOMMU_GROUP_ASK. */
int viommui_iommufd_find_group(const ViommuSeam *seam, const char *cdev_path);

/* --- device.c --- */
gboolean viommui_iommufd_device_open(ViommuiSpace *space, const ViommuiDeviceSource *source,
                                     ViommuiBackendDevice **ret_device,
                                     ViommuHostDeviceInfo *ret_info, int *ret_group,
                                     GError **error);
void viommui_iommufd_device_close(ViommuiBackendDevice *device);
int viommui_iommufd_device_get_fd(ViommuiBackendDevice *device);
int viommui_iommufd_attach(ViommuiBackendDevice *device, guint32 pasid, guint32 hwpt);
int viommui_iommufd_detach(ViommuiBackendDevice *device, guint32 pasid);
int viommui_iommufd_vdevice_alloc(ViommuiBackendViommu *viommu,
                                  ViommuiBackendDevice *device, guint64 virt_id);
void viommui_iommufd_vdevice_free(ViommuiBackendDevice *device);

/* --- viommu.c --- */
gboolean viommui_iommufd_viommu_new(ViommuiSpace *space, ViommuiBackendDevice *device,
                                    ViommuiDataType type, gboolean pasids, gboolean nest,
                                    ViommuiBackendViommu **ret_viommu, GError **error);
void viommui_iommufd_viommu_free(ViommuiBackendViommu *viommu);
guint32 viommui_iommufd_viommu_get_parent(ViommuiBackendViommu *viommu);
int viommui_iommufd_hwpt_alloc(ViommuiBackendViommu *viommu, ViommuiBackendDevice *device,
                               const void *data, gsize size, ViommuiFaultQueue *faults,
                               guint32 *ret_hwpt);
void viommui_iommufd_hwpt_free(ViommuiBackendViommu *viommu, guint32 hwpt);
int viommui_iommufd_invalidate(ViommuiBackendViommu *viommu, guint32 hwpt,
                               const void *entries, gsize entry_size, guint n);

guint32 viommui_iommufd_pasid_flag(const ViommuiBackendViommu *viommu);

/* --- table.c --- */
gboolean viommui_iommufd_table_new(ViommuiBackendViommu *viommu,
                                   ViommuiBackendDevice *device, ViommuiTable **ret_table,
                                   guint32 *ret_hwpt, GError **error);
gboolean viommui_iommufd_table_free(ViommuiTable *table);
int viommui_iommufd_table_map(ViommuiTable *table, guint64 iova, guint64 gpa, guint64 size,
                              ViommuMapFlags flags);
int viommui_iommufd_table_unmap(ViommuiTable *table, guint64 iova, guint64 size);
int viommui_iommufd_table_settle(ViommuiTable *table);
int viommui_iommufd_table_get_last(ViommuiTable *table, guint64 *ret_last);

/* --- dirty.c --- */
gboolean viommui_iommufd_can_track_dirty(ViommuiBackendViommu *viommu);
int viommui_iommufd_set_dirty_tracking(ViommuiBackendViommu *viommu, gboolean on);
int viommui_iommufd_get_dirty(ViommuiBackendViommu *viommu, guint64 gpa, guint64 size,
                              guint64 *bitmap, gboolean keep);
/* Of one HWPT. */
int viommui_iommufd_record(ViommuiSpace *space, guint32 hwpt, gboolean on);
/* A range is unmapped, and what was recorded of it is gone. */
void viommui_iommufd_keep_range(ViommuiBackendViommu *viommu,
                                const ViommuiIommufdRange *range);

/* --- fault-queue.c --- */
gboolean viommui_iommufd_fault_queue_new(ViommuiBackendViommu *viommu,
                                         ViommuiFaultQueue **ret_queue, int *ret_fd,
                                         GError **error);
void viommui_iommufd_fault_queue_free(ViommuiFaultQueue *queue);
guint32 viommui_iommufd_fault_queue_get_id(const ViommuiFaultQueue *queue);
int viommui_iommufd_read_page_requests(ViommuiFaultQueue *queue,
                                       ViommuiPageRequest *requests, gsize max,
                                       gsize *ret_n);
int viommui_iommufd_respond(ViommuiFaultQueue *queue, guint32 cookie, gboolean success);

/* --- veventq.c --- */
gboolean viommui_iommufd_event_queue_new(ViommuiBackendViommu *viommu, guint depth,
                                         ViommuiEventQueue **ret_queue, int *ret_fd,
                                         GError **error);
void viommui_iommufd_event_queue_free(ViommuiEventQueue *queue);
int viommui_iommufd_read_events(ViommuiEventQueue *queue, void *events, gsize event_size,
                                gsize max_events, gsize *ret_n_events, guint64 *ret_n_lost);

/* --- smmuv3.c --- */
extern const ViommuiIommufdTypes viommui_iommufd_smmuv3_types;
void viommui_iommufd_read_smmuv3_info(const struct iommu_hw_info_arm_smmuv3 *raw,
                                      ViommuHostDeviceInfo *ret_info);

/* --- vtd.c --- */
extern const ViommuiIommufdTypes viommui_iommufd_vtd_types;
void viommui_iommufd_read_vtd_info(const struct iommu_hw_info_vtd *raw,
                                   ViommuHostDeviceInfo *ret_info);

#endif
