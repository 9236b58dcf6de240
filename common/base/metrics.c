/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - histogram arithmetic, and the registry that sums equal names when it is read.
 *
 * Buckets: values 0..7 have one each; after that every power of two is cut in 8 equal parts:
 *   bucket 8 + 8 * (e - 3) + s  holds  [(8 + s) << (e - 3), (9 + s) << (e - 3))  for e >= 3, s < 8
 * so a bucket is at most an eighth as wide as its smallest value. The last one (e = 48, s = 7) also
 * takes everything above.
 * Threads: an owner writes with relaxed stores, readers may see a value's bucket before its count;
 * a quantile is therefore taken from the buckets alone. */
#include "base/metrics.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define SUB_BITS 3
#define SUBS     (1u << SUB_BITS)

static size_t bucket_of(uint64_t value)
{
    unsigned int exponent;
    size_t bucket;

    if (value < SUBS) {
        return (size_t)value;
    }
    exponent = 63u - (unsigned int)__builtin_clzll(value);
    bucket = SUBS + (size_t)(exponent - SUB_BITS) * SUBS +
             (size_t)((value >> (exponent - SUB_BITS)) & (SUBS - 1));
    return bucket < BC_HISTOGRAM_BUCKETS ? bucket : BC_HISTOGRAM_BUCKETS - 1;
}

/* The largest value of a bucket. */
static uint64_t bucket_upper(size_t bucket)
{
    unsigned int shift;

    if (bucket < SUBS) {
        return bucket;
    }
    shift = (unsigned int)(bucket / SUBS) - 1;
    return ((uint64_t)(SUBS + bucket % SUBS + 1) << shift) - 1;
}

static uint64_t load(const uint64_t *cell)
{
    return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

/* One writer: a load and a store do, no locked instruction is needed. */
static void add(uint64_t *cell, uint64_t step)
{
    __atomic_store_n(cell, load(cell) + step, __ATOMIC_RELAXED);
}

void bc_histogram_record(struct bc_histogram *histogram, uint64_t value)
{
    add(&histogram->buckets[bucket_of(value)], 1);
    add(&histogram->sum, value);
    add(&histogram->count, 1);
}

uint64_t bc_histogram_quantile(const struct bc_histogram *histogram, double q)
{
    uint64_t counts[BC_HISTOGRAM_BUCKETS];
    uint64_t total = 0;
    uint64_t rank = 1;
    uint64_t seen = 0;
    size_t bucket = 0;

    for (size_t i = 0; i < BC_HISTOGRAM_BUCKETS; i++) {
        counts[i] = load(&histogram->buckets[i]);
        total += counts[i];
    }
    if (total == 0) {
        return 0;
    }
    if (q >= 1.0) {
        rank = total;
    } else if (q > 0.0) {
        double exact = q * (double)total;

        rank = (uint64_t)exact;
        if ((double)rank < exact) {
            rank++;
        }
    }
    for (size_t i = 0; i < BC_HISTOGRAM_BUCKETS && seen < rank; i++) {
        if (counts[i] > 0) {
            bucket = i;
            seen += counts[i];
        }
    }
    return bucket_upper(bucket);
}

void bc_histogram_merge(struct bc_histogram *into, const struct bc_histogram *from)
{
    for (size_t i = 0; i < BC_HISTOGRAM_BUCKETS; i++) {
        add(&into->buckets[i], load(&from->buckets[i]));
    }
    add(&into->sum, load(&from->sum));
    add(&into->count, load(&from->count));
}

#define NO_ENTRY SIZE_MAX

struct metric {
    enum bc_metric_kind kind;
    const char *name;
    const char *help;
    const struct bc_counter *counter;     /* of a counter or gauge */
    const struct bc_histogram *histogram; /* of a histogram */
    size_t next_same;                     /* the next entry of this name, or NO_ENTRY */
    bool first;                           /* of its name */
};

struct bc_metrics {
    struct metric *entries;
    size_t count;
    size_t capacity;
};

int bc_metrics_create(struct bc_metrics **metrics_out)
{
    struct bc_metrics *metrics = calloc(1, sizeof(*metrics));

    if (metrics == NULL) {
        return -ENOMEM;
    }
    *metrics_out = metrics;
    return 0;
}

void bc_metrics_destroy(struct bc_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    free(metrics->entries);
    free(metrics);
}

static int reserve_one(struct bc_metrics *metrics)
{
    size_t capacity = metrics->capacity == 0 ? 64 : metrics->capacity * 2;
    struct metric *entries;

    if (metrics->count < metrics->capacity) {
        return 0;
    }
    entries = reallocarray(metrics->entries, capacity, sizeof(*entries));
    if (entries == NULL) {
        return -ENOMEM;
    }
    metrics->entries = entries;
    metrics->capacity = capacity;
    return 0;
}

static int append(struct bc_metrics *metrics, struct metric metric)
{
    size_t last_same = NO_ENTRY;
    int rc = reserve_one(metrics);

    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < metrics->count; i++) {
        if (strcmp(metrics->entries[i].name, metric.name) == 0) {
            BC_ASSERT(metrics->entries[i].kind == metric.kind);
            last_same = i;
        }
    }
    metric.first = last_same == NO_ENTRY;
    metric.next_same = NO_ENTRY;
    if (!metric.first) {
        metrics->entries[last_same].next_same = metrics->count;
    }
    metrics->entries[metrics->count++] = metric;
    return 0;
}

int bc_metrics_add_counter(struct bc_metrics *metrics, enum bc_metric_kind kind, const char *name,
                           const char *help, struct bc_counter *counter)
{
    BC_ASSERT(kind == BC_METRIC_COUNTER || kind == BC_METRIC_GAUGE);
    return append(metrics,
                  (struct metric){.kind = kind, .name = name, .help = help, .counter = counter});
}

int bc_metrics_add_counters(struct bc_metrics *metrics, const struct bc_counter_row *rows,
                            size_t row_count)
{
    int rc = 0;

    for (size_t i = 0; metrics != NULL && rc == 0 && i < row_count; i++) {
        rc = bc_metrics_add_counter(metrics, rows[i].kind, rows[i].name, rows[i].help,
                                    rows[i].counter);
    }
    return rc;
}

int bc_metrics_add_histogram(struct bc_metrics *metrics, const char *name, const char *help,
                             struct bc_histogram *histogram)
{
    return append(metrics, (struct metric){.kind = BC_METRIC_HISTOGRAM,
                                           .name = name,
                                           .help = help,
                                           .histogram = histogram});
}

void bc_metrics_visit(const struct bc_metrics *metrics, bc_metrics_visit_fn visit, void *arg)
{
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *first = &metrics->entries[i];
        struct bc_histogram merged = {0};
        int64_t value = 0;

        if (!first->first) {
            continue;
        }
        for (size_t at = i; at != NO_ENTRY; at = metrics->entries[at].next_same) {
            const struct metric *metric = &metrics->entries[at];

            if (metric->kind == BC_METRIC_HISTOGRAM) {
                bc_histogram_merge(&merged, metric->histogram);
            } else {
                value += bc_counter_get(metric->counter);
            }
        }
        if (first->kind == BC_METRIC_HISTOGRAM) {
            visit(arg, first->kind, first->name, first->help, (int64_t)merged.count, &merged);
        } else {
            visit(arg, first->kind, first->name, first->help, value, NULL);
        }
    }
}
