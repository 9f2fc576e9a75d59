/* SPDX-License-Identifier: MIT */
/*
 * VFIO's side of an iommufd attachment: what it remembers to tell an attach from a
 * replace, and what it undoes when a device is let go.
 *
 * Invariants: `attached` and `pasids` are of this layer; iommufd below knows nothing
 * of them. PASID 0 attached as a PASID is the requester ID's attachment under another
 * name, as in Linux: the two exclude each other.
 *
 * Up: vfio-cdev.c, vfio-group.c. Down: device.c.
 */
#include "iommufd.h"

int viommui_emu_vfio_attach(EmuIdev *idev, guint32 *pt_id)
{
    int ret = viommui_emu_device_attach(idev, 0, idev->attached, pt_id);

    if (ret == 0) {
        idev->attached = TRUE;
    }
    return ret;
}

void viommui_emu_vfio_detach(EmuIdev *idev)
{
    if (idev->attached) {
        viommui_emu_device_detach(idev, 0);
        idev->attached = FALSE;
    }
}

/*
 * PASIDs are kept in an IDA, which ends at INT_MAX; and its look-up reports -EINVAL
 * for more than that, which one number equals.
 */
static gboolean has_pasid(const EmuIdev *idev, guint32 pasid)
{
    return pasid > G_MAXINT32
               ? pasid == (guint32)-EINVAL
               : g_hash_table_contains(idev->pasids, GUINT_TO_POINTER(pasid));
}

int viommui_emu_vfio_attach_pasid(EmuIdev *idev, guint32 pasid, guint32 *pt_id)
{
    int ret;

    if (has_pasid(idev, pasid)) {
        return viommui_emu_device_attach(idev, pasid, TRUE, pt_id);
    }
    if (pasid > G_MAXINT32) {
        return -ENOSPC;
    }
    ret = viommui_emu_device_attach(idev, pasid, FALSE, pt_id);
    if (ret == 0) {
        g_hash_table_add(idev->pasids, GUINT_TO_POINTER(pasid));
    }
    return ret;
}

void viommui_emu_vfio_detach_pasid(EmuIdev *idev, guint32 pasid)
{
    if (g_hash_table_remove(idev->pasids, GUINT_TO_POINTER(pasid))) {
        viommui_emu_device_detach(idev, pasid);
    }
}

void viommui_emu_vfio_unbind(EmuIdev *idev)
{
    GList *pasids = g_hash_table_get_keys(idev->pasids);

    for (GList *node = pasids; node; node = node->next) {
        viommui_emu_vfio_detach_pasid(idev, GPOINTER_TO_UINT(node->data));
    }
    g_list_free(pasids);
    viommui_emu_vfio_detach(idev);
    viommui_emu_device_unbind(idev);
}
