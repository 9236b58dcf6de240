/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of the staging pool. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "base/log.h"
#include "staging/staging.h"

#define MIB          ((size_t)1 << 20)
#define HELD_MAX     8192u
#define RANDOM_STEPS 40000u
#define RANDOM_PAGES 8192u /* 32 MiB */

static struct bc_extent held[HELD_MAX];

static struct bc_staging *pool_create(size_t pool_len, size_t cache_len)
{
    struct bc_staging_options options = {.pool_len = pool_len, .cache_len = cache_len};
    struct bc_staging *staging = NULL;

    assert_int_equal(bc_staging_create(&options, NULL, &staging), 0);
    return staging;
}

static uint32_t fill(struct bc_staging *staging, enum bc_lease_class lease_class, size_t len)
{
    uint32_t count = 0;

    while (bc_staging_lease(staging, lease_class, len, &held[count]) == 0) {
        count++;
        assert_true(count < HELD_MAX);
    }
    return count;
}

static void drain(struct bc_staging *staging, uint32_t count)
{
    while (count > 0) {
        bc_staging_return(staging, held[--count].lease);
    }
}

static void options_out_of_range_are_refused(void **state)
{
    const struct bc_staging_options bad[] = {
        {.pool_len = 0},
        {.pool_len = 4 * MIB - 1},
        {.pool_len = 4 * MIB, .cache_len = 4 * MIB},
        {.pool_len = 5 * MIB, .cache_len = 4 * MIB - 4096}, /* 4 MiB after rounding */
        {.pool_len = SIZE_MAX, .cache_len = 0},
    };
    struct bc_staging *staging = NULL;
    size_t i;

    (void)state;
    for (i = 0; i < BC_ARRAY_LEN(bad); i++) {
        assert_int_equal(bc_staging_create(&bad[i], NULL, &staging), -EINVAL);
    }
    assert_null(staging);
    bc_staging_destroy(NULL);
}

static void quiet(void *arg, enum bc_log_level level, const char *line)
{
    (void)level;
    (*(uint32_t *)arg) += strstr(line, "1048576 MiB") != NULL;
}

static void lack_of_memory_is_told(void **state)
{
    struct bc_staging_options options = {.pool_len = (size_t)1 << 40};
    struct rlimit all;
    struct rlimit little = {.rlim_cur = (rlim_t)1 << 39};
    struct bc_staging *staging = NULL;
    uint32_t told = 0;

    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizers map more than the limit for themselves */
#endif
    assert_int_equal(getrlimit(RLIMIT_AS, &all), 0);
    little.rlim_max = all.rlim_max;
    bc_log_set_sink(quiet, &told);
    assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
    assert_int_equal(bc_staging_create(&options, NULL, &staging), -ENOMEM);
    assert_int_equal(setrlimit(RLIMIT_AS, &all), 0);
    bc_log_set_sink(NULL, NULL);
    assert_int_equal(told, 1);
}

static void extents_have_headroom_and_whole_pages(void **state)
{
    const struct {
        size_t len;
        uint32_t capacity;
    } rows[] = {
        {0, 4096},         {1, 4096},
        {4096, 4096},      {4097, 8192},
        {MIB, 1u << 20},   {BC_STAGING_EXTENT_MAX - 1, BC_STAGING_EXTENT_MAX},
        {65536, 1u << 16}, {BC_STAGING_EXTENT_MAX, BC_STAGING_EXTENT_MAX},
    };
    struct bc_staging *staging = pool_create(64 * MIB, 32 * MIB);
    void *base;
    size_t len;
    size_t i;

    (void)state;
    bc_staging_memory(staging, &base, &len);
    assert_int_equal(len, 64 * MIB);
    assert_int_equal((uintptr_t)base % (2 * MIB), 0);
    for (i = 0; i < BC_ARRAY_LEN(rows); i++) {
        struct bc_extent *extent = &held[i];
        size_t free_len = bc_staging_free_len(staging, BC_LEASE_STREAM);
        assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, rows[i].len, extent), 0);
        assert_int_equal(extent->capacity_len, rows[i].capacity);
        assert_int_equal(extent->len, 0);
        assert_int_equal((uintptr_t)extent->data % 4096, 0);
        assert_true(extent->data - BC_STAGING_HEADROOM >= (uint8_t *)base);
        assert_true(extent->data + extent->capacity_len <= (uint8_t *)base + len);
        assert_true(bc_staging_valid(staging, extent->lease));
        assert_int_equal(free_len - bc_staging_free_len(staging, BC_LEASE_STREAM),
                         bc_staging_cost(rows[i].len));
        memset(extent->data - BC_STAGING_HEADROOM, 0x5a,
               extent->capacity_len + BC_STAGING_HEADROOM);
    }
    drain(staging, BC_ARRAY_LEN(rows));
    assert_int_equal(bc_staging_free_len(staging, BC_LEASE_STREAM), 64 * MIB);
    bc_staging_destroy(staging);
}

