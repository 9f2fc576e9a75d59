/* SPDX-License-Identifier: MIT */
#include "spy.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

/* 0, or the errno that this call is to fail with. */
static int check_failure(Spy *spy, unsigned long request)
{
    spy->n_calls++;
    if (spy->fail_pattern && *spy->fail_pattern && spy->fail_request == request)
        return *spy->fail_pattern++ == 'x' ? spy->fail_errno : 0;
    if (!spy->fail_at || (spy->fail_request && spy->fail_request != request))
        return 0;
    if (spy->fail_at > 1) {
        spy->fail_at--;
        return 0;
    }
    spy->hit = TRUE;
    if (--spy->fail_times == 0)
        spy->fail_at = 0;
    return spy->fail_errno;
}

static int spy_open(void *data, const char *path, int flags)
{
    Spy *spy = data;
    int err = check_failure(spy, 0);

    if (spy->hide_sysfs && g_str_has_prefix(path, "/sys/"))
        return -ENOENT;
    return err ? -err : spy->under->ops->open(spy->under->data, path, flags);
}

static int spy_close(void *data, int fd)
{
    Spy *spy = data;

    return spy->under->ops->close(spy->under->data, fd);
}

/* `room`: what the caller has for data; the kernel says in its place what there is. */
static void change_hw_info(Spy *spy, struct iommu_hw_info *info, guint32 room)
{
    struct iommu_hw_info_vtd *vtd = (struct iommu_hw_info_vtd *)(uintptr_t)info->data_uptr;

    info->out_capabilities &= ~spy->hidden_capabilities;
    if (info->out_data_type != IOMMU_HW_INFO_TYPE_INTEL_VTD || !vtd || room < sizeof *vtd)
        return;
    spy->vtd.cap = vtd->cap_reg;
    spy->vtd.ecap = vtd->ecap_reg;
    vtd->cap_reg = (vtd->cap_reg & ~spy->vtd.hidden_cap) | spy->vtd.claimed_cap;
    vtd->ecap_reg = (vtd->ecap_reg & ~spy->vtd.hidden_ecap) | spy->vtd.claimed_ecap;
}

static void change_iova_ranges(Spy *spy,
                               struct vfio_iommu_type1_info_cap_iova_range *capability)
{
    for (guint i = 0; i < capability->nr_iovas; i++) {
        struct vfio_iova_range *range = &capability->iova_ranges[i];

        spy->last_iova = range->end;
        if (spy->claimed_last)
            range->end = MIN(range->end, spy->claimed_last);
    }
}

