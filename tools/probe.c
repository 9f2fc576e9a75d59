/* SPDX-License-Identifier: MIT */
/*
 * viommu probe: what the host's IOMMUs can do for a guest, before there is one. For each
 * device that is bound to VFIO, or those that are named: what is in front of it, and what a
 * guest IOMMU of each vendor of this build would be offered there, or why not.
 *
 * The answer is that of the library itself: the device is put behind a guest IOMMU that
 * asks for all it can get, and its ID registers are read. The device is blocked meanwhile.
 *
 * Exit status: 0 something can be done for every device, 1 not, 2 wrong arguments.
 */

#include "commands.h"
#include "json.h"

#include <stdio.h>
#include <string.h>
#include <viommu-emulator/emulator.h>
#include <viommu/viommu.h>
#ifdef HAVE_INTEL
#include <viommu/vtd.h>
#endif
#ifdef HAVE_ARM_SMMUV3
#include <viommu/smmuv3.h>
#endif

typedef struct {
    gboolean json;
    gboolean emulator;
    char *backend;
    char **devices;
} Options;

/* What a guest IOMMU would be: its ID registers, or why there can be none. */
typedef struct {
    const char *vendor;
    char *registers; /* "CAP 0x... ECAP 0x..." */
    char *refusal;
} Offer;

/* --- guest IOMMUs -----------------------------------------------------------------------
 */

static gboolean no_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    (void)gpa;
    (void)data;
    (void)size;
    (void)user_data;
    return FALSE;
}

static gboolean no_write(guint64 gpa, const void *data, gsize size, void *user_data)
{
    (void)gpa;
    (void)data;
    (void)size;
    (void)user_data;
    return FALSE;
}

static gboolean no_swap(guint64 gpa, guint64 expected, guint64 desired, guint64 *ret_found,
                        void *user_data)
{
    (void)gpa;
    (void)expected;
    (void)desired;
    (void)ret_found;
    (void)user_data;
    return FALSE;
}

static gboolean no_msi(guint64 address, guint32 data, void *user_data)
{
    (void)address;
    (void)data;
    (void)user_data;
    return FALSE;
}

static void no_irq(guint line, void *user_data)
{
    (void)line;
    (void)user_data;
}

static const ViommuServices services = {
    .read_memory = no_memory,
    .write_memory = no_write,
    .compare_and_swap = no_swap,
    .send_msi = no_msi,
    .pulse_irq = no_irq,
};

static void refuse(Offer *offer, const GError *error)
{
    offer->refusal = g_strdup(error ? error->message : "no reason is given");
}

#ifdef HAVE_INTEL
static void ask_intel(ViommuHost *host, ViommuHostDevice *device, Offer *offer)
{
    const ViommuVtdConfig config = VIOMMU_VTD_CONFIG_INIT(services);
    g_autoptr(GError) error = NULL;
    ViommuVtd *vtd = viommu_vtd_new(&config, &error);

    (void)host;
    if (vtd && viommu_vtd_attach_device(vtd, device, 0x10, 0, &error))
        offer->registers = g_strdup_printf(
            "CAP 0x%016" G_GINT64_MODIFIER "x, ECAP 0x%016" G_GINT64_MODIFIER "x",
            viommu_vtd_read(vtd, 0x8, 8), viommu_vtd_read(vtd, 0x10, 8));
    else
        refuse(offer, error);
    viommu_vtd_free(vtd);
}
#endif

#ifdef HAVE_ARM_SMMUV3
static void ask_smmuv3(ViommuHost *host, ViommuHostDevice *device, Offer *offer)
{
    const ViommuSmmuv3Config config = VIOMMU_SMMUV3_CONFIG_INIT(services);
    g_autoptr(GError) error = NULL;
    ViommuSmmuv3 *smmu = viommu_smmuv3_new(host, &config, &error);

    if (smmu && viommu_smmuv3_attach_device(smmu, device, 0x10, &error)) {
        GString *text = g_string_new(NULL);

        for (guint i = 0; i < 6; i++)
            g_string_append_printf(text, "%sIDR%u 0x%08x", i ? ", " : "", i,
                                   (guint32)viommu_smmuv3_read(smmu, 4 * i, 4));
        offer->registers = g_string_free(text, FALSE);
    } else {
        refuse(offer, error);
    }
    viommu_smmuv3_free(smmu);
}
#endif

