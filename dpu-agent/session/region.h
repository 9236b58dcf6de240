/* SPDX-License-Identifier: Apache-2.0 */
/* region.h - a client's registered memories, and what every worker imported of them.
 *
 *   FREE -> IMPORTING -> LIVE -> LEAVING -> FREE
 *
 * Registering goes to all workers (each imports on its own engine) and is answered when the last
 * one is done; unregistering first waits until no request names the memory (the barrier), then goes
 * to all workers to drop their imports. A region is named by (id, generation): a stale name is
 * refused.
 *
 * Threads: the table belongs to the session's worker; `imports[w]` is written by worker w while the
 * region is IMPORTING or LEAVING and read by it while a request holds the region; mails order
 * these.
 * Memory: regions are allocated in blocks, when an id of the block is used first, and kept until
 * the session ends; a batch is allocated per REGISTER or UNREGISTER message (control path). */
#ifndef BC_SESSION_REGION_H
#define BC_SESSION_REGION_H

#include "dma/dma.h"
#include "proto/proto.h"

BC_EXTERN_C_BEGIN

struct bc_worker;

#define BC_WORKERS_MAX 32u

enum bc_region_state {
    BC_REGION_FREE = 0,
    BC_REGION_IMPORTING = 1, /* workers import it; not usable yet */
    BC_REGION_LIVE = 2,
    BC_REGION_LEAVING = 3, /* refused to new requests; dropped once users == 0 */
};

struct bc_region {
    enum bc_region_state state;
    uint32_t generation;
    uint32_t users; /* entries of requests in flight that name it */
    uint8_t access;
    uint64_t len_bytes;
    struct bc_dma_import *imports[BC_WORKERS_MAX];
    struct bc_region_batch *leaving; /* the batch that waits for users == 0 */
};

#define BC_REGION_BLOCK 64u

struct bc_regions {
    struct bc_region **blocks; /* by memory id / BC_REGION_BLOCK; NULL: none of it was used yet */
    uint32_t max;
    uint32_t live;
    uint32_t batches; /* in flight: on their way through the workers, or waiting for users to go */
    uint32_t sent;    /* those of them that are on their way */
    uint64_t bytes;   /* that all of them take */
    struct bc_worker *home;
};

struct bc_region_batch;
/* In the home worker's loop: statuses has `count` elements and dies after the call. */
typedef void (*bc_region_done_fn)(void *arg, uint64_t request_id, const uint32_t *statuses,
                                  uint32_t count);

/* -ENOMEM. */
BC_MUST_USE int bc_regions_init(struct bc_regions *regions, struct bc_worker *home, uint32_t max);
/* No region live, no batch in flight (asserted). */
void bc_regions_fini(struct bc_regions *regions);

/* Both answer through `done`, later, exactly once. -ENOMEM, -EBADMSG: nothing was started. */
BC_MUST_USE int bc_regions_register(struct bc_regions *regions, const void *body, size_t len,
                                    uint64_t request_id, bc_region_done_fn done, void *arg);
BC_MUST_USE int bc_regions_unregister(struct bc_regions *regions,
                                      const struct bc_wire_memory_name *names, uint32_t count,
                                      uint64_t request_id, bc_region_done_fn done, void *arg);
/* Drops everything that is live; `done` with request id 0. Regions in use wait for their users. */
BC_MUST_USE int bc_regions_drop_all(struct bc_regions *regions, bc_region_done_fn done, void *arg);

/* The live region of that name when [offset, offset + len) lies inside it and `access` is granted;
 * else NULL and the status that says why. Takes no reference. */
struct bc_region *bc_regions_find(struct bc_regions *regions, uint32_t id, uint32_t generation,
                                  uint64_t offset, uint64_t len, uint8_t access,
                                  enum bc_status *status_out);
static inline void bc_region_hold(struct bc_region *region)
{
    region->users++;
}
/* May start the drop that an unregister waits for. */
void bc_region_unhold(struct bc_region *region);

BC_EXTERN_C_END

#endif
