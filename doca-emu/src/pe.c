/* SPDX-License-Identifier: Apache-2.0 */
/* pe.c - the progress engine. */
#include "pe.h"

#include "faults.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

doca_error_t doca_pe_create(struct doca_pe **pe)
{
    if (pe == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_pe *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    fresh->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fresh->event_fd < 0) {
        free(fresh);
        return DOCA_ERROR_NO_MEMORY;
    }
    pthread_mutex_init(&fresh->lock, NULL);
    *pe = fresh;
    return DOCA_SUCCESS;
}

doca_error_t doca_pe_destroy(struct doca_pe *pe)
{
    if (pe == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (pe->contexts != NULL || atomic_load(&pe->busy)) {
        return DOCA_ERROR_IN_USE; /* busy: this is a callback */
    }
    close(pe->event_fd);
    pthread_mutex_destroy(&pe->lock);
    free(pe);
    return DOCA_SUCCESS;
}

static void signal_locked(struct doca_pe *pe)
{
    if (pe->armed) {
        uint64_t one = 1;
        pe->armed = false;
        atomic_store(&pe->signalled, true);
        (void)!write(pe->event_fd, &one, sizeof(one));
    }
}

static void unsignal_locked(struct doca_pe *pe)
{
    uint64_t count;
    atomic_store(&pe->signalled, false);
    (void)!read(pe->event_fd, &count, sizeof(count));
}

void emu_pe_complete(struct doca_pe *pe, struct doca_task *task)
{
    pthread_mutex_lock(&pe->lock);
    emu_task_list_add(&pe->done, task);
    atomic_fetch_add(&pe->num_done, 1);
    signal_locked(pe);
    pthread_mutex_unlock(&pe->lock);
}

void emu_pe_kick(struct doca_pe *pe)
{
    pthread_mutex_lock(&pe->lock);
    signal_locked(pe);
    pthread_mutex_unlock(&pe->lock);
}

static struct doca_ctx *find_ctx_that_can_idle(const struct doca_pe *pe)
{
    struct doca_ctx *ctx = pe->num_stopping == 0 ? NULL : pe->contexts;
    while (ctx != NULL && !emu_ctx_can_idle(ctx)) {
        ctx = ctx->next;
    }
    return ctx;
}

static bool pending(const struct doca_pe *pe)
{
    return pe->ready.first != NULL || atomic_load(&pe->num_done) != 0 || pe->num_events != 0 ||
           find_ctx_that_can_idle(pe) != NULL;
}

/* Takes the n-th completion out of the list, for the random-order fault. */
static struct doca_task *take_nth_locked(struct emu_task_list *list, size_t n)
{
    struct doca_task *before = NULL;
    struct doca_task *task = list->first;
    for (; n > 0; n--) {
        before = task;
        task = task->next;
    }
    if (before == NULL) {
        return emu_task_list_pop(list);
    }
    before->next = task->next;
    if (list->last == task) {
        list->last = before;
    }
    task->next = NULL;
    return task;
}

static struct doca_task *take_done(struct doca_pe *pe)
{
    if (atomic_load_explicit(&pe->num_done, memory_order_acquire) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&pe->lock);
    size_t index = 0;
    uint64_t seed = emu_fault_value(DOCA_EMU_FAULT_RANDOM_ORDER);
    if (seed != 0) {
        /* xorshift64 */
        uint64_t x = pe->random != 0 ? pe->random : seed;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        pe->random = x;
        index = x % atomic_load(&pe->num_done);
    }
    struct doca_task *task = take_nth_locked(&pe->done, index);
    atomic_fetch_sub(&pe->num_done, 1);
    pthread_mutex_unlock(&pe->lock);
    return task;
}

/* The next task to report. Those that asked for cheap reports wait for one that did not. */
static struct doca_task *next_task(struct doca_pe *pe)
{
    struct doca_task *task = emu_task_list_pop(&pe->ready);
    while (task == NULL) {
        task = take_done(pe);
        if (task == NULL) {
            return NULL;
        }
        struct doca_ctx *ctx = task->ctx;
        bool may_wait = (task->flags & DOCA_TASK_SUBMIT_FLAG_OPTIMIZE_REPORTS) != 0 &&
                        ctx->state == DOCA_CTX_STATE_RUNNING && task->status == DOCA_SUCCESS;
        emu_task_list_add(&ctx->held, task);
        task = NULL;
        if (!may_wait) {
            emu_task_list_join(&pe->ready, &ctx->held);
            task = emu_task_list_pop(&pe->ready);
        }
    }
    return task;
}

static bool progress_task(struct doca_pe *pe)
{
    struct doca_task *task = next_task(pe);
    if (task == NULL) {
        return false;
    }
    struct doca_ctx *ctx = task->ctx;
    ctx->in_flight--;
    task->state = EMU_TASK_OWNED;
    if (task->fatal) {
        emu_ctx_begin_stop(ctx);
    }
    ctx->ops->complete(task);
    return true;
}

static bool progress_state(struct doca_pe *pe)
{
    if (pe->num_events == 0) {
        struct doca_ctx *ctx = find_ctx_that_can_idle(pe);
        if (ctx == NULL) {
            return false;
        }
        emu_ctx_set_state(ctx, DOCA_CTX_STATE_IDLE);
    }
    for (struct doca_ctx *ctx = pe->contexts; ctx != NULL; ctx = ctx->next) {
        if (ctx->num_events != 0) {
            emu_ctx_report_event(ctx);
            break;
        }
    }
    return true;
}

/* Nothing is pending any more: what was signalled has been handled, so wait for the next. */
static void take_signal_back(struct doca_pe *pe)
{
    pthread_mutex_lock(&pe->lock);
    if (atomic_load(&pe->signalled) && !pending(pe)) {
        unsignal_locked(pe);
        pe->armed = true;
    }
    pthread_mutex_unlock(&pe->lock);
}

uint8_t doca_pe_progress(struct doca_pe *pe)
{
    if (pe == NULL) {
        return 0;
    }
    if (atomic_exchange(&pe->busy, true)) {
        emu_misuse("doca_pe_progress() inside of a callback, or by two threads at once");
        return 0;
    }
    bool handled = progress_state(pe) || progress_task(pe);
    if (!handled && atomic_load_explicit(&pe->signalled, memory_order_relaxed)) {
        take_signal_back(pe);
    }
    atomic_store(&pe->busy, false);
    return handled;
}

doca_error_t doca_pe_get_notification_handle(const struct doca_pe *pe,
                                             doca_notification_handle_t *handle)
{
    if (pe == NULL || handle == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *handle = pe->event_fd;
    return DOCA_SUCCESS;
}

doca_error_t doca_pe_clear_notification(struct doca_pe *pe, doca_notification_handle_t handle)
{
    if (pe == NULL || handle != pe->event_fd) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_lock(&pe->lock);
    unsignal_locked(pe);
    pe->armed = false;
    pthread_mutex_unlock(&pe->lock);
    return DOCA_SUCCESS;
}

doca_error_t doca_pe_request_notification(struct doca_pe *pe)
{
    if (pe == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_lock(&pe->lock);
    if (!atomic_load(&pe->signalled)) {
        pe->armed = true;
        if (pending(pe)) {
            signal_locked(pe);
        }
    }
    pthread_mutex_unlock(&pe->lock);
    return DOCA_SUCCESS;
}

doca_error_t doca_pe_get_num_inflight_tasks(const struct doca_pe *pe, size_t *num_inflight_tasks)
{
    if (pe == NULL || num_inflight_tasks == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *num_inflight_tasks = 0;
    for (const struct doca_ctx *ctx = pe->contexts; ctx != NULL; ctx = ctx->next) {
        *num_inflight_tasks += ctx->in_flight;
    }
    return DOCA_SUCCESS;
}

doca_error_t doca_pe_connect_ctx(struct doca_pe *pe, struct doca_ctx *ctx)
{
    if (pe == NULL || ctx == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    if (ctx->state != DOCA_CTX_STATE_IDLE) {
        return DOCA_ERROR_BAD_STATE;
    }
    if (ctx->pe != NULL) {
        return DOCA_ERROR_NOT_PERMITTED;
    }
    ctx->pe = pe;
    ctx->next = pe->contexts;
    pe->contexts = ctx;
    return DOCA_SUCCESS;
}

doca_error_t doca_pe_set_event_mode(struct doca_pe *pe, enum doca_pe_event_mode event_mode)
{
    if (pe == NULL || (unsigned)event_mode > DOCA_PE_EVENT_MODE_PROGRESS_ALL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_SUCCESS; /* every call looks at every context, whatever the mode */
}
