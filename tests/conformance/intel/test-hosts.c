/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit, where it depends on how the host is built: several units, equal or
 * not, several iommufds, two devices of one requester ID or one IOMMU group, a device
 * pulled out; and that nothing is left behind. The VM has one unit, so this is for the
 * emulator, which has inspectors too. A point is a rule.
 */
#include <linux/iommufd.h>

#include <viommu-emulator/inspect.h>

#include "landing.h"
#include "tap.h"
#include "vtd-machine.h"

enum { OTHER_DID = 30 };

/* Two units, the second without these bits, and a device behind each. */
static void make_units(Target *target, guint64 cap, guint64 ecap)
{
    const ViommuEmulatorDeviceConfig devices[] = {{.iommu = 0, .iommu_group = -1},
                                                  {.iommu = 1, .iommu_group = -1}};
    ViommuEmulatorVtdConfig units[2];

    for (guint i = 0; i < 2; i++)
        viommu_emulator_vtd_defaults(&units[i]);
    units[1].cap &= ~cap;
    units[1].ecap &= ~ecap;
    target_init_vtd(target, units, 2, devices, 2);
}

/* One unit, two devices, in one group or each in its own. */
static void make_devices(Target *target, gboolean one_group)
{
    const ViommuEmulatorDeviceConfig devices[] = {{.iommu_group = one_group ? 7 : -1},
                                                  {.iommu_group = one_group ? 7 : -1}};
    ViommuEmulatorVtdConfig unit;

    viommu_emulator_vtd_defaults(&unit);
    target_init_vtd(target, &unit, 1, devices, 2);
}

static gboolean both_reach(VtdMachine *vm, guint64 page)
{
    return vtdm_reaches(vm, 0, VTDM_IOVA, page) && vtdm_reaches(vm, 1, VTDM_IOVA, page);
}

/* --- several units ----------------------------------------------------------------------
 */

static void test_intersection(void)
{
    static const struct {
        const char *name;
        guint lowest;
        guint reg;
    } fields[] = {{"FS1GP", VTDM_CAP_FS1GP, VTDM_CAP},
                  {"FS5LP", VTDM_CAP_FS5LP, VTDM_CAP},
                  {"SRS", VTDM_ECAP_SRS, VTDM_ECAP},
                  {"EAFS", VTDM_ECAP_EAFS, VTDM_ECAP},
                  {"SMPWCS", VTDM_ECAP_SMPWCS, VTDM_ECAP}};

    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        guint64 bit = 1ull << fields[i].lowest;
        gboolean in_cap = fields[i].reg == VTDM_CAP;
        Target target;
        VtdMachine vm;

        make_units(&target, in_cap ? bit : 0, in_cap ? 0 : bit);
        if (tap_ok(vtdm_init(&vm, &target, target.bdfs, NULL), "two units, one without %s",
                   fields[i].name)) {
            tap_is(vtdm_get64(&vm, fields[i].reg) >> fields[i].lowest & 1, 0,
                   "... it is not offered");
            vtdm_clear(&vm);
        }
        target_clear(&target);
    }
}

/* What a host has no part in, and what it lacks, asked for all the same: by name. */
static void test_refused(void)
{
    const struct {
        const char *name;
        guint lowest;
        ViommuVtdConfig config;
    } fields[] = {
        {"ECAP.SMPWCS 1", VTDM_ECAP_SMPWCS, {.pasid_bits = -1, .coherent = VIOMMU_ON}},
        {"ECAP.PDS 1",
         VTDM_ECAP_PDS,
         {.pasid_bits = -1, .device_tlb = VIOMMU_ON, .page_requests = VIOMMU_ON}},
        {"ECAP.PRS 1",
         VTDM_ECAP_PRS,
         {.pasid_bits = -1, .device_tlb = VIOMMU_ON, .page_requests = VIOMMU_ON}},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(fields); i++) {
        const ViommuEmulatorDeviceConfig device = {
            .iommu_group = -1, .ats = TRUE, .pri = TRUE};
        ViommuHostConfig config;
        g_autoptr(GError) error = NULL;
        ViommuEmulatorVtdConfig unit;
        ViommuHostDevice *late;
        ViommuHost *host;
        Target target;
        VtdMachine vm;

        viommu_emulator_vtd_defaults(&unit);
        unit.ecap &= ~(1ull << fields[i].lowest);
        target_init_vtd(&target, &unit, 1, &device, 1);
        config = target_host_config(&target);
        if (tap_ok(vtdm_init(&vm, NULL, NULL, &fields[i].config), "a unit with %s",
                   fields[i].name)) {
            host = viommu_host_new(&config, NULL);
            late = viommu_host_device_new_from_bdf(host, target.bdfs[0], NULL);
            tap_ok(!viommu_vtd_attach_device(vm.vtd, late, VTDM_RID, 0, &error),
                   "... refuses a host without");
            tap_has(error ? error->message : NULL, fields[i].name, "... naming the field");
            viommu_host_device_free(late);
            viommu_host_free(host);
            vtdm_clear(&vm);
        }
        target_clear(&target);
    }
}

