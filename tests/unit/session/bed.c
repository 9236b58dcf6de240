/* SPDX-License-Identifier: Apache-2.0 */
/* bed.c - the workers of the bed: made, turned, and taken down. */
#include "bed.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/log.h"
#include "testlib/asked_pair.h"
#include "testlib/recount.h"

#define STAGING_LEN (6u << 20)
#define DEPTH       4u
#define CHUNK_LEN   (1u << 20)

enum bed_state {
    BED_MAKING = 0,
    BED_RUNNING = 1,
    BED_STOPPED = 2,  /* sends nothing any more */
    BED_DROPPING = 3, /* nobody sends it anything any more */
    BED_ENDED = 4,
};

/* ---- workers -------------------------------------------------------------------------------- */

static struct bed_worker *of(struct bc_dma *dma)
{
    return BC_CONTAINER_OF(dma, struct bed_worker, engine.dma);
}

static int counted_import(struct bc_dma *dma, const void *desc, size_t desc_len, uint64_t len,
                          struct bc_dma_import **import_out)
{
    struct bed_worker *self = of(dma);
    if (self->import_fail > 0) {
        self->import_fail--;
        return -EINVAL;
    }
    int rc = self->inner_ops->import(dma, desc, desc_len, len, import_out);
    if (rc == 0) {
        __atomic_add_fetch(&self->imports, 1, __ATOMIC_RELAXED);
    }
    return rc;
}

static int counted_release(struct bc_dma *dma, struct bc_dma_import *import)
{
    struct bed_worker *self = of(dma);
    int rc = self->inner_ops->release(dma, import);
    assert_int_equal(rc, 0); /* never while a copy uses it */
    __atomic_sub_fetch(&self->imports, 1, __ATOMIC_RELAXED);
    if (self->release_fail > 0) {
        self->release_fail--;
        return -EBUSY;
    }
    return 0;
}

static void make_engine(struct bed_worker *self)
{
    struct bc_worker *worker = &self->worker;
    struct bc_memory_dma_options options = {.loop = worker->loop, .depth = DEPTH};
    bc_staging_memory(worker->staging, &options.local, &options.local_len);
    assert_int_equal(bc_memory_dma_create(&options, &self->memory_dma), 0);
    bc_faulty_dma_init(&self->engine, self->memory_dma, worker->loop, 1 + worker->index);
    self->inner_ops = self->engine.dma.ops;
    self->engine_ops = *self->inner_ops;
    self->engine_ops.import = counted_import;
    self->engine_ops.release = counted_release;
    self->engine.dma.ops = &self->engine_ops;
    worker->dma = &self->engine.dma;
}

#ifdef BED_ASKED
static void make_listener(struct bed_worker *self)
{
    const struct bc_transport_ops *transport = bc_transport_asked_pair();
    assert_int_equal(transport->listen("bed", &self->listener), 0);
    bc_engine_poll_start(&self->poll, self->worker.loop, transport,
                         transport->listener_engine(self->listener), NULL);
}

static void poll_stopped(struct bc_engine_poll *poll)
{
    struct bed_worker *self = BC_CONTAINER_OF(poll, struct bed_worker, poll);
    bc_transport_asked_pair()->listener_close(self->listener);
    self->listener = NULL;
}

static void drop_listener(struct bed_worker *self)
{
    bc_engine_poll_stop(&self->poll, poll_stopped);
}
#else
static void make_listener(struct bed_worker *self)
{
    (void)self;
}

static void drop_listener(struct bed_worker *self)
{
    (void)self;
}
#endif

static void make(struct bed_worker *self)
{
    struct bed *bed = self->bed;
    struct bc_worker *worker = &self->worker;
    struct bc_loop_options loop = {.name = "bed",
                                   .clock = bed->options.threads ? NULL : &bed->clock};
    assert_int_equal(bc_loop_create(&loop, &worker->loop), 0);
    bc_uring_files_init(&worker->files, worker->loop);
    struct bc_staging_options staging = {.pool_len = STAGING_LEN, .cache_len = STAGING_LEN * 3 / 4};
    assert_int_equal(bc_staging_create(&staging, bed->metrics, &worker->staging), 0);
    make_engine(self);
    struct bc_backend_env env = {
        .loop = worker->loop,
        .files = &worker->files.files,
        .staging = worker->staging,
        .metrics = bed->metrics,
        .capacity = staging.cache_len,
        .worker = worker->index,
        .workers = worker->worker_count,
        .handles_max = 256,
        .group_clock = &bed->group_clock,
    };
    struct bc_options_error error = {""};
    assert_int_equal(bc_backend_dram.create(&env, NULL, &error, &worker->backend), 0);
    bc_group_post_init(&worker->group_post, worker);
    struct bc_pipeline_options pipeline = {
        .loop = worker->loop,
        .dma = worker->dma,
        .backend = worker->backend,
        .worker = worker->index,
        .depth = DEPTH,
        .chunk_len = CHUNK_LEN,
        .dma_len_max = CHUNK_LEN,
        .chunks_max = 64,
        .opens_max = 64,
        .metrics = bed->metrics,
    };
    assert_int_equal(bc_pipeline_create(&pipeline, &worker->pipeline), 0);
    assert_int_equal(bc_sessions_create(worker, &worker->sessions), 0);
    make_listener(self);
}

