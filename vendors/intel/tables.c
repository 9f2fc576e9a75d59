/* SPDX-License-Identifier: MIT */
/*
 * Root, context and PASID tables (VT-d 3.4, 9.1 to 9.6): a requester ID's context entry,
 * and the PASID table entries that it leads to.
 *
 * Invariants: every entry is read once, into a copy, and judged by that; nothing is cached
 * here. An entry that is not present is judged by its P bit alone.
 *
 * Up the path: vunit.c for host devices, configuration.c for emulated endpoints. Down:
 * ViommuServices.read_memory.
 */

#include "vunit.h"

#include <string.h>

enum { ROOT_ENTRY_SIZE = 16, CONTEXT_ENTRY_SIZE = 16, SM_CONTEXT_ENTRY_SIZE = 32 };
enum { PASIDDIR_ENTRY_SIZE = 8, DIRECTORY_CHUNK = 64 };

static gboolean has(guint64 word, ViommuiField field)
{
    return viommui_field_get(word, field) != 0;
}

static gboolean read_words(ViommuVtd *vtd, guint64 gpa, guint64 *ret_words, guint n)
{
    const ViommuServices *services = &vtd->config.services;

    if (!services->read_memory(gpa, ret_words, n * sizeof *ret_words, services->user_data))
        return FALSE;
    for (guint i = 0; i < n; i++)
        ret_words[i] = GUINT64_FROM_LE(ret_words[i]);
    return TRUE;
}

/* A pointer to a table, in place. */
static guint64 pointer(guint64 word, ViommuiField field)
{
    return word & viommui_field_mask(field);
}

static gboolean is_beyond(const ViommuVtd *vtd, guint64 address)
{
    return address >> viommui_vtd_physical_bits(vtd->regs.cap) != 0;
}

gboolean viommui_vtd_is_not_present(guint8 reason)
{
    switch (reason) {
    case FR_ROOT_P:
    case FR_CONTEXT_P:
    case FR_SM_ROOT_P:
    case FR_SM_CONTEXT_P:
    case FR_SM_DIR_P:
    case FR_SM_PASID_P:
        return TRUE;
    default:
        return FALSE;
    }
}

/* --- legacy mode ------------------------------------------------------------------------
 */

static guint8 find_legacy(ViommuVtd *vtd, guint16 rid, guint64 *ret_words)
{
    guint64 root = pointer(vtd->regs.root, RTADDR_RTA) + (rid >> 8) * ROOT_ENTRY_SIZE;
    guint64 word[2], table;

    if (!read_words(vtd, root, word, G_N_ELEMENTS(word)))
        return FR_ROOT_ACCESS;
    if (!has(word[0], ROOT_P))
        return FR_ROOT_P;
    table = pointer(word[0], ROOT_CTP);
    if (word[1] || (word[0] ^ table) != viommui_field_mask(ROOT_P) || is_beyond(vtd, table))
        return FR_ROOT_RESERVED;
    if (!read_words(vtd, table + (rid & 0xff) * CONTEXT_ENTRY_SIZE, ret_words, 2))
        return FR_CONTEXT_ACCESS;
    return 0;
}

static gboolean is_offered_type(const ViommuVtd *vtd, guint tt)
{
    switch (tt) {
    case TT_UNTRANSLATED:
        return TRUE;
    case TT_ALL:
        return has(vtd->regs.ecap, ECAP_DT);
    case TT_PASS_THROUGH:
        return has(vtd->regs.ecap, ECAP_PT);
    default:
        return FALSE;
    }
}

