/* SPDX-License-Identifier: MIT */
/*
 * The oracle of shadows. A random guest with second-stage tables, in legacy mode or in
 * scalable mode, maps, unmaps and flushes pages of three domains, small and large, moves
 * its devices between them and all else there is; memory comes and goes, devices are reset,
 * host calls fail. At every host call no device may see a page but as shadow-model.h allows
 * it; after each flush of a domain its devices must see just what its table says, page by
 * page, as far as it is flushed; and a domain whose last page is gone has no mapping left
 * on the host.
 *
 * Where a host call has failed, a device may lack what it is granted, if the guest was
 * told.
 *
 * And the oracle itself: with one unmap, one map or one flush in so many taken out, it must
 * notice.
 *
 *   test-shadow-oracle [SEED [STEPS]], or VIOMMU_SEED
 */

#include "shadow-machine.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <unistd.h>
#include <viommu/viommu.h>

#include "shadow-model.h"
#include "tap.h"

enum { R = VIOMMU_MAP_READ, W = VIOMMU_MAP_WRITE, RW = R | W };
enum { DEFAULT_STEPS = 1000, SLOTS = 2, SLOT_PAGES = MODEL_PAGES / SLOTS, SAMPLES = 4 };
enum { DATA_PAGES = 48, HOT_PAGES = SM_HOT_PAGES / 2, FIRST_DID = 20 };
enum { SLOT_SIZE = 0x200000, SLOT_ORDER = 9 };
/* The pages are the end of one 2 MiB and the beginning of the next. */
#define FIRST_IOVA (SM_IOVA + SLOT_SIZE - SLOT_PAGES * SM_PAGE)

/* What is left out: every nth of a kind; 0: none. */
typedef struct {
    guint unmap;
    guint map;
    guint flush;
} Drops;

typedef struct {
    ShadowMachine m;
    Model model;
    GRand *random;
    VtdmMode mode;
    gboolean tidy;    /* the guest flushes what it changes, sooner or later */
    gboolean failing; /* host calls do, now and then */
    Drops drops;
    guint n_flushes;

    GuestVtdDomain domains[MODEL_DOMAINS];
    GuestVtdDomain first; /* a first stage that leads each page to one of its own */
    guint64 big;          /* 2 MiB of memory */
    View leaf[MODEL_DOMAINS][MODEL_PAGES];
    gboolean is_large[MODEL_DOMAINS][SLOTS];
    guint64 table[MODEL_DOMAINS][SLOTS]; /* the entry that leads to the small pages */

    int was_at[MODEL_DEVICES]; /* until a move is told done */
    gboolean is_attached[MODEL_DEVICES];
    gboolean is_resetting[MODEL_DEVICES];
    gboolean is_translating;

    gboolean failed; /* a host call has, since all was last mended */
    gboolean may_be_put_off;
    gboolean was_told[MODEL_DEVICES];
    GHashTable *mappings; /* IOAS, or container -> how many it has */
    guint samples[SAMPLES];
    char *wrong;
    guint n_checks, n_seen, n_lacking, n_failures, n_empty;
} Oracle;

static guint pick(Oracle *o, guint n)
{
    return g_rand_int_range(o->random, 0, (gint32)n);
}

static void G_GNUC_PRINTF(2, 3) fail(Oracle *o, const char *format, ...)
{
    va_list args;

    if (o->wrong)
        return;
    va_start(args, format);
    o->wrong = g_strdup_vprintf(format, args);
    va_end(args);
}

static guint64 iova(guint page)
{
    return FIRST_IOVA + (guint64)page * SM_PAGE;
}

static guint64 slot_base(guint slot)
{
    return SM_IOVA + (guint64)slot * SLOT_SIZE;
}

static guint16 rid_of(guint device)
{
    return VTDM_RID + 8 * device;
}

/* --- what is seen -----------------------------------------------------------------------
 */

static View see(Oracle *o, guint device, guint64 address)
{
    return viewer_look(&o->m.viewer, o->m.bdfs[device], VIEW_NO_PASID, address);
}

static int place_of(const Oracle *o, guint device)
{
    if (!o->is_attached[device])
        return AT_BLOCKED;
    return o->is_translating ? o->model.at[device] : AT_IDENTITY;
}

