/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline_chunk.c - takes chunks through the DMA engine, between client memory and extents. */
#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "session/pipeline_internal.h"

#define SUM_STEP_LEN BC_CRC_BLOCK_SIZE

struct bc_chunk *bc_chunk_get(struct bc_pipeline *pipeline, struct bc_job *job)
{
    struct bc_list_node *node = bc_list_pop_front(&pipeline->free_chunks);
    if (node == NULL) {
        return NULL;
    }
    struct bc_chunk *chunk = BC_CONTAINER_OF(node, struct bc_chunk, node);
    memset(chunk, 0, sizeof(*chunk));
    chunk->crc = pipeline->crcs +
                 (size_t)(chunk - pipeline->chunks) * bc_crc32c_blocks(pipeline->options.chunk_len);
    chunk->job = job;
    chunk->status = BC_STATUS_OK;
    job->chunks++;
    return chunk;
}

void bc_chunk_put(struct bc_pipeline *pipeline, struct bc_chunk *chunk)
{
    chunk->job->chunks--;
    chunk->job = NULL;
    bc_list_push_front(&pipeline->free_chunks, &chunk->node);
}

static void chunk_end(struct bc_chunk *chunk)
{
    struct bc_job *job = chunk->job;
    struct bc_pipeline *pipeline = job->pipeline;
    enum bc_status status = chunk->status;
    bc_chunk_put(pipeline, chunk);
    if (status != BC_STATUS_OK) {
        bc_job_fail(job, status);
    }
    bc_pipeline_kick(pipeline);
    bc_job_check(job);
}

void bc_chunk_ready_for_dma(struct bc_chunk *chunk)
{
    struct bc_job *job = chunk->job;
    struct bc_pipeline *pipeline = job->pipeline;
    bc_counter_add(&pipeline->chunks_total, 1);
    chunk->submitted = false;
    bc_list_push_back(&job->flow->chunks, &chunk->node);
    bc_drr_activate(&pipeline->dma, &job->flow->dma);
    bc_pipeline_kick(pipeline);
}

/* The next bytes of the chunk's current view that one DMA task can copy. */
struct segment {
    const struct bc_piece *piece;
    uint64_t offset; /* in the piece */
    uint32_t len;
    uint8_t *local;
};

static bool next_segment(struct bc_chunk *chunk, uint64_t len_max, struct segment *segment_out)
{
    const struct bc_job *job = chunk->job;
    uint64_t view_start = chunk->offset + chunk->view_done;
    uint64_t view_end = view_start + chunk->view_len;
    for (; chunk->piece <= chunk->last_piece; chunk->piece++, chunk->piece_offset = 0) {
        const struct bc_piece *piece = &job->pieces[chunk->piece];
        uint64_t low = chunk->piece_offset;
        if (chunk->piece == chunk->first_piece) {
            low = bc_max_u64(low, chunk->first_offset);
        }
        uint64_t high = chunk->piece == chunk->last_piece ? chunk->last_end : piece->len;
        uint64_t from = bc_max_u64(piece->object_offset + low, view_start);
        uint64_t to = bc_min_u64(piece->object_offset + high, view_end);
        if (!piece->skip && from < to) {
            segment_out->piece = piece;
            segment_out->offset = from - piece->object_offset;
            segment_out->len = (uint32_t)bc_min_u64(to - from, len_max);
            segment_out->local = chunk->data + (from - view_start);
            return true;
        }
    }
    return false;
}

static bool next_task(struct bc_chunk *chunk, struct segment *segment_out)
{
    const struct bc_pipeline *pipeline = chunk->job->pipeline;
    return next_segment(chunk,
                        chunk->job->op == BC_TRANSFER_PUSH ? pipeline->push_task_len
                                                           : pipeline->pull_task_len,
                        segment_out);
}

static uint64_t dma_cost(const struct bc_drr_flow *drr_flow)
{
    const struct bc_flow *flow = BC_CONTAINER_OF(drr_flow, struct bc_flow, dma);
    struct bc_chunk *chunk = BC_CONTAINER_OF(bc_list_first(&flow->chunks), struct bc_chunk, node);
    struct segment segment;
    return next_task(chunk, &segment) ? segment.len : 1;
}

static void write_done(struct bc_put_op *op, int result)
{
    struct bc_chunk *chunk = BC_CONTAINER_OF(op, struct bc_chunk, put_op);
    if (result != 0) {
        chunk->status = bc_status_from_errno(result);
    }
    chunk_end(chunk);
}

