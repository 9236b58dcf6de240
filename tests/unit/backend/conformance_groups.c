/* SPDX-License-Identifier: Apache-2.0 */
/* conformance_groups.c - objects that leave together: over workers, in time, across a restart. */
#include "conformance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"

#define CAPACITY (8 * BED_MIB)
#define MEMBERS  4u

static struct bed_options small_store(uint32_t workers)
{
    struct bed_options options = conformance_options(workers);

    options.capacity = CAPACITY;
    return options;
}

/* A key of the first worker of two when the index is even, else of the second. Valid until many more
 * were made. */
static struct bc_object_key member(uint32_t group, uint32_t index)
{
    static char texts[1024][40];
    static uint32_t next;
    char *text = texts[next++ % BC_ARRAY_LEN(texts)];
    struct bc_object_key key;
    uint32_t salt = 0;

    do {
        (void)snprintf(text, sizeof(texts[0]), "group %u/%u %u", group, index, salt++);
        key = bed_key(text);
    } while (bc_store_worker(key.hash, 2) != index % 2);
    return key;
}

static void put(struct bed *bed, uint64_t group, struct bc_object_key key, uint64_t size)
{
    bed->group = group;
    assert_int_equal(bed_put(bed, &key, size, group), 0);
    bed->group = 0;
}

static void put_group(struct bed *bed, uint32_t group, uint64_t size)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        put(bed, group, member(group, i), size);
    }
}

static uint32_t present(struct bed *bed, uint32_t group)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct bc_object_key key = member(group, i);

        count += bed_has(bed, &key);
    }
    return count;
}

/* Fills a store of this one worker with objects of no group until nothing else is left in it. */
static void push_out(struct bed *bed, uint32_t worker)
{
    static uint32_t number;
    uint32_t done = 0;

    for (; done < 8; done++) {
        put(bed, 0, member(1000000 + number++, worker), BED_MIB);
    }
}

/* Everything goes, and nothing is left of it. */
static void check_empties(struct bed *bed)
{
    uint32_t objects;
    uint32_t temporary;

    for (uint32_t i = 0; i < bed->options.workers; i++) {
        push_out(bed, i);
    }
    bed_settle(bed);
    if (conformance_persistent()) {
        assert_true((int64_t)bed_disk_bytes(bed, &objects, &temporary) ==
                    bed_metric(bed, "used_bytes"));
        assert_int_equal(objects, bed_metric(bed, "objects"));
    }
    assert_true(bed_metric(bed, "objects") <= 8 * bed->options.workers);
}

static void a_group_leaves_whole_on_every_worker(void **state)
{
    struct bed_options options = small_store(2);
    uint32_t left = 0;
    int64_t gone;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t group = 1; group <= 30; group++) {
        put_group(&bed, group, 500000);
    }
    bed_settle(&bed);
    for (uint32_t group = 1; group <= 30; group++) {
        uint32_t count = present(&bed, group);

        assert_true(count == 0 || count == MEMBERS);
        left += count;
        assert_true(group != 1 || count == 0);
        assert_true(group != 30 || count == MEMBERS);
    }
    assert_true(left >= 2 * MEMBERS);
    gone = bed_metric(&bed, "evictions_total") + bed_metric(&bed, "group_evictions_total");
    assert_int_equal(gone, 30 * MEMBERS - left);
    assert_true(bed_metric(&bed, "group_evictions_total") > 0);
    assert_int_equal(bed_metric(&bed, "objects"), left);
    check_empties(&bed);
    bed_end(&bed);
}

static void others_stay(void **state)
{
    struct bed_options options = small_store(2);
    struct bc_object_key alone = member(9, 0);
    struct bc_object_key first = member(1, 0);
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    put(&bed, 0, alone, 1000);
    put_group(&bed, 2, 1000);
    put_group(&bed, 1, 1000);
    assert_int_equal(bed_get(&bed, &alone, 1000, 0), 0);
    assert_int_equal(bed_remove(&bed, &first), 0);
    assert_int_equal(present(&bed, 1), MEMBERS - 1);
    first = member(2, 0);
    put(&bed, 3, first, 2000); /* replaced, in another group */
    assert_int_equal(present(&bed, 2), MEMBERS);
    assert_int_equal(bed_metric(&bed, "group_evictions_total"), 0);
    /* Group 1 goes for its member in the second worker; what is younger in the first one stays. */
    push_out(&bed, 1);
    bed_settle(&bed);
    assert_int_equal(present(&bed, 1), 0);
    assert_true(bed_has(&bed, &alone));
    assert_true(bed_has(&bed, &first));
    assert_int_equal(present(&bed, 2), 1);
    bed_end(&bed);
}

