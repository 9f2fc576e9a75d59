/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_VTD_REGS_H
#define VIOMMUI_VTD_REGS_H

/*
 * Fields of registers, tables and descriptors, named as in the Intel VT-d architecture
 * specification, revision 4.1; the section at each group.
 */

#include "core/field.h"

/* 11.4 Offsets of registers */
enum {
    VTD_VER = 0x00,
    VTD_CAP = 0x08,
    VTD_ECAP = 0x10,
    VTD_GCMD = 0x18,
    VTD_GSTS = 0x1c,
    VTD_RTADDR = 0x20,
    VTD_CCMD = 0x28,
    VTD_FSTS = 0x34,
    VTD_FECTL = 0x38,
    VTD_FEDATA = 0x3c,
    VTD_FEADDR = 0x40,
    VTD_FEUADDR = 0x44,
    VTD_IQH = 0x80,
    VTD_IQT = 0x88,
    VTD_IQA = 0x90,
    VTD_ICS = 0x9c,
    VTD_IECTL = 0xa0,
    VTD_IEDATA = 0xa4,
    VTD_IEADDR = 0xa8,
    VTD_IEUADDR = 0xac,
    VTD_IQERCD = 0xb0,
    VTD_PQH = 0xc0,
    VTD_PQT = 0xc8,
    VTD_PQA = 0xd0,
    VTD_PRS = 0xdc,
    VTD_PECTL = 0xe0,
    VTD_PEDATA = 0xe4,
    VTD_PEADDR = 0xe8,
    VTD_PEUADDR = 0xec,
    /* Where ours are, as ECAP.IRO and CAP.FRO tell. */
    VTD_IVA = 0xf0,
    VTD_IOTLB = 0xf8,
    VTD_FRCD = 0x220,
};

enum { VTD_FRCD_SIZE = 16, VTD_MAX_FRCD = 8 };

/* 11.4.2 CAP_REG */
#define CAP_ND    VIOMMUI_FIELD(0, 3) /* domain IDs of 4 + 2 * ND bits */
#define CAP_RWBF  VIOMMUI_FIELD(4, 1)
#define CAP_CM    VIOMMUI_FIELD(7, 1)
#define CAP_SAGAW VIOMMUI_FIELD(8, 5)  /* a bit for each: 2, 3, 4, 5 levels from bit 0 */
#define CAP_MGAW  VIOMMUI_FIELD(16, 6) /* bits of address, minus 1 */
#define CAP_FRO   VIOMMUI_FIELD(24, 10)
#define CAP_SSLPS VIOMMUI_FIELD(34, 4) /* 2 MiB, 1 GiB */
#define CAP_PSI   VIOMMUI_FIELD(39, 1)
#define CAP_NFR   VIOMMUI_FIELD(40, 8)
#define CAP_MAMV  VIOMMUI_FIELD(48, 6)
#define CAP_DWD   VIOMMUI_FIELD(54, 1)
#define CAP_DRD   VIOMMUI_FIELD(55, 1)
#define CAP_FS1GP VIOMMUI_FIELD(56, 1)
#define CAP_PI    VIOMMUI_FIELD(59, 1)
#define CAP_FS5LP VIOMMUI_FIELD(60, 1)
#define CAP_ECMDS VIOMMUI_FIELD(61, 1)

