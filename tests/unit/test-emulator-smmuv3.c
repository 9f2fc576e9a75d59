/* SPDX-License-Identifier: MIT */
/* What of the emulated SMMUv3 no kernel in a VM shows: substreams, ATS, large granules. */
#include <errno.h>
#include <fcntl.h>

#include <linux/vfio.h>

#include "rig.h"

enum { VSID = 0x20, ASID = 5, IOVA = 0x40000000 };

enum { S1DSS_TERMINATE, S1DSS_BYPASS, S1DSS_SSID0 };
enum { FMT_LINEAR, FMT_4K_L2, FMT_64K_L2 };

enum {
    F_STREAM_DISABLED = 0x06,
    C_BAD_SUBSTREAMID = 0x08,
    C_BAD_CD = 0x0a,
    F_TRANSLATION = 0x10,
    F_PERMISSION = 0x13,
};

/* Descriptors: a table or page, a block, and what both need to be used. */
#define DESC_PAGE  3ULL
#define DESC_BLOCK 1ULL
#define DESC_RO    (1ULL << 7)
#define DESC_USER  (1ULL << 6 | 1ULL << 10 | 1ULL << 11)
#define DESC_PRIV  (1ULL << 10 | 1ULL << 11)

typedef struct {
    Rig rig;
    guint32 viommu;
    guint32 parent;
    int events;
} Smmu;

static void init(Smmu *smmu, const ViommuEmulatorDeviceConfig *device)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    ViommuEmulatorDeviceConfig copy = *device;
    struct iommu_viommu_alloc viommu = {.size = sizeof(viommu),
                                        .type = IOMMU_VIOMMU_TYPE_ARM_SMMUV3};
    struct iommu_vdevice_alloc vdevice = {.size = sizeof(vdevice), .virt_id = VSID};
    struct iommu_veventq_alloc queue = {
        .size = sizeof(queue), .type = IOMMU_VEVENTQ_TYPE_ARM_SMMUV3, .veventq_depth = 16};
    ViommuEmulatorSmmuv3Config config;
    Rig *rig = &smmu->rig;

    viommu_emulator_smmuv3_defaults(&config);
    copy.bdf = "0000:00:02.0";
    copy.stream_id = 0x10;
    copy.iommu = viommu_emulator_add_smmuv3(emulator, &config);
    viommu_emulator_add_device(emulator, &copy, NULL);
    rig_init(rig, emulator, 1);
    rig_hwpt(rig, 0, rig->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, 0, NULL, 0, 0, &smmu->parent);
    viommu.dev_id = rig->devids[0];
    viommu.hwpt_id = smmu->parent;
    rig_ioctl(rig, rig->iommufd, IOMMU_VIOMMU_ALLOC, &viommu);
    smmu->viommu = viommu.out_viommu_id;
    vdevice.viommu_id = smmu->viommu;
    vdevice.dev_id = rig->devids[0];
    rig_ioctl(rig, rig->iommufd, IOMMU_VDEVICE_ALLOC, &vdevice);
    queue.viommu_id = smmu->viommu;
    rig_ioctl(rig, rig->iommufd, IOMMU_VEVENTQ_ALLOC, &queue);
    smmu->events = (int)queue.out_veventq_fd;
}

/* Attach a stage 1 STE of this CD table. */
static int install(Smmu *smmu, guint64 table, guint format, guint cdmax, guint s1dss,
                   gboolean ats)
{
    const guint64 ste[2] = {
        1 | 5 << 1 | (guint64)format << 4 | table | (guint64)cdmax << 59,
        s1dss | (ats ? 1ULL << 28 : 0),
    };
    guint32 id = 0;
    int ret = rig_hwpt(&smmu->rig, 0, smmu->viommu, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, ste,
                       sizeof(ste), 0, &id);

    return ret < 0 ? ret : rig_attach(&smmu->rig, 0, 0, id);
}

static guint log2_granule(guint tg0)
{
    return tg0 == 0 ? 12 : tg0 == 2 ? 14 : 16;
}

