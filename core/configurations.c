/* SPDX-License-Identifier: MIT */
/*
 * A cache of what the guest's tables say of emulated endpoints.
 *
 * It is cut into shards by thread, so that threads are not in each other's way: each finds
 * only what threads of its own number have put in. An invalidation goes through all shards.
 *
 * Up the path: the vendors' translate. Down: nothing.
 */

#include "core/configurations.h"

#include "core/sections.h"

#include <string.h>

enum { MAX_PER_SHARD = 1024 };

typedef struct {
    GRWLock lock;
    GHashTable *devices; /* device ID -> (PASID -> value) */
    guint n;             /* values */
} Shard;

struct ViommuiConfigurations {
    gsize value_size;
    Shard shards[VIOMMUI_SECTION_SLOTS];
};

static void free_device(gpointer values)
{
    g_hash_table_unref(values);
}

ViommuiConfigurations *viommui_configurations_new(gsize value_size)
{
    ViommuiConfigurations *cache = g_new0(ViommuiConfigurations, 1);

    cache->value_size = value_size;
    for (guint i = 0; i < VIOMMUI_SECTION_SLOTS; i++) {
        g_rw_lock_init(&cache->shards[i].lock);
        cache->shards[i].devices = g_hash_table_new_full(NULL, NULL, NULL, free_device);
    }
    return cache;
}

void viommui_configurations_free(ViommuiConfigurations *cache)
{
    if (!cache)
        return;
    for (guint i = 0; i < VIOMMUI_SECTION_SLOTS; i++) {
        g_rw_lock_clear(&cache->shards[i].lock);
        g_hash_table_unref(cache->shards[i].devices);
    }
    g_free(cache);
}

gboolean viommui_configurations_lookup(ViommuiConfigurations *cache, guint32 id,
                                       guint32 pasid, void *ret_value)
{
    Shard *shard = &cache->shards[viommui_sections_slot()];
    const void *value = NULL;
    GHashTable *values;

    g_rw_lock_reader_lock(&shard->lock);
    values = g_hash_table_lookup(shard->devices, GUINT_TO_POINTER(id));
    if (values)
        value = g_hash_table_lookup(values, GUINT_TO_POINTER(pasid));
    if (value)
        memcpy(ret_value, value, cache->value_size);
    g_rw_lock_reader_unlock(&shard->lock);
    return value != NULL;
}

void viommui_configurations_insert(ViommuiConfigurations *cache, guint32 id, guint32 pasid,
                                   const void *value)
{
    Shard *shard = &cache->shards[viommui_sections_slot()];
    GHashTable *values;

    g_rw_lock_writer_lock(&shard->lock);
    if (shard->n >= MAX_PER_SHARD) {
        g_hash_table_remove_all(shard->devices);
        shard->n = 0;
    }
    values = g_hash_table_lookup(shard->devices, GUINT_TO_POINTER(id));
    if (!values) {
        values = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_hash_table_insert(shard->devices, GUINT_TO_POINTER(id), values);
    }
    if (g_hash_table_replace(values, GUINT_TO_POINTER(pasid),
                             g_memdup2(value, cache->value_size)))
        shard->n++;
    g_rw_lock_writer_unlock(&shard->lock);
}

/* --- invalidation: alone ----------------------------------------------------------------
 */

static void forget_device(Shard *shard, guint32 id)
{
    GHashTable *values = g_hash_table_lookup(shard->devices, GUINT_TO_POINTER(id));

    if (!values)
        return;
    shard->n -= g_hash_table_size(values);
    g_hash_table_remove(shard->devices, GUINT_TO_POINTER(id));
}

/* Ask for each ID of the range, or of those there are, whichever are fewer. */
static void forget_range(Shard *shard, guint32 first, guint32 last)
{
    GHashTableIter iter;
    gpointer id, values;

    if (last - first < g_hash_table_size(shard->devices)) {
        for (guint64 i = first; i <= last; i++)
            forget_device(shard, (guint32)i);
        return;
    }
    g_hash_table_iter_init(&iter, shard->devices);
    while (g_hash_table_iter_next(&iter, &id, &values))
        if (GPOINTER_TO_UINT(id) >= first && GPOINTER_TO_UINT(id) <= last) {
            shard->n -= g_hash_table_size(values);
            g_hash_table_iter_remove(&iter);
        }
}

void viommui_configurations_forget(ViommuiConfigurations *cache, guint32 first,
                                   guint32 last)
{
    for (guint i = 0; first <= last && i < VIOMMUI_SECTION_SLOTS; i++)
        forget_range(&cache->shards[i], first, last);
}

void viommui_configurations_forget_pasid(ViommuiConfigurations *cache, guint32 id,
                                         guint32 pasid)
{
    for (guint i = 0; i < VIOMMUI_SECTION_SLOTS; i++) {
        Shard *shard = &cache->shards[i];
        GHashTable *values = g_hash_table_lookup(shard->devices, GUINT_TO_POINTER(id));

        if (values && g_hash_table_remove(values, GUINT_TO_POINTER(pasid)))
            shard->n--;
    }
}

void viommui_configurations_forget_if(ViommuiConfigurations *cache,
                                      gboolean (*match)(guint32 id, guint32 pasid,
                                                        const void *value, void *user_data),
                                      void *user_data)
{
    for (guint i = 0; i < VIOMMUI_SECTION_SLOTS; i++) {
        Shard *shard = &cache->shards[i];
        GHashTableIter devices, values;
        gpointer id, of_device, pasid, value;

        g_hash_table_iter_init(&devices, shard->devices);
        while (g_hash_table_iter_next(&devices, &id, &of_device)) {
            g_hash_table_iter_init(&values, of_device);
            while (g_hash_table_iter_next(&values, &pasid, &value))
                if (match(GPOINTER_TO_UINT(id), GPOINTER_TO_UINT(pasid), value,
                          user_data)) {
                    g_hash_table_iter_remove(&values);
                    shard->n--;
                }
        }
    }
}
