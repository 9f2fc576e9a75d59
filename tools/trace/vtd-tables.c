/* SPDX-License-Identifier: MIT */
/*
 * The independent walk of a recorded guest's VT-d tables.
 *
 * Up: the self check, unmapped.c, vtd-player.c, vtd-scout.c. Down: tables.c, memory.c.
 */
#include "vtd-tables.h"

#include <string.h>

#define BITS  TRACE_BITS
#define FIELD TRACE_FIELD

/* RTADDR.TTM (11.4.5). */
enum { TTM_LEGACY = 0, TTM_SCALABLE = 1, TTM_ABORT = 3 };

/* 3.14: requests here are interrupts. */
#define MSI_FIRST 0xfee00000ULL
#define MSI_LAST  0xfeefffffULL

const char *vtd_form_name(VtdForm form)
{
    static const char *const names[] = {
        [VTD_DISABLED] = "translation disabled",
        [VTD_ABSENT] = "no entry",
        [VTD_BAD] = "an entry that cannot be used",
        [VTD_LEGACY_PASS] = "legacy mode, pass-through",
        [VTD_LEGACY_TABLE] = "legacy mode, second-stage tables",
        [VTD_PASS] = "scalable mode, pass-through",
        [VTD_FIRST] = "scalable mode, first-stage tables",
        [VTD_SECOND] = "scalable mode, second-stage tables",
        [VTD_NESTED] = "scalable mode, nested tables",
    };

    return names[form];
}

/* --- registers ---------------------------------------------------------------------------
 */

/* The queues (6.5, 7.5): that of page requests is written by the unit, and no P names it.
 */
gboolean trace_vtd_cover(TraceSurvey *survey, const TraceLine *line)
{
    static const guint64 queues[G_N_ELEMENTS(survey->bases)] = {VTD_IQA, VTD_PQA};

    for (gsize i = 0; i < G_N_ELEMENTS(queues); i++) {
        guint64 *base = &survey->bases[i];

        if (trace_write_wide(base, queues[i], line) && FIELD(*base, 63, 12))
            return trace_cover_add_range(survey->cover, FIELD(*base, 63, 12),
                                         (guint64)TRACE_PAGE_SIZE << BITS(*base, 2, 0));
    }
    return TRUE;
}

static gpointer create(const TraceSurvey *survey, const TraceMemory *memory)
{
    VtdTables *tables = g_new0(VtdTables, 1);
    guint64 known;

    tables->memory = memory;
    tables->cap = trace_survey_get_wide(survey, VTD_CAP, &known);
    tables->cap |= ~known;
    tables->ecap = trace_survey_get_wide(survey, VTD_ECAP, &known);
    tables->ecap |= ~known;
    return tables;
}

guint64 vtd_tables_get_iva_offset(const VtdTables *tables)
{
    return BITS(tables->ecap, 17, 8) * 16;
}

guint vtd_tables_get_descriptor_shift(const VtdTables *tables)
{
    return tables->iqa >> 11 & 1 ? 5 : 4;
}

static void write_register(gpointer data, const TraceLine *line)
{
    VtdTables *tables = data;

    trace_write_wide(&tables->rtaddr, VTD_RTADDR, line);
    trace_write_wide(&tables->ccmd, VTD_CCMD, line);
    trace_write_wide(&tables->iqa, VTD_IQA, line);
    trace_write_wide(&tables->iva, vtd_tables_get_iva_offset(tables), line);
    trace_write_wide(&tables->iotlb, vtd_tables_get_iva_offset(tables) + 8, line);
    if (line->address != VTD_GCMD || line->size < 4)
        return;
    tables->enabled = !!(line->value & VTD_GCMD_TE);
    tables->queued = !!(line->value & VTD_GCMD_QIE);
    if (line->value & VTD_GCMD_SRTP)
        tables->root = tables->rtaddr;
}

/* --- entries -----------------------------------------------------------------------------
 */

