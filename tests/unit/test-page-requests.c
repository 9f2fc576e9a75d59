/* SPDX-License-Identifier: MIT */
/*
 * Page requests of devices on an emulated VT-d: asked for by a stage 1, read from the host
 * vIOMMU's fault queue, answered.
 */

#include "vtd-bench.h"

#include <errno.h>
#include <linux/iommufd.h>
#include <poll.h>
#include <string.h>

enum { PASID = 7, NOWHERE = BENCH_IOVA + 0x5000, WORD = 0x77 };

typedef struct {
    Bench bench;
    ViommuiHostViommu *hv;
    ViommuHostDevice *device;
} Fixture;

static void fixture_init(Fixture *f)
{
    bench_init(&f->bench, &(BenchOptions){.n_devices = 1, .group = -1});
    f->device = f->bench.devices[0];
    f->hv = bench_viommu(&f->bench, 0, TRUE, TRUE);
    viommui_host_device_join(f->device, f->hv);
    viommui_host_device_bind(f->device, PASID, &f->bench.domains[0].with_requests,
                             VIOMMUI_FAIL_CLOSED);
    viommui_host_device_bind(f->device, VIOMMUI_NO_PASID,
                             &f->bench.domains[1].with_requests, VIOMMUI_FAIL_CLOSED);
}

static void fixture_clear(Fixture *f)
{
    viommui_host_device_leave(f->device);
    viommui_host_viommu_free(f->hv);
    bench_clear(&f->bench);
}

static gboolean is_readable(Fixture *f)
{
    struct pollfd fd = {.fd = viommui_host_viommu_get_page_request_fd(f->hv),
                        .events = POLLIN};
    const ViommuSeam *seam = f->bench.seam;

    return seam->ops->poll(seam->data, &fd, 1, 0) == 1 && (fd.revents & POLLIN);
}

static guint waiting(Fixture *f)
{
    return viommu_emulator_dma_waiting(f->bench.emulator, f->bench.bdfs[0]);
}

static void test_life(void)
{
    ViommuiPageRequest requests[4];
    Fixture f;
    Bench *b = &f.bench;
    gsize n = 99;

    fixture_init(&f);
    tap_ok(viommui_host_viommu_get_page_request_fd(f.hv) >= 0 && !is_readable(&f),
           "a quiet fault queue");
    tap_is(viommui_host_viommu_read_page_requests(f.hv, requests, 4, &n), VIOMMU_OK,
           "... is read");
    tap_is(n, 0, "... and has nothing");

    tap_is(bench_writes(b, 0, PASID, NOWHERE + 8, WORD), -EINPROGRESS,
           "a device writes where nothing is, and waits");
    tap_ok(is_readable(&f), "... the queue says so");
    tap_is(viommui_host_viommu_read_page_requests(f.hv, requests, 4, &n), VIOMMU_OK,
           "... and is read");
    tap_is(n, 1, "... a request");
    tap_is(requests[0].devid, viommu_host_device_get_info(f.device)->devid, "... of it");
    tap_ok(requests[0].has_pasid && requests[0].pasid == PASID, "... of that PASID");
    tap_is(requests[0].address, NOWHERE, "... about that page");
    tap_ok(requests[0].write && !requests[0].read && !requests[0].execute &&
               !requests[0].privileged && requests[0].last,
           "... to write, alone in its group");
    tap_ok(!is_readable(&f), "... after which the queue is quiet");
    bench_map(b, 0, NOWHERE, b->domains[2].page);
    tap_is(viommui_host_viommu_respond(f.hv, requests[0].cookie, TRUE), VIOMMU_OK,
           "the guest has put a page there");
    tap_is(waiting(&f), 0, "... nobody waits");
    tap_is(*bench_word(b, b->domains[2].page + 8), WORD, "... and the write is in it");
    tap_is(viommui_host_viommu_respond(f.hv, requests[0].cookie, TRUE),
           VIOMMU_GUEST_INVALID, "no group is answered twice");

    tap_is(bench_writes(b, 0, VIOMMUI_NO_PASID, NOWHERE, WORD), -EINPROGRESS,
           "a requester ID's");
    viommui_host_viommu_read_page_requests(f.hv, requests, 4, &n);
    tap_ok(n == 1 && !requests[0].has_pasid, "... has no PASID");
    bench_map(b, 1, NOWHERE, b->domains[2].page);
    tap_is(viommui_host_viommu_respond(f.hv, requests[0].cookie, FALSE), VIOMMU_OK,
           "the guest has no page for it");
    tap_is(waiting(&f), 0, "... nobody waits");
    tap_is(*bench_word(b, b->domains[2].page), 0x5af2, "... and nothing was written");
    fixture_clear(&f);
}