/* What is offered does not grow over host units that were made without it. */
static void test_unplug_first(void)
{
    const ViommuEmulatorDeviceConfig devices[] = {
        {.iommu = 0, .iommu_group = -1, .pasid_bits = 8},
        {.iommu = 1, .iommu_group = -1, .pasid_bits = 8}};
    guint64 words[GUEST_VTD_PASID_WORDS];
    ViommuEmulatorVtdConfig units[2];
    Target target;
    VtdMachine vm;

    for (guint i = 0; i < 2; i++)
        viommu_emulator_vtd_defaults(&units[i]);
    units[0].ecap &= ~(1ull << VTDM_ECAP_PASID);
    target_init_vtd(&target, units, 2, devices, 2);
    if (tap_ok(vtdm_init(&vm, &target, target.bdfs, NULL),
               "two units, the first one without PASIDs")) {
        viommu_vtd_detach_device(vm.vtd, vm.devices[0]);
        tap_is(vtdm_ecap(&vm, VTDM_ECAP_PASID, 1), 0,
               "its device goes before the guest looks: there are none for the other");
        viommu_vtd_detach_device(vm.vtd, vm.devices[1]);
        viommu_vtd_attach_device(vm.vtd, vm.devices[1], VTDM_RID + 8, 0, NULL);
        tap_is(vtdm_ecap(&vm, VTDM_ECAP_PASID, 1), 0, "... what was seen stays");
        viommu_vtd_block(vm.vtd, NULL);
        viommu_vtd_detach_device(vm.vtd, vm.devices[1]);
        viommu_vtd_attach_device(vm.vtd, vm.devices[1], VTDM_RID + 8, 0, NULL);
        viommu_vtd_release(vm.vtd, NULL);
        tap_is(vtdm_ecap(&vm, VTDM_ECAP_PASID, 1), 1,
               "plugged anew in a reset, it has them");
        vtdm_start(&vm, VTDM_SCALABLE);
        guest_vtd_pasid_table(words, &vm.domain);
        vtdm_install_pasid(&vm, VTDM_RID + 8, 5, words);
        tap_ok(vtdm_pasid_reaches(&vm, 1, 5, VTDM_IOVA, vm.page), "... and they work");
        vtdm_clear(&vm);
    }
    target_clear(&target);
}

static void test_no_nesting(void)
{
    const ViommuVtdConfig config = {.pasid_bits = -1, .first_stage = VIOMMU_ON};
    g_autoptr(GError) error = NULL;
    ViommuHostDevice *late;
    Target target;
    VtdMachine vm;

    make_units(&target, 0, 1ull << VTDM_ECAP_NEST);
    if (tap_ok(vtdm_init(&vm, &target, target.first, &config), "one unit of two")) {
        late = viommu_host_device_new_from_bdf(vm.host, target.bdfs[1], NULL);
        tap_ok(!viommu_vtd_attach_device(vm.vtd, late, VTDM_RID + 8, 0, &error),
               "a device behind one that cannot nest is refused a first stage");
        tap_has(error ? error->message : NULL, "NEST", "... naming the field");
        vtdm_start(&vm, VTDM_SCALABLE);
        vtdm_install(&vm, VTDM_RID, &vm.domain);
        vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
        tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "... the other goes on");
        viommu_host_device_free(late);
        vtdm_clear(&vm);
    }
    target_clear(&target);
}

/* One guest table behind two units that could not share a parent. */
static void test_two_units(void)
{
    guint64 page;
    Target target;
    VtdMachine vm;

    make_units(&target, 1ull << VTDM_CAP_FS5LP | 3ull << VTDM_CAP_SSLPS, 0);
    if (tap_ok(vtdm_init(&vm, &target, target.bdfs, NULL), "devices behind two units")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        vtdm_install(&vm, VTDM_RID, &vm.domain);
        vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
        tap_ok(both_reach(&vm, vm.page), "... one guest table serves both");
        page = vtdm_alloc(&vm, GUEST_PAGE);
        guest_vtd_map(&vm.domain, VTDM_IOVA, page, TRUE);
        vtdm_flush_page(&vm, VTDM_DID, 0, VTDM_IOVA);
        tap_ok(both_reach(&vm, page), "... a flush goes to both");
        vtdm_install_pass_through(&vm, VTDM_RID + 8);
        tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, page) && vtdm_is_identity(&vm, 1),
               "... an entry to the right one");
        vtdm_clear(&vm);
    }
    target_clear(&target);
}

