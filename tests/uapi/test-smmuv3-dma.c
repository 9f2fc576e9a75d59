/* SPDX-License-Identifier: MIT */
/*
 * What a device behind a nested stream table entry does: where its DMA lands through
 * stage 1 and stage 2, what stays as it was until it is invalidated, and which events
 * come up, byte by byte.
 *
 * The same points on the emulator and, with --device, on the kernel; what no SMMUv3 that
 * QEMU emulates has is skipped there.
 */
#include <viommu-emulator/inspect.h>

#include "vsmmu.h"

#include "tap.h"

#include <errno.h>
#include <string.h>

/* IOVAs that one level 3 table covers, and one beyond. */
enum { IOVA = 0x5000, READ_ONLY = 0x6000, NOWHERE = 0x7000, FILL = 0x9000 };
enum { TLBI_ALL = 0x30, TLBI_ASID = 0x11, TLBI_VA = 0x12, TLBI_VAA = 0x13, CFGI_CD = 5 };

/* Event types (7.3) */
enum {
    C_BAD_CD = 0x0a,
    F_TRANSLATION = 0x10,
    F_ADDR_SIZE = 0x11,
    F_ACCESS = 0x12,
    F_PERMISSION = 0x13
};
#define EVENT_READ (1ull << 35)
#define EVENT_IN   (2ull << 40)

typedef struct {
    Vsmmu v;
    GuestDomain domain;
    guint64 pages[2]; /* guest-physical; IOVA is mapped to the first */
    guint32 nested;
    guint32 queue;
    int events;
} Stage;

static void stage_init(Stage *s, Uapi *u, guint32 depth)
{
    *s = (Stage){.events = -1};
    vsmmu_init(&s->v, u);
    guest_domain_init(&s->domain, &u->ram, VSMMU_ASID);
    for (guint i = 0; i < G_N_ELEMENTS(s->pages); i++)
        s->pages[i] = guest_memory_alloc(&u->ram);
    guest_domain_map(&s->domain, IOVA, s->pages[0], TRUE);
    guest_domain_map(&s->domain, READ_ONLY, s->pages[0], FALSE);
    guest_domain_map(&s->domain, FILL, u->fill, FALSE);
    s->nested = vsmmu_nested_of(u, &s->v, 0, &s->domain);
    tap_is(uapi_veventq(u, s->v.viommu, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, depth, &s->queue,
                        &s->events),
           0, "a vEVENTQ");
    tap_is(uapi_attach_to(u, 0, s->nested), 0, "attach to stage 1");
    uapi_prime(u, 0, FILL);
}

static void stage_clear(Stage *s, Uapi *u)
{
    uapi_detach(u, 0);
    if (u->n_devices > 1)
        uapi_detach(u, 1);
    uapi_close(u, s->events);
}

static int tlbi(Uapi *u, const Stage *s, guint op, guint asid, guint64 word1)
{
    return vsmmu_command(u, s->v.viommu, op | (guint64)asid << 48, word1);
}

/* Where the page descriptor of an IOVA below 2 MiB stands. */
static guint64 *descriptor(Uapi *u, const Stage *s, guint64 iova)
{
    guint64 table = s->domain.root;

    for (guint level = 1; level < 3; level++)
        table =
            GUINT64_FROM_LE(*(guint64 *)guest_memory_at(&u->ram, table)) & 0xfffffffff000;
    return (guint64 *)guest_memory_at(&u->ram, table) + (iova >> 12);
}

/* --- bytes ------------------------------------------------------------------------------
 */

