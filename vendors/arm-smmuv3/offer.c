/* SPDX-License-Identifier: MIT */
/*
 * Which ID registers the guest sees (Arm IHI 0070, 6.3.1 to 6.3.6): what was asked for,
 * what the library implements, and what every host SMMU behind can do. Pure functions.
 *
 * AUTO is what all hosts have; with no host device, what the library implements. ON is
 * offered whatever the hosts have, so that the one that lacks it is refused at attach, by
 * viommui_smmuv3_check_caps() or here.
 *
 * Of the host's registers only those fields count that the kernel's uAPI vouches for:
 * - OAS is not one of them: it is what can be mapped over the nesting parents, which is
 *   known when a device has been attached. AUTO is up to 48 bits.
 * - ATS is the device's own: a device that cannot have it cannot be behind an SMMU that
 *   offers it, as if its host SMMU lacked it. With no host device, AUTO offers it to a
 *   VMM whose endpoints listen to translations_changed.
 */

#include "vsmmu.h"

enum { DEFAULT_STREAM_BITS = 16, MAX_STREAM_BITS = 24 };
enum { MAX_QUEUE_BITS = 19, MAX_SUBSTREAM_BITS = 20 };
enum { DEFAULT_ADDRESS_BITS = 48 };
enum { TTF_AARCH64 = 2, ST_LEVEL_2 = 1 };

/* IDR5.OAS by its encoding. */
static const guint8 address_bits[] = {32, 36, 40, 42, 44, 48};

static int encode_address_bits(guint bits)
{
    for (guint i = 0; i < G_N_ELEMENTS(address_bits); i++)
        if (address_bits[i] == bits)
            return (int)i;
    return -1;
}

static gboolean check_range(const char *name, int value, int min, int max, GError **error)
{
    if (value >= min && value <= max)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "%s %d is not %d to %d", name,
                value, min, max);
    return FALSE;
}

static gboolean check_services(const ViommuSmmuv3Config *config, GError **error)
{
    const ViommuServices *services = &config->services;
    const char *missing = NULL;

    if (!services->pulse_irq)
        missing = "pulse_irq";
    if (!services->send_msi && config->msi != VIOMMU_OFF)
        missing = "send_msi";
    if (!services->write_memory)
        missing = "write_memory";
    if (!services->read_memory)
        missing = "read_memory";
    if (!missing)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "the service %s is missing",
                missing);
    return FALSE;
}

gboolean viommui_smmuv3_check_config(const ViommuSmmuv3Config *config, GError **error)
{
    if (!check_services(config, error) ||
        !check_range("substream_bits", config->substream_bits, -1, MAX_SUBSTREAM_BITS,
                     error) ||
        !check_range("stream_bits", config->stream_bits, 0, MAX_STREAM_BITS, error) ||
        !check_range("command_queue_bits", config->command_queue_bits, 0, MAX_QUEUE_BITS,
                     error) ||
        !check_range("event_queue_bits", config->event_queue_bits, 0, MAX_QUEUE_BITS,
                     error))
        return FALSE;
    if (config->address_bits && encode_address_bits(config->address_bits) < 0) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "address_bits %u is none of 32, 36, 40, 42, 44 and 48",
                    config->address_bits);
        return FALSE;
    }
    if (config->granule_4k == VIOMMU_OFF && config->granule_16k == VIOMMU_OFF &&
        config->granule_64k == VIOMMU_OFF) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID, "every granule is off");
        return FALSE;
    }
    return TRUE;
}

/* The least that any host has in this field; `own` is what the library implements. */
static guint least(const ViommuHostDeviceInfo *const *hosts, guint n, guint reg,
                   ViommuiField field, guint own)
{
    for (guint i = 0; i < n; i++)
        own = MIN(own, viommui_field_get(hosts[i]->smmuv3.idr[reg], field));
    return own;
}

static gboolean decide(ViommuSwitch asked, gboolean possible)
{
    return asked == VIOMMU_ON || (asked == VIOMMU_AUTO && possible);
}

static gboolean can_have_ats(const ViommuSmmuv3Config *config,
                             const ViommuHostDeviceInfo *const *hosts, guint n)
{
    for (guint i = 0; i < n; i++)
        if (hosts[i]->ats_unavailable)
            return FALSE;
    return n || config->services.translations_changed;
}

static guint32 make_idr0(const ViommuSmmuv3Config *config,
                         const ViommuHostDeviceInfo *const *hosts, guint n, guint ssidsize)
{
    guint64 idr = 0;

    idr = viommui_field_set(idr, IDR0_S1P, 1);
    idr = viommui_field_set(idr, IDR0_TTF, TTF_AARCH64);
    idr = viommui_field_set(idr, IDR0_COHACC, 1);
    idr = viommui_field_set(idr, IDR0_ATS,
                            decide(config->ats, can_have_ats(config, hosts, n)));
    idr = viommui_field_set(idr, IDR0_ASID16,
                            decide(config->asid16, least(hosts, n, 0, IDR0_ASID16, 1)));
    idr = viommui_field_set(idr, IDR0_MSI, decide(config->msi, TRUE));
    /* RES0 where there are no substreams to have a table for. */
    idr = viommui_field_set(
        idr, IDR0_CD2L,
        decide(config->two_level_cd_table, ssidsize && least(hosts, n, 0, IDR0_CD2L, 1)));
    idr = viommui_field_set(idr, IDR0_TTENDIAN, TTENDIAN_LITTLE);
    idr = viommui_field_set(idr, IDR0_STALL_MODEL, STALL_MODEL_TERMINATE);
    idr = viommui_field_set(idr, IDR0_TERM_MODEL, 1);
    if (decide(config->two_level_stream_table, TRUE))
        idr = viommui_field_set(idr, IDR0_ST_LEVEL, ST_LEVEL_2);
    return idr;
}

