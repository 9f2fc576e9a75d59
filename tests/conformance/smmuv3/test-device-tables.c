/* SPDX-License-Identifier: MIT */
/*
 * The whole device: stream tables (3.3, 5.1, 5.2). What each entry means for a host
 * device's DMA and for an emulated endpoint, through linear and two-level tables, good and
 * bad, and that all of it is read once. A point is a rule.
 */
#include "tap.h"
#include "vmachine.h"

enum { ABORT = 0, BYPASS = 4, S2 = 6, NESTED = 7 };

/* The same entry for a host device and for an endpoint. */
static void install(VMachine *vm, guint64 word0, guint64 word1)
{
    vm_install_words(vm, VM_SID, word0, word1);
    vm_install_words(vm, VM_ENDPOINT, word0, word1);
    vm_drain_events(vm);
}

static gboolean both_bypass(VMachine *vm)
{
    return vm_is_bypassed(vm, 0) && vm_reads(vm, VM_ENDPOINT, vm->page) == vm->page;
}

static gboolean both_translate(VMachine *vm)
{
    return vm_reaches(vm, 0, VM_IOVA, vm->page) && vm_is_refused(vm, 0, VM_IOVA + 0x1000) &&
           vm_reads(vm, VM_ENDPOINT, VM_IOVA + 4) == vm->page + 4;
}

static gboolean both_abort(VMachine *vm)
{
    return vm_is_blocked(vm, 0) && vm_reads(vm, VM_ENDPOINT, vm->page) == VM_REFUSED &&
           vm_reads(vm, VM_ENDPOINT, VM_IOVA) == VM_REFUSED;
}

/* Abort with this event for the endpoint. */
static gboolean both_are_bad(VMachine *vm, guint event)
{
    gboolean ok = vm_is_blocked(vm, 0);

    vm_drain_events(vm);
    ok &= vm_reads(vm, VM_ENDPOINT, VM_IOVA) == VM_REFUSED;
    return vm_event_id(vm) == event && ok;
}

static void test_configs(VMachine *vm, const char *table)
{
    guint64 s1[2];

    vm_s1_words(&vm->domain, s1);
    install(vm, 0, 0);
    tap_ok(both_are_bad(vm, VM_C_BAD_STE), "%s: V=0 is C_BAD_STE", table);
    install(vm, 1 | BYPASS << 1, 0);
    tap_ok(both_bypass(vm), "%s: Config bypass lets through", table);
    install(vm, 1 | ABORT << 1, 0);
    tap_ok(both_abort(vm), "%s: Config abort aborts", table);
    tap_is(vm_event_id(vm), 0, "%s: ... without an event", table);
    install(vm, 1 | 3 << 1, 0);
    tap_ok(both_abort(vm), "%s: Config 0b011 aborts too", table);
    install(vm, s1[0], s1[1]);
    tap_ok(both_translate(vm), "%s: Config stage 1 translates", table);
    install(vm, 1 | S2 << 1, 0);
    tap_ok(both_are_bad(vm, VM_C_BAD_STE), "%s: stage 2 is illegal here", table);
    install(vm, s1[0] | NESTED << 1, s1[1]);
    tap_ok(both_are_bad(vm, VM_C_BAD_STE), "%s: ... so is nested", table);
    install(vm, s1[0], s1[1]);
    tap_ok(both_translate(vm), "%s: stage 1 once more", table);
    install(vm, s1[0] & ~1ull, s1[1]);
    tap_ok(both_are_bad(vm, VM_C_BAD_STE), "%s: an entry made invalid aborts", table);
}

static void test_reserved(VMachine *vm)
{
    guint64 s1[2];
    gboolean substreams = vm_get(vm, VM_IDR1) >> 6 & 0x1f;

    vm_s1_words(&vm->domain, s1);
    install(vm, s1[0] | 31ull << 59, s1[1]);
    tap_ok(both_are_bad(vm, VM_C_BAD_STE), "S1CDMax beyond SSIDSIZE is C_BAD_STE");
    if (!substreams) {
        tap_skip("no substreams", "S1Fmt 3 is C_BAD_STE");
        tap_skip("no substreams", "S1DSS 3 is C_BAD_STE");
    } else {
        install(vm, s1[0] | 3ull << 4 | 1ull << 59, s1[1] | 2);
        tap_ok(both_are_bad(vm, VM_C_BAD_STE), "S1Fmt 3 is C_BAD_STE");
        install(vm, s1[0] | 1ull << 59, s1[1] | 3);
        tap_ok(both_are_bad(vm, VM_C_BAD_STE), "S1DSS 3 is C_BAD_STE");
    }
    install(vm, s1[0] | 3ull << 4, s1[1] | 3);
    tap_ok(both_translate(vm), "... where there is one CD, both are ignored");
    install(vm, s1[0], s1[1] | 1ull << 27);
    tap_ok(both_translate(vm), "S1STALLD is taken where nothing stalls");
    install(vm, s1[0], s1[1] | 1ull << 44);
    tap_ok(both_translate(vm), "SHCFG and the like are no one's business");
}

