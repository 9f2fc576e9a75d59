/* SPDX-License-Identifier: MIT */
/*
 * The whole VT-d unit: what it offers. CAP and ECAP against what was asked for and what
 * every host unit behind can do; what is frozen when; refusals by field and value. A host
 * that lacks something is one whose answer is changed on the way (spy.h). A point is a
 * rule.
 */
#include <string.h>

#include "tap.h"
#include "vtd-machine.h"

static const ViommuVtdConfig plain = {.pasid_bits = -1};

typedef struct {
    const char *name;
    guint reg; /* VTDM_CAP or VTDM_ECAP */
    guint lowest;
    gsize offset; /* of its switch */
} Field;

#define SWITCH(name) G_STRUCT_OFFSET(ViommuVtdConfig, name)

/* What a first-stage table or a device may need of the host. */
static const Field host_fields[] = {
    {"FS1GP", VTDM_CAP, VTDM_CAP_FS1GP, SWITCH(first_stage_1g)},
    {"FS5LP", VTDM_CAP, VTDM_CAP_FS5LP, SWITCH(five_level)},
    {"SRS", VTDM_ECAP, VTDM_ECAP_SRS, SWITCH(supervisor_requests)},
    {"EAFS", VTDM_ECAP, VTDM_ECAP_EAFS, SWITCH(extended_accessed)},
};
/* What is the library's own. */
static const Field own_fields[] = {
    {"SMTS", VTDM_ECAP, VTDM_ECAP_SMTS, SWITCH(scalable_mode)},
    {"FSTS", VTDM_ECAP, VTDM_ECAP_FSTS, SWITCH(first_stage)},
    {"PT", VTDM_ECAP, VTDM_ECAP_PT, SWITCH(pass_through)},
    {"C", VTDM_ECAP, VTDM_ECAP_C, SWITCH(coherent)},
    {"DT", VTDM_ECAP, VTDM_ECAP_DT, SWITCH(device_tlb)},
    {"PRS", VTDM_ECAP, VTDM_ECAP_PRS, SWITCH(page_requests)},
    {"SSTS", VTDM_ECAP, VTDM_ECAP_SSTS, SWITCH(second_stage)},
};

static void set_switch(ViommuVtdConfig *config, const Field *field, ViommuSwitch value)
{
    G_STRUCT_MEMBER(ViommuSwitch, config, field->offset) = value;
}

/* The host has no first stage to give, nor anything that is one's. */
static gboolean nests;
/* VTDM_MAPPED: nor are its CAP and ECAP known, and PASIDs there are none. */
static VtdmWay way;

/* NULL target: to emulated endpoints alone. */
static guint64 offered(const Target *target, const ViommuVtdConfig *config, guint reg)
{
    guint64 value;
    VtdMachine vm;

    if (!vtdm_init(&vm, target, target ? target->first : NULL, config))
        return 0xdeadbeefdeadbeefull;
    value = vtdm_get64(&vm, reg);
    vtdm_clear(&vm);
    return value;
}

/* Hide a field of the host, or not. */
static void hide(Spy *spy, const Field *field, gboolean on)
{
    guint64 *hidden = field->reg == VTDM_CAP ? &spy->vtd.hidden_cap : &spy->vtd.hidden_ecap;

    *hidden = on ? 1ull << field->lowest : 0;
}

/* A container tells by its ranges what a unit does by CAP.MGAW. */
static guint host_mgaw(const Spy *spy)
{
    if (way == VTDM_MAPPED)
        return spy->last_iova ? 63 - (guint)__builtin_clzll(spy->last_iova) : 63;
    return spy->vtd.cap >> VTDM_CAP_MGAW & 0x3f;
}

