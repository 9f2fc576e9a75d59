/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UAPI_VSMMU_H
#define TESTS_UAPI_VSMMU_H

#include "uapi.h"

/* A host vIOMMU of an SMMUv3 over the rig of uapi.h, and what a VMM does with it. */
enum { VSMMU_SID = 0x20, VSMMU_ASID = 9 };

typedef struct {
    guint32 parent;
    guint32 viommu;
    guint32 vdevices[UAPI_DEVICES]; /* of StreamID VSMMU_SID, VSMMU_SID + 1 */
    guint32 idr[6];
} Vsmmu;

/* Parent, vIOMMU, and a vDEVICE for each device; bails out when that fails. */
void vsmmu_init(Vsmmu *v, Uapi *u);

/* A nested HWPT of these two STE words. */
int vsmmu_nested(Uapi *u, guint n, guint32 viommu, guint64 word0, guint64 word1,
                 guint32 *ret_id);
/* Of the entry for this domain. */
guint32 vsmmu_nested_of(Uapi *u, const Vsmmu *v, guint n, const GuestDomain *domain);
/* One command; 0 or a negated errno. */
int vsmmu_command(Uapi *u, guint32 viommu, guint64 word0, guint64 word1);

/*
 * Read what waits in a vEVENTQ, waiting for it as long as the target needs (or not at all):
 * the bytes there were, or a negated errno.
 */
gssize vsmmu_events(Uapi *u, int fd, void *buffer, gsize size, gboolean wait);

#endif
