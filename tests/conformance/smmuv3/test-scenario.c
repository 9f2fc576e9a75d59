/* SPDX-License-Identifier: MIT */
/*
 * The scenario, each step a point; and that it notices when something is left out: with
 * each omission some step must fail, or the scenario proves nothing.
 */

#include "scenario.h"
#include "tap.h"
#include "target.h"

typedef struct {
    gboolean quiet;
    GString *failed; /* the steps that failed */
} Outcome;

static void report(const ScenarioStep *step, void *user_data)
{
    Outcome *outcome = user_data;

    if (!step->ok)
        g_string_append_printf(outcome->failed, " %s", step->id);
    if (outcome->quiet)
        return;
    tap_ok(step->ok, "%s: %s", step->id, step->title);
    tap_note("%s", step->detail);
}

static gboolean run(const Target *target, ScenarioOmission omit, Outcome *outcome)
{
    const ScenarioConfig config = {
        .seam = target->seam,
        .bdf = target->bdfs[0],
        .omit = omit,
        .event_timeout_ms = target->event_timeout_ms,
    };
    g_autoptr(GError) error = NULL;
    gboolean ok = scenario_run(&config, report, outcome, &error);

    if (error)
        tap_note("%s", error->message);
    return ok;
}

/* The step that shows each omission. */
static const char *const shown_by[SCENARIO_N_OMISSIONS] = {
    [SCENARIO_OMIT_INVALIDATION] = " fresh", [SCENARIO_OMIT_VDEVICE] = " stage1",
    [SCENARIO_OMIT_STE] = " stage1",         [SCENARIO_OMIT_CFGI] = " cd",
    [SCENARIO_OMIT_ABORT] = " abort",        [SCENARIO_OMIT_EVENTS] = " event",
};

int main(int argc, char **argv)
{
    g_autoptr(GString) failed = g_string_new(NULL);
    Outcome outcome = {.failed = failed};
    Target target;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    tap_ok(run(&target, SCENARIO_OMIT_NOTHING, &outcome), "the scenario as a whole");
    outcome.quiet = TRUE;
    for (ScenarioOmission omit = 1; omit < SCENARIO_N_OMISSIONS; omit++) {
        gboolean ok;

        g_string_truncate(failed, 0);
        /* An event left out is not waited for. */
        target.event_timeout_ms = 0;
        ok = run(&target, omit, &outcome);
        tap_ok(!ok, "without %s it fails", scenario_omission_name(omit));
        tap_has(failed->str, shown_by[omit], "... at the step%s", shown_by[omit]);
    }
    target_clear(&target);
    return tap_done();
}
