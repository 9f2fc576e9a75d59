/* SPDX-License-Identifier: MIT */
/* Translation by the emulated VT-d unit: tables, caches, PASIDs, page requests. */
#include <errno.h>

#include "vtd-rig.h"

static void test_walk(void)
{
    guint64 root;
    guint64 page;
    guint64 value = 0;
    guint32 nested;
    Rig rig;

    vtd_init_default(&rig, &vtd_plain_device);
    nested = vtd_attach_nested(&rig, 4, 0, &root);
    page = rig_alloc(&rig, 4096);
    *rig_word(&rig, page + 8) = 0xabcd;
    vtd_map(&rig, root, 4, IOVA, page, FS_P | FS_US);
    tap_is(rig_read(&rig, 0, IOVA + 8, &value), 0, "a read through 4 levels");
    tap_is((gint64)value, 0xabcd, "brings the right bytes");
    tap_is((gint64)(*vtd_entry(&rig, root, 4, 1, IOVA) & (FS_A | FS_D)), FS_A,
           "and sets the accessed flag");
    tap_ok(*vtd_entry(&rig, root, 4, 4, IOVA) & FS_A, "of each table on the way");
    tap_is(rig_write(&rig, 0, IOVA, 1), -EFAULT, "a read-only page is not written");
    *vtd_entry(&rig, root, 4, 1, IOVA) |= FS_RW;
    vtd_flush(&rig, nested, IOVA, 1);
    tap_is(rig_write(&rig, 0, IOVA, 1), 0, "a writable one is");
    tap_ok(*vtd_entry(&rig, root, 4, 1, IOVA) & FS_D, "and is dirty");
    vtd_map(&rig, root, 4, IOVA + 0x1000, page, FS_P | FS_RW);
    tap_is(rig_read(&rig, 0, IOVA + 0x1000, &value), -EFAULT,
           "a supervisor page is refused");
    *vtd_entry(&rig, root, 4, 2, IOVA) &= ~(guint64)FS_US;
    vtd_flush(&rig, nested, 0, G_MAXUINT64);
    tap_is(rig_read(&rig, 0, IOVA, &value), -EFAULT, "and all under a supervisor table");
    *vtd_entry(&rig, root, 4, 2, IOVA) |= FS_US;
    tap_is(rig_read(&rig, 0, IOVA + 0x2000, &value), -EFAULT, "as is what is not mapped");
    tap_is(rig_read(&rig, 0, IOVA | 1ULL << 60, &value), -EFAULT, "or not canonical");
    vtd_map(&rig, root, 4, 0xffffffffffff0000, page, FS_ALL);
    tap_is(rig_read(&rig, 0, 0xffffffffffff0000, &value), 0, "the upper half is there");
    vtd_map(&rig, root, 4, IOVA + 0x3000, RIG_RAM_BASE + RIG_RAM_SIZE, FS_ALL);
    tap_is(rig_read(&rig, 0, IOVA + 0x3000, &value), -EFAULT,
           "a page outside the IOAS is refused");
    *vtd_entry(&rig, root, 4, 3, 0x8000000000) = 0x1000 | FS_ALL;
    tap_is(rig_read(&rig, 0, 0x8000000000, &value), -EFAULT, "and a table there");
    *vtd_entry(&rig, root, 4, 4, 1ULL << 45) = page | FS_ALL | FS_PS;
    tap_is(rig_read(&rig, 0, 1ULL << 45, &value), -EFAULT, "PS is reserved in level 4");
    rig_clear(&rig);
}

