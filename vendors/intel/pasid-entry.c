/* SPDX-License-Identifier: MIT */
/*
 * PASID table entries (VT-d 9.6): what the guest wrote, whether it is legal for what it was
 * offered, and what of it the host takes. Pure functions of their arguments.
 *
 * Beside: the acceleration layer, which binds them, and the front end's walk.
 */

#include "vtd.h"

#include <string.h>

static gboolean is_set(guint64 word, ViommuiField field)
{
    return viommui_field_get(word, field) != 0;
}

static void refuse(ViommuiPasidEntry *entry, guint8 reason, const char *why, guint64 value)
{
    entry->kind = VIOMMUI_PASID_ENTRY_ILLEGAL;
    entry->reason = reason;
    entry->why = why;
    entry->value = value;
}

static gboolean is_beyond(guint64 cap, guint64 word, ViommuiField pointer)
{
    return (word & viommui_field_mask(pointer)) >> viommui_vtd_physical_bits(cap) != 0;
}

/* Levels of a width that SAGAW offers; 0: it does not. */
static guint levels_of(guint64 cap, guint64 width)
{
    guint64 offered = viommui_field_get(cap, CAP_SAGAW);

    return width >= 1 && width <= 3 && offered >> width & 1 ? (guint)width + 2 : 0;
}

static void decode_first(guint64 cap, guint64 ecap, const guint64 *word,
                         ViommuiPasidEntry *entry)
{
    guint64 mode = viommui_field_get(word[2], PASID2_FSPM);

    entry->kind = VIOMMUI_PASID_ENTRY_FIRST;
    entry->table = word[2] & viommui_field_mask(PASID2_FSPTPTR);
    entry->levels = 4 + (guint)mode;
    entry->supervisor = is_set(word[2], PASID2_SRE);
    entry->write_protect = is_set(word[2], PASID2_WPE);
    entry->execute = is_set(word[2], PASID2_ERE);
    entry->no_execute = is_set(word[2], PASID2_NXE);
    entry->extended_accessed = is_set(word[2], PASID2_EAFE);
    if (!is_set(ecap, ECAP_FSTS))
        refuse(entry, FR_SM_PASID_INVALID, "PGTT", entry->pgtt);
    else if (is_set(word[2], PASID2_RESERVED))
        refuse(entry, FR_SM_PASID_RESERVED, "reserved field (139:136)",
               viommui_field_get(word[2], PASID2_RESERVED));
    else if (mode > (is_set(cap, CAP_FS5LP) ? 1 : 0))
        refuse(entry, FR_SM_PASID_INVALID, "FSPM", mode);
    else if (entry->supervisor && !is_set(ecap, ECAP_SRS))
        refuse(entry, FR_SM_PASID_RESERVED, "SRE", 1);
    else if (entry->execute && !is_set(ecap, ECAP_ERS))
        refuse(entry, FR_SM_PASID_RESERVED, "ERE", 1);
    else if (entry->extended_accessed && !is_set(ecap, ECAP_EAFS))
        refuse(entry, FR_SM_PASID_RESERVED, "EAFE", 1);
    else if (is_beyond(cap, word[2], PASID2_FSPTPTR))
        refuse(entry, FR_SM_PASID_RESERVED, "FSPTPTR", entry->table);
}

static void decode_second(guint64 cap, guint64 ecap, const guint64 *word,
                          ViommuiPasidEntry *entry)
{
    entry->kind = VIOMMUI_PASID_ENTRY_SECOND;
    entry->table = word[0] & viommui_field_mask(PASID0_SSPTPTR);
    entry->levels = levels_of(cap, viommui_field_get(word[0], PASID0_AW));
    if (!is_set(ecap, ECAP_SSTS))
        refuse(entry, FR_SM_PASID_INVALID, "PGTT", entry->pgtt);
    else if (!entry->levels)
        refuse(entry, FR_SM_PASID_INVALID, "AW", viommui_field_get(word[0], PASID0_AW));
    else if (is_set(word[0], PASID0_SSADE) && !is_set(ecap, ECAP_SSADS))
        refuse(entry, FR_SM_PASID_RESERVED, "SSADE", 1);
    else if (is_beyond(cap, word[0], PASID0_SSPTPTR))
        refuse(entry, FR_SM_PASID_RESERVED, "SSPTPTR", entry->table);
}

