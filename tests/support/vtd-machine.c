/* SPDX-License-Identifier: MIT */
/*
 * A VM with a whole guest VT-d unit: its life, its memory, what its devices do.
 *
 * Up: the conformance tests and the oracle. Beside: vtd-driver.c, what the guest's driver
 * does. Down: the public library, tools/scenario for memory, tables and DMA.
 */
#include "vtd-machine.h"

#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <string.h>

#include <viommu-emulator/inspect.h>

#include "landing.h"
#include "tap.h"

/* --- services ---------------------------------------------------------------------------
 */

static gboolean is_memory(VtdMachine *vm, guint64 gpa, gsize size)
{
    guint64 at = gpa - vm->ram.base;

    if (gpa < vm->ram.base || at >= vm->ram.size || vm->ram.size - at < size)
        return FALSE;
    return !vm->hole || gpa + size <= vm->hole || gpa >= vm->hole + GUEST_PAGE;
}

/* As hardware reads: aligned words whole, whoever writes them meanwhile. */
static void copy_out(const guint8 *from, guint8 *to, gsize size)
{
    gsize i = 0;

    for (; (guintptr)(from + i) % 8 == 0 && i + 8 <= size; i += 8) {
        guint64 word =
            __atomic_load_n((const guint64 *)(const void *)(from + i), __ATOMIC_ACQUIRE);

        memcpy(to + i, &word, sizeof word);
    }
    memcpy(to + i, from + i, size - i);
}

static gboolean read_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    VtdMachine *vm = user_data;

    if (!is_memory(vm, gpa, size))
        return FALSE;
    copy_out(guest_memory_at(&vm->ram, gpa), data, size);
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
    VtdMachine *vm = user_data;

    if (!is_memory(vm, gpa, size))
        return FALSE;
    memcpy(guest_memory_at(&vm->ram, gpa), data, size);
    return TRUE;
}

static gboolean compare_and_swap(guint64 gpa, guint64 expected, guint64 desired,
                                 guint64 *ret_found, void *user_data)
{
    VtdMachine *vm = user_data;

    g_atomic_int_inc((gint *)&vm->n_swaps);
    if (gpa % 8 || !is_memory(vm, gpa, 8) ||
        (vm->no_swap && gpa - gpa % GUEST_PAGE == vm->no_swap))
        return FALSE;
    expected = GUINT64_TO_LE(expected);
    __atomic_compare_exchange_n((guint64 *)guest_memory_at(&vm->ram, gpa), &expected,
                                GUINT64_TO_LE(desired), FALSE, __ATOMIC_ACQ_REL,
                                __ATOMIC_ACQUIRE);
    *ret_found = GUINT64_FROM_LE(expected);
    return TRUE;
}

static gboolean send_msi(guint64 address, guint32 data, void *user_data)
{
    VtdMachine *vm = user_data;

    g_atomic_int_inc((gint *)&vm->n_msis[data & 0xff]);
    vm->msi_address = address;
    vm->msi_data = data;
    return TRUE;
}

static void pulse_irq(guint line, G_GNUC_UNUSED void *user_data)
{
    g_error("line %u: a VT-d unit has no wired interrupts", line);
}

static void watch_fd(int fd, gboolean watch, void *user_data)
{
    VtdMachine *vm = user_data;

    vm->event_fd = watch ? fd : -1;
    vm->n_watched += watch ? 1 : -1;
}

static void translations_changed(guint32 device_id, guint32 pasid, guint64 iova,
                                 guint64 size, void *user_data)
{
    VtdMachine *vm = user_data;

    vm->n_changed++;
    vm->changed_rid = device_id;
    vm->changed_pasid = pasid;
    vm->changed_iova = iova;
    vm->changed_size = size;
}

void vtdm_trace(const ViommuTraceRecord *record, void *user_data)
{
    VtdMachine *vm = user_data;

    if (record->point == VIOMMU_TRACE_INVALIDATE)
        vm->n_entries += record->value;
    if (record->point == VIOMMU_TRACE_REFUSED) {
        g_free(vm->refusal);
        vm->refusal = g_strdup(record->message);
        vm->n_refusals++;
    }
}