static gboolean read_words(const VtdTables *tables, guint64 gpa, guint64 *words, guint n)
{
    for (guint i = 0; i < n; i++)
        if (!trace_memory_read_word(tables->memory, gpa + 8 * i, &words[i]))
            return FALSE;
    return TRUE;
}

/* An entry of n words. FALSE, with the form: it is not there, or cannot be read. */
static gboolean fetch(const VtdTables *tables, guint64 gpa, guint n, VtdEntry *entry)
{
    entry->at = gpa;
    memset(entry->bytes, 0, sizeof(entry->bytes));
    if (!read_words(tables, gpa, entry->bytes, n)) {
        entry->form = VTD_BAD;
        return FALSE;
    }
    entry->form = VTD_ABSENT;
    return entry->bytes[0] & 1;
}

/* AW: how many levels the second stage has (9.3, 9.6). 0: as many as no unit has. */
static guint levels_of(const VtdTables *tables, guint aw)
{
    return aw >= 1 && aw <= 3 && tables->cap >> (8 + aw) & 1 ? aw + 2 : 0;
}

/* 9.1, 9.3 */
static void find_legacy(const VtdTables *tables, guint16 requester_id, VtdEntry *entry)
{
    guint64 root = FIELD(tables->root, 63, 12) + (requester_id >> 8) * 16;
    const guint64 *words = entry->bytes;

    if (!fetch(tables, root, 2, entry) ||
        !fetch(tables, FIELD(words[0], 63, 12) + (requester_id & 0xff) * 16, 2, entry))
        return;
    entry->domain = BITS(words[1], 23, 8);
    entry->second = FIELD(words[0], 63, 12);
    entry->second_levels = levels_of(tables, BITS(words[1], 2, 0));
    entry->form = VTD_BAD;
    if (!entry->second_levels)
        return;
    switch (BITS(words[0], 3, 2)) {
    case 0:
    case 1:
        entry->form = VTD_LEGACY_TABLE;
        break;
    case 2:
        if (tables->ecap >> 6 & 1)
            entry->form = VTD_LEGACY_PASS;
        break;
    }
}

/* 9.6 */
static void decode_pasid_entry(const VtdTables *tables, VtdEntry *entry)
{
    static const VtdForm forms[8] = {VTD_BAD,  VTD_FIRST, VTD_SECOND, VTD_NESTED,
                                     VTD_PASS, VTD_BAD,   VTD_BAD,    VTD_BAD};
    const guint64 *words = entry->bytes;

    entry->form = forms[BITS(words[0], 8, 6)];
    entry->domain = BITS(words[1], 15, 0);
    entry->first = FIELD(words[2], 63, 12);
    entry->first_levels = BITS(words[2], 3, 2) == 0 ? 4 : 5;
    entry->second = FIELD(words[0], 63, 12);
    entry->second_levels = levels_of(tables, BITS(words[0], 4, 2));
    entry->write_protect = words[2] >> 4 & 1;
    if ((entry->form == VTD_FIRST || entry->form == VTD_NESTED) &&
        (BITS(words[2], 3, 2) > 1 ||
         (entry->first_levels == 5 && !(tables->cap >> 60 & 1))))
        entry->form = VTD_BAD;
    if ((entry->form == VTD_SECOND || entry->form == VTD_NESTED) && !entry->second_levels)
        entry->form = VTD_BAD;
}

