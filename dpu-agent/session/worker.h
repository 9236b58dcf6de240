/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - one thread of the agent and everything it owns: loop, staging, DMA engine, backend
 * instance, pipeline, sessions. Workers share nothing but mails, and the counter that orders drops
 * of groups and requests.
 *
 * A session lives on one worker (its home); the objects of its requests are worked on by the
 * workers that own their partitions. `peers` is the same array for all, fixed before the threads
 * start.
 * Thread: fields are read by the owner only, except what is const after start: index, peers, count,
 * limits, loop (for bc_loop_send), metrics, group_clock. */
#ifndef BC_SESSION_WORKER_H
#define BC_SESSION_WORKER_H

#include "backend/backend.h"
#include "dma/dma.h"
#include "loop/loop.h"
#include "session/group_post.h"
#include "session/pipeline.h"
#include "staging/staging.h"

BC_EXTERN_C_BEGIN

struct bc_server;
struct bc_sessions;

/* What every session is granted; configured once. */
struct bc_session_limits {
    uint32_t sessions_max; /* of all workers together */
    uint32_t requests_max; /* in flight, of one session */
    uint32_t entries_max;  /* of one transfer */
    uint64_t bytes_max;    /* of all transfers of a session in flight */
    uint32_t regions_max;  /* of one session */
    uint32_t message_max;  /* bytes of one message */
    uint64_t object_size_max;
    uint32_t chunk_len;
    uint32_t keepalive_ms;
    uint32_t hello_timeout_ms; /* from accept to a whole HELLO; also for any half message */
    uint64_t features;
    uint8_t agent_id[16];
    const char *agent_name; /* "dpu_dma_copy 0.1.0 posix" */
};

struct bc_worker {
    uint32_t index;
    uint32_t worker_count;
    struct bc_worker *const *peers;
    const struct bc_session_limits *limits;
    struct bc_metrics *metrics;
    uint64_t *group_clock; /* bc_backend_env.group_clock */

    struct bc_loop *loop;
    struct bc_uring_files files;
    struct bc_staging *staging;
    struct bc_dma *dma;
    struct bc_backend *backend;
    struct bc_pipeline *pipeline;
    struct bc_group_post group_post;
    struct bc_sessions *sessions;
    struct bc_server *server; /* of the worker that accepts; NULL in others */
};

/* The worker that owns the objects of this hash. */
static inline struct bc_worker *bc_worker_of(const struct bc_worker *worker, struct bc_hash128 hash)
{
    return worker->peers[bc_store_worker(hash, worker->worker_count)];
}

BC_EXTERN_C_END

#endif
