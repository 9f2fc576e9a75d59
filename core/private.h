/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_PRIVATE_H
#define VIOMMUI_CORE_PRIVATE_H

/*
 * What the files of core/ share among themselves, and nobody else sees.
 *
 * Ownership: the host owns its groups and the table of configs; a group lives as long
 * as it has members; a config as long as it has references; a host vIOMMU and a device
 * as long as their maker wants.
 */

#include "core.h"

typedef struct ViommuiGroup ViommuiGroup;

struct ViommuHost {
    const ViommuiBackendOps *ops;
    ViommuiSpace *space;
    GArray *mappings;    /* ViommuiMapping, sorted by gpa */
    GHashTable *groups;  /* group number -> ViommuiGroup */
    GHashTable *configs; /* a set of ViommuiConfig, by content */
    guint n_devices;
    guint n_users;     /* vIOMMUs, those without a device too */
    GString *refusals; /* where a set-up call gathers the words of its failure, or NULL */
    ViommuTraceFunc trace;
    void *trace_data;
};

typedef struct {
    ViommuiAttachmentKind kind;
    ViommuiConfig *config; /* a reference, for NESTED; else NULL */
} ViommuiAttachment;

struct ViommuHostDevice {
    ViommuHost *host;
    char *name;
    ViommuiBackendDevice *backend;
    ViommuHostDeviceInfo info;
    ViommuiGroup *group;
    ViommuiHostViommu *viommu; /* NULL: unused */
    gboolean has_virt_id;
    ViommuiAttachment wanted; /* as far as this device has a say in its group */
    gboolean is_pending;
    ViommuiAttachment pending; /* what waits to be tried again */
};

struct ViommuiHostViommu {
    ViommuHost *host;
    ViommuiBackendViommu *backend;
    ViommuiDataType type;
    gboolean invalidate_twice;
    ViommuiConfig *blocked;  /* NULL: a detach */
    ViommuiConfig *identity; /* NULL: the parent */
    ViommuiEventQueue *events;
    int event_fd;
    guint event_depth; /* that its events were made with; 0: none */
};

struct ViommuiConfig {
    ViommuiHostViommu *viommu;
    guint n_refs;
    guint32 hwpt;
    gsize size;
    guint8 data[];
};

struct ViommuiGroup {
    ViommuHost *host;
    int number;          /* VIOMMU_GROUP_ASK: unknown, so not shared */
    GPtrArray *members;  /* ViommuHostDevice */
    gboolean known;      /* FALSE: a host call failed; detach before anything else */
    guint32 hwpt;        /* what all members are attached to; 0: detached */
    GPtrArray *doubtful; /* configs let go of while the host may still have them attached */
};

/* --- host.c --- */
/* Whether guest memory lies within start to last (inclusive), and where that begins. */
gboolean viommui_host_find_mapped(ViommuHost *host, guint64 start, guint64 last,
                                  guint64 *ret_gpa);

/* --- config.c --- */
GHashTable *viommui_config_table_new(void);
ViommuiConfig *viommui_config_ref(ViommuiConfig *config);

/* --- group.c --- */
ViommuiGroup *viommui_group_join(ViommuHostDevice *device, int number, gboolean known);
void viommui_group_leave(ViommuHostDevice *device);
/* Attach every member to what all of them want together; where they differ, BLOCKED. */
ViommuResult viommui_group_apply(ViommuiGroup *group);
/* A member that wants something else than this one, both unblocked; NULL: all agree. */
ViommuHostDevice *viommui_group_find_conflict(ViommuHostDevice *device);
/* A member in the hands of another host vIOMMU than this, or NULL. */
const ViommuHostDevice *viommui_group_find_stranger(const ViommuiGroup *group,
                                                    const ViommuiHostViommu *hv);
/* Detach everybody: the last resort, and BLOCKED where there is no better form of it. */
ViommuResult viommui_group_detach(ViommuiGroup *group);
/* Let go of a config (or NULL) as soon as no member can be attached to it. */
void viommui_group_drop(ViommuiGroup *group, ViommuiConfig *config);
/* Let go of them all now: what is attached still is lost until the host is closed. */
void viommui_group_drop_all(ViommuiGroup *group);

/* --- backend.c: one wrapper for each data-path slot: classifies, traces --- */
ViommuResult viommui_backend_hwpt_alloc(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                        const void *data, gsize size, guint32 *ret_hwpt);
void viommui_backend_hwpt_free(ViommuiHostViommu *hv, guint32 hwpt);
ViommuResult viommui_backend_attach(ViommuHostDevice *device, guint32 hwpt);
ViommuResult viommui_backend_detach(ViommuHostDevice *device);
ViommuResult viommui_backend_invalidate(ViommuiHostViommu *hv, const void *entries,
                                        gsize entry_size, guint n);
ViommuResult viommui_backend_vdevice_alloc(ViommuHostDevice *device, guint64 virt_id);
void viommui_backend_vdevice_free(ViommuHostDevice *device);
ViommuResult viommui_backend_read_events(ViommuiHostViommu *hv, void *events,
                                         gsize event_size, gsize max_events,
                                         gsize *ret_n_events, guint64 *ret_n_lost);

/* --- trace.c --- */
void viommui_trace_slow(ViommuHost *host, ViommuHostDevice *device, ViommuTracePoint point,
                        ViommuResult result, guint64 value);

/* A trace point: nothing but a test while nobody listens. */
static inline void viommui_trace(ViommuHost *host, ViommuHostDevice *device,
                                 ViommuTracePoint point, ViommuResult result, guint64 value)
{
    if (G_UNLIKELY(host->trace))
        viommui_trace_slow(host, device, point, result, value);
}

#endif
