/* SPDX-License-Identifier: MIT */
#include "flat-smmu.h"

#include <string.h>

#include "tap.h"

/* --- memory and tables ------------------------------------------------------------------
 */

static guint8 ram[RAM_SIZE];
ViommuSmmuv3 smmu;
static guint64 next_table;
guint n_reads;
GString *told;

static gboolean read_memory(guint64 gpa, void *data, gsize size,
                            G_GNUC_UNUSED void *user_data)
{
    g_atomic_int_inc((gint *)&n_reads);
    if (gpa < RAM_BASE || gpa - RAM_BASE > RAM_SIZE - size)
        return FALSE;
    memcpy(data, ram + (gpa - RAM_BASE), size);
    return TRUE;
}

static gboolean write_memory(guint64 gpa, const void *data, gsize size,
                             G_GNUC_UNUSED void *user_data)
{
    if (gpa < RAM_BASE || gpa - RAM_BASE > RAM_SIZE - size)
        return FALSE;
    memcpy(ram + (gpa - RAM_BASE), data, size);
    return TRUE;
}

void translations_changed(guint32 device_id, guint32 pasid, guint64 iova, guint64 size,
                          G_GNUC_UNUSED void *user_data)
{
    g_string_append_printf(told, "%x/%x:%" G_GINT64_MODIFIER "x+%" G_GINT64_MODIFIER "x ",
                           device_id, pasid, iova, size);
}

void store(guint64 gpa, guint64 value)
{
    value = GUINT64_TO_LE(value);
    g_assert(write_memory(gpa, &value, sizeof value, NULL));
}

guint64 load(guint64 gpa)
{
    guint64 value;

    g_assert(read_memory(gpa, &value, sizeof value, NULL));
    return GUINT64_FROM_LE(value);
}

guint64 new_table(guint64 size)
{
    guint64 gpa = (next_table + size - 1) & ~(size - 1);

    next_table = gpa + size;
    return gpa;
}

guint shift_of(const Space *space, guint level)
{
    return space->granule + (space->granule - 3) * (3 - level);
}

guint first_level(const Space *space)
{
    for (guint level = 3;; level--)
        if (shift_of(space, level) + space->granule - 3 >= space->bits)
            return level;
}

guint64 descriptor_at(const Space *space, guint64 table, guint64 va, guint level)
{
    guint64 index = (va & ((1ull << space->bits) - 1)) >> shift_of(space, level);

    return table + 8 * (index & ((1ull << (space->granule - 3)) - 1));
}

Space new_space(guint granule, guint bits)
{
    Space space = {.granule = granule, .bits = bits};

    space.ttb = new_table(1ull << granule);
    return space;
}

guint64 put(const Space *space, guint64 va, guint level, guint64 descriptor)
{
    guint64 table = space->ttb;

    for (guint l = first_level(space);; l++) {
        guint64 at = descriptor_at(space, table, va, l);

        if (l == level) {
            store(at, descriptor);
            return at;
        }
        if (!(load(at) & 1))
            store(at, new_table(1ull << space->granule) | TABLE);
        table = load(at) & 0xffffffffffffull & ~((1ull << space->granule) - 1);
    }
}

guint64 tg0(guint granule)
{
    return (granule == 12 ? 0ull : granule == 14 ? 2ull : 1ull) << 6;
}

guint64 tg1(guint granule)
{
    return (granule == 12 ? 2ull : granule == 14 ? 1ull : 3ull) << 22;
}

guint64 cd_word0(const Space *space)
{
    return CD_LEGAL | CD_EPD1 | tg0(space->granule) | (64 - space->bits);
}

void put_cd(guint64 at, guint64 word0, guint64 ttb0, guint64 ttb1)
{
    for (guint i = 3; i < 8; i++)
        store(at + 8 * i, 0);
    store(at + 16, ttb1);
    store(at + 8, ttb0);
    store(at, word0);
}

void put_ste(guint32 sid, guint64 word0, guint64 word1)
{
    store(STRTAB + 64 * sid, word0);
    store(STRTAB + 64 * sid + 8, word1);
}

