/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline over a fake engine and a fake backend: bytes, fairness, cancels, and every
 * failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "fakes.h"
#include "session/pipeline.h"

#define KIB        1024u
#define CHUNK      (256u * KIB)
#define TURNS_MAX  20000
#define PIECES_MAX 64
#define JOBS_MAX   8

/* The engine of the fairness test: 1 GiB/s, on the virtual clock. */
#define NS_PER_BYTE 1u

struct world {
    struct bc_clock clock;
    struct bc_loop *loop;
    struct fake_dma dma;
    struct fake_backend backend;
    struct bc_pipeline *pipeline;
    struct fake_memory memory;
    struct bc_region region;
};

struct test_job {
    struct bc_job job;
    struct bc_piece pieces[PIECES_MAX];
    uint32_t statuses[PIECES_MAX];
    bool done;
};

static void setup_opens(struct world *world, uint32_t depth, uint64_t memory_len,
                        uint32_t opens_max)
{
    memset(world, 0, sizeof(*world));
    bc_clock_virtual_init(&world->clock, BC_NS_PER_S);
    struct bc_loop_options loop_options = {.entries = 64, .clock = &world->clock};
    assert_int_equal(bc_loop_create(&loop_options, &world->loop), 0);
    fake_dma_init(&world->dma, depth);
    fake_backend_init(&world->backend, world->loop);
    struct bc_pipeline_options options = {
        .loop = world->loop,
        .dma = &world->dma.dma,
        .backend = &world->backend.backend,
        .depth = depth,
        .chunk_len = CHUNK,
        .dma_len_max = 2 * CHUNK,
        .chunks_max = 64,
        .opens_max = opens_max,
    };
    assert_int_equal(bc_pipeline_create(&options, &world->pipeline), 0);
    world->memory.base = malloc(memory_len);
    world->memory.len = memory_len;
    uint64_t *words = (uint64_t *)(void *)world->memory.base;
    for (uint64_t i = 0; i < memory_len / sizeof(*words); i++) {
        words[i] = i * UINT64_C(0x9e3779b97f4a7c15);
    }
    world->region.len_bytes = memory_len;
    world->region.imports[0] = (struct bc_dma_import *)(void *)&world->memory;
}

static void setup_with(struct world *world, uint32_t depth, uint64_t memory_len)
{
    setup_opens(world, depth, memory_len, 8);
}

static void teardown(struct world *world)
{
    bc_pipeline_destroy(world->pipeline);
    for (int i = 0; i < 10; i++) {
        bc_loop_turn(world->loop, 0);
    }
    assert_int_equal(world->backend.puts_open, 0);
    assert_int_equal(world->backend.gets_open, 0);
    assert_int_equal(world->backend.views_open, 0);
    assert_int_equal(world->backend.leases_open, 0);
    assert_int_equal(world->dma.count, 0);
    fake_backend_fini(&world->backend);
    bc_loop_destroy(world->loop);
    free(world->memory.base);
}

static void job_done(struct bc_job *job)
{
    struct test_job *test_job = BC_CONTAINER_OF(job, struct test_job, job);
    assert_false(test_job->done);
    test_job->done = true;
}

static void prepare(struct test_job *test_job, uint8_t op, struct bc_flow *flow, const char *key,
                    uint64_t size)
{
    memset(test_job, 0, sizeof(*test_job));
    test_job->job.op = op;
    test_job->job.flow = flow;
    test_job->job.key.key = key;
    test_job->job.key.key_len = (uint32_t)strlen(key);
    test_job->job.object_size = size;
    test_job->job.pieces = test_job->pieces;
    test_job->job.statuses = test_job->statuses;
    test_job->job.done = job_done;
    for (int i = 0; i < PIECES_MAX; i++) {
        test_job->statuses[i] = BC_STATUS_IN_PROGRESS;
    }
}

