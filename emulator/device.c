/* SPDX-License-Identifier: MIT */
/*
 * A device bound to an iommufd, and its attachments by group.
 *
 * Invariants: members of a group that are attached share one HWPT: the first to come
 * attaches the group, the others join, a replace by one moves all. Each attached
 * device holds a user of the HWPT, and its reserved ranges lie in the IOAS. The same
 * holds for each PASID, but for the ranges. PASID 0 is the requester ID.
 *
 * Up: vfio-iommufd.c (bind, attach, detach), iommufd.c (GET_HW_INFO). Down:
 * iommu-group.c, hwpt.c, ioas.c.
 */
#include "iommufd.h"

typedef int (*AttachFn)(EmuIdev *idev, guint32 pasid, EmuHwpt *hwpt, EmuHwpt **ret_old);

static void attach_free(gpointer data)
{
    EmuAttach *attach = data;

    g_ptr_array_unref(attach->devices);
    g_free(attach);
}

static EmuIgroup *igroup_get(EmuIommufd *ctx, EmuGroup *group)
{
    EmuIgroup *igroup;

    for (guint i = 0; i < ctx->groups->len; i++) {
        igroup = g_ptr_array_index(ctx->groups, i);
        if (igroup->group == group) {
            igroup->refs++;
            return igroup;
        }
    }
    igroup = g_new0(EmuIgroup, 1);
    igroup->group = group;
    igroup->refs = 1;
    igroup->attached = g_hash_table_new_full(NULL, NULL, NULL, attach_free);
    g_ptr_array_add(ctx->groups, igroup);
    return igroup;
}

static void igroup_put(EmuIommufd *ctx, EmuIgroup *igroup)
{
    if (--igroup->refs == 0) {
        g_ptr_array_remove(ctx->groups, igroup);
        g_hash_table_unref(igroup->attached);
        g_free(igroup);
    }
}

static EmuAttach *find_attach(const EmuIgroup *igroup, guint32 pasid)
{
    return g_hash_table_lookup(igroup->attached, GUINT_TO_POINTER(pasid));
}

int viommui_emu_device_bind(EmuIommufd *ctx, EmuDevice *device, guint32 *ret_id)
{
    EmuIdev *idev;
    int ret;

    if (!device->iommu->ops->is_coherent(device->iommu)) {
        return -EINVAL;
    }
    ret = viommui_emu_group_claim(device->group, ctx);
    if (ret < 0) {
        return ret;
    }
    idev = g_new0(EmuIdev, 1);
    idev->device = device;
    idev->igroup = igroup_get(ctx, device->group);
    idev->pasids = g_hash_table_new(NULL, NULL);
    viommui_emu_iommufd_ref(ctx);
    viommui_emu_object_publish(ctx, &idev->obj, EMU_OBJECT_DEVICE);
    idev->obj.users = 1; /* vfio */
    device->idev = idev;
    *ret_id = idev->obj.id;
    return 0;
}

void viommui_emu_device_destroy(EmuObject *object)
{
    EmuIdev *idev = (EmuIdev *)object;

    idev->device->idev = NULL;
    viommui_emu_group_release(idev->device->group);
    igroup_put(object->ctx, idev->igroup);
    g_hash_table_unref(idev->pasids);
    g_free(idev);
}

void viommui_emu_device_unbind(EmuIdev *idev)
{
    EmuIommufd *ctx = idev->obj.ctx;

    if (idev->vdevice) {
        viommui_emu_object_tombstone(&idev->vdevice->obj);
    }
    idev->obj.users--;
    viommui_emu_object_destroy(&idev->obj);
    viommui_emu_iommufd_unref(ctx);
}

static int reserve_regions(EmuDevice *device, EmuIoas *ioas)
{
    const EmuIommuOps *ops = device->iommu->ops;

    return viommui_emu_ioas_reserve(ioas, ops->msi_first, ops->msi_last, device);
}

