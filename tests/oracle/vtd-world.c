/* SPDX-License-Identifier: MIT */
/*
 * The random guest of the VT-d oracle: its tables, and what it changes in them.
 *
 * Invariants: the model is told of every change as it is made. Addresses of tables and
 * entries are found once: nothing that is taken out of the tables is lost.
 *
 * Up: test-vtd-device-oracle.c. Down: vtd-orders.c, vtd-model.c, the machine of
 * tests/support.
 */
#include "vtd-orders.h"

#include <stdio.h>
#include <string.h>

#include <viommu-emulator/inspect.h>

enum { P = 1, FPD = 2, BLOCK_SIZE = 0x200000, SM_CONTEXT_WORDS = 4 };

const guint16 world_rids[RIDS] = {VTDM_RID,      VTDM_RID + 8,      VTDM_RID + 16,
                                  VTDM_ENDPOINT, VTDM_ENDPOINT + 1, VTDM_ENDPOINT + 0x88};
/* The last one is in another table of the directory. */
const guint32 world_pasids[PASIDS] = {0, 1, 2, 65};

guint world_pick(World *w, guint n)
{
    return g_rand_int_range(w->random, 0, (gint32)n);
}

gboolean world_one_in(World *w, guint n)
{
    return world_pick(w, n) == 0;
}

void world_fail(World *w, const char *format, ...)
{
    va_list args;

    if (w->wrong)
        return;
    va_start(args, format);
    w->wrong = g_strdup_vprintf(format, args);
    va_end(args);
}

