/* SPDX-License-Identifier: MIT */
/*
 * Calls of the uAPI, and the rig that most tests stand on: uapi.h. Everything goes by the
 * target's seam, so nothing here knows whether a kernel answers.
 */
#include "uapi.h"

#include "tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { DMA_SIZE = 64 };

static void G_GNUC_NORETURN bail_out(const char *what, gint64 ret)
{
    printf("Bail out! %s: %s\n", what, ret < 0 ? g_strerror((int)-ret) : "failed");
    exit(1);
}

static void must(gint64 ret, const char *what)
{
    if (ret < 0)
        bail_out(what, ret);
}

gboolean uapi_init(Uapi *u, int argc, char **argv)
{
    *u = (Uapi){.fd = -1, .ram.memfd = -1};
    if (!target_init(&u->target, argc, argv, UAPI_DEVICES))
        return FALSE;
    u->seam = u->target.seam;
    while (u->n_devices < UAPI_DEVICES && u->target.bdfs[u->n_devices])
        u->n_devices++;
    for (guint i = 0; i < UAPI_DEVICES; i++)
        u->cdevs[i] = -1;
    return TRUE;
}

void uapi_clear(Uapi *u)
{
    uapi_stop(u);
    target_clear(&u->target);
}

static void find_hw_type(Uapi *u)
{
    struct iommu_hw_info info = {.size = sizeof info, .dev_id = u->devices[0]};

    must(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), "IOMMU_GET_HW_INFO");
    u->hw_type = info.out_data_type;
}

void uapi_start(Uapi *u)
{
    GError *error = NULL;

    u->fd = u->seam->ops->open(u->seam->data, "/dev/iommu", O_RDWR);
    must(u->fd, "/dev/iommu");
    for (guint i = 0; i < u->n_devices; i++) {
        u->cdevs[i] = uapi_cdev_open(u, i);
        must(u->cdevs[i], "the cdev of a device");
        must(uapi_bind(u, u->cdevs[i], u->fd, &u->devices[i]), "VFIO_DEVICE_BIND_IOMMUFD");
        if (!dma_device_init_fd(&u->dma[i], u->seam, u->cdevs[i], &error))
            bail_out(error->message, 0);
    }
    find_hw_type(u);
    if (!guest_memory_init(&u->ram, NULL, UAPI_RAM_BASE, UAPI_RAM_SIZE, FALSE, &error))
        bail_out(error->message, 0);
    must(uapi_ioas_alloc(u, &u->ioas), "IOMMU_IOAS_ALLOC");
    must(uapi_map_at(u, u->ioas, u->ram.bytes, UAPI_RAM_SIZE, UAPI_RAM_BASE),
         "IOMMU_IOAS_MAP");
    u->fill = guest_memory_alloc(&u->ram);
    u->spare = guest_memory_alloc(&u->ram);
    guest_memory_fill(&u->ram, u->fill, UAPI_FILL, GUEST_PAGE);
}

void uapi_stop(Uapi *u)
{
    for (guint i = 0; i < UAPI_DEVICES; i++) {
        uapi_close(u, u->cdevs[i]);
        u->cdevs[i] = -1;
    }
    uapi_close(u, u->fd);
    u->fd = -1;
    guest_memory_clear(&u->ram);
}

static const char *name_of(guint32 hw_type)
{
    return hw_type == IOMMU_HW_INFO_TYPE_ARM_SMMUV3 ? "SMMUv3" : "VT-d";
}

int uapi_main(int argc, char **argv, guint32 hw_type, const UapiTest *tests, guint n_tests)
{
    Uapi u;

    if (!uapi_init(&u, argc, argv))
        return 1;
    for (guint i = 0; i < n_tests; i++) {
        uapi_start(&u);
        if (hw_type != IOMMU_HW_INFO_TYPE_NONE && u.hw_type != hw_type) {
            uapi_clear(&u);
            return tap_skip_all("the IOMMU here is no %s", name_of(hw_type));
        }
        tests[i](&u);
        uapi_stop(&u);
    }
    uapi_clear(&u);
    return tap_done();
}

