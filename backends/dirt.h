/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_BACKENDS_DIRT_H
#define VIOMMUI_BACKENDS_DIRT_H

#include <glib.h>

/*
 * Guest memory known to have been written, kept until it is asked for: what a host call
 * tells of more than was asked, or what goes with a mapping. Pages of 4 KiB, by
 * guest-physical address.
 */
typedef struct ViommuiDirt ViommuiDirt;

ViommuiDirt *viommui_dirt_new(void);
void viommui_dirt_free(ViommuiDirt *dirt);
void viommui_dirt_clear(ViommuiDirt *dirt);
/* Whole pages. */
void viommui_dirt_add(ViommuiDirt *dirt, guint64 gpa, guint64 size);
/* Set the bits of those in the range, from gpa as bit 0, and unless kept forget them. */
void viommui_dirt_take(ViommuiDirt *dirt, guint64 gpa, guint64 size, guint64 *bitmap,
                       gboolean keep);

#endif
