/* SPDX-License-Identifier: MIT */
/*
 * The oracle of a whole guest VT-d unit. A random guest (vtd-world.h) changes root, context
 * and PASID tables and page tables of both stages, in scalable mode and in legacy mode, and
 * tells the unit; host calls fail, devices come and go; host devices and emulated endpoints
 * do DMA in between. Every DMA must go where vtd-model.h allows it. A guest that tells of
 * what it changes must always meet a fresh walk.
 *
 * A host device may also be refused what its tables give it, but only when a host call for
 * it has failed, and the guest was told: by a fault record, by FSTS.ITE; or the change is
 * put off until the guest's next descriptor.
 *
 * And the oracle itself: with one descriptor, one host call or one reading of an entry in
 * so many taken out, it must notice.
 *
 *   test-vtd-device-oracle [SEED [STEPS]], or VIOMMU_SEED
 */

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include <viommu-emulator/inspect.h>

#include "tap.h"
#include "vtd-world.h"

enum {
    DEFAULT_STEPS = 500000,
    STEPS_IN_A_LIFE = 25000,
    MAX_PENDING = 40,
    MAX_ATTEMPTS = 5
};
enum { REQUESTER = PASIDS, BINDINGS = PASIDS + 1 }; /* those of PASIDs, by number */

/* What is left out: every nth of a kind; 0: none. */
typedef struct {
    OrderDrops orders;
    guint invalidate; /* host calls that are said to have succeeded, and are not made */
    guint attach;
    guint entry; /* readings of PASID table entries: what was read the time before */
    guint did;   /* the same of the domain ID alone */
} Drops;

/* Why a binding may be refused what it has. */
typedef enum { NOT_EXCUSED, PUT_OFF, TOLD } Excuse;

typedef struct {
    gboolean is_attached;
    guint rid;
    gboolean is_resetting;
    gboolean failed; /* a host call for it, in the present action */
    gboolean failed_for_now;
    Excuse excuses[BINDINGS];
} Host;

/* What an entry was when it was last read, and which domain ID is given out instead. */
typedef struct {
    guint64 words[GUEST_VTD_PASID_WORDS];
    gboolean is_held;
    guint64 held;
} Reading;

typedef struct {
    World world;
    Host hosts[HOSTS];
    Drops drops;
    guint n_arms;   /* in a thousand steps, how often host calls begin to fail */
    gboolean armed; /* they do */
    gboolean is_ringing;
    gboolean timed_out;
    gboolean flush_failed;          /* in the present action */
    guint32 to_recover;             /* requester IDs with faults that are the host's */
    Reading readings[DIRS][PASIDS]; /* of PASID table entries */
    guint n_readings;
    guint64 token;
    guint n_dma, n_stale, n_refused, n_excused, n_failures;
} Oracle;

static guint pick(Oracle *o, guint n)
{
    return world_pick(&o->world, n);
}

static gboolean is_dropping(const Drops *drops)
{
    return drops->orders.entries || drops->orders.pages || drops->invalidate ||
           drops->attach || drops->entry || drops->did;
}

/* --- readings that are taken out --------------------------------------------------------
 */

/* Of a domain ID, all readings are those of before, until it changes once more. */
static void drop_reading(Oracle *o, Reading *reading, guint64 *data)
{
    guint64 *last = reading->words, now[GUEST_VTD_PASID_WORDS];

    memcpy(now, data, sizeof now);
    if (o->drops.entry && ++o->n_readings % o->drops.entry == 0)
        memcpy(data, last, sizeof now);
    if (o->drops.did && (now[0] & last[0] & 1) && now[1] != last[1]) {
        reading->is_held = ++o->n_readings % o->drops.did == 0;
        reading->held = last[1];
    }
    if (reading->is_held)
        data[1] = reading->held;
    memcpy(last, now, sizeof now);
}

