/* SPDX-License-Identifier: MIT */
/*
 * Commands of the command queue (Arm IHI 0070, chapter 4): what the guest wrote, whether it
 * is legal, and what of it the host takes. Pure functions of their arguments.
 *
 * The host refuses any bit that its SMMU does not define. For the guest a bit in a field
 * that is RES0 or ignored is no error, so such fields are dropped here, and nothing but
 * what is left goes down.
 */

#include "smmuv3.h"

#include <string.h>

static gboolean promises(const guint32 guest_idr[6], guint reg, ViommuiField field)
{
    return viommui_field_get(guest_idr[reg], field) != 0;
}

static guint64 mask_asid(const guint32 guest_idr[6])
{
    guint64 mask = viommui_field_mask(CMD0_TLBI_ASID);

    return promises(guest_idr, 0, IDR0_ASID16) ? mask : mask & ~(mask << 8);
}

/*
 * The range fields (4.4.1.1), if they say anything. A reserved combination is taken for
 * the single address it starts with, whatever the level of its entry: never too little.
 */
static void keep_range(const guint32 guest_idr[6], const guint64 word[2], guint64 keep[2])
{
    gboolean ds = promises(guest_idr, 5, IDR5_DS);
    guint64 tg = viommui_field_get(word[1], CMD1_TLBI_TG);
    guint64 ttl = viommui_field_get(word[1], CMD1_TLBI_TTL);
    guint64 range = viommui_field_mask(CMD0_TLBI_NUM) | viommui_field_mask(CMD0_TLBI_SCALE);

    if (!promises(guest_idr, 3, IDR3_RIL) || tg == TG_NONE)
        return;
    if (!ds)
        range &= ~viommui_field_set(0, CMD0_TLBI_SCALE, SCALE_MAX_WITHOUT_DS + 1);
    if (tg == TG_16K && ttl == 1 && !ds)
        ttl = 0;
    if (!(word[0] & range) && !ttl)
        return;
    keep[0] |= range;
    keep[1] |= viommui_field_mask(CMD1_TLBI_TG);
    if (ttl)
        keep[1] |= viommui_field_mask(CMD1_TLBI_TTL);
}

static ViommuiCommandKind decode_tlbi(const guint32 guest_idr[6], guint opcode,
                                      const guint64 word[2], guint64 keep[2])
{
    if (opcode == CMD_TLBI_NH_ASID || opcode == CMD_TLBI_NH_VA)
        keep[0] |= mask_asid(guest_idr);
    if (opcode == CMD_TLBI_NH_VA || opcode == CMD_TLBI_NH_VAA) {
        keep_range(guest_idr, word, keep);
        keep[1] |= viommui_field_mask(CMD1_LEAF) | viommui_field_mask(CMD1_ADDRESS);
    }
    return VIOMMUI_COMMAND_TLBI;
}

static ViommuiCommandKind decode_cfgi_cd(const guint32 guest_idr[6], guint opcode,
                                         guint64 keep[2])
{
    keep[0] |= viommui_field_mask(CMD0_SID);
    if (opcode == CMD_CFGI_CD) {
        if (promises(guest_idr, 1, IDR1_SSIDSIZE))
            keep[0] |= viommui_field_mask(CMD0_SSID);
        keep[1] |= viommui_field_mask(CMD1_LEAF);
    }
    return VIOMMUI_COMMAND_CFGI;
}

