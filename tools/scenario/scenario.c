/* SPDX-License-Identifier: MIT */
#include "scenario.h"

#include "dma.h"
#include "guest.h"

#include <viommu/smmuv3-accel.h>

#include <stdarg.h>
#include <string.h>

/* edu reaches 28 bits of address, and 0x8000000 on is the host's window for MSIs. */
enum { RAM_BASE = 0x1000000, RAM_SIZE = 0x400000, LOW_BASE = 0x100000, LOW_SIZE = 0x10000 };
enum { SID = 0x23, OTHER_SID = 0x1042, ASID = 5, OTHER_ASID = 6 };
/* Addresses of the device's own, in the guest's tables. */
enum { SOURCE = 0x3000, TARGET = 0x5000, READ_ONLY = 0x7000, UNMAPPED = 0x9000 };
enum {
    PATTERN = 0xa5,
    OLD = 0x11,
    SIZE = 64,
    BYPASS_CONFIG = 4,
    ABORT_CONFIG = 0,
    S2_CONFIG = 6
};

typedef struct {
    const ScenarioConfig *config;
    ScenarioReport report;
    void *user_data;
    gboolean all_ok;

    ViommuHost *host;
    ViommuHostDevice *device;
    ViommuSmmuv3Accel *accel;
    int event_fd;
    GuestMemory ram;
    GuestMemory low;
    GuestDomain domain;
    GuestDomain other;
    DmaDevice dma;
    guint64 source_page; /* guest-physical pages that the tables lead to */
    guint64 first_page;
    guint64 second_page;
    guint32 sid;
} Scenario;

static gboolean omitting(const Scenario *s, ScenarioOmission omission)
{
    return s->config->omit == omission;
}

static void step(Scenario *s, const char *id, const char *title, gboolean ok,
                 const char *format, ...) G_GNUC_PRINTF(5, 6);

static void step(Scenario *s, const char *id, const char *title, gboolean ok,
                 const char *format, ...)
{
    g_autofree char *detail = NULL;
    va_list args;

    va_start(args, format);
    detail = g_strdup_vprintf(format, args);
    va_end(args);
    s->report(&(ScenarioStep){id, title, ok, detail}, s->user_data);
    s->all_ok = s->all_ok && ok;
}

/* --- what the guest's driver does -------------------------------------------------------
 */

static ViommuResult install(Scenario *s, const guint8 *ste)
{
    return viommu_smmuv3_accel_install_ste(s->accel, s->sid, ste);
}

static ViommuResult install_config(Scenario *s, guint config)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];

    guest_ste_config(ste, config);
    return install(s, ste);
}

static ViommuResult install_s1(Scenario *s, const GuestDomain *domain)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];

    guest_ste_s1(ste, domain);
    return install(s, ste);
}

/* One command and a SYNC. */
static ViommuResult command_and_sync(Scenario *s, const guint8 *command)
{
    guint8 commands[2 * VIOMMU_SMMUV3_COMMAND_SIZE];
    gsize handled;

    memcpy(commands, command, VIOMMU_SMMUV3_COMMAND_SIZE);
    guest_cmd_sync(commands + VIOMMU_SMMUV3_COMMAND_SIZE);
    return viommu_smmuv3_accel_invalidate(s->accel, commands, 2, &handled);
}

static ViommuResult tlbi_va(Scenario *s, guint64 iova)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];

    guest_cmd_tlbi_va(command, ASID, iova);
    return command_and_sync(s, command);
}

static ViommuResult cfgi_cd_and_tlbi(Scenario *s)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];
    ViommuResult result;

    guest_cmd_cfgi_cd(command, s->sid);
    result = command_and_sync(s, command);
    guest_cmd_tlbi_asid(command, ASID);
    return result == VIOMMU_OK ? command_and_sync(s, command) : result;
}

/* --- what the device does, and what memory shows ----------------------------------------
 */

