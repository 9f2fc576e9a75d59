/* SPDX-License-Identifier: MIT */
/*
 * viommu: the command-line tool. One subcommand a file; this one finds it.
 */

#include "commands.h"

#include <viommu/viommu.h>

#include <stdio.h>

static const struct {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
#ifdef HAVE_DEMO
    {"demo", "bind one guest stage-1 table from end to end, and show it", command_demo},
#endif
    {"probe", "tell what the host's IOMMUs can do for a guest", command_probe},
#ifdef HAVE_REPLAY
    {"replay", "play recordings of real guests through a whole device", command_replay},
#endif
    {NULL, NULL, NULL},
};

static int usage(FILE *to, int status)
{
    fputs("usage: viommu COMMAND [OPTION...]   (viommu COMMAND --help for its options)\n"
          "       viommu --version\n\n",
          to);
    for (gsize i = 0; commands[i].name; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].summary);
    return status;
}

static void print_list(const char *title, const char *const *names)
{
    g_autofree char *text = g_strjoinv(", ", (char **)names);

    printf("%s: %s\n", title, text);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr, 2);
    if (g_str_equal(argv[1], "--version")) {
        printf("viommu %s\n", viommu_version());
        print_list("backends", viommu_backend_names());
        print_list("vendors", viommu_vendor_names());
        return 0;
    }
    if (g_str_equal(argv[1], "--help") || g_str_equal(argv[1], "-h"))
        return usage(stdout, 0);
    for (gsize i = 0; commands[i].name; i++)
        if (g_str_equal(argv[1], commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "viommu: \"%s\" is no command\n", argv[1]);
    return usage(stderr, 2);
}
