/* SPDX-License-Identifier: MIT */
#ifndef TESTS_LANDING_H
#define TESTS_LANDING_H

#include "dma.h"
#include "guest.h"

/*
 * Where a device's DMA lands, seen in bytes of guest memory. The device's buffer is full of
 * `pattern`; a store has LANDING_SIZE of them.
 */
enum { LANDING_SIZE = 32, LANDING_OLD = 0x22 };

typedef struct {
    GuestMemory *ram;
    DmaDevice *dma;
    guint64 home; /* a page where it must not land unless it is asked to */
    guint8 pattern;
} Landing;

/* A store to iova lands in this page. */
gboolean landing_reaches(const Landing *landing, guint64 iova, guint64 page);
/* It changes nothing: neither `home`, nor the memory that has the address itself. */
gboolean landing_is_refused(const Landing *landing, guint64 iova);
/* The same of memory, whoever stores: prepare it, and look. */
void landing_prepare(const Landing *landing, guint64 page);
gboolean landing_is_in(const Landing *landing, guint64 at);

#endif
