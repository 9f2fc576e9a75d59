/* SPDX-License-Identifier: MIT */
/*
 * The page request queue (VT-d 7.4, 11.4.11): the host's page requests, into guest memory.
 *
 * A group goes in whole or not at all. One that finds no room is answered with "success",
 * so that the device asks again, and PRO says so; while PRO is set all are answered so.
 *
 * Up the path: the VMM (handle_events), waits with drain. Down: the accel layer, guest
 * memory.
 */

#include "vunit.h"

/* Read at once, mostly more than a group has; and reads of one call, with others to come. */
enum { N_REQUESTS = 1024, MAX_REQUESTS = 1 << 16, MAX_READS = 64 };

static guint n_places(const ViommuiVtdRegisters *regs)
{
    return (4096u << viommui_field_get(regs->pqa, PQA_PQS)) / PREQ_SIZE;
}

/* One place stays empty, or a full queue would look like an empty one. */
static guint n_free(const ViommuiVtdRegisters *regs)
{
    guint n = n_places(regs);

    return (guint)(regs->pqh / PREQ_SIZE + n - regs->pqt / PREQ_SIZE - 1) % n;
}

static void set_status(ViommuVtd *vtd, ViommuiField status)
{
    if (viommui_field_get(vtd->regs.prs, status))
        return;
    g_mutex_lock(&vtd->event_lock);
    vtd->regs.prs |= viommui_field_mask(status);
    viommui_vtd_raise_event(vtd, VIOMMUI_VTD_PAGE_REQUEST_EVENT);
    g_mutex_unlock(&vtd->event_lock);
}

static void make_descriptor(const ViommuVtdPageRequest *request, guint64 ret_words[4])
{
    guint64 word0 = viommui_field_set(0, PREQ0_TYPE, PREQ_TYPE_PAGE_REQUEST);
    guint64 word1 = request->address & viommui_field_mask(PREQ1_ADDR);

    word0 = viommui_field_set(word0, PREQ0_SID, request->requester_id);
    word0 = viommui_field_set(word0, PREQ0_PASID_P, request->has_pasid);
    word0 = viommui_field_set(word0, PREQ0_PASID, request->has_pasid ? request->pasid : 0);
    word0 = viommui_field_set(word0, PREQ0_EXE, request->execute);
    word0 = viommui_field_set(word0, PREQ0_PRIV, request->privileged);
    word1 = viommui_field_set(word1, PREQ1_READ, request->read);
    word1 = viommui_field_set(word1, PREQ1_WRITE, request->write);
    word1 = viommui_field_set(word1, PREQ1_LPIG, request->last);
    word1 = viommui_field_set(word1, PREQ1_PRGI, request->group);
    ret_words[0] = GUINT64_TO_LE(word0);
    ret_words[1] = GUINT64_TO_LE(word1);
    ret_words[2] = ret_words[3] = 0;
}

static gboolean put(ViommuVtd *vtd, const ViommuVtdPageRequest *group, guint n)
{
    const ViommuServices *services = &vtd->config.services;
    ViommuiVtdRegisters *regs = &vtd->regs;
    guint64 base = regs->pqa & viommui_field_mask(PQA_PQA), tail = regs->pqt;

    for (guint i = 0; i < n; i++) {
        guint64 words[4];

        make_descriptor(&group[i], words);
        if (!services->write_memory(base + tail, words, sizeof words, services->user_data))
            return FALSE;
        tail = (tail + PREQ_SIZE) % ((guint64)n_places(regs) * PREQ_SIZE);
    }
    regs->pqt = tail;
    return TRUE;
}

static void take_group(ViommuVtd *vtd, const ViommuVtdPageRequest *group, guint n)
{
    const ViommuVtdPageRequest *last = &group[n - 1];
    ViommuiVtdRegisters *regs = &vtd->regs;

    if (!viommui_field_get(regs->prs, PRS_PRO) && n <= n_free(regs) && put(vtd, group, n)) {
        set_status(vtd, PRS_PPR);
        return;
    }
    set_status(vtd, PRS_PRO);
    viommu_vtd_accel_respond(vtd->accel, last->requester_id, last->has_pasid, last->pasid,
                             last->group, TRUE);
}

static void take_groups(ViommuVtd *vtd, const ViommuVtdPageRequest *requests, gsize n)
{
    gsize start = 0;

    for (gsize i = 0; i < n; i++) {
        if (!requests[i].last)
            continue;
        take_group(vtd, requests + start, (guint)(i + 1 - start));
        start = i + 1;
    }
}

void viommui_vtd_move_page_requests(ViommuVtd *vtd)
{
    g_autofree ViommuVtdPageRequest *requests = NULL;
    gsize room = N_REQUESTS, n = 1;

    if (!viommui_field_get(vtd->regs.ecap, ECAP_PRS))
        return;
    requests = g_new(ViommuVtdPageRequest, room);
    /* What is left keeps the descriptor readable, and comes with the next call. */
    for (guint i = 0; i < MAX_READS && n; i++) {
        ViommuResult result =
            viommu_vtd_accel_read_page_requests(vtd->accel, requests, room, &n);

        take_groups(vtd, requests, n);
        if (result == VIOMMU_TRANSIENT && room < MAX_REQUESTS) {
            room *= 2;
            requests = g_renew(ViommuVtdPageRequest, requests, room);
            n = 1;
        }
    }
}

void viommu_vtd_handle_events(ViommuVtd *vtd)
{
    viommui_vtd_move_page_requests(vtd);
    viommui_vtd_deliver_interrupts(vtd);
}

void viommu_vtd_quiesce(ViommuVtd *vtd)
{
    viommui_vtd_move_page_requests(vtd);
    viommui_vtd_answer_requests(vtd->accel);
    viommui_vtd_deliver_interrupts(vtd);
}
