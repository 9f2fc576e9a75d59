/* SPDX-License-Identifier: MIT */
/*
 * Every failure point of the verbs, for a requester ID and for a PASID: each host call of a
 * device's life on an emulated VT-d fails once in each way. Whatever fails, the device
 * reaches what the library says it reaches, a verb that fails closed leaves nothing of the
 * tables before, what is put off comes in the end, and nothing is left on the host.
 */

#include "vtd-bench.h"

#include <errno.h>

/* What one step of a device's life asks for. */
enum { BLOCK = -1, IDENTITY = -2, REBIND = -3 };

static const int life[] = {0, 1, REBIND, IDENTITY, 2, 2, BLOCK, IDENTITY, BLOCK, 0, 1};

typedef struct {
    int err;
    guint times; /* in a row */
} Failure;

static const Failure failures[] = {
    {ENOMEM, 1}, {ENOMEM, 3}, {ENOMEM, 4}, {EINTR, 3},  {EBUSY, 1}, {EBUSY, 2},
    {EINVAL, 1}, {EINVAL, 2}, {ENODEV, 1}, {ENODEV, 2}, {EIO, 5},   {EIO, 15},
};

typedef struct {
    Bench *bench;
    ViommuHostDevice *device;
    guint32 pasid;
    ViommuiOnFailure on_failure;
    guint n_wrong;
    guint n_failed, n_put_off, n_kept, n_closed, n_at_large;
    char *where; /* what is being tried, for the reader of a failure */
} Sweep;

static void check(Sweep *s, gboolean ok, const char *what, int step)
{
    if (ok)
        return;
    if (!s->n_wrong++)
        tap_note("%s, step %d: %s", s->where, step, what);
}

/* What it has in the library's books, in the terms of bench_reads(). */
static int has(Sweep *s)
{
    ViommuiAttachmentKind kind = viommui_host_device_get_attachment(s->device, s->pasid);

    if (kind == VIOMMUI_BLOCKED)
        return BENCH_REFUSED;
    if (kind == VIOMMUI_IDENTITY)
        return BENCH_IDENTITY;
    for (int i = 0; i < BENCH_DOMAINS; i++)
        if (viommui_host_device_is_bound_to(s->device, s->pasid,
                                            &s->bench->domains[i].stage1))
            return i;
    return BENCH_ELSEWHERE;
}

static ViommuResult ask(Sweep *s, int step)
{
    const ViommuiStage1 *stage1;

    if (step == REBIND)
        return viommui_host_device_rebind(s->device, s->pasid);
    if (step < 0)
        return viommui_host_device_detach(
            s->device, s->pasid, step == BLOCK ? VIOMMUI_BLOCKED : VIOMMUI_IDENTITY,
            s->on_failure);
    stage1 = &s->bench->domains[step].stage1;
    if (viommui_host_device_get_attachment(s->device, s->pasid) == VIOMMUI_NESTED)
        return viommui_host_device_replace(s->device, s->pasid, stage1, s->on_failure);
    return viommui_host_device_bind(s->device, s->pasid, stage1, s->on_failure);
}

static int result_of(int step, int before)
{
    switch (step) {
    case BLOCK:
        return BENCH_REFUSED;
    case IDENTITY:
        return BENCH_IDENTITY;
    case REBIND:
        return before;
    default:
        return step;
    }
}

static void check_failed(Sweep *s, int i, ViommuResult result, int before, int want)
{
    gboolean pending = viommui_host_device_is_pending(s->device, s->pasid);
    int now = has(s);

    s->n_failed++;
    if (s->on_failure == VIOMMUI_KEEP_OLD && life[i] != REBIND && now == before &&
        now != BENCH_REFUSED) {
        s->n_kept++;
        check(s, !pending, "the old attachment is kept, and something is put off", i);
        return;
    }
    s->n_closed++;
    check(s, now == BENCH_REFUSED, "it did not fail closed", i);
    if (!pending)
        return;
    s->n_put_off++;
    check(s, result == VIOMMU_TRANSIENT || result == VIOMMU_HOST_GONE,
          "what will not be tried again is put off", i);
    /* By now the failure is over. */
    check(s, viommui_host_device_retry(s->device, s->pasid) == VIOMMU_OK,
          "another try fails", i);
    check(s, !viommui_host_device_is_pending(s->device, s->pasid), "it is put off for ever",
          i);
    check(s, bench_reads(s->bench, 0, s->pasid) == want, "it comes out wrong", i);
}

/* Not even blocked: then that is said, and comes as soon as the host lets it. */
static void check_at_large(Sweep *s, int i, ViommuResult result)
{
    s->n_at_large++;
    check(s, result == VIOMMU_HOST_GONE, "a device at large is not spoken of", i);
    for (guint tries = 0; viommui_host_device_is_pending(s->device, s->pasid); tries++) {
        check(s, tries < 20, "it is at large for ever", i);
        if (tries == 20)
            break;
        viommui_host_device_retry(s->device, s->pasid);
    }
    check(s, bench_reads(s->bench, 0, s->pasid) == BENCH_REFUSED, "it is still at large",
          i);
}

