/* SPDX-License-Identifier: MIT */
/*
 * The legacy backend: what its errnos mean, and its ops.
 */

#include "legacy.h"

#include "backends/unsupported.h"

#include <errno.h>

/* In set-up, what the VMM passed may be at fault. */
static ViommuResult classify_set_up(int err)
{
    switch (err) {
    case EBADF:
    case EEXIST:
    case EFAULT:
    case EINVAL:
    case ENODEV: /* of a group: it has no such device; of a file: it cannot be mapped */
    case ENOENT:
    case ENOTDIR:
    case EOVERFLOW:
        return VIOMMU_GUEST_INVALID;
    case EACCES:
    case EPERM: /* of a group: somebody else has its DMA */
        return VIOMMU_UNSUPPORTED;
    default:
        return viommui_legacy_classify(VIOMMUI_CALL_ATTACH, err);
    }
}

/* What is to be mapped, and where, comes from the guest's tables. */
static gboolean is_bad_mapping(int err)
{
    return err == EINVAL || err == EOVERFLOW || err == ENOENT || err == EPERM ||
           err == EEXIST;
}

ViommuResult viommui_legacy_classify(ViommuiCall call, int err)
{
    if (call == VIOMMUI_CALL_SET_UP)
        return classify_set_up(err);
    if (call == VIOMMUI_CALL_TABLE_MAP && is_bad_mapping(err))
        return VIOMMU_GUEST_INVALID;
    switch (err) {
    case EINTR:
    case EAGAIN:
    case ENOMEM: /* more than may be locked, too, until others let go */
    case ENOSPC: /* a container holds so many mappings */
    case EBUSY:
        return VIOMMU_TRANSIENT;
    case EOPNOTSUPP:
    case ENOTTY:
    case E2BIG:
    case EADDRINUSE:
        return VIOMMU_UNSUPPORTED;
    case EINVAL: /* of most, that this IOMMU has no room for a mapping there */
        return call == VIOMMUI_CALL_DIRTY ? VIOMMU_GUEST_INVALID : VIOMMU_UNSUPPORTED;
    default:
        return VIOMMU_HOST_GONE;
    }
}

void viommui_legacy_set_error(GError **error, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    viommui_set_call_error(error, viommui_legacy_classify(VIOMMUI_CALL_SET_UP, err), err,
                           format, args);
    va_end(args);
}

const ViommuiBackendOps viommui_legacy_ops = {
    .name = "legacy",
    .space_open = viommui_legacy_space_open,
    .space_close = viommui_legacy_space_close,
    .space_get_last = viommui_legacy_space_get_last,
    .space_count_pinnings = viommui_legacy_space_count_pinnings,
    .map = viommui_legacy_map,
    .unmap = viommui_legacy_unmap,
    .device_open = viommui_legacy_device_open,
    .device_close = viommui_legacy_device_close,
    .device_get_fd = viommui_legacy_device_get_fd,
    .viommu_new = viommui_legacy_viommu_new,
    .viommu_free = viommui_legacy_viommu_free,
    .viommu_get_parent = viommui_legacy_viommu_get_parent,
    .attach = viommui_legacy_attach,
    .detach = viommui_legacy_detach,
    .viommu_can_track_dirty = viommui_legacy_can_track_dirty,
    .set_dirty_tracking = viommui_legacy_set_dirty_tracking,
    .get_dirty = viommui_legacy_get_dirty,
    .table_new = viommui_legacy_table_new,
    .table_free = viommui_legacy_table_free,
    .table_map = viommui_legacy_table_map,
    .table_unmap = viommui_legacy_table_unmap,
    .table_settle = viommui_legacy_table_settle,
    .table_get_last = viommui_legacy_table_get_last,
    VIOMMUI_UNSUPPORTED_NESTING,
    VIOMMUI_UNSUPPORTED_EVENTS,
    VIOMMUI_UNSUPPORTED_PAGE_REQUESTS,
    .classify = viommui_legacy_classify,
};
