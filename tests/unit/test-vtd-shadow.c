/* SPDX-License-Identifier: MIT */
/*
 * Shadows of a guest VT-d unit's second-stage tables: which flush has which domain's copy
 * synced, who shares one, how devices move between them and all else, and what the guest is
 * told. On every backend; every host call is watched by shadow-machine.h.
 */

#include "shadow-machine.h"

#include <errno.h>
#include <viommu/viommu.h>

#include "tap.h"

enum { DID = 20, OTHER_DID = 21, R = VIOMMU_MAP_READ, W = VIOMMU_MAP_WRITE, RW = R | W };

static guint64 iova(guint page)
{
    return SM_IOVA + (guint64)page * SM_PAGE;
}

static guint64 hot(guint page)
{
    return SM_HOT_RAM + (guint64)page * SM_PAGE;
}

/* What becomes of all devices at once. */
static void all_to(ShadowMachine *m, ShadowHomeKind kind)
{
    for (guint i = 0; i < m->n_ports; i++)
        m->ports[i].home.kind = kind;
}

/* Nested translation is iommufd's alone. */
static gboolean can_nest(const ShadowMachineOptions *options)
{
    return g_strcmp0(options->backend, "legacy") != 0;
}

/* The next fault is of this page of the device; and of a PASID, or of none. */
static gboolean is_told(ShadowMachine *m, guint device, guint reason, guint64 address,
                        int pasid)
{
    VtdmFault fault = {0};

    return vtdm_next_fault(&m->vm, &fault) && fault.rid == VTDM_RID + 8 * device &&
           fault.reason == reason && fault.address == address && fault.read &&
           fault.has_pasid == (pasid >= 0) && (pasid < 0 || fault.pasid == (guint32)pasid);
}

static gboolean nothing_told(ShadowMachine *m)
{
    return vtdm_fault_reason(&m->vm) == 0;
}

static guint reason_of(VtdmMode mode)
{
    return mode == VTDM_LEGACY ? VTDM_F_PAGE_ACCESS : VTDM_F_SS_ACCESS;
}

/* --- flushes ----------------------------------------------------------------------------
 */

static void test_flushes(const ShadowMachineOptions *options, VtdmMode mode)
{
    GuestVtdDomain d;
    ShadowMachine m;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_domain(&m, &d, DID);
    sm_watch(&m, iova(0), 16);
    sm_watch(&m, m.pages[0], 1);
    sm_map(&m, &d, iova(0), 0, 4, RW);
    /* A container had guest memory mapped before, too. */
    spy_reset_counts(&m.watch.spy);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "a domain: its pages are reached");
    tap_is(sm_maps(&m), 1, "... by one mapping");

    sm_map(&m, &d, iova(6), 6, 3, RW);
    sm_map(&m, &d, iova(0), 0, 1, 0);
    tap_ok(sm_is_right(&m), "what is not flushed is not there, or still");
    tap_ok(sm_flush_page(&m, DID, iova(7)), "one page flushed");
    tap_ok(sm_end(&m) && sm_see(&m, 0, iova(7)).rights, "... that one is there");
    tap_ok(!sm_see(&m, 0, iova(6)).rights && sm_see(&m, 0, iova(0)).rights,
           "... and no other changed");
    tap_ok(sm_flush_domain(&m, OTHER_DID), "another domain flushed");
    sm_end_doubtful(&m);
    tap_ok(!sm_see(&m, 0, iova(6)).rights && sm_see(&m, 0, iova(0)).rights,
           "... concerns nobody");
    tap_ok(sm_flush_page(&m, OTHER_DID, iova(6)), "... nor a page of it");
    sm_end_doubtful(&m);
    tap_ok(!sm_see(&m, 0, iova(6)).rights, "... which is not there");
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m), "this domain flushed: all is as it is");

    sm_map(&m, &d, iova(8), 8, 8, R);
    tap_ok(sm_flush_pages(&m, DID, iova(9), 2), "four pages by their mask");
    tap_ok(sm_end(&m) && sm_see(&m, 0, iova(11)).rights && !sm_see(&m, 0, iova(12)).rights,
           "... are those four");
    tap_ok(sm_flush_global(&m) && sm_end(&m), "all domains flushed");
    sm_map(&m, &d, iova(1), 20, 3, W);
    tap_ok(sm_flush_pages(&m, DID, iova(0), 18) && sm_end(&m), "1 GiB by its mask");
    vtdm_queue(&m.vm, guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, DID, 0), 0);
    spy_reset_counts(&m.watch.spy);
    vtdm_ring(&m.vm);
    tap_is(sm_maps(&m) + sm_unmaps(&m), 0, "first-stage flushes have none to sync");
    vtdm_clear_queue_errors(&m.vm);
    sm_clear(&m);
}

