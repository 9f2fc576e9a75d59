/* SPDX-License-Identifier: MIT */
/*
 * The host side of one VM: its backend, and the guest memory that devices may reach.
 *
 * Invariants: `mappings` is sorted by guest-physical address, free of overlaps, and holds
 * exactly what the backend has mapped through this host.
 *
 * Down the path: the backend's set-up slots.
 */

#include "private.h"

static const ViommuiBackendOps *find_backend(const char *name, GError **error)
{
    for (gsize i = 0; viommui_backends[i]; i++)
        if (!name || g_str_equal(name, viommui_backends[i]->name))
            return viommui_backends[i];
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                "backend \"%s\" is not in this build", name ? name : "");
    return NULL;
}

ViommuHost *viommu_host_new(const ViommuHostConfig *config, GError **error)
{
    static const ViommuHostConfig defaults = VIOMMU_HOST_CONFIG_INIT;
    ViommuHostConfig effective = config ? *config : defaults;
    const ViommuiBackendOps *ops = find_backend(effective.backend, error);
    ViommuiSpace *space;
    ViommuHost *host;

    if (!ops)
        return NULL;
    if (!effective.seam)
        effective.seam = viommu_seam_system();
    if (effective.ioas_id && effective.iommufd < 0) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "IOAS %u is given without the iommufd that it belongs to",
                    effective.ioas_id);
        return NULL;
    }
    if (!ops->space_open(&effective, &space, error))
        return NULL;

    host = g_new0(ViommuHost, 1);
    host->ops = ops;
    host->space = space;
    host->shares_ioas = effective.ioas_id != 0;
    host->mappings = g_array_new(FALSE, FALSE, sizeof(ViommuiMapping));
    host->groups = g_hash_table_new(NULL, NULL);
    host->configs = viommui_config_table_new();
    host->shadows = g_ptr_array_new();
    host->unreleased = g_array_new(FALSE, FALSE, sizeof(ViommuiShadowEntry));
    host->viommus = g_ptr_array_new();
    host->n_pinnings = viommu_host_count_pinnings(host);
    return host;
}

void viommu_host_free(ViommuHost *host)
{
    if (!host)
        return;
    /* What was made from it would be left dangling: better lose the host. */
    if (host->n_devices || host->n_users) {
        viommui_refuse(host, NULL, VIOMMU_UNSUPPORTED,
                       "the host is kept: %u devices and %u vIOMMUs are not freed",
                       host->n_devices, host->n_users);
        return;
    }
    /* The library destroys only what it made: a given IOAS outlives this host. */
    for (guint i = host->mappings->len; i > 0; i--) {
        const ViommuiMapping *mapping =
            &g_array_index(host->mappings, ViommuiMapping, i - 1);

        host->ops->unmap(host->space, mapping->gpa, mapping->size, NULL);
    }
    host->ops->space_close(host->space);
    g_array_unref(host->mappings);
    g_hash_table_unref(host->groups);
    g_hash_table_unref(host->configs);
    g_ptr_array_unref(host->shadows);
    g_array_unref(host->unreleased);
    g_ptr_array_unref(host->viommus);
    g_free(host);
}

guint viommu_host_count_pinnings(ViommuHost *host)
{
    return host->ops->space_count_pinnings(host->space);
}

void viommui_host_hold(ViommuHost *host)
{
    host->n_users++;
}

void viommui_host_let_go(ViommuHost *host)
{
    host->n_users--;
}

/* The index of the first mapping that ends at or after gpa. */
static guint find_index(ViommuHost *host, guint64 gpa)
{
    guint low = 0, high = host->mappings->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const ViommuiMapping *mapping =
            &g_array_index(host->mappings, ViommuiMapping, middle);

        if (mapping->gpa + (mapping->size - 1) < gpa)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const ViommuiMapping *viommui_host_find_mapping(ViommuHost *host, guint64 gpa)
{
    guint i = find_index(host, gpa);

    return i < host->mappings->len ? &g_array_index(host->mappings, ViommuiMapping, i)
                                   : NULL;
}

gboolean viommui_host_check_range(guint64 gpa, guint64 size, GError **error)
{
    if (size == 0 || gpa + (size - 1) < gpa) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "0x%" G_GINT64_MODIFIER
                    "x bytes at guest-physical 0x%" G_GINT64_MODIFIER "x are no range",
                    size, gpa);
        return FALSE;
    }
    return TRUE;
}

/* A host vIOMMU whose parent takes no read-only memory, or NULL. */
static const ViommuiHostViommu *find_read_only_refused(ViommuHost *host)
{
    for (guint i = 0; i < host->viommus->len; i++) {
        const ViommuiHostViommu *hv = host->viommus->pdata[i];

        if (hv->read_only_refused)
            return hv;
    }
    return NULL;
}

gboolean viommu_host_takes_read_only(ViommuHost *host)
{
    return !find_read_only_refused(host);
}

