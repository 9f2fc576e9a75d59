/* SPDX-License-Identifier: MIT */
/*
 * All that second-stage tables map in a range (VT-d 3.7, 9.8): which entries are visited,
 * with which rights, and how little is read for it; and tables that a guest has made to
 * lead nowhere, or in circles.
 */

#include "vendors/intel/vtd.h"

#include <string.h>

#include "tap.h"

enum { PAGE = 0x1000, ENTRIES = 512, MEMORY = 64 * PAGE, BASE = 0x100000 };
enum { R = 1, W = 2, RW = R | W, PS = 1 << 7, SNP = 1 << 11, VISITS = 32 };
#define MIB2 (1ull << 21)
#define GIB  (1ull << 30)

typedef struct {
    guint8 memory[MEMORY];
    guint64 next;
    ViommuServices services;
    ViommuiVtdSecondStage tables;
    guint n_reads;
    guint64 read_bytes;
    guint n_read[MEMORY / 8]; /* of each word */
    ViommuiShadowEntry visited[VISITS];
    guint64 n_visited;
    guint64 max_visits; /* 0: no end */
} Tables;

static Tables t;

/* --- tables -----------------------------------------------------------------------------
 */

static gboolean read_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    (void)user_data;
    t.n_reads++;
    t.read_bytes += size;
    if (gpa < BASE || gpa - BASE > MEMORY || size > MEMORY - (gpa - BASE))
        return FALSE;
    memcpy(data, t.memory + (gpa - BASE), size);
    for (gsize i = 0; i < size / 8; i++)
        t.n_read[(gpa - BASE) / 8 + i]++;
    return TRUE;
}

static guint64 alloc(void)
{
    guint64 gpa = t.next;

    g_assert(gpa < BASE + MEMORY);
    t.next += PAGE;
    return gpa;
}

static void start(guint levels)
{
    memset(&t, 0, sizeof t);
    t.next = BASE;
    t.services = (ViommuServices){.read_memory = read_memory};
    t.tables = (ViommuiVtdSecondStage){
        .table = alloc(), .levels = levels, .physical_bits = 48, .snoop_reserved = TRUE};
}

static guint64 *word_at(guint64 gpa)
{
    return (guint64 *)(void *)(t.memory + (gpa - BASE));
}

/* The entry of this level, tables on the way made with all rights. */
static guint64 *entry_of(guint64 iova, guint level)
{
    guint64 table = t.tables.table;

    for (guint at = t.tables.levels;; at--) {
        guint64 *entry = word_at(table + 8 * (iova >> (12 + 9 * (at - 1)) & 511));

        if (at == level)
            return entry;
        if (!*entry)
            *entry = GUINT64_TO_LE(alloc() | RW);
        table = GUINT64_FROM_LE(*entry) & ~0xfffull;
    }
}

static void put(guint64 iova, guint level, guint64 word)
{
    *entry_of(iova, level) = GUINT64_TO_LE(word);
}

static gboolean visit(const ViommuiShadowEntry *entry, void *visit_data)
{
    (void)visit_data;
    if (t.n_visited < VISITS)
        t.visited[t.n_visited] = *entry;
    t.n_visited++;
    return !t.max_visits || t.n_visited < t.max_visits;
}

static gboolean walk(guint64 first, guint64 last)
{
    t.n_visited = t.n_reads = t.read_bytes = 0;
    memset(t.n_read, 0, sizeof t.n_read);
    return viommui_vtd_visit_second_stage(&t.services, &t.tables, first, last, visit, NULL);
}

static gboolean walk_all(void)
{
    return walk(0, G_MAXUINT64);
}

/* The nth visit was of this. */
static gboolean was(guint n, guint64 iova, guint64 gpa, guint64 size, guint rights)
{
    const ViommuiShadowEntry *entry = &t.visited[n];

    return n < t.n_visited && entry->iova == iova && entry->gpa == gpa &&
           entry->size == size && (guint)entry->flags == rights;
}

/* --- what is there ----------------------------------------------------------------------
 */

