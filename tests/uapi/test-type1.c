/* SPDX-License-Identifier: MIT */
/*
 * What a VFIO container maps: type 1 of both versions, addresses taken back and given
 * anew, its info chain, and its dirty pages. How a container is come by is test-vfio.c.
 *
 * The same points on the emulator and, with --device, on the kernel.
 */
#include "legacy.h"

#include "tap.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = LEGACY_PAGE, IOVA = LEGACY_IOVA };
enum { VADDR = VFIO_DMA_MAP_FLAG_VADDR };
enum { UNMAP_ALL = VFIO_DMA_UNMAP_FLAG_ALL, UNMAP_VADDR = VFIO_DMA_UNMAP_FLAG_VADDR };

/* --- map --------------------------------------------------------------------------------
 */

static void test_map_errors(Uapi *u)
{
    struct vfio_iommu_type1_dma_map small = {.argsz = sizeof small - 1, .flags = LEGACY_RW};
    guint8 *va = guest_memory_at(&u->ram, u->spare);
    const struct {
        const char *name;
        guint64 iova;
        const guint8 *va;
        guint64 size;
        guint32 flags;
        int want;
    } maps[] = {
        {"no permission", IOVA, va, PAGE, 0, -EINVAL},
        {"a flag of tomorrow", IOVA, va, PAGE, LEGACY_RW | 8, -EINVAL},
        {"nothing", IOVA, va, 0, LEGACY_RW, -EINVAL},
        {"an unaligned IOVA", IOVA + 1, va, PAGE, LEGACY_RW, -EINVAL},
        {"an unaligned address", IOVA, va + 8, PAGE, LEGACY_RW, -EINVAL},
        {"an unaligned size", IOVA, va, PAGE + 8, LEGACY_RW, -EINVAL},
        {"beyond the last IOVA", ~0ULL - PAGE + 1, va, 2 * PAGE, LEGACY_RW, -EOVERFLOW},
        {"beyond the last address", IOVA, va, ~0ULL - PAGE + 1, LEGACY_RW, -EOVERFLOW},
        {"unaligned, beyond the last IOVA", ~0ULL, va, 2, LEGACY_RW, -EOVERFLOW},
        {"an IOVA that no table has", 1ULL << 60, va, PAGE, LEGACY_RW, -EINVAL},
        {"an address for what is not there", IOVA, va, PAGE, VADDR, -ENOENT},
        {"an address, with permissions", IOVA, va, PAGE, VADDR | LEGACY_RW, -EINVAL},
        {"again", LEGACY_SPARE, va, PAGE, LEGACY_RW, -EEXIST},
        {"over two that are there", LEGACY_FILL, va, 2 * PAGE, LEGACY_RW, -EEXIST},
        {"over the end of one", LEGACY_SPARE, va, 2 * PAGE, LEGACY_RW, -EEXIST},
        {"over the start of one", LEGACY_FILL - PAGE, va, 2 * PAGE, LEGACY_RW, -EEXIST},
        {"no memory", IOVA, NULL, PAGE, LEGACY_RW, -EFAULT},
    };
    Legacy l;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_MAP_DMA, &small), -EINVAL,
           "map: too small");
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_MAP_DMA, NULL), -EFAULT, "map: NULL");
    for (guint i = 0; i < G_N_ELEMENTS(maps); i++)
        tap_is(legacy_map(u, l.container, maps[i].iova, maps[i].va, maps[i].size,
                          maps[i].flags),
               maps[i].want, "map: %s", maps[i].name);
    tap_is(legacy_unmap(u, l.container, 0, 0, UNMAP_ALL), 2 * PAGE,
           "none of them has mapped anything");
    legacy_close(u, &l);
}

