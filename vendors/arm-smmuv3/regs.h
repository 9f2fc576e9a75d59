/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_SMMUV3_REGS_H
#define VIOMMUI_SMMUV3_REGS_H

/*
 * Fields of registers and tables, named as in Arm IHI 0070; the section at each group.
 * A field is {its lowest bit, its width}, read and written by the two functions below.
 */

#include <glib.h>

typedef struct {
    guint8 shift;
    guint8 width;
} ViommuiField;

#define VIOMMUI_FIELD(shift_, width_) ((ViommuiField){.shift = (shift_), .width = (width_)})

static inline guint64 viommui_field_mask(ViommuiField field)
{
    return (G_MAXUINT64 >> (64 - field.width)) << field.shift;
}

static inline guint64 viommui_field_get(guint64 word, ViommuiField field)
{
    return (word & viommui_field_mask(field)) >> field.shift;
}

static inline guint64 viommui_field_set(guint64 word, ViommuiField field, guint64 value)
{
    return (word & ~viommui_field_mask(field)) |
           ((value << field.shift) & viommui_field_mask(field));
}

/* 6.3.1 SMMU_IDR0 */
#define IDR0_S1P         VIOMMUI_FIELD(1, 1)
#define IDR0_TTF         VIOMMUI_FIELD(2, 2) /* a bit for each: AArch32, AArch64 */
#define IDR0_COHACC      VIOMMUI_FIELD(4, 1)
#define IDR0_ATS         VIOMMUI_FIELD(10, 1)
#define IDR0_NS1ATS      VIOMMUI_FIELD(11, 1)
#define IDR0_ASID16      VIOMMUI_FIELD(12, 1)
#define IDR0_MSI         VIOMMUI_FIELD(13, 1)
#define IDR0_SEV         VIOMMUI_FIELD(14, 1)
#define IDR0_CD2L        VIOMMUI_FIELD(19, 1)
#define IDR0_TTENDIAN    VIOMMUI_FIELD(21, 2)
#define IDR0_STALL_MODEL VIOMMUI_FIELD(24, 2)
#define IDR0_TERM_MODEL  VIOMMUI_FIELD(26, 1) /* faults cannot end as RAZ/WI */
#define IDR0_ST_LEVEL    VIOMMUI_FIELD(27, 2)

enum { TTENDIAN_MIXED = 0, TTENDIAN_LITTLE = 2, TTENDIAN_BIG = 3 };
enum { STALL_MODEL_BOTH = 0, STALL_MODEL_TERMINATE = 1, STALL_MODEL_FORCED = 2 };

/* 6.3.2 SMMU_IDR1 */
#define IDR1_SIDSIZE  VIOMMUI_FIELD(0, 6)
#define IDR1_SSIDSIZE VIOMMUI_FIELD(6, 5)
#define IDR1_EVENTQS  VIOMMUI_FIELD(16, 5)
#define IDR1_CMDQS    VIOMMUI_FIELD(21, 5)

/* 6.3.4 SMMU_IDR3 */
#define IDR3_RIL  VIOMMUI_FIELD(10, 1)
#define IDR3_BBML VIOMMUI_FIELD(11, 2)

/* 6.3.6 SMMU_IDR5 */
#define IDR5_OAS     VIOMMUI_FIELD(0, 3)
#define IDR5_GRAN4K  VIOMMUI_FIELD(4, 1)
#define IDR5_GRAN16K VIOMMUI_FIELD(5, 1)
#define IDR5_GRAN64K VIOMMUI_FIELD(6, 1)
#define IDR5_DS      VIOMMUI_FIELD(7, 1)
#define IDR5_VAX     VIOMMUI_FIELD(10, 2)

/* 5.2 Stream Table Entry, word 0 */
#define STE0_V            VIOMMUI_FIELD(0, 1)
#define STE0_CONFIG       VIOMMUI_FIELD(1, 3)
#define STE0_S1FMT        VIOMMUI_FIELD(4, 2)
#define STE0_S1CONTEXTPTR VIOMMUI_FIELD(6, 46)
#define STE0_S1CDMAX      VIOMMUI_FIELD(59, 5)

