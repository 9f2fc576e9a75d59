/* SPDX-License-Identifier: MIT */
/*
 * Syncs of the shadow engine: what is walked, what becomes one mapping, what a part that is
 * taken back does to the rest, rights, large pages, what cannot be had. On every backend;
 * every host call is watched by shadow-bench.h.
 */

#include "shadow-bench.h"

#include "core/private.h"

#include <errno.h>
#include <viommu/viommu.h>

enum { TWO_MIB = 0x200000, ONE_GIB = 0x40000000 };

static guint64 iova(guint page)
{
    return SB_IOVA + (guint64)page * SB_PAGE;
}

static guint64 ram(guint page)
{
    return SB_RAM + (guint64)page * SB_PAGE;
}

static gboolean sees(ShadowBench *b, guint page, guint64 gpa, guint rights)
{
    return view_is(sb_see(b, page), (View){gpa, rights});
}

static gboolean sees_nothing(ShadowBench *b, guint page)
{
    return sees(b, page, 0, 0);
}

/* Only what was invalidated is walked, and changed. */
static void test_range(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 12);
    tap_is(sb_attach(&b, 0), VIOMMU_OK, "attached to an empty shadow");
    tap_ok(sb_is_right(&b), "... it reaches nothing");
    for (guint i = 0; i < 10; i++)
        sb_put(&b, iova(i), ram(20 - 2 * i), SB_PAGE, SB_RW);
    tap_is(sb_sync_page(&b, 3), VIOMMU_OK, "one page of ten is synced");
    tap_ok(sees(&b, 3, ram(14), SB_RW), "... it is reached");
    tap_ok(sb_is_right(&b), "... and no other");
    tap_ok(b.n_walks == 1 && b.n_visits == 1, "... one walk, and one page visited");
    tap_ok(b.first == iova(3) && b.last == iova(4) - 1, "... which is all that was asked");
    tap_is(sb_maps(&b), 1, "... one host call");

    sb_reset(&b);
    tap_is(sb_sync(&b, iova(5), iova(8) - 1), VIOMMU_OK, "three pages");
    tap_ok(sb_is_right(&b) && b.n_visits == 3 && sb_maps(&b) == 3, "... are three visits");
    tap_is(sb_count(&b), 4, "... and mappings");
    sb_put(&b, iova(3), ram(40), SB_PAGE, SB_RW);
    sb_put(&b, iova(6), ram(41), SB_PAGE, SB_RW);
    sb_take(&b, iova(7), SB_PAGE);
    sb_reset(&b);
    tap_is(sb_sync_page(&b, 6), VIOMMU_OK, "of three changes one is told");
    tap_ok(sees(&b, 6, ram(41), SB_RW), "... it takes effect");
    tap_ok(sb_is_right(&b), "... and the others do not");
    tap_ok(sb_unmaps(&b) == 1 && sb_maps(&b) == 1 && b.n_visits == 1,
           "... nor cost a call");

    sb_reset(&b);
    tap_is(sb_sync_all(&b), VIOMMU_OK, "everything");
    tap_ok(sb_is_right(&b), "... is as the table has it");
    tap_is(b.n_visits, 9, "... each page visited once");
    sb_reset(&b);
    tap_is(sb_sync_all(&b), VIOMMU_OK, "everything again");
    tap_is(sb_maps(&b) + sb_unmaps(&b), 0, "... costs no call to map or unmap");
    sb_reset(&b);
    tap_is(sb_sync(&b, iova(100), iova(200)), VIOMMU_OK, "where nothing is");
    tap_ok(sb_is_right(&b) && b.n_visits == 0 && sb_maps(&b) + sb_unmaps(&b) == 0,
           "... nothing is done");
    sb_take(&b, 0, G_MAXUINT64);
    tap_is(sb_sync_all(&b), VIOMMU_OK, "all taken back");
    tap_ok(sb_is_right(&b) && sb_count(&b) == 0, "... leaves nothing");
    sb_clear(&b);
}

