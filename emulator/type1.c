/* SPDX-License-Identifier: MIT */
/*
 * VFIO's type 1 driver: the mappings of a container and the domains that show them.
 *
 * The mappings are an IOAS that no iommufd knows, the domains HWPTs on it; groups of
 * one kind of IOMMU share a domain where its driver lets them. Invariants: there is a
 * domain while there is a group; a mapping is removed whole. A version 1 unmap from
 * within a mapping does nothing, a version 2 one is refused.
 *
 * Every device behind a group here can write without anybody's knowledge, so what is
 * mapped counts as dirty whole, however often it is asked.
 *
 * Up: vfio-container.c. Down: ioas-map.c, hwpt.c, iommu-group.c.
 */
#include "vfio.h"

#define DMA_ENTRY_LIMIT  65535U
#define MAX_BITMAP_PAGES ((guint64)G_MAXINT32)

typedef struct {
    EmuHwpt *hwpt;
    GPtrArray *groups; /* EmuGroup */
} Domain;

struct EmuType1 {
    EmuIoas *ioas;
    GPtrArray *domains; /* Domain, owned; last come first */
    gboolean v2;
    gboolean dirty_tracking;
    GHashTable *no_vaddr; /* EmuArea whose address was taken back */
    GHashTable *bitmaps;  /* EmuArea -> its words, of those asked since tracking began */
};

static void domain_free(gpointer data)
{
    Domain *domain = data;

    g_ptr_array_unref(domain->groups);
    viommui_emu_hwpt_paging_abort(domain->hwpt);
    g_free(domain);
}

EmuType1 *viommui_emu_type1_new(gboolean v2)
{
    EmuType1 *type1 = g_new0(EmuType1, 1);

    type1->ioas = viommui_emu_ioas_new();
    type1->domains = g_ptr_array_new_with_free_func(domain_free);
    type1->no_vaddr = g_hash_table_new(NULL, NULL);
    type1->bitmaps = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    type1->v2 = v2;
    return type1;
}

void viommui_emu_type1_free(EmuType1 *type1)
{
    g_ptr_array_unref(type1->domains);
    g_hash_table_unref(type1->no_vaddr);
    g_hash_table_unref(type1->bitmaps);
    viommui_emu_ioas_destroy(&type1->ioas->obj);
    g_free(type1);
}

static int reserve(EmuType1 *type1, EmuGroup *group)
{
    for (guint i = 0; i < group->devices->len; i++) {
        EmuDevice *device = g_ptr_array_index(group->devices, i);
        const EmuIommuOps *ops = device->iommu->ops;

        if (viommui_emu_ioas_reserve(type1->ioas, ops->msi_first, ops->msi_last, group) <
            0) {
            viommui_emu_ioas_unreserve(type1->ioas, group);
            return -EINVAL;
        }
    }
    return 0;
}

static Domain *find_domain(const EmuType1 *type1, const EmuGroup *group)
{
    for (guint i = 0; i < type1->domains->len; i++) {
        Domain *domain = g_ptr_array_index(type1->domains, i);

        if (g_ptr_array_find(domain->groups, group, NULL)) {
            return domain;
        }
    }
    return NULL;
}

/* A domain that is there and takes the group as well. */
static gboolean join_domain(EmuType1 *type1, EmuGroup *group, const EmuIommu *iommu)
{
    for (guint i = 0; i < type1->domains->len; i++) {
        Domain *domain = g_ptr_array_index(type1->domains, i);

        if (domain->hwpt->iommu->ops == iommu->ops &&
            viommui_emu_group_set_domain(group, domain->hwpt) == 0) {
            g_ptr_array_add(domain->groups, group);
            return TRUE;
        }
    }
    return FALSE;
}

static int add_domain(EmuType1 *type1, EmuGroup *group, EmuHwpt *hwpt)
{
    Domain *domain;
    int ret = viommui_emu_ioas_add_hwpt(type1->ioas, hwpt);

    if (ret == -EADDRINUSE) {
        ret = -EINVAL;
    }
    if (ret == 0) {
        ret = viommui_emu_group_set_domain(group, hwpt);
    }
    if (ret < 0) {
        return ret;
    }
    domain = g_new0(Domain, 1);
    domain->hwpt = hwpt;
    domain->groups = g_ptr_array_new();
    g_ptr_array_add(domain->groups, group);
    g_ptr_array_insert(type1->domains, 0, domain);
    return 0;
}

