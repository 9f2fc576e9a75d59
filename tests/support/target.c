/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <stdio.h>

static void make_emulator(Target *target, guint n_devices)
{
    ViommuEmulatorSmmuv3Config smmu;
    guint iommu;

    target->emulator = viommu_emulator_new();
    viommu_emulator_smmuv3_defaults(&smmu);
    iommu = viommu_emulator_add_smmuv3(target->emulator, &smmu);
    for (guint i = 0; i < n_devices; i++) {
        ViommuEmulatorDeviceConfig device = {
            .iommu = iommu, .stream_id = 0x10 + i, .iommu_group = -1};

        target->bdfs[i] = g_strdup_printf("0000:00:%02x.0", 2 + i);
        device.bdf = target->bdfs[i];
        viommu_emulator_add_device(target->emulator, &device, NULL);
    }
}

gboolean target_init(Target *target, int argc, char **argv, guint n_devices)
{
    guint n = 0;

    *target = (Target){0};
    for (int i = 1; i < argc; i++) {
        if (!g_str_equal(argv[i], "--device") || i + 1 == argc ||
            n + 1 == G_N_ELEMENTS(target->bdfs)) {
            printf("Bail out! usage: %s [--device BDF]...\n", argv[0]);
            return FALSE;
        }
        target->bdfs[n++] = g_strdup(argv[++i]);
    }
    if (n == 0)
        make_emulator(target, n_devices);
    spy_init(&target->spy, target->emulator ? viommu_emulator_get_seam(target->emulator)
                                            : viommu_seam_system());
    target->seam = &target->spy.seam;
    target->event_timeout_ms = target->emulator ? 0 : 10000;
    return TRUE;
}

void target_clear(Target *target)
{
    spy_clear(&target->spy);
    viommu_emulator_free(target->emulator);
    for (guint i = 0; i < G_N_ELEMENTS(target->bdfs); i++)
        g_free(target->bdfs[i]);
}
