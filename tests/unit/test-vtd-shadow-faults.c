/* SPDX-License-Identifier: MIT */
/*
 * Shadows of a guest VT-d unit when things go wrong: host calls that fail, devices that are
 * reset or share a group, tables made by a guest that means harm. What a device sees never
 * is more than what is granted, the guest is told, and it comes right again. On every
 * backend; every host call is watched by shadow-machine.h.
 */

#include "shadow-machine.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <viommu/viommu.h>

#include "tap.h"

enum { DID = 20, OTHER_DID = 21, R = VIOMMU_MAP_READ, W = VIOMMU_MAP_WRITE, RW = R | W };

static guint64 iova(guint page)
{
    return SM_IOVA + (guint64)page * SM_PAGE;
}

static gboolean is_legacy(const ShadowMachineOptions *options)
{
    return !g_strcmp0(options->backend, "legacy");
}

/* A machine whose first n devices are in a domain with four pages, each a mapping. */
static gboolean init(ShadowMachine *m, const ShadowMachineOptions *options,
                     GuestVtdDomain *d, guint n)
{
    if (!sm_init(m, options))
        return FALSE;
    sm_start(m, VTDM_LEGACY);
    sm_watch(m, iova(0), 8);
    sm_domain(m, d, DID);
    for (guint i = 0; i < 4; i++)
        sm_map(m, d, iova(i), 10 - 2 * i, 1, RW);
    for (guint i = 0; i < n; i++) {
        sm_install(m, i, d);
        if (!sm_end(m))
            tap_ok(FALSE, "device %u has a domain of four pages", i);
    }
    return TRUE;
}

static gboolean is_told(ShadowMachine *m, guint device, guint reason, guint64 address)
{
    VtdmFault fault = {0};

    return vtdm_next_fault(&m->vm, &fault) && fault.rid == VTDM_RID + 8 * device &&
           fault.reason == reason && fault.address == address;
}

static gboolean nothing_told(ShadowMachine *m)
{
    return vtdm_fault_reason(&m->vm) == 0;
}

/* --- maps that fail ---------------------------------------------------------------------
 */

static void test_map_fails(const ShadowMachineOptions *options, int err)
{
    GuestVtdDomain d;
    ShadowMachine m;

    if (!init(&m, options, &d, 1))
        return;
    for (guint nth = 1; nth <= 4; nth++) {
        for (guint i = 0; i < 4; i++)
            sm_map(&m, &d, iova(i), 12 * nth - 2 * i, 1, RW);
        spy_fail(&m.watch.spy, m.map_call, nth, err, err == ENOMEM ? 3 : 1);
        tap_ok(sm_flush_domain(&m, DID) && sm_end_doubtful(&m), "%s of map %u",
               g_strerror(err), nth);
        for (guint i = 0; i < 4; i++)
            tap_ok(!sm_see(&m, 0, iova(i)).rights == (i == nth - 1), "... page %u is %s", i,
                   i == nth - 1 ? "lacking" : "there");
        tap_ok(is_told(&m, 0, VTDM_F_PAGE_ACCESS, iova(nth - 1)) && nothing_told(&m),
               "... the guest is told of it");
        tap_ok(sm_flush_page(&m, DID, iova(nth - 1)) && sm_end(&m) && nothing_told(&m),
               "... and gets it when it asks again");
    }
    sm_clear(&m);
}

/* --- unmaps that fail -------------------------------------------------------------------
 */

static gboolean init_three(ShadowMachine *m, const ShadowMachineOptions *options,
                           GuestVtdDomain *d, GuestVtdDomain *other)
{
    if (!init(m, options, d, 2))
        return FALSE;
    sm_domain(m, other, OTHER_DID);
    sm_map(m, other, iova(0), 40, 2, RW);
    sm_install(m, 2, other);
    tap_ok(sm_end(m), "two devices in a domain, one in another");
    sm_map(m, d, iova(0), 0, 2, 0);
    sm_map(m, d, iova(2), 30, 3, R);
    return TRUE;
}