void forget_all(void)
{
    viommui_smmuv3_begin_change(&smmu);
    viommui_smmuv3_forget_streams(&smmu, 0, G_MAXUINT32);
    viommui_iotlb_invalidate_all(smmu.iotlb);
    viommui_smmuv3_end_change(&smmu);
}

void reset(void)
{
    memset(ram, 0, sizeof ram);
    next_table = TABLES;
    smmu.regs = (ViommuiSmmuv3Registers){
        .idr = {1u << 1 | 2u << 2 | 1u << 12 /* ASID16 */ | 1u << 19 /* CD2L */ |
                    2u << 21 /* little */ | 1u << 24 /* terminate */ | 1u << 26,
                LOG2_STREAMS | 20u << 6 | 19u << 16, 0, 1u << 10 /* RIL */, 0,
                OAS_44 | 7u << 4},
        .cr0 = 1 | 1u << 2,
        .cr2 = 1u << 1,
        .strtab_base = STRTAB,
        .strtab_base_cfg = LOG2_STREAMS,
        .eventq_base = EVENTQ | EVENTQ_BITS,
    };
    forget_all();
}

Space simple(void)
{
    Space space;

    reset();
    space = new_space(12, 39);
    put_cd(CDS, cd_word0(&space), space.ttb, 0);
    put_ste(SID, STE_S1(CDS), 0);
    return space;
}

/* --- points -----------------------------------------------------------------------------
 */

guint64 event[4];
ViommuTranslation translation;

ViommuResult translate(guint32 sid, guint32 ssid, guint64 iova, guint access)
{
    ViommuResult result;

    smmu.regs.eventq_prod = smmu.regs.eventq_cons = 0;
    viommu_smmuv3_enter(&smmu);
    result =
        viommu_smmuv3_translate(&smmu, sid, ssid, iova, (ViommuAccess)access, &translation);
    viommu_smmuv3_exit(&smmu);
    for (guint i = 0; i < 4; i++)
        event[i] = load(EVENTQ + 8 * i);
    return result;
}

void goes_as(guint32 sid, guint32 ssid, guint64 iova, guint access, guint64 gpa,
             const char *name)
{
    ViommuResult result = translate(sid, ssid, iova, access);

    tap_ok(result == VIOMMU_OK && translation.gpa == gpa && !smmu.regs.eventq_prod, "%s",
           name);
    if (result != VIOMMU_OK)
        tap_note("refused, event %#x", (guint)(event[0] & 0xff));
    else if (translation.gpa != gpa)
        tap_note("goes to %#" G_GINT64_MODIFIER "x", translation.gpa);
}

void fails_as(guint32 sid, guint32 ssid, guint64 iova, guint access, guint id,
              const char *name)
{
    ViommuResult result = translate(sid, ssid, iova, access);
    guint got = smmu.regs.eventq_prod ? event[0] & 0xff : 0;

    tap_ok(result == VIOMMU_GUEST_INVALID && smmu.regs.eventq_prod == !!id && got == id,
           "%s", name);
    if (result == VIOMMU_OK || got != id)
        tap_note("result %d, event %#x, not %#x", result, got, id);
}

void goes(guint64 iova, guint access, guint64 gpa, const char *name)
{
    goes_as(SID, NO_SSID, iova, access, gpa, name);
}

void fails(guint64 iova, guint access, guint id, const char *name)
{
    fails_as(SID, NO_SSID, iova, access, id, name);
}

/* --- life -------------------------------------------------------------------------------
 */

void flat_smmu_init(void)
{
    told = g_string_new(NULL);
    smmu.config.services =
        (ViommuServices){.read_memory = read_memory, .write_memory = write_memory};
    g_mutex_init(&smmu.event_lock);
    viommui_smmuv3_endpoints_init(&smmu);
}

void flat_smmu_clear(void)
{
    viommui_smmuv3_endpoints_clear(&smmu);
    g_mutex_clear(&smmu.event_lock);
    g_string_free(told, TRUE);
}
