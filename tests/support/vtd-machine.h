/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VTD_MACHINE_H
#define TESTS_VTD_MACHINE_H

#include <viommu/vtd.h>

#include "dma.h"
#include "target.h"
#include "vtd-guest.h"

/*
 * A VM with a whole guest VT-d unit, and what a driver does with it: registers written,
 * root, context and PASID tables, an invalidation queue, fault records and a page request
 * queue laid out in guest memory. Registers and fields are written down here once more,
 * from the VT-d specification and not from the library's headers: the tests are a second
 * opinion.
 *
 * Host devices are behind requester IDs VTDM_RID, VTDM_RID + 8, ... (function 0 of device
 * 2, 3, ... on bus 0); others are those of emulated endpoints. The buffer of each host
 * device's edu is full of VTDM_PATTERN.
 */
enum { VTDM_DEVICES = 3, VTDM_RID = 0x10, VTDM_ENDPOINT = 0x340, VTDM_PATTERN = 0x5a };
enum { VTDM_DID = 9, VTDM_PT_DID = 3 };
enum { VTDM_IOVA = 0x5000, VTDM_RAM_BASE = 0x1000000, VTDM_RAM_SIZE = 0x800000 };
enum { VTDM_NOWHERE = 0x70000000, VTDM_NO_PASID = -1 };
/* Data of interrupt messages, and where they go. */
enum { VTDM_FAULT_EVENT = 0x21, VTDM_WAIT_EVENT = 0x22, VTDM_PAGE_EVENT = 0x23 };
enum { VTDM_MSI = 0xfee00000 };

