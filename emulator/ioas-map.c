/* SPDX-License-Identifier: MIT */
/*
 * Mappings of an IOAS: made, removed, and looked up for every access of a device.
 *
 * Invariants: areas are sorted and disjoint; an area is removed whole or not at all.
 * Areas of several IOASs may share pages, which is what a copy makes. A range that a
 * paging HWPT shows must be memory of this process, or of a memory file, when it is
 * first shown; the caller keeps it so until it is unmapped (a kernel would pin it).
 *
 * Up: iommufd.c (ioctls), dma.c and smmuv3-walk.c (look-ups). Down: nothing.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iommufd.h"

#define MAP_FLAGS \
    (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)

static EmuPages *pages_new(guint64 start, guint64 length, gboolean writable)
{
    EmuPages *pages = g_new0(EmuPages, 1);

    pages->refs = 1;
    pages->writable = writable;
    pages->file = -1;
    pages->start = start & EMU_PAGE_MASK;
    pages->size = length + (start - pages->start);
    return pages;
}

static void pages_unref(EmuPages *pages)
{
    if (--pages->refs) {
        return;
    }
    if (pages->file >= 0) {
        if (pages->base) {
            munmap(pages->base, pages->size);
        }
        close(pages->file);
    }
    g_free(pages);
}

/* Only memory files can be pinned, and only as far as they reach. */
static int map_file_pages(EmuPages *pages)
{
    int prot = PROT_READ | (pages->writable ? PROT_WRITE : 0);
    struct stat info;
    void *map;

    if (pages->base) {
        return 0;
    }
    if (fstat(pages->file, &info) < 0 || fcntl(pages->file, F_GET_SEALS) < 0 ||
        info.st_size < 0 || pages->start > (guint64)info.st_size ||
        pages->size > (guint64)info.st_size - pages->start) {
        return -EINVAL;
    }
    map = mmap(NULL, pages->size, prot, MAP_SHARED, pages->file, (off_t)pages->start);
    if (map == MAP_FAILED) {
        return -EFAULT;
    }
    pages->base = map;
    return 0;
}

int viommui_emu_area_fill(EmuArea *area)
{
    const guint64 length = area->last - area->first + 1;
    /* No pointer until it is known to be one. */
    const guint64 start = (guint64)(uintptr_t)area->pages->base + area->start_byte;

    if (area->pages->file >= 0) {
        return map_file_pages(area->pages);
    }
    return viommui_emu_is_mapped(viommui_emu_user_ptr(start), length, area->pages->writable)
               ? 0
               : -EFAULT;
}

void viommui_emu_area_free(EmuArea *area)
{
    pages_unref(area->pages);
    g_free(area);
}

static EmuArea *area_new(EmuPages *pages, guint64 start_byte, guint64 length)
{
    EmuArea *area = g_new0(EmuArea, 1);

    pages->refs++;
    area->pages = pages;
    area->start_byte = start_byte;
    area->last = length - 1; /* from 0, until it has a place */
    return area;
}