/* 11.4.3 ECAP_REG */
#define ECAP_C      VIOMMUI_FIELD(0, 1)
#define ECAP_QI     VIOMMUI_FIELD(1, 1)
#define ECAP_DT     VIOMMUI_FIELD(2, 1)
#define ECAP_IR     VIOMMUI_FIELD(3, 1)
#define ECAP_PT     VIOMMUI_FIELD(6, 1)
#define ECAP_SC     VIOMMUI_FIELD(7, 1)
#define ECAP_IRO    VIOMMUI_FIELD(8, 10)
#define ECAP_MTS    VIOMMUI_FIELD(25, 1)
#define ECAP_NEST   VIOMMUI_FIELD(26, 1)
#define ECAP_PRS    VIOMMUI_FIELD(29, 1)
#define ECAP_ERS    VIOMMUI_FIELD(30, 1)
#define ECAP_SRS    VIOMMUI_FIELD(31, 1)
#define ECAP_NWFS   VIOMMUI_FIELD(33, 1)
#define ECAP_EAFS   VIOMMUI_FIELD(34, 1)
#define ECAP_PSS    VIOMMUI_FIELD(35, 5) /* bits of PASID, minus 1 */
#define ECAP_PASID  VIOMMUI_FIELD(40, 1)
#define ECAP_DIT    VIOMMUI_FIELD(41, 1)
#define ECAP_PDS    VIOMMUI_FIELD(42, 1)
#define ECAP_SMTS   VIOMMUI_FIELD(43, 1)
#define ECAP_VCS    VIOMMUI_FIELD(44, 1)
#define ECAP_SSADS  VIOMMUI_FIELD(45, 1)
#define ECAP_SSTS   VIOMMUI_FIELD(46, 1)
#define ECAP_FSTS   VIOMMUI_FIELD(47, 1)
#define ECAP_SMPWCS VIOMMUI_FIELD(48, 1)
#define ECAP_RPS    VIOMMUI_FIELD(49, 1)
#define ECAP_ADMS   VIOMMUI_FIELD(52, 1)
#define ECAP_RPRIVS VIOMMUI_FIELD(53, 1)

/* 11.4.4 GCMD_REG, GSTS_REG: the same bits */
#define GCMD_QIE  VIOMMUI_FIELD(26, 1)
#define GCMD_WBF  VIOMMUI_FIELD(27, 1)
#define GCMD_SRTP VIOMMUI_FIELD(30, 1)
#define GCMD_TE   VIOMMUI_FIELD(31, 1)

/* 11.4.5 RTADDR_REG */
#define RTADDR_TTM VIOMMUI_FIELD(10, 2)
#define RTADDR_RTA VIOMMUI_FIELD(12, 52)

enum { TTM_LEGACY = 0, TTM_SCALABLE = 1, TTM_ABORT = 3 };

/* 11.4.6.1 CCMD_REG */
#define CCMD_DID  VIOMMUI_FIELD(0, 16)
#define CCMD_SID  VIOMMUI_FIELD(16, 16)
#define CCMD_FM   VIOMMUI_FIELD(32, 2)
#define CCMD_CAIG VIOMMUI_FIELD(59, 2)
#define CCMD_CIRG VIOMMUI_FIELD(61, 2)
#define CCMD_ICC  VIOMMUI_FIELD(63, 1)

/* 11.4.6.2 IOTLB_REG, 11.4.6.3 IVA_REG */
#define IOTLB_DID  VIOMMUI_FIELD(32, 16)
#define IOTLB_DW   VIOMMUI_FIELD(48, 1)
#define IOTLB_DR   VIOMMUI_FIELD(49, 1)
#define IOTLB_IAIG VIOMMUI_FIELD(57, 2)
#define IOTLB_IIRG VIOMMUI_FIELD(60, 2)
#define IOTLB_IVT  VIOMMUI_FIELD(63, 1)
#define IVA_AM     VIOMMUI_FIELD(0, 6)
#define IVA_IH     VIOMMUI_FIELD(6, 1)
#define IVA_ADDR   VIOMMUI_FIELD(12, 52)

/* 11.4.7.1 FSTS_REG */
#define FSTS_PFO VIOMMUI_FIELD(0, 1)
#define FSTS_PPF VIOMMUI_FIELD(1, 1)
#define FSTS_IQE VIOMMUI_FIELD(4, 1)
#define FSTS_ICE VIOMMUI_FIELD(5, 1)
#define FSTS_ITE VIOMMUI_FIELD(6, 1)
#define FSTS_FRI VIOMMUI_FIELD(8, 8)

