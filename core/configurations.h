/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_CONFIGURATIONS_H
#define VIOMMUI_CORE_CONFIGURATIONS_H

/*
 * A cache of what the guest's tables say of emulated endpoints, for every vendor: one value
 * for each {device ID, PASID}. The vendor says what a value is; here it is bytes.
 *
 * What was read before an invalidation must not be put in after it: whoever reads is in a
 * read section (core/sections.h). Bounded: a full part of it is emptied.
 *
 * Concurrency: lookups and inserts may run at the same time in any number of threads;
 * invalidations within a change.
 */

#include <glib.h>

typedef struct ViommuiConfigurations ViommuiConfigurations;

ViommuiConfigurations *viommui_configurations_new(gsize value_size);
/* Accepts NULL. */
void viommui_configurations_free(ViommuiConfigurations *cache);

/* FALSE: not cached. */
gboolean viommui_configurations_lookup(ViommuiConfigurations *cache, guint32 id,
                                       guint32 pasid, void *ret_value);
void viommui_configurations_insert(ViommuiConfigurations *cache, guint32 id, guint32 pasid,
                                   const void *value);

/* All of the devices from first to last (inclusive). */
void viommui_configurations_forget(ViommuiConfigurations *cache, guint32 first,
                                   guint32 last);
/* One. */
void viommui_configurations_forget_pasid(ViommuiConfigurations *cache, guint32 id,
                                         guint32 pasid);
/* All that a function says yes to. */
void viommui_configurations_forget_if(ViommuiConfigurations *cache,
                                      gboolean (*match)(guint32 id, guint32 pasid,
                                                        const void *value, void *user_data),
                                      void *user_data);

#endif
