/* SPDX-License-Identifier: MIT */
/*
 * Recorded faults and those of the device.
 *
 * Invariant: no fault is both unclaimed and waited for; whatever comes is matched at once.
 *
 * Up: player.c. Down: how the vendor's device tells of faults.
 */
#include "faults.h"

/* Of each kind; a recording that leaves more of them behind is not told more by keeping
 * them.
 */
enum { MAX_KEPT = 1024 };
enum { PAGE_SHIFT = 12, MAX_TYPE = 0xff };

/* An F line that waits. */
typedef struct {
    TraceFault fault;
    guint64 line;
} Waiting;

struct TraceFaults {
    const TraceFaultsOps *ops;
    gpointer device;
    TraceResult *result;
    TraceFaultsProbe probe;
    gpointer user_data;
    GArray *unclaimed; /* of TraceFault: told by the device */
    GArray *waiting;   /* of Waiting */
};

TraceFaults *trace_faults_new(const TraceFaultsOps *ops, gpointer device,
                              TraceResult *result, TraceFaultsProbe probe,
                              gpointer user_data)
{
    TraceFaults *faults = g_new0(TraceFaults, 1);

    faults->ops = ops;
    faults->device = device;
    faults->result = result;
    faults->probe = probe;
    faults->user_data = user_data;
    faults->unclaimed = g_array_new(FALSE, FALSE, sizeof(TraceFault));
    faults->waiting = g_array_new(FALSE, FALSE, sizeof(Waiting));
    return faults;
}

void trace_faults_free(TraceFaults *faults)
{
    if (!faults)
        return;
    g_array_unref(faults->unclaimed);
    g_array_unref(faults->waiting);
    g_free(faults);
}

static const char *excuse_of(const TraceFaults *faults, const TraceFault *recorded,
                             const TraceFault *told)
{
    if (recorded->type == TRACE_FAULT_ANY || recorded->type == told->type ||
        !faults->ops->is_also)
        return NULL;
    return faults->ops->is_also(recorded->type, told->type);
}

static gboolean is_same(const TraceFaults *faults, const TraceFault *recorded,
                        const TraceFault *told)
{
    return recorded->sid == told->sid &&
           (recorded->type == TRACE_FAULT_ANY || recorded->type == told->type ||
            excuse_of(faults, recorded, told)) &&
           (!recorded->has_iova || !told->has_iova ||
            recorded->iova >> PAGE_SHIFT == told->iova >> PAGE_SHIFT);
}

static void count_match(TraceFaults *faults, const TraceFault *recorded,
                        const TraceFault *told)
{
    const char *why = excuse_of(faults, recorded, told);

    faults->result->counts[why ? TRACE_FAULTS_EXCUSED : TRACE_FAULTS_EQUAL]++;
    if (why)
        trace_result_excuse(faults->result, "faults of type %x, recorded as %x: %s",
                            told->type, recorded->type, why);
}

static gboolean take_unclaimed(TraceFaults *faults, const TraceFault *recorded)
{
    for (guint i = 0; i < faults->unclaimed->len; i++) {
        const TraceFault *told = &g_array_index(faults->unclaimed, TraceFault, i);

        if (!is_same(faults, recorded, told))
            continue;
        count_match(faults, recorded, told);
        g_array_remove_index(faults->unclaimed, i);
        return TRUE;
    }
    return FALSE;
}

static gboolean take_waiting(TraceFaults *faults, const TraceFault *told)
{
    for (guint i = 0; i < faults->waiting->len; i++) {
        const TraceFault *recorded = &g_array_index(faults->waiting, Waiting, i).fault;

        if (!is_same(faults, recorded, told))
            continue;
        count_match(faults, recorded, told);
        g_array_remove_index(faults->waiting, i);
        return TRUE;
    }
    return FALSE;
}

/* FALSE: the oldest had to go. */
static gboolean make_room(GArray *list)
{
    if (list->len < MAX_KEPT)
        return TRUE;
    g_array_remove_index(list, 0);
    return FALSE;
}

void trace_faults_told(TraceFaults *faults, const TraceFault *fault)
{
    if (take_waiting(faults, fault))
        return;
    make_room(faults->unclaimed);
    g_array_append_val(faults->unclaimed, *fault);
}

void trace_faults_collect(TraceFaults *faults)
{
    faults->ops->collect(faults, faults->device);
}

void trace_faults_discard(TraceFaults *faults)
{
    trace_faults_collect(faults);
    g_array_set_size(faults->unclaimed, 0);
}

/* --- F lines -----------------------------------------------------------------------------
 */

typedef struct {
    TraceFault fault;
    gboolean write;
    gboolean has_write; /* it says whether */
    /* What a bare number is. */
    enum { NEXT_TYPE, NEXT_IOVA, NEXT_WRITE, NEXT_OTHER } next;
} Text;

