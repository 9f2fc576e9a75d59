/* SPDX-License-Identifier: MIT */
#ifndef TESTS_TARGET_H
#define TESTS_TARGET_H

#include <viommu-emulator/emulator.h>

#include <viommu/host.h>

#include "spy.h"

/*
 * What a test runs on: the emulator, or with --device BDF on its command line the kernel it
 * runs under (--device may be given again for a second device). The emulator has an
 * SMMUv3, or with --emulate vtd a VT-d unit; smmuv3-pasid and vtd-pasid are those with
 * devices that have PASIDs, smmuv3-no-nesting and vtd-no-nesting those that cannot nest.
 * Either is reached through a spy, and by the library's default backend or that of
 * --backend NAME; --container PATH is for backend "legacy".
 */
typedef struct {
    ViommuEmulator *emulator; /* NULL: a real kernel */
    Spy spy;
    const ViommuSeam *seam; /* the spy's */
    const char *backend;    /* NULL: the default */
    const char *container;  /* NULL: the default */
    char *bdfs[4];          /* NULL-terminated */
    char *first[2];         /* the first of them alone, NULL-terminated */
    int event_timeout_ms;
} Target;

/* FALSE: the arguments are wrong, and that was said. n_devices: how many the emulator gets.
 */
gboolean target_init(Target *target, int argc, char **argv, guint n_devices);
/* The same, where the emulator has this unless --emulate says otherwise. */
gboolean target_init_default(Target *target, int argc, char **argv, guint n_devices,
                             const char *iommu);
/* An emulator made to measure: VT-d units, and devices by the number of theirs. */
void target_init_vtd(Target *target, const ViommuEmulatorVtdConfig *units, guint n_units,
                     const ViommuEmulatorDeviceConfig *devices, guint n_devices);
void target_clear(Target *target);

/* The name of its backend. */
const char *target_get_backend(const Target *target);
/* A host by its backend and seam. */
ViommuHostConfig target_host_config(const Target *target);

#endif
