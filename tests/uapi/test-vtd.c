/* SPDX-License-Identifier: MIT */
/*
 * VT-d nesting: what a nested HWPT, an attach and an invalidation are refused for, what is
 * counted when a batch fails, read-only memory in a parent; and where DMA lands through
 * the first and the second stage, with what stays as it was until it is invalidated.
 *
 * The same points on the emulator (--emulate vtd) and, with --device, on the kernel.
 */
#include "uapi.h"

#include "tap.h"

#include <errno.h>
#include <string.h>

/* First-stage entries (9.7) */
enum { P = 1, RW = 2, US = 4, A = 0x20, D = 0x40, PS = 0x80, ALL = P | RW | US };
enum {
    IOVA = 0x5000,
    READ_ONLY = 0x6000,
    NOWHERE = 0x7000,
    FILL = 0x9000,
    HUGE = 0x400000
};
enum { VTD_INV = IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 };

typedef struct {
    guint32 parent;
    guint64 cap, ecap;
    guint64 root;     /* guest-physical, of the 4-level table */
    guint64 pages[2]; /* IOVA is mapped to the first */
    guint32 nested;
} Vtd;

/* --- first-stage tables -----------------------------------------------------------------
 */

/* The entry for an address at this level, with tables made on the way. */
static guint64 *entry(Uapi *u, guint64 root, guint levels, guint level, guint64 iova)
{
    guint64 table = root;

    for (guint at = levels; at > level; at--) {
        guint64 *word =
            (guint64 *)guest_memory_at(&u->ram, table) + ((iova >> (3 + 9 * at)) & 511);

        if (!(GUINT64_FROM_LE(*word) & P))
            *word = GUINT64_TO_LE(guest_memory_alloc(&u->ram) | ALL);
        table = GUINT64_FROM_LE(*word) & 0xffffffffff000;
    }
    return (guint64 *)guest_memory_at(&u->ram, table) + ((iova >> (3 + 9 * level)) & 511);
}

static void map(Uapi *u, guint64 root, guint64 iova, guint64 gpa, guint64 bits)
{
    *entry(u, root, 4, 1, iova) = GUINT64_TO_LE(gpa | bits);
}

static int nested(Uapi *u, guint32 parent, guint64 root, guint64 flags, guint width,
                  guint32 *ret_id)
{
    struct iommu_hwpt_vtd_s1 data = {
        .flags = flags, .pgtbl_addr = root, .addr_width = width};

    return uapi_hwpt(u, 0, parent, 0, IOMMU_HWPT_DATA_VTD_S1, &data, sizeof data, ret_id);
}

static void vtd_init(Vtd *v, Uapi *u)
{
    struct iommu_hw_info_vtd hw = {0};
    struct iommu_hw_info info = {.size = sizeof info,
                                 .dev_id = u->devices[0],
                                 .data_len = sizeof hw,
                                 .data_uptr = (guintptr)&hw};

    *v = (Vtd){0};
    uapi_ioctl(u, IOMMU_GET_HW_INFO, &info);
    v->cap = hw.cap_reg;
    v->ecap = hw.ecap_reg;
    uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &v->parent);
    v->root = guest_memory_alloc(&u->ram);
    for (guint i = 0; i < G_N_ELEMENTS(v->pages); i++)
        v->pages[i] = guest_memory_alloc(&u->ram);
    map(u, v->root, IOVA, v->pages[0], ALL);
    map(u, v->root, READ_ONLY, v->pages[0], P | US);
    map(u, v->root, FILL, u->fill, P | US);
    nested(u, v->parent, v->root, 0, 48, &v->nested);
}

static void attach_and_prime(Uapi *u, const Vtd *v, guint n)
{
    tap_is(uapi_attach_to(u, n, v->nested), 0, "attach to the first stage");
    uapi_prime(u, n, FILL);
}

static int flush(Uapi *u, guint32 id, guint64 addr, guint64 npages, guint32 flags)
{
    struct iommu_hwpt_vtd_s1_invalidate request = {
        .addr = addr, .npages = npages, .flags = flags};
    guint32 n = 1;

    return uapi_invalidate(u, id, VTD_INV, &request, sizeof request, &n);
}

/* --- making objects ---------------------------------------------------------------------
 */

