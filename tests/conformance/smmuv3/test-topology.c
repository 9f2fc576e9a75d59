/* SPDX-License-Identifier: MIT */
/*
 * What depends on how a host is built: several SMMUs, IOMMU groups, SMMUs that lack
 * something, errata, resets under way, event queues that overflow. The VM has one SMMU and
 * devices in groups of their own, so this is for the emulator; that has inspectors too.
 */

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <string.h>

#include <viommu-emulator/inspect.h>

#include "machine.h"
#include "tap.h"

enum { ABORT = 0, BYPASS = 4 };

typedef struct {
    ViommuEmulator *emulator;
    Spy spy;
    char *bdfs[MACHINE_DEVICES + 1];
} Board;

static void board_init(Board *b)
{
    *b = (Board){.emulator = viommu_emulator_new()};
    spy_init(&b->spy, viommu_emulator_get_seam(b->emulator));
}

static void board_clear(Board *b)
{
    spy_clear(&b->spy);
    viommu_emulator_free(b->emulator);
    for (guint i = 0; i < MACHINE_DEVICES; i++)
        g_free(b->bdfs[i]);
}

static guint board_add_smmu(Board *b, const ViommuEmulatorSmmuv3Config *config)
{
    ViommuEmulatorSmmuv3Config defaults;

    viommu_emulator_smmuv3_defaults(&defaults);
    return viommu_emulator_add_smmuv3(b->emulator, config ? config : &defaults);
}

static void board_add_device(Board *b, guint n, guint iommu, int group)
{
    ViommuEmulatorDeviceConfig device = {
        .iommu = iommu, .stream_id = 0x100 + n, .iommu_group = group};

    b->bdfs[n] = g_strdup_printf("0000:00:%02x.0", 2 + n);
    device.bdf = b->bdfs[n];
    viommu_emulator_add_device(b->emulator, &device, NULL);
}

/* The nth device writes at MACHINE_IOVA: into the page, or nowhere. */
static gboolean reaches(Board *b, Machine *m, guint n, guint64 page)
{
    guint8 byte = 0x77;
    int ret;

    guest_memory_fill(&m->ram, m->page, 0, 1);
    if (page)
        guest_memory_fill(&m->ram, page, 0, 1);
    ret = viommu_emulator_dma(b->emulator, b->bdfs[n], MACHINE_IOVA, &byte, 1, TRUE);
    if (!page)
        return ret == -EFAULT && guest_memory_is_filled(&m->ram, m->page, 0, 1);
    return ret == 0 && guest_memory_is_filled(&m->ram, page, byte, 1);
}

static void check_nothing_left(Board *b, const char *after)
{
    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        tap_is(viommu_emulator_count_objects(b->emulator, kind), 0,
               "after %s: no %s is left", after, viommu_emulator_object_name(kind));
    tap_is(viommu_emulator_count_tombstones(b->emulator), 0,
           "after %s: no virtual ID is lost", after);
}

static void test_shared(void)
{
    Board b;
    Machine m;
    guint smmu;
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];

    board_init(&b);
    smmu = board_add_smmu(&b, NULL);
    for (guint i = 0; i < MACHINE_DEVICES; i++)
        board_add_device(&b, i, smmu, -1);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 0), "three devices behind one SMMU");
    tap_is(spy_count(&b.spy, IOMMU_VIOMMU_ALLOC), 1, "... have one host vIOMMU");
    tap_is(spy_count(&b.spy, IOMMU_HWPT_ALLOC), 3, "... with a parent, abort and bypass");
    spy_reset_counts(&b.spy);
    for (guint i = 0; i < MACHINE_DEVICES; i++)
        tap_is(machine_install_s1(&m, i, &m.domain), VIOMMU_OK,
               "an equal entry for device %u", i);
    tap_is(spy_count(&b.spy, IOMMU_HWPT_ALLOC), 1, "... by one HWPT");
    spy_reset_counts(&b.spy);
    guest_cmd_tlbi_all(command);
    tap_is(machine_command(&m, command), VIOMMU_OK, "all is invalidated");
    tap_is(b.spy.n_calls, 1, "... by one host call for all of them");
    tap_is(machine_install_config(&m, 0, ABORT), VIOMMU_OK, "one device lets go");
    tap_is(spy_count(&b.spy, IOMMU_DESTROY), 0, "... and the HWPT stays for the others");
    tap_ok(reaches(&b, &m, 0, 0) && reaches(&b, &m, 1, m.page), "... who follow it");
    machine_install_config(&m, 1, ABORT);
    machine_install_config(&m, 2, ABORT);
    tap_is(spy_count(&b.spy, IOMMU_DESTROY), 1, "with the last it goes");
    machine_clear(&m);
    check_nothing_left(&b, "sharing");
    board_clear(&b);
}

