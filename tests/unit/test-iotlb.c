/* SPDX-License-Identifier: MIT */
/*
 * The IOTLB: rules one by one, how much is looked at, then random work against a plain list
 * of what it should hold, then threads that look up and insert while invalidations run
 * alone.
 *
 *   test-iotlb [SEED]
 */

#include "core/iotlb.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

enum { RW = VIOMMU_ACCESS_READ | VIOMMU_ACCESS_WRITE };
enum { LARGE = 65536 };

static ViommuiIotlbEntry entry_at(guint64 input, guint order, guint64 output)
{
    return (ViommuiIotlbEntry){
        .input = input, .output = output, .order = order, .access = RW, .level = 3};
}

static void put(ViommuiIotlb *iotlb, guint64 space, guint64 input, guint order,
                guint64 output)
{
    ViommuiIotlbEntry entry = entry_at(input, order, output);

    viommui_iotlb_insert(iotlb, space, &entry);
}

static void put_global(ViommuiIotlb *iotlb, guint64 input, guint order, guint64 output)
{
    ViommuiIotlbEntry entry = entry_at(input, order, output);

    entry.global = TRUE;
    viommui_iotlb_insert(iotlb, 1, &entry);
}

/* Where an address leads; -1: not cached. */
static gint64 get(ViommuiIotlb *iotlb, guint64 space, guint64 address)
{
    ViommuiIotlbEntry entry;

    if (!viommui_iotlb_lookup(iotlb, space, address, &entry))
        return -1;
    return (gint64)(entry.output + (address - entry.input));
}

static void test_lookup(void)
{
    ViommuiIotlb *iotlb = viommui_iotlb_new(LARGE);
    ViommuiIotlbEntry entry = {.order = 77};

    tap_is(get(iotlb, 1, 0x1000), -1, "a new one is empty");
    put(iotlb, 1, 0x1000, 12, 0xa000);
    tap_is(get(iotlb, 1, 0x1000), 0xa000, "the first byte of a page");
    tap_is(get(iotlb, 1, 0x1fff), 0xafff, "the last byte of a page");
    tap_is(get(iotlb, 1, 0x2000), -1, "the byte after it");
    tap_is(get(iotlb, 1, 0xfff), -1, "the byte before it");
    tap_is(get(iotlb, 2, 0x1000), -1, "another space has its own");
    tap_ok(!viommui_iotlb_lookup(iotlb, 2, 0x1000, &entry) && entry.order == 77,
           "a miss writes nothing");
    viommui_iotlb_lookup(iotlb, 1, 0x1234, &entry);
    tap_ok(entry.input == 0x1000 && entry.order == 12 && entry.access == RW &&
               entry.level == 3 && !entry.global,
           "the entry comes back whole");
    put(iotlb, 1, 0x1000, 12, 0xb000);
    tap_is(get(iotlb, 1, 0x1000), 0xb000, "the newer of two equal ones stands");
    put(iotlb, 1, 0x200000, 21, 0x40000000);
    tap_is(get(iotlb, 1, 0x3fffff), 0x401fffff, "a block covers its last byte");
    put(iotlb, 1, 1ull << 55, 12, 0xc000);
    tap_is(get(iotlb, 1, 1ull << 55), 0xc000, "high addresses");
    put(iotlb, 3, 0, 63, 0);
    tap_is(get(iotlb, 3, 0x123456789), 0x123456789, "half of everything in one entry");
    put_global(iotlb, 0x7000, 12, 0xd000);
    tap_is(get(iotlb, 1, 0x7000), 0xd000, "a global one is found in its space");
    tap_is(get(iotlb, 99, 0x7000), 0xd000, "and in any other");
    put(iotlb, 0, 0x8000, 12, 0xe000);
    tap_is(get(iotlb, 0, 0x8000), 0xe000, "space 0 is a space");
    tap_is(get(iotlb, 5, 0x8000), -1, "and not global");
    viommui_iotlb_free(iotlb);
    viommui_iotlb_free(NULL);
}

/* What survives in a set of entries, as a word: one letter each. */
static char *survivors(ViommuiIotlb *iotlb)
{
    GString *left = g_string_new(NULL);

    if (get(iotlb, 1, 0x1000) >= 0)
        g_string_append_c(left, 'a');
    if (get(iotlb, 1, 0x2000) >= 0)
        g_string_append_c(left, 'b');
    if (get(iotlb, 2, 0x1000) >= 0)
        g_string_append_c(left, 'c');
    if (get(iotlb, 1, 0x200000) >= 0)
        g_string_append_c(left, 'd');
    if (get(iotlb, 77, 0x9000) >= 0)
        g_string_append_c(left, 'g');
    return g_string_free(left, FALSE);
}

