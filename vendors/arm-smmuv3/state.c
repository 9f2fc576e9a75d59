/* SPDX-License-Identifier: MIT */
/*
 * State saved and restored: the registers, in the form of core/state.h.
 *
 * What else there is follows from the registers and guest memory: commands are consumed
 * when a register write returns, the host's events are drained first, caches may be empty,
 * and attachments are made anew.
 *
 * A state is as hostile as a guest: values no guest could have written are masked.
 *
 * Up the path: the VMM. Beside: registers.c, stream-table.c.
 */

#include "vsmmu.h"

#include "core/state.h"

#define FIELD(name_, since_) VIOMMUI_STATE_FIELD(ViommuiSmmuv3Registers, name_, since_)

/* The ID registers come first: they are compared, not taken over. */
enum { N_IDR = 6 };

static const ViommuiStateField fields[] = {
    FIELD(idr[0], 1),
    FIELD(idr[1], 1),
    FIELD(idr[2], 1),
    FIELD(idr[3], 1),
    FIELD(idr[4], 1),
    FIELD(idr[5], 1),
    FIELD(cr0, 1),
    FIELD(cr1, 1),
    FIELD(cr2, 1),
    FIELD(gbpa, 1),
    FIELD(irq_ctrl, 1),
    FIELD(gerror, 1),
    FIELD(gerrorn, 1),
    FIELD(gerror_irq_cfg0, 1),
    FIELD(gerror_irq_cfg1, 1),
    FIELD(gerror_irq_cfg2, 1),
    FIELD(strtab_base, 1),
    FIELD(strtab_base_cfg, 1),
    FIELD(cmdq_base, 1),
    FIELD(cmdq_prod, 1),
    FIELD(cmdq_cons, 1),
    FIELD(eventq_base, 1),
    FIELD(eventq_prod, 1),
    FIELD(eventq_cons, 1),
    FIELD(eventq_irq_cfg0, 1),
    FIELD(eventq_irq_cfg1, 1),
    FIELD(eventq_irq_cfg2, 1),
};

static const ViommuiStateFormat format = {
    .magic = "viommuS3",
    .version = 1,
    .what = "an SMMUv3",
    .fields = fields,
    .n_fields = G_N_ELEMENTS(fields),
};

GBytes *viommu_smmuv3_save(ViommuSmmuv3 *smmu, GError **error)
{
    GBytes *state;

    if (smmu->blocked) {
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_INVALID,
                    "the SMMU is between block and release, which is no state to keep");
        return NULL;
    }
    viommui_smmuv3_drain_host_events(smmu);
    viommui_smmuv3_deliver_interrupts(smmu);
    g_mutex_lock(&smmu->event_lock);
    state = viommui_state_save(&format, &smmu->regs);
    g_mutex_unlock(&smmu->event_lock);
    return state;
}

static gboolean check_idr(const guint32 own[N_IDR], const guint32 saved[N_IDR],
                          GError **error)
{
    for (guint i = 0; i < N_IDR; i++) {
        if (own[i] == saved[i])
            continue;
        g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_UNSUPPORTED,
                    "the state is of an SMMU with IDR%u 0x%08x, and this one has 0x%08x", i,
                    saved[i], own[i]);
        return FALSE;
    }
    return TRUE;
}

/* Whatever a former life has left in the host's caches must not serve this one. */
static gboolean clear_host(ViommuSmmuv3 *smmu, GError **error)
{
    const guint64 all[2] = {GUINT64_TO_LE(CMD_TLBI_NSNH_ALL), 0};
    ViommuResult result;
    gsize handled;

    if (!smmu->accel)
        return TRUE;
    if (!viommu_smmuv3_accel_block(smmu->accel, error))
        return FALSE;
    result = viommu_smmuv3_accel_invalidate(smmu->accel, (const guint8 *)all, 1, &handled);
    if (result == VIOMMU_OK)
        return TRUE;
    g_set_error(error, VIOMMU_ERROR, VIOMMU_ERROR_HOST_GONE,
                "the host's translations cannot be invalidated: %s",
                viommu_result_name(result));
    return FALSE;
}

static void take_over(ViommuSmmuv3 *smmu, GBytes *state)
{
    /* Endpoints must not see the registers of a reset in between. */
    viommui_smmuv3_begin_change(smmu);
    smmu->blocked = TRUE;
    viommui_smmuv3_end_change(smmu);
    viommui_smmuv3_registers_reset(smmu);
    viommui_smmuv3_begin_change(smmu);
    g_mutex_lock(&smmu->event_lock);
    viommui_state_load(&format, state, &smmu->regs, NULL);
    viommui_smmuv3_registers_sanitize(smmu);
    g_mutex_unlock(&smmu->event_lock);
    smmu->blocked = FALSE;
    viommui_smmuv3_end_change(smmu);
    smmu->frozen = TRUE;
    smmu->held = FALSE;
    smmu->lost = FALSE;
}

static gboolean restore(ViommuSmmuv3 *smmu, GBytes *state, GError **error)
{
    ViommuiSmmuv3Registers saved = {0};

    if (!viommui_state_load(&format, state, &saved, error) ||
        !check_idr(smmu->regs.idr, saved.idr, error) || !clear_host(smmu, error))
        return FALSE;
    take_over(smmu, state);
    if (viommui_field_get(smmu->regs.cr0, CR0_EVENTQEN))
        viommui_smmuv3_resize_host_events(smmu);
    return viommui_smmuv3_refresh_all(smmu, error);
}

gboolean viommu_smmuv3_restore(ViommuSmmuv3 *smmu, GBytes *state, GError **error)
{
    if (!restore(smmu, state, error)) {
        viommu_smmuv3_block(smmu, NULL);
        return FALSE;
    }
    viommui_smmuv3_deliver_interrupts(smmu);
    return TRUE;
}