static void on_read(G_GNUC_UNUSED VtdMachine *vm, guint64 gpa, void *data, gsize size,
                    void *user_data)
{
    Oracle *o = user_data;

    if (size != GUEST_VTD_PASID_WORDS * sizeof(guint64))
        return;
    for (guint d = 0; d < DIRS; d++)
        for (guint p = 0; p < PASIDS; p++)
            if (gpa == o->world.entry_at[d][p])
                drop_reading(o, &o->readings[d][p], data);
}

/* --- host calls that fail ---------------------------------------------------------------
 */

/* The other device of its IOMMU group, or NULL. */
static Host *mate_of(Oracle *o, guint n)
{
    if (!o->world.is_grouped || (n > 0 && n < HOSTS - 1))
        return NULL;
    return &o->hosts[n ? 0 : HOSTS - 1];
}

static void note_failure(Host *host, gboolean for_now)
{
    if (!host)
        return;
    host->failed = TRUE;
    host->failed_for_now |= for_now;
}

static void on_trace(const ViommuTraceRecord *record, void *user_data)
{
    Oracle *o = user_data;
    gboolean counts = record->point == VIOMMU_TRACE_ATTACH ||
                      record->point == VIOMMU_TRACE_DETACH ||
                      record->point == VIOMMU_TRACE_HWPT_ALLOC;

    vtdm_trace(record, &o->world.vm);
    if (record->point == VIOMMU_TRACE_INVALIDATE && record->result != VIOMMU_OK)
        o->flush_failed = TRUE;
    world_note(&o->world, "trace: %s of %s: %s, %" G_GUINT64_FORMAT " %s",
               viommu_trace_point_name(record->point), record->device,
               viommu_result_name(record->result), record->value,
               record->message ? record->message : "");
    for (guint n = 0; counts && record->result != VIOMMU_OK && n < HOSTS; n++) {
        if (g_strcmp0(record->device, o->world.vm.bdfs[n]))
            continue;
        note_failure(&o->hosts[n], record->result == VIOMMU_TRANSIENT);
        note_failure(mate_of(o, n), record->result == VIOMMU_TRANSIENT);
        o->n_failures++;
    }
}

static void arm(Oracle *o)
{
    static const unsigned long calls[] = {VFIO_DEVICE_ATTACH_IOMMUFD_PT, IOMMU_HWPT_ALLOC,
                                          IOMMU_HWPT_INVALIDATE};
    static const int errors[] = {ENOMEM, EINVAL, EBUSY, EIO};
    int error = errors[pick(o, G_N_ELEMENTS(errors))];

    viommu_emulator_fail_call(o->world.target.emulator, calls[pick(o, 3)], 1 + pick(o, 3),
                              error, pick(o, 2));
    /* Another kind of call may fail beside. */
    if (pick(o, 3) == 0)
        spy_fail(&o->world.target.spy, IOMMU_HWPT_INVALIDATE, 1 + pick(o, 2), error, 4);
    o->armed = TRUE;
}

static void disarm(Oracle *o)
{
    viommu_emulator_fail_call(o->world.target.emulator, VIOMMU_EMULATOR_CALL_ANY, 1, 0,
                              FALSE);
    spy_fail_none(&o->world.target.spy);
    o->armed = FALSE;
}

/* Requester IDs of the faults that wait. */
static guint32 take_faults(Oracle *o)
{
    VtdMachine *vm = &o->world.vm;
    VtdmFault fault;
    guint32 rids = 0;

    while (vtdm_next_fault(vm, &fault)) {
        guint rid = 0;

        while (rid < RIDS && world_rids[rid] != fault.rid)
            rid++;
        if (rid == RIDS)
            world_fail(&o->world, "a fault of requester ID 0x%x", fault.rid);
        else
            rids |= BIT(rid);
        world_note(&o->world, "fault 0x%02x of requester ID 0x%x, PASID %d", fault.reason,
                   fault.rid, fault.has_pasid ? (int)fault.pasid : -1);
    }
    if (vtdm_get(vm, VTDM_FSTS) & VTDM_PFO)
        world_fail(&o->world, "faults were lost");
    return rids;
}