static void step(Sweep *s, int i)
{
    int before = has(s), want = result_of(life[i], before);
    ViommuResult result = ask(s, life[i]);

    if (viommui_host_device_is_at_large(s->device, s->pasid)) {
        check_at_large(s, i, result);
        return;
    }
    check(s, bench_reads(s->bench, 0, s->pasid) == has(s),
          "the device reaches something else than is said", i);
    if (result == VIOMMU_OK)
        check(s, has(s) == want, "success is none", i);
    else
        check_failed(s, i, result, before, want);
    /* Translations of the tables before must be no use to it. */
    check(s, bench_reads(s->bench, 0, s->pasid) == has(s), "it goes on by old tables", i);
}

/* FALSE: no call was the nth. */
static gboolean live(Sweep *s, ViommuiHostViommu *hv, guint nth, const Failure *failure)
{
    gboolean stubborn = failure->times > 4;
    Spy *spy = &s->bench->spy;

    viommui_host_device_join(s->device, hv);
    spy_fail(spy, 0, nth, failure->err, failure->times);
    for (guint i = 0; i < G_N_ELEMENTS(life); i++)
        step(s, (int)i);
    /* A host that goes on refusing loses what it was to let go of. */
    if (stubborn)
        spy_fail_none(spy);
    viommui_host_device_leave(s->device);
    spy_fail_none(spy);
    check(s, bench_reads(s->bench, 0, s->pasid) == BENCH_REFUSED,
          "it does DMA after all is over", -1);
    check(s, stubborn || bench_hwpts(s->bench) == 0, "an HWPT is left", -1);
    return spy->hit;
}

static void sweep(guint32 pasid, ViommuiOnFailure on_failure, const Failure *failure)
{
    Sweep s = {.pasid = pasid, .on_failure = on_failure};
    ViommuiHostViommu *hv;
    guint nth = 1;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    s.bench = &b;
    s.device = b.devices[0];
    hv = bench_viommu(&b, 0, TRUE, FALSE);
    do {
        g_free(s.where);
        s.where = g_strdup_printf("call %u, errno %d %u times", nth, failure->err,
                                  failure->times);
    } while (live(&s, hv, nth++, failure));
    tap_is(s.n_wrong, 0, "%s, %s, errno %d %u times, each of %u calls",
           pasid == VIOMMUI_NO_PASID ? "requester ID" : "PASID",
           on_failure == VIOMMUI_KEEP_OLD ? "old kept" : "failing closed", failure->err,
           failure->times, nth - 2);
    tap_ok(nth > 10, "... there were some");
    tap_note("%u verbs failed: %u put off, %u closed, %u kept, %u at large", s.n_failed,
             s.n_put_off, s.n_closed, s.n_kept, s.n_at_large);
    viommui_host_viommu_free(hv);
    bench_clear(&b);
    g_free(s.where);
}

/* A host that gives nothing for a host vIOMMU gives no half of one either. */
static void sweep_viommu(void)
{
    const ViommuiHostViommuConfig config = {
        .type = VIOMMUI_DATA_VTD, .nest = TRUE, .pasids = TRUE, .page_requests = TRUE};
    g_autoptr(GError) error = NULL;
    ViommuiHostViommu *hv = NULL;
    guint nth = 0, n_objects;
    Bench b;

    bench_init(&b, &(BenchOptions){.n_devices = 1, .group = -1});
    viommu_host_set_dirty_tracking(b.host, TRUE, NULL);
    n_objects = bench_count(&b, VIOMMU_EMULATOR_OBJECT_HWPT_PAGING) +
                bench_count(&b, VIOMMU_EMULATOR_OBJECT_FAULT_QUEUE);
    while (!hv && nth < 50) {
        g_clear_error(&error);
        spy_fail(&b.spy, 0, ++nth, EIO, 1);
        hv = viommui_host_viommu_new(b.devices[0], &config, &error);
        if (!hv)
            tap_ok(bench_count(&b, VIOMMU_EMULATOR_OBJECT_HWPT_PAGING) +
                               bench_count(&b, VIOMMU_EMULATOR_OBJECT_FAULT_QUEUE) ==
                           n_objects &&
                       error,
                   "without call %u no vIOMMU, and no part of it: %s", nth, error->message);
    }
    spy_fail_none(&b.spy);
    tap_is(nth, 4, "that is the parent, dirty tracking and the fault queue");
    viommui_host_viommu_free(hv);
    viommui_host_viommu_free(NULL);
    bench_clear(&b);
}

int main(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(failures); i++) {
        sweep(VIOMMUI_NO_PASID, VIOMMUI_FAIL_CLOSED, &failures[i]);
        sweep(VIOMMUI_NO_PASID, VIOMMUI_KEEP_OLD, &failures[i]);
        sweep(7, VIOMMUI_FAIL_CLOSED, &failures[i]);
        sweep(7, VIOMMUI_KEEP_OLD, &failures[i]);
    }
    sweep_viommu();
    return tap_done();
}
