/* SPDX-License-Identifier: MIT */
/*
 * viommu-conformance: the vendors' conformance suites by every way to a host that this
 * build has, on the embedded emulator or on devices of the kernel below, and the matrix of
 * what came of them. Exit status: 0 all is as it must be, 1 something is not, 2 wrong
 * arguments.
 *
 * Owns no check: each suite is a program that speaks TAP. Beside this one they are found in
 * a build directory, else where they are installed.
 *
 * Down: the programs, tools/scenario/dma.h for what devices there is a driver of.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "conformance-rows.h"
#include "dma.h"

typedef struct {
    char *vendor;
    char *backend;
    char **devices;
    gboolean no_nesting;
    gboolean list;
    gboolean tap;
    gboolean markdown;
} Options;

/* A cell of the matrix. */
typedef struct {
    const char *vendor;
    const char *host;
    guint n_suites;
    guint n_passed;
    guint n_failed;
    guint n_skipped;
} Cell;

typedef struct {
    const Options *options;
    char *folder; /* of this program */
    GArray *cells;
    guint n_points; /* of all, for TAP's numbers */
} Run;

/* --- arguments --------------------------------------------------------------------------
 */

static gboolean parse(int *argc, char ***argv, Options *options, GError **error)
{
    const GOptionEntry entries[] = {
        {"vendor", 'v', 0, G_OPTION_ARG_STRING, &options->vendor,
         "Suites of this vendor only: intel, smmuv3", "NAME"},
        {"backend", 'b', 0, G_OPTION_ARG_STRING, &options->backend,
         "By this backend only: iommufd, legacy", "NAME"},
        {"no-nesting", 0, 0, G_OPTION_ARG_NONE, &options->no_nesting,
         "Hosts that cannot nest only", NULL},
        {"device", 'd', 0, G_OPTION_ARG_STRING_ARRAY, &options->devices,
         "On this device of the kernel below, bound to vfio-pci; once more for a second "
         "one",
         "BDF"},
        {"list", 'l', 0, G_OPTION_ARG_NONE, &options->list, "Run nothing: list the suites",
         NULL},
        {"tap", 't', 0, G_OPTION_ARG_NONE, &options->tap, "Print TAP", NULL},
        {"markdown", 'm', 0, G_OPTION_ARG_NONE, &options->markdown,
         "Print the matrix alone, in Markdown", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL},
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- whether the library does what guests and hosts rely on");

    g_option_context_set_summary(
        context, "Runs the conformance suites by each backend in this build, on the "
                 "embedded emulator\nunless devices are given, and prints how many points "
                 "hold. Memory of a given device's\nDMA is the suites' own; the device is "
                 "one that they can make do DMA.");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error))
        return FALSE;
    if (*argc == 1)
        return TRUE;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "\"%s\" is no argument of this program", (*argv)[1]);
    return FALSE;
}

static gboolean is_backend_of(const char *host, const char *backend)
{
    gsize length = strlen(backend);

    return g_str_has_prefix(host, backend) && (!host[length] || host[length] == '-');
}

static gboolean is_wanted(const Options *options, const ConformanceRow *row)
{
    gboolean nests = g_str_equal(row->host, "iommufd");

    return (!options->vendor || g_str_equal(row->vendor, options->vendor)) &&
           (!options->backend || is_backend_of(row->host, options->backend)) &&
           (!options->no_nesting || !nests) &&
           /* Whether the host of a real device can nest is its own affair. */
           (!options->devices ||
            (row->on_devices && !g_str_equal(row->host, "iommufd-no-nesting")));
}

/* In a list of what there is: of vendors, or of backends. */
static gboolean check_name(const char *name, const char *what, gboolean is_vendor,
                           GError **error)
{
    if (!name)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(conformance_rows); i++)
        if (is_vendor ? g_str_equal(conformance_rows[i].vendor, name)
                      : is_backend_of(conformance_rows[i].host, name))
            return TRUE;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "%s \"%s\" is not in this build", what, name);
    return FALSE;
}

static gboolean read_id(const char *bdf, const char *name, guint16 *ret_id, GError **error)
{
    g_autofree char *path = g_strdup_printf("/sys/bus/pci/devices/%s/%s", bdf, name);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, error)) {
        g_prefix_error(error, "no device %s: ", bdf);
        return FALSE;
    }
    *ret_id = (guint16)g_ascii_strtoull(text, NULL, 16);
    return TRUE;
}

