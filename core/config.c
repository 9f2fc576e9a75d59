/* SPDX-License-Identifier: MIT */
/*
 * Shared stage-1 configs: one nested HWPT for each distinct (host vIOMMU, bytes, page
 * requests or not), however many devices and PASIDs use it. And those of shadows, which are
 * counted in the same way, and never found by content.
 *
 * Invariants: the host's table holds every live config, each with at least one reference;
 * the HWPT goes with the last one. Equality is of bytes; nothing here reads them. The data
 * type belongs to the host vIOMMU, and so to the key.
 */

#include "private.h"

#include <string.h>

static guint config_hash(gconstpointer key)
{
    const ViommuiConfig *config = key;
    guint hash = g_direct_hash(config->viommu);

    for (gsize i = 0; i < config->size; i++)
        hash = hash * 33 + config->data[i];
    return hash;
}

static gboolean config_equal(gconstpointer a, gconstpointer b)
{
    const ViommuiConfig *x = a, *y = b;

    return x->viommu == y->viommu && x->size == y->size &&
           x->page_requests == y->page_requests && !memcmp(x->data, y->data, x->size);
}

gboolean viommui_config_is(const ViommuiConfig *config, const ViommuiStage1 *stage1)
{
    return !config->shadow && config->size == stage1->size &&
           config->page_requests == !!stage1->page_requests &&
           !memcmp(config->data, stage1->data, stage1->size);
}

GHashTable *viommui_config_table_new(void)
{
    return g_hash_table_new(config_hash, config_equal);
}

ViommuiConfig *viommui_config_ref(ViommuiConfig *config)
{
    config->n_refs++;
    return config;
}

gboolean viommui_config_is_shared(const ViommuiConfig *config)
{
    return config->n_refs > 1;
}

ViommuResult viommui_config_get(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                const ViommuiStage1 *stage1, ViommuiConfig **ret_config)
{
    GHashTable *configs = hv->host->configs;
    ViommuiConfig *config;
    ViommuiConfig *existing;
    ViommuResult result;

    if (stage1->page_requests && !hv->faults)
        return viommui_refuse(hv->host, device, VIOMMU_UNSUPPORTED,
                              "page requests of %s: its vIOMMU was made without them",
                              device->name);
    config = g_malloc0(sizeof *config + stage1->size);
    config->viommu = hv;
    config->page_requests = !!stage1->page_requests;
    config->size = stage1->size;
    memcpy(config->data, stage1->data, stage1->size);

    existing = g_hash_table_lookup(configs, config);
    if (existing) {
        g_free(config);
        *ret_config = viommui_config_ref(existing);
        return VIOMMU_OK;
    }
    result = viommui_backend_hwpt_alloc(hv, device, stage1, &config->hwpt);
    if (result != VIOMMU_OK) {
        g_free(config);
        return result;
    }
    config->n_refs = 1;
    g_hash_table_add(configs, config);
    *ret_config = config;
    return VIOMMU_OK;
}

ViommuiConfig *viommui_config_new_for_shadow(ViommuiHostViommu *hv, ViommuiShadow *shadow,
                                             guint32 hwpt)
{
    ViommuiConfig *config = g_malloc0(sizeof *config);

    config->viommu = hv;
    config->shadow = shadow;
    config->hwpt = hwpt;
    config->n_refs = 1;
    return config;
}

void viommui_config_unref(ViommuiConfig *config)
{
    if (!config || --config->n_refs > 0)
        return;
    if (config->shadow) {
        viommui_shadow_destroy(config->shadow);
        g_free(config);
        return;
    }
    g_hash_table_remove(config->viommu->host->configs, config);
    viommui_backend_hwpt_free(config->viommu, config->hwpt);
    g_free(config);
}
