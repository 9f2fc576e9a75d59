/* SPDX-License-Identifier: MIT */
#include "vtd-bench.h"

#include <string.h>
#include <sys/mman.h>

enum { PAGE = 0x1000, PRESENT_WRITABLE_USER = 7, MARKER = 0x5af0 };

static const char *const bdfs[BENCH_DEVICES] = {"0000:00:02.0", "0000:00:03.0"};

static void traced(const ViommuTraceRecord *record, void *user_data)
{
    Bench *b = user_data;

    if (record->point != VIOMMU_TRACE_REFUSED)
        return;
    g_free(b->refusal);
    b->refusal = g_strdup(record->message);
}

static guint add_unit(Bench *b, const BenchOptions *options, guint64 lacks)
{
    ViommuEmulatorVtdConfig config;

    viommu_emulator_vtd_defaults(&config);
    config.ecap &= ~lacks;
    config.without_errata_772415 = options->no_erratum;
    return viommu_emulator_add_vtd(b->emulator, &config);
}

static void add_devices(Bench *b, const BenchOptions *options)
{
    guint unit = add_unit(b, options, 0);

    for (guint i = 0; i < b->n_devices; i++) {
        ViommuEmulatorDeviceConfig device = {
            .bdf = bdfs[i],
            .iommu = i && options->two_units ? add_unit(b, options, options->second_lacks)
                                             : unit,
            .stream_id = 0x10 + i,
            .iommu_group = options->group,
            .pasid_bits = BENCH_PASID_BITS,
            .ats = TRUE,
            .pri = !options->no_pri,
        };

        b->bdfs[i] = bdfs[i];
        viommu_emulator_add_device(b->emulator, &device, NULL);
    }
}

void bench_init(Bench *b, const BenchOptions *options)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    g_autoptr(GError) error = NULL;

    *b = (Bench){.emulator = viommu_emulator_new(), .n_devices = options->n_devices};
    add_devices(b, options);
    spy_init(&b->spy, viommu_emulator_get_seam(b->emulator));
    b->seam = config.seam = &b->spy.seam;
    b->host = viommu_host_new(&config, &error);
    viommu_host_set_trace(b->host, traced, b);
    b->ram = mmap(NULL, BENCH_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    b->next_free = BENCH_RAM_BASE;
    viommu_host_map(b->host, BENCH_RAM_BASE, BENCH_RAM_SIZE, b->ram,
                    VIOMMU_MAP_READ | VIOMMU_MAP_WRITE, &error);
    for (guint i = 0; i < b->n_devices && !error; i++)
        b->devices[i] = viommu_host_device_new_from_bdf(b->host, bdfs[i], &error);
    if (error)
        tap_ok(FALSE, "a bench to work at: %s", error->message);
    for (guint i = 0; i < BENCH_DOMAINS; i++) {
        BenchDomain *domain = &b->domains[i];

        domain->root = bench_alloc(b);
        domain->page = bench_alloc(b);
        domain->s1 = (ViommuiVtdStage1){.table = domain->root, .address_width = 48};
        domain->stage1 = (ViommuiStage1){&domain->s1, sizeof domain->s1, FALSE};
        domain->with_requests = (ViommuiStage1){&domain->s1, sizeof domain->s1, TRUE};
        *bench_word(b, domain->page) = MARKER + i;
        bench_restore(b, i);
    }
}

void bench_clear(Bench *b)
{
    for (guint i = 0; i < b->n_devices; i++)
        viommu_host_device_free(b->devices[i]);
    viommu_host_free(b->host);
    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        tap_is(bench_count(b, kind), 0, "in the end no %s is left",
               viommu_emulator_object_name(kind));
    spy_clear(&b->spy);
    viommu_emulator_free(b->emulator);
    munmap(b->ram, BENCH_RAM_SIZE);
    g_free(b->refusal);
}

ViommuiHostViommu *bench_viommu(Bench *b, guint n, gboolean pasids, gboolean page_requests)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD,
                                            .nest = TRUE,
                                            .pasids = pasids,
                                            .page_requests = page_requests};
    g_autoptr(GError) error = NULL;
    ViommuiHostViommu *hv = viommui_host_viommu_new(b->devices[n], &config, &error);

    if (!hv)
        tap_ok(FALSE, "a host vIOMMU: %s", error->message);
    return hv;
}

guint64 *bench_word(Bench *b, guint64 gpa)
{
    return (guint64 *)(void *)(b->ram + (gpa - BENCH_RAM_BASE));
}

guint64 bench_alloc(Bench *b)
{
    guint64 gpa = b->next_free;

    g_assert(gpa < BENCH_RAM_BASE + BENCH_RAM_SIZE);
    b->next_free += PAGE;
    memset(bench_word(b, gpa), 0, PAGE);
    return gpa;
}

void bench_map(Bench *b, guint domain, guint64 iova, guint64 gpa)
{
    guint64 table = b->domains[domain].root;
    guint64 *entry;

    for (guint level = 4;; level--) {
        entry = bench_word(b, table + 8 * (iova >> (3 + 9 * level) & 511));
        if (level == 1)
            break;
        if (!*entry)
            *entry = bench_alloc(b) | PRESENT_WRITABLE_USER;
        table = *entry & ~0xfffULL;
    }
    *entry = gpa ? gpa | PRESENT_WRITABLE_USER : 0;
}

void bench_restore(Bench *b, guint domain)
{
    bench_map(b, domain, BENCH_IOVA, b->domains[domain].page);
}

static int read_word(Bench *b, guint n, guint32 pasid, guint64 iova, guint64 *ret_value)
{
    const ViommuEmulatorAccess access = {
        .iova = iova,
        .has_pasid = pasid != VIOMMUI_NO_PASID,
        .pasid = pasid == VIOMMUI_NO_PASID ? 0 : pasid,
    };

    return viommu_emulator_dma_as(b->emulator, b->bdfs[n], &access, ret_value,
                                  sizeof *ret_value);
}

int bench_reads(Bench *b, guint n, guint32 pasid)
{
    guint64 value = 0;

    if (read_word(b, n, pasid, BENCH_IOVA, &value) == 0)
        return value >= MARKER && value < MARKER + BENCH_DOMAINS ? (int)(value - MARKER)
                                                                 : BENCH_ELSEWHERE;
    if (read_word(b, n, pasid, b->domains[0].page, &value) == 0)
        return value == MARKER ? BENCH_IDENTITY : BENCH_ELSEWHERE;
    return BENCH_REFUSED;
}

int bench_writes(Bench *b, guint n, guint32 pasid, guint64 iova, guint64 value)
{
    const ViommuEmulatorAccess access = {
        .iova = iova,
        .write = TRUE,
        .has_pasid = pasid != VIOMMUI_NO_PASID,
        .pasid = pasid == VIOMMUI_NO_PASID ? 0 : pasid,
    };

    return viommu_emulator_dma_as(b->emulator, b->bdfs[n], &access, &value, sizeof value);
}

guint bench_count(Bench *b, ViommuEmulatorObject kind)
{
    return viommu_emulator_count_objects(b->emulator, kind);
}

guint bench_hwpts(Bench *b)
{
    return bench_count(b, VIOMMU_EMULATOR_OBJECT_HWPT_NESTED);
}
