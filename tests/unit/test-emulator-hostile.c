/* SPDX-License-Identifier: MIT */
/*
 * A caller who means harm: random calls on every kind of descriptor, half sensible, half
 * not, with pointers to nothing, to too little and to what cannot be written. Nothing may
 * crash, hang, write outside the caller's buffer, or leave an object behind.
 *
 * usage: test-emulator-hostile [SEED [CALLS]]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#include <viommu-emulator/emulator.h>
#include <viommu-emulator/inspect.h>

#include "tap.h"

enum {
    N_FDS = 24,
    N_DEVICES = 5,
    PAGE = 4096,
    SCRATCH = 16 * PAGE, /* the caller's buffer, between guard pages */
    LIFE = 4000,         /* calls until a new emulator is taken */
    DEFAULT_CALLS = 240000,
    DEFAULT_SEED = 20240229,
};

/* What a descriptor is, or an ID was when it was given. */
typedef enum { IOMMUFD, DEVICE, GROUP, CONTAINER, OTHER, N_KINDS } Kind;
typedef enum {
    ID_DEVICE,
    ID_IOAS,
    ID_HWPT,
    ID_PARENT,
    ID_VIOMMU,
    ID_FAULT,
    ID_OTHER,
    N_IDS
} IdKind;

typedef struct {
    GRand *rand;
    ViommuEmulator *emulator;
    const ViommuSeam *seam;
    int fds[N_FDS]; /* -1: free */
    Kind kinds[N_FDS];
    guint32 ids[N_IDS][8]; /* of any iommufd, and perhaps long gone */
    guint8 *scratch;
    guint8 *read_only;
    int memfd;
    guint64 n_ok;
    guint64 n_calls;
    guint32 errnos; /* of errnos below 32: seen */
    GHashTable *seen_ok;
} Fuzz;

static const char *const paths[] = {
    "/dev/iommu",
    "/dev/iommu",
    "/dev/vfio/vfio",
    "/dev/vfio/0",
    "/dev/vfio/1",
    "/dev/vfio/2",
    "/dev/vfio/3",
    "/dev/vfio/devices/vfio0",
    "/dev/vfio/devices/vfio1",
    "/dev/vfio/devices/vfio2",
    "/dev/vfio/devices/vfio3",
    "/dev/vfio/devices/vfio4",
    "/sys/bus/pci/devices/0000:00:02.0/vendor",
    "/sys/kernel/iommu_groups/1/reserved_regions",
    "/dev/vfio/devices/vfio99",
    "/dev/vfio/devices/vfio-1",
    "",
};

typedef struct {
    unsigned long request;
    guint32 size;
} Request;

static Kind kind_of(unsigned long request)
{
    guint nr = _IOC_NR(request);

    if (nr >= IOMMUFD_CMD_BASE)
        return IOMMUFD;
    switch (request) {
    case VFIO_GROUP_GET_STATUS:
    case VFIO_GROUP_SET_CONTAINER:
    case VFIO_GROUP_UNSET_CONTAINER:
    case VFIO_GROUP_GET_DEVICE_FD:
        return GROUP;
    case VFIO_GET_API_VERSION:
    case VFIO_CHECK_EXTENSION:
    case VFIO_SET_IOMMU:
    case VFIO_IOMMU_MAP_DMA:
    case VFIO_IOMMU_DIRTY_PAGES:
        return CONTAINER;
    default:
        return nr == _IOC_NR(VFIO_IOMMU_GET_INFO) || nr == _IOC_NR(VFIO_IOMMU_UNMAP_DMA)
                   ? OTHER
                   : DEVICE;
    }
}

