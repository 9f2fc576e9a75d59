/* SPDX-License-Identifier: MIT */
/*
 * Who was translated for: nobody else has to be told of a change.
 *
 * Up the path: the vendors' translate. Down: the VMM's translations_changed.
 */

#include "core/endpoints.h"

struct ViommuiEndpoints {
    const ViommuServices *services;
    GHashTable *seen; /* a set of device IDs */
    GMutex lock;      /* of seen, between those that take notes */
};

ViommuiEndpoints *viommui_endpoints_new(const ViommuServices *services)
{
    ViommuiEndpoints *endpoints = g_new0(ViommuiEndpoints, 1);

    endpoints->services = services;
    endpoints->seen = g_hash_table_new(NULL, NULL);
    g_mutex_init(&endpoints->lock);
    return endpoints;
}

void viommui_endpoints_free(ViommuiEndpoints *endpoints)
{
    if (!endpoints)
        return;
    g_mutex_clear(&endpoints->lock);
    g_hash_table_unref(endpoints->seen);
    g_free(endpoints);
}

void viommui_endpoints_note(ViommuiEndpoints *endpoints, guint32 id)
{
    if (!endpoints->services->translations_changed)
        return;
    g_mutex_lock(&endpoints->lock);
    g_hash_table_add(endpoints->seen, GUINT_TO_POINTER(id));
    g_mutex_unlock(&endpoints->lock);
}

void viommui_endpoints_tell(ViommuiEndpoints *endpoints, guint32 first, guint32 last,
                            guint64 iova, guint64 size)
{
    const ViommuServices *services = endpoints->services;
    GHashTableIter iter;
    gpointer key;

    if (!services->translations_changed)
        return;
    g_hash_table_iter_init(&iter, endpoints->seen);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        guint32 id = GPOINTER_TO_UINT(key);

        if (id >= first && id <= last)
            services->translations_changed(id, G_MAXUINT32, iova, size,
                                           services->user_data);
    }
}
