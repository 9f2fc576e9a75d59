/* SPDX-License-Identifier: MIT */
/*
 * The whole device: emulated endpoints. Walks by context descriptors and VMSAv8-64 tables
 * of all granules, faults and their events, substreams, the IOTLB and what keeps it right,
 * read sections. No host is needed for it, but there is one: both live behind one SMMU.
 */
#include "tap.h"
#include "vmachine.h"

enum { UNMAPPED = 0x9000, BLOCK = 0x40000000 };
enum { PTE_PAGE = 3, PTE_BLOCK = 1 };
#define READ           VIOMMU_ACCESS_READ
#define WRITE          VIOMMU_ACCESS_WRITE
#define PTE_USER       (1ull << 6)
#define PTE_READ_ONLY  (1ull << 7)
#define PTE_AF         (1ull << 10)
#define PTE_NOT_GLOBAL (1ull << 11)
#define PTE_PXN        (1ull << 53)
#define PTE_XN         (1ull << 54)
#define PTE_USUAL      (PTE_USER | PTE_AF | PTE_NOT_GLOBAL | 3ull << 8)

/* Where the entry of this level stands; makes the tables above it. */
static guint64 entry_at(VMachine *vm, guint64 root, guint granule, guint input_bits,
                        guint64 iova, guint level)
{
    guint stride = granule - 3, first = 4 - (input_bits - granule + stride - 1) / stride;
    guint64 table = root;

    for (guint l = first;; l++) {
        guint shift = granule + stride * (3 - l);
        guint top = MIN(shift + stride, input_bits);
        guint64 at = table + 8 * ((iova & ((1ull << top) - 1)) >> shift);
        guint64 entry;

        if (l == level)
            return at;
        entry = vm_load(vm, at);
        if (!(entry & 1)) {
            entry = vm_alloc(vm, 1u << granule) | PTE_PAGE;
            vm_store(vm, at, entry);
        }
        table = entry & 0x0000fffffffff000ull & ~((1ull << granule) - 1);
    }
}

static guint64 page_entry(VMachine *vm, guint64 iova)
{
    return entry_at(vm, vm->domain.root, 12, 39, iova, 3);
}