static const Request requests[] = {
    {IOMMU_DESTROY, sizeof(struct iommu_destroy)},
    {IOMMU_IOAS_ALLOC, sizeof(struct iommu_ioas_alloc)},
    {IOMMU_IOAS_ALLOW_IOVAS, sizeof(struct iommu_ioas_allow_iovas)},
    {IOMMU_IOAS_COPY, sizeof(struct iommu_ioas_copy)},
    {IOMMU_IOAS_IOVA_RANGES, sizeof(struct iommu_ioas_iova_ranges)},
    {IOMMU_IOAS_MAP, sizeof(struct iommu_ioas_map)},
    {IOMMU_IOAS_MAP_FILE, sizeof(struct iommu_ioas_map_file)},
    {IOMMU_IOAS_UNMAP, sizeof(struct iommu_ioas_unmap)},
    {IOMMU_IOAS_CHANGE_PROCESS, sizeof(struct iommu_ioas_change_process)},
    {IOMMU_OPTION, sizeof(struct iommu_option)},
    {IOMMU_VFIO_IOAS, sizeof(struct iommu_vfio_ioas)},
    {IOMMU_HWPT_ALLOC, sizeof(struct iommu_hwpt_alloc)},
    {IOMMU_GET_HW_INFO, sizeof(struct iommu_hw_info)},
    {IOMMU_HWPT_SET_DIRTY_TRACKING, sizeof(struct iommu_hwpt_set_dirty_tracking)},
    {IOMMU_HWPT_GET_DIRTY_BITMAP, sizeof(struct iommu_hwpt_get_dirty_bitmap)},
    {IOMMU_HWPT_INVALIDATE, sizeof(struct iommu_hwpt_invalidate)},
    {IOMMU_FAULT_QUEUE_ALLOC, sizeof(struct iommu_fault_alloc)},
    {IOMMU_VIOMMU_ALLOC, sizeof(struct iommu_viommu_alloc)},
    {IOMMU_VDEVICE_ALLOC, sizeof(struct iommu_vdevice_alloc)},
    {IOMMU_VEVENTQ_ALLOC, sizeof(struct iommu_veventq_alloc)},
    {IOMMU_HW_QUEUE_ALLOC, sizeof(struct iommu_hw_queue_alloc)},
    {VFIO_DEVICE_BIND_IOMMUFD, sizeof(struct vfio_device_bind_iommufd)},
    {VFIO_DEVICE_ATTACH_IOMMUFD_PT, sizeof(struct vfio_device_attach_iommufd_pt)},
    {VFIO_DEVICE_DETACH_IOMMUFD_PT, sizeof(struct vfio_device_detach_iommufd_pt)},
    {VFIO_DEVICE_GET_INFO, sizeof(struct vfio_device_info)},
    {VFIO_DEVICE_GET_REGION_INFO, sizeof(struct vfio_region_info)},
    {VFIO_DEVICE_FEATURE, sizeof(struct vfio_device_feature)},
    {VFIO_DEVICE_RESET, 0},
    {VFIO_GROUP_GET_STATUS, sizeof(struct vfio_group_status)},
    {VFIO_GROUP_SET_CONTAINER, sizeof(gint32)},
    {VFIO_GROUP_UNSET_CONTAINER, 0},
    {VFIO_GROUP_GET_DEVICE_FD, 16},
    {VFIO_GET_API_VERSION, 0},
    {VFIO_CHECK_EXTENSION, 0},
    {VFIO_SET_IOMMU, 0},
    {VFIO_IOMMU_GET_INFO, sizeof(struct vfio_iommu_type1_info) + 96},
    {VFIO_IOMMU_MAP_DMA, sizeof(struct vfio_iommu_type1_dma_map)},
    {VFIO_IOMMU_UNMAP_DMA, sizeof(struct vfio_iommu_type1_dma_unmap) + 24},
    {VFIO_IOMMU_DIRTY_PAGES, sizeof(struct vfio_iommu_type1_dirty_bitmap) + 40},
};

static guint32 below(Fuzz *f, guint32 end)
{
    return (guint32)g_rand_int_range(f->rand, 0, (gint32)end);
}

static gboolean chance(Fuzz *f, guint percent)
{
    return below(f, 100) < percent;
}

static guint8 *guarded(gsize size, int prot)
{
    guint8 *all =
        mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (all == MAP_FAILED || mprotect(all + PAGE, size, prot) < 0)
        exit(1);
    return all + PAGE;
}

/* A place in the caller's buffer, at its end, or where nothing good is. */
static void *pointer(Fuzz *f, gsize size)
{
    switch (below(f, 12)) {
    case 0:
        return NULL;
    case 1:
        return GUINT_TO_POINTER(below(f, PAGE));
    case 2:
        return f->scratch - PAGE + below(f, PAGE);
    case 3:
        return f->scratch + SCRATCH - below(f, (guint32)MIN(size + 1, SCRATCH));
    case 4:
        return f->read_only + below(f, PAGE);
    case 5:
        return (void *)(uintptr_t)(~(guint64)0 - below(f, 64));
    default:
        return f->scratch + 64 * below(f, (SCRATCH - PAGE) / 64);
    }
}

