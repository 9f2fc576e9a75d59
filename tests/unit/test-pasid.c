/* SPDX-License-Identifier: MIT */
/*
 * Attachments of PASIDs beside that of the requester ID, on an emulated VT-d: the verbs,
 * what they refuse, what is shared, what a change that was put off leaves behind; and
 * invalidations aimed at one HWPT.
 */

#include "vtd-bench.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <linux/vfio.h>

enum { PASID = 7, OTHER_PASID = 200, NONE = (int)VIOMMUI_NO_PASID };

static ViommuResult bind(Bench *b, guint n, guint32 pasid, guint domain)
{
    return viommui_host_device_bind(b->devices[n], pasid, &b->domains[domain].stage1,
                                    VIOMMUI_FAIL_CLOSED);
}

static ViommuResult replace(Bench *b, guint n, guint32 pasid, guint domain)
{
    return viommui_host_device_replace(b->devices[n], pasid, &b->domains[domain].stage1,
                                       VIOMMUI_FAIL_CLOSED);
}

static ViommuResult detach(Bench *b, guint n, guint32 pasid, ViommuiAttachmentKind to)
{
    return viommui_host_device_detach(b->devices[n], pasid, to, VIOMMUI_FAIL_CLOSED);
}

static gboolean is_bound(Bench *b, guint n, guint32 pasid, guint domain)
{
    return viommui_host_device_is_bound_to(b->devices[n], pasid,
                                           &b->domains[domain].stage1);
}

