/* SPDX-License-Identifier: MIT */
/*
 * The whole device, where it depends on how the host is built: several SMMUs, equal or not,
 * an SMMU that stalls, one with an erratum; and that nothing is left behind. The VM has one
 * SMMU, so this is for the emulator, which has inspectors too.
 */
#include <linux/iommufd.h>

#include <viommu-emulator/inspect.h>

#include "tap.h"
#include "vmachine.h"

typedef struct {
    Target target;
    char *first[2];
    char *second[2];
} Board;

static void board_init(Board *b, void (*adjust)(ViommuEmulatorSmmuv3Config *config))
{
    ViommuEmulatorSmmuv3Config defaults;

    *b = (Board){.target.emulator = viommu_emulator_new()};
    for (guint i = 0; i < 2; i++) {
        ViommuEmulatorDeviceConfig device = {.stream_id = 0x50 + i, .iommu_group = -1};

        viommu_emulator_smmuv3_defaults(&defaults);
        if (i)
            adjust(&defaults);
        device.iommu = viommu_emulator_add_smmuv3(b->target.emulator, &defaults);
        b->target.bdfs[i] = g_strdup_printf("0000:00:%02x.0", 2 + i);
        device.bdf = b->target.bdfs[i];
        viommu_emulator_add_device(b->target.emulator, &device, NULL);
    }
    spy_init(&b->target.spy, viommu_emulator_get_seam(b->target.emulator));
    b->target.seam = &b->target.spy.seam;
    b->first[0] = b->target.bdfs[0];
}

static void without_ril(ViommuEmulatorSmmuv3Config *config)
{
    config->idr[3] &= ~(1u << 10);
}

static void with_fewer_substreams(ViommuEmulatorSmmuv3Config *config)
{
    config->idr[1] = (config->idr[1] & ~(0x1fu << 6)) | 4u << 6;
}

static void equal(G_GNUC_UNUSED ViommuEmulatorSmmuv3Config *config)
{
}

static void test_intersection(void)
{
    Board b;
    VMachine vm;

    board_init(&b, without_ril);
    tap_ok(vm_init(&vm, &b.target, b.target.bdfs, NULL), "two SMMUs, one without RIL");
    tap_is(vm_get(&vm, VM_IDR3) >> 10 & 1, 0, "... the offer has none");
    vm_clear(&vm);
    target_clear(&b.target);
    board_init(&b, with_fewer_substreams);
    tap_ok(vm_init(&vm, &b.target, b.target.bdfs, NULL), "... one with SSIDSIZE 4");
    tap_is(vm_get(&vm, VM_IDR1) >> 6 & 0x1f, 4, "... the offer has 4");
    vm_clear(&vm);
    target_clear(&b.target);
}

static void test_frozen(void)
{
    g_autoptr(GError) error = NULL;
    ViommuHostDevice *late;
    Board b;
    VMachine vm;

    board_init(&b, without_ril);
    tap_ok(vm_init(&vm, &b.target, b.first, NULL), "one of two SMMUs");
    late = viommu_host_device_new_from_bdf(vm.host, b.target.bdfs[1], NULL);
    tap_is(vm_get(&vm, VM_IDR3) >> 10 & 1, 1, "the guest has seen RIL");
    tap_ok(!viommu_smmuv3_attach_device(vm.smmu, late, VM_SID + 1, &error),
           "frozen: a device behind one without it is refused");
    tap_has(error ? error->message : NULL, "RIL", "... naming the field");
    tap_is(vm_get(&vm, VM_IDR3) >> 10 & 1, 1, "... and the offer stands");
    viommu_smmuv3_block(vm.smmu, NULL);
    g_clear_error(&error);
    tap_ok(viommu_smmuv3_attach_device(vm.smmu, late, VM_SID + 1, &error),
           "after a block it is taken");
    viommu_smmuv3_release(vm.smmu, NULL);
    tap_is(vm_get(&vm, VM_IDR3) >> 10 & 1, 0, "... and the offer is less");
    viommu_smmuv3_detach_device(vm.smmu, late);
    viommu_host_device_free(late);
    vm_clear(&vm);
    target_clear(&b.target);
}