/* Neighbours on both sides become one mapping. */
static void test_merge(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 64);
    sb_attach(&b, 0);
    sb_put_pages(&b, iova(0), ram(0), 16, SB_RW);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b), "16 pages in a row");
    tap_ok(sb_count(&b) == 1 && sb_maps(&b) == 1, "... are one mapping and one call");

    sb_put_pages(&b, iova(16), ram(16), 4, SB_RW);
    sb_reset(&b);
    sb_sync(&b, iova(16), iova(20) - 1);
    tap_ok(sb_is_right(&b) && sb_count(&b) == 2,
           "more of them in a later sync are another");
    tap_ok(sb_maps(&b) == 1 && sb_unmaps(&b) == 0, "... and the first is left alone");
    tap_ok(b.first == iova(16) && b.last == iova(20) - 1, "... nor walked");

    sb_put_pages(&b, iova(32), ram(64), 2, SB_RW); /* a gap between IOVAs */
    sb_put_pages(&b, iova(34), ram(80), 2, SB_RW); /* and between their memory */
    sb_put_pages(&b, iova(36), ram(82), 2, SB_R);  /* other rights */
    sb_put_pages(&b, iova(38), ram(84), 2, SB_RW);
    sb_put_pages(&b, iova(40), ram(85), 1, SB_RW); /* backwards */
    sb_put_pages(&b, iova(50), ram(90), 1, SB_RW);
    sb_put_pages(&b, iova(51), ram(90), 1, SB_RW); /* the same page twice */
    sb_reset(&b);
    sb_sync(&b, iova(32), iova(63));
    tap_ok(sb_is_right(&b), "pages beside each other on one side only");
    tap_is(sb_maps(&b), 7, "... or with other rights are not joined");
    tap_is(sb_count(&b), 9, "... and each is a mapping");
    sb_clear(&b);
}

/* A mapping of which a part is taken back goes whole, and the rest comes again. */
static void test_partly(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 20);
    sb_attach(&b, 0);
    sb_put_pages(&b, iova(0), ram(0), 16, SB_RW);
    sb_sync_all(&b);
    sb_take(&b, iova(5), SB_PAGE);
    sb_reset(&b);
    tap_is(sb_sync_page(&b, 5), VIOMMU_OK, "one page of 16 is taken back");
    tap_ok(sees_nothing(&b, 5), "... it is not reached");
    tap_ok(sb_is_right(&b), "... and the others are");
    tap_ok(b.first == iova(0) && b.last == iova(16) - 1, "... all 16 were walked");
    tap_ok(sb_unmaps(&b) == 1 && sb_maps(&b) == 2 && sb_count(&b) == 2, "... to make two");

    sb_put(&b, iova(5), ram(30), SB_PAGE, SB_RW);
    sb_reset(&b);
    sb_sync_page(&b, 5);
    tap_ok(sb_is_right(&b) && sees(&b, 5, ram(30), SB_RW), "the gap filled otherwise");
    tap_ok(sb_unmaps(&b) == 0 && sb_maps(&b) == 1 && sb_count(&b) == 3, "... is a third");
    tap_is(b.n_visits, 1, "... its neighbours are not walked");

    sb_put(&b, iova(5), ram(5), SB_PAGE, SB_RW);
    sb_put(&b, iova(16), ram(16), SB_PAGE, SB_RW);
    sb_put(&b, iova(17), ram(17), SB_PAGE, SB_RW);
    sb_reset(&b);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b), "what is there already is kept in a sync of all");
    tap_ok(sb_unmaps(&b) == 1 && sb_maps(&b) == 2 && sb_count(&b) == 4,
           "... and new pages fill what is between and after");

    sb_put(&b, iova(8), ram(40), SB_PAGE, SB_RW);
    sb_put(&b, iova(11), ram(11), SB_PAGE, SB_R);
    sb_reset(&b);
    sb_sync(&b, iova(8), iova(12) - 1);
    tap_ok(sb_is_right(&b), "one page elsewhere, and one with less rights");
    tap_ok(sb_unmaps(&b) == 1 && sb_maps(&b) == 5, "... five parts of a mapping");
    sb_take(&b, iova(0), SB_PAGE);
    sb_take(&b, iova(4), SB_PAGE);
    sb_sync(&b, iova(0), iova(5) - 1);
    tap_ok(sb_is_right(&b), "its first page, and its last");
    sb_take(&b, iova(1), 17 * SB_PAGE);
    sb_sync(&b, iova(3), iova(14));
    tap_ok(sb_is_right(&b), "of all that is taken back what is told goes");
    tap_ok(sees(&b, 17, ram(17), SB_RW), "... and nothing else");
    sb_clear(&b);
}

