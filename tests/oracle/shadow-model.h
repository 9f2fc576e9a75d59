/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ORACLE_SHADOW_MODEL_H
#define TESTS_ORACLE_SHADOW_MODEL_H

#include "view.h"

/*
 * What devices may see of a guest's second-stage tables. Each page of each domain has what
 * its table says now, and all that it has said since the last flush of it that was told
 * done; each device is in one place. A device may see what any of those grants, and no
 * more; after a flush of everything it must see what is said now.
 *
 * Pure: no library, no emulator.
 */
enum { MODEL_DOMAINS = 3, MODEL_PAGES = 48, MODEL_DEVICES = 3, MODEL_STATES = 6 };

/* Where a device is: a domain by its number, or one of these. */
enum { AT_BLOCKED = -1, AT_IDENTITY = -2, AT_NESTED = -3 };

typedef struct {
    View now;
    View since[MODEL_STATES]; /* the first n, `now` among them */
    guint n;
} ModelPage;

typedef struct {
    ModelPage pages[MODEL_DOMAINS][MODEL_PAGES];
    int at[MODEL_DEVICES];
    /* Guest memory that can go, and whether it is there. */
    guint64 hot_first;
    guint64 hot_last;
    gboolean is_hot;
    gboolean reads_what_it_writes; /* the host's tables have no pages only for writing */
} Model;

void model_init(Model *model);
/* FALSE: it has said too much since the last flush, and nothing has changed. */
gboolean model_can_set(const Model *model, guint domain, guint first, guint n);
void model_set(Model *model, guint domain, guint page, View view);
/* Pages first to last of a domain were flushed. */
void model_flush(Model *model, guint domain, guint first, guint last);
void model_flush_all(Model *model);
/* Something is said that was not flushed. */
gboolean model_is_stale(const Model *model, guint domain);

/* What a page of a domain grants, with memory as it is now. */
View model_grant(const Model *model, View view);
/* A device in this domain may see it there. */
gboolean model_allows(const Model *model, guint domain, guint page, View seen);

#endif
