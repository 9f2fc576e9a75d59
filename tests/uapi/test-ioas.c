/* SPDX-License-Identifier: MIT */
/*
 * Mappings of an IOAS, whichever IOMMU shows them: map by address and by file, unmap,
 * copy, usable ranges, options; and the DMA of a device attached to it.
 *
 * The same points on the emulator and, with --device, on the kernel.
 */
#include "uapi.h"

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, HUGE_PAGE = 2 << 20 };
enum {
    FIXED = IOMMU_IOAS_MAP_FIXED_IOVA,
    READ = IOMMU_IOAS_MAP_READABLE,
    WRITE = IOMMU_IOAS_MAP_WRITEABLE
};

/* Memory that starts at a multiple of a huge page. */
static guint8 *aligned(Uapi *u)
{
    return (guint8 *)(((guintptr)u->ram.bytes + HUGE_PAGE - 1) & -(guintptr)HUGE_PAGE);
}

static int map_flags(Uapi *u, guint32 ioas, guint32 flags, guint64 iova)
{
    return uapi_map(u, ioas, flags, u->ram.bytes, PAGE, &iova);
}

static void test_map_errors(Uapi *u)
{
    guint8 *va = u->ram.bytes;
    guint32 ioas = 0;

    uapi_ioas_alloc(u, &ioas);
    tap_is(map_flags(u, ioas, FIXED | READ | 8, 0), -EOPNOTSUPP, "a flag of tomorrow");
    tap_is(map_flags(u, ioas, FIXED, 0), -EINVAL, "neither readable nor writable");
    tap_is(map_flags(u, UAPI_NO_ID, FIXED | READ, 0), -ENOENT, "into nothing");
    tap_is(map_flags(u, UAPI_NO_ID, FIXED, 0), -EINVAL, "... after the flags");
    tap_is(map_flags(u, ioas, FIXED | READ, G_MAXUINT64), -EOVERFLOW, "at the last byte");
    tap_is(uapi_map_at(u, ioas, va, G_MAXUINT64, 0), -EOVERFLOW, "all there is");
    tap_is(uapi_map_at(u, ioas, va, 0, 0), -EINVAL, "nothing");
    tap_is(uapi_map_at(u, ioas, va, 2 * PAGE, -(guint64)PAGE), -EOVERFLOW,
           "across the end");
    tap_is(uapi_map_at(u, ioas, (void *)-(guintptr)PAGE, 2 * PAGE, 0), -EOVERFLOW,
           "memory across the end");
    tap_is(uapi_map_at(u, ioas, va, PAGE, -(guint64)PAGE), 0, "up to the end");
    tap_is(uapi_map_at(u, ioas, va, PAGE, 0), 0, "from the start");
    tap_is(uapi_map_at(u, ioas, va, PAGE, 0), -EEXIST, "what is mapped");
    tap_is(uapi_map_at(u, ioas, va, 2, PAGE - 1), -EEXIST, "... by one byte");
    tap_is(uapi_map_at(u, ioas, va + 1, 5, PAGE + 1), 0, "bytes, while no hardware looks");
}

