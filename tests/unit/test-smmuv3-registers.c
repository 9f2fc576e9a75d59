/* SPDX-License-Identifier: MIT */
/*
 * The front end of the guest SMMUv3, seen through its public API: registers, queues and
 * their errors, interrupts, what becomes of host devices, state. The tables' and the walk's
 * own rules are the conformance suite's.
 *
 * Offsets and fields are written out here, as Arm IHI 0070 has them.
 */
#include "guest.h"
#include "tap.h"
#include "target.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <string.h>
#include <viommu-emulator/inspect.h>
#include <viommu/smmuv3.h>

enum { RAM = 0x1000000, RAM_SIZE = 0x200000, NOWHERE = 0x40000000 };
enum { QUEUE_BITS = 3, QUEUE = 1 << QUEUE_BITS, SID = 0x21, IOVA = 0x5000, ASID = 7 };
enum {
    CMDQ = RAM + 0x10000,
    EVENTQ = RAM + 0x11000,
    STRTAB = RAM + 0x20000,  /* 64 entries, or a level 1 table */
    LEVEL_2 = RAM + 0x30000, /* of streams 0 to 63 */
    TABLES = RAM + 0x100000, /* the rest is for page tables */
};
enum {
    CR0 = 0x20,
    CR0ACK = 0x24,
    CR1 = 0x28,
    CR2 = 0x2c,
    GBPA = 0x44,
    IRQ_CTRL = 0x50,
    IRQ_CTRLACK = 0x54,
    GERROR = 0x60,
    GERRORN = 0x64,
    GERROR_IRQ_CFG0 = 0x68,
    GERROR_IRQ_CFG1 = 0x70,
    STRTAB_BASE = 0x80,
    STRTAB_BASE_CFG = 0x88,
    CMDQ_BASE = 0x90,
    CMDQ_PROD = 0x98,
    CMDQ_CONS = 0x9c,
    EVENTQ_BASE = 0xa0,
    EVENTQ_IRQ_CFG0 = 0xb0,
    EVENTQ_IRQ_CFG1 = 0xb8,
    EVENTQ_PROD = 0x100a8,
    EVENTQ_CONS = 0x100ac,
};
enum { SMMUEN = 1, EVENTQEN = 4, CMDQEN = 8, ALL_ON = SMMUEN | EVENTQEN | CMDQEN };
enum { ABORT = 1 << 20, LINEAR = 6, TWO_LEVEL = 1 << 16 | 6 << 6 | 12 };
enum { CMDQ_ERR = 1, EVENTQ_ABT_ERR = 4, ILL = 1, ABT = 2 };
#define UPDATE    (1u << 31)
#define OVERFLOW  (1u << 31)
#define SID_FIELD ((guint64)SID << 32)

typedef struct {
    Target target;
    ViommuHost *host;
    ViommuHostDevice *device;
    ViommuSmmuv3Config config;
    ViommuSmmuv3 *smmu;
    GuestMemory ram;
    GuestDomain domain;
    guint64 page;
    guint32 prod;
    guint64 reads; /* bytes */
    guint n_msis;
    guint64 msi_address;
    guint32 msi_data;
    guint n_irqs[3];
    guint n_watched;
    guint64 hole;       /* the page of ram that cannot be written */
    guint64 unreadable; /* where ram ends for reads; 0: at its end */
} Vm;

/* --- services ---------------------------------------------------------------------------
 */

static gboolean is_ram(guint64 gpa, gsize size)
{
    return gpa >= RAM && gpa < RAM + RAM_SIZE && RAM + RAM_SIZE - gpa >= size;
}

static gboolean read_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    Vm *vm = user_data;

    if (!is_ram(gpa, size) || (vm->unreadable && gpa + size > vm->unreadable))
        return FALSE;
    __atomic_fetch_add(&vm->reads, size, __ATOMIC_RELAXED);
    memcpy(data, guest_memory_at(&vm->ram, gpa), size);
    return TRUE;
}

static gboolean write_memory(guint64 gpa, const void *data, gsize size, void *user_data)
{
    Vm *vm = user_data;

    if (!is_ram(gpa, size) || (vm->hole && gpa / GUEST_PAGE == vm->hole / GUEST_PAGE))
        return FALSE;
    memcpy(guest_memory_at(&vm->ram, gpa), data, size);
    return TRUE;
}

static gboolean compare_and_swap(G_GNUC_UNUSED guint64 gpa, G_GNUC_UNUSED guint64 expected,
                                 G_GNUC_UNUSED guint64 desired,
                                 G_GNUC_UNUSED guint64 *ret_found,
                                 G_GNUC_UNUSED void *user_data)
{
    return FALSE;
}

static gboolean send_msi(guint64 address, guint32 data, void *user_data)
{
    Vm *vm = user_data;

    vm->n_msis++;
    vm->msi_address = address;
    vm->msi_data = data;
    return TRUE;
}

static void pulse_irq(guint line, void *user_data)
{
    ((Vm *)user_data)->n_irqs[line]++;
}

static void watch_fd(G_GNUC_UNUSED int fd, gboolean watch, void *user_data)
{
    ((Vm *)user_data)->n_watched += watch ? 1 : -1;
}

/* --- a machine --------------------------------------------------------------------------
 */

static void vm_services(Vm *vm)
{
    const ViommuServices services = {
        .read_memory = read_memory,
        .write_memory = write_memory,
        .compare_and_swap = compare_and_swap,
        .send_msi = send_msi,
        .pulse_irq = pulse_irq,
        .watch_fd = watch_fd,
        .user_data = vm,
    };
    const ViommuSmmuv3Config config = VIOMMU_SMMUV3_CONFIG_INIT(services);

    vm->config = config;
}