/* Of all that is attached to the requester ID. */
static void unreserve_group(EmuIgroup *igroup, EmuIoas *ioas)
{
    const EmuAttach *attach = find_attach(igroup, 0);

    for (guint i = 0; attach && i < attach->devices->len; i++) {
        EmuIdev *member = g_ptr_array_index(attach->devices, i);

        viommui_emu_ioas_unreserve(ioas, member->device);
    }
}

/* PASIDs and the requester ID under them need HWPTs that were made for it. */
static int check_pasid_compat(const EmuHwpt *hwpt, const EmuIgroup *igroup, guint32 pasid)
{
    const EmuAttach *rid = find_attach(igroup, 0);
    guint n_pasids = g_hash_table_size(igroup->attached) - (rid ? 1 : 0);

    if (!pasid) {
        return !hwpt->pasid_compat && n_pasids ? -EINVAL : 0;
    }
    return !hwpt->pasid_compat || (rid && !rid->hwpt->pasid_compat) ? -EINVAL : 0;
}

static int attach_first(EmuIdev *idev, guint32 pasid, EmuHwpt *hwpt)
{
    EmuIgroup *igroup = idev->igroup;
    EmuAttach *attach;
    int ret = check_pasid_compat(hwpt, igroup, pasid);

    if (ret == 0) {
        ret = pasid
                  ? viommui_emu_group_attach_pasid(idev->device, pasid, hwpt, idev->obj.id)
                  : viommui_emu_group_attach(igroup->group, hwpt, idev->obj.id);
    }
    if (ret < 0) {
        return ret;
    }
    attach = g_new0(EmuAttach, 1);
    attach->hwpt = hwpt;
    attach->devices = g_ptr_array_new();
    g_hash_table_insert(igroup->attached, GUINT_TO_POINTER(pasid), attach);
    return 0;
}

static int do_attach(EmuIdev *idev, guint32 pasid, EmuHwpt *hwpt, EmuHwpt **ret_old)
{
    EmuIoas *ioas = viommui_emu_hwpt_paging(hwpt)->ioas;
    EmuAttach *attach = find_attach(idev->igroup, pasid);
    int ret = 0;

    if (attach && g_ptr_array_find(attach->devices, idev, NULL)) {
        return -EBUSY;
    }
    if (attach && attach->hwpt != hwpt) {
        return -EINVAL;
    }
    if (!pasid) {
        ret = reserve_regions(idev->device, ioas);
    }
    if (ret < 0) {
        return ret;
    }
    if (!attach) {
        ret = attach_first(idev, pasid, hwpt);
        if (ret < 0) {
            if (!pasid) {
                viommui_emu_ioas_unreserve(ioas, idev->device);
            }
            return ret;
        }
        attach = find_attach(idev->igroup, pasid);
    }
    hwpt->obj.users++;
    g_ptr_array_add(attach->devices, idev);
    *ret_old = NULL;
    return 0;
}

static int replace_reserved(EmuIgroup *igroup, EmuIoas *ioas)
{
    const EmuAttach *attach = find_attach(igroup, 0);

    if (viommui_emu_hwpt_paging(attach->hwpt)->ioas == ioas) {
        return 0;
    }
    for (guint i = 0; i < attach->devices->len; i++) {
        EmuIdev *member = g_ptr_array_index(attach->devices, i);
        int ret = reserve_regions(member->device, ioas);

        if (ret < 0) {
            unreserve_group(igroup, ioas);
            return ret;
        }
    }
    return 0;
}

static int replace_hwpt(EmuIdev *idev, guint32 pasid, EmuHwpt *hwpt)
{
    int ret = check_pasid_compat(hwpt, idev->igroup, pasid);

    if (ret < 0) {
        return ret;
    }
    return pasid ? viommui_emu_group_replace_pasid(idev->device, pasid, hwpt, idev->obj.id)
                 : viommui_emu_group_replace(idev->igroup->group, hwpt, idev->obj.id);
}