/* told: the copy cannot be kept, so the devices are blocked, and have it anew. */
static void test_unmap_fails(const ShadowMachineOptions *options, guint nth, guint times,
                             gboolean told)
{
    GuestVtdDomain d, other;
    ShadowMachine m;

    if (!init_three(&m, options, &d, &other))
        return;
    spy_fail(&m.watch.spy, m.unmap_call, nth, EIO, times);
    tap_ok(sm_flush_pages(&m, DID, iova(0), 3), "unmap %u fails, %u times", nth, times);
    tap_ok(m.watch.spy.hit && sm_end(&m), "... all have their tables as they are now");
    if (told)
        tap_ok(is_told(&m, 0, VTDM_F_PAGE_ACCESS, 0) ||
                   is_told(&m, 0, VTDM_F_PAGE_ACCESS, 0),
               "... and were told");
    else
        tap_ok(nothing_told(&m), "... which they never lost, and nothing is told");
    vtdm_drain_faults(&m.vm);
    spy_fail_none(&m.watch.spy);
    sm_map(&m, &d, iova(3), 50, 1, RW);
    tap_ok(sm_flush_page(&m, DID, iova(3)) && sm_end(&m) && nothing_told(&m),
           "... and it goes on");
    sm_clear(&m);
}

static void count_failed_detach(const ViommuTraceRecord *record, void *user_data)
{
    guint *n = user_data;

    if (record->point == VIOMMU_TRACE_DETACH && record->result != VIOMMU_OK)
        ++*n;
}

/*
 * Nor does the host detach the device, for which a container too has to unmap: then nothing
 * is told done.
 */
static void test_at_large(const ShadowMachineOptions *options)
{
    GuestVtdDomain d, other;
    guint n_failed = 0;
    ShadowMachine m;

    if (!init_three(&m, options, &d, &other))
        return;
    viommu_host_set_trace(m.vm.host, count_failed_detach, &n_failed);
    spy_fail(&m.watch.spy, m.unmap_call, 1, EIO, G_MAXUINT);
    if (!is_legacy(options))
        viommu_emulator_fail_call(m.vm.emulator, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, EIO,
                                  TRUE);
    for (guint tries = 0; tries < 2; tries++) {
        tap_ok(!sm_flush_pages(&m, DID, iova(0), 3),
               "neither unmapped nor detached: not told done");
        sm_end_doubtful(&m);
        tap_ok(vtdm_get(&m.vm, VTDM_FSTS) & VTDM_ITE, "... but ITE");
        tap_ok(n_failed > 0, "... and the VMM is told");
        n_failed = 0;
        vtdm_clear_queue_errors(&m.vm);
    }
    spy_fail_none(&m.watch.spy);
    viommu_emulator_fail_call(m.vm.emulator, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, 0, FALSE);
    tap_ok(sm_flush_pages(&m, DID, iova(0), 3) && sm_end(&m),
           "submitted again, it is done");
    tap_ok(!sm_see(&m, 0, iova(0)).rights && sm_see(&m, 0, iova(2)).rights,
           "... and the devices have their table");
    sm_clear(&m);
}

/* Memory comes, and what the guest took back meanwhile cannot be unmapped. */
static void test_plug_fails(const ShadowMachineOptions *options)
{
    GuestVtdDomain d;
    ShadowMachine m;

    if (!init(&m, options, &d, 2))
        return;
    sm_put(&m, &d, iova(5), 1, SM_HOT_RAM | GUEST_SS_R | GUEST_SS_W);
    tap_ok(sm_flush_page(&m, DID, iova(5)) && sm_end(&m) && sm_unplug(&m, NULL) &&
               sm_end(&m),
           "memory goes");
    sm_map(&m, &d, iova(0), 0, 1, 0);
    spy_fail(&m.watch.spy, m.unmap_call, 1, EIO, 3);
    tap_ok(sm_plug(&m, NULL), "and comes, with a host that does not unmap");
    spy_fail_none(&m.watch.spy);
    sm_end_doubtful(&m);
    tap_ok(sm_is_blind(&m, 0) && sm_is_blind(&m, 1), "... the devices are blocked");
    tap_ok(is_told(&m, 0, VTDM_F_PAGE_ACCESS, 0) || is_told(&m, 0, VTDM_F_PAGE_ACCESS, 0),
           "... and the guest is told");
    vtdm_drain_faults(&m.vm);
    tap_ok(sm_flush_page(&m, DID, iova(0)) && sm_end(&m),
           "they have their table with the guest's next descriptor");
    sm_clear(&m);
}

