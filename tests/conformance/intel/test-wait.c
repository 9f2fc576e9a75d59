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

/* Sections that there are not, or not any more. */
static void test_no_section(VtdMachine *vm)
{
    vtdm_queue(vm, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, VTDM_DID, 0), 0);
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "without sections a wait completes at once");
    viommu_vtd_enter(vm->vtd);
    viommu_vtd_exit(vm->vtd);
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "... those that have ended do not count");
}

/* --- endpoints at work ------------------------------------------------------------------
 */

enum { FLIPS = 400, THREADS = 2 };

typedef struct {
    VtdMachine *vm;
    guint64 pages[2];
    gint sequence; /* odd: the page is being changed; else pages[sequence / 2 % 2] */
    gint end;
    gint n_seen;  /* translations while nothing changed */
    gint n_wrong; /* and led elsewhere */
} Traffic;

static gpointer traffic_thread(gpointer data)
{
    Traffic *t = data;

    while (!g_atomic_int_get(&t->end)) {
        gint before = g_atomic_int_get(&t->sequence);
        guint64 gpa = vtdm_reads(t->vm, VTDM_ENDPOINT, VTDM_IOVA);

        if (before % 2 || g_atomic_int_get(&t->sequence) != before)
            continue;
        g_atomic_int_inc(&t->n_seen);
        if (gpa != t->pages[before / 2 % 2])
            g_atomic_int_inc(&t->n_wrong);
    }
    return NULL;
}

/* The page goes to and fro under endpoints that never stop: none meets it where it was. */
static void test_traffic(VtdMachine *vm)
{
    Traffic traffic = {.vm = vm, .pages = {vm->page, vtdm_alloc(vm, GUEST_PAGE)}};
    GThread *threads[THREADS];
    gboolean done = TRUE;

    for (guint i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("endpoint", traffic_thread, &traffic);
    for (gint i = 1; i <= FLIPS; i++) {
        gint seen = g_atomic_int_get(&traffic.n_seen);

        g_atomic_int_inc(&traffic.sequence);
        guest_vtd_map(&vm->domain, VTDM_IOVA, traffic.pages[i % 2], TRUE);
        done &= vtdm_flush_page(vm, VTDM_DID, 0, VTDM_IOVA);
        g_atomic_int_inc(&traffic.sequence);
        while (g_atomic_int_get(&traffic.n_seen) == seen)
            g_thread_yield();
    }
    g_atomic_int_set(&traffic.end, 1);
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    tap_ok(done, "%u flushes under traffic complete", FLIPS);
    tap_is(traffic.n_wrong, 0, "... and no endpoint meets a page where it was");
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
        test_no_section(&vm);
        test_traffic(&vm);
        vtdm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
