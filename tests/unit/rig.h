/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_RIG_H
#define TESTS_UNIT_RIG_H

#include <linux/iommufd.h>

#include <viommu-emulator/emulator.h>
#include <viommu-emulator/inspect.h>

#include "tap.h"

/*
 * An emulator spoken to by plain uAPI, as a VMM without a library would: one iommufd, up
 * to two bound devices, an IOAS with some guest memory. Calls answer >= 0 or a negated
 * errno.
 */
enum { RIG_RAM_BASE = 0x10000000, RIG_RAM_SIZE = 0x800000, RIG_DEVICES = 2 };

typedef struct {
    ViommuEmulator *emulator;
    const ViommuSeam *seam;
    int iommufd;
    int devices[RIG_DEVICES];      /* descriptors */
    guint32 devids[RIG_DEVICES];   /* of the iommufd */
    const char *bdfs[RIG_DEVICES]; /* 0000:00:02.0, 0000:00:03.0 */
    guint32 ioas;
    guint8 *ram; /* at RIG_RAM_BASE in the IOAS */
    guint64 next_free;
} Rig;

/* Takes the emulator over, with devices of those BDFs in it. */
void rig_init(Rig *rig, ViommuEmulator *emulator, guint n_devices);
void rig_clear(Rig *rig);

int rig_ioctl(Rig *rig, int fd, unsigned long request, void *arg);
/* A new IOAS, or 0. */
guint32 rig_ioas(Rig *rig);
int rig_map(Rig *rig, guint32 ioas, guint64 iova, void *memory, guint64 size,
            guint32 flags);
int rig_unmap(Rig *rig, guint32 ioas, guint64 iova, guint64 size);
int rig_destroy(Rig *rig, guint32 id);
/* *ret_id untouched on failure. `data` of no size: none. */
int rig_hwpt(Rig *rig, guint n, guint32 pt_id, guint32 flags, guint32 data_type,
             const void *data, guint32 size, guint32 fault_id, guint32 *ret_id);
int rig_invalidate(Rig *rig, guint32 id, guint32 type, const void *data, guint32 entry_len,
                   guint32 *entry_num);
/* PASID 0: the requester ID. */
int rig_attach(Rig *rig, guint n, guint32 pasid, guint32 pt_id);
int rig_detach(Rig *rig, guint n, guint32 pasid);
int rig_hw_info(Rig *rig, guint n, struct iommu_hw_info *ret_info, void *data,
                guint32 size);

/* Zeroed guest memory, naturally aligned to its size; its guest-physical address. */
guint64 rig_alloc(Rig *rig, gsize size);
/* A word of guest memory. */
guint64 *rig_word(Rig *rig, guint64 gpa);

/* One access of 8 bytes by the nth device. */
int rig_read(Rig *rig, guint n, guint64 iova, guint64 *ret_value);
int rig_write(Rig *rig, guint n, guint64 iova, guint64 value);
int rig_access(Rig *rig, guint n, const ViommuEmulatorAccess *access, guint64 *value);
/* Where it would go: the address, or a negated errno. */
gint64 rig_peek(Rig *rig, guint n, const ViommuEmulatorAccess *access,
                ViommuEmulatorCache *ret_cache);

#endif
