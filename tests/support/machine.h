/* SPDX-License-Identifier: MIT */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include <viommu/smmuv3-accel.h>

#include "dma.h"
#include "guest.h"
#include "target.h"

/*
 * A VM with one guest SMMUv3 and devices behind it, ready for a test: memory mapped,
 * devices attached under StreamIDs MACHINE_SID, MACHINE_SID + 1, ..., a guest domain with
 * one page mapped at MACHINE_IOVA.
 */
enum { MACHINE_DEVICES = 3, MACHINE_SID = 0x20, MACHINE_IOVA = 0x5000, MACHINE_ASID = 9 };
enum { MACHINE_RAM_BASE = 0x1000000, MACHINE_RAM_SIZE = 0x400000 };

typedef struct {
    ViommuHost *host;
    ViommuHostDevice *devices[MACHINE_DEVICES];
    guint n_devices;
    ViommuSmmuv3Accel *accel;
    GuestMemory ram;
    GuestDomain domain;
    guint64 page;
    int event_fd;
    char *refusal;         /* the words of the last one */
    guint n_watched;       /* event descriptors watched now */
    guint64 n_invalidated; /* entries that went to the host */
} Machine;

/*
 * The devices of these addresses, NULL-terminated. event_depth: 0 for the default. FALSE:
 * nothing is left, and why was noted.
 */
gboolean machine_init(Machine *m, const ViommuSeam *seam, char *const *bdfs,
                      guint event_depth);
void machine_clear(Machine *m);

/* Install an entry of this domain, or of a Config without tables, for the nth device. */
ViommuResult machine_install_s1(Machine *m, guint n, const GuestDomain *domain);
ViommuResult machine_install_config(Machine *m, guint n, guint config);
/* Forward one command. */
ViommuResult machine_command(Machine *m, const guint8 *command);

#endif
