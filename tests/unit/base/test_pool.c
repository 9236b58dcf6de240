/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds, stale names, and what the pool calls a bug. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/pool.h"
#include "death.h"

static void pool_hands_out_all_and_no_more(void **state)
{
    struct bc_pool pool;
    void *objects[5];

    (void)state;
    assert_int_equal(bc_pool_init(&pool, 5, 24), 0);
    assert_int_equal(pool.object_size, 32);
    for (uint32_t i = 0; i < 5; i++) {
        objects[i] = bc_pool_get(&pool);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % 16, 0);
        assert_int_equal(bc_pool_index(&pool, objects[i]), i);
        memset(objects[i], 0xee, 24);
        assert_int_equal(bc_pool_used(&pool), i + 1);
    }
    assert_null(bc_pool_get(&pool));
    for (int i = 0; i < 5; i++) {
        bc_pool_put(&pool, objects[i]);
    }
    assert_int_equal(bc_pool_used(&pool), 0);
    bc_pool_fini(&pool);
}

static void objects_are_zeroed_once(void **state)
{
    static const uint8_t zeros[40];
    struct bc_pool pool;
    uint8_t *object;

    (void)state;
    assert_int_equal(bc_pool_init(&pool, 1, sizeof(zeros)), 0);
    object = bc_pool_get(&pool);
    assert_memory_equal(object, zeros, sizeof(zeros));
    object[0] = 7;
    bc_pool_put(&pool, object);
    object = bc_pool_get(&pool);
    assert_int_equal(object[0], 7);
    bc_pool_put(&pool, object);
    bc_pool_fini(&pool);
}

static void stale_name_is_caught(void **state)
{
    struct bc_pool pool;
    uint32_t generation;
    uint32_t index;
    void *object;

    (void)state;
    assert_int_equal(bc_pool_init(&pool, 2, 8), 0);
    assert_null(bc_pool_lookup(&pool, 0, 0)); /* never out */
    object = bc_pool_get(&pool);
    index = bc_pool_index(&pool, object);
    generation = bc_pool_generation(&pool, object);
    assert_int_equal(generation % 2, 1);
    assert_ptr_equal(bc_pool_lookup(&pool, index, generation), object);
    assert_null(bc_pool_lookup(&pool, index, generation + 1));
    assert_null(bc_pool_lookup(&pool, index, generation + 2));
    assert_null(bc_pool_lookup(&pool, 2, generation));
    assert_null(bc_pool_lookup(&pool, UINT32_MAX, generation));
    bc_pool_put(&pool, object);
    assert_null(bc_pool_lookup(&pool, index, generation));
    assert_null(bc_pool_lookup(&pool, index, generation + 1)); /* back, and even */
    assert_ptr_equal(bc_pool_get(&pool), object);
    assert_null(bc_pool_lookup(&pool, index, generation));
    assert_int_equal(bc_pool_generation(&pool, object), generation + 2);
    bc_pool_put(&pool, object);
    bc_pool_fini(&pool);
}

static void generation_wraps_and_stays_odd(void **state)
{
    struct bc_pool pool;
    void *object;

    (void)state;
    assert_int_equal(bc_pool_init(&pool, 1, 8), 0);
    pool.generation[0] = UINT32_MAX - 1;
    object = bc_pool_get(&pool);
    assert_true(bc_pool_generation(&pool, object) == UINT32_MAX);
    bc_pool_put(&pool, object);
    object = bc_pool_get(&pool);
    assert_int_equal(bc_pool_generation(&pool, object), 1);
    bc_pool_put(&pool, object);
    bc_pool_fini(&pool);
}

static void impossible_sizes_are_refused(void **state)
{
    struct bc_pool pool;

    (void)state;
    assert_int_equal(bc_pool_init(&pool, 0, 8), -EINVAL);
    assert_int_equal(bc_pool_init(&pool, 8, 0), -EINVAL);
    assert_int_equal(bc_pool_init(&pool, 8, SIZE_MAX), -ENOMEM);
    assert_int_equal(bc_pool_init(&pool, UINT32_MAX, SIZE_MAX / 4), -ENOMEM);
}

static void put_twice(void *arg)
{
    void *object = bc_pool_get(arg);

    bc_pool_put(arg, object);
    bc_pool_put(arg, object);
}

static void put_inside(void *arg)
{
    bc_pool_put(arg, (uint8_t *)bc_pool_get(arg) + 8);
}

static void put_stranger(void *arg)
{
    int stranger;

    bc_pool_put(arg, &stranger);
}

static void fini_with_one_out(void *arg)
{
    (void)bc_pool_get(arg);
    bc_pool_fini(arg);
}

static void misuse_is_a_bug(void **state)
{
    struct bc_pool pool;

    (void)state;
    assert_int_equal(bc_pool_init(&pool, 4, 16), 0);
    assert_true(dies_saying(put_twice, &pool, "assertion failed"));
    assert_true(dies_saying(put_inside, &pool, "assertion failed"));
    assert_true(dies_saying(put_stranger, &pool, "assertion failed"));
    assert_true(dies_saying(fini_with_one_out, &pool, "assertion failed"));
    bc_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_hands_out_all_and_no_more),
        cmocka_unit_test(objects_are_zeroed_once),
        cmocka_unit_test(stale_name_is_caught),
        cmocka_unit_test(generation_wraps_and_stays_odd),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(misuse_is_a_bug),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
