/* SPDX-License-Identifier: MIT */
/*
 * Up: test-smmuv3-device-oracle.c. Down: nothing.
 *
 * Invariant: each mask holds at least what stands in memory now, and all that stood there
 * since the last invalidation of it. A CD is cached by stream, a translation by ASID: so a
 * change reaches all those through which a transaction may have seen it.
 */
#include "device-model.h"

#include <string.h>

#define BIT(n) (1u << (n))

static gboolean has_substreams(guint context)
{
    return context >= FIRST_TABLE_CONTEXT;
}

static guint context_of(guint ste)
{
    return (ste - MODEL_S1) / 3;
}

/* The CDs that a stream in one of these states may read as this substream's, now. */
static guint32 cds_behind(const Model *model, guint32 stes, guint substream)
{
    guint32 cds = 0;

    for (guint ste = MODEL_S1; ste < MODEL_STES; ste++) {
        guint context = context_of(ste);

        if (stes & BIT(ste) && (substream == 0 || has_substreams(context)))
            cds |= BIT(model->cd[context][substream]);
    }
    return cds;
}

/* The tables that may be walked under an ASID now. */
static guint32 tables_behind(const Model *model, guint asid)
{
    guint32 cds = 0;

    for (guint s = 0; s < STREAMS; s++)
        for (guint i = 0; i < SUBSTREAMS; i++)
            cds |= model->cds[s][i];
    return cds >> (MODEL_CD + TABLES * asid) & (BIT(TABLES) - 1);
}

static guint32 pages_behind(const Model *model, guint32 tables, guint page)
{
    guint32 to = 0;

    for (guint t = 0; t < TABLES; t++)
        if (tables & BIT(t))
            to |= model->page[t][page];
    return to;
}

/* All that may be met from now on is in the masks from now on. */
static void absorb(Model *model)
{
    for (guint s = 0; s < STREAMS; s++) {
        model->stes[s] |= BIT(model->ste[s]);
        for (guint i = 0; i < SUBSTREAMS; i++)
            model->cds[s][i] |= cds_behind(model, model->stes[s], i);
    }
    for (guint a = 0; a < ASIDS; a++) {
        model->walked[a] |= tables_behind(model, a);
        for (guint p = 0; p < PAGES; p++) {
            /* What is not mapped is never cached: it is so now, or the way there is old. */
            if (!model->differs[a])
                model->pages[a][p] &= ~TO_NOWHERE;
            model->pages[a][p] |= pages_behind(model, model->walked[a], p);
        }
    }
}

void model_init(Model *model)
{
    memset(model, 0, sizeof *model);
    for (guint t = 0; t < TABLES; t++)
        for (guint p = 0; p < PAGES; p++)
            model->page[t][p] = TO_NOWHERE;
    absorb(model);
}

void model_set_ste(Model *model, guint stream, guint ste)
{
    model->ste[stream] = ste;
    absorb(model);
}

void model_set_cd(Model *model, guint context, guint substream, guint cd)
{
    model->cd[context][substream] = cd;
    absorb(model);
}

void model_set_page(Model *model, guint table, guint page, guint32 to)
{
    model->page[table][page] = to;
    absorb(model);
}

void model_set_region(Model *model, guint table, const guint32 to[PAGES])
{
    memcpy(model->page[table], to, sizeof model->page[table]);
    for (guint a = 0; a < ASIDS; a++)
        model->differs[a] |= !!(model->walked[a] & BIT(table));
    absorb(model);
}

void model_forget_ste(Model *model, guint stream)
{
    model->stes[stream] = BIT(model->ste[stream]);
    model_forget_cds(model, stream);
}

void model_forget_cd(Model *model, guint stream, guint substream)
{
    model->cds[stream][substream] = cds_behind(model, model->stes[stream], substream);
}

void model_forget_cds(Model *model, guint stream)
{
    for (guint i = 0; i < SUBSTREAMS; i++)
        model_forget_cd(model, stream, i);
}

void model_forget_page(Model *model, guint asid, guint page, gboolean leaf)
{
    if (!leaf) { /* the descriptors above are those of all pages */
        model->walked[asid] = tables_behind(model, asid);
        model->differs[asid] = FALSE;
    }
    if (!model->differs[asid])
        model->pages[asid][page] = pages_behind(model, model->walked[asid], page);
}

void model_forget_asid(Model *model, guint asid)
{
    for (guint p = 0; p < PAGES; p++)
        model_forget_page(model, asid, p, FALSE);
}

/* Where it goes by an entry, given the possible CDs and what each CD leads to. */
static guint32 by_ste(guint ste, int substream, guint page, guint32 by_cd)
{
    guint dss = (ste - MODEL_S1) % 3;

    if (ste == MODEL_ABORT)
        return TO_NOWHERE;
    if (ste == MODEL_BYPASS)
        return substream < 0 ? BIT(page) : BIT(page) | TO_NOWHERE;
    if (!has_substreams(context_of(ste)))
        return substream < 0 ? by_cd : TO_NOWHERE;
    if (substream > 0)
        return by_cd;
    if (substream == 0)
        return dss == DSS_SSID0 ? TO_NOWHERE : by_cd;
    if (dss == DSS_SSID0)
        return by_cd;
    return dss == DSS_BYPASS ? BIT(page) : TO_NOWHERE;
}

static guint32 global(const Model *model, guint page)
{
    return model->aborts ? TO_NOWHERE : BIT(page);
}

guint32 model_allowed(const Model *model, guint stream, int substream, guint page)
{
    guint32 cds = model->cds[stream][MAX(substream, 0)], by_cd = 0, to = 0;

    if (!model->enabled)
        return global(model, page);
    for (guint cd = 0; cd < MODEL_CDS; cd++)
        if (cds & BIT(cd))
            by_cd |= cd == MODEL_NO_CD ? TO_NOWHERE
                                       : model->pages[(cd - MODEL_CD) / TABLES][page];
    for (guint ste = 0; ste < MODEL_STES; ste++)
        if (model->stes[stream] & BIT(ste))
            to |= by_ste(ste, substream, page, by_cd);
    return to;
}

guint32 model_fresh(const Model *model, guint stream, int substream, guint page)
{
    guint ste = model->ste[stream];
    guint32 by_cd = TO_NOWHERE;

    if (!model->enabled)
        return global(model, page);
    if (ste >= MODEL_S1) {
        guint cd = model->cd[context_of(ste)][MAX(substream, 0)];

        if (cd != MODEL_NO_CD)
            by_cd = model->page[(cd - MODEL_CD) % TABLES][page];
    }
    return by_ste(ste, substream, page, by_cd);
}
