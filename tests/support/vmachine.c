/* SPDX-License-Identifier: MIT */
/*
 * A VM with a whole guest SMMUv3: its life, its memory, and the driver's helpers.
 *
 * Up: the device conformance tests and the device oracle. Down: the public library,
 * tools/scenario for memory, stage-1 tables and DMA.
 */
#include "vmachine.h"

#include <poll.h>
#include <string.h>

#include "landing.h"
#include "tap.h"

enum { SPLIT = 6, TWO_LEVEL_BITS = 10, LINEAR_BITS = 9 };
enum { CMDQ_BITS = 8, EVENTQ_BITS = 7 };
enum { BYPASS = 4 };
#define L2_ADDRESS 0x000fffffffffffc0ull

/* --- services ---------------------------------------------------------------------------
 */

static gboolean is_memory(VMachine *vm, guint64 gpa, gsize size)
{
    guint64 at = gpa - vm->ram.base;

    if (gpa < vm->ram.base || at >= vm->ram.size || vm->ram.size - at < size)
        return FALSE;
    return !vm->hole || gpa + size <= vm->hole || gpa >= vm->hole + GUEST_PAGE;
}

static gboolean read_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    VMachine *vm = user_data;

    if (!is_memory(vm, gpa, size))
        return FALSE;
    memcpy(data, guest_memory_at(&vm->ram, gpa), size);
    if (vm->counted && gpa >= vm->counted && gpa < vm->counted + GUEST_PAGE) {
        vm->n_reads++;
        vm->read_bytes += size;
    }
    if (vm->on_read)
        vm->on_read(vm, gpa, data, size, vm->on_read_data);
    return TRUE;
}

static gboolean write_memory(guint64 gpa, const void *data, gsize size, void *user_data)
{
    VMachine *vm = user_data;

    if (!is_memory(vm, gpa, size))
        return FALSE;
    memcpy(guest_memory_at(&vm->ram, gpa), data, size);
    return TRUE;
}

static gboolean compare_and_swap(guint64 gpa, guint64 expected, guint64 desired,
                                 guint64 *ret_found, void *user_data)
{
    VMachine *vm = user_data;

    if (gpa % 8 || !is_memory(vm, gpa, 8))
        return FALSE;
    *ret_found = vm_load(vm, gpa);
    if (*ret_found == expected)
        vm_store(vm, gpa, desired);
    return TRUE;
}

static gboolean send_msi(guint64 address, guint32 data, void *user_data)
{
    VMachine *vm = user_data;

    vm->n_msis++;
    vm->msi_address = address;
    vm->msi_data = data;
    /* A message to memory is a write there: what Linux has a SYNC do. */
    if (is_memory(vm, address, sizeof data)) {
        data = GUINT32_TO_LE(data);
        memcpy(guest_memory_at(&vm->ram, address), &data, sizeof data);
    }
    return TRUE;
}

static void pulse_irq(guint line, void *user_data)
{
    VMachine *vm = user_data;

    g_assert(line < G_N_ELEMENTS(vm->n_irqs));
    vm->n_irqs[line]++;
}

static void watch_fd(int fd, gboolean watch, void *user_data)
{
    VMachine *vm = user_data;

    vm->event_fd = watch ? fd : -1;
    vm->n_watched += watch ? 1 : -1;
}

static void translations_changed(G_GNUC_UNUSED guint32 device_id,
                                 G_GNUC_UNUSED guint32 pasid, guint64 iova, guint64 size,
                                 void *user_data)
{
    VMachine *vm = user_data;

    vm->n_changed++;
    vm->changed_iova = iova;
    vm->changed_size = size;
}

static void trace(const ViommuTraceRecord *record, void *user_data)
{
    VMachine *vm = user_data;

    if (record->point == VIOMMU_TRACE_REFUSED) {
        g_free(vm->refusal);
        vm->refusal = g_strdup(record->message);
    }
}

/* --- life -------------------------------------------------------------------------------
 */

