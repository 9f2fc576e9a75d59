/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_SMMUV3_VSMMU_H
#define VIOMMUI_SMMUV3_VSMMU_H

/*
 * What the files of the front end share: a whole guest SMMUv3 as viommu/smmuv3.h shows it.
 *
 *   vsmmu.c         its life: made, devices, reset
 *   offer.c         which ID registers: asked for, implemented, and on every host
 *   registers.c     MMIO, side effects of registers, interrupts
 *   command-queue.c commands in order, batches to the accel layer, SYNC
 *   event-queue.c   events in, overflow, host events
 *   stream-table.c  stream table entries, linear and two levels
 *   configuration.c which translation a stream and substream have: STE, CD; cached
 *   walk.c          one translation by the guest's tables; pure but for memory
 *   translate.c     emulated endpoints: sections, IOTLB, faults
 *   state.c         save and restore
 *
 * Up the path: the VMM. Down the path: the accel layer (viommu/smmuv3-accel.h), which alone
 * knows host devices; core/iotlb.h.
 *
 * Two sides of it run at the same time: one thread in the calls that must not overlap (the
 * register side), and any number in translate (the endpoint side). What both touch is named
 * at `sections`.
 */

#include <viommu/smmuv3.h>

#include "core/configurations.h"
#include "core/endpoints.h"
#include "core/iotlb.h"
#include "core/sections.h"
#include "smmuv3.h"

/* A host device behind this SMMU, and what its stream was told. */
typedef struct {
    ViommuHostDevice *device;
    guint32 sid;      /* VIOMMU_SMMUV3_SID_UNKNOWN */
    gboolean follows; /* the host has what the stream's entry says */
    guint event; /* the last event recorded for a bad entry, 0: none since a good one */
    guint64 reason[2]; /* and what the entry said then */
} ViommuiSmmuv3HostStream;

/* 6.3: the registers, as the guest wrote them or reads them. */
typedef struct {
    guint32 idr[6]; /* what is offered; frozen by the first access */
    guint32 cr0;
    guint32 cr0ack;
    guint32 cr1;
    guint32 cr2;
    guint32 gbpa;
    guint32 irq_ctrl;
    guint32 irq_ctrlack;
    guint32 gerror;
    guint32 gerrorn;
    guint64 gerror_irq_cfg0;
    guint32 gerror_irq_cfg1;
    guint32 gerror_irq_cfg2;
    guint64 strtab_base;
    guint32 strtab_base_cfg;
    guint64 cmdq_base;
    guint32 cmdq_prod;
    guint32 cmdq_cons;
    guint64 eventq_base;
    guint32 eventq_prod;
    guint32 eventq_cons;
    guint64 eventq_irq_cfg0;
    guint32 eventq_irq_cfg1;
    guint32 eventq_irq_cfg2;
} ViommuiSmmuv3Registers;

struct ViommuSmmuv3 {
    ViommuHost *host; /* NULL: emulated endpoints only */
    ViommuSmmuv3Config config;
    ViommuSmmuv3Accel *accel; /* NULL without a host */
    GHashTable *devices;      /* ViommuHostDevice -> ViommuiSmmuv3HostStream; owns them */
    GHashTable *by_sid;       /* StreamID -> ViommuiSmmuv3HostStream */
    ViommuiSmmuv3Registers regs;
    gboolean frozen;   /* the guest has seen what is offered */
    gboolean held;     /* host devices abort, whatever GBPA says, until the first release */
    gboolean lost;     /* they abort until release, as the host has failed for good */
    gboolean blocked;  /* all streams abort, whatever registers say, until release */
    guint event_depth; /* what the host's event queues hold */

    /*
     * Read sections see what the register side changes only by
     * viommui_smmuv3_begin_change(): regs.cr0, cr2, gbpa, strtab_base(_cfg), idr,
     * `blocked`, and both caches. That waits for the sections that began before, which is
     * what SYNC owes.
     */
    ViommuiSections *sections;
    /* The endpoint side records events too: the event queue, its registers and IRQ. */
    GMutex event_lock;
    guint owed; /* interrupts to be sent, a bit for each line; atomic */
    ViommuiIotlb *iotlb;
    ViommuiConfigurations *configurations; /* of ViommuiSmmuv3Configuration */
    ViommuiEndpoints *endpoints;
};

/* --- registers.c --- */
void viommui_smmuv3_registers_reset(ViommuSmmuv3 *smmu);
/* With event_lock held: */
/* Toggle an error in GERROR unless it is active already, and interrupt (6.3.17, 6.3.18). */
void viommui_smmuv3_raise_gerror(ViommuSmmuv3 *smmu, guint32 bit);
/* Interrupt by MSI or line, if IRQ_CTRL has it enabled: VIOMMU_SMMUV3_IRQ_EVENTQ, GERROR.
 */
