/* SPDX-License-Identifier: MIT */
/*
 * The IOTLB of the software walk.
 *
 * It is cut into shards by what an entry covers, {address, order}, whatever its space; each
 * has a lock, slots made once, and chained hashes over them: by what is covered and by whom
 * (lookups), by what is covered alone (invalidation in all spaces), by whom alone (of a
 * space), and one chain of all. So nothing is allocated after the IOTLB is made, and a page
 * costs a look into one chain, for each order that is in use, whoever has it.
 *
 * A guest may queue any number of invalidations that remove nothing. What one of them looks
 * at in vain is therefore bounded, by a few looks for each and some for each insert since;
 * when these are spent, what would have to be looked at goes unseen. What is removed was
 * inserted, and so paid for.
 *
 * Invariants: a slot is either free or in all of its chains. `in_use` has a bit for
 * each order of which there is an entry; bits fall only within an invalidation, which runs
 * alone, so that a lookup never misses an entry for a bit that was not yet set by an insert
 * that has returned.
 *
 * "last" is inclusive. Up the path: the vendors' translate. Down: nothing.
 */

#include "core/iotlb.h"

#include <string.h>

enum { ORDERS = 64, MAX_SHARDS = 64, SLOTS_PER_SHARD = 64 };

/* Looks in vain that an invalidation has, and that each insert adds for those to come. */
enum { FREE_LOOKS = 256, LOOKS_PER_INSERT = 16 };

#define NO_SLOT G_MAXUINT32

/* What hash an entry is chained in; IN_ALL has one bucket. */
enum { BY_OWNER, BY_COVER, BY_SPACE, IN_ALL, N_CHAINS };

typedef struct {
    ViommuiIotlbEntry entry;
    guint64 space; /* 0 where global */
    guint32 next[N_CHAINS];
    guint32 previous[N_CHAINS]; /* NO_SLOT: the first of its bucket */
} Slot;

typedef struct {
    GRWLock lock;
    Slot *slots;
    guint32 *buckets[N_CHAINS];
    guint32 n_used;
    guint32 top;        /* no slot from here on was ever used */
    guint32 hand;       /* the next to go when full */
    guint32 free;       /* chained by next[BY_OWNER] */
    guint32 n_inserted; /* not yet in saved_looks; saturating */
} Shard;

struct ViommuiIotlb {
    guint n_shards;          /* a power of two */
    guint32 slots_per_shard; /* and buckets: the next power of two */
    guint32 bucket_mask[N_CHAINS];
    guint64 saved_looks; /* of invalidations only, as is: */
    guint64 n_looks;
    guint64 in_use[2];          /* orders; global ones apart. Atomic */
    gint n_by_order[2][ORDERS]; /* atomic */
    Shard shards[];
};

/* --- chains -----------------------------------------------------------------------------
 */

static guint64 mix(guint64 value)
{
    value *= 0x9e3779b97f4a7c15u;
    return value ^ value >> 32;
}

static guint64 hash_cover(guint64 address, guint order)
{
    return mix((address >> order) + ((guint64)order << 56));
}

static guint64 first_byte(guint64 address, guint order)
{
    return address >> order << order;
}

static Shard *find_shard(ViommuiIotlb *iotlb, guint64 cover)
{
    return &iotlb->shards[(cover >> 40) & (iotlb->n_shards - 1)];
}

static guint32 *find_bucket(const ViommuiIotlb *iotlb, const Shard *shard, guint chain,
                            guint64 cover, guint64 space, gboolean global)
{
    guint64 owner = space * 2 + !!global;
    guint64 hash = cover;

    if (chain == BY_OWNER)
        hash = mix(cover ^ owner);
    else if (chain == BY_SPACE)
        hash = mix(owner);
    return &shard->buckets[chain][hash & iotlb->bucket_mask[chain]];
}

static guint32 *bucket_of(const ViommuiIotlb *iotlb, const Shard *shard, guint chain,
                          const Slot *slot)
{
    return find_bucket(iotlb, shard, chain,
                       hash_cover(slot->entry.input, slot->entry.order), slot->space,
                       slot->entry.global);
}

