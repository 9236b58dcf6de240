/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - engine threads and their queue.
 *
 * Submitting pushes on a stack of its own, `inbox`, and takes no lock; a thread that runs out of
 * tasks moves the whole stack to the queue, which the lock is for. With one thread a context, the
 * default, nobody ever waits for that lock.
 *
 * Nobody is called who is awake. A thread that is about to sleep counts itself in `sleepers` and
 * looks for work once more; a submit pushes and then takes sleepers out of that count, one a call.
 * Both in sequentially consistent order: either the thread finds the task, or the submit finds the
 * thread. Whoever was taken out of the count takes one of the `calls` before it goes on. */
#include "engine.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A thread that would have to poll less than this does not poll. */
#define SPIN_MIN_NS 500u

struct emu_engine {
    EMU_ATOMIC(struct doca_task *) inbox; /* newest first */
    EMU_ATOMIC(uint32_t) sleepers;        /* asleep or about to be, and not called yet */
    EMU_ATOMIC(uint32_t) calls;           /* futex: calls not taken yet */
    EMU_ATOMIC(bool) stop;
    EMU_ATOMIC(bool) more; /* the queue is not empty; written under lock, polled without */
    pthread_mutex_t lock;
    struct emu_task_list queue; /* oldest first; under lock */
    uint64_t spin_ns;
    emu_engine_run_fn run;
    unsigned num_threads;
    pthread_t threads[];
};

static inline void relax(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* --- on engine threads ------------------------------------------------------------------------ */

static bool has_work(const struct emu_engine *engine)
{
    return atomic_load(&engine->inbox) != NULL || atomic_load(&engine->more) ||
           atomic_load(&engine->stop);
}

static void empty_inbox_locked(struct emu_engine *engine)
{
    struct doca_task *newest = atomic_exchange(&engine->inbox, NULL);
    struct doca_task *oldest = NULL;
    struct doca_task *last = newest;
    while (newest != NULL) {
        struct doca_task *before = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = before;
    }
    engine->queue = (struct emu_task_list){oldest, last};
}

/* The oldest task, or NULL. */
static struct doca_task *take(struct emu_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    if (engine->queue.first == NULL) {
        empty_inbox_locked(engine);
    }
    struct doca_task *task = emu_task_list_pop(&engine->queue);
    bool more = engine->queue.first != NULL;
    if (more != atomic_load_explicit(&engine->more, memory_order_relaxed)) {
        atomic_store(&engine->more, more);
    }
    pthread_mutex_unlock(&engine->lock);
    return task;
}

/* False: there was no work for so long. Calling a thread takes longer than most gaps. */
static bool poll_for_work(const struct emu_engine *engine, uint64_t start, uint64_t spin_ns)
{
    while (spin_ns != 0) {
        for (unsigned i = 0; i < 32; i++) {
            if (has_work(engine)) {
                return true;
            }
            relax();
        }
        if (emu_now_ns() - start > spin_ns) {
            return false;
        }
    }
    return has_work(engine);
}

static void take_call(struct emu_engine *engine)
{
    for (;;) {
        uint32_t calls = atomic_load(&engine->calls);
        while (calls != 0) {
            if (atomic_compare_exchange_weak(&engine->calls, &calls, calls - 1)) {
                return;
            }
        }
        (void)syscall(SYS_futex, &engine->calls, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    }
}

static void sleep_for_work(struct emu_engine *engine)
{
    atomic_fetch_add(&engine->sleepers, 1);
    if (has_work(engine)) {
        uint32_t sleepers = atomic_load(&engine->sleepers);
        while (sleepers != 0) {
            if (atomic_compare_exchange_weak(&engine->sleepers, &sleepers, sleepers - 1)) {
                return;
            }
        }
    }
    take_call(engine);
}

/* Polling that ends in sleep is lost, so its length is halved each time, and whole again after a gap
 * that it would have covered. */
static void wait_for_work(struct emu_engine *engine, uint64_t *budget_ns)
{
    uint64_t start = emu_now_ns();
    if (poll_for_work(engine, start, *budget_ns)) {
        return;
    }
    sleep_for_work(engine);
    if (emu_now_ns() - start <= engine->spin_ns) {
        *budget_ns = engine->spin_ns;
    } else {
        *budget_ns = *budget_ns / 2 < SPIN_MIN_NS ? 0 : *budget_ns / 2;
    }
}

static void *thread_main(void *arg)
{
    struct emu_engine *engine = arg;
    uint64_t budget_ns = engine->spin_ns;
    for (;;) {
        struct doca_task *task = take(engine);
        if (task != NULL) {
            engine->run(task);
        } else if (atomic_load(&engine->stop)) {
            return NULL;
        } else {
            wait_for_work(engine, &budget_ns);
        }
    }
}

/* --- on the owner's thread -------------------------------------------------------------------- */

/* Calls up to so many of the threads that sleep. */
static void call_sleepers(struct emu_engine *engine, uint32_t wanted)
{
    uint32_t called = 0;
    uint32_t sleepers = atomic_load(&engine->sleepers);
    while (called < wanted && sleepers != 0) {
        if (atomic_compare_exchange_weak(&engine->sleepers, &sleepers, sleepers - 1)) {
            called++;
            sleepers = atomic_load(&engine->sleepers);
        }
    }
    if (called != 0) {
        atomic_fetch_add(&engine->calls, called);
        (void)syscall(SYS_futex, &engine->calls, FUTEX_WAKE_PRIVATE, (int)called, NULL, NULL, 0);
    }
}

static void stop_threads(struct emu_engine *engine)
{
    atomic_store(&engine->stop, true);
    call_sleepers(engine, engine->num_threads);
    for (unsigned i = 0; i < engine->num_threads; i++) {
        pthread_join(engine->threads[i], NULL);
    }
}

doca_error_t emu_engine_create(unsigned threads, uint64_t spin_ns, emu_engine_run_fn run,
                               struct emu_engine **engine_out)
{
    struct emu_engine *engine =
        calloc(1, sizeof(*engine) + (size_t)threads * sizeof(engine->threads[0]));
    if (engine == NULL) {
        return DOCA_ERROR_NO_MEMORY;
    }
    pthread_mutex_init(&engine->lock, NULL);
    engine->spin_ns = spin_ns;
    engine->run = run;
    /* The application's signal handlers are not to run on threads that it does not know. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (engine->num_threads < threads &&
           pthread_create(&engine->threads[engine->num_threads], NULL, thread_main, engine) == 0) {
        engine->num_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (engine->num_threads < threads) {
        emu_engine_destroy(engine);
        return DOCA_ERROR_NO_MEMORY;
    }
    *engine_out = engine;
    return DOCA_SUCCESS;
}

void emu_engine_destroy(struct emu_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    stop_threads(engine);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

void emu_engine_submit(struct emu_engine *engine, struct emu_task_list tasks)
{
    uint32_t count = 0;
    for (struct doca_task *task = tasks.first, *next; task != NULL; task = next) {
        struct doca_task *newest = atomic_load_explicit(&engine->inbox, memory_order_relaxed);
        next = task->next;
        do {
            task->next = newest;
        } while (!atomic_compare_exchange_weak(&engine->inbox, &newest, task));
        count++;
    }
    if (count != 0) {
        call_sleepers(engine, count);
    }
}