static View nested_view(const Oracle *o, guint page)
{
    return (View){o->m.pages[page % DATA_PAGES], RW};
}

static gboolean allows_at(Oracle *o, int place, guint page, View seen)
{
    if (place == AT_NESTED)
        return view_is_within(seen, nested_view(o, page));
    return place >= 0 ? model_allows(&o->model, (guint)place, page, seen) : !seen.rights;
}

/* No more than it may see, now or before a move that is not told done. */
static void check_within(Oracle *o, guint device, guint page, View seen)
{
    if (allows_at(o, place_of(o, device), page, seen) ||
        allows_at(o, o->was_at[device], page, seen))
        return;
    fail(o,
         "device %u, at %d and before at %d, page %u: reaches 0x%" G_GINT64_MODIFIER
         "x, rights %u",
         device, place_of(o, device), o->was_at[device], page, seen.gpa, seen.rights);
}

static View granted(const Oracle *o, guint device, guint page)
{
    int place = place_of(o, device);

    if (place == AT_NESTED)
        return nested_view(o, page);
    return place >= 0 ? model_grant(&o->model, o->model.pages[place][page].now) : (View){0};
}

/* At every host call. */
static void look(void *user_data)
{
    Oracle *o = user_data;

    for (guint i = 0; i < MODEL_DEVICES; i++)
        for (guint n = 0; n < SAMPLES; n++)
            check_within(o, i, o->samples[n], see(o, i, iova(o->samples[n])));
}

/* All that its table has is flushed. */
static gboolean is_settled(const Oracle *o, guint device)
{
    int place = place_of(o, device);

    return place < 0 || !model_is_stale(&o->model, (guint)place);
}

static void check_lacking(Oracle *o, guint device, guint page, View seen)
{
    View wanted = granted(o, device, page);

    if (view_is(seen, wanted) || o->is_resetting[device])
        return;
    o->n_lacking++;
    if (!o->failed)
        fail(o,
             "device %u at %d, page %u: reaches 0x%" G_GINT64_MODIFIER
             "x, rights %u, and not 0x%" G_GINT64_MODIFIER "x, rights %u",
             device, place_of(o, device), page, seen.gpa, seen.rights, wanted.gpa,
             wanted.rights);
    else if (!o->may_be_put_off && !o->was_told[device])
        fail(o, "device %u at %d lacks page %u, and the guest was not told", device,
             place_of(o, device), page);
}

static void check_page(Oracle *o, guint device, guint page)
{
    View seen = see(o, device, iova(page));

    o->n_checks++;
    o->n_seen += seen.rights != 0;
    check_within(o, device, page, seen);
    if (is_settled(o, device))
        check_lacking(o, device, page, seen);
}

static void check_identity(Oracle *o, guint device)
{
    guint64 gpa = o->m.pages[pick(o, DATA_PAGES)];
    View seen = see(o, device, gpa);
    gboolean may = place_of(o, device) == AT_IDENTITY || o->was_at[device] == AT_IDENTITY;

    if (!view_is_within(seen, may ? (View){gpa, RW} : (View){0}))
        fail(o, "device %u at %d reaches guest-physical memory", device,
             place_of(o, device));
}

static void check_all(Oracle *o)
{
    for (guint i = 0; i < MODEL_DEVICES; i++) {
        for (guint p = 0; p < MODEL_PAGES; p++)
            check_page(o, i, p);
        check_identity(o, i);
    }
}

/* After every flush of a domain: each page of each device of it. */
static void check_domain(Oracle *o, guint domain)
{
    for (guint i = 0; i < MODEL_DEVICES; i++)
        for (guint p = 0; place_of(o, i) == (int)domain && p < MODEL_PAGES; p++)
            check_page(o, i, p);
}

static void check_some(Oracle *o)
{
    for (guint i = 0; i < MODEL_DEVICES; i++)
        for (guint n = 0; n < SAMPLES; n++)
            check_page(o, i, o->samples[n]);
}

/* --- what the host is told --------------------------------------------------------------
 */

static void count(Oracle *o, guint key, int change)
{
    int n = GPOINTER_TO_INT(g_hash_table_lookup(o->mappings, GUINT_TO_POINTER(key)));

    g_hash_table_insert(o->mappings, GUINT_TO_POINTER(key), GINT_TO_POINTER(n + change));
}

