/* SPDX-License-Identifier: Apache-2.0 */
/* The clock's twin jumps, stands still and moves in steps, and never goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testlib/faulty_clock.h"

static struct bc_clock real;
static struct bc_faulty_clock clock;

static void rule(uint64_t first, enum bc_fault_action action, uint64_t amount)
{
    bc_faults_add(&clock.faults, (struct bc_fault_rule){.kinds = BC_FAULT_ANY_KIND,
                                                        .first = first,
                                                        .action = action,
                                                        .amount = amount});
}

static uint64_t after(uint64_t ns)
{
    bc_clock_virtual_advance(&real, ns);
    return bc_clock_now_ns(&clock.clock);
}

static int setup(void **state)
{
    (void)state;
    bc_clock_virtual_init(&real, 1000);
    bc_faulty_clock_init(&clock, &real, 1);
    return 0;
}

static void without_rules_it_is_the_real_one(void **state)
{
    (void)state;
    assert_int_equal(after(0), 1000);
    assert_int_equal(after(5), 1005);
}

static void it_jumps_forward(void **state)
{
    (void)state;
    rule(2, BC_FAULT_DELAY, 10000);
    assert_int_equal(after(1), 1001);
    assert_int_equal(after(1), 11002);
    assert_int_equal(after(1), 11003);
    bc_faulty_clock_heal(&clock);
    assert_int_equal(after(1), 11004);
}

static void it_stands_still_for_some_readings(void **state)
{
    (void)state;
    rule(2, BC_FAULT_SHORT, 2);
    assert_int_equal(after(1), 1001);
    assert_int_equal(after(1), 1001);
    assert_int_equal(after(1), 1001);
    assert_int_equal(after(1), 1004);
}

static void it_stands_still_until_it_is_healed(void **state)
{
    (void)state;
    rule(2, BC_FAULT_VANISH, 0);
    assert_int_equal(after(1), 1001);
    assert_int_equal(after(50), 1001);
    assert_int_equal(after(50), 1001);
    bc_faulty_clock_heal(&clock);
    assert_int_equal(after(0), 1101);
}

static void coarse_steps_never_go_back(void **state)
{
    (void)state;
    rule(2, BC_FAULT_CORRUPT, 100);
    assert_int_equal(after(55), 1055);
    assert_int_equal(after(5), 1055); /* not 1000 */
    assert_int_equal(after(45), 1100);
    assert_int_equal(after(99), 1200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_rules_it_is_the_real_one, setup),
        cmocka_unit_test_setup(it_jumps_forward, setup),
        cmocka_unit_test_setup(it_stands_still_for_some_readings, setup),
        cmocka_unit_test_setup(it_stands_still_until_it_is_healed, setup),
        cmocka_unit_test_setup(coarse_steps_never_go_back, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