static void piece(struct world *world, struct test_job *test_job, uint64_t memory_offset,
                  uint64_t object_offset, uint64_t len)
{
    struct bc_piece *next = &test_job->pieces[test_job->job.piece_count];
    next->region = &world->region;
    next->memory_offset = memory_offset;
    next->object_offset = object_offset;
    next->len = len;
    next->entry_index = test_job->job.piece_count++;
}

/* Turns the loop; completes one DMA task a turn when `dma`. */
static void run_until(struct world *world, const bool *done, bool dma)
{
    for (int i = 0; i < TURNS_MAX && !*done; i++) {
        bc_loop_turn(world->loop, 0);
        if (dma) {
            fake_dma_complete_one(&world->dma);
        }
    }
    assert_true(*done);
}

static void turns(struct world *world, int count)
{
    for (int i = 0; i < count; i++) {
        bc_loop_turn(world->loop, 0);
    }
}

/* Random cuts of [0, size) as pieces with random places in memory. */
static void random_tiles(struct world *world, struct test_job *test_job, uint64_t size,
                         uint32_t count, uint64_t *memory_offset)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t left = size - at;
        uint64_t len = i + 1 == count ? left : (left == 0 ? 0 : (uint64_t)random() % left);
        piece(world, test_job, *memory_offset, at, len);
        *memory_offset += len + 3;
        at += len;
    }
}

static void bytes_go_out_and_come_back(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 4095, 65536, 65537, CHUNK, 3 * CHUNK + 1};
    unsigned seed = 7;
    print_message("seed %u\n", seed);
    srandom(seed);
    for (size_t s = 0; s < BC_ARRAY_LEN(sizes); s++) {
        for (uint32_t view = 0; view < 3; view++) {
            struct world world;
            struct bc_flow flow;
            struct test_job push;
            struct test_job pull;
            setup_with(&world, 3, 16 * CHUNK);
            bc_flow_init(&flow);
            world.backend.view_max = view == 0 ? 0 : view * 64 * KIB;
            world.backend.lease_max = view == 0 ? 0 : view * 128 * KIB;
            uint64_t at = 0;
            prepare(&push, BC_TRANSFER_PUSH, &flow, "k", sizes[s]);
            random_tiles(&world, &push, sizes[s], 1 + (uint32_t)random() % 20, &at);
            bc_pipeline_start(world.pipeline, &push.job);
            run_until(&world, &push.done, true);
            assert_int_equal(push.job.status, BC_STATUS_OK);
            assert_int_equal(push.job.bytes_moved, sizes[s]);
            struct fake_object *object = fake_backend_find(&world.backend, "k");
            assert_non_null(object);
            assert_int_equal(object->size, sizes[s]);
            for (uint32_t i = 0; i < push.job.piece_count; i++) {
                assert_memory_equal(object->data + push.pieces[i].object_offset,
                                    world.memory.base + push.pieces[i].memory_offset,
                                    push.pieces[i].len);
            }
            uint64_t pull_at = 8 * CHUNK;
            prepare(&pull, BC_TRANSFER_PULL, &flow, "k", 0);
            random_tiles(&world, &pull, sizes[s], 1 + (uint32_t)random() % 20, &pull_at);
            bc_pipeline_start(world.pipeline, &pull.job);
            run_until(&world, &pull.done, true);
            assert_int_equal(pull.job.status, BC_STATUS_OK);
            assert_int_equal(pull.job.bytes_moved, sizes[s]);
            for (uint32_t i = 0; i < pull.job.piece_count; i++) {
                assert_int_equal(pull.statuses[i], BC_STATUS_OK);
                assert_memory_equal(object->data + pull.pieces[i].object_offset,
                                    world.memory.base + pull.pieces[i].memory_offset,
                                    pull.pieces[i].len);
            }
            teardown(&world);
        }
    }
}

