/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SPY_H
#define TESTS_SPY_H

#include <glib.h>
#include <viommu/seam.h>

/*
 * A seam laid over another, that counts calls and can make one fail: on the emulator and on
 * the kernel alike. Only ioctls, opens and maps fail; what fails is not passed on.
 */
typedef struct {
    ViommuSeam seam; /* hand this one out */
    const ViommuSeam *under;
    GHashTable *counts;         /* ioctl request -> number of calls */
    guint64 n_calls;            /* ioctls, opens and maps */
    guint n_mapped;             /* maps that are not unmapped yet */
    guint64 fail_at;            /* the nth from the last spy_fail_...; 0: none */
    unsigned long fail_request; /* 0: any */
    int fail_errno;
    guint fail_times;         /* that many in a row */
    const char *fail_pattern; /* what is left of it, or NULL */
    gboolean hit;
    unsigned long swallow_request;
    guint64 swallow_every; /* 0: none */
    guint64 n_swallowable;
    /* Sees, and may change, what an ioctl has answered; NULL: nobody does. */
    void (*answer)(void *user_data, unsigned long request, void *arg, int *ret);
    void *answer_data;
    gboolean hide_sysfs;         /* as in a sandbox: neither /sys nor /proc is there */
    guint64 hidden_capabilities; /* not told by IOMMU_GET_HW_INFO */
    struct {
        guint64 cap, ecap; /* as a VT-d unit last told */
        guint64 hidden_cap, hidden_ecap;
        guint64 claimed_cap, claimed_ecap; /* told whether or not it has them */
    } vtd;
    guint64 last_iova;    /* that a container last told of (VFIO_IOMMU_GET_INFO) */
    guint64 claimed_last; /* the last that it tells of; 0: as it is */
} Spy;

void spy_init(Spy *spy, const ViommuSeam *under);
void spy_clear(Spy *spy);
guint64 spy_count(Spy *spy, unsigned long request);
void spy_reset_counts(Spy *spy);
/* The nth call from now (from 1) of this request (0: any) fails, `times` in a row. */
void spy_fail(Spy *spy, unsigned long request, guint64 nth, int err, guint times);
/* Of the calls of this request to come, fail those with an x in the pattern: "x..x". */
void spy_fail_pattern(Spy *spy, unsigned long request, const char *pattern, int err);
void spy_fail_none(Spy *spy);
/* Every nth call of this request is said to have succeeded, and is not made; 0: none. */
void spy_swallow(Spy *spy, unsigned long request, guint64 every);

#endif
