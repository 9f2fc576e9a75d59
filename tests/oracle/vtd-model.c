/* SPDX-License-Identifier: MIT */
/*
 * Up: vtd-world.c, test-vtd-device-oracle.c. Down: nothing.
 *
 * Invariant: each mask holds at least what stands in memory now, and all that stood there
 * since the last invalidation of it. Context entries are cached by requester ID, PASID
 * table entries by requester ID and PASID, translations by space: so a change reaches all
 * those through which a request may have seen it.
 *
 * What is cached only as long as it is of use, and what not to have cached is an error, is
 * judged by the walk that a miss makes: a page that is not mapped, and a right that is not
 * given (6.2.4).
 */
#include "vtd-model.h"

#include <string.h>

/* --- states -----------------------------------------------------------------------------
 */

static gboolean is_dir(guint context)
{
    return context >= CONTEXT_DIR && context < CONTEXT_PASS;
}

static guint dir_of(guint context)
{
    return (context - CONTEXT_DIR) / 4;
}

static gboolean has_pasids(guint context)
{
    return (context - CONTEXT_DIR) >> 1 & 1;
}

int model_entry_pasid(guint context, int pasid)
{
    if (!is_dir(context) || (pasid != NO_PASID && !has_pasids(context)))
        return ANY;
    return pasid != NO_PASID ? pasid : (int)(context - CONTEXT_DIR) & 1;
}

int model_context_did(guint context)
{
    if (context >= CONTEXT_SECOND)
        return (int)(context - CONTEXT_SECOND) / SECOND_TABLES;
    return context >= CONTEXT_PASS ? (int)(context - CONTEXT_PASS) : NOBODY;
}

int model_entry_did(guint entry)
{
    if (entry >= ENTRY_FIRST)
        return (int)(entry - ENTRY_FIRST) / FIRST_TABLES;
    if (entry >= ENTRY_SECOND)
        return (int)(entry - ENTRY_SECOND) / SECOND_TABLES;
    return entry >= ENTRY_PASS ? (int)(entry - ENTRY_PASS) : NOBODY;
}

static guint first_space(guint entry, guint pasid)
{
    return (guint)model_entry_did(entry) * PASIDS + pasid;
}

static guint second_space(int did)
{
    return FIRST_SPACES + (guint)did;
}

/* --- what is behind what ----------------------------------------------------------------
 */

/* The entries of a PASID that a requester ID with one of these contexts may read now. */
static guint64 entries_behind(const Model *model, guint64 contexts, guint pasid)
{
    guint64 entries = 0;

    for (guint c = CONTEXT_DIR; c < CONTEXT_PASS; c++)
        if (contexts & BIT64(c))
            entries |= BIT64(model->entry[dir_of(c)][pasid]);
    return entries;
}

static guint64 current_entries(const Model *model, guint rid, guint pasid)
{
    return entries_behind(model, BIT64(model->context[rid]), pasid);
}

/* The tables that may be walked in a space now. */
static guint32 tables_behind(const Model *model, guint space)
{
    guint32 first = 0, second = 0;
    guint did = space < FIRST_SPACES ? space / PASIDS : space - FIRST_SPACES;

    for (guint r = 0; r < RIDS; r++) {
        if (space < FIRST_SPACES) {
            first |=
                model->entries[r][space % PASIDS] >> (ENTRY_FIRST + FIRST_TABLES * did);
            continue;
        }
        second |= model->contexts[r] >> (CONTEXT_SECOND + SECOND_TABLES * did);
        for (guint p = 0; p < PASIDS; p++)
            second |= model->entries[r][p] >> (ENTRY_SECOND + SECOND_TABLES * did);
    }
    return (first & (BIT(FIRST_TABLES) - 1)) | (second & (BIT(SECOND_TABLES) - 1))
                                                   << FIRST_TABLES;
}

static guint32 pages_behind(const Model *model, guint32 tables, guint page)
{
    guint32 to = 0;

    for (guint t = 0; t < TABLES; t++)
        if (tables & BIT(t))
            to |= model->page[t][page];
    return to;
}