static void test_auto(VtdMachine *vm, const Spy *spy)
{
    for (gsize i = 0; i < G_N_ELEMENTS(host_fields); i++) {
        const Field *field = &host_fields[i];
        guint64 host = field->reg == VTDM_CAP ? spy->vtd.cap : spy->vtd.ecap;

        tap_is(vtdm_get64(vm, field->reg) >> field->lowest & 1,
               VTDM_BY_NESTING(vm, host >> field->lowest & 1, 0),
               "AUTO: %s is the host's, if it nests", field->name);
    }
    tap_ok(vtdm_cap(vm, VTDM_CAP_MGAW, 6) <= host_mgaw(spy),
           "AUTO: MGAW is not beyond the host's");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_PASID, 1), spy->vtd.ecap >> VTDM_ECAP_PASID & 1,
           "AUTO: PASID is the host's");
    tap_ok(vtdm_ecap(vm, VTDM_ECAP_PSS, 5) <= (spy->vtd.ecap >> VTDM_ECAP_PSS & 0x1f),
           "AUTO: PSS is not beyond the host's");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_DT, 1), 0, "AUTO: no DT, as the device has no ATS");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_PRS, 1), 0, "AUTO: no PRS either");
    tap_is(vtdm_ecap(vm, VTDM_ECAP_SMPWCS, 1),
           VTDM_BY_NESTING(vm, spy->vtd.ecap >> VTDM_ECAP_SMPWCS & 1, 1),
           "AUTO: SMPWCS is the host's, where that walks the guest's tables");
}

static void test_hidden(const Target *target, Spy *spy)
{
    for (gsize i = 0; i < G_N_ELEMENTS(host_fields); i++) {
        const Field *field = &host_fields[i];

        hide(spy, field, TRUE);
        tap_is(offered(target, &plain, field->reg) >> field->lowest & 1, 0,
               "AUTO: %s is not offered on a host without it", field->name);
        hide(spy, field, FALSE);
    }
}

/* Why a host device is refused by a unit of this config; NULL: it is not. */
static char *refusal_of(const Target *target, const ViommuVtdConfig *config)
{
    const ViommuHostConfig host_config = target_host_config(target);
    ViommuHost *host = viommu_host_new(&host_config, NULL);
    ViommuHostDevice *device =
        viommu_host_device_new_from_bdf(host, target->first[0], NULL);
    g_autoptr(GError) error = NULL;
    ViommuVtdConfig with_services = *config;
    ViommuVtd *vtd;
    VtdMachine vm;

    if (!vtdm_init(&vm, NULL, NULL, NULL))
        return NULL;
    with_services.services = vtdm_services(&vm);
    vtd = viommu_vtd_new(&with_services, NULL);
    if (vtd)
        viommu_vtd_attach_device(vtd, device, VTDM_RID, 0, &error);
    viommu_vtd_free(vtd);
    viommu_host_device_free(device);
    viommu_host_free(host);
    vtdm_clear(&vm);
    return error ? g_strdup(error->message) : NULL;
}

/* What is asked for and the host lacks: refused at attach, by field and both values. */
static void refuse_attach(const Target *target, const ViommuVtdConfig *config,
                          const char *asked, const char *field, const char *wanted,
                          const char *had)
{
    g_autofree char *refusal = refusal_of(target, config);

    tap_ok(refusal != NULL, "%s %s is refused at attach where the host has %s", asked,
           wanted, had);
    tap_has(refusal, field, "... naming the field");
    tap_has(refusal, wanted, "... the value wanted");
    tap_has(refusal, had, "... and the host's");
}

