/* SPDX-License-Identifier: MIT */
/*
 * What devices have written, by the dirty bitmaps of containers.
 *
 * A container is asked by IOVA, and for whole mappings, and forgets what it has told. So
 * whatever it tells of a mapping is kept as bits of the guest memory that is mapped there,
 * and the answer is taken from those: also when the mapping has gone since, or is a copy in
 * a table.
 *
 * The kernel says of real devices, whose writing it does not see, that all that is mapped
 * is dirty. So that is what a mapping leaves behind that can be written.
 */

#include "legacy.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

enum { PAGE_SHIFT = 12 };

static guint64 *get_dirt(ViommuiLegacyMemory *memory)
{
    if (!memory->dirt)
        memory->dirt = g_new0(guint64, ((memory->range.size >> PAGE_SHIFT) + 63) / 64);
    return memory->dirt;
}

static void set_bits(guint64 *words, guint64 first, guint64 n)
{
    for (guint64 i = first; i < first + n; i++) {
        if (i % 64 == 0 && first + n - i >= 64) {
            words[i / 64] = G_MAXUINT64;
            i += 63;
        } else {
            words[i / 64] |= 1ULL << i % 64;
        }
    }
}

/* The first page of the range, as counted in the memory that it is a part of. */
static guint64 get_first_page(const ViommuiLegacyRange *range)
{
    return (guint64)(range->address - range->memory->range.address) >> PAGE_SHIFT;
}

/* --- on and off --------------------------------------------------------------------- */

int viommui_legacy_container_record(ViommuiLegacyContainer *container, gboolean on)
{
    struct vfio_iommu_type1_dirty_bitmap cmd = {
        .argsz = sizeof cmd,
        .flags = on ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START : VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP,
    };
    int ret;

    if (container->records == on)
        return 0;
    ret = viommui_seam_ioctl(container->space->seam, container->fd, VFIO_IOMMU_DIRTY_PAGES,
                             &cmd, sizeof cmd);
    if (ret >= 0)
        container->records = on;
    return ret;
}

/* All containers of the viommu; the first failure. */
static int record_all(ViommuiBackendViommu *viommu, gboolean on)
{
    int first = 0;

    for (guint i = 0; i < viommu->space->containers->len; i++) {
        ViommuiLegacyContainer *container = viommu->space->containers->pdata[i];
        int ret = container->view && container->view->viommu == viommu
                      ? viommui_legacy_container_record(container, on)
                      : 0;

        if (ret < 0 && first == 0)
            first = ret;
    }
    return first;
}

static gboolean forget_dirt(gpointer key, gpointer value, gpointer data)
{
    ViommuiLegacyMemory *memory = value;

    (void)key;
    (void)data;
    g_clear_pointer(&memory->dirt, g_free);
    return FALSE;
}

gboolean viommui_legacy_can_track_dirty(ViommuiBackendViommu *viommu)
{
    return viommu->can_track_dirty;
}

static int switch_on(ViommuiBackendViommu *viommu)
{
    ViommuiSpace *space = viommu->space;
    int ret;

    if (!viommu->can_track_dirty)
        return -EOPNOTSUPP;
    if (viommu->tracks_dirty)
        space->n_tracking--;
    viommu->tracks_dirty = FALSE;
    ret = record_all(viommu, TRUE);
    if (ret < 0) {
        record_all(viommu, FALSE);
        return ret;
    }
    /* What another viommu's devices wrote is not this one's to forget. */
    if (!space->n_tracking++)
        g_tree_foreach(space->memory, forget_dirt, NULL);
    viommu->tracks_dirty = TRUE;
    return 0;
}

int viommui_legacy_set_dirty_tracking(ViommuiBackendViommu *viommu, gboolean on)
{
    if (on)
        return switch_on(viommu);
    if (viommu->tracks_dirty)
        viommu->space->n_tracking--;
    viommu->tracks_dirty = FALSE;
    return record_all(viommu, FALSE);
}

/* --- keeping ------------------------------------------------------------------------ */

void viommui_legacy_keep_range(const ViommuiLegacyView *view,
                               const ViommuiLegacyRange *range)
{
    if (view->viommu->tracks_dirty && range->flags & VIOMMU_MAP_WRITE)
        set_bits(get_dirt(range->memory), get_first_page(range), range->size >> PAGE_SHIFT);
}

