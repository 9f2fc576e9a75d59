/* SPDX-License-Identifier: MIT */
#ifndef VIOMMU_EMULATOR_EMU_H
#define VIOMMU_EMULATOR_EMU_H

/*
 * What every file of the emulator shares: the machine (IOMMUs, groups, devices), its
 * table of open descriptors, and the few helpers that stand for "the kernel's side of
 * a user pointer".
 *
 * The path of a call: fds.c (seam) -> iommufd.c or vfio-cdev.c (system call rules)
 * -> one file an object -> iommu.h (what an IOMMU driver and its hardware do).
 *
 * Everything below is reached with ViommuEmulator.lock held, but for what fds.c does
 * before it takes it. "last" is inclusive everywhere. IOVA is an input address of a
 * stage 2 or of a whole IOMMU; IPA is what a stage 1 answers.
 */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include <viommu-emulator/emulator.h>
#include <viommu-emulator/inspect.h>
#include <viommu/seam.h>

/* The model's kernel has 4 KiB pages, whatever the build machine has. */
#define EMU_PAGE_SIZE  4096UL
#define EMU_PAGE_MASK  (~(EMU_PAGE_SIZE - 1))
#define EMU_HPAGE_SIZE (2UL << 20)

/* Bits hi..lo of a 64-bit value, in place and shifted down. */
#define EMU_MASK64(hi, lo)     ((~0ULL >> (63 - (hi))) & (~0ULL << (lo)))
#define EMU_BITS64(v, hi, lo)  (((v)&EMU_MASK64(hi, lo)) >> (lo))
#define EMU_ALIGNED(v, amount) (((v) & ((amount)-1)) == 0)

typedef struct EmuFd EmuFd;
typedef struct EmuIommu EmuIommu;
typedef struct EmuGroup EmuGroup;
typedef struct EmuDevice EmuDevice;
typedef struct EmuIommufd EmuIommufd;
typedef struct EmuHwpt EmuHwpt;
typedef struct EmuIdev EmuIdev;
typedef struct EmuViommu EmuViommu;
typedef struct EmuIoas EmuIoas;

/* One armed failure and the counters it is matched against; inspect.c. */
typedef struct {
    GHashTable *by_request; /* ioctl request -> guint64 count */
    guint64 by_kind[VIOMMU_EMULATOR_CALL_WRITE + 1];
    unsigned long fail_call;
    guint64 fail_in; /* matching calls until it hits */
    int fail_errno;  /* 0: nothing armed */
    gboolean fail_repeat;
    gboolean fail_hit;
    ViommuEmulatorCall now; /* the call that has the lock */
    ViommuEmulatorLog log;  /* NULL: nobody listens */
    void *log_data;
} EmuCalls;

struct ViommuEmulator {
    /* Not a GMutex: a thread sanitizer sees through this one. */
    pthread_mutex_t lock;
    ViommuSeam seam;
    GHashTable *fds;     /* descriptor number -> EmuFd, owned */
    GPtrArray *iommus;   /* EmuIommu, owned */
    GPtrArray *groups;   /* EmuGroup, owned; index is not the group's number */
    GPtrArray *devices;  /* EmuDevice, owned; index N is vfioN */
    GPtrArray *contexts; /* EmuIommufd alive, owned by their references */
    int next_group;
    guint tombstones;
    guint64 drop_events;     /* events that never arrive, inspect.c */
    guint64 overflow_events; /* events that find their queue full */
    EmuCalls calls;
};

/* --- fds.c: descriptors and the seam --- */

/*
 * What a kind of descriptor answers. Slots are never NULL: viommui_emu_fd_no_*
 * give the errno of a file without that operation.
 */
typedef struct {
    void (*release)(EmuFd *file);
    int (*ioctl)(EmuFd *file, unsigned long request, void *arg);
    ssize_t (*read)(EmuFd *file, void *buf, size_t size);
    ssize_t (*write)(EmuFd *file, const void *buf, size_t size);
    ssize_t (*pread)(EmuFd *file, void *buf, size_t size, int64_t offset);
    ssize_t (*pwrite)(EmuFd *file, const void *buf, size_t size, int64_t offset);
    /* TRUE: the descriptor itself tells poll(2); FALSE: always ready. */
    gboolean pollable;
    /* POLLOUT is always reported, and only then can it be written without waiting. */
    gboolean writable;
} EmuFdOps;

struct EmuFd {
    ViommuEmulator *emulator;
    int fd; /* a real eventfd, so that the number is ours alone */
    char *path;
    const EmuFdOps *ops;
    void *object; /* the kind's own, dropped by release */
    int64_t position;
};

/* A new descriptor, or a negated errno, with nothing taken over. */
int viommui_emu_fd_new(ViommuEmulator *emulator, const char *path, const EmuFdOps *ops,
                       void *object);
EmuFd *viommui_emu_fd_find(ViommuEmulator *emulator, int fd);
void viommui_emu_fd_close(EmuFd *file);
const ViommuSeamOps *viommui_emu_seam_ops(void);

int viommui_emu_fd_no_ioctl(EmuFd *file, unsigned long request, void *arg);
ssize_t viommui_emu_fd_no_read(EmuFd *file, void *buf, size_t size);
ssize_t viommui_emu_fd_no_write(EmuFd *file, const void *buf, size_t size);
ssize_t viommui_emu_fd_no_pread(EmuFd *file, void *buf, size_t size, int64_t offset);
ssize_t viommui_emu_fd_no_pwrite(EmuFd *file, const void *buf, size_t size, int64_t offset);
/* read(2) by pread at the file position. */
ssize_t viommui_emu_fd_read_on(EmuFd *file, void *buf, size_t size);
/* write(2) likewise. */
ssize_t viommui_emu_fd_write_on(EmuFd *file, const void *buf, size_t size);
/* Make the eventfd of a pollable descriptor readable, or not. */
void viommui_emu_fd_set_readable(int fd, gboolean readable);

/* --- user.c: memory of the caller --- */

int viommui_emu_copy_from_user(void *dst, const void *src, gsize size);
int viommui_emu_copy_to_user(void *dst, const void *src, gsize size);
int viommui_emu_clear_user(void *dst, gsize size);
/* A struct that may be shorter (zero-filled) or longer (-E2BIG unless zeroes). */
int viommui_emu_copy_struct(void *dst, gsize known, const void *src, gsize size);
/* FALSE when part of the range is not memory of this process. */
gboolean viommui_emu_is_mapped(const void *addr, gsize size, gboolean write);
void *viommui_emu_user_ptr(guint64 value);

/* --- inspect.c: counting and failing calls --- */

void viommui_emu_calls_init(EmuCalls *calls);
void viommui_emu_calls_clear(EmuCalls *calls);
/* Count a call; a negated errno when the armed failure hits it. */
int viommui_emu_calls_enter(EmuCalls *calls, unsigned long kind, unsigned long request,
                            int fd);
void viommui_emu_calls_leave(EmuCalls *calls, gint64 result);

/* --- sysfs.c --- */

/* -ENOENT when the path is none of the emulated text files. */
int viommui_emu_sysfs_open(ViommuEmulator *emulator, const char *path);
ssize_t viommui_emu_sysfs_read_link(ViommuEmulator *emulator, const char *path, char *buf,
                                    size_t size);
int viommui_emu_sysfs_list_dir(ViommuEmulator *emulator, const char *path,
                               char ***ret_names);

/* --- iommufd.c and vfio-cdev.c: opening --- */

int viommui_emu_iommufd_open(ViommuEmulator *emulator, const char *path);
int viommui_emu_vfio_open(ViommuEmulator *emulator, const char *path, guint index);

#endif