static guint32 id(Fuzz *f, IdKind kind)
{
    IdKind from = chance(f, 90) ? kind : (IdKind)below(f, N_IDS);
    guint32 known = f->ids[from][below(f, 8)];

    return known && chance(f, 95) ? known : 1 + below(f, 16);
}

static void keep_id(Fuzz *f, IdKind kind, guint32 number)
{
    f->ids[kind][below(f, 8)] = number;
}

static guint32 word32(Fuzz *f)
{
    switch (below(f, 8)) {
    case 0:
        return 0;
    case 1:
        return 1U << below(f, 32);
    case 2:
        return below(f, 8);
    case 3:
        return (guint32)f->fds[below(f, N_FDS)];
    case 4:
        return chance(f, 90) ? below(f, 64) : ~below(f, 64);
    default:
        return id(f, below(f, N_IDS));
    }
}

static guint64 word64(Fuzz *f)
{
    switch (below(f, 8)) {
    case 0:
        return 0;
    case 1:
        return (guint64)PAGE * below(f, 64);
    case 2:
        return 1ULL << below(f, 64);
    case 3:
        return ~0ULL - (guint64)PAGE * below(f, 4);
    case 4:
        return PAGE * (1 + below(f, 16));
    case 5:
        return below(f, 256);
    default:
        return (guint64)(uintptr_t)pointer(f, PAGE);
    }
}

/* A struct that could be one: its size first, then fields of either width. */
static void fill(Fuzz *f, guint8 *at, guint32 size)
{
    guint32 first = chance(f, 95)   ? size
                    : chance(f, 50) ? below(f, 256)
                                    : g_rand_int(f->rand);

    for (guint32 offset = 0; offset + 4 <= size + 64; offset += 4) {
        guint32 word = word32(f);

        if (offset % 8 == 0 && chance(f, 40)) {
            guint64 wide = word64(f);

            memcpy(at + offset, &wide, sizeof(wide));
            offset += 4;
        } else {
            memcpy(at + offset, &word, sizeof(word));
        }
    }
    memcpy(at, &first, sizeof(first));
    if (chance(f, 90))
        memset(at + size, 0, 64);
}

static int random_fd(Fuzz *f)
{
    int fd = f->fds[below(f, N_FDS)];

    return chance(f, 97) ? fd : (int)word32(f);
}

/* One of that kind, if there is, and most of the time. */
static int fd_of(Fuzz *f, Kind kind)
{
    for (guint i = 0; i < 2 * N_FDS && chance(f, 99); i++) {
        guint at = below(f, N_FDS);

        if (f->fds[at] >= 0 && f->kinds[at] == kind)
            return f->fds[at];
    }
    return random_fd(f);
}

/* Each kind has a part of the table, so that none crowds out the others. */
static void keep_fd(Fuzz *f, int fd, Kind kind)
{
    static const guint first[N_KINDS + 1] = {0, 2, 12, 16, 19, N_FDS};
    guint at = first[kind] + below(f, first[kind + 1] - first[kind]);

    if (f->fds[at] >= 0)
        f->seam->ops->close(f->seam->data, f->fds[at]);
    f->fds[at] = fd;
    f->kinds[at] = kind;
}

static Kind kind_of_path(const char *path)
{
    if (g_str_equal(path, "/dev/iommu"))
        return IOMMUFD;
    if (g_str_equal(path, "/dev/vfio/vfio"))
        return CONTAINER;
    if (g_str_has_prefix(path, "/dev/vfio/devices/"))
        return DEVICE;
    return g_str_has_prefix(path, "/dev/vfio/") ? GROUP : OTHER;
}

