/* SPDX-License-Identifier: MIT */
#ifndef SCENARIO_GUEST_H
#define SCENARIO_GUEST_H

#include <viommu/viommu.h>

/*
 * A small Arm guest to play with: its memory, and the SMMUv3 structures it keeps there
 * (Arm IHI 0070, chapters 4 and 5; VMSAv8-64 tables with 4 KiB pages, 39-bit addresses).
 * It writes what a guest driver writes, and knows nothing of the library's inside.
 *
 * Used by the demo and by the tests.
 */

#define GUEST_PAGE 4096u

typedef struct {
    ViommuHost *host;
    guint64 base; /* guest-physical */
    gsize size;
    guint8 *bytes; /* the same memory, as this process sees it */
    int memfd;     /* -1: by address */
    guint64 next_free;
} GuestMemory;

/*
 * Make memory and map it at base, by memfd or by address; both are ways a VMM does it.
 * Without a host it is the caller who maps it.
 */
gboolean guest_memory_init(GuestMemory *memory, ViommuHost *host, guint64 base, gsize size,
                           gboolean by_memfd, GError **error);
/* Unmaps it too. Of one never initialised: nothing. */
void guest_memory_clear(GuestMemory *memory);
/* The next free page, zeroed: its guest-physical address. */
guint64 guest_memory_alloc(GuestMemory *memory);
/* Pages in a row, aligned to their size, a power of two. */
guint64 guest_memory_alloc_size(GuestMemory *memory, gsize size);
/* A little-endian word; a device that reads it meanwhile sees the old or the new one. */
guint64 guest_memory_load(const GuestMemory *memory, guint64 gpa);
void guest_memory_store(GuestMemory *memory, guint64 gpa, guint64 value);
void *guest_memory_at(const GuestMemory *memory, guint64 gpa);
void guest_memory_fill(GuestMemory *memory, guint64 gpa, guint8 byte, gsize size);
gboolean guest_memory_is_filled(GuestMemory *memory, guint64 gpa, guint8 byte, gsize size);

/* One guest address space: a context descriptor and its stage-1 tables. */
typedef struct {
    GuestMemory *memory;
    guint64 cd;   /* guest-physical */
    guint64 root; /* the level 1 table */
    guint16 asid;
} GuestDomain;

void guest_domain_init(GuestDomain *domain, GuestMemory *memory, guint16 asid);
/* Map a page, or change where it is mapped; without invalidating anything. */
void guest_domain_map(GuestDomain *domain, guint64 iova, guint64 gpa, gboolean writable);
void guest_domain_unmap(GuestDomain *domain, guint64 iova);
/* Have the context descriptor point to other tables. */
void guest_domain_set_root(GuestDomain *domain, guint64 root);
/* Where the guest's tables map an address now, or G_MAXUINT64. */
guint64 guest_domain_walk(const GuestDomain *domain, guint64 iova, gboolean write);

/* Stream table entries, 64 bytes. */
void guest_ste_invalid(guint8 *ste);
void guest_ste_config(guint8 *ste, guint config);
void guest_ste_s1(guint8 *ste, const GuestDomain *domain);

/* Commands, 16 bytes. */
void guest_cmd_tlbi_va(guint8 *cmd, guint16 asid, guint64 iova);
void guest_cmd_tlbi_asid(guint8 *cmd, guint16 asid);
void guest_cmd_tlbi_all(guint8 *cmd);
void guest_cmd_cfgi_cd(guint8 *cmd, guint32 sid);
void guest_cmd_sync(guint8 *cmd);
void guest_cmd_raw(guint8 *cmd, guint64 word0, guint64 word1);

/* ID registers of a guest SMMU that a host like this can accelerate. */
void guest_idr(guint32 idr[6], const ViommuHostDeviceInfo *info);

/* Fields of an event record (7.3). */
guint guest_event_id(const guint8 *event);
guint32 guest_event_sid(const guint8 *event);
guint64 guest_event_address(const guint8 *event);

#define GUEST_EVENT_C_BAD_CD      0x0a
#define GUEST_EVENT_F_TRANSLATION 0x10
#define GUEST_EVENT_F_PERMISSION  0x13

#endif
