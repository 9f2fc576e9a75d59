/* SPDX-License-Identifier: MIT */
/*
 * A random walk through the uAPI: one target, one seed, one line for each step with what
 * was asked and what was answered. The same seed asks another target the same questions,
 * as long as the answers are the same; tests/vm/differential compares the lines.
 *
 * Steps come in blocks, each on an iommufd of its own. DMA is done only after what covers
 * it has been invalidated, so that there is one right place for it to land. What differs
 * by hardware is not asked: dirty tracking, widths, substreams, events.
 *
 *   uapi-differential [--seed N] [--blocks N] [--first N] [target's options]
 */
#include "vsmmu.h"

#include "tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STEPS = 100, PAGE = 4096 };
enum { N_PAGES = 24, N_IOVAS = 24, MAX_OBJECTS = 48, N_DOMAINS = 2 };

typedef enum {
    KIND_DEVICE,
    KIND_IOAS,
    KIND_PAGING,
    KIND_NESTED,
    KIND_VIOMMU,
    KIND_VDEVICE,
    KIND_QUEUE,
} Kind;

typedef struct {
    guint32 id;
    Kind kind;
    guint32 of; /* NESTED: its vIOMMU, or on VT-d itself */
    int fd;     /* QUEUE: still open */
} Object;

typedef struct {
    Uapi u;
    GRand *rand;
    guint block, step;
    gboolean smmuv3;
    Object objects[MAX_OBJECTS];
    guint n_objects;
    guint32 attached[UAPI_DEVICES]; /* what the last attach that worked named; 0: none */
    guint64 pages[N_PAGES];         /* guest-physical */
    GuestDomain domains[N_DOMAINS];
    int file;
    guint8 *file_bytes;
} Walk;

static guint draw(Walk *w, guint n)
{
    return (guint)g_rand_int_range(w->rand, 0, (gint32)n);
}

static gboolean chance(Walk *w, guint percent)
{
    return draw(w, 100) < percent;
}

