/* SPDX-License-Identifier: MIT */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <glib.h>

/*
 * A TAP producer. Unlike GLib's test framework it goes on after a failed point, which
 * a test that plays a device's life needs, and speaks TAP without being asked.
 */

/* One test point; returns ok. */
gboolean tap_ok(gboolean ok, const char *format, ...) G_GNUC_PRINTF(2, 3);
void tap_skip(const char *reason, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* A line for the reader of a failure. */
void tap_note(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* The plan and the exit status: return it from main. */
int tap_done(void);
/* Instead of any point: the whole program has nothing to test here. */
int tap_skip_all(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Points about a value, which say the value they got. */
gboolean tap_is(gint64 got, gint64 want, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The string holds this. */
gboolean tap_has(const char *text, const char *part, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

#endif
