/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.c - creates the pipeline and decides which chunk is admitted next. */
#include "session/pipeline.h"

#include <errno.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "session/pipeline_internal.h"

#define OPEN_AHEAD 32u
/* Time that one turn may spend on checksums and admission (one step of each is always taken): the
 * engine, which goes on meanwhile, must not run out of work, nor other clients wait. */
#define PUMP_NS (8 * BC_NS_PER_US)
/* What is in the engine stands before a newcomer, and nothing is gained by long tasks: an engine
 * copies several of these at full rate. A pull is verified by whole chunks, during which the engine
 * has to have work. */
#define PUSH_TASK_LEN_MAX (64u << 10)
#define PULL_TASK_LEN_MAX (256u << 10)

/* What became of an attempt to admit the next chunk of a flow. */
enum admit {
    ADMIT_DONE,    /* something was issued, or the job left the queue */
    ADMIT_BLOCKED, /* the backend said "not now", or too many objects are open */
    ADMIT_OPENING, /* nothing to do until an object that is being opened is open */
    ADMIT_STOP,    /* a table of the pipeline is exhausted */
};

void bc_flow_init(struct bc_flow *flow)
{
    bc_drr_flow_init(&flow->push);
    bc_drr_flow_init(&flow->pull);
    bc_drr_flow_init(&flow->dma);
    bc_list_init(&flow->push_jobs);
    bc_list_init(&flow->pull_waiting);
    bc_list_init(&flow->pull_jobs);
    flow->opening = 0;
    bc_list_init(&flow->chunks);
    flow->push_blocked = (struct bc_list_node){NULL, NULL};
    flow->pull_blocked = (struct bc_list_node){NULL, NULL};
}

static struct bc_job *first_job(const struct bc_list *jobs)
{
    struct bc_list_node *node = bc_list_first(jobs);
    return node == NULL ? NULL : BC_CONTAINER_OF(node, struct bc_job, node);
}

static uint64_t push_cost(const struct bc_drr_flow *drr_flow)
{
    const struct bc_flow *flow = BC_CONTAINER_OF(drr_flow, struct bc_flow, push);
    const struct bc_job *job = first_job(&flow->push_jobs);
    uint64_t left = job->object_size - job->next_offset;
    return bc_max_u64(1, bc_min_u64(left, job->pipeline->options.chunk_len));
}

/* Objects are opened a little ahead of their reads, so that opening one overlaps reading another;
 * one client leaves handles to the others. */
static bool opens_next(const struct bc_flow *flow)
{
    if (bc_list_empty(&flow->pull_waiting)) {
        return false;
    }
    if (bc_list_empty(&flow->pull_jobs) && flow->opening == 0) {
        return true;
    }
    const struct bc_pipeline *pipeline = first_job(&flow->pull_waiting)->pipeline;
    return flow->pull_jobs.count + flow->opening < OPEN_AHEAD &&
           pipeline->gets_open < pipeline->options.opens_max;
}

static uint64_t pull_cost(const struct bc_drr_flow *drr_flow)
{
    const struct bc_flow *flow = BC_CONTAINER_OF(drr_flow, struct bc_flow, pull);
    if (opens_next(flow)) {
        return 1;
    }
    const struct bc_job *job = first_job(&flow->pull_jobs);
    if (job == NULL || job->next_piece >= job->piece_count) {
        return 1;
    }
    uint64_t left = job->pieces[job->next_piece].len - job->next_piece_offset;
    return bc_max_u64(1, bc_min_u64(left, job->pipeline->options.chunk_len));
}

/* The flow waits for the backend's `ready`. Other flows go on: what they began must be able to
 * end. */
static void block(struct bc_list *blocked, struct bc_list_node *node, struct bc_drr *drr,
                  struct bc_drr_flow *drr_flow)
{
    bc_drr_deactivate(drr, drr_flow);
    if (!bc_list_linked(node)) {
        bc_list_push_back(blocked, node);
    }
}

static void unblock(struct bc_list *blocked, struct bc_list_node *node)
{
    if (bc_list_linked(node)) {
        bc_list_remove(blocked, node);
    }
}

void bc_pipeline_leave_queue(struct bc_job *job)
{
    struct bc_pipeline *pipeline = job->pipeline;
    struct bc_flow *flow = job->flow;
    if (job->op == BC_TRANSFER_PUSH) {
        bc_list_remove(&flow->push_jobs, &job->node);
        if (bc_list_empty(&flow->push_jobs)) {
            bc_drr_deactivate(&pipeline->push, &flow->push);
            unblock(&pipeline->blocked_push, &flow->push_blocked);
        }
        return;
    }
    bc_list_remove(job->state == BC_JOB_WAITING ? &flow->pull_waiting : &flow->pull_jobs,
                   &job->node);
    if (bc_list_empty(&flow->pull_waiting) && bc_list_empty(&flow->pull_jobs)) {
        bc_drr_deactivate(&pipeline->pull, &flow->pull);
        unblock(&pipeline->blocked_pull, &flow->pull_blocked);
    }
}

