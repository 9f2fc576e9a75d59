/* SPDX-License-Identifier: MIT */
/*
 * Substreams of a host device: the guest's table of context descriptors, by which DMA with
 * a PASID goes its own way. No device of the VM has PASIDs, so this is for the emulator.
 */

#include <string.h>

#include <viommu-emulator/inspect.h>

#include <viommu/smmuv3-accel.h>

#include "guest.h"
#include "spy.h"
#include "tap.h"

enum { RAM = 0x1000000, RAM_SIZE = 0x100000, IOVA = 0x5000, SID = 3, N_CDS = 4 };
enum { SSIDSIZE = 4, S1CDMAX = 2, S1DSS_SSID0 = 2, CD_SIZE = 64 };
#define BDF      "0000:00:02.0"
#define NO_PASID G_MAXUINT32

typedef struct {
    ViommuEmulator *emulator;
    Spy spy;
    ViommuHost *host;
    ViommuHostDevice *device;
    ViommuSmmuv3Accel *accel;
    GuestMemory ram;
    GuestDomain domains[N_CDS];
    guint64 pages[N_CDS];
    guint64 table; /* of context descriptors */
} Rig;

static void add_hardware(Rig *r)
{
    ViommuEmulatorSmmuv3Config smmu;
    ViommuEmulatorDeviceConfig function = {
        .bdf = BDF, .stream_id = 0x77, .iommu_group = -1, .pasid_bits = SSIDSIZE};

    r->emulator = viommu_emulator_new();
    viommu_emulator_smmuv3_defaults(&smmu);
    smmu.idr[1] = (smmu.idr[1] & ~(0x1fu << 6)) | SSIDSIZE << 6;
    function.iommu = viommu_emulator_add_smmuv3(r->emulator, &smmu);
    viommu_emulator_add_device(r->emulator, &function, NULL);
    spy_init(&r->spy, viommu_emulator_get_seam(r->emulator));
}

/* The guest copies a domain's descriptor to where its substream has it. */
static void put_cd(Rig *r, guint ssid, const GuestDomain *domain)
{
    memcpy(guest_memory_at(&r->ram, r->table + ssid * CD_SIZE),
           guest_memory_at(&r->ram, domain->cd), CD_SIZE);
}

static void rig_init(Rig *r)
{
    ViommuHostConfig config = VIOMMU_HOST_CONFIG_INIT;
    ViommuSmmuv3AccelConfig accel = {0};
    g_autoptr(GError) error = NULL;

    *r = (Rig){0};
    add_hardware(r);
    config.seam = &r->spy.seam;
    r->host = viommu_host_new(&config, NULL);
    guest_memory_init(&r->ram, r->host, RAM, RAM_SIZE, FALSE, NULL);
    r->table = guest_memory_alloc(&r->ram);
    for (guint i = 0; i < N_CDS; i++) {
        guest_domain_init(&r->domains[i], &r->ram, 1 + i);
        r->pages[i] = guest_memory_alloc(&r->ram);
        guest_domain_map(&r->domains[i], IOVA, r->pages[i], TRUE);
        put_cd(r, i, &r->domains[i]);
    }
    r->device = viommu_host_device_new_from_bdf(r->host, BDF, NULL);
    guest_idr(accel.idr, viommu_host_device_get_info(r->device));
    accel.idr[1] |= SSIDSIZE << 6;
    r->accel = viommu_smmuv3_accel_new(r->host, &accel, NULL);
    tap_ok(viommu_smmuv3_accel_attach_device(r->accel, r->device, SID, &error),
           "a device with PASIDs, behind an SMMU with substreams");
    if (error)
        tap_note("%s", error->message);
}

static void rig_clear(Rig *r)
{
    viommu_smmuv3_accel_free(r->accel);
    viommu_host_device_free(r->device);
    guest_memory_clear(&r->ram);
    viommu_host_free(r->host);
    spy_clear(&r->spy);
    viommu_emulator_free(r->emulator);
}