static void excuse(Oracle *o, Host *host, gboolean told)
{
    for (guint b = 0; b < BINDINGS; b++) {
        if (told)
            host->excuses[b] = TOLD;
        else if (host->excuses[b] == NOT_EXCUSED)
            host->excuses[b] = PUT_OFF;
    }
    o->to_recover |= BIT(host->rid);
}

/* Whether no record of a failure is owed to the guest. */
static gboolean is_silent(Oracle *o, const Host *host)
{
    const World *w = &o->world;

    /* A unit that does not translate has no faults to tell of. */
    return world_is_quiet(w, host->rid) || !w->model.enabled;
}

/*
 * After whatever may have called the host: who was told of what failed? What was attached
 * anew because a flush had failed is tried again, and told, with the next descriptor.
 */
static void settle(Oracle *o)
{
    guint32 told = take_faults(o);
    gboolean put_off = o->timed_out || (o->flush_failed && !o->is_ringing);

    for (guint n = 0; n < HOSTS; n++) {
        Host *host = &o->hosts[n];

        if (host->failed && (told & BIT(host->rid) || is_silent(o, host)))
            excuse(o, host, TRUE);
        else if (host->failed_for_now || (host->failed && put_off))
            excuse(o, host, FALSE);
        host->failed = host->failed_for_now = FALSE;
    }
    o->flush_failed = FALSE;
}

/* All of a device was looked at anew. */
static void pardon(Host *host)
{
    if (!host->failed)
        memset(host->excuses, 0, sizeof host->excuses);
}

static void pardon_all(Oracle *o)
{
    for (guint n = 0; n < HOSTS; n++)
        pardon(&o->hosts[n]);
}

static gboolean concerns(const Model *model, const ModelForget *forget, const Host *host,
                         guint binding)
{
    guint context = model->context[host->rid];
    int pasid = model_entry_pasid(context, binding == REQUESTER ? NO_PASID : (int)binding);
    int did;

    if (forget->what == FORGET_CONTEXTS)
        return forget->rids & BIT(host->rid) &&
               (forget->did == ANY || forget->did == model_context_did(context));
    if (forget->what != FORGET_ENTRIES || pasid == ANY)
        return FALSE;
    did = model_entry_did(model->entry[(context - CONTEXT_DIR) / 4][pasid]);
    return (forget->pasid == ANY || forget->pasid == pasid) &&
           (forget->did == ANY || forget->did == did);
}

/* What a descriptor concerns is tried again; and whatever was put off. */
static void pardon_some(Oracle *o, const GArray *orders)
{
    for (guint n = 0; n < HOSTS; n++) {
        Host *host = &o->hosts[n];

        for (guint b = 0; b < BINDINGS && !host->failed; b++) {
            if (host->excuses[b] == PUT_OFF)
                host->excuses[b] = NOT_EXCUSED;
            for (guint i = 0; i < orders->len; i++)
                if (concerns(&o->world.model, &g_array_index(orders, Order, i).forget, host,
                             b))
                    host->excuses[b] = NOT_EXCUSED;
        }
    }
}

/* --- DMA --------------------------------------------------------------------------------
 */

static guint32 find_token(Oracle *o)
{
    for (guint p = 0; p < PAGES; p++)
        if (vtdm_load(&o->world.vm, world_iova(&o->world, p)) == o->token)
            return TO_PAGE(p);
    world_fail(&o->world, "a write went where no data is");
    return 0;
}

static guint32 find_data(Oracle *o, guint64 data)
{
    for (guint p = 0; p < PAGES; p++)
        if (data == ~world_iova(&o->world, p))
            return TO_PAGE(p);
    world_fail(&o->world, "a read went where no data is");
    return 0;
}