/* A CD with one half of 48 bits in use; tg0 is the encoding of CD.TG0. */
static void write_cd(Smmu *smmu, guint64 gpa, guint64 root, guint tg0, gboolean upper,
                     guint asid)
{
    static const guint tg1[] = {2, 3, 1}; /* of the granules that TG0 0, 1 and 2 are */
    guint64 *cd = rig_word(&smmu->rig, gpa);

    cd[0] = 16 | (guint64)tg0 << 6 | 16 << 16 | (guint64)tg1[tg0] << 22 |
            (upper ? 1ULL << 14 : 1ULL << 30) | 1ULL << 31 | 5ULL << 32 | 1ULL << 41 |
            1ULL << 45 | 1ULL << 46 | (guint64)asid << 48;
    cd[1] = upper ? 0 : root;
    cd[2] = upper ? root : 0;
}

/* The descriptor for `va` at `level`, with tables made on the way. */
static guint64 *desc_for(Smmu *smmu, guint64 root, guint granule, guint level, guint64 va)
{
    guint stride = granule - 3;
    guint first = 4 - (48 - granule + stride - 1) / stride;
    guint64 table = root;

    va &= (1ULL << 48) - 1;
    for (guint at = first;; at++) {
        guint shift = granule + stride * (3 - at);
        guint64 *word =
            rig_word(&smmu->rig, table + 8 * (va >> shift & ((1ULL << stride) - 1)));

        if (at == level)
            return word;
        if (!*word)
            *word = rig_alloc(&smmu->rig, 1UL << granule) | DESC_PAGE;
        table = *word & ((1ULL << 48) - 1) & ~((1ULL << granule) - 1);
    }
}

static guint64 *page_for(Smmu *smmu, guint64 root, guint64 va)
{
    return desc_for(smmu, root, 12, 3, va);
}

static int command(Smmu *smmu, guint64 word0, guint64 word1)
{
    const guint64 words[2] = {word0, word1};
    guint32 num = 1;

    return rig_invalidate(&smmu->rig, smmu->viommu, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3,
                          words, sizeof(words), &num);
}

static int tlbi_all(Smmu *smmu)
{
    return command(smmu, 0x10, 0);
}

static int tlbi_va(Smmu *smmu, guint64 word0, guint64 word1)
{
    return command(smmu, 0x12 | (guint64)ASID << 48 | word0, word1);
}

static int cfgi_cd(Smmu *smmu, guint32 ssid, gboolean leaf)
{
    return command(smmu, 0x05 | (guint64)ssid << 12 | (guint64)VSID << 32, leaf);
}

static int cfgi_cd_all(Smmu *smmu)
{
    return command(smmu, 0x06 | (guint64)VSID << 32, 0);
}

/* The next event's words, or FALSE. */
static gboolean next_event(Smmu *smmu, guint64 words[4])
{
    struct {
        struct iommufd_vevent_header header;
        guint64 words[4];
    } event;
    const ViommuSeam *seam = smmu->rig.seam;

    if (seam->ops->read(seam->data, smmu->events, &event, sizeof(event)) !=
        (ssize_t)sizeof(event))
        return FALSE;
    memcpy(words, event.words, sizeof(event.words));
    return TRUE;
}

static guint event_type(Smmu *smmu)
{
    guint64 words[4];

    return next_event(smmu, words) ? (guint)(words[0] & 0xff) : 0;
}

static gint64 peek(Smmu *smmu, guint64 iova, gint ssid, ViommuEmulatorCache *ret_cache)
{
    const ViommuEmulatorAccess access = {
        .iova = iova, .has_pasid = ssid >= 0, .pasid = ssid >= 0 ? (guint32)ssid : 0};

    return rig_peek(&smmu->rig, 0, &access, ret_cache);
}

static int dma(Smmu *smmu, guint64 iova, gint ssid, gboolean write)
{
    const ViommuEmulatorAccess access = {.iova = iova,
                                         .write = write,
                                         .has_pasid = ssid >= 0,
                                         .pasid = ssid >= 0 ? (guint32)ssid : 0};
    guint64 value = 0;

    return rig_access(&smmu->rig, 0, &access, &value);
}

static const ViommuEmulatorDeviceConfig full_device = {.iommu_group = -1,
                                                       .pasid_bits = 10,
                                                       .pasid_privileged = TRUE,
                                                       .pasid_exec = TRUE,
                                                       .ats = TRUE};