static void test_off(const Target *target)
{
    g_autofree char *refusal = NULL;
    ViommuVtdConfig config;

    for (gsize i = 0; i < G_N_ELEMENTS(host_fields) + G_N_ELEMENTS(own_fields); i++) {
        const Field *field = i < G_N_ELEMENTS(host_fields)
                                 ? &host_fields[i]
                                 : &own_fields[i - G_N_ELEMENTS(host_fields)];

        config = plain;
        set_switch(&config, field, VIOMMU_OFF);
        tap_is(offered(NULL, &config, field->reg) >> field->lowest & 1, 0, "%s off",
               field->name);
    }
    config = plain;
    config.caching_mode = VIOMMU_OFF;
    refusal = refusal_of(target, &config);
    if (nests)
        tap_is(offered(target, &config, VTDM_CAP) >> VTDM_CAP_CM & 1, 0, "CM off");
    else
        tap_has(refusal, "CAP.CM 0", "CM off is refused by a host that copies tables");
    config = plain;
    config.first_stage_1g = VIOMMU_OFF;
    tap_is(offered(target, &config, VTDM_CAP) >> VTDM_CAP_FS1GP & 1, 0,
           "FS1GP off, whatever the host has");
    config = plain;
    config.scalable_mode = VIOMMU_OFF;
    tap_is(offered(target, &config, VTDM_ECAP) &
               (1ull << VTDM_ECAP_FSTS | 1ull << VTDM_ECAP_SSTS | 1ull << VTDM_ECAP_PASID),
           0, "without scalable mode nothing of it");
}

static void test_numbers(const Target *target)
{
    ViommuVtdConfig config = plain;
    g_autofree char *refusal = NULL;

    config.pasid_bits = 0;
    tap_is(offered(target, &config, VTDM_ECAP) >> VTDM_ECAP_PASID & 1, 0, "PASID 0");
    config = plain;
    config.domain_bits = 8;
    tap_is(offered(target, &config, VTDM_CAP) & 7, 2, "ND: 2^8 domains");
    config.domain_bits = 4;
    tap_is(offered(target, &config, VTDM_CAP) & 7, 0, "ND: 2^4 domains");
    config = plain;
    config.address_bits = 39;
    tap_is(offered(target, &config, VTDM_CAP) >> VTDM_CAP_MGAW & 0x3f, 38, "MGAW: 39 bits");
    tap_is(offered(target, &config, VTDM_CAP) >> VTDM_CAP_SAGAW & 0x1f, 2,
           "... SAGAW: tables of 3 levels");
    config.address_bits = 48;
    refusal = refusal_of(target, &config);
    if (way == VTDM_MAPPED && host_mgaw(&target->spy) < 47)
        tap_has(refusal, "CAP.MGAW of 48 bits",
                "MGAW: 48 bits are refused by a host that maps fewer");
    else
        tap_is(offered(target, &config, VTDM_CAP) >> VTDM_CAP_MGAW & 0x3f, 47,
               "MGAW: 48 bits");
    config.address_bits = 0;
    tap_ok(offered(target, &config, VTDM_CAP) >> VTDM_CAP_SAGAW & 4,
           "... SAGAW: tables of 4 levels");
    config = plain;
    config.fault_records = 8;
    tap_is(offered(target, &config, VTDM_CAP) >> VTDM_CAP_NFR & 0xff, 7, "NFR: 8 records");
}

static void refuse(VtdMachine *vm, ViommuVtdConfig config, const char *value,
                   const char *what)
{
    g_autoptr(GError) error = NULL;
    ViommuVtd *vtd;

    config.services = vtdm_services(vm);
    vtd = viommu_vtd_new(&config, &error);
    tap_ok(!vtd && error, "%s is refused", what);
    tap_has(error ? error->message : NULL, value, "... by its value");
    viommu_vtd_free(vtd);
}

static void test_bad_config(VtdMachine *vm)
{
    ViommuVtdConfig config = plain;

    config.domain_bits = 5;
    refuse(vm, config, "5", "an odd number of domain bits");
    config.domain_bits = 18;
    refuse(vm, config, "18", "more than 16 domain bits");
    config = plain;
    config.address_bits = 40;
    refuse(vm, config, "40", "an address width that no table has");
    config = plain;
    config.fault_records = 9;
    refuse(vm, config, "9", "more than 8 fault records");
    config = plain;
    config.pasid_bits = 21;
    refuse(vm, config, "21", "more than 20 bits of PASIDs");
    config = plain;
    config.scalable_mode = VIOMMU_OFF;
    config.first_stage = VIOMMU_ON;
    refuse(vm, config, "first_stage", "a first stage without scalable mode");
    config = plain;
    config.first_stage = VIOMMU_OFF;
    config.five_level = VIOMMU_ON;
    refuse(vm, config, "five_level", "five levels without a first stage");
}

