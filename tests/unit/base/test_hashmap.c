/* SPDX-License-Identifier: Apache-2.0 */
/* The table keeps every node through growth, duplicates and removal while visiting. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hashmap.h"
#include "death.h"

#define ITEMS 5000u

struct item {
    struct bc_hashmap_node node;
    uint32_t number;
    uint32_t visits;
};

static struct bc_hash128 hash_of(uint32_t number)
{
    return bc_hash_key(0, &number, sizeof(number));
}

static struct item *item_of(struct bc_hashmap_node *node)
{
    return BC_CONTAINER_OF(node, struct item, node);
}

static struct item *make_items(uint32_t count)
{
    struct item *items = calloc(count, sizeof(*items));

    assert_non_null(items);
    for (uint32_t i = 0; i < count; i++) {
        items[i].number = i;
        items[i].node.hash = hash_of(i);
    }
    return items;
}

static void map_finds_every_node_after_growing(void **state)
{
    struct item *items = make_items(ITEMS);
    struct bc_hashmap map;
    size_t buckets_before;

    (void)state;
    assert_int_equal(bc_hashmap_init(&map, 0), 0);
    buckets_before = map.bucket_count;
    for (uint32_t i = 0; i < ITEMS; i++) {
        bc_hashmap_insert(&map, &items[i].node);
    }
    assert_int_equal(map.count, ITEMS);
    assert_true(map.bucket_count > buckets_before);
    assert_true(map.bucket_count >= map.count);
    assert_int_equal(map.bucket_count & (map.bucket_count - 1), 0);
    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_ptr_equal(bc_hashmap_find(&map, hash_of(i)), &items[i].node);
        assert_null(bc_hashmap_find_next(&items[i].node));
    }
    assert_null(bc_hashmap_find(&map, hash_of(ITEMS)));
    bc_hashmap_fini(&map);
    free(items);
}

static void hint_leaves_nothing_to_grow(void **state)
{
    struct item *items = make_items(100);
    struct bc_hashmap map;

    (void)state;
    assert_int_equal(bc_hashmap_init(&map, 100), 0);
    assert_int_equal(map.bucket_count, 256);
    for (uint32_t i = 0; i < 100; i++) {
        bc_hashmap_insert(&map, &items[i].node);
    }
    assert_int_equal(map.bucket_count, 256);
    bc_hashmap_fini(&map);
    free(items);
}

static void hint_beyond_memory_is_refused(void **state)
{
    struct bc_hashmap map;

    (void)state;
    assert_int_equal(bc_hashmap_init(&map, SIZE_MAX), -ENOMEM);
}

static void equal_hashes_are_found_one_after_the_other(void **state)
{
    struct item *items = make_items(4);
    struct bc_hashmap_node *node;
    struct bc_hashmap map;
    uint32_t seen = 0;

    (void)state;
    assert_int_equal(bc_hashmap_init(&map, 0), 0);
    items[3].node.hash.low = items[0].node.hash.low; /* same bucket, another hash */
    for (uint32_t i = 0; i < 3; i++) {
        items[i].node.hash = hash_of(0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        bc_hashmap_insert(&map, &items[i].node);
    }
    for (node = bc_hashmap_find(&map, hash_of(0)); node != NULL;
         node = bc_hashmap_find_next(node)) {
        seen |= 1u << item_of(node)->number;
    }
    assert_int_equal(seen, 7);
    bc_hashmap_remove(&map, &items[1].node);
    seen = 0;
    for (node = bc_hashmap_find(&map, hash_of(0)); node != NULL;
         node = bc_hashmap_find_next(node)) {
        seen |= 1u << item_of(node)->number;
    }
    assert_int_equal(seen, 5);
    bc_hashmap_fini(&map);
    free(items);
}

struct sweep {
    struct bc_hashmap *map;
    size_t visited;
};

static void visit_and_drop_odd(void *arg, struct bc_hashmap_node *node)
{
    struct sweep *sweep = arg;

    sweep->visited++;
    item_of(node)->visits++;
    if (item_of(node)->number % 2 == 1) {
        bc_hashmap_remove(sweep->map, node);
    }
}

static void visitor_may_remove_the_node_it_is_given(void **state)
{
    struct item *items = make_items(1000);
    struct bc_hashmap map;
    struct sweep sweep = {.map = &map};

    (void)state;
    assert_int_equal(bc_hashmap_init(&map, 0), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        bc_hashmap_insert(&map, &items[i].node);
    }
    bc_hashmap_for_each(&map, visit_and_drop_odd, &sweep);
    assert_int_equal(sweep.visited, 1000);
    assert_int_equal(map.count, 500);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(items[i].visits, 1);
        assert_ptr_equal(bc_hashmap_find(&map, hash_of(i)), i % 2 == 1 ? NULL : &items[i].node);
    }
    bc_hashmap_fini(&map);
    free(items);
}

static void remove_stranger(void *arg)
{
    struct bc_hashmap_node stranger = {.hash = hash_of(99)};

    bc_hashmap_remove(arg, &stranger);
}

static void removing_a_stranger_is_a_bug(void **state)
{
    struct bc_hashmap map;

    (void)state;
    assert_int_equal(bc_hashmap_init(&map, 0), 0);
    assert_true(dies_saying(remove_stranger, &map, "assertion failed"));
    bc_hashmap_fini(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_finds_every_node_after_growing),
        cmocka_unit_test(hint_leaves_nothing_to_grow),
        cmocka_unit_test(hint_beyond_memory_is_refused),
        cmocka_unit_test(equal_hashes_are_found_one_after_the_other),
        cmocka_unit_test(visitor_may_remove_the_node_it_is_given),
        cmocka_unit_test(removing_a_stranger_is_a_bug),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