/* Asked here, since what the kernel answers is the same as to any other mistake. */
static gboolean check_read_only(ViommuHost *host, const ViommuiMapping *mapping,
                                GError **error)
{
    const ViommuiHostViommu *hv =
        mapping->flags & VIOMMU_MAP_WRITE ? NULL : find_read_only_refused(host);

    if (!hv)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "guest-physical 0x%" G_GINT64_MODIFIER
                "x cannot be read-only: the IOMMU of %s has erratum 772415",
                mapping->gpa, hv->name);
    return FALSE;
}

gboolean viommui_host_check_all_writable(ViommuHost *host, const char *name, GError **error)
{
    for (guint i = 0; i < host->mappings->len; i++) {
        const ViommuiMapping *mapping = &g_array_index(host->mappings, ViommuiMapping, i);

        if (mapping->flags & VIOMMU_MAP_WRITE)
            continue;
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "0x%" G_GINT64_MODIFIER
                    "x bytes at guest-physical 0x%" G_GINT64_MODIFIER
                    "x are read-only, which the IOMMU of %s does not take: erratum 772415",
                    mapping->size, mapping->gpa, name);
        return FALSE;
    }
    return TRUE;
}

static gboolean map(ViommuHost *host, const ViommuiMapping *mapping, GError **error)
{
    const ViommuiMapping *next;

    if (!viommui_host_check_range(mapping->gpa, mapping->size, error))
        return FALSE;
    if (!(mapping->flags & (VIOMMU_MAP_READ | VIOMMU_MAP_WRITE))) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "map flags 0x%x allow neither reading nor writing", mapping->flags);
        return FALSE;
    }
    next = viommui_host_find_mapping(host, mapping->gpa);
    if (next && next->gpa <= mapping->gpa + (mapping->size - 1)) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "guest-physical 0x%" G_GINT64_MODIFIER
                    "x overlaps what is mapped at 0x%" G_GINT64_MODIFIER "x",
                    mapping->gpa, next->gpa);
        return FALSE;
    }
    if (!check_read_only(host, mapping, error))
        return FALSE;
    if (!host->ops->map(host->space, mapping, error))
        return FALSE;
    g_array_insert_vals(host->mappings, find_index(host, mapping->gpa), mapping, 1);
    viommui_trace(host, NULL, VIOMMU_TRACE_MAP, VIOMMU_OK, mapping->gpa);
    viommui_shadows_add_memory(host);
    return TRUE;
}

gboolean viommu_host_map(ViommuHost *host, guint64 gpa, guint64 size, void *address,
                         ViommuMapFlags flags, GError **error)
{
    const ViommuiMapping mapping = {gpa, size, address, -1, 0, flags};

    return map(host, &mapping, error);
}

gboolean viommu_host_map_fd(ViommuHost *host, guint64 gpa, guint64 size, int fd,
                            guint64 offset, ViommuMapFlags flags, GError **error)
{
    const ViommuiMapping mapping = {gpa, size, NULL, fd, offset, flags};

    if (fd < 0) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "%d is no file descriptor to map", fd);
        return FALSE;
    }
    return map(host, &mapping, error);
}

gboolean viommu_host_unmap(ViommuHost *host, guint64 gpa, guint64 size, GError **error)
{
    const ViommuiMapping *mapping;

    if (!viommui_host_check_range(gpa, size, error))
        return FALSE;
    mapping = viommui_host_find_mapping(host, gpa);
    if (!mapping || mapping->gpa != gpa || mapping->size != size) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "no mapping was made of 0x%" G_GINT64_MODIFIER
                    "x bytes at guest-physical 0x%" G_GINT64_MODIFIER "x",
                    size, gpa);
        return FALSE;
    }
    if (!viommui_shadows_drop_memory(host, gpa, size, error))
        return FALSE;
    if (!host->ops->unmap(host->space, gpa, size, error)) {
        viommui_shadows_add_memory(host);
        return FALSE;
    }
    g_array_remove_index(host->mappings, find_index(host, gpa));
    viommui_trace(host, NULL, VIOMMU_TRACE_UNMAP, VIOMMU_OK, gpa);
    return TRUE;
}

gboolean viommui_host_find_mapped(ViommuHost *host, guint64 start, guint64 last,
                                  guint64 *ret_gpa)
{
    const ViommuiMapping *mapping = viommui_host_find_mapping(host, start);

    if (!mapping || mapping->gpa > last)
        return FALSE;
    *ret_gpa = mapping->gpa;
    return TRUE;
}

guint viommui_host_get_address_bits(ViommuHost *host)
{
    guint64 last = G_MAXUINT64;
    guint bits = 0;

    /* A host that does not say refuses memory when it is mapped. */
    host->ops->space_get_last(host->space, &last);
    while (bits < 64 && last >> bits)
        bits++;
    return bits;
}
