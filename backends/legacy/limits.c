/* SPDX-License-Identifier: MIT */
/*
 * What a container can map: page sizes, ranges of IOVAs, how many mappings.
 *
 * An old kernel does not say all of it: then nothing is known to be refused, until it is.
 */

#include "legacy.h"

#include <errno.h>
#include <linux/vfio.h>

enum { MIN_PAGE = 4096, MAX_CAPABILITIES = 64 };

typedef struct {
    struct vfio_iommu_type1_info *info; /* and behind it a chain of capabilities */
    gsize size;
} Answer;

/* The kernel says how long its answer is when that does not fit. */
static int ask(const ViommuiLegacyContainer *container, Answer *answer)
{
    struct vfio_iommu_type1_info *info = g_new0(struct vfio_iommu_type1_info, 1);
    gsize size = sizeof *info;
    int ret;

    for (;;) {
        info->argsz = (guint32)size;
        ret = viommui_seam_ioctl(container->space->seam, container->fd, VFIO_IOMMU_GET_INFO,
                                 info, sizeof *info);
        if (ret < 0 || info->argsz <= size)
            break;
        size = info->argsz;
        g_free(info);
        info = g_malloc0(size);
    }
    answer->info = info;
    answer->size = size;
    return ret;
}

/* The capability of this ID, which is at least so long, or NULL. */
static const void *find_capability(const Answer *answer, guint id, gsize size)
{
    const guint8 *bytes = (const guint8 *)answer->info;
    guint32 at = answer->info->flags & VFIO_IOMMU_INFO_CAPS ? answer->info->cap_offset : 0;

    for (guint n = 0; at && n < MAX_CAPABILITIES; n++) {
        const struct vfio_info_cap_header *header = (const void *)(bytes + at);

        if (at % sizeof(guint64) || at + sizeof *header > answer->size)
            return NULL;
        if (header->id == id)
            return at + size <= answer->size ? header : NULL;
        at = header->next;
    }
    return NULL;
}

static void read_ranges(const Answer *answer, GArray *ranges)
{
    const struct vfio_iommu_type1_info_cap_iova_range *capability =
        find_capability(answer, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof *capability);
    const guint8 *end = (const guint8 *)answer->info + answer->size;

    for (guint i = 0; capability && i < capability->nr_iovas; i++)
        if ((const guint8 *)&capability->iova_ranges[i + 1] <= end)
            g_array_append_val(ranges, capability->iova_ranges[i]);
}

/* How many there can be at all, of which so many are in use now. */
static guint read_n_mappings(const Answer *answer, guint used)
{
    const struct vfio_iommu_type1_info_dma_avail *capability =
        find_capability(answer, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof *capability);

    if (!capability || capability->avail > G_MAXUINT - 1 - used)
        return G_MAXUINT;
    return capability->avail + used;
}

static gboolean read_tracks_dirty(const Answer *answer)
{
    const struct vfio_iommu_type1_info_cap_migration *capability =
        find_capability(answer, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, sizeof *capability);

    return capability && capability->pgsize_bitmap;
}

gboolean viommui_legacy_limits_read(ViommuiLegacyContainer *container, GError **error)
{
    guint used = container->view ? (guint)g_tree_nnodes(container->view->ranges) : 0;
    Answer answer;
    int ret = ask(container, &answer);

    if (ret < 0) {
        viommui_legacy_set_error(error, -ret,
                                 "IOMMU group %d does not say what can be mapped for it",
                                 container->number);
        g_free(answer.info);
        return FALSE;
    }
    viommui_legacy_limits_clear(&container->limits);
    container->limits = (ViommuiLegacyLimits){
        .page_sizes = answer.info->flags & VFIO_IOMMU_INFO_PGSIZES
                          ? answer.info->iova_pgsizes & -(guint64)MIN_PAGE
                          : -(guint64)MIN_PAGE,
        .ranges = g_array_new(FALSE, FALSE, sizeof(struct vfio_iova_range)),
        .n_mappings = read_n_mappings(&answer, used),
        .tracks_dirty = read_tracks_dirty(&answer),
    };
    read_ranges(&answer, container->limits.ranges);
    g_free(answer.info);
    return TRUE;
}

void viommui_legacy_limits_clear(ViommuiLegacyLimits *limits)
{
    g_clear_pointer(&limits->ranges, g_array_unref);
}

ViommuiLegacyLimits viommui_legacy_limits_copy(const ViommuiLegacyLimits *limits)
{
    ViommuiLegacyLimits copy = *limits;

    g_array_ref(copy.ranges);
    return copy;
}

guint64 viommui_legacy_limits_get_page_size(const ViommuiLegacyLimits *limits)
{
    return limits->page_sizes ? limits->page_sizes & -limits->page_sizes : MIN_PAGE;
}

guint64 viommui_legacy_limits_get_last(const ViommuiLegacyLimits *limits)
{
    guint n = limits->ranges->len;

    return n ? g_array_index(limits->ranges, struct vfio_iova_range, n - 1).end
             : G_MAXUINT64;
}

gboolean viommui_legacy_limits_allow(const ViommuiLegacyLimits *limits, guint64 iova,
                                     guint64 size)
{
    for (guint i = 0; i < limits->ranges->len; i++) {
        const struct vfio_iova_range *range =
            &g_array_index(limits->ranges, struct vfio_iova_range, i);

        if (iova >= range->start && iova + (size - 1) <= range->end)
            return TRUE;
    }
    return limits->ranges->len == 0;
}

char *viommui_legacy_limits_describe(const ViommuiLegacyLimits *limits)
{
    GString *words = g_string_new(NULL);

    for (guint i = 0; i < limits->ranges->len; i++) {
        const struct vfio_iova_range *range =
            &g_array_index(limits->ranges, struct vfio_iova_range, i);

        g_string_append_printf(words,
                               "%s0x%" G_GINT64_MODIFIER "x-0x%" G_GINT64_MODIFIER "x",
                               i ? ", " : "", (guint64)range->start, (guint64)range->end);
    }
    return g_string_free(words, FALSE);
}
