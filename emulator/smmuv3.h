/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_SMMUV3_H
#define VIOMMU_EMULATOR_SMMUV3_H

/*
 * An emulated SMMUv3 and its Linux driver.
 *
 * smmuv3-driver.c is the driver: which STE each device gets, VMIDs, what it flushes.
 * smmuv3-vsmmu.c is the driver's vIOMMU: nested STEs and guest commands, checked.
 * smmuv3.c is the hardware from a transaction to its STE, CD, and event record.
 * smmuv3-walk.c walks stage 1; smmuv3-tlb.c remembers what was walked.
 *
 * Section numbers are of Arm IHI 0070.
 */

#include "atc.h"
#include "iommufd.h"

/* 6.3.1 to 6.3.6: the ID fields that the model obeys. */
#define SMMU_IDR0_S2P         (1U << 0)
#define SMMU_IDR0_S1P         (1U << 1)
#define SMMU_IDR0_TTF_AARCH64 (2U << 2)
#define SMMU_IDR0_COHACC      (1U << 4)
#define SMMU_IDR0_HTTU(v)     EMU_BITS64(v, 7, 6)
#define SMMU_IDR0_ATS         (1U << 10)
#define SMMU_IDR0_ASID16      (1U << 12)
#define SMMU_IDR0_VMID16      (1U << 18)
#define SMMU_IDR0_CD2L        (1U << 19)
#define SMMU_IDR0_TTENDIAN(v) EMU_BITS64(v, 22, 21)
#define SMMU_IDR0_STALL(v)    EMU_BITS64(v, 25, 24)
#define SMMU_IDR0_TERM_MODEL  (1U << 26)
#define SMMU_IDR1_SSIDSIZE(v) EMU_BITS64(v, 10, 6)
#define SMMU_IDR3_HAD         (1U << 2)
#define SMMU_IDR3_FWB         (1U << 8)
#define SMMU_IDR3_RIL         (1U << 10)
#define SMMU_IDR5_OAS(v)      EMU_BITS64(v, 2, 0)
#define SMMU_IDR5_GRAN4K      (1U << 4)
#define SMMU_IDR5_GRAN16K     (1U << 5)
#define SMMU_IDR5_GRAN64K     (1U << 6)
#define SMMU_IDR5_DS          (1U << 7)
#define SMMU_IDR5_VAX(v)      EMU_BITS64(v, 11, 10)

/* 5.2: Stream Table Entry. */
#define STE0_V            1ULL
#define STE0_CONFIG(v)    EMU_BITS64(v, 3, 1)
#define STE_CONFIG_ABORT  0
#define STE_CONFIG_BYPASS 4
#define STE_CONFIG_S1     5
#define STE0_S1FMT(v)     EMU_BITS64(v, 5, 4)
#define STE0_S1CTXPTR(v)  ((v)&EMU_MASK64(51, 6))
#define STE0_S1CDMAX(v)   EMU_BITS64(v, 63, 59)
#define STE1_S1DSS(v)     EMU_BITS64(v, 1, 0)
#define STE_S1DSS_BYPASS  1
#define STE_S1DSS_SSID0   2
#define STE1_S1STALLD     (1ULL << 27)
#define STE1_EATS(v)      EMU_BITS64(v, 29, 28)
#define STE1_EATS_MASK    EMU_MASK64(29, 28)

/* 7.3: events that the kernel passes on, by number; and what it keeps to itself. */
typedef enum {
    SMMU_OK = 0,
    SMMU_C_BAD_STE = 0x04,
    SMMU_F_STREAM_DISABLED = 0x06,
    SMMU_C_BAD_SUBSTREAMID = 0x08,
    SMMU_C_BAD_CD = 0x0a,
    SMMU_F_TRANSLATION = 0x10,
    SMMU_F_ADDR_SIZE = 0x11,
    SMMU_F_ACCESS = 0x12,
    SMMU_F_PERMISSION = 0x13,
    SMMU_SILENT = 0x100, /* aborted without an event, or a stage 2 fault */
} SmmuFault;

/* One half of the address space as a CD describes it. */
typedef struct {
    gboolean disabled; /* EPDx */
    gboolean tbi;      /* the top byte is ignored */
    gboolean had;      /* hierarchical attributes are ignored */
    guint size_bits;   /* 64 - TxSZ */
    guint granule;     /* log2 */
    guint64 ttb;
} Smmuv3Tt;

/* A context descriptor, decoded (5.4). */
typedef struct {
    gboolean record; /* R, and terminating */
    gboolean affd;
    gboolean big_endian;
    guint16 asid;
    guint oa_bits; /* the smaller of IPS and OAS */
    Smmuv3Tt tt[2];
} Smmuv3Cd;

/* One translation, or one table descriptor on the way to some. */
typedef struct {
    guint16 vmid;
    guint16 asid;
    gboolean global; /* matches every ASID */
    gboolean table;  /* `out` is the next table */
    guint64 va;      /* start, bits 55:0 */
    guint shift;     /* log2 of what it covers */
    guint granule;   /* log2 */
    guint level;
    guint64 out;
    gboolean read_only;
    gboolean privileged; /* refused to unprivileged transactions */
    gboolean no_user_exec;
    gboolean no_privileged_exec;
} Smmuv3TlbEntry;

/* What a TLBI is aimed at; addresses in bits 55:0. */
typedef struct {
    guint16 vmid;
    gboolean by_asid;
    guint16 asid;
    gboolean spare_global; /* NH_ASID leaves global entries alone */
    gboolean by_va;
    guint64 first;
    guint64 last;
    gboolean leaf_only;
    guint granule; /* log2; 0: any */
    guint level;   /* of leaf entries; 0: any */
} Smmuv3Tlbi;

