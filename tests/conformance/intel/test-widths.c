/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: what its widths and what it does not offer make reserved: addresses
 * beyond CAP.MGAW in tables, domain IDs beyond CAP.ND, pages of 1 GiB, snoop control. On a
 * unit that was made small, without a host. A point is a rule.
 */
#include "tap.h"
#include "vtd-machine.h"

enum { EP = VTDM_ENDPOINT, SS_DID = 5 };
#define BEYOND (1ull << 48) /* the first bit that addresses have not */

static const ViommuVtdConfig small = {
    .pasid_bits = -1,
    .address_bits = 48,
    .domain_bits = 4,
    .first_stage_1g = VIOMMU_OFF,
    .coherent = VIOMMU_OFF,
};

static void faults(VtdMachine *vm, guint64 at, guint64 set, guint reason, const char *name)
{
    tap_is(vtdm_fault_with(vm, EP, at, vtdm_load(vm, at) | set), reason, "%s: 0x%02x", name,
           reason);
}

static void test_offer(VtdMachine *vm)
{
    tap_is(vtdm_cap(vm, VTDM_CAP_MGAW, 6), 47, "MGAW: 48 bits");
    tap_is(vtdm_cap(vm, VTDM_CAP_ND, 3), 0, "ND: 16 domains");
    tap_is(vtdm_cap(vm, VTDM_CAP_FS1GP, 1), 0, "no FS1GP");
    tap_ok(!vtdm_ecap(vm, VTDM_ECAP_C, 1) && !vtdm_ecap(vm, VTDM_ECAP_SMPWCS, 1),
           "no C, no SMPWCS");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_SC, 1), 0, "no SC");
}

static void test_scalable(VtdMachine *vm)
{
    GuestVtdDomain domain;
    guint64 context, directory, entry, leaf;

    vtdm_start(vm, VTDM_SCALABLE);
    guest_vtd_domain_init(&domain, &vm->ram, GUEST_VTD_FIRST, 4, 3);
    guest_vtd_map(&domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_install(vm, EP, &domain);
    tap_is(vtdm_reads(vm, EP, VTDM_IOVA), vm->page, "scalable mode: a first stage");
    context = vtdm_context_at(vm, EP);
    directory = vtdm_load(vm, context) & ~0xfffull;
    entry = vtdm_pasid_at(vm, EP, 0);
    leaf = guest_vtd_entry_at(&domain, VTDM_IOVA, 1);
    faults(vm, vm->root + 16 * (EP >> 8), BEYOND, VTDM_F_SM_ROOT_RESERVED,
           "a context table beyond MGAW");
    faults(vm, context, BEYOND, VTDM_F_SM_CONTEXT_RESERVED, "a PASID directory beyond it");
    faults(vm, directory, BEYOND, VTDM_F_DIRECTORY_RESERVED, "a PASID table beyond it");
    faults(vm, entry + 16, BEYOND, VTDM_F_PASID_RESERVED, "a first table beyond it");
    faults(vm, guest_vtd_entry_at(&domain, VTDM_IOVA, 4), BEYOND, VTDM_F_FS_RESERVED,
           "a table beyond it");
    faults(vm, leaf, BEYOND, VTDM_F_FS_RESERVED, "a page beyond it");
    tap_is(vtdm_fault_with(vm, EP, guest_vtd_entry_at(&domain, VTDM_IOVA, 3),
                           GUEST_FS_USUAL | GUEST_FS_PS),
           VTDM_F_FS_RESERVED, "a page of 1 GiB: 0x72");
    faults(vm, entry + 8, 1 << 23, VTDM_F_PASID_RESERVED, "PWSNP without SMPWCS");
    faults(vm, entry + 8, 1 << 4, VTDM_F_PASID_INVALID, "a domain ID beyond ND");
    vtdm_store(vm, leaf, vtdm_load(vm, leaf) | 0x7ffull << 52 | 3ull << 8);
    vtdm_flush_all(vm);
    tap_is(vtdm_reads(vm, EP, VTDM_IOVA), vm->page, "bits 62:52 and 9:8 are software's");
}

static void test_second_stage(VtdMachine *vm)
{
    GuestVtdDomain domain;
    guint64 leaf;

    guest_vtd_domain_init(&domain, &vm->ram, GUEST_VTD_SECOND, 4, SS_DID);
    guest_vtd_map(&domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_install(vm, EP, &domain);
    tap_is(vtdm_reads(vm, EP, VTDM_IOVA), vm->page, "scalable mode: a second stage");
    leaf = guest_vtd_entry_at(&domain, VTDM_IOVA, 1);
    faults(vm, vtdm_pasid_at(vm, EP, 0), BEYOND, VTDM_F_PASID_RESERVED,
           "a first table beyond MGAW");
    faults(vm, leaf, BEYOND, VTDM_F_SS_RESERVED, "a page beyond it");
    faults(vm, leaf, GUEST_SS_SNP, VTDM_F_SS_RESERVED, "SNP without SC");
    faults(vm, vtdm_pasid_at(vm, EP, 0), 1 << 9, VTDM_F_PASID_RESERVED,
           "SSADE without SSADS");
}

static void test_legacy(VtdMachine *vm)
{
    GuestVtdDomain domain;
    guint64 leaf;

    vtdm_start(vm, VTDM_LEGACY);
    guest_vtd_domain_init(&domain, &vm->ram, GUEST_VTD_SECOND, 4, SS_DID);
    guest_vtd_map(&domain, VTDM_IOVA, vm->page, TRUE);
    vtdm_install(vm, EP, &domain);
    tap_is(vtdm_reads(vm, EP, VTDM_IOVA), vm->page, "legacy mode: a second stage");
    leaf = guest_vtd_entry_at(&domain, VTDM_IOVA, 1);
    faults(vm, vm->root + 16 * (EP >> 8), BEYOND, VTDM_F_ROOT_RESERVED,
           "a context table beyond MGAW");
    faults(vm, vtdm_context_at(vm, EP), BEYOND, VTDM_F_CONTEXT_RESERVED,
           "a first table beyond it");
    faults(vm, guest_vtd_entry_at(&domain, VTDM_IOVA, 4), BEYOND, VTDM_F_PAGE_RESERVED,
           "a table beyond it");
    faults(vm, leaf, BEYOND, VTDM_F_PAGE_RESERVED, "a page beyond it");
    faults(vm, leaf, GUEST_SS_SNP, VTDM_F_PAGE_RESERVED, "SNP without SC");
    vtdm_drain_faults(vm);
    tap_ok(vtdm_reads(vm, EP, BEYOND) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_ADDRESS,
           "an address beyond it: 0x04");
    vtdm_install_pass_through(vm, EP);
    tap_ok(vtdm_reads(vm, EP, BEYOND) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_ADDRESS,
           "pass-through beyond it: 0x04");
}

int main(void)
{
    VtdMachine vm;

    if (tap_ok(vtdm_init(&vm, NULL, NULL, &small), "a small unit")) {
        test_offer(&vm);
        test_scalable(&vm);
        test_second_stage(&vm);
        test_legacy(&vm);
        vtdm_clear(&vm);
    }
    return tap_done();
}
