/* SPDX-License-Identifier: Apache-2.0 */
/* conformance_objects.c - what is put comes back: sizes, keys, ranges, batches, metadata,
 * restart. */
#include "conformance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"

static const uint64_t sizes[] = {
    0,     1,     8,           4095,    4096,        4097,           65535,
    65536, 65537, BED_MIB - 1, BED_MIB, BED_MIB + 1, 3 * BED_MIB + 1};

static struct bc_object_key numbered(char *text, size_t len, uint32_t number)
{
    (void)snprintf(text, len, "key/%u", number);
    return bed_key(text);
}

static void every_size(uint32_t workers)
{
    struct bed_options options = conformance_options(workers);
    char text[32];
    struct bed bed;

    bed_start(&bed, &options);
    for (uint32_t i = 0; i < BC_ARRAY_LEN(sizes); i++) {
        struct bc_object_key key = numbered(text, sizeof(text), i);
        struct bc_object_result result;

        assert_int_equal(bed_put(&bed, &key, sizes[i], i), 0);
        assert_int_equal(bed_get(&bed, &key, sizes[i], i), 0);
        assert_int_equal(bed_query(&bed, &key, &result), 0);
        assert_int_equal(result.size, sizes[i]);
        assert_true(result.version > 0);
    }
    /* Still so when all are there. */
    for (uint32_t i = 0; i < BC_ARRAY_LEN(sizes); i++) {
        struct bc_object_key key = numbered(text, sizeof(text), i);

        assert_int_equal(bed_get(&bed, &key, sizes[i], i), 0);
    }
    assert_int_equal(bed_metric(&bed, "objects"), BC_ARRAY_LEN(sizes));
    assert_int_equal(bed_count(&bed, 3), BC_ARRAY_LEN(sizes));
    bed_end(&bed);
}

static void every_size_comes_back(void **state)
{
    (void)state;
    every_size(1);
}

static void every_size_comes_back_with_two_workers(void **state)
{
    (void)state;
    every_size(2);
}

static void small_extents_do_as_well(void **state)
{
    struct bed_options options = conformance_options(1);
    struct bc_object_key key = bed_key("pieces");
    struct bed_get get;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    bed.chunk_len = BC_CRC_BLOCK_SIZE;
    assert_int_equal(bed_put(&bed, &key, 3 * BED_MIB + 5, 1), 0);
    assert_int_equal(bed_get(&bed, &key, 3 * BED_MIB + 5, 1), 0);
    bed.chunk_len = 8 * BED_MIB;
    assert_int_equal(bed_get(&bed, &key, 3 * BED_MIB + 5, 1), 0);
    /* Backwards, so that nothing rests on reading in order. */
    assert_int_equal(bed_get_open(&bed, &get, &key), 0);
    for (uint64_t block = 48; block > 0; block--) {
        assert_int_equal(
            bed_get_range(&bed, &get, (block - 1) * BC_CRC_BLOCK_SIZE, BC_CRC_BLOCK_SIZE, 1), 0);
    }
    bed_get_close(&get);
    bed_end(&bed);
}

static void any_range_can_be_read(void **state)
{
    static const struct {
        uint64_t offset;
        uint32_t len;
    } ranges[] = {{0, 1},           {0, 65536},   {65536, 1},          {65536, 65537},
                  {131072, 300000}, {0, 1000000}, {14 * 65536, 82496}, {15 * 65536, 16960}};
    struct bed_options options = conformance_options(1);
    struct bc_object_key key = bed_key("ranges");
    struct bed_get get;
    struct bc_get_op op;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 1000000, 9), 0);
    assert_int_equal(bed_get_open(&bed, &get, &key), 0);
    for (size_t i = 0; i < BC_ARRAY_LEN(ranges); i++) {
        assert_int_equal(bed_get_range(&bed, &get, ranges[i].offset, ranges[i].len, 9), 0);
    }
    assert_int_equal(bed_get_chunk(&bed, &get, &op, 0, 1000001), -ERANGE);
    assert_int_equal(bed_get_chunk(&bed, &get, &op, 16 * 65536, 1), -ERANGE);
    assert_int_equal(bed_get_chunk(&bed, &get, &op, 15 * 65536, 16961), -ERANGE);
    bed_get_close(&get);
    bed_end(&bed);
}