/* Of two containers one does not take a page, and the other does not give it back. */
static void test_undo_fails(const ShadowMachineOptions *options, gboolean for_long)
{
    GuestVtdDomain d;
    ShadowMachine m;

    if (!init(&m, options, &d, 2))
        return;
    sm_map(&m, &d, iova(4), 20, 1, RW);
    viommu_emulator_fail_call(m.vm.emulator, m.map_call, 2, EFAULT, FALSE);
    spy_fail(&m.watch.spy, m.unmap_call, 1, EIO, for_long ? G_MAXUINT : 3);
    tap_ok(sm_flush_page(&m, DID, iova(4)) != for_long,
           "a page for one of two that cannot be undone: %stold done",
           for_long ? "not " : "");
    sm_end_doubtful(&m);
    tap_ok(m.watch.spy.hit && (for_long || is_told(&m, 0, VTDM_F_PAGE_ACCESS, iova(4)) ||
                               is_told(&m, 0, VTDM_F_PAGE_ACCESS, iova(4))),
           "... which failed, and the guest knows");
    if (!for_long)
        tap_ok(sm_see(&m, 0, iova(0)).rights && sm_see(&m, 1, iova(3)).rights,
               "... and both have the others");
    spy_fail_none(&m.watch.spy);
    vtdm_clear_queue_errors(&m.vm);
    vtdm_drain_faults(&m.vm);
    tap_ok(sm_flush_page(&m, DID, iova(4)) && sm_end(&m), "asked again, both have it");
    sm_map(&m, &d, iova(4), 0, 1, 0);
    tap_ok(sm_flush_page(&m, DID, iova(4)) && sm_end(&m), "taken back, neither has");
    sm_clear(&m);
}

/* --- a copy that cannot be made, or attached --------------------------------------------
 */

static void test_new_fails(const ShadowMachineOptions *options, unsigned long call, int err)
{
    GuestVtdDomain d, other;
    ShadowMachine m;
    guint before;

    if (!init(&m, options, &d, 1))
        return;
    before = sm_all_objects(&m);
    sm_domain(&m, &other, OTHER_DID);
    sm_map(&m, &other, iova(0), 40, 4, RW);
    viommu_emulator_fail_call(m.vm.emulator, call, 1, err, TRUE);
    sm_install(&m, 0, &other);
    tap_ok(sm_end_doubtful(&m) && sm_is_blind(&m, 0), "no copy to be had: blocked, by %s",
           g_strerror(err));
    tap_ok(is_told(&m, 0, VTDM_F_PAGE_ACCESS, 0) && nothing_told(&m), "... and told, once");
    tap_ok(sm_all_objects(&m) < before, "... of neither domain there is one");
    viommu_emulator_fail_call(m.vm.emulator, call, 1, 0, FALSE);
    sm_begin(&m);
    tap_ok(vtdm_flush_context(&m.vm, VTDM_RID, OTHER_DID) && sm_end(&m) && nothing_told(&m),
           "told of the entry again, it has it");
    tap_is(sm_all_objects(&m), before, "... one copy");
    sm_clear(&m);
}

/* --- a device that is reset -------------------------------------------------------------
 */

