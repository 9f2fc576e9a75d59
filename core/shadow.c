/* SPDX-License-Identifier: MIT */
/*
 * The shadow engine.
 *
 * A sync walks the guest's table over the range, and over as much more as mappings and
 * guest pages that lie across its ends reach; what is read there is never older than what
 * was invalidated. Neighbouring pages become one mapping. The host unmaps only what it
 * mapped, so a mapping stays as long as the guest grants all of it; where a part is taken
 * back, the whole goes and the rest comes again. That is a gap for the rest, but never a
 * page too much: therefore pages are joined only within one sync, which is what a guest
 * maps, and mostly takes back, as one.
 *
 * Invariants: `mappings` is exactly what the host has mapped, without overlaps. What is
 * mapped is guest memory of one mapping of the VMM's, and goes before that does.
 *
 * Up the path: vendors. Down the path: the backend's tables. Beside: config.c, which counts
 * who is attached; host.c, which tells when guest memory comes and goes.
 */

#include "core/shadow.h"

#include "private.h"

struct ViommuiShadow {
    ViommuHost *host;
    ViommuiHostViommu *viommu;
    ViommuiConfig *config; /* its HWPT; holds the shadow while a device may be attached */
    ViommuiTable *table;
    ViommuiShadowSource source; /* no walk: it is not wanted any more */
    GTree *mappings;            /* IOVA of ViommuiShadowEntry -> the same */
    GArray *reserved;           /* ViommuReservedRegion: whole pages, never mapped */
    guint64 limit;              /* the last IOVA that the host can map */
    gboolean lacks;             /* something that the guest maps could not be had */
};

/* --- mappings ---------------------------------------------------------------------------
 */

static gint compare_iova(gconstpointer a, gconstpointer b, gpointer data)
{
    const guint64 *x = a, *y = b;

    (void)data;
    return *x < *y ? -1 : *x > *y;
}

static guint64 last_of(const ViommuiShadowEntry *entry)
{
    return entry->iova + (entry->size - 1);
}

/* The first mapping that ends at or after iova, or NULL. */
static GTreeNode *find(const ViommuiShadow *shadow, guint64 iova)
{
    GTreeNode *node = g_tree_lower_bound(shadow->mappings, &iova);
    GTreeNode *before =
        node ? g_tree_node_previous(node) : g_tree_node_last(shadow->mappings);

    if (before && last_of(g_tree_node_value(before)) >= iova)
        return before;
    return node;
}

static ViommuResult map(ViommuiShadow *shadow, const ViommuiShadowEntry *entry)
{
    ViommuiShadowEntry *copy;
    ViommuResult result = viommui_backend_table_map(
        shadow->viommu, shadow->table, entry->iova, entry->gpa, entry->size, entry->flags);

    if (result != VIOMMU_OK)
        return result;
    copy = g_memdup2(entry, sizeof *entry);
    g_tree_insert(shadow->mappings, &copy->iova, copy);
    return VIOMMU_OK;
}

static ViommuResult unmap(ViommuiShadow *shadow, const ViommuiShadowEntry *entry)
{
    ViommuResult result = viommui_backend_table_unmap(shadow->viommu, shadow->table,
                                                      entry->iova, entry->size);

    if (result == VIOMMU_OK)
        g_tree_remove(shadow->mappings, &entry->iova);
    return result;
}

/* The devices have what `mappings` says, also where the host has refused something. */
static ViommuResult settle(ViommuiShadow *shadow)
{
    return viommui_backend_table_settle(shadow->viommu, shadow->table);
}

/* --- what the guest grants --------------------------------------------------------------
 */

/* What is gathered of a walk: pieces that the host can map, in order. */
typedef struct {
    ViommuiShadow *shadow;
    GArray *pieces; /* ViommuiShadowEntry */
    guint64 first;  /* of all that was visited, and of the range */
    guint64 last;
    guint64 max_pieces;
    gboolean failed;
} Gathering;

