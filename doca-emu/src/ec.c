/* SPDX-License-Identifier: Apache-2.0 */
/* ec.c - the erasure coding context: pools of four kinds of tasks and the engine that runs them. */
#include "ec.h"

#include "faults.h"
#include "pe.h"

#include <stdlib.h>
#include <unistd.h>

static struct doca_ec *ec_of(struct doca_ctx *ctx)
{
    return (struct doca_ec *)ctx;
}

static struct emu_ec_task *work_of(struct doca_task *task)
{
    return (struct emu_ec_task *)task;
}

/* --- on engine threads ------------------------------------------------------------------------ */

static doca_error_t execute(struct emu_ec_task *work)
{
    struct doca_task *task = &work->task;
    uint64_t block = 0;
    if (atomic_load(&task->ctx->flushing) || emu_fault_strikes(DOCA_EMU_FAULT_IO_FAILED)) {
        return DOCA_ERROR_IO_FAILED;
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_CTX_DROP)) {
        task->fatal = true;
        return DOCA_ERROR_IO_FAILED;
    }
    return emu_ec_valid(work, &block) ? emu_ec_run(work, block) : DOCA_ERROR_IO_FAILED;
}

static void run_task(struct doca_task *task)
{
    task->status = execute(work_of(task));
    uint64_t delay_us = emu_fault_value(DOCA_EMU_FAULT_COMPLETE_DELAY);
    if (delay_us != 0) {
        usleep((useconds_t)delay_us);
    }
    emu_pe_complete(task->ctx->pe, task);
}

/* --- operations of the context ---------------------------------------------------------------- */

static doca_error_t fill_pool(struct emu_ec_pool *pool)
{
    if (pool->num_tasks == 0 || pool->tasks != NULL) {
        return DOCA_SUCCESS;
    }
    pool->tasks = calloc(pool->num_tasks, sizeof(pool->tasks[0]));
    if (pool->tasks == NULL) {
        return DOCA_ERROR_INITIALIZATION;
    }
    pool->free_tasks = (struct emu_task_list){NULL, NULL};
    for (uint32_t i = 0; i < pool->num_tasks; i++) {
        emu_task_list_add(&pool->free_tasks, &pool->tasks[i].task);
    }
    return DOCA_SUCCESS;
}

static doca_error_t ec_start(struct doca_ctx *ctx)
{
    struct doca_ec *ec = ec_of(ctx);
    const struct emu_limits *limits = &ec->dev->info.world->limits;
    uint32_t configured = 0;
    for (size_t kind = 0; kind < EMU_EC_KINDS; kind++) {
        configured += ec->pools[kind].num_tasks;
        if (fill_pool(&ec->pools[kind]) != DOCA_SUCCESS) {
            return DOCA_ERROR_INITIALIZATION;
        }
    }
    if (configured == 0) {
        return DOCA_ERROR_INITIALIZATION;
    }
    if (ec->engine == NULL && emu_engine_create(limits->engine_threads, limits->spin_ns, run_task,
                                                &ec->engine) != DOCA_SUCCESS) {
        return DOCA_ERROR_INITIALIZATION;
    }
    return DOCA_SUCCESS;
}

static void ec_submit(struct doca_ctx *ctx, struct emu_task_list tasks)
{
    emu_engine_submit(ec_of(ctx)->engine, tasks);
}

static bool ec_task_valid(const struct doca_task *task)
{
    return emu_ec_valid((const struct emu_ec_task *)task, NULL);
}

static void ec_complete(struct doca_task *task)
{
    struct emu_ec_task *work = work_of(task);
    const struct emu_ec_pool *pool = &ec_of(task->ctx)->pools[work->kind];
    (task->status == DOCA_SUCCESS ? pool->done_cb : pool->error_cb)(work, task->user_data,
                                                                    task->ctx->user_data);
}

static void ec_free_task(struct doca_task *task)
{
    emu_task_list_add(&ec_of(task->ctx)->pools[work_of(task)->kind].free_tasks, task);
}

static const struct emu_ctx_ops ec_ops = {
    .start = ec_start,
    .submit = ec_submit,
    .valid = ec_task_valid,
    .complete = ec_complete,
    .free_task = ec_free_task,
};

