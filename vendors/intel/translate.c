/* SPDX-License-Identifier: MIT */
/*
 * Emulated endpoints: read sections, translations through the IOTLB, and the faults that
 * the guest is told of; and what invalidations of translations mean for them.
 *
 * The IOTLB tells spaces apart by domain ID, and first-stage ones by PASID too. A cached
 * translation that lacks what is asked for does not refuse: the tables are walked, since a
 * guest may add rights without an invalidation (6.2.4).
 *
 * Invariants: what a section reads of registers and tables is not changed while it lasts,
 * and what it puts into a cache is there before an invalidation that waited for it.
 *
 * Up the path: the VMM's endpoints; invalidation-queue.c. Down: configuration.c, walk.c,
 * core/iotlb.c, core/sections.c; faults.c.
 */

#include "vunit.h"

enum { IOTLB_ENTRIES = 65536 };

/* In the IOTLB's access bits, beside ViommuAccess READ and WRITE. */
enum { CACHED_USER = 1 << 8, CACHED_DIRTY = 1 << 9 };

/* --- sections ---------------------------------------------------------------------------
 */

void viommui_vtd_endpoints_init(ViommuVtd *vtd)
{
    vtd->sections = viommui_sections_new();
    vtd->endpoints = viommui_endpoints_new(&vtd->config.services);
    vtd->iotlb = viommui_iotlb_new(IOTLB_ENTRIES);
    vtd->configurations = viommui_configurations_new(sizeof(ViommuiVtdConfiguration));
}

void viommui_vtd_endpoints_clear(ViommuVtd *vtd)
{
    viommui_configurations_free(vtd->configurations);
    viommui_iotlb_free(vtd->iotlb);
    viommui_endpoints_free(vtd->endpoints);
    viommui_sections_free(vtd->sections);
}

void viommui_vtd_begin_change(ViommuVtd *vtd)
{
    viommui_sections_begin_change(vtd->sections);
}

void viommui_vtd_end_change(ViommuVtd *vtd)
{
    viommui_sections_end_change(vtd->sections);
}

void viommu_vtd_enter(ViommuVtd *vtd)
{
    viommui_sections_enter(vtd->sections);
}

void viommu_vtd_exit(ViommuVtd *vtd)
{
    viommui_sections_exit(vtd->sections);
    if (G_UNLIKELY(g_atomic_int_get(&vtd->owed)))
        viommui_vtd_deliver_interrupts(vtd);
}

/* --- one request ------------------------------------------------------------------------
 */

typedef struct {
    ViommuVtd *vtd;
    guint16 rid;
    guint32 pasid;
    guint64 iova;
    ViommuAccess access; /* PRIVILEGED and EXECUTE only with a PASID */
} Request;

static ViommuResult fail(const Request *request, guint8 reason, gboolean fault_disabled)
{
    const ViommuiVtdFault fault = {
        .rid = request->rid,
        .pasid = request->pasid,
        .reason = reason,
        .address = request->iova,
        .read = !(request->access & VIOMMU_ACCESS_WRITE),
        .execute = !!(request->access & VIOMMU_ACCESS_EXECUTE),
        .privileged = !!(request->access & VIOMMU_ACCESS_PRIVILEGED),
    };

    if (!(request->access & VIOMMU_ACCESS_PEEK))
        viommui_vtd_record_fault(request->vtd, &fault, fault_disabled);
    return VIOMMU_GUEST_INVALID;
}

static gboolean is_interrupt_address(guint64 address)
{
    return address >= VTD_INTERRUPT_FIRST && address <= VTD_INTERRUPT_LAST;
}

/* 3.14: a request without a PASID to there is no access to memory. */
static ViommuResult interrupt(const Request *request, gboolean scalable,
                              ViommuTranslation *ret_translation)
{
    if (!(request->access & VIOMMU_ACCESS_WRITE))
        return fail(request, scalable ? FR_SM_INTERRUPT_ADDRESS : FR_INTERRUPT_ADDRESS,
                    FALSE);
    *ret_translation =
        (ViommuTranslation){.gpa = request->iova,
                            .length = VTD_INTERRUPT_LAST + 1ull - request->iova,
                            .access = VIOMMU_ACCESS_WRITE,
                            .is_msi = TRUE};
    return VIOMMU_OK;
}

