/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_VTD_H
#define VIOMMU_EMULATOR_VTD_H

/*
 * An emulated Intel VT-d remapping unit in scalable mode, and its Linux driver.
 *
 * vtd-driver.c is the driver: which domains there are and what it answers for them.
 * vtd-attach.c writes PASID entries, and keeps domain IDs and cache tags; it tears the
 * old entry down before anything can fail. vtd-nested.c makes nested domains and takes
 * their invalidations. vtd.c is the hardware from a request to its PASID entry;
 * vtd-walk.c walks the guest's first stage; vtd-iotlb.c remembers what was walked.
 *
 * Section numbers are of the Intel VT-d architecture specification.
 */

#include "atc.h"
#include "iommufd.h"

/* 11.4.2: Capability Register. */
#define VTD_CAP_ND(v)    EMU_BITS64(v, 2, 0)
#define VTD_CAP_RWBF     (1ULL << 4)
#define VTD_CAP_CM       (1ULL << 7)
#define VTD_CAP_SAGAW(v) EMU_BITS64(v, 12, 8)
#define VTD_CAP_MGAW(v)  (EMU_BITS64(v, 21, 16) + 1)
#define VTD_CAP_SSLPS(v) EMU_BITS64(v, 37, 34)
#define VTD_CAP_FS1GP    (1ULL << 56)
#define VTD_CAP_FS5LP    (1ULL << 60)

/* 11.4.3: Extended Capability Register. */
#define VTD_ECAP_C      (1ULL << 0)
#define VTD_ECAP_QI     (1ULL << 1)
#define VTD_ECAP_DT     (1ULL << 2)
#define VTD_ECAP_IR     (1ULL << 3)
#define VTD_ECAP_PT     (1ULL << 6)
#define VTD_ECAP_SC     (1ULL << 7)
#define VTD_ECAP_NEST   (1ULL << 26)
#define VTD_ECAP_PRS    (1ULL << 29)
#define VTD_ECAP_SRS    (1ULL << 31)
#define VTD_ECAP_EAFS   (1ULL << 34)
#define VTD_ECAP_PSS(v) EMU_BITS64(v, 39, 35)
#define VTD_ECAP_PASID  (1ULL << 40)
#define VTD_ECAP_PDS    (1ULL << 42)
#define VTD_ECAP_SMTS   (1ULL << 43)
#define VTD_ECAP_SSADS  (1ULL << 45)
#define VTD_ECAP_SSTS   (1ULL << 46)
#define VTD_ECAP_FSTS   (1ULL << 47)
#define VTD_ECAP_SMPWCS (1ULL << 48)

/* 3.14: what is never memory to a request without PASID. */
#define VTD_MSI_FIRST 0xfee00000ULL
#define VTD_MSI_LAST  0xfeefffffULL

/*
 * 9.6: PASID Granular Translation Type. Pass-through leads to host-physical memory, and
 * no call of user space leads to pass-through.
 */
typedef enum {
    VTD_PGTT_NONE, /* not present: all is blocked */
    VTD_PGTT_FIRST,
    VTD_PGTT_SECOND,
    VTD_PGTT_NESTED,
} VtdPgtt;

/* A scalable-mode PASID table entry, as far as it is modelled. */
typedef struct {
    VtdPgtt pgtt;
    guint16 did;
    /* nested: the guest's first stage */
    guint64 table;
    guint levels;
    gboolean sre;
    gboolean wpe;
    gboolean eafe;
    EmuHwpt *paging; /* whose IOAS is behind it */
    guint width;     /* of its input addresses, in bits */
} VtdPasidEntry;

/* One translation, or one table entry on the way to some. */
typedef struct {
    guint16 did;
    guint32 pasid;
    gboolean table; /* `out` is the next table */
    guint64 va;     /* its start */
    guint shift;    /* log2 of what it covers */
    guint64 out;
    /* Rights gathered so far. */
    gboolean user;
    gboolean writable;
    gboolean dirty; /* a write needs no more walk */
} VtdIotlbEntry;

/* A PASID-based IOTLB invalidation (6.5.2.6). */
typedef struct {
    guint16 did;
    guint32 pasid;
    guint64 first;
    guint64 last;
    gboolean leaf_only; /* the invalidation hint: tables are left alone */
} VtdIotlbInv;

typedef struct VtdIotlb VtdIotlb;

typedef struct {
    EmuIommu iommu;
    ViommuEmulatorVtdConfig config;
    GHashTable *dids; /* in use */
    VtdIotlb *iotlb;
} Vtd;

