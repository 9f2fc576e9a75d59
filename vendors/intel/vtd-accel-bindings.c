/* SPDX-License-Identifier: MIT */
/*
 * What a device's requests get, by the guest's tables: bindings made, replaced and taken
 * away.
 *
 * A binding has a goal from the context entry of its device: blocked, identity, or what the
 * PASID table entry says. To settle it is to read the entry and have the host follow; an
 * entry that the host has already makes no call. What fails leaves the binding blocked and
 * unsettled: nothing of the entry is remembered, so that the next descriptor that concerns
 * it tries again.
 *
 * Invariants: a settled binding with an entry is indexed under its domain ID and the PASID
 * of the entry; one that is not settled is in `all_unsettled`, and in `unsettled` by the
 * PASID of the entry that it waits for. A binding that is nested has its HWPT, and so has
 * one that will be without being asked, when its IOMMU group agrees.
 *
 * Down the path: core/core.h, vtd-accel-hwpt.c. Beside: vtd-accel-descriptors.c.
 */

#include "vtd.h"

#include <string.h>

/* --- indexes ----------------------------------------------------------------------------
 */

static void unindex(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    if (!binding->is_indexed)
        return;
    viommui_index_remove(accel->by_did, binding->did, binding);
    viommui_index_remove(accel->by_did_pasid,
                         viommui_vtd_did_pasid(binding->did, binding->table_pasid),
                         binding);
    binding->is_indexed = FALSE;
}

static void reindex(ViommuVtdAccel *accel, ViommuiVtdBinding *binding, guint16 did)
{
    unindex(accel, binding);
    binding->did = did;
    viommui_index_add(accel->by_did, did, binding);
    viommui_index_add(accel->by_did_pasid, viommui_vtd_did_pasid(did, binding->table_pasid),
                      binding);
    binding->is_indexed = TRUE;
}

static void set_settled(ViommuVtdAccel *accel, ViommuiVtdBinding *binding, gboolean settled)
{
    if (binding->is_settled == settled)
        return;
    binding->is_settled = settled;
    if (settled) {
        g_hash_table_remove(accel->all_unsettled, binding);
        viommui_index_remove(accel->unsettled, binding->table_pasid, binding);
    } else {
        g_hash_table_add(accel->all_unsettled, binding);
        viommui_index_add(accel->unsettled, binding->table_pasid, binding);
    }
}

/* --- refusals ---------------------------------------------------------------------------
 */

static ViommuHost *host_of(const ViommuiVtdBinding *binding)
{
    return binding->device->host->host;
}

static ViommuVtdRefusal make_refusal(const ViommuiVtdBinding *binding, guint8 reason,
                                     gboolean fault_disabled, ViommuResult result)
{
    return (ViommuVtdRefusal){
        .requester_id = binding->device->rid,
        .pasid = binding->pasid == VIOMMUI_NO_PASID ? VIOMMU_VTD_NO_PASID : binding->pasid,
        .reason = reason,
        .fault_disabled = fault_disabled,
        .result = result,
    };
}

/* Told once for each change of the entry, or of what is wrong with it. */
static void refuse(ViommuVtdAccel *accel, ViommuiVtdBinding *binding, const guint8 *bytes,
                   guint8 reason, gboolean fault_disabled, ViommuResult result)
{
    ViommuVtdRefusal refusal = make_refusal(binding, reason, fault_disabled, result);

    if (binding->told == reason &&
        !memcmp(binding->told_entry, bytes, sizeof binding->told_entry))
        return;
    binding->told = reason;
    memcpy(binding->told_entry, bytes, sizeof binding->told_entry);
    accel->config.refused(&refusal, accel->config.user_data);
}

/* --- what the host is given -------------------------------------------------------------
 */

/* With its IOMMU group a device's attachment goes, whoever of it asked for that. */
static void drop_requests(ViommuVtdAccel *accel, const ViommuiVtdBinding *binding)
{
    GHashTableIter iter;
    gpointer value;

    viommui_vtd_requests_drop(binding->device, binding);
    if (binding->pasid != VIOMMUI_NO_PASID ||
        !viommui_host_device_has_mates(binding->device->device))
        return;
    g_hash_table_iter_init(&iter, accel->by_device);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        ViommuiVtdDevice *other = value;

        if (viommui_host_device_is_mate(binding->device->device, other->device))
            viommui_vtd_requests_drop(other, &other->rid_binding);
    }
}

