/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_IOMMUFD_H
#define VIOMMU_EMULATOR_IOMMUFD_H

/*
 * The objects of one emulated iommufd, after Linux drivers/iommu/iommufd.
 *
 * `users` counts what keeps an object from being destroyed: objects built on it,
 * attached devices, an open event descriptor. The reference that the table itself
 * holds is not counted, so 0 means "may go". IDs start at 1, the lowest free one is
 * given; a tombstone keeps its ID taken for good.
 *
 * A context lives while its descriptor, a bound device, or an event descriptor does.
 */

#include <linux/iommufd.h>

#include "machine.h"

typedef enum {
    EMU_OBJECT_DEVICE,
    EMU_OBJECT_IOAS,
    EMU_OBJECT_HWPT_PAGING,
    EMU_OBJECT_HWPT_NESTED,
    EMU_OBJECT_VIOMMU,
    EMU_OBJECT_VDEVICE,
    EMU_OBJECT_VEVENTQ,
    EMU_OBJECT_FAULT,
    EMU_N_OBJECT_TYPES,
    EMU_OBJECT_ANY = EMU_N_OBJECT_TYPES,
} EmuObjectType;

typedef struct {
    EmuIommufd *ctx;
    EmuObjectType type;
    guint32 id;
    guint users;
} EmuObject;

struct EmuIommufd {
    ViommuEmulator *emulator;
    guint refs;
    GPtrArray *slots;        /* by ID: NULL, an EmuObject, or the tombstone */
    GPtrArray *groups;       /* EmuIgroup in use */
    EmuIoas *vfio_ioas;      /* what the VFIO calls mean; NULL: none */
    gboolean charge_process; /* IOMMU_OPTION_RLIMIT_MODE */
};

/* A range of IOVAs that must stay free, and for whose sake. */
typedef struct {
    guint64 first;
    guint64 last;
    gconstpointer owner;
} EmuReserved;

/* What was mapped by one call: memory of the process, or of a file mapped by us. */
typedef struct {
    guint refs;
    gboolean writable; /* a copy may not ask for more */
    int file;          /* our own descriptor; -1: memory of the process */
    guint64 start;     /* address, or offset in the file, of the first page */
    gsize size;        /* of all pages up to the last byte */
    guint8 *base;      /* where the first page lies; NULL: a file not yet mapped */
} EmuPages;

/* A part of some pages at an IOVA. */
typedef struct {
    guint64 first;
    guint64 last;
    EmuPages *pages;
    guint64 start_byte; /* from the start of the pages' first page */
    gboolean readable;
    gboolean writable;
} EmuArea;

struct EmuIoas {
    EmuObject obj;
    GPtrArray *areas;  /* EmuArea, owned, by address */
    GArray *reserved;  /* EmuReserved */
    GPtrArray *hwpts;  /* EmuHwpt of paging kind, borrowed */
    GArray *allowed;   /* struct iommu_iova_range, sorted; what must not be reserved */
    guint64 alignment; /* of IOVAs, lengths and page offsets */
    gboolean no_huge;  /* IOMMU_OPTION_HUGE_PAGES is 0 */
};

struct EmuHwpt {
    EmuObject obj;
    EmuIommu *iommu;
    gpointer priv; /* the IOMMU driver's */
    gboolean pasid_compat;
    struct EmuFault *fault; /* where page requests go; NULL: nowhere */
    /* paging */
    EmuIoas *ioas;
    gboolean nest_parent;
    gboolean auto_domain;
    gboolean listed; /* in ioas->hwpts */
    guint64 aperture_last;
    guint64 page_size;
    gboolean force_writable; /* a read-only mapping of its IOAS is -EINVAL */
    gboolean all_readable;   /* its table format has no write-only pages */
    gboolean has_dirty;      /* it was allocated with dirty tracking */
    gboolean dirty_enabled;  /* writes are recorded */
    GHashTable *dirty;       /* pages by IOVA, 4 KiB each, written since last cleared */
    /* nested */
    EmuHwpt *parent;
    EmuViommu *viommu; /* NULL: made from the parent itself */
};

typedef struct EmuVdevice {
    EmuObject obj;
    EmuViommu *viommu;
    EmuIdev *idev;
    guint64 virt_id;
} EmuVdevice;

struct EmuViommu {
    EmuObject obj;
    EmuIommu *iommu;
    EmuHwpt *parent;
    guint32 type;
    GHashTable *vdevices; /* virtual ID -> EmuVdevice, borrowed */
    GPtrArray *veventqs;  /* EmuVeventq, borrowed */
};

typedef struct EmuVeventq {
    EmuObject obj;
    EmuViommu *viommu;
    guint32 type;
    guint32 depth;
    guint32 n_events; /* the lost-events header is not counted */
    guint32 sequence;
    GQueue deliver; /* EmuVevent; `lost` among them */
    struct EmuVevent *lost;
    int event_fd; /* readable exactly while deliver is not empty */
} EmuVeventq;

