/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: emulated endpoints beside a host device, where the tables are right:
 * first-stage tables of all sizes, pass-through, accessed and dirty flags, the interrupt
 * range. A point is a rule.
 */
#include "tap.h"
#include "vtd-machine.h"

enum { EP = VTDM_ENDPOINT, SS_DID = 20, GIB = 1 << 30, MIB2 = 1 << 21 };
#define READ       VIOMMU_ACCESS_READ
#define WRITE      VIOMMU_ACCESS_WRITE
#define PRIVILEGED VIOMMU_ACCESS_PRIVILEGED
#define PEEK       VIOMMU_ACCESS_PEEK

static guint64 without(VtdMachine *vm, guint64 iova, guint access)
{
    return vtdm_translate(vm, EP, VTDM_NO_PASID, iova, access);
}

static void test_answer(VtdMachine *vm)
{
    ViommuTranslation to = {0};

    tap_is(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, VTDM_IOVA + 0x123, READ,
                                &to),
           VIOMMU_OK, "a page of a first-stage table");
    tap_is(to.gpa, vm->page + 0x123, "... and the offset");
    tap_ok(to.length >= 1 && to.length <= 0x1000 - 0x123, "... no longer than the page");
    tap_is(to.access & (READ | WRITE), READ, "... a read: a write has to set D first");
    tap_ok(!to.is_msi, "... and no message");
    viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, VTDM_IOVA, WRITE, &to);
    tap_is(to.access & (READ | WRITE), READ | WRITE, "a write may be read, too");
    to.gpa = 77;
    tap_is(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, 0x9000, READ, &to),
           VIOMMU_GUEST_INVALID, "what is not mapped is the guest's fault");
    tap_is(to.gpa, 77, "... and the answer is untouched");
    vtdm_drain_faults(vm);
}

static void test_sizes(VtdMachine *vm)
{
    guint64 at = guest_vtd_entry_at(&vm->domain, GIB, 2);
    const guint64 base = VTDM_RAM_BASE + MIB2;

    vtdm_store(vm, at, base | GUEST_FS_USUAL | GUEST_FS_PS);
    tap_is(without(vm, GIB + 0x12345, READ), base + 0x12345, "a page of 2 MiB");
    at = guest_vtd_entry_at(&vm->domain, 2ull * GIB, 3);
    vtdm_store(vm, at, GUEST_FS_USUAL | GUEST_FS_PS);
    if (vtdm_cap(vm, VTDM_CAP_FS1GP, 1)) {
        tap_is(without(vm, 2ull * GIB + vm->page, READ), vm->page, "a page of 1 GiB");
    } else {
        vtdm_drain_faults(vm);
        tap_ok(without(vm, 2ull * GIB + vm->page, READ) == VTDM_REFUSED &&
                   vtdm_fault_reason(vm) == VTDM_F_FS_RESERVED,
               "a page of 1 GiB without FS1GP: 0x72");
    }
    guest_vtd_map(&vm->domain, 0xffff800000005000ull, vm->page, TRUE);
    tap_is(without(vm, 0xffff800000005000ull, READ), vm->page, "the upper half, canonical");
}

static void test_pass_through(VtdMachine *vm)
{
    vtdm_install_pass_through(vm, EP + 8);
    tap_is(vtdm_reads(vm, EP + 8, vm->page + 8), vm->page + 8, "PGTT 4: requests pass");
    tap_is(vtdm_translate(vm, EP + 8, VTDM_NO_PASID, VTDM_NOWHERE, WRITE), VTDM_NOWHERE,
           "... whether or not there is memory");
}

/* --- flags (3.6.2) ----------------------------------------------------------------------
 */

static guint64 flags_at(VtdMachine *vm, guint level)
{
    return vtdm_load(vm, guest_vtd_entry_at(&vm->domain, VTDM_IOVA, level)) &
           (GUEST_FS_A | GUEST_FS_D | GUEST_FS_EA);
}

static void clear_flags(VtdMachine *vm)
{
    for (guint level = 1; level <= 4; level++) {
        guint64 at = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, level);

        vtdm_store(vm, at,
                   vtdm_load(vm, at) & ~(guint64)(GUEST_FS_A | GUEST_FS_D | GUEST_FS_EA));
    }
    vtdm_flush_tables(vm, VTDM_DID, 0);
}