/* The index of the first area that ends at or after `first`. */
static guint area_index(const EmuIoas *ioas, guint64 first)
{
    guint low = 0;
    guint high = ioas->areas->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const EmuArea *area = g_ptr_array_index(ioas->areas, middle);

        if (area->last < first) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

EmuArea *viommui_emu_ioas_area(const EmuIoas *ioas, guint64 first, guint64 last)
{
    guint index = area_index(ioas, first);
    EmuArea *area = index < ioas->areas->len ? g_ptr_array_index(ioas->areas, index) : NULL;

    return area && area->first <= last ? area : NULL;
}

void *viommui_emu_ioas_host(const EmuIoas *ioas, guint64 iova, gsize size, gboolean write)
{
    guint64 last = iova + (size - 1);
    EmuArea *area = last >= iova ? viommui_emu_ioas_area(ioas, iova, iova) : NULL;

    if (!area || last > area->last || !(write ? area->writable : area->readable) ||
        !area->pages->base) {
        return NULL;
    }
    return area->pages->base + area->start_byte + (iova - area->first);
}

/*
 * The lowest hole in first..end that takes `length` bytes at the alignment. Used ranges
 * are visited in order: the next one at or after a point is the nearer of the next area
 * and the next reservation.
 */
static int find_hole(const EmuIoas *ioas, guint64 first, guint64 end, guint64 alignment,
                     guint64 page_offset, guint64 length, guint64 *ret_iova)
{
    guint64 start = first;

    for (;;) {
        guint64 at = ((start + alignment - 1) & ~(alignment - 1)) | page_offset;
        const EmuReserved *reserved;
        const EmuArea *area;

        if (at < start || at >= end || end - at < length - 1) {
            return -ENOSPC;
        }
        reserved = viommui_emu_ioas_reserved(ioas, at, at + length - 1);
        area = viommui_emu_ioas_area(ioas, at, at + length - 1);
        if (!reserved && !area) {
            *ret_iova = at;
            return 0;
        }
        start = reserved ? reserved->last : area->last;
        if (start >= end) {
            return -ENOSPC;
        }
        start++;
    }
}

/* Within what is allowed, if anything is said about it; neighbours count as one. */
static int find_allowed_hole(const EmuIoas *ioas, guint64 alignment, guint64 page_offset,
                             guint64 length, guint64 *ret_iova)
{
    const guint64 last = G_MAXUINT64 - EMU_PAGE_SIZE;
    const struct iommu_iova_range *ranges = (const void *)ioas->allowed->data;

    if (!ioas->allowed->len) {
        return find_hole(ioas, EMU_PAGE_SIZE, last, alignment, page_offset, length,
                         ret_iova);
    }
    for (guint i = 0; i < ioas->allowed->len; i++) {
        guint64 from = MAX(ranges[i].start, EMU_PAGE_SIZE);
        guint64 to;

        while (i + 1 < ioas->allowed->len && ranges[i + 1].start == ranges[i].last + 1) {
            i++;
        }
        to = MIN(ranges[i].last, last);
        if (from <= to &&
            find_hole(ioas, from, to, alignment, page_offset, length, ret_iova) == 0) {
            return 0;
        }
    }
    return -ENOSPC;
}

static int choose_iova(const EmuIoas *ioas, guint64 addr, guint64 length, guint64 *ret_iova)
{
    guint64 alignment = 1;

    if (length >= G_MAXULONG / 2) {
        return -EOVERFLOW;
    }
    while (alignment < length) {
        alignment <<= 1;
    }
    if (addr) {
        alignment = MIN(alignment, addr & -addr);
    }
    alignment = MIN(alignment, EMU_HPAGE_SIZE);
    if (alignment < ioas->alignment) {
        return -EINVAL;
    }
    return find_allowed_hole(ioas, alignment, addr % EMU_PAGE_SIZE, length, ret_iova);
}

static int check_iova(const EmuIoas *ioas, guint64 iova, guint64 length)
{
    guint64 last = iova + (length - 1);

    if (!EMU_ALIGNED(iova, ioas->alignment)) {
        return -EINVAL;
    }
    if (last < iova) {
        return -EOVERFLOW;
    }
    if (viommui_emu_ioas_reserved(ioas, iova, last)) {
        return -EINVAL;
    }
    return viommui_emu_ioas_area(ioas, iova, last) ? -EEXIST : 0;
}

static void insert_area(EmuIoas *ioas, EmuArea *area)
{
    g_ptr_array_insert(ioas->areas, (gint)area_index(ioas, area->first), area);
}

static int check_areas(const EmuIoas *ioas, const GPtrArray *areas, gboolean write)
{
    for (guint i = 0; i < areas->len; i++) {
        const EmuArea *area = g_ptr_array_index(areas, i);

        if (write && !area->pages->writable) {
            return -EPERM;
        }
        if (!EMU_ALIGNED(area->start_byte % EMU_PAGE_SIZE, ioas->alignment)) {
            return -EINVAL;
        }
    }
    for (guint i = 0; ioas->hwpts->len && i < areas->len; i++) {
        int ret = viommui_emu_area_fill(g_ptr_array_index(areas, i));

        if (ret < 0) {
            return ret;
        }
    }
    return !write && viommui_emu_ioas_forces_writable(ioas) ? -EINVAL : 0;
}

/*
 * Find a place for new areas, one after the other, and put them in; with a failure
 * they stay the caller's.
 */
static int place_areas(EmuIoas *ioas, GPtrArray *areas, guint64 length, guint32 flags,
                       guint64 *iova)
{
    const EmuArea *first = g_ptr_array_index(areas, 0);
    guint64 at;
    int ret;

    if (!EMU_ALIGNED(length, ioas->alignment) || !length) {
        return -EINVAL;
    }
    ret = flags & IOMMU_IOAS_MAP_FIXED_IOVA
              ? check_iova(ioas, *iova, length)
              : choose_iova(ioas, first->pages->start + first->start_byte, length, iova);
    if (ret == 0) {
        ret = check_areas(ioas, areas, !!(flags & IOMMU_IOAS_MAP_WRITEABLE));
    }
    if (ret < 0) {
        return ret;
    }
    at = *iova;
    for (guint i = 0; i < areas->len; i++) {
        EmuArea *area = g_ptr_array_index(areas, i);

        area->first = at;
        area->last += at;
        area->readable = !!(flags & IOMMU_IOAS_MAP_READABLE);
        area->writable = !!(flags & IOMMU_IOAS_MAP_WRITEABLE);
        insert_area(ioas, area);
        at = area->last + 1;
    }
    g_ptr_array_set_free_func(areas, NULL);
    return 0;
}

static void free_area(gpointer data)
{
    viommui_emu_area_free(data);
}

static GPtrArray *areas_new(void)
{
    return g_ptr_array_new_with_free_func(free_area);
}

/* Map pages whole; the caller's reference goes. */
static int map_pages(EmuIoas *ioas, EmuPages *pages, guint64 start, guint64 length,
                     guint32 flags, guint64 *iova)
{
    GPtrArray *areas = areas_new();
    int ret;

    g_ptr_array_add(areas, area_new(pages, start - pages->start, length));
    pages_unref(pages);
    ret = place_areas(ioas, areas, length, flags, iova);
    g_ptr_array_unref(areas);
    return ret;
}

static int map_user(EmuIoas *ioas, guint64 user, guint64 length, guint32 flags,
                    guint64 *iova)
{
    EmuPages *pages;

    if (user + length < user) {
        return -EOVERFLOW;
    }
    if (!length || length > G_MAXSIZE - EMU_PAGE_SIZE) {
        return -EINVAL;
    }
    pages = pages_new(user, length, !!(flags & IOMMU_IOAS_MAP_WRITEABLE));
    pages->base = viommui_emu_user_ptr(pages->start);
    return map_pages(ioas, pages, user, length, flags, iova);
}

int viommui_emu_ioas_map_user(EmuIoas *ioas, guint64 iova, guint64 user, guint64 length,
                              gboolean read, gboolean write)
{
    guint32 flags = IOMMU_IOAS_MAP_FIXED_IOVA | (read ? IOMMU_IOAS_MAP_READABLE : 0) |
                    (write ? IOMMU_IOAS_MAP_WRITEABLE : 0);

    return map_user(ioas, user, length, flags, &iova);
}

/* The checks that all ways of mapping share, in the kernel's order. */
static int check_map(guint32 flags, guint32 reserved, guint64 iova, guint64 length)
{
    if ((flags & ~(guint32)MAP_FLAGS) || reserved) {
        return -EOPNOTSUPP;
    }
    if (iova == G_MAXUINT64 || length == G_MAXUINT64) {
        return -EOVERFLOW;
    }
    return flags & (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE) ? 0 : -EINVAL;
}

static EmuIoas *get_ioas(EmuUcmd *ucmd, guint32 id)
{
    return (EmuIoas *)viommui_emu_object_get(ucmd->ctx, id, EMU_OBJECT_IOAS);
}

int viommui_emu_ioas_map(EmuUcmd *ucmd)
{
    struct iommu_ioas_map *cmd = ucmd->cmd;
    EmuIoas *ioas = get_ioas(ucmd, cmd->ioas_id);
    guint64 iova = cmd->iova;
    int ret = check_map(cmd->flags, cmd->__reserved, cmd->iova, cmd->length);

    if (ret < 0) {
        return ret;
    }
    if (!ioas) {
        return -ENOENT;
    }
    ret = map_user(ioas, cmd->user_va, cmd->length, cmd->flags, &iova);
    if (ret < 0) {
        return ret;
    }
    cmd->iova = iova;
    return viommui_emu_respond(ucmd, sizeof(*cmd));
}

int viommui_emu_ioas_map_file(EmuUcmd *ucmd)
{
    struct iommu_ioas_map_file *cmd = ucmd->cmd;
    EmuIoas *ioas = get_ioas(ucmd, cmd->ioas_id);
    guint64 iova = cmd->iova;
    EmuPages *pages;
    int file;
    int ret = check_map(cmd->flags, 0, cmd->iova, cmd->length);

    if (ret < 0) {
        return ret;
    }
    if (!ioas) {
        return -ENOENT;
    }
    if (!cmd->length) {
        return -EINVAL;
    }
    if (cmd->start + (cmd->length - 1) < cmd->start) {
        return -EOVERFLOW;
    }
    file = fcntl(cmd->fd, F_DUPFD_CLOEXEC, 0);
    if (file < 0) {
        return -EBADF;
    }
    if (cmd->length > G_MAXSIZE - EMU_PAGE_SIZE) {
        close(file);
        return -EINVAL;
    }
    pages = pages_new(cmd->start, cmd->length, !!(cmd->flags & IOMMU_IOAS_MAP_WRITEABLE));
    pages->file = file;
    ret = map_pages(ioas, pages, cmd->start, cmd->length, cmd->flags, &iova);
    if (ret < 0) {
        return ret;
    }
    cmd->iova = iova;
    return viommui_emu_respond(ucmd, sizeof(*cmd));
}

/* Parts of areas that cover the range without a hole. */
static int collect_areas(const EmuIoas *ioas, guint64 first, guint64 length,
                         GPtrArray *areas)
{
    guint64 last = first + (length - 1);

    if (!length) {
        return -EINVAL;
    }
    if (last < first) {
        return -EOVERFLOW;
    }
    for (;;) {
        const EmuArea *area = viommui_emu_ioas_area(ioas, first, first);
        guint64 end;

        if (!area) {
            return -ENOENT;
        }
        end = MIN(last, area->last);
        g_ptr_array_add(areas, area_new(area->pages, area->start_byte + first - area->first,
                                        end - first + 1));
        if (end == last) {
            return 0;
        }
        first = end + 1;
    }
}

int viommui_emu_ioas_copy(EmuUcmd *ucmd)
{
    struct iommu_ioas_copy *cmd = ucmd->cmd;
    EmuIoas *source = get_ioas(ucmd, cmd->src_ioas_id);
    EmuIoas *dest = get_ioas(ucmd, cmd->dst_ioas_id);
    guint64 iova = cmd->dst_iova;
    GPtrArray *areas;
    int ret = check_map(cmd->flags, 0, cmd->dst_iova, cmd->length);

    if (ret == 0 || ret == -EINVAL) {
        ret = cmd->src_iova == G_MAXUINT64 ? -EOVERFLOW : ret;
    }
    if (ret < 0) {
        return ret;
    }
    if (!source) {
        return -ENOENT;
    }
    areas = areas_new();
    ret = collect_areas(source, cmd->src_iova, cmd->length, areas);
    if (ret == 0) {
        ret = dest ? place_areas(dest, areas, cmd->length, cmd->flags, &iova) : -ENOENT;
    }
    g_ptr_array_unref(areas);
    if (ret < 0) {
        return ret;
    }
    cmd->dst_iova = iova;
    return viommui_emu_respond(ucmd, sizeof(*cmd));
}

static void forget_dirty(EmuHwpt *hwpt, guint64 first, guint64 last)
{
    GHashTableIter iter;
    gpointer key;

    if (!g_hash_table_size(hwpt->dirty)) {
        return;
    }
    g_hash_table_iter_init(&iter, hwpt->dirty);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        guint64 page = *(guint64 *)key;

        if (page >= first && page <= last) {
            g_hash_table_iter_remove(&iter);
        }
    }
}

