/* SPDX-License-Identifier: MIT */
/*
 * viommu replay: recordings of real guests played through a whole device, and what came of
 * it, for a person or for a machine (--json). Exit status: 0 nothing differs, 1 something
 * does, 2 wrong arguments, or a recording that cannot be read or played.
 *
 * Down: trace/vendor.h.
 */

#include "commands.h"
#include "json.h"
#include "trace/vendor.h"

#include <stdio.h>

typedef struct {
    gboolean json;
    gboolean verbose;
    char *backend;
    TraceOptions trace;
} Options;

static gboolean parse(int *argc, char ***argv, Options *options, GError **error)
{
    const GOptionEntry entries[] = {
        {"json", 'j', 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose,
         "Name every difference, not the first few of a recording only", NULL},
        {"self-check", 0, 0, G_OPTION_ARG_NONE, &options->trace.self_check,
         "Play nothing: hold each recording against a walk of its own tables", NULL},
        {"backend", 'b', 0, G_OPTION_ARG_STRING, &options->backend,
         "The library's backend (default: its first)", "NAME"},
        {"no-nesting", 0, 0, G_OPTION_ARG_NONE, &options->trace.no_nesting,
         "Have the host's IOMMU be one that cannot nest: copies serve, or nothing does",
         NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new(
        "TRACE... - play recordings of real guests through a whole device");

    g_option_context_set_summary(
        context,
        "The host behind the device is the embedded emulator. Each register that the "
        "recorded guest\nread must read the same, and each DMA must end at the same "
        "address, in the software\nwalk and in the emulated hardware both, where hardware "
        "can be given the guest's tables.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error))
        return FALSE;
    options->trace.backend = options->backend;
    if (*argc > 1)
        return TRUE;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "no TRACE is given");
    return FALSE;
}

static void print_json_counts(const guint64 counts[TRACE_N_COUNTS], const char *indent)
{
    for (guint i = 0; i < TRACE_N_COUNTS; i++)
        printf(",\n%s\"%s\": %" G_GUINT64_FORMAT, indent, trace_count_name(i), counts[i]);
}

static void print_json_list(const char *name, const GPtrArray *list)
{
    printf(",\n      \"%s\": [", name);
    for (guint i = 0; i < list->len; i++) {
        fputs(i ? ",\n        " : "\n        ", stdout);
        json_print_string(g_ptr_array_index(list, i));
    }
    fputs(list->len ? "\n      ]" : "]", stdout);
}

static void print_json(const char *path, const TraceResult *result, const GError *error,
                       gboolean first)
{
    g_autofree char *utf8 = g_utf8_make_valid(path, -1);

    fputs(first ? "\n    {\n      " : ",\n    {\n      ", stdout);
    json_print_member("trace", utf8);
    if (result->vendor) {
        fputs(",\n      ", stdout);
        json_print_member("vendor", result->vendor);
    }
    if (result->guest) {
        g_autofree char *guest = g_utf8_make_valid(result->guest, -1);

        fputs(",\n      ", stdout);
        json_print_member("guest", guest);
    }
    if (error) {
        g_autofree char *message = g_utf8_make_valid(error->message, -1);

        fputs(",\n      ", stdout);
        json_print_member("error", message);
    }
    printf(",\n      \"ok\": %s", !error && trace_result_is_ok(result) ? "true" : "false");
    print_json_counts(result->counts, "      ");
    print_json_list("excused", result->excuses);
    print_json_list("left_out", result->omissions);
    print_json_list("differences", result->differences);
    fputs("\n    }", stdout);
}

static void print_counts(const guint64 counts[TRACE_N_COUNTS])
{
    for (guint i = 0; i < TRACE_N_COUNTS; i++)
        if (counts[i])
            printf("  %-24s %12" G_GUINT64_FORMAT "\n", trace_count_name(i), counts[i]);
}

static void print_text(const char *path, const TraceResult *result, const GError *error)
{
    printf("%s\n", path);
    if (result->guest)
        printf("  %s: %s\n", result->vendor, result->guest);
    if (error) {
        printf("  FAIL: %s\n", error->message);
        return;
    }
    print_counts(result->counts);
    for (guint i = 0; i < result->excuses->len; i++)
        printf("  excused: %s\n", (char *)g_ptr_array_index(result->excuses, i));
    for (guint i = 0; i < result->omissions->len; i++)
        printf("  left out: %s\n", (char *)g_ptr_array_index(result->omissions, i));
    for (guint i = 0; i < result->differences->len; i++)
        printf("  DIFFERS: %s\n", (char *)g_ptr_array_index(result->differences, i));
    if (result->n_differences > result->differences->len)
        printf("  ... and %" G_GUINT64_FORMAT " more differences (--verbose)\n",
               result->n_differences - result->differences->len);
}

/* The exit status that one recording asks for. */
static int play(const Options *options, const char *path, guint64 totals[TRACE_N_COUNTS],
                gboolean first)
{
    g_autoptr(TraceResult) result = trace_result_new(options->verbose);
    g_autoptr(GError) error = NULL;

    trace_play(path, &options->trace, result, &error);
    if (options->json)
        print_json(path, result, error, first);
    else
        print_text(path, result, error);
    if (error) {
        fprintf(stderr, "viommu replay: %s\n", error->message);
        return 2;
    }
    for (guint i = 0; i < TRACE_N_COUNTS; i++)
        totals[i] += result->counts[i];
    return trace_result_is_ok(result) ? 0 : 1;
}

/* Each of the n recordings, and their total. */
static int play_all(const Options *options, char **paths, int n)
{
    guint64 totals[TRACE_N_COUNTS] = {0};
    int status = 0;

    if (options->json)
        fputs("{\n  \"traces\": [", stdout);
    for (int i = 0; i < n; i++) {
        int one = play(options, paths[i], totals, i == 0);

        status = MAX(status, one);
    }
    if (options->json) {
        fputs("\n  ]", stdout);
        print_json_counts(totals, "  ");
        printf(",\n  \"ok\": %s\n}\n", status ? "false" : "true");
        return status;
    }
    if (n > 1) {
        printf("total of %d recordings\n", n);
        print_counts(totals);
    }
    puts(status == 0   ? "nothing differs"
         : status == 1 ? "NOT EQUAL"
                       : "NOT PLAYED: see above");
    return status;
}

int command_replay(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    Options options = {0};
    int status = 2;

    if (parse(&argc, &argv, &options, &error))
        status = play_all(&options, argv + 1, argc - 1);
    else
        fprintf(stderr, "viommu replay: %s\n", error->message);
    g_free(options.backend);
    return status;
}
