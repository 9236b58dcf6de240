/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms keep their error bound over the whole range; the registry sums by name. */
#include "unit.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "death.h"

/* The bucket's largest value for one recorded value. */
static uint64_t quantised(uint64_t value)
{
    static struct bc_histogram histogram;

    memset(&histogram, 0, sizeof(histogram));
    bc_histogram_record(&histogram, value);
    return bc_histogram_quantile(&histogram, 0.5);
}

static void one_value_comes_back_within_an_eighth(void **state)
{
    (void)state;
    for (unsigned int bit = 0; bit < 49; bit++) {
        for (uint64_t part = 0; part < 32; part++) {
            uint64_t value = (UINT64_C(1) << bit) + ((part << bit) >> 5);
            uint64_t got = quantised(value);

            assert_true(got >= value);
            assert_true(got - value <= value / 8);
        }
        assert_true(quantised((UINT64_C(1) << bit) - 1) >= (UINT64_C(1) << bit) - 1);
    }
}

static void small_values_are_exact_and_huge_ones_capped(void **state)
{
    const uint64_t largest = (UINT64_C(1) << 49) - 1;

    (void)state;
    for (uint64_t value = 0; value < 16; value++) {
        assert_int_equal(quantised(value), value);
    }
    assert_int_equal(quantised(largest), largest);
    assert_int_equal(quantised(largest + 1), largest);
    assert_int_equal(quantised(UINT64_MAX), largest);
}

static void buckets_are_in_order_and_all_reachable(void **state)
{
    uint64_t value = 0;

    (void)state;
    /* From each bucket's largest value to the next bucket. */
    for (size_t i = 0; i < BC_HISTOGRAM_BUCKETS; i++) {
        uint64_t upper = quantised(value);

        assert_true(upper >= value);
        value = upper + 1;
    }
    assert_true(value == UINT64_C(1) << 49);
}

static void quantiles_of_a_known_distribution(void **state)
{
    static const double quantiles[] = {0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0};
    struct bc_histogram histogram = {0};

    (void)state;
    for (uint64_t value = 1; value <= 100000; value++) {
        bc_histogram_record(&histogram, value);
    }
    assert_int_equal(histogram.count, 100000);
    assert_int_equal(histogram.sum, UINT64_C(100000) * 100001 / 2);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        double exact = quantiles[i] * 100000;
        double got = (double)bc_histogram_quantile(&histogram, quantiles[i]);

        assert_true(got >= exact);
        assert_true(got - exact <= exact / 8);
    }
}

static void quantile_at_the_edges(void **state)
{
    struct bc_histogram histogram = {0};

    (void)state;
    assert_int_equal(bc_histogram_quantile(&histogram, 0.5), 0);
    bc_histogram_record(&histogram, 1);
    bc_histogram_record(&histogram, 5);
    assert_int_equal(bc_histogram_quantile(&histogram, 0.0), 1);
    assert_int_equal(bc_histogram_quantile(&histogram, 1e-9), 1);
    assert_int_equal(bc_histogram_quantile(&histogram, 0.5), 1);
    assert_int_equal(bc_histogram_quantile(&histogram, 0.51), 5);
    assert_int_equal(bc_histogram_quantile(&histogram, 1.0), 5);
    assert_int_equal(bc_histogram_quantile(&histogram, 2.0), 5);
}

static void merge_adds(void **state)
{
    struct bc_histogram a = {0};
    struct bc_histogram b = {0};

    (void)state;
    bc_histogram_record(&a, 2);
    bc_histogram_record(&b, 3);
    bc_histogram_record(&b, 1000);
    bc_histogram_merge(&a, &b);
    assert_int_equal(a.count, 3);
    assert_int_equal(a.sum, 1005);
    assert_int_equal(bc_histogram_quantile(&a, 0.5), 3);
}

struct visited {
    char text[512];
    size_t len;
};

static void write_down(void *arg, enum bc_metric_kind kind, const char *name, const char *help,
                       int64_t value, const struct bc_histogram *histogram)
{
    struct visited *visited = arg;

    assert_int_equal(histogram != NULL, kind == BC_METRIC_HISTOGRAM);
    assert_string_equal(help, "help");
    visited->len +=
        (size_t)snprintf(visited->text + visited->len, sizeof(visited->text) - visited->len,
                         "%d %s %lld %llu\n", (int)kind, name, (long long)value,
                         histogram == NULL ? 0ull : (unsigned long long)histogram->sum);
}

static void registry_sums_equal_names_in_order(void **state)
{
    struct bc_counter puts[3] = {{5}, {6}, {7}};
    struct bc_counter used = {-2};
    struct bc_histogram lat[2] = {0};
    struct visited visited = {0};
    struct bc_metrics *metrics;

    (void)state;
    assert_int_equal(bc_metrics_create(&metrics), 0);
    assert_int_equal(bc_metrics_add_counter(metrics, BC_METRIC_COUNTER, "puts", "help", &puts[0]),
                     0);
    assert_int_equal(bc_metrics_add_histogram(metrics, "lat", "help", &lat[0]), 0);
    assert_int_equal(bc_metrics_add_counter(metrics, BC_METRIC_COUNTER, "puts", "help", &puts[1]),
                     0);
    assert_int_equal(bc_metrics_add_counter(metrics, BC_METRIC_GAUGE, "used", "help", &used), 0);
    assert_int_equal(bc_metrics_add_histogram(metrics, "lat", "help", &lat[1]), 0);
    assert_int_equal(bc_metrics_add_counter(metrics, BC_METRIC_COUNTER, "puts", "help", &puts[2]),
                     0);
    bc_histogram_record(&lat[0], 10);
    bc_histogram_record(&lat[1], 20);
    bc_counter_add(&puts[2], 100);
    bc_counter_set(&used, -3);
    bc_metrics_visit(metrics, write_down, &visited);
    assert_string_equal(visited.text, "0 puts 118 0\n2 lat 2 30\n1 used -3 0\n");
    bc_metrics_destroy(metrics);
    bc_metrics_destroy(NULL);
}

