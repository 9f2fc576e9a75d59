/* SPDX-License-Identifier: MIT */
/*
 * What becomes of an emulated endpoint's transaction, rule by rule: configuration of stream
 * and substream, events, caches and what invalidates them, read sections.
 */

#include "flat-smmu.h"

#include <string.h>

#include "tap.h"

/* --- configuration ----------------------------------------------------------------------
 */

static void test_disabled(void)
{
    simple();
    smmu.regs.cr0 &= ~1u;
    goes(0x123456, R | W, 0x123456, "SMMUEN 0: bypass");
    tap_ok(translation.access == (R | W | X) && !translation.is_msi &&
               translation.length == (1ull << 44) - 0x123456,
           "all is allowed, up to the output size");
    goes_as(999, 5, 0x1000, R, 0x1000, "StreamID and SubstreamID have no part in it");
    fails(1ull << 44, R, 0, "beyond the output size: silence");
    smmu.regs.gbpa = 1u << 20;
    fails(0x123456, R, 0, "GBPA.ABORT: silence");
}

static void test_stream(void)
{
    guint64 ste[2] = {STE_S1(CDS), 0};

    simple();
    fails_as(16, NO_SSID, 0, R, EVENT_C_BAD_STREAMID, "a StreamID out of range");
    tap_is(event[0] >> 32, 16, "the event has the StreamID");
    smmu.regs.cr2 = 0;
    fails_as(16, NO_SSID, 0, R, 0, "and none without RECINVSID");
    smmu.regs.cr2 = 2;
    smmu.regs.strtab_base = NOWHERE & ~0x3full;
    fails(0, R, EVENT_F_STE_FETCH, "a stream table that is not in memory");
    tap_is(event[3], (NOWHERE & ~0x3ffull) + 64 * SID, "FetchAddr is the entry's address");
    smmu.regs.strtab_base = STRTAB;
    fails_as(5, NO_SSID, 0, R, EVENT_C_BAD_STE, "V 0");
    for (guint config = 0; config < 4; config++) {
        put_ste(SID, 1 | config << 1, 0);
        forget_all();
        fails(0, R, 0, "Config 0b0xx: silent abort");
    }
    forget_all();
    put_ste(SID, 1 | 4 << 1, 0);
    goes(0x77000, R | W | X, 0x77000, "Config bypass");
    fails(1ull << 44, W, EVENT_F_ADDR_SIZE, "bypass beyond the output size");
    tap_ok(event[1] == (guint64)CLASS_IN << 40 && event[2] == 1ull << 44,
           "is the input address's fault");
    fails_as(SID, 1, 0x77000, R, EVENT_C_BAD_SUBSTREAMID,
             "bypass with a SubstreamID: there is no stage 1");
    forget_all();
    for (guint config = 6; config < 8; config++) {
        put_ste(SID, 1 | config << 1, 0);
        fails(0, R, EVENT_C_BAD_STE, "Config with stage 2");
    }
    put_ste(SID, ste[0] | CDMAX(21), 0);
    fails(0, R, EVENT_C_BAD_STE, "S1CDMax beyond SSIDSIZE");
    put_ste(SID, ste[0] | 1ull << 45, 0);
    fails(0, R, EVENT_C_BAD_STE, "S1ContextPtr beyond the output size");
    put_ste(SID, STE_S1(NOWHERE), 0);
    fails_as(SID, NO_SSID, 0, R, EVENT_F_CD_FETCH, "a CD that is not in memory");
    tap_is(event[3], NOWHERE, "FetchAddr is the CD's");
    tap_is(event[2], 0, "and there is no InputAddr");
    put_ste(SID, ste[0], 0);
    store(CDS, load(CDS) & ~(1ull << 31));
    fails(0, R, EVENT_C_BAD_CD, "CD.V 0");
    tap_is(event[0], EVENT_C_BAD_CD | (guint64)SID << 32, "without a SubstreamID: SSV 0");
}

/* Substreams 0 to 3 in a linear table, each with a page 0x1000 of its own. */
static void put_substreams(guint64 cds)
{
    for (guint i = 0; i < 4; i++) {
        Space space = new_space(12, 39);

        put(&space, 0x1000, 3, (RAM_BASE + 0x1000 * i) | PAGE | USUAL);
        put_cd(cds + 64 * i,
               (cd_word0(&space) & ~(0xffffull << 48)) | (guint64)(100 + i) << 48,
               space.ttb, 0);
    }
}

