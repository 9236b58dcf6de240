/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - making, turning and taking down the world; see world.h. */
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "testlib/pair.h"
#include "testlib/quiet_log.h"

#define POOL_LEN     (6u << 20)
#define CACHE_LEN    (9u << 19)
#define DEPTH        4u
#define CAPACITY     (64u << 20)
#define IDLE_TURNS   3u
#define STEP_NS      BC_NS_PER_MS
#define BUSY_NS      (100 * BC_NS_PER_US)
#define STEP_MAX_NS  (250 * BC_NS_PER_MS)
#define REAL_WAIT_NS (200 * BC_NS_PER_US)
#define SETTLE_TURNS 20000u

const char *const world_twin_names[TWIN_COUNT] = {
    [TWIN_BACKEND] = "backend",     [TWIN_FILES] = "files", [TWIN_DMA] = "dma",
    [TWIN_TRANSPORT] = "transport", [TWIN_CLOCK] = "clock",
};

/* ---- making and taking down ----------------------------------------------------------------- */

static void set_limits(struct world *world)
{
    world->limits = (struct bc_session_limits){
        .sessions_max = 8,
        .requests_max = 16,
        .entries_max = 256,
        .bytes_max = UINT64_C(1) << 30,
        .regions_max = 64,
        .message_max = BC_MESSAGE_BODY_MAX,
        .object_size_max = BC_OBJECT_SIZE_MAX,
        .chunk_len = WORLD_CHUNK_LEN,
        .keepalive_ms = 10000,
        .hello_timeout_ms = 1000,
        .agent_name = "world",
    };
}

static void make_engine(struct world_worker *member, uint64_t seed)
{
    struct bc_worker *worker = &member->worker;
    struct bc_memory_dma_options options = {.loop = worker->loop, .depth = DEPTH};
    struct bc_dma *engine;

    bc_staging_memory(worker->staging, &options.local, &options.local_len);
    assert_int_equal(bc_memory_dma_create(&options, &engine), 0);
    bc_faulty_dma_init(&member->dma, engine, worker->loop, seed);
    worker->dma = &member->dma.dma;
}

static void make_backend(struct world *world, struct world_worker *member, uint64_t seed)
{
    struct bc_worker *worker = &member->worker;
    bool dram = world->type == &bc_backend_dram;
    struct bc_options_error error = {""};
    struct bc_backend *backend;
    struct bc_backend_env env = {
        .loop = worker->loop,
        .files = &member->files.files,
        .staging = worker->staging,
        .metrics = world->metrics,
        .root = world->root,
        .capacity = dram ? CACHE_LEN : CAPACITY,
        .worker = worker->index,
        .workers = worker->worker_count,
        .handles_max = 256,
        .group_clock = &world->group_clock,
    };

    if (world->type->create(&env, world->store, &error, &backend) != 0) {
        world_fail("the store does not open: %s", error.text);
    }
    bc_faulty_backend_init(&member->backend, backend, worker->loop, worker->staging, seed);
    worker->backend = &member->backend.backend;
    bc_group_post_init(&worker->group_post, worker);
}

static void make_worker(struct world *world, uint32_t index, uint64_t seed)
{
    struct world_worker *member = &world->members[index];
    struct bc_worker *worker = &member->worker;
    struct bc_loop_options loop = {.name = "sweep", .clock = &world->clock.clock};
    struct bc_staging_options staging = {.pool_len = POOL_LEN};

    *worker = (struct bc_worker){.index = index,
                                 .worker_count = world->workers,
                                 .peers = world->peers,
                                 .limits = &world->limits,
                                 .metrics = world->metrics,
                                 .group_clock = &world->group_clock};
    world->peers[index] = worker;
    staging.cache_len = world->type == &bc_backend_dram ? CACHE_LEN : 0;
    assert_int_equal(bc_loop_create(&loop, &worker->loop), 0);
    assert_int_equal(bc_staging_create(&staging, world->metrics, &worker->staging), 0);
    bc_uring_files_init(&worker->files, worker->loop);
    bc_faulty_files_init(&member->files, &worker->files.files, worker->loop, seed);
    make_engine(member, seed);
    make_backend(world, member, seed);
    struct bc_pipeline_options pipeline = {
        .loop = worker->loop,
        .dma = worker->dma,
        .backend = worker->backend,
        .worker = index,
        .depth = DEPTH,
        .chunk_len = WORLD_CHUNK_LEN,
        .dma_len_max = WORLD_CHUNK_LEN / 2,
        .chunks_max = 32,
        .opens_max = 32,
        .metrics = world->metrics,
    };
    assert_int_equal(bc_pipeline_create(&pipeline, &worker->pipeline), 0);
    assert_int_equal(bc_sessions_create(worker, &worker->sessions), 0);
}

