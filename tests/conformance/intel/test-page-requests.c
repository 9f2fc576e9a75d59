/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: page requests of a host device (7.4 to 7.7): from the host's queue
 * to the guest's, the event that tells of them, answers, and what becomes of those that
 * nobody answers. No device of the test VM has PRI, so this is for the emulator. A point is
 * a rule.
 */
#include <errno.h>
#include <linux/iommufd.h>
#include <string.h>

#include <viommu-emulator/inspect.h>

#include "landing.h"
#include "tap.h"
#include "vtd-machine.h"

enum { UNMAPPED = 0x9000, PASID = 5, DTE = 1 << 2, PRE = 1 << 4 };
enum { SUCCESS = 0, INVALID = 1, FAILURE = 15 };
enum { PPR = 1, PRO = 2 };
#define EXE  (1ull << 52)
#define PRIV (1ull << 53)

static void make_target(Target *target)
{
    const ViommuEmulatorDeviceConfig device = {.iommu_group = -1,
                                               .pasid_bits = 8,
                                               .pasid_privileged = TRUE,
                                               .ats = TRUE,
                                               .pri = TRUE};
    ViommuEmulatorVtdConfig unit;

    viommu_emulator_vtd_defaults(&unit);
    target_init_vtd(target, &unit, 1, &device, 1);
}

static void set_context(VtdMachine *vm, guint64 bits)
{
    guint64 at = vtdm_context_at(vm, VTDM_RID), word;

    vtdm_pasid_at(vm, VTDM_RID, 0);
    word = vtdm_load(vm, at) & ~(guint64)(DTE | PRE);
    vtdm_store(vm, at, word | bits);
    vtdm_flush_context(vm, VTDM_RID, 0);
}

/* A store without PASID: 0, -EFAULT, or -EINPROGRESS while it waits. */
static int store(VtdMachine *vm, guint64 iova)
{
    return vtdm_store_as(vm, 0, VTDM_NO_PASID, iova);
}

static guint waiting(VtdMachine *vm)
{
    return viommu_emulator_dma_waiting(vm->emulator, vm->bdfs[0]);
}

static gboolean landed(VtdMachine *vm, guint64 page)
{
    return guest_memory_is_filled(&vm->ram, page, VTDM_PATTERN, LANDING_SIZE);
}

static void test_offer(VtdMachine *vm)
{
    tap_is(vtdm_ecap(vm, VTDM_ECAP_PRS, 1), 1, "ECAP.PRS");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_DT, 1), 1, "ECAP.DT");
    tap_is(vtdm_get(vm, VTDM_PECTL), 0, "PECTL: unmasked by the driver");
    vtdm_set64(vm, VTDM_PQA, 0x1234000);
    tap_is(vtdm_get64(vm, VTDM_PQA), 0x1234000, "PQA reads as written");
    vtdm_set64(vm, VTDM_PQA, vm->requests);
    vtdm_set(vm, VTDM_PQT, 64);
    tap_is(vtdm_get64(vm, VTDM_PQH) ^ vtdm_get64(vm, VTDM_PQT), 64,
           "PQT is the driver's while it sets the queue up");
    vtdm_set_page_queue(vm);
}

static void test_request(VtdMachine *vm, guint64 page)
{
    VtdmPageRequest r = {0};

    guest_memory_fill(&vm->ram, page, 0, GUEST_PAGE);
    tap_is(store(vm, UNMAPPED + 8), -EINPROGRESS, "a store to what is not mapped waits");
    tap_is(waiting(vm), 1, "... in the device");
    vm->n_msis[VTDM_PAGE_EVENT] = 0;
    viommu_vtd_handle_events(vm->vtd);
    tap_is(vtdm_get(vm, VTDM_PRS), PPR, "PRS.PPR");
    tap_is(vm->n_msis[VTDM_PAGE_EVENT], 1, "... and its event");
    tap_ok(vtdm_next_request(vm, &r), "... and a request in the guest's queue");
    tap_is(r.type, 1, "... a page request");
    tap_is(r.rid, VTDM_RID, "... of the device");
    tap_is(r.address, UNMAPPED, "... for the page");
    tap_ok(r.write && !r.read && !r.execute && !r.privileged, "... to write");
    tap_ok(!r.has_pasid && r.last, "... without a PASID, the last of its group");
    tap_ok(!vtdm_next_request(vm, &r), "... and only once");
    vtdm_set(vm, VTDM_PRS, PPR);
    tap_is(vtdm_get(vm, VTDM_PRS), 0, "PPR is cleared by writing 1");
    guest_vtd_map(&vm->domain, UNMAPPED, page, TRUE);
    tap_ok(vtdm_respond(vm, &r, SUCCESS), "page group response: success");
    tap_is(waiting(vm), 0, "... ends the waiting");
    tap_ok(guest_memory_is_filled(&vm->ram, page + 8, VTDM_PATTERN, LANDING_SIZE),
           "... and the store has landed");
    tap_ok(vtdm_respond(vm, &r, SUCCESS), "answered twice is no error");
    guest_vtd_unmap(&vm->domain, UNMAPPED);
    vtdm_flush_tables(vm, VTDM_DID, 0);
}

