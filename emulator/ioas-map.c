/* SPDX-License-Identifier: MIT */
/*
 * Mappings of an IOAS: made, removed, and looked up for every access of a device.
 *
 * Invariants: areas are sorted and disjoint; an area is removed whole or not at all.
 * A range that a paging HWPT shows must be memory of this process when it is mapped;
 * the caller keeps it so until it is unmapped (a kernel would pin it).
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

void viommui_emu_area_free(EmuArea *area)
{
    if (area->file_map) {
        munmap(area->file_map, area->file_map_size);
    }
    g_free(area);
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

    if (!area || last > area->last || !(write ? area->writable : area->readable)) {
        return NULL;
    }
    return area->host + (iova - area->first);
}

/*
 * The lowest hole at or above one page that takes `length` bytes at the alignment.
 * Used ranges are visited in order: the next one at or after a point is the nearer of
 * the next area and the next reservation.
 */
static int find_hole(const EmuIoas *ioas, guint64 alignment, guint64 page_offset,
                     guint64 length, guint64 *ret_iova)
{
    const guint64 end = G_MAXUINT64 - EMU_PAGE_SIZE;
    guint64 start = EMU_PAGE_SIZE;

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
    return find_hole(ioas, alignment, addr % EMU_PAGE_SIZE, length, ret_iova);
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

/*
 * Find the place of a new area and put it in; `addr` is where the memory starts, in
 * the process or the file. The area stays the caller's on failure.
 */
static int insert_area(EmuIoas *ioas, EmuArea *area, guint64 addr, guint64 length,
                       guint32 flags, guint64 *iova)
{
    int ret;

    if (!EMU_ALIGNED(length, ioas->alignment)) {
        return -EINVAL;
    }
    ret = flags & IOMMU_IOAS_MAP_FIXED_IOVA ? check_iova(ioas, *iova, length)
                                            : choose_iova(ioas, addr, length, iova);
    if (ret < 0) {
        return ret;
    }
    area->page_offset = addr % EMU_PAGE_SIZE;
    if (!EMU_ALIGNED(area->page_offset, ioas->alignment)) {
        return -EINVAL;
    }
    if (ioas->hwpts->len && !area->file_map && !viommui_emu_is_mapped(area->host, length)) {
        return -EFAULT;
    }
    if (!(flags & IOMMU_IOAS_MAP_WRITEABLE) && viommui_emu_ioas_forces_writable(ioas)) {
        return -EINVAL;
    }
    area->first = *iova;
    area->last = *iova + (length - 1);
    area->readable = !!(flags & IOMMU_IOAS_MAP_READABLE);
    area->writable = !!(flags & IOMMU_IOAS_MAP_WRITEABLE);
    g_ptr_array_insert(ioas->areas, (gint)area_index(ioas, area->first), area);
    return 0;
}

/* The checks that both ways of mapping share, in the kernel's order. */
static int check_map(EmuUcmd *ucmd, guint32 flags, guint32 reserved, guint64 iova,
                     guint64 length, guint32 ioas_id, EmuIoas **ret_ioas)
{
    EmuIoas *ioas;

    if ((flags & ~(guint32)MAP_FLAGS) || reserved) {
        return -EOPNOTSUPP;
    }
    if (iova == G_MAXUINT64 || length == G_MAXUINT64) {
        return -EOVERFLOW;
    }
    if (!(flags & (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE))) {
        return -EINVAL;
    }
    ioas = (EmuIoas *)viommui_emu_object_get(ucmd->ctx, ioas_id, EMU_OBJECT_IOAS);
    if (!ioas) {
        return -ENOENT;
    }
    *ret_ioas = ioas;
    return 0;
}

int viommui_emu_ioas_map(EmuUcmd *ucmd)
{
    struct iommu_ioas_map *cmd = ucmd->cmd;
    EmuIoas *ioas = NULL;
    guint64 iova = cmd->iova;
    EmuArea *area;
    int ret = check_map(ucmd, cmd->flags, cmd->__reserved, cmd->iova, cmd->length,
                        cmd->ioas_id, &ioas);

    if (ret < 0) {
        return ret;
    }
    if (cmd->user_va + cmd->length < cmd->user_va) {
        return -EOVERFLOW;
    }
    if (!cmd->length || cmd->length > G_MAXSIZE - EMU_PAGE_SIZE) {
        return -EINVAL;
    }
    area = g_new0(EmuArea, 1);
    area->host = viommui_emu_user_ptr(cmd->user_va);
    ret = insert_area(ioas, area, cmd->user_va, cmd->length, cmd->flags, &iova);
    if (ret < 0) {
        viommui_emu_area_free(area);
        return ret;
    }
    cmd->iova = iova;
    viommui_emu_respond(ucmd, sizeof(*cmd));
    return 0;
}

/* Only memory files can be pinned, and only as far as they reach. */
static int map_file(EmuArea *area, int fd, guint64 start, guint64 length, gboolean write)
{
    guint64 down = start & EMU_PAGE_MASK;
    struct stat info;
    void *map;

    if (fstat(fd, &info) < 0) {
        return -EBADF;
    }
    if (fcntl(fd, F_GET_SEALS) < 0 || info.st_size < 0 || start > (guint64)info.st_size ||
        length > (guint64)info.st_size - start) {
        return -EINVAL;
    }
    area->file_map_size = length + (start - down);
    map = mmap(NULL, area->file_map_size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED,
               fd, (off_t)down);
    if (map == MAP_FAILED) {
        return -EFAULT;
    }
    area->file_map = map;
    area->host = (guint8 *)map + (start - down);
    return 0;
}

int viommui_emu_ioas_map_file(EmuUcmd *ucmd)
{
    struct iommu_ioas_map_file *cmd = ucmd->cmd;
    EmuIoas *ioas = NULL;
    guint64 iova = cmd->iova;
    EmuArea *area;
    int ret = check_map(ucmd, cmd->flags, 0, cmd->iova, cmd->length, cmd->ioas_id, &ioas);

    if (ret < 0) {
        return ret;
    }
    if (!cmd->length) {
        return -EINVAL;
    }
    if (cmd->start + (cmd->length - 1) < cmd->start) {
        return -EOVERFLOW;
    }
    if (fcntl(cmd->fd, F_GETFD) < 0) {
        return -EBADF;
    }
    if (cmd->length > G_MAXSIZE - EMU_PAGE_SIZE) {
        return -EINVAL;
    }
    area = g_new0(EmuArea, 1);
    ret = map_file(area, cmd->fd, cmd->start, cmd->length,
                   !!(cmd->flags & IOMMU_IOAS_MAP_WRITEABLE));
    if (ret == 0) {
        ret = insert_area(ioas, area, cmd->start, cmd->length, cmd->flags, &iova);
    }
    if (ret < 0) {
        viommui_emu_area_free(area);
        return ret;
    }
    cmd->iova = iova;
    viommui_emu_respond(ucmd, sizeof(*cmd));
    return 0;
}

/*
 * Remove every area inside the range, stopping at the first that sticks out of it:
 * what was removed before stays removed.
 */
static int unmap_range(EmuIoas *ioas, guint64 first, guint64 last, guint64 *ret_unmapped)
{
    guint64 unmapped = 0;
    EmuArea *area;
    int ret = 0;

    while ((area = viommui_emu_ioas_area(ioas, first, last))) {
        if (area->first < first || area->last > last) {
            ret = -ENOENT;
            break;
        }
        unmapped += area->last - area->first + 1;
        g_ptr_array_remove_index(ioas->areas, area_index(ioas, area->first));
    }
    if (unmapped) {
        for (guint i = 0; i < ioas->hwpts->len; i++) {
            EmuHwpt *hwpt = g_ptr_array_index(ioas->hwpts, i);

            hwpt->iommu->ops->unmapped(hwpt->iommu, hwpt);
        }
    }
    *ret_unmapped = unmapped;
    return ret;
}

int viommui_emu_ioas_unmap(EmuUcmd *ucmd)
{
    struct iommu_ioas_unmap *cmd = ucmd->cmd;
    EmuIoas *ioas =
        (EmuIoas *)viommui_emu_object_get(ucmd->ctx, cmd->ioas_id, EMU_OBJECT_IOAS);
    guint64 unmapped = 0;
    int ret;

    if (!ioas) {
        return -ENOENT;
    }
    if (cmd->iova == 0 && cmd->length == G_MAXUINT64) {
        ret = unmap_range(ioas, 0, G_MAXUINT64, &unmapped);
    } else if (cmd->iova == G_MAXUINT64 || cmd->length == G_MAXUINT64) {
        ret = -EOVERFLOW;
    } else if (!cmd->length) {
        ret = -EINVAL;
    } else if (cmd->iova + (cmd->length - 1) < cmd->iova) {
        ret = -EOVERFLOW;
    } else {
        ret = unmap_range(ioas, cmd->iova, cmd->iova + (cmd->length - 1), &unmapped);
        if (ret == 0 && !unmapped) {
            ret = -ENOENT;
        }
    }
    if (ret < 0) {
        return ret;
    }
    cmd->length = unmapped;
    viommui_emu_respond(ucmd, sizeof(*cmd));
    return 0;
}