static void vm_init(Vm *vm, gboolean with_host)
{
    char *argv[] = {(char *)"test", NULL};
    ViommuHostConfig host = {.iommufd = -1};

    *vm = (Vm){.ram.memfd = -1};
    vm_services(vm);
    if (with_host) {
        target_init(&vm->target, 1, argv, 1);
        host.seam = vm->target.seam;
        vm->host = viommu_host_new(&host, NULL);
        vm->device = viommu_host_device_new_from_bdf(vm->host, vm->target.bdfs[0], NULL);
    }
    guest_memory_init(&vm->ram, vm->host, RAM, RAM_SIZE, FALSE, NULL);
    vm->ram.next_free = TABLES;
    guest_domain_init(&vm->domain, &vm->ram, ASID);
    vm->page = guest_memory_alloc(&vm->ram);
    guest_domain_map(&vm->domain, IOVA, vm->page, TRUE);
    vm->smmu = viommu_smmuv3_new(vm->host, &vm->config, NULL);
    g_assert(vm->smmu);
}

static void vm_clear(Vm *vm)
{
    viommu_smmuv3_free(vm->smmu);
    viommu_host_device_free(vm->device);
    guest_memory_clear(&vm->ram);
    viommu_host_free(vm->host);
    if (vm->host)
        target_clear(&vm->target);
}

static guint64 get(Vm *vm, guint64 offset)
{
    return viommu_smmuv3_read(vm->smmu, offset, 4);
}

static void set(Vm *vm, guint64 offset, guint32 value)
{
    viommu_smmuv3_write(vm->smmu, offset, 4, value);
}

static void set64(Vm *vm, guint64 offset, guint64 value)
{
    viommu_smmuv3_write(vm->smmu, offset, 8, value);
}

static void store(Vm *vm, guint64 gpa, guint64 value)
{
    guint64 word = GUINT64_TO_LE(value);

    memcpy(guest_memory_at(&vm->ram, gpa), &word, sizeof word);
}

static guint64 load(Vm *vm, guint64 gpa)
{
    guint64 word;

    memcpy(&word, guest_memory_at(&vm->ram, gpa), sizeof word);
    return GUINT64_FROM_LE(word);
}

/* Queues of 8, a linear table of 64 invalid entries, interrupts by wire. */
static void vm_start(Vm *vm, guint32 cr0)
{
    set(vm, CR0, 0);
    guest_memory_fill(&vm->ram, STRTAB, 0, GUEST_PAGE);
    set64(vm, STRTAB_BASE, STRTAB);
    set(vm, STRTAB_BASE_CFG, LINEAR);
    set64(vm, CMDQ_BASE, CMDQ | QUEUE_BITS);
    set(vm, CMDQ_PROD, 0);
    set(vm, CMDQ_CONS, 0);
    set64(vm, EVENTQ_BASE, EVENTQ | QUEUE_BITS);
    set(vm, EVENTQ_PROD, 0);
    set(vm, EVENTQ_CONS, 0);
    set(vm, GERRORN, get(vm, GERROR));
    set(vm, IRQ_CTRL, 5);
    set(vm, CR2, 2 /* RECINVSID */);
    vm->prod = 0;
    set(vm, CR0, cr0);
}

static void put(Vm *vm, guint64 word0, guint64 word1)
{
    guint64 at = CMDQ + 16 * (vm->prod & (QUEUE - 1));

    store(vm, at, word0);
    store(vm, at + 8, word1);
    vm->prod = (vm->prod + 1) & (2 * QUEUE - 1);
}

/* CMDQ_CONS.ERR means nothing while GERROR has no CMDQ_ERR, and stays as it was. */
static guint64 index_of(Vm *vm)
{
    return get(vm, CMDQ_CONS) & 0xfffff;
}

static gboolean ring(Vm *vm)
{
    set(vm, CMDQ_PROD, vm->prod);
    return index_of(vm) == vm->prod;
}

static gboolean issue(Vm *vm, guint64 word0, guint64 word1)
{
    put(vm, word0, word1);
    put(vm, 0x46, 0);
    return ring(vm);
}

static guint32 errors(Vm *vm)
{
    return get(vm, GERROR) ^ get(vm, GERRORN);
}

static guint cerror(Vm *vm)
{
    return get(vm, CMDQ_CONS) >> 24 & 0x7f;
}

static void put_ste(Vm *vm, guint64 at, guint config)
{
    guint8 ste[64];

    if (config == 5)
        guest_ste_s1(ste, &vm->domain);
    else
        guest_ste_config(ste, config);
    memcpy(guest_memory_at(&vm->ram, at), ste, sizeof ste);
}

/* Where a write to this address lands: 0 when it is refused. */
static guint64 lands(Vm *vm, guint64 iova)
{
    guint64 ipa = 0;

    return viommu_emulator_peek(vm->target.emulator, vm->target.bdfs[0], iova, TRUE,
                                &ipa) == 0
               ? ipa
               : 0;
}

static gboolean is_blocked(Vm *vm)
{
    return viommu_emulator_device_is_blocked(vm->target.emulator, vm->target.bdfs[0]);
}

static gboolean attach(Vm *vm, guint32 sid)
{
    return viommu_smmuv3_attach_device(vm->smmu, vm->device, sid, NULL);
}

/* A fault of the host device, left in the host's queue. */
static void fault(Vm *vm, guint64 iova)
{
    guint8 byte = 0;

    viommu_emulator_dma(vm->target.emulator, vm->target.bdfs[0], iova, &byte, 1, TRUE);
}

/* An emulated endpoint's transaction, which this StreamID cannot have: an event. */
static void record_one(Vm *vm, guint32 sid)
{
    ViommuTranslation translation;

    viommu_smmuv3_enter(vm->smmu);
    viommu_smmuv3_translate(vm->smmu, sid, VIOMMU_SMMUV3_NO_SUBSTREAM, IOVA,
                            VIOMMU_ACCESS_READ, &translation);
    viommu_smmuv3_exit(vm->smmu);
}

/* --- registers --------------------------------------------------------------------------
 */