static void test_bytes(Uapi *u)
{
    guint32 bypass = 0, abort_id = 0;
    Stage s;

    stage_init(&s, u, 64);
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "DMA lands where stage 1 says");
    tap_ok(!uapi_stores(u, 0, READ_ONLY, s.pages[0]), "... not in what is read-only");
    tap_ok(!uapi_stores(u, 0, NOWHERE, s.pages[0]), "... not in what is not mapped");
    tap_ok(!uapi_stores(u, 0, s.pages[0], s.pages[0]), "... not by guest-physical address");
    guest_memory_fill(&u->ram, s.pages[0], 0x77, 64);
    tap_ok(uapi_loads(u, 0, READ_ONLY, s.pages[0], IOVA, s.pages[0]),
           "what is read-only is read");
    uapi_prime(u, 0, FILL);
    vsmmu_nested(u, 0, s.v.viommu, 1 | 4 << 1, 0, &bypass);
    vsmmu_nested(u, 0, s.v.viommu, 1, 0, &abort_id);
    tap_is(uapi_attach_to(u, 0, bypass), 0, "replace by bypass");
    tap_ok(uapi_stores(u, 0, s.pages[0], s.pages[0]), "DMA goes by guest-physical address");
    tap_ok(!uapi_stores(u, 0, IOVA, s.pages[0]), "... and not by stage 1");
    tap_is(uapi_attach_to(u, 0, abort_id), 0, "replace by abort");
    tap_ok(!uapi_stores(u, 0, s.pages[0], s.pages[0]), "DMA goes nowhere");
    tap_is(uapi_attach_to(u, 0, s.nested), 0, "replace by stage 1");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "DMA lands where stage 1 says");
    tap_is(uapi_attach_to(u, 0, s.v.parent), 0, "replace by the parent");
    tap_ok(uapi_stores(u, 0, s.pages[0], s.pages[0]), "DMA goes by guest-physical address");
    tap_is(uapi_detach(u, 0), 0, "detach");
    tap_ok(!uapi_stores(u, 0, s.pages[0], s.pages[0]), "DMA goes nowhere");
    stage_clear(&s, u);
}

static void test_shared(Uapi *u)
{
    Stage s;

    if (u->n_devices < 2)
        return;
    stage_init(&s, u, 64);
    tap_is(uapi_attach_to(u, 1, s.nested), 0, "a second device on the same stage 1");
    uapi_prime(u, 1, FILL);
    tap_ok(uapi_stores(u, 1, IOVA, s.pages[0]), "... lands there, too");
    tap_is(uapi_detach(u, 0), 0, "the first leaves");
    tap_ok(uapi_stores(u, 1, IOVA, s.pages[0]), "... the second goes on");
    tap_ok(!uapi_stores(u, 0, IOVA, s.pages[0]), "... the first does not");
    tap_is(uapi_destroy(u, s.nested), -EBUSY, "... and the HWPT stays");
    stage_clear(&s, u);
}

/* --- stale and fresh --------------------------------------------------------------------
 */

/* Moves IOVA to the other page: DMA must still land in the first. */
static void make_stale(Uapi *u, Stage *s)
{
    guint64 page = s->pages[0];

    uapi_store(u, 0, IOVA);
    s->pages[0] = s->pages[1];
    s->pages[1] = page;
    guest_domain_map(&s->domain, IOVA, s->pages[0], TRUE);
    tap_ok(uapi_stores(u, 0, IOVA, s->pages[1]), "a changed entry: stale");
}

static void test_tlbi(Uapi *u)
{
    Stage s;
    gboolean ril;

    stage_init(&s, u, 64);
    ril = !!(s.v.idr[3] & 1 << 10);
    make_stale(u, &s);
    tap_is(tlbi(u, &s, TLBI_VA, VSMMU_ASID + 1, IOVA), 0, "TLBI_NH_VA of another ASID");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[1]), "... stale");
    tap_is(tlbi(u, &s, TLBI_VA, VSMMU_ASID, IOVA + 0x1000), 0, "... of another page");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[1]), "... stale");
    tap_is(tlbi(u, &s, TLBI_ASID, VSMMU_ASID + 1, 0), 0, "TLBI_NH_ASID of another ASID");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[1]), "... stale");
    tap_is(tlbi(u, &s, TLBI_VA, VSMMU_ASID, IOVA | 1), 0, "TLBI_NH_VA, leaf");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... fresh");
    make_stale(u, &s);
    tap_is(tlbi(u, &s, TLBI_VA, VSMMU_ASID, IOVA), 0, "TLBI_NH_VA");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... fresh");
    make_stale(u, &s);
    tap_is(tlbi(u, &s, TLBI_VAA, 0, IOVA), 0, "TLBI_NH_VAA");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... fresh");
    make_stale(u, &s);
    tap_is(tlbi(u, &s, TLBI_ASID, VSMMU_ASID, 0), 0, "TLBI_NH_ASID");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... fresh");
    make_stale(u, &s);
    tap_is(tlbi(u, &s, TLBI_ALL, 0, 0), 0, "TLBI_NSNH_ALL");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... fresh");
    make_stale(u, &s);
    if (ril) {
        /* NUM 7: eight pages of TG 4 KiB from 0, level 3 leaves */
        tap_is(tlbi(u, &s, TLBI_VA | 7 << 12, VSMMU_ASID, 1 << 10 | 3 << 8 | 1), 0,
               "TLBI_NH_VA of a range");
        tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... fresh");
    } else {
        tap_skip("no RIL", "TLBI_NH_VA of a range");
        tap_skip("no RIL", "... fresh");
    }
    stage_clear(&s, u);
}

