/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_PRIVATE_H
#define VIOMMUI_CORE_PRIVATE_H

/*
 * What the files of core/ share among themselves, and nobody else sees.
 *
 * Vocabulary: a *slot* is where a device may have an attachment: its requester ID, or one
 * of its PASIDs; a *unit* is what the host attaches as one: the requester IDs of an
 * IOMMU group, or one PASID of one device.
 *
 * Ownership: the host owns its groups and the table of configs; a group lives as long
 * as it has members, and has their requester IDs' unit; a config lives as long as it has
 * references, a host vIOMMU and a device as long as their maker wants. A device owns its
 * slots, and with a PASID's slot its unit.
 */

#include "core.h"
#include "shadow.h"

typedef struct ViommuiGroup ViommuiGroup;
typedef struct ViommuiSlot ViommuiSlot;

struct ViommuHost {
    const ViommuiBackendOps *ops;
    ViommuiSpace *space;
    GArray *mappings;     /* ViommuiMapping, sorted by gpa */
    GHashTable *groups;   /* group number -> ViommuiGroup */
    GHashTable *configs;  /* a set of ViommuiConfig, by content */
    GPtrArray *shadows;   /* ViommuiShadow */
    GArray *unreleased;   /* ViommuiShadowEntry: what is left of shadows that are gone */
    GPtrArray *viommus;   /* ViommuiHostViommu, those that are made to the end */
    gboolean shares_ioas; /* it was given one, which the VMM may map memory in itself */
    gboolean tracks_dirty;
    guint n_devices;
    guint n_pinnings;  /* as last traced */
    guint n_users;     /* vIOMMUs, those without a device too */
    GString *refusals; /* where a set-up call gathers the words of its failure, or NULL */
    ViommuTraceFunc trace;
    void *trace_data;
};

typedef struct {
    ViommuiAttachmentKind kind;
    ViommuiConfig *config; /* a reference, for NESTED and SHADOW; else NULL */
} ViommuiAttachment;

typedef struct {
    ViommuHost *host;
    GPtrArray *members;  /* ViommuiSlot */
    gboolean known;      /* FALSE: a host call failed; detach before anything else */
    guint32 hwpt;        /* what all members are attached to; 0: detached */
    GPtrArray *doubtful; /* configs let go of while the host may still have them attached */
} ViommuiUnit;

struct ViommuiSlot {
    ViommuHostDevice *device;
    guint32 pasid; /* VIOMMUI_NO_PASID: the requester ID */
    ViommuiUnit *unit;
    ViommuiAttachment wanted; /* as far as this device has a say in its unit */
    gboolean is_pending;
    ViommuiAttachment pending; /* what waits to be tried again */
};

struct ViommuHostDevice {
    ViommuHost *host;
    char *name;
    ViommuiBackendDevice *backend;
    ViommuHostDeviceInfo info;
    ViommuiGroup *group;
    ViommuiHostViommu *viommu; /* NULL: unused */
    gboolean has_virt_id;
    ViommuiSlot requester_id;
    GHashTable *pasids; /* PASID -> ViommuiSlot, those that have something to remember */
};

struct ViommuiHostViommu {
    ViommuHost *host;
    char *name; /* of the device that it was made for */
    ViommuiBackendViommu *backend;
    gboolean pasids;
    gboolean nest;
    gboolean read_only_refused; /* by its parent: erratum 772415 */
    gboolean tracks_dirty;      /* dirty tracking is on */
    gboolean records_in_part;   /* and could not be switched off */
    gboolean invalidate_twice;
    ViommuiConfig *blocked;  /* NULL: a detach */
    ViommuiConfig *identity; /* NULL: the parent */
    ViommuiEventQueue *events;
    int event_fd;
    guint event_depth; /* that its events were made with; 0: none */
    ViommuiFaultQueue *faults;
    int fault_fd;
};

struct ViommuiConfig {
    ViommuiHostViommu *viommu;
    guint n_refs;
    guint32 hwpt;
    ViommuiShadow *shadow; /* whose it is; or NULL, and the config is of these: */
    gboolean page_requests;
    gsize size;
    guint8 data[];
};