static void test_parent(Uapi *u)
{
    guint32 id = 0, plain = 0;
    guint64 data[3] = {0};

    tap_is(uapi_hwpt(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_DATA_VTD_S1,
                     data, sizeof data, &id),
           -EOPNOTSUPP, "a parent with data");
    tap_is(uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &id), 0, "a parent");
    tap_is(uapi_paging(u, 0, u->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID,
                       &id),
           0, "a parent for PASIDs");
    tap_is(uapi_paging(u, 0, u->ioas, 0, &plain), 0, "one that is no parent");
    tap_is(nested(u, plain, 0, 0, 48, &id), -EINVAL, "nested in one that is no parent");
    tap_is(uapi_viommu(u, 0, id, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, &id), -EOPNOTSUPP,
           "a vIOMMU");
}

static void test_nested(Uapi *u)
{
    struct {
        struct iommu_hwpt_vtd_s1 s1;
        guint64 more;
    } data = {{.addr_width = 48}, 0};
    const guint32 size = sizeof data.s1, type = IOMMU_HWPT_DATA_VTD_S1;
    guint32 id = 0, other = 0;
    Vtd v;

    vtd_init(&v, u);
    tap_is(uapi_hwpt(u, 0, v.parent, 0, type, &data, size, &id), 0, "a nested HWPT");
    tap_is(uapi_hwpt(u, 0, id, 0, type, &data, size, &other), -EINVAL,
           "nested in a nested one");
    tap_is(uapi_hwpt(u, 0, v.parent, 0, IOMMU_HWPT_DATA_ARM_SMMUV3, &data, 16, &id),
           -EOPNOTSUPP, "a PASID entry that is an STE");
    tap_is(uapi_hwpt(u, 0, v.parent, 0, type, &data, size - 1, &id), -EINVAL, "too small");
    tap_is(uapi_hwpt(u, 0, v.parent, 0, type, &data, sizeof data, &id), -EINVAL,
           "larger, with nothing to say");
    data.more = 1;
    tap_is(uapi_hwpt(u, 0, v.parent, 0, type, &data, sizeof data, &id), -EINVAL,
           "larger, with more to say");
    tap_is(uapi_hwpt(u, 0, v.parent, 0, type, NULL, size, &id), -EFAULT, "at NULL");
    tap_is(uapi_hwpt(u, 0, v.parent, IOMMU_HWPT_ALLOC_NEST_PARENT, type, &data, size, &id),
           -EOPNOTSUPP, "one that would be a parent");
    tap_is(
        uapi_hwpt(u, 0, v.parent, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, type, &data, size, &id),
        -EOPNOTSUPP, "one with dirty tracking");
    tap_is(uapi_hwpt(u, 0, v.parent, IOMMU_HWPT_FAULT_ID_VALID, type, &data, size, &id),
           -ENOENT, "one with a fault queue that is not there");
    tap_is(uapi_hwpt(u, 0, v.parent, IOMMU_HWPT_ALLOC_PASID, type, &data, size, &id), 0,
           "one for PASIDs");
    tap_is(uapi_hwpt(u, 0, v.parent, 0, IOMMU_HWPT_DATA_NONE, NULL, 0, &id), -EOPNOTSUPP,
           "one without data");
    tap_is(nested(u, v.parent, ~0ull, 0, 48, &id), 0, "any table will do until attach");
    tap_is(nested(u, v.parent, 0, 0, 12345, &id), 0, "... any width");
    tap_is(nested(u, v.parent, 0, 1ull << 60, 48, &id), 0, "... any flag");
    data.s1.__reserved = 1;
    tap_is(uapi_hwpt(u, 0, v.parent, 0, type, &data, size, &id), 0,
           "... any reserved field");
    tap_is(uapi_destroy(u, v.parent), -EBUSY, "the parent stays");
}

/* --- attach -----------------------------------------------------------------------------
 */