static void pull_serves_overlapping_and_distant_ranges(void **state)
{
    (void)state;
    struct world world;
    struct bc_flow flow;
    struct test_job pull;
    setup_with(&world, 2, 16 * CHUNK);
    bc_flow_init(&flow);
    uint8_t *data = malloc(3 * CHUNK);
    for (size_t i = 0; i < 3 * CHUNK; i++) {
        data[i] = (uint8_t)(i * 7 + (i >> 11));
    }
    fake_backend_store(&world.backend, "k", data, 3 * CHUNK);
    prepare(&pull, BC_TRANSFER_PULL, &flow, "k", 0);
    piece(&world, &pull, 0, 0, 2 * CHUNK + 5);
    piece(&world, &pull, 4 * CHUNK, 10, 100);
    piece(&world, &pull, 5 * CHUNK, CHUNK - 1, 70000);
    piece(&world, &pull, 6 * CHUNK, 3 * CHUNK - 1, 1);
    piece(&world, &pull, 7 * CHUNK, 3 * CHUNK - 1, 2);
    bc_pipeline_start(world.pipeline, &pull.job);
    run_until(&world, &pull.done, true);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(pull.statuses[i], BC_STATUS_OK);
        assert_memory_equal(world.memory.base + pull.pieces[i].memory_offset,
                            data + pull.pieces[i].object_offset, pull.pieces[i].len);
    }
    assert_int_equal(pull.statuses[4], BC_STATUS_RANGE);
    free(data);
    teardown(&world);
}

static void missing_object_is_a_miss(void **state)
{
    (void)state;
    struct world world;
    struct bc_flow flow;
    struct test_job pull;
    setup_with(&world, 2, CHUNK);
    bc_flow_init(&flow);
    prepare(&pull, BC_TRANSFER_PULL, &flow, "none", 0);
    piece(&world, &pull, 0, 0, 10);
    bc_pipeline_start(world.pipeline, &pull.job);
    run_until(&world, &pull.done, true);
    assert_int_equal(pull.job.status, BC_STATUS_NOT_FOUND);
    assert_int_equal(pull.statuses[0], BC_STATUS_NOT_FOUND);
    teardown(&world);
}

/* Virtual time from now until the small request's bytes are copied. */
static uint64_t wait_of(struct world *world, const struct test_job *small)
{
    uint64_t start_ns = bc_clock_now_ns(&world->clock);
    for (int i = 0; i < TURNS_MAX && small->job.bytes_moved == 0; i++) {
        bc_loop_turn(world->loop, 0);
        if (world->dma.count > 0) {
            bc_clock_virtual_advance(&world->clock, world->dma.tasks[0]->len * NS_PER_BYTE);
            fake_dma_complete_one(&world->dma);
        }
    }
    assert_true(small->job.bytes_moved > 0);
    return bc_clock_now_ns(&world->clock) - start_ns;
}

static void small_request_waits_behind_at_most_two_chunks(void **state)
{
    (void)state;
    static const uint8_t ops[] = {BC_TRANSFER_PUSH, BC_TRANSFER_PULL};
    for (size_t o = 0; o < BC_ARRAY_LEN(ops); o++) {
        for (int before = 1; before < 12; before++) {
            struct world world;
            struct bc_flow busy_flow;
            struct bc_flow small_flow;
            struct test_job busy;
            struct test_job small;
            setup_with(&world, 1, 48 * CHUNK);
            bc_flow_init(&busy_flow);
            bc_flow_init(&small_flow);
            fake_backend_store(&world.backend, "big", world.memory.base, 32 * CHUNK);
            fake_backend_store(&world.backend, "small", world.memory.base, 64 * KIB);
            prepare(&busy, ops[o], &busy_flow, "big", 32 * CHUNK);
            piece(&world, &busy, 0, 0, 32 * CHUNK);
            bc_pipeline_start(world.pipeline, &busy.job);
            for (int i = 0; i < before; i++) {
                turns(&world, 3);
                fake_dma_complete_one(&world.dma);
            }
            turns(&world, 3);
            prepare(&small, ops[o], &small_flow, "small", 64 * KIB);
            piece(&world, &small, 40 * CHUNK, 0, 64 * KIB);
            bc_pipeline_start(world.pipeline, &small.job);
            /* Two chunks of the other client, one that is in the engine already (depth 1), its
             * own. */
            uint64_t limit_ns = (2 * CHUNK + CHUNK + 64 * KIB) * NS_PER_BYTE;
            assert_true(wait_of(&world, &small) <= limit_ns);
            run_until(&world, &small.done, true);
            run_until(&world, &busy.done, true);
            assert_int_equal(busy.job.status, BC_STATUS_OK);
            teardown(&world);
        }
    }
}