/* --- for the functions of each kind ----------------------------------------------------------- */

doca_error_t emu_ec_set_conf(struct doca_ec *ec, enum emu_ec_kind kind, emu_ec_cb done_cb,
                             emu_ec_cb error_cb, uint32_t num_tasks)
{
    if (ec == NULL || done_cb == NULL || error_cb == NULL || num_tasks == 0 ||
        num_tasks > ec->dev->info.world->limits.max_tasks) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (ec->ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    struct emu_ec_pool *pool = &ec->pools[kind];
    free(pool->tasks);
    *pool = (struct emu_ec_pool){.done_cb = done_cb, .error_cb = error_cb, .num_tasks = num_tasks};
    return DOCA_SUCCESS;
}

static bool matrix_fits(enum emu_ec_kind kind, const struct doca_ec_matrix *matrix)
{
    switch (kind) {
    case EMU_EC_UPDATE:
        return matrix->kind == EMU_EC_MATRIX_UPDATE;
    case EMU_EC_RECOVER:
        return matrix->kind == EMU_EC_MATRIX_RECOVER;
    default:
        return matrix->kind == EMU_EC_MATRIX_CODING;
    }
}

doca_error_t emu_ec_allocate(struct doca_ec *ec, enum emu_ec_kind kind,
                             const struct doca_ec_matrix *matrix, const struct doca_buf *src,
                             struct doca_buf *dst, union doca_data user_data,
                             struct emu_ec_task **task)
{
    if (ec == NULL || matrix == NULL || src == NULL || dst == NULL || task == NULL ||
        !matrix_fits(kind, matrix)) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (ec->ctx.state != DOCA_CTX_STATE_RUNNING) {
        return DOCA_ERROR_BAD_STATE;
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_TASK_NO_MEMORY)) {
        return DOCA_ERROR_NO_MEMORY;
    }
    struct doca_task *fresh = emu_task_list_pop(&ec->pools[kind].free_tasks);
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    emu_task_init(fresh, &ec->ctx, user_data);
    struct emu_ec_task *work = work_of(fresh);
    work->kind = kind;
    work->matrix = matrix;
    work->src = src;
    work->dst = dst;
    *task = work;
    return DOCA_SUCCESS;
}

bool emu_ec_changeable(const struct emu_ec_task *task)
{
    if (task == NULL || task->task.state == EMU_TASK_OWNED) {
        return task != NULL;
    }
    emu_misuse("change of an erasure coding task that is in flight or was freed");
    return false;
}

/* --- the public functions of the context ------------------------------------------------------ */

doca_error_t doca_ec_create(struct doca_dev *dev, struct doca_ec **ec)
{
    if (dev == NULL || ec == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_ec *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    emu_faults_init();
    emu_ctx_init(&fresh->ctx, &ec_ops);
    emu_dev_use(dev);
    fresh->dev = dev;
    *ec = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_ec_destroy(struct doca_ec *ec)
{
    if (ec == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (ec->ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    /* Before the tie to the progress engine is cut: a thread may still be on its way out of it. */
    emu_engine_destroy(ec->engine);
    doca_error_t result = emu_ctx_fini(&ec->ctx);
    emu_dev_unuse(ec->dev);
    for (size_t kind = 0; kind < EMU_EC_KINDS; kind++) {
        free(ec->pools[kind].tasks);
    }
    free(ec);
    return result;
}

struct doca_ctx *doca_ec_as_ctx(struct doca_ec *ec)
{
    return ec == NULL ? NULL : &ec->ctx;
}

doca_error_t doca_ec_cap_get_max_block_size(const struct doca_devinfo *devinfo,
                                            uint64_t *max_block_size)
{
    if (devinfo == NULL || max_block_size == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *max_block_size = devinfo->world->limits.max_ec_block;
    return DOCA_SUCCESS;
}

doca_error_t doca_ec_cap_get_max_buf_list_len(const struct doca_devinfo *devinfo,
                                              uint32_t *max_buf_list_len)
{
    if (devinfo == NULL || max_buf_list_len == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *max_buf_list_len = devinfo->world->limits.max_list_len;
    return DOCA_SUCCESS;
}
