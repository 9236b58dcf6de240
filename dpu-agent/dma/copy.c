/* SPDX-License-Identifier: Apache-2.0 */
/* copy.c - tasks: checked, given their buffers, submitted, completed.
 *
 * Invariants: a task in flight owns a slot, the slot's local buf and one remote buf; all three are
 * given back before the caller hears of the completion. Nothing is allocated: the remote buf comes
 * from the inventory, which holds enough for every slot. */
#include "dma/internal.h"

#include <errno.h>

#include "base/log.h"

static int check_task(const struct bc_dma_engine *engine, const struct bc_dma_task *task)
{
    const struct bc_dma_import *import = task->import;
    uint64_t local_offset = (uint64_t)((uintptr_t)task->local - (uintptr_t)engine->local);

    if (task->len == 0 || task->len > engine->device->max_len ||
        (uintptr_t)task->local < (uintptr_t)engine->local || local_offset > engine->local_len ||
        task->len > engine->local_len - local_offset ||
        (task->direction != BC_DMA_FROM_HOST && task->direction != BC_DMA_TO_HOST)) {
        return -EINVAL;
    }
    if (task->import_offset > import->len || task->len > import->len - task->import_offset) {
        return -ERANGE;
    }
    return import->failures >= BC_DMA_IMPORT_FAILURES_MAX ? -EREMOTEIO : 0;
}

/* Points the slot's task at the bytes. A source's window is the bytes, a destination's is empty and
 * at their beginning: the copy goes where the window ends. */
static doca_error_t prepare(struct bc_dma_engine *engine, struct bc_dma_slot *slot,
                            const struct bc_dma_task *task)
{
    bool from_host = task->direction == BC_DMA_FROM_HOST;
    uint8_t *remote = task->import->base + task->import_offset;
    doca_error_t error =
        doca_buf_inventory_buf_get_by_args(engine->inventory, task->import->mmap, remote, task->len,
                                           remote, from_host ? task->len : 0, &slot->remote);

    if (error != DOCA_SUCCESS) {
        return error;
    }
    (void)doca_buf_set_data(slot->local, task->local, from_host ? 0 : task->len);
    doca_dma_task_memcpy_set_src(slot->task, from_host ? slot->remote : slot->local);
    doca_dma_task_memcpy_set_dst(slot->task, from_host ? slot->local : slot->remote);
    return DOCA_SUCCESS;
}

static int refuse(struct bc_dma_engine *engine)
{
    engine->refused = true;
    return -EAGAIN;
}

static int submit_error(struct bc_dma_engine *engine, doca_error_t error)
{
    switch (error) {
    case DOCA_ERROR_AGAIN:
    case DOCA_ERROR_FULL:
    case DOCA_ERROR_NO_MEMORY:
        return refuse(engine);
    case DOCA_ERROR_BAD_STATE:
        bc_dma_context_check(engine);
        if (engine->state == BC_DMA_DRAINING) {
            return refuse(engine);
        }
        break;
    default:
        break;
    }
    BC_ERROR("dma", "the SDK refuses a copy: %s", doca_error_get_descr(error));
    return -EREMOTEIO;
}

int bc_dma_copy_submit(struct bc_dma *dma, struct bc_dma_task *task)
{
    struct bc_dma_engine *engine = bc_dma_engine_of(dma);
    struct bc_dma_slot *slot;
    doca_error_t error;
    int rc = check_task(engine, task);

    if (rc != 0) {
        return rc;
    }
    if (engine->state == BC_DMA_DRAINING && engine->attempts >= BC_DMA_ATTEMPTS_MAX) {
        return -EREMOTEIO;
    }
    if (engine->state != BC_DMA_RUNNING || engine->free_count == 0) {
        return refuse(engine);
    }
    slot = &engine->slots[engine->free_slots[engine->free_count - 1]];
    error = prepare(engine, slot, task);
    if (error != DOCA_SUCCESS) {
        return submit_error(engine, error);
    }
    error = doca_task_submit(doca_dma_task_memcpy_as_task(slot->task));
    if (error != DOCA_SUCCESS) {
        (void)doca_buf_dec_refcount(slot->remote, NULL);
        slot->remote = NULL;
        return submit_error(engine, error);
    }
    engine->free_count--;
    engine->in_flight++;
    task->import->in_flight++;
    task->internal = slot;
    slot->user = task;
    slot->start_ns = bc_clock_now_ns(bc_clock_monotonic());
    bc_counter_set(&engine->counters.in_flight, engine->in_flight);
    return 0;
}

/* The task may be used again, or freed, by its callback. */
static void finish(struct bc_dma_slot *slot, int result)
{
    struct bc_dma_engine *engine = slot->engine;
    struct bc_dma_task *task = slot->user;

    (void)doca_buf_dec_refcount(slot->remote, NULL);
    slot->remote = NULL;
    slot->user = NULL;
    task->internal = NULL;
    task->import->in_flight--;
    engine->in_flight--;
    engine->free_slots[engine->free_count++] = (uint32_t)(slot - engine->slots);
    bc_dma_context_settle(engine, slot);
    bc_counter_set(&engine->counters.in_flight, engine->in_flight);
    bc_counter_add(&engine->counters.tasks, 1);
    task->done(task, result);
}

void bc_dma_copy_done(struct doca_dma_task_memcpy *task, union doca_data user_data,
                      union doca_data ctx_user_data)
{
    struct bc_dma_slot *slot = user_data.ptr;
    struct bc_dma_engine *engine = ctx_user_data.ptr;

    (void)task;
    slot->user->import->failures = 0;
    bc_counter_add(&engine->counters.bytes[slot->user->direction], slot->user->len);
    bc_histogram_record(&engine->counters.latency_ns,
                        bc_clock_now_ns(bc_clock_monotonic()) - slot->start_ns);
    finish(slot, 0);
}

void bc_dma_copy_failed(struct doca_dma_task_memcpy *task, union doca_data user_data,
                        union doca_data ctx_user_data)
{
    struct bc_dma_slot *slot = user_data.ptr;
    struct bc_dma_engine *engine = ctx_user_data.ptr;
    struct bc_dma_import *import = slot->user->import;
    doca_error_t status = doca_task_get_status(doca_dma_task_memcpy_as_task(task));

    bc_counter_add(&engine->counters.errors, 1);
    if (engine->state == BC_DMA_RUNNING) {
        /* It failed by itself; the others come back only because the context was stopped. */
        import->failures++;
        if (import->failures == 1 || import->failures == BC_DMA_IMPORT_FAILURES_MAX) {
            BC_WARN_LIMITED("dma", "a copy of %u bytes %s a client's memory failed: %s%s",
                            slot->user->len,
                            slot->user->direction == BC_DMA_FROM_HOST ? "from" : "to",
                            doca_error_get_name(status),
                            import->failures == 1 ? "" : "; the memory is not used any more");
        }
        bc_dma_context_check(engine);
    }
    finish(slot, engine->state == BC_DMA_STOPPING ? -ECANCELED : -EREMOTEIO);
}