static void test_cfgi(Uapi *u)
{
    guint64 sid = (guint64)VSMMU_SID << 32;
    GuestDomain other;
    Stage s;

    stage_init(&s, u, 64);
    uapi_store(u, 0, IOVA);
    guest_domain_init(&other, &u->ram, VSMMU_ASID);
    guest_domain_map(&other, IOVA, s.pages[1], TRUE);
    guest_domain_set_root(&s.domain, other.root);
    tap_is(tlbi(u, &s, TLBI_ASID, VSMMU_ASID, 0), 0, "a changed CD, TLBI_NH_ASID");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... stale");
    tap_is(vsmmu_command(u, s.v.viommu, CFGI_CD | (sid + (1ull << 32)), 1),
           u->n_devices > 1 ? 0 : -EIO, "CFGI_CD of the other device");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... stale");
    tap_is(vsmmu_command(u, s.v.viommu, CFGI_CD | sid, 1), 0, "CFGI_CD");
    tap_is(tlbi(u, &s, TLBI_ASID, VSMMU_ASID, 0), 0, "... and TLBI_NH_ASID");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[1]), "... fresh");
    stage_clear(&s, u);
}

static void test_stage2(Uapi *u)
{
    guint64 iova = UAPI_RAM_BASE + UAPI_RAM_SIZE;
    Stage s;

    stage_init(&s, u, 64);
    guest_domain_map(&s.domain, NOWHERE, iova, TRUE);
    tap_ok(!uapi_stores(u, 0, NOWHERE, s.pages[0]), "an IPA that stage 2 has not");
    tap_is(uapi_map_at(u, u->ioas, guest_memory_at(&u->ram, s.pages[0]), 4096, iova), 0,
           "map it in the IOAS");
    tap_ok(uapi_stores(u, 0, NOWHERE, s.pages[0]), "... lands there");
    tap_is(uapi_unmap_at(u, u->ioas, iova, 4096), 0, "unmap it");
    tap_ok(!uapi_stores(u, 0, NOWHERE, s.pages[0]), "... lands no more");
    stage_clear(&s, u);
}

/* --- events -----------------------------------------------------------------------------
 */

typedef struct {
    struct iommufd_vevent_header header;
    struct iommu_vevent_arm_smmuv3 event;
} Record;

static void check_event(Uapi *u, const Stage *s, guint type, guint64 word0, guint64 word1,
                        guint64 address, const char *what)
{
    Record record = {0};
    gssize n = vsmmu_events(u, s->events, &record, sizeof record, TRUE);
    const guint64 want[4] = {type | word0, word1, address, 0};

    tap_is(n, sizeof record, "%s: an event", what);
    for (guint i = 0; i < 4; i++)
        tap_is((gint64)GUINT64_FROM_LE(record.event.evt[i]), (gint64)want[i], "... word %u",
               i);
}