static void test_two_smmus(void)
{
    guint64 page;
    Board b;
    VMachine vm;

    board_init(&b, equal);
    tap_ok(vm_init(&vm, &b.target, b.target.bdfs, NULL), "devices behind two SMMUs");
    vm_start(&vm, VM_TWO_LEVEL, VM_CR0_ALL);
    vm_install_s1(&vm, VM_SID, &vm.domain);
    vm_install_s1(&vm, VM_SID + 1, &vm.domain);
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, vm.page) && vm_reaches(&vm, 1, VM_IOVA, vm.page),
           "... one guest table serves both");
    page = vm_alloc(&vm, GUEST_PAGE);
    guest_domain_map(&vm.domain, VM_IOVA, page, TRUE);
    vm_tlbi_va(&vm, VM_ASID, VM_IOVA);
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, page) && vm_reaches(&vm, 1, VM_IOVA, page),
           "... a TLBI goes to both");
    vm_install_config(&vm, VM_SID + 1, 0);
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, page) && vm_is_blocked(&vm, 1),
           "... a CFGI_STE to the right one");
    vm_clear(&vm);
    target_clear(&b.target);
}

/* Where the host could stall, STE.S1STALLD is forced: faults terminate. */
static void with_stalls(ViommuEmulatorSmmuv3Config *config)
{
    config->idr[0] &= ~(3u << 24);
}

static void test_stalls(void)
{
    guint64 event[4];
    Board b;
    VMachine vm;

    board_init(&b, with_stalls);
    b.first[0] = b.target.bdfs[1];
    tap_ok(vm_init(&vm, &b.target, b.first, NULL), "an SMMU that can stall");
    tap_is(vm_get(&vm, VM_IDR0) >> 24 & 3, 1, "... the guest's cannot");
    vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
    vm_install_s1(&vm, VM_SID, &vm.domain);
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, vm.page), "... its entry is taken");
    tap_ok(vm_is_refused(&vm, 0, VM_IOVA + 0x1000) &&
               vm_meets_event(&vm, VM_F_TRANSLATION, VM_SID, VM_IOVA + 0x1000, event),
           "... and a fault terminates");
    vm_clear(&vm);
    target_clear(&b.target);
}

/* Linux asks that TLBI and CFGI be issued twice; the emulator has the erratum. */
static void with_erratum(ViommuEmulatorSmmuv3Config *config)
{
    config->repeat_tlbi_cfgi = TRUE;
}

static void test_erratum(void)
{
    guint64 page;
    Board b;
    VMachine vm;

    board_init(&b, with_erratum);
    b.first[0] = b.target.bdfs[1];
    tap_ok(vm_init(&vm, &b.target, b.first, NULL), "an SMMU with the repeat-TLBI erratum");
    vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
    vm_install_s1(&vm, VM_SID, &vm.domain);
    vm_reaches(&vm, 0, VM_IOVA, vm.page);
    page = vm_alloc(&vm, GUEST_PAGE);
    guest_domain_map(&vm.domain, VM_IOVA, page, TRUE);
    spy_reset_counts(&b.target.spy);
    vm_tlbi_va(&vm, VM_ASID, VM_IOVA);
    tap_is(spy_count(&b.target.spy, IOMMU_HWPT_INVALIDATE), 2, "... a TLBI is two calls");
    tap_ok(vm_reaches(&vm, 0, VM_IOVA, page), "... and is done");
    vm_clear(&vm);
    target_clear(&b.target);
}