static void test_unmap(Uapi *u)
{
    guint8 *va = u->ram.bytes;
    guint64 length = PAGE;
    guint32 ioas = 0;

    uapi_ioas_alloc(u, &ioas);
    tap_is(uapi_unmap_at(u, ioas, 0, PAGE), -ENOENT, "unmap what is not mapped");
    tap_is(uapi_unmap_at(u, UAPI_NO_ID, 0, PAGE), -ENOENT, "... from nothing");
    tap_is(uapi_unmap_at(u, ioas, 0, 0), -EINVAL, "unmap nothing");
    tap_is(uapi_unmap_at(u, ioas, G_MAXUINT64, 1), -EOVERFLOW, "unmap the last byte");
    tap_is(uapi_unmap_at(u, ioas, PAGE, G_MAXUINT64), -EOVERFLOW, "unmap too much");
    tap_is(uapi_unmap_at(u, ioas, G_MAXUINT64 - 1, 5), -EOVERFLOW, "unmap across the end");
    length = G_MAXUINT64;
    tap_is(uapi_unmap(u, ioas, 0, &length), 0, "unmap all of nothing");
    tap_is(length, 0, "... was nothing");
    uapi_map_at(u, ioas, va, 4 * PAGE, 4 * PAGE);
    uapi_map_at(u, ioas, va, 2 * PAGE, 16 * PAGE);
    tap_is(uapi_unmap_at(u, ioas, 4 * PAGE, PAGE), -ENOENT, "unmap the head of a mapping");
    tap_is(uapi_unmap_at(u, ioas, 6 * PAGE, 2 * PAGE), -ENOENT, "... its tail");
    tap_is(uapi_unmap_at(u, ioas, 5 * PAGE, PAGE), -ENOENT, "... its middle");
    length = 20 * PAGE;
    tap_is(uapi_unmap(u, ioas, 0, &length), 0, "unmap two and the holes around");
    tap_is(length, 6 * PAGE, "... counts what was mapped");
    uapi_map_at(u, ioas, va, PAGE, 0);
    uapi_map_at(u, ioas, va, 2 * PAGE, PAGE);
    tap_is(uapi_unmap_at(u, ioas, 0, 2 * PAGE), -ENOENT, "unmap one and a half");
    tap_is(uapi_unmap_at(u, ioas, 0, PAGE), -ENOENT, "... the one is gone");
    length = PAGE + 1;
    tap_is(uapi_unmap(u, ioas, PAGE, &length), -ENOENT, "... the other is there");
    length = G_MAXUINT64;
    tap_is(uapi_unmap(u, ioas, 0, &length), 0, "unmap all");
    tap_is(length, 2 * PAGE, "... was that one");
}

static void test_choose_iova(Uapi *u)
{
    guint8 *va = aligned(u);
    guint64 iova = 0xdead000;
    guint32 ioas = 0;

    uapi_ioas_alloc(u, &ioas);
    tap_is(uapi_map(u, ioas, READ, va, PAGE, &iova), 0, "have an IOVA chosen");
    tap_is(iova, PAGE, "... page 0 is left out");
    tap_is(uapi_map(u, ioas, READ, va, 2 * PAGE, &iova), 0, "have two pages placed");
    tap_is(iova, 2 * PAGE, "... at a multiple of their size");
    tap_is(uapi_map(u, ioas, READ, va, 3 * PAGE, &iova), 0, "have three pages placed");
    tap_is(iova, 4 * PAGE, "... at a multiple of four");
    tap_is(uapi_map(u, ioas, READ, va, 2 * PAGE, &iova), 0, "have two more placed");
    tap_is(iova, 8 * PAGE, "... where they fit");
    tap_is(uapi_map(u, ioas, READ, va + PAGE, PAGE, &iova), 0, "have one page placed");
    tap_is(iova, 7 * PAGE, "... in the hole");
    tap_is(uapi_map(u, ioas, READ, va, 2 * HUGE_PAGE, &iova), 0, "have huge pages placed");
    tap_is(iova, HUGE_PAGE, "... aligned to one of them");
    tap_is(uapi_map(u, ioas, READ, va + 0x123, PAGE, &iova), 0, "have memory off a page");
    tap_is(iova & (PAGE - 1), 0x123, "... placed off a page");
}

static void test_allow(Uapi *u)
{
    struct iommu_iova_range two[] = {{0x10000, 0x1ffff}, {0x40000, 0x4ffff}};
    struct iommu_iova_range overlap[] = {{0x10000, 0x1ffff}, {0x1ffff, 0x2ffff}};
    struct iommu_iova_range inverted = {0x2000, 0x1000};
    struct iommu_iova_range huge = {0x1000, G_MAXUINT64};
    guint64 iova = 0;
    guint32 ioas = 0, id = 0;

    uapi_ioas_alloc(u, &ioas);
    tap_is(uapi_allow(u, UAPI_NO_ID, two, 2), -ENOENT, "allow in nothing");
    tap_is(uapi_allow(u, ioas, overlap, 2), -EINVAL, "allow ranges that overlap");
    tap_is(uapi_allow(u, ioas, &inverted, 1), -EINVAL, "allow a range that ends first");
    tap_is(uapi_allow(u, ioas, NULL, 1), -EFAULT, "allow ranges at NULL");
    tap_is(uapi_allow(u, ioas, two, 2), 0, "allow two ranges");
    tap_is(uapi_map(u, ioas, READ, aligned(u), 0x10000, &iova), 0, "have an IOVA chosen");
    tap_is(iova, 0x10000, "... in the first");
    tap_is(uapi_map(u, ioas, READ, aligned(u), PAGE, &iova), 0, "... another");
    tap_is(iova, 0x40000, "... in the second");
    tap_is(uapi_map(u, ioas, READ, aligned(u), 0x10000, &iova), -ENOSPC, "... and no more");
    tap_is(uapi_map_at(u, ioas, aligned(u), PAGE, 0), 0, "a fixed IOVA may lie outside");
    tap_is(uapi_allow(u, ioas, &huge, 1), 0, "allow more than an IOMMU has");
    tap_is(uapi_paging(u, 0, ioas, 0, &id), -EADDRINUSE, "... and an HWPT is refused");
    tap_is(uapi_attach_to(u, 0, ioas), -EADDRINUSE, "... an attach, too");
    tap_is(uapi_allow(u, ioas, NULL, 0), 0, "allow everything again");
    tap_is(uapi_attach_to(u, 0, ioas), 0, "... and it attaches");
    tap_is(uapi_allow(u, ioas, &huge, 1), -EADDRINUSE, "allow what is reserved");
    uapi_detach(u, 0);
}

