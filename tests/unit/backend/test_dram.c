/* SPDX-License-Identifier: Apache-2.0 */
/* test_dram.c - what only `dram` has to care about: holes between extents, and puts that wait for
 * one another's memory. */
#include "bed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/log.h"

#define SMALL 400

static struct bed_options dram_options(void)
{
    return (struct bed_options){.backend = "dram", .handles_max = 2 * SMALL};
}

static struct bc_object_key numbered(char *text, size_t len, uint32_t number)
{
    (void)snprintf(text, len, "small/%u", number);
    return bed_key(text);
}

/* Fills the arena with objects of `size` bytes and opens every `step`-th. */
static uint32_t fill_and_pin(struct bed *bed, uint64_t size, uint32_t step, struct bed_get *pins)
{
    char text[32];
    uint32_t count = 0;
    uint32_t pinned = 0;

    while (bed_metric(bed, "evictions_total") == 0 && count < SMALL) {
        struct bc_object_key key = numbered(text, sizeof(text), count);

        assert_int_equal(bed_put(bed, &key, size, count), 0);
        if (count % step == 0) {
            assert_int_equal(bed_get_open(bed, &pins[pinned++], &key), 0);
        }
        count++;
    }
    return pinned;
}

static void close_all(struct bed_get *pins, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bed_get_close(&pins[i]);
    }
}

static void smaller_extents_are_taken_when_holes_are_small(void **state)
{
    static struct bed_get pins[SMALL];
    struct bed_options options = dram_options();
    struct bc_object_key key = bed_key("large");
    struct bed_put put = {.size = 0};
    uint32_t chunks = 0;
    uint32_t pinned;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    pinned = fill_and_pin(&bed, 60000, 4, pins);
    assert_true(pinned > 20);
    assert_int_equal(bed_put_begin(&bed, &put, &key, 4 * BED_MIB, 7), 0);
    while (put.next < put.size) {
        assert_int_equal(bed_put_chunk(&bed, &put), 0);
        chunks++;
    }
    assert_true(chunks > 4);
    assert_int_equal(bed_put_commit(&bed, &put), 0);
    assert_int_equal(bed_get(&bed, &key, 4 * BED_MIB, 7), 0);
    for (uint32_t i = 0; i < pinned; i++) {
        assert_int_equal(bed_get_range(&bed, &pins[i], 0, 60000, 4 * (uint64_t)i), 0);
    }
    close_all(pins, pinned);
    bed_end(&bed);
}

static void a_hole_too_small_is_waited_for(void **state)
{
    static struct bed_get pins[SMALL];
    struct bed_options options = dram_options();
    struct bc_object_key key = bed_key("large");
    struct bed_put put = {.size = 0};
    struct bc_extent extent;
    uint32_t pinned;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    pinned = fill_and_pin(&bed, 30000, 2, pins);
    assert_true(pinned > 100);
    /* There are bytes enough, but not in one piece. */
    assert_int_equal(bed_put_begin(&bed, &put, &key, 2 * BED_MIB, 7), 0);
    assert_int_equal(put.worker->backend->ops->put_lease(put.put, 0, BED_MIB, &extent), -EAGAIN);
    assert_int_equal(bed_metric(&bed, "objects"), pinned);
    close_all(pins, pinned);
    assert_int_equal(bed_put_rest(&bed, &put), 0);
    assert_int_equal(bed_put_commit(&bed, &put), 0);
    assert_int_equal(bed_get(&bed, &key, 2 * BED_MIB, 7), 0);
    bed_end(&bed);
}

/* Smaller chunks than they reserved for: two puts that together need more than there is must not
 * wait for each other for ever. */
