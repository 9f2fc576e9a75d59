/* SPDX-License-Identifier: MIT */
/*
 * Views: sorted ranges, and having containers follow them.
 *
 * Invariants: ranges do not overlap; a container that is `known` has mapped exactly the
 * ranges of its view. One that is not is brought to be by settle_everywhere().
 *
 * Up the path: space.c, viommu.c, table.c. Down the path: container.c.
 */

#include "legacy.h"

static gint compare(gconstpointer a, gconstpointer b, gpointer data)
{
    const guint64 *x = a, *y = b;

    (void)data;
    return *x < *y ? -1 : *x > *y;
}

GTree *viommui_legacy_ranges_new(GDestroyNotify free_range)
{
    return g_tree_new_full(compare, NULL, NULL, free_range);
}

/* The last one that begins at or before this address, or NULL. */
static ViommuiLegacyRange *find_before(GTree *ranges, guint64 iova)
{
    GTreeNode *node = g_tree_upper_bound(ranges, &iova);

    node = node ? g_tree_node_previous(node) : g_tree_node_last(ranges);
    return node ? g_tree_node_value(node) : NULL;
}

ViommuiLegacyRange *viommui_legacy_ranges_find(GTree *ranges, guint64 iova)
{
    ViommuiLegacyRange *range = find_before(ranges, iova);

    return range && iova - range->iova < range->size ? range : NULL;
}

gboolean viommui_legacy_ranges_overlap(GTree *ranges, guint64 iova, guint64 size)
{
    const ViommuiLegacyRange *range = find_before(ranges, iova + (size - 1));

    return range && range->iova + (range->size - 1) >= iova;
}

void viommui_legacy_view_init(ViommuiLegacyView *view, ViommuiBackendViommu *viommu,
                              GTree *ranges)
{
    ViommuiSpace *space = viommu->space;

    do
        view->hwpt = ++space->last_hwpt;
    while (view->hwpt == 0 ||
           g_hash_table_contains(space->views, GUINT_TO_POINTER(view->hwpt)));
    view->viommu = viommu;
    view->ranges = g_tree_ref(ranges);
    view->containers = g_ptr_array_new();
    g_hash_table_insert(space->views, GUINT_TO_POINTER(view->hwpt), view);
}

void viommui_legacy_view_clear(ViommuiLegacyView *view)
{
    g_hash_table_remove(view->viommu->space->views, GUINT_TO_POINTER(view->hwpt));
    /* Where even unmapping was refused, what is left of it is nobody's. */
    for (guint i = 0; i < view->containers->len; i++) {
        ViommuiLegacyContainer *container = view->containers->pdata[i];

        container->view = NULL;
        container->known = FALSE;
    }
    g_ptr_array_unref(view->containers);
    g_tree_unref(view->ranges);
}

/* What must not stay; where it does, all of the container is in doubt. */
static void undo(ViommuiLegacyContainer *container, const ViommuiLegacyRange *range)
{
    for (guint tries = 0; tries < 3; tries++)
        if (viommui_legacy_container_unmap(container, range) >= 0)
            return;
    container->known = FALSE;
}

int viommui_legacy_map_everywhere(GPtrArray *containers, const ViommuiLegacyRange *range)
{
    for (guint i = 0; i < containers->len; i++) {
        ViommuiLegacyContainer *container = containers->pdata[i];
        int ret = container->known ? viommui_legacy_container_map(container, range) : 0;

        if (ret >= 0)
            continue;
        while (i-- > 0) {
            container = containers->pdata[i];
            if (container->known)
                undo(container, range);
        }
        return ret;
    }
    return 0;
}

/* What could not be unmapped for one stays for all that show it. */
static void restore(GPtrArray *containers, guint n, const ViommuiLegacyRange *range)
{
    for (guint i = 0; i < n; i++) {
        ViommuiLegacyContainer *container = containers->pdata[i];

        if (container->known && viommui_legacy_container_map(container, range) < 0)
            container->known = FALSE;
    }
}

int viommui_legacy_unmap_everywhere(GPtrArray *containers, const ViommuiLegacyRange *range)
{
    for (guint i = 0; i < containers->len; i++) {
        ViommuiLegacyContainer *container = containers->pdata[i];
        int ret = container->known ? viommui_legacy_container_unmap(container, range)
                                   : viommui_legacy_container_empty(container);

        if (ret < 0) {
            restore(containers, i, range);
            return ret;
        }
    }
    return 0;
}

int viommui_legacy_settle_everywhere(GPtrArray *containers)
{
    int first = 0;

    /* Backwards, for one that is to be BLOCKED leaves the array. */
    for (guint i = containers->len; i-- > 0;) {
        int ret = viommui_legacy_container_settle(containers->pdata[i]);

        first = first < 0 ? first : ret;
    }
    return first < 0 ? first : 0;
}
