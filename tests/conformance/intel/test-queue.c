/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: its invalidation queue (6.5.2). Every descriptor and granularity
 * there is, every encoding there is not with its error code, errors at the very descriptor,
 * and a queue that a hostile guest moves about. A point is a rule.
 */
#include "tap.h"
#include "vtd-machine.h"

typedef struct {
    const char *name;
    guint64 words[4];
    guint code;
} Descriptor;

#define DID        ((guint64)VTDM_DID << 16)
#define RID_HIGH   ((guint64)VTDM_RID << 32) /* of context-cache and device-TLB ones */
#define G(n)       ((guint64)(n) << 4)
#define TYPE(name) GUEST_INV_##name

static void test_legal(VtdMachine *vm)
{
    static const Descriptor descriptors[] = {
        {"context-cache, global", {TYPE(CONTEXT) | G(1)}, 0},
        {"context-cache, by domain", {TYPE(CONTEXT) | G(2) | DID}, 0},
        {"context-cache, by device", {TYPE(CONTEXT) | G(3) | DID | RID_HIGH}, 0},
        {"context-cache, by device, with a function mask",
         {TYPE(CONTEXT) | G(3) | RID_HIGH | 3ull << 48},
         0},
        {"context-cache, of a device that is not there",
         {TYPE(CONTEXT) | G(3) | 0xffffull << 32},
         0},
        {"IOTLB, global", {TYPE(IOTLB) | G(1)}, 0},
        {"IOTLB, by domain", {TYPE(IOTLB) | G(2) | DID}, 0},
        {"IOTLB, by page", {TYPE(IOTLB) | G(3) | DID, VTDM_IOVA}, 0},
        {"IOTLB, by 8 pages, leaves", {TYPE(IOTLB) | G(3) | DID, 0x8000 | 1 << 6 | 3}, 0},
        {"IOTLB, draining", {TYPE(IOTLB) | G(1) | 3 << 6}, 0},
        {"PASID-based IOTLB, all", {TYPE(PASID_IOTLB) | G(2) | DID}, 0},
        {"PASID-based IOTLB, by page", {TYPE(PASID_IOTLB) | G(3) | DID, VTDM_IOVA}, 0},
        {"PASID-based IOTLB, by 8 pages, leaves",
         {TYPE(PASID_IOTLB) | G(3) | DID, 0x8000 | 1 << 6 | 3},
         0},
        {"PASID-cache, by domain", {TYPE(PASID_CACHE) | G(0) | DID}, 0},
        {"PASID-cache, by PASID", {TYPE(PASID_CACHE) | G(1) | DID}, 0},
        {"PASID-cache, global", {TYPE(PASID_CACHE) | G(3)}, 0},
        {"interrupt entry cache, global", {TYPE(INTERRUPT)}, 0},
        {"a wait for nothing", {TYPE(WAIT)}, 0},
        {"a wait that fences", {TYPE(WAIT) | 1 << 6}, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(descriptors); i++) {
        vtdm_queue_wide(vm, descriptors[i].words);
        vtdm_queue_wait(vm);
        tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "%s completes", descriptors[i].name);
        if (vtdm_queue_error(vm))
            vtdm_acknowledge(vm);
    }
}

/* Between two that are right: the queue stops at the one that is not. */
static void stops_at(VtdMachine *vm, const Descriptor *bad)
{
    guint at;

    vtdm_queue(vm, TYPE(IOTLB) | G(1), 0);
    at = vm->tail;
    vtdm_queue_wide(vm, bad->words);
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
    if (!tap_ok(vtdm_head(vm) == at && vtdm_queue_error(vm) == bad->code &&
                    !vtdm_waited(vm),
                "%s is error %u, at its index", bad->name, bad->code))
        tap_note("index %u of %u, error %u", vtdm_head(vm), at, vtdm_queue_error(vm));
    if (vtdm_get(vm, VTDM_FSTS) & VTDM_IQE)
        vtdm_acknowledge(vm);
}

