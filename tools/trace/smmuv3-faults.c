/* SPDX-License-Identifier: MIT */
/*
 * Recorded faults and the device's events.
 *
 * Invariant: no event is both unclaimed and waited for; whatever comes is matched at once.
 *
 * Up: smmuv3-player.c. Down: the device's registers, its event queue in guest memory.
 */
#include "smmuv3-faults.h"

#include "smmuv3-tables.h"

#include <string.h>

/* Of each kind; a recording that leaves more of them behind is not told more by keeping
 * them.
 */
enum { MAX_KEPT = 1024 };
enum { ANY_TYPE = 0, EVENT_BYTES = 32, F_TRANSLATION = 0x10 };

typedef struct {
    guint32 sid;
    guint type; /* ANY_TYPE: not known */
    guint64 line;
} Fault;

struct Smmuv3Faults {
    ViommuSmmuv3 *smmu;
    const TraceMemory *memory;
    TraceResult *result;
    Smmuv3FaultsProbe probe;
    gpointer user_data;
    guint32 seen;      /* EVENTQ_PROD up to which events are known */
    GArray *unclaimed; /* of Fault: events */
    GArray *waiting;   /* of Fault: F lines */
};

/* 7.3 */
static const struct {
    const char *name;
    guint type;
} types[] = {
    {"F_UUT", 0x01},          {"C_BAD_STREAMID", 0x02}, {"F_STE_FETCH", 0x03},
    {"C_BAD_STE", 0x04},      {"F_BAD_ATS_TREQ", 0x05}, {"F_STREAM_DISABLED", 0x06},
    {"F_TRANS_FORBIDDEN", 7}, {"C_BAD_SUBSTREAMID", 8}, {"F_CD_FETCH", 0x09},
    {"C_BAD_CD", 0x0a},       {"F_WALK_EABT", 0x0b},    {"F_TRANSLATION", 0x10},
    {"F_ADDR_SIZE", 0x11},    {"F_ACCESS", 0x12},       {"F_PERMISSION", 0x13},
    {"F_TLB_CONFLICT", 0x20}, {"F_CFG_CONFLICT", 0x21},
};

Smmuv3Faults *smmuv3_faults_new(ViommuSmmuv3 *smmu, const TraceMemory *memory,
                                TraceResult *result, Smmuv3FaultsProbe probe,
                                gpointer user_data)
{
    Smmuv3Faults *faults = g_new0(Smmuv3Faults, 1);

    faults->smmu = smmu;
    faults->memory = memory;
    faults->result = result;
    faults->probe = probe;
    faults->user_data = user_data;
    faults->unclaimed = g_array_new(FALSE, FALSE, sizeof(Fault));
    faults->waiting = g_array_new(FALSE, FALSE, sizeof(Fault));
    return faults;
}

void smmuv3_faults_free(Smmuv3Faults *faults)
{
    if (!faults)
        return;
    g_array_unref(faults->unclaimed);
    g_array_unref(faults->waiting);
    g_free(faults);
}

void smmuv3_faults_restart(Smmuv3Faults *faults)
{
    faults->seen = viommu_smmuv3_read(faults->smmu, SMMU_EVENTQ_PROD, 4);
}

/* Take one that fits out of a list. */
static gboolean take(GArray *list, const Fault *fault)
{
    for (guint i = 0; i < list->len; i++) {
        const Fault *other = &g_array_index(list, Fault, i);

        if (other->sid != fault->sid ||
            (other->type != ANY_TYPE && fault->type != ANY_TYPE &&
             other->type != fault->type))
            continue;
        g_array_remove_index(list, i);
        return TRUE;
    }
    return FALSE;
}

static void keep(GArray *list, const Fault *fault)
{
    if (list->len == MAX_KEPT)
        g_array_remove_index(list, 0);
    g_array_append_val(list, *fault);
}

