/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_SEAM_H
#define VIOMMU_SEAM_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The system call seam: the only way by which the library reaches the kernel.
 *
 * One implementation makes the system calls (viommu_seam_system()), the emulator
 * library brings another, and a VMM may lay its own over either, to broker calls
 * out of a sandbox or to log them.
 *
 * Every call returns a result >= 0, or a negated errno; errno itself is neither
 * read nor set. File descriptors are whatever open() or an ioctl handed out, and go
 * back to the same seam only. The event descriptors that the library hands to a VMM
 * are always real ones that poll(2) and a GLib main loop understand.
 *
 * Calls may be made from several threads at once when the library is used from
 * several threads at once. A call must not call back into the library.
 */
typedef struct {
    /* open(2), with O_CLOEXEC added. */
    int (*open)(void *data, const char *path, int flags);
    int (*close)(void *data, int fd);
    int (*ioctl)(void *data, int fd, unsigned long request, void *arg);
    ssize_t (*read)(void *data, int fd, void *buf, size_t size);
    ssize_t (*write)(void *data, int fd, const void *buf, size_t size);
    ssize_t (*pread)(void *data, int fd, void *buf, size_t size, int64_t offset);
    ssize_t (*pwrite)(void *data, int fd, const void *buf, size_t size, int64_t offset);
    int (*poll)(void *data, struct pollfd *fds, size_t n_fds, int timeout_ms);
    /* readlink(2) into a terminated string; the length, or -ENAMETOOLONG. */
    ssize_t (*read_link)(void *data, const char *path, char *buf, size_t size);
    /*
     * The names in a directory ("." and ".." left out) in no particular order, as a
     * NULL-terminated array that the caller frees with g_strfreev().
     */
    int (*list_dir)(void *data, const char *path, char ***ret_names);
    /*
     * mmap(2), MAP_SHARED, for reading and where asked for writing, of a descriptor that
     * is the VMM's: guest memory (viommu_host_map_fd()).
     */
    int (*mmap)(void *data, int fd, int64_t offset, size_t size, int writable,
                void **ret_address);
    int (*munmap)(void *data, void *address, size_t size);
} ViommuSeamOps;

/* A seam is its calls and what they work on; whoever made it keeps both alive. */
typedef struct {
    const ViommuSeamOps *ops;
    void *data;
} ViommuSeam;

/* The seam that makes system calls. Static: never freed. */
const ViommuSeam *viommu_seam_system(void);

#ifdef __cplusplus
}
#endif

#endif