static void note_stopped(struct bc_batch_op *op, int result)
{
    (void)result;
    op->count = 1;
}

/* In the worker's thread, when no session is left anywhere. */
static void drop(struct bed_worker *self)
{
    struct bc_worker *worker = &self->worker;
    struct bc_batch_op stop = {.done = note_stopped};
    worker->backend->ops->stop(worker->backend, &stop);
    for (uint32_t i = 0; i < BED_TURNS_MAX && stop.count == 0; i++) {
        bc_loop_turn(worker->loop, 0);
    }
    assert_int_equal(stop.count, 1);
    bc_sessions_destroy(worker->sessions);
    bc_pipeline_destroy(worker->pipeline);
    worker->backend->ops->destroy(worker->backend);
    assert_int_equal(self->imports, 0);
    bc_dma_destroy(worker->dma);
    drop_listener(self);
    for (uint32_t i = 0; i < BED_TURNS_MAX && bc_loop_in_flight(worker->loop) > 0; i++) {
        bc_loop_turn(worker->loop, 0);
    }
    assert_null(self->listener);
    bc_staging_destroy(worker->staging);
    bc_loop_destroy(worker->loop);
}

static void set_state(struct bed_worker *self, uint32_t state)
{
    __atomic_store_n(&self->state, state, __ATOMIC_RELEASE);
}