/* Where it ends: short of the interrupt range, going in as coming out. */
static void fill(const Request *request, guint64 gpa, guint64 length, guint access,
                 ViommuTranslation *ret_translation)
{
    if (gpa < VTD_INTERRUPT_FIRST)
        length = MIN(length, VTD_INTERRUPT_FIRST - gpa);
    if (request->pasid == VIOMMU_VTD_NO_PASID && request->iova < VTD_INTERRUPT_FIRST)
        length = MIN(length, VTD_INTERRUPT_FIRST - request->iova);
    *ret_translation = (ViommuTranslation){.gpa = gpa, .length = length, .access = access};
}

/* What goes in comes out, if it is an address at all. */
static ViommuResult bypass(const Request *request, gboolean scalable,
                           gboolean fault_disabled, ViommuTranslation *ret_translation)
{
    guint64 size = 1ull << viommui_vtd_physical_bits(request->vtd->regs.cap);

    if (request->iova >= size)
        return fail(request, scalable ? FR_SM_BEYOND_MGAW : FR_BEYOND_WIDTH,
                    fault_disabled);
    /* One without a PASID is an interrupt, and has been seen to. */
    if (is_interrupt_address(request->iova))
        return fail(request, FR_SM_INTERRUPT_ADDRESS, fault_disabled);
    fill(request, request->iova, size - request->iova,
         VIOMMU_ACCESS_READ | VIOMMU_ACCESS_WRITE | VIOMMU_ACCESS_EXECUTE, ret_translation);
    return VIOMMU_OK;
}

/* --- by tables --------------------------------------------------------------------------
 */

static guint64 space_of(const ViommuiVtdConfiguration *configuration)
{
    guint64 pair = viommui_vtd_did_pasid(configuration->did, configuration->pasid);

    /* The first bit tells the stages apart. */
    if (configuration->kind == VIOMMUI_VTD_FIRST_STAGE)
        return pair << 1 | 1;
    return viommui_vtd_did_pasid(configuration->did, 0) << 1;
}

static guint16 did_of(guint64 space)
{
    return space >> (PASID_BITS + 1);
}

static guint8 check(const ViommuiVtdConfiguration *configuration,
                    const ViommuiVtdWalk *walk, ViommuAccess access)
{
    return configuration->kind == VIOMMUI_VTD_FIRST_STAGE
               ? viommui_vtd_check_first_stage(&configuration->tables, walk, access)
               : viommui_vtd_check_second_stage(&configuration->tables, walk, access);
}

/* TRUE: the cache allows it. */
static gboolean look_up(const Request *request,
                        const ViommuiVtdConfiguration *configuration,
                        ViommuiVtdWalk *ret_walk)
{
    ViommuiIotlbEntry entry;

    if (!viommui_iotlb_lookup(request->vtd->iotlb, space_of(configuration), request->iova,
                              &entry))
        return FALSE;
    *ret_walk = (ViommuiVtdWalk){.input = entry.input,
                                 .output = entry.output,
                                 .order = entry.order,
                                 .user = !!(entry.access & CACHED_USER),
                                 .writable = !!(entry.access & VIOMMU_ACCESS_WRITE),
                                 .readable = !!(entry.access & VIOMMU_ACCESS_READ),
                                 .dirty = !!(entry.access & CACHED_DIRTY)};
    return !check(configuration, ret_walk, request->access) &&
           (ret_walk->dirty || !(request->access & VIOMMU_ACCESS_WRITE));
}

static void remember(const Request *request, const ViommuiVtdConfiguration *configuration,
                     const ViommuiVtdWalk *walk)
{
    const ViommuiIotlbEntry entry = {
        .input = walk->input,
        .output = walk->output,
        .order = walk->order,
        .access = (walk->readable ? VIOMMU_ACCESS_READ : 0) |
                  (walk->writable ? VIOMMU_ACCESS_WRITE : 0) |
                  (walk->user ? CACHED_USER : 0) | (walk->dirty ? CACHED_DIRTY : 0),
    };

    viommui_iotlb_insert(request->vtd->iotlb, space_of(configuration), &entry);
}

