/* SPDX-License-Identifier: Apache-2.0 */
/* context.c - the DOCA context's life: started, stopped by a failed task, drained, started again.
 *
 * A context that leaves RUNNING by itself flushes its tasks (each comes back with an error) and
 * becomes idle once all task objects are freed. It is then started again; if that fails, made anew;
 * if that fails, tried again with growing pauses up to a second.
 * Thread: the loop's owner. Nothing here is called inside the SDK's callbacks but check and
 * settle. */
#include "dma/internal.h"

#include <sched.h>

#include "base/log.h"

#define DRAIN_PERIOD_NS BC_NS_PER_MS
#define RETRY_MAX_NS    BC_NS_PER_S
#define CLOSE_WAIT_NS   (5 * BC_NS_PER_S)

static const char *state_name(enum bc_dma_state state)
{
    static const char *const names[] = {"closed", "running", "draining", "stopping"};

    return names[state];
}

void bc_dma_set_state(struct bc_dma_engine *engine, enum bc_dma_state next)
{
    static const bool allowed[4][4] = {
        [BC_DMA_CLOSED] = {[BC_DMA_RUNNING] = true, [BC_DMA_STOPPING] = true},
        [BC_DMA_RUNNING] = {[BC_DMA_DRAINING] = true, [BC_DMA_STOPPING] = true},
        [BC_DMA_DRAINING] = {[BC_DMA_RUNNING] = true, [BC_DMA_STOPPING] = true},
    };

    BC_ASSERT(allowed[engine->state][next]);
    BC_TRACE("dma", "engine %s -> %s", state_name(engine->state), state_name(next));
    engine->state = next;
}

static enum doca_ctx_states context_state(const struct bc_dma_engine *engine)
{
    enum doca_ctx_states state = DOCA_CTX_STATE_IDLE;

    (void)doca_ctx_get_state(engine->ctx, &state);
    return state;
}

static void free_task(struct bc_dma_slot *slot)
{
    if (slot->task != NULL && slot->user == NULL) {
        doca_task_free(doca_dma_task_memcpy_as_task(slot->task));
        slot->task = NULL;
    }
}

static void free_idle_tasks(struct bc_dma_engine *engine)
{
    uint32_t i;

    for (i = 0; i < engine->depth; i++) {
        free_task(&engine->slots[i]);
    }
}

/* The tasks are made once a start and then only given other buffers. */
static doca_error_t make_tasks(struct bc_dma_engine *engine)
{
    uint32_t i;

    for (i = 0; i < engine->depth; i++) {
        struct bc_dma_slot *slot = &engine->slots[i];
        union doca_data data = {.ptr = slot};
        doca_error_t error = doca_dma_task_memcpy_alloc_init(engine->doca, slot->local, slot->local,
                                                             data, &slot->task);
        if (error != DOCA_SUCCESS) {
            slot->task = NULL;
            return error;
        }
    }
    return DOCA_SUCCESS;
}

static doca_error_t start_context(struct bc_dma_engine *engine)
{
    doca_error_t error = doca_ctx_start(engine->ctx);

    if (error != DOCA_SUCCESS) {
        return error;
    }
    error = make_tasks(engine);
    if (error != DOCA_SUCCESS) {
        free_idle_tasks(engine);
        (void)doca_ctx_stop(engine->ctx); /* when in progress, the next attempt finds it idle */
    }
    return error;
}

static void state_changed(const union doca_data user_data, struct doca_ctx *ctx,
                          enum doca_ctx_states prev, enum doca_ctx_states next)
{
    struct bc_dma_engine *engine = user_data.ptr;

    (void)ctx;
    BC_TRACE("dma", "context state %d -> %d", (int)prev, (int)next);
    bc_dma_context_check(engine);
}

static doca_error_t check_depth(const struct bc_dma_engine *engine)
{
    uint32_t tasks_max = 0;
    doca_error_t error = doca_dma_cap_get_max_num_tasks(engine->doca, &tasks_max);

    if (error == DOCA_SUCCESS && engine->depth > tasks_max) {
        BC_ERROR("dma", "%s has at most %u DMA tasks in flight, %u are asked for with -q",
                 engine->device->pci_addr, tasks_max, engine->depth);
        return DOCA_ERROR_INVALID_VALUE;
    }
    return error;
}

static void drop_context(struct bc_dma_engine *engine)
{
    doca_error_t error = doca_dma_destroy(engine->doca);

    if (error != DOCA_SUCCESS) {
        BC_WARN("dma", "cannot destroy a DMA context: %s", doca_error_get_name(error));
    }
    engine->doca = NULL;
    engine->ctx = NULL;
}

