/* SPDX-License-Identifier: MIT */
/*
 * What the SMMUv3 decoders make of stream table entries, commands and ID registers: each
 * rule a point.
 */

#include "vendors/arm-smmuv3/smmuv3.h"

#include <string.h>

#include "tap.h"

/* A guest SMMU with all that acceleration takes. */
static const guint32 full[6] = {
    1u << 1 | 2u << 2 | 1u << 10 | 1u << 12 | 1u << 19 | 2u << 21 | 1u << 24 | 1u << 26,
    16 | 20 << 6,
    0,
    1u << 10,
    0,
    7u << 4,
};

/* Hosts whose SMMU can only end faults, or stall them too. */
static const ViommuHostDeviceInfo terminating = {.smmuv3.idr = {1u << 24}};
static const ViommuHostDeviceInfo stalling = {.smmuv3.idr = {0}};
static const ViommuHostDeviceInfo without_ats = {.ats_unavailable = TRUE,
                                                 .smmuv3.idr = {1u << 24}};

static void put(guint8 *bytes, gsize i, guint64 word)
{
    word = GUINT64_TO_LE(word);
    memcpy(bytes + 8 * i, &word, sizeof word);
}

static ViommuiSte ste_of(const guint32 idr[6], guint64 word0, guint64 word1)
{
    guint8 bytes[VIOMMU_SMMUV3_STE_SIZE] = {0};

    put(bytes, 0, word0);
    put(bytes, 1, word1);
    return viommui_smmuv3_decode_ste(idr, &terminating, bytes);
}

static ViommuiCommand command_of(const guint32 idr[6], guint64 word0, guint64 word1)
{
    guint8 bytes[VIOMMU_SMMUV3_COMMAND_SIZE];

    put(bytes, 0, word0);
    put(bytes, 1, word1);
    return viommui_smmuv3_decode_command(idr, bytes);
}

#define S1(word) ((word) | 1ull | 5ull << 1)

static void test_ste_kinds(void)
{
    tap_is(viommui_smmuv3_decode_ste(full, &terminating, NULL).kind, VIOMMUI_STE_ABORT,
           "no entry aborts");
    tap_is(ste_of(full, 0, 0).kind, VIOMMUI_STE_ABORT, "V=0 aborts");
    tap_is(ste_of(full, 5 << 1, 0).kind, VIOMMUI_STE_ABORT,
           "V=0 aborts whatever Config says");
    for (guint config = 0; config < 4; config++)
        tap_is(ste_of(full, 1 | config << 1, 0).kind, VIOMMUI_STE_ABORT, "Config %u aborts",
               config);
    tap_is(ste_of(full, 1 | 4 << 1, 0).kind, VIOMMUI_STE_BYPASS, "Config 4 bypasses");
    tap_is(ste_of(full, S1(0), 0).kind, VIOMMUI_STE_S1, "Config 5 is stage 1");
    for (guint config = 6; config < 8; config++) {
        ViommuiSte ste = ste_of(full, 1 | config << 1, 0);

        tap_is(ste.kind, VIOMMUI_STE_ILLEGAL, "Config %u (stage 2) is illegal", config);
        tap_ok(!g_strcmp0(ste.why, "Config") && ste.value == config, "... and is named");
    }
}

