/* SPDX-License-Identifier: MIT */
/* The emulated VT-d unit and its driver, by plain uAPI. */
#include <errno.h>

#include "rig.h"

enum {
    FS_P = 1,
    FS_RW = 2,
    FS_US = 4,
    FS_A = 0x20,
    FS_D = 0x40,
    FS_PS = 0x80,
    FS_EA = 0x400,
    FS_ALL = FS_P | FS_RW | FS_US,
};

enum { IOVA = 0x40000000 };

static const ViommuEmulatorDeviceConfig plain_device = {.iommu_group = -1};
static const ViommuEmulatorDeviceConfig full_device = {
    .iommu_group = -1, .pasid_bits = 16, .ats = TRUE, .pri = TRUE};

/* One device on a unit of this config, two when there is a second unit. */
static void init(Rig *rig, const ViommuEmulatorVtdConfig *config,
                 const ViommuEmulatorVtdConfig *second,
                 const ViommuEmulatorDeviceConfig *device)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    ViommuEmulatorDeviceConfig copy = *device;

    copy.bdf = "0000:00:02.0";
    copy.stream_id = 0x10;
    copy.iommu = viommu_emulator_add_vtd(emulator, config);
    viommu_emulator_add_device(emulator, &copy, NULL);
    if (second) {
        copy.bdf = "0000:00:03.0";
        copy.stream_id = 0x18;
        copy.iommu = viommu_emulator_add_vtd(emulator, second);
        viommu_emulator_add_device(emulator, &copy, NULL);
    }
    rig_init(rig, emulator, second ? 2 : 1);
}

static void init_default(Rig *rig, const ViommuEmulatorDeviceConfig *device)
{
    ViommuEmulatorVtdConfig config;

    viommu_emulator_vtd_defaults(&config);
    init(rig, &config, NULL, device);
}

static guint32 make_parent(Rig *rig, guint32 flags)
{
    guint32 id = 0;

    rig_hwpt(rig, 0, rig->ioas, flags | IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, &id);
    return id;
}

static int make_nested(Rig *rig, guint32 parent, guint64 table, guint64 flags, guint width,
                       guint32 hwpt_flags, guint32 *ret_id)
{
    const struct iommu_hwpt_vtd_s1 s1 = {
        .flags = flags, .pgtbl_addr = table, .addr_width = width};

    return rig_hwpt(rig, 0, parent, hwpt_flags, IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1), 0,
                    ret_id);
}

/* The entry for `va` at `level`, with tables made on the way. */
static guint64 *entry_for(Rig *rig, guint64 root, guint levels, guint level, guint64 va)
{
    guint64 table = root;

    for (guint at = levels; at > level; at--) {
        guint64 *word = rig_word(rig, table + 8 * (va >> (3 + 9 * at) & 511));

        if (!*word)
            *word = rig_alloc(rig, 4096) | FS_ALL;
        table = *word & ~0xfffULL;
    }
    return rig_word(rig, table + 8 * (va >> (3 + 9 * level) & 511));
}

static void map(Rig *rig, guint64 root, guint levels, guint64 va, guint64 gpa, guint64 bits)
{
    *entry_for(rig, root, levels, 1, va) = gpa | bits;
}

static int flush_flags(Rig *rig, guint32 hwpt, guint64 addr, guint64 npages, guint32 flags)
{
    const struct iommu_hwpt_vtd_s1_invalidate entry = {
        .addr = addr, .npages = npages, .flags = flags};
    guint32 num = 1;

    return rig_invalidate(rig, hwpt, IOMMU_HWPT_INVALIDATE_DATA_VTD_S1, &entry,
                          sizeof(entry), &num);
}

static int flush(Rig *rig, guint32 hwpt, guint64 addr, guint64 npages)
{
    return flush_flags(rig, hwpt, addr, npages, 0);
}

