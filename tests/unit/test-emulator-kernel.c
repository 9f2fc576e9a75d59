/* SPDX-License-Identifier: MIT */
/*
 * The emulator's iommufd, in what no IOMMU model has a part in: copies, allowed ranges,
 * options, dirty tracking, fault queues, PASIDs, and what a test does behind its back.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "rig.h"

enum {
    PAGE = 4096,
    READWRITE = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
    BASE = RIG_RAM_BASE,
};

static ViommuEmulator *make_smmu(gboolean dirty, guint pasid_bits, int group)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    ViommuEmulatorSmmuv3Config config;
    guint iommu;

    viommu_emulator_smmuv3_defaults(&config);
    if (dirty)
        config.idr[0] |= 2U << 6;
    iommu = viommu_emulator_add_smmuv3(emulator, &config);
    for (guint i = 0; i < RIG_DEVICES; i++) {
        g_autofree char *bdf = g_strdup_printf("0000:00:%02x.0", 2 + i);
        const ViommuEmulatorDeviceConfig device = {.bdf = bdf,
                                                   .iommu = iommu,
                                                   .stream_id = 16 + i,
                                                   .iommu_group = group,
                                                   .pasid_bits = pasid_bits};

        viommu_emulator_add_device(emulator, &device, NULL);
    }
    return emulator;
}

static ViommuEmulator *make_vtd(void)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    ViommuEmulatorVtdConfig config;
    guint iommu;

    viommu_emulator_vtd_defaults(&config);
    iommu = viommu_emulator_add_vtd(emulator, &config);
    for (guint i = 0; i < RIG_DEVICES; i++) {
        g_autofree char *bdf = g_strdup_printf("0000:00:%02x.0", 2 + i);
        const ViommuEmulatorDeviceConfig device = {.bdf = bdf,
                                                   .iommu = iommu,
                                                   .stream_id = 16 + i,
                                                   .iommu_group = -1,
                                                   .pasid_bits = 8,
                                                   .ats = TRUE,
                                                   .pri = TRUE};

        viommu_emulator_add_device(emulator, &device, NULL);
    }
    return emulator;
}

static int copy(Rig *rig, guint32 dst, guint32 src, guint64 dst_iova, guint64 src_iova,
                guint64 length, guint32 flags)
{
    struct iommu_ioas_copy cmd = {
        .size = sizeof(cmd),
        .flags = flags | IOMMU_IOAS_MAP_FIXED_IOVA,
        .dst_ioas_id = dst,
        .src_ioas_id = src,
        .length = length,
        .dst_iova = dst_iova,
        .src_iova = src_iova,
    };

    return rig_ioctl(rig, rig->iommufd, IOMMU_IOAS_COPY, &cmd);
}

static void test_copy(void)
{
    Rig rig;
    guint32 other;
    guint64 value = 0;

    rig_init(&rig, make_smmu(FALSE, 0, -1), 1);
    other = rig_ioas(&rig);
    tap_is(copy(&rig, other, rig.ioas, 0, BASE, PAGE, 0), -EINVAL, "copy: no permission");
    tap_is(copy(&rig, other, rig.ioas, 0, BASE, PAGE, 64), -EOPNOTSUPP,
           "copy: unknown flag");
    tap_is(copy(&rig, other, rig.ioas, 0, ~0ULL, PAGE, READWRITE), -EOVERFLOW,
           "copy: from the end of everything");
    tap_is(copy(&rig, 999, rig.ioas, 0, BASE, PAGE, READWRITE), -ENOENT,
           "copy: to no IOAS");
    tap_is(copy(&rig, other, 999, 0, BASE, PAGE, READWRITE), -ENOENT, "copy: from no IOAS");
    tap_is(copy(&rig, other, rig.ioas, 0, BASE, 0, READWRITE), -EINVAL, "copy: nothing");
    tap_is(copy(&rig, other, rig.ioas, 0, BASE + RIG_RAM_SIZE - PAGE, 2 * PAGE, READWRITE),
           -ENOENT, "copy: more than there is");
    tap_is(copy(&rig, other, rig.ioas, 0x5000, BASE + PAGE, PAGE, READWRITE), 0,
           "copy: a part");
    tap_is(copy(&rig, other, rig.ioas, 0x5000, BASE, PAGE, READWRITE), -EEXIST,
           "copy: onto something");
    tap_is(rig_map(&rig, other, 0x9000, rig.ram, PAGE, IOMMU_IOAS_MAP_READABLE), 0,
           "a read-only mapping");
    tap_is(copy(&rig, rig.ioas, other, 0x1000, 0x9000, PAGE, READWRITE), -EPERM,
           "copy: with more permission than the pages were mapped with");
    tap_is(rig_attach(&rig, 0, 0, other), 0, "the copy is attached");
    *rig_word(&rig, BASE + PAGE) = 0x1234;
    tap_is(rig_read(&rig, 0, 0x5000, &value), 0, "and read by a device");
    tap_is((gint64)value, 0x1234, "it is the memory that was mapped first");
    tap_is(rig_unmap(&rig, rig.ioas, BASE, RIG_RAM_SIZE), 0, "the first mapping goes");
    tap_is(rig_read(&rig, 0, 0x5000, &value), 0, "the copy stays");
    rig_clear(&rig);
}

static int allow(Rig *rig, guint32 ioas, const struct iommu_iova_range *ranges, guint32 n)
{
    struct iommu_ioas_allow_iovas cmd = {.size = sizeof(cmd),
                                         .ioas_id = ioas,
                                         .num_iovas = n,
                                         .allowed_iovas = (uintptr_t)ranges};

    return rig_ioctl(rig, rig->iommufd, IOMMU_IOAS_ALLOW_IOVAS, &cmd);
}

static void test_allow(void)
{
    const struct iommu_iova_range low = {0x100000, 0x1fffff};
    const struct iommu_iova_range msi = {0x8000000, 0x8000fff};
    const struct iommu_iova_range twice[] = {low, low};
    const struct iommu_iova_range empty = {0x1000, 0x1000};
    struct iommu_ioas_map map = {.size = sizeof(map), .flags = READWRITE, .length = PAGE};
    Rig rig;
    guint32 ioas;

    rig_init(&rig, make_smmu(FALSE, 0, -1), 1);
    ioas = rig_ioas(&rig);
    map.ioas_id = ioas;
    map.user_va = (uintptr_t)rig.ram;
    tap_is(allow(&rig, 999, &low, 1), -ENOENT, "allow: no IOAS");
    tap_is(allow(&rig, ioas, &empty, 1), -EINVAL, "allow: a range of one byte");
    tap_is(allow(&rig, ioas, twice, 2), -EINVAL, "allow: overlapping ranges");
    tap_is(allow(&rig, ioas, NULL, 1), -EFAULT, "allow: ranges that are not there");
    tap_is(allow(&rig, ioas, &low, 1), 0, "allow: a range");
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_IOAS_MAP, &map), 0, "an IOVA is chosen");
    tap_is((gint64)map.iova, 0x100000, "from what is allowed");
    tap_is(rig_map(&rig, ioas, 0x900000, rig.ram, PAGE, READWRITE), 0,
           "a fixed one may lie elsewhere");
    map.length = 0x200000;
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_IOAS_MAP, &map), -ENOSPC,
           "more than is allowed");
    tap_is(allow(&rig, ioas, &msi, 1), 0, "allow: what no device has taken yet");
    tap_is(rig_attach(&rig, 0, 0, ioas), -EADDRINUSE, "then the device cannot take it");
    tap_is(allow(&rig, ioas, NULL, 0), 0, "allow: everything again");
    tap_is(rig_attach(&rig, 0, 0, ioas), 0, "and it can");
    tap_is(allow(&rig, ioas, &msi, 1), -EADDRINUSE, "allow: what a device has taken");
    rig_clear(&rig);
}

static int option(Rig *rig, guint32 id, guint16 op, guint32 object, guint64 *value)
{
    struct iommu_option cmd = {.size = sizeof(cmd),
                               .option_id = id,
                               .op = op,
                               .object_id = object,
                               .val64 = *value};
    int ret = rig_ioctl(rig, rig->iommufd, IOMMU_OPTION, &cmd);

    *value = cmd.val64;
    return ret;
}

static void test_options(void)
{
    const guint32 huge = IOMMU_OPTION_HUGE_PAGES;
    struct iommu_ioas_change_process change = {.size = sizeof(change)};
    guint64 value = 7;
    Rig rig;
    guint32 ioas;

    rig_init(&rig, make_smmu(FALSE, 0, -1), 1);
    tap_is(option(&rig, 9, 0, 0, &value), -EOPNOTSUPP, "option: unknown");
    tap_is(option(&rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 0, &value), 0,
           "rlimit mode is told");
    tap_is((gint64)value, 0, "it is the user's");
    tap_is(option(&rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_GET, 1, &value),
           -EOPNOTSUPP, "rlimit mode of an object");
    value = 1;
    tap_is(option(&rig, IOMMU_OPTION_RLIMIT_MODE, IOMMU_OPTION_OP_SET, 0, &value), -EBUSY,
           "rlimit mode is fixed once there are objects");
    tap_is(option(&rig, huge, IOMMU_OPTION_OP_GET, 999, &value), -ENOENT,
           "huge pages of no IOAS");
    ioas = rig_ioas(&rig);
    value = 0;
    tap_is(rig_map(&rig, ioas, 0x1234, rig.ram + 0x234, 0x100, READWRITE), 0,
           "an unaligned mapping");
    tap_is(option(&rig, huge, IOMMU_OPTION_OP_SET, ioas, &value), -EADDRINUSE,
           "no huge pages: the mapping is in the way");
    tap_is(rig_unmap(&rig, ioas, 0x1234, 0x100), 0, "which goes");
    tap_is(option(&rig, huge, IOMMU_OPTION_OP_SET, ioas, &value), 0, "no huge pages");
    tap_is(rig_map(&rig, ioas, 0x1234, rig.ram + 0x234, 0x100, READWRITE), -EINVAL,
           "and no unaligned mapping");
    tap_is(option(&rig, huge, IOMMU_OPTION_OP_GET, ioas, &value), 0, "huge pages are told");
    tap_is((gint64)value, 0, "to be off");
    value = 2;
    tap_is(option(&rig, huge, IOMMU_OPTION_OP_SET, ioas, &value), -EINVAL,
           "neither on nor off");
    tap_is(rig_attach(&rig, 0, 0, rig.ioas), 0, "a device is attached");
    value = 0;
    tap_is(option(&rig, huge, IOMMU_OPTION_OP_SET, rig.ioas, &value), -EINVAL,
           "what hardware shows keeps its blocks");
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), -EINVAL,
           "memory of a process cannot change hands");
    rig_unmap(&rig, rig.ioas, BASE, RIG_RAM_SIZE);
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_IOAS_CHANGE_PROCESS, &change), 0,
           "nothing at all can");
    rig_clear(&rig);
}

static int map_file(Rig *rig, guint32 ioas, int fd, guint64 start, guint64 length)
{
    struct iommu_ioas_map_file cmd = {.size = sizeof(cmd),
                                      .flags = READWRITE | IOMMU_IOAS_MAP_FIXED_IOVA,
                                      .ioas_id = ioas,
                                      .fd = fd,
                                      .start = start,
                                      .length = length,
                                      .iova = 0x40000};

    return rig_ioctl(rig, rig->iommufd, IOMMU_IOAS_MAP_FILE, &cmd);
}

static void test_files(void)
{
    int memfd = memfd_create("test", MFD_CLOEXEC);
    int pipes[2];
    Rig rig;
    guint32 ioas;
    guint32 bad;

    tap_ok(ftruncate(memfd, 2 * PAGE) == 0 && pipe(pipes) == 0, "a memory file and a pipe");
    rig_init(&rig, make_smmu(FALSE, 0, -1), 1);
    ioas = rig_ioas(&rig);
    bad = rig_ioas(&rig);
    tap_is(map_file(&rig, ioas, 9999, 0, PAGE), -EBADF, "no file");
    tap_is(map_file(&rig, bad, pipes[0], 0, PAGE), 0, "a pipe, as long as nobody looks");
    tap_is(rig_attach(&rig, 0, 0, bad), -EINVAL, "which hardware does");
    tap_is(map_file(&rig, ioas, memfd, 0, PAGE), 0, "a memory file");
    tap_is(rig_attach(&rig, 0, 0, ioas), 0, "which hardware may see");
    rig_unmap(&rig, ioas, 0x40000, PAGE);
    tap_is(map_file(&rig, ioas, memfd, PAGE, 2 * PAGE), -EINVAL, "beyond its end");
    tap_is(map_file(&rig, ioas, memfd, 0, 2 * PAGE), 0, "up to its end");
    tap_is(rig_write(&rig, 0, 0x40008, 0x55), 0, "a device writes");
    close(memfd);
    tap_is(rig_write(&rig, 0, 0x40008, 0x56), 0, "and goes on after the file is closed");
    rig_clear(&rig);
    close(pipes[0]);
    close(pipes[1]);
}

static int track(Rig *rig, guint32 hwpt, guint32 flags)
{
    struct iommu_hwpt_set_dirty_tracking cmd = {
        .size = sizeof(cmd), .flags = flags, .hwpt_id = hwpt};

    return rig_ioctl(rig, rig->iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

static int bitmap(Rig *rig, guint32 hwpt, guint64 iova, guint64 length, guint64 page,
                  guint32 flags, guint64 *bits)
{
    struct iommu_hwpt_get_dirty_bitmap cmd = {
        .size = sizeof(cmd),
        .hwpt_id = hwpt,
        .flags = flags,
        .iova = iova,
        .length = length,
        .page_size = page,
        .data = (uintptr_t)bits,
    };

    return rig_ioctl(rig, rig->iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

static void check_dirty(ViommuEmulator *emulator, const char *what)
{
    const guint32 keep = IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;
    guint64 bits = 0;
    guint32 plain = 0;
    guint32 hwpt = 0;
    guint64 value;
    Rig rig;

    rig_init(&rig, emulator, 1);
    tap_is(rig_hwpt(&rig, 0, rig.ioas, 0, 0, NULL, 0, 0, &plain), 0, "%s: a plain HWPT",
           what);
    tap_is(track(&rig, plain, 1), -EOPNOTSUPP, "%s: it tracks nothing", what);
    tap_is(
        rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0, NULL, 0, 0, &hwpt),
        0, "%s: one that tracks", what);
    tap_is(rig_attach(&rig, 0, 0, hwpt), 0, "%s: is attached", what);
    tap_is(track(&rig, hwpt, 6), -EOPNOTSUPP, "%s: an unknown flag", what);
    tap_is(track(&rig, rig.ioas, 1), -ENOENT, "%s: an IOAS tracks nothing", what);
    rig_write(&rig, 0, BASE, 1);
    tap_is(track(&rig, hwpt, 1), 0, "%s: tracking on", what);
    tap_is(bitmap(&rig, hwpt, BASE, 64 * PAGE, PAGE, 0, &bits), 0, "%s: a bitmap", what);
    tap_is((gint64)bits, 0, "%s: what was written before does not count", what);
    rig_write(&rig, 0, BASE + 3 * PAGE, 1);
    rig_write(&rig, 0, BASE + 5 * PAGE + 8, 1);
    rig_read(&rig, 0, BASE + 7 * PAGE, &value);
    tap_is(bitmap(&rig, hwpt, BASE, 64 * PAGE, PAGE, keep, &bits), 0, "%s: kept", what);
    tap_is((gint64)bits, 0x28, "%s: two pages were written", what);
    bits = 0x100;
    tap_is(bitmap(&rig, hwpt, BASE, 64 * PAGE, PAGE, 0, &bits), 0, "%s: cleared", what);
    tap_is((gint64)bits, 0x128, "%s: bits are only added", what);
    bits = 0;
    bitmap(&rig, hwpt, BASE, 64 * PAGE, PAGE, 0, &bits);
    tap_is((gint64)bits, 0, "%s: nothing since", what);
    rig_write(&rig, 0, BASE + 9 * PAGE, 1);
    bitmap(&rig, hwpt, BASE, 64 * PAGE, 4 * PAGE, 0, &bits);
    tap_is((gint64)bits, 4, "%s: in larger units", what);
    tap_is(bitmap(&rig, hwpt, BASE, 0, PAGE, 0, &bits), -EINVAL, "%s: of nothing", what);
    tap_is(bitmap(&rig, hwpt, BASE + 1, PAGE, PAGE, 0, &bits), -EINVAL, "%s: unaligned",
           what);
    tap_is(bitmap(&rig, hwpt, BASE, PAGE, 0, 0, &bits), -EINVAL, "%s: in units of 0", what);
    tap_is(bitmap(&rig, plain, BASE, PAGE, PAGE, 0, &bits), -EOPNOTSUPP,
           "%s: of one that tracks nothing", what);
    tap_is(bitmap(&rig, hwpt, 0x1000, PAGE, PAGE, 0, &bits), 0,
           "%s: of what is not mapped is no error", what);
    tap_is(track(&rig, hwpt, 0), 0, "%s: tracking off", what);
    rig_clear(&rig);
}

static void test_dirty(void)
{
    guint32 id;
    Rig rig;

    check_dirty(make_smmu(TRUE, 0, -1), "SMMUv3");
    check_dirty(make_vtd(), "VT-d");
    rig_init(&rig, make_smmu(FALSE, 0, -1), 1);
    tap_is(rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0, NULL, 0, 0, &id),
           -EOPNOTSUPP, "an SMMU without hardware dirty state cannot");
    rig_clear(&rig);
    rig_init(&rig, make_smmu(TRUE, 0, -1), 1);
    tap_is(rig_hwpt(&rig, 0, rig.ioas,
                    IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL,
                    0, 0, &id),
           -EOPNOTSUPP, "nor can any in a nesting parent");
    rig_clear(&rig);
}

static int poll_fd(Rig *rig, int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN | POLLOUT};
    int ret = rig->seam->ops->poll(rig->seam->data, &polled, 1, 0);

    return ret < 0 ? ret : polled.revents;
}

static ssize_t read_faults(Rig *rig, int fd, struct iommu_hwpt_pgfault *faults, gsize size)
{
    return rig->seam->ops->read(rig->seam->data, fd, faults, size);
}

static ssize_t respond(Rig *rig, int fd, guint32 cookie, guint32 code)
{
    const struct iommu_hwpt_page_response response = {.cookie = cookie, .code = code};

    return rig->seam->ops->write(rig->seam->data, fd, &response, sizeof(response));
}

/* A first stage without any mapping, in guest memory. */
static int empty_stage1(Rig *rig, guint32 parent, guint32 fault, guint32 *ret_id)
{
    const struct iommu_hwpt_vtd_s1 s1 = {.pgtbl_addr = rig_alloc(rig, PAGE),
                                         .addr_width = 48};

    return rig_hwpt(rig, 0, parent, IOMMU_HWPT_FAULT_ID_VALID, IOMMU_HWPT_DATA_VTD_S1, &s1,
                    sizeof(s1), fault, ret_id);
}

