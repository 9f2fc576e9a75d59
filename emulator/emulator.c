/* SPDX-License-Identifier: MIT */
/*
 * The emulator itself: making one, plugging in IOMMUs and devices, and freeing it.
 *
 * Invariants: IOMMUs, groups and devices are only ever added, so pointers to them
 * stay good until the emulator is freed; by then every descriptor has been closed,
 * and with the descriptors every iommufd context has gone.
 *
 * Up: the public header. Down: fds.c for what is opened, machine.h for the rest.
 */
#include "vfio.h"

static void device_free(gpointer data)
{
    EmuDevice *device = data;

    device->iommu->ops->device_free(device->iommu, device->iommu_priv);
    g_array_unref(device->partial);
    viommui_emu_dma_forget(device);
    g_free(device->bdf);
    g_free(device);
}

static void group_free(gpointer data)
{
    EmuGroup *group = data;

    g_ptr_array_unref(group->devices);
    g_hash_table_unref(group->handles);
    g_free(group->vfio);
    g_free(group);
}

static void iommu_free(gpointer data)
{
    EmuIommu *iommu = data;

    iommu->ops->free(iommu);
}

ViommuEmulator *viommu_emulator_new(void)
{
    ViommuEmulator *emulator = g_new0(ViommuEmulator, 1);

    pthread_mutex_init(&emulator->lock, NULL);
    emulator->seam.ops = viommui_emu_seam_ops();
    emulator->seam.data = emulator;
    emulator->fds = g_hash_table_new(NULL, NULL);
    emulator->iommus = g_ptr_array_new_with_free_func(iommu_free);
    emulator->groups = g_ptr_array_new_with_free_func(group_free);
    emulator->devices = g_ptr_array_new_with_free_func(device_free);
    emulator->contexts = g_ptr_array_new();
    viommui_emu_calls_init(&emulator->calls);
    return emulator;
}

static void close_everything(ViommuEmulator *emulator)
{
    GHashTableIter iter;
    gpointer file;

    for (;;) {
        g_hash_table_iter_init(&iter, emulator->fds);
        if (!g_hash_table_iter_next(&iter, NULL, &file)) {
            return;
        }
        viommui_emu_fd_close(file);
    }
}

void viommu_emulator_free(ViommuEmulator *emulator)
{
    if (!emulator) {
        return;
    }
    pthread_mutex_lock(&emulator->lock);
    close_everything(emulator);
    pthread_mutex_unlock(&emulator->lock);

    g_ptr_array_unref(emulator->devices);
    g_ptr_array_unref(emulator->groups);
    g_ptr_array_unref(emulator->iommus);
    g_ptr_array_unref(emulator->contexts);
    g_hash_table_unref(emulator->fds);
    viommui_emu_calls_clear(&emulator->calls);
    pthread_mutex_destroy(&emulator->lock);
    g_free(emulator);
}

const ViommuSeam *viommu_emulator_get_seam(ViommuEmulator *emulator)
{
    return &emulator->seam;
}

static guint add_iommu(ViommuEmulator *emulator, EmuIommu *iommu)
{
    pthread_mutex_lock(&emulator->lock);
    iommu->index = emulator->iommus->len;
    g_ptr_array_add(emulator->iommus, iommu);
    pthread_mutex_unlock(&emulator->lock);
    return iommu->index;
}

guint viommu_emulator_add_smmuv3(ViommuEmulator *emulator,
                                 const ViommuEmulatorSmmuv3Config *config)
{
    return add_iommu(emulator, viommui_emu_smmuv3_new(config));
}

guint viommu_emulator_add_vtd(ViommuEmulator *emulator,
                              const ViommuEmulatorVtdConfig *config)
{
    return add_iommu(emulator, viommui_emu_vtd_new(config));
}

EmuDevice *viommui_emu_find_device(ViommuEmulator *emulator, const char *bdf)
{
    EmuDevice *found = NULL;

    for (guint i = 0; bdf && i < emulator->devices->len; i++) {
        EmuDevice *device = g_ptr_array_index(emulator->devices, i);

        /* One that took an unplugged one's place is meant. */
        if (g_str_equal(device->bdf, bdf) && (!device->gone || device->n_files)) {
            found = device;
        }
    }
    return found;
}

void viommui_emu_device_forget(EmuDevice *device)
{
    EmuGroup *group = device->group;

    if (!device->gone || device->n_files) {
        return;
    }
    if (device->blocked_for_reset) {
        group->n_resetting--;
        device->blocked_for_reset = FALSE;
        device->reset_depth = 0;
    }
    device->iommu->ops->attach(device, NULL);
    g_ptr_array_remove(group->devices, device);
    if (!group->devices->len && group->vfio) {
        viommui_emu_vfio_group_forget(group->vfio);
    }
}

