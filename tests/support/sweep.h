/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SWEEP_H
#define TESTS_SWEEP_H

#include <glib.h>

/*
 * One life, its nth call (from 1) failing with this errno, `times` in a row. FALSE: it had
 * fewer calls. *ret_wrong: the first thing that was not as it must be, or NULL.
 */
typedef gboolean (*SweepPlay)(guint64 nth, int err, guint times, const char **ret_wrong,
                              gconstpointer data);

/* Play it with each of the errnos, once to three times in a row, at each of its calls. */
void sweep_faults(SweepPlay play, gconstpointer data, const char *prefix);

#endif