static void nap(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

static void await_state(struct bed_worker *self, uint32_t state)
{
    for (uint32_t i = 0; i < BED_DEADLINE_MS; i++) {
        if (__atomic_load_n(&self->state, __ATOMIC_ACQUIRE) >= state) {
            return;
        }
        nap();
    }
    fail_msg("a worker did not get on");
}

static void *thread_main(void *arg)
{
    struct bed_worker *self = arg;
    make(self);
    set_state(self, BED_RUNNING);
    bc_loop_run(self->worker.loop);
    set_state(self, BED_STOPPED);
    await_state(self, BED_DROPPING);
    drop(self);
    set_state(self, BED_ENDED);
    return NULL;
}

static void set_limits(struct bed *bed)
{
    struct bc_session_limits *limits = &bed->limits;
    *limits = bed->options.limits;
    limits->sessions_max = limits->sessions_max != 0 ? limits->sessions_max : 64;
    limits->requests_max = limits->requests_max != 0 ? limits->requests_max : 32;
    limits->entries_max = limits->entries_max != 0 ? limits->entries_max : 4096;
    limits->bytes_max = limits->bytes_max != 0 ? limits->bytes_max : UINT64_C(1) << 40;
    limits->regions_max = limits->regions_max != 0 ? limits->regions_max : 2048;
    limits->message_max = BC_MESSAGE_BODY_MAX;
    limits->object_size_max = BC_OBJECT_SIZE_MAX;
    limits->chunk_len = CHUNK_LEN;
    limits->keepalive_ms = 10000;
    limits->hello_timeout_ms = 1000;
    limits->agent_name = "bed";
}

/* The same for every bed: filled once, since that takes its time under the sanitizers. */
static uint8_t *client_memory(void)
{
    static uint8_t memory[BED_MEMORY_LEN];
    static bool filled;
    for (uint32_t i = 0; !filled && i < BED_FILLED_LEN; i++) {
        memory[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    filled = true;
    return memory;
}

void bed_init(struct bed *bed, const struct bed_options *options)
{
    memset(bed, 0, sizeof(*bed));
    bed->options = *options;
    set_limits(bed);
    bc_log_set_level(BC_LOG_ERROR);
    bc_clock_virtual_init(&bed->clock, BC_NS_PER_S);
    assert_int_equal(bc_metrics_create(&bed->metrics), 0);
    bed->memory = client_memory();
    for (uint32_t w = 0; w < options->workers; w++) {
        struct bed_worker *self = &bed->workers[w];
        self->bed = bed;
        self->worker.index = w;
        self->worker.worker_count = options->workers;
        self->worker.peers = bed->peers;
        self->worker.limits = &bed->limits;
        self->worker.metrics = bed->metrics;
        self->worker.group_clock = &bed->group_clock;
        bed->peers[w] = &self->worker;
    }
    for (uint32_t w = 0; w < options->workers; w++) {
        if (options->threads) {
            assert_int_equal(
                pthread_create(&bed->workers[w].thread, NULL, thread_main, &bed->workers[w]), 0);
            await_state(&bed->workers[w], BED_RUNNING);
        } else {
            make(&bed->workers[w]);
        }
    }
}

void bed_fini(struct bed *bed)
{
    bed_wait_empty(bed);
    assert_int_equal(bed_metric(bed, "bluecache_session_requests"), 0);
    assert_int_equal(bed_metric(bed, "bluecache_session_regions"), 0);
    bed_wait_groups(bed);
    for (uint32_t w = 0; w < bed->options.workers; w++) {
        if (!bed->options.threads) {
            drop(&bed->workers[w]);
            continue;
        }
        bc_loop_stop(bed->workers[w].worker.loop);
    }
    for (uint32_t w = 0; bed->options.threads && w < bed->options.workers; w++) {
        await_state(&bed->workers[w], BED_STOPPED);
    }
    for (uint32_t w = 0; bed->options.threads && w < bed->options.workers; w++) {
        set_state(&bed->workers[w], BED_DROPPING);
    }
    for (uint32_t w = 0; bed->options.threads && w < bed->options.workers; w++) {
        await_state(&bed->workers[w], BED_ENDED);
        pthread_join(bed->workers[w].thread, NULL);
    }
    bc_metrics_destroy(bed->metrics);
}

uint32_t bed_turn(struct bed *bed)
{
    uint32_t done = 0;
    for (uint32_t w = 0; w < bed->options.workers; w++) {
        done += bc_loop_turn(bed->workers[w].worker.loop, 0);
    }
    return done;
}

void bed_turns(struct bed *bed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bed_turn(bed);
    }
}

void bed_pass(struct bed *bed, uint64_t ms)
{
    for (uint64_t i = 0; i < 10; i++) {
        bc_clock_virtual_advance(&bed->clock, ms * BC_NS_PER_MS / 10);
        bed_turns(bed, 20);
    }
}

uint32_t bed_sessions(const struct bed *bed)
{
    return (uint32_t)bed_metric(bed, "bluecache_session_open");
}

static void drain(struct bc_mail *mail)
{
    bc_sessions_drain(BC_CONTAINER_OF(mail, struct bed_worker, mail)->worker.sessions);
}

void bed_drain(struct bed *bed)
{
    for (uint32_t w = 0; w < bed->options.workers; w++) {
        bed->workers[w].mail.deliver = drain;
        bc_loop_send(bed->workers[w].worker.loop, &bed->workers[w].mail);
    }
}

void bed_wait_empty(struct bed *bed)
{
    for (uint32_t i = 0; i < BED_TURNS_MAX && bed_sessions(bed) > 0; i++) {
        if (bed->options.threads) {
            nap();
            continue;
        }
        bc_clock_virtual_advance(&bed->clock, BC_NS_PER_MS);
        bed_turn(bed);
    }
    assert_int_equal(bed_sessions(bed), 0);
}

static bool groups_are_quiet(struct bed *bed)
{
    for (uint32_t w = 0; w < bed->options.workers; w++) {
        if (!bc_group_post_is_quiet(&bed->workers[w].worker.group_post)) {
            return false;
        }
    }
    return true;
}

void bed_wait_groups(struct bed *bed)
{
    for (uint32_t i = 0; i < BED_TURNS_MAX && !groups_are_quiet(bed); i++) {
        if (bed->options.threads) {
            nap();
        } else {
            bed_turn(bed);
        }
    }
    assert_true(groups_are_quiet(bed));
}

int64_t bed_metric(const struct bed *bed, const char *name)
{
    int64_t sum = 0;

    assert_true(bc_recount_metric(bed->metrics, name, &sum));
    return sum;
}
