/* SPDX-License-Identifier: MIT */
#ifndef SCENARIO_SCENARIO_H
#define SCENARIO_SCENARIO_H

#include <viommu/viommu.h>

/*
 * The main job, from end to end: a guest's stage-1 table bound into the host, and a
 * device's DMA following it. One source for the demo, for the tests, and for the real
 * kernel.
 *
 * Every step says what it checked, in bytes of memory or in events, never in what a call
 * returned alone.
 */

/* Leave something out that has to be done: some step must then fail. */
typedef enum {
    SCENARIO_OMIT_NOTHING,
    SCENARIO_OMIT_INVALIDATION, /* the table changes, and no TLBI is forwarded */
    SCENARIO_OMIT_VDEVICE,      /* the device gets no StreamID */
    SCENARIO_OMIT_STE,  /* the new stream table entry is not installed: the old one stays */
    SCENARIO_OMIT_CFGI, /* the context descriptor changes, and no CFGI is forwarded */
    SCENARIO_OMIT_ABORT,  /* the stream is to abort, and its entry is not installed */
    SCENARIO_OMIT_EVENTS, /* events are not read */
    SCENARIO_N_OMISSIONS,
} ScenarioOmission;

typedef struct {
    const ViommuSeam *seam;
    const char *backend; /* NULL: the default */
    const char *bdf;
    ScenarioOmission omit;
    int event_timeout_ms; /* how long an event may take to arrive before it counts as
                             missing */
} ScenarioConfig;

typedef struct {
    const char *id;    /* a word */
    const char *title; /* what happens */
    gboolean ok;
    const char *detail; /* what was seen */
} ScenarioStep;

typedef void (*ScenarioReport)(const ScenarioStep *step, void *user_data);

/*
 * Run it, each step reported as it is done; a failed step does not end it, a set-up that
 * cannot be had does, with an error. TRUE: all steps checked out.
 */
gboolean scenario_run(const ScenarioConfig *config, ScenarioReport report, void *user_data,
                      GError **error);

const char *scenario_omission_name(ScenarioOmission omission);

#endif