enum { CONFIG_ABORT = 0, CONFIG_BYPASS = 4, CONFIG_S1 = 5 };
enum { S1FMT_LINEAR = 0, S1FMT_RESERVED = 3 };

/* 5.2 Stream Table Entry, word 1 */
#define STE1_S1DSS    VIOMMUI_FIELD(0, 2)
#define STE1_S1CIR    VIOMMUI_FIELD(2, 2)
#define STE1_S1COR    VIOMMUI_FIELD(4, 2)
#define STE1_S1CSH    VIOMMUI_FIELD(6, 2)
#define STE1_S1STALLD VIOMMUI_FIELD(27, 1)
#define STE1_EATS     VIOMMUI_FIELD(28, 2)

enum { S1DSS_RESERVED = 3 };
enum { EATS_ABORT = 0, EATS_TRANSLATE = 1 };

/* 4.1.1 Command opcodes */
enum {
    CMD_PREFETCH_CONFIG = 0x01,
    CMD_PREFETCH_ADDR = 0x02,
    CMD_CFGI_STE = 0x03,
    CMD_CFGI_STE_RANGE = 0x04, /* CFGI_ALL with Range 31 */
    CMD_CFGI_CD = 0x05,
    CMD_CFGI_CD_ALL = 0x06,
    CMD_TLBI_NH_ALL = 0x10,
    CMD_TLBI_NH_ASID = 0x11,
    CMD_TLBI_NH_VA = 0x12,
    CMD_TLBI_NH_VAA = 0x13,
    CMD_TLBI_NSNH_ALL = 0x30,
    CMD_ATC_INV = 0x40,
    CMD_SYNC = 0x46,
};

/* 4.1 to 4.5 Command fields, word 0 */
#define CMD0_OPCODE     VIOMMUI_FIELD(0, 8)
#define CMD0_ATC_GLOBAL VIOMMUI_FIELD(9, 1)
#define CMD0_SSEC       VIOMMUI_FIELD(10, 1)
#define CMD0_SSV        VIOMMUI_FIELD(11, 1)
#define CMD0_SSID       VIOMMUI_FIELD(12, 20)
#define CMD0_SID        VIOMMUI_FIELD(32, 32)
#define CMD0_TLBI_NUM   VIOMMUI_FIELD(12, 5)
#define CMD0_TLBI_SCALE VIOMMUI_FIELD(20, 6)
#define CMD0_TLBI_ASID  VIOMMUI_FIELD(48, 16)

enum { SCALE_MAX_WITHOUT_DS = 31 };

/* Command fields, word 1 */
#define CMD1_LEAF     VIOMMUI_FIELD(0, 1)
#define CMD1_TLBI_TTL VIOMMUI_FIELD(8, 2)
#define CMD1_TLBI_TG  VIOMMUI_FIELD(10, 2)
#define CMD1_ADDRESS  VIOMMUI_FIELD(12, 52)
#define CMD1_ATC_SIZE VIOMMUI_FIELD(0, 6)

enum { TG_NONE = 0, TG_16K = 2 };
enum { ATC_SIZE_ALL = 52 };

/* 5.3 Level 1 Context Descriptor */
#define L1CD_V     VIOMMUI_FIELD(0, 1)
#define L1CD_L2PTR VIOMMUI_FIELD(12, 40)

/* 5.2 S1Fmt: a level 2 table holds 64 or 1024 context descriptors */
enum { S1FMT_4K_L2 = 1, S1FMT_64K_L2 = 2 };
enum { S1DSS_TERMINATE = 0, S1DSS_BYPASS = 1, S1DSS_SSID0 = 2 };

