/* SPDX-License-Identifier: MIT */
/*
 * State saved and restored: the registers, in the form of core/state.h.
 *
 * What else there is follows from the registers and guest memory: descriptors are consumed
 * when a register write returns, page requests are answered first, caches may be empty, and
 * bindings are made anew.
 *
 * A state is as hostile as a guest: values no guest could have written are masked.
 *
 * Up the path: the VMM. Beside: registers.c.
 */

#include "vunit.h"

#include "core/state.h"

#define FIELD(name_) VIOMMUI_STATE_FIELD(ViommuiVtdRegisters, name_, 1)
#define RECORD(n_)   FIELD(frcd[n_][0]), FIELD(frcd[n_][1])
#define EVENT(n_)                                                          \
    FIELD(events[n_].ctl), FIELD(events[n_].data), FIELD(events[n_].addr), \
        FIELD(events[n_].uaddr)

static const ViommuiStateField fields[] = {
    FIELD(cap),  FIELD(ecap), /* compared, not taken over */
    FIELD(gsts), FIELD(rtaddr), FIELD(root), FIELD(ccmd),        FIELD(iva), FIELD(iotlb),
    FIELD(fsts), RECORD(0),     RECORD(1),   RECORD(2),          RECORD(3),  RECORD(4),
    RECORD(5),   RECORD(6),     RECORD(7),   FIELD(fault_index), FIELD(iqh), FIELD(iqt),
    FIELD(iqa),  FIELD(iqercd), FIELD(ics),  FIELD(pqh),         FIELD(pqt), FIELD(pqa),
    FIELD(prs),  EVENT(0),      EVENT(1),    EVENT(2),           FIELD(held),
};

static const ViommuiStateFormat format = {
    .magic = "viommuVD",
    .version = 2,
    .what = "a VT-d unit",
    .fields = fields,
    .n_fields = G_N_ELEMENTS(fields),
};

GBytes *viommu_vtd_save(ViommuVtd *vtd, GError **error)
{
    GBytes *state;

    if (vtd->blocked) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "the unit is between block and release, which is no state to keep");
        return NULL;
    }
    viommu_vtd_quiesce(vtd);
    g_mutex_lock(&vtd->event_lock);
    state = viommui_state_save(&format, &vtd->regs);
    g_mutex_unlock(&vtd->event_lock);
    return state;
}

static gboolean check(const char *name, guint64 own, guint64 saved, GError **error)
{
    if (own == saved)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                "the state is of a unit with %s 0x%016" G_GINT64_MODIFIER
                "x, and this one has 0x%016" G_GINT64_MODIFIER "x",
                name, saved, own);
    return FALSE;
}

static void take_over(ViommuVtd *vtd, GBytes *state)
{
    /* Endpoints must not see the registers of a reset in between. */
    viommui_vtd_begin_change(vtd);
    vtd->blocked = TRUE;
    viommui_vtd_end_change(vtd);
    viommui_vtd_registers_reset(vtd);
    viommui_vtd_begin_change(vtd);
    g_mutex_lock(&vtd->event_lock);
    viommui_state_load(&format, state, &vtd->regs, NULL);
    viommui_vtd_registers_sanitize(vtd);
    g_mutex_unlock(&vtd->event_lock);
    vtd->blocked = FALSE;
    viommui_vtd_end_change(vtd);
    vtd->frozen = TRUE;
}

static gboolean restore(ViommuVtd *vtd, GBytes *state, GError **error)
{
    ViommuiVtdRegisters saved = {0};

    if (!viommui_state_load(&format, state, &saved, error) ||
        !check("CAP", vtd->regs.cap, saved.cap, error) ||
        !check("ECAP", vtd->regs.ecap, saved.ecap, error) ||
        /* What a former life has left in the host's caches goes with its bindings. */
        !viommu_vtd_accel_block(vtd->accel, error))
        return FALSE;
    take_over(vtd, state);
    return viommu_vtd_accel_release(vtd->accel, error);
}

gboolean viommu_vtd_restore(ViommuVtd *vtd, GBytes *state, GError **error)
{
    gboolean ok = restore(vtd, state, error);

    if (!ok)
        viommu_vtd_block(vtd, NULL);
    viommui_vtd_deliver_interrupts(vtd);
    return ok;
}