static void count_visit(void *arg, enum bc_metric_kind kind, const char *name, const char *help,
                        int64_t value, const struct bc_histogram *histogram)
{
    (void)kind;
    (void)name;
    (void)help;
    (void)histogram;
    *(int64_t *)arg += value;
}

static void registry_takes_a_table(void **state)
{
    struct bc_counter puts = {3};
    struct bc_counter used = {4};
    const struct bc_counter_row rows[] = {
        {BC_METRIC_COUNTER, "puts", "help", &puts},
        {BC_METRIC_GAUGE, "used", "help", &used},
    };
    struct visited visited = {0};
    struct bc_metrics *metrics;

    (void)state;
    assert_int_equal(bc_metrics_add_counters(NULL, rows, 2), 0);
    assert_int_equal(bc_metrics_create(&metrics), 0);
    assert_int_equal(bc_metrics_add_counters(metrics, rows, 2), 0);
    bc_metrics_visit(metrics, write_down, &visited);
    assert_string_equal(visited.text, "0 puts 3 0\n1 used 4 0\n");
    bc_metrics_destroy(metrics);
}

static void registry_grows(void **state)
{
    static char names[300][8];
    static struct bc_counter counters[300];
    struct bc_metrics *metrics;
    int64_t sum = 0;

    (void)state;
    assert_int_equal(bc_metrics_create(&metrics), 0);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%d", i % 150);
        bc_counter_set(&counters[i], 1);
        assert_int_equal(
            bc_metrics_add_counter(metrics, BC_METRIC_COUNTER, names[i], "help", &counters[i]), 0);
    }
    bc_metrics_visit(metrics, count_visit, &sum);
    assert_int_equal(sum, 300);
    bc_metrics_destroy(metrics);
}

static void add_twice_as_two_kinds(void *arg)
{
    static struct bc_counter counter;

    if (bc_metrics_add_counter(arg, BC_METRIC_COUNTER, "x", "help", &counter) == 0) {
        (void)!bc_metrics_add_counter(arg, BC_METRIC_GAUGE, "x", "help", &counter);
    }
}

static void one_name_has_one_kind(void **state)
{
    struct bc_metrics *metrics;

    (void)state;
    assert_int_equal(bc_metrics_create(&metrics), 0);
    assert_true(dies_saying(add_twice_as_two_kinds, metrics, "assertion failed"));
    bc_metrics_destroy(metrics);
}

#define WRITES 20000

struct written {
    struct bc_counter counter;
    struct bc_histogram histogram;
};

static void *write_metrics(void *arg)
{
    struct written *written = arg;

    for (uint64_t i = 0; i < WRITES; i++) {
        bc_counter_add(&written->counter, 1);
        bc_histogram_record(&written->histogram, i);
    }
    return NULL;
}

static void reading_while_the_owner_writes_is_no_race(void **state)
{
    static struct written written;
    struct bc_metrics *metrics;
    pthread_t owner;
    int64_t sum = 0;

    (void)state;
    assert_int_equal(bc_metrics_create(&metrics), 0);
    assert_int_equal(
        bc_metrics_add_counter(metrics, BC_METRIC_COUNTER, "c", "help", &written.counter), 0);
    assert_int_equal(bc_metrics_add_histogram(metrics, "h", "help", &written.histogram), 0);
    assert_int_equal(pthread_create(&owner, NULL, write_metrics, &written), 0);
    for (int i = 0; i < 100; i++) {
        sum = 0;
        bc_metrics_visit(metrics, count_visit, &sum);
        assert_in_range(sum, 0, 2 * WRITES);
        assert_true(bc_histogram_quantile(&written.histogram, 0.99) < 2 * WRITES);
    }
    assert_int_equal(pthread_join(owner, NULL), 0);
    sum = 0;
    bc_metrics_visit(metrics, count_visit, &sum);
    assert_int_equal(sum, 2 * WRITES);
    bc_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_comes_back_within_an_eighth),
        cmocka_unit_test(small_values_are_exact_and_huge_ones_capped),
        cmocka_unit_test(buckets_are_in_order_and_all_reachable),
        cmocka_unit_test(quantiles_of_a_known_distribution),
        cmocka_unit_test(quantile_at_the_edges),
        cmocka_unit_test(merge_adds),
        cmocka_unit_test(registry_sums_equal_names_in_order),
        cmocka_unit_test(registry_takes_a_table),
        cmocka_unit_test(registry_grows),
        cmocka_unit_test(one_name_has_one_kind),
        cmocka_unit_test(reading_while_the_owner_writes_is_no_race),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