static void link_slot(const ViommuiIotlb *iotlb, Shard *shard, guint32 n)
{
    Slot *slot = &shard->slots[n];

    for (guint chain = 0; chain < N_CHAINS; chain++) {
        guint32 *bucket = bucket_of(iotlb, shard, chain, slot);

        slot->previous[chain] = NO_SLOT;
        slot->next[chain] = *bucket;
        if (*bucket != NO_SLOT)
            shard->slots[*bucket].previous[chain] = n;
        *bucket = n;
    }
    shard->n_used++;
}

static void unlink_slot(const ViommuiIotlb *iotlb, Shard *shard, guint32 n)
{
    Slot *slot = &shard->slots[n];

    for (guint chain = 0; chain < N_CHAINS; chain++) {
        if (slot->next[chain] != NO_SLOT)
            shard->slots[slot->next[chain]].previous[chain] = slot->previous[chain];
        if (slot->previous[chain] != NO_SLOT)
            shard->slots[slot->previous[chain]].next[chain] = slot->next[chain];
        else
            *bucket_of(iotlb, shard, chain, slot) = slot->next[chain];
    }
    shard->n_used--;
}

static Slot *find(const ViommuiIotlb *iotlb, const Shard *shard, guint64 cover,
                  guint64 space, gboolean global, guint64 address, guint order)
{
    guint64 input = first_byte(address, order);
    guint32 n = *find_bucket(iotlb, shard, BY_OWNER, cover, space, global);

    while (n != NO_SLOT) {
        Slot *slot = &shard->slots[n];

        if (slot->entry.input == input && slot->entry.order == order &&
            slot->space == space && slot->entry.global == global)
            return slot;
        n = slot->next[BY_OWNER];
    }
    return NULL;
}

/* --- life -------------------------------------------------------------------------------
 */

static guint32 round_up_to_power(guint32 n)
{
    guint32 power = 1;

    while (power < n && power < 1u << 31)
        power <<= 1;
    return power;
}

static void empty_shard(const ViommuiIotlb *iotlb, Shard *shard)
{
    for (guint chain = 0; chain < N_CHAINS; chain++)
        for (guint32 i = 0; i <= iotlb->bucket_mask[chain]; i++)
            shard->buckets[chain][i] = NO_SLOT;
    shard->n_used = shard->top = shard->hand = 0;
    shard->free = NO_SLOT;
}

ViommuiIotlb *viommui_iotlb_new(guint max_entries)
{
    ViommuiIotlb *iotlb;
    guint n_shards = MAX_SHARDS;

    while (n_shards > 1 && max_entries / n_shards < SLOTS_PER_SHARD)
        n_shards /= 2;
    iotlb = g_malloc0(sizeof *iotlb + n_shards * sizeof(Shard));
    iotlb->n_shards = n_shards;
    iotlb->slots_per_shard = MAX(max_entries / n_shards, 1);
    for (guint chain = 0; chain < N_CHAINS; chain++)
        if (chain != IN_ALL)
            iotlb->bucket_mask[chain] = round_up_to_power(iotlb->slots_per_shard) - 1;
    for (guint i = 0; i < n_shards; i++) {
        Shard *shard = &iotlb->shards[i];

        g_rw_lock_init(&shard->lock);
        shard->slots = g_new(Slot, iotlb->slots_per_shard);
        for (guint chain = 0; chain < N_CHAINS; chain++)
            shard->buckets[chain] = g_new(guint32, iotlb->bucket_mask[chain] + 1);
        empty_shard(iotlb, shard);
    }
    return iotlb;
}

void viommui_iotlb_free(ViommuiIotlb *iotlb)
{
    if (!iotlb)
        return;
    for (guint i = 0; i < iotlb->n_shards; i++) {
        Shard *shard = &iotlb->shards[i];

        g_rw_lock_clear(&shard->lock);
        g_free(shard->slots);
        for (guint chain = 0; chain < N_CHAINS; chain++)
            g_free(shard->buckets[chain]);
    }
    g_free(iotlb);
}

