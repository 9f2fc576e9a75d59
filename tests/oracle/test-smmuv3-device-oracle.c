/* SPDX-License-Identifier: MIT */
/*
 * The oracle of the whole device. A random guest behind a vSMMU changes stream tables of
 * one and two levels, entries, context descriptors and page tables, puts commands into its
 * queue and rings; host devices and emulated endpoints do DMA in between. Every DMA must go
 * where device-model.h allows it. A guest that invalidates what it changes must always meet
 * a fresh walk.
 *
 * And the oracle itself: with one command, one forward to the host, or one reading of a
 * stream table entry in so many taken out, it must notice.
 *
 *   test-smmuv3-device-oracle [SEED [STEPS]]
 */

#include <linux/iommufd.h>
#include <stdlib.h>
#include <string.h>

#include <viommu-emulator/inspect.h>

#include "device-model.h"
#include "tap.h"
#include "vmachine.h"

enum { HOSTS = 2, DEFAULT_STEPS = 1000000, MAX_PENDING = 100, BYPASS = 4, ILLEGAL = 6 };
enum { S1CDMAX = 2, CD_BYTES = 64, LINEAR_BITS = 9, TWO_LEVEL_BITS = 10 };
#define CD_VALID (1ull << 31)

static const guint32 sids[STREAMS] = {VM_SID, VM_SID + 1, VM_ENDPOINT, VM_ENDPOINT + 1,
                                      VM_ENDPOINT + 9};

/* An invalidation on its way. */
typedef struct {
    enum { F_STE, F_CD, F_CDS, F_PAGE, F_ASID } what;
    guint a; /* stream, or ASID */
    guint b; /* substream, or page */
    gboolean leaf;
} Forget;

/* What is left out: every nth of a kind; 0: none. */
typedef struct {
    guint command_tlbi; /* bytes that never reach the queue */
    guint command_cfgi;
    guint forward; /* calls of the host that are not made */
    guint reading; /* of entries: what was read the time before is taken */
} Drops;

