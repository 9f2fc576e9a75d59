/* SPDX-License-Identifier: MIT */
/*
 * Fault queues: page requests on their way to user space, and responses on their way
 * back.
 *
 * A group of page requests is whole when its last request comes. It then waits to be
 * read, and after that, under a cookie, to be answered. Invariants: a group is in one
 * of the two places of one queue; it is answered once, by write(2), or as invalid when
 * the attachment that it came through ends or the queue goes. A HWPT uses its queue,
 * and so does the open descriptor.
 *
 * Up: iommufd.c (allocation), the IOMMU models (requests), fds.c (reading, writing).
 * Down: EmuIommuOps.page_response.
 */
#include "iommufd.h"

typedef struct {
    EmuDevice *device;
    const EmuHandle *handle; /* alive as long as the group */
    guint32 cookie;
    GArray *requests; /* EmuPageRequest; the last one closes the group */
} EmuFaultGroup;

static void sync_event_fd(EmuFault *fault)
{
    viommui_emu_fd_set_readable(fault->event_fd, !g_queue_is_empty(&fault->deliver));
}

/* Answer and free a group that is in neither place any more. */
static void respond(EmuFaultGroup *group, guint32 code)
{
    const EmuPageRequest *last =
        &g_array_index(group->requests, EmuPageRequest, group->requests->len - 1);

    group->device->iommu->ops->page_response(group->device, last, code);
    g_array_unref(group->requests);
    g_free(group);
}

/* Who is responsible for what this device asks, or NULL. */
static const EmuHandle *find_handler(EmuDevice *device, const EmuPageRequest *request)
{
    GHashTable *handles = device->group->handles;
    gboolean has_pasid = !!(request->flags & IOMMU_PGFAULT_FLAGS_PASID_VALID);
    guint32 pasid = has_pasid ? request->pasid : 0;
    const EmuHandle *handle = g_hash_table_lookup(handles, GUINT_TO_POINTER(pasid));

    if (!handle && has_pasid && device->iommu->ops->user_pasid_table) {
        handle = g_hash_table_lookup(handles, GUINT_TO_POINTER(0));
        handle = handle && handle->hwpt->parent ? handle : NULL;
    }
    return handle && handle->hwpt->fault ? handle : NULL;
}

/* The requests of one group, taken out of what came so far, in their order. */
static GArray *collect_group(EmuDevice *device, const EmuPageRequest *last)
{
    GArray *requests = g_array_new(FALSE, FALSE, sizeof(*last));
    guint n_left = 0;

    for (guint i = 0; i < device->partial->len; i++) {
        EmuPageRequest request = g_array_index(device->partial, EmuPageRequest, i);

        if (request.grpid == last->grpid) {
            g_array_append_val(requests, request);
        } else {
            g_array_index(device->partial, EmuPageRequest, n_left++) = request;
        }
    }
    g_array_set_size(device->partial, n_left);
    g_array_append_vals(requests, last, 1);
    return requests;
}

int viommui_emu_report_page_request(EmuDevice *device, const EmuPageRequest *request)
{
    const EmuHandle *handle = find_handler(device, request);
    EmuFaultGroup *group;
    EmuFault *fault;

    if (device->emulator->drop_events) {
        device->emulator->drop_events--;
        return 0;
    }
    if (!handle) {
        device->iommu->ops->page_response(device, request, IOMMUFD_PAGE_RESP_INVALID);
        return -EINVAL;
    }
    if (!(request->flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE)) {
        g_array_append_vals(device->partial, request, 1);
        return 0;
    }
    fault = handle->hwpt->fault;
    group = g_new0(EmuFaultGroup, 1);
    group->device = device;
    group->handle = handle;
    group->requests = collect_group(device, request);
    g_queue_push_tail(&fault->deliver, group);
    sync_event_fd(fault);
    return 0;
}

void viommui_emu_discard_page_requests(EmuDevice *device)
{
    g_array_set_size(device->partial, 0);
}

/* All groups of one attachment, or with NULL of all, out of both places. */
static void respond_to_all(EmuFault *fault, const EmuHandle *handle)
{
    GQueue found = G_QUEUE_INIT;
    GHashTableIter iter;
    EmuFaultGroup *group;
    gpointer value;

    for (GList *node = fault->deliver.head; node;) {
        GList *next = node->next;

        group = node->data;
        if (!handle || group->handle == handle) {
            g_queue_push_tail(&found, group);
            g_queue_delete_link(&fault->deliver, node);
        }
        node = next;
    }
    g_hash_table_iter_init(&iter, fault->response);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        group = value;
        if (!handle || group->handle == handle) {
            g_queue_push_tail(&found, group);
            g_hash_table_iter_remove(&iter);
        }
    }
    while ((group = g_queue_pop_head(&found))) {
        respond(group, IOMMUFD_PAGE_RESP_INVALID);
    }
    sync_event_fd(fault);
}

void viommui_emu_fault_auto_respond(EmuFault *fault, const EmuHandle *handle)
{
    respond_to_all(fault, handle);
}

/* The lowest cookie that is free, from 1. */
static guint32 take_cookie(const EmuFault *fault)
{
    guint32 cookie = 1;

    while (g_hash_table_contains(fault->response, GUINT_TO_POINTER(cookie))) {
        cookie++;
    }
    return cookie;
}