/* New IDs and descriptors out of an answer. */
static void learn(Fuzz *f, unsigned long request, const void *at)
{
    switch (request) {
    case IOMMU_IOAS_ALLOC:
        keep_id(f, ID_IOAS, ((const struct iommu_ioas_alloc *)at)->out_ioas_id);
        break;
    case IOMMU_HWPT_ALLOC:
        keep_id(f, ID_HWPT, ((const struct iommu_hwpt_alloc *)at)->out_hwpt_id);
        if (((const struct iommu_hwpt_alloc *)at)->flags & IOMMU_HWPT_ALLOC_NEST_PARENT)
            keep_id(f, ID_PARENT, ((const struct iommu_hwpt_alloc *)at)->out_hwpt_id);
        break;
    case IOMMU_VIOMMU_ALLOC:
        keep_id(f, ID_VIOMMU, ((const struct iommu_viommu_alloc *)at)->out_viommu_id);
        break;
    case IOMMU_VDEVICE_ALLOC:
        keep_id(f, ID_OTHER, ((const struct iommu_vdevice_alloc *)at)->out_vdevice_id);
        break;
    case VFIO_DEVICE_BIND_IOMMUFD:
        keep_id(f, ID_DEVICE, ((const struct vfio_device_bind_iommufd *)at)->out_devid);
        break;
    case IOMMU_FAULT_QUEUE_ALLOC:
        keep_id(f, ID_FAULT, ((const struct iommu_fault_alloc *)at)->out_fault_id);
        keep_fd(f, (int)((const struct iommu_fault_alloc *)at)->out_fault_fd, OTHER);
        break;
    case IOMMU_VEVENTQ_ALLOC:
        keep_id(f, ID_OTHER, ((const struct iommu_veventq_alloc *)at)->out_veventq_id);
        keep_fd(f, (int)((const struct iommu_veventq_alloc *)at)->out_veventq_fd, OTHER);
        break;
    default:
        break;
    }
}

static void note(Fuzz *f, gint64 ret, unsigned long request)
{
    f->n_calls++;
    if (ret >= 0) {
        f->n_ok++;
        if (request)
            g_hash_table_add(f->seen_ok, GSIZE_TO_POINTER(request));
    } else if (ret > -32) {
        f->errnos |= 1U << -ret;
    }
}
/*
 * What a caller in its right mind might ask, request by request, so that calls get past the
 * first checks. Fields are drawn one by one: the order in which an initialiser's are is the
 * compiler's, and a seed must mean the same everywhere.
 */

static const guint32 readwrite = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;

static void fill_hwpt_paging(Fuzz *f, struct iommu_hwpt_alloc *cmd)
{
    cmd->flags = chance(f, 50) ? below(f, 3) : below(f, 16);
    cmd->pt_id = id(f, ID_IOAS);
}

static void fill_hwpt_nested(Fuzz *f, struct iommu_hwpt_alloc *cmd)
{
    struct iommu_hwpt_vtd_s1 s1 = {.addr_width = 48};
    struct iommu_hwpt_arm_smmuv3 ste = {.ste = {1 | PAGE}};

    cmd->data_uptr = (uintptr_t)f->scratch;
    if (chance(f, 50)) {
        ste.ste[0] |= below(f, 8) << 1;
        ste.ste[1] = below(f, 4);
        memcpy(f->scratch, &ste, sizeof(ste));
        cmd->pt_id = id(f, ID_VIOMMU);
        cmd->data_type = IOMMU_HWPT_DATA_ARM_SMMUV3;
        cmd->data_len = sizeof(ste);
    } else {
        s1.pgtbl_addr = PAGE * below(f, 32);
        memcpy(f->scratch, &s1, sizeof(s1));
        cmd->pt_id = id(f, ID_HWPT);
        cmd->data_type = IOMMU_HWPT_DATA_VTD_S1;
        cmd->data_len = sizeof(s1);
    }
}

static void fill_hwpt_alloc(Fuzz *f, void *at)
{
    struct iommu_hwpt_alloc *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->dev_id = id(f, ID_DEVICE);
    cmd->fault_id = id(f, ID_FAULT);
    if (chance(f, 40))
        fill_hwpt_nested(f, cmd);
    else
        fill_hwpt_paging(f, cmd);
}

static void fill_viommu_alloc(Fuzz *f, void *at)
{
    struct iommu_viommu_alloc *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3;
    cmd->dev_id = id(f, ID_DEVICE);
    cmd->hwpt_id = id(f, ID_PARENT);
}

static void fill_vdevice_alloc(Fuzz *f, void *at)
{
    struct iommu_vdevice_alloc *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->viommu_id = id(f, ID_VIOMMU);
    cmd->dev_id = id(f, ID_DEVICE);
    cmd->virt_id = below(f, 4);
}

static void fill_veventq_alloc(Fuzz *f, void *at)
{
    struct iommu_veventq_alloc *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->viommu_id = id(f, ID_VIOMMU);
    cmd->type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3;
    cmd->veventq_depth = 1 + below(f, 4);
}

static void fill_fault_alloc(Fuzz *f, void *at)
{
    struct iommu_fault_alloc *cmd = at;

    (void)f;
    cmd->size = sizeof(*cmd);
}

