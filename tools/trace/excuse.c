/* SPDX-License-Identifier: MIT */
/*
 * What of a differing register is excused: as much as each vendor's table says, and named.
 *
 * Up: the vendors' offers. Down: result.c.
 */
#include "excuse.h"

#include "tables.h"

gboolean trace_excuse_register(const TraceExcuse *excuses, gsize n, guint64 offset,
                               guint bits, const char *name, guint64 recorded, guint64 ours,
                               TraceResult *result)
{
    guint64 differing = recorded ^ ours;
    int digits = bits / 4;
    g_autoptr(GString) fields = g_string_new(NULL);

    for (gsize i = 0; i < n; i++) {
        const TraceExcuse *excuse = &excuses[i];
        guint64 mask = TRACE_FIELD(G_MAXUINT64, excuse->high, excuse->low);

        if (excuse->offset != offset || !(differing & mask))
            continue;
        differing &= ~mask;
        g_string_append_printf(
            fields, "; %s %" G_GINT64_MODIFIER "x, ours %" G_GINT64_MODIFIER "x (%s)",
            excuse->name, TRACE_BITS(recorded, excuse->high, excuse->low),
            TRACE_BITS(ours, excuse->high, excuse->low), excuse->reason);
    }
    if (differing)
        return FALSE;
    if (recorded != ours)
        trace_result_excuse(result,
                            "%s recorded %0*" G_GINT64_MODIFIER
                            "x, ours %0*" G_GINT64_MODIFIER "x%s",
                            name, digits, recorded, digits, ours, fields->str);
    return TRUE;
}