static const ViommuEmulatorDeviceConfig plain_device = {.iommu_group = -1};

static void test_substreams(void)
{
    guint64 words[4];
    guint64 table;
    guint64 root[2];
    guint64 page[2];
    Smmu smmu;

    init(&smmu, &full_device);
    table = rig_alloc(&smmu.rig, 4096);
    for (guint i = 0; i < 2; i++) {
        root[i] = rig_alloc(&smmu.rig, 4096);
        page[i] = rig_alloc(&smmu.rig, 4096);
        *page_for(&smmu, root[i], IOVA) = page[i] | DESC_PAGE | DESC_USER;
    }
    write_cd(&smmu, table, root[0], 0, FALSE, ASID);
    write_cd(&smmu, table + 64 * 3, root[1], 0, FALSE, ASID + 1);

    tap_is(install(&smmu, table, FMT_LINEAR, 2, S1DSS_SSID0, FALSE), 0,
           "a table of 4 CDs, S1DSS 2");
    tap_is(peek(&smmu, IOVA, -1, NULL), (gint64)page[0], "no SubstreamID takes CD 0");
    tap_is(peek(&smmu, IOVA, 3, NULL), (gint64)page[1], "SubstreamID 3 takes CD 3");
    tap_is(dma(&smmu, IOVA, 3, TRUE), 0, "and goes through");
    tap_is(dma(&smmu, IOVA, 0, FALSE), -EFAULT, "SubstreamID 0 is refused there");
    tap_ok(next_event(&smmu, words), "with an event");
    tap_is((gint64)words[0], C_BAD_SUBSTREAMID | 1 << 11 | (gint64)VSID << 32,
           "C_BAD_SUBSTREAMID with SSV");
    tap_is(dma(&smmu, IOVA, 4, FALSE), -EFAULT, "SubstreamID 4 is outside the table");
    next_event(&smmu, words);
    tap_is((gint64)words[0], C_BAD_SUBSTREAMID | 1 << 11 | 4 << 12 | (gint64)VSID << 32,
           "likewise");
    tap_is(dma(&smmu, IOVA, 1, FALSE), -EFAULT, "CD 1 is not valid");
    tap_is(event_type(&smmu), C_BAD_CD, "C_BAD_CD");
    tap_is(dma(&smmu, IOVA + 0x5000, 3, TRUE), -EFAULT, "what CD 3 does not map");
    next_event(&smmu, words);
    tap_is((gint64)words[0], F_TRANSLATION | 1 << 11 | 3 << 12 | (gint64)VSID << 32,
           "faults with its SubstreamID");
    tap_is((gint64)words[2], IOVA + 0x5000, "and the address");

    tap_is(install(&smmu, table, FMT_LINEAR, 2, S1DSS_TERMINATE, FALSE), 0, "S1DSS 0");
    tap_is(dma(&smmu, IOVA, -1, FALSE), -EFAULT, "refuses what has no SubstreamID");
    next_event(&smmu, words);
    tap_is((gint64)words[0], F_STREAM_DISABLED | (gint64)VSID << 32, "F_STREAM_DISABLED");
    tap_is(peek(&smmu, IOVA, 0, NULL), (gint64)page[0], "and takes SubstreamID 0");

    tap_is(install(&smmu, table, FMT_LINEAR, 2, S1DSS_BYPASS, FALSE), 0, "S1DSS 1");
    tap_is(peek(&smmu, page[1], -1, NULL), (gint64)page[1], "passes it by");
    tap_is(peek(&smmu, IOVA, 3, NULL), (gint64)page[1], "not what has one");

    tap_is(install(&smmu, table, FMT_LINEAR, 0, S1DSS_TERMINATE, FALSE), 0, "one CD");
    tap_is(peek(&smmu, IOVA, -1, NULL), (gint64)page[0], "S1DSS says nothing then");
    tap_is(dma(&smmu, IOVA, 3, FALSE), -EFAULT, "no SubstreamIDs");
    tap_is(event_type(&smmu), C_BAD_SUBSTREAMID, "C_BAD_SUBSTREAMID");
    rig_clear(&smmu.rig);

    init(&smmu, &plain_device);
    table = rig_alloc(&smmu.rig, 4096);
    install(&smmu, table, FMT_LINEAR, 2, S1DSS_SSID0, FALSE);
    tap_is(dma(&smmu, IOVA, 3, FALSE), -EFAULT, "a device without PASIDs sends none");
    tap_is(event_type(&smmu), 0, "so there is nothing to record");
    rig_clear(&smmu.rig);
}

