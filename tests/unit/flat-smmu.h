/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FLAT_SMMU_H
#define TESTS_FLAT_SMMU_H

/*
 * A guest SMMUv3 for the tests of its software translation: only the part that endpoints
 * use, set up from within, over a flat memory in which the test writes tables, context
 * descriptors and stream table entries by hand. There is one of it.
 */

#include "vendors/arm-smmuv3/vsmmu.h"

#define RAM_BASE 0x100000ull
#define STRTAB   RAM_BASE
#define EVENTQ   (RAM_BASE + 0x2000)
#define CDS      (RAM_BASE + 0x10000)
#define L1CDS    (RAM_BASE + 0x20000)
#define L2CDS    (RAM_BASE + 0x30000)
#define TABLES   (RAM_BASE + 0x100000)
#define NOWHERE  0xdead0000ull /* within the output size, and no memory */

enum { RAM_SIZE = 0x400000, SID = 3, ASID = 7, NO_SSID = VIOMMU_SMMUV3_NO_SUBSTREAM };
enum { LOG2_STREAMS = 4, EVENTQ_BITS = 5, OAS_44 = 4 };
enum {
    R = VIOMMU_ACCESS_READ,
    W = VIOMMU_ACCESS_WRITE,
    X = VIOMMU_ACCESS_EXECUTE,
    P = VIOMMU_ACCESS_PRIVILEGED,
    PEEK = VIOMMU_ACCESS_PEEK,
};

/* Descriptors. */
#define PAGE       3ull
#define BLOCK      1ull
#define TABLE      3ull
#define EL0        (1ull << 6)
#define RO         (1ull << 7)
#define AF         (1ull << 10)
#define NG         (1ull << 11)
#define PXN        (1ull << 53)
#define UXN        (1ull << 54)
#define PXN_TABLE  (1ull << 59)
#define UXN_TABLE  (1ull << 60)
#define NO_EL0_TAB (1ull << 61)
#define RO_TABLE   (1ull << 62)
#define USUAL      (EL0 | AF | NG | PXN | UXN)

/* A half of an address space: its first table, and its shape. */
typedef struct {
    guint64 ttb;
    guint granule; /* log2 */
    guint bits;    /* 64 - TxSZ */
} Space;

/* Context descriptors. */
#define CD_LEGAL                                                         \
    (1ull << 31 /* V */ | 5ull << 32 /* IPS */ | 1ull << 41 /* AA64 */ | \
     1ull << 45 /* R */ | 1ull << 46 /* A */ | (guint64)ASID << 48)
#define CD_EPD0     (1ull << 14)
#define CD_EPD1     (1ull << 30)
#define CD_R        (1ull << 45)

#define STE_S1(cds) (1ull | 5ull << 1 | (cds))
#define CDMAX(n)    ((guint64)(n) << 59)
#define FMT(n)      ((guint64)(n) << 4)

extern ViommuSmmuv3 smmu;
extern guint n_reads;                 /* of guest memory */
extern GString *told;                 /* what translations_changed said */
extern guint64 event[4];              /* the first that the last translation recorded */
extern ViommuTranslation translation; /* what it answered */

/* Once, at the beginning and the end. */
void flat_smmu_init(void);
void flat_smmu_clear(void);

/* Words in guest memory. */
void store(guint64 gpa, guint64 value);
guint64 load(guint64 gpa);
guint64 new_table(guint64 size);

/* Tables. */
Space new_space(guint granule, guint bits);
guint shift_of(const Space *space, guint level);
guint first_level(const Space *space);
guint64 descriptor_at(const Space *space, guint64 table, guint64 va, guint level);
/* Put a descriptor at a level, with tables above as needed; returns where it stands. */
guint64 put(const Space *space, guint64 va, guint level, guint64 descriptor);

/* Fields of context descriptors, and all of the first word of one with a lower half only.
 */
guint64 tg0(guint granule);
guint64 tg1(guint granule);
guint64 cd_word0(const Space *space);
void put_cd(guint64 at, guint64 word0, guint64 ttb0, guint64 ttb1);
void put_ste(guint32 sid, guint64 word0, guint64 word1);

/* The memory empty; SMMUEN, a stream table, an event queue. */
void reset(void);
/* And one stream with one table of 4 KiB pages, 39 bits. */
Space simple(void);
/* Both caches empty. */
void forget_all(void);
/* Who listens to it: told. */
void translations_changed(guint32 device_id, guint32 pasid, guint64 iova, guint64 size,
                          void *user_data);

/* One transaction; as a point: it goes there, or fails with this event (0: none). */
ViommuResult translate(guint32 sid, guint32 ssid, guint64 iova, guint access);
void goes_as(guint32 sid, guint32 ssid, guint64 iova, guint access, guint64 gpa,
             const char *name);
void fails_as(guint32 sid, guint32 ssid, guint64 iova, guint access, guint id,
              const char *name);
/* Of stream SID, without a SubstreamID. */
void goes(guint64 iova, guint access, guint64 gpa, const char *name);
void fails(guint64 iova, guint access, guint id, const char *name);

#endif
