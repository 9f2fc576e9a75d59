/* SPDX-License-Identifier: MIT */
/*
 * PASIDs of a device, each attached for itself. No device that QEMU puts into the test VMs
 * has any: on the kernel everything here is skipped, on the emulator it needs
 * --emulate smmuv3-pasid or vtd-pasid.
 */
#include <viommu-emulator/inspect.h>

#include "uapi.h"

#include "tap.h"

#include <errno.h>

enum { PASID = 7, PASIDS = 1 << 8 };

static int attach(Uapi *u, guint32 pasid, guint32 pt_id)
{
    struct vfio_device_attach_iommufd_pt arg = {.argsz = sizeof arg,
                                                .flags = VFIO_DEVICE_ATTACH_PASID,
                                                .pt_id = pt_id,
                                                .pasid = pasid};

    return uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static int detach(Uapi *u, guint32 pasid)
{
    struct vfio_device_detach_iommufd_pt arg = {
        .argsz = sizeof arg, .flags = VFIO_DEVICE_DETACH_PASID, .pasid = pasid};

    return uapi_cdev_ioctl(u, u->cdevs[0], VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

/* A word written with this PASID. */
static int store(Uapi *u, guint32 pasid, guint64 iova)
{
    const ViommuEmulatorAccess access = {
        .iova = iova, .write = TRUE, .has_pasid = TRUE, .pasid = pasid};
    guint32 word = 0x12345678;

    return viommu_emulator_dma_as(u->target.emulator, u->target.bdfs[0], &access, &word,
                                  sizeof word);
}

static gboolean has_pasids(Uapi *u)
{
    struct iommu_hw_info info = {.size = sizeof info, .dev_id = u->devices[0]};

    return uapi_ioctl(u, IOMMU_GET_HW_INFO, &info) == 0 && info.out_max_pasid_log2 == 8;
}

static void test_rules(Uapi *u)
{
    guint32 plain = 0, first = 0, second = 0, ioas = 0;

    uapi_paging(u, 0, u->ioas, 0, &plain);
    uapi_ioas_alloc(u, &ioas);
    tap_is(uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_PASID, &first), 0, "for PASIDs");
    tap_is(uapi_paging(u, 0, ioas, IOMMU_HWPT_ALLOC_PASID, &second), 0, "another");
    tap_is(attach(u, PASID, UAPI_NO_ID), -ENOENT, "attach to nothing");
    tap_is(attach(u, PASID, plain), -EINVAL, "attach to one that is not for PASIDs");
    tap_is(attach(u, PASIDS, first), -EINVAL, "attach a PASID that the device has not");
    tap_is(uapi_attach_to(u, 0, plain), 0, "the device itself, not for PASIDs");
    tap_is(attach(u, PASID, first), -EINVAL, "... keeps PASIDs off");
    tap_is(uapi_attach_to(u, 0, first), 0, "the device itself, for PASIDs");
    tap_is(attach(u, PASID, first), 0, "... lets them in");
    tap_is(uapi_attach_to(u, 0, plain), -EINVAL, "... and cannot turn back");
    tap_is(store(u, PASID, u->spare), 0, "DMA with the PASID");
    tap_is(*(guint32 *)guest_memory_at(&u->ram, u->spare), 0x12345678, "... lands");
    tap_is(store(u, PASID + 1, u->spare), -EFAULT, "DMA with another");
    tap_is(attach(u, PASID, second), 0, "replace");
    tap_is(store(u, PASID, u->spare), -EFAULT, "... by an empty one");
    tap_is(uapi_destroy(u, second), -EBUSY, "... which stays");
    tap_is(detach(u, PASID + 1), 0, "detach one that is not attached");
    tap_is(detach(u, PASID), 0, "detach");
    tap_is(uapi_destroy(u, second), 0, "... and it goes");
    tap_is(uapi_attach_to(u, 0, plain), 0, "and the device can turn back");
    uapi_detach(u, 0);
}

int main(int argc, char **argv)
{
    Uapi u;
    gboolean can;

    if (!uapi_init(&u, argc, argv))
        return 1;
    uapi_start(&u);
    can = u.target.emulator && has_pasids(&u);
    if (can)
        test_rules(&u);
    uapi_clear(&u);
    return can ? tap_done() : tap_skip_all("the device has no PASIDs (edu never has)");
}