static const struct {
    const char *vendor;
    void (*ask)(ViommuHost *host, ViommuHostDevice *device, Offer *offer);
} vendors[] = {
#ifdef HAVE_INTEL
    {"intel", ask_intel},
#endif
#ifdef HAVE_ARM_SMMUV3
    {"arm-smmuv3", ask_smmuv3},
#endif
    {NULL, NULL},
};

/* --- devices ----------------------------------------------------------------------------
 */

static const char *iommu_name(ViommuIommuType type)
{
    switch (type) {
    case VIOMMU_IOMMU_INTEL_VTD:
        return "Intel VT-d";
    case VIOMMU_IOMMU_ARM_SMMUV3:
        return "Arm SMMUv3";
    case VIOMMU_IOMMU_NONE:
        return "not told by the host";
    default:
        return "of a kind not known here";
    }
}

static char *describe(const ViommuHostDeviceInfo *info)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "IOMMU %s; ", iommu_name(info->type));
    if (info->type == VIOMMU_IOMMU_INTEL_VTD)
        g_string_append_printf(
            text, "CAP 0x%016" G_GINT64_MODIFIER "x, ECAP 0x%016" G_GINT64_MODIFIER "x; ",
            info->vtd.cap, info->vtd.ecap);
    g_string_append_printf(text, "nesting %s, PASIDs of %u bits, dirty tracking %s, ATS %s",
                           info->can_nest ? "yes" : "no", info->pasid_bits,
                           info->dirty_tracking ? "yes" : "no",
                           info->ats_unavailable ? "no" : "maybe");
    if (info->read_only_refused)
        g_string_append(text, ", no read-only memory (erratum 772415)");
    for (gsize i = 0; i < info->n_reserved; i++)
        g_string_append_printf(text,
                               "; %s 0x%" G_GINT64_MODIFIER "x-0x%" G_GINT64_MODIFIER "x",
                               info->reserved[i].msi ? "MSI" : "reserved",
                               info->reserved[i].start, info->reserved[i].last);
    return g_string_free(text, FALSE);
}

static void print_offer(const Options *options, const Offer *offer)
{
    const char *what = offer->registers ? offer->registers : offer->refusal;

    if (options->json) {
        fputs(",\n      ", stdout);
        json_print_member(offer->vendor, what);
        printf(",\n      \"%s-ok\": %s", offer->vendor,
               offer->registers ? "true" : "false");
        return;
    }
    printf("  %-11s %s%s\n", offer->vendor,
           offer->registers ? "offers " : "refused: ", what);
}

/* TRUE: some vendor's guest can have it. */
static gboolean probe(const Options *options, ViommuHost *host, const char *bdf,
                      gboolean first)
{
    g_autoptr(GError) error = NULL;
    ViommuHostDevice *device = viommu_host_device_new_from_bdf(host, bdf, &error);
    g_autofree char *text =
        device ? describe(viommu_host_device_get_info(device)) : g_strdup(error->message);
    gboolean any = FALSE;

    if (options->json) {
        fputs(first ? "\n    {\n      " : ",\n    {\n      ", stdout);
        json_print_member("device", bdf);
        fputs(",\n      ", stdout);
        json_print_member(device ? "host" : "error", text);
    } else {
        printf("%s: %s\n", bdf, text);
    }
    for (gsize i = 0; device && vendors[i].vendor; i++) {
        Offer offer = {.vendor = vendors[i].vendor};

        vendors[i].ask(host, device, &offer);
        print_offer(options, &offer);
        any = any || offer.registers;
        g_free(offer.registers);
        g_free(offer.refusal);
    }
    if (options->json)
        fputs("\n    }", stdout);
    viommu_host_device_free(device);
    return any;
}

/* --- the command ------------------------------------------------------------------------
 */

static gint compare(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(char *const *)a, *(char *const *)b);
}

/* Its driver is one of VFIO's: vfio-pci, or a variant, which has the word in its name. */
static gboolean is_bound_to_vfio(const ViommuSeam *seam, const char *bdf)
{
    g_autofree char *path = g_strdup_printf("/sys/bus/pci/devices/%s/driver", bdf);
    char target[4096];
    g_autofree char *driver = NULL;

    if (seam->ops->read_link(seam->data, path, target, sizeof target) < 0)
        return FALSE;
    driver = g_path_get_basename(target);
    return strstr(driver, "vfio") != NULL;
}