static void test_illegal(VtdMachine *vm)
{
    static const Descriptor descriptors[] = {
        {"type 0", {0}, VTDM_IQEI_TYPE},
        {"type 0xa", {0xa}, VTDM_IQEI_TYPE},
        {"type 0xf", {0xf}, VTDM_IQEI_TYPE},
        {"type 0x12, in seven bits", {0x2 | 1 << 9 | G(1)}, VTDM_IQEI_TYPE},
        {"context-cache, granularity 0", {TYPE(CONTEXT)}, VTDM_IQEI_RESERVED},
        {"IOTLB, granularity 0", {TYPE(IOTLB)}, VTDM_IQEI_RESERVED},
        {"PASID-based IOTLB, granularity 0",
         {TYPE(PASID_IOTLB) | G(0)},
         VTDM_IQEI_RESERVED},
        {"PASID-based IOTLB, granularity 1",
         {TYPE(PASID_IOTLB) | G(1)},
         VTDM_IQEI_RESERVED},
        {"PASID-cache, granularity 2", {TYPE(PASID_CACHE) | G(2)}, VTDM_IQEI_RESERVED},
        {"context-cache, bit 6", {TYPE(CONTEXT) | G(1) | 1 << 6}, VTDM_IQEI_RESERVED},
        {"context-cache, bit 12", {TYPE(CONTEXT) | G(1) | 1 << 12}, VTDM_IQEI_RESERVED},
        {"context-cache, bit 50", {TYPE(CONTEXT) | G(1) | 1ull << 50}, VTDM_IQEI_RESERVED},
        {"context-cache, bit 64", {TYPE(CONTEXT) | G(1), 1}, VTDM_IQEI_RESERVED},
        {"IOTLB, bit 8", {TYPE(IOTLB) | G(1) | 1 << 8}, VTDM_IQEI_RESERVED},
        {"IOTLB, bit 12", {TYPE(IOTLB) | G(1) | 1 << 12}, VTDM_IQEI_RESERVED},
        {"IOTLB, bit 32", {TYPE(IOTLB) | G(1) | 1ull << 32}, VTDM_IQEI_RESERVED},
        {"IOTLB, bit 71", {TYPE(IOTLB) | G(3), 1 << 7}, VTDM_IQEI_RESERVED},
        {"PASID-based IOTLB, bit 6",
         {TYPE(PASID_IOTLB) | G(2) | 1 << 6},
         VTDM_IQEI_RESERVED},
        {"PASID-based IOTLB, bit 12",
         {TYPE(PASID_IOTLB) | G(2) | 1 << 12},
         VTDM_IQEI_RESERVED},
        {"PASID-based IOTLB, bit 52",
         {TYPE(PASID_IOTLB) | G(2) | 1ull << 52},
         VTDM_IQEI_RESERVED},
        {"PASID-based IOTLB, bit 71",
         {TYPE(PASID_IOTLB) | G(3), 1 << 7},
         VTDM_IQEI_RESERVED},
        {"PASID-cache, bit 6", {TYPE(PASID_CACHE) | G(3) | 1 << 6}, VTDM_IQEI_RESERVED},
        {"PASID-cache, bit 52",
         {TYPE(PASID_CACHE) | G(3) | 1ull << 52},
         VTDM_IQEI_RESERVED},
        {"PASID-cache, bit 64", {TYPE(PASID_CACHE) | G(3), 1}, VTDM_IQEI_RESERVED},
        {"wait, bit 8", {TYPE(WAIT) | 1 << 8}, VTDM_IQEI_RESERVED},
        {"wait, bit 12", {TYPE(WAIT) | 1 << 12}, VTDM_IQEI_RESERVED},
        {"wait, bit 64", {TYPE(WAIT) | 1 << 5, 1}, VTDM_IQEI_RESERVED},
        {"bit 128", {TYPE(IOTLB) | G(1), 0, 1}, VTDM_IQEI_RESERVED},
        {"bit 255", {TYPE(IOTLB) | G(1), 0, 0, 1ull << 63}, VTDM_IQEI_RESERVED},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(descriptors); i++)
        stops_at(vm, &descriptors[i]);
    tap_is(vtdm_head(vm), vm->tail, "acknowledged, the queue goes on by itself");
}

