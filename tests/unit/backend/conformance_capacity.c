/* SPDX-License-Identifier: Apache-2.0 */
/* conformance_capacity.c - capacity in real bytes, eviction order, waiting and being called. */
#include "conformance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

#define CAPACITY (8 * BED_MIB)

static struct bed_options small_store(void)
{
    struct bed_options options = conformance_options(1);

    options.capacity = CAPACITY;
    return options;
}

static struct bc_object_key numbered(char *text, size_t len, uint32_t number)
{
    (void)snprintf(text, len, "key/%u", number);
    return bed_key(text);
}

static void check_limit(struct bed *bed)
{
    uint32_t objects;
    uint32_t temporary;

    assert_true(bed_metric(bed, "used_bytes") <= bed_metric(bed, "capacity_bytes"));
    assert_true(bed_disk_bytes(bed, &objects, &temporary) <=
                (uint64_t)bed_metric(bed, "capacity_bytes"));
}

static void the_least_recently_used_goes_first(void **state)
{
    struct bed_options options = small_store();
    struct bc_object_key key;
    char text[32];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t i = 0; i < 7; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_put(&bed, &key, BED_MIB, i), 0);
    }
    assert_int_equal(bed_metric(&bed, "evictions_total"), 0);
    key = numbered(text, sizeof(text), 0);
    assert_int_equal(bed_get(&bed, &key, BED_MIB, 0), 0);
    for (uint32_t i = 7; i < 10; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_put(&bed, &key, BED_MIB, i), 0);
        check_limit(&bed);
    }
    for (uint32_t i = 0; i < 10; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_get(&bed, &key, BED_MIB, i), i >= 1 && i <= 3 ? -ENOENT : 0);
    }
    assert_int_equal(bed_metric(&bed, "evictions_total"), 3);
    bed_end(&bed);
}

static void pinned_objects_stay(void **state)
{
    struct bed_options options = small_store();
    struct bed_get pins[3];
    struct bc_object_key key;
    char text[32];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t i = 0; i < 3; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_put(&bed, &key, BED_MIB, i), 0);
        assert_int_equal(bed_get_open(&bed, &pins[i], &key), 0);
    }
    for (uint32_t i = 3; i < 30; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_put(&bed, &key, BED_MIB, i), 0);
        check_limit(&bed);
    }
    for (uint32_t i = 0; i < 3; i++) {
        key = numbered(text, sizeof(text), i);
        assert_true(bed_has(&bed, &key));
        assert_int_equal(bed_get_range(&bed, &pins[i], 0, BED_MIB, i), 0);
        bed_get_close(&pins[i]);
    }
    bed_end(&bed);
}

static void when_all_is_pinned_a_put_waits_and_is_called(void **state)
{
    struct bed_options options = small_store();
    struct bed_put put = {.size = 0};
    struct bed_get pins[7];
    struct bc_object_key key;
    char text[32];
    uint32_t calls;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t i = 0; i < 7; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_put(&bed, &key, BED_MIB, i), 0);
        assert_int_equal(bed_get_open(&bed, &pins[i], &key), 0);
    }
    key = numbered(text, sizeof(text), 7);
    assert_int_equal(bed_put_begin_once(&bed, &put, &key, BED_MIB, 7), -EAGAIN);
    bed_settle(&bed);
    assert_int_equal(bed_put_begin_once(&bed, &put, &key, BED_MIB, 7), -EAGAIN);
    calls = bed.workers[0].ready_calls;
    bed_get_close(&pins[4]);
    /* Called from the loop, not inside. */
    assert_int_equal(bed.workers[0].ready_calls, calls);
    bed_settle(&bed);
    assert_true(bed.workers[0].ready_calls > calls);
    assert_int_equal(bed_put_begin(&bed, &put, &key, BED_MIB, 7), 0);
    assert_int_equal(bed_put_rest(&bed, &put), 0);
    assert_int_equal(bed_put_commit(&bed, &put), 0);
    key = numbered(text, sizeof(text), 4);
    assert_false(bed_has(&bed, &key));
    for (uint32_t i = 0; i < 7; i++) {
        if (i != 4) {
            bed_get_close(&pins[i]);
        }
    }
    bed_end(&bed);
}