static void test_walk(VMachine *vm)
{
    ViommuTranslation to = {0};
    const guint sid = VM_ENDPOINT;

    tap_ok(vm_reads(vm, sid, VM_IOVA + 0x123) == vm->page + 0x123,
           "a page, and the offset");
    tap_is(viommu_smmuv3_translate(vm->smmu, sid, VIOMMU_SMMUV3_NO_SUBSTREAM,
                                   VM_IOVA + 0x123, READ, &to),
           VIOMMU_OK, "an answer");
    tap_ok(to.length >= 1 && to.length <= 0x1000 - 0x123, "... no longer than the page");
    tap_is(to.access & (READ | WRITE), READ | WRITE, "... says what is allowed there");
    tap_ok(!to.is_msi, "... and is no message");
    vm_store(vm, page_entry(vm, 0x6000), vm->page | PTE_PAGE | PTE_USUAL | PTE_READ_ONLY);
    tap_ok(vm_reads(vm, sid, 0x6000) == vm->page, "a read-only page is read");
    vm_drain_events(vm);
    tap_ok(vm_translate(vm, sid, VM_NO_SSID, 0x6000, WRITE) == VM_REFUSED &&
               vm_event_id(vm) == VM_F_PERMISSION,
           "... and not written: F_PERMISSION");
    vm_store(vm, page_entry(vm, 0x7000), vm->page | PTE_PAGE | (PTE_USUAL & ~PTE_USER));
    tap_ok(vm_reads(vm, sid, 0x7000) == VM_REFUSED && vm_event_id(vm) == VM_F_PERMISSION,
           "a privileged page is not for unprivileged reads");
    tap_ok(vm_translate(vm, sid, VM_NO_SSID, 0x7000, READ | VIOMMU_ACCESS_PRIVILEGED) ==
               vm->page,
           "... but for privileged ones");
    vm_store(vm, page_entry(vm, 0x8000), vm->page | PTE_PAGE | PTE_USUAL | PTE_XN);
    tap_ok(vm_translate(vm, sid, VM_NO_SSID, 0x8000, VIOMMU_ACCESS_EXECUTE) == VM_REFUSED &&
               vm_event_id(vm) == VM_F_PERMISSION,
           "an execute-never page is not executed");
    vm_store(vm, page_entry(vm, 0xa000), vm->page | PTE_PAGE | (PTE_USUAL & ~PTE_AF));
    tap_ok(vm_reads(vm, sid, 0xa000) == VM_REFUSED && vm_event_id(vm) == VM_F_ACCESS,
           "no access flag: F_ACCESS");
    vm_store(vm, page_entry(vm, 0xb000), 1ull << 44 | PTE_PAGE | PTE_USUAL);
    tap_ok(vm_reads(vm, sid, 0xb000) == VM_REFUSED && vm_event_id(vm) == VM_F_ADDR_SIZE,
           "an output beyond CD.IPS: F_ADDR_SIZE");
    vm_store(vm, page_entry(vm, 0xc000), vm->page | PTE_BLOCK | PTE_USUAL);
    tap_ok(vm_reads(vm, sid, 0xc000) == VM_REFUSED && vm_event_id(vm) == VM_F_TRANSLATION,
           "a reserved descriptor at level 3: F_TRANSLATION");
    tap_ok(vm_reads(vm, sid, 1ull << 39) == VM_REFUSED &&
               vm_event_id(vm) == VM_F_TRANSLATION,
           "an address beyond T0SZ: F_TRANSLATION");
    tap_ok(vm_reads(vm, sid, G_MAXUINT64 - 7) == VM_REFUSED &&
               vm_event_id(vm) == VM_F_TRANSLATION,
           "the upper half where EPD1 is set: F_TRANSLATION");
    vm_store(vm, entry_at(vm, vm->domain.root, 12, 39, BLOCK, 2),
             (vm->page & ~0x1fffffull) | PTE_BLOCK | PTE_USUAL);
    tap_ok(vm_reads(vm, sid, BLOCK + 0x12345) == (vm->page & ~0x1fffffull) + 0x12345,
           "a block of 2 MiB");
    vm_store(vm, entry_at(vm, vm->domain.root, 12, 39, 2ull * BLOCK, 1),
             VM_NOWHERE | PTE_PAGE);
    tap_ok(vm_reads(vm, sid, 2ull * BLOCK) == VM_REFUSED &&
               vm_event_id(vm) == VM_F_WALK_EABT,
           "a table that is no memory: F_WALK_EABT");
}

static void test_events(VMachine *vm)
{
    guint64 event[4] = {0};

    vm_drain_events(vm);
    vm_translate(vm, VM_ENDPOINT, VM_NO_SSID, UNMAPPED + 8, WRITE);
    tap_ok(vm_next_event(vm, event), "a fault is an event");
    tap_is(event[0] & 0xff, VM_F_TRANSLATION, "... of its kind");
    tap_is(event[0] >> 32, VM_ENDPOINT, "... of its stream");
    tap_is(event[0] >> 11 & 1, 0, "... without a substream");
    tap_is(event[2], UNMAPPED + 8, "... at its address");
    tap_is(event[1] >> 35 & 1, 0, "... a write");
    vm_translate(vm, VM_ENDPOINT, VM_NO_SSID, UNMAPPED, READ | VIOMMU_ACCESS_PEEK);
    tap_ok(!vm_next_event(vm, event), "who only peeks leaves no event");
    vm_store(vm, vm->domain.cd, vm_load(vm, vm->domain.cd) & ~(1ull << 45));
    vm_issue(vm, VM_CFGI_CD | (guint64)VM_ENDPOINT << 32, 1);
    tap_ok(vm_reads(vm, VM_ENDPOINT, UNMAPPED) == VM_REFUSED && vm_event_id(vm) == 0,
           "CD.R 0: a fault is not recorded");
    vm_store(vm, vm->domain.cd, vm_load(vm, vm->domain.cd) | 1ull << 45);
    vm_issue(vm, VM_CFGI_CD | (guint64)VM_ENDPOINT << 32, 1);
}