static void waits_for_the_backend_and_goes_on(void **state)
{
    (void)state;
    struct world world;
    struct bc_flow flow;
    struct test_job push;
    setup_with(&world, 2, 4 * CHUNK);
    bc_flow_init(&flow);
    world.backend.busy = true;
    prepare(&push, BC_TRANSFER_PUSH, &flow, "k", 2 * CHUNK);
    piece(&world, &push, 0, 0, 2 * CHUNK);
    bc_pipeline_start(world.pipeline, &push.job);
    turns(&world, 20);
    assert_false(push.done);
    assert_int_equal(world.dma.submitted, 0);
    world.backend.busy = false;
    world.backend.backend.ready(world.backend.backend.ready_arg);
    run_until(&world, &push.done, true);
    assert_int_equal(push.job.status, BC_STATUS_OK);
    teardown(&world);
}

static void more_objects_than_may_be_open_at_once(void **state)
{
    (void)state;
    enum { JOBS = 50 };
    static const uint8_t ops[] = {BC_TRANSFER_PUSH, BC_TRANSFER_PULL};
    struct test_job *jobs = calloc(JOBS, sizeof(*jobs));
    for (size_t o = 0; o < BC_ARRAY_LEN(ops); o++) {
        struct world world;
        struct bc_flow flows[2];
        setup_with(&world, 2, 16 * CHUNK);
        bc_flow_init(&flows[0]);
        bc_flow_init(&flows[1]);
        fake_backend_store(&world.backend, "k", world.memory.base, 64 * KIB);
        for (int i = 0; i < JOBS; i++) {
            prepare(&jobs[i], ops[o], &flows[i % 2], "k", 64 * KIB);
            piece(&world, &jobs[i], (uint64_t)i * 64 * KIB, 0, 64 * KIB);
            bc_pipeline_start(world.pipeline, &jobs[i].job);
        }
        for (int i = 0; i < JOBS; i++) {
            run_until(&world, &jobs[i].done, true);
            assert_int_equal(jobs[i].job.status, BC_STATUS_OK);
        }
        teardown(&world);
    }
    free(jobs);
}

/* However slow opening is, and however many objects a client asks for. */
static void one_client_leaves_handles_to_the_others(void **state)
{
    (void)state;
    enum { JOBS = 61, OPENS_MAX = 64 };
    struct world world;
    struct bc_flow flows[2];
    struct test_job *jobs = calloc(JOBS, sizeof(*jobs));
    setup_opens(&world, 2, JOBS * 64 * KIB, OPENS_MAX);
    bc_flow_init(&flows[0]);
    bc_flow_init(&flows[1]);
    fake_backend_store(&world.backend, "k", world.memory.base, 64 * KIB);
    world.backend.hold = true;
    for (int i = 0; i < JOBS; i++) {
        prepare(&jobs[i], BC_TRANSFER_PULL, &flows[i == JOBS - 1], "k", 64 * KIB);
        piece(&world, &jobs[i], (uint64_t)i * 64 * KIB, 0, 64 * KIB);
        if (i < JOBS - 1) {
            bc_pipeline_start(world.pipeline, &jobs[i].job);
        }
    }
    turns(&world, 20);
    uint32_t taken = world.backend.gets_open;
    assert_true(taken >= 2 && taken <= OPENS_MAX / 2);
    bc_pipeline_start(world.pipeline, &jobs[JOBS - 1].job);
    turns(&world, 20);
    assert_int_equal(world.backend.gets_open, taken + 1);
    fake_backend_release(&world.backend);
    for (int i = 0; i < JOBS; i++) {
        run_until(&world, &jobs[i].done, true);
        assert_int_equal(jobs[i].job.status, BC_STATUS_OK);
    }
    free(jobs);
    teardown(&world);
}