/* Have a device meet n translation faults. */
static void fault(Board *b, guint device, guint n)
{
    guint8 byte = 0;

    for (guint i = 0; i < n; i++)
        viommu_emulator_dma(b->emulator, b->bdfs[device], 0x100000 + i * 0x1000, &byte, 1,
                            FALSE);
}

static void is_read(Machine *m, gsize max, gsize want, guint64 want_lost, const char *what)
{
    guint8 events[16 * VIOMMU_SMMUV3_EVENT_SIZE];
    gsize n = 99;
    guint64 lost = 99;

    tap_is(viommu_smmuv3_accel_read_events(m->accel, events, max, &n, &lost), VIOMMU_OK,
           "%s", what);
    tap_is(n, want, "... %u of them", (guint)want);
    tap_is(lost, want_lost, "... and %u lost", (guint)want_lost);
}

static void test_two_smmus(void)
{
    Board b;
    Machine m;
    guint second;
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];

    board_init(&b);
    board_add_device(&b, 0, board_add_smmu(&b, NULL), -1);
    second = board_add_smmu(&b, NULL);
    board_add_device(&b, 1, second, -1);
    board_add_device(&b, 2, second, -1);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 0),
           "devices behind two SMMUs, one and two");
    tap_is(viommu_emulator_count_objects(b.emulator, VIOMMU_EMULATOR_OBJECT_VIOMMU), 2,
           "... have a host vIOMMU each");
    tap_is(viommu_emulator_count_objects(b.emulator, VIOMMU_EMULATOR_OBJECT_HWPT_PAGING), 2,
           "... and a parent each");
    machine_install_s1(&m, 0, &m.domain);
    machine_install_s1(&m, 1, &m.domain);
    tap_ok(reaches(&b, &m, 0, m.page) && reaches(&b, &m, 1, m.page),
           "both follow the table");
    spy_reset_counts(&b.spy);
    guest_cmd_tlbi_all(command);
    tap_is(machine_command(&m, command), VIOMMU_OK, "a TLBI");
    tap_is(spy_count(&b.spy, IOMMU_HWPT_INVALIDATE), 2, "... goes to both");
    spy_reset_counts(&b.spy);
    guest_cmd_cfgi_cd(command, MACHINE_SID + 1);
    tap_is(machine_command(&m, command), VIOMMU_OK, "a CFGI_CD");
    tap_is(spy_count(&b.spy, IOMMU_HWPT_INVALIDATE), 1, "... to the stream's own");

    fault(&b, 0, 1);
    fault(&b, 1, 2);
    is_read(&m, 16, 3, 0, "events of both");
    tap_is(m.n_watched, 2, "two event queues are watched");
    viommu_smmuv3_accel_detach_device(m.accel, m.devices[0]);
    tap_is(m.n_watched, 1, "... and one when the last device behind it has gone");
    tap_is(viommu_emulator_count_objects(b.emulator, VIOMMU_EMULATOR_OBJECT_VIOMMU), 1,
           "with the last device of an SMMU its host vIOMMU goes");
    tap_ok(viommu_emulator_device_is_blocked(b.emulator, b.bdfs[0]),
           "... and the device is blocked");
    tap_ok(reaches(&b, &m, 1, m.page), "... and the other is not disturbed");
    machine_clear(&m);
    check_nothing_left(&b, "two SMMUs");
    board_clear(&b);
}