static void test_refusals(VtdMachine *vm)
{
    static const struct {
        const char *name;
        guint code;
    } codes[] = {{"invalid request", INVALID}, {"response failure", FAILURE}};
    VtdmPageRequest r = {0};

    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
        store(vm, UNMAPPED);
        tap_ok(vtdm_next_request(vm, &r) && vtdm_respond(vm, &r, codes[i].code),
               "page group response: %s", codes[i].name);
        tap_is(waiting(vm), 0, "... ends the store");
        tap_ok(!vtdm_next_request(vm, &r), "... which does not ask again");
    }
    store(vm, UNMAPPED);
    tap_ok(vtdm_next_request(vm, &r) && vtdm_respond(vm, &r, SUCCESS),
           "success, and nothing mapped");
    tap_ok(waiting(vm) == 1 && vtdm_next_request(vm, &r), "... and it asks again");
    vtdm_respond(vm, &r, INVALID);
    r.group ^= 1;
    tap_ok(vtdm_respond(vm, &r, SUCCESS), "the answer to an unknown group is no error");
    vtdm_set(vm, VTDM_PRS, PPR);
}

static void test_pasid(VtdMachine *vm, guint64 page)
{
    guint64 words[GUEST_VTD_PASID_WORDS];
    GuestVtdDomain domain;
    VtdmPageRequest r = {0}, other;

    guest_vtd_domain_init(&domain, &vm->ram, GUEST_VTD_FIRST, 4, 40);
    guest_vtd_map(&domain, VTDM_IOVA, vm->page, TRUE);
    guest_vtd_pasid_table(words, &domain);
    vtdm_install_pasid(vm, VTDM_RID, PASID, words);
    guest_memory_fill(&vm->ram, page, 0, GUEST_PAGE);
    tap_is(vtdm_store_as(vm, 0, PASID, UNMAPPED), -EINPROGRESS,
           "a store with a PASID waits");
    tap_ok(vtdm_next_request(vm, &r) && r.has_pasid && r.pasid == PASID &&
               r.rid == VTDM_RID && r.address == UNMAPPED,
           "... its request says so");
    guest_vtd_map(&domain, UNMAPPED, page, TRUE);
    other = r;
    other.pasid = PASID + 1;
    vtdm_respond(vm, &other, INVALID);
    other.has_pasid = FALSE;
    vtdm_respond(vm, &other, INVALID);
    tap_is(waiting(vm), 1, "... not answered by another's answer");
    tap_ok(vtdm_respond(vm, &r, SUCCESS) && landed(vm, page), "... and is answered by it");
    vtdm_set(vm, VTDM_PRS, PPR);
    vtdm_store_as(vm, 0, PASID, UNMAPPED + 0x1000);
    viommu_vtd_handle_events(vm->vtd);
    memset(words, 0, sizeof words);
    vtdm_install_pasid(vm, VTDM_RID, PASID, words);
    tap_is(waiting(vm), 0, "its entry removed, what waits is answered");
    while (vtdm_next_request(vm, &r))
        tap_ok(vtdm_respond(vm, &r, SUCCESS), "... and the guest's own answer no error");
    vtdm_set(vm, VTDM_PRS, PPR);
}

