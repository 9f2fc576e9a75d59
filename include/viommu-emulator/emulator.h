/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_EMULATOR_H
#define VIOMMU_EMULATOR_EMULATOR_H

#include <glib.h>
#include <viommu/seam.h>

G_BEGIN_DECLS

/*
 * An in-process /dev/iommu, VFIO device cdevs, and the IOMMU hardware behind them.
 *
 * Create one, plug in IOMMUs and devices, and hand its seam to libviommu in place of
 * viommu_seam_system(). Guest memory is whatever the caller maps through the
 * emulated ioctls: addresses of this process.
 *
 * EMULATED ISOLATION IS NO ISOLATION: a device here is a function of this process,
 * and the model keeps it in its place only as far as the model is right.
 *
 * Any number may live in one process. Calls on one emulator are serialised by a lock
 * of its own and may come from any thread; adding and freeing may not overlap them.
 * Error codes and their order are those of Linux 7.3.
 */
typedef struct ViommuEmulator ViommuEmulator;

ViommuEmulator *viommu_emulator_new(void);

/* Closes every emulated descriptor still open. Accepts NULL. */
void viommu_emulator_free(ViommuEmulator *emulator);

/* The seam to this emulator; it lives as long as the emulator. */
const ViommuSeam *viommu_emulator_get_seam(ViommuEmulator *emulator);

/* What an emulated physical SMMUv3 is (Arm IHI 0070, 6.3.1 to 6.3.6). */
typedef struct {
    guint32 idr[6];
    guint32 iidr;
    guint32 aidr;
    /* Coherent, or stage 2 can force it: without, the kernel allows no vIOMMU. */
    gboolean canwbs;
    /* Report IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI. */
    gboolean repeat_tlbi_cfgi;
} ViommuEmulatorSmmuv3Config;

/* Fill in an SMMUv3.2 with stage 1 and 2, RIL, 16-bit ASIDs, 48-bit addresses. */
void viommu_emulator_smmuv3_defaults(ViommuEmulatorSmmuv3Config *ret_config);

/* Add a physical SMMUv3; the number returned names it in a device's config. */
guint viommu_emulator_add_smmuv3(ViommuEmulator *emulator,
                                 const ViommuEmulatorSmmuv3Config *config);

/* What an emulated VT-d remapping unit is (the VT-d specification, 11.4.2 and 11.4.3). */
typedef struct {
    guint64 cap;
    guint64 ecap;
    guint host_bits; /* host address width: bits above are reserved in tables */
    /*
     * Linux 7.3 reports erratum 772415 of every unit, and refuses read-only mappings in
     * a nesting parent: as if it did neither.
     */
    gboolean without_errata_772415;
} ViommuEmulatorVtdConfig;

/* Fill in a unit with scalable mode, nesting, PASIDs, page requests, 57-bit addresses. */
void viommu_emulator_vtd_defaults(ViommuEmulatorVtdConfig *ret_config);

/* Add a remapping unit; the number returned names it in a device's config. */
guint viommu_emulator_add_vtd(ViommuEmulator *emulator,
                              const ViommuEmulatorVtdConfig *config);

/*
 * A PCI function with an emulated IOMMU in front of it: QEMU's "edu" DMA test device
 * (1234:11e8), already bound to vfio-pci. Its cdev is /dev/vfio/devices/vfioN, N
 * counting from 0 in the order of adding, found as on Linux through
 * /sys/bus/pci/devices/BDF/.
 */
typedef struct {
    const char *bdf; /* "0000:00:02.0"; copied */
    guint iommu;     /* from viommu_emulator_add_...() */
    guint32 stream_id;
    int iommu_group;   /* devices of one number share a group; -1: one of its own */
    guint16 vendor_id; /* 0: edu's; another, so that refusals can be tested */
    guint16 device_id;
    guint pasid_bits;          /* log2 of the PASIDs of its PASID capability; 0: none */
    gboolean pasid_privileged; /* which can ask for privileged access */
    gboolean pasid_exec;       /* and to execute */
    gboolean ats;              /* it has an ATS capability */
    gboolean flr;              /* a reset of its own, which edu has not */
    gboolean pri;              /* and a PRI one */
} ViommuEmulatorDeviceConfig;

/* FALSE when the BDF is malformed or taken, or the IOMMU does not exist. */
gboolean viommu_emulator_add_device(ViommuEmulator *emulator,
                                    const ViommuEmulatorDeviceConfig *config,
                                    GError **error);

G_END_DECLS

#endif
