/* SPDX-License-Identifier: MIT */
/*
 * Hardware page tables: the paging kind over an IOAS, and the nested kind over a host
 * vIOMMU (or, where a driver allows it, over a paging one); and the invalidation call,
 * which is aimed at a nested HWPT or at a vIOMMU.
 *
 * Invariants: a paging HWPT uses its IOAS; a nested one uses the vIOMMU or parent that
 * it was made from. Attached devices use their HWPT.
 *
 * Up: iommufd.c, device.c. Down: ioas.c and the IOMMU driver.
 */
#include "iommufd.h"

#define PAGING_FLAGS                                                  \
    (IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING | \
     IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID)

#define INVALIDATE_MAX_ENTRIES (1U << 19)

EmuHwpt *viommui_emu_hwpt_paging(EmuHwpt *hwpt)
{
    return hwpt->parent ? hwpt->parent : hwpt;
}

static void common_free(EmuHwpt *hwpt)
{
    if (hwpt->fault) {
        hwpt->fault->obj.users--;
    }
    if (hwpt->dirty) {
        g_hash_table_unref(hwpt->dirty);
    }
    g_free(hwpt);
}

static void paging_free(EmuHwpt *hwpt)
{
    if (hwpt->listed) {
        viommui_emu_ioas_remove_hwpt(hwpt->ioas, hwpt);
    }
    hwpt->iommu->ops->hwpt_free(hwpt->iommu, hwpt);
    hwpt->ioas->obj.users--;
    common_free(hwpt);
}

void viommui_emu_hwpt_paging_destroy(EmuObject *object)
{
    paging_free((EmuHwpt *)object);
}

void viommui_emu_hwpt_paging_abort(EmuHwpt *hwpt)
{
    paging_free(hwpt);
}

void viommui_emu_hwpt_nested_destroy(EmuObject *object)
{
    EmuHwpt *hwpt = (EmuHwpt *)object;

    hwpt->iommu->ops->hwpt_free(hwpt->iommu, hwpt);
    if (hwpt->viommu) {
        hwpt->viommu->obj.users--;
    } else {
        hwpt->parent->obj.users--;
    }
    common_free(hwpt);
}

void viommui_emu_hwpt_put(EmuHwpt *hwpt)
{
    hwpt->obj.users--;
    if (hwpt->auto_domain) {
        viommui_emu_object_destroy(&hwpt->obj);
    }
}

