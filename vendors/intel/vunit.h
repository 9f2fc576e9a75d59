/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_VTD_VUNIT_H
#define VIOMMUI_VTD_VUNIT_H

/*
 * What the files of the front end share: a whole guest VT-d unit as viommu/vtd.h shows it.
 *
 *   vunit.c              its life: made, devices, reset
 *   offer.c              CAP and ECAP: asked for, implemented, and on every host
 *   registers.c          MMIO, side effects of registers
 *   interrupts.c         the three event interrupts
 *   invalidation-queue.c descriptors in order, to the software caches and the accel layer;
 * waits faults.c             fault records, overflow, the fault event page-requests.c the
 * page request queue tables.c             root, context and PASID entries, read from guest
 * memory configuration.c      which translation a requester ID and PASID have; cached
 *   walk.c               one translation by first- or second-stage tables; pure but for
 * memory translate.c          emulated endpoints: sections, IOTLB, faults state.c save and
 * restore
 *
 * Up the path: the VMM. Down the path: the accel layer (viommu/vtd-accel.h), which alone
 * knows host devices; core/iotlb.h.
 *
 * Two sides of it run at the same time: one thread in the calls that must not overlap (the
 * register side), and any number in translate (the endpoint side). What both touch is named
 * at `sections` and `event_lock`.
 */

#include <viommu/vtd.h>

#include "core/configurations.h"
#include "core/endpoints.h"
#include "core/iotlb.h"
#include "core/sections.h"
#include "vtd.h"

/* An event interrupt's registers: control, data, address. */
typedef struct {
    guint32 ctl;
    guint32 data;
    guint32 addr;
    guint32 uaddr;
} ViommuiVtdEvent;

typedef enum {
    VIOMMUI_VTD_FAULT_EVENT,
    VIOMMUI_VTD_INVALIDATION_EVENT,
    VIOMMUI_VTD_PAGE_REQUEST_EVENT,
    VIOMMUI_VTD_N_EVENTS,
} ViommuiVtdEventKind;

/* 11.4: the registers, as the guest wrote them or reads them. */
typedef struct {
    guint64 cap; /* what is offered; frozen by the first access */
    guint64 ecap;
    guint32 gsts;
    guint64 rtaddr; /* as written */
    guint64 root;   /* as it was at the last SRTP: what is in use */
    guint64 ccmd;
    guint64 iva;
    guint64 iotlb;
    guint32 fsts;
    guint64 frcd[VTD_MAX_FRCD][2];
    guint32 fault_index; /* the record to be written next */
    guint32 held; /* host devices are blocked until the first release, or TE; no register */
    guint64 iqh;
    guint64 iqt;
    guint64 iqa;
    guint64 iqercd;
    guint32 ics;
    guint64 pqh;
    guint64 pqt;
    guint64 pqa;
    guint32 prs;
    ViommuiVtdEvent events[VIOMMUI_VTD_N_EVENTS];
} ViommuiVtdRegisters;

struct ViommuVtd {
    ViommuVtdConfig config;
    ViommuVtdAccel *accel;
    GHashTable *devices; /* a set of ViommuHostDevice */
    ViommuiVtdRegisters regs;
    guint32 unmet;    /* bits of gsts that the guest is not shown yet: inverted */
    gboolean frozen;  /* the guest has seen what is offered */
    gboolean blocked; /* all requests are, whatever registers say, until release */

    /*
     * Read sections see what the register side changes only by viommui_vtd_begin_change():
     * gsts, root, cap, ecap, `blocked`, and both caches. That waits for the sections that
     * began before, which is what an invalidation wait owes.
     */
    ViommuiSections *sections;
    /*
     * The endpoint side records faults too, and sends what interrupts are owed: fsts, frcd,
     * fault_index, events.
     */
    GMutex event_lock;
    guint owed; /* interrupts to be sent, a bit for each event; atomic */
    ViommuiIotlb *iotlb;
    ViommuiConfigurations *configurations; /* of ViommuiVtdConfiguration */
    ViommuiEndpoints *endpoints;
};

static inline gboolean viommui_vtd_is_translating(const ViommuVtd *vtd)
{
    return viommui_field_get(vtd->regs.gsts, GCMD_TE) != 0;
}

static inline guint viommui_vtd_ttm(const ViommuVtd *vtd)
{
    return viommui_field_get(vtd->regs.root, RTADDR_TTM);
}