static void test_rights(const ShadowBenchOptions *options)
{
    static const guint rights[] = {SB_R, SB_RW, SB_W, SB_R, SB_W, SB_RW, 0, SB_W};
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 6);
    sb_attach(&b, 0);
    for (guint i = 0; i < G_N_ELEMENTS(rights); i++) {
        sb_put_pages(&b, iova(1), ram(1), 2, rights[i]);
        sb_reset(&b);
        sb_sync(&b, iova(1), iova(3) - 1);
        tap_ok(sb_is_right(&b), "rights %u", rights[i]);
        tap_ok(sb_maps(&b) == !!rights[i] && sb_unmaps(&b) == (i && rights[i - 1]),
               "... by a mapping of its own");
    }
    sb_put_pages(&b, iova(0), SB_ROM_RAM, 3, SB_RW);
    sb_put_pages(&b, iova(3), SB_ROM_RAM + 3 * SB_PAGE, 1, SB_R);
    sb_put_pages(&b, iova(4), SB_ROM_RAM, 1, SB_W);
    sb_reset(&b);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b), "memory that is read-only is never written");
    tap_ok(sees(&b, 1, SB_ROM_RAM + SB_PAGE, SB_R) && sees_nothing(&b, 4),
           "... read where that is granted");
    tap_ok(sb_maps(&b) == 1 && !b.n_failed, "... in one mapping, and no failure");
    sb_clear(&b);
}

/* An entry is had whole, whatever part of it is told; and kept whole. */
static void test_large(const ShadowBenchOptions *options, guint64 size, const char *name)
{
    const guint64 page = SB_IOVA, inside = page + size / 2 + 5 * SB_PAGE;
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, page, 3);
    sb_watch(&b, inside - SB_PAGE, 3);
    sb_watch(&b, page + size - SB_PAGE, 2);
    sb_attach(&b, 0);
    sb_put(&b, page, SB_BIG_RAM, size, SB_RW);
    tap_is(sb_sync(&b, inside, inside + SB_PAGE - 1), VIOMMU_OK, "4 KiB in %s", name);
    tap_ok(sb_is_right(&b) && sb_count(&b) == 1, "... have all of it mapped");

    sb_put(&b, page, SB_BIG_RAM, size, SB_R);
    sb_reset(&b);
    sb_sync(&b, inside, inside + SB_PAGE - 1);
    tap_ok(sb_is_right(&b), "... and all of it changed");
    tap_ok(sb_maps(&b) == 1 && sb_unmaps(&b) == 1, "... at once");
    sb_reset(&b);
    sb_sync(&b, page + size, page + 2 * size);
    tap_ok(b.n_visits == 0 && sb_maps(&b) == 0, "beside it, it is not touched");

    sb_put_pages(&b, inside - SB_PAGE, ram(1), 3, SB_RW); /* in its place */
    sb_sync(&b, inside, inside + SB_PAGE - 1);
    tap_ok(sb_is_right(&b), "small pages in its place: all of it goes");
    tap_is(sb_count(&b), 1, "... and the pages around come too");
    sb_put(&b, page, SB_BIG_RAM + (SB_BIG_SIZE - size), size, SB_W);
    sb_sync(&b, inside, inside + SB_PAGE - 1);
    tap_ok(sb_is_right(&b), "and a large one in theirs");
    tap_is(sb_count(&b), 1, "... which has taken their place");
    sb_take(&b, page, size);
    sb_sync(&b, page, page);
    tap_ok(sb_is_right(&b) && sb_count(&b) == 0, "one byte of it told, it goes");
    sb_clear(&b);
}