static gboolean unmaps_all(const struct vfio_iommu_type1_dma_unmap *unmap)
{
    return unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL;
}

static void called(int fd, unsigned long request, const void *arg, int result,
                   void *user_data)
{
    const struct iommu_ioas_unmap *unmap = arg;
    Oracle *o = user_data;

    /* What is not destroyed is attached to nothing, and stays until the host is closed. */
    if (request == IOMMU_DESTROY)
        g_hash_table_remove(o->mappings,
                            GUINT_TO_POINTER(((const struct iommu_destroy *)arg)->id));
    if (result < 0)
        return;
    if (request == IOMMU_IOAS_COPY)
        count(o, ((const struct iommu_ioas_copy *)arg)->dst_ioas_id, 1);
    else if (request == IOMMU_IOAS_UNMAP &&
             g_hash_table_contains(o->mappings, GUINT_TO_POINTER(unmap->ioas_id)))
        count(o, unmap->ioas_id, -1);
    else if (request == VFIO_IOMMU_MAP_DMA)
        count(o, (guint)fd, 1);
    else if (request == VFIO_IOMMU_UNMAP_DMA && !unmaps_all(arg))
        /* It says how much there was. */
        count(o, (guint)fd,
              ((const struct vfio_iommu_type1_dma_unmap *)arg)->size ? -1 : 0);
    else if (request == VFIO_IOMMU_UNMAP_DMA || request == 0)
        g_hash_table_remove(o->mappings, GUINT_TO_POINTER((guint)fd));
}

static int count_mappings(Oracle *o)
{
    GHashTableIter iter;
    gpointer n;
    int sum = 0;

    g_hash_table_iter_init(&iter, o->mappings);
    while (g_hash_table_iter_next(&iter, NULL, &n))
        sum += GPOINTER_TO_INT(n);
    return sum;
}

/* --- failures ---------------------------------------------------------------------------
 */

static void arm(Oracle *o)
{
    const unsigned long calls[] = {0,
                                   o->m.map_call,
                                   o->m.unmap_call,
                                   VFIO_DEVICE_ATTACH_IOMMUFD_PT,
                                   VFIO_DEVICE_DETACH_IOMMUFD_PT,
                                   IOMMU_IOAS_ALLOC,
                                   IOMMU_HWPT_ALLOC};
    static const int errs[] = {EIO, EINVAL, ENOMEM, EBUSY, ENOSPC};
    static const guint times[] = {1, 3, 9, 60};
    int err = errs[pick(o, G_N_ELEMENTS(errs))];

    o->may_be_put_off = o->may_be_put_off || (err != EIO && err != EINVAL);
    spy_fail(&o->m.watch.spy, calls[pick(o, G_N_ELEMENTS(calls))], 1 + pick(o, 6), err,
             times[pick(o, G_N_ELEMENTS(times))]);
}

static void disarm(Oracle *o)
{
    o->failed = o->failed || o->m.watch.spy.hit;
    o->n_failures += o->m.watch.spy.hit;
    o->m.watch.spy.hit = FALSE;
    spy_fail_none(&o->m.watch.spy);
}

/* What the guest was told, of whom. */
static void listen(Oracle *o)
{
    gboolean of_all = vtdm_get(&o->m.vm, VTDM_FSTS) & (VTDM_ITE | VTDM_PFO);
    VtdmFault fault;

    while (vtdm_next_fault(&o->m.vm, &fault))
        o->was_told[(fault.rid - VTDM_RID) / 8 % MODEL_DEVICES] = TRUE;
    vtdm_set(&o->m.vm, VTDM_FSTS, VTDM_PFO);
    for (guint i = 0; of_all && i < MODEL_DEVICES; i++)
        o->was_told[i] = TRUE;
    if (o->m.watch.spy.hit) {
        o->failed = TRUE;
        o->n_failures++;
        o->m.watch.spy.hit = FALSE;
    }
}

/* --- flushes ----------------------------------------------------------------------------
 */

/* It was told done; else it is to be submitted again, some time. */
static gboolean is_done(Oracle *o)
{
    gboolean done = vtdm_waited(&o->m.vm);

    listen(o);
    vtdm_clear_queue_errors(&o->m.vm);
    if (!done && !o->failed)
        fail(o, "a flush was not told done");
    return done;
}