/* Nothing is allocated: what is noted happens as it does when it is not. */
void world_note(World *w, const char *format, ...)
{
    va_list args;

    if (!w->verbose)
        return;
    va_start(args, format);
    fputs("# ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

guint64 world_iova(const World *w, guint page)
{
    return w->data + (guint64)page * GUEST_PAGE;
}

guint16 world_did(int did)
{
    return did == NOBODY ? 0 : (guint16)(0x11 + did * 0x101);
}

gboolean world_is_legacy(const World *w)
{
    return w->root >= FIRST_LEGACY_ROOT;
}

/* --- pages ------------------------------------------------------------------------------
 */

static guint64 rights(guint table, gboolean writable)
{
    if (table < FIRST_TABLES)
        return P | GUEST_FS_US | (writable ? GUEST_FS_RW : 0);
    return GUEST_SS_R | (writable ? GUEST_SS_W : 0);
}

void world_change_page(World *w)
{
    guint t = world_pick(w, world_one_in(w, 8) ? TABLES : FIRST_TABLES),
          p = world_pick(w, PAGES);
    guint to = world_pick(w, PAGES), how = world_pick(w, 24);
    guint64 word = world_iova(w, to) | rights(t, how > 1);
    guint32 state = how > 1 ? TO_PAGE(to) : READ_ONLY(to);

    if (w->region[t][p / REGION_PAGES])
        return;
    w->last_page = p;
    if (how >= 22) {
        word = 0;
        state = TO_NOWHERE;
    } else if (how == 21) {
        word = VTDM_NOWHERE | rights(t, TRUE);
        state = TO_OUTSIDE;
    }
    world_note(w, "page %u of table %u: 0x%x", p, t, state);
    vtdm_store(&w->vm, w->page_at[t][p], word);
    model_set_page(&w->model, t, p, state);
    if (w->tidy) {
        Model next = orders_expected(w);

        orders_tell_of_pages(w, &next, t, p);
        orders_tell_of_spaces(w, &next);
    }
}

/* A region becomes one block that maps it to itself; or a table again. */
void world_change_region(World *w)
{
    guint t = world_pick(w, TABLES), i = world_pick(w, REGIONS);
    guint64 at = w->region_at[t][i], base = world_iova(w, i * REGION_PAGES);
    gboolean writable = !world_one_in(w, 4);
    guint32 to[REGION_PAGES];

    if (w->region[t][i]) {
        vtdm_store(&w->vm, at, w->region[t][i]);
        w->region[t][i] = 0;
        memcpy(to, &w->hidden[t][i * REGION_PAGES], sizeof to);
    } else {
        w->region[t][i] = vtdm_load(&w->vm, at);
        vtdm_store(&w->vm, at,
                   base - base % BLOCK_SIZE + (rights(t, writable) | GUEST_FS_PS));
        memcpy(&w->hidden[t][i * REGION_PAGES], &w->model.page[t][i * REGION_PAGES],
               sizeof to);
        for (guint p = 0; p < REGION_PAGES; p++)
            to[p] =
                writable ? TO_PAGE(i * REGION_PAGES + p) : READ_ONLY(i * REGION_PAGES + p);
    }
    world_note(w, "region %u of table %u: %s", i, t, w->region[t][i] ? "block" : "table");
    model_set_region(&w->model, t, i, to);
    orders_tell_of_change(w);
}

/* --- PASID table entries ----------------------------------------------------------------
 */

static void make_bad_entry(World *w, guint64 *words)
{
    switch (world_pick(w, 6)) {
    case 0:
        words[0] = P | GUEST_VTD_PGTT(5 + world_pick(w, 3));
        break;
    case 1:
        words[0] = P; /* PGTT 0 */
        break;
    case 2:
        words[0] = P | GUEST_VTD_PGTT(GUEST_PGTT_NESTED);
        break;
    case 3:
        words[0] |= BIT64(10);
        break;
    case 4:
        words[2] |= BIT64(50); /* beyond any address */
        break;
    default:
        words[2] |= BIT64(1); /* ERE */
        break;
    }
}

/*
 * A first stage, in one of the forms that mean the same to requests without privilege. For
 * a group they make a difference: there, to change the form would be to change the entry.
 */
static void make_first(World *w, guint64 *words, guint table, guint16 did)
{
    guint form = w->is_grouped ? did + 5 * table : world_pick(w, 64);
    GuestVtdDomain domain = w->tables[table];

    domain.did = did;
    guest_vtd_pasid_table(words, &domain);
    if (form % 8 == 0 && vtdm_ecap(&w->vm, VTDM_ECAP_SRS, 1))
        words[2] |= BIT64(0) | (form % 16 ? BIT64(4) /* WPE */ : 0);
    if (form % 7 == 0 && vtdm_ecap(&w->vm, VTDM_ECAP_EAFS, 1))
        words[2] |= BIT64(7);
}

static void make_entry(World *w, guint64 *words, guint entry)
{
    guint16 did = world_did(model_entry_did(entry));
    GuestVtdDomain domain;

    if (entry >= ENTRY_FIRST) {
        make_first(w, words, (entry - ENTRY_FIRST) % FIRST_TABLES, did);
    } else if (entry >= ENTRY_SECOND) {
        domain = w->tables[FIRST_TABLES + (entry - ENTRY_SECOND) % SECOND_TABLES];
        domain.did = did;
        guest_vtd_pasid_table(words, &domain);
    } else if (entry >= ENTRY_PASS) {
        guest_vtd_pasid_pass_through(words, did, vtdm_aw(&w->vm));
    } else {
        make_first(w, words, world_pick(w, FIRST_TABLES), world_did(0));
        if (entry == ENTRY_BAD)
            make_bad_entry(w, words);
        else
            words[0] &= ~(guint64)P;
    }
}

static void write_entry(World *w, guint dir, guint pasid, guint entry)
{
    guint64 words[GUEST_VTD_PASID_WORDS] = {0};
    guint64 at = w->entry_at[dir][pasid];

    make_entry(w, words, entry);
    w->entry_fpd[dir][pasid] = world_one_in(w, 16);
    if (w->entry_fpd[dir][pasid])
        words[0] |= FPD;
    vtdm_store(&w->vm, at, 0);
    for (guint i = GUEST_VTD_PASID_WORDS; i-- > 0;)
        vtdm_store(&w->vm, at + 8 * i, words[i]);
    w->entries[dir][pasid] = entry;
    world_note(w, "entry %u of directory %u: %u (domain %d)", pasid, dir, entry,
               model_entry_did(entry));
    if (!w->is_short[dir] || pasid != PASIDS - 1)
        model_set_entry(&w->model, dir, pasid, entry);
}

static guint pick_entry(World *w, guint pasid)
{
    guint did = world_pick(w, DIDS), how = world_pick(w, 32);
    guint first = w->tidy ? w->first_of[did][pasid] : world_pick(w, FIRST_TABLES);
    guint second = w->tidy ? w->second_of[did] : world_pick(w, SECOND_TABLES);

    if (how < 2)
        return how ? ENTRY_NONE : ENTRY_BAD;
    if (how < 4)
        return ENTRY_PASS + did;
    if (how < 5)
        return ENTRY_SECOND + did * SECOND_TABLES + second;
    return ENTRY_FIRST + did * FIRST_TABLES + first;
}

void world_change_entry(World *w)
{
    guint dir = world_pick(w, DIRS), pasid = world_pick(w, PASIDS);

    write_entry(w, dir, pasid, pick_entry(w, pasid));
    orders_tell_of_change(w);
}

static void switch_directory(World *w, guint dir)
{
    guint last = PASIDS - 1;
    guint64 at = w->directories[dir] + 8 * (world_pasids[last] >> 6);
    guint64 table = w->entry_at[dir][last] & ~0xfffull;

    w->is_short[dir] = !w->is_short[dir];
    world_note(w, "directory %u: short %d", dir, w->is_short[dir]);
    vtdm_store(&w->vm, at, w->is_short[dir] ? 0 : table | P);
    model_set_entry(&w->model, dir, last,
                    w->is_short[dir] ? ENTRY_NONE : w->entries[dir][last]);
    orders_tell_of_change(w);
}

void world_change_directory(World *w)
{
    switch_directory(w, world_pick(w, DIRS));
}

/* --- context entries --------------------------------------------------------------------
 */

static void make_scalable_context(World *w, guint64 *words, guint context)
{
    guint n = context >= CONTEXT_DIR ? context - CONTEXT_DIR : 2;

    guest_vtd_context_pasids(words, w->directories[n / 4], 0, n & 2, world_pasids[n & 1]);
    if (context == CONTEXT_NONE)
        words[0] &= ~(guint64)P;
    else if (context == CONTEXT_BAD)
        words[world_pick(w, 2)] |= BIT64(51); /* beyond any address; reserved */
}

static void make_legacy_context(World *w, guint64 *words, guint context)
{
    GuestVtdDomain domain =
        w->tables[FIRST_TABLES + (context >= CONTEXT_SECOND
                                      ? (context - CONTEXT_SECOND) % SECOND_TABLES
                                      : 0)];

    domain.did = world_did(context >= CONTEXT_PASS ? model_context_did(context) : 0);
    if (context >= CONTEXT_PASS && context < CONTEXT_SECOND)
        guest_vtd_context_pass_through(words, domain.did, vtdm_aw(&w->vm));
    else
        guest_vtd_context_table(words, &domain);
    if (context == CONTEXT_NONE)
        words[0] &= ~(guint64)P;
    else if (context == CONTEXT_BAD)
        words[0] |= world_one_in(w, 2) ? 3 << 2 /* TT */ : BIT64(5);
}

static guint bus_of(guint rid)
{
    return rid < FIRST_ENDPOINT ? 0 : 1;
}

static void write_context(World *w, guint root, guint rid, guint context)
{
    guint64 at = w->context_at[root][rid], words[SM_CONTEXT_WORDS] = {0};
    gboolean legacy = root >= FIRST_LEGACY_ROOT;

    if (legacy)
        make_legacy_context(w, words, context);
    else
        make_scalable_context(w, words, context);
    w->context_fpd[root][rid] = world_one_in(w, 20);
    if (w->context_fpd[root][rid])
        words[0] |= FPD;
    for (guint i = legacy ? 2 : SM_CONTEXT_WORDS; i-- > 0;)
        vtdm_store(&w->vm, at + 8 * i, words[i]);
    w->contexts[root][rid] = context;
    world_note(w, "context %u of root %u: %u", rid, root, context);
    if (root == w->root && !w->unlinked[root][bus_of(rid)])
        model_set_context(&w->model, rid, context);
}

static guint pick_context(World *w, guint root)
{
    guint how = world_pick(w, 32), did = world_pick(w, DIDS);
    guint second = w->tidy ? w->second_of[did] : world_pick(w, SECOND_TABLES);

    if (how < 2)
        return how ? CONTEXT_NONE : CONTEXT_BAD;
    if (root < FIRST_LEGACY_ROOT)
        return CONTEXT_DIR + 4 * world_pick(w, DIRS) + (world_one_in(w, 4) ? 0 : 2) +
               world_one_in(w, 4);
    if (how < 15)
        return CONTEXT_PASS + did;
    return CONTEXT_SECOND + did * SECOND_TABLES + second;
}

void world_change_context(World *w)
{
    write_context(w, w->root, world_pick(w, RIDS), pick_context(w, w->root));
    orders_tell_of_change(w);
}

static void switch_bus(World *w, guint bus)
{
    guint root = w->root;
    guint number = world_rids[bus ? FIRST_ENDPOINT : 0] >> 8;
    guint64 at = w->roots[root] + 16 * number;
    gboolean unlinked = !w->unlinked[root][bus];

    world_note(w, "bus %u of root %u: %s", bus, root, unlinked ? "gone" : "back");
    w->unlinked[root][bus] = unlinked;
    for (guint i = 0; i < 2; i++)
        vtdm_store(&w->vm, at + 8 * i, unlinked ? 0 : w->links[root][bus][i]);
    for (guint r = 0; r < RIDS; r++)
        if (bus_of(r) == bus)
            model_set_context(&w->model, r, unlinked ? CONTEXT_NONE : w->contexts[root][r]);
    orders_tell_of_change(w);
}

void world_change_bus(World *w)
{
    switch_bus(w, world_pick(w, BUSES));
}

void world_restore_tables(World *w)
{
    for (guint bus = 0; bus < BUSES; bus++)
        if (w->unlinked[w->root][bus] && world_one_in(w, 40))
            switch_bus(w, bus);
    for (guint d = 0; d < DIRS; d++)
        if (w->is_short[d] && world_one_in(w, 200))
            switch_directory(w, d);
}

/* --- domains of a tidy guest ------------------------------------------------------------
 */

static void replace_first(World *w, guint did, guint pasid, guint table)
{
    guint old = ENTRY_FIRST + did * FIRST_TABLES + w->first_of[did][pasid];

    w->first_of[did][pasid] = table;
    for (guint d = 0; d < DIRS; d++)
        if (w->entries[d][pasid] == old)
            write_entry(w, d, pasid, ENTRY_FIRST + did * FIRST_TABLES + table);
}

static void replace_second(World *w, guint did, guint table)
{
    guint at = did * SECOND_TABLES, old = at + w->second_of[did];

    w->second_of[did] = table;
    for (guint d = 0; d < DIRS; d++)
        for (guint p = 0; p < PASIDS; p++)
            if (w->entries[d][p] == ENTRY_SECOND + old)
                write_entry(w, d, p, ENTRY_SECOND + at + table);
    for (guint root = FIRST_LEGACY_ROOT; root < ROOTS; root++)
        for (guint r = 0; r < RIDS; r++)
            if (w->contexts[root][r] == CONTEXT_SECOND + old)
                write_context(w, root, r, CONTEXT_SECOND + at + table);
}

void world_change_domain(World *w)
{
    guint did = world_pick(w, DIDS);

    if (world_one_in(w, 6))
        replace_second(w, did, world_pick(w, SECOND_TABLES));
    else
        replace_first(w, did, world_pick(w, PASIDS), world_pick(w, FIRST_TABLES));
    orders_tell_of_change(w);
}

gboolean world_is_quiet(const World *w, guint rid)
{
    guint context = w->contexts[w->root][rid];
    gboolean quiet = w->context_fpd[w->root][rid];

    if (world_is_legacy(w) || context < CONTEXT_DIR)
        return quiet;
    for (guint p = 0; p < PASIDS; p++)
        quiet = quiet || w->entry_fpd[(context - CONTEXT_DIR) / 4][p];
    return quiet;
}

/* --- registers --------------------------------------------------------------------------
 */

void world_stop(World *w)
{
    world_note(w, "translation off");
    vtdm_command(&w->vm, VTDM_TE, FALSE);
    w->model.enabled = FALSE;
}

static void use_root(World *w, guint root)
{
    w->root = root;
    for (guint r = 0; r < RIDS; r++)
        model_set_context(&w->model, r,
                          w->unlinked[root][bus_of(r)] ? CONTEXT_NONE
                                                       : w->contexts[root][r]);
}

void world_start(World *w, guint root)
{
    VtdmMode mode = root < FIRST_LEGACY_ROOT ? VTDM_SCALABLE : VTDM_LEGACY;

    world_note(w, "translation on, root %u", root);
    w->vm.mode = mode;
    w->vm.root = w->roots[root];
    vtdm_start(&w->vm, mode);
    /* All that was known went with what a driver does first. */
    use_root(w, root);
    g_array_set_size(w->pending, 0);
    model_forget_all(&w->model);
    w->model.enabled = TRUE;
}

void world_set_root(World *w, guint root)
{
    world_note(w, "root %u", root);
    vtdm_set_root(&w->vm, w->vm.mode, w->roots[root]);
    use_root(w, root);
    orders_tell_of_change(w);
}

/* --- its life ---------------------------------------------------------------------------
 */

/* Different units, and devices behind them, each time. */
static void make_target(World *w)
{
    ViommuEmulatorVtdConfig units[3];
    ViommuEmulatorDeviceConfig devices[HOSTS] = {0};
    gboolean ats = world_one_in(w, 2);

    for (guint i = 0; i < G_N_ELEMENTS(units); i++)
        viommu_emulator_vtd_defaults(&units[i]);
    units[2].cap &= ~BIT64(VTDM_CAP_FS1GP);
    for (guint i = 0; i < HOSTS; i++)
        devices[i] = (ViommuEmulatorDeviceConfig){.iommu = world_pick(w, 3),
                                                  .iommu_group = -1,
                                                  .pasid_bits = world_one_in(w, 4) ? 0 : 8,
                                                  .ats = ats || world_one_in(w, 3)};
    w->is_grouped = world_one_in(w, 3);
    if (w->is_grouped) {
        devices[HOSTS - 1].iommu = devices[0].iommu;
        devices[HOSTS - 1].iommu_group = devices[0].iommu_group = 7;
    }
    target_init_vtd(&w->target, units, G_N_ELEMENTS(units), devices, HOSTS);
}

static void lay_out_tables(World *w)
{
    VtdMachine *vm = &w->vm;

    for (guint t = 0; t < TABLES; t++) {
        GuestVtdDomain *table = &w->tables[t];

        guest_vtd_domain_init(table, &vm->ram,
                              t < FIRST_TABLES ? GUEST_VTD_FIRST : GUEST_VTD_SECOND, 4, 0);
        for (guint p = 0; p < PAGES; p++)
            w->page_at[t][p] = guest_vtd_entry_at(table, world_iova(w, p), 1);
        for (guint i = 0; i < REGIONS; i++)
            w->region_at[t][i] =
                guest_vtd_entry_at(table, world_iova(w, i * REGION_PAGES), 2);
    }
}

/* Data pages in two regions, at the end of one and the beginning of the next. */
static void lay_out_data(World *w)
{
    VtdMachine *vm = &w->vm;

    w->data = vm->ram.next_free | (BLOCK_SIZE - 1);
    w->data = w->data + 1 - REGION_PAGES * GUEST_PAGE;
    for (guint p = 0; p < PAGES; p++)
        vtdm_store(vm, world_iova(w, p) + 8, ~world_iova(w, p));
}

static void lay_out_directories(World *w)
{
    VtdMachine *vm = &w->vm;

    for (guint d = 0; d < DIRS; d++) {
        w->directories[d] = vtdm_alloc(vm, GUEST_PAGE);
        for (guint p = 0; p < PASIDS; p++) {
            guint64 at = w->directories[d] + 8 * (world_pasids[p] >> 6);

            if (!vtdm_load(vm, at))
                vtdm_store(vm, at, vtdm_alloc(vm, GUEST_PAGE) | P);
            w->entry_at[d][p] =
                (vtdm_load(vm, at) & ~0xfffull) + 64 * (world_pasids[p] & 0x3f);
        }
    }
}

static void lay_out_roots(World *w)
{
    VtdMachine *vm = &w->vm;

    for (guint i = 0; i < ROOTS; i++) {
        vm->mode = i < FIRST_LEGACY_ROOT ? VTDM_SCALABLE : VTDM_LEGACY;
        vm->root = w->roots[i] = vtdm_alloc(vm, GUEST_PAGE);
        for (guint r = 0; r < RIDS; r++)
            w->context_at[i][r] = vtdm_context_at(vm, world_rids[r]);
        for (guint bus = 0; bus < BUSES; bus++)
            for (guint half = 0; half < 2; half++)
                w->links[i][bus][half] = vtdm_load(
                    vm,
                    vm->root + 16 * (world_rids[bus ? FIRST_ENDPOINT : 0] >> 8) + 8 * half);
    }
}

/* Something everywhere. */
static void fill(World *w)
{
    for (guint did = 0; did < DIDS; did++) {
        w->second_of[did] = did % SECOND_TABLES;
        for (guint p = 0; p < PASIDS; p++)
            w->first_of[did][p] = world_pick(w, FIRST_TABLES);
    }
    for (guint d = 0; d < DIRS; d++)
        for (guint p = 0; p < PASIDS; p++)
            write_entry(w, d, p, pick_entry(w, p));
    for (guint root = 0; root < ROOTS; root++)
        for (guint r = 0; r < RIDS; r++)
            write_context(w, root, r, pick_context(w, root));
    for (guint i = 0; i < 3 * TABLES * PAGES; i++)
        world_change_page(w);
    g_array_set_size(w->pending, 0);
}

gboolean world_init(World *w, GRand *random, gboolean tidy)
{
    const ViommuServices services = {0};
    ViommuVtdConfig config = VIOMMU_VTD_CONFIG_INIT(services);

    *w = (World){
        .random = random, .tidy = tidy, .verbose = g_getenv("VIOMMU_VERBOSE") != NULL};
    config.second_stage = VIOMMU_ON;
    /* What is shadowed has an oracle of its own. */
    config.caching_mode = VIOMMU_OFF;
    config.fault_records = 8;
    w->pending = g_array_new(FALSE, FALSE, sizeof(Order));
    make_target(w);
    if (!vtdm_init(&w->vm, &w->target, w->target.bdfs, &config))
        return FALSE;
    lay_out_data(w);
    lay_out_tables(w);
    lay_out_directories(w);
    lay_out_roots(w);
    model_init(&w->model);
    fill(w);
    return TRUE;
}

/* What is still there when the library has let go of all. */
static const char *find_left(World *w)
{
    for (guint kind = 0; kind < VIOMMU_EMULATOR_N_OBJECTS; kind++)
        if (viommu_emulator_count_objects(w->target.emulator, kind))
            return viommu_emulator_object_name(kind);
    return NULL;
}

char *world_clear(World *w)
{
    const char *left;

    vtdm_clear(&w->vm);
    left = find_left(w);
    if (left)
        world_fail(w, "the host keeps a %s", left);
    target_clear(&w->target);
    g_array_unref(w->pending);
    return w->wrong;
}