static gboolean check_devices(const Options *options, GError **error)
{
    for (char **bdf = options->devices; bdf && *bdf; bdf++) {
        guint16 vendor, device;

        if (!read_id(*bdf, "vendor", &vendor, error) ||
            !read_id(*bdf, "device", &device, error))
            return FALSE;
        if (!dma_check_id(vendor, device, error)) {
            g_prefix_error(error, "%s: ", *bdf);
            return FALSE;
        }
    }
    if (!options->devices || options->vendor)
        return TRUE;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "a device is behind one vendor's IOMMU: --vendor says which");
    return FALSE;
}

static gboolean check(const Options *options, GError **error)
{
    guint n = 0;

    if (!check_name(options->vendor, "vendor", TRUE, error) ||
        !check_name(options->backend, "backend", FALSE, error) ||
        !check_devices(options, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(conformance_rows); i++)
        n += is_wanted(options, &conformance_rows[i]);
    if (n)
        return TRUE;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "there are no such suites: --list shows those there are");
    return FALSE;
}

/* --- one suite --------------------------------------------------------------------------
 */

static Cell *find_cell(Run *run, const ConformanceRow *row)
{
    Cell fresh = {.vendor = row->vendor, .host = row->host};

    for (guint i = 0; i < run->cells->len; i++) {
        Cell *cell = &g_array_index(run->cells, Cell, i);

        if (g_str_equal(cell->vendor, row->vendor) && g_str_equal(cell->host, row->host))
            return cell;
    }
    g_array_append_val(run->cells, fresh);
    return &g_array_index(run->cells, Cell, run->cells->len - 1);
}

static char *name_of(const ConformanceRow *row)
{
    return g_strdup_printf("%s-%s-%s", row->vendor, row->host, row->suite);
}

/* Beside this program, or installed. */
static char *find_program(const Run *run, const ConformanceRow *row)
{
    g_autofree char *name = g_strdup_printf("conformance-%s-%s", row->vendor, row->suite);
    g_autofree char *beside = g_build_filename(run->folder, name, NULL);

    if (g_file_test(beside, G_FILE_TEST_EXISTS))
        return g_steal_pointer(&beside);
    return g_path_is_absolute(CONFORMANCE_DIR)
               ? g_build_filename(CONFORMANCE_DIR, name, NULL)
               : g_build_filename(run->folder, CONFORMANCE_DIR, name, NULL);
}

static char **arguments_of(const Run *run, const ConformanceRow *row)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autofree char *program = find_program(run, row);

    g_strv_builder_add(builder, program);
    g_strv_builder_add_many(builder, "--backend",
                            is_backend_of(row->host, "legacy") ? "legacy" : "iommufd",
                            NULL);
    if (g_str_equal(row->host, "iommufd-no-nesting"))
        g_strv_builder_add_many(
            builder, "--emulate",
            g_str_equal(row->vendor, "intel") ? "vtd-no-nesting" : "smmuv3-no-nesting",
            NULL);
    if (g_str_equal(row->host, "legacy-compat"))
        g_strv_builder_add_many(builder, "--container", "/dev/iommu", NULL);
    for (char **bdf = run->options->devices; bdf && *bdf; bdf++)
        g_strv_builder_add_many(builder, "--device", *bdf, NULL);
    return g_strv_builder_end(builder);
}

/* text: after "ok N", with its " - ". */
static void point(Run *run, Cell *cell, const char *name, gboolean ok, const char *text)
{
    gboolean skipped = ok && strstr(text, "# SKIP");
    g_autofree char *words = g_strstrip(g_strdup(text));

    run->n_points++;
    cell->n_failed += !ok;
    cell->n_skipped += skipped;
    cell->n_passed += ok && !skipped;
    if (run->options->tap)
        printf("%s %u - %s: %s\n", ok ? "ok" : "not ok", run->n_points, name,
               g_str_has_prefix(words, "- ") ? words + 2 : words);
    else if (!ok && !run->options->markdown)
        printf("  FAILED %s: %s\n", name,
               g_str_has_prefix(words, "- ") ? words + 2 : words);
}

/* What one line of TAP says. *planned: how many points there are to be, once known. */
static void take_line(Run *run, Cell *cell, const char *name, const char *line,
                      guint *ret_points, gint64 *planned)
{
    gboolean ok = g_str_has_prefix(line, "ok ");
    const char *rest = ok ? line + 3 : g_str_has_prefix(line, "not ok ") ? line + 7 : NULL;
    char *text;

    if (rest) {
        g_ascii_strtoull(rest, &text, 10);
        (*ret_points)++;
        point(run, cell, name, ok, text);
    } else if (g_str_has_prefix(line, "1..")) {
        *planned = g_ascii_strtoll(line + 3, &text, 10);
        if (*planned == 0)
            point(run, cell, name, TRUE, text);
    } else if (run->options->tap) {
        printf("# %s\n", g_str_has_prefix(line, "# ") ? line + 2 : line);
    }
}