/* 11.4.7.2 FECTL_REG; IECTL_REG and PECTL_REG alike, and so data and address */
#define ECTL_IP    VIOMMUI_FIELD(30, 1)
#define ECTL_IM    VIOMMUI_FIELD(31, 1)
#define EDATA_IMD  VIOMMUI_FIELD(0, 16)
#define EADDR_MA   VIOMMUI_FIELD(2, 30)
#define EUADDR_MUA VIOMMUI_FIELD(0, 32)

/* 11.4.7.6 FRCD_REG: the lower half, then the upper half */
#define FRCD_FI   VIOMMUI_FIELD(12, 52)
#define FRCD_SID  VIOMMUI_FIELD(0, 16)
#define FRCD_T2   VIOMMUI_FIELD(28, 1)
#define FRCD_PRIV VIOMMUI_FIELD(29, 1)
#define FRCD_EXE  VIOMMUI_FIELD(30, 1)
#define FRCD_PP   VIOMMUI_FIELD(31, 1)
#define FRCD_FR   VIOMMUI_FIELD(32, 8)
#define FRCD_PV   VIOMMUI_FIELD(40, 20)
#define FRCD_AT   VIOMMUI_FIELD(60, 2)
#define FRCD_T1   VIOMMUI_FIELD(62, 1) /* a read */
#define FRCD_F    VIOMMUI_FIELD(63, 1)

/* 11.4.9.1 to 11.4.9.3 IQH_REG, IQT_REG, IQA_REG; 11.4.9.4 ICS_REG; 11.4.9.9 IQERCD_REG */
#define IQ_INDEX    VIOMMUI_FIELD(4, 15)
#define IQA_QS      VIOMMUI_FIELD(0, 3)
#define IQA_DW      VIOMMUI_FIELD(11, 1)
#define IQA_IQA     VIOMMUI_FIELD(12, 52)
#define ICS_IWC     VIOMMUI_FIELD(0, 1)
#define IQERCD_IQEI VIOMMUI_FIELD(0, 4)

enum {
    IQEI_NONE = 0,
    IQEI_TAIL = 1,
    IQEI_FETCH = 2,
    IQEI_TYPE = 3,
    IQEI_RESERVED = 4,
    IQEI_WIDTH = 5,
    IQEI_TAIL_ALIGNMENT = 6,
    IQEI_TTM = 7,
};

/* 11.4.11.1 to 11.4.11.4 PQH_REG, PQT_REG, PQA_REG, PRS_REG */
#define PQ_INDEX VIOMMUI_FIELD(5, 14)
#define PQA_PQS  VIOMMUI_FIELD(0, 3)
#define PQA_PQA  VIOMMUI_FIELD(12, 52)
#define PRS_PPR  VIOMMUI_FIELD(0, 1)
#define PRS_PRO  VIOMMUI_FIELD(1, 1)

/* 9.1, 9.2 Root entries: two words, each the same in scalable mode */
#define ROOT_P   VIOMMUI_FIELD(0, 1)
#define ROOT_CTP VIOMMUI_FIELD(12, 52)

/* 9.3 Context entry, words 0 and 1 */
#define CONTEXT0_P          VIOMMUI_FIELD(0, 1)
#define CONTEXT0_FPD        VIOMMUI_FIELD(1, 1)
#define CONTEXT0_TT         VIOMMUI_FIELD(2, 2)
#define CONTEXT0_RESERVED   VIOMMUI_FIELD(4, 8)
#define CONTEXT0_SSPTPTR    VIOMMUI_FIELD(12, 52)
#define CONTEXT1_AW         VIOMMUI_FIELD(0, 3)
#define CONTEXT1_DID        VIOMMUI_FIELD(8, 16)
#define CONTEXT1_RESERVED_7 VIOMMUI_FIELD(7, 1)
#define CONTEXT1_RESERVED   VIOMMUI_FIELD(24, 40)

