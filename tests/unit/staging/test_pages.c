/* SPDX-License-Identifier: Apache-2.0 */
/* The page allocator by itself, with its invariants checked on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "staging/pages.h"

#define ROWS         20000u
#define RANDOM_STEPS 30000u
#define HELD_MAX     2000u

static struct bc_page table[ROWS];
static struct bc_pages pages;

static int setup(void **state)
{
    (void)state;
    memset(table, 0, sizeof(table));
    bc_pages_init(&pages, table, 0, ROWS);
    return 0;
}

static void whole_comes_back_whole(void **state)
{
    uint32_t held[3];
    uint32_t big;
    uint32_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        assert_true(bc_pages_take(&pages, 2 + i, i == 1, &held[i]));
        bc_pages_check(&pages);
    }
    assert_int_equal(pages.free_count, ROWS - 9);
    assert_int_equal(bc_pages_give(&pages, held[0]), 2);
    bc_pages_check(&pages);
    assert_int_equal(bc_pages_give(&pages, held[2]), 4);
    bc_pages_check(&pages);
    assert_int_equal(bc_pages_give(&pages, held[1]), 3);
    bc_pages_check(&pages);
    assert_int_equal(pages.free_count, ROWS);
    assert_true(bc_pages_take(&pages, BC_PAGES_EXACT - 1, false, &big));
    assert_int_equal(big, 0);
    assert_int_equal(bc_pages_give(&pages, big), BC_PAGES_EXACT - 1);
}

static void hole_of_the_size_is_taken_first(void **state)
{
    uint32_t held[8];
    uint32_t index;
    uint32_t i;

    (void)state;
    for (i = 0; i < 8; i++) {
        assert_true(bc_pages_take(&pages, i % 2 == 0 ? 257 : 300, false, &held[i]));
    }
    /* Holes of 300 and 257 pages, the larger one first in the table and last on its list. */
    assert_int_equal(bc_pages_give(&pages, held[4]), 257);
    assert_int_equal(bc_pages_give(&pages, held[1]), 300);
    bc_pages_check(&pages);
    assert_true(bc_pages_take(&pages, 257, true, &index));
    assert_int_equal(index, held[4]);
    assert_true(bc_pages_take(&pages, 257, true, &index));
    assert_int_equal(index, held[1] + 43); /* the end of the larger hole */
    assert_true(bc_pages_take(&pages, 43, false, &index));
    assert_int_equal(index, held[1]);
    bc_pages_check(&pages);
}

static void arenas_are_not_joined(void **state)
{
    struct bc_pages left;
    struct bc_pages right;
    uint32_t a;
    uint32_t b;
    uint32_t index;

    (void)state;
    memset(table, 0, sizeof(table));
    bc_pages_init(&left, table, 0, 10);
    bc_pages_init(&right, table, 10, 10);
    assert_true(bc_pages_take(&left, 10, false, &a));
    assert_true(bc_pages_take(&right, 10, false, &b));
    assert_int_equal(b, 10);
    assert_int_equal(bc_pages_give(&left, a), 10);
    assert_int_equal(bc_pages_give(&right, b), 10);
    bc_pages_check(&left);
    bc_pages_check(&right);
    assert_false(bc_pages_take(&left, 11, false, &index));
    assert_false(bc_pages_take(&right, 11, false, &index));
    bc_pages_init(&left, table, 0, 0);
    assert_false(bc_pages_take(&left, 2, false, &index));
}

static void random_extents_keep_every_invariant(void **state)
{
    static uint32_t held[HELD_MAX];
    const char *seed_text = getenv("BC_TEST_SEED");
    unsigned seed = seed_text != NULL ? (unsigned)atoi(seed_text) : (unsigned)time(NULL);
    uint32_t count = 0;
    uint32_t step;

    (void)state;
    print_message("BC_TEST_SEED=%u\n", seed);
    for (step = 0; step < RANDOM_STEPS; step++) {
        uint32_t size = rand_r(&seed) % 8 == 0 ? 2 + (uint32_t)rand_r(&seed) % 2048
                                               : 2 + (uint32_t)rand_r(&seed) % 20;
        uint32_t index;
        if (rand_r(&seed) % 2 == 0 && count < HELD_MAX) {
            if (bc_pages_take(&pages, size, rand_r(&seed) % 2 == 0, &index)) {
                held[count++] = index;
            }
        } else if (count > 0) {
            uint32_t victim = (uint32_t)rand_r(&seed) % count;
            (void)bc_pages_give(&pages, held[victim]);
            held[victim] = held[--count];
        }
        if (step % 256 == 0) {
            bc_pages_check(&pages);
        }
    }
    while (count > 0) {
        (void)bc_pages_give(&pages, held[--count]);
    }
    bc_pages_check(&pages);
    assert_int_equal(pages.free_count, ROWS);
    assert_int_equal(table[0].size & 0xffffff, ROWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(whole_comes_back_whole, setup),
        cmocka_unit_test_setup(hole_of_the_size_is_taken_first, setup),
        cmocka_unit_test_setup(arenas_are_not_joined, setup),
        cmocka_unit_test_setup(random_extents_keep_every_invariant, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
