/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_CORE_H
#define VIOMMUI_CORE_CORE_H

/*
 * The host-device contract, as vendors use it: bind, replace, detach, host vIOMMUs, shared
 * stage-1 configs, invalidation batches, events.
 *
 * Up the path: vendors/. Down the path: the backend, through core/backend.h.
 *
 * Vocabulary: an *attachment* is what a device's DMA goes through; a *config* is a guest's
 * stage-1 configuration in the host's terms, bytes that core compares and shares
 * but never reads; a *host vIOMMU* is the part of one physical IOMMU that serves one
 * guest vIOMMU: its nesting parent and whatever else the host keeps for it.
 */

#include "backend.h"

typedef struct ViommuiHostViommu ViommuiHostViommu;
typedef struct ViommuiConfig ViommuiConfig;
typedef struct ViommuiBatch ViommuiBatch;

typedef enum {
    VIOMMUI_BLOCKED,  /* DMA is refused */
    VIOMMUI_IDENTITY, /* DMA sees guest-physical addresses */
    VIOMMUI_NESTED,   /* DMA goes through the guest's config, then the parent */
    VIOMMUI_SHADOW,   /* DMA goes through a copy of a guest's table (core/shadow.h) */
} ViommuiAttachmentKind;

/* A guest's stage-1 configuration in the host's terms. */
typedef struct {
    const void *data;
    gsize size;
    /*
     * Page requests of devices bound to it come to the host vIOMMU's fault queue.
     * VIOMMU_UNSUPPORTED of a bind or replace: as far as the host knows, the device has
     * none.
     */
    gboolean page_requests;
} ViommuiStage1;

/* What a failing verb leaves behind. */
typedef enum {
    VIOMMUI_KEEP_OLD,    /* the attachment as it was, if that can be had */
    VIOMMUI_FAIL_CLOSED, /* BLOCKED: the guest has changed its tables */
} ViommuiOnFailure;

/* --- the host (host.c) ---------------------------------------------------------------- */

/* A host that is held is not freed: by every vIOMMU, as long as it lives. */
void viommui_host_hold(ViommuHost *host);
void viommui_host_let_go(ViommuHost *host);
/* How many bits of guest-physical address can be mapped, by the host vIOMMUs that there
 * are. */
guint viommui_host_get_address_bits(ViommuHost *host);
ViommuHost *viommui_host_device_get_host(ViommuHostDevice *device);

/* --- host vIOMMUs (host-viommu.c) ------------------------------------------------------
 */

typedef struct {
    ViommuiDataType type;
    /*
     * Configs that are this vendor's best forms of BLOCKED and IDENTITY; size 0: a detach,
     * and the parent. Copied.
     */
    const void *blocked_data;
    const void *identity_data;
    gsize data_size;
    /*
     * Stage 1s can be bound: the host is to nest. FALSE: a device is BLOCKED, or at
     * IDENTITY by a plain parent, or at a table.
     */
    gboolean nest;
    guint event_depth;      /* 0: no event queue */
    gboolean pasids;        /* PASIDs of its devices can be attached */
    gboolean page_requests; /* stage 1s may ask for them */
    /* An erratum: some invalidations must be issued again (viommui_batch_add). */
    gboolean invalidate_twice;
} ViommuiHostViommuConfig;

/* On the physical IOMMU of `device`. */
ViommuiHostViommu *viommui_host_viommu_new(ViommuHostDevice *device,
                                           const ViommuiHostViommuConfig *config,
                                           GError **error);
/* No device is served by it any more. Accepts NULL. */
void viommui_host_viommu_free(ViommuiHostViommu *hv);
/*
 * Have it hold as many events as this. The host gives no second queue beside the first:
 * what waits in the old one is lost, and the descriptor is another one. On failure it has
 * the old size again, or none.
 */
gboolean viommui_host_viommu_set_event_depth(ViommuiHostViommu *hv, guint depth,
                                             GError **error);
