/* SPDX-License-Identifier: MIT */
/*
 * What devices have written, by the dirty bitmaps of containers.
 *
 * A container is asked by IOVA, and for whole mappings, and forgets what it has told. So
 * whatever it tells of a mapping is kept as dirt of the guest memory that is mapped there,
 * and the answer is taken from that: also when the mapping has gone since, or is a copy in
 * a table.
 *
 * The kernel says of real devices, whose writing it does not see, that all that is mapped
 * is dirty. So that is what a mapping leaves behind that can be written.
 */

#include "legacy.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

/* The guest-physical address of what is mapped. */
static guint64 get_gpa(const ViommuiLegacyRange *range)
{
    const ViommuiLegacyRange *whole = &range->memory->range;

    return whole->iova + (guint64)(range->address - whole->address);
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

gboolean viommui_legacy_can_track_dirty(ViommuiBackendViommu *viommu)
{
    return viommu->can_track_dirty;
}

int viommui_legacy_set_dirty_tracking(ViommuiBackendViommu *viommu, gboolean on)
{
    int ret;

    if (on && !viommu->can_track_dirty)
        return -EOPNOTSUPP;
    viommui_dirt_clear(viommu->dirt);
    ret = record_all(viommu, on);
    if (on && ret < 0)
        record_all(viommu, FALSE);
    viommu->tracks_dirty = on && ret == 0;
    return ret;
}

/* --- keeping ------------------------------------------------------------------------ */

void viommui_legacy_keep_range(const ViommuiLegacyView *view,
                               const ViommuiLegacyRange *range)
{
    if (view->viommu->tracks_dirty && range->flags & VIOMMU_MAP_WRITE)
        viommui_dirt_add(view->viommu->dirt, get_gpa(range), range->size);
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

/* The bits of a mapping become dirt of the memory behind it, run by run. */
static void add_bits(ViommuiDirt *dirt, guint64 gpa, guint64 unit, const guint64 *words,
                     guint64 n)
{
    guint64 first = 0, end;

    for (; first < n; first = end + 1) {
        for (end = first; end < n && words[end / 64] >> end % 64 & 1; end++)
            ;
        viommui_dirt_add(dirt, gpa + first * unit, (end - first) * unit);
    }
}

static int gather_range(ViommuiLegacyContainer *container, const ViommuiLegacyRange *range)
{
    guint64 unit = viommui_legacy_limits_get_page_size(&container->limits);
    guint64 n = range->size / unit;
    g_autofree guint64 *words = g_new0(guint64, (n + 63) / 64);
    int ret = ask(container, range, words, (n + 63) / 64);

    if (ret >= 0)
        add_bits(container->view->viommu->dirt, get_gpa(range), unit, words, n);
    return ret;
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
    guint64 gpa = get_gpa(range);

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
    int ret;

    if (!viommu->tracks_dirty)
        return -EINVAL;
    ret = gather(viommu, gpa, gpa + (size - 1));
    if (ret == 0)
        viommui_dirt_take(viommu->dirt, gpa, size, bitmap, keep);
    return ret;
}