/* 11.4: offsets of registers. */
enum {
    VTDM_VER = 0x0,
    VTDM_CAP = 0x8,
    VTDM_ECAP = 0x10,
    VTDM_GCMD = 0x18,
    VTDM_GSTS = 0x1c,
    VTDM_RTADDR = 0x20,
    VTDM_CCMD = 0x28,
    VTDM_FSTS = 0x34,
    VTDM_FECTL = 0x38,
    VTDM_FEDATA = 0x3c,
    VTDM_FEADDR = 0x40,
    VTDM_FEUADDR = 0x44,
    VTDM_PMEN = 0x64,
    VTDM_IQH = 0x80,
    VTDM_IQT = 0x88,
    VTDM_IQA = 0x90,
    VTDM_ICS = 0x9c,
    VTDM_IECTL = 0xa0,
    VTDM_IEDATA = 0xa4,
    VTDM_IEADDR = 0xa8,
    VTDM_IEUADDR = 0xac,
    VTDM_IQERCD = 0xb0,
    VTDM_IRTA = 0xb8,
    VTDM_PQH = 0xc0,
    VTDM_PQT = 0xc8,
    VTDM_PQA = 0xd0,
    VTDM_PRS = 0xdc,
    VTDM_PECTL = 0xe0,
    VTDM_PEDATA = 0xe4,
    VTDM_PEADDR = 0xe8,
    VTDM_PEUADDR = 0xec,
};
/* GCMD, and the same bits of GSTS. */
#define VTDM_TE    (1u << 31)
#define VTDM_SRTP  (1u << 30)
#define VTDM_WBF   (1u << 27)
#define VTDM_QIE   (1u << 26)
#define VTDM_IRE   (1u << 25)
#define VTDM_SIRTP (1u << 24)
/* FSTS */
enum { VTDM_PFO = 1 << 0, VTDM_PPF = 1 << 1, VTDM_IQE = 1 << 4, VTDM_ICE = 1 << 5 };
enum { VTDM_ITE = 1 << 6 };
/* FECTL, IECTL, PECTL */
#define VTDM_IM (1u << 31)
#define VTDM_IP (1u << 30)
/* CAP and ECAP: where a field begins. */
enum {
    VTDM_CAP_ND = 0,
    VTDM_CAP_RWBF = 4,
    VTDM_CAP_CM = 7,
    VTDM_CAP_SAGAW = 8,
    VTDM_CAP_MGAW = 16,
    VTDM_CAP_FRO = 24,
    VTDM_CAP_SSLPS = 34,
    VTDM_CAP_PSI = 39,
    VTDM_CAP_NFR = 40,
    VTDM_CAP_MAMV = 48,
    VTDM_CAP_FS1GP = 56,
    VTDM_CAP_FS5LP = 60,
};
enum {
    VTDM_ECAP_C = 0,
    VTDM_ECAP_QI = 1,
    VTDM_ECAP_DT = 2,
    VTDM_ECAP_IR = 3,
    VTDM_ECAP_PT = 6,
    VTDM_ECAP_SC = 7,
    VTDM_ECAP_IRO = 8,
    VTDM_ECAP_NEST = 26,
    VTDM_ECAP_PRS = 29,
    VTDM_ECAP_SRS = 31,
    VTDM_ECAP_EAFS = 34,
    VTDM_ECAP_PSS = 35,
    VTDM_ECAP_PASID = 40,
    VTDM_ECAP_PDS = 42,
    VTDM_ECAP_SMTS = 43,
    VTDM_ECAP_SSTS = 46,
    VTDM_ECAP_FSTS = 47,
    VTDM_ECAP_SMPWCS = 48,
    VTDM_ECAP_RPS = 49,
};
/* IQERCD.IQEI */
enum {
    VTDM_IQEI_TAIL = 1,
    VTDM_IQEI_FETCH = 2,
    VTDM_IQEI_TYPE = 3,
    VTDM_IQEI_RESERVED = 4,
    VTDM_IQEI_WIDTH = 5,
    VTDM_IQEI_ALIGNMENT = 6,
    VTDM_IQEI_TTM = 7,
};
/* 7.1.3: fault reasons. */
enum {
    VTDM_F_ROOT_P = 1,
    VTDM_F_CONTEXT_P = 2,
    VTDM_F_CONTEXT_INVALID = 3,
    VTDM_F_ADDRESS = 4,
    VTDM_F_WRITE = 5,
    VTDM_F_READ = 6,
    VTDM_F_PAGE_ACCESS = 7,
    VTDM_F_ROOT_ACCESS = 8,
    VTDM_F_CONTEXT_ACCESS = 9,
    VTDM_F_ROOT_RESERVED = 0xa,
    VTDM_F_CONTEXT_RESERVED = 0xb,
    VTDM_F_PAGE_RESERVED = 0xc,
    VTDM_F_TT_BLOCKS = 0xd,
    VTDM_F_LEGACY_INTERRUPT = 0xe,
    VTDM_F_TTM = 0x30,
    VTDM_F_TTM_PASID = 0x31,
    VTDM_F_SM_ROOT_ACCESS = 0x38,
    VTDM_F_SM_ROOT_P = 0x39,
    VTDM_F_SM_ROOT_RESERVED = 0x3a,
    VTDM_F_SM_CONTEXT_ACCESS = 0x40,
    VTDM_F_SM_CONTEXT_P = 0x41,
    VTDM_F_SM_CONTEXT_RESERVED = 0x42,
    VTDM_F_SM_CONTEXT_INVALID = 0x43,
    VTDM_F_PASIDE = 0x45,
    VTDM_F_PASID_RANGE = 0x46,
    VTDM_F_RID_PASID_RANGE = 0x48,
    VTDM_F_DIRECTORY_ACCESS = 0x50,
    VTDM_F_DIRECTORY_P = 0x51,
    VTDM_F_DIRECTORY_RESERVED = 0x52,
    VTDM_F_PASID_ACCESS = 0x58,
    VTDM_F_PASID_P = 0x59,
    VTDM_F_PASID_RESERVED = 0x5a,
    VTDM_F_PASID_INVALID = 0x5b,
    VTDM_F_ERE = 0x5c,
    VTDM_F_SRE = 0x5d,
    VTDM_F_FS_ACCESS = 0x70,
    VTDM_F_FS_P = 0x71,
    VTDM_F_FS_RESERVED = 0x72,
    VTDM_F_FS_TABLE = 0x73,
    VTDM_F_SS_ACCESS = 0x78,
    VTDM_F_SS_PERMISSION = 0x79,
    VTDM_F_SS_RESERVED = 0x7a,
    VTDM_F_CANONICAL = 0x80,
    VTDM_F_USER = 0x81,
    VTDM_F_EXECUTE = 0x82,
    VTDM_F_SS_ADDRESS_1 = 0x83,
    VTDM_F_SS_ADDRESS_2 = 0x84,
    VTDM_F_SM_WRITE = 0x85,
    VTDM_F_SM_READ = 0x86,
    VTDM_F_INTERRUPT = 0x87,
    VTDM_F_UPDATE = 0x91,
};

typedef enum { VTDM_LEGACY, VTDM_SCALABLE } VtdmMode;