/* Memory that is there in part, or not for writing. */
static void test_map_memory(Uapi *u)
{
    guint8 *hole =
        mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Legacy l;

    memset(hole, 1, 4 * PAGE);
    mprotect(hole + PAGE, PAGE, PROT_READ);
    munmap(hole + 3 * PAGE, PAGE);
    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    tap_is(legacy_map(u, l.container, IOVA, hole + PAGE, PAGE, LEGACY_RW), -EFAULT,
           "map: memory that cannot be written");
    tap_is(legacy_map(u, l.container, IOVA, hole + PAGE, PAGE, VFIO_DMA_MAP_FLAG_READ), 0,
           "map: ... for reading");
    tap_is(
        legacy_map(u, l.container, IOVA + 8 * PAGE, hole + 2 * PAGE, 2 * PAGE, LEGACY_RW),
        -EFAULT, "map: memory that ends within");
    tap_is(legacy_unmap(u, l.container, IOVA + 8 * PAGE, 2 * PAGE, 0), 0,
           "... is not mapped in part");
    legacy_close(u, &l);
    munmap(hole, 3 * PAGE);
}

static void test_map_dma(Uapi *u)
{
    guint64 other = guest_memory_alloc(&u->ram);
    Legacy l;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    tap_ok(uapi_stores(u, 0, LEGACY_SPARE, u->spare), "a device writes what is mapped");
    tap_ok(!uapi_stores(u, 0, IOVA, u->spare), "... and nothing else");
    tap_is(legacy_map_page(u, l.container, IOVA, u->spare), 0, "the same page once more");
    tap_ok(uapi_stores(u, 0, IOVA, u->spare), "... is written there too");
    tap_ok(uapi_loads(u, 0, LEGACY_FILL, u->fill, IOVA, u->spare), "... and read");
    tap_is(legacy_unmap(u, l.container, IOVA, PAGE, 0), PAGE, "unmap it");
    tap_ok(!uapi_stores(u, 0, IOVA, u->spare), "... and it cannot be written");
    tap_ok(uapi_stores(u, 0, LEGACY_SPARE, u->spare), "... but there it can");
    tap_is(legacy_map_page(u, l.container, IOVA, other), 0, "another page in its place");
    tap_ok(uapi_stores(u, 0, IOVA, other), "... gets what is written");
    tap_is(legacy_map(u, l.container, IOVA + PAGE, guest_memory_at(&u->ram, u->spare), PAGE,
                      VFIO_DMA_MAP_FLAG_READ),
           0, "a page to be read only");
    tap_ok(!uapi_stores(u, 0, IOVA + PAGE, u->spare), "... is not written");
    tap_is(legacy_map(u, l.container, IOVA + 2 * PAGE, guest_memory_at(&u->ram, u->spare),
                      PAGE, VFIO_DMA_MAP_FLAG_WRITE),
           0, "a page to be written only");
    tap_ok(uapi_stores(u, 0, IOVA + 2 * PAGE, u->spare), "... is written");
    tap_is(legacy_unmap(u, l.container, 0, 0, UNMAP_ALL), 5 * PAGE, "unmap all");
    tap_ok(!uapi_stores(u, 0, LEGACY_SPARE, u->spare), "... and nothing is written");
    legacy_close(u, &l);
}

/* --- unmap ------------------------------------------------------------------------------
 */

