/* SPDX-License-Identifier: Apache-2.0 */
/* hashmap.c - chains of the callers' nodes behind a bucket array that doubles when it is half full.
 * The low word's low bits pick the bucket and its top bits the class, so that a partition's keys,
 * which share the top bits of the high word, still spread. One thread. */
#include "base/hashmap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

#define BUCKETS_MIN 16

static size_t index_of(const struct bc_hashmap *map, struct bc_hash128 hash)
{
    return hash.low & (map->bucket_count - 1);
}

static uint8_t class_of(struct bc_hash128 hash)
{
    return (uint8_t)(1u << (hash.low >> 61));
}

static int alloc_buckets(struct bc_hashmap *map, size_t bucket_count)
{
    struct bc_hashmap_node **buckets = calloc(bucket_count, sizeof(*buckets));
    uint8_t *classes = calloc(bucket_count, sizeof(*classes));

    if (buckets == NULL || classes == NULL) {
        free(buckets);
        free(classes);
        return -ENOMEM;
    }
    map->buckets = buckets;
    map->classes = classes;
    map->bucket_count = bucket_count;
    return 0;
}

int bc_hashmap_init(struct bc_hashmap *map, size_t capacity_hint)
{
    size_t bucket_count = BUCKETS_MIN;

    while (bucket_count / 2 < capacity_hint) {
        if (bucket_count > SIZE_MAX / 2 / sizeof(*map->buckets)) {
            return -ENOMEM;
        }
        bucket_count *= 2;
    }
    map->count = 0;
    return alloc_buckets(map, bucket_count);
}

void bc_hashmap_fini(struct bc_hashmap *map)
{
    free(map->buckets);
    free(map->classes);
    *map = (struct bc_hashmap){0};
}

static void link_node(struct bc_hashmap *map, struct bc_hashmap_node *node)
{
    size_t index = index_of(map, node->hash);

    node->next = map->buckets[index];
    map->buckets[index] = node;
    map->classes[index] |= class_of(node->hash);
}

/* Twice the buckets: those of index i split into i and i + old count. Out of memory leaves all as
 * it is. */
static void grow(struct bc_hashmap *map)
{
    struct bc_hashmap old = *map;

    if (old.bucket_count > SIZE_MAX / 2 / sizeof(*map->buckets) ||
        alloc_buckets(map, old.bucket_count * 2) != 0) {
        return;
    }
    for (size_t i = 0; i < old.bucket_count; i++) {
        struct bc_hashmap_node *node = old.buckets[i];

        while (node != NULL) {
            struct bc_hashmap_node *next = node->next;

            link_node(map, node);
            node = next;
        }
    }
    free(old.buckets);
    free(old.classes);
}

void bc_hashmap_insert(struct bc_hashmap *map, struct bc_hashmap_node *node)
{
    if (map->count >= map->bucket_count / 2) {
        grow(map);
    }
    link_node(map, node);
    map->count++;
}

void bc_hashmap_remove(struct bc_hashmap *map, struct bc_hashmap_node *node)
{
    size_t index = index_of(map, node->hash);
    struct bc_hashmap_node **link = &map->buckets[index];

    while (*link != NULL && *link != node) {
        link = &(*link)->next;
    }
    BC_ASSERT(*link == node);
    *link = node->next;
    node->next = NULL;
    map->count--;
    if (map->buckets[index] == NULL) {
        map->classes[index] = 0;
    }
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
    size_t index = index_of(map, hash);

    if ((map->classes[index] & class_of(hash)) == 0) {
        return NULL;
    }
    return first_equal(map->buckets[index], hash);
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
