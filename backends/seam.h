/* SPDX-License-Identifier: MIT */
#ifndef VIOMMUI_BACKENDS_SEAM_H
#define VIOMMUI_BACKENDS_SEAM_H

#include <viommu/seam.h>

/*
 * Calls by the seam: 0 or more, or a negated errno. A signal or a moment of memory pressure
 * is ridden out; nothing else is tried again, least of all EBUSY.
 */
int viommui_seam_open(const ViommuSeam *seam, const char *path, int flags);
/*
 * size: that of what arg points to, at most 128. What a failed try has written to it is not
 * taken for input by the next.
 */
int viommui_seam_ioctl(const ViommuSeam *seam, int fd, unsigned long request, void *arg,
                       size_t size);
/* The same with a number in place of a pointer. */
int viommui_seam_ioctl_number(const ViommuSeam *seam, int fd, unsigned long request,
                              unsigned long number);
/* All of a message that is taken whole or not at all: 0, or a negated errno. */
int viommui_seam_write(const ViommuSeam *seam, int fd, const void *message, size_t size);

#endif
