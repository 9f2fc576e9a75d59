/* SPDX-License-Identifier: MIT */
/*
 * JSON on standard output, as far as the subcommands need it. Up: all with --json.
 */
#include "json.h"

#include <glib.h>
#include <stdio.h>

void json_print_string(const char *text)
{
    putchar('"');
    for (const char *c = text; *c; c++)
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if ((guchar)*c < 0x20)
            printf("\\u%04x", (guchar)*c);
        else
            putchar(*c);
    putchar('"');
}

void json_print_member(const char *name, const char *value)
{
    json_print_string(name);
    fputs(": ", stdout);
    json_print_string(value);
}
