/* SPDX-License-Identifier: Apache-2.0 */
/* task.c - submitting and freeing tasks, and who owns them. */
#include "faults.h"
#include "pe.h"

void emu_task_init(struct doca_task *task, struct doca_ctx *ctx, union doca_data user_data)
{
    *task = (struct doca_task){
        .ctx = ctx, .state = EMU_TASK_OWNED, .status = DOCA_SUCCESS, .user_data = user_data};
    ctx->allocated++;
}

static bool owned_by_user(const struct doca_task *task, const char *what)
{
    if (task->state == EMU_TASK_OWNED) {
        return true;
    }
    emu_misuse("%s of a task that %s", what,
               task->state == EMU_TASK_FREE ? "was freed" : "is in flight");
    return false;
}

doca_error_t doca_task_submit_ex(struct doca_task *task, uint32_t flags)
{
    const uint32_t known = DOCA_TASK_SUBMIT_FLAG_FLUSH | DOCA_TASK_SUBMIT_FLAG_OPTIMIZE_REPORTS;
    if (task == NULL || (flags & ~known) != 0) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (!owned_by_user(task, "submit")) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_ctx *ctx = task->ctx;
    if (ctx->state != DOCA_CTX_STATE_RUNNING) {
        return DOCA_ERROR_BAD_STATE;
    }
    if (ctx->ops->admit != NULL) {
        doca_error_t result = ctx->ops->admit(task);
        if (result != DOCA_SUCCESS) {
            return result;
        }
    } else if (emu_fault_strikes(DOCA_EMU_FAULT_SUBMIT_AGAIN)) {
        return DOCA_ERROR_AGAIN;
    }
    task->state = EMU_TASK_SUBMITTED;
    task->status = DOCA_ERROR_IN_PROGRESS;
    task->flags = flags;
    task->fatal = false;
    ctx->in_flight++;
    emu_task_list_add(&ctx->batch, task);
    if ((flags & DOCA_TASK_SUBMIT_FLAG_FLUSH) != 0) {
        doca_ctx_flush_tasks(ctx);
    }
    return DOCA_SUCCESS;
}

doca_error_t doca_task_submit(struct doca_task *task)
{
    return doca_task_submit_ex(task, DOCA_TASK_SUBMIT_FLAG_FLUSH);
}

doca_error_t doca_task_try_submit(struct doca_task *task)
{
    if (task == NULL || (task->state == EMU_TASK_OWNED && !task->ctx->ops->valid(task))) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return doca_task_submit(task);
}

void doca_task_free(struct doca_task *task)
{
    if (task == NULL || !owned_by_user(task, "free")) {
        return;
    }
    struct doca_ctx *ctx = task->ctx;
    task->state = EMU_TASK_FREE;
    ctx->allocated--;
    ctx->ops->free_task(task);
    if (emu_ctx_can_idle(ctx)) {
        emu_pe_kick(ctx->pe);
    }
}

doca_error_t doca_task_get_status(const struct doca_task *task)
{
    return task == NULL ? DOCA_ERROR_INVALID_VALUE : task->status;
}

void doca_task_set_user_data(struct doca_task *task, union doca_data user_data)
{
    if (task != NULL && owned_by_user(task, "change")) {
        task->user_data = user_data;
    }
}

union doca_data doca_task_get_user_data(const struct doca_task *task)
{
    union doca_data none = {.u64 = 0};
    return task == NULL ? none : task->user_data;
}

struct doca_ctx *doca_task_get_ctx(const struct doca_task *task)
{
    return task == NULL ? NULL : task->ctx;
}