static gboolean make_host(VMachine *vm, char *const *bdfs, GError **error)
{
    const ViommuHostConfig config = {.seam = vm->seam, .iommufd = -1};

    vm->host = viommu_host_new(&config, error);
    if (!vm->host)
        return FALSE;
    viommu_host_set_trace(vm->host, trace, vm);
    for (guint i = 0; i < VM_DEVICES && bdfs[i]; i++) {
        vm->devices[i] = viommu_host_device_new_from_bdf(vm->host, bdfs[i], error);
        if (!vm->devices[i] ||
            !dma_device_init(&vm->dma[i], vm->seam, vm->devices[i], error))
            return FALSE;
        vm->n_devices++;
    }
    return TRUE;
}

static gboolean make_smmu(VMachine *vm, GError **error)
{
    vm->smmu = viommu_smmuv3_new(vm->host, &vm->config, error);
    if (!vm->smmu)
        return FALSE;
    for (guint i = 0; i < vm->n_devices; i++)
        if (!viommu_smmuv3_attach_device(vm->smmu, vm->devices[i], VM_SID + i, error))
            return FALSE;
    return TRUE;
}

static gboolean make(VMachine *vm, char *const *bdfs, GError **error)
{
    return (!bdfs || make_host(vm, bdfs, error)) &&
           guest_memory_init(&vm->ram, vm->host, VM_RAM_BASE, VM_RAM_SIZE, vm->host != NULL,
                             error) &&
           make_smmu(vm, error) && viommu_smmuv3_release(vm->smmu, error);
}

gboolean vm_init(VMachine *vm, const Target *target, char *const *bdfs,
                 const ViommuSmmuv3Config *config)
{
    const ViommuServices services = {
        .read_memory = read_memory,
        .write_memory = write_memory,
        .compare_and_swap = compare_and_swap,
        .send_msi = send_msi,
        .pulse_irq = pulse_irq,
        .watch_fd = watch_fd,
        .translations_changed = translations_changed,
        .user_data = vm,
    };
    const ViommuSmmuv3Config defaults = VIOMMU_SMMUV3_CONFIG_INIT(services);
    g_autoptr(GError) error = NULL;

    *vm = (VMachine){.event_fd = -1,
                     .ram.memfd = -1,
                     .cmdq_bits = CMDQ_BITS,
                     .eventq_bits = EVENTQ_BITS};
    vm->seam = target ? target->seam : NULL;
    vm->event_timeout_ms = target ? target->event_timeout_ms : 0;
    vm->config = config ? *config : defaults;
    vm->config.services = services;
    vm->config.msi_doorbell = VM_DOORBELL;
    vm->config.msi_doorbell_size = VM_DOORBELL_SIZE;
    if (!make(vm, bdfs, &error)) {
        tap_note("%s", error->message);
        vm_clear(vm);
        return FALSE;
    }
    vm->pattern = vm_alloc(vm, GUEST_PAGE);
    guest_memory_fill(&vm->ram, vm->pattern, VM_PATTERN, GUEST_PAGE);
    for (guint i = 0; i < vm->n_devices; i++)
        dma_load(&vm->dma[i], vm->pattern, LANDING_SIZE, NULL);
    guest_domain_init(&vm->domain, &vm->ram, VM_ASID);
    vm->page = vm_alloc(vm, GUEST_PAGE);
    guest_domain_map(&vm->domain, VM_IOVA, vm->page, TRUE);
    return TRUE;
}

void vm_clear(VMachine *vm)
{
    viommu_smmuv3_free(vm->smmu);
    for (guint i = 0; i < vm->n_devices; i++) {
        dma_device_clear(&vm->dma[i]);
        viommu_host_device_free(vm->devices[i]);
    }
    guest_memory_clear(&vm->ram);
    viommu_host_free(vm->host);
    g_free(vm->refusal);
    *vm = (VMachine){.event_fd = -1, .ram.memfd = -1};
}

gboolean vm_remake(VMachine *vm, GError **error)
{
    viommu_smmuv3_free(vm->smmu);
    vm->smmu = NULL;
    return make_smmu(vm, error);
}