/* --- large pages, rights, levels --------------------------------------------------------
 */

static void test_entries(const ShadowMachineOptions *options, VtdmMode mode)
{
    GuestVtdDomain d;
    ShadowMachine m;
    guint64 large;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_domain(&m, &d, DID);
    sm_watch(&m, iova(0), 4);
    sm_watch(&m, iova(512), 4);
    sm_watch(&m, 0xfee00000 - SM_PAGE, 2);
    sm_watch(&m, 0xfef00000 - SM_PAGE, 2);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "a domain of nothing");
    large = SM_HOT_RAM;
    sm_put(&m, &d, iova(0), 2, large | GUEST_SS_R | GUEST_SS_W | GUEST_SS_PS);
    sm_map(&m, &d, iova(512), 0, 4, RW);
    tap_ok(sm_flush_page(&m, DID, iova(3)) && sm_end(&m), "a page of 2 MiB by 4 KiB of it");
    tap_ok(view_is(sm_see(&m, 0, iova(1)), (View){hot(1), RW}), "... is there");
    sm_flush_domain(&m, DID);
    tap_ok(sm_end(&m), "... beside small ones");
    /* As a driver does: the table is made first. */
    sm_put(&m, &d, iova(0), 2, vtdm_alloc(&m.vm, SM_PAGE) | GUEST_SS_R);
    sm_map(&m, &d, iova(2), 30, 2, RW);
    tap_ok(sm_flush_pages(&m, DID, iova(0), 9) && sm_end(&m), "small pages in its place");
    tap_ok(view_is(sm_see(&m, 0, iova(2)), (View){m.pages[30], R}),
           "... with what the table above them allows");
    sm_put(&m, &d, 0xfee00000, 2, large | GUEST_SS_R | GUEST_SS_W | GUEST_SS_PS);
    sm_map(&m, &d, 0xfee00000 - SM_PAGE, 5, 1, RW);
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m) && nothing_told(&m),
           "the interrupt range is left out of a page, and no fault");
    sm_put(&m, &d, iova(512), 2, m.pages[0] | GUEST_SS_R | GUEST_SS_PS);
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m), "an entry with reserved bits is none");
    sm_clear(&m);
}

/* --- who has what -----------------------------------------------------------------------
 */