/* --- all that may be met from now on is in the masks from now on ------------------------
 */

static void absorb_page(Model *model, ModelSpace *space, guint page)
{
    guint32 behind = pages_behind(model, space->walked[page / REGION_PAGES], page);

    space->pages[page] |= behind;
    if (space->differs[page / REGION_PAGES])
        return;
    /* Not cached; and no more than what is writable there. */
    space->pages[page] &= ~(TO_NOWHERE | (space->pages[page] & ALL_PAGES) << PAGES);
    space->pages[page] |= behind;
}

static void absorb_spaces(Model *model)
{
    for (guint s = 0; s < SPACES; s++) {
        guint32 tables = tables_behind(model, s);

        for (guint i = 0; i < REGIONS; i++)
            model->spaces[s].walked[i] |= tables;
        for (guint p = 0; p < PAGES; p++)
            absorb_page(model, &model->spaces[s], p);
    }
}

static void absorb(Model *model)
{
    for (guint r = 0; r < RIDS; r++) {
        model->contexts[r] |= BIT64(model->context[r]);
        for (guint p = 0; p < PASIDS; p++)
            model->entries[r][p] |= entries_behind(model, model->contexts[r], p);
    }
    absorb_spaces(model);
}

void model_init(Model *model)
{
    memset(model, 0, sizeof *model);
    for (guint t = 0; t < TABLES; t++)
        for (guint p = 0; p < PAGES; p++)
            model->page[t][p] = TO_NOWHERE;
    absorb(model);
}

void model_set_context(Model *model, guint rid, guint context)
{
    model->context[rid] = context;
    absorb(model);
}

void model_set_entry(Model *model, guint dir, guint pasid, guint entry)
{
    model->entry[dir][pasid] = entry;
    absorb(model);
}

void model_set_page(Model *model, guint table, guint page, guint32 to)
{
    model->page[table][page] = to;
    for (guint s = 0; s < SPACES; s++)
        if (model->spaces[s].walked[page / REGION_PAGES] & BIT(table))
            absorb_page(model, &model->spaces[s], page);
}

void model_set_region(Model *model, guint table, guint region,
                      const guint32 to[REGION_PAGES])
{
    memcpy(&model->page[table][region * REGION_PAGES], to, REGION_PAGES * sizeof *to);
    for (guint s = 0; s < SPACES; s++)
        if (model->spaces[s].walked[region] & BIT(table))
            model->spaces[s].differs[region] = TRUE;
    absorb_spaces(model);
}

/* --- invalidations ----------------------------------------------------------------------
 */

/* Whether what is cached under one domain ID is what a descriptor of another means. */
static gboolean is_meant(int did, int cached, guint32 current)
{
    if (did == ANY || cached == did)
        return TRUE;
    return cached == NOBODY && (current & BIT(did));
}

static guint32 dids_of_entries(guint64 entries)
{
    guint32 dids = 0;

    for (; entries; entries &= entries - 1)
        dids |= BIT(model_entry_did((guint)__builtin_ctzll(entries)));
    return dids;
}

static guint32 dids_of_contexts(guint64 contexts)
{
    guint32 dids = 0;

    for (; contexts; contexts &= contexts - 1)
        dids |= BIT(model_context_did((guint)__builtin_ctzll(contexts)));
    return dids;
}

static void forget_context(Model *model, guint rid, int did)
{
    guint64 current = BIT64(model->context[rid]);

    for (guint c = 0; c < CONTEXTS; c++)
        if (is_meant(did, model_context_did(c), dids_of_contexts(current)))
            model->contexts[rid] &= ~BIT64(c);
    model->contexts[rid] |= current;
}

static void forget_entry(Model *model, guint rid, guint pasid, int did)
{
    guint64 current = current_entries(model, rid, pasid);

    for (guint e = 0; e < ENTRIES; e++)
        if (is_meant(did, model_entry_did(e), dids_of_entries(current)))
            model->entries[rid][pasid] &= ~BIT64(e);
    model->entries[rid][pasid] |= entries_behind(model, model->contexts[rid], pasid);
}

