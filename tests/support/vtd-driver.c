/* SPDX-License-Identifier: MIT */
/*
 * What a guest's driver does with a VT-d unit: registers, tables, the invalidation queue,
 * faults and page requests. See vtd-machine.h.
 */
#include <string.h>

#include "vtd-machine.h"

#define BIT(n)       (1ull << (n))
#define TABLE(entry) ((entry)&0x000ffffffffff000ull)
enum { P = 1, PASIDE = 8, CONTEXT_SIZE = 16, SM_CONTEXT_SIZE = 32 };

/* --- registers --------------------------------------------------------------------------
 */

gboolean vtdm_command(VtdMachine *vm, guint32 bit, gboolean on)
{
    /* 11.4.4.1: all but one-shot bits as they are. */
    guint32 kept = vtdm_get(vm, VTDM_GSTS) & 0x96ffffff;

    vtdm_set(vm, VTDM_GCMD, on ? kept | bit : kept & ~bit);
    return !!(vtdm_get(vm, VTDM_GSTS) & bit) == on;
}

void vtdm_set_queue(VtdMachine *vm, gboolean wide)
{
    vtdm_command(vm, VTDM_QIE, FALSE);
    vtdm_clear_queue_errors(vm);
    if (!vm->queue)
        vm->queue = vtdm_alloc(vm, (gsize)GUEST_PAGE << vm->queue_order);
    vm->wide = wide;
    vm->tail = 0;
    vtdm_set(vm, VTDM_IQT, 0);
    vtdm_set64(vm, VTDM_IQA, vm->queue | (wide ? BIT(11) : 0) | vm->queue_order);
    vtdm_command(vm, VTDM_QIE, TRUE);
}

void vtdm_set_root(VtdMachine *vm, VtdmMode mode, guint64 root)
{
    vm->mode = mode;
    vm->root = root;
    vtdm_set64(vm, VTDM_RTADDR, root | (mode == VTDM_SCALABLE ? BIT(10) : 0));
    vtdm_command(vm, VTDM_SRTP, TRUE);
}

static void set_event(VtdMachine *vm, guint control, guint8 vector)
{
    /* Data, address and upper address follow the control register. */
    vtdm_set(vm, control + 4, vector);
    vtdm_set(vm, control + 8, VTDM_MSI);
    vtdm_set(vm, control + 12, 0);
    vtdm_set(vm, control, 0);
}

void vtdm_set_events(VtdMachine *vm)
{
    set_event(vm, VTDM_FECTL, VTDM_FAULT_EVENT);
    set_event(vm, VTDM_IECTL, VTDM_WAIT_EVENT);
    if (vtdm_ecap(vm, VTDM_ECAP_PRS, 1))
        set_event(vm, VTDM_PECTL, VTDM_PAGE_EVENT);
}

void vtdm_set_page_queue(VtdMachine *vm)
{
    if (!vm->requests)
        vm->requests = vtdm_alloc(vm, GUEST_PAGE);
    vtdm_set64(vm, VTDM_PQH, 0);
    vtdm_set64(vm, VTDM_PQT, 0);
    vtdm_set64(vm, VTDM_PQA, vm->requests);
}

gboolean vtdm_flush_all(VtdMachine *vm)
{
    vtdm_queue(vm, guest_vtd_inv_context(GUEST_CONTEXT_GLOBAL, 0, 0, 0), 0);
    if (vm->mode == VTDM_SCALABLE)
        vtdm_queue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
    return vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0);
}

void vtdm_start(VtdMachine *vm, VtdmMode mode)
{
    vtdm_command(vm, VTDM_TE, FALSE);
    vtdm_drain_faults(vm);
    if (!vm->root || vm->mode != mode)
        vm->root = vtdm_alloc(vm, GUEST_PAGE);
    vtdm_set_queue(vm, mode == VTDM_SCALABLE);
    vtdm_set_root(vm, mode, vm->root);
    vtdm_flush_all(vm);
    if (vtdm_ecap(vm, VTDM_ECAP_PRS, 1))
        vtdm_set_page_queue(vm);
    vtdm_set_events(vm);
    vtdm_command(vm, VTDM_TE, TRUE);
}

/* --- tables -----------------------------------------------------------------------------
 */

/* The table that an entry leads to, made if it is not present. */
static guint64 follow(VtdMachine *vm, guint64 at)
{
    guint64 entry = vtdm_load(vm, at);

    if (!(entry & P)) {
        entry = vtdm_alloc(vm, GUEST_PAGE) | P;
        vtdm_store(vm, at, entry);
    }
    return TABLE(entry);
}