static void test_privilege(void)
{
    ViommuEmulatorAccess access = {
        .iova = IOVA, .has_pasid = TRUE, .pasid = 1, .privileged = TRUE};
    guint64 value = 0;
    guint64 words[4];
    guint64 table;
    guint64 root;
    guint64 page;
    Smmu smmu;

    init(&smmu, &full_device);
    table = rig_alloc(&smmu.rig, 4096);
    root = rig_alloc(&smmu.rig, 4096);
    page = rig_alloc(&smmu.rig, 4096);
    write_cd(&smmu, table + 64, root, 0, FALSE, ASID);
    *page_for(&smmu, root, IOVA) = page | DESC_PAGE | DESC_PRIV | DESC_RO;
    install(&smmu, table, FMT_LINEAR, 1, S1DSS_SSID0, FALSE);
    tap_is(rig_access(&smmu.rig, 0, &access, &value), 0,
           "a privileged transaction reads a privileged page");
    access.write = TRUE;
    tap_is(rig_access(&smmu.rig, 0, &access, &value), -EFAULT, "but writes none read-only");
    next_event(&smmu, words);
    tap_ok((words[0] & 0xff) == F_PERMISSION && (words[1] & 1ULL << 33) &&
               !(words[1] & 1ULL << 35),
           "F_PERMISSION of a privileged write");
    tap_is(dma(&smmu, IOVA, 1, FALSE), -EFAULT, "an unprivileged one may not read it");
    next_event(&smmu, words);
    tap_ok(!(words[1] & 1ULL << 33) && (words[1] & 1ULL << 35), "as the event says");
    access.write = FALSE;
    access.exec = TRUE;
    tap_is(rig_access(&smmu.rig, 0, &access, &value), 0, "a privileged fetch is allowed");
    *page_for(&smmu, root, IOVA) |= 1ULL << 53;
    tlbi_all(&smmu);
    tap_is(rig_access(&smmu.rig, 0, &access, &value), -EFAULT, "but for PXN");
    next_event(&smmu, words);
    tap_ok((words[0] & 0xff) == F_PERMISSION && (words[1] & 1ULL << 34),
           "and the event says it was one");
    rig_clear(&smmu.rig);
}

