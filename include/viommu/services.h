/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_SERVICES_H
#define VIOMMU_SERVICES_H

#include <viommu/error.h>

G_BEGIN_DECLS

/*
 * What a VMM does for a virtual IOMMU: one struct of callbacks, given when the vIOMMU is
 * made and copied. All of them but where it says "optional" are needed.
 *
 * They are called from within the vIOMMU's calls, in the thread that made the call, and
 * must not call back into the vIOMMU. Guest memory is named by guest-physical addresses.
 *
 * Memory may be accessed in the midst of a translation, and translations_changed is called
 * while translations wait: these must not wait for a thread that is in a call of the vIOMMU
 * or in a read section. Interrupts are sent with nothing held, but for that of a SYNC at
 * the end of a call or when a read section has been left: they may take a lock of the
 * VMM's.
 */
typedef struct {
    /*
     * Copy `size` bytes of guest memory out. FALSE when any of them is not memory;
     * the copy's content is then undefined.
     */
    gboolean (*read_memory)(guint64 gpa, void *data, gsize size, void *user_data);
    /* Write, and tell the dirty log. FALSE as above, with nothing or a part written. */
    gboolean (*write_memory)(guint64 gpa, const void *data, gsize size, void *user_data);
    /*
     * Exchange the aligned 64-bit little-endian word at gpa for `desired` if it is
     * `expected`, atomically against the guest's CPUs; *ret_found is what was there. FALSE
     * when it is not memory.
     */
    gboolean (*compare_and_swap)(guint64 gpa, guint64 expected, guint64 desired,
                                 guint64 *ret_found, void *user_data);
    /*
     * Send an MSI: write `data` to `address`, as a device does. That may be memory: Linux
     * has its SMMU report a SYNC so. FALSE: nothing is there.
     */
    gboolean (*send_msi)(guint64 address, guint32 data, void *user_data);
    /* Pulse an edge-triggered wired interrupt; the vendor's header numbers the lines. */
    void (*pulse_irq)(guint line, void *user_data);
    /*
     * Start or stop watching a descriptor: while it is readable, the VMM calls the vIOMMU's
     * "handle events". Optional: the VMM polls by calling that.
     */
    void (*watch_fd)(int fd, gboolean watch, void *user_data);
    /*
     * Translations of an emulated endpoint handed out before may be wrong from now on:
     * those of `size` bytes at iova, for the device of this ID (the vendor's header says
     * what kind) and PASID (G_MAXUINT32: all, and those without). Optional: for endpoints
     * that cache translations outside of read sections.
     */
    void (*translations_changed)(guint32 device_id, guint32 pasid, guint64 iova,
                                 guint64 size, void *user_data);
    void *user_data;
} ViommuServices;

/* A capability of the guest's IOMMU. */
typedef enum {
    VIOMMU_AUTO, /* offered when every host IOMMU behind it has it when the guest starts */
    VIOMMU_ON,   /* offered; a device whose host IOMMU lacks it is refused at attach */
    VIOMMU_OFF,
} ViommuSwitch;

/* How an emulated endpoint accesses memory. */
typedef enum {
    VIOMMU_ACCESS_READ = 1 << 0,
    VIOMMU_ACCESS_WRITE = 1 << 1,
    VIOMMU_ACCESS_EXECUTE = 1 << 2,
    VIOMMU_ACCESS_PRIVILEGED = 1 << 3,
    /* Ask only: record no fault, and change no accessed or dirty flag. */
    VIOMMU_ACCESS_PEEK = 1 << 4,
} ViommuAccess;

/* The answer to a translation. */
typedef struct {
    guint64 gpa;     /* where iova leads */
    guint64 length;  /* bytes from there that lead on without a gap, at least 1 */
    guint access;    /* what is allowed there, ViommuAccess of the first three */
    gboolean is_msi; /* a write there is an interrupt message, not memory */
} ViommuTranslation;

G_END_DECLS

#endif
