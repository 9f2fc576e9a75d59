/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_ENDPOINTS_H
#define VIOMMUI_CORE_ENDPOINTS_H

/*
 * Emulated endpoints that cache translations, for every vendor: who was translated for, and
 * is told when that may have changed (ViommuServices.translations_changed).
 *
 * Concurrency: notes may be taken in any number of threads; telling within a change.
 */

#include <viommu/services.h>

typedef struct ViommuiEndpoints ViommuiEndpoints;

/* Kept, not copied. */
ViommuiEndpoints *viommui_endpoints_new(const ViommuServices *services);
/* Accepts NULL. */
void viommui_endpoints_free(ViommuiEndpoints *endpoints);

/* The endpoint of this device ID is about to be given a translation. */
void viommui_endpoints_note(ViommuiEndpoints *endpoints, guint32 id);
/* Translations of `size` bytes at iova may have changed for those of first to last. */
void viommui_endpoints_tell(ViommuiEndpoints *endpoints, guint32 first, guint32 last,
                            guint64 iova, guint64 size);

#endif