static void test_offered(VtdMachine *vm)
{
    static const Descriptor device_tlb[] = {
        {"device-TLB", {TYPE(DEVICE_TLB) | RID_HIGH, 1}, VTDM_IQEI_TYPE},
        {"PASID-based device-TLB",
         {TYPE(PASID_DEVICE_TLB) | VTDM_RID << 16, 1 << 11},
         VTDM_IQEI_TYPE},
    };
    static const Descriptor response = {
        "page group response", {TYPE(PAGE_RESPONSE) | VTDM_RID << 16}, VTDM_IQEI_TYPE};
    const Descriptor mask = {"IOTLB, AM beyond MAMV",
                             {TYPE(IOTLB) | G(3), vtdm_cap(vm, VTDM_CAP_MAMV, 6) + 1},
                             VTDM_IQEI_RESERVED};

    for (gsize i = 0; i < G_N_ELEMENTS(device_tlb); i++) {
        if (vtdm_ecap(vm, VTDM_ECAP_DT, 1))
            tap_skip("ECAP.DT is offered", "%s without it", device_tlb[i].name);
        else
            stops_at(vm, &device_tlb[i]);
    }
    if (vtdm_ecap(vm, VTDM_ECAP_PRS, 1))
        tap_skip("ECAP.PRS is offered", "%s without it", response.name);
    else
        stops_at(vm, &response);
    if (vtdm_cap(vm, VTDM_CAP_MAMV, 6) < 63)
        stops_at(vm, &mask);
    else
        tap_skip("MAMV is 63", "%s", mask.name);
}

/* What goes with the root table: its mode, and the width of descriptors. */
static void test_modes(const Target *target)
{
    static const Descriptor scalable_only[] = {
        {"legacy mode: PASID-based IOTLB", {TYPE(PASID_IOTLB) | G(2) | DID}, VTDM_IQEI_TTM},
        {"legacy mode: PASID-cache", {TYPE(PASID_CACHE) | G(3)}, VTDM_IQEI_TTM},
    };
    const Descriptor narrow = {
        "scalable mode: a 128-bit descriptor", {TYPE(IOTLB) | G(1)}, VTDM_IQEI_WIDTH};
    const ViommuVtdConfig config = {.pasid_bits = -1, .scalable_mode = VIOMMU_OFF};
    const Descriptor unknown = {
        "no ECAP.SMTS: PASID-cache", {TYPE(PASID_CACHE) | G(3)}, VTDM_IQEI_TYPE};
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, target, target->first, NULL), "a machine"))
        return;
    vtdm_start(&vm, VTDM_LEGACY);
    tap_ok(vtdm_issue(&vm, TYPE(IOTLB) | G(1), 0), "legacy mode: 128-bit descriptors");
    for (gsize i = 0; i < G_N_ELEMENTS(scalable_only); i++)
        stops_at(&vm, &scalable_only[i]);
    vtdm_set_queue(&vm, TRUE);
    tap_ok(vtdm_issue(&vm, TYPE(IOTLB) | G(1), 0), "legacy mode: 256-bit descriptors");
    vtdm_command(&vm, VTDM_TE, FALSE);
    vtdm_set_queue(&vm, FALSE);
    vtdm_set_root(&vm, VTDM_SCALABLE, vm.root);
    vtdm_queue_wide(&vm, narrow.words);
    vtdm_ring(&vm);
    tap_ok(vtdm_head(&vm) == 0 && vtdm_queue_error(&vm) == VTDM_IQEI_WIDTH,
           "%s is error %u", narrow.name, VTDM_IQEI_WIDTH);
    vtdm_clear(&vm);
    if (!vtdm_init(&vm, target, target->first, &config))
        return;
    vtdm_start(&vm, VTDM_LEGACY);
    stops_at(&vm, &unknown);
    vtdm_clear(&vm);
}