static void issue(Oracle *o, guint64 word0, guint64 word1)
{
    if (o->drops.flush && ++o->n_flushes % o->drops.flush == 0)
        return;
    vtdm_issue(&o->m.vm, word0, word1);
}

static void flush_pages(Oracle *o, guint domain, guint page, guint order)
{
    guint64 size = (guint64)SM_PAGE << order, first = iova(page) & ~(size - 1);
    guint64 from = MAX(first, FIRST_IOVA);

    issue(o, guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, FIRST_DID + domain),
          guest_vtd_inv_pages(iova(page), order, pick(o, 2)));
    if (!is_done(o))
        return;
    model_flush(&o->model, domain, (guint)((from - FIRST_IOVA) / SM_PAGE),
                (guint)((first + size - 1 - FIRST_IOVA) / SM_PAGE));
    check_domain(o, domain);
}

static void flush_domain(Oracle *o, guint domain)
{
    issue(o, guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, FIRST_DID + domain), 0);
    if (!is_done(o))
        return;
    model_flush(&o->model, domain, 0, MODEL_PAGES - 1);
    check_domain(o, domain);
}

static void flush_global(Oracle *o)
{
    issue(o, guest_vtd_inv_iotlb(GUEST_IOTLB_GLOBAL, 0), 0);
    if (!is_done(o))
        return;
    model_flush_all(&o->model);
    for (guint d = 0; d < MODEL_DOMAINS; d++)
        check_domain(o, d);
}

/* The smallest that covers n pages; or much more. */
static void flush_range(Oracle *o, guint domain, guint page, guint n)
{
    guint order = 0;

    while (iova(page) >> (12 + order) != iova(page + n - 1) >> (12 + order))
        order++;
    if (pick(o, 10) == 0)
        flush_global(o);
    else if (order > 18 || pick(o, 6) == 0)
        flush_domain(o, domain);
    else if (pick(o, 3))
        flush_pages(o, domain, page + pick(o, n), order);
    else
        for (guint i = 0; i < n; i++)
            flush_pages(o, domain, page + i, 0);
}

static void flush_something(Oracle *o)
{
    flush_range(o, pick(o, MODEL_DOMAINS), pick(o, MODEL_PAGES - 4), 1 + pick(o, 4));
}

/* All that may have gone wrong is told again, until nothing does. */
static void mend(Oracle *o)
{
    disarm(o);
    for (guint tries = 0; tries < 3; tries++) {
        vtdm_clear_queue_errors(&o->m.vm);
        vtdm_flush_all(&o->m.vm);
    }
    listen(o);
    model_flush_all(&o->model);
    o->failed = o->may_be_put_off = FALSE;
    for (guint i = 0; i < MODEL_DEVICES; i++) {
        o->was_at[i] = place_of(o, i);
        o->was_told[i] = FALSE;
    }
    check_all(o);
}

/* --- the guest's tables -----------------------------------------------------------------
 */

/* FALSE: it has changed as much as the model takes without a flush. */
static gboolean make_room(Oracle *o, guint domain, guint page, guint n)
{
    if (!model_can_set(&o->model, domain, page, n))
        flush_domain(o, domain);
    return model_can_set(&o->model, domain, page, n);
}

static guint64 bits_of(guint rights)
{
    return (rights & R ? GUEST_SS_R : 0) | (rights & W ? GUEST_SS_W : 0);
}

static void set_page(Oracle *o, guint domain, guint page, guint64 gpa, guint rights)
{
    gboolean is_memory = g_hash_table_contains(o->m.viewer.pages, &gpa);

    sm_put(&o->m, &o->domains[domain], iova(page), 1, rights ? gpa | bits_of(rights) : 0);
    o->leaf[domain][page] = rights && is_memory ? (View){gpa, rights} : (View){0};
    model_set(&o->model, domain, page, o->leaf[domain][page]);
}

/* Where n pages begin: in a row in memory, mostly. */
static guint64 pick_memory(Oracle *o, guint n)
{
    guint how = pick(o, 12);

    if (how == 0)
        return VTDM_NOWHERE;
    if (how < 3)
        return SM_HOT_RAM + (guint64)pick(o, HOT_PAGES + 1 - n) * SM_PAGE;
    return o->m.pages[pick(o, DATA_PAGES - n)];
}