/* 5.4 Context Descriptor, word 0 */
#define CD0_T0SZ VIOMMUI_FIELD(0, 6)
#define CD0_TG0  VIOMMUI_FIELD(6, 2)
#define CD0_EPD0 VIOMMUI_FIELD(14, 1)
#define CD0_ENDI VIOMMUI_FIELD(15, 1)
#define CD0_T1SZ VIOMMUI_FIELD(16, 6)
#define CD0_TG1  VIOMMUI_FIELD(22, 2)
#define CD0_EPD1 VIOMMUI_FIELD(30, 1)
#define CD0_V    VIOMMUI_FIELD(31, 1)
#define CD0_IPS  VIOMMUI_FIELD(32, 3)
#define CD0_AFFD VIOMMUI_FIELD(35, 1)
#define CD0_WXN  VIOMMUI_FIELD(36, 1)
#define CD0_TBI0 VIOMMUI_FIELD(38, 1)
#define CD0_TBI1 VIOMMUI_FIELD(39, 1)
#define CD0_PAN  VIOMMUI_FIELD(40, 1)
#define CD0_AA64 VIOMMUI_FIELD(41, 1)
#define CD0_HD   VIOMMUI_FIELD(42, 1)
#define CD0_HA   VIOMMUI_FIELD(43, 1)
#define CD0_S    VIOMMUI_FIELD(44, 1)
#define CD0_R    VIOMMUI_FIELD(45, 1)
#define CD0_A    VIOMMUI_FIELD(46, 1)
#define CD0_ASID VIOMMUI_FIELD(48, 16)
/* Words 1 and 2; an address, read in place */
#define CD_TTB VIOMMUI_FIELD(4, 48)

enum { TXSZ_MIN = 16, TXSZ_MAX = 39 };
enum { CD_WORDS = 8, CD_SIZE = 64 };

/* VMSAv8-64 stage 1 descriptors (Arm ARM, D8.3) */
#define DESC_VALID     VIOMMUI_FIELD(0, 1)
#define DESC_TABLE     VIOMMUI_FIELD(1, 1) /* at level 3: a page */
#define DESC_AP_EL0    VIOMMUI_FIELD(6, 1)
#define DESC_AP_RO     VIOMMUI_FIELD(7, 1)
#define DESC_AF        VIOMMUI_FIELD(10, 1)
#define DESC_NG        VIOMMUI_FIELD(11, 1)
#define DESC_PXN       VIOMMUI_FIELD(53, 1)
#define DESC_UXN       VIOMMUI_FIELD(54, 1)
#define DESC_PXNTABLE  VIOMMUI_FIELD(59, 1)
#define DESC_UXNTABLE  VIOMMUI_FIELD(60, 1)
#define DESC_APT_NOEL0 VIOMMUI_FIELD(61, 1)
#define DESC_APT_RO    VIOMMUI_FIELD(62, 1)

/* 7.3 Events of a stage 1 SMMU, by number */
enum {
    EVENT_C_BAD_STREAMID = 0x02,
    EVENT_F_STE_FETCH = 0x03,
    EVENT_C_BAD_STE = 0x04,
    EVENT_F_STREAM_DISABLED = 0x06,
    EVENT_C_BAD_SUBSTREAMID = 0x08,
    EVENT_F_CD_FETCH = 0x09,
    EVENT_C_BAD_CD = 0x0a,
    EVENT_F_WALK_EABT = 0x0b,
    EVENT_F_TRANSLATION = 0x10,
    EVENT_F_ADDR_SIZE = 0x11,
    EVENT_F_ACCESS = 0x12,
    EVENT_F_PERMISSION = 0x13,
};

/* 7.3.12 to 7.3.16 Event fields, word 1; word 2 is InputAddr, word 3 FetchAddr */
#define EVENT1_PNU   VIOMMUI_FIELD(33, 1)
#define EVENT1_IND   VIOMMUI_FIELD(34, 1)
#define EVENT1_RNW   VIOMMUI_FIELD(35, 1)
#define EVENT1_S2    VIOMMUI_FIELD(39, 1)
#define EVENT1_CLASS VIOMMUI_FIELD(40, 2)