static int do_replace(EmuIdev *idev, guint32 pasid, EmuHwpt *hwpt, EmuHwpt **ret_old)
{
    EmuIoas *ioas = viommui_emu_hwpt_paging(hwpt)->ioas;
    EmuIgroup *igroup = idev->igroup;
    EmuAttach *attach = find_attach(igroup, pasid);
    EmuHwpt *old;
    int ret;

    if (!attach || !g_ptr_array_find(attach->devices, idev, NULL)) {
        return -EINVAL;
    }
    *ret_old = NULL;
    old = attach->hwpt;
    if (old == hwpt) {
        return 0;
    }
    ret = pasid ? 0 : replace_reserved(igroup, ioas);
    if (ret < 0) {
        return ret;
    }
    ret = replace_hwpt(idev, pasid, hwpt);
    if (ret < 0) {
        if (!pasid) {
            /* Linux does so even when the old HWPT is of the same IOAS. */
            unreserve_group(igroup, ioas);
        }
        return ret;
    }
    if (!pasid && viommui_emu_hwpt_paging(old)->ioas != ioas) {
        unreserve_group(igroup, viommui_emu_hwpt_paging(old)->ioas);
    }
    attach->hwpt = hwpt;
    hwpt->obj.users += attach->devices->len;
    old->obj.users -= attach->devices->len - 1;
    *ret_old = old;
    return 0;
}

/* All of a detach but the HWPT's user. */
static void leave(EmuIdev *idev, guint32 pasid)
{
    EmuAttach *attach = find_attach(idev->igroup, pasid);
    EmuHwpt *hwpt = attach->hwpt;

    g_ptr_array_remove(attach->devices, idev);
    if (!attach->devices->len) {
        if (pasid) {
            viommui_emu_group_detach_pasid(idev->igroup->group, pasid);
        } else {
            viommui_emu_group_detach(idev->igroup->group);
        }
        g_hash_table_remove(idev->igroup->attached, GUINT_TO_POINTER(pasid));
    }
    if (!pasid) {
        viommui_emu_ioas_unreserve(viommui_emu_hwpt_paging(hwpt)->ioas, idev->device);
    }
}

/* Any automatic HWPT of the IOAS that will take the device, else a new one. */
static int attach_auto(EmuIdev *idev, guint32 pasid, EmuIoas *ioas, AttachFn attach,
                       guint32 *pt_id, EmuHwpt **ret_old)
{
    EmuHwpt *hwpt = NULL;
    int ret;

    for (guint i = 0; i < ioas->hwpts->len; i++) {
        hwpt = g_ptr_array_index(ioas->hwpts, i);
        if (!hwpt->auto_domain) {
            continue;
        }
        ret = attach(idev, pasid, hwpt, ret_old);
        if (ret == 0) {
            *pt_id = hwpt->obj.id;
        }
        if (ret != -EINVAL) {
            return ret;
        }
    }
    ret = viommui_emu_hwpt_paging_new(ioas, idev->device->iommu, 0, FALSE, &hwpt);
    if (ret < 0) {
        return ret;
    }
    /* Linux attaches first and fills the tables after; a replace the other way round. */
    if (attach == do_attach) {
        ret = attach(idev, pasid, hwpt, ret_old);
    }
    if (ret == 0) {
        ret = viommui_emu_ioas_add_hwpt(ioas, hwpt);
        if (ret < 0 && attach == do_attach) {
            leave(idev, pasid);
            hwpt->obj.users--;
        }
    }
    if (ret == 0 && attach != do_attach) {
        ret = attach(idev, pasid, hwpt, ret_old);
    }
    if (ret < 0) {
        viommui_emu_hwpt_paging_abort(hwpt);
        return ret;
    }
    hwpt->auto_domain = TRUE;
    /* publish() leaves the users that attach() counted */
    viommui_emu_object_publish(idev->obj.ctx, &hwpt->obj, EMU_OBJECT_HWPT_PAGING);
    *pt_id = hwpt->obj.id;
    return 0;
}