/* --- lookup and insert ------------------------------------------------------------------
 */

static gboolean look(ViommuiIotlb *iotlb, guint64 space, gboolean global, guint64 address,
                     guint order, ViommuiIotlbEntry *ret_entry)
{
    guint64 cover = hash_cover(address, order);
    Shard *shard = find_shard(iotlb, cover);
    const Slot *slot;

    g_rw_lock_reader_lock(&shard->lock);
    slot = find(iotlb, shard, cover, space, global, address, order);
    if (slot)
        *ret_entry = slot->entry;
    g_rw_lock_reader_unlock(&shard->lock);
    return slot != NULL;
}

gboolean viommui_iotlb_lookup(ViommuiIotlb *iotlb, guint64 space, guint64 address,
                              ViommuiIotlbEntry *ret_entry)
{
    for (int global = 0; global <= 1; global++) {
        guint64 orders = __atomic_load_n(&iotlb->in_use[global], __ATOMIC_ACQUIRE);

        for (; orders; orders &= orders - 1)
            if (look(iotlb, global ? 0 : space, global, address,
                     (guint)__builtin_ctzll(orders), ret_entry))
                return TRUE;
    }
    return FALSE;
}

static void count(ViommuiIotlb *iotlb, const ViommuiIotlbEntry *entry, int by)
{
    g_atomic_int_add(&iotlb->n_by_order[entry->global][entry->order], by);
}

/* A slot that is free, if need be by dropping what is under the hand. */
static guint32 take_slot(ViommuiIotlb *iotlb, Shard *shard)
{
    guint32 n = shard->free;

    if (n != NO_SLOT) {
        shard->free = shard->slots[n].next[BY_OWNER];
        return n;
    }
    if (shard->top < iotlb->slots_per_shard)
        return shard->top++;
    n = shard->hand;
    shard->hand = (n + 1) % iotlb->slots_per_shard;
    count(iotlb, &shard->slots[n].entry, -1);
    unlink_slot(iotlb, shard, n);
    return n;
}

void viommui_iotlb_insert(ViommuiIotlb *iotlb, guint64 space,
                          const ViommuiIotlbEntry *entry)
{
    gboolean global = !!entry->global;
    guint64 cover = hash_cover(entry->input, entry->order);
    Shard *shard = find_shard(iotlb, cover);
    guint64 owner = global ? 0 : space;
    Slot *slot;

    if (entry->order >= ORDERS)
        return;
    g_rw_lock_writer_lock(&shard->lock);
    slot = find(iotlb, shard, cover, owner, global, entry->input, entry->order);
    if (slot) {
        slot->entry = *entry;
        slot->entry.global = global;
    } else {
        guint32 n = take_slot(iotlb, shard);

        slot = &shard->slots[n];
        slot->entry = *entry;
        slot->entry.global = global;
        slot->space = owner;
        link_slot(iotlb, shard, n);
        count(iotlb, &slot->entry, 1);
        shard->n_inserted += shard->n_inserted < G_MAXUINT32;
        __atomic_fetch_or(&iotlb->in_use[global], 1ull << entry->order, __ATOMIC_RELEASE);
    }
    g_rw_lock_writer_unlock(&shard->lock);
}

/* --- invalidation: alone ----------------------------------------------------------------
 */

static void drop(ViommuiIotlb *iotlb, Shard *shard, guint32 n)
{
    Slot *slot = &shard->slots[n];

    count(iotlb, &slot->entry, -1);
    unlink_slot(iotlb, shard, n);
    slot->next[BY_OWNER] = shard->free;
    shard->free = n;
}

static guint64 count_entries(ViommuiIotlb *iotlb)
{
    guint64 n = 0;

    for (int global = 0; global <= 1; global++)
        for (guint64 orders = iotlb->in_use[global]; orders; orders &= orders - 1)
            n += (guint)g_atomic_int_get(
                &iotlb->n_by_order[global][__builtin_ctzll(orders)]);
    return n;
}

