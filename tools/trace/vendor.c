/* SPDX-License-Identifier: MIT */
/*
 * From a path to a played recording: the table of vendors, and who plays what.
 *
 * Up: replay.c. Down: survey.c, memory.c, player.c, self-check.c.
 */
#include "vendor.h"

#include "player.h"

static const TraceVendor vendors[] = {
    {
        .name = "smmuv3",
        .title = "Arm SMMUv3",
        .cover = trace_smmuv3_cover,
        /* Where Linux puts the doorbells of a nested SMMUv3, and no RAM. */
        .msi_window = {0x8000000, 0x80fffff},
        .tables = &trace_smmuv3_tables,
#ifdef HAVE_ARM_SMMUV3
        .unit = &trace_smmuv3_unit,
#endif
    },
    {
        .name = "vtd",
        .title = "Intel VT-d",
        .cover = trace_vtd_cover,
        .scout = trace_vtd_scout,
        .msi_window = {0xfee00000, 0xfeefffff},
        .tables = &trace_vtd_tables,
#ifdef HAVE_INTEL
        .unit = &trace_vtd_unit,
#endif
    },
};

const TraceVendor *trace_vendor_find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(vendors); i++)
        if (g_str_equal(vendors[i].name, name))
            return &vendors[i];
    return NULL;
}

/* What scout() finds, on memory of its own. */
static gboolean scout(TraceSurvey *survey, GError **error)
{
    g_autoptr(TraceMemory) memory = NULL;

    if (!survey->vendor->scout)
        return TRUE;
    memory = trace_memory_new(survey->cover, &survey->vendor->msi_window, error);
    return memory && survey->vendor->scout(survey, memory, error);
}

static gboolean play_survey(const TraceSurvey *survey, const TracePlayerOps *ops,
                            const TraceOptions *options, TraceResult *result,
                            GError **error)
{
    g_autoptr(TraceMemory) memory =
        trace_memory_new(survey->cover, &survey->vendor->msi_window, error);
    gpointer player = memory ? ops->create(survey, memory, options, result, error) : NULL;
    gboolean ok = player && trace_survey_play(survey, memory, ops, player, result, error);

    if (player)
        ops->destroy(player);
    return ok;
}

gboolean trace_play(const char *path, const TraceOptions *options, TraceResult *result,
                    GError **error)
{
    g_autoptr(TraceSurvey) survey = trace_survey_new(path, error);

    if (!survey)
        return FALSE;
    result->vendor = survey->vendor->name;
    result->guest = g_strdup(survey->guest);
    if (options->self_check)
        return play_survey(survey, &trace_self_check, options, result, error);
    if (!survey->vendor->unit) {
        g_set_error(error, TRACE_ERROR, TRACE_ERROR_UNSUPPORTED,
                    "%s: a recording of vendor \"%s\" (%s), which this build is without",
                    path, survey->vendor->name, survey->vendor->title);
        return FALSE;
    }
    return scout(survey, error) &&
           play_survey(survey, &trace_player, options, result, error);
}