/* A queue of page requests, and of those that wait for their response. */
typedef struct EmuFault {
    EmuObject obj;
    GQueue deliver;       /* EmuFaultGroup, still to be read */
    GHashTable *response; /* cookie -> EmuFaultGroup, read and not answered */
    int event_fd;         /* readable exactly while deliver is not empty */
} EmuFault;

/* Who joined in what is attached at one PASID (0: the requester ID) of a group. */
typedef struct {
    EmuHwpt *hwpt;
    GPtrArray *devices; /* EmuIdev */
} EmuAttach;

/* What iommufd keeps for a group. */
typedef struct {
    EmuGroup *group;
    guint refs;
    GHashTable *attached; /* PASID -> EmuAttach, owned; none is empty */
} EmuIgroup;

/* A device bound to this iommufd. */
struct EmuIdev {
    EmuObject obj;
    EmuDevice *device;
    EmuIgroup *igroup;
    EmuVdevice *vdevice;
    gboolean attached;  /* vfio's view: the next attach replaces */
    GHashTable *pasids; /* likewise, of PASIDs */
};

/* One ioctl on the way: the copied-in struct and where the answer goes. */
typedef struct {
    EmuIommufd *ctx;
    void *cmd;
    void *user;
    guint32 user_size;
} EmuUcmd;

/* iommufd.c: contexts, the table, dispatch */
void viommui_emu_iommufd_ref(EmuIommufd *ctx);
void viommui_emu_iommufd_unref(EmuIommufd *ctx);
/* The context behind a descriptor: -EBADF, or -EBADFD when it is another kind. */
int viommui_emu_iommufd_from_fd(ViommuEmulator *emulator, int fd, EmuIommufd **ret_ctx);
/* Give a filled-in object its ID and show it. */
void viommui_emu_object_publish(EmuIommufd *ctx, EmuObject *object, EmuObjectType type);
EmuObject *viommui_emu_object_get(EmuIommufd *ctx, guint32 id, EmuObjectType type);
/* Destroy an object that nobody uses: -EBUSY otherwise. */
int viommui_emu_object_destroy(EmuObject *object);
/* The same, leaving its ID taken. */
void viommui_emu_object_tombstone(EmuObject *object);
/* Hand the struct back: -EFAULT, with what was done left as it is. */
int viommui_emu_respond(EmuUcmd *ucmd, gsize size);
/* The same, but an object that cannot be told of goes again. */
int viommui_emu_respond_new(EmuUcmd *ucmd, gsize size, EmuObject *object);
guint viommui_emu_iommufd_count(EmuIommufd *ctx, EmuObjectType type);

/* ioas.c */
int viommui_emu_ioas_alloc(EmuUcmd *ucmd);
/* Not published. */
EmuIoas *viommui_emu_ioas_new(void);
int viommui_emu_ioas_iova_ranges(EmuUcmd *ucmd);
int viommui_emu_ioas_allow_iovas(EmuUcmd *ucmd);
int viommui_emu_ioas_change_process(EmuUcmd *ucmd);
int viommui_emu_option(EmuUcmd *ucmd);
/* FALSE and TRUE as IOMMU_OPTION_HUGE_PAGES 0 and 1. */
int viommui_emu_ioas_set_huge(EmuIoas *ioas, gboolean huge);
void viommui_emu_ioas_destroy(EmuObject *object);
int viommui_emu_ioas_reserve(EmuIoas *ioas, guint64 first, guint64 last,
                             gconstpointer owner);
void viommui_emu_ioas_unreserve(EmuIoas *ioas, gconstpointer owner);
int viommui_emu_ioas_add_hwpt(EmuIoas *ioas, EmuHwpt *hwpt);
/* Some HWPT of the IOAS refuses read-only mappings. */
gboolean viommui_emu_ioas_forces_writable(const EmuIoas *ioas);
void viommui_emu_ioas_remove_hwpt(EmuIoas *ioas, EmuHwpt *hwpt);
const EmuReserved *viommui_emu_ioas_reserved(const EmuIoas *ioas, guint64 first,
                                             guint64 last);

/* ioas-map.c */
int viommui_emu_ioas_map(EmuUcmd *ucmd);
int viommui_emu_ioas_map_file(EmuUcmd *ucmd);
int viommui_emu_ioas_unmap(EmuUcmd *ucmd);
void viommui_emu_area_free(EmuArea *area);
/* What pinning would find: 0, or a negated errno. */
int viommui_emu_area_fill(EmuArea *area);
/*
 * Remove every area inside the range, stopping with -ENOENT at the first that sticks
 * out of it: what was removed before stays removed.
 */
int viommui_emu_ioas_unmap_range(EmuIoas *ioas, guint64 first, guint64 last,
                                 guint64 *ret_unmapped);
/* Map memory of the process at a fixed IOVA. */
int viommui_emu_ioas_map_user(EmuIoas *ioas, guint64 iova, guint64 user, guint64 length,
                              gboolean read, gboolean write);
/* Make an area begin or end so that `last` is the last of one. */
int viommui_emu_ioas_cut(EmuIoas *ioas, guint64 last);
int viommui_emu_ioas_copy(EmuUcmd *ucmd);
EmuArea *viommui_emu_ioas_area(const EmuIoas *ioas, guint64 first, guint64 last);
/*
 * Where [iova, iova + size) lies in this process, or NULL: not mapped, not with that
 * permission, or not by one mapping.
 */