static void test_events(Uapi *u)
{
    const guint64 sid = (guint64)VSMMU_SID << 32;
    guint64 *at, old;
    Stage s;

    stage_init(&s, u, 64);
    uapi_poke(u, 0, NOWHERE);
    check_event(u, &s, F_TRANSLATION, sid, EVENT_IN, NOWHERE, "not mapped, write");
    uapi_peek(u, 0, NOWHERE);
    check_event(u, &s, F_TRANSLATION, sid, EVENT_IN | EVENT_READ, NOWHERE,
                "not mapped, read");
    uapi_prime(u, 0, FILL);
    uapi_poke(u, 0, READ_ONLY);
    check_event(u, &s, F_PERMISSION, sid, EVENT_IN, READ_ONLY, "read-only, write");
    at = descriptor(u, &s, IOVA);
    old = *at;
    *at = old & ~GUINT64_TO_LE(1 << 10);
    tap_is(tlbi(u, &s, TLBI_ALL, 0, 0), 0, "no access flag");
    uapi_poke(u, 0, IOVA);
    check_event(u, &s, F_ACCESS, sid, EVENT_IN, IOVA, "no access flag, write");
    *at = old | GUINT64_TO_LE(1ull << 41);
    tap_is(tlbi(u, &s, TLBI_ALL, 0, 0), 0, "an address too large");
    uapi_poke(u, 0, IOVA);
    check_event(u, &s, F_ADDR_SIZE, sid, EVENT_IN, IOVA, "an address too large, write");
    *at = old;
    tap_is(tlbi(u, &s, TLBI_ALL, 0, 0), 0, "the entry as it was");
    tap_ok(uapi_stores(u, 0, IOVA, s.pages[0]), "... lands");
    *(guint64 *)guest_memory_at(&u->ram, s.domain.cd) &= ~GUINT64_TO_LE(1ull << 31);
    tap_is(vsmmu_command(u, s.v.viommu, CFGI_CD | sid, 1), 0, "an invalid CD");
    uapi_poke(u, 0, IOVA);
    check_event(u, &s, C_BAD_CD, sid, 0, 0, "an invalid CD");
    stage_clear(&s, u);
}

/* What makes no event is followed by what makes one: the only one there is. */
static void test_no_events(Uapi *u)
{
    const guint64 sid = (guint64)VSMMU_SID << 32;
    guint32 abort_id = 0;
    Stage s;

    stage_init(&s, u, 64);
    vsmmu_nested(u, 0, s.v.viommu, 1, 0, &abort_id);
    guest_domain_map(&s.domain, IOVA + 0x10000, UAPI_RAM_BASE + UAPI_RAM_SIZE, TRUE);
    uapi_poke(u, 0, IOVA + 0x10000);
    uapi_attach_to(u, 0, abort_id);
    uapi_poke(u, 0, IOVA);
    uapi_attach_to(u, 0, s.v.parent);
    uapi_poke(u, 0, 0x2000);
    uapi_attach_to(u, 0, s.nested);
    uapi_poke(u, 0, NOWHERE);
    check_event(u, &s, F_TRANSLATION, sid, EVENT_IN, NOWHERE,
                "none from stage 2, abort or the parent");
    if (u->n_devices > 1) {
        uapi_attach_to(u, 1, s.nested);
        uapi_poke(u, 1, NOWHERE);
        check_event(u, &s, F_TRANSLATION, sid + (1ull << 32), EVENT_IN, NOWHERE,
                    "by the second device");
    }
    stage_clear(&s, u);
}

/* Read on in a queue; TRUE when the reading ended with the loss of events. */
static gboolean read_until_lost(Uapi *u, int fd, guint *sequence, guint *n_events)
{
    guint8 bytes[3 * sizeof(Record)];
    struct iommufd_vevent_header header = {0};
    gssize n = vsmmu_events(u, fd, bytes, sizeof bytes, TRUE);
    gssize at = 0;

    while (at < n) {
        memcpy(&header, bytes + at, sizeof header);
        if (header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS) {
            tap_is(n - at, sizeof header, "a loss is a header, and the last");
            tap_ok(header.sequence >= *sequence, "... with the number of what was lost");
            *sequence = header.sequence + 1;
            return TRUE;
        }
        *n_events += header.sequence == *sequence;
        *sequence = header.sequence + 1;
        at += sizeof(Record);
    }
    return FALSE;
}

