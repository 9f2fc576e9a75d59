/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: invalidation wait descriptors (6.5.2.8, 6.5.4): the status they
 * write, the interrupt they send, and what they wait for.
 */
#include "tap.h"
#include "vtd-machine.h"

enum { IF = 1 << 4, SW = 1 << 5, FN = 1 << 6 };
#define WAIT GUEST_INV_WAIT

static guint events(const VtdMachine *vm)
{
    return vm->n_msis[VTDM_WAIT_EVENT];
}

static void wait_for(VtdMachine *vm, guint64 word0, guint64 word1)
{
    vtdm_queue(vm, word0, word1);
    vtdm_ring(vm);
}

static void test_status(VtdMachine *vm)
{
    guint64 at = vtdm_alloc(vm, GUEST_PAGE);

    vtdm_store(vm, at, G_MAXUINT64);
    wait_for(vm, WAIT | SW | 0xcafeull << 32, at);
    tap_is((guint32)vtdm_load(vm, at), 0xcafe, "SW: the status is written");
    tap_is(vtdm_load(vm, at) >> 32, G_MAXUINT32, "... 32 bits of it");
    wait_for(vm, WAIT | SW | 0xbeefull << 32, at + 4);
    tap_is(vtdm_load(vm, at), 0xbeef0000cafe, "... at any dword");
    tap_is(events(vm), 0, "... without an interrupt");
    wait_for(vm, WAIT | 0x1234ull << 32, at);
    tap_is(vtdm_load(vm, at), 0xbeef0000cafe, "without SW nothing is written");
    vtdm_queue(vm, WAIT | SW | 1ull << 32, at);
    vtdm_queue(vm, WAIT | SW | FN | 2ull << 32, at);
    vtdm_queue(vm, WAIT | SW | 3ull << 32, at);
    vtdm_ring(vm);
    tap_is((guint32)vtdm_load(vm, at), 3, "waits complete in order");
    wait_for(vm, WAIT | SW | 1ull << 32, VTDM_NOWHERE);
    tap_is(vtdm_head(vm), vm->tail, "a status that has no memory is lost, and no more");
    if (vtdm_queue_error(vm))
        vtdm_acknowledge(vm);
}

static void test_interrupt(VtdMachine *vm)
{
    guint64 at = vtdm_alloc(vm, GUEST_PAGE);

    vm->n_msis[VTDM_WAIT_EVENT] = 0;
    wait_for(vm, WAIT | IF, 0);
    tap_is(vtdm_get(vm, VTDM_ICS), 1, "IF: ICS.IWC is set");
    tap_ok(events(vm) == 1 && vm->msi_address == VTDM_MSI, "... and the interrupt sent");
    wait_for(vm, WAIT | IF, 0);
    tap_is(events(vm), 1, "while IWC is set there is no other");
    vtdm_set(vm, VTDM_ICS, 1);
    tap_is(vtdm_get(vm, VTDM_ICS), 0, "IWC is cleared by writing 1");
    wait_for(vm, WAIT | IF | SW | 7ull << 32, at);
    tap_ok(events(vm) == 2 && vtdm_load(vm, at) == 7, "IF and SW: both");
    vtdm_set(vm, VTDM_ICS, 1);
    vtdm_set(vm, VTDM_IECTL, VTDM_IM);
    wait_for(vm, WAIT | IF, 0);
    tap_ok(events(vm) == 2 && vtdm_get(vm, VTDM_IECTL) == (VTDM_IM | VTDM_IP),
           "IM: the interrupt is held, and IP set");
    vtdm_set(vm, VTDM_IECTL, 0);
    tap_ok(events(vm) == 3 && vtdm_get(vm, VTDM_IECTL) == 0,
           "IM cleared, it is sent, and IP cleared");
    vtdm_set(vm, VTDM_ICS, 1);
    vtdm_set(vm, VTDM_IECTL, VTDM_IM);
    wait_for(vm, WAIT | IF, 0);
    vtdm_set(vm, VTDM_ICS, 1);
    tap_is(vtdm_get(vm, VTDM_IECTL), VTDM_IM, "IWC cleared clears IP");
    vtdm_set(vm, VTDM_IECTL, 0);
    tap_is(events(vm), 3, "... and nothing is sent");
}

/* An invalidation that was queued before a wait is done when the wait is. */
static void test_order(VtdMachine *vm)
{
    guint64 page = vtdm_alloc(vm, GUEST_PAGE);

    vtdm_install(vm, VTDM_RID, &vm->domain);
    vtdm_install(vm, VTDM_ENDPOINT, &vm->domain);
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) &&
               vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA) == vm->page,
           "a page in use");
    guest_vtd_map(&vm->domain, VTDM_IOVA, page, TRUE);
    tap_ok(vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA), "a flush and a wait");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, page), "... and the host device is done with it");
    tap_is(vtdm_reads(vm, VTDM_ENDPOINT, VTDM_IOVA), page, "... and the endpoint");
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA);
}

/* --- read sections ----------------------------------------------------------------------
 */

typedef struct {
    VtdMachine *vm;
    gint in_section;
    gint rung;
    gboolean overtaken; /* the status was written before the section ended */
} Section;

static gpointer endpoint_thread(gpointer data)
{
    Section *section = data;
    VtdMachine *vm = section->vm;

    viommu_vtd_enter(vm->vtd);
    g_atomic_int_set(&section->in_section, 1);
    while (!g_atomic_int_get(&section->rung))
        g_thread_yield();
    for (guint i = 0; i < 2000; i++)
        g_thread_yield();
    section->overtaken = vtdm_waited(vm);
    viommu_vtd_exit(vm->vtd);
    return NULL;
}

static void test_section(VtdMachine *vm)
{
    Section section = {.vm = vm};
    GThread *thread = g_thread_new("endpoint", endpoint_thread, &section);

    while (!g_atomic_int_get(&section.in_section))
        g_thread_yield();
    vtdm_queue(vm, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, VTDM_DID, 0), 0);
    vtdm_queue_wait(vm);
    g_atomic_int_set(&section.rung, 1);
    vtdm_ring(vm);
    g_thread_join(thread);
    tap_ok(!section.overtaken, "a wait waits for read sections that began before");
    tap_ok(vtdm_waited(vm) && vtdm_head(vm) == vm->tail, "... and completes after them");
}

/* The thread of a section that is its own: it must not be waited for by itself. */
static void test_later_section(VtdMachine *vm)
{
    vtdm_queue(vm, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, VTDM_DID, 0), 0);
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "without sections a wait completes at once");
    viommu_vtd_enter(vm->vtd);
    viommu_vtd_exit(vm->vtd);
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "... those that have ended do not count");
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        test_status(&vm);
        test_interrupt(&vm);
        test_order(&vm);
        test_section(&vm);
        test_later_section(&vm);
        vtdm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
