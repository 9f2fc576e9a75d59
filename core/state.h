/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_STATE_H
#define VIOMMUI_CORE_STATE_H

/*
 * The state of a vIOMMU as bytes, for every vendor: a header, then its registers by a list
 * of fields, all little-endian.
 *
 *   magic    8 bytes
 *   version  4 bytes  of the list of fields
 *   size     4 bytes  of all of it
 *   fields            in the order of the list, each as wide as it says
 *
 * A field knows the version that brought it, so that a state of any version up to the
 * format's can be read: what it lacks stays as it was. New fields go to the end, with a new
 * version; fields are never removed or changed. A newer version is refused.
 */

#include <viommu/error.h>

typedef struct {
    guint16 at;   /* where in the vendor's struct of registers */
    guint8 size;  /* 4 or 8 */
    guint8 since; /* version */
} ViommuiStateField;

#define VIOMMUI_STATE_FIELD(type_, name_, since_)                                 \
    {                                                                             \
        .at = G_STRUCT_OFFSET(type_, name_), .size = sizeof(((type_ *)0)->name_), \
        .since = (since_),                                                        \
    }

typedef struct {
    char magic[9];
    guint32 version;
    const char *what; /* "an SMMUv3" */
    const ViommuiStateField *fields;
    gsize n_fields;
} ViommuiStateFormat;

GBytes *viommui_state_save(const ViommuiStateFormat *format, const void *registers);
/*
 * The state's fields over what is in *registers; nothing is written on failure. Values are
 * as hostile as whoever kept them.
 */
gboolean viommui_state_load(const ViommuiStateFormat *format, GBytes *state,
                            void *registers, GError **error);

#endif