/* --- several iommufds -------------------------------------------------------------------
 */

static void test_two_hosts(void)
{
    ViommuHostConfig second = {.iommufd = -1};
    ViommuHostDevice *device;
    DmaDevice dma = {0};
    ViommuHost *host;
    Target target;
    Landing landing;
    VtdMachine vm;

    make_devices(&target, FALSE);
    if (!tap_ok(vtdm_init(&vm, &target, target.first, NULL), "one host"))
        return;
    second.seam = target.seam;
    host = viommu_host_new(&second, NULL);
    viommu_host_map(host, vm.ram.base, vm.ram.size, vm.ram.bytes,
                    VIOMMU_MAP_READ | VIOMMU_MAP_WRITE, NULL);
    device = viommu_host_device_new_from_bdf(host, target.bdfs[1], NULL);
    tap_ok(viommu_vtd_attach_device(vm.vtd, device, VTDM_RID + 8, 0, NULL),
           "a device of another host, an iommufd of its own");
    dma_device_init(&dma, target.seam, device, NULL);
    landing =
        (Landing){.ram = &vm.ram, .dma = &dma, .home = vm.page, .pattern = VTDM_PATTERN};
    dma_load(&dma, vm.pattern, LANDING_SIZE, NULL);
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page) &&
               landing_reaches(&landing, VTDM_IOVA, vm.page),
           "... one guest table serves both");
    guest_vtd_unmap(&vm.domain, VTDM_IOVA);
    spy_reset_counts(&target.spy);
    vtdm_flush_page(&vm, VTDM_DID, 0, VTDM_IOVA);
    tap_is(spy_count(&target.spy, IOMMU_HWPT_INVALIDATE), 2,
           "... a flush is a call to each");
    tap_ok(vtdm_is_refused(&vm, 0, VTDM_IOVA) && landing_is_refused(&landing, VTDM_IOVA),
           "... and done in both");
    viommu_vtd_block(vm.vtd, NULL);
    tap_ok(landing_is_refused(&landing, vm.page) && vtdm_is_blocked(&vm, 0),
           "... a block is for both");
    viommu_vtd_release(vm.vtd, NULL);
    tap_ok(landing_reaches(&landing, vm.page, vm.page) && vtdm_is_identity(&vm, 0),
           "... a release too");
    viommu_vtd_detach_device(vm.vtd, device);
    dma_device_clear(&dma);
    viommu_host_device_free(device);
    viommu_host_free(host);
    vtdm_start(&vm, VTDM_SCALABLE);
    guest_vtd_map(&vm.domain, VTDM_IOVA, vm.page, TRUE);
    vtdm_flush_tables(&vm, VTDM_DID, 0);
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "the other gone, the first goes on");
    vtdm_clear(&vm);
    target_clear(&target);
}

/* --- aliases and groups -----------------------------------------------------------------
 */

/* Behind a bridge to conventional PCI two devices have one requester ID. */
static void test_alias(gboolean one_group)
{
    Target target;
    VtdMachine vm;

    make_devices(&target, one_group);
    if (!tap_ok(vtdm_init(&vm, &target, target.bdfs, NULL), "two devices, %s",
                one_group ? "one group" : "two groups"))
        return;
    viommu_vtd_detach_device(vm.vtd, vm.devices[1]);
    tap_ok(viommu_vtd_attach_device(vm.vtd, vm.devices[1], VTDM_RID, 0, NULL),
           "... under one requester ID");
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(both_reach(&vm, vm.page), "... one entry serves both");
    vtdm_install_pass_through(&vm, VTDM_RID);
    tap_ok(vtdm_is_identity(&vm, 0) && vtdm_is_identity(&vm, 1), "... whatever it is");
    vtdm_remove(&vm, VTDM_RID);
    tap_ok(vtdm_is_blocked(&vm, 0) && vtdm_is_blocked(&vm, 1), "... none, too");
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    viommu_vtd_detach_device(vm.vtd, vm.devices[0]);
    if (!one_group)
        tap_ok(vtdm_reaches(&vm, 1, VTDM_IOVA, vm.page), "one gone, the other goes on");
    else
        tap_ok(!vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "one gone, it reaches nothing");
    vtdm_clear(&vm);
    target_clear(&target);
}

