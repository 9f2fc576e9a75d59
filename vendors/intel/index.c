/* SPDX-License-Identifier: MIT */
/*
 * Sets of pointers, found by number: who has a domain ID, a PASID, a requester ID.
 *
 * Invariants: no set is empty; a member counts how often it was added.
 *
 * Up the path: the acceleration layer. Down: nothing.
 */

#include "vtd.h"

struct ViommuiIndex {
    GHashTable *sets; /* number -> (pointer -> count) */
};

static void free_set(gpointer set)
{
    g_hash_table_unref(set);
}

ViommuiIndex *viommui_index_new(void)
{
    ViommuiIndex *index = g_new0(ViommuiIndex, 1);

    index->sets = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, free_set);
    return index;
}

void viommui_index_free(ViommuiIndex *index)
{
    g_hash_table_unref(index->sets);
    g_free(index);
}

static guint count(GHashTable *set, gpointer item)
{
    return set ? GPOINTER_TO_UINT(g_hash_table_lookup(set, item)) : 0;
}

void viommui_index_add(ViommuiIndex *index, guint64 number, gpointer item)
{
    GHashTable *set = g_hash_table_lookup(index->sets, &number);

    if (!set) {
        set = g_hash_table_new(NULL, NULL);
        g_hash_table_insert(index->sets, g_memdup2(&number, sizeof number), set);
    }
    g_hash_table_insert(set, item, GUINT_TO_POINTER(count(set, item) + 1));
}

void viommui_index_remove(ViommuiIndex *index, guint64 number, gpointer item)
{
    GHashTable *set = g_hash_table_lookup(index->sets, &number);
    guint n = count(set, item);

    if (n > 1)
        g_hash_table_insert(set, item, GUINT_TO_POINTER(n - 1));
    else if (n == 1)
        g_hash_table_remove(set, item);
    if (set && !g_hash_table_size(set))
        g_hash_table_remove(index->sets, &number);
}

gboolean viommui_index_contains(ViommuiIndex *index, guint64 number, gpointer item)
{
    return count(g_hash_table_lookup(index->sets, &number), item) > 0;
}

void viommui_index_collect(ViommuiIndex *index, guint64 number, GPtrArray *items)
{
    GHashTable *set = g_hash_table_lookup(index->sets, &number);
    GHashTableIter iter;
    gpointer item;

    if (!set)
        return;
    g_hash_table_iter_init(&iter, set);
    while (g_hash_table_iter_next(&iter, &item, NULL))
        g_ptr_array_add(items, item);
}
