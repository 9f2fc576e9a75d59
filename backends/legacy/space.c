/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: its mappings, which containers at IDENTITY follow and tables are made of.
 *
 * Type 1 maps addresses of this process, so memory given as a file is mapped here as long
 * as it is guest memory.
 */

#include "legacy.h"

#include <errno.h>

/* The iommufd backend's way in is not this one's. */
static gboolean check_config(const ViommuHostConfig *config, GError **error)
{
    if (config->iommufd < 0 && !config->ioas_id)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "backend \"legacy\" takes no iommufd: %d with IOAS %u was given",
                config->iommufd, config->ioas_id);
    return FALSE;
}

gboolean viommui_legacy_space_open(const ViommuHostConfig *config, ViommuiSpace **ret_space,
                                   GError **error)
{
    ViommuiSpace *space;
    int fd;

    if (!check_config(config, error))
        return FALSE;
    space = g_new0(ViommuiSpace, 1);
    space->seam = config->seam;
    space->container_path =
        g_strdup(config->container ? config->container : "/dev/vfio/vfio");
    space->memory = viommui_legacy_ranges_new(g_free);
    space->containers = g_ptr_array_new();
    space->views = g_hash_table_new(NULL, NULL);
    space->last_unknown = VIOMMU_GROUP_ASK;
    /* Containers come with groups; but whether there can be any is to be known now. */
    fd = viommui_legacy_open_container(space, error);
    if (fd < 0) {
        viommui_legacy_space_close(space);
        return FALSE;
    }
    space->seam->ops->close(space->seam->data, fd);
    *ret_space = space;
    return TRUE;
}

static void unmap_file(ViommuiSpace *space, const ViommuiLegacyMemory *memory)
{
    if (memory->is_ours)
        space->seam->ops->munmap(space->seam->data, memory->range.address,
                                 memory->range.size);
}

static gboolean unmap_file_of(gpointer key, gpointer value, gpointer data)
{
    (void)key;
    unmap_file(data, value);
    return FALSE;
}

void viommui_legacy_space_close(ViommuiSpace *space)
{
    g_tree_foreach(space->memory, unmap_file_of, space);
    g_tree_unref(space->memory);
    g_ptr_array_unref(space->containers);
    g_hash_table_unref(space->views);
    g_free(space->container_path);
    g_free(space);
}

int viommui_legacy_space_get_last(ViommuiSpace *space, guint64 *ret_last)
{
    guint64 last = G_MAXUINT64;

    for (guint i = 0; i < space->containers->len; i++) {
        const ViommuiLegacyContainer *container = space->containers->pdata[i];

        last = MIN(last, viommui_legacy_limits_get_last(&container->limits));
    }
    *ret_last = last;
    return 0;
}

guint viommui_legacy_space_count_pinnings(ViommuiSpace *space)
{
    return space->containers->len;
}

/* Those that guest memory is mapped in, or, as they are not known, may be. */
static GPtrArray *find_identity(ViommuiSpace *space)
{
    GPtrArray *found = g_ptr_array_new();

    for (guint i = 0; i < space->containers->len; i++) {
        const ViommuiLegacyContainer *container = space->containers->pdata[i];

        if (!container->known ||
            (container->view && container->view->ranges == space->memory))
            g_ptr_array_add(found, space->containers->pdata[i]);
    }
    return found;
}

static gboolean check_units(ViommuiSpace *space, const ViommuiLegacyRange *range,
                            GError **error)
{
    guint64 unit = 4096;

    for (guint i = 0; i < space->containers->len; i++) {
        const ViommuiLegacyContainer *container = space->containers->pdata[i];

        unit = MAX(unit, viommui_legacy_limits_get_page_size(&container->limits));
    }
    if (!((range->iova | range->size | (guintptr)range->address) & (unit - 1)))
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                "0x%" G_GINT64_MODIFIER "x bytes at guest-physical 0x%" G_GINT64_MODIFIER
                "x, here at %p, are not made of pages of 0x%" G_GINT64_MODIFIER "x bytes",
                range->size, range->iova, (void *)range->address, unit);
    return FALSE;
}

/* Asked here, since what the kernel answers is the same as to any other mistake. */
static gboolean check_ranges(const GPtrArray *containers, const ViommuiLegacyRange *range,
                             GError **error)
{
    for (guint i = 0; i < containers->len; i++) {
        const ViommuiLegacyContainer *container = containers->pdata[i];
        g_autofree char *ranges = NULL;

        if (viommui_legacy_limits_allow(&container->limits, range->iova, range->size))
            continue;
        ranges = viommui_legacy_limits_describe(&container->limits);
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "0x%" G_GINT64_MODIFIER
                    "x bytes at guest-physical 0x%" G_GINT64_MODIFIER
                    "x are not within what IOMMU group %d can have mapped: %s",
                    range->size, range->iova, container->number, ranges);
        return FALSE;
    }
    return TRUE;
}