/* The first failure of a sync is told, here and in words: one cause mostly makes many. */
static gboolean fail(Gathering *gathering, guint64 iova, ViommuResult result)
{
    ViommuiShadow *shadow = gathering->shadow;
    gboolean is_first = !gathering->failed;

    shadow->lacks = TRUE;
    gathering->failed = TRUE;
    if (is_first)
        shadow->source.failed(iova, result, shadow->source.user_data);
    return is_first;
}

/*
 * As many as a guest needs that grants each of its pages, and no two of them side by side.
 * A guest may have few tables stand for many, and what is gathered is this process's.
 */
static guint64 count_max_pieces(const ViommuHost *host)
{
    enum { AT_LEAST = 1 << 16, PAGE_BITS = 12 };
    guint64 n = AT_LEAST;

    for (guint i = 0; i < host->mappings->len; i++)
        n += g_array_index(host->mappings, ViommuiMapping, i).size >> PAGE_BITS;
    return n;
}

/* Joined with the piece before it, where that leads on to it. FALSE: there are too many. */
static gboolean add_piece(Gathering *gathering, const ViommuiShadowEntry *piece,
                          gboolean may_join)
{
    ViommuiShadowEntry *before = gathering->pieces->len
                                     ? &g_array_index(gathering->pieces, ViommuiShadowEntry,
                                                      gathering->pieces->len - 1)
                                     : NULL;

    if (may_join && before && before->iova + before->size == piece->iova &&
        before->gpa + before->size == piece->gpa && before->flags == piece->flags) {
        before->size += piece->size;
        return TRUE;
    }
    if (gathering->pieces->len >= gathering->max_pieces)
        return FALSE;
    g_array_append_vals(gathering->pieces, piece, 1);
    return TRUE;
}

static void fail_no_memory(Gathering *gathering, const ViommuiShadowEntry *piece)
{
    if (fail(gathering, piece->iova, VIOMMU_GUEST_INVALID))
        viommui_refuse(gathering->shadow->host, NULL, VIOMMU_GUEST_INVALID,
                       "IOVA 0x%" G_GINT64_MODIFIER "x leads to 0x%" G_GINT64_MODIFIER
                       "x, which is no guest memory%s",
                       piece->iova, piece->gpa,
                       gathering->shadow->host->shares_ioas
                           ? " that was mapped by viommu_host_map()"
                           : "");
}

/* The first region of those that reach into a piece, or NULL. */
static const ViommuReservedRegion *find_reserved(const ViommuiShadow *shadow,
                                                 const ViommuiShadowEntry *piece)
{
    const ViommuReservedRegion *first = NULL;

    for (guint i = 0; i < shadow->reserved->len; i++) {
        const ViommuReservedRegion *region =
            &g_array_index(shadow->reserved, ViommuReservedRegion, i);

        if (region->start <= last_of(piece) && region->last >= piece->iova &&
            (!first || region->start < first->start))
            first = region;
    }
    return first;
}

static void fail_reserved(Gathering *gathering, guint64 iova,
                          const ViommuReservedRegion *region)
{
    if (fail(gathering, iova, VIOMMU_UNSUPPORTED))
        viommui_refuse(gathering->shadow->host, NULL, VIOMMU_UNSUPPORTED,
                       "IOVA 0x%" G_GINT64_MODIFIER "x is in 0x%" G_GINT64_MODIFIER
                       "x-0x%" G_GINT64_MODIFIER "x, which a device reserves",
                       iova, region->start, region->last);
}