static void test_unmap(Uapi *u)
{
    guint8 *va = guest_memory_at(&u->ram, u->spare);
    struct vfio_iommu_type1_dma_unmap cmd = {.argsz = sizeof cmd - 1, .size = 77};
    const struct {
        const char *name;
        guint64 iova;
        guint64 size;
        guint32 flags;
        gint64 want;
    } unmaps[] = {
        {"the start of a mapping", IOVA, PAGE, 0, -EINVAL},
        {"the middle", IOVA + PAGE, PAGE, 0, -EINVAL},
        {"the end", IOVA + 3 * PAGE, PAGE, 0, -EINVAL},
        {"one and a half", LEGACY_SPARE, IOVA + PAGE - LEGACY_SPARE, 0, -EINVAL},
        {"nothing", IOVA, 0, 0, -EINVAL},
        {"an unaligned IOVA", IOVA + 8, 4 * PAGE, 0, -EINVAL},
        {"an unaligned size", IOVA, 4 * PAGE + 8, 0, -EINVAL},
        {"beyond the last IOVA", IOVA, ~0ULL - PAGE + 1, 0, -EOVERFLOW},
        {"a flag of tomorrow", IOVA, 4 * PAGE, 8, -EINVAL},
        {"all of a range", IOVA, 4 * PAGE, UNMAP_ALL, -EINVAL},
        {"all from somewhere", IOVA, 0, UNMAP_ALL, -EINVAL},
        {"all, with dirty pages", 0, 0, UNMAP_ALL | VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
         -EINVAL},
        {"an address, with dirty pages", IOVA, 4 * PAGE,
         UNMAP_VADDR | VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, -EINVAL},
        {"dirty pages, without room to say where", IOVA, 4 * PAGE,
         VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, -EINVAL},
        {"where none is", IOVA + 32 * PAGE, PAGE, 0, 0},
        {"more than one mapping", IOVA - PAGE, 16 * PAGE, 0, 5 * PAGE},
        {"what is gone", IOVA, 4 * PAGE, 0, 0},
    };
    Legacy l;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    legacy_map(u, l.container, IOVA, va, 4 * PAGE, LEGACY_RW);
    legacy_map(u, l.container, IOVA + 8 * PAGE, va, PAGE, LEGACY_RW);
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_UNMAP_DMA, &cmd), -EINVAL,
           "unmap: too small");
    tap_is((gint64)cmd.size, 77, "... says nothing of a size");
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_UNMAP_DMA, NULL), -EFAULT,
           "unmap: NULL");
    for (guint i = 0; i < G_N_ELEMENTS(unmaps); i++)
        tap_is(
            legacy_unmap(u, l.container, unmaps[i].iova, unmaps[i].size, unmaps[i].flags),
            unmaps[i].want, "unmap: %s", unmaps[i].name);
    tap_is(legacy_unmap(u, l.container, 0, 0, UNMAP_ALL), 2 * PAGE, "unmap: all");
    tap_is(legacy_unmap(u, l.container, 0, 0, UNMAP_ALL), 0, "unmap: all that is left");
    legacy_close(u, &l);
}

static void test_version1(Uapi *u)
{
    guint64 pages[3];
    Legacy l;

    for (guint i = 0; i < G_N_ELEMENTS(pages); i++)
        pages[i] = guest_memory_alloc(&u->ram);
    legacy_make(u, &l, VFIO_TYPE1_IOMMU);
    tap_is(legacy_map(u, l.container, IOVA, guest_memory_at(&u->ram, pages[0]), 3 * PAGE,
                      LEGACY_RW),
           0, "version 1: three pages");
    tap_is(legacy_unmap(u, l.container, IOVA + PAGE, PAGE, 0), 0,
           "version 1: unmap the middle: no error");
    tap_ok(uapi_stores(u, 0, IOVA + PAGE, pages[1]), "... but it stays");
    tap_is(legacy_unmap(u, l.container, IOVA + 2 * PAGE, 16 * PAGE, 0), 0,
           "version 1: from the end on");
    tap_ok(uapi_stores(u, 0, IOVA + 2 * PAGE, pages[2]), "... which stays");
    tap_is(legacy_unmap(u, l.container, IOVA, PAGE, 0), 3 * PAGE,
           "version 1: unmap the start");
    tap_ok(!uapi_stores(u, 0, IOVA + 2 * PAGE, pages[2]), "... takes the end, too");
    tap_is(legacy_unmap(u, l.container, IOVA, 0, 0), -EINVAL, "version 1: unmap nothing");
    tap_is(legacy_unmap(u, l.container, 0, 0, UNMAP_ALL), 2 * PAGE, "version 1: all");
    legacy_close(u, &l);
}

/* --- addresses taken back ---------------------------------------------------------------
 */