static void test_info(void)
{
    struct iommu_hw_info_vtd vtd = {0};
    ViommuEmulatorVtdConfig config;
    struct iommu_hw_info info;
    Rig rig;

    viommu_emulator_vtd_defaults(&config);
    init(&rig, &config, NULL, &full_device);
    tap_is(rig_hw_info(&rig, 0, &info, &vtd, sizeof(vtd)), 0, "hw_info answers");
    tap_is(info.out_data_type, IOMMU_HW_INFO_TYPE_INTEL_VTD, "it is a VT-d");
    tap_ok(vtd.cap_reg == config.cap && vtd.ecap_reg == config.ecap,
           "with the registers it was given");
    tap_is(vtd.flags, IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17, "and erratum 772415");
    tap_is(info.out_capabilities, IOMMU_HW_CAP_DIRTY_TRACKING,
           "it tracks dirt and has ATS");
    tap_is(info.out_max_pasid_log2, 16, "PASIDs as many as the device has");
    info = (struct iommu_hw_info){
        .size = sizeof(info),
        .flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE,
        .dev_id = rig.devids[0],
        .in_data_type = IOMMU_HW_INFO_TYPE_ARM_SMMUV3,
    };
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_GET_HW_INFO, &info), -EOPNOTSUPP,
           "it will not speak as another kind");
    rig_clear(&rig);

    config.ecap &= ~(1ULL << 45);
    init(&rig, &config, NULL, &plain_device);
    rig_hw_info(&rig, 0, &info, &vtd, sizeof(vtd));
    tap_is(info.out_capabilities, IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED,
           "without SSADS no dirt, without the capability no ATS");
    tap_is(info.out_max_pasid_log2, 0, "and no PASIDs");
    tap_is(
        rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, 0, NULL, 0, 0, NULL),
        -EOPNOTSUPP, "dirty tracking is refused there");
    rig_clear(&rig);
}

static void test_paging(void)
{
    struct iommu_viommu_alloc viommu = {.size = sizeof(viommu), .type = 2};
    const guint64 junk = 1;
    guint32 parent;
    guint32 id = 0;
    Rig rig;

    init_default(&rig, &full_device);
    tap_is(rig_hwpt(&rig, 0, rig.ioas, 0, 0, NULL, 0, 0, &id), 0, "a plain HWPT");
    tap_is(rig_attach(&rig, 0, 0, id), 0, "can be attached");
    tap_is(rig_write(&rig, 0, RIG_RAM_BASE + 0x1000, 0x1234), 0, "DMA goes through it");
    tap_is((gint64)*rig_word(&rig, RIG_RAM_BASE + 0x1000), 0x1234, "to the IOAS' memory");
    tap_is(rig_read(&rig, 0, RIG_RAM_BASE - 0x1000, &(guint64){0}), -EFAULT,
           "and nowhere else");
    tap_is(rig_map(&rig, rig.ioas, 0xfee00000, rig.ram, 0x1000, IOMMU_IOAS_MAP_WRITEABLE),
           -EINVAL, "the interrupt range cannot be mapped");
    tap_is(rig_hwpt(&rig, 0, rig.ioas, 0, IOMMU_HWPT_DATA_VTD_S1, &junk, 8, 0, NULL),
           -EOPNOTSUPP, "a paging HWPT takes no data");
    tap_is(rig_hwpt(&rig, 0, rig.ioas, 1U << 10, 0, NULL, 0, 0, NULL), -EOPNOTSUPP,
           "nor unknown flags");
    tap_is(rig_hwpt(&rig, 0, rig.ioas,
                    IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_PASID, 0, NULL, 0, 0,
                    &id),
           0, "dirty tracking with PASIDs");
    parent = make_parent(&rig, IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_PASID);
    tap_ok(parent, "a nesting parent with both");
    viommu.dev_id = rig.devids[0];
    viommu.hwpt_id = parent;
    tap_is(rig_ioctl(&rig, rig.iommufd, IOMMU_VIOMMU_ALLOC, &viommu), -EOPNOTSUPP,
           "there is no vIOMMU");
    tap_is(rig_attach(&rig, 0, 0, parent), 0, "the parent itself can be attached");
    tap_is(rig_write(&rig, 0, RIG_RAM_BASE + 0x2000, 0x77), 0, "and passes through");
    rig_clear(&rig);
}