/* Gives the chunk the next `len` bytes of the pieces, which tile the object. */
static void take_push_pieces(struct bc_job *job, struct bc_chunk *chunk)
{
    uint64_t left = chunk->len;
    chunk->first_piece = job->next_piece;
    chunk->first_offset = job->next_piece_offset;
    while (left > 0) {
        BC_ASSERT(job->next_piece < job->piece_count);
        const struct bc_piece *piece = &job->pieces[job->next_piece];
        uint64_t take = bc_min_u64(left, piece->len - job->next_piece_offset);
        chunk->last_piece = job->next_piece;
        chunk->last_end = job->next_piece_offset + take;
        job->next_piece_offset += take;
        left -= take;
        if (job->next_piece_offset == piece->len) {
            job->next_piece++;
            job->next_piece_offset = 0;
        }
    }
    chunk->piece = chunk->first_piece;
    chunk->piece_offset = chunk->first_offset;
}

static enum admit admit_push_chunk(struct bc_pipeline *pipeline, struct bc_job *job)
{
    struct bc_chunk *chunk = bc_chunk_get(pipeline, job);
    if (chunk == NULL) {
        return ADMIT_STOP;
    }
    const struct bc_backend_ops *ops = pipeline->options.backend->ops;
    uint64_t left = job->object_size - job->next_offset;
    uint32_t want = (uint32_t)bc_min_u64(left, pipeline->options.chunk_len);
    int rc = ops->put_lease(job->put, job->next_offset, want, &chunk->put_op.extent);
    if (rc != 0) {
        bc_chunk_put(pipeline, chunk);
        if (rc == -EAGAIN) {
            return ADMIT_BLOCKED;
        }
        bc_job_fail(job, bc_status_from_errno(rc));
        return ADMIT_DONE;
    }
    chunk->offset = job->next_offset;
    chunk->len = chunk->put_op.extent.len;
    chunk->view_len = chunk->len;
    chunk->data = chunk->put_op.extent.data;
    take_push_pieces(job, chunk);
    job->next_offset += chunk->len;
    if (job->next_offset == job->object_size) {
        job->admitted = true;
        bc_pipeline_leave_queue(job);
    }
    pipeline->push_window++;
    bc_chunk_ready_for_dma(chunk);
    return ADMIT_DONE;
}

static enum admit admit_push(struct bc_pipeline *pipeline, struct bc_flow *flow)
{
    struct bc_job *job = first_job(&flow->push_jobs);
    if (job->put == NULL) {
        if (pipeline->puts_open >= pipeline->options.opens_max) {
            return ADMIT_BLOCKED;
        }
        int rc = bc_job_begin_put(job);
        if (rc == -EAGAIN) {
            return ADMIT_BLOCKED;
        }
        if (rc != 0) {
            bc_job_fail(job, bc_status_from_errno(rc));
            return ADMIT_DONE;
        }
        if (job->object_size == 0) {
            job->admitted = true;
            bc_pipeline_leave_queue(job);
            bc_job_check(job);
            return ADMIT_DONE;
        }
    }
    return admit_push_chunk(pipeline, job);
}

/* The next window of a pull: from the next piece on, at most chunk_len of the object, with every
 * following piece that starts inside. Returns its end, or 0 when no piece is left. */
static uint64_t take_pull_window(struct bc_job *job, struct bc_chunk *chunk)
{
    while (job->next_piece < job->piece_count &&
           (job->pieces[job->next_piece].skip || job->pieces[job->next_piece].len == 0)) {
        job->next_piece++;
        job->next_piece_offset = 0;
    }
    if (job->next_piece >= job->piece_count) {
        return 0;
    }
    uint64_t start = job->pieces[job->next_piece].object_offset + job->next_piece_offset;
    chunk->offset = bc_align_down_u64(start, BC_CRC_BLOCK_SIZE);
    uint64_t end_max = chunk->offset + job->pipeline->options.chunk_len;
    uint64_t end = 0;
    chunk->first_piece = job->next_piece;
    chunk->first_offset = job->next_piece_offset;
    while (job->next_piece < job->piece_count) {
        const struct bc_piece *piece = &job->pieces[job->next_piece];
        uint64_t from = piece->object_offset + job->next_piece_offset;
        uint64_t to = bc_min_u64(piece->object_offset + piece->len, end_max);
        if (!piece->skip && piece->len > 0) {
            if (from < chunk->offset || from >= end_max) {
                break;
            }
            chunk->last_piece = job->next_piece;
            chunk->last_end = to - piece->object_offset;
            end = bc_max_u64(end, to);
            if (to < piece->object_offset + piece->len) {
                job->next_piece_offset = chunk->last_end;
                break;
            }
        }
        job->next_piece++;
        job->next_piece_offset = 0;
    }
    return bc_min_u64(bc_align_up_u64(end, BC_CRC_BLOCK_SIZE), job->object_size);
}

