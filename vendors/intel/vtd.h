/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_VTD_H
#define VIOMMUI_VTD_H

/*
 * What the files of the acceleration layer share, and what the front end uses of it:
 *
 *   descriptor.c            invalidation descriptors; pure
 *   pasid-entry.c           PASID table entries; pure
 *   caps.c                  CAP and ECAP, guest against host; pure
 *   index.c                 sets found by a number
 *   vtd-accel.c             its life: devices, host units, reset
 *   vtd-accel-bindings.c    what a device's requests get, by the guest's tables
 *   vtd-accel-hwpt.c       stage-1 tables on the host, and their invalidation
 *   vtd-accel-shadow.c      copies of second-stage tables on the host
 *   second-stage.c          all that second-stage tables map in a range; pure but for
 * memory vtd-accel-descriptors.c which bindings and tables a descriptor concerns
 *   vtd-accel-requests.c    page requests and their answers
 *
 * Vocabulary: a *binding* is what one kind of a device's requests gets: those without a
 * PASID, or those of one PASID; it is *settled* when the host has what the guest's entry
 * says. A *HWPT* is a nested one on the host: the guest's first-stage tables, and all
 * bindings that share them.
 *
 * Up the path: the VMM, by viommu/vtd-accel.h. Down the path: core/core.h.
 */

#include "core/core.h"
#include "core/shadow.h"

#include <viommu/services.h>
#include <viommu/vtd-accel.h>

#include "regs.h"

/* --- caps.c --- */

/*
 * Whether a host unit keeps what the guest's registers promise; else an error that names
 * the field and both values.
 */
gboolean viommui_vtd_check_caps(guint64 cap, guint64 ecap, const ViommuHostDeviceInfo *host,
                                const char *device, GError **error);
/* Whether the library itself can keep the promises, whatever the host. */
gboolean viommui_vtd_check_guest_caps(guint64 cap, guint64 ecap, GError **error);
/* Bits of guest-physical address that table entries may have. */
guint viommui_vtd_physical_bits(guint64 cap);

/* --- pasid-entry.c --- */

typedef enum {
    VIOMMUI_PASID_ENTRY_NOT_PRESENT,
    VIOMMUI_PASID_ENTRY_FIRST,
    VIOMMUI_PASID_ENTRY_SECOND,
    VIOMMUI_PASID_ENTRY_PASS_THROUGH,
    VIOMMUI_PASID_ENTRY_ILLEGAL,
} ViommuiPasidEntryKind;

/* What a PASID table entry asks for. */
typedef struct {
    ViommuiPasidEntryKind kind;
    gboolean fault_disabled;
    guint16 did;
    guint64 table; /* FIRST, SECOND */
    guint levels;
    gboolean supervisor; /* FIRST: SRE, WPE, ERE, NXE, EAFE */
    gboolean write_protect;
    gboolean execute;
    gboolean no_execute;
    gboolean extended_accessed;
    guint pgtt;
    /* ILLEGAL: the fault reason, the field at fault and its value */
    guint8 reason;
    const char *why;
    guint64 value;
} ViommuiPasidEntry;

/* Read the 64 bytes of a guest's entry (a copy). */
ViommuiPasidEntry viommui_vtd_decode_pasid_entry(guint64 cap, guint64 ecap,
                                                 const guint8 *bytes);
/* The host's configuration for an entry of kind FIRST. */
ViommuiVtdStage1 viommui_vtd_make_stage1(const ViommuiPasidEntry *entry);

/* --- descriptor.c --- */

typedef enum {
    VIOMMUI_DESCRIPTOR_CONTEXT_CACHE,
    VIOMMUI_DESCRIPTOR_PASID_CACHE,
    VIOMMUI_DESCRIPTOR_IOTLB,       /* tagged by domain: all stages */
    VIOMMUI_DESCRIPTOR_PASID_IOTLB, /* of one domain and PASID */
    VIOMMUI_DESCRIPTOR_DEVICE_TLB,
    VIOMMUI_DESCRIPTOR_WAIT,
    VIOMMUI_DESCRIPTOR_PAGE_GROUP_RESPONSE,
    VIOMMUI_DESCRIPTOR_COMPLETE, /* nothing to do */
    VIOMMUI_DESCRIPTOR_ILLEGAL,
} ViommuiDescriptorKind;

typedef enum {
    VIOMMUI_GRANULARITY_GLOBAL,
    VIOMMUI_GRANULARITY_DOMAIN,
    VIOMMUI_GRANULARITY_PASID,  /* a PASID within a domain */
    VIOMMUI_GRANULARITY_DEVICE, /* a requester ID, and those that the mask adds */
    VIOMMUI_GRANULARITY_PAGE,
} ViommuiGranularity;

typedef struct {
    ViommuiDescriptorKind kind;
    guint type;
    ViommuiGranularity granularity;
    guint16 did;
    guint16 rid;
    guint function_mask; /* bits of the function number that do not count */
    gboolean has_pasid;
    guint32 pasid;
    guint64 first; /* PAGE and DEVICE_TLB: what is meant; last is inclusive */
    guint64 last;
    gboolean leaf; /* tables are unchanged */
    /* WAIT */
    gboolean interrupt;
    gboolean drains; /* page requests, before it is complete */
    gboolean status_write;
    guint32 status_data;
    guint64 status_address;
    /* PAGE_GROUP_RESPONSE */
    guint group;
    gboolean success;
    /* ILLEGAL: IQERCD.IQEI, and the words for it */
    guint8 error;
    const char *why;
} ViommuiDescriptor;