/* told: a failed point has been. */
static void end(Run *run, Cell *cell, const char *name, int status, guint n_points,
                gint64 planned, gboolean told)
{
    g_autoptr(GError) error = NULL;

    if (planned == n_points) {
        if (g_spawn_check_wait_status(status, &error) || told)
            return;
    } else {
        g_set_error(&error, G_SPAWN_ERROR, G_SPAWN_ERROR_FAILED,
                    "%u points of %" G_GINT64_FORMAT ", wait status %d", n_points, planned,
                    status);
    }
    point(run, cell, name, FALSE, error->message);
}

static void run_suite(Run *run, const ConformanceRow *row)
{
    Cell *cell = find_cell(run, row);
    const Cell before = *cell;
    g_autofree char *name = name_of(row);
    g_auto(GStrv) arguments = arguments_of(run, row);
    g_autoptr(GError) error = NULL;
    char *line = NULL;
    gsize room = 0;
    guint n_points = 0;
    gint64 planned = -1;
    int out, status = 0;
    GPid pid;
    FILE *file;

    cell->n_suites++;
    fflush(stdout);
    if (!g_spawn_async_with_pipes(NULL, arguments, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                  NULL, &pid, NULL, &out, NULL, &error)) {
        point(run, cell, name, FALSE, error->message);
        return;
    }
    file = fdopen(out, "r");
    while (getline(&line, &room, file) > 0)
        take_line(run, cell, name, g_strchomp(line), &n_points, &planned);
    fclose(file);
    g_free(line);
    waitpid(pid, &status, 0);
    end(run, cell, name, status, n_points, planned, cell->n_failed > before.n_failed);
    if (!run->options->tap && !run->options->markdown)
        printf("%-36s %5u passed %3u failed %3u skipped\n", name,
               cell->n_passed - before.n_passed, cell->n_failed - before.n_failed,
               cell->n_skipped - before.n_skipped);
}

/* --- the matrix -------------------------------------------------------------------------
 */

static void print_matrix(const Run *run)
{
    const char *target = run->options->devices ? "kernel" : "emulator";
    const char *prefix = run->options->tap ? "# " : "";

    printf("%s| vendor | host | target | suites | passed | failed | skipped |\n", prefix);
    printf("%s|---|---|---|---:|---:|---:|---:|\n", prefix);
    for (guint i = 0; i < run->cells->len; i++) {
        const Cell *cell = &g_array_index(run->cells, Cell, i);

        printf("%s| %s | %s | %s | %u | %u | %u | %u |\n", prefix, cell->vendor, cell->host,
               target, cell->n_suites, cell->n_passed, cell->n_failed, cell->n_skipped);
    }
}

static int run_all(const Options *options)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    Run run = {.options = options,
               .folder = g_path_get_dirname(self ? self : "."),
               .cells = g_array_new(FALSE, FALSE, sizeof(Cell))};
    guint n_failed = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(conformance_rows); i++)
        if (is_wanted(options, &conformance_rows[i]))
            run_suite(&run, &conformance_rows[i]);
    print_matrix(&run);
    if (options->tap)
        printf("1..%u\n", run.n_points);
    for (guint i = 0; i < run.cells->len; i++)
        n_failed += g_array_index(run.cells, Cell, i).n_failed;
    g_array_unref(run.cells);
    g_free(run.folder);
    return n_failed ? 1 : 0;
}

static void list(const Options *options)
{
    for (gsize i = 0; i < G_N_ELEMENTS(conformance_rows); i++) {
        g_autofree char *name = name_of(&conformance_rows[i]);

        if (is_wanted(options, &conformance_rows[i]))
            puts(name);
    }
}

int main(int argc, char **argv)
{
    Options options = {0};
    g_autoptr(GError) error = NULL;
    int status = 2;

    if (!parse(&argc, &argv, &options, &error) || !check(&options, &error)) {
        fprintf(stderr, "viommu-conformance: %s\n", error->message);
    } else if (options.list) {
        list(&options);
        status = 0;
    } else {
        status = run_all(&options);
    }
    g_strfreev(options.devices);
    g_free(options.backend);
    g_free(options.vendor);
    return status;
}