/* 9.2, 9.4, 9.5 */
static void find_scalable(const VtdTables *tables, guint16 requester_id, VtdEntry *entry)
{
    guint64 root = FIELD(tables->root, 63, 12) + (requester_id >> 8) * 16;
    const guint64 *words = entry->bytes;
    guint64 table, directories;

    /* Two context tables a bus: one for the devices below 16. */
    if (!fetch(tables, root + (requester_id >> 7 & 1) * 8, 1, entry) ||
        !fetch(tables, FIELD(words[0], 63, 12) + (requester_id & 0x7f) * 32, 4, entry))
        return;
    memcpy(entry->context, words, sizeof(entry->context));
    entry->pasid = tables->ecap >> 49 & 1 ? BITS(words[1], 19, 0) : 0; /* RPS */
    entry->privileged = words[1] >> 20 & 1 && tables->ecap >> 31 & 1;
    table = FIELD(words[0], 63, 12);
    directories = 1ULL << (BITS(words[0], 11, 9) + 7);
    if (entry->pasid >> 6 >= directories) {
        entry->form = VTD_BAD;
        return;
    }
    if (!fetch(tables, table + (entry->pasid >> 6) * 8, 1, entry) ||
        !fetch(tables, FIELD(words[0], 63, 12) + (entry->pasid & 0x3f) * 64, 8, entry))
        return;
    decode_pasid_entry(tables, entry);
}

void vtd_tables_find(const VtdTables *tables, guint16 requester_id, VtdEntry *ret_entry)
{
    *ret_entry = (VtdEntry){.form = VTD_DISABLED};
    if (!tables->enabled)
        return;
    switch (BITS(tables->root, 11, 10)) {
    case TTM_LEGACY:
        find_legacy(tables, requester_id, ret_entry);
        break;
    case TTM_SCALABLE:
        find_scalable(tables, requester_id, ret_entry);
        break;
    case TTM_ABORT:
        ret_entry->form = VTD_ABSENT;
        break;
    default:
        ret_entry->form = VTD_BAD;
        break;
    }
}

/* --- translation tables ------------------------------------------------------------------
 */

/* One stage's walk: which entries there are, and what they allow. */
typedef struct {
    const VtdTables *tables;
    guint64 table;
    guint levels;
    gboolean second;
    gboolean user;          /* first stage: the request is */
    gboolean write_protect; /* first stage: and when it is not, RW counts all the same */
    const VtdEntry *nested; /* the second stage below this first one, or NULL */
} Walk;

/* Is a leaf possible at this level? */
static gboolean is_large(const Walk *walk, guint level)
{
    guint64 cap = walk->tables->cap;

    if (level == 2)
        return !walk->second || cap >> 34 & 1;
    return level == 3 && (walk->second ? cap >> 35 & 1 : cap >> 56 & 1);
}

/* The rights that an entry leaves; 0: it is not present (9.7, 9.8). */
static guint rights_of(const Walk *walk, guint64 word)
{
    if (walk->second)
        return word & 3;
    if (!(word & 1))
        return 0;
    if (walk->user)
        return !(word & 4) ? 0 : word & 2 ? 3 : 1;
    return word & 2 || !walk->write_protect ? 3 : 1;
}

static gboolean is_present(const Walk *walk, guint64 word)
{
    return word & (walk->second ? 3 : 1);
}

/* Where the address may be: canonical, or within the width of the tables (3.6, 3.7). */
static gboolean is_in_range(const Walk *walk, guint64 address)
{
    guint bits = 12 + 9 * walk->levels;

    if (walk->second)
        return address >> bits == 0;
    return address >> (bits - 1) == 0 || address >> (bits - 1) == G_MAXUINT64 >> (bits - 1);
}

static gboolean walk_second(const VtdTables *tables, const VtdEntry *entry, guint64 address,
                            TraceAnswer *answer);

/* Where a first-stage table really stands. FALSE: nowhere. */
static gboolean find_table(const Walk *walk, guint64 *address)
{
    TraceAnswer second = {.perms = 3};

    if (!walk->nested)
        return TRUE;
    if (!walk_second(walk->tables, walk->nested, *address, &second) || !(second.perms & 1))
        return FALSE;
    *address = second.gpa;
    return TRUE;
}