typedef struct {
    Target target;
    VMachine vm;
    Model model;
    GRand *random;
    gboolean tidy;
    Drops drops;
    guint n_tlbis, n_cfgis, n_readings;
    GArray *pending; /* Forget */

    GuestDomain tables[TABLES];
    guint64 contexts[CONTEXTS]; /* what S1ContextPtr points to */
    guint64 cds[CONTEXTS];      /* where the first descriptor is */
    guint64 bases[2];           /* of stream tables, by kind */
    guint64 data;
    gboolean is_block[TABLES];
    guint64 region[TABLES]; /* the descriptor of the table's region, when it is a table */
    guint table_of[ASIDS];  /* of a tidy guest */
    guint ste[STREAMS];     /* what the guest wrote, whether or not there is a way to it */
    gboolean unlinked[2];   /* level 1 descriptors: of host devices, of endpoints */
    guint64 linked[2];
    gboolean is_attached[HOSTS];
    guint64 last_ste[HOSTS][8];

    guint64 token;
    char *wrong;
    guint n_dma, n_stale, n_nowhere;
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

static guint64 iova_of(const Oracle *o, guint page)
{
    return o->data + (guint64)page * GUEST_PAGE;
}

/* --- what is taken out ------------------------------------------------------------------
 */

static void drop_reading(VMachine *vm, guint64 gpa, void *data, gsize size, void *user_data)
{
    Oracle *o = user_data;

    if (size != VIOMMU_SMMUV3_STE_SIZE)
        return;
    for (guint i = 0; i < HOSTS; i++) {
        guint64 now[8];

        if (o->unlinked[0] || gpa != vm_ste_address(vm, sids[i]))
            continue;
        memcpy(now, data, sizeof now);
        if (++o->n_readings % o->drops.reading == 0)
            memcpy(data, o->last_ste[i], sizeof now);
        memcpy(o->last_ste[i], now, sizeof now);
    }
}

/* --- commands ---------------------------------------------------------------------------
 */

static void apply(Oracle *o, const Forget *forget)
{
    switch (forget->what) {
    case F_STE:
        model_forget_ste(&o->model, forget->a);
        break;
    case F_CD:
        model_forget_cd(&o->model, forget->a, forget->b);
        break;
    case F_CDS:
        model_forget_cds(&o->model, forget->a);
        break;
    case F_PAGE:
        model_forget_page(&o->model, forget->a, forget->b, forget->leaf);
        break;
    case F_ASID:
        model_forget_asid(&o->model, forget->a);
        break;
    }
}

/* The doorbell: what is pending is complete when the queue is empty. */
static void ring(Oracle *o)
{
    vm_queue(&o->vm, VM_SYNC, 0);
    if (!vm_ring(&o->vm))
        fail(o, "a command was refused: CERROR %u, %s", vm_cerror(&o->vm), o->vm.refusal);
    for (guint i = 0; i < o->pending->len; i++)
        apply(o, &g_array_index(o->pending, Forget, i));
    g_array_set_size(o->pending, 0);
}

static void pend(Oracle *o, Forget forget)
{
    g_array_append_val(o->pending, forget);
}

static void send(Oracle *o, guint64 word0, guint64 word1)
{
    gboolean is_cfgi = (word0 & 0xff) < VM_TLBI_NH_ALL;
    guint *n = is_cfgi ? &o->n_cfgis : &o->n_tlbis;
    guint every = is_cfgi ? o->drops.command_cfgi : o->drops.command_tlbi;

    if (o->pending->len > MAX_PENDING)
        ring(o);
    if (every && ++*n % every == 0)
        return;
    vm_queue(&o->vm, word0, word1);
}

static void send_cfgi_ste(Oracle *o, guint stream)
{
    guint how = pick(o, 12);

    if (how == 0) {
        send(o, VM_CFGI_STE_RANGE, 31);
        for (guint i = 0; i < STREAMS; i++)
            pend(o, (Forget){F_STE, i, 0, 0});
    } else if (how == 1) {
        send(o, VM_CFGI_STE_RANGE | (guint64)sids[stream] << 32, 3);
        for (guint i = 0; i < STREAMS; i++)
            if (sids[i] >> 4 == sids[stream] >> 4)
                pend(o, (Forget){F_STE, i, 0, 0});
    } else {
        send(o, VM_CFGI_STE | (guint64)sids[stream] << 32, pick(o, 2));
        pend(o, (Forget){F_STE, stream, 0, 0});
    }
}

static void send_cfgi_cd(Oracle *o, guint stream, guint substream)
{
    if (pick(o, 4)) {
        send(o, VM_CFGI_CD | (guint64)substream << 12 | (guint64)sids[stream] << 32, 1);
        pend(o, (Forget){F_CD, stream, substream, 0});
    } else {
        send(o, VM_CFGI_CD_ALL | (guint64)sids[stream] << 32, 0);
        pend(o, (Forget){F_CDS, stream, 0, 0});
    }
}

static guint asid_of(guint asid)
{
    return 0x11 + asid * 0x101;
}

static void send_tlbi_page(Oracle *o, guint asid, guint page)
{
    guint64 by_asid = VM_TLBI_NH_VA | (guint64)asid_of(asid) << 48;
    guint leaf = pick(o, 2), how = pick(o, 8);

    if (how == 0) {
        send(o, VM_TLBI_NH_VAA, iova_of(o, page) | leaf);
        for (guint a = 0; a < ASIDS; a++)
            pend(o, (Forget){F_PAGE, a, page, leaf});
    } else if (how == 1) { /* a range of three pages */
        send(o, by_asid | 2 << 12, iova_of(o, page) | leaf | 1 << 10);
        for (guint p = page; p < MIN(page + 3, PAGES); p++)
            pend(o, (Forget){F_PAGE, asid, p, leaf});
    } else {
        send(o, by_asid, iova_of(o, page) | leaf);
        pend(o, (Forget){F_PAGE, asid, page, leaf});
    }
}

static void send_tlbi_asid(Oracle *o, guint asid)
{
    guint how = pick(o, 6);

    if (how > 1) {
        send(o, VM_TLBI_NH_ASID | (guint64)asid_of(asid) << 48, 0);
        pend(o, (Forget){F_ASID, asid, 0, 0});
        return;
    }
    send(o, how ? VM_TLBI_NSNH_ALL : VM_TLBI_NH_ALL, 0);
    for (guint a = 0; a < ASIDS; a++)
        pend(o, (Forget){F_ASID, a, 0, 0});
}

/* --- DMA --------------------------------------------------------------------------------
 */

static guint32 host_dma(Oracle *o, guint stream, guint page)
{
    guint64 token = ++o->token;
    guint32 to = TO_NOWHERE;

    viommu_emulator_dma(o->target.emulator, o->target.bdfs[stream], iova_of(o, page),
                        &token, sizeof token, TRUE);
    for (guint i = 0; i < DATA_PAGES; i++) {
        guint64 *word = guest_memory_at(&o->vm.ram, iova_of(o, i));

        if (*word == token)
            to = 1u << i;
    }
    return to;
}

static guint32 endpoint_dma(Oracle *o, guint stream, int substream, guint page)
{
    guint64 gpa = vm_translate(&o->vm, sids[stream], substream, iova_of(o, page),
                               VIOMMU_ACCESS_WRITE);

    if (gpa == VM_REFUSED)
        return TO_NOWHERE;
    if (gpa < o->data || gpa >= iova_of(o, DATA_PAGES) || gpa % GUEST_PAGE) {
        fail(o, "stream 0x%x, page %u: 0x%" G_GINT64_MODIFIER "x was never mapped",
             sids[stream], page, gpa);
        return TO_NOWHERE;
    }
    return 1u << (gpa - o->data) / GUEST_PAGE;
}

static void do_dma(Oracle *o)
{
    guint stream = pick(o, STREAMS), page = pick(o, PAGES);
    int substream = NO_SUBSTREAM;
    guint32 to, allowed, fresh;

    if (stream < HOSTS) {
        to = host_dma(o, stream, page);
    } else {
        substream = pick(o, 2) ? (int)pick(o, SUBSTREAMS) : NO_SUBSTREAM;
        to = endpoint_dma(o, stream, substream, page);
    }
    allowed = model_allowed(&o->model, stream, substream, page);
    fresh = model_fresh(&o->model, stream, substream, page);
    if (o->tidy && o->pending->len == 0)
        allowed = fresh;
    if (stream < HOSTS && !o->is_attached[stream])
        allowed = fresh = TO_NOWHERE;
    if (to == TO_NOWHERE)
        to |= TO_READ_ONLY;
    o->n_dma++;
    o->n_stale += !(to & fresh);
    o->n_nowhere += !!(to & TO_NOWHERE);
    if (!(to & allowed))
        fail(o, "stream 0x%x, substream %d, page %u went to 0x%x, where 0x%x is allowed",
             sids[stream], substream, page, to, allowed);
}

/* --- the guest's changes ----------------------------------------------------------------
 */

static gboolean uses(const Oracle *o, guint asid, guint table)
{
    return !o->tidy || o->table_of[asid] == table;
}

static void change_page(Oracle *o)
{
    guint t = pick(o, TABLES), p = pick(o, PAGES), to = pick(o, DATA_PAGES);
    guint how = pick(o, 12);
    guint32 before = o->model.page[t][p];

    if (o->is_block[t])
        return;
    if (how < 2)
        guest_domain_unmap(&o->tables[t], iova_of(o, p));
    else
        guest_domain_map(&o->tables[t], iova_of(o, p), iova_of(o, to), how > 2);
    model_set_page(&o->model, t, p,
                   how < 2    ? TO_NOWHERE
                   : how == 2 ? TO_READ_ONLY
                              : 1u << to);
    if (!o->tidy || before == TO_NOWHERE) /* a new mapping needs no invalidation */
        return;
    for (guint a = 0; a < ASIDS; a++)
        if (uses(o, a, t))
            send_tlbi_page(o, a, p);
}

/* Where the descriptor of the region stands: level 2 of a table of 39 bits. */
static guint64 region_at(Oracle *o, guint t)
{
    guint64 level1 = o->tables[t].root + 8 * (o->data >> 30 & 0x1ff);

    return (vm_load(&o->vm, level1) & 0xfffffffff000ull) + 8 * (o->data >> 21 & 0x1ff);
}

/* The region of all pages is one block that maps it to itself; or a table again. */
static void change_region(Oracle *o)
{
    guint t = pick(o, TABLES);
    guint64 at = region_at(o, t);
    guint32 to[PAGES];

    if (!o->is_block[t]) {
        o->region[t] = vm_load(&o->vm, at);
        vm_store(&o->vm, at, (o->data & ~0x1fffffull) | 0xf41 /* valid, user, AF, nG */);
        for (guint p = 0; p < PAGES; p++)
            to[p] = 1u << p;
    } else {
        vm_store(&o->vm, at, o->region[t]);
        for (guint p = 0; p < PAGES; p++) {
            guint64 gpa = guest_domain_walk(&o->tables[t], iova_of(o, p), TRUE);

            to[p] = gpa != G_MAXUINT64 ? 1u << (gpa - o->data) / GUEST_PAGE
                    : guest_domain_walk(&o->tables[t], iova_of(o, p), FALSE) != G_MAXUINT64
                        ? TO_READ_ONLY
                        : TO_NOWHERE;
        }
    }
    o->is_block[t] = !o->is_block[t];
    model_set_region(&o->model, t, to);
    for (guint a = 0; o->tidy && a < ASIDS; a++)
        if (uses(o, a, t))
            send_tlbi_asid(o, a);
}

static void write_cd(Oracle *o, guint context, guint substream, guint cd)
{
    guint64 at = o->cds[context] + substream * CD_BYTES;
    guint64 word0 = vm_load(&o->vm, o->tables[0].cd) & 0xffffffffffffull;

    if (cd == MODEL_NO_CD) {
        vm_store(&o->vm, at, 0);
    } else {
        vm_store(&o->vm, at + 8, o->tables[(cd - MODEL_CD) % TABLES].root);
        vm_store(&o->vm, at + 24, 0xff);
        vm_store(&o->vm, at,
                 word0 | (guint64)asid_of((cd - MODEL_CD) / TABLES) << 48 | CD_VALID);
    }
    model_set_cd(&o->model, context, substream, cd);
}

static void change_cd(Oracle *o)
{
    guint context = pick(o, CONTEXTS);
    guint substream = context < FIRST_TABLE_CONTEXT ? 0 : pick(o, SUBSTREAMS);
    guint asid = pick(o, ASIDS);
    guint table = o->tidy ? o->table_of[asid] : pick(o, TABLES);

    write_cd(o, context, substream,
             pick(o, 12) ? MODEL_CD + asid * TABLES + table : MODEL_NO_CD);
    for (guint s = 0; o->tidy && s < STREAMS; s++)
        send_cfgi_cd(o, s, substream);
}

/* A tidy guest gives an ASID to another table. */
static void change_asid(Oracle *o)
{
    guint asid = pick(o, ASIDS), table = pick(o, TABLES);
    guint old = MODEL_CD + asid * TABLES + o->table_of[asid];

    o->table_of[asid] = table;
    for (guint c = 0; c < CONTEXTS; c++)
        for (guint i = 0; i < SUBSTREAMS; i++)
            if (o->model.cd[c][i] == old)
                write_cd(o, c, i, MODEL_CD + asid * TABLES + table);
    for (guint s = 0; s < STREAMS; s++) {
        send(o, VM_CFGI_CD_ALL | (guint64)sids[s] << 32, 0);
        pend(o, (Forget){F_CDS, s, 0, 0});
    }
    send_tlbi_asid(o, asid);
}

static guint group_of(guint stream)
{
    return stream < HOSTS ? 0 : 1;
}

static void write_ste(Oracle *o, guint stream)
{
    guint ste = o->ste[stream], context = (ste - MODEL_S1) / 3;
    guint64 word0, word1;

    if (ste == MODEL_ABORT) {
        static const guint64 aborts[] = {0, 1, 1 | 3 << 1, 1 | ILLEGAL << 1};

        vm_put_words(&o->vm, sids[stream], aborts[pick(o, 4)], 0);
    } else if (ste == MODEL_BYPASS) {
        vm_put_words(&o->vm, sids[stream], 1 | BYPASS << 1, 1ull << 44);
    } else {
        word0 = 1 | 5 << 1 | o->contexts[context];
        word1 = 1 << 2 | 1 << 4 | 3 << 6 | (ste - MODEL_S1) % 3;
        if (context >= FIRST_TABLE_CONTEXT)
            word0 |= (guint64)S1CDMAX << 59 | (context == FIRST_TABLE_CONTEXT ? 0 : 1 << 4);
        vm_put_words(&o->vm, sids[stream], word0, word1);
    }
}

static void change_ste(Oracle *o)
{
    guint stream = pick(o, STREAMS);

    if (o->unlinked[group_of(stream)])
        return;
    o->ste[stream] = pick(o, 10) ? MODEL_S1 + pick(o, MODEL_STES - MODEL_S1) : pick(o, 2);
    write_ste(o, stream);
    model_set_ste(&o->model, stream, o->ste[stream]);
    if (o->tidy)
        send_cfgi_ste(o, stream);
}

/* A level 1 descriptor goes, or comes back. */
static void change_level1(Oracle *o, guint group)
{
    guint64 at = o->vm.strtab + 8ull * (sids[group ? HOSTS : 0] >> 6);

    if (o->vm.table != VM_TWO_LEVEL)
        return;
    if (!o->unlinked[group])
        o->linked[group] = vm_load(&o->vm, at);
    o->unlinked[group] = !o->unlinked[group];
    vm_store(&o->vm, at, o->unlinked[group] ? 0 : o->linked[group]);
    for (guint s = 0; s < STREAMS; s++) {
        if (group_of(s) != group)
            continue;
        model_set_ste(&o->model, s, o->unlinked[group] ? MODEL_ABORT : o->ste[s]);
        if (o->tidy)
            send_cfgi_ste(o, s);
    }
}

/* --- the guest's life -------------------------------------------------------------------
 */

/* SMMUEN off, a while of GBPA, another kind of table, and on. */
static void restart(Oracle *o)
{
    static const guint32 queues = VM_CR0_CMDQEN | VM_CR0_EVENTQEN;
    VmTable table = pick(o, 2);
    guint32 abort = pick(o, 2) ? VM_GBPA_ABORT : 0;

    for (guint group = 0; group < 2; group++)
        if (o->unlinked[group])
            change_level1(o, group);
    ring(o);
    vm_set(&o->vm, VM_CR0, queues);
    vm_set(&o->vm, VM_GBPA, abort | VM_GBPA_UPDATE);
    o->model.enabled = FALSE;
    o->model.aborts = !!abort;
    for (guint i = 0; i < 10; i++)
        do_dma(o);
    vm_set_table(&o->vm, table, table == VM_LINEAR ? LINEAR_BITS : TWO_LEVEL_BITS,
                 o->bases[table]);
    for (guint s = 0; s < STREAMS; s++) {
        write_ste(o, s);
        if (o->tidy)
            send_cfgi_ste(o, s);
    }
    ring(o);
    vm_set(&o->vm, VM_CR0, queues | VM_CR0_SMMUEN);
    o->model.enabled = TRUE;
}

/* A device goes, or is back, and has what its stream has then. */
static void hot_plug(Oracle *o, guint n)
{
    if (o->is_attached[n])
        viommu_smmuv3_detach_device(o->vm.smmu, o->vm.devices[n]);
    else if (!viommu_smmuv3_attach_device(o->vm.smmu, o->vm.devices[n], sids[n], NULL))
        fail(o, "device %u was not attached again", n);
    o->is_attached[n] = !o->is_attached[n];
}

static void renumber(Oracle *o)
{
    guint n = pick(o, HOSTS);
    gboolean was = o->is_attached[n];

    if (!was)
        return;
    viommu_smmuv3_set_stream_id(o->vm.smmu, o->vm.devices[n], VIOMMU_SMMUV3_SID_UNKNOWN,
                                NULL);
    o->is_attached[n] = FALSE;
    for (guint i = 0; i < 5; i++)
        do_dma(o);
    if (!viommu_smmuv3_set_stream_id(o->vm.smmu, o->vm.devices[n], sids[n], NULL))
        fail(o, "device %u did not get its number back", n);
    o->is_attached[n] = TRUE;
}

/* Saved, made anew, restored; caches are empty then. */
static void migrate(Oracle *o)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) state = NULL;

    for (guint i = 0; i < HOSTS; i++)
        if (!o->is_attached[i])
            return;
    state = viommu_smmuv3_save(o->vm.smmu, &error);
    if (!state || !vm_remake(&o->vm, &error) ||
        !viommu_smmuv3_restore(o->vm.smmu, state, &error))
        fail(o, "it cannot be saved and restored: %s", error ? error->message : "?");
}

