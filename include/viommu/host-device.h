/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_HOST_DEVICE_H
#define VIOMMU_HOST_DEVICE_H

#include <viommu/host.h>

G_BEGIN_DECLS

/*
 * ViommuHostDevice: one physical function that the VMM hands over. Its DMA is refused
 * until a vIOMMU attaches it (but see viommu_host_device_new_from_bound()), and then until
 * every other device that was made here of its IOMMU group is attached in the same way. A
 * vIOMMU may attach PASIDs of a device that is alone here of its group; no other is made
 * while one is attached. The library closes and destroys only what it opened and made
 * itself.
 */
typedef struct ViommuHostDevice ViommuHostDevice;

/* Which group a device is in, when the VMM leaves it to the library to find out. */
#define VIOMMU_GROUP_ASK (-1)

/* From a VFIO device cdev, "/dev/vfio/devices/vfio0": opened and bound. */
ViommuHostDevice *viommu_host_device_new_from_path(ViommuHost *host, const char *path,
                                                   GError **error);

/* From a PCI address, "0000:00:02.0", of a function bound to a VFIO driver. */
ViommuHostDevice *viommu_host_device_new_from_bdf(ViommuHost *host, const char *bdf,
                                                  GError **error);

/*
 * From an open cdev that is not bound yet, as a sandboxed VMM is given it: bound here to
 * the host's iommufd, and never closed here. The IOMMU group (its number in
 * /sys/kernel/iommu_groups) is found through /proc and /sys where
 * VIOMMU_GROUP_ASK is given and they can be read; otherwise pass it: devices of
 * one group are attached as one, and a device whose group is unknown is taken to
 * be alone in it.
 */
ViommuHostDevice *viommu_host_device_new_from_fd(ViommuHost *host, int cdev_fd, int group,
                                                 GError **error);

/*
 * From a cdev that the VMM has already bound to the host's iommufd, which named it devid.
 * Whatever it is attached to it stays attached to until a vIOMMU attaches it. No PASID of
 * it is attached.
 */
ViommuHostDevice *viommu_host_device_new_from_bound(ViommuHost *host, int cdev_fd,
                                                    guint32 devid, int group,
                                                    GError **error);

/*
 * From the open file of its IOMMU group ("/dev/vfio/7"), which is in no container: it is
 * put in one here, and taken out again when the last device made from it is freed, until
 * when it is to stay open; never closed here. bdf: which function of the group. Backend
 * "legacy" only, which takes no cdevs.
 */
ViommuHostDevice *viommu_host_device_new_from_group_fd(ViommuHost *host, int group_fd,
                                                       const char *bdf, GError **error);

/*
 * Detach it from its vIOMMU first; else nothing happens. Its DMA is refused from here on; a
 * cdev the library opened is closed. Accepts NULL.
 */
void viommu_host_device_free(ViommuHostDevice *device);

/* The path, BDF or "fd N" it came from; lives as long as the device. */
const char *viommu_host_device_get_name(ViommuHostDevice *device);

/* The VFIO device, for regions and interrupts, which are the VMM's own business. */
int viommu_host_device_get_fd(ViommuHostDevice *device);

typedef enum {
    VIOMMU_IOMMU_NONE, /* the host's driver reports nothing about it */
    VIOMMU_IOMMU_INTEL_VTD,
    VIOMMU_IOMMU_ARM_SMMUV3,
    VIOMMU_IOMMU_OTHER,
} ViommuIommuType;

/* Addresses at which the host lets nothing be mapped for a device; last is inclusive. */
typedef struct {
    guint64 start;
    guint64 last;
    gboolean msi; /* a window for interrupt messages, else reserved or direct-mapped */
} ViommuReservedRegion;

/* What the physical IOMMU in front of a device is, as its driver tells. */
typedef struct {
    ViommuIommuType type;
    guint32
        devid; /* what the kernel calls the device: viommu_host_device_new_from_bound() */
    /*
     * The guest's own stage-1 tables can be bound, as far as can be told before the first
     * is: FALSE is final.
     */
    gboolean can_nest;
    gboolean dirty_tracking;
    gboolean ats_unavailable;
    guint pasid_bits; /* 0: no PASIDs */
    /* Erratum 772415: where it nests, no read-only memory; see viommu_host_map(). */
    gboolean read_only_refused;
    /* Empty where /sys cannot be read. Guest memory must stay out of them. */
    const ViommuReservedRegion *reserved;
    gsize n_reserved;
    struct {
        guint64 cap; /* CAP and ECAP, raw; see the VT-d specification, 11.4.2 and 11.4.3 */
        guint64 ecap;
    } vtd; /* meaningful for VIOMMU_IOMMU_INTEL_VTD */
    struct {
        gboolean repeat_tlbi_cfgi; /* TLBI and CFGI must be issued twice */
        guint32 idr[6];            /* SMMU_IDR0 to 5, raw; see Arm IHI 0070, 6.3 */
        guint32 iidr;
        guint32 aidr;
    } smmuv3; /* meaningful for VIOMMU_IOMMU_ARM_SMMUV3 */
} ViommuHostDeviceInfo;

/* Lives as long as the device. */
const ViommuHostDeviceInfo *viommu_host_device_get_info(ViommuHostDevice *device);

/*
 * The VMM has finished a PCI reset of the device: what was put off meanwhile for it, its
 * PASIDs and the others of its IOMMU group (the host refuses any change during a reset) is
 * done now. VIOMMU_OK when nothing was.
 */
ViommuResult viommu_host_device_reset_done(ViommuHostDevice *device);

G_END_DECLS

#endif
