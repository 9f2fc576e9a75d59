/* SPDX-License-Identifier: MIT */
/*
 * The table of open descriptors, and the seam: every call enters and leaves here.
 *
 * Each emulated descriptor is a real eventfd, so its number belongs to us while it is
 * open; for an event queue it is also what poll(2) looks at. A number in the table
 * whose eventfd was closed behind our back is released when it turns up again.
 *
 * A seam call takes the lock, is counted (and perhaps failed) by inspect.c, and is
 * handed to its descriptor's EmuFdOps. Only poll() drops the lock to sleep.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vfio.h"

int viommui_emu_fd_no_ioctl(EmuFd *file, unsigned long request, void *arg)
{
    (void)file;
    (void)request;
    (void)arg;
    return -ENOTTY;
}

ssize_t viommui_emu_fd_no_read(EmuFd *file, void *buf, size_t size)
{
    (void)file;
    (void)buf;
    (void)size;
    return -EINVAL;
}

ssize_t viommui_emu_fd_no_write(EmuFd *file, const void *buf, size_t size)
{
    (void)file;
    (void)buf;
    (void)size;
    return -EINVAL;
}

ssize_t viommui_emu_fd_no_pread(EmuFd *file, void *buf, size_t size, int64_t offset)
{
    (void)file;
    (void)buf;
    (void)size;
    (void)offset;
    return -EINVAL;
}

ssize_t viommui_emu_fd_no_pwrite(EmuFd *file, const void *buf, size_t size, int64_t offset)
{
    (void)file;
    (void)buf;
    (void)size;
    (void)offset;
    return -EINVAL;
}

ssize_t viommui_emu_fd_read_on(EmuFd *file, void *buf, size_t size)
{
    ssize_t ret = file->ops->pread(file, buf, size, file->position);

    if (ret > 0) {
        file->position += ret;
    }
    return ret;
}

ssize_t viommui_emu_fd_write_on(EmuFd *file, const void *buf, size_t size)
{
    ssize_t ret = file->ops->pwrite(file, buf, size, file->position);

    if (ret > 0) {
        file->position += ret;
    }
    return ret;
}

void viommui_emu_fd_set_readable(int fd, gboolean readable)
{
    guint64 value;
    ssize_t ret;

    if (fd < 0) {
        return;
    }
    /* To zero in any case, so that no number of events can fill the counter. */
    ret = read(fd, &value, sizeof(value));
    if (readable) {
        value = 1;
        ret = write(fd, &value, sizeof(value));
    }
    (void)ret;
}

EmuFd *viommui_emu_fd_find(ViommuEmulator *emulator, int fd)
{
    return g_hash_table_lookup(emulator->fds, GINT_TO_POINTER(fd));
}

/* Everything but closing the descriptor itself. */
static void fd_release(EmuFd *file)
{
    g_hash_table_remove(file->emulator->fds, GINT_TO_POINTER(file->fd));
    file->ops->release(file);
    g_free(file->path);
    g_free(file);
}

void viommui_emu_fd_close(EmuFd *file)
{
    int fd = file->fd;

    fd_release(file);
    close(fd);
}

int viommui_emu_fd_new(ViommuEmulator *emulator, const char *path, const EmuFdOps *ops,
                       void *object)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    EmuFd *file;

    if (fd < 0) {
        return -errno;
    }
    file = viommui_emu_fd_find(emulator, fd);
    if (file) {
        fd_release(file);
    }
    file = g_new0(EmuFd, 1);
    file->emulator = emulator;
    file->fd = fd;
    file->path = g_strdup(path);
    file->ops = ops;
    file->object = object;
    g_hash_table_insert(emulator->fds, GINT_TO_POINTER(fd), file);
    return fd;
}

/* A path that is `prefix` and a number in plain decimal; -1 when it is not that. */
static gint64 numbered(const char *path, const char *prefix)
{
    const char *digits = path + strlen(prefix);

    if (!g_str_has_prefix(path, prefix) || !g_ascii_isdigit(digits[0]) ||
        strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 6 ||
        (digits[0] == '0' && digits[1])) {
        return -1;
    }
    return g_ascii_strtoll(digits, NULL, 10);
}

