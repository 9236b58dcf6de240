/* SPDX-License-Identifier: Apache-2.0 */
/* bed_ops.c - the asynchronous table, waited for. Thread: the test's. */
#include "bed.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"

struct waited_put {
    struct bc_put_op op;
    bool done;
    int result;
};

struct waited_open {
    struct bc_open_op op;
    bool done;
    int result;
};

struct waited_batch {
    struct bc_batch_op op;
    bool done;
    int result;
};

static void put_done(struct bc_put_op *op, int result)
{
    struct waited_put *waited = BC_CONTAINER_OF(op, struct waited_put, op);

    assert_false(waited->done);
    waited->done = true;
    waited->result = result;
}

static void open_done(struct bc_open_op *op, int result)
{
    struct waited_open *waited = BC_CONTAINER_OF(op, struct waited_open, op);

    assert_false(waited->done);
    waited->done = true;
    waited->result = result;
}

static void batch_done(struct bc_batch_op *op, int result)
{
    struct waited_batch *waited = BC_CONTAINER_OF(op, struct waited_batch, op);

    assert_false(waited->done);
    waited->done = true;
    waited->result = result;
}

struct bc_object_key bed_key_bytes(const void *bytes, uint32_t len)
{
    return (struct bc_object_key){
        .tenant = 0, .key_len = len, .key = bytes, .hash = bc_hash_key(0, bytes, len)};
}

struct bc_object_key bed_key(const char *text)
{
    return bed_key_bytes(text, (uint32_t)strlen(text));
}

struct bed_worker *bed_worker_of(struct bed *bed, const struct bc_object_key *key)
{
    return &bed->workers[bc_store_worker(key->hash, bed->options.workers)];
}

static uint64_t word_at(uint64_t seed, uint64_t index)
{
    uint64_t word = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) + index;

    word = (word ^ word >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    word = (word ^ word >> 27) * UINT64_C(0x94D049BB133111EB);
    return word ^ word >> 31;
}

void bed_fill(void *data, uint64_t offset, size_t len, uint64_t seed)
{
    uint8_t *bytes = data;

    assert_int_equal(offset % 8, 0);
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = word_at(seed, (offset + at) / 8);

        memcpy(bytes + at, &word, len - at < 8 ? len - at : 8);
    }
}

bool bed_check(const void *data, uint64_t offset, size_t len, uint64_t seed)
{
    const uint8_t *bytes = data;

    assert_int_equal(offset % 8, 0);
    for (size_t at = 0; at < len; at += 8) {
        uint64_t word = word_at(seed, (offset + at) / 8);

        if (memcmp(bytes + at, &word, len - at < 8 ? len - at : 8) != 0) {
            return false;
        }
    }
    return true;
}

/* Turns until `ready` was called again. */
static void wait_ready(struct bed *bed, struct bed_worker *worker, uint32_t seen)
{
    bool called = false;
    const struct bc_clock *clock = bc_clock_monotonic();
    uint64_t deadline = bc_clock_now_ns(clock) + 20 * BC_NS_PER_S;

    while (!called) {
        bed_turn(bed);
        called = worker->ready_calls != seen;
        if (!called && bc_clock_now_ns(clock) > deadline) {
            fail_msg("told to wait, and never called");
        }
    }
}

int bed_put_begin_once(struct bed *bed, struct bed_put *put, const struct bc_object_key *key,
                       uint64_t size, uint64_t seed)
{
    struct bc_put_hints hints = {.meta = put->meta, .group = bed->group};

    hints.group_time =
        bed->group_time == UINT64_MAX ? bc_group_time(&bed->group_clock) : bed->group_time;

    put->worker = bed_worker_of(bed, key);
    put->size = size;
    put->seed = seed;
    put->next = 0;
    return put->worker->backend->ops->put_begin(put->worker->backend, key, size, &hints, &put->put);
}

int bed_put_begin(struct bed *bed, struct bed_put *put, const struct bc_object_key *key,
                  uint64_t size, uint64_t seed)
{
    struct bed_worker *worker = bed_worker_of(bed, key);
    uint32_t seen = worker->ready_calls;
    int rc;

    while ((rc = bed_put_begin_once(bed, put, key, size, seed)) == -EAGAIN) {
        wait_ready(bed, worker, seen);
        seen = worker->ready_calls;
    }
    return rc;
}