enum { TT_UNTRANSLATED = 0, TT_ALL = 1, TT_PASS_THROUGH = 2 };

/* 9.4 Scalable-mode context entry, words 0 and 1 */
#define SM_CONTEXT0_DTE         VIOMMUI_FIELD(2, 1)
#define SM_CONTEXT0_PASIDE      VIOMMUI_FIELD(3, 1)
#define SM_CONTEXT0_PRE         VIOMMUI_FIELD(4, 1)
#define SM_CONTEXT0_RESERVED    VIOMMUI_FIELD(5, 4)
#define SM_CONTEXT0_PDTS        VIOMMUI_FIELD(9, 3) /* 2^(PDTS + 7) directory entries */
#define SM_CONTEXT0_PASIDDIRPTR VIOMMUI_FIELD(12, 52)
#define SM_CONTEXT1_RID_PASID   VIOMMUI_FIELD(0, 20)
#define SM_CONTEXT1_RID_PRIV    VIOMMUI_FIELD(20, 1)
#define SM_CONTEXT1_RESERVED    VIOMMUI_FIELD(21, 43)

/* 9.5 PASID directory entry */
#define PASIDDIR_P         VIOMMUI_FIELD(0, 1)
#define PASIDDIR_FPD       VIOMMUI_FIELD(1, 1)
#define PASIDDIR_RESERVED  VIOMMUI_FIELD(2, 10)
#define PASIDDIR_SMPTBLPTR VIOMMUI_FIELD(12, 52)

enum {
    PASIDS_PER_TABLE = 64,
    PASID_TABLE_BITS = 6,
    PASIDDIR_MIN_BITS = 7,
    PASID_BITS = 20
};

/* 9.6 PASID table entry, words 0 to 2 */
#define PASID0_P        VIOMMUI_FIELD(0, 1)
#define PASID0_FPD      VIOMMUI_FIELD(1, 1)
#define PASID0_AW       VIOMMUI_FIELD(2, 3)
#define PASID0_PGTT     VIOMMUI_FIELD(6, 3)
#define PASID0_SSADE    VIOMMUI_FIELD(9, 1)
#define PASID0_RESERVED VIOMMUI_FIELD(10, 2)
#define PASID0_SSPTPTR  VIOMMUI_FIELD(12, 52)
#define PASID1_DID      VIOMMUI_FIELD(0, 16)
#define PASID1_RESERVED VIOMMUI_FIELD(16, 7)
#define PASID1_PWSNP    VIOMMUI_FIELD(23, 1)
#define PASID1_PGSNP    VIOMMUI_FIELD(24, 1)
#define PASID2_SRE      VIOMMUI_FIELD(0, 1)
#define PASID2_ERE      VIOMMUI_FIELD(1, 1)
#define PASID2_FSPM     VIOMMUI_FIELD(2, 2) /* 0: 4 levels, 1: 5 */
#define PASID2_WPE      VIOMMUI_FIELD(4, 1)
#define PASID2_NXE      VIOMMUI_FIELD(5, 1)
#define PASID2_SMEP     VIOMMUI_FIELD(6, 1)
#define PASID2_EAFE     VIOMMUI_FIELD(7, 1)
#define PASID2_RESERVED VIOMMUI_FIELD(8, 4)
#define PASID2_FSPTPTR  VIOMMUI_FIELD(12, 52)

enum { PGTT_FIRST = 1, PGTT_SECOND = 2, PGTT_NESTED = 3, PGTT_PASS_THROUGH = 4 };
enum { PASID_ENTRY_WORDS = 8 };

