/* SPDX-License-Identifier: MIT */
/*
 * The seam that makes system calls: the only file of the library that does. And what
 * every backend does about calls that are worth another try.
 *
 * Up the path: the backends. Down the path: the kernel.
 */

#include "seam.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int system_open(void *data, const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    (void)data;
    return fd < 0 ? -errno : fd;
}

static int system_close(void *data, int fd)
{
    (void)data;
    return close(fd) < 0 ? -errno : 0;
}

static int system_ioctl(void *data, int fd, unsigned long request, void *arg)
{
    int ret = ioctl(fd, request, arg);

    (void)data;
    return ret < 0 ? -errno : ret;
}

static ssize_t system_read(void *data, int fd, void *buf, size_t size)
{
    ssize_t n = read(fd, buf, size);

    (void)data;
    return n < 0 ? -errno : n;
}

static ssize_t system_write(void *data, int fd, const void *buf, size_t size)
{
    ssize_t n = write(fd, buf, size);

    (void)data;
    return n < 0 ? -errno : n;
}

static ssize_t system_pread(void *data, int fd, void *buf, size_t size, int64_t offset)
{
    ssize_t n = pread(fd, buf, size, offset);

    (void)data;
    return n < 0 ? -errno : n;
}

static ssize_t system_pwrite(void *data, int fd, const void *buf, size_t size,
                             int64_t offset)
{
    ssize_t n = pwrite(fd, buf, size, offset);

    (void)data;
    return n < 0 ? -errno : n;
}

static int system_poll(void *data, struct pollfd *fds, size_t n_fds, int timeout_ms)
{
    int n = poll(fds, n_fds, timeout_ms);

    (void)data;
    return n < 0 ? -errno : n;
}

static ssize_t system_read_link(void *data, const char *path, char *buf, size_t size)
{
    ssize_t n = readlink(path, buf, size);

    (void)data;
    if (n < 0)
        return -errno;
    if ((size_t)n >= size)
        return -ENAMETOOLONG;
    buf[n] = '\0';
    return n;
}

static int system_list_dir(void *data, const char *path, char ***ret_names)
{
    DIR *dir = opendir(path);
    GPtrArray *names;
    struct dirent *entry;

    (void)data;
    if (!dir)
        return -errno;
    names = g_ptr_array_new();
    while ((entry = readdir(dir)))
        if (g_strcmp0(entry->d_name, ".") && g_strcmp0(entry->d_name, ".."))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    closedir(dir);
    g_ptr_array_add(names, NULL);
    *ret_names = (char **)g_ptr_array_free(names, FALSE);
    return 0;
}

static int system_mmap(void *data, int fd, int64_t offset, size_t size, int writable,
                       void **ret_address)
{
    void *address =
        mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, offset);

    (void)data;
    if (address == MAP_FAILED)
        return -errno;
    *ret_address = address;
    return 0;
}

static int system_munmap(void *data, void *address, size_t size)
{
    (void)data;
    return munmap(address, size) < 0 ? -errno : 0;
}

static const ViommuSeamOps system_ops = {
    .open = system_open,
    .close = system_close,
    .ioctl = system_ioctl,
    .read = system_read,
    .write = system_write,
    .pread = system_pread,
    .pwrite = system_pwrite,
    .poll = system_poll,
    .read_link = system_read_link,
    .list_dir = system_list_dir,
    .mmap = system_mmap,
    .munmap = system_munmap,
};

const ViommuSeam *viommu_seam_system(void)
{
    static const ViommuSeam seam = {&system_ops, NULL};

    return &seam;
}

/* The largest argument of an ioctl that is made here. */
enum { MAX_ARGUMENT = 128 };

static gboolean worth_another_try(int ret, int *tries)
{
    return (ret == -EINTR || ret == -ENOMEM) && ++*tries < 3;
}

int viommui_seam_open(const ViommuSeam *seam, const char *path, int flags)
{
    int ret, tries = 0;

    do
        ret = seam->ops->open(seam->data, path, flags);
    while (worth_another_try(ret, &tries));
    return ret;
}

int viommui_seam_ioctl(const ViommuSeam *seam, int fd, unsigned long request, void *arg,
                       size_t size)
{
    guint8 input[MAX_ARGUMENT];
    int ret, tries = 0;

    memcpy(input, arg, size);
    while (worth_another_try(ret = seam->ops->ioctl(seam->data, fd, request, arg), &tries))
        memcpy(arg, input, size);
    return ret;
}

int viommui_seam_ioctl_number(const ViommuSeam *seam, int fd, unsigned long request,
                              unsigned long number)
{
    int ret, tries = 0;

    do
        ret = seam->ops->ioctl(seam->data, fd, request, GSIZE_TO_POINTER(number));
    while (worth_another_try(ret, &tries));
    return ret;
}

int viommui_seam_write(const ViommuSeam *seam, int fd, const void *message, size_t size)
{
    ssize_t n;
    int tries = 0;

    do
        n = seam->ops->write(seam->data, fd, message, size);
    while (worth_another_try((int)n, &tries));
    return n < 0 ? (int)n : (size_t)n == size ? 0 : -EIO;
}