static void test_substreams(void)
{
    simple();
    put_substreams(CDS);
    goes(0x1000, R, RAM_BASE, "S1CDMax 0: the one CD");
    fails_as(SID, 0, 0x1000, R, EVENT_C_BAD_SUBSTREAMID, "and no SubstreamID, not even 0");
    tap_is(event[0], EVENT_C_BAD_SUBSTREAMID | (guint64)SID << 32,
           "C_BAD_SUBSTREAMID has no SSV");
    put_ste(SID, STE_S1(CDS) | CDMAX(2), 0);
    forget_all();
    goes_as(SID, 1, 0x1abc, R, RAM_BASE + 0x1abc, "a SubstreamID has its own table");
    goes_as(SID, 3, 0x1000, R, RAM_BASE + 0x3000, "the last one");
    goes_as(SID, 0, 0x1000, R, RAM_BASE, "S1DSS terminate: 0 is one like others");
    fails_as(SID, 4, 0x1000, R, EVENT_C_BAD_SUBSTREAMID, "beyond 2^S1CDMax");
    tap_is(event[0] >> 12 & 0xfffff, 4, "the event has the SubstreamID");
    fails_as(SID, 0x80000001u, 0x1000, R, EVENT_C_BAD_SUBSTREAMID, "far beyond");
    fails(0x1000, R, EVENT_F_STREAM_DISABLED, "S1DSS terminate: none without");
    put_ste(SID, STE_S1(CDS) | CDMAX(2), 1);
    forget_all();
    goes(0x5000, W, 0x5000, "S1DSS bypass: those without pass");
    fails(1ull << 50, W, EVENT_F_ADDR_SIZE, "up to the output size");
    goes_as(SID, 2, 0x1000, R, RAM_BASE + 0x2000, "S1DSS bypass: with is translated");
    put_ste(SID, STE_S1(CDS) | CDMAX(2), 2);
    forget_all();
    goes(0x1000, R, RAM_BASE, "S1DSS substream 0: those without have it");
    fails_as(SID, 0, 0x1000, R, EVENT_F_STREAM_DISABLED, "S1DSS substream 0: none else");
    goes_as(SID, 1, 0x1000, R, RAM_BASE + 0x1000, "S1DSS substream 0: 1 as ever");
    put_ste(SID, STE_S1(CDS) | CDMAX(2), 3);
    forget_all();
    fails(0x1000, R, EVENT_C_BAD_STE, "S1DSS reserved");
    store(CDS + 64, 0);
    put_ste(SID, STE_S1(CDS) | CDMAX(2), 2);
    forget_all();
    fails_as(SID, 1, 0x1000, R, EVENT_C_BAD_CD, "a substream's CD with V 0");
    tap_is(event[0], EVENT_C_BAD_CD | 1ull << 11 | 1ull << 12 | (guint64)SID << 32,
           "the event has the SubstreamID, and SSV");
    smmu.regs.idr[1] &= ~(31u << 6);
    forget_all();
    fails(0x1000, R, EVENT_C_BAD_STE, "no SSIDSIZE, and S1CDMax");
}