/* Read a descriptor's 32 bytes (a copy). ttm: the mode of the root table, by SRTP. */
ViommuiDescriptor viommui_vtd_decode_descriptor(guint64 cap, guint64 ecap, guint ttm,
                                                const guint8 *bytes);
/* The range of a mask: 2^mask pages around an address, as VT-d aligns them. */
void viommui_vtd_mask_range(guint64 address, guint mask, guint64 *ret_first,
                            guint64 *ret_last);

/* --- second-stage.c --- */

/* Second-stage tables of a guest, 3.7. */
typedef struct {
    guint64 table;
    guint levels;
    guint physical_bits;     /* of the addresses in entries */
    gboolean snoop_reserved; /* SNP is */
} ViommuiVtdSecondStage;

/*
 * Visit what they map of first to last (inclusive), as ViommuiShadowSource.walk; the
 * interrupt range is left out. FALSE: there is too much of it.
 */
gboolean viommui_vtd_visit_second_stage(const ViommuServices *services,
                                        const ViommuiVtdSecondStage *tables, guint64 first,
                                        guint64 last, ViommuiShadowVisit visit,
                                        void *visit_data);

/* --- index.c --- */

/* Sets of pointers, found by number; a pointer may be in a set several times over. */
typedef struct ViommuiIndex ViommuiIndex;

ViommuiIndex *viommui_index_new(void);
void viommui_index_free(ViommuiIndex *index);
void viommui_index_add(ViommuiIndex *index, guint64 number, gpointer item);
/* Once less in the set; it must be there. */
void viommui_index_remove(ViommuiIndex *index, guint64 number, gpointer item);
gboolean viommui_index_contains(ViommuiIndex *index, guint64 number, gpointer item);
/* Add the set's members to an array, each once. */
void viommui_index_collect(ViommuiIndex *index, guint64 number, GPtrArray *items);

/* --- the acceleration layer --- */

typedef struct ViommuiVtdHwpt ViommuiVtdHwpt;
typedef struct ViommuiVtdShadow ViommuiVtdShadow;
typedef struct ViommuiVtdDevice ViommuiVtdDevice;

/* One host unit, or several that are alike, behind the guest's. */
typedef struct {
    ViommuHost *host;
    guint64 cap;
    guint64 ecap;
    ViommuiHostViommu *viommu;
    guint n_devices;
    GHashTable *
        by_devid; /* the ID in page requests, of hosts that have them -> ViommuiVtdDevice */
} ViommuiVtdHost;

/* What is to become of a binding. */
typedef enum {
    VIOMMUI_GOAL_BLOCKED,
    VIOMMUI_GOAL_IDENTITY,
    VIOMMUI_GOAL_SECOND_STAGE, /* a legacy entry's table */
    VIOMMUI_GOAL_ENTRY,        /* as the PASID table entry says */
} ViommuiGoal;

typedef struct {
    ViommuiVtdDevice *device;
    guint32 pasid;       /* on the host: VIOMMUI_NO_PASID or a number */
    guint32 table_pasid; /* whose entry it is: RID_PASID, or the number */
    ViommuiGoal goal;
    gboolean is_settled;
    gboolean is_indexed; /* under did and table_pasid, in the tables of bindings */
    gboolean is_present; /* the entry was, when it was last read */
    gboolean fault_disabled; /* by it, or by one on the way to it */
    guint16 did;
    ViommuiVtdHwpt *hwpt;     /* the first-stage tables it is bound to, or NULL */
    ViommuiVtdShadow *shadow; /* the copy of second-stage tables that it has, or NULL */
    /* What was told of the last refusal; 0: nothing since a good entry. */
    guint8 told;
    guint64 told_entry[PASID_ENTRY_WORDS];
} ViommuiVtdBinding;

struct ViommuiVtdDevice {
    ViommuHostDevice *device;
    ViommuiVtdHost *host;
    guint16 rid;
    gboolean page_requests; /* it can send them */
    ViommuVtdContext context;
    ViommuiVtdBinding rid_binding;
    GHashTable *pasids;   /* PASID -> ViommuiVtdBinding; owns them */
    GHashTable *requests; /* page requests not answered yet (vtd-accel-requests.c) */
};