static void test_attach(Uapi *u)
{
    guint32 width39 = 0, width57 = 0, sre = 0, eafe = 0;
    Vtd v;

    vtd_init(&v, u);
    nested(u, v.parent, v.root, 0, 39, &width39);
    nested(u, v.parent, v.root, 0, 57, &width57);
    nested(u, v.parent, v.root, IOMMU_VTD_S1_SRE, 48, &sre);
    nested(u, v.parent, v.root, IOMMU_VTD_S1_EAFE, 48, &eafe);
    tap_is(uapi_attach_to(u, 0, width39), -EINVAL, "attach tables of 3 levels");
    tap_is(uapi_detach(u, 0), 0, "... nothing is attached");
    tap_is(uapi_attach_to(u, 0, width57), v.cap & 1ull << 60 ? 0 : -EINVAL,
           "attach tables of 5 levels, where the unit has them");
    uapi_detach(u, 0);
    tap_is(uapi_attach_to(u, 0, sre), v.ecap & 1ull << 31 ? 0 : -EINVAL,
           "attach with SRE, where the unit has it");
    uapi_detach(u, 0);
    tap_is(uapi_attach_to(u, 0, eafe), v.ecap & 1ull << 34 ? 0 : -EINVAL,
           "attach with EAFE, where the unit has it");
    uapi_detach(u, 0);
    attach_and_prime(u, &v, 0);
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "DMA lands");
    tap_is(uapi_destroy(u, v.nested), -EBUSY, "an attached HWPT stays");
    tap_is(uapi_attach_to(u, 0, width39), -EINVAL, "replace it by 3 levels");
    tap_is(uapi_destroy(u, v.nested), -EBUSY, "... for iommufd, nothing changed");
    tap_is(uapi_destroy(u, width39), 0, "... the other goes");
    tap_ok(!uapi_stores(u, 0, IOVA, v.pages[0]), "... but the device is blocked");
    tap_is(uapi_attach_to(u, 0, v.nested), 0, "attach what was");
    tap_ok(!uapi_stores(u, 0, IOVA, v.pages[0]), "... changes nothing");
    tap_is(uapi_detach(u, 0), 0, "detach");
    tap_is(uapi_attach_to(u, 0, v.nested), 0, "... and attach what was");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "... lands");
    tap_is(uapi_detach(u, 0), 0, "detach");
    tap_is(uapi_destroy(u, v.nested), 0, "it goes");
}

static void test_read_only(Uapi *u)
{
    guint64 low = 0x10000, high = 0x20000;
    guint32 ioas = 0, parent = 0;

    uapi_ioas_alloc(u, &ioas);
    uapi_map(u, ioas, IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE, u->ram.bytes,
             4096, &low);
    tap_is(uapi_paging(u, 0, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &parent), -EINVAL,
           "a parent over read-only memory");
    tap_is(uapi_unmap_at(u, ioas, low, 4096), 0, "without it");
    tap_is(uapi_paging(u, 0, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &parent), 0,
           "... a parent");
    tap_is(uapi_map(u, ioas, IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
                    u->ram.bytes, 4096, &low),
           -EINVAL, "map read-only");
    tap_is(uapi_map(u, ioas, IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE,
                    u->ram.bytes, 4096, &high),
           0, "map write-only");
    tap_is(uapi_map_at(u, ioas, u->ram.bytes, 4096, low), 0, "map for both");
    tap_is(uapi_destroy(u, parent), 0, "the parent goes");
    tap_is(uapi_unmap_at(u, ioas, low, 4096), 0, "and then");
    tap_is(uapi_map(u, ioas, IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
                    u->ram.bytes, 4096, &low),
           0, "... read-only is as good as any");
}

/* --- invalidation -----------------------------------------------------------------------
 */