static void test_ste_fields(void)
{
    guint64 all = ~0ull & ~(0x1full << 59) & ~(7ull << 1);
    ViommuiSte ste = ste_of(full, S1(all), ~0ull & ~(3ull << 28));

    tap_is(ste.kind, VIOMMUI_STE_S1, "fields that the host does not take are no error");
    tap_is(GUINT64_FROM_LE(ste.words[0]), S1(0x000fffffffffffc0ull),
           "word 0 keeps V, Config, S1ContextPtr");
    tap_is(GUINT64_FROM_LE(ste.words[1]), 0xfc, "word 1 keeps S1CIR, S1COR, S1CSH");

    ste = ste_of(full, S1(10ull << 59 | 2u << 4 | 0x1000), 1);
    tap_is(GUINT64_FROM_LE(ste.words[0]), S1(10ull << 59 | 2u << 4 | 0x1000),
           "with substreams, S1CDMax and S1Fmt are kept");
    tap_is(GUINT64_FROM_LE(ste.words[1]), 1, "... and S1DSS");
    ste = ste_of(full, S1(2u << 4 | 0x1000), 3);
    tap_is(ste.kind, VIOMMUI_STE_S1, "without substreams, S1Fmt and S1DSS are ignored");
    tap_is(GUINT64_FROM_LE(ste.words[0]), S1(0x1000),
           "... and dropped, so that equal means equal");

    tap_is(ste_of(full, S1(21ull << 59), 0).kind, VIOMMUI_STE_ILLEGAL,
           "S1CDMax beyond SSIDSIZE is illegal");
    tap_is(ste_of(full, S1(1ull << 59 | 3 << 4), 0).kind, VIOMMUI_STE_ILLEGAL,
           "S1Fmt 3 is illegal");
    tap_is(ste_of(full, S1(1ull << 59), 3).kind, VIOMMUI_STE_ILLEGAL, "S1DSS 3 is illegal");
    tap_ok(ste_of(full, S1(0), 1ull << 28).ats, "EATS 1 turns ATS on");
    tap_is(ste_of(full, S1(0), 2ull << 28).kind, VIOMMUI_STE_ILLEGAL, "EATS 2 is illegal");
    tap_is(ste_of(full, S1(0), 3ull << 28).kind, VIOMMUI_STE_ILLEGAL, "EATS 3 is illegal");
}

static void test_ste_without_features(void)
{
    guint32 plain[6];
    guint8 bytes[VIOMMU_SMMUV3_STE_SIZE] = {0};
    ViommuiSte ste;

    memcpy(plain, full, sizeof plain);
    plain[0] &= ~(1u << 10 | 1u << 19);
    plain[1] = 16;
    ste = ste_of(plain, S1(0), 3ull << 28);
    tap_ok(ste.kind == VIOMMUI_STE_S1 && !ste.ats && !ste.words[1],
           "without ATS, EATS is ignored");
    tap_is(ste_of(plain, S1(1ull << 59), 0).kind, VIOMMUI_STE_ILLEGAL,
           "without substreams, S1CDMax is illegal");
    plain[1] = full[1];
    tap_is(ste_of(plain, S1(1ull << 59 | 1 << 4), 0).kind, VIOMMUI_STE_ILLEGAL,
           "without CD2L, S1Fmt of two levels is illegal");
    put(bytes, 0, S1(0));
    ste = viommui_smmuv3_decode_ste(full, &stalling, bytes);
    tap_is(GUINT64_FROM_LE(ste.words[1]), 1ull << 27,
           "on a host that stalls, S1STALLD is forced");
    put(bytes, 1, 1ull << 28);
    ste = viommui_smmuv3_decode_ste(full, &without_ats, bytes);
    tap_ok(ste.kind == VIOMMUI_STE_S1 && !ste.ats && !ste.words[1],
           "for a device that cannot have ATS, EATS is ignored");
}