static void test_fault_queue(void)
{
    struct iommu_fault_alloc alloc = {.size = sizeof(alloc), .flags = 1};
    struct iommu_hwpt_pgfault fault[3];
    guint32 parent = 0;
    guint32 nested = 0;
    Rig rig;
    int fd;

    rig_init(&rig, make_vtd(), 1);
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_FAULT_QUEUE_ALLOC, &alloc), -EOPNOTSUPP,
           "fault queue: an unknown flag");
    alloc.flags = 0;
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_FAULT_QUEUE_ALLOC, &alloc), 0, "fault queue");
    fd = (int)alloc.out_fault_fd;
    tap_is(rig_destroy(&rig, alloc.out_fault_id), -EBUSY, "its descriptor keeps it");
    tap_is(poll_fd(&rig, fd), POLLOUT, "it can be written, and there is nothing to read");
    tap_is(read_faults(&rig, fd, fault, sizeof(fault[0])), 0, "nothing");
    tap_is(read_faults(&rig, fd, fault, 7), -ESPIPE, "half a fault");
    tap_is(respond(&rig, fd, 1, 0), -EINVAL, "a response to nothing");
    rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, &parent);
    tap_is(empty_stage1(&rig, parent, 999, &nested), -ENOENT, "a HWPT for no fault queue");
    tap_is(empty_stage1(&rig, parent, alloc.out_fault_id, &nested), 0, "a HWPT for it");
    tap_is(rig_attach(&rig, 0, 0, nested), 0, "is attached");
    tap_is(rig_write(&rig, 0, 0x5000, 1), -EINPROGRESS, "the device asks for a page");
    tap_is(rig_write(&rig, 0, 0x6000, 1), -EINPROGRESS, "and for another");
    tap_is(poll_fd(&rig, fd), POLLIN | POLLOUT, "there is something to read");
    tap_is(read_faults(&rig, fd, fault, 0), -EINVAL, "which does not fit nowhere");
    tap_is(read_faults(&rig, fd, fault, sizeof(fault[0])), sizeof(fault[0]), "one request");
    tap_is((gint64)fault[0].addr, 0x5000, "the first");
    tap_is(fault[0].dev_id, rig.devids[0], "of the device");
    tap_is(fault[0].perm & IOMMU_PGFAULT_PERM_WRITE, IOMMU_PGFAULT_PERM_WRITE, "to write");
    tap_ok(fault[0].flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE, "the last of its group");
    tap_is(fault[0].cookie, 1, "under the first cookie");
    tap_is(respond(&rig, fd, 1, 5), -EINVAL, "an unknown response");
    tap_is(respond(&rig, fd, 1, IOMMUFD_PAGE_RESP_INVALID),
           sizeof(struct iommu_hwpt_page_response), "a response");
    tap_is(respond(&rig, fd, 1, IOMMUFD_PAGE_RESP_INVALID), -EINVAL, "once only");
    tap_is(viommu_emulator_dma_waiting(rig.emulator, rig.bdfs[0]), 1,
           "one DMA still waits");
    tap_is(rig_detach(&rig, 0, 0), 0, "detached");
    tap_is(viommu_emulator_dma_waiting(rig.emulator, rig.bdfs[0]), 0,
           "the rest was answered");
    tap_is(poll_fd(&rig, fd), POLLOUT, "and is not there to be read");
    rig.seam->ops->close(rig.seam->data, fd);
    tap_is(rig_destroy(&rig, alloc.out_fault_id), -EBUSY, "the HWPT keeps the queue");
    tap_is(rig_destroy(&rig, nested), 0, "the HWPT goes");
    tap_is(rig_destroy(&rig, alloc.out_fault_id), 0, "and so can the queue");
    rig_clear(&rig);
}