/* What lies between reserved regions. FALSE: there are too many pieces. */
static gboolean add_unreserved(Gathering *gathering, const ViommuiShadowEntry *piece,
                               gboolean may_join)
{
    ViommuiShadowEntry rest = *piece;
    const ViommuReservedRegion *region;

    while ((region = find_reserved(gathering->shadow, &rest))) {
        guint64 before = region->start > rest.iova ? region->start - rest.iova : 0;
        ViommuiShadowEntry part = rest;

        part.size = before;
        if (before && !add_piece(gathering, &part, may_join))
            return FALSE;
        fail_reserved(gathering, rest.iova + before, region);
        if (region->last >= last_of(&rest))
            return TRUE;
        rest.size = last_of(&rest) - region->last;
        rest.gpa += region->last + 1 - rest.iova;
        rest.iova = region->last + 1;
    }
    return add_piece(gathering, &rest, may_join);
}

/* Cut at the ends of the VMM's mappings of guest memory; what lies between is no memory. */
static gboolean cut(Gathering *gathering, const ViommuiShadowEntry *entry)
{
    ViommuiShadow *shadow = gathering->shadow;
    guint64 done = 0;

    while (done < entry->size) {
        guint64 gpa = entry->gpa + done, rest = entry->size - done, size;
        const ViommuiMapping *memory = viommui_host_find_mapping(shadow->host, gpa);
        ViommuiShadowEntry piece = {entry->iova + done, gpa, 0, entry->flags};

        if (!memory || memory->gpa > gpa) {
            size = memory ? MIN(rest, memory->gpa - gpa) : rest;
            fail_no_memory(gathering, &piece);
        } else {
            size = MIN(rest, memory->size - (gpa - memory->gpa));
            piece.size = size;
            piece.flags &= memory->flags;
            /* Other memory in its place may allow more. */
            if (!piece.flags)
                shadow->lacks = TRUE;
            else if (!add_unreserved(gathering, &piece, gpa != memory->gpa))
                return FALSE;
        }
        done += size;
    }
    return TRUE;
}

static void fail_beyond(Gathering *gathering, guint64 iova)
{
    if (fail(gathering, iova, VIOMMU_UNSUPPORTED))
        viommui_refuse(gathering->shadow->host, NULL, VIOMMU_UNSUPPORTED,
                       "IOVA 0x%" G_GINT64_MODIFIER "x is beyond 0x%" G_GINT64_MODIFIER
                       "x, the last that the host maps",
                       iova, gathering->shadow->limit);
}

static gboolean gather(const ViommuiShadowEntry *entry, void *visit_data)
{
    Gathering *gathering = visit_data;
    guint64 limit = gathering->shadow->limit;
    ViommuiShadowEntry within = *entry;

    gathering->first = MIN(gathering->first, entry->iova);
    gathering->last = MAX(gathering->last, last_of(entry));
    if (last_of(entry) > limit) {
        fail_beyond(gathering, MAX(entry->iova, limit + 1));
        if (entry->iova > limit)
            return TRUE;
        within.size = limit - entry->iova + 1;
    }
    return cut(gathering, &within);
}

/* The range, with all mappings whole that lie across its ends. */
static void widen(const ViommuiShadow *shadow, guint64 *first, guint64 *last)
{
    GTreeNode *node = find(shadow, *first);

    if (node)
        *first = MIN(*first, ((ViommuiShadowEntry *)g_tree_node_value(node))->iova);
    node = find(shadow, *last);
    if (node) {
        const ViommuiShadowEntry *entry = g_tree_node_value(node);

        if (entry->iova <= *last)
            *last = MAX(*last, last_of(entry));
    }
}

/*
 * As much again on the side that was reached out of: what hangs together by many mappings
 * and pages that lie across each other's ends is then not walked once for each.
 */
static void leap(Gathering *gathering, guint64 first, guint64 last)
{
    guint64 size = last - first;

    if (gathering->first < first)
        gathering->first -= MIN(gathering->first, size);
    if (gathering->last > last)
        gathering->last += MIN(G_MAXUINT64 - gathering->last, size);
}

