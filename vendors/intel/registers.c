/* SPDX-License-Identifier: MIT */
/*
 * The registers of a guest VT-d unit (11.4): which there are, how they may be accessed,
 * what a write does.
 *
 * Access (11.2): 32-bit registers by 4 bytes, 64-bit ones by 8 or by either half. Whatever
 * else reads as 0 and is not written.
 *
 * Invariants: what translate() reads changes within a change (vunit.h), what faults.c keeps
 * with event_lock held. The first access freezes what is offered.
 *
 * Up the path: the VMM's MMIO. Beside: invalidation-queue.c, faults.c, interrupts.c.
 */

#include "vunit.h"

#include "core/registers.h"

#include <string.h>

typedef struct {
    guint32 offset;
    guint8 size;        /* 4 or 8 */
    guint16 at;         /* where in ViommuiVtdRegisters */
    guint64 mask;       /* what can be written */
    ViommuiField needs; /* of ECAP: else there is no such register; width 0: nothing */
    gboolean is_faults; /* kept with event_lock held */
    gboolean is_write_only;
    gboolean is_status; /* shown without what is unmet */
    void (*written)(ViommuVtd *vtd, guint64 value); /* instead of storing */
} Register;

static void write_gcmd(ViommuVtd *vtd, guint64 value);
static void write_ccmd(ViommuVtd *vtd, guint64 value);
static void write_iotlb(ViommuVtd *vtd, guint64 value);
static void write_fsts(ViommuVtd *vtd, guint64 value);
static void write_fectl(ViommuVtd *vtd, guint64 value);
static void write_iqt(ViommuVtd *vtd, guint64 value);
static void write_ics(ViommuVtd *vtd, guint64 value);
static void write_iectl(ViommuVtd *vtd, guint64 value);
static void write_prs(ViommuVtd *vtd, guint64 value);
static void write_pectl(ViommuVtd *vtd, guint64 value);

/* The register of this name: where it is, how wide, and where we keep it. */
#define REGISTER(NAME_, field_)                                                \
    .offset = VTD_##NAME_, .size = sizeof(((ViommuiVtdRegisters *)0)->field_), \
    .at = G_STRUCT_OFFSET(ViommuiVtdRegisters, field_)

