/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_VTD_H
#define VIOMMU_VTD_H

#include <viommu/services.h>
#include <viommu/vtd-accel.h>

G_BEGIN_DECLS

/*
 * ViommuVtd: a whole guest VT-d remapping unit: registers, invalidation queue, root,
 * context and PASID tables, faults, page requests, and the acceleration of
 * viommu/vtd-accel.h for the host devices behind it. Host devices and emulated endpoints
 * may be behind one. Interrupt remapping is not offered.
 *
 * Section numbers are those of the Intel Virtualization Technology for Directed I/O
 * Architecture Specification, revision 4.1.
 *
 * Concurrency: calls on one unit must not overlap, but for enter, translate and exit, which
 * any number of threads may make at any time beside the others.
 *
 * Of ViommuServices: interrupts are messages (send_msi); pulse_irq is not used.
 * translations_changed is given requester IDs. compare_and_swap is needed where first_stage
 * is not OFF: translations set accessed and dirty flags.
 */
typedef struct ViommuVtd ViommuVtd;

/* The registers (11.4): one page. */
#define VIOMMU_VTD_MMIO_SIZE 0x1000

typedef struct {
    ViommuServices services;

    /*
     * What the guest is offered (11.4.2, 11.4.3): the intersection of what is asked for
     * here, what the library implements, and what every host unit behind can do. Zero is
     * AUTO.
     */
    ViommuSwitch scalable_mode; /* ECAP.SMTS; wholly emulated: AUTO is on */
    ViommuSwitch first_stage;   /* ECAP.FSTS; AUTO: where every host can nest */
    ViommuSwitch second_stage;  /* ECAP.SSTS; AUTO is on in scalable mode: shadowed */
    ViommuSwitch pass_through;  /* ECAP.PT; wholly emulated: AUTO is on */
    /*
     * CAP.CM: the guest tells when an entry becomes present, not only when it changes. A
     * device is bound when the guest tells, so that AUTO is on with host devices. OFF is
     * obeyed: then an entry that becomes present while translation is enabled is bound with
     * the next invalidation that concerns it.
     */
    ViommuSwitch caching_mode;
    ViommuSwitch first_stage_1g;      /* CAP.FS1GP */
    ViommuSwitch five_level;          /* CAP.FS5LP */
    ViommuSwitch supervisor_requests; /* ECAP.SRS */
    ViommuSwitch extended_accessed;   /* ECAP.EAFS */
    ViommuSwitch device_tlb;    /* ECAP.DT; offered, it keeps out devices without ATS */
    ViommuSwitch page_requests; /* ECAP.PRS */
    ViommuSwitch rid_pasid;     /* ECAP.RPS; wholly emulated: AUTO is on */
    ViommuSwitch coherent;      /* ECAP.C and SMPWCS; wholly emulated: AUTO is on */
    int pasid_bits;             /* ECAP.PASID and PSS, 1 to 20; 0: none; -1: AUTO */
    guint domain_bits;          /* CAP.ND: 4, 6, ... 16; 0: 16 */
    /*
     * CAP.MGAW, SAGAW and guest-physical: 39, 48, 57; 0: what the hosts of the devices map,
     * 39 to 48. Without one before the guest's first access that is 48, which keeps out
     * hosts that map less: where one may be plugged later, say 39.
     */
    guint address_bits;
    guint fault_records; /* CAP.NFR, 1 to 8; 0: 1 */
    guint version;       /* VER: major << 4 | minor; 0: 1.0, which drivers take for any */
} ViommuVtdConfig;

#define VIOMMU_VTD_CONFIG_INIT(services_)         \
    {                                             \
        .services = (services_), .pasid_bits = -1 \
    }

/*
 * The config is copied. The unit is as after a reset: translation is off and requests pass
 * through, but for those of host devices, which are blocked until the first release, or
 * until the guest enables translation.
 */
ViommuVtd *viommu_vtd_new(const ViommuVtdConfig *config, GError **error);
/* Detaches the devices still attached. Accepts NULL. */
void viommu_vtd_free(ViommuVtd *vtd);

/*
 * A guest access to the registers, of 4 or 8 bytes, naturally aligned; others read as 0 and
 * are not written (11.2). Work that a write starts is done when it returns, and is bounded
 * by the queue as it stood.
 */
guint64 viommu_vtd_read(ViommuVtd *vtd, guint64 offset, guint size);
void viommu_vtd_write(ViommuVtd *vtd, guint64 offset, guint size, guint64 value);

/*
 * Host devices, as viommu_vtd_accel_attach_device(). The first access to the registers
 * freezes what is offered (until the next block): a device that cannot keep it is refused,
 * naming the field and both values.
 *
 * The guest is told by a fault record of each binding that is refused, for a bad entry or
 * by the host; an entry that is not present blocks silently. DMA faults of the hardware are
 * not recorded: Linux 7.3 does not pass them on.
 */
gboolean viommu_vtd_attach_device(ViommuVtd *vtd, ViommuHostDevice *device,
                                  guint16 requester_id, ViommuVtdDeviceFlags flags,
                                  GError **error);
void viommu_vtd_detach_device(ViommuVtd *vtd, ViommuHostDevice *device);
gboolean viommu_vtd_set_requester_id(ViommuVtd *vtd, ViommuHostDevice *device,
                                     guint16 requester_id, GError **error);

/* Page requests wait on a watched descriptor: move them to the guest's queue. */
void viommu_vtd_handle_events(ViommuVtd *vtd);

/*
 * Emulated endpoints. A translation is good within the read section in which it was made: a
 * guest's invalidation wait completes only after the sections that began before it have
 * ended. A thread in a section must make no other call on the unit but translate and exit.
 */
void viommu_vtd_enter(ViommuVtd *vtd);
void viommu_vtd_exit(ViommuVtd *vtd);

/*
 * Where a request of a requester ID goes: VIOMMU_OK with *ret_translation, or
 * VIOMMU_GUEST_INVALID when it is blocked, with the fault recorded that the guest is owed.
 * pasid: VIOMMU_VTD_NO_PASID for a request without. A write without PASID to 0xfeexxxxx is
 * an interrupt message (3.14): is_msi, untranslated. Accessed and dirty flags of
 * first-stage tables are set but for VIOMMU_ACCESS_PEEK. It answers for the IDs of host
 * devices too.
 */
ViommuResult viommu_vtd_translate(ViommuVtd *vtd, guint16 requester_id, guint32 pasid,
                                  guint64 iova, ViommuAccess access,
                                  ViommuTranslation *ret_translation);

/*
 * Reset in two steps, as viommu_vtd_accel_block() and _release(): block first, then reset
 * the devices, then release, which resets the registers: translation is off.
 */
gboolean viommu_vtd_block(ViommuVtd *vtd, GError **error);
gboolean viommu_vtd_release(ViommuVtd *vtd, GError **error);

/*
 * Before guest memory is copied for the last time: page requests that wait are moved to the
 * guest's queue, and those it has not answered yet are answered with "success", so that the
 * device asks again.
 */
void viommu_vtd_quiesce(ViommuVtd *vtd);

/*
 * State: registers and what goes with them, versioned, in bytes of a fixed order. Save
 * quiesces. Restore: into a unit of an equal config, devices attached, guest memory in
 * place; bindings are made anew. A state that cannot be restored is refused, naming what
 * does not fit, and all devices are blocked.
 */
GBytes *viommu_vtd_save(ViommuVtd *vtd, GError **error);
gboolean viommu_vtd_restore(ViommuVtd *vtd, GBytes *state, GError **error);

G_END_DECLS

#endif