ViommuServices vtdm_services(VtdMachine *vm)
{
    return (ViommuServices){
        .read_memory = read_memory,
        .write_memory = write_memory,
        .compare_and_swap = compare_and_swap,
        .send_msi = send_msi,
        .pulse_irq = pulse_irq,
        .watch_fd = watch_fd,
        .translations_changed = translations_changed,
        .user_data = vm,
    };
}

/* --- life -------------------------------------------------------------------------------
 */

static gboolean make_host(VtdMachine *vm, GError **error)
{
    const ViommuHostConfig config = target_host_config(vm->target);

    vm->host = viommu_host_new(&config, error);
    if (!vm->host)
        return FALSE;
    viommu_host_set_trace(vm->host, vtdm_trace, vm);
    for (guint i = 0; i < VTDM_DEVICES && vm->bdfs[i]; i++) {
        vm->devices[i] = viommu_host_device_new_from_bdf(vm->host, vm->bdfs[i], error);
        if (!vm->devices[i])
            return FALSE;
        vm->n_devices++;
        if (!viommu_host_device_get_info(vm->devices[i])->can_nest)
            vm->nests = FALSE;
        if (!dma_device_init(&vm->dma[i], vm->target->seam, vm->devices[i], error))
            return FALSE;
    }
    return TRUE;
}

static gboolean make_unit(VtdMachine *vm, GError **error)
{
    vm->vtd = viommu_vtd_new(&vm->config, error);
    if (!vm->vtd)
        return FALSE;
    for (guint i = 0; i < vm->n_devices; i++)
        if (!viommu_vtd_attach_device(vm->vtd, vm->devices[i], VTDM_RID + 8 * i, vm->flags,
                                      error))
            return FALSE;
    return TRUE;
}

static gboolean make(VtdMachine *vm, GError **error)
{
    return (!vm->bdfs || make_host(vm, error)) &&
           guest_memory_init(&vm->ram, vm->host, VTDM_RAM_BASE, VTDM_RAM_SIZE,
                             vm->host != NULL, error) &&
           make_unit(vm, error) && viommu_vtd_release(vm->vtd, error);
}

void vtdm_domain_init(VtdMachine *vm, GuestVtdDomain *domain, guint16 did)
{
    guest_vtd_domain_init(domain, &vm->ram, vm->nests ? GUEST_VTD_FIRST : GUEST_VTD_SECOND,
                          4, did);
}

static void fill(VtdMachine *vm)
{
    vm->pattern = vtdm_alloc(vm, GUEST_PAGE);
    guest_memory_fill(&vm->ram, vm->pattern, VTDM_PATTERN, GUEST_PAGE);
    for (guint i = 0; i < vm->n_devices; i++)
        dma_load(&vm->dma[i], vm->pattern, LANDING_SIZE, NULL);
    vtdm_domain_init(vm, &vm->domain, VTDM_DID);
    vm->page = vtdm_alloc(vm, GUEST_PAGE);
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    vm->status = vtdm_alloc(vm, GUEST_PAGE);
}

gboolean vtdm_init_flags(VtdMachine *vm, const Target *target, char *const *bdfs,
                         const ViommuVtdConfig *config, ViommuVtdDeviceFlags flags)
{
    const ViommuServices services = {0};
    const ViommuVtdConfig defaults = VIOMMU_VTD_CONFIG_INIT(services);
    g_autoptr(GError) error = NULL;

    *vm = (VtdMachine){.event_fd = -1,
                       .ram.memfd = -1,
                       .bdfs = bdfs,
                       .flags = flags,
                       .nests = TRUE,
                       .queue_order = 1};
    vm->emulator = target ? target->emulator : NULL;
    vm->target = target;
    vm->config = config ? *config : defaults;
    vm->config.services = vtdm_services(vm);
    if (!make(vm, &error)) {
        tap_note("%s", error->message);
        vtdm_clear(vm);
        return FALSE;
    }
    fill(vm);
    return TRUE;
}

gboolean vtdm_init(VtdMachine *vm, const Target *target, char *const *bdfs,
                   const ViommuVtdConfig *config)
{
    return vtdm_init_flags(vm, target, bdfs, config, 0);
}