static void test_incompatible(void)
{
    const ViommuHostConfig config = {.iommufd = -1};
    ViommuEmulatorSmmuv3Config smmu;
    ViommuSmmuv3AccelConfig accel_config = {0};
    g_autoptr(GError) error = NULL;
    ViommuHostConfig with_seam = config;
    ViommuSmmuv3Accel *accel;
    ViommuHost *host;
    ViommuHostDevice *first, *second;
    Board b;

    board_init(&b);
    with_seam.seam = &b.spy.seam;
    board_add_device(&b, 0, board_add_smmu(&b, NULL), -1);
    viommu_emulator_smmuv3_defaults(&smmu);
    smmu.idr[3] &= ~(1u << 10);
    board_add_device(&b, 1, board_add_smmu(&b, &smmu), -1);
    viommu_emulator_smmuv3_defaults(&smmu);
    smmu.canwbs = FALSE;
    smmu.idr[3] &= ~(1u << 8);
    board_add_device(&b, 2, board_add_smmu(&b, &smmu), -1);
    host = viommu_host_new(&with_seam, NULL);
    first = viommu_host_device_new_from_bdf(host, b.bdfs[0], NULL);
    second = viommu_host_device_new_from_bdf(host, b.bdfs[1], NULL);
    guest_idr(accel_config.idr, viommu_host_device_get_info(first));
    accel = viommu_smmuv3_accel_new(host, &accel_config, NULL);
    tap_ok(viommu_smmuv3_accel_attach_device(accel, first, 1, &error), "an SMMU with RIL");
    tap_ok(!viommu_smmuv3_accel_attach_device(accel, second, 2, &error),
           "a device behind one without is refused at attach");
    tap_has(error->message, "IDR3.RIL 1, the host's 0", "... naming field and both values");
    g_clear_error(&error);
    tap_ok(!viommu_smmuv3_accel_set_stream_id(accel, second, 3, &error),
           "it has no stream to number");
    g_clear_error(&error);
    viommu_host_device_free(second);
    second = viommu_host_device_new_from_bdf(host, b.bdfs[2], NULL);
    tap_ok(!viommu_smmuv3_accel_attach_device(accel, second, 2, &error),
           "an SMMU that cannot keep DMA coherent is refused");
    tap_has(error->message, "CANWBS", "... naming what it lacks");
    g_clear_error(&error);
    tap_ok(!viommu_smmuv3_accel_attach_device(accel, second, 1, &error),
           "a taken StreamID is refused");
    tap_has(error->message, b.bdfs[0], "... naming who has it");
    viommu_smmuv3_accel_free(accel);
    viommu_host_device_free(first);
    viommu_host_device_free(second);
    viommu_host_free(host);
    check_nothing_left(&b, "refusals");
    board_clear(&b);
}

/* Guest memory where the device has its MSI window. */
static void test_reserved(void)
{
    const ViommuHostConfig config = {.iommufd = -1};
    ViommuHostConfig with_seam = config;
    ViommuSmmuv3AccelConfig accel_config = {0};
    const ViommuHostDeviceInfo *info;
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *page = g_aligned_alloc0(1, 0x10000, 0x10000);
    ViommuSmmuv3Accel *accel;
    ViommuHost *host;
    ViommuHostDevice *device;
    Board b;

    board_init(&b);
    with_seam.seam = &b.spy.seam;
    board_add_device(&b, 0, board_add_smmu(&b, NULL), -1);
    host = viommu_host_new(&with_seam, NULL);
    device = viommu_host_device_new_from_bdf(host, b.bdfs[0], NULL);
    info = viommu_host_device_get_info(device);
    tap_is(info->n_reserved, 1, "the device tells of a reserved region");
    tap_ok(info->reserved[0].start == 0x8000000 && info->reserved[0].last == 0x80fffff &&
               info->reserved[0].msi,
           "... which is the MSI window");
    tap_ok(viommu_host_map(host, 0x8000000, 0x10000, page, VIOMMU_MAP_READ, &error),
           "memory is mapped there before any attach");
    guest_idr(accel_config.idr, info);
    accel = viommu_smmuv3_accel_new(host, &accel_config, NULL);
    tap_ok(!viommu_smmuv3_accel_attach_device(accel, device, 1, &error),
           "the attach is refused");
    tap_has(error->message, "0x8000000-0x80fffff", "... naming the region");
    tap_has(error->message, "MSI", "... and what it is");
    viommu_smmuv3_accel_free(accel);
    viommu_host_device_free(device);
    viommu_host_free(host);
    g_aligned_free(g_steal_pointer(&page));
    check_nothing_left(&b, "the refusal");
    board_clear(&b);
}

