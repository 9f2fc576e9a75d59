/* SPDX-License-Identifier: MIT */
/*
 * Every failure point swept: a device's life is played over and over, each time with
 * another host call failing, in every way that a host call can fail. Whatever fails: the
 * device is never on tables that it should not be on, the caller is told, what is asked for
 * again works, and in the end nothing is left.
 *
 * A point for each errno and number of failures in a row, over all the calls of a life.
 */

#include <viommu-emulator/inspect.h>

#include "machine.h"
#include "sweep.h"
#include "tap.h"

enum { ABORT = 0, BYPASS = 4, NEW_SID = 0x99, MAX_ATTEMPTS = 8 };

typedef struct {
    Target *target;
    Machine m;
    GuestDomain second;
    guint64 other_page;
    const char *wrong; /* the first thing that was not as it must be */
    guint n_failures;  /* calls of the library that reported one */
} Life;

static void expect(Life *life, gboolean ok, const char *what)
{
    if (!ok && !life->wrong)
        life->wrong = what;
}

/* Where the device's DMA lands: G_MAXUINT64 for nowhere. */
static guint64 lands(Life *life, guint64 iova)
{
    guint64 ipa;

    if (viommu_emulator_peek(life->target->emulator, life->target->bdfs[0], iova, TRUE,
                             &ipa) < 0)
        return G_MAXUINT64;
    return ipa;
}

typedef ViommuResult (*Operation)(Life *life);

/*
 * Do it until it succeeds; after each failure the device must be blocked, or have what was
 * asked for, or, where `may_stay`, where it was before.
 */
static void until_done(Life *life, Operation operation, guint64 iova, guint64 want,
                       guint64 may_stay, const char *what)
{
    for (guint attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        ViommuResult result = operation(life);
        guint64 at = lands(life, iova);

        if (result == VIOMMU_OK) {
            expect(life, at == want, what);
            return;
        }
        life->n_failures++;
        expect(life, at == G_MAXUINT64 || at == may_stay || at == want, what);
    }
    expect(life, FALSE, what);
}

static ViommuResult install_first(Life *life)
{
    return machine_install_s1(&life->m, 0, &life->m.domain);
}

static ViommuResult install_second(Life *life)
{
    return machine_install_s1(&life->m, 0, &life->second);
}

static ViommuResult install_bypass(Life *life)
{
    return machine_install_config(&life->m, 0, BYPASS);
}

static ViommuResult install_abort(Life *life)
{
    return machine_install_config(&life->m, 0, ABORT);
}

static ViommuResult invalidate(Life *life)
{
    guint8 command[VIOMMU_SMMUV3_COMMAND_SIZE];

    guest_cmd_tlbi_va(command, MACHINE_ASID, MACHINE_IOVA);
    return machine_command(&life->m, command);
}

static ViommuResult renumber(Life *life)
{
    gboolean ok =
        viommu_smmuv3_accel_set_stream_id(life->m.accel, life->m.devices[0], NEW_SID, NULL);

    return ok ? VIOMMU_OK : VIOMMU_TRANSIENT;
}

static ViommuResult install_renumbered(Life *life)
{
    guint8 ste[VIOMMU_SMMUV3_STE_SIZE];

    guest_ste_s1(ste, &life->m.domain);
    return viommu_smmuv3_accel_install_ste(life->m.accel, NEW_SID, ste);
}

static ViommuResult block(Life *life)
{
    return viommu_smmuv3_accel_block(life->m.accel, NULL) ? VIOMMU_OK : VIOMMU_TRANSIENT;
}

static ViommuResult release(Life *life)
{
    return viommu_smmuv3_accel_release(life->m.accel, TRUE, NULL) ? VIOMMU_OK
                                                                  : VIOMMU_TRANSIENT;
}

static void live(Life *life)
{
    Machine *m = &life->m;
    guint64 page = m->page, none = G_MAXUINT64;
    guint8 byte = 1;

    guest_domain_init(&life->second, &m->ram, MACHINE_ASID + 1);
    life->other_page = guest_memory_alloc(&m->ram);
    guest_domain_map(&life->second, MACHINE_IOVA, life->other_page, TRUE);

    until_done(life, install_first, MACHINE_IOVA, page, none, "a stage-1 entry");
    viommu_emulator_dma(life->target->emulator, life->target->bdfs[0], MACHINE_IOVA, &byte,
                        1, TRUE);
    guest_domain_map(&m->domain, MACHINE_IOVA, life->other_page, TRUE);
    until_done(life, invalidate, MACHINE_IOVA, life->other_page, page, "an invalidation");
    guest_domain_map(&m->domain, MACHINE_IOVA, page, TRUE);
    until_done(life, invalidate, MACHINE_IOVA, page, life->other_page, "another");
    until_done(life, install_first, MACHINE_IOVA, page, none, "the same entry");
    until_done(life, install_second, MACHINE_IOVA, life->other_page, none, "another entry");
    until_done(life, install_bypass, page, page, none, "bypass");
    until_done(life, install_first, MACHINE_IOVA, page, none, "stage 1 from bypass");
    until_done(life, install_abort, MACHINE_IOVA, none, none, "abort");
    until_done(life, install_second, MACHINE_IOVA, life->other_page, none,
               "stage 1 from abort");
    until_done(life, renumber, MACHINE_IOVA, none, none, "renumbering");
    until_done(life, install_renumbered, MACHINE_IOVA, page, none, "the new number");
    until_done(life, block, MACHINE_IOVA, none, none, "reset: block");
    until_done(life, release, page, page, none, "reset: release");
}

static void count_leaks(Life *life, gboolean all)
{
    const ViommuEmulatorObject of_the_accel[] = {
        VIOMMU_EMULATOR_OBJECT_HWPT_PAGING, VIOMMU_EMULATOR_OBJECT_HWPT_NESTED,
        VIOMMU_EMULATOR_OBJECT_VIOMMU,      VIOMMU_EMULATOR_OBJECT_VDEVICE,
        VIOMMU_EMULATOR_OBJECT_VEVENTQ,
    };
    ViommuEmulator *emulator = life->target->emulator;

    if (all) {
        for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
            expect(life, viommu_emulator_count_objects(emulator, kind) == 0,
                   "objects are left");
        return;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(of_the_accel); i++)
        expect(life, viommu_emulator_count_objects(emulator, of_the_accel[i]) == 0,
               viommu_emulator_object_name(of_the_accel[i]));
    expect(life, viommu_emulator_count_tombstones(emulator) == 0, "a virtual ID is lost");
}

static gboolean play(guint64 nth, int err, guint times, const char **ret_wrong,
                     gconstpointer data)
{
    Target target;
    Spy *spy = &target.spy;
    Life life = {.target = &target};
    gboolean hit;

    (void)data;
    /* An emulator of its own: what one life loses must not show in the next. */
    target_init(&target, 0, NULL, 1);
    spy_fail(spy, 0, nth, err, times);
    if (machine_init(&life.m, target.seam, target.bdfs, 0)) {
        live(&life);
        viommu_smmuv3_accel_free(g_steal_pointer(&life.m.accel));
        /* Three refusals in a row to destroy an object are taken for lasting. */
        if (times < 3)
            count_leaks(&life, FALSE);
        machine_clear(&life.m);
    }
    hit = spy->hit;
    spy_fail_none(spy);
    count_leaks(&life, TRUE);
    target_clear(&target);
    *ret_wrong = life.wrong;
    return hit;
}

int main(void)
{
    sweep_faults(play, NULL, "");
    return tap_done();
}
