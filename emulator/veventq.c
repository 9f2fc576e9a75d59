/* SPDX-License-Identifier: MIT */
/*
 * Event queues of a host vIOMMU, and the descriptor they are read from.
 *
 * Invariants: at most `depth` events wait; an event too many turns into the one
 * lost-events header, which is always the last to be read and is replaced by the next
 * event that fits. Every report takes a sequence number, lost or not. The descriptor
 * (a real eventfd) is readable exactly while something waits.
 *
 * Up: iommufd.c (allocation), the IOMMU hardware (reports), fds.c (reading). Down:
 * nothing.
 */
#include "iommufd.h"

#define MAX_DEPTH (1U << 19)

typedef struct EmuVevent {
    struct iommufd_vevent_header header;
    gsize size;
    guint8 data[];
} EmuVevent;

static gboolean is_lost_header(const EmuVevent *event)
{
    return event->header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS;
}

static void sync_event_fd(EmuVeventq *queue)
{
    viommui_emu_fd_set_readable(queue->event_fd, !g_queue_is_empty(&queue->deliver));
}

static EmuVeventq *find_queue(const EmuViommu *viommu, guint32 type)
{
    for (guint i = 0; i < viommu->veventqs->len; i++) {
        EmuVeventq *queue = g_ptr_array_index(viommu->veventqs, i);

        if (queue->type == type) {
            return queue;
        }
    }
    return NULL;
}

gboolean viommui_emu_viommu_report(EmuViommu *viommu, guint32 type, const void *data,
                                   gsize size)
{
    ViommuEmulator *emulator = viommu->obj.ctx->emulator;
    EmuVeventq *queue = find_queue(viommu, type);
    EmuVevent *event;

    if (!queue) {
        return FALSE;
    }
    if (emulator->drop_events) {
        emulator->drop_events--;
        return TRUE;
    }
    if (queue->n_events == queue->depth || emulator->overflow_events) {
        emulator->overflow_events -= emulator->overflow_events ? 1 : 0;
        event = queue->lost;
    } else {
        event = g_malloc0(sizeof(*event) + size);
        event->size = size;
        memcpy(event->data, data, size);
        queue->n_events++;
    }
    if (g_queue_peek_tail(&queue->deliver) == queue->lost) {
        g_queue_pop_tail(&queue->deliver);
    }
    g_queue_push_tail(&queue->deliver, event);
    event->header.sequence = queue->sequence;
    queue->sequence = (queue->sequence + 1) & G_MAXINT32;
    sync_event_fd(queue);
    return TRUE;
}

/*
 * As many whole events as fit. The lost-events header is only a header and may be
 * the only thing that fits.
 */
static ssize_t queue_read(EmuFd *file, void *buf, size_t size)
{
    EmuVeventq *queue = file->object;
    EmuVevent *event;
    size_t done = 0;
    int ret = 0;

    if (size < sizeof(event->header)) {
        return -EINVAL;
    }
    while ((event = g_queue_peek_head(&queue->deliver))) {
        gsize need = sizeof(event->header) + event->size;

        if (sizeof(event->header) > size - done) {
            break;
        }
        if (need > size - done) {
            ret = -EINVAL;
            break;
        }
        ret = viommui_emu_copy_to_user(buf ? (guint8 *)buf + done : NULL, &event->header,
                                       sizeof(event->header));
        if (ret < 0) {
            break;
        }
        ret = viommui_emu_copy_to_user((guint8 *)buf + done + sizeof(event->header),
                                       event->data, event->size);
        if (ret < 0) {
            break;
        }
        done += need;
        g_queue_pop_head(&queue->deliver);
        if (!is_lost_header(event)) {
            queue->n_events--;
            g_free(event);
        }
    }
    sync_event_fd(queue);
    return done ? (ssize_t)done : ret;
}

static ssize_t queue_pread(EmuFd *file, void *buf, size_t size, int64_t offset)
{
    (void)file;
    (void)buf;
    (void)size;
    (void)offset;
    return -ESPIPE;
}

static void queue_release(EmuFd *file)
{
    EmuVeventq *queue = file->object;

    queue->event_fd = -1;
    queue->obj.users--;
    viommui_emu_iommufd_unref(queue->obj.ctx);
}

static const EmuFdOps queue_ops = {
    .release = queue_release,
    .ioctl = viommui_emu_fd_no_ioctl,
    .read = queue_read,
    .write = viommui_emu_fd_no_write,
    .pread = queue_pread,
    .pwrite = viommui_emu_fd_no_pwrite,
    .pollable = TRUE,
};

int viommui_emu_veventq_alloc(EmuUcmd *ucmd)
{
    struct iommu_veventq_alloc *cmd = ucmd->cmd;
    EmuVeventq *queue;
    EmuViommu *viommu;
    int fd;

    if (cmd->flags || cmd->__reserved || cmd->type == IOMMU_VEVENTQ_TYPE_DEFAULT) {
        return -EOPNOTSUPP;
    }
    if (!cmd->veventq_depth || cmd->veventq_depth > MAX_DEPTH) {
        return -EINVAL;
    }
    viommu =
        (EmuViommu *)viommui_emu_object_get(ucmd->ctx, cmd->viommu_id, EMU_OBJECT_VIOMMU);
    if (!viommu) {
        return -ENOENT;
    }
    if (find_queue(viommu, cmd->type)) {
        return -EEXIST;
    }
    queue = g_new0(EmuVeventq, 1);
    fd = viommui_emu_fd_new(ucmd->ctx->emulator, "anon_inode:[iommufd-viommu-event]",
                            &queue_ops, queue);
    if (fd < 0) {
        g_free(queue);
        return fd;
    }
    queue->event_fd = fd;
    queue->viommu = viommu;
    queue->type = cmd->type;
    queue->depth = cmd->veventq_depth;
    queue->lost = g_new0(EmuVevent, 1);
    queue->lost->header.flags = IOMMU_VEVENTQ_FLAG_LOST_EVENTS;
    g_queue_init(&queue->deliver);
    viommu->obj.users++;
    g_ptr_array_add(viommu->veventqs, queue);
    viommui_emu_iommufd_ref(ucmd->ctx);
    viommui_emu_object_publish(ucmd->ctx, &queue->obj, EMU_OBJECT_VEVENTQ);
    queue->obj.users = 1; /* the descriptor */
    cmd->out_veventq_id = queue->obj.id;
    cmd->out_veventq_fd = (guint32)fd;
    if (viommui_emu_respond(ucmd, sizeof(*cmd)) < 0) {
        viommui_emu_fd_close(viommui_emu_fd_find(ucmd->ctx->emulator, fd));
        viommui_emu_object_destroy(&queue->obj);
        return -EFAULT;
    }
    return 0;
}

void viommui_emu_veventq_destroy(EmuObject *object)
{
    EmuVeventq *queue = (EmuVeventq *)object;
    EmuVevent *event;

    while ((event = g_queue_pop_head(&queue->deliver))) {
        if (!is_lost_header(event)) {
            g_free(event);
        }
    }
    g_free(queue->lost);
    g_ptr_array_remove(queue->viommu->veventqs, queue);
    queue->viommu->obj.users--;
    g_free(queue);
}