static void test_reset_values(Vm *vm)
{
    static const guint32 zero[] = {CR0,
                                   CR0ACK,
                                   CR1,
                                   CR2,
                                   IRQ_CTRL,
                                   IRQ_CTRLACK,
                                   GERROR,
                                   GERRORN,
                                   GERROR_IRQ_CFG0,
                                   STRTAB_BASE,
                                   STRTAB_BASE_CFG,
                                   CMDQ_BASE,
                                   CMDQ_PROD,
                                   CMDQ_CONS,
                                   EVENTQ_BASE,
                                   EVENTQ_PROD,
                                   EVENTQ_CONS,
                                   0x18 /* IIDR */,
                                   0x40 /* STATUSR */,
                                   0xc0 /* PRIQ_BASE */,
                                   0x100 /* GATOS_CTRL */};
    gboolean ok = TRUE;

    for (gsize i = 0; i < G_N_ELEMENTS(zero); i++)
        if (get(vm, zero[i])) {
            tap_note("register 0x%x is not 0", zero[i]);
            ok = FALSE;
        }
    tap_ok(ok, "registers are 0 after a reset");
    tap_is(get(vm, GBPA), 0x1000, "... but GBPA: SHCFG as incoming, no ABORT");
    tap_is(get(vm, 0x1c), 2, "AIDR is that of SMMUv3.2");
    tap_is(get(vm, 0), 0x0d48301a, "IDR0, with no host: what is implemented");
    tap_is(get(vm, 4), 19 << 21 | 19 << 16 | 20 << 6 | 16, "IDR1");
    tap_is(get(vm, 8), 0, "IDR2");
    tap_is(get(vm, 0xc), 1 << 10, "IDR3: RIL");
    tap_is(get(vm, 0x10), 0, "IDR4");
    tap_is(get(vm, 0x14), 0x75, "IDR5: all granules, 48 bits");
}

static void test_access_rules(Vm *vm)
{
    set64(vm, CMDQ_BASE, 0x4000123456789007);
    tap_is(viommu_smmuv3_read(vm->smmu, CMDQ_BASE, 8), 0x4000123456789007 & ~0x18ull,
           "64 bits at once, but for what is RES0");
    tap_is(get(vm, CMDQ_BASE + 4), 0x40001234, "the upper half");
    set(vm, CMDQ_BASE + 4, 0x11);
    tap_is(viommu_smmuv3_read(vm->smmu, CMDQ_BASE, 8), 0x1156789007, "a half written");
    set64(vm, CMDQ_PROD, 0x100000001);
    tap_ok(!get(vm, CMDQ_PROD) && !get(vm, CMDQ_CONS),
           "two 32-bit registers are not written at once");
    set(vm, CMDQ_PROD, 1);
    tap_is(viommu_smmuv3_read(vm->smmu, CMDQ_PROD, 8), 0, "... nor read");
    tap_is(viommu_smmuv3_read(vm->smmu, CMDQ_BASE, 2), 0, "2 bytes are not read");
    tap_is(viommu_smmuv3_read(vm->smmu, CMDQ_BASE + 1, 4), 0, "nor unaligned ones");
    viommu_smmuv3_write(vm->smmu, CMDQ_BASE, 1, 0xff);
    tap_is(get(vm, CMDQ_BASE), 0x56789007, "a byte is not written");
    set(vm, CMDQ_PROD, 0xffffffff);
    tap_is(get(vm, CMDQ_PROD), 0xfffff, "an index has 20 bits");
    set(vm, CMDQ_PROD, 0);
    set(vm, 0, 0);
    tap_ok(get(vm, 0), "IDR0 is read-only");
    tap_is(get(vm, 0xa8), 0, "page 0 has no EVENTQ_PROD");
    set(vm, CR0, 0xffffffff & ~(ALL_ON | 2));
    tap_is(get(vm, CR0), 0, "CR0: without ATS there is no ATSCHK, without PRI no PRIQEN");
    set(vm, STRTAB_BASE_CFG, 0xffffffff);
    tap_is(get(vm, STRTAB_BASE_CFG), 0x307ff, "STRTAB_BASE_CFG: RES0 stays 0");
    set(vm, STRTAB_BASE_CFG, 0);
    set(vm, CR1, 0xffffffff);
    tap_is(get(vm, CR1), 0xfff, "CR1 has 12 bits");
}

static void test_guards(Vm *vm)
{
    vm_start(vm, ALL_ON);
    tap_is(get(vm, CR0ACK), ALL_ON, "CR0ACK follows CR0");
    set(vm, CR2, 0);
    tap_is(get(vm, CR2), 2, "SMMUEN guards CR2");
    set64(vm, STRTAB_BASE, 0);
    tap_is(get(vm, STRTAB_BASE), STRTAB, "... and STRTAB_BASE");
    set(vm, STRTAB_BASE_CFG, 0);
    tap_is(get(vm, STRTAB_BASE_CFG), LINEAR, "... and STRTAB_BASE_CFG");
    set64(vm, CMDQ_BASE, 0);
    tap_is(get(vm, CMDQ_BASE), CMDQ | QUEUE_BITS, "CMDQEN guards CMDQ_BASE");
    set(vm, CMDQ_CONS, 1);
    tap_is(get(vm, CMDQ_CONS), 0, "... and CMDQ_CONS");
    set64(vm, EVENTQ_BASE, 0);
    tap_is(get(vm, EVENTQ_BASE), EVENTQ | QUEUE_BITS, "EVENTQEN guards EVENTQ_BASE");
    set(vm, EVENTQ_PROD, 1);
    tap_is(get(vm, EVENTQ_PROD), 0, "... and EVENTQ_PROD");
    set64(vm, EVENTQ_IRQ_CFG0, 0x1000);
    tap_is(get(vm, EVENTQ_IRQ_CFG0), 0, "EVENTQ_IRQEN guards EVENTQ_IRQ_CFG0");
    set(vm, GERROR_IRQ_CFG1, 1);
    tap_is(get(vm, GERROR_IRQ_CFG1), 0, "GERROR_IRQEN guards GERROR_IRQ_CFG1");
    set(vm, GERRORN, 0xffffffff);
    tap_is(get(vm, GERRORN), 0, "what is not active is not acknowledged");
    set(vm, GBPA, ABORT);
    tap_is(get(vm, GBPA), 0x1000, "GBPA needs UPDATE");
    set(vm, GBPA, ABORT | UPDATE);
    tap_is(get(vm, GBPA), ABORT, "... which reads as 0 again");
    set(vm, GBPA, 0x1000 | UPDATE);
}