/* Of word 1; snooping is of walks and of pages, each where it is offered. */
static guint64 reserved_in_word_1(guint64 ecap)
{
    guint64 mask = viommui_field_mask(PASID1_RESERVED);

    if (!is_set(ecap, ECAP_SMPWCS))
        mask |= viommui_field_mask(PASID1_PWSNP);
    if (!is_set(ecap, ECAP_SC))
        mask |= viommui_field_mask(PASID1_PGSNP);
    return mask;
}

/* A word's bits that are reserved whatever the entry is; *ret_bits: those that are set. */
static gboolean has_reserved_bits(guint64 ecap, const guint64 *word, guint64 *ret_bits)
{
    for (guint i = 0; i < PASID_ENTRY_WORDS; i++) {
        guint64 mask = i == 0   ? viommui_field_mask(PASID0_RESERVED)
                       : i == 1 ? reserved_in_word_1(ecap)
                       : i == 2 ? 0
                                : G_MAXUINT64;

        *ret_bits = word[i] & mask;
        if (*ret_bits)
            return TRUE;
    }
    return FALSE;
}

static void decode_present(guint64 cap, guint64 ecap, const guint64 *word,
                           ViommuiPasidEntry *entry)
{
    guint64 bits;

    if (has_reserved_bits(ecap, word, &bits)) {
        refuse(entry, FR_SM_PASID_RESERVED, "reserved field", bits);
    } else if (entry->pgtt == PGTT_FIRST) {
        decode_first(cap, ecap, word, entry);
    } else if (entry->pgtt == PGTT_SECOND) {
        decode_second(cap, ecap, word, entry);
    } else if (entry->pgtt == PGTT_PASS_THROUGH && is_set(ecap, ECAP_PT)) {
        entry->kind = VIOMMUI_PASID_ENTRY_PASS_THROUGH;
    } else { /* reserved, or not offered */
        refuse(entry, FR_SM_PASID_INVALID, "PGTT", entry->pgtt);
    }
}

ViommuiPasidEntry viommui_vtd_decode_pasid_entry(guint64 cap, guint64 ecap,
                                                 const guint8 *bytes)
{
    guint did_bits = 4 + 2 * (guint)viommui_field_get(cap, CAP_ND);
    guint64 word[PASID_ENTRY_WORDS];
    ViommuiPasidEntry entry = {0};

    memcpy(word, bytes, sizeof word);
    for (guint i = 0; i < PASID_ENTRY_WORDS; i++)
        word[i] = GUINT64_FROM_LE(word[i]);
    entry.fault_disabled = is_set(word[0], PASID0_FPD);
    if (!is_set(word[0], PASID0_P))
        return entry;
    entry.did = viommui_field_get(word[1], PASID1_DID);
    entry.pgtt = viommui_field_get(word[0], PASID0_PGTT);
    decode_present(cap, ecap, word, &entry);
    /* A domain ID that the unit does not have, 6.2.1. */
    if (entry.kind != VIOMMUI_PASID_ENTRY_ILLEGAL && entry.did >> did_bits)
        refuse(&entry, FR_SM_PASID_INVALID, "domain ID", entry.did);
    return entry;
}

ViommuiVtdStage1 viommui_vtd_make_stage1(const ViommuiPasidEntry *entry)
{
    ViommuiVtdStage1 data = {0};

    if (entry->supervisor)
        data.flags |= VIOMMUI_VTD_S1_SRE;
    if (entry->extended_accessed)
        data.flags |= VIOMMUI_VTD_S1_EAFE;
    /* It is about supervisor requests; equal for all others. */
    if (entry->supervisor && entry->write_protect)
        data.flags |= VIOMMUI_VTD_S1_WPE;
    data.table = entry->table;
    data.address_width = entry->levels == 5 ? 57 : 48;
    return data;
}