static int copy_group(const EmuFaultGroup *group, guint8 *buf)
{
    for (guint i = 0; i < group->requests->len; i++) {
        const EmuPageRequest *request = &g_array_index(group->requests, EmuPageRequest, i);
        const struct iommu_hwpt_pgfault message = {
            .flags = request->flags,
            .dev_id = group->handle->dev_id,
            .pasid = request->pasid,
            .grpid = request->grpid,
            .perm = request->perm,
            .addr = request->addr,
            .cookie = group->cookie,
        };
        int ret = viommui_emu_copy_to_user(buf ? buf + i * sizeof(message) : NULL, &message,
                                           sizeof(message));

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* As many whole groups as fit. */
static ssize_t fault_read(EmuFd *file, void *buf, size_t size)
{
    EmuFault *fault = file->object;
    EmuFaultGroup *group;
    size_t done = 0;
    int ret = 0;

    if (size % sizeof(struct iommu_hwpt_pgfault)) {
        return -ESPIPE;
    }
    while ((group = g_queue_peek_head(&fault->deliver))) {
        size_t need = group->requests->len * sizeof(struct iommu_hwpt_pgfault);

        if (need > size - done) {
            ret = -EINVAL;
            break;
        }
        group->cookie = take_cookie(fault);
        ret = copy_group(group, buf ? (guint8 *)buf + done : NULL);
        if (ret < 0) {
            break;
        }
        g_queue_pop_head(&fault->deliver);
        g_hash_table_insert(fault->response, GUINT_TO_POINTER(group->cookie), group);
        done += need;
    }
    sync_event_fd(fault);
    return done ? (ssize_t)done : ret;
}

static int take_response(EmuFault *fault, const guint8 *user)
{
    struct iommu_hwpt_page_response response;
    EmuFaultGroup *group;
    int ret = viommui_emu_copy_from_user(&response, user, sizeof(response));

    if (ret < 0) {
        return ret;
    }
    if (response.code != IOMMUFD_PAGE_RESP_SUCCESS &&
        response.code != IOMMUFD_PAGE_RESP_INVALID) {
        return -EINVAL;
    }
    group = g_hash_table_lookup(fault->response, GUINT_TO_POINTER(response.cookie));
    if (!group) {
        return -EINVAL;
    }
    g_hash_table_remove(fault->response, GUINT_TO_POINTER(response.cookie));
    respond(group, response.code);
    return 0;
}

static ssize_t fault_write(EmuFd *file, const void *buf, size_t size)
{
    const size_t step = sizeof(struct iommu_hwpt_page_response);
    EmuFault *fault = file->object;
    size_t done = 0;
    int ret = 0;

    if (size % step) {
        return -ESPIPE;
    }
    while (done < size) {
        ret = take_response(fault, buf ? (const guint8 *)buf + done : NULL);
        if (ret < 0) {
            break;
        }
        done += step;
    }
    return done ? (ssize_t)done : ret;
}

/* The descriptor is a stream. */
static ssize_t fault_pread(EmuFd *file, void *buf, size_t size, int64_t offset)
{
    (void)file;
    (void)buf;
    (void)size;
    (void)offset;
    return -ESPIPE;
}

static ssize_t fault_pwrite(EmuFd *file, const void *buf, size_t size, int64_t offset)
{
    (void)file;
    (void)buf;
    (void)size;
    (void)offset;
    return -ESPIPE;
}

static void fault_release(EmuFd *file)
{
    EmuFault *fault = file->object;

    fault->event_fd = -1;
    fault->obj.users--;
    viommui_emu_iommufd_unref(fault->obj.ctx);
}

static const EmuFdOps fault_ops = {
    .release = fault_release,
    .ioctl = viommui_emu_fd_no_ioctl,
    .read = fault_read,
    .write = fault_write,
    .pread = fault_pread,
    .pwrite = fault_pwrite,
    .pollable = TRUE,
    .writable = TRUE,
};

int viommui_emu_fault_alloc(EmuUcmd *ucmd)
{
    struct iommu_fault_alloc *cmd = ucmd->cmd;
    EmuFault *fault;
    int fd;

    if (cmd->flags) {
        return -EOPNOTSUPP;
    }
    fault = g_new0(EmuFault, 1);
    fd = viommui_emu_fd_new(ucmd->ctx->emulator, "anon_inode:[iommufd-pgfault]", &fault_ops,
                            fault);
    if (fd < 0) {
        g_free(fault);
        return fd;
    }
    fault->event_fd = fd;
    fault->response = g_hash_table_new(NULL, NULL);
    g_queue_init(&fault->deliver);
    viommui_emu_iommufd_ref(ucmd->ctx);
    viommui_emu_object_publish(ucmd->ctx, &fault->obj, EMU_OBJECT_FAULT);
    fault->obj.users = 1; /* the descriptor */
    cmd->out_fault_id = fault->obj.id;
    cmd->out_fault_fd = (guint32)fd;
    if (viommui_emu_respond(ucmd, sizeof(*cmd)) < 0) {
        viommui_emu_fd_close(viommui_emu_fd_find(ucmd->ctx->emulator, fd));
        viommui_emu_object_destroy(&fault->obj);
        return -EFAULT;
    }
    return 0;
}

void viommui_emu_fault_destroy(EmuObject *object)
{
    EmuFault *fault = (EmuFault *)object;

    respond_to_all(fault, NULL);
    g_hash_table_unref(fault->response);
    g_free(fault);
}
