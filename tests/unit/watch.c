/* SPDX-License-Identifier: MIT */
#include "watch.h"

#include <linux/iommufd.h>
#include <linux/vfio.h>

/* After which devices see what they saw before. */
static gboolean only_asks(unsigned long request)
{
    switch (request) {
    case IOMMU_GET_HW_INFO:
    case IOMMU_IOAS_IOVA_RANGES:
    case VFIO_CHECK_EXTENSION:
    case VFIO_GET_API_VERSION:
    case VFIO_GROUP_GET_STATUS:
    case VFIO_IOMMU_GET_INFO:
        return TRUE;
    default:
        return FALSE;
    }
}

static void look(Watch *watch)
{
    if (!watch->check)
        return;
    watch->n_looks++;
    watch->check(watch->user_data);
}

static int watch_ioctl(void *data, int fd, unsigned long request, void *arg)
{
    Watch *watch = data;
    int ret = watch->spy.seam.ops->ioctl(data, fd, request, arg);

    if (watch->called)
        watch->called(fd, request, arg, ret, watch->user_data);
    if (!only_asks(request))
        look(watch);
    return ret;
}

static int watch_close(void *data, int fd)
{
    Watch *watch = data;
    int ret = watch->spy.seam.ops->close(data, fd);

    if (watch->called)
        watch->called(fd, 0, NULL, ret, watch->user_data);
    look(watch);
    return ret;
}

void watch_init(Watch *watch, const ViommuSeam *under)
{
    *watch = (Watch){0};
    spy_init(&watch->spy, under);
    watch->ops = *watch->spy.seam.ops;
    watch->ops.ioctl = watch_ioctl;
    watch->ops.close = watch_close;
    watch->seam = (ViommuSeam){&watch->ops, watch};
}

void watch_clear(Watch *watch)
{
    spy_clear(&watch->spy);
}
