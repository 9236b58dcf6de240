/* SPDX-License-Identifier: Apache-2.0 */
/* dma.c - the DMA context: a pool of memcpy tasks and the engine that runs them. */
#include "doca_dma.h"

#include "copy.h"
#include "ctx.h"
#include "dev.h"
#include "engine.h"
#include "faults.h"
#include "pe.h"
#include "transfer.h"

#include <stdlib.h>
#include <unistd.h>

struct doca_dma_task_memcpy {
    struct doca_task task; /* first */
    const struct doca_buf *src;
    struct doca_buf *dst;
};

struct doca_dma {
    struct doca_ctx ctx; /* first */
    struct doca_dev *dev;
    doca_dma_task_memcpy_completion_cb_t done_cb;
    doca_dma_task_memcpy_completion_cb_t error_cb;
    uint32_t num_tasks;
    struct doca_dma_task_memcpy *tasks; /* made at start, kept until reconfigured or destroyed */
    struct emu_task_list free_tasks;
    struct emu_engine *engine; /* made at the first start */
};

static struct doca_dma *dma_of(struct doca_ctx *ctx)
{
    return (struct doca_dma *)ctx;
}

static struct doca_dma_task_memcpy *memcpy_of(struct doca_task *task)
{
    return (struct doca_dma_task_memcpy *)task;
}

/* --- on engine threads ------------------------------------------------------------------------ */

static doca_error_t execute(struct doca_dma_task_memcpy *copy)
{
    struct doca_task *task = &copy->task;
    const struct doca_dma *dma = dma_of(task->ctx);
    uint64_t bytes = 0;
    if (atomic_load(&task->ctx->flushing) || emu_fault_strikes(DOCA_EMU_FAULT_IO_FAILED)) {
        return DOCA_ERROR_IO_FAILED;
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_CTX_DROP)) {
        task->fatal = true;
        return DOCA_ERROR_IO_FAILED;
    }
    if (!emu_transfer_valid(dma->dev, copy->src, copy->dst, &bytes)) {
        task->fatal = bytes > dma->dev->info.world->limits.max_buf_size;
        return DOCA_ERROR_IO_FAILED;
    }
    if (bytes == 0 && dma->dev->info.world->limits.empty_source_fails) {
        task->fatal = true;
        return DOCA_ERROR_IO_FAILED;
    }
    return emu_transfer_run(copy->src, copy->dst);
}

static void run_task(struct doca_task *task)
{
    task->status = execute(memcpy_of(task));
    uint64_t delay_us = emu_fault_value(DOCA_EMU_FAULT_COMPLETE_DELAY);
    if (delay_us != 0) {
        usleep((useconds_t)delay_us);
    }
    emu_pe_complete(task->ctx->pe, task);
}

/* --- operations of the context ---------------------------------------------------------------- */

static doca_error_t dma_start(struct doca_ctx *ctx)
{
    struct doca_dma *dma = dma_of(ctx);
    const struct emu_limits *limits = &dma->dev->info.world->limits;
    if (dma->done_cb == NULL) {
        return DOCA_ERROR_INITIALIZATION;
    }
    if (dma->tasks == NULL) {
        dma->tasks = calloc(dma->num_tasks, sizeof(dma->tasks[0]));
        if (dma->tasks == NULL) {
            return DOCA_ERROR_INITIALIZATION;
        }
        dma->free_tasks = (struct emu_task_list){NULL, NULL};
        for (uint32_t i = 0; i < dma->num_tasks; i++) {
            emu_task_list_add(&dma->free_tasks, &dma->tasks[i].task);
        }
    }
    if (dma->engine == NULL && emu_engine_create(limits->engine_threads, limits->spin_ns, run_task,
                                                 &dma->engine) != DOCA_SUCCESS) {
        return DOCA_ERROR_INITIALIZATION;
    }
    return DOCA_SUCCESS;
}

static void dma_submit(struct doca_ctx *ctx, struct emu_task_list tasks)
{
    emu_engine_submit(dma_of(ctx)->engine, tasks);
}

static bool dma_task_valid(const struct doca_task *task)
{
    const struct doca_dma_task_memcpy *copy = (const struct doca_dma_task_memcpy *)task;
    return emu_transfer_valid(dma_of(task->ctx)->dev, copy->src, copy->dst, NULL);
}

static void dma_complete(struct doca_task *task)
{
    struct doca_dma *dma = dma_of(task->ctx);
    (task->status == DOCA_SUCCESS ? dma->done_cb : dma->error_cb)(memcpy_of(task), task->user_data,
                                                                  task->ctx->user_data);
}

static void dma_free_task(struct doca_task *task)
{
    emu_task_list_add(&dma_of(task->ctx)->free_tasks, task);
}

static const struct emu_ctx_ops dma_ops = {
    .start = dma_start,
    .submit = dma_submit,
    .valid = dma_task_valid,
    .complete = dma_complete,
    .free_task = dma_free_task,
};

/* --- the public functions --------------------------------------------------------------------- */