static void test_group(void)
{
    GuestDomain second;
    guint64 other;
    Board b;
    Machine m;
    guint smmu;

    board_init(&b);
    smmu = board_add_smmu(&b, NULL);
    board_add_device(&b, 0, smmu, 7);
    board_add_device(&b, 1, smmu, 7);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 0), "two devices of one IOMMU group");
    other = guest_memory_alloc(&m.ram);
    guest_domain_init(&second, &m.ram, MACHINE_ASID + 1);
    tap_is(machine_install_s1(&m, 0, &m.domain), VIOMMU_OK, "an entry for one");
    tap_ok(reaches(&b, &m, 0, 0), "... while the other is blocked, both are");
    tap_is(machine_install_s1(&m, 1, &m.domain), VIOMMU_OK, "the same for the other");
    tap_ok(reaches(&b, &m, 0, m.page) && reaches(&b, &m, 1, m.page),
           "... and both follow it");
    guest_domain_map(&second, MACHINE_IOVA, other, TRUE);
    tap_is(machine_install_s1(&m, 1, &second), VIOMMU_UNSUPPORTED,
           "a different one is refused");
    tap_has(m.refusal, "group 7", "... naming the group");
    tap_ok(reaches(&b, &m, 1, 0), "... and blocks");
    tap_ok(reaches(&b, &m, 0, 0), "... both");
    spy_reset_counts(&b.spy);
    tap_is(machine_install_s1(&m, 1, &second), VIOMMU_UNSUPPORTED, "again");
    tap_is(spy_count(&b.spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 0, "... without an attach");
    tap_is(machine_install_s1(&m, 0, &second), VIOMMU_OK, "until the first wants that too");
    tap_ok(reaches(&b, &m, 0, other) && reaches(&b, &m, 1, other), "... and both have it");
    tap_is(machine_install_config(&m, 0, BYPASS), VIOMMU_UNSUPPORTED, "and on to bypass");
    tap_is(machine_install_config(&m, 1, BYPASS), VIOMMU_OK, "... one after the other");
    tap_is(machine_install_s1(&m, 0, &m.domain), VIOMMU_UNSUPPORTED, "and back");
    tap_is(machine_install_s1(&m, 1, &m.domain), VIOMMU_OK, "agreed again");
    tap_ok(reaches(&b, &m, 0, m.page) && reaches(&b, &m, 1, m.page), "... both go on");
    tap_is(machine_install_config(&m, 0, ABORT), VIOMMU_OK, "one aborts");
    tap_ok(reaches(&b, &m, 0, 0) && reaches(&b, &m, 1, 0), "... and the other with it");
    viommu_smmuv3_accel_detach_device(m.accel, m.devices[0]);
    tap_ok(reaches(&b, &m, 1, 0), "a member in nobody's hands blocks the group");
    viommu_host_device_free(m.devices[0]);
    tap_ok(reaches(&b, &m, 1, 0), "... also once it is given back: SMMUv3 wants all named");
    spy_reset_counts(&b.spy);
    tap_is(machine_install_s1(&m, 1, &m.domain), VIOMMU_UNSUPPORTED,
           "an equal entry for the other");
    tap_is(spy_count(&b.spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 2,
           "... is tried again, not taken for done");
    m.devices[0] = m.devices[1];
    m.n_devices = 1;
    machine_clear(&m);
    check_nothing_left(&b, "groups");
    board_clear(&b);
}

/* While one of a group is reset, the others cannot be changed either. */
static void test_group_reset(void)
{
    Board b;
    Machine m;
    guint smmu;

    board_init(&b);
    smmu = board_add_smmu(&b, NULL);
    board_add_device(&b, 0, smmu, 7);
    board_add_device(&b, 1, smmu, 7);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 0), "a group");
    machine_install_s1(&m, 0, &m.domain);
    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    tap_is(machine_install_s1(&m, 1, &m.domain), VIOMMU_TRANSIENT,
           "while one is reset, a change of the other is put off");
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    tap_is(viommu_host_device_reset_done(m.devices[0]), VIOMMU_OK, "the end of the reset");
    tap_ok(reaches(&b, &m, 0, m.page) && reaches(&b, &m, 1, m.page), "... lets both go on");
    machine_clear(&m);
    check_nothing_left(&b, "the reset of a group");
    board_clear(&b);
}

