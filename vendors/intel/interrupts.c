/* SPDX-License-Identifier: MIT */
/*
 * The event interrupts (VT-d 5.1.5, 11.4.7.2, 11.4.9.5, 11.4.11.5): of faults, of
 * invalidation waits, of page requests. Each has a mask, and is pending while it is masked.
 *
 * Invariants: a message is sent by viommui_vtd_deliver_interrupts(), when no lock is held
 * and no section entered: a VMM may need its own lock for it, which the thread may hold
 * that waits for the sections.
 *
 * Up the path: faults.c, invalidation-queue.c, page-requests.c, registers.c. Down:
 * ViommuServices.send_msi.
 */

#include "vunit.h"

void viommui_vtd_raise_event(ViommuVtd *vtd, ViommuiVtdEventKind kind)
{
    ViommuiVtdEvent *event = &vtd->regs.events[kind];

    if (viommui_field_get(event->ctl, ECTL_IM))
        event->ctl |= viommui_field_mask(ECTL_IP);
    else
        g_atomic_int_or(&vtd->owed, 1u << kind);
}

void viommui_vtd_lower_event(ViommuVtd *vtd, ViommuiVtdEventKind kind)
{
    vtd->regs.events[kind].ctl &= ~viommui_field_mask(ECTL_IP);
}

void viommui_vtd_write_event_control(ViommuVtd *vtd, ViommuiVtdEventKind kind,
                                     guint32 value)
{
    ViommuiVtdEvent *event = &vtd->regs.events[kind];
    gboolean pending;

    g_mutex_lock(&vtd->event_lock);
    pending = viommui_field_get(event->ctl, ECTL_IP) != 0;
    event->ctl = viommui_field_set(event->ctl, ECTL_IM, viommui_field_get(value, ECTL_IM));
    if (pending && !viommui_field_get(value, ECTL_IM)) {
        viommui_vtd_lower_event(vtd, kind);
        viommui_vtd_raise_event(vtd, kind);
    }
    g_mutex_unlock(&vtd->event_lock);
}

static void deliver(ViommuVtd *vtd, ViommuiVtdEventKind kind)
{
    const ViommuServices *services = &vtd->config.services;
    ViommuiVtdEvent event;

    g_mutex_lock(&vtd->event_lock);
    event = vtd->regs.events[kind];
    g_mutex_unlock(&vtd->event_lock);
    /* Where nothing is, the message is lost: the unit has nowhere to say so. */
    services->send_msi((guint64)event.uaddr << 32 | event.addr, event.data,
                       services->user_data);
}

void viommui_vtd_deliver_interrupts(ViommuVtd *vtd)
{
    guint owed = g_atomic_int_and(&vtd->owed, 0);

    for (guint kind = 0; kind < VIOMMUI_VTD_N_EVENTS; kind++)
        if (owed & 1u << kind)
            deliver(vtd, kind);
}
