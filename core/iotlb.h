/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_IOTLB_H
#define VIOMMUI_CORE_IOTLB_H

/*
 * The IOTLB of the software walk, for every vendor: translations of pages and blocks, kept
 * until invalidated.
 *
 * A *space* is whatever the vendor tells tables apart by: an ASID on SMMUv3, a domain ID
 * and PASID on VT-d. An entry covers 2^order bytes of input. Sizes of pages and blocks
 * differ from entry to entry, and an invalidation by address finds all that cover it.
 *
 * An invalidation may remove more than it is asked to: where many entries would have to be
 * looked at time and again and stay, they go. So its work is bounded by the entries that
 * were inserted and a constant. Of up to 128 entries, none goes that was not meant.
 *
 * Concurrency: lookups and inserts may run at the same time in any number of threads;
 * invalidations must run alone (the vendor's lock held exclusively).
 */

#include <viommu/services.h>

typedef struct ViommuiIotlb ViommuiIotlb;

typedef struct {
    guint64 input;   /* first byte covered; a multiple of its size */
    guint64 output;  /* where that leads */
    guint order;     /* log2 of the size */
    guint access;    /* what is allowed, by privilege; the vendor's own bits */
    guint level;     /* of the table entry it came from */
    gboolean global; /* good in every space */
} ViommuiIotlbEntry;

/* max_entries: when full, something old goes. Nothing is allocated afterwards. */
ViommuiIotlb *viommui_iotlb_new(guint max_entries);
void viommui_iotlb_free(ViommuiIotlb *iotlb);

/* FALSE: not cached. */
gboolean viommui_iotlb_lookup(ViommuiIotlb *iotlb, guint64 space, guint64 address,
                              ViommuiIotlbEntry *ret_entry);
void viommui_iotlb_insert(ViommuiIotlb *iotlb, guint64 space,
                          const ViommuiIotlbEntry *entry);

void viommui_iotlb_invalidate_all(ViommuiIotlb *iotlb);
/* All of a space but what is global. */
void viommui_iotlb_invalidate_space(ViommuiIotlb *iotlb, guint64 space);
/* All that a function says yes to: for spaces made of several IDs. */
void viommui_iotlb_invalidate_if(ViommuiIotlb *iotlb,
                                 gboolean (*match)(guint64 space, void *user_data),
                                 void *user_data);
/*
 * Whatever covers any byte from first to last (inclusive): of a space and global ones; or,
 * any_space, of all.
 */
void viommui_iotlb_invalidate_range(ViommuiIotlb *iotlb, guint64 space, gboolean any_space,
                                    guint64 first, guint64 last);
/* Entries and places that invalidations have looked at. For tests. */
guint64 viommui_iotlb_count_looks(const ViommuiIotlb *iotlb);

#endif