static void test_dirty(void)
{
    struct iommu_hwpt_set_dirty_tracking set = {.size = sizeof(set),
                                                .flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE};
    guint64 bitmap[RIG_RAM_SIZE / 4096 / 64] = {0};
    struct iommu_hwpt_get_dirty_bitmap get = {
        .size = sizeof(get),
        .iova = RIG_RAM_BASE,
        .length = RIG_RAM_SIZE,
        .page_size = 4096,
        .data = (uintptr_t)bitmap,
    };
    guint32 nested = 0;
    guint64 root;
    guint64 page;
    guint64 value = 0;
    guint n_dirty = 0;
    Rig rig;

    vtd_init_default(&rig, &vtd_plain_device);
    set.hwpt_id = vtd_make_parent(&rig, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
    get.hwpt_id = set.hwpt_id;
    root = rig_alloc(&rig, 4096);
    page = rig_alloc(&rig, 8192);
    vtd_map(&rig, root, 4, IOVA, page, FS_ALL);
    vtd_map(&rig, root, 4, IOVA + 0x1000, page + 0x1000, FS_ALL);
    vtd_make_nested(&rig, set.hwpt_id, root, 0, 48, 0, &nested);
    rig_attach(&rig, 0, 0, nested);
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set), 0,
           "dirty tracking of a parent");
    rig_write(&rig, 0, IOVA, 1);
    rig_read(&rig, 0, IOVA + 0x1000, &value);
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get), 0,
           "the bitmap can be read");
    for (guint i = 0; i < G_N_ELEMENTS(bitmap); i++)
        n_dirty += (guint)__builtin_popcountll(bitmap[i]);
    tap_is(n_dirty, 5, "a written page, and four tables with flags set");
    tap_ok(bitmap[0] & 1ULL << (page - RIG_RAM_BASE) / 4096, "the page is among them");
    rig_clear(&rig);
}

static void test_huge(void)
{
    ViommuEmulatorVtdConfig config;
    ViommuEmulatorAccess access = {.iova = IOVA + 0x123456};
    guint64 root;
    guint64 huge;
    guint64 value = 0;
    guint32 nested;
    Rig rig;

    viommu_emulator_vtd_defaults(&config);
    vtd_init(&rig, &config, NULL, &vtd_plain_device);
    nested = vtd_attach_nested(&rig, 5, 0, &root);
    huge = rig_alloc(&rig, 2 << 20);
    *vtd_entry(&rig, root, 5, 2, IOVA) = huge | FS_ALL | FS_PS;
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)(huge + 0x123456),
           "a 2 MiB page by 5 levels");
    tap_ok(!(*vtd_entry(&rig, root, 5, 2, IOVA) & FS_A), "a look sets no flags");
    tap_is(rig_read(&rig, 0, access.iova, &value), 0, "a read goes through");
    *vtd_entry(&rig, root, 5, 2, IOVA) = (huge + 0x2000) | FS_ALL | FS_PS;
    vtd_flush(&rig, nested, 0, G_MAXUINT64);
    tap_is(rig_read(&rig, 0, IOVA, &value), -EFAULT, "its low address bits are reserved");
    *vtd_entry(&rig, root, 5, 3, 3ULL << 30) = FS_ALL | FS_PS;
    access.iova = (3ULL << 30) + huge;
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)huge, "a 1 GiB page");
    *vtd_entry(&rig, root, 5, 2, 1ULL << 55) = huge | FS_ALL | FS_PS;
    tap_is(rig_read(&rig, 0, 1ULL << 55, &value), 0, "addresses above 48 bits");
    tap_is(rig_read(&rig, 0, 1ULL << 56, &value), -EFAULT, "not canonical in 57");
    rig_clear(&rig);

    config.cap &= ~(1ULL << 56);
    config.host_bits = 40;
    vtd_init(&rig, &config, NULL, &vtd_plain_device);
    vtd_attach_nested(&rig, 4, 0, &root);
    *vtd_entry(&rig, root, 4, 3, 0) = FS_ALL | FS_PS;
    access.iova = RIG_RAM_BASE;
    tap_is(rig_peek(&rig, 0, &access, NULL), -EFAULT, "no 1 GiB pages without FS1GP");
    vtd_map(&rig, root, 4, 1ULL << 31, RIG_RAM_BASE | 1ULL << 41, FS_ALL);
    access.iova = 1ULL << 31;
    tap_is(rig_peek(&rig, 0, &access, NULL), -EFAULT,
           "no address bits above the host's width");
    rig_clear(&rig);
}