static void fill(ViommuiIotlb *iotlb)
{
    viommui_iotlb_invalidate_all(iotlb);
    put(iotlb, 1, 0x1000, 12, 0x1000);
    put(iotlb, 1, 0x2000, 12, 0x2000);
    put(iotlb, 2, 0x1000, 12, 0x3000);
    put(iotlb, 1, 0x200000, 21, 0x200000);
    put_global(iotlb, 0x9000, 12, 0x9000);
}

static gboolean is_odd(guint64 space, void *user_data)
{
    (*(guint *)user_data)++;
    return space & 1;
}

static void expect(ViommuiIotlb *iotlb, const char *left, const char *name)
{
    g_autofree char *got = survivors(iotlb);

    tap_ok(g_str_equal(got, left), "%s", name);
    if (!g_str_equal(got, left))
        tap_note("left are %s, not %s", got, left);
    fill(iotlb);
}

static void test_invalidate(void)
{
    ViommuiIotlb *iotlb = viommui_iotlb_new(LARGE);
    guint asked = 0;

    fill(iotlb);
    expect(iotlb, "abcdg", "nothing goes by itself");
    viommui_iotlb_invalidate_all(iotlb);
    expect(iotlb, "", "all");
    viommui_iotlb_invalidate_space(iotlb, 1);
    expect(iotlb, "cg", "a space, but what is global");
    viommui_iotlb_invalidate_range(iotlb, 1, FALSE, 0x1000, 0x1fff);
    expect(iotlb, "bcdg", "a page of a space");
    viommui_iotlb_invalidate_range(iotlb, 1, FALSE, 0x1800, 0x1800);
    expect(iotlb, "bcdg", "a byte of it");
    viommui_iotlb_invalidate_range(iotlb, 1, FALSE, 0x1fff, 0x2000);
    expect(iotlb, "cdg", "two pages by a byte of each");
    viommui_iotlb_invalidate_range(iotlb, 9, FALSE, 0x1000, 0x1fff);
    expect(iotlb, "abcdg", "a page of a space that has none");
    viommui_iotlb_invalidate_range(iotlb, 9, TRUE, 0x1000, 0x1fff);
    expect(iotlb, "bdg", "a page in all spaces");
    viommui_iotlb_invalidate_range(iotlb, 1, FALSE, 0x355000, 0x355fff);
    expect(iotlb, "abcg", "a block by a page in it");
    viommui_iotlb_invalidate_range(iotlb, 1, FALSE, 0, G_MAXUINT64);
    expect(iotlb, "c", "the whole range of a space, and global ones in it");
    viommui_iotlb_invalidate_range(iotlb, 9, TRUE, 0, G_MAXUINT64);
    expect(iotlb, "", "the whole range of all");
    viommui_iotlb_invalidate_range(iotlb, 3, FALSE, 0x9000, 0x9fff);
    expect(iotlb, "abcd", "a global page by any space");
    viommui_iotlb_invalidate_range(iotlb, 3, TRUE, 0x9000, 0x9fff);
    expect(iotlb, "abcd", "a global page in all spaces");
    viommui_iotlb_invalidate_range(iotlb, 1, FALSE, 0x2000, 0x1000);
    expect(iotlb, "abcdg", "a range of nothing");
    viommui_iotlb_invalidate_range(iotlb, 1, FALSE, 0x3000, 0x1fffff);
    expect(iotlb, "abcd", "what touches the borders of a range from outside stays");
    viommui_iotlb_invalidate_if(iotlb, is_odd, &asked);
    expect(iotlb, "cg", "spaces by a function");
    tap_is(asked, 4, "which is asked of each entry but global ones");
    viommui_iotlb_free(iotlb);
}

