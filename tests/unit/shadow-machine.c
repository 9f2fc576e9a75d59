/* SPDX-License-Identifier: MIT */
/*
 * A VM with a whole guest VT-d unit whose devices are watched: its life, what the guest
 * does, and what its devices see of that.
 *
 * Down: vtd-machine.h, for the driver; view.h and watch.h.
 */
#include "shadow-machine.h"

#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

#include "tap.h"

#define ADDRESS 0x000ffffffffff000ull
enum { R = VIOMMU_MAP_READ, W = VIOMMU_MAP_WRITE };

/* --- what is granted --------------------------------------------------------------------
 */

/* A page of guest memory that is marked, and mapped. */
static View grant_page(ShadowMachine *m, guint64 gpa, guint rights)
{
    gboolean is_hot = gpa >= SM_HOT_RAM && gpa - SM_HOT_RAM < SM_HOT_SIZE;

    if (!rights || !g_hash_table_contains(m->viewer.pages, &gpa) ||
        (is_hot && !m->hot_is_mapped))
        return (View){0};
    /* The host's first-stage tables have no pages that are only written. */
    if (!(m->options->lacks & SM_FSTS))
        rights |= R;
    return (View){gpa, rights};
}

static guint rights_of(const GuestVtdDomain *domain, guint64 entry)
{
    if (domain->stage == GUEST_VTD_SECOND)
        return (entry & GUEST_SS_R ? R : 0) | (entry & GUEST_SS_W ? W : 0);
    return entry & GUEST_FS_P ? R | (entry & GUEST_FS_RW ? W : 0) : 0;
}

/* What is no memory is nothing. */
static guint64 load(ShadowMachine *m, guint64 gpa)
{
    const GuestMemory *ram = &m->vm.ram;

    return gpa >= ram->base && gpa - ram->base < ram->size ? vtdm_load(&m->vm, gpa) : 0;
}

static gboolean may_be_large(guint64 entry, guint level)
{
    return level <= 3 && !(entry & ADDRESS & ((1ull << (12 + 9 * (level - 1))) - 1));
}

static View walk(ShadowMachine *m, const GuestVtdDomain *domain, guint64 iova)
{
    guint64 table = domain->root;
    guint rights = R | W;

    for (guint level = domain->levels;; level--) {
        guint shift = 12 + 9 * (level - 1);
        guint64 entry = load(m, table + 8 * (iova >> shift & 511));

        rights &= rights_of(domain, entry);
        if (!rights || (entry & GUEST_SS_PS && level > 1 && !may_be_large(entry, level)))
            return (View){0};
        if (level == 1 || entry & GUEST_SS_PS)
            return grant_page(
                m, (entry & ADDRESS) | (iova & ((1ull << shift) - 1) & ~0xfffull), rights);
        table = entry & ADDRESS;
    }
}

View sm_grant(ShadowMachine *m, const ShadowPort *port, guint64 iova)
{
    if (iova >> 20 == 0xfee && port->pasid == VIEW_NO_PASID)
        return (View){0};
    switch (port->home.kind) {
    case SM_BLOCKED:
        return (View){0};
    case SM_IDENTITY:
        return grant_page(m, iova, R | W);
    default:
        return walk(m, port->home.domain, iova);
    }
}

/* --- looking on -------------------------------------------------------------------------
 */

static View see(ShadowMachine *m, const ShadowPort *port, guint64 iova)
{
    return viewer_look(&m->viewer, m->bdfs[port->device], port->pasid, iova);
}

View sm_see(ShadowMachine *m, guint port, guint64 iova)
{
    return see(m, &m->ports[port], iova);
}

