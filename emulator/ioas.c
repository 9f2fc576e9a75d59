/* SPDX-License-Identifier: MIT */
/*
 * An IOAS: which IOVAs it may use, and the paging HWPTs that show its mappings to
 * hardware. The mappings themselves are ioas-map.c.
 *
 * Invariants: no mapping overlaps a reserved range; every mapping meets the
 * alignment, which is 1 until a HWPT brings its page size. A HWPT keeps no table of
 * its own: it is the IOAS at every moment, so map and unmap show at once.
 *
 * Up: iommufd.c, hwpt.c, device.c. Down: ioas-map.c.
 */
#include "iommufd.h"

static void free_area(gpointer data)
{
    viommui_emu_area_free(data);
}

EmuIoas *viommui_emu_ioas_new(void)
{
    EmuIoas *ioas = g_new0(EmuIoas, 1);

    ioas->areas = g_ptr_array_new_with_free_func(free_area);
    ioas->reserved = g_array_new(FALSE, FALSE, sizeof(EmuReserved));
    ioas->hwpts = g_ptr_array_new();
    ioas->allowed = g_array_new(FALSE, FALSE, sizeof(struct iommu_iova_range));
    ioas->alignment = 1;
    return ioas;
}

int viommui_emu_ioas_alloc(EmuUcmd *ucmd)
{
    struct iommu_ioas_alloc *cmd = ucmd->cmd;
    EmuIoas *ioas;

    if (cmd->flags) {
        return -EOPNOTSUPP;
    }
    ioas = viommui_emu_ioas_new();
    viommui_emu_object_publish(ucmd->ctx, &ioas->obj, EMU_OBJECT_IOAS);
    cmd->out_ioas_id = ioas->obj.id;
    return viommui_emu_respond_new(ucmd, sizeof(*cmd), &ioas->obj);
}

void viommui_emu_ioas_destroy(EmuObject *object)
{
    EmuIoas *ioas = (EmuIoas *)object;

    g_ptr_array_unref(ioas->areas);
    g_ptr_array_unref(ioas->hwpts);
    g_array_unref(ioas->reserved);
    g_array_unref(ioas->allowed);
    g_free(ioas);
}

const EmuReserved *viommui_emu_ioas_reserved(const EmuIoas *ioas, guint64 first,
                                             guint64 last)
{
    for (guint i = 0; i < ioas->reserved->len; i++) {
        const EmuReserved *range = &g_array_index(ioas->reserved, EmuReserved, i);

        if (range->first <= last && first <= range->last) {
            return range;
        }
    }
    return NULL;
}

static gint compare_reserved(gconstpointer a, gconstpointer b)
{
    const EmuReserved *left = a;
    const EmuReserved *right = b;

    return left->first < right->first ? -1 : left->first > right->first;
}

/* TRUE when the caller insists on a part of the range. */
static gboolean is_allowed(const EmuIoas *ioas, guint64 first, guint64 last)
{
    for (guint i = 0; i < ioas->allowed->len; i++) {
        const struct iommu_iova_range *range =
            &g_array_index(ioas->allowed, struct iommu_iova_range, i);

        if (range->start <= last && first <= range->last) {
            return TRUE;
        }
    }
    return FALSE;
}

int viommui_emu_ioas_reserve(EmuIoas *ioas, guint64 first, guint64 last,
                             gconstpointer owner)
{
    EmuReserved range = {first, last, owner};

    if (viommui_emu_ioas_area(ioas, first, last) || is_allowed(ioas, first, last)) {
        return -EADDRINUSE;
    }
    g_array_append_val(ioas->reserved, range);
    g_array_sort(ioas->reserved, compare_reserved);
    return 0;
}

void viommui_emu_ioas_unreserve(EmuIoas *ioas, gconstpointer owner)
{
    for (guint i = ioas->reserved->len; i-- > 0;) {
        if (g_array_index(ioas->reserved, EmuReserved, i).owner == owner) {
            g_array_remove_index(ioas->reserved, i);
        }
    }
}

/* TRUE when what is mapped already can go on under a larger alignment. */
static gboolean areas_are_aligned(const EmuIoas *ioas, guint64 alignment)
{
    for (guint i = 0; i < ioas->areas->len; i++) {
        const EmuArea *area = g_ptr_array_index(ioas->areas, i);

        if (!EMU_ALIGNED(area->first | (area->last + 1) | area->start_byte, alignment)) {
            return FALSE;
        }
    }
    return TRUE;
}