static void test_services(VtdMachine *vm)
{
    const ViommuServices all = vtdm_services(vm);
    ViommuVtdConfig config = plain;
    g_autoptr(GError) error = NULL;

    config.services = all;
    config.services.read_memory = NULL;
    tap_ok(!viommu_vtd_new(&config, &error), "a service that is needed and missing");
    tap_has(error ? error->message : NULL, "read_memory", "... is named");
    g_clear_error(&error);
    config.services = all;
    config.services.compare_and_swap = NULL;
    tap_ok(!viommu_vtd_new(&config, &error), "compare_and_swap, with a first stage");
    tap_has(error ? error->message : NULL, "compare_and_swap", "... is named");
    tap_ok(!viommu_vtd_attach_device(vm->vtd, vm->devices[0], VTDM_RID, 1 << 7, NULL),
           "a device flag that is not known is refused");
}

/* A guest that was offered no caching mode would not tell of what becomes present. */
static void test_late(VtdMachine *vm)
{
    g_autoptr(GError) error = NULL;
    ViommuVtdConfig config = plain;
    ViommuVtd *vtd;

    config.services = vtdm_services(vm);
    config.pasid_bits = 0;
    config.address_bits = 39; /* what any host maps */
    config.first_stage_1g = config.five_level = VIOMMU_OFF;
    config.supervisor_requests = config.extended_accessed = VIOMMU_OFF;
    config.device_tlb = VIOMMU_OFF;
    if (!vm->nests)
        config.first_stage = VIOMMU_OFF;
    viommu_vtd_detach_device(vm->vtd, vm->devices[0]);
    vtd = viommu_vtd_new(&config, NULL);
    viommu_vtd_read(vtd, VTDM_CAP, 8);
    tap_ok(!viommu_vtd_attach_device(vtd, vm->devices[0], VTDM_RID, 0, &error),
           "CAP.CM 0 was seen: the first host device is refused");
    tap_has(error ? error->message : NULL, "CM", "... naming the field");
    viommu_vtd_free(vtd);
    config.caching_mode = VIOMMU_ON;
    vtd = viommu_vtd_new(&config, NULL);
    viommu_vtd_read(vtd, VTDM_CAP, 8);
    tap_ok(viommu_vtd_attach_device(vtd, vm->devices[0], VTDM_RID, 0, NULL),
           "caching mode asked for: it is taken");
    viommu_vtd_free(vtd);
}

/* A host with PASIDs of 8 bits. */
static void test_pasid_bits(Target *target)
{
    ViommuVtdConfig config = plain;

    target->spy.vtd.hidden_ecap = 0x1full << VTDM_ECAP_PSS;
    target->spy.vtd.claimed_ecap = 1ull << VTDM_ECAP_PASID | 7ull << VTDM_ECAP_PSS;
    tap_is(offered(target, &plain, VTDM_ECAP) >> VTDM_ECAP_PSS & 0x3f, 7 | 1 << 5,
           "AUTO: PSS of a host with 8 bits");
    config.pasid_bits = 6;
    tap_is(offered(target, &config, VTDM_ECAP) >> VTDM_ECAP_PSS & 0x1f, 5, "PSS: 6 bits");
    config.pasid_bits = 20;
    refuse_attach(target, &config, "PSS", "PSS", "19", "7");
    target->spy.vtd.claimed_ecap = target->spy.vtd.hidden_ecap = 0;
}