static void bad_cd(VMachine *vm, guint64 clear, guint64 set, const char *name)
{
    guint64 cd = vm_load(vm, vm->domain.cd);

    vm_store(vm, vm->domain.cd, (cd & ~clear) | set);
    vm_issue(vm, VM_CFGI_CD | (guint64)VM_ENDPOINT << 32, 1);
    vm_drain_events(vm);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == VM_REFUSED &&
               vm_event_id(vm) == VM_C_BAD_CD,
           "%s is C_BAD_CD", name);
    vm_store(vm, vm->domain.cd, cd);
    vm_issue(vm, VM_CFGI_CD | (guint64)VM_ENDPOINT << 32, 1);
}

static void test_descriptors(VMachine *vm)
{
    guint64 s1[2], event[4] = {0};

    bad_cd(vm, 1ull << 31, 0, "CD.V 0");
    bad_cd(vm, 1ull << 41, 0, "CD.AA64 0");
    bad_cd(vm, 1ull << 46, 0, "CD.A 0 with TERM_MODEL");
    bad_cd(vm, 0, 1ull << 44, "CD.S where nothing stalls");
    bad_cd(vm, 0x3f, 5, "CD.T0SZ too small");
    bad_cd(vm, 0x3f, 50, "CD.T0SZ too large");
    bad_cd(vm, 0, 3ull << 6, "CD.TG0 3");
    bad_cd(vm, 0, 1ull << 15, "CD.ENDI where tables are little-endian");
    vm_s1_words(&vm->domain, s1);
    vm_install_words(vm, VM_ENDPOINT, (s1[0] & 0xf) | VM_NOWHERE, s1[1]);
    vm_drain_events(vm);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == VM_REFUSED && vm_next_event(vm, event) &&
               (event[0] & 0xff) == VM_F_CD_FETCH,
           "a descriptor that is no memory is F_CD_FETCH");
    tap_is(event[3] & ~0x3full, VM_NOWHERE, "... at its address");
    vm_install_words(vm, VM_ENDPOINT, s1[0], s1[1]);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "put right, it serves again");
}

/* A domain of another granule, and one of the upper half. */
static void test_granules(VMachine *vm)
{
    static const struct {
        guint bits;
        guint tg0;
        guint idr5;
    } granules[] = {{14, 2, 1 << 5}, {16, 1, 1 << 6}};
    GuestDomain other;
    guint64 page;

    for (gsize i = 0; i < G_N_ELEMENTS(granules); i++) {
        guint bits = granules[i].bits;

        if (!(vm_get(vm, VM_IDR5) & granules[i].idr5)) {
            tap_skip("the host has none", "a granule of %u KiB", 1u << (bits - 10));
            continue;
        }
        guest_domain_init(&other, &vm->ram, 50 + i);
        vm_store(vm, other.cd, vm_load(vm, other.cd) | granules[i].tg0 << 6);
        guest_domain_set_root(&other, vm_alloc(vm, 1u << bits));
        page = vm_alloc(vm, 1u << bits);
        vm_store(vm, entry_at(vm, other.root, bits, 39, 0x7000000, 3),
                 page | PTE_PAGE | PTE_USUAL);
        vm_install_s1(vm, VM_ENDPOINT + 1, &other);
        tap_ok(vm_reads(vm, VM_ENDPOINT + 1, 0x7000000 + (1u << bits) - 8) ==
                   page + (1u << bits) - 8,
               "a granule of %u KiB", 1u << (bits - 10));
    }
    guest_domain_init(&other, &vm->ram, 60);
    vm_store(vm, other.cd,
             (vm_load(vm, other.cd) & ~(1ull << 30)) | 25ull << 16 | 2ull << 22 |
                 1ull << 14);
    vm_store(vm, other.cd + 16, vm->domain.root);
    vm_install_s1(vm, VM_ENDPOINT + 1, &other);
    tap_ok(vm_reads(vm, VM_ENDPOINT + 1, 0xffffff8000000000ull | VM_IOVA) == vm->page,
           "the upper half, by TTB1");
    tap_ok(vm_reads(vm, VM_ENDPOINT + 1, VM_IOVA) == VM_REFUSED,
           "... with EPD0 the lower half is none");
}

