/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_VTD_BENCH_H
#define TESTS_UNIT_VTD_BENCH_H

#include "core/core.h"

#include <viommu-emulator/inspect.h>

#include "spy.h"
#include "tap.h"

/*
 * core/ on an emulator with VT-d units, as a vendor would use it: a host with guest memory,
 * devices, and some guest domains that each translate BENCH_IOVA to a page of their own.
 * What a device reaches is told by the bytes that it reads there.
 */
enum { BENCH_DEVICES = 2, BENCH_DOMAINS = 3, BENCH_PASID_BITS = 8 };
enum { BENCH_RAM_BASE = 0x1000000, BENCH_RAM_SIZE = 0x400000, BENCH_IOVA = 0x40000000 };
/* What a read meets, beside the number of a domain. */
enum { BENCH_REFUSED = -1, BENCH_IDENTITY = -2, BENCH_ELSEWHERE = -3 };

typedef struct {
    guint64 root;
    guint64 page; /* what BENCH_IOVA leads to */
    ViommuiVtdStage1 s1;
    ViommuiStage1 stage1;        /* of those bytes */
    ViommuiStage1 with_requests; /* and with page requests */
} BenchDomain;

typedef struct {
    ViommuEmulator *emulator;
    Spy spy;
    const ViommuSeam *seam; /* the spy's */
    ViommuHost *host;
    guint n_devices;
    const char *bdfs[BENCH_DEVICES];
    ViommuHostDevice *devices[BENCH_DEVICES];
    guint8 *ram;
    guint64 next_free;
    BenchDomain domains[BENCH_DOMAINS];
    char *refusal; /* the words of the last one */
} Bench;

typedef struct {
    guint n_devices;
    int group;            /* -1: each has its own */
    gboolean no_pri;      /* devices without page requests */
    gboolean two_units;   /* the second device is behind another one */
    guint64 second_lacks; /* bits of that one's ECAP */
    gboolean no_erratum;  /* read-only memory is taken */
} BenchOptions;

/* Guest memory is mapped and the devices are open, in no vIOMMU's hands. */
void bench_init(Bench *b, const BenchOptions *options);
/* All vIOMMUs are freed. Says if something is left on the host. */
void bench_clear(Bench *b);

/* A host vIOMMU for the nth device, with what is asked for. */
ViommuiHostViommu *bench_viommu(Bench *b, guint n, gboolean pasids, gboolean page_requests);

guint64 bench_alloc(Bench *b); /* a page of guest memory, zeroed */
guint64 *bench_word(Bench *b, guint64 gpa);
/* Have the domain translate this page to that; gpa 0: to nothing. Nobody is told. */
void bench_map(Bench *b, guint domain, guint64 iova, guint64 gpa);
/* As bench_init left it. */
void bench_restore(Bench *b, guint domain);

/* What the nth device reads at BENCH_IOVA by this PASID: a domain, or BENCH_... */
int bench_reads(Bench *b, guint n, guint32 pasid);
/* It writes a word there: 0, or a negated errno. */
int bench_writes(Bench *b, guint n, guint32 pasid, guint64 iova, guint64 value);

guint bench_count(Bench *b, ViommuEmulatorObject kind);
/* Nested HWPTs. */
guint bench_hwpts(Bench *b);

#endif