/* --- vunit.c --- */
/* What is offered to these devices and one more, if not NULL; unless it is frozen. */
void viommui_vtd_update_offer(ViommuVtd *vtd, ViommuHostDevice *newcomer);
/*
 * Give every host device what registers and tables say now. What fails leaves its device
 * blocked, and the guest is told by a fault.
 */
void viommui_vtd_refresh(ViommuVtd *vtd);
/* Try again what was put off. FALSE: a device still does DMA by what it had before. */
gboolean viommui_vtd_catch_up(ViommuVtd *vtd);
/* A host behind, for traces of the guest's errors, or NULL. */
ViommuHost *viommui_vtd_get_host(ViommuVtd *vtd);

/* --- offer.c --- */
gboolean viommui_vtd_check_config(const ViommuVtdConfig *config, GError **error);
/*
 * CAP and ECAP for these hosts (n may be 0), which can map guest-physical addresses of so
 * many bits: what is AUTO is what all can do.
 */
void viommui_vtd_offer(const ViommuVtdConfig *config,
                       const ViommuHostDeviceInfo *const *hosts, guint n,
                       guint mappable_bits, guint64 *ret_cap, guint64 *ret_ecap);
/* What the accel layer does not see. */
gboolean viommui_vtd_check_device(const ViommuVtdConfig *config, guint64 cap,
                                  guint mappable_bits, ViommuHostDevice *device,
                                  GError **error);

/* --- registers.c --- */
void viommui_vtd_registers_reset(ViommuVtd *vtd);
/* Values a guest cannot have written are made ones that it can have (a restored state). */
void viommui_vtd_registers_sanitize(ViommuVtd *vtd);

/* --- interrupts.c --- */
/* With event_lock held. An event: sent, or pending while it is masked. */
void viommui_vtd_raise_event(ViommuVtd *vtd, ViommuiVtdEventKind kind);
/* The conditions for it are gone. */
void viommui_vtd_lower_event(ViommuVtd *vtd, ViommuiVtdEventKind kind);
/* Takes event_lock. The guest has written the control register: what was pending is sent
 * with IM 0. */
void viommui_vtd_write_event_control(ViommuVtd *vtd, ViommuiVtdEventKind kind,
                                     guint32 value);
/* Send what is owed; without event_lock, outside of sections: last in every public call. */
void viommui_vtd_deliver_interrupts(ViommuVtd *vtd);

/* --- faults.c --- */
typedef struct {
    guint16 rid;
    guint32 pasid; /* or VIOMMU_VTD_NO_PASID */
    guint8 reason;
    guint64 address;
    gboolean read;
    gboolean execute;
    gboolean privileged;
} ViommuiVtdFault;

/* Record a fault, unless the entry disables those of its reason; takes event_lock. */
void viommui_vtd_record_fault(ViommuVtd *vtd, const ViommuiVtdFault *fault,
                              gboolean fault_disabled);
/* Set a bit of FSTS, with the event for it; takes event_lock. */
void viommui_vtd_set_fault_status(ViommuVtd *vtd, ViommuiField status);
/* With event_lock held: the guest has written 1s to a record's upper half, and to FSTS. */
void viommui_vtd_clear_fault(ViommuVtd *vtd, guint n, guint64 ones);
void viommui_vtd_clear_fault_status(ViommuVtd *vtd, guint32 ones);

/* --- invalidation-queue.c --- */
/* Consume until empty or in error, by the queue as it stands now. */
void viommui_vtd_run_queue(ViommuVtd *vtd);
/*
 * Carry out one descriptor that is not in the queue: CCMD, IOTLB registers. FALSE: it is
 * not to be told done.
 */
gboolean viommui_vtd_invalidate(ViommuVtd *vtd, const guint64 words[2]);

/* --- page-requests.c --- */
/* Move what waits on the host to the guest's queue. */
void viommui_vtd_move_page_requests(ViommuVtd *vtd);

/* --- tables.c --- */

/* A requester ID's context entry, as it is in memory now. */
typedef struct {
    /*
     * Why there is none, or none that is legal: a fault reason; 0: there is. *_P reasons
     * are of entries that are not present.
     */
    guint8 reason;
    gboolean fault_disabled;
    guint64 words[4]; /* what was read */
    /* legacy */
    guint tt;
    guint16 did;
    guint64 table;
    guint levels;
    /* scalable */
    gboolean pasids_enabled;
    gboolean page_requests;
    guint64 directory;
    guint pasid_bits; /* that the directory holds */
    guint32 rid_pasid;
} ViommuiVtdContextEntry;

