/* SPDX-License-Identifier: MIT */
/* Around a host vIOMMU of an SMMUv3: vsmmu.h. */
#include "vsmmu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int ret, const char *what)
{
    if (ret < 0) {
        printf("Bail out! %s: %s\n", what, g_strerror(-ret));
        exit(1);
    }
}

static void read_idr(Vsmmu *v, Uapi *u)
{
    struct iommu_hw_info_arm_smmuv3 smmu = {0};
    struct iommu_hw_info info = {.size = sizeof info,
                                 .dev_id = u->devices[0],
                                 .data_len = sizeof smmu,
                                 .data_uptr = (guintptr)&smmu};

    must(uapi_ioctl(u, IOMMU_GET_HW_INFO, &info), "hardware info");
    for (guint i = 0; i < G_N_ELEMENTS(v->idr); i++)
        v->idr[i] = smmu.idr[i];
}

void vsmmu_init(Vsmmu *v, Uapi *u)
{
    *v = (Vsmmu){0};
    read_idr(v, u);
    must(uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &v->parent),
         "a nesting parent");
    must(uapi_viommu(u, 0, v->parent, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &v->viommu),
         "a vIOMMU");
    for (guint i = 0; i < u->n_devices; i++)
        must(uapi_vdevice(u, v->viommu, i, VSMMU_SID + i, &v->vdevices[i]), "a vDEVICE");
}

int vsmmu_nested(Uapi *u, guint n, guint32 viommu, guint64 word0, guint64 word1,
                 guint32 *ret_id)
{
    struct iommu_hwpt_arm_smmuv3 data = {
        .ste = {GUINT64_TO_LE(word0), GUINT64_TO_LE(word1)}};

    return uapi_hwpt(u, n, viommu, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, &data, sizeof data,
                     ret_id);
}

guint32 vsmmu_nested_of(Uapi *u, const Vsmmu *v, guint n, const GuestDomain *domain)
{
    guint64 ste[8];
    guint32 id = 0;

    guest_ste_s1((guint8 *)ste, domain);
    must(vsmmu_nested(u, n, v->viommu, GUINT64_FROM_LE(ste[0]), GUINT64_FROM_LE(ste[1]),
                      &id),
         "a nested HWPT");
    return id;
}

int vsmmu_command(Uapi *u, guint32 viommu, guint64 word0, guint64 word1)
{
    struct iommu_viommu_arm_smmuv3_invalidate command = {
        .cmd = {GUINT64_TO_LE(word0), GUINT64_TO_LE(word1)}};
    guint32 n = 1;

    return uapi_invalidate(u, viommu, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3, &command,
                           sizeof command, &n);
}

gssize vsmmu_events(Uapi *u, int fd, void *buffer, gsize size, gboolean wait)
{
    struct pollfd poll = {.fd = fd, .events = POLLIN};
    int ret =
        u->seam->ops->poll(u->seam->data, &poll, 1, wait ? u->target.event_timeout_ms : 0);

    return ret <= 0 ? ret : u->seam->ops->read(u->seam->data, fd, buffer, size);
}
