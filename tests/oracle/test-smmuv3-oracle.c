/* SPDX-License-Identifier: MIT */
/*
 * The stale-translation oracle. A random guest changes its tables, invalidates, re-installs
 * stream table entries, and lets devices do DMA; every DMA must land where some state
 * of the tables since the last completed invalidation covering it sends it, and nowhere
 * else. A guest that invalidates what it changes gets what its tables say now.
 *
 * And the oracle itself: with some invalidations or entries left out it must notice.
 *
 *   test-smmuv3-oracle [SEED [STEPS]]
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <viommu-emulator/inspect.h>

#include "machine.h"
#include "tap.h"

enum { DEVICES = 2, DOMAINS = 3, PAGES = 12, DATA_PAGES = 48, MAX_STATES = 8 };
enum { FIRST_IOVA = 0x40000, DEFAULT_STEPS = 1000000 };
enum { ABORT = 0, BYPASS = 4 };

#define NOWHERE G_MAXUINT64

/* What one page of a domain may be taken for: its states since the last invalidation. */
typedef struct {
    guint64 states[MAX_STATES]; /* the newest last */
    guint n;
} Page;

typedef struct {
    GuestDomain tables;
    Page pages[PAGES];
} Domain;

/* What a device has: a domain's number, or one of these. */
enum { ABORTING = -1, BYPASSING = -2 };

typedef struct {
    Target target;
    Machine m;
    GRand *random;
    Domain domains[DOMAINS];
    int has[DEVICES];
    guint64 data[DATA_PAGES];
    gboolean tidy;   /* invalidate whatever is changed */
    guint drop_tlbi; /* every nth is not forwarded; 0: all are */
    guint drop_ste;
    guint n_tlbi;
    guint n_ste;
    guint64 token;
    char *wrong;
    guint n_dma;
    guint n_stale; /* DMAs that met a state which is not the newest */
} Oracle;

static guint64 iova_of(guint page)
{
    return FIRST_IOVA + (guint64)page * GUEST_PAGE;
}

static guint pick(Oracle *o, guint n)
{
    return g_rand_int_range(o->random, 0, (gint32)n);
}

static void forward(Oracle *o, const guint8 *command)
{
    if (o->drop_tlbi && ++o->n_tlbi % o->drop_tlbi == 0)
        return;
    machine_command(&o->m, command);
}

static void covered(Page *page)
{
    page->states[0] = page->states[page->n - 1];
    page->n = 1;
}

static void invalidate(Oracle *o, guint d, guint p, guint how)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];
    Domain *domain = &o->domains[d];

    if (how == 0) {
        guest_cmd_tlbi_va(command, domain->tables.asid, iova_of(p));
        forward(o, command);
        covered(&domain->pages[p]);
    } else if (how == 1) {
        guest_cmd_tlbi_asid(command, domain->tables.asid);
        forward(o, command);
        for (guint i = 0; i < PAGES; i++)
            covered(&domain->pages[i]);
    } else {
        guest_cmd_tlbi_all(command);
        forward(o, command);
        for (guint i = 0; i < DOMAINS; i++)
            for (guint j = 0; j < PAGES; j++)
                covered(&o->domains[i].pages[j]);
    }
}

static void change_table(Oracle *o)
{
    guint d = pick(o, DOMAINS), p = pick(o, PAGES);
    Page *page = &o->domains[d].pages[p];
    guint64 state = pick(o, 3) ? o->data[pick(o, DATA_PAGES)] : NOWHERE;

    if (page->n == MAX_STATES)
        invalidate(o, d, p, 0);
    if (state == NOWHERE)
        guest_domain_unmap(&o->domains[d].tables, iova_of(p));
    else
        guest_domain_map(&o->domains[d].tables, iova_of(p), state, TRUE);
    page->states[page->n++] = state;
    if (o->tidy)
        invalidate(o, d, p, pick(o, 8) ? 0 : pick(o, 3));
}

static void change_ste(Oracle *o)
{
    guint device = pick(o, DEVICES);
    int to = (int)pick(o, DOMAINS + 2) - 2;
    ViommuResult result = VIOMMU_OK;

    o->has[device] = to;
    if (o->drop_ste && ++o->n_ste % o->drop_ste == 0)
        return;
    if (to >= 0)
        result = machine_install_s1(&o->m, device, &o->domains[to].tables);
    else
        result = machine_install_config(&o->m, device, to == ABORTING ? ABORT : BYPASS);
    if (result != VIOMMU_OK && !o->wrong)
        o->wrong = g_strdup_printf("an entry was refused: %s", o->m.refusal);
}

/* Where a token written at this address went. */
static guint64 write_token(Oracle *o, guint device, guint64 iova)
{
    guint64 token = ++o->token, found = NOWHERE;

    viommu_emulator_dma(o->target.emulator, o->target.bdfs[device], iova, &token,
                        sizeof token, TRUE);
    for (guint i = 0; i < DATA_PAGES; i++) {
        guint64 *word = guest_memory_at(&o->m.ram, o->data[i]);

        if (*word == token)
            found = o->data[i];
    }
    return found;
}