/* An interrupt may be slower than DMA: whether a third event found no room can vary. */
static void test_lost_events(Uapi *u)
{
    enum { MAX_ROUNDS = 1000 };
    guint sequence = 0, n_events = 0, rounds = 0;
    Record records[2] = {0};
    gssize n;
    Stage s;

    stage_init(&s, u, 2);
    do {
        for (guint i = 0; i < 3; i++)
            uapi_poke(u, 0, NOWHERE + 0x8000 * i);
    } while (!read_until_lost(u, s.events, &sequence, &n_events) && ++rounds < MAX_ROUNDS);
    tap_ok(rounds < MAX_ROUNDS, "a queue of two loses the third event");
    tap_ok(n_events >= 2, "... after two in sequence");
    uapi_poke(u, 0, NOWHERE);
    n = vsmmu_events(u, s.events, records, sizeof records[0], TRUE);
    tap_is(n, sizeof records[0], "the next event");
    tap_is(records[0].header.sequence, sequence, "... has the number after");
    uapi_poke(u, 0, NOWHERE);
    n = vsmmu_events(u, s.events, records, sizeof records[0] - 1, TRUE);
    tap_is(n, -EINVAL, "no room for an event");
    n = vsmmu_events(u, s.events, records, sizeof records[0], TRUE);
    tap_is(n, sizeof records[0], "... it waits for more room");
    tap_is(records[0].header.sequence, sequence + 1, "... with its number");
    stage_clear(&s, u);
}

/* --- granules and blocks ----------------------------------------------------------------
 */

enum { PAGE_BITS = 1 << 6 | 3 << 8 | 1 << 10 | 1 << 11 }; /* AP[1], SH, AF, nG */

static void put(Uapi *u, guint64 table, guint64 index, guint64 value)
{
    ((guint64 *)guest_memory_at(&u->ram, table))[index] = GUINT64_TO_LE(value);
}

/* A context of one granule: every address below 2^39 by the tables given here. */
static guint32 attach_granule(Uapi *u, const Vsmmu *v, guint tg, guint64 root)
{
    GuestDomain domain;
    guint32 id;
    guint64 *cd;

    guest_domain_init(&domain, &u->ram, VSMMU_ASID + 3);
    guest_domain_set_root(&domain, root);
    cd = guest_memory_at(&u->ram, domain.cd);
    *cd |= GUINT64_TO_LE((guint64)tg << 6);
    id = vsmmu_nested_of(u, v, 0, &domain);
    tap_is(uapi_attach_to(u, 0, id), 0, "attach");
    return id;
}

static void test_granules(Uapi *u)
{
    /* Tables of 64 KiB and their pages, at the end of memory. */
    const guint64 tables = UAPI_RAM_BASE + UAPI_RAM_SIZE - 0x100000;
    const guint64 page = UAPI_RAM_BASE + UAPI_RAM_SIZE - 0x80000;
    const guint64 huge = UAPI_RAM_BASE + 0x400000;
    const char *unreliable = "QEMU finds 64 KiB tables in one boot and not in the next";
    Vsmmu v;

    vsmmu_init(&v, u);
    uapi_attach_to(u, 0, v.parent);
    uapi_prime(u, 0, u->fill);
    if (u->target.emulator) {
        put(u, tables, 0, (tables + 0x10000) | 3);
        put(u, tables + 0x10000, 1, page | PAGE_BITS | 3);
        attach_granule(u, &v, 1, tables);
        tap_ok(uapi_stores(u, 0, 0x1f000, page + 0xf000), "a page of 64 KiB");
        tap_ok(!uapi_stores(u, 0, 0x2f000, page + 0xf000), "... and no more");
    } else {
        tap_skip(unreliable, "attach");
        tap_skip(unreliable, "a page of 64 KiB");
        tap_skip(unreliable, "... and no more");
    }
    if (v.idr[5] & 1 << 5) {
        put(u, tables + 0x20000, 0, (tables + 0x24000) | 3);
        put(u, tables + 0x24000, 0, (tables + 0x28000) | 3);
        put(u, tables + 0x28000, 1, page | PAGE_BITS | 3);
        attach_granule(u, &v, 2, tables + 0x20000);
        tap_is(vsmmu_command(u, v.viommu, TLBI_ALL, 0), 0, "TLBI");
        tap_ok(uapi_stores(u, 0, 0x7000, page + 0x3000), "a page of 16 KiB");
        tap_ok(!uapi_stores(u, 0, 0xb000, page + 0x3000), "... and no more");
    } else {
        tap_skip("no 16 KiB granule", "16 KiB");
    }
    put(u, tables + 0x30000, 0, (tables + 0x31000) | 3);
    put(u, tables + 0x31000, 2, huge | PAGE_BITS | 1);
    attach_granule(u, &v, 0, tables + 0x30000);
    tap_is(vsmmu_command(u, v.viommu, TLBI_ALL, 0), 0, "TLBI");
    tap_ok(uapi_stores(u, 0, 0x5ff000, huge + 0x1ff000), "a block of 2 MiB");
    tap_ok(!uapi_stores(u, 0, 0x600000, huge), "... and no more");
    put(u, tables + 0x31000, 2, 0);
    tap_is(vsmmu_command(u, v.viommu, TLBI_VA | (guint64)(VSMMU_ASID + 3) << 48, 0x5ff000),
           0, "TLBI_NH_VA of its last page");
    tap_ok(!uapi_stores(u, 0, 0x5ff000, huge + 0x1ff000), "... drops the block");
    uapi_detach(u, 0);
}