static void test_two_level(void)
{
    static const struct {
        guint format;
        guint bits;
        guint64 size;
    } formats[] = {{FMT_4K_L2, 6, 4096}, {FMT_64K_L2, 10, 65536}};

    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        /* One in the first level 2 table, one in the second. */
        guint ssids[2] = {5, (1U << formats[i].bits) + 9};
        ViommuEmulatorDeviceConfig device = full_device;
        guint64 l1;
        guint64 l2[2];
        guint64 other;
        guint64 root;
        guint64 page;
        Smmu smmu;

        device.pasid_bits = 16;
        init(&smmu, &device);
        l1 = rig_alloc(&smmu.rig, 4096);
        root = rig_alloc(&smmu.rig, 4096);
        page = rig_alloc(&smmu.rig, 4096);
        *page_for(&smmu, root, IOVA) = page | DESC_PAGE | DESC_USER;
        for (guint j = 0; j < 2; j++) {
            l2[j] = rig_alloc(&smmu.rig, formats[i].size);
            rig_word(&smmu.rig, l1)[j] = l2[j] | 1;
            write_cd(&smmu, l2[j] + 64 * (ssids[j] & ((1U << formats[i].bits) - 1)), root,
                     0, FALSE, ASID);
        }
        tap_is(install(&smmu, l1, formats[i].format, 13, S1DSS_SSID0, FALSE), 0,
               "a two-level table, S1Fmt %u", formats[i].format);
        tap_is(dma(&smmu, IOVA, (gint)ssids[0], FALSE), 0, "a CD of its first half");
        tap_is(dma(&smmu, IOVA, (gint)ssids[1], FALSE), 0, "and of its second");
        tap_is(dma(&smmu, IOVA, 3 << formats[i].bits, FALSE), -EFAULT,
               "a level 1 entry that is not valid");
        tap_is(event_type(&smmu), C_BAD_SUBSTREAMID, "is C_BAD_SUBSTREAMID");
        tap_is(dma(&smmu, IOVA, 1 << 13, FALSE), -EFAULT, "as is what S1CDMax leaves out");
        tap_is(event_type(&smmu), C_BAD_SUBSTREAMID, "by its event");

        other = rig_alloc(&smmu.rig, formats[i].size);
        rig_word(&smmu.rig, l1)[0] = other | 1;
        tap_is(dma(&smmu, IOVA, (gint)ssids[0], FALSE), 0, "a replaced table is not seen");
        cfgi_cd(&smmu, ssids[0], TRUE);
        tap_is(dma(&smmu, IOVA, (gint)ssids[0], FALSE), 0,
               "nor after CFGI_CD of the leaf: level 1 is cached");
        cfgi_cd(&smmu, ssids[0], FALSE);
        tap_is(dma(&smmu, IOVA, (gint)ssids[0], FALSE), -EFAULT, "but without Leaf it is");
        tap_is(event_type(&smmu), C_BAD_CD, "and its CD is not valid");
        rig_word(&smmu.rig, l1)[0] = l2[0] | 1;
        cfgi_cd_all(&smmu);
        tap_is(dma(&smmu, IOVA, (gint)ssids[0], FALSE), 0, "CFGI_CD_ALL drops both levels");
        rig_clear(&smmu.rig);
    }
}

static int atc_inv(Smmu *smmu, guint64 word0, guint64 addr, guint size)
{
    return command(smmu, 0x40 | (guint64)VSID << 32 | word0, addr | size);
}

static void test_ats(void)
{
    const guint64 ssv = 1 << 11;
    const guint64 global = 1 << 9;
    ViommuEmulatorCache cache = VIOMMU_EMULATOR_CACHE_NONE;
    guint64 table;
    guint64 root;
    guint64 page;
    Smmu smmu;

    init(&smmu, &full_device);
    table = rig_alloc(&smmu.rig, 4096);
    root = rig_alloc(&smmu.rig, 4096);
    page = rig_alloc(&smmu.rig, 8192);
    write_cd(&smmu, table, root, 0, FALSE, ASID);
    write_cd(&smmu, table + 64, root, 0, FALSE, ASID);
    *page_for(&smmu, root, IOVA) = page | DESC_PAGE | DESC_USER;
    tap_is(install(&smmu, table, FMT_LINEAR, 1, S1DSS_SSID0, TRUE), 0, "a STE with EATS");
    dma(&smmu, IOVA, -1, FALSE);
    dma(&smmu, IOVA, 1, FALSE);
    tap_is(peek(&smmu, IOVA, -1, &cache), (gint64)page, "what was used");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_ATC, "the device keeps");
    *page_for(&smmu, root, IOVA) = (page + 0x1000) | DESC_PAGE | DESC_USER;
    tlbi_all(&smmu);
    cfgi_cd_all(&smmu);
    tap_is(peek(&smmu, IOVA, -1, NULL), (gint64)page, "whatever the SMMU is told");
    tap_is(atc_inv(&smmu, ssv | 7 << 12, 0, 52), 0, "an ATC_INV of another SubstreamID");
    tap_is(peek(&smmu, IOVA, 1, NULL), (gint64)page, "does not reach it");
    atc_inv(&smmu, ssv | 1 << 12, IOVA + 0x1000, 0);
    tap_is(peek(&smmu, IOVA, 1, NULL), (gint64)page, "nor one of the next page");
    atc_inv(&smmu, ssv | 1 << 12, IOVA, 0);
    tap_is(peek(&smmu, IOVA, 1, NULL), (gint64)page + 0x1000, "its own does");
    tap_is(peek(&smmu, IOVA, -1, NULL), (gint64)page, "and spares what has none");
    dma(&smmu, IOVA, 1, FALSE);
    atc_inv(&smmu, ssv | global, 0, 52);
    peek(&smmu, IOVA, 1, &cache);
    tap_is(cache, VIOMMU_EMULATOR_CACHE_TLB, "a global one reaches every SubstreamID");
    tap_is(peek(&smmu, IOVA, -1, NULL), (gint64)page, "and still spares what has none");
    dma(&smmu, IOVA, 1, FALSE);
    *page_for(&smmu, root, IOVA) = page | DESC_PAGE | DESC_USER;
    tlbi_all(&smmu);
    atc_inv(&smmu, 0, IOVA & ~0xffffULL, 4);
    tap_is(peek(&smmu, IOVA, -1, &cache), (gint64)page, "without SSV");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_NONE, "64 KiB around it");
    tap_is(peek(&smmu, IOVA, 1, &cache), (gint64)page, "are forgotten");
    tap_is(cache, VIOMMU_EMULATOR_CACHE_NONE, "with SubstreamIDs too");

    dma(&smmu, IOVA, -1, FALSE);
    *page_for(&smmu, root, IOVA) = 0;
    rig_unmap(&smmu.rig, smmu.rig.ioas, RIG_RAM_BASE, RIG_RAM_SIZE);
    rig_map(&smmu.rig, smmu.rig.ioas, RIG_RAM_BASE, smmu.rig.ram, RIG_RAM_SIZE,
            IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE);
    tap_is(peek(&smmu, IOVA, -1, NULL), -EFAULT, "an unmap of stage 2 empties it");
    *page_for(&smmu, root, IOVA) = page | DESC_PAGE | DESC_USER;
    tap_is(install(&smmu, table, FMT_LINEAR, 1, S1DSS_SSID0, FALSE), 0, "without EATS");
    dma(&smmu, IOVA, -1, FALSE);
    peek(&smmu, IOVA, -1, &cache);
    tap_is(cache, VIOMMU_EMULATOR_CACHE_TLB, "only the SMMU remembers");
    rig_clear(&smmu.rig);
}