/* Until neither a mapping nor a guest page reaches out of the range. */
static gboolean gather_all(Gathering *gathering)
{
    const ViommuiShadowSource *source = &gathering->shadow->source;
    guint64 first = gathering->first, last = gathering->last;

    for (guint n = 0;; n++) {
        /* A guest page that was told of in part, and a mapping across its ends: no more. */
        if (n > 2)
            leap(gathering, first, last);
        widen(gathering->shadow, &gathering->first, &gathering->last);
        first = gathering->first;
        last = gathering->last;
        g_array_set_size(gathering->pieces, 0);
        if (!source->walk(first, last, gather, gathering, source->user_data))
            return FALSE;
        if (gathering->first == first && gathering->last == last)
            return TRUE;
    }
}

/* --- sync -------------------------------------------------------------------------------
 */

/* The piece, from index *at on, in which an address lies; or NULL. */
static const ViommuiShadowEntry *piece_of(const GArray *pieces, guint *at, guint64 iova)
{
    while (*at < pieces->len) {
        const ViommuiShadowEntry *piece = &g_array_index(pieces, ViommuiShadowEntry, *at);

        if (last_of(piece) >= iova)
            return piece->iova <= iova ? piece : NULL;
        ++*at;
    }
    return NULL;
}

/* All of the mapping is granted, by one piece or by several side by side. */
static gboolean is_granted(const GArray *pieces, guint *at, const ViommuiShadowEntry *entry)
{
    guint64 iova = entry->iova;

    for (;;) {
        const ViommuiShadowEntry *piece = piece_of(pieces, at, iova);

        if (!piece || piece->flags != entry->flags ||
            piece->gpa + (iova - piece->iova) != entry->gpa + (iova - entry->iova))
            return FALSE;
        if (last_of(piece) >= last_of(entry))
            return TRUE;
        iova = last_of(piece) + 1;
    }
}

/* What is not granted any more goes. */
static ViommuResult take_back(Gathering *gathering)
{
    ViommuiShadow *shadow = gathering->shadow;
    GTreeNode *node = find(shadow, gathering->first);
    guint at = 0;

    while (node) {
        const ViommuiShadowEntry *entry = g_tree_node_value(node);

        if (entry->iova > gathering->last)
            break;
        node = g_tree_node_next(node);
        if (!is_granted(gathering->pieces, &at, entry)) {
            ViommuResult result = unmap(shadow, entry);

            if (result != VIOMMU_OK)
                return result;
        }
    }
    return VIOMMU_OK;
}

/* A piece, but for what is there already. */
static void grant_piece(Gathering *gathering, const ViommuiShadowEntry *piece)
{
    ViommuiShadow *shadow = gathering->shadow;
    guint64 iova = piece->iova, end = last_of(piece);

    for (;;) {
        GTreeNode *node = find(shadow, iova);
        const ViommuiShadowEntry *there = node ? g_tree_node_value(node) : NULL;
        guint64 gap_last = there && there->iova <= end ? there->iova - 1 : end;

        if (!there || there->iova > iova) {
            const ViommuiShadowEntry gap = {iova, piece->gpa + (iova - piece->iova),
                                            gap_last - iova + 1, piece->flags};
            ViommuResult result = map(shadow, &gap);

            if (result != VIOMMU_OK)
                fail(gathering, iova, result);
        }
        if (!there || there->iova > end || last_of(there) >= end)
            return;
        iova = last_of(there) + 1;
    }
}

static void fail_too_large(Gathering *gathering)
{
    fail(gathering, gathering->first, VIOMMU_GUEST_INVALID);
    viommui_refuse(gathering->shadow->host, NULL, VIOMMU_GUEST_INVALID,
                   "the guest's table is too large to be copied from IOVA "
                   "0x%" G_GINT64_MODIFIER "x to 0x%" G_GINT64_MODIFIER "x",
                   gathering->first, gathering->last);
}