/* Events are of streams that there are, and no global error came. */
static void check_events(Oracle *o)
{
    guint64 event[4];

    while (vm_next_event(&o->vm, event)) {
        gboolean known = FALSE;

        for (guint s = 0; s < STREAMS; s++)
            known |= event[0] >> 32 == sids[s];
        if (!known)
            fail(o, "an event of StreamID 0x%x", (guint32)(event[0] >> 32));
    }
    if (vm_get(&o->vm, VM_GERROR) != vm_get(&o->vm, VM_GERRORN))
        fail(o, "global errors 0x%x", vm_get(&o->vm, VM_GERROR));
}

static void invalidate(Oracle *o)
{
    guint how = pick(o, 8);

    if (how < 4)
        send_tlbi_page(o, pick(o, ASIDS), pick(o, PAGES));
    else if (how == 4)
        send_tlbi_asid(o, pick(o, ASIDS));
    else if (how == 5)
        send_cfgi_ste(o, pick(o, STREAMS));
    else
        send_cfgi_cd(o, pick(o, STREAMS), pick(o, SUBSTREAMS));
}

static void step(Oracle *o)
{
    guint what = pick(o, 1000);

    if (what < 250)
        change_page(o);
    else if (what < 300)
        change_cd(o);
    else if (what < 340)
        change_ste(o);
    else if (what < 350)
        change_region(o);
    else if (what < 355)
        change_level1(o, pick(o, 2));
    else if (what < 358 && o->tidy)
        change_asid(o);
    else if (what < 360)
        hot_plug(o, pick(o, HOSTS));
    else if (what < 361)
        renumber(o);
    else if (what < 362 && pick(o, 4) == 0)
        restart(o);
    else if (what < 363 && pick(o, 20) == 0)
        migrate(o);
    else if (what < 450 && !o->tidy)
        invalidate(o);
    else
        do_dma(o);
    for (guint i = 0; i < HOSTS; i++) /* not gone for long */
        if (!o->is_attached[i] && pick(o, 30) == 0)
            hot_plug(o, i);
    /* A tidy guest may be late; until it has rung the old state is met as well. */
    if (o->pending->len && (o->tidy ? pick(o, 3) == 0 : pick(o, 10) == 0))
        ring(o);
}