static gboolean parse_word(const TraceFaults *faults, const char *word, Text *text)
{
    static const struct {
        const char *word;
        guint next;
    } keys[] = {{"type", NEXT_TYPE},      {"reason", NEXT_TYPE}, {"fault", NEXT_TYPE},
                {"iova", NEXT_IOVA},      {"addr", NEXT_IOVA},   {"address", NEXT_IOVA},
                {"is_write", NEXT_WRITE}, {"write", NEXT_WRITE}, {"pasid", NEXT_OTHER}};
    guint type = faults->ops->find_type(word);

    if (type != TRACE_FAULT_ANY) {
        text->fault.type = type;
        text->next = NEXT_IOVA;
        return TRUE;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
        if (g_str_equal(keys[i].word, word)) {
            text->next = keys[i].next;
            return TRUE;
        }
    return FALSE;
}

static void parse_number(guint64 number, Text *text)
{
    gboolean can_be_type =
        number && number <= MAX_TYPE && text->fault.type == TRACE_FAULT_ANY;

    if (text->next == NEXT_OTHER) {
        text->next = text->fault.type == TRACE_FAULT_ANY ? NEXT_TYPE : NEXT_IOVA;
    } else if (can_be_type &&
               (text->next == NEXT_TYPE || (text->next == NEXT_WRITE && number > 1))) {
        text->fault.type = number;
        text->next = text->fault.has_iova ? NEXT_WRITE : NEXT_IOVA;
    } else if (text->next != NEXT_WRITE) {
        text->fault.iova = number;
        text->fault.has_iova = TRUE;
        text->next = NEXT_WRITE;
    } else {
        text->write = number & 1;
        text->has_write = TRUE;
    }
}

static void parse_text(const TraceFaults *faults, const char *line, Text *text)
{
    g_auto(GStrv) words = g_strsplit_set(line, " =:,", -1);

    for (guint i = 0; words[i]; i++) {
        const char *word = words[i];
        guint64 number = 0;

        if (parse_word(faults, word, text))
            continue;
        if (g_str_has_prefix(word, "0x"))
            word += 2;
        if (g_ascii_string_to_unsigned(word, 16, 0, G_MAXUINT64, &number, NULL))
            parse_number(number, text);
    }
    if (text->fault.type != TRACE_FAULT_ANY && faults->ops->is_of_write(text->fault.type))
        text->write = text->has_write = TRUE;
}

/* The same DMA was told of, for another reason. */
static gboolean is_told_otherwise(const TraceFaults *faults, const TraceFault *fault)
{
    for (guint i = 0; i < faults->unclaimed->len; i++) {
        const TraceFault *other = &g_array_index(faults->unclaimed, TraceFault, i);

        if (other->sid == fault->sid && fault->type != TRACE_FAULT_ANY &&
            other->type != fault->type)
            return TRUE;
    }
    return FALSE;
}

/* Asked for, and still there is none. */
static void judge_silence(TraceFaults *faults, const TraceLine *line,
                          const TraceFault *fault, const char *problem)
{
    gboolean excused = FALSE;
    const char *why = problem || is_told_otherwise(faults, fault)
                          ? NULL
                          : faults->ops->is_silent(fault, faults->device, &excused);

    if (!why) {
        trace_result_differ(faults->result, TRACE_FAULTS_DIFFER, line->number,
                            "F of device 0x%x: no such fault is told (%s)%s%s", line->sid,
                            line->text, problem ? "; " : "", problem ? problem : "");
        return;
    }
    faults->result->counts[excused ? TRACE_FAULTS_EXCUSED : TRACE_FAULTS_EQUAL]++;
    if (excused)
        trace_result_excuse(faults->result, "faults that are not told: %s", why);
}

static void ask(TraceFaults *faults, const TraceLine *line, const Text *text)
{
    const Waiting waiting = {text->fault, line->number};
    g_autofree char *problem = NULL;

    /* First in the row, so that no older one that knows less takes its fault. */
    g_array_prepend_val(faults->waiting, waiting);
    problem = faults->probe(line->sid, text->fault.iova, text->write, faults->user_data);
    if (problem && !text->has_write) {
        g_free(problem);
        problem = faults->probe(line->sid, text->fault.iova, TRUE, faults->user_data);
    }
    trace_faults_collect(faults);
    if (!faults->waiting->len ||
        g_array_index(faults->waiting, Waiting, 0).line != line->number)
        return;
    g_array_remove_index(faults->waiting, 0);
    judge_silence(faults, line, &text->fault, problem);
}

void trace_faults_expect(TraceFaults *faults, const TraceLine *line)
{
    Text text = {.fault.sid = line->sid};
    Waiting waiting;

    parse_text(faults, line->text, &text);
    if (take_unclaimed(faults, &text.fault))
        return;
    if (text.fault.has_iova || (text.fault.type != TRACE_FAULT_ANY &&
                                faults->ops->is_of_any_address(text.fault.type))) {
        ask(faults, line, &text);
        return;
    }
    waiting = (Waiting){text.fault, line->number};
    if (!make_room(faults->waiting))
        faults->result->counts[TRACE_FAULTS_EXCUSED]++;
    g_array_append_val(faults->waiting, waiting);
}

void trace_faults_settle(TraceFaults *faults)
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
