/* SPDX-License-Identifier: MIT */
/*
 * Every failure point swept, as test-smmuv3-faults.c does, for a whole guest VT-d unit: the
 * life of a guest is played over and over, on each kind of host, each time with another
 * host call failing. Whatever fails: what the guest is told done is so, or it has a fault
 * record of it, or it comes by itself; what is not told done leaves the device where it
 * was, or nowhere; what is asked for again works; in the end nothing is left.
 *
 * A point for each host, errno and number of failures in a row.
 */

#include <errno.h>

#include <viommu-emulator/inspect.h>

#include "sweep.h"
#include "tap.h"
#include "vtd-machine.h"

enum { MAX_ATTEMPTS = 8, OTHER_DID = VTDM_DID + 1, PASID = 3 };
#define NOWHERE   G_MAXUINT64
#define OTHER_RID ((guint16)(VTDM_RID + 8))

typedef struct {
    const char *prefix;
    const char *emulate;
    const char *backend;
} HostKind;

typedef struct {
    Target *target;
    VtdMachine vm;
    GuestVtdDomain second;
    guint16 rid;
    GBytes *state;
    gboolean is_put_off; /* a failure of this errno may be, without a fault record */
    const char *wrong;   /* the first thing that was not as it must be */
} Life;

static void expect(Life *life, gboolean ok, const char *what)
{
    if (!ok && !life->wrong)
        life->wrong = what;
}

/* The page that DMA finds there, each of which holds its own address. */
static guint64 lands(Life *life, int pasid, guint64 iova)
{
    const ViommuEmulatorAccess access = {
        .iova = iova, .has_pasid = pasid != VTDM_NO_PASID, .pasid = (guint32)MAX(pasid, 0)};
    guint64 found;

    return viommu_emulator_dma_as(life->target->emulator, life->target->bdfs[0], &access,
                                  &found, sizeof found) < 0
               ? NOWHERE
               : found;
}

/* TRUE: it was told done. */
typedef gboolean (*Operation)(Life *life);

typedef struct {
    int pasid;
    guint64 iova;
    guint64 want;
    guint64 before; /* where it may stay until it is told done */
} Place;

static void until_done(Life *life, Operation operation, Place place, const char *what)
{
    VtdMachine *vm = &life->vm;
    gboolean told = life->is_put_off;

    for (guint attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        gboolean done;
        guint64 at;

        vtdm_clear_queue_errors(vm);
        vtdm_drain_faults(vm);
        done = operation(life);
        at = lands(life, place.pasid, place.iova);
        /* Once for an entry; and not at all without translation. */
        told = told || vtdm_fault_reason(vm) || !(vtdm_get(vm, VTDM_GSTS) & VTDM_TE);
        if (done && at == place.want)
            return;
        if (done)
            expect(life, at == NOWHERE && told, what);
        else
            expect(life, at == NOWHERE || at == place.before || at == place.want, what);
    }
    expect(life, FALSE, what);
}

/* --- what is done -----------------------------------------------------------------------
 */

static gboolean start(Life *life)
{
    vtdm_start(&life->vm, VTDM_SCALABLE);
    return (vtdm_get(&life->vm, VTDM_GSTS) & VTDM_TE) && vtdm_waited(&life->vm);
}

static gboolean install_first(Life *life)
{
    vtdm_install(&life->vm, life->rid, &life->vm.domain);
    return vtdm_waited(&life->vm);
}

static gboolean install_second(Life *life)
{
    vtdm_install(&life->vm, life->rid, &life->second);
    return vtdm_waited(&life->vm);
}

static gboolean install_pasid(Life *life)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_table(words, &life->second);
    vtdm_install_pasid(&life->vm, life->rid, PASID, words);
    return vtdm_waited(&life->vm);
}

static gboolean remove_pasid(Life *life)
{
    const guint64 words[GUEST_VTD_PASID_WORDS] = {0};

    vtdm_install_pasid(&life->vm, life->rid, PASID, words);
    return vtdm_waited(&life->vm);
}

static gboolean pass_through(Life *life)
{
    vtdm_install_pass_through(&life->vm, life->rid);
    return vtdm_waited(&life->vm);
}

static gboolean drop(Life *life)
{
    vtdm_remove(&life->vm, life->rid);
    return vtdm_waited(&life->vm);
}

static gboolean flush(Life *life)
{
    return vtdm_flush_page(&life->vm, VTDM_DID, 0, VTDM_IOVA);
}

static gboolean disable(Life *life)
{
    return vtdm_command(&life->vm, VTDM_TE, FALSE) && vtdm_flush_all(&life->vm);
}

/* Linux flushes everything then. */
static gboolean enable(Life *life)
{
    return vtdm_command(&life->vm, VTDM_TE, TRUE) && vtdm_flush_all(&life->vm);
}

static gboolean block(Life *life)
{
    return viommu_vtd_block(life->vm.vtd, NULL);
}

static gboolean release(Life *life)
{
    return viommu_vtd_block(life->vm.vtd, NULL) && viommu_vtd_release(life->vm.vtd, NULL);
}

static gboolean restore(Life *life)
{
    return viommu_vtd_restore(life->vm.vtd, life->state, NULL) && vtdm_flush_all(&life->vm);
}