/* Each data page begins with what was written there, and then tells which it is. */
static guint32 host_dma(Oracle *o, guint n, const ModelRequest *request)
{
    const ViommuEmulatorAccess access = {
        .iova = world_iova(&o->world, request->page) + (request->write ? 0 : 8),
        .write = request->write,
        .has_pasid = request->pasid != NO_PASID,
        .pasid = request->pasid != NO_PASID ? world_pasids[request->pasid] : 0,
    };
    guint64 data = ++o->token;

    if (viommu_emulator_dma_as(o->world.target.emulator, o->world.vm.bdfs[n], &access,
                               &data, sizeof data))
        return TO_BE_REFUSED;
    return request->write ? find_token(o) : find_data(o, data);
}

/* What was said of more than what was asked. */
static void check_more(Oracle *o, const ModelRequest *request, guint32 to,
                       const ViommuTranslation *translation)
{
    ModelRequest next = *request;

    if (!request->write && translation->access & VIOMMU_ACCESS_WRITE) {
        next.write = TRUE;
        if (!(model_allowed(&o->world.model, &next) & to))
            world_fail(&o->world, "a page is said to be writable that is not");
    }
    next = *request;
    next.page++;
    if (translation->length > GUEST_PAGE && next.page < PAGES && to != TO_OUTSIDE &&
        !(model_allowed(&o->world.model, &next) & to << 1))
        world_fail(&o->world, "a page is said to go on that does not");
}

static guint32 endpoint_dma(Oracle *o, const ModelRequest *request)
{
    World *w = &o->world;
    guint access = request->write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ;
    ViommuTranslation translation;
    ViommuResult result;
    guint32 to = TO_OUTSIDE;

    /* Of what a host device does, faults are not to be recorded. */
    if (request->rid < FIRST_ENDPOINT)
        access |= VIOMMU_ACCESS_PEEK;
    viommu_vtd_enter(w->vm.vtd);
    result = viommu_vtd_translate(w->vm.vtd, world_rids[request->rid],
                                  request->pasid == NO_PASID ? VIOMMU_VTD_NO_PASID
                                                             : world_pasids[request->pasid],
                                  world_iova(w, request->page), access, &translation);
    viommu_vtd_exit(w->vm.vtd);
    if (result != VIOMMU_OK)
        return TO_BE_REFUSED;
    for (guint p = 0; p < PAGES; p++)
        if (translation.gpa == world_iova(w, p))
            to = TO_PAGE(p);
    if (to == TO_OUTSIDE && translation.gpa != VTDM_NOWHERE)
        world_fail(w, "0x%" G_GINT64_MODIFIER "x was never mapped", translation.gpa);
    check_more(o, request, to, &translation);
    return to;
}

/* As the model has it; and as a guest knows that has told of everything. */
static guint32 find_allowed(Oracle *o, const ModelRequest *request)
{
    const World *w = &o->world;
    guint32 allowed = model_allowed(&w->model, request);

    return w->tidy && w->pending->len == 0 ? model_fresh(&w->model, request) : allowed;
}

static void judge(Oracle *o, const ModelRequest *request, guint32 to, guint32 allowed)
{
    guint32 fresh = model_fresh(&o->world.model, request);

    world_note(&o->world, "%s, requester ID 0x%x, PASID %d, %s of page %u: 0x%x",
               request->host ? "host device" : "endpoint", world_rids[request->rid],
               request->pasid, request->write ? "write" : "read", request->page, to);
    o->n_dma++;
    o->n_refused += to == TO_BE_REFUSED;
    o->n_stale += !(to & fresh);
    if (!(to & allowed))
        world_fail(&o->world,
                   "%s, requester ID 0x%x, PASID %d: a %s of page %u came to 0x%x, where "
                   "0x%x is allowed",
                   request->host ? "host device" : "endpoint", world_rids[request->rid],
                   request->pasid == NO_PASID ? -1 : (int)world_pasids[request->pasid],
                   request->write ? "write" : "read", request->page, to, allowed);
}

/* Often where something has changed. */
static guint pick_page(Oracle *o)
{
    return pick(o, 2) ? o->world.last_page : pick(o, PAGES);
}

/*
 * A group is attached as one: a member that is blocked blocks all, and no PASID of a member
 * is attached alone.
 */