static void fill_ioas_alloc(Fuzz *f, void *at)
{
    struct iommu_ioas_alloc *cmd = at;

    (void)f;
    cmd->size = sizeof(*cmd);
}

static void fill_ioas_copy(Fuzz *f, void *at)
{
    struct iommu_ioas_copy *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->flags = readwrite | below(f, 2);
    cmd->dst_ioas_id = id(f, ID_IOAS);
    cmd->src_ioas_id = id(f, ID_IOAS);
    cmd->length = PAGE * (1 + below(f, 4));
    cmd->dst_iova = PAGE * below(f, 64);
    cmd->src_iova = PAGE * below(f, 64);
}

static void fill_ioas_map(Fuzz *f, void *at)
{
    struct iommu_ioas_map *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->flags = readwrite | below(f, 2);
    cmd->ioas_id = id(f, ID_IOAS);
    cmd->user_va = (uintptr_t)f->scratch;
    cmd->length = PAGE * (1 + below(f, 16));
    cmd->iova = PAGE * below(f, 64);
}

static void fill_ioas_map_file(Fuzz *f, void *at)
{
    struct iommu_ioas_map_file *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->flags = readwrite | below(f, 2);
    cmd->ioas_id = id(f, ID_IOAS);
    cmd->fd = f->memfd;
    cmd->start = PAGE * below(f, 4);
    cmd->length = PAGE * (1 + below(f, 6));
    cmd->iova = PAGE * below(f, 64);
}

static void fill_get_dirty(Fuzz *f, void *at)
{
    struct iommu_hwpt_get_dirty_bitmap *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->hwpt_id = id(f, ID_HWPT);
    cmd->flags = below(f, 2);
    cmd->iova = PAGE * below(f, 64);
    cmd->length = PAGE * (1 + below(f, 64));
    cmd->page_size = 1U << below(f, 14);
    cmd->data = (uintptr_t)pointer(f, 64);
}

static void fill_set_dirty(Fuzz *f, void *at)
{
    struct iommu_hwpt_set_dirty_tracking *cmd = at;

    cmd->size = sizeof(*cmd);
    cmd->flags = below(f, 2);
    cmd->hwpt_id = id(f, ID_HWPT);
}

static void fill_invalidate(Fuzz *f, void *at)
{
    struct iommu_hwpt_invalidate *cmd = at;
    gboolean arm = chance(f, 50);

    cmd->size = sizeof(*cmd);
    cmd->hwpt_id = id(f, arm ? ID_VIOMMU : ID_HWPT);
    cmd->data_uptr = (uintptr_t)pointer(f, 64);
    cmd->data_type =
        arm ? IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 : IOMMU_HWPT_INVALIDATE_DATA_VTD_S1;
    cmd->entry_len = arm ? sizeof(struct iommu_viommu_arm_smmuv3_invalidate)
                         : sizeof(struct iommu_hwpt_vtd_s1_invalidate);
    cmd->entry_num = below(f, 8);
}

static void fill_bind(Fuzz *f, void *at)
{
    struct vfio_device_bind_iommufd *cmd = at;

    cmd->argsz = sizeof(*cmd);
    cmd->iommufd = fd_of(f, IOMMUFD);
}

static void fill_attach(Fuzz *f, void *at)
{
    struct vfio_device_attach_iommufd_pt *cmd = at;

    cmd->argsz = sizeof(*cmd);
    cmd->flags = chance(f, 20);
    cmd->pt_id = id(f, chance(f, 60) ? ID_HWPT : ID_IOAS);
    cmd->pasid = below(f, 4);
}

static void fill_set_container(Fuzz *f, void *at)
{
    gint32 fd = fd_of(f, chance(f, 60) ? CONTAINER : IOMMUFD);

    memcpy(at, &fd, sizeof(fd));
}

static void fill_get_device(Fuzz *f, void *at)
{
    g_snprintf(at, 16, "0000:00:%02x.0", 2 + below(f, N_DEVICES + 1));
}

static void fill_map_dma(Fuzz *f, void *at)
{
    struct vfio_iommu_type1_dma_map *cmd = at;

    cmd->argsz = sizeof(*cmd);
    cmd->flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    cmd->vaddr = (uintptr_t)f->scratch;
    cmd->iova = PAGE * below(f, 64);
    cmd->size = PAGE * (1 + below(f, 8));
}