static void test_granules(void)
{
    static const struct {
        guint tg0;
        guint block_level;
        guint block_shift;
    } granules[] = {{0, 2, 21}, {2, 2, 25}, {1, 2, 29}};

    for (guint i = 0; i < G_N_ELEMENTS(granules); i++) {
        guint granule = log2_granule(granules[i].tg0);
        const char *name = granule == 12 ? "4 KiB" : granule == 14 ? "16 KiB" : "64 KiB";
        guint64 block = 1ULL << granules[i].block_shift;
        guint64 low = 5 * block;
        guint64 high = 0xffff000000000000ULL + low;
        guint64 table;
        guint64 root;
        guint64 page;
        Smmu smmu;

        init(&smmu, &plain_device);
        table = rig_alloc(&smmu.rig, 4096);
        root = rig_alloc(&smmu.rig, 1UL << granule);
        page = rig_alloc(&smmu.rig, 1UL << granule);
        write_cd(&smmu, table, root, granules[i].tg0, FALSE, ASID);
        *desc_for(&smmu, root, granule, 3, low) = page | DESC_PAGE | DESC_USER;
        *desc_for(&smmu, root, granule, granules[i].block_level, 8 * block) =
            (RIG_RAM_BASE & ~(block - 1)) | DESC_BLOCK | DESC_USER;
        install(&smmu, table, FMT_LINEAR, 0, 0, FALSE);
        tap_is(peek(&smmu, low + (1U << granule) - 8, -1, NULL),
               (gint64)page + (1 << granule) - 8, "a page of %s", name);
        tap_is(dma(&smmu, low, -1, TRUE), 0, "is written");
        tap_is(peek(&smmu, 8 * block + (RIG_RAM_BASE & (block - 1)), -1, NULL),
               RIG_RAM_BASE, "a block");
        *desc_for(&smmu, root, granule, 3, 16 * block) = page | DESC_BLOCK | DESC_USER;
        tap_is(dma(&smmu, 16 * block, -1, FALSE), -EFAULT, "no block at level 3");
        tap_is(event_type(&smmu), F_TRANSLATION, "F_TRANSLATION");
        tap_is(dma(&smmu, high, -1, FALSE), -EFAULT, "the upper half is off");
        tap_is(event_type(&smmu), F_TRANSLATION, "F_TRANSLATION");
        write_cd(&smmu, table, root, granules[i].tg0, TRUE, ASID);
        cfgi_cd_all(&smmu);
        tlbi_all(&smmu);
        tap_is(peek(&smmu, high, -1, NULL), (gint64)page, "by TTB1 it is on");
        tap_is(peek(&smmu, low, -1, NULL), -EFAULT, "and the lower half off");
        rig_clear(&smmu.rig);
    }
}