/* --- memory and registers ---------------------------------------------------------------
 */

guint64 vm_alloc(VMachine *vm, gsize size)
{
    return guest_memory_alloc_size(&vm->ram, size);
}

guint64 vm_load(VMachine *vm, guint64 gpa)
{
    return guest_memory_load(&vm->ram, gpa);
}

void vm_store(VMachine *vm, guint64 gpa, guint64 value)
{
    guest_memory_store(&vm->ram, gpa, value);
}

guint32 vm_get(VMachine *vm, guint64 reg)
{
    return viommu_smmuv3_read(vm->smmu, reg, 4);
}

guint64 vm_get64(VMachine *vm, guint64 reg)
{
    return viommu_smmuv3_read(vm->smmu, reg, 8);
}

void vm_set(VMachine *vm, guint64 reg, guint32 value)
{
    viommu_smmuv3_write(vm->smmu, reg, 4, value);
}

void vm_set64(VMachine *vm, guint64 reg, guint64 value)
{
    viommu_smmuv3_write(vm->smmu, reg, 8, value);
}

/* --- the driver -------------------------------------------------------------------------
 */

void vm_set_table(VMachine *vm, VmTable table, guint bits, guint64 base)
{
    vm->table = table;
    vm->table_bits = bits;
    vm->strtab = base;
    vm_set64(vm, VM_STRTAB_BASE, base | 1ull << 62 /* RA */);
    vm_set(vm, VM_STRTAB_BASE_CFG,
           bits | (table == VM_TWO_LEVEL ? 1u << 16 | SPLIT << 6 : 0));
}

static void set_queues(VMachine *vm)
{
    vm_set64(vm, VM_CMDQ_BASE, vm->cmdq | 1ull << 62 | vm->cmdq_bits);
    vm_set(vm, VM_CMDQ_PROD, 0);
    vm_set(vm, VM_CMDQ_CONS, 0);
    vm->prod = 0;
    vm_set64(vm, VM_EVENTQ_BASE, vm->eventq | 1ull << 62 | vm->eventq_bits);
    vm_set(vm, VM_EVENTQ_PROD, 0);
    vm_set(vm, VM_EVENTQ_CONS, 0);
    vm->cons = 0;
}

void vm_start(VMachine *vm, VmTable table, guint32 cr0)
{
    gsize bits = table == VM_LINEAR ? LINEAR_BITS : TWO_LEVEL_BITS;
    gsize size = table == VM_LINEAR ? 64u << bits : 8u << (bits - SPLIT);

    vm_set(vm, VM_CR0, 0);
    vm_set(vm, VM_CR1, VM_CR1_NORMAL);
    vm_set(vm, VM_CR2, VM_CR2_PTM | VM_CR2_RECINVSID);
    if (!vm->strtab || vm->table != table)
        vm->strtab = vm_alloc(vm, size);
    if (!vm->cmdq)
        vm->cmdq = vm_alloc(vm, 16u << vm->cmdq_bits);
    if (!vm->eventq)
        vm->eventq = vm_alloc(vm, 32u << vm->eventq_bits);
    vm_set_table(vm, table, bits, vm->strtab);
    set_queues(vm);
    vm_set(vm, VM_IRQ_CTRL, VM_IRQ_GERROR | VM_IRQ_EVENTQ);
    vm_set(vm, VM_CR0, cr0);
}

void vm_acknowledge(VMachine *vm)
{
    guint32 cons = vm_get(vm, VM_CMDQ_CONS) & ((2u << vm->cmdq_bits) - 1);

    /* 4.1.2: the command in error is replaced by a SYNC, and the queue goes on with it. */
    if (cons != vm->prod) {
        guint64 at = vm->cmdq + 16 * (cons & ((1u << vm->cmdq_bits) - 1));

        vm_store(vm, at, VM_SYNC);
        vm_store(vm, at + 8, 0);
    }
    vm_set(vm, VM_GERRORN, vm_get(vm, VM_GERROR));
}