static guint8 judge_legacy(ViommuVtd *vtd, const guint64 *word,
                           ViommuiVtdContextEntry *entry)
{
    guint aw = viommui_field_get(word[1], CONTEXT1_AW);
    guint did_bits = 4 + 2 * (guint)viommui_field_get(vtd->regs.cap, CAP_ND);

    if (!has(word[0], CONTEXT0_P))
        return FR_CONTEXT_P;
    entry->tt = viommui_field_get(word[0], CONTEXT0_TT);
    entry->did = viommui_field_get(word[1], CONTEXT1_DID);
    entry->table = pointer(word[0], CONTEXT0_SSPTPTR);
    entry->levels = aw + 2;
    if (has(word[0], CONTEXT0_RESERVED) || has(word[1], CONTEXT1_RESERVED) ||
        has(word[1], CONTEXT1_RESERVED_7) || is_beyond(vtd, entry->table))
        return FR_CONTEXT_RESERVED;
    /* The width counts for pass-through too, 9.3. */
    if (!is_offered_type(vtd, entry->tt) || entry->did >> did_bits ||
        !(viommui_field_get(vtd->regs.cap, CAP_SAGAW) >> aw & 1))
        return FR_CONTEXT_INVALID;
    return 0;
}

/* --- scalable mode ----------------------------------------------------------------------
 */

static guint8 find_scalable(ViommuVtd *vtd, guint16 rid, guint64 *ret_words)
{
    guint64 root = pointer(vtd->regs.root, RTADDR_RTA) + (rid >> 8) * ROOT_ENTRY_SIZE;
    guint64 word[2], half, table;

    if (!read_words(vtd, root, word, G_N_ELEMENTS(word)))
        return FR_SM_ROOT_ACCESS;
    half = word[rid >> 7 & 1]; /* the lower and the upper 128 functions of a bus */
    if (!has(half, ROOT_P))
        return FR_SM_ROOT_P;
    table = pointer(half, ROOT_CTP);
    if ((half ^ table) != viommui_field_mask(ROOT_P) || is_beyond(vtd, table))
        return FR_SM_ROOT_RESERVED;
    if (!read_words(vtd, table + (rid & 0x7f) * SM_CONTEXT_ENTRY_SIZE, ret_words, 4))
        return FR_SM_CONTEXT_ACCESS;
    return 0;
}

/* Fields of what is not offered are reserved. */
static gboolean has_reserved_sm_bits(ViommuVtd *vtd, const guint64 *word)
{
    guint64 ecap = vtd->regs.ecap;

    return has(word[0], SM_CONTEXT0_RESERVED) || has(word[1], SM_CONTEXT1_RESERVED) ||
           has(word[1], SM_CONTEXT1_RID_PRIV) || word[2] || word[3] ||
           (has(word[0], SM_CONTEXT0_DTE) && !has(ecap, ECAP_DT)) ||
           (has(word[0], SM_CONTEXT0_PASIDE) && !has(ecap, ECAP_PASID)) ||
           (has(word[0], SM_CONTEXT0_PRE) && !has(ecap, ECAP_PRS)) ||
           is_beyond(vtd, pointer(word[0], SM_CONTEXT0_PASIDDIRPTR));
}

static guint8 judge_scalable(ViommuVtd *vtd, const guint64 *word,
                             ViommuiVtdContextEntry *entry)
{
    if (!has(word[0], CONTEXT0_P))
        return FR_SM_CONTEXT_P;
    if (has_reserved_sm_bits(vtd, word))
        return FR_SM_CONTEXT_RESERVED;
    entry->pasids_enabled = has(word[0], SM_CONTEXT0_PASIDE);
    entry->page_requests = has(word[0], SM_CONTEXT0_PRE);
    entry->directory = pointer(word[0], SM_CONTEXT0_PASIDDIRPTR);
    entry->pasid_bits = MIN(PASIDDIR_MIN_BITS + PASID_TABLE_BITS +
                                (guint)viommui_field_get(word[0], SM_CONTEXT0_PDTS),
                            PASID_BITS);
    /* Without the capability the field is ignored, and the entry is that of PASID 0. */
    if (has(vtd->regs.ecap, ECAP_RPS))
        entry->rid_pasid = viommui_field_get(word[1], SM_CONTEXT1_RID_PASID);
    return 0;
}