static int open_path(ViommuEmulator *emulator, const char *path)
{
    gint64 index = numbered(path, "/dev/vfio/devices/vfio");
    gint64 group = numbered(path, "/dev/vfio/");

    if (g_str_equal(path, "/dev/iommu")) {
        return viommui_emu_iommufd_open(emulator, path);
    }
    if (g_str_equal(path, "/dev/vfio/vfio")) {
        return viommui_emu_container_open(emulator, path);
    }
    if (group >= 0) {
        return viommui_emu_vfio_group_open(emulator, path, (int)group);
    }
    if (index >= 0 && index < emulator->devices->len) {
        return viommui_emu_vfio_open(emulator, path, (guint)index);
    }
    return viommui_emu_sysfs_open(emulator, path);
}

/* Lock, count, and find out whether this call is to fail: then unlocked again. */
static int enter(ViommuEmulator *emulator, unsigned long kind, unsigned long request,
                 int fd)
{
    int ret;

    pthread_mutex_lock(&emulator->lock);
    ret = viommui_emu_calls_enter(&emulator->calls, kind, request, fd);
    if (ret < 0) {
        viommui_emu_calls_leave(&emulator->calls, ret);
        pthread_mutex_unlock(&emulator->lock);
    }
    return ret;
}

static ssize_t leave(ViommuEmulator *emulator, ssize_t ret)
{
    viommui_emu_calls_leave(&emulator->calls, ret);
    pthread_mutex_unlock(&emulator->lock);
    return ret;
}

static int seam_open(void *data, const char *path, int flags)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_OPEN, 0, -1);

    (void)flags;
    if (ret < 0) {
        return ret;
    }
    return (int)leave(emulator, path ? open_path(emulator, path) : -EFAULT);
}

static int seam_close(void *data, int fd)
{
    ViommuEmulator *emulator = data;
    EmuFd *file;

    enter(emulator, VIOMMU_EMULATOR_CALL_CLOSE, 0, fd);
    file = viommui_emu_fd_find(emulator, fd);
    if (file) {
        viommui_emu_fd_close(file);
    }
    return (int)leave(emulator, file ? 0 : -EBADF);
}

static int seam_ioctl(void *data, int fd, unsigned long request, void *arg)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_IOCTL, request, fd);
    EmuFd *file;

    if (ret < 0) {
        return ret;
    }
    file = viommui_emu_fd_find(emulator, fd);
    return (int)leave(emulator, file ? file->ops->ioctl(file, request, arg) : -EBADF);
}

static ssize_t seam_read(void *data, int fd, void *buf, size_t size)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_READ, 0, fd);
    EmuFd *file;

    if (ret < 0) {
        return ret;
    }
    file = viommui_emu_fd_find(emulator, fd);
    return leave(emulator, file ? file->ops->read(file, buf, size) : -EBADF);
}

static ssize_t seam_write(void *data, int fd, const void *buf, size_t size)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_WRITE, 0, fd);
    EmuFd *file;

    if (ret < 0) {
        return ret;
    }
    file = viommui_emu_fd_find(emulator, fd);
    return leave(emulator, file ? file->ops->write(file, buf, size) : -EBADF);
}

static ssize_t seam_pread(void *data, int fd, void *buf, size_t size, int64_t offset)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_ANY, 0, fd);
    EmuFd *file;

    if (ret < 0) {
        return ret;
    }
    file = viommui_emu_fd_find(emulator, fd);
    if (file && offset < 0) {
        return leave(emulator, -EINVAL);
    }
    return leave(emulator, file ? file->ops->pread(file, buf, size, offset) : -EBADF);
}

static ssize_t seam_pwrite(void *data, int fd, const void *buf, size_t size, int64_t offset)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_ANY, 0, fd);
    EmuFd *file;

    if (ret < 0) {
        return ret;
    }
    file = viommui_emu_fd_find(emulator, fd);
    if (file && offset < 0) {
        return leave(emulator, -EINVAL);
    }
    return leave(emulator, file ? file->ops->pwrite(file, buf, size, offset) : -EBADF);
}

/*
 * A descriptor that does not say itself whether it is ready always is, as a character
 * device without a poll operation; one that is not ours is invalid.
 */