/* The next event of an endpoint; those of the host device may come late. */
static guint endpoint_event(VMachine *vm)
{
    guint64 event[4];

    while (vm_next_event(vm, event))
        if (event[0] >> 32 != VM_SID)
            return event[0] & 0xff;
    return 0;
}

/* What is not there. */
static void test_range(VMachine *vm)
{
    guint64 event[4] = {0};

    vm_drain_events(vm);
    tap_ok(vm_reads(vm, 1u << vm->table_bits, VM_IOVA) == VM_REFUSED,
           "a StreamID beyond LOG2SIZE is refused");
    while (vm_next_event(vm, event) && event[0] >> 32 == VM_SID)
        ;
    tap_ok((event[0] & 0xff) == VM_C_BAD_STREAMID, "... as C_BAD_STREAMID");
    tap_is(event[0] >> 32, 1u << vm->table_bits, "... with that StreamID");
    vm_ste_address(vm, (1u << vm->table_bits) - 1); /* with two levels, there is one now */
    tap_ok(vm_reads(vm, (1u << vm->table_bits) - 1, VM_IOVA) == VM_REFUSED &&
               endpoint_event(vm) == VM_C_BAD_STE,
           "the last one within has an entry");
    vm_reads(vm, 0x10000, VM_IOVA);
    tap_is(endpoint_event(vm), VM_C_BAD_STREAMID, "a StreamID beyond SIDSIZE too");
    vm_set(vm, VM_CR0, VM_CR0_EVENTQEN | VM_CR0_CMDQEN);
    vm_set(vm, VM_CR2, VM_CR2_PTM);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    vm_reads(vm, 1u << vm->table_bits, VM_IOVA);
    tap_is(endpoint_event(vm), 0, "without CR2.RECINVSID there is no such event");
    vm_start(vm, vm->table, VM_CR0_ALL);
}

/* The table is cut so short that a host device's stream is out of it. */
static void test_short_table(VMachine *vm)
{
    guint bits = vm->table_bits;
    guint64 s1[2];

    vm_s1_words(&vm->domain, s1);
    install(vm, s1[0], s1[1]);
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN | VM_CR0_EVENTQEN);
    vm_set_table(vm, VM_LINEAR, 3, vm->strtab);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    tap_ok(both_are_bad(vm, VM_C_BAD_STREAMID), "a host device beyond the table aborts");
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN | VM_CR0_EVENTQEN);
    vm_set_table(vm, VM_LINEAR, bits, vm->strtab);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    tap_ok(both_translate(vm), "... and within it has its entry without a command");
}

static void test_unreadable(VMachine *vm)
{
    guint64 table = vm->strtab, event[4];

    vm_install_s1(vm, VM_SID, &vm->domain);
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN | VM_CR0_EVENTQEN);
    vm_set_table(vm, VM_LINEAR, vm->table_bits, VM_NOWHERE);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    tap_ok(vm_is_blocked(vm, 0), "a table that is no memory: a host device aborts");
    vm_drain_events(vm);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == VM_REFUSED && vm_next_event(vm, event) &&
               (event[0] & 0xff) == VM_F_STE_FETCH,
           "... an endpoint too, by F_STE_FETCH");
    tap_is(event[3], VM_NOWHERE + 64ull * VM_ENDPOINT, "... with the entry's address");
    vm_set(vm, VM_CR0, VM_CR0_CMDQEN | VM_CR0_EVENTQEN);
    vm_set_table(vm, VM_LINEAR, vm->table_bits, table);
    vm_set(vm, VM_CR0, VM_CR0_ALL);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "a table that is one serves again");
    vm->hole = vm_ste_address(vm, VM_SID) & ~0xfffull;
    vm_cfgi_ste(vm, VM_SID);
    tap_ok(vm_is_blocked(vm, 0), "an entry that becomes unreadable blocks at its CFGI_STE");
    vm->hole = 0;
    vm_cfgi_ste(vm, VM_SID);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... and serves again after another");
}