/* A device opened later than the rest of its group is attached. */
static void test_newcomer(void)
{
    g_autoptr(GError) error = NULL;
    ViommuHostDevice *newcomer;
    char *first[] = {NULL, NULL};
    Board b;
    Machine m;
    guint smmu;

    board_init(&b);
    smmu = board_add_smmu(&b, NULL);
    board_add_device(&b, 0, smmu, 7);
    board_add_device(&b, 1, smmu, 7);
    first[0] = b.bdfs[0];
    tap_ok(machine_init(&m, &b.spy.seam, first, 0), "one of a group");
    tap_is(machine_install_config(&m, 0, BYPASS), VIOMMU_OK, "... bypasses");
    spy_fail(&b.spy, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, EIO, 99);
    newcomer = viommu_host_device_new_from_bdf(m.host, b.bdfs[1], &error);
    tap_ok(!newcomer, "the other is not taken while its DMA cannot be refused");
    tap_has(error->message, "group 7", "... and that is said");
    spy_fail_none(&b.spy);
    g_clear_error(&error);
    newcomer = viommu_host_device_new_from_bdf(m.host, b.bdfs[1], &error);
    tap_ok(newcomer != NULL, "it is taken when it can");
    tap_ok(viommu_emulator_device_is_blocked(b.emulator, b.bdfs[0]) &&
               viommu_emulator_device_is_blocked(b.emulator, b.bdfs[1]),
           "... and both are blocked");
    tap_ok(viommu_smmuv3_accel_attach_device(m.accel, newcomer, MACHINE_SID + 1, &error),
           "it is attached");
    tap_is(machine_install_s1(&m, 0, &m.domain), VIOMMU_OK, "an entry for the one");
    tap_is(machine_install_s1(&m, 1, &m.domain), VIOMMU_OK, "and for the newcomer");
    tap_ok(reaches(&b, &m, 0, m.page) && reaches(&b, &m, 1, m.page),
           "... and both follow it");
    m.devices[m.n_devices++] = newcomer;
    machine_clear(&m);
    check_nothing_left(&b, "the newcomer");
    board_clear(&b);
}

static void test_release(void)
{
    g_autoptr(GError) error = NULL;
    Board b;
    Machine m;
    guint smmu;

    board_init(&b);
    smmu = board_add_smmu(&b, NULL);
    board_add_device(&b, 0, smmu, -1);
    board_add_device(&b, 1, smmu, -1);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 0), "two devices");
    viommu_smmuv3_accel_set_stream_id(m.accel, m.devices[1], VIOMMU_SMMUV3_SID_UNKNOWN,
                                      NULL);
    tap_ok(viommu_smmuv3_accel_release(m.accel, TRUE, &error), "released to bypass");
    tap_ok(!viommu_emulator_device_is_blocked(b.emulator, b.bdfs[0]), "... is the one");
    tap_ok(viommu_emulator_device_is_blocked(b.emulator, b.bdfs[1]),
           "... not that without StreamID");
    tap_ok(viommu_smmuv3_accel_block(m.accel, &error), "blocked");
    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    tap_ok(!viommu_smmuv3_accel_release(m.accel, TRUE, &error),
           "a release in the midst of a reset");
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    tap_is(viommu_host_device_reset_done(m.devices[0]), VIOMMU_OK,
           "... is not made up for later");
    tap_ok(viommu_emulator_device_is_blocked(b.emulator, b.bdfs[0]),
           "... behind the guest's back");
    machine_clear(&m);
    check_nothing_left(&b, "a release");
    board_clear(&b);
}

/* What the host refuses to let go of for a while is let go of later. */
static void test_reluctant_host(void)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];
    Board b;
    Machine m;

    board_init(&b);
    board_add_device(&b, 0, board_add_smmu(&b, NULL), -1);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 0), "a device");
    machine_install_s1(&m, 0, &m.domain);
    spy_fail(&b.spy, 0, 1, EINVAL, 99);
    tap_is(machine_install_config(&m, 0, ABORT), VIOMMU_HOST_GONE,
           "a host that does nothing");
    spy_fail_none(&b.spy);
    guest_cmd_tlbi_all(command);
    tap_is(machine_command(&m, command), VIOMMU_OK, "and then does");
    tap_is(viommu_emulator_count_objects(b.emulator, VIOMMU_EMULATOR_OBJECT_HWPT_NESTED), 2,
           "has no HWPT left but abort and bypass");
    spy_fail(&b.spy, IOMMU_DESTROY, 1, EIO, 3);
    viommu_smmuv3_accel_detach_device(m.accel, m.devices[0]);
    spy_fail_none(&b.spy);
    machine_clear(&m);
    check_nothing_left(&b, "reluctance");
    board_clear(&b);
}