int viommui_emu_type1_attach(EmuType1 *type1, EmuGroup *group)
{
    const EmuDevice *first = g_ptr_array_index(group->devices, 0);
    EmuHwpt *hwpt = NULL;
    int ret;

    if (g_hash_table_size(type1->no_vaddr)) {
        return -EBUSY;
    }
    if (find_domain(type1, group)) {
        return -EINVAL;
    }
    ret = viommui_emu_hwpt_paging_new(type1->ioas, first->iommu, 0, FALSE, &hwpt);
    if (ret < 0) {
        return ret;
    }
    ret = reserve(type1, group);
    if (ret == 0 && join_domain(type1, group, first->iommu)) {
        viommui_emu_hwpt_paging_abort(hwpt);
        return 0;
    }
    if (ret == 0) {
        ret = add_domain(type1, group, hwpt);
    }
    if (ret < 0) {
        viommui_emu_ioas_unreserve(type1->ioas, group);
        viommui_emu_hwpt_paging_abort(hwpt);
    }
    return ret;
}

static guint64 unmap_all(EmuType1 *type1)
{
    guint64 unmapped = 0;

    viommui_emu_ioas_unmap_range(type1->ioas, 0, G_MAXUINT64, &unmapped);
    g_hash_table_remove_all(type1->no_vaddr);
    g_hash_table_remove_all(type1->bitmaps);
    return unmapped;
}

void viommui_emu_type1_detach(EmuType1 *type1, EmuGroup *group)
{
    Domain *domain = find_domain(type1, group);

    if (!domain) {
        return;
    }
    viommui_emu_group_block(group);
    g_ptr_array_remove(domain->groups, group);
    if (!domain->groups->len) {
        if (type1->domains->len == 1) {
            unmap_all(type1);
        }
        g_ptr_array_remove(type1->domains, domain);
    }
    viommui_emu_ioas_unreserve(type1->ioas, group);
}

int viommui_emu_type1_check_extension(const EmuType1 *type1, unsigned long extension)
{
    switch (extension) {
    case VFIO_TYPE1_IOMMU:
    case VFIO_TYPE1v2_IOMMU:
    case VFIO_UNMAP_ALL:
        return 1;
    case VFIO_UPDATE_VADDR:
        return type1 != NULL;
    case VFIO_DMA_CC_IOMMU:
        for (guint i = 0; type1 && i < type1->domains->len; i++) {
            const Domain *domain = g_ptr_array_index(type1->domains, i);
            EmuIommu *iommu = domain->hwpt->iommu;

            if (!iommu->ops->enforces_coherency(iommu)) {
                return 0;
            }
        }
        return type1 != NULL;
    default:
        return 0;
    }
}

/* Give back an address that was taken; nothing moves, for the pages are pinned. */
static int set_vaddr(EmuType1 *type1, const struct vfio_iommu_type1_dma_map *map)
{
    EmuArea *area =
        viommui_emu_ioas_area(type1->ioas, map->iova, map->iova + (map->size - 1));

    if (!area) {
        return -ENOENT;
    }
    if (area->first != map->iova || area->last != map->iova + (map->size - 1) ||
        !g_hash_table_remove(type1->no_vaddr, area)) {
        return -EINVAL;
    }
    return 0;
}