static void chunks_may_be_held_and_released_in_any_order(void **state)
{
    struct bed_options options = conformance_options(1);
    struct bc_object_key key = bed_key("held");
    struct bc_get_op ops[4];
    struct bed_get get;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 4 * BED_MIB, 2), 0);
    assert_int_equal(bed_get_open(&bed, &get, &key), 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(bed_get_chunk(&bed, &get, &ops[i], i * BED_MIB, BED_MIB), 0);
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(bed_check(ops[i].data, i * BED_MIB, ops[i].len, 2));
    }
    bed_get_release(&get, &ops[2]);
    bed_get_release(&get, &ops[0]);
    assert_true(bed_check(ops[1].data, BED_MIB, ops[1].len, 2));
    bed_get_release(&get, &ops[3]);
    bed_get_release(&get, &ops[1]);
    bed_get_close(&get);
    bed_end(&bed);
}

static void keys_are_bytes(void **state)
{
    static char longest[1024];
    static char longer_prefix[1024];
    struct bed_options options = conformance_options(2);
    struct bc_object_key keys[9];
    struct bed bed;

    (void)state;
    memset(longest, 'x', sizeof(longest));
    memset(longer_prefix, 'x', sizeof(longer_prefix));
    longer_prefix[1023] = 'y';
    keys[0] = bed_key("a");
    keys[1] = bed_key("a/b");
    keys[2] = bed_key("..");
    keys[3] = bed_key("../../etc/passwd");
    keys[4] = bed_key_bytes("\0", 1);
    keys[5] = bed_key_bytes("a\0b", 3);
    keys[6] = bed_key_bytes(longest, 1024);
    keys[7] = bed_key_bytes(longer_prefix, 1024);
    keys[8] = bed_key("\xff\xfe\n%s");
    bed_start(&bed, &options);
    for (uint32_t i = 0; i < BC_ARRAY_LEN(keys); i++) {
        assert_int_equal(bed_put(&bed, &keys[i], 100 + i, i), 0);
    }
    for (uint32_t i = 0; i < BC_ARRAY_LEN(keys); i++) {
        assert_int_equal(bed_get(&bed, &keys[i], 100 + i, i), 0);
    }
    assert_int_equal(bed_remove(&bed, &keys[0]), 0);
    assert_int_equal(bed_get(&bed, &keys[0], 100, 0), -ENOENT);
    assert_int_equal(bed_get(&bed, &keys[1], 101, 1), 0);
    assert_int_equal(bed_count(&bed, 100), BC_ARRAY_LEN(keys) - 1);
    bed_end(&bed);
}

static void tenants_do_not_see_each_other(void **state)
{
    struct bed_options options = conformance_options(1);
    struct bc_object_key mine = bed_key("same");
    struct bc_object_key theirs = mine;
    struct bed bed;

    (void)state;
    theirs.tenant = 7;
    theirs.hash = bc_hash_key(7, theirs.key, theirs.key_len);
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &mine, 4096, 1), 0);
    assert_false(bed_has(&bed, &theirs));
    assert_int_equal(bed_get(&bed, &theirs, 4096, 1), -ENOENT);
    assert_int_equal(bed_remove(&bed, &theirs), -ENOENT);
    assert_int_equal(bed_put(&bed, &theirs, 8192, 2), 0);
    assert_int_equal(bed_get(&bed, &mine, 4096, 1), 0);
    assert_int_equal(bed_get(&bed, &theirs, 8192, 2), 0);
    bed_end(&bed);
}

/* A key of the same hash is another key. Such a pair is not known; it is made up here. */
static void a_hash_is_not_a_key(void **state)
{
    struct bed_options options = conformance_options(1);
    struct bc_object_key key = bed_key("first");
    struct bc_object_key other = bed_key("other");
    struct bed bed;
    int rc;

    (void)state;
    other.hash = key.hash;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &key, 5000, 1), 0);
    rc = bed_get(&bed, &other, 5000, 1);
    assert_int_equal(rc, -ENOENT);
    assert_int_equal(bed_get(&bed, &key, 5000, 1), 0);
    bed_end(&bed);
}

static void metadata_comes_back(void **state)
{
    static const uint64_t meta_sizes[] = {0, 10, 2 * BED_MIB + 7};
    struct bed_options options = conformance_options(1);
    struct bc_object_key key = bed_key("meta");
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t round = 0; round < 2 * BC_ARRAY_LEN(meta_sizes); round++) {
        uint64_t size = meta_sizes[round / 2];
        struct bed_put put = {.size = 0};
        struct bed_get get;

        memset(put.meta, round % 2 == 0 ? (int)round + 1 : 0, sizeof(put.meta));
        assert_int_equal(bed_put_begin(&bed, &put, &key, size, round), 0);
        assert_int_equal(bed_put_rest(&bed, &put), 0);
        assert_int_equal(bed_put_commit(&bed, &put), 0);
        assert_int_equal(bed_get_open(&bed, &get, &key), 0);
        assert_int_equal(get.size, size);
        assert_memory_equal(get.meta, put.meta, sizeof(put.meta));
        assert_int_equal(bed_get_range(&bed, &get, 0, size, round), 0);
        bed_get_close(&get);
    }
    bed_end(&bed);
}