/* A container has none, whatever the unit behind it has. */
static void test_no_pasids(const Target *target)
{
    g_autofree char *refusal = NULL;
    ViommuVtdConfig config = plain;

    tap_is(offered(target, &plain, VTDM_ECAP) >> VTDM_ECAP_PSS & 0x3f, 0,
           "AUTO: no PASIDs of a host that has none to give");
    config.pasid_bits = 6;
    refusal = refusal_of(target, &config);
    tap_has(refusal, "ECAP.PASID 1", "PASIDs of 6 bits are refused by it");
    config.pasid_bits = 20;
    refuse_attach(target, &config, "20 bits: PASID", "ECAP.PASID", "1", "0");
}

static void test_on(Target *target)
{
    const Field nest = {"NEST", VTDM_ECAP, VTDM_ECAP_NEST, 0};
    ViommuVtdConfig config;

    for (gsize i = 0; i < G_N_ELEMENTS(host_fields); i++) {
        config = plain;
        set_switch(&config, &host_fields[i], VIOMMU_ON);
        hide(&target->spy, &host_fields[i], TRUE);
        refuse_attach(target, &config, host_fields[i].name,
                      nests ? host_fields[i].name : "NEST", "1", "0");
        hide(&target->spy, &host_fields[i], FALSE);
    }
    config = plain;
    config.first_stage = VIOMMU_ON;
    hide(&target->spy, &nest, TRUE);
    refuse_attach(target, &config, "NEST", "NEST", "1", "0");
    config = plain;
    config.five_level = VIOMMU_ON;
    refuse_attach(target, &config, "FS5LP", "NEST", "1", "0");
    tap_is(offered(target, &plain, VTDM_ECAP) >> VTDM_ECAP_FSTS & 1, 0,
           "AUTO: no FSTS over a host that cannot nest");
    hide(&target->spy, &nest, FALSE);
    if (way == VTDM_MAPPED)
        test_no_pasids(target);
    else
        test_pasid_bits(target);
    config = plain;
    config.pasid_bits = 20;
    target->spy.vtd.hidden_ecap = 1ull << VTDM_ECAP_PASID;
    refuse_attach(target, &config, "PASID", "PASID", "1", "0");
    target->spy.vtd.hidden_ecap = 0;
    config = plain;
    config.device_tlb = VIOMMU_ON;
    refuse_attach(target, &config, "DT", "DT", "1", "0");
}

/*
 * The first access freezes the offer; a block lets it be made anew. Any field will do, that
 * one device's host is made to have and another's not: SRS; PASIDs of 8 bits, where there
 * is no SRS; 48 bits of addresses, where all that is known are a container's.
 */
typedef struct {
    const char *name;
    guint reg;
    guint lowest;
    guint width;
    guint early; /* offered with the one device */
    guint late;  /* and with both */
} Shrinking;

static Shrinking pick_shrinking(const Spy *spy)
{
    if (way == VTDM_MAPPED)
        return (Shrinking){"MGAW", VTDM_CAP, VTDM_CAP_MGAW, 6, MIN(47, host_mgaw(spy)), 38};
    if (nests && (spy->vtd.ecap >> VTDM_ECAP_SRS & 1))
        return (Shrinking){"SRS", VTDM_ECAP, VTDM_ECAP_SRS, 1, 1, 0};
    return (Shrinking){"PASID", VTDM_ECAP, VTDM_ECAP_PASID, 1, 1, 0};
}

static void claim_early(Spy *spy, const Shrinking *field)
{
    if (field->lowest != VTDM_ECAP_PASID || field->reg != VTDM_ECAP)
        return;
    spy->vtd.hidden_ecap = 0x1full << VTDM_ECAP_PSS;
    spy->vtd.claimed_ecap = 1ull << VTDM_ECAP_PASID | 7ull << VTDM_ECAP_PSS;
}