static void test_flags(VtdMachine *vm)
{
    guint64 leaf = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, 1);

    clear_flags(vm);
    without(vm, VTDM_IOVA, READ | PEEK);
    without(vm, VTDM_IOVA, WRITE | PEEK);
    tap_is(flags_at(vm, 1) | flags_at(vm, 4), 0, "who only peeks sets no flag");
    vtdm_flush_tables(vm, VTDM_DID, 0);
    without(vm, VTDM_IOVA, READ);
    tap_is(flags_at(vm, 1), GUEST_FS_A, "a read sets A in the leaf");
    tap_ok(flags_at(vm, 2) == GUEST_FS_A && flags_at(vm, 3) == GUEST_FS_A &&
               flags_at(vm, 4) == GUEST_FS_A,
           "... and on the way to it");
    without(vm, VTDM_IOVA, WRITE);
    tap_is(flags_at(vm, 1), GUEST_FS_A | GUEST_FS_D, "a write after it sets D");
    tap_is(flags_at(vm, 2), GUEST_FS_A, "... in the leaf alone");
    vtdm_flush_tables(vm, VTDM_DID, 0);
    vm->n_swaps = 0;
    without(vm, VTDM_IOVA, WRITE);
    tap_is(vm->n_swaps, 0, "what is set is not set again");
    clear_flags(vm);
    vm->no_swap = leaf & ~0xfffull;
    vtdm_drain_faults(vm);
    tap_ok(without(vm, VTDM_IOVA, READ) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_UPDATE,
           "flags that cannot be set: 0x91");
    vm->no_swap = 0;
    guest_vtd_map(&vm->domain, 0x6000, vm->page, FALSE);
    without(vm, 0x6000, WRITE);
    tap_is(vtdm_load(vm, guest_vtd_entry_at(&vm->domain, 0x6000, 1)) & GUEST_FS_D, 0,
           "a write that is refused sets no D");
    vtdm_drain_faults(vm);
}

/* The guest takes the page away between the read of its entry and the setting of A. */
static void unmap_after(VtdMachine *vm, guint64 gpa, void *data, gsize size,
                        void *user_data)
{
    guint64 leaf = *(guint64 *)user_data;

    (void)data;
    if (leaf >= gpa && leaf + 8 <= gpa + size) {
        vtdm_store(vm, leaf, 0);
        vm->on_read = NULL;
    }
}

/* Or makes a read-only page writable, and dirty already. */
static void widen_after(VtdMachine *vm, guint64 gpa, void *data, gsize size,
                        void *user_data)
{
    guint64 leaf = *(guint64 *)user_data;

    (void)data;
    if (leaf >= gpa && leaf + 8 <= gpa + size) {
        vtdm_store(vm, leaf, vtdm_load(vm, leaf) | GUEST_FS_RW | GUEST_FS_A | GUEST_FS_D);
        vm->on_read = NULL;
    }
}

static void test_widened(VtdMachine *vm)
{
    guint64 leaf = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, 1);
    ViommuTranslation to = {0};

    clear_flags(vm);
    vtdm_store(vm, leaf, vm->page | GUEST_FS_P | GUEST_FS_US);
    vtdm_flush_tables(vm, VTDM_DID, 0);
    vm->on_read = widen_after;
    vm->on_read_data = &leaf;
    tap_ok(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, VTDM_IOVA, READ, &to) ==
                   VIOMMU_OK &&
               (to.access & WRITE),
           "one that has got more rights gives them");
    vm->on_read = NULL;
}

static void test_lost_swap(VtdMachine *vm)
{
    guint64 leaf = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, 1), word;

    clear_flags(vm);
    word = vtdm_load(vm, leaf);
    vm->on_read = unmap_after;
    vm->on_read_data = &leaf;
    tap_ok(without(vm, VTDM_IOVA, READ) == VTDM_REFUSED,
           "an entry that changes before A is set is judged again");
    tap_is(vtdm_load(vm, leaf), 0, "... and not written over");
    vm->on_read = NULL;
    vtdm_store(vm, leaf, word);
    vtdm_drain_faults(vm);
}

static void test_once(VtdMachine *vm)
{
    vm->counted = guest_vtd_entry_at(&vm->domain, VTDM_IOVA, 1) & ~0xfffull;
    vtdm_flush_tables(vm, VTDM_DID, 0);
    without(vm, VTDM_IOVA, READ);
    vtdm_flush_tables(vm, VTDM_DID, 0);
    vm->n_reads = 0;
    vm->read_bytes = 0;
    without(vm, VTDM_IOVA, READ);
    tap_ok(vm->n_reads == 1 && vm->read_bytes == 8, "a page's entry is read once");
    vm->counted = vtdm_pasid_at(vm, EP, 0) & ~0xfffull;
    vtdm_flush_all(vm);
    vm->n_reads = 0;
    vm->read_bytes = 0;
    without(vm, VTDM_IOVA, READ);
    tap_ok(vm->n_reads == 1 && vm->read_bytes == 64, "... a PASID entry too, at once");
    vm->counted = 0;
    vtdm_drain_faults(vm);
}

/* --- the interrupt range (3.14) ---------------------------------------------------------
 */

