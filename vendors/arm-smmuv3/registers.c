/* SPDX-License-Identifier: MIT */
/*
 * The registers of a guest SMMUv3 (Arm IHI 0070, chapter 6): which there are, how they may
 * be accessed, what a write does; GERROR and interrupts.
 *
 * Access (6.1): 32-bit registers by 4 bytes, 64-bit ones by 8 or by either half. Whatever
 * else reads as 0 and is not written. A register that is guarded by an enable bit is not
 * written while that is set (of what the architecture leaves open, the choice that cannot
 * be half done).
 *
 * Invariants: what translate() reads changes within a change (vsmmu.h), what record_event()
 * reads with event_lock held. The first access freezes what is offered.
 *
 * Up the path: the VMM's MMIO. Beside: command-queue.c, event-queue.c, stream-table.c.
 */

#include "vsmmu.h"

#include "core/registers.h"

#include <string.h>

enum { MAX_FIELDS = 7 };

typedef struct {
    guint32 offset;
    guint8 size;                     /* 4 or 8 */
    guint16 at;                      /* where in ViommuiSmmuv3Registers */
    ViommuiField fields[MAX_FIELDS]; /* what can be written; up to a width of 0 */
    ViommuiField guard;              /* of CR0: while it is set, not */
    ViommuiField irq_guard;          /* of IRQ_CTRL, likewise */
    gboolean tables;                 /* translate() reads it */
    void (*written)(ViommuSmmuv3 *smmu, guint64 old,
                    guint64 value); /* instead of storing */
} Register;

static void write_cr0(ViommuSmmuv3 *smmu, guint64 old, guint64 value);
static void write_gbpa(ViommuSmmuv3 *smmu, guint64 old, guint64 value);
static void write_irq_ctrl(ViommuSmmuv3 *smmu, guint64 old, guint64 value);
static void write_gerrorn(ViommuSmmuv3 *smmu, guint64 old, guint64 value);
static void write_cmdq_prod(ViommuSmmuv3 *smmu, guint64 old, guint64 value);

/* The register of this name: where it is, how wide, and where we keep it. */
#define REGISTER(NAME_, name_)                                                    \
    .offset = SMMU_##NAME_, .size = sizeof(((ViommuiSmmuv3Registers *)0)->name_), \
    .at = G_STRUCT_OFFSET(ViommuiSmmuv3Registers, name_)

#define IDR(n_)                                                 \
    {                                                           \
        .offset = SMMU_IDR0 + 4 * (n_), .size = 4,              \
        .at = G_STRUCT_OFFSET(ViommuiSmmuv3Registers, idr[n_]), \
    }