static void test_reset(const ShadowMachineOptions *options, gboolean by_reset_done)
{
    GuestVtdDomain d, other;
    ShadowMachine m;
    guint before;

    if (!init(&m, options, &d, 1))
        return;
    before = sm_all_objects(&m);
    sm_domain(&m, &other, OTHER_DID);
    sm_map(&m, &other, iova(0), 40, 4, RW);
    viommu_emulator_device_begin_reset(m.vm.emulator, m.bdfs[0]);
    sm_install(&m, 0, &other);
    tap_ok(sm_end_doubtful(&m) && sm_is_blind(&m, 0), "moved to a domain during a reset");
    tap_ok(nothing_told(&m), "... that is no fault of the guest's");
    sm_map(&m, &other, iova(0), 0, 1, 0);
    sm_map(&m, &other, iova(1), 50, 1, R);
    tap_ok(sm_flush_pages(&m, OTHER_DID, iova(0), 1) && sm_end_doubtful(&m),
           "whose pages change meanwhile");
    viommu_emulator_device_end_reset(m.vm.emulator, m.bdfs[0]);
    tap_ok(sm_is_blind(&m, 0), "the reset over, it is blocked");
    sm_begin(&m);
    if (by_reset_done)
        tap_is(viommu_host_device_reset_done(m.vm.devices[0]), VIOMMU_OK,
               "the VMM says so");
    else
        tap_ok(vtdm_issue(&m.vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, 99), 0),
               "the guest flushes anything");
    tap_ok(sm_end(&m), "... it has the table as it is now");
    sm_map(&m, &other, iova(2), 0, 1, 0);
    tap_ok(sm_flush_page(&m, OTHER_DID, iova(2)) && sm_end(&m), "... and goes on");
    tap_is(sm_all_objects(&m), before, "... by one copy");

    viommu_emulator_device_begin_reset(m.vm.emulator, m.bdfs[0]);
    sm_install(&m, 0, &d);
    sm_end_doubtful(&m);
    sm_install(&m, 0, &other);
    sm_end_doubtful(&m);
    sm_remove(&m, 0);
    tap_ok(sm_end(&m), "to and fro in a reset, and blocked in the end");
    viommu_emulator_device_end_reset(m.vm.emulator, m.bdfs[0]);
    viommu_host_device_reset_done(m.vm.devices[0]);
    tap_ok(sm_is_right(&m) && sm_all_objects(&m) < before, "... which it stays");
    sm_clear(&m);
}

/* --- groups -----------------------------------------------------------------------------
 */

static void expect_group(ShadowMachine *m, const GuestVtdDomain *domain)
{
    for (guint i = 0; i < 2; i++)
        m->ports[i].home =
            domain ? (ShadowHome){SM_DOMAIN, domain} : (ShadowHome){SM_BLOCKED, NULL};
}

/* Moved entry by entry, it is blocked while its devices differ. */
static void test_group(const ShadowMachineOptions *options)
{
    GuestVtdDomain d, other;
    ShadowMachine m;
    guint64 words[2];

    if (!sm_init(&m, options))
        return;
    sm_start(&m, VTDM_LEGACY);
    sm_watch(&m, iova(0), 6);
    sm_domain(&m, &d, DID);
    sm_domain(&m, &other, OTHER_DID);
    sm_map(&m, &d, iova(0), 0, 4, RW);
    sm_map(&m, &other, iova(1), 40, 4, RW);
    for (guint round = 0; round < 3; round++) {
        const GuestVtdDomain *to = round == 1 ? &other : &d;

        guest_vtd_context_table(words, to);
        expect_group(&m, NULL);
        sm_begin(&m);
        vtdm_install_context(&m.vm, VTDM_RID, words[0], words[1]);
        tap_ok(sm_end(&m), "one of a group of two in a domain: both are blocked");
        expect_group(&m, to);
        sm_begin(&m);
        vtdm_install_context(&m.vm, VTDM_RID + 8, words[0], words[1]);
        tap_ok(sm_end(&m), "... until the other is in it too");
        sm_map(&m, (GuestVtdDomain *)to, iova(3), 0, 1, 0);
        tap_ok(sm_flush_page(&m, to->did, iova(3)) && sm_end(&m), "... kept for both");
        vtdm_drain_faults(&m.vm);
    }
    sm_clear(&m);
}