/* The device stores its buffer at an address; did it land in this page, and only there? */
static gboolean stores_into(Scenario *s, guint64 iova, guint64 page)
{
    const guint64 pages[] = {s->source_page, s->first_page, s->second_page};
    gboolean landed = FALSE;

    for (gsize i = 0; i < G_N_ELEMENTS(pages); i++)
        guest_memory_fill(&s->ram, pages[i], OLD, SIZE);
    if (!dma_store(&s->dma, iova, SIZE, NULL))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(pages); i++) {
        gboolean hit = guest_memory_is_filled(&s->ram, pages[i], PATTERN, SIZE);

        if (hit && pages[i] == page)
            landed = TRUE;
        else if (!guest_memory_is_filled(&s->ram, pages[i], OLD, SIZE))
            return FALSE;
    }
    return page ? landed : TRUE;
}

/* Nothing of guest memory changes, whatever address the device uses. */
static gboolean is_blocked(Scenario *s)
{
    return stores_into(s, TARGET, 0) && stores_into(s, s->first_page, 0);
}

/* The device's buffer holds the pattern, so that stores can be told from what was there. */
static gboolean load_pattern(Scenario *s, guint64 iova, guint64 page)
{
    guest_memory_fill(&s->ram, page, PATTERN, SIZE);
    return dma_load(&s->dma, iova, SIZE, NULL);
}

/* Wait for one event; FALSE: none came. */
static gboolean next_event(Scenario *s, guint8 *event)
{
    gsize n = 0;
    guint64 lost;
    struct pollfd fd = {.fd = s->event_fd, .events = POLLIN};

    if (omitting(s, SCENARIO_OMIT_EVENTS))
        return FALSE;
    s->config->seam->ops->poll(s->config->seam->data, &fd, 1, s->config->event_timeout_ms);
    return viommu_smmuv3_accel_read_events(s->accel, event, 1, &n, &lost) == VIOMMU_OK &&
           n == 1;
}

static void drain_events(Scenario *s)
{
    guint8 event[VIOMMU_SMMUV3_EVENT_SIZE];
    gsize n = 1;
    guint64 lost;

    while (n && viommu_smmuv3_accel_read_events(s->accel, event, 1, &n, &lost) == VIOMMU_OK)
        ;
}

/* --- the steps --------------------------------------------------------------------------
 */

static void play_abort_first(Scenario *s)
{
    step(s, "blocked", "before the guest says anything, DMA is refused", is_blocked(s),
         "no byte of guest memory changed");
}

static void play_bypass(Scenario *s)
{
    ViommuResult result = install_config(s, BYPASS_CONFIG);
    gboolean ok = result == VIOMMU_OK && load_pattern(s, s->source_page, s->source_page) &&
                  stores_into(s, s->first_page, s->first_page);

    step(s, "bypass", "a bypass entry: the device sees guest-physical addresses", ok,
         "install: %s; 0x%x -> 0x%x", viommu_result_name(result), (guint)s->first_page,
         (guint)s->first_page);
}

static void play_low_memory(Scenario *s)
{
    gboolean ok;

    guest_memory_fill(&s->low, LOW_BASE, OLD, SIZE);
    ok = dma_store(&s->dma, LOW_BASE, SIZE, NULL) &&
         guest_memory_is_filled(&s->low, LOW_BASE, PATTERN, SIZE);
    step(s, "address", "memory given by address is reached as memory given by memfd is", ok,
         "0x%x holds what the device stored", LOW_BASE);
}

static void play_stage1(Scenario *s)
{
    ViommuResult result;
    gboolean ok;

    guest_domain_map(&s->domain, SOURCE, s->source_page, TRUE);
    guest_domain_map(&s->domain, TARGET, s->first_page, TRUE);
    guest_domain_map(&s->domain, READ_ONLY, s->second_page, FALSE);
    result = omitting(s, SCENARIO_OMIT_STE) ? VIOMMU_OK : install_s1(s, &s->domain);
    ok = result == VIOMMU_OK && load_pattern(s, SOURCE, s->source_page) &&
         stores_into(s, TARGET, s->first_page);
    step(s, "stage1",
         "a stage-1 entry: DMA goes through the guest's table, then the host's", ok,
         "install: %s; IOVA 0x%x -> guest 0x%x", viommu_result_name(result), TARGET,
         (guint)s->first_page);
}

