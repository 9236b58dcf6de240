/* SPDX-License-Identifier: Apache-2.0 */
/* The monotonic clock never goes back; the virtual one moves only when told. */
#include "unit.h"

#include "base/clock.h"
#include "death.h"

static void monotonic_never_goes_back(void **state)
{
    const struct bc_clock *clock = bc_clock_monotonic();
    uint64_t last = bc_clock_now_ns(clock);

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = bc_clock_now_ns(clock);

        assert_true(now >= last);
        last = now;
    }
}

static void virtual_stands_still_until_advanced(void **state)
{
    struct bc_clock clock;

    (void)state;
    bc_clock_virtual_init(&clock, 7);
    assert_int_equal(bc_clock_now_ns(&clock), 7);
    assert_int_equal(bc_clock_now_ns(&clock), 7);
    bc_clock_virtual_advance(&clock, 3 * BC_NS_PER_MS);
    assert_int_equal(bc_clock_now_ns(&clock), 3000007);
}

static void advance(void *arg)
{
    bc_clock_virtual_advance(arg, 2);
}

static void virtual_refuses_to_wrap(void **state)
{
    struct bc_clock clock;

    (void)state;
    bc_clock_virtual_init(&clock, UINT64_MAX - 1);
    assert_true(dies_saying(advance, &clock, "assertion failed"));
}

static void advance_refuses_the_system_clock(void **state)
{
    struct bc_clock copy = *bc_clock_monotonic();

    (void)state;
    assert_true(dies_saying(advance, &copy, "assertion failed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_never_goes_back),
        cmocka_unit_test(virtual_stands_still_until_advanced),
        cmocka_unit_test(virtual_refuses_to_wrap),
        cmocka_unit_test(advance_refuses_the_system_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