static void test_ranges(Uapi *u)
{
    struct iommu_iova_range ranges[16];
    guint64 alignment = 0, hole;
    guint32 n = 16, room, ioas = 0, second = 0;

    uapi_ioas_alloc(u, &ioas);
    tap_is(uapi_ranges(u, ioas, ranges, &n, &alignment), 0, "ranges of an empty IOAS");
    tap_ok(n == 1 && ranges[0].start == 0 && ranges[0].last == G_MAXUINT64, "... are all");
    tap_is(alignment, 1, "... to the byte");
    n = 0;
    tap_is(uapi_ranges(u, ioas, NULL, &n, &alignment), -EMSGSIZE, "no room for ranges");
    tap_is(n, 1, "... tells how many there are");
    n = 1;
    tap_is(uapi_ranges(u, ioas, NULL, &n, &alignment), -EFAULT, "room at NULL");
    uapi_map_at(u, ioas, u->ram.bytes, PAGE, 0x10000);
    uapi_attach_to(u, 0, ioas);
    n = 16;
    tap_is(uapi_ranges(u, ioas, ranges, &n, &alignment), 0, "ranges of one with a device");
    tap_ok(n >= 2 && ranges[0].start == 0 && ranges[n - 1].last != G_MAXUINT64,
           "... end early, and have holes");
    tap_is(alignment, PAGE, "... to the page");
    room = 1;
    ranges[1].start = 7;
    tap_is(uapi_ranges(u, ioas, ranges, &room, &alignment), -EMSGSIZE, "room for one");
    tap_is(room, n, "... tells how many there are");
    tap_is(ranges[1].start, 7, "... and writes no more than fit");
    hole = ranges[0].last + 1;
    tap_is(uapi_map_at(u, ioas, u->ram.bytes, PAGE, hole), -EINVAL, "map in the hole");
    tap_is(uapi_map_at(u, ioas, u->ram.bytes, 2 * PAGE, hole - PAGE), -EINVAL,
           "map into the hole");
    tap_is(uapi_map_at(u, ioas, u->ram.bytes, PAGE, 0x20001), -EINVAL, "map off a page");
    tap_is(uapi_map_at(u, ioas, u->ram.bytes, PAGE + 1, 0x20000), -EINVAL,
           "map a page and a byte");
    tap_is(uapi_map_at(u, ioas, u->ram.bytes + 1, PAGE, 0x20000), -EINVAL,
           "map memory off a page");
    uapi_ioas_alloc(u, &second);
    uapi_map_at(u, second, u->ram.bytes, PAGE, hole);
    tap_is(uapi_attach_to(u, 0, second), -EADDRINUSE, "attach where the hole is in use");
    tap_is(uapi_destroy(u, ioas), -EBUSY, "... leaves what was");
    uapi_detach(u, 0);
    n = 16;
    uapi_ranges(u, ioas, ranges, &n, &alignment);
    tap_is(n, 1, "detached, the ranges are whole again");
    tap_is(alignment, 1, "... to the byte");
}

