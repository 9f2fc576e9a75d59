/* SPDX-License-Identifier: MIT */
/*
 * DMA and looks at translations behind the back of the code under test, with all that
 * an access can have: PASID, privilege, which cache answered.
 *
 * Up: the public header. Down: dma.c, EmuIommuOps.translate.
 */
#include "iommufd.h"

static EmuAccess to_access(const ViommuEmulatorAccess *access)
{
    return (EmuAccess){
        .iova = access->iova,
        .write = access->write,
        .has_pasid = access->has_pasid,
        .pasid = access->pasid,
        .privileged = access->has_pasid && access->privileged,
        .exec = access->has_pasid && access->exec,
    };
}

/* Can the device make it? */
static gboolean is_possible(const EmuDevice *device, const EmuAccess *access)
{
    return (!access->privileged || device->pasid_privileged) &&
           (!access->exec || device->pasid_exec);
}

static int dma(EmuDevice *device, const EmuAccess *access, void *data, gsize size)
{
    return is_possible(device, access)
               ? viommui_emu_dma_access(device, access, data, size, FALSE)
               : -EINVAL;
}

int viommu_emulator_dma_as(ViommuEmulator *emulator, const char *bdf,
                           const ViommuEmulatorAccess *access, void *data, gsize size)
{
    const EmuAccess inner = to_access(access);
    EmuDevice *device;
    int ret;

    if (!size || size > EMU_PAGE_SIZE - access->iova % EMU_PAGE_SIZE) {
        return -EINVAL;
    }
    if (!data) {
        return -EFAULT;
    }
    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    ret = device ? dma(device, &inner, data, size) : -ENODEV;
    pthread_mutex_unlock(&emulator->lock);
    return ret;
}

static int peek(EmuDevice *device, EmuAccess *access, guint64 *ret_ipa)
{
    EmuIoas *ioas = NULL;
    guint64 ipa = 0;
    int ret;

    if (!device->group->owner || device->gone) {
        return -EFAULT;
    }
    if (!is_possible(device, access)) {
        return -EINVAL;
    }
    access->peek = TRUE;
    ret = device->iommu->ops->translate(device, access, &ipa, &ioas);
    if (ret < 0) {
        return ret;
    }
    if (!viommui_emu_dma_host(device, access, ioas, ipa, 1)) {
        return -EFAULT;
    }
    if (ret_ipa) {
        *ret_ipa = ipa;
    }
    return 0;
}

int viommu_emulator_peek_as(ViommuEmulator *emulator, const char *bdf,
                            const ViommuEmulatorAccess *access, guint64 *ret_ipa,
                            ViommuEmulatorCache *ret_cache)
{
    ViommuEmulatorCache cache = VIOMMU_EMULATOR_CACHE_NONE;
    EmuAccess inner = to_access(access);
    EmuDevice *device;
    int ret;

    inner.ret_cache = &cache;
    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    ret = device ? peek(device, &inner, ret_ipa) : -ENODEV;
    pthread_mutex_unlock(&emulator->lock);
    if (ret == 0 && ret_cache) {
        *ret_cache = cache;
    }
    return ret;
}

guint viommu_emulator_dma_waiting(ViommuEmulator *emulator, const char *bdf)
{
    EmuDevice *device;
    guint count;

    pthread_mutex_lock(&emulator->lock);
    device = viommui_emu_find_device(emulator, bdf);
    count = device ? g_queue_get_length(&device->waiting) : 0;
    pthread_mutex_unlock(&emulator->lock);
    return count;
}