static void G_GNUC_PRINTF(2, 3) say(Walk *w, const char *format, ...)
{
    va_list args;

    printf("# d %u.%02u ", w->block, w->step);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

/* --- objects ----------------------------------------------------------------------------
 */

static void remember(Walk *w, int ret, guint32 id, Kind kind, guint32 of, int fd)
{
    if (ret < 0)
        return;
    if (w->n_objects == MAX_OBJECTS) {
        uapi_close(&w->u, fd);
        return;
    }
    w->objects[w->n_objects++] = (Object){.id = id, .kind = kind, .of = of, .fd = fd};
}

static void forget(Walk *w, guint32 id)
{
    for (guint i = 0; i < w->n_objects; i++)
        if (w->objects[i].id == id) {
            uapi_close(&w->u, w->objects[i].fd);
            w->objects[i] = w->objects[--w->n_objects];
            return;
        }
}

static const Object *find(const Walk *w, guint32 id)
{
    for (guint i = 0; i < w->n_objects; i++)
        if (w->objects[i].id == id)
            return &w->objects[i];
    return NULL;
}

/* Mostly one of the kind; sometimes of any, or none at all. */
static guint32 pick(Walk *w, Kind kind)
{
    guint32 found[MAX_OBJECTS];
    guint n = 0;

    if (chance(w, 6))
        return draw(w, 30);
    for (guint i = 0; i < w->n_objects; i++)
        if (w->objects[i].kind == kind)
            found[n++] = w->objects[i].id;
    return n ? found[draw(w, n)] : draw(w, 30);
}

/* The IOAS with all of memory, more often than not. */
static guint32 pick_ioas(Walk *w)
{
    return chance(w, 60) ? w->u.ioas : pick(w, KIND_IOAS);
}

static guint64 pick_iova(Walk *w)
{
    if (chance(w, 3))
        return 0x8000000;
    if (chance(w, 3))
        return G_MAXUINT64 - draw(w, 2 * PAGE);
    return (guint64)draw(w, N_IOVAS) * PAGE + (chance(w, 4) ? draw(w, PAGE) : 0);
}

static guint64 pick_length(Walk *w)
{
    if (chance(w, 3))
        return draw(w, 2 * PAGE);
    return chance(w, 2) ? G_MAXUINT64 : (1 + draw(w, 3)) * PAGE;
}

static guint32 pick_map_flags(Walk *w)
{
    if (chance(w, 6))
        return draw(w, 16);
    return chance(w, 80) ? UAPI_FIXED_RW : UAPI_FIXED_RW & ~(1u << draw(w, 3));
}

static guint8 *page_at(Walk *w, guint n)
{
    return guest_memory_at(&w->u.ram, w->pages[n]);
}

/* --- steps ------------------------------------------------------------------------------
 */

static void step_ioas(Walk *w)
{
    guint32 id = 0;
    int ret = uapi_ioas_alloc(&w->u, &id);

    remember(w, ret, id, KIND_IOAS, 0, -1);
    say(w, "ioas = %d %u", ret, id);
}

static void step_destroy(Walk *w)
{
    guint32 id =
        w->n_objects && chance(w, 90) ? w->objects[draw(w, w->n_objects)].id : draw(w, 40);
    const Object *object = find(w, id);
    int ret;

    /* Keep most of what much is built on. */
    if (object && object->kind != KIND_QUEUE && object->kind != KIND_PAGING &&
        (id <= w->u.ioas + 4 ? chance(w, 85) : chance(w, 40)))
        return;
    if (object && object->kind == KIND_QUEUE && chance(w, 80)) {
        uapi_close(&w->u, object->fd);
        ((Object *)object)->fd = -1;
    }
    ret = uapi_destroy(&w->u, id);
    if (ret == 0)
        forget(w, id);
    say(w, "destroy %u = %d", id, ret);
}

static void step_map(Walk *w)
{
    guint32 ioas = pick_ioas(w), flags = pick_map_flags(w);
    guint64 iova = pick_iova(w), length = pick_length(w), asked = iova;
    guint page = draw(w, N_PAGES - 3), offset = chance(w, 4) ? draw(w, PAGE) : 0;
    int ret = uapi_map(&w->u, ioas, flags, page_at(w, page) + offset, length, &iova);

    /* Where the kernel puts it depends on how the memory is aligned here. */
    if (ret == 0 && !(flags & IOMMU_IOAS_MAP_FIXED_IOVA))
        uapi_unmap_at(&w->u, ioas, iova, length);
    say(w, "map %u 0x%x %u+%u 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER "x = %d",
        ioas, flags, page, offset, length, asked, ret);
}

static void step_map_file(Walk *w)
{
    guint32 ioas = pick_ioas(w), flags = pick_map_flags(w) | IOMMU_IOAS_MAP_FIXED_IOVA;
    guint64 iova = pick_iova(w), length = pick_length(w), asked = iova;
    guint64 start = draw(w, 5) * PAGE;
    int ret = uapi_map_file(&w->u, ioas, flags, chance(w, 5) ? 999 : w->file, start, length,
                            &iova);

    say(w,
        "map_file %u 0x%x 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER
        "x 0x%" G_GINT64_MODIFIER "x = %d",
        ioas, flags, start, length, asked, ret);
}

static void step_unmap(Walk *w)
{
    guint32 ioas = pick_ioas(w);
    guint64 iova = pick_iova(w), length = pick_length(w);
    int ret = uapi_unmap(&w->u, ioas, iova, &length);

    say(w, "unmap %u 0x%" G_GINT64_MODIFIER "x = %d 0x%" G_GINT64_MODIFIER "x", ioas, iova,
        ret, length);
}

static void step_copy(Walk *w)
{
    guint32 dst = pick(w, KIND_IOAS), src = pick_ioas(w);
    guint32 flags = pick_map_flags(w) | IOMMU_IOAS_MAP_FIXED_IOVA;
    guint64 from = chance(w, 50) ? w->pages[draw(w, N_PAGES)] : pick_iova(w);
    guint64 length = pick_length(w), iova = pick_iova(w), asked = iova;
    int ret = uapi_copy(&w->u, dst, src, flags, from, length, &iova);

    say(w,
        "copy %u %u 0x%x 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER
        "x 0x%" G_GINT64_MODIFIER "x = %d",
        dst, src, flags, from, length, asked, ret);
}

static void step_ranges(Walk *w)
{
    struct iommu_iova_range ranges[8];
    guint32 ioas = pick_ioas(w), n = draw(w, 4);
    guint64 alignment = 0;
    int ret = uapi_ranges(&w->u, ioas, ranges, &n, &alignment);

    say(w, "ranges %u = %d %u %u", ioas, ret, n, (guint)alignment);
}

static void step_allow(Walk *w)
{
    struct iommu_iova_range range = {draw(w, 4) * PAGE, draw(w, 60) * PAGE};
    guint32 ioas = pick(w, KIND_IOAS), n = draw(w, 2);

    if (chance(w, 10))
        range.last = 0x8000000;
    say(w, "allow %u %u = %d", ioas, n, uapi_allow(&w->u, ioas, &range, n));
}

static void step_option(Walk *w)
{
    guint32 option = draw(w, 3), object = chance(w, 70) ? pick(w, KIND_IOAS) : 0;
    guint16 op = (guint16)draw(w, 3);
    guint64 value = draw(w, 3);
    int ret = uapi_option(&w->u, option, op, object, &value);

    say(w, "option %u %u %u = %d %u", option, op, object, ret, (guint)value);
}

static void step_paging(Walk *w)
{
    guint32 ioas = pick_ioas(w), id = 0;
    guint32 flags = chance(w, 60) ? IOMMU_HWPT_ALLOC_NEST_PARENT
                    : chance(w, 80)
                        ? 0
                        : draw(w, 32) & ~(guint32)IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
    int ret = uapi_paging(&w->u, draw(w, w->u.n_devices), ioas, flags, &id);

    remember(w, ret, id, KIND_PAGING, 0, -1);
    say(w, "paging %u 0x%x = %d %u", ioas, flags, ret, id);
}

static void nested_smmuv3(Walk *w)
{
    static const guint configs[] = {0, 4, 4, 5, 5, 5, 5, 7};
    guint32 viommu = pick(w, KIND_VIOMMU), id = 0;
    guint64 word0, word1 = 0;
    guint config = configs[draw(w, G_N_ELEMENTS(configs))], bit;
    int ret;

    word0 = w->domains[draw(w, N_DOMAINS)].cd | config << 1 | !chance(w, 5);
    /*
     * A bit of any field but S1CDMax, S1STALLD and the top of S1ContextPtr, which not all
     * hardware has.
     */
    bit = draw(w, 51);
    if (chance(w, 10))
        word0 ^= 1ull << (bit < 44 ? bit : bit + 8);
    if (chance(w, 10))
        word1 ^= 1ull << (draw(w, 2) ? draw(w, 8) : 28 + draw(w, 36));
    ret = vsmmu_nested(&w->u, draw(w, w->u.n_devices), viommu, word0, word1, &id);
    remember(w, ret, id, KIND_NESTED, viommu, -1);
    say(w, "nested %u 0x%" G_GINT64_MODIFIER "x 0x%" G_GINT64_MODIFIER "x = %d %u", viommu,
        word0, word1, ret, id);
}

static void nested_vtd(Walk *w)
{
    struct iommu_hwpt_vtd_s1 data = {.pgtbl_addr = w->domains[draw(w, N_DOMAINS)].root,
                                     .addr_width = chance(w, 90) ? 48 : draw(w, 57)};
    guint32 parent = pick(w, KIND_PAGING), id = 0;
    guint32 flags = chance(w, 90) ? 0 : draw(w, 16);
    guint32 type = chance(w, 95) ? IOMMU_HWPT_DATA_VTD_S1 : draw(w, 3);
    int ret = uapi_hwpt(&w->u, draw(w, w->u.n_devices), parent, flags, type, &data,
                        chance(w, 95) ? sizeof data : draw(w, 40), &id);

    remember(w, ret, id, KIND_NESTED, id, -1);
    say(w, "nested %u 0x%x %u %u = %d %u", parent, flags, type, data.addr_width, ret, id);
}

static void step_nested(Walk *w)
{
    if (w->smmuv3)
        nested_smmuv3(w);
    else
        nested_vtd(w);
}

static void step_viommu(Walk *w)
{
    guint32 parent = pick(w, KIND_PAGING), id = 0;
    guint32 type = chance(w, 95) ? IOMMU_VIOMMU_TYPE_ARM_SMMUV3 : 0x70;
    int ret = uapi_viommu(&w->u, draw(w, w->u.n_devices), parent, type, &id);

    remember(w, ret, id, KIND_VIOMMU, 0, -1);
    say(w, "viommu %u 0x%x = %d %u", parent, type, ret, id);
}

static void step_vdevice(Walk *w)
{
    guint32 viommu = pick(w, KIND_VIOMMU), id = 0;
    guint n = draw(w, w->u.n_devices), sid = VSMMU_SID + (chance(w, 80) ? n : draw(w, 3));
    int ret = uapi_vdevice(&w->u, viommu, n, sid, &id);

    remember(w, ret, id, KIND_VDEVICE, viommu, -1);
    say(w, "vdevice %u %u 0x%x = %d %u", viommu, n, sid, ret, id);
}

static void step_queue(Walk *w)
{
    guint32 viommu = pick(w, KIND_VIOMMU), id = 0, depth = draw(w, 3);
    int fd = -1, ret;

    if (chance(w, 50)) {
        ret = uapi_veventq(&w->u, viommu, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, depth, &id, &fd);
        say(w, "veventq %u %u = %d %u", viommu, depth, ret, id);
    } else {
        struct iommu_fault_alloc alloc = {.size = sizeof alloc, .flags = chance(w, 10)};

        ret = uapi_ioctl(&w->u, IOMMU_FAULT_QUEUE_ALLOC, &alloc);
        id = ret < 0 ? 0 : alloc.out_fault_id;
        fd = (int)alloc.out_fault_fd;
        say(w, "faultq = %d %u", ret, id);
    }
    remember(w, ret, id, KIND_QUEUE, viommu, fd);
}

static void step_attach(Walk *w)
{
    static const Kind kinds[] = {KIND_IOAS,   KIND_PAGING, KIND_NESTED,
                                 KIND_NESTED, KIND_NESTED, KIND_VIOMMU};
    guint n = draw(w, w->u.n_devices);
    guint32 asked = pick(w, kinds[draw(w, G_N_ELEMENTS(kinds))]), id = asked;
    int ret = uapi_attach(&w->u, n, &id);

    if (ret == 0)
        w->attached[n] = id;
    say(w, "attach %u %u = %d %u", n, asked, ret, ret == 0 ? id : 0);
}

static void step_detach(Walk *w)
{
    guint n = draw(w, w->u.n_devices);

    w->attached[n] = 0;
    say(w, "detach %u = %d", n, uapi_detach(&w->u, n));
}

static void step_pasid(Walk *w)
{
    guint n = draw(w, w->u.n_devices);
    struct vfio_device_attach_iommufd_pt attach = {.argsz = chance(w, 90) ? 16 : 12,
                                                   .flags = VFIO_DEVICE_ATTACH_PASID,
                                                   .pt_id = pick(w, KIND_PAGING),
                                                   .pasid = draw(w, 4)};
    int ret = uapi_cdev_ioctl(&w->u, w->u.cdevs[n], VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

    say(w, "attach_pasid %u %u = %d", n, attach.pt_id, ret);
}

static void step_invalidate(Walk *w)
{
    static const guint8 opcodes[] = {0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x30, 0x01};
    guint64 words[4][3] = {{0}};
    guint32 n = draw(w, 5), all = n;
    guint32 id = pick(w, w->smmuv3 ? KIND_VIOMMU : KIND_NESTED);
    guint32 type = chance(w, 95) ? (w->smmuv3 ? IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3
                                              : IOMMU_HWPT_INVALIDATE_DATA_VTD_S1)
                                 : 7;
    gsize size = w->smmuv3 ? 16 : 24;
    guint8 bytes[4 * 24];
    int ret;

    for (guint i = 0; i < n; i++) {
        if (w->smmuv3) {
            words[i][0] = opcodes[draw(w, sizeof opcodes)];
            if (words[i][0] < 0x10)
                words[i][0] |= (guint64)(VSMMU_SID + draw(w, 2)) << 32;
        } else {
            words[i][0] = chance(w, 80) ? draw(w, 16) * PAGE : 0;
            words[i][1] = words[i][0] ? 1 + draw(w, 4) : G_MAXUINT64;
        }
        if (chance(w, 10))
            words[i][draw(w, w->smmuv3 ? 2 : 3)] ^= 1ull << draw(w, 12);
        memcpy(bytes + i * size, words[i], size);
    }
    ret = uapi_invalidate(&w->u, id, type, bytes, (guint32)size, &n);
    say(w, "invalidate %u %u %u = %d %u", id, type, all, ret, n);
}

static void step_info(Walk *w)
{
    guint8 buffer[64];
    struct iommu_hw_info info = {.size = sizeof info,
                                 .flags = draw(w, 3),
                                 .dev_id = pick(w, KIND_DEVICE),
                                 .in_data_type = draw(w, 4),
                                 .data_len = draw(w, 64),
                                 .data_uptr = chance(w, 80) ? (guintptr)buffer : 0};
    guint32 dev = info.dev_id;
    int ret = uapi_ioctl(&w->u, IOMMU_GET_HW_INFO, &info);

    say(w, "info %u = %d %u", dev, ret, ret == 0 ? info.data_len : 0);
}

static void step_reopen(Walk *w)
{
    guint n = draw(w, w->u.n_devices);
    guint32 id = 0;
    int ret;

    forget(w, w->u.devices[n]);
    uapi_close(&w->u, w->u.cdevs[n]);
    w->attached[n] = 0;
    w->u.cdevs[n] = uapi_cdev_open(&w->u, n);
    ret = uapi_bind(&w->u, w->u.cdevs[n], w->u.fd, &id);
    w->u.devices[n] = id;
    remember(w, ret, id, KIND_DEVICE, 0, -1);
    /* The DMA engine goes by the descriptor. */
    if (!dma_device_init_fd(&w->u.dma[n], w->u.seam, w->u.cdevs[n], NULL))
        say(w, "no DMA engine");
    say(w, "reopen %u = %d %u", n, ret, id);
}

/* --- guest tables and DMA ---------------------------------------------------------------
 */

/* The first-stage entry of VT-d, in the place of the SMMUv3's. */
static void map_vtd(Walk *w, const GuestDomain *domain, guint64 iova, guint64 entry)
{
    guint64 table = domain->root;

    for (guint level = 4; level > 1; level--) {
        guint64 *word = (guint64 *)guest_memory_at(&w->u.ram, table) +
                        ((iova >> (3 + 9 * level)) & 511);

        if (!*word)
            *word = GUINT64_TO_LE(guest_memory_alloc(&w->u.ram) | 7);
        table = GUINT64_FROM_LE(*word) & 0xffffffffff000;
    }
    ((guint64 *)guest_memory_at(&w->u.ram, table))[(iova >> 12) & 511] =
        GUINT64_TO_LE(entry);
}

/* Change a guest table: to a page, to nothing, or to where memory is mapped low. */
static void step_table(Walk *w)
{
    guint d = draw(w, N_DOMAINS);
    guint64 iova = (guint64)draw(w, N_IOVAS) * PAGE;
    guint64 to = chance(w, 85) ? w->pages[draw(w, N_PAGES)] : draw(w, N_IOVAS) * PAGE;
    gboolean writable = chance(w, 80), present = chance(w, 85);

    if (!w->smmuv3)
        map_vtd(w, &w->domains[d], iova, present ? to | 5 | (writable ? 2 : 0) : 0);
    else if (present)
        guest_domain_map(&w->domains[d], iova, to, writable);
    else
        guest_domain_unmap(&w->domains[d], iova);
}

/* TRUE when nothing that the device may use is stale. */
static gboolean make_fresh(Walk *w, guint n)
{
    const Object *object = find(w, w->attached[n]);
    struct iommu_hwpt_vtd_s1_invalidate all = {.npages = G_MAXUINT64};
    guint32 one = 1;

    if (!object || object->kind != KIND_NESTED)
        return TRUE;
    if (!w->smmuv3)
        return uapi_invalidate(&w->u, object->id, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, &all,
                               sizeof all, &one) == 0;
    for (guint sid = VSMMU_SID; sid < VSMMU_SID + 3; sid++)
        vsmmu_command(&w->u, object->of, 0x06 | (guint64)sid << 32, 0);
    for (guint i = 0; i < w->n_objects; i++) {
        const Object *vdevice = &w->objects[i];

        /* Without one its context cannot be invalidated. */
        if (vdevice->kind == KIND_VDEVICE && vdevice->of == object->of)
            return vsmmu_command(&w->u, object->of, 0x30, 0) == 0;
    }
    return FALSE;
}

/* Where a write lands: a page of memory, one of the file, or nowhere. */
static void step_dma(Walk *w)
{
    guint n = draw(w, w->u.n_devices);
    const Object *object = find(w, w->attached[n]);
    guint by_iova = object && object->kind == KIND_NESTED ? 90 : 30;
    guint64 iova =
        chance(w, by_iova) ? draw(w, N_IOVAS) * PAGE : w->pages[draw(w, N_PAGES)];
    int landed = -1;

    if ((!w->attached[n] && chance(w, 80)) || !make_fresh(w, n))
        return;
    for (guint i = 0; i < N_PAGES; i++)
        memset(page_at(w, i), 0, PAGE);
    memset(w->file_bytes, 0, 4 * PAGE);
    uapi_poke(&w->u, n, iova);
    for (guint i = 0; i < N_PAGES; i++)
        if (page_at(w, i)[0] == UAPI_FILL)
            landed = (int)i;
    for (guint i = 0; i < 4; i++)
        if (w->file_bytes[i * PAGE] == UAPI_FILL)
            landed = 100 + (int)i;
    say(w, "dma %u 0x%" G_GINT64_MODIFIER "x (%u) = %d", n, iova, w->attached[n], landed);
}

/* --- the walk ---------------------------------------------------------------------------
 */

typedef struct {
    void (*step)(Walk *);
    guint weight;
} Step;

static const Step steps[] = {
    {step_ioas, 3},    {step_destroy, 9},    {step_map, 12},    {step_map_file, 4},
    {step_unmap, 5},   {step_copy, 5},       {step_ranges, 2},  {step_allow, 2},
    {step_option, 2},  {step_paging, 7},     {step_nested, 9},  {step_viommu, 6},
    {step_vdevice, 6}, {step_queue, 2},      {step_attach, 12}, {step_detach, 2},
    {step_pasid, 1},   {step_invalidate, 5}, {step_info, 2},    {step_reopen, 1},
    {step_table, 12},  {step_dma, 8},
};

static void take_step(Walk *w)
{
    guint total = 0, at;

    for (guint i = 0; i < G_N_ELEMENTS(steps); i++)
        total += steps[i].weight;
    at = draw(w, total);
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        if (at < steps[i].weight) {
            steps[i].step(w);
            return;
        }
        at -= steps[i].weight;
    }
}

/* A start that random steps would seldom make: a device behind a first stage. */
static void set_out(Walk *w)
{
    Uapi *u = &w->u;
    guint32 parent = 0, viommu = 0;

    for (guint i = 0; i < u->n_devices; i++) {
        remember(w, 0, u->devices[i], KIND_DEVICE, 0, -1);
        w->attached[i] = 0;
        uapi_attach_to(u, i, u->ioas);
        uapi_prime(u, i, u->fill);
        uapi_detach(u, i);
    }
    remember(w, 0, u->ioas, KIND_IOAS, 0, -1);
    uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &parent);
    remember(w, 0, parent, KIND_PAGING, 0, -1);
    if (w->smmuv3) {
        uapi_viommu(u, 0, parent, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &viommu);
        remember(w, 0, viommu, KIND_VIOMMU, 0, -1);
    }
    for (guint i = 0; w->smmuv3 && i < u->n_devices; i++) {
        guint32 id = 0;

        uapi_vdevice(u, viommu, i, VSMMU_SID + i, &id);
        remember(w, 0, id, KIND_VDEVICE, viommu, -1);
    }
    for (guint i = 0; i < 4; i++)
        step_nested(w);
    for (guint i = 0; i < 50; i++)
        step_table(w);
}

