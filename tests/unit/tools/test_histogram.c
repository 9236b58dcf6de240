/* SPDX-License-Identifier: Apache-2.0 */
/* test_histogram.c - quantiles of the latency histogram. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "histogram.h"

static struct bc_cli_histogram histogram;

static int clear(void **state)
{
    (void)state;
    histogram = (struct bc_cli_histogram){.count = 0};
    return 0;
}

static void an_empty_one_has_no_quantiles(void **state)
{
    (void)state;
    assert_int_equal(bc_cli_histogram_quantile(&histogram, 0.5), 0);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 60; i++) {
        bc_cli_histogram_add(&histogram, i);
    }
    assert_int_equal(bc_cli_histogram_quantile(&histogram, 0.5), 30);
    assert_int_equal(bc_cli_histogram_quantile(&histogram, 1.0), 60);
    assert_int_equal(histogram.min, 1);
    assert_int_equal(histogram.sum, 60 * 61 / 2);
}

static void every_value_is_kept_to_one_part_in_64(void **state)
{
    (void)state;
    for (uint32_t shift = 0; shift < 64; shift++) {
        for (uint64_t step = 0; step < 3; step++) {
            uint64_t value = (UINT64_C(1) << shift) + step * ((UINT64_C(1) << shift) / 3);
            uint64_t found;

            (void)clear(NULL);
            bc_cli_histogram_add(&histogram, value);
            bc_cli_histogram_add(&histogram, UINT64_MAX);
            found = bc_cli_histogram_quantile(&histogram, 0.5);
            assert_true(found >= value);
            assert_true(found - value <= value / 64);
        }
    }
}

static void a_quantile_is_never_above_the_maximum(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        bc_cli_histogram_add(&histogram, 1000000);
    }
    assert_int_equal(bc_cli_histogram_quantile(&histogram, 0.99), 1000000);
}

static void merging_adds(void **state)
{
    static struct bc_cli_histogram other;

    (void)state;
    bc_cli_histogram_add(&histogram, 10);
    bc_cli_histogram_add(&other, 5);
    bc_cli_histogram_add(&other, 50);
    bc_cli_histogram_merge(&histogram, &other);
    assert_int_equal(histogram.count, 3);
    assert_int_equal(histogram.min, 5);
    assert_int_equal(histogram.max, 50);
    assert_int_equal(bc_cli_histogram_quantile(&histogram, 0.5), 10);
    other = (struct bc_cli_histogram){.count = 0};
    bc_cli_histogram_merge(&histogram, &other);
    assert_int_equal(histogram.min, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_one_has_no_quantiles, clear),
        cmocka_unit_test_setup(small_values_are_exact, clear),
        cmocka_unit_test_setup(every_value_is_kept_to_one_part_in_64, clear),
        cmocka_unit_test_setup(a_quantile_is_never_above_the_maximum, clear),
        cmocka_unit_test_setup(merging_adds, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