static enum admit admit_pull_chunk(struct bc_pipeline *pipeline, struct bc_job *job)
{
    struct bc_chunk *chunk = bc_chunk_get(pipeline, job);
    if (chunk == NULL) {
        return ADMIT_STOP;
    }
    uint32_t piece = job->next_piece;
    uint64_t piece_offset = job->next_piece_offset;
    uint64_t end = take_pull_window(job, chunk);
    if (end == 0) {
        bc_chunk_put(pipeline, chunk);
        job->admitted = true;
        bc_pipeline_leave_queue(job);
        bc_job_check(job);
        return ADMIT_DONE;
    }
    chunk->len = (uint32_t)(end - chunk->offset);
    chunk->get_op.offset = chunk->offset;
    chunk->get_op.len = chunk->len;
    chunk->get_op.done = bc_chunk_read_done;
    int rc = pipeline->options.backend->ops->get_chunk(job->get, &chunk->get_op);
    if (rc != 0) {
        bc_chunk_put(pipeline, chunk);
        job->next_piece = piece;
        job->next_piece_offset = piece_offset;
        if (rc == -EAGAIN) {
            return ADMIT_BLOCKED;
        }
        bc_job_fail(job, bc_status_from_errno(rc));
        return ADMIT_DONE;
    }
    pipeline->pull_window++;
    if (job->next_piece >= job->piece_count) {
        job->admitted = true;
        bc_pipeline_leave_queue(job);
    }
    return ADMIT_DONE;
}

static enum admit admit_pull(struct bc_pipeline *pipeline, struct bc_flow *flow)
{
    if (!opens_next(flow)) {
        struct bc_job *job = first_job(&flow->pull_jobs);
        return job != NULL ? admit_pull_chunk(pipeline, job) : ADMIT_OPENING;
    }
    if (pipeline->gets_open >= pipeline->options.opens_max) {
        return ADMIT_BLOCKED;
    }
    struct bc_job *job = first_job(&flow->pull_waiting);
    bc_pipeline_leave_queue(job);
    bc_job_open(job);
    return ADMIT_DONE;
}

/* True: this turn's share of time is spent, and the next turn goes on. */
static bool time_is_up(struct bc_pipeline *pipeline)
{
    if (bc_clock_now_ns(bc_loop_clock(pipeline->options.loop)) < pipeline->pump_end_ns) {
        return false;
    }
    bc_pipeline_kick(pipeline);
    return true;
}

static void run_copied(struct bc_pipeline *pipeline)
{
    while (bc_chunks_store_step(pipeline) && !time_is_up(pipeline)) {}
}

static void run_push(struct bc_pipeline *pipeline)
{
    while (pipeline->push_window < pipeline->push_window_max) {
        struct bc_drr_flow *drr_flow = bc_drr_pick(&pipeline->push, push_cost);
        if (drr_flow == NULL) {
            return;
        }
        struct bc_flow *flow = BC_CONTAINER_OF(drr_flow, struct bc_flow, push);
        uint64_t cost = push_cost(drr_flow);
        bc_drr_charge(drr_flow, cost);
        enum admit outcome = admit_push(pipeline, flow);
        if (outcome == ADMIT_BLOCKED) {
            bc_counter_add(&pipeline->waits, 1);
            block(&pipeline->blocked_push, &flow->push_blocked, &pipeline->push, drr_flow);
        } else if (outcome == ADMIT_STOP) {
            drr_flow->deficit_bytes += cost;
            return;
        } else if (time_is_up(pipeline)) {
            return;
        }
    }
}

