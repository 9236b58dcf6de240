/* SPDX-License-Identifier: Apache-2.0 */
/* conformance_versions.c - whole or absent: overwrites, removes, aborts, pins, corruption. */
#include "conformance.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/log.h"

static const struct bc_object_key *key_of(const char *text)
{
    static struct bc_object_key key;

    key = bed_key(text);
    return &key;
}

static void nothing_is_seen_before_commit(void **state)
{
    struct bed_options options = conformance_options(1);
    const struct bc_object_key *key = key_of("k");
    struct bed_put put = {.size = 0};
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put_begin(&bed, &put, key, 2 * BED_MIB, 1), 0);
    assert_false(bed_has(&bed, key));
    assert_int_equal(bed_put_rest(&bed, &put), 0);
    assert_false(bed_has(&bed, key));
    assert_int_equal(bed_get(&bed, key, 2 * BED_MIB, 1), -ENOENT);
    assert_int_equal(bed_count(&bed, 10), 0);
    assert_int_equal(bed_put_commit(&bed, &put), 0);
    assert_int_equal(bed_get(&bed, key, 2 * BED_MIB, 1), 0);
    bed_end(&bed);
}

static void an_overwrite_replaces_at_commit(void **state)
{
    struct bed_options options = conformance_options(1);
    const struct bc_object_key *key = key_of("k");
    struct bed_put put = {.size = 0};
    struct bc_object_result first;
    struct bc_object_result second;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, key, 100000, 1), 0);
    assert_int_equal(bed_query(&bed, key, &first), 0);
    assert_int_equal(bed_put_begin(&bed, &put, key, 300000, 2), 0);
    assert_int_equal(bed_put_rest(&bed, &put), 0);
    assert_int_equal(bed_get(&bed, key, 100000, 1), 0);
    assert_int_equal(bed_put_commit(&bed, &put), 0);
    assert_int_equal(bed_get(&bed, key, 300000, 2), 0);
    assert_int_equal(bed_query(&bed, key, &second), 0);
    assert_true(second.version > first.version);
    assert_int_equal(bed_metric(&bed, "objects"), 1);
    bed_settle(&bed);
    if (conformance_persistent()) {
        bed_close(&bed);
        bed_open(&bed);
        assert_int_equal(bed_get(&bed, key, 300000, 2), 0);
    }
    bed_end(&bed);
}

static void an_open_get_keeps_its_version(void **state)
{
    static const uint64_t sizes[] = {60000, 3 * BED_MIB};
    struct bed_options options = conformance_options(1);

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(sizes); i++) {
        const struct bc_object_key *key = key_of("k");
        struct bed_get old;
        struct bed_get gone;
        struct bed bed;

        bed_start(&bed, &options);
        assert_int_equal(bed_put(&bed, key, sizes[i], 1), 0);
        assert_int_equal(bed_get_open(&bed, &old, key), 0);
        assert_int_equal(bed_put(&bed, key, 5000, 2), 0);
        assert_int_equal(bed_get_open(&bed, &gone, key), 0);
        assert_int_equal(bed_get(&bed, key, 5000, 2), 0);
        assert_int_equal(bed_get_range(&bed, &old, 0, sizes[i], 1), 0);
        assert_int_equal(bed_remove(&bed, key), 0);
        assert_int_equal(bed_get(&bed, key, 5000, 2), -ENOENT);
        assert_int_equal(bed_get_range(&bed, &gone, 0, 5000, 2), 0);
        assert_int_equal(bed_get_range(&bed, &old, 0, sizes[i], 1), 0);
        bed_settle(&bed);
        assert_true(bed_metric(&bed, "used_bytes") > (int64_t)sizes[i] + 5000);
        bed_get_close(&old);
        bed_settle(&bed);
        assert_true(bed_metric(&bed, "used_bytes") < (int64_t)sizes[i] + 5000);
        bed_get_close(&gone);
        bed_settle(&bed);
        assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
        assert_int_equal(bed_leased(&bed), 0);
        bed_end(&bed);
    }
}

static void an_abort_leaves_nothing(void **state)
{
    struct bed_options options = conformance_options(1);
    const struct bc_object_key *key = key_of("k");
    uint32_t objects;
    uint32_t temporary;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    assert_int_equal(bed_put(&bed, key, 5000, 1), 0);
    for (uint32_t step = 0; step < 4; step++) {
        struct bed_put put = {.size = 0};
        int64_t used = bed_metric(&bed, "used_bytes");
        uint64_t leased = bed_leased(&bed);

        assert_int_equal(bed_put_begin(&bed, &put, key, 2 * BED_MIB + 5, 2), 0);
        for (uint32_t i = 0; i < step; i++) {
            assert_int_equal(bed_put_chunk(&bed, &put), 0);
        }
        bed_put_abort(&put);
        bed_settle(&bed);
        assert_int_equal(bed_metric(&bed, "used_bytes"), used);
        assert_int_equal(bed_leased(&bed), leased);
        (void)bed_disk_bytes(&bed, &objects, &temporary);
        assert_int_equal(temporary, 0);
        assert_int_equal(bed_get(&bed, key, 5000, 1), 0);
    }
    bed_end(&bed);
}