static gboolean is_blocked_by_mate(Oracle *o, guint n, const ModelRequest *request)
{
    const Host *mate = mate_of(o, n);

    return mate && (!mate->is_attached || request->pasid != NO_PASID);
}

/*
 * And so do members that differ, or whose entries were not read at the same time; or one
 * that is blocked for a reason of its own.
 */
static gboolean may_be_blocked_by_mate(Oracle *o, guint n)
{
    const World *w = &o->world;
    const Host *mate = mate_of(o, n);

    return mate && (mate->rid != o->hosts[n].rid || !w->tidy || w->pending->len ||
                    mate->is_resetting || mate->excuses[REQUESTER]);
}

static void do_host_dma(Oracle *o)
{
    guint n = pick(o, HOSTS);
    const Host *host = &o->hosts[n];
    ModelRequest request = {host->rid, NO_PASID, TRUE, pick_page(o), pick(o, 2)};
    guint32 allowed;
    guint binding = REQUESTER;

    /* The host's PASID 0 is that of requests without. */
    if (viommu_host_device_get_info(o->world.vm.devices[n])->pasid_bits && pick(o, 2)) {
        request.pasid = 1 + (int)pick(o, PASIDS - 1);
        binding = (guint)request.pasid;
    }
    allowed = find_allowed(o, &request);
    if (!host->is_attached || host->is_resetting || is_blocked_by_mate(o, n, &request))
        allowed = TO_BE_REFUSED;
    else if (may_be_blocked_by_mate(o, n))
        allowed |= TO_BE_REFUSED;
    else if (host->excuses[binding] && !(allowed & TO_BE_REFUSED)) {
        allowed |= TO_BE_REFUSED;
        o->n_excused++;
    }
    judge(o, &request, host_dma(o, n, &request), allowed);
}

static void do_dma(Oracle *o)
{
    ModelRequest request = {pick(o, RIDS), NO_PASID, FALSE, pick_page(o), pick(o, 2)};

    if (pick(o, 5) < 3 || is_dropping(&o->drops)) {
        do_host_dma(o);
        return;
    }
    if (pick(o, 2))
        request.pasid = (int)pick(o, PASIDS);
    judge(o, &request, endpoint_dma(o, &request), find_allowed(o, &request));
}

static void do_dmas(Oracle *o, guint n)
{
    for (guint i = 0; i < n; i++)
        do_dma(o);
}

/* --- the guest's life -------------------------------------------------------------------
 */

static void ring(Oracle *o)
{
    g_autoptr(GArray) orders = g_array_copy(o->world.pending);

    o->is_ringing = TRUE;
    for (guint attempt = 0; !world_ring(&o->world) && !o->world.wrong; attempt++) {
        o->timed_out = TRUE;
        settle(o);
        if (attempt)
            disarm(o);
        if (attempt == MAX_ATTEMPTS)
            world_fail(&o->world, "invalidations are never complete");
        do_dmas(o, 5);
        o->timed_out = FALSE;
    }
    pardon_some(o, orders);
    settle(o);
    o->is_ringing = FALSE;
}

/* Mostly one of scalable mode, which host devices can follow. */
static guint pick_root(Oracle *o)
{
    return pick(o, pick(o, 4) ? FIRST_LEGACY_ROOT : ROOTS);
}

/* TE off, a while of that, and on with some root table. */
static void restart(Oracle *o)
{
    world_stop(&o->world);
    pardon_all(o);
    settle(o);
    do_dmas(o, 10);
    world_start(&o->world, pick_root(o));
    pardon_all(o);
    settle(o);
}

static void change_root(Oracle *o)
{
    guint kind = o->world.root / FIRST_LEGACY_ROOT;

    world_set_root(&o->world, kind * FIRST_LEGACY_ROOT + pick(o, FIRST_LEGACY_ROOT));
    pardon_all(o);
    settle(o);
}