/* What is under way ends before what it is about changes. */
static void leave_hwpt(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    drop_requests(accel, binding);
    if (!binding->hwpt)
        return;
    viommui_vtd_flush(accel);
    viommui_vtd_hwpt_leave(accel, binding);
}

static ViommuResult detach(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                           ViommuiAttachmentKind to)
{
    ViommuResult result;

    leave_hwpt(accel, binding);
    result = viommui_host_device_detach(binding->device->device, binding->pasid, to,
                                        VIOMMUI_FAIL_CLOSED);
    viommui_vtd_shadow_leave(accel, binding);
    return result;
}

static ViommuResult bind(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                         const ViommuiStage1 *stage1, guint16 did)
{
    ViommuHostDevice *device = binding->device->device;
    ViommuResult result;

    leave_hwpt(accel, binding);
    if (viommui_host_device_get_attachment(device, binding->pasid) == VIOMMUI_NESTED)
        result = viommui_host_device_replace(device, binding->pasid, stage1,
                                             VIOMMUI_FAIL_CLOSED);
    else
        result =
            viommui_host_device_bind(device, binding->pasid, stage1, VIOMMUI_FAIL_CLOSED);
    viommui_vtd_shadow_leave(accel, binding);
    if (viommui_host_device_get_config(device, binding->pasid)) {
        unindex(accel, binding);
        binding->did = did;
        viommui_vtd_hwpt_join(accel, binding, did, FALSE);
    }
    return result;
}

static ViommuResult follow_first_stage(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                       const ViommuiPasidEntry *entry)
{
    const ViommuiVtdStage1 data = viommui_vtd_make_stage1(entry);
    const ViommuiStage1 stage1 = {
        .data = &data,
        .size = sizeof data,
        .page_requests =
            binding->device->page_requests && binding->device->context.page_requests,
    };
    ViommuHostDevice *device = binding->device->device;
    ViommuResult result;

    if (!viommui_host_device_is_bound_to(device, binding->pasid, &stage1)) {
        result = bind(accel, binding, &stage1, entry->did);
        if (result != VIOMMU_OK)
            return result;
    } else {
        /* Maybe without being asked; then what was told before is over. */
        binding->told = 0;
        if (!binding->hwpt || !binding->is_indexed || binding->did != entry->did) {
            /* The same tables for another domain, which has cached nothing of them yet. */
            viommui_vtd_hwpt_leave(accel, binding);
            viommui_vtd_hwpt_join(accel, binding, entry->did, TRUE);
        }
    }
    reindex(accel, binding, entry->did);
    if (viommui_host_device_is_bound_to(device, binding->pasid, &stage1))
        return VIOMMU_OK;
    /* It came to others with a flush that the host failed, and is blocked again. */
    viommui_vtd_hwpt_leave(accel, binding);
    return VIOMMU_HOST_GONE;
}

static ViommuResult follow_pass_through(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                        guint16 did)
{
    ViommuResult result = detach(accel, binding, VIOMMUI_IDENTITY);

    if (result == VIOMMU_OK)
        reindex(accel, binding, did);
    return result;
}

static ViommuResult follow_second_stage(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                        guint64 table, guint levels, guint16 did)
{
    const ViommuiVtdSecondStage tables = {
        .table = table,
        .levels = levels,
        .physical_bits = viommui_vtd_physical_bits(accel->config.cap),
        .snoop_reserved = !viommui_field_get(accel->config.ecap, ECAP_SC),
    };
    ViommuResult result;

    leave_hwpt(accel, binding);
    result = viommui_vtd_shadow_attach(accel, binding, &tables, did);
    if (result == VIOMMU_OK)
        reindex(accel, binding, did);
    return result;
}

/* Blocked, for a reason that the guest is to be told. */
static ViommuResult block_and_refuse(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                     const guint8 *bytes, guint8 reason,
                                     gboolean fault_disabled, ViommuResult why)
{
    ViommuResult result = detach(accel, binding, VIOMMUI_BLOCKED);

    unindex(accel, binding);
    set_settled(accel, binding, FALSE);
    refuse(accel, binding, bytes, reason, fault_disabled, why);
    return result;
}