int viommui_emu_device_attach(EmuIdev *idev, guint32 pasid, gboolean replace,
                              guint32 *pt_id)
{
    AttachFn attach = replace ? do_replace : do_attach;
    EmuObject *object = viommui_emu_object_get(idev->obj.ctx, *pt_id, EMU_OBJECT_ANY);
    EmuHwpt *old = NULL;
    int ret;

    if (!object) {
        return -ENOENT;
    }
    switch (object->type) {
    case EMU_OBJECT_HWPT_PAGING:
    case EMU_OBJECT_HWPT_NESTED:
        ret = attach(idev, pasid, (EmuHwpt *)object, &old);
        break;
    case EMU_OBJECT_IOAS:
        ret = attach_auto(idev, pasid, (EmuIoas *)object, attach, pt_id, &old);
        break;
    default:
        ret = -EINVAL;
        break;
    }
    if (ret < 0) {
        return ret;
    }
    if (old) {
        viommui_emu_hwpt_put(old);
    }
    if (!replace) {
        idev->obj.users++;
    }
    return 0;
}

void viommui_emu_device_detach(EmuIdev *idev, guint32 pasid)
{
    EmuAttach *attach = find_attach(idev->igroup, pasid);
    EmuHwpt *hwpt;

    if (!attach) {
        return;
    }
    hwpt = attach->hwpt;
    leave(idev, pasid);
    viommui_emu_hwpt_put(hwpt);
    idev->obj.users--;
}

/* The hardware's own struct, cut or zero-filled to the caller's buffer. */
static int put_hw_info(const struct iommu_hw_info *cmd, const guint8 *info, guint32 size)
{
    guint8 *user = viommui_emu_user_ptr(cmd->data_uptr);
    guint32 common = MIN(cmd->data_len, size);
    int ret = viommui_emu_copy_to_user(user, info, common);

    if (ret < 0 || common == cmd->data_len) {
        return ret;
    }
    return viommui_emu_clear_user(user + common, cmd->data_len - common);
}

int viommui_emu_get_hw_info(EmuUcmd *ucmd)
{
    struct iommu_hw_info *cmd = ucmd->cmd;
    guint8 info[256] = {0};
    guint32 size = 0;
    guint32 type;
    EmuIdev *idev;
    EmuIommu *iommu;
    int ret;

    if ((cmd->flags & ~(guint32)IOMMU_HW_INFO_FLAG_INPUT_TYPE) || cmd->__reserved[0] ||
        cmd->__reserved[1] || cmd->__reserved[2]) {
        return -EOPNOTSUPP;
    }
    idev = (EmuIdev *)viommui_emu_object_get(ucmd->ctx, cmd->dev_id, EMU_OBJECT_DEVICE);
    if (!idev) {
        return -ENOENT;
    }
    iommu = idev->device->iommu;
    type = cmd->flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE ? cmd->in_data_type
                                                      : (guint32)IOMMU_HW_INFO_TYPE_DEFAULT;
    ret = iommu->ops->hw_info(iommu, &type, info, &size);
    if (ret == 0) {
        ret = put_hw_info(cmd, info, size);
    }
    if (ret < 0) {
        return ret;
    }
    cmd->out_data_type = type;
    cmd->data_len = size;
    cmd->out_capabilities = 0;
    if (!iommu->ops->has_ats(idev->device)) {
        cmd->out_capabilities |= IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED;
    }
    if (iommu->ops->has_dirty_tracking(iommu)) {
        cmd->out_capabilities |= IOMMU_HW_CAP_DIRTY_TRACKING;
    }
    cmd->out_max_pasid_log2 = (guint8)iommu->ops->pasid_bits(idev->device);
    if (cmd->out_max_pasid_log2) {
        /* Drivers turn on all that the capability has. */
        cmd->out_capabilities |=
            (idev->device->pasid_exec ? IOMMU_HW_CAP_PCI_PASID_EXEC : 0) |
            (idev->device->pasid_privileged ? IOMMU_HW_CAP_PCI_PASID_PRIV : 0);
    }
    return viommui_emu_respond(ucmd, sizeof(*cmd));
}