#define EVENT(PREFIX_, kind_, written_, ...)                                             \
    {REGISTER(PREFIX_##CTL, events[kind_].ctl), .mask = 0x80000000u,                     \
     .written = (written_), __VA_ARGS__},                                                \
        {REGISTER(PREFIX_##DATA, events[kind_].data), .mask = 0xffff, __VA_ARGS__},      \
        {REGISTER(PREFIX_##ADDR, events[kind_].addr), .mask = 0xfffffffcu, __VA_ARGS__}, \
    {                                                                                    \
        REGISTER(PREFIX_##UADDR, events[kind_].uaddr), .mask = G_MAXUINT32, __VA_ARGS__  \
    }

enum { TABLE_POINTER_SHIFT = 12 };
#define POINTER (G_MAXUINT64 << TABLE_POINTER_SHIFT)

static const Register registers[] = {
    {REGISTER(CAP, cap)},
    {REGISTER(ECAP, ecap)},
    /* Kept by GSTS. */
    {.offset = VTD_GCMD,
     .size = 4,
     .at = G_STRUCT_OFFSET(ViommuiVtdRegisters, gsts),
     .mask = G_MAXUINT32,
     .is_write_only = TRUE,
     .written = write_gcmd},
    {REGISTER(GSTS, gsts), .is_status = TRUE},
    {REGISTER(RTADDR, rtaddr), .mask = POINTER | 0xc00},
    {REGISTER(CCMD, ccmd), .mask = G_MAXUINT64, .written = write_ccmd},
    {REGISTER(FSTS, fsts), .mask = 0x71, .is_faults = TRUE, .written = write_fsts},
    EVENT(FE, VIOMMUI_VTD_FAULT_EVENT, write_fectl, .is_faults = TRUE),
    {REGISTER(IQH, iqh)},
    {REGISTER(IQT, iqt), .mask = 0x7fff0, .written = write_iqt},
    {REGISTER(IQA, iqa), .mask = POINTER | 0x807},
    {REGISTER(ICS, ics), .mask = 1, .written = write_ics},
    EVENT(IE, VIOMMUI_VTD_INVALIDATION_EVENT, write_iectl),
    {REGISTER(IQERCD, iqercd)},
    {REGISTER(PQH, pqh), .mask = 0x7ffe0, .needs = ECAP_PRS},
    {REGISTER(PQT, pqt), .mask = 0x7ffe0, .needs = ECAP_PRS},
    {REGISTER(PQA, pqa), .mask = POINTER | 0x7, .needs = ECAP_PRS},
    {REGISTER(PRS, prs), .mask = 0x3, .needs = ECAP_PRS, .written = write_prs},
    EVENT(PE, VIOMMUI_VTD_PAGE_REQUEST_EVENT, write_pectl, .needs = ECAP_PRS),
    {REGISTER(IVA, iva), .mask = POINTER | 0x7f, .is_write_only = TRUE},
    {REGISTER(IOTLB, iotlb), .mask = G_MAXUINT64, .written = write_iotlb},
};

static gboolean is_set(guint64 word, ViommuiField field)
{
    return viommui_field_get(word, field) != 0;
}

static guint64 load(const ViommuVtd *vtd, const Register *reg)
{
    return viommui_register_load(&vtd->regs, reg->at, reg->size);
}

static void store(ViommuVtd *vtd, const Register *reg, guint64 value)
{
    viommui_register_store(&vtd->regs, reg->at, reg->size, value);
}

/* The register that an access of these bytes may touch; *ret_shift: which half. */
static const Register *find(const ViommuVtd *vtd, guint64 offset, guint size,
                            guint *ret_shift)
{
    for (gsize i = 0; i < G_N_ELEMENTS(registers); i++) {
        const Register *reg = &registers[i];

        if (viommui_register_is_accessed(reg->offset, reg->size, offset, size, ret_shift))
            return reg->needs.width && !is_set(vtd->regs.ecap, reg->needs) ? NULL : reg;
    }
    return NULL;
}

static guint64 mask_of(const ViommuVtd *vtd, const Register *reg)
{
    /* The width of descriptors is reserved without scalable mode. */
    if (reg->offset == VTD_IQA && !is_set(vtd->regs.ecap, ECAP_SMTS))
        return reg->mask & ~viommui_field_mask(IQA_DW);
    return reg->mask;
}

/* --- fault records ----------------------------------------------------------------------
 */

/* The half of a record that an access of these bytes touches, or NULL. */
static guint64 *find_record(ViommuVtd *vtd, guint64 offset, guint size, guint *ret_n,
                            gboolean *ret_upper, guint *ret_shift)
{
    guint64 at = offset - VTD_FRCD;

    if (offset < VTD_FRCD ||
        at / VTD_FRCD_SIZE > viommui_field_get(vtd->regs.cap, CAP_NFR) ||
        !viommui_register_is_accessed(offset & ~7ull, 8, offset, size, ret_shift))
        return NULL;
    *ret_n = (guint)(at / VTD_FRCD_SIZE);
    *ret_upper = at % VTD_FRCD_SIZE >= 8;
    return &vtd->regs.frcd[*ret_n][*ret_upper];
}

/* --- access -----------------------------------------------------------------------------
 */

static guint64 read_at(ViommuVtd *vtd, guint64 offset, guint size)
{
    const Register *reg;
    const guint64 *record;
    gboolean upper;
    guint shift, n;

    if (offset == VTD_VER && size == 4)
        return vtd->config.version;
    record = find_record(vtd, offset, size, &n, &upper, &shift);
    if (record)
        return *record >> shift;
    reg = find(vtd, offset, size, &shift);
    if (!reg || reg->is_write_only)
        return 0;
    return (reg->is_status ? load(vtd, reg) ^ vtd->unmet : load(vtd, reg)) >> shift;
}

/* The guest waits for what the host has not let be done: once more. */
static void retry(ViommuVtd *vtd, guint64 offset)
{
    if (offset - VTD_CCMD < sizeof vtd->regs.ccmd && is_set(vtd->regs.ccmd, CCMD_ICC))
        write_ccmd(vtd, vtd->regs.ccmd);
    else if (offset - VTD_IOTLB < sizeof vtd->regs.iotlb &&
             is_set(vtd->regs.iotlb, IOTLB_IVT))
        write_iotlb(vtd, vtd->regs.iotlb);
    else if (offset == VTD_GSTS && vtd->unmet && viommui_vtd_catch_up(vtd))
        vtd->unmet = 0;
}

guint64 viommu_vtd_read(ViommuVtd *vtd, guint64 offset, guint size)
{
    guint64 value;

    vtd->frozen = TRUE;
    retry(vtd, offset);
    g_mutex_lock(&vtd->event_lock);
    value = read_at(vtd, offset, size);
    g_mutex_unlock(&vtd->event_lock);
    /* What was tried again may have had its faults. */
    viommui_vtd_deliver_interrupts(vtd);
    return size == 4 ? (guint32)value : value;
}

/* TRUE: that is where it was. */
static gboolean write_record(ViommuVtd *vtd, guint64 offset, guint size, guint64 value)
{
    gboolean upper, found;
    guint shift, n;

    g_mutex_lock(&vtd->event_lock);
    found = find_record(vtd, offset, size, &n, &upper, &shift) != NULL;
    if (found && upper)
        viommui_vtd_clear_fault(vtd, n, value << shift);
    g_mutex_unlock(&vtd->event_lock);
    return found;
}

static void write_register(ViommuVtd *vtd, guint64 offset, guint size, guint64 value)
{
    const Register *reg;
    guint64 mask;
    guint shift;

    vtd->frozen = TRUE;
    if (write_record(vtd, offset, size, value))
        return;
    reg = find(vtd, offset, size, &shift);
    mask = reg ? mask_of(vtd, reg) : 0;
    if (!mask)
        return;
    /* Bits that are cleared by writing 1 keep what was not written as it is: 0. */
    value =
        viommui_register_merge(reg->written ? 0 : load(vtd, reg), mask, shift, size, value);
    if (reg->written && reg->size == 8 && size == 4)
        value |= load(vtd, reg) & mask & ~((guint64)G_MAXUINT32 << shift);
    if (reg->written) {
        reg->written(vtd, value);
        return;
    }
    g_mutex_lock(&vtd->event_lock);
    store(vtd, reg, value);
    g_mutex_unlock(&vtd->event_lock);
}

void viommu_vtd_write(ViommuVtd *vtd, guint64 offset, guint size, guint64 value)
{
    write_register(vtd, offset, size, value);
    viommui_vtd_deliver_interrupts(vtd);
}

/* --- global command (11.4.4.1) ----------------------------------------------------------
 */

static void set_status(ViommuVtd *vtd, ViommuiField bit, gboolean on)
{
    vtd->regs.gsts = viommui_field_set(vtd->regs.gsts, bit, on);
}

static void set_queue_enable(ViommuVtd *vtd, gboolean on)
{
    viommui_vtd_begin_change(vtd);
    set_status(vtd, GCMD_QIE, on);
    viommui_vtd_end_change(vtd);
    vtd->regs.iqh = 0;
    viommui_vtd_run_queue(vtd);
}

/* The table is in use from now on, and nothing that was known of the old one. */
static void set_root_table(ViommuVtd *vtd)
{
    viommui_vtd_begin_change(vtd);
    vtd->regs.root = vtd->regs.rtaddr;
    set_status(vtd, GCMD_SRTP, TRUE);
    viommui_vtd_forget_all(vtd);
    viommui_vtd_end_change(vtd);
}

static void set_translation_enable(ViommuVtd *vtd, gboolean on)
{
    viommui_vtd_begin_change(vtd);
    set_status(vtd, GCMD_TE, on);
    viommui_vtd_forget_all(vtd);
    viommui_vtd_end_change(vtd);
    vtd->regs.held = FALSE;
}

/* Every device has what the registers say; until then, the guest is to wait for `bits`. */
static void reach_devices(ViommuVtd *vtd, guint32 bits)
{
    viommui_vtd_refresh(vtd);
    vtd->unmet = viommui_vtd_catch_up(vtd) ? 0 : bits;
}

static void write_gcmd(ViommuVtd *vtd, guint64 value)
{
    gboolean te = is_set(value, GCMD_TE), qie = is_set(value, GCMD_QIE);
    gboolean te_changes = te != viommui_vtd_is_translating(vtd);
    guint32 bits = 0;

    if (is_set(value, GCMD_SRTP))
        set_root_table(vtd);
    if (te_changes)
        set_translation_enable(vtd, te);
    if (te_changes)
        bits |= (guint32)viommui_field_mask(GCMD_TE);
    if (is_set(value, GCMD_SRTP) && te)
        bits |= (guint32)viommui_field_mask(GCMD_SRTP);
    if (bits)
        reach_devices(vtd, bits);
    if (qie != is_set(vtd->regs.gsts, GCMD_QIE))
        set_queue_enable(vtd, qie);
}

/* --- register-based invalidation (11.4.6): only while the queue is off ------------------
 */

static void write_ccmd(ViommuVtd *vtd, guint64 value)
{
    guint granularity = viommui_field_get(value, CCMD_CIRG);
    guint64 words[2] = {DESC_CONTEXT_CACHE, 0};

    vtd->regs.ccmd = value;
    if (!is_set(value, CCMD_ICC))
        return;
    if (is_set(vtd->regs.gsts, GCMD_QIE))
        granularity = 0;
    words[0] = viommui_field_set(words[0], DESC0_G, granularity);
    words[0] = viommui_field_set(words[0], DESC0_DID, viommui_field_get(value, CCMD_DID));
    words[0] = viommui_field_set(words[0], CC0_SID, viommui_field_get(value, CCMD_SID));
    words[0] = viommui_field_set(words[0], CC0_FM, viommui_field_get(value, CCMD_FM));
    if (!viommui_vtd_invalidate(vtd, words))
        return;
    vtd->regs.ccmd = viommui_field_set(vtd->regs.ccmd, CCMD_ICC, 0);
    /* What was done; 0: nothing. */
    vtd->regs.ccmd = viommui_field_set(vtd->regs.ccmd, CCMD_CAIG, granularity);
}

static void write_iotlb(ViommuVtd *vtd, guint64 value)
{
    guint granularity = viommui_field_get(value, IOTLB_IIRG);
    guint64 words[2] = {DESC_IOTLB, 0};

    vtd->regs.iotlb = value;
    if (!is_set(value, IOTLB_IVT))
        return;
    if (is_set(vtd->regs.gsts, GCMD_QIE))
        granularity = 0;
    if (granularity == G_PAGE) {
        words[1] = vtd->regs.iva;
        /* A range that is too large is done with the domain (11.4.6.3). */
        if (viommui_field_get(words[1], IVA_AM) >
            viommui_field_get(vtd->regs.cap, CAP_MAMV))
            granularity = G_DOMAIN;
    }
    words[0] = viommui_field_set(words[0], DESC0_G, granularity);
    words[0] = viommui_field_set(words[0], DESC0_DID, viommui_field_get(value, IOTLB_DID));
    if (!viommui_vtd_invalidate(vtd, words))
        return;
    vtd->regs.iotlb = viommui_field_set(vtd->regs.iotlb, IOTLB_IVT, 0);
    vtd->regs.iotlb = viommui_field_set(vtd->regs.iotlb, IOTLB_IAIG, granularity);
}

/* --- faults, the queue, page requests ---------------------------------------------------
 */

static void write_fsts(ViommuVtd *vtd, guint64 value)
{
    g_mutex_lock(&vtd->event_lock);
    viommui_vtd_clear_fault_status(vtd, (guint32)value);
    g_mutex_unlock(&vtd->event_lock);
    /* An error that is dealt with lets the queue go on. */
    viommui_vtd_run_queue(vtd);
}

static void write_fectl(ViommuVtd *vtd, guint64 value)
{
    viommui_vtd_write_event_control(vtd, VIOMMUI_VTD_FAULT_EVENT, (guint32)value);
}

static void write_iqt(ViommuVtd *vtd, guint64 value)
{
    vtd->regs.iqt = value;
    viommui_vtd_run_queue(vtd);
}

static void write_ics(ViommuVtd *vtd, guint64 value)
{
    g_mutex_lock(&vtd->event_lock);
    vtd->regs.ics &= ~(guint32)value;
    if (!vtd->regs.ics)
        viommui_vtd_lower_event(vtd, VIOMMUI_VTD_INVALIDATION_EVENT);
    g_mutex_unlock(&vtd->event_lock);
}

static void write_iectl(ViommuVtd *vtd, guint64 value)
{
    viommui_vtd_write_event_control(vtd, VIOMMUI_VTD_INVALIDATION_EVENT, (guint32)value);
}

static void write_prs(ViommuVtd *vtd, guint64 value)
{
    g_mutex_lock(&vtd->event_lock);
    vtd->regs.prs &= ~(guint32)value;
    if (!vtd->regs.prs)
        viommui_vtd_lower_event(vtd, VIOMMUI_VTD_PAGE_REQUEST_EVENT);
    g_mutex_unlock(&vtd->event_lock);
}

static void write_pectl(ViommuVtd *vtd, guint64 value)
{
    viommui_vtd_write_event_control(vtd, VIOMMUI_VTD_PAGE_REQUEST_EVENT, (guint32)value);
}

/* --- reset ------------------------------------------------------------------------------
 */

void viommui_vtd_registers_reset(ViommuVtd *vtd)
{
    ViommuiVtdRegisters regs = {.cap = vtd->regs.cap, .ecap = vtd->regs.ecap};

    /* 11.4.7.2: events are masked. */
    for (guint i = 0; i < VIOMMUI_VTD_N_EVENTS; i++)
        regs.events[i].ctl = viommui_field_mask(ECTL_IM);
    viommui_vtd_begin_change(vtd);
    g_mutex_lock(&vtd->event_lock);
    vtd->regs = regs;
    g_mutex_unlock(&vtd->event_lock);
    vtd->unmet = 0;
    viommui_vtd_forget_all(vtd);
    viommui_vtd_end_change(vtd);
}

void viommui_vtd_registers_sanitize(ViommuVtd *vtd)
{
    ViommuiVtdRegisters *regs = &vtd->regs;

    for (gsize i = 0; i < G_N_ELEMENTS(registers); i++)
        if (registers[i].mask && !registers[i].written)
            store(vtd, &registers[i],
                  load(vtd, &registers[i]) & mask_of(vtd, &registers[i]));
    regs->root &= POINTER | viommui_field_mask(RTADDR_TTM);
    regs->gsts &= viommui_field_mask(GCMD_TE) | viommui_field_mask(GCMD_QIE) |
                  viommui_field_mask(GCMD_SRTP);
    regs->iqt &= viommui_field_mask(IQ_INDEX);
    regs->iqh &= viommui_field_mask(IQ_INDEX);
    /* What has a side effect when it is written. */
    regs->fsts &= viommui_field_mask(FSTS_PFO) | viommui_field_mask(FSTS_PPF) |
                  viommui_field_mask(FSTS_IQE) | viommui_field_mask(FSTS_ICE) |
                  viommui_field_mask(FSTS_ITE) | viommui_field_mask(FSTS_FRI);
    regs->ics &= viommui_field_mask(ICS_IWC);
    regs->prs &= viommui_field_mask(PRS_PPR) | viommui_field_mask(PRS_PRO);
    regs->held = !!regs->held;
    regs->fault_index %= (guint)viommui_field_get(regs->cap, CAP_NFR) + 1;
    for (guint i = 0; i < VIOMMUI_VTD_N_EVENTS; i++)
        regs->events[i].ctl &= viommui_field_mask(ECTL_IM) | viommui_field_mask(ECTL_IP);
}
