/* SPDX-License-Identifier: Apache-2.0 */
/* ctx.c - the state machine of contexts. */
#include "dev.h"
#include "pe.h"

#include <string.h>

void emu_ctx_init(struct doca_ctx *ctx, const struct emu_ctx_ops *ops)
{
    memset(ctx, 0, sizeof(*ctx));
    ctx->ops = ops;
    ctx->state = DOCA_CTX_STATE_IDLE;
    ctx->wait_fd = -1;
    atomic_init(&ctx->flushing, false);
}

doca_error_t emu_ctx_fini(struct doca_ctx *ctx)
{
    if (ctx->state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_IN_USE;
    }
    if (ctx->pe != NULL) {
        emu_pe_unwatch(ctx);
        ctx->pe->num_events -= ctx->num_events;
        ctx->pe->num_polled -= (ctx->ops->progress != NULL);
        struct doca_ctx **link = &ctx->pe->contexts;
        while (*link != ctx) {
            link = &(*link)->next;
        }
        *link = ctx->next;
        ctx->pe = NULL;
    }
    return DOCA_SUCCESS;
}

void emu_ctx_set_state(struct doca_ctx *ctx, enum doca_ctx_states next)
{
    enum doca_ctx_states prev = ctx->state;
    ctx->state = next;
    ctx->pe->num_stopping += (next == DOCA_CTX_STATE_STOPPING);
    ctx->pe->num_stopping -= (prev == DOCA_CTX_STATE_STOPPING);
    if (ctx->state_cb == NULL) {
        return;
    }
    if (ctx->num_events == EMU_CTX_EVENTS_MAX) {
        /* Nobody progresses; the newest changes are the ones worth keeping. */
        memmove(&ctx->events[0], &ctx->events[1], sizeof(ctx->events) - sizeof(ctx->events[0]));
        ctx->num_events--;
        ctx->pe->num_events--;
    }
    ctx->events[ctx->num_events++] = (struct emu_ctx_event){prev, next};
    ctx->pe->num_events++;
}

void emu_ctx_report_event(struct doca_ctx *ctx)
{
    struct emu_ctx_event event = ctx->events[0];
    ctx->num_events--;
    ctx->pe->num_events--;
    memmove(&ctx->events[0], &ctx->events[1], ctx->num_events * sizeof(ctx->events[0]));
    ctx->state_cb(ctx->user_data, ctx, event.prev, event.next);
}

bool emu_ctx_can_idle(const struct doca_ctx *ctx)
{
    return ctx->state == DOCA_CTX_STATE_STOPPING && ctx->in_flight == 0 && ctx->allocated == 0 &&
           (ctx->ops->can_idle == NULL || ctx->ops->can_idle(ctx));
}

void emu_ctx_begin_stop(struct doca_ctx *ctx)
{
    if (ctx->state != DOCA_CTX_STATE_RUNNING && ctx->state != DOCA_CTX_STATE_STARTING) {
        return;
    }
    emu_ctx_set_state(ctx, DOCA_CTX_STATE_STOPPING);
    atomic_store(&ctx->flushing, true);
    doca_ctx_flush_tasks(ctx);
    if (ctx->ops->stop != NULL) {
        ctx->ops->stop(ctx);
    }
    emu_task_list_join(&ctx->pe->ready, &ctx->held);
    emu_pe_kick(ctx->pe);
}

doca_error_t doca_ctx_start(struct doca_ctx *ctx)
{
    if (ctx == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (ctx->pe == NULL) {
        return DOCA_ERROR_NOT_CONNECTED;
    }
    if (ctx->state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    atomic_store(&ctx->flushing, false);
    doca_error_t result = ctx->ops->start(ctx);
    if (result == DOCA_SUCCESS || result == DOCA_ERROR_IN_PROGRESS) {
        emu_ctx_set_state(ctx, result == DOCA_SUCCESS ? DOCA_CTX_STATE_RUNNING
                                                      : DOCA_CTX_STATE_STARTING);
        emu_pe_kick(ctx->pe);
    }
    return result;
}

doca_error_t doca_ctx_stop(struct doca_ctx *ctx)
{
    if (ctx == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (ctx->state == DOCA_CTX_STATE_IDLE) {
        return DOCA_SUCCESS; /* programs stop in the last callback, and once more when they end */
    }
    emu_ctx_begin_stop(ctx);
    if (!emu_ctx_can_idle(ctx)) {
        return DOCA_ERROR_IN_PROGRESS;
    }
    emu_ctx_set_state(ctx, DOCA_CTX_STATE_IDLE);
    return DOCA_SUCCESS;
}

doca_error_t doca_ctx_get_num_inflight_tasks(const struct doca_ctx *ctx, size_t *num_inflight_tasks)
{
    if (ctx == NULL || num_inflight_tasks == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *num_inflight_tasks = ctx->in_flight;
    return DOCA_SUCCESS;
}

doca_error_t doca_ctx_set_datapath_on_gpu(struct doca_ctx *ctx, struct doca_gpu *gpu_dev)
{
    if (ctx == NULL || gpu_dev == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_ERROR_NOT_SUPPORTED;
}

doca_error_t doca_ctx_set_user_data(struct doca_ctx *ctx, union doca_data user_data)
{
    if (ctx == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (ctx->state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    ctx->user_data = user_data;
    return DOCA_SUCCESS;
}

doca_error_t doca_ctx_get_user_data(const struct doca_ctx *ctx, union doca_data *user_data)
{
    if (ctx == NULL || user_data == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *user_data = ctx->user_data;
    return DOCA_SUCCESS;
}

doca_error_t doca_ctx_set_state_changed_cb(struct doca_ctx *ctx,
                                           doca_ctx_state_changed_callback_t cb)
{
    if (ctx == NULL || cb == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (ctx->state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    ctx->state_cb = cb;
    return DOCA_SUCCESS;
}

doca_error_t doca_ctx_get_state(const struct doca_ctx *ctx, enum doca_ctx_states *state)
{
    if (ctx == NULL || state == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *state = ctx->state;
    return DOCA_SUCCESS;
}

void doca_ctx_flush_tasks(struct doca_ctx *ctx)
{
    if (ctx != NULL && ctx->batch.first != NULL) {
        struct emu_task_list tasks = ctx->batch;
        ctx->batch = (struct emu_task_list){NULL, NULL};
        ctx->ops->submit(ctx, tasks);
    }
}

doca_error_t doca_ctx_set_completion_vector(struct doca_ctx *ctx, uint32_t comp_vector)
{
    if (ctx == NULL || comp_vector != 0) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return ctx->state == DOCA_CTX_STATE_IDLE ? DOCA_SUCCESS : DOCA_ERROR_BAD_STATE;
}

doca_error_t doca_ctx_cap_get_num_completion_vectors(const struct doca_devinfo *devinfo,
                                                     uint32_t *num_comp_vectors)
{
    if (devinfo == NULL || num_comp_vectors == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *num_comp_vectors = 1;
    return DOCA_SUCCESS;
}
