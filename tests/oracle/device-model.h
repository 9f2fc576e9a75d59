/* SPDX-License-Identifier: MIT */
#ifndef TESTS_DEVICE_MODEL_H
#define TESTS_DEVICE_MODEL_H

#include <glib.h>

/*
 * What a guest SMMUv3 may answer, when caches may hold whatever the guest's structures were
 * since the last completed invalidation covering them. It knows neither memory nor
 * commands: it is told of every change, and of every invalidation when it is complete.
 *
 * A small world: STREAMS streams with a stream table entry each; CONTEXTS tables of context
 * descriptors, of which some have SUBSTREAMS, the others one; TABLES stage-1 tables of
 * PAGES pages; ASIDS ASIDs. Each page is at the address of the data page of the same
 * number, so that bypass leads to data pages too. A set of possible states is a mask.
 */
enum { STREAMS = 5, CONTEXTS = 4, SUBSTREAMS = 4, TABLES = 6, PAGES = 10, ASIDS = 4 };
enum { DATA_PAGES = 16 };

/* Where a write goes: bit n is data page n. */
#define TO_NOWHERE   (1u << 31) /* not mapped: never cached */
#define TO_READ_ONLY (1u << 30) /* nowhere too, but cached */

/* A stream table entry: one of these, or MODEL_S1 + 3 * context + S1DSS. */
enum { MODEL_ABORT, MODEL_BYPASS, MODEL_S1, MODEL_STES = MODEL_S1 + 3 * CONTEXTS };
enum { DSS_TERMINATE, DSS_BYPASS, DSS_SSID0 };
/* A context descriptor: not valid, or MODEL_CD + TABLES * asid + table. */
enum { MODEL_NO_CD, MODEL_CD, MODEL_CDS = MODEL_CD + ASIDS * TABLES };
enum { NO_SUBSTREAM = -1 };

typedef struct {
    /* What stands in memory now. */
    guint ste[STREAMS];
    guint cd[CONTEXTS][SUBSTREAMS];
    guint32 page[TABLES][PAGES];
    gboolean enabled; /* SMMUEN */
    gboolean aborts;  /* GBPA.ABORT */

    /* What may be cached. */
    guint32 stes[STREAMS];
    guint32 cds[STREAMS][SUBSTREAMS];
    guint32 pages[ASIDS][PAGES];
    guint32 walked[ASIDS];   /* tables that a descriptor above the pages may lead to */
    gboolean differs[ASIDS]; /* such a descriptor differs from the one in its table */
} Model;

void model_init(Model *model);
/* Contexts from this number on have SUBSTREAMS descriptors. */
enum { FIRST_TABLE_CONTEXT = 2 };

/* Changes of memory. */
void model_set_ste(Model *model, guint stream, guint ste);
void model_set_cd(Model *model, guint context, guint substream, guint cd);
void model_set_page(Model *model, guint table, guint page, guint32 to);
/* The same for all pages, by a descriptor above them. */
void model_set_region(Model *model, guint table, const guint32 to[PAGES]);

/* Invalidations, complete. */
void model_forget_ste(Model *model, guint stream);
void model_forget_cd(Model *model, guint stream, guint substream);
void model_forget_cds(Model *model, guint stream);
void model_forget_page(Model *model, guint asid, guint page, gboolean leaf);
void model_forget_asid(Model *model, guint asid);

/* Where a write of this stream to this page may go, and where a fresh walk sends it. */
guint32 model_allowed(const Model *model, guint stream, int substream, guint page);
guint32 model_fresh(const Model *model, guint stream, int substream, guint page);

#endif