static void test_tail(VtdMachine *vm)
{
    vtdm_start(vm, VTDM_SCALABLE);
    vtdm_set(vm, VTDM_IQT, 1 << 4);
    tap_is(vtdm_queue_error(vm), VTDM_IQEI_ALIGNMENT, "a tail off 256 bits is error 6");
    vtdm_start(vm, VTDM_SCALABLE);
    vm->counted = vm->queue;
    vm->n_reads = 0;
    vtdm_set(vm, VTDM_IQT, vtdm_queue_size(vm) << 5);
    tap_is(vtdm_queue_error(vm), VTDM_IQEI_TAIL, "a tail beyond the queue is error 1");
    tap_ok(vtdm_head(vm) < vtdm_queue_size(vm), "... and the head stays in it");
    vm->counted = 0;
    vtdm_start(vm, VTDM_SCALABLE);
    tap_ok(vtdm_issue(vm, TYPE(IOTLB) | G(1), 0), "a queue set up anew works");
}

/* What is before a bad descriptor is done, what is behind it is not. */
static void test_position(VtdMachine *vm)
{
    guint64 other = vtdm_alloc(vm, GUEST_PAGE), third = vtdm_alloc(vm, GUEST_PAGE);
    const guint64 page_flush = vtdm_page_flush(vm, VTDM_DID, 0);
    guint at;

    vtdm_install(vm, VTDM_RID, &vm->domain);
    guest_vtd_map(&vm->domain, VTDM_IOVA + 0x1000, third, TRUE);
    vtdm_issue(vm, page_flush, VTDM_IOVA + 0x1000); /* as caching mode wants it */
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, vm->page) &&
               vtdm_reaches(vm, 0, VTDM_IOVA + 0x1000, third),
           "two pages are mapped and used");
    guest_vtd_map(&vm->domain, VTDM_IOVA, other, TRUE);
    guest_vtd_map(&vm->domain, VTDM_IOVA + 0x1000, other, TRUE);
    vm->n_msis[VTDM_FAULT_EVENT] = 0;
    vtdm_queue(vm, page_flush, VTDM_IOVA);
    at = vm->tail;
    vtdm_queue(vm, 0xf, 0);
    vtdm_queue(vm, page_flush, VTDM_IOVA + 0x1000);
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
    tap_is(vtdm_head(vm), at, "the queue stops at a bad descriptor");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA, other), "... with the flush before it done");
    tap_is(vm->n_msis[VTDM_FAULT_EVENT], 1, "... and a fault event");
    vtdm_ring(vm);
    tap_is(vtdm_head(vm), at, "... and the doorbell moves nothing");
    tap_is(vm->n_msis[VTDM_FAULT_EVENT], 1, "... nor is there another event");
    vtdm_set(vm, VTDM_FSTS, VTDM_IQE);
    tap_ok(vtdm_head(vm) == at && vtdm_queue_error(vm) == VTDM_IQEI_TYPE,
           "IQE cleared, the same descriptor is bad again");
    vtdm_acknowledge(vm);
    tap_ok(vtdm_head(vm) == vm->tail && vtdm_waited(vm),
           "put right, it is read anew, and the queue goes on");
    tap_ok(vtdm_reaches(vm, 0, VTDM_IOVA + 0x1000, other), "... the flush behind it done");
    guest_vtd_map(&vm->domain, VTDM_IOVA, vm->page, TRUE);
    guest_vtd_unmap(&vm->domain, VTDM_IOVA + 0x1000);
    vtdm_flush_tables(vm, VTDM_DID, 0);
}

static void test_wrap(VtdMachine *vm)
{
    guint size = vtdm_queue_size(vm);
    gboolean ok = TRUE;

    for (guint i = 0; i < 5 * size; i++) {
        vtdm_queue(vm, vtdm_page_flush(vm, VTDM_DID, 0), (guint64)i << 12);
        if (i % 50 == 0)
            ok &= vtdm_ring(vm);
    }
    tap_ok(vtdm_ring(vm) && ok, "the queue wraps, again and again");
    for (guint i = 1; i < size; i++)
        vtdm_queue(vm, TYPE(WAIT), 0);
    tap_ok(vtdm_ring(vm), "a full queue is consumed by one doorbell");
    vm->counted = vm->queue;
    vm->n_reads = 0;
    vtdm_ring(vm);
    tap_is(vm->n_reads, 0, "a doorbell without descriptors does nothing");
    vm->counted = 0;
}

