/* SPDX-License-Identifier: MIT */
#include "vtd-rig.h"

const ViommuEmulatorDeviceConfig vtd_plain_device = {.iommu_group = -1};
const ViommuEmulatorDeviceConfig vtd_full_device = {.iommu_group = -1,
                                                    .pasid_bits = 16,
                                                    .pasid_privileged = TRUE,
                                                    .ats = TRUE,
                                                    .pri = TRUE};

/* One device on a unit of this config, two when there is a second unit. */
void vtd_init(Rig *rig, const ViommuEmulatorVtdConfig *config,
              const ViommuEmulatorVtdConfig *second,
              const ViommuEmulatorDeviceConfig *device)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    ViommuEmulatorDeviceConfig copy = *device;

    copy.bdf = "0000:00:02.0";
    copy.stream_id = 0x10;
    copy.iommu = viommu_emulator_add_vtd(emulator, config);
    viommu_emulator_add_device(emulator, &copy, NULL);
    if (second) {
        copy.bdf = "0000:00:03.0";
        copy.stream_id = 0x18;
        copy.iommu = viommu_emulator_add_vtd(emulator, second);
        viommu_emulator_add_device(emulator, &copy, NULL);
    }
    rig_init(rig, emulator, second ? 2 : 1);
}

void vtd_init_default(Rig *rig, const ViommuEmulatorDeviceConfig *device)
{
    ViommuEmulatorVtdConfig config;

    viommu_emulator_vtd_defaults(&config);
    vtd_init(rig, &config, NULL, device);
}

guint32 vtd_make_parent(Rig *rig, guint32 flags)
{
    guint32 id = 0;

    rig_hwpt(rig, 0, rig->ioas, flags | IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, &id);
    return id;
}

int vtd_make_nested(Rig *rig, guint32 parent, guint64 table, guint64 flags, guint width,
                    guint32 hwpt_flags, guint32 *ret_id)
{
    const struct iommu_hwpt_vtd_s1 s1 = {
        .flags = flags, .pgtbl_addr = table, .addr_width = width};

    return rig_hwpt(rig, 0, parent, hwpt_flags, IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1), 0,
                    ret_id);
}

/* The entry for `va` at `level`, with tables made on the way. */
guint64 *vtd_entry(Rig *rig, guint64 root, guint levels, guint level, guint64 va)
{
    guint64 table = root;

    for (guint at = levels; at > level; at--) {
        guint64 *word = rig_word(rig, table + 8 * (va >> (3 + 9 * at) & 511));

        if (!*word)
            *word = rig_alloc(rig, 4096) | FS_ALL;
        table = *word & ~0xfffULL;
    }
    return rig_word(rig, table + 8 * (va >> (3 + 9 * level) & 511));
}

void vtd_map(Rig *rig, guint64 root, guint levels, guint64 va, guint64 gpa, guint64 bits)
{
    *vtd_entry(rig, root, levels, 1, va) = gpa | bits;
}

int vtd_flush_flags(Rig *rig, guint32 hwpt, guint64 addr, guint64 npages, guint32 flags)
{
    const struct iommu_hwpt_vtd_s1_invalidate entry = {
        .addr = addr, .npages = npages, .flags = flags};
    guint32 num = 1;

    return rig_invalidate(rig, hwpt, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, &entry,
                          sizeof(entry), &num);
}

int vtd_flush(Rig *rig, guint32 hwpt, guint64 addr, guint64 npages)
{
    return vtd_flush_flags(rig, hwpt, addr, npages, 0);
}

guint32 vtd_attach_nested(Rig *rig, guint levels, guint64 flags, guint64 *ret_root)
{
    guint32 nested = 0;

    *ret_root = rig_alloc(rig, 4096);
    vtd_make_nested(rig, vtd_make_parent(rig, 0), *ret_root, flags, levels == 5 ? 57 : 48,
                    0, &nested);
    rig_attach(rig, 0, 0, nested);
    return nested;
}