static void test_config(Vm *vm)
{
    const struct {
        const char *what;
        const char *names;
        ViommuSmmuv3Config config;
    } bad[] = {
        {"a stream_bits of 25", "25", {.stream_bits = 25}},
        {"a substream_bits of 21", "21", {.substream_bits = 21}},
        {"an address_bits of 33", "33", {.address_bits = 33}},
        {"a command_queue_bits of 20", "20", {.command_queue_bits = 20}},
        {"an event_queue_bits of 20", "20", {.event_queue_bits = 20}},
        {"no granule",
         "granule",
         {.granule_4k = VIOMMU_OFF, .granule_16k = VIOMMU_OFF, .granule_64k = VIOMMU_OFF}},
    };
    ViommuSmmuv3Config config = vm->config;
    g_autoptr(GError) error = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) why = NULL;
        ViommuSmmuv3 *smmu;

        config = bad[i].config;
        config.services = vm->config.services;
        smmu = viommu_smmuv3_new(NULL, &config, &why);
        tap_ok(!smmu, "%s is refused", bad[i].what);
        tap_has(why ? why->message : NULL, bad[i].names, "... naming it");
        viommu_smmuv3_free(smmu);
    }
    config = vm->config;
    config.services.read_memory = NULL;
    tap_ok(!viommu_smmuv3_new(NULL, &config, &error), "no read_memory is refused");
    tap_has(error->message, "read_memory", "... naming it");
}

/* --- the command queue ------------------------------------------------------------------
 */

static void test_commands(Vm *vm)
{
    gboolean ok = TRUE;

    vm_start(vm, ALL_ON);
    for (guint i = 0; i < 5 * QUEUE; i++)
        ok &= issue(vm, 0x30, 0);
    tap_ok(ok, "the queue wraps");
    for (guint i = 0; i < QUEUE; i++)
        put(vm, 0x46, 0);
    vm->reads = 0;
    tap_ok(ring(vm), "a full queue is consumed");
    tap_is(vm->reads, 16 * QUEUE, "... each command read once");
    vm->reads = 0;
    set(vm, CMDQ_PROD, (vm->prod + 2 * QUEUE - 1) & (2 * QUEUE - 1));
    tap_is(vm->reads, 16 * QUEUE, "an index that cannot be is bounded by the queue");
    vm_start(vm, ALL_ON);
    put(vm, 0x46, 0);
    put(vm, 0x44, 0);
    put(vm, 0x46, 0);
    vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR] = 0;
    ring(vm);
    tap_is(get(vm, CMDQ_CONS), ILL << 24 | 1, "RESUME is CERROR_ILL at its index");
    tap_is(errors(vm), CMDQ_ERR, "... and GERROR.CMDQ_ERR");
    tap_is(vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR], 1, "... with its interrupt");
    ring(vm);
    tap_is(get(vm, CMDQ_CONS), ILL << 24 | 1, "the doorbell does not help");
    set(vm, CR0, SMMUEN | EVENTQEN);
    set(vm, CR0, ALL_ON);
    tap_is(get(vm, CMDQ_CONS), ILL << 24 | 1, "nor does CMDQEN, off and on");
    set(vm, GERRORN, get(vm, GERROR));
    tap_is(get(vm, CMDQ_CONS), ILL << 24 | 1, "acknowledged as it is, it fails again");
    tap_is(errors(vm), CMDQ_ERR, "... with a new error");
    store(vm, CMDQ + 16, 0x46);
    set(vm, GERRORN, get(vm, GERROR));
    tap_is(index_of(vm), 3, "made a SYNC and acknowledged, the queue goes on");
    set(vm, CR0, SMMUEN | EVENTQEN);
    set64(vm, CMDQ_BASE, NOWHERE | QUEUE_BITS);
    set(vm, CR0, ALL_ON);
    set(vm, CMDQ_PROD, 4);
    tap_is(get(vm, CMDQ_CONS), ABT << 24 | 3, "a queue that is not memory is CERROR_ABT");
    /* SYNCs where the base seems to be, zeros where it is. */
    vm_start(vm, 0);
    set64(vm, CMDQ_BASE, (RAM + RAM_SIZE - GUEST_PAGE) | 9);
    guest_memory_fill(&vm->ram, RAM + RAM_SIZE - 2 * GUEST_PAGE, 0, GUEST_PAGE);
    for (guint i = 0; i < GUEST_PAGE / 16; i++)
        store(vm, RAM + RAM_SIZE - GUEST_PAGE + 16 * i, 0x46);
    set(vm, CR0, CMDQEN);
    set(vm, CMDQ_PROD, 400);
    tap_is(get(vm, CMDQ_CONS), ILL << 24, "the base is aligned to the queue's size");
    set(vm, CR0, 0);
    /* Half of the queue is memory. */
    for (guint i = 0; i < GUEST_PAGE / 16; i++)
        store(vm, RAM + RAM_SIZE - 2 * GUEST_PAGE + 16 * i, 0x46);
    set64(vm, CMDQ_BASE, (RAM + RAM_SIZE - 2 * GUEST_PAGE) | 9);
    set(vm, CMDQ_PROD, 400);
    set(vm, CMDQ_CONS, 0);
    set(vm, GERRORN, get(vm, GERROR));
    vm->unreadable = RAM + RAM_SIZE - GUEST_PAGE;
    set(vm, CR0, CMDQEN);
    tap_is(get(vm, CMDQ_CONS), ABT << 24 | 256,
           "where its memory ends, CERROR_ABT after what could be read");
    vm->unreadable = 0;
    vm_start(vm, ALL_ON);
}

static void test_sync(Vm *vm)
{
    vm_start(vm, ALL_ON);
    memset(vm->n_irqs, 0, sizeof vm->n_irqs);
    vm->n_msis = 0;
    put(vm, 0x46, 0x1000);
    put(vm, 0x46 | 2 << 12, 0x1000);
    tap_ok(ring(vm) && !vm->n_msis && !vm->n_irqs[VIOMMU_SMMUV3_IRQ_CMDQ_SYNC],
           "SYNC with SIG_NONE and SIG_SEV completes in silence");
    put(vm, 0x46 | 1 << 12 | 0x1234ull << 32, 0x8000040);
    tap_ok(ring(vm) && vm->n_msis == 1, "SYNC with SIG_IRQ and an address is a message");
    tap_ok(vm->msi_address == 0x8000040 && vm->msi_data == 0x1234, "... its own");
    put(vm, 0x46 | 1 << 12, 0);
    tap_ok(ring(vm) && vm->n_irqs[VIOMMU_SMMUV3_IRQ_CMDQ_SYNC] == 1 && vm->n_msis == 1,
           "SYNC with SIG_IRQ and none is the line, whatever IRQ_CTRL says");
    put(vm, 0x46 | 3 << 12, 0);
    tap_ok(!ring(vm) && cerror(vm) == ILL, "SYNC with CS 3 is CERROR_ILL");
    vm_start(vm, ALL_ON);
}