gboolean vtdm_init_first_stage(VtdMachine *vm, const Target *target)
{
    const ViommuVtdConfig alone = {
        .pasid_bits = 0,
        .caching_mode = VIOMMU_ON,
        .five_level = VIOMMU_OFF,
        .supervisor_requests = VIOMMU_OFF,
        .extended_accessed = VIOMMU_OFF,
        .device_tlb = VIOMMU_OFF,
        .page_requests = VIOMMU_OFF,
    };

    if (!vtdm_init(vm, target, target->first, NULL))
        return FALSE;
    if (vm->nests)
        return TRUE;
    vtdm_clear(vm);
    return vtdm_init(vm, NULL, NULL, &alone);
}

void vtdm_clear(VtdMachine *vm)
{
    viommu_vtd_free(vm->vtd);
    for (guint i = 0; i < vm->n_devices; i++) {
        dma_device_clear(&vm->dma[i]);
        viommu_host_device_free(vm->devices[i]);
    }
    guest_memory_clear(&vm->ram);
    viommu_host_free(vm->host);
    g_free(vm->refusal);
    *vm = (VtdMachine){.event_fd = -1, .ram.memfd = -1};
}

gboolean vtdm_remake(VtdMachine *vm, GError **error)
{
    viommu_vtd_free(vm->vtd);
    vm->vtd = NULL;
    return make_unit(vm, error);
}

/* --- memory and registers ---------------------------------------------------------------
 */

guint64 vtdm_alloc(VtdMachine *vm, gsize size)
{
    return guest_memory_alloc_size(&vm->ram, size);
}

guint64 vtdm_load(VtdMachine *vm, guint64 gpa)
{
    return guest_memory_load(&vm->ram, gpa);
}

void vtdm_store(VtdMachine *vm, guint64 gpa, guint64 value)
{
    guest_memory_store(&vm->ram, gpa, value);
}

guint32 vtdm_get(VtdMachine *vm, guint reg)
{
    return viommu_vtd_read(vm->vtd, reg, 4);
}

guint64 vtdm_get64(VtdMachine *vm, guint reg)
{
    return viommu_vtd_read(vm->vtd, reg, 8);
}

void vtdm_set(VtdMachine *vm, guint reg, guint32 value)
{
    viommu_vtd_write(vm->vtd, reg, 4, value);
}

void vtdm_set64(VtdMachine *vm, guint reg, guint64 value)
{
    viommu_vtd_write(vm->vtd, reg, 8, value);
}

guint vtdm_cap(VtdMachine *vm, guint lowest, guint width)
{
    return vtdm_get64(vm, VTDM_CAP) >> lowest & ((1u << width) - 1);
}

guint vtdm_ecap(VtdMachine *vm, guint lowest, guint width)
{
    return vtdm_get64(vm, VTDM_ECAP) >> lowest & ((1u << width) - 1);
}

guint vtdm_aw(VtdMachine *vm)
{
    guint sagaw = vtdm_cap(vm, VTDM_CAP_SAGAW, 5), aw = 0;

    for (guint bit = 0; bit < 5; bit++)
        if (sagaw >> bit & 1)
            aw = bit;
    return aw;
}

/* --- host calls -------------------------------------------------------------------------
 */

VtdmWay vtdm_way_of(const Target *target, gboolean nests)
{
    if (nests)
        return VTDM_NESTED;
    return g_str_equal(target_get_backend(target), "legacy") ? VTDM_MAPPED : VTDM_SHADOWED;
}

VtdmWay vtdm_way(const VtdMachine *vm)
{
    return vtdm_way_of(vm->target, vm->nests);
}

