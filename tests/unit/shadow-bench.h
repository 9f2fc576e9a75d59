/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_SHADOW_BENCH_H
#define TESTS_UNIT_SHADOW_BENCH_H

#include "core/shadow.h"

#include "tap.h"
#include "view.h"
#include "watch.h"

/*
 * The shadow engine on an emulator with a VT-d unit, by any backend: guest memory of
 * several mappings, devices, and a guest's table that is a list of pages.
 *
 * Whatever is done here is watched. At every host call, each device must see no more than
 * what one state of the table grants it: the one that was synced last, or the one that is
 * about to be; never some of both, and never what no state has.
 */
enum { SB_DEVICES = 2, SB_REGIONS = 4, SB_WATCHED = 80, SB_PAGE = 0x1000 };
/* Guest memory: two mappings side by side, one to be read only, and one that is large. */
enum { SB_LOW, SB_NEXT, SB_ROM, SB_BIG };
enum { SB_RAM = 0x1000000, SB_LOW_SIZE = 0x400000, SB_NEXT_SIZE = 0x100000 };
enum { SB_NEXT_RAM = SB_RAM + SB_LOW_SIZE, SB_NOWHERE = SB_NEXT_RAM + SB_NEXT_SIZE };
enum { SB_ROM_RAM = 0x2000000, SB_ROM_SIZE = 0x10000, SB_BIG_SIZE = 0x40000000 };
#define SB_BIG_RAM 0x80000000ull
#define SB_R       VIOMMU_MAP_READ
#define SB_W       VIOMMU_MAP_WRITE
#define SB_RW      ((ViommuMapFlags)(VIOMMU_MAP_READ | VIOMMU_MAP_WRITE))
/* Where the tests' tables mostly are, and the host's limit: of 48 bits, or half of that. */
#define SB_IOVA 0x4000000000ull
enum { SB_BITS = 48 };

typedef struct {
    const char *backend;
    gboolean
        second_stage; /* the host has no first stage: what is only written is not read */
    guint n_devices;  /* 0: one */
    int group;        /* -1: each has its own */
    gboolean big;     /* there is the large mapping too */
} ShadowBenchOptions;

typedef struct {
    guint64 gpa;
    guint64 size;
    ViommuMapFlags flags;
    guint8 *bytes;
    gboolean is_mapped;
} ShadowRegion;

typedef struct ShadowBench ShadowBench;
struct ShadowBench {
    const ShadowBenchOptions *options;
    ViommuEmulator *emulator;
    Watch watch;
    Viewer viewer;
    ViommuHost *host;
    guint n_devices;
    const char *bdfs[SB_DEVICES];
    ViommuHostDevice *devices[SB_DEVICES];
    ViommuiHostViommu *hv;
    ViommuiShadow *shadow;
    ShadowRegion regions[SB_REGIONS];
    guint64 limit; /* the last IOVA of the host */
    /* The host calls by which a page comes and goes. */
    unsigned long map_call;
    unsigned long unmap_call;

    /* The guest's table, in order, and what its walks were. */
    GArray *entries; /* ViommuiShadowEntry */
    guint n_walks;
    guint n_visits;
    guint64 first; /* of the last walk */
    guint64 last;
    guint max_visits; /* it is too large for more; 0: never */
    void (*on_walk)(ShadowBench *b);
    /* What the source was told. */
    guint n_failed;
    guint n_broken; /* and had its devices blocked */
    guint64 failed_iova;
    ViommuResult failed_result;
    char *refusal; /* the words of the last refusal */
    guint n_refusals;

    /* What is looked at, and what it was and will be. */
    guint n_watched;
    guint64 watched[SB_WATCHED];
    View was[SB_WATCHED];
    View will[SB_WATCHED];
    gboolean either[SB_WATCHED]; /* out of the range: as one was or will be, each alone */
    gboolean had[SB_DEVICES];    /* the shadow, before; and will */
    gboolean gets[SB_DEVICES];
    gboolean is_elsewhere[SB_DEVICES]; /* it has another shadow, and is not looked at */
    char *wrong;
};

/* Devices are in a host vIOMMU's hands, blocked; there is an empty shadow. */
void sb_init(ShadowBench *b, const ShadowBenchOptions *options);
/* Frees what is left. Says what was seen that must not be, and what the host still has. */
void sb_clear(ShadowBench *b);
/* Guest memory, by SB_LOW and so on. */
gboolean sb_plug(ShadowBench *b, guint region);
gboolean sb_unplug(ShadowBench *b, guint region);
/* A page of it in this process. */
void *sb_at(ShadowBench *b, guint64 gpa);

/* --- the table --- */

/* An entry in the place of all that overlaps it; rights 0: nothing. The guest tells nobody.
 */
void sb_put(ShadowBench *b, guint64 iova, guint64 gpa, guint64 size, guint rights);
void sb_take(ShadowBench *b, guint64 iova, guint64 size);
/* n single pages in a row. */
void sb_put_pages(ShadowBench *b, guint64 iova, guint64 gpa, guint n, guint rights);
/* Have these pages looked at from now on. */
void sb_watch(ShadowBench *b, guint64 iova, guint n);

/* --- what is done, and watched --- */

ViommuResult sb_sync(ShadowBench *b, guint64 first, guint64 last);
/* Page number n from SB_IOVA; and all there is. */
ViommuResult sb_sync_page(ShadowBench *b, guint n);
ViommuResult sb_sync_all(ShadowBench *b);
ViommuResult sb_attach(ShadowBench *b, guint n);
ViommuResult sb_block(ShadowBench *b, guint n);
/* Another shadow, the old one having been freed. */
void sb_new_shadow(ShadowBench *b);

/* --- what is so --- */

/* Every device that has the shadow sees just what the table grants; others see nothing. */
gboolean sb_is_right(ShadowBench *b);
/* The first device at page number n: what it reaches, 0 for nothing. */
View sb_see(ShadowBench *b, guint n);
guint sb_count(ShadowBench *b);
/* Host calls since the last time that this was asked. */
guint64 sb_maps(ShadowBench *b);
guint64 sb_unmaps(ShadowBench *b);
void sb_reset(ShadowBench *b);
/* The nth host call to map from now on fails, and as often as it is tried again. */
void sb_fail_map(ShadowBench *b, guint nth, int err);
void sb_fail_unmap(ShadowBench *b, guint nth, int err);
guint sb_objects(ShadowBench *b, ViommuEmulatorObject kind);

#endif