/* An answer that comes late, or twice, is no other request's. */
static void test_late(VtdMachine *vm)
{
    VtdmPageRequest first = {0}, second = {0};

    store(vm, UNMAPPED);
    tap_ok(vtdm_next_request(vm, &first) && vtdm_respond(vm, &first, INVALID),
           "a request is answered");
    store(vm, UNMAPPED);
    tap_ok(vtdm_next_request(vm, &second) && second.group != first.group,
           "... another one waits");
    vtdm_respond(vm, &first, INVALID);
    tap_is(waiting(vm), 1, "the answer to the first once more is not the other's");
    first = second;
    vtdm_install_pass_through(vm, VTDM_RID);
    vtdm_install(vm, VTDM_RID, &vm->domain);
    tap_is(waiting(vm), 0, "the entry changed and back: what waited is answered");
    store(vm, UNMAPPED);
    tap_ok(vtdm_next_request(vm, &second) && second.group != first.group,
           "... a new one waits");
    vtdm_respond(vm, &first, INVALID);
    tap_is(waiting(vm), 1, "the late answer to the old one is not the new one's");
    vtdm_respond(vm, &second, INVALID);
    tap_is(waiting(vm), 0, "its own is");
    vtdm_set(vm, VTDM_PRS, PPR);
}

static void test_event(VtdMachine *vm)
{
    VtdmPageRequest r = {0};

    vm->n_msis[VTDM_PAGE_EVENT] = 0;
    store(vm, UNMAPPED);
    store(vm, UNMAPPED + 0x1000);
    viommu_vtd_handle_events(vm->vtd);
    tap_is(vm->n_msis[VTDM_PAGE_EVENT], 1, "two requests at once are one event");
    store(vm, UNMAPPED + 0x2000);
    viommu_vtd_handle_events(vm->vtd);
    tap_is(vm->n_msis[VTDM_PAGE_EVENT], 1, "while PPR is set there is no other");
    while (vtdm_next_request(vm, &r))
        vtdm_respond(vm, &r, INVALID);
    tap_is(waiting(vm), 0, "all three are answered");
    vtdm_set(vm, VTDM_PRS, PPR);
    vtdm_set(vm, VTDM_PECTL, VTDM_IM);
    store(vm, UNMAPPED);
    viommu_vtd_handle_events(vm->vtd);
    tap_ok(vm->n_msis[VTDM_PAGE_EVENT] == 1 &&
               vtdm_get(vm, VTDM_PECTL) == (VTDM_IM | VTDM_IP),
           "IM: the event is held, and IP set");
    vtdm_set(vm, VTDM_PRS, PPR);
    tap_is(vtdm_get(vm, VTDM_PECTL), VTDM_IM, "PPR cleared, there is nothing to send");
    store(vm, UNMAPPED + 0x1000);
    viommu_vtd_handle_events(vm->vtd);
    vtdm_set(vm, VTDM_PEUADDR, 0x12);
    vtdm_set(vm, VTDM_PECTL, 0);
    tap_ok(vm->n_msis[VTDM_PAGE_EVENT] == 2 && vtdm_get(vm, VTDM_PECTL) == 0,
           "IM cleared, what is pending is sent");
    tap_is((gint64)(vm->msi_address >> 32), 0x12, "... to an address of 64 bits");
    vtdm_set(vm, VTDM_PEUADDR, 0);
    while (vtdm_next_request(vm, &r))
        vtdm_respond(vm, &r, INVALID);
    vtdm_set(vm, VTDM_PRS, PPR);
    tap_ok(vm->n_watched >= 1 && vm->event_fd >= 0, "a descriptor is watched");
}