static void a_replaced_member_belongs_to_its_new_group(void **state)
{
    struct bed_options options = small_store(1);
    struct bc_object_key key = member(1, 0);
    struct bc_object_key kept = member(1, 1);
    struct bed_get second;
    struct bed_get pin;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    put_group(&bed, 1, BED_MIB / 2);
    put(&bed, 2, key, BED_MIB / 2);
    put(&bed, 0, kept, BED_MIB / 2);
    assert_int_equal(bed_get_open(&bed, &pin, &key), 0); /* not what goes first */
    assert_int_equal(bed_get_open(&bed, &second, &kept), 0);
    for (uint32_t i = 0; bed_metric(&bed, "evictions_total") == 0; i++) {
        assert_true(i < 20);
        put(&bed, 0, member(100 + i, 0), BED_MIB);
    }
    bed_get_close(&pin);
    bed_get_close(&second);
    assert_true(bed_has(&bed, &key));
    assert_true(bed_has(&bed, &kept));
    assert_int_equal(present(&bed, 1), 2);
    assert_int_equal(bed_metric(&bed, "group_evictions_total"), 1);
    bed_end(&bed);
}

static void a_pinned_member_goes_when_its_reader_is_done(void **state)
{
    struct bed_options options = small_store(2);
    struct bc_object_key key = member(1, 0);
    struct bed_get pin;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    put_group(&bed, 1, 300000);
    assert_int_equal(bed_get_open(&bed, &pin, &key), 0);
    push_out(&bed, 1); /* where other members are */
    bed_settle(&bed);
    assert_int_equal(present(&bed, 1), 0);
    assert_int_equal(bed_get_range(&bed, &pin, 0, 300000, 1), 0);
    bed_get_close(&pin);
    check_empties(&bed);
    bed_end(&bed);
}

static void a_put_under_way_goes_with_its_group(void **state)
{
    struct bed_options options = small_store(2);
    struct bc_object_key keys[3] = {member(1, 0), member(1, 1), member(1, 2)};
    struct bed_put puts[3];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    bed.group = 1;
    bed.group_time = 0;
    assert_int_equal(bed_put_begin(&bed, &puts[0], &keys[0], 300000, 1), 0);
    put(&bed, 1, member(1, 3), 300000);
    push_out(&bed, 0);
    push_out(&bed, 1);
    assert_int_equal(bed.group_clock, 1);
    bed.group = 1;
    /* Of the same request, but begun only now; and of a later one. */
    assert_int_equal(bed_put_begin(&bed, &puts[1], &keys[1], 300000, 1), 0);
    bed.group_time = UINT64_MAX;
    assert_int_equal(bed_put_begin(&bed, &puts[2], &keys[2], 300000, 1), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(bed_put_rest(&bed, &puts[i]), 0);
        assert_int_equal(bed_put_commit(&bed, &puts[i]), 0);
        assert_int_equal(bed_has(&bed, &keys[i]), i == 2);
    }
    assert_int_equal(bed_get(&bed, &keys[2], 300000, 1), 0);
    assert_int_equal(bed_metric(&bed, "group_evictions_total"), 2);
    bed.group = 0;
    check_empties(&bed);
    bed_end(&bed);
}

static void what_is_put_after_the_drop_starts_anew(void **state)
{
    struct bed_options options = small_store(2);
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    put_group(&bed, 1, 300000);
    bed.hold_drops = true;
    push_out(&bed, 0);
    bed_settle(&bed);
    assert_int_equal(present(&bed, 1), MEMBERS / 2);
    /* The drop is on its way: a member of the second worker comes before it. */
    put(&bed, 1, member(1, 1), 1000);
    bed_tell(&bed);
    bed_settle(&bed);
    assert_int_equal(present(&bed, 1), 1);
    put_group(&bed, 1, 1000);
    assert_int_equal(present(&bed, 1), MEMBERS);
    bed_end(&bed);
}