/* What QEMU's SMMUv3 lacks: many contexts in an STE, and addresses that edu cannot make. */
static void test_substreams(Uapi *u)
{
    guint64 table, *ste0;
    guint64 ste[8];
    guint32 id = 0;
    guint8 byte = 0x33;
    GuestDomain domain;
    Vsmmu v;

    if (!u->target.emulator) {
        tap_skip("QEMU's SMMUv3 has one CD an STE", "S1CDMax, linear");
        tap_skip("QEMU's SMMUv3 has one CD an STE", "S1CDMax, two levels");
        tap_skip("QEMU's SMMUv3 has one CD an STE", "S1DSS, bypass");
        tap_skip("QEMU's SMMUv3 has one CD an STE", "S1DSS, abort");
        tap_skip("edu makes addresses of 28 bits", "TTB1");
        return;
    }
    vsmmu_init(&v, u);
    guest_domain_init(&domain, &u->ram, VSMMU_ASID);
    guest_domain_map(&domain, IOVA, u->spare, TRUE);
    uapi_attach_to(u, 0, v.parent);
    uapi_prime(u, 0, u->fill);
    guest_ste_s1((guint8 *)ste, &domain);
    ste0 = &ste[0];
    vsmmu_nested(u, 0, v.viommu, *ste0 | 4ull << 59, ste[1] | 2, &id);
    uapi_attach_to(u, 0, id);
    tap_ok(uapi_stores(u, 0, IOVA, u->spare), "S1CDMax, linear");
    table = guest_memory_alloc(&u->ram);
    put(u, table, 0, domain.cd | 1);
    vsmmu_nested(u, 0, v.viommu, table | 1 | 5 << 1 | 1 << 4 | 8ull << 59, 2, &id);
    uapi_attach_to(u, 0, id);
    tap_ok(uapi_stores(u, 0, IOVA, u->spare), "S1CDMax, two levels");
    vsmmu_nested(u, 0, v.viommu, *ste0 | 4ull << 59, 1, &id);
    uapi_attach_to(u, 0, id);
    tap_ok(uapi_stores(u, 0, u->spare, u->spare), "S1DSS, bypass");
    vsmmu_nested(u, 0, v.viommu, *ste0 | 4ull << 59, 0, &id);
    uapi_attach_to(u, 0, id);
    tap_ok(!uapi_stores(u, 0, IOVA, u->spare), "S1DSS, abort");
    {
        guint64 *cd = guest_memory_at(&u->ram, domain.cd);

        /* T1SZ 25, TG1 4 KiB, and the tables of the lower half for both */
        *cd = (*cd & ~(1ull << 30)) | 25 << 16 | 2 << 22;
        cd[2] = domain.root;
        vsmmu_nested(u, 0, v.viommu, *ste0, 0, &id);
        uapi_attach_to(u, 0, id);
        tap_is(viommu_emulator_dma(u->target.emulator, u->target.bdfs[0],
                                   0xffffff8000000000 | IOVA, &byte, 1, TRUE),
               0, "TTB1");
    }
    uapi_detach(u, 0);
}

int main(int argc, char **argv)
{
    static const UapiTest tests[] = {
        test_bytes,  test_shared,    test_tlbi,        test_cfgi,     test_stage2,
        test_events, test_no_events, test_lost_events, test_granules, test_substreams,
    };

    return uapi_main(argc, argv, IOMMU_HW_INFO_TYPE_ARM_SMMUV3, tests, G_N_ELEMENTS(tests));
}
