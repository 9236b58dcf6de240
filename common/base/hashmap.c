/* SPDX-License-Identifier: Apache-2.0 */
/* hashmap.c - chains of the callers' nodes behind a bucket array that doubles when there are more
 * nodes than buckets. The low word picks the bucket, so that a partition's keys, which share the
 * top bits of the high word, still spread. One thread. */
#include "base/hashmap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

#define BUCKETS_MIN 16

static struct bc_hashmap_node **bucket_of(const struct bc_hashmap *map, struct bc_hash128 hash)
{
    return &map->buckets[hash.low & (map->bucket_count - 1)];
}

int bc_hashmap_init(struct bc_hashmap *map, size_t capacity_hint)
{
    size_t bucket_count = BUCKETS_MIN;

    while (bucket_count < capacity_hint) {
        if (bucket_count > SIZE_MAX / 2 / sizeof(*map->buckets)) {
            return -ENOMEM;
        }
        bucket_count *= 2;
    }
    map->buckets = calloc(bucket_count, sizeof(*map->buckets));
    if (map->buckets == NULL) {
        return -ENOMEM;
    }
    map->bucket_count = bucket_count;
    map->count = 0;
    return 0;
}

void bc_hashmap_fini(struct bc_hashmap *map)
{
    free(map->buckets);
    *map = (struct bc_hashmap){0};
}

/* Twice the buckets: those of index i split into i and i + old count. Out of memory leaves all as
 * it is. */
static void grow(struct bc_hashmap *map)
{
    size_t old_count = map->bucket_count;
    struct bc_hashmap_node **old = map->buckets;
    struct bc_hashmap_node **buckets;

    if (old_count > SIZE_MAX / 2 / sizeof(*buckets)) {
        return;
    }
    buckets = calloc(old_count * 2, sizeof(*buckets));
    if (buckets == NULL) {
        return;
    }
    map->buckets = buckets;
    map->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        struct bc_hashmap_node *node = old[i];

        while (node != NULL) {
            struct bc_hashmap_node *next = node->next;
            struct bc_hashmap_node **bucket = bucket_of(map, node->hash);

            node->next = *bucket;
            *bucket = node;
            node = next;
        }
    }
    free(old);
}

void bc_hashmap_insert(struct bc_hashmap *map, struct bc_hashmap_node *node)
{
    struct bc_hashmap_node **bucket;

    if (map->count >= map->bucket_count) {
        grow(map);
    }
    bucket = bucket_of(map, node->hash);
    node->next = *bucket;
    *bucket = node;
    map->count++;
}

void bc_hashmap_remove(struct bc_hashmap *map, struct bc_hashmap_node *node)
{
    struct bc_hashmap_node **link = bucket_of(map, node->hash);

    while (*link != NULL && *link != node) {
        link = &(*link)->next;
    }
    BC_ASSERT(*link == node);
    *link = node->next;
    node->next = NULL;
    map->count--;
}

static struct bc_hashmap_node *first_equal(struct bc_hashmap_node *node, struct bc_hash128 hash)
{
    while (node != NULL && !bc_hash_equal(node->hash, hash)) {
        node = node->next;
    }
    return node;
}

struct bc_hashmap_node *bc_hashmap_find(const struct bc_hashmap *map, struct bc_hash128 hash)
{
    return first_equal(*bucket_of(map, hash), hash);
}

struct bc_hashmap_node *bc_hashmap_find_next(const struct bc_hashmap_node *node)
{
    return first_equal(node->next, node->hash);
}

void bc_hashmap_for_each(struct bc_hashmap *map,
                         void (*visit)(void *arg, struct bc_hashmap_node *node), void *arg)
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct bc_hashmap_node *node = map->buckets[i];

        while (node != NULL) {
            struct bc_hashmap_node *next = node->next;

            visit(arg, node);
            node = next;
        }
    }
}