static void change_pages(Oracle *o)
{
    static const guint rights[] = {RW, RW, RW, R, W, 0, 0, 0};
    guint domain = pick(o, MODEL_DOMAINS), page = pick(o, MODEL_PAGES - 8);
    guint n = 1 + pick(o, 8), slot = page / SLOT_PAGES;
    guint how = rights[pick(o, G_N_ELEMENTS(rights))];
    guint64 gpa = pick_memory(o, n);

    n = MIN(n, (slot + 1) * SLOT_PAGES - page);
    if (o->is_large[domain][slot] || !make_room(o, domain, page, n))
        return;
    for (guint i = 0; i < n; i++)
        set_page(o, domain, page + i, gpa + (guint64)i * SM_PAGE, how);
    if (o->tidy && pick(o, 4))
        flush_range(o, domain, page, n);
}

/* 2 MiB are one page, or a table of small ones. */
static void change_slot(Oracle *o)
{
    guint domain = pick(o, MODEL_DOMAINS), slot = pick(o, SLOTS);
    guint page = slot * SLOT_PAGES, rights = 1 + pick(o, 3);
    GuestVtdDomain *d = &o->domains[domain];

    if (!make_room(o, domain, page, SLOT_PAGES))
        return;
    o->is_large[domain][slot] = !o->is_large[domain][slot];
    sm_put(&o->m, d, slot_base(slot), 2,
           o->is_large[domain][slot] ? o->big | bits_of(rights) | GUEST_SS_PS
                                     : o->table[domain][slot]);
    for (guint p = page; p < page + SLOT_PAGES; p++) {
        View large = {o->big + (iova(p) - slot_base(slot)), rights};

        model_set(&o->model, domain, p,
                  o->is_large[domain][slot] ? large : o->leaf[domain][p]);
    }
    if (o->tidy && pick(o, 4))
        flush_pages(o, domain, page + pick(o, SLOT_PAGES), SLOT_ORDER);
}

/* Every page goes; then there is no mapping left. */
static void empty(Oracle *o)
{
    for (guint d = 0; d < MODEL_DOMAINS; d++) {
        flush_domain(o, d);
        for (guint s = 0; s < SLOTS; s++)
            if (o->is_large[d][s])
                sm_put(&o->m, &o->domains[d], slot_base(s), 2, o->table[d][s]);
        for (guint s = 0; s < SLOTS; s++)
            o->is_large[d][s] = FALSE;
        for (guint p = 0; p < MODEL_PAGES; p++)
            if (model_can_set(&o->model, d, p, 1))
                set_page(o, d, p, 0, 0);
        flush_domain(o, d);
    }
    check_all(o);
    if (o->failed || !o->is_translating)
        return;
    for (guint i = 0; i < MODEL_DEVICES; i++)
        if (place_of(o, i) < 0)
            return;
    o->n_empty++;
    if (count_mappings(o))
        fail(o, "nothing is mapped by any domain, and the host has %d mappings",
             count_mappings(o));
}

/* --- devices ----------------------------------------------------------------------------
 */

static gboolean can_nest(const Oracle *o)
{
    return o->mode == VTDM_SCALABLE && !o->m.options->lacks &&
           g_strcmp0(o->m.options->backend, "legacy");
}

static int pick_place(Oracle *o)
{
    guint how = pick(o, 10);

    if (how == 0)
        return AT_BLOCKED;
    if (how == 1)
        return AT_IDENTITY;
    if (how == 2 && can_nest(o))
        return AT_NESTED;
    return (int)pick(o, MODEL_DOMAINS);
}

static void move_to(Oracle *o, guint device, int place)
{
    int before = o->model.at[device];
    VtdMachine *vm = &o->m.vm;

    if (o->is_translating && o->is_attached[device] && o->was_at[device] != before)
        return; /* the last move first */
    o->was_at[device] = place_of(o, device);
    o->model.at[device] = place;
    if (place == AT_BLOCKED)
        vtdm_remove(vm, rid_of(device));
    else if (place == AT_IDENTITY)
        vtdm_install_pass_through(vm, rid_of(device));
    else
        vtdm_install(vm, rid_of(device),
                     place == AT_NESTED ? &o->first : &o->domains[place]);
    if (!is_done(o))
        return;
    o->was_at[device] = place_of(o, device);
    /* A driver flushes the domain that a device comes to, and in legacy mode its old one.
     */
    if (place >= 0)
        model_flush(&o->model, (guint)place, 0, MODEL_PAGES - 1);
    if (before >= 0 && o->mode == VTDM_LEGACY)
        model_flush(&o->model, (guint)before, 0, MODEL_PAGES - 1);
}