/* --- calls ------------------------------------------------------------------------------
 */

int uapi_ioctl(Uapi *u, unsigned long request, void *arg)
{
    return uapi_cdev_ioctl(u, u->fd, request, arg);
}

int uapi_cdev_ioctl(Uapi *u, int fd, unsigned long request, void *arg)
{
    return u->seam->ops->ioctl(u->seam->data, fd, request, arg);
}

int uapi_cdev_open(Uapi *u, guint n)
{
    g_autofree char *dir =
        g_strdup_printf("/sys/bus/pci/devices/%s/vfio-dev", u->target.bdfs[n]);
    g_autofree char *path = NULL;
    g_auto(GStrv) names = NULL;
    int ret = u->seam->ops->list_dir(u->seam->data, dir, &names);

    if (ret < 0)
        return ret;
    if (!names[0])
        return -ENOENT;
    path = g_strdup_printf("/dev/vfio/devices/%s", names[0]);
    return u->seam->ops->open(u->seam->data, path, O_RDWR);
}

int uapi_close(Uapi *u, int fd)
{
    return fd < 0 ? 0 : u->seam->ops->close(u->seam->data, fd);
}

int uapi_bind(Uapi *u, int cdev, int iommufd, guint32 *ret_id)
{
    struct vfio_device_bind_iommufd bind = {.argsz = sizeof bind, .iommufd = iommufd};
    int ret = uapi_cdev_ioctl(u, cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind);

    if (ret >= 0)
        *ret_id = bind.out_devid;
    return ret;
}

int uapi_attach(Uapi *u, guint n, guint32 *pt_id)
{
    struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof attach, .pt_id = *pt_id};
    int ret = uapi_cdev_ioctl(u, u->cdevs[n], VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

    if (ret >= 0)
        *pt_id = attach.pt_id;
    return ret;
}

int uapi_attach_to(Uapi *u, guint n, guint32 pt_id)
{
    return uapi_attach(u, n, &pt_id);
}

