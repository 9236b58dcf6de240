/* SPDX-License-Identifier: Apache-2.0 */
/* pe.c - the progress engine. */
#include "pe.h"

#include "faults.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void close_fds(const struct doca_pe *pe)
{
    if (pe->handle >= 0) {
        close(pe->handle);
    }
    if (pe->event_fd >= 0) {
        close(pe->event_fd);
    }
}

doca_error_t doca_pe_create(struct doca_pe **pe)
{
    if (pe == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    struct doca_pe *fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    struct epoll_event readable = {.events = EPOLLIN};
    fresh->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fresh->handle = epoll_create1(EPOLL_CLOEXEC);
    if (fresh->event_fd < 0 || fresh->handle < 0 ||
        epoll_ctl(fresh->handle, EPOLL_CTL_ADD, fresh->event_fd, &readable) != 0) {
        close_fds(fresh);
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
    close_fds(pe);
    pthread_mutex_destroy(&pe->lock);
    free(pe);
    return DOCA_SUCCESS;
}

static void signal_locked(struct doca_pe *pe)
{
    if (atomic_load(&pe->armed)) {
        uint64_t one = 1;
        atomic_store(&pe->armed, false);
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
    struct doca_task *newest = atomic_load_explicit(&pe->done, memory_order_relaxed);
    do {
        task->next = newest;
    } while (!atomic_compare_exchange_weak(&pe->done, &newest, task));
    /* After the push, as arming looks at the stack after it has set the word. */
    if (atomic_load(&pe->armed)) {
        emu_pe_kick(pe);
    }
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

static bool polled_pending(const struct doca_pe *pe)
{
    const struct doca_ctx *ctx = pe->num_polled == 0 ? NULL : pe->contexts;
    while (ctx != NULL && (ctx->ops->pending == NULL || !ctx->ops->pending(ctx))) {
        ctx = ctx->next;
    }
    return ctx != NULL;
}

static bool pending(const struct doca_pe *pe)
{
    return pe->ready.first != NULL || pe->taken.first != NULL || atomic_load(&pe->done) != NULL ||
           pe->num_events != 0 || find_ctx_that_can_idle(pe) != NULL || polled_pending(pe);
}

static void watch(struct doca_ctx *ctx)
{
    struct epoll_event readable = {.events = EPOLLIN};
    ctx->ops->arm(ctx, true);
    if (!ctx->watched && ctx->wait_fd >= 0) {
        ctx->watched = epoll_ctl(ctx->pe->handle, EPOLL_CTL_ADD, ctx->wait_fd, &readable) == 0;
    }
}

void emu_pe_unwatch(struct doca_ctx *ctx)
{
    if (ctx->ops->arm != NULL) {
        ctx->ops->arm(ctx, false);
    }
    if (ctx->watched) {
        (void)epoll_ctl(ctx->pe->handle, EPOLL_CTL_DEL, ctx->wait_fd, NULL);
        ctx->watched = false;
    }
}

/* A completion that is pushed before the word is set does not see it; we see the completion. */
static void arm_locked(struct doca_pe *pe)
{
    atomic_store(&pe->armed, true);
    for (struct doca_ctx *ctx = pe->num_polled == 0 ? NULL : pe->contexts; ctx != NULL;
         ctx = ctx->next) {
        if (ctx->ops->arm != NULL) {
            watch(ctx);
        }
    }
    if (pending(pe)) {
        signal_locked(pe);
    }
}

/* Moves what the engine threads have pushed to the end of the owner's list, oldest first. */
static void empty_done(struct doca_pe *pe)
{
    if (atomic_load_explicit(&pe->done, memory_order_relaxed) == NULL) {
        return;
    }
    struct doca_task *newest = atomic_exchange_explicit(&pe->done, NULL, memory_order_acquire);
    struct emu_task_list tasks = {NULL, newest};
    while (newest != NULL) {
        struct doca_task *before = newest->next;
        newest->next = tasks.first;
        tasks.first = newest;
        newest = before;
    }
    emu_task_list_join(&pe->taken, &tasks);
}

/* Takes any completion out of the list, for the random-order fault. */
static struct doca_task *take_random(struct doca_pe *pe, uint64_t seed)
{
    struct emu_task_list before = {NULL, NULL};
    size_t count = 0;
    for (const struct doca_task *task = pe->taken.first; task != NULL; task = task->next) {
        count++;
    }
    if (count == 0) {
        return NULL;
    }
    /* xorshift64 */
    uint64_t x = pe->random != 0 ? pe->random : seed;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    pe->random = x;
    for (size_t n = x % count; n > 0; n--) {
        emu_task_list_add(&before, emu_task_list_pop(&pe->taken));
    }
    struct doca_task *task = emu_task_list_pop(&pe->taken);
    emu_task_list_join(&before, &pe->taken);
    pe->taken = before;
    return task;
}

static struct doca_task *take_done(struct doca_pe *pe)
{
    uint64_t seed = emu_fault_value(DOCA_EMU_FAULT_RANDOM_ORDER);
    if (seed != 0) {
        empty_done(pe);
        return take_random(pe, seed);
    }
    if (pe->taken.first == NULL) {
        empty_done(pe);
    }
    return emu_task_list_pop(&pe->taken);
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

void emu_pe_report(struct doca_task *task)
{
    struct doca_ctx *ctx = task->ctx;
    ctx->in_flight--;
    task->state = EMU_TASK_OWNED;
    if (task->fatal) {
        emu_ctx_begin_stop(ctx);
    }
    ctx->ops->complete(task);
}

static bool progress_task(struct doca_pe *pe)
{
    struct doca_task *task = next_task(pe);
    if (task == NULL) {
        return false;
    }
    emu_pe_report(task);
    return true;
}

static struct doca_ctx *next_polled(struct doca_ctx *ctx)
{
    while (ctx != NULL && ctx->ops->progress == NULL) {
        ctx = ctx->next;
    }
    return ctx;
}

/* Asks each polled context once, another one first each time. */
static bool progress_polled(struct doca_pe *pe)
{
    struct doca_ctx *ctx = next_polled(pe->contexts);
    for (unsigned skip = pe->next_polled % pe->num_polled; skip > 0; skip--) {
        ctx = next_polled(ctx->next);
    }
    pe->next_polled++;
    for (unsigned asked = 0; asked < pe->num_polled; asked++) {
        if (ctx->state != DOCA_CTX_STATE_IDLE && ctx->ops->progress(ctx)) {
            return true;
        }
        ctx = next_polled(ctx->next);
        if (ctx == NULL) {
            ctx = next_polled(pe->contexts);
        }
    }
    return false;
}

static bool progress_work(struct doca_pe *pe)
{
    if (pe->num_polled == 0) {
        return progress_task(pe);
    }
    pe->poll_first = !pe->poll_first;
    return pe->poll_first ? progress_polled(pe) || progress_task(pe)
                          : progress_task(pe) || progress_polled(pe);
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
        arm_locked(pe);
    }
    pthread_mutex_unlock(&pe->lock);
}

uint8_t doca_pe_progress(struct doca_pe *pe)
{
    if (pe == NULL) {
        return 0;
    }
    if (atomic_exchange_explicit(&pe->busy, true, memory_order_acquire)) {
        emu_misuse("doca_pe_progress() inside of a callback, or by two threads at once");
        return 0;
    }
    bool handled = progress_state(pe) || progress_work(pe);
    if (!handled && atomic_load_explicit(&pe->signalled, memory_order_relaxed)) {
        take_signal_back(pe);
    }
    atomic_store_explicit(&pe->busy, false, memory_order_release);
    return handled;
}

doca_error_t doca_pe_get_notification_handle(const struct doca_pe *pe,
                                             doca_notification_handle_t *handle)
{
    if (pe == NULL || handle == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    *handle = pe->handle;
    return DOCA_SUCCESS;
}

doca_error_t doca_pe_clear_notification(struct doca_pe *pe, doca_notification_handle_t handle)
{
    (void)handle; /* says nothing on Linux; programs give 0 */
    if (pe == NULL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_lock(&pe->lock);
    unsignal_locked(pe);
    atomic_store(&pe->armed, false);
    for (struct doca_ctx *ctx = pe->num_polled == 0 ? NULL : pe->contexts; ctx != NULL;
         ctx = ctx->next) {
        emu_pe_unwatch(ctx);
    }
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
        arm_locked(pe);
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
    pe->num_polled += (ctx->ops->progress != NULL);
    return DOCA_SUCCESS;
}

doca_error_t doca_pe_set_event_mode(struct doca_pe *pe, enum doca_pe_event_mode event_mode)
{
    if (pe == NULL || (unsigned)event_mode > DOCA_PE_EVENT_MODE_PROGRESS_ALL) {
        return DOCA_ERROR_INVALID_VALUE;
    }
    return DOCA_SUCCESS; /* every call looks at every context, whatever the mode */
}