static void play_stale(Scenario *s)
{
    gboolean ok;

    guest_domain_map(&s->domain, TARGET, s->second_page, TRUE);
    ok = stores_into(s, TARGET, s->first_page);
    step(s, "stale",
         "the guest changes its table: until it invalidates, the old page is hit", ok,
         "IOVA 0x%x -> guest 0x%x still", TARGET, (guint)s->first_page);
}

static void play_fresh(Scenario *s)
{
    ViommuResult result =
        omitting(s, SCENARIO_OMIT_INVALIDATION) ? VIOMMU_OK : tlbi_va(s, TARGET);
    gboolean ok = result == VIOMMU_OK && stores_into(s, TARGET, s->second_page);

    step(s, "fresh", "the guest invalidates: the new page is hit", ok,
         "TLBI_NH_VA, SYNC: %s; IOVA 0x%x -> guest 0x%x", viommu_result_name(result),
         TARGET, (guint)s->second_page);
}

static void play_fault(Scenario *s, const char *id, const char *title, guint64 iova,
                       guint want)
{
    guint8 event[VIOMMU_SMMUV3_EVENT_SIZE] = {0};
    gboolean untouched, got, ok;

    drain_events(s);
    untouched = stores_into(s, iova, 0);
    got = next_event(s, event);
    ok = untouched && got && guest_event_id(event) == want &&
         guest_event_sid(event) == s->sid && guest_event_address(event) == iova;
    step(s, id, title, ok,
         got ? "event 0x%02x, StreamID 0x%x, address 0x%" G_GINT64_MODIFIER "x"
             : "no event (0x%02x, StreamID 0x%x, address 0x%" G_GINT64_MODIFIER "x)",
         guest_event_id(event), guest_event_sid(event), guest_event_address(event));
}

static void play_cd_change(Scenario *s)
{
    ViommuResult result;
    gboolean ok;

    /* The other domain's tables under this context descriptor. */
    guest_domain_map(&s->other, SOURCE, s->source_page, TRUE);
    guest_domain_map(&s->other, TARGET, s->first_page, TRUE);
    guest_domain_set_root(&s->domain, s->other.root);
    result = omitting(s, SCENARIO_OMIT_CFGI) ? VIOMMU_OK : cfgi_cd_and_tlbi(s);
    ok = result == VIOMMU_OK && stores_into(s, TARGET, s->first_page);
    step(s, "cd", "the context descriptor gets other tables, and CFGI_CD makes them count",
         ok, "CFGI_CD, TLBI_NH_ASID, SYNC: %s; IOVA 0x%x -> guest 0x%x",
         viommu_result_name(result), TARGET, (guint)s->first_page);
}

static void play_same_ste(Scenario *s)
{
    guint64 old_root = s->domain.root;
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];
    ViommuResult result;
    gboolean ok;

    guest_domain_set_root(&s->domain, guest_memory_alloc(&s->ram));
    guest_domain_map(&s->domain, TARGET, s->second_page, TRUE);
    result = omitting(s, SCENARIO_OMIT_CFGI) ? VIOMMU_OK : install_s1(s, &s->domain);
    guest_cmd_tlbi_asid(command, ASID);
    ok = result == VIOMMU_OK && command_and_sync(s, command) == VIOMMU_OK &&
         stores_into(s, TARGET, s->second_page);
    guest_domain_set_root(&s->domain, old_root);
    step(s, "same-ste",
         "CFGI_STE of an entry that has not changed drops its cached descriptors", ok,
         "install: %s; IOVA 0x%x -> guest 0x%x", viommu_result_name(result), TARGET,
         (guint)s->second_page);
}