/* Mappings and guest pages that reach out of the range, and out of what those reach to. */
static void test_chain(const ShadowBenchOptions *options)
{
    enum { LINKS = 8, HALF = TWO_MIB / 2 };
    ShadowBench b;

    sb_init(&b, options);
    /* Each mapping lies across the end of a page to come, which lies across its own. */
    for (guint i = 0; i < LINKS; i++) {
        sb_put(&b, SB_IOVA + (guint64)i * TWO_MIB - HALF, SB_BIG_RAM, TWO_MIB - SB_PAGE,
               SB_RW);
        sb_watch(&b, SB_IOVA + (guint64)i * TWO_MIB - SB_PAGE, 2);
        sb_watch(&b, SB_IOVA + (guint64)i * TWO_MIB + HALF, 1);
    }
    sb_attach(&b, 0);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b) && sb_count(&b) == LINKS, "mappings");
    for (guint i = 0; i < LINKS; i++)
        sb_put(&b, SB_IOVA + (guint64)i * TWO_MIB, SB_BIG_RAM + TWO_MIB, TWO_MIB, SB_R);
    sb_reset(&b);
    tap_is(sb_sync(&b, SB_IOVA, SB_IOVA), VIOMMU_OK, "pages in their place, one byte told");
    tap_ok(sb_is_right(&b), "... all that hangs together has changed");
    tap_is(sb_count(&b), LINKS, "... mapping by mapping");
    sb_clear(&b);
}

/* However long the chain, it is not walked over and over. */
static void test_long_chain(const ShadowBenchOptions *options)
{
    enum { LINKS = 250 };
    ShadowBench b;

    sb_init(&b, options);
    for (guint i = 0; i < LINKS; i++)
        sb_put_pages(&b, iova(4 * i + 3), ram(4 * i + 3), 2, SB_RW);
    sb_watch(&b, iova(0), 8);
    sb_watch(&b, iova(4 * LINKS - 4), 8);
    sb_sync_all(&b);
    sb_attach(&b, 0);
    tap_is(sb_count(&b), LINKS, "%u mappings", LINKS);
    for (guint i = 0; i < LINKS; i++)
        sb_put(&b, iova(4 * i + 4), ram(4 * i), 4 * SB_PAGE, SB_RW);
    sb_reset(&b);
    tap_is(sb_sync_page(&b, 4), VIOMMU_OK, "pages that each reach into the next");
    tap_ok(sees(&b, 4 * LINKS - 1, ram(4 * LINKS - 5), SB_RW), "... the last is there");
    tap_ok(sb_is_right(&b), "... all is right");
    tap_ok(b.n_visits < 10 * LINKS, "... %u visits for %u pages", b.n_visits, LINKS);
    sb_clear(&b);
}

/* Memory of several mappings, and what lies between. */
static void test_memory(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 12);
    sb_attach(&b, 0);
    sb_put_pages(&b, iova(0), SB_NEXT_RAM - 2 * SB_PAGE, 4, SB_RW);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b) && sb_count(&b) == 2, "pages on both sides of an end of memory");
    tap_is(b.n_failed, 0, "... which is none where more begins");
    sb_put(&b, iova(0), SB_NEXT_RAM - 2 * SB_PAGE, 4 * SB_PAGE, SB_RW);
    sb_reset(&b);
    sb_sync_page(&b, 2);
    tap_ok(sb_is_right(&b) && sb_maps(&b) + sb_unmaps(&b) == 0, "... and one large page");

    sb_put(&b, iova(4), SB_NOWHERE - 2 * SB_PAGE, 4 * SB_PAGE, SB_RW);
    sb_put(&b, iova(8), SB_NOWHERE + SB_PAGE, SB_PAGE, SB_R);
    sb_put(&b, iova(9), ram(9), SB_PAGE, SB_R);
    sb_reset(&b);
    tap_is(sb_sync(&b, iova(4), iova(10) - 1), VIOMMU_OK, "pages that are no memory");
    tap_ok(sb_is_right(&b) && sb_count(&b) == 4, "... are left out, and the rest is right");
    tap_ok(b.n_failed == 1 && b.failed_iova == iova(6) &&
               b.failed_result == VIOMMU_GUEST_INVALID,
           "... the first is told, once");
    tap_has(b.refusal, "IOVA 0x4000006000 leads to 0x1500000, which is no guest memory",
            "... in words");
    tap_is(b.n_refusals, 1, "... said once, too");
    sb_reset(&b);
    sb_sync_page(&b, 6);
    tap_ok(b.n_failed == 1 && sb_maps(&b) == 0, "... and again with the next sync");
    sb_reset(&b);
    sb_sync_page(&b, 9);
    tap_is(b.n_failed, 0, "... that concerns it");

    sb_put(&b, iova(4), SB_ROM_RAM - 2 * SB_PAGE, 20 * SB_PAGE, SB_RW);
    sb_take(&b, iova(0), 4 * SB_PAGE);
    sb_reset(&b);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b) && sb_count(&b) == 1, "memory in the midst of none");
    tap_ok(b.n_failed == 1 && b.failed_iova == iova(4), "... from its beginning on");
    sb_clear(&b);
}