static int poll_at_once(ViommuEmulator *emulator, struct pollfd *fds, size_t n_fds)
{
    int n_ready = 0;

    for (size_t i = 0; i < n_fds; i++) {
        EmuFd *file = fds[i].fd < 0 ? NULL : viommui_emu_fd_find(emulator, fds[i].fd);

        fds[i].revents = 0;
        if (fds[i].fd < 0 || (file && file->ops->pollable && !file->ops->writable)) {
            continue;
        }
        fds[i].revents = !file                 ? POLLNVAL
                         : file->ops->pollable ? fds[i].events & POLLOUT
                                               : fds[i].events & (POLLIN | POLLOUT);
        n_ready += fds[i].revents != 0;
    }
    return n_ready;
}

static int seam_poll(void *data, struct pollfd *fds, size_t n_fds, int timeout_ms)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_ANY, 0, -1);
    struct pollfd *real;
    int n_ready;

    if (ret < 0) {
        return ret;
    }
    if (n_fds > 65536 || (n_fds && !fds)) {
        return (int)leave(emulator, fds ? -EINVAL : -EFAULT);
    }
    n_ready = poll_at_once(emulator, fds, n_fds);
    real = g_new0(struct pollfd, n_fds + 1);
    for (size_t i = 0; i < n_fds; i++) {
        EmuFd *file = fds[i].fd < 0 ? NULL : viommui_emu_fd_find(emulator, fds[i].fd);

        real[i].fd = file && file->ops->pollable ? fds[i].fd : -1;
        real[i].events = fds[i].events & POLLIN;
    }
    pthread_mutex_unlock(&emulator->lock);

    ret = poll(real, n_fds, n_ready ? 0 : timeout_ms);
    ret = ret < 0 ? -errno : 0;
    for (size_t i = 0; i < n_fds; i++) {
        fds[i].revents |= real[i].revents;
        ret += ret >= 0 && fds[i].revents;
    }
    g_free(real);
    return ret;
}

static ssize_t seam_read_link(void *data, const char *path, char *buf, size_t size)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_ANY, 0, -1);

    if (ret < 0) {
        return ret;
    }
    if (!path || !buf) {
        return leave(emulator, -EFAULT);
    }
    return leave(emulator, viommui_emu_sysfs_read_link(emulator, path, buf, size));
}

static int seam_list_dir(void *data, const char *path, char ***ret_names)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_ANY, 0, -1);

    if (ret < 0) {
        return ret;
    }
    if (!path || !ret_names) {
        return (int)leave(emulator, -EFAULT);
    }
    return (int)leave(emulator, viommui_emu_sysfs_list_dir(emulator, path, ret_names));
}

static int map_real(int fd, int64_t offset, size_t size, int writable, void **ret_address)
{
    void *address =
        mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, offset);

    if (address == MAP_FAILED) {
        return -errno;
    }
    *ret_address = address;
    return 0;
}

/* Of the caller's own memory files: nothing that is emulated can be mapped. */
static int seam_mmap(void *data, int fd, int64_t offset, size_t size, int writable,
                     void **ret_address)
{
    ViommuEmulator *emulator = data;
    int ret = enter(emulator, VIOMMU_EMULATOR_CALL_ANY, 0, fd);

    if (ret < 0) {
        return ret;
    }
    if (viommui_emu_fd_find(emulator, fd)) {
        return (int)leave(emulator, -ENODEV);
    }
    return (int)leave(emulator, ret_address
                                    ? map_real(fd, offset, size, writable, ret_address)
                                    : -EFAULT);
}

/* Nothing of the emulator's: neither counted nor failed. */
static int seam_munmap(void *data, void *address, size_t size)
{
    (void)data;
    return munmap(address, size) < 0 ? -errno : 0;
}

static const ViommuSeamOps seam_ops = {
    .open = seam_open,
    .close = seam_close,
    .ioctl = seam_ioctl,
    .read = seam_read,
    .write = seam_write,
    .pread = seam_pread,
    .pwrite = seam_pwrite,
    .poll = seam_poll,
    .read_link = seam_read_link,
    .list_dir = seam_list_dir,
    .mmap = seam_mmap,
    .munmap = seam_munmap,
};

const ViommuSeamOps *viommui_emu_seam_ops(void)
{
    return &seam_ops;
}
