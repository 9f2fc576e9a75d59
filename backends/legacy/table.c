/* SPDX-License-Identifier: MIT */
/*
 * Tables: views of their own, made of parts of guest memory.
 *
 * A table keeps what is mapped in it, for a group that is attached to it later is to be
 * given all of that, and several may be attached at once. What the kernel would refuse then
 * is refused when it is mapped, by the limits of the device that the table was made for.
 *
 * Up the path: core's shadow engine. Down the path: view.c.
 */

#include "legacy.h"

#include <errno.h>

struct ViommuiTable {
    ViommuiLegacyView view;
    ViommuiLegacyLimits limits; /* of the device that it was made for */
};

gboolean viommui_legacy_table_new(ViommuiBackendViommu *viommu,
                                  ViommuiBackendDevice *device, ViommuiTable **ret_table,
                                  guint32 *ret_hwpt, GError **error)
{
    ViommuiTable *table = g_new0(ViommuiTable, 1);
    g_autoptr(GTree) ranges = viommui_legacy_ranges_new(g_free);

    (void)error; /* it is all in this process */
    table->limits = viommui_legacy_limits_copy(&device->container->limits);
    viommui_legacy_view_init(&table->view, viommu, ranges);
    *ret_table = table;
    *ret_hwpt = table->view.hwpt;
    return TRUE;
}

static gboolean forget_copy(gpointer key, gpointer value, gpointer data)
{
    const ViommuiLegacyRange *range = value;

    (void)key;
    (void)data;
    range->memory->n_copies--;
    return FALSE;
}

/* Where its containers could not be emptied, memory is kept until they are (space.c). */
gboolean viommui_legacy_table_free(ViommuiTable *table)
{
    g_tree_foreach(table->view.ranges, forget_copy, NULL);
    viommui_legacy_view_clear(&table->view);
    viommui_legacy_limits_clear(&table->limits);
    g_free(table);
    return TRUE;
}

/* The part of guest memory from gpa, as it would be seen at iova: what it must lie in. */
static int find_memory(ViommuiTable *table, ViommuiLegacyRange *range, guint64 gpa)
{
    ViommuiLegacyRange *whole =
        viommui_legacy_ranges_find(table->view.viommu->space->memory, gpa);

    if (!whole || whole->size - (gpa - whole->iova) < range->size)
        return -ENOENT;
    if (range->flags & ~whole->flags)
        return -EPERM;
    range->memory = whole->memory;
    range->address = whole->address + (gpa - whole->iova);
    return 0;
}

/* One more mapping fits, into each that shows it. */
static gboolean has_room(ViommuiTable *table)
{
    guint n = table->limits.n_mappings;

    for (guint i = 0; i < table->view.containers->len; i++) {
        const ViommuiLegacyContainer *container = table->view.containers->pdata[i];

        n = MIN(n, container->limits.n_mappings);
    }
    return n == G_MAXUINT || (guint)g_tree_nnodes(table->view.ranges) < n;
}

static int check_range(ViommuiTable *table, const ViommuiLegacyRange *range, guint64 gpa)
{
    guint64 unit = viommui_legacy_limits_get_page_size(&table->limits);

    if (range->size == 0 || !range->flags ||
        ((range->iova | range->size | gpa) & (unit - 1)))
        return -EINVAL;
    if (range->iova + (range->size - 1) < range->iova)
        return -EOVERFLOW;
    if (!viommui_legacy_limits_allow(&table->limits, range->iova, range->size))
        return -EINVAL;
    if (viommui_legacy_ranges_overlap(table->view.ranges, range->iova, range->size))
        return -EEXIST;
    return has_room(table) ? 0 : -ENOSPC;
}

int viommui_legacy_table_map(ViommuiTable *table, guint64 iova, guint64 gpa, guint64 size,
                             ViommuMapFlags flags)
{
    ViommuiLegacyRange range = {.iova = iova, .size = size, .flags = flags};
    ViommuiLegacyRange *kept;
    int ret = check_range(table, &range, gpa);

    if (ret == 0)
        ret = find_memory(table, &range, gpa);
    if (ret == 0)
        ret = viommui_legacy_map_everywhere(table->view.containers, &range);
    if (ret < 0)
        return ret;
    kept = g_memdup2(&range, sizeof range);
    kept->memory->n_copies++;
    g_tree_insert(table->view.ranges, &kept->iova, kept);
    return 0;
}

int viommui_legacy_table_unmap(ViommuiTable *table, guint64 iova, guint64 size)
{
    ViommuiLegacyRange *range = g_tree_lookup(table->view.ranges, &iova);
    int ret;

    if (!range || range->size != size)
        return -ENOENT;
    ret = viommui_legacy_unmap_everywhere(table->view.containers, range);
    if (ret < 0)
        return ret;
    if (table->view.containers->len)
        viommui_legacy_keep_range(&table->view, range);
    range->memory->n_copies--;
    g_tree_remove(table->view.ranges, &iova);
    return 0;
}

int viommui_legacy_table_settle(ViommuiTable *table)
{
    return viommui_legacy_settle_everywhere(table->view.containers);
}

/* Its own, and those of all that show it. */
int viommui_legacy_table_get_last(ViommuiTable *table, guint64 *ret_last)
{
    guint64 last = viommui_legacy_limits_get_last(&table->limits);

    for (guint i = 0; i < table->view.containers->len; i++) {
        const ViommuiLegacyContainer *container = table->view.containers->pdata[i];

        last = MIN(last, viommui_legacy_limits_get_last(&container->limits));
    }
    *ret_last = last;
    return 0;
}