struct ViommuiGroup {
    ViommuHost *host;
    int number; /* VIOMMU_GROUP_ASK: unknown, so not shared */
    ViommuiUnit unit;
};

/* --- host.c --- */
/* The first mapping that ends at or after gpa, or NULL; until the next change. */
const ViommuiMapping *viommui_host_find_mapping(ViommuHost *host, guint64 gpa);
gboolean viommui_host_check_range(guint64 gpa, guint64 size, GError **error);
/* For the host IOMMU in front of the device of this name, which demands it. */
gboolean viommui_host_check_all_writable(ViommuHost *host, const char *name,
                                         GError **error);
/* Whether guest memory lies within start to last (inclusive), and where that begins. */
gboolean viommui_host_find_mapped(ViommuHost *host, guint64 start, guint64 last,
                                  guint64 *ret_gpa);

/* --- config.c --- */
GHashTable *viommui_config_table_new(void);
/* The config is of these bytes, and treats page requests alike. */
gboolean viommui_config_is(const ViommuiConfig *config, const ViommuiStage1 *stage1);

/* The first reference to the HWPT of a shadow, which is destroyed with the last. */
ViommuiConfig *viommui_config_new_for_shadow(ViommuiHostViommu *hv, ViommuiShadow *shadow,
                                             guint32 hwpt);

/* --- attachment.c --- */
ViommuResult viommui_host_device_set_shadow(ViommuHostDevice *device, guint32 pasid,
                                            ViommuiConfig *config,
                                            ViommuiOnFailure on_failure);

/* --- shadow.c --- */
/* Nobody is attached to it any more. */
void viommui_shadow_destroy(ViommuiShadow *shadow);
/* Guest memory has come: what was lacking may be there. */
void viommui_shadows_add_memory(ViommuHost *host);
/* Guest memory is about to go: no shadow maps it any more. */
gboolean viommui_shadows_drop_memory(ViommuHost *host, guint64 gpa, guint64 size,
                                     GError **error);

/* --- dirty.c --- */
/* A host vIOMMU made while dirty tracking is on has it on too. */
gboolean viommui_host_viommu_track_dirty(ViommuiHostViommu *hv, GError **error);

/* --- unit.c --- */
void viommui_unit_init(ViommuiUnit *unit, ViommuHost *host);
void viommui_unit_clear(ViommuiUnit *unit);
/* Attach every member to what all of them want together; where they differ, BLOCKED. */
ViommuResult viommui_unit_apply(ViommuiUnit *unit);
/*
 * The same when there is nobody to tell: if the host will not have the members attached
 * (SMMUv3 wants every one of a group to have a name), they want BLOCKED from now on.
 */
void viommui_unit_apply_or_block(ViommuiUnit *unit);
/* Detach everybody: the last resort, and BLOCKED where there is no better form of it. */
ViommuResult viommui_unit_detach(ViommuiUnit *unit);
/* A member that wants something else than this one, both unblocked; NULL: all agree. */
const ViommuiSlot *viommui_unit_find_conflict(const ViommuiSlot *slot);
/* Let go of a config (or NULL) as soon as no member can be attached to it. */
void viommui_unit_drop(ViommuiUnit *unit, ViommuiConfig *config);
/* Let go of them all now: what is attached still is lost until the host is closed. */
void viommui_unit_drop_all(ViommuiUnit *unit);

/* --- group.c --- */
ViommuiGroup *viommui_group_join(ViommuHostDevice *device, int number, gboolean known);
void viommui_group_leave(ViommuHostDevice *device);
/* A member in the hands of another host vIOMMU than this, or NULL. */
const ViommuHostDevice *viommui_group_find_stranger(const ViommuiGroup *group,
                                                    const ViommuiHostViommu *hv);
/* A member other than this device, or NULL. */
const ViommuHostDevice *viommui_group_find_other(const ViommuHostDevice *device);

