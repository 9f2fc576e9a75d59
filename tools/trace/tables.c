/* SPDX-License-Identifier: MIT */
/*
 * What the walks of all vendors' tables have in common.
 *
 * Up: the walks, the self check, unmapped.c, the players. Down: nothing.
 */
#include "tables.h"

const char *trace_answer_name(const TraceAnswer *answer)
{
    static const char *const names[] = {
        [TRACE_MAPPED] = "mapped",     [TRACE_BYPASSED] = "bypassed",
        [TRACE_DISABLED] = "disabled", [TRACE_MESSAGE] = "an interrupt message",
        [TRACE_ABORTED] = "aborted",   [TRACE_UNMAPPED] = "unmapped",
    };

    return names[answer->kind];
}

gboolean trace_write_wide(guint64 *wide, guint64 base, const TraceLine *line)
{
    if (line->address == base && line->size == 8)
        *wide = line->value;
    else if (line->address == base && line->size == 4)
        *wide = TRACE_FIELD(*wide, 63, 32) | line->value;
    else if (line->address == base + 4 && line->size == 4)
        *wide = TRACE_FIELD(*wide, 31, 0) | line->value << 32;
    else
        return FALSE;
    return TRUE;
}