void viommui_smmuv3_interrupt(ViommuSmmuv3 *smmu, guint line);
/* Send what is owed; without event_lock, outside of sections: last in every public call. */
void viommui_smmuv3_deliver_interrupts(ViommuSmmuv3 *smmu);
/* An MSI met nothing at its address: one of GERROR_MSI_... ; takes event_lock. */
void viommui_smmuv3_msi_aborted(ViommuSmmuv3 *smmu, ViommuiField error);
/* Values a guest cannot have written are made ones that it can have (a restored state). */
void viommui_smmuv3_registers_sanitize(ViommuSmmuv3 *smmu);

/* --- command-queue.c --- */
/* Consume until empty or in error, by the queue as it stands now. */
void viommui_smmuv3_run_commands(ViommuSmmuv3 *smmu);

/* --- event-queue.c --- */
/* Record one event of 32 bytes; takes event_lock. Lost and said so if there is no room. */
void viommui_smmuv3_record_event(ViommuSmmuv3 *smmu, const guint8 *event);
/* Fill in an event: the words 7.3 gives all events; others by the caller. */
void viommui_smmuv3_make_event(guint id, guint32 sid, guint32 ssid, guint64 ret_words[4]);
/* Move what waits on the host to the guest's queue. */
void viommui_smmuv3_drain_host_events(ViommuSmmuv3 *smmu);
/* Have the host's queues hold what the guest's does; what still waits there is lost. */
void viommui_smmuv3_resize_host_events(ViommuSmmuv3 *smmu);

/* --- stream-table.c --- */
typedef enum {
    VIOMMUI_STE_FOUND,
    VIOMMUI_STE_BAD_STREAMID, /* out of range: C_BAD_STREAMID */
    VIOMMUI_STE_FETCH_ABORT,  /* the table cannot be read: F_STE_FETCH */
    VIOMMUI_STE_BAD_L1,       /* an illegal level 1 descriptor: C_BAD_STREAMID */
} ViommuiSteFetch;
/* Read a stream's entry, once, into a copy; *ret_address: where it stands or was looked
 * for. */
ViommuiSteFetch viommui_smmuv3_fetch_ste(ViommuSmmuv3 *smmu, guint32 sid,
                                         guint8 ret_ste[VIOMMU_SMMUV3_STE_SIZE],
                                         guint64 *ret_address);
/*
 * Give a host device's stream what registers and table say now; the guest is told of a bad
 * entry by an event, once for each change of it. Nothing to do for a stream without one.
 */
ViommuResult viommui_smmuv3_refresh_stream(ViommuSmmuv3 *smmu, guint32 sid);
/* All host devices' streams with first <= StreamID <= last (inclusive). */
ViommuResult viommui_smmuv3_refresh_streams(ViommuSmmuv3 *smmu, guint32 first,
                                            guint32 last);
/* Give every host device what the registers and tables say now: SMMUEN, GBPA. */
gboolean viommui_smmuv3_refresh_all(ViommuSmmuv3 *smmu, GError **error);

/*
 * The host will not do what must be done: every host device is blocked until the next
 * release, and the guest gets an F_STE_FETCH for each.
 */
void viommui_smmuv3_lose_streams(ViommuSmmuv3 *smmu);

/* --- vsmmu.c --- */
/* What is offered to these devices and one more, if not NULL; unless it is frozen. */
void viommui_smmuv3_update_offer(ViommuSmmuv3 *smmu, ViommuHostDevice *newcomer);

/* --- offer.c --- */
gboolean viommui_smmuv3_check_config(const ViommuSmmuv3Config *config, GError **error);
/* The ID registers for these hosts (n may be 0): what is AUTO is what all can do. */
void viommui_smmuv3_offer(const ViommuSmmuv3Config *config,
                          const ViommuHostDeviceInfo *const *hosts, guint n,
                          guint32 ret_idr[6]);
/*
 * OAS of AUTO is at most these bits; and whether it is within them, frozen or as asked for.
 */
void viommui_smmuv3_limit_address_bits(const ViommuSmmuv3Config *config, guint bits,
                                       guint32 idr[6]);
gboolean viommui_smmuv3_check_address_bits(const guint32 idr[6], guint bits,
                                           ViommuHostDevice *device, GError **error);
/* What the accel layer does not see: ATS, and that a granule is left. */
gboolean viommui_smmuv3_check_device(const guint32 idr[6], ViommuHostDevice *device,
                                     GError **error);