static void test_invalidate(Uapi *u)
{
    enum { N = 5 };
    struct iommu_hwpt_vtd_s1_invalidate requests[N];
    struct {
        struct iommu_hwpt_vtd_s1_invalidate request;
        guint64 more;
    } large = {{.npages = 1}, 0};
    guint32 n = 0;
    Vtd v;

    vtd_init(&v, u);
    for (guint i = 0; i < N; i++)
        requests[i] = (struct iommu_hwpt_vtd_s1_invalidate){.addr = i << 12, .npages = 1};
    for (guint attached = 0; attached < 2; attached++) {
        const char *how = attached ? "attached" : "not attached";

        tap_is(flush(u, v.nested, 0, 1, 0), 0, "%s: a page", how);
        tap_is(flush(u, v.nested, 0, 1, IOMMU_VTD_INV_FLAGS_LEAF), 0, "%s: its leaf", how);
        tap_is(flush(u, v.nested, 0, G_MAXUINT64, 0), 0, "%s: all", how);
        tap_is(flush(u, v.nested, 0x1000, G_MAXUINT64, 0), -EINVAL, "%s: all, but some",
               how);
        tap_is(flush(u, v.nested, 0x1001, 1, 0), -EINVAL, "%s: off a page", how);
        tap_is(flush(u, v.nested, 0, 1, 2), -EOPNOTSUPP, "%s: a flag of tomorrow", how);
        tap_is(flush(u, v.nested, 1, 1, 2), -EOPNOTSUPP, "%s: ... comes first", how);
        n = N;
        tap_is(uapi_invalidate(u, v.nested, VTD_INV, requests, sizeof requests[0], &n), 0,
               "%s: five", how);
        tap_is(n, N, "... all handled");
        for (guint bad = 0; bad < N; bad++) {
            requests[bad].__reserved = 1;
            n = N;
            tap_is(uapi_invalidate(u, v.nested, VTD_INV, requests, sizeof requests[0], &n),
                   -EOPNOTSUPP, "%s: number %u says something reserved", how, bad);
            tap_is(n, bad, "... those before are handled");
            requests[bad].__reserved = 0;
        }
        if (!attached)
            uapi_attach_to(u, 0, v.nested);
    }
    n = 0;
    tap_is(uapi_invalidate(u, v.nested, VTD_INV, NULL, 0, &n), 0, "nothing");
    n = 0;
    tap_is(uapi_invalidate(u, v.nested, 99, NULL, 0, &n), -EINVAL, "nothing, of no type");
    n = 1;
    tap_is(uapi_invalidate(u, v.nested, IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3, requests,
                           16, &n),
           -EINVAL, "an SMMUv3 command");
    tap_is(n, 0, "... is not counted");
    n = 1;
    tap_is(uapi_invalidate(u, v.nested, VTD_INV, requests, 23, &n), -EINVAL, "too small");
    tap_is(n, 0, "... is not counted");
    n = 1;
    tap_is(uapi_invalidate(u, v.nested, VTD_INV, &large, sizeof large, &n), -EINVAL,
           "larger, with nothing to say");
    tap_is(n, 0, "... is not counted");
    n = 1;
    tap_is(uapi_invalidate(u, v.nested, VTD_INV, (void *)64, sizeof requests[0], &n),
           -EFAULT, "what is no memory");
    n = 1;
    tap_is(uapi_invalidate(u, v.parent, VTD_INV, requests, sizeof requests[0], &n), -EINVAL,
           "of a parent");
    uapi_detach(u, 0);
}

/* --- bytes ------------------------------------------------------------------------------
 */

static void test_bytes(Uapi *u)
{
    guint64 root = guest_memory_alloc(&u->ram);
    guint32 other = 0;
    Vtd v;

    vtd_init(&v, u);
    map(u, root, IOVA, v.pages[1], ALL);
    nested(u, v.parent, root, 0, 48, &other);
    attach_and_prime(u, &v, 0);
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "DMA lands where the first stage says");
    tap_ok(!uapi_stores(u, 0, READ_ONLY, v.pages[0]), "... not in what is read-only");
    tap_ok(!uapi_stores(u, 0, NOWHERE, v.pages[0]), "... not in what is not mapped");
    tap_ok(!uapi_stores(u, 0, v.pages[0], v.pages[0]), "... not by guest-physical address");
    guest_memory_fill(&u->ram, v.pages[0], 0x77, 64);
    tap_ok(uapi_loads(u, 0, READ_ONLY, v.pages[0], IOVA, v.pages[0]),
           "what is read-only is read");
    uapi_prime(u, 0, FILL);
    tap_is(uapi_attach_to(u, 0, other), 0, "replace by other tables");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[1]), "DMA goes by them");
    tap_is(uapi_attach_to(u, 0, v.parent), 0, "replace by the parent");
    tap_ok(uapi_stores(u, 0, v.pages[0], v.pages[0]), "DMA goes by guest-physical address");
    tap_is(uapi_attach_to(u, 0, v.nested), 0, "replace by the first tables");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "DMA goes by them");
    tap_is(uapi_detach(u, 0), 0, "detach");
    tap_ok(!uapi_stores(u, 0, IOVA, v.pages[0]), "DMA goes nowhere");
}