void *viommui_emu_ioas_host(const EmuIoas *ioas, guint64 iova, gsize size, gboolean write);

/* hwpt.c */
int viommui_emu_hwpt_alloc(EmuUcmd *ucmd);
int viommui_emu_hwpt_invalidate(EmuUcmd *ucmd);
void viommui_emu_hwpt_paging_destroy(EmuObject *object);
void viommui_emu_hwpt_nested_destroy(EmuObject *object);
/* Not yet in its IOAS's list nor published. */
int viommui_emu_hwpt_paging_new(EmuIoas *ioas, EmuIommu *iommu, guint32 flags,
                                gboolean has_user_data, EmuHwpt **ret_hwpt);
/* The paging HWPT itself, or a nested one's parent. */
EmuHwpt *viommui_emu_hwpt_paging(EmuHwpt *hwpt);
/* Undo viommui_emu_hwpt_paging_new() and the listing. */
void viommui_emu_hwpt_paging_abort(EmuHwpt *hwpt);
/* Drop a user; an automatic HWPT goes with its last. */
void viommui_emu_hwpt_put(EmuHwpt *hwpt);
/* dirty.c: hardware wrote memory by way of a paging HWPT, within one page. */
void viommui_emu_hwpt_mark_dirty(EmuHwpt *hwpt, guint64 iova);

/* device.c */
int viommui_emu_get_hw_info(EmuUcmd *ucmd);
int viommui_emu_device_bind(EmuIommufd *ctx, EmuDevice *device, guint32 *ret_id);
void viommui_emu_device_unbind(EmuIdev *idev);
/*
 * PASID 0 stands for the requester ID. *pt_id: the HWPT or IOAS; out: the HWPT. The caller
 * knows whether something is attached, and detaches only then.
 */
int viommui_emu_device_attach(EmuIdev *idev, guint32 pasid, gboolean replace,
                              guint32 *pt_id);
void viommui_emu_device_detach(EmuIdev *idev, guint32 pasid);
void viommui_emu_device_destroy(EmuObject *object);

/* dirty.c */
int viommui_emu_hwpt_set_dirty_tracking(EmuUcmd *ucmd);
int viommui_emu_hwpt_get_dirty_bitmap(EmuUcmd *ucmd);

/* vfio-compat.c */
int viommui_emu_vfio_ioas(EmuUcmd *ucmd);
/* The compat IOAS, made when there is none. */
EmuIoas *viommui_emu_vfio_ioas_create(EmuIommufd *ctx);
/* An ioctl that is not iommufd's own. */
int viommui_emu_vfio_compat_ioctl(EmuIommufd *ctx, unsigned long request, void *arg);

/* vfio-iommufd.c: what vfio keeps of an attachment, and its own rules */
int viommui_emu_vfio_attach(EmuIdev *idev, guint32 *pt_id);
void viommui_emu_vfio_detach(EmuIdev *idev);
int viommui_emu_vfio_attach_pasid(EmuIdev *idev, guint32 pasid, guint32 *pt_id);
void viommui_emu_vfio_detach_pasid(EmuIdev *idev, guint32 pasid);
void viommui_emu_vfio_unbind(EmuIdev *idev);

/* viommu.c */
int viommui_emu_viommu_alloc(EmuUcmd *ucmd);
int viommui_emu_vdevice_alloc(EmuUcmd *ucmd);
int viommui_emu_hw_queue_alloc(EmuUcmd *ucmd);
void viommui_emu_viommu_destroy(EmuObject *object);
void viommui_emu_vdevice_destroy(EmuObject *object);
EmuVdevice *viommui_emu_viommu_find(const EmuViommu *viommu, guint64 virt_id);

/* veventq.c */
int viommui_emu_veventq_alloc(EmuUcmd *ucmd);
void viommui_emu_veventq_destroy(EmuObject *object);
/* FALSE when the vIOMMU has no queue of the type. */
gboolean viommui_emu_viommu_report(EmuViommu *viommu, guint32 type, const void *data,
                                   gsize size);

/* fault-queue.c */
int viommui_emu_fault_alloc(EmuUcmd *ucmd);
void viommui_emu_fault_destroy(EmuObject *object);
/*
 * What an IOMMU model calls with each page request that it got from a device. A group
 * is delivered to the fault queue of the HWPT attached (at the PASID of its last request,
 * or to the requester ID) when that last request comes, and EmuIommuOps.page_response
 * is called once for it, perhaps much later: by write(2), or with "invalid" when the
 * HWPT is detached or replaced or the queue goes. -EINVAL: nobody handles it, and
 * page_response has been called with "invalid".
 */
int viommui_emu_report_page_request(EmuDevice *device, const EmuPageRequest *request);
/* Forget the requests whose last one has not come. */
void viommui_emu_discard_page_requests(EmuDevice *device);
/* Answer "invalid" to what came by way of an attachment that has ended. */
void viommui_emu_fault_auto_respond(EmuFault *fault, const EmuHandle *handle);

#endif
