/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_MACHINE_H
#define VIOMMU_EMULATOR_MACHINE_H

/*
 * The machine: PCI functions, the IOMMU groups they form, and what any IOMMU with its
 * Linux driver does for them (EmuIommuOps; smmuv3-driver.c is the first).
 *
 * A group has one domain for all its devices, as the kernel's core has: NULL means
 * blocked. A device in its reset window is blocked whatever the group's domain is.
 */

#include "emu.h"

/* What one access asks of an IOMMU. `peek`: leave no trace, raise no event. */
typedef struct {
    guint64 iova;
    gboolean write;
    gboolean peek;
    gboolean has_pasid; /* a PASID (SubstreamID) comes with it, which may be 0 */
    guint32 pasid;
    gboolean exec;
    gboolean privileged;
    ViommuEmulatorCache *ret_cache; /* who answered; NULL: nobody wants to know */
} EmuAccess;

/*
 * One page request (PRI) as an IOMMU took it from a device; flags and perm are those of
 * struct iommu_hwpt_pgfault.
 */
typedef struct {
    guint32 flags;
    guint32 pasid;
    guint32 grpid;
    guint32 perm;
    guint64 addr;
} EmuPageRequest;

struct EmuIommuOps;

struct EmuIommu {
    const struct EmuIommuOps *ops;
    guint index;
};

/*
 * An IOMMU driver and the hardware behind it. All slots are mandatory. Returns are 0
 * or a negated errno, the kernel's own, unless said otherwise.
 */
typedef struct EmuIommuOps {
    void (*free)(EmuIommu *iommu);
    gpointer (*device_new)(EmuIommu *iommu, EmuDevice *device);
    void (*device_free)(EmuIommu *iommu, gpointer priv);

    /* IOMMU_CAP_CACHE_COHERENCY, without which nothing can be bound. */
    gboolean (*is_coherent)(EmuIommu *iommu);
    gboolean (*has_dirty_tracking)(EmuIommu *iommu);
    /* GET_HW_INFO: fill at most 256 bytes; *type is in and out. */
    int (*hw_info)(EmuIommu *iommu, guint32 *type, void *data, guint32 *ret_size);

    /* Make hwpt->priv, ->aperture_last and ->page_size of a paging HWPT. */
    int (*paging_init)(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags,
                       gboolean has_user_data);
    /* A nested HWPT straight from its parent. */
    int (*nested_init)(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags, guint32 type,
                       const void *data, guint32 size);
    /* Free hwpt->priv, of either kind; it may be NULL. */
    void (*hwpt_free)(EmuIommu *iommu, EmuHwpt *hwpt);
    /* The IOAS behind a paging HWPT lost a range. */
    void (*unmapped)(EmuIommu *iommu, EmuHwpt *hwpt);
    /* Invalidate entries aimed at a nested HWPT. */
    int (*hwpt_invalidate)(EmuIommu *iommu, EmuHwpt *hwpt, guint32 type, const void *data,
                           guint32 entry_len, guint32 *entry_num);

    gboolean (*has_viommu_type)(EmuIommu *iommu, guint32 type);
    int (*viommu_init)(EmuIommu *iommu, EmuViommu *viommu);
    int (*viommu_nested_init)(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags, guint32 type,
                              const void *data, guint32 size);
    /* *entry_num: in the number of entries, out the number handled; always written. */
    int (*viommu_invalidate)(EmuIommu *iommu, EmuViommu *viommu, guint32 type,
                             const void *data, guint32 entry_len, guint32 *entry_num);

    /* Point the device at an HWPT; NULL (blocked) cannot fail. */
    int (*attach)(EmuDevice *device, EmuHwpt *hwpt);
    /*
     * Translate one access within a page. *ret_ioas is whose memory *ret_ipa lies in.
     * -EFAULT when refused; the event, if any, has been delivered. -EINPROGRESS: the
     * device may ask for the page and try again. -EADDRNOTAVAIL: it was an interrupt
     * message.
     */
    int (*translate)(EmuDevice *device, const EmuAccess *access, guint64 *ret_ipa,
                     EmuIoas **ret_ioas);
    /* No address would be let through. */
    gboolean (*is_blocking)(EmuDevice *device);

    /* log2 of how many PASIDs the driver enabled for the device; 0: none. */
    guint (*pasid_bits)(EmuDevice *device);
    /* ATS could be used for the device. */
    gboolean (*has_ats)(EmuDevice *device);
    /* IOMMU_CAP_ENFORCE_CACHE_COHERENCY */
    gboolean (*enforces_coherency)(EmuIommu *iommu);
    /* HWPTs of this one's kind can be attached to PASIDs at all. */
    gboolean (*takes_pasid)(EmuHwpt *hwpt);
    /*
     * Point a PASID (never 0) of a device that has PASIDs at an HWPT in place of
     * `old`, which may be NULL: none. A NULL `hwpt` blocks it again and cannot fail.
     */
    int (*attach_pasid)(EmuDevice *device, guint32 pasid, EmuHwpt *hwpt, EmuHwpt *old);
    /*
     * Of an HWPT that was allocated with IOMMU_HWPT_ALLOC_DIRTY_TRACKING: set its
     * dirty_enabled as the hardware's recording is (paging_init may have, already).
     */
    int (*set_dirty_tracking)(EmuHwpt *hwpt, gboolean enable);
    /*
     * The answer to a group of page requests, `last` being its last one; or to a
     * single request that nobody handles. `code` is an iommufd_page_response_code.
     */
    void (*page_response)(EmuDevice *device, const EmuPageRequest *last, guint32 code);

    /* PASIDs are the guest's, in a table behind the requester ID's nested HWPT. */
    gboolean user_pasid_table;
    /* The range that no IOAS of a device behind it may use. */
    guint64 msi_first;
    guint64 msi_last;
} EmuIommuOps;