static void run_pull(struct bc_pipeline *pipeline)
{
    while (pipeline->pull_window < pipeline->pull_window_max) {
        struct bc_drr_flow *drr_flow = bc_drr_pick(&pipeline->pull, pull_cost);
        if (drr_flow == NULL) {
            return;
        }
        struct bc_flow *flow = BC_CONTAINER_OF(drr_flow, struct bc_flow, pull);
        uint64_t cost = pull_cost(drr_flow);
        bc_drr_charge(drr_flow, cost);
        enum admit outcome = admit_pull(pipeline, flow);
        if (outcome == ADMIT_BLOCKED) {
            bc_counter_add(&pipeline->waits, 1);
            block(&pipeline->blocked_pull, &flow->pull_blocked, &pipeline->pull, drr_flow);
        } else if (outcome == ADMIT_OPENING) {
            bc_drr_deactivate(&pipeline->pull, drr_flow);
        } else if (outcome == ADMIT_STOP) {
            drr_flow->deficit_bytes += cost;
            return;
        } else if (time_is_up(pipeline)) {
            return;
        }
    }
}

static void pump(struct bc_task *task)
{
    struct bc_pipeline *pipeline = BC_CONTAINER_OF(task, struct bc_pipeline, pump_task);
    pipeline->pump_queued = false;
    /* What is ready for the engine first: it is to copy while this thread checksums. */
    bc_chunks_run_dma(pipeline);
    pipeline->pump_end_ns = bc_clock_now_ns(bc_loop_clock(pipeline->options.loop)) + PUMP_NS;
    bc_chunks_retry_stalled(pipeline);
    run_pull(pipeline);
    /* A pull that was just verified does not wait for a whole push to be checksummed. */
    bc_chunks_run_dma(pipeline);
    run_copied(pipeline);
    run_push(pipeline);
    bc_chunks_run_dma(pipeline);
}

void bc_pipeline_kick(struct bc_pipeline *pipeline)
{
    if (!pipeline->pump_queued) {
        pipeline->pump_queued = true;
        bc_loop_defer(pipeline->options.loop, &pipeline->pump_task);
    }
}

void bc_pipeline_unblock(struct bc_pipeline *pipeline)
{
    struct bc_list_node *node;
    while ((node = bc_list_pop_front(&pipeline->blocked_pull)) != NULL) {
        bc_drr_activate(&pipeline->pull,
                        &BC_CONTAINER_OF(node, struct bc_flow, pull_blocked)->pull);
    }
    while ((node = bc_list_pop_front(&pipeline->blocked_push)) != NULL) {
        bc_drr_activate(&pipeline->push,
                        &BC_CONTAINER_OF(node, struct bc_flow, push_blocked)->push);
    }
    bc_pipeline_kick(pipeline);
}

static void backend_ready(void *arg)
{
    bc_pipeline_unblock(arg);
}

static void dma_ready(void *arg)
{
    bc_pipeline_kick(arg);
}