static void test_sharing(const ShadowMachineOptions *options, VtdmMode mode)
{
    GuestVtdDomain d, other, same_table;
    ShadowMachine m;
    guint before, one;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_watch(&m, iova(0), 8);
    sm_domain(&m, &d, DID);
    sm_domain(&m, &other, OTHER_DID);
    sm_map(&m, &d, iova(0), 0, 4, RW);
    sm_map(&m, &other, iova(2), 10, 4, RW);
    before = sm_all_objects(&m);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "a device in a domain");
    one = sm_all_objects(&m) - before;
    sm_install(&m, 1, &d);
    tap_ok(sm_end(&m), "another in the same");
    tap_is(sm_all_objects(&m), before + one, "... shares its address space");
    sm_install(&m, 2, &other);
    tap_ok(sm_end(&m), "a third in another");
    tap_is(sm_all_objects(&m), before + 2 * one, "... has its own");
    sm_map(&m, &d, iova(1), 20, 1, R);
    sm_map(&m, &other, iova(3), 21, 1, R);
    tap_ok(sm_flush_page(&m, DID, iova(1)) && sm_end(&m), "a page of the first");
    tap_ok(view_is(sm_see(&m, 0, iova(1)), sm_see(&m, 1, iova(1))), "... is so for both");
    tap_is(sm_see(&m, 2, iova(3)).gpa, m.pages[11], "... and not flushed for the third");
    tap_ok(sm_flush_domain(&m, OTHER_DID) && sm_end(&m), "... until it is");

    same_table = d;
    same_table.did = OTHER_DID;
    sm_install(&m, 1, &same_table);
    tap_ok(sm_end(&m), "one table under two domain IDs");
    tap_is(sm_all_objects(&m), before + 3 * one, "... is two copies");
    sm_map(&m, &d, iova(0), 30, 1, RW);
    sm_flush_page(&m, OTHER_DID, iova(0));
    sm_end_doubtful(&m);
    tap_ok(sm_see(&m, 0, iova(0)).gpa == m.pages[0] &&
               sm_see(&m, 1, iova(0)).gpa == m.pages[30],
           "... each synced by its own flush");
    sm_flush_global(&m);
    tap_ok(sm_end(&m), "... or by that of all");
    sm_remove(&m, 0);
    tap_ok(sm_end(&m), "a device is taken out");
    tap_is(sm_all_objects(&m), before + 2 * one, "... and its copy gone");
    sm_remove(&m, 1);
    tap_ok(sm_end(&m), "... and the next");
    sm_remove(&m, 2);
    tap_ok(sm_end(&m) && sm_all_objects(&m) == before, "... and the last");
    sm_clear(&m);
}

/* From anything to anything. */
static void test_switching(const ShadowMachineOptions *options, VtdmMode mode)
{
    gboolean nested = mode == VTDM_SCALABLE && can_nest(options) && !options->lacks;
    GuestVtdDomain first, second, other;
    const GuestVtdDomain *homes[] = {&second, &other, &first, NULL, NULL};
    ShadowMachine m;
    guint before;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_watch(&m, iova(0), 4);
    sm_watch(&m, m.pages[0], 2);
    sm_domain(&m, &second, DID);
    sm_domain(&m, &other, OTHER_DID);
    guest_vtd_domain_init(&first, &m.vm.ram, GUEST_VTD_FIRST, 4, VTDM_DID);
    sm_map(&m, &second, iova(0), 0, 3, RW);
    sm_map(&m, &other, iova(1), 11, 3, R);
    sm_map(&m, &first, iova(0), 22, 4, RW);
    before = sm_all_objects(&m);
    for (guint from = 0; from < G_N_ELEMENTS(homes); from++)
        for (guint to = 0; to < G_N_ELEMENTS(homes); to++) {
            if (!nested && (from == 2 || to == 2))
                continue;
            for (guint step = 0; step < 2; step++) {
                guint home = step ? to : from;

                if (homes[home])
                    sm_install(&m, 0, homes[home]);
                else if (home == 3)
                    sm_install_identity(&m, 0);
                else
                    sm_remove(&m, 0);
                tap_ok(sm_end(&m), "from %u to %u: %s", from, to, step ? "there" : "here");
            }
            tap_ok(nothing_told(&m), "... and no fault");
        }
    sm_remove(&m, 0);
    sm_end(&m);
    tap_is(sm_all_objects(&m), before, "nothing is left of all that");
    sm_clear(&m);
}

