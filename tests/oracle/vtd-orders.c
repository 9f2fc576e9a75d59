/* SPDX-License-Identifier: MIT */
/*
 * What the random guest of the VT-d oracle tells its unit: descriptors, the queue, and what
 * a tidy guest makes of a change.
 *
 * Invariant: the model is told of every invalidation when its wait has been seen.
 *
 * Up: vtd-world.c, test-vtd-device-oracle.c. Down: vtd-model.c, the machine of
 * tests/support.
 */
#include "vtd-orders.h"

/* --- descriptors ------------------------------------------------------------------------
 */

static Order context_order(World *w, guint rid, int did)
{
    static const guint8 masks[] = {0, 4, 6, 7};
    guint how = world_pick(w, 12), fm = world_one_in(w, 4) ? world_pick(w, 4) : 0;
    Order order = {.forget = {.what = FORGET_CONTEXTS,
                              .rids = BIT(RIDS) - 1,
                              .did = world_is_legacy(w) && how ? did : ANY}};
    guint16 number = world_did(did);

    if (how == 0) {
        order.words[0] = guest_vtd_inv_context(GUEST_CONTEXT_GLOBAL, 0, 0, 0);
        return order;
    }
    if (how == 1) {
        order.words[0] = guest_vtd_inv_context(GUEST_CONTEXT_DOMAIN, number, 0, 0);
        return order;
    }
    order.words[0] =
        guest_vtd_inv_context(GUEST_CONTEXT_DEVICE, number, world_rids[rid], fm);
    order.forget.rids = 0;
    for (guint r = 0; r < RIDS; r++)
        if (!((world_rids[r] ^ world_rids[rid]) & ~masks[fm]))
            order.forget.rids |= BIT(r);
    return order;
}

static Order entry_order(World *w, guint pasid, int did)
{
    guint how = world_pick(w, 12);
    guint16 number = world_did(did);
    Order order = {.forget = {.what = FORGET_ENTRIES, .did = did, .pasid = ANY}};

    if (how == 0) {
        order.words[0] = guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0);
        order.forget.did = ANY;
    } else if (how == 1) {
        order.words[0] = guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_DOMAIN, number, 0);
    } else {
        order.words[0] =
            guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_PASID, number, world_pasids[pasid]);
        order.forget.pasid = (int)pasid;
    }
    return order;
}

static guint32 pages_within(const World *w, guint64 address, guint order)
{
    guint64 below = (1ull << (order + 12)) - 1;
    guint32 pages = 0;

    for (guint p = 0; p < PAGES; p++)
        if (!((world_iova(w, p) ^ address) & ~below))
            pages |= BIT(p);
    return pages;
}

/* Of a domain: all translations. */
static Order domain_order(World *w, int did)
{
    Order order = {.forget = {.what = FORGET_DOMAIN, .did = did}};

    order.words[0] = guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, world_did(did));
    if (world_one_in(w, 3)) {
        order.words[0] = guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0);
        order.forget.did = ANY;
    }
    return order;
}

/* Of a space: the pages of an address and more, or of a region and more. */
static Order page_order(World *w, guint space, guint page, gboolean region, gboolean leaf)
{
    static const guint8 small[] = {0, 0, 0, 0, 0, 1, 2, 3}, large[] = {9, 9, 9, 10, 18};
    guint mask = region ? large[world_pick(w, G_N_ELEMENTS(large))]
                        : small[world_pick(w, G_N_ELEMENTS(small))];
    Order order = {
        .forget = {.pages = pages_within(w, world_iova(w, page), mask), .leaf = leaf}};

    order.words[1] = guest_vtd_inv_pages(world_iova(w, page), mask, leaf);
    if (space < FIRST_SPACES) {
        order.forget.what = FORGET_FIRST;
        order.forget.did = (int)(space / PASIDS);
        order.forget.pasid = (int)(space % PASIDS);
        order.words[0] =
            guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_PAGE, world_did(order.forget.did),
                                      world_pasids[order.forget.pasid]);
    } else {
        order.forget.what = FORGET_SECOND;
        order.forget.did = (int)(space - FIRST_SPACES);
        order.words[0] = guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, world_did(order.forget.did));
    }
    return order;
}

static Order space_order(World *w, guint space)
{
    int did = (int)(space < FIRST_SPACES ? space / PASIDS : space - FIRST_SPACES);
    int pasid = (int)(space % PASIDS);
    Order order = {.forget = {FORGET_FIRST, 0, did, pasid, ALL_PAGES, FALSE}};

    if (space >= FIRST_SPACES || world_one_in(w, 10))
        return domain_order(w, did);
    order.words[0] = guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, world_did(did),
                                               world_pasids[pasid]);
    return order;
}