guint64 vtdm_context_at(VtdMachine *vm, guint16 rid)
{
    guint devfn = rid & 0xff;
    guint64 at = vm->root + 16 * (rid >> 8);

    if (vm->mode == VTDM_LEGACY)
        return follow(vm, at) + CONTEXT_SIZE * devfn;
    return follow(vm, at + 8 * (devfn >> 7)) + SM_CONTEXT_SIZE * (devfn & 0x7f);
}

void vtdm_put_context(VtdMachine *vm, guint16 rid, guint64 word0, guint64 word1)
{
    guint64 at = vtdm_context_at(vm, rid);

    vtdm_store(vm, at, 0); /* as a driver does: never present while half written */
    vtdm_store(vm, at + 8, word1);
    vtdm_store(vm, at, word0);
}

guint64 vtdm_pasid_at(VtdMachine *vm, guint16 rid, guint32 pasid)
{
    guint64 at = vtdm_context_at(vm, rid), words[2], table;

    if (!(vtdm_load(vm, at) & P)) {
        guest_vtd_context_pasids(words, vtdm_alloc(vm, GUEST_PAGE), 0,
                                 vtdm_ecap(vm, VTDM_ECAP_PASID, 1), 0);
        vtdm_put_context(vm, rid, words[0], words[1]);
    }
    table = follow(vm, TABLE(vtdm_load(vm, at)) + 8 * (pasid >> 6));
    return table + 8 * GUEST_VTD_PASID_WORDS * (pasid & 0x3f);
}

void vtdm_put_pasid(VtdMachine *vm, guint16 rid, guint32 pasid,
                    const guint64 words[GUEST_VTD_PASID_WORDS])
{
    guint64 at = vtdm_pasid_at(vm, rid, pasid);

    vtdm_store(vm, at, 0);
    for (guint i = GUEST_VTD_PASID_WORDS; i-- > 0;)
        vtdm_store(vm, at + 8 * i, words[i]);
}

/* --- entries, and telling the unit ------------------------------------------------------
 */

static void queue_pasid_flush(VtdMachine *vm, guint16 did, guint32 pasid)
{
    vtdm_queue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_PASID, did, pasid), 0);
    vtdm_queue(vm, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, did, pasid), 0);
}

void vtdm_install_pasid(VtdMachine *vm, guint16 rid, guint32 pasid,
                        const guint64 words[GUEST_VTD_PASID_WORDS])
{
    guint64 context = vtdm_context_at(vm, rid), at, before;
    gboolean was_there = vtdm_load(vm, context) & P;
    guint16 old_did, did = words[1];

    at = vtdm_pasid_at(vm, rid, pasid);
    before = vtdm_load(vm, at);
    old_did = vtdm_load(vm, at + 8);
    vtdm_put_pasid(vm, rid, pasid, words);
    if (!was_there)
        vtdm_queue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, 0, rid, 0), 0);
    if ((before & P) && old_did != did)
        queue_pasid_flush(vm, old_did, pasid);
    queue_pasid_flush(vm, did, pasid);
    vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, did), 0);
}

void vtdm_install_context(VtdMachine *vm, guint16 rid, guint64 word0, guint64 word1)
{
    guint64 at = vtdm_context_at(vm, rid);
    guint64 old[2] = {vtdm_load(vm, at), vtdm_load(vm, at + 8)};
    /* Scalable-mode entries have no domain ID; of what is not present it is 0. */
    guint16 old_did = vm->mode == VTDM_LEGACY && (old[0] & P) ? old[1] >> 8 : 0;
    guint16 did = vm->mode == VTDM_LEGACY ? word1 >> 8 : 0;

    vtdm_put_context(vm, rid, word0, word1);
    vtdm_queue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, old_did, rid, 0), 0);
    if (vm->mode == VTDM_SCALABLE) {
        vtdm_queue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
        vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0);
        return;
    }
    if (did != old_did)
        vtdm_queue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, did, rid, 0), 0);
    vtdm_queue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, old_did), 0);
    vtdm_issue(vm, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, did), 0);
}

void vtdm_install(VtdMachine *vm, guint16 rid, const GuestVtdDomain *domain)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    if (vm->mode == VTDM_LEGACY) {
        guest_vtd_context_table(words, domain);
        vtdm_install_context(vm, rid, words[0], words[1]);
    } else {
        guest_vtd_pasid_table(words, domain);
        vtdm_install_pasid(vm, rid, 0, words);
    }
}