static void test_interrupts(Vm *vm)
{
    vm_start(vm, ALL_ON);
    set(vm, IRQ_CTRL, 0);
    set64(vm, GERROR_IRQ_CFG0, 0x8000044);
    set(vm, GERROR_IRQ_CFG1, 99);
    set(vm, IRQ_CTRL, 0xffffffff);
    tap_is(get(vm, IRQ_CTRLACK), 5, "IRQ_CTRL: events and errors, no PRI");
    vm->n_msis = 0;
    memset(vm->n_irqs, 0, sizeof vm->n_irqs);
    put(vm, 0xff, 0);
    ring(vm);
    tap_ok(vm->n_msis == 1 && vm->msi_address == 0x8000044 && vm->msi_data == 99 &&
               !vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR],
           "with GERROR_IRQ_CFG an error is a message");
    set(vm, IRQ_CTRL, 0);
    set64(vm, GERROR_IRQ_CFG0, 0);
    set(vm, GERRORN, get(vm, GERROR));
    tap_ok(vm->n_msis == 1 && !vm->n_irqs[VIOMMU_SMMUV3_IRQ_GERROR],
           "disabled, it is neither");
    vm_start(vm, ALL_ON);
}

/* --- the event queue --------------------------------------------------------------------
 */

static void test_events(Vm *vm)
{
    vm_start(vm, ALL_ON);
    memset(vm->n_irqs, 0, sizeof vm->n_irqs);
    record_one(vm, SID);
    tap_is(get(vm, EVENTQ_PROD), 1, "an event moves EVENTQ_PROD");
    tap_is(load(vm, EVENTQ), 4 | SID_FIELD,
           "... and is in memory: C_BAD_STE, its StreamID");
    tap_is(vm->n_irqs[VIOMMU_SMMUV3_IRQ_EVENTQ], 1, "... and interrupts");
    for (guint i = 1; i < QUEUE; i++)
        record_one(vm, i);
    tap_is(get(vm, EVENTQ_PROD), QUEUE, "a full queue: the wrap bit differs");
    record_one(vm, 9);
    tap_is(get(vm, EVENTQ_PROD), OVERFLOW | QUEUE, "one more is lost: OVFLG");
    tap_is(load(vm, EVENTQ), 4 | SID_FIELD, "... and overwrites nothing");
    record_one(vm, 9);
    tap_is(get(vm, EVENTQ_PROD), OVERFLOW | QUEUE, "OVFLG does not toggle again");
    set(vm, EVENTQ_CONS, OVERFLOW | 4);
    record_one(vm, 10);
    tap_is(get(vm, EVENTQ_PROD), OVERFLOW | (QUEUE + 1), "acknowledged, events go on");
    for (guint i = 0; i < 5; i++)
        record_one(vm, 11);
    tap_is(get(vm, EVENTQ_PROD), QUEUE + 4, "the next overflow toggles OVFLG back");
    set(vm, EVENTQ_CONS, QUEUE + 4);
    set(vm, CR0, SMMUEN | CMDQEN);
    record_one(vm, 12);
    tap_is(get(vm, EVENTQ_PROD), QUEUE + 4, "EVENTQEN 0: no event, no overflow");
    set(vm, CR0, ALL_ON);
    vm->hole = EVENTQ;
    record_one(vm, 13);
    tap_is(errors(vm), EVENTQ_ABT_ERR, "a queue that is not memory is EVENTQ_ABT_ERR");
    tap_is(get(vm, EVENTQ_PROD), QUEUE + 4, "... and the event is lost");
    vm->hole = 0;
    record_one(vm, 14);
    tap_is(get(vm, EVENTQ_PROD), QUEUE + 4, "... as are others, until acknowledged");
    set(vm, GERRORN, get(vm, GERROR));
    record_one(vm, 15);
    tap_is(get(vm, EVENTQ_PROD), QUEUE + 5, "then they come again");
    record_one(vm, 0xffff);
    tap_is(load(vm, EVENTQ + 5 * 32), 2 | 0xffffull << 32,
           "C_BAD_STREAMID, which RECINVSID asks for");
    vm_start(vm, 0);
}

/* --- host devices -----------------------------------------------------------------------
 */

static void test_gbpa(Vm *vm)
{
    tap_ok(attach(vm, SID) && is_blocked(vm), "before the first release a device aborts");
    tap_is(vm->n_watched, 1, "its events are watched");
    tap_ok(viommu_smmuv3_release(vm->smmu, NULL) && lands(vm, vm->page) == vm->page,
           "released, it bypasses");
    set(vm, GBPA, ABORT | UPDATE);
    tap_ok(is_blocked(vm), "GBPA.ABORT aborts");
    set(vm, GBPA, UPDATE);
    tap_ok(lands(vm, vm->page) == vm->page, "GBPA without it bypasses");
    vm_start(vm, ALL_ON);
    tap_ok(is_blocked(vm), "SMMUEN 0 to 1: an entry that is not valid aborts");
    tap_is(get(vm, EVENTQ_PROD), 0, "... in silence: nobody has asked for it");
    put_ste(vm, STRTAB + SID * 64, 5);
    set(vm, CR0, EVENTQEN | CMDQEN);
    tap_ok(lands(vm, vm->page) == vm->page, "SMMUEN 1 to 0: as GBPA says");
    set(vm, CR0, ALL_ON);
    tap_is(lands(vm, IOVA), vm->page, "SMMUEN 0 to 1: as the entry says");
}