/* What the kernel would have to pin now, if this is the first HWPT. */
static int fill_areas(const EmuIoas *ioas)
{
    for (guint i = 0; i < ioas->areas->len; i++) {
        int ret = viommui_emu_area_fill(g_ptr_array_index(ioas->areas, i));

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

/* What the options and the HWPTs ask for; the areas must meet it. */
static int update_alignment(EmuIoas *ioas)
{
    guint64 alignment = ioas->no_huge ? EMU_PAGE_SIZE : 1;

    for (guint i = 0; i < ioas->hwpts->len; i++) {
        const EmuHwpt *hwpt = g_ptr_array_index(ioas->hwpts, i);

        alignment = MAX(alignment, hwpt->page_size);
    }
    if (alignment > ioas->alignment && !areas_are_aligned(ioas, alignment)) {
        return -EADDRINUSE;
    }
    ioas->alignment = alignment;
    return 0;
}

gboolean viommui_emu_ioas_forces_writable(const EmuIoas *ioas)
{
    for (guint i = 0; i < ioas->hwpts->len; i++) {
        const EmuHwpt *hwpt = g_ptr_array_index(ioas->hwpts, i);

        if (hwpt->force_writable) {
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean areas_are_writable(const EmuIoas *ioas)
{
    for (guint i = 0; i < ioas->areas->len; i++) {
        const EmuArea *area = g_ptr_array_index(ioas->areas, i);

        if (!area->writable) {
            return FALSE;
        }
    }
    return TRUE;
}

int viommui_emu_ioas_add_hwpt(EmuIoas *ioas, EmuHwpt *hwpt)
{
    guint64 alignment = MAX(hwpt->page_size, ioas->alignment);
    int ret;

    if (alignment > EMU_PAGE_SIZE) {
        return -EINVAL;
    }
    if (alignment != ioas->alignment && !areas_are_aligned(ioas, alignment)) {
        return -EADDRINUSE;
    }
    if (hwpt->aperture_last != G_MAXUINT64) {
        ret = viommui_emu_ioas_reserve(ioas, hwpt->aperture_last + 1, G_MAXUINT64, hwpt);
        if (ret < 0) {
            return ret;
        }
    }
    ret = ioas->hwpts->len ? 0 : fill_areas(ioas);
    if (ret < 0) {
        viommui_emu_ioas_unreserve(ioas, hwpt);
        return ret;
    }
    if (hwpt->force_writable && !areas_are_writable(ioas)) {
        viommui_emu_ioas_unreserve(ioas, hwpt);
        return -EINVAL;
    }
    ioas->alignment = alignment;
    g_ptr_array_add(ioas->hwpts, hwpt);
    hwpt->listed = TRUE;
    return 0;
}

void viommui_emu_ioas_remove_hwpt(EmuIoas *ioas, EmuHwpt *hwpt)
{
    g_ptr_array_remove(ioas->hwpts, hwpt);
    hwpt->listed = FALSE;
    viommui_emu_ioas_unreserve(ioas, hwpt);
    update_alignment(ioas);
}

static int put_range(void *user, guint32 index, guint64 start, guint64 last)
{
    struct iommu_iova_range range = {.start = start, .last = last};

    return viommui_emu_copy_to_user(user ? (guint8 *)user + index * sizeof(range) : NULL,
                                    &range, sizeof(range));
}

/* The holes between reserved ranges; counted whole, stored as far as there is room. */
int viommui_emu_ioas_iova_ranges(EmuUcmd *ucmd)
{
    struct iommu_ioas_iova_ranges *cmd = ucmd->cmd;
    EmuIoas *ioas =
        (EmuIoas *)viommui_emu_object_get(ucmd->ctx, cmd->ioas_id, EMU_OBJECT_IOAS);
    guint32 room = cmd->num_iovas;
    guint64 next = 0;
    gboolean at_end = FALSE;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    if (!ioas) {
        return -ENOENT;
    }
    cmd->num_iovas = 0;
    cmd->out_iova_alignment = ioas->alignment;
    for (guint i = 0; i <= ioas->reserved->len && !at_end; i++) {
        const EmuReserved *range =
            i < ioas->reserved->len ? &g_array_index(ioas->reserved, EmuReserved, i) : NULL;

        if (!range || range->first > next) {
            guint64 last = range ? range->first - 1 : G_MAXUINT64;

            if (cmd->num_iovas < room && put_range(viommui_emu_user_ptr(cmd->allowed_iovas),
                                                   cmd->num_iovas, next, last) < 0) {
                return -EFAULT;
            }
            cmd->num_iovas++;
        }
        if (range) {
            at_end = range->last == G_MAXUINT64;
            next = MAX(next, range->last + 1);
        }
    }
    if (viommui_emu_respond(ucmd, sizeof(*cmd)) < 0) {
        return -EFAULT;
    }
    return cmd->num_iovas > room ? -EMSGSIZE : 0;
}

/* TRUE when a range overlaps one of the sorted ones; else *ret_index is its place. */
static gboolean find_place(const GArray *ranges, const struct iommu_iova_range *range,
                           guint *ret_index)
{
    guint low = 0;
    guint high = ranges->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (g_array_index(ranges, struct iommu_iova_range, middle).last < range->start) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_index = low;
    return low < ranges->len &&
           g_array_index(ranges, struct iommu_iova_range, low).start <= range->last;
}

/* Disjoint ranges into a sorted array; each is checked before the next is read. */
static int read_ranges(guint64 user, guint32 n, GArray *ranges)
{
    for (guint32 i = 0; i < n; i++) {
        struct iommu_iova_range range;
        guint index;
        int ret = viommui_emu_copy_from_user(
            &range, viommui_emu_user_ptr(user + i * sizeof(range)), sizeof(range));

        if (ret < 0) {
            return ret;
        }
        if (range.start >= range.last || find_place(ranges, &range, &index)) {
            return -EINVAL;
        }
        g_array_insert_val(ranges, index, range);
    }
    return 0;
}

int viommui_emu_ioas_allow_iovas(EmuUcmd *ucmd)
{
    struct iommu_ioas_allow_iovas *cmd = ucmd->cmd;
    EmuIoas *ioas =
        (EmuIoas *)viommui_emu_object_get(ucmd->ctx, cmd->ioas_id, EMU_OBJECT_IOAS);
    GArray *ranges;
    int ret;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    if (!ioas) {
        return -ENOENT;
    }
    ranges = g_array_new(FALSE, FALSE, sizeof(struct iommu_iova_range));
    ret = read_ranges(cmd->allowed_iovas, cmd->num_iovas, ranges);
    for (guint i = 0; ret == 0 && i < ranges->len; i++) {
        const struct iommu_iova_range *range =
            &g_array_index(ranges, struct iommu_iova_range, i);

        if (viommui_emu_ioas_reserved(ioas, range->start, range->last)) {
            ret = -EADDRINUSE;
        }
    }
    if (ret < 0) {
        g_array_unref(ranges);
        return ret;
    }
    g_array_unref(ioas->allowed);
    ioas->allowed = ranges;
    return 0;
}

int viommui_emu_ioas_set_huge(EmuIoas *ioas, gboolean huge)
{
    int ret;

    if (huge) {
        ioas->no_huge = FALSE;
        return update_alignment(ioas);
    }
    if (ioas->no_huge) {
        return 0;
    }
    if (ioas->hwpts->len && ioas->areas->len) {
        return -EINVAL;
    }
    ioas->no_huge = TRUE;
    ret = update_alignment(ioas);
    if (ret < 0) {
        ioas->no_huge = FALSE;
    }
    return ret;
}

/*
 * The one process here takes over from itself, which changes nothing; but only files
 * can be taken over at all.
 */
int viommui_emu_ioas_change_process(EmuUcmd *ucmd)
{
    const struct iommu_ioas_change_process *cmd = ucmd->cmd;

    if (cmd->__reserved) {
        return -EOPNOTSUPP;
    }
    for (guint32 id = 1; id < ucmd->ctx->slots->len; id++) {
        const EmuIoas *ioas =
            (EmuIoas *)viommui_emu_object_get(ucmd->ctx, id, EMU_OBJECT_IOAS);

        for (guint i = 0; ioas && i < ioas->areas->len; i++) {
            const EmuArea *area = g_ptr_array_index(ioas->areas, i);

            if (area->pages->file < 0) {
                return -EINVAL;
            }
        }
    }
    return 0;
}