/* A table's root is changed, or its domain ID, in place. */
static void test_in_place(const ShadowMachineOptions *options, VtdmMode mode)
{
    GuestVtdDomain d, other;
    ShadowMachine m;
    guint n;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_watch(&m, iova(0), 6);
    sm_domain(&m, &d, DID);
    sm_domain(&m, &other, DID);
    sm_map(&m, &d, iova(0), 0, 4, RW);
    sm_map(&m, &other, iova(2), 10, 4, RW);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "a domain");
    n = sm_all_objects(&m);
    sm_install(&m, 0, &other);
    tap_ok(sm_end(&m), "another table under its ID");
    sm_map(&m, &other, iova(0), 20, 2, RW);
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m), "... is synced by it");
    other.did = OTHER_DID;
    sm_install(&m, 0, &other);
    tap_ok(sm_end(&m), "another ID for the table");
    sm_map(&m, &other, iova(0), 30, 2, RW);
    sm_flush_domain(&m, DID);
    sm_end_doubtful(&m);
    tap_is(sm_see(&m, 0, iova(0)).gpa, m.pages[20], "... which the old one does not sync");
    tap_ok(sm_flush_domain(&m, OTHER_DID) && sm_end(&m), "... but the new one");
    tap_is(sm_all_objects(&m), n, "... one copy at a time");
    spy_reset_counts(&m.watch.spy);
    m.watch.spy.n_calls = 0;
    vtdm_flush_context(&m.vm, VTDM_RID, OTHER_DID);
    tap_is(m.watch.spy.n_calls, 0, "what is as it was costs no call");
    sm_clear(&m);
}

/* --- PASIDs -----------------------------------------------------------------------------
 */

static void test_pasids(const ShadowMachineOptions *options)
{
    GuestVtdDomain d, other;
    ShadowMachine m;
    guint port, n;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, VTDM_SCALABLE);
    sm_watch(&m, iova(0), 6);
    sm_domain(&m, &d, DID);
    sm_domain(&m, &other, OTHER_DID);
    sm_map(&m, &d, iova(0), 0, 4, RW);
    sm_map(&m, &other, iova(2), 10, 4, RW);
    port = sm_add_port(&m, 0, 7);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "requests without a PASID");
    n = sm_all_objects(&m);
    sm_install(&m, port, &d);
    tap_ok(sm_end(&m), "a PASID has the same domain");
    tap_is(sm_all_objects(&m), n, "... and the same copy");
    sm_map(&m, &d, iova(1), 20, 1, R);
    tap_ok(sm_flush_page(&m, DID, iova(1)) && sm_end(&m), "... synced for both");
    sm_install(&m, port, &other);
    tap_ok(sm_end(&m), "... or another");
    sm_map(&m, &other, iova(2), 0, 1, 0);
    tap_ok(sm_flush_page(&m, OTHER_DID, iova(2)) && sm_end(&m), "... synced for it alone");
    sm_put(&m, &other, iova(3), 1, VTDM_NOWHERE | GUEST_SS_R);
    tap_ok(sm_flush_domain(&m, OTHER_DID) && sm_end(&m) &&
               is_told(&m, 0, VTDM_F_SS_ACCESS, iova(3), 7),
           "what cannot be had is told with the PASID");
    sm_install_identity(&m, port);
    tap_ok(sm_end(&m), "... to IDENTITY");
    sm_install(&m, port, &d);
    tap_ok(sm_end(&m), "... and back");
    sm_remove(&m, port);
    tap_ok(sm_end(&m) && sm_all_objects(&m) == n, "... and taken away");
    sm_clear(&m);
}

/* --- what cannot be had -----------------------------------------------------------------
 */