/* --- the IOTLB --------------------------------------------------------------------------
 */

/* Map VM_IOVA elsewhere; is the endpoint still where it was, and after the command not? */
static void stale_until(VMachine *vm, guint64 word0, guint64 word1, const char *name)
{
    guint64 at = page_entry(vm, VM_IOVA), entry = vm_load(vm, at);
    guint64 other = vm_alloc(vm, GUEST_PAGE);
    gboolean stale;

    vm_reads(vm, VM_ENDPOINT, VM_IOVA);
    vm_store(vm, at, other | PTE_PAGE | PTE_USUAL);
    stale = vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page;
    vm_issue(vm, word0, word1);
    tap_ok(stale && vm_reads(vm, VM_ENDPOINT, VM_IOVA) == other,
           "a translation is kept until %s", name);
    vm_store(vm, at, entry);
    vm_tlbi_all(vm);
}

static void untouched_by(VMachine *vm, guint64 word0, guint64 word1, const char *name)
{
    guint64 at = page_entry(vm, VM_IOVA), entry = vm_load(vm, at);

    vm_reads(vm, VM_ENDPOINT, VM_IOVA);
    vm_store(vm, at, 0);
    vm_issue(vm, word0, word1);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "... and over %s", name);
    vm_store(vm, at, entry);
    vm_tlbi_all(vm);
}

static void test_iotlb(VMachine *vm)
{
    const guint64 asid = (guint64)VM_ASID << 48, other = (guint64)(VM_ASID + 1) << 48;
    guint64 at = page_entry(vm, VM_IOVA), entry = vm_load(vm, at);

    stale_until(vm, VM_TLBI_NH_VA | asid, VM_IOVA, "TLBI_NH_VA");
    stale_until(vm, VM_TLBI_NH_VA | asid, VM_IOVA | 1, "TLBI_NH_VA of the leaf");
    stale_until(vm, VM_TLBI_NH_VAA, VM_IOVA, "TLBI_NH_VAA");
    stale_until(vm, VM_TLBI_NH_ASID | asid, 0, "TLBI_NH_ASID");
    stale_until(vm, VM_TLBI_NH_ALL, 0, "TLBI_NH_ALL");
    stale_until(vm, VM_TLBI_NSNH_ALL, 0, "TLBI_NSNH_ALL");
    if (vm_get(vm, VM_IDR3) >> 10 & 1)
        stale_until(vm, VM_TLBI_NH_VA | asid | 7ull << 12, (VM_IOVA - 0x3000) | 1 << 10,
                    "TLBI_NH_VA of a range");
    else
        tap_skip("no RIL", "a translation is kept until TLBI_NH_VA of a range");
    untouched_by(vm, VM_TLBI_NH_VA | other, VM_IOVA, "a TLBI_NH_VA of another ASID");
    untouched_by(vm, VM_TLBI_NH_ASID | other, 0, "another ASID's");
    untouched_by(vm, VM_TLBI_NH_VA | asid, VM_IOVA + 0x1000, "a TLBI_NH_VA beside it");
    untouched_by(vm, VM_CFGI_STE | (guint64)VM_ENDPOINT << 32, 1, "a CFGI_STE");

    vm_store(vm, at, entry & ~PTE_NOT_GLOBAL);
    vm_tlbi_all(vm);
    vm_reads(vm, VM_ENDPOINT, VM_IOVA);
    vm_store(vm, at, 0);
    vm_issue(vm, VM_TLBI_NH_ASID | asid, 0);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page,
           "a global translation is not its ASID's");
    vm_tlbi_va(vm, VM_ASID, VM_IOVA);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == VM_REFUSED, "... but its address's");
    vm_store(vm, at, entry);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page,
           "what is not mapped is not kept: a new mapping needs no TLBI");
}