static void test_vaddr(Uapi *u)
{
    guint8 *va = guest_memory_at(&u->ram, u->spare);
    int group = -1;
    Legacy l;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    tap_is(legacy_map(u, l.container, LEGACY_SPARE, va, PAGE, VADDR), -EINVAL,
           "an address that is in use is not given anew");
    tap_is(legacy_unmap(u, l.container, LEGACY_SPARE, PAGE, UNMAP_VADDR), PAGE,
           "an address is taken back");
    tap_is(legacy_unmap(u, l.container, LEGACY_SPARE, PAGE, UNMAP_VADDR), -EINVAL,
           "... once");
    tap_ok(uapi_stores(u, 0, LEGACY_SPARE, u->spare), "... and DMA goes on");
    tap_is(legacy_unmap(u, l.container, 0, 0, UNMAP_ALL | UNMAP_VADDR), -EINVAL,
           "... nor with all others");
    tap_is(legacy_map(u, l.container, LEGACY_SPARE, va, 2 * PAGE, VADDR), -EINVAL,
           "given for too much");
    tap_is(legacy_map(u, l.container, LEGACY_FILL, va, PAGE, VADDR), -EINVAL,
           "given to another mapping");
    tap_is(legacy_map(u, l.container, IOVA, va, PAGE, VADDR), -ENOENT,
           "given where nothing is");
    if (u->n_devices > 1) {
        group = legacy_open_group(u, 1);
        tap_is(legacy_set_container(u, group, l.container), -EBUSY,
               "until then no group joins");
    }
    tap_is(legacy_map_page(u, l.container, IOVA, u->spare), 0,
           "until then pages are mapped");
    tap_is(legacy_map(u, l.container, LEGACY_SPARE, va, PAGE, VADDR), 0, "given");
    tap_is(legacy_map(u, l.container, LEGACY_SPARE, va, PAGE, VADDR), -EINVAL, "... once");
    if (u->n_devices > 1) {
        tap_is(legacy_set_container(u, group, l.container), 0, "then a group joins");
        uapi_close(u, group);
    }
    tap_is(legacy_unmap(u, l.container, IOVA + 8 * PAGE, PAGE, UNMAP_VADDR), 0,
           "taken back where nothing is");
    tap_is(legacy_unmap(u, l.container, 0, 0, UNMAP_ALL | UNMAP_VADDR), 3 * PAGE,
           "all are taken back");
    tap_is(legacy_unmap(u, l.container, LEGACY_SPARE, PAGE, 0), PAGE,
           "a mapping without an address is unmapped");
    tap_ok(!uapi_stores(u, 0, LEGACY_SPARE, u->spare), "... and is gone");
    tap_is(legacy_unmap(u, l.container, 0, 0, UNMAP_ALL), 2 * PAGE, "... as the others");
    legacy_close(u, &l);
}

/* --- info -------------------------------------------------------------------------------
 */

typedef union {
    struct vfio_iommu_type1_info info;
    guint8 bytes[512];
} Info;

/* The capability of this ID, or NULL; `ids` gets those before it, too. */
static const void *find_cap(const Info *answer, guint id, guint *ids, guint *n)
{
    const struct vfio_info_cap_header *cap;

    *n = 0;
    for (guint32 at = answer->info.cap_offset; at && *n < 8; at = cap->next) {
        cap = (const void *)(answer->bytes + at);
        ids[(*n)++] = cap->id;
        if (cap->id == id)
            return cap;
    }
    return NULL;
}

static gint64 mappings_left(const Info *answer)
{
    guint ids[8], n;
    const struct vfio_iommu_type1_info_dma_avail *cap =
        find_cap(answer, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, ids, &n);

    return cap ? (gint64)cap->avail : -1;
}

static void check_ranges(const Info *answer)
{
    guint ids[8], n;
    const struct vfio_iommu_type1_info_cap_iova_range *cap =
        find_cap(answer, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, ids, &n);

    tap_is(cap->nr_iovas, 2, "IOVAs on either side of the doorbells");
    tap_is((gint64)cap->iova_ranges[0].start, 0, "... from 0");
    tap_ok(cap->iova_ranges[0].end > LEGACY_IOVA, "... past all that is mapped here");
    tap_ok(cap->iova_ranges[1].start > cap->iova_ranges[0].end + 1, "... with a hole");
}

