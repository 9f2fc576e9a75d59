/* SPDX-License-Identifier: MIT */
/*
 * VFIO_IOMMU_GET_INFO of a container, and of an iommufd in its place: page sizes and a
 * chain of capabilities, which the two build in ways of their own.
 *
 * Up: type1.c, vfio-compat.c. Down: ioas.c.
 */
#include "vfio.h"

#define INFO_MIN_SIZE \
    (G_STRUCT_OFFSET(struct vfio_iommu_type1_info, iova_pgsizes) + sizeof(guint64))

guint64 viommui_emu_vfio_page_sizes(const EmuIoas *ioas)
{
    guint64 sizes = EMU_PAGE_MASK;

    for (guint i = 0; i < ioas->hwpts->len; i++) {
        const EmuHwpt *hwpt = g_ptr_array_index(ioas->hwpts, i);
        /* A table's page, and a block of each of the two levels above it. */
        const guint64 entries = hwpt->page_size / 8;

        sizes &= hwpt->page_size | hwpt->page_size * entries |
                 (hwpt->page_size == 4096 ? hwpt->page_size * entries * entries : 0);
    }
    return MAX(sizes, ioas->alignment);
}

/* struct vfio_iova_range of every hole between reserved ranges. */
static GArray *iova_ranges(const EmuIoas *ioas)
{
    GArray *ranges = g_array_new(FALSE, TRUE, sizeof(struct vfio_iova_range));
    guint64 next = 0;

    for (guint i = 0; i < ioas->reserved->len; i++) {
        const EmuReserved *reserved = &g_array_index(ioas->reserved, EmuReserved, i);

        if (reserved->first > next) {
            struct vfio_iova_range range = {next, reserved->first - 1};

            g_array_append_val(ranges, range);
        }
        if (reserved->last == G_MAXUINT64) {
            return ranges;
        }
        next = MAX(next, reserved->last + 1);
    }
    struct vfio_iova_range range = {next, G_MAXUINT64};

    g_array_append_val(ranges, range);
    return ranges;
}

/* A capability at the end of the chain; its payload is padded to 8 bytes. */
static void add_cap(GByteArray *chain, guint16 id, const void *payload, gsize size)
{
    static const guint8 zeroes[8];
    struct vfio_info_cap_header header = {.id = id, .version = 1};
    gsize total = (sizeof(header) + size + 7) & ~(gsize)7;

    g_byte_array_append(chain, (const guint8 *)&header, sizeof(header));
    g_byte_array_append(chain, payload, (guint)size);
    g_byte_array_append(chain, zeroes, (guint)(total - sizeof(header) - size));
}

static void add_iova_cap(GByteArray *chain, const EmuIoas *ioas)
{
    GArray *ranges = iova_ranges(ioas);
    guint32 head[2] = {ranges->len, 0};
    GByteArray *payload = g_byte_array_new();

    g_byte_array_append(payload, (const guint8 *)head, sizeof(head));
    g_byte_array_append(payload, (const guint8 *)ranges->data,
                        ranges->len * (guint)sizeof(struct vfio_iova_range));
    add_cap(chain, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, payload->data, payload->len);
    g_byte_array_unref(payload);
    g_array_unref(ranges);
}

/* Offsets from the start of the whole answer. */
static void link_caps(GByteArray *chain, const gsize *starts, guint n)
{
    for (guint i = 0; i + 1 < n; i++) {
        struct vfio_info_cap_header *header =
            (struct vfio_info_cap_header *)(chain->data + starts[i]);

        header->next = (guint32)(sizeof(struct vfio_iommu_type1_info) + starts[i + 1]);
    }
}

static int read_request(struct vfio_iommu_type1_info *info, const void *arg)
{
    int ret = viommui_emu_copy_from_user(info, arg, INFO_MIN_SIZE);

    if (ret < 0) {
        return ret;
    }
    return info->argsz < INFO_MIN_SIZE ? -EINVAL : 0;
}

int viommui_emu_type1_get_info(const EmuIoas *ioas, guint64 pgsizes, guint32 dma_avail,
                               void *arg)
{
    struct vfio_iommu_type1_info info = {0};
    const struct {
        guint32 flags;
        guint32 pad;
        guint64 pgsizes;
        guint64 max_bitmap;
    } migration = {0, 0, pgsizes & -pgsizes, ((guint64)G_MAXINT32 + 63) / 64 * 8};
    GByteArray *chain;
    gsize starts[3] = {0};
    gsize minsz;
    int ret = read_request(&info, arg);

    if (ret < 0) {
        return ret;
    }
    minsz = MIN(info.argsz, sizeof(info));
    chain = g_byte_array_new();
    add_cap(chain, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, &migration, sizeof(migration));
    starts[1] = chain->len;
    add_cap(chain, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, &dma_avail, sizeof(dma_avail));
    starts[2] = chain->len;
    add_iova_cap(chain, ioas);
    link_caps(chain, starts, G_N_ELEMENTS(starts));

    info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
    info.iova_pgsizes = pgsizes;
    if (info.argsz < sizeof(info) + chain->len) {
        info.argsz = (guint32)sizeof(info) + chain->len;
    } else {
        ret =
            viommui_emu_copy_to_user((guint8 *)arg + sizeof(info), chain->data, chain->len);
        info.cap_offset = sizeof(info);
    }
    g_byte_array_unref(chain);
    return ret < 0 ? ret : viommui_emu_copy_to_user(arg, &info, minsz);
}

/* A capability is copied when there is room for the whole of it, the link when for more. */
int viommui_emu_vfio_compat_get_info(const EmuIoas *ioas, void *arg)
{
    struct vfio_iommu_type1_info info = {0};
    const guint32 dma_avail = G_MAXUINT32;
    GByteArray *chain;
    gsize starts[2] = {0};
    gsize room;
    gsize minsz;
    int ret = read_request(&info, arg);

    if (ret < 0) {
        return ret;
    }
    if (!ioas) {
        return -ENODEV;
    }
    minsz = MIN(info.argsz, sizeof(info));
    chain = g_byte_array_new();
    add_cap(chain, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, &dma_avail, sizeof(dma_avail));
    starts[1] = chain->len;
    add_iova_cap(chain, ioas);
    link_caps(chain, starts, G_N_ELEMENTS(starts));

    room = info.argsz > sizeof(info) ? info.argsz - sizeof(info) : 0;
    if (room >= starts[1] && room < chain->len) {
        ret =
            viommui_emu_copy_to_user((guint8 *)arg + sizeof(info), chain->data, starts[1]);
    } else if (room >= chain->len) {
        ret =
            viommui_emu_copy_to_user((guint8 *)arg + sizeof(info), chain->data, chain->len);
        info.cap_offset = sizeof(info);
    }
    info.argsz = (guint32)sizeof(info) + chain->len;
    info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
    info.iova_pgsizes = viommui_emu_vfio_page_sizes(ioas);
    g_byte_array_unref(chain);
    return ret < 0 ? ret : viommui_emu_copy_to_user(arg, &info, minsz);
}