int bed_put_chunk(struct bed *bed, struct bed_put *put)
{
    const struct bc_backend_ops *ops = put->worker->backend->ops;
    uint32_t want = (uint32_t)bc_min_u64(bed->chunk_len, put->size - put->next);
    struct waited_put waited = {.op = {.offset = put->next, .done = put_done}};
    uint32_t seen = put->worker->ready_calls;
    int rc;

    while ((rc = ops->put_lease(put->put, put->next, want, &waited.op.extent)) == -EAGAIN) {
        wait_ready(bed, put->worker, seen);
        seen = put->worker->ready_calls;
    }
    if (rc != 0) {
        return rc;
    }
    assert_in_range(waited.op.extent.len, 1, want);
    assert_true(waited.op.extent.len == want || waited.op.extent.len % BC_CRC_BLOCK_SIZE == 0);
    assert_int_equal((uintptr_t)waited.op.extent.data % 4096, 0);
    bed_fill(waited.op.extent.data, put->next, waited.op.extent.len, put->seed);
    put->next += waited.op.extent.len;
    ops->put_chunk(put->put, &waited.op);
    assert_false(waited.done);
    bed_wait(bed, &waited.done);
    return waited.result;
}

int bed_put_rest(struct bed *bed, struct bed_put *put)
{
    int rc = 0;

    while (rc == 0 && put->next < put->size) {
        rc = bed_put_chunk(bed, put);
    }
    return rc;
}

int bed_put_commit(struct bed *bed, struct bed_put *put)
{
    struct waited_batch waited = {.op = {.done = batch_done}};

    put->worker->backend->ops->put_commit(put->put, &waited.op);
    assert_false(waited.done);
    bed_wait(bed, &waited.done);
    return waited.result;
}

void bed_put_abort(struct bed_put *put)
{
    put->worker->backend->ops->put_abort(put->put);
}

int bed_put(struct bed *bed, const struct bc_object_key *key, uint64_t size, uint64_t seed)
{
    struct bed_put put = {.size = 0};
    int rc = bed_put_begin(bed, &put, key, size, seed);

    if (rc != 0) {
        return rc;
    }
    rc = bed_put_rest(bed, &put);
    if (rc != 0) {
        bed_put_abort(&put);
        return rc;
    }
    return bed_put_commit(bed, &put);
}

int bed_get_open(struct bed *bed, struct bed_get *get, const struct bc_object_key *key)
{
    struct waited_open waited = {.op = {.key = *key, .done = open_done}};

    get->worker = bed_worker_of(bed, key);
    get->worker->backend->ops->get_open(get->worker->backend, &waited.op);
    assert_false(waited.done);
    bed_wait(bed, &waited.done);
    if (waited.result == 0) {
        get->get = waited.op.get;
        get->size = waited.op.size;
        get->version = waited.op.version;
        memcpy(get->meta, waited.op.meta, sizeof(get->meta));
    }
    return waited.result;
}

struct chunk_wait {
    bool done;
    int result;
};

/* A get op is the caller's and has no room for a pointer to the waiter. */
static struct chunk_wait chunk_waits;

static void chunk_done(struct bc_get_op *op, int result)
{
    (void)op;
    assert_false(chunk_waits.done);
    chunk_waits.done = true;
    chunk_waits.result = result;
}

int bed_get_chunk(struct bed *bed, struct bed_get *get, struct bc_get_op *op, uint64_t offset,
                  uint32_t len)
{
    uint32_t seen = get->worker->ready_calls;
    int rc;

    op->offset = offset;
    op->len = len;
    op->data = NULL;
    op->done = chunk_done;
    chunk_waits = (struct chunk_wait){.done = false};
    while ((rc = get->worker->backend->ops->get_chunk(get->get, op)) == -EAGAIN) {
        wait_ready(bed, get->worker, seen);
        seen = get->worker->ready_calls;
    }
    if (rc != 0) {
        return rc;
    }
    assert_false(chunk_waits.done);
    bed_wait(bed, &chunk_waits.done);
    if (chunk_waits.result == 0) {
        assert_in_range(op->len, 1, len);
        assert_true(op->len == len || op->len % BC_CRC_BLOCK_SIZE == 0);
        assert_non_null(op->data);
    }
    return chunk_waits.result;
}