int uapi_detach(Uapi *u, guint n)
{
    struct vfio_device_detach_iommufd_pt detach = {.argsz = sizeof detach};

    return uapi_cdev_ioctl(u, u->cdevs[n], VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

int uapi_ioas_alloc(Uapi *u, guint32 *ret_id)
{
    struct iommu_ioas_alloc alloc = {.size = sizeof alloc};
    int ret = uapi_ioctl(u, IOMMU_IOAS_ALLOC, &alloc);

    if (ret >= 0)
        *ret_id = alloc.out_ioas_id;
    return ret;
}

int uapi_map(Uapi *u, guint32 ioas, guint32 flags, const void *va, guint64 length,
             guint64 *iova)
{
    struct iommu_ioas_map map = {.size = sizeof map,
                                 .flags = flags,
                                 .ioas_id = ioas,
                                 .user_va = (guintptr)va,
                                 .length = length,
                                 .iova = *iova};
    int ret = uapi_ioctl(u, IOMMU_IOAS_MAP, &map);

    if (ret >= 0)
        *iova = map.iova;
    return ret;
}

int uapi_map_at(Uapi *u, guint32 ioas, const void *va, guint64 length, guint64 iova)
{
    return uapi_map(u, ioas, UAPI_FIXED_RW, va, length, &iova);
}

int uapi_map_file(Uapi *u, guint32 ioas, guint32 flags, int fd, guint64 start,
                  guint64 length, guint64 *iova)
{
    struct iommu_ioas_map_file map = {.size = sizeof map,
                                      .flags = flags,
                                      .ioas_id = ioas,
                                      .fd = fd,
                                      .start = start,
                                      .length = length,
                                      .iova = *iova};
    int ret = uapi_ioctl(u, IOMMU_IOAS_MAP_FILE, &map);

    if (ret >= 0)
        *iova = map.iova;
    return ret;
}

int uapi_unmap(Uapi *u, guint32 ioas, guint64 iova, guint64 *length)
{
    struct iommu_ioas_unmap unmap = {
        .size = sizeof unmap, .ioas_id = ioas, .iova = iova, .length = *length};
    int ret = uapi_ioctl(u, IOMMU_IOAS_UNMAP, &unmap);

    if (ret >= 0)
        *length = unmap.length;
    return ret;
}

int uapi_unmap_at(Uapi *u, guint32 ioas, guint64 iova, guint64 length)
{
    return uapi_unmap(u, ioas, iova, &length);
}

int uapi_copy(Uapi *u, guint32 dst, guint32 src, guint32 flags, guint64 src_iova,
              guint64 length, guint64 *dst_iova)
{
    struct iommu_ioas_copy copy = {.size = sizeof copy,
                                   .flags = flags,
                                   .dst_ioas_id = dst,
                                   .src_ioas_id = src,
                                   .length = length,
                                   .dst_iova = *dst_iova,
                                   .src_iova = src_iova};
    int ret = uapi_ioctl(u, IOMMU_IOAS_COPY, &copy);

    if (ret >= 0)
        *dst_iova = copy.dst_iova;
    return ret;
}

int uapi_ranges(Uapi *u, guint32 ioas, struct iommu_iova_range *ranges, guint32 *n,
                guint64 *ret_alignment)
{
    struct iommu_ioas_iova_ranges cmd = {.size = sizeof cmd,
                                         .ioas_id = ioas,
                                         .num_iovas = *n,
                                         .allowed_iovas = (guintptr)ranges};
    int ret = uapi_ioctl(u, IOMMU_IOAS_IOVA_RANGES, &cmd);

    if (ret >= 0 || ret == -EMSGSIZE) {
        *n = cmd.num_iovas;
        *ret_alignment = cmd.out_iova_alignment;
    }
    return ret;
}

int uapi_allow(Uapi *u, guint32 ioas, const struct iommu_iova_range *ranges, guint32 n)
{
    struct iommu_ioas_allow_iovas cmd = {.size = sizeof cmd,
                                         .ioas_id = ioas,
                                         .num_iovas = n,
                                         .allowed_iovas = (guintptr)ranges};

    return uapi_ioctl(u, IOMMU_IOAS_ALLOW_IOVAS, &cmd);
}

int uapi_option(Uapi *u, guint32 option, guint16 op, guint32 object, guint64 *value)
{
    struct iommu_option cmd = {.size = sizeof cmd,
                               .option_id = option,
                               .op = op,
                               .object_id = object,
                               .val64 = *value};
    int ret = uapi_ioctl(u, IOMMU_OPTION, &cmd);

    if (ret >= 0)
        *value = cmd.val64;
    return ret;
}

int uapi_hwpt(Uapi *u, guint n, guint32 pt_id, guint32 flags, guint32 type,
              const void *data, guint32 size, guint32 *ret_id)
{
    struct iommu_hwpt_alloc cmd = {.size = sizeof cmd,
                                   .flags = flags,
                                   .dev_id = u->devices[n],
                                   .pt_id = pt_id,
                                   .data_type = type,
                                   .data_len = size,
                                   .data_uptr = (guintptr)data};
    int ret = uapi_ioctl(u, IOMMU_HWPT_ALLOC, &cmd);

    if (ret >= 0)
        *ret_id = cmd.out_hwpt_id;
    return ret;
}

int uapi_paging(Uapi *u, guint n, guint32 pt_id, guint32 flags, guint32 *ret_id)
{
    return uapi_hwpt(u, n, pt_id, flags, IOMMU_HWPT_DATA_NONE, NULL, 0, ret_id);
}

int uapi_viommu(Uapi *u, guint n, guint32 hwpt, guint32 type, guint32 *ret_id)
{
    struct iommu_viommu_alloc cmd = {
        .size = sizeof cmd, .type = type, .dev_id = u->devices[n], .hwpt_id = hwpt};
    int ret = uapi_ioctl(u, IOMMU_VIOMMU_ALLOC, &cmd);

    if (ret >= 0)
        *ret_id = cmd.out_viommu_id;
    return ret;
}

int uapi_vdevice(Uapi *u, guint32 viommu, guint n, guint64 virt_id, guint32 *ret_id)
{
    struct iommu_vdevice_alloc cmd = {.size = sizeof cmd,
                                      .viommu_id = viommu,
                                      .dev_id = u->devices[n],
                                      .virt_id = virt_id};
    int ret = uapi_ioctl(u, IOMMU_VDEVICE_ALLOC, &cmd);

    if (ret >= 0)
        *ret_id = cmd.out_vdevice_id;
    return ret;
}

int uapi_veventq(Uapi *u, guint32 viommu, guint32 type, guint32 depth, guint32 *ret_id,
                 int *ret_fd)
{
    struct iommu_veventq_alloc cmd = {
        .size = sizeof cmd, .viommu_id = viommu, .type = type, .veventq_depth = depth};
    int ret = uapi_ioctl(u, IOMMU_VEVENTQ_ALLOC, &cmd);

    if (ret >= 0) {
        *ret_id = cmd.out_veventq_id;
        *ret_fd = (int)cmd.out_veventq_fd;
    }
    return ret;
}

int uapi_destroy(Uapi *u, guint32 id)
{
    struct iommu_destroy cmd = {.size = sizeof cmd, .id = id};

    return uapi_ioctl(u, IOMMU_DESTROY, &cmd);
}

int uapi_invalidate(Uapi *u, guint32 id, guint32 type, const void *data, guint32 size,
                    guint32 *n)
{
    struct iommu_hwpt_invalidate cmd = {.size = sizeof cmd,
                                        .hwpt_id = id,
                                        .data_uptr = (guintptr)data,
                                        .data_type = type,
                                        .entry_len = size,
                                        .entry_num = *n};
    int ret = uapi_ioctl(u, IOMMU_HWPT_INVALIDATE, &cmd);

    *n = cmd.entry_num;
    return ret;
}

/* --- DMA --------------------------------------------------------------------------------
 */

static void store(Uapi *u, guint n, guint64 iova, gsize size)
{
    GError *error = NULL;

    if (!dma_store(&u->dma[n], iova, size, &error))
        bail_out(error->message, 0);
}

static void load(Uapi *u, guint n, guint64 iova, gsize size)
{
    GError *error = NULL;

    if (!dma_load(&u->dma[n], iova, size, &error))
        bail_out(error->message, 0);
}

void uapi_store(Uapi *u, guint n, guint64 iova)
{
    store(u, n, iova, DMA_SIZE);
}

void uapi_poke(Uapi *u, guint n, guint64 iova)
{
    store(u, n, iova, 4);
}

void uapi_peek(Uapi *u, guint n, guint64 iova)
{
    load(u, n, iova, 4);
}

gboolean uapi_stores(Uapi *u, guint n, guint64 iova, guint64 gpa)
{
    guint8 *bytes = guest_memory_at(&u->ram, gpa);
    guint8 old[DMA_SIZE];
    gboolean landed;

    memcpy(old, bytes, sizeof old);
    memset(bytes, 0, sizeof old);
    uapi_store(u, n, iova);
    landed = guest_memory_is_filled(&u->ram, gpa, UAPI_FILL, DMA_SIZE);
    memcpy(bytes, old, sizeof old);
    return landed;
}

gboolean uapi_loads(Uapi *u, guint n, guint64 iova, guint64 gpa, guint64 back,
                    guint64 back_gpa)
{
    guint8 *from = guest_memory_at(&u->ram, gpa);
    guint8 *to = guest_memory_at(&u->ram, back_gpa);

    memset(to, ~from[0], DMA_SIZE);
    load(u, n, iova, DMA_SIZE);
    uapi_store(u, n, back);
    return memcmp(from, to, DMA_SIZE) == 0;
}

void uapi_prime(Uapi *u, guint n, guint64 iova)
{
    load(u, n, iova, DMA_SIZE);
}