static int register_metrics(struct bc_pipeline *pipeline)
{
    struct bc_metrics *metrics = pipeline->options.metrics;
    if (metrics == NULL) {
        return 0;
    }
    struct {
        struct bc_counter *counter;
        const char *name;
        const char *help;
    } rows[] = {
        {&pipeline->push_bytes, "bluecache_pipeline_push_bytes_total",
         "Bytes copied from client memory."},
        {&pipeline->pull_bytes, "bluecache_pipeline_pull_bytes_total",
         "Bytes copied to client memory."},
        {&pipeline->chunks_total, "bluecache_pipeline_chunks_total", "Chunks started."},
        {&pipeline->jobs_total, "bluecache_pipeline_objects_total",
         "Objects of transfers started."},
        {&pipeline->jobs_failed, "bluecache_pipeline_objects_failed_total",
         "Objects of transfers that ended in another status than ok."},
        {&pipeline->dma_errors, "bluecache_pipeline_dma_errors_total", "DMA tasks that failed."},
        {&pipeline->waits, "bluecache_pipeline_waits_total",
         "Times a transfer waited for memory or space of the backend."},
    };
    for (size_t i = 0; i < BC_ARRAY_LEN(rows); i++) {
        int rc = bc_metrics_add_counter(metrics, BC_METRIC_COUNTER, rows[i].name, rows[i].help,
                                        rows[i].counter);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void init_tables(struct bc_pipeline *pipeline)
{
    const struct bc_pipeline_options *options = &pipeline->options;
    bc_list_init(&pipeline->blocked_push);
    bc_list_init(&pipeline->blocked_pull);
    bc_list_init(&pipeline->stalled);
    bc_list_init(&pipeline->copied);
    bc_list_init(&pipeline->free_chunks);
    bc_list_init(&pipeline->free_slots);
    for (uint32_t i = 0; i < options->chunks_max; i++) {
        bc_list_push_back(&pipeline->free_chunks, &pipeline->chunks[i].node);
    }
    for (uint32_t i = 0; i < options->depth; i++) {
        bc_list_push_back(&pipeline->free_slots, &pipeline->slots[i].node);
    }
    bc_drr_init(&pipeline->push, options->chunk_len);
    bc_drr_init(&pipeline->pull, options->chunk_len);
    uint64_t len_max = bc_min_u64(options->dma_len_max, options->chunk_len);
    pipeline->push_task_len = bc_min_u64(len_max, PUSH_TASK_LEN_MAX);
    pipeline->pull_task_len = bc_min_u64(len_max, PULL_TASK_LEN_MAX);
    bc_drr_init(&pipeline->dma, pipeline->pull_task_len);
    pipeline->push_window_max = 2 * options->depth;
    pipeline->pull_window_max = (uint32_t)bc_max_u64(2 * options->depth, 16);
    pipeline->pump_task.run = pump;
}

int bc_pipeline_create(const struct bc_pipeline_options *options, struct bc_pipeline **pipeline_out)
{
    if (options->depth == 0 || options->chunks_max == 0 || options->opens_max == 0 ||
        options->chunk_len == 0 || options->chunk_len % BC_CRC_BLOCK_SIZE != 0) {
        return -EINVAL;
    }
    struct bc_pipeline *pipeline = calloc(1, sizeof(*pipeline));
    if (pipeline == NULL) {
        return -ENOMEM;
    }
    pipeline->options = *options;
    pipeline->chunks = calloc(options->chunks_max, sizeof(*pipeline->chunks));
    pipeline->crcs =
        calloc(options->chunks_max * bc_crc32c_blocks(options->chunk_len), sizeof(*pipeline->crcs));
    pipeline->slots = calloc(options->depth, sizeof(*pipeline->slots));
    if (pipeline->chunks == NULL || pipeline->crcs == NULL || pipeline->slots == NULL) {
        goto err_free;
    }
    init_tables(pipeline);
    if (register_metrics(pipeline) != 0) {
        goto err_free;
    }
    options->backend->ready = backend_ready;
    options->backend->ready_arg = pipeline;
    options->dma->ready = dma_ready;
    options->dma->ready_arg = pipeline;
    *pipeline_out = pipeline;
    return 0;

err_free:
    free(pipeline->slots);
    free(pipeline->crcs);
    free(pipeline->chunks);
    free(pipeline);
    return -ENOMEM;
}

void bc_pipeline_destroy(struct bc_pipeline *pipeline)
{
    if (pipeline == NULL) {
        return;
    }
    BC_ASSERT(pipeline->jobs == 0);
    pipeline->options.backend->ready = NULL;
    pipeline->options.dma->ready = NULL;
    bc_loop_undefer(pipeline->options.loop, &pipeline->pump_task);
    free(pipeline->slots);
    free(pipeline->crcs);
    free(pipeline->chunks);
    free(pipeline);
}

static void check_task(struct bc_task *task)
{
    struct bc_job *job = BC_CONTAINER_OF(task, struct bc_job, finish_task);
    job->checking = false;
    bc_job_check(job);
}

void bc_pipeline_start(struct bc_pipeline *pipeline, struct bc_job *job)
{
    job->pipeline = pipeline;
    job->state = BC_JOB_WAITING;
    job->status = BC_STATUS_IN_PROGRESS;
    job->failed = false;
    job->admitted = false;
    job->checking = false;
    job->chunks = 0;
    job->next_piece = 0;
    job->next_piece_offset = 0;
    job->next_offset = 0;
    job->bytes_moved = 0;
    job->put = NULL;
    job->get = NULL;
    job->node.next = NULL;
    job->node.prev = NULL;
    job->finish_task.node.next = NULL;
    job->finish_task.run = check_task;
    pipeline->jobs++;
    bc_counter_add(&pipeline->jobs_total, 1);
    if (job->op == BC_TRANSFER_PUSH) {
        bc_list_push_back(&job->flow->push_jobs, &job->node);
        bc_drr_activate(&pipeline->push, &job->flow->push);
    } else {
        bc_list_push_back(&job->flow->pull_waiting, &job->node);
        bc_drr_activate(&pipeline->pull, &job->flow->pull);
    }
    bc_pipeline_kick(pipeline);
}

void bc_pipeline_cancel(struct bc_pipeline *pipeline, struct bc_job *job, enum bc_status status)
{
    BC_DASSERT(job->pipeline == pipeline);
    if (job->state == BC_JOB_FINISHING || job->state == BC_JOB_DONE || job->failed) {
        return;
    }
    bc_job_fail(job, status);
    bc_pipeline_kick(pipeline);
}
