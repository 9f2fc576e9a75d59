/* SPDX-License-Identifier: MIT */
#include "shadow-model.h"

void model_init(Model *model)
{
    *model = (Model){.is_hot = TRUE};
    for (guint d = 0; d < MODEL_DOMAINS; d++)
        for (guint p = 0; p < MODEL_PAGES; p++)
            model->pages[d][p].n = 1;
}

gboolean model_can_set(const Model *model, guint domain, guint first, guint n)
{
    for (guint p = first; p < first + n; p++)
        if (model->pages[domain][p].n == MODEL_STATES)
            return FALSE;
    return TRUE;
}

void model_set(Model *model, guint domain, guint page, View view)
{
    ModelPage *self = &model->pages[domain][page];

    self->now = view;
    self->since[self->n++] = view;
}

void model_flush(Model *model, guint domain, guint first, guint last)
{
    for (guint p = first; p <= last && p < MODEL_PAGES; p++) {
        ModelPage *page = &model->pages[domain][p];

        page->since[0] = page->now;
        page->n = 1;
    }
}

void model_flush_all(Model *model)
{
    for (guint d = 0; d < MODEL_DOMAINS; d++)
        model_flush(model, d, 0, MODEL_PAGES - 1);
}

gboolean model_is_stale(const Model *model, guint domain)
{
    for (guint p = 0; p < MODEL_PAGES; p++)
        if (model->pages[domain][p].n > 1)
            return TRUE;
    return FALSE;
}

View model_grant(const Model *model, View view)
{
    if (!view.rights ||
        (!model->is_hot && view.gpa >= model->hot_first && view.gpa <= model->hot_last))
        return (View){0};
    if (model->reads_what_it_writes)
        view.rights |= VIOMMU_MAP_READ;
    return view;
}

gboolean model_allows(const Model *model, guint domain, guint page, View seen)
{
    const ModelPage *self = &model->pages[domain][page];

    for (guint i = 0; i < self->n; i++)
        if (view_is_within(seen, model_grant(model, self->since[i])))
            return TRUE;
    return FALSE;
}