void vtdm_install_pass_through(VtdMachine *vm, guint16 rid)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    if (vm->mode == VTDM_LEGACY) {
        guest_vtd_context_pass_through(words, VTDM_PT_DID, vtdm_aw(vm));
        vtdm_install_context(vm, rid, words[0], words[1]);
    } else {
        guest_vtd_pasid_pass_through(words, VTDM_PT_DID, vtdm_aw(vm));
        vtdm_install_pasid(vm, rid, 0, words);
    }
}

void vtdm_remove(VtdMachine *vm, guint16 rid)
{
    const guint64 nothing[GUEST_VTD_PASID_WORDS] = {0};

    if (vm->mode == VTDM_LEGACY)
        vtdm_install_context(vm, rid, 0, 0);
    else
        vtdm_install_pasid(vm, rid, 0, nothing);
}

/* --- the invalidation queue -------------------------------------------------------------
 */

static guint shift(const VtdMachine *vm)
{
    return vm->wide ? 5 : 4;
}

guint vtdm_queue_size(VtdMachine *vm)
{
    return (GUEST_PAGE << vm->queue_order) >> shift(vm);
}

void vtdm_queue_wide(VtdMachine *vm, const guint64 words[4])
{
    guint64 at = vm->queue + ((guint64)vm->tail << shift(vm));

    for (guint i = 0; i < (vm->wide ? 4 : 2); i++)
        vtdm_store(vm, at + 8 * i, words[i]);
    vm->tail = (vm->tail + 1) % vtdm_queue_size(vm);
}

void vtdm_queue(VtdMachine *vm, guint64 word0, guint64 word1)
{
    const guint64 words[4] = {word0, word1};

    vtdm_queue_wide(vm, words);
}

void vtdm_queue_wait(VtdMachine *vm)
{
    vtdm_queue(vm, guest_vtd_inv_wait(++vm->sequence), vm->status);
}

guint vtdm_head(VtdMachine *vm)
{
    return vtdm_get64(vm, VTDM_IQH) >> shift(vm);
}

guint vtdm_queue_error(VtdMachine *vm)
{
    return vtdm_get(vm, VTDM_FSTS) & VTDM_IQE ? vtdm_get64(vm, VTDM_IQERCD) & 0xf : 0;
}

gboolean vtdm_ring(VtdMachine *vm)
{
    vtdm_set(vm, VTDM_IQT, vm->tail << shift(vm));
    return vtdm_head(vm) == vm->tail && !(vtdm_get(vm, VTDM_FSTS) & VTDM_IQE);
}

gboolean vtdm_waited(VtdMachine *vm)
{
    return (guint32)vtdm_load(vm, vm->status) == vm->sequence;
}

gboolean vtdm_issue(VtdMachine *vm, guint64 word0, guint64 word1)
{
    vtdm_queue(vm, word0, word1);
    vtdm_queue_wait(vm);
    return vtdm_ring(vm) && vtdm_waited(vm);
}

gboolean vtdm_flush_context(VtdMachine *vm, guint16 rid, guint16 did)
{
    return vtdm_issue(vm, guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, did, rid, 0), 0);
}

gboolean vtdm_flush_pasid(VtdMachine *vm, guint16 did, guint32 pasid)
{
    return vtdm_issue(vm, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_PASID, did, pasid),
                      0);
}

guint64 vtdm_page_flush(const VtdMachine *vm, guint16 did, guint32 pasid)
{
    return vm->nests ? guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_PAGE, did, pasid)
                     : guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, did);
}

guint64 vtdm_tables_flush(const VtdMachine *vm, guint16 did, guint32 pasid)
{
    return vm->nests ? guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, did, pasid)
                     : guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, did);
}

gboolean vtdm_flush_page(VtdMachine *vm, guint16 did, guint32 pasid, guint64 iova)
{
    return vtdm_issue(vm, vtdm_page_flush(vm, did, pasid),
                      guest_vtd_inv_pages(iova, 0, FALSE));
}

gboolean vtdm_flush_tables(VtdMachine *vm, guint16 did, guint32 pasid)
{
    return vtdm_issue(vm, vtdm_tables_flush(vm, did, pasid), 0);
}

void vtdm_acknowledge(VtdMachine *vm)
{
    guint64 at = vm->queue + ((guint64)vtdm_head(vm) << shift(vm));
    const guint64 words[4] = {guest_vtd_inv_wait(0), vm->status + 8};

    if (vtdm_head(vm) != vm->tail)
        for (guint i = 0; i < (vm->wide ? 4 : 2); i++)
            vtdm_store(vm, at + 8 * i, words[i]);
    vtdm_set(vm, VTDM_FSTS, VTDM_IQE);
}

