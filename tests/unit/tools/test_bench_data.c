/* SPDX-License-Identifier: Apache-2.0 */
/* test_bench_data.c - what the benchmark's verification can tell apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bench.h"

static struct bc_bench bench = {.settings = {.prefix = "p"}, .name_room = 64, .seed = 7};
static struct bc_bench_worker worker = {.bench = &bench, .index = 3};

static void *made(uint64_t size, uint64_t key, uint32_t round)
{
    void *object = malloc(size);

    assert_non_null(object);
    bench.settings.size = size;
    bc_bench_write(&worker, key, round, object);
    return object;
}

static void contents_follow_from_key_and_round(void **state)
{
    static const uint64_t sizes[] = {1, 7, 8, 9, 4096, 65537};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *object = made(sizes[i], 5, 2);

        assert_true(bc_bench_check(&worker, 5, 2, object));
        if (sizes[i] >= 8) { /* a single byte may be the same by chance */
            assert_false(bc_bench_check(&worker, 6, 2, object));
            assert_false(bc_bench_check(&worker, 5, 1, object));
        }
        free(object);
    }
}

static void one_wrong_bit_is_found_anywhere(void **state)
{
    uint64_t size = 4099;
    uint8_t *object = made(size, 1, 1);

    (void)state;
    for (uint64_t i = 0; i < size; i++) {
        object[i] ^= 1;
        assert_false(bc_bench_check(&worker, 1, 1, object));
        object[i] ^= 1;
    }
    assert_true(bc_bench_check(&worker, 1, 1, object));
    free(object);
}

static void what_was_there_before_a_pull_does_not_pass(void **state)
{
    static const uint64_t sizes[] = {1, 8, 4096, 4097, 65536};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *object = made(sizes[i], 1, 1);

        bc_bench_spoil(&worker, object);
        assert_false(bc_bench_check(&worker, 1, 1, object));
        free(object);
    }
}

static void names_differ_where_they_should(void **state)
{
    char a[64];
    char b[64];

    (void)state;
    bench.settings.fresh = false;
    assert_int_equal(bc_bench_key(&worker, 12, 1, a), strlen("p/3/12"));
    (void)bc_bench_key(&worker, 12, 2, b);
    assert_string_equal(a, "p/3/12");
    assert_string_equal(a, b);
    bench.settings.fresh = true;
    (void)bc_bench_key(&worker, 12, 1, a);
    (void)bc_bench_key(&worker, 12, 2, b);
    assert_string_equal(a, "p/3/12.1");
    assert_string_equal(b, "p/3/12.2");
    bench.settings.fresh = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents_follow_from_key_and_round),
        cmocka_unit_test(one_wrong_bit_is_found_anywhere),
        cmocka_unit_test(what_was_there_before_a_pull_does_not_pass),
        cmocka_unit_test(names_differ_where_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
