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

enum { TTENDIAN_MIXED = 0 };
enum { STALL_MODEL_BOTH = 0, STALL_MODEL_TERMINATE = 1, STALL_MODEL_FORCED = 2 };

/* 6.3.2 SMMU_IDR1 */
#define IDR1_SIDSIZE  VIOMMUI_FIELD(0, 6)
#define IDR1_SSIDSIZE VIOMMUI_FIELD(6, 5)

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

#endif
