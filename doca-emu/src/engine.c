/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - engine threads and their queue. */
#include "engine.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct emu_engine {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct emu_task_list queue; /* under lock */
    unsigned sleepers;          /* under lock */
    EMU_ATOMIC(bool) stop;      /* written under lock */
    EMU_ATOMIC(bool) work;      /* the queue is not empty; written under lock, polled without */
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

/* Waits a little for work without the lock: waking a thread takes longer than most gaps. */
static void spin(const struct emu_engine *engine)
{
    uint64_t start = 0;
    for (unsigned i = 0; engine->spin_ns != 0; i++) {
        if (atomic_load_explicit(&engine->work, memory_order_relaxed) ||
            atomic_load_explicit(&engine->stop, memory_order_relaxed)) {
            return;
        }
        relax();
        if (i % 32 == 0) {
            uint64_t now = emu_now_ns();
            start = start == 0 ? now : start;
            if (now - start > engine->spin_ns) {
                return;
            }
        }
    }
}

/* The next task, or NULL when the engine stops. */
static struct doca_task *take(struct emu_engine *engine)
{
    spin(engine);
    pthread_mutex_lock(&engine->lock);
    while (engine->queue.first == NULL && !atomic_load(&engine->stop)) {
        engine->sleepers++;
        pthread_cond_wait(&engine->wake, &engine->lock);
        engine->sleepers--;
    }
    struct doca_task *task = emu_task_list_pop(&engine->queue);
    atomic_store(&engine->work, engine->queue.first != NULL);
    pthread_mutex_unlock(&engine->lock);
    return task;
}

static void *thread_main(void *arg)
{
    struct emu_engine *engine = arg;
    for (struct doca_task *task = take(engine); task != NULL; task = take(engine)) {
        engine->run(task);
    }
    return NULL;
}

static void stop_threads(struct emu_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    atomic_store(&engine->stop, true);
    pthread_cond_broadcast(&engine->wake);
    pthread_mutex_unlock(&engine->lock);
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
    pthread_cond_init(&engine->wake, NULL);
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
    pthread_cond_destroy(&engine->wake);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

void emu_engine_submit(struct emu_engine *engine, struct emu_task_list tasks)
{
    bool many = tasks.first != tasks.last;
    pthread_mutex_lock(&engine->lock);
    emu_task_list_join(&engine->queue, &tasks);
    atomic_store(&engine->work, true);
    bool asleep = engine->sleepers != 0;
    pthread_mutex_unlock(&engine->lock);
    if (asleep && many) {
        pthread_cond_broadcast(&engine->wake);
    } else if (asleep) {
        pthread_cond_signal(&engine->wake);
    }
}