static void test_pasid(void)
{
    guint32 plain = 0;
    guint32 fit = 0;
    guint32 other = 0;
    Rig rig;

    rig_init(&rig, make_vtd(), 1);
    rig_hwpt(&rig, 0, rig.ioas, 0, 0, NULL, 0, 0, &plain);
    rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_PASID, 0, NULL, 0, 0, &fit);
    rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_PASID, 0, NULL, 0, 0, &other);
    tap_is(rig_attach(&rig, 0, 5, 999), -ENOENT, "PASID: no HWPT");
    tap_is(rig_attach(&rig, 0, 5, plain), -EINVAL, "PASID: one that is not for PASIDs");
    tap_is(rig_attach(&rig, 0, 5, rig.ioas), -EINVAL, "PASID: an automatic one is not");
    tap_is(rig_attach(&rig, 0, 256, fit), -EINVAL, "PASID: more than the device has");
    tap_is(rig_attach(&rig, 0, 0x80000000, fit), -ENOSPC, "PASID: more than anybody has");
    tap_is(rig_attach(&rig, 0, 5, fit), 0, "PASID: attached");
    tap_is(rig_attach(&rig, 0, 0, plain), -EINVAL, "under it only what is for PASIDs");
    tap_is(rig_attach(&rig, 0, 0, other), 0, "which this is");
    tap_is(rig_attach(&rig, 0, 5, other), 0, "PASID: replaced");
    tap_is(rig_destroy(&rig, fit), 0, "the old one is free");
    tap_is(rig_destroy(&rig, other), -EBUSY, "the new one is not");
    tap_is(rig_detach(&rig, 0, 6), 0, "PASID: one that is not attached is no error");
    tap_is(rig_detach(&rig, 0, 0), 0, "the requester ID is detached");
    tap_is(rig_destroy(&rig, other), -EBUSY, "the PASID is not");
    tap_is(rig_detach(&rig, 0, 5), 0, "PASID: detached");
    tap_is(rig_destroy(&rig, other), 0, "now it is free");
    rig_clear(&rig);

    rig_init(&rig, make_smmu(FALSE, 8, 7), 2);
    rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, &plain);
    tap_is(rig_attach(&rig, 0, 5, plain), -EINVAL, "SMMUv3: a nesting parent at a PASID");
    rig_clear(&rig);
}