static void test_entries(Vm *vm)
{
    guint64 at = STRTAB + SID * 64;

    put_ste(vm, at, 4);
    tap_is(lands(vm, IOVA), vm->page, "an entry changed without CFGI_STE is not seen");
    tap_ok(issue(vm, 0x03 | SID_FIELD, 1) && lands(vm, vm->page) == vm->page,
           "CFGI_STE installs it");
    put_ste(vm, at, 5);
    issue(vm, 0x03 | (guint64)(SID + 1) << 32, 1);
    tap_ok(!lands(vm, IOVA) || lands(vm, IOVA) == IOVA, "CFGI_STE of another does not");
    issue(vm, 0x04 | (guint64)(SID ^ 3) << 32, 1);
    tap_is(lands(vm, IOVA), vm->page, "CFGI_STE_RANGE does, for all of its 4");
    put_ste(vm, at, 4);
    issue(vm, 0x04, 31);
    tap_ok(lands(vm, vm->page) == vm->page, "CFGI_ALL does");
    put_ste(vm, at, 6);
    set(vm, EVENTQ_CONS, get(vm, EVENTQ_PROD));
    tap_ok(issue(vm, 0x03 | SID_FIELD, 1), "an illegal entry is no command error");
    tap_ok(is_blocked(vm), "... its stream aborts");
    tap_is(load(vm, EVENTQ), 4 | SID_FIELD, "... and the guest has a C_BAD_STE");
    issue(vm, 0x03 | SID_FIELD, 1);
    tap_is(get(vm, EVENTQ_PROD), 1, "... once, while it does not change");
    put_ste(vm, at, 5);
    issue(vm, 0x03 | SID_FIELD, 1);
    put_ste(vm, at, 6);
    issue(vm, 0x03 | SID_FIELD, 1);
    tap_is(get(vm, EVENTQ_PROD), 2, "... and again, after a good one");
    put_ste(vm, at, 5);
    issue(vm, 0x03 | SID_FIELD, 1);
    spy_reset_counts(&vm->target.spy);
    issue(vm, 0x03 | SID_FIELD, 1);
    tap_ok(spy_count(&vm->target.spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT) == 0 &&
               spy_count(&vm->target.spy, IOMMU_HWPT_INVALIDATE) == 1,
           "an entry that has not changed is one invalidation and no attach");
}

static void test_two_levels(Vm *vm)
{
    vm_start(vm, 0);
    guest_memory_fill(&vm->ram, LEVEL_2, 0, GUEST_PAGE);
    put_ste(vm, LEVEL_2 + SID * 64, 5);
    set(vm, STRTAB_BASE_CFG, TWO_LEVEL);
    store(vm, STRTAB, LEVEL_2 | 7);
    set(vm, CR0, ALL_ON);
    tap_is(lands(vm, IOVA), vm->page, "an entry in a level 2 table");
    store(vm, STRTAB, LEVEL_2 | 6);
    issue(vm, 0x03 | SID_FIELD, 1);
    tap_ok(is_blocked(vm), "beyond Span it has none, and aborts");
    tap_is(load(vm, EVENTQ), 2 | SID_FIELD, "... with a C_BAD_STREAMID");
    store(vm, STRTAB, LEVEL_2 | 7);
    issue(vm, 0x03 | SID_FIELD, 1);
    tap_is(lands(vm, IOVA), vm->page, "back");
    store(vm, STRTAB, LEVEL_2 | 8);
    issue(vm, 0x04, 31);
    tap_ok(is_blocked(vm), "Span beyond SPLIT + 1 is illegal");
    store(vm, STRTAB, NOWHERE | 7);
    issue(vm, 0x03 | SID_FIELD, 1);
    tap_ok(is_blocked(vm), "a level 2 table that is not memory");
    tap_is(load(vm, EVENTQ + 32 * (get(vm, EVENTQ_PROD) - 1)), 3 | SID_FIELD,
           "... is F_STE_FETCH");
    tap_is(load(vm, EVENTQ + 32 * (get(vm, EVENTQ_PROD) - 1) + 24), NOWHERE + SID * 64,
           "... of that address");
    vm_start(vm, 0);
    set64(vm, STRTAB_BASE, NOWHERE);
    set(vm, CR0, ALL_ON);
    tap_ok(is_blocked(vm) && load(vm, EVENTQ) == (3 | SID_FIELD),
           "a table that is not memory is F_STE_FETCH");
    vm_start(vm, 0);
    put_ste(vm, STRTAB + SID * 64, 5);
    set(vm, STRTAB_BASE_CFG, 5);
    set(vm, CR0, ALL_ON);
    tap_ok(is_blocked(vm), "a StreamID beyond LOG2SIZE aborts");
    vm_start(vm, 0);
    put_ste(vm, STRTAB + SID * 64, 5);
    set(vm, CR0, ALL_ON);
}

static void test_host_events(Vm *vm)
{
    set(vm, EVENTQ_CONS, get(vm, EVENTQ_PROD));
    tap_is(vm->n_watched, 1, "one descriptor is watched, resized or not");
    vm->n_irqs[VIOMMU_SMMUV3_IRQ_EVENTQ] = 0;
    for (guint i = 0; i < 3; i++)
        fault(vm, 0x9000);
    viommu_smmuv3_handle_events(vm->smmu);
    tap_is(get(vm, EVENTQ_PROD), 3, "the host's events reach the guest");
    tap_is(load(vm, EVENTQ), 0x10 | SID_FIELD, "... with its StreamID");
    tap_is(vm->n_irqs[VIOMMU_SMMUV3_IRQ_EVENTQ], 1, "... by one interrupt");
    set(vm, EVENTQ_CONS, 3);
    for (guint i = 0; i < QUEUE + 3; i++)
        fault(vm, 0x9000);
    viommu_smmuv3_handle_events(vm->smmu);
    tap_is(get(vm, EVENTQ_PROD), OVERFLOW | (QUEUE + 3),
           "what the host lost for lack of room is an overflow");
    set(vm, EVENTQ_CONS, OVERFLOW | (QUEUE + 3));
    fault(vm, 0x9000);
    set(vm, CR0, SMMUEN | CMDQEN);
    tap_is(get(vm, EVENTQ_PROD), OVERFLOW | (QUEUE + 4),
           "EVENTQEN 1 to 0 lets in what came before");
    fault(vm, 0x9000);
    set(vm, CR0, ALL_ON);
    tap_is(get(vm, EVENTQ_PROD), OVERFLOW | (QUEUE + 4), "... and drops what came between");
}