static void test_late_hwpt(Uapi *u)
{
    void *hole = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    guint32 ioas = 0, id = 0;

    uapi_ioas_alloc(u, &ioas);
    uapi_map_at(u, ioas, u->ram.bytes + 1, 5, 0x10001);
    tap_is(uapi_paging(u, 0, ioas, 0, &id), -EADDRINUSE, "an HWPT over bytes");
    uapi_unmap_at(u, ioas, 0x10001, 5);
    munmap(hole, PAGE);
    tap_is(uapi_map_at(u, ioas, hole, PAGE, 0), 0, "memory that is not, while none looks");
    tap_is(uapi_paging(u, 0, ioas, 0, &id), -EFAULT, "... an HWPT does");
    tap_is(uapi_unmap_at(u, ioas, 0, PAGE), 0, "... it can be unmapped");
    tap_is(uapi_paging(u, 0, ioas, 0, &id), 0, "... and then it works");
    tap_is(uapi_map_at(u, ioas, hole, PAGE, 0), -EFAULT, "memory that is not");
    tap_is(uapi_map_at(u, ioas, u->ram.bytes, PAGE, 0), 0, "... left nothing behind");
}

static void test_map_file(Uapi *u)
{
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    guint8 *bytes;
    guint64 iova = 0x100000;
    guint32 ioas = 0;

    if (ftruncate(fd, 4 * PAGE) < 0)
        tap_note("no memory for a file");
    bytes = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uapi_ioas_alloc(u, &ioas);
    tap_is(uapi_map_file(u, ioas, UAPI_FIXED_RW, 999, 0, PAGE, &iova), -EBADF,
           "map no file");
    tap_is(uapi_map_file(u, ioas, FIXED, fd, 0, PAGE, &iova), -EINVAL,
           "map a file neither readable nor writable");
    tap_is(uapi_map_file(u, ioas, FIXED | READ | 8, fd, 0, PAGE, &iova), -EOPNOTSUPP,
           "map a file with a flag of tomorrow");
    tap_is(uapi_map_file(u, ioas, UAPI_FIXED_RW, fd, 0, 0, &iova), -EINVAL,
           "map nothing of a file");
    tap_is(uapi_map_file(u, ioas, UAPI_FIXED_RW, fd, 0, G_MAXUINT64, &iova), -EOVERFLOW,
           "map too much of a file");
    tap_is(uapi_map_file(u, ioas, UAPI_FIXED_RW, fd, -(guint64)PAGE, 2 * PAGE, &iova),
           -EOVERFLOW, "map a file across the end of offsets");
    uapi_map_at(u, ioas, u->ram.bytes, UAPI_RAM_SIZE, UAPI_RAM_BASE);
    tap_is(uapi_attach_to(u, 0, ioas), 0, "attach");
    tap_is(uapi_map_file(u, ioas, UAPI_FIXED_RW, fd, 3 * PAGE, 2 * PAGE, &iova), -EINVAL,
           "map beyond the end of the file");
    tap_is(uapi_map_file(u, ioas, UAPI_FIXED_RW, fd, 1, PAGE, &iova), -EINVAL,
           "map a file off a page");
    tap_is(uapi_map_file(u, ioas, UAPI_FIXED_RW, fd, PAGE, 2 * PAGE, &iova), 0,
           "map two pages of a file");
    tap_is(uapi_map_file(u, ioas, UAPI_FIXED_RW, fd, 0, PAGE, &iova), -EEXIST, "... once");
    uapi_prime(u, 0, u->fill);
    close(fd);
    uapi_store(u, 0, iova + PAGE);
    tap_ok(bytes[2 * PAGE] == UAPI_FILL && bytes[PAGE] == 0, "DMA writes the file");
    uapi_detach(u, 0);
    tap_is(uapi_unmap_at(u, ioas, iova, 2 * PAGE), 0, "unmap it");
    munmap(bytes, 4 * PAGE);
}

