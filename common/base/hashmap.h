/* SPDX-License-Identifier: Apache-2.0 */
/* hashmap.h - intrusive chained hash table keyed by bc_hash128; the caller compares full keys.
 * Nodes often lie far apart in memory that no cache holds, so a byte for each bucket says which of
 * eight classes of hashes may be in it: looking for what is not there touches no node.
 * The arrays grow by doubling (amortised, the only allocation); nodes belong to the caller.
 * One thread. */
#ifndef BC_BASE_HASHMAP_H
#define BC_BASE_HASHMAP_H

#include "base/hash.h"

BC_EXTERN_C_BEGIN

struct bc_hashmap_node {
    struct bc_hashmap_node *next;
    struct bc_hash128 hash;
};

struct bc_hashmap {
    struct bc_hashmap_node **buckets; /* a node is in buckets[hash.low & (bucket_count - 1)] */
    uint8_t *classes;                 /* of each bucket: a bit for each class, maybe too many */
    size_t bucket_count;              /* power of two, twice the nodes or more; only doubles */
    size_t count;
};

/* -ENOMEM. `capacity_hint` nodes fit before the first growth. */
BC_MUST_USE int bc_hashmap_init(struct bc_hashmap *map, size_t capacity_hint);
void bc_hashmap_fini(struct bc_hashmap *map); /* frees the buckets, not the nodes */

/* node->hash must be set. Never fails: when growing fails, chains get longer. Duplicates are the
 * caller's business. */
void bc_hashmap_insert(struct bc_hashmap *map, struct bc_hashmap_node *node);
/* The node must be in the map (asserted). */
void bc_hashmap_remove(struct bc_hashmap *map, struct bc_hashmap_node *node);
/* First node with this hash, or NULL; bc_hashmap_find_next goes on in the same chain. */
struct bc_hashmap_node *bc_hashmap_find(const struct bc_hashmap *map, struct bc_hash128 hash);
struct bc_hashmap_node *bc_hashmap_find_next(const struct bc_hashmap_node *node);

/* Visits every node; `visit` may remove the node it is given, nothing else. */
void bc_hashmap_for_each(struct bc_hashmap *map,
                         void (*visit)(void *arg, struct bc_hashmap_node *node), void *arg);

BC_EXTERN_C_END

#endif