/* FALSE: nothing is mapped there; the answer has how far it went. */
static gboolean walk_stage(const Walk *walk, guint64 address, TraceAnswer *answer)
{
    guint64 table = walk->table;

    if (!is_in_range(walk, address))
        return FALSE;
    for (guint level = walk->levels; level; level--) {
        guint shift = 12 + 9 * (level - 1);
        guint64 at = table + BITS(address, shift + 8, shift) * 8;
        guint64 word;

        answer->level = level;
        if (!find_table(walk, &at) ||
            !trace_memory_read_word(walk->tables->memory, at, &word))
            return FALSE;
        answer->descriptor = at;
        if (!is_present(walk, word))
            return FALSE;
        answer->perms &= rights_of(walk, word);
        table = FIELD(word, 51, 12);
        if (level > 1 && !(word >> 7 & 1))
            continue;
        if (level > 1 && !is_large(walk, level))
            return FALSE;
        answer->start = address >> shift << shift;
        answer->size = 1ULL << shift;
        answer->gpa = (table >> shift << shift) | (address - answer->start);
        return TRUE;
    }
    return FALSE;
}

static gboolean walk_second(const VtdTables *tables, const VtdEntry *entry, guint64 address,
                            TraceAnswer *answer)
{
    const Walk walk = {.tables = tables,
                       .table = entry->second,
                       .levels = entry->second_levels,
                       .second = TRUE};

    return walk_stage(&walk, address, answer);
}

static gboolean walk_first(const VtdTables *tables, const VtdEntry *entry, guint64 address,
                           TraceAnswer *answer)
{
    const Walk walk = {.tables = tables,
                       .table = entry->first,
                       .levels = entry->first_levels,
                       .user = !entry->privileged,
                       .write_protect = entry->write_protect,
                       .nested = entry->form == VTD_NESTED ? entry : NULL};
    TraceAnswer second = {.perms = 3};

    if (!walk_stage(&walk, address, answer))
        return FALSE;
    if (!walk.nested)
        return TRUE;
    if (!walk_second(tables, entry, answer->gpa, &second))
        return FALSE;
    answer->gpa = second.gpa;
    answer->perms &= second.perms;
    answer->size = MIN(answer->size, second.size);
    answer->start = address & ~(answer->size - 1);
    return TRUE;
}

static void walk_tables(const VtdTables *tables, const VtdEntry *entry, guint64 iova,
                        TraceAnswer *answer)
{
    gboolean first = entry->form == VTD_FIRST || entry->form == VTD_NESTED;

    answer->root = first ? entry->first : entry->second;
    answer->kind = (first ? walk_first(tables, entry, iova, answer)
                          : walk_second(tables, entry, iova, answer))
                       ? TRACE_MAPPED
                       : TRACE_UNMAPPED;
}

static void walk(gconstpointer data, guint32 sid, guint64 iova, TraceAnswer *ret_answer)
{
    const VtdTables *tables = data;
    VtdEntry entry;

    vtd_tables_find(tables, sid, &entry);
    *ret_answer = (TraceAnswer){
        .kind = TRACE_ABORTED,
        .gpa = iova,
        .perms = 3,
        .tag = entry.domain,
        .pasid = entry.pasid,
        .form = entry.form,
        .entry = entry.at,
    };
    if (iova >= MSI_FIRST && iova <= MSI_LAST) {
        ret_answer->kind = TRACE_MESSAGE;
        ret_answer->perms = 2;
        return;
    }
    switch (entry.form) {
    case VTD_DISABLED:
        ret_answer->kind = TRACE_DISABLED;
        break;
    case VTD_LEGACY_PASS:
    case VTD_PASS:
        ret_answer->kind = TRACE_BYPASSED;
        break;
    case VTD_ABSENT:
    case VTD_BAD:
        break;
    default:
        walk_tables(tables, &entry, iova, ret_answer);
        break;
    }
}

/* The address mask of the page. */
static gboolean extra_fits(const TraceAnswer *answer, guint64 extra)
{
    return answer->size - 1 == extra;
}

const TraceTablesOps trace_vtd_tables = {
    .create = create,
    .write = write_register,
    .walk = walk,
    .extra_fits = extra_fits,
};