static void a_bad_member_takes_its_group_along(void **state)
{
    struct bed_options options = small_store(2);
    struct bc_object_key key = member(1, 0);
    struct bed_get get;
    struct bc_get_op op;
    struct bed bed;

    (void)state;
    if (conformance_persistent()) {
        skip(); /* what is on disk is changed by a test of its own */
    }
    bed_start(&bed, &options);
    put_group(&bed, 1, 300000);
    put_group(&bed, 2, 300000);
    assert_int_equal(bed_get_open(&bed, &get, &key), 0);
    assert_int_equal(bed_get_chunk(&bed, &get, &op, 0, BC_CRC_BLOCK_SIZE), 0);
    ((uint8_t *)(uintptr_t)op.data)[5] ^= 1;
    bed_get_release(&get, &op);
    assert_int_equal(bed_get_chunk(&bed, &get, &op, 0, BC_CRC_BLOCK_SIZE), -EBADMSG);
    bed_get_close(&get);
    bed_settle(&bed);
    assert_int_equal(present(&bed, 1), 0);
    assert_int_equal(present(&bed, 2), MEMBERS);
    assert_int_equal(bed_metric(&bed, "group_evictions_total"), MEMBERS - 1);
    bed_end(&bed);
}

static void members_beyond_the_most_are_on_their_own(void **state)
{
    struct bed_options options = small_store(1);
    struct bc_object_key key;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t i = 0; i < BC_GROUP_MEMBERS_MAX + 50; i++) {
        put(&bed, 7, member(7, i), 1000);
    }
    for (uint32_t i = 0; bed_metric(&bed, "evictions_total") == 0; i++) {
        assert_true(i < 20);
        put(&bed, 0, member(100 + i, 0), BED_MIB);
    }
    bed_settle(&bed);
    assert_int_equal(bed_metric(&bed, "group_evictions_total"), BC_GROUP_MEMBERS_MAX - 1);
    key = member(7, BC_GROUP_MEMBERS_MAX - 1);
    assert_false(bed_has(&bed, &key));
    key = member(7, BC_GROUP_MEMBERS_MAX);
    assert_true(bed_has(&bed, &key));
    check_empties(&bed);
    bed_end(&bed);
}

static void groups_outlive_the_process(void **state)
{
    struct bed_options options = small_store(2);
    struct bed bed;

    (void)state;
    if (!conformance_persistent()) {
        skip();
    }
    bed_start(&bed, &options);
    put_group(&bed, 1, 300000);
    put_group(&bed, 2, 300000);
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(present(&bed, 1), MEMBERS);
    push_out(&bed, 0);
    bed_settle(&bed);
    assert_int_equal(present(&bed, 1), 0);
    assert_int_equal(present(&bed, 2), 0);
    check_empties(&bed);
    bed_end(&bed);
}

static void what_no_longer_fits_takes_its_group_along(void **state)
{
    struct bed_options options = small_store(2);
    uint32_t left = 0;
    struct bed bed;

    (void)state;
    if (!conformance_persistent()) {
        skip();
    }
    bed_start(&bed, &options);
    for (uint32_t group = 1; group <= 6; group++) {
        put_group(&bed, group, 500000);
    }
    bed_close(&bed);
    bed.options.capacity = CAPACITY / 3;
    bed_open(&bed);
    bed_settle(&bed);
    for (uint32_t group = 1; group <= 6; group++) {
        uint32_t count = present(&bed, group);

        assert_true(count == 0 || count == MEMBERS);
        left += count;
    }
    assert_in_range(left, MEMBERS, 5 * MEMBERS);
    bed_close(&bed);
    bed.options.capacity = CAPACITY / 6;
    bed_open(&bed); /* and ended before its loops turned */
    bed_end(&bed);
}

const struct CMUnitTest conformance_groups[] = {
    cmocka_unit_test(a_group_leaves_whole_on_every_worker),
    cmocka_unit_test(others_stay),
    cmocka_unit_test(a_replaced_member_belongs_to_its_new_group),
    cmocka_unit_test(a_pinned_member_goes_when_its_reader_is_done),
    cmocka_unit_test(a_put_under_way_goes_with_its_group),
    cmocka_unit_test(what_is_put_after_the_drop_starts_anew),
    cmocka_unit_test(a_bad_member_takes_its_group_along),
    cmocka_unit_test(members_beyond_the_most_are_on_their_own),
    cmocka_unit_test(groups_outlive_the_process),
    cmocka_unit_test(what_no_longer_fits_takes_its_group_along),
};
const size_t conformance_groups_count = BC_ARRAY_LEN(conformance_groups);
