/* SPDX-License-Identifier: MIT */
/*
 * Which translation requests of a requester ID and PASID have: TE, the context entry, and
 * the PASID table entry; and the cache of what they said.
 *
 * Invariants: only what was present and legal is cached, as hardware without caching mode
 * does; anything else is read again by the next request.
 *
 * Up the path: translate.c, invalidation-queue.c. Down: tables.c, pasid-entry.c,
 * core/configurations.h.
 */

#include "vunit.h"

#include <string.h>

static gboolean offers(guint64 word, ViommuiField field)
{
    return viommui_field_get(word, field) != 0;
}

static void fail(ViommuiVtdConfiguration *configuration, guint8 reason)
{
    configuration->kind = VIOMMUI_VTD_FAULT;
    configuration->reason = reason;
}

static void set_second_stage(ViommuVtd *vtd, ViommuiVtdConfiguration *configuration,
                             guint64 table, guint levels)
{
    configuration->kind = VIOMMUI_VTD_SECOND_STAGE;
    configuration->tables = (ViommuiVtdTables){
        .table = table,
        .levels = levels,
        .physical_bits = viommui_vtd_physical_bits(vtd->regs.cap),
        .width =
            MIN(12 + 9 * levels, (guint)viommui_field_get(vtd->regs.cap, CAP_MGAW) + 1),
        .page_1g = TRUE,
        .snoop_reserved = !offers(vtd->regs.ecap, ECAP_SC),
        .scalable = configuration->from_pasid_table,
    };
}

static void set_first_stage(ViommuVtd *vtd, ViommuiVtdConfiguration *configuration,
                            const ViommuiPasidEntry *entry)
{
    configuration->kind = VIOMMUI_VTD_FIRST_STAGE;
    configuration->supervisor = entry->supervisor;
    configuration->tables = (ViommuiVtdTables){
        .table = entry->table,
        .levels = entry->levels,
        .physical_bits = viommui_vtd_physical_bits(vtd->regs.cap),
        .page_1g = offers(vtd->regs.cap, CAP_FS1GP),
        .scalable = TRUE,
        .write_protect = entry->write_protect,
        .extended_accessed = entry->extended_accessed,
    };
}

static void get_from_pasid_entry(ViommuVtd *vtd, const ViommuiVtdContextEntry *context,
                                 ViommuiVtdConfiguration *configuration)
{
    guint8 bytes[VIOMMU_VTD_PASID_ENTRY_SIZE];
    ViommuiPasidEntry entry;
    guint8 reason = viommui_vtd_read_pasid_entry(vtd, context, configuration->pasid, bytes,
                                                 &configuration->fault_disabled);

    if (reason) {
        fail(configuration, reason);
        return;
    }
    entry = viommui_vtd_decode_pasid_entry(vtd->regs.cap, vtd->regs.ecap, bytes);
    configuration->fault_disabled |= entry.fault_disabled;
    configuration->did = entry.did;
    switch (entry.kind) {
    case VIOMMUI_PASID_ENTRY_NOT_PRESENT:
        fail(configuration, FR_SM_PASID_P);
        break;
    case VIOMMUI_PASID_ENTRY_FIRST:
        set_first_stage(vtd, configuration, &entry);
        break;
    case VIOMMUI_PASID_ENTRY_SECOND:
        set_second_stage(vtd, configuration, entry.table, entry.levels);
        break;
    case VIOMMUI_PASID_ENTRY_PASS_THROUGH:
        configuration->kind = VIOMMUI_VTD_BYPASS;
        break;
    case VIOMMUI_PASID_ENTRY_ILLEGAL:
        fail(configuration, entry.reason);
        break;
    }
}