static guint8 walk(const Request *request, const ViommuiVtdConfiguration *configuration,
                   ViommuiVtdWalk *ret_walk)
{
    const ViommuServices *services = &request->vtd->config.services;
    const ViommuiVtdTables *tables = &configuration->tables;

    if (configuration->kind == VIOMMUI_VTD_FIRST_STAGE)
        return viommui_vtd_walk_first_stage(services, tables, request->iova,
                                            request->access, ret_walk);
    return viommui_vtd_walk_second_stage(services, tables, request->iova, request->access,
                                         ret_walk);
}

/* The input address of a second stage: within the unit's width, and its tables'. */
static guint8 check_width(const Request *request, const ViommuiVtdTables *tables)
{
    guint unit = (guint)viommui_field_get(request->vtd->regs.cap, CAP_MGAW) + 1;

    if (request->iova >> MIN(unit, tables->width) == 0)
        return 0;
    if (!tables->scalable)
        return FR_BEYOND_WIDTH;
    return request->iova >> unit ? FR_SM_BEYOND_MGAW : FR_SM_BEYOND_AW;
}

/* What the configuration refuses whatever the tables say. */
static guint8 check_request(const Request *request,
                            const ViommuiVtdConfiguration *configuration)
{
    if (configuration->from_pasid_table && request->access & VIOMMU_ACCESS_EXECUTE)
        return FR_SM_ERE; /* ECAP.ERS is not offered */
    if (configuration->kind == VIOMMUI_VTD_SECOND_STAGE)
        return check_width(request, &configuration->tables);
    if (configuration->kind != VIOMMUI_VTD_FIRST_STAGE)
        return 0;
    if (request->access & VIOMMU_ACCESS_PRIVILEGED && !configuration->supervisor)
        return FR_SM_SRE;
    return viommui_vtd_is_canonical(request->iova, configuration->tables.levels)
               ? 0
               : FR_SM_NOT_CANONICAL;
}

/* What is allowed there to others of the same kind. */
static guint allowed(const Request *request, const ViommuiVtdConfiguration *configuration,
                     const ViommuiVtdWalk *walk)
{
    guint kind = request->access & VIOMMU_ACCESS_PRIVILEGED, access = 0;

    if (!check(configuration, walk, kind | VIOMMU_ACCESS_READ))
        access |= VIOMMU_ACCESS_READ;
    /* A writer has to come back for the dirty flag. */
    if (!check(configuration, walk, kind | VIOMMU_ACCESS_WRITE) && walk->dirty)
        access |= VIOMMU_ACCESS_WRITE;
    return access;
}

static ViommuResult translate(const Request *request,
                              const ViommuiVtdConfiguration *configuration,
                              ViommuTranslation *ret_translation)
{
    gboolean scalable = configuration->tables.scalable;
    ViommuiVtdWalk found;
    guint64 offset;
    guint8 reason;

    if (!look_up(request, configuration, &found)) {
        reason = walk(request, configuration, &found);
        if (reason)
            return fail(request, reason, configuration->fault_disabled);
        if (!(request->access & VIOMMU_ACCESS_PEEK))
            remember(request, configuration, &found);
    }
    offset = request->iova - found.input;
    if (is_interrupt_address(found.output + offset))
        return fail(request, scalable ? FR_SM_INTERRUPT_ADDRESS : FR_INTERRUPT_ADDRESS,
                    configuration->fault_disabled);
    fill(request, found.output + offset, (1ull << found.order) - offset,
         allowed(request, configuration, &found) |
             (request->access & (VIOMMU_ACCESS_READ | VIOMMU_ACCESS_WRITE)),
         ret_translation);
    return VIOMMU_OK;
}

static ViommuResult translate_enabled(const Request *request,
                                      ViommuTranslation *ret_translation)
{
    gboolean scalable = viommui_vtd_ttm(request->vtd) != TTM_LEGACY;
    ViommuiVtdConfiguration configuration;
    guint8 reason;

    if (request->pasid == VIOMMU_VTD_NO_PASID && is_interrupt_address(request->iova))
        return interrupt(request, scalable, ret_translation);
    viommui_vtd_get_configuration(request->vtd, request->rid, request->pasid,
                                  &configuration);
    if (configuration.kind == VIOMMUI_VTD_FAULT)
        return fail(request, configuration.reason, configuration.fault_disabled);
    reason = check_request(request, &configuration);
    if (reason)
        return fail(request, reason, configuration.fault_disabled);
    if (configuration.kind == VIOMMUI_VTD_BYPASS)
        return bypass(request, scalable, configuration.fault_disabled, ret_translation);
    return translate(request, &configuration, ret_translation);
}