/* A chain of capabilities, that begins somewhere if there was room for it. */
static void change_type1_info(Spy *spy, struct vfio_iommu_type1_info *info)
{
    guint32 at = info->flags & VFIO_IOMMU_INFO_CAPS ? info->cap_offset : 0;

    while (at) {
        struct vfio_info_cap_header *header = (void *)((guint8 *)info + at);

        if (header->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
            change_iova_ranges(spy, (void *)header);
        at = header->next;
    }
}

static int spy_ioctl(void *data, int fd, unsigned long request, void *arg)
{
    Spy *spy = data;
    guint64 *count = g_hash_table_lookup(spy->counts, GSIZE_TO_POINTER(request));
    guint32 room =
        request == IOMMU_GET_HW_INFO ? ((struct iommu_hw_info *)arg)->data_len : 0;
    int err, ret;

    if (!count) {
        count = g_new0(guint64, 1);
        g_hash_table_insert(spy->counts, GSIZE_TO_POINTER(request), count);
    }
    ++*count;
    err = check_failure(spy, request);
    if (!err && spy->swallow_every && spy->swallow_request == request &&
        ++spy->n_swallowable % spy->swallow_every == 0)
        return 0;
    if (!err)
        err = -spy->under->ops->ioctl(spy->under->data, fd, request, arg);
    if (err <= 0 && request == IOMMU_GET_HW_INFO)
        change_hw_info(spy, arg, room);
    if (err <= 0 && request == VFIO_IOMMU_GET_INFO)
        change_type1_info(spy, arg);
    ret = -err;
    if (spy->answer)
        spy->answer(spy->answer_data, request, arg, &ret);
    return ret;
}

static ssize_t spy_read(void *data, int fd, void *buf, size_t size)
{
    Spy *spy = data;

    return spy->under->ops->read(spy->under->data, fd, buf, size);
}

static ssize_t spy_write(void *data, int fd, const void *buf, size_t size)
{
    Spy *spy = data;

    return spy->under->ops->write(spy->under->data, fd, buf, size);
}

static ssize_t spy_pread(void *data, int fd, void *buf, size_t size, int64_t offset)
{
    Spy *spy = data;

    return spy->under->ops->pread(spy->under->data, fd, buf, size, offset);
}

static ssize_t spy_pwrite(void *data, int fd, const void *buf, size_t size, int64_t offset)
{
    Spy *spy = data;

    return spy->under->ops->pwrite(spy->under->data, fd, buf, size, offset);
}

static int spy_poll(void *data, struct pollfd *fds, size_t n_fds, int timeout_ms)
{
    Spy *spy = data;

    return spy->under->ops->poll(spy->under->data, fds, n_fds, timeout_ms);
}

static ssize_t spy_read_link(void *data, const char *path, char *buf, size_t size)
{
    Spy *spy = data;

    if (spy->hide_sysfs)
        return -ENOENT;
    return spy->under->ops->read_link(spy->under->data, path, buf, size);
}

static int spy_list_dir(void *data, const char *path, char ***ret_names)
{
    Spy *spy = data;

    if (spy->hide_sysfs)
        return -ENOENT;
    return spy->under->ops->list_dir(spy->under->data, path, ret_names);
}

static int spy_mmap(void *data, int fd, int64_t offset, size_t size, int writable,
                    void **ret_address)
{
    Spy *spy = data;
    int ret = -check_failure(spy, 0);

    if (ret == 0)
        ret = spy->under->ops->mmap(spy->under->data, fd, offset, size, writable,
                                    ret_address);
    spy->n_mapped += ret == 0;
    return ret;
}

static int spy_munmap(void *data, void *address, size_t size)
{
    Spy *spy = data;
    int ret = spy->under->ops->munmap(spy->under->data, address, size);

    spy->n_mapped -= ret == 0;
    return ret;
}

static const ViommuSeamOps spy_ops = {
    .open = spy_open,
    .close = spy_close,
    .ioctl = spy_ioctl,
    .read = spy_read,
    .write = spy_write,
    .pread = spy_pread,
    .pwrite = spy_pwrite,
    .poll = spy_poll,
    .read_link = spy_read_link,
    .list_dir = spy_list_dir,
    .mmap = spy_mmap,
    .munmap = spy_munmap,
};

void spy_init(Spy *spy, const ViommuSeam *under)
{
    *spy = (Spy){.seam = {&spy_ops, spy}, .under = under};
    spy->counts = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

void spy_clear(Spy *spy)
{
    g_hash_table_unref(spy->counts);
}

guint64 spy_count(Spy *spy, unsigned long request)
{
    guint64 *count = g_hash_table_lookup(spy->counts, GSIZE_TO_POINTER(request));

    return count ? *count : 0;
}

void spy_reset_counts(Spy *spy)
{
    g_hash_table_remove_all(spy->counts);
    spy->n_calls = 0;
}

void spy_fail(Spy *spy, unsigned long request, guint64 nth, int err, guint times)
{
    spy->fail_request = request;
    spy->fail_at = nth;
    spy->fail_errno = err;
    spy->fail_times = times;
    spy->hit = FALSE;
}

void spy_fail_pattern(Spy *spy, unsigned long request, const char *pattern, int err)
{
    spy->fail_request = request;
    spy->fail_pattern = pattern;
    spy->fail_errno = err;
}

void spy_fail_none(Spy *spy)
{
    spy->fail_pattern = NULL;
    spy->fail_at = 0;
}

void spy_swallow(Spy *spy, unsigned long request, guint64 every)
{
    spy->swallow_request = request;
    spy->swallow_every = every;
    spy->n_swallowable = 0;
}
