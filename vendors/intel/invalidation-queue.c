/* SPDX-License-Identifier: MIT */
/*
 * The invalidation queue (VT-d 6.5.2, 11.4.9): descriptors in order, each fetched once,
 * with the software caches invalidated and the rest given to the acceleration layer.
 *
 * What is fetched at once is carried out in one run, waits and all: the software caches go
 * within a change, which waits for the read sections that began before; then the host, in
 * one call for each HWPT concerned; then the waits are completed, in order. IQH counts what
 * is done. A bad descriptor stops the queue with IQE at itself, everything before it done.
 *
 * The host has no way to fail a descriptor but one: a device that ought to be blocked, and
 * is not. Then nothing may be told complete: the run is consumed, its waits are not
 * completed, and ITE tells the guest to submit it again (6.5.2.12).
 *
 * Bounded: a doorbell consumes what IQT said when it was rung, at most one queue.
 *
 * Up the path: registers.c. Down the path: the accel layer, configuration.c, translate.c.
 */

#include "vunit.h"

#include <string.h>

enum { MAX_FETCH = 256, NARROW = 16, WIDE = VIOMMU_VTD_DESCRIPTOR_SIZE };

/* Descriptors fetched at once, widened to 32 bytes. */
typedef struct {
    ViommuVtd *vtd;
    guint8 bytes[MAX_FETCH * WIDE];
    ViommuiDescriptor descriptors[MAX_FETCH];
    guint n;      /* fetched */
    guint8 error; /* IQEI_NONE, or why the queue stops where IQH is then */
} Run;

/* --- the queue --------------------------------------------------------------------------
 */

static gboolean is_wide(const ViommuiVtdRegisters *regs)
{
    return viommui_field_get(regs->iqa, IQA_DW) != 0;
}

static guint descriptor_size(const ViommuiVtdRegisters *regs)
{
    return is_wide(regs) ? WIDE : NARROW;
}

static guint n_descriptors(const ViommuiVtdRegisters *regs)
{
    return (4096u << viommui_field_get(regs->iqa, IQA_QS)) / descriptor_size(regs);
}

static guint head(const ViommuiVtdRegisters *regs)
{
    return (guint)(regs->iqh / descriptor_size(regs));
}

static void advance(ViommuiVtdRegisters *regs, guint n)
{
    regs->iqh = (guint64)((head(regs) + n) % n_descriptors(regs)) * descriptor_size(regs);
}

/* Before any descriptor is looked at. */
static guint8 check_queue(const ViommuVtd *vtd)
{
    const ViommuiVtdRegisters *regs = &vtd->regs;

    if (viommui_vtd_ttm(vtd) == TTM_SCALABLE && !is_wide(regs))
        return IQEI_WIDTH;
    if (regs->iqt % descriptor_size(regs))
        return IQEI_TAIL_ALIGNMENT;
    if (regs->iqt / descriptor_size(regs) >= n_descriptors(regs))
        return IQEI_TAIL;
    return IQEI_NONE;
}

static gboolean read_descriptors(Run *run, guint at, guint n, guint8 *ret_bytes)
{
    const ViommuServices *services = &run->vtd->config.services;
    const ViommuiVtdRegisters *regs = &run->vtd->regs;
    guint64 base = regs->iqa & viommui_field_mask(IQA_IQA);
    guint size = descriptor_size(regs);

    return services->read_memory(base + (guint64)at * size, ret_bytes, (gsize)n * size,
                                 services->user_data);
}

/* 128-bit descriptors to the places of 256-bit ones. */
static void widen(Run *run)
{
    guint8 narrow[MAX_FETCH * NARROW];

    if (is_wide(&run->vtd->regs))
        return;
    memcpy(narrow, run->bytes, run->n * NARROW);
    memset(run->bytes, 0, run->n * WIDE);
    for (guint i = 0; i < run->n; i++)
        memcpy(run->bytes + i * WIDE, narrow + i * NARROW, NARROW);
}

/* Up to `max` descriptors from IQH on, fewer where the queue's memory ends. */
static void fetch(Run *run, guint max)
{
    const ViommuiVtdRegisters *regs = &run->vtd->regs;
    guint at = head(regs), size = descriptor_size(regs);
    guint want = MIN(MIN(max, MAX_FETCH), n_descriptors(regs) - at);

    run->n = want;
    if (!read_descriptors(run, at, want, run->bytes)) {
        /* Nothing of it counts as fetched; one by one, to find where it ends. */
        for (run->n = 0; run->n < want; run->n++)
            if (!read_descriptors(run, at + run->n, 1, run->bytes + run->n * size))
                break;
        run->error = IQEI_FETCH;
    }
    widen(run);
}

/* --- a run ------------------------------------------------------------------------------
 */

/* Within a change. */
static void invalidate_software(ViommuVtd *vtd, const ViommuiDescriptor *descriptor)
{
    switch (descriptor->kind) {
    case VIOMMUI_DESCRIPTOR_CONTEXT_CACHE:
    case VIOMMUI_DESCRIPTOR_PASID_CACHE:
        viommui_vtd_forget_configurations(vtd, descriptor);
        break;
    case VIOMMUI_DESCRIPTOR_IOTLB:
    case VIOMMUI_DESCRIPTOR_PASID_IOTLB:
    case VIOMMUI_DESCRIPTOR_DEVICE_TLB:
        viommui_vtd_invalidate_iotlb(vtd, descriptor);
        break;
    default:
        break;
    }
}