unsigned long vtdm_request_of(VtdmWay way, VtdmCall call)
{
    static const struct {
        unsigned long nested, shadowed, mapped;
    } requests[] = {
        [VTDM_CALL_TABLES] = {IOMMU_HWPT_ALLOC, IOMMU_HWPT_ALLOC, VFIO_IOMMU_MAP_DMA},
        [VTDM_CALL_ATTACH] = {VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_ATTACH_IOMMUFD_PT,
                              VFIO_IOMMU_MAP_DMA},
        [VTDM_CALL_BLOCK] = {VFIO_DEVICE_DETACH_IOMMUFD_PT, VFIO_DEVICE_DETACH_IOMMUFD_PT,
                             VFIO_IOMMU_UNMAP_DMA},
        [VTDM_CALL_REVOKE] = {IOMMU_HWPT_INVALIDATE, IOMMU_IOAS_UNMAP,
                              VFIO_IOMMU_UNMAP_DMA},
        [VTDM_CALL_GRANT] = {IOMMU_HWPT_INVALIDATE, IOMMU_IOAS_COPY, VFIO_IOMMU_MAP_DMA},
    };

    return VTDM_BY_WAY(way, requests[call].nested, requests[call].shadowed,
                       requests[call].mapped);
}

unsigned long vtdm_request(const VtdMachine *vm, VtdmCall call)
{
    return vtdm_request_of(vtdm_way(vm), call);
}

guint64 vtdm_count(const VtdMachine *vm, Spy *spy, VtdmCall call)
{
    return spy_count(spy, vtdm_request(vm, call));
}

/* --- host devices -----------------------------------------------------------------------
 */

static Landing landing(VtdMachine *vm, guint n)
{
    return (Landing){
        .ram = &vm->ram, .dma = &vm->dma[n], .home = vm->page, .pattern = VTDM_PATTERN};
}

gboolean vtdm_reaches(VtdMachine *vm, guint n, guint64 iova, guint64 page)
{
    const Landing at = landing(vm, n);

    return landing_reaches(&at, iova, page);
}

gboolean vtdm_is_refused(VtdMachine *vm, guint n, guint64 iova)
{
    const Landing at = landing(vm, n);

    return landing_is_refused(&at, iova);
}

gboolean vtdm_is_identity(VtdMachine *vm, guint n)
{
    return vtdm_reaches(vm, n, vm->page, vm->page);
}

gboolean vtdm_is_blocked(VtdMachine *vm, guint n)
{
    return vtdm_is_refused(vm, n, VTDM_IOVA) && vtdm_is_refused(vm, n, vm->page);
}

int vtdm_store_as(VtdMachine *vm, guint n, int pasid, guint64 iova)
{
    const ViommuEmulatorAccess access = {.iova = iova,
                                         .write = TRUE,
                                         .has_pasid = pasid != VTDM_NO_PASID,
                                         .pasid = MAX(pasid, 0)};
    guint8 bytes[LANDING_SIZE];

    memset(bytes, VTDM_PATTERN, sizeof bytes);
    return viommu_emulator_dma_as(vm->emulator, vm->bdfs[n], &access, bytes, sizeof bytes);
}

static gboolean lands_as(VtdMachine *vm, guint n, int pasid, guint64 iova, guint64 page)
{
    const Landing at = landing(vm, n);

    landing_prepare(&at, page + iova % GUEST_PAGE);
    return vtdm_store_as(vm, n, pasid, iova) == 0 &&
           landing_is_in(&at, page + iova % GUEST_PAGE);
}

gboolean vtdm_lands(VtdMachine *vm, guint n, guint64 iova, guint64 page)
{
    return lands_as(vm, n, VTDM_NO_PASID, iova, page);
}

gboolean vtdm_pasid_reaches(VtdMachine *vm, guint n, guint32 pasid, guint64 iova,
                            guint64 page)
{
    return lands_as(vm, n, pasid, iova, page);
}

/* --- emulated endpoints -----------------------------------------------------------------
 */

guint64 vtdm_translate(VtdMachine *vm, guint16 rid, int pasid, guint64 iova, guint access)
{
    ViommuTranslation translation = {.gpa = VTDM_REFUSED};
    ViommuResult result;

    viommu_vtd_enter(vm->vtd);
    result =
        viommu_vtd_translate(vm->vtd, rid, pasid < 0 ? VIOMMU_VTD_NO_PASID : (guint32)pasid,
                             iova, access, &translation);
    viommu_vtd_exit(vm->vtd);
    return result == VIOMMU_OK ? translation.gpa : VTDM_REFUSED;
}

guint64 vtdm_reads(VtdMachine *vm, guint16 rid, guint64 iova)
{
    return vtdm_translate(vm, rid, VTDM_NO_PASID, iova, VIOMMU_ACCESS_READ);
}
