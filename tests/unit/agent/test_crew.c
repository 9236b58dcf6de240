/* SPDX-License-Identifier: Apache-2.0 */
/* The worker threads: made, run, drained and freed; and undone when one of them cannot be made. */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/crew.h"
#include "base/log.h"
#include "session/session.h"

#define MIB (UINT64_C(1) << 20)

static struct bc_session_limits limits = {
    .sessions_max = 8,
    .requests_max = 8,
    .entries_max = 64,
    .bytes_max = 64 * MIB,
    .regions_max = 8,
    .message_max = BC_MESSAGE_BODY_MAX,
    .object_size_max = BC_OBJECT_SIZE_MAX,
    .chunk_len = 1 << 20,
    .keepalive_ms = 10000,
    .hello_timeout_ms = 1000,
    .agent_name = "crew",
};

static struct bc_dma_device *device;
static struct bc_metrics *metrics;
static struct holdings before;

/* posix, but worker `fail_worker` has no drive. */
static uint32_t fail_worker;

static int make_faulty(const struct bc_backend_env *env, void *store,
                       struct bc_options_error *error_out, struct bc_backend **backend_out)
{
    if (env->worker == fail_worker) {
        (void)snprintf(error_out->text, sizeof(error_out->text), "worker %u has no drive",
                       env->worker);
        return -EIO;
    }
    return bc_backend_posix.create(env, store, error_out, backend_out);
}

static const struct bc_backend_type faulty = {.name = "faulty", .create = make_faulty};

static struct bc_crew_options options_for(uint32_t workers, const struct bc_backend_type *type)
{
    return (struct bc_crew_options){
        .workers = workers,
        .limits = &limits,
        .metrics = metrics,
        .device = device,
        .backend_type = type,
        .staging_bytes = 16 * MIB * workers,
        .capacity_bytes = 8 * MIB * workers,
        .depth = 4,
        .chunk_len = 1 << 20,
        .spin_ns = 1000,
        .drain_timeout_ms = 1000,
    };
}

static int setup(void **state)
{
    (void)state;
    before = holdings_now();
    assert_int_equal(bc_metrics_create(&metrics), 0);
    assert_int_equal(bc_dma_device_open("0000:03:00.0", &device), 0);
    fail_worker = UINT32_MAX;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bc_dma_device_close(device);
    bc_metrics_destroy(metrics);
    assert_holdings(before);
    return 0;
}

static void runs_and_ends(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        struct bc_crew_options options = options_for(workers, &bc_backend_dram);
        struct bc_options_error error = {""};
        struct bc_crew *crew = NULL;
        assert_int_equal(bc_metrics_create(&options.metrics), 0);
        assert_int_equal(bc_crew_create(&options, &error, &crew), 0);
        for (uint32_t w = 0; w < workers; w++) {
            assert_int_equal(bc_crew_worker(crew, w)->index, w);
            assert_int_equal(bc_crew_worker(crew, w)->worker_count, workers);
        }
        bc_crew_run(crew);
        assert_int_equal(bc_crew_destroy(crew), 0);
        bc_metrics_destroy(options.metrics);
    }
    assert_int_equal(bc_crew_destroy(NULL), 0);
}

static void ends_without_having_run(void **state)
{
    (void)state;
    struct bc_crew_options options = options_for(2, &bc_backend_dram);
    struct bc_options_error error = {""};
    struct bc_crew *crew = NULL;
    assert_int_equal(bc_crew_create(&options, &error, &crew), 0);
    assert_int_equal(bc_crew_destroy(crew), 0);
}

/* Whichever worker it is: those before it end as well, and the sentence comes through. */
static void worker_that_cannot_be_made_undoes_the_others(void **state)
{
    char root[64];
    void *store = NULL;
    struct bc_options_error no_error = {""};
    (void)state;
    make_dir(root);
    assert_int_equal(bc_backend_posix.open_store(root, false, 3, &no_error, &store), 0);
    for (fail_worker = 0; fail_worker < 3; fail_worker++) {
        struct bc_crew_options options = options_for(3, &faulty);
        options.store = store;
        options.root = root;
        struct bc_options_error error = {""};
        struct bc_crew *crew = NULL;
        char sentence[64];
        assert_int_equal(bc_metrics_create(&options.metrics), 0);
        assert_true(bc_crew_create(&options, &error, &crew) < 0);
        assert_null(crew);
        (void)snprintf(sentence, sizeof(sentence), "worker %u has no drive", fail_worker);
        assert_string_equal(error.text, sentence);
        bc_metrics_destroy(options.metrics);
    }
    bc_backend_posix.close_store(store);
    remove_dir(root);
}

static void every_part_that_fails_has_a_sentence(void **state)
{
    static const struct {
        uint64_t staging_bytes;
        uint64_t capacity_bytes;
        uint32_t depth;
        const char *sentence;
    } cases[] = {
        {2 * MIB, MIB, 4, "staging memory"},
        {16 * MIB, 4096, 4, "too few"},
        {16 * MIB, 8 * MIB, 1u << 20, "DMA engine"},
    };
    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(cases); i++) {
        struct bc_crew_options options = options_for(1, &bc_backend_dram);
        struct bc_options_error error = {""};
        struct bc_crew *crew = NULL;
        options.staging_bytes = cases[i].staging_bytes;
        options.capacity_bytes = cases[i].capacity_bytes;
        options.depth = cases[i].depth;
        assert_int_equal(bc_metrics_create(&options.metrics), 0);
        assert_true(bc_crew_create(&options, &error, &crew) < 0);
        assert_non_null(strstr(error.text, cases[i].sentence));
        bc_metrics_destroy(options.metrics);
    }
}

static void floor_of_the_pool_is_never_for_objects(void **state)
{
    (void)state;
    for (uint64_t pool = 4 * MIB; pool <= 1024 * MIB; pool *= 2) {
        uint64_t cache = bc_crew_cache_len(pool, 1 << 20);
        assert_true(cache < pool);
        assert_true(pool - cache >= 2 * bc_staging_cost(1 << 20));
    }
    assert_int_equal(bc_crew_cache_len(MIB, 8 << 20), 0);
    assert_int_equal(bc_crew_pool_len(17 * MIB, 2), 8 * MIB);
}

static int use_world(void **state)
{
    (void)state;
    use_own_world();
    bc_log_set_level(BC_LOG_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_without_having_run, setup, teardown),
        cmocka_unit_test_setup_teardown(worker_that_cannot_be_made_undoes_the_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(every_part_that_fails_has_a_sentence, setup, teardown),
        cmocka_unit_test(floor_of_the_pool_is_never_for_objects),
    };
    return cmocka_run_group_tests(tests, use_world, NULL);
}