static void test_caches(VMachine *vm)
{
    GuestDomain other;
    guint64 page = vm_alloc(vm, GUEST_PAGE), root = vm->domain.root;

    guest_domain_init(&other, &vm->ram, VM_ASID);
    guest_domain_map(&other, VM_IOVA, page, TRUE);
    vm_reads(vm, VM_ENDPOINT, VM_IOVA);
    guest_domain_set_root(&vm->domain, other.root);
    vm_tlbi_all(vm);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "a descriptor is kept");
    vm_queue(vm, VM_CFGI_CD | (guint64)VM_ENDPOINT << 32, 1);
    vm_tlbi_all(vm);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == page, "... until CFGI_CD");
    guest_domain_set_root(&vm->domain, root);
    vm_queue(vm, VM_CFGI_CD_ALL | (guint64)VM_ENDPOINT << 32, 0);
    vm_tlbi_all(vm);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "... or CFGI_CD_ALL");
    guest_domain_set_root(&vm->domain, other.root);
    vm_queue(vm, VM_CFGI_STE | (guint64)VM_ENDPOINT << 32, 1);
    vm_tlbi_all(vm);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == page, "... or CFGI_STE");
    guest_domain_set_root(&vm->domain, root);
    vm_queue(vm, VM_CFGI_STE_RANGE, 31);
    vm_tlbi_all(vm);
    tap_ok(vm_reads(vm, VM_ENDPOINT, VM_IOVA) == vm->page, "... or CFGI_ALL");
}

static void test_once(VMachine *vm)
{
    vm->counted = vm->domain.cd & ~0xfffull;
    vm->n_reads = 0;
    vm->read_bytes = 0;
    vm_issue(vm, VM_CFGI_CD | (guint64)VM_ENDPOINT << 32, 1);
    vm_reads(vm, VM_ENDPOINT, VM_IOVA);
    vm_reads(vm, VM_ENDPOINT, VM_IOVA + 0x1000);
    tap_ok(vm->n_reads == 1 && vm->read_bytes == 64, "a descriptor is read once, at once");
    vm->counted = page_entry(vm, VM_IOVA) & ~0xfffull;
    vm->n_reads = 0;
    vm->read_bytes = 0;
    vm_tlbi_all(vm);
    vm_reads(vm, VM_ENDPOINT, VM_IOVA);
    vm_reads(vm, VM_ENDPOINT, VM_IOVA + 8);
    tap_ok(vm->n_reads == 1 && vm->read_bytes == 8, "... a page's entry too");
    vm->counted = 0;
}

/* --- substreams -------------------------------------------------------------------------
 */

enum { TERMINATE = 0, BYPASS = 1, SSID0 = 2 };

/* Descriptors 0 and 3 lead VM_IOVA to pages[0] and [1]; two bits of substreams. */
typedef struct {
    GuestDomain domains[2];
    guint64 pages[2];
} Substreams;

static void put_cd(VMachine *vm, guint64 at, const GuestDomain *domain)
{
    for (guint i = 64; i; i -= 8)
        vm_store(vm, at + i - 8, vm_load(vm, domain->cd + i - 8));
}