/* The machine is reset. */
static void reset(Oracle *o)
{
    g_autoptr(GError) error = NULL;
    World *w = &o->world;

    for (guint n = 0; n < HOSTS; n++)
        if (!o->hosts[n].is_attached || o->hosts[n].is_resetting)
            return;
    disarm(o);
    if (!viommu_vtd_block(w->vm.vtd, &error))
        world_fail(w, "it is not blocked: %s", error->message);
    g_clear_error(&error);
    w->model.blocked = TRUE;
    do_dmas(o, 10);
    if (!viommu_vtd_release(w->vm.vtd, &error))
        world_fail(w, "it is not released: %s", error->message);
    w->model.blocked = w->model.enabled = FALSE;
    pardon_all(o);
    do_dmas(o, 10);
    world_start(w, pick_root(o));
    settle(o);
}

/* Saved, made anew or not, restored; caches are empty then. */
static void migrate(Oracle *o)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) state = NULL;
    World *w = &o->world;

    for (guint n = 0; n < HOSTS; n++)
        if (!o->hosts[n].is_attached || o->hosts[n].is_resetting)
            return;
    disarm(o);
    state = viommu_vtd_save(w->vm.vtd, &error);
    if (state && pick(o, 2) && vtdm_remake(&w->vm, &error))
        for (guint n = 0; n < HOSTS; n++)
            viommu_vtd_set_requester_id(w->vm.vtd, w->vm.devices[n],
                                        world_rids[o->hosts[n].rid], &error);
    if (!state || error || !viommu_vtd_restore(w->vm.vtd, state, &error))
        world_fail(w, "it cannot be saved and restored: %s", error->message);
    model_forget_all(&w->model);
    pardon_all(o);
    settle(o);
}

/* Members of a group mostly have the same. */
static guint pick_rid(Oracle *o, guint n)
{
    const Host *mate = mate_of(o, n);

    return mate && pick(o, 4) ? mate->rid : pick(o, FIRST_ENDPOINT);
}

/* A device goes, or is back, under another requester ID maybe. */
static void hot_plug(Oracle *o, guint n)
{
    Host *host = &o->hosts[n];
    ViommuHostDevice *device = o->world.vm.devices[n];
    gboolean armed = o->armed;

    if (host->is_resetting)
        return;
    if (host->is_attached) {
        viommu_vtd_detach_device(o->world.vm.vtd, device);
        host->is_attached = FALSE;
    } else {
        host->rid = pick_rid(o, n);
        host->is_attached = viommu_vtd_attach_device(o->world.vm.vtd, device,
                                                     world_rids[host->rid], 0, NULL);
        if (!host->is_attached && !armed)
            world_fail(&o->world, "device %u was not attached again", n);
        pardon(host);
    }
    settle(o);
}

static void renumber(Oracle *o)
{
    guint n = pick(o, HOSTS);
    Host *host = &o->hosts[n];

    if (!host->is_attached || host->is_resetting)
        return;
    host->rid = pick_rid(o, n);
    if (!viommu_vtd_set_requester_id(o->world.vm.vtd, o->world.vm.devices[n],
                                     world_rids[host->rid], NULL) &&
        !o->armed)
        world_fail(&o->world, "device %u was not renumbered", n);
    pardon(host);
    settle(o);
}

/* A group whose members have one requester ID, as behind a bridge. */
static void move_to_mate(Oracle *o)
{
    viommu_vtd_set_requester_id(o->world.vm.vtd, o->world.vm.devices[HOSTS - 1],
                                world_rids[o->hosts[0].rid], NULL);
    o->hosts[HOSTS - 1].rid = o->hosts[0].rid;
}

/* A PCI reset begins, or ends; the VMM may say so, or leave it to the guest's next command.
 */
static void reset_device(Oracle *o, guint n)
{
    Host *host = &o->hosts[n];
    World *w = &o->world;

    if (!host->is_attached)
        return;
    host->is_resetting = !host->is_resetting;
    if (host->is_resetting) {
        viommu_emulator_device_begin_reset(w->target.emulator, w->vm.bdfs[n]);
        return;
    }
    viommu_emulator_device_end_reset(w->target.emulator, w->vm.bdfs[n]);
    if (pick(o, 2))
        viommu_host_device_reset_done(w->vm.devices[n]);
    settle(o);
}

