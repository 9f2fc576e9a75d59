/* SPDX-License-Identifier: MIT */
/*
 * An iommufd context: its reference count, its table of objects, and the dispatch of
 * its ioctls with the size rules that all of them share.
 *
 * Invariants: a published object's slot is its ID; an object is destroyed only with
 * users == 0; when the last reference to the context goes, no device is bound and no
 * event descriptor is open, so destroying leaf after leaf empties the table.
 *
 * Up: fds.c. Down: one file for each kind of object, by the two tables at the end.
 */
#include <fcntl.h>

#include "iommufd.h"

/* An entry that keeps its ID from being given again. */
static char tombstone;

static void context_destroy(EmuIommufd *ctx);
static void destroy_payload(EmuObject *object);

void viommui_emu_iommufd_ref(EmuIommufd *ctx)
{
    ctx->refs++;
}

void viommui_emu_iommufd_unref(EmuIommufd *ctx)
{
    if (--ctx->refs == 0) {
        context_destroy(ctx);
    }
}

static EmuObject *slot(const EmuIommufd *ctx, guint32 id)
{
    gpointer entry = id < ctx->slots->len ? g_ptr_array_index(ctx->slots, id) : NULL;

    return entry == &tombstone ? NULL : entry;
}

void viommui_emu_object_publish(EmuIommufd *ctx, EmuObject *object, EmuObjectType type)
{
    guint32 id = 1;

    while (id < ctx->slots->len && g_ptr_array_index(ctx->slots, id)) {
        id++;
    }
    if (id == ctx->slots->len) {
        g_ptr_array_add(ctx->slots, NULL);
    }
    object->ctx = ctx;
    object->type = type;
    object->id = id;
    ctx->slots->pdata[id] = object;
}

EmuObject *viommui_emu_object_get(EmuIommufd *ctx, guint32 id, EmuObjectType type)
{
    EmuObject *object = slot(ctx, id);

    return object && (type == EMU_OBJECT_ANY || object->type == type) ? object : NULL;
}

int viommui_emu_object_destroy(EmuObject *object)
{
    if (object->users) {
        return -EBUSY;
    }
    object->ctx->slots->pdata[object->id] = NULL;
    if (object->ctx->vfio_ioas == (EmuIoas *)object) {
        object->ctx->vfio_ioas = NULL;
    }
    destroy_payload(object);
    return 0;
}

void viommui_emu_object_tombstone(EmuObject *object)
{
    EmuIommufd *ctx = object->ctx;

    ctx->slots->pdata[object->id] = &tombstone;
    ctx->emulator->tombstones++;
    destroy_payload(object);
}

guint viommui_emu_iommufd_count(EmuIommufd *ctx, EmuObjectType type)
{
    guint count = 0;

    for (guint32 id = 1; id < ctx->slots->len; id++) {
        count += viommui_emu_object_get(ctx, id, type) != NULL;
    }
    return count;
}

int viommui_emu_respond(EmuUcmd *ucmd, gsize size)
{
    return viommui_emu_copy_to_user(ucmd->user, ucmd->cmd, MIN(size, ucmd->user_size));
}

int viommui_emu_respond_new(EmuUcmd *ucmd, gsize size, EmuObject *object)
{
    int ret = viommui_emu_respond(ucmd, size);

    if (ret < 0) {
        viommui_emu_object_destroy(object);
    }
    return ret;
}

static int cmd_destroy(EmuUcmd *ucmd)
{
    const struct iommu_destroy *cmd = ucmd->cmd;
    EmuObject *object = viommui_emu_object_get(ucmd->ctx, cmd->id, EMU_OBJECT_ANY);

    return object ? viommui_emu_object_destroy(object) : -ENOENT;
}

/* For devices without an IOMMU, which a kernel has to be configured for. */
static int cmd_noiommu_get_pa(EmuUcmd *ucmd)
{
    (void)ucmd;
    return -EOPNOTSUPP;
}

/* Leaves first, as often as it takes. */
static void context_destroy(EmuIommufd *ctx)
{
    gboolean progress = TRUE;

    while (progress) {
        progress = FALSE;
        for (guint32 id = 1; id < ctx->slots->len; id++) {
            EmuObject *object = slot(ctx, id);

            if (object && viommui_emu_object_destroy(object) == 0) {
                progress = TRUE;
            }
        }
    }
    g_ptr_array_remove(ctx->emulator->contexts, ctx);
    g_ptr_array_unref(ctx->slots);
    g_ptr_array_unref(ctx->groups);
    g_free(ctx);
}

static void file_release(EmuFd *file)
{
    viommui_emu_iommufd_unref(file->object);
}

/*
 * An ioctl of the common form: a struct that begins with its size, of which the
 * kernel knows `size` bytes and insists on `min_size`.
 */
typedef struct {
    unsigned long request;
    guint32 size;
    guint32 min_size;
    int (*execute)(EmuUcmd *ucmd);
} IoctlOp;

static const IoctlOp *find_op(unsigned long request);

static int file_ioctl(EmuFd *file, unsigned long request, void *arg)
{
    /* Large enough for every struct in the table. */
    union {
        guint64 align;
        guint8 bytes[128];
    } buffer;
    G_STATIC_ASSERT(sizeof(struct iommu_hwpt_alloc) <= sizeof(buffer) &&
                    sizeof(struct iommu_hw_info) <= sizeof(buffer) &&
                    sizeof(struct iommu_ioas_map_file) <= sizeof(buffer));
    EmuUcmd ucmd = {.ctx = file->object, .cmd = &buffer, .user = arg};
    guint nr = _IOC_NR(request);
    const IoctlOp *op;
    int ret;

    if (nr < IOMMUFD_CMD_BASE || nr > IOMMUFD_CMD_IOAS_NOIOMMU_GET_PA) {
        return viommui_emu_vfio_compat_ioctl(file->object, request, arg);
    }
    ret = viommui_emu_copy_from_user(&ucmd.user_size, arg, sizeof(ucmd.user_size));
    if (ret < 0) {
        return ret;
    }
    op = find_op(request);
    if (!op) {
        return -ENOTTY;
    }
    if (ucmd.user_size < op->min_size) {
        return -EINVAL;
    }
    ret = viommui_emu_copy_struct(&buffer, op->size, arg, ucmd.user_size);
    return ret < 0 ? ret : op->execute(&ucmd);
}