static void test_copy_errors(Uapi *u)
{
    guint32 src = u->ioas, dst = 0;
    guint64 iova = 0x200000;

    uapi_ioas_alloc(u, &dst);
    tap_is(uapi_copy(u, dst, src, FIXED | READ | 8, UAPI_RAM_BASE, PAGE, &iova),
           -EOPNOTSUPP, "copy with a flag of tomorrow");
    tap_is(uapi_copy(u, dst, src, FIXED, UAPI_RAM_BASE, PAGE, &iova), -EINVAL,
           "copy neither readable nor writable");
    tap_is(uapi_copy(u, dst, src, FIXED | READ, G_MAXUINT64, PAGE, &iova), -EOVERFLOW,
           "copy from the last byte");
    tap_is(uapi_copy(u, dst, src, FIXED | READ, UAPI_RAM_BASE, G_MAXUINT64, &iova),
           -EOVERFLOW, "copy too much");
    tap_is(uapi_copy(u, dst, src, FIXED | READ, UAPI_RAM_BASE, 0, &iova), -EINVAL,
           "copy nothing");
    tap_is(uapi_copy(u, dst, UAPI_NO_ID, FIXED | READ, UAPI_RAM_BASE, PAGE, &iova), -ENOENT,
           "copy from no IOAS");
    tap_is(uapi_copy(u, UAPI_NO_ID, src, FIXED | READ, UAPI_RAM_BASE, PAGE, &iova), -ENOENT,
           "copy to no IOAS");
    tap_is(uapi_copy(u, dst, src, FIXED | READ, 0, PAGE, &iova), -ENOENT,
           "copy what is not mapped");
    tap_is(uapi_copy(u, dst, src, FIXED | READ, UAPI_RAM_BASE - PAGE, 2 * PAGE, &iova),
           -ENOENT, "... at its start");
    tap_is(uapi_copy(u, dst, src, FIXED | READ, UAPI_RAM_BASE + UAPI_RAM_SIZE - PAGE,
                     2 * PAGE, &iova),
           -ENOENT, "... at its end");
    tap_is(uapi_copy(u, dst, src, FIXED | READ, UAPI_RAM_BASE, PAGE, &iova), 0,
           "copy a page of a mapping");
    tap_is(uapi_copy(u, dst, src, FIXED | READ, UAPI_RAM_BASE, PAGE, &iova), -EEXIST,
           "... once");
    iova = UAPI_RAM_BASE - PAGE;
    tap_is(uapi_copy(u, src, src, FIXED | READ, UAPI_RAM_BASE, PAGE, &iova), 0,
           "copy within an IOAS");
    iova = UAPI_RAM_BASE - PAGE;
    tap_is(uapi_copy(u, dst, src, READ, UAPI_RAM_BASE - PAGE, 2 * PAGE, &iova), 0,
           "copy two mappings that touch, placed by the kernel");
    tap_ok(iova >= PAGE && iova < 0x200000, "... somewhere low");
    tap_is(uapi_unmap_at(u, dst, iova, PAGE), 0, "... they are two mappings there");
}

/* The copy outlives what it was copied from. */
static void test_copy(Uapi *u)
{
    guint64 iova = UAPI_RAM_BASE, page = 0x10000, length = G_MAXUINT64;
    guint32 dst = 0;

    uapi_ioas_alloc(u, &dst);
    tap_is(uapi_copy(u, dst, u->ioas, UAPI_FIXED_RW, UAPI_RAM_BASE, UAPI_RAM_SIZE, &iova),
           0, "copy all of the memory");
    tap_is(uapi_copy(u, dst, u->ioas, FIXED | READ, u->spare, PAGE, &page), 0,
           "... and a page read-only, elsewhere");
    tap_is(uapi_attach_to(u, 0, dst), 0, "attach to the copy");
    tap_is(uapi_unmap(u, u->ioas, 0, &length), 0, "unmap what was copied");
    tap_is(uapi_destroy(u, u->ioas), 0, "... and destroy the IOAS");
    uapi_prime(u, 0, u->fill);
    tap_ok(uapi_stores(u, 0, u->spare, u->spare), "DMA goes on in the copy");
    tap_ok(!uapi_stores(u, 0, page, u->spare), "... not to what is read-only there");
    guest_memory_fill(&u->ram, u->spare, 0x31, PAGE);
    tap_ok(uapi_loads(u, 0, page, u->spare, u->fill, u->fill), "... which can be read");
    uapi_detach(u, 0);
}