/* "dddd:bb:ss.f", as sysfs spells it: lower-case hexadecimal, slot below 0x20. */
static gboolean bdf_is_valid(const char *bdf)
{
    static const char shape[] = "xxxx:xx:xx.o";

    if (!bdf || strlen(bdf) != sizeof(shape) - 1) {
        return FALSE;
    }
    for (guint i = 0; shape[i]; i++) {
        gboolean ok = shape[i] == 'x' ? g_ascii_isxdigit(bdf[i]) && !g_ascii_isupper(bdf[i])
                      : shape[i] == 'o' ? bdf[i] >= '0' && bdf[i] <= '7'
                                        : bdf[i] == shape[i];

        if (!ok) {
            return FALSE;
        }
    }
    return bdf[8] == '0' || bdf[8] == '1';
}

static EmuGroup *find_group(ViommuEmulator *emulator, int number)
{
    for (guint i = 0; i < emulator->groups->len; i++) {
        EmuGroup *group = g_ptr_array_index(emulator->groups, i);

        if (group->number == number) {
            return group;
        }
    }
    return NULL;
}

static EmuGroup *get_group(ViommuEmulator *emulator, int number)
{
    EmuGroup *group = number >= 0 ? find_group(emulator, number) : NULL;

    if (group) {
        return group;
    }
    if (number < 0) {
        while (find_group(emulator, emulator->next_group)) {
            emulator->next_group++;
        }
        number = emulator->next_group++;
    }
    group = g_new0(EmuGroup, 1);
    group->number = number;
    group->devices = g_ptr_array_new();
    group->handles = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_ptr_array_add(emulator->groups, group);
    return group;
}

/* What is wrong with the config, or NULL. */
static const char *config_problem(ViommuEmulator *emulator,
                                  const ViommuEmulatorDeviceConfig *config)
{
    EmuGroup *group;

    if (!bdf_is_valid(config->bdf)) {
        return "is not a PCI address such as 0000:00:02.0";
    }
    if (viommui_emu_find_device(emulator, config->bdf)) {
        return "is taken";
    }
    if (config->iommu >= emulator->iommus->len) {
        return "names an IOMMU that does not exist";
    }
    for (guint i = 0; i < emulator->devices->len; i++) {
        EmuDevice *other = g_ptr_array_index(emulator->devices, i);

        if (other->iommu->index == config->iommu && !(other->gone && !other->n_files) &&
            other->stream_id == config->stream_id) {
            return "has the StreamID of another device of its IOMMU";
        }
    }
    group = config->iommu_group >= 0 ? find_group(emulator, config->iommu_group) : NULL;
    if (group && group->owner) {
        return "cannot join an IOMMU group that is in use";
    }
    return NULL;
}

static void add_device(ViommuEmulator *emulator, const ViommuEmulatorDeviceConfig *config)
{
    EmuDevice *device = g_new0(EmuDevice, 1);

    device->emulator = emulator;
    device->index = emulator->devices->len;
    device->bdf = g_strdup(config->bdf);
    device->stream_id = config->stream_id;
    device->pasid_bits = MIN(config->pasid_bits, 20);
    device->pasid_privileged = config->pasid_privileged;
    device->pasid_exec = config->pasid_exec;
    device->ats = config->ats;
    device->pri = config->pri;
    device->flr = config->flr;
    device->partial = g_array_new(FALSE, FALSE, sizeof(EmuPageRequest));
    device->vendor_id = config->vendor_id ? config->vendor_id : 0x1234;
    device->device_id = config->vendor_id ? config->device_id : 0x11e8;
    device->iommu = g_ptr_array_index(emulator->iommus, config->iommu);
    device->iommu_priv = device->iommu->ops->device_new(device->iommu, device);
    device->group = get_group(emulator, config->iommu_group);
    g_ptr_array_add(device->group->devices, device);
    viommui_emu_edu_init(&device->edu, device->vendor_id, device->device_id);
    g_ptr_array_add(emulator->devices, device);
}

gboolean viommu_emulator_add_device(ViommuEmulator *emulator,
                                    const ViommuEmulatorDeviceConfig *config,
                                    GError **error)
{
    const char *problem;

    pthread_mutex_lock(&emulator->lock);
    problem = config_problem(emulator, config);
    if (!problem) {
        add_device(emulator, config);
    }
    pthread_mutex_unlock(&emulator->lock);
    if (problem) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "emulated device \"%s\" %s",
                    config->bdf ? config->bdf : "(null)", problem);
    }
    return !problem;
}