static void what_can_never_fit_is_too_big(void **state)
{
    struct bc_staging *staging = pool_create(4 * MIB, 1 * MIB);
    struct bc_extent extent;

    (void)state;
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, BC_STAGING_EXTENT_MAX + 1, &extent),
                     -E2BIG);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 4 * MIB, &extent), -E2BIG);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 3 * MIB, &extent), -E2BIG);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_CACHE, MIB, &extent), -E2BIG);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_CACHE, SIZE_MAX, &extent), -E2BIG);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_CACHE, MIB - 4096, &extent), 0);
    bc_staging_return(staging, extent.lease);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 3 * MIB - 4096, &extent), 0);
    bc_staging_return(staging, extent.lease);
    bc_staging_destroy(staging);
}

static void cached_extents_never_take_the_floor(void **state)
{
    struct bc_staging *staging = pool_create(64 * MIB, 48 * MIB);
    struct bc_extent extent;
    uint32_t cached;
    uint32_t streams;

    (void)state;
    assert_int_equal(bc_staging_cache_len(staging), 48 * MIB);
    cached = fill(staging, BC_LEASE_CACHE, 4096);
    assert_int_equal(bc_staging_free_len(staging, BC_LEASE_CACHE), 48 * MIB - cached * 8192);
    drain(staging, cached);
    cached = fill(staging, BC_LEASE_CACHE, MIB);
    assert_true(cached >= 46);
    assert_true(bc_staging_free_len(staging, BC_LEASE_STREAM) >= 16 * MIB);
    /* All of the floor is there for data in flight. */
    for (streams = 0; streams < 15; streams++) {
        assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, MIB, &held[cached + streams]),
                         0);
    }
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_CACHE, MIB, &extent), -EAGAIN);
    drain(staging, cached + streams);
    bc_staging_destroy(staging);
}

static void stream_takes_the_floor_last(void **state)
{
    struct bc_staging *staging = pool_create(16 * MIB, 8 * MIB);
    struct bc_extent first;
    uint32_t count;

    (void)state;
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, MIB, &first), 0);
    assert_true(bc_staging_free_len(staging, BC_LEASE_CACHE) < 8 * MIB);
    count = fill(staging, BC_LEASE_STREAM, MIB);
    assert_int_equal(count, 13); /* 7 in each arena */
    assert_true(bc_staging_free_len(staging, BC_LEASE_CACHE) < MIB);
    bc_staging_return(staging, first.lease);
    drain(staging, count);
    bc_staging_destroy(staging);
}

static void extents_of_one_size_fill_the_arena(void **state)
{
    const size_t arena = 256 * MIB;
    const uint32_t ideal = (uint32_t)(arena / (MIB + BC_STAGING_HEADROOM));
    struct bc_staging *staging = pool_create(arena + 4 * MIB, arena);
    unsigned seed = 1;
    uint32_t count = fill(staging, BC_LEASE_CACHE, MIB);
    uint32_t small;
    uint32_t step;

    (void)state;
    assert_true(count * 100 >= ideal * 95);
    assert_int_equal(count, ideal);
    /* Churn of mixed sizes, then one size again. */
    drain(staging, count);
    for (count = 0, step = 0; step < 20000; step++) {
        size_t len = (size_t)4096 << (rand_r(&seed) % 11);
        if (rand_r(&seed) % 3 != 0 && count < HELD_MAX) {
            count += bc_staging_lease(staging, BC_LEASE_CACHE, len, &held[count]) == 0;
        } else if (count > 0) {
            uint32_t victim = (uint32_t)rand_r(&seed) % count;
            bc_staging_return(staging, held[victim].lease);
            held[victim] = held[--count];
        }
    }
    drain(staging, count);
    count = fill(staging, BC_LEASE_CACHE, MIB);
    assert_int_equal(count, ideal);
    /* A hole of the size is found again, wherever it is. */
    for (step = 0; step < 1000; step++) {
        uint32_t victim = (uint32_t)rand_r(&seed) % count;
        bc_staging_return(staging, held[victim].lease);
        assert_int_equal(bc_staging_lease(staging, BC_LEASE_CACHE, MIB, &held[victim]), 0);
    }
    drain(staging, count);
    /* Data in flight comes and goes among extents that stay. */
    small = fill(staging, BC_LEASE_STREAM, 65536);
    for (step = 0; step < small; step += 2) {
        bc_staging_return(staging, held[step].lease);
    }
    for (step = 0; step < small; step += 2) {
        assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 65536, &held[step]), 0);
    }
    drain(staging, small);
    bc_staging_destroy(staging);
}