/* The guest's queue has 127 places. */
static void test_overflow(VtdMachine *vm)
{
    enum { PLACES = 127, MORE = 8 };
    VtdmPageRequest r = {0};
    guint n = 0;

    for (guint i = 0; i < PLACES + MORE; i++)
        store(vm, UNMAPPED + ((guint64)i << 12));
    viommu_vtd_handle_events(vm->vtd);
    tap_is(vtdm_get(vm, VTDM_PRS) & PRO, PRO, "a full queue: PRS.PRO");
    tap_is(waiting(vm), PLACES + MORE, "... what has no place is told to ask again");
    while (vtdm_next_request(vm, &r)) {
        if (n == 0)
            tap_is(r.address, UNMAPPED, "... the first is still the first");
        n++;
        vtdm_respond(vm, &r, INVALID);
        if (n > 2 * (PLACES + MORE))
            break;
    }
    tap_ok(n >= PLACES && n <= 2 * (PLACES + MORE), "... what fitted is there");
    n = waiting(vm);
    store(vm, UNMAPPED + 0x200000);
    tap_ok(!vtdm_next_request(vm, &r) && waiting(vm) == n + 1,
           "while PRO is set there is room, and no request comes");
    vtdm_set(vm, VTDM_PRS, PPR | PRO);
    for (guint i = 0; i < 4 && waiting(vm); i++)
        while (vtdm_next_request(vm, &r))
            vtdm_respond(vm, &r, INVALID);
    tap_is(waiting(vm), 0, "PRO cleared, the rest is answered, too");
    vtdm_set(vm, VTDM_PRS, PPR | PRO);
}

/* --- the ends of waiting ----------------------------------------------------------------
 */

static void test_ends(VtdMachine *vm)
{
    VtdmPageRequest r = {0};

    store(vm, UNMAPPED);
    set_context(vm, DTE);
    tap_is(waiting(vm), 0, "PRE 0: what waits is answered");
    tap_ok(store(vm, UNMAPPED) == -EFAULT && !vtdm_next_request(vm, &r),
           "... and nothing asks any more");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page), "... DMA goes on");
    set_context(vm, DTE | PRE);
    tap_is(store(vm, UNMAPPED), -EINPROGRESS, "PRE 1: it does");
    viommu_vtd_quiesce(vm->vtd);
    tap_ok(vtdm_next_request(vm, &r) && r.address == UNMAPPED,
           "quiesce: what waits is in the guest's queue");
    tap_is(store(vm, UNMAPPED + 0x1000), -EINPROGRESS, "a store");
    viommu_vtd_handle_events(vm->vtd);
    guest_vtd_map(&vm->domain, UNMAPPED + 0x1000, vm->page, TRUE);
    guest_vtd_map(&vm->domain, UNMAPPED, vm->page, TRUE);
    viommu_vtd_quiesce(vm->vtd);
    tap_is(waiting(vm), 0, "... not answered yet: quiesce answers it with success");
    while (vtdm_next_request(vm, &r))
        tap_ok(vtdm_respond(vm, &r, SUCCESS), "... the guest's answer is no error");
    store(vm, UNMAPPED + 0x5000);
    viommu_vtd_block(vm->vtd, NULL);
    tap_is(waiting(vm), 0, "a block answers what waits");
    viommu_vtd_release(vm->vtd, NULL);
    vtdm_start(vm, VTDM_SCALABLE);
    tap_is(store(vm, UNMAPPED + 0x5000), -EINPROGRESS, "set up again, it asks");
    viommu_vtd_detach_device(vm->vtd, vm->devices[0]);
    tap_is(waiting(vm), 0, "a detach answers what waits");
    tap_is(vm->n_watched, 0, "... and no descriptor is watched");
}

/* 6.5.2.8: what the device has asked for before is in the queue when the wait is done. */
static void test_drain(VtdMachine *vm)
{
    VtdmPageRequest r = {0};

    tap_is(store(vm, UNMAPPED), -EINPROGRESS, "a store that waits, and is not told yet");
    vtdm_queue(vm, guest_vtd_inv_wait(++vm->sequence) | 1 << 7, vm->status);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "a wait with page request drain");
    tap_ok(vtdm_next_request(vm, &r) && r.address == UNMAPPED,
           "... the request is in the queue by then");
    vtdm_respond(vm, &r, INVALID);
}

/* What a read of the host's queue has: so many requests, each a group, and a group. */
static struct {
    ssize_t (*read)(void *data, int fd, void *buf, size_t size);
    int fd;
    guint32 devid;
    guint singles;
    guint group;
} flood;