/* 9.7 First-stage entries */
#define FS_P    VIOMMUI_FIELD(0, 1)
#define FS_RW   VIOMMUI_FIELD(1, 1)
#define FS_US   VIOMMUI_FIELD(2, 1)
#define FS_A    VIOMMUI_FIELD(5, 1)
#define FS_D    VIOMMUI_FIELD(6, 1)
#define FS_PS   VIOMMUI_FIELD(7, 1) /* of the levels above the last */
#define FS_EA   VIOMMUI_FIELD(10, 1)
#define FS_PAT  VIOMMUI_FIELD(12, 1) /* of large pages */
#define FS_ADDR VIOMMUI_FIELD(12, 40)

/* 9.8 Second-stage entries */
#define SS_R    VIOMMUI_FIELD(0, 1)
#define SS_W    VIOMMUI_FIELD(1, 1)
#define SS_PS   VIOMMUI_FIELD(7, 1)
#define SS_SNP  VIOMMUI_FIELD(11, 1)
#define SS_ADDR VIOMMUI_FIELD(12, 40)

/* 6.5.2 Descriptors, words 0 and 1; the type's upper bits are apart */
#define DESC0_TYPE    VIOMMUI_FIELD(0, 4)
#define DESC0_TYPE_HI VIOMMUI_FIELD(9, 3)
#define DESC0_G       VIOMMUI_FIELD(4, 2)
#define DESC0_DID     VIOMMUI_FIELD(16, 16)
#define DESC0_PASID   VIOMMUI_FIELD(32, 20)
#define DESC1_AM      VIOMMUI_FIELD(0, 6)
#define DESC1_IH      VIOMMUI_FIELD(6, 1)
#define DESC1_ADDR    VIOMMUI_FIELD(12, 52)

enum {
    DESC_CONTEXT_CACHE = 1,
    DESC_IOTLB = 2,
    DESC_DEVICE_TLB = 3,
    DESC_INTERRUPT_ENTRY_CACHE = 4,
    DESC_WAIT = 5,
    DESC_PASID_IOTLB = 6,
    DESC_PASID_CACHE = 7,
    DESC_PASID_DEVICE_TLB = 8,
    DESC_PAGE_GROUP_RESPONSE = 9,
};

/* Granularities: context-cache and IOTLB; PASID-cache; PASID-based IOTLB */
enum { G_GLOBAL = 1, G_DOMAIN = 2, G_DEVICE = 3, G_PAGE = 3 };
enum { PC_DOMAIN = 0, PC_PASID = 1, PC_GLOBAL = 3 };
enum { P_IOTLB_PASID = 2, P_IOTLB_PAGE = 3 };

#define CC0_SID       VIOMMUI_FIELD(32, 16)
#define CC0_FM        VIOMMUI_FIELD(48, 2)
#define WAIT0_IF      VIOMMUI_FIELD(4, 1)
#define WAIT0_SW      VIOMMUI_FIELD(5, 1)
#define WAIT0_FN      VIOMMUI_FIELD(6, 1)
#define WAIT0_PD      VIOMMUI_FIELD(7, 1)
#define WAIT0_DATA    VIOMMUI_FIELD(32, 32)
#define WAIT1_ADDR    VIOMMUI_FIELD(2, 62)
#define DEVTLB0_SID   VIOMMUI_FIELD(32, 16)
#define DEVTLB1_S     VIOMMUI_FIELD(0, 1)
#define P_DEVTLB0_SID VIOMMUI_FIELD(16, 16)
#define P_DEVTLB1_G   VIOMMUI_FIELD(0, 1)
#define P_DEVTLB1_S   VIOMMUI_FIELD(11, 1)
#define PGRP0_PASID_P VIOMMUI_FIELD(4, 1)
#define PGRP0_CODE    VIOMMUI_FIELD(12, 4)
#define PGRP0_SID     VIOMMUI_FIELD(16, 16)
#define PGRP1_PRGI    VIOMMUI_FIELD(3, 9)

enum { PGRP_SUCCESS = 0 };