/* The host's addresses end somewhere. */
static void test_limit(const ShadowBenchOptions *options)
{
    guint64 last;
    ShadowBench b;

    sb_init(&b, options);
    last = b.limit - (SB_PAGE - 1);
    sb_watch(&b, last - SB_PAGE, 4);
    sb_attach(&b, 0);
    sb_put_pages(&b, last - SB_PAGE, ram(0), 2, SB_RW);
    sb_sync_all(&b);
    tap_ok(sb_is_right(&b) && !b.n_failed, "the last pages that the host can map");
    sb_put_pages(&b, last + SB_PAGE, ram(2), 2, SB_RW);
    sb_reset(&b);
    tap_is(sb_sync_all(&b), VIOMMU_OK, "and beyond");
    tap_ok(sb_is_right(&b) && sb_maps(&b) + sb_unmaps(&b) == 0, "... are left out");
    tap_ok(b.n_failed == 1 && b.failed_iova == last + SB_PAGE &&
               b.failed_result == VIOMMU_UNSUPPORTED,
           "... and told");
    tap_ok(b.n_refusals == 1 && g_strrstr(b.refusal, "the last that the host maps"),
           "... in words");
    sb_put(&b, last, ram(8), 4 * SB_PAGE, SB_RW);
    sb_reset(&b);
    sb_sync(&b, last, last);
    tap_ok(sb_is_right(&b), "a page across the end: what fits is there");
    tap_ok(b.n_failed == 1 && b.failed_iova == last + SB_PAGE, "... and the rest told");
    sb_put(&b, G_MAXUINT64 - (SB_PAGE - 1), ram(9), SB_PAGE, SB_RW);
    sb_reset(&b);
    sb_sync(&b, G_MAXUINT64, G_MAXUINT64);
    tap_ok(sb_is_right(&b) && b.n_failed == 1, "the very last page there is");
    sb_clear(&b);
}

/* What devices reserve, which is never whole pages alone, and never mapped. */
static void test_reserved(const ShadowBenchOptions *options)
{
    const ViommuReservedRegion first[] = {{iova(2) + 8, iova(3) + 8, FALSE},
                                          {iova(6), iova(7) - 1, FALSE}},
                               second[] = {{iova(6), iova(7) - 1, FALSE},
                                           {iova(8), iova(9) - 1, FALSE}};
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 12);
    b.devices[0]->info.reserved = first;
    b.devices[0]->info.n_reserved = G_N_ELEMENTS(first);
    tap_is(viommui_shadow_admit(b.shadow, b.devices[0]), VIOMMU_OK,
           "a device that reserves pages 2, 3 and 6");
    tap_is(sb_attach(&b, 0), VIOMMU_OK, "... is attached");
    sb_put(&b, iova(0), ram(0), 10 * SB_PAGE, SB_RW);
    tap_is(sb_sync_all(&b), VIOMMU_OK, "ten pages in a row");
    tap_ok(sees(&b, 1, ram(1), SB_RW) && sees(&b, 4, ram(4), SB_RW) &&
               sees(&b, 5, ram(5), SB_RW) && sees(&b, 7, ram(7), SB_RW) &&
               sees(&b, 9, ram(9), SB_RW),
           "... are there");
    tap_ok(sees_nothing(&b, 2) && sees_nothing(&b, 3) && sees_nothing(&b, 6),
           "... but for those");
    tap_is(sb_count(&b), 3, "... in three mappings");
    tap_ok(b.n_failed == 1 && b.failed_iova == iova(2) &&
               b.failed_result == VIOMMU_UNSUPPORTED,
           "... the guest is told");
    tap_ok(g_strrstr(b.refusal, "which a device reserves") != NULL,
           "... and the VMM, in words");
    b.devices[1]->info.reserved = second;
    b.devices[1]->info.n_reserved = G_N_ELEMENTS(second);
    sb_reset(&b);
    tap_is(viommui_shadow_admit(b.shadow, b.devices[1]), VIOMMU_OK,
           "another that reserves page 8 too");
    tap_ok(sees_nothing(&b, 8) && sees(&b, 7, ram(7), SB_RW) && sees(&b, 9, ram(9), SB_RW),
           "... which goes");
    tap_is(sb_attach(&b, 1), VIOMMU_OK, "... before it is attached");
    sb_reset(&b);
    tap_is(viommui_shadow_admit(b.shadow, b.devices[1]), VIOMMU_OK, "once more");
    tap_is(b.n_walks, 0, "... is nothing new");
    sb_take(&b, 0, G_MAXUINT64);
    tap_ok(sb_sync_all(&b) == VIOMMU_OK && sb_count(&b) == 0, "all taken back");
    sb_clear(&b);
}