static void move(Oracle *o)
{
    move_to(o, pick(o, MODEL_DEVICES), pick_place(o));
}

/* A move that is not told done may yet be made, by whatever comes first. */
static gboolean is_moving(const Oracle *o)
{
    for (guint i = 0; i < MODEL_DEVICES; i++)
        if (o->was_at[i] != place_of(o, i))
            return TRUE;
    return FALSE;
}

/* A device goes, or is back, and has what the tables say then. */
static void hot_plug(Oracle *o, guint device)
{
    if (is_moving(o))
        return;
    disarm(o);
    o->is_attached[device] = !o->is_attached[device];
    if (!o->is_attached[device])
        viommu_vtd_detach_device(o->m.vm.vtd, o->m.vm.devices[device]);
    else if (!viommu_vtd_attach_device(o->m.vm.vtd, o->m.vm.devices[device], rid_of(device),
                                       0, NULL))
        fail(o, "device %u was not attached again", device);
    o->was_at[device] = place_of(o, device);
    listen(o);
}

static void switch_translation(Oracle *o)
{
    if (is_moving(o))
        return;
    disarm(o);
    o->is_translating = !o->is_translating;
    vtdm_command(&o->m.vm, VTDM_TE, o->is_translating);
    for (guint i = 0; i < MODEL_DEVICES; i++)
        o->was_at[i] = place_of(o, i);
    listen(o);
}

/* The host attaches nothing while a device is reset. */
static void reset(Oracle *o, guint device)
{
    ViommuEmulator *emulator = o->m.vm.emulator;

    if (!o->is_resetting[device]) {
        viommu_emulator_device_begin_reset(emulator, o->m.bdfs[device]);
        o->is_resetting[device] = TRUE;
        return;
    }
    disarm(o);
    viommu_emulator_device_end_reset(emulator, o->m.bdfs[device]);
    viommu_host_device_reset_done(o->m.vm.devices[device]);
    o->is_resetting[device] = FALSE;
    listen(o);
}

/* --- memory -----------------------------------------------------------------------------
 */

static void change_memory(Oracle *o)
{
    ViommuHost *host = o->m.vm.host;

    disarm(o);
    if (o->model.is_hot) {
        if (pick(o, 4) == 0)
            spy_fail(&o->m.watch.spy, o->m.unmap_call, 1 + pick(o, 4), EIO, 3);
        o->model.is_hot = !viommu_host_unmap(host, SM_HOT_RAM, SM_HOT_SIZE, NULL);
        /* Copies may be lacking where it stayed. */
        o->failed = o->failed || o->m.watch.spy.hit;
        o->may_be_put_off = o->may_be_put_off || o->m.watch.spy.hit;
        disarm(o);
    } else {
        o->model.is_hot = TRUE;
        if (!viommu_host_map(host, SM_HOT_RAM, SM_HOT_SIZE, o->m.hot,
                             VIOMMU_MAP_READ | VIOMMU_MAP_WRITE, NULL))
            fail(o, "memory was not mapped again");
    }
    listen(o);
}

/* --- its life ---------------------------------------------------------------------------
 */