enum { CLASS_CD = 0, CLASS_TT = 1, CLASS_IN = 2 };

/* 6.1, 6.3 Offsets of registers */
enum {
    SMMU_IDR0 = 0x00, /* to IDR5, 0x14 */
    SMMU_IIDR = 0x18,
    SMMU_AIDR = 0x1c,
    SMMU_CR0 = 0x20,
    SMMU_CR0ACK = 0x24,
    SMMU_CR1 = 0x28,
    SMMU_CR2 = 0x2c,
    SMMU_STATUSR = 0x40,
    SMMU_GBPA = 0x44,
    SMMU_IRQ_CTRL = 0x50,
    SMMU_IRQ_CTRLACK = 0x54,
    SMMU_GERROR = 0x60,
    SMMU_GERRORN = 0x64,
    SMMU_GERROR_IRQ_CFG0 = 0x68,
    SMMU_GERROR_IRQ_CFG1 = 0x70,
    SMMU_GERROR_IRQ_CFG2 = 0x74,
    SMMU_STRTAB_BASE = 0x80,
    SMMU_STRTAB_BASE_CFG = 0x88,
    SMMU_CMDQ_BASE = 0x90,
    SMMU_CMDQ_PROD = 0x98,
    SMMU_CMDQ_CONS = 0x9c,
    SMMU_EVENTQ_BASE = 0xa0,
    SMMU_EVENTQ_IRQ_CFG0 = 0xb0,
    SMMU_EVENTQ_IRQ_CFG1 = 0xb8,
    SMMU_EVENTQ_IRQ_CFG2 = 0xbc,
    SMMU_EVENTQ_PROD = 0x100a8, /* page 1 */
    SMMU_EVENTQ_CONS = 0x100ac,
};

/* 6.3.8 SMMU_AIDR */
enum { AIDR_SMMUV3_2 = 2 };

/* 6.3.9 SMMU_CR0 */
#define CR0_SMMUEN   VIOMMUI_FIELD(0, 1)
#define CR0_EVENTQEN VIOMMUI_FIELD(2, 1)
#define CR0_CMDQEN   VIOMMUI_FIELD(3, 1)
#define CR0_ATSCHK   VIOMMUI_FIELD(4, 1)

/* 6.3.11 SMMU_CR1: attributes of tables and queues, all that there is */
#define CR1_ATTRIBUTES VIOMMUI_FIELD(0, 12)

/* 6.3.12 SMMU_CR2 */
#define CR2_RECINVSID VIOMMUI_FIELD(1, 1)
#define CR2_PTM       VIOMMUI_FIELD(2, 1)

/* 6.3.14 SMMU_GBPA */
#define GBPA_MEMATTR  VIOMMUI_FIELD(0, 5) /* and MTCFG */
#define GBPA_ALLOCCFG VIOMMUI_FIELD(8, 4)
#define GBPA_SHCFG    VIOMMUI_FIELD(12, 2)
#define GBPA_PRIVCFG  VIOMMUI_FIELD(16, 2)
#define GBPA_INSTCFG  VIOMMUI_FIELD(18, 2)
#define GBPA_ABORT    VIOMMUI_FIELD(20, 1)
#define GBPA_UPDATE   VIOMMUI_FIELD(31, 1)

enum { SHCFG_INCOMING = 1 };

/* 6.3.15 SMMU_IRQ_CTRL */
#define IRQ_CTRL_GERROR_IRQEN VIOMMUI_FIELD(0, 1)
#define IRQ_CTRL_EVENTQ_IRQEN VIOMMUI_FIELD(2, 1)