static guint run(Oracle *o, guint steps)
{
    for (guint n = 1; n <= steps; n++) {
        step(o);
        if (n % 32 == 0)
            check_events(o);
        if (o->wrong)
            return n;
    }
    return 0;
}

/* --- its life ---------------------------------------------------------------------------
 */

static void lay_out(Oracle *o)
{
    VMachine *vm = &o->vm;

    o->bases[VM_LINEAR] = vm_alloc(vm, 64u << LINEAR_BITS);
    o->bases[VM_TWO_LEVEL] = vm_alloc(vm, GUEST_PAGE);
    while (vm->ram.next_free % 0x200000) /* a block maps all of it */
        vm_alloc(vm, GUEST_PAGE);
    o->data = vm->ram.next_free;
    for (guint i = 0; i < DATA_PAGES; i++)
        vm_alloc(vm, GUEST_PAGE);
    for (guint t = 0; t < TABLES; t++) {
        guest_domain_init(&o->tables[t], &vm->ram, 1);
        guest_domain_map(&o->tables[t], iova_of(o, 0), iova_of(o, 0), TRUE);
        guest_domain_unmap(&o->tables[t], iova_of(o, 0));
    }
    for (guint c = 0; c < CONTEXTS; c++) {
        o->contexts[c] = o->cds[c] = vm_alloc(vm, GUEST_PAGE);
        if (c > FIRST_TABLE_CONTEXT) {
            o->cds[c] = vm_alloc(vm, GUEST_PAGE);
            vm_store(vm, o->contexts[c], o->cds[c] | 1);
        }
    }
}