ViommuResult viommui_shadow_sync(ViommuiShadow *shadow, guint64 first, guint64 last)
{
    Gathering gathering = {.shadow = shadow,
                           .first = first,
                           .last = last,
                           .max_pieces = count_max_pieces(shadow->host)};
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(ViommuiShadowEntry));
    ViommuResult result;

    gathering.pieces = pieces;
    /* It may have changed with the devices, for which all of it is made. */
    if (first == 0 && last == G_MAXUINT64)
        shadow->limit = viommui_backend_table_get_last(shadow->viommu, shadow->table);
    if (!gather_all(&gathering)) {
        g_array_set_size(pieces, 0);
        fail_too_large(&gathering);
    }
    result = take_back(&gathering);
    for (guint i = 0; i < pieces->len && result == VIOMMU_OK; i++)
        grant_piece(&gathering, &g_array_index(pieces, ViommuiShadowEntry, i));
    return result == VIOMMU_OK ? settle(shadow) : result;
}

guint viommui_shadow_count(const ViommuiShadow *shadow)
{
    return g_tree_nnodes(shadow->mappings);
}

/* --- guest memory comes and goes --------------------------------------------------------
 */

/* What it lacks may be had now. Nobody has asked for it, so the source is told if it fails.
 */
static void sync_lacking(ViommuiShadow *shadow)
{
    ViommuiConfig *config = viommui_config_ref(shadow->config);
    ViommuResult result;

    shadow->lacks = FALSE;
    result = viommui_shadow_sync(shadow, 0, G_MAXUINT64);
    if (result != VIOMMU_OK) {
        shadow->lacks = TRUE;
        shadow->source.broken(result, shadow->source.user_data);
    }
    viommui_config_unref(config);
}

void viommui_shadows_add_memory(ViommuHost *host)
{
    /* Backwards, for one whose devices are blocked goes. */
    for (guint i = host->shadows->len; i-- > 0;) {
        ViommuiShadow *shadow = host->shadows->pdata[i];

        if (shadow->lacks && shadow->source.walk)
            sync_lacking(shadow);
    }
}

static ViommuResult drop_memory(ViommuiShadow *shadow, guint64 gpa, guint64 size)
{
    GTreeNode *node = g_tree_node_first(shadow->mappings);
    ViommuResult result = settle(shadow);

    while (node && result == VIOMMU_OK) {
        const ViommuiShadowEntry *entry = g_tree_node_value(node);

        node = g_tree_node_next(node);
        /* None lies across the end of a mapping of guest memory. */
        if (entry->gpa - gpa < size) {
            result = unmap(shadow, entry);
            shadow->lacks = shadow->lacks || result == VIOMMU_OK;
        }
    }
    /* Whoever cannot be brought to is detached by the next sync. */
    settle(shadow);
    return result;
}

/* Some of it that a shadow which is gone has left behind, or NULL. */
static const ViommuiShadowEntry *find_unreleased(const ViommuHost *host, guint64 gpa,
                                                 guint64 size)
{
    for (guint i = 0; i < host->unreleased->len; i++) {
        const ViommuiShadowEntry *entry =
            &g_array_index(host->unreleased, ViommuiShadowEntry, i);

        if (entry->gpa - gpa < size)
            return entry;
    }
    return NULL;
}

gboolean viommui_shadows_drop_memory(ViommuHost *host, guint64 gpa, guint64 size,
                                     GError **error)
{
    const ViommuiShadowEntry *left = find_unreleased(host, gpa, size);
    ViommuResult result = VIOMMU_OK;
    gboolean ok;

    if (left) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE,
                    "a device that could not be detached still reaches guest-physical "
                    "0x%" G_GINT64_MODIFIER "x",
                    left->gpa);
        return FALSE;
    }
    viommui_begin_set_up(host);
    for (guint i = 0; i < host->shadows->len && result == VIOMMU_OK; i++)
        result = drop_memory(host->shadows->pdata[i], gpa, size);
    ok = viommui_end_set_up(host, result, error,
                            "a device still reaches guest-physical 0x%" G_GINT64_MODIFIER
                            "x by a guest's table",
                            gpa);
    /* Then it stays, for all that reached it. */
    if (!ok)
        viommui_shadows_add_memory(host);
    return ok;
}