/* A client whose opens all fail goes on with the objects behind them. */
static void failed_opens_make_room_for_the_next(void **state)
{
    (void)state;
    enum { JOBS = 100 };
    struct world world;
    struct bc_flow flow;
    struct test_job *jobs = calloc(JOBS, sizeof(*jobs));
    setup_opens(&world, 2, JOBS * 64 * KIB, 64);
    bc_flow_init(&flow);
    fake_backend_store(&world.backend, "k", world.memory.base, 64 * KIB);
    for (int i = 0; i < JOBS; i++) {
        prepare(&jobs[i], BC_TRANSFER_PULL, &flow, i == JOBS - 1 ? "k" : "none", 64 * KIB);
        piece(&world, &jobs[i], (uint64_t)i * 64 * KIB, 0, 64 * KIB);
        bc_pipeline_start(world.pipeline, &jobs[i].job);
    }
    for (int i = 0; i < JOBS; i++) {
        run_until(&world, &jobs[i].done, true);
        assert_int_equal(jobs[i].job.status, i == JOBS - 1 ? BC_STATUS_OK : BC_STATUS_NOT_FOUND);
    }
    free(jobs);
    teardown(&world);
}

/* A client that waits for space must not hold up what another one has begun. */
static void blocked_client_does_not_stop_the_others(void **state)
{
    (void)state;
    struct world world;
    struct bc_flow flows[2];
    struct test_job jobs[2];
    setup_with(&world, 1, 16 * CHUNK);
    bc_flow_init(&flows[0]);
    bc_flow_init(&flows[1]);
    prepare(&jobs[0], BC_TRANSFER_PUSH, &flows[0], "a", 8 * CHUNK);
    piece(&world, &jobs[0], 0, 0, 8 * CHUNK);
    bc_pipeline_start(world.pipeline, &jobs[0].job);
    turns(&world, 3);
    fake_dma_complete_one(&world.dma);
    prepare(&jobs[1], BC_TRANSFER_PUSH, &flows[1], "b", CHUNK);
    piece(&world, &jobs[1], 8 * CHUNK, 0, CHUNK);
    world.backend.busy = true;
    bc_pipeline_start(world.pipeline, &jobs[1].job);
    for (int i = 0; i < 20; i++) {
        turns(&world, 3);
        fake_dma_complete_one(&world.dma);
    }
    world.backend.busy = false;
    world.backend.backend.ready(world.backend.backend.ready_arg);
    run_until(&world, &jobs[0].done, true);
    run_until(&world, &jobs[1].done, true);
    assert_int_equal(jobs[0].job.status, BC_STATUS_OK);
    assert_int_equal(jobs[1].job.status, BC_STATUS_OK);
    teardown(&world);
}

static void cancel_at_every_step_ends_once_and_leaks_nothing(void **state)
{
    (void)state;
    static const uint8_t ops[] = {BC_TRANSFER_PUSH, BC_TRANSFER_PULL};
    for (size_t o = 0; o < BC_ARRAY_LEN(ops); o++) {
        for (int step = 0; step < 40; step++) {
            struct world world;
            struct bc_flow flow;
            struct test_job job;
            setup_with(&world, 2, 8 * CHUNK);
            bc_flow_init(&flow);
            fake_backend_store(&world.backend, "k", world.memory.base, 4 * CHUNK);
            prepare(&job, ops[o], &flow, "k", 4 * CHUNK);
            piece(&world, &job, 0, 0, 4 * CHUNK);
            bc_pipeline_start(world.pipeline, &job.job);
            for (int i = 0; i < step && !job.done; i++) {
                bc_loop_turn(world.loop, 0);
                if (i % 3 == 2) {
                    fake_dma_complete_one(&world.dma);
                }
            }
            bool was_done = job.done;
            bc_pipeline_cancel(world.pipeline, &job.job, BC_STATUS_CANCELLED);
            run_until(&world, &job.done, true);
            if (!was_done) {
                assert_true(job.job.status == BC_STATUS_CANCELLED ||
                            job.job.status == BC_STATUS_OK);
                assert_int_equal(job.statuses[0], job.job.status);
            }
            if (ops[o] == BC_TRANSFER_PUSH && job.job.status == BC_STATUS_CANCELLED) {
                assert_int_equal(world.backend.commits, 0);
            }
            teardown(&world);
        }
    }
}