static void flood_fill(struct iommu_hwpt_pgfault *fault, guint group, gboolean last,
                       guint n)
{
    *fault = (struct iommu_hwpt_pgfault){.flags = last ? IOMMU_PGFAULT_FLAGS_LAST_PAGE : 0,
                                         .dev_id = flood.devid,
                                         .grpid = group,
                                         .perm = IOMMU_PGFAULT_PERM_WRITE |
                                                 IOMMU_PGFAULT_PERM_EXEC |
                                                 IOMMU_PGFAULT_PERM_PRIV,
                                         .addr = (guint64)n << 12,
                                         .cookie = group + 1};
}

/* As the kernel: groups are whole, and one that has no room is none. */
static ssize_t flood_read(void *data, int fd, void *buf, size_t size)
{
    struct iommu_hwpt_pgfault *faults = buf;
    gsize room = size / sizeof *faults, n = 0;

    if (fd != flood.fd)
        return flood.read(data, fd, buf, size);
    for (; flood.singles && n < room; flood.singles--, n++)
        flood_fill(&faults[n], flood.singles % 500, TRUE, flood.singles);
    if (!flood.singles && flood.group && room - n < flood.group)
        return n ? (ssize_t)(n * sizeof *faults) : -EINVAL;
    for (; !flood.singles && flood.group; flood.group--, n++)
        flood_fill(&faults[n], 501, flood.group == 1, flood.group);
    return (ssize_t)(n * sizeof *faults);
}

/* singles, and a group, are all in the queue, in groups that are whole. */
static gboolean comes_whole(VtdMachine *vm, Spy *spy, guint singles, guint group)
{
    enum { ORDER = 6, SIZE = 32 };
    const guint64 queue = vtdm_alloc(vm, GUEST_PAGE << ORDER);
    const ViommuSeamOps *was = spy->seam.ops;
    ViommuSeamOps ops = *was;
    guint n = 0, of_group = 0;

    vtdm_set64(vm, VTDM_PQH, 0);
    vtdm_set64(vm, VTDM_PQT, 0);
    vtdm_set64(vm, VTDM_PQA, queue | ORDER);

    flood.devid = viommu_host_device_get_info(vm->devices[0])->devid;
    flood.fd = vm->event_fd;
    flood.read = was->read;
    flood.singles = singles;
    flood.group = group;
    ops.read = flood_read;
    spy->seam.ops = &ops;
    for (guint i = 0; i < 4; i++)
        viommu_vtd_handle_events(vm->vtd);
    spy->seam.ops = was;
    for (guint64 at = queue; at < queue + vtdm_get64(vm, VTDM_PQT); at += SIZE, n++)
        of_group += (vtdm_load(vm, at + 8) >> 3 & 0x1ff) == 501 &&
                    (vtdm_load(vm, at) & (EXE | PRIV)) == (EXE | PRIV);
    return n == singles + group && of_group == group && !(vtdm_get(vm, VTDM_PRS) & PRO);
}

static void test_whole_groups(VtdMachine *vm, Spy *spy)
{
    tap_ok(comes_whole(vm, spy, 3, 8), "a group of eight, after others");
    tap_ok(comes_whole(vm, spy, 1020, 8), "... where what is read at once ends within it");
    tap_ok(comes_whole(vm, spy, 0, 3000), "... and where it is more than that");
    vtdm_set_page_queue(vm);
}

/* A late answer to a request whose binding went is not that to another. */
static void late_is_lost(VtdMachine *vm, guint64 iova, const VtdmPageRequest *late)
{
    VtdmPageRequest r = {0};

    vtdm_store_as(vm, 0, VTDM_NO_PASID, iova);
    tap_ok(vtdm_next_request(vm, &r), "another request");
    vtdm_respond(vm, late, INVALID);
    tap_is(waiting(vm), 1, "... is not ended by a late answer to the one before");
    vtdm_respond(vm, &r, INVALID);
}

