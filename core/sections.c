/* SPDX-License-Identifier: MIT */
/*
 * Read sections.
 *
 * Each thread counts its sections in a slot of its own, on a cache line of its own, unless
 * threads are so many that they share. Who enters counts first and then looks for a
 * change; who changes announces it first and then looks at the counts: so one of the
 * two sees the other. Who sees a change takes the count back and waits at the gate.
 *
 * Invariants: the sum of the slots is at least the number of sections there are, at any
 * moment at which they are added up after a change was announced; it falls to that when
 * those who have to wait have taken back theirs.
 *
 * Up the path: the vendors' translate. Down: nothing.
 */

#include "core/sections.h"

enum { CACHE_LINE = 64 };

typedef struct {
    gint n;
    gchar apart[CACHE_LINE - sizeof(gint)];
} Slot;

struct ViommuiSections {
    Slot slots[VIOMMUI_SECTION_SLOTS];
    gint changing;
    GMutex gate; /* held from begin_change to end_change */
    GMutex lock; /* of `left` */
    GCond left;  /* a section has ended while a change waited */
};

ViommuiSections *viommui_sections_new(void)
{
    ViommuiSections *sections = g_new0(ViommuiSections, 1);

    g_mutex_init(&sections->gate);
    g_mutex_init(&sections->lock);
    g_cond_init(&sections->left);
    return sections;
}

void viommui_sections_free(ViommuiSections *sections)
{
    if (!sections)
        return;
    g_mutex_clear(&sections->gate);
    g_mutex_clear(&sections->lock);
    g_cond_clear(&sections->left);
    g_free(sections);
}

guint viommui_sections_slot(void)
{
    guint64 mixed = (guint64)(guintptr)g_thread_self() * 0x9e3779b97f4a7c15u;

    return (guint)(mixed >> 32) % VIOMMUI_SECTION_SLOTS;
}

void viommui_sections_enter(ViommuiSections *sections)
{
    gint *n = &sections->slots[viommui_sections_slot()].n;

    for (;;) {
        g_atomic_int_inc(n);
        if (!g_atomic_int_get(&sections->changing))
            return;
        viommui_sections_exit(sections);
        g_mutex_lock(&sections->gate);
        g_mutex_unlock(&sections->gate);
    }
}

void viommui_sections_exit(ViommuiSections *sections)
{
    g_atomic_int_add(&sections->slots[viommui_sections_slot()].n, -1);
    if (!g_atomic_int_get(&sections->changing))
        return;
    g_mutex_lock(&sections->lock);
    g_cond_signal(&sections->left);
    g_mutex_unlock(&sections->lock);
}

static gint count(ViommuiSections *sections)
{
    gint n = 0;

    for (guint i = 0; i < VIOMMUI_SECTION_SLOTS; i++)
        n += g_atomic_int_get(&sections->slots[i].n);
    return n;
}

void viommui_sections_begin_change(ViommuiSections *sections)
{
    g_mutex_lock(&sections->gate);
    g_atomic_int_set(&sections->changing, TRUE);
    g_mutex_lock(&sections->lock);
    while (count(sections))
        g_cond_wait(&sections->left, &sections->lock);
    g_mutex_unlock(&sections->lock);
}

void viommui_sections_end_change(ViommuiSections *sections)
{
    g_atomic_int_set(&sections->changing, FALSE);
    g_mutex_unlock(&sections->gate);
}

gboolean viommui_sections_is_changing(ViommuiSections *sections)
{
    return g_atomic_int_get(&sections->changing);
}