static void play_replace(Scenario *s)
{
    ViommuResult result =
        omitting(s, SCENARIO_OMIT_STE) ? VIOMMU_OK : install_s1(s, &s->other);
    gboolean ok;

    ok = result == VIOMMU_OK && stores_into(s, TARGET, s->first_page);
    step(s, "replace", "an entry with another context descriptor replaces the first", ok,
         "install: %s; IOVA 0x%x -> guest 0x%x", viommu_result_name(result), TARGET,
         (guint)s->first_page);
}

static void play_abort(Scenario *s)
{
    ViommuResult result =
        omitting(s, SCENARIO_OMIT_ABORT) ? VIOMMU_OK : install_config(s, ABORT_CONFIG);

    step(s, "abort", "an abort entry: DMA is refused again",
         result == VIOMMU_OK && is_blocked(s),
         "install: %s; no byte of guest memory changed", viommu_result_name(result));
}

static void play_illegal(Scenario *s)
{
    ViommuResult first = install_s1(s, &s->other);
    ViommuResult result = install_config(s, S2_CONFIG);
    gboolean ok = first == VIOMMU_OK && result == VIOMMU_GUEST_INVALID && is_blocked(s);

    step(s, "illegal",
         "an illegal entry is refused, and the stream does not stay on its old table", ok,
         "install: %s; no byte of guest memory changed", viommu_result_name(result));
}

static void play_renumber(Scenario *s)
{
    g_autoptr(GError) error = NULL;
    gboolean ok = omitting(s, SCENARIO_OMIT_VDEVICE) ||
                  viommu_smmuv3_accel_set_stream_id(s->accel, s->device, OTHER_SID, &error);
    gboolean blocked = is_blocked(s);
    ViommuResult result;

    s->sid = OTHER_SID;
    result = install_s1(s, &s->other);
    ok = ok && blocked && result == VIOMMU_OK && stores_into(s, TARGET, s->first_page);
    step(s, "renumber",
         "the guest renumbers the device: it aborts, and works by its new StreamID", ok,
         "StreamID 0x%x: %s", OTHER_SID,
         error ? error->message : viommu_result_name(result));
}

static void play_release(Scenario *s)
{
    g_autoptr(GError) error = NULL;
    gboolean ok = viommu_smmuv3_accel_block(s->accel, &error) && is_blocked(s) &&
                  viommu_smmuv3_accel_release(s->accel, TRUE, &error) &&
                  stores_into(s, s->second_page, s->second_page);

    step(s, "reset", "reset: everything is blocked, then released to bypass", ok, "%s",
         error ? error->message : "blocked, then bypassing");
}

/* --- set-up and tear-down ---------------------------------------------------------------
 */

static void watch_fd(int fd, gboolean watch, void *user_data)
{
    Scenario *s = user_data;

    s->event_fd = watch ? fd : -1;
}

static gboolean open_host(Scenario *s, GError **error)
{
    const ViommuHostConfig config = {
        .backend = s->config->backend, .seam = s->config->seam, .iommufd = -1};
    const ViommuHostDeviceInfo *info;

    s->host = viommu_host_new(&config, error);
    if (!s->host)
        return FALSE;
    s->device = viommu_host_device_new_from_bdf(s->host, s->config->bdf, error);
    if (!s->device || !dma_device_init(&s->dma, s->config->seam, s->device, error))
        return FALSE;
    info = viommu_host_device_get_info(s->device);
    step(s, "device", "a device is taken over from the host",
         info->type == VIOMMU_IOMMU_ARM_SMMUV3, "%s, behind an SMMUv3 (IDR0 0x%08x)",
         s->config->bdf, info->smmuv3.idr[0]);
    return TRUE;
}