void bed_get_release(struct bed_get *get, struct bc_get_op *op)
{
    get->worker->backend->ops->get_release(get->get, op);
}

int bed_get_range(struct bed *bed, struct bed_get *get, uint64_t offset, uint64_t len,
                  uint64_t seed)
{
    uint64_t end = offset + len;

    while (offset < end) {
        struct bc_get_op op;
        uint32_t want = (uint32_t)bc_min_u64(bed->chunk_len, end - offset);
        int rc = bed_get_chunk(bed, get, &op, offset, want);
        bool same;

        if (rc != 0) {
            return rc;
        }
        same = bed_check(op.data, offset, op.len, seed);
        offset += op.len;
        bed_get_release(get, &op);
        if (!same) {
            return -EILSEQ;
        }
    }
    return 0;
}

void bed_get_close(struct bed_get *get)
{
    get->worker->backend->ops->get_close(get->get);
    get->get = NULL;
}

int bed_get(struct bed *bed, const struct bc_object_key *key, uint64_t size, uint64_t seed)
{
    struct bed_get get;
    int rc = bed_get_open(bed, &get, key);

    if (rc != 0) {
        return rc;
    }
    rc = get.size == size ? bed_get_range(bed, &get, 0, size, seed) : -EILSEQ;
    bed_get_close(&get);
    return rc;
}

int bed_query(struct bed *bed, const struct bc_object_key *key, struct bc_object_result *out)
{
    struct bed_worker *worker = bed_worker_of(bed, key);
    struct waited_batch waited = {
        .op = {.keys = key, .results = out, .count = 1, .done = batch_done}};

    worker->backend->ops->query(worker->backend, &waited.op);
    assert_false(waited.done);
    bed_wait(bed, &waited.done);
    assert_int_equal(waited.result, 0);
    return out->result;
}

bool bed_has(struct bed *bed, const struct bc_object_key *key)
{
    struct bc_object_result result;

    return bed_query(bed, key, &result) == 0;
}

int bed_remove(struct bed *bed, const struct bc_object_key *key)
{
    struct bed_worker *worker = bed_worker_of(bed, key);
    struct bc_object_result result;
    struct waited_batch waited = {
        .op = {.keys = key, .results = &result, .count = 1, .done = batch_done}};

    worker->backend->ops->remove(worker->backend, &waited.op);
    assert_false(waited.done);
    bed_wait(bed, &waited.done);
    assert_int_equal(waited.result, 0);
    return result.result;
}

int bed_flush(struct bed *bed, uint32_t worker)
{
    struct waited_batch waited = {.op = {.done = batch_done}};
    struct bc_backend *backend = bed->workers[worker].backend;

    backend->ops->flush(backend, &waited.op);
    assert_false(waited.done);
    bed_wait(bed, &waited.done);
    return waited.result;
}

static bool count_object(void *arg, const struct bc_object_key *key, uint64_t size,
                         uint64_t version)
{
    uint32_t *count = arg;

    (void)size;
    assert_true(version > 0);
    assert_true(bc_hash_equal(key->hash, bc_hash_key(key->tenant, key->key, key->key_len)));
    (*count)++;
    return true;
}

uint32_t bed_count(struct bed *bed, uint32_t step)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < bed->options.workers; i++) {
        struct bc_backend *backend = bed->workers[i].backend;
        uint64_t cursor = 0;
        uint32_t calls = 0;

        do {
            struct waited_batch waited = {.op = {.done = batch_done}};

            backend->ops->iterate(backend, &cursor, step, count_object, &count, &waited.op);
            bed_wait(bed, &waited.done);
            assert_int_equal(waited.result, 0);
            assert_true(++calls < 1000000);
        } while (cursor != 0);
    }
    return count;
}
