/* SPDX-License-Identifier: MIT */
/* The driver of the emulated VT-d unit, by plain uAPI. */
#include <errno.h>

#include "vtd-rig.h"

static void test_info(void)
{
    struct iommu_hw_info_vtd vtd = {0};
    ViommuEmulatorVtdConfig config;
    struct iommu_hw_info info;
    Rig rig;

    viommu_emulator_vtd_defaults(&config);
    vtd_init(&rig, &config, NULL, &vtd_full_device);
    tap_is(rig_hw_info(&rig, 0, &info, &vtd, sizeof(vtd)), 0, "hw_info answers");
    tap_is(info.out_data_type, IOMMU_HW_INFO_TYPE_INTEL_VTD, "it is a VT-d");
    tap_ok(vtd.cap_reg == config.cap && vtd.ecap_reg == config.ecap,
           "with the registers it was given");
    tap_is(vtd.flags, IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17, "and erratum 772415");
    tap_is(info.out_capabilities, IOMMU_HW_CAP_DIRTY_TRACKING | IOMMU_HW_CAP_PCI_PASID_PRIV,
           "it tracks dirt, has ATS, and privilege with its PASIDs");
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
    vtd_init(&rig, &config, NULL, &vtd_plain_device);
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

    vtd_init_default(&rig, &vtd_full_device);
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
    parent =
        vtd_make_parent(&rig, IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_PASID);
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

    vtd_init_default(&rig, &vtd_plain_device);
    tap_ok(vtd_make_parent(&rig, 0), "a parent of writable memory");
    tap_is(rig_map(&rig, rig.ioas, 0x1000, rig.ram, 0x1000, IOMMU_IOAS_MAP_READABLE),
           -EINVAL, "a read-only mapping is refused while there is a parent");
    rig_clear(&rig);

    vtd_init_default(&rig, &vtd_plain_device);
    tap_is(rig_map(&rig, rig.ioas, 0x1000, rig.ram, 0x1000, IOMMU_IOAS_MAP_READABLE), 0,
           "and allowed while there is none");
    rig_map(&rig, rig.ioas, 0x3000, rig.ram, 0x1000, IOMMU_IOAS_MAP_WRITEABLE);
    tap_is(rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, NULL),
           -EINVAL, "a parent over one is refused");
    tap_is(rig_hwpt(&rig, 0, rig.ioas, 0, 0, NULL, 0, 0, &id), 0, "another HWPT is not");
    rig_attach(&rig, 0, 0, id);
    tap_is(rig_write(&rig, 0, 0x1000, 1), -EFAULT, "where it cannot be written");
    tap_is(rig_read(&rig, 0, 0x3000, &(guint64){0}), 0,
           "but what is write-only can be read in a first stage");
    rig_clear(&rig);

    viommu_emulator_vtd_defaults(&config);
    config.without_errata_772415 = TRUE;
    vtd_init(&rig, &config, NULL, &vtd_plain_device);
    vtd_make_parent(&rig, 0);
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
    vtd_init(&rig, &config, NULL, &vtd_plain_device);
    parent = vtd_make_parent(&rig, 0);
    root = rig_alloc(&rig, 4096);
    rig_hwpt(&rig, 0, rig.ioas, 0, 0, NULL, 0, 0, &plain);
    tap_is(vtd_make_nested(&rig, plain, root, 0, 48, 0, NULL), -EINVAL,
           "nesting needs a nesting parent");
    tap_is(
        rig_hwpt(&rig, 0, parent, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, &s1, sizeof(s1), 0, NULL),
        -EOPNOTSUPP, "and data of its own type");
    tap_is(
        rig_hwpt(&rig, 0, parent, 0, IOMMU_HWPT_DATA_VTD_S1, &s1, sizeof(s1) - 8, 0, NULL),
        -EINVAL, "no shorter");
    tap_is(rig_hwpt(&rig, 0, parent, 0, IOMMU_HWPT_DATA_VTD_S1, longer, 32, 0, NULL),
           -EINVAL, "and no longer, even by zeroes");
    tap_is(
        vtd_make_nested(&rig, parent, root, 0, 48, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, NULL),
        -EOPNOTSUPP, "dirty tracking is the parent's");
    tap_is(vtd_make_nested(&rig, parent, root, ~0ULL, 39, 0, &nested), 0,
           "what is in it nobody reads yet");
    tap_is(rig_destroy(&rig, parent), -EBUSY, "the parent is in use then");
    tap_is(rig_attach(&rig, 0, 0, nested), -EINVAL, "at attach a width of 39 is refused");
    vtd_make_nested(&rig, parent, root, 0, 57, 0, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), -EINVAL, "57 without five levels");
    vtd_make_nested(&rig, parent, root, IOMMU_VTD_S1_SRE, 48, 0, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), -EINVAL, "SRE without SRS");
    vtd_make_nested(&rig, parent, root, IOMMU_VTD_S1_EAFE, 48, 0, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), -EINVAL, "EAFE without EAFS");
    vtd_make_nested(&rig, parent, root, IOMMU_VTD_S1_WPE | 1ULL << 40, 48, 0, &nested);
    tap_is(rig_attach(&rig, 0, 0, nested), 0, "WPE alone and unknown flags pass");
    rig_clear(&rig);

    config.ecap &= ~(1ULL << 26);
    vtd_init(&rig, &config, NULL, &vtd_plain_device);
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
    vtd_init(&rig, &config, &small, &vtd_plain_device);
    parent = vtd_make_parent(&rig, 0);
    root = rig_alloc(&rig, 4096);
    page = rig_alloc(&rig, 4096);
    vtd_map(&rig, root, 4, IOVA, page, FS_ALL);
    vtd_make_nested(&rig, parent, root, 0, 48, 0, &nested);
    vtd_make_nested(&rig, parent, root, 0, 40, 0, &bad);
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