/* Checksums the next bytes. A whole chunk at once would keep this thread from feeding the engine,
 * and others from being served, for longer than the engine has work. */
static void sum_step(struct bc_chunk *chunk)
{
    uint32_t len = (uint32_t)bc_min_u64(SUM_STEP_LEN, chunk->len - chunk->summed_len);
    bc_crc32c_fill(chunk->data + chunk->summed_len, len,
                   chunk->crc + chunk->summed_len / BC_CRC_BLOCK_SIZE);
    chunk->summed_len += len;
}

bool bc_chunks_store_step(struct bc_pipeline *pipeline)
{
    struct bc_list_node *node = bc_list_first(&pipeline->copied);
    if (node == NULL) {
        return false;
    }
    struct bc_chunk *chunk = BC_CONTAINER_OF(node, struct bc_chunk, node);
    struct bc_job *job = chunk->job;
    const struct bc_backend_ops *ops = pipeline->options.backend->ops;
    bool good = chunk->status == BC_STATUS_OK && !job->failed;
    if (good) {
        sum_step(chunk);
        if (chunk->summed_len < chunk->len) {
            return true;
        }
    }
    bc_list_remove(&pipeline->copied, node);
    pipeline->push_window--;
    if (!good) {
        ops->put_unlease(job->put, &chunk->put_op.extent);
        chunk_end(chunk);
        return true;
    }
    chunk->put_op.offset = chunk->offset;
    chunk->put_op.crc = chunk->crc;
    chunk->put_op.done = write_done;
    ops->put_chunk(job->put, &chunk->put_op);
    return true;
}

/* Asks for the rest of a window of which the backend showed only the beginning. */
static void next_view(struct bc_chunk *chunk)
{
    struct bc_job *job = chunk->job;
    struct bc_pipeline *pipeline = job->pipeline;
    chunk->get_op.offset = chunk->offset + chunk->view_done;
    chunk->get_op.len = chunk->len - chunk->view_done;
    chunk->get_op.done = bc_chunk_read_done;
    int rc = pipeline->options.backend->ops->get_chunk(job->get, &chunk->get_op);
    if (rc == -EAGAIN) {
        bc_list_push_back(&pipeline->stalled, &chunk->node);
        return;
    }
    if (rc != 0) {
        pipeline->pull_window--;
        chunk->status = bc_status_from_errno(rc);
        chunk_end(chunk);
    }
}

static void pull_copied(struct bc_chunk *chunk)
{
    struct bc_job *job = chunk->job;
    job->pipeline->options.backend->ops->get_release(job->get, &chunk->get_op);
    chunk->view_done += chunk->view_len;
    if (chunk->status == BC_STATUS_OK && !job->failed && chunk->view_done < chunk->len) {
        chunk->piece = chunk->first_piece;
        chunk->piece_offset = chunk->first_offset;
        next_view(chunk);
        return;
    }
    job->pipeline->pull_window--;
    chunk_end(chunk);
}

void bc_chunks_retry_stalled(struct bc_pipeline *pipeline)
{
    for (size_t count = pipeline->stalled.count; count > 0; count--) {
        struct bc_list_node *node = bc_list_pop_front(&pipeline->stalled);
        struct bc_chunk *chunk = BC_CONTAINER_OF(node, struct bc_chunk, node);
        if (chunk->job->failed) {
            pipeline->pull_window--;
            chunk_end(chunk);
        } else {
            next_view(chunk);
        }
    }
}

static void copied_if_done(struct bc_chunk *chunk)
{
    if (!chunk->submitted || chunk->tasks > 0) {
        return;
    }
    if (chunk->job->op == BC_TRANSFER_PUSH) {
        /* Checksums take longer than giving the engine something to do. */
        bc_list_push_back(&chunk->job->pipeline->copied, &chunk->node);
        bc_pipeline_kick(chunk->job->pipeline);
    } else {
        pull_copied(chunk);
    }
}

void bc_chunk_read_done(struct bc_get_op *op, int result)
{
    struct bc_chunk *chunk = BC_CONTAINER_OF(op, struct bc_chunk, get_op);
    struct bc_job *job = chunk->job;
    if (result != 0) {
        job->pipeline->pull_window--;
        chunk->status = bc_status_from_errno(result);
        chunk_end(chunk);
        return;
    }
    BC_ASSERT(op->len > 0 && op->len <= chunk->len - chunk->view_done);
    /* DMA only reads this memory on a pull. */
    chunk->data = (uint8_t *)(uintptr_t)op->data;
    chunk->view_len = op->len;
    chunk->piece = chunk->first_piece;
    chunk->piece_offset = chunk->first_offset;
    bc_chunk_ready_for_dma(chunk);
}