static void test_two_levels(void)
{
    simple();
    put_substreams(L2CDS);
    put_ste(SID, STE_S1(L1CDS) | CDMAX(8) | FMT(1), 2);
    store(L1CDS, L2CDS | 1);
    store(L1CDS + 8, L2CDS | 1);
    goes(0x1000, R, RAM_BASE, "two levels of 4 KiB: substream 0");
    goes_as(SID, 3, 0x1000, R, RAM_BASE + 0x3000, "another");
    goes_as(SID, 64 + 2, 0x1000, R, RAM_BASE + 0x2000, "by the second descriptor");
    fails_as(SID, 128, 0x1000, R, EVENT_C_BAD_SUBSTREAMID, "L1CD.V 0");
    store(L1CDS + 16, 1ull << 45 | 1);
    fails_as(SID, 128, 0x1000, R, EVENT_C_BAD_SUBSTREAMID, "L2Ptr beyond the output size");
    store(L1CDS + 16, NOWHERE | 1);
    fails_as(SID, 129, 0x1000, R, EVENT_F_CD_FETCH, "a second level that is not in memory");
    tap_is(event[3], NOWHERE + 64, "FetchAddr is the CD's");
    fails_as(SID, 256, 0x1000, R, EVENT_C_BAD_SUBSTREAMID, "beyond S1CDMax");
    put_ste(SID, STE_S1(NOWHERE) | CDMAX(8) | FMT(1), 2);
    forget_all();
    fails_as(SID, 70, 0x1000, R, EVENT_F_CD_FETCH, "a first level that is not in memory");
    tap_is(event[3], NOWHERE + 8, "FetchAddr is the descriptor's");
    put_ste(SID, STE_S1(L1CDS) | CDMAX(12) | FMT(2), 2);
    store(L1CDS + 8, L2CDS | 0xf000 | 1);
    forget_all();
    goes_as(SID, 1024 + 1, 0x1000, R, RAM_BASE + 0x1000, "two levels of 64 KiB");
    store(L1CDS, 0);
    forget_all();
    fails(0x1000, R, EVENT_C_BAD_SUBSTREAMID, "without one, but L1CD.V 0");
    tap_is(event[0] >> 12 & 0xfffff, 0, "is about substream 0");
    put_ste(SID, STE_S1(L1CDS) | CDMAX(12) | FMT(3), 2);
    forget_all();
    fails(0x1000, R, EVENT_C_BAD_STE, "S1Fmt reserved");
    smmu.regs.idr[0] &= ~(1u << 19);
    put_ste(SID, STE_S1(L1CDS) | CDMAX(12) | FMT(1), 2);
    fails(0x1000, R, EVENT_C_BAD_STE, "two levels without IDR0.CD2L");
}

/* --- events -----------------------------------------------------------------------------
 */

static void test_events(void)
{
    static const struct {
        guint access;
        guint64 word1;
        const char *name;
    } cases[] = {
        {R, 1ull << 35, "a read"},
        {W, 0, "a write"},
        {R | P, 1ull << 35 | 1ull << 33, "privileged"},
        {X, 1ull << 35 | 1ull << 34, "an instruction"},
        {X | P, 1ull << 35 | 1ull << 34 | 1ull << 33, "a privileged instruction"},
        {W | X, 0, "a write is no instruction"},
        {R | W, 0, "a read that may write"},
    };
    Space space = simple();

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        translate(SID, NO_SSID, 0x3456, cases[i].access);
        tap_ok(event[0] == (EVENT_F_TRANSLATION | (guint64)SID << 32) &&
                   event[1] == (cases[i].word1 | (guint64)CLASS_IN << 40) &&
                   event[2] == 0x3456 && event[3] == 0,
               "F_TRANSLATION of %s", cases[i].name);
    }
    fails(0x3456, R | PEEK, 0, "PEEK records nothing");
    fails_as(5, NO_SSID, 0, R | PEEK, 0, "of bad configurations either");
    put(&space, 0x1000, 3, RAM_BASE | PAGE | (USUAL & ~AF));
    put(&space, 0x2000, 3, 1ull << 44 | PAGE | USUAL);
    put(&space, 0x4000, 3, RAM_BASE | PAGE | USUAL | RO);
    put(&space, 0x40000000, 1, NOWHERE | TABLE);
    store(CDS, load(CDS) & ~CD_R);
    forget_all();
    fails(0x3456, R, 0, "CD.R 0: no F_TRANSLATION");
    fails(0x1000, R, 0, "CD.R 0: no F_ACCESS");
    fails(0x2000, R, 0, "CD.R 0: no F_ADDR_SIZE");
    fails(0x4000, W, 0, "CD.R 0: no F_PERMISSION");
    fails(1ull << 60, W, 0, "CD.R 0: nor of addresses out of range");
    fails(0x40000000, R, EVENT_F_WALK_EABT, "CD.R 0: F_WALK_EABT all the same");
    put_substreams(CDS);
    put_ste(SID, STE_S1(CDS) | CDMAX(2), 0);
    forget_all();
    fails_as(SID, 2, 0x3456, R, EVENT_F_TRANSLATION, "a substream's fault");
    tap_is(event[0], EVENT_F_TRANSLATION | 1ull << 11 | 2ull << 12 | (guint64)SID << 32,
           "has SSV and SubstreamID");
}

