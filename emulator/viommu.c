/* SPDX-License-Identifier: MIT */
/*
 * Host vIOMMUs and the virtual devices behind them.
 *
 * Invariants: a vIOMMU uses its parent HWPT; a vDEVICE uses its vIOMMU, and is known
 * to it by its virtual ID and to its device. A device has at most one vDEVICE, which
 * goes with the device, leaving a tombstone.
 *
 * Up: iommufd.c. Down: the IOMMU driver.
 */
#include "iommufd.h"

int viommui_emu_viommu_alloc(EmuUcmd *ucmd)
{
    struct iommu_viommu_alloc *cmd = ucmd->cmd;
    EmuViommu *viommu;
    EmuIommu *iommu;
    EmuHwpt *parent;
    EmuIdev *idev;
    int ret;

    if (cmd->flags || cmd->type == IOMMU_VIOMMU_TYPE_DEFAULT) {
        return -EOPNOTSUPP;
    }
    idev = (EmuIdev *)viommui_emu_object_get(ucmd->ctx, cmd->dev_id, EMU_OBJECT_DEVICE);
    if (!idev) {
        return -ENOENT;
    }
    iommu = idev->device->iommu;
    if (!iommu->ops->has_viommu_type(iommu, cmd->type)) {
        return -EOPNOTSUPP;
    }
    parent =
        (EmuHwpt *)viommui_emu_object_get(ucmd->ctx, cmd->hwpt_id, EMU_OBJECT_HWPT_PAGING);
    if (!parent) {
        return -ENOENT;
    }
    if (!parent->nest_parent) {
        return -EINVAL;
    }
    viommu = g_new0(EmuViommu, 1);
    viommu->iommu = iommu;
    viommu->parent = parent;
    viommu->type = cmd->type;
    ret = iommu->ops->viommu_init(iommu, viommu);
    if (ret < 0) {
        g_free(viommu);
        return ret;
    }
    viommu->vdevices = g_hash_table_new(g_int64_hash, g_int64_equal);
    viommu->veventqs = g_ptr_array_new();
    parent->obj.users++;
    viommui_emu_object_publish(ucmd->ctx, &viommu->obj, EMU_OBJECT_VIOMMU);
    cmd->out_viommu_id = viommu->obj.id;
    return viommui_emu_respond_new(ucmd, sizeof(*cmd), &viommu->obj);
}

void viommui_emu_viommu_destroy(EmuObject *object)
{
    EmuViommu *viommu = (EmuViommu *)object;

    viommu->parent->obj.users--;
    g_hash_table_unref(viommu->vdevices);
    g_ptr_array_unref(viommu->veventqs);
    g_free(viommu);
}

EmuVdevice *viommui_emu_viommu_find(const EmuViommu *viommu, guint64 virt_id)
{
    return g_hash_table_lookup(viommu->vdevices, &virt_id);
}

int viommui_emu_vdevice_alloc(EmuUcmd *ucmd)
{
    struct iommu_vdevice_alloc *cmd = ucmd->cmd;
    EmuViommu *viommu;
    EmuVdevice *vdevice;
    EmuIdev *idev;

    viommu =
        (EmuViommu *)viommui_emu_object_get(ucmd->ctx, cmd->viommu_id, EMU_OBJECT_VIOMMU);
    idev = (EmuIdev *)viommui_emu_object_get(ucmd->ctx, cmd->dev_id, EMU_OBJECT_DEVICE);
    if (!viommu || !idev) {
        return -ENOENT;
    }
    if (viommu->iommu != idev->device->iommu) {
        return -EINVAL;
    }
    if (idev->vdevice || viommui_emu_viommu_find(viommu, cmd->virt_id)) {
        return -EEXIST;
    }
    vdevice = g_new0(EmuVdevice, 1);
    vdevice->viommu = viommu;
    vdevice->idev = idev;
    vdevice->virt_id = cmd->virt_id;
    viommu->obj.users++;
    idev->vdevice = vdevice;
    g_hash_table_insert(viommu->vdevices, &vdevice->virt_id, vdevice);
    viommui_emu_object_publish(ucmd->ctx, &vdevice->obj, EMU_OBJECT_VDEVICE);
    cmd->out_vdevice_id = vdevice->obj.id;
    return viommui_emu_respond_new(ucmd, sizeof(*cmd), &vdevice->obj);
}

void viommui_emu_vdevice_destroy(EmuObject *object)
{
    EmuVdevice *vdevice = (EmuVdevice *)object;

    g_hash_table_remove(vdevice->viommu->vdevices, &vdevice->virt_id);
    vdevice->viommu->obj.users--;
    vdevice->idev->vdevice = NULL;
    g_free(vdevice);
}

/* No driver here has command queues of its own in hardware (NVIDIA's CMDQV has). */
int viommui_emu_hw_queue_alloc(EmuUcmd *ucmd)
{
    const struct iommu_hw_queue_alloc *cmd = ucmd->cmd;

    if (cmd->flags || cmd->type == IOMMU_HW_QUEUE_TYPE_DEFAULT) {
        return -EOPNOTSUPP;
    }
    if (!cmd->length) {
        return -EINVAL;
    }
    if (cmd->nesting_parent_iova + (cmd->length - 1) < cmd->nesting_parent_iova) {
        return -EOVERFLOW;
    }
    return viommui_emu_object_get(ucmd->ctx, cmd->viommu_id, EMU_OBJECT_VIOMMU)
               ? -EOPNOTSUPP
               : -ENOENT;
}