/* ATC_INV goes to the host only while the bound entry has EATS. */
static void test_atc_inv(VMachine *vm, Spy *spy)
{
    const guint64 atc_inv = VM_ATC_INV | (guint64)VM_SID << 32;
    guint64 s1[2];

    vm_s1_words(&vm->domain, s1);
    vm_install_words(vm, VM_SID, s1[0], s1[1]);
    spy_reset_counts(spy);
    tap_ok(vm_issue(vm, atc_inv, 52), "ATC_INV without EATS completes");
    tap_is(spy->n_calls, 0, "... and is no host call");
    vm_install_words(vm, VM_SID, s1[0], s1[1] | 1ull << 28);
    tap_ok(vm_reaches(vm, 0, VM_IOVA, vm->page), "an entry with EATS");
    spy_reset_counts(spy);
    tap_ok(vm_issue(vm, atc_inv, 52), "ATC_INV with it completes");
    tap_is(spy_count(spy, IOMMU_HWPT_INVALIDATE), 1, "... and is a host call");
    spy_reset_counts(spy);
    tap_ok(vm_issue(vm, VM_ATC_INV | 0x1f0ull << 32, 52), "of another stream it completes");
    tap_is(spy->n_calls, 0, "... and is none");
    vm_queue(vm, atc_inv, 53);
    vm_ring(vm);
    tap_is(vm_cerror(vm), VM_CERROR_ILL, "ATC_INV of a reserved size is CERROR_ILL");
    vm_acknowledge(vm);
    vm_install_words(vm, VM_SID, s1[0], s1[1]);
    spy_reset_counts(spy);
    vm_issue(vm, atc_inv, 52);
    tap_is(spy->n_calls, 0, "without EATS again it is none again");
}

/* edu has no ATS, so the host is made to say that it has. */
static void test_ats(void)
{
    Board b;
    VMachine vm;

    board_init(&b, equal);
    b.target.spy.hidden_capabilities = IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED;
    tap_ok(vm_init(&vm, &b.target, b.first, NULL), "a device with ATS");
    tap_is(vm_get(&vm, VM_IDR0) >> 10 & 1, 1, "... has it offered");
    vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
    test_atc_inv(&vm, &b.target.spy);
    vm_clear(&vm);
    target_clear(&b.target);
}

static void test_reads(void)
{
    enum { FAULTS = 100 };
    guint64 event[4];
    guint n = 0;
    Board b;
    VMachine vm;

    board_init(&b, equal);
    tap_ok(vm_init(&vm, &b.target, b.first, NULL), "a device that faults often");
    vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
    vm_install_s1(&vm, VM_SID, &vm.domain);
    for (guint i = 0; i < FAULTS; i++)
        dma_store(&vm.dma[0], (guint64)(VM_IOVA + 0x1000 + i * GUEST_PAGE), 8, NULL);
    viommu_emulator_reset_calls(b.target.emulator);
    viommu_smmuv3_handle_events(vm.smmu);
    tap_ok(viommu_emulator_count_calls(b.target.emulator, VIOMMU_EMULATOR_CALL_READ) <= 10,
           "... many events are read at once");
    while (vm_next_event(&vm, event))
        n++;
    tap_is(n, FAULTS, "... all of them");
    vm_clear(&vm);
    target_clear(&b.target);
}

/* Detaching gives everything back, and so does the end. */
static void test_nothing_left(void)
{
    Board b;
    VMachine vm;

    board_init(&b, equal);
    tap_ok(vm_init(&vm, &b.target, b.target.bdfs, NULL), "two devices in use");
    vm_start(&vm, VM_TWO_LEVEL, VM_CR0_ALL);
    vm_install_s1(&vm, VM_SID, &vm.domain);
    vm_install_s1(&vm, VM_SID + 1, &vm.domain);
    viommu_smmuv3_detach_device(vm.smmu, vm.devices[0]);
    viommu_smmuv3_detach_device(vm.smmu, vm.devices[1]);
    for (guint kind = VIOMMU_EMULATOR_OBJECT_HWPT_NESTED;
         kind <= VIOMMU_EMULATOR_OBJECT_VEVENTQ; kind++)
        tap_is(viommu_emulator_count_objects(b.target.emulator, kind), 0,
               "detached: no %s is left", viommu_emulator_object_name(kind));
    tap_is(vm.n_watched, 0, "... and no descriptor is watched");
    vm_clear(&vm);
    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        tap_is(viommu_emulator_count_objects(b.target.emulator, kind), 0,
               "in the end no %s is left", viommu_emulator_object_name(kind));
    tap_is(viommu_emulator_count_tombstones(b.target.emulator), 0, "... nor a virtual ID");
    target_clear(&b.target);
}

int main(void)
{
    test_intersection();
    test_frozen();
    test_two_smmus();
    test_stalls();
    test_erratum();
    test_ats();
    test_reads();
    test_nothing_left();
    return tap_done();
}