static guint32 make_idr1(const ViommuSmmuv3Config *config, guint ssidsize)
{
    guint stream_bits = config->stream_bits ? config->stream_bits : DEFAULT_STREAM_BITS;
    guint cmdqs = config->command_queue_bits ? config->command_queue_bits : MAX_QUEUE_BITS;
    guint eventqs = config->event_queue_bits ? config->event_queue_bits : MAX_QUEUE_BITS;
    guint64 idr = 0;

    idr = viommui_field_set(idr, IDR1_SIDSIZE, stream_bits);
    idr = viommui_field_set(idr, IDR1_SSIDSIZE, ssidsize);
    idr = viommui_field_set(idr, IDR1_CMDQS, cmdqs);
    return viommui_field_set(idr, IDR1_EVENTQS, eventqs);
}

static guint32 make_idr5(const ViommuSmmuv3Config *config,
                         const ViommuHostDeviceInfo *const *hosts, guint n)
{
    guint bits = config->address_bits ? config->address_bits : DEFAULT_ADDRESS_BITS;
    guint64 idr = viommui_field_set(0, IDR5_OAS, encode_address_bits(bits));

    idr = viommui_field_set(idr, IDR5_GRAN4K,
                            decide(config->granule_4k, least(hosts, n, 5, IDR5_GRAN4K, 1)));
    idr =
        viommui_field_set(idr, IDR5_GRAN16K,
                          decide(config->granule_16k, least(hosts, n, 5, IDR5_GRAN16K, 1)));
    return viommui_field_set(
        idr, IDR5_GRAN64K,
        decide(config->granule_64k, least(hosts, n, 5, IDR5_GRAN64K, 1)));
}

void viommui_smmuv3_offer(const ViommuSmmuv3Config *config,
                          const ViommuHostDeviceInfo *const *hosts, guint n,
                          guint32 ret_idr[6])
{
    guint ssidsize = config->substream_bits >= 0
                         ? (guint)config->substream_bits
                         : least(hosts, n, 1, IDR1_SSIDSIZE, MAX_SUBSTREAM_BITS);

    ret_idr[0] = make_idr0(config, hosts, n, ssidsize);
    ret_idr[1] = make_idr1(config, ssidsize);
    ret_idr[2] = 0;
    ret_idr[3] = viommui_field_set(0, IDR3_RIL,
                                   decide(config->ril, least(hosts, n, 3, IDR3_RIL, 1)));
    ret_idr[4] = 0;
    ret_idr[5] = make_idr5(config, hosts, n);
}

void viommui_smmuv3_limit_address_bits(const ViommuSmmuv3Config *config, guint bits,
                                       guint32 idr[6])
{
    guint oas = viommui_field_get(idr[5], IDR5_OAS);

    if (config->address_bits)
        return;
    while (oas > 0 && address_bits[oas] > bits)
        oas--;
    idr[5] = viommui_field_set(idr[5], IDR5_OAS, oas);
}

gboolean viommui_smmuv3_check_address_bits(const guint32 idr[6], guint bits,
                                           ViommuHostDevice *device, GError **error)
{
    guint oas = address_bits[viommui_field_get(idr[5], IDR5_OAS)];

    if (oas <= bits)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "%s: the guest's SMMU has IDR5.OAS of %u bits, the host's %u",
                viommu_host_device_get_name(device), oas, bits);
    return FALSE;
}

gboolean viommui_smmuv3_check_device(const guint32 idr[6], ViommuHostDevice *device,
                                     GError **error)
{
    const ViommuHostDeviceInfo *info = viommu_host_device_get_info(device);
    const char *name = viommu_host_device_get_name(device);

    /* Whatever else there is in front of it the accel layer refuses. */
    if (info->type != VIOMMU_IOMMU_ARM_SMMUV3)
        return TRUE;
    if (viommui_field_get(idr[0], IDR0_ATS) && info->ats_unavailable) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s: the guest's SMMU has IDR0.ATS 1, the host's 0 for this device",
                    name);
        return FALSE;
    }
    if (!viommui_field_get(idr[5], IDR5_GRAN4K) &&
        !viommui_field_get(idr[5], IDR5_GRAN16K) &&
        !viommui_field_get(idr[5], IDR5_GRAN64K)) {
        guint32 host = info->smmuv3.idr[5];

        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "%s: the host's SMMU has IDR5.GRAN4K %u, GRAN16K %u, GRAN64K %u, and "
                    "the guest's could have none of them",
                    name, (guint)viommui_field_get(host, IDR5_GRAN4K),
                    (guint)viommui_field_get(host, IDR5_GRAN16K),
                    (guint)viommui_field_get(host, IDR5_GRAN64K));
        return FALSE;
    }
    return TRUE;
}