static void run_block(Walk *w, guint32 seed)
{
    w->rand = g_rand_new_with_seed(seed * 7919 + w->block);
    w->step = 0;
    w->n_objects = 0;
    uapi_start(&w->u);
    w->smmuv3 = w->u.hw_type == IOMMU_HW_INFO_TYPE_ARM_SMMUV3;
    w->file = memfd_create("differential", MFD_CLOEXEC);
    w->file_bytes = MAP_FAILED;
    if (ftruncate(w->file, 4 * PAGE) == 0)
        w->file_bytes =
            mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, w->file, 0);
    if (w->file_bytes == MAP_FAILED) {
        printf("Bail out! no memory for a file\n");
        exit(1);
    }
    for (guint i = 0; i < N_PAGES; i++)
        w->pages[i] = guest_memory_alloc(&w->u.ram);
    for (guint i = 0; i < N_DOMAINS; i++)
        guest_domain_init(&w->domains[i], &w->u.ram, (guint16)(VSMMU_ASID + i));
    set_out(w);
    for (w->step = 1; w->step <= STEPS; w->step++)
        take_step(w);
    while (w->n_objects)
        forget(w, w->objects[0].id);
    uapi_stop(&w->u);
    munmap(w->file_bytes, 4 * PAGE);
    close(w->file);
    g_rand_free(w->rand);
}

/* Take an option of ours off the command line; FALSE when it is not there. */
static gboolean take_option(int *argc, char **argv, const char *name, guint *value)
{
    for (int i = 1; i + 1 < *argc; i++)
        if (g_str_equal(argv[i], name)) {
            *value = (guint)strtoul(argv[i + 1], NULL, 0);
            memmove(&argv[i], &argv[i + 2], (gsize)(*argc - i - 1) * sizeof *argv);
            *argc -= 2;
            return TRUE;
        }
    return FALSE;
}

int main(int argc, char **argv)
{
    guint seed = 1, blocks = 20, first = 0;
    Walk w = {0};

    take_option(&argc, argv, "--seed", &seed);
    take_option(&argc, argv, "--blocks", &blocks);
    take_option(&argc, argv, "--first", &first);
    if (!uapi_init(&w.u, argc, argv))
        return 1;
    tap_note("seed %u", seed);
    for (w.block = first; w.block < first + blocks; w.block++)
        run_block(&w, seed);
    tap_ok(TRUE, "%u blocks of %u steps", blocks, STEPS);
    uapi_clear(&w.u);
    return tap_done();
}