static void test_ssids(VMachine *vm, const Substreams *s, guint format, const char *name)
{
    guint split = format == 1 ? 6 : 10;
    guint64 table = vm_alloc(vm, 0x10000), level2 = vm_alloc(vm, 0x10000), at3;
    const guint sid = VM_ENDPOINT + 2;
    guint64 ste0 = 1 | 5 << 1 | format << 4 | table | 12ull << 59;

    put_cd(vm, format ? level2 : table, &s->domains[0]);
    at3 = (format ? level2 : table) + 3 * 64;
    put_cd(vm, at3, &s->domains[1]);
    if (format)
        vm_store(vm, table, level2 | 1);
    vm_install_words(vm, sid, ste0, 1 << 2 | 1 << 4 | 3 << 6 | SSID0);
    tap_ok(vm_translate(vm, sid, 3, VM_IOVA, READ) == s->pages[1], "%s: a substream", name);
    tap_ok(vm_reads(vm, sid, VM_IOVA) == s->pages[0],
           "%s: S1DSS SSID0: without a substream by descriptor 0", name);
    vm_drain_events(vm);
    tap_ok(vm_translate(vm, sid, 0, VM_IOVA, READ) == VM_REFUSED &&
               vm_event_id(vm) == VM_F_STREAM_DISABLED,
           "%s: ... then substream 0 is F_STREAM_DISABLED", name);
    tap_ok(vm_translate(vm, sid, 1, VM_IOVA, READ) == VM_REFUSED &&
               vm_event_id(vm) == VM_C_BAD_CD,
           "%s: a descriptor that is not valid is C_BAD_CD", name);
    tap_ok(vm_translate(vm, sid, 1 << 12, VM_IOVA, READ) == VM_REFUSED &&
               vm_event_id(vm) == VM_C_BAD_SUBSTREAMID,
           "%s: a substream beyond S1CDMax is C_BAD_SUBSTREAMID", name);
    if (format)
        tap_ok(vm_translate(vm, sid, 1 << split, VM_IOVA, READ) == VM_REFUSED &&
                   vm_event_id(vm) == VM_C_BAD_SUBSTREAMID,
               "%s: a level 1 descriptor that is not valid is C_BAD_SUBSTREAMID", name);
    put_cd(vm, at3, &s->domains[0]);
    vm_issue(vm, VM_CFGI_CD | 1 << 12 | (guint64)sid << 32, 1);
    tap_ok(vm_translate(vm, sid, 3, VM_IOVA, READ) == s->pages[1],
           "%s: CFGI_CD is about its substream only", name);
    vm_issue(vm, VM_CFGI_CD | 3 << 12 | (guint64)sid << 32, 1);
    tap_ok(vm_translate(vm, sid, 3, VM_IOVA, READ) == s->pages[0], "%s: ... which it reads",
           name);
    vm_install_words(vm, sid, ste0, 1 << 2 | 1 << 4 | 3 << 6 | BYPASS);
    tap_ok(vm_reads(vm, sid, vm->page) == vm->page, "%s: S1DSS bypass", name);
    tap_ok(vm_translate(vm, sid, 3, VM_IOVA, READ) == s->pages[0],
           "%s: ... and substreams translate", name);
    vm_install_words(vm, sid, ste0, 1 << 2 | 1 << 4 | 3 << 6 | TERMINATE);
    vm_drain_events(vm);
    tap_ok(vm_reads(vm, sid, VM_IOVA) == VM_REFUSED &&
               vm_event_id(vm) == VM_F_STREAM_DISABLED,
           "%s: S1DSS terminate: without a substream F_STREAM_DISABLED", name);
}

static void test_substreams(VMachine *vm)
{
    Substreams s;
    guint64 event[4] = {0};

    vm_drain_events(vm);
    tap_ok(vm_translate(vm, VM_ENDPOINT, 3, VM_IOVA, READ) == VM_REFUSED &&
               vm_event_id(vm) == VM_C_BAD_SUBSTREAMID,
           "a substream of a stream that has none is C_BAD_SUBSTREAMID");
    if ((vm_get(vm, VM_IDR1) >> 6 & 0x1f) < 12) {
        tap_skip("no substreams", "substreams");
        return;
    }
    for (guint i = 0; i < 2; i++) {
        guest_domain_init(&s.domains[i], &vm->ram, 70 + i);
        s.pages[i] = vm_alloc(vm, GUEST_PAGE);
        guest_domain_map(&s.domains[i], VM_IOVA, s.pages[i], TRUE);
    }
    test_ssids(vm, &s, 0, "a linear CD table");
    test_ssids(vm, &s, 1, "two levels of 4 KiB");
    test_ssids(vm, &s, 2, "two levels of 64 KiB");
    vm_translate(vm, VM_ENDPOINT + 2, 3, UNMAPPED, READ);
    tap_ok(vm_next_event(vm, event) && (event[0] >> 11 & 1) &&
               (event[0] >> 12 & 0xfffff) == 3,
           "an event of a substream has its number");
}

/* --- doorbells, caches outside, sections ------------------------------------------------
 */