/* The one that stood in the way goes: the other's copy is not from before. */
static void test_group_unplug(const ShadowMachineOptions *options)
{
    GuestVtdDomain d, other;
    ShadowMachine m;
    guint64 words[2];

    if (!sm_init(&m, options))
        return;
    sm_start(&m, VTDM_LEGACY);
    sm_watch(&m, iova(0), 6);
    sm_domain(&m, &d, DID);
    sm_domain(&m, &other, OTHER_DID);
    sm_map(&m, &d, iova(0), 0, 4, RW);
    sm_map(&m, &other, iova(1), 40, 4, RW);
    guest_vtd_context_table(words, &d);
    vtdm_install_context(&m.vm, VTDM_RID, words[0], words[1]);
    vtdm_install_context(&m.vm, VTDM_RID + 8, words[0], words[1]);
    expect_group(&m, &d);
    sm_begin(&m);
    tap_ok(sm_end(&m), "a group of two in a domain");
    guest_vtd_context_table(words, &other);
    expect_group(&m, NULL);
    sm_begin(&m);
    vtdm_install_context(&m.vm, VTDM_RID, words[0], words[1]);
    tap_ok(sm_end(&m), "one is moved: both are blocked");
    sm_map(&m, &other, iova(1), 0, 1, 0);
    tap_ok(sm_flush_page(&m, OTHER_DID, iova(1)) && sm_end(&m), "a page is taken back");
    /* A device that nobody has here goes with its group, and is not looked at. */
    m.n_ports = 1;
    m.ports[0].home = (ShadowHome){SM_DOMAIN, &other};
    sm_begin(&m);
    viommu_vtd_detach_device(m.vm.vtd, m.vm.devices[1]);
    viommu_host_device_free(m.vm.devices[1]);
    m.vm.devices[1] = NULL;
    tap_ok(sm_end(&m), "the other is unplugged: the one has its table, as it is");
    sm_map(&m, &other, iova(2), 0, 1, 0);
    tap_ok(sm_flush_page(&m, OTHER_DID, iova(2)) && sm_end(&m), "... and keeps it so");
    sm_clear(&m);
}

/* --- tables that mean harm --------------------------------------------------------------
 */

typedef struct {
    guint64 n_reads;
    guint64 n_bytes;
} Reads;

static void count_read(G_GNUC_UNUSED VtdMachine *vm, G_GNUC_UNUSED guint64 gpa,
                       G_GNUC_UNUSED void *data, gsize size, void *user_data)
{
    Reads *reads = user_data;

    reads->n_reads++;
    reads->n_bytes += size;
}

static void fill(ShadowMachine *m, guint64 table, guint64 word)
{
    for (guint i = 0; i < 512; i++)
        vtdm_store(&m->vm, table + 8 * i, word);
}

/* A table all of whose entries lead to itself: each page of it is the table. */
static void test_loop(const ShadowMachineOptions *options)
{
    Reads reads = {0};
    GuestVtdDomain d;
    ShadowMachine m;

    if (!init(&m, options, &d, 1))
        return;
    fill(&m, d.root, d.root | GUEST_SS_R);
    m.vm.on_read = count_read;
    m.vm.on_read_data = &reads;
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m),
           "a table that is all its tables: nothing");
    tap_ok(reads.n_bytes < 64 << 20, "... is read of it: %" G_GUINT64_FORMAT " bytes",
           reads.n_bytes);
    tap_ok(is_told(&m, 0, VTDM_F_PAGE_ACCESS, 0) && nothing_told(&m), "... and it is told");
    tap_has(m.vm.refusal, "too large", "... in words");
    fill(&m, d.root, 0);
    sm_map(&m, &d, iova(2), 30, 1, RW);
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m), "a good table again");
    sm_clear(&m);
}

/* Few tables that stand for as many as there may be, with nothing in them. */
static void test_many_tables(const ShadowMachineOptions *options)
{
    guint64 table[3];
    Reads reads = {0};
    GuestVtdDomain d;
    ShadowMachine m;

    if (!init(&m, options, &d, 1))
        return;
    for (guint i = 0; i < 3; i++) {
        table[i] = vtdm_alloc(&m.vm, SM_PAGE);
        fill(&m, table[i], i ? table[i - 1] | GUEST_SS_R | GUEST_SS_W : 0);
    }
    fill(&m, d.root, table[2] | GUEST_SS_R | GUEST_SS_W);
    m.vm.on_read = count_read;
    m.vm.on_read_data = &reads;
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m), "tables without end");
    tap_ok(reads.n_reads < 2 << 20, "... are read to one: %" G_GUINT64_FORMAT,
           reads.n_reads);
    tap_ok(is_told(&m, 0, VTDM_F_PAGE_ACCESS, 0) && nothing_told(&m), "... and told");
    sm_clear(&m);
}