static gboolean oracle_init(Oracle *o, guint32 seed)
{
    target_init(&o->target, 0, NULL, HOSTS);
    if (!vm_init(&o->vm, &o->target, o->target.bdfs, NULL))
        return FALSE;
    o->random = g_rand_new_with_seed(seed);
    o->pending = g_array_new(FALSE, FALSE, sizeof(Forget));
    lay_out(o);
    o->vm.table = pick(o, 2);
    o->vm.strtab = o->bases[o->vm.table];
    vm_start(&o->vm, o->vm.table, VM_CR0_ALL);
    model_init(&o->model);
    o->model.enabled = TRUE;
    for (guint a = 0; a < ASIDS; a++)
        o->table_of[a] = a;
    for (guint i = 0; i < HOSTS; i++)
        o->is_attached[i] = TRUE;
    spy_swallow(&o->target.spy, IOMMU_HWPT_INVALIDATE, o->drops.forward);
    if (o->drops.reading) {
        o->vm.on_read_data = o;
        o->vm.on_read = drop_reading;
    }
    return TRUE;
}

static void oracle_clear(Oracle *o)
{
    vm_clear(&o->vm);
    target_clear(&o->target);
    g_clear_pointer(&o->random, g_rand_free);
    g_clear_pointer(&o->pending, g_array_unref);
    g_free(o->wrong);
}