int world_connect(struct world *world)
{
    struct bc_conn *conn;
    int fd;

    assert_int_equal(bc_pair_open(&conn, &fd), 0);
    bc_sessions_adopt(world->members[0].worker.sessions, bc_faulty_transport_ops(),
                      bc_faulty_transport_wrap(&world->transport, conn));
    return fd;
}

void world_open(struct world *world, const char *backend, uint32_t workers, const char *root,
                uint64_t seed)
{
    static uint8_t memory[WORLD_MEMORY_LEN];
    struct bc_options_error error = {""};

    memset(world, 0, sizeof(*world));
    world->backend = backend;
    world->workers = workers;
    world->memory = memory;
    world->type = bc_backend_find(backend);
    (void)snprintf(world->root, sizeof(world->root), "%s", root);
    set_limits(world);
    bc_log_set_sink(bc_quiet_log, NULL);
    bc_clock_virtual_init(&world->time, BC_NS_PER_S);
    bc_faulty_clock_init(&world->clock, &world->time, seed);
    bc_faulty_transport_init(&world->transport, bc_transport_pair(), seed);
    assert_int_equal(bc_metrics_create(&world->metrics), 0);
    if (world->type->open_store != NULL &&
        world->type->open_store(world->root, false, workers, &error, &world->store) != 0) {
        world_fail("the store does not open: %s", error.text);
    }
    for (uint32_t i = 0; i < workers; i++) {
        make_worker(world, i, seed + i);
    }
}

static void stopped(struct bc_batch_op *op, int result)
{
    WORLD_CHECK_EQUAL(result, 0);
    op->count = 1;
}

static void stop_backend(struct world *world, struct bc_worker *worker)
{
    struct bc_batch_op stop = {.done = stopped};

    worker->backend->ops->stop(worker->backend, &stop);
    for (uint32_t i = 0; i < SETTLE_TURNS && stop.count == 0; i++) {
        world_turn(world);
    }
    if (stop.count == 0) {
        world_fail("the store does not stop");
    }
}

static void drop_worker(struct world_worker *member)
{
    struct bc_worker *worker = &member->worker;

    bc_sessions_destroy(worker->sessions);
    bc_pipeline_destroy(worker->pipeline);
    worker->backend->ops->destroy(worker->backend);
    bc_dma_destroy(worker->dma);
    bc_staging_destroy(worker->staging);
    bc_loop_destroy(worker->loop);
}

/* Every group that was dropped is told of. */
static void wait_groups(struct world *world)
{
    for (uint32_t i = 0; i < world->workers; i++) {
        const struct bc_group_post *post = &world->members[i].worker.group_post;

        for (uint32_t turn = 0; turn < SETTLE_TURNS && !bc_group_post_is_quiet(post); turn++) {
            world_turn(world);
        }
        if (!bc_group_post_is_quiet(post)) {
            world_fail("a dropped group is not told of");
        }
    }
}

void world_close(struct world *world)
{
    wait_groups(world);
    for (uint32_t i = 0; i < world->workers; i++) {
        stop_backend(world, &world->members[i].worker);
    }
    for (uint32_t i = 0; i < world->workers; i++) {
        drop_worker(&world->members[i]);
    }
    if (world->store != NULL) {
        world->type->close_store(world->store);
    }
    bc_metrics_destroy(world->metrics);
    bc_faulty_transport_fini(&world->transport);
}