/* A device as its IOMMU and the driver see it. */
typedef struct {
    Vtd *vtd;
    EmuDevice *device;
    GHashTable *entries; /* PASID (0: requests without) -> VtdPasidEntry, owned */
    GHashTable *hwpts;   /* the same -> EmuHwpt that the entry was made for */
    EmuAtc *atc;
} VtdDevice;

/* What of the caches a domain's invalidations are for. */
typedef struct {
    VtdDevice *device;
    guint32 pasid;
    guint16 did;
    gboolean for_parent; /* of a nested domain: all of it goes */
} VtdCacheTag;

/* A domain ID of a domain on one unit. */
typedef struct {
    guint16 did;
    guint refs;
} VtdDid;

typedef enum {
    VTD_FIRST_STAGE,
    VTD_SECOND_STAGE,
    VTD_NESTED,
} VtdStage;

/* What the driver keeps for an HWPT of any kind. */
typedef struct {
    VtdStage stage;
    guint width;  /* of input addresses, in bits */
    guint levels; /* of the kernel's own tables */
    gboolean huge_2m;
    gboolean huge_1g;
    gboolean coherent;
    gboolean sync_map;
    gboolean nest_parent;
    gboolean has_dirty;
    gboolean force_snooping;
    struct iommu_hwpt_vtd_s1 s1; /* nested */
    GHashTable *dids;            /* Vtd -> VtdDid, owned */
    GArray *tags;                /* VtdCacheTag */
} VtdDomain;

/* vtd-driver.c */
VtdDomain *viommui_emu_vtd_domain_new(VtdStage stage);
/* May this unit use a paging domain that was made for another? */
int viommui_emu_vtd_compatible(const Vtd *vtd, const VtdDomain *domain);
gboolean viommui_emu_vtd_has_pri(const VtdDevice *device);
gboolean viommui_emu_vtd_has_nesting(const Vtd *vtd);
gboolean viommui_emu_vtd_has_pasid(const Vtd *vtd);

/* vtd-attach.c: slots of the driver's EmuIommuOps, and flushes */
int viommui_emu_vtd_attach(EmuDevice *device, EmuHwpt *hwpt);
int viommui_emu_vtd_attach_pasid(EmuDevice *device, guint32 pasid, EmuHwpt *hwpt,
                                 EmuHwpt *old);
/* The kernel's invalidation of [first, last] of a domain, rounded up as it does. */
void viommui_emu_vtd_flush_range(VtdDomain *domain, guint64 first, guint64 last,
                                 gboolean leaf_only);
/* The tables of a nesting parent changed: no nested translation can be trusted. */
void viommui_emu_vtd_flush_parent(VtdDomain *domain);

/* vtd-nested.c: likewise */
int viommui_emu_vtd_nested_init(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags, guint32 type,
                                const void *data, guint32 size);
int viommui_emu_vtd_invalidate(EmuIommu *iommu, EmuHwpt *hwpt, guint32 type,
                               const void *data, guint32 entry_len, guint32 *entry_num);

/* vtd.c */
int viommui_emu_vtd_translate(EmuDevice *device, const EmuAccess *access, guint64 *ret_ipa,
                              EmuIoas **ret_ioas);

/* What a walk came to. */
typedef enum {
    VTD_OK,
    VTD_RECOVERABLE, /* a device may ask for the page (7.1.2) */
    VTD_REFUSED,
} VtdFault;

/* vtd-walk.c */
VtdFault viommui_emu_vtd_first_stage(Vtd *vtd, const VtdPasidEntry *entry, guint32 pasid,
                                     const EmuAccess *access, VtdIotlbEntry *ret_found);

/* vtd-iotlb.c */
VtdIotlb *viommui_emu_vtd_iotlb_new(void);
void viommui_emu_vtd_iotlb_free(VtdIotlb *iotlb);
const VtdIotlbEntry *viommui_emu_vtd_iotlb_find(const VtdIotlb *iotlb, guint16 did,
                                                guint32 pasid, guint64 va);
/* The table entry that covers 2^shift at `va`. */
const VtdIotlbEntry *viommui_emu_vtd_iotlb_find_table(const VtdIotlb *iotlb, guint16 did,
                                                      guint32 pasid, guint64 va,
                                                      guint shift);
void viommui_emu_vtd_iotlb_insert(VtdIotlb *iotlb, const VtdIotlbEntry *entry);
void viommui_emu_vtd_iotlb_invalidate(VtdIotlb *iotlb, const VtdIotlbInv *what);
/* Domain-selective: every PASID under the ID. */
void viommui_emu_vtd_iotlb_flush_did(VtdIotlb *iotlb, guint16 did);

#endif