static void test_sizes(Uapi *u)
{
    const guint64 huge = UAPI_RAM_BASE + 0x400000;
    guint64 root = guest_memory_alloc(&u->ram);
    guint32 id = 0;
    Vtd v;

    vtd_init(&v, u);
    attach_and_prime(u, &v, 0);
    *entry(u, v.root, 4, 2, HUGE) = GUINT64_TO_LE(huge | ALL | PS);
    tap_ok(uapi_stores(u, 0, HUGE + 0x1ff000, huge + 0x1ff000), "a page of 2 MiB");
    tap_ok(!uapi_stores(u, 0, HUGE + 0x200000, huge), "... and no more");
    if (v.cap & 1ull << 56) {
        *entry(u, root, 4, 3, 0) = GUINT64_TO_LE(ALL | PS);
        nested(u, v.parent, root, 0, 48, &id);
        tap_is(uapi_attach_to(u, 0, id), 0, "attach");
        tap_ok(uapi_stores(u, 0, v.pages[0], v.pages[0]), "a page of 1 GiB");
    } else {
        tap_skip("no pages of 1 GiB", "attach");
        tap_skip("no pages of 1 GiB", "a page of 1 GiB");
    }
    if (v.cap & 1ull << 60) {
        root = guest_memory_alloc(&u->ram);
        *entry(u, root, 5, 1, IOVA) = GUINT64_TO_LE(v.pages[1] | ALL);
        nested(u, v.parent, root, 0, 57, &id);
        tap_is(uapi_attach_to(u, 0, id), 0, "attach");
        tap_ok(uapi_stores(u, 0, IOVA, v.pages[1]), "tables of 5 levels");
    } else {
        tap_skip("no tables of 5 levels", "attach");
        tap_skip("no tables of 5 levels", "tables of 5 levels");
    }
    uapi_detach(u, 0);
}

/* Permissions at every level, and the bits that the hardware sets. */
static void test_bits(Uapi *u)
{
    guint64 *leaf;
    Vtd v;

    vtd_init(&v, u);
    attach_and_prime(u, &v, 0);
    leaf = entry(u, v.root, 4, 1, IOVA);
    tap_ok(!(GUINT64_FROM_LE(*leaf) & (A | D)), "untouched, neither accessed nor dirty");
    uapi_peek(u, 0, IOVA);
    tap_is(GUINT64_FROM_LE(*leaf) & (A | D), A, "a read sets accessed");
    uapi_prime(u, 0, FILL);
    if (u->target.emulator) {
        uapi_poke(u, 0, IOVA);
        tap_is(GUINT64_FROM_LE(*leaf) & (A | D), A | D, "a write after it sets dirty");
    } else {
        tap_skip("QEMU's nested VT-d sets dirty only together with accessed",
                 "a write after it sets dirty");
    }
    map(u, v.root, IOVA, v.pages[0], ALL);
    tap_is(flush(u, v.nested, 0, G_MAXUINT64, 0), 0, "untouched again");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "a write");
    tap_is(GUINT64_FROM_LE(*leaf) & (A | D), A | D, "... sets both");
    tap_ok(GUINT64_FROM_LE(*entry(u, v.root, 4, 2, IOVA)) & A, "... and the way there");
    tap_ok(GUINT64_FROM_LE(*entry(u, v.root, 4, 4, IOVA)) & A, "... from the top");
    *leaf = GUINT64_TO_LE(v.pages[0] | P | RW);
    tap_is(flush(u, v.nested, 0, G_MAXUINT64, 0), 0, "a supervisor's page");
    tap_ok(!uapi_stores(u, 0, IOVA, v.pages[0]), "... is not for devices");
    *leaf = GUINT64_TO_LE(v.pages[0] | ALL);
    *entry(u, v.root, 4, 3, IOVA) &= ~GUINT64_TO_LE(RW);
    tap_is(flush(u, v.nested, 0, G_MAXUINT64, 0), 0, "a table that is read-only");
    tap_ok(!uapi_stores(u, 0, IOVA, v.pages[0]), "... makes its pages so");
    *entry(u, v.root, 4, 3, IOVA) |= GUINT64_TO_LE(RW);
    *entry(u, v.root, 4, 3, IOVA) &= ~GUINT64_TO_LE(US);
    tap_is(flush(u, v.nested, 0, G_MAXUINT64, 0), 0, "a table of a supervisor");
    tap_ok(!uapi_stores(u, 0, IOVA, v.pages[0]), "... makes its pages so");
    *entry(u, v.root, 4, 3, IOVA) |= GUINT64_TO_LE(US);
    tap_is(flush(u, v.nested, 0, G_MAXUINT64, 0), 0, "as it was");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "... lands");
    uapi_detach(u, 0);
}