ViommuiVtdContextEntry viommui_vtd_read_context_entry(ViommuVtd *vtd, guint16 rid)
{
    ViommuiVtdContextEntry entry = {0};
    guint ttm = viommui_vtd_ttm(vtd);
    guint64 *word = entry.words;

    if (ttm == TTM_LEGACY)
        entry.reason = find_legacy(vtd, rid, word);
    else if (ttm == TTM_SCALABLE && has(vtd->regs.ecap, ECAP_SMTS))
        entry.reason = find_scalable(vtd, rid, word);
    else
        entry.reason = FR_SM_TTM;
    if (entry.reason)
        return entry;
    entry.fault_disabled = has(word[0], CONTEXT0_FPD);
    entry.reason = ttm == TTM_LEGACY ? judge_legacy(vtd, word, &entry)
                                     : judge_scalable(vtd, word, &entry);
    return entry;
}

/* --- PASIDs -----------------------------------------------------------------------------
 */

/* A directory entry's table, or why there is none. */
static guint8 judge_directory(ViommuVtd *vtd, guint64 word, guint64 *ret_table)
{
    *ret_table = pointer(word, PASIDDIR_SMPTBLPTR);
    if (!has(word, PASIDDIR_P))
        return FR_SM_DIR_P;
    if (has(word, PASIDDIR_RESERVED) || is_beyond(vtd, *ret_table))
        return FR_SM_DIR_RESERVED;
    return 0;
}

guint8 viommui_vtd_read_pasid_entry(ViommuVtd *vtd, const ViommuiVtdContextEntry *context,
                                    guint32 pasid,
                                    guint8 ret_entry[VIOMMU_VTD_PASID_ENTRY_SIZE],
                                    gboolean *ret_fault_disabled)
{
    const ViommuServices *services = &vtd->config.services;
    guint64 address =
        context->directory + (pasid >> PASID_TABLE_BITS) * PASIDDIR_ENTRY_SIZE;
    guint64 word, table, at;
    guint8 reason;

    if (!read_words(vtd, address, &word, 1))
        return FR_SM_DIR_ACCESS;
    *ret_fault_disabled = context->fault_disabled || has(word, PASIDDIR_FPD);
    reason = judge_directory(vtd, word, &table);
    if (reason)
        return reason;
    at = table + (guint64)(pasid & (PASIDS_PER_TABLE - 1)) * VIOMMU_VTD_PASID_ENTRY_SIZE;
    if (!services->read_memory(at, ret_entry, VIOMMU_VTD_PASID_ENTRY_SIZE,
                               services->user_data))
        return FR_SM_PASID_ACCESS;
    return 0;
}

/* The first present entry of a table, from an index on. */
static gboolean find_in_table(ViommuVtd *vtd, guint64 table, guint *index)
{
    enum { WORDS = VIOMMU_VTD_PASID_ENTRY_SIZE / 8 };
    guint64 words[PASIDS_PER_TABLE * WORDS];

    if (!read_words(vtd, table + (guint64)*index * VIOMMU_VTD_PASID_ENTRY_SIZE, words,
                    (PASIDS_PER_TABLE - *index) * WORDS))
        return FALSE;
    for (guint i = 0; *index < PASIDS_PER_TABLE; ++*index, i++)
        if (has(words[i * WORDS], PASID0_P))
            return TRUE;
    return FALSE;
}

gboolean viommui_vtd_find_pasid(ViommuVtd *vtd, const ViommuiVtdContextEntry *context,
                                guint32 first, guint32 last, guint32 *ret_pasid)
{
    guint32 n = MIN(1u << (context->pasid_bits - PASID_TABLE_BITS),
                    (last >> PASID_TABLE_BITS) + 1);
    guint32 at = first >> PASID_TABLE_BITS;
    guint index = first & (PASIDS_PER_TABLE - 1);
    guint64 words[DIRECTORY_CHUNK];

    while (at < n) {
        guint32 chunk = MIN(DIRECTORY_CHUNK - at % DIRECTORY_CHUNK, n - at);

        if (!read_words(vtd, context->directory + (guint64)at * PASIDDIR_ENTRY_SIZE, words,
                        chunk))
            memset(words, 0, sizeof words);
        for (guint i = 0; i < chunk; i++, at++, index = 0) {
            guint64 table;

            if (judge_directory(vtd, words[i], &table) == 0 &&
                find_in_table(vtd, table, &index)) {
                *ret_pasid = at << PASID_TABLE_BITS | index;
                return *ret_pasid <= last;
            }
        }
    }
    return FALSE;
}
