/* SPDX-License-Identifier: MIT */
/*
 * The acceleration layer alone, as a VMM with a register model of its own uses it: what it
 * asks of the VMM's tables, what it makes of each answer, which results and counts it
 * gives, whom it tells what. A point is a rule.
 */
#include <errno.h>
#include <string.h>

#include <viommu/vtd-accel.h>

#include "landing.h"
#include "tap.h"
#include "vtd-machine.h"

enum { RAM = 0x1000000, RAM_SIZE = 0x400000, IOVA = 0x5000, DID = 9, OTHER_DID = 10 };
enum { RID = 0x10, OTHER_RID = 0x18, PATTERN = 0x5a, RESERVED = 6 };
#define FS1GP (1ull << 56)

typedef struct {
    ViommuVtdContext context; /* of RID */
    guint8 entry[VIOMMU_VTD_PASID_ENTRY_SIZE];
    guint8 way; /* why the entry cannot be reached */
} Tables;

typedef struct {
    Spy *spy;
    ViommuHost *host;
    ViommuHostDevice *device;
    ViommuVtdAccel *accel;
    DmaDevice dma;
    GuestMemory ram;
    Landing landing;
    gboolean nests;
    unsigned long attach; /* the host call */
    GuestVtdDomain
        domains[2]; /* lead IOVA to pages[0] and [1], by a first stage if nests */
    guint64 pages[2];
    Tables tables;
    guint n_contexts; /* reads of them */
    guint n_entries;
    guint n_refused;
    ViommuVtdRefusal refusal; /* the last one */
} Rig;

/* --- the VMM's side ---------------------------------------------------------------------
 */

static void read_context(guint16 requester_id, ViommuVtdContext *ret_context,
                         void *user_data)
{
    Rig *r = user_data;

    r->n_contexts++;
    *ret_context = requester_id == RID ? r->tables.context
                                       : (ViommuVtdContext){.kind = VIOMMU_VTD_BLOCKED};
}

static guint8 read_pasid_entry(guint16 requester_id, guint32 pasid,
                               guint8 ret_entry[VIOMMU_VTD_PASID_ENTRY_SIZE],
                               gboolean *ret_fault_disabled, void *user_data)
{
    Rig *r = user_data;

    r->n_entries++;
    *ret_fault_disabled = FALSE;
    memset(ret_entry, 0, VIOMMU_VTD_PASID_ENTRY_SIZE);
    if (requester_id != RID || pasid != 0)
        return 0;
    memcpy(ret_entry, r->tables.entry, VIOMMU_VTD_PASID_ENTRY_SIZE);
    return r->tables.way;
}

static gboolean read_memory(guint64 gpa, void *data, gsize size, void *user_data)
{
    Rig *r = user_data;

    if (gpa < RAM || gpa - RAM >= RAM_SIZE || RAM_SIZE - (gpa - RAM) < size)
        return FALSE;
    memcpy(data, guest_memory_at(&r->ram, gpa), size);
    return TRUE;
}

static void refused(const ViommuVtdRefusal *refusal, void *user_data)
{
    Rig *r = user_data;

    r->n_refused++;
    r->refusal = *refusal;
}

static void put_entry(Rig *r, const GuestVtdDomain *domain)
{
    guint64 words[GUEST_VTD_PASID_WORDS];

    guest_vtd_pasid_table(words, domain);
    for (guint i = 0; i < GUEST_VTD_PASID_WORDS; i++)
        words[i] = GUINT64_TO_LE(words[i]);
    memcpy(r->tables.entry, words, sizeof words);
    r->tables.context =
        (ViommuVtdContext){.kind = VIOMMU_VTD_PASID_TABLE, .rid_pasid = 0, .n_pasids = 0};
    r->tables.way = 0;
}

static void put_words(guint8 *bytes, guint64 word0, guint64 word1)
{
    const guint64 words[4] = {GUINT64_TO_LE(word0), GUINT64_TO_LE(word1)};

    memcpy(bytes, words, sizeof words);
}

