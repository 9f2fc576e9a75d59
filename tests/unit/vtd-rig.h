/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_VTD_RIG_H
#define TESTS_UNIT_VTD_RIG_H

#include "rig.h"

/* A rig with VT-d units, and guest first-stage tables in its memory. */
enum {
    FS_P = 1,
    FS_RW = 2,
    FS_US = 4,
    FS_A = 0x20,
    FS_D = 0x40,
    FS_PS = 0x80,
    FS_EA = 0x400,
    FS_ALL = FS_P | FS_RW | FS_US,
};

enum { IOVA = 0x40000000 };

extern const ViommuEmulatorDeviceConfig vtd_plain_device;
/* With 2^16 PASIDs, privilege, ATS and PRI. */
extern const ViommuEmulatorDeviceConfig vtd_full_device;

/* One device on a unit of this config, two when there is a second unit. */
void vtd_init(Rig *rig, const ViommuEmulatorVtdConfig *config,
              const ViommuEmulatorVtdConfig *second,
              const ViommuEmulatorDeviceConfig *device);
void vtd_init_default(Rig *rig, const ViommuEmulatorDeviceConfig *device);
guint32 vtd_make_parent(Rig *rig, guint32 flags);
int vtd_make_nested(Rig *rig, guint32 parent, guint64 table, guint64 flags, guint width,
                    guint32 hwpt_flags, guint32 *ret_id);
/* The entry for `va` at `level`, with tables made on the way. */
guint64 *vtd_entry(Rig *rig, guint64 root, guint levels, guint level, guint64 va);
void vtd_map(Rig *rig, guint64 root, guint levels, guint64 va, guint64 gpa, guint64 bits);
int vtd_flush_flags(Rig *rig, guint32 hwpt, guint64 addr, guint64 npages, guint32 flags);
int vtd_flush(Rig *rig, guint32 hwpt, guint64 addr, guint64 npages);
/* A nested HWPT on device 0, over tables of so many levels at *ret_root. */
guint32 vtd_attach_nested(Rig *rig, guint levels, guint64 flags, guint64 *ret_root);

#endif
