/* SPDX-License-Identifier: MIT */
#ifndef TESTS_VTD_WORLD_H
#define TESTS_VTD_WORLD_H

#include "target.h"
#include "vtd-machine.h"
#include "vtd-model.h"

/*
 * A random guest behind a guest VT-d unit: its tables, what it changes in them, and what it
 * tells the unit of; vtd-model.h follows. Requester IDs below FIRST_ENDPOINT are those of
 * host devices, on one bus; the others, on another, those of emulated endpoints.
 *
 * A tidy guest tells the unit of all that it has changed and that can be met, and of no
 * more. It has one table under each domain ID and PASID.
 */

enum { HOSTS = VTDM_DEVICES, FIRST_ENDPOINT = 3 };
enum { ROOTS = 4, FIRST_LEGACY_ROOT = 2, BUSES = 2 };

/* A descriptor on its way. */
typedef struct {
    guint64 words[2];
    ModelForget forget; /* when it is complete */
    gboolean dropped;   /* it never reaches the queue */
} Order;

/* Descriptors that never reach the queue: every nth of a kind; 0: none. */
typedef struct {
    guint entries; /* of the PASID cache and the context cache */
    guint pages;   /* of translations */
    guint n_entries, n_pages;
} OrderDrops;

typedef struct {
    Target target;
    VtdMachine vm;
    Model model;
    GRand *random;
    gboolean tidy;
    OrderDrops drops;
    GArray *pending; /* Order */
    char *wrong;     /* the first thing that was */
    gboolean verbose;
    gboolean is_grouped; /* the first and the last host device share an IOMMU group */

    guint last_page; /* that was changed */
    guint64 data;    /* where the data pages are, and the pages of every table */
    GuestVtdDomain tables[TABLES];
    guint64 page_at[TABLES][PAGES];
    guint64 region_at[TABLES][REGIONS];
    guint64 region[TABLES][REGIONS]; /* the descriptor, while the region is a block */
    guint32 hidden[TABLES][PAGES];   /* and what pages were before */

    guint64 roots[ROOTS]; /* root tables of scalable mode, then of legacy mode */
    guint root;           /* in use */
    guint64 context_at[ROOTS][RIDS];
    guint contexts[ROOTS]
                  [RIDS]; /* what stands there, whether or not there is a way to it */
    guint64 links[ROOTS][BUSES][2];
    gboolean unlinked[ROOTS][BUSES]; /* root entries */
    guint64 directories[DIRS];
    guint64 entry_at[DIRS][PASIDS];
    guint entries[DIRS][PASIDS];
    gboolean is_short[DIRS]; /* the table of the last PASID is not in the directory */
    gboolean context_fpd[ROOTS][RIDS];
    gboolean entry_fpd[DIRS][PASIDS];

    /* What a tidy guest has under each tag. */
    guint first_of[DIDS][PASIDS];
    guint second_of[DIDS];
} World;

extern const guint16 world_rids[RIDS];
extern const guint32 world_pasids[PASIDS];

/* FALSE: there is no machine. Devices are attached, translation is off. */
gboolean world_init(World *world, GRand *random, gboolean tidy);
/* What was wrong, an object that is left on the host too; or NULL. */
char *world_clear(World *world);

/* A number below n; whether it is 0. */
guint world_pick(World *world, guint n);
gboolean world_one_in(World *world, guint n);
void world_fail(World *world, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* For who looks into a violation: said if VIOMMU_VERBOSE is set. */
void world_note(World *world, const char *format, ...) G_GNUC_PRINTF(2, 3);
guint64 world_iova(const World *world, guint page);
/* As it stands in tables, of a model's number. */
guint16 world_did(int did);
gboolean world_is_legacy(const World *world);
/* Faults of this requester ID need not be recorded. */
gboolean world_is_quiet(const World *world, guint rid);

/* Changes of memory; those of a tidy guest are followed by what it tells the unit. */
void world_change_page(World *world);
void world_change_region(World *world);
void world_change_entry(World *world);
void world_change_context(World *world);
/* A table is taken out of a directory, or out of the root table; or put back. */
void world_change_directory(World *world);
void world_change_bus(World *world);
/* Maybe put back what was taken out. */
void world_restore_tables(World *world);
/* A tidy guest gives other tables to a domain ID and PASID, or to a domain ID. */
void world_change_domain(World *world);

/* Tell of something, whether or not it was changed. */
void world_invalidate(World *world);
/* Tell of everything; or of a requester ID's PASID table entries, each by what it is. */
void world_invalidate_all(World *world);
void world_invalidate_entries_of(World *world, guint rid);
/*
 * What is pending goes into the queue, or in legacy mode to registers, and is complete.
 * FALSE: the unit has given up (FSTS.ITE), nothing is complete, and all stays pending.
 */
gboolean world_ring(World *world);

/* Registers: translation off; on with a root table; another root table of the same mode. */
void world_stop(World *world);
void world_start(World *world, guint root);
void world_set_root(World *world, guint root);

#endif
