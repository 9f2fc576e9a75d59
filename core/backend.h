/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_BACKEND_H
#define VIOMMUI_CORE_BACKEND_H

/*
 * What a backend implements: the contract turned into kernel objects.
 *
 * Up the path: core/ calls the set-up slots where it sets up, and the data-path slots by
 * the wrappers in core/backend.c alone. Down the path: the seam.
 *
 * Set-up slots return TRUE, or FALSE with a GError that names what was wrong. Data-path
 * slots return 0 or a negated errno, which `classify` turns into an error class: what an
 * errno means is the backend's knowledge, what is done about it is core's. EINTR and ENOMEM
 * have been tried again already (backends/seam.h).
 *
 * Every slot is mandatory unless it says otherwise, and is called without overlap for one
 * space. Outputs are untouched on failure.
 */

#include <viommu/viommu.h>

/* In place of a PASID: the requester ID, what DMA without a PASID goes by. */
#define VIOMMUI_NO_PASID G_MAXUINT32

typedef struct ViommuiSpace ViommuiSpace;                 /* guest memory of one VM */
typedef struct ViommuiBackendDevice ViommuiBackendDevice; /* one physical function */
typedef struct ViommuiBackendViommu ViommuiBackendViommu; /* one host vIOMMU */
/* An address space of its own beside guest memory: what a device attached to it sees. */
typedef struct ViommuiTable ViommuiTable;
typedef struct ViommuiEventQueue ViommuiEventQueue;
typedef struct ViommuiFaultQueue ViommuiFaultQueue; /* page requests of one host vIOMMU */

/* The kinds of opaque bytes that vendors pass down: stage-1 configs and invalidations. */
typedef enum {
    /* config: STE words 0 and 1; invalidation: one command of the host vIOMMU's; LE */
    VIOMMUI_DATA_ARM_SMMUV3,
    /* config: ViommuiVtdStage1; invalidation: ViommuiVtdInvalidation, of one HWPT's */
    VIOMMUI_DATA_VTD,
} ViommuiDataType;

/* VT-d 9.6: what a PASID table entry says of its first stage. */
typedef struct {
    guint64 flags;         /* VIOMMUI_VTD_S1_... */
    guint64 table;         /* FSPTPTR: guest-physical */
    guint32 address_width; /* 48 or 57 */
    guint32 reserved;      /* 0 */
} ViommuiVtdStage1;

enum {
    VIOMMUI_VTD_S1_SRE = 1 << 0,
    VIOMMUI_VTD_S1_EAFE = 1 << 1,
    VIOMMUI_VTD_S1_WPE = 1 << 2,
};

/* For every device and PASID that the HWPT is attached to, caches of devices included. */
typedef struct {
    guint64 address;  /* a multiple of 4 KiB */
    guint64 n_pages;  /* of 4 KiB; G_MAXUINT64: everything, with address 0 */
    guint32 flags;    /* VIOMMUI_VTD_INV_LEAF */
    guint32 reserved; /* 0 */
} ViommuiVtdInvalidation;

enum {
    VIOMMUI_VTD_INV_LEAF = 1 << 0, /* paging-structure caches may stay */
};

/*
 * A page request of a device, in the host's terms: devid is that of its
 * ViommuHostDeviceInfo. All requests of a group, which the last one closes, have one
 * cookie, and one answer.
 */
typedef struct {
    guint32 devid;
    gboolean has_pasid;
    guint32 pasid;
    guint32 group;
    gboolean last;
    gboolean read, write, execute, privileged; /* what the device wants to do there */
    guint64 address;
    guint32 cookie;
} ViommuiPageRequest;

/* Which host call failed: half of what classify() needs to know. */
typedef enum {
    VIOMMUI_CALL_SET_UP, /* any of the set-up slots */
    VIOMMUI_CALL_HWPT_ALLOC,
    VIOMMUI_CALL_ATTACH,
    VIOMMUI_CALL_ATTACH_WITH_FAULTS, /* to a HWPT that was made with a fault queue */
    VIOMMUI_CALL_DETACH,
    VIOMMUI_CALL_INVALIDATE,
    VIOMMUI_CALL_VDEVICE,
    VIOMMUI_CALL_EVENTS,
    VIOMMUI_CALL_PAGE_REQUESTS,
    VIOMMUI_CALL_PAGE_RESPONSE,
    VIOMMUI_CALL_DIRTY,
    VIOMMUI_CALL_TABLE_MAP,
    VIOMMUI_CALL_TABLE_UNMAP,
} ViommuiCall;

