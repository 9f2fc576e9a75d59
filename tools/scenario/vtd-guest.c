/* SPDX-License-Identifier: MIT */
#include "vtd-guest.h"

#include <string.h>

/* --- tables -----------------------------------------------------------------------------
 */

#define ADDRESS 0x000ffffffffff000ull

static guint level_shift(guint level)
{
    return 12 + 9 * (level - 1);
}

static guint64 usual_bits(const GuestVtdDomain *domain, gboolean writable)
{
    if (domain->stage == GUEST_VTD_FIRST)
        return GUEST_FS_P | GUEST_FS_US | (writable ? GUEST_FS_RW : 0);
    return GUEST_SS_R | (writable ? GUEST_SS_W : 0);
}

static gboolean is_present(const GuestVtdDomain *domain, guint64 entry)
{
    return entry &
           (domain->stage == GUEST_VTD_FIRST ? GUEST_FS_P : GUEST_SS_R | GUEST_SS_W);
}

static gboolean is_writable(const GuestVtdDomain *domain, guint64 entry)
{
    return entry & (domain->stage == GUEST_VTD_FIRST ? GUEST_FS_RW : GUEST_SS_W);
}

static guint64 slot(guint64 table, guint64 iova, guint level)
{
    return table + 8 * ((iova >> level_shift(level)) & 0x1ff);
}

void guest_vtd_domain_init(GuestVtdDomain *domain, GuestMemory *memory, GuestVtdStage stage,
                           guint levels, guint16 did)
{
    *domain =
        (GuestVtdDomain){.memory = memory, .stage = stage, .levels = levels, .did = did};
    domain->root = guest_memory_alloc(memory);
}

guint64 guest_vtd_entry_at(GuestVtdDomain *domain, guint64 iova, guint level)
{
    guint64 table = domain->root;

    for (guint at = domain->levels; at > level; at--) {
        guint64 where = slot(table, iova, at);
        guint64 entry = guest_memory_load(domain->memory, where);

        if (!is_present(domain, entry)) {
            entry = guest_memory_alloc(domain->memory) | usual_bits(domain, TRUE);
            guest_memory_store(domain->memory, where, entry);
        }
        table = entry & ADDRESS;
    }
    return slot(table, iova, level);
}

void guest_vtd_map(GuestVtdDomain *domain, guint64 iova, guint64 gpa, gboolean writable)
{
    guest_memory_store(domain->memory, guest_vtd_entry_at(domain, iova, 1),
                       gpa | usual_bits(domain, writable));
}

void guest_vtd_unmap(GuestVtdDomain *domain, guint64 iova)
{
    guest_memory_store(domain->memory, guest_vtd_entry_at(domain, iova, 1), 0);
}

guint64 guest_vtd_walk(const GuestVtdDomain *domain, guint64 iova, gboolean write)
{
    guint64 table = domain->root;

    for (guint level = domain->levels;; level--) {
        guint64 entry = guest_memory_load(domain->memory, slot(table, iova, level));
        guint64 mask = (1ull << level_shift(level)) - 1;

        if (!is_present(domain, entry) || (write && !is_writable(domain, entry)))
            return G_MAXUINT64;
        if (level == 1 || (entry & GUEST_FS_PS))
            return (entry & ADDRESS & ~mask) | (iova & mask);
        table = entry & ADDRESS;
    }
}

/* --- entries ----------------------------------------------------------------------------
 */

void guest_vtd_context_table(guint64 ret_words[2], const GuestVtdDomain *domain)
{
    ret_words[0] = domain->root | 1 /* P */;
    ret_words[1] = GUEST_VTD_AW(domain->levels) | (guint64)domain->did << 8;
}

void guest_vtd_context_pass_through(guint64 ret_words[2], guint16 did, guint aw)
{
    ret_words[0] = 1 | 2 << 2 /* TT */;
    ret_words[1] = aw | (guint64)did << 8;
}

void guest_vtd_context_pasids(guint64 ret_words[2], guint64 directory, guint pdts,
                              gboolean pasids, guint32 rid_pasid)
{
    ret_words[0] = directory | 1 | (pasids ? 1 << 3 : 0) | (guint64)pdts << 9;
    ret_words[1] = rid_pasid;
}

void guest_vtd_pasid_table(guint64 ret_words[GUEST_VTD_PASID_WORDS],
                           const GuestVtdDomain *domain)
{
    memset(ret_words, 0, GUEST_VTD_PASID_WORDS * sizeof *ret_words);
    ret_words[1] = domain->did;
    if (domain->stage == GUEST_VTD_FIRST) {
        ret_words[0] = 1 | GUEST_VTD_PGTT(GUEST_PGTT_FIRST);
        ret_words[2] = domain->root | (domain->levels == 5 ? 1 << 2 /* FSPM */ : 0);
    } else {
        ret_words[0] = domain->root | 1 | GUEST_VTD_AW(domain->levels) << 2 |
                       GUEST_VTD_PGTT(GUEST_PGTT_SECOND);
    }
}

void guest_vtd_pasid_pass_through(guint64 ret_words[GUEST_VTD_PASID_WORDS], guint16 did,
                                  guint aw)
{
    memset(ret_words, 0, GUEST_VTD_PASID_WORDS * sizeof *ret_words);
    ret_words[0] = 1 | (guint64)aw << 2 | GUEST_VTD_PGTT(GUEST_PGTT_PASS_THROUGH);
    ret_words[1] = did;
}

/* --- invalidation descriptors -----------------------------------------------------------
 */

guint64 guest_vtd_inv_context(guint granularity, guint16 did, guint16 rid, guint mask)
{
    return GUEST_INV_CONTEXT | granularity << 4 | (guint64)did << 16 | (guint64)rid << 32 |
           (guint64)mask << 48;
}

guint64 guest_vtd_inv_iotlb(guint granularity, guint16 did)
{
    return GUEST_INV_IOTLB | granularity << 4 | (guint64)did << 16;
}

guint64 guest_vtd_inv_pasid_iotlb(guint granularity, guint16 did, guint32 pasid)
{
    return GUEST_INV_PASID_IOTLB | granularity << 4 | (guint64)did << 16 |
           (guint64)pasid << 32;
}

guint64 guest_vtd_inv_pasid_cache(guint granularity, guint16 did, guint32 pasid)
{
    return GUEST_INV_PASID_CACHE | granularity << 4 | (guint64)did << 16 |
           (guint64)pasid << 32;
}

guint64 guest_vtd_inv_wait(guint32 data)
{
    return GUEST_INV_WAIT | 1 << 5 /* SW */ | (guint64)data << 32;
}

guint64 guest_vtd_inv_pages(guint64 address, guint order, gboolean hint)
{
    return (address & ~0xfffull) | (hint ? 1 << 6 : 0) | order;
}