static void what_never_fits_is_refused_at_once(void **state)
{
    struct bed_options options = small_store();
    struct bc_object_key kept = bed_key("kept");
    struct bc_object_key key = bed_key("big");
    struct bed_put put = {.size = 0};
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &kept, BED_MIB, 1), 0);
    assert_int_equal(bed_put_begin_once(&bed, &put, &key, CAPACITY + 1, 2), -ENOSPC);
    assert_int_equal(bed_put_begin_once(&bed, &put, &key, CAPACITY, 2), -ENOSPC);
    assert_int_equal(bed_put_begin_once(&bed, &put, &key, BC_OBJECT_SIZE_MAX + 1, 2), -EFBIG);
    assert_int_equal(bed_get(&bed, &kept, BED_MIB, 1), 0);
    bed_end(&bed);
}

static void the_largest_object_of_caps_fits(void **state)
{
    struct bed_options options = small_store();
    struct bc_object_key key = bed_key("largest");
    struct bc_backend_caps caps;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    bed.workers[0].backend->ops->caps(bed.workers[0].backend, &caps);
    assert_true(caps.object_size_max > 7 * BED_MIB && caps.object_size_max <= CAPACITY);
    assert_true(caps.chunk_len_max >= BC_CRC_BLOCK_SIZE);
    assert_int_equal(caps.chunk_len_max % BC_CRC_BLOCK_SIZE, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(bed_put(&bed, &key, caps.object_size_max, i), 0);
        assert_int_equal(bed_get(&bed, &key, caps.object_size_max, i), 0);
        check_limit(&bed);
    }
    bed_end(&bed);
}

static void the_last_byte_of_capacity_can_be_used(void **state)
{
    struct bed_options options = small_store();
    struct bc_object_key key = bed_key("one");
    struct bc_object_key other = bed_key("two");
    int64_t cost;
    struct bed bed;

    (void)state;
    /* Measure what an object takes, then give room for exactly two. */
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 100000, 1), 0);
    cost = bed_metric(&bed, "used_bytes");
    bed_end(&bed);
    options.capacity = 2 * (uint64_t)cost;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 100000, 1), 0);
    assert_int_equal(bed_put(&bed, &other, 100000, 2), 0);
    assert_int_equal(bed_metric(&bed, "used_bytes"), 2 * cost);
    assert_int_equal(bed_metric(&bed, "evictions_total"), 0);
    assert_int_equal(bed_get(&bed, &key, 100000, 1), 0);
    assert_int_equal(bed_get(&bed, &other, 100000, 2), 0);
    bed_end(&bed);
    options.capacity = 2 * (uint64_t)cost - 4096;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 100000, 1), 0);
    assert_int_equal(bed_put(&bed, &other, 100000, 2), 0);
    assert_int_equal(bed_metric(&bed, "evictions_total"), 1);
    assert_false(bed_has(&bed, &key));
    bed_end(&bed);
}

static void capacity_is_exact_after_everything(void **state)
{
    struct bed_options options = small_store();
    struct bc_object_key key;
    char text[32];
    uint32_t objects;
    uint32_t temporary;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    srand(7);
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t number = (uint32_t)rand() % 40;
        uint64_t size = (uint64_t)rand() % (round % 10 == 0 ? 2 * BED_MIB : 200000);

        key = numbered(text, sizeof(text), number);
        switch (rand() % 8) {
        case 0:
            (void)bed_remove(&bed, &key);
            break;
        case 1: {
            struct bed_put put = {.size = 0};

            assert_int_equal(bed_put_begin(&bed, &put, &key, size, number), 0);
            if (put.size > 0) {
                assert_int_equal(bed_put_chunk(&bed, &put), 0);
            }
            bed_put_abort(&put);
            break;
        }
        default:
            assert_int_equal(bed_put(&bed, &key, size, number), 0);
            assert_int_equal(bed_get(&bed, &key, size, number), 0);
        }
        assert_true(bed_metric(&bed, "used_bytes") <= bed_metric(&bed, "capacity_bytes"));
    }
    bed_settle(&bed);
    if (conformance_persistent()) {
        assert_int_equal(bed_disk_bytes(&bed, &objects, &temporary),
                         bed_metric(&bed, "used_bytes"));
        assert_int_equal(objects, bed_metric(&bed, "objects"));
        assert_int_equal(temporary, 0);
    }
    for (uint32_t number = 0; number < 40; number++) {
        key = numbered(text, sizeof(text), number);
        (void)bed_remove(&bed, &key);
    }
    bed_settle(&bed);
    assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
    assert_int_equal(bed_metric(&bed, "objects"), 0);
    assert_int_equal(bed_leased(&bed), 0);
    bed_end(&bed);
}