/* 7.4.1 Page request descriptor, words 0 and 1 */
#define PREQ0_TYPE    VIOMMUI_FIELD(0, 8)
#define PREQ0_PASID_P VIOMMUI_FIELD(8, 1)
#define PREQ0_SID     VIOMMUI_FIELD(16, 16)
#define PREQ0_PASID   VIOMMUI_FIELD(32, 20)
#define PREQ0_EXE     VIOMMUI_FIELD(52, 1)
#define PREQ0_PRIV    VIOMMUI_FIELD(53, 1)
#define PREQ1_READ    VIOMMUI_FIELD(0, 1)
#define PREQ1_WRITE   VIOMMUI_FIELD(1, 1)
#define PREQ1_LPIG    VIOMMUI_FIELD(2, 1)
#define PREQ1_PRGI    VIOMMUI_FIELD(3, 9)
#define PREQ1_ADDR    VIOMMUI_FIELD(12, 52)

enum { PREQ_TYPE_PAGE_REQUEST = 1, PREQ_SIZE = 32 };

/* 7.1.3 Fault reasons: legacy mode */
enum {
    FR_ROOT_P = 0x01,
    FR_CONTEXT_P = 0x02,
    FR_CONTEXT_INVALID = 0x03,
    FR_BEYOND_WIDTH = 0x04,
    FR_WRITE = 0x05,
    FR_READ = 0x06,
    FR_SS_ACCESS = 0x07,
    FR_ROOT_ACCESS = 0x08,
    FR_CONTEXT_ACCESS = 0x09,
    FR_ROOT_RESERVED = 0x0a,
    FR_CONTEXT_RESERVED = 0x0b,
    FR_SS_RESERVED = 0x0c,
    FR_TT_BLOCKS = 0x0d,
    FR_INTERRUPT_ADDRESS = 0x0e,
};

/* Scalable mode */
enum {
    FR_SM_TTM = 0x30,
    FR_SM_PASID_IN_LEGACY = 0x31,
    FR_SM_ROOT_ACCESS = 0x38,
    FR_SM_ROOT_P = 0x39,
    FR_SM_ROOT_RESERVED = 0x3a,
    FR_SM_CONTEXT_ACCESS = 0x40,
    FR_SM_CONTEXT_P = 0x41,
    FR_SM_CONTEXT_RESERVED = 0x42,
    FR_SM_CONTEXT_INVALID = 0x43,
    FR_SM_PASIDE = 0x45,
    FR_SM_PASID_RANGE = 0x46,
    FR_SM_RID_PASID = 0x48,
    FR_SM_DIR_ACCESS = 0x50,
    FR_SM_DIR_P = 0x51,
    FR_SM_DIR_RESERVED = 0x52,
    FR_SM_PASID_ACCESS = 0x58,
    FR_SM_PASID_P = 0x59,
    FR_SM_PASID_RESERVED = 0x5a,
    FR_SM_PASID_INVALID = 0x5b,
    FR_SM_ERE = 0x5c,
    FR_SM_SRE = 0x5d,
    FR_SM_FS_ACCESS = 0x70,
    FR_SM_FS_P = 0x71,
    FR_SM_FS_RESERVED = 0x72,
    FR_SM_FS_FIRST_ACCESS = 0x73,
    FR_SM_SS_ACCESS = 0x78,
    FR_SM_SS_PERMISSION = 0x79,
    FR_SM_SS_RESERVED = 0x7a,
    FR_SM_NOT_CANONICAL = 0x80,
    FR_SM_US = 0x81,
    FR_SM_EXECUTE = 0x82,
    FR_SM_BEYOND_MGAW = 0x83,
    FR_SM_BEYOND_AW = 0x84,
    FR_SM_WRITE = 0x85,
    FR_SM_READ = 0x86,
    FR_SM_INTERRUPT_ADDRESS = 0x87,
    FR_SM_FLAG_UPDATE = 0x91,
};

/* 3.14 Interrupt address range */
#define VTD_INTERRUPT_FIRST 0xfee00000u
#define VTD_INTERRUPT_LAST  0xfeefffffu

#endif