static void cancel_waits_for_copies_in_flight(void **state)
{
    (void)state;
    struct world world;
    struct bc_flow flow;
    struct test_job job;
    setup_with(&world, 2, 8 * CHUNK);
    bc_flow_init(&flow);
    prepare(&job, BC_TRANSFER_PUSH, &flow, "k", 4 * CHUNK);
    piece(&world, &job, 0, 0, 4 * CHUNK);
    bc_pipeline_start(world.pipeline, &job.job);
    turns(&world, 5);
    assert_int_equal(world.dma.count, 2);
    bc_pipeline_cancel(world.pipeline, &job.job, BC_STATUS_TIMED_OUT);
    turns(&world, 50);
    assert_false(job.done);
    run_until(&world, &job.done, true);
    assert_int_equal(job.job.status, BC_STATUS_TIMED_OUT);
    teardown(&world);
}

static void every_failure_is_a_status_and_leaks_nothing(void **state)
{
    (void)state;
    static const uint8_t ops[] = {BC_TRANSFER_PUSH, BC_TRANSFER_PULL};
    for (size_t o = 0; o < BC_ARRAY_LEN(ops); o++) {
        uint32_t operations = 0;
        uint32_t tasks = 0;
        for (uint32_t n = 0; n <= operations + 2 * tasks; n++) {
            struct world world;
            struct bc_flow flow;
            struct test_job job;
            setup_with(&world, 2, 8 * CHUNK);
            bc_flow_init(&flow);
            fake_backend_store(&world.backend, "k", world.memory.base, 4 * CHUNK);
            if (n <= operations) {
                world.backend.fail_at = n;
            } else if (n <= operations + tasks) {
                world.dma.fail_at = n - operations;
            } else {
                world.dma.refuse_at = n - operations - tasks;
            }
            prepare(&job, ops[o], &flow, "k", 4 * CHUNK);
            piece(&world, &job, 0, 0, 3 * CHUNK);
            piece(&world, &job, 4 * CHUNK, 3 * CHUNK, CHUNK);
            bc_pipeline_start(world.pipeline, &job.job);
            run_until(&world, &job.done, true);
            if (n == 0) {
                assert_int_equal(job.job.status, BC_STATUS_OK);
                operations = world.backend.operations;
                tasks = world.dma.submitted;
                assert_true(operations > 4 && tasks >= 4);
            } else {
                assert_int_not_equal(job.job.status, BC_STATUS_OK);
                assert_int_not_equal(job.job.status, BC_STATUS_IN_PROGRESS);
            }
            while (fake_dma_complete_one(&world.dma)) {}
            teardown(&world);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_out_and_come_back),
        cmocka_unit_test(pull_serves_overlapping_and_distant_ranges),
        cmocka_unit_test(missing_object_is_a_miss),
        cmocka_unit_test(small_request_waits_behind_at_most_two_chunks),
        cmocka_unit_test(waits_for_the_backend_and_goes_on),
        cmocka_unit_test(more_objects_than_may_be_open_at_once),
        cmocka_unit_test(one_client_leaves_handles_to_the_others),
        cmocka_unit_test(failed_opens_make_room_for_the_next),
        cmocka_unit_test(blocked_client_does_not_stop_the_others),
        cmocka_unit_test(cancel_at_every_step_ends_once_and_leaks_nothing),
        cmocka_unit_test(cancel_waits_for_copies_in_flight),
        cmocka_unit_test(every_failure_is_a_status_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