static void test_verbs(void)
{
    Bench b;
    ViommuiHostViommu *hv;
    ViommuHostDevice *device;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    device = b.devices[0];
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    tap_is(viommui_host_device_join(device, hv), VIOMMU_OK, "in a vIOMMU's hands");
    tap_is(bench_reads(&b, 0, PASID), BENCH_REFUSED, "a PASID is refused at first");
    tap_is(viommui_host_device_get_attachment(device, PASID), VIOMMUI_BLOCKED,
           "... and said to be");
    tap_ok(!viommui_host_device_get_config(device, PASID), "... and has no config");

    tap_is(bind(&b, 0, PASID, 0), VIOMMU_OK, "bind a PASID");
    tap_is(bench_reads(&b, 0, PASID), 0, "... takes effect");
    tap_is(bench_reads(&b, 0, VIOMMUI_NO_PASID), BENCH_REFUSED,
           "... and not for the requester ID");
    tap_is(bench_reads(&b, 0, OTHER_PASID), BENCH_REFUSED, "... nor another PASID");
    tap_is(viommui_host_device_get_attachment(device, PASID), VIOMMUI_NESTED,
           "... is told");
    tap_ok(is_bound(&b, 0, PASID, 0) && !is_bound(&b, 0, PASID, 1) &&
               !is_bound(&b, 0, VIOMMUI_NO_PASID, 0),
           "... and to what");
    tap_ok(viommui_host_device_get_config(device, PASID) != NULL, "... has a config");
    tap_is(bind(&b, 0, VIOMMUI_NO_PASID, 1), VIOMMU_OK, "bind the requester ID");
    tap_ok(bench_reads(&b, 0, PASID) == 0 && bench_reads(&b, 0, VIOMMUI_NO_PASID) == 1,
           "... leaves the PASID alone");

    tap_is(bind(&b, 0, PASID, 1), VIOMMU_UNSUPPORTED, "bind what is bound otherwise");
    tap_has(b.refusal, "PASID 7 of 0000:00:02.0", "... is refused by name");
    tap_is(replace(&b, 0, OTHER_PASID, 1), VIOMMU_UNSUPPORTED, "replace what is not bound");
    tap_has(b.refusal, "PASID 200", "... is refused by name");
    tap_is(replace(&b, 0, PASID, 2), VIOMMU_OK, "replace");
    tap_is(bench_reads(&b, 0, PASID), 2, "... takes effect");
    spy_reset_counts(&b.spy);
    tap_is(bind(&b, 0, PASID, 2), VIOMMU_OK, "bind to the same");
    tap_is(replace(&b, 0, PASID, 2), VIOMMU_OK, "replace by the same");
    tap_is(detach(&b, 0, OTHER_PASID, VIOMMUI_BLOCKED), VIOMMU_OK, "block the blocked");
    tap_is(viommui_host_device_rebind(device, OTHER_PASID), VIOMMU_OK,
           "attach anew what is not attached");
    tap_is(viommui_host_device_retry(device, OTHER_PASID), VIOMMU_OK,
           "try again what was not put off");
    tap_is(b.spy.n_calls, 0, "... make no call");

    tap_is(detach(&b, 0, PASID, VIOMMUI_IDENTITY), VIOMMU_OK,
           "to guest-physical addresses");
    tap_is(bench_reads(&b, 0, PASID), BENCH_IDENTITY, "... takes effect");
    tap_ok(!viommui_host_device_get_config(device, PASID), "... and leaves no config");
    tap_is(detach(&b, 0, OTHER_PASID, VIOMMUI_IDENTITY), VIOMMU_OK,
           "... a PASID never bound too");
    tap_is(bench_reads(&b, 0, OTHER_PASID), BENCH_IDENTITY, "... takes effect");
    tap_is(detach(&b, 0, PASID, VIOMMUI_NESTED), VIOMMU_UNSUPPORTED,
           "no detach leads to a config");
    tap_is(detach(&b, 0, PASID, VIOMMUI_BLOCKED), VIOMMU_OK, "block");
    tap_is(bench_reads(&b, 0, PASID), BENCH_REFUSED, "... takes effect");
    tap_is(bench_reads(&b, 0, OTHER_PASID), BENCH_IDENTITY, "... for that PASID alone");
    tap_is(bench_hwpts(&b), 1, "only the requester ID's HWPT is left");

    tap_is(bind(&b, 0, PASID, 0), VIOMMU_OK, "bound again");
    viommui_host_device_leave(device);
    tap_ok(bench_reads(&b, 0, PASID) == BENCH_REFUSED &&
               bench_reads(&b, 0, OTHER_PASID) == BENCH_REFUSED &&
               bench_reads(&b, 0, VIOMMUI_NO_PASID) == BENCH_REFUSED,
           "out of the vIOMMU's hands all is refused");
    tap_is(bench_hwpts(&b), 0, "... and no HWPT left");
    tap_is(bind(&b, 0, PASID, 0), VIOMMU_UNSUPPORTED, "... nor can a PASID be bound");
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

static void test_refused_pasids(void)
{
    Bench b;
    ViommuiHostViommu *hv;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    viommui_host_device_join(b.devices[0], hv);
    tap_is(bind(&b, 0, 0, 0), VIOMMU_UNSUPPORTED, "PASID 0");
    tap_has(b.refusal, "PASID 0 of 0000:00:02.0", "... is named");
    tap_is(bind(&b, 0, 1 << BENCH_PASID_BITS, 0), VIOMMU_UNSUPPORTED,
           "PASID 256 of 8 bits");
    tap_has(b.refusal, "PASID 256 of 0000:00:02.0 is out of range: the device has 8 bits",
            "... is named");
    tap_is(detach(&b, 0, 1 << BENCH_PASID_BITS, VIOMMUI_BLOCKED), VIOMMU_OK,
           "... to block it is nothing");
    tap_is(bind(&b, 0, (1 << BENCH_PASID_BITS) - 1, 0), VIOMMU_OK, "PASID 255");
    tap_is(bench_reads(&b, 0, (1 << BENCH_PASID_BITS) - 1), 0, "... takes effect");
    viommui_host_device_leave(b.devices[0]);
    viommui_host_viommu_free(hv);

    hv = bench_viommu(&b, 0, FALSE, FALSE);
    viommui_host_device_join(b.devices[0], hv);
    tap_is(bind(&b, 0, VIOMMUI_NO_PASID, 0), VIOMMU_OK, "without PASIDs a requester ID");
    tap_is(bind(&b, 0, PASID, 0), VIOMMU_UNSUPPORTED, "... but no PASID");
    tap_has(b.refusal, "without PASIDs", "... which is said");
    viommui_host_device_leave(b.devices[0]);
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

/* The host attaches a PASID for all of a group. */
static void test_group(void)
{
    g_autoptr(GError) error = NULL;
    ViommuiHostViommu *hv;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 2, .group = 3});
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    tap_is(viommui_host_device_join(b.devices[0], hv), VIOMMU_OK, "one of a group of two");
    tap_is(bind(&b, 0, PASID, 0), VIOMMU_UNSUPPORTED, "... has no PASIDs");
    tap_has(b.refusal, "0000:00:02.0", "... it is named");
    tap_has(b.refusal, "0000:00:03.0", "... and so is the other");
    tap_is(bind(&b, 0, VIOMMUI_NO_PASID, 0), VIOMMU_OK, "its requester ID is bound");
    tap_is(bench_reads(&b, 0, VIOMMUI_NO_PASID), BENCH_REFUSED, "... once the other's is");
    viommui_host_device_join(b.devices[1], hv);
    tap_is(bind(&b, 1, VIOMMUI_NO_PASID, 0), VIOMMU_OK, "... which is now");
    tap_ok(bench_reads(&b, 0, VIOMMUI_NO_PASID) == 0 &&
               bench_reads(&b, 1, VIOMMUI_NO_PASID) == 0,
           "... and takes effect for both");
    tap_is(viommui_host_device_rebind(b.devices[0], VIOMMUI_NO_PASID), VIOMMU_OK,
           "attached anew");
    tap_ok(bench_reads(&b, 0, VIOMMUI_NO_PASID) == 0 &&
               bench_reads(&b, 1, VIOMMUI_NO_PASID) == 0,
           "... both are");
    viommui_host_device_leave(b.devices[1]);
    viommu_host_device_free(b.devices[1]);
    b.devices[1] = NULL;

    tap_is(bind(&b, 0, PASID, 0), VIOMMU_OK, "alone it has PASIDs");
    tap_is(bench_reads(&b, 0, PASID), 0, "... which work");
    tap_ok(!viommu_host_device_new_from_bdf(b.host, b.bdfs[1], &error) && error,
           "the other is not taken in now");
    tap_has(error->message, "0000:00:03.0 is in IOMMU group 3 with 0000:00:02.0",
            "... both are named");
    tap_is(bench_reads(&b, 0, PASID), 0, "... and the PASID is left alone");
    tap_is(detach(&b, 0, PASID, VIOMMUI_BLOCKED), VIOMMU_OK, "without the PASID");
    b.devices[1] = viommu_host_device_new_from_bdf(b.host, b.bdfs[1], NULL);
    tap_ok(b.devices[1] != NULL, "... it is");
    viommui_host_device_leave(b.devices[0]);
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

static void test_sharing(void)
{
    ViommuiHostViommu *hv;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 2, .group = -1});
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    viommui_host_device_join(b.devices[0], hv);
    viommui_host_device_join(b.devices[1], hv);
    bind(&b, 0, VIOMMUI_NO_PASID, 0);
    bind(&b, 0, PASID, 0);
    bind(&b, 1, OTHER_PASID, 0);
    tap_is(bench_hwpts(&b), 1, "one stage 1 is one HWPT, whoever uses it");
    tap_ok(viommui_host_device_get_config(b.devices[0], VIOMMUI_NO_PASID) ==
               viommui_host_device_get_config(b.devices[1], OTHER_PASID),
           "... and one config");
    tap_ok(bench_reads(&b, 0, VIOMMUI_NO_PASID) == 0 && bench_reads(&b, 0, PASID) == 0 &&
               bench_reads(&b, 1, OTHER_PASID) == 0,
           "... all reach it");
    bind(&b, 1, PASID, 1);
    tap_is(bench_hwpts(&b), 2, "another is another");
    detach(&b, 0, PASID, VIOMMUI_BLOCKED);
    tap_is(bench_hwpts(&b), 2, "it stays while one uses it");
    detach(&b, 0, VIOMMUI_NO_PASID, VIOMMUI_BLOCKED);
    detach(&b, 1, OTHER_PASID, VIOMMUI_BLOCKED);
    tap_is(bench_hwpts(&b), 1, "... and goes with the last");
    for (guint i = 0; i < 2; i++)
        viommui_host_device_leave(b.devices[i]);
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

