/* SPDX-License-Identifier: MIT */
/*
 * A host that cannot nest. An SMMUv3 has no caching mode: its guest does not tell of tables
 * that become valid, so no copy of them can be kept, and there is nothing else to serve
 * with. Whoever asks is refused, by every way in, and nothing is left of it; the guest's
 * emulated endpoints need no host.
 */
#include <viommu/smmuv3-accel.h>
#include <viommu/smmuv3.h>

#include "landing.h"
#include "tap.h"
#include "vmachine.h"

enum { RAM_BASE = 0x1000000, RAM_SIZE = 0x100000 };

typedef struct {
    ViommuHost *host;
    ViommuHostDevice *device;
    DmaDevice dma;
    GuestMemory ram;
    guint64 page;
} Rig;

static gboolean rig_init(Rig *r, const Target *target)
{
    const ViommuHostConfig config = target_host_config(target);
    g_autoptr(GError) error = NULL;

    *r = (Rig){.ram.memfd = -1};
    r->host = viommu_host_new(&config, &error);
    if (r->host)
        r->device = viommu_host_device_new_from_bdf(r->host, target->first[0], &error);
    return tap_ok(r->device && dma_device_init(&r->dma, target->seam, r->device, &error) &&
                      guest_memory_init(&r->ram, r->host, RAM_BASE, RAM_SIZE, TRUE, &error),
                  "a device and guest memory%s%s", error ? ": " : "",
                  error ? error->message : "");
}

static void rig_clear(Rig *r)
{
    dma_device_clear(&r->dma);
    viommu_host_device_free(r->device);
    guest_memory_clear(&r->ram);
    viommu_host_free(r->host);
}

static void is_refused(gboolean attached, GError **refusal, const char *way)
{
    g_autoptr(GError) error = g_steal_pointer(refusal);

    tap_ok(!attached, "%s: refused at attach", way);
    tap_ok(g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED),
           "... as something that is not supported");
    tap_has(error ? error->message : NULL, "cannot nest", "... for the reason");
    tap_has(error ? error->message : NULL, "no caching mode", "... and why no copy serves");
}

static void test_accel(Rig *r)
{
    ViommuSmmuv3AccelConfig config = {0};
    g_autoptr(GError) error = NULL;
    ViommuSmmuv3Accel *accel;

    guest_idr(config.idr, viommu_host_device_get_info(r->device));
    accel = viommu_smmuv3_accel_new(r->host, &config, NULL);
    if (!tap_ok(accel != NULL, "the acceleration under a VMM's own model"))
        return;
    is_refused(viommu_smmuv3_accel_attach_device(accel, r->device, VM_SID, &error), &error,
               "acceleration");
    is_refused(viommu_smmuv3_accel_attach_device(accel, r->device, VM_SID, &error), &error,
               "acceleration, asked again");
    viommu_smmuv3_accel_free(accel);
}

static void test_unit(Rig *r)
{
    VMachine vm;
    g_autoptr(GError) error = NULL;
    ViommuSmmuv3 *smmu;

    if (!tap_ok(vm_init(&vm, NULL, NULL, NULL), "a unit of emulated endpoints"))
        return;
    smmu = viommu_smmuv3_new(r->host, &vm.config, NULL);
    if (tap_ok(smmu != NULL, "a whole unit, with a host"))
        is_refused(viommu_smmuv3_attach_device(smmu, r->device, VM_SID, &error), &error,
                   "whole unit");
    viommu_smmuv3_free(smmu);
    vm_clear(&vm);
}

/* Where does it get without a guest's IOMMU? Nowhere. */
static void test_device(Rig *r)
{
    const Landing landing = {.ram = &r->ram, .dma = &r->dma, .home = r->page};

    tap_ok(landing_is_refused(&landing, r->page), "the device reaches no guest memory");
    tap_ok(!viommu_host_device_get_info(r->device)->can_nest,
           "... and its host is known not to nest");
}

int main(int argc, char **argv)
{
    Target target;
    Rig r;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    if (rig_init(&r, &target)) {
        r.page = guest_memory_alloc(&r.ram);
        test_accel(&r);
        test_device(&r);
        test_unit(&r);
        test_device(&r);
    }
    rig_clear(&r);
    target_clear(&target);
    return tap_done();
}