static int map_dma(EmuType1 *type1, const void *arg)
{
    const guint32 both = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    struct vfio_iommu_type1_dma_map map;
    int ret = viommui_emu_copy_from_user(&map, arg, sizeof(map));

    if (ret < 0) {
        return ret;
    }
    if (map.argsz < sizeof(map) || (map.flags & ~(both | VFIO_DMA_MAP_FLAG_VADDR)) ||
        !map.size) {
        return -EINVAL;
    }
    if (map.iova + (map.size - 1) < map.iova || map.vaddr + (map.size - 1) < map.vaddr) {
        return -EOVERFLOW;
    }
    if (!(map.flags & both) == !(map.flags & VFIO_DMA_MAP_FLAG_VADDR)) {
        return -EINVAL;
    }
    if (!EMU_ALIGNED(map.size | map.iova | map.vaddr, EMU_PAGE_SIZE)) {
        return -EINVAL;
    }
    if (map.flags & VFIO_DMA_MAP_FLAG_VADDR) {
        return set_vaddr(type1, &map);
    }
    if (viommui_emu_ioas_area(type1->ioas, map.iova, map.iova + (map.size - 1))) {
        return -EEXIST;
    }
    if (type1->ioas->areas->len >= DMA_ENTRY_LIMIT) {
        return -ENOSPC;
    }
    if (type1->dirty_tracking && map.size / EMU_PAGE_SIZE > MAX_BITMAP_PAGES) {
        return -EINVAL;
    }
    ret = viommui_emu_ioas_map_user(type1->ioas, map.iova, map.vaddr, map.size,
                                    !!(map.flags & VFIO_DMA_MAP_FLAG_READ),
                                    !!(map.flags & VFIO_DMA_MAP_FLAG_WRITE));
    /* An address space ends before a range that wraps does. */
    return ret == -EOVERFLOW ? -EFAULT : ret;
}

static gboolean bitmap_fits(guint64 n_pages, guint64 bytes)
{
    return n_pages && bytes && bytes <= (MAX_BITMAP_PAGES + 63) / 64 * 8 &&
           n_pages <= bytes / 8 * 64;
}

static guint64 area_pages(const EmuArea *area)
{
    return (area->last - area->first + 1) / EMU_PAGE_SIZE;
}

/* One word more than the pages need, as room to shift them. */
static guint64 *area_bitmap(EmuType1 *type1, EmuArea *area)
{
    guint64 *words = g_hash_table_lookup(type1->bitmaps, area);

    if (!words) {
        words = g_new0(guint64, (area_pages(area) + 63) / 64 + 1);
        g_hash_table_insert(type1->bitmaps, area, words);
    }
    return words;
}

/* The first n bits. */
static void set_bits(guint64 *words, guint64 n, gboolean value)
{
    memset(words, value ? 0xff : 0, n / 64 * 8);
    if (n % 64) {
        const guint64 mask = (1ULL << n % 64) - 1;

        words[n / 64] = value ? words[n / 64] | mask : words[n / 64] & ~mask;
    }
}

static void shift_bits(guint64 *words, guint64 n_words, guint shift)
{
    for (guint64 i = n_words; i-- > 0;) {
        words[i] = words[i] << shift | (i ? words[i - 1] >> (64 - shift) : 0);
    }
}

/*
 * All pages of a mapping, as bits from where `base` is bit 0. Linux shifts the bitmap that
 * it keeps, to where the mapping begins in a word, and joins what the caller has in that
 * word; then it writes whole words. So a caller may see bits of no page: the shifted ones
 * stay, and are shifted again the next time.
 */
static int put_dirty(EmuType1 *type1, EmuArea *area, guint64 base, guint64 user)
{
    const guint64 first = (area->first - base) / EMU_PAGE_SIZE;
    const guint shift = first % 64;
    const guint64 n_words = (area_pages(area) + shift + 63) / 64;
    guint64 *words = area_bitmap(type1, area);
    void *to = viommui_emu_user_ptr(user + first / 64 * sizeof(*words));

    set_bits(words, area_pages(area), TRUE);
    if (shift) {
        guint64 there;
        int ret;

        shift_bits(words, n_words, shift);
        ret = viommui_emu_copy_from_user(&there, to, sizeof(there));
        if (ret < 0) {
            return ret;
        }
        words[0] |= there;
    }
    return viommui_emu_copy_to_user(to, words, n_words * sizeof(*words));
}

