/* SPDX-License-Identifier: Apache-2.0 */
/* dram_object.c - the objects of `dram`: found, pinned, replaced, dropped when room is needed.
 * See dram.h for the invariants. Thread: the owner of the loop. */
#include "backend/dram.h"

#include <stddef.h>
#include <string.h>

#include "base/log.h"

void bc_dram_set_used(struct dram *dram, uint64_t used)
{
    dram->used = used;
    bc_counter_set(&dram->counters.used_bytes, (int64_t)used);
}

static void lru_add(struct dram *dram, struct dram_object *object)
{
    bc_list_push_back(&dram->lru, &object->lru_node);
    dram->evictable += object->cost;
}

static void lru_remove(struct dram *dram, struct dram_object *object)
{
    bc_list_remove(&dram->lru, &object->lru_node);
    dram->evictable -= object->cost;
}

void bc_dram_return_chain(struct dram *dram, struct dram_extent *first)
{
    struct dram_extent *next;
    uint64_t cost = 0;

    for (struct dram_extent *extent = first; extent != NULL; extent = next) {
        /* The record goes with the lease. */
        next = extent->next;
        cost += bc_dram_extent_cost(extent);
        bc_staging_return(dram->staging, extent->lease);
    }
    dram->leased -= cost;
    bc_dram_set_used(dram, dram->used - cost);
    bc_ready_signal(&dram->ready);
}

void bc_dram_detach(struct dram *dram, struct dram_object *object)
{
    BC_ASSERT(object->indexed);
    object->indexed = false;
    bc_hashmap_remove(&dram->index, &object->node);
    bc_dram_member_leave(dram, object);
    bc_counter_add(&dram->counters.objects, -1);
    if (object->pins == 0) {
        lru_remove(dram, object);
        bc_dram_return_chain(dram, object->first);
    }
}

void bc_dram_drop(struct dram *dram, struct dram_object *object)
{
    struct dram_member *member = object->member;

    if (member != NULL) {
        bc_groups_remove(&dram->groups, &member->group);
        object->member = NULL;
    }
    bc_dram_detach(dram, object);
    if (member != NULL) {
        bc_dram_group_drop_all(dram, member);
    }
}

void bc_dram_pin(struct dram *dram, struct dram_object *object)
{
    if (object->pins++ == 0) {
        lru_remove(dram, object);
    }
}

void bc_dram_unpin(struct dram *dram, struct dram_object *object)
{
    BC_ASSERT(object->pins > 0);
    if (--object->pins > 0) {
        return;
    }
    if (object->indexed) {
        lru_add(dram, object);
        bc_ready_signal(&dram->ready);
    } else {
        bc_dram_return_chain(dram, object->first);
    }
}

/* Records were last touched long ago. The next victim's is fetched while other work is done. */
static void prefetch_record(const struct bc_list_node *node)
{
    if (node != NULL) {
        const struct dram_object *object = BC_CONTAINER_OF(node, struct dram_object, lru_node);

        __builtin_prefetch(object);
        __builtin_prefetch(&object->pins);
        __builtin_prefetch((const uint8_t *)object - BC_DRAM_OBJECT_AT);
    }
}

bool bc_dram_evict_one(struct dram *dram)
{
    struct bc_list_node *node = bc_list_first(&dram->lru);

    if (node == NULL) {
        return false;
    }
    bc_dram_drop(dram, BC_CONTAINER_OF(node, struct dram_object, lru_node));
    prefetch_record(bc_list_first(&dram->lru));
    bc_counter_add(&dram->counters.evictions, 1);
    return true;
}

bool bc_dram_make_room(struct dram *dram, uint64_t need)
{
    if (dram->used - dram->evictable + need > dram->capacity) {
        return false;
    }
    while (dram->used + need > dram->capacity) {
        bool evicted = bc_dram_evict_one(dram);

        BC_ASSERT(evicted);
    }
    return true;
}

struct dram_object *bc_dram_find(const struct dram *dram, const struct bc_object_key *key)
{
    struct bc_hashmap_node *node = bc_hashmap_find(&dram->index, key->hash);

    for (; node != NULL; node = bc_hashmap_find_next(node)) {
        struct dram_object *object = BC_CONTAINER_OF(node, struct dram_object, node);

        if (object->tenant == key->tenant && object->key_len == key->key_len &&
            memcmp(object->key, key->key, key->key_len) == 0) {
            return object;
        }
    }
    return NULL;
}

/* So that any offset is found in few steps, however many extents there are. */
static void fill_directory(struct dram_object *object)
{
    uint32_t index = 0;
    uint64_t end = 0;

    object->directory_step =
        (object->extent_count + BC_DRAM_DIRECTORY_MAX - 1) / BC_DRAM_DIRECTORY_MAX;
    for (struct dram_extent *extent = object->first; extent != NULL; extent = extent->next) {
        BC_ASSERT(extent->offset == end);
        end += extent->len;
        if (index % object->directory_step == 0) {
            object->directory[index / object->directory_step] = extent;
            object->directory_block[index / object->directory_step] =
                (uint32_t)(extent->offset / BC_CRC_BLOCK_SIZE);
        }
        index++;
    }
    BC_ASSERT(end == object->size && index == object->extent_count);
}

static bool holds(const struct dram_extent *extent, uint64_t offset)
{
    return extent != NULL && offset >= extent->offset && offset - extent->offset < extent->len;
}

struct dram_extent *bc_dram_extent_at(struct dram_object *object, uint64_t offset,
                                      struct dram_extent *hint)
{
    uint32_t low = 0;
    uint32_t high = (object->extent_count + object->directory_step - 1) / object->directory_step;
    struct dram_extent *extent;

    if (holds(hint, offset)) {
        return hint;
    }
    if (hint != NULL && holds(hint->next, offset)) {
        return hint->next;
    }
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (object->directory_block[middle] <= offset / BC_CRC_BLOCK_SIZE) {
            low = middle;
        } else {
            high = middle;
        }
    }
    extent = object->directory[low];
    while (!holds(extent, offset)) {
        extent = extent->next;
        BC_ASSERT(extent != NULL);
    }
    return extent;
}

void bc_dram_publish(struct dram *dram, struct dram_put *put)
{
    struct bc_object_key key = {
        .tenant = put->tenant, .key_len = put->key_len, .key = put->key, .hash = put->node.hash};
    struct dram_object *old = bc_dram_find(dram, &key);
    struct dram_object *object =
        (struct dram_object *)(void *)((uint8_t *)put->first + BC_DRAM_OBJECT_AT);

    if (old != NULL) {
        bc_dram_detach(dram, old);
    }
    memset(object, 0, offsetof(struct dram_object, key));
    object->node.hash = key.hash;
    object->size = put->size;
    object->version = ++dram->last_version;
    object->cost = put->cost;
    object->first = put->first;
    object->tenant = put->tenant;
    object->key_len = put->key_len;
    object->extent_count = put->extent_count;
    object->indexed = true;
    memcpy(object->meta, put->meta, sizeof(object->meta));
    memcpy(object->key, put->key, put->key_len);
    fill_directory(object);
    bc_hashmap_insert(&dram->index, &object->node);
    bc_dram_member_join(dram, object, put->member);
    put->member = NULL;
    lru_add(dram, object);
    bc_counter_add(&dram->counters.objects, 1);
    bc_counter_add(&dram->counters.put_bytes, (int64_t)put->size);
}
