/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking: which guest memory devices have written, for a VMM that migrates.
 *
 * Each nesting parent records what goes through it, by IDENTITY or by a config over it; the
 * answer is what any of them has. Invariants: while the host's `tracks_dirty` is set, all
 * its host vIOMMUs record (host-viommu.c sees to those made later). One that records is
 * not switched on again: the kernel forgets what it has recorded then.
 *
 * Vocabulary: last is inclusive; a *piece* is what the host is asked about in one call.
 *
 * Up the path: the VMM. Down the path: backend.c.
 */

#include "private.h"

/* The host's unit, and what one call is about at most: a bitmap of half a megabyte. */
enum { PAGE_SHIFT = 12, PIECE_SHIFT = 34 };

gboolean viommu_host_can_track_dirty(ViommuHost *host)
{
    for (guint i = 0; i < host->viommus->len; i++)
        if (!viommui_backend_can_track_dirty(host->viommus->pdata[i]))
            return FALSE;
    return TRUE;
}

static ViommuResult set_one(ViommuiHostViommu *hv, gboolean on)
{
    ViommuResult result;

    if (hv->tracks_dirty == on && !hv->records_in_part)
        return VIOMMU_OK;
    if (!viommui_backend_can_track_dirty(hv))
        return viommui_refuse(
            hv->host, NULL, VIOMMU_UNSUPPORTED,
            "the nesting parent made for %s cannot record what is written", hv->name);
    result = viommui_backend_set_dirty_tracking(hv, on);
    if (result == VIOMMU_OK)
        hv->tracks_dirty = on;
    hv->records_in_part = hv->tracks_dirty && result != VIOMMU_OK;
    return result;
}

/* All that can be; the first failure. */
static ViommuResult set_all_off(ViommuHost *host)
{
    ViommuResult first = VIOMMU_OK;

    for (guint i = 0; i < host->viommus->len; i++) {
        ViommuResult result = set_one(host->viommus->pdata[i], FALSE);

        if (first == VIOMMU_OK)
            first = result;
    }
    return first;
}

static ViommuResult set_all_on(ViommuHost *host)
{
    ViommuResult result = VIOMMU_OK;

    for (guint i = 0; i < host->viommus->len && result == VIOMMU_OK; i++)
        result = set_one(host->viommus->pdata[i], TRUE);
    if (result != VIOMMU_OK)
        set_all_off(host);
    return result;
}

gboolean viommu_host_set_dirty_tracking(ViommuHost *host, gboolean on, GError **error)
{
    ViommuResult result;

    viommui_begin_set_up(host);
    result = on ? set_all_on(host) : set_all_off(host);
    host->tracks_dirty = on && result == VIOMMU_OK;
    return viommui_end_set_up(host, result, error, "dirty tracking cannot be switched %s",
                              on ? "on" : "off");
}

gboolean viommui_host_viommu_track_dirty(ViommuiHostViommu *hv, GError **error)
{
    ViommuResult result;

    viommui_begin_set_up(hv->host);
    result = set_one(hv, TRUE);
    return viommui_end_set_up(hv->host, result, error,
                              "dirty tracking is on, and cannot be for another vIOMMU");
}

/* --- reading ------------------------------------------------------------------------ */

/* What is asked for, in the VMM's terms. */
typedef struct {
    guint64 gpa;
    guint shift; /* log2 of its page size */
    guint64 *bitmap;
    gboolean keep;
} Request;

/*
 * The first piece within start to last. A report of the kernel ends without a word at a
 * hole, so it is asked about one mapping at a time. What lies between is the business of a
 * VMM that maps the IOAS itself, and nobody's in one of our own.
 */
static gboolean find_piece(ViommuHost *host, guint64 start, guint64 last,
                           guint64 *ret_start, guint64 *ret_last)
{
    const ViommuiMapping *mapping = viommui_host_find_mapping(host, start);

    if (mapping && mapping->gpa <= start) {
        last = MIN(last, mapping->gpa + (mapping->size - 1));
    } else if (host->shares_ioas) {
        last = mapping ? MIN(last, mapping->gpa - 1) : last;
    } else {
        if (!mapping || mapping->gpa > last)
            return FALSE;
        start = mapping->gpa;
        last = MIN(last, mapping->gpa + (mapping->size - 1));
    }
    *ret_start = start;
    *ret_last = MIN(last, start | ((1ULL << PIECE_SHIFT) - 1));
    return TRUE;
}

/* Bits of the host's pages from start become bits of the VMM's. */
static void merge(const Request *request, const guint64 *bits, guint64 start,
                  guint64 n_pages)
{
    for (guint64 i = 0; i * 64 < n_pages; i++) {
        for (guint64 rest = bits[i]; rest; rest &= rest - 1) {
            guint64 page = i * 64 + (guint64)__builtin_ctzll(rest);
            guint64 bit = (start + (page << PAGE_SHIFT) - request->gpa) >> request->shift;

            if (page < n_pages)
                request->bitmap[bit / 64] |= 1ULL << bit % 64;
        }
    }
}

/* What was read before one of them failed is cleared on the host, and so is kept here. */
static ViommuResult read_piece(ViommuHost *host, const Request *request, guint64 start,
                               guint64 last)
{
    guint64 n_pages = ((last - start) >> PAGE_SHIFT) + 1;
    g_autofree guint64 *bits = g_new0(guint64, (n_pages + 63) / 64);
    ViommuResult result = VIOMMU_OK;

    for (guint i = 0; i < host->viommus->len && result == VIOMMU_OK; i++)
        result = viommui_backend_get_dirty(host->viommus->pdata[i], start, last - start + 1,
                                           bits, request->keep);
    merge(request, bits, start, n_pages);
    return result;
}

static gboolean check_request(ViommuHost *host, guint64 gpa, guint64 size,
                              guint64 page_size, GError **error)
{
    if (!viommui_host_check_range(gpa, size, error))
        return FALSE;
    if (page_size < 1 << PAGE_SHIFT || (page_size & (page_size - 1)) ||
        ((gpa | size) & (page_size - 1))) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "0x%" G_GINT64_MODIFIER
                    "x bytes at guest-physical 0x%" G_GINT64_MODIFIER
                    "x are not made of pages of 0x%" G_GINT64_MODIFIER
                    "x bytes, which must be a power of two and 4096 at least",
                    size, gpa, page_size);
        return FALSE;
    }
    if (!host->tracks_dirty) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "dirty tracking is off: what was written is not known");
        return FALSE;
    }
    return TRUE;
}

gboolean viommu_host_get_dirty(ViommuHost *host, guint64 gpa, guint64 size,
                               guint64 page_size, guint64 *bitmap, gboolean keep,
                               GError **error)
{
    guint64 start = gpa, last = gpa + (size - 1), piece_last;
    ViommuResult result = VIOMMU_OK;

    if (!check_request(host, gpa, size, page_size, error))
        return FALSE;
    const Request request = {gpa, (guint)__builtin_ctzll(page_size), bitmap, keep};

    viommui_begin_set_up(host);
    while (result == VIOMMU_OK && find_piece(host, start, last, &start, &piece_last)) {
        result = read_piece(host, &request, start, piece_last);
        if (piece_last == last)
            break;
        start = piece_last + 1;
    }
    return viommui_end_set_up(host, result, error,
                              "no dirty bits of guest-physical 0x%" G_GINT64_MODIFIER "x",
                              start);
}
