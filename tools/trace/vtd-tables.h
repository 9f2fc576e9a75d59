/* SPDX-License-Identifier: MIT */
#ifndef TRACE_VTD_TABLES_H
#define TRACE_VTD_TABLES_H

#include "tables.h"

/*
 * The walk of a recorded guest's VT-d tables: root, context and PASID tables, first and
 * second stage. Section numbers are of the Intel VT-d architecture specification, 4.1.
 */

/* Offsets of registers (11.4). */
enum {
    VTD_VER = 0x0,
    VTD_CAP = 0x8,
    VTD_ECAP = 0x10,
    VTD_GCMD = 0x18,
    VTD_GSTS = 0x1c,
    VTD_RTADDR = 0x20,
    VTD_CCMD = 0x28,
    VTD_FSTS = 0x34,
    VTD_IQH = 0x80,
    VTD_IQT = 0x88,
    VTD_IQA = 0x90,
    VTD_PQA = 0xd0,
};

/* Bits of GCMD (11.4.4.1). */
#define VTD_GCMD_QIE  (1u << 26)
#define VTD_GCMD_SRTP (1u << 30)
#define VTD_GCMD_TE   (1u << 31)

typedef struct {
    const TraceMemory *memory;
    guint64 cap; /* as the guest read it; all ones where it did not look */
    guint64 ecap;
    guint64 rtaddr; /* the register */
    guint64 root;   /* what of it SRTP has made the root table (11.4.5) */
    guint64 iqa;
    guint64 ccmd;
    guint64 iva; /* IVA_REG and IOTLB_REG stand where ECAP.IRO says */
    guint64 iotlb;
    gboolean enabled; /* translation */
    gboolean queued;  /* invalidation */
} VtdTables;

/* The registers of IOTLB invalidation (11.4.6.2): IVA_REG here, IOTLB_REG 8 bytes on. */
guint64 vtd_tables_get_iva_offset(const VtdTables *tables);
/* Log2 of the bytes of an invalidation descriptor (11.4.9.3, DW). */
guint vtd_tables_get_descriptor_shift(const VtdTables *tables);

/* What the guest's tables have for all requests of a device without a PASID. */
typedef enum {
    VTD_DISABLED,     /* translation is */
    VTD_ABSENT,       /* there is no entry, or all is aborted */
    VTD_BAD,          /* an entry cannot be used */
    VTD_LEGACY_PASS,  /* pass-through */
    VTD_LEGACY_TABLE, /* second stage */
    VTD_PASS,
    VTD_FIRST,
    VTD_SECOND,
    VTD_NESTED,
} VtdForm;

typedef struct {
    VtdForm form;
    guint64 at;         /* where the last entry that was read stands */
    guint64 bytes[8];   /* it, and of a PASID table entry also */
    guint64 context[2]; /* what of its context entry has a meaning */
    guint16 domain;
    guint32 pasid; /* RID_PASID, in scalable mode */
    guint64 first; /* the tables of each stage, and their levels */
    guint first_levels;
    guint64 second;
    guint second_levels;
    gboolean privileged;    /* requests are supervisor ones (9.4, RID_PRIV) */
    gboolean write_protect; /* WPE: also for those */
} VtdEntry;

void vtd_tables_find(const VtdTables *tables, guint16 requester_id, VtdEntry *ret_entry);
/* In words, as "legacy mode, second-stage tables"; static. */
const char *vtd_form_name(VtdForm form);

#endif