/* Who is attached at a PASID (0: the requester ID) of a group: an attach handle. */
typedef struct {
    EmuHwpt *hwpt;
    guint32 dev_id; /* the bound device that did it, as page requests name it */
} EmuHandle;

struct EmuGroup {
    int number;
    GPtrArray *devices;  /* EmuDevice, borrowed */
    gconstpointer owner; /* an EmuIommufd or EmuVfioGroup; NULL: nobody */
    guint n_owners;
    EmuHwpt *domain;     /* NULL: blocked */
    GHashTable *handles; /* PASID -> EmuHandle, owned; those of iommufd */
    guint n_resetting;
    struct EmuVfioGroup *vfio; /* /dev/vfio/GROUP; vfio-group.c */
};

/* QEMU's edu behind its BAR0, and the part of its config space that matters. */
typedef struct {
    guint8 config[256];
    guint8 buffer[4096];
    guint32 inverted;
    guint32 factorial;
    guint32 status;
    guint32 irq_status;
    guint64 dma_source;
    guint64 dma_dest;
    guint64 dma_count;
    guint64 dma_command;
} EmuEdu;

struct EmuDevice {
    ViommuEmulator *emulator;
    guint index;
    char *bdf;
    guint32 stream_id;
    guint16 vendor_id;
    guint16 device_id;
    EmuIommu *iommu;
    gpointer iommu_priv; /* of EmuIommuOps.device_new */
    EmuGroup *group;
    guint reset_depth;
    gboolean blocked_for_reset;
    guint pasid_bits; /* of its PASID capability; 0: it has none */
    gboolean pasid_privileged;
    gboolean pasid_exec;
    gboolean ats; /* has that capability */
    gboolean pri;
    gboolean flr;     /* VFIO_DEVICE_RESET works */
    EmuIdev *idev;    /* bound to an iommufd, through opener */
    guint open_count; /* files that may use it */
    guint n_files;    /* and those that have yet to bind it */
    guint64 n_dma;
    guint64 n_refused;
    gboolean gone;   /* unplugged; without files it is nowhere any more */
    GArray *partial; /* EmuPageRequest of groups whose last is still to come */
    GQueue waiting;  /* DMA that asked for a page; dma-wait.c */
    guint32 next_request;
    EmuEdu edu;
};

/* emulator.c */
EmuDevice *viommui_emu_find_device(ViommuEmulator *emulator, const char *bdf);
/* An unplugged device that no file holds any more leaves its group. */
void viommui_emu_device_forget(EmuDevice *device);