static void test_bounds(void)
{
    enum { MAX = 100, PUT = 1000 };
    ViommuiIotlb *small = viommui_iotlb_new(MAX), *tiny = viommui_iotlb_new(0);
    guint n = 0, wrong = 0;

    for (guint i = 0; i < PUT; i++)
        put(small, 1, (guint64)i << 12, 12, (guint64)i << 20);
    for (guint i = 0; i < PUT; i++) {
        gint64 got = get(small, 1, (guint64)i << 12);

        n += got >= 0;
        wrong += got >= 0 && got != (gint64)i << 20;
    }
    tap_ok(n > 0 && n <= MAX, "it holds what it was made for: %u of %u", n, MAX);
    tap_is(wrong, 0, "and nothing wrong after dropping");
    tap_is(get(small, 1, (PUT - 1) << 12), (gint64)(PUT - 1) << 20, "the newest is there");
    viommui_iotlb_invalidate_all(small);
    put(small, 1, 0x5000, 12, 0x6000);
    tap_is(get(small, 1, 0x5000), 0x6000, "it works on when emptied");
    put(tiny, 1, 0x1000, 12, 0x2000);
    tap_is(get(tiny, 1, 0x1000), 0x2000, "one of no entries has room for one");
    viommui_iotlb_free(small);
    viommui_iotlb_free(tiny);
}

/* --- work -------------------------------------------------------------------------------
 */

enum { TIMES = 2000, LOOKS_EACH = 1024, LOOKS_PER_ENTRY = 32 };

static const guint64 far = 1ull << 40;

static void fill_pages(ViommuiIotlb *iotlb, guint64 space, guint64 first, guint n)
{
    for (guint64 i = 0; i < n; i++)
        put(iotlb, space, first + (i << 12), 12, i << 12);
}

static guint count_pages(ViommuiIotlb *iotlb, guint64 space, guint64 first, guint n)
{
    guint found = 0;

    for (guint64 i = 0; i < n; i++)
        found += get(iotlb, space, first + (i << 12)) >= 0;
    return found;
}

/* Of a range that has nothing, again and again: no more work than inserts have paid for. */
static void repeat_range(gboolean any_space, guint64 pages, const char *name)
{
    ViommuiIotlb *iotlb = viommui_iotlb_new(LARGE);
    guint64 most = (guint64)LARGE * LOOKS_PER_ENTRY + (guint64)TIMES * LOOKS_EACH;

    fill_pages(iotlb, 1, 0, LARGE);
    put(iotlb, 2, 0, 12, 0);
    for (guint i = 0; i < TIMES; i++)
        viommui_iotlb_invalidate_range(iotlb, 1, any_space, far, far + (pages << 12) - 1);
    tap_ok(viommui_iotlb_count_looks(iotlb) <= most, "%s, %u times: bounded work", name,
           TIMES);
    if (!any_space)
        tap_is(get(iotlb, 2, 0), 0, "%s: other spaces stay", name);

    /* What is spent, is spent: the next one still removes what it is to. */
    fill_pages(iotlb, 1, 0, 1000);
    for (guint i = 0; i < TIMES; i++)
        viommui_iotlb_invalidate_range(iotlb, 1, any_space, far, far + (pages << 12) - 1);
    fill_pages(iotlb, 1, far, 100);
    viommui_iotlb_invalidate_range(iotlb, 1, any_space, far, far + (pages << 12) - 1);
    tap_is(count_pages(iotlb, 1, far, MIN(pages, 100)), 0, "%s: what is meant goes", name);
    viommui_iotlb_free(iotlb);
}

static void test_work(void)
{
    enum { FEW = 128 };
    ViommuiIotlb *iotlb = viommui_iotlb_new(LARGE);
    guint held;

    fill_pages(iotlb, 1, 0, LARGE);
    held = count_pages(iotlb, 1, 0, LARGE);
    for (guint i = 0; i < TIMES; i++)
        viommui_iotlb_invalidate_space(iotlb, 99);
    tap_is(viommui_iotlb_count_looks(iotlb), 0, "a space of nothing costs no look");
    tap_is(count_pages(iotlb, 1, 0, LARGE), held, "and nobody's entries");
    viommui_iotlb_invalidate_space(iotlb, 1);
    tap_is(viommui_iotlb_count_looks(iotlb), held, "one of all costs a look for each");
    tap_is(count_pages(iotlb, 1, 0, LARGE), 0, "and all of them");
    viommui_iotlb_free(iotlb);

    repeat_range(FALSE, 1ull << 36, "a huge range");
    repeat_range(FALSE, 60000, "a range just smaller than a sweep");
    repeat_range(FALSE, 200, "a range of 200 pages");
    repeat_range(TRUE, 1ull << 36, "a huge range of all spaces");
    repeat_range(TRUE, 60000, "60000 pages of all spaces");

    iotlb = viommui_iotlb_new(LARGE);
    fill_pages(iotlb, 1, 0, FEW);
    for (guint i = 0; i < TIMES; i++)
        viommui_iotlb_invalidate_range(iotlb, 1, i & 1, far, G_MAXUINT64);
    tap_is(count_pages(iotlb, 1, 0, FEW), FEW, "few entries are never given up");
    viommui_iotlb_free(iotlb);
}

