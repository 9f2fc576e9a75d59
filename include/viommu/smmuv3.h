/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_SMMUV3_H
#define VIOMMU_SMMUV3_H

#include <viommu/smmuv3-accel.h>
#include <viommu/services.h>

G_BEGIN_DECLS

/*
 * ViommuSmmuv3: a whole guest SMMUv3.2, non-secure, stage 1 only: registers, queues,
 * tables, events, and the acceleration of viommu/smmuv3-accel.h for the host devices behind
 * it. Host devices and emulated endpoints may be behind one.
 *
 * Section numbers are those of Arm IHI 0070, "Arm System Memory Management Unit
 * Architecture Specification, version 3".
 *
 * Concurrency: calls on one vSMMU must not overlap, but for enter, translate and exit,
 * which any number of threads may make at any time beside the others.
 */
typedef struct ViommuSmmuv3 ViommuSmmuv3;

/* The lines of ViommuServices.pulse_irq. */
enum {
    VIOMMU_SMMUV3_IRQ_EVENTQ,
    VIOMMU_SMMUV3_IRQ_CMDQ_SYNC,
    VIOMMU_SMMUV3_IRQ_GERROR,
};

/* Register pages 0 and 1 (6.1). */
#define VIOMMU_SMMUV3_MMIO_SIZE 0x20000

typedef struct {
    ViommuServices services;

    /*
     * What the guest is offered (6.3.1 to 6.3.6): the intersection of what is asked for
     * here, what the library implements, and what every host SMMU behind can do. Zero is
     * AUTO.
     */
    ViommuSwitch ats; /* IDR0.ATS; offered, it keeps out host devices that cannot have it */
    ViommuSwitch asid16;                 /* IDR0.ASID16 */
    ViommuSwitch two_level_stream_table; /* IDR0.ST_LEVEL; wholly emulated: AUTO is on */
    ViommuSwitch two_level_cd_table;     /* IDR0.CD2L */
    ViommuSwitch ril;                    /* IDR3.RIL */
    ViommuSwitch granule_4k;             /* IDR5.GRAN4K */
    ViommuSwitch granule_16k;
    ViommuSwitch granule_64k;
    int substream_bits;       /* IDR1.SSIDSIZE, 0 to 20; -1: AUTO */
    guint address_bits;       /* IDR5.OAS: 32, 36, 40, 42, 44, 48; 0: AUTO */
    guint stream_bits;        /* IDR1.SIDSIZE, 1 to 24; 0: 16 */
    guint command_queue_bits; /* IDR1.CMDQS, log2 of entries at most, 1 to 19; 0: 19 */
    guint event_queue_bits;   /* IDR1.EVENTQS, likewise; 0: 19 */
    ViommuSwitch msi;         /* IDR0.MSI: interrupts by message; AUTO is on */

    /*
     * MSI doorbells, guest-physical, so that a write there is answered as a message: the
     * ITS page of the guest. 0 bytes: none.
     */
    guint64 msi_doorbell;
    guint64 msi_doorbell_size;
} ViommuSmmuv3Config;

#define VIOMMU_SMMUV3_CONFIG_INIT(services_)          \
    {                                                 \
        .services = (services_), .substream_bits = -1 \
    }

/*
 * The config is copied. host: where host devices come from, or NULL where there will be
 * emulated endpoints only. The vSMMU is as after a reset: SMMUEN 0, all streams bypass
 * (GBPA.ABORT 0) but those of host devices, which abort until the first release, or until
 * the guest writes GBPA or SMMUEN.
 */
ViommuSmmuv3 *viommu_smmuv3_new(ViommuHost *host, const ViommuSmmuv3Config *config,
                                GError **error);
/* Detaches the devices still attached. Accepts NULL. */
void viommu_smmuv3_free(ViommuSmmuv3 *smmu);

/*
 * A guest access to the registers, of 4 or 8 bytes, naturally aligned; others read as 0 and
 * are not written (6.1). Work that a write starts is done when it returns, and is bounded
 * by the queue as it stood.
 */
guint64 viommu_smmuv3_read(ViommuSmmuv3 *smmu, guint64 offset, guint size);
void viommu_smmuv3_write(ViommuSmmuv3 *smmu, guint64 offset, guint size, guint64 value);

/*
 * Host devices, as viommu_smmuv3_accel_attach_device(): afterwards the device has what its
 * stream has now, by the guest's registers and tables; or it aborts, where the guest has
 * that wrong or its host puts it off. The first access to the registers freezes what is
 * offered (until the next block): a device that cannot keep it is refused, naming the field
 * and both values.
 *
 * A host that fails for good makes all host devices abort, with an F_STE_FETCH for each
 * stream; only release or restore tries it again. One that does not even block a device
 * stops the command queue with CERROR_ABT.
 */
gboolean viommu_smmuv3_attach_device(ViommuSmmuv3 *smmu, ViommuHostDevice *device,
                                     guint32 sid, GError **error);
void viommu_smmuv3_detach_device(ViommuSmmuv3 *smmu, ViommuHostDevice *device);
gboolean viommu_smmuv3_set_stream_id(ViommuSmmuv3 *smmu, ViommuHostDevice *device,
                                     guint32 sid, GError **error);

/* Events wait on a watched descriptor: move them to the guest's queue. */
void viommu_smmuv3_handle_events(ViommuSmmuv3 *smmu);

/*
 * Emulated endpoints. A translation is good within the read section in which it was made: a
 * guest's SYNC completes only after the sections that began before it have ended. A thread
 * in a section must make no other call on the vSMMU but translate and exit.
 */
void viommu_smmuv3_enter(ViommuSmmuv3 *smmu);
void viommu_smmuv3_exit(ViommuSmmuv3 *smmu);

/* A transaction without a SubstreamID. */
#define VIOMMU_SMMUV3_NO_SUBSTREAM G_MAXUINT32

/*
 * Where a transaction of a stream goes: VIOMMU_OK with *ret_translation, or
 * VIOMMU_GUEST_INVALID when it is aborted, with the event recorded that the guest is owed.
 * It answers for the streams of host devices too (where is a doorbell?).
 */
ViommuResult viommu_smmuv3_translate(ViommuSmmuv3 *smmu, guint32 sid, guint32 ssid,
                                     guint64 iova, ViommuAccess access,
                                     ViommuTranslation *ret_translation);

/*
 * Reset in two steps, as viommu_smmuv3_accel_block() and _release(): block first, then
 * reset the devices, then release, which resets the registers and gives every stream what
 * they say.
 */
gboolean viommu_smmuv3_block(ViommuSmmuv3 *smmu, GError **error);
gboolean viommu_smmuv3_release(ViommuSmmuv3 *smmu, GError **error);

/*
 * State: registers and what goes with them, versioned, in bytes of a fixed order. Save:
 * events that wait on the host are drained to the guest's queue first. Restore: into a
 * vSMMU of an equal config, devices attached, guest memory in place; attachments are made
 * anew. A state that cannot be restored is refused, naming what does not fit, and all
 * streams abort.
 */
GBytes *viommu_smmuv3_save(ViommuSmmuv3 *smmu, GError **error);
gboolean viommu_smmuv3_restore(ViommuSmmuv3 *smmu, GBytes *state, GError **error);

G_END_DECLS

#endif
