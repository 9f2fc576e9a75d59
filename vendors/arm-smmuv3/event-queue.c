/* SPDX-License-Identifier: MIT */
/*
 * The event queue (Arm IHI 0070, 7.2 to 7.4): the software walk's events and the host's,
 * into guest memory; what finds no room is lost, and OVFLG says so.
 *
 * Invariants: everything here happens with event_lock held, as endpoints record events
 * beside the register side. The queue is as the registers say now: a guest that puts it
 * outside of its memory has EVENTQ_ABT_ERR, and no more events until it acknowledges.
 *
 * Up the path: translate.c, stream-table.c, the VMM (handle_events). Down the path: guest
 * memory, the accel layer.
 */

#include "vsmmu.h"

#include <string.h>

enum { BATCH = 64 };

void viommui_smmuv3_make_event(guint id, guint32 sid, guint32 ssid, guint64 ret_words[4])
{
    memset(ret_words, 0, 4 * sizeof *ret_words);
    ret_words[0] = viommui_field_set(ret_words[0], EVENT0_ID, id);
    ret_words[0] = viommui_field_set(ret_words[0], EVENT0_SID, sid);
    if (ssid == VIOMMU_SMMUV3_NO_SUBSTREAM)
        return;
    ret_words[0] = viommui_field_set(ret_words[0], EVENT0_SSV, 1);
    ret_words[0] = viommui_field_set(ret_words[0], EVENT0_SSID, ssid);
}

/* LOG2SIZE beyond IDR1.EVENTQS is taken for that (6.3.29). */
static guint queue_bits(const ViommuiSmmuv3Registers *regs)
{
    return MIN(viommui_field_get(regs->eventq_base, QUEUE_BASE_LOG2SIZE),
               viommui_field_get(regs->idr[1], IDR1_EVENTQS));
}

/* 7.4: toggled once, until the guest has acknowledged. TRUE: it was. */
static gboolean overflow(ViommuiSmmuv3Registers *regs)
{
    guint64 acknowledged = viommui_field_get(regs->eventq_cons, EVENTQ_CONS_OVACKFLG);

    if (viommui_field_get(regs->eventq_prod, EVENTQ_PROD_OVFLG) != acknowledged)
        return FALSE;
    regs->eventq_prod =
        viommui_field_set(regs->eventq_prod, EVENTQ_PROD_OVFLG, !acknowledged);
    return TRUE;
}

/* 7.2: events are dropped, not lost, while the queue is off or in error. */
static gboolean is_writable(const ViommuiSmmuv3Registers *regs)
{
    return viommui_field_get(regs->cr0, CR0_EVENTQEN) &&
           !viommui_field_get(regs->gerror ^ regs->gerrorn, GERROR_EVENTQ_ABT_ERR);
}

/* TRUE: the guest's queue has changed. */
static gboolean put(ViommuSmmuv3 *smmu, const guint8 *event)
{
    const ViommuServices *services = &smmu->config.services;
    ViommuiSmmuv3Registers *regs = &smmu->regs;
    guint bits = queue_bits(regs);
    guint32 index = (1u << bits) - 1, both = (2u << bits) - 1;
    guint64 base = viommui_field_get(regs->eventq_base, QUEUE_BASE_ADDR)
                   << QUEUE_BASE_ADDR.shift;

    if (!is_writable(regs))
        return FALSE;
    if (((regs->eventq_prod ^ regs->eventq_cons) & both) == 1u << bits) {
        return overflow(regs);
    }
    /* Address bits below the queue's size count as 0. */
    base &= ~(((guint64)VIOMMU_SMMUV3_EVENT_SIZE << bits) - 1);
    base += (guint64)(regs->eventq_prod & index) * VIOMMU_SMMUV3_EVENT_SIZE;
    if (!services->write_memory(base, event, VIOMMU_SMMUV3_EVENT_SIZE,
                                services->user_data)) {
        viommui_smmuv3_raise_gerror(smmu, viommui_field_mask(GERROR_EVENTQ_ABT_ERR));
        return FALSE;
    }
    regs->eventq_prod = (regs->eventq_prod & viommui_field_mask(EVENTQ_PROD_OVFLG)) |
                        ((regs->eventq_prod + 1) & both);
    return TRUE;
}

void viommui_smmuv3_record_event(ViommuSmmuv3 *smmu, const guint8 *event)
{
    g_mutex_lock(&smmu->event_lock);
    if (put(smmu, event))
        viommui_smmuv3_interrupt(smmu, VIOMMU_SMMUV3_IRQ_EVENTQ);
    g_mutex_unlock(&smmu->event_lock);
}

/* --- the host's events ------------------------------------------------------------------
 */

/* One interrupt for all of them. */
static void put_many(ViommuSmmuv3 *smmu, const guint8 *events, gsize n, guint64 n_lost)
{
    gboolean changed = FALSE;

    g_mutex_lock(&smmu->event_lock);
    for (gsize i = 0; i < n; i++)
        changed |= put(smmu, events + i * VIOMMU_SMMUV3_EVENT_SIZE);
    if (n_lost && is_writable(&smmu->regs))
        changed |= overflow(&smmu->regs);
    if (changed)
        viommui_smmuv3_interrupt(smmu, VIOMMU_SMMUV3_IRQ_EVENTQ);
    g_mutex_unlock(&smmu->event_lock);
}

/*
 * A device may fault faster than events are read: no more at once than the host's queues
 * held when it began. The rest keeps the descriptor readable, and comes with the next call.
 */
void viommui_smmuv3_drain_host_events(ViommuSmmuv3 *smmu)
{
    guint8 events[BATCH * VIOMMU_SMMUV3_EVENT_SIZE];
    gsize room, n = BATCH;

    if (!smmu->accel)
        return;
    room = (gsize)smmu->event_depth * MAX(g_hash_table_size(smmu->devices), 1) + BATCH;
    for (gsize done = 0; n == BATCH && done < room; done += n) {
        guint64 n_lost;

        /* What fails is traced below; whatever came is the guest's. */
        viommu_smmuv3_accel_read_events(smmu->accel, events, BATCH, &n, &n_lost);
        put_many(smmu, events, n, n_lost);
    }
}

void viommui_smmuv3_resize_host_events(ViommuSmmuv3 *smmu)
{
    guint depth = 1u << queue_bits(&smmu->regs);

    if (!smmu->accel || depth == smmu->event_depth)
        return;
    if (viommu_smmuv3_accel_set_event_depth(smmu->accel, depth, NULL))
        smmu->event_depth = depth;
    else /* what comes from the host is lost: the guest is told so once */
        put_many(smmu, NULL, 0, 1);
}

void viommu_smmuv3_handle_events(ViommuSmmuv3 *smmu)
{
    viommui_smmuv3_drain_host_events(smmu);
    viommui_smmuv3_deliver_interrupts(smmu);
}
