/* SPDX-License-Identifier: Apache-2.0 */
/* test_exports.c - the cache of exports alone: what is merged, found, detached. */
#include "exports.h"
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#define BASE UINT64_C(0x100000000)

static struct bc_regions regions;
static int made; /* regions made so far: exports that a client would have made */

static struct bc_extent pages(uint64_t first, uint64_t count)
{
    return (struct bc_extent){
        .type = BC_MEMORY_HOST, .base = BASE + first * PAGE_LEN, .len = count * PAGE_LEN};
}

static void drop(struct bc_region *region)
{
    free(region->current);
    bc_region_destroy(region);
}

/* What bc_memory_register does, without an agent: every new region has a live export. */
static struct bc_memory *add(struct bc_extent extent)
{
    struct bc_memory *memory = calloc(1, sizeof(*memory));
    struct bc_region *region = bc_regions_find(&regions, &extent);
    struct bc_list absorbed;
    struct bc_list_node *node;

    assert_non_null(memory);
    memory->extent = extent;
    if (region == NULL) {
        struct bc_extent merged;

        bc_regions_plan(&regions, &extent, false, &merged);
        assert_int_equal(bc_region_create(&merged, &region), 0);
        region->current = calloc(1, sizeof(*region->current));
        assert_non_null(region->current);
        region->current->state = BC_EXPORT_LIVE;
        made++;
        bc_list_init(&absorbed);
        assert_int_equal(bc_regions_attach(&regions, region, &absorbed), 0);
        while ((node = bc_list_pop_front(&absorbed)) != NULL) {
            drop(BC_CONTAINER_OF(node, struct bc_region, node));
        }
    }
    bc_region_join(region, memory);
    return memory;
}

static void release(struct bc_memory *memory)
{
    struct bc_region *last = bc_regions_release(&regions, memory);

    if (last != NULL) {
        drop(last);
    }
    free(memory);
}

static void check_sorted(void)
{
    for (size_t i = 1; i < regions.count; i++) {
        const struct bc_extent *a = &regions.items[i - 1]->extent;
        const struct bc_extent *b = &regions.items[i]->extent;

        assert_true(a->base < b->base && bc_extent_end(a) < bc_extent_end(b));
    }
}

static int set_up(void **state)
{
    (void)state;
    bc_regions_init(&regions);
    made = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bc_regions_fini(&regions);
    return 0;
}

static void pages_in_a_row_become_one_region(void **state)
{
    struct bc_memory *memories[256];

    (void)state;
    for (uint64_t i = 0; i < 256; i++) {
        memories[i] = add(pages(i, 1));
        check_sorted();
        assert_true(regions.count <= 9);
    }
    assert_int_equal(regions.count, 1);
    assert_int_equal(regions.items[0]->memories.count, 256);
    assert_int_equal(made, 256); /* one export each, though most are short-lived */
    for (int i = 0; i < 256; i++) {
        release(memories[i]);
    }
    assert_int_equal(regions.count, 0);
}

static void any_number_of_pages_gives_few_regions(void **state)
{
    struct bc_memory *memories[1000];

    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        memories[i] = add(pages(5000 - i, 1)); /* downwards */
        assert_true(regions.count <= 11);
    }
    check_sorted();
    for (int i = 0; i < 1000; i++) {
        assert_ptr_equal(bc_regions_find(&regions, &memories[i]->extent), memories[i]->region);
    }
    for (int i = 0; i < 1000; i++) {
        release(memories[i]);
    }
}