/* The field of ECAP by which this PGTT would be offered; NULL: it is none. */
static const char *pgtt_needs(guint pgtt)
{
    static const char *const fields[] = {[PGTT_FIRST] = "FSTS",
                                         [PGTT_SECOND] = "SSTS",
                                         [PGTT_NESTED] = "NEST",
                                         [PGTT_PASS_THROUGH] = "PT"};

    return pgtt < G_N_ELEMENTS(fields) ? fields[pgtt] : NULL;
}

static void refuse_pgtt(ViommuiVtdBinding *binding, guint pgtt)
{
    const char *needs = pgtt_needs(pgtt);
    g_autofree char *what = needs ? g_strdup_printf("needs ECAP.%s, which is 0", needs)
                                  : g_strdup("is neither first-stage nor pass-through");

    viommui_refuse(host_of(binding), binding->device->device, VIOMMU_GUEST_INVALID,
                   "requester ID 0x%04x, PASID %u: PGTT %u %s", binding->device->rid,
                   binding->table_pasid, pgtt, what);
}

static ViommuResult refuse_entry(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                 const guint8 *bytes, const ViommuiPasidEntry *entry,
                                 gboolean fault_disabled)
{
    guint rid = binding->device->rid;

    if (entry->kind == VIOMMUI_PASID_ENTRY_SECOND) {
        viommui_refuse(
            host_of(binding), binding->device->device, VIOMMU_UNSUPPORTED,
            "requester ID 0x%04x, PASID %u: PGTT %u, second-stage tables, cannot "
            "be bound to the host",
            rid, binding->table_pasid, entry->pgtt);
        return block_and_refuse(accel, binding, bytes, FR_SM_SS_ACCESS, fault_disabled,
                                VIOMMU_UNSUPPORTED);
    }
    if (entry->reason == FR_SM_PASID_INVALID && !strcmp(entry->why, "PGTT"))
        refuse_pgtt(binding, entry->pgtt);
    else
        viommui_refuse(
            host_of(binding), binding->device->device, VIOMMU_GUEST_INVALID,
            "requester ID 0x%04x, PASID %u: the PASID table entry has an illegal "
            "%s 0x%" G_GINT64_MODIFIER "x",
            rid, binding->table_pasid, entry->why, entry->value);
    return block_and_refuse(accel, binding, bytes, entry->reason, fault_disabled,
                            VIOMMU_GUEST_INVALID);
}

/* The host has refused what is good; it is blocked. Put off is no refusal. */
static ViommuResult fail_entry(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                               const guint8 *bytes, const ViommuiPasidEntry *entry,
                               gboolean fault_disabled, ViommuResult result)
{
    guint8 reason = entry->kind == VIOMMUI_PASID_ENTRY_FIRST    ? FR_SM_FS_FIRST_ACCESS
                    : entry->kind == VIOMMUI_PASID_ENTRY_SECOND ? FR_SM_SS_ACCESS
                                                                : FR_SM_PASID_INVALID;

    unindex(accel, binding);
    set_settled(accel, binding, FALSE);
    if (!viommui_host_device_is_pending(binding->device->device, binding->pasid))
        refuse(accel, binding, bytes, reason, fault_disabled, result);
    return result;
}

static ViommuResult follow_present_entry(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                                         const guint8 *bytes,
                                         const ViommuiPasidEntry *entry,
                                         gboolean fault_disabled)
{
    ViommuResult result;

    if (entry->kind == VIOMMUI_PASID_ENTRY_FIRST)
        result = follow_first_stage(accel, binding, entry);
    else if (entry->kind == VIOMMUI_PASID_ENTRY_SECOND && viommui_vtd_can_shadow(accel))
        result =
            follow_second_stage(accel, binding, entry->table, entry->levels, entry->did);
    else if (entry->kind == VIOMMUI_PASID_ENTRY_PASS_THROUGH)
        result = follow_pass_through(accel, binding, entry->did);
    else
        return refuse_entry(accel, binding, bytes, entry, fault_disabled);
    if (result != VIOMMU_OK)
        return fail_entry(accel, binding, bytes, entry, fault_disabled, result);
    set_settled(accel, binding, TRUE);
    binding->told = 0;
    return VIOMMU_OK;
}

static ViommuResult block_silently(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    ViommuResult result = detach(accel, binding, VIOMMUI_BLOCKED);

    unindex(accel, binding);
    set_settled(accel, binding, FALSE);
    binding->told = 0;
    return result;
}

