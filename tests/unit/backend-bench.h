/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_BACKEND_BENCH_H
#define TESTS_UNIT_BACKEND_BENCH_H

#include "core/private.h"

#include <viommu-emulator/inspect.h>

#include "spy.h"
#include "tap.h"

/*
 * A backend by its slots, on an emulator with a VT-d unit: guest memory whose pages each
 * hold their own number, devices that are attached to nothing, a host vIOMMU that does not
 * nest. What a device reaches is told by the number that it reads.
 */
enum { REACH_DEVICES = 4, REACH_PAGES = 64, REACH_PAGE = 4096 };
enum { REACH_BASE = 0x1000000, REACH_SIZE = REACH_PAGES * REACH_PAGE };
#define REACH_RW ((ViommuMapFlags)(VIOMMU_MAP_READ | VIOMMU_MAP_WRITE))

typedef struct {
    const char *backend;
    const char *container;
    guint n_devices;
    guint n_groups;       /* devices are dealt out to them; 0: one */
    guint pasid_bits;     /* and the vIOMMU is for PASIDs; 0: neither */
    guint64 lacks;        /* bits of the unit's ECAP */
    gboolean by_fd;       /* guest memory is the second half of a file */
    gboolean by_group_fd; /* devices come from their groups' files */
    gboolean hide_sysfs;  /* which is all that there is of them */
} ReachOptions;

typedef struct {
    ViommuEmulator *emulator;
    Spy spy;
    ViommuHost *host;
    const ViommuiBackendOps *ops;
    guint n_devices;
    char *bdfs[REACH_DEVICES];
    ViommuHostDevice *devices[REACH_DEVICES];
    int group_fds[REACH_DEVICES]; /* by group number; -1: not opened here */
    ViommuiHostViommu *hv;
    guint8 *ram;
    int memfd;
    char *refusal;    /* the words of the last one */
    guint64 pinnings; /* the last that were told */
} Reach;

/* Bails out where it cannot be had. */
void reach_init(Reach *r, const ReachOptions *options);
/* Without devices and all that needs them; memory is there, but not mapped. */
void reach_init_host(Reach *r, const ReachOptions *options);
/* Says if something is left on the host. Tables are freed already. */
void reach_clear(Reach *r);

/* A page of guest memory, by its number. */
guint64 reach_gpa(guint page);
int reach_attach(Reach *r, guint n, guint32 hwpt);
int reach_detach(Reach *r, guint n);
guint32 reach_identity(Reach *r);

/* What the nth device reads: the number of a page, or a negated errno. */
int reach_reads(Reach *r, guint n, guint64 iova);
/* It writes a number there and the right one back: 0, or a negated errno. */
int reach_writes(Reach *r, guint n, guint64 iova);
/* Whether it reads each of n pages from here, where guest memory has them. */
gboolean reach_sees_memory(Reach *r, guint n);
/* Whether it reads none of them. */
gboolean reach_sees_nothing(Reach *r, guint n);

/* All objects there are, of every kind. */
guint reach_count(Reach *r);

#endif
