/* SPDX-License-Identifier: MIT */
/*
 * The whole device: what it offers. The ID registers against what was asked for and what
 * every host SMMU behind can do; what is frozen when; refusals by field and value.
 */
#include "tap.h"
#include "vmachine.h"

static const ViommuSmmuv3Config plain = {.substream_bits = -1};

static guint32 offered(const Target *target, const ViommuSmmuv3Config *config, guint reg)
{
    guint32 value;
    VMachine vm;

    if (!vm_init(&vm, target, target->first, config))
        return 0xdeadbeef;
    value = vm_get(&vm, reg);
    vm_clear(&vm);
    return value;
}

static void test_auto(VMachine *vm)
{
    const ViommuHostDeviceInfo *info = viommu_host_device_get_info(vm->devices[0]);
    const guint32 *host = info->smmuv3.idr;
    guint32 idr[6];

    for (guint i = 0; i < 6; i++)
        idr[i] = vm_get(vm, VM_IDR0 + 4 * i);
    tap_is(idr[0] >> 12 & 1, host[0] >> 12 & 1, "AUTO: ASID16 is the host's");
    tap_is(idr[3] >> 10 & 1, host[3] >> 10 & 1, "AUTO: RIL is the host's");
    tap_is(idr[5] >> 4 & 7, host[5] >> 4 & 7, "AUTO: granules are the host's");
    tap_is(idr[1] >> 6 & 0x1f, host[1] >> 6 & 0x1f, "AUTO: SSIDSIZE is the host's");
    tap_ok((idr[5] & 7) <= (host[5] & 7), "AUTO: OAS is not beyond the host's");
    tap_ok(!(idr[0] >> 10 & 1) || !info->ats_unavailable, "AUTO: ATS only where it is");
    tap_is(idr[0] & (1 << 0 | 1 << 6 | 3 << 6 | 1 << 9 | 1 << 16 | 1 << 18), 0,
           "no stage 2, HTTU, HYP, PRI, VMID16 is offered");
}

static void test_off(const Target *target)
{
    ViommuSmmuv3Config config = plain;

    config.ril = VIOMMU_OFF;
    tap_is(offered(target, &config, VM_IDR3) >> 10 & 1, 0, "RIL off");
    config = plain;
    config.ats = VIOMMU_OFF;
    tap_is(offered(target, &config, VM_IDR0) >> 10 & 1, 0, "ATS off");
    config = plain;
    config.asid16 = VIOMMU_OFF;
    tap_is(offered(target, &config, VM_IDR0) >> 12 & 1, 0, "ASID16 off");
    config = plain;
    config.msi = VIOMMU_OFF;
    tap_is(offered(target, &config, VM_IDR0) >> 13 & 1, 0, "MSI off");
    config = plain;
    config.two_level_cd_table = VIOMMU_OFF;
    tap_is(offered(target, &config, VM_IDR0) >> 19 & 1, 0, "CD2L off");
    config = plain;
    config.two_level_stream_table = VIOMMU_OFF;
    tap_is(offered(target, &config, VM_IDR0) >> 27 & 3, 0, "ST_LEVEL off");
    config = plain;
    config.granule_16k = config.granule_64k = VIOMMU_OFF;
    tap_is(offered(target, &config, VM_IDR5) >> 4 & 7, 1, "granules off but 4 KiB");
    config = plain;
    config.substream_bits = 0;
    tap_is(offered(target, &config, VM_IDR1) >> 6 & 0x1f, 0, "SSIDSIZE 0");
    config = plain;
    config.address_bits = 40;
    tap_is(offered(target, &config, VM_IDR5) & 7, 2, "OAS 40 bits");
    config = plain;
    config.stream_bits = 20;
    tap_is(offered(target, &config, VM_IDR1) & 0x3f, 20, "SIDSIZE 20");
    config = plain;
    config.command_queue_bits = 6;
    config.event_queue_bits = 7;
    tap_is(offered(target, &config, VM_IDR1) >> 16 & 0x3ff, 6 << 5 | 7,
           "queues of 2^6 and 2^7");
}

static void refuse(const ViommuSmmuv3Config *config, const char *names, const char *what)
{
    g_autoptr(GError) error = NULL;
    ViommuSmmuv3 *smmu = viommu_smmuv3_new(NULL, config, &error);

    tap_ok(smmu == NULL, "%s is refused", what);
    tap_has(error ? error->message : NULL, names, "... by its value");
    viommu_smmuv3_free(smmu);
}

static void test_bad_config(const VMachine *vm)
{
    ViommuSmmuv3Config config = vm->config;

    config.stream_bits = 33;
    refuse(&config, "33", "SIDSIZE 33");
    config = vm->config;
    config.substream_bits = 21;
    refuse(&config, "21", "SSIDSIZE 21");
    config = vm->config;
    config.address_bits = 39;
    refuse(&config, "39", "an OAS of 39 bits");
    config = vm->config;
    config.command_queue_bits = 20;
    refuse(&config, "20", "a command queue of 2^20");
}

/* What is forced on a host that lacks it. */
static void test_on(const Target *target)
{
    ViommuHostConfig host_config = {.seam = target->seam, .iommufd = -1};
    ViommuHost *host = viommu_host_new(&host_config, NULL);
    ViommuHostDevice *device =
        viommu_host_device_new_from_bdf(host, target->first[0], NULL);
    guint32 idr5 = viommu_host_device_get_info(device)->smmuv3.idr[5];
    guint32 idr1 = viommu_host_device_get_info(device)->smmuv3.idr[1];
    g_autoptr(GError) error = NULL;
    ViommuSmmuv3Config config = plain;
    ViommuSmmuv3 *smmu;
    VMachine services;

    vm_init(&services, NULL, NULL, NULL);
    config.services = services.config.services;
    if ((idr1 >> 6 & 0x1f) < 20)
        config.substream_bits = 20;
    else if (!(idr5 >> 6 & 1))
        config.granule_64k = VIOMMU_ON;
    else {
        tap_skip("the host has it all", "what a host lacks is refused at attach");
        goto out;
    }
    smmu = viommu_smmuv3_new(host, &config, &error);
    tap_ok(smmu && !viommu_smmuv3_attach_device(smmu, device, VM_SID, &error),
           "what a host lacks is refused at attach");
    tap_has(error ? error->message : NULL,
            config.substream_bits == 20 ? "SSIDSIZE" : "GRAN64K", "... naming the field");
    tap_has(error ? error->message : NULL, config.substream_bits == 20 ? "20" : "1",
            "... and the value asked for");
    viommu_smmuv3_free(smmu);
out:
    vm_clear(&services);
    viommu_host_device_free(device);
    viommu_host_free(host);
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine")) {
        test_auto(&vm);
        test_bad_config(&vm);
        vm_clear(&vm);
    }
    test_off(&target);
    test_on(&target);
    target_clear(&target);
    return tap_done();
}