/* A mapping must not stick out of the range at either end. */
static gboolean is_bisected(const EmuType1 *type1, guint64 first, guint64 last)
{
    const EmuArea *area = viommui_emu_ioas_area(type1->ioas, first, first);

    if (area && area->first != first) {
        return TRUE;
    }
    area = viommui_emu_ioas_area(type1->ioas, last, last);
    return area && area->last != last;
}

/* Take addresses back: all of the range, or, when one was taken before, none. */
static int invalidate_vaddr(EmuType1 *type1, guint64 first, guint64 last, guint64 *ret_done)
{
    GPtrArray *areas = type1->ioas->areas;
    guint64 done = 0;

    for (guint i = 0; i < areas->len; i++) {
        EmuArea *area = g_ptr_array_index(areas, i);

        if (area->last < first || area->first > last) {
            continue;
        }
        if (!type1->v2 && first > area->first) {
            break;
        }
        if (!g_hash_table_add(type1->no_vaddr, area)) {
            for (guint j = 0; j < i; j++) {
                area = g_ptr_array_index(areas, j);
                if (area->last >= first) {
                    g_hash_table_remove(type1->no_vaddr, area);
                }
            }
            return -EINVAL;
        }
        done += area->last - area->first + 1;
    }
    *ret_done = done;
    return 0;
}

/* Every mapping that begins in the range goes whole. */
static int remove_range(EmuType1 *type1, guint64 first, guint64 last,
                        const struct vfio_bitmap *bitmap, guint64 *ret_done)
{
    guint64 done = 0;
    EmuArea *area;

    while ((area = viommui_emu_ioas_area(type1->ioas, first, last))) {
        guint64 unmapped = 0;

        if (!type1->v2 && first > area->first) {
            break;
        }
        if (bitmap) {
            int ret = put_dirty(type1, area, first, (guint64)(uintptr_t)bitmap->data);

            if (ret < 0) {
                return ret;
            }
        }
        g_hash_table_remove(type1->no_vaddr, area);
        g_hash_table_remove(type1->bitmaps, area);
        viommui_emu_ioas_unmap_range(type1->ioas, area->first, area->last, &unmapped);
        done += unmapped;
    }
    *ret_done = done;
    return 0;
}

static int do_unmap(EmuType1 *type1, struct vfio_iommu_type1_dma_unmap *unmap,
                    const struct vfio_bitmap *bitmap)
{
    gboolean all = !!(unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL);
    guint64 first = unmap->iova;
    guint64 last = all ? G_MAXUINT64 : first + (unmap->size - 1);
    guint64 done = 0;
    int ret;

    if (!EMU_ALIGNED(first, EMU_PAGE_SIZE)) {
        return -EINVAL;
    }
    if (all ? first || unmap->size
            : !unmap->size || !EMU_ALIGNED(unmap->size, EMU_PAGE_SIZE)) {
        return -EINVAL;
    }
    if (last < first) {
        return -EOVERFLOW;
    }
    if (bitmap && (!type1->dirty_tracking || bitmap->pgsize != EMU_PAGE_SIZE)) {
        return -EINVAL;
    }
    if (type1->v2 && !all && is_bisected(type1, first, last)) {
        return -EINVAL;
    }
    ret = unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR
              ? invalidate_vaddr(type1, first, last, &done)
              : remove_range(type1, first, last, bitmap, &done);
    unmap->size = done;
    return ret;
}

static int unmap_dma(EmuType1 *type1, void *arg)
{
    const guint32 alone = VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR;
    const gsize minsz = G_STRUCT_OFFSET(struct vfio_iommu_type1_dma_unmap, data);
    struct vfio_iommu_type1_dma_unmap unmap;
    struct vfio_bitmap bitmap = {0};
    gboolean with_bitmap;
    int ret = viommui_emu_copy_from_user(&unmap, arg, minsz);

    if (ret < 0) {
        return ret;
    }
    with_bitmap = !!(unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP);
    if (unmap.argsz < minsz ||
        (unmap.flags & ~(alone | VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)) ||
        (with_bitmap && (unmap.flags & alone))) {
        return -EINVAL;
    }
    if (with_bitmap) {
        if (unmap.argsz < minsz + sizeof(bitmap)) {
            return -EINVAL;
        }
        ret = viommui_emu_copy_from_user(&bitmap, (guint8 *)arg + minsz, sizeof(bitmap));
        if (ret < 0) {
            return ret;
        }
        if (!bitmap.pgsize ||
            !bitmap_fits(unmap.size >> __builtin_ctzll(bitmap.pgsize), bitmap.size)) {
            return -EINVAL;
        }
    }
    ret = do_unmap(type1, &unmap, with_bitmap ? &bitmap : NULL);
    return ret < 0 ? ret : viommui_emu_copy_to_user(arg, &unmap, minsz);
}