/* A table that cannot be walked to the end grants nothing. */
static void test_too_large(const ShadowBenchOptions *options)
{
    ShadowBench b;

    sb_init(&b, options);
    sb_watch(&b, iova(0), 20);
    sb_attach(&b, 0);
    sb_put_pages(&b, iova(0), ram(0), 8, SB_RW);
    sb_sync(&b, iova(0), iova(4) - 1);
    sb_sync(&b, iova(4), iova(8) - 1);
    b.max_visits = 2;
    sb_take(&b, iova(7), SB_PAGE);
    sb_reset(&b);
    tap_is(sb_sync_page(&b, 7), VIOMMU_OK, "a walk that does not come to an end");
    tap_ok(sees_nothing(&b, 4) && sees_nothing(&b, 7), "... of what was walked nothing is");
    tap_ok(sees(&b, 3, ram(3), SB_RW), "... the rest is left alone");
    tap_ok(b.n_failed == 1 && b.failed_result == VIOMMU_GUEST_INVALID, "... it is told");
    tap_has(b.refusal, "too large", "... in words");
    b.max_visits = 0;
    sb_sync(&b, iova(4), iova(8) - 1);
    tap_ok(sb_is_right(&b), "and had when it is");
    sb_clear(&b);
}

/* Memory of the VMM does not grow with what a guest can make of a few pages. */
static void test_scattered(const ShadowBenchOptions *options)
{
    enum { PAGES = 400000 };
    ShadowBench b;

    sb_init(&b, options);
    for (guint i = 0; i < PAGES; i++) {
        const ViommuiShadowEntry entry = {iova(i), ram(2 * i % 1024), SB_PAGE, SB_RW};

        g_array_append_val(b.entries, entry);
    }
    tap_is(sb_sync_all(&b), VIOMMU_OK, "more scattered pages than there is memory for");
    tap_ok(b.n_visits < PAGES, "... are not all walked: %u", b.n_visits);
    tap_ok(b.n_failed == 1 && b.failed_result == VIOMMU_GUEST_INVALID, "... that is told");
    tap_is(sb_count(&b), 0, "... and nothing of them mapped");
    g_array_set_size(b.entries, 3000);
    sb_reset(&b);
    sb_sync_all(&b);
    tap_ok(sb_count(&b) == 3000 && !b.n_failed, "fewer of them are had");
    sb_clear(&b);
}

static void test_backend(const ShadowBenchOptions *options)
{
    ShadowBenchOptions big = *options;
    ShadowBenchOptions two = *options;

    big.big = TRUE;
    two.n_devices = 2;
    tap_note("backend %s, with %s", options->backend,
             options->second_stage ? "second-stage tables only" : "first-stage tables");
    test_range(options);
    test_merge(options);
    test_partly(options);
    test_rights(options);
    test_large(&big, TWO_MIB, "2 MiB");
    test_large(&big, ONE_GIB, "1 GiB");
    test_chain(&big);
    test_long_chain(options);
    test_memory(options);
    test_limit(options);
    test_reserved(&two);
    test_too_large(options);
    test_scattered(options);
}

int main(void)
{
    for (const char *const *name = viommu_backend_names(); *name; name++) {
        test_backend(&(ShadowBenchOptions){.backend = *name, .group = -1});
        test_backend(
            &(ShadowBenchOptions){.backend = *name, .group = -1, .second_stage = TRUE});
    }
    return tap_done();
}