int viommui_emu_ioas_unmap_range(EmuIoas *ioas, guint64 first, guint64 last,
                                 guint64 *ret_unmapped)
{
    guint64 unmapped = 0;
    guint64 end = first;
    EmuArea *area;
    int ret = 0;

    while ((area = viommui_emu_ioas_area(ioas, first, last))) {
        if (area->first < first || area->last > last) {
            ret = -ENOENT;
            break;
        }
        unmapped += area->last - area->first + 1;
        end = area->last;
        g_ptr_array_remove_index(ioas->areas, area_index(ioas, area->first));
    }
    for (guint i = 0; unmapped && i < ioas->hwpts->len; i++) {
        EmuHwpt *hwpt = g_ptr_array_index(ioas->hwpts, i);

        forget_dirty(hwpt, first, end);
        hwpt->iommu->ops->unmapped(hwpt->iommu, hwpt);
    }
    *ret_unmapped = unmapped;
    return ret;
}

int viommui_emu_ioas_cut(EmuIoas *ioas, guint64 last)
{
    EmuArea *area = viommui_emu_ioas_area(ioas, last, last);
    guint64 next = last + 1;
    EmuArea *rest;
    guint64 offset;

    if (!area || last == area->first || last == area->last) {
        return 0;
    }
    offset = area->start_byte + (next - area->first);
    if (!EMU_ALIGNED(next | offset, ioas->alignment) ||
        (ioas->hwpts->len && !ioas->no_huge)) {
        return -EINVAL;
    }
    rest = area_new(area->pages, offset, area->last - last);
    rest->first = next;
    rest->last = area->last;
    rest->readable = area->readable;
    rest->writable = area->writable;
    area->last = last;
    insert_area(ioas, rest);
    return 0;
}

int viommui_emu_ioas_unmap(EmuUcmd *ucmd)
{
    struct iommu_ioas_unmap *cmd = ucmd->cmd;
    EmuIoas *ioas = get_ioas(ucmd, cmd->ioas_id);
    guint64 unmapped = 0;
    int ret;

    if (!ioas) {
        return -ENOENT;
    }
    if (cmd->iova == 0 && cmd->length == G_MAXUINT64) {
        ret = viommui_emu_ioas_unmap_range(ioas, 0, G_MAXUINT64, &unmapped);
    } else if (cmd->iova == G_MAXUINT64 || cmd->length == G_MAXUINT64) {
        ret = -EOVERFLOW;
    } else if (!cmd->length) {
        ret = -EINVAL;
    } else if (cmd->iova + (cmd->length - 1) < cmd->iova) {
        ret = -EOVERFLOW;
    } else {
        ret = viommui_emu_ioas_unmap_range(ioas, cmd->iova, cmd->iova + (cmd->length - 1),
                                           &unmapped);
        if (ret == 0 && !unmapped) {
            ret = -ENOENT;
        }
    }
    if (ret < 0) {
        return ret;
    }
    cmd->length = unmapped;
    return viommui_emu_respond(ucmd, sizeof(*cmd));
}