static void step(Oracle *o)
{
    guint what = pick(o, 1000);

    for (guint i = 0; i < SAMPLES; i++)
        o->samples[i] = pick(o, MODEL_PAGES);
    if (what < 600)
        change_pages(o);
    else if (what < 660)
        change_slot(o);
    else if (what < 800)
        flush_something(o);
    else if (what < 900)
        move(o);
    else if (what < 920)
        hot_plug(o, pick(o, MODEL_DEVICES));
    else if (what < 930)
        switch_translation(o);
    else if (what < 950)
        change_memory(o);
    else if (what < 960)
        reset(o, pick(o, MODEL_DEVICES));
    else if (what < 964)
        empty(o);
    else if (what < 990 && o->failing)
        arm(o);
    check_some(o);
    for (guint i = 0; i < MODEL_DEVICES; i++) { /* not gone for long */
        if (!o->is_attached[i] && pick(o, 10) == 0)
            hot_plug(o, i);
        if (o->is_resetting[i] && pick(o, 20) == 0)
            reset(o, i);
    }
    if (!o->is_translating && pick(o, 10) == 0)
        switch_translation(o);
    if (o->tidy && pick(o, 4) == 0)
        for (guint d = 0; d < MODEL_DOMAINS; d++)
            flush_domain(o, d);
    if ((o->failed && pick(o, 10) == 0) || pick(o, 100) == 0)
        mend(o);
    if (o->tidy ? pick(o, 8) == 0 : pick(o, 50) == 0)
        check_all(o);
}

static void lay_out(Oracle *o)
{
    ShadowMachine *m = &o->m;

    o->big = vtdm_alloc(&m->vm, SLOT_SIZE);
    for (guint p = 0; p < MODEL_PAGES; p++) {
        guint64 gpa = o->big + (iova(p) - slot_base(p / SLOT_PAGES));

        viewer_mark(&m->viewer, gpa, guest_memory_at(&m->vm.ram, gpa));
    }
    guest_vtd_domain_init(&o->first, &m->vm.ram, GUEST_VTD_FIRST, 4, VTDM_DID);
    for (guint p = 0; p < MODEL_PAGES; p++)
        sm_map(m, &o->first, iova(p), p % DATA_PAGES, 1, RW);
    for (guint d = 0; d < MODEL_DOMAINS; d++) {
        sm_domain(m, &o->domains[d], (guint16)(FIRST_DID + d));
        for (guint s = 0; s < SLOTS; s++) {
            sm_put(m, &o->domains[d], slot_base(s), 1, 0);
            o->table[d][s] =
                vtdm_load(&m->vm, guest_vtd_entry_at(&o->domains[d], slot_base(s), 2));
        }
    }
}

static gboolean oracle_init(Oracle *o, const ShadowMachineOptions *options, guint32 seed)
{
    if (!sm_init(&o->m, options))
        return FALSE;
    o->random = g_rand_new_with_seed(seed);
    o->mappings = g_hash_table_new(NULL, NULL);
    model_init(&o->model);
    o->model.hot_first = SM_HOT_RAM;
    o->model.hot_last = SM_HOT_RAM + SM_HOT_SIZE - 1;
    o->model.reads_what_it_writes = !(options->lacks & SM_FSTS);
    sm_start(&o->m, o->mode);
    lay_out(o);
    o->is_translating = TRUE;
    for (guint i = 0; i < MODEL_DEVICES; i++) {
        o->is_attached[i] = TRUE;
        o->model.at[i] = o->was_at[i] = AT_BLOCKED;
    }
    o->m.watch.user_data = o;
    o->m.watch.check = look;
    o->m.watch.called = called;
    if (o->drops.unmap)
        spy_swallow(&o->m.watch.spy, o->m.unmap_call, o->drops.unmap);
    if (o->drops.map)
        spy_swallow(&o->m.watch.spy, o->m.map_call, o->drops.map);
    return TRUE;
}

static void oracle_clear(Oracle *o)
{
    gboolean ok = TRUE;

    o->m.watch.check = NULL;
    o->m.watch.called = NULL;
    spy_swallow(&o->m.watch.spy, 0, 0);
    for (guint i = 0; i < MODEL_DEVICES; i++)
        if (o->is_resetting[i])
            viommu_emulator_device_end_reset(o->m.vm.emulator, o->m.bdfs[i]);
    sm_clear_quietly(&o->m, &ok);
    if (!ok)
        fail(o, "something is left on the host");
    g_hash_table_unref(o->mappings);
    g_rand_free(o->random);
}

/* 0, or at which step it went wrong. */
static guint play(Oracle *o, const ShadowMachineOptions *options, guint32 seed, guint steps)
{
    guint n = 0;

    if (!oracle_init(o, options, seed))
        return 1;
    while (n < steps && !o->wrong) {
        step(o);
        n++;
    }
    if (!o->wrong) {
        for (guint i = 0; i < MODEL_DEVICES; i++)
            if (o->is_resetting[i])
                reset(o, i);
        mend(o);
        if (!o->is_translating)
            switch_translation(o);
        for (guint i = 0; i < MODEL_DEVICES; i++) {
            if (!o->is_attached[i])
                hot_plug(o, i);
            move_to(o, i, (int)i);
        }
        empty(o);
    }
    oracle_clear(o);
    return o->wrong ? MAX(n, 1) : 0;
}

