/* SPDX-License-Identifier: MIT */
/*
 * Host devices and the three verbs: bind, replace, detach.
 *
 * A verb states what the device wants, has its group applied, and on failure
 * settles for what the caller asked for in that case, and for BLOCKED if that
 * fails too. What the guest is told comes from the result; what was wrong goes to the
 * trace.
 *
 * Invariants: `wanted` is what the device has, as far as it has a say in its group, but for
 * a device whose last host call failed even at detaching (the group is then not `known`).
 * A config is attached before the reference to the one before it is dropped.
 *
 * Up the path: vendors/. Down the path: group.c, config.c.
 */

#include "private.h"

#include <string.h>

static const ViommuiAttachment blocked = {VIOMMUI_BLOCKED, NULL};

/* --- making and freeing ----------------------------------------------------------------
 */

static ViommuHostDevice *device_new(ViommuHost *host, const ViommuiDeviceSource *source,
                                    char *name, GError **error)
{
    ViommuHostDevice *device = g_new0(ViommuHostDevice, 1);
    int group;

    device->host = host;
    device->name = name;
    if (!host->ops->device_open(host->space, source, &device->backend, &device->info,
                                &group, error)) {
        g_free(device->name);
        g_free(device);
        return NULL;
    }
    /* A device that came bound may be attached to anything. */
    device->group = viommui_group_join(device, group, source->devid == 0);
    host->n_devices++;
    /* Others of its group are blocked along with it until it is in use itself. */
    if (device->group->members->len > 1 &&
        viommui_group_apply(device->group) != VIOMMU_OK &&
        viommui_group_detach(device->group) != VIOMMU_OK) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE,
                    "%s joins IOMMU group %d, which the host does not block", device->name,
                    group);
        viommu_host_device_free(device);
        return NULL;
    }
    return device;
}

ViommuHostDevice *viommu_host_device_new_from_path(ViommuHost *host, const char *path,
                                                   GError **error)
{
    const ViommuiDeviceSource source = {.path = path, .fd = -1, .group = VIOMMU_GROUP_ASK};

    return device_new(host, &source, g_strdup(path), error);
}

ViommuHostDevice *viommu_host_device_new_from_bdf(ViommuHost *host, const char *bdf,
                                                  GError **error)
{
    const ViommuiDeviceSource source = {.bdf = bdf, .fd = -1, .group = VIOMMU_GROUP_ASK};

    return device_new(host, &source, g_strdup(bdf), error);
}

ViommuHostDevice *viommu_host_device_new_from_fd(ViommuHost *host, int cdev_fd, int group,
                                                 GError **error)
{
    const ViommuiDeviceSource source = {.fd = cdev_fd, .group = group};

    if (cdev_fd < 0 || group < VIOMMU_GROUP_ASK) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "fd %d in IOMMU group %d is no device", cdev_fd, group);
        return NULL;
    }
    return device_new(host, &source, g_strdup_printf("fd %d", cdev_fd), error);
}

ViommuHostDevice *viommu_host_device_new_from_bound(ViommuHost *host, int cdev_fd,
                                                    guint32 devid, int group,
                                                    GError **error)
{
    const ViommuiDeviceSource source = {.fd = cdev_fd, .devid = devid, .group = group};

    if (cdev_fd < 0 || devid == 0 || group < VIOMMU_GROUP_ASK) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "fd %d with device ID %u in IOMMU group %d is no bound device", cdev_fd,
                    devid, group);
        return NULL;
    }
    return device_new(host, &source, g_strdup_printf("fd %d", cdev_fd), error);
}

/*
 * A member has left, and the others may have waited for that. If the host will not have
 * them attached (SMMUv3 wants every member of a group to have a name), they are BLOCKED for
 * good, and know it.
 */
static void apply_rest(ViommuiGroup *group)
{
    if (viommui_group_apply(group) == VIOMMU_OK)
        return;
    viommui_group_detach(group);
    for (guint i = 0; i < group->members->len; i++) {
        ViommuHostDevice *member = group->members->pdata[i];

        viommui_group_drop(group, member->wanted.config);
        member->wanted = blocked;
    }
}

void viommu_host_device_free(ViommuHostDevice *device)
{
    ViommuiGroup *group;
    gboolean last;

    if (!device)
        return;
    if (device->viommu) {
        viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                       "%s is kept: it is attached to a vIOMMU", device->name);
        return;
    }
    group = device->group;
    last = group->members->len == 1;
    /* One that came bound is handed back detached. */
    viommui_backend_detach(device);
    viommui_group_leave(device);
    if (!last)
        apply_rest(group);
    device->host->n_devices--;
    device->host->ops->device_close(device->backend);
    g_free(device->name);
    g_free(device);
}

const char *viommu_host_device_get_name(ViommuHostDevice *device)
{
    return device->name;
}

int viommu_host_device_get_fd(ViommuHostDevice *device)
{
    return device->host->ops->device_get_fd(device->backend);
}

const ViommuHostDeviceInfo *viommu_host_device_get_info(ViommuHostDevice *device)
{
    return &device->info;
}

