/* SPDX-License-Identifier: MIT */
/*
 * Memory of a recorded guest: a sparse memfd, mapped once, cut into regions in ascending
 * order of guest-physical address that neither overlap nor touch.
 *
 * Up: the players and checks, and through the players the library's guest memory services
 * and the host. Down: memfd, mmap.
 */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* 2 MiB, as a VMM would align RAM; and at most 4 TiB of it, sparse. */
enum { CHUNK_SHIFT = 21, MAX_CHUNKS = 1 << 21 };

struct TraceCover {
    GHashTable *chunks; /* numbers of chunks, guint64, owned */
    guint64 last;       /* the one added last, as most come in rows */
};

struct TraceMemory {
    GArray *regions;
    int fd;
    guint8 *base;
    guint64 size;
};

TraceCover *trace_cover_new(void)
{
    TraceCover *cover = g_new0(TraceCover, 1);

    cover->chunks = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    cover->last = G_MAXUINT64;
    return cover;
}

void trace_cover_free(TraceCover *cover)
{
    if (!cover)
        return;
    g_hash_table_unref(cover->chunks);
    g_free(cover);
}

gboolean trace_cover_add(TraceCover *cover, guint64 gpa)
{
    guint64 chunk = gpa >> CHUNK_SHIFT;

    if (chunk == cover->last)
        return TRUE;
    cover->last = chunk;
    if (!g_hash_table_contains(cover->chunks, &chunk))
        g_hash_table_add(cover->chunks, g_memdup2(&chunk, sizeof(chunk)));
    return g_hash_table_size(cover->chunks) <= MAX_CHUNKS;
}

gboolean trace_cover_add_range(TraceCover *cover, guint64 gpa, guint64 size)
{
    guint64 last = gpa + size - 1;
    gboolean ok = size && last >= gpa && trace_cover_add(cover, last);

    for (guint64 at = gpa; ok && at <= last && at >= gpa; at += 1u << CHUNK_SHIFT)
        ok = trace_cover_add(cover, at);
    return ok;
}

static int compare_chunks(const void *a, const void *b)
{
    const guint64 left = **(const guint64 *const *)a;
    const guint64 right = **(const guint64 *const *)b;

    return left < right ? -1 : left > right;
}

static void add_region(TraceMemory *memory, guint64 first, guint64 last)
{
    TraceRegion region = {first, last - first + 1, memory->size};

    if (first > last)
        return;
    if (memory->regions->len) {
        TraceRegion *before =
            &g_array_index(memory->regions, TraceRegion, memory->regions->len - 1);

        if (before->gpa + before->size == first) {
            before->size += region.size;
            memory->size += region.size;
            return;
        }
    }
    g_array_append_val(memory->regions, region);
    memory->size += region.size;
}

static void lay_out(TraceMemory *memory, const TraceCover *cover, const TraceRange *hole)
{
    guint n = 0;
    g_autofree gpointer *chunks = g_hash_table_get_keys_as_array(cover->chunks, &n);

    qsort(chunks, n, sizeof(*chunks), compare_chunks);
    for (guint i = 0; i < n; i++) {
        guint64 first = *(guint64 *)chunks[i] << CHUNK_SHIFT;
        guint64 last = first + (1u << CHUNK_SHIFT) - 1;

        if (!hole || hole->last < first || hole->first > last) {
            add_region(memory, first, last);
            continue;
        }
        if (hole->first > first)
            add_region(memory, first, hole->first - 1);
        if (hole->last < last)
            add_region(memory, hole->last + 1, last);
    }
}

TraceMemory *trace_memory_new(const TraceCover *cover, const TraceRange *hole,
                              GError **error)
{
    g_autoptr(TraceMemory) memory = g_new0(TraceMemory, 1);
    void *base = MAP_FAILED;

    memory->regions = g_array_new(FALSE, FALSE, sizeof(TraceRegion));
    lay_out(memory, cover, hole);
    memory->fd = memfd_create("recorded guest", MFD_CLOEXEC);
    if (!memory->size) /* a guest without any is played too */
        return g_steal_pointer(&memory);
    if (memory->fd >= 0 && ftruncate(memory->fd, memory->size) == 0)
        base = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                    memory->fd, 0);
    if (base == MAP_FAILED) {
        g_set_error(error, TRACE_ERROR, TRACE_ERROR_UNREADABLE,
                    "no %" G_GUINT64_FORMAT " MiB for the recorded guest's memory: %s",
                    memory->size >> 20, g_strerror(errno));
        return NULL;
    }
    memory->base = base;
    return g_steal_pointer(&memory);
}

void trace_memory_free(TraceMemory *memory)
{
    if (!memory)
        return;
    if (memory->base)
        munmap(memory->base, memory->size);
    if (memory->fd >= 0)
        close(memory->fd);
    g_array_unref(memory->regions);
    g_free(memory);
}

guint trace_memory_count_regions(const TraceMemory *memory)
{
    return memory->regions->len;
}

const TraceRegion *trace_memory_get_region(const TraceMemory *memory, guint index)
{
    return &g_array_index(memory->regions, TraceRegion, index);
}

int trace_memory_get_fd(const TraceMemory *memory)
{
    return memory->fd;
}

guint8 *trace_memory_at(const TraceMemory *memory, guint64 gpa, guint64 *ret_size)
{
    guint low = 0;
    guint high = memory->regions->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const TraceRegion *region = trace_memory_get_region(memory, middle);

        if (gpa < region->gpa) {
            high = middle;
        } else if (gpa - region->gpa >= region->size) {
            low = middle + 1;
        } else {
            if (ret_size)
                *ret_size = region->size - (gpa - region->gpa);
            return memory->base + region->offset + (gpa - region->gpa);
        }
    }
    return NULL;
}

gboolean trace_memory_read(const TraceMemory *memory, guint64 gpa, void *data, gsize size)
{
    guint64 there = 0;
    const guint8 *bytes = trace_memory_at(memory, gpa, &there);

    if (!bytes || there < size)
        return FALSE;
    memcpy(data, bytes, size);
    return TRUE;
}

gboolean trace_memory_write(const TraceMemory *memory, guint64 gpa, const void *data,
                            gsize size)
{
    guint64 there = 0;
    guint8 *bytes = trace_memory_at(memory, gpa, &there);

    if (!bytes || there < size)
        return FALSE;
    memcpy(bytes, data, size);
    return TRUE;
}

gboolean trace_memory_read_word(const TraceMemory *memory, guint64 gpa, guint64 *ret_word)
{
    guint64 word;

    if (!trace_memory_read(memory, gpa, &word, sizeof(word)))
        return FALSE;
    *ret_word = GUINT64_FROM_LE(word);
    return TRUE;
}

gboolean trace_memory_apply(const TraceMemory *memory, const TraceLine *line)
{
    static const guint8 zeros[TRACE_PAGE_SIZE];
    guint64 value = GUINT64_TO_LE(line->value);

    if (line->kind == TRACE_LINE_PAGE)
        return trace_memory_write(memory, line->address, line->page ? line->page : zeros,
                                  TRACE_PAGE_SIZE);
    return trace_memory_write(memory, line->address, &value, line->size);
}