static void test_privilege(void)
{
    ViommuEmulatorAccess access = {
        .iova = IOVA, .has_pasid = TRUE, .pasid = 5, .privileged = TRUE};
    guint32 parent;
    guint32 nested[3] = {0};
    guint64 root;
    guint64 page;
    guint64 value = 0;
    Rig rig;

    vtd_init_default(&rig, &vtd_full_device);
    parent = vtd_make_parent(&rig, IOMMU_HWPT_ALLOC_PASID);
    root = rig_alloc(&rig, 4096);
    page = rig_alloc(&rig, 4096);
    vtd_map(&rig, root, 4, IOVA, page, FS_P);
    vtd_make_nested(&rig, parent, root, 0, 48, IOMMU_HWPT_ALLOC_PASID, &nested[0]);
    vtd_make_nested(&rig, parent, root, IOMMU_VTD_S1_SRE, 48, IOMMU_HWPT_ALLOC_PASID,
                    &nested[1]);
    vtd_make_nested(&rig, parent, root,
                    IOMMU_VTD_S1_SRE | IOMMU_VTD_S1_WPE | IOMMU_VTD_S1_EAFE, 48,
                    IOMMU_HWPT_ALLOC_PASID, &nested[2]);
    rig_attach(&rig, 0, 5, nested[0]);
    tap_is(rig_access(&rig, 0, &access, &value), -EFAULT, "a privileged request needs SRE");
    rig_attach(&rig, 0, 5, nested[1]);
    tap_is(rig_access(&rig, 0, &access, &value), 0, "with it, it reads a supervisor page");
    access.write = TRUE;
    tap_is(rig_access(&rig, 0, &access, &value), 0, "and writes a read-only one");
    tap_is((gint64)(*vtd_entry(&rig, root, 4, 1, IOVA) & FS_EA), 0, "EA needs EAFE");
    rig_attach(&rig, 0, 5, nested[2]);
    tap_is(rig_access(&rig, 0, &access, &value), -EFAULT, "but not under WPE");
    access.write = FALSE;
    tap_is(rig_access(&rig, 0, &access, &value), 0, "a read there");
    tap_is((gint64)(*vtd_entry(&rig, root, 4, 1, IOVA) & FS_EA), FS_EA, "sets EA");
    access.privileged = FALSE;
    tap_is(rig_access(&rig, 0, &access, &value), -EFAULT,
           "a user request is refused still");
    rig_clear(&rig);
}

static void test_stale(void)
{
    ViommuEmulatorAccess access = {.iova = IOVA};
    ViommuEmulatorCache cache = VIOMMU_EMULATOR_CACHE_NONE;
    guint64 root;
    guint64 pages;
    guint64 other;
    guint64 value = 0;
    guint64 *word;
    guint32 nested;
    Rig rig;

    vtd_init_default(&rig, &vtd_plain_device);
    nested = vtd_attach_nested(&rig, 4, 0, &root);
    pages = rig_alloc(&rig, 8192);
    vtd_map(&rig, root, 4, IOVA, pages, FS_ALL);
    rig_read(&rig, 0, IOVA, &value);
    vtd_map(&rig, root, 4, IOVA, pages + 0x1000, FS_ALL);
    tap_is(rig_peek(&rig, 0, &access, &cache), (gint64)pages, "a changed page stays");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_TLB, "in the IOTLB");
    vtd_flush(&rig, nested, IOVA + 0x10000, 16);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages, "also after a flush elsewhere");
    vtd_flush_flags(&rig, nested, IOVA, 1, IOMMU_VTD_INV_FLAGS_LEAF);
    tap_is(rig_peek(&rig, 0, &access, &cache), (gint64)pages + 0x1000,
           "until a leaf flush covers it");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_NONE, "then the tables are walked");

    /* Another last-level table. */
    rig_read(&rig, 0, IOVA, &value);
    other = rig_alloc(&rig, 4096);
    *rig_word(&rig, other + 8 * (IOVA >> 12 & 511)) = pages | FS_ALL;
    word = vtd_entry(&rig, root, 4, 2, IOVA);
    *word = other | FS_ALL;
    vtd_flush_flags(&rig, nested, IOVA, 1, IOMMU_VTD_INV_FLAGS_LEAF);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages + 0x1000,
           "a leaf flush leaves the old table in place");
    vtd_flush(&rig, nested, IOVA, 1);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages, "a full one does not");

    rig_read(&rig, 0, IOVA, &value);
    vtd_map(&rig, root, 4, IOVA, 0, 0);
    tap_is(rig_write(&rig, 0, IOVA, 1), -EFAULT, "a write that is not cached dirty walks");
    tap_is(rig_read(&rig, 0, IOVA, &value), 0, "a read is still answered");
    vtd_flush(&rig, nested, IOVA + 0x1000, 0);
    tap_is(rig_read(&rig, 0, IOVA, &value), -EFAULT,
           "zero pages flush the two around the address");
    vtd_map(&rig, root, 4, IOVA, pages, FS_ALL);
    rig_read(&rig, 0, IOVA, &value);
    vtd_map(&rig, root, 4, IOVA, pages + 0x1000, FS_ALL);
    tap_is(rig_unmap(&rig, rig.ioas, RIG_RAM_BASE, RIG_RAM_SIZE), 0, "memory goes away");
    tap_is(rig_read(&rig, 0, IOVA, &value), -EFAULT, "nothing is read from it");
    rig_map(&rig, rig.ioas, RIG_RAM_BASE, rig.ram, RIG_RAM_SIZE,
            IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages + 0x1000,
           "back again, nothing old is cached");
    rig_read(&rig, 0, IOVA, &value);
    vtd_map(&rig, root, 4, IOVA, pages, FS_ALL);
    rig_detach(&rig, 0, 0);
    rig_attach(&rig, 0, 0, nested);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages,
           "a detach leaves nothing either");
    rig_clear(&rig);
}