static void test_command_kinds(void)
{
    static const struct {
        guint opcode;
        ViommuiCommandKind kind;
    } kinds[] = {
        {0x00, VIOMMUI_COMMAND_ILLEGAL},  {0x01, VIOMMUI_COMMAND_COMPLETE},
        {0x02, VIOMMUI_COMMAND_COMPLETE}, {0x03, VIOMMUI_COMMAND_CFGI_STE},
        {0x04, VIOMMUI_COMMAND_CFGI_STE}, {0x05, VIOMMUI_COMMAND_CFGI},
        {0x06, VIOMMUI_COMMAND_CFGI},     {0x10, VIOMMUI_COMMAND_TLBI},
        {0x11, VIOMMUI_COMMAND_TLBI},     {0x12, VIOMMUI_COMMAND_TLBI},
        {0x13, VIOMMUI_COMMAND_TLBI},     {0x18, VIOMMUI_COMMAND_ILLEGAL},
        {0x20, VIOMMUI_COMMAND_ILLEGAL},  {0x28, VIOMMUI_COMMAND_ILLEGAL},
        {0x2a, VIOMMUI_COMMAND_ILLEGAL},  {0x30, VIOMMUI_COMMAND_TLBI},
        {0x40, VIOMMUI_COMMAND_ATC_INV},  {0x41, VIOMMUI_COMMAND_ILLEGAL},
        {0x44, VIOMMUI_COMMAND_ILLEGAL},  {0x45, VIOMMUI_COMMAND_ILLEGAL},
        {0x46, VIOMMUI_COMMAND_COMPLETE}, {0xff, VIOMMUI_COMMAND_ILLEGAL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        tap_is(command_of(full, kinds[i].opcode, 0).kind, kinds[i].kind, "opcode 0x%02x",
               kinds[i].opcode);
    tap_is(command_of(full, 0x06 | 1 << 10, 0).kind, VIOMMUI_COMMAND_ILLEGAL,
           "a Secure stream is illegal");
    tap_is(command_of(full, 0x01 | 1 << 10, 0).kind, VIOMMUI_COMMAND_ILLEGAL,
           "... also of a PREFETCH");
    tap_is(command_of(full, 0x40, 53).kind, VIOMMUI_COMMAND_ILLEGAL, "ATC_INV of size 53");
    tap_is(command_of(full, 0x40, 52).kind, VIOMMUI_COMMAND_ATC_INV, "ATC_INV of size 52");
}

static void is_command(const guint32 idr[6], guint64 word0, guint64 word1, guint64 want0,
                       guint64 want1, const char *what)
{
    ViommuiCommand command = command_of(idr, word0, word1);

    tap_ok(GUINT64_FROM_LE(command.words[0]) == want0 &&
               GUINT64_FROM_LE(command.words[1]) == want1,
           "%s", what);
    if (GUINT64_FROM_LE(command.words[0]) != want0 ||
        GUINT64_FROM_LE(command.words[1]) != want1)
        tap_note("got %016" G_GINT64_MODIFIER "x %016" G_GINT64_MODIFIER "x",
                 GUINT64_FROM_LE(command.words[0]), GUINT64_FROM_LE(command.words[1]));
}

static void test_command_fields(void)
{
    const guint64 num = 1u << 12, scale = 1u << 20, asid = 0x1234ull << 48, va = 0x5000;
    guint32 plain[6];

    is_command(full, ~0ull << 8 | 0x10, ~0ull, 0x10, 0, "NH_ALL keeps nothing");
    is_command(full, ~0ull << 8 | 0x30, ~0ull, 0x30, 0, "NSNH_ALL keeps nothing");
    is_command(full, ~0ull << 8 | 0x11, ~0ull, 0xffffull << 48 | 0x11, 0,
               "NH_ASID keeps the ASID");
    is_command(full, 0x12 | asid, va | 1, 0x12 | asid, va | 1,
               "NH_VA keeps ASID, address, leaf");
    is_command(full, 0x13 | asid, va | 1, 0x13, va | 1, "NH_VAA keeps no ASID");
    is_command(full, 0x12 | num | scale, va | 3u << 8, 0x12, va, "TG 0: no range fields");
    is_command(full, 0x12 | num | scale, va | 1u << 10 | 3u << 8, 0x12 | num | scale,
               va | 1u << 10 | 3u << 8, "a range is kept");
    is_command(full, 0x12, va | 1u << 10, 0x12, va, "a reserved range is one address");
    is_command(full, 0x12, va | 2u << 10 | 1u << 8, 0x12, va,
               "16 KiB with TTL 1 is one address without DS");
    is_command(full, 0x12 | num | 1u << 25, va | 1u << 10, 0x12 | num, va | 1u << 10,
               "SCALE has five bits without DS");
    memcpy(plain, full, sizeof plain);
    plain[3] = 0;
    is_command(plain, 0x12 | num | scale, va | 1u << 10 | 3u << 8, 0x12, va,
               "without RIL there are no range fields");
    plain[0] &= ~(1u << 12);
    is_command(plain, 0x12 | asid, va, 0x12 | 0x34ull << 48, va,
               "without ASID16, eight bits");
    is_command(full, 0x05 | 7u << 12 | 9ull << 32, 1, 0x05 | 7u << 12 | 9ull << 32, 1,
               "CFGI_CD keeps stream, substream, leaf");
    is_command(full, 0x06 | 7u << 12 | 9ull << 32, 1, 0x06 | 9ull << 32, 0,
               "CFGI_CD_ALL keeps the stream");
    plain[1] = 16;
    is_command(plain, 0x05 | 7u << 12 | 9ull << 32, 1, 0x05 | 9ull << 32, 1,
               "without substreams, no substream");
    is_command(full, 0x40 | 1u << 11 | 7u << 12 | 9ull << 32, va | 3,
               0x40 | 1u << 11 | 7u << 12 | 9ull << 32, va | 3,
               "ATC_INV keeps what it says");
    plain[0] &= ~(1u << 10);
    tap_is(command_of(plain, 0x40, 0).kind, VIOMMUI_COMMAND_ILLEGAL,
           "ATC_INV without ATS is illegal");
}

static void test_caps(void)
{
    ViommuHostDeviceInfo host = {.type = VIOMMU_IOMMU_ARM_SMMUV3, .can_nest = TRUE};
    g_autoptr(GError) error = NULL;
    guint32 idr[6];

    memcpy(host.smmuv3.idr, full, sizeof full);
    tap_ok(viommui_smmuv3_check_caps(full, &host, "dev", NULL),
           "a host like the guest will do");
    host.smmuv3.idr[1] = 16 | 4 << 6;
    tap_ok(!viommui_smmuv3_check_caps(full, &host, "dev", &error),
           "less SSIDSIZE is refused");
    tap_has(error->message, "dev: the guest's SMMU has IDR1.SSIDSIZE 20, the host's 4",
            "... naming field and both values");
    g_clear_error(&error);
    host.type = VIOMMU_IOMMU_INTEL_VTD;
    tap_ok(!viommui_smmuv3_check_caps(full, &host, "dev", &error),
           "another IOMMU is refused");
    g_clear_error(&error);
    host.type = VIOMMU_IOMMU_ARM_SMMUV3;
    memcpy(host.smmuv3.idr, full, sizeof full);
    host.smmuv3.idr[0] &= ~(3u << 21);
    tap_ok(viommui_smmuv3_check_caps(full, &host, "dev", NULL),
           "a host of both endiannesses serves a little-endian guest");
    memcpy(host.smmuv3.idr, full, sizeof full);
    host.smmuv3.idr[0] |= 2u << 24;
    host.smmuv3.idr[0] &= ~(1u << 24);
    tap_ok(!viommui_smmuv3_check_caps(full, &host, "dev", &error),
           "a host that must stall is refused");
    tap_has(error->message, "IDR0.STALL_MODEL 2", "... naming it");
    g_clear_error(&error);
    memcpy(host.smmuv3.idr, full, sizeof full);
    memcpy(idr, full, sizeof idr);
    idr[0] &= ~(1u << 26);
    tap_ok(!viommui_smmuv3_check_caps(idr, &host, "dev", &error),
           "a guest whose faults may be RAZ/WI, where the host's may not, is refused");
    tap_has(error->message, "IDR0.TERM_MODEL 0, the host's 1", "... naming it");
    g_clear_error(&error);
    host.smmuv3.idr[0] &= ~(1u << 26);
    tap_ok(viommui_smmuv3_check_caps(full, &host, "dev", NULL),
           "the other way round is well");
    memcpy(idr, full, sizeof idr);
    tap_ok(viommui_smmuv3_check_guest_idr(idr, NULL), "what acceleration takes is taken");
    idr[0] |= 1;
    tap_ok(!viommui_smmuv3_check_guest_idr(idr, &error), "a guest with stage 2 is refused");
    tap_has(error->message, "0x00000001 of IDR0", "... naming it");
    g_clear_error(&error);
    idr[0] = full[0] & ~(3u << 24);
    tap_ok(!viommui_smmuv3_check_guest_idr(idr, &error),
           "a guest that may stall is refused");
}

int main(void)
{
    test_ste_kinds();
    test_ste_fields();
    test_ste_without_features();
    test_command_kinds();
    test_command_fields();
    test_caps();
    return tap_done();
}
