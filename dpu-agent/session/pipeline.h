/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.h - moves objects between client memory and the worker's backend, in chunks, DMA and
 * storage overlapped.
 *
 *   push job:  put_begin -> [ lease -> DMA from host -> put_chunk ]* -> put_commit
 *   pull job:  get_open  -> [ get_chunk (read, verify) -> DMA to host -> get_release ]* -> close
 *
 * Three queues decide who goes on, each a deficit round robin over clients: push chunks waiting for
 * staging memory, pull chunks waiting to be read, and chunks waiting for a DMA slot. Chunks that
 * hold memory but wait for the DMA engine are limited to a window, so that staging is held by what
 * moves.
 *
 *   WAITING -> RUNNING -> FINISHING -> DONE      (bc_job_state)
 *
 * A job is one object of one request. It belongs to its request; the pipeline uses it from start
 * until `done`, which is called exactly once, from this worker's loop. Statuses: the job's own
 * status holds for all its entries but those that already had one (a range past the end, an unknown
 * memory).
 * Thread: this worker's. Memory: chunks and DMA tasks come from pools made at create. */
#ifndef BC_SESSION_PIPELINE_H
#define BC_SESSION_PIPELINE_H

#include "backend/backend.h"
#include "dma/dma.h"
#include "session/drr.h"
#include "session/region.h"

BC_EXTERN_C_BEGIN

struct bc_pipeline;

/* A client as the queues of one worker see it. Zero-filled, then bc_flow_init; must have no job
 * left when it goes. */
struct bc_flow {
    struct bc_drr_flow push;
    struct bc_drr_flow pull;
    struct bc_drr_flow dma;
    struct bc_list push_jobs;         /* with chunks still to admit, first in first out */
    struct bc_list pull_waiting;      /* not open yet */
    struct bc_list pull_jobs;         /* open, with chunks still to admit */
    uint32_t opening;                 /* pull jobs whose open is under way */
    struct bc_list_node push_blocked; /* on the pipeline's list while the backend says "not now" */
    struct bc_list_node pull_blocked;
    struct bc_list chunks; /* holding memory, waiting for DMA slots */
};
void bc_flow_init(struct bc_flow *flow);

enum bc_job_state {
    BC_JOB_WAITING = 0,   /* in a queue; nothing done yet */
    BC_JOB_OPENING = 1,   /* pull: get_open under way */
    BC_JOB_RUNNING = 2,   /* open; chunks are admitted or in flight */
    BC_JOB_FINISHING = 3, /* push: put_commit under way */
    BC_JOB_DONE = 4,
};

/* One entry as the pipeline needs it: resolved, in the order of object offsets within its job. */
struct bc_piece {
    struct bc_region *region; /* NULL when skip */
    bool skip;                /* has its status already, takes no part */
    uint64_t memory_offset;
    uint64_t object_offset;
    uint64_t len;
    uint32_t entry_index; /* in the request's status array */
};

struct bc_job;
typedef void (*bc_job_fn)(struct bc_job *job);

struct bc_job {
    /* set by the request */
    uint8_t op; /* enum bc_transfer_op */
    struct bc_flow *flow;
    struct bc_object_key key; /* bytes live in the request */
    uint64_t object_size;     /* push: size; pull: filled at open */
    const uint8_t *meta;      /* push: BC_OBJECT_META_LEN bytes or NULL */
    uint64_t group;           /* push: 0: none */
    uint64_t group_time;      /* bc_group_time when the request arrived */
    struct bc_piece *pieces;  /* the pipeline may set skip */
    uint32_t piece_count;
    uint32_t *statuses; /* the request's, by entry_index; IN_PROGRESS where not decided yet */
    bc_job_fn done;

    /* result */
    enum bc_status status;
    uint64_t bytes_moved;

    /* the pipeline's */
    struct bc_list_node node; /* in flow->push_jobs or pull_jobs */
    enum bc_job_state state;
    bool failed;     /* status is final: admit nothing more */
    bool admitted;   /* every chunk was admitted */
    bool checking;   /* finish_task is queued */
    uint32_t chunks; /* in flight */
    uint32_t next_piece;
    uint64_t next_piece_offset; /* bytes of pieces[next_piece] admitted already */
    uint64_t next_offset;       /* push: object bytes admitted already */
    struct bc_put *put;
    struct bc_get *get;
    struct bc_open_op open_op;
    struct bc_batch_op commit_op;
    struct bc_task finish_task;
    struct bc_pipeline *pipeline;
};

struct bc_pipeline_options {
    struct bc_loop *loop;
    struct bc_dma *dma;
    struct bc_backend *backend;
    uint32_t worker; /* index into bc_region.imports */
    uint32_t depth;  /* of the DMA engine (-q) */
    uint32_t chunk_len;
    uint64_t dma_len_max;       /* bytes of one DMA task */
    uint32_t chunks_max;        /* chunks in flight */
    uint32_t opens_max;         /* objects open at once, of each direction */
    struct bc_metrics *metrics; /* may be NULL */
};

/* Sets the callbacks of dma and backend. -ENOMEM, -EINVAL. */
BC_MUST_USE int bc_pipeline_create(const struct bc_pipeline_options *options,
                                   struct bc_pipeline **pipeline_out);
void bc_pipeline_destroy(struct bc_pipeline *pipeline); /* no job left (asserted) */

void bc_pipeline_start(struct bc_pipeline *pipeline, struct bc_job *job);

/* Ends a started job early with `status` (CANCELLED, TIMED_OUT): nothing more is admitted; `done`
 * comes when what is in flight ended. No effect on a job that commits or is done. */
void bc_pipeline_cancel(struct bc_pipeline *pipeline, struct bc_job *job, enum bc_status status);

BC_EXTERN_C_END

#endif