/* Those of an attachment that ends are the host's to answer. */
static void test_ends(void)
{
    ViommuiPageRequest requests[4];
    Fixture f;
    Bench *b = &f.bench;
    guint32 cookie;
    gsize n;

    fixture_init(&f);
    for (guint i = 0; i < 3; i++)
        bench_writes(b, 0, PASID, NOWHERE + i * 0x1000, WORD);
    tap_is(waiting(&f), 3, "three wait");
    tap_is(viommui_host_viommu_read_page_requests(f.hv, requests, 2, &n), VIOMMU_OK,
           "room for two");
    tap_is(n, 2, "... takes two");
    cookie = requests[0].cookie;
    tap_is(viommui_host_viommu_read_page_requests(f.hv, requests, 2, &n), VIOMMU_OK,
           "... then");
    tap_is(n, 1, "... the third");
    viommui_host_device_replace(f.device, PASID, &b->domains[2].with_requests,
                                VIOMMUI_FAIL_CLOSED);
    tap_is(waiting(&f), 0, "another stage 1: nobody waits any more");
    tap_is(viommui_host_viommu_respond(f.hv, cookie, TRUE), VIOMMU_GUEST_INVALID,
           "... nor can be answered");
    bench_writes(b, 0, PASID, NOWHERE, WORD);
    viommui_host_device_leave(f.device);
    tap_is(waiting(&f), 0, "nor does who waits when the device leaves");
    fixture_clear(&f);
}

static void test_failures(void)
{
    ViommuiPageRequest request;
    Fixture f;
    Bench *b = &f.bench;
    gsize n = 99;

    fixture_init(&f);
    bench_writes(b, 0, PASID, NOWHERE, WORD);
    viommu_emulator_fail_call(b->emulator, VIOMMU_EMULATOR_CALL_READ, 1, EIO, FALSE);
    tap_is(viommui_host_viommu_read_page_requests(f.hv, &request, 1, &n), VIOMMU_HOST_GONE,
           "a read that fails");
    tap_is(n, 0, "... has read nothing");
    tap_is(viommui_host_viommu_read_page_requests(f.hv, &request, 1, &n), VIOMMU_OK,
           "... and may be tried again");
    tap_is(n, 1, "... with success");
    viommu_emulator_fail_call(b->emulator, VIOMMU_EMULATOR_CALL_WRITE, 1, EIO, FALSE);
    tap_is(viommui_host_viommu_respond(f.hv, request.cookie, FALSE), VIOMMU_HOST_GONE,
           "an answer that fails");
    tap_is(waiting(&f), 1, "... is none");
    viommu_emulator_fail_call(b->emulator, VIOMMU_EMULATOR_CALL_WRITE, 1, EINTR, FALSE);
    tap_is(viommui_host_viommu_respond(f.hv, request.cookie, FALSE), VIOMMU_OK,
           "an interrupted one is ridden out");
    tap_is(waiting(&f), 0, "... and arrives");
    fixture_clear(&f);
}

