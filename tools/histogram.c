/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c - see histogram.h. Values below 64 have a bucket each; above, every power of two has
 * 64. */
#include "histogram.h"

#include <math.h>

#define SUB_COUNT (UINT64_C(1) << BC_CLI_HISTOGRAM_BITS)

static uint32_t bucket_of(uint64_t value)
{
    uint32_t shift;

    if (value < SUB_COUNT) {
        return (uint32_t)value;
    }
    shift = 63 - (uint32_t)__builtin_clzll(value) - BC_CLI_HISTOGRAM_BITS;
    return (uint32_t)(((uint64_t)(shift + 1) << BC_CLI_HISTOGRAM_BITS) +
                      ((value >> shift) & (SUB_COUNT - 1)));
}

static uint64_t largest_of(uint32_t bucket)
{
    uint32_t shift = bucket >> BC_CLI_HISTOGRAM_BITS;

    if (shift == 0) {
        return bucket;
    }
    shift--;
    return (((bucket & (SUB_COUNT - 1)) | SUB_COUNT) << shift) + ((UINT64_C(1) << shift) - 1);
}

void bc_cli_histogram_add(struct bc_cli_histogram *histogram, uint64_t ns)
{
    histogram->buckets[bucket_of(ns)]++;
    histogram->min = histogram->count == 0 || ns < histogram->min ? ns : histogram->min;
    histogram->max = ns > histogram->max ? ns : histogram->max;
    histogram->sum += ns;
    histogram->count++;
}

void bc_cli_histogram_merge(struct bc_cli_histogram *into, const struct bc_cli_histogram *from)
{
    if (from->count == 0) {
        return;
    }
    into->min = into->count == 0 || from->min < into->min ? from->min : into->min;
    into->max = from->max > into->max ? from->max : into->max;
    into->sum += from->sum;
    into->count += from->count;
    for (uint32_t i = 0; i < BC_CLI_HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t bc_cli_histogram_quantile(const struct bc_cli_histogram *histogram, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)histogram->count);
    uint64_t seen = 0;

    if (histogram->count == 0) {
        return 0;
    }
    rank = rank == 0 ? 1 : rank;
    for (uint32_t i = 0; i < BC_CLI_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t largest = largest_of(i);

            return largest < histogram->max ? largest : histogram->max;
        }
    }
    return histogram->max;
}
