/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline_job.c - begins and ends the work on one object. */
#include <errno.h>

#include "base/log.h"
#include "session/pipeline_internal.h"

static const char *const state_names[] = {
    [BC_JOB_WAITING] = "waiting",     [BC_JOB_OPENING] = "opening", [BC_JOB_RUNNING] = "running",
    [BC_JOB_FINISHING] = "finishing", [BC_JOB_DONE] = "done",
};

static void set_state(struct bc_job *job, enum bc_job_state next)
{
    static const uint8_t edges[] = {
        [BC_JOB_WAITING] = 1 << BC_JOB_OPENING | 1 << BC_JOB_RUNNING | 1 << BC_JOB_DONE,
        [BC_JOB_OPENING] = 1 << BC_JOB_RUNNING | 1 << BC_JOB_DONE,
        [BC_JOB_RUNNING] = 1 << BC_JOB_FINISHING | 1 << BC_JOB_DONE,
        [BC_JOB_FINISHING] = 1 << BC_JOB_DONE,
        [BC_JOB_DONE] = 0,
    };
    BC_ASSERT((edges[job->state] & (1 << next)) != 0);
    BC_TRACE("pipeline", "job %p %s -> %s", (void *)job, state_names[job->state],
             state_names[next]);
    job->state = next;
}

static void end(struct bc_job *job)
{
    struct bc_pipeline *pipeline = job->pipeline;
    if (job->status == BC_STATUS_IN_PROGRESS) {
        job->status = BC_STATUS_OK;
    }
    set_state(job, BC_JOB_DONE);
    for (uint32_t i = 0; i < job->piece_count; i++) {
        uint32_t *status = &job->statuses[job->pieces[i].entry_index];
        if (*status == BC_STATUS_IN_PROGRESS) {
            *status = job->status;
        }
    }
    if (job->status != BC_STATUS_OK) {
        bc_counter_add(&pipeline->jobs_failed, 1);
    }
    pipeline->jobs--;
    bc_pipeline_unblock(pipeline);
    job->done(job);
}

static void commit_done(struct bc_batch_op *op, int result)
{
    struct bc_job *job = BC_CONTAINER_OF(op, struct bc_job, commit_op);
    job->pipeline->puts_open--;
    job->status = bc_status_from_errno(result);
    end(job);
}

static void end_put(struct bc_job *job)
{
    const struct bc_backend_ops *ops = job->pipeline->options.backend->ops;
    if (job->put == NULL) {
        end(job);
        return;
    }
    struct bc_put *put = job->put;
    job->put = NULL;
    if (job->failed) {
        ops->put_abort(put);
        job->pipeline->puts_open--;
        end(job);
        return;
    }
    set_state(job, BC_JOB_FINISHING);
    job->commit_op.done = commit_done;
    ops->put_commit(put, &job->commit_op);
}

static void end_get(struct bc_job *job)
{
    if (job->get != NULL) {
        job->pipeline->options.backend->ops->get_close(job->get);
        job->get = NULL;
        job->pipeline->gets_open--;
    }
    end(job);
}

void bc_job_check(struct bc_job *job)
{
    if (job->checking || job->chunks > 0 || job->state == BC_JOB_OPENING ||
        !(job->failed || job->admitted)) {
        return;
    }
    if (job->op == BC_TRANSFER_PUSH) {
        end_put(job);
    } else {
        end_get(job);
    }
}

void bc_job_check_later(struct bc_job *job)
{
    if (!job->checking) {
        job->checking = true;
        bc_loop_defer(job->pipeline->options.loop, &job->finish_task);
    }
}

void bc_job_fail(struct bc_job *job, enum bc_status status)
{
    if (job->failed) {
        return;
    }
    job->failed = true;
    job->status = status;
    if (bc_list_linked(&job->node)) {
        bc_pipeline_leave_queue(job);
    }
    bc_job_check_later(job);
}

int bc_job_begin_put(struct bc_job *job)
{
    struct bc_pipeline *pipeline = job->pipeline;
    struct bc_put_hints hints = {
        .meta = job->meta, .group = job->group, .group_time = job->group_time};
    int rc = pipeline->options.backend->ops->put_begin(pipeline->options.backend, &job->key,
                                                       job->object_size, &hints, &job->put);
    if (rc == 0) {
        pipeline->puts_open++;
        set_state(job, BC_JOB_RUNNING);
    }
    return rc;
}

/* Entries past the end of the object get their own status and take no further part. */
static void check_ranges(struct bc_job *job)
{
    for (uint32_t i = 0; i < job->piece_count; i++) {
        struct bc_piece *piece = &job->pieces[i];
        if (!piece->skip && (piece->object_offset > job->object_size ||
                             piece->len > job->object_size - piece->object_offset)) {
            piece->skip = true;
            job->statuses[piece->entry_index] = BC_STATUS_RANGE;
        }
    }
}

static void open_done(struct bc_open_op *op, int result)
{
    struct bc_job *job = BC_CONTAINER_OF(op, struct bc_job, open_op);
    struct bc_pipeline *pipeline = job->pipeline;
    job->flow->opening--;
    if (!bc_list_empty(&job->flow->pull_waiting)) {
        /* It may have been waiting for this one only. */
        bc_drr_activate(&pipeline->pull, &job->flow->pull);
        bc_pipeline_kick(pipeline);
    }
    if (result != 0) {
        pipeline->gets_open--;
        if (result == -EAGAIN && !job->failed) {
            result = -EBUSY; /* the handle table is sized so that this does not happen */
        }
        set_state(job, BC_JOB_RUNNING);
        bc_job_fail(job, bc_status_from_errno(result));
        bc_job_check_later(job);
        return;
    }
    job->get = op->get;
    job->object_size = op->size;
    set_state(job, BC_JOB_RUNNING);
    if (job->failed) {
        bc_job_check_later(job);
        return;
    }
    check_ranges(job);
    bc_list_push_back(&job->flow->pull_jobs, &job->node);
    bc_drr_activate(&pipeline->pull, &job->flow->pull);
    bc_pipeline_kick(pipeline);
}

void bc_job_open(struct bc_job *job)
{
    struct bc_pipeline *pipeline = job->pipeline;
    pipeline->gets_open++;
    job->flow->opening++;
    set_state(job, BC_JOB_OPENING);
    job->open_op.key = job->key;
    job->open_op.done = open_done;
    pipeline->options.backend->ops->get_open(pipeline->options.backend, &job->open_op);
}