static gboolean keep_one(gpointer key, gpointer value, gpointer data)
{
    (void)key;
    viommui_legacy_keep_range(data, value);
    return FALSE;
}

void viommui_legacy_keep_view(const ViommuiLegacyView *view)
{
    if (view->viommu->tracks_dirty)
        g_tree_foreach(view->ranges, keep_one, (gpointer)view);
}

/* --- asking ------------------------------------------------------------------------- */

static int ask(ViommuiLegacyContainer *container, const ViommuiLegacyRange *range,
               guint64 *words, guint64 n_words)
{
    const struct vfio_iommu_type1_dirty_bitmap_get get = {
        .iova = range->iova,
        .size = range->size,
        .bitmap = {.pgsize = viommui_legacy_limits_get_page_size(&container->limits),
                   .size = n_words * sizeof *words,
                   .data = (__u64 *)(void *)words},
    };
    struct vfio_iommu_type1_dirty_bitmap head = {
        .flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP};
    guint8 cmd[sizeof head + sizeof get];

    head.argsz = sizeof cmd;
    memcpy(cmd, &head, sizeof head);
    memcpy(cmd + sizeof head, &get, sizeof get);
    return viommui_seam_ioctl(container->space->seam, container->fd, VFIO_IOMMU_DIRTY_PAGES,
                              cmd, sizeof cmd);
}

/* The bits of a mapping become bits of the memory behind it. */
static int gather_range(ViommuiLegacyContainer *container, const ViommuiLegacyRange *range)
{
    guint64 unit = viommui_legacy_limits_get_page_size(&container->limits);
    guint64 n = range->size / unit, n_pages = unit >> PAGE_SHIFT;
    g_autofree guint64 *words = g_new0(guint64, (n + 63) / 64);
    int ret = ask(container, range, words, (n + 63) / 64);

    if (ret < 0)
        return ret;
    for (guint64 i = 0; i < n; i++)
        if (words[i / 64] >> i % 64 & 1)
            set_bits(get_dirt(range->memory), get_first_page(range) + i * n_pages, n_pages);
    return 0;
}

typedef struct {
    ViommuiLegacyContainer *container;
    guint64 gpa;
    guint64 last;
    int ret;
} Gathering;

static gboolean gather_one(gpointer key, gpointer value, gpointer data)
{
    const ViommuiLegacyRange *range = value;
    Gathering *gathering = data;
    guint64 gpa = range->memory->range.iova + (get_first_page(range) << PAGE_SHIFT);

    (void)key;
    if (range->flags & VIOMMU_MAP_WRITE && gpa <= gathering->last &&
        gpa + (range->size - 1) >= gathering->gpa)
        gathering->ret = gather_range(gathering->container, range);
    return gathering->ret < 0;
}

/* Of all that the viommu's devices see. */
static int gather(ViommuiBackendViommu *viommu, guint64 gpa, guint64 last)
{
    for (guint i = 0; i < viommu->space->containers->len; i++) {
        ViommuiLegacyContainer *container = viommu->space->containers->pdata[i];
        Gathering gathering = {container, gpa, last, 0};

        if (!container->view || container->view->viommu != viommu || !container->known)
            continue;
        g_tree_foreach(container->view->ranges, gather_one, &gathering);
        if (gathering.ret < 0)
            return gathering.ret;
    }
    return 0;
}

int viommui_legacy_get_dirty(ViommuiBackendViommu *viommu, guint64 gpa, guint64 size,
                             guint64 *bitmap, gboolean keep)
{
    ViommuiLegacyRange *range = viommui_legacy_ranges_find(viommu->space->memory, gpa);
    ViommuiLegacyMemory *memory = range ? range->memory : NULL;
    guint64 first;
    int ret;

    if (!viommu->tracks_dirty || !memory || range->size - (gpa - range->iova) < size)
        return -EINVAL;
    ret = gather(viommu, gpa, gpa + (size - 1));
    if (ret < 0 || !memory->dirt)
        return ret;
    first = (gpa - range->iova) >> PAGE_SHIFT;
    for (guint64 i = 0; i < size >> PAGE_SHIFT; i++) {
        guint64 *word = &memory->dirt[(first + i) / 64], bit = 1ULL << (first + i) % 64;

        if (!(*word & bit))
            continue;
        bitmap[i / 64] |= 1ULL << i % 64;
        if (!keep)
            *word &= ~bit;
    }
    return 0;
}
