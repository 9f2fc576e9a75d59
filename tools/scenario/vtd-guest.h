/* SPDX-License-Identifier: MIT */
#ifndef SCENARIO_VTD_GUEST_H
#define SCENARIO_VTD_GUEST_H

#include "guest.h"

/*
 * A guest's VT-d structures: first- and second-stage tables, context and PASID table
 * entries, invalidation descriptors (Intel VT-d specification 4.1, chapters 3, 6 and 9).
 * It writes what a guest driver writes, and knows nothing of the library's inside.
 *
 * Words are 64 bits, the lowest first. What it writes is right; tests bend it.
 */

typedef enum {
    GUEST_VTD_FIRST,
    GUEST_VTD_SECOND,
} GuestVtdStage;

/* One guest address space: tables of one kind, under a domain ID. */
typedef struct {
    GuestMemory *memory;
    GuestVtdStage stage;
    guint levels; /* 3 (of the second stage only), 4 or 5 */
    guint64 root; /* the highest table */
    guint16 did;
} GuestVtdDomain;

void guest_vtd_domain_init(GuestVtdDomain *domain, GuestMemory *memory, GuestVtdStage stage,
                           guint levels, guint16 did);
/* Map a page, or change where it is mapped; without invalidating anything. */
void guest_vtd_map(GuestVtdDomain *domain, guint64 iova, guint64 gpa, gboolean writable);
void guest_vtd_unmap(GuestVtdDomain *domain, guint64 iova);
/* Where the guest's tables map an address now, or G_MAXUINT64. */
guint64 guest_vtd_walk(const GuestVtdDomain *domain, guint64 iova, gboolean write);
/*
 * Where the entry of this level (1: of 4 KiB pages) stands; tables on the way are made. A
 * page above stands in the way.
 */
guint64 guest_vtd_entry_at(GuestVtdDomain *domain, guint64 iova, guint level);

/* Bits of first-stage entries (9.7). */
enum {
    GUEST_FS_P = 1 << 0,
    GUEST_FS_RW = 1 << 1,
    GUEST_FS_US = 1 << 2,
    GUEST_FS_A = 1 << 5,
    GUEST_FS_D = 1 << 6,
    GUEST_FS_PS = 1 << 7,
    GUEST_FS_EA = 1 << 10,
    GUEST_FS_USUAL = GUEST_FS_P | GUEST_FS_RW | GUEST_FS_US,
};
#define GUEST_FS_XD (1ull << 63)
/* Of second-stage entries (9.8). */
enum {
    GUEST_SS_R = 1 << 0,
    GUEST_SS_W = 1 << 1,
    GUEST_SS_X = 1 << 2,
    GUEST_SS_PS = 1 << 7,
    GUEST_SS_A = 1 << 8,
    GUEST_SS_D = 1 << 9,
    GUEST_SS_SNP = 1 << 11,
};

/* AW: how many levels there are (9.3, 9.6). */
#define GUEST_VTD_AW(levels) ((guint64)(levels)-2)

/* Legacy context entries, 2 words (9.3). */
void guest_vtd_context_table(guint64 ret_words[2], const GuestVtdDomain *domain);
/* aw: of the largest tables that CAP.SAGAW has. */
void guest_vtd_context_pass_through(guint64 ret_words[2], guint16 did, guint aw);

/* Scalable-mode context entries (9.4), the first two words; two more are 0. */
void guest_vtd_context_pasids(guint64 ret_words[2], guint64 directory, guint pdts,
                              gboolean pasids, guint32 rid_pasid);

/* PASID table entries (9.6). */
#define GUEST_VTD_PASID_WORDS 8
/* PGTT first or second stage, as the domain is. */
void guest_vtd_pasid_table(guint64 ret_words[GUEST_VTD_PASID_WORDS],
                           const GuestVtdDomain *domain);
void guest_vtd_pasid_pass_through(guint64 ret_words[GUEST_VTD_PASID_WORDS], guint16 did,
                                  guint aw);
enum {
    GUEST_PGTT_FIRST = 1,
    GUEST_PGTT_SECOND = 2,
    GUEST_PGTT_NESTED = 3,
    GUEST_PGTT_PASS_THROUGH = 4,
};
#define GUEST_VTD_PGTT(n) ((guint64)(n) << 6) /* word 0 */

/* Types of invalidation descriptors (6.5.2), and their granularities: word 0. */
enum {
    GUEST_INV_CONTEXT = 1,
    GUEST_INV_IOTLB = 2,
    GUEST_INV_DEVICE_TLB = 3,
    GUEST_INV_INTERRUPT = 4,
    GUEST_INV_WAIT = 5,
    GUEST_INV_PASID_IOTLB = 6,
    GUEST_INV_PASID_CACHE = 7,
    GUEST_INV_PASID_DEVICE_TLB = 8,
    GUEST_INV_PAGE_RESPONSE = 9,
};
enum { GUEST_CONTEXT_GLOBAL = 1, GUEST_CONTEXT_DOMAIN = 2, GUEST_CONTEXT_DEVICE = 3 };
enum { GUEST_IOTLB_GLOBAL = 1, GUEST_IOTLB_DOMAIN = 2, GUEST_IOTLB_PAGE = 3 };
enum { GUEST_PASID_IOTLB_ALL = 2, GUEST_PASID_IOTLB_PAGE = 3 };
enum {
    GUEST_PASID_CACHE_DOMAIN = 0,
    GUEST_PASID_CACHE_PASID = 1,
    GUEST_PASID_CACHE_ALL = 3
};

/* Word 0 of some; of the others a test shifts itself. */
guint64 guest_vtd_inv_context(guint granularity, guint16 did, guint16 rid, guint mask);
guint64 guest_vtd_inv_iotlb(guint granularity, guint16 did);
guint64 guest_vtd_inv_pasid_iotlb(guint granularity, guint16 did, guint32 pasid);
guint64 guest_vtd_inv_pasid_cache(guint granularity, guint16 did, guint32 pasid);
/* A wait that writes `data` to the address in word 1. */
guint64 guest_vtd_inv_wait(guint32 data);
/* Word 1 of page-selective ones: 2^order pages; hint: only leaves have changed. */
guint64 guest_vtd_inv_pages(guint64 address, guint order, gboolean hint);

#endif