static gboolean renumber(Life *life)
{
    return viommu_vtd_set_requester_id(life->vm.vtd, life->vm.devices[0], OTHER_RID, NULL);
}

static gboolean replug(Life *life)
{
    ViommuHostDevice *device = life->vm.devices[0];

    viommu_vtd_detach_device(life->vm.vtd, device);
    return viommu_vtd_attach_device(life->vm.vtd, device, life->rid, 0, NULL);
}

/* --- a life -----------------------------------------------------------------------------
 */

static void mark(Life *life, guint64 page)
{
    vtdm_store(&life->vm, page, page);
}

static void live(Life *life)
{
    VtdMachine *vm = &life->vm;
    guint64 page = vm->page, other;
    const Place first = {VTDM_NO_PASID, VTDM_IOVA, page, NOWHERE};
    const Place nothing = {VTDM_NO_PASID, VTDM_IOVA, NOWHERE, NOWHERE};
    const Place identity = {VTDM_NO_PASID, page, page, NOWHERE};
    Place second = first, leaving = nothing, in_pasid;

    life->rid = VTDM_RID;
    other = vtdm_alloc(vm, GUEST_PAGE);
    vtdm_domain_init(vm, &life->second, OTHER_DID);
    guest_vtd_map(&life->second, VTDM_IOVA, other, TRUE);
    mark(life, page);
    mark(life, other);
    second.want = other;
    leaving.before = other;
    in_pasid = second;
    in_pasid.pasid = PASID;

    until_done(life, start, nothing, "a driver starts");
    until_done(life, install_first, first, "tables");
    guest_vtd_map(&vm->domain, VTDM_IOVA, other, TRUE);
    until_done(life, flush, (Place){VTDM_NO_PASID, VTDM_IOVA, other, page}, "a flush");
    guest_vtd_map(&vm->domain, VTDM_IOVA, page, TRUE);
    until_done(life, flush, (Place){VTDM_NO_PASID, VTDM_IOVA, page, other}, "another");
    until_done(life, install_first, first, "the same tables");
    second.before = page;
    until_done(life, install_second, second, "other tables");
    if (vm->nests && vtdm_ecap(vm, VTDM_ECAP_PASID, 1)) {
        until_done(life, install_pasid, in_pasid, "a PASID");
        until_done(life, remove_pasid, (Place){PASID, VTDM_IOVA, NOWHERE, other},
                   "... and no more");
    }
    until_done(life, pass_through, identity, "pass-through");
    until_done(life, install_second, second, "tables again");
    until_done(life, disable, identity, "translation off");
    until_done(life, enable, second, "translation on");
    until_done(life, drop, leaving, "no tables");
    until_done(life, install_first, first, "tables from nothing");
    life->state = viommu_vtd_save(vm->vtd, NULL);
    expect(life, life->state != NULL, "saved");
    if (life->state)
        until_done(life, restore, first, "restored");
    until_done(life, replug, first, "unplugged and plugged");
    until_done(life, block, (Place){VTDM_NO_PASID, VTDM_IOVA, NOWHERE, page}, "blocked");
    until_done(life, release, identity, "released");
    until_done(life, start, first, "a driver starts again");
    until_done(life, renumber, (Place){VTDM_NO_PASID, VTDM_IOVA, NOWHERE, page},
               "another ID");
    life->rid = OTHER_RID;
    until_done(life, install_second, second, "tables for that");
}

static guint count_objects(Life *life)
{
    guint n = 0;

    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        n += viommu_emulator_count_objects(life->target->emulator, kind);
    return n;
}

static gboolean play(guint64 nth, int err, guint times, const char **ret_wrong,
                     gconstpointer data)
{
    const HostKind *kind = data;
    char *const arguments[] = {
        (char *)"",          (char *)"--emulate",   (char *)kind->emulate,
        (char *)"--backend", (char *)kind->backend, NULL};
    Target target;
    Spy *spy = &target.spy;
    Life life = {.target = &target,
                 .is_put_off = err == EINTR || err == ENOMEM || err == EBUSY};
    gboolean hit;

    /* An emulator of its own: what one life loses must not show in the next. */
    target_init_default(&target, 5, (char **)arguments, 1, "vtd");
    spy_fail(spy, 0, nth, err, times);
    if (vtdm_init(&life.vm, &target, target.bdfs, NULL)) {
        live(&life);
        vtdm_clear(&life.vm);
    }
    g_clear_pointer(&life.state, g_bytes_unref);
    hit = spy->hit;
    spy_fail_none(spy);
    expect(&life, count_objects(&life) == 0, "objects are left");
    target_clear(&target);
    *ret_wrong = life.wrong;
    return hit;
}

static gboolean is_built(const char *backend)
{
    return g_strv_contains(viommu_backend_names(), backend);
}

int main(void)
{
    static const HostKind kinds[] = {{"nesting: ", "vtd-pasid", "iommufd"},
                                     {"no nesting: ", "vtd-no-nesting", "iommufd"},
                                     {"legacy: ", "vtd", "legacy"}};

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (is_built(kinds[i].backend))
            sweep_faults(play, &kinds[i], kinds[i].prefix);
    return tap_done();
}