/* Hosts and what is made from them. */
static void test_ownership(void)
{
    const ViommuHostConfig config = {.iommufd = -1};
    ViommuHostConfig with_seam = config;
    ViommuSmmuv3AccelConfig accel_config = {0};
    g_autoptr(GError) error = NULL;
    ViommuSmmuv3Accel *accel;
    ViommuHostDevice *device;
    ViommuHost *host, *other;
    Board b;

    board_init(&b);
    with_seam.seam = &b.spy.seam;
    board_add_device(&b, 0, board_add_smmu(&b, NULL), -1);
    host = viommu_host_new(&with_seam, NULL);
    other = viommu_host_new(&with_seam, NULL);
    device = viommu_host_device_new_from_bdf(other, b.bdfs[0], NULL);
    guest_idr(accel_config.idr, viommu_host_device_get_info(device));
    accel = viommu_smmuv3_accel_new(host, &accel_config, NULL);
    tap_ok(!viommu_smmuv3_accel_attach_device(accel, device, 1, &error),
           "a device of another host is refused");
    tap_has(error->message, "another host", "... and that is said");
    viommu_host_free(host);
    tap_is(viommu_smmuv3_accel_install_ste(accel, 1, NULL), VIOMMU_OK,
           "a host is kept while a vIOMMU is there, a device or not");
    viommu_smmuv3_accel_free(accel);
    viommu_host_free(host);
    viommu_host_device_free(device);
    viommu_host_free(other);
    check_nothing_left(&b, "ownership");
    board_clear(&b);
}

static void test_reset_window(void)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];
    Board b;
    Machine m;

    board_init(&b);
    board_add_device(&b, 0, board_add_smmu(&b, NULL), -1);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 0), "a device");
    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    tap_is(machine_install_s1(&m, 0, &m.domain), VIOMMU_TRANSIENT, "which is being reset");
    tap_ok(reaches(&b, &m, 0, 0), "... is blocked");
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    tap_ok(reaches(&b, &m, 0, 0), "... also right after");
    tap_is(viommu_host_device_reset_done(m.devices[0]), VIOMMU_OK,
           "until the VMM says it is over");
    tap_ok(reaches(&b, &m, 0, m.page), "... and then follows its table");

    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    tap_is(machine_install_config(&m, 0, BYPASS), VIOMMU_TRANSIENT, "another reset");
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    tap_is(machine_install_s1(&m, 0, &m.domain), VIOMMU_OK, "what is asked for later");
    guest_cmd_tlbi_all(command);
    tap_is(machine_command(&m, command), VIOMMU_OK, "... is not undone");
    tap_ok(reaches(&b, &m, 0, m.page), "... by what was put off before");
    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    tap_is(machine_install_config(&m, 0, BYPASS), VIOMMU_TRANSIENT, "and another");
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    viommu_smmuv3_accel_detach_device(m.accel, m.devices[0]);
    tap_is(machine_command(&m, command), VIOMMU_OK, "a device that has gone");
    tap_ok(reaches(&b, &m, 0, 0), "... has nothing put off");
    machine_clear(&m);
    check_nothing_left(&b, "a reset");
    board_clear(&b);
}

static void test_erratum(void)
{
    ViommuEmulatorSmmuv3Config smmu;
    guint8 commands[3 * VIOMMU_SMMUV3_COMMAND_SIZE];
    guint64 other;
    gsize handled;
    Board b;
    Machine m;

    board_init(&b);
    viommu_emulator_smmuv3_defaults(&smmu);
    smmu.repeat_tlbi_cfgi = TRUE;
    board_add_device(&b, 0, board_add_smmu(&b, &smmu), -1);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 0), "an SMMU with the repeat erratum");
    machine_install_s1(&m, 0, &m.domain);
    guest_cmd_tlbi_va(commands, MACHINE_ASID, MACHINE_IOVA);
    guest_cmd_cfgi_cd(commands + 16, MACHINE_SID);
    guest_cmd_sync(commands + 32);
    spy_reset_counts(&b.spy);
    tap_is(viommu_smmuv3_accel_invalidate(m.accel, commands, 3, &handled), VIOMMU_OK,
           "TLBI and CFGI");
    tap_is(spy_count(&b.spy, IOMMU_HWPT_INVALIDATE), 2, "... go out twice");
    spy_reset_counts(&b.spy);
    tap_is(machine_install_s1(&m, 0, &m.domain), VIOMMU_OK, "what an unchanged entry owes");
    tap_is(spy_count(&b.spy, IOMMU_HWPT_INVALIDATE), 2, "... as well");
    tap_is(m.n_invalidated, 2 * 2 + 2 * 1, "each of them twice, and no oftener");

    tap_ok(reaches(&b, &m, 0, m.page), "a page is cached");
    other = guest_memory_alloc(&m.ram);
    guest_domain_map(&m.domain, MACHINE_IOVA, other, TRUE);
    guest_cmd_tlbi_asid(commands + 16, 0x77);
    guest_cmd_tlbi_va(commands + 32, MACHINE_ASID, 0x9000);
    spy_fail_pattern(&b.spy, IOMMU_HWPT_INVALIDATE, "x..x", EIO);
    tap_is(viommu_smmuv3_accel_invalidate(m.accel, commands, 3, &handled),
           VIOMMU_GUEST_INVALID, "TLBIs, and one that the host refuses");
    tap_is(handled, 2, "... with two done");
    tap_ok(reaches(&b, &m, 0, other), "... and done twice, as this host needs it");
    guest_domain_map(&m.domain, MACHINE_IOVA, m.page, TRUE);
    spy_fail(&b.spy, IOMMU_HWPT_INVALIDATE, 2, EIO, 9);
    tap_is(viommu_smmuv3_accel_invalidate(m.accel, commands, 3, &handled), VIOMMU_HOST_GONE,
           "a host that refuses at the second time what it took at the first");
    spy_fail_none(&b.spy);
    machine_clear(&m);
    board_clear(&b);
}