/* -1 where it has no event queue. */
int viommui_host_viommu_get_event_fd(ViommuiHostViommu *hv);
/* As viommu_smmuv3_accel_read_events(), for one host vIOMMU. */
ViommuResult viommui_host_viommu_read_events(ViommuiHostViommu *hv, void *events,
                                             gsize event_size, gsize max_events,
                                             gsize *ret_n_events, guint64 *ret_n_lost);

/* Polls readable while page requests wait; -1 where there is no fault queue. */
int viommui_host_viommu_get_page_request_fd(ViommuiHostViommu *hv);
/*
 * Take page requests, group after group; fewer than `max`: that is all for now. Read until
 * then before an attachment changes, since the host answers what is left (as invalid)
 * when the attachment it came through ends, and gives its cookie to another.
 */
ViommuResult viommui_host_viommu_read_page_requests(ViommuiHostViommu *hv,
                                                    ViommuiPageRequest *requests, gsize max,
                                                    gsize *ret_n);
/*
 * Answer a group. success: the device may try again; else the access has failed.
 * VIOMMU_GUEST_INVALID: no group of this cookie waits for an answer.
 */
ViommuResult viommui_host_viommu_respond(ViommuiHostViommu *hv, guint32 cookie,
                                         gboolean success);

/*
 * Serve a device by this host vIOMMU and block it in its form. VIOMMU_UNSUPPORTED:
 * the device is behind another physical IOMMU; where BLOCKED is a detach, only the first
 * other attachment finds that out. A device in use elsewhere is refused.
 */
ViommuResult viommui_host_device_join(ViommuHostDevice *device, ViommuiHostViommu *hv);
/*
 * Undo: all PASIDs, then the requester ID, detached on the host, and without a virtual ID.
 * Cannot fail: what the host refuses is tried again at the device's next change, and
 * reported.
 */
void viommui_host_device_leave(ViommuHostDevice *device);

/*
 * Name the device in the guest's terms (SMMUv3: StreamID), or take its name away. Blocks it
 * first; whatever translates comes after. On failure it is to be taken for nameless.
 */
ViommuResult viommui_host_device_set_virt_id(ViommuHostDevice *device, guint64 virt_id);
ViommuResult viommui_host_device_clear_virt_id(ViommuHostDevice *device);

/* --- configs (config.c) --------------------------------------------------------------- */

/*
 * The config of this stage 1 on this host vIOMMU: an existing one with one more reference,
 * or a new HWPT. `device` is one that is about to use it.
 */
ViommuResult viommui_config_get(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                const ViommuiStage1 *stage1, ViommuiConfig **ret_config);
ViommuiConfig *viommui_config_ref(ViommuiConfig *config);
/* More than one has it, or may still have it: what the host has cached is not one's own. */
gboolean viommui_config_is_shared(const ViommuiConfig *config);
/* Accepts NULL. */
void viommui_config_unref(ViommuiConfig *config);

/* --- the three verbs (attachment.c) --------------------------------------------------- */

/*
 * Each leaves the attachment as asked for, or as `on_failure` says; the caller
 * tells by the result.
 *
 * pasid: VIOMMUI_NO_PASID for the requester ID, whose attachment is that of its IOMMU
 * group; or a PASID of this device alone. VIOMMU_UNSUPPORTED: a PASID that the device does
 * not have (PASID 0 is the host's own name for the requester ID), any PASID of a device
 * that shares its group with another or whose host vIOMMU was made without them.
 */

/* From BLOCKED or IDENTITY to NESTED. Bound to the same already: nothing to do. */
ViommuResult viommui_host_device_bind(ViommuHostDevice *device, guint32 pasid,
                                      const ViommuiStage1 *stage1,
                                      ViommuiOnFailure on_failure);
/* From one NESTED to another. The same: nothing to do. */
ViommuResult viommui_host_device_replace(ViommuHostDevice *device, guint32 pasid,
                                         const ViommuiStage1 *stage1,
                                         ViommuiOnFailure on_failure);
/* To BLOCKED or IDENTITY. */
ViommuResult viommui_host_device_detach(ViommuHostDevice *device, guint32 pasid,
                                        ViommuiAttachmentKind to,
                                        ViommuiOnFailure on_failure);