static void test_read_only(void)
{
    ViommuEmulatorVtdConfig config;
    guint32 id = 0;
    Rig rig;

    init_default(&rig, &plain_device);
    tap_ok(make_parent(&rig, 0), "a parent of writable memory");
    tap_is(rig_map(&rig, rig.ioas, 0x1000, rig.ram, 0x1000, IOMMU_IOAS_MAP_READABLE),
           -EINVAL, "a read-only mapping is refused while there is a parent");
    rig_clear(&rig);

    init_default(&rig, &plain_device);
    tap_is(rig_map(&rig, rig.ioas, 0x1000, rig.ram, 0x1000, IOMMU_IOAS_MAP_READABLE), 0,
           "and allowed while there is none");
    tap_is(rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, NULL),
           -EINVAL, "a parent over one is refused");
    tap_is(rig_hwpt(&rig, 0, rig.ioas, 0, 0, NULL, 0, 0, &id), 0, "another HWPT is not");
    rig_attach(&rig, 0, 0, id);
    tap_is(rig_write(&rig, 0, 0x1000, 1), -EFAULT, "where it cannot be written");
    rig_clear(&rig);

    viommu_emulator_vtd_defaults(&config);
    config.without_errata_772415 = TRUE;
    init(&rig, &config, NULL, &plain_device);
    make_parent(&rig, 0);
    tap_is(rig_map(&rig, rig.ioas, 0x1000, rig.ram, 0x1000, IOMMU_IOAS_MAP_READABLE), 0,
           "a unit without the erratum has no such rule");
    rig_clear(&rig);
}

static void test_nested_alloc(void)
{
    const struct iommu_hwpt_vtd_s1 s1 = {.addr_width = 48};
    ViommuEmulatorVtdConfig config;
    guint8 longer[32] = {0};
    guint32 parent;
    guint32 plain = 0;
    guint32 nested = 0;
    guint64 root;
    Rig rig;

    viommu_emulator_vtd_defaults(&config);
    config.cap &= ~(1ULL << 60);  /* 5 levels */
    config.ecap &= ~(1ULL << 31); /* SRS */
    config.ecap &= ~(1ULL << 34); /* EAFS */
    init(&rig, &config, NULL, &plain_device);
    parent = make_parent(&rig, 0);
    root = rig_alloc(&rig, 4096);
    rig_hwpt(&rig, 0, rig.ioas, 0, 0, NULL, 0, 0, &plain);
    tap_is(make_nested(&rig, plain, root, 0, 48, 0, NULL), -EINVAL,
           "nesting needs a nesting parent");
    tap_is(
        rig_hwpt(&rig, 0, parent, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, &s1, sizeof(s1), 0, NULL),
        -EOPNOTSUPP, "and data of its own type");
    tap_is(
        rig_hwpt(&rig, 0, parent, 0, IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1) - 8, 0, NULL),
        -EINVAL, "no shorter");
    tap_is(rig_hwpt(&rig, 0, parent, 0, IOMMU_HWPT_DATA_VTD_S1, longer, 32, 0, NULL),
           -EINVAL, "and no longer, even by zeroes");
    tap_is(make_nested(&rig, parent, root, 0, 48, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, NULL),
           -EOPNOTSUPP, "dirty tracking is the parent's");
    tap_is(make_nested(&rig, parent, root, ~0ULL, 39, 0, &nested), 0,
           "what is in it nobody reads yet");
    tap_is(rig_destroy(&rig, parent), -EBUSY, "the parent is in use then");
    tap_is(rig_attach(&rig, 0, 0, nested), -EINVAL, "at attach a width of 39 is refused");
    make_nested(&rig, parent, root, 0, 57, 0, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), -EINVAL, "57 without five levels");
    make_nested(&rig, parent, root, IOMMU_VTD_S1_SRE, 48, 0, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), -EINVAL, "SRE without SRS");
    make_nested(&rig, parent, root, IOMMU_VTD_S1_EAFE, 48, 0, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), -EINVAL, "EAFE without EAFS");
    make_nested(&rig, parent, root, IOMMU_VTD_S1_WPE | 1ULL << 40, 48, 0, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), 0, "WPE alone and unknown flags pass");
    rig_clear(&rig);

    config.ecap &= ~(1ULL << 26);
    init(&rig, &config, NULL, &plain_device);
    tap_is(rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, NULL),
           -EOPNOTSUPP, "no parent where there is no nesting");
    rig_clear(&rig);
}