/* Members of a group whose entries differ: blocked, and the guest is not left guessing. */
static void test_group(void)
{
    GuestVtdDomain other;
    guint64 page;
    Target target;
    VtdMachine vm;

    make_devices(&target, TRUE);
    if (!tap_ok(vtdm_init(&vm, &target, target.bdfs, NULL), "a group of two"))
        return;
    page = vtdm_alloc(&vm, GUEST_PAGE);
    guest_vtd_domain_init(&other, &vm.ram, GUEST_VTD_FIRST, 4, OTHER_DID);
    guest_vtd_map(&other, VTDM_IOVA, page, TRUE);
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_is_blocked(&vm, 0) && vtdm_is_blocked(&vm, 1),
           "one has an entry, the other none: both are blocked");
    vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
    tap_ok(both_reach(&vm, vm.page), "equal entries: both are served");
    vtdm_drain_faults(&vm);
    vtdm_install(&vm, VTDM_RID, &other);
    tap_ok(vtdm_is_blocked(&vm, 0) && vtdm_is_blocked(&vm, 1) &&
               vtdm_is_refused(&vm, 1, VTDM_IOVA),
           "entries that differ: both are blocked");
    vtdm_install(&vm, VTDM_RID + 8, &other);
    tap_ok(both_reach(&vm, page), "both moved, both are served by the other table");
    vtdm_clear(&vm);
    target_clear(&target);
}

/* --- the device goes, or is reset -------------------------------------------------------
 */

static void test_unplug(void)
{
    Target target;
    VtdMachine vm;

    make_devices(&target, FALSE);
    if (!tap_ok(vtdm_init(&vm, &target, target.bdfs, NULL), "two devices"))
        return;
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
    viommu_emulator_unplug_device(target.emulator, target.bdfs[0]);
    vtdm_install_pass_through(&vm, VTDM_RID);
    vtdm_install_pass_through(&vm, VTDM_RID + 8);
    tap_ok(vtdm_is_identity(&vm, 1), "one pulled out, entries go on");
    tap_ok(vtdm_issue(&vm, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0),
           "... and the queue");
    viommu_vtd_detach_device(vm.vtd, vm.devices[0]);
    vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
    tap_ok(vtdm_reaches(&vm, 1, VTDM_IOVA, vm.page), "... detached, too");
    vtdm_clear(&vm);
    target_clear(&target);
}

/* While Linux resets a function it answers EBUSY: blocked, then as the guest wants. */
static void test_function_reset(void)
{
    Target target;
    VtdMachine vm;

    make_devices(&target, FALSE);
    if (!tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a device"))
        return;
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install_pass_through(&vm, VTDM_RID);
    viommu_emulator_device_begin_reset(target.emulator, target.bdfs[0]);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_is_blocked(&vm, 0), "an entry changes during a PCI reset: blocked");
    viommu_emulator_device_end_reset(target.emulator, target.bdfs[0]);
    tap_is(viommu_host_device_reset_done(vm.devices[0]), VIOMMU_OK, "the reset is over");
    tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "... and the entry is bound");
    vtdm_clear(&vm);
    target_clear(&target);
}

/* --- the end ----------------------------------------------------------------------------
 */

static void test_nothing_left(void)
{
    Target target;
    VtdMachine vm;

    make_devices(&target, FALSE);
    if (!tap_ok(vtdm_init(&vm, &target, target.bdfs, NULL), "two devices in use"))
        return;
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
    vtdm_remove(&vm, VTDM_RID);
    tap_is(
        viommu_emulator_count_objects(target.emulator, VIOMMU_EMULATOR_OBJECT_HWPT_NESTED),
        1, "one entry of two: one nested HWPT");
    vtdm_remove(&vm, VTDM_RID + 8);
    tap_is(
        viommu_emulator_count_objects(target.emulator, VIOMMU_EMULATOR_OBJECT_HWPT_NESTED),
        0, "none: none");
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    viommu_vtd_detach_device(vm.vtd, vm.devices[0]);
    viommu_vtd_detach_device(vm.vtd, vm.devices[1]);
    tap_is(
        viommu_emulator_count_objects(target.emulator, VIOMMU_EMULATOR_OBJECT_HWPT_NESTED),
        0, "detached: none");
    tap_is(
        viommu_emulator_count_objects(target.emulator, VIOMMU_EMULATOR_OBJECT_FAULT_QUEUE),
        0, "... nor a fault queue");
    vtdm_clear(&vm);
    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        tap_is(viommu_emulator_count_objects(target.emulator, kind), 0,
               "in the end no %s is left", viommu_emulator_object_name(kind));
    target_clear(&target);
}

int main(int argc, char **argv)
{
    if (argc > 1 && g_str_equal(argv[1], "--device"))
        return tap_skip_all("the VM has one unit");
    test_intersection();
    test_refused();
    test_unplug_first();
    test_no_nesting();
    test_two_units();
    test_two_hosts();
    test_alias(FALSE);
    test_alias(TRUE);
    test_group();
    test_unplug();
    test_function_reset();
    test_nothing_left();
    return tap_done();
}