static int map_file(ViommuiSpace *space, const ViommuiMapping *mapping,
                    guint8 **ret_address)
{
    void *address;
    int ret = space->seam->ops->mmap(space->seam->data, mapping->fd,
                                     (gint64)mapping->offset, mapping->size,
                                     !!(mapping->flags & VIOMMU_MAP_WRITE), &address);

    if (ret == 0)
        *ret_address = address;
    return ret;
}

static ViommuiLegacyMemory *memory_new(ViommuiSpace *space, const ViommuiMapping *mapping,
                                       GError **error)
{
    guint8 *address = mapping->address;
    ViommuiLegacyMemory *memory;

    if (mapping->fd >= 0) {
        int ret = map_file(space, mapping, &address);

        if (ret < 0) {
            viommui_legacy_set_error(error, -ret,
                                     "0x%" G_GINT64_MODIFIER
                                     "x bytes at 0x%" G_GINT64_MODIFIER
                                     "x of fd %d cannot be mapped here",
                                     mapping->size, mapping->offset, mapping->fd);
            return NULL;
        }
    }
    memory = g_new0(ViommuiLegacyMemory, 1);
    memory->is_ours = mapping->fd >= 0;
    memory->range = (ViommuiLegacyRange){
        .iova = mapping->gpa,
        .size = mapping->size,
        .address = address,
        .memory = memory,
        .flags = mapping->flags,
    };
    return memory;
}

static gboolean map(ViommuiSpace *space, const ViommuiLegacyRange *range, GError **error)
{
    g_autoptr(GPtrArray) containers = find_identity(space);
    guint n = containers->len;
    int ret;

    if (!check_units(space, range, error) || !check_ranges(containers, range, error))
        return FALSE;
    ret = viommui_legacy_map_everywhere(containers, range);
    if (ret < 0)
        viommui_legacy_set_error(error, -ret,
                                 "the host does not map 0x%" G_GINT64_MODIFIER
                                 "x bytes at guest-physical 0x%" G_GINT64_MODIFIER
                                 "x for each of %u IOMMU groups, which pin it once each",
                                 range->size, range->iova, n);
    return ret >= 0;
}

static gboolean add_memory(ViommuiSpace *space, const ViommuiMapping *mapping,
                           GError **error)
{
    ViommuiLegacyMemory *memory = memory_new(space, mapping, error);

    if (!memory)
        return FALSE;
    if (!map(space, &memory->range, error)) {
        unmap_file(space, memory);
        g_free(memory);
        return FALSE;
    }
    g_tree_insert(space->memory, &memory->range.iova, memory);
    return TRUE;
}

/* FALSE: some cannot be brought to show their views now; it is tried with the next change.
 */
static gboolean settle(ViommuiSpace *space)
{
    g_autoptr(GPtrArray) containers = find_identity(space);

    return viommui_legacy_settle_everywhere(containers) >= 0;
}

gboolean viommui_legacy_map(ViommuiSpace *space, const ViommuiMapping *mapping,
                            GError **error)
{
    g_autoptr(GError) refusal = NULL;
    gboolean ok = add_memory(space, mapping, &refusal);

    if (!settle(space) && refusal) {
        /* The VMM must not take it for free. */
        refusal->code = VIOMMU_ERROR_HOST_GONE;
        g_prefix_error(&refusal, "devices may reach it for all that: ");
    }
    if (refusal)
        g_propagate_error(error, g_steal_pointer(&refusal));
    return ok;
}

static gboolean remove_memory(ViommuiSpace *space, guint64 gpa, guint64 size,
                              GError **error)
{
    g_autoptr(GPtrArray) containers = find_identity(space);
    ViommuiLegacyMemory *memory = g_tree_lookup(space->memory, &gpa);
    int ret;

    if (memory->n_copies) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "0x%" G_GINT64_MODIFIER
                    "x bytes at guest-physical 0x%" G_GINT64_MODIFIER
                    "x are mapped by %u entries of guest tables",
                    size, gpa, memory->n_copies);
        return FALSE;
    }
    ret = viommui_legacy_unmap_everywhere(containers, &memory->range);
    if (ret < 0) {
        viommui_legacy_set_error(error, -ret,
                                 "the host does not unmap 0x%" G_GINT64_MODIFIER
                                 "x bytes at guest-physical 0x%" G_GINT64_MODIFIER "x",
                                 size, gpa);
        return FALSE;
    }
    unmap_file(space, memory);
    g_tree_remove(space->memory, &gpa);
    return TRUE;
}

gboolean viommui_legacy_unmap(ViommuiSpace *space, guint64 gpa, guint64 size,
                              GError **error)
{
    gboolean ok = remove_memory(space, gpa, size, error);

    settle(space);
    return ok;
}