/* Tables and pages at the ends of memory, and bits that are reserved. */
static void test_bad_entries(const ShadowMachineOptions *options)
{
    static const struct {
        guint level;
        guint64 word;
    } bad[] = {
        {4, VTDM_RAM_BASE + VTDM_RAM_SIZE},
        {3, VTDM_RAM_BASE + VTDM_RAM_SIZE},
        {2, VTDM_RAM_BASE + VTDM_RAM_SIZE},
        {2, 0xfffffffff000},
        {4, 0x1000},
        {3, GUEST_SS_PS | SM_PAGE},
        {2, GUEST_SS_PS | SM_PAGE},
        {4, GUEST_SS_PS},
        {3, 1ull << 48 | GUEST_SS_PS},
        {2, 1ull << 51 | GUEST_SS_PS},
        {1, 1ull << 50},
        {1, GUEST_SS_SNP},
        {2, GUEST_SS_SNP},
        {1, 0xfffffffff000},
        {1, VTDM_RAM_BASE + VTDM_RAM_SIZE},
        {2, GUEST_SS_PS | 0xffffffe00000},
    };
    const guint64 far = (1ull << 39) + SM_PAGE;
    GuestVtdDomain d;
    ShadowMachine m;
    guint64 kept;

    if (!init(&m, options, &d, 1))
        return;
    sm_watch(&m, far, 1);
    sm_map(&m, &d, far, 33, 1, RW);
    sm_flush_page(&m, DID, far);
    tap_ok(sm_end(&m), "pages here and there");
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        guint64 at = guest_vtd_entry_at(&d, iova(2), bad[i].level);

        kept = vtdm_load(&m.vm, at);
        vtdm_store(&m.vm, at, bad[i].word | GUEST_SS_R | GUEST_SS_W);
        tap_ok(sm_flush_domain(&m, DID) && sm_end_doubtful(&m) &&
                   !sm_see(&m, 0, iova(2)).rights && sm_see(&m, 0, far).rights,
               "level %u, 0x%" G_GINT64_MODIFIER "x: nothing there, and the rest right",
               bad[i].level, bad[i].word);
        vtdm_store(&m.vm, at, kept);
        tap_ok(sm_flush_domain(&m, DID) && sm_end(&m), "... and good again");
    }
    sm_clear(&m);
}

/* --- every host call, once --------------------------------------------------------------
 */

enum { STEPS = 10 };

/* One step of a guest's life. */
static void step(ShadowMachine *m, GuestVtdDomain *d, GuestVtdDomain *other, guint n)
{
    switch (n) {
    case 0:
    case 5:
        sm_install(m, 0, d);
        break;
    case 1:
        sm_map(m, d, iova(1), 30, 3, R);
        sm_flush_pages(m, DID, iova(0), 2);
        break;
    case 2:
        sm_install(m, 1, d);
        break;
    case 3:
        sm_map(m, d, iova(2), 0, 1, 0);
        sm_map(m, d, iova(4), 20, 2, W);
        sm_flush_domain(m, DID);
        break;
    case 4:
        sm_install(m, 0, other);
        break;
    case 6:
        sm_install_identity(m, 1);
        break;
    case 7:
        sm_map(m, d, iova(0), 50, 1, RW);
        sm_flush_global(m);
        break;
    case 8:
        sm_install(m, 1, other);
        break;
    default:
        sm_remove(m, 0);
        break;
    }
}

/* What the guest was told done, is: no device sees more. Else it is told again. */
static gboolean is_done(ShadowMachine *m)
{
    for (guint tries = 0; !vtdm_waited(&m->vm) && tries < 3; tries++) {
        spy_fail_none(&m->watch.spy);
        vtdm_clear_queue_errors(&m->vm);
        vtdm_flush_all(&m->vm);
    }
    return vtdm_waited(&m->vm) && sm_end_doubtful(m);
}

/* What the guest begins with, and comes back to. */
static gboolean begin_life(ShadowMachine *m, GuestVtdDomain *d, GuestVtdDomain *other)
{
    sm_remove(m, 0);
    sm_remove(m, 1);
    sm_map(m, d, iova(0), 0, 6, 0);
    sm_map(m, d, iova(0), 0, 4, RW);
    sm_map(m, other, iova(1), 40, 4, RW);
    vtdm_drain_faults(&m->vm);
    return sm_end(m) && sm_is_blind(m, 0) && sm_is_blind(m, 1);
}