static void test_hw_queue(void)
{
    struct iommu_hw_queue_alloc cmd = {.size = sizeof(cmd), .type = 1, .viommu_id = 999};
    Rig rig;

    rig_init(&rig, make_smmu(FALSE, 0, -1), 1);
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_HW_QUEUE_ALLOC, &cmd), -EINVAL,
           "hardware queue: no length");
    cmd.length = ~0ULL;
    cmd.nesting_parent_iova = 16;
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_HW_QUEUE_ALLOC, &cmd), -EOVERFLOW,
           "hardware queue: beyond the end");
    cmd.length = PAGE;
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_HW_QUEUE_ALLOC, &cmd), -ENOENT,
           "hardware queue: of nothing");
    rig_clear(&rig);
}

static void count_call(const ViommuEmulatorCall *call, void *user_data)
{
    guint *count = user_data;

    *count += call->kind == VIOMMU_EMULATOR_CALL_IOCTL && call->result == -ENOENT;
}

static void test_behind_the_back(void)
{
    g_autofree char *path = g_strdup("/dev/vfio/devices/vfio0");
    guint64 refused = 0;
    guint64 value = 0;
    guint n_logged = 0;
    Rig rig;
    int fd;

    rig_init(&rig, make_smmu(FALSE, 0, -1), 1);
    viommu_emulator_set_log(rig.emulator, count_call, &n_logged);
    rig_destroy(&rig, 999);
    viommu_emulator_set_log(rig.emulator, NULL, NULL);
    rig_destroy(&rig, 999);
    tap_is(n_logged, 1, "a call is logged while somebody listens");
    rig_attach(&rig, 0, 0, rig.ioas);
    rig_read(&rig, 0, BASE, &value);
    rig_read(&rig, 0, 0x1000, &value);
    tap_is((gint64)viommu_emulator_count_dma(rig.emulator, rig.bdfs[0], &refused), 2,
           "DMA is counted");
    tap_is((gint64)refused, 1, "and what is refused");
    tap_ok(viommu_emulator_unplug_device(rig.emulator, rig.bdfs[0]), "unplugged");
    tap_ok(!viommu_emulator_unplug_device(rig.emulator, rig.bdfs[0]), "once");
    tap_is(rig_read(&rig, 0, BASE, &value), -EFAULT, "its DMA goes nowhere");
    tap_is(rig.seam->ops->pread(rig.seam->data, rig.devices[0], &value, 8,
                                (int64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40),
           8, "its config space answers");
    tap_ok(value == ~0ULL, "all ones");
    tap_is(rig_detach(&rig, 0, 0), 0, "it can be detached");
    tap_is(rig.seam->ops->open(rig.seam->data, path, O_RDWR), -ENOENT, "but not opened");
    rig.seam->ops->close(rig.seam->data, rig.devices[0]);
    fd = rig.seam->ops->open(rig.seam->data, "/sys/bus/pci/devices/0000:00:02.0/vendor",
                             O_RDONLY);
    tap_is(fd, -ENOENT, "with its last file it is gone");
    tap_is(viommu_emulator_count_objects(rig.emulator, VIOMMU_EMULATOR_OBJECT_DEVICE), 0,
           "from the iommufd too");
    rig_clear(&rig);
}

static void test_bad_pointers(void)
{
    const struct iommu_ioas_alloc fixed = {.size = sizeof(fixed)};
    guint8 *two =
        mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iommu_ioas_alloc *short_one = (void *)(two + PAGE - 8);
    guint8 *read_only =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    guint n_ioas;
    Rig rig;

    rig_init(&rig, make_smmu(FALSE, 0, -1), 1);
    mprotect(two + PAGE, PAGE, PROT_NONE);
    short_one->size = sizeof(*short_one);
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_IOAS_ALLOC, short_one), -EFAULT,
           "a struct that ends in nothing");
    memcpy(read_only, &fixed, sizeof(fixed));
    mprotect(read_only, PAGE, PROT_READ);
    n_ioas = viommu_emulator_count_objects(rig.emulator, VIOMMU_EMULATOR_OBJECT_IOAS);
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_IOAS_ALLOC, read_only), -EFAULT,
           "one that cannot be answered");
    tap_is(viommu_emulator_count_objects(rig.emulator, VIOMMU_EMULATOR_OBJECT_IOAS), n_ioas,
           "leaves nothing");
    tap_is(rig_attach(&rig, 0, 0, rig.ioas), 0, "hardware looks on");
    tap_is(rig_map(&rig, rig.ioas, 0x1000, read_only, PAGE, READWRITE), -EFAULT,
           "read-only memory cannot be pinned to be written");
    tap_is(rig_map(&rig, rig.ioas, 0x1000, read_only, PAGE, IOMMU_IOAS_MAP_READABLE), 0,
           "but to be read");
    tap_is(rig_map(&rig, rig.ioas, 0x4000, two, 2 * PAGE, IOMMU_IOAS_MAP_READABLE), -EFAULT,
           "what cannot be touched cannot at all");
    rig_clear(&rig);
    munmap(two, 2 * PAGE);
    munmap(read_only, PAGE);
}

int main(void)
{
    test_copy();
    test_allow();
    test_options();
    test_files();
    test_dirty();
    test_fault_queue();
    test_pasid();
    test_hw_queue();
    test_behind_the_back();
    test_bad_pointers();
    return tap_done();
}