/* iommu-group.c: the rules of the kernel's IOMMU core. */
int viommui_emu_group_claim(EmuGroup *group, gconstpointer owner);
void viommui_emu_group_release(EmuGroup *group);
/* What VFIO's own containers do: no attach handle is left. */
int viommui_emu_group_set_domain(EmuGroup *group, EmuHwpt *hwpt);
void viommui_emu_group_block(EmuGroup *group);
int viommui_emu_group_attach(EmuGroup *group, EmuHwpt *hwpt, guint32 dev_id);
int viommui_emu_group_replace(EmuGroup *group, EmuHwpt *hwpt, guint32 dev_id);
void viommui_emu_group_detach(EmuGroup *group);
int viommui_emu_group_attach_pasid(EmuDevice *device, guint32 pasid, EmuHwpt *hwpt,
                                   guint32 dev_id);
int viommui_emu_group_replace_pasid(EmuDevice *device, guint32 pasid, EmuHwpt *hwpt,
                                    guint32 dev_id);
void viommui_emu_group_detach_pasid(EmuGroup *group, guint32 pasid);
/*
 * The HWPT behind transactions with this PASID (0: with none), or NULL: as the group's
 * attachments say, whatever the hardware makes of them.
 */
EmuHwpt *viommui_emu_group_hwpt(const EmuGroup *group, guint32 pasid);
void viommui_emu_device_reset_begin(EmuDevice *device);
void viommui_emu_device_reset_end(EmuDevice *device);

/* dma.c: one access of at most a page, or many. The latter zero-fills what is refused. */
int viommui_emu_dma_page(EmuDevice *device, guint64 iova, void *data, gsize size,
                         gboolean write);
void viommui_emu_dma(EmuDevice *device, guint64 iova, void *data, gsize size,
                     gboolean write);

/*
 * Where what translate answered lies in this process, or NULL: not there, or not with
 * that permission.
 */
void *viommui_emu_dma_host(const EmuDevice *device, const EmuAccess *access,
                           const EmuIoas *ioas, guint64 ipa, gsize size);
/*
 * One access within a page, waiting for the page if that can be. `in_device`: data is the
 * device's own memory and may be read to later.
 */
int viommui_emu_dma_access(EmuDevice *device, const EmuAccess *access, void *data,
                           gsize size, gboolean in_device);
/* The same without waiting. A read to NULL only translates. */
int viommui_emu_dma_try(EmuDevice *device, const EmuAccess *access, void *data, gsize size);

/* dma-wait.c: -EINPROGRESS, or -EFAULT when nobody will answer */
int viommui_emu_dma_wait(EmuDevice *device, const EmuAccess *access, void *data, gsize size,
                         gboolean in_device);
/* The device gets the answer to its page request. */
void viommui_emu_dma_answer(EmuDevice *device, const EmuPageRequest *last, guint32 code);
void viommui_emu_dma_forget(EmuDevice *device);

/* edu.c */
#define EMU_EDU_BAR_SIZE    (1ULL << 20)
#define EMU_EDU_CONFIG_SIZE 256
void viommui_emu_edu_init(EmuEdu *edu, guint16 vendor_id, guint16 device_id);
void viommui_emu_edu_enable(EmuEdu *edu);
void viommui_emu_edu_disable(EmuEdu *edu);
gboolean viommui_emu_edu_memory_enabled(const EmuEdu *edu);
guint64 viommui_emu_edu_bar_read(EmuDevice *device, guint64 offset, guint size);
void viommui_emu_edu_bar_write(EmuDevice *device, guint64 offset, guint64 value,
                               guint size);
void viommui_emu_edu_config_read(EmuEdu *edu, guint64 offset, guint8 *buf, gsize size);
void viommui_emu_edu_config_write(EmuEdu *edu, guint64 offset, const guint8 *buf,
                                  gsize size);

/* smmuv3-driver.c */
EmuIommu *viommui_emu_smmuv3_new(const ViommuEmulatorSmmuv3Config *config);

/* vtd-driver.c */
EmuIommu *viommui_emu_vtd_new(const ViommuEmulatorVtdConfig *config);

#endif
