/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include "tap.h"

static void watch_fd(int fd, gboolean watch, void *user_data)
{
    Machine *m = user_data;

    m->event_fd = watch ? fd : -1;
    m->n_watched += watch ? 1 : -1;
}

static void trace(const ViommuTraceRecord *record, void *user_data)
{
    Machine *m = user_data;

    if (record->point == VIOMMU_TRACE_INVALIDATE)
        m->n_invalidated += record->value;
    if (record->point == VIOMMU_TRACE_REFUSED) {
        g_free(m->refusal);
        m->refusal = g_strdup(record->message);
    }
}

static gboolean open_devices(Machine *m, char *const *bdfs, GError **error)
{
    for (guint i = 0; i < MACHINE_DEVICES && bdfs[i]; i++) {
        m->devices[i] = viommu_host_device_new_from_bdf(m->host, bdfs[i], error);
        if (!m->devices[i])
            return FALSE;
        m->n_devices++;
    }
    return TRUE;
}

static gboolean attach_devices(Machine *m, guint event_depth, GError **error)
{
    ViommuSmmuv3AccelConfig config = {
        .event_depth = event_depth, .watch_fd = watch_fd, .user_data = m};

    guest_idr(config.idr, viommu_host_device_get_info(m->devices[0]));
    m->accel = viommu_smmuv3_accel_new(m->host, &config, error);
    if (!m->accel)
        return FALSE;
    for (guint i = 0; i < m->n_devices; i++)
        if (!viommu_smmuv3_accel_attach_device(m->accel, m->devices[i], MACHINE_SID + i,
                                               error))
            return FALSE;
    return TRUE;
}

gboolean machine_init(Machine *m, const ViommuSeam *seam, char *const *bdfs,
                      guint event_depth)
{
    const ViommuHostConfig config = {.seam = seam, .iommufd = -1};
    g_autoptr(GError) error = NULL;

    *m = (Machine){.event_fd = -1, .ram.memfd = -1};
    m->host = viommu_host_new(&config, &error);
    if (m->host)
        viommu_host_set_trace(m->host, trace, m);
    if (!m->host ||
        !guest_memory_init(&m->ram, m->host, MACHINE_RAM_BASE, MACHINE_RAM_SIZE, TRUE,
                           &error) ||
        !open_devices(m, bdfs, &error) || !attach_devices(m, event_depth, &error)) {
        tap_note("%s", error->message);
        machine_clear(m);
        return FALSE;
    }
    guest_domain_init(&m->domain, &m->ram, MACHINE_ASID);
    m->page = guest_memory_alloc(&m->ram);
    guest_domain_map(&m->domain, MACHINE_IOVA, m->page, TRUE);
    return TRUE;
}

void machine_clear(Machine *m)
{
    viommu_smmuv3_accel_free(m->accel);
    for (guint i = 0; i < m->n_devices; i++)
        viommu_host_device_free(m->devices[i]);
    guest_memory_clear(&m->ram);
    viommu_host_free(m->host);
    g_free(m->refusal);
    *m = (Machine){.event_fd = -1};
}

ViommuResult machine_install_s1(Machine *m, guint n, const GuestDomain *domain)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];

    guest_ste_s1(ste, domain);
    return viommu_smmuv3_accel_install_ste(m->accel, MACHINE_SID + n, ste);
}

ViommuResult machine_install_config(Machine *m, guint n, guint config)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];

    guest_ste_config(ste, config);
    return viommu_smmuv3_accel_install_ste(m->accel, MACHINE_SID + n, ste);
}

ViommuResult machine_command(Machine *m, const guint8 *command)
{
    gsize handled;

    return viommu_smmuv3_accel_invalidate(m->accel, command, 1, &handled);
}