/* Of a device's own cache, of which a guest need not know that it is empty by then. */
static Order device_order(World *w)
{
    guint16 rid = world_rids[world_pick(w, RIDS)];
    /* Nothing that the model knows of. */
    Order order = {.forget = {.what = FORGET_CONTEXTS}};
    guint64 address = world_iova(w, world_pick(w, PAGES));

    if (world_one_in(w, 2)) {
        order.words[0] = GUEST_INV_DEVICE_TLB | (guint64)rid << 32;
        order.words[1] = address;
    } else {
        order.words[0] = GUEST_INV_PASID_DEVICE_TLB | (guint64)rid << 16 |
                         (guint64)world_pasids[world_pick(w, PASIDS)] << 32;
        order.words[1] = address | world_one_in(w, 2);
    }
    return order;
}

static gboolean is_for_scalable_mode(const Order *order)
{
    guint type = order->words[0] & 0xf;

    return type == GUEST_INV_PASID_IOTLB || type == GUEST_INV_PASID_CACHE ||
           type == GUEST_INV_PASID_DEVICE_TLB;
}

static gboolean is_dropped(World *w, const Order *order)
{
    gboolean pages = order->forget.what > FORGET_ENTRIES;
    guint every = pages ? w->drops.pages : w->drops.entries;
    guint *n = pages ? &w->drops.n_pages : &w->drops.n_entries;

    return every && ++*n % every == 0;
}

static void send(World *w, Order order)
{
    if (world_is_legacy(w) && is_for_scalable_mode(&order))
        return;
    order.dropped = is_dropped(w, &order);
    g_array_append_val(w->pending, order);
}

void world_invalidate(World *w)
{
    guint how = world_pick(w, 20), page = world_pick(w, PAGES);
    guint space = world_one_in(w, 8) ? world_pick(w, SPACES) : world_pick(w, FIRST_SPACES);
    int did = world_one_in(w, 20) ? NOBODY : (int)world_pick(w, DIDS);

    if (how < 9)
        send(w, page_order(w, space, page, world_one_in(w, 10), world_one_in(w, 2)));
    else if (how < 12)
        send(w, space_order(w, space));
    else if (how < 16)
        send(w, entry_order(w, world_pick(w, PASIDS), did));
    else if (how < 19)
        send(w, context_order(w, world_pick(w, RIDS), did));
    else if (vtdm_ecap(&w->vm, VTDM_ECAP_DT, 1))
        send(w, device_order(w));
}

void world_invalidate_all(World *w)
{
    Order contexts = {
        .words = {guest_vtd_inv_context(GUEST_CONTEXT_GLOBAL, 0, 0, 0)},
        .forget = {.what = FORGET_CONTEXTS, .rids = BIT(RIDS) - 1, .did = ANY}};
    Order entries = {.words = {guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0)},
                     .forget = {.what = FORGET_ENTRIES, .did = ANY, .pasid = ANY}};
    Order pages = {.words = {guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0)},
                   .forget = {.what = FORGET_DOMAIN, .did = ANY}};

    send(w, contexts);
    send(w, entries);
    send(w, pages);
}

static int current_did(const Model *model, guint rid, guint pasid)
{
    guint context = model->context[rid];

    if (context < CONTEXT_DIR || context >= CONTEXT_PASS)
        return NOBODY;
    return model_entry_did(model->entry[(context - CONTEXT_DIR) / 4][pasid]);
}

void world_invalidate_entries_of(World *w, guint rid)
{
    for (guint p = 0; p < PASIDS; p++) {
        int did = current_did(&w->model, rid, p);
        Order order = {.forget = {FORGET_ENTRIES, 0, did, (int)p, 0, FALSE}};

        order.words[0] = guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_PASID, world_did(did),
                                                   world_pasids[p]);
        send(w, order);
    }
}

/* --- the queue --------------------------------------------------------------------------
 */

/* With the queue off, what both ways can do goes by registers (11.4.6). FALSE: not done. */
static gboolean write_order(World *w, const Order *order)
{
    VtdMachine *vm = &w->vm;
    guint at = vtdm_ecap(vm, VTDM_ECAP_IRO, 10) * 16;
    guint64 word = order->words[0], did = word >> 16 & 0xffff, granularity = word >> 4 & 3;
    guint reg = VTDM_CCMD;

    if (order->dropped || (word & 0xf) > GUEST_INV_IOTLB)
        return TRUE;
    if ((word & 0xf) == GUEST_INV_CONTEXT) {
        vtdm_set64(vm, reg,
                   BIT64(63) | granularity << 61 | (word >> 48 & 3) << 32 |
                       (word >> 32 & 0xffff) << 16 | did);
    } else {
        reg = at + 8;
        vtdm_set64(vm, at, order->words[1]);
        vtdm_set64(vm, reg, BIT64(63) | granularity << 60 | did << 32);
    }
    return !(vtdm_get64(vm, reg) >> 63);
}