static void test_interrupts(VtdMachine *vm)
{
    const guint64 first = 0xfee00000, last = 0xfeefffff;
    ViommuTranslation to = {0};

    guest_vtd_map(&vm->domain, first, vm->page, TRUE);
    guest_vtd_map(&vm->domain, last & ~0xfffull, vm->page, TRUE);
    tap_ok(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, first + 0x10, WRITE,
                                &to) == VIOMMU_OK &&
               to.is_msi && to.gpa == first + 0x10,
           "a write to 0xfee00000 is an interrupt message, mapped or not");
    tap_ok(to.length >= 1 && to.gpa + to.length - 1 <= last, "... to the range's end");
    tap_ok(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, last - 3, WRITE, &to) ==
                   VIOMMU_OK &&
               to.is_msi && to.gpa == last - 3,
           "... to 0xfeeffffc too");
    tap_ok(viommu_vtd_translate(vm->vtd, VTDM_RID, VIOMMU_VTD_NO_PASID, first, WRITE,
                                &to) == VIOMMU_OK &&
               to.is_msi,
           "... of a host device's requester ID too");
    tap_ok(without(vm, first, READ) != vm->page, "a read there is not translated");
    tap_is(vtdm_fault_reason(vm), VTDM_F_INTERRUPT, "... but a fault");
    guest_vtd_map(&vm->domain, first - 0x1000, vm->page, TRUE);
    guest_vtd_map(&vm->domain, last + 1, vm->page, TRUE);
    to.is_msi = TRUE;
    tap_ok(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, last + 1, WRITE, &to) ==
                   VIOMMU_OK &&
               !to.is_msi && to.gpa == vm->page,
           "beyond it there is memory");
    tap_ok(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, first - 8, WRITE, &to) ==
                   VIOMMU_OK &&
               !to.is_msi && to.gpa == vm->page + 0xff8 && to.length <= 8,
           "before it too, up to it");
    if (vtdm_cap(vm, VTDM_CAP_FS1GP, 1)) {
        vtdm_store(vm, guest_vtd_entry_at(&vm->domain, 3ull * GIB, 3),
                   GUEST_FS_USUAL | GUEST_FS_PS);
        vtdm_flush_tables(vm, VTDM_DID, 0);
        tap_ok(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, first - 0x1000, READ,
                                    &to) == VIOMMU_OK &&
                   to.gpa == first - 0x1000 - 3ull * GIB && to.length <= 0x1000,
               "in a page of 1 GiB around the range: up to it");
    } else {
        tap_skip("no pages of 1 GiB", "in a page of 1 GiB around the range: up to it");
    }
    vtdm_drain_faults(vm);
    guest_vtd_map(&vm->domain, 0xb000, first, TRUE);
    tap_ok(without(vm, 0xb000, WRITE) == VTDM_REFUSED &&
               vtdm_fault_reason(vm) == VTDM_F_INTERRUPT,
           "a table that leads there: 0x87");
    vtdm_command(vm, VTDM_TE, FALSE);
    tap_ok(viommu_vtd_translate(vm->vtd, EP, VIOMMU_VTD_NO_PASID, first, WRITE, &to) ==
                   VIOMMU_OK &&
               to.is_msi,
           "with TE 0 a message is one as well");
    vtdm_command(vm, VTDM_TE, TRUE);
    vtdm_drain_faults(vm);
}

/* Beside them, by the stage that its host can be given. */
static void test_host_device(const Target *target)
{
    const guint64 base = VTDM_RAM_BASE + MIB2, iova = 0x4000000;
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, target, target->first, NULL), "a host device"))
        return;
    vtdm_start(&vm, VTDM_SCALABLE);
    vtdm_install(&vm, EP, &vm.domain);
    vtdm_install(&vm, VTDM_RID, &vm.domain);
    tap_ok(vtdm_reads(&vm, VTDM_RID, VTDM_IOVA) == vm.page &&
               vtdm_reads(&vm, EP, VTDM_IOVA) == vm.page &&
               vtdm_reaches(&vm, 0, VTDM_IOVA, vm.page),
           "... the walk and the hardware agree");
    vtdm_store(&vm, guest_vtd_entry_at(&vm.domain, iova, 2),
               base | VTDM_BY_NESTING(&vm, GUEST_FS_USUAL | GUEST_FS_PS,
                                      GUEST_SS_R | GUEST_SS_W | GUEST_SS_PS));
    vtdm_flush_page(&vm, VTDM_DID, 0, iova);
    tap_ok(vtdm_reads(&vm, EP, iova + 0x1ff000) == base + 0x1ff000 &&
               vtdm_reaches(&vm, 0, iova + 0x1ff000, base + 0x1ff000),
           "... of a page of 2 MiB, too");
    vtdm_clear(&vm);
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(vtdm_init_first_stage(&vm, &target), "a machine")) {
        vtdm_start(&vm, VTDM_SCALABLE);
        vtdm_install(&vm, EP, &vm.domain);
        test_answer(&vm);
        test_sizes(&vm);
        test_pass_through(&vm);
        test_flags(&vm);
        test_lost_swap(&vm);
        test_widened(&vm);
        test_once(&vm);
        test_interrupts(&vm);
        vtdm_clear(&vm);
    }
    test_host_device(&target);
    target_clear(&target);
    return tap_done();
}
