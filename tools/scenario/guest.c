/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- memory -----------------------------------------------------------------------------
 */

gboolean guest_memory_init(GuestMemory *memory, ViommuHost *host, guint64 base, gsize size,
                           gboolean by_memfd, GError **error)
{
    ViommuMapFlags flags = VIOMMU_MAP_READ | VIOMMU_MAP_WRITE;
    gboolean ok = TRUE;

    *memory = (GuestMemory){
        .host = host, .base = base, .size = size, .memfd = -1, .next_free = base};
    if (by_memfd) {
        memory->memfd = memfd_create("guest-memory", MFD_CLOEXEC);
        if (memory->memfd < 0 || ftruncate(memory->memfd, size) < 0) {
            g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                        "no memory for a guest: %s", g_strerror(errno));
            guest_memory_clear(memory);
            return FALSE;
        }
    }
    memory->bytes =
        mmap(NULL, size, PROT_READ | PROT_WRITE,
             by_memfd ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS, memory->memfd, 0);
    if (memory->bytes == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "no memory for a guest: %s", g_strerror(errno));
        memory->bytes = NULL;
        guest_memory_clear(memory);
        return FALSE;
    }
    if (host)
        ok = by_memfd ? viommu_host_map_fd(host, base, size, memory->memfd, 0, flags, error)
                      : viommu_host_map(host, base, size, memory->bytes, flags, error);
    if (!ok) {
        memory->host = NULL;
        guest_memory_clear(memory);
    }
    return ok;
}

void guest_memory_clear(GuestMemory *memory)
{
    if (memory->bytes) {
        if (memory->host)
            viommu_host_unmap(memory->host, memory->base, memory->size, NULL);
        munmap(memory->bytes, memory->size);
        if (memory->memfd >= 0)
            close(memory->memfd);
    }
    *memory = (GuestMemory){.memfd = -1};
}

guint64 guest_memory_alloc(GuestMemory *memory)
{
    guint64 gpa = memory->next_free;

    g_assert(gpa - memory->base < memory->size);
    memory->next_free += GUEST_PAGE;
    guest_memory_fill(memory, gpa, 0, GUEST_PAGE);
    return gpa;
}

guint64 guest_memory_alloc_size(GuestMemory *memory, gsize size)
{
    guint64 gpa;

    size = MAX(size, GUEST_PAGE);
    while (memory->next_free % size)
        guest_memory_alloc(memory);
    gpa = memory->next_free;
    for (gsize i = 0; i < size; i += GUEST_PAGE)
        guest_memory_alloc(memory);
    return gpa;
}

guint64 guest_memory_load(const GuestMemory *memory, guint64 gpa)
{
    const guint64 *word = guest_memory_at(memory, gpa);

    return GUINT64_FROM_LE(__atomic_load_n(word, __ATOMIC_ACQUIRE));
}

void guest_memory_store(GuestMemory *memory, guint64 gpa, guint64 value)
{
    guint64 *word = guest_memory_at(memory, gpa);

    __atomic_store_n(word, GUINT64_TO_LE(value), __ATOMIC_RELEASE);
}

void *guest_memory_at(const GuestMemory *memory, guint64 gpa)
{
    g_assert(gpa >= memory->base && gpa - memory->base < memory->size);
    return memory->bytes + (gpa - memory->base);
}

void guest_memory_fill(GuestMemory *memory, guint64 gpa, guint8 byte, gsize size)
{
    memset(guest_memory_at(memory, gpa), byte, size);
}

gboolean guest_memory_is_filled(GuestMemory *memory, guint64 gpa, guint8 byte, gsize size)
{
    const guint8 *bytes = guest_memory_at(memory, gpa);

    for (gsize i = 0; i < size; i++)
        if (bytes[i] != byte)
            return FALSE;
    return TRUE;
}

/* --- stage-1 tables ---------------------------------------------------------------------
 */

enum { T0SZ = 64 - 39, LEVELS = 3, INDEX_BITS = 9 };
#define PTE_VALID      1u
#define PTE_TABLE      2u        /* at level 3: a page */
#define PTE_USER       (1u << 6) /* AP[1]: device accesses are unprivileged */
#define PTE_READ_ONLY  (1u << 7)
#define PTE_INNER      (3u << 8)
#define PTE_ACCESSED   (1u << 10)
#define PTE_NOT_GLOBAL (1u << 11)
#define PTE_ADDRESS    0x0000fffffffff000u

/* Where the entry of this level stands in its table. */
static guint64 entry_address(guint64 table, guint64 iova, int level)
{
    return table +
           8 * ((iova >> (12 + INDEX_BITS * (3 - level))) & ((1 << INDEX_BITS) - 1));
}

static guint64 leaf_address(const GuestDomain *domain, guint64 iova, gboolean create)
{
    guint64 table = domain->root;

    for (int level = 1; level < LEVELS; level++) {
        guint64 at = entry_address(table, iova, level);
        guint64 entry = guest_memory_load(domain->memory, at);

        if (!(entry & PTE_VALID)) {
            if (!create)
                return 0;
            entry = guest_memory_alloc(domain->memory) | PTE_VALID | PTE_TABLE;
            guest_memory_store(domain->memory, at, entry);
        }
        table = entry & PTE_ADDRESS;
    }
    return entry_address(table, iova, LEVELS);
}