/* Not even blocking works for a while. */
static void keep_at_large(Oracle *o)
{
    disarm(o);
    for (guint i = 0; i < 3; i++)
        world_change_entry(&o->world);
    world_invalidate_all(&o->world);
    viommu_emulator_fail_call(o->world.target.emulator, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1,
                              EIO, TRUE);
    ring(o);
    disarm(o);
}

static void recover(Oracle *o)
{
    for (guint r = 0; r < RIDS; r++)
        if (o->to_recover & BIT(r))
            pick(o, 2) ? world_invalidate_all(&o->world)
                       : world_invalidate_entries_of(&o->world, r);
    o->to_recover = 0;
}

static void change(Oracle *o, guint what)
{
    World *w = &o->world;

    if (what < 250)
        world_change_page(w);
    else if (what < 280)
        world_change_entry(w);
    else if (what < 287)
        world_change_context(w);
    else if (what < 293)
        world_change_region(w);
    else if (what < 296)
        world_change_directory(w);
    else if (what < 297)
        world_change_bus(w);
    else if (w->tidy)
        world_change_domain(w);
    else
        world_invalidate(w);
}

/* What happens once in a while. */
static void happen(Oracle *o)
{
    guint what = pick(o, 1000);

    if (what < 250)
        hot_plug(o, pick(o, HOSTS));
    else if (what < 450)
        renumber(o);
    else if (what < 550)
        change_root(o);
    else if (what < 650)
        restart(o);
    else if (what < 850)
        reset_device(o, pick(o, HOSTS));
    else if (what < 950)
        keep_at_large(o);
    else if (what < 960)
        migrate(o);
    else if (what < 970)
        reset(o);
}

static void step(Oracle *o)
{
    World *w = &o->world;
    guint what = pick(o, 1000);

    if (what < 300)
        change(o, what);
    else if (what < 380 && !w->tidy)
        world_invalidate(w);
    else if (what < 382)
        happen(o);
    else if (what < 382 + o->n_arms)
        arm(o);
    else
        do_dma(o);
    if (o->armed && pick(o, 10) == 0)
        disarm(o);
    if (o->to_recover && !o->armed && pick(o, 20) == 0)
        recover(o);
    world_restore_tables(w);
    for (guint n = 0; n < HOSTS; n++) { /* not for long */
        if (!o->hosts[n].is_attached && pick(o, 30) == 0)
            hot_plug(o, n);
        if (o->hosts[n].is_resetting && pick(o, 30) == 0)
            reset_device(o, n);
    }
    /* A tidy guest may be late; until it has rung the old state is met as well. */
    if (w->pending->len > MAX_PENDING ||
        (w->pending->len && pick(o, w->tidy ? 3 : 10) == 0))
        ring(o);
}

/* --- its life ---------------------------------------------------------------------------
 */

static gboolean oracle_init(Oracle *o, GRand *random, gboolean tidy)
{
    static const guint arms[] = {0, 1, 1, 10};

    if (!world_init(&o->world, random, tidy))
        return FALSE;
    for (guint n = 0; n < HOSTS; n++)
        o->hosts[n] = (Host){.is_attached = TRUE, .rid = n};
    if (o->world.is_grouped)
        move_to_mate(o);
    o->world.drops = o->drops.orders;
    viommu_host_set_trace(o->world.vm.host, on_trace, o);
    spy_swallow(&o->world.target.spy, IOMMU_HWPT_INVALIDATE, o->drops.invalidate);
    if (o->drops.attach)
        spy_swallow(&o->world.target.spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT, o->drops.attach);
    if (o->drops.entry || o->drops.did) {
        o->world.vm.on_read_data = o;
        o->world.vm.on_read = on_read;
    }
    world_start(&o->world, 0);
    take_faults(o);
    o->n_arms = arms[pick(o, G_N_ELEMENTS(arms))];
    return TRUE;
}

