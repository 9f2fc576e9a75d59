/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_ATC_H
#define VIOMMU_EMULATOR_ATC_H

/*
 * The address translation cache of a device that uses ATS: what translation requests
 * were answered, until the IOMMU tells the device to forget.
 */

#include "machine.h"

typedef struct EmuAtc EmuAtc;

/* One answer; those with a PASID and those without are apart. */
typedef struct {
    gboolean has_pasid;
    guint32 pasid;
    gboolean privileged;
    guint64 va;
    guint shift; /* log2 of what it covers */
    guint64 out;
    gboolean writable;
} EmuAtcEntry;

/* What an invalidation request covers. */
typedef struct {
    /*
     * A request without PASID reaches all entries, those with a PASID too; one with it
     * those of that PASID, or, when global, of any.
     */
    gboolean has_pasid;
    gboolean global;
    guint32 pasid;
    guint64 first;
    guint64 last;
} EmuAtcInv;

EmuAtc *viommui_emu_atc_new(void);
void viommui_emu_atc_free(EmuAtc *atc);
/* An answer that serves the access, or NULL: the device has to ask. */
const EmuAtcEntry *viommui_emu_atc_find(const EmuAtc *atc, const EmuAccess *access);
void viommui_emu_atc_insert(EmuAtc *atc, const EmuAtcEntry *entry);
void viommui_emu_atc_invalidate(EmuAtc *atc, const EmuAtcInv *what);
void viommui_emu_atc_flush(EmuAtc *atc);

#endif
