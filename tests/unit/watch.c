/* SPDX-License-Identifier: MIT */
#include "watch.h"

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
