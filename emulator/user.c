/* SPDX-License-Identifier: MIT */
/*
 * Pointers that come from the caller, as a kernel would treat them: what is not memory
 * gives -EFAULT, for which the system is asked about every range. The bytes are then
 * touched in the usual way too, so that a sanitizer sees a buffer that is too short.
 *
 * Up: every ioctl. Down: nothing.
 */
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "emu.h"

void *viommui_emu_user_ptr(guint64 value)
{
    return (void *)(uintptr_t)value;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#endif

#ifdef HAS_SANITIZER
#include <sanitizer/asan_interface.h>

/* The sanitizer's own memory: it is there, and nobody may look at it. */
static gboolean is_sanitizers(uintptr_t start, gsize size)
{
    const uintptr_t top = sizeof(void *) == 8 ? (uintptr_t)1 << 47 : ~(uintptr_t)0;
    size_t scale;
    size_t offset;

    __asan_get_shadow_mapping(&scale, &offset);
    return start < (top >> scale) + offset && start + size > offset;
}
#else
static gboolean is_sanitizers(uintptr_t start, gsize size)
{
    (void)start;
    (void)size;
    return FALSE;
}
#endif

static gboolean is_bad(const void *addr, gsize size)
{
    uintptr_t start = (uintptr_t)addr;

    return start < EMU_PAGE_SIZE || start + size < start || is_sanitizers(start, size);
}

/* Where the system will not tell, what is not obviously wrong is taken for good. */
static gboolean is_refused(ssize_t done, gsize size)
{
    return done < 0 ? errno == EFAULT : (gsize)done != size;
}

int viommui_emu_copy_from_user(void *dst, const void *src, gsize size)
{
    struct iovec local = {.iov_base = dst, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)src, .iov_len = size};

    if (!size) {
        return 0;
    }
    if (is_bad(src, size) ||
        is_refused(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), size)) {
        return -EFAULT;
    }
    memcpy(dst, src, size);
    return 0;
}

int viommui_emu_copy_to_user(void *dst, const void *src, gsize size)
{
    struct iovec local = {.iov_base = (void *)(uintptr_t)src, .iov_len = size};
    struct iovec remote = {.iov_base = dst, .iov_len = size};

    if (!size) {
        return 0;
    }
    if (is_bad(dst, size) ||
        is_refused(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), size)) {
        return -EFAULT;
    }
    memcpy(dst, src, size);
    return 0;
}

int viommui_emu_clear_user(void *dst, gsize size)
{
    static const guint8 zeroes[4096];

    for (gsize done = 0; done < size; done += sizeof(zeroes)) {
        int ret = viommui_emu_copy_to_user((guint8 *)dst + done, zeroes,
                                           MIN(sizeof(zeroes), size - done));

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* -E2BIG at the first byte that is not zero, -EFAULT at the first that is not there. */
static int check_zeroes(const guint8 *src, gsize size)
{
    guint8 chunk[EMU_PAGE_SIZE];

    for (gsize done = 0, part; done < size; done += part) {
        int ret;

        /* Never over a page's end, behind which there may be nothing. */
        part = EMU_PAGE_SIZE - (uintptr_t)(src + done) % EMU_PAGE_SIZE;
        part = MIN(part, size - done);
        ret = viommui_emu_copy_from_user(chunk, src + done, part);
        if (ret < 0) {
            return ret;
        }
        for (gsize i = 0; i < part; i++) {
            if (chunk[i]) {
                return -E2BIG;
            }
        }
    }
    return 0;
}

int viommui_emu_copy_struct(void *dst, gsize known, const void *src, gsize size)
{
    gsize common = MIN(known, size);
    int ret = size > known ? check_zeroes((const guint8 *)src + known, size - known) : 0;

    if (ret == 0) {
        ret = viommui_emu_copy_from_user(dst, src, common);
    }
    if (ret < 0) {
        return ret;
    }
    memset((guint8 *)dst + common, 0, known - common);
    return 0;
}

/*
 * What pinning one page would find: memory of another kind is EINVAL, as is all of this
 * on a system that does not know of it, which then takes any page for good.
 */
static gboolean can_pin(uintptr_t page, gsize size, gboolean write)
{
#ifdef MADV_POPULATE_WRITE
    int advice = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    uintptr_t known = (uintptr_t)&advice & ~(size - 1);

    return madvise((void *)page, size, advice) == 0 ||
           madvise((void *)known, size, advice) < 0;
#else
    (void)page;
    (void)size;
    (void)write;
    return TRUE;
#endif
}

/*
 * There must be memory all along, and its two ends must allow the access: to try every
 * page would be to allocate them all.
 */
gboolean viommui_emu_is_mapped(const void *addr, gsize size, gboolean write)
{
    const gsize page = (gsize)sysconf(_SC_PAGESIZE);
    const gsize step = 16384 * page;
    unsigned char resident[16384];
    uintptr_t at = (uintptr_t)addr & ~(page - 1);
    uintptr_t end;

    if (is_bad(addr, size) || (uintptr_t)addr + size > UINTPTR_MAX - page) {
        return FALSE;
    }
    end = ((uintptr_t)addr + size + page - 1) & ~(page - 1);
    while (at < end) {
        gsize length = MIN(step, end - at);

        if (mincore((void *)at, length, resident) < 0) {
            return FALSE;
        }
        at += length;
    }
    at = (uintptr_t)addr & ~(page - 1);
    return can_pin(at, page, write) && can_pin(end - page, page, write);
}