static void forget_pages(Model *model, guint s, guint32 pages, gboolean leaf)
{
    ModelSpace *space = &model->spaces[s];

    for (guint i = 0; i < REGIONS; i++) {
        if (leaf || !(pages >> i * REGION_PAGES & (BIT(REGION_PAGES) - 1)))
            continue;
        /* With a page go the descriptors above it, which are those of the region. */
        space->walked[i] = tables_behind(model, s);
        space->differs[i] = FALSE;
    }
    for (guint p = 0; p < PAGES; p++)
        if (pages & BIT(p) && !space->differs[p / REGION_PAGES])
            space->pages[p] = pages_behind(model, space->walked[p / REGION_PAGES], p);
}

static void forget_domain(Model *model, int did)
{
    for (guint s = 0; s < SPACES; s++) {
        guint own = s < FIRST_SPACES ? s / PASIDS : s - FIRST_SPACES;

        if (did == ANY || own == (guint)did)
            forget_pages(model, s, ALL_PAGES, FALSE);
    }
}

void model_forget(Model *model, const ModelForget *forget)
{
    switch (forget->what) {
    case FORGET_CONTEXTS:
        for (guint r = 0; r < RIDS; r++)
            if (forget->rids & BIT(r))
                forget_context(model, r, forget->did);
        break;
    case FORGET_ENTRIES:
        for (guint r = 0; r < RIDS; r++)
            for (guint p = 0; p < PASIDS; p++)
                if (forget->pasid == ANY || (guint)forget->pasid == p)
                    forget_entry(model, r, p, forget->did);
        break;
    case FORGET_FIRST:
        forget_pages(model, (guint)(forget->did * PASIDS + forget->pasid), forget->pages,
                     forget->leaf);
        break;
    case FORGET_SECOND:
        forget_pages(model, second_space(forget->did), forget->pages, forget->leaf);
        break;
    case FORGET_DOMAIN:
        forget_domain(model, forget->did);
        break;
    }
}

void model_forget_all(Model *model)
{
    memset(model->contexts, 0, sizeof model->contexts);
    memset(model->entries, 0, sizeof model->entries);
    memset(model->spaces, 0, sizeof model->spaces);
    absorb(model);
}

/* --- what is stale ----------------------------------------------------------------------
 */

gboolean model_context_is_stale(const Model *model, guint rid)
{
    return model->contexts[rid] != BIT64(model->context[rid]);
}

gboolean model_entry_is_stale(const Model *model, guint rid, guint pasid)
{
    return model->entries[rid][pasid] != current_entries(model, rid, pasid);
}

guint32 model_stale_dids(const Model *model, guint rid, int pasid)
{
    if (pasid == NO_PASID)
        return dids_of_contexts(model->contexts[rid] & ~BIT64(model->context[rid]));
    return dids_of_entries(model->entries[rid][pasid] &
                           ~current_entries(model, rid, (guint)pasid));
}

gboolean model_space_is_stale(const Model *model, guint s)
{
    const ModelSpace *space = &model->spaces[s];
    guint32 tables = tables_behind(model, s);

    if (!tables)
        return FALSE;
    for (guint i = 0; i < REGIONS; i++)
        if (space->walked[i] != tables || space->differs[i])
            return TRUE;
    for (guint p = 0; p < PAGES; p++)
        if (space->pages[p] != pages_behind(model, tables, p))
            return TRUE;
    return FALSE;
}

/* --- requests ---------------------------------------------------------------------------
 */

/* What is answered of what may be found, and of what a walk may come to. */
static guint32 answer(const ModelRequest *request, guint32 found, guint32 walked)
{
    guint32 to = found & ALL_PAGES;

    if (!request->write)
        to |= found >> PAGES & ALL_PAGES;
    if (found & TO_OUTSIDE)
        to |= request->host ? TO_BE_REFUSED : TO_OUTSIDE;
    if (walked & TO_NOWHERE || (request->write && walked >> PAGES & ALL_PAGES))
        to |= TO_BE_REFUSED;
    return to;
}