static ViommuiCommandKind decode_atc_inv(const guint32 guest_idr[6], const guint64 word[2],
                                         guint64 keep[2], const char **ret_why)
{
    if (!promises(guest_idr, 0, IDR0_ATS)) {
        *ret_why = "ATC_INV without IDR0.ATS";
        return VIOMMUI_COMMAND_ILLEGAL;
    }
    if (viommui_field_get(word[1], CMD1_ATC_SIZE) > ATC_SIZE_ALL) {
        *ret_why = "ATC_INV.Size";
        return VIOMMUI_COMMAND_ILLEGAL;
    }
    keep[0] |= viommui_field_mask(CMD0_SID);
    if (promises(guest_idr, 1, IDR1_SSIDSIZE))
        keep[0] |= viommui_field_mask(CMD0_SSV) | viommui_field_mask(CMD0_SSID) |
                   viommui_field_mask(CMD0_ATC_GLOBAL);
    keep[1] |= viommui_field_mask(CMD1_ATC_SIZE) | viommui_field_mask(CMD1_ADDRESS);
    return VIOMMUI_COMMAND_ATC_INV;
}

/* keep: the fields of both words that go to the host. */
static ViommuiCommandKind decode(const guint32 guest_idr[6], guint opcode,
                                 const guint64 word[2], guint64 keep[2],
                                 const char **ret_why)
{
    switch (opcode) {
    case CMD_TLBI_NH_ALL:
    case CMD_TLBI_NH_ASID:
    case CMD_TLBI_NH_VA:
    case CMD_TLBI_NH_VAA:
    case CMD_TLBI_NSNH_ALL:
        return decode_tlbi(guest_idr, opcode, word, keep);
    case CMD_CFGI_CD:
    case CMD_CFGI_CD_ALL:
        return decode_cfgi_cd(guest_idr, opcode, keep);
    case CMD_CFGI_STE:
    case CMD_CFGI_STE_RANGE:
        return VIOMMUI_COMMAND_CFGI_STE;
    case CMD_ATC_INV:
        return decode_atc_inv(guest_idr, word, keep, ret_why);
    case CMD_PREFETCH_CONFIG:
    case CMD_PREFETCH_ADDR:
    case CMD_SYNC:
        return VIOMMUI_COMMAND_COMPLETE;
    default:
        *ret_why = "opcode";
        return VIOMMUI_COMMAND_ILLEGAL;
    }
}

/* The commands that name a stream must not name a Secure one (4.1.6). */
static gboolean names_secure_stream(const ViommuiCommand *command, guint64 word0)
{
    gboolean names_stream = command->kind == VIOMMUI_COMMAND_CFGI ||
                            command->kind == VIOMMUI_COMMAND_CFGI_STE ||
                            command->kind == VIOMMUI_COMMAND_ATC_INV ||
                            command->opcode == CMD_PREFETCH_CONFIG ||
                            command->opcode == CMD_PREFETCH_ADDR;

    return names_stream && viommui_field_get(word0, CMD0_SSEC);
}

ViommuiCommand viommui_smmuv3_decode_command(const guint32 guest_idr[6],
                                             const guint8 *bytes)
{
    ViommuiCommand command = {0};
    guint64 keep[2] = {viommui_field_mask(CMD0_OPCODE), 0};
    guint64 word[2];

    memcpy(word, bytes, sizeof word);
    word[0] = GUINT64_FROM_LE(word[0]);
    word[1] = GUINT64_FROM_LE(word[1]);
    command.opcode = viommui_field_get(word[0], CMD0_OPCODE);
    command.sid = viommui_field_get(word[0], CMD0_SID);
    command.kind = decode(guest_idr, command.opcode, word, keep, &command.why);
    if (names_secure_stream(&command, word[0])) {
        command.kind = VIOMMUI_COMMAND_ILLEGAL;
        command.why = "SSec";
    }
    command.words[0] = GUINT64_TO_LE(word[0] & keep[0]);
    command.words[1] = GUINT64_TO_LE(word[1] & keep[1]);
    return command;
}

void viommui_smmuv3_make_cfgi_cd_all(guint32 sid, guint64 ret_words[2])
{
    guint64 word = viommui_field_set(CMD_CFGI_CD_ALL, CMD0_SID, sid);

    ret_words[0] = GUINT64_TO_LE(word);
    ret_words[1] = 0;
}