static void note_released(void *arg)
{
    (*(uint32_t *)arg)++;
}

static void refused_is_told_once_when_room_comes_back(void **state)
{
    struct bc_staging *staging = pool_create(4 * MIB, 0);
    struct bc_extent extent;
    uint32_t told = 0;
    uint32_t count;

    (void)state;
    bc_staging_on_released(staging, note_released, &told);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 1, &extent), 0);
    bc_staging_return(staging, extent.lease);
    assert_int_equal(told, 0); /* nobody was refused */
    count = fill(staging, BC_LEASE_STREAM, MIB);
    assert_int_equal(count, 3);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, MIB, &extent), -EAGAIN);
    bc_staging_return(staging, held[--count].lease);
    assert_int_equal(told, 1);
    bc_staging_return(staging, held[--count].lease);
    assert_int_equal(told, 1);
    drain(staging, count);
    bc_staging_destroy(staging);
}

/* The length of the longest run of free pages among those that a class may use. */
static uint32_t longest_run(const uint8_t *used, uint32_t begin, uint32_t end)
{
    uint32_t run = 0;
    uint32_t longest = 0;
    uint32_t i;

    for (i = begin; i < end; i++) {
        run = used[i] ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static void mark(uint8_t *used, const struct bc_extent *extent, uint8_t value)
{
    uint32_t pages = extent->capacity_len / BC_STAGING_PAGE + 1;
    uint32_t i;

    for (i = 0; i < pages; i++) {
        assert_int_equal(used[extent->lease.index + i], !value); /* no page is leased twice */
        used[extent->lease.index + i] = value;
    }
}

static void random_leases_agree_with_a_model(void **state)
{
    static uint8_t used[RANDOM_PAGES];
    const uint32_t floor_pages = RANDOM_PAGES / 4;
    const char *seed_text = getenv("BC_TEST_SEED");
    unsigned seed = seed_text != NULL ? (unsigned)atoi(seed_text) : (unsigned)time(NULL);
    struct bc_staging *staging =
        pool_create((size_t)RANDOM_PAGES * BC_STAGING_PAGE,
                    (size_t)(RANDOM_PAGES - floor_pages) * BC_STAGING_PAGE);
    uint32_t count = 0;
    uint32_t step;

    (void)state;
    print_message("BC_TEST_SEED=%u\n", seed);
    memset(used, 0, sizeof(used));
    for (step = 0; step < RANDOM_STEPS; step++) {
        enum bc_lease_class lease_class = (enum bc_lease_class)(rand_r(&seed) % 2);
        size_t len = (size_t)rand_r(&seed) % (rand_r(&seed) % 4 == 0 ? 4 * MIB : 100000);
        struct bc_extent extent;
        if (rand_r(&seed) % 100 < 52 && count < HELD_MAX) {
            uint32_t pages = (uint32_t)(bc_staging_cost(len) / BC_STAGING_PAGE);
            int rc = bc_staging_lease(staging, lease_class, len, &extent);
            if (rc == 0) {
                assert_true(lease_class == BC_LEASE_STREAM || extent.lease.index >= floor_pages);
                mark(used, &extent, 1);
                held[count++] = extent;
            } else {
                assert_int_equal(rc, -EAGAIN);
                assert_true(longest_run(used, floor_pages, RANDOM_PAGES) < pages);
                assert_true(lease_class == BC_LEASE_CACHE ||
                            longest_run(used, 0, floor_pages) < pages);
            }
        } else if (count > 0) {
            uint32_t victim = (uint32_t)rand_r(&seed) % count;
            struct bc_lease lease = held[victim].lease;
            mark(used, &held[victim], 0);
            bc_staging_return(staging, lease);
            assert_false(bc_staging_valid(staging, lease));
            held[victim] = held[--count];
        }
    }
    drain(staging, count);
    assert_int_equal(bc_staging_free_len(staging, BC_LEASE_STREAM),
                     (size_t)RANDOM_PAGES * BC_STAGING_PAGE);
    bc_staging_destroy(staging);
}

/* True when `act` stops the process. */
static bool dies(struct bc_staging *staging, struct bc_lease lease)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        bc_staging_return(staging, lease);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void stale_lease_stops_the_process(void **state)
{
    struct bc_staging *staging = pool_create(4 * MIB, 0);
    struct bc_extent first;
    struct bc_extent second;

    (void)state;
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 65536, &first), 0);
    assert_false(dies(staging, first.lease));
    bc_staging_return(staging, first.lease);
    assert_false(bc_staging_valid(staging, first.lease));
    assert_true(dies(staging, first.lease)); /* returned twice */
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 65536, &second), 0);
    assert_int_equal(second.lease.index, first.lease.index);
    assert_true(dies(staging, first.lease)); /* somebody else's by now */
    assert_true(dies(staging, (struct bc_lease){.index = 5, .generation = 0}));
    assert_true(dies(staging, (struct bc_lease){.index = UINT32_MAX, .generation = 1}));
    bc_staging_return(staging, second.lease);
    bc_staging_destroy(staging);
}