/* --- changing the attachment ------------------------------------------------------------
 */

static void drop(ViommuHostDevice *device, ViommuiAttachment attachment)
{
    viommui_group_drop(device->group, attachment.config);
}

static void forget_pending(ViommuHostDevice *device)
{
    drop(device, device->pending);
    device->pending = blocked;
    device->is_pending = FALSE;
}

static void put_off(ViommuHostDevice *device, ViommuiAttachment to)
{
    device->pending = to;
    device->is_pending = TRUE;
}

/* The group gets what its members want now, in which one is to be blocked; or is detached.
 */
static gboolean block(ViommuHostDevice *device, gboolean in_best_form)
{
    return (in_best_form && viommui_group_apply(device->group) == VIOMMU_OK) ||
           viommui_group_detach(device->group) == VIOMMU_OK;
}

/* `to` is not what the others of the group have: refused, and they are blocked with it. */
static ViommuResult disagree(ViommuHostDevice *device, const ViommuHostDevice *other,
                             ViommuiAttachment old, ViommuiOnFailure on_failure)
{
    ViommuiAttachment to = device->wanted;
    ViommuResult result =
        viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                       "%s is in IOMMU group %d with %s, whose configuration differs",
                       device->name, device->group->number, other->name);

    if (on_failure == VIOMMUI_KEEP_OLD) {
        device->wanted = old;
        drop(device, to);
        return result;
    }
    /* What it wants stands: when the others want it too, all have it. */
    if (!block(device, TRUE)) {
        put_off(device, blocked);
        result = VIOMMU_HOST_GONE;
    }
    drop(device, old);
    return result;
}

/* The host has refused `to`, which the device wants: settle for what is left. */
static ViommuResult settle(ViommuHostDevice *device, ViommuResult result,
                           ViommuiAttachment old, ViommuiOnFailure on_failure)
{
    ViommuiAttachment to = device->wanted;

    if (to.kind != VIOMMUI_BLOCKED && on_failure == VIOMMUI_KEEP_OLD) {
        device->wanted = old;
        if (viommui_group_apply(device->group) == VIOMMU_OK) {
            drop(device, to);
            return result;
        }
    }
    device->wanted = blocked;
    if (!block(device, to.kind != VIOMMUI_BLOCKED && result != VIOMMU_TRANSIENT)) {
        put_off(device, blocked);
        result = VIOMMU_HOST_GONE;
    } else if (to.kind == VIOMMUI_BLOCKED) {
        result = VIOMMU_OK;
    } else if (result == VIOMMU_TRANSIENT) {
        put_off(device, to);
        to = blocked;
    }
    drop(device, to);
    drop(device, old);
    return result;
}

/* Takes over the reference that `to` holds. */
static ViommuResult change(ViommuHostDevice *device, ViommuiAttachment to,
                           ViommuiOnFailure on_failure)
{
    ViommuiAttachment old = device->wanted;
    const ViommuHostDevice *other;
    ViommuResult result;

    forget_pending(device);
    device->wanted = to;
    other = viommui_group_find_conflict(device);
    if (other)
        return disagree(device, other, old, on_failure);
    result = viommui_group_apply(device->group);
    if (result != VIOMMU_OK)
        return settle(device, result, old, on_failure);
    drop(device, old);
    return VIOMMU_OK;
}

static ViommuResult check_pasid(ViommuHostDevice *device, guint32 pasid)
{
    if (pasid == VIOMMUI_NO_PASID)
        return VIOMMU_OK;
    return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                          "PASID %u: attachments of PASIDs are not implemented", pasid);
}

static ViommuResult change_to_nested(ViommuHostDevice *device, const void *data, gsize size,
                                     ViommuiOnFailure on_failure)
{
    ViommuiAttachment to = {VIOMMUI_NESTED, NULL};
    ViommuResult result =
        viommui_config_get(device->viommu, device, data, size, &to.config);

    if (result == VIOMMU_OK)
        return change(device, to, on_failure);
    /* Nothing was changed on the host yet. */
    if (on_failure == VIOMMUI_FAIL_CLOSED) {
        ViommuResult now = change(device, blocked, on_failure);

        if (now != VIOMMU_OK)
            return VIOMMU_HOST_GONE;
    }
    return result;
}

static ViommuResult check_nested(ViommuHostDevice *device, guint32 pasid, gboolean bound)
{
    ViommuResult result = check_pasid(device, pasid);

    if (result != VIOMMU_OK)
        return result;
    if (!device->viommu)
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "%s is in no vIOMMU's hands", device->name);
    if (!bound && device->wanted.kind == VIOMMUI_NESTED)
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "%s is bound to another configuration: that is a replace",
                              device->name);
    if (bound && device->wanted.kind != VIOMMUI_NESTED)
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "%s is not bound: that is a bind", device->name);
    return VIOMMU_OK;
}

gboolean viommui_host_device_is_bound_to(ViommuHostDevice *device, guint32 pasid,
                                         const void *data, gsize size)
{
    const ViommuiConfig *config = device->wanted.config;

    return pasid == VIOMMUI_NO_PASID && config && config->size == size &&
           !memcmp(config->data, data, size) && device->group->known &&
           !viommui_group_find_conflict(device);
}