static void test_doorbell(void)
{
    Space space = simple();

    smmu.config.msi_doorbell = RAM_BASE + 0x40;
    smmu.config.msi_doorbell_size = 0x80;
    put(&space, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    goes(0x1040, W, RAM_BASE + 0x40, "a doorbell, translated");
    tap_ok(translation.is_msi && translation.length == 0x80, "is a message, to its end");
    goes(0x1000, W, RAM_BASE, "before it");
    tap_ok(!translation.is_msi && translation.length == 0x40, "is memory, up to it");
    goes(0x10c0, W, RAM_BASE + 0xc0, "after it");
    tap_ok(!translation.is_msi && translation.length == 0xf40, "is memory again");
    smmu.regs.cr0 &= ~1u;
    goes(RAM_BASE + 0x44, W, RAM_BASE + 0x44, "in bypass");
    tap_ok(translation.is_msi && translation.length == 0x7c, "it is one too");
    smmu.config.msi_doorbell_size = 0;
    goes(RAM_BASE + 0x44, W, RAM_BASE + 0x44, "without a doorbell");
    tap_ok(!translation.is_msi, "nothing is");
}

/* --- caches -----------------------------------------------------------------------------
 */

static void tlbi(guint opcode, guint64 word0, guint64 word1)
{
    const guint64 word[2] = {word0 | opcode, word1};

    viommui_smmuv3_begin_change(&smmu);
    viommui_smmuv3_invalidate_iotlb(&smmu, opcode, word);
    viommui_smmuv3_end_change(&smmu);
}

static void forget(guint32 first, guint32 last)
{
    viommui_smmuv3_begin_change(&smmu);
    viommui_smmuv3_forget_streams(&smmu, first, last);
    viommui_smmuv3_end_change(&smmu);
}

static void forget_cd(guint32 sid, guint32 ssid)
{
    viommui_smmuv3_begin_change(&smmu);
    viommui_smmuv3_forget_cd(&smmu, sid, ssid);
    viommui_smmuv3_end_change(&smmu);
}

/* Page 0x5000 goes from its old place to a new one; stale by what was just cached? */
static gboolean is_stale_after(guint opcode, guint64 word0, guint64 word1, guint64 flags)
{
    Space space = simple();
    guint64 at = put(&space, 0x5000, 3, RAM_BASE | PAGE | (USUAL ^ flags));

    translate(SID, NO_SSID, 0x5000, R);
    store(at, (RAM_BASE + 0x1000) | PAGE | (USUAL ^ flags));
    translate(SID, NO_SSID, 0x5000, R);
    if (translation.gpa != RAM_BASE)
        tap_note("it was not cached");
    tlbi(opcode, word0, word1);
    translate(SID, NO_SSID, 0x5000, R);
    return translation.gpa == RAM_BASE;
}

static void test_tlbi(void)
{
    static const guint64 mine = (guint64)ASID << 48, other = 9ull << 48;
    static const struct {
        guint opcode;
        guint64 word0, word1, flags;
        gboolean stale;
        const char *name;
    } cases[] = {
        {CMD_TLBI_NH_ALL, 0, 0, 0, FALSE, "NH_ALL"},
        {CMD_TLBI_NSNH_ALL, 0, 0, 0, FALSE, "NSNH_ALL"},
        {CMD_TLBI_NH_ALL, 0, 0, NG, FALSE, "NH_ALL and a global page"},
        {CMD_TLBI_NH_ASID, mine, 0, 0, FALSE, "NH_ASID"},
        {CMD_TLBI_NH_ASID, other, 0, 0, TRUE, "NH_ASID of another"},
        {CMD_TLBI_NH_ASID, mine, 0, NG, TRUE, "NH_ASID spares a global page"},
        {CMD_TLBI_NH_VA, mine, 0x5000, 0, FALSE, "NH_VA"},
        {CMD_TLBI_NH_VA, mine, 0x5001, 0, FALSE, "NH_VA, Leaf"},
        {CMD_TLBI_NH_VA, mine, 0x4000, 0, TRUE, "NH_VA of the page before"},
        {CMD_TLBI_NH_VA, mine, 0x6000, 0, TRUE, "NH_VA of the page after"},
        {CMD_TLBI_NH_VA, other, 0x5000, 0, TRUE, "NH_VA of another ASID"},
        {CMD_TLBI_NH_VA, other, 0x5000, NG, FALSE, "NH_VA and a global page"},
        {CMD_TLBI_NH_VAA, other, 0x5000, 0, FALSE, "NH_VAA"},
        {CMD_TLBI_NH_VAA, other, 0x5000, NG, FALSE, "NH_VAA and a global page"},
        {CMD_TLBI_NH_VAA, other, 0x4000, 0, TRUE, "NH_VAA of another page"},
        {CMD_TLBI_NH_VA, mine | 1 << 12, 0x4400, 0, FALSE, "a range of two pages"},
        {CMD_TLBI_NH_VA, mine | 0 << 12, 0x4400, 0, TRUE, "a range of one"},
        {CMD_TLBI_NH_VA, mine | 1 << 12 | 1 << 20, 0x1400, 0, TRUE, "four pages before"},
        {CMD_TLBI_NH_VA, mine | 1 << 12 | 1 << 20, 0x2400, 0, FALSE, "SCALE"},
        {CMD_TLBI_NH_VA, mine | 31 << 12 | 31 << 20, 0x400, 0, FALSE, "the largest"},
        {CMD_TLBI_NH_VA, mine, 0x0800, 0, FALSE, "a granule of 16 KiB: not the second"},
        {CMD_TLBI_NH_VA, mine, 0x0c00, 0, FALSE, "a granule of 64 KiB"},
        {CMD_TLBI_NH_VA, mine | 1 << 12, 0x4500, 0, FALSE, "TTL is a hint"},
        {CMD_TLBI_NH_VAA, 1 << 12, 0x4400, 0, FALSE, "a range in all spaces"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        gboolean want = cases[i].stale;

        /* 16 KiB at 0 ends before 0x5000. */
        if ((cases[i].word1 & 0xc00) == 0x800)
            want = TRUE;
        tap_is(
            is_stale_after(cases[i].opcode, cases[i].word0, cases[i].word1, cases[i].flags),
            want, "TLBI %s", cases[i].name);
    }
}

static void test_tlbi_corners(void)
{
    Space space = simple(), upper = new_space(12, 39);
    const guint64 top = ~0ull << 39;
    guint64 at = put(&upper, top | 0x5000, 3, RAM_BASE | PAGE | USUAL);
    guint before;

    put(&space, 0x200000, 2, 0x200000 | BLOCK | USUAL);
    put_cd(CDS, (cd_word0(&space) & ~CD_EPD1) | tg1(12) | 25ull << 16, space.ttb,
           upper.ttb);
    translate(SID, NO_SSID, top | 0x5000, R);
    store(at, (RAM_BASE + 0x1000) | PAGE | USUAL);
    tlbi(CMD_TLBI_NH_VA, (guint64)ASID << 48, top | 0x5000);
    goes(top | 0x5000, R, RAM_BASE + 0x1000, "TLBI of the upper half");
    goes(0x212345, R, 0x212345, "a block is cached");
    put(&space, 0x200000, 2, 0x400000 | BLOCK | USUAL);
    tlbi(CMD_TLBI_NH_VA, (guint64)ASID << 48, 0x3ff000);
    goes(0x212345, R, 0x412345, "and goes by any address in it");
    before = n_reads;
    goes(0x2abcde, W, 0x4abcde, "a hit");
    tap_is(n_reads - before, 4, "reads no memory (but for the event we look for)");
    smmu.regs.idr[3] = 0;
    translate(SID, NO_SSID, 0x200000, R);
    put(&space, 0x200000, 2, 0x600000 | BLOCK | USUAL);
    tlbi(CMD_TLBI_NH_VA, (guint64)ASID << 48 | 31 << 12 | 20 << 20, 0x1000 | 1 << 10);
    goes(0x200000, R, 0x400000, "without RIL there are no ranges");
    smmu.regs.idr[3] = 1u << 10;
    tlbi(CMD_TLBI_NH_VA, (guint64)ASID << 48 | 32ull << 20, 0x1000 | 1 << 10);
    goes(0x200000, R, 0x600000, "a reserved SCALE covers too much, not too little");
}

static void test_configuration_cache(void)
{
    Space space = simple(), second = new_space(12, 39);

    put(&space, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    put(&second, 0x1000, 3, (RAM_BASE + 0x1000) | PAGE | USUAL);
    goes(0x1000, R, RAM_BASE, "a configuration is read");
    put_cd(CDS + 64, cd_word0(&second) ^ 1ull << 48, second.ttb, 0);
    put_ste(SID, STE_S1(CDS + 64), 0);
    goes(0x1000, R, RAM_BASE, "and cached");
    forget(SID + 1, 100);
    forget(0, SID - 1);
    forget_cd(SID + 1, 0);
    goes(0x1000, R, RAM_BASE, "whatever happens to others");
    forget(SID, SID);
    goes(0x1000, R, RAM_BASE + 0x1000, "CFGI_STE");
    put_cd(CDS + 64, cd_word0(&space), space.ttb, 0);
    forget_cd(SID, 1);
    goes(0x1000, R, RAM_BASE + 0x1000, "CFGI_CD of another substream");
    forget_cd(SID, 0);
    goes(0x1000, R, RAM_BASE, "CFGI_CD of substream 0 is that of none");
    put_ste(SID, STE_S1(CDS), 0);
    put_cd(CDS, cd_word0(&second) ^ 1ull << 48, second.ttb, 0);
    forget(2, 5);
    goes(0x1000, R, RAM_BASE + 0x1000, "CFGI_STE_RANGE");
    put_cd(CDS, cd_word0(&space), space.ttb, 0);
    forget_cd(SID, NO_SSID);
    goes(0x1000, R, RAM_BASE, "CFGI_CD_ALL");
    put_ste(SID, 1, 0);
    goes(0x1000, R, RAM_BASE, "an entry that aborts now, and no CFGI");
    forget(0, G_MAXUINT32);
    fails(0x1000, R, 0, "CFGI_ALL");
    put_ste(SID, STE_S1(CDS), 0);
    fails(0x1000, R, 0, "an abort is cached too");
    forget(SID, SID);
    goes(0x1000, R, RAM_BASE, "and goes by CFGI_STE");
    smmu.regs.cr2 = 0;
    smmu.regs.strtab_base_cfg = 1;
    forget(SID, SID);
    fails(0x1000, R, 0, "a StreamID out of range");
    smmu.regs.strtab_base_cfg = LOG2_STREAMS;
    goes(0x1000, R, RAM_BASE, "leaves nothing in the cache");
    put_ste(SID, 0, 0);
    forget(SID, SID);
    fails(0x1000, R, EVENT_C_BAD_STE, "a bad one");
    put_ste(SID, STE_S1(CDS), 0);
    goes(0x1000, R, RAM_BASE, "is read again");
    store(CDS, 0);
    forget_cd(SID, 0);
    fails(0x1000, R, EVENT_C_BAD_CD, "a bad CD");
    put_cd(CDS, cd_word0(&space), space.ttb, 0);
    goes(0x1000, R, RAM_BASE, "is read again");
    put(&space, 0x2000, 3, 0);
    fails(0x2000, R, EVENT_F_TRANSLATION, "no page");
    put(&space, 0x2000, 3, RAM_BASE | PAGE | USUAL);
    goes(0x2000, R, RAM_BASE, "faults are not cached");
    for (guint i = 0; i < 5000; i++)
        translate(SID, i & 1 ? NO_SSID : i, 0x1000, R | PEEK);
    put_ste(SID, STE_S1(CDS) | CDMAX(13), 0);
    for (guint i = 0; i < 64 * 32; i++)
        put_cd(CDS + 64 * i, cd_word0(&space), space.ttb, 0);
    forget(SID, SID);
    for (guint i = 0; i < 64 * 32; i++)
        if (translate(SID, i, 0x1000, R) != VIOMMU_OK)
            tap_note("substream %u is refused", i);
    goes_as(SID, 64 * 32 - 1, 0x1000, R, RAM_BASE, "thousands of substreams");
}

/* Of the substreams below n, how many are answered for without a look at their CD. */
static guint count_cached(guint n)
{
    guint cached = 0;

    for (guint i = 0; i < n; i++) {
        guint before = n_reads;

        translate(SID, i, 0x1000, R);
        cached += n_reads - before == 4; /* the event is looked for */
        /* What was not cached is now: it goes again, so that the others stay. */
        if (n_reads - before != 4)
            forget_cd(SID, i);
    }
    return cached;
}

static void test_cache_bounds(void)
{
    enum { SUBSTREAMS = 2500, MOST = 1024 };
    Space space = simple();
    guint cached;

    put(&space, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    put_ste(SID, STE_S1(CDS) | CDMAX(12), 0);
    for (guint i = 0; i < SUBSTREAMS; i++) {
        put_cd(CDS + 64 * i, cd_word0(&space), space.ttb, 0);
        translate(SID, i, 0x1000, R);
    }
    cached = count_cached(SUBSTREAMS);
    tap_ok(cached > 1 && cached <= MOST, "of %u substreams some are cached: %u", SUBSTREAMS,
           cached);
    for (guint sid = 0; sid < 16; sid++) {
        put_ste(sid, 1 | 4 << 1, 0);
        forget(sid, sid);
        translate(sid, NO_SSID, 0x1000, R);
        put_ste(sid, 0, 0);
    }
    forget(2, 5);
    for (guint sid = 0; sid < 16; sid++)
        if ((translate(sid, NO_SSID, 0x1000, R) == VIOMMU_OK) != (sid < 2 || sid > 5))
            break;
        else if (sid == 15)
            cached = 0;
    tap_is(cached, 0, "a range goes from among many streams, and no more");
}

static void test_blocked(void)
{
    Space space = simple();

    put(&space, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    goes(0x1000, R, RAM_BASE, "before a reset");
    smmu.blocked = TRUE;
    fails(0x1000, R, 0, "within it, nothing passes");
    smmu.regs.cr0 &= ~1u;
    fails(0x1000, R, 0, "whatever SMMUEN says");
    smmu.blocked = FALSE;
}

static void test_asids(void)
{
    Space space = simple(), second = new_space(12, 39);

    put(&space, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    put(&second, 0x1000, 3, (RAM_BASE + 0x1000) | PAGE | USUAL);
    put_cd(CDS + 64, cd_word0(&second) ^ 1ull << 48, second.ttb, 0);
    put_ste(SID + 1, STE_S1(CDS + 64), 0);
    goes(0x1000, R, RAM_BASE, "one ASID");
    goes_as(SID + 1, NO_SSID, 0x1000, R, RAM_BASE + 0x1000, "another ASID");
    goes(0x1000, R, RAM_BASE, "and the one again");
    put(&space, 0x2000, 3, (RAM_BASE + 0x2000) | PAGE | (USUAL ^ NG));
    goes(0x2000, R, RAM_BASE + 0x2000, "a global page");
    goes_as(SID + 1, NO_SSID, 0x2000, R, RAM_BASE + 0x2000, "is good for every ASID");
    put(&space, 0x1000, 3, (RAM_BASE + 0x3000) | PAGE | USUAL);
    smmu.regs.idr[0] &= ~(1u << 12);
    tlbi(CMD_TLBI_NH_ASID, (guint64)(0x4400 | ASID) << 48, 0);
    goes(0x1000, R, RAM_BASE + 0x3000, "without ASID16 a command's upper byte is nothing");
}

/* --- endpoints that cache ---------------------------------------------------------------
 */

static void hears(const char *want, const char *name)
{
    tap_ok(g_str_equal(told->str, want), "%s", name);
    if (!g_str_equal(told->str, want))
        tap_note("heard \"%s\", not \"%s\"", told->str, want);
    g_string_truncate(told, 0);
}

static void atc_inv(guint64 word0, guint64 word1)
{
    const guint64 word[2] = {word0 | CMD_ATC_INV, word1};

    viommui_smmuv3_begin_change(&smmu);
    viommui_smmuv3_invalidate_atc(&smmu, word);
    viommui_smmuv3_end_change(&smmu);
}

static void test_told(void)
{
    const guint64 to = 5ull << 32;
    Space space = simple();

    put(&space, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    smmu.config.services.translations_changed = translations_changed;
    tlbi(CMD_TLBI_NH_ALL, 0, 0);
    hears("", "who never translated hears nothing of TLBIs");
    translate(SID, NO_SSID, 0x1000, R);
    tlbi(CMD_TLBI_NH_VA, (guint64)ASID << 48, 0x1000);
    hears("3/ffffffff:1000+1000 ", "NH_VA is told");
    tlbi(CMD_TLBI_NH_ASID, (guint64)ASID << 48, 0);
    hears("3/ffffffff:0+ffffffffffffffff ", "NH_ASID is told");
    tlbi(CMD_TLBI_NH_VAA, 0, ~0ull << 39);
    hears("3/ffffffff:ffffff8000000000+1000 ", "the upper half is sign-extended");
    forget(SID + 1, SID + 9);
    hears("", "CFGI of others is not");
    forget(SID, SID);
    hears("3/ffffffff:0+ffffffffffffffff ", "CFGI_STE is told");
    forget_cd(SID, 4);
    hears("3/ffffffff:0+ffffffffffffffff ", "CFGI_CD is told");
    atc_inv(to, 0x5000);
    hears("5/ffffffff:5000+1000 ", "ATC_INV of a page");
    atc_inv(to | 1 << 11 | 9 << 12, 0x5000 | 4);
    hears("5/9:0+10000 ", "of 64 KiB of a substream");
    atc_inv(to | 1 << 11 | 9 << 12 | 1 << 9, 0x5000);
    hears("5/ffffffff:5000+1000 ", "Global: of all");
    atc_inv(to, 0x5000 | 52);
    hears("5/ffffffff:0+ffffffffffffffff ", "of everything");
    smmu.config.services.translations_changed = NULL;
    atc_inv(to, 0x5000);
    hears("", "nobody listens");
}

/* --- read sections ----------------------------------------------------------------------
 */

typedef struct {
    gint changed;
    gint stop;
    gint sections;
} Threads;

static gpointer change_once(gpointer data)
{
    Threads *threads = data;

    viommui_smmuv3_begin_change(&smmu);
    g_atomic_int_set(&threads->changed, TRUE);
    viommui_smmuv3_end_change(&smmu);
    return NULL;
}

/* Sections of two such threads overlap, so that there is never a moment without. */
static gpointer stay_in_sections(gpointer data)
{
    Threads *threads = data;

    while (!g_atomic_int_get(&threads->stop)) {
        ViommuTranslation where;
        gint mine = g_atomic_int_add(&threads->sections, 1);

        viommu_smmuv3_enter(&smmu);
        for (guint i = 0; i < 100 && g_atomic_int_get(&threads->sections) <= mine + 1; i++)
            viommu_smmuv3_translate(&smmu, SID, NO_SSID, 0x1000, VIOMMU_ACCESS_READ,
                                    &where);
        viommu_smmuv3_exit(&smmu);
    }
    return NULL;
}

static void test_sections(void)
{
    enum { CHANGES = 200 };
    Space space = simple();
    Threads threads = {0};
    GThread *thread, *endpoints[2];

    put(&space, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    viommu_smmuv3_enter(&smmu);
    thread = g_thread_new("change", change_once, &threads);
    while (!viommui_sections_is_changing(smmu.sections))
        g_thread_yield();
    for (guint i = 0; i < 100; i++)
        g_thread_yield();
    tap_ok(!g_atomic_int_get(&threads.changed), "a change waits for a section");
    viommu_smmuv3_exit(&smmu);
    g_thread_join(thread);
    tap_ok(threads.changed, "and goes on after it");
    for (guint i = 0; i < 2; i++)
        endpoints[i] = g_thread_new("endpoint", stay_in_sections, &threads);
    while (g_atomic_int_get(&threads.sections) < 10)
        g_thread_yield();
    for (guint i = 0; i < CHANGES; i++)
        forget_all();
    g_atomic_int_set(&threads.stop, TRUE);
    for (guint i = 0; i < 2; i++)
        g_thread_join(endpoints[i]);
    tap_ok(TRUE, "%u changes get in between sections that overlap", CHANGES);
}

int main(void)
{
    flat_smmu_init();
    test_disabled();
    test_stream();
    test_substreams();
    test_two_levels();
    test_events();
    test_doorbell();
    test_tlbi();
    test_tlbi_corners();
    test_configuration_cache();
    test_cache_bounds();
    test_blocked();
    test_asids();
    test_told();
    test_sections();
    flat_smmu_clear();
    return tap_done();
}