static gboolean ats_reaches(Board *b, GuestMemory *ram, guint64 page)
{
    guint8 byte = 0x77;

    guest_memory_fill(ram, page, 0, 1);
    viommu_emulator_dma(b->emulator, b->bdfs[0], MACHINE_IOVA, &byte, 1, TRUE);
    return guest_memory_is_filled(ram, page, byte, 1);
}

/* ATC_INV goes down only for a stream whose entry has ATS, and whose device can have it. */
static void test_ats(gboolean device_has_ats)
{
    ViommuEmulatorSmmuv3Config smmu;
    ViommuEmulatorDeviceConfig function = {.stream_id = 1, .iommu_group = -1};
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    ViommuSmmuv3AccelConfig accel_config = {0};
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE], command[VIOMMU_SMMUV3_COMMAND_SIZE];
    ViommuSmmuv3Accel *accel;
    ViommuHostDevice *device;
    ViommuHost *host;
    GuestMemory ram;
    GuestDomain domain;
    guint64 page, other;
    gsize handled;
    Board b;

    board_init(&b);
    config.seam = &b.spy.seam;
    viommu_emulator_smmuv3_defaults(&smmu);
    smmu.idr[0] |= 1u << 10;
    b.bdfs[0] = g_strdup("0000:00:02.0");
    function.bdf = b.bdfs[0];
    function.iommu = board_add_smmu(&b, &smmu);
    function.ats = device_has_ats;
    viommu_emulator_add_device(b.emulator, &function, NULL);
    host = viommu_host_new(&config, NULL);
    guest_memory_init(&ram, host, MACHINE_RAM_BASE, MACHINE_RAM_SIZE, FALSE, NULL);
    guest_domain_init(&domain, &ram, 1);
    page = guest_memory_alloc(&ram);
    other = guest_memory_alloc(&ram);
    guest_domain_map(&domain, MACHINE_IOVA, page, TRUE);
    device = viommu_host_device_new_from_bdf(host, b.bdfs[0], NULL);
    guest_idr(accel_config.idr, viommu_host_device_get_info(device));
    accel_config.idr[0] |= 1u << 10;
    accel = viommu_smmuv3_accel_new(host, &accel_config, NULL);
    tap_ok(viommu_smmuv3_accel_attach_device(accel, device, 0, NULL),
           "a device %s ATS, at StreamID 0", device_has_ats ? "with" : "without");
    guest_ste_s1(ste, &domain);
    guest_cmd_raw(command, 0x40, 52);
    tap_is(viommu_smmuv3_accel_install_ste(accel, 0, ste), VIOMMU_OK,
           "an entry without ATS");
    spy_reset_counts(&b.spy);
    tap_is(viommu_smmuv3_accel_invalidate(accel, command, 1, &handled), VIOMMU_OK,
           "an ATC_INV");
    tap_is(b.spy.n_calls, 0, "... completes without the host");

    ste[11] |= 1 << 4; /* EATS 1 */
    tap_is(viommu_smmuv3_accel_install_ste(accel, 0, ste), VIOMMU_OK, "an entry with ATS");
    tap_ok(ats_reaches(&b, &ram, page), "... which DMA follows");
    guest_domain_map(&domain, MACHINE_IOVA, other, TRUE);
    guest_cmd_tlbi_all(command);
    viommu_smmuv3_accel_invalidate(accel, command, 1, &handled);
    tap_is(ats_reaches(&b, &ram, page), device_has_ats, "the device's own cache is %s",
           device_has_ats ? "stale after a TLBI" : "not there");
    guest_cmd_raw(command, 0x40, 52);
    spy_reset_counts(&b.spy);
    tap_is(viommu_smmuv3_accel_invalidate(accel, command, 1, &handled), VIOMMU_OK,
           "an ATC_INV");
    tap_is(b.spy.n_calls, device_has_ats, "... %s",
           device_has_ats ? "goes to the host" : "completes without the host all the same");
    tap_ok(ats_reaches(&b, &ram, other), "... and DMA follows the new table");
    viommu_smmuv3_accel_free(accel);
    viommu_host_device_free(device);
    guest_memory_clear(&ram);
    viommu_host_free(host);
    check_nothing_left(&b, "ATS");
    board_clear(&b);
}