static gboolean is_allowed(Oracle *o, guint device, guint p, guint64 at)
{
    const Page *page;

    if (o->has[device] < 0)
        return at == NOWHERE;
    page = &o->domains[o->has[device]].pages[p];
    o->n_stale += at != page->states[page->n - 1];
    for (guint i = 0; i < page->n; i++)
        if (page->states[i] == at)
            return TRUE;
    return FALSE;
}

static void do_dma(Oracle *o)
{
    guint device = pick(o, DEVICES), p = pick(o, PAGES);
    guint64 at;

    o->n_dma++;
    if (o->has[device] == BYPASSING) {
        guint64 page = o->data[pick(o, DATA_PAGES)];

        at = write_token(o, device, page);
        if (at != page && !o->wrong)
            o->wrong = g_strdup_printf("device %u bypasses, and 0x%" G_GINT64_MODIFIER
                                       "x became 0x%" G_GINT64_MODIFIER "x",
                                       device, page, at);
        return;
    }
    at = write_token(o, device, iova_of(p));
    if (!is_allowed(o, device, p, at) && !o->wrong)
        o->wrong = g_strdup_printf("device %u, domain %d, IOVA 0x%" G_GINT64_MODIFIER
                                   "x went to 0x%" G_GINT64_MODIFIER "x",
                                   device, o->has[device], iova_of(p), at);
}

static gboolean oracle_init(Oracle *o, guint32 seed)
{
    target_init(&o->target, 0, NULL, DEVICES);
    if (!machine_init(&o->m, o->target.seam, o->target.bdfs, 0))
        return FALSE;
    o->random = g_rand_new_with_seed(seed);
    for (guint i = 0; i < DATA_PAGES; i++)
        o->data[i] = guest_memory_alloc(&o->m.ram);
    for (guint d = 0; d < DOMAINS; d++) {
        guest_domain_init(&o->domains[d].tables, &o->m.ram, 100 + d);
        for (guint p = 0; p < PAGES; p++)
            o->domains[d].pages[p] = (Page){.states = {NOWHERE}, .n = 1};
    }
    for (guint i = 0; i < DEVICES; i++)
        o->has[i] = ABORTING;
    return TRUE;
}

static void oracle_clear(Oracle *o)
{
    machine_clear(&o->m);
    target_clear(&o->target);
    g_rand_free(o->random);
    g_free(o->wrong);
}

/* Returns the step at which something was wrong, or 0. */
static guint run(Oracle *o, guint steps)
{
    for (guint step = 1; step <= steps; step++) {
        guint what = pick(o, 100);

        if (what < 30)
            change_table(o);
        else if (what < 36)
            change_ste(o);
        else if (what < 45 && !o->tidy)
            invalidate(o, pick(o, DOMAINS), pick(o, PAGES), pick(o, 6) ? 0 : pick(o, 3));
        else
            do_dma(o);
        if (o->wrong)
            return step;
    }
    return 0;
}

/* 0, or where it went wrong. */
static guint play(guint32 seed, guint steps, gboolean tidy, guint drop_tlbi, guint drop_ste)
{
    Oracle o = {.tidy = tidy, .drop_tlbi = drop_tlbi, .drop_ste = drop_ste};
    guint at = 0;

    if (!oracle_init(&o, seed)) {
        tap_ok(FALSE, "a machine for the oracle");
        return 1;
    }
    at = run(&o, steps);
    tap_note("%u DMAs, %u of them stale%s%s", o.n_dma, o.n_stale, o.wrong ? "; " : "",
             o.wrong ? o.wrong : "");
    if (!drop_tlbi && !drop_ste)
        tap_ok(tidy ? o.n_stale == 0 : o.n_stale > 100, "... with stale DMA %s",
               tidy ? "never" : "met often");
    oracle_clear(&o);
    return at;
}

int main(int argc, char **argv)
{
    guint32 seed = argc > 1 ? strtoul(argv[1], NULL, 0) : g_random_int();
    guint steps = argc > 2 ? strtoul(argv[2], NULL, 0) : DEFAULT_STEPS;

    tap_note("seed %u, %u steps", seed, steps);
    tap_is(play(seed, steps, TRUE, 0, 0), 0, "a guest that invalidates what it changes");
    tap_is(play(seed, steps, FALSE, 0, 0), 0, "a guest that does not");
    tap_ok(play(seed, steps, TRUE, 50, 0) != 0, "TLBIs left out are noticed");
    tap_ok(play(seed, steps, FALSE, 50, 0) != 0, "... also among stale translations");
    tap_ok(play(seed, steps, TRUE, 0, 50) != 0,
           "one stream table entry left out is noticed");
    return tap_done();
}