/* What a unit without this or that does. */
static void test_lesser_units(void)
{
    ViommuEmulatorVtdConfig config;
    ViommuEmulatorVtdConfig other;
    guint32 ids[15] = {0};
    guint32 parent;
    guint32 id = 0;
    int ret = 0;
    Rig rig;

    viommu_emulator_vtd_defaults(&config);
    other = config;
    other.ecap &= ~(1ULL << 7); /* SC */
    vtd_init(&rig, &config, &other, &vtd_plain_device);
    parent = vtd_make_parent(&rig, 0);
    tap_is(rig_attach(&rig, 1, 0, parent), -EINVAL,
           "a parent that forces snooping needs a unit that can");
    tap_is(rig_hwpt(&rig, 1, rig.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, &id), 0,
           "its own does not force it");
    tap_is(rig_attach(&rig, 1, 0, id), 0, "and is attached");
    rig_clear(&rig);

    viommu_emulator_vtd_defaults(&config);
    config.cap &= ~7ULL; /* 16 domain IDs, two of which are taken */
    vtd_init(&rig, &config, NULL, &vtd_full_device);
    parent = vtd_make_parent(&rig, IOMMU_HWPT_ALLOC_PASID);
    for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
        vtd_make_nested(&rig, parent, RIG_RAM_BASE, 0, 48, IOMMU_HWPT_ALLOC_PASID, &ids[i]);
        ret = rig_attach(&rig, 0, i + 1, ids[i]);
        if (i == 13)
            tap_is(ret, 0, "14 domains are attached");
    }
    tap_is(ret, -ENOSPC, "the 15th finds no ID");
    rig_detach(&rig, 0, 3);
    tap_is(rig_attach(&rig, 0, 15, ids[14]), 0, "until another goes");
    rig_clear(&rig);

    viommu_emulator_vtd_defaults(&config);
    config.ecap &= ~(1ULL << 43); /* SMTS */
    vtd_init(&rig, &config, NULL, &vtd_full_device);
    tap_is(rig_hwpt(&rig, 0, rig.ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, NULL),
           -EOPNOTSUPP, "no nesting without scalable mode");
    tap_is(rig_hwpt(&rig, 0, rig.ioas, 0, 0, NULL, 0, 0, &id), 0, "but a HWPT");
    tap_is(rig_attach(&rig, 0, 0, id), 0, "which is attached");
    tap_is(rig_write(&rig, 0, RIG_RAM_BASE, 1), 0, "and used");
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

    vtd_init_default(&rig, &vtd_plain_device);
    nested = vtd_attach_nested(&rig, 4, 0, &root);
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
    tap_is(vtd_flush(&rig, nested, 0x123, 1), -EINVAL, "an address within a page");
    tap_is(vtd_flush(&rig, nested, 0x1000, G_MAXUINT64), -EINVAL,
           "everything from somewhere");
    tap_is(vtd_flush_flags(&rig, nested, 0, 1, 2), -EOPNOTSUPP, "an unknown flag");
    entries[0].__reserved = 1;
    tap_is((num = 1, rig_invalidate(&rig, nested, type, entries, sizeof(entries[0]), &num)),
           -EOPNOTSUPP, "a reserved field");
    entries[0].__reserved = 0;
    entries[1].addr = 1;
    pages = rig_alloc(&rig, 8192);
    vtd_map(&rig, root, 4, IOVA, pages, FS_ALL);
    rig_read(&rig, 0, IOVA, &value);
    vtd_map(&rig, root, 4, IOVA, pages + 0x1000, FS_ALL);
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

int main(void)
{
    test_info();
    test_paging();
    test_read_only();
    test_nested_alloc();
    test_attach();
    test_lesser_units();
    test_invalidate();
    return tap_done();
}
