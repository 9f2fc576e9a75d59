/* SPDX-License-Identifier: MIT */
#ifndef TRACE_EXCUSE_H
#define TRACE_EXCUSE_H

#include "result.h"

/* Fields of registers that a device need not read as recorded, by name and with a reason.
 */
typedef struct {
    guint64 offset;
    guint8 high;
    guint8 low;
    const char *name;
    const char *reason;
} TraceExcuse;

/*
 * A register of so many bits reads otherwise. FALSE: not in excused fields only. Bits that
 * were not looked at are equal in both.
 */
gboolean trace_excuse_register(const TraceExcuse *excuses, gsize n, guint64 offset,
                               guint bits, const char *name, guint64 recorded, guint64 ours,
                               TraceResult *result);

#endif