static void hide_late(Spy *spy, const Shrinking *field, gboolean on)
{
    spy->vtd.claimed_ecap = 0;
    spy->vtd.hidden_ecap = on && field->reg == VTDM_ECAP ? 1ull << field->lowest : 0;
    spy->claimed_last = on && field->reg == VTDM_CAP ? (2ull << field->late) - 1 : 0;
}

static guint value_of(VtdMachine *vm, const Shrinking *field)
{
    return vtdm_get64(vm, field->reg) >> field->lowest & ((1u << field->width) - 1);
}

static void test_frozen(const Target *target, Spy *spy)
{
    const Shrinking field = pick_shrinking(spy);
    g_autoptr(GError) error = NULL;
    ViommuHostDevice *late;
    VtdMachine vm;

    if (!target->bdfs[1]) {
        tap_skip("one device", "the offer is frozen");
        return;
    }
    claim_early(spy, &field);
    if (!tap_ok(vtdm_init(&vm, target, target->first, NULL), "a machine"))
        return;
    hide_late(spy, &field, TRUE);
    late = viommu_host_device_new_from_bdf(vm.host, target->bdfs[1], NULL);
    hide_late(spy, &field, FALSE);
    value_of(&vm, &field);
    tap_ok(!viommu_vtd_attach_device(vm.vtd, late, VTDM_RID + 8, 0, &error),
           "the guest has seen %s: a device without it is refused", field.name);
    tap_has(error ? error->message : NULL, field.name, "... naming the field");
    tap_is(value_of(&vm, &field), field.early, "... and the offer stands");
    viommu_vtd_block(vm.vtd, NULL);
    g_clear_error(&error);
    tap_ok(viommu_vtd_attach_device(vm.vtd, late, VTDM_RID + 8, 0, &error),
           "after a block it is taken");
    viommu_vtd_release(vm.vtd, NULL);
    tap_is(value_of(&vm, &field), field.late, "... and the offer is less");
    viommu_vtd_detach_device(vm.vtd, late);
    viommu_host_device_free(late);
    vtdm_clear(&vm);
}

/* Without a host nothing is missing. */
static void test_without_host(void)
{
    ViommuVtdConfig config = plain;
    VtdMachine vm;

    if (!tap_ok(vtdm_init(&vm, NULL, NULL, NULL), "a unit without a host"))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(host_fields); i++)
        tap_is(vtdm_get64(&vm, host_fields[i].reg) >> host_fields[i].lowest & 1, 1,
               "... offers %s", host_fields[i].name);
    tap_is(vtdm_ecap(&vm, VTDM_ECAP_SSTS, 1), 1, "... and second-stage tables");
    tap_is(vtdm_ecap(&vm, VTDM_ECAP_PASID, 1), 1, "... and PASIDs");
    tap_is(vtdm_ecap(&vm, VTDM_ECAP_PSS, 5), 19, "... of 20 bits");
    tap_is(vtdm_cap(&vm, VTDM_CAP_CM, 1), 0, "... and caching mode is not needed");
    vtdm_clear(&vm);
    config.version = 0x60;
    if (vtdm_init(&vm, NULL, NULL, &config)) {
        tap_is(vtdm_get(&vm, VTDM_VER), 0x60, "VER: 6.0");
        vtdm_clear(&vm);
    }
}

int main(int argc, char **argv)
{
    Target target;
    VtdMachine vm;

    if (!target_init_default(&target, argc, argv, 2, "vtd"))
        return 2;
    if (tap_ok(vtdm_init(&vm, &target, target.first, NULL), "a machine")) {
        nests = vm.nests;
        way = vtdm_way(&vm);
        test_auto(&vm, &target.spy);
        test_bad_config(&vm);
        test_services(&vm);
        test_late(&vm);
        vtdm_clear(&vm);
    }
    test_hidden(&target, &target.spy);
    test_off(&target);
    test_numbers(&target);
    test_on(&target);
    test_frozen(&target, &target.spy);
    test_without_host();
    target_clear(&target);
    return tap_done();
}