/* Memory is hostile: each descriptor is read once. */
static void test_once(VtdMachine *vm)
{
    vtdm_start(vm, VTDM_SCALABLE);
    vm->counted = vm->queue;
    vm->read_bytes = 0;
    for (guint i = 0; i < 10; i++)
        vtdm_queue(vm, TYPE(IOTLB) | G(1), 0);
    vtdm_ring(vm);
    tap_is(vm->read_bytes, 10 * 32, "each descriptor is read once");
    vm->counted = 0;
}

static void test_switch(VtdMachine *vm)
{
    vtdm_start(vm, VTDM_SCALABLE);
    vtdm_command(vm, VTDM_QIE, FALSE);
    vm->tail = 0;
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
    tap_ok(!vtdm_waited(vm), "a queue that is off consumes nothing");
    vtdm_set_queue(vm, TRUE);
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "switched on, it does");
    vtdm_command(vm, VTDM_QIE, FALSE);
    vtdm_set(vm, VTDM_IQT, 0);
    vtdm_command(vm, VTDM_QIE, TRUE);
    tap_is(vtdm_head(vm), 0, "off and on again, it begins at 0");
    vm->tail = 0;
    vtdm_queue_wait(vm);
    tap_ok(vtdm_ring(vm) && vtdm_waited(vm), "... and works");
}

/* The queue made smaller under a driver's feet: nothing is right, but all is bounded. */
static void test_moved(VtdMachine *vm)
{
    guint size = vtdm_queue_size(vm);

    vtdm_start(vm, VTDM_SCALABLE);
    for (guint i = 0; i < size - 2; i++)
        vtdm_queue(vm, TYPE(WAIT), 0);
    vtdm_ring(vm);
    vtdm_set64(vm, VTDM_IQA, vm->queue | 1 << 11);
    vm->counted = vm->queue;
    vm->read_bytes = 0;
    vtdm_set(vm, VTDM_IQT, 3 << 5);
    tap_ok(vm->read_bytes <= GUEST_PAGE, "a queue made smaller while it runs is bounded");
    vm->counted = 0;
    vtdm_start(vm, VTDM_SCALABLE);
    tap_ok(vtdm_issue(vm, TYPE(IOTLB) | G(1), 0), "... and set up anew works");
}

static void test_unreadable(VtdMachine *vm)
{
    vtdm_start(vm, VTDM_SCALABLE);
    vtdm_command(vm, VTDM_QIE, FALSE);
    vtdm_set(vm, VTDM_IQT, 0);
    vtdm_set64(vm, VTDM_IQA, VTDM_NOWHERE | 1 << 11);
    vtdm_command(vm, VTDM_QIE, TRUE);
    vtdm_set(vm, VTDM_IQT, 1 << 5);
    tap_is(vtdm_queue_error(vm), VTDM_IQEI_FETCH, "an unreadable queue is error 2");
    tap_is(vtdm_head(vm), 0, "... at its index");
    vtdm_start(vm, VTDM_SCALABLE);
    vm->hole = vm->queue;
    vtdm_queue_wait(vm);
    vtdm_ring(vm);
    tap_is(vtdm_queue_error(vm), VTDM_IQEI_FETCH, "a hole in the queue too");
    vm->hole = 0;
    vtdm_set(vm, VTDM_FSTS, VTDM_IQE);
    tap_ok(vtdm_head(vm) == vm->tail && vtdm_waited(vm),
           "filled, and IQE cleared, it goes on");
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        test_legal(&vm);
        test_illegal(&vm);
        test_offered(&vm);
        test_position(&vm);
        test_wrap(&vm);
        test_tail(&vm);
        test_once(&vm);
        test_switch(&vm);
        test_moved(&vm);
        test_unreadable(&vm);
        vtdm_clear(&vm);
    }
    test_modes(&target);
    target_clear(&target);
    return tap_done();
}