static void of_puts_that_wait_for_each_other_one_is_refused(void **state)
{
    struct bed_options options = dram_options();
    struct bc_object_key keys[3] = {bed_key("one"), bed_key("two"), bed_key("three")};
    struct bed_put puts[2] = {{.size = 0}, {.size = 0}};
    uint32_t refused = 2;
    struct bed bed;

    (void)state;
    options.capacity = 2 * bc_staging_cost(BED_MIB);
    bed_start(&bed, &options);
    bed.chunk_len = BC_CRC_BLOCK_SIZE;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(bed_put_begin_once(&bed, &puts[i], &keys[i], BED_MIB, i), 0);
    }
    for (uint32_t turn = 0; refused == 2; turn = 1 - turn) {
        int rc = bed_put_chunk(&bed, &puts[turn]);

        assert_true(rc == 0 || rc == -ENOSPC);
        refused = rc == 0 ? 2 : turn;
        assert_true(puts[turn].next <= puts[turn].size);
    }
    bed_put_abort(&puts[refused]);
    assert_int_equal(bed_put_rest(&bed, &puts[1 - refused]), 0);
    assert_int_equal(bed_put_commit(&bed, &puts[1 - refused]), 0);
    assert_int_equal(bed_get(&bed, &keys[1 - refused], BED_MIB, 1 - refused), 0);
    /* It has learned: the next one reserves what it takes. */
    assert_int_equal(bed_put(&bed, &keys[2], BED_MIB, 2), 0);
    assert_int_equal(bed_put_begin_once(&bed, &puts[0], &keys[0], BED_MIB, 0), 0);
    assert_int_equal(bed_put_begin_once(&bed, &puts[1], &keys[1], BED_MIB, 1), -EAGAIN);
    bed_put_abort(&puts[0]);
    bed_end(&bed);
}

static void chunks_may_come_in_any_order(void **state)
{
    static const uint32_t order[] = {3, 0, 5, 1, 4, 2};
    struct bed_options options = dram_options();
    struct bc_object_key key = bed_key("k");
    struct bed_put put = {.size = 0};
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    bed.chunk_len = 2 * BC_CRC_BLOCK_SIZE;
    assert_int_equal(bed_put_begin(&bed, &put, &key, 6 * bed.chunk_len, 3), 0);
    for (uint32_t i = 0; i < BC_ARRAY_LEN(order); i++) {
        put.next = (uint64_t)order[i] * bed.chunk_len;
        assert_int_equal(bed_put_chunk(&bed, &put), 0);
    }
    assert_int_equal(bed_put_commit(&bed, &put), 0);
    assert_int_equal(bed_get(&bed, &key, 6 * bed.chunk_len, 3), 0);
    bed_end(&bed);
}

/* More extents than the directory has entries. */
static void any_offset_of_many_extents_is_found(void **state)
{
    struct bed_options options = dram_options();
    struct bc_object_key key = bed_key("k");
    const uint64_t size = 300 * (uint64_t)BC_CRC_BLOCK_SIZE + 77;
    struct bed_get get;
    struct bed bed;

    (void)state;
    options.pool_len = 32 * BED_MIB;
    options.cache_len = 28 * BED_MIB;
    bed_start(&bed, &options);
    bed.chunk_len = BC_CRC_BLOCK_SIZE;
    assert_int_equal(bed_put(&bed, &key, size, 3), 0);
    assert_int_equal(bed_get(&bed, &key, size, 3), 0);
    for (uint32_t i = 0; i < 301; i++) {
        uint64_t offset = (uint64_t)((i * 37) % 301) * BC_CRC_BLOCK_SIZE;
        uint64_t len = bc_min_u64(3 * BC_CRC_BLOCK_SIZE, size - offset);

        assert_int_equal(bed_get_open(&bed, &get, &key), 0);
        assert_int_equal(bed_get_range(&bed, &get, offset, len, 3), 0);
        bed_get_close(&get);
    }
    bed_end(&bed);
}

static void too_little_memory_is_told(void **state)
{
    struct bed_options options = dram_options();
    struct bc_options_error error = {.text = ""};
    struct bed bed;

    (void)state;
    options.cache_len = 4096;
    bed_make(&bed, &options);
    assert_int_equal(bed_try_open(&bed, &error), -EINVAL);
    assert_non_null(strstr(error.text, "-m"));
    bed_destroy(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smaller_extents_are_taken_when_holes_are_small),
        cmocka_unit_test(a_hole_too_small_is_waited_for),
        cmocka_unit_test(of_puts_that_wait_for_each_other_one_is_refused),
        cmocka_unit_test(chunks_may_come_in_any_order),
        cmocka_unit_test(any_offset_of_many_extents_is_found),
        cmocka_unit_test(too_little_memory_is_told),
    };

    bc_log_set_level(BC_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