static char **find_devices(const ViommuSeam *seam)
{
    GPtrArray *found = g_ptr_array_new();
    g_auto(GStrv) all = NULL;

    seam->ops->list_dir(seam->data, "/sys/bus/pci/devices", &all);
    for (gsize i = 0; all && all[i]; i++)
        if (is_bound_to_vfio(seam, all[i]))
            g_ptr_array_add(found, g_strdup(all[i]));
    g_ptr_array_sort(found, compare);
    g_ptr_array_add(found, NULL);
    return (char **)g_ptr_array_free(found, FALSE);
}

/* One device behind each kind of IOMMU. */
static ViommuEmulator *make_emulator(void)
{
    ViommuEmulator *emulator = viommu_emulator_new();
    ViommuEmulatorDeviceConfig device = {.bdf = "0000:00:02.0", .iommu_group = -1};
    ViommuEmulatorSmmuv3Config smmu;
    ViommuEmulatorVtdConfig vtd;

    viommu_emulator_vtd_defaults(&vtd);
    device.iommu = viommu_emulator_add_vtd(emulator, &vtd);
    viommu_emulator_add_device(emulator, &device, NULL);
    viommu_emulator_smmuv3_defaults(&smmu);
    device.iommu = viommu_emulator_add_smmuv3(emulator, &smmu);
    device.bdf = "0000:00:03.0";
    device.stream_id = 0x18;
    viommu_emulator_add_device(emulator, &device, NULL);
    return emulator;
}

/* By the backend that is asked for; else by the first that the host has. */
static ViommuHost *open_host(const Options *options, const ViommuSeam *seam,
                             const char **ret_backend, GError **error)
{
    const char *asked[] = {options->backend, NULL};
    const char *const *names = options->backend ? asked : viommu_backend_names();
    ViommuHost *host = NULL;

    for (gsize i = 0; names[i] && !host; i++) {
        const ViommuHostConfig config = {.backend = names[i], .seam = seam, .iommufd = -1};

        g_clear_error(error);
        *ret_backend = names[i];
        host = viommu_host_new(&config, error);
        if (!host && names[i + 1])
            fprintf(stderr, "viommu probe: %s\n", (*error)->message);
    }
    if (host)
        g_clear_error(error);
    return host;
}

static int probe_all(const Options *options, const ViommuSeam *seam)
{
    g_auto(GStrv) found = options->devices ? NULL : find_devices(seam);
    char **devices = options->devices ? options->devices : found;
    g_autoptr(GError) error = NULL;
    const char *backend;
    ViommuHost *host = open_host(options, seam, &backend, &error);
    gboolean ok = TRUE;

    if (!host) {
        fprintf(stderr, "viommu probe: %s\n", error->message);
        return 1;
    }
    if (options->json)
        printf("{\n  \"backend\": \"%s\",\n  \"devices\": [", backend);
    else
        printf("backend %s%s\n", backend,
               devices[0] ? "" : ": no device is bound to a VFIO driver");
    for (gsize i = 0; devices[i]; i++)
        ok &= probe(options, host, devices[i], i == 0);
    if (options->json)
        printf("\n  ],\n  \"ok\": %s\n}\n", ok ? "true" : "false");
    viommu_host_free(host);
    return ok ? 0 : 1;
}

int command_probe(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        {"json", 'j', 0, G_OPTION_ARG_NONE, &options.json, "Print JSON", NULL},
        {"backend", 'b', 0, G_OPTION_ARG_STRING, &options.backend,
         "How to reach the kernel (default: the first of viommu --version that it has)",
         "NAME"},
        {"device", 'd', 0, G_OPTION_ARG_STRING_ARRAY, &options.devices,
         "A PCI address; may be repeated. Without: all that are bound to VFIO", "BDF"},
        {"emulator", 'e', 0, G_OPTION_ARG_NONE, &options.emulator,
         "Ask the embedded emulator instead of the host", NULL},
        {NULL, 0, 0, 0, NULL, NULL, NULL},
    };
    g_autoptr(GOptionContext) context =
        g_option_context_new("- tell what the host's IOMMUs can do for a guest");
    g_autoptr(GError) error = NULL;
    ViommuEmulator *emulator;
    int status;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1) {
        fprintf(stderr, "viommu probe: %s\n",
                error ? error->message : "arguments that are no options");
        return 2;
    }
    emulator = options.emulator ? make_emulator() : NULL;
    status = probe_all(&options, emulator ? viommu_emulator_get_seam(emulator)
                                          : viommu_seam_system());
    viommu_emulator_free(emulator);
    g_free(options.backend);
    g_strfreev(options.devices);
    return status;
}