/*
 * Where a device comes from: one of a cdev's path, a cdev's descriptor, a PCI address; or
 * the last with the descriptor of its IOMMU group. No descriptor: -1. devid: 0 when not yet
 * bound.
 */
typedef struct {
    const char *path;
    const char *bdf;
    int fd;
    int group_fd;
    guint32 devid;
    int group;
} ViommuiDeviceSource;

/* Where guest memory comes from: an address, or fd and offset. */
typedef struct {
    guint64 gpa;
    guint64 size;
    void *address;
    int fd; /* -1: by address */
    guint64 offset;
    ViommuMapFlags flags;
} ViommuiMapping;

typedef struct {
    const char *name;

    /* --- set-up ------------------------------------------------------------------- */

    gboolean (*space_open)(const ViommuHostConfig *config, ViommuiSpace **ret_space,
                           GError **error);
    /* Everything made from it is gone already. Cannot fail. */
    void (*space_close)(ViommuiSpace *space);

    /*
     * The last address that can be mapped, as far as what is made over the space so far
     * allows. Negated errno.
     */
    int (*space_get_last)(ViommuiSpace *space, guint64 *ret_last);

    /* How often the host pins what is mapped, at most, with the devices that are open. */
    guint (*space_count_pinnings)(ViommuiSpace *space);

    gboolean (*map)(ViommuiSpace *space, const ViommuiMapping *mapping, GError **error);
    gboolean (*unmap)(ViommuiSpace *space, guint64 gpa, guint64 size, GError **error);

    /*
     * Open and bind as far as the source leaves that to do, and find the facts; sources
     * that the backend does not take are refused by name. Afterwards the device's DMA is
     * refused, unless it came bound, or others of its group are attached. *ret_group: a
     * group number; below VIOMMU_GROUP_ASK: one that is not the kernel's, but the same for
     * all of the group; VIOMMU_GROUP_ASK when it cannot be known.
     */
    gboolean (*device_open)(ViommuiSpace *space, const ViommuiDeviceSource *source,
                            ViommuiBackendDevice **ret_device,
                            ViommuHostDeviceInfo *ret_info, int *ret_group, GError **error);
    /* Unbinds and closes what device_open did. Cannot fail. */
    void (*device_close)(ViommuiBackendDevice *device);
    int (*device_get_fd)(ViommuiBackendDevice *device);

    /*
     * A host vIOMMU on the physical IOMMU of a device: a parent over the space, and what
     * the host keeps for one guest vIOMMU of this kind. pasids: its HWPTs are for PASIDs
     * too. nest: the parent is a nesting one; else it serves IDENTITY and there are no
     * nested HWPTs (hwpt_alloc: -EOPNOTSUPP), vDEVICEs or events.
     */
    gboolean (*viommu_new)(ViommuiSpace *space, ViommuiBackendDevice *device,
                           ViommuiDataType type, gboolean pasids, gboolean nest,
                           ViommuiBackendViommu **ret_viommu, GError **error);
    /* Its HWPTs, tables, vDEVICEs and queues are gone already. Cannot fail. */
    void (*viommu_free)(ViommuiBackendViommu *viommu);

    /*
     * An event queue of this depth, at most one for a viommu. *ret_fd polls readable
     * while events wait; it stays the queue's.
     */
    gboolean (*event_queue_new)(ViommuiBackendViommu *viommu, guint depth,
                                ViommuiEventQueue **ret_queue, int *ret_fd, GError **error);
    void (*event_queue_free)(ViommuiEventQueue *queue);

    /* A queue for page requests; *ret_fd as above. HWPTs made with it are gone before it.
     */
    gboolean (*fault_queue_new)(ViommuiBackendViommu *viommu, ViommuiFaultQueue **ret_queue,
                                int *ret_fd, GError **error);
    void (*fault_queue_free)(ViommuiFaultQueue *queue);

    /*
     * An empty table, for this device at first and any other of the viommu that the host
     * attaches to it. *ret_hwpt is what to attach to: never 0, unique in the space.
     */
    gboolean (*table_new)(ViommuiBackendViommu *viommu, ViommuiBackendDevice *device,
                          ViommuiTable **ret_table, guint32 *ret_hwpt, GError **error);
    /*
     * Nothing is attached to it any more, but for who could not be detached; mappings may
     * be left in it. FALSE: the host keeps it, and those with it.
     */
    gboolean (*table_free)(ViommuiTable *table);

    /* --- data path ---------------------------------------------------------------- */

    /*
     * A nested HWPT of this config; HWPT IDs are never 0. faults: where the page requests
     * of devices attached to it go, or NULL.
     */
    int (*hwpt_alloc)(ViommuiBackendViommu *viommu, ViommuiBackendDevice *device,
                      const void *data, gsize size, ViommuiFaultQueue *faults,
                      guint32 *ret_hwpt);
    void (*hwpt_free)(ViommuiBackendViommu *viommu, guint32 hwpt);
    /* The HWPT that translates by the parent alone. */
    guint32 (*viommu_get_parent)(ViommuiBackendViommu *viommu);

    /*
     * From detached or from any other HWPT; after a failure the state is unknown. pasid:
     * VIOMMUI_NO_PASID, or 1 and more; the HWPT is then of a viommu made with PASIDs.
     */
    int (*attach)(ViommuiBackendDevice *device, guint32 pasid, guint32 hwpt);
    /* Afterwards DMA is refused. Detaching what is not attached succeeds. */
    int (*detach)(ViommuiBackendDevice *device, guint32 pasid);

    /*
     * Issue n entries of entry_size bytes, in order, aimed at a nested HWPT, or at the
     * viommu (hwpt 0). On failure nothing is known of any of them: core issues them again
     * one at a time.
     */
    int (*invalidate)(ViommuiBackendViommu *viommu, guint32 hwpt, const void *entries,
                      gsize entry_size, guint n);

    /* Name the device in the guest's terms; at most one name at a time. */
    int (*vdevice_alloc)(ViommuiBackendViommu *viommu, ViommuiBackendDevice *device,
                         guint64 virt_id);
    void (*vdevice_free)(ViommuiBackendDevice *device);

    /*
     * Read up to max_events of event_size bytes. *ret_n_events and *ret_n_lost are always
     * written; lost counts events the host dropped before or among those read.
     */
    int (*read_events)(ViommuiEventQueue *queue, void *events, gsize event_size,
                       gsize max_events, gsize *ret_n_events, guint64 *ret_n_lost);

    /*
     * Read up to max page requests, in whole groups. *ret_n is always written. -ENOBUFS: the
     * first group is larger than max.
     */
    int (*read_page_requests)(ViommuiFaultQueue *queue, ViommuiPageRequest *requests,
                              gsize max, gsize *ret_n);
    /* Answer the group of this cookie. */
    int (*respond)(ViommuiFaultQueue *queue, guint32 cookie, gboolean success);

    /*
     * Whether what devices write can be recorded, by way of the parent and of all tables:
     * optional, FALSE where it cannot.
     */
    gboolean (*viommu_can_track_dirty)(ViommuiBackendViommu *viommu);
    /* Switching it on forgets what was recorded before. */
    int (*set_dirty_tracking)(ViommuiBackendViommu *viommu, gboolean on);
    /*
     * Set the bits of the 4 KiB pages from gpa, bit 0 of word 0 being that of gpa, that
     * were written since the bits were last cleared, which `keep` leaves undone. All of the
     * range is mapped; bits are never cleared in the bitmap.
     */
    int (*get_dirty)(ViommuiBackendViommu *viommu, guint64 gpa, guint64 size,
                     guint64 *bitmap, gboolean keep);

    /*
     * The bytes of guest memory from gpa, all within one mapping of the map slot and with
     * no more than its flags, become what is seen at iova. They are units of table_unmap,
     * do not overlap, and are unmapped before the guest memory is. -ENOSPC: there are too
     * many mappings.
     */
    int (*table_map)(ViommuiTable *table, guint64 iova, guint64 gpa, guint64 size,
                     ViommuMapFlags flags);
    /*
     * What one table_map made. Afterwards no device reaches it, by any cache. While dirty
     * tracking is on, what could be written of it counts as written.
     */
    int (*table_unmap)(ViommuiTable *table, guint64 iova, guint64 size);
    /*
     * Calls that failed before may have left devices with more or less than what is mapped;
     * afterwards they have just that. On failure they may not, and are to be detached.
     */
    int (*table_settle)(ViommuiTable *table);
    /* The last IOVA that can be mapped, as far as the devices attached so far tell. */
    int (*table_get_last)(ViommuiTable *table, guint64 *ret_last);

    /* The class of a data-path failure (err > 0). */
    ViommuResult (*classify)(ViommuiCall call, int err);
} ViommuiBackendOps;

/* The code of the GError domain for a failed result, and back (core/error.c). */
ViommuError viommui_result_to_error(ViommuResult result);
ViommuResult viommui_error_to_result(const GError *error);

/* All backends of this build, best first, NULL-terminated (core/registry.c). */
extern const ViommuiBackendOps *const viommui_backends[];

#endif