/* FALSE: it had fewer host calls. */
static gboolean live(ShadowMachine *m, GuestVtdDomain *d, GuestVtdDomain *other, guint nth,
                     int err, guint times, gboolean *ok)
{
    spy_fail(&m->watch.spy, 0, nth, err, times);
    for (guint n = 0; n < STEPS; n++) {
        step(m, d, other, n);
        if (is_done(m) && !m->wrong)
            continue;
        if (*ok)
            tap_note("call %u, %s: step %u left something", nth, g_strerror(err), n);
        *ok = FALSE;
    }
    spy_fail_none(&m->watch.spy);
    sm_begin(m);
    vtdm_flush_all(&m->vm);
    sm_begin(m);
    *ok = vtdm_flush_all(&m->vm) && sm_end(m) && *ok;
    return m->watch.spy.hit;
}

/* A life for each of its host calls, all on one machine: what one leaves, the next has. */
static guint sweep(const ShadowMachineOptions *options, VtdmMode mode, int err, guint times,
                   gboolean *ok)
{
    GuestVtdDomain d, other;
    ShadowMachine m;
    guint n_objects, nth = 0;

    if (!sm_init(&m, options))
        return 0;
    sm_start(&m, mode);
    sm_watch(&m, iova(0), 6);
    sm_watch(&m, m.pages[0], 1);
    sm_domain(&m, &d, DID);
    sm_domain(&m, &other, OTHER_DID);
    *ok = begin_life(&m, &d, &other);
    n_objects = sm_all_objects(&m);
    do {
        if (!live(&m, &d, &other, ++nth, err, times, ok))
            break;
        /* What a host does not destroy in three tries is lost until it is closed. */
        *ok = begin_life(&m, &d, &other) &&
              (err == EIO || sm_all_objects(&m) == n_objects) && *ok;
    } while (*ok);
    sm_clear_quietly(&m, ok);
    return nth - 1;
}

static void test_sweep(const ShadowMachineOptions *options, VtdmMode mode)
{
    static const struct {
        int err;
        guint times;
    } failures[] = {{ENOMEM, 3}, {EINVAL, 1}, {EBUSY, 1}, {EIO, 3}, {EIO, 40}};
    /* A container has neither objects to make nor limits to ask for. */
    const guint at_least = is_legacy(options) ? 25 : 50;

    for (guint i = 0; i < G_N_ELEMENTS(failures); i++) {
        gboolean ok = TRUE;
        guint n = sweep(options, mode, failures[i].err, failures[i].times, &ok);

        tap_ok(ok && n >= at_least, "%s of each of %u calls, %u times in a row",
               g_strerror(failures[i].err), n, failures[i].times);
    }
}

int main(void)
{
    for (const char *const *name = viommu_backend_names(); *name; name++) {
        const ShadowMachineOptions *one = SM_OPTIONS(.backend = *name);
        const ShadowMachineOptions *three = SM_OPTIONS(.backend = *name, .n_devices = 3);
        const ShadowMachineOptions *two = SM_OPTIONS(.backend = *name, .n_devices = 2);
        const ShadowMachineOptions *group =
            SM_OPTIONS(.backend = *name, .n_devices = 2, .one_group = TRUE);

        tap_note("backend %s", *name);
        test_map_fails(one, ENOMEM);
        test_map_fails(one, ENOSPC);
        test_map_fails(one, EINVAL);
        for (guint nth = 1; nth <= 4; nth++) {
            test_unmap_fails(three, nth, 2, FALSE);
            test_unmap_fails(three, nth, 3, TRUE);
        }
        if (!is_legacy(one))
            test_unmap_fails(three, 1, 1000, TRUE);
        test_at_large(three);
        test_plug_fails(two);
        if (is_legacy(one)) {
            test_undo_fails(two, FALSE);
            test_undo_fails(two, TRUE);
        }
        if (!is_legacy(one)) {
            test_new_fails(one, IOMMU_IOAS_ALLOC, ENOMEM);
            test_new_fails(one, IOMMU_HWPT_ALLOC, EOPNOTSUPP);
            test_new_fails(one, VFIO_DEVICE_ATTACH_IOMMUFD_PT, EINVAL);
            test_reset(one, TRUE);
            test_reset(one, FALSE);
        }
        test_group(group);
        test_group_unplug(group);
        test_loop(one);
        test_many_tables(one);
        test_bad_entries(one);
        test_sweep(two, VTDM_LEGACY);
        test_sweep(two, VTDM_SCALABLE);
    }
    return tap_done();
}