static void test_ranges(void)
{
    const guint64 leaf = 1;
    const guint64 tg = 1 << 10; /* 4 KiB */
    guint64 table;
    guint64 root;
    guint64 pages;
    guint64 other;
    Smmu smmu;

    init(&smmu, &plain_device);
    table = rig_alloc(&smmu.rig, 4096);
    root = rig_alloc(&smmu.rig, 4096);
    pages = rig_alloc(&smmu.rig, 8192);
    write_cd(&smmu, table, root, 0, FALSE, ASID);
    install(&smmu, table, FMT_LINEAR, 0, 0, FALSE);
    for (guint i = 0; i < 8; i++) {
        *page_for(&smmu, root, IOVA + i * 0x1000) = pages | DESC_PAGE | DESC_USER;
        dma(&smmu, IOVA + i * 0x1000, -1, FALSE);
        *page_for(&smmu, root, IOVA + i * 0x1000) =
            (pages + 0x1000) | DESC_PAGE | DESC_USER;
    }
    /* (NUM + 1) << SCALE: 3 << 1 pages */
    tap_is(tlbi_va(&smmu, 2 << 12 | 1 << 20, IOVA | tg | leaf), 0, "a range of 6 pages");
    tap_is(peek(&smmu, IOVA + 0x5000, -1, NULL), (gint64)pages + 0x1000, "reaches the 6th");
    tap_is(peek(&smmu, IOVA + 0x6000, -1, NULL), (gint64)pages, "and not the 7th");
    tap_is(tlbi_va(&smmu, 0, (IOVA + 0x6000) | tg | leaf | 2 << 8), 0, "TTL says level 2");
    tap_is(peek(&smmu, IOVA + 0x6000, -1, NULL), (gint64)pages, "which this is not");
    tlbi_va(&smmu, 0, (IOVA + 0x6000) | tg | leaf | 3 << 8);
    tap_is(peek(&smmu, IOVA + 0x6000, -1, NULL), (gint64)pages + 0x1000, "level 3 it is");
    tap_is(tlbi_va(&smmu, 1 << 12, IOVA | leaf), -EIO, "a range without a granule");
    tap_is(tlbi_va(&smmu, 0, IOVA | tg), -EIO, "a granule without a range");

    /* Another last level table. */
    other = rig_alloc(&smmu.rig, 4096);
    *rig_word(&smmu.rig, other + 8 * (IOVA >> 12 & 511)) = pages | DESC_PAGE | DESC_USER;
    dma(&smmu, IOVA, -1, FALSE);
    *desc_for(&smmu, root, 12, 2, IOVA) = other | DESC_PAGE;
    tlbi_va(&smmu, 0, IOVA | leaf);
    tap_is(peek(&smmu, IOVA, -1, NULL), (gint64)pages + 0x1000,
           "a leaf TLBI leaves the walk cache");
    tlbi_va(&smmu, 0, IOVA);
    tap_is(peek(&smmu, IOVA, -1, NULL), (gint64)pages, "one without Leaf does not");
    rig_clear(&smmu.rig);
}