static void test_told(const ShadowMachineOptions *options, VtdmMode mode)
{
    GuestVtdDomain d;
    ShadowMachine m;
    guint reason = reason_of(mode);

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_watch(&m, iova(0), 8);
    sm_domain(&m, &d, DID);
    sm_map(&m, &d, iova(0), 0, 8, RW);
    sm_put(&m, &d, iova(2), 1, VTDM_NOWHERE | GUEST_SS_R);
    sm_put(&m, &d, iova(5), 1, VTDM_NOWHERE | GUEST_SS_W);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "pages that lead nowhere: the rest is there");
    tap_ok(is_told(&m, 0, reason, iova(2), -1), "... the first is told by its address");
    tap_ok(nothing_told(&m), "... once");
    tap_has(m.vm.refusal, "IOVA 0x4000002000 leads to 0x70000000, which is no guest memory",
            "... and to the VMM in words");
    sm_flush_page(&m, DID, iova(3));
    tap_ok(sm_end(&m) && nothing_told(&m), "a flush beside it says nothing");
    sm_flush_page(&m, DID, iova(5));
    tap_ok(sm_end(&m) && is_told(&m, 0, reason, iova(5), -1), "... and one of it again");
    sm_install(&m, 1, &d);
    tap_ok(sm_end(&m), "a device more");
    vtdm_drain_faults(&m.vm);
    sm_flush_domain(&m, DID);
    tap_ok(sm_end(&m), "... flushed for both");
    tap_ok(is_told(&m, 0, reason, iova(2), -1) || is_told(&m, 0, reason, iova(2), -1),
           "... each is told");
    vtdm_drain_faults(&m.vm);
    sm_map(&m, &d, iova(2), 2, 1, RW);
    sm_map(&m, &d, iova(5), 5, 1, RW);
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m) && nothing_told(&m), "all mended");
    sm_clear(&m);
}

/* FPD of the context entry. */
static void test_silent(const ShadowMachineOptions *options)
{
    GuestVtdDomain d;
    ShadowMachine m;
    guint64 words[2];

    if (!sm_init(&m, options))
        return;
    sm_start(&m, VTDM_LEGACY);
    sm_domain(&m, &d, DID);
    sm_put(&m, &d, iova(0), 1, VTDM_NOWHERE | GUEST_SS_R);
    guest_vtd_context_table(words, &d);
    vtdm_install_context(&m.vm, VTDM_RID, words[0] | 2 /* FPD */, words[1]);
    tap_ok(nothing_told(&m) && g_strrstr(m.vm.refusal, "no guest memory"),
           "with FPD the guest is told nothing, but the VMM");
    sm_clear(&m);
}

/* FPD of the PASID table entry. */
static void test_silent_entry(const ShadowMachineOptions *options)
{
    guint64 words[GUEST_VTD_PASID_WORDS];
    GuestVtdDomain d;
    ShadowMachine m;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, VTDM_SCALABLE);
    sm_domain(&m, &d, DID);
    sm_map(&m, &d, iova(0), 0, 1, RW);
    guest_vtd_pasid_table(words, &d);
    words[0] |= 2; /* FPD */
    vtdm_install_pasid(&m.vm, VTDM_RID, 0, words);
    sm_put(&m, &d, iova(1), 1, VTDM_NOWHERE | GUEST_SS_R);
    sm_flush_page(&m, DID, iova(1));
    tap_ok(nothing_told(&m) && g_strrstr(m.vm.refusal, "no guest memory"),
           "with FPD of a PASID table entry, too");
    sm_clear(&m);
}

/*
 * Addresses that the guest's tables have, and the host's not. A container says beforehand
 * how far it maps, and the guest is offered no more; an iommufd says it of a table.
 */
static void test_limit(const ShadowMachineOptions *options, VtdmMode mode)
{
    const guint host_bits = options->lacks & SM_FSTS ? 48 : 47;
    const guint offered = can_nest(options) ? 48 : host_bits;
    const guint64 beyond = 1ull << host_bits;
    GuestVtdDomain d;
    ShadowMachine m;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    tap_is(vtdm_cap(&m.vm, VTDM_CAP_MGAW, 6) + 1, offered,
           "the width of the guest's addresses");
    sm_watch(&m, iova(0), 2);
    sm_watch(&m, beyond - SM_PAGE, 1);
    sm_domain(&m, &d, DID);
    sm_map(&m, &d, iova(0), 0, 2, RW);
    sm_map(&m, &d, beyond - SM_PAGE, 2, 1, RW);
    if (offered > host_bits)
        sm_map(&m, &d, beyond, 3, 2, RW);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "pages up to 0x%" G_GINT64_MODIFIER "x", beyond);
    if (offered > host_bits)
        tap_ok(is_told(&m, 0, reason_of(mode), beyond, -1) && nothing_told(&m) &&
                   !sm_see(&m, 0, beyond).rights,
               "... those beyond are told");
    else
        tap_ok(nothing_told(&m), "... and there are no others");
    sm_clear(&m);
}