/* --- configuration.c --- */
/* What a stream and substream have, from registers, STE and CD. */
typedef struct {
    enum {
        VIOMMUI_CONFIGURATION_ABORT,
        VIOMMUI_CONFIGURATION_BYPASS,
        VIOMMUI_CONFIGURATION_TRANSLATE,
        VIOMMUI_CONFIGURATION_FAULT, /* abort, with this event */
    } kind;
    guint8 event[VIOMMU_SMMUV3_EVENT_SIZE];
    /* VIOMMUI_CONFIGURATION_TRANSLATE: the context descriptor, in CPU order */
    guint64 cd[8];
    guint16 asid;
} ViommuiSmmuv3Configuration;

/* In a read section. Looked up in the cache, or read from guest memory. */
void viommui_smmuv3_get_configuration(ViommuSmmuv3 *smmu, guint32 sid, guint32 ssid,
                                      ViommuiSmmuv3Configuration *ret_configuration);
/*
 * Within a change: first <= StreamID <= last. CFGI_STE, CFGI_STE_RANGE; all of them for
 * CFGI_ALL and when SMMUEN, GBPA or the stream table's registers change.
 */
void viommui_smmuv3_forget_streams(ViommuSmmuv3 *smmu, guint32 first, guint32 last);
/* Within a change: CFGI_CD; with VIOMMU_SMMUV3_NO_SUBSTREAM, CFGI_CD_ALL. */
void viommui_smmuv3_forget_cd(ViommuSmmuv3 *smmu, guint32 sid, guint32 ssid);

/* --- walk.c --- */
typedef enum {
    VIOMMUI_WALK_OK,
    VIOMMUI_WALK_TRANSLATION, /* F_TRANSLATION */
    VIOMMUI_WALK_ADDR_SIZE,   /* F_ADDR_SIZE */
    VIOMMUI_WALK_ACCESS,      /* F_ACCESS */
    VIOMMUI_WALK_PERMISSION,  /* F_PERMISSION */
    VIOMMUI_WALK_EABT,        /* F_WALK_EABT: a table is not in memory, at *ret_fetch */
} ViommuiWalkResult;

/* ViommuAccess READ, WRITE, EXECUTE of unprivileged accesses; above, of privileged ones. */
enum { VIOMMUI_PRIVILEGED_SHIFT = 8 };

typedef struct {
    guint64 output;  /* of the page or block that covers iova: its first byte */
    guint64 input;   /* the first iova it covers */
    guint64 size;    /* of the page or block */
    guint access;    /* what is allowed, in both halves; whatever was asked */
    gboolean global; /* not by ASID */
    guint level;
} ViommuiWalk;

/* Whether a context descriptor is legal (5.4.2); else it is a C_BAD_CD. */
gboolean viommui_smmuv3_is_legal_cd(const guint32 idr[6], const guint64 cd[8]);
/* The output address size of IDR5, in bits. */
guint viommui_smmuv3_address_bits(guint32 idr5);
/*
 * Whether an address lies in a half that is enabled, by EPDx, TxSZ and TBIx; *ret_va: its
 * bits 55:0, which are all that tables and the IOTLB know.
 */
gboolean viommui_smmuv3_is_in_range(const guint64 cd[8], guint64 iova, guint64 *ret_va);
/* What is allowed to accesses of this privilege. */
guint viommui_smmuv3_allowed(guint access_of_both, ViommuAccess access);
/*
 * Translate iova by a legal context descriptor. idr5 limits output addresses. *ret_walk is
 * written for VIOMMUI_WALK_OK and VIOMMUI_WALK_PERMISSION, *ret_fetch for EABT.
 */
ViommuiWalkResult viommui_smmuv3_walk(const ViommuServices *services, const guint64 cd[8],
                                      guint32 idr5, guint64 iova, ViommuAccess access,
                                      ViommuiWalk *ret_walk, guint64 *ret_fetch);

/* --- translate.c --- */
/* The part of a vSMMU that endpoints use: sections, IOTLB, configurations. */
void viommui_smmuv3_endpoints_init(ViommuSmmuv3 *smmu);
void viommui_smmuv3_endpoints_clear(ViommuSmmuv3 *smmu);
/* Wait for the read sections that have begun, and keep others out. Do not nest. */
void viommui_smmuv3_begin_change(ViommuSmmuv3 *smmu);
void viommui_smmuv3_end_change(ViommuSmmuv3 *smmu);
/* What a TLBI means for the IOTLB; within a change. Words in CPU order. */
void viommui_smmuv3_invalidate_iotlb(ViommuSmmuv3 *smmu, guint opcode,
                                     const guint64 word[2]);
/* ATC_INV: tell endpoints that cache (translations_changed). */
void viommui_smmuv3_invalidate_atc(ViommuSmmuv3 *smmu, const guint64 word[2]);

#endif
