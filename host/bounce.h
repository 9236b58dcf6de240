/* SPDX-License-Identifier: Apache-2.0 */
/* bounce.h - GPU memory that no device can reach is copied by way of pinned host memory, the last
 * resort. The pool is made when the first such memory is registered, and is registered with the
 * agent as host memory; requests then name ranges of it.
 *
 *   push: lease -> copy from the GPU -> TRANSFER -> answer -> lease given back
 *   pull: lease -> TRANSFER -> answer -> copy to the GPU -> lease given back
 *
 * A part of a request is what leases: parts of such requests are cut to a quarter of the pool, so
 * that the copies of one overlap the DMA of another. One key cannot be cut: an object is as large as
 * the pool at most.
 * Invariants: a request with a copy under way (request->copies) is not terminal, and its leases are
 * not given to another; the pool is bounded by BLUECACHE_BOUNCE_BYTES; leases are given in the order
 * of the queue.
 * Thread: copies are begun and waited for by a thread of their own, without the client's lock;
 * everything else with it. create_lock is taken before the client's. */
#ifndef BC_HOST_BOUNCE_H
#define BC_HOST_BOUNCE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "bluecache/bluecache.h"
#include "cuda_copy.h"

BC_EXTERN_C_BEGIN

#define BC_BOUNCE_ALIGN   64u
#define BC_BOUNCE_LANES   32
#define BC_BOUNCE_DEFAULT (UINT64_C(256) << 20)
#define BC_BOUNCE_MIN     (UINT64_C(1) << 20)
#define BC_BOUNCE_MAX     (UINT64_C(64) << 30)

struct bc_client;
struct bc_memory;
struct bc_part;
struct bc_request;

enum bc_bounce_state {
    BC_BOUNCE_NONE,    /* no lease */
    BC_BOUNCE_READY,   /* has its lease; of a push, filled */
    BC_BOUNCE_QUEUED,  /* waits for the copying thread */
    BC_BOUNCE_COPYING, /* the copying thread has it */
};

/* Of a part. */
struct bc_bounce_lease {
    struct bc_list_node node; /* in bounce->leases, in order of offset */
    struct bc_list_node job;  /* in bounce->jobs while QUEUED */
    uint64_t len;             /* 0: the part names no such memory */
    uint64_t offset;          /* in the pool */
    enum bc_bounce_state state;
    bool failed;  /* of a push: the copy */
    bool dropped; /* of a push: nobody wants it any more */
};

struct bc_bounce {
    pthread_mutex_t create_lock;
    /* Constant once `memory` is there. */
    uint8_t *base;
    uint64_t len;
    struct bc_memory *memory; /* the pool's registration; NULL: no pool */
    pthread_t thread;
    bool thread_started;

    /* With the client's lock. A lane is constant below lane_count, but for the copying thread. */
    struct bc_cuda_lane lanes[BC_BOUNCE_LANES];
    uint32_t lane_count;
    struct bc_list memories; /* struct bc_memory.node: registered here */
    struct bc_list leases;
    struct bc_list jobs;
    pthread_cond_t wake; /* a job was queued, or stop */
    bool stop;
    bool full; /* the queue's first part that needs a lease got none */
};

/* What an entry takes of a lease. */
static inline uint64_t bc_bounce_need(uint64_t length)
{
    return bc_align_up_u64(bc_max_u64(length, 1), BC_BOUNCE_ALIGN);
}

void bc_bounce_init(struct bc_bounce *bounce);
/* No request is in progress. Frees the registrations, too. */
void bc_bounce_fini(struct bc_client *client);

/* Whether memory of this allocation goes this way already. */
bool bc_bounce_knows(struct bc_client *client, const struct bc_extent *extent);

/* Makes the memory, which no other way reaches (`why`), usable by way of the pool. -ENOTSUP, or
 * what the pool's registration gives; a sentence in `error`. Without the lock. */
BC_MUST_USE int bc_bounce_register(struct bc_client *client, struct bc_memory *memory,
                                   const char *why, struct bc_error *error);

/* Gives the part its lease and, of a push, begins the copy. -EAGAIN: no room now. */
BC_MUST_USE int bc_bounce_take_locked(struct bc_client *client, struct bc_part *part);

/* Begins the copy of what a pull brought. False: there is nothing to copy. */
bool bc_bounce_copy_back_locked(struct bc_client *client, struct bc_part *part);

/* The lease, if there is one, is given back, at once or when the copy under way is over. */
void bc_bounce_drop_locked(struct bc_client *client, struct bc_part *part);

BC_EXTERN_C_END

#endif
