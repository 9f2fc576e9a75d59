/* SPDX-License-Identifier: MIT */
/*
 * The software walk, rule by rule, over tables made by hand: legal context descriptors,
 * granules and sizes, halves, descriptors, permissions. Then random tables, walked by the
 * emulator's hardware too: both must say the same.
 *
 *   test-smmuv3-walk [SEED]
 */

#include "flat-smmu.h"

#include <stdlib.h>
#include <string.h>
#include <viommu-emulator/inspect.h>

#include "machine.h"
#include "tap.h"

/* --- legal context descriptors ----------------------------------------------------------
 */

static gboolean is_legal(guint64 word0, guint64 ttb0, guint64 ttb1)
{
    guint64 cd[8] = {word0, ttb0, ttb1};

    return viommui_smmuv3_is_legal_cd(smmu.regs.idr, cd);
}

static void test_legal_cd(void)
{
    static const struct {
        guint64 flip;
        gboolean legal;
        const char *name;
    } cases[] = {
        {0, TRUE, "as it is"},
        {1ull << 31, FALSE, "V 0"},
        {1ull << 41, FALSE, "AA64 0"},
        {1ull << 46, FALSE, "A 0 where TERM_MODEL is 1"},
        {1ull << 45, TRUE, "R 0"},
        {1ull << 44, FALSE, "S where nothing stalls"},
        {1ull << 43, FALSE, "HA without HTTU"},
        {1ull << 42, FALSE, "HD without HTTU"},
        {1ull << 15, FALSE, "ENDI where tables are little-endian"},
        {3ull << 6, FALSE, "TG0 reserved"},
        {1ull << 6, TRUE, "TG0 64 KiB"},
        {2ull << 6, TRUE, "TG0 16 KiB"},
        {1ull << 35 | 1ull << 36 | 1ull << 38 | 1ull << 40, TRUE, "AFFD, WXN, TBI0, PAN"},
        {25 ^ 15, FALSE, "T0SZ 15"},
        {25 ^ 16, TRUE, "T0SZ 16"},
        {25 ^ 39, TRUE, "T0SZ 39"},
        {25 ^ 40, FALSE, "T0SZ 40"},
        {7ull << 32, TRUE, "IPS 32 bits"},
        {2ull << 32, TRUE, "IPS reserved: as the largest"},
        {CD_EPD1, FALSE, "TTB1 enabled, T1SZ and TG1 0"},
        {CD_EPD1 | 25ull << 16, FALSE, "TG1 reserved"},
        {CD_EPD1 | 25ull << 16 | 2ull << 22, TRUE, "both halves"},
        {CD_EPD1 | 40ull << 16 | 2ull << 22, FALSE, "T1SZ 40"},
        {CD_EPD0 | 40, TRUE, "T0SZ is ignored with EPD0"},
        {CD_EPD0 | 3ull << 6, TRUE, "TG0 too"},
        {CD_EPD0 | 1ull << 15, TRUE, "ENDI with both"},
        {0xff00ull << 48, TRUE, "an ASID of 16 bits"},
    };
    const guint64 base = CD_LEGAL | CD_EPD1 | 25;

    reset();
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        tap_is(is_legal(base ^ cases[i].flip, TABLES, 0), cases[i].legal, "CD: %s",
               cases[i].name);
    tap_ok(!is_legal(base, 1ull << 44, 0), "CD: TTB0 beyond the output size");
    tap_ok(!is_legal(base ^ 7ull << 32 /* 36 bits */, 1ull << 36, 0) ||
               !is_legal(base ^ 5ull << 32, 1ull << 32, 0),
           "CD: TTB0 beyond IPS");
    tap_ok(is_legal(base | CD_EPD0, 1ull << 50, 0), "CD: TTB0 is ignored with EPD0");
    tap_ok(!is_legal((base & ~CD_EPD1) | 25ull << 16 | 2ull << 22, TABLES, 1ull << 44),
           "CD: TTB1 beyond the output size");
    tap_ok(is_legal(base, TABLES | 0xf, 0), "CD: bits below TTB0 are not its");
    smmu.regs.idr[5] &= ~(1u << 4);
    tap_ok(!is_legal(base, TABLES, 0), "CD: a granule that is not offered");
    reset();
    smmu.regs.idr[0] &= ~(1u << 12);
    tap_ok(!is_legal(base | 0x100ull << 48, TABLES, 0), "CD: an ASID beyond 8 bits");
    tap_ok(is_legal(base | 0xffull << 48, TABLES, 0), "CD: one within");
    reset();
    smmu.regs.idr[0] |= 1u << 21;
    tap_ok(!is_legal(base, TABLES, 0) && is_legal(base | 1ull << 15, TABLES, 0),
           "CD: ENDI where tables are big-endian");
    smmu.regs.idr[0] &= ~(1u << 26);
    tap_ok(is_legal((base | 1ull << 15) & ~(1ull << 46), TABLES, 0),
           "CD: A 0 where TERM_MODEL is 0");
}

