/* SPDX-License-Identifier: MIT */
/*
 * The few sysfs and procfs paths by which a VMM finds its way from a PCI address to
 * a cdev, a group and back. All text is made when asked for; nothing is kept.
 *
 * Up: fds.c. Down: the machine's list of devices.
 */
#include "machine.h"

#define PCI_DEVICES "/sys/bus/pci/devices/"
#define VFIO_CLASS  "/sys/class/vfio-dev/"
#define GROUPS      "/sys/kernel/iommu_groups/"

static void text_release(EmuFd *file)
{
    g_free(file->object);
}

static ssize_t text_pread(EmuFd *file, void *buf, size_t size, int64_t offset)
{
    const char *text = file->object;
    size_t length = strlen(text);
    int ret;

    if ((guint64)offset >= length) {
        return 0;
    }
    size = MIN(size, length - (size_t)offset);
    ret = viommui_emu_copy_to_user(buf, text + offset, size);
    return ret < 0 ? ret : (ssize_t)size;
}

static const EmuFdOps text_ops = {
    .release = text_release,
    .ioctl = viommui_emu_fd_no_ioctl,
    .read = viommui_emu_fd_read_on,
    .write = viommui_emu_fd_no_write,
    .pread = text_pread,
    .pwrite = viommui_emu_fd_no_pwrite,
    .pollable = FALSE,
};

/*
 * The device whose directory `path` lies in, with the rest of the path after it
 * ("" for the directory itself).
 */
static EmuDevice *split_pci(ViommuEmulator *emulator, const char *path,
                            const char **ret_rest)
{
    EmuDevice *device;
    const char *end;
    char *bdf;

    if (!g_str_has_prefix(path, PCI_DEVICES)) {
        return NULL;
    }
    path += strlen(PCI_DEVICES);
    end = strchr(path, '/');
    bdf = end ? g_strndup(path, (gsize)(end - path)) : g_strdup(path);
    device = viommui_emu_find_device(emulator, bdf);
    g_free(bdf);
    *ret_rest = end ? end : "";
    return device;
}

/* A decimal number right behind `prefix`, and the rest; -1 when there is none. */
static gint64 split_number(const char *path, const char *prefix, const char **ret_rest)
{
    char *end;
    gint64 number;

    if (!g_str_has_prefix(path, prefix) || !g_ascii_isdigit(path[strlen(prefix)])) {
        return -1;
    }
    number = g_ascii_strtoll(path + strlen(prefix), &end, 10);
    *ret_rest = end;
    return number;
}

static EmuGroup *split_group(ViommuEmulator *emulator, const char *path,
                             const char **ret_rest)
{
    gint64 number = split_number(path, GROUPS, ret_rest);

    for (guint i = 0; number >= 0 && i < emulator->groups->len; i++) {
        EmuGroup *group = g_ptr_array_index(emulator->groups, i);

        if (group->number == number && group->devices->len) {
            return group;
        }
    }
    return NULL;
}

int viommui_emu_sysfs_open(ViommuEmulator *emulator, const char *path)
{
    const char *rest;
    const char *group_rest;
    EmuDevice *device = split_pci(emulator, path, &rest);
    const EmuGroup *group = split_group(emulator, path, &group_rest);
    char *text = NULL;
    int fd;

    if (device && g_str_equal(rest, "/vendor")) {
        text = g_strdup_printf("0x%04x\n", device->vendor_id);
    } else if (device && g_str_equal(rest, "/device")) {
        text = g_strdup_printf("0x%04x\n", device->device_id);
    } else if (group && g_str_equal(group_rest, "/reserved_regions")) {
        const EmuDevice *first = g_ptr_array_index(group->devices, 0);

        text = g_strdup_printf("0x%016" G_GINT64_MODIFIER "x 0x%016" G_GINT64_MODIFIER
                               "x msi\n",
                               first->iommu->ops->msi_first, first->iommu->ops->msi_last);
    }
    if (!text) {
        return -ENOENT;
    }
    fd = viommui_emu_fd_new(emulator, path, &text_ops, text);
    if (fd < 0) {
        g_free(text);
    }
    return fd;
}