void vtdm_clear_queue_errors(VtdMachine *vm)
{
    vtdm_set(vm, VTDM_FSTS, VTDM_IQE | VTDM_ICE | VTDM_ITE);
}

/* --- faults -----------------------------------------------------------------------------
 */

guint vtdm_record(VtdMachine *vm, guint n)
{
    return 16 * (vtdm_cap(vm, VTDM_CAP_FRO, 10) + n);
}

static void decode(guint64 low, guint64 high, VtdmFault *ret_fault)
{
    *ret_fault = (VtdmFault){
        .reason = high >> 32,
        .rid = high,
        .type = (high >> 62 & 1) << 1 | (high >> 28 & 1),
        .read = (high >> 62 & 1) && !(high >> 28 & 1),
        .has_pasid = high >> 31 & 1,
        .pasid = high >> 40 & 0xfffff,
        .execute = high >> 30 & 1,
        .privileged = high >> 29 & 1,
        .address = low & ~0xfffull,
    };
}

gboolean vtdm_next_fault(VtdMachine *vm, VtdmFault *ret_fault)
{
    guint n_records = vtdm_cap(vm, VTDM_CAP_NFR, 8) + 1;
    guint32 status = vtdm_get(vm, VTDM_FSTS);

    if (!(status & VTDM_PPF))
        return FALSE;
    for (guint i = 0; i < n_records; i++) {
        guint at = vtdm_record(vm, ((status >> 8 & 0xff) + i) % n_records);
        guint64 high = vtdm_get64(vm, at + 8);

        if (high >> 63) {
            decode(vtdm_get64(vm, at), high, ret_fault);
            vtdm_set(vm, at + 12, 1u << 31);
            return TRUE;
        }
    }
    return FALSE;
}

guint vtdm_fault_reason(VtdMachine *vm)
{
    VtdmFault fault;

    return vtdm_next_fault(vm, &fault) ? fault.reason : 0;
}

guint vtdm_fault_with(VtdMachine *vm, guint16 rid, guint64 at, guint64 word)
{
    guint64 before = vtdm_load(vm, at);
    VtdmFault fault = {0};
    gboolean refused;

    vtdm_drain_faults(vm);
    vtdm_store(vm, at, word);
    vtdm_flush_all(vm);
    refused = vtdm_reads(vm, rid, VTDM_IOVA) == VTDM_REFUSED;
    if (!refused || !vtdm_next_fault(vm, &fault) || fault.rid != rid)
        fault.reason = 0;
    vtdm_store(vm, at, before);
    vtdm_flush_all(vm);
    return fault.reason;
}

void vtdm_drain_faults(VtdMachine *vm)
{
    VtdmFault fault;

    while (vtdm_next_fault(vm, &fault))
        ;
    vtdm_set(vm, VTDM_FSTS, VTDM_PFO);
}

/* --- page requests ----------------------------------------------------------------------
 */

gboolean vtdm_next_request(VtdMachine *vm, VtdmPageRequest *ret_request)
{
    guint64 head, word[2];

    viommu_vtd_handle_events(vm->vtd);
    head = vtdm_get64(vm, VTDM_PQH);
    if (head == vtdm_get64(vm, VTDM_PQT))
        return FALSE;
    word[0] = vtdm_load(vm, vm->requests + head);
    word[1] = vtdm_load(vm, vm->requests + head + 8);
    *ret_request = (VtdmPageRequest){
        .type = word[0] & 0xff,
        .has_pasid = word[0] >> 8 & 1,
        .rid = word[0] >> 16,
        .pasid = word[0] >> 32 & 0xfffff,
        .execute = word[0] >> 52 & 1,
        .privileged = word[0] >> 53 & 1,
        .read = word[1] & 1,
        .write = word[1] >> 1 & 1,
        .last = word[1] >> 2 & 1,
        .group = word[1] >> 3 & 0x1ff,
        .address = word[1] & ~0xfffull,
    };
    vtdm_set64(vm, VTDM_PQH, (head + 32) % GUEST_PAGE);
    return TRUE;
}

gboolean vtdm_respond(VtdMachine *vm, const VtdmPageRequest *request, guint code)
{
    return vtdm_issue(vm,
                      GUEST_INV_PAGE_RESPONSE | (request->has_pasid ? 1 << 4 : 0) |
                          code << 12 | (guint64)request->rid << 16 |
                          (guint64)request->pasid << 32,
                      request->group << 3);
}
