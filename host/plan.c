/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - see plan.h. */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "dma_transfer.h"
#include "proto/proto.h"
#include "request.h"

/* ---- keys ---------------------------------------------------------------------------------- */

struct key_table {
    uint32_t *slots; /* key index + 1; 0: free */
    size_t mask;
};

static int table_init(struct key_table *table, uint32_t count)
{
    size_t size = 4;

    while (size < (size_t)count * 2) {
        size *= 2;
    }
    table->mask = size - 1;
    table->slots = calloc(size, sizeof(table->slots[0]));
    return table->slots == NULL ? -ENOMEM : 0;
}

static bool same_key(const struct bc_plan_key *key, const struct bc_entry *entry)
{
    return key->len == entry->key_len && memcmp(key->data, entry->key, entry->key_len) == 0;
}

/* Index of the entry's key, which is added when it is new. Bounded: the table is never more than
 * half full. Most requests name each key once, or name it in a row. */
static uint32_t find_or_add(struct bc_plan *plan, struct key_table *table,
                            const struct bc_entry *entry)
{
    struct bc_plan_key *key;
    size_t at;

    if (plan->key_count > 0 && same_key(&plan->keys[plan->key_count - 1], entry)) {
        return plan->key_count - 1;
    }
    at = bc_hash_key(0, entry->key, entry->key_len).low & table->mask;
    while (table->slots[at] != 0) {
        if (same_key(&plan->keys[table->slots[at] - 1], entry)) {
            return table->slots[at] - 1;
        }
        at = (at + 1) & table->mask;
    }
    table->slots[at] = plan->key_count + 1;
    key = &plan->keys[plan->key_count];
    *key = (struct bc_plan_key){
        .data = entry->key, .len = (uint32_t)entry->key_len, .group = entry->group};
    return plan->key_count++;
}

/* The keys point to the caller's bytes so far. */
static int copy_keys(struct bc_plan *plan)
{
    size_t total = 0;
    uint8_t *at;

    for (uint32_t i = 0; i < plan->key_count; i++) {
        total += plan->keys[i].len;
    }
    plan->key_bytes = malloc(total + 1);
    if (plan->key_bytes == NULL) {
        return -ENOMEM;
    }
    at = plan->key_bytes;
    for (uint32_t i = 0; i < plan->key_count; i++) {
        memcpy(at, plan->keys[i].data, plan->keys[i].len);
        plan->keys[i].data = at;
        at += plan->keys[i].len;
    }
    return 0;
}

int bc_plan_init(struct bc_plan *plan, const struct bc_entry *entries, uint32_t count,
                 uint32_t *key_of)
{
    struct key_table table;
    int rc = table_init(&table, count);

    memset(plan, 0, sizeof(*plan));
    plan->keys = calloc(count, sizeof(plan->keys[0]));
    plan->order = calloc(count, sizeof(plan->order[0]));
    if (rc != 0 || plan->keys == NULL || plan->order == NULL) {
        rc = -ENOMEM;
        goto out;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct bc_entry *entry = &entries[i];
        struct bc_plan_key *key;

        key_of[i] = BC_KEY_NONE;
        if (entry->key_len == 0 || entry->key_len > BC_KEY_LEN_MAX) {
            continue;
        }
        key_of[i] = find_or_add(plan, &table, entry);
        key = &plan->keys[key_of[i]];
        key->entries++;
        key->object_size = bc_max_u64(key->object_size, entry->object_offset + entry->length);
    }
    rc = copy_keys(plan);

out:
    free(table.slots);
    if (rc != 0) {
        bc_plan_fini(plan);
    }
    return rc;
}

void bc_plan_fini(struct bc_plan *plan)
{
    free(plan->keys);
    free(plan->key_bytes);
    free(plan->order);
    free(plan->parts);
    memset(plan, 0, sizeof(*plan));
}

/* ---- parts --------------------------------------------------------------------------------- */

struct cut {
    uint32_t part;
    uint32_t entries;
    uint32_t keys;
    size_t key_bytes;
    uint64_t bounce_len;
    bool groups;
};