/*
 * Attach anew what it has now, by way of a detach: nothing that the host has cached for it
 * is left. It fails closed. BLOCKED: nothing to do.
 */
ViommuResult viommui_host_device_rebind(ViommuHostDevice *device, guint32 pasid);

/* The host surely has it: bind and replace to this would make no call. */
gboolean viommui_host_device_is_bound_to(ViommuHostDevice *device, guint32 pasid,
                                         const ViommuiStage1 *stage1);
/* What the device's own attachment is now: BLOCKED for a PASID never attached. */
ViommuiAttachmentKind viommui_host_device_get_attachment(ViommuHostDevice *device,
                                                         guint32 pasid);
/*
 * What it is NESTED in, or would be if all of its IOMMU group were; without a reference of
 * the caller's. Else NULL.
 */
ViommuiConfig *viommui_host_device_get_config(ViommuHostDevice *device, guint32 pasid);
/*
 * What it was asked to have can be had by nobody: a PASID that devices of its IOMMU group
 * would share, or that the host keeps for requests without one; or others of the group want
 * something else. That is refused without the host's being asked.
 */
gboolean viommui_host_device_is_contested(ViommuHostDevice *device, guint32 pasid);
/* There are others in its IOMMU group; this is one of them. */
gboolean viommui_host_device_has_mates(const ViommuHostDevice *device);
gboolean viommui_host_device_is_mate(const ViommuHostDevice *device,
                                     const ViommuHostDevice *other);
/* A change waits for a retry. */
gboolean viommui_host_device_is_pending(ViommuHostDevice *device, guint32 pasid);
/*
 * Even blocking it was refused: it may still do DMA by what it had. It is tried again like
 * any change that was put off.
 */
gboolean viommui_host_device_is_at_large(ViommuHostDevice *device, guint32 pasid);
/* Try a put-off change again. */
ViommuResult viommui_host_device_retry(ViommuHostDevice *device, guint32 pasid);

ViommuiHostViommu *viommui_host_device_get_viommu(ViommuHostDevice *device);

/* --- invalidation (batch.c) ----------------------------------------------------------- */

/*
 * A batch holds validated entries in program order, aimed at a whole host vIOMMU or at one
 * HWPT of it. Each carries the index of the guest command it came from.
 *
 * config: NULL for the host vIOMMU, else the config whose HWPT it is; the batch has a
 * reference to it, and so is to be freed before the host vIOMMU is.
 */
ViommuiBatch *viommui_batch_new(ViommuiHostViommu *hv, ViommuiConfig *config,
                                gsize entry_size);
/* Entries not flushed are dropped. Accepts NULL. */
void viommui_batch_free(ViommuiBatch *batch);
gboolean viommui_batch_is_full(ViommuiBatch *batch);
/* The batch is not full. twice: the host needs this kind of entry a second time. */
void viommui_batch_add(ViommuiBatch *batch, const void *entry, gsize command,
                       gboolean twice);
/* The entry added last, for the vendor to widen, until the next call; NULL: none. */
void *viommui_batch_get_last(ViommuiBatch *batch);
/*
 * Issue them. Afterwards the batch is empty. On failure *ret_command is the guest command
 * whose entry the host refused, with all before it done.
 */
ViommuResult viommui_batch_flush(ViommuiBatch *batch, gsize *ret_command);

/* --- trace (trace.c) ------------------------------------------------------------------ */

gboolean viommui_tracing(ViommuHost *host);
/*
 * Between begin and end, what is refused is also gathered: end makes of it the GError of a
 * set-up call whose steps are data-path calls. VIOMMU_OK: no error. TRUE for success.
 */
void viommui_begin_set_up(ViommuHost *host);
gboolean viommui_end_set_up(ViommuHost *host, ViommuResult result, GError **error,
                            const char *format, ...) G_GNUC_PRINTF(4, 5);
/* Says that something is refused, and why; returns result, which is not VIOMMU_OK. */
ViommuResult viommui_refuse(ViommuHost *host, ViommuHostDevice *device, ViommuResult result,
                            const char *format, ...) G_GNUC_PRINTF(4, 5);

#endif