/* What a link points to, or NULL; to be freed. */
static char *link_target(ViommuEmulator *emulator, const char *path)
{
    const char *rest;
    EmuDevice *device = split_pci(emulator, path, &rest);
    gint64 number;
    EmuFd *file;

    if (device && g_str_equal(rest, "/iommu_group")) {
        return g_strdup_printf("../../../../kernel/iommu_groups/%d", device->group->number);
    }
    if (device && g_str_equal(rest, "/driver") && !device->gone) {
        return g_strdup("../../../../bus/pci/drivers/vfio-pci");
    }
    number = split_number(path, VFIO_CLASS "vfio", &rest);
    if (number >= 0 && number < emulator->devices->len && g_str_equal(rest, "/device")) {
        device = g_ptr_array_index(emulator->devices, (guint)number);
        if (device->gone) {
            return NULL;
        }
        return g_strdup_printf("../../../%s", device->bdf);
    }
    number = split_number(path, "/proc/self/fd/", &rest);
    file = number >= 0 && number <= G_MAXINT && !*rest
               ? viommui_emu_fd_find(emulator, (int)number)
               : NULL;
    return file ? g_strdup(file->path) : NULL;
}

ssize_t viommui_emu_sysfs_read_link(ViommuEmulator *emulator, const char *path, char *buf,
                                    size_t size)
{
    char *target = link_target(emulator, path);
    ssize_t ret = -ENOENT;

    if (target) {
        size_t length = strlen(target);

        ret = length < size ? (ssize_t)length : -ENAMETOOLONG;
        if (ret >= 0) {
            ret = viommui_emu_copy_to_user(buf, target, length + 1) < 0 ? -EFAULT : ret;
        }
    }
    g_free(target);
    return ret;
}

static void add_bdfs(GPtrArray *names, const GPtrArray *devices)
{
    for (guint i = 0; i < devices->len; i++) {
        const EmuDevice *device = g_ptr_array_index(devices, i);

        if (!device->gone || device->n_files) {
            g_ptr_array_add(names, g_strdup(device->bdf));
        }
    }
}

static gboolean collect_names(ViommuEmulator *emulator, const char *path, GPtrArray *names)
{
    const char *rest;
    EmuDevice *device = split_pci(emulator, path, &rest);
    EmuGroup *group;

    if (device && !device->gone && g_str_equal(rest, "/vfio-dev")) {
        g_ptr_array_add(names, g_strdup_printf("vfio%u", device->index));
        return TRUE;
    }
    group = split_group(emulator, path, &rest);
    if (group && g_str_equal(rest, "/devices")) {
        add_bdfs(names, group->devices);
        return TRUE;
    }
    if (g_str_equal(path, "/sys/bus/pci/devices")) {
        add_bdfs(names, emulator->devices);
        return TRUE;
    }
    if (g_str_equal(path, "/sys/class/vfio-dev") ||
        g_str_equal(path, "/dev/vfio/devices")) {
        for (guint i = 0; i < emulator->devices->len; i++) {
            const EmuDevice *other = g_ptr_array_index(emulator->devices, i);

            if (!other->gone) {
                g_ptr_array_add(names, g_strdup_printf("vfio%u", i));
            }
        }
        return TRUE;
    }
    return FALSE;
}

int viommui_emu_sysfs_list_dir(ViommuEmulator *emulator, const char *path,
                               char ***ret_names)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    gsize length = strlen(path);
    /* A directory may be named with a slash at its end. */
    char *trimmed =
        g_strndup(path, length && path[length - 1] == '/' ? length - 1 : length);
    gboolean found = collect_names(emulator, trimmed, names);

    g_free(trimmed);
    if (!found) {
        g_ptr_array_unref(names);
        return -ENOENT;
    }
    g_ptr_array_set_free_func(names, NULL);
    g_ptr_array_add(names, NULL);
    *ret_names = (char **)g_ptr_array_free(names, FALSE);
    return 0;
}