static void pages_in_random_order_stay_covered(void **state)
{
    struct bc_memory *memories[512];
    uint32_t order[512];
    uint32_t seed = 12345;

    (void)state;
    for (uint32_t i = 0; i < 512; i++) {
        uint32_t j;

        seed = seed * 1664525 + 1013904223;
        j = (seed >> 8) % (i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (uint32_t i = 0; i < 512; i++) {
        memories[i] = add(pages(order[i], 1));
        check_sorted();
    }
    for (uint32_t i = 0; i < 512; i++) {
        const struct bc_extent *region = &memories[i]->region->extent;

        assert_true(region->base <= memories[i]->extent.base &&
                    bc_extent_end(region) >= bc_extent_end(&memories[i]->extent));
    }
    for (uint32_t i = 0; i < 512; i++) {
        release(memories[order[i]]);
    }
}

static void unaligned_neighbours_do_not_export_everything_again(void **state)
{
    struct bc_memory *memories[200];
    uint64_t exported = 0;

    (void)state;
    /* Ranges of one and a half pages, rounded: each overlaps its neighbour by a page. */
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t start = i * 6144 / PAGE_LEN;
        uint64_t end = (i * 6144 + 6144 + PAGE_LEN - 1) / PAGE_LEN;

        memories[i] = add(pages(start, end - start));
        exported += memories[i]->region->extent.len / PAGE_LEN;
        check_sorted();
    }
    assert_true(exported < 200 * 2 * 16);
    assert_true(regions.count < 20);
    for (int i = 0; i < 200; i++) {
        release(memories[i]);
    }
}

static void a_range_inside_a_region_joins_it(void **state)
{
    struct bc_memory *big = add(pages(0, 100));
    struct bc_memory *same = add(pages(0, 100));
    struct bc_memory *part = add(pages(50, 3));

    (void)state;
    assert_ptr_equal(big->region, same->region);
    assert_ptr_equal(big->region, part->region);
    assert_int_equal(made, 1);
    release(big); /* `same` holds every byte: the region stays open for others */
    assert_true(same->region->attached);
    release(part);
    release(same);
}

static void a_region_with_a_hole_takes_no_new_registration(void **state)
{
    struct bc_memory *a = add(pages(0, 1));
    struct bc_memory *b = add(pages(1, 1));
    struct bc_memory *again;
    uint64_t epoch = regions.epoch;

    (void)state;
    assert_ptr_equal(a->region, b->region);
    release(a); /* page 0 may now be unmapped, and be something else when it comes back */
    assert_true(regions.epoch > epoch);
    assert_false(b->region->attached);
    assert_int_equal(regions.count, 0);
    again = add(pages(0, 1));
    assert_ptr_not_equal(again->region, b->region);
    assert_int_equal(again->region->extent.len, PAGE_LEN);
    release(again);
    release(b);
}

static void a_whole_allocation_is_never_merged_nor_detached(void **state)
{
    struct bc_extent whole = pages(0, 64);
    struct bc_memory *part;
    struct bc_memory *other;
    struct bc_memory *beside;

    (void)state;
    whole.whole = true;
    part = add(whole);
    other = add(whole);
    beside = add(pages(64, 64));
    assert_int_equal(regions.count, 2);
    release(part);
    assert_true(other->region->attached);
    release(other);
    release(beside);
}

static void memories_of_different_kinds_do_not_meet(void **state)
{
    struct bc_extent gpu = pages(0, 1);
    struct bc_extent gpu1 = pages(0, 1);
    struct bc_memory *a = add(pages(0, 1));
    struct bc_memory *b;
    struct bc_memory *c;

    (void)state;
    gpu.type = BC_MEMORY_CUDA;
    gpu1.type = BC_MEMORY_CUDA;
    gpu1.device = 1;
    b = add(gpu);
    c = add(gpu1);
    assert_int_equal(regions.count, 3);
    assert_ptr_not_equal(a->region, b->region);
    assert_ptr_not_equal(b->region, c->region);
    release(b);
    release(a);
    release(c);
}

static void another_allocation_at_the_same_address_is_not_the_old_one(void **state)
{
    struct bc_extent first = pages(0, 16);
    struct bc_extent second = pages(0, 16);
    struct bc_memory *a;
    struct bc_memory *b;

    (void)state;
    first.whole = second.whole = true;
    first.identity = 1;
    second.identity = 2;
    a = add(first);
    b = add(second);
    assert_ptr_not_equal(a->region, b->region);
    assert_false(a->region->attached);
    release(a);
    release(b);
}

static void merging_stops_at_the_largest_region(void **state)
{
    uint64_t half = BC_REGION_LEN_MAX / PAGE_LEN / 2 + 1;
    struct bc_memory *a = add(pages(0, half));
    struct bc_memory *b = add(pages(half, half));

    (void)state;
    assert_int_equal(regions.count, 2);
    release(a);
    release(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_in_a_row_become_one_region, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_number_of_pages_gives_few_regions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pages_in_random_order_stay_covered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unaligned_neighbours_do_not_export_everything_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_range_inside_a_region_joins_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_region_with_a_hole_takes_no_new_registration, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_whole_allocation_is_never_merged_nor_detached, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(memories_of_different_kinds_do_not_meet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_allocation_at_the_same_address_is_not_the_old_one,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(merging_stops_at_the_largest_region, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