static ViommuResult invalidate(Rig *r, guint64 word0, guint64 word1)
{
    guint8 bytes[VIOMMU_VTD_DESCRIPTOR_SIZE];
    gsize handled;

    put_words(bytes, word0, word1);
    return viommu_vtd_accel_invalidate(r->accel, bytes, 1, &handled);
}

static ViommuResult flush_entry(Rig *r)
{
    return invalidate(r, guest_vtd_inv_pasid_cache(GUEST_PASID_CACHE_ALL, 0, 0), 0);
}

/* --- life -------------------------------------------------------------------------------
 */

/*
 * What such a VMM offers: a first stage of 4 levels in scalable mode, pass-through; over a
 * host that cannot nest a second stage in its place, which it gives the layer to read.
 */
static const guint64 offered_cap =
    6 | 1ull << 7 | 4ull << 8 | 47ull << 16 | 1ull << 39 | 9ull << 48;
static const guint64 offered_ecap = 1 | 1ull << 1 | 1ull << 6 | 1ull << 43;
#define SSTS (1ull << 46)
#define FSTS (1ull << 47)

static ViommuVtdAccel *make_accel(Rig *r, guint64 cap)
{
    const ViommuVtdAccelConfig config = {.cap = offered_cap | cap,
                                         .ecap = offered_ecap | (r->nests ? FSTS : SSTS),
                                         .read_context = read_context,
                                         .read_pasid_entry = read_pasid_entry,
                                         .refused = refused,
                                         .read_memory = r->nests ? NULL : read_memory,
                                         .user_data = r};

    return viommu_vtd_accel_new(&config, NULL);
}

static gboolean rig_init(Rig *r, Target *target)
{
    const ViommuHostConfig config = target_host_config(target);
    g_autoptr(GError) error = NULL;

    *r = (Rig){.spy = &target->spy};
    r->spy->vtd.hidden_cap = FS1GP; /* for test_promise() */
    r->host = viommu_host_new(&config, &error);
    if (!r->host || !guest_memory_init(&r->ram, r->host, RAM, RAM_SIZE, TRUE, &error) ||
        !(r->device = viommu_host_device_new_from_bdf(r->host, target->first[0], &error)) ||
        !dma_device_init(&r->dma, target->seam, r->device, &error)) {
        tap_note("%s", error->message);
        return FALSE;
    }
    r->nests = viommu_host_device_get_info(r->device)->can_nest;
    r->attach = vtdm_request_of(vtdm_way_of(target, r->nests), VTDM_CALL_ATTACH);
    for (guint i = 0; i < 2; i++) {
        r->pages[i] = guest_memory_alloc(&r->ram);
        guest_vtd_domain_init(&r->domains[i], &r->ram,
                              r->nests ? GUEST_VTD_FIRST : GUEST_VTD_SECOND, 4, DID + i);
        guest_vtd_map(&r->domains[i], IOVA, r->pages[i], TRUE);
    }
    r->landing =
        (Landing){.ram = &r->ram, .dma = &r->dma, .home = r->pages[0], .pattern = PATTERN};
    r->accel = make_accel(r, 0);
    return r->accel != NULL;
}

static void rig_clear(Rig *r)
{
    viommu_vtd_accel_free(r->accel);
    dma_device_clear(&r->dma);
    viommu_host_device_free(r->device);
    guest_memory_clear(&r->ram);
    viommu_host_free(r->host);
}

static gboolean reaches(Rig *r, guint n)
{
    return landing_reaches(&r->landing, IOVA, r->pages[n]);
}

static gboolean is_identity(Rig *r)
{
    return landing_reaches(&r->landing, r->pages[1], r->pages[1]);
}

static gboolean is_blocked(Rig *r)
{
    return landing_is_refused(&r->landing, IOVA) &&
           landing_is_refused(&r->landing, r->pages[1]);
}

/* --- contexts ---------------------------------------------------------------------------
 */