static void sensible(Fuzz *f, unsigned long request, guint8 *at, gsize size)
{
    static const struct {
        unsigned long request;
        void (*fill)(Fuzz *f, void *at);
    } fills[] = {
        {IOMMU_HWPT_ALLOC, fill_hwpt_alloc},
        {IOMMU_VIOMMU_ALLOC, fill_viommu_alloc},
        {IOMMU_VDEVICE_ALLOC, fill_vdevice_alloc},
        {IOMMU_VEVENTQ_ALLOC, fill_veventq_alloc},
        {IOMMU_FAULT_QUEUE_ALLOC, fill_fault_alloc},
        {IOMMU_IOAS_ALLOC, fill_ioas_alloc},
        {IOMMU_IOAS_COPY, fill_ioas_copy},
        {IOMMU_IOAS_MAP, fill_ioas_map},
        {IOMMU_IOAS_MAP_FILE, fill_ioas_map_file},
        {IOMMU_HWPT_GET_DIRTY_BITMAP, fill_get_dirty},
        {IOMMU_HWPT_SET_DIRTY_TRACKING, fill_set_dirty},
        {IOMMU_HWPT_INVALIDATE, fill_invalidate},
        {VFIO_DEVICE_BIND_IOMMUFD, fill_bind},
        {VFIO_DEVICE_ATTACH_IOMMUFD_PT, fill_attach},
        {VFIO_GROUP_SET_CONTAINER, fill_set_container},
        {VFIO_GROUP_GET_DEVICE_FD, fill_get_device},
        {VFIO_IOMMU_MAP_DMA, fill_map_dma},
    };

    for (guint i = 0; i < G_N_ELEMENTS(fills); i++)
        if (fills[i].request == request) {
            memset(at, 0, size);
            fills[i].fill(f, at);
        }
}

static void ask(Fuzz *f, unsigned long request, guint8 *at, void *arg)
{
    gint64 ret =
        f->seam->ops->ioctl(f->seam->data, fd_of(f, kind_of(request)), request, arg);

    note(f, ret, request);
    if (ret < 0)
        return;
    /* Descriptors that came to be; where the answer lay elsewhere they wait for the end. */
    if (request == VFIO_GROUP_GET_DEVICE_FD)
        keep_fd(f, (int)ret, DEVICE);
    else if (arg == at)
        learn(f, request, at);
}

static void call_ioctl(Fuzz *f)
{
    const Request *known = &requests[below(f, G_N_ELEMENTS(requests))];
    unsigned long request = chance(f, 95)   ? known->request
                            : chance(f, 50) ? g_rand_int(f->rand)
                                            : known->request ^ (1UL << below(f, 32));
    guint8 *at = f->scratch + PAGE + 8 * below(f, 64);
    void *arg = at;

    fill(f, at, known->size);
    if (chance(f, 70))
        sensible(f, request, at, known->size);
    if (request == VFIO_CHECK_EXTENSION || request == VFIO_SET_IOMMU)
        arg = GUINT_TO_POINTER(below(f, 12));
    else if (chance(f, 8))
        arg = pointer(f, known->size);
    ask(f, request, at, arg);
}

/* Every other life begins like a proper VMM's, so that there is something to break. */
static void begin_properly(Fuzz *f)
{
    static const unsigned long way[] = {
        VFIO_DEVICE_BIND_IOMMUFD, IOMMU_IOAS_ALLOC,
        IOMMU_IOAS_MAP,           IOMMU_HWPT_ALLOC,
        IOMMU_VIOMMU_ALLOC,       IOMMU_VDEVICE_ALLOC,
        IOMMU_VEVENTQ_ALLOC,      VFIO_DEVICE_ATTACH_IOMMUFD_PT};
    guint8 *at = f->scratch + PAGE;

    for (guint i = 0; i < 8 * G_N_ELEMENTS(way); i++) {
        sensible(f, way[i / 8], at, 128);
        ask(f, way[i / 8], at, at);
    }
}

static void call_io(Fuzz *f)
{
    const ViommuSeamOps *ops = f->seam->ops;
    void *data = f->seam->data;
    size_t size = chance(f, 80) ? 4 * below(f, 32) : (size_t)word64(f);
    void *buf = pointer(f, 64);
    guint64 region = chance(f, 50) ? VFIO_PCI_CONFIG_REGION_INDEX : below(f, 10);
    int64_t offset =
        chance(f, 80) ? (int64_t)(region << 40 | 4 * below(f, 64)) : (int64_t)word64(f);
    int fd = random_fd(f);
    gint64 ret;

    switch (below(f, 4)) {
    case 0:
        ret = ops->read(data, fd, buf, size);
        break;
    case 1:
        ret = ops->write(data, fd, buf, size);
        break;
    case 2:
        ret = ops->pread(data, fd, buf, size, offset);
        break;
    default:
        ret = ops->pwrite(data, fd, buf, size, offset);
        break;
    }
    note(f, ret, 0);
}