static int get_bitmap(EmuType1 *type1, const struct vfio_iommu_type1_dirty_bitmap_get *get)
{
    guint64 last = get->iova + (get->size - 1);

    if (!get->size) {
        return -EINVAL;
    }
    if (last < get->iova) {
        return -EOVERFLOW;
    }
    if (get->bitmap.pgsize != EMU_PAGE_SIZE ||
        !bitmap_fits(get->size / EMU_PAGE_SIZE, get->bitmap.size) ||
        !EMU_ALIGNED(get->iova | get->size, EMU_PAGE_SIZE) || !type1->dirty_tracking ||
        is_bisected(type1, get->iova, last)) {
        return -EINVAL;
    }
    for (guint i = 0; i < type1->ioas->areas->len; i++) {
        EmuArea *area = g_ptr_array_index(type1->ioas->areas, i);
        int ret;

        if (area->first < get->iova || area->first > last) {
            continue;
        }
        ret = put_dirty(type1, area, get->iova, (guint64)(uintptr_t)get->bitmap.data);
        if (ret < 0) {
            return ret;
        }
        set_bits(area_bitmap(type1, area), area_pages(area), FALSE);
    }
    return 0;
}

static int start_dirty(EmuType1 *type1)
{
    for (guint i = 0; !type1->dirty_tracking && i < type1->ioas->areas->len; i++) {
        const EmuArea *area = g_ptr_array_index(type1->ioas->areas, i);

        if (area_pages(area) > MAX_BITMAP_PAGES) {
            return -EINVAL;
        }
    }
    type1->dirty_tracking = TRUE;
    return 0;
}

static int dirty_pages(EmuType1 *type1, const void *arg)
{
    const gsize minsz = sizeof(struct vfio_iommu_type1_dirty_bitmap);
    struct vfio_iommu_type1_dirty_bitmap_get get;
    struct vfio_iommu_type1_dirty_bitmap dirty;
    int ret;

    if (!type1->v2) {
        return -EACCES;
    }
    ret = viommui_emu_copy_from_user(&dirty, arg, minsz);
    if (ret < 0) {
        return ret;
    }
    if (dirty.argsz < minsz) {
        return -EINVAL;
    }
    switch (dirty.flags) {
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
        return start_dirty(type1);
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
        type1->dirty_tracking = FALSE;
        g_hash_table_remove_all(type1->bitmaps);
        return 0;
    case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
        if (dirty.argsz - minsz < sizeof(get)) {
            return -EINVAL;
        }
        ret = viommui_emu_copy_from_user(&get, (const guint8 *)arg + minsz, sizeof(get));
        return ret < 0 ? ret : get_bitmap(type1, &get);
    default:
        return -EINVAL;
    }
}

int viommui_emu_type1_ioctl(EmuType1 *type1, unsigned long request, void *arg)
{
    switch (request) {
    case VFIO_IOMMU_GET_INFO:
        return viommui_emu_type1_get_info(type1->ioas,
                                          viommui_emu_vfio_page_sizes(type1->ioas),
                                          DMA_ENTRY_LIMIT - type1->ioas->areas->len, arg);
    case VFIO_IOMMU_MAP_DMA:
        return map_dma(type1, arg);
    case VFIO_IOMMU_UNMAP_DMA:
        return unmap_dma(type1, arg);
    case VFIO_IOMMU_DIRTY_PAGES:
        return dirty_pages(type1, arg);
    default:
        return -ENOTTY;
    }
}