doca_error_t doca_dma_create(struct doca_dev *dev, struct doca_dma **dma)
{
    if (dev == NULL || dma == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_dma *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    emu_copy_init();
    emu_faults_init();
    emu_ctx_init(&fresh->ctx, &dma_ops);
    emu_dev_use(dev);
    fresh->dev = dev;
    *dma = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_dma_destroy(struct doca_dma *dma)
{
    if (dma == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (dma->ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_IN_USE;
    }
    /* Before the tie to the progress engine is cut: a thread may still be on its way out of it. */
    emu_engine_destroy(dma->engine);
    doca_error_t result = emu_ctx_fini(&dma->ctx);
    emu_dev_unuse(dma->dev);
    free(dma->tasks);
    free(dma);
    return result;
}

doca_error_t doca_dma_cap_task_memcpy_is_supported(const struct doca_devinfo *devinfo)
{
    return devinfo == NULL ? DOCA_ERROR_INVALID_VALUE : DOCA_SUCCESS;
}

struct doca_ctx *doca_dma_as_ctx(struct doca_dma *dma)
{
    return dma == NULL ? NULL : &dma->ctx;
}

doca_error_t doca_dma_cap_get_max_num_tasks(struct doca_dma *dma, uint32_t *max_num_tasks)
{
    if (dma == NULL || max_num_tasks == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *max_num_tasks = dma->dev->info.world->limits.max_tasks;
    return DOCA_SUCCESS;
}

doca_error_t doca_dma_cap_task_memcpy_get_max_buf_list_len(const struct doca_devinfo *devinfo,
                                                           uint32_t *max_buf_list_len)
{
    if (devinfo == NULL || max_buf_list_len == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *max_buf_list_len = devinfo->world->limits.max_list_len;
    return DOCA_SUCCESS;
}

doca_error_t doca_dma_cap_task_memcpy_get_max_buf_size(const struct doca_devinfo *devinfo,
                                                       uint64_t *buf_size)
{
    if (devinfo == NULL || buf_size == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *buf_size = devinfo->world->limits.max_buf_size;
    return DOCA_SUCCESS;
}

doca_error_t doca_dma_task_memcpy_set_conf(struct doca_dma *dma,
                                           doca_dma_task_memcpy_completion_cb_t task_completion_cb,
                                           doca_dma_task_memcpy_completion_cb_t task_error_cb,
                                           uint32_t num_memcpy_tasks)
{
    if (dma == NULL || task_completion_cb == NULL || task_error_cb == NULL ||
        num_memcpy_tasks == 0 || num_memcpy_tasks > dma->dev->info.world->limits.max_tasks) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (dma->ctx.state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    free(dma->tasks);
    dma->tasks = NULL;
    dma->done_cb = task_completion_cb;
    dma->error_cb = task_error_cb;
    dma->num_tasks = num_memcpy_tasks;
    return DOCA_SUCCESS;
}

doca_error_t doca_dma_task_memcpy_alloc_init(struct doca_dma *dma, const struct doca_buf *src,
                                             struct doca_buf *dst, union doca_data user_data,
                                             struct doca_dma_task_memcpy **task)
{
    if (dma == NULL || task == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (dma->ctx.state != DOCA_CTX_STATE_RUNNING) {
        return DOCA_ERROR_BAD_STATE;
    }
    if (emu_fault_strikes(DOCA_EMU_FAULT_TASK_NO_MEMORY)) {
        return DOCA_ERROR_NO_MEMORY;
    }
    struct doca_task *fresh = emu_task_list_pop(&dma->free_tasks);
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    emu_task_init(fresh, &dma->ctx, user_data);
    memcpy_of(fresh)->src = src;
    memcpy_of(fresh)->dst = dst;
    *task = memcpy_of(fresh);
    return DOCA_SUCCESS;
}

struct doca_task *doca_dma_task_memcpy_as_task(struct doca_dma_task_memcpy *task)
{
    return task == NULL ? NULL : &task->task;
}

/* A task in flight is the engine's. */
static bool changeable(const struct doca_dma_task_memcpy *task)
{
    if (task == NULL || task->task.state == EMU_TASK_OWNED) {
        return task != NULL;
    }
    emu_misuse("change of a memcpy task that is in flight or was freed");
    return false;
}

void doca_dma_task_memcpy_set_src(struct doca_dma_task_memcpy *task, const struct doca_buf *src)
{
    if (changeable(task)) {
        task->src = src;
    }
}

const struct doca_buf *doca_dma_task_memcpy_get_src(const struct doca_dma_task_memcpy *task)
{
    return task == NULL ? NULL : task->src;
}

void doca_dma_task_memcpy_set_dst(struct doca_dma_task_memcpy *task, struct doca_buf *dst)
{
    if (changeable(task)) {
        task->dst = dst;
    }
}

struct doca_buf *doca_dma_task_memcpy_get_dst(const struct doca_dma_task_memcpy *task)
{
    return task == NULL ? NULL : task->dst;
}

doca_error_t doca_dma_get_gpu_handle(struct doca_dma *dma, struct doca_gpu_dma **gpu_dma)
{
    if (dma == NULL || gpu_dma == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_ERROR_NOT_SUPPORTED;
}