static void test_pasid(void)
{
    ViommuEmulatorAccess access = {.iova = IOVA, .has_pasid = TRUE, .pasid = 7};
    guint32 parent;
    guint32 a = 0;
    guint32 b = 0;
    guint32 bad = 0;
    guint32 without = 0;
    guint64 root_a;
    guint64 root_b;
    guint64 pages;
    guint64 value = 0;
    Rig rig;

    vtd_init_default(&rig, &vtd_full_device);
    parent = vtd_make_parent(&rig, IOMMU_HWPT_ALLOC_PASID);
    root_a = rig_alloc(&rig, 4096);
    root_b = rig_alloc(&rig, 4096);
    pages = rig_alloc(&rig, 8192);
    vtd_map(&rig, root_a, 4, IOVA, pages, FS_ALL);
    vtd_map(&rig, root_b, 4, IOVA, pages + 0x1000, FS_ALL);
    vtd_map(&rig, root_b, 4, 0xfee00000, pages, FS_ALL);
    vtd_make_nested(&rig, parent, root_a, 0, 48, IOMMU_HWPT_ALLOC_PASID, &a);
    vtd_make_nested(&rig, parent, root_b, 0, 48, IOMMU_HWPT_ALLOC_PASID, &b);
    vtd_make_nested(&rig, parent, root_b, 0, 12, IOMMU_HWPT_ALLOC_PASID, &bad);
    vtd_make_nested(&rig, parent, root_b, 0, 48, 0, &without);
    tap_is(rig_attach(&rig, 0, 0, a), 0, "one table for the requester ID");
    tap_is(rig_attach(&rig, 0, 7, without), -EINVAL,
           "a PASID needs an HWPT made for PASIDs");
    tap_is(rig_attach(&rig, 0, 7, b), 0, "another for PASID 7");
    tap_is(rig_attach(&rig, 0, 1 << 16, b), -EINVAL, "not for one the device lacks");
    tap_is(rig_access(&rig, 0, &access, &value), 0, "a request with it goes through");
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages + 0x1000, "its own table");
    access.has_pasid = FALSE;
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages,
           "one without through the other");
    access.has_pasid = TRUE;
    access.pasid = 8;
    tap_is(rig_peek(&rig, 0, &access, NULL), -EFAULT, "PASID 8 is blocked");
    access.pasid = 7;
    vtd_map(&rig, root_b, 4, IOVA, pages, FS_ALL);
    vtd_flush(&rig, a, 0, G_MAXUINT64);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages + 0x1000,
           "a flush of the one leaves the other");
    vtd_flush(&rig, b, IOVA, 1);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages, "and its own does not");
    tap_is(rig_attach(&rig, 0, 7, bad), -EINVAL, "a replace that fails");
    tap_is(rig_peek(&rig, 0, &access, NULL), -EFAULT, "leaves the PASID blocked");
    rig_detach(&rig, 0, 7);
    tap_is(rig_attach(&rig, 0, 7, b), 0, "until attached anew");
    access.iova = 0xfee00000;
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages,
           "with a PASID, 0xfeexxxxx is an address like any other");
    access.has_pasid = FALSE;
    access.write = TRUE;
    tap_is(rig_access(&rig, 0, &access, &value), -EADDRNOTAVAIL,
           "a write to it without is an interrupt");
    access.write = FALSE;
    tap_is(rig_access(&rig, 0, &access, &value), -EFAULT, "and a read nothing");
    tap_is(rig_detach(&rig, 0, 7), 0, "PASID 7 is detached");
    access.has_pasid = TRUE;
    tap_is(rig_peek(&rig, 0, &access, NULL), -EFAULT, "and blocked");
    rig_clear(&rig);
}

