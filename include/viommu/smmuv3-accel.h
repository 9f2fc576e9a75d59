/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_SMMUV3_ACCEL_H
#define VIOMMU_SMMUV3_ACCEL_H

#include <viommu/host-device.h>

G_BEGIN_DECLS

/*
 * ViommuSmmuv3Accel: the acceleration of one guest SMMUv3, for a VMM that keeps its own
 * register model. The VMM decodes registers and queues and reads the guest's stream
 * table; this layer binds stage 1 of the guest into the host's SMMUs, forwards
 * invalidations, and returns events.
 *
 * Section numbers are those of Arm IHI 0070, "Arm System Memory Management Unit
 * Architecture Specification, version 3".
 */
typedef struct ViommuSmmuv3Accel ViommuSmmuv3Accel;

#define VIOMMU_SMMUV3_STE_SIZE     64 /* 5.2 */
#define VIOMMU_SMMUV3_COMMAND_SIZE 16 /* 4.1 */
#define VIOMMU_SMMUV3_EVENT_SIZE   32 /* 7.3 */

/* A device whose StreamID the guest has not settled yet: it aborts. */
#define VIOMMU_SMMUV3_SID_UNKNOWN G_MAXUINT32

typedef struct {
    /*
     * SMMU_IDR0 to 5 as the VMM shows them to its guest (6.3.1 to 6.3.6). A device
     * behind a host SMMU that cannot keep these promises is refused at attach.
     */
    guint32 idr[6];
    /*
     * Events that the host keeps until they are read, at most; normally the number of
     * entries of the guest's event queue. 1 to 2^19; 0: 256.
     */
    guint event_depth;
    /*
     * Start or stop watching a descriptor: readable means that events wait for
     * viommu_smmuv3_accel_read_events(). Called within attach_device, detach_device and
     * free. NULL: the VMM polls by calling it.
     */
    void (*watch_fd)(int fd, gboolean watch, void *user_data);
    void *user_data;
} ViommuSmmuv3AccelConfig;

/* The config is copied. */
ViommuSmmuv3Accel *viommu_smmuv3_accel_new(ViommuHost *host,
                                           const ViommuSmmuv3AccelConfig *config,
                                           GError **error);

/* Detaches the devices still attached. Accepts NULL. */
void viommu_smmuv3_accel_free(ViommuSmmuv3Accel *accel);

/*
 * Put a device behind this SMMU under a StreamID of the guest, or
 * VIOMMU_SMMUV3_SID_UNKNOWN. Afterwards its stream aborts: the VMM installs the stream
 * table entry that the guest has for it now, before it lets the device do DMA.
 */
gboolean viommu_smmuv3_accel_attach_device(ViommuSmmuv3Accel *accel,
                                           ViommuHostDevice *device, guint32 sid,
                                           GError **error);

/*
 * Take it away again: its DMA is refused, and it may go to another vIOMMU. Events of it
 * that were not read yet may be lost.
 */
void viommu_smmuv3_accel_detach_device(ViommuSmmuv3Accel *accel, ViommuHostDevice *device);

/*
 * The guest has (re)numbered the device. Its stream aborts until an entry is installed
 * under the new StreamID. On failure, bad numbers included, the StreamID is unknown and the
 * device aborts.
 */
gboolean viommu_smmuv3_accel_set_stream_id(ViommuSmmuv3Accel *accel,
                                           ViommuHostDevice *device, guint32 sid,
                                           GError **error);

/*
 * Install the stream table entry that the guest has for a StreamID: on CFGI_STE, or for
 * each stream concerned by CFGI_STE_RANGE and CFGI_ALL. `ste` is a copy of the entry's
 * 64 bytes as they stand in guest memory (little-endian). NULL: the guest has no entry
 * that could be read (a StreamID out of range, an invalid level 1 descriptor).
 *
 * V=0, Config=abort and NULL abort; bypass gives guest-physical addresses; stage 1 binds
 * the guest's context descriptors. A stream without a host device is VIOMMU_OK: nothing
 * is to be done on the host.
 *
 * On any failure the stream aborts, and the next call tries again:
 * VIOMMU_GUEST_INVALID - an illegal entry (the guest is owed a C_BAD_STE when the
 * device does DMA); VIOMMU_TRANSIENT - put off: it is made with the guest's next command,
 * or by viommu_host_device_reset_done(); others as their class says.
 *
 * Devices of one IOMMU group follow their entries only while all of these are the same:
 * until then all of them abort, and an entry that differs from another's is
 * VIOMMU_UNSUPPORTED.
 */
ViommuResult viommu_smmuv3_accel_install_ste(ViommuSmmuv3Accel *accel, guint32 sid,
                                             const guint8 *ste);

/*
 * Forward commands of the guest's command queue, n_commands of 16 bytes as they stand in
 * guest memory, in program order: TLBI_NH_ALL, NH_ASID, NH_VA, NH_VAA, NSNH_ALL;
 * CFGI_CD, CFGI_CD_ALL; ATC_INV; SYNC and the PREFETCHes, which need nothing of the host.
 * CFGI_STE, STE_RANGE and ALL stop here as VIOMMU_UNSUPPORTED: the VMM reads the table
 * and calls install_ste. When it returns, all that went before *ret_handled is done.
 *
 * *ret_handled is always written: the number of commands that are done. On a failure it
 * is the index of the command that failed (CERROR_ILL there for VIOMMU_GUEST_INVALID).
 */
ViommuResult viommu_smmuv3_accel_invalidate(ViommuSmmuv3Accel *accel,
                                            const guint8 *commands, gsize n_commands,
                                            gsize *ret_handled);

/*
 * Read events (7.3), VIOMMU_SMMUV3_EVENT_SIZE bytes each, ready for the guest's event
 * queue and with its StreamIDs. *ret_n_events is always written, *ret_n_lost too: the
 * number of events lost since the last call for lack of room on the host; the guest's
 * queue is to be marked overflown. Fewer than max_events: there are no more now.
 */
ViommuResult viommu_smmuv3_accel_read_events(ViommuSmmuv3Accel *accel, guint8 *events,
                                             gsize max_events, gsize *ret_n_events,
                                             guint64 *ret_n_lost);

/*
 * The guest has resized its event queue: have the host keep as many, 1 to 2^19. Linux gives
 * each queue a fixed size, so another is made; events not read yet may be lost, so read
 * them first. The descriptor changes, as watch_fd tells. On failure the old size stays
 * where it can.
 */
gboolean viommu_smmuv3_accel_set_event_depth(ViommuSmmuv3Accel *accel, guint depth,
                                             GError **error);

/*
 * Reset in two steps. block: every device aborts. Then the VMM resets devices and its
 * own model. release: what SMMU_GBPA asks for while SMMU_CR0.SMMUEN is 0 (6.3.14): all
 * streams abort, or all that have a StreamID bypass. Each does all it can and reports the
 * first failure; a device that could not be released stays blocked. When the guest sets
 * SMMUEN, block, then install its entries.
 */
gboolean viommu_smmuv3_accel_block(ViommuSmmuv3Accel *accel, GError **error);
gboolean viommu_smmuv3_accel_release(ViommuSmmuv3Accel *accel, gboolean bypass,
                                     GError **error);

G_END_DECLS

#endif