static gboolean lay_out_memory(Scenario *s, GError **error)
{
    if (!guest_memory_init(&s->ram, s->host, RAM_BASE, RAM_SIZE, TRUE, error) ||
        !guest_memory_init(&s->low, s->host, LOW_BASE, LOW_SIZE, FALSE, error))
        return FALSE;
    guest_domain_init(&s->domain, &s->ram, ASID);
    guest_domain_init(&s->other, &s->ram, OTHER_ASID);
    s->source_page = guest_memory_alloc(&s->ram);
    s->first_page = guest_memory_alloc(&s->ram);
    s->second_page = guest_memory_alloc(&s->ram);
    step(
        s, "memory", "guest memory is laid out", TRUE,
        "0x%x bytes at 0x%x by memfd, 0x%x at 0x%x by address; context descriptor at 0x%x, "
        "stage-1 table at 0x%x",
        RAM_SIZE, RAM_BASE, LOW_SIZE, LOW_BASE, (guint)s->domain.cd, (guint)s->domain.root);
    return TRUE;
}

static gboolean attach(Scenario *s, GError **error)
{
    ViommuSmmuv3AccelConfig config = {.watch_fd = watch_fd, .user_data = s};
    guint32 sid = omitting(s, SCENARIO_OMIT_VDEVICE) ? VIOMMU_SMMUV3_SID_UNKNOWN : SID;

    guest_idr(config.idr, viommu_host_device_get_info(s->device));
    s->accel = viommu_smmuv3_accel_new(s->host, &config, error);
    if (!s->accel || !viommu_smmuv3_accel_attach_device(s->accel, s->device, sid, error))
        return FALSE;
    s->sid = SID;
    step(s, "attach", "the device is put behind the guest's SMMUv3", s->event_fd >= 0,
         "StreamID 0x%x", sid);
    return TRUE;
}

static void play(Scenario *s)
{
    play_abort_first(s);
    play_bypass(s);
    play_low_memory(s);
    play_stage1(s);
    play_stale(s);
    play_fresh(s);
    play_fault(s, "event", "an address the guest has not mapped: refused, and an event",
               UNMAPPED, GUEST_EVENT_F_TRANSLATION);
    play_fault(s, "read-only", "a store to a page mapped read-only: refused, and an event",
               READ_ONLY, GUEST_EVENT_F_PERMISSION);
    play_cd_change(s);
    play_same_ste(s);
    play_replace(s);
    play_abort(s);
    play_illegal(s);
    play_renumber(s);
    play_fault(s, "new-id", "events carry the new StreamID", UNMAPPED,
               GUEST_EVENT_F_TRANSLATION);
    play_release(s);
}

gboolean scenario_run(const ScenarioConfig *config, ScenarioReport report, void *user_data,
                      GError **error)
{
    Scenario s = {.config = config,
                  .report = report,
                  .user_data = user_data,
                  .all_ok = TRUE,
                  .event_fd = -1};
    gboolean ready = open_host(&s, error) && lay_out_memory(&s, error) && attach(&s, error);

    if (ready)
        play(&s);
    dma_device_clear(&s.dma);
    viommu_smmuv3_accel_free(s.accel);
    viommu_host_device_free(s.device);
    guest_memory_clear(&s.ram);
    guest_memory_clear(&s.low);
    viommu_host_free(s.host);
    return ready && s.all_ok;
}

const char *scenario_omission_name(ScenarioOmission omission)
{
    static const char *const names[] = {
        [SCENARIO_OMIT_NOTHING] = "nothing", [SCENARIO_OMIT_INVALIDATION] = "invalidation",
        [SCENARIO_OMIT_VDEVICE] = "vdevice", [SCENARIO_OMIT_STE] = "ste",
        [SCENARIO_OMIT_CFGI] = "cfgi",       [SCENARIO_OMIT_ABORT] = "abort",
        [SCENARIO_OMIT_EVENTS] = "events",
    };

    return names[omission];
}
