/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: page requests of a host device (7.4 to 7.7): from the host's queue
 * to the guest's, the event that tells of them, answers, and what becomes of those that
 * nobody answers. No device of the test VM has PRI, so this is for the emulator. A point is
 * a rule.
 */
#include <errno.h>
#include <string.h>

#include <viommu-emulator/inspect.h>

#include "landing.h"
#include "tap.h"
#include "vtd-machine.h"

enum { UNMAPPED = 0x9000, PASID = 5, DTE = 1 << 2, PRE = 1 << 4 };
enum { SUCCESS = 0, INVALID = 1, FAILURE = 15 };
enum { PPR = 1, PRO = 2 };

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
    VtdmPageRequest r = {0};

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
    vtdm_set(vm, VTDM_PECTL, 0);
    tap_ok(vm->n_msis[VTDM_PAGE_EVENT] == 2 && vtdm_get(vm, VTDM_PECTL) == 0,
           "IM cleared, it is sent");
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
    while (vtdm_next_request(vm, &r)) {
        if (n == 0)
            tap_is(r.address, UNMAPPED, "... the first is still the first");
        n++;
        vtdm_respond(vm, &r, INVALID);
        if (n > 2 * (PLACES + MORE))
            break;
    }
    tap_ok(n >= PLACES && n <= 2 * (PLACES + MORE), "... what fitted is there");
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
        test_event(&vm);
        test_overflow(&vm);
        test_ends(&vm);
        vtdm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