static void test_attach(void)
{
    ViommuEmulatorVtdConfig config;
    ViommuEmulatorVtdConfig small;
    guint32 parent;
    guint32 nested = 0;
    guint32 bad = 0;
    guint64 root;
    guint64 page;
    Rig rig;

    viommu_emulator_vtd_defaults(&config);
    small = config;
    small.cap = (small.cap & ~(0x3fULL << 16)) | 47ULL << 16; /* MGAW 48 */
    init(&rig, &config, &small, &plain_device);
    parent = make_parent(&rig, 0);
    root = rig_alloc(&rig, 4096);
    page = rig_alloc(&rig, 4096);
    map(&rig, root, 4, IOVA, page, FS_ALL);
    make_nested(&rig, parent, root, 0, 48, 0, &nested);
    make_nested(&rig, parent, root, 0, 40, 0, &bad);
    tap_is(rig_attach(&rig, 0, 0, nested), 0, "a nested HWPT is attached");
    tap_is(rig_write(&rig, 0, IOVA, 1), 0, "its table is used");
    tap_is(rig_attach(&rig, 0, 0, bad), -EINVAL, "a replace fails");
    tap_ok(viommu_emulator_device_is_blocked(rig.emulator, rig.bdfs[0]),
           "and the device is blocked");
    tap_is(rig_attach(&rig, 0, 0, nested), 0, "replacing by the old one succeeds");
    tap_is(rig_write(&rig, 0, IOVA, 1), -EFAULT, "and does nothing: it was never gone");
    tap_is(rig_detach(&rig, 0, 0), 0, "but detached");
    tap_is(rig_attach(&rig, 0, 0, nested), 0, "and attached again");
    tap_is(rig_write(&rig, 0, IOVA, 2), 0, "it works");
    tap_is(rig_destroy(&rig, nested), -EBUSY, "in use, it cannot be destroyed");
    tap_is(rig_attach(&rig, 1, 0, parent), -EINVAL,
           "a parent of 57 bits does not fit a unit of 48");
    tap_is(rig_attach(&rig, 1, 0, nested), -EINVAL, "and neither does what nests on it");
    tap_is(rig_attach(&rig, 0, 0, rig.ioas), 0, "replaced by the IOAS itself");
    tap_is(rig_write(&rig, 0, page, 3), 0, "it passes through");
    rig_clear(&rig);
}

/* A nested HWPT on device 0, over tables at *ret_root. */
static guint32 attach_nested(Rig *rig, guint levels, guint64 flags, guint64 *ret_root)
{
    guint32 nested = 0;

    *ret_root = rig_alloc(rig, 4096);
    make_nested(rig, make_parent(rig, 0), *ret_root, flags, levels == 5 ? 57 : 48, 0,
                &nested);
    rig_attach(rig, 0, 0, nested);
    return nested;
}