void guest_domain_map(GuestDomain *domain, guint64 iova, guint64 gpa, gboolean writable)
{
    guint64 entry = gpa | PTE_VALID | PTE_TABLE | PTE_USER | PTE_INNER | PTE_ACCESSED |
                    PTE_NOT_GLOBAL | (writable ? 0 : PTE_READ_ONLY);

    guest_memory_store(domain->memory, leaf_address(domain, iova, TRUE), entry);
}

void guest_domain_unmap(GuestDomain *domain, guint64 iova)
{
    guint64 at = leaf_address(domain, iova, FALSE);

    if (at)
        guest_memory_store(domain->memory, at, 0);
}

guint64 guest_domain_walk(const GuestDomain *domain, guint64 iova, gboolean write)
{
    guint64 at = leaf_address(domain, iova, FALSE);
    guint64 entry = at ? guest_memory_load(domain->memory, at) : 0;

    if (!(entry & PTE_VALID) || (write && (entry & PTE_READ_ONLY)))
        return G_MAXUINT64;
    return (entry & PTE_ADDRESS) | (iova & (GUEST_PAGE - 1));
}

/* --- context descriptors ----------------------------------------------------------------
 */

enum { IPS_40_BITS = 2 };

void guest_domain_init(GuestDomain *domain, GuestMemory *memory, guint16 asid)
{
    guint64 word0 = T0SZ | 1ull << 8 | 1ull << 10 | 3ull << 12 /* IR0, OR0, SH0 */
                    | 1ull << 30 /* EPD1 */ | 1ull << 31 /* V */ |
                    (guint64)IPS_40_BITS << 32 | 1ull << 41 /* AA64 */ |
                    3ull << 45 /* R and A: record, and abort */ | 1ull << 47 /* ASET */ |
                    (guint64)asid << 48;

    *domain = (GuestDomain){.memory = memory, .asid = asid};
    domain->cd = guest_memory_alloc(memory);
    guest_memory_store(memory, domain->cd + 24,
                       0xff); /* MAIR: attribute 0 is normal memory */
    guest_domain_set_root(domain, guest_memory_alloc(memory));
    guest_memory_store(memory, domain->cd, word0);
}

void guest_domain_set_root(GuestDomain *domain, guint64 root)
{
    domain->root = root;
    guest_memory_store(domain->memory, domain->cd + 8, root);
}

/* --- stream table entries, commands, events ---------------------------------------------
 */

static void put_words(guint8 *bytes, guint64 word0, guint64 word1)
{
    word0 = GUINT64_TO_LE(word0);
    word1 = GUINT64_TO_LE(word1);
    memcpy(bytes, &word0, sizeof word0);
    memcpy(bytes + sizeof word0, &word1, sizeof word1);
}

void guest_ste_invalid(guint8 *ste)
{
    memset(ste, 0, 64);
}

void guest_ste_config(guint8 *ste, guint config)
{
    memset(ste, 0, 64);
    put_words(ste, 1 | config << 1, 1ull << 44 /* SHCFG: as incoming */);
}

void guest_ste_s1(guint8 *ste, const GuestDomain *domain)
{
    memset(ste, 0, 64);
    put_words(ste, 1 | 5 << 1 | domain->cd, 1 << 2 | 1 << 4 | 3 << 6 /* S1CIR, COR, CSH */);
}

void guest_cmd_raw(guint8 *cmd, guint64 word0, guint64 word1)
{
    put_words(cmd, word0, word1);
}

void guest_cmd_tlbi_va(guint8 *cmd, guint16 asid, guint64 iova)
{
    put_words(cmd, 0x12 | (guint64)asid << 48, iova & ~(guint64)(GUEST_PAGE - 1));
}

void guest_cmd_tlbi_asid(guint8 *cmd, guint16 asid)
{
    put_words(cmd, 0x11 | (guint64)asid << 48, 0);
}

void guest_cmd_tlbi_all(guint8 *cmd)
{
    put_words(cmd, 0x30, 0);
}

void guest_cmd_cfgi_cd(guint8 *cmd, guint32 sid)
{
    put_words(cmd, 0x05 | (guint64)sid << 32, 1 /* Leaf */);
}

void guest_cmd_sync(guint8 *cmd)
{
    put_words(cmd, 0x46, 0);
}

void guest_idr(guint32 idr[6], const ViommuHostDeviceInfo *info)
{
    const guint32 *host = info->smmuv3.idr;

    memset(idr, 0, 6 * sizeof *idr);
    idr[0] = 1u << 1 /* S1P */ | 2u << 2 /* TTF: AArch64 */ | 1u << 4 /* COHACC */ |
             (host[0] & 1u << 12) /* ASID16 */ | 2u << 21 /* TTENDIAN: little */ |
             1u << 24 /* STALL_MODEL: terminate */ | 1u << 26 /* TERM_MODEL */;
    idr[1] = 16; /* SIDSIZE */
    idr[3] = host[3] & 1u << 10 /* RIL */;
    idr[5] = 1u << 4 /* GRAN4K */ | 5 /* OAS: 48 bits */;
}

static guint64 event_word(const guint8 *event, gsize i)
{
    guint64 word;

    memcpy(&word, event + i * sizeof word, sizeof word);
    return GUINT64_FROM_LE(word);
}

guint guest_event_id(const guint8 *event)
{
    return event_word(event, 0) & 0xff;
}

guint32 guest_event_sid(const guint8 *event)
{
    return event_word(event, 0) >> 32;
}

guint64 guest_event_address(const guint8 *event)
{
    return event_word(event, 2);
}