/* What the guest has changed and not said is cached; a rebind leaves nothing of it. */
static void test_rebind(guint32 pasid, const char *name)
{
    ViommuiHostViommu *hv;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    viommui_host_device_join(b.devices[0], hv);
    bind(&b, 0, pasid, 0);
    tap_is(bench_reads(&b, 0, pasid), 0, "%s is bound", name);
    bench_map(&b, 0, BENCH_IOVA, b.domains[1].page);
    tap_is(bench_reads(&b, 0, pasid), 0, "... and has translations cached");
    tap_is(bind(&b, 0, pasid, 0), VIOMMU_OK, "bind to the same");
    tap_is(bench_reads(&b, 0, pasid), 0, "... does not change that");
    tap_is(viommui_host_device_rebind(b.devices[0], pasid), VIOMMU_OK, "attach it anew");
    tap_is(bench_reads(&b, 0, pasid), 1, "... does");
    tap_ok(is_bound(&b, 0, pasid, 0), "... and it is bound as before");
    tap_is(bench_hwpts(&b), 1, "... to the same HWPT");
    viommui_host_device_leave(b.devices[0]);
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

/* During a reset of the device the host refuses to attach anything. */
static void test_put_off(gboolean by_reset_done)
{
    ViommuHostDevice *device;
    ViommuiHostViommu *hv;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    device = b.devices[0];
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    viommui_host_device_join(device, hv);
    bind(&b, 0, OTHER_PASID, 2);
    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    spy_reset_counts(&b.spy);
    tap_is(bind(&b, 0, PASID, 0), VIOMMU_TRANSIENT, "a bind during a reset");
    tap_is(spy_count(&b.spy, VFIO_DEVICE_ATTACH_IOMMUFD_PT), 1, "... is tried once");
    tap_ok(viommui_host_device_is_pending(device, PASID) &&
               !viommui_host_device_is_at_large(device, PASID),
           "... and put off");
    tap_is(viommui_host_device_get_attachment(device, PASID), VIOMMUI_BLOCKED,
           "... blocked until then");
    tap_ok(!viommui_host_device_is_pending(device, OTHER_PASID) &&
               !viommui_host_device_is_pending(device, VIOMMUI_NO_PASID),
           "... which concerns nothing else");
    tap_is(replace(&b, 0, OTHER_PASID, 1), VIOMMU_TRANSIENT, "a replace");
    tap_is(bind(&b, 0, VIOMMUI_NO_PASID, 1), VIOMMU_TRANSIENT, "... and the requester ID");
    tap_is(viommui_host_device_retry(device, PASID), VIOMMU_TRANSIENT, "still no");
    tap_ok(viommui_host_device_is_pending(device, PASID), "... still put off");
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    tap_ok(bench_reads(&b, 0, PASID) == BENCH_REFUSED &&
               bench_reads(&b, 0, OTHER_PASID) == BENCH_REFUSED,
           "the host's own end of the reset brings nothing back");
    if (by_reset_done) {
        tap_is(viommu_host_device_reset_done(device), VIOMMU_OK, "the VMM says it is over");
    } else {
        tap_is(viommui_host_device_retry(device, PASID), VIOMMU_OK, "another try");
        tap_is(viommui_host_device_retry(device, OTHER_PASID), VIOMMU_OK, "... for each");
        tap_is(viommui_host_device_retry(device, VIOMMUI_NO_PASID), VIOMMU_OK, "... slot");
    }
    tap_ok(bench_reads(&b, 0, PASID) == 0 && bench_reads(&b, 0, OTHER_PASID) == 1 &&
               bench_reads(&b, 0, VIOMMUI_NO_PASID) == 1,
           "... all have what was asked for");
    tap_ok(!viommui_host_device_is_pending(device, PASID), "... nothing is put off");

    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    tap_is(viommui_host_device_rebind(device, PASID), VIOMMU_TRANSIENT,
           "what is attached anew during a reset");
    tap_ok(viommui_host_device_is_pending(device, PASID), "... is put off too");
    tap_is(detach(&b, 0, PASID, VIOMMUI_BLOCKED), VIOMMU_OK,
           "until the guest thinks better");
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    tap_is(viommu_host_device_reset_done(device), VIOMMU_OK, "then nothing was put off");
    tap_is(bench_reads(&b, 0, PASID), BENCH_REFUSED, "... and it stays blocked");

    viommu_emulator_device_begin_reset(b.emulator, b.bdfs[0]);
    bind(&b, 0, PASID, 0);
    viommui_host_device_leave(device);
    viommu_emulator_device_end_reset(b.emulator, b.bdfs[0]);
    tap_is(bench_hwpts(&b), 0, "what was put off goes when the device does");
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

/* A host that refuses even to detach. */
static void test_at_large(void)
{
    ViommuHostDevice *device;
    ViommuiHostViommu *hv;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    device = b.devices[0];
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    viommui_host_device_join(device, hv);
    bind(&b, 0, PASID, 0);
    spy_fail(&b.spy, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, EIO, 99);
    tap_is(detach(&b, 0, PASID, VIOMMUI_BLOCKED), VIOMMU_HOST_GONE, "a detach refused");
    tap_ok(viommui_host_device_is_at_large(device, PASID), "... leaves it at large");
    tap_ok(!is_bound(&b, 0, PASID, 0), "... bound to nothing for sure");
    tap_is(bench_hwpts(&b), 1, "... its HWPT is kept");
    tap_is(viommui_host_device_retry(device, PASID), VIOMMU_HOST_GONE,
           "... as often as tried");
    spy_fail_none(&b.spy);
    tap_is(viommui_host_device_retry(device, PASID), VIOMMU_OK, "until it comes round");
    tap_is(bench_reads(&b, 0, PASID), BENCH_REFUSED, "... blocked");
    tap_ok(!viommui_host_device_is_pending(device, PASID), "... for good");
    tap_is(bench_hwpts(&b), 0, "... and the HWPT is gone");

    bind(&b, 0, PASID, 0);
    spy_fail(&b.spy, VFIO_DEVICE_DETACH_IOMMUFD_PT, 1, EIO, 99);
    tap_is(viommui_host_device_rebind(device, PASID), VIOMMU_HOST_GONE,
           "nor is it attached anew");
    tap_ok(viommui_host_device_is_at_large(device, PASID), "... and at large again");
    viommui_host_device_leave(device);
    tap_is(viommui_host_device_join(device, hv), VIOMMU_HOST_GONE,
           "no vIOMMU has it while it is");
    tap_has(b.refusal, "0000:00:02.0", "... which is said by name");
    spy_fail_none(&b.spy);
    tap_is(viommui_host_device_join(device, hv), VIOMMU_OK, "until it is not");
    tap_is(bench_reads(&b, 0, PASID), BENCH_REFUSED, "... blocked");
    viommui_host_device_leave(device);
    viommui_host_viommu_free(hv);
    tap_is(bench_hwpts(&b), 1, "an HWPT let go of while attached is lost to this host");
    bench_clear(&b);
}

static ViommuiVtdInvalidation entry(guint64 address, guint64 n_pages)
{
    return (ViommuiVtdInvalidation){.address = address, .n_pages = n_pages};
}

static void test_batch(void)
{
    enum { NEXT = BENCH_IOVA + 0x1000 };
    ViommuiVtdInvalidation inv = entry(BENCH_IOVA, 1), *last;
    ViommuiBatch *batch;
    ViommuiHostViommu *hv;
    gsize command = 99;
    guint n = 0;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    viommui_host_device_join(b.devices[0], hv);
    for (guint i = 0; i < 2; i++) {
        bench_map(&b, i, NEXT, b.domains[i].page);
        bind(&b, 0, 1 + i, i);
        tap_ok(bench_reads(&b, 0, 1 + i) == (int)i &&
                   bench_writes(&b, 0, 1 + i, NEXT + 8, 1) == 0,
               "PASID %u has translations cached", 1 + i);
        bench_map(&b, i, BENCH_IOVA, b.domains[2].page);
        bench_map(&b, i, NEXT, b.domains[2].page);
    }
    batch =
        viommui_batch_new(hv, viommui_host_device_get_config(b.devices[0], 1), sizeof inv);
    tap_ok(!viommui_batch_get_last(batch), "a new batch has no last entry");
    spy_reset_counts(&b.spy);
    tap_is(viommui_batch_flush(batch, &command), VIOMMU_OK, "... and nothing to flush");
    tap_is(b.spy.n_calls, 0, "... which makes no call");
    viommui_batch_add(batch, &inv, 0, FALSE);
    tap_is(viommui_batch_flush(batch, &command), VIOMMU_OK, "a page of one HWPT");
    tap_is(bench_reads(&b, 0, 1), 2, "... is invalidated there");
    tap_is(bench_reads(&b, 0, 2), 1, "... and not in another");
    bench_writes(&b, 0, 1, NEXT + 16, 77);
    tap_is(*bench_word(&b, b.domains[0].page + 16), 77, "... nor the page after it");
    tap_ok(!viommui_batch_get_last(batch), "a flushed batch has no last entry");
    viommui_batch_add(batch, &(ViommuiVtdInvalidation){.address = 0x1000}, 0, FALSE);
    viommui_batch_add(batch, &inv, 0, FALSE);
    last = viommui_batch_get_last(batch);
    tap_ok(last && last->address == BENCH_IOVA && last->n_pages == 1,
           "the entry added last");
    last->n_pages = 2;
    viommui_batch_flush(batch, &command);
    bench_writes(&b, 0, 1, NEXT + 16, 88);
    tap_is(*bench_word(&b, b.domains[2].page + 16), 88, "... widened, has that page too");

    spy_reset_counts(&b.spy);
    for (; !viommui_batch_is_full(batch); n++)
        viommui_batch_add(batch, &inv, n, FALSE);
    tap_ok(n >= 512, "a full batch is large: %u entries", n);
    tap_is(viommui_batch_flush(batch, &command), VIOMMU_OK, "... is taken");
    tap_is(spy_count(&b.spy, IOMMU_HWPT_INVALIDATE), 1, "... is one call");
    inv.address = 0x123;
    for (guint i = 0; i < 3; i++) {
        ViommuiVtdInvalidation good = entry(BENCH_IOVA, 1);

        viommui_batch_add(batch, i == 1 ? &inv : &good, 10 + i, FALSE);
    }
    tap_is(viommui_batch_flush(batch, &command), VIOMMU_GUEST_INVALID, "a bad entry");
    tap_is(command, 11, "... is the one to blame");

    detach(&b, 0, 1, VIOMMUI_BLOCKED);
    detach(&b, 0, 2, VIOMMUI_BLOCKED);
    tap_is(bench_hwpts(&b), 1, "a batch keeps the HWPT that it is aimed at");
    viommui_batch_free(batch);
    tap_is(bench_hwpts(&b), 0, "... and lets it go");
    viommui_batch_free(NULL);
    viommui_host_device_leave(b.devices[0]);
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

/* What only other IOMMUs have is refused, and nothing is left of it. */
static void test_not_of_vtd(void)
{
    const ViommuiHostViommuConfig config = {.type = VIOMMUI_DATA_VTD, .event_depth = 16};
    g_autoptr(GError) error = NULL;
    ViommuiHostViommu *hv;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    tap_ok(!viommui_host_viommu_new(b.devices[0], &config, &error) &&
               g_error_matches(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED),
           "a VT-d has no event queue");
    tap_is(bench_count(&b, VIOMMU_EMULATOR_OBJECT_HWPT_PAGING), 0, "... nor half a vIOMMU");
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    tap_is(viommui_host_viommu_get_event_fd(hv), -1, "... nor a descriptor for one");
    viommui_host_device_join(b.devices[0], hv);
    tap_is(viommui_host_device_set_virt_id(b.devices[0], 5), VIOMMU_UNSUPPORTED,
           "... and devices have no names there");
    tap_is(viommui_host_device_clear_virt_id(b.devices[0]), VIOMMU_OK, "... to take away");
    tap_is(bind(&b, 0, VIOMMUI_NO_PASID, 0), VIOMMU_OK, "... nor do they need one");
    tap_is(bench_reads(&b, 0, VIOMMUI_NO_PASID), 0, "... to be bound");
    viommui_host_device_leave(b.devices[0]);
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

int main(void)
{
    test_verbs();
    test_refused_pasids();
    test_group();
    test_sharing();
    test_rebind(PASID, "a PASID");
    test_rebind(VIOMMUI_NO_PASID, "a requester ID");
    test_put_off(FALSE);
    test_put_off(TRUE);
    test_at_large();
    test_batch();
    test_not_of_vtd();
    return tap_done();
}
