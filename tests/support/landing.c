/* SPDX-License-Identifier: MIT */
#include "landing.h"

static gboolean is_ram(const Landing *landing, guint64 gpa)
{
    return gpa >= landing->ram->base && gpa - landing->ram->base < landing->ram->size;
}

static gboolean is_old(const Landing *landing, guint64 at)
{
    return guest_memory_is_filled(landing->ram, at, LANDING_OLD, LANDING_SIZE);
}

void landing_prepare(const Landing *landing, guint64 at)
{
    guest_memory_fill(landing->ram, landing->home, LANDING_OLD, LANDING_SIZE);
    guest_memory_fill(landing->ram, at, LANDING_OLD, LANDING_SIZE);
}

gboolean landing_is_in(const Landing *landing, guint64 at)
{
    gboolean is_home = at - at % GUEST_PAGE == landing->home;

    return (is_home || is_old(landing, landing->home)) &&
           guest_memory_is_filled(landing->ram, at, landing->pattern, LANDING_SIZE);
}

gboolean landing_reaches(const Landing *landing, guint64 iova, guint64 page)
{
    guint64 at = page + iova % GUEST_PAGE;

    landing_prepare(landing, at);
    dma_store(landing->dma, iova, LANDING_SIZE, NULL);
    return landing_is_in(landing, at);
}

gboolean landing_is_refused(const Landing *landing, guint64 iova)
{
    landing_prepare(landing, is_ram(landing, iova) ? iova : landing->home);
    dma_store(landing->dma, iova, LANDING_SIZE, NULL);
    return is_old(landing, landing->home) &&
           (!is_ram(landing, iova) || is_old(landing, iova));
}