guint64 vm_ste_address(VMachine *vm, guint32 sid)
{
    guint64 at, level1;

    if (vm->table == VM_LINEAR)
        return vm->strtab + 64ull * sid;
    at = vm->strtab + 8ull * (sid >> SPLIT);
    level1 = vm_load(vm, at);
    if (!(level1 & 0x1f)) {
        level1 = vm_alloc(vm, 64u << SPLIT) | (SPLIT + 1);
        vm_store(vm, at, level1);
    }
    return (level1 & L2_ADDRESS) + 64ull * (sid & ((1u << SPLIT) - 1));
}

void vm_put_words(VMachine *vm, guint32 sid, guint64 word0, guint64 word1)
{
    guint64 at = vm_ste_address(vm, sid);

    vm_store(vm, at, 0); /* as a driver does: never valid while half written */
    vm_store(vm, at + 8, word1);
    vm_store(vm, at, word0);
}

void vm_put_ste(VMachine *vm, guint32 sid, const guint8 *ste)
{
    memcpy(guest_memory_at(&vm->ram, vm_ste_address(vm, sid)), ste, 64);
}

static guint64 word_of(const guint8 *bytes, gsize i)
{
    guint64 word;

    memcpy(&word, bytes + i * sizeof word, sizeof word);
    return GUINT64_FROM_LE(word);
}

void vm_s1_words(const GuestDomain *domain, guint64 ret_words[2])
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];

    guest_ste_s1(ste, domain);
    ret_words[0] = word_of(ste, 0);
    ret_words[1] = word_of(ste, 1);
}

void vm_install_words(VMachine *vm, guint32 sid, guint64 word0, guint64 word1)
{
    vm_put_words(vm, sid, word0, word1);
    vm_cfgi_ste(vm, sid);
}

void vm_install_s1(VMachine *vm, guint32 sid, const GuestDomain *domain)
{
    guint64 words[2];

    vm_s1_words(domain, words);
    vm_install_words(vm, sid, words[0], words[1]);
}

void vm_install_config(VMachine *vm, guint32 sid, guint config)
{
    vm_install_words(vm, sid, 1 | config << 1, 1ull << 44 /* SHCFG: as incoming */);
}

void vm_queue(VMachine *vm, guint64 word0, guint64 word1)
{
    guint64 at = vm->cmdq + 16 * (vm->prod & ((1u << vm->cmdq_bits) - 1));

    vm_store(vm, at, word0);
    vm_store(vm, at + 8, word1);
    vm->prod = (vm->prod + 1) & ((2u << vm->cmdq_bits) - 1);
}

guint vm_cerror(VMachine *vm)
{
    return vm_get(vm, VM_CMDQ_CONS) >> 24 & 0x7f;
}

gboolean vm_ring(VMachine *vm)
{
    vm_set(vm, VM_CMDQ_PROD, vm->prod);
    return (vm_get(vm, VM_CMDQ_CONS) & 0xfffff) == vm->prod &&
           !((vm_get(vm, VM_GERROR) ^ vm_get(vm, VM_GERRORN)) & VM_GERROR_CMDQ);
}

gboolean vm_issue(VMachine *vm, guint64 word0, guint64 word1)
{
    vm_queue(vm, word0, word1);
    vm_queue(vm, VM_SYNC, 0);
    return vm_ring(vm);
}

gboolean vm_cfgi_ste(VMachine *vm, guint32 sid)
{
    return vm_issue(vm, VM_CFGI_STE | (guint64)sid << 32, 1 /* Leaf */);
}

gboolean vm_tlbi_va(VMachine *vm, guint16 asid, guint64 iova)
{
    return vm_issue(vm, VM_TLBI_NH_VA | (guint64)asid << 48, iova & ~0xfffull);
}

gboolean vm_tlbi_all(VMachine *vm)
{
    return vm_issue(vm, VM_TLBI_NSNH_ALL, 0);
}

