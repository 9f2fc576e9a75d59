/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VTD_MODEL_H
#define TESTS_VTD_MODEL_H

#include <glib.h>

#define BIT(n)   (1u << (n))
#define BIT64(n) (1ull << (n))

/*
 * What a guest VT-d unit may answer, when its caches may hold whatever the guest's tables
 * were since the last completed invalidation that covers it (VT-d 6.2, 6.5.2). It knows
 * neither memory nor descriptors: it is told of every change, and of every invalidation
 * when it is complete.
 *
 * A small world: RIDS requester IDs with a context entry each; DIRS PASID directories with
 * an entry for each of PASIDS PASIDs; tables of both stages with PAGES pages in REGIONS
 * regions, each region being one descriptor above the pages; DIDS domain IDs. Each page is
 * at the address of the data page of the same number, so that pass-through leads to data
 * pages too. All are numbered from 0; a set of possible states is a mask.
 *
 * A *space* is what translations are tagged by: domain ID and PASID for the first stage,
 * domain ID alone for the second.
 */
enum { RIDS = 6, DIRS = 3, PASIDS = 4, DIDS = 4 };
enum { FIRST_TABLES = 4, SECOND_TABLES = 2, TABLES = FIRST_TABLES + SECOND_TABLES };
enum { REGIONS = 2, REGION_PAGES = 4, PAGES = REGIONS * REGION_PAGES };
enum { FIRST_SPACES = DIDS * PASIDS, SPACES = FIRST_SPACES + DIDS };

/* Where a page leads, and how a request is answered: bit n is data page n. */
#define TO_PAGE(n)    (1u << (n))
#define READ_ONLY(n)  (1u << (PAGES + (n)))
#define TO_NOWHERE    (1u << 24) /* not mapped: never cached */
#define TO_OUTSIDE    (1u << 25) /* a place that is no memory */
#define TO_BE_REFUSED (1u << 26) /* of answers only */
#define ALL_PAGES     (TO_PAGE(PAGES) - 1)

/*
 * A context entry: none, a bad one; of scalable mode CONTEXT_DIR + 4 * directory, + 2 if
 * PASIDs are enabled, + 1 if RID_PASID is PASID 1 and not 0; of legacy mode pass-through
 * for a domain ID, or CONTEXT_SECOND + SECOND_TABLES * domain ID + table.
 */
enum {
    CONTEXT_NONE,
    CONTEXT_BAD,
    CONTEXT_DIR,
    CONTEXT_PASS = CONTEXT_DIR + 4 * DIRS,
    CONTEXT_SECOND = CONTEXT_PASS + DIDS,
    CONTEXTS = CONTEXT_SECOND + SECOND_TABLES * DIDS
};

/* A PASID table entry: likewise, or ENTRY_FIRST + FIRST_TABLES * domain ID + table. */
enum {
    ENTRY_NONE,
    ENTRY_BAD,
    ENTRY_PASS,
    ENTRY_SECOND = ENTRY_PASS + DIDS,
    ENTRY_FIRST = ENTRY_SECOND + SECOND_TABLES * DIDS,
    ENTRIES = ENTRY_FIRST + FIRST_TABLES * DIDS
};

typedef struct {
    guint32 walked[REGIONS];   /* tables that a descriptor above pages may be of */
    gboolean differs[REGIONS]; /* such a descriptor is not the one in its table */
    guint32 pages[PAGES];
} ModelSpace;

typedef struct {
    /* What stands in memory now. */
    guint context[RIDS];
    guint entry[DIRS][PASIDS];
    guint32 page[TABLES][PAGES];
    gboolean enabled; /* TE */
    gboolean blocked; /* whatever tables say */

    /* What may be cached. */
    guint64 contexts[RIDS];
    guint64 entries[RIDS][PASIDS];
    ModelSpace spaces[SPACES];
} Model;

void model_init(Model *model);

/* Changes of memory; region: a descriptor above pages, and so all of them. */
void model_set_context(Model *model, guint rid, guint context);
void model_set_entry(Model *model, guint dir, guint pasid, guint entry);
void model_set_page(Model *model, guint table, guint page, guint32 to);
void model_set_region(Model *model, guint table, guint region,
                      const guint32 to[REGION_PAGES]);

/*
 * An invalidation. Domain IDs: ANY; or a number, which also means what is not present or
 * bad if that domain ID is of what stands in memory now; or NOBODY, domain ID 0, which is
 * that of what is not present or bad and of nothing else (6.1).
 */
enum { ANY = -1, NOBODY = DIDS };
typedef struct {
    enum {
        FORGET_CONTEXTS, /* of `rids` and did */
        FORGET_ENTRIES,  /* of did and pasid, ANY too */
        FORGET_FIRST,    /* of did and pasid: `pages`, leaf or not */
        FORGET_SECOND,   /* of did: likewise */
        FORGET_DOMAIN    /* all spaces of did, or of ANY */
    } what;
    guint32 rids;
    int did;
    int pasid;
    guint32 pages;
    gboolean leaf;
} ModelForget;
void model_forget(Model *model, const ModelForget *forget);
/* Nothing is cached. */
void model_forget_all(Model *model);

/* Whether there is something to forget; of a space: that requests may meet. */
gboolean model_context_is_stale(const Model *model, guint rid);
gboolean model_entry_is_stale(const Model *model, guint rid, guint pasid);
gboolean model_space_is_stale(const Model *model, guint space);
/* Domain IDs of the stale ones, a mask; bit NOBODY: those that have none. */
guint32 model_stale_dids(const Model *model, guint rid, int pasid);
/* The domain ID of what stands in memory; NOBODY where there is none. */
int model_context_did(guint context);
int model_entry_did(guint entry);
/* The PASID whose entry a request goes by, ANY: none. */
int model_entry_pasid(guint context, int pasid);

enum { NO_PASID = -1 };
typedef struct {
    guint rid;
    int pasid;
    gboolean host; /* of a host device: the host takes no second stage */
    guint page;
    gboolean write;
} ModelRequest;
/* How it may be answered, and how a fresh walk answers it. */
guint32 model_allowed(const Model *model, const ModelRequest *request);
guint32 model_fresh(const Model *model, const ModelRequest *request);

#endif