static void look_at(ShadowMachine *m, const ShadowPort *port)
{
    gboolean old = TRUE, new = TRUE;

    for (guint i = 0; i < m->n_watched; i++) {
        View seen = see(m, port, m->watched[i]);
        gboolean was = view_is_within(seen, port->was[i]);
        gboolean will = view_is_within(seen, port->will[i]);

        old = old && (was || (will && m->either[i]));
        new = new && (will || (was && m->either[i]));
        if (!old && !new && !m->wrong)
            m->wrong = g_strdup_printf("device %u, PASID %d at 0x%" G_GINT64_MODIFIER
                                       "x reaches 0x%" G_GINT64_MODIFIER "x, rights %u",
                                       port->device, port->pasid, m->watched[i], seen.gpa,
                                       seen.rights);
    }
}

static void look(void *user_data)
{
    ShadowMachine *m = user_data;

    for (guint i = 0; i < m->n_ports; i++)
        look_at(m, &m->ports[i]);
}

void sm_watch(ShadowMachine *m, guint64 iova, guint n)
{
    for (guint i = 0; i < n; i++) {
        g_assert(m->n_watched < SM_WATCHED);
        m->watched[m->n_watched++] = iova + (guint64)i * SM_PAGE;
    }
    sm_begin(m);
    sm_end_doubtful(m);
}

void sm_begin_range(ShadowMachine *m, guint64 first, guint64 last)
{
    for (guint i = 0; i < m->n_watched; i++)
        m->either[i] = m->watched[i] < first || m->watched[i] > last;
    for (guint n = 0; n < m->n_ports; n++)
        for (guint i = 0; i < m->n_watched; i++)
            m->ports[n].will[i] = sm_grant(m, &m->ports[n], m->watched[i]);
    m->watch.check = look;
    look(m);
}

void sm_begin(ShadowMachine *m)
{
    sm_begin_range(m, 0, G_MAXUINT64);
}

/* Out of the range, what a port has is what it sees. */
static void settle(ShadowMachine *m, ShadowPort *port)
{
    for (guint i = 0; i < m->n_watched; i++)
        port->was[i] = m->either[i] ? see(m, port, m->watched[i]) : port->will[i];
}

gboolean sm_end(ShadowMachine *m)
{
    look(m);
    m->watch.check = NULL;
    for (guint i = 0; i < m->n_ports; i++)
        settle(m, &m->ports[i]);
    return sm_is_right(m);
}

gboolean sm_end_doubtful(ShadowMachine *m)
{
    gboolean is_within = TRUE;

    m->watch.check = NULL;
    for (guint i = 0; i < m->n_ports; i++) {
        ShadowPort *port = &m->ports[i];

        for (guint j = 0; j < m->n_watched; j++) {
            port->was[j] = see(m, port, m->watched[j]);
            is_within = is_within && view_is_within(port->was[j], port->will[j]);
        }
    }
    return is_within;
}

gboolean sm_is_right(ShadowMachine *m)
{
    for (guint n = 0; n < m->n_ports; n++)
        for (guint i = 0; i < m->n_watched; i++) {
            const ShadowPort *port = &m->ports[n];
            View seen = see(m, port, m->watched[i]);

            if (view_is(seen, port->was[i]))
                continue;
            tap_note("device %u, PASID %d at 0x%" G_GINT64_MODIFIER
                     "x reaches 0x%" G_GINT64_MODIFIER
                     "x, rights %u, and not 0x%" G_GINT64_MODIFIER "x, rights %u",
                     port->device, port->pasid, m->watched[i], seen.gpa, seen.rights,
                     port->was[i].gpa, port->was[i].rights);
            return FALSE;
        }
    return TRUE;
}

gboolean sm_is_blind(ShadowMachine *m, guint port)
{
    for (guint i = 0; i < m->n_watched; i++)
        if (sm_see(m, port, m->watched[i]).rights)
            return FALSE;
    return TRUE;
}

/* --- the guest --------------------------------------------------------------------------
 */

static void set_home(ShadowMachine *m, guint port, ShadowHomeKind kind,
                     const GuestVtdDomain *domain)
{
    m->ports[port].home = (ShadowHome){kind, domain};
    sm_begin(m);
}

static guint16 rid_of(const ShadowMachine *m, guint port)
{
    return VTDM_RID + 8 * m->ports[port].device;
}