static void test_levels(guint levels)
{
    guint64 top = 1ull << (12 + 9 * levels);

    start(levels);
    tap_ok(walk_all() && t.n_visited == 0, "%u levels: nothing", levels);
    tap_ok(t.n_reads == 1 && t.read_bytes == PAGE, "... is one table to read");
    put(0, 1, 0x5000 | RW);
    put(top - PAGE, 1, 0x7000 | R);
    put(top - MIB2, 1, 0x6000 | W);
    tap_ok(walk_all() && t.n_visited == 3 && was(0, 0, 0x5000, PAGE, RW) &&
               was(1, top - MIB2, 0x6000, PAGE, W) && was(2, top - PAGE, 0x7000, PAGE, R),
           "the first and the last page, in order");
    tap_is(t.n_reads, 1 + 2 * (levels - 1), "... each table read once");
    tap_ok(walk(top - PAGE, G_MAXUINT64) && t.n_visited == 1 &&
               was(0, top - PAGE, 0x7000, PAGE, R),
           "beyond the last page there is nothing");
    tap_ok(walk(top, G_MAXUINT64) && t.n_visited == 0 && t.n_reads == 0,
           "... nor anything to be read");
}

static void test_range(void)
{
    const guint64 at = 0x4000000000ull + MIB2;

    start(4);
    for (guint i = 0; i < 8; i++)
        put(at + i * PAGE, 1, (0x10000 + i * PAGE) | RW);
    tap_ok(walk(at + 2 * PAGE, at + 3 * PAGE - 1) && t.n_visited == 1 &&
               was(0, at + 2 * PAGE, 0x12000, PAGE, RW),
           "one page of eight");
    tap_ok(t.n_reads == 4 && t.read_bytes == 4 * 8, "... by one entry of each table");
    tap_ok(walk(at + 2 * PAGE + 7, at + 2 * PAGE + 7) && t.n_visited == 1 &&
               was(0, at + 2 * PAGE, 0x12000, PAGE, RW),
           "one byte of it: it is visited whole");
    tap_ok(walk(at + PAGE - 1, at + 3 * PAGE) && t.n_visited == 4 &&
               was(0, at, 0x10000, PAGE, RW) && was(3, at + 3 * PAGE, 0x13000, PAGE, RW),
           "a byte of the first and of the last is all of both");
    tap_is(t.read_bytes, 3 * 8 + 4 * 8, "... and no entry more");
    put(at - PAGE, 1, 0x30000 | RW);
    tap_ok(walk(at - PAGE, at) && t.n_visited == 2 && t.read_bytes == 2 * 8 + 2 * 8 + 2 * 8,
           "a range over two tables has the end of one and the beginning of the other");
    tap_ok(walk(at + 8 * PAGE, at + MIB2 - 1) && t.n_visited == 0, "where nothing is");
}

static void test_large(void)
{
    const guint64 at = 3 * GIB;

    start(4);
    put(at, 2, 0x40000000 | RW | PS);
    put(at + GIB, 3, 0x80000000 | R | PS);
    tap_ok(walk_all() && t.n_visited == 2 && was(0, at, 0x40000000, MIB2, RW) &&
               was(1, at + GIB, 0x80000000, GIB, R),
           "pages of 2 MiB and 1 GiB");
    tap_ok(walk(at + MIB2 - 1, at + MIB2 - 1) && t.n_visited == 1 &&
               was(0, at, 0x40000000, MIB2, RW),
           "a byte of 2 MiB is all of it");
    tap_ok(walk(at + GIB + 5 * PAGE, at + GIB + 6 * PAGE) && t.n_visited == 1 &&
               was(0, at + GIB, 0x80000000, GIB, R),
           "4 KiB in 1 GiB are all of it");
    tap_is(t.n_reads, 2, "... by the tables above it");
    put(at, 2, 0x40001000 | RW | PS);
    put(at + GIB, 3, 0x80200000 | RW | PS);
    tap_ok(walk_all() && t.n_visited == 0, "an address within a page is illegal");
    start(5);
    put(0, 4, BASE | RW | PS);
    put(1ull << 48, 5, BASE | RW | PS);
    tap_ok(walk_all() && t.n_visited == 0, "pages of 512 GiB and more are illegal");
    start(4);
    put(0, 1, 0x5000 | RW | PS);
    tap_ok(walk_all() && was(0, 0, 0x5000, PAGE, RW), "of 4 KiB the bit is ignored");
}