static void a_lease_can_be_given_back(void **state)
{
    struct bed_options options = conformance_options(1);
    const struct bc_object_key *key = key_of("k");
    struct bed_put put = {.size = 0};
    struct bc_extent extents[3];
    uint64_t leased;
    int64_t used;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    used = bed_metric(&bed, "used_bytes");
    leased = bed_leased(&bed);
    assert_int_equal(bed_put_begin(&bed, &put, key, 3 * BED_MIB, 1), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(
            put.worker->backend->ops->put_lease(put.put, i * BED_MIB, BED_MIB, &extents[i]), 0);
        assert_int_equal(extents[i].len, BED_MIB);
    }
    put.worker->backend->ops->put_unlease(put.put, &extents[1]);
    put.worker->backend->ops->put_unlease(put.put, &extents[0]);
    put.worker->backend->ops->put_unlease(put.put, &extents[2]);
    assert_int_equal(bed_put_rest(&bed, &put), 0);
    assert_int_equal(bed_put_commit(&bed, &put), 0);
    assert_int_equal(bed_get(&bed, key, 3 * BED_MIB, 1), 0);
    assert_int_equal(bed_remove(&bed, key), 0);
    bed_settle(&bed);
    assert_int_equal(bed_metric(&bed, "used_bytes"), used);
    assert_int_equal(bed_leased(&bed), leased);
    bed_end(&bed);
}

static void a_remove_beats_an_open_put(void **state)
{
    struct bed_options options = conformance_options(1);
    const struct bc_object_key *key = key_of("k");
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t round = 0; round < 4; round++) {
        bool existed = round % 2 == 1;
        uint64_t size = round < 2 ? 10000 : 2 * BED_MIB;
        struct bed_put put = {.size = 0};

        if (existed) {
            assert_int_equal(bed_put(&bed, key, 5000, 1), 0);
        }
        assert_int_equal(bed_put_begin(&bed, &put, key, size, 2), 0);
        assert_int_equal(bed_put_rest(&bed, &put), 0);
        assert_int_equal(bed_remove(&bed, key), existed ? 0 : -ENOENT);
        assert_int_equal(bed_put_commit(&bed, &put), -ECANCELED);
        assert_false(bed_has(&bed, key));
        bed_settle(&bed);
        assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
        /* A put that begins after the remove is not meant. */
        assert_int_equal(bed_put(&bed, key, size, 3), 0);
        assert_int_equal(bed_get(&bed, key, size, 3), 0);
        assert_int_equal(bed_remove(&bed, key), 0);
    }
    bed_end(&bed);
}

struct ended {
    struct bc_batch_op op;
    struct bc_object_result result;
    bool done;
    int status;
};

static void op_ended(struct bc_batch_op *op, int result)
{
    struct ended *ended = BC_CONTAINER_OF(op, struct ended, op);

    assert_false(ended->done);
    ended->done = true;
    ended->status = result;
}

/* The remove comes while the commit is under way: either order may win, but both calls agree on
 * it. */
static void remove_and_commit_at_once_agree(void **state)
{
    struct bed_options options = conformance_options(1);
    const struct bc_object_key *key = key_of("k");
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t turns = 0; turns < 6; turns++) {
        struct bed_put put = {.size = 0};
        struct ended commit = {.op = {.done = op_ended}};
        struct ended removal = {.op = {.keys = key, .count = 1, .done = op_ended}};

        removal.op.results = &removal.result;
        assert_int_equal(bed_put_begin(&bed, &put, key, 100000, 2), 0);
        assert_int_equal(bed_put_rest(&bed, &put), 0);
        put.worker->backend->ops->put_commit(put.put, &commit.op);
        for (uint32_t i = 0; i < turns; i++) {
            bed_turn(&bed);
        }
        put.worker->backend->ops->remove(put.worker->backend, &removal.op);
        bed_wait(&bed, &commit.done);
        bed_wait(&bed, &removal.done);
        if (commit.status == 0) {
            assert_int_equal(removal.result.result, 0);
        } else {
            assert_int_equal(commit.status, -ECANCELED);
            assert_int_equal(removal.result.result, -ENOENT);
        }
        assert_false(bed_has(&bed, key));
        bed_settle(&bed);
        assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
    }
    bed_end(&bed);
}

