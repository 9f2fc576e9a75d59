/* SPDX-License-Identifier: MIT */
#include "backend-bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MARKER = 0x5af00000 };

static void bail_out(const GError *error)
{
    printf("Bail out! no bench to work at: %s\n", error->message);
    exit(1);
}

static void traced(const ViommuTraceRecord *record, void *user_data)
{
    Reach *r = user_data;

    if (record->point == VIOMMU_TRACE_PINNINGS)
        r->pinnings = record->value;
    if (record->point != VIOMMU_TRACE_REFUSED)
        return;
    g_free(r->refusal);
    r->refusal = g_strdup(record->message);
}

static void add_devices(Reach *r, const ReachOptions *options)
{
    guint n_groups = MAX(options->n_groups, 1), unit;
    ViommuEmulatorVtdConfig config;

    viommu_emulator_vtd_defaults(&config);
    config.ecap &= ~options->lacks;
    unit = viommu_emulator_add_vtd(r->emulator, &config);
    for (guint i = 0; i < r->n_devices; i++) {
        ViommuEmulatorDeviceConfig device = {
            .iommu = unit,
            .stream_id = 0x10 + i,
            .iommu_group = (int)(i % n_groups),
            .pasid_bits = options->pasid_bits,
        };

        r->bdfs[i] = g_strdup_printf("0000:00:%02x.0", 2 + i);
        device.bdf = r->bdfs[i];
        viommu_emulator_add_device(r->emulator, &device, NULL);
    }
}

static void make_memory(Reach *r)
{
    r->memfd = memfd_create("guest", MFD_CLOEXEC);
    if (ftruncate(r->memfd, 2 * REACH_SIZE) < 0)
        exit(1);
    r->ram = mmap(NULL, REACH_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, r->memfd,
                  (off_t)REACH_SIZE);
    for (guint i = 0; i < REACH_PAGES; i++)
        *(guint32 *)(void *)(r->ram + i * REACH_PAGE) = MARKER + i;
}

static gboolean map_memory(Reach *r, gboolean by_fd, GError **error)
{
    if (by_fd)
        return viommu_host_map_fd(r->host, REACH_BASE, REACH_SIZE, r->memfd, REACH_SIZE,
                                  REACH_RW, error);
    return viommu_host_map(r->host, REACH_BASE, REACH_SIZE, r->ram, REACH_RW, error);
}

static ViommuHostDevice *open_by_group(Reach *r, guint n, guint n_groups, GError **error)
{
    guint group = n % MAX(n_groups, 1);
    g_autofree char *path = g_strdup_printf("/dev/vfio/%u", group);
    const ViommuSeam *seam = &r->spy.seam;

    if (r->group_fds[group] < 0)
        r->group_fds[group] = seam->ops->open(seam->data, path, O_RDWR);
    return viommu_host_device_new_from_group_fd(r->host, r->group_fds[group], r->bdfs[n],
                                                error);
}

static void open_devices(Reach *r, const ReachOptions *options)
{
    GError *error = NULL;

    for (guint i = 0; i < r->n_devices && !error; i++)
        r->devices[i] = options->by_group_fd
                            ? open_by_group(r, i, options->n_groups, &error)
                            : viommu_host_device_new_from_bdf(r->host, r->bdfs[i], &error);
    if (error)
        bail_out(error);
}

void reach_init_host(Reach *r, const ReachOptions *options)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    GError *error = NULL;

    *r = (Reach){.emulator = viommu_emulator_new(), .n_devices = options->n_devices};
    for (guint i = 0; i < REACH_DEVICES; i++)
        r->group_fds[i] = -1;
    add_devices(r, options);
    make_memory(r);
    spy_init(&r->spy, viommu_emulator_get_seam(r->emulator));
    r->spy.hide_sysfs = options->hide_sysfs;
    config.seam = &r->spy.seam;
    config.backend = options->backend;
    config.container = options->container;
    r->host = viommu_host_new(&config, &error);
    if (!r->host)
        bail_out(error);
    r->ops = r->host->ops;
    viommu_host_set_trace(r->host, traced, r);
}

void reach_init(Reach *r, const ReachOptions *options)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD,
                                            .pasids = options->pasid_bits > 0};
    GError *error = NULL;

    reach_init_host(r, options);
    if (!map_memory(r, options->by_fd, &error))
        bail_out(error);
    open_devices(r, options);
    r->hv = viommui_host_viommu_new(r->devices[0], &config, &error);
    if (!r->hv)
        bail_out(error);
}

void reach_clear(Reach *r)
{
    const ViommuSeam *seam = &r->spy.seam;

    viommui_host_viommu_free(r->hv);
    for (guint i = 0; i < r->n_devices; i++)
        viommu_host_device_free(r->devices[i]);
    viommu_host_free(r->host);
    for (guint i = 0; i < REACH_DEVICES; i++) {
        if (r->group_fds[i] >= 0)
            seam->ops->close(seam->data, r->group_fds[i]);
        g_free(r->bdfs[i]);
    }
    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        if (viommu_emulator_count_objects(r->emulator, kind))
            tap_ok(FALSE, "in the end no %s is left", viommu_emulator_object_name(kind));
    if (r->spy.n_mapped)
        tap_ok(FALSE, "in the end no file is mapped");
    spy_clear(&r->spy);
    viommu_emulator_free(r->emulator);
    munmap(r->ram, REACH_SIZE);
    close(r->memfd);
    g_free(r->refusal);
}

guint64 reach_gpa(guint page)
{
    return REACH_BASE + (guint64)page * REACH_PAGE;
}

int reach_attach(Reach *r, guint n, guint32 hwpt)
{
    return r->ops->attach(r->devices[n]->backend, VIOMMUI_NO_PASID, hwpt);
}

int reach_detach(Reach *r, guint n)
{
    return r->ops->detach(r->devices[n]->backend, VIOMMUI_NO_PASID);
}

guint32 reach_identity(Reach *r)
{
    return r->ops->viommu_get_parent(r->hv->backend);
}

int reach_reads(Reach *r, guint n, guint64 iova)
{
    guint32 value = 0;
    int ret =
        viommu_emulator_dma(r->emulator, r->bdfs[n], iova, &value, sizeof value, FALSE);

    if (ret < 0)
        return ret;
    return value >= MARKER && value < MARKER + REACH_PAGES ? (int)(value - MARKER) : -EIO;
}

int reach_writes(Reach *r, guint n, guint64 iova)
{
    guint32 value = 0;

    return viommu_emulator_dma(r->emulator, r->bdfs[n], iova + 8, &value, sizeof value,
                               TRUE);
}

gboolean reach_sees_memory(Reach *r, guint n)
{
    for (guint i = 0; i < REACH_PAGES; i++)
        if (reach_reads(r, n, reach_gpa(i)) != (int)i)
            return FALSE;
    return reach_reads(r, n, reach_gpa(REACH_PAGES)) == -EFAULT;
}

gboolean reach_sees_nothing(Reach *r, guint n)
{
    for (guint i = 0; i < REACH_PAGES; i++)
        if (reach_reads(r, n, reach_gpa(i)) != -EFAULT)
            return FALSE;
    return TRUE;
}

guint reach_count(Reach *r)
{
    guint n = r->spy.n_mapped;

    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        n += viommu_emulator_count_objects(r->emulator, kind);
    return n;
}