/* 0, or where it went wrong. */
static guint play(guint32 seed, guint steps, gboolean tidy, Drops drops)
{
    Oracle o = {.tidy = tidy, .drops = drops};
    guint at = 1;

    if (oracle_init(&o, seed)) {
        at = run(&o, steps);
        tap_note("%u DMAs, %u refused, %u stale%s%s", o.n_dma, o.n_nowhere, o.n_stale,
                 o.wrong ? "; " : "", o.wrong ? o.wrong : "");
        if (at)
            tap_note("at step %u", at);
        if (!drops.command_tlbi && !drops.command_cfgi && !drops.forward && !drops.reading)
            tap_ok(o.n_dma - o.n_nowhere > o.n_dma / 4 &&
                       o.n_stale > o.n_dma / (tidy ? 1000 : 20),
                   "... DMA often got somewhere, and met what was stale");
    } else {
        tap_ok(FALSE, "a machine for the oracle");
    }
    oracle_clear(&o);
    return at;
}

int main(int argc, char **argv)
{
    guint32 seed = argc > 1 ? strtoul(argv[1], NULL, 0) : g_random_int();
    guint steps = argc > 2 ? strtoul(argv[2], NULL, 0) : DEFAULT_STEPS;

    tap_note("seed %u, %u steps", seed, steps);
    tap_is(play(seed, steps, TRUE, (Drops){0}), 0,
           "a guest that invalidates what it changes");
    tap_is(play(seed, steps, FALSE, (Drops){0}), 0, "a guest that does not");
    for (guint tidy = 0; tidy < 2; tidy++) {
        const char *who = tidy ? "tidy" : "untidy";

        tap_ok(play(seed, steps, tidy, (Drops){.command_tlbi = 50}) != 0,
               "%s: TLBIs that never reach the queue are noticed", who);
        tap_ok(play(seed, steps, tidy, (Drops){.command_cfgi = 50}) != 0,
               "%s: ... CFGIs too", who);
        tap_ok(play(seed, steps, tidy, (Drops){.forward = 50}) != 0,
               "%s: a forward to the host left out is noticed", who);
        tap_ok(play(seed, steps, tidy, (Drops){.reading = 50}) != 0,
               "%s: an entry not read again is noticed", who);
    }
    return tap_done();
}