void sm_start(ShadowMachine *m, VtdmMode mode)
{
    for (guint i = 0; i < m->n_ports; i++)
        m->ports[i].home.kind = SM_BLOCKED;
    m->vm.root = 0;
    sm_begin(m);
    vtdm_start(&m->vm, mode);
    if (!sm_end(m))
        tap_ok(FALSE, "started, all is blocked");
}

void sm_domain(ShadowMachine *m, GuestVtdDomain *domain, guint16 did)
{
    guest_vtd_domain_init(domain, &m->vm.ram, GUEST_VTD_SECOND, vtdm_aw(&m->vm) + 2, did);
}

void sm_put(ShadowMachine *m, GuestVtdDomain *domain, guint64 iova, guint level,
            guint64 word)
{
    vtdm_store(&m->vm, guest_vtd_entry_at(domain, iova, level), word);
}

void sm_map(ShadowMachine *m, GuestVtdDomain *domain, guint64 iova, guint page, guint n,
            guint rights)
{
    gboolean second = domain->stage == GUEST_VTD_SECOND;

    for (guint i = 0; i < n; i++) {
        guint64 bits = second
                           ? (rights & R ? GUEST_SS_R : 0) | (rights & W ? GUEST_SS_W : 0)
                           : GUEST_FS_P | GUEST_FS_US | (rights & W ? GUEST_FS_RW : 0);

        sm_put(m, domain, iova + (guint64)i * SM_PAGE, 1,
               rights ? m->pages[page + i] | bits : 0);
    }
}

guint sm_add_port(ShadowMachine *m, guint device, int pasid)
{
    g_assert(m->n_ports < SM_PORTS);
    m->ports[m->n_ports] = (ShadowPort){.device = device, .pasid = pasid};
    return m->n_ports++;
}

/* What it was with its home before is what it sees; the flushes are of both. */
void sm_install(ShadowMachine *m, guint port, const GuestVtdDomain *domain)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    set_home(m, port, SM_DOMAIN, domain);
    if (m->ports[port].pasid == VIEW_NO_PASID) {
        vtdm_install(&m->vm, rid_of(m, port), domain);
        return;
    }
    guest_vtd_pasid_table(words, domain);
    vtdm_install_pasid(&m->vm, rid_of(m, port), (guint32)m->ports[port].pasid, words);
}

void sm_install_identity(ShadowMachine *m, guint port)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    set_home(m, port, SM_IDENTITY, NULL);
    if (m->ports[port].pasid == VIEW_NO_PASID) {
        vtdm_install_pass_through(&m->vm, rid_of(m, port));
        return;
    }
    guest_vtd_pasid_pass_through(words, VTDM_PT_DID, vtdm_aw(&m->vm));
    vtdm_install_pasid(&m->vm, rid_of(m, port), (guint32)m->ports[port].pasid, words);
}

void sm_remove(ShadowMachine *m, guint port)
{
    const guint64 nothing[GUEST_VTD_PASID_WORDS] = {0};

    set_home(m, port, SM_BLOCKED, NULL);
    if (m->ports[port].pasid == VIEW_NO_PASID)
        vtdm_remove(&m->vm, rid_of(m, port));
    else
        vtdm_install_pasid(&m->vm, rid_of(m, port), (guint32)m->ports[port].pasid, nothing);
}

gboolean sm_flush_pages(ShadowMachine *m, guint16 did, guint64 iova, guint order)
{
    guint64 size = (guint64)SM_PAGE << order;

    sm_begin_range(m, iova & ~(size - 1), iova | (size - 1));
    return vtdm_issue(&m->vm, guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, did),
                      guest_vtd_inv_pages(iova, order, FALSE));
}

gboolean sm_flush_page(ShadowMachine *m, guint16 did, guint64 iova)
{
    return sm_flush_pages(m, did, iova, 0);
}

gboolean sm_flush_domain(ShadowMachine *m, guint16 did)
{
    sm_begin(m);
    return vtdm_issue(&m->vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, did), 0);
}

