/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_WATCH_H
#define TESTS_UNIT_WATCH_H

#include "spy.h"

/*
 * A spy that looks on: right after each host call, but those that only ask, it has
 * something checked, as nothing changes what devices see but that.
 */
typedef struct {
    Spy spy; /* the first member: its calls, all but those below, are the seam's own */
    ViommuSeamOps ops;
    ViommuSeam seam;                /* hand this one out */
    void (*check)(void *user_data); /* NULL: nobody looks */
    /* Told of each ioctl, and of request 0 for a close, before that; NULL: nobody is. */
    void (*called)(int fd, unsigned long request, const void *arg, int result,
                   void *user_data);
    void *user_data;
    guint64 n_looks;
} Watch;

void watch_init(Watch *watch, const ViommuSeam *under);
void watch_clear(Watch *watch);

#endif