static void test_attach(Rig *r)
{
    g_autoptr(GError) error = NULL;
    guint64 fill = guest_memory_alloc(&r->ram);

    tap_ok(is_blocked(r), "before it is attached its DMA is refused");
    tap_ok(viommu_vtd_accel_attach_device(r->accel, r->device, RID, 0, &error) && !error,
           "a device is attached");
    tap_ok(r->n_contexts > 0, "... and its context asked for");
    tap_ok(is_blocked(r) && r->n_refused == 0, "BLOCKED without a fault: silent");
    tap_ok(!viommu_vtd_accel_attach_device(r->accel, r->device, OTHER_RID, 0, &error) &&
               error && error->code == VIOMMU_ERROR_INVALID,
           "attached twice is refused");
    r->tables.context.kind = VIOMMU_VTD_PASS_THROUGH;
    tap_is(viommu_vtd_accel_refresh(r->accel), VIOMMU_OK, "PASS_THROUGH, and a refresh");
    guest_memory_fill(&r->ram, fill, PATTERN, GUEST_PAGE);
    dma_load(&r->dma, fill, LANDING_SIZE, NULL);
    tap_ok(is_identity(r), "... DMA meets guest-physical memory");
    put_entry(r, &r->domains[0]);
    tap_is(viommu_vtd_accel_refresh(r->accel), VIOMMU_OK, "PASID_TABLE, and a refresh");
    tap_ok(reaches(r, 0), "... DMA follows the entry's tables");
    spy_reset_counts(r->spy);
    tap_is(viommu_vtd_accel_refresh(r->accel), VIOMMU_OK, "a refresh without a change");
    tap_is(spy_count(r->spy, r->attach), 0, "... attaches nothing");
    tap_is(r->n_refused, 0, "nothing was refused in all");
}

/* Told once for each change, and by whose fault. */
static void test_refused(Rig *r)
{
    r->n_refused = 0;
    r->tables.context = (ViommuVtdContext){.kind = VIOMMU_VTD_BLOCKED, .fault = 0x42};
    tap_is(viommu_vtd_accel_refresh(r->accel), VIOMMU_OK,
           "BLOCKED for a fault: no fault of the host");
    tap_ok(is_blocked(r), "... blocks");
    tap_ok(r->n_refused == 1 && r->refusal.reason == 0x42 &&
               r->refusal.requester_id == RID && r->refusal.pasid == VIOMMU_VTD_NO_PASID &&
               r->refusal.result == VIOMMU_GUEST_INVALID && !r->refusal.fault_disabled,
           "... and is told, with the reason");
    viommu_vtd_accel_refresh(r->accel);
    flush_entry(r);
    tap_is(r->n_refused, 1, "... once");
    r->tables.context.fault = 0x40;
    viommu_vtd_accel_refresh(r->accel);
    tap_ok(r->n_refused == 2 && r->refusal.reason == 0x40, "another reason is told anew");
    put_entry(r, &r->domains[0]);
    viommu_vtd_accel_refresh(r->accel);
    r->tables.context = (ViommuVtdContext){
        .kind = VIOMMU_VTD_BLOCKED, .fault = 0x42, .fault_disabled = TRUE};
    viommu_vtd_accel_refresh(r->accel);
    tap_ok(r->n_refused == 3 && r->refusal.fault_disabled, "FPD goes with what is told");
    r->tables.context = (ViommuVtdContext){.kind = VIOMMU_VTD_SECOND_STAGE,
                                           .domain_id = 20,
                                           .table = r->domains[0].root,
                                           .levels = 4};
    viommu_vtd_accel_refresh(r->accel);
    if (r->nests)
        tap_ok(is_blocked(r) && r->refusal.reason == 7,
               "SECOND_STAGE is refused, reason 7");
    else
        tap_ok(reaches(r, 0), "SECOND_STAGE is copied, as memory can be read");
    put_entry(r, &r->domains[0]);
    r->n_refused = 0;
    r->tables.way = 0x50;
    viommu_vtd_accel_refresh(r->accel);
    tap_ok(is_blocked(r) && r->n_refused == 1 && r->refusal.reason == 0x50,
           "an entry that cannot be reached: the reason given");
    put_entry(r, &r->domains[0]);
    r->tables.entry[0] = (r->tables.entry[0] & 0x3f) | (RESERVED & 3) << 6;
    r->tables.entry[1] |= RESERVED >> 2;
    r->n_refused = 0;
    tap_is(flush_entry(r), VIOMMU_OK, "an entry refused is no failure of the descriptor");
    tap_ok(is_blocked(r) && r->n_refused == 1 && r->refusal.reason == 0x5b,
           "... PGTT 6: 0x5b");
    put_entry(r, &r->domains[0]);
    tap_is(flush_entry(r), VIOMMU_OK, "put right");
    tap_ok(reaches(r, 0) && r->n_refused == 1, "... it serves");
}

