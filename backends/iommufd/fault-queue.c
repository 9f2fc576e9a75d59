/* SPDX-License-Identifier: MIT */
/*
 * The kernel's fault queue: page requests of devices that are attached to the HWPTs made
 * with it, and the answers to them.
 *
 * The kernel hands out whole groups of requests only, each with a cookie by which to answer
 * it; as many as there is room for, and none when the first is too large. What is not read
 * keeps the descriptor readable.
 */

#include "iommufd.h"

#include <errno.h>

struct ViommuiFaultQueue {
    ViommuiSpace *space;
    guint32 id;
    int fd;
};

gboolean viommui_iommufd_fault_queue_new(ViommuiBackendViommu *viommu,
                                         ViommuiFaultQueue **ret_queue, int *ret_fd,
                                         GError **error)
{
    struct iommu_fault_alloc cmd = {.size = sizeof cmd};
    int ret =
        viommui_iommufd_ioctl(viommu->space, IOMMU_FAULT_QUEUE_ALLOC, &cmd, sizeof cmd);
    ViommuiFaultQueue *queue;

    if (ret < 0) {
        viommui_iommufd_set_error(error, -ret, "the host gives no queue of page requests");
        return FALSE;
    }
    queue = g_new0(ViommuiFaultQueue, 1);
    queue->space = viommu->space;
    queue->id = cmd.out_fault_id;
    queue->fd = (int)cmd.out_fault_fd;
    *ret_queue = queue;
    *ret_fd = queue->fd;
    return TRUE;
}

void viommui_iommufd_fault_queue_free(ViommuiFaultQueue *queue)
{
    const ViommuSeam *seam = queue->space->seam;

    /* The open descriptor counts as a user of the object. */
    seam->ops->close(seam->data, queue->fd);
    viommui_iommufd_destroy(queue->space, queue->id);
    g_free(queue);
}

guint32 viommui_iommufd_fault_queue_get_id(const ViommuiFaultQueue *queue)
{
    return queue->id;
}

static ViommuiPageRequest convert(const struct iommu_hwpt_pgfault *fault)
{
    return (ViommuiPageRequest){
        .devid = fault->dev_id,
        .has_pasid = !!(fault->flags & IOMMU_PGFAULT_FLAGS_PASID_VALID),
        .pasid = fault->pasid,
        .group = fault->grpid,
        .last = !!(fault->flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE),
        .read = !!(fault->perm & IOMMU_PGFAULT_PERM_READ),
        .write = !!(fault->perm & IOMMU_PGFAULT_PERM_WRITE),
        .execute = !!(fault->perm & IOMMU_PGFAULT_PERM_EXEC),
        .privileged = !!(fault->perm & IOMMU_PGFAULT_PERM_PRIV),
        .address = fault->addr,
        .cookie = fault->cookie,
    };
}

int viommui_iommufd_read_page_requests(ViommuiFaultQueue *queue,
                                       ViommuiPageRequest *requests, gsize max,
                                       gsize *ret_n)
{
    const ViommuSeam *seam = queue->space->seam;
    const gsize step = sizeof(struct iommu_hwpt_pgfault);
    g_autofree struct iommu_hwpt_pgfault *faults = g_new(struct iommu_hwpt_pgfault, max);

    *ret_n = 0;
    while (*ret_n < max) {
        ssize_t n =
            seam->ops->read(seam->data, queue->fd, faults, (max - *ret_n) * step);

        if (n == -EINVAL)
            return *ret_n ? 0 : -ENOBUFS;
        if (n <= 0)
            return (int)n;
        for (gsize i = 0; i < (gsize)n / step; i++)
            requests[(*ret_n)++] = convert(&faults[i]);
    }
    return 0;
}

int viommui_iommufd_respond(ViommuiFaultQueue *queue, guint32 cookie, gboolean success)
{
    const struct iommu_hwpt_page_response response = {
        .cookie = cookie,
        .code = success ? IOMMUFD_PAGE_RESP_SUCCESS : IOMMUFD_PAGE_RESP_INVALID,
    };

    return viommui_seam_write(queue->space->seam, queue->fd, &response, sizeof response);
}