/* --- against a list ---------------------------------------------------------------------
 */

typedef struct {
    ViommuiIotlbEntry entry;
    guint64 space;
} Listed;

typedef struct {
    GRand *random;
    ViommuiIotlb *iotlb;
    GArray *list; /* Listed */
} Model;

static const guint orders[] = {12, 14, 16, 21, 25, 29, 30};

static guint pick(Model *model, guint n)
{
    return (guint)g_rand_int_range(model->random, 0, (gint32)n);
}

/* Mostly close together, so that things overlap. */
static guint64 pick_address(Model *model)
{
    return (guint64)pick(model, 2048) << 12 | (guint64)pick(model, 3) << 30 |
           (pick(model, 2) ? 0 : 1ull << 55) | pick(model, 4096);
}

static gboolean same_owner(const Listed *a, const Listed *b)
{
    return a->entry.global == b->entry.global && (a->entry.global || a->space == b->space);
}

static void insert_both(Model *model)
{
    guint order = orders[pick(model, G_N_ELEMENTS(orders))];
    Listed new = {.space = pick(model, 4)};

    new.entry = entry_at(pick_address(model) >> order << order, order,
                         (guint64)g_rand_int(model->random) << order);
    new.entry.global = !pick(model, 8);
    for (guint i = 0; i < model->list->len; i++) {
        Listed *old = &g_array_index(model->list, Listed, i);

        if (same_owner(old, &new) && old->entry.order == order &&
            old->entry.input == new.entry.input)
            g_array_remove_index_fast(model->list, i--);
    }
    g_array_append_val(model->list, new);
    viommui_iotlb_insert(model->iotlb, new.space, &new.entry);
}

/* What a list element has to do with an invalidation. */
typedef struct {
    gboolean any_space;
    guint64 space;
    gboolean spare_global;
    guint64 first, last;
} Aim;

static void remove_listed(Model *model, const Aim *aim)
{
    for (guint i = 0; i < model->list->len; i++) {
        const Listed *listed = &g_array_index(model->list, Listed, i);
        guint64 last = listed->entry.input + ((1ull << listed->entry.order) - 1);
        gboolean owned = listed->entry.global
                             ? !aim->spare_global
                             : aim->any_space || listed->space == aim->space;

        if (owned && listed->entry.input <= aim->last && last >= aim->first)
            g_array_remove_index_fast(model->list, i--);
    }
}

static void invalidate_both(Model *model)
{
    Aim aim = {.space = pick(model, 4), .last = G_MAXUINT64};

    switch (pick(model, 16)) {
    case 0:
        aim.any_space = TRUE;
        viommui_iotlb_invalidate_all(model->iotlb);
        break;
    case 1:
        aim.spare_global = TRUE;
        viommui_iotlb_invalidate_space(model->iotlb, aim.space);
        break;
    default:
        aim.any_space = pick(model, 2);
        aim.first = pick_address(model);
        aim.last = aim.first + ((guint64)pick(model, 64) << orders[pick(model, 4)]);
        viommui_iotlb_invalidate_range(model->iotlb, aim.space, aim.any_space, aim.first,
                                       aim.last);
    }
    remove_listed(model, &aim);
}

/* Any of those that cover it is right, and none only if none does. */
static gboolean agree(Model *model, guint64 space, guint64 address)
{
    gint64 got = get(model->iotlb, space, address);
    gboolean found = FALSE;

    for (guint i = 0; i < model->list->len; i++) {
        const Listed *listed = &g_array_index(model->list, Listed, i);
        guint64 offset = address - listed->entry.input;

        if ((!listed->entry.global && listed->space != space) ||
            offset >> listed->entry.order)
            continue;
        if (got == (gint64)(listed->entry.output + offset))
            return TRUE;
        found = TRUE;
    }
    return got < 0 && !found;
}

