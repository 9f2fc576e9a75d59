/* SPDX-License-Identifier: MIT */
#include "tap.h"

#include <stdio.h>
#include <string.h>

static guint n_points;
static guint n_failed;

static gboolean point(gboolean ok, const char *directive, const char *format, va_list args)
{
    g_autofree char *name = g_strdup_vprintf(format, args);

    printf("%s %u - %s%s\n", ok ? "ok" : "not ok", ++n_points,
           g_strdelimit(name, "#\n", ' '), directive);
    fflush(stdout);
    n_failed += !ok;
    return ok;
}

gboolean tap_ok(gboolean ok, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    point(ok, "", format, args);
    va_end(args);
    return ok;
}

void tap_skip(const char *reason, const char *format, ...)
{
    g_autofree char *directive = g_strdup_printf(" # SKIP %s", reason);
    va_list args;

    va_start(args, format);
    point(TRUE, directive, format, args);
    va_end(args);
}

void tap_note(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    printf("# %s\n", g_strdelimit(text, "\n", ' '));
    fflush(stdout);
}

gboolean tap_is(gint64 got, gint64 want, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    point(got == want, "", format, args);
    va_end(args);
    if (got != want)
        tap_note("got %" G_GINT64_FORMAT " (0x%" G_GINT64_MODIFIER
                 "x), want %" G_GINT64_FORMAT,
                 got, (guint64)got, want);
    return got == want;
}

gboolean tap_has(const char *text, const char *part, const char *format, ...)
{
    gboolean ok = text && strstr(text, part);
    va_list args;

    va_start(args, format);
    point(ok, "", format, args);
    va_end(args);
    if (!ok)
        tap_note("\"%s\" is not in \"%s\"", part, text ? text : "(null)");
    return ok;
}

int tap_done(void)
{
    printf("1..%u\n", n_points);
    return n_failed ? 1 : 0;
}

int tap_skip_all(const char *format, ...)
{
    g_autofree char *reason = NULL;
    va_list args;

    va_start(args, format);
    reason = g_strdup_vprintf(format, args);
    va_end(args);
    printf("1..0 # SKIP %s\n", reason);
    return 0;
}