static void test_without(void)
{
    ViommuiHostViommu *hv;
    ViommuHostDevice *device;
    const BenchDomain *domain;
    ViommuiPageRequest request;
    gsize n = 99;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1, .no_pri = TRUE});
    device = b.devices[0];
    domain = &b.domains[0];
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    viommui_host_device_join(device, hv);
    tap_is(viommui_host_viommu_get_page_request_fd(hv), -1, "a vIOMMU made without them");
    tap_is(viommui_host_viommu_read_page_requests(hv, &request, 1, &n), VIOMMU_OK,
           "... has none to read");
    tap_is(n, 0, "... not one");
    tap_is(viommui_host_viommu_respond(hv, 1, TRUE), VIOMMU_UNSUPPORTED,
           "... nor to answer");
    tap_is(viommui_host_device_bind(device, PASID, &domain->with_requests,
                                    VIOMMUI_FAIL_CLOSED),
           VIOMMU_UNSUPPORTED, "... nor does a stage 1 get them");
    viommui_host_device_leave(device);
    viommui_host_viommu_free(hv);

    hv = bench_viommu(&b, 0, TRUE, TRUE);
    viommui_host_device_join(device, hv);
    tap_is(viommui_host_device_bind(device, PASID, &domain->with_requests,
                                    VIOMMUI_FAIL_CLOSED),
           VIOMMU_UNSUPPORTED, "nor a device that has none");
    tap_has(b.refusal, "0000:00:02.0", "... which is named");
    tap_is(viommui_host_device_bind(device, PASID, &domain->stage1, VIOMMUI_FAIL_CLOSED),
           VIOMMU_OK, "but it is bound without");
    tap_is(bench_reads(&b, 0, PASID), 0, "... and takes effect");
    tap_ok(!viommui_host_device_is_bound_to(device, PASID, &domain->with_requests),
           "with and without are not the same");
    viommui_host_device_leave(device);
    viommui_host_viommu_free(hv);
    bench_clear(&b);
}

/* One stage 1 with and without page requests is two HWPTs. */
static void test_two_hwpts(void)
{
    Fixture f;

    fixture_init(&f);
    viommui_host_device_bind(f.device, PASID + 1, &f.bench.domains[0].with_requests,
                             VIOMMUI_FAIL_CLOSED);
    tap_is(bench_hwpts(&f.bench), 2, "the same is shared");
    viommui_host_device_bind(f.device, PASID + 2, &f.bench.domains[0].stage1,
                             VIOMMUI_FAIL_CLOSED);
    tap_is(bench_hwpts(&f.bench), 3, "without page requests it is another");
    tap_is(bench_writes(&f.bench, 0, PASID + 2, NOWHERE, WORD), -EFAULT,
           "... by which a missing page is an error at once");
    fixture_clear(&f);
}

/* --- groups of many ----------------------------------------------------------------------
 */

/* What a read of the fault queue has: one group of so many, or nothing. */
static gsize flood;

static ssize_t flood_read(void *data, int fd, void *buf, size_t size)
{
    struct iommu_hwpt_pgfault *faults = buf;
    gsize n = flood;

    (void)data;
    (void)fd;
    if (size / sizeof *faults < n)
        return -EINVAL;
    for (gsize i = 0; i < n; i++)
        faults[i] = (struct iommu_hwpt_pgfault){
            .flags = i == n - 1 ? IOMMU_PGFAULT_FLAGS_LAST_PAGE : 0,
            .addr = i << 12,
            .perm = IOMMU_PGFAULT_PERM_EXEC | IOMMU_PGFAULT_PERM_PRIV,
            .cookie = 5,
        };
    flood = 0;
    return (ssize_t)(n * sizeof *faults);
}

static void test_flood(void)
{
    ViommuiPageRequest requests[1024];
    guint64 n_wrong = 0;
    ViommuSeamOps ops;
    Fixture f;
    gsize n;

    fixture_init(&f);
    ops = *f.bench.seam->ops;
    ops.read = flood_read;
    f.bench.spy.seam.ops = &ops;
    flood = 1000;
    tap_is(viommui_host_viommu_read_page_requests(f.hv, requests, 64, &n), VIOMMU_TRANSIENT,
           "a group larger than the reader's room waits");
    tap_is(n, 0, "... and none of it is read");
    viommui_host_viommu_read_page_requests(f.hv, requests, G_N_ELEMENTS(requests), &n);
    tap_is(n, 1000, "... until there is room for all of it");
    for (gsize i = 0; i < n; i++)
        n_wrong += requests[i].address != i << 12 || requests[i].cookie != 5 ||
                   !requests[i].execute || !requests[i].privileged ||
                   requests[i].last != (i == 999);
    tap_is(n_wrong, 0, "... each request once, in order");
    fixture_clear(&f);
}

int main(void)
{
    test_life();
    test_ends();
    test_failures();
    test_without();
    test_two_hwpts();
    test_flood();
    return tap_done();
}
