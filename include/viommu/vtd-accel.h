/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_VTD_ACCEL_H
#define VIOMMU_VTD_ACCEL_H

#include <viommu/host-device.h>

G_BEGIN_DECLS

/*
 * ViommuVtdAccel: the hardware part of one guest VT-d remapping unit, for a VMM that has
 * its own register model. The VMM says how to read the guest's tables, hands over the
 * guest's invalidation descriptors, and asks for a refresh when the guest sets its root
 * table or enables translation; devices' DMA then follows the guest's first-stage tables in
 * hardware.
 *
 * Section numbers are those of the Intel Virtualization Technology for Directed I/O
 * Architecture Specification, revision 4.1. Concurrency: see viommu/host.h; devices of
 * several hosts may be behind one unit, and calls on all of them must not overlap then.
 */
typedef struct ViommuVtdAccel ViommuVtdAccel;

#define VIOMMU_VTD_PASID_ENTRY_SIZE 64 /* 9.6 */
#define VIOMMU_VTD_DESCRIPTOR_SIZE  32 /* 6.5.2; of 128-bit descriptors the rest is 0 */

/* Requests without a PASID. */
#define VIOMMU_VTD_NO_PASID G_MAXUINT32

/* What the guest has for all requests of a requester ID. */
typedef enum {
    VIOMMU_VTD_BLOCKED,      /* there is no entry, or a bad one */
    VIOMMU_VTD_PASS_THROUGH, /* translation is off, or a legacy entry says so (9.3, TT) */
    VIOMMU_VTD_SECOND_STAGE, /* a legacy entry's table */
    VIOMMU_VTD_PASID_TABLE,  /* PASID table entries say (9.4) */
} ViommuVtdContextKind;

typedef struct {
    ViommuVtdContextKind kind;
    /*
     * BLOCKED: the reason of the fault that the guest is owed (7.1.3), 0: none, as for an
     * entry that is not present, which blocks silently. PASID_TABLE: not 0, requests without
     * a PASID are blocked for that reason (RID_PASID), and others are not.
     */
    guint8 fault;
    gboolean fault_disabled; /* FPD: faults that the entry qualifies are not recorded */
    guint16 domain_id;       /* PASS_THROUGH and SECOND_STAGE of a legacy entry */
    guint64 table;           /* SECOND_STAGE: its first table */
    guint levels;            /* and how many there are */
    guint32 rid_pasid;       /* PASID_TABLE: the entry for requests without a PASID */
    guint32 n_pasids;        /* PASIDs below this have entries; 0: PASIDs are not enabled */
    gboolean page_requests;  /* PRE: the guest takes page requests of the device */
    guint64 entry[4];        /* as it was read: a bad one is told anew when it changes */
} ViommuVtdContext;

/* A binding that was refused: the guest is owed a fault record. */
typedef struct {
    guint16 requester_id;
    guint32 pasid;           /* or VIOMMU_VTD_NO_PASID */
    guint8 reason;           /* 7.1.3 */
    gboolean fault_disabled; /* FPD of the entry, or of one on the way to it */
    guint64 address;         /* where a page could not be shadowed, else 0 */
    ViommuResult result;     /* whose fault it is */
} ViommuVtdRefusal;

typedef struct {
    /*
     * CAP and ECAP as the VMM shows them to its guest (11.4.2, 11.4.3). A device behind a
     * host unit that cannot keep these promises is refused at attach.
     */
    guint64 cap;
    guint64 ecap;

    /*
     * The guest's tables, as they are in its memory now: called from within the calls
     * below, and must not call back. Each table entry is to be read once.
     */
    void (*read_context)(guint16 requester_id, ViommuVtdContext *ret_context,
                         void *user_data);
    /*
     * The PASID table entry of a PASID: 0 with a copy of its bytes, zeros where a table on
     * the way is not present; or the reason (7.1.3) why a present one cannot be used.
     * *ret_fault_disabled: FPD on the way to the entry.
     */
    guint8 (*read_pasid_entry)(guint16 requester_id, guint32 pasid,
                               guint8 ret_entry[VIOMMU_VTD_PASID_ENTRY_SIZE],
                               gboolean *ret_fault_disabled, void *user_data);
    /*
     * The first PASID of first to last whose entry is present. FALSE: there is none.
     * Optional where ECAP.PASID is 0.
     */
    gboolean (*find_pasid)(guint16 requester_id, guint32 first, guint32 last,
                           guint32 *ret_pasid, void *user_data);

    /*
     * Copy guest memory out, as ViommuServices.read_memory. Optional: without it, or with
     * CAP.CM 0, second-stage tables cannot be shadowed, and are refused.
     */
    gboolean (*read_memory)(guint64 gpa, void *data, gsize size, void *user_data);

    /*
     * Record a fault; once for each change of what was refused, and of a page that cannot be
     * shadowed for each invalidation that concerns it.
     */
    void (*refused)(const ViommuVtdRefusal *refusal, void *user_data);

    /*
     * Start or stop watching a descriptor: readable means that page requests wait for
     * viommu_vtd_accel_read_page_requests(). NULL: the VMM polls by calling it.
     */
    void (*watch_fd)(int fd, gboolean watch, void *user_data);
    void *user_data;
} ViommuVtdAccelConfig;