static void too_many_handles_wait(void **state)
{
    struct bed_options options = small_store();
    struct bed_put puts[5];
    struct bc_object_key key;
    char text[32];
    struct bed bed;

    (void)state;
    options.handles_max = 4;
    bed_start(&bed, &options);
    memset(puts, 0, sizeof(puts));
    for (uint32_t i = 0; i < 4; i++) {
        key = numbered(text, sizeof(text), i);
        assert_int_equal(bed_put_begin_once(&bed, &puts[i], &key, 1000, i), 0);
    }
    key = numbered(text, sizeof(text), 4);
    assert_int_equal(bed_put_begin_once(&bed, &puts[4], &key, 1000, 4), -EAGAIN);
    bed_put_abort(&puts[2]);
    assert_int_equal(bed_put_begin(&bed, &puts[4], &key, 1000, 4), 0);
    for (uint32_t i = 0; i < 5; i++) {
        if (i != 2) {
            assert_int_equal(bed_put_rest(&bed, &puts[i]), 0);
            assert_int_equal(bed_put_commit(&bed, &puts[i]), 0);
        }
    }
    assert_int_equal(bed_metric(&bed, "objects"), 4);
    bed_end(&bed);
}

/* Together they need more than there is; none may wait for ever, and what is stored is right. */
static void many_puts_at_once_all_end(void **state)
{
    enum { PUTS = 24 };
    struct bed_options options = small_store();
    struct bed_put puts[PUTS];
    bool open[PUTS] = {false};
    bool over[PUTS] = {false};
    uint32_t done = 0;
    uint32_t rounds = 0;
    char texts[PUTS][32];
    struct bc_object_key keys[PUTS];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    bed.chunk_len = 4 * BC_CRC_BLOCK_SIZE;
    memset(puts, 0, sizeof(puts));
    while (done < PUTS) {
        for (uint32_t i = 0; i < PUTS; i++) {
            int rc;

            if (over[i]) {
                continue;
            }
            if (!open[i]) {
                keys[i] = numbered(texts[i], sizeof(texts[i]), i);
                rc = bed_put_begin_once(&bed, &puts[i], &keys[i], 600000 + i * 1000, i);
                assert_true(rc == 0 || rc == -EAGAIN);
                open[i] = rc == 0;
            } else if (puts[i].next < puts[i].size) {
                assert_int_equal(bed_put_chunk(&bed, &puts[i]), 0);
            } else {
                assert_int_equal(bed_put_commit(&bed, &puts[i]), 0);
                over[i] = true;
                done++;
            }
        }
        bed_turn(&bed);
        check_limit(&bed);
        assert_true(++rounds < 10000);
    }
    done = 0;
    for (uint32_t i = 0; i < PUTS; i++) {
        int rc = bed_get(&bed, &keys[i], 600000 + i * 1000, i);

        assert_true(rc == 0 || rc == -ENOENT);
        done += rc == 0;
    }
    assert_true(done >= 10);
    bed_end(&bed);
}

static void larger_than_the_pool_streams_through(void **state)
{
    struct bed_options options = conformance_options(1);
    struct bc_object_key key = bed_key("stream");
    struct bed bed;

    (void)state;
    if (!conformance_persistent()) {
        skip();
    }
    options.pool_len = 4 * BED_MIB;
    options.cache_len = 2 * BED_MIB;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 21 * BED_MIB + 3, 5), 0);
    assert_int_equal(bed_get(&bed, &key, 21 * BED_MIB + 3, 5), 0);
    bed_end(&bed);
}

const struct CMUnitTest conformance_capacity[] = {
    cmocka_unit_test(the_least_recently_used_goes_first),
    cmocka_unit_test(pinned_objects_stay),
    cmocka_unit_test(when_all_is_pinned_a_put_waits_and_is_called),
    cmocka_unit_test(what_never_fits_is_refused_at_once),
    cmocka_unit_test(the_largest_object_of_caps_fits),
    cmocka_unit_test(the_last_byte_of_capacity_can_be_used),
    cmocka_unit_test(capacity_is_exact_after_everything),
    cmocka_unit_test(too_many_handles_wait),
    cmocka_unit_test(many_puts_at_once_all_end),
    cmocka_unit_test(larger_than_the_pool_streams_through),
};
const size_t conformance_capacity_count = BC_ARRAY_LEN(conformance_capacity);