static void test_walk(void)
{
    guint64 root;
    guint64 page;
    guint64 value = 0;
    guint32 nested;
    Rig rig;

    init_default(&rig, &plain_device);
    nested = attach_nested(&rig, 4, 0, &root);
    page = rig_alloc(&rig, 4096);
    *rig_word(&rig, page + 8) = 0xabcd;
    map(&rig, root, 4, IOVA, page, FS_P | FS_US);
    tap_is(rig_read(&rig, 0, IOVA + 8, &value), 0, "a read through 4 levels");
    tap_is((gint64)value, 0xabcd, "brings the right bytes");
    tap_is((gint64)(*entry_for(&rig, root, 4, 1, IOVA) & (FS_A | FS_D)), FS_A,
           "and sets the accessed flag");
    tap_ok(*entry_for(&rig, root, 4, 4, IOVA) & FS_A, "of each table on the way");
    tap_is(rig_write(&rig, 0, IOVA, 1), -EFAULT, "a read-only page is not written");
    *entry_for(&rig, root, 4, 1, IOVA) |= FS_RW;
    flush(&rig, nested, IOVA, 1);
    tap_is(rig_write(&rig, 0, IOVA, 1), 0, "a writable one is");
    tap_ok(*entry_for(&rig, root, 4, 1, IOVA) & FS_D, "and is dirty");
    map(&rig, root, 4, IOVA + 0x1000, page, FS_P | FS_RW);
    tap_is(rig_read(&rig, 0, IOVA + 0x1000, &value), -EFAULT,
           "a supervisor page is refused");
    *entry_for(&rig, root, 4, 2, IOVA) &= ~(guint64)FS_US;
    flush(&rig, nested, 0, G_MAXUINT64);
    tap_is(rig_read(&rig, 0, IOVA, &value), -EFAULT, "and all under a supervisor table");
    *entry_for(&rig, root, 4, 2, IOVA) |= FS_US;
    tap_is(rig_read(&rig, 0, IOVA + 0x2000, &value), -EFAULT, "as is what is not mapped");
    tap_is(rig_read(&rig, 0, IOVA | 1ULL << 60, &value), -EFAULT, "or not canonical");
    map(&rig, root, 4, 0xffffffffffff0000, page, FS_ALL);
    tap_is(rig_read(&rig, 0, 0xffffffffffff0000, &value), 0, "the upper half is there");
    map(&rig, root, 4, IOVA + 0x3000, RIG_RAM_BASE + RIG_RAM_SIZE, FS_ALL);
    tap_is(rig_read(&rig, 0, IOVA + 0x3000, &value), -EFAULT,
           "a page outside the IOAS is refused");
    *entry_for(&rig, root, 4, 3, 0x8000000000) = 0x1000 | FS_ALL;
    tap_is(rig_read(&rig, 0, 0x8000000000, &value), -EFAULT, "and a table there");
    *entry_for(&rig, root, 4, 4, 1ULL << 45) = page | FS_ALL | FS_PS;
    tap_is(rig_read(&rig, 0, 1ULL << 45, &value), -EFAULT, "PS is reserved in level 4");
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
    init(&rig, &config, NULL, &plain_device);
    nested = attach_nested(&rig, 5, 0, &root);
    huge = rig_alloc(&rig, 2 << 20);
    *entry_for(&rig, root, 5, 2, IOVA) = huge | FS_ALL | FS_PS;
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)(huge + 0x123456),
           "a 2 MiB page by 5 levels");
    tap_ok(!(*entry_for(&rig, root, 5, 2, IOVA) & FS_A), "a look sets no flags");
    tap_is(rig_read(&rig, 0, access.iova, &value), 0, "a read goes through");
    *entry_for(&rig, root, 5, 2, IOVA) = (huge + 0x2000) | FS_ALL | FS_PS;
    flush(&rig, nested, 0, G_MAXUINT64);
    tap_is(rig_read(&rig, 0, IOVA, &value), -EFAULT, "its low address bits are reserved");
    *entry_for(&rig, root, 5, 3, 3ULL << 30) = FS_ALL | FS_PS;
    access.iova = (3ULL << 30) + huge;
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)huge, "a 1 GiB page");
    *entry_for(&rig, root, 5, 2, 1ULL << 55) = huge | FS_ALL | FS_PS;
    tap_is(rig_read(&rig, 0, 1ULL << 55, &value), 0, "addresses above 48 bits");
    tap_is(rig_read(&rig, 0, 1ULL << 56, &value), -EFAULT, "not canonical in 57");
    rig_clear(&rig);

    config.cap &= ~(1ULL << 56);
    config.host_bits = 40;
    init(&rig, &config, NULL, &plain_device);
    attach_nested(&rig, 4, 0, &root);
    *entry_for(&rig, root, 4, 3, 0) = FS_ALL | FS_PS;
    access.iova = RIG_RAM_BASE;
    tap_is(rig_peek(&rig, 0, &access, NULL), -EFAULT, "no 1 GiB pages without FS1GP");
    map(&rig, root, 4, 1ULL << 31, RIG_RAM_BASE | 1ULL << 41, FS_ALL);
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

    init_default(&rig, &full_device);
    parent = make_parent(&rig, IOMMU_HWPT_ALLOC_PASID);
    root = rig_alloc(&rig, 4096);
    page = rig_alloc(&rig, 4096);
    map(&rig, root, 4, IOVA, page, FS_P);
    make_nested(&rig, parent, root, 0, 48, IOMMU_HWPT_ALLOC_PASID, &nested[0]);
    make_nested(&rig, parent, root, IOMMU_VTD_S1_SRE, 48, IOMMU_HWPT_ALLOC_PASID,
                &nested[1]);
    make_nested(&rig, parent, root, IOMMU_VTD_S1_SRE | IOMMU_VTD_S1_WPE | IOMMU_VTD_S1_EAFE,
                48, IOMMU_HWPT_ALLOC_PASID, &nested[2]);
    rig_attach(&rig, 0, 5, nested[0]);
    tap_is(rig_access(&rig, 0, &access, &value), -EFAULT, "a privileged request needs SRE");
    rig_attach(&rig, 0, 5, nested[1]);
    tap_is(rig_access(&rig, 0, &access, &value), 0, "with it, it reads a supervisor page");
    access.write = TRUE;
    tap_is(rig_access(&rig, 0, &access, &value), 0, "and writes a read-only one");
    tap_is((gint64)(*entry_for(&rig, root, 4, 1, IOVA) & FS_EA), 0, "EA needs EAFE");
    rig_attach(&rig, 0, 5, nested[2]);
    tap_is(rig_access(&rig, 0, &access, &value), -EFAULT, "but not under WPE");
    access.write = FALSE;
    tap_is(rig_access(&rig, 0, &access, &value), 0, "a read there");
    tap_is((gint64)(*entry_for(&rig, root, 4, 1, IOVA) & FS_EA), FS_EA, "sets EA");
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

    init_default(&rig, &plain_device);
    nested = attach_nested(&rig, 4, 0, &root);
    pages = rig_alloc(&rig, 8192);
    map(&rig, root, 4, IOVA, pages, FS_ALL);
    rig_read(&rig, 0, IOVA, &value);
    map(&rig, root, 4, IOVA, pages + 0x1000, FS_ALL);
    tap_is(rig_peek(&rig, 0, &access, &cache), (gint64)pages, "a changed page stays");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_TLB, "in the IOTLB");
    flush(&rig, nested, IOVA + 0x10000, 16);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages, "also after a flush elsewhere");
    flush_flags(&rig, nested, IOVA, 1, IOMMU_VTD_INV_FLAGS_LEAF);
    tap_is(rig_peek(&rig, 0, &access, &cache), (gint64)pages + 0x1000,
           "until a leaf flush covers it");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_NONE, "then the tables are walked");

    /* Another last-level table. */
    rig_read(&rig, 0, IOVA, &value);
    other = rig_alloc(&rig, 4096);
    *rig_word(&rig, other + 8 * (IOVA >> 12 & 511)) = pages | FS_ALL;
    word = entry_for(&rig, root, 4, 2, IOVA);
    *word = other | FS_ALL;
    flush_flags(&rig, nested, IOVA, 1, IOMMU_VTD_INV_FLAGS_LEAF);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages + 0x1000,
           "a leaf flush leaves the old table in place");
    flush(&rig, nested, IOVA, 1);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages, "a full one does not");

    rig_read(&rig, 0, IOVA, &value);
    map(&rig, root, 4, IOVA, 0, 0);
    tap_is(rig_write(&rig, 0, IOVA, 1), -EFAULT, "a write that is not cached dirty walks");
    tap_is(rig_read(&rig, 0, IOVA, &value), 0, "a read is still answered");
    flush(&rig, nested, IOVA + 0x1000, 0);
    tap_is(rig_read(&rig, 0, IOVA, &value), -EFAULT,
           "zero pages flush the two around the address");
    map(&rig, root, 4, IOVA, pages, FS_ALL);
    rig_read(&rig, 0, IOVA, &value);
    map(&rig, root, 4, IOVA, pages + 0x1000, FS_ALL);
    tap_is(rig_unmap(&rig, rig.ioas, RIG_RAM_BASE, RIG_RAM_SIZE), 0, "memory goes away");
    tap_is(rig_read(&rig, 0, IOVA, &value), -EFAULT, "nothing is read from it");
    rig_map(&rig, rig.ioas, RIG_RAM_BASE, rig.ram, RIG_RAM_SIZE,
            IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages + 0x1000,
           "back again, nothing old is cached");
    rig_read(&rig, 0, IOVA, &value);
    map(&rig, root, 4, IOVA, pages, FS_ALL);
    rig_detach(&rig, 0, 0);
    rig_attach(&rig, 0, 0, nested);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages,
           "a detach leaves nothing either");
    rig_clear(&rig);
}