/* --- events -----------------------------------------------------------------------------
 */

gboolean vm_next_event(VMachine *vm, guint64 ret_event[4])
{
    guint32 mask = (2u << vm->eventq_bits) - 1;
    guint32 prod;

    viommu_smmuv3_handle_events(vm->smmu);
    prod = vm_get(vm, VM_EVENTQ_PROD);
    if ((prod & mask) == (vm->cons & mask))
        return FALSE;
    for (guint i = 0; i < 4; i++)
        ret_event[i] = vm_load(
            vm, vm->eventq + 32 * (vm->cons & ((1u << vm->eventq_bits) - 1)) + 8 * i);
    vm->cons = (vm->cons + 1) & mask;
    vm_set(vm, VM_EVENTQ_CONS, vm->cons | (prod & VM_OVERFLOW));
    return TRUE;
}

gboolean vm_wait_event(VMachine *vm, guint64 ret_event[4])
{
    struct pollfd fd = {.fd = vm->event_fd, .events = POLLIN};

    if (vm_next_event(vm, ret_event))
        return TRUE;
    if (vm->event_fd >= 0)
        vm->seam->ops->poll(vm->seam->data, &fd, 1, vm->event_timeout_ms);
    return vm_next_event(vm, ret_event);
}

gboolean vm_meets_event(VMachine *vm, guint id, guint32 sid, guint64 address,
                        guint64 ret_event[4])
{
    while (vm_wait_event(vm, ret_event)) {
        if ((ret_event[0] & 0xff) == id && ret_event[0] >> 32 == sid &&
            ret_event[2] == address)
            return TRUE;
        tap_note("event 0x%02x, StreamID 0x%x, address 0x%" G_GINT64_MODIFIER "x",
                 (guint)ret_event[0] & 0xff, (guint32)(ret_event[0] >> 32), ret_event[2]);
    }
    return FALSE;
}

void vm_drain_events(VMachine *vm)
{
    guint64 event[4];

    while (vm_next_event(vm, event))
        ;
}

guint vm_event_id(VMachine *vm)
{
    guint64 event[4];

    return vm_next_event(vm, event) ? event[0] & 0xff : 0;
}

/* --- host devices -----------------------------------------------------------------------
 */

static Landing landing(VMachine *vm, guint n)
{
    return (Landing){
        .ram = &vm->ram, .dma = &vm->dma[n], .home = vm->page, .pattern = VM_PATTERN};
}

gboolean vm_reaches(VMachine *vm, guint n, guint64 iova, guint64 page)
{
    const Landing at = landing(vm, n);

    return landing_reaches(&at, iova, page);
}

gboolean vm_is_refused(VMachine *vm, guint n, guint64 iova)
{
    const Landing at = landing(vm, n);

    return landing_is_refused(&at, iova);
}

gboolean vm_is_bypassed(VMachine *vm, guint n)
{
    return vm_reaches(vm, n, vm->page, vm->page);
}

gboolean vm_is_blocked(VMachine *vm, guint n)
{
    return vm_is_refused(vm, n, VM_IOVA) && vm_is_refused(vm, n, vm->page);
}

/* --- emulated endpoints -----------------------------------------------------------------
 */

guint64 vm_translate(VMachine *vm, guint32 sid, int ssid, guint64 iova, guint access)
{
    ViommuTranslation translation = {.gpa = VM_REFUSED};
    ViommuResult result;

    viommu_smmuv3_enter(vm->smmu);
    result = viommu_smmuv3_translate(vm->smmu, sid,
                                     ssid < 0 ? VIOMMU_SMMUV3_NO_SUBSTREAM : (guint32)ssid,
                                     iova, access, &translation);
    viommu_smmuv3_exit(vm->smmu);
    return result == VIOMMU_OK ? translation.gpa : VM_REFUSED;
}

guint64 vm_reads(VMachine *vm, guint32 sid, guint64 iova)
{
    return vm_translate(vm, sid, VM_NO_SSID, iova, VIOMMU_ACCESS_READ);
}
