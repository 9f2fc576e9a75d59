/* SPDX-License-Identifier: MIT */
#include "view.h"

enum { NUMBERS = 8 }; /* where they are written, beside the token */
#define TOKEN 0x70ce000000000000ull

static gint64 *key_of(guint64 gpa)
{
    gint64 *key = g_new(gint64, 1);

    *key = (gint64)gpa;
    return key;
}

void viewer_init(Viewer *viewer, ViommuEmulator *emulator)
{
    *viewer = (Viewer){.emulator = emulator};
    viewer->pages = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

void viewer_clear(Viewer *viewer)
{
    g_hash_table_unref(viewer->pages);
}

void viewer_mark(Viewer *viewer, guint64 gpa, void *page)
{
    *(guint64 *)page = TOKEN | gpa;
    g_hash_table_replace(viewer->pages, key_of(gpa), page);
}

void viewer_unmark(Viewer *viewer, guint64 gpa)
{
    g_hash_table_remove(viewer->pages, &gpa);
}

static gboolean is_in(Viewer *viewer, guint64 gpa)
{
    const guint8 *page = g_hash_table_lookup(viewer->pages, &gpa);

    return page && *(const guint64 *)(const void *)(page + NUMBERS) == viewer->number;
}

static guint64 find_number(Viewer *viewer)
{
    GHashTableIter iter;
    gpointer gpa;

    g_hash_table_iter_init(&iter, viewer->pages);
    while (g_hash_table_iter_next(&iter, &gpa, NULL))
        if (is_in(viewer, *(guint64 *)gpa))
            return *(guint64 *)gpa;
    return VIEW_ELSEWHERE;
}

View viewer_look(Viewer *viewer, const char *bdf, int pasid, guint64 iova)
{
    ViommuEmulatorAccess access = {
        .iova = iova, .has_pasid = pasid >= 0, .pasid = (guint32)MAX(pasid, 0)};
    View view = {0};
    guint64 word = 0;

    if (viommu_emulator_dma_as(viewer->emulator, bdf, &access, &word, sizeof word) == 0) {
        view.rights = VIOMMU_MAP_READ;
        view.gpa = word & ~TOKEN;
        if ((word & TOKEN) != TOKEN || !g_hash_table_contains(viewer->pages, &view.gpa))
            view.gpa = VIEW_ELSEWHERE;
    }
    access.iova += NUMBERS;
    access.write = TRUE;
    word = ++viewer->number;
    if (viommu_emulator_dma_as(viewer->emulator, bdf, &access, &word, sizeof word) < 0)
        return view;
    /* Mostly it is where the token was; both ways must lead to one page. */
    if (!view.rights)
        view.gpa = find_number(viewer);
    else if (!is_in(viewer, view.gpa))
        view.gpa = VIEW_ELSEWHERE;
    view.rights |= VIOMMU_MAP_WRITE;
    return view;
}

gboolean view_is_within(View seen, View granted)
{
    return !seen.rights || (seen.gpa == granted.gpa && !(seen.rights & ~granted.rights));
}

gboolean view_is(View seen, View granted)
{
    return seen.rights == granted.rights && (!seen.rights || seen.gpa == granted.gpa);
}