static void test_invalidate(void)
{
    struct iommu_hwpt_vtd_s1_invalidate entries[3] = {
        {.addr = IOVA, .npages = 1}, {.addr = IOVA + 0x1000, .npages = 1}, {.npages = 1}};
    ViommuEmulatorAccess access = {.iova = IOVA};
    const guint32 type = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1;
    guint64 root;
    guint64 pages;
    guint64 value = 0;
    guint32 nested;
    guint32 num;
    Rig rig;

    init_default(&rig, &plain_device);
    nested = attach_nested(&rig, 4, 0, &root);
    tap_is((num = 3, rig_invalidate(&rig, nested, type, entries, sizeof(entries[0]), &num)),
           0, "three entries");
    tap_is(num, 3, "are three done");
    tap_is((num = 0, rig_invalidate(&rig, nested, type, NULL, 0, &num)), 0,
           "none is a probe of the type");
    tap_is((num = 0, rig_invalidate(&rig, nested, 7, NULL, 0, &num)), -EINVAL,
           "another type is not known");
    tap_is((num = 1, rig_invalidate(&rig, nested, type, entries, 16, &num)), -EINVAL,
           "a shorter entry is refused");
    tap_is((num = 1, rig_invalidate(&rig, nested, type, entries, 32, &num)), -EINVAL,
           "a longer one too");
    tap_is(num, 0, "and not done");
    tap_is(flush(&rig, nested, 0x123, 1), -EINVAL, "an address within a page");
    tap_is(flush(&rig, nested, 0x1000, G_MAXUINT64), -EINVAL, "everything from somewhere");
    tap_is(flush_flags(&rig, nested, 0, 1, 2), -EOPNOTSUPP, "an unknown flag");
    entries[0].__reserved = 1;
    tap_is((num = 1, rig_invalidate(&rig, nested, type, entries, sizeof(entries[0]), &num)),
           -EOPNOTSUPP, "a reserved field");
    entries[0].__reserved = 0;
    entries[1].addr = 1;
    pages = rig_alloc(&rig, 8192);
    map(&rig, root, 4, IOVA, pages, FS_ALL);
    rig_read(&rig, 0, IOVA, &value);
    map(&rig, root, 4, IOVA, pages + 0x1000, FS_ALL);
    tap_is((num = 3, rig_invalidate(&rig, nested, type, entries, sizeof(entries[0]), &num)),
           -EINVAL, "a bad entry among good ones fails the call");
    tap_is(num, 1, "with those before it counted");
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages + 0x1000, "and done");
    num = 1;
    tap_is(rig_invalidate(&rig, rig.ioas, type, entries, sizeof(entries[0]), &num), -EINVAL,
           "only a nested HWPT can be flushed");
    tap_is(rig_invalidate(&rig, 999, type, entries, sizeof(entries[0]), &num), -ENOENT,
           "and one that exists");
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

    init_default(&rig, &full_device);
    parent = make_parent(&rig, IOMMU_HWPT_ALLOC_PASID);
    root_a = rig_alloc(&rig, 4096);
    root_b = rig_alloc(&rig, 4096);
    pages = rig_alloc(&rig, 8192);
    map(&rig, root_a, 4, IOVA, pages, FS_ALL);
    map(&rig, root_b, 4, IOVA, pages + 0x1000, FS_ALL);
    map(&rig, root_b, 4, 0xfee00000, pages, FS_ALL);
    make_nested(&rig, parent, root_a, 0, 48, IOMMU_HWPT_ALLOC_PASID, &a);
    make_nested(&rig, parent, root_b, 0, 48, IOMMU_HWPT_ALLOC_PASID, &b);
    make_nested(&rig, parent, root_b, 0, 12, IOMMU_HWPT_ALLOC_PASID, &bad);
    make_nested(&rig, parent, root_b, 0, 48, 0, &without);
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
    map(&rig, root_b, 4, IOVA, pages, FS_ALL);
    flush(&rig, a, 0, G_MAXUINT64);
    tap_is(rig_peek(&rig, 0, &access, NULL), (gint64)pages + 0x1000,
           "a flush of the one leaves the other");
    flush(&rig, b, IOVA, 1);
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

    init_default(&rig, &full_device);
    fd = open_queue(&rig, &queue);
    tap_ok(fd >= 0, "a fault queue");
    parent = make_parent(&rig, IOMMU_HWPT_ALLOC_PASID);
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
    map(&rig, s1.pgtbl_addr, 4, IOVA, page, FS_ALL);
    tap_is(viommu_emulator_dma_waiting(rig.emulator, rig.bdfs[0]), 1, "the device waits");
    respond(&rig, fd, fault.cookie, IOMMUFD_PAGE_RESP_SUCCESS);
    tap_is((gint64)*rig_word(&rig, page + 0x10), 0x5555, "after success it has written");
    tap_is(rig_peek(&rig, 0, &access, &cache), (gint64)page + 0x10, "and knows the way");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_ATC, "itself");
    map(&rig, s1.pgtbl_addr, 4, IOVA, 0, 0);
    flush(&rig, nested, IOVA, 1);
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

    init_default(&rig, &plain_device);
    fd = open_queue(&rig, &queue);
    s1.pgtbl_addr = rig_alloc(&rig, 4096);
    rig_hwpt(&rig, 0, make_parent(&rig, 0), IOMMU_HWPT_FAULT_ID_VALID,
             IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1), queue, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), -ENODEV, "a device without PRI is refused");
    rig_clear(&rig);
}

int main(void)
{
    test_info();
    test_paging();
    test_read_only();
    test_nested_alloc();
    test_attach();
    test_walk();
    test_huge();
    test_privilege();
    test_stale();
    test_invalidate();
    test_pasid();
    test_pri();
    return tap_done();
}
