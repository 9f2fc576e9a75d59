/* SPDX-License-Identifier: MIT */
#include "sweep.h"

#include <errno.h>

#include "tap.h"

void sweep_faults(SweepPlay play, gconstpointer data, const char *prefix)
{
    static const int errs[] = {EINTR,  ENOMEM, EIO,    EINVAL,
                               ENODEV, EBUSY,  ENOENT, EOPNOTSUPP};
    /* A host that refuses four in a row refuses to detach, and there is no way left. */
    static const guint times[] = {1, 2, 3};

    for (gsize i = 0; i < G_N_ELEMENTS(errs); i++)
        for (gsize j = 0; j < G_N_ELEMENTS(times); j++) {
            const char *wrong = NULL;
            guint64 nth = 0;

            while (play(++nth, errs[i], times[j], &wrong, data) && !wrong)
                ;
            tap_ok(!wrong && nth > 30, "%s%s, %u in a row, at each of %u calls", prefix,
                   g_strerror(errs[i]), times[j], (guint)nth - 1);
            if (wrong)
                tap_note("failing call %u: %s", (guint)nth, wrong);
        }
}
