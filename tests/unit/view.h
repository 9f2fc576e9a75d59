/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_VIEW_H
#define TESTS_UNIT_VIEW_H

#include <viommu-emulator/inspect.h>
#include <viommu/host.h>

/*
 * What a device of the emulator reaches, told by bytes. Pages of guest memory are marked
 * with a token each; the device reads one, and writes a number that nobody has written
 * before, which is then looked for.
 */
typedef struct {
    guint64 gpa;  /* of a page; 0 where there is nothing */
    guint rights; /* ViommuMapFlags; 0: nothing */
} View;

#define VIEW_ELSEWHERE G_MAXUINT64 /* a page that was not marked */
#define VIEW_NO_PASID  (-1)

typedef struct {
    ViommuEmulator *emulator;
    GHashTable *pages; /* gpa -> where its first word is */
    guint64 number;    /* the last that was written */
} Viewer;

void viewer_init(Viewer *viewer, ViommuEmulator *emulator);
void viewer_clear(Viewer *viewer);
/* Mark this page of guest memory, which stands there in this process. */
void viewer_mark(Viewer *viewer, guint64 gpa, void *page);
void viewer_unmark(Viewer *viewer, guint64 gpa);

/* What the device reaches at this page, with this PASID. */
View viewer_look(Viewer *viewer, const char *bdf, int pasid, guint64 iova);

/* It is no more than what is granted. */
gboolean view_is_within(View seen, View granted);
gboolean view_is(View seen, View granted);

#endif