static ViommuResult bind_or_replace(ViommuHostDevice *device, guint32 pasid,
                                    const void *data, gsize size,
                                    ViommuiOnFailure on_failure, gboolean bound)
{
    ViommuResult result;

    if (viommui_host_device_is_bound_to(device, pasid, data, size))
        return VIOMMU_OK;
    result = check_nested(device, pasid, bound);
    return result == VIOMMU_OK ? change_to_nested(device, data, size, on_failure) : result;
}

ViommuResult viommui_host_device_bind(ViommuHostDevice *device, guint32 pasid,
                                      const void *data, gsize size,
                                      ViommuiOnFailure on_failure)
{
    return bind_or_replace(device, pasid, data, size, on_failure, FALSE);
}

ViommuResult viommui_host_device_replace(ViommuHostDevice *device, guint32 pasid,
                                         const void *data, gsize size,
                                         ViommuiOnFailure on_failure)
{
    return bind_or_replace(device, pasid, data, size, on_failure, TRUE);
}

ViommuResult viommui_host_device_detach(ViommuHostDevice *device, guint32 pasid,
                                        ViommuiAttachmentKind to,
                                        ViommuiOnFailure on_failure)
{
    ViommuResult result = check_pasid(device, pasid);

    if (result != VIOMMU_OK)
        return result;
    if (to == VIOMMUI_NESTED || (to == VIOMMUI_IDENTITY && !device->viommu))
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "%s cannot be detached to attachment %d", device->name, to);
    return change(device, (ViommuiAttachment){to, NULL}, on_failure);
}

ViommuiAttachmentKind viommui_host_device_get_attachment(ViommuHostDevice *device)
{
    return device->wanted.kind;
}

gboolean viommui_host_device_is_pending(ViommuHostDevice *device)
{
    return device->is_pending;
}

gboolean viommui_host_device_is_at_large(ViommuHostDevice *device)
{
    return device->is_pending && device->pending.kind == VIOMMUI_BLOCKED;
}

ViommuResult viommui_host_device_retry(ViommuHostDevice *device)
{
    ViommuiAttachment to = device->pending;

    if (!device->is_pending)
        return VIOMMU_OK;
    device->pending = blocked;
    device->is_pending = FALSE;
    return change(device, to, VIOMMUI_FAIL_CLOSED);
}

ViommuResult viommu_host_device_reset_done(ViommuHostDevice *device)
{
    ViommuResult first = VIOMMU_OK;

    /* While one is reset, the host refuses changes of any member of its group. */
    for (guint i = 0; i < device->group->members->len; i++) {
        ViommuResult result = viommui_host_device_retry(device->group->members->pdata[i]);

        if (first == VIOMMU_OK)
            first = result;
    }
    return first;
}

/* --- in a vIOMMU's hands ----------------------------------------------------------------
 */

ViommuHost *viommui_host_device_get_host(ViommuHostDevice *device)
{
    return device->host;
}

ViommuiHostViommu *viommui_host_device_get_viommu(ViommuHostDevice *device)
{
    return device->viommu;
}

ViommuResult viommui_host_device_join(ViommuHostDevice *device, ViommuiHostViommu *hv)
{
    const ViommuHostDevice *stranger = viommui_group_find_stranger(device->group, hv);
    ViommuResult result;

    if (stranger)
        return viommui_refuse(device->host, device, VIOMMU_UNSUPPORTED,
                              "%s is in IOMMU group %d with %s, which another vIOMMU has",
                              device->name, device->group->number, stranger->name);
    device->viommu = hv;
    result = viommui_group_apply(device->group);
    if (result != VIOMMU_OK)
        viommui_host_device_leave(device);
    return result;
}

static void free_virt_id(ViommuHostDevice *device)
{
    if (device->has_virt_id)
        viommui_backend_vdevice_free(device);
    device->has_virt_id = FALSE;
}

void viommui_host_device_leave(ViommuHostDevice *device)
{
    ViommuiAttachment old = device->wanted;

    if (!device->viommu)
        return;
    forget_pending(device);
    device->wanted = blocked;
    viommui_group_detach(device->group);
    drop(device, old);
    /* The host vIOMMU that the configs belong to may go next. */
    viommui_group_drop_all(device->group);
    free_virt_id(device);
    device->viommu = NULL;
}

ViommuResult viommui_host_device_clear_virt_id(ViommuHostDevice *device)
{
    ViommuResult result =
        change(device, (ViommuiAttachment){VIOMMUI_BLOCKED, NULL}, VIOMMUI_FAIL_CLOSED);

    if (result == VIOMMU_OK)
        free_virt_id(device);
    return result;
}

ViommuResult viommui_host_device_set_virt_id(ViommuHostDevice *device, guint64 virt_id)
{
    ViommuResult result = viommui_host_device_clear_virt_id(device);

    if (result == VIOMMU_OK)
        result = viommui_backend_vdevice_alloc(device, virt_id);
    device->has_virt_id = device->has_virt_id || result == VIOMMU_OK;
    return result;
}