/* --- guest memory -----------------------------------------------------------------------
 */

static void test_memory(const ShadowMachineOptions *options, VtdmMode mode)
{
    GuestVtdDomain d;
    ShadowMachine m;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_watch(&m, iova(0), 8);
    sm_domain(&m, &d, DID);
    sm_map(&m, &d, iova(0), 0, 8, RW);
    for (guint i = 2; i < 5; i++)
        sm_put(&m, &d, iova(i), 1, hot(i) | GUEST_SS_R | GUEST_SS_W);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "pages of memory that may go");
    tap_ok(sm_unplug(&m, NULL) && sm_end(&m), "it goes: so do they");
    tap_ok(nothing_told(&m), "... and the guest, whose business it is, is told nothing");
    sm_flush_page(&m, DID, iova(3));
    tap_ok(sm_end(&m) && is_told(&m, 0, reason_of(mode), iova(3), -1),
           "... unless it asks");
    tap_ok(sm_plug(&m, NULL) && sm_end(&m), "it comes back, and so do they");
    sm_unplug(&m, NULL);
    sm_end(&m);
    sm_map(&m, &d, iova(3), 3, 1, RW);
    sm_map(&m, &d, iova(4), 0, 1, 0);
    tap_ok(sm_flush_domain(&m, DID) && sm_end(&m), "the guest puts other pages there");
    vtdm_drain_faults(&m.vm);
    tap_ok(sm_plug(&m, NULL) && sm_end(&m), "... which stay when it comes back");
    sm_clear(&m);
}

/* --- life -------------------------------------------------------------------------------
 */

static void test_life(const ShadowMachineOptions *options, VtdmMode mode)
{
    GuestVtdDomain d, other;
    ShadowMachine m;
    guint before;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_watch(&m, iova(0), 4);
    sm_watch(&m, m.pages[0], 2);
    sm_domain(&m, &d, DID);
    sm_domain(&m, &other, OTHER_DID);
    sm_map(&m, &d, iova(0), 0, 4, RW);
    sm_map(&m, &other, iova(0), 10, 2, RW);
    before = sm_all_objects(&m);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "a device in a domain");
    all_to(&m, SM_IDENTITY);
    sm_begin(&m);
    vtdm_command(&m.vm, VTDM_TE, FALSE);
    tap_ok(sm_end(&m) && sm_all_objects(&m) == before, "translation off: no copy is left");
    sm_map(&m, &d, iova(1), 20, 1, R);
    all_to(&m, SM_BLOCKED);
    m.ports[0].home = (ShadowHome){SM_DOMAIN, &d};
    sm_begin(&m);
    vtdm_command(&m.vm, VTDM_TE, TRUE);
    tap_ok(sm_end(&m), "... and on: the table as it is now");
    m.ports[0].home.kind = SM_BLOCKED;
    sm_begin(&m);
    viommu_vtd_detach_device(m.vm.vtd, m.vm.devices[0]);
    tap_ok(sm_end(&m), "the device is taken away");
    sm_map(&m, &d, iova(2), 21, 1, R);
    sm_flush_domain(&m, DID);
    m.ports[0].home = (ShadowHome){SM_DOMAIN, &d};
    sm_begin(&m);
    viommu_vtd_attach_device(m.vm.vtd, m.vm.devices[0], VTDM_RID, 0, NULL);
    tap_ok(sm_end(&m), "... and comes back to the table as it is now");
    sm_install(&m, 1, &other);
    tap_ok(sm_end(&m), "another in another domain");
    m.ports[0].home.domain = &other;
    sm_begin(&m);
    viommu_vtd_set_requester_id(m.vm.vtd, m.vm.devices[0], VTDM_RID + 8, NULL);
    tap_ok(sm_end(&m), "with the other's requester ID, the first has its table");
    m.ports[0].home.domain = &d;
    sm_begin(&m);
    viommu_vtd_set_requester_id(m.vm.vtd, m.vm.devices[0], VTDM_RID, NULL);
    tap_ok(sm_end(&m), "... and with its own its own");
    all_to(&m, SM_BLOCKED);
    sm_begin(&m);
    viommu_vtd_block(m.vm.vtd, NULL);
    tap_ok(sm_end(&m) && sm_all_objects(&m) == before, "blocked for a reset: no copies");
    all_to(&m, SM_IDENTITY);
    sm_begin(&m);
    viommu_vtd_release(m.vm.vtd, NULL);
    tap_ok(sm_end(&m), "released: at IDENTITY");
    sm_start(&m, mode);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "and started anew");
    sm_clear(&m);
}