static void test_host(Rig *r)
{
    guint reason = r->nests ? 0x73 : 0x78;

    r->n_refused = 0;
    put_entry(r, &r->domains[1]);
    spy_fail(r->spy, r->attach, 1, EINVAL, 99);
    tap_is(flush_entry(r), VIOMMU_OK, "an attach that the host refuses: no failure either");
    tap_ok(is_blocked(r) && r->n_refused == 1 && r->refusal.reason == reason &&
               r->refusal.result != VIOMMU_OK,
           "... blocked and told, 0x%02x", reason);
    tap_ok(viommu_vtd_accel_refresh(r->accel) != VIOMMU_OK,
           "a refresh has the host's result");
    spy_fail_none(r->spy);
    tap_is(flush_entry(r), VIOMMU_OK, "the same entry once more");
    tap_ok(reaches(r, 1), "... is bound");
    put_entry(r, &r->domains[0]);
    flush_entry(r);
}

/* --- descriptors ------------------------------------------------------------------------
 */

static void test_counts(Rig *r)
{
    enum { N = 4, SIZE = VIOMMU_VTD_DESCRIPTOR_SIZE };
    guint64 at = guest_memory_alloc(&r->ram);
    guint8 bytes[N * SIZE];
    gsize handled = 77;

    tap_is(viommu_vtd_accel_invalidate(r->accel, bytes, 0, &handled), VIOMMU_OK,
           "no descriptor");
    tap_is(handled, 0, "... none handled");
    for (guint bad = 0; bad < N; bad++) {
        for (guint i = 0; i < N; i++)
            put_words(bytes + i * SIZE,
                      i == bad ? 0xf : guest_vtd_inv_pasid_iotlb(3, DID, 0), IOVA);
        handled = 77;
        tap_ok(viommu_vtd_accel_invalidate(r->accel, bytes, N, &handled) ==
                       VIOMMU_GUEST_INVALID &&
                   handled == bad,
               "four, number %u illegal: those before are handled", bad);
    }
    guest_memory_store(&r->ram, at, 0xabc);
    for (guint i = 0; i < N; i++)
        put_words(bytes + i * SIZE, guest_vtd_inv_wait(i), at);
    tap_is(viommu_vtd_accel_invalidate(r->accel, bytes, N, &handled), VIOMMU_OK,
           "waits are legal, and the VMM's");
    tap_is(handled, N, "... all handled");
    tap_is(guest_memory_load(&r->ram, at), 0xabc, "... who writes the status");
}

static guint64 page_flush(const Rig *r, guint16 did)
{
    return r->nests ? guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_PAGE, did, 0)
                    : guest_vtd_inv_iotlb(GUEST_IOTLB_PAGE, did);
}

static void test_flush(Rig *r)
{
    reaches(r, 0);
    guest_vtd_map(&r->domains[0], IOVA, r->pages[1], TRUE);
    tap_ok(reaches(r, 0), "a changed page is stale");
    tap_is(invalidate(r, page_flush(r, OTHER_DID), IOVA), VIOMMU_OK,
           "a flush of another domain");
    tap_ok(reaches(r, 0), "... changes nothing");
    tap_is(invalidate(r, page_flush(r, DID), IOVA), VIOMMU_OK, "a flush");
    tap_ok(reaches(r, 1), "... DMA follows the new page");
    guest_vtd_map(&r->domains[0], IOVA, r->pages[0], TRUE);
    invalidate(r,
               r->nests ? guest_vtd_inv_pasid_iotlb(GUEST_PASID_IOTLB_ALL, DID, 0)
                        : guest_vtd_inv_iotlb(GUEST_IOTLB_DOMAIN, DID),
               0);
    tap_ok(reaches(r, 0), "... and back");
    r->n_entries = 0;
    r->n_contexts = 0;
    invalidate(r, page_flush(r, DID), IOVA);
    tap_is(r->n_entries + r->n_contexts, 0, "a flush reads no table");
}

