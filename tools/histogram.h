/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h - times in nanoseconds, kept in buckets of at most 1/64 of their value, so that a run
 * of any length takes the same memory.
 * Thread: one a histogram. Begins zeroed. */
#ifndef BC_TOOLS_HISTOGRAM_H
#define BC_TOOLS_HISTOGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BC_CLI_HISTOGRAM_BITS    6
#define BC_CLI_HISTOGRAM_BUCKETS ((65 - BC_CLI_HISTOGRAM_BITS) << BC_CLI_HISTOGRAM_BITS)

struct bc_cli_histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t min;
    uint64_t max;
    uint64_t buckets[BC_CLI_HISTOGRAM_BUCKETS];
};

void bc_cli_histogram_add(struct bc_cli_histogram *histogram, uint64_t ns);
void bc_cli_histogram_merge(struct bc_cli_histogram *into, const struct bc_cli_histogram *from);

/* Largest value of the bucket in which quantile q of (0, 1] lies, never above the maximum; 0 when
 * there is none. */
uint64_t bc_cli_histogram_quantile(const struct bc_cli_histogram *histogram, double q);

#ifdef __cplusplus
}
#endif

#endif