/* 3.5: read what the device has added to the guest's queue. */
void smmuv3_faults_collect(Smmuv3Faults *faults)
{
    guint64 base_register = viommu_smmuv3_read(faults->smmu, SMMU_EVENTQ_BASE, 8);
    guint32 prod = viommu_smmuv3_read(faults->smmu, SMMU_EVENTQ_PROD, 4);
    guint log2_size = MIN(base_register & 0x1f, 19);
    guint32 wrap_mask = (2u << log2_size) - 1;
    guint64 base =
        (base_register & 0xfffffffffffe0) & ~(((guint64)EVENT_BYTES << log2_size) - 1);

    for (guint32 at = faults->seen & wrap_mask; at != (prod & wrap_mask);
         at = (at + 1) & wrap_mask) {
        guint64 gpa = base + (guint64)(at & (wrap_mask >> 1)) * EVENT_BYTES;
        guint64 word = 0;
        Fault event = {0};

        if (!trace_memory_read_word(faults->memory, gpa, &word))
            break;
        event.sid = word >> 32;
        event.type = word & 0xff;
        if (take(faults->waiting, &event))
            faults->result->counts[TRACE_FAULTS_EQUAL]++;
        else
            keep(faults->unclaimed, &event);
    }
    faults->seen = prod;
}

void smmuv3_faults_discard(Smmuv3Faults *faults)
{
    smmuv3_faults_restart(faults);
}

static guint find_type(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_str_equal(types[i].name, name))
            return types[i].type;
    return ANY_TYPE;
}

/* "[type] [iova] [w]", as far as it goes: the type by name or number. */
static gboolean parse_text(const char *text, guint *ret_type, guint64 *ret_iova,
                           gboolean *ret_write)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    gboolean has_iova = FALSE;

    *ret_type = ANY_TYPE;
    for (guint i = 0; words[i]; i++) {
        guint64 number = 0;

        if (find_type(words[i])) {
            *ret_type = find_type(words[i]);
        } else if (g_ascii_string_to_unsigned(words[i], 16, 0, G_MAXUINT64, &number,
                                              NULL)) {
            if (i == 0 && number && number <= 0xff)
                *ret_type = number;
            else if (!has_iova)
                *ret_iova = number;
            else
                *ret_write = number & 1;
            has_iova |= *ret_type == ANY_TYPE || i > 0;
        }
    }
    return has_iova;
}

void smmuv3_faults_expect(Smmuv3Faults *faults, const TraceLine *line)
{
    Fault fault = {.sid = line->sid, .line = line->number};
    guint64 iova = 0;
    gboolean write = FALSE;
    gboolean has_iova = parse_text(line->text, &fault.type, &iova, &write);
    gboolean any_address = fault.type != ANY_TYPE && fault.type < F_TRANSLATION;

    if (take(faults->unclaimed, &fault)) {
        faults->result->counts[TRACE_FAULTS_EQUAL]++;
        return;
    }
    if (!has_iova && !any_address) {
        if (faults->waiting->len == MAX_KEPT)
            faults->result->counts[TRACE_FAULTS_EXCUSED]++;
        keep(faults->waiting, &fault);
        return;
    }
    /* First in the row, so that no older one that knows less takes its event. */
    g_array_prepend_val(faults->waiting, fault);
    faults->probe(line->sid, iova, write, faults->user_data);
    smmuv3_faults_collect(faults);
    if (!faults->waiting->len ||
        g_array_index(faults->waiting, Fault, 0).line != line->number)
        return;
    g_array_remove_index(faults->waiting, 0);
    trace_result_differ(faults->result, TRACE_FAULTS_DIFFER, line->number,
                        "F of stream 0x%x: no such event is recorded (%s)", line->sid,
                        line->text);
}

void smmuv3_faults_settle(Smmuv3Faults *faults)
{
    g_array_set_size(faults->unclaimed, 0);
    if (!faults->waiting->len)
        return;
    faults->result->counts[TRACE_FAULTS_EXCUSED] += faults->waiting->len;
    g_array_set_size(faults->waiting, 0);
    trace_result_excuse(
        faults->result,
        "faults that name no address, with no aborted DMA beside them: there "
        "is nothing to ask for");
}