/* What all entries on the way allow. */
static void test_rights(void)
{
    static const guint of[] = {0, R, W, RW};

    for (guint i = 0; i < 64; i++) {
        guint upper = of[i & 3], middle = of[i >> 2 & 3], leaf = of[i >> 4];

        start(3);
        put(0, 1, 0x5000 | leaf);
        *entry_of(0, 2) = (*entry_of(0, 2) & GUINT64_TO_LE(~3ull)) | GUINT64_TO_LE(middle);
        *entry_of(0, 3) = (*entry_of(0, 3) & GUINT64_TO_LE(~3ull)) | GUINT64_TO_LE(upper);
        walk_all();
        if (upper & middle & leaf)
            tap_ok(t.n_visited == 1 && was(0, 0, 0x5000, PAGE, upper & middle & leaf),
                   "rights %u, %u, %u", upper, middle, leaf);
        else
            tap_ok(t.n_visited == 0, "rights %u, %u, %u: none", upper, middle, leaf);
    }
    /* Without any there is nothing to read either. */
    start(3);
    put(0, 1, 0x5000 | RW);
    *entry_of(0, 3) &= GUINT64_TO_LE(~3ull);
    walk_all();
    tap_is(t.n_reads, 1, "what no entry allows is not read");
}

static void test_illegal(void)
{
    start(4);
    put(0, 1, 1ull << 48 | RW);
    put(PAGE, 1, 0x5000 | RW | SNP);
    put(2 * PAGE, 1, ((1ull << 48) - PAGE) | RW);
    put(GIB, 2, 0x40000000 | RW | PS | SNP);
    put(2 * GIB, 2, BASE | RW | SNP);
    put(3 * GIB, 2, 1ull << 51 | RW);
    tap_ok(walk_all() && t.n_visited == 1 &&
               was(0, 2 * PAGE, (1ull << 48) - PAGE, PAGE, RW),
           "addresses that there are not, and SNP where it is reserved, are illegal");
    t.tables.snoop_reserved = FALSE;
    t.tables.physical_bits = 49;
    put(2 * GIB, 2, 0);
    tap_ok(walk_all() && t.n_visited == 4 && was(0, 0, 1ull << 48, PAGE, RW) &&
               was(1, PAGE, 0x5000, PAGE, RW),
           "... and where it is not, are legal");
    start(4);
    put(0, 1, 0x5000 | RW | 0xfff0000000000670ull);
    tap_ok(walk_all() && was(0, 0, 0x5000, PAGE, RW), "bits that are ignored are");
}

/* --- the interrupt range ----------------------------------------------------------------
 */

static void test_interrupts(void)
{
    const guint64 first = 0xfee00000, after = 0xfef00000;

    start(3);
    put(first - PAGE, 1, 0x1000 | RW);
    put(first, 1, 0x2000 | RW);
    put(after - PAGE, 1, 0x3000 | RW);
    put(after, 1, 0x4000 | RW);
    tap_ok(walk_all() && t.n_visited == 2 && was(0, first - PAGE, 0x1000, PAGE, RW) &&
               was(1, after, 0x4000, PAGE, RW),
           "pages in the interrupt range are left out");
    put(first, 2, 0x40000000 | RW | PS);
    tap_ok(walk_all() && t.n_visited == 2 && was(0, first - PAGE, 0x1000, PAGE, RW) &&
               was(1, after, 0x40100000, MIB2 / 2, RW),
           "of 2 MiB there is what is behind it");
    tap_ok(walk(first + 5 * PAGE, first + 6 * PAGE) && t.n_visited == 1 &&
               was(0, after, 0x40100000, MIB2 / 2, RW),
           "... whatever of it is asked");
    put(3 * GIB, 3, 0x80000000 | R | PS);
    tap_ok(walk(first, first) && t.n_visited == 2 &&
               was(0, 3 * GIB, 0x80000000, 0x3ee00000, R) &&
               was(1, after, 0x80000000 + 0x3ef00000, GIB - 0x3ef00000, R),
           "of 1 GiB what is on both sides");
    t.max_visits = 1;
    tap_ok(!walk(first, first) && t.n_visited == 1, "... unless nobody wants the second");
}