struct ViommuVtdAccel {
    ViommuVtdAccelConfig config;
    gboolean blocked;          /* until release */
    GPtrArray *hosts;          /* ViommuiVtdHost */
    guint first_host;          /* whose page requests are read first, modulo their number */
    GHashTable *by_device;     /* ViommuHostDevice -> ViommuiVtdDevice; owns them */
    ViommuiIndex *by_rid;      /* ViommuiVtdDevice: several under a bridge's alias */
    GHashTable *pasid_devices; /* a set of devices whose PASIDs are enabled */
    /* ViommuiVtdBinding: by domain ID; by domain ID and PASID; by PASID, if not settled */
    ViommuiIndex *by_did;
    ViommuiIndex *by_did_pasid;
    ViommuiIndex *unsettled;
    GHashTable *all_unsettled; /* the same, a set */
    GHashTable *put_off;       /* a set of bindings with a change that the host refused */
    /* ViommuiVtdHwpt: by config; by domain ID; by domain ID and PASID */
    GHashTable *hwpts;
    ViommuiIndex *hwpt_by_did;
    ViommuiIndex *hwpt_by_did_pasid;
    GPtrArray *queued;  /* those with something in their batch */
    GPtrArray *shadows; /* ViommuiVtdShadow; and by domain ID */
    ViommuiIndex *shadow_by_did;
};

static inline guint64 viommui_vtd_did_pasid(guint16 did, guint32 pasid)
{
    return (guint64)did << PASID_BITS | pasid;
}

/* --- vtd-accel-bindings.c --- */

void viommui_vtd_binding_init(ViommuiVtdBinding *binding, ViommuiVtdDevice *device,
                              guint32 pasid);
/* It is blocked, and known no more; what it is to its device is the caller's. */
void viommui_vtd_binding_forget(ViommuVtdAccel *accel, ViommuiVtdBinding *binding);
/* The host cannot keep what it has: blocked, told, and tried again as if it were new. */
void viommui_vtd_binding_fail(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                              ViommuResult result);
/* Tell of a page that a binding cannot have; the rest of it stands. */
void viommui_vtd_binding_refuse_page(ViommuVtdAccel *accel,
                                     const ViommuiVtdBinding *binding, guint64 iova,
                                     ViommuResult result);
/*
 * Give the binding what its goal, or the guest's entry, says now; what is refused is told.
 * The result is the host's: VIOMMU_OK also where the guest's entry is bad.
 */
ViommuResult viommui_vtd_settle(ViommuVtdAccel *accel, ViommuiVtdBinding *binding);
/* The same for a PASID, which may have no binding yet, and has none if it has no entry. */
ViommuResult viommui_vtd_settle_pasid(ViommuVtdAccel *accel, ViommuiVtdDevice *device,
                                      guint32 pasid);
/* Settle the PASIDs of a device that have an entry, and no binding yet. */
ViommuResult viommui_vtd_find_new_pasids(ViommuVtdAccel *accel, ViommuiVtdDevice *device);
/* Settle every PASID of a device that has a binding. */
ViommuResult viommui_vtd_settle_known_pasids(ViommuVtdAccel *accel, ViommuiVtdDevice *device);
/* Read the guest's context entry, and settle all that follows from it. */
ViommuResult viommui_vtd_refresh_device(ViommuVtdAccel *accel, ViommuiVtdDevice *device);
/*
 * Changes that the host put off are tried again. FALSE: there is a device that the host
 * does not even block.
 */
gboolean viommui_vtd_retry_put_off(ViommuVtdAccel *accel);

/* --- vtd-accel-hwpt.c --- */

/*
 * The host has a binding bound, under this domain ID from now on; was_bound: it had it so
 * before, under another ID. And it is about to be bound to something else, or to nothing.
 */
void viommui_vtd_hwpt_join(ViommuVtdAccel *accel, ViommuiVtdBinding *binding, guint16 did,
                           gboolean was_bound);
void viommui_vtd_hwpt_leave(ViommuVtdAccel *accel, ViommuiVtdBinding *binding);
/* Queue an invalidation of the tables of a domain, or of all: of everything. */
void viommui_vtd_queue_all(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor);
/* Queue one of a domain and PASID: of everything, or of a range. */
void viommui_vtd_queue_pasid(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor);
/*
 * Issue what is queued. Where the host fails, all that is bound to the tables is attached
 * anew, which leaves nothing cached either; or it is blocked.
 */
void viommui_vtd_flush(ViommuVtdAccel *accel);

/* --- vtd-accel-shadow.c --- */

/* Whether second-stage tables of a device can be shadowed. */
gboolean viommui_vtd_can_shadow(const ViommuVtdAccel *accel);
/* From whatever it has to a copy of these tables; kept equal to them from now on. */
ViommuResult viommui_vtd_shadow_attach(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                       const ViommuiVtdSecondStage *tables, guint16 did);
/* It has, or is about to have, something else. */
void viommui_vtd_shadow_leave(ViommuVtdAccel *accel, ViommuiVtdBinding *binding);
/* An IOTLB invalidation: copies of the domain, or all, are made equal again. */
void viommui_vtd_sync_shadows(ViommuVtdAccel *accel, const ViommuiDescriptor *descriptor);

/* --- vtd-accel-requests.c --- */

void viommui_vtd_requests_init(ViommuiVtdDevice *device);
/* Answer what a binding has asked for, or all of a device's, with "invalid". */
void viommui_vtd_requests_drop(ViommuiVtdDevice *device, const ViommuiVtdBinding *binding);
/* Answer all that was not answered yet with "success": devices ask again. */
void viommui_vtd_answer_requests(ViommuVtdAccel *accel);

#endif