/* A fresh context, started. On failure there may be one that has to become idle first. */
static doca_error_t make_context(struct bc_dma_engine *engine)
{
    union doca_data data = {.ptr = engine};
    doca_error_t error = doca_dma_create(engine->device->dev, &engine->doca);

    if (error != DOCA_SUCCESS) {
        engine->doca = NULL;
        return error;
    }
    engine->ctx = doca_dma_as_ctx(engine->doca);
    error = check_depth(engine);
    if (error == DOCA_SUCCESS) {
        error = doca_pe_connect_ctx(engine->pe, engine->ctx);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_dma_task_memcpy_set_conf(engine->doca, bc_dma_copy_done, bc_dma_copy_failed,
                                              engine->depth);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_ctx_set_user_data(engine->ctx, data);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_ctx_set_state_changed_cb(engine->ctx, state_changed);
    }
    if (error == DOCA_SUCCESS) {
        error = start_context(engine);
    }
    return error;
}

int bc_dma_context_open(struct bc_dma_engine *engine)
{
    doca_error_t error = make_context(engine);

    if (error != DOCA_SUCCESS) {
        BC_ERROR("dma", "cannot start a DMA context with %u tasks on %s: %s", engine->depth,
                 engine->device->pci_addr, doca_error_get_descr(error));
        if (engine->doca != NULL) {
            bc_dma_context_close(engine);
        }
        return bc_dma_errno(error);
    }
    bc_dma_set_state(engine, BC_DMA_RUNNING);
    return 0;
}

void bc_dma_context_check(struct bc_dma_engine *engine)
{
    if (engine->state != BC_DMA_RUNNING || context_state(engine) == DOCA_CTX_STATE_RUNNING) {
        return;
    }
    BC_WARN("dma", "the DMA context of %s stopped after a failed copy; it is started again",
            engine->device->pci_addr);
    bc_dma_set_state(engine, BC_DMA_DRAINING);
    engine->attempts = 0;
    engine->backing_off = false;
    free_idle_tasks(engine);
    bc_timer_start(engine->loop, &engine->retry, DRAIN_PERIOD_NS);
}

void bc_dma_context_settle(struct bc_dma_engine *engine, struct bc_dma_slot *slot)
{
    if (engine->state != BC_DMA_RUNNING) {
        free_task(slot);
    }
}

static void back_off(struct bc_dma_engine *engine, doca_error_t error)
{
    uint64_t pause_ns =
        bc_min_u64(DRAIN_PERIOD_NS << bc_min_u64(engine->attempts, 20), RETRY_MAX_NS);

    engine->attempts++;
    engine->backing_off = true;
    if (engine->attempts == 1 || engine->attempts == BC_DMA_ATTEMPTS_MAX) {
        BC_ERROR("dma",
                 "cannot start the DMA context of %s again (attempt %u): %s; it is tried again",
                 engine->device->pci_addr, engine->attempts, doca_error_get_descr(error));
    }
    bc_timer_start(engine->loop, &engine->retry, pause_ns);
}

void bc_dma_context_advance(struct bc_dma_engine *engine)
{
    doca_error_t error;

    if (engine->state != BC_DMA_DRAINING || engine->in_flight > 0 || engine->backing_off) {
        return;
    }
    if (engine->doca != NULL && context_state(engine) != DOCA_CTX_STATE_IDLE) {
        return; /* `retry` comes back to it, also when the SDK signals nothing */
    }
    error = DOCA_ERROR_BAD_STATE;
    if (engine->doca != NULL) {
        error = start_context(engine);
    }
    if (error != DOCA_SUCCESS && engine->doca != NULL &&
        context_state(engine) == DOCA_CTX_STATE_IDLE) {
        drop_context(engine);
    }
    if (engine->doca == NULL) {
        error = make_context(engine);
    }
    if (error != DOCA_SUCCESS) {
        back_off(engine, error);
        return;
    }
    bc_timer_stop(engine->loop, &engine->retry);
    engine->attempts = 0;
    bc_counter_add(&engine->counters.rebuilds, 1);
    bc_dma_set_state(engine, BC_DMA_RUNNING);
    BC_INFO("dma", "the DMA context of %s runs again", engine->device->pci_addr);
}

void bc_dma_context_close(struct bc_dma_engine *engine)
{
    const struct bc_clock *clock = bc_clock_monotonic();
    uint64_t end_ns = bc_clock_now_ns(clock) + CLOSE_WAIT_NS;

    bc_dma_set_state(engine, BC_DMA_STOPPING);
    bc_timer_stop(engine->loop, &engine->retry);
    if (engine->doca == NULL) {
        return;
    }
    free_idle_tasks(engine);
    if (context_state(engine) == DOCA_CTX_STATE_RUNNING) {
        (void)doca_ctx_stop(engine->ctx); /* in progress: until the tasks have come back */
    }
    while (engine->in_flight > 0 || context_state(engine) != DOCA_CTX_STATE_IDLE) {
        if (doca_pe_progress(engine->pe) != 0) {
            continue;
        }
        if (bc_clock_now_ns(clock) > end_ns) {
            BC_ERROR(
                "dma",
                "%u copies on %s did not come back within 5 s of stopping; memory may still be "
                "written, so the process ends here",
                engine->in_flight, engine->device->pci_addr);
            BC_ASSERT(false && "DMA tasks in flight at destroy");
        }
        (void)sched_yield();
    }
    drop_context(engine);
}