/* Where a store with this PASID lands: the number of a page, or -1. */
static int lands(Rig *r, guint32 pasid)
{
    ViommuEmulatorAccess access = {.iova = IOVA,
                                   .write = TRUE,
                                   .has_pasid = pasid != NO_PASID,
                                   .pasid = pasid != NO_PASID ? pasid : 0};
    guint8 byte = 0x5c;
    int landed = -1;

    for (guint i = 0; i < N_CDS; i++)
        guest_memory_fill(&r->ram, r->pages[i], 0, 1);
    viommu_emulator_dma_as(r->emulator, BDF, &access, &byte, 1);
    for (guint i = 0; i < N_CDS; i++)
        if (guest_memory_is_filled(&r->ram, r->pages[i], byte, 1))
            landed = landed < 0 ? (int)i : -2;
    return landed;
}

static ViommuResult install(Rig *r)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];
    GuestDomain table = {.memory = &r->ram, .cd = r->table};

    guest_ste_s1(ste, &table);
    ste[7] |= S1CDMAX << 3; /* bits 63:59 */
    ste[8] |= S1DSS_SSID0;
    return viommu_smmuv3_accel_install_ste(r->accel, SID, ste);
}

static void cfgi_cd(Rig *r, guint32 ssid)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];
    gsize handled;

    guest_cmd_raw(command, 0x05 | (guint64)ssid << 12 | (guint64)SID << 32, 1);
    tap_is(viommu_smmuv3_accel_invalidate(r->accel, command, 1, &handled), VIOMMU_OK,
           "CFGI_CD of substream %u", ssid);
}

static void test_substreams(Rig *r)
{
    spy_reset_counts(&r->spy);
    tap_is(install(r), VIOMMU_OK, "an entry with a table of four descriptors");
    tap_is(r->spy.n_calls, 2, "... is one HWPT and one attach, like any other");
    tap_is(lands(r, NO_PASID), 0, "DMA without a PASID goes by the first (S1DSS)");
    for (guint i = 1; i < N_CDS; i++)
        tap_is(lands(r, i), (int)i, "DMA with PASID %u by its own", i);
    tap_is(lands(r, N_CDS), -1, "beyond the table it is refused");

    put_cd(r, 2, &r->domains[3]);
    tap_is(lands(r, 2), 2, "a changed descriptor is cached");
    cfgi_cd(r, 1);
    tap_is(lands(r, 2), 2, "... also when another's is invalidated");
    cfgi_cd(r, 2);
    tap_is(lands(r, 2), 3, "... until its own is");
    put_cd(r, 2, &r->domains[2]);
    tap_is(install(r), VIOMMU_OK, "the same entry again");
    tap_is(lands(r, 2), 2, "... invalidates all of the stream's");
}

/* The guest is told by which substream. */
static void test_event(Rig *r)
{
    guint8 event[VIOMMU_SMMUV3_EVENT_SIZE];
    guint64 lost, word;
    gsize n = 1;

    while (n)
        viommu_smmuv3_accel_read_events(r->accel, event, 1, &n, &lost);
    guest_domain_unmap(&r->domains[3], IOVA);
    tap_is(viommu_smmuv3_accel_invalidate(r->accel, (const guint8[16]){0x30}, 1, &n),
           VIOMMU_OK, "all is invalidated");
    tap_is(lands(r, 3), -1, "an unmapped page of a substream is refused");
    viommu_smmuv3_accel_read_events(r->accel, event, 1, &n, &lost);
    memcpy(&word, event, sizeof word);
    word = GUINT64_FROM_LE(word);
    tap_ok(n == 1 && guest_event_id(event) == GUEST_EVENT_F_TRANSLATION &&
               guest_event_sid(event) == SID && (word >> 11 & 1) &&
               (word >> 12 & 0xfffff) == 3,
           "... with an event that names stream and substream");
}

int main(void)
{
    Rig r;

    rig_init(&r);
    test_substreams(&r);
    test_event(&r);
    rig_clear(&r);
    return tap_done();
}