/* A SYNC must not complete while a device is on tables that the guest takes for unused. */
static void test_device_at_large(Vm *vm)
{
    vm_start(vm, 0);
    put_ste(vm, STRTAB + SID * 64, 5);
    set(vm, CR0, ALL_ON);
    tap_is(lands(vm, IOVA), vm->page, "a device follows its table");
    memset(guest_memory_at(&vm->ram, STRTAB + SID * 64), 0, 64);
    put(vm, 0x03 | SID_FIELD, 1);
    put(vm, 0x46, 0);
    spy_fail(&vm->target.spy, 0, 1, EIO, 100000);
    ring(vm);
    tap_is(lands(vm, IOVA), vm->page, "the host does not take it off");
    tap_ok(cerror(vm) == ABT && index_of(vm) + 1 == vm->prod, "the SYNC does not complete");
    spy_fail_none(&vm->target.spy);
    set(vm, GERRORN, get(vm, GERROR));
    tap_ok(index_of(vm) == vm->prod && is_blocked(vm), "until the host does");
}

static void test_host_errors(Vm *vm)
{
    guint64 other = guest_memory_alloc(&vm->ram);

    vm_start(vm, 0);
    put_ste(vm, STRTAB + SID * 64, 5);
    set(vm, CR0, ALL_ON);
    put(vm, 0x46, 0);
    put(vm, 0x11 | (guint64)ASID << 48, 0);
    put(vm, 0x30, 0);
    put(vm, 0x46, 0);
    spy_fail_pattern(&vm->target.spy, IOMMU_HWPT_INVALIDATE, "x.x", EIO);
    ring(vm);
    spy_fail_none(&vm->target.spy);
    tap_is(get(vm, CMDQ_CONS), ILL << 24 | 2,
           "refused by the host: CERROR_ILL at its index");
    set(vm, GERRORN, get(vm, GERROR));
    tap_is(index_of(vm), vm->prod, "... and goes on when acknowledged");
    spy_fail(&vm->target.spy, IOMMU_HWPT_INVALIDATE, 1, EBUSY, 2);
    issue(vm, 0x30, 0);
    spy_fail_none(&vm->target.spy);
    tap_ok(cerror(vm) == ABT, "for now impossible on the host: CERROR_ABT");
    tap_is(lands(vm, IOVA), vm->page, "... the device goes on");
    set(vm, GERRORN, get(vm, GERROR));
    tap_is(index_of(vm), vm->prod, "... acknowledged, it is tried again");
    vm->reads = 0;
    spy_fail(&vm->target.spy, IOMMU_HWPT_INVALIDATE, 1, ENODEV, 1000);
    tap_ok(issue(vm, 0x30, 0), "for ever impossible on the host: the queue goes on");
    spy_fail_none(&vm->target.spy);
    tap_ok(is_blocked(vm), "... the device is blocked");
    tap_is(load(vm, EVENTQ), 3 | SID_FIELD, "... and the guest told by F_STE_FETCH");
    issue(vm, 0x03 | SID_FIELD, 1);
    tap_ok(is_blocked(vm), "... until a reset");
    viommu_smmuv3_block(vm->smmu, NULL);
    viommu_smmuv3_release(vm->smmu, NULL);
    tap_is(lands(vm, other), other, "after which it works");
    vm_start(vm, 0);
    put_ste(vm, STRTAB + SID * 64, 5);
    spy_fail(&vm->target.spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 1, EBUSY, 1000);
    set(vm, CR0, ALL_ON);
    spy_fail_none(&vm->target.spy);
    tap_ok(load(vm, EVENTQ) == (3 | SID_FIELD) && lands(vm, IOVA) != vm->page,
           "an attach put off leaves the stream aborting, the guest told");
    tap_ok(issue(vm, 0x46, 0) && lands(vm, IOVA) == vm->page,
           "... and is made with the next command");
}

static void test_plugging(Vm *vm)
{
    g_autoptr(GError) error = NULL;

    put_ste(vm, STRTAB + SID * 64, 5);
    put_ste(vm, STRTAB + 7 * 64, 4);
    viommu_smmuv3_detach_device(vm->smmu, vm->device);
    tap_is(vm->n_watched, 0, "a device taken away: nothing is watched");
    tap_is(
        viommu_emulator_count_objects(vm->target.emulator, VIOMMU_EMULATOR_OBJECT_VDEVICE),
        0, "... and nothing of it is left");
    tap_ok(attach(vm, SID) && lands(vm, IOVA) == vm->page,
           "plugged in late, it has its entry at once");
    tap_ok(!attach(vm, SID), "twice is refused");
    tap_ok(viommu_smmuv3_set_stream_id(vm->smmu, vm->device, 7, NULL) &&
               lands(vm, vm->page) == vm->page,
           "renumbered, it has the other's");
    tap_ok(viommu_smmuv3_set_stream_id(vm->smmu, vm->device, VIOMMU_SMMUV3_SID_UNKNOWN,
                                       NULL) &&
               is_blocked(vm),
           "without a number it aborts");
    tap_ok(!viommu_smmuv3_set_stream_id(vm->smmu, vm->device, 1 << 16, &error) &&
               is_blocked(vm),
           "a StreamID out of range is refused");
    tap_has(error->message, "0x10000", "... by name");
    tap_ok(viommu_smmuv3_set_stream_id(vm->smmu, vm->device, SID, NULL) &&
               lands(vm, IOVA) == vm->page,
           "and back");
}

/* --- state ------------------------------------------------------------------------------
 */

static void refuse_state(Vm *vm, const guint8 *bytes, gsize size, const char *names)
{
    g_autoptr(GBytes) state = g_bytes_new(bytes, size);
    g_autoptr(GError) error = NULL;

    tap_ok(!viommu_smmuv3_restore(vm->smmu, state, &error) && is_blocked(vm),
           "a bad state is refused, and all abort");
    tap_has(error ? error->message : NULL, names, "... naming %s", names);
}

