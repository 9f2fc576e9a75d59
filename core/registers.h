/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_REGISTERS_H
#define VIOMMUI_CORE_REGISTERS_H

/*
 * Registers of 4 and 8 bytes kept in a vendor's struct, and guest accesses to them or to
 * halves of them.
 */

#include <glib.h>

static inline guint64 viommui_register_load(const void *registers, gsize at, guint size)
{
    const guint8 *where = (const guint8 *)registers + at;

    return size == 8 ? *(const guint64 *)(const void *)where
                     : *(const guint32 *)(const void *)where;
}

static inline void viommui_register_store(void *registers, gsize at, guint size,
                                          guint64 value)
{
    guint8 *where = (guint8 *)registers + at;

    if (size == 8)
        *(guint64 *)(void *)where = value;
    else
        *(guint32 *)(void *)where = (guint32)value;
}

/*
 * Whether an access of these bytes, naturally aligned and of 4 or 8, touches this register
 * alone; *ret_shift: which half.
 */
static inline gboolean viommui_register_is_accessed(guint64 reg_offset, guint reg_size,
                                                    guint64 offset, guint size,
                                                    guint *ret_shift)
{
    if ((size != 4 && size != 8) || offset % size || size > reg_size ||
        offset < reg_offset || offset >= reg_offset + reg_size)
        return FALSE;
    *ret_shift = 8 * (guint)(offset - reg_offset);
    return TRUE;
}

/* What a register becomes by a write to it or a half of it; other bits stay as they are. */
static inline guint64 viommui_register_merge(guint64 old, guint64 mask, guint shift,
                                             guint size, guint64 value)
{
    guint64 part = size == 8 ? G_MAXUINT64 : (guint64)G_MAXUINT32 << shift;

    value = (old & ~part) | ((value << shift) & part);
    return (old & ~mask) | (value & mask);
}

#endif
