/* SPDX-License-Identifier: MIT */
#ifndef TRACE_SMMUV3_TABLES_H
#define TRACE_SMMUV3_TABLES_H

#include "tables.h"

/*
 * The walk of a recorded guest's SMMUv3 tables. Section numbers are of Arm IHI 0070.
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

#endif
