/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VMACHINE_H
#define TESTS_VMACHINE_H

#include <viommu/smmuv3-accel.h>
#include <viommu/smmuv3.h>

#include "dma.h"
#include "guest.h"
#include "target.h"

/*
 * A VM with a whole guest SMMUv3, and what a driver does with it: registers written,
 * a stream table, a command queue and an event queue laid out in guest memory, commands
 * written and the doorbell rung. Registers and fields are written down here once more, from
 * Arm IHI 0070 and not from the library's headers: the tests are a second opinion.
 *
 * Host devices are behind StreamIDs VM_SID, VM_SID + 1, ...; other StreamIDs are those of
 * emulated endpoints. The buffer of each host device's edu is full of VM_PATTERN.
 */
enum { VM_DEVICES = 3, VM_SID = 0x20, VM_ENDPOINT = 0x140, VM_ASID = 9, VM_PATTERN = 0x5a };
enum { VM_IOVA = 0x5000, VM_RAM_BASE = 0x1000000, VM_RAM_SIZE = 0x800000 };
enum { VM_NOWHERE = 0x70000000, VM_DOORBELL = 0x8090000, VM_DOORBELL_SIZE = 0x10000 };
enum { VM_NO_SSID = -1 };

/* 6.2: offsets of registers. */
enum {
    VM_IDR0 = 0x0,
    VM_IDR1 = 0x4,
    VM_IDR2 = 0x8,
    VM_IDR3 = 0xc,
    VM_IDR4 = 0x10,
    VM_IDR5 = 0x14,
    VM_IIDR = 0x18,
    VM_AIDR = 0x1c,
    VM_CR0 = 0x20,
    VM_CR0ACK = 0x24,
    VM_CR1 = 0x28,
    VM_CR2 = 0x2c,
    VM_GBPA = 0x44,
    VM_IRQ_CTRL = 0x50,
    VM_IRQ_CTRLACK = 0x54,
    VM_GERROR = 0x60,
    VM_GERRORN = 0x64,
    VM_GERROR_IRQ_CFG0 = 0x68,
    VM_GERROR_IRQ_CFG1 = 0x70,
    VM_GERROR_IRQ_CFG2 = 0x74,
    VM_STRTAB_BASE = 0x80,
    VM_STRTAB_BASE_CFG = 0x88,
    VM_CMDQ_BASE = 0x90,
    VM_CMDQ_PROD = 0x98,
    VM_CMDQ_CONS = 0x9c,
    VM_EVENTQ_BASE = 0xa0,
    VM_EVENTQ_IRQ_CFG0 = 0xb0,
    VM_EVENTQ_IRQ_CFG1 = 0xb8,
    VM_EVENTQ_IRQ_CFG2 = 0xbc,
    VM_EVENTQ_PROD = 0x100a8,
    VM_EVENTQ_CONS = 0x100ac,
};
enum { VM_CR0_SMMUEN = 1, VM_CR0_EVENTQEN = 4, VM_CR0_CMDQEN = 8, VM_CR0_ALL = 13 };
enum { VM_CR1_NORMAL = 0xd75, VM_CR2_PTM = 4, VM_CR2_RECINVSID = 2 };
enum { VM_GBPA_ABORT = 1 << 20 };
#define VM_GBPA_UPDATE (1u << 31)
enum { VM_IRQ_GERROR = 1, VM_IRQ_EVENTQ = 4 };
enum { VM_GERROR_CMDQ = 1 << 0, VM_GERROR_EVENTQ_ABT = 1 << 2 };
enum { VM_CERROR_NONE = 0, VM_CERROR_ILL = 1, VM_CERROR_ABT = 2 };
#define VM_OVERFLOW (1u << 31)

/* 4.1: opcodes. */
enum {
    VM_PREFETCH_CONFIG = 0x01,
    VM_PREFETCH_ADDR = 0x02,
    VM_CFGI_STE = 0x03,
    VM_CFGI_STE_RANGE = 0x04,
    VM_CFGI_CD = 0x05,
    VM_CFGI_CD_ALL = 0x06,
    VM_TLBI_NH_ALL = 0x10,
    VM_TLBI_NH_ASID = 0x11,
    VM_TLBI_NH_VA = 0x12,
    VM_TLBI_NH_VAA = 0x13,
    VM_TLBI_NSNH_ALL = 0x30,
    VM_ATC_INV = 0x40,
    VM_RESUME = 0x44,
    VM_STALL_TERM = 0x45,
    VM_SYNC = 0x46,
};

/* 7.3: events. */
enum {
    VM_C_BAD_STREAMID = 0x02,
    VM_F_STE_FETCH = 0x03,
    VM_C_BAD_STE = 0x04,
    VM_F_STREAM_DISABLED = 0x06,
    VM_C_BAD_SUBSTREAMID = 0x08,
    VM_F_CD_FETCH = 0x09,
    VM_C_BAD_CD = 0x0a,
    VM_F_WALK_EABT = 0x0b,
    VM_F_TRANSLATION = 0x10,
    VM_F_ADDR_SIZE = 0x11,
    VM_F_ACCESS = 0x12,
    VM_F_PERMISSION = 0x13,
};

typedef enum { VM_LINEAR, VM_TWO_LEVEL } VmTable;

typedef struct VMachine VMachine;
struct VMachine {
    const ViommuSeam *seam;
    ViommuHost *host; /* NULL: emulated endpoints only */
    ViommuHostDevice *devices[VM_DEVICES];
    DmaDevice dma[VM_DEVICES];
    guint n_devices;
    int event_timeout_ms;
    ViommuSmmuv3Config config;
    ViommuSmmuv3 *smmu;
    GuestMemory ram;
    GuestDomain domain; /* of ASID VM_ASID, with `page` at VM_IOVA */
    guint64 page;
    guint64 pattern; /* a page full of VM_PATTERN, for VM_MEMORY_PATTERN */