gboolean sm_flush_global(ShadowMachine *m)
{
    sm_begin(m);
    return vtdm_issue(&m->vm, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0);
}

guint64 sm_maps(ShadowMachine *m)
{
    return spy_count(&m->watch.spy, m->map_call);
}

guint64 sm_unmaps(ShadowMachine *m)
{
    return spy_count(&m->watch.spy, m->unmap_call);
}

/* --- memory -----------------------------------------------------------------------------
 */

gboolean sm_plug(ShadowMachine *m, GError **error)
{
    m->hot_is_mapped = TRUE;
    sm_begin(m);
    m->hot_is_mapped = viommu_host_map(m->vm.host, SM_HOT_RAM, SM_HOT_SIZE, m->hot,
                                       VIOMMU_MAP_READ | VIOMMU_MAP_WRITE, error);
    return m->hot_is_mapped;
}

gboolean sm_unplug(ShadowMachine *m, GError **error)
{
    m->hot_is_mapped = FALSE;
    sm_begin(m);
    m->hot_is_mapped = !viommu_host_unmap(m->vm.host, SM_HOT_RAM, SM_HOT_SIZE, error);
    return !m->hot_is_mapped;
}

static void make_pages(ShadowMachine *m)
{
    /* Pages in a row, to be joined. */
    guint64 first = vtdm_alloc(&m->vm, SM_PAGES * SM_PAGE);

    for (guint i = 0; i < SM_PAGES; i++) {
        m->pages[i] = first + (guint64)i * SM_PAGE;
        viewer_mark(&m->viewer, m->pages[i], guest_memory_at(&m->vm.ram, m->pages[i]));
    }
    /* Of either half some. */
    for (guint i = 0; i < SM_HOT_PAGES; i++) {
        guint64 at = (guint64)(i / 2) * SM_PAGE + i % 2 * SM_HOT_SIZE / 2;

        viewer_mark(&m->viewer, SM_HOT_RAM + at, m->hot + at);
    }
}

/* --- life -------------------------------------------------------------------------------
 */

static void add_devices(ShadowMachine *m, guint n)
{
    const ShadowMachineOptions *options = m->options;
    ViommuEmulatorVtdConfig config;
    guint unit;

    viommu_emulator_vtd_defaults(&config);
    /* Dirty tracking would have copies be of the second stage always. */
    config.ecap &= ~(options->lacks | SM_SSADS);
    if (options->host_levels == 4)
        config.cap = (config.cap & ~(0x3full << 16 | 0x1full << 8 | 1ull << 60)) |
                     47ull << 16 | 4ull << 8;
    unit = viommu_emulator_add_vtd(m->vm.emulator, &config);
    for (guint i = 0; i < n; i++) {
        ViommuEmulatorDeviceConfig device = {.iommu = unit,
                                             .stream_id = 0x10 + i,
                                             .iommu_group = options->one_group ? 5 : -1,
                                             .pasid_bits =
                                                 options->pasids ? SM_PASID_BITS : 0};

        m->bdfs[i] = g_strdup_printf("0000:00:%02x.0", 2 + i);
        device.bdf = m->bdfs[i];
        viommu_emulator_add_device(m->vm.emulator, &device, NULL);
        sm_add_port(m, i, VIEW_NO_PASID);
        m->ports[i].home.kind = SM_IDENTITY;
    }
}

static gboolean make_host(ShadowMachine *m, guint n, GError **error)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    VtdMachine *vm = &m->vm;

    config.backend = m->options->backend;
    config.container = m->options->container;
    config.seam = &m->watch.seam;
    vm->host = viommu_host_new(&config, error);
    if (!vm->host)
        return FALSE;
    viommu_host_set_trace(vm->host, vtdm_trace, vm);
    for (; vm->n_devices < n; vm->n_devices++) {
        vm->devices[vm->n_devices] =
            viommu_host_device_new_from_bdf(vm->host, m->bdfs[vm->n_devices], error);
        if (!vm->devices[vm->n_devices])
            return FALSE;
    }
    m->hot =
        mmap(NULL, SM_HOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return guest_memory_init(&vm->ram, vm->host, VTDM_RAM_BASE, VTDM_RAM_SIZE, TRUE,
                             error) &&
           sm_plug(m, error);
}