typedef struct {
    Vm *vm;
    gint stop;
    gint n_identity;
} Endpoint;

static gpointer translate_all_the_time(gpointer data)
{
    Endpoint *endpoint = data;
    ViommuSmmuv3 *smmu = endpoint->vm->smmu;

    while (!g_atomic_int_get(&endpoint->stop)) {
        ViommuTranslation at;

        viommu_smmuv3_enter(smmu);
        if (viommu_smmuv3_translate(smmu, SID, VIOMMU_SMMUV3_NO_SUBSTREAM, IOVA,
                                    VIOMMU_ACCESS_READ | VIOMMU_ACCESS_PEEK,
                                    &at) == VIOMMU_OK &&
            at.gpa == IOVA)
            g_atomic_int_inc(&endpoint->n_identity);
        viommu_smmuv3_exit(smmu);
    }
    return NULL;
}

/* A restore goes from one state to another by way of nothing. */
static void test_restore_beside_endpoints(Vm *vm, GBytes *state)
{
    Endpoint endpoint = {.vm = vm};
    GThread *thread = g_thread_new("endpoint", translate_all_the_time, &endpoint);

    for (guint i = 0; i < 2000; i++)
        viommu_smmuv3_restore(vm->smmu, state, NULL);
    g_atomic_int_set(&endpoint.stop, 1);
    g_thread_join(thread);
    tap_is(endpoint.n_identity, 0, "... without a moment of bypass for endpoints");
}

static void test_state(Vm *vm)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) state = NULL;
    g_autofree guint8 *bytes = NULL;
    guint64 other = guest_memory_alloc(&vm->ram);
    gsize size;

    set(vm, EVENTQ_CONS, get(vm, EVENTQ_PROD));
    fault(vm, 0x9000);
    state = viommu_smmuv3_save(vm->smmu, &error);
    tap_ok(state != NULL, "saved");
    tap_ok(get(vm, EVENTQ_PROD) != get(vm, EVENTQ_CONS), "... with the host's events");
    bytes = g_memdup2(g_bytes_get_data(state, &size), g_bytes_get_size(state));
    tap_is(bytes[8] | bytes[9] << 8, 1, "version 1");
    tap_is(bytes[12] | bytes[13] << 8, size, "and its size");
    guest_domain_map(&vm->domain, IOVA, other, TRUE);
    set(vm, CR0, 0);
    tap_ok(viommu_smmuv3_restore(vm->smmu, state, &error), "restored");
    tap_is(get(vm, CR0), ALL_ON, "... registers");
    tap_is(lands(vm, IOVA), other, "... attachments, and no stale translation");
    guest_domain_map(&vm->domain, IOVA, vm->page, TRUE);
    tap_ok(issue(vm, 0x30, 0) && lands(vm, IOVA) == vm->page, "... the queue");
    refuse_state(vm, bytes, 3, "3 bytes");
    refuse_state(vm, bytes, size - 4, "size");
    bytes[8] = 2;
    refuse_state(vm, bytes, size, "version 2");
    bytes[8] = 1;
    bytes[0] ^= 1;
    refuse_state(vm, bytes, size, "not the state");
    bytes[0] ^= 1;
    bytes[16 + 5] ^= 1;
    refuse_state(vm, bytes, size, "IDR1");
    tap_ok(!viommu_smmuv3_save(vm->smmu, &error), "while blocked, there is none to save");
    tap_ok(viommu_smmuv3_restore(vm->smmu, state, NULL) && lands(vm, IOVA) == vm->page,
           "a good one is taken after all");
    test_restore_beside_endpoints(vm, state);
}

/* --- output addresses -------------------------------------------------------------------
 */

/* A host whose nesting parents reach 44 bits, as Linux gives them when its SMMU has no
 * more. */
static void test_address_bits(void)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    ViommuEmulatorDeviceConfig device = {.bdf = "0000:00:02.0", .iommu_group = -1};
    ViommuHostConfig config = {.seam = viommu_emulator_get_seam(emulator), .iommufd = -1};
    ViommuEmulatorSmmuv3Config smmu;
    g_autoptr(GError) error = NULL;
    ViommuHostDevice *host_device;
    ViommuHost *host;
    Vm vm = {0};

    viommu_emulator_smmuv3_defaults(&smmu);
    smmu.idr[5] = (smmu.idr[5] & ~7u) | 4;
    device.iommu = viommu_emulator_add_smmuv3(emulator, &smmu);
    viommu_emulator_add_device(emulator, &device, NULL);
    host = viommu_host_new(&config, NULL);
    host_device = viommu_host_device_new_from_bdf(host, device.bdf, NULL);
    vm_services(&vm);
    vm.smmu = viommu_smmuv3_new(host, &vm.config, NULL);
    viommu_smmuv3_attach_device(vm.smmu, host_device, SID, NULL);
    tap_is(get(&vm, 0x14) & 7, 4, "AUTO: OAS is what the host can map");
    viommu_smmuv3_free(vm.smmu);
    vm.config.address_bits = 48;
    vm.smmu = viommu_smmuv3_new(host, &vm.config, NULL);
    tap_ok(!viommu_smmuv3_attach_device(vm.smmu, host_device, SID, &error),
           "an OAS beyond it is refused at attach");
    tap_has(error ? error->message : NULL, "IDR5.OAS of 48 bits, the host's 44",
            "... naming both");
    viommu_smmuv3_free(vm.smmu);
    viommu_host_device_free(host_device);
    viommu_host_free(host);
    viommu_emulator_free(emulator);
}

int main(void)
{
    Vm vm;

    vm_init(&vm, FALSE);
    test_reset_values(&vm);
    test_access_rules(&vm);
    test_guards(&vm);
    test_config(&vm);
    test_commands(&vm);
    test_sync(&vm);
    test_interrupts(&vm);
    test_events(&vm);
    vm_clear(&vm);

    vm_init(&vm, TRUE);
    test_gbpa(&vm);
    test_entries(&vm);
    test_two_levels(&vm);
    test_host_events(&vm);
    test_plugging(&vm);
    test_host_errors(&vm);
    test_state(&vm);
    test_device_at_large(&vm);
    vm_clear(&vm);
    test_address_bits();
    return tap_done();
}