int viommui_emu_hwpt_paging_new(EmuIoas *ioas, EmuIommu *iommu, guint32 flags,
                                gboolean has_user_data, EmuHwpt **ret_hwpt)
{
    EmuHwpt *hwpt;
    int ret;

    if (flags & ~(guint32)PAGING_FLAGS) {
        return -EOPNOTSUPP;
    }
    if ((flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) &&
        !iommu->ops->has_dirty_tracking(iommu)) {
        return -EOPNOTSUPP;
    }
    if ((flags & IOMMU_HWPT_FAULT_ID_VALID) && (flags & IOMMU_HWPT_ALLOC_NEST_PARENT)) {
        return -EOPNOTSUPP;
    }
    hwpt = g_new0(EmuHwpt, 1);
    hwpt->iommu = iommu;
    hwpt->ioas = ioas;
    hwpt->pasid_compat = !!(flags & IOMMU_HWPT_ALLOC_PASID);
    hwpt->nest_parent = !!(flags & IOMMU_HWPT_ALLOC_NEST_PARENT);
    hwpt->has_dirty = !!(flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
    ret = iommu->ops->paging_init(iommu, hwpt, flags & ~(guint32)IOMMU_HWPT_FAULT_ID_VALID,
                                  has_user_data);
    if (ret < 0) {
        g_free(hwpt);
        return ret;
    }
    hwpt->dirty = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    ioas->obj.users++;
    *ret_hwpt = hwpt;
    return 0;
}

static int set_fault(EmuHwpt *hwpt, EmuIommufd *ctx, const struct iommu_hwpt_alloc *cmd)
{
    EmuFault *fault;

    if (!(cmd->flags & IOMMU_HWPT_FAULT_ID_VALID)) {
        return 0;
    }
    fault = (EmuFault *)viommui_emu_object_get(ctx, cmd->fault_id, EMU_OBJECT_FAULT);
    if (!fault) {
        return -ENOENT;
    }
    fault->obj.users++;
    hwpt->fault = fault;
    return 0;
}

static int alloc_paging(EmuIoas *ioas, EmuIdev *idev, const struct iommu_hwpt_alloc *cmd,
                        EmuHwpt **ret_hwpt)
{
    EmuHwpt *hwpt = NULL;
    int ret = viommui_emu_hwpt_paging_new(ioas, idev->device->iommu, cmd->flags,
                                          cmd->data_len != 0, &hwpt);

    if (ret < 0) {
        return ret;
    }
    ret = viommui_emu_ioas_add_hwpt(ioas, hwpt);
    if (ret == 0) {
        ret = set_fault(hwpt, idev->obj.ctx, cmd);
    }
    if (ret < 0) {
        viommui_emu_hwpt_paging_abort(hwpt);
        return ret;
    }
    *ret_hwpt = hwpt;
    return 0;
}

/* A nested HWPT from a vIOMMU, or from the parent itself when `viommu` is NULL. */
static int alloc_nested(EmuViommu *viommu, EmuHwpt *parent, EmuIdev *idev,
                        const struct iommu_hwpt_alloc *cmd, EmuHwpt **ret_hwpt)
{
    EmuIommu *iommu = idev->device->iommu;
    guint32 flags = cmd->flags & ~(guint32)IOMMU_HWPT_FAULT_ID_VALID;
    const void *data = viommui_emu_user_ptr(cmd->data_uptr);
    EmuHwpt *hwpt;
    int ret;

    if ((flags & ~(guint32)IOMMU_HWPT_ALLOC_PASID) || !cmd->data_len) {
        return -EOPNOTSUPP;
    }
    hwpt = g_new0(EmuHwpt, 1);
    hwpt->iommu = iommu;
    hwpt->parent = parent;
    hwpt->viommu = viommu;
    hwpt->pasid_compat = !!(flags & IOMMU_HWPT_ALLOC_PASID);
    ret = viommu ? iommu->ops->viommu_nested_init(iommu, hwpt, flags, cmd->data_type, data,
                                                  cmd->data_len)
                 : iommu->ops->nested_init(iommu, hwpt, flags, cmd->data_type, data,
                                           cmd->data_len);
    if (ret == 0) {
        ret = set_fault(hwpt, idev->obj.ctx, cmd);
    }
    if (ret < 0) {
        iommu->ops->hwpt_free(iommu, hwpt);
        g_free(hwpt);
        return ret;
    }
    if (viommu) {
        viommu->obj.users++;
    } else {
        parent->obj.users++;
    }
    *ret_hwpt = hwpt;
    return 0;
}

static int alloc_by_type(EmuObject *source, EmuIdev *idev,
                         const struct iommu_hwpt_alloc *cmd, EmuHwpt **ret_hwpt)
{
    EmuViommu *viommu;

    switch (source->type) {
    case EMU_OBJECT_IOAS:
        return alloc_paging((EmuIoas *)source, idev, cmd, ret_hwpt);
    case EMU_OBJECT_HWPT_PAGING:
        return alloc_nested(NULL, (EmuHwpt *)source, idev, cmd, ret_hwpt);
    case EMU_OBJECT_VIOMMU:
        viommu = (EmuViommu *)source;
        if (viommu->iommu != idev->device->iommu) {
            return -EINVAL;
        }
        return alloc_nested(viommu, viommu->parent, idev, cmd, ret_hwpt);
    default:
        return -EINVAL;
    }
}

int viommui_emu_hwpt_alloc(EmuUcmd *ucmd)
{
    struct iommu_hwpt_alloc *cmd = ucmd->cmd;
    EmuHwpt *hwpt = NULL;
    EmuObject *source;
    EmuIdev *idev;
    int ret;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    if ((cmd->data_type == IOMMU_HWPT_DATA_NONE) != (cmd->data_len == 0)) {
        return -EINVAL;
    }
    idev = (EmuIdev *)viommui_emu_object_get(ucmd->ctx, cmd->dev_id, EMU_OBJECT_DEVICE);
    if (!idev) {
        return -ENOENT;
    }
    source = viommui_emu_object_get(ucmd->ctx, cmd->pt_id, EMU_OBJECT_ANY);
    if (!source) {
        return -EINVAL;
    }
    ret = alloc_by_type(source, idev, cmd, &hwpt);
    if (ret < 0) {
        return ret;
    }
    viommui_emu_object_publish(ucmd->ctx, &hwpt->obj,
                               hwpt->parent ? EMU_OBJECT_HWPT_NESTED
                                            : EMU_OBJECT_HWPT_PAGING);
    cmd->out_hwpt_id = hwpt->obj.id;
    return viommui_emu_respond_new(ucmd, sizeof(*cmd), &hwpt->obj);
}

/* *done is what the answer says was handled: 0 unless a driver was reached. */
static int invalidate(EmuUcmd *ucmd, const struct iommu_hwpt_invalidate *cmd, guint32 *done)
{
    const void *data = viommui_emu_user_ptr(cmd->data_uptr);
    EmuViommu *viommu;
    EmuObject *target;
    EmuHwpt *hwpt;
    int ret;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    if (cmd->entry_num &&
        (!cmd->data_uptr || !cmd->entry_len || cmd->entry_len > EMU_PAGE_SIZE ||
         cmd->entry_num > INVALIDATE_MAX_ENTRIES)) {
        return -EINVAL;
    }
    target = viommui_emu_object_get(ucmd->ctx, cmd->hwpt_id, EMU_OBJECT_ANY);
    if (!target) {
        return -ENOENT;
    }
    *done = cmd->entry_num;
    switch (target->type) {
    case EMU_OBJECT_HWPT_NESTED:
        hwpt = (EmuHwpt *)target;
        ret = hwpt->iommu->ops->hwpt_invalidate(hwpt->iommu, hwpt, cmd->data_type, data,
                                                cmd->entry_len, done);
        break;
    case EMU_OBJECT_VIOMMU:
        viommu = (EmuViommu *)target;
        ret = viommu->iommu->ops->viommu_invalidate(viommu->iommu, viommu, cmd->data_type,
                                                    data, cmd->entry_len, done);
        break;
    default:
        *done = 0;
        ret = -EINVAL;
        break;
    }
    return ret;
}

int viommui_emu_hwpt_invalidate(EmuUcmd *ucmd)
{
    struct iommu_hwpt_invalidate *cmd = ucmd->cmd;
    guint32 done = 0;
    int ret = invalidate(ucmd, cmd, &done);

    cmd->entry_num = done;
    return viommui_emu_respond(ucmd, sizeof(*cmd)) < 0 ? -EFAULT : ret;
}