static void test_random(guint32 seed)
{
    enum { STEPS = 60000 };
    Model model = {.random = g_rand_new_with_seed(seed),
                   .iotlb = viommui_iotlb_new(LARGE),
                   .list = g_array_new(FALSE, FALSE, sizeof(Listed))};
    guint hits = 0, wrong = 0, most = 0;

    tap_note("seed %u", seed);
    for (guint i = 0; i < STEPS && !wrong; i++) {
        guint64 space = pick(&model, 4), address = pick_address(&model);

        if (pick(&model, 3))
            insert_both(&model);
        else if (!pick(&model, 8))
            invalidate_both(&model);
        hits += get(model.iotlb, space, address) >= 0;
        wrong += !agree(&model, space, address);
        most = MAX(most, model.list->len);
    }
    tap_is(wrong, 0, "%u random steps are as by a list", STEPS);
    tap_ok(hits > STEPS / 20 && hits < STEPS, "which had something to find: %u hits", hits);
    tap_ok(most > 100, "among %u entries at most", most);
    g_array_unref(model.list);
    viommui_iotlb_free(model.iotlb);
    g_rand_free(model.random);
}

/* --- threads ----------------------------------------------------------------------------
 */

enum { THREADS = 3, ROUNDS = 400, PAGES = 64 };

/* Pages of space 1 lead to their address plus the generation; tables change with it. */
typedef struct {
    ViommuiIotlb *iotlb;
    GRWLock lock;
    guint64 generation; /* changed only with the lock held exclusively */
    gint stop;
    gint wrong;
    gint hits;
    gint ready;
} Shared;

static gpointer look_up(gpointer data)
{
    Shared *shared = data;

    g_atomic_int_inc(&shared->ready);
    for (guint64 i = 0; !g_atomic_int_get(&shared->stop); i++) {
        guint64 address = (i * 7 % PAGES) << 12;
        gint64 got;

        g_rw_lock_reader_lock(&shared->lock);
        got = get(shared->iotlb, 1, address);
        if (got < 0)
            put(shared->iotlb, 1, address, 12, address + (shared->generation << 32));
        else if ((guint64)got != address + (shared->generation << 32))
            g_atomic_int_inc(&shared->wrong);
        else
            g_atomic_int_inc(&shared->hits);
        g_rw_lock_reader_unlock(&shared->lock);
        if (i % 16 == 0)
            g_thread_yield();
    }
    return NULL;
}

/* Every page has another place now, and so has to go from the IOTLB. */
static void change(Shared *shared, guint round)
{
    g_rw_lock_writer_lock(&shared->lock);
    shared->generation++;
    switch (round % 4) {
    case 0:
        viommui_iotlb_invalidate_all(shared->iotlb);
        break;
    case 1:
        viommui_iotlb_invalidate_space(shared->iotlb, 1);
        break;
    case 2:
        viommui_iotlb_invalidate_range(shared->iotlb, 0, TRUE, 0, G_MAXUINT64);
        break;
    default:
        for (guint64 page = 0; page < PAGES; page++)
            viommui_iotlb_invalidate_range(shared->iotlb, 1, FALSE, page << 12, page << 12);
    }
    g_rw_lock_writer_unlock(&shared->lock);
}

/* Two IOTLBs: one with room, one where inserts always drop something. */
static void test_threads(guint max_entries, const char *name)
{
    Shared shared = {.iotlb = viommui_iotlb_new(max_entries)};
    GThread *threads[THREADS];

    g_rw_lock_init(&shared.lock);
    for (guint i = 0; i < THREADS; i++)
        threads[i] = g_thread_new("endpoint", look_up, &shared);
    while (g_atomic_int_get(&shared.ready) < THREADS)
        g_thread_yield();
    for (guint i = 0; i < ROUNDS; i++) {
        change(&shared, i);
        g_thread_yield();
    }
    /* However the threads were scheduled, some lookup is to hit before the end. */
    while (!g_atomic_int_get(&shared.hits) && !g_atomic_int_get(&shared.wrong))
        g_thread_yield();
    g_atomic_int_set(&shared.stop, TRUE);
    for (guint i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    tap_is(shared.wrong, 0, "%s: no thread meets what was invalidated", name);
    tap_ok(shared.hits > 0, "%s: they found something", name);
    g_rw_lock_clear(&shared.lock);
    viommui_iotlb_free(shared.iotlb);
}

int main(int argc, char **argv)
{
    guint32 seed = argc > 1 ? (guint32)strtoul(argv[1], NULL, 0) : 20261122;

    test_lookup();
    test_invalidate();
    test_bounds();
    test_work();
    test_random(seed);
    test_random(seed + 1);
    test_threads(LARGE, "with room");
    test_threads(16, "always full");
    return tap_done();
}