ViommuResult viommu_vtd_translate(ViommuVtd *vtd, guint16 rid, guint32 pasid, guint64 iova,
                                  ViommuAccess access, ViommuTranslation *ret_translation)
{
    Request request = {vtd, rid, pasid, iova, access};

    /* Only a request with a PASID says so much of itself. */
    if (pasid == VIOMMU_VTD_NO_PASID)
        request.access &= ~(guint)(VIOMMU_ACCESS_PRIVILEGED | VIOMMU_ACCESS_EXECUTE);
    if (vtd->blocked)
        return VIOMMU_GUEST_INVALID;
    if (viommui_vtd_is_translating(vtd))
        return translate_enabled(&request, ret_translation);
    viommui_endpoints_note(vtd->endpoints, rid);
    if (pasid == VIOMMU_VTD_NO_PASID && is_interrupt_address(iova))
        return interrupt(&request, FALSE, ret_translation);
    if (iova >> viommui_vtd_physical_bits(vtd->regs.cap))
        return VIOMMU_GUEST_INVALID; /* no unit is there to record it */
    return bypass(&request, FALSE, FALSE, ret_translation);
}

/* --- invalidation -----------------------------------------------------------------------
 */

static guint64 size_of(const ViommuiDescriptor *descriptor)
{
    guint64 size = descriptor->last - descriptor->first + 1;

    return size ? size : G_MAXUINT64;
}

static gboolean is_of_domain(guint64 space, void *did)
{
    return did_of(space) == *(const guint16 *)did;
}

static void invalidate_domains(ViommuVtd *vtd, const ViommuiDescriptor *descriptor)
{
    guint16 did = descriptor->did;

    switch (descriptor->granularity) {
    case VIOMMUI_GRANULARITY_GLOBAL:
        viommui_iotlb_invalidate_all(vtd->iotlb);
        break;
    case VIOMMUI_GRANULARITY_DOMAIN:
        viommui_iotlb_invalidate_if(vtd->iotlb, is_of_domain, &did);
        break;
    default: /* pages of the second stage */
        viommui_iotlb_invalidate_range(vtd->iotlb, viommui_vtd_did_pasid(did, 0) << 1,
                                       FALSE, descriptor->first, descriptor->last);
        viommui_endpoints_tell(vtd->endpoints, 0, G_MAXUINT32, descriptor->first,
                               size_of(descriptor));
        return;
    }
    viommui_endpoints_tell(vtd->endpoints, 0, G_MAXUINT32, 0, G_MAXUINT64);
}

static void invalidate_pasid(ViommuVtd *vtd, const ViommuiDescriptor *descriptor)
{
    guint64 space = viommui_vtd_did_pasid(descriptor->did, descriptor->pasid) << 1 | 1;

    if (descriptor->granularity == VIOMMUI_GRANULARITY_PAGE) {
        viommui_iotlb_invalidate_range(vtd->iotlb, space, FALSE, descriptor->first,
                                       descriptor->last);
        viommui_endpoints_tell(vtd->endpoints, 0, G_MAXUINT32, descriptor->first,
                               size_of(descriptor));
        return;
    }
    viommui_iotlb_invalidate_space(vtd->iotlb, space);
    viommui_endpoints_tell(vtd->endpoints, 0, G_MAXUINT32, 0, G_MAXUINT64);
}

static void invalidate_device(ViommuVtd *vtd, const ViommuiDescriptor *descriptor)
{
    const ViommuServices *services = &vtd->config.services;

    if (services->translations_changed)
        services->translations_changed(
            descriptor->rid, descriptor->has_pasid ? descriptor->pasid : G_MAXUINT32,
            descriptor->first, size_of(descriptor), services->user_data);
}

void viommui_vtd_invalidate_iotlb(ViommuVtd *vtd, const ViommuiDescriptor *descriptor)
{
    if (descriptor->kind == VIOMMUI_DESCRIPTOR_IOTLB)
        invalidate_domains(vtd, descriptor);
    else if (descriptor->kind == VIOMMUI_DESCRIPTOR_PASID_IOTLB)
        invalidate_pasid(vtd, descriptor);
    else
        invalidate_device(vtd, descriptor);
}