/* A fault record (11.4.14). */
typedef struct {
    guint8 reason;
    guint16 rid;
    gboolean read; /* type 10 */
    guint type;    /* T1 << 1 | T2 */
    gboolean has_pasid;
    guint32 pasid;
    gboolean execute;
    gboolean privileged;
    guint64 address; /* of a page */
} VtdmFault;

/* A page request (7.4.1). */
typedef struct {
    guint type;
    guint16 rid;
    gboolean has_pasid;
    guint32 pasid;
    gboolean execute;
    gboolean privileged;
    gboolean read;
    gboolean write;
    gboolean last;
    guint group;
    guint64 address;
} VtdmPageRequest;

typedef struct VtdMachine VtdMachine;
struct VtdMachine {
    ViommuEmulator *emulator; /* NULL: a real kernel, or no host */
    char *const *bdfs;
    const Target *target; /* NULL: no host */
    ViommuHost *host;     /* NULL: emulated endpoints only */
    ViommuHostDevice *devices[VTDM_DEVICES];
    DmaDevice dma[VTDM_DEVICES];
    guint n_devices;
    gboolean nests;             /* all hosts do, or there is none */
    ViommuVtdDeviceFlags flags; /* what devices are attached with */
    ViommuVtdConfig config;
    ViommuVtd *vtd;
    GuestMemory ram;
    /* VTDM_DID, with `page` at VTDM_IOVA; the stage that hosts can be given: first, if
     * nests */
    GuestVtdDomain domain;
    guint64 page;
    guint64 pattern; /* a page full of VTDM_PATTERN */

    /* Where the driver has put things; vtdm_start() makes what is not there. */
    VtdmMode mode;
    guint64 root;
    guint64 queue;
    guint queue_order; /* IQA.QS: 2^(order + 8) descriptors of 128 bits */
    gboolean wide;     /* of 256 bits */
    guint32 tail;      /* in descriptors: what was written to memory */
    guint64 status;    /* a page: waits write to its beginning */
    guint32 sequence;  /* and what the last one writes */
    guint64 requests;  /* the page request queue */

    /* What the services saw. */
    guint n_msis[256]; /* by the lowest byte of their data */
    guint64 msi_address;
    guint32 msi_data;
    guint n_changed; /* calls of translations_changed */
    guint32 changed_rid;
    guint32 changed_pasid;
    guint64 changed_iova;
    guint64 changed_size;
    int event_fd;
    guint n_watched;
    guint64 hole;    /* a page of memory that cannot be read nor written; 0: none */
    guint64 no_swap; /* a page where compare-and-swap fails; 0: none */
    guint64 counted; /* a page: n_reads counts the reads in it */
    guint n_reads;
    guint64 read_bytes;
    guint n_swaps;
    /* After a read, with what will be handed out. */
    void (*on_read)(VtdMachine *vm, guint64 gpa, void *data, gsize size, void *user_data);
    void *on_read_data;
    char *refusal; /* the words of the last one */
    guint n_refusals;
    guint64 n_entries; /* of invalidations that went to a host */
};

/*
 * The devices of these addresses, NULL-terminated; NULL target or no address: no host.
 * `config`: what is offered, services set here; NULL for AUTO. FALSE: nothing is left, and
 * why was noted. Registers are as after a reset, all requests pass through.
 */
gboolean vtdm_init(VtdMachine *vm, const Target *target, char *const *bdfs,
                   const ViommuVtdConfig *config);
/* The same, devices attached with these flags. */
gboolean vtdm_init_flags(VtdMachine *vm, const Target *target, char *const *bdfs,
                         const ViommuVtdConfig *config, ViommuVtdDeviceFlags flags);
/*
 * For emulated endpoints of a unit with a first stage: the first device is beside them
 * where its host nests; elsewhere none is, and the unit offers what such a host's mostly
 * does.
 */
gboolean vtdm_init_first_stage(VtdMachine *vm, const Target *target);
void vtdm_clear(VtdMachine *vm);
/* A unit for the same VM once more: freed, made, devices attached, not released. */
gboolean vtdm_remake(VtdMachine *vm, GError **error);
/* For a unit, or a host, that a test makes itself. */
ViommuServices vtdm_services(VtdMachine *vm);
void vtdm_trace(const ViommuTraceRecord *record, void *vm);

/* Memory: pages in a row, aligned to their size. */
guint64 vtdm_alloc(VtdMachine *vm, gsize size);
guint64 vtdm_load(VtdMachine *vm, guint64 gpa);
void vtdm_store(VtdMachine *vm, guint64 gpa, guint64 value);