static void test_info(Uapi *u)
{
    Info answer = {.info = {.argsz = 16}};
    struct vfio_iommu_type1_info *info = &answer.info;
    const struct vfio_iommu_type1_info_cap_migration *migration;
    guint ids[8], n = 0;
    guint32 size;
    guint64 in_hole;
    const struct vfio_iommu_type1_info_cap_iova_range *ranges;
    Legacy l;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_GET_INFO, NULL), -EFAULT,
           "info: NULL");
    info->argsz = 15;
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_GET_INFO, info), -EINVAL,
           "info: too small");
    info->argsz = sizeof *info;
    info->cap_offset = 77;
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_GET_INFO, info), 0, "info");
    tap_is(info->flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS, "... has both");
    tap_is((gint64)(info->iova_pgsizes & -info->iova_pgsizes), PAGE,
           "... the smallest page");
    tap_is(info->cap_offset, 0, "... no room for more");
    size = info->argsz;
    tap_ok(size > sizeof *info, "... which there is");
    info->argsz = size - 1;
    info->cap_offset = 77;
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_GET_INFO, info), 0,
           "info: room but for a byte");
    tap_is(info->cap_offset, 0, "... gets none of it");
    tap_is(info->argsz, size, "... but how much there is");
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_GET_INFO, info), 0,
           "info: all of it");
    tap_is(info->cap_offset, sizeof *info, "... right behind");
    find_cap(&answer, 99, ids, &n);
    tap_ok(n == 3 && ids[0] == VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION &&
               ids[1] == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL &&
               ids[2] == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
           "... in the kernel's order");
    tap_is(mappings_left(&answer), 65533, "two mappings are in use");
    migration = find_cap(&answer, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, ids, &n);
    tap_is((gint64)migration->pgsize_bitmap, PAGE, "dirty pages are the smallest ones");
    tap_is((gint64)migration->max_dirty_bitmap_size, 0x10000000,
           "... in so large a bitmap");
    check_ranges(&answer);
    ranges = find_cap(&answer, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, ids, &n);
    in_hole = ranges->iova_ranges[0].end + 1;
    tap_is(legacy_map_page(u, l.container, in_hole, u->spare), -EINVAL,
           "nothing is mapped into the hole");
    tap_is(legacy_map(u, l.container, in_hole - PAGE, guest_memory_at(&u->ram, u->spare),
                      2 * PAGE, LEGACY_RW),
           -EINVAL, "... nor over its edge");
    tap_is(legacy_map_page(u, l.container, in_hole - PAGE, u->spare), 0,
           "... but up to it");
    uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_GET_INFO, info);
    tap_is(mappings_left(&answer), 65532, "... which leaves one mapping less");
    legacy_close(u, &l);
}

static void test_compat_info(Uapi *u)
{
    Info answer = {.info = {.argsz = sizeof answer.info}};
    struct vfio_iommu_type1_info *info = &answer.info;
    int group = legacy_open_group(u, 0);
    guint ids[8], n = 0;
    guint32 size;
    int device;

    u->fd = legacy_open(u, "/dev/iommu");
    tap_is(uapi_cdev_ioctl(u, u->fd, VFIO_IOMMU_GET_INFO, info), -ENODEV,
           "info of an iommufd that has no IOAS");
    legacy_set_container(u, group, u->fd);
    device = legacy_get_device(u, group, u->target.bdfs[0]);
    tap_is(uapi_cdev_ioctl(u, u->fd, VFIO_IOMMU_GET_INFO, info), 0, "info of an iommufd");
    tap_is(info->flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS, "... has both");
    tap_is((gint64)(info->iova_pgsizes & -info->iova_pgsizes), PAGE,
           "... the smallest page");
    tap_is(info->cap_offset, 0, "... no room for more");
    size = info->argsz;
    tap_ok(size > sizeof *info, "... which there is");
    info->argsz = sizeof answer;
    tap_is(uapi_cdev_ioctl(u, u->fd, VFIO_IOMMU_GET_INFO, info), 0, "info with more room");
    tap_is(info->argsz, size, "... than there is");
    tap_is(info->cap_offset, sizeof *info, "... right behind");
    find_cap(&answer, 99, ids, &n);
    tap_ok(n == 2 && ids[0] == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL &&
               ids[1] == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
           "... in an order of its own, without migration");
    tap_is(mappings_left(&answer), G_MAXUINT32, "there is no end of mappings");
    check_ranges(&answer);
    uapi_close(u, device);
    uapi_close(u, group);
}

/* --- dirty pages ------------------------------------------------------------------------
 */

static int dirty(Uapi *u, int fd, guint32 argsz, guint32 flags)
{
    struct vfio_iommu_type1_dirty_bitmap cmd = {.argsz = argsz, .flags = flags};

    return uapi_cdev_ioctl(u, fd, VFIO_IOMMU_DIRTY_PAGES, &cmd);
}