static void test_doorbell(VMachine *vm)
{
    ViommuTranslation to = {0};
    const guint32 none = VIOMMU_SMMUV3_NO_SUBSTREAM;

    vm_store(vm, page_entry(vm, 0xd000), VM_DOORBELL | PTE_PAGE | PTE_USUAL);
    tap_ok(viommu_smmuv3_translate(vm->smmu, VM_ENDPOINT, none, 0xd040, WRITE, &to) ==
                   VIOMMU_OK &&
               to.gpa == VM_DOORBELL + 0x40 && to.is_msi,
           "a write to the doorbell is an interrupt message");
    vm_install_s1(vm, VM_SID, &vm->domain);
    tap_ok(viommu_smmuv3_translate(vm->smmu, VM_SID, none, 0xd040, WRITE, &to) ==
                   VIOMMU_OK &&
               to.gpa == VM_DOORBELL + 0x40 && to.is_msi,
           "... for a host device's StreamID too");
    tap_ok(vm_reads(vm, VM_SID, VM_IOVA) == vm->page &&
               vm_reaches(vm, 0, VM_IOVA, vm->page),
           "the walk and the hardware agree");
}

typedef struct {
    VMachine *vm;
    gint in_section;
    gint done;
    gboolean overtaken;
} Section;

static gpointer endpoint_thread(gpointer data)
{
    Section *section = data;

    viommu_smmuv3_enter(section->vm->smmu);
    g_atomic_int_set(&section->in_section, 1);
    for (guint i = 0; i < 2000; i++)
        g_thread_yield();
    section->overtaken = g_atomic_int_get(&section->done);
    viommu_smmuv3_exit(section->vm->smmu);
    return NULL;
}

static void test_section(VMachine *vm)
{
    Section section = {.vm = vm};
    GThread *thread = g_thread_new("endpoint", endpoint_thread, &section);

    while (!g_atomic_int_get(&section.in_section))
        g_thread_yield();
    vm_tlbi_all(vm);
    g_atomic_int_set(&section.done, 1);
    g_thread_join(thread);
    tap_ok(!section.overtaken, "SYNC waits for read sections that began before");
}

static void test_without_host(void)
{
    VMachine vm;

    if (!tap_ok(vm_init(&vm, NULL, NULL, NULL), "a vSMMU without a host"))
        return;
    tap_ok(vm_get(&vm, VM_IDR0) >> 10 & 1, "... offers ATS");
    tap_is(vm_get(&vm, VM_IDR1) >> 6 & 0x1f, 20, "... and 20 bits of substreams");
    vm_start(&vm, VM_TWO_LEVEL, VM_CR0_ALL);
    vm_install_s1(&vm, VM_ENDPOINT, &vm.domain);
    tap_ok(vm_reads(&vm, VM_ENDPOINT, VM_IOVA) == vm.page, "... and serves its endpoints");
    vm.n_changed = 0;
    tap_ok(vm_issue(&vm, VM_ATC_INV | (guint64)VM_ENDPOINT << 32, VM_IOVA | 1),
           "ATC_INV completes for an endpoint");
    tap_is(vm.n_changed, 1, "... and tells it");
    tap_ok(vm.changed_iova <= VM_IOVA &&
               vm.changed_iova + vm.changed_size >= VM_IOVA + 0x1000,
           "... of at least that range");
    test_substreams(&vm);
    vm_clear(&vm);
}

int main(int argc, char **argv)
{
    Target target;
    VMachine vm;

    if (!target_init(&target, argc, argv, 1))
        return 2;
    if (tap_ok(vm_init(&vm, &target, target.first, NULL), "a machine")) {
        vm_start(&vm, VM_LINEAR, VM_CR0_ALL);
        vm_install_s1(&vm, VM_ENDPOINT, &vm.domain);
        test_walk(&vm);
        test_events(&vm);
        test_descriptors(&vm);
        test_granules(&vm);
        test_iotlb(&vm);
        test_caches(&vm);
        test_once(&vm);
        test_substreams(&vm);
        test_doorbell(&vm);
        test_section(&vm);
        vm_clear(&vm);
    }
    test_without_host();
    target_clear(&target);
    return tap_done();
}
