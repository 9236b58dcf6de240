/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - how the sweeps fail, and how much of them is done. On a failure the label (scenario, twin, action,
 * n, seed) is printed, also when the process aborts.
 *
 * BLUECACHE_FAULT_RUNS=N    random runs of each store
 * BLUECACHE_FAULT_SEED=N    plays only this random run again
 * BLUECACHE_FAULT_FULL=1    every n of every sweep, not a sample of the long ones */
#ifndef BC_TEST_SWEEP_CHECK_H
#define BC_TEST_SWEEP_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"

/* What is being tried, for messages. */
void world_label(const char *format, ...) BC_PRINTF(1, 2);
/* Fails the test with the label and this sentence. */
void world_fail(const char *format, ...) BC_PRINTF(1, 2) __attribute__((noreturn));
#define WORLD_CHECK(condition)                                       \
    do {                                                             \
        if (!(condition)) {                                          \
            world_fail("%s:%d: %s", __FILE__, __LINE__, #condition); \
        }                                                            \
    } while (0)
#define WORLD_CHECK_EQUAL(left, right)                                                       \
    do {                                                                                     \
        long long left_value = (long long)(left);                                            \
        long long right_value = (long long)(right);                                          \
        if (left_value != right_value) {                                                     \
            world_fail("%s:%d: %s is %lld, not %lld", __FILE__, __LINE__, #left, left_value, \
                       right_value);                                                         \
        }                                                                                    \
    } while (0)

/* Descriptors that the process has open. */
uint32_t world_descriptors(void);

uint64_t run_setting(const char *name, uint64_t otherwise);
/* 1, or more where a sanitizer makes everything slow: runs are divided by it. */
uint32_t run_slowness(void);

#endif
