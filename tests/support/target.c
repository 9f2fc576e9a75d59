/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <stdio.h>

#define ECAP_NEST (1ull << 26) /* VT-d, 11.4.3 */
#define IDR0_S2P  (1u << 0)    /* SMMUv3, 6.3.1 */

static guint add_iommu(ViommuEmulator *emulator, gboolean vtd, gboolean nests)
{
    ViommuEmulatorSmmuv3Config smmuv3_config;
    ViommuEmulatorVtdConfig vtd_config;

    if (vtd) {
        viommu_emulator_vtd_defaults(&vtd_config);
        if (!nests)
            vtd_config.ecap &= ~ECAP_NEST;
        return viommu_emulator_add_vtd(emulator, &vtd_config);
    }
    viommu_emulator_smmuv3_defaults(&smmuv3_config);
    if (!nests)
        smmuv3_config.idr[0] &= ~IDR0_S2P;
    return viommu_emulator_add_smmuv3(emulator, &smmuv3_config);
}

static void add_device(Target *target, guint n, const ViommuEmulatorDeviceConfig *config)
{
    ViommuEmulatorDeviceConfig device = *config;

    device.stream_id = 0x10 + n;
    target->bdfs[n] = g_strdup_printf("0000:00:%02x.0", 2 + n);
    device.bdf = target->bdfs[n];
    viommu_emulator_add_device(target->emulator, &device, NULL);
}

static void make_emulator(Target *target, guint n_devices, const char *iommu)
{
    gboolean pasids = g_str_has_suffix(iommu, "-pasid");
    guint unit;

    target->emulator = viommu_emulator_new();
    unit = add_iommu(target->emulator, g_str_has_prefix(iommu, "vtd"),
                     !g_str_has_suffix(iommu, "-no-nesting"));
    for (guint i = 0; i < n_devices; i++) {
        const ViommuEmulatorDeviceConfig device = {
            .iommu = unit, .iommu_group = -1, .pasid_bits = pasids ? 8 : 0};

        add_device(target, i, &device);
    }
}

static void set_seam(Target *target)
{
    target->first[0] = target->bdfs[0];
    spy_init(&target->spy, target->emulator ? viommu_emulator_get_seam(target->emulator)
                                            : viommu_seam_system());
    target->seam = &target->spy.seam;
}

void target_init_vtd(Target *target, const ViommuEmulatorVtdConfig *units, guint n_units,
                     const ViommuEmulatorDeviceConfig *devices, guint n_devices)
{
    *target = (Target){.emulator = viommu_emulator_new()};
    for (guint i = 0; i < n_units; i++)
        viommu_emulator_add_vtd(target->emulator, &units[i]);
    for (guint i = 0; i < n_devices; i++)
        add_device(target, i, &devices[i]);
    set_seam(target);
}

static gboolean usage(const char *program)
{
    printf("Bail out! usage: %s [--backend NAME] [--container PATH] [--device BDF... | "
           "--emulate smmuv3|vtd[-pasid|-no-nesting]]\n",
           program);
    return FALSE;
}

gboolean target_init(Target *target, int argc, char **argv, guint n_devices)
{
    return target_init_default(target, argc, argv, n_devices, "smmuv3");
}

gboolean target_init_default(Target *target, int argc, char **argv, guint n_devices,
                             const char *iommu)
{
    guint n = 0;

    *target = (Target){0};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return usage(argv[0]);
        if (g_str_equal(argv[i], "--device") && n + 1 < G_N_ELEMENTS(target->bdfs)) {
            target->bdfs[n++] = g_strdup(argv[i + 1]);
        } else if (g_str_equal(argv[i], "--emulate")) {
            iommu = argv[i + 1];
        } else if (g_str_equal(argv[i], "--backend")) {
            target->backend = argv[i + 1];
        } else if (g_str_equal(argv[i], "--container")) {
            target->container = argv[i + 1];
        } else {
            return usage(argv[0]);
        }
    }
    if (n == 0)
        make_emulator(target, n_devices, iommu);
    set_seam(target);
    target->event_timeout_ms = target->emulator ? 0 : 10000;
    return TRUE;
}

const char *target_get_backend(const Target *target)
{
    return target->backend ? target->backend : viommu_backend_names()[0];
}

ViommuHostConfig target_host_config(const Target *target)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;

    config.backend = target->backend;
    config.container = target->container;
    config.seam = target->seam;
    return config;
}

void target_clear(Target *target)
{
    spy_clear(&target->spy);
    viommu_emulator_free(target->emulator);
    for (guint i = 0; i < G_N_ELEMENTS(target->bdfs); i++)
        g_free(target->bdfs[i]);
}