static ViommuResult follow_entry(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    guint8 bytes[VIOMMU_VTD_PASID_ENTRY_SIZE] = {0};
    gboolean fault_disabled = FALSE;
    ViommuiPasidEntry entry;
    guint8 reason =
        accel->config.read_pasid_entry(binding->device->rid, binding->table_pasid, bytes,
                                       &fault_disabled, accel->config.user_data);

    if (reason) {
        viommui_refuse(host_of(binding), binding->device->device, VIOMMU_GUEST_INVALID,
                       "requester ID 0x%04x, PASID %u: no PASID table entry can be read "
                       "(fault reason 0x%02x)",
                       binding->device->rid, binding->table_pasid, reason);
        binding->is_present = TRUE;
        return block_and_refuse(accel, binding, bytes, reason, fault_disabled,
                                VIOMMU_GUEST_INVALID);
    }
    entry = viommui_vtd_decode_pasid_entry(accel->config.cap, accel->config.ecap, bytes);
    binding->is_present = entry.kind != VIOMMUI_PASID_ENTRY_NOT_PRESENT;
    if (!binding->is_present)
        return block_silently(accel, binding);
    binding->fault_disabled = fault_disabled || entry.fault_disabled;
    return follow_present_entry(accel, binding, bytes, &entry, binding->fault_disabled);
}

/* What is remembered of a context entry that was refused. */
static const guint8 *context_bytes(const ViommuiVtdBinding *binding,
                                   guint8 bytes[VIOMMU_VTD_PASID_ENTRY_SIZE])
{
    memset(bytes, 0, VIOMMU_VTD_PASID_ENTRY_SIZE);
    memcpy(bytes, binding->device->context.entry, sizeof binding->device->context.entry);
    return bytes;
}

/* A legacy entry's tables. */
static ViommuResult follow_legacy(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    const ViommuVtdContext *context = &binding->device->context;
    guint8 bytes[VIOMMU_VTD_PASID_ENTRY_SIZE];
    ViommuResult result;

    binding->fault_disabled = context->fault_disabled;
    context_bytes(binding, bytes);
    if (!viommui_vtd_can_shadow(accel)) {
        viommui_refuse(host_of(binding), binding->device->device, VIOMMU_UNSUPPORTED,
                       "requester ID 0x%04x: second-stage tables of legacy mode cannot be "
                       "bound to the host",
                       binding->device->rid);
        return block_and_refuse(accel, binding, bytes, FR_SS_ACCESS,
                                context->fault_disabled, VIOMMU_UNSUPPORTED);
    }
    result = follow_second_stage(accel, binding, context->table, context->levels,
                                 context->domain_id);
    set_settled(accel, binding, result == VIOMMU_OK);
    if (result == VIOMMU_OK)
        binding->told = 0;
    else if (!viommui_host_device_is_pending(binding->device->device, binding->pasid))
        refuse(accel, binding, bytes, FR_SS_ACCESS, context->fault_disabled, result);
    return result;
}

/* By the guest's entries; else translation is off, and there is nobody to be told. */
static gboolean is_guests(const ViommuiVtdBinding *binding)
{
    return binding->goal != VIOMMUI_GOAL_IDENTITY || binding->device->context.entry[0];
}

/* What a context entry alone decides. */
static ViommuResult follow_context(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    const ViommuVtdContext *context = &binding->device->context;
    guint8 bytes[VIOMMU_VTD_PASID_ENTRY_SIZE];
    ViommuResult result;

    if (binding->goal == VIOMMUI_GOAL_IDENTITY) {
        result = follow_pass_through(accel, binding, context->domain_id);
        set_settled(accel, binding, result == VIOMMU_OK);
        if (result == VIOMMU_OK)
            binding->told = 0;
        else if (is_guests(binding) &&
                 !viommui_host_device_is_pending(binding->device->device, binding->pasid))
            refuse(accel, binding, context_bytes(binding, bytes), FR_CONTEXT_INVALID,
                   context->fault_disabled, result);
        return result;
    }
    if (binding->goal == VIOMMUI_GOAL_SECOND_STAGE)
        return follow_legacy(accel, binding);
    if (binding->pasid != VIOMMUI_NO_PASID || !context->fault)
        return block_silently(accel, binding);
    viommui_refuse(
        host_of(binding), binding->device->device, VIOMMU_GUEST_INVALID,
        "requester ID 0x%04x: no context entry can be used (fault reason 0x%02x)",
        binding->device->rid, context->fault);
    return block_and_refuse(accel, binding, context_bytes(binding, bytes), context->fault,
                            context->fault_disabled, VIOMMU_GUEST_INVALID);
}

