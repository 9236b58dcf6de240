/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions end the process with a sentence, and cost nothing when they hold. */
#include "unit.h"

#include "base/assert.h"
#include "death.h"

static void fail_on_purpose(void *arg)
{
    int count = *(int *)arg;

    BC_ASSERT(count > 3);
}

static void assert_names_the_place_and_the_condition(void **state)
{
    int count = 3;

    (void)state;
    assert_true(
        dies_saying(fail_on_purpose, &count, "fail_on_purpose: assertion failed: count > 3"));
    assert_true(dies_saying(fail_on_purpose, &count, "test_assert.c:"));
}

static void assert_that_holds_goes_on(void **state)
{
    int count = 4;

    (void)state;
    fail_on_purpose(&count);
    BC_DASSERT(count == 4);
}

static void align_rounds_to_powers_of_two(void **state)
{
    (void)state;
    assert_int_equal(bc_align_up_u64(0, 4096), 0);
    assert_int_equal(bc_align_up_u64(1, 4096), 4096);
    assert_int_equal(bc_align_up_u64(4096, 4096), 4096);
    assert_int_equal(bc_align_down_u64(8191, 4096), 4096);
    assert_int_equal(bc_min_u64(3, 5), 3);
    assert_int_equal(bc_max_u64(3, 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assert_names_the_place_and_the_condition),
        cmocka_unit_test(assert_that_holds_goes_on),
        cmocka_unit_test(align_rounds_to_powers_of_two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