/* --- tables that lead nowhere, or in circles --------------------------------------------
 */

static void test_nowhere(void)
{
    start(4);
    put(0, 1, 0x5000 | RW);
    put(GIB, 2, (BASE + MEMORY) | RW);
    put(2 * GIB, 2, (BASE + MEMORY - PAGE) | RW);
    put(3 * GIB, 2, 0xfffffffff000ull | RW);
    put(4 * GIB, 1, 0x6000 | RW);
    tap_ok(walk_all() && t.n_visited == 2 && was(1, 4 * GIB, 0x6000, PAGE, RW),
           "tables that are no memory map nothing, and the others do");
    t.tables.table = BASE + MEMORY;
    tap_ok(walk_all() && t.n_visited == 0 && t.n_reads == 1, "... nor does such a first");
}

static void test_visits_end(void)
{
    start(4);
    for (guint i = 0; i < 8; i++)
        put((guint64)i * GIB, 1, (0x10000 + i * PAGE) | RW);
    t.max_visits = 3;
    tap_ok(!walk_all() && t.n_visited == 3, "visits end when they are not wanted");
    tap_is(t.n_reads, 2 + 2 * 3, "... and so do reads");
}

/* Every entry of a table leads to the same one. */
static void fill(guint64 table, guint64 word)
{
    for (guint i = 0; i < ENTRIES; i++)
        word_at(table)[i] = GUINT64_TO_LE(word);
}

static void test_circles(void)
{
    guint64 levels[4];

    start(4);
    *word_at(t.tables.table) = GUINT64_TO_LE(t.tables.table | RW);
    tap_ok(walk_all() && t.n_visited == 1 && was(0, 0, t.tables.table, PAGE, RW),
           "a table that leads to itself is a table of each level");
    tap_is(t.n_reads, 4, "... once");
    fill(t.tables.table, t.tables.table | RW);
    t.max_visits = 100000;
    tap_ok(!walk_all() && t.n_visited == 100000, "by all entries it is walked until told");
    tap_ok(t.n_reads < 400, "... reading what is needed: %u", t.n_reads);

    start(4);
    levels[3] = t.tables.table;
    for (guint i = 3; i-- > 0;)
        levels[i] = alloc();
    for (guint i = 1; i < 4; i++)
        fill(levels[i], levels[i - 1] | RW);
    tap_ok(!walk_all() && t.n_visited == 0, "few tables for many, and nothing in them");
    tap_is(t.n_reads, 1 << 20, "... are not walked for ever");
    tap_ok(walk(0, 512 * GIB - 1) && t.n_reads == 1 + 1 + 512 + 512 * 512,
           "... a part of them is to the end");
}

/* Each entry of the range is read once, so that it cannot be two things. */
static void test_once(void)
{
    gboolean once = TRUE;

    start(4);
    for (guint i = 0; i < 600; i++)
        put((guint64)i * PAGE, 1, ((guint64)i << 12) | RW);
    walk(3 * PAGE, 590 * PAGE);
    for (guint i = 0; i < G_N_ELEMENTS(t.n_read); i++)
        once = once && t.n_read[i] <= 1;
    tap_ok(once && t.n_visited == 588, "every entry is read once");
}

int main(void)
{
    for (guint levels = 3; levels <= 5; levels++)
        test_levels(levels);
    test_range();
    test_large();
    test_rights();
    test_illegal();
    test_interrupts();
    test_nowhere();
    test_visits_end();
    test_circles();
    test_once();
    return tap_done();
}