static void test_rid_pasid(VtdMachine *vm)
{
    guint64 words[GUEST_VTD_PASID_WORDS], at = vtdm_context_at(vm, VTDM_RID);
    guint64 context = vtdm_load(vm, at);
    VtdmPageRequest r = {0};

    guest_vtd_pasid_table(words, &vm->domain);
    vtdm_put_pasid(vm, VTDM_RID, PASID, words);
    vtdm_put_context(vm, VTDM_RID, context, PASID);
    vtdm_flush_all(vm);
    store(vm, UNMAPPED);
    tap_ok(vtdm_next_request(vm, &r), "RID_PASID 5: a request");
    vtdm_put_context(vm, VTDM_RID, 0, 0);
    vtdm_flush_all(vm);
    tap_is(waiting(vm), 0, "... is answered when the context entry goes");
    vtdm_put_context(vm, VTDM_RID, context, PASID);
    vtdm_flush_all(vm);
    late_is_lost(vm, UNMAPPED + GUEST_PAGE, &r);
    vtdm_put_context(vm, VTDM_RID, context, 0);
    vtdm_flush_all(vm);
}

/* Renumbered, a device has asked for nothing under its new ID. */
static void test_renumber(VtdMachine *vm)
{
    VtdmPageRequest r = {0};

    store(vm, UNMAPPED);
    tap_ok(vtdm_next_request(vm, &r), "a request");
    viommu_vtd_set_requester_id(vm->vtd, vm->devices[0], VTDM_RID + 8, NULL);
    tap_is(waiting(vm), 0, "... is answered when the device gets another ID");
    viommu_vtd_set_requester_id(vm->vtd, vm->devices[0], VTDM_RID, NULL);
    late_is_lost(vm, UNMAPPED + GUEST_PAGE, &r);
}

/* Another of its IOMMU group has the device blocked. */
static void test_mate(void)
{
    const ViommuEmulatorDeviceConfig devices[] = {
        {.iommu_group = 7, .ats = TRUE, .pri = TRUE, .pasid_bits = 8},
        {.iommu_group = 7, .ats = TRUE, .pri = TRUE, .pasid_bits = 8}};
    ViommuEmulatorVtdConfig unit;
    VtdmPageRequest r = {0};
    Target target;
    VtdMachine vm;

    viommu_emulator_vtd_defaults(&unit);
    target_init_vtd(&target, &unit, 1, devices, 2);
    if (tap_ok(vtdm_init_flags(&vm, &target, target.bdfs, NULL,
                               VIOMMU_VTD_DEVICE_PAGE_REQUESTS),
               "two of a group")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        for (guint16 rid = VTDM_RID; rid <= VTDM_RID + 8; rid += 8) {
            guint64 at = vtdm_context_at(&vm, rid);

            vtdm_pasid_at(&vm, rid, 0);
            vtdm_store(&vm, at, vtdm_load(&vm, at) | DTE | PRE);
            vtdm_flush_context(&vm, rid, 0);
            vtdm_install(&vm, rid, &vm.domain);
        }
        store(&vm, UNMAPPED);
        tap_ok(vtdm_next_request(&vm, &r), "a request of one");
        vtdm_remove(&vm, VTDM_RID + 8);
        tap_is(waiting(&vm), 0, "... is answered when the other has both blocked");
        vtdm_install(&vm, VTDM_RID + 8, &vm.domain);
        late_is_lost(&vm, UNMAPPED + GUEST_PAGE, &r);
        vtdm_clear(&vm);
    }
    target_clear(&target);
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;
    guint64 page;

    if (argc > 1 && g_str_equal(argv[1], "--device"))
        return tap_skip_all("the device has no PRI (edu never has)");
    make_target(&target);
    if (tap_ok(vtdm_init_flags(&vm, &target, target.first, NULL,
                               VIOMMU_VTD_DEVICE_PAGE_REQUESTS),
               "a device with page requests")) {
        page = vtdm_alloc(&vm, GUEST_PAGE);
        vtdm_start(&vm, VTDM_SCALABLE);
        test_offer(&vm);
        set_context(&vm, DTE | PRE);
        vtdm_install(&vm, VTDM_RID, &vm.domain);
        tap_ok(vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page), "what is mapped is reached");
        test_request(&vm, page);
        test_refusals(&vm);
        test_pasid(&vm, page);
        test_late(&vm);
        test_event(&vm);
        test_overflow(&vm);
        test_drain(&vm);
        test_whole_groups(&vm, &target.spy);
        test_rid_pasid(&vm);
        test_renumber(&vm);
        test_ends(&vm);
        vtdm_clear(&vm);
    }
    target_clear(&target);
    test_mate();
    return tap_done();
}
