/* SPDX-License-Identifier: MIT */
/*
 * Pointers that come from the caller, as a kernel would treat them: NULL and its
 * neighbourhood give -EFAULT. Other wild pointers are the caller's crash, which is
 * what lets a sanitizer name the place.
 *
 * Up: every ioctl. Down: nothing.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "emu.h"

void *viommui_emu_user_ptr(guint64 value)
{
    return (void *)(uintptr_t)value;
}

static gboolean is_bad(const void *addr, gsize size)
{
    uintptr_t start = (uintptr_t)addr;

    return start < EMU_PAGE_SIZE || start + size < start;
}

int viommui_emu_copy_from_user(void *dst, const void *src, gsize size)
{
    if (!size) {
        return 0;
    }
    if (is_bad(src, size)) {
        return -EFAULT;
    }
    memcpy(dst, src, size);
    return 0;
}

int viommui_emu_copy_to_user(void *dst, const void *src, gsize size)
{
    if (!size) {
        return 0;
    }
    if (is_bad(dst, size)) {
        return -EFAULT;
    }
    memcpy(dst, src, size);
    return 0;
}

int viommui_emu_copy_struct(void *dst, gsize known, const void *src, gsize size)
{
    gsize common = MIN(known, size);

    if (size && is_bad(src, size)) {
        return -EFAULT;
    }
    for (gsize i = known; i < size; i++) {
        if (((const guint8 *)src)[i]) {
            return -E2BIG;
        }
    }
    memcpy(dst, src, common);
    memset((guint8 *)dst + common, 0, known - common);
    return 0;
}

gboolean viommui_emu_is_mapped(const void *addr, gsize size)
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
    return TRUE;
}