static guint32 by_space(const Model *model, const ModelRequest *request, guint s)
{
    const ModelSpace *space = &model->spaces[s];
    guint region = request->page / REGION_PAGES;
    guint32 found = space->pages[request->page];

    return answer(request, found,
                  space->differs[region]
                      ? found
                      : pages_behind(model, space->walked[region], request->page));
}

static guint32 by_entry(const Model *model, const ModelRequest *request, guint entry,
                        guint pasid)
{
    if (entry >= ENTRY_FIRST)
        return by_space(model, request, first_space(entry, pasid));
    if (entry >= ENTRY_SECOND)
        return request->host
                   ? TO_BE_REFUSED
                   : by_space(model, request, second_space(model_entry_did(entry)));
    return entry >= ENTRY_PASS ? TO_PAGE(request->page) : TO_BE_REFUSED;
}

static guint32 by_entries(const Model *model, const ModelRequest *request, guint pasid)
{
    guint32 to = 0;

    for (guint64 entries = model->entries[request->rid][pasid]; entries;
         entries &= entries - 1) {
        guint entry = (guint)__builtin_ctzll(entries);

        /* Endpoints are served by what is present and legal, or by what is in memory. */
        if (request->host || entry >= ENTRY_PASS)
            to |= by_entry(model, request, entry, pasid);
    }
    return to;
}

static guint32 by_context(const Model *model, const ModelRequest *request, guint context)
{
    int pasid = model_entry_pasid(context, request->pasid);

    if (pasid != ANY)
        return by_entries(model, request, (guint)pasid);
    if (context < CONTEXT_PASS || request->pasid != NO_PASID)
        return request->host ? TO_BE_REFUSED : 0;
    if (context < CONTEXT_SECOND)
        return TO_PAGE(request->page);
    return request->host
               ? TO_BE_REFUSED
               : by_space(model, request, second_space(model_context_did(context)));
}

/* Where tables do not count. */
static guint32 without_tables(const Model *model, const ModelRequest *request)
{
    if (model->blocked)
        return TO_BE_REFUSED;
    return TO_PAGE(request->page) | (request->pasid != NO_PASID ? TO_BE_REFUSED : 0);
}

guint32 model_allowed(const Model *model, const ModelRequest *request)
{
    guint32 to = 0;

    if (model->blocked || !model->enabled)
        return without_tables(model, request);
    for (guint64 contexts = model->contexts[request->rid]; contexts;
         contexts &= contexts - 1)
        to |= by_context(model, request, (guint)__builtin_ctzll(contexts));
    return request->host ? to : to | model_fresh(model, request);
}

static guint32 fresh_page(const Model *model, const ModelRequest *request, guint table)
{
    guint32 to = model->page[table][request->page];

    return answer(request, to, to);
}

static guint32 fresh_second(const Model *model, const ModelRequest *request, guint table)
{
    return request->host ? TO_BE_REFUSED : fresh_page(model, request, FIRST_TABLES + table);
}

static guint32 fresh_entry(const Model *model, const ModelRequest *request, guint entry)
{
    if (entry >= ENTRY_FIRST)
        return fresh_page(model, request, (entry - ENTRY_FIRST) % FIRST_TABLES);
    if (entry >= ENTRY_SECOND)
        return fresh_second(model, request, (entry - ENTRY_SECOND) % SECOND_TABLES);
    return entry >= ENTRY_PASS ? TO_PAGE(request->page) : TO_BE_REFUSED;
}

guint32 model_fresh(const Model *model, const ModelRequest *request)
{
    guint context = model->context[request->rid];
    int pasid = model_entry_pasid(context, request->pasid);

    if (model->blocked || !model->enabled)
        return without_tables(model, request);
    if (pasid != ANY)
        return fresh_entry(model, request, model->entry[dir_of(context)][pasid]);
    if (context < CONTEXT_PASS || request->pasid != NO_PASID)
        return TO_BE_REFUSED;
    if (context < CONTEXT_SECOND)
        return TO_PAGE(request->page);
    return fresh_second(model, request, (context - CONTEXT_SECOND) % SECOND_TABLES);
}