static void test_dma(Uapi *u)
{
    guint64 at = 0x30000, write_only = 0x40000;
    guint32 other = 0;

    tap_is(uapi_attach_to(u, 0, u->ioas), 0, "attach");
    uapi_prime(u, 0, u->fill);
    tap_ok(uapi_stores(u, 0, u->spare, u->spare), "DMA writes what is mapped");
    tap_ok(!uapi_stores(u, 0, at, u->spare), "... and nothing else");
    tap_is(uapi_map_at(u, u->ioas, guest_memory_at(&u->ram, u->spare), PAGE, at), 0,
           "map while attached");
    tap_ok(uapi_stores(u, 0, at, u->spare), "... shows at once");
    tap_is(uapi_unmap_at(u, u->ioas, at, PAGE), 0, "unmap while attached");
    tap_ok(!uapi_stores(u, 0, at, u->spare), "... shows at once");
    tap_is(uapi_map(u, u->ioas, FIXED | WRITE, guest_memory_at(&u->ram, u->spare), PAGE,
                    &write_only),
           0, "map write-only");
    tap_ok(uapi_stores(u, 0, write_only, u->spare), "... can be written");
    tap_is(uapi_detach(u, 0), 0, "detach");
    tap_ok(!uapi_stores(u, 0, u->spare, u->spare), "... stops DMA");
    uapi_ioas_alloc(u, &other);
    uapi_map_at(u, other, guest_memory_at(&u->ram, u->fill), PAGE, u->spare);
    tap_is(uapi_attach_to(u, 0, u->ioas), 0, "attach again");
    tap_is(uapi_attach_to(u, 0, other), 0, "replace by another IOAS");
    tap_ok(!uapi_stores(u, 0, u->spare, u->spare), "... DMA leaves the first");
    guest_memory_fill(&u->ram, u->fill, 0, PAGE);
    tap_ok(uapi_stores(u, 0, u->spare, u->fill), "... for the other");
    uapi_detach(u, 0);
}

static void test_options(Uapi *u)
{
    guint64 value = 7;
    guint32 ioas = 0, hwpt = 0;

    uapi_ioas_alloc(u, &ioas);
    tap_is(uapi_option(u, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, ioas, &value), 0,
           "whether huge pages are made");
    tap_is(value, 1, "... they are");
    tap_is(uapi_option(u, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, UAPI_NO_ID, &value),
           -ENOENT, "... in nothing");
    tap_is(uapi_option(u, IOMMU_OPTION_HUGE_PAGES, 2, ioas, &value), -EOPNOTSUPP,
           "... neither set nor got");
    value = 2;
    tap_is(uapi_option(u, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, ioas, &value),
           -EINVAL, "... to 2");
    value = 0;
    tap_is(uapi_option(u, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, ioas, &value), 0,
           "... no more");
    value = 7;
    uapi_option(u, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET, ioas, &value);
    tap_is(value, 0, "... holds");
    uapi_paging(u, 0, u->ioas, 0, &hwpt);
    value = 0;
    tap_is(uapi_option(u, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, u->ioas, &value),
           -EINVAL, "... not once hardware has pages");
    value = 1;
    tap_is(uapi_option(u, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_SET, u->ioas, &value), 0,
           "... but on, always");
}

static void test_change_process(Uapi *u)
{
    struct iommu_ioas_change_process cmd = {.size = sizeof cmd};
    int fd = memfd_create("mapped", MFD_CLOEXEC);
    guint64 length = G_MAXUINT64, iova = 0;

    tap_is(uapi_ioctl(u, IOMMU_IOAS_CHANGE_PROCESS, &cmd), -EINVAL,
           "another process cannot have memory by address");
    uapi_unmap(u, u->ioas, 0, &length);
    tap_is(uapi_ioctl(u, IOMMU_IOAS_CHANGE_PROCESS, &cmd), 0, "... nothing it can");
    if (ftruncate(fd, PAGE) == 0)
        uapi_map_file(u, u->ioas, UAPI_FIXED_RW, fd, 0, PAGE, &iova);
    tap_is(uapi_ioctl(u, IOMMU_IOAS_CHANGE_PROCESS, &cmd), 0, "... and a file");
    close(fd);
}

int main(int argc, char **argv)
{
    static const UapiTest tests[] = {
        test_map_errors, test_unmap,     test_choose_iova, test_allow,
        test_ranges,     test_late_hwpt, test_map_file,    test_copy_errors,
        test_copy,       test_dma,       test_options,     test_change_process,
    };

    return uapi_main(argc, argv, IOMMU_HW_INFO_TYPE_NONE, tests, G_N_ELEMENTS(tests));
}