static void test_restore(const ShadowMachineOptions *options, VtdmMode mode)
{
    g_autoptr(GBytes) state = NULL;
    g_autoptr(GError) error = NULL;
    GuestVtdDomain d;
    ShadowMachine m;

    if (!sm_init(&m, options))
        return;
    sm_start(&m, mode);
    sm_watch(&m, iova(0), 4);
    sm_domain(&m, &d, DID);
    sm_map(&m, &d, iova(0), 0, 4, RW);
    sm_install(&m, 0, &d);
    tap_ok(sm_end(&m), "a device in a domain");
    state = viommu_vtd_save(m.vm.vtd, NULL);
    m.ports[0].home.kind = SM_BLOCKED;
    sm_begin(&m);
    tap_ok(vtdm_remake(&m.vm, &error), "a unit in this one's place");
    sm_end(&m);
    sm_map(&m, &d, iova(1), 20, 1, R);
    m.ports[0].home.kind = SM_DOMAIN;
    sm_begin(&m);
    tap_ok(viommu_vtd_restore(m.vm.vtd, state, &error), "... is given its state");
    tap_ok(sm_end(&m), "... and has the copy made");
    sm_map(&m, &d, iova(0), 0, 1, 0);
    tap_ok(sm_flush_page(&m, DID, iova(0)) && sm_end(&m), "... and kept");
    sm_clear(&m);
}

static void test_mode(const ShadowMachineOptions *options, VtdmMode mode)
{
    ShadowMachineOptions several = *options, smaller = *options;

    several.n_devices = 3;
    smaller.host_levels = 4;
    tap_note("backend %s, %s mode, host without 0x%" G_GINT64_MODIFIER "x",
             options->backend, mode == VTDM_LEGACY ? "legacy" : "scalable", options->lacks);
    test_flushes(options, mode);
    test_entries(options, mode);
    test_sharing(&several, mode);
    test_switching(options, mode);
    test_in_place(options, mode);
    test_told(&several, mode);
    test_limit(&smaller, mode);
    test_memory(options, mode);
    test_life(&several, mode);
    test_restore(options, mode);
}

int main(void)
{
    for (const char *const *name = viommu_backend_names(); *name; name++) {
        const ShadowMachineOptions *all = SM_OPTIONS(.backend = *name);
        const ShadowMachineOptions *no_first =
            SM_OPTIONS(.backend = *name, .lacks = SM_FSTS);

        test_mode(all, VTDM_LEGACY);
        test_mode(all, VTDM_SCALABLE);
        test_mode(no_first, VTDM_LEGACY);
        test_mode(no_first, VTDM_SCALABLE);
        test_silent(all);
        test_silent_entry(all);
        if (can_nest(all))
            test_pasids(SM_OPTIONS(.backend = *name, .pasids = TRUE));
    }
    return tap_done();
}