static void call_path(Fuzz *f)
{
    const ViommuSeamOps *ops = f->seam->ops;
    void *data = f->seam->data;
    const char *path = chance(f, 97) ? paths[below(f, G_N_ELEMENTS(paths))] : NULL;
    struct pollfd polled[2] = {{.fd = random_fd(f), .events = POLLIN | POLLOUT},
                               {.fd = random_fd(f), .events = (short)below(f, 256)}};
    char **names = NULL;
    char link[64];
    gint64 ret;

    switch (below(f, 8)) {
    case 0:
        ret = ops->read_link(data, path, link, below(f, sizeof(link)));
        break;
    case 1:
        ret = ops->list_dir(data, path, &names);
        g_strfreev(names);
        break;
    case 2:
        ret = ops->poll(data, chance(f, 95) ? polled : NULL, below(f, 3), 0);
        break;
    case 3:
        ret = ops->close(data, (int)word32(f) + 4096);
        break;
    default:
        ret = ops->open(data, path, O_RDWR);
        if (ret >= 0)
            keep_fd(f, (int)ret, kind_of_path(path));
        break;
    }
    note(f, ret, 0);
}

static void behind_the_back(Fuzz *f)
{
    guint nth;
    g_autofree char *bdf = g_strdup_printf("0000:00:%02x.0", 2 + below(f, N_DEVICES + 1));
    guint8 bytes[64];
    guint64 ipa;

    switch (below(f, 40)) {
    case 0:
        viommu_emulator_device_begin_reset(f->emulator, bdf);
        break;
    case 1:
    case 2:
        viommu_emulator_device_end_reset(f->emulator, bdf);
        break;
    case 3:
        viommu_emulator_drop_events(f->emulator, below(f, 4));
        break;
    case 4:
        viommu_emulator_overflow_events(f->emulator, below(f, 4));
        break;
    case 5:
        if (chance(f, 3))
            viommu_emulator_unplug_device(f->emulator, bdf);
        break;
    case 6:
        nth = 1 + below(f, 4);
        viommu_emulator_fail_call(f->emulator, below(f, 6), nth, ENOMEM, FALSE);
        break;
    case 7:
        viommu_emulator_peek(f->emulator, bdf, word64(f), chance(f, 50), &ipa);
        break;
    default:
        viommu_emulator_dma(f->emulator, bdf, (guint64)PAGE * below(f, 70), bytes,
                            sizeof(bytes), chance(f, 50));
        break;
    }
}

static void add_devices(ViommuEmulator *emulator)
{
    static const int groups[N_DEVICES] = {0, 1, 1, 2, 3};
    ViommuEmulatorSmmuv3Config smmu;
    ViommuEmulatorVtdConfig vtd;
    guint iommus[2];

    viommu_emulator_smmuv3_defaults(&smmu);
    smmu.idr[0] |= 2U << 6; /* dirty state in hardware */
    viommu_emulator_vtd_defaults(&vtd);
    iommus[0] = viommu_emulator_add_smmuv3(emulator, &smmu);
    iommus[1] = viommu_emulator_add_vtd(emulator, &vtd);
    for (guint i = 0; i < N_DEVICES; i++) {
        g_autofree char *bdf = g_strdup_printf("0000:00:%02x.0", 2 + i);
        ViommuEmulatorDeviceConfig device = {
            .bdf = bdf,
            .iommu = iommus[i / 3],
            .stream_id = 16 + i,
            .iommu_group = groups[i],
            .pasid_bits = i % 2 ? 4 : 0,
            .ats = i % 2,
            .pri = i % 2,
        };

        viommu_emulator_add_device(emulator, &device, NULL);
    }
}

static void begin(Fuzz *f)
{
    f->emulator = viommu_emulator_new();
    add_devices(f->emulator);
    f->seam = viommu_emulator_get_seam(f->emulator);
    for (guint i = 0; i < N_FDS; i++)
        f->fds[i] = -1;
    memset(f->ids, 0, sizeof(f->ids));
    for (guint i = 0; i < G_N_ELEMENTS(paths); i++) {
        int fd = f->seam->ops->open(f->seam->data, paths[i], O_RDWR);

        if (fd >= 0)
            keep_fd(f, fd, kind_of_path(paths[i]));
    }
}