/* --- bindings ---------------------------------------------------------------------------
 */

void viommui_vtd_binding_init(ViommuiVtdBinding *binding, ViommuiVtdDevice *device,
                              guint32 pasid)
{
    *binding = (ViommuiVtdBinding){.device = device, .pasid = pasid, .is_settled = TRUE};
    if (pasid != VIOMMUI_NO_PASID)
        binding->table_pasid = pasid;
}

ViommuResult viommui_vtd_settle(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    ViommuResult result = binding->goal == VIOMMUI_GOAL_ENTRY
                              ? follow_entry(accel, binding)
                              : follow_context(accel, binding);

    /* Nothing has failed, and the guest knows. */
    if (result == VIOMMU_UNSUPPORTED &&
        viommui_host_device_is_contested(binding->device->device, binding->pasid))
        result = VIOMMU_OK;
    /* One that is at large is pending too: to be blocked. */
    if (viommui_host_device_is_pending(binding->device->device, binding->pasid) ||
        (result != VIOMMU_OK && !is_guests(binding)))
        g_hash_table_add(accel->put_off, binding);
    else
        g_hash_table_remove(accel->put_off, binding);
    return result;
}

static guint8 second_stage_reason(const ViommuiVtdBinding *binding)
{
    return binding->goal == VIOMMUI_GOAL_ENTRY ? FR_SM_SS_ACCESS : FR_SS_ACCESS;
}

void viommui_vtd_binding_fail(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                              ViommuResult result)
{
    guint8 bytes[VIOMMU_VTD_PASID_ENTRY_SIZE];

    block_silently(accel, binding);
    refuse(accel, binding, context_bytes(binding, bytes), second_stage_reason(binding),
           binding->fault_disabled, result);
    /* With the guest's next descriptor. */
    g_hash_table_add(accel->put_off, binding);
}

void viommui_vtd_binding_refuse_page(ViommuVtdAccel *accel,
                                     const ViommuiVtdBinding *binding, guint64 iova,
                                     ViommuResult result)
{
    ViommuVtdRefusal refusal =
        make_refusal(binding, second_stage_reason(binding), binding->fault_disabled, result);

    refusal.address = iova;
    accel->config.refused(&refusal, accel->config.user_data);
}

void viommui_vtd_binding_forget(ViommuVtdAccel *accel, ViommuiVtdBinding *binding)
{
    block_silently(accel, binding);
    set_settled(accel, binding, TRUE);
    g_hash_table_remove(accel->put_off, binding);
}

/* The entry that a binding goes by is another one. */
static void set_table_pasid(ViommuVtdAccel *accel, ViommuiVtdBinding *binding,
                            guint32 pasid)
{
    gboolean settled = binding->is_settled;

    if (binding->table_pasid == pasid)
        return;
    leave_hwpt(accel, binding);
    unindex(accel, binding);
    set_settled(accel, binding, TRUE);
    binding->table_pasid = pasid;
    set_settled(accel, binding, settled);
}

/* PASIDs below this may have bindings: the guest enables them, the device has them. */
static guint32 n_pasids(const ViommuiVtdDevice *device)
{
    guint bits = MIN(viommu_host_device_get_info(device->device)->pasid_bits, PASID_BITS);

    if (device->context.kind != VIOMMU_VTD_PASID_TABLE || !bits)
        return 0;
    return MIN(device->context.n_pasids, 1u << bits);
}

ViommuResult viommui_vtd_settle_pasid(ViommuVtdAccel *accel, ViommuiVtdDevice *device,
                                      guint32 pasid)
{
    gboolean may_be = pasid < n_pasids(device);
    ViommuiVtdBinding *binding =
        g_hash_table_lookup(device->pasids, GUINT_TO_POINTER(pasid));
    ViommuResult result;

    if (!binding && !may_be)
        return VIOMMU_OK;
    if (!binding) {
        binding = g_new(ViommuiVtdBinding, 1);
        viommui_vtd_binding_init(binding, device, pasid);
        g_hash_table_insert(device->pasids, GUINT_TO_POINTER(pasid), binding);
    }
    binding->goal = may_be ? VIOMMUI_GOAL_ENTRY : VIOMMUI_GOAL_BLOCKED;
    result = viommui_vtd_settle(accel, binding);
    if ((may_be && binding->is_present) ||
        viommui_host_device_is_pending(device->device, pasid))
        return result;
    viommui_vtd_binding_forget(accel, binding);
    g_hash_table_remove(device->pasids, GUINT_TO_POINTER(pasid));
    return result;
}