/* --- lives ------------------------------------------------------------------------------
 */

typedef struct {
    guint32 seed;
    guint steps;
} Game;

static void play_honestly(const Game *game, guint life, const ShadowMachineOptions *options,
                          VtdmMode mode, gboolean tidy, gboolean failing)
{
    Oracle o = {.mode = mode, .tidy = tidy, .failing = failing};
    guint at = play(&o, options, game->seed + life, game->steps);

    tap_ok(!at, "%s%s, %s mode, %s first-stage tables: %s guest%s", options->backend,
           options->container ? " by iommufd" : "",
           mode == VTDM_LEGACY ? "legacy" : "scalable", options->lacks ? "without" : "with",
           tidy ? "a tidy" : "an untidy", failing ? ", host calls that fail" : "");
    tap_note("%u looks at a page, %u met one, %u lacking; %u failures; %u times empty",
             o.n_checks, o.n_seen, o.n_lacking, o.n_failures, o.n_empty);
    if (at)
        tap_note("step %u: %s", at, o.wrong);
    if (!at && game->steps >= DEFAULT_STEPS)
        tap_ok(o.n_seen > o.n_checks / 10 && (!failing || o.n_failures > 0),
               "... there was something to see");
    g_free(o.wrong);
}

static void play_with_drops(const Game *game, const ShadowMachineOptions *options,
                            VtdmMode mode, gboolean tidy, Drops drops, const char *what)
{
    Oracle o = {.mode = mode, .tidy = tidy, .drops = drops};
    guint at = play(&o, options, game->seed, 20 * game->steps);

    tap_ok(at, "%s, %s guest: %s left out is noticed", options->backend,
           tidy ? "a tidy" : "an untidy", what);
    if (at)
        tap_note("step %u: %s", at, o.wrong);
    g_free(o.wrong);
}

static void play_backend(const Game *game, const char *backend, const char *container)
{
    const ShadowMachineOptions *all =
        SM_OPTIONS(.backend = backend, .container = container, .n_devices = 3);
    const ShadowMachineOptions *second =
        SM_OPTIONS(.backend = backend, .container = container, .n_devices = 3,
                   .lacks = SM_FSTS);

    for (guint i = 0; i < 8; i++) {
        VtdmMode mode = i & 1 ? VTDM_SCALABLE : VTDM_LEGACY;

        play_honestly(game, 2 * i, i & 2 ? second : all, mode, !(i & 4), FALSE);
        play_honestly(game, 2 * i + 1, i & 2 ? second : all, mode, !(i & 4), TRUE);
    }
    for (guint tidy = 0; tidy < 2; tidy++) {
        play_with_drops(game, all, VTDM_LEGACY, tidy, (Drops){.unmap = 20}, "an unmap");
        play_with_drops(game, all, VTDM_LEGACY, tidy, (Drops){.flush = 20}, "a flush");
    }
    play_with_drops(game, all, VTDM_LEGACY, TRUE, (Drops){.map = 20}, "a map");
}

/* What is found by address is found in the same order with every run. */
static void fix_addresses(char **argv)
{
    int now = personality(0xffffffff);

    if (now >= 0 && !(now & ADDR_NO_RANDOMIZE) &&
        personality((unsigned long)now | ADDR_NO_RANDOMIZE) >= 0)
        execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : g_getenv("VIOMMU_SEED");
    Game game = {.steps = argc > 2 ? strtoul(argv[2], NULL, 0) : DEFAULT_STEPS};

    fix_addresses(argv);
    game.seed = given ? strtoul(given, NULL, 0) : g_random_int();
    tap_note("seed %u, %u steps", game.seed, game.steps);
    for (const char *const *name = viommu_backend_names(); *name; name++) {
        play_backend(&game, *name, NULL);
        if (g_str_equal(*name, "legacy"))
            play_backend(&game, *name, "/dev/iommu");
    }
    return tap_done();
}