static int dirty_flags(Uapi *u, int fd, guint32 flags)
{
    return dirty(u, fd, sizeof(struct vfio_iommu_type1_dirty_bitmap), flags);
}

/* Into one word, which is told to be of `bytes`. */
static int get_bitmap(Uapi *u, int fd, guint64 iova, guint64 size, guint64 pgsize,
                      guint64 bytes, guint64 *bits)
{
    guint8 cmd[sizeof(struct vfio_iommu_type1_dirty_bitmap) +
               sizeof(struct vfio_iommu_type1_dirty_bitmap_get)];
    const struct vfio_iommu_type1_dirty_bitmap head = {
        .argsz = sizeof cmd, .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP};
    const struct vfio_iommu_type1_dirty_bitmap_get get = {
        .iova = iova,
        .size = size,
        .bitmap = {.pgsize = pgsize, .size = bytes, .data = (__u64 *)(void *)bits},
    };

    memcpy(cmd, &head, sizeof head);
    memcpy(cmd + sizeof head, &get, sizeof get);
    return uapi_cdev_ioctl(u, fd, VFIO_IOMMU_DIRTY_PAGES, cmd);
}

static gint64 unmap_bitmap(Uapi *u, int fd, guint64 iova, guint64 size, guint64 pgsize,
                           guint64 bytes, guint64 *bits)
{
    guint8 cmd[sizeof(struct vfio_iommu_type1_dma_unmap) + sizeof(struct vfio_bitmap)];
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof cmd,
                                               .flags =
                                                   VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
                                               .iova = iova,
                                               .size = size};
    const struct vfio_bitmap bitmap = {
        .pgsize = pgsize, .size = bytes, .data = (__u64 *)(void *)bits};
    int ret;

    memcpy(cmd, &unmap, sizeof unmap);
    memcpy(cmd + sizeof unmap, &bitmap, sizeof bitmap);
    ret = uapi_cdev_ioctl(u, fd, VFIO_IOMMU_UNMAP_DMA, cmd);
    memcpy(&unmap, cmd, sizeof unmap);
    return ret < 0 ? ret : (gint64)unmap.size;
}

enum { START = VFIO_IOMMU_DIRTY_PAGES_FLAG_START, STOP = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP };
enum { GET_BITMAP = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP };

static void test_dirty_errors(Uapi *u)
{
    guint64 bits = 1;
    Legacy l;
    int fd;

    legacy_make(u, &l, VFIO_TYPE1_IOMMU);
    tap_is(dirty_flags(u, l.container, START), -EACCES, "dirty: not in version 1");
    tap_is(uapi_cdev_ioctl(u, l.container, VFIO_IOMMU_DIRTY_PAGES, NULL), -EACCES,
           "dirty: NULL neither");
    legacy_close(u, &l);

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    fd = l.container;
    legacy_map(u, fd, IOVA, guest_memory_at(&u->ram, u->spare), 3 * PAGE, LEGACY_RW);
    tap_is(uapi_cdev_ioctl(u, fd, VFIO_IOMMU_DIRTY_PAGES, NULL), -EFAULT, "dirty: NULL");
    tap_is(dirty(u, fd, 4, START), -EINVAL, "dirty: too small");
    tap_is(dirty_flags(u, fd, 0), -EINVAL, "dirty: neither on nor off");
    tap_is(dirty_flags(u, fd, START | STOP), -EINVAL, "dirty: both");
    tap_is(dirty_flags(u, fd, 8), -EINVAL, "dirty: a flag of tomorrow");
    tap_is(dirty_flags(u, fd, GET_BITMAP), -EINVAL, "bitmap: too small");
    tap_is(get_bitmap(u, fd, IOVA, 4 * PAGE, PAGE, 8, &bits), -EINVAL,
           "bitmap: before tracking");
    tap_is(unmap_bitmap(u, fd, IOVA, 3 * PAGE, PAGE, 8, &bits), -EINVAL,
           "unmap with a bitmap: before tracking");
    tap_is(dirty_flags(u, fd, STOP), 0, "dirty: off when it is off");
    tap_is(dirty_flags(u, fd, START), 0, "dirty: on");
    tap_is(dirty_flags(u, fd, START), 0, "dirty: on again");
    tap_is(get_bitmap(u, fd, IOVA, 0, PAGE, 8, &bits), -EINVAL, "bitmap: of nothing");
    tap_is(get_bitmap(u, fd, IOVA, ~0ULL - PAGE + 1, PAGE, 8, &bits), -EOVERFLOW,
           "bitmap: beyond the last IOVA");
    tap_is(get_bitmap(u, fd, IOVA + 8, 4 * PAGE, PAGE, 8, &bits), -EINVAL,
           "bitmap: from an unaligned IOVA");
    tap_is(get_bitmap(u, fd, IOVA, 4 * PAGE + 8, PAGE, 8, &bits), -EINVAL,
           "bitmap: of an unaligned size");
    tap_is(get_bitmap(u, fd, IOVA, 4 * PAGE, 2 * PAGE, 8, &bits), -EINVAL,
           "bitmap: of larger pages");
    tap_is(get_bitmap(u, fd, IOVA, 4 * PAGE, PAGE, 0, &bits), -EINVAL,
           "bitmap: without a size");
    tap_is(get_bitmap(u, fd, IOVA, 65 * PAGE, PAGE, 8, &bits), -EINVAL,
           "bitmap: for more pages than it holds");
    tap_is(get_bitmap(u, fd, IOVA + PAGE, 4 * PAGE, PAGE, 8, &bits), -EINVAL,
           "bitmap: from within a mapping");
    tap_is(get_bitmap(u, fd, IOVA, 2 * PAGE, PAGE, 8, &bits), -EINVAL,
           "bitmap: to within a mapping");
    tap_is((gint64)bits, 1, "... none of them writes it");
    tap_is(get_bitmap(u, fd, IOVA, 4 * PAGE, PAGE, 8, NULL), -EFAULT, "bitmap: NULL");
    tap_is(unmap_bitmap(u, fd, IOVA, 3 * PAGE, 2 * PAGE, 8, &bits), -EINVAL,
           "unmap with a bitmap: of larger pages");
    tap_is(unmap_bitmap(u, fd, IOVA, 3 * PAGE, 0, 8, &bits), -EINVAL,
           "unmap with a bitmap: of no pages");
    tap_is(unmap_bitmap(u, fd, IOVA, 65 * PAGE, PAGE, 8, &bits), -EINVAL,
           "unmap with a bitmap: for more pages than it holds");
    tap_is(unmap_bitmap(u, fd, IOVA, 2 * PAGE, PAGE, 8, &bits), -EINVAL,
           "unmap with a bitmap: a part of a mapping");
    tap_is(unmap_bitmap(u, fd, IOVA, 3 * PAGE, PAGE, 8, NULL), -EFAULT,
           "unmap with a bitmap: NULL");
    tap_is(legacy_unmap(u, fd, IOVA, 3 * PAGE, 0), 3 * PAGE, "... unmaps nothing");
    legacy_close(u, &l);
}

static void test_dirty(Uapi *u)
{
    guint64 bits = 1;
    Legacy l;
    int fd;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    fd = l.container;
    legacy_map(u, fd, IOVA, guest_memory_at(&u->ram, u->spare), 3 * PAGE, LEGACY_RW);
    tap_is(dirty_flags(u, fd, START), 0, "dirty: on");
    tap_is(get_bitmap(u, fd, IOVA, 16 * PAGE, PAGE, 8, &bits), 0, "bitmap");
    tap_is((gint64)bits, 0x7, "... all that is mapped");
    tap_ok(uapi_stores(u, 0, IOVA, u->spare), "a write");
    bits = ~0ULL;
    tap_is(get_bitmap(u, fd, IOVA, 16 * PAGE, PAGE, 8, &bits), 0, "bitmap");
    tap_is((gint64)bits, 0x7, "... all is dirty once more, written or not");
    bits = 0x50;
    tap_is(get_bitmap(u, fd, IOVA + 16 * PAGE, 64 * PAGE, PAGE, 8, &bits), 0,
           "bitmap where nothing is mapped");
    tap_is((gint64)bits, 0x50, "... is left as it was");
    legacy_map_page(u, fd, IOVA + 6 * PAGE, u->spare);
    bits = 0;
    get_bitmap(u, fd, IOVA, 64 * PAGE, PAGE, 8, &bits);
    tap_is((gint64)bits, 0x47, "a mapping made since is dirty");
    bits = 0;
    tap_is(unmap_bitmap(u, fd, IOVA, 5 * PAGE, PAGE, 8, &bits), 3 * PAGE,
           "unmap with a bitmap");
    tap_is((gint64)bits, 0x7, "... which tells what was dirty");
    tap_ok(!uapi_stores(u, 0, IOVA, u->spare), "... and it is unmapped");
    tap_is(dirty_flags(u, fd, STOP), 0, "dirty: off");
    tap_is(get_bitmap(u, fd, IOVA, 16 * PAGE, PAGE, 8, &bits), -EINVAL, "... no bitmap");
    legacy_close(u, &l);
}

