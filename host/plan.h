/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - the keys of a request, each once, and the cut into parts that an agent takes.
 * Invariants: all entries of one key are in one part, so that an object is replaced, and read, by
 * one TRANSFER; parts follow the order in which keys appear; within a part entries keep the
 * caller's order. Any thread; a plan belongs to its request. Must not know: sessions, memory. */
#ifndef BC_HOST_PLAN_H
#define BC_HOST_PLAN_H

#include "bluecache/bluecache.h"
#include "bounce.h"
#include "pending.h"

BC_EXTERN_C_BEGIN

#define BC_KEY_NONE UINT32_MAX

struct bc_request;

struct bc_plan_key {
    const uint8_t *data; /* into plan->key_bytes */
    uint32_t len;
    uint32_t entries;
    uint32_t part;
    uint64_t object_size; /* end of the farthest entry */
    uint64_t group;       /* of the first entry; 0: none */
    uint64_t bounce_len;  /* of its entries that go by way of host memory */
};

struct bc_part {
    struct bc_pending pending;
    struct bc_request *request;
    uint32_t first; /* into plan->order */
    uint32_t count;
    uint32_t key_first;
    uint32_t key_count;
    size_t body_len;
    size_t tlv_len; /* part of it: the groups of its keys, when one has any */
    uint64_t bytes;
    uint64_t moved;
    uint32_t named; /* entries with a status */
    struct bc_bounce_lease bounce;
};

struct bc_plan {
    struct bc_plan_key *keys; /* in order of first appearance */
    uint32_t key_count;
    uint8_t *key_bytes;
    uint32_t *order; /* entries, part after part */
    struct bc_part *parts;
    uint32_t part_count;
};

struct bc_plan_limits {
    uint32_t entries_max;
    size_t body_max;
    bool groups;         /* they are to be sent */
    uint64_t bounce_max; /* of a part, unless one key alone is more; UINT64_MAX: no matter */
};

/* Collects the keys; key_of[i] gets the index of entry i's key, BC_KEY_NONE for a key that no agent
 * takes (empty, or over BC_KEY_LEN_MAX). -ENOMEM. */
BC_MUST_USE int bc_plan_init(struct bc_plan *plan, const struct bc_entry *entries, uint32_t count,
                             uint32_t *key_of);
void bc_plan_fini(struct bc_plan *plan);

/* (Re)makes the parts. -EINVAL: one key alone is over the limits. -ENOMEM. */
BC_MUST_USE int bc_plan_cut(struct bc_plan *plan, struct bc_request *request,
                            const struct bc_plan_limits *limits);

BC_EXTERN_C_END

#endif