guint32 vtdm_get(VtdMachine *vm, guint reg);
guint64 vtdm_get64(VtdMachine *vm, guint reg);
void vtdm_set(VtdMachine *vm, guint reg, guint32 value);
void vtdm_set64(VtdMachine *vm, guint reg, guint64 value);
/* Bits of CAP or ECAP. */
guint vtdm_cap(VtdMachine *vm, guint lowest, guint width);
guint vtdm_ecap(VtdMachine *vm, guint lowest, guint width);
/* The largest AW that CAP.SAGAW has. */
guint vtdm_aw(VtdMachine *vm);
/* Another domain, of the stage that vm->domain has. */
void vtdm_domain_init(VtdMachine *vm, GuestVtdDomain *domain, guint16 did);

/* What hosts make of a domain's tables. */
typedef enum {
    VTDM_NESTED,   /* a nested HWPT */
    VTDM_SHADOWED, /* the HWPT of a shadow, which map and unmap keep */
    /*
     * Mappings in a container for each group (backend "legacy"): to attach is to map all,
     * to block to unmap all, and a table that nobody is attached to is no host call.
     */
    VTDM_MAPPED,
} VtdmWay;
VtdmWay vtdm_way_of(const Target *target, gboolean nests);
VtdmWay vtdm_way(const VtdMachine *vm);
/* By that. */
#define VTDM_BY_WAY(way, nested, shadowed, mapped) \
    ((way) == VTDM_NESTED ? (nested) : (way) == VTDM_SHADOWED ? (shadowed) : (mapped))

/* Host calls by what they are for. */
typedef enum {
    VTDM_CALL_TABLES, /* they are made */
    VTDM_CALL_ATTACH,
    VTDM_CALL_BLOCK,
    VTDM_CALL_REVOKE, /* what the guest took back goes: an invalidation, an unmap */
    VTDM_CALL_GRANT,  /* what the guest has mapped comes: an invalidation, a map */
} VtdmCall;
unsigned long vtdm_request_of(VtdmWay way, VtdmCall call);
unsigned long vtdm_request(const VtdMachine *vm, VtdmCall call);
guint64 vtdm_count(const VtdMachine *vm, Spy *spy, VtdmCall call);
/* By whether the host nests. */
#define VTDM_BY_NESTING(vm, nested, shadowed) ((vm)->nests ? (nested) : (shadowed))

/* --- the driver --- */

/* One of GCMD's bits, the others as GSTS has them. TRUE: GSTS shows it. */
gboolean vtdm_command(VtdMachine *vm, guint32 bit, gboolean on);
/* All a driver does first, in Linux's order; translation is on at the end. */
void vtdm_start(VtdMachine *vm, VtdmMode mode);
/* Its steps. The queue is empty and enabled then. */
void vtdm_set_queue(VtdMachine *vm, gboolean wide);
void vtdm_set_root(VtdMachine *vm, VtdmMode mode, guint64 root);
void vtdm_set_events(VtdMachine *vm);
void vtdm_set_page_queue(VtdMachine *vm);
gboolean vtdm_flush_all(VtdMachine *vm);

/* Where a requester ID's context entry stands; the table is made if there is none. */
guint64 vtdm_context_at(VtdMachine *vm, guint16 rid);
/* Write it, and nothing more. */
void vtdm_put_context(VtdMachine *vm, guint16 rid, guint64 word0, guint64 word1);
/*
 * Where a PASID's table entry stands, by the context entry's directory; what is not there
 * is made: a context entry with RID_PASID 0, PASIDs enabled where ECAP has them.
 */
guint64 vtdm_pasid_at(VtdMachine *vm, guint16 rid, guint32 pasid);
void vtdm_put_pasid(VtdMachine *vm, guint16 rid, guint32 pasid,
                    const guint64 words[GUEST_VTD_PASID_WORDS]);

/*
 * Write entries, and tell the unit of what was and of what is: context cache, PASID cache,
 * IOTLB. Scalable mode: PASID 0 is that of requests without.
 */
void vtdm_install_pasid(VtdMachine *vm, guint16 rid, guint32 pasid,
                        const guint64 words[GUEST_VTD_PASID_WORDS]);
void vtdm_install(VtdMachine *vm, guint16 rid, const GuestVtdDomain *domain);
void vtdm_install_pass_through(VtdMachine *vm, guint16 rid);
void vtdm_remove(VtdMachine *vm, guint16 rid);
/* Either mode's context entry. */
void vtdm_install_context(VtdMachine *vm, guint16 rid, guint64 word0, guint64 word1);