static bool fits(const struct cut *cut, const struct bc_plan_key *key,
                 const struct bc_plan_limits *limits)
{
    uint32_t keys = cut->keys + 1;
    bool groups = limits->groups && (cut->groups || key->group != 0);

    return cut->entries + (uint64_t)key->entries <= limits->entries_max &&
           keys <= limits->entries_max &&
           (cut->keys == 0 || key->bounce_len == 0 ||
            cut->bounce_len + key->bounce_len <= limits->bounce_max) &&
           (!groups || keys <= BC_GROUP_KEYS_MAX) &&
           bc_transfer_body_len(cut->entries + key->entries, keys, cut->key_bytes + key->len,
                                groups ? bc_tlv_group_len(keys) : 0) <= limits->body_max;
}

/* Gives every key its part. Returns the number of parts, or -EINVAL. */
static int64_t assign_parts(struct bc_plan *plan, const struct bc_plan_limits *limits)
{
    struct cut cut = {0};

    for (uint32_t i = 0; i < plan->key_count; i++) {
        struct bc_plan_key *key = &plan->keys[i];

        if (cut.keys > 0 && !fits(&cut, key, limits)) {
            cut = (struct cut){.part = cut.part + 1};
        }
        if (!fits(&cut, key, limits)) {
            return -EINVAL;
        }
        key->part = cut.part;
        cut.entries += key->entries;
        cut.keys++;
        cut.key_bytes += key->len;
        cut.bounce_len += key->bounce_len;
        cut.groups = cut.groups || key->group != 0;
    }
    return plan->key_count == 0 ? 0 : (int64_t)cut.part + 1;
}

static void describe_parts(struct bc_plan *plan, struct bc_request *request, bool groups)
{
    uint32_t first = 0;

    for (uint32_t i = 0; i < plan->key_count; i++) {
        const struct bc_plan_key *key = &plan->keys[i];
        struct bc_part *part = &plan->parts[key->part];

        if (part->key_count++ == 0) {
            part->request = request;
            part->key_first = i;
        }
        part->count += key->entries;
        part->body_len += key->len;                 /* of the keys alone so far */
        part->tlv_len += groups && key->group != 0; /* whether there are any so far */
    }
    for (uint32_t i = 0; i < plan->part_count; i++) {
        struct bc_part *part = &plan->parts[i];

        part->first = first;
        first += part->count;
        part->tlv_len = part->tlv_len > 0 ? bc_tlv_group_len(part->key_count) : 0;
        part->body_len =
            bc_transfer_body_len(part->count, part->key_count, part->body_len, part->tlv_len);
    }
}

/* `named` counts what is placed already, and is zeroed for its own use. */
static void order_entries(struct bc_plan *plan, struct bc_request *request)
{
    for (uint32_t i = 0; i < request->entry_count; i++) {
        struct bc_request_entry *entry = &request->entries[i];
        struct bc_part *part;

        if (entry->key == BC_KEY_NONE) {
            continue;
        }
        part = &plan->parts[plan->keys[entry->key].part];
        plan->order[part->first + part->named++] = i;
        part->bytes += entry->length;
        if (entry->bounced) {
            entry->bounce_at = part->bounce.len;
            part->bounce.len += bc_bounce_need(entry->length);
        }
    }
    for (uint32_t i = 0; i < plan->part_count; i++) {
        plan->parts[i].named = 0;
    }
}

int bc_plan_cut(struct bc_plan *plan, struct bc_request *request,
                const struct bc_plan_limits *limits)
{
    int64_t count = assign_parts(plan, limits);
    struct bc_part *parts;

    if (count < 0) {
        return (int)count;
    }
    parts = calloc((size_t)count + 1, sizeof(*parts));
    if (parts == NULL) {
        return -ENOMEM;
    }
    free(plan->parts);
    plan->parts = parts;
    plan->part_count = (uint32_t)count;
    describe_parts(plan, request, limits->groups);
    order_entries(plan, request);
    return 0;
}