static void misses_are_misses(void **state)
{
    struct bed_options options = conformance_options(1);
    struct bc_object_key key = bed_key("nothing");
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_get(&bed, &key, 0, 0), -ENOENT);
    assert_false(bed_has(&bed, &key));
    assert_int_equal(bed_remove(&bed, &key), -ENOENT);
    assert_int_equal(bed_count(&bed, 10), 0);
    assert_int_equal(bed_metric(&bed, "misses_total"), 1);
    assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
    bed_end(&bed);
}

static void counters_count(void **state)
{
    struct bed_options options = conformance_options(2);
    struct bc_object_key one = bed_key("one");
    struct bc_object_key two = bed_key("two");
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, &one, 100000, 1), 0);
    assert_int_equal(bed_put(&bed, &two, 50000, 2), 0);
    assert_int_equal(bed_get(&bed, &one, 100000, 1), 0);
    assert_int_equal(bed_get(&bed, &two, 50000, 2), 0);
    assert_int_equal(bed_get(&bed, &two, 50000, 2), 0);
    assert_int_equal(bed_metric(&bed, "objects"), 2);
    assert_int_equal(bed_metric(&bed, "hits_total"), 3);
    assert_int_equal(bed_metric(&bed, "put_bytes_total"), 150000);
    assert_int_equal(bed_metric(&bed, "get_bytes_total"), 200000);
    assert_true(bed_metric(&bed, "used_bytes") > 150000);
    assert_true(bed_metric(&bed, "capacity_bytes") > 0);
    assert_int_equal(bed_flush(&bed, 0), 0);
    assert_int_equal(bed_flush(&bed, 1), 0);
    bed_end(&bed);
}

struct batch {
    struct bc_batch_op op;
    bool done;
};

static void batch_done(struct bc_batch_op *op, int result)
{
    assert_int_equal(result, 0);
    BC_CONTAINER_OF(op, struct batch, op)->done = true;
}

static void batches_answer_for_every_key(void **state)
{
    enum { COUNT = 700 };
    static char texts[COUNT][32];
    static struct bc_object_key keys[COUNT];
    static struct bc_object_result results[COUNT];
    struct bed_options options = conformance_options(1);
    struct batch query = {
        .op = {.keys = keys, .results = results, .count = COUNT, .done = batch_done}};
    struct batch empty = {.op = {.count = 0, .done = batch_done}};
    struct batch again = query;
    struct bc_backend *backend;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    backend = bed.workers[0].backend;
    for (uint32_t i = 0; i < COUNT; i++) {
        keys[i] = numbered(texts[i], sizeof(texts[i]), i);
        if (i % 3 != 0) {
            assert_int_equal(bed_put(&bed, &keys[i], i, i), 0);
        }
    }
    backend->ops->query(backend, &query.op);
    bed_wait(&bed, &query.done);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(results[i].result, i % 3 == 0 ? -ENOENT : 0);
        assert_int_equal(results[i].size, i % 3 == 0 ? 0 : i);
    }
    memset(results, 0xff, sizeof(results));
    again.done = false;
    backend->ops->remove(backend, &again.op);
    backend->ops->remove(backend, &empty.op);
    bed_wait(&bed, &again.done);
    bed_wait(&bed, &empty.done);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(results[i].result, i % 3 == 0 ? -ENOENT : 0);
        assert_int_equal(results[i].size, i % 3 == 0 ? 0 : i);
    }
    bed_settle(&bed);
    assert_int_equal(bed_count(&bed, 50), 0);
    assert_int_equal(bed_metric(&bed, "objects"), 0);
    assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
    bed_end(&bed);
}

struct walk {
    struct bed *bed;
    uint8_t seen[400];
    uint32_t shown;
    uint32_t stop_after;
};

static bool walk_visit(void *arg, const struct bc_object_key *key, uint64_t size, uint64_t version)
{
    struct walk *walk = arg;

    (void)key;
    assert_true(version > 0);
    assert_in_range(size, 0, sizeof(walk->seen) - 1);
    walk->seen[size] = 1;
    return ++walk->shown != walk->stop_after;
}