static const EmuFdOps file_ops = {
    .release = file_release,
    .ioctl = file_ioctl,
    .read = viommui_emu_fd_no_read,
    .write = viommui_emu_fd_no_write,
    .pread = viommui_emu_fd_no_pread,
    .pwrite = viommui_emu_fd_no_pwrite,
    .pollable = FALSE,
};

int viommui_emu_iommufd_open(ViommuEmulator *emulator, const char *path)
{
    EmuIommufd *ctx = g_new0(EmuIommufd, 1);
    int fd;

    ctx->emulator = emulator;
    ctx->refs = 1;
    ctx->slots = g_ptr_array_new();
    g_ptr_array_add(ctx->slots, NULL); /* there is no object 0 */
    ctx->groups = g_ptr_array_new();
    g_ptr_array_add(emulator->contexts, ctx);
    fd = viommui_emu_fd_new(emulator, path, &file_ops, ctx);
    if (fd < 0) {
        viommui_emu_iommufd_unref(ctx);
    }
    return fd;
}

int viommui_emu_iommufd_from_fd(ViommuEmulator *emulator, int fd, EmuIommufd **ret_ctx)
{
    EmuFd *file = viommui_emu_fd_find(emulator, fd);

    if (!file) {
        /* The caller's own files are open descriptors, too. */
        return fcntl(fd, F_GETFD) < 0 ? -EBADF : -EBADFD;
    }
    if (file->ops != &file_ops) {
        return -EBADFD;
    }
    *ret_ctx = file->object;
    return 0;
}

static void (*const destroy_ops[EMU_N_OBJECT_TYPES])(EmuObject *) = {
    [EMU_OBJECT_DEVICE] = viommui_emu_device_destroy,
    [EMU_OBJECT_IOAS] = viommui_emu_ioas_destroy,
    [EMU_OBJECT_HWPT_PAGING] = viommui_emu_hwpt_paging_destroy,
    [EMU_OBJECT_HWPT_NESTED] = viommui_emu_hwpt_nested_destroy,
    [EMU_OBJECT_VIOMMU] = viommui_emu_viommu_destroy,
    [EMU_OBJECT_VDEVICE] = viommui_emu_vdevice_destroy,
    [EMU_OBJECT_VEVENTQ] = viommui_emu_veventq_destroy,
    [EMU_OBJECT_FAULT] = viommui_emu_fault_destroy,
};

static void destroy_payload(EmuObject *object)
{
    destroy_ops[object->type](object);
}

#define OP(request_, struct_, last_, execute_)                 \
    {                                                          \
        .request = (request_), .size = sizeof(struct struct_), \
        .min_size = G_STRUCT_OFFSET(struct struct_, last_) +   \
                    sizeof(((struct struct_ *)NULL)->last_),   \
        .execute = (execute_),                                 \
    }

static const IoctlOp ioctl_ops[] = {
    OP(IOMMU_DESTROY, iommu_destroy, id, cmd_destroy),
    OP(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, out_fault_fd, viommui_emu_fault_alloc),
    OP(IOMMU_GET_HW_INFO, iommu_hw_info, __reserved, viommui_emu_get_hw_info),
    OP(IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, __reserved, viommui_emu_hwpt_alloc),
    OP(IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, data,
       viommui_emu_hwpt_get_dirty_bitmap),
    OP(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, __reserved,
       viommui_emu_hwpt_invalidate),
    OP(IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, __reserved,
       viommui_emu_hwpt_set_dirty_tracking),
    OP(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, length, viommui_emu_hw_queue_alloc),
    OP(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, out_ioas_id, viommui_emu_ioas_alloc),
    OP(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, allowed_iovas,
       viommui_emu_ioas_allow_iovas),
    OP(IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process, __reserved,
       viommui_emu_ioas_change_process),
    OP(IOMMU_IOAS_COPY, iommu_ioas_copy, src_iova, viommui_emu_ioas_copy),
    OP(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, out_iova_alignment,
       viommui_emu_ioas_iova_ranges),
    OP(IOMMU_IOAS_MAP, iommu_ioas_map, iova, viommui_emu_ioas_map),
    OP(IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, iova, viommui_emu_ioas_map_file),
    OP(IOMMU_IOAS_NOIOMMU_GET_PA, iommu_ioas_noiommu_get_pa, out_phys, cmd_noiommu_get_pa),
    OP(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, length, viommui_emu_ioas_unmap),
    OP(IOMMU_OPTION, iommu_option, val64, viommui_emu_option),
    OP(IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, virt_id, viommui_emu_vdevice_alloc),
    OP(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, out_veventq_fd, viommui_emu_veventq_alloc),
    OP(IOMMU_VFIO_IOAS, iommu_vfio_ioas, __reserved, viommui_emu_vfio_ioas),
    OP(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, out_viommu_id, viommui_emu_viommu_alloc),
};

static const IoctlOp *find_op(unsigned long request)
{
    for (guint i = 0; i < G_N_ELEMENTS(ioctl_ops); i++) {
        if (ioctl_ops[i].request == request) {
            return &ioctl_ops[i];
        }
    }
    return NULL;
}