/* --- the invalidation queue --- */

/* One descriptor into the queue; nothing happens until vtdm_ring(). */
void vtdm_queue(VtdMachine *vm, guint64 word0, guint64 word1);
void vtdm_queue_wide(VtdMachine *vm, const guint64 words[4]);
/* A wait that writes a new status. */
void vtdm_queue_wait(VtdMachine *vm);
/* The doorbell. TRUE: all was done, without an error. */
gboolean vtdm_ring(VtdMachine *vm);
/* The status of the last wait has been written. */
gboolean vtdm_waited(VtdMachine *vm);
/* Queue it and a wait, and ring. TRUE: both were done. */
gboolean vtdm_issue(VtdMachine *vm, guint64 word0, guint64 word1);
gboolean vtdm_flush_context(VtdMachine *vm, guint16 rid, guint16 did);
gboolean vtdm_flush_pasid(VtdMachine *vm, guint16 did, guint32 pasid);
gboolean vtdm_flush_page(VtdMachine *vm, guint16 did, guint32 pasid, guint64 iova);
gboolean vtdm_flush_tables(VtdMachine *vm, guint16 did, guint32 pasid);
/* Word 0 of these two, which are IOTLB invalidations of a second stage. */
guint64 vtdm_page_flush(const VtdMachine *vm, guint16 did, guint32 pasid);
guint64 vtdm_tables_flush(const VtdMachine *vm, guint16 did, guint32 pasid);
/* Of the queue, in descriptors. */
guint vtdm_head(VtdMachine *vm);
guint vtdm_queue_size(VtdMachine *vm);
/* IQERCD.IQEI while FSTS.IQE is set, else 0. */
guint vtdm_queue_error(VtdMachine *vm);
/* What Linux does then: the descriptor is made a wait, and IQE cleared. */
void vtdm_acknowledge(VtdMachine *vm);
/* IQE, ICE and ITE. */
void vtdm_clear_queue_errors(VtdMachine *vm);

/* --- faults and page requests --- */

/* The next record, from FRI on, taken: its F is cleared. */
gboolean vtdm_next_fault(VtdMachine *vm, VtdmFault *ret_fault);
/* Its reason, 0: there is none. */
guint vtdm_fault_reason(VtdMachine *vm);
/*
 * With this word at an address of a table, and nothing else: why a read of VTDM_IOVA by
 * this requester ID faults; 0: it does not. All is as before then.
 */
guint vtdm_fault_with(VtdMachine *vm, guint16 rid, guint64 at, guint64 word);
/* All of them, and PFO. */
void vtdm_drain_faults(VtdMachine *vm);
/* The address of the nth record. */
guint vtdm_record(VtdMachine *vm, guint n);

gboolean vtdm_next_request(VtdMachine *vm, VtdmPageRequest *ret_request);
/* Answer the group: code 0 success, 1 invalid, 15 failure. */
gboolean vtdm_respond(VtdMachine *vm, const VtdmPageRequest *request, guint code);

/* --- the nth host device --- */
/* Its DMA to an address lands in this page. */
gboolean vtdm_reaches(VtdMachine *vm, guint n, guint64 iova, guint64 page);
/* Nothing changes in vm->page, nor in the page that has the address itself. */
gboolean vtdm_is_refused(VtdMachine *vm, guint n, guint64 iova);
/* It meets guest-physical addresses. */
gboolean vtdm_is_identity(VtdMachine *vm, guint n);
/* It reaches nothing in any way. */
gboolean vtdm_is_blocked(VtdMachine *vm, guint n);
/* On the emulator: without edu, which has 28 bits of addresses, and with a PASID. */
int vtdm_store_as(VtdMachine *vm, guint n, int pasid, guint64 iova);
gboolean vtdm_lands(VtdMachine *vm, guint n, guint64 iova, guint64 page);
gboolean vtdm_pasid_reaches(VtdMachine *vm, guint n, guint32 pasid, guint64 iova,
                            guint64 page);

/* --- emulated endpoints; pasid VTDM_NO_PASID: none --- */
#define VTDM_REFUSED G_MAXUINT64
/* Where an access goes, or VTDM_REFUSED. */
guint64 vtdm_translate(VtdMachine *vm, guint16 rid, int pasid, guint64 iova, guint access);
guint64 vtdm_reads(VtdMachine *vm, guint16 rid, guint64 iova);

#endif