/*
 * What Linux 7.3 answers for a mapping that does not begin at a word of the bitmap: the
 * bits it shifted there stay in the bitmap it keeps, and are shifted again the next time.
 */
static void test_dirty_shifted(Uapi *u)
{
    guint64 bits = 1, words[3] = {0, 1, 0};
    const guint8 *va;
    Legacy l;
    int fd;

    va = guest_memory_at(&u->ram, u->spare);
    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    fd = l.container;
    legacy_map(u, fd, IOVA + 2 * PAGE, va, 3 * PAGE, LEGACY_RW);
    dirty_flags(u, fd, START);
    get_bitmap(u, fd, IOVA, 16 * PAGE, PAGE, 8, &bits);
    tap_is((gint64)bits, 0x1d, "a mapping within a word keeps what was set before it");
    bits = 0;
    get_bitmap(u, fd, IOVA, 16 * PAGE, PAGE, 8, &bits);
    tap_is((gint64)bits, 0x7c, "... and asked again tells of more pages than there are");
    bits = 0;
    get_bitmap(u, fd, IOVA, 16 * PAGE, PAGE, 8, &bits);
    tap_is((gint64)bits, 0x1fc, "... each time");
    bits = 0;
    get_bitmap(u, fd, IOVA + 2 * PAGE, 16 * PAGE, PAGE, 8, &bits);
    tap_is((gint64)bits, 0x1ff, "... also where it begins a word");
    bits = 0;
    tap_is(unmap_bitmap(u, fd, IOVA, 5 * PAGE, PAGE, 8, &bits), 3 * PAGE,
           "unmap with a bitmap");
    tap_is((gint64)bits, 0x7fc, "... tells of no less");
    legacy_map(u, fd, IOVA + 2 * PAGE, va, 3 * PAGE, LEGACY_RW);
    bits = 0x8000;
    get_bitmap(u, fd, IOVA, 16 * PAGE, PAGE, 8, &bits);
    tap_is((gint64)bits, 0x801c,
           "mapped anew it is as new; it keeps what was set behind it");
    dirty_flags(u, fd, STOP);
    dirty_flags(u, fd, START);
    bits = 0;
    get_bitmap(u, fd, IOVA, 16 * PAGE, PAGE, 8, &bits);
    tap_is((gint64)bits, 0x1c, "so it is when tracking begins anew");
    legacy_map(u, fd, IOVA + 70 * PAGE, va, 100 * PAGE, LEGACY_RW);
    for (guint i = 0; i < 2; i++) {
        tap_is(get_bitmap(u, fd, IOVA + 8 * PAGE, 192 * PAGE, PAGE, 24, words), 0,
               "a mapping over three words");
        tap_is((gint64)words[0], (gint64)(3ULL << 62), "... has the end of the first");
        tap_is((gint64)words[1], -1, "... all of the second");
        tap_is((gint64)words[2], i ? -1 : 0x3ffffffffLL, "... and of the third %s",
               i ? "all" : "a part");
    }
    legacy_close(u, &l);
}

int main(int argc, char **argv)
{
    static const LegacyTest tests[] = {
        test_map_errors,   test_map_memory, test_map_dma,       test_unmap,
        test_version1,     test_vaddr,      test_info,          test_compat_info,
        test_dirty_errors, test_dirty,      test_dirty_shifted,
    };

    return legacy_main(argc, argv, tests, G_N_ELEMENTS(tests));
}
