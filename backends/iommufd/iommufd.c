/* SPDX-License-Identifier: MIT */
/*
 * The iommufd backend: what its errnos mean, and its ops.
 */

#include "iommufd.h"

#include <errno.h>

int viommui_iommufd_ioctl(ViommuiSpace *space, unsigned long request, void *arg, gsize size)
{
    return viommui_seam_ioctl(space->seam, space->iommufd, request, arg, size);
}

gboolean viommui_iommufd_destroy(ViommuiSpace *space, guint32 id)
{
    struct iommu_destroy cmd = {.size = sizeof cmd, .id = id};
    int tries = 0;

    while (viommui_iommufd_ioctl(space, IOMMU_DESTROY, &cmd, sizeof cmd) < 0)
        if (++tries == 3)
            return FALSE;
    return TRUE;
}

/* In set-up, what the VMM passed may be at fault. */
static ViommuResult classify_set_up(int err)
{
    switch (err) {
    case EBADF:
    case EEXIST:
    case EFAULT:
    case EINVAL:
    case ENOENT:
    case ENOTDIR:
    case EOVERFLOW:
        return VIOMMU_GUEST_INVALID;
    case EACCES:
    case EADDRINUSE:
    case EPERM: /* of a bind: interrupts of the device cannot be kept apart */
        return VIOMMU_UNSUPPORTED;
    default:
        return viommui_iommufd_classify(VIOMMUI_CALL_ATTACH, err);
    }
}

static gboolean is_attach(ViommuiCall call)
{
    return call == VIOMMUI_CALL_ATTACH || call == VIOMMUI_CALL_ATTACH_WITH_FAULTS;
}

/* EINVAL of these is about what the guest or the VMM asked for. */
static gboolean is_about_arguments(ViommuiCall call)
{
    return call == VIOMMUI_CALL_INVALIDATE || call == VIOMMUI_CALL_PAGE_RESPONSE ||
           call == VIOMMUI_CALL_DIRTY;
}

/* What is to be mapped, and where, comes from the guest's tables. */
static gboolean is_bad_mapping(int err)
{
    return err == EINVAL || err == EOVERFLOW || err == ENOENT || err == EPERM ||
           err == EEXIST;
}

ViommuResult viommui_iommufd_classify(ViommuiCall call, int err)
{
    if (call == VIOMMUI_CALL_SET_UP)
        return classify_set_up(err);
    if (call == VIOMMUI_CALL_TABLE_MAP && is_bad_mapping(err))
        return VIOMMU_GUEST_INVALID;
    switch (err) {
    case EINTR:
    case EAGAIN:
    case ENOMEM:
    case ENOSPC:  /* VMIDs, ASIDs and IDs come back when others let go */
    case ENOBUFS: /* of page requests: the next group wants a reader with more room */
    case EBUSY:
        return VIOMMU_TRANSIENT;
    case EOPNOTSUPP:
    case ENOTTY:
    case E2BIG:
    case EADDRINUSE: /* memory is mapped where the device has a reserved region */
        return VIOMMU_UNSUPPORTED;
    case ENOENT: /* of an attach: a device of the group has no vDEVICE; the HWPT is our own
                  */
        return is_attach(call) ? VIOMMU_UNSUPPORTED : VIOMMU_HOST_GONE;
    case EINVAL: /* of most, that this device and this HWPT do not go together */
        return is_about_arguments(call) ? VIOMMU_GUEST_INVALID : VIOMMU_UNSUPPORTED;
    case ENODEV: /* of a HWPT with page requests: the device has none */
        return call == VIOMMUI_CALL_ATTACH_WITH_FAULTS ? VIOMMU_UNSUPPORTED
                                                       : VIOMMU_HOST_GONE;
    case EEXIST: /* two devices by one name */
        return call == VIOMMUI_CALL_VDEVICE ? VIOMMU_GUEST_INVALID : VIOMMU_HOST_GONE;
    case EIO: /* the uAPI keeps it for what the guest wrote */
        return call == VIOMMUI_CALL_HWPT_ALLOC || call == VIOMMUI_CALL_INVALIDATE
                   ? VIOMMU_GUEST_INVALID
                   : VIOMMU_HOST_GONE;
    default:
        return VIOMMU_HOST_GONE;
    }
}

void viommui_iommufd_set_error(GError **error, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    viommui_set_call_error(error, viommui_iommufd_classify(VIOMMUI_CALL_SET_UP, err), err,
                           format, args);
    va_end(args);
}

const ViommuiBackendOps viommui_iommufd_ops = {
    .name = "iommufd",
    .space_open = viommui_iommufd_space_open,
    .space_close = viommui_iommufd_space_close,
    .space_get_last = viommui_iommufd_space_get_last,
    .space_count_pinnings = viommui_iommufd_space_count_pinnings,
    .map = viommui_iommufd_map,
    .unmap = viommui_iommufd_unmap,
    .device_open = viommui_iommufd_device_open,
    .device_close = viommui_iommufd_device_close,
    .device_get_fd = viommui_iommufd_device_get_fd,
    .viommu_new = viommui_iommufd_viommu_new,
    .viommu_free = viommui_iommufd_viommu_free,
    .viommu_get_parent = viommui_iommufd_viommu_get_parent,
    .event_queue_new = viommui_iommufd_event_queue_new,
    .event_queue_free = viommui_iommufd_event_queue_free,
    .fault_queue_new = viommui_iommufd_fault_queue_new,
    .fault_queue_free = viommui_iommufd_fault_queue_free,
    .hwpt_alloc = viommui_iommufd_hwpt_alloc,
    .hwpt_free = viommui_iommufd_hwpt_free,
    .attach = viommui_iommufd_attach,
    .detach = viommui_iommufd_detach,
    .invalidate = viommui_iommufd_invalidate,
    .vdevice_alloc = viommui_iommufd_vdevice_alloc,
    .vdevice_free = viommui_iommufd_vdevice_free,
    .read_events = viommui_iommufd_read_events,
    .read_page_requests = viommui_iommufd_read_page_requests,
    .respond = viommui_iommufd_respond,
    .viommu_can_track_dirty = viommui_iommufd_can_track_dirty,
    .set_dirty_tracking = viommui_iommufd_set_dirty_tracking,
    .get_dirty = viommui_iommufd_get_dirty,
    .table_new = viommui_iommufd_table_new,
    .table_free = viommui_iommufd_table_free,
    .table_map = viommui_iommufd_table_map,
    .table_unmap = viommui_iommufd_table_unmap,
    .table_settle = viommui_iommufd_table_settle,
    .table_get_last = viommui_iommufd_table_get_last,
    .classify = viommui_iommufd_classify,
};
