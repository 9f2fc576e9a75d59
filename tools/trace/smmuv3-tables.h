/* SPDX-License-Identifier: MIT */
#ifndef TRACE_SMMUV3_TABLES_H
#define TRACE_SMMUV3_TABLES_H

#include "memory.h"

/*
 * What a recorded guest's SMMUv3 registers and tables say, read anew each time: a walk that
 * shares no code with the library or the emulator, and caches nothing. Section numbers are
 * of Arm IHI 0070.
 */

/* Offsets of registers (6.2). */
enum {
    SMMU_CR0 = 0x20,
    SMMU_GBPA = 0x44,
    SMMU_STRTAB_BASE = 0x80,
    SMMU_STRTAB_BASE_CFG = 0x88,
    SMMU_CMDQ_BASE = 0x90,
    SMMU_CMDQ_PROD = 0x98,
    SMMU_CMDQ_CONS = 0x9c,
    SMMU_EVENTQ_BASE = 0xa0,
    SMMU_EVENTQ_PROD = 0x100a8,
};

typedef struct {
    const TraceMemory *memory;
    guint32 cr0;
    guint32 gbpa;
    guint32 strtab_base_cfg;
    guint64 strtab_base;
    guint64 cmdq_base;
} Smmuv3Tables;

/* Follow a W line. */
void smmuv3_tables_write(Smmuv3Tables *tables, const TraceLine *line);

typedef struct {
    enum {
        SMMUV3_MAPPED,
        SMMUV3_BYPASSED, /* by the stream's entry */
        SMMUV3_DISABLED, /* SMMUEN is 0: bypassed, GBPA.ABORT not set */
        SMMUV3_ABORTED,  /* by configuration */
        SMMUV3_UNMAPPED, /* by the translation tables */
    } kind;
    guint64 gpa;
    guint perms; /* of an unprivileged access: 1 read, 2 write */
    /* What the tables say on the way: MAPPED and UNMAPPED. */
    guint16 asid;
    guint64 root;       /* the translation table base */
    guint granule;      /* log2 */
    guint level;        /* of the last descriptor read */
    guint64 descriptor; /* and where it stands */
    guint64 start;      /* MAPPED: what the page or block covers */
    guint64 size;
    gboolean global;
} Smmuv3Answer;

void smmuv3_tables_walk(const Smmuv3Tables *tables, guint32 sid, guint64 iova,
                        Smmuv3Answer *ret_answer);
/* "mapped", ... */
const char *smmuv3_answer_name(const Smmuv3Answer *answer);

#endif
