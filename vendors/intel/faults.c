/* SPDX-License-Identifier: MIT */
/*
 * Fault logging (VT-d 7.2, 7.3): records, primary fault overflow, compression, and the bits
 * of FSTS with the event that tells of them.
 *
 * Invariants: everything here happens with event_lock held, as endpoints record faults
 * beside the register side. Records are written round; PPF is set exactly while one of them
 * has F.
 *
 * Up the path: translate.c, vunit.c, invalidation-queue.c, registers.c. Down: interrupts.c.
 */

#include "vunit.h"

/* Reasons that FPD of an entry does not silence: there is no entry, or no trusting it. */
static gboolean is_qualified(guint8 reason)
{
    switch (reason) {
    case FR_ROOT_P:
    case FR_ROOT_ACCESS:
    case FR_CONTEXT_ACCESS:
    case FR_ROOT_RESERVED:
    case FR_SM_TTM:
    case FR_SM_PASID_IN_LEGACY:
    case FR_SM_ROOT_ACCESS:
    case FR_SM_ROOT_P:
    case FR_SM_ROOT_RESERVED:
    case FR_SM_CONTEXT_ACCESS:
    case FR_SM_CONTEXT_RESERVED:
    case FR_SM_DIR_ACCESS:
    case FR_SM_PASID_ACCESS:
        return FALSE;
    default:
        return TRUE;
    }
}

/* The conditions of the fault event: while one of them stands, another is nothing new. */
static guint32 conditions(const ViommuiVtdRegisters *regs)
{
    return regs->fsts & ~viommui_field_mask(FSTS_FRI);
}

static void set_status(ViommuVtd *vtd, ViommuiField status)
{
    gboolean is_new = !conditions(&vtd->regs);

    vtd->regs.fsts |= viommui_field_mask(status);
    if (is_new)
        viommui_vtd_raise_event(vtd, VIOMMUI_VTD_FAULT_EVENT);
}

static void settle_event(ViommuVtd *vtd)
{
    if (!conditions(&vtd->regs))
        viommui_vtd_lower_event(vtd, VIOMMUI_VTD_FAULT_EVENT);
}

static guint n_records(const ViommuiVtdRegisters *regs)
{
    return (guint)viommui_field_get(regs->cap, CAP_NFR) + 1;
}

/* 7.2.1: a source whose fault still waits needs no second record. */
static gboolean is_compressed(const ViommuiVtdRegisters *regs, guint16 rid)
{
    for (guint i = 0; i < n_records(regs); i++)
        if (viommui_field_get(regs->frcd[i][1], FRCD_F) &&
            viommui_field_get(regs->frcd[i][1], FRCD_SID) == rid)
            return TRUE;
    return FALSE;
}

static void write_record(guint64 *record, const ViommuiVtdFault *fault)
{
    gboolean has_pasid = fault->pasid != VIOMMU_VTD_NO_PASID;
    guint64 upper = 0;

    upper = viommui_field_set(upper, FRCD_SID, fault->rid);
    upper = viommui_field_set(upper, FRCD_FR, fault->reason);
    upper = viommui_field_set(upper, FRCD_T1, fault->read);
    if (has_pasid) {
        upper = viommui_field_set(upper, FRCD_PP, 1);
        upper = viommui_field_set(upper, FRCD_PV, fault->pasid);
        upper = viommui_field_set(upper, FRCD_EXE, fault->execute);
        upper = viommui_field_set(upper, FRCD_PRIV, fault->privileged);
    }
    record[0] = fault->address & viommui_field_mask(FRCD_FI);
    record[1] = viommui_field_set(upper, FRCD_F, 1);
}

static void record(ViommuVtd *vtd, const ViommuiVtdFault *fault)
{
    ViommuiVtdRegisters *regs = &vtd->regs;

    if (viommui_field_get(regs->fsts, FSTS_PFO) || is_compressed(regs, fault->rid))
        return;
    if (viommui_field_get(regs->frcd[regs->fault_index][1], FRCD_F)) {
        set_status(vtd, FSTS_PFO);
        return;
    }
    write_record(regs->frcd[regs->fault_index], fault);
    if (!viommui_field_get(regs->fsts, FSTS_PPF)) {
        regs->fsts = viommui_field_set(regs->fsts, FSTS_FRI, regs->fault_index);
        set_status(vtd, FSTS_PPF);
    }
    regs->fault_index = (regs->fault_index + 1) % n_records(regs);
}

void viommui_vtd_record_fault(ViommuVtd *vtd, const ViommuiVtdFault *fault,
                              gboolean fault_disabled)
{
    if (fault_disabled && is_qualified(fault->reason))
        return;
    g_mutex_lock(&vtd->event_lock);
    record(vtd, fault);
    g_mutex_unlock(&vtd->event_lock);
}

void viommui_vtd_set_fault_status(ViommuVtd *vtd, ViommuiField status)
{
    g_mutex_lock(&vtd->event_lock);
    set_status(vtd, status);
    g_mutex_unlock(&vtd->event_lock);
}

void viommui_vtd_clear_fault(ViommuVtd *vtd, guint n, guint64 ones)
{
    ViommuiVtdRegisters *regs = &vtd->regs;
    gboolean any = FALSE;

    regs->frcd[n][1] &= ~(ones & viommui_field_mask(FRCD_F));
    for (guint i = 0; i < n_records(regs); i++)
        any = any || viommui_field_get(regs->frcd[i][1], FRCD_F);
    if (!any)
        regs->fsts &= ~viommui_field_mask(FSTS_PPF);
    settle_event(vtd);
}

void viommui_vtd_clear_fault_status(ViommuVtd *vtd, guint32 ones)
{
    const guint32 clearable = viommui_field_mask(FSTS_PFO) | viommui_field_mask(FSTS_IQE) |
                              viommui_field_mask(FSTS_ICE) | viommui_field_mask(FSTS_ITE);

    vtd->regs.fsts &= ~(ones & clearable);
    settle_event(vtd);
}
