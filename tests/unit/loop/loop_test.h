/* SPDX-License-Identifier: Apache-2.0 */
/* loop_test.h - what the loop's tests share: cmocka in its order, a loop for a test, and waiting
 * with a deadline. */
#ifndef BC_TESTS_LOOP_TEST_H
#define BC_TESTS_LOOP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/loop.h"

#define TEST_DEADLINE_NS (10 * BC_NS_PER_S)
#define TEST_TURN_NS     (10 * BC_NS_PER_MS)

static inline struct bc_loop *test_loop_create(const struct bc_clock *clock, uint64_t spin_ns)
{
    struct bc_loop_options options = {
        .entries = 64, .timers = 4, .spin_ns = spin_ns, .name = "test"};
    struct bc_loop *loop = NULL;

    options.clock = clock;
    assert_int_equal(bc_loop_create(&options, &loop), 0);
    return loop;
}

/* Turns the loop until *count reaches `wanted`; fails the test after the deadline. */
static inline void test_turn_until(struct bc_loop *loop, const uint32_t *count, uint32_t wanted)
{
    const struct bc_clock *clock = bc_clock_monotonic();
    uint64_t end_ns = bc_clock_now_ns(clock) + TEST_DEADLINE_NS;

    while (*count < wanted) {
        assert_true(bc_clock_now_ns(clock) < end_ns);
        (void)bc_loop_turn(loop, TEST_TURN_NS);
    }
}

#endif
