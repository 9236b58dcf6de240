/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - counters, gauges and latency histograms, registered next to the code that counts.
 * Thread: a metric is written by its one owner thread (relaxed atomics) and read by any. A registry
 * is filled before the threads start.
 * Names: bluecache_<module>_<noun>_<unit>[_total]. Metrics of one name (one per worker) are of one
 * kind (asserted) and summed when read. */
#ifndef BC_BASE_METRICS_H
#define BC_BASE_METRICS_H

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

enum bc_metric_kind {
    BC_METRIC_COUNTER = 0, /* only grows */
    BC_METRIC_GAUGE = 1,   /* goes up and down */
    BC_METRIC_HISTOGRAM = 2,
};

/* 8 sub-buckets per power of two, 0 .. 2^49 - 1: relative error at most 1/8. Larger values count as
 * the largest. */
#define BC_HISTOGRAM_BUCKETS 376

struct bc_counter {
    int64_t value; /* accessed with relaxed atomics */
};

struct bc_histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t buckets[BC_HISTOGRAM_BUCKETS];
};

static inline void bc_counter_add(struct bc_counter *counter, int64_t step)
{
    __atomic_store_n(&counter->value, __atomic_load_n(&counter->value, __ATOMIC_RELAXED) + step,
                     __ATOMIC_RELAXED);
}
static inline void bc_counter_set(struct bc_counter *counter, int64_t value)
{
    __atomic_store_n(&counter->value, value, __ATOMIC_RELAXED);
}
static inline int64_t bc_counter_get(const struct bc_counter *counter)
{
    return __atomic_load_n(&counter->value, __ATOMIC_RELAXED);
}

/* Owner thread. */
void bc_histogram_record(struct bc_histogram *histogram, uint64_t value);
/* Largest value of the bucket that holds quantile q in (0, 1]; 0 when empty. Any thread. */
uint64_t bc_histogram_quantile(const struct bc_histogram *histogram, double q);
/* Adds `from` to `into`, which belongs to the caller's thread. */
void bc_histogram_merge(struct bc_histogram *into, const struct bc_histogram *from);

struct bc_metrics; /* the registry */
BC_MUST_USE int bc_metrics_create(struct bc_metrics **metrics_out);
void bc_metrics_destroy(struct bc_metrics *metrics);

/* The pointers must outlive the registry. name and help are literals. `kind` is a counter or a
 * gauge. -ENOMEM. Before threads start. */
BC_MUST_USE int bc_metrics_add_counter(struct bc_metrics *metrics, enum bc_metric_kind kind,
                                       const char *name, const char *help,
                                       struct bc_counter *counter);
/* A table of them, in order. metrics may be NULL: nobody wants to know. */
struct bc_counter_row {
    enum bc_metric_kind kind;
    const char *name;
    const char *help;
    struct bc_counter *counter;
};
BC_MUST_USE int bc_metrics_add_counters(struct bc_metrics *metrics,
                                        const struct bc_counter_row *rows, size_t row_count);
BC_MUST_USE int bc_metrics_add_histogram(struct bc_metrics *metrics, const char *name,
                                         const char *help, struct bc_histogram *histogram);

/* Calls `visit` once per name in registration order with the sum over equal names (histograms:
 * value = count, plus the merged histogram, which lives during the call; else histogram is NULL).
 * Any thread. */
typedef void (*bc_metrics_visit_fn)(void *arg, enum bc_metric_kind kind, const char *name,
                                    const char *help, int64_t value,
                                    const struct bc_histogram *histogram);
void bc_metrics_visit(const struct bc_metrics *metrics, bc_metrics_visit_fn visit, void *arg);

BC_EXTERN_C_END

#endif