/* The config is copied. */
ViommuVtdAccel *viommu_vtd_accel_new(const ViommuVtdAccelConfig *config, GError **error);
/* Detaches the devices still attached. Accepts NULL. */
void viommu_vtd_accel_free(ViommuVtdAccel *accel);

typedef enum {
    /*
     * The host device can send page requests (PRI): where the guest's context entry has
     * PRE, they come to viommu_vtd_accel_read_page_requests(). The host refuses to bind a
     * device that cannot.
     */
    VIOMMU_VTD_DEVICE_PAGE_REQUESTS = 1 << 0,
} ViommuVtdDeviceFlags;

/*
 * Put a device behind this unit under a requester ID of the guest (bus << 8 | devfn; behind
 * a bridge to conventional PCI, the bridge's alias, which several devices may have). It has
 * what the guest's tables say now, or is blocked and the refusal is told.
 *
 * Each host's guest memory must be mapped there: a host is one iommufd.
 */
gboolean viommu_vtd_accel_attach_device(ViommuVtdAccel *accel, ViommuHostDevice *device,
                                        guint16 requester_id, ViommuVtdDeviceFlags flags,
                                        GError **error);
/* Take it away again: its DMA is refused, and its page requests are answered. */
void viommu_vtd_accel_detach_device(ViommuVtdAccel *accel, ViommuHostDevice *device);
/* The guest has renumbered its buses: the device has what the new ID's tables say. */
gboolean viommu_vtd_accel_set_requester_id(ViommuVtdAccel *accel, ViommuHostDevice *device,
                                           guint16 requester_id, GError **error);

/*
 * Give every device what the guest's tables say now: after the root table was set (6.6),
 * and when translation is enabled or disabled (read_context says PASS_THROUGH then). The
 * result is the worst of those of the host; what the guest did wrong is told by `refused`.
 *
 * While viommu_vtd_accel_invalidate() of no descriptors says VIOMMU_TRANSIENT, the change
 * has not reached a device, and no status register may tell that it is done.
 */
ViommuResult viommu_vtd_accel_refresh(ViommuVtdAccel *accel);

/*
 * Carry out invalidation descriptors (6.5.2), n of VIOMMU_VTD_DESCRIPTOR_SIZE bytes each,
 * in order: context-cache and PASID-cache ones bind, replace and remove what they concern;
 * IOTLB and PASID-based IOTLB ones go to the host; page group responses answer page
 * requests. All others are checked, and need nothing of the host: it flushes device TLBs
 * itself. When it returns, all before *ret_handled is done.
 *
 * A binding that the host or the entry refuses is no failure of the descriptor: it is
 * blocked, told by `refused`, and tried again by the next invalidation that concerns it.
 * VIOMMU_GUEST_INVALID: an illegal descriptor (11.4.9.9, IQEI). VIOMMU_TRANSIENT: a device
 * that is to be blocked is not; nothing must be told complete.
 *
 * *ret_handled is always written: the number of descriptors that are done. None at all may
 * be passed: what was put off is tried again.
 */
ViommuResult viommu_vtd_accel_invalidate(ViommuVtdAccel *accel, const guint8 *descriptors,
                                         gsize n_descriptors, gsize *ret_handled);

/* A page request of a device (7.4.1), in the guest's terms. */
typedef struct {
    guint16 requester_id;
    gboolean has_pasid;
    guint32 pasid;
    guint group;   /* page request group index */
    gboolean last; /* of its group */
    gboolean read;
    gboolean write;
    gboolean execute;
    gboolean privileged;
    guint64 address;
} ViommuVtdPageRequest;

/*
 * Page requests that wait; *ret_n is always written. Groups are whole: if `max` is too
 * small for the next one, it waits, and if nothing was read the result is VIOMMU_TRANSIENT.
 * Each group is to be answered once, by a page group response
 * descriptor or by viommu_vtd_accel_respond(); when its binding goes, it is answered
 * already.
 */
ViommuResult viommu_vtd_accel_read_page_requests(ViommuVtdAccel *accel,
                                                 ViommuVtdPageRequest *requests, gsize max,
                                                 gsize *ret_n);
/* Answer a group by the VMM's own will. Unknown groups are no error. */
ViommuResult viommu_vtd_accel_respond(ViommuVtdAccel *accel, guint16 requester_id,
                                      gboolean has_pasid, guint32 pasid, guint group,
                                      gboolean success);

/*
 * Reset in two steps. block: every device is blocked, whatever the tables say. Then the VMM
 * resets devices and its own model. release: what the tables say now. Each does all it can
 * and reports the first failure; a device that could not be released stays blocked.
 */
gboolean viommu_vtd_accel_block(ViommuVtdAccel *accel, GError **error);
gboolean viommu_vtd_accel_release(ViommuVtdAccel *accel, GError **error);

G_END_DECLS

#endif