static int open_queue(Rig *rig, guint32 *ret_id)
{
    struct iommu_fault_alloc cmd = {.size = sizeof(cmd)};
    int ret = rig_ioctl(rig, rig->iommufd, IOMMU_FAULT_QUEUE_ALLOC, &cmd);

    *ret_id = cmd.out_fault_id;
    return ret < 0 ? ret : (int)cmd.out_fault_fd;
}

static int respond(Rig *rig, int fd, guint32 cookie, guint32 code)
{
    const struct iommu_hwpt_page_response response = {.cookie = cookie, .code = code};

    return (int)rig->seam->ops->write(rig->seam->data, fd, &response, sizeof(response));
}

static void test_pri(void)
{
    struct iommu_hwpt_vtd_s1 s1 = {.addr_width = 48};
    struct iommu_hwpt_pgfault fault;
    ViommuEmulatorAccess access = {
        .iova = IOVA + 0x10, .write = TRUE, .has_pasid = TRUE, .pasid = 3};
    ViommuEmulatorCache cache = VIOMMU_EMULATOR_CACHE_NONE;
    const guint32 flags = IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID;
    guint32 parent;
    guint32 queue = 0;
    guint32 nested = 0;
    guint64 page;
    guint64 value = 0x5555;
    int fd;
    Rig rig;

    vtd_init_default(&rig, &vtd_full_device);
    fd = open_queue(&rig, &queue);
    tap_ok(fd >= 0, "a fault queue");
    parent = vtd_make_parent(&rig, IOMMU_HWPT_ALLOC_PASID);
    s1.pgtbl_addr = rig_alloc(&rig, 4096);
    page = rig_alloc(&rig, 4096);
    tap_is(rig_hwpt(&rig, 0, parent, flags, IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1), queue,
                    &nested),
           0, "a nested HWPT with it");
    tap_is(rig_attach(&rig, 0, 3, nested), 0, "is attached to a PASID");
    tap_is(rig_access(&rig, 0, &access, &value), -EINPROGRESS,
           "what is not mapped is asked for");
    tap_is((gint64)rig.seam->ops->read(rig.seam->data, fd, &fault, sizeof(fault)),
           sizeof(fault), "the request can be read");
    tap_ok(fault.addr == IOVA && fault.perm == IOMMU_PGFAULT_PERM_WRITE &&
               fault.dev_id == rig.devids[0] && fault.pasid == 3,
           "with its page, right, device and PASID");
    tap_ok((fault.flags & 3) == 3, "a PASID and the last of its group");
    vtd_map(&rig, s1.pgtbl_addr, 4, IOVA, page, FS_ALL);
    tap_is(viommu_emulator_dma_waiting(rig.emulator, rig.bdfs[0]), 1, "the device waits");
    respond(&rig, fd, fault.cookie, IOMMUFD_PAGE_RESP_SUCCESS);
    tap_is((gint64)*rig_word(&rig, page + 0x10), 0x5555, "after success it has written");
    tap_is(rig_peek(&rig, 0, &access, &cache), (gint64)page + 0x10, "and knows the way");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_ATC, "itself");
    vtd_map(&rig, s1.pgtbl_addr, 4, IOVA, 0, 0);
    vtd_flush(&rig, nested, IOVA, 1);
    tap_is(rig_peek(&rig, 0, &access, NULL), -EFAULT, "until the flush, which reaches it");
    tap_is(rig_access(&rig, 0, &access, &value), -EINPROGRESS, "it asks again");
    rig.seam->ops->read(rig.seam->data, fd, &fault, sizeof(fault));
    respond(&rig, fd, fault.cookie, IOMMUFD_PAGE_RESP_INVALID);
    tap_is(viommu_emulator_dma_waiting(rig.emulator, rig.bdfs[0]), 0, "invalid ends it");
    rig_access(&rig, 0, &access, &value);
    rig_detach(&rig, 0, 3);
    tap_is(viommu_emulator_dma_waiting(rig.emulator, rig.bdfs[0]), 0, "as does a detach");
    access.privileged = TRUE;
    rig_attach(&rig, 0, 3, nested);
    tap_is(rig_access(&rig, 0, &access, &value), -EFAULT,
           "privileged requests ask nothing");
    rig_clear(&rig);

    vtd_init_default(&rig, &vtd_full_device);
    fd = open_queue(&rig, &queue);
    tap_is(
        rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_FAULT_ID_VALID, 0, NULL, 0, queue, &nested),
        0, "a paging HWPT with a fault queue");
    rig_attach(&rig, 0, 0, nested);
    tap_is(rig_write(&rig, 0, RIG_RAM_BASE - 4096, 7), -EINPROGRESS,
           "what the IOAS lacks is asked for");
    rig.seam->ops->read(rig.seam->data, fd, &fault, sizeof(fault));
    tap_ok(fault.pasid == 0 && fault.flags == IOMMU_PGFAULT_FLAGS_LAST_PAGE,
           "without a PASID");
    rig_map(&rig, rig.ioas, RIG_RAM_BASE - 4096, rig.ram, 4096,
            IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE);
    respond(&rig, fd, fault.cookie, IOMMUFD_PAGE_RESP_SUCCESS);
    tap_is((gint64)*rig_word(&rig, RIG_RAM_BASE), 7, "and written when it is there");
    rig_clear(&rig);

    vtd_init_default(&rig, &vtd_plain_device);
    fd = open_queue(&rig, &queue);
    s1.pgtbl_addr = rig_alloc(&rig, 4096);
    rig_hwpt(&rig, 0, vtd_make_parent(&rig, 0), IOMMU_HWPT_FAULT_ID_VALID,
             IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1), queue, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), -ENODEV, "a device without PRI is refused");
    rig_clear(&rig);
}

