/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_SHADOW_H
#define VIOMMUI_CORE_SHADOW_H

/*
 * The shadow engine, for every vendor whose guests tell of each page they map (caching
 * mode): a copy of one guest table from IOVA to guest-physical memory, kept by map and
 * unmap in an address space of its own on the host. It serves where the host cannot nest,
 * and what it needs of a backend is map and unmap alone.
 *
 * Vocabulary: a *shadow* is such a copy; to *sync* a range is to make the copy equal there
 * to what the guest's table says now. Ranges are inclusive at both ends.
 */

#include "core.h"

typedef struct ViommuiShadow ViommuiShadow;

/* Something that the guest's table maps: contiguous in both address spaces. */
typedef struct {
    guint64 iova;
    guint64 gpa;
    guint64 size;
    ViommuMapFlags flags;
} ViommuiShadowEntry;

/* FALSE: visit no more. */
typedef gboolean (*ViommuiShadowVisit)(const ViommuiShadowEntry *entry, void *visit_data);

/* The guest's table, as its vendor reads it. */
typedef struct {
    /*
     * Visit what the table maps of first to last, each entry once, in order of IOVA and
     * whole, even where it reaches beyond the range. FALSE: there is too much of it to be
     * walked, or the visits were ended.
     */
    gboolean (*walk)(guint64 first, guint64 last, ViommuiShadowVisit visit,
                     void *visit_data, void *user_data);
    /*
     * Something that the table maps cannot be had: GUEST_INVALID, it is no guest memory;
     * UNSUPPORTED, the host has no such address, or a device reserves it; others as the
     * host failed. Once for each sync; the trace has the words.
     */
    void (*failed)(guint64 iova, ViommuResult result, void *user_data);
    /*
     * A sync that nobody asked for, as memory came, has failed: who is attached is to be
     * blocked, as after one that was. The shadow may be freed.
     */
    void (*broken)(ViommuResult result, void *user_data);
    void *user_data;
} ViommuiShadowSource;

/*
 * An empty one, for devices behind this host vIOMMU; `device` is admitted. The source is
 * copied.
 */
ViommuResult viommui_shadow_new(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                const ViommuiShadowSource *source,
                                ViommuiShadow **ret_shadow);
/*
 * Not wanted any more: its source is not asked again, and it goes with the last device that
 * may be attached to it. Accepts NULL.
 */
void viommui_shadow_free(ViommuiShadow *shadow);

/*
 * This device is about to use it too: what it reserves cannot be had any more, of which the
 * source is told where the table maps it. A failure is that of a sync.
 */
ViommuResult viommui_shadow_admit(ViommuiShadow *shadow, ViommuHostDevice *device);

/*
 * Make the copy equal to the table: what is not granted any more goes before what is new
 * comes, so that no device ever sees a page that the guest did not grant. What cannot be
 * had is left out, told to the source, and tried again by the next sync that concerns it.
 * On failure something may be mapped that ought not to be: who is attached is to be
 * blocked.
 */
ViommuResult viommui_shadow_sync(ViommuiShadow *shadow, guint64 first, guint64 last);

/* How many mappings it has on the host. */
guint viommui_shadow_count(const ViommuiShadow *shadow);

/*
 * The verb that goes with it, as viommui_host_device_bind(): from any attachment to this
 * one. The same: nothing to do.
 */
ViommuResult viommui_host_device_shadow(ViommuHostDevice *device, guint32 pasid,
                                        ViommuiShadow *shadow, ViommuiOnFailure on_failure);

#endif