static gboolean make_unit(VtdMachine *vm, GError **error)
{
    vm->config.services = vtdm_services(vm);
    vm->vtd = viommu_vtd_new(&vm->config, error);
    for (guint i = 0; vm->vtd && i < vm->n_devices; i++)
        if (!viommu_vtd_attach_device(vm->vtd, vm->devices[i], VTDM_RID + 8 * i, 0, error))
            return FALSE;
    return vm->vtd && viommu_vtd_release(vm->vtd, error);
}

gboolean sm_init(ShadowMachine *m, const ShadowMachineOptions *options)
{
    gboolean legacy = !g_strcmp0(options->backend, "legacy");
    guint n = MAX(options->n_devices, 1);
    g_autoptr(GError) error = NULL;

    *m = (ShadowMachine){.options = options};
    m->vm = (VtdMachine){.event_fd = -1, .ram.memfd = -1, .queue_order = 1};
    m->vm.emulator = viommu_emulator_new();
    m->vm.bdfs = m->bdfs;
    m->vm.config = options->config;
    m->map_call = legacy ? VFIO_IOMMU_MAP_DMA : IOMMU_IOAS_COPY;
    m->unmap_call = legacy ? VFIO_IOMMU_UNMAP_DMA : IOMMU_IOAS_UNMAP;
    add_devices(m, n);
    watch_init(&m->watch, viommu_emulator_get_seam(m->vm.emulator));
    m->watch.user_data = m;
    viewer_init(&m->viewer, m->vm.emulator);
    if (make_host(m, n, &error) && make_unit(&m->vm, &error)) {
        m->vm.status = vtdm_alloc(&m->vm, SM_PAGE);
        make_pages(m);
        sm_begin(m);
        return sm_end(m);
    }
    tap_ok(FALSE, "a machine: %s", error->message);
    sm_clear(m);
    return FALSE;
}

guint sm_objects(ShadowMachine *m, ViommuEmulatorObject kind)
{
    return viommu_emulator_count_objects(m->vm.emulator, kind);
}

guint sm_all_objects(ShadowMachine *m)
{
    guint n = 0;

    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        n += sm_objects(m, kind);
    return n;
}

void sm_clear_quietly(ShadowMachine *m, gboolean *ok)
{
    VtdMachine *vm = &m->vm;

    spy_fail_none(&m->watch.spy);
    viommu_emulator_fail_call(vm->emulator, VIOMMU_EMULATOR_CALL_ANY, 1, 0, FALSE);
    viommu_vtd_free(vm->vtd);
    for (guint i = 0; i < vm->n_devices; i++)
        viommu_host_device_free(vm->devices[i]);
    guest_memory_clear(&vm->ram);
    viommu_host_free(vm->host);
    *ok = *ok && !m->wrong && sm_all_objects(m) == 0;
    if (m->wrong)
        tap_note("%s", m->wrong);
    if (sm_all_objects(m))
        tap_note("%u objects are left on the host", sm_all_objects(m));
    viewer_clear(&m->viewer);
    watch_clear(&m->watch);
    viommu_emulator_free(vm->emulator);
    munmap(m->hot, SM_HOT_SIZE);
    for (guint i = 0; i < SM_DEVICES; i++)
        g_free(m->bdfs[i]);
    g_free(vm->refusal);
    g_free(m->wrong);
}

void sm_clear(ShadowMachine *m)
{
    guint64 n_looks = m->watch.n_looks;
    gboolean ok = TRUE;

    sm_clear_quietly(m, &ok);
    tap_ok(ok,
           "never a page that is not granted, at %" G_GUINT64_FORMAT
           " looks, and nothing left in the end",
           n_looks);
}