static void task_done(struct bc_dma_task *task, int result)
{
    struct bc_dma_slot *slot = BC_CONTAINER_OF(task, struct bc_dma_slot, task);
    struct bc_chunk *chunk = slot->chunk;
    struct bc_job *job = chunk->job;
    struct bc_pipeline *pipeline = job->pipeline;
    bc_list_push_front(&pipeline->free_slots, &slot->node);
    chunk->tasks--;
    if (result == 0) {
        job->bytes_moved += task->len;
        bc_counter_add(task->direction == BC_DMA_FROM_HOST ? &pipeline->push_bytes
                                                           : &pipeline->pull_bytes,
                       task->len);
    } else {
        bc_counter_add(&pipeline->dma_errors, 1);
        chunk->status = bc_status_from_errno(result);
    }
    bc_pipeline_kick(pipeline);
    copied_if_done(chunk);
}

/* The chunk needs no more DMA slots. */
static void leave_dma_queue(struct bc_chunk *chunk)
{
    struct bc_flow *flow = chunk->job->flow;
    struct bc_pipeline *pipeline = chunk->job->pipeline;
    bc_list_remove(&flow->chunks, &chunk->node);
    if (bc_list_empty(&flow->chunks)) {
        bc_drr_deactivate(&pipeline->dma, &flow->dma);
    }
    chunk->submitted = true;
    copied_if_done(chunk);
}

/* False when the engine takes nothing more now. */
static bool submit_segment(struct bc_chunk *chunk, const struct segment *segment)
{
    struct bc_job *job = chunk->job;
    struct bc_pipeline *pipeline = job->pipeline;
    struct bc_list_node *node = bc_list_pop_front(&pipeline->free_slots);
    struct bc_dma_slot *slot = BC_CONTAINER_OF(node, struct bc_dma_slot, node);
    slot->chunk = chunk;
    slot->task.direction = job->op == BC_TRANSFER_PUSH ? BC_DMA_FROM_HOST : BC_DMA_TO_HOST;
    slot->task.import = segment->piece->region->imports[pipeline->options.worker];
    slot->task.import_offset = segment->piece->memory_offset + segment->offset;
    slot->task.local = segment->local;
    slot->task.len = segment->len;
    slot->task.done = task_done;
    int rc = bc_dma_submit(pipeline->options.dma, &slot->task);
    if (rc != 0) {
        bc_list_push_front(&pipeline->free_slots, &slot->node);
    }
    if (rc == -EAGAIN) {
        return false;
    }
    if (rc != 0) {
        bc_counter_add(&pipeline->dma_errors, 1);
        chunk->status = rc == -ERANGE ? BC_STATUS_RANGE : BC_STATUS_DMA_ERROR;
        return true;
    }
    chunk->tasks++;
    chunk->piece_offset = segment->offset + segment->len;
    return true;
}

void bc_chunks_run_dma(struct bc_pipeline *pipeline)
{
    while (!bc_list_empty(&pipeline->free_slots)) {
        struct bc_drr_flow *drr_flow = bc_drr_pick(&pipeline->dma, dma_cost);
        if (drr_flow == NULL) {
            return;
        }
        struct bc_flow *flow = BC_CONTAINER_OF(drr_flow, struct bc_flow, dma);
        struct bc_chunk *chunk =
            BC_CONTAINER_OF(bc_list_first(&flow->chunks), struct bc_chunk, node);
        struct segment segment;
        bool more =
            chunk->status == BC_STATUS_OK && !chunk->job->failed && next_task(chunk, &segment);
        if (!more) {
            leave_dma_queue(chunk);
            continue;
        }
        bc_drr_charge(drr_flow, segment.len);
        if (!submit_segment(chunk, &segment)) {
            drr_flow->deficit_bytes += segment.len;
            return;
        }
        /* A chunk that was just finished must not wait for the next free slot to be noticed. */
        if (chunk->status != BC_STATUS_OK || !next_task(chunk, &segment)) {
            leave_dma_queue(chunk);
        }
    }
}