/* --- slot.c --- */
/* Those of a new device, which has its group. */
void viommui_slots_init(ViommuHostDevice *device);
void viommui_slots_clear(ViommuHostDevice *device);
/* Detach all PASIDs, those too that could not be before; FALSE: some still cannot be. */
gboolean viommui_slots_leave_pasids(ViommuHostDevice *device);
/* Detach the requester ID too. What the host refuses is tried again at the next change. */
void viommui_slots_leave(ViommuHostDevice *device);
/* NULL: a PASID that is BLOCKED, and of which there is no more to say. */
ViommuiSlot *viommui_slot_find(ViommuHostDevice *device, guint32 pasid);
/* The same, made where there is none; a change of it is to follow. */
ViommuiSlot *viommui_slot_obtain(ViommuHostDevice *device, guint32 pasid);
/*
 * Changes, after which the slot of a PASID may be gone: to BLOCKED or IDENTITY, to NESTED,
 * to what it has by way of a detach, to what was put off.
 */
ViommuResult viommui_slot_set(ViommuiSlot *slot, ViommuiAttachmentKind to,
                              ViommuiOnFailure on_failure);
ViommuResult viommui_slot_set_nested(ViommuiSlot *slot, const ViommuiStage1 *stage1,
                                     ViommuiOnFailure on_failure);
ViommuResult viommui_slot_set_shadow(ViommuiSlot *slot, ViommuiConfig *config,
                                     ViommuiOnFailure on_failure);
ViommuResult viommui_slot_renew(ViommuiSlot *slot);
ViommuResult viommui_slot_retry(ViommuiSlot *slot);

/* --- backend.c: one wrapper for each data-path slot: classifies, traces --- */
ViommuResult viommui_backend_hwpt_alloc(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                        const ViommuiStage1 *stage1, guint32 *ret_hwpt);
void viommui_backend_hwpt_free(ViommuiHostViommu *hv, guint32 hwpt);
ViommuResult viommui_backend_attach(const ViommuiSlot *slot, guint32 hwpt);
ViommuResult viommui_backend_detach(const ViommuiSlot *slot);
/* hwpt: that of a config, or 0 for the whole host vIOMMU. */
ViommuResult viommui_backend_invalidate(ViommuiHostViommu *hv, guint32 hwpt,
                                        const void *entries, gsize entry_size, guint n);
ViommuResult viommui_backend_vdevice_alloc(ViommuHostDevice *device, guint64 virt_id);
void viommui_backend_vdevice_free(ViommuHostDevice *device);
ViommuResult viommui_backend_read_events(ViommuiHostViommu *hv, void *events,
                                         gsize event_size, gsize max_events,
                                         gsize *ret_n_events, guint64 *ret_n_lost);
ViommuResult viommui_backend_read_page_requests(ViommuiHostViommu *hv,
                                                ViommuiPageRequest *requests, gsize max,
                                                gsize *ret_n);
ViommuResult viommui_backend_respond(ViommuiHostViommu *hv, guint32 cookie,
                                     gboolean success);
gboolean viommui_backend_can_track_dirty(const ViommuiHostViommu *hv);
ViommuResult viommui_backend_set_dirty_tracking(ViommuiHostViommu *hv, gboolean on);
ViommuResult viommui_backend_get_dirty(ViommuiHostViommu *hv, guint64 gpa, guint64 size,
                                       guint64 *bitmap, gboolean keep);
/* What is refused in words goes to the trace, and to the set-up call under way. */
ViommuResult viommui_backend_table_new(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                       ViommuiTable **ret_table, guint32 *ret_hwpt);
gboolean viommui_backend_table_free(ViommuiHostViommu *hv, ViommuiTable *table,
                                    guint32 hwpt);
ViommuResult viommui_backend_table_map(ViommuiHostViommu *hv, ViommuiTable *table,
                                       guint64 iova, guint64 gpa, guint64 size,
                                       ViommuMapFlags flags);
ViommuResult viommui_backend_table_unmap(ViommuiHostViommu *hv, ViommuiTable *table,
                                         guint64 iova, guint64 size);
ViommuResult viommui_backend_table_settle(ViommuiHostViommu *hv, ViommuiTable *table);
/* G_MAXUINT64 where the host does not say: it then refuses what it cannot map. */
guint64 viommui_backend_table_get_last(ViommuiHostViommu *hv, ViommuiTable *table);

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