/*
 * Tables of random words: whatever they say, nothing outside the IOAS is touched, and
 * nothing is answered that a fresh walk would not have found.
 */
static void test_random_tables(void)
{
    guint32 seed = 0x7d1;
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    ViommuEmulatorAccess access = {.has_pasid = TRUE, .pasid = 1};
    guint n_hits = 0;
    guint n_outside = 0;
    guint32 nested = 0;
    guint64 root;
    guint64 value = 0;
    Rig rig;

    tap_note("seed %u", seed);
    vtd_init_default(&rig, &vtd_full_device);
    root = rig_alloc(&rig, 16 * 4096);
    vtd_make_nested(&rig, vtd_make_parent(&rig, IOMMU_HWPT_ALLOC_PASID), root,
                    IOMMU_VTD_S1_SRE | IOMMU_VTD_S1_EAFE, 57, IOMMU_HWPT_ALLOC_PASID,
                    &nested);
    rig_attach(&rig, 0, 1, nested);
    for (guint i = 0; i < 20000; i++) {
        /* Mostly an entry for one of the 16 tables, sometimes anything at all. */
        guint64 word = root | (guint64)g_rand_int_range(rand, 0, 16) << 12 |
                       (g_rand_int(rand) & 0x3f) | FS_P | (i % 4 ? FS_US | FS_RW : 0) |
                       (i % 16 ? 0 : FS_PS);
        gint64 peeked;
        int ret;

        if (g_rand_int_range(rand, 0, 16) == 0)
            word = (guint64)g_rand_int(rand) << 32 | g_rand_int(rand);
        *rig_word(&rig, root + 8 * (guint64)g_rand_int_range(rand, 0, 16 * 512)) = word;
        access.iova = (guint64)g_rand_int(rand) << 24 | (g_rand_int(rand) & 0xfff000);
        access.write = g_rand_boolean(rand);
        access.privileged = g_rand_boolean(rand);
        vtd_flush(&rig, nested, 0, G_MAXUINT64);
        peeked = rig_peek(&rig, 0, &access, NULL);
        ret = rig_access(&rig, 0, &access, &value);
        if ((peeked >= 0) != (ret == 0))
            n_outside++;
        n_hits += ret == 0;
        if (peeked >= 0 && (peeked < RIG_RAM_BASE || peeked >= RIG_RAM_BASE + RIG_RAM_SIZE))
            n_outside++;
        /* The write may have hit a table; so make it say nothing odd. */
        value = 0;
    }
    tap_ok(n_hits > 100, "random tables let %u accesses through", n_hits);
    tap_is(n_outside, 0, "none of them out, each as a look had said");
    rig_clear(&rig);
}

int main(void)
{
    test_walk();
    test_dirty();
    test_huge();
    test_privilege();
    test_stale();
    test_pasid();
    test_pri();
    test_random_tables();
    return tap_done();
}
