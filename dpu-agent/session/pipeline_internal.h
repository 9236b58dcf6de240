/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline_internal.h - what the pipeline's three files share: admission (pipeline.c), jobs
 * (pipeline_job.c) and chunks on the DMA engine (pipeline_chunk.c). Not for other modules. */
#ifndef BC_SESSION_PIPELINE_INTERNAL_H
#define BC_SESSION_PIPELINE_INTERNAL_H

#include "session/pipeline.h"

/* Consecutive bytes of one object in one extent (push) or seen through views of the backend (pull).
 * It covers pieces[first_piece .. last_piece], the first from first_offset, the last up to
 * last_end. */
struct bc_chunk {
    struct bc_list_node node; /* in flow->chunks, or pipeline->free_chunks, ->copied, ->stalled */
    struct bc_job *job;
    uint64_t offset;    /* of the object; multiple of 64 KiB */
    uint32_t len;       /* bytes of the object covered */
    uint32_t view_done; /* bytes of `len` finished through earlier views */
    uint32_t view_len;  /* bytes at `data` now */
    uint8_t *data;
    uint32_t first_piece;
    uint32_t last_piece;
    uint64_t first_offset;
    uint64_t last_end;
    uint32_t piece;        /* next to submit */
    uint64_t piece_offset; /* bytes of it submitted already */
    uint32_t tasks;        /* DMA tasks in flight */
    bool submitted;        /* every task of this view was submitted */
    uint32_t *crc;         /* push: of the blocks in [0, summed_len); room for the whole chunk */
    uint32_t summed_len;
    enum bc_status status;
    struct bc_put_op put_op;
    struct bc_get_op get_op;
};

/* A DMA task of the fixed set of `depth`. */
struct bc_dma_slot {
    struct bc_dma_task task;
    struct bc_list_node node;
    struct bc_chunk *chunk;
};

struct bc_pipeline {
    struct bc_pipeline_options options;
    struct bc_drr push;
    struct bc_drr pull;
    struct bc_drr dma;
    struct bc_list
        blocked_push; /* flows that wait for the backend, or for an object to be closed */
    struct bc_list blocked_pull;
    struct bc_list stalled; /* pull chunks whose next view got -EAGAIN */
    struct bc_list copied;  /* push chunks that DMA filled, for the backend */
    struct bc_list free_chunks;
    struct bc_list free_slots;
    struct bc_chunk *chunks;
    uint32_t *crcs; /* of all chunks */
    struct bc_dma_slot *slots;
    struct bc_task pump_task;
    uint64_t push_task_len; /* of one DMA task, at most */
    uint64_t pull_task_len;
    uint64_t pump_end_ns; /* of the present turn's share of time */
    bool pump_queued;
    uint32_t jobs; /* started, not done */
    uint32_t puts_open;
    uint32_t gets_open;
    uint32_t push_window; /* push chunks that hold memory and are not with the backend yet */
    uint32_t pull_window; /* pull chunks being read or not copied yet */
    uint32_t push_window_max;
    uint32_t pull_window_max;

    struct bc_counter push_bytes;
    struct bc_counter pull_bytes;
    struct bc_counter chunks_total;
    struct bc_counter jobs_total;
    struct bc_counter jobs_failed;
    struct bc_counter dma_errors;
    struct bc_counter waits;
};

/* pipeline.c */
void bc_pipeline_kick(struct bc_pipeline *pipeline); /* runs the queues in the next turn */
void bc_pipeline_leave_queue(struct bc_job *job);    /* takes the job out of its flow's queue */

void bc_pipeline_unblock(struct bc_pipeline *pipeline); /* blocked flows try again */

/* pipeline_job.c */
void bc_job_fail(struct bc_job *job, enum bc_status status);
void bc_job_check(struct bc_job *job); /* ends the job if nothing is left to do */
void bc_job_check_later(struct bc_job *job);
void bc_job_open(struct bc_job *job);
int bc_job_begin_put(struct bc_job *job);

/* pipeline_chunk.c */
struct bc_chunk *bc_chunk_get(struct bc_pipeline *pipeline, struct bc_job *job);
void bc_chunk_put(struct bc_pipeline *pipeline, struct bc_chunk *chunk);
void bc_chunk_ready_for_dma(struct bc_chunk *chunk);
void bc_chunk_read_done(struct bc_get_op *op, int result);
void bc_chunks_retry_stalled(struct bc_pipeline *pipeline);
void bc_chunks_run_dma(struct bc_pipeline *pipeline);
/* One step with the chunk that was copied first: checksums some of it, or hands it to the backend.
 * False: there is none. */
bool bc_chunks_store_step(struct bc_pipeline *pipeline);

#endif