gboolean viommui_vtd_is_not_present(guint8 reason);
ViommuiVtdContextEntry viommui_vtd_read_context_entry(ViommuVtd *vtd, guint16 rid);
/* 0 with a copy of the entry, present or not; or a fault reason, *_P ones too. */
guint8 viommui_vtd_read_pasid_entry(ViommuVtd *vtd, const ViommuiVtdContextEntry *context,
                                    guint32 pasid,
                                    guint8 ret_entry[VIOMMU_VTD_PASID_ENTRY_SIZE],
                                    gboolean *ret_fault_disabled);
/* The first PASID of first to last that has a present entry. */
gboolean viommui_vtd_find_pasid(ViommuVtd *vtd, const ViommuiVtdContextEntry *context,
                                guint32 first, guint32 last, guint32 *ret_pasid);

/* --- walk.c --- */

/* Tables of one stage, and how they are to be walked. */
typedef struct {
    guint64 table;
    guint levels;
    guint physical_bits; /* of the addresses in entries */
    guint width;         /* second stage: bits of input address */
    gboolean page_1g;
    gboolean snoop_reserved; /* second stage: SNP is */
    gboolean scalable;       /* how faults are called */
    gboolean write_protect;  /* first stage: of supervisor requests too */
    gboolean extended_accessed;
} ViommuiVtdTables;

typedef struct {
    guint64 input; /* the first address that the page covers */
    guint64 output;
    guint order;   /* log2 of its size */
    gboolean user; /* first stage */
    gboolean writable;
    gboolean readable;
    gboolean dirty; /* a write needs no more walk */
} ViommuiVtdWalk;

/* 0 with *ret_walk, or a fault reason. */
guint8 viommui_vtd_walk_first_stage(const ViommuServices *services,
                                    const ViommuiVtdTables *tables, guint64 iova,
                                    ViommuAccess access, ViommuiVtdWalk *ret_walk);
guint8 viommui_vtd_walk_second_stage(const ViommuServices *services,
                                     const ViommuiVtdTables *tables, guint64 iova,
                                     ViommuAccess access, ViommuiVtdWalk *ret_walk);
/* Of what a walk has found: 0, or the fault reason of an access that it does not allow. */
guint8 viommui_vtd_check_first_stage(const ViommuiVtdTables *tables,
                                     const ViommuiVtdWalk *walk, ViommuAccess access);
guint8 viommui_vtd_check_second_stage(const ViommuiVtdTables *tables,
                                      const ViommuiVtdWalk *walk, ViommuAccess access);
/* Bits above the top level's are copies of its highest. */
gboolean viommui_vtd_is_canonical(guint64 iova, guint levels);

/* --- configuration.c --- */

/* What requests of a requester ID and PASID get. */
typedef struct {
    enum {
        VIOMMUI_VTD_FAULT, /* blocked, with `reason` */
        VIOMMUI_VTD_BYPASS,
        VIOMMUI_VTD_FIRST_STAGE,
        VIOMMUI_VTD_SECOND_STAGE,
    } kind;
    guint8 reason;
    gboolean fault_disabled;
    gboolean from_pasid_table;
    guint16 did;
    guint32 pasid;       /* of the entry, which tags first-stage translations */
    gboolean supervisor; /* SRE */
    ViommuiVtdTables tables;
} ViommuiVtdConfiguration;

/* In a read section. Looked up in the cache, or read from guest memory. */
void viommui_vtd_get_configuration(ViommuVtd *vtd, guint16 rid, guint32 pasid,
                                   ViommuiVtdConfiguration *ret_configuration);
/* Within a change: what a context-cache or PASID-cache invalidation means for the cache. */
void viommui_vtd_forget_configurations(ViommuVtd *vtd, const ViommuiDescriptor *descriptor);
void viommui_vtd_forget_all(ViommuVtd *vtd);

/* --- translate.c --- */
/* The part of a unit that endpoints use: sections, IOTLB, configurations. */
void viommui_vtd_endpoints_init(ViommuVtd *vtd);
void viommui_vtd_endpoints_clear(ViommuVtd *vtd);
/* Wait for the read sections that have begun, and keep others out. Do not nest. */
void viommui_vtd_begin_change(ViommuVtd *vtd);
void viommui_vtd_end_change(ViommuVtd *vtd);
/* What an IOTLB or device-TLB invalidation means for endpoints; within a change. */
void viommui_vtd_invalidate_iotlb(ViommuVtd *vtd, const ViommuiDescriptor *descriptor);

#endif