/* --- walks ------------------------------------------------------------------------------
 */

/* The page and block sizes of a granule, each at its lowest and highest first level. */
static void test_granule(guint granule, const guint *levels, guint n_levels)
{
    static const guint widths[] = {48, 42, 36, 32, 25};

    for (guint w = 0; w < G_N_ELEMENTS(widths); w++)
        for (guint i = 0; i < n_levels; i++) {
            guint64 va, size, out;
            Space space;

            simple();
            space = new_space(granule, widths[w]);
            put_cd(CDS, cd_word0(&space), space.ttb, 0);
            if (levels[i] < first_level(&space))
                continue;
            size = 1ull << shift_of(&space, levels[i]);
            va = ((1ull << widths[w]) - 1) & ~(size - 1); /* the last of the range */
            out = levels[i] == 3 ? RAM_BASE & ~(size - 1) : size;
            put(&space, va, levels[i], out | USUAL | (levels[i] == 3 ? PAGE : BLOCK));
            translate(SID, NO_SSID, va + 0x234, R);
            tap_ok(translation.gpa == out + 0x234 && translation.length == size - 0x234 &&
                       translate(SID, NO_SSID, va - 1, R) != VIOMMU_OK,
                   "granule 2^%u, %u bits of address, leaf at level %u", granule, widths[w],
                   levels[i]);
        }
}