ViommuResult viommui_vtd_settle_known_pasids(ViommuVtdAccel *accel,
                                             ViommuiVtdDevice *device)
{
    g_autofree gpointer *known = NULL;
    ViommuResult worst = VIOMMU_OK;
    guint n;

    known = g_hash_table_get_keys_as_array(device->pasids, &n);
    for (guint i = 0; i < n; i++) {
        ViommuResult result =
            viommui_vtd_settle_pasid(accel, device, GPOINTER_TO_UINT(known[i]));

        worst = MIN(worst, result);
    }
    return worst;
}

ViommuResult viommui_vtd_find_new_pasids(ViommuVtdAccel *accel, ViommuiVtdDevice *device)
{
    const ViommuVtdAccelConfig *config = &accel->config;
    ViommuResult worst = VIOMMU_OK;
    guint32 pasid = 0;

    if (!n_pasids(device))
        return VIOMMU_OK;
    /* The host has PASID 0 for requests without one, whose binding serves both then. */
    if (!device->context.rid_pasid)
        pasid = 1;
    for (; pasid < n_pasids(device) &&
           config->find_pasid(device->rid, pasid, n_pasids(device) - 1, &pasid,
                              config->user_data);
         pasid++) {
        ViommuResult result = VIOMMU_OK;

        if (!g_hash_table_contains(device->pasids, GUINT_TO_POINTER(pasid)))
            result = viommui_vtd_settle_pasid(accel, device, pasid);
        worst = MIN(worst, result);
    }
    return worst;
}

static ViommuResult settle_pasids(ViommuVtdAccel *accel, ViommuiVtdDevice *device)
{
    ViommuResult known = viommui_vtd_settle_known_pasids(accel, device);
    ViommuResult found = viommui_vtd_find_new_pasids(accel, device);

    return MIN(known, found);
}

/* --- devices ----------------------------------------------------------------------------
 */

/* Of requests without a PASID. */
static ViommuiGoal goal_of(const ViommuVtdContext *context)
{
    if (context->fault)
        return VIOMMUI_GOAL_BLOCKED;
    switch (context->kind) {
    case VIOMMU_VTD_PASS_THROUGH:
        return VIOMMUI_GOAL_IDENTITY;
    case VIOMMU_VTD_SECOND_STAGE:
        return VIOMMUI_GOAL_SECOND_STAGE;
    case VIOMMU_VTD_PASID_TABLE:
        return VIOMMUI_GOAL_ENTRY;
    default:
        return VIOMMUI_GOAL_BLOCKED;
    }
}

ViommuResult viommui_vtd_refresh_device(ViommuVtdAccel *accel, ViommuiVtdDevice *device)
{
    ViommuVtdContext context = {.kind = VIOMMU_VTD_BLOCKED};
    ViommuResult result, pasids;

    if (!accel->blocked)
        accel->config.read_context(device->rid, &context, accel->config.user_data);
    device->context = context;
    device->rid_binding.goal = goal_of(&context);
    set_table_pasid(accel, &device->rid_binding,
                    context.kind == VIOMMU_VTD_PASID_TABLE ? context.rid_pasid : 0);
    result = viommui_vtd_settle(accel, &device->rid_binding);
    pasids = settle_pasids(accel, device);
    if (n_pasids(device))
        g_hash_table_add(accel->pasid_devices, device);
    else
        g_hash_table_remove(accel->pasid_devices, device);
    return MIN(result, pasids);
}

gboolean viommui_vtd_retry_put_off(ViommuVtdAccel *accel)
{
    g_autofree gpointer *bindings = NULL;
    gboolean at_large = FALSE;
    guint n;

    bindings = g_hash_table_get_keys_as_array(accel->put_off, &n);
    for (guint i = 0; i < n; i++) {
        ViommuiVtdBinding *binding = bindings[i];
        ViommuHostDevice *device = binding->device->device;
        guint32 pasid = binding->pasid;

        if (pasid == VIOMMUI_NO_PASID)
            viommui_vtd_settle(accel, binding);
        else
            viommui_vtd_settle_pasid(accel, binding->device, pasid);
        at_large = at_large || viommui_host_device_is_at_large(device, pasid);
    }
    return !at_large;
}
