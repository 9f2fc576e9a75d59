/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_CORE_SECTIONS_H
#define VIOMMUI_CORE_SECTIONS_H

/*
 * Read sections, for every vendor: emulated endpoints translate and use what they got
 * within one, and whoever changes what they see waits for those that have begun. Many
 * readers, which do not disturb each other; few writers, which are not kept waiting by
 * sections that begin later.
 */

#include <glib.h>

typedef struct ViommuiSections ViommuiSections;

/* Threads are told apart by a number below this, as far as that goes. */
enum { VIOMMUI_SECTION_SLOTS = 16 };

ViommuiSections *viommui_sections_new(void);
/* Nobody is in a section. Accepts NULL. */
void viommui_sections_free(ViommuiSections *sections);

/* Not nested: a change may be waiting in between. */
void viommui_sections_enter(ViommuiSections *sections);
void viommui_sections_exit(ViommuiSections *sections);

/* Between the two nobody is in a section. One thread at a time, not from within one. */
void viommui_sections_begin_change(ViommuiSections *sections);
void viommui_sections_end_change(ViommuiSections *sections);
/* A change has begun, or waits for sections to end: for tests. */
gboolean viommui_sections_is_changing(ViommuiSections *sections);

/* The calling thread's number: for what is better kept apart by thread. */
guint viommui_sections_slot(void);

#endif