static void test_upper_half(void)
{
    Space lower = simple(), upper = new_space(16, 42);
    const guint64 top = ~0ull << 42;

    put(&lower, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    put(&upper, top | 0x10000, 3, (RAM_BASE + 0x10000) | PAGE | USUAL);
    put_cd(CDS, (cd_word0(&lower) & ~CD_EPD1) | tg1(16) | 22ull << 16, lower.ttb,
           upper.ttb);
    goes(0x1234, R, RAM_BASE + 0x234, "both halves: the lower");
    goes(top | 0x10abc, R, RAM_BASE + 0x10abc, "the upper, of another granule");
    fails(1ull << 39, R, EVENT_F_TRANSLATION, "between them");
    fails(top - 1, R, EVENT_F_TRANSLATION, "just below the upper");
    fails(0x5a00000000001234, R, EVENT_F_TRANSLATION, "a top byte without TBI0");
    fails((top | 0x10abc) ^ 0x5aull << 56, R, EVENT_F_TRANSLATION, "or TBI1");
    store(CDS, load(CDS) | 1ull << 38);
    forget_all();
    goes(0x5a00000000001234, R, RAM_BASE + 0x234, "TBI0");
    fails((top | 0x10abc) ^ 0x5aull << 56, R, EVENT_F_TRANSLATION, "is not TBI1");
    fails(0x5a80000000001234, R, EVENT_F_TRANSLATION, "bit 55 is no tag");
    fails(0x5a00008000001234, R, EVENT_F_TRANSLATION, "nor are those below");
    tap_is(event[2], 0x5a00008000001234, "InputAddr has the tag");
    store(CDS, load(CDS) | 1ull << 39);
    forget_all();
    goes((top | 0x10abc) ^ 0x5aull << 56, R, RAM_BASE + 0x10abc, "TBI1");
    store(CDS, load(CDS) | CD_EPD0);
    forget_all();
    fails(0x1234, R, EVENT_F_TRANSLATION, "EPD0 switches the lower off");
    goes(top | 0x10abc, R, RAM_BASE + 0x10abc, "and not the upper");
    store(CDS, (load(CDS) | CD_EPD1) & ~CD_EPD0);
    forget_all();
    fails(top | 0x10abc, R, EVENT_F_TRANSLATION, "EPD1 switches the upper off");
}

static void test_descriptors(void)
{
    Space space = simple();
    guint64 at = put(&space, 0x1000, 3, 0);

    fails(0x1000, R, EVENT_F_TRANSLATION, "a descriptor of 0");
    store(at, RAM_BASE | USUAL | 2);
    fails(0x1000, R, EVENT_F_TRANSLATION, "not valid, whatever else");
    store(at, RAM_BASE | USUAL | BLOCK);
    fails(0x1000, R, EVENT_F_TRANSLATION, "a block at level 3 is reserved");
    store(at, RAM_BASE | PAGE | (USUAL & ~AF));
    fails(0x1000, R, EVENT_F_ACCESS, "the access flag clear");
    store(at, 1ull << 44 | PAGE | (USUAL & ~AF));
    fails(0x1000, R, EVENT_F_ADDR_SIZE, "an output beyond the size comes first");
    store(at, RAM_BASE | PAGE | (USUAL & ~(AF | EL0)));
    fails(0x1000, R, EVENT_F_ACCESS, "and the access flag before permissions");
    store(CDS, load(CDS) | 1ull << 35);
    store(at, RAM_BASE | PAGE | (USUAL & ~AF));
    forget_all();
    goes(0x1000, R, RAM_BASE, "AFFD: no matter");
    store(CDS, (load(CDS) & ~(7ull << 32)));
    store(at, 1ull << 32 | PAGE | USUAL);
    forget_all();
    fails(0x1000, R, EVENT_F_ADDR_SIZE, "IPS of 32 bits bounds outputs");
    put(&space, 0x40000000, 1, 1ull << 33 | TABLE);
    fails(0x40000000, R, EVENT_F_ADDR_SIZE, "and tables");
    store(CDS, load(CDS) | 5ull << 32);
    put(&space, 0x40000000, 1, NOWHERE | TABLE);
    forget_all();
    fails(0x40003000, W, EVENT_F_WALK_EABT, "a table that is not in memory");
    tap_is(event[3], NOWHERE, "FetchAddr is its descriptor's");
    tap_is(event[2], 0x40003000, "InputAddr is there too");
    tap_is(event[1], (guint64)CLASS_TT << 40, "Class is TT");
    put(&space, 0x80000000, 1, 0x80000000 | BLOCK | USUAL);
    goes(0x80012345, R, 0x80012345, "a block of 1 GiB");
    store(at, RAM_BASE | PAGE | USUAL | 1ull << 52);
    forget_all();
    goes(0x1000, R, RAM_BASE, "the contiguous hint need not be taken");
    store(at, RAM_BASE | PAGE | USUAL | 0xfull << 48 | 0xfull << 55);
    forget_all();
    goes(0x1000, R, RAM_BASE, "bits for software are not the address's");
}

static void test_reserved_blocks(void)
{
    static const struct {
        guint granule, bits, level;
    } cases[] = {{12, 48, 0}, {14, 48, 0}, {14, 48, 1}, {16, 48, 1}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Space space;
        char *name = g_strdup_printf("a block at level %u of granule 2^%u is reserved",
                                     cases[i].level, cases[i].granule);

        simple();
        space = new_space(cases[i].granule, cases[i].bits);
        put_cd(CDS, cd_word0(&space), space.ttb, 0);
        put(&space, 0, cases[i].level, BLOCK | USUAL);
        fails(0, R, EVENT_F_TRANSLATION, name);
        g_free(name);
    }
}

static void test_small_table(void)
{
    Space space = simple();

    /* 25 bits: level 2 of 16 entries, aligned to 128 bytes. */
    space.bits = 25;
    space.ttb = new_table(4096) + 0x80;
    put(&space, 0x1fff000, 3, RAM_BASE | PAGE | USUAL);
    put_cd(CDS, cd_word0(&space), space.ttb, 0);
    goes(0x1fff123, R, RAM_BASE + 0x123, "a small first table");
    put_cd(CDS, cd_word0(&space), space.ttb + 0x70, 0);
    forget_all();
    goes(0x1fff123, R, RAM_BASE + 0x123, "whose base is taken as aligned");
}

static void test_endianness(void)
{
    Space space = simple();

    put(&space, 0x1000, 3, RAM_BASE | PAGE | USUAL);
    for (guint64 at = TABLES, end = new_table(8); at < end; at += 8)
        store(at, GUINT64_SWAP_LE_BE(load(at)));
    smmu.regs.idr[0] &= ~(3u << 21);
    store(CDS, load(CDS) | 1ull << 15);
    goes(0x1234, R, RAM_BASE + 0x234, "ENDI: big-endian tables");
    store(CDS, load(CDS) & ~(1ull << 15));
    forget_all();
    tap_ok(translate(SID, NO_SSID, 0x1234, R) != VIOMMU_OK, "which are no others");
}

/* --- permissions ------------------------------------------------------------------------
 */

/* "rwx" of what is allowed, unprivileged then privileged; the cached answer too. */
static void allows(const char *want, const char *name)
{
    static const guint kinds[] = {R, W, X};
    char got[8] = "------";
    gboolean same = TRUE;

    for (guint i = 0; i < 6; i++) {
        guint access = kinds[i % 3] | (i < 3 ? 0 : P);

        forget_all();
        if (translate(SID, NO_SSID, 0x1000, access) == VIOMMU_OK)
            got[i] = "rwx"[i % 3];
        else
            same &= (event[0] & 0xff) == EVENT_F_PERMISSION;
        same &= (translate(SID, NO_SSID, 0x1000, access) == VIOMMU_OK) == (got[i] != '-');
    }
    tap_ok(same && g_str_equal(got, want), "%s: %s", name, want);
    if (!g_str_equal(got, want))
        tap_note("got %s", got);
}

static void test_permissions(void)
{
    Space space = simple();
    guint64 at = put(&space, 0x1000, 3, 0), word0 = load(CDS);
    guint64 base = RAM_BASE | PAGE | AF | NG;
    guint64 table = descriptor_at(&space, space.ttb, 0x1000, 1), tables = load(table);

    store(at, base);
    allows("--xrwx", "AP 0b00");
    store(at, base | EL0);
    allows("rwxrw-", "AP 0b01: what EL0 may write is PXN");
    store(at, base | RO);
    allows("--xr-x", "AP 0b10");
    store(at, base | RO | EL0);
    allows("r-xr-x", "AP 0b11");
    store(at, base | UXN);
    allows("---rwx", "UXN");
    store(at, base | PXN | RO | EL0);
    allows("r-xr--", "PXN");
    store(at, base | EL0);
    store(table, tables | RO_TABLE);
    allows("r-xr-x", "APTable: read-only");
    store(table, tables | NO_EL0_TAB);
    allows("--xrwx", "APTable: not for EL0");
    store(table, tables | RO_TABLE | NO_EL0_TAB);
    allows("--xr-x", "APTable: both");
    store(table, tables | UXN_TABLE);
    allows("rw-rw-", "UXNTable");
    store(at, base | RO | EL0);
    store(table, tables | PXN_TABLE);
    allows("r-xr--", "PXNTable");
    store(table, tables);
    store(CDS, word0 | 1ull << 36);
    allows("r-xr-x", "WXN, read-only");
    store(at, base);
    allows("--xrw-", "WXN, privileged may write");
    store(at, base | EL0);
    allows("rw-rw-", "WXN, both may write");
    store(CDS, word0 | 1ull << 40);
    allows("rwx---", "PAN, EL0 may write");
    store(at, base | EL0 | RO);
    allows("r-x--x", "PAN, EL0 may read");
    store(at, base);
    allows("--xrwx", "PAN, not for EL0");
    store(CDS, word0);
    store(at, base | EL0 | RO);
    forget_all();
    fails(0x1000, R | W, EVENT_F_PERMISSION, "all that is asked for is to be allowed");
    goes(0x1000, R, RAM_BASE, "what is answered");
    tap_is(translation.access, R | X, "is what is allowed");
    goes(0x1000, 0, RAM_BASE, "nothing asked, nothing refused");
}

/* --- against the emulator's hardware ----------------------------------------------------
 */

#define NO_ROOM G_MAXUINT64

/* One random address space in the guest's memory, and what to try there. */
typedef struct {
    Machine *m;
    GRand *random;
    guint64 cd[8];
    Space halves[2];
    guint64 next;
    guint64 tried[64];
    guint n_tried;
    ViommuServices services;
} Fuzz;

static guint pick(Fuzz *fuzz, guint n)
{
    return (guint)g_rand_int_range(fuzz->random, 0, (gint32)n);
}

static guint64 pick_word(Fuzz *fuzz)
{
    return (guint64)g_rand_int(fuzz->random) << 32 | g_rand_int(fuzz->random);
}

static gboolean read_guest(guint64 gpa, void *data, gsize size, void *user_data)
{
    const GuestMemory *memory = &((Machine *)user_data)->ram;

    if (gpa < memory->base || gpa - memory->base > memory->size - size)
        return FALSE;
    memcpy(data, memory->bytes + (gpa - memory->base), size);
    return TRUE;
}

static void store_guest(Fuzz *fuzz, guint64 gpa, guint64 value)
{
    value = GUINT64_TO_LE(value);
    memcpy(guest_memory_at(&fuzz->m->ram, gpa), &value, sizeof value);
}

static guint64 load_guest(Fuzz *fuzz, guint64 gpa)
{
    guint64 value;

    memcpy(&value, guest_memory_at(&fuzz->m->ram, gpa), sizeof value);
    return GUINT64_FROM_LE(value);
}

/* NO_ROOM: none is left. */
static guint64 fuzz_table(Fuzz *fuzz, guint granule)
{
    guint64 size = 1ull << granule, gpa = (fuzz->next + size - 1) & ~(size - 1);

    if (gpa + size > fuzz->m->ram.base + fuzz->m->ram.size)
        return NO_ROOM;
    fuzz->next = gpa + size;
    guest_memory_fill(&fuzz->m->ram, gpa, 0, size);
    return gpa;
}

/* Often right, each bit of it sometimes wrong. */
static guint64 fuzz_leaf(Fuzz *fuzz, const Space *space, guint level)
{
    guint64 size = 1ull << shift_of(space, level);
    guint64 gpa = MACHINE_RAM_BASE + (guint64)pick(fuzz, MACHINE_RAM_SIZE >> 12) * 4096;
    guint64 leaf = (gpa & ~(size - 1)) | (level == 3 ? PAGE : BLOCK) | AF | EL0 | NG;
    guint64 noise = RO | NG | PXN | UXN | 1ull << 52 | 0xfull << 55 | 3ull << 8;

    leaf ^= pick_word(fuzz) & noise;
    if (!pick(fuzz, 8))
        leaf ^= AF;
    if (!pick(fuzz, 8))
        leaf ^= EL0;
    if (!pick(fuzz, 16))
        leaf ^= 1 + pick(fuzz, 3);
    if (!pick(fuzz, 8))
        leaf ^= 1ull << (32 + pick(fuzz, 16));
    return leaf;
}

static guint64 fuzz_next_table(Fuzz *fuzz, const Space *space)
{
    guint64 table = fuzz_table(fuzz, space->granule);

    if (table == NO_ROOM)
        return 0;
    if (!pick(fuzz, 24))
        return NOWHERE | TABLE;
    if (!pick(fuzz, 24))
        return table | TABLE | 1ull << (32 + pick(fuzz, 16));
    if (!pick(fuzz, 12))
        table |= RO_TABLE;
    if (!pick(fuzz, 12))
        table |= NO_EL0_TAB;
    return table | TABLE | (pick_word(fuzz) & (PXN_TABLE | UXN_TABLE));
}

static void fuzz_map(Fuzz *fuzz, const Space *space, guint64 va)
{
    guint64 table = space->ttb;
    guint leaf_level = first_level(space) + pick(fuzz, 4 - first_level(space));

    for (guint level = first_level(space);; level++) {
        guint64 at = descriptor_at(space, table, va, level), ignored;

        if (!read_guest(at, &ignored, sizeof ignored, fuzz->m))
            return;
        if (level == leaf_level || level == 3) {
            store_guest(fuzz, at, fuzz_leaf(fuzz, space, level));
            return;
        }
        if (!(load_guest(fuzz, at) & 1))
            store_guest(fuzz, at, fuzz_next_table(fuzz, space));
        if ((load_guest(fuzz, at) & 3) != TABLE)
            return;
        table = load_guest(fuzz, at) & 0xffffffffffffull & ~((1ull << space->granule) - 1);
    }
}

static void fuzz_half(Fuzz *fuzz, gboolean upper)
{
    static const guint granules[] = {12, 14, 16};
    Space *space = &fuzz->halves[upper];
    guint tsz = 16 + pick(fuzz, 24);

    *space = (Space){.granule = granules[pick(fuzz, 3)], .bits = 64 - tsz};
    space->ttb = fuzz_table(fuzz, space->granule);
    fuzz->cd[0] |=
        upper ? tg1(space->granule) | (guint64)tsz << 16 : tg0(space->granule) | tsz;
    fuzz->cd[1 + upper] = space->ttb;
    for (guint i = 0; i < 6; i++) {
        guint64 va = pick_word(fuzz) & ((1ull << space->bits) - 1);

        /* Some close together; block offsets that lead into memory. */
        if (pick(fuzz, 2))
            va &= (0xfull << (space->bits - 4)) | 0x3fffff;
        if (pick(fuzz, 2))
            va = (va & ~0x1ffffffull) | MACHINE_RAM_BASE | (va & 0x3fffff);
        va &= (1ull << space->bits) - 1;
        fuzz_map(fuzz, space, va);
        fuzz->tried[fuzz->n_tried++] = upper ? va | ~0ull << space->bits : va;
    }
}

static void fuzz_space(Fuzz *fuzz)
{
    static const guint64 maybe =
        1ull << 35 | 1ull << 36 | 1ull << 38 | 1ull << 39 | 1ull << 45;

    fuzz->n_tried = 0;
    memset(fuzz->cd, 0, sizeof fuzz->cd);
    fuzz->cd[0] = (CD_LEGAL & ~(7ull << 32)) ^ (pick_word(fuzz) & maybe);
    fuzz->cd[0] |= (guint64)pick(fuzz, 8) << 32;
    fuzz->next = fuzz->m->ram.next_free;
    for (int upper = 0; upper <= 1; upper++)
        fuzz_half(fuzz, upper);
    if (!pick(fuzz, 8))
        fuzz->cd[0] |= CD_EPD0;
    if (!pick(fuzz, 4))
        fuzz->cd[0] |= CD_EPD1;
    if (!pick(fuzz, 10))
        fuzz->cd[0] ^= 1ull << pick(fuzz, 64);
    if (!pick(fuzz, 10))
        fuzz->cd[1] ^= 1ull << (4 + pick(fuzz, 60)); /* not HAD0: it is not offered */
    for (guint i = 0; i < 8; i++)
        store_guest(fuzz, fuzz->m->domain.cd + 8 * i, fuzz->cd[i]);
}

/* Fields that the emulator is stricter or laxer about, by right of either. */
static gboolean is_comparable(const guint64 cd[8])
{
    gboolean ignored_endi = (cd[0] & CD_EPD0) && (cd[0] & CD_EPD1);

    return !(ignored_endi && cd[0] & 1ull << 15);
}

/* How many questions had which answer. */
typedef struct {
    guint same_place, same_refusal, outside, wrong;
} Tally;

static void fuzz_ask(Fuzz *fuzz, const char *bdf, ViommuEmulator *emulator,
                     const guint32 idr[6], guint64 iova, gboolean write, Tally *tally)
{
    guint64 hardware = 0, software = 0, fetch;
    gboolean legal = viommui_smmuv3_is_legal_cd(idr, fuzz->cd);
    int err = viommu_emulator_peek(emulator, bdf, iova, write, &hardware);
    gboolean ok = FALSE;
    ViommuiWalk walk;

    if (legal && viommui_smmuv3_walk(&fuzz->services, fuzz->cd, idr[5], iova,
                                     write ? VIOMMU_ACCESS_WRITE : VIOMMU_ACCESS_READ,
                                     &walk, &fetch) == VIOMMUI_WALK_OK) {
        ok = TRUE;
        software = walk.output + (iova - walk.input);
    }
    if (ok &&
        (software < MACHINE_RAM_BASE || software >= MACHINE_RAM_BASE + MACHINE_RAM_SIZE)) {
        /* Stage 2 refuses, and which address it was is not seen. */
        tally->outside++;
        tally->wrong += err == 0;
        return;
    }
    if (ok != (err == 0) || (ok && software != hardware)) {
        if (!tally->wrong++)
            tap_note("CD %#" G_GINT64_MODIFIER "x, iova %#" G_GINT64_MODIFIER
                     "x: hardware %d, %#" G_GINT64_MODIFIER
                     "x; software %d, %#" G_GINT64_MODIFIER "x",
                     fuzz->cd[0], iova, err, hardware, ok, software);
        return;
    }
    tally->same_place += ok;
    tally->same_refusal += !ok;
}

static guint64 fuzz_iova(Fuzz *fuzz)
{
    guint64 iova = fuzz->tried[pick(fuzz, fuzz->n_tried)];

    switch (pick(fuzz, 6)) {
    case 0:
        return iova ^ (guint64)pick(fuzz, 256) << 56;
    case 1:
        return iova ^ 1ull << pick(fuzz, 64);
    case 2:
        return (iova & ~0x1ffffffull) | MACHINE_RAM_BASE |
               (pick_word(fuzz) & (MACHINE_RAM_SIZE - 1));
    default:
        return iova ^ pick(fuzz, 4096);
    }
}

static void test_against_hardware(guint32 seed)
{
    enum { SPACES = 20000, QUESTIONS = 40 };
    Fuzz fuzz = {.random = g_rand_new_with_seed(seed)};
    const ViommuHostDeviceInfo *info;
    Tally tally = {0};
    Target target;
    Machine m;

    tap_note("seed %u", seed);
    target_init(&target, 0, NULL, 1);
    if (!machine_init(&m, target.seam, target.bdfs, 0)) {
        tap_ok(FALSE, "there is a machine");
        return;
    }
    info = viommu_host_device_get_info(m.devices[0]);
    fuzz.m = &m;
    fuzz.services = (ViommuServices){.read_memory = read_guest, .user_data = &m};
    machine_install_s1(&m, 0, &m.domain);
    for (guint i = 0; i < SPACES && !tally.wrong; i++) {
        fuzz_space(&fuzz);
        for (guint j = 0; j < QUESTIONS && is_comparable(fuzz.cd); j++)
            fuzz_ask(&fuzz, target.bdfs[0], target.emulator, info->smmuv3.idr,
                     fuzz_iova(&fuzz), pick(&fuzz, 2), &tally);
    }
    tap_is(tally.wrong, 0, "random tables: software and hardware agree");
    tap_ok(tally.same_place > 1000 && tally.same_refusal > 1000,
           "of both kinds: %u places, %u refusals, %u beyond memory", tally.same_place,
           tally.same_refusal, tally.outside);
    machine_clear(&m);
    target_clear(&target);
    g_rand_free(fuzz.random);
}

int main(int argc, char **argv)
{
    static const guint of_4k[] = {3, 2, 1}, of_others[] = {3, 2};
    guint32 seed = argc > 1 ? (guint32)strtoul(argv[1], NULL, 0) : 20261122;

    flat_smmu_init();
    test_legal_cd();
    test_granule(12, of_4k, G_N_ELEMENTS(of_4k));
    test_granule(14, of_others, G_N_ELEMENTS(of_others));
    test_granule(16, of_others, G_N_ELEMENTS(of_others));
    test_upper_half();
    test_descriptors();
    test_reserved_blocks();
    test_small_table();
    test_endianness();
    test_permissions();
    test_against_hardware(seed);
    flat_smmu_clear();
    return tap_done();
}