static void settle_orders(ViommuiIotlb *iotlb)
{
    for (int global = 0; global <= 1; global++)
        for (guint64 orders = iotlb->in_use[global]; orders; orders &= orders - 1) {
            guint order = (guint)__builtin_ctzll(orders);

            if (!g_atomic_int_get(&iotlb->n_by_order[global][order]))
                iotlb->in_use[global] &= ~(1ull << order);
        }
}

void viommui_iotlb_invalidate_all(ViommuiIotlb *iotlb)
{
    for (guint i = 0; i < iotlb->n_shards; i++)
        if (iotlb->shards[i].n_used)
            empty_shard(iotlb, &iotlb->shards[i]);
    memset(iotlb->n_by_order, 0, sizeof iotlb->n_by_order);
    memset(iotlb->in_use, 0, sizeof iotlb->in_use);
}

/* What goes; `match` where there is one, else by space and range. */
typedef struct {
    gboolean (*match)(guint64 space, void *user_data);
    void *user_data;
    guint64 space;
    gboolean any_space;
    gboolean spare_global;
    guint64 first;
    guint64 last;
    guint free_looks;
    gboolean blunt; /* hit whatever is met */
} Target;

static gboolean is_hit(const Target *target, const Slot *slot)
{
    const ViommuiIotlbEntry *entry = &slot->entry;
    guint64 last = entry->input | ((1ull << entry->order) - 1);

    if (target->blunt)
        return TRUE;
    if (entry->global ? target->spare_global
                      : !target->any_space && slot->space != target->space)
        return FALSE;
    if (target->match)
        return target->match(slot->space, target->user_data);
    return entry->input <= target->last && last >= target->first;
}

/* Bounded, so that a long peace does not pay for a long stall. */
static void save_looks(ViommuiIotlb *iotlb)
{
    guint64 most = (guint64)iotlb->n_shards * iotlb->slots_per_shard * LOOKS_PER_INSERT;

    for (guint i = 0; i < iotlb->n_shards; i++) {
        iotlb->saved_looks += (guint64)iotlb->shards[i].n_inserted * LOOKS_PER_INSERT;
        iotlb->shards[i].n_inserted = 0;
    }
    iotlb->saved_looks = MIN(iotlb->saved_looks, most);
}

/* One look in vain. FALSE: there were enough of them. */
static gboolean spend_look(ViommuiIotlb *iotlb, Target *target)
{
    if (target->free_looks) {
        target->free_looks--;
        return TRUE;
    }
    if (!iotlb->saved_looks)
        return FALSE;
    iotlb->saved_looks--;
    return TRUE;
}

/* What is hit in a chain. FALSE: looks were spent before its end. */
static gboolean drop_chain(ViommuiIotlb *iotlb, Target *target, Shard *shard,
                           const guint32 *bucket, guint chain)
{
    guint32 n = *bucket;

    while (n != NO_SLOT) {
        const Slot *slot = &shard->slots[n];
        guint32 next = slot->next[chain];

        iotlb->n_looks++;
        if (is_hit(target, slot))
            drop(iotlb, shard, n);
        else if (!spend_look(iotlb, target))
            return FALSE;
        n = next;
    }
    return TRUE;
}

/* A space's entries, or the global ones, or all there are; blunt when looks are spent. */
static void sweep_chain(ViommuiIotlb *iotlb, Target *target, guint chain, guint64 space,
                        gboolean global)
{
    for (guint i = 0; i < iotlb->n_shards; i++) {
        Shard *shard = &iotlb->shards[i];
        const guint32 *bucket = find_bucket(iotlb, shard, chain, 0, space, global);

        if (!shard->n_used || drop_chain(iotlb, target, shard, bucket, chain))
            continue;
        target->blunt = TRUE;
        drop_chain(iotlb, target, shard, bucket, chain);
    }
}

/* Look at every entry that may be meant. */
static void sweep(ViommuiIotlb *iotlb, Target *target)
{
    target->free_looks = FREE_LOOKS;
    save_looks(iotlb);
    if (target->any_space) {
        sweep_chain(iotlb, target, IN_ALL, 0, FALSE);
    } else {
        if (iotlb->in_use[FALSE])
            sweep_chain(iotlb, target, BY_SPACE, target->space, FALSE);
        if (iotlb->in_use[TRUE] && !target->spare_global)
            sweep_chain(iotlb, target, BY_SPACE, 0, TRUE);
    }
    settle_orders(iotlb);
}