/* One machine's life; what was wrong in it, with *steps those that it took. */
static char *live(Oracle *o, GRand *random, gboolean tidy, guint *steps)
{
    guint n = 0;

    if (!oracle_init(o, random, tidy))
        return g_strdup("there is no machine");
    while (n < *steps && !o->world.wrong) {
        step(o);
        n++;
    }
    *steps = n;
    disarm(o);
    for (guint i = 0; i < HOSTS; i++)
        if (o->hosts[i].is_resetting)
            reset_device(o, i);
    return world_clear(&o->world);
}

/* 0, or where it went wrong. */
static guint play(guint32 seed, guint steps, gboolean tidy, Drops drops)
{
    g_autofree Oracle *o = g_new0(Oracle, 1);
    GRand *random = g_rand_new_with_seed(seed);
    g_autofree char *wrong = NULL;
    guint at = 0;

    o->drops = drops;
    while (at < steps && !wrong) {
        guint n = MIN(steps - at, STEPS_IN_A_LIFE);

        memset(o->hosts, 0, sizeof o->hosts);
        memset(o->readings, 0, sizeof o->readings);
        wrong = live(o, random, tidy, &n);
        at += n;
    }
    g_rand_free(random);
    tap_note("%u DMAs, %u refused, %u stale, %u excused after %u failed host calls",
             o->n_dma, o->n_refused, o->n_stale, o->n_excused, o->n_failures);
    if (wrong)
        tap_note("at step %u: %s", at, wrong);
    if (!is_dropping(&drops))
        tap_ok(o->n_dma - o->n_refused > o->n_dma / 4 &&
                   o->n_stale > o->n_dma / (tidy ? 1000 : 20),
               "... DMA often got somewhere, and met what was stale");
    return wrong ? at : 0;
}

static void play_drops(guint32 seed, guint steps, gboolean tidy)
{
    const char *who = tidy ? "tidy" : "untidy";

    tap_ok(play(seed, steps, tidy, (Drops){.orders.pages = 50}) != 0,
           "%s: IOTLB descriptors that never reach the queue are noticed", who);
    tap_ok(play(seed, steps, tidy, (Drops){.orders.entries = 50}) != 0,
           "%s: ... those of the PASID and context caches too", who);
    tap_ok(play(seed, steps, tidy, (Drops){.invalidate = 50}) != 0,
           "%s: a flush that is not made on the host is noticed", who);
    tap_ok(play(seed, steps, tidy, (Drops){.attach = 50}) != 0,
           "%s: an attach that is not made, and said to have succeeded, is noticed", who);
    tap_ok(play(seed, steps, tidy, (Drops){.entry = 20}) != 0,
           "%s: an entry that is not read again is noticed", who);
    tap_ok(play(seed, steps, tidy, (Drops){.did = 4}) != 0,
           "%s: a domain ID that is not read again is noticed", who);
}

/*
 * The order of hash tables, and so that of host calls, follows addresses: without having
 * them the same each time, a seed does not tell all. Where the system does not allow it, a
 * run is as good, but may not be repeated.
 */
static void fix_addresses(char **argv)
{
    int persona = personality(0xffffffff);

    if (persona >= 0 && !(persona & ADDR_NO_RANDOMIZE) &&
        personality((unsigned long)persona | ADDR_NO_RANDOMIZE) >= 0)
        execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : g_getenv("VIOMMU_SEED");
    guint32 seed = given ? strtoul(given, NULL, 0) : g_random_int();
    guint steps = argc > 2 ? strtoul(argv[2], NULL, 0) : DEFAULT_STEPS;

    fix_addresses(argv);
    tap_note("seed %u, %u steps", seed, steps);
    tap_is(play(seed, steps, TRUE, (Drops){0}), 0, "a guest that tells of what it changes");
    tap_is(play(seed, steps, FALSE, (Drops){0}), 0, "a guest that does not");
    play_drops(seed, steps, TRUE);
    play_drops(seed, steps, FALSE);
    return tap_done();
}