/* Level 1 descriptors (5.1). */
static void test_level1(VMachine *vm)
{
    guint64 at = vm->strtab + 8ull * (VM_SID >> 6);
    guint64 at_endpoint = vm->strtab + 8ull * (VM_ENDPOINT >> 6);
    guint64 level1, level1_endpoint, s1[2];
    const struct {
        const char *name;
        guint64 descriptor;
        guint event;
    } bad[] = {
        {"Span 0", 0, VM_C_BAD_STREAMID},
        {"a reserved Span", 12, VM_C_BAD_STREAMID},
        {"a Span beyond the split", 8, VM_C_BAD_STREAMID},
        {"a Span that ends before the stream", 0, VM_C_BAD_STREAMID},
        {"a second level that is no memory", VM_NOWHERE | 7, VM_F_STE_FETCH},
    };

    vm_s1_words(&vm->domain, s1);
    install(vm, s1[0], s1[1]);
    level1 = vm_load(vm, at);
    level1_endpoint = vm_load(vm, at_endpoint);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        guint64 descriptor = bad[i].descriptor;

        vm_store(vm, at,
                 descriptor < 32 && descriptor ? level1 - 7 + descriptor : descriptor);
        vm_store(vm, at_endpoint,
                 descriptor < 32 && descriptor ? level1_endpoint - 7 + descriptor
                                               : descriptor);
        if (i == 3) { /* VM_SID is number 0x20 in its table, VM_ENDPOINT number 0 */
            vm_store(vm, at, level1 - 7 + 6);
            vm_store(vm, at_endpoint, 0);
        }
        vm_queue(vm, VM_CFGI_STE | (guint64)VM_SID << 32, 0);
        vm_cfgi_ste(vm, VM_ENDPOINT);
        tap_ok(both_are_bad(vm, bad[i].event), "level 1: %s aborts, by event 0x%02x",
               bad[i].name, bad[i].event);
        vm_store(vm, at, level1);
        vm_store(vm, at_endpoint, level1_endpoint);
        vm_queue(vm, VM_CFGI_STE | (guint64)VM_SID << 32, 0);
        vm_cfgi_ste(vm, VM_ENDPOINT);
        tap_ok(both_translate(vm), "... and put right it serves again");
    }
    vm_store(vm, at, 0);
    vm_cfgi_ste(vm, VM_SID);
    tap_ok(vm_is_blocked(vm, 0), "level 1: unmapped, its devices leave their old tables");
    vm_store(vm, at, level1);
    vm_cfgi_ste(vm, VM_SID);
}

typedef struct {
    guint64 at;
    guint n;
} ReadTwice;

/* The guest rewrites the entry as soon as it was read: to bypass. */
static void rewrite(VMachine *vm, guint64 gpa, G_GNUC_UNUSED void *data, gsize size,
                    void *user_data)
{
    ReadTwice *twice = user_data;

    if (gpa > twice->at + 63 || gpa + size <= twice->at)
        return;
    twice->n++;
    vm_store(vm, twice->at, 1 | BYPASS << 1);
}

static void test_once(VMachine *vm)
{
    ReadTwice twice = {.at = vm_ste_address(vm, VM_SID)};
    guint64 s1[2];

    vm_s1_words(&vm->domain, s1);
    vm_put_words(vm, VM_SID, s1[0], s1[1]);
    vm->on_read_data = &twice;
    vm->on_read = rewrite;
    vm_cfgi_ste(vm, VM_SID);
    vm->on_read = NULL;
    tap_is(twice.n, 1, "a host device's entry is read once for a CFGI_STE");
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "... and that copy is what counts");
    vm_put_words(vm, VM_ENDPOINT, s1[0], s1[1]);
    vm_cfgi_ste(vm, VM_ENDPOINT);
    twice = (ReadTwice){.at = vm_ste_address(vm, VM_ENDPOINT)};
    vm->on_read = rewrite;
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "an endpoint's entry is read");
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "... and kept");
    vm->on_read = NULL;
    tap_is(twice.n, 1, "... so read once until a CFGI_STE");
    vm_cfgi_ste(vm, VM_ENDPOINT);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == VM_IOVA, "after that it is read again");
    vm_install_s1(vm, VM_SID, &vm->domain);
}

/* Which streams a command is about. */
static void test_reach(VMachine *vm)
{
    guint64 s1[2];

    vm_s1_words(&vm->domain, s1);
    install(vm, 1 | BYPASS << 1, 0);
    tap_ok(both_bypass(vm), "both streams bypass");
    vm_put_words(vm, VM_SID, s1[0], s1[1]);
    vm_put_words(vm, VM_ENDPOINT, s1[0], s1[1]);
    vm_cfgi_ste(vm, VM_SID + 1);
    tap_ok(both_bypass(vm), "CFGI_STE is about its stream only");
    vm_issue(vm, VM_CFGI_STE_RANGE | (guint64)VM_SID << 32, 2);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "CFGI_STE_RANGE is about 2^(Range+1)");
    tap_ok(vm_reads(vm, VM_ENDPOINT, vm->page) == vm->page, "... and no others");
    vm_issue(vm, VM_CFGI_STE_RANGE | (guint64)(VM_ENDPOINT + 9) << 32, 3);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page,
           "... aligned to its size, whatever the StreamID's lower bits");
    install(vm, 1 | BYPASS << 1, 0);
    tap_ok(both_bypass(vm), "both bypass again");
    vm_put_words(vm, VM_SID, s1[0], s1[1]);
    vm_put_words(vm, VM_ENDPOINT, s1[0], s1[1]);
    vm_issue(vm, VM_CFGI_STE_RANGE, 31);
    tap_ok(both_translate(vm), "CFGI_ALL is about all of them");
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine")) {
        vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
        test_configs(&vm, "linear");
        test_reserved(&vm);
        test_range(&vm);
        test_short_table(&vm);
        test_unreadable(&vm);
        test_once(&vm);
        test_reach(&vm);
        vm_clear(&vm);
    }
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "another machine")) {
        vm_start(&vm, VM_TWO_LEVEL, VM_CR0_ALL);
        test_configs(&vm, "two levels");
        test_range(&vm);
        test_level1(&vm);
        test_once(&vm);
        test_reach(&vm);
        vm_clear(&vm);
    }
    target_clear(&target);
    return tap_done();
}
