/* SPDX-License-Identifier: MIT */
/*
 * The kernel's vEVENTQ: events of a vIOMMU's devices, many to a read, with the lost ones
 * counted.
 *
 * Every event has a header with a sequence number of 31 bits. Numbers left out are events
 * lost; where the lost ones are the newest, a header flagged LOST_EVENTS stands alone for
 * them, and its own number is that of the last one lost.
 */

#include "iommufd.h"

#include <errno.h>
#include <string.h>

enum { EVENTS_PER_READ = 64 };

struct ViommuiEventQueue {
    ViommuiSpace *space;
    guint32 id;
    int fd;
    gsize event_size;
    guint32 next; /* the sequence number to come if none is lost */
    guint8 buffer[];
};

static gsize record_size(const ViommuiEventQueue *queue)
{
    return sizeof(struct iommufd_vevent_header) + queue->event_size;
}

gboolean viommui_iommufd_event_queue_new(ViommuiBackendViommu *viommu, guint depth,
                                         ViommuiEventQueue **ret_queue, int *ret_fd,
                                         GError **error)
{
    const ViommuiIommufdTypes *types = viommu->types;
    struct iommu_veventq_alloc cmd = {
        .size = sizeof cmd,
        .viommu_id = viommu->id,
        .type = types->veventq_type,
        .veventq_depth = depth,
    };
    int ret = -EOPNOTSUPP;
    ViommuiEventQueue *queue;

    if (viommu->id)
        ret = viommui_iommufd_ioctl(viommu->space, IOMMU_VEVENTQ_ALLOC, &cmd, sizeof cmd);
    if (ret < 0) {
        viommui_iommufd_set_error(error, -ret, "the host gives no event queue of depth %u",
                                  depth);
        return FALSE;
    }
    queue =
        g_malloc0(sizeof *queue + EVENTS_PER_READ * (sizeof(struct iommufd_vevent_header) +
                                                     types->event_size));
    queue->space = viommu->space;
    queue->id = cmd.out_veventq_id;
    queue->fd = (int)cmd.out_veventq_fd;
    queue->event_size = types->event_size;
    *ret_queue = queue;
    *ret_fd = queue->fd;
    return TRUE;
}

void viommui_iommufd_event_queue_free(ViommuiEventQueue *queue)
{
    const ViommuSeam *seam = queue->space->seam;

    /* The open descriptor counts as a user of the object. */
    seam->ops->close(seam->data, queue->fd);
    viommui_iommufd_destroy(queue->space, queue->id);
    g_free(queue);
}

/* Events lost between the last number seen and this one. */
static guint64 count_lost(ViommuiEventQueue *queue,
                          const struct iommufd_vevent_header *header)
{
    guint32 lost = (header->sequence - queue->next) & G_MAXINT32;
    gboolean alone = !!(header->flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS);

    queue->next = (header->sequence + 1) & G_MAXINT32;
    return (guint64)lost + alone;
}

/* Sort n_bytes of the buffer into events and losses; -EIO: not what a vEVENTQ gives. */
static int parse(ViommuiEventQueue *queue, gsize n_bytes, guint8 *events,
                 gsize *inout_n_events, guint64 *inout_n_lost)
{
    gsize at = 0;

    while (at < n_bytes) {
        struct iommufd_vevent_header header;

        if (n_bytes - at < sizeof header)
            return -EIO;
        memcpy(&header, queue->buffer + at, sizeof header);
        at += sizeof header;
        *inout_n_lost += count_lost(queue, &header);
        if (header.flags & IOMMU_VEVENTQ_FLAG_LOST_EVENTS)
            continue;
        if (n_bytes - at < queue->event_size)
            return -EIO;
        memcpy(events + *inout_n_events * queue->event_size, queue->buffer + at,
               queue->event_size);
        at += queue->event_size;
        ++*inout_n_events;
    }
    return 0;
}

int viommui_iommufd_read_events(ViommuiEventQueue *queue, void *events, gsize event_size,
                                gsize max_events, gsize *ret_n_events, guint64 *ret_n_lost)
{
    const ViommuSeam *seam = queue->space->seam;

    *ret_n_events = 0;
    *ret_n_lost = 0;
    if (event_size != queue->event_size)
        return -EINVAL;
    while (*ret_n_events < max_events) {
        gsize room = MIN(max_events - *ret_n_events, EVENTS_PER_READ);
        ssize_t n = seam->ops->read(seam->data, queue->fd, queue->buffer,
                                    room * record_size(queue));
        int ret;

        if (n <= 0)
            return (int)n;
        ret = parse(queue, (gsize)n, events, ret_n_events, ret_n_lost);
        if (ret < 0)
            return ret;
    }
    return 0;
}