/* --- the rest of its life ---------------------------------------------------------------
 */

static void test_reset(Rig *r)
{
    g_autoptr(GError) error = NULL;

    tap_ok(viommu_vtd_accel_block(r->accel, &error) && !error && is_blocked(r), "block");
    flush_entry(r);
    viommu_vtd_accel_refresh(r->accel);
    tap_ok(is_blocked(r), "... whatever is said meanwhile");
    tap_ok(viommu_vtd_accel_release(r->accel, &error) && !error && reaches(r, 0),
           "release: what the tables say now");
    viommu_vtd_accel_block(r->accel, NULL);
    spy_fail(r->spy, r->attach, 1, EINVAL, 99);
    tap_ok(!viommu_vtd_accel_release(r->accel, &error) && error && *error->message,
           "a release that fails says so");
    spy_fail_none(r->spy);
    tap_ok(is_blocked(r), "... and the device stays blocked");
    viommu_vtd_accel_block(r->accel, NULL);
    tap_ok(viommu_vtd_accel_release(r->accel, NULL) && reaches(r, 0),
           "the next one serves");
}

static void test_ids(Rig *r)
{
    tap_ok(viommu_vtd_accel_set_requester_id(r->accel, r->device, OTHER_RID, NULL) &&
               is_blocked(r),
           "another requester ID: what its tables say");
    tap_ok(viommu_vtd_accel_set_requester_id(r->accel, r->device, RID, NULL) &&
               reaches(r, 0),
           "... and back");
    viommu_vtd_accel_detach_device(r->accel, r->device);
    tap_ok(is_blocked(r), "detached: its DMA is refused");
    tap_is(flush_entry(r), VIOMMU_OK, "... descriptors go on");
    tap_ok(viommu_vtd_accel_attach_device(r->accel, r->device, RID, 0, NULL) &&
               reaches(r, 0),
           "attached again: what the tables say");
}

static void test_requests(Rig *r)
{
    ViommuVtdPageRequest requests[4];
    gsize n = 77;

    tap_is(viommu_vtd_accel_read_page_requests(r->accel, requests, 4, &n), VIOMMU_OK,
           "page requests where there are none");
    tap_is(n, 0, "... none");
    tap_is(viommu_vtd_accel_respond(r->accel, RID, FALSE, 0, 5, TRUE), VIOMMU_OK,
           "an answer to an unknown group is no error");
}

/* What is promised to the guest and the host cannot keep. */
static void test_promise(Rig *r)
{
    g_autoptr(GError) error = NULL;
    ViommuVtdAccel *accel;

    viommu_vtd_accel_detach_device(r->accel, r->device);
    accel = make_accel(r, FS1GP);
    tap_ok(accel && !viommu_vtd_accel_attach_device(accel, r->device, RID, 0, &error),
           "FS1GP promised: a host without it is refused");
    tap_has(error ? error->message : NULL, "FS1GP", "... naming the field");
    viommu_vtd_accel_free(accel);
    viommu_vtd_accel_free(NULL);
}

int main(int argc, char **argv)
{
    Target target;
    Rig r;

    if (!target_init_default(&target, argc, argv, 1, "vtd"))
        return 2;
    if (tap_ok(rig_init(&r, &target), "an acceleration layer")) {
        test_attach(&r);
        test_refused(&r);
        test_host(&r);
        test_counts(&r);
        test_flush(&r);
        test_reset(&r);
        test_ids(&r);
        test_requests(&r);
        test_promise(&r);
    }
    rig_clear(&r);
    target_clear(&target);
    return tap_done();
}