/* TRUE when all went with the last descriptor. */
static gboolean end(Fuzz *f)
{
    gboolean clean = TRUE;

    viommu_emulator_fail_call(f->emulator, VIOMMU_EMULATOR_CALL_ANY, 1, 0, FALSE);
    for (int fd = 3; fd < 4096; fd++)
        f->seam->ops->close(f->seam->data, fd);
    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++) {
        guint left = viommu_emulator_count_objects(f->emulator, kind);

        if (left) {
            tap_note("%u left: %s", left, viommu_emulator_object_name(kind));
            clean = FALSE;
        }
    }
    viommu_emulator_free(f->emulator);
    return clean;
}

static void run(Fuzz *f, guint64 n_calls)
{
    guint n_unclean = 0;

    while (f->n_calls < n_calls) {
        begin(f);
        if (chance(f, 50))
            begin_properly(f);
        for (guint i = 0; i < LIFE; i++) {
            guint32 what = below(f, 100);

            if (what < 75)
                call_ioctl(f);
            else if (what < 82)
                call_io(f);
            else if (what < 84)
                call_path(f);
            else
                behind_the_back(f);
        }
        n_unclean += !end(f);
    }
    tap_is(n_unclean, 0, "no object outlives its descriptors");
}

/*
 * The fuzz must have come past the first checks, or it proves nothing. The usual seed is
 * known to; another may be unlucky.
 */
static void check_reach(const Fuzz *f)
{
    static const Request deep[] = {
        {IOMMU_IOAS_COPY, 0},          {IOMMU_HWPT_ALLOC, 0},
        {IOMMU_VIOMMU_ALLOC, 0},       {IOMMU_FAULT_QUEUE_ALLOC, 0},
        {VFIO_DEVICE_BIND_IOMMUFD, 0}, {VFIO_DEVICE_ATTACH_IOMMUFD_PT, 0},
        {VFIO_GROUP_SET_CONTAINER, 0}, {VFIO_GROUP_GET_DEVICE_FD, 0},
        {VFIO_SET_IOMMU, 0},           {VFIO_IOMMU_MAP_DMA, 0},
        {VFIO_IOMMU_UNMAP_DMA, 0},     {IOMMU_HWPT_GET_DIRTY_BITMAP, 0},
    };
    const int errnos[] = {ENOENT, EBADF, EFAULT, EBUSY, EINVAL, ENOTTY, E2BIG};

    for (guint i = 0; i < G_N_ELEMENTS(deep); i++)
        tap_ok(g_hash_table_contains(f->seen_ok, GSIZE_TO_POINTER(deep[i].request)),
               "some call of 0x%lx got through", deep[i].request);
    for (guint i = 0; i < G_N_ELEMENTS(errnos); i++)
        tap_ok(f->errnos & 1U << errnos[i], "%s was met", g_strerror(errnos[i]));
}

int main(int argc, char **argv)
{
    guint32 seed = argc > 1 ? (guint32)strtoul(argv[1], NULL, 0) : DEFAULT_SEED;
    guint64 n_calls = argc > 2 ? strtoull(argv[2], NULL, 0) : DEFAULT_CALLS;
    Fuzz f = {.rand = g_rand_new_with_seed(seed)};

    tap_note("seed %u, %" G_GUINT64_FORMAT " calls", seed, n_calls);
    f.scratch = guarded(SCRATCH, PROT_READ | PROT_WRITE);
    f.read_only = guarded(PAGE, PROT_READ);
    f.memfd = memfd_create("hostile", MFD_CLOEXEC);
    if (ftruncate(f.memfd, 8 * PAGE) < 0)
        return 1;
    f.seen_ok = g_hash_table_new(NULL, NULL);
    run(&f, n_calls);
    tap_ok(TRUE, "nothing crashed or hung");
    tap_note("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " calls succeeded", f.n_ok,
             f.n_calls);
    if (seed == DEFAULT_SEED && n_calls >= DEFAULT_CALLS)
        check_reach(&f);
    g_hash_table_unref(f.seen_ok);
    close(f.memfd);
    g_rand_free(f.rand);
    return tap_done();
}
