/* SPDX-License-Identifier: MIT */
/*
 * DMA that waits for a page: the page request a device sends when its IOMMU says that
 * it may, and what becomes of the access when the answer comes.
 *
 * Invariants: each waiting access has a page request group index of its own, and is
 * answered once. Success makes the device try again, which may lead to another request;
 * any other answer ends the access. What a write carries is kept; a read is finished
 * only where the device itself keeps what it reads.
 *
 * Up: dma.c, EmuIommuOps.page_response. Down: fault-queue.c.
 */
#include "iommufd.h"

/* The index has 9 bits. */
#define N_GROUPS 512

typedef struct {
    guint32 group;
    EmuAccess access;
    guint8 *data; /* what is written, owned; or where to read to; or NULL */
    gsize size;
} Waiting;

static void waiting_free(gpointer data)
{
    Waiting *waiting = data;

    if (waiting->access.write) {
        g_free(waiting->data);
    }
    g_free(waiting);
}

static GList *find(EmuDevice *device, guint32 group)
{
    for (GList *node = device->waiting.head; node; node = node->next) {
        const Waiting *waiting = node->data;

        if (waiting->group == group) {
            return node;
        }
    }
    return NULL;
}

static guint32 take_group(EmuDevice *device)
{
    do {
        device->next_request = (device->next_request + 1) % N_GROUPS;
    } while (find(device, device->next_request));
    return device->next_request;
}

static EmuPageRequest make_request(const Waiting *waiting)
{
    const EmuAccess *access = &waiting->access;
    EmuPageRequest request = {
        .flags = IOMMU_PGFAULT_FLAGS_LAST_PAGE,
        .grpid = waiting->group,
        .perm = access->write ? IOMMU_PGFAULT_PERM_WRITE : IOMMU_PGFAULT_PERM_READ,
        .addr = access->iova & EMU_PAGE_MASK,
    };

    if (access->has_pasid) {
        /* Bit 2, "the response needs a PASID", leaks out of the kernel too. */
        request.flags |= IOMMU_PGFAULT_FLAGS_PASID_VALID | 1U << 2;
        request.pasid = access->pasid;
    }
    if (access->exec) {
        request.perm |= IOMMU_PGFAULT_PERM_EXEC;
    }
    return request;
}

int viommui_emu_dma_wait(EmuDevice *device, const EmuAccess *access, void *data, gsize size,
                         gboolean in_device)
{
    Waiting *waiting;
    EmuPageRequest request;

    if (g_queue_get_length(&device->waiting) == N_GROUPS) {
        return -EFAULT;
    }
    waiting = g_new0(Waiting, 1);
    waiting->access = *access;
    waiting->access.ret_cache = NULL;
    waiting->size = size;
    waiting->group = take_group(device);
    if (access->write) {
        waiting->data = g_memdup2(data, size);
    } else if (in_device) {
        waiting->data = data;
    }
    request = make_request(waiting);
    g_queue_push_tail(&device->waiting, waiting);
    /* The answer may come within: nobody handles it. */
    viommui_emu_report_page_request(device, &request);
    return find(device, request.grpid) ? -EINPROGRESS : -EFAULT;
}

void viommui_emu_dma_answer(EmuDevice *device, const EmuPageRequest *last, guint32 code)
{
    GList *node = find(device, last->grpid);
    Waiting *waiting;

    if (!node) {
        return;
    }
    waiting = node->data;
    g_queue_delete_link(&device->waiting, node);
    if (code == IOMMUFD_PAGE_RESP_SUCCESS) {
        viommui_emu_dma_access(device, &waiting->access, waiting->data, waiting->size,
                               waiting->data != NULL);
    }
    waiting_free(waiting);
}

void viommui_emu_dma_forget(EmuDevice *device)
{
    g_queue_clear_full(&device->waiting, waiting_free);
}
