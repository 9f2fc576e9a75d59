/* SPDX-License-Identifier: MIT */
/*
 * viommu demo: the scenario, told to a person or to a machine (--json).
 */

#include "commands.h"
#include "json.h"
#include "scenario/scenario.h"

#include <viommu-emulator/emulator.h>

#include <stdio.h>

#define EMULATED_BDF "0000:00:02.0"

/* On the kernel, an event comes by interrupt. */
enum { EVENT_TIMEOUT_MS = 10000 };

typedef struct {
    gboolean json;
    guint n_steps;
    guint n_failed;
} Output;

static void report(const ScenarioStep *step, void *user_data)
{
    Output *output = user_data;

    if (output->json) {
        fputs(output->n_steps ? ",\n    {" : "\n    {", stdout);
        json_print_member("id", step->id);
        printf(", \"ok\": %s, ", step->ok ? "true" : "false");
        json_print_member("title", step->title);
        fputs(", ", stdout);
        json_print_member("detail", step->detail);
        putchar('}');
    } else {
        printf("%s  %-10s %s\n%18s%s\n", step->ok ? " ok " : "FAIL", step->id, step->title,
               "", step->detail);
    }
    output->n_steps++;
    output->n_failed += !step->ok;
}

static void open_output(const Output *output, gboolean emulated, const char *bdf)
{
    if (output->json) {
        printf("{\n  \"emulated\": %s,\n  ", emulated ? "true" : "false");
        json_print_member("device", bdf);
        fputs(",\n  \"steps\": [", stdout);
        return;
    }
    if (emulated)
        puts("*** EMULATED: no kernel and no IOMMU are involved. What you see is a model "
             "inside\n"
             "*** this process; its isolation is no isolation. On real hardware:\n"
             "***     viommu demo --backend iommufd --device BDF\n");
    else
        printf("On this machine's kernel and IOMMU, with device %s:\n\n", bdf);
}

static void close_output(const Output *output, gboolean ok, const GError *error)
{
    if (output->json) {
        fputs("\n  ],\n", stdout);
        if (error) {
            fputs("  ", stdout);
            json_print_member("error", error->message);
            fputs(",\n", stdout);
        }
        printf("  \"ok\": %s\n}\n", ok ? "true" : "false");
        return;
    }
    if (error)
        printf("FAIL  %s\n", error->message);
    printf("\n%u steps, %u failed%s\n", output->n_steps, output->n_failed,
           ok ? ": DMA followed the guest's table, and only that" : "");
}

static gboolean parse(int *argc, char ***argv, gboolean *ret_json, char **ret_backend,
                      char **ret_bdf, GError **error)
{
    const GOptionEntry entries[] = {
        {"backend", 'b', 0, G_OPTION_ARG_STRING, ret_backend,
         "Go to the kernel by this backend (default: to the embedded emulator)", "NAME"},
        {"device", 'd', 0, G_OPTION_ARG_STRING, ret_bdf,
         "The PCI function to use, bound to vfio-pci (edu, 1234:11e8)", "BDF"},
        {"json", 'j', 0, G_OPTION_ARG_NONE, ret_json, "Print JSON", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL},
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- bind one guest stage-1 table");

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error))
        return FALSE;
    if (*argc > 1)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "\"%s\" is not expected", (*argv)[1]);
    else if (*ret_backend && !*ret_bdf)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--backend %s needs --device BDF", *ret_backend);
    else if (!*ret_backend && *ret_bdf)
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--device %s needs --backend NAME", *ret_bdf);
    else
        return TRUE;
    return FALSE;
}

static ViommuEmulator *make_emulator(void)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    ViommuEmulatorSmmuv3Config smmu;
    ViommuEmulatorDeviceConfig device = {
        .bdf = EMULATED_BDF, .stream_id = 0x10, .iommu_group = -1};

    viommu_emulator_smmuv3_defaults(&smmu);
    device.iommu = viommu_emulator_add_smmuv3(emulator, &smmu);
    viommu_emulator_add_device(emulator, &device, NULL);
    return emulator;
}

int command_demo(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *backend = NULL;
    g_autofree char *bdf = NULL;
    ViommuEmulator *emulator = NULL;
    ScenarioConfig config = {.event_timeout_ms = EVENT_TIMEOUT_MS};
    Output output = {0};
    gboolean ok;

    if (!parse(&argc, &argv, &output.json, &backend, &bdf, &error)) {
        fprintf(stderr, "viommu demo: %s\n", error->message);
        return 2;
    }
    if (!backend) {
        emulator = make_emulator();
        bdf = g_strdup(EMULATED_BDF);
    }
    config.seam = emulator ? viommu_emulator_get_seam(emulator) : viommu_seam_system();
    config.backend = backend;
    config.bdf = bdf;
    open_output(&output, emulator != NULL, bdf);
    ok = scenario_run(&config, report, &output, &error);
    close_output(&output, ok, error);
    viommu_emulator_free(emulator);
    return ok ? 0 : 1;
}