static void get_scalable(ViommuVtd *vtd, const ViommuiVtdContextEntry *context,
                         guint32 pasid, ViommuiVtdConfiguration *configuration)
{
    gboolean has_pasid = pasid != VIOMMU_VTD_NO_PASID;
    guint offered = (guint)viommui_field_get(vtd->regs.ecap, ECAP_PSS) + 1;

    configuration->from_pasid_table = TRUE;
    configuration->pasid = has_pasid ? pasid : context->rid_pasid;
    if (has_pasid && !context->pasids_enabled)
        fail(configuration, FR_SM_PASIDE);
    else if (has_pasid && pasid >> MIN(context->pasid_bits, offered))
        fail(configuration, FR_SM_PASID_RANGE);
    else if (!has_pasid && context->rid_pasid >> context->pasid_bits)
        fail(configuration, FR_SM_RID_PASID);
    else
        get_from_pasid_entry(vtd, context, configuration);
}

static void get_legacy(ViommuVtd *vtd, const ViommuiVtdContextEntry *context, guint32 pasid,
                       ViommuiVtdConfiguration *configuration)
{
    configuration->did = context->did;
    if (pasid != VIOMMU_VTD_NO_PASID)
        fail(configuration, FR_SM_PASID_IN_LEGACY);
    else if (context->tt == TT_PASS_THROUGH)
        configuration->kind = VIOMMUI_VTD_BYPASS;
    else
        set_second_stage(vtd, configuration, context->table, context->levels);
}

static void get_from_tables(ViommuVtd *vtd, guint16 rid, guint32 pasid,
                            ViommuiVtdConfiguration *configuration)
{
    ViommuiVtdContextEntry context = viommui_vtd_read_context_entry(vtd, rid);

    configuration->fault_disabled = context.fault_disabled;
    if (context.reason)
        fail(configuration, context.reason);
    else if (viommui_vtd_ttm(vtd) == TTM_LEGACY)
        get_legacy(vtd, &context, pasid, configuration);
    else
        get_scalable(vtd, &context, pasid, configuration);
}

void viommui_vtd_get_configuration(ViommuVtd *vtd, guint16 rid, guint32 pasid,
                                   ViommuiVtdConfiguration *ret_configuration)
{
    if (viommui_configurations_lookup(vtd->configurations, rid, pasid, ret_configuration))
        return;
    viommui_endpoints_note(vtd->endpoints, rid);
    memset(ret_configuration, 0, sizeof *ret_configuration);
    get_from_tables(vtd, rid, pasid, ret_configuration);
    if (ret_configuration->kind != VIOMMUI_VTD_FAULT)
        viommui_configurations_insert(vtd->configurations, rid, pasid, ret_configuration);
}

/* --- forgetting -------------------------------------------------------------------------
 */

static gboolean is_meant(guint32 rid, guint32 pasid, const void *value, void *user_data)
{
    const ViommuiVtdConfiguration *configuration = value;
    const ViommuiDescriptor *descriptor = user_data;

    (void)pasid;
    switch (descriptor->granularity) {
    case VIOMMUI_GRANULARITY_GLOBAL:
        return TRUE;
    case VIOMMUI_GRANULARITY_DEVICE:
        return !((rid ^ descriptor->rid) & ~descriptor->function_mask);
    case VIOMMUI_GRANULARITY_PASID:
        return configuration->from_pasid_table && configuration->did == descriptor->did &&
               configuration->pasid == descriptor->pasid;
    default:
        /* Context entries of scalable mode have no domain ID: any may be meant. */
        return configuration->did == descriptor->did ||
               (descriptor->kind == VIOMMUI_DESCRIPTOR_CONTEXT_CACHE &&
                configuration->from_pasid_table);
    }
}

void viommui_vtd_forget_configurations(ViommuVtd *vtd, const ViommuiDescriptor *descriptor)
{
    viommui_configurations_forget_if(vtd->configurations, is_meant, (void *)descriptor);
    viommui_endpoints_tell(vtd->endpoints, 0, G_MAXUINT32, 0, G_MAXUINT64);
}

void viommui_vtd_forget_all(ViommuVtd *vtd)
{
    viommui_configurations_forget(vtd->configurations, 0, G_MAXUINT32);
    viommui_iotlb_invalidate_all(vtd->iotlb);
    viommui_endpoints_tell(vtd->endpoints, 0, G_MAXUINT32, 0, G_MAXUINT64);
}