/* PASIDs in the kernel's own CD table. */
static void test_host_pasids(void)
{
    guint32 first = 0;
    guint32 with = 0;
    guint64 table;
    Smmu smmu;

    init(&smmu, &full_device);
    table = rig_alloc(&smmu.rig, 4096);
    rig_hwpt(&smmu.rig, 0, smmu.rig.ioas, IOMMU_HWPT_ALLOC_PASID, 0, NULL, 0, 0, &first);
    rig_hwpt(&smmu.rig, 0, smmu.rig.ioas, IOMMU_HWPT_ALLOC_PASID, 0, NULL, 0, 0, &with);
    tap_is(rig_attach(&smmu.rig, 0, 7, with), 0, "a PASID of a blocked device");
    tap_is(peek(&smmu, RIG_RAM_BASE, 7, NULL), RIG_RAM_BASE, "goes through");
    tap_is(peek(&smmu, RIG_RAM_BASE, -1, NULL), -EFAULT, "the device itself does not");
    tap_is(rig_attach(&smmu.rig, 0, 0, smmu.parent), -EINVAL,
           "a nesting parent does not go with PASIDs");
    tap_is(install(&smmu, table, FMT_LINEAR, 0, 0, FALSE), -EINVAL,
           "nor a guest's stage 1");
    tap_is(rig_attach(&smmu.rig, 0, 0, first), 0, "a first stage does");
    tap_is(peek(&smmu, RIG_RAM_BASE, -1, NULL), RIG_RAM_BASE, "and goes through too");
    tap_is(rig_detach(&smmu.rig, 0, 7), 0, "the PASID is detached");
    tap_is(peek(&smmu, RIG_RAM_BASE, 7, NULL), -EFAULT, "and refused");
    tap_is(install(&smmu, table, FMT_LINEAR, 0, 0, FALSE), 0, "now stage 1 can come");
    rig_clear(&smmu.rig);
}

/* A container over a second stage, where there is no iommufd. */
static void test_container(void)
{
    const ViommuEmulatorDeviceConfig device = {.bdf = "0000:00:02.0", .iommu_group = 4};
    ViommuEmulator *emulator = viommu_emulator_new();
    const ViommuSeam *seam = viommu_emulator_get_seam(emulator);
    guint64 page[512 * 2] __attribute__((aligned(4096))) = {0};
    struct vfio_iommu_type1_dma_map map = {.argsz = sizeof(map),
                                           .flags = VFIO_DMA_MAP_FLAG_READ |
                                                    VFIO_DMA_MAP_FLAG_WRITE,
                                           .vaddr = (uintptr_t)page,
                                           .iova = IOVA,
                                           .size = 4096};
    struct vfio_iommu_type1_dma_unmap unmap = {
        .argsz = sizeof(unmap), .iova = IOVA, .size = 4096};
    ViommuEmulatorSmmuv3Config config;
    guint64 value = 5;
    int container;
    int group;

    viommu_emulator_smmuv3_defaults(&config);
    config.idr[0] &= ~2U; /* S1P */
    viommu_emulator_add_smmuv3(emulator, &config);
    viommu_emulator_add_device(emulator, &device, NULL);
    container = seam->ops->open(seam->data, "/dev/vfio/vfio", O_RDWR);
    group = seam->ops->open(seam->data, "/dev/vfio/4", O_RDWR);
    seam->ops->ioctl(seam->data, group, VFIO_GROUP_SET_CONTAINER, &container);
    tap_is(seam->ops->ioctl(seam->data, container, VFIO_SET_IOMMU,
                            (void *)(uintptr_t)VFIO_TYPE1v2_IOMMU),
           0, "a container on an SMMU with stage 2 only");
    tap_is(seam->ops->ioctl(seam->data, container, VFIO_IOMMU_MAP_DMA, &map), 0,
           "a mapping");
    tap_is(viommu_emulator_dma(emulator, device.bdf, IOVA, &value, 8, TRUE), 0, "is used");
    tap_is((gint64)page[0], 5, "and written");
    tap_is(seam->ops->ioctl(seam->data, container, VFIO_IOMMU_UNMAP_DMA, &unmap), 0,
           "and unmapped");
    tap_is(viommu_emulator_dma(emulator, device.bdf, IOVA, &value, 8, TRUE), -EFAULT,
           "and gone");
    viommu_emulator_free(emulator);
}

int main(void)
{
    test_substreams();
    test_privilege();
    test_two_level();
    test_ats();
    test_granules();
    test_ranges();
    test_host_pasids();
    test_container();
    return tap_done();
}