    /* Where the driver has put things; vm_start() makes what is not there. */
    VmTable table;
    guint table_bits; /* LOG2SIZE */
    guint64 strtab;
    guint64 cmdq;
    guint64 eventq;
    guint cmdq_bits;
    guint eventq_bits;
    guint32 prod; /* of commands, wrap bit included: what was written to memory */
    guint32 cons; /* of events */

    /* What the services saw. */
    guint n_msis;
    guint64 msi_address;
    guint32 msi_data;
    guint n_irqs[3];
    guint n_changed; /* calls of translations_changed */
    guint64 changed_iova;
    guint64 changed_size;
    int event_fd;
    guint n_watched;
    guint64 hole;    /* a page of memory that cannot be read nor written; 0: none */
    guint64 counted; /* a page: n_reads counts the reads in it */
    guint n_reads;
    guint64 read_bytes;
    /* After a read, with what will be handed out. */
    void (*on_read)(VMachine *vm, guint64 gpa, void *data, gsize size, void *user_data);
    void *on_read_data;
    char *refusal; /* the words of the last one */
};

/*
 * The devices of these addresses, NULL-terminated; NULL seam or no address: no host.
 * `config`: what is offered, services set here; NULL for AUTO. FALSE: nothing is left, and
 * why was noted. Registers are as after a reset, all streams bypass.
 */
gboolean vm_init(VMachine *vm, const Target *target, char *const *bdfs,
                 const ViommuSmmuv3Config *config);
void vm_clear(VMachine *vm);
/* A vSMMU for the same VM once more: freed, made, devices attached, not released. */
gboolean vm_remake(VMachine *vm, GError **error);

/* Memory: aligned to its size. */
guint64 vm_alloc(VMachine *vm, gsize size);
guint64 vm_load(VMachine *vm, guint64 gpa);
void vm_store(VMachine *vm, guint64 gpa, guint64 value);

guint32 vm_get(VMachine *vm, guint64 reg);
guint64 vm_get64(VMachine *vm, guint64 reg);
void vm_set(VMachine *vm, guint64 reg, guint32 value);
void vm_set64(VMachine *vm, guint64 reg, guint64 value);

/* What a driver does first: registers, tables, queues; then enables `cr0`. */
void vm_start(VMachine *vm, VmTable table, guint32 cr0);
void vm_set_table(VMachine *vm, VmTable table, guint bits, guint64 base);
/* Acknowledge global errors, and skip the command in error. */
void vm_acknowledge(VMachine *vm);

/* The entry of a stream: where it stands, made if it has none. */
guint64 vm_ste_address(VMachine *vm, guint32 sid);
/* Write an entry, and nothing more. */
void vm_put_ste(VMachine *vm, guint32 sid, const guint8 *ste);
void vm_put_words(VMachine *vm, guint32 sid, guint64 word0, guint64 word1);
/* Write it and tell the SMMU: CFGI_STE and SYNC. */
void vm_install_s1(VMachine *vm, guint32 sid, const GuestDomain *domain);
void vm_install_config(VMachine *vm, guint32 sid, guint config);
void vm_install_words(VMachine *vm, guint32 sid, guint64 word0, guint64 word1);
/* The words of an entry for this domain. */
void vm_s1_words(const GuestDomain *domain, guint64 ret_words[2]);

/* One command into the queue; nothing happens until vm_ring(). */
void vm_queue(VMachine *vm, guint64 word0, guint64 word1);
/* The doorbell. TRUE: all was consumed without an error. */
gboolean vm_ring(VMachine *vm);
/* Queue it and a SYNC, and ring. */
gboolean vm_issue(VMachine *vm, guint64 word0, guint64 word1);
gboolean vm_cfgi_ste(VMachine *vm, guint32 sid);
gboolean vm_tlbi_va(VMachine *vm, guint16 asid, guint64 iova);
gboolean vm_tlbi_all(VMachine *vm);
/* CMDQ_CONS.ERR */
guint vm_cerror(VMachine *vm);

/*
 * The next event of the guest's queue, taken from it. vm_wait_event waits for events
 * of host devices, as long as the target may take.
 */
gboolean vm_next_event(VMachine *vm, guint64 ret_event[4]);
gboolean vm_wait_event(VMachine *vm, guint64 ret_event[4]);
/*
 * The next event of this kind, of this stream and address. One transaction may be reported
 * more than once (a device may split or repeat it), so others are passed over.
 */
gboolean vm_meets_event(VMachine *vm, guint id, guint32 sid, guint64 address,
                        guint64 ret_event[4]);
void vm_drain_events(VMachine *vm);
/* The ID of the next event, 0: none. */
guint vm_event_id(VMachine *vm);

/* --- the nth host device --- */
/* Its DMA to an address lands in this page. */
gboolean vm_reaches(VMachine *vm, guint n, guint64 iova, guint64 page);
/* Nothing changes in vm->page, nor in the page that has the address itself. */
gboolean vm_is_refused(VMachine *vm, guint n, guint64 iova);
/* It meets guest-physical addresses. */
gboolean vm_is_bypassed(VMachine *vm, guint n);
/* It reaches nothing in any way. */
gboolean vm_is_blocked(VMachine *vm, guint n);

/* --- emulated endpoints; ssid VM_NO_SSID: none --- */
#define VM_REFUSED G_MAXUINT64
/* Where an access goes, or VM_REFUSED. */
guint64 vm_translate(VMachine *vm, guint32 sid, int ssid, guint64 iova, guint access);
guint64 vm_reads(VMachine *vm, guint32 sid, guint64 iova);

#endif
