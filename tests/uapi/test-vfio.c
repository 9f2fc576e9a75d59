/* SPDX-License-Identifier: MIT */
/*
 * The VFIO of old: a group's file, containers and how groups join them, what keeps what
 * alive; how groups and cdevs keep out of each other's way; an iommufd in a container's
 * place. What a container maps is test-type1.c.
 *
 * The same points on the emulator and, with --device, on the kernel.
 */
#include "legacy.h"

#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { VIABLE = VFIO_GROUP_FLAGS_VIABLE };
enum { JOINED = VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET };
enum { NO_IOMMU_TYPE = 0x7fff };

/* --- a group that is in no container ----------------------------------------------------
 */

static void test_group(Uapi *u)
{
    struct vfio_group_status status = {.argsz = 4};
    g_autofree char *longest = g_strnfill(LEGACY_PAGE - 1, 'x');
    g_autofree char *longer = g_strnfill(LEGACY_PAGE, 'x');
    int group = legacy_open_group(u, 0);
    guint8 bytes[8] = {0};

    tap_ok(group >= 0, "a group");
    tap_is(legacy_open(u, "/dev/vfio/99999"), -ENOENT, "a group that is not there");
    tap_is(legacy_open_group(u, 0), -EBUSY, "a group is opened once");
    tap_is(legacy_group_flags(u, group), VIABLE, "it is viable");
    tap_is(uapi_cdev_ioctl(u, group, VFIO_GROUP_GET_STATUS, &status), -EINVAL,
           "its status, too small");
    tap_is(uapi_cdev_ioctl(u, group, VFIO_GROUP_GET_STATUS, NULL), -EFAULT,
           "its status, at NULL");
    tap_is(legacy_get_device(u, group, u->target.bdfs[0]), -EINVAL,
           "no device without a container");
    tap_is(legacy_get_device(u, group, "0000:7f:1f.7"), -ENODEV, "nor one of another name");
    tap_is(legacy_get_device(u, group, ""), -ENODEV, "nor one of no name");
    tap_is(legacy_get_device(u, group, longest), -ENODEV, "a name that just fits a page");
    tap_is(legacy_get_device(u, group, longer), -EINVAL, "a name that does not");
    tap_is(uapi_cdev_ioctl(u, group, VFIO_GROUP_GET_DEVICE_FD, NULL), -EFAULT,
           "a name at NULL");
    tap_is(legacy_number(u, group, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL,
           "no container to leave");
    tap_is(legacy_number(u, group, VFIO_GET_API_VERSION, 0), -ENOTTY,
           "a group has no version");
    tap_is(legacy_number(u, group, VFIO_IOMMU_MAP_DMA, 0), -ENOTTY, "and maps nothing");
    tap_is(u->seam->ops->read(u->seam->data, group, bytes, sizeof bytes), -EINVAL,
           "it cannot be read");
    tap_is(u->seam->ops->write(u->seam->data, group, bytes, sizeof bytes), -EINVAL,
           "nor written");
    tap_is(u->seam->ops->pread(u->seam->data, group, bytes, sizeof bytes, 0), -EINVAL,
           "anywhere");
    uapi_close(u, group);
    group = legacy_open_group(u, 0);
    tap_ok(group >= 0, "closed, it can be opened again");
    uapi_close(u, group);
}

static void test_no_container(Uapi *u)
{
    int group = legacy_open_group(u, 0);
    int cdev = uapi_cdev_open(u, 0);
    int file = memfd_create("no-container", MFD_CLOEXEC);

    tap_is(legacy_set_container(u, group, 9999), -EBADF, "a container that is not open");
    tap_is(legacy_set_container(u, group, -1), -EBADF, "one of no descriptor");
    tap_is(legacy_set_container(u, group, group), -EBADFD, "the group itself");
    tap_is(legacy_set_container(u, group, cdev), -EBADFD, "a cdev");
    tap_is(legacy_set_container(u, group, file), -EBADFD, "a file");
    tap_is(uapi_cdev_ioctl(u, group, VFIO_GROUP_SET_CONTAINER, NULL), -EFAULT, "NULL");
    tap_is(legacy_group_flags(u, group), VIABLE, "none of them is a container");
    close(file);
    uapi_close(u, cdev);
    uapi_close(u, group);
}

/* --- a container ------------------------------------------------------------------------
 */

static void test_empty_container(Uapi *u)
{
    struct vfio_iommu_type1_info info = {.argsz = sizeof info};
    int container = legacy_open_container(u);
    guint8 bytes[8] = {0};
    static const struct {
        guint extension;
        int want;
        const char *name;
    } extensions[] = {
        {VFIO_TYPE1_IOMMU, 1, "type 1"},
        {VFIO_TYPE1v2_IOMMU, 1, "type 1 version 2"},
        {VFIO_UNMAP_ALL, 1, "unmapping all"},
        {VFIO_UPDATE_VADDR, 0, "updated addresses, before there is an IOMMU"},
        {VFIO_DMA_CC_IOMMU, 0, "coherent DMA, before there is an IOMMU"},
        {VFIO_SPAPR_TCE_IOMMU, 0, "another machine's"},
        {VFIO_NOIOMMU_IOMMU, 0, "no IOMMU at all"},
        {6, 0, "nesting, which is withdrawn"},
        {0, 0, "nothing"},
        {NO_IOMMU_TYPE, 0, "one of tomorrow"},
    };

    tap_ok(container >= 0, "a container");
    tap_is(legacy_number(u, container, VFIO_GET_API_VERSION, 0), 0, "its version");
    for (guint i = 0; i < G_N_ELEMENTS(extensions); i++)
        tap_is(legacy_number(u, container, VFIO_CHECK_EXTENSION, extensions[i].extension),
               extensions[i].want, "extension: %s", extensions[i].name);
    tap_is(legacy_number(u, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL,
           "no IOMMU without a group");
    tap_is(legacy_number(u, container, VFIO_SET_IOMMU, NO_IOMMU_TYPE), -EINVAL,
           "which is asked first");
    tap_is(legacy_map_page(u, container, LEGACY_IOVA, u->spare), -EINVAL,
           "without an IOMMU no map");
    tap_is(legacy_unmap(u, container, LEGACY_IOVA, LEGACY_PAGE, 0), -EINVAL, "no unmap");
    tap_is(uapi_cdev_ioctl(u, container, VFIO_IOMMU_GET_INFO, &info), -EINVAL, "no info");
    tap_is(legacy_number(u, container, VFIO_DEVICE_RESET, 0), -EINVAL,
           "and no call is known or unknown");
    tap_is(u->seam->ops->read(u->seam->data, container, bytes, sizeof bytes), -EINVAL,
           "it cannot be read");
    tap_is(u->seam->ops->write(u->seam->data, container, bytes, sizeof bytes), -EINVAL,
           "nor written");
    uapi_close(u, container);
}

static void test_join(Uapi *u)
{
    g_autofree char *token = g_strdup_printf("%s x", u->target.bdfs[0]);
    g_autofree char *blanks = g_strdup_printf("%s  ", u->target.bdfs[0]);
    g_autofree char *function = g_strndup(u->target.bdfs[0], 11);
    int container = legacy_open_container(u);
    int other = legacy_open_container(u);
    int group = legacy_open_group(u, 0);
    int device;

    tap_is(legacy_set_container(u, group, container), 0, "a container");
    tap_is(legacy_set_container(u, group, container), -EINVAL, "... is joined once");
    tap_is(legacy_set_container(u, group, other), -EINVAL, "... nor is another");
    tap_is(legacy_group_flags(u, group), JOINED, "the group tells");
    tap_is(legacy_get_device(u, group, u->target.bdfs[0]), -EINVAL,
           "no device without an IOMMU");
    tap_is(legacy_number(u, container, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), -ENODEV,
           "an IOMMU of another machine's");
    tap_is(legacy_number(u, container, VFIO_SET_IOMMU, NO_IOMMU_TYPE), -ENODEV,
           "an IOMMU of tomorrow");
    tap_is(legacy_number(u, container, VFIO_SET_IOMMU, VFIO_UNMAP_ALL), -EINVAL,
           "an extension that is no IOMMU");
    tap_is(legacy_number(u, other, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL,
           "the other container has no group");
    tap_is(legacy_number(u, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0, "type 1");
    tap_is(legacy_number(u, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -EINVAL,
           "... once");
    tap_is(legacy_number(u, container, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 1,
           "... can have addresses updated");
    tap_is(legacy_number(u, container, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_IOMMU), 0,
           "... and is not another machine's");
    tap_is(legacy_number(u, container, VFIO_DEVICE_RESET, 0), -ENOTTY,
           "a call of a device's");
    if (u->n_devices > 1)
        tap_is(legacy_get_device(u, group, u->target.bdfs[1]), -ENODEV,
               "a device of another group");
    tap_is(legacy_get_device(u, group, function), -ENODEV, "a part of a name");
    tap_is(legacy_get_device(u, group, token), -EINVAL,
           "a device with a token that it does not have");
    device = legacy_get_device(u, group, blanks);
    tap_ok(device >= 0, "a device with blanks behind its name");
    tap_is(legacy_number(u, group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY,
           "the container cannot be left");
    uapi_close(u, device);
    tap_is(legacy_number(u, group, VFIO_GROUP_UNSET_CONTAINER, 0), 0,
           "without devices it can");
    tap_is(legacy_number(u, group, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL, "... once");
    tap_is(legacy_group_flags(u, group), VIABLE, "the group tells");
    tap_is(legacy_map_page(u, container, LEGACY_IOVA, u->spare), -EINVAL,
           "the container has no IOMMU any more");
    tap_is(legacy_set_container(u, group, other), 0, "the group may join another");
    tap_is(legacy_number(u, other, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0, "of version 1");
    uapi_close(u, other);
    uapi_close(u, group);
    uapi_close(u, container);
}

/* --- a device's file --------------------------------------------------------------------
 */

static void test_device(Uapi *u)
{
    struct vfio_device_info info = {.argsz = sizeof info};
    struct vfio_device_feature feature = {.argsz = sizeof feature,
                                          .flags = VFIO_DEVICE_FEATURE_PROBE |
                                                   VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY};
    struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof attach, .pt_id = 1};
    struct vfio_device_detach_iommufd_pt detach = {.argsz = sizeof detach};
    guint32 id;
    Legacy l;
    int second;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    tap_is(uapi_cdev_ioctl(u, l.device, VFIO_DEVICE_GET_INFO, &info), 0,
           "a group's device works at once");
    tap_is(legacy_number(u, l.device, VFIO_DEVICE_RESET, 0), -EINVAL, "it has no reset");
    tap_is(uapi_cdev_ioctl(u, l.device, VFIO_DEVICE_FEATURE, &feature), 0,
           "it has low power");
    feature.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_MIGRATION;
    tap_is(uapi_cdev_ioctl(u, l.device, VFIO_DEVICE_FEATURE, &feature), -ENOTTY,
           "... but cannot migrate");
    tap_is(uapi_bind(u, l.device, l.container, &id), -EINVAL, "it is not to be bound");
    tap_is(uapi_cdev_ioctl(u, l.device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), -ENOTTY,
           "... nor attached");
    tap_is(uapi_cdev_ioctl(u, l.device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach), -ENOTTY,
           "... nor detached");
    second = legacy_get_device(u, l.group, u->target.bdfs[0]);
    tap_ok(second >= 0, "it may be opened again");
    tap_ok(second != l.device, "... which is another file");
    uapi_close(u, second);
    tap_ok(uapi_stores(u, 0, LEGACY_SPARE, u->spare), "the first goes on");
    tap_is(legacy_number(u, l.group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY,
           "... and keeps the group in its container");
    legacy_close(u, &l);
}

static void test_lives(Uapi *u)
{
    Legacy l;
    int group, container, device;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    uapi_close(u, l.group);
    uapi_close(u, l.container);
    tap_ok(uapi_stores(u, 0, LEGACY_SPARE, u->spare),
           "a device keeps its container alive, and what it maps");
    tap_is(legacy_open_group(u, 0), -EBUSY, "the group too");
    uapi_close(u, l.device);
    group = legacy_open_group(u, 0);
    tap_ok(group >= 0, "closed, it lets go of the group");
    tap_is(legacy_group_flags(u, group), VIABLE, "... which is in no container");

    container = legacy_open_container(u);
    legacy_set_container(u, group, container);
    legacy_number(u, container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
    device = legacy_use_device(u, group, 0);
    legacy_map_page(u, container, LEGACY_FILL, u->fill);
    uapi_prime(u, 0, LEGACY_FILL);
    tap_ok(!uapi_stores(u, 0, LEGACY_SPARE, u->spare), "another container maps nothing");
    uapi_close(u, group);
    tap_is(legacy_map_page(u, container, LEGACY_SPARE, u->spare), 0,
           "a container maps for a group whose file is closed");
    tap_ok(uapi_stores(u, 0, LEGACY_SPARE, u->spare), "... and its device");
    uapi_close(u, device);
    tap_is(legacy_map_page(u, container, LEGACY_IOVA, u->spare), -EINVAL,
           "... until that is closed, too");
    uapi_close(u, container);
}

static void test_two_groups(Uapi *u)
{
    Legacy l;
    int group, device;

    if (u->n_devices < 2)
        return;
    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    group = legacy_open_group(u, 1);
    tap_is(legacy_get_device(u, group, u->target.bdfs[1]), -EINVAL,
           "a second group is not in the container yet");
    tap_is(legacy_set_container(u, group, l.container), 0, "it joins");
    device = legacy_use_device(u, group, 1);
    tap_ok(device >= 0, "... and needs no VFIO_SET_IOMMU");
    uapi_prime(u, 1, LEGACY_FILL);
    tap_ok(uapi_stores(u, 1, LEGACY_SPARE, u->spare), "... and sees what was mapped");
    tap_is(legacy_map_page(u, l.container, LEGACY_IOVA, u->spare), 0, "another mapping");
    tap_ok(uapi_stores(u, 0, LEGACY_IOVA, u->spare), "... is for one");
    tap_ok(uapi_stores(u, 1, LEGACY_IOVA, u->spare), "... and the other");
    uapi_close(u, l.device);
    tap_is(legacy_number(u, l.group, VFIO_GROUP_UNSET_CONTAINER, 0), 0, "one leaves");
    tap_ok(uapi_stores(u, 1, LEGACY_IOVA, u->spare), "the mappings stay for the other");
    uapi_close(u, device);
    uapi_close(u, group);
    tap_is(legacy_map_page(u, l.container, LEGACY_IOVA, u->spare), -EINVAL,
           "without groups a container has no IOMMU");
    uapi_close(u, l.group);
    uapi_close(u, l.container);
}

/* Whether the IOMMU can make all DMA coherent: VT-d says so, a bit of ECAP. */
static int is_coherent(Uapi *u)
{
    struct iommu_hw_info_vtd vtd = {0};
    struct iommu_hw_info info = {
        .size = sizeof info, .data_len = sizeof vtd, .data_uptr = (guintptr)&vtd};
    int cdev = uapi_cdev_open(u, 0);
    int ret;

    u->fd = legacy_open(u, "/dev/iommu");
    uapi_bind(u, cdev, u->fd, &info.dev_id);
    ret = uapi_ioctl(u, IOMMU_GET_HW_INFO, &info);
    uapi_close(u, cdev);
    tap_is(ret, 0, "hardware info");
    return info.out_data_type == IOMMU_HW_INFO_TYPE_INTEL_VTD ? vtd.ecap_reg >> 7 & 1 : 1;
}

static void test_coherency(Uapi *u)
{
    int coherent = is_coherent(u);
    int group, device;
    Legacy l;

    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    tap_is(legacy_number(u, l.container, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), coherent,
           "a container is as coherent as its IOMMU");
    legacy_close(u, &l);
    group = legacy_open_group(u, 0);
    legacy_set_container(u, group, u->fd);
    tap_is(legacy_number(u, u->fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), 1,
           "an iommufd is without a device");
    device = legacy_get_device(u, group, u->target.bdfs[0]);
    tap_is(legacy_number(u, u->fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), coherent,
           "... and with one as the IOMMU");
    uapi_close(u, device);
    uapi_close(u, group);
}

/* --- groups and cdevs -------------------------------------------------------------------
 */

static void test_exclusion(Uapi *u)
{
    int iommufd = legacy_open(u, "/dev/iommu");
    int cdev = uapi_cdev_open(u, 0);
    int group = legacy_open_group(u, 0);
    guint32 id = 0;
    Legacy l;

    tap_ok(cdev >= 0 && group >= 0, "cdev and group can both be opened");
    tap_is(uapi_bind(u, cdev, iommufd, &id), -EBUSY,
           "a cdev keeps away from an open group");
    uapi_close(u, group);
    tap_is(uapi_bind(u, cdev, 999, &id), -EBADF, "a bind that fails");
    group = legacy_open_group(u, 0);
    tap_ok(group >= 0, "... leaves the group");
    uapi_close(u, group);
    tap_is(uapi_bind(u, cdev, iommufd, &id), 0, "a closed group's device can be bound");
    tap_is(legacy_open_group(u, 0), -EBUSY, "... which keeps the group closed");
    if (u->n_devices > 1) {
        group = legacy_open_group(u, 1);
        tap_ok(group >= 0, "... but no other");
        uapi_close(u, group);
    }
    uapi_close(u, cdev);
    cdev = uapi_cdev_open(u, 0);
    legacy_make(u, &l, VFIO_TYPE1v2_IOMMU);
    tap_ok(uapi_stores(u, 0, LEGACY_SPARE, u->spare), "until the cdev is closed");
    tap_is(uapi_bind(u, cdev, iommufd, &id), -EBUSY, "a cdev keeps away from a container");
    uapi_close(u, l.group);
    uapi_close(u, l.container);
    tap_is(uapi_bind(u, cdev, iommufd, &id), -EBUSY,
           "... also when only the device is open");
    uapi_close(u, l.device);
    tap_is(uapi_bind(u, cdev, iommufd, &id), 0, "closed, it can be bound");
    uapi_close(u, cdev);
    uapi_close(u, iommufd);
}

/* --- an iommufd as a container ----------------------------------------------------------
 */

/* IOMMU_VFIO_IOAS: on GET the ID is the answer. */
static int vfio_ioas(Uapi *u, guint16 op, guint32 *id)
{
    struct iommu_vfio_ioas cmd = {.size = sizeof cmd, .ioas_id = *id, .op = op};
    int ret = uapi_ioctl(u, IOMMU_VFIO_IOAS, &cmd);

    if (ret >= 0)
        *id = cmd.ioas_id;
    return ret;
}

static void test_compat_ioas(Uapi *u)
{
    guint32 id = 0, other = 0;
    int group = legacy_open_group(u, 0);

    u->fd = legacy_open(u, "/dev/iommu");
    tap_is(legacy_number(u, u->fd, VFIO_GET_API_VERSION, 0), 0, "an iommufd has a version");
    tap_is(legacy_number(u, u->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -ENODEV,
           "but no IOMMU without a group");
    tap_is(legacy_map_page(u, u->fd, LEGACY_IOVA, u->spare), -ENODEV, "no map");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA, LEGACY_PAGE, 0), -ENODEV, "no unmap");
    tap_is(legacy_number(u, u->fd, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), -ENODEV,
           "no coherency");
    tap_is(vfio_ioas(u, IOMMU_VFIO_IOAS_GET, &id), -ENODEV, "nor an IOAS");
    tap_is(vfio_ioas(u, IOMMU_VFIO_IOAS_CLEAR, &id), 0, "which can be taken away");
    id = UAPI_NO_ID;
    tap_is(vfio_ioas(u, IOMMU_VFIO_IOAS_SET, &id), -ENOENT, "but not given, if not there");
    tap_is(vfio_ioas(u, 3, &id), -EOPNOTSUPP, "nor anything else");
    tap_is(legacy_set_container(u, group, u->fd), 0, "it is a container");
    tap_is(legacy_set_container(u, group, u->fd), -EINVAL, "... once");
    tap_is(legacy_group_flags(u, group), JOINED, "... the group tells");
    tap_is(vfio_ioas(u, IOMMU_VFIO_IOAS_GET, &id), 0, "... with an IOAS");
    tap_is(uapi_map_at(u, id, guest_memory_at(&u->ram, u->spare), LEGACY_PAGE, LEGACY_IOVA),
           0, "... that iommufd's calls take");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA, LEGACY_PAGE, 0), LEGACY_PAGE,
           "... for the same");
    uapi_ioas_alloc(u, &other);
    tap_is(vfio_ioas(u, IOMMU_VFIO_IOAS_SET, &other), 0, "another takes its place");
    tap_is(uapi_destroy(u, id), 0, "... and it can go");
    tap_is(legacy_number(u, group, VFIO_GROUP_UNSET_CONTAINER, 0), 0, "the group leaves");
    tap_is(legacy_number(u, group, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL, "... once");
    id = 0;
    vfio_ioas(u, IOMMU_VFIO_IOAS_GET, &id);
    tap_is(id, other, "... and the IOAS stays");
    tap_is(legacy_set_container(u, group, u->fd), 0, "a group that comes back");
    vfio_ioas(u, IOMMU_VFIO_IOAS_GET, &id);
    tap_is(id, other, "... finds it");
    vfio_ioas(u, IOMMU_VFIO_IOAS_CLEAR, &id);
    tap_is(legacy_get_device(u, group, u->target.bdfs[0]), -ENODEV,
           "without an IOAS a group has no device");
    tap_is(legacy_map_page(u, u->fd, LEGACY_IOVA, u->spare), -ENODEV, "... and no map");
    uapi_close(u, group);
}

static void test_compat_calls(Uapi *u)
{
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = 8};
    struct vfio_iommu_type1_info info = {.argsz = 4};
    int group = legacy_open_group(u, 0);
    guint8 *va = guest_memory_at(&u->ram, u->spare);

    u->fd = legacy_open(u, "/dev/iommu");
    legacy_set_container(u, group, u->fd);
    tap_is(legacy_number(u, u->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 1, "type 1");
    tap_is(legacy_number(u, u->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU), 1,
           "type 1 version 2");
    tap_is(legacy_number(u, u->fd, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL), 1,
           "unmapping all");
    tap_is(legacy_number(u, u->fd, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 0,
           "no updated addresses");
    tap_is(legacy_number(u, u->fd, VFIO_CHECK_EXTENSION, NO_IOMMU_TYPE), 0,
           "nothing of tomorrow");
    tap_is(legacy_number(u, u->fd, VFIO_SET_IOMMU, VFIO_UNMAP_ALL), -EINVAL,
           "an extension is no IOMMU");
    tap_is(legacy_number(u, u->fd, VFIO_SET_IOMMU, NO_IOMMU_TYPE), -EINVAL,
           "nor is what is not there");
    tap_is(legacy_number(u, u->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0, "version 2");
    tap_is(legacy_number(u, u->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0, "... again");
    tap_is(uapi_cdev_ioctl(u, u->fd, VFIO_IOMMU_GET_INFO, &info), -EINVAL,
           "info, too small");
    tap_is(legacy_map(u, u->fd, LEGACY_IOVA, va, LEGACY_PAGE, VFIO_DMA_MAP_FLAG_VADDR),
           -EINVAL, "map: an updated address");
    tap_is(legacy_map(u, u->fd, LEGACY_IOVA, va, LEGACY_PAGE, 8), -EINVAL,
           "map: a flag of tomorrow");
    tap_is(legacy_map(u, u->fd, LEGACY_IOVA, va, 0, LEGACY_RW), -EINVAL, "map: nothing");
    tap_is(legacy_map(u, u->fd, LEGACY_IOVA + 1, va, LEGACY_PAGE, LEGACY_RW), 0,
           "map: unaligned, which no device minds yet");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA + 1, LEGACY_PAGE, 0), LEGACY_PAGE,
           "unmap: the same");
    tap_is(uapi_cdev_ioctl(u, u->fd, VFIO_IOMMU_MAP_DMA, NULL), -EFAULT, "map: NULL");
    tap_is(legacy_map(u, u->fd, LEGACY_IOVA, va, 4 * LEGACY_PAGE, LEGACY_RW), 0, "map");
    tap_is(legacy_map(u, u->fd, LEGACY_IOVA, va, LEGACY_PAGE, LEGACY_RW), -EEXIST,
           "map: again");
    tap_is(uapi_cdev_ioctl(u, u->fd, VFIO_IOMMU_UNMAP_DMA, &unmap), -EINVAL,
           "unmap: too small");
    tap_is(uapi_cdev_ioctl(u, u->fd, VFIO_IOMMU_UNMAP_DMA, NULL), -EFAULT, "unmap: NULL");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA, LEGACY_PAGE, VFIO_DMA_UNMAP_FLAG_VADDR),
           -EINVAL, "unmap: for an updated address");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA, 0, 0), -EINVAL, "unmap: nothing");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA, LEGACY_PAGE, VFIO_DMA_UNMAP_FLAG_ALL),
           -EINVAL, "unmap: all of a range");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA + LEGACY_PAGE, LEGACY_PAGE, 0), -ENOENT,
           "unmap: a part");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA + 64 * LEGACY_PAGE, LEGACY_PAGE, 0), 0,
           "unmap: where none is");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA, G_MAXUINT64, 0), -EOVERFLOW,
           "unmap: beyond the end");
    tap_is(legacy_unmap(u, u->fd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 4 * LEGACY_PAGE,
           "unmap: all");
    tap_is(legacy_unmap(u, u->fd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0, "unmap: all again");
    tap_is(legacy_number(u, u->fd, VFIO_IOMMU_DIRTY_PAGES, 0), -ENOTTY,
           "it has no dirty tracking");
    uapi_close(u, group);
}

static void test_compat_dma(Uapi *u)
{
    guint64 other = guest_memory_alloc(&u->ram);
    guint32 id = 0;
    int group = legacy_open_group(u, 0);
    int container = legacy_open_container(u);
    int device, second;

    guest_memory_alloc(&u->ram);
    u->fd = legacy_open(u, "/dev/iommu");
    legacy_set_container(u, group, u->fd);
    tap_is(legacy_number(u, u->fd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0, "version 1");
    tap_is(legacy_map_page(u, u->fd, LEGACY_FILL, u->fill), 0, "a page to read");
    tap_is(legacy_map(u, u->fd, LEGACY_IOVA, guest_memory_at(&u->ram, u->spare),
                      3 * LEGACY_PAGE, LEGACY_RW),
           0, "and three to write");
    device = legacy_use_device(u, group, 0);
    tap_ok(device >= 0, "a device");
    tap_is(legacy_map(u, u->fd, LEGACY_SPARE + 1, guest_memory_at(&u->ram, u->spare),
                      LEGACY_PAGE, LEGACY_RW),
           -EINVAL, "... minds an unaligned map");
    uapi_prime(u, 0, LEGACY_FILL);
    tap_ok(uapi_stores(u, 0, LEGACY_IOVA, u->spare), "... writes");
    tap_is(legacy_unmap(u, u->fd, LEGACY_IOVA, LEGACY_PAGE, 0), LEGACY_PAGE,
           "a hole in a mapping");
    tap_ok(!uapi_stores(u, 0, LEGACY_IOVA, u->spare), "... is one");
    tap_ok(uapi_stores(u, 0, LEGACY_IOVA + LEGACY_PAGE, other),
           "... and the rest is there");
    vfio_ioas(u, IOMMU_VFIO_IOAS_GET, &id);
    tap_is(uapi_destroy(u, id), -EBUSY, "the IOAS is in use");
    tap_is(legacy_number(u, group, VFIO_GROUP_UNSET_CONTAINER, 0), 0,
           "the group leaves, with a device open");
    tap_ok(uapi_stores(u, 0, LEGACY_IOVA + LEGACY_PAGE, other), "... which goes on");
    tap_is(legacy_group_flags(u, group), 0, "the group is not viable");
    tap_is(legacy_set_container(u, group, container), -EPERM,
           "... and no container takes it");
    tap_is(legacy_set_container(u, group, u->fd), 0, "... but an iommufd does");
    second = legacy_get_device(u, group, u->target.bdfs[0]);
    tap_ok(second >= 0, "... and the device may be opened again");
    uapi_close(u, second);
    uapi_close(u, group);
    group = legacy_open_group(u, 0);
    tap_ok(group >= 0, "an open device does not keep the group's file");
    tap_is(uapi_unmap_at(u, id, LEGACY_IOVA + LEGACY_PAGE, 2 * LEGACY_PAGE), 0,
           "an unmap by iommufd's call");
    tap_ok(!uapi_stores(u, 0, LEGACY_IOVA + LEGACY_PAGE, other), "... stops it");
    uapi_close(u, device);
    tap_is(legacy_group_flags(u, group), VIABLE, "the device closed, the group is viable");
    tap_is(uapi_destroy(u, id), 0, "... and the IOAS can go");
    tap_is(legacy_map_page(u, u->fd, LEGACY_IOVA, u->spare), -ENODEV, "... and is missed");
    uapi_close(u, group);
    uapi_close(u, container);
}

int main(int argc, char **argv)
{
    static const LegacyTest tests[] = {
        test_group,     test_no_container, test_empty_container, test_join,
        test_device,    test_lives,        test_two_groups,      test_coherency,
        test_exclusion, test_compat_ioas,  test_compat_calls,    test_compat_dma,
    };

    return legacy_main(argc, argv, tests, G_N_ELEMENTS(tests));
}