/* ---- turning -------------------------------------------------------------------------------- */

static uint32_t with_the_system(const struct world *world)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world->workers; i++) {
        count += world->members[i].files.in_real;
    }
    return count;
}

void world_turn(struct world *world)
{
    uint64_t wait_ns = world->idle > 0 && with_the_system(world) > 0 ? REAL_WAIT_NS : 0;
    uint32_t done = 0;

    for (uint32_t i = 0; i < world->workers; i++) {
        done += bc_loop_turn(world->members[i].worker.loop, wait_ns);
    }
    if (done > 0) {
        world->idle = 0;
        bc_clock_virtual_advance(&world->time,
                                 BUSY_NS); /* so that deadlines come to the busy, too */
        return;
    }
    world->idle++;
    /* Virtual time waits for real files, or a slow disk would look like a slow agent. */
    if (world->idle >= IDLE_TURNS && with_the_system(world) == 0) {
        uint32_t shift = world->idle / 16 < 8 ? world->idle / 16 : 8;
        bc_clock_virtual_advance(&world->time, bc_min_u64(STEP_NS << shift, STEP_MAX_NS));
    }
}

uint64_t world_now_ns(const struct world *world)
{
    return world->time.virtual_now_ns;
}

/* ---- faults --------------------------------------------------------------------------------- */

static struct bc_faults *faults_of(struct world *world, enum world_twin twin, uint32_t member)
{
    switch (twin) {
    case TWIN_BACKEND:
        return &world->members[member].backend.faults;
    case TWIN_FILES:
        return &world->members[member].files.faults;
    case TWIN_DMA:
        return &world->members[member].dma.faults;
    case TWIN_TRANSPORT:
        return member == 0 ? &world->transport.faults : NULL;
    default:
        return member == 0 ? &world->clock.faults : NULL;
    }
}

void world_add_rule(struct world *world, enum world_twin twin, struct bc_fault_rule rule)
{
    for (uint32_t i = 0; i < world->workers; i++) {
        struct bc_faults *faults = faults_of(world, twin, i);
        if (faults != NULL) {
            bc_faults_add(faults, rule);
        }
    }
}

void world_heal(struct world *world)
{
    for (uint32_t i = 0; i < world->workers; i++) {
        for (uint32_t twin = 0; twin < TWIN_COUNT; twin++) {
            struct bc_faults *faults = faults_of(world, (enum world_twin)twin, i);
            if (faults != NULL) {
                bc_faults_clear(faults);
            }
        }
        world->members[i].backend.vanished = false;
        world->members[i].dma.vanished = false;
        world->members[i].files.frozen = false;
    }
    bc_faulty_clock_heal(&world->clock);
    bc_faulty_transport_expire(&world->transport);
}

uint64_t world_struck(const struct world *world, enum world_twin twin, enum bc_fault_action action)
{
    uint64_t struck = 0;

    for (uint32_t i = 0; i < world->workers; i++) {
        const struct bc_faults *faults = faults_of((struct world *)(uintptr_t)world, twin, i);
        struck += faults != NULL ? faults->struck[action] : 0;
    }
    return struck;
}

uint64_t world_struck_any(const struct world *world)
{
    uint64_t struck = 0;

    for (uint32_t twin = 0; twin < TWIN_COUNT; twin++) {
        for (uint32_t action = 0; action < BC_FAULT_ACTION_COUNT; action++) {
            struck += world_struck(world, (enum world_twin)twin, (enum bc_fault_action)action);
        }
    }
    return struck;
}

uint64_t world_events(const struct world *world, enum world_twin twin)
{
    uint64_t events = 0;

    for (uint32_t i = 0; i < world->workers; i++) {
        const struct bc_faults *faults = faults_of((struct world *)(uintptr_t)world, twin, i);
        events += faults != NULL ? faults->events : 0;
    }
    return events;
}