/* 6.3.17 SMMU_GERROR; GERRORN alike */
#define GERROR_CMDQ_ERR           VIOMMUI_FIELD(0, 1)
#define GERROR_EVENTQ_ABT_ERR     VIOMMUI_FIELD(2, 1)
#define GERROR_MSI_CMDQ_ABT_ERR   VIOMMUI_FIELD(4, 1)
#define GERROR_MSI_EVENTQ_ABT_ERR VIOMMUI_FIELD(5, 1)
#define GERROR_MSI_GERROR_ABT_ERR VIOMMUI_FIELD(7, 1)

/* 6.3.19 to 6.3.21 SMMU_GERROR_IRQ_CFGn; EVENTQ_IRQ_CFGn alike */
#define IRQ_CFG0_ADDR       VIOMMUI_FIELD(2, 54)
#define IRQ_CFG1_DATA       VIOMMUI_FIELD(0, 32)
#define IRQ_CFG2_ATTRIBUTES VIOMMUI_FIELD(0, 6)

/* 6.3.24 SMMU_STRTAB_BASE, 6.3.25 SMMU_STRTAB_BASE_CFG */
#define STRTAB_BASE_ADDR         VIOMMUI_FIELD(6, 46)
#define STRTAB_BASE_RA           VIOMMUI_FIELD(62, 1)
#define STRTAB_BASE_CFG_LOG2SIZE VIOMMUI_FIELD(0, 6)
#define STRTAB_BASE_CFG_SPLIT    VIOMMUI_FIELD(6, 5)
#define STRTAB_BASE_CFG_FMT      VIOMMUI_FIELD(16, 2)

enum { STRTAB_LINEAR = 0, STRTAB_2LEVEL = 1 };

/* 5.1.1 Level 1 Stream Table Descriptor */
#define L1STD_SPAN  VIOMMUI_FIELD(0, 5)
#define L1STD_L2PTR VIOMMUI_FIELD(6, 46)

/* 6.3.26 to 6.3.28 SMMU_CMDQ_BASE, PROD, CONS; 6.3.29 to 6.3.31 SMMU_EVENTQ_... */
#define QUEUE_BASE_LOG2SIZE  VIOMMUI_FIELD(0, 5)
#define QUEUE_BASE_ADDR      VIOMMUI_FIELD(5, 47)
#define QUEUE_BASE_HINT      VIOMMUI_FIELD(62, 1) /* RA, WA */
#define QUEUE_INDEX          VIOMMUI_FIELD(0, 20) /* and the wrap bit above it */
#define CMDQ_CONS_ERR        VIOMMUI_FIELD(24, 7)
#define EVENTQ_PROD_OVFLG    VIOMMUI_FIELD(31, 1)
#define EVENTQ_CONS_OVACKFLG VIOMMUI_FIELD(31, 1)

/* 7.1 Command queue errors */
enum { CERROR_NONE = 0, CERROR_ILL = 1, CERROR_ABT = 2 };

/* 4.3.2 CMD_CFGI_STE_RANGE, 4.7.3 CMD_SYNC */
#define CMD1_RANGE        VIOMMUI_FIELD(0, 5)
#define CMD0_SYNC_CS      VIOMMUI_FIELD(12, 2)
#define CMD0_SYNC_MSIDATA VIOMMUI_FIELD(32, 32)
#define CMD1_SYNC_MSIADDR VIOMMUI_FIELD(2, 50)

enum { RANGE_ALL = 31 };
enum { CS_SIG_NONE = 0, CS_SIG_IRQ = 1, CS_SIG_SEV = 2, CS_RESERVED = 3 };

/* 7.3 Event records: words all share, and those of F_STE_FETCH */
#define EVENT0_ID        VIOMMUI_FIELD(0, 8)
#define EVENT0_SSV       VIOMMUI_FIELD(11, 1)
#define EVENT0_SSID      VIOMMUI_FIELD(12, 20)
#define EVENT0_SID       VIOMMUI_FIELD(32, 32)
#define EVENT3_FETCHADDR VIOMMUI_FIELD(3, 49)

#endif
