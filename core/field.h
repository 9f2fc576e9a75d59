/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_FIELD_H
#define VIOMMUI_CORE_FIELD_H

/*
 * Fields of registers and tables, for every vendor's regs.h: {lowest bit, width}, read and
 * written by the functions below.
 */

#include <glib.h>

typedef struct {
    guint8 shift;
    guint8 width;
} ViommuiField;

#define VIOMMUI_FIELD(shift_, width_) ((ViommuiField){.shift = (shift_), .width = (width_)})

static inline guint64 viommui_field_mask(ViommuiField field)
{
    return (G_MAXUINT64 >> (64 - field.width)) << field.shift;
}

static inline guint64 viommui_field_get(guint64 word, ViommuiField field)
{
    return (word & viommui_field_mask(field)) >> field.shift;
}

static inline guint64 viommui_field_set(guint64 word, ViommuiField field, guint64 value)
{
    return (word & ~viommui_field_mask(field)) |
           ((value << field.shift) & viommui_field_mask(field));
}

#endif