/* FALSE: nothing of it may be told complete. */
static gboolean carry_out(ViommuVtd *vtd, const ViommuiDescriptor *descriptors,
                          const guint8 *bytes, guint n)
{
    gsize handled;

    viommui_vtd_begin_change(vtd);
    for (guint i = 0; i < n; i++)
        invalidate_software(vtd, &descriptors[i]);
    viommui_vtd_end_change(vtd);
    return viommu_vtd_accel_invalidate(vtd->accel, bytes, n, &handled) == VIOMMU_OK;
}

/* 6.5.2.8. Where the status cannot be written, there is nobody to see it. */
static void complete_wait(ViommuVtd *vtd, const ViommuiDescriptor *descriptor)
{
    const ViommuServices *services = &vtd->config.services;
    guint32 data = GUINT32_TO_LE(descriptor->status_data);

    if (descriptor->drains)
        viommui_vtd_move_page_requests(vtd);
    if (descriptor->status_write)
        services->write_memory(descriptor->status_address, &data, sizeof data,
                               services->user_data);
    if (!descriptor->interrupt || viommui_field_get(vtd->regs.ics, ICS_IWC))
        return;
    g_mutex_lock(&vtd->event_lock);
    vtd->regs.ics |= viommui_field_mask(ICS_IWC);
    viommui_vtd_raise_event(vtd, VIOMMUI_VTD_INVALIDATION_EVENT);
    g_mutex_unlock(&vtd->event_lock);
}

static void refuse(ViommuVtd *vtd, const ViommuiDescriptor *descriptor)
{
    ViommuHost *host = viommui_vtd_get_host(vtd);

    if (host)
        viommui_refuse(host, NULL, VIOMMU_GUEST_INVALID,
                       "the descriptor at IQH 0x%x, type %u, is illegal: %s",
                       (guint)vtd->regs.iqh, descriptor->type, descriptor->why);
}

/* Decode, up to the first illegal one; carry out; complete. FALSE: the queue stops. */
static gboolean execute(Run *run)
{
    ViommuVtd *vtd = run->vtd;
    guint n, ttm = viommui_vtd_ttm(vtd);
    gboolean legal = TRUE;

    for (n = 0; n < run->n && legal; n++) {
        run->descriptors[n] = viommui_vtd_decode_descriptor(vtd->regs.cap, vtd->regs.ecap,
                                                            ttm, run->bytes + n * WIDE);
        legal = run->descriptors[n].kind != VIOMMUI_DESCRIPTOR_ILLEGAL;
    }
    if (!legal)
        run->error = run->descriptors[--n].error;
    if (n && !carry_out(vtd, run->descriptors, run->bytes, n)) {
        run->error = IQEI_NONE;
        advance(&vtd->regs, n);
        viommui_vtd_set_fault_status(vtd, FSTS_ITE);
        return FALSE;
    }
    advance(&vtd->regs, n);
    for (guint i = 0; i < n; i++)
        if (run->descriptors[i].kind == VIOMMUI_DESCRIPTOR_WAIT)
            complete_wait(vtd, &run->descriptors[i]);
    if (!legal)
        refuse(vtd, &run->descriptors[n]);
    return run->error == IQEI_NONE;
}

static gboolean may_run(ViommuVtd *vtd)
{
    guint32 fsts;

    g_mutex_lock(&vtd->event_lock);
    fsts = vtd->regs.fsts;
    g_mutex_unlock(&vtd->event_lock);
    return viommui_field_get(vtd->regs.gsts, GCMD_QIE) &&
           !viommui_field_get(fsts, FSTS_IQE) && !viommui_field_get(fsts, FSTS_ITE);
}

static void stop(ViommuVtd *vtd, guint8 error)
{
    vtd->regs.iqercd = viommui_field_set(vtd->regs.iqercd, IQERCD_IQEI, error);
    viommui_vtd_set_fault_status(vtd, FSTS_IQE);
}

void viommui_vtd_run_queue(ViommuVtd *vtd)
{
    ViommuiVtdRegisters *regs = &vtd->regs;
    Run run = {.vtd = vtd};
    gboolean going = TRUE;
    guint waiting, n;

    if (!may_run(vtd) || regs->iqh == regs->iqt)
        return;
    run.error = check_queue(vtd);
    if (run.error != IQEI_NONE) {
        stop(vtd, run.error);
        return;
    }
    n = n_descriptors(regs);
    waiting = ((guint)(regs->iqt / descriptor_size(regs)) + n - head(regs)) % n;
    while (waiting && going) {
        fetch(&run, waiting);
        going = execute(&run);
        waiting -= run.n;
    }
    if (run.error != IQEI_NONE)
        stop(vtd, run.error);
}

gboolean viommui_vtd_invalidate(ViommuVtd *vtd, const guint64 words[2])
{
    guint64 bytes[4] = {GUINT64_TO_LE(words[0]), GUINT64_TO_LE(words[1]), 0, 0};
    ViommuiDescriptor descriptor = viommui_vtd_decode_descriptor(
        vtd->regs.cap, vtd->regs.ecap, viommui_vtd_ttm(vtd), (const guint8 *)bytes);

    return descriptor.kind == VIOMMUI_DESCRIPTOR_ILLEGAL ||
           carry_out(vtd, &descriptor, (const guint8 *)bytes, 1);
}