typedef struct Smmuv3Tlb Smmuv3Tlb;

typedef struct {
    EmuIommu iommu;
    ViommuEmulatorSmmuv3Config config;
    guint oas_bits;
    guint asid_bits;
    guint vmid_bits;
    guint ssid_bits;
    GHashTable *vmids;  /* in use */
    GPtrArray *masters; /* Smmuv3Master of every device, borrowed */
    Smmuv3Tlb *tlb;
    /* With the repeat erratum: commands that were issued once, smmuv3-invalidate.c. */
    GHashTable *half_done;
    guint64 n_syncs;
} Smmuv3;

/* What the driver keeps for a paging HWPT. */
typedef struct {
    gboolean stage2;
    guint16 vmid;
    guint n_masters; /* attached, nested ones included */
} Smmuv3Domain;

/* And for a nested one: the guest's STE as the kernel keeps it. */
typedef struct {
    guint64 ste[2];
    gboolean enable_ats; /* EATS was set */
} Smmuv3Nested;

typedef enum {
    STE_ABORT,
    STE_DIRECT, /* one stage, of the kernel's own tables: the IOAS */
    STE_NESTED,
} Smmuv3SteKind;

typedef struct {
    Smmuv3SteKind kind;
    guint64 words[2]; /* of the guest, when nested */
    EmuHwpt *paging;  /* the IOAS, and the VMID of its domain */
} Smmuv3Ste;

/* A device as its SMMU and the driver see it. */
typedef struct {
    Smmuv3 *smmu;
    EmuDevice *device;
    Smmuv3Ste ste;
    Smmuv3Domain *domain; /* counted in its n_masters; NULL: none */
    GHashTable *cds;      /* SubstreamID -> 8 words of a cached CD, owned */
    GHashTable *l1_cds;   /* index -> a cached level 1 descriptor, owned */
    GHashTable *pasids;   /* SubstreamID -> EmuHwpt in the kernel's own CD table */
    EmuAtc *atc;
    gboolean ats_enabled; /* and its answers come from a guest's stage 1 */
    EmuViommu *viommu;    /* where events go; NULL: nowhere */
    guint64 vsid;
} Smmuv3Master;

/* smmuv3.c */
int viommui_emu_smmuv3_translate(EmuDevice *device, const EmuAccess *access,
                                 guint64 *ret_ipa, EmuIoas **ret_ioas);
void viommui_emu_smmuv3_install_ste(Smmuv3Master *master, const Smmuv3Ste *ste);
void viommui_emu_smmuv3_cfgi_cd(Smmuv3Master *master, guint32 ssid, gboolean leaf);
void viommui_emu_smmuv3_cfgi_cd_all(Smmuv3Master *master);
/* A 64-bit little-endian word at an IPA, read once. FALSE: stage 2 refused. */
gboolean viommui_emu_smmuv3_fetch(const EmuIoas *ioas, guint64 ipa, guint64 *ret_word);

/* smmuv3-cd.c: FALSE when the CD is illegal (C_BAD_CD). */
gboolean viommui_emu_smmuv3_decode_cd(const Smmuv3 *smmu, const guint64 ste[2],
                                      const guint64 words[8], Smmuv3Cd *ret_cd);

/* smmuv3-walk.c */
SmmuFault viommui_emu_smmuv3_stage1(Smmuv3 *smmu, const Smmuv3Cd *cd, const EmuIoas *ioas,
                                    guint16 vmid, const EmuAccess *access,
                                    Smmuv3TlbEntry *ret_found);

/* smmuv3-tlb.c */
Smmuv3Tlb *viommui_emu_smmuv3_tlb_new(void);
void viommui_emu_smmuv3_tlb_free(Smmuv3Tlb *tlb);
const Smmuv3TlbEntry *viommui_emu_smmuv3_tlb_find(const Smmuv3Tlb *tlb, guint16 vmid,
                                                  guint16 asid, guint64 va);
/* The table entry of one level: what covers 2^shift at `va`. */
const Smmuv3TlbEntry *viommui_emu_smmuv3_tlb_find_table(const Smmuv3Tlb *tlb, guint16 vmid,
                                                        guint16 asid, guint64 va,
                                                        guint shift, guint granule);
void viommui_emu_smmuv3_tlb_insert(Smmuv3Tlb *tlb, const Smmuv3TlbEntry *entry);
void viommui_emu_smmuv3_tlb_invalidate(Smmuv3Tlb *tlb, const Smmuv3Tlbi *what);
void viommui_emu_smmuv3_tlb_flush_vmid(Smmuv3Tlb *tlb, guint16 vmid);

/* smmuv3-vsmmu.c: slots of the driver's EmuIommuOps */
gboolean viommui_emu_vsmmu_has_type(EmuIommu *iommu, guint32 type);
int viommui_emu_vsmmu_init(EmuIommu *iommu, EmuViommu *viommu);
int viommui_emu_vsmmu_nested_init(EmuIommu *iommu, EmuHwpt *hwpt, guint32 flags,
                                  guint32 type, const void *data, guint32 size);
/* smmuv3-invalidate.c: likewise */
GHashTable *viommui_emu_smmuv3_half_done_new(void);
int viommui_emu_vsmmu_invalidate(EmuIommu *iommu, EmuViommu *viommu, guint32 type,
                                 const void *data, guint32 entry_len, guint32 *entry_num);

#endif
