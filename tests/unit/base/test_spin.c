/* SPDX-License-Identifier: Apache-2.0 */
/* When polling is given up, and when it is taken up again. */
#include "unit.h"

#include "base/spin.h"

#define MAX_NS UINT64_C(1000)

static void polls_for_the_budget_and_no_longer(void **state)
{
    struct bc_spin spin;

    (void)state;
    bc_spin_init(&spin, MAX_NS);
    assert_true(bc_spin_again(&spin, 0, false));
    assert_true(bc_spin_again(&spin, MAX_NS - 1, false));
    assert_false(bc_spin_again(&spin, MAX_NS, false));
}

static void nothing_is_polled_without_a_maximum(void **state)
{
    struct bc_spin spin;

    (void)state;
    bc_spin_init(&spin, 0);
    assert_false(bc_spin_again(&spin, 0, false));
    bc_spin_learn(&spin, 0);
    assert_false(bc_spin_again(&spin, 0, false));
}

static void long_waits_end_the_polling(void **state)
{
    struct bc_spin spin;
    uint32_t polled = 0;

    (void)state;
    bc_spin_init(&spin, MAX_NS);
    for (uint32_t i = 0; i < 32; i++) {
        polled += bc_spin_again(&spin, 0, false);
        (void)bc_spin_again(&spin, spin.budget_ns, false); /* the budget is spent: it sleeps */
        bc_spin_learn(&spin, 100 * MAX_NS);
    }
    assert_in_range(polled, 2, 8);
    assert_int_equal(spin.budget_ns, 0);
}

static void polling_is_tried_again_now_and_then(void **state)
{
    struct bc_spin spin;
    uint32_t tries = 0;

    (void)state;
    bc_spin_init(&spin, MAX_NS);
    for (uint32_t i = 0; i < 1000; i++) {
        tries += spin.budget_ns == MAX_NS;
        bc_spin_learn(&spin, 100 * MAX_NS);
    }
    assert_in_range(tries, 5, 30);
}

static void one_short_wait_brings_it_back(void **state)
{
    struct bc_spin spin;

    (void)state;
    bc_spin_init(&spin, MAX_NS);
    for (uint32_t i = 0; i < 32; i++) {
        bc_spin_learn(&spin, 100 * MAX_NS);
    }
    assert_false(bc_spin_again(&spin, 0, false));
    bc_spin_learn(&spin, MAX_NS);
    assert_true(bc_spin_again(&spin, MAX_NS - 1, false));
}

/* The second look comes late, whether or not it finds something. */
static void rests_when_it_was_kept_from_the_processor(void **state)
{
    struct bc_spin spin;

    (void)state;
    for (uint32_t found = 0; found < 2; found++) {
        uint32_t rested = 0;

        bc_spin_init(&spin, MAX_NS);
        assert_true(bc_spin_again(&spin, 0, false));
        if (found == 0) {
            assert_false(bc_spin_again(&spin, 10 * MAX_NS, false));
        }
        bc_spin_learn(&spin, 10 * MAX_NS);
        while (!bc_spin_again(&spin, 0, false) && rested < 1000) {
            bc_spin_learn(&spin, MAX_NS / 2);
            rested++;
        }
        assert_in_range(rested, 10, 100);
    }
}

static void what_is_expected_is_polled_for_whatever_was_learned(void **state)
{
    struct bc_spin spin;

    (void)state;
    bc_spin_init(&spin, MAX_NS);
    for (uint32_t i = 0; i < 32; i++) {
        bc_spin_learn(&spin, 100 * MAX_NS);
    }
    assert_true(bc_spin_again(&spin, 0, true));
    assert_true(bc_spin_again(&spin, MAX_NS - 1, true));
    assert_false(bc_spin_again(&spin, MAX_NS, true));
    assert_false(bc_spin_again(&spin, 0, false));
}

/* A long wait asleep says nothing about the processor. */
static void sleeping_long_is_not_being_kept_away(void **state)
{
    struct bc_spin spin;

    (void)state;
    bc_spin_init(&spin, MAX_NS);
    assert_true(bc_spin_again(&spin, 0, false));
    assert_false(bc_spin_again(&spin, MAX_NS + 1, false));
    bc_spin_learn(&spin, 10 * MAX_NS);
    assert_true(bc_spin_again(&spin, 0, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(polls_for_the_budget_and_no_longer),
        cmocka_unit_test(nothing_is_polled_without_a_maximum),
        cmocka_unit_test(long_waits_end_the_polling),
        cmocka_unit_test(polling_is_tried_again_now_and_then),
        cmocka_unit_test(one_short_wait_brings_it_back),
        cmocka_unit_test(rests_when_it_was_kept_from_the_processor),
        cmocka_unit_test(what_is_expected_is_polled_for_whatever_was_learned),
        cmocka_unit_test(sleeping_long_is_not_being_kept_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