static gboolean send_by_registers(World *w)
{
    gboolean done = TRUE;

    vtdm_command(&w->vm, VTDM_QIE, FALSE);
    for (guint i = 0; i < w->pending->len && done; i++)
        done = write_order(w, &g_array_index(w->pending, Order, i));
    vtdm_set_queue(&w->vm, FALSE);
    return done;
}

static gboolean send_by_queue(World *w)
{
    VtdMachine *vm = &w->vm;

    for (guint i = 0; i < w->pending->len; i++) {
        const Order *order = &g_array_index(w->pending, Order, i);

        if (!order->dropped)
            vtdm_queue(vm, order->words[0], order->words[1]);
    }
    vtdm_queue_wait(vm);
    if (vtdm_ring(vm) && vtdm_waited(vm))
        return TRUE;
    if (!(vtdm_get(vm, VTDM_FSTS) & VTDM_ITE))
        world_fail(w, "a descriptor was refused: IQEI %u, %s", vtdm_queue_error(vm),
                   vm->refusal);
    vtdm_set(vm, VTDM_FSTS, VTDM_ITE);
    return FALSE;
}

gboolean world_ring(World *w)
{
    gboolean by_registers = world_is_legacy(w) && world_one_in(w, 4);

    for (guint i = 0; i < w->pending->len; i++) {
        const Order *order = &g_array_index(w->pending, Order, i);

        world_note(w,
                   "descriptor %016" G_GINT64_MODIFIER "x %016" G_GINT64_MODIFIER "x%s%s",
                   order->words[0], order->words[1], order->dropped ? " dropped" : "",
                   by_registers ? " by register" : "");
    }
    if (!(by_registers ? send_by_registers(w) : send_by_queue(w)))
        return FALSE;
    for (guint i = 0; i < w->pending->len; i++)
        model_forget(&w->model, &g_array_index(w->pending, Order, i).forget);
    g_array_set_size(w->pending, 0);
    return TRUE;
}

/* --- a tidy guest -----------------------------------------------------------------------
 */

static void tell(World *w, Model *next, Order order)
{
    send(w, order);
    model_forget(next, &order.forget);
}

/* One of the domain IDs in the mask; what has none is told of by the one it has now. */
static int pick_did(World *w, guint32 dids, int now)
{
    int did = __builtin_ctz(dids);

    return did == NOBODY && now != NOBODY && world_one_in(w, 2) ? now : did;
}

static void tell_of_contexts(World *w, Model *next)
{
    for (guint r = 0; r < RIDS; r++)
        while (model_context_is_stale(next, r))
            tell(w, next,
                 context_order(w, r,
                               pick_did(w, model_stale_dids(next, r, NO_PASID),
                                        model_context_did(next->context[r]))));
}

static void tell_of_entries(World *w, Model *next)
{
    for (guint r = 0; r < RIDS; r++)
        for (guint p = 0; p < PASIDS; p++)
            while (model_entry_is_stale(next, r, p))
                tell(w, next,
                     entry_order(w, p,
                                 pick_did(w, model_stale_dids(next, r, (int)p),
                                          current_did(next, r, p))));
}

/* The smallest thing that helps: a page, if only that is stale. */
void orders_tell_of_pages(World *w, Model *next, guint table, guint page)
{
    for (guint s = 0; s < SPACES; s++)
        if (model_space_is_stale(next, s) &&
            next->spaces[s].walked[page / REGION_PAGES] & BIT(table))
            tell(w, next, page_order(w, s, page, world_one_in(w, 20), world_one_in(w, 2)));
}

/* Region by region; or page by page, the first of which takes the descriptor with it. */
static void tell_of_regions(World *w, Model *next, guint space)
{
    for (guint i = 0; i < REGIONS; i++) {
        guint first = i * REGION_PAGES;

        if (world_one_in(w, 2)) {
            tell(w, next, page_order(w, space, first, TRUE, FALSE));
            continue;
        }
        for (guint p = first; p < first + REGION_PAGES; p++)
            tell(w, next, page_order(w, space, p, FALSE, p > first));
    }
}

void orders_tell_of_spaces(World *w, Model *next)
{
    for (guint s = 0; s < SPACES; s++)
        while (model_space_is_stale(next, s)) {
            if (world_one_in(w, 3))
                tell_of_regions(w, next, s);
            else
                tell(w, next, space_order(w, s));
        }
}

Model orders_expected(const World *w)
{
    Model next = w->model;

    for (guint i = 0; i < w->pending->len; i++)
        model_forget(&next, &g_array_index(w->pending, Order, i).forget);
    return next;
}

void orders_tell_of_change(World *w)
{
    Model next;

    if (!w->tidy)
        return;
    next = orders_expected(w);
    tell_of_contexts(w, &next);
    tell_of_entries(w, &next);
    orders_tell_of_spaces(w, &next);
}