#define IRQ_CFG(NAME_, name_)                                                      \
    {REGISTER(NAME_##_IRQ_CFG0, name_##_irq_cfg0), .fields = {IRQ_CFG0_ADDR},      \
     .irq_guard = IRQ_CTRL_##NAME_##_IRQEN},                                       \
        {REGISTER(NAME_##_IRQ_CFG1, name_##_irq_cfg1), .fields = {IRQ_CFG1_DATA},  \
         .irq_guard = IRQ_CTRL_##NAME_##_IRQEN},                                   \
    {                                                                              \
        REGISTER(NAME_##_IRQ_CFG2, name_##_irq_cfg2),                              \
            .fields = {IRQ_CFG2_ATTRIBUTES}, .irq_guard = IRQ_CTRL_##NAME_##_IRQEN \
    }

static const Register registers[] = {
    IDR(0),
    IDR(1),
    IDR(2),
    IDR(3),
    IDR(4),
    IDR(5),
    {REGISTER(CR0, cr0), .fields = {CR0_SMMUEN, CR0_EVENTQEN, CR0_CMDQEN, CR0_ATSCHK},
     .written = write_cr0},
    {REGISTER(CR0ACK, cr0ack)},
    {REGISTER(CR1, cr1), .fields = {CR1_ATTRIBUTES}},
    {REGISTER(CR2, cr2), .fields = {CR2_RECINVSID, CR2_PTM}, .guard = CR0_SMMUEN,
     .tables = TRUE},
    {REGISTER(GBPA, gbpa),
     .fields = {GBPA_MEMATTR, GBPA_ALLOCCFG, GBPA_SHCFG, GBPA_PRIVCFG, GBPA_INSTCFG,
                GBPA_ABORT, GBPA_UPDATE},
     .written = write_gbpa},
    {REGISTER(IRQ_CTRL, irq_ctrl), .fields = {IRQ_CTRL_GERROR_IRQEN, IRQ_CTRL_EVENTQ_IRQEN},
     .written = write_irq_ctrl},
    {REGISTER(IRQ_CTRLACK, irq_ctrlack)},
    {REGISTER(GERROR, gerror)},
    {REGISTER(GERRORN, gerrorn), .fields = {GERROR_CMDQ_ERR, GERROR_EVENTQ_ABT_ERR},
     .written = write_gerrorn},
    IRQ_CFG(GERROR, gerror),
    {REGISTER(STRTAB_BASE, strtab_base), .fields = {STRTAB_BASE_ADDR, STRTAB_BASE_RA},
     .guard = CR0_SMMUEN, .tables = TRUE},
    {REGISTER(STRTAB_BASE_CFG, strtab_base_cfg),
     .fields = {STRTAB_BASE_CFG_LOG2SIZE, STRTAB_BASE_CFG_SPLIT, STRTAB_BASE_CFG_FMT},
     .guard = CR0_SMMUEN, .tables = TRUE},
    {REGISTER(CMDQ_BASE, cmdq_base),
     .fields = {QUEUE_BASE_LOG2SIZE, QUEUE_BASE_ADDR, QUEUE_BASE_HINT},
     .guard = CR0_CMDQEN},
    {REGISTER(CMDQ_PROD, cmdq_prod), .fields = {QUEUE_INDEX}, .written = write_cmdq_prod},
    {REGISTER(CMDQ_CONS, cmdq_cons), .fields = {QUEUE_INDEX, CMDQ_CONS_ERR},
     .guard = CR0_CMDQEN},
    {REGISTER(EVENTQ_BASE, eventq_base),
     .fields = {QUEUE_BASE_LOG2SIZE, QUEUE_BASE_ADDR, QUEUE_BASE_HINT},
     .guard = CR0_EVENTQEN},
    IRQ_CFG(EVENTQ, eventq),
    {REGISTER(EVENTQ_PROD, eventq_prod), .fields = {QUEUE_INDEX, EVENTQ_PROD_OVFLG},
     .guard = CR0_EVENTQEN},
    {REGISTER(EVENTQ_CONS, eventq_cons), .fields = {QUEUE_INDEX, EVENTQ_CONS_OVACKFLG}},
};

static gboolean is_set(guint32 word, ViommuiField field)
{
    return field.width && viommui_field_get(word, field);
}

/* What this device lets be written: fields of what is not offered are RES0. */
static guint64 mask_of(ViommuSmmuv3 *smmu, const Register *reg)
{
    const guint32 *idr = smmu->regs.idr;
    guint64 mask = 0;

    for (guint i = 0; i < MAX_FIELDS && reg->fields[i].width; i++)
        mask |= viommui_field_mask(reg->fields[i]);
    if (reg->irq_guard.width && !viommui_field_get(idr[0], IDR0_MSI))
        return 0;
    if (reg->offset == SMMU_CR0 && !viommui_field_get(idr[0], IDR0_ATS))
        return mask & ~viommui_field_mask(CR0_ATSCHK);
    if (reg->offset == SMMU_STRTAB_BASE_CFG && !viommui_field_get(idr[0], IDR0_ST_LEVEL))
        return viommui_field_mask(STRTAB_BASE_CFG_LOG2SIZE);
    return mask;
}

static guint64 load(const ViommuSmmuv3 *smmu, const Register *reg)
{
    return viommui_register_load(&smmu->regs, reg->at, reg->size);
}

static void store(ViommuSmmuv3 *smmu, const Register *reg, guint64 value)
{
    viommui_register_store(&smmu->regs, reg->at, reg->size, value);
}

/* The register that an access of these bytes may touch; *ret_shift: which half. */
static const Register *find(guint64 offset, guint size, guint *ret_shift)
{
    for (gsize i = 0; i < G_N_ELEMENTS(registers); i++)
        if (viommui_register_is_accessed(registers[i].offset, registers[i].size, offset,
                                         size, ret_shift))
            return &registers[i];
    return NULL;
}

guint64 viommu_smmuv3_read(ViommuSmmuv3 *smmu, guint64 offset, guint size)
{
    const Register *reg;
    guint64 value;
    guint shift;

    smmu->frozen = TRUE;
    if (offset == SMMU_AIDR && size == 4)
        return AIDR_SMMUV3_2;
    reg = find(offset, size, &shift);
    if (!reg)
        return 0;
    g_mutex_lock(&smmu->event_lock);
    value = load(smmu, reg) >> shift;
    g_mutex_unlock(&smmu->event_lock);
    return size == 4 ? (guint32)value : value;
}

static void write_register(ViommuSmmuv3 *smmu, guint64 offset, guint size, guint64 value)
{
    const Register *reg;
    guint64 old, mask;
    guint shift;

    smmu->frozen = TRUE;
    reg = find(offset, size, &shift);
    mask = reg ? mask_of(smmu, reg) : 0;
    if (!mask || is_set(smmu->regs.cr0, reg->guard) ||
        is_set(smmu->regs.irq_ctrl, reg->irq_guard))
        return;
    old = load(smmu, reg);
    value = viommui_register_merge(old, mask, shift, size, value);
    if (reg->written) {
        reg->written(smmu, old, value);
        return;
    }
    if (reg->tables)
        viommui_smmuv3_begin_change(smmu);
    g_mutex_lock(&smmu->event_lock);
    store(smmu, reg, value);
    g_mutex_unlock(&smmu->event_lock);
    if (reg->tables) {
        viommui_smmuv3_forget_streams(smmu, 0, G_MAXUINT32);
        viommui_smmuv3_end_change(smmu);
    }
}

void viommu_smmuv3_write(ViommuSmmuv3 *smmu, guint64 offset, guint size, guint64 value)
{
    write_register(smmu, offset, size, value);
    viommui_smmuv3_deliver_interrupts(smmu);
}

/* --- what writes do ---------------------------------------------------------------------
 */

static gboolean rises(guint64 old, guint64 value, ViommuiField field)
{
    return !viommui_field_get(old, field) && viommui_field_get(value, field);
}

/* 6.3.9. Acknowledged when it returns: nothing of the old state is under way any more. */
static void write_cr0(ViommuSmmuv3 *smmu, guint64 old, guint64 value)
{
    /* What came while it was off is dropped; what came while it was on is the guest's. */
    if (viommui_field_get(old ^ value, CR0_EVENTQEN))
        viommui_smmuv3_drain_host_events(smmu);
    if (rises(old, value, CR0_EVENTQEN))
        viommui_smmuv3_resize_host_events(smmu);
    viommui_smmuv3_begin_change(smmu);
    g_mutex_lock(&smmu->event_lock);
    smmu->regs.cr0 = value;
    smmu->regs.cr0ack = value;
    g_mutex_unlock(&smmu->event_lock);
    viommui_smmuv3_forget_streams(smmu, 0, G_MAXUINT32);
    viommui_smmuv3_end_change(smmu);
    if (viommui_field_get(old ^ value, CR0_SMMUEN)) {
        smmu->held = FALSE;
        /* What fails leaves its stream aborting, and the guest is told by an event. */
        viommui_smmuv3_refresh_all(smmu, NULL);
    }
    if (rises(old, value, CR0_CMDQEN))
        viommui_smmuv3_run_commands(smmu);
}

/* 6.3.14: taken over only with UPDATE, which is 0 again when that is done. */
static void write_gbpa(ViommuSmmuv3 *smmu, G_GNUC_UNUSED guint64 old, guint64 value)
{
    if (!viommui_field_get(value, GBPA_UPDATE))
        return;
    viommui_smmuv3_begin_change(smmu);
    smmu->regs.gbpa = viommui_field_set(value, GBPA_UPDATE, 0);
    viommui_smmuv3_forget_streams(smmu, 0, G_MAXUINT32);
    viommui_smmuv3_end_change(smmu);
    smmu->held = FALSE;
    if (!viommui_field_get(smmu->regs.cr0, CR0_SMMUEN))
        viommui_smmuv3_refresh_all(smmu, NULL);
}

static void write_irq_ctrl(ViommuSmmuv3 *smmu, G_GNUC_UNUSED guint64 old, guint64 value)
{
    g_mutex_lock(&smmu->event_lock);
    smmu->regs.irq_ctrl = value;
    smmu->regs.irq_ctrlack = value;
    g_mutex_unlock(&smmu->event_lock);
}

/* 6.3.18: only what is active can be acknowledged. Then the command queue goes on. */
static void write_gerrorn(ViommuSmmuv3 *smmu, guint64 old, guint64 value)
{
    guint32 active;

    g_mutex_lock(&smmu->event_lock);
    active = smmu->regs.gerror ^ smmu->regs.gerrorn;
    smmu->regs.gerrorn ^= (old ^ value) & active;
    g_mutex_unlock(&smmu->event_lock);
    viommui_smmuv3_run_commands(smmu);
}

static void write_cmdq_prod(ViommuSmmuv3 *smmu, G_GNUC_UNUSED guint64 old, guint64 value)
{
    smmu->regs.cmdq_prod = value;
    viommui_smmuv3_run_commands(smmu);
}

/* --- errors and interrupts --------------------------------------------------------------
 */

void viommui_smmuv3_raise_gerror(ViommuSmmuv3 *smmu, guint32 bit)
{
    if ((smmu->regs.gerror ^ smmu->regs.gerrorn) & bit)
        return;
    smmu->regs.gerror ^= bit;
    viommui_smmuv3_interrupt(smmu, VIOMMU_SMMUV3_IRQ_GERROR);
}

/*
 * Owed, and delivered when no lock is held and no section entered: a VMM may well need its
 * own lock for an interrupt, which the thread may hold that waits for the sections.
 */
void viommui_smmuv3_interrupt(ViommuSmmuv3 *smmu, guint line)
{
    ViommuiField enable =
        line == VIOMMU_SMMUV3_IRQ_EVENTQ ? IRQ_CTRL_EVENTQ_IRQEN : IRQ_CTRL_GERROR_IRQEN;

    if (viommui_field_get(smmu->regs.irq_ctrl, enable))
        g_atomic_int_or(&smmu->owed, 1u << line);
}

/* An address of 0 means the wired interrupt (3.18.1). */
static void deliver(ViommuSmmuv3 *smmu, const ViommuiSmmuv3Registers *regs, guint line)
{
    const ViommuServices *services = &smmu->config.services;
    gboolean is_event = line == VIOMMU_SMMUV3_IRQ_EVENTQ;
    guint64 address = is_event ? regs->eventq_irq_cfg0 : regs->gerror_irq_cfg0;
    guint32 data = is_event ? regs->eventq_irq_cfg1 : regs->gerror_irq_cfg1;

    if (!address)
        services->pulse_irq(line, services->user_data);
    else if (!services->send_msi(address, data, services->user_data))
        viommui_smmuv3_msi_aborted(smmu, is_event ? GERROR_MSI_EVENTQ_ABT_ERR
                                                  : GERROR_MSI_GERROR_ABT_ERR);
}

void viommui_smmuv3_msi_aborted(ViommuSmmuv3 *smmu, ViommuiField error)
{
    g_mutex_lock(&smmu->event_lock);
    viommui_smmuv3_raise_gerror(smmu, viommui_field_mask(error));
    g_mutex_unlock(&smmu->event_lock);
}

void viommui_smmuv3_deliver_interrupts(ViommuSmmuv3 *smmu)
{
    guint owed;

    /* Each error is raised once, so that this ends. */
    while ((owed = g_atomic_int_and(&smmu->owed, 0))) {
        ViommuiSmmuv3Registers regs;

        g_mutex_lock(&smmu->event_lock);
        regs = smmu->regs;
        g_mutex_unlock(&smmu->event_lock);
        for (guint line = 0; line <= VIOMMU_SMMUV3_IRQ_GERROR; line++)
            if (owed & 1u << line)
                deliver(smmu, &regs, line);
    }
}

/* --- reset ------------------------------------------------------------------------------
 */

void viommui_smmuv3_registers_reset(ViommuSmmuv3 *smmu)
{
    ViommuiSmmuv3Registers regs = {
        .gbpa = (guint32)viommui_field_set(0, GBPA_SHCFG, SHCFG_INCOMING)};

    viommui_smmuv3_begin_change(smmu);
    g_mutex_lock(&smmu->event_lock);
    memcpy(regs.idr, smmu->regs.idr, sizeof regs.idr);
    smmu->regs = regs;
    g_mutex_unlock(&smmu->event_lock);
    viommui_iotlb_invalidate_all(smmu->iotlb);
    viommui_smmuv3_forget_streams(smmu, 0, G_MAXUINT32);
    viommui_smmuv3_end_change(smmu);
}

void viommui_smmuv3_registers_sanitize(ViommuSmmuv3 *smmu)
{
    for (gsize i = 0; i < G_N_ELEMENTS(registers); i++) {
        const Register *reg = &registers[i];

        if (reg->fields[0].width)
            store(smmu, reg, load(smmu, reg) & mask_of(smmu, reg));
    }
    smmu->regs.gbpa = viommui_field_set(smmu->regs.gbpa, GBPA_UPDATE, 0);
    smmu->regs.gerror &= viommui_field_mask(GERROR_CMDQ_ERR) |
                         viommui_field_mask(GERROR_EVENTQ_ABT_ERR) |
                         viommui_field_mask(GERROR_MSI_CMDQ_ABT_ERR) |
                         viommui_field_mask(GERROR_MSI_EVENTQ_ABT_ERR) |
                         viommui_field_mask(GERROR_MSI_GERROR_ABT_ERR);
    smmu->regs.cr0ack = smmu->regs.cr0;
    smmu->regs.irq_ctrlack = smmu->regs.irq_ctrl;
}