/* --- life -------------------------------------------------------------------------------
 */

static gboolean is_left_out(const ViommuiShadow *shadow, const ViommuReservedRegion *region)
{
    for (guint i = 0; i < shadow->reserved->len; i++) {
        const ViommuReservedRegion *other =
            &g_array_index(shadow->reserved, ViommuReservedRegion, i);

        if (region->start >= other->start && region->last <= other->last)
            return TRUE;
    }
    return FALSE;
}

ViommuResult viommui_shadow_admit(ViommuiShadow *shadow, ViommuHostDevice *device)
{
    enum { PAGE = 4096 };
    ViommuResult result = VIOMMU_OK;

    for (gsize i = 0; i < device->info.n_reserved && result == VIOMMU_OK; i++) {
        ViommuReservedRegion region = device->info.reserved[i];

        region.start &= ~(guint64)(PAGE - 1);
        region.last |= PAGE - 1;
        if (is_left_out(shadow, &region))
            continue;
        g_array_append_val(shadow->reserved, region);
        if (g_tree_nnodes(shadow->mappings))
            result = viommui_shadow_sync(shadow, region.start, region.last);
        if (result != VIOMMU_OK)
            g_array_set_size(shadow->reserved, shadow->reserved->len - 1);
    }
    return result;
}

ViommuResult viommui_shadow_new(ViommuiHostViommu *hv, ViommuHostDevice *device,
                                const ViommuiShadowSource *source,
                                ViommuiShadow **ret_shadow)
{
    ViommuiShadow *shadow = g_new0(ViommuiShadow, 1);
    guint32 hwpt;
    ViommuResult result = viommui_backend_table_new(hv, device, &shadow->table, &hwpt);

    if (result != VIOMMU_OK) {
        g_free(shadow);
        return result;
    }
    shadow->host = hv->host;
    shadow->viommu = hv;
    shadow->source = *source;
    shadow->limit = viommui_backend_table_get_last(hv, shadow->table);
    shadow->mappings = g_tree_new_full(compare_iova, NULL, NULL, g_free);
    shadow->reserved = g_array_new(FALSE, FALSE, sizeof(ViommuReservedRegion));
    viommui_shadow_admit(shadow, device);
    shadow->config = viommui_config_new_for_shadow(hv, shadow, hwpt);
    g_ptr_array_add(hv->host->shadows, shadow);
    *ret_shadow = shadow;
    return VIOMMU_OK;
}

static gboolean note_unreleased(gpointer key, gpointer value, gpointer data)
{
    ViommuHost *host = data;

    (void)key;
    g_array_append_vals(host->unreleased, value, 1);
    return FALSE;
}

void viommui_shadow_destroy(ViommuiShadow *shadow)
{
    GTreeNode *node;

    /* Nobody is attached: what the host keeps of it goes with the table at the latest. */
    node = g_tree_node_first(shadow->mappings);
    while (node) {
        const ViommuiShadowEntry *entry = g_tree_node_value(node);

        node = g_tree_node_next(node);
        unmap(shadow, entry);
    }
    g_ptr_array_remove_fast(shadow->host->shadows, shadow);
    if (!viommui_backend_table_free(shadow->viommu, shadow->table, shadow->config->hwpt))
        /* But who could not be detached still reaches it. */
        g_tree_foreach(shadow->mappings, note_unreleased, shadow->host);
    g_tree_unref(shadow->mappings);
    g_array_unref(shadow->reserved);
    g_free(shadow);
}

void viommui_shadow_free(ViommuiShadow *shadow)
{
    if (!shadow)
        return;
    shadow->source.walk = NULL;
    viommui_config_unref(shadow->config);
}

ViommuResult viommui_host_device_shadow(ViommuHostDevice *device, guint32 pasid,
                                        ViommuiShadow *shadow, ViommuiOnFailure on_failure)
{
    return viommui_host_device_set_shadow(device, pasid, shadow->config, on_failure);
}