void viommui_iotlb_invalidate_space(ViommuiIotlb *iotlb, guint64 space)
{
    Target target = {.space = space, .spare_global = TRUE, .last = G_MAXUINT64};

    sweep(iotlb, &target);
}

void viommui_iotlb_invalidate_if(ViommuiIotlb *iotlb,
                                 gboolean (*match)(guint64 space, void *user_data),
                                 void *user_data)
{
    Target target = {
        .match = match, .user_data = user_data, .any_space = TRUE, .spare_global = TRUE};

    sweep(iotlb, &target);
}

/* One page or block: of all spaces, or of the space and the global one. */
static gboolean drop_place(ViommuiIotlb *iotlb, Target *target, guint64 address,
                           guint order)
{
    guint64 cover = hash_cover(address, order);
    Shard *shard = find_shard(iotlb, cover);

    iotlb->n_looks++;
    if (!spend_look(iotlb, target))
        return FALSE;
    if (target->any_space)
        return drop_chain(iotlb, target, shard,
                          find_bucket(iotlb, shard, BY_COVER, cover, 0, FALSE), BY_COVER);
    for (int global = 0; global <= 1; global++) {
        const guint32 *bucket =
            find_bucket(iotlb, shard, BY_OWNER, cover, global ? 0 : target->space, global);

        if (iotlb->in_use[global] >> order & 1 &&
            !drop_chain(iotlb, target, shard, bucket, BY_OWNER))
            return FALSE;
    }
    return TRUE;
}

/* Places to look at, when each page and block of the range is looked for; saturating. */
static guint64 count_places(const ViommuiIotlb *iotlb, guint64 first, guint64 last)
{
    guint64 orders = iotlb->in_use[0] | iotlb->in_use[1];
    guint64 n = 0;

    for (; orders; orders &= orders - 1) {
        guint order = (guint)__builtin_ctzll(orders);
        guint64 places = (last >> order) - (first >> order);

        if (n + places < n || n + places == G_MAXUINT64)
            return G_MAXUINT64;
        n += places + 1;
    }
    return n;
}

/* FALSE: looks are spent, and places may be left. */
static gboolean drop_places(ViommuiIotlb *iotlb, Target *target, guint order)
{
    guint64 n = (target->last >> order) - (target->first >> order) + 1;
    guint64 address = first_byte(target->first, order);

    for (; n; n--, address += 1ull << order)
        if (!drop_place(iotlb, target, address, order))
            return FALSE;
    return TRUE;
}

/* Whether looking place by place is less than a sweep, and can be done to the end. */
static gboolean is_small(ViommuiIotlb *iotlb, guint64 n_places)
{
    if (n_places > count_entries(iotlb) + ORDERS)
        return FALSE;
    if (n_places > FREE_LOOKS / 2)
        save_looks(iotlb);
    return n_places <= FREE_LOOKS / 2 + iotlb->saved_looks / 2;
}

void viommui_iotlb_invalidate_range(ViommuiIotlb *iotlb, guint64 space, gboolean any_space,
                                    guint64 first, guint64 last)
{
    Target target = {.space = space,
                     .any_space = any_space,
                     .first = first,
                     .last = last,
                     .free_looks = FREE_LOOKS};
    guint64 orders = iotlb->in_use[0] | iotlb->in_use[1];

    if (!orders || first > last)
        return;
    if (!is_small(iotlb, count_places(iotlb, first, last))) {
        sweep(iotlb, &target);
        return;
    }
    for (; orders; orders &= orders - 1)
        if (!drop_places(iotlb, &target, (guint)__builtin_ctzll(orders))) {
            sweep(iotlb, &target);
            return;
        }
    settle_orders(iotlb);
}

guint64 viommui_iotlb_count_looks(const ViommuiIotlb *iotlb)
{
    return iotlb->n_looks;
}