static void iterate_shows_what_stays_while_others_come(void **state)
{
    struct bed_options options = conformance_options(1);
    struct walk walk = {.shown = 0};
    struct bc_backend *backend;
    uint64_t cursor = 0;
    uint32_t next = 100;
    char text[32];
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    backend = bed.workers[0].backend;
    for (uint32_t i = 0; i < 100; i++) {
        struct bc_object_key key = numbered(text, sizeof(text), i);

        assert_int_equal(bed_put(&bed, &key, i, i), 0);
    }
    do {
        struct batch batch = {.op = {.done = batch_done}};

        backend->ops->iterate(backend, &cursor, 7, walk_visit, &walk, &batch.op);
        bed_wait(&bed, &batch.done);
        if (next < 400) {
            struct bc_object_key key = numbered(text, sizeof(text), next);

            assert_int_equal(bed_put(&bed, &key, next, next), 0);
            next++;
        }
    } while (cursor != 0);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(walk.seen[i], 1);
    }
    walk = (struct walk){.stop_after = 5};
    do {
        struct batch batch = {.op = {.done = batch_done}};

        backend->ops->iterate(backend, &cursor, 100000, walk_visit, &walk, &batch.op);
        bed_wait(&bed, &batch.done);
    } while (walk.shown == 0);
    assert_int_equal(walk.shown, 5);
    bed_end(&bed);
}

static void a_restart_keeps_what_was_committed(void **state)
{
    struct bed_options options = conformance_options(2);
    struct bc_object_result before[BC_ARRAY_LEN(sizes)];
    struct bc_object_result after;
    struct bc_object_key late = bed_key("late");
    struct bed_put unfinished = {.size = 0};
    char text[32];
    int64_t used;
    struct bed bed;

    (void)state;
    if (!conformance_persistent()) {
        skip();
    }
    bed_start(&bed, &options);
    for (uint32_t i = 0; i < BC_ARRAY_LEN(sizes); i++) {
        struct bc_object_key key = numbered(text, sizeof(text), i);

        assert_int_equal(bed_put(&bed, &key, sizes[i], i), 0);
        assert_int_equal(bed_query(&bed, &key, &before[i]), 0);
    }
    assert_int_equal(bed_put_begin(&bed, &unfinished, &late, 100000, 1), 0);
    assert_int_equal(bed_put_rest(&bed, &unfinished), 0);
    bed_put_abort(&unfinished);
    bed_settle(&bed);
    used = bed_metric(&bed, "used_bytes");
    bed_close(&bed);
    bed_open(&bed);
    assert_int_equal(bed_metric(&bed, "used_bytes"), used);
    assert_int_equal(bed_metric(&bed, "objects"), BC_ARRAY_LEN(sizes));
    for (uint32_t i = 0; i < BC_ARRAY_LEN(sizes); i++) {
        struct bc_object_key key = numbered(text, sizeof(text), i);

        assert_int_equal(bed_query(&bed, &key, &after), 0);
        assert_int_equal(after.size, before[i].size);
        assert_int_equal(after.version, before[i].version);
        assert_int_equal(bed_get(&bed, &key, sizes[i], i), 0);
        /* Versions go on where they were. */
        assert_int_equal(bed_put(&bed, &key, sizes[i], i + 100), 0);
        assert_int_equal(bed_query(&bed, &key, &after), 0);
        assert_true(after.version > before[i].version);
    }
    assert_false(bed_has(&bed, &late));
    bed_end(&bed);
}

const struct CMUnitTest conformance_objects[] = {
    cmocka_unit_test(every_size_comes_back),
    cmocka_unit_test(every_size_comes_back_with_two_workers),
    cmocka_unit_test(small_extents_do_as_well),
    cmocka_unit_test(any_range_can_be_read),
    cmocka_unit_test(chunks_may_be_held_and_released_in_any_order),
    cmocka_unit_test(keys_are_bytes),
    cmocka_unit_test(tenants_do_not_see_each_other),
    cmocka_unit_test(a_hash_is_not_a_key),
    cmocka_unit_test(metadata_comes_back),
    cmocka_unit_test(misses_are_misses),
    cmocka_unit_test(counters_count),
    cmocka_unit_test(batches_answer_for_every_key),
    cmocka_unit_test(iterate_shows_what_stays_while_others_come),
    cmocka_unit_test(a_restart_keeps_what_was_committed),
};
const size_t conformance_objects_count = BC_ARRAY_LEN(conformance_objects);
