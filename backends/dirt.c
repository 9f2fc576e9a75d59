/* SPDX-License-Identifier: MIT */
/*
 * Dirty guest memory that has not been asked for: a bitmap in chunks, of those that have
 * any.
 */

#include "backends/dirt.h"

enum { PAGE_SHIFT = 12, CHUNK_SHIFT = 21, CHUNK_PAGES = 1 << (CHUNK_SHIFT - PAGE_SHIFT) };

typedef struct {
    guint64 words[CHUNK_PAGES / 64];
} Chunk;

struct ViommuiDirt {
    GHashTable *chunks; /* address / chunk size -> Chunk */
};

ViommuiDirt *viommui_dirt_new(void)
{
    ViommuiDirt *dirt = g_new0(ViommuiDirt, 1);

    dirt->chunks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    return dirt;
}

void viommui_dirt_free(ViommuiDirt *dirt)
{
    g_hash_table_unref(dirt->chunks);
    g_free(dirt);
}

void viommui_dirt_clear(ViommuiDirt *dirt)
{
    g_hash_table_remove_all(dirt->chunks);
}

static Chunk *find_chunk(ViommuiDirt *dirt, guint64 gpa)
{
    return g_hash_table_lookup(dirt->chunks, GSIZE_TO_POINTER(gpa >> CHUNK_SHIFT));
}

/* As much of the range as is in the chunk that it begins in. */
static guint64 cut(guint64 gpa, guint64 size)
{
    return MIN(size, (1ULL << CHUNK_SHIFT) - (gpa & ((1ULL << CHUNK_SHIFT) - 1)));
}

static guint first_page(guint64 gpa)
{
    return (guint)(gpa >> PAGE_SHIFT) % CHUNK_PAGES;
}

void viommui_dirt_add(ViommuiDirt *dirt, guint64 gpa, guint64 size)
{
    while (size) {
        guint64 now = cut(gpa, size);
        guint first = first_page(gpa), end = first + (guint)(now >> PAGE_SHIFT);
        Chunk *chunk = find_chunk(dirt, gpa);

        if (!chunk) {
            chunk = g_new0(Chunk, 1);
            g_hash_table_insert(dirt->chunks, GSIZE_TO_POINTER(gpa >> CHUNK_SHIFT), chunk);
        }
        for (guint i = first; i < end; i++)
            chunk->words[i / 64] |= 1ULL << i % 64;
        gpa += now;
        size -= now;
    }
}

void viommui_dirt_take(ViommuiDirt *dirt, guint64 gpa, guint64 size, guint64 *bitmap,
                       gboolean keep)
{
    const guint64 start = gpa;

    while (size && g_hash_table_size(dirt->chunks)) {
        guint64 now = cut(gpa, size), page = (gpa - start) >> PAGE_SHIFT;
        guint first = first_page(gpa), n = (guint)(now >> PAGE_SHIFT);
        Chunk *chunk = find_chunk(dirt, gpa);

        for (guint i = 0; chunk && i < n; i++) {
            guint64 *word = &chunk->words[(first + i) / 64], bit = 1ULL << (first + i) % 64;

            if (*word & bit)
                bitmap[(page + i) / 64] |= 1ULL << (page + i) % 64;
            if (!keep)
                *word &= ~bit;
        }
        gpa += now;
        size -= now;
    }
}