static void make_stale(Uapi *u, Vtd *v)
{
    guint64 page = v->pages[0];

    uapi_store(u, 0, IOVA);
    v->pages[0] = v->pages[1];
    v->pages[1] = page;
    map(u, v->root, IOVA, v->pages[0], ALL);
    tap_ok(uapi_stores(u, 0, IOVA, v->pages[1]), "a changed entry: stale");
}

static void test_stale(Uapi *u)
{
    guint32 same = 0;
    Vtd v;

    vtd_init(&v, u);
    nested(u, v.parent, v.root, 0, 48, &same);
    attach_and_prime(u, &v, 0);
    make_stale(u, &v);
    tap_is(flush(u, v.nested, IOVA + 0x10000, 1, 0), 0, "invalidate another page");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[1]), "... stale");
    tap_is(flush(u, same, 0, G_MAXUINT64, 0), 0, "invalidate another HWPT");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[1]), "... stale");
    tap_is(flush(u, v.nested, IOVA, 1, 0), 0, "invalidate the page");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "... fresh");
    make_stale(u, &v);
    tap_is(flush(u, v.nested, IOVA, 1, IOMMU_VTD_INV_FLAGS_LEAF), 0, "invalidate the leaf");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "... fresh");
    make_stale(u, &v);
    tap_is(flush(u, v.nested, IOVA - 0x2000, 8, 0), 0, "invalidate pages around");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "... fresh");
    make_stale(u, &v);
    tap_is(flush(u, v.nested, 0, G_MAXUINT64, 0), 0, "invalidate all");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "... fresh");
    make_stale(u, &v);
    tap_is(uapi_attach_to(u, 0, same), 0, "replace by an HWPT of the same tables");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "... fresh");
    uapi_detach(u, 0);
}

static void test_shared(Uapi *u)
{
    Vtd v;

    if (u->n_devices < 2)
        return;
    vtd_init(&v, u);
    attach_and_prime(u, &v, 0);
    attach_and_prime(u, &v, 1);
    tap_ok(uapi_stores(u, 1, IOVA, v.pages[0]), "a second device lands there, too");
    make_stale(u, &v);
    tap_is(flush(u, v.nested, IOVA, 1, 0), 0, "one invalidation");
    tap_ok(uapi_stores(u, 0, IOVA, v.pages[0]), "... fresh for the first");
    tap_ok(uapi_stores(u, 1, IOVA, v.pages[0]), "... and the second");
    tap_is(uapi_detach(u, 0), 0, "the first leaves");
    tap_ok(uapi_stores(u, 1, IOVA, v.pages[0]), "... the second goes on");
    uapi_detach(u, 1);
}

static void test_stage2(Uapi *u)
{
    const guint64 at = UAPI_RAM_BASE + UAPI_RAM_SIZE;
    Vtd v;

    vtd_init(&v, u);
    attach_and_prime(u, &v, 0);
    map(u, v.root, NOWHERE, at, ALL);
    tap_ok(!uapi_stores(u, 0, NOWHERE, v.pages[0]), "an address that the parent has not");
    tap_is(uapi_map_at(u, u->ioas, guest_memory_at(&u->ram, v.pages[0]), 4096, at), 0,
           "map it in the IOAS");
    tap_ok(uapi_stores(u, 0, NOWHERE, v.pages[0]), "... lands there");
    tap_is(uapi_unmap_at(u, u->ioas, at, 4096), 0, "unmap it");
    tap_ok(!uapi_stores(u, 0, NOWHERE, v.pages[0]), "... lands no more");
    uapi_detach(u, 0);
}

int main(int argc, char **argv)
{
    static const UapiTest tests[] = {
        test_parent, test_nested, test_attach, test_read_only, test_invalidate, test_bytes,
        test_sizes,  test_bits,   test_stale,  test_shared,    test_stage2,
    };

    return uapi_main(argc, argv, IOMMU_HW_INFO_TYPE_INTEL_VTD, tests, G_N_ELEMENTS(tests));
}