static void the_last_commit_wins(void **state)
{
    enum { PUTS = 6 };
    struct bed_options options = conformance_options(1);
    const struct bc_object_key *key = key_of("k");
    struct bed_put puts[PUTS];
    struct ended commits[PUTS];
    uint64_t last_version = 0;
    struct bed bed;

    (void)state;
    bed_start(&bed, &options);
    for (uint32_t round = 0; round < 3; round++) {
        struct bc_object_result result;

        memset(puts, 0, sizeof(puts));
        memset(commits, 0, sizeof(commits));
        for (uint32_t i = 0; i < PUTS; i++) {
            assert_int_equal(bed_put_begin(&bed, &puts[i], key, 5000 + i, i), 0);
        }
        for (uint32_t i = PUTS; i > 0; i--) {
            assert_int_equal(bed_put_rest(&bed, &puts[i - 1]), 0);
        }
        for (uint32_t i = 0; i < PUTS; i++) {
            uint32_t turn = (i * 5 + round) % PUTS;

            commits[i].op.done = op_ended;
            puts[turn].worker->backend->ops->put_commit(puts[turn].put, &commits[i].op);
        }
        for (uint32_t i = 0; i < PUTS; i++) {
            bed_wait(&bed, &commits[i].done);
            assert_int_equal(commits[i].status, 0);
        }
        assert_int_equal(bed_get(&bed, key, 5000 + ((PUTS - 1) * 5 + round) % PUTS,
                                 ((PUTS - 1) * 5 + round) % PUTS),
                         0);
        assert_int_equal(bed_query(&bed, key, &result), 0);
        assert_true(result.version > last_version);
        last_version = result.version;
    }
    bed_settle(&bed);
    assert_int_equal(bed_metric(&bed, "objects"), 1);
    bed_end(&bed);
}

static void quiet(void *arg, enum bc_log_level level, const char *line)
{
    (void)line;
    if (level == BC_LOG_ERROR) {
        (*(uint32_t *)arg)++;
    }
}

/* Lent memory is changed: of `dram` that is the object itself. */
static void changed_bytes_are_never_shown(void **state)
{
    static const uint64_t flips[] = {0, 65535, 65536, 1500000, 2 * BED_MIB - 1};
    struct bed_options options = conformance_options(1);
    const struct bc_object_key *key = key_of("k");
    uint32_t errors = 0;
    struct bed bed;

    (void)state;
    if (conformance_persistent()) {
        skip(); /* what is on disk is changed by a test of its own */
    }
    bed_start(&bed, &options);
    bc_log_set_sink(quiet, &errors);
    for (size_t i = 0; i < BC_ARRAY_LEN(flips); i++) {
        uint64_t block = flips[i] / BC_CRC_BLOCK_SIZE * BC_CRC_BLOCK_SIZE;
        struct bed_get get;
        struct bed_get second;
        struct bc_get_op op;

        assert_int_equal(bed_put(&bed, key, 2 * BED_MIB, 1), 0);
        assert_int_equal(bed_get_open(&bed, &get, key), 0);
        assert_int_equal(bed_get_open(&bed, &second, key), 0);
        assert_int_equal(bed_get_chunk(&bed, &get, &op, block, BC_CRC_BLOCK_SIZE), 0);
        ((uint8_t *)(uintptr_t)op.data)[flips[i] - block] ^= 1;
        bed_get_release(&get, &op);
        assert_int_equal(bed_get_chunk(&bed, &get, &op, block, BC_CRC_BLOCK_SIZE), -EBADMSG);
        assert_int_equal(bed_get_chunk(&bed, &second, &op, block, 1), -EBADMSG);
        assert_int_equal(bed_get(&bed, key, 2 * BED_MIB, 1), -ENOENT);
        bed_get_close(&get);
        bed_get_close(&second);
        assert_int_equal(bed_metric(&bed, "checksum_errors_total"), i + 1);
        assert_int_equal(errors, i + 1);
        assert_int_equal(bed_metric(&bed, "used_bytes"), 0);
    }
    bc_log_set_sink(NULL, NULL);
    bed_end(&bed);
}

const struct CMUnitTest conformance_versions[] = {
    cmocka_unit_test(nothing_is_seen_before_commit),
    cmocka_unit_test(an_overwrite_replaces_at_commit),
    cmocka_unit_test(an_open_get_keeps_its_version),
    cmocka_unit_test(an_abort_leaves_nothing),
    cmocka_unit_test(a_lease_can_be_given_back),
    cmocka_unit_test(a_remove_beats_an_open_put),
    cmocka_unit_test(remove_and_commit_at_once_agree),
    cmocka_unit_test(the_last_commit_wins),
    cmocka_unit_test(changed_bytes_are_never_shown),
};
const size_t conformance_versions_count = BC_ARRAY_LEN(conformance_versions);
