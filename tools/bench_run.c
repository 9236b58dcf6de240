/* SPDX-License-Identifier: Apache-2.0 */
/* bench_run.c - takes all threads of the benchmark through a phase; see bench.h. */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "progress.h"

#define NS_PER_MS UINT64_C(1000000)
#define LOOK_MS   50u

/* Where threads wait, warm, for the clock to be started. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t waiting;
    bool open;
};

struct thread {
    pthread_t id;
    struct bc_bench_worker *worker;
    struct gate *gate;
};

void bc_bench_fail(struct bc_bench *bench, int status)
{
    int none = BC_CLI_DONE;

    (void)__atomic_compare_exchange_n(&bench->status, &none, status, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED);
    __atomic_store_n(&bench->stop, true, __ATOMIC_RELAXED);
}

bool bc_bench_stopped(const struct bc_bench *bench)
{
    return __atomic_load_n(&bench->stop, __ATOMIC_RELAXED);
}

static uint64_t cpu_ns(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000 * NS_PER_MS +
           ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
}

static void pass_gate(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->waiting++;
    (void)pthread_cond_broadcast(&gate->changed);
    while (!gate->open) {
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    }
    (void)pthread_mutex_unlock(&gate->lock);
}

static void *run_thread(void *arg)
{
    struct thread *thread = arg;
    struct bc_bench_worker *worker = thread->worker;

    if (worker->bench->phase == BC_BENCH_FILL) {
        pass_gate(thread->gate);
        bc_bench_worker_fill(worker);
    } else {
        bc_bench_worker_warm_up(worker);
        pass_gate(thread->gate);
        bc_bench_worker_measure(worker);
    }
    worker->done_ns = bc_cli_now_ns();
    (void)__atomic_fetch_sub(&worker->bench->running, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* ---- the progress line --------------------------------------------------------------------- */

static int32_t permille_done(const struct bc_bench *bench, uint64_t start_ns, uint64_t bytes)
{
    const struct bc_bench_settings *settings = &bench->settings;
    uint64_t request = settings->batch * settings->size;

    if (bench->phase == BC_BENCH_FILL) {
        return (int32_t)((double)bytes * 1000 / (double)(settings->keys * settings->size));
    }
    if (settings->count > 0) {
        return (int32_t)((double)bytes * 1000 / ((double)settings->count * (double)request));
    }
    return (int32_t)((bc_cli_now_ns() - start_ns) / NS_PER_MS * 1000 / settings->ms);
}

/* Waits for the warm-up of `count` threads. Requests have deadlines, so it ends. */
static void wait_warm(struct gate *gate, uint64_t count)
{
    (void)pthread_mutex_lock(&gate->lock);
    while (gate->waiting < count) {
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    }
    (void)pthread_mutex_unlock(&gate->lock);
}

static void open_gate(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->open = true;
    (void)pthread_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

/* Until every thread has come to its end; a signal ends the phase early. */
static void watch(struct bc_bench *bench, uint64_t start_ns)
{
    static const char *const labels[] = {"filling", "push", "pull"};

    bc_cli_progress_begin(!bench->cli->no_progress, labels[bench->phase]);
    while (__atomic_load_n(&bench->running, __ATOMIC_ACQUIRE) > 0) {
        struct timespec pause = {.tv_nsec = LOOK_MS * (long)NS_PER_MS};
        uint64_t bytes = 0;

        (void)nanosleep(&pause, NULL);
        if (bc_cli_interrupted()) {
            __atomic_store_n(&bench->stop, true, __ATOMIC_RELAXED);
        }
        for (uint64_t i = 0; i < bench->settings.threads; i++) {
            bytes += __atomic_load_n(&bench->workers[i].bytes_now, __ATOMIC_RELAXED);
        }
        bc_cli_progress_update(bytes, permille_done(bench, start_ns, bytes));
    }
    bc_cli_progress_end();
}

/* ---- phases -------------------------------------------------------------------------------- */

/* Returns how many threads there are, which is fewer than asked for after bc_bench_fail. */
static uint64_t start_threads(struct bc_bench *bench, struct thread *threads, struct gate *gate)
{
    for (uint64_t i = 0; i < bench->settings.threads; i++) {
        int rc;

        threads[i] = (struct thread){.worker = &bench->workers[i], .gate = gate};
        memset(&bench->workers[i].result, 0, sizeof(bench->workers[i].result));
        __atomic_store_n(&bench->workers[i].bytes_now, 0, __ATOMIC_RELAXED);
        (void)__atomic_fetch_add(&bench->running, 1, __ATOMIC_RELAXED);
        rc = pthread_create(&threads[i].id, NULL, run_thread, &threads[i]);
        if (rc != 0) {
            (void)__atomic_fetch_sub(&bench->running, 1, __ATOMIC_RELAXED);
            bc_bench_fail(bench, bc_cli_failed(bench->cli, "bench: a thread", -rc));
            return i;
        }
    }
    return bench->settings.threads;
}

static void merge(struct bc_bench_result *into, const struct bc_bench_result *from)
{
    into->requests += from->requests;
    into->objects += from->objects;
    into->bytes += from->bytes;
    into->misses += from->misses;
    into->mismatches += from->mismatches;
    bc_cli_histogram_merge(&into->times, &from->times);
}

int bc_bench_run(struct bc_bench *bench, enum bc_bench_phase phase,
                 struct bc_bench_result *result_out)
{
    struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct thread *threads = calloc(bench->settings.threads, sizeof(*threads));
    uint64_t start_cpu_ns;
    uint64_t start_ns;
    uint64_t count;

    memset(result_out, 0, sizeof(*result_out));
    if (threads == NULL) {
        return bc_cli_failed(bench->cli, "bench", -ENOMEM);
    }
    bench->phase = phase;
    bench->claims = (int64_t)bench->settings.count;
    count = start_threads(bench, threads, &gate);
    wait_warm(&gate, count);
    start_ns = bc_cli_now_ns();
    start_cpu_ns = cpu_ns();
    bench->end_ns = start_ns + bench->settings.ms * NS_PER_MS;
    open_gate(&gate);
    watch(bench, start_ns);
    bench->cpu_ns = cpu_ns() - start_cpu_ns;
    bench->phase_ns = 0;
    for (uint64_t i = 0; i < count; i++) {
        struct bc_bench_worker *worker = threads[i].worker;

        (void)pthread_join(threads[i].id, NULL);
        merge(result_out, &worker->result);
        if (worker->done_ns > start_ns && worker->done_ns - start_ns > bench->phase_ns) {
            bench->phase_ns = worker->done_ns - start_ns;
        }
    }
    free(threads);
    return __atomic_load_n(&bench->status, __ATOMIC_RELAXED);
}

void bc_bench_clean(struct bc_bench *bench)
{
    for (uint64_t i = 0; i < bench->settings.threads; i++) {
        if (bench->workers[i].client != NULL) {
            bc_bench_worker_clean(&bench->workers[i]);
        }
    }
}