/* A device that nobody here can make do DMA. */
static void test_other_device(void)
{
    const ViommuHostConfig config = {.iommufd = -1};
    ViommuHostConfig with_seam = config;
    g_autoptr(GError) error = NULL;
    ViommuHostDevice *device;
    ViommuHost *host;
    DmaDevice dma;
    Board b;
    ViommuEmulatorDeviceConfig nic = {.bdf = "0000:00:05.0",
                                      .stream_id = 1,
                                      .iommu_group = -1,
                                      .vendor_id = 0x8086,
                                      .device_id = 0x10d3};

    board_init(&b);
    with_seam.seam = &b.spy.seam;
    nic.iommu = board_add_smmu(&b, NULL);
    viommu_emulator_add_device(b.emulator, &nic, NULL);
    host = viommu_host_new(&with_seam, NULL);
    device = viommu_host_device_new_from_bdf(host, nic.bdf, NULL);
    tap_ok(!dma_device_init(&dma, &b.spy.seam, device, &error),
           "a device without a driver here");
    tap_has(error->message, "8086:10d3", "... is refused by its ID");
    viommu_host_device_free(device);
    viommu_host_free(host);
    board_clear(&b);
}

static void test_events(void)
{
    Board b;
    Machine m;
    struct pollfd fd = {.events = POLLIN};

    board_init(&b);
    board_add_device(&b, 0, board_add_smmu(&b, NULL), -1);
    tap_ok(machine_init(&m, &b.spy.seam, b.bdfs, 4), "an event queue of 4");
    machine_install_s1(&m, 0, &m.domain);
    fd.fd = m.event_fd;
    tap_is(poll(&fd, 1, 0), 0, "its descriptor is quiet");
    is_read(&m, 16, 0, 0, "no events");
    fault(&b, 0, 3);
    tap_is(poll(&fd, 1, 0), 1, "and readable after a fault");
    is_read(&m, 2, 2, 0, "two events");
    is_read(&m, 16, 1, 0, "the third");
    tap_is(poll(&fd, 1, 0), 0, "quiet again");
    fault(&b, 0, 10);
    is_read(&m, 16, 4, 6, "ten events in a queue of four");
    fault(&b, 0, 2);
    is_read(&m, 16, 2, 0, "later ones are counted anew");
    fault(&b, 0, 6);
    is_read(&m, 3, 3, 0, "six events, three read");
    fault(&b, 0, 2);
    is_read(&m, 16, 3, 2, "two lost in the middle");

    viommu_emulator_set_event_sequence(b.emulator, G_MAXINT32 - 1);
    fault(&b, 0, 4);
    is_read(&m, 16, 4, G_MAXINT32 - 1 - 23, "a jump in the numbering is a loss");
    fault(&b, 0, 1);
    is_read(&m, 16, 1, 0, "the wrap at INT_MAX is none");
    machine_clear(&m);
    check_nothing_left(&b, "events");
    board_clear(&b);
}

int main(void)
{
    test_shared();
    test_two_smmus();
    test_incompatible();
    test_reserved();
    test_group();
    test_group_reset();
    test_newcomer();
    test_release();
    test_reluctant_host();
    test_ownership();
    test_reset_window();
    test_erratum();
    test_ats(FALSE);
    test_ats(TRUE);
    test_other_device();
    test_events();
    return tap_done();
}