static void returned_extent_is_poisoned(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    struct bc_staging *staging = pool_create(4 * MIB, 0);
    struct bc_extent extent;

    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 65536, &extent), 0);
    assert_null(
        __asan_region_is_poisoned(extent.data - BC_STAGING_HEADROOM, 65536 + BC_STAGING_HEADROOM));
    assert_true(__asan_address_is_poisoned(extent.data + 65536));
    bc_staging_return(staging, extent.lease);
    assert_true(__asan_address_is_poisoned(extent.data));
    bc_staging_destroy(staging);
#else
    skip();
#endif
}

static void gauge_visit(void *arg, enum bc_metric_kind kind, const char *name, const char *help,
                        int64_t value, const struct bc_histogram *histogram)
{
    (void)kind;
    (void)help;
    (void)histogram;
    if (strcmp(name, "bluecache_staging_free_bytes") == 0) {
        *(int64_t *)arg = value;
    }
}

static void huge_pages_are_used_or_done_without(void **state)
{
    struct bc_staging_options options = {.pool_len = 8 * MIB, .huge_pages = true};
    struct bc_metrics *metrics = NULL;
    struct bc_staging *staging = NULL;
    struct bc_extent extent;
    int64_t free_bytes = 0;

    (void)state;
    assert_int_equal(bc_metrics_create(&metrics), 0);
    assert_int_equal(bc_staging_create(&options, metrics, &staging), 0);
    assert_int_equal(bc_staging_lease(staging, BC_LEASE_STREAM, 4 * MIB, &extent), 0);
    memset(extent.data - BC_STAGING_HEADROOM, 1, 4 * MIB + BC_STAGING_HEADROOM);
    bc_metrics_visit(metrics, gauge_visit, &free_bytes);
    assert_int_equal(free_bytes, 4 * MIB - BC_STAGING_HEADROOM);
    bc_staging_return(staging, extent.lease);
    bc_metrics_destroy(metrics);
    bc_staging_destroy(staging);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(lack_of_memory_is_told),
        cmocka_unit_test(extents_have_headroom_and_whole_pages),
        cmocka_unit_test(what_can_never_fit_is_too_big),
        cmocka_unit_test(cached_extents_never_take_the_floor),
        cmocka_unit_test(stream_takes_the_floor_last),
        cmocka_unit_test(extents_of_one_size_fill_the_arena),
        cmocka_unit_test(refused_is_told_once_when_room_comes_back),
        cmocka_unit_test(random_leases_agree_with_a_model),
        cmocka_unit_test(stale_lease_stops_the_process),
        cmocka_unit_test(returned_extent_is_poisoned),
        cmocka_unit_test(huge_pages_are_used_or_done_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
