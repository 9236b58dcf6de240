/* SPDX-License-Identifier: Apache-2.0 */
/* The store's twin, over dram. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "testlib/faulty_backend.h"
#include "testlib/quiet_log.h"

#define TURNS_MAX  1000u
#define OBJECT_LEN (192u << 10) /* three blocks */
#define POOL_LEN   (6u << 20)

static struct bc_clock time_now;
static struct bc_loop *loop;
static struct bc_staging *staging;
static struct bc_faulty_backend twin;
static struct bc_backend *backend;
static uint32_t ready_calls;

struct call {
    struct bc_put_op put;
    struct bc_get_op get;
    struct bc_open_op open;
    struct bc_batch_op batch;
    struct bc_object_result result_of;
    uint32_t done;
    int result;
};

static void ended(struct call *call, int result)
{
    call->done++;
    call->result = result;
}

static void put_done(struct bc_put_op *op, int result)
{
    ended(BC_CONTAINER_OF(op, struct call, put), result);
}

static void get_done(struct bc_get_op *op, int result)
{
    ended(BC_CONTAINER_OF(op, struct call, get), result);
}

static void open_done(struct bc_open_op *op, int result)
{
    ended(BC_CONTAINER_OF(op, struct call, open), result);
}

static void batch_done(struct bc_batch_op *op, int result)
{
    ended(BC_CONTAINER_OF(op, struct call, batch), result);
}

static void turns(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)bc_loop_turn(loop, 0);
    }
}

static int wait(struct call *call)
{
    for (uint32_t i = 0; i < TURNS_MAX && call->done == 0; i++) {
        turns(1);
    }
    turns(8);
    assert_int_equal(call->done, 1);
    return call->result;
}

static void ready(void *arg)
{
    (void)arg;
    ready_calls++;
}

static void rule(enum bc_faulty_backend_kind kind, enum bc_fault_action action, int error,
                 uint64_t amount)
{
    bc_faults_clear(&twin.faults);
    bc_faults_add(
        &twin.faults,
        (struct bc_fault_rule){
            .kinds = 1u << kind, .first = 1, .action = action, .error = error, .amount = amount});
}

static int setup(void **state)
{
    struct bc_loop_options options = {.name = "test", .clock = &time_now};
    struct bc_staging_options pool = {.pool_len = POOL_LEN, .cache_len = POOL_LEN / 2};
    struct bc_options_error error = {""};
    struct bc_backend *real;

    (void)state;
    bc_log_set_sink(bc_quiet_log, NULL);
    bc_clock_virtual_init(&time_now, 0);
    assert_int_equal(bc_loop_create(&options, &loop), 0);
    assert_int_equal(bc_staging_create(&pool, NULL, &staging), 0);
    struct bc_backend_env env = {
        .loop = loop, .staging = staging, .capacity = POOL_LEN / 2, .workers = 1, .handles_max = 8};
    assert_int_equal(bc_backend_dram.create(&env, NULL, &error, &real), 0);
    bc_faulty_backend_init(&twin, real, loop, staging, 5);
    backend = &twin.backend;
    backend->ready = ready;
    ready_calls = 0;
    return 0;
}

static int teardown(void **state)
{
    struct call stop = {.batch = {.done = batch_done}};

    (void)state;
    assert_int_equal(
        twin.under_way + twin.puts_open + twin.leases_open + twin.gets_open + twin.views_open, 0);
    backend->ops->stop(backend, &stop.batch);
    assert_int_equal(wait(&stop), 0);
    backend->ops->destroy(backend);
    bc_staging_destroy(staging);
    bc_loop_destroy(loop);
    bc_log_set_sink(NULL, NULL);
    return 0;
}

static struct bc_object_key the_key(void)
{
    return (struct bc_object_key){.key_len = 3, .key = "key", .hash = bc_hash_key(0, "key", 3)};
}

static int begin(struct bc_put **put_out)
{
    struct bc_object_key key = the_key();
    struct bc_put_hints hints = {NULL};

    return backend->ops->put_begin(backend, &key, OBJECT_LEN, &hints, put_out);
}

/* Leases for the whole object and fills it. */
static int lease(struct bc_put *put, struct call *call, uint32_t len)
{
    *call = (struct call){.put = {.done = put_done}};
    int rc = backend->ops->put_lease(put, 0, len, &call->put.extent);

    if (rc == 0) {
        memset(call->put.extent.data, 7, call->put.extent.len);
    }
    return rc;
}

static int store(struct bc_put *put, struct call *call)
{
    backend->ops->put_chunk(put, &call->put);
    assert_int_equal(call->done, 0);
    return wait(call);
}

static int commit(struct bc_put *put)
{
    struct call call = {.batch = {.done = batch_done}};

    backend->ops->put_commit(put, &call.batch);
    assert_int_equal(call.done, 0);
    return wait(&call);
}

static int put_object(void)
{
    struct bc_put *put = NULL;
    struct call call;
    int rc = begin(&put);

    if (rc != 0) {
        return rc;
    }
    rc = lease(put, &call, OBJECT_LEN);
    if (rc == 0) {
        rc = store(put, &call);
    }
    if (rc != 0) {
        backend->ops->put_abort(put);
        return rc;
    }
    return commit(put);
}

static int open_object(struct call *call)
{
    *call = (struct call){.open = {.key = the_key(), .done = open_done}};
    backend->ops->get_open(backend, &call->open);
    return wait(call);
}

static int read_chunk(struct bc_get *get, struct call *call)
{
    *call = (struct call){.get = {.len = OBJECT_LEN, .done = get_done}};
    int rc = backend->ops->get_chunk(get, &call->get);

    return rc != 0 ? rc : wait(call);
}

static int get_object(void)
{
    struct call opened;
    struct call chunk;
    int rc = open_object(&opened);

    if (rc != 0) {
        return rc;
    }
    assert_int_equal(opened.open.size, OBJECT_LEN);
    rc = read_chunk(opened.open.get, &chunk);
    if (rc == 0) {
        assert_int_equal(chunk.get.data[0] + chunk.get.data[chunk.get.len - 1], 14);
        backend->ops->get_release(opened.open.get, &chunk.get);
    }
    backend->ops->get_close(opened.open.get);
    return rc;
}

typedef void (*batch_fn)(struct bc_backend *backend, struct bc_batch_op *op);

static int ask(batch_fn function)
{
    struct bc_object_key key = the_key();
    struct call call = {.batch = {.keys = &key, .count = 1, .done = batch_done}};

    call.batch.results = &call.result_of;
    function(backend, &call.batch);
    assert_int_equal(call.done, 0);
    return wait(&call) != 0 ? call.result : call.result_of.result;
}

static void without_rules_it_is_the_real_one(void **state)
{
    struct bc_backend_caps caps;

    (void)state;
    backend->ops->caps(backend, &caps);
    assert_true(caps.chunk_len_max >= OBJECT_LEN);
    assert_int_equal(get_object(), -ENOENT);
    assert_int_equal(put_object(), 0);
    assert_int_equal(get_object(), 0);
    assert_int_equal(ask(backend->ops->query), 0);
    assert_int_equal(ask(backend->ops->flush), 0);
    assert_int_equal(ask(backend->ops->remove), 0);
    assert_int_equal(ask(backend->ops->query), -ENOENT);
    assert_int_equal(twin.operations, 11);
}

static void every_call_fails_when_it_is_told_to(void **state)
{
    (void)state;
    for (uint32_t kind = BC_FAULTY_PUT_BEGIN; kind <= BC_FAULTY_PUT_COMMIT; kind++) {
        rule((enum bc_faulty_backend_kind)kind, BC_FAULT_FAIL, -ENOSPC, 0);
        assert_int_equal(put_object(), -ENOSPC);
        assert_int_equal(get_object(), -ENOENT);
        assert_int_equal(bc_staging_free_len(staging, BC_LEASE_STREAM), POOL_LEN);
    }
    assert_int_equal(put_object(), 0);
    for (uint32_t kind = BC_FAULTY_GET_OPEN; kind <= BC_FAULTY_GET_CHUNK; kind++) {
        rule((enum bc_faulty_backend_kind)kind, BC_FAULT_FAIL, 0, 0);
        assert_int_equal(get_object(), -EIO);
    }
    rule(BC_FAULTY_QUERY, BC_FAULT_FAIL, 0, 0);
    assert_int_equal(ask(backend->ops->query), -EIO);
    rule(BC_FAULTY_FLUSH, BC_FAULT_FAIL, 0, 0);
    assert_int_equal(ask(backend->ops->flush), -EIO);
    rule(BC_FAULTY_REMOVE, BC_FAULT_FAIL, 0, 0);
    assert_int_equal(ask(backend->ops->remove), -EIO);
    assert_int_equal(get_object(), 0); /* nothing was done */
}

static void what_was_done_may_be_said_to_have_failed(void **state)
{
    (void)state;
    rule(BC_FAULTY_PUT_COMMIT, BC_FAULT_SHORT, 0, 0);
    assert_int_equal(put_object(), -EIO);
    assert_int_equal(get_object(), 0);
    rule(BC_FAULTY_GET_OPEN, BC_FAULT_SHORT, 0, 0);
    assert_int_equal(get_object(), -EIO);
    rule(BC_FAULTY_REMOVE, BC_FAULT_SHORT, 0, 0);
    assert_int_equal(ask(backend->ops->remove), -EIO);
    assert_int_equal(get_object(), -ENOENT);
}

static void leases_and_views_are_smaller_than_asked_for(void **state)
{
    struct bc_put *put = NULL;
    struct call call;
    struct call opened;

    (void)state;
    assert_int_equal(put_object(), 0);
    rule(BC_FAULTY_PUT_LEASE, BC_FAULT_SHORT, 0, 100);
    assert_int_equal(begin(&put), 0);
    assert_int_equal(lease(put, &call, OBJECT_LEN), 0);
    assert_int_equal(call.put.extent.len, 64 << 10);
    backend->ops->put_unlease(put, &call.put.extent);
    backend->ops->put_abort(put);
    rule(BC_FAULTY_GET_CHUNK, BC_FAULT_SHORT, 0, 140000);
    assert_int_equal(open_object(&opened), 0);
    assert_int_equal(read_chunk(opened.open.get, &call), 0);
    assert_int_equal(call.get.len, 128 << 10);
    backend->ops->get_release(opened.open.get, &call.get);
    backend->ops->get_close(opened.open.get);
}

static void what_is_kept_may_rot(void **state)
{
    (void)state;
    rule(BC_FAULTY_PUT_CHUNK, BC_FAULT_CORRUPT, 0, 0);
    assert_int_equal(put_object(), 0);
    assert_int_equal(get_object(), -EBADMSG);
    assert_int_equal(get_object(), -ENOENT);
}

static void not_now_is_followed_by_ready(void **state)
{
    struct call opened;
    struct call chunk;

    (void)state;
    rule(BC_FAULTY_PUT_BEGIN, BC_FAULT_REFUSE, 0, 0);
    assert_int_equal(put_object(), -EAGAIN);
    assert_int_equal(ready_calls, 0);
    turns(2);
    assert_int_equal(ready_calls, 1);
    rule(BC_FAULTY_PUT_LEASE, BC_FAULT_DELAY, 0, 1000);
    assert_int_equal(put_object(), -EAGAIN);
    turns(2);
    ready_calls = 0;
    bc_clock_virtual_advance(&time_now, 1000);
    turns(2);
    assert_int_equal(ready_calls, 1);
    assert_int_equal(put_object(), 0);
    assert_int_equal(open_object(&opened), 0);
    rule(BC_FAULTY_GET_CHUNK, BC_FAULT_REFUSE, 0, 0);
    assert_int_equal(read_chunk(opened.open.get, &chunk), -EAGAIN);
    ready_calls = 0;
    turns(2);
    assert_int_equal(ready_calls, 1);
    backend->ops->get_close(opened.open.get);
    rule(BC_FAULTY_GET_OPEN, BC_FAULT_REFUSE, 0, 0);
    assert_int_equal(open_object(&opened), -EAGAIN);
}

static void calls_are_late_and_overtaken(void **state)
{
    struct bc_object_key key = the_key();
    struct call late = {.batch = {.keys = &key, .count = 1, .done = batch_done}};

    (void)state;
    assert_int_equal(put_object(), 0);
    late.batch.results = &late.result_of;
    rule(BC_FAULTY_REMOVE, BC_FAULT_DELAY, 0, 5000);
    backend->ops->remove(backend, &late.batch);
    assert_int_equal(ask(backend->ops->query), 0); /* not removed yet */
    assert_int_equal(late.done, 0);
    bc_clock_virtual_advance(&time_now, 5000);
    assert_int_equal(wait(&late), 0);
    assert_int_equal(ask(backend->ops->query), -ENOENT);
    late.done = 0;
    rule(BC_FAULTY_QUERY, BC_FAULT_REORDER, 0, 100);
    backend->ops->query(backend, &late.batch);
    assert_int_equal(ask(backend->ops->query), -ENOENT);
    assert_int_equal(late.done, 0);
    turns(100);
    assert_int_equal(wait(&late), 0);
}

static void a_store_may_vanish_and_come_back(void **state)
{
    struct bc_put *put = NULL;
    struct call call;
    struct call opened;

    (void)state;
    assert_int_equal(put_object(), 0);
    assert_int_equal(begin(&put), 0);
    assert_int_equal(lease(put, &call, OBJECT_LEN), 0);
    assert_int_equal(open_object(&opened), 0);
    rule(BC_FAULTY_QUERY, BC_FAULT_VANISH, 0, 0);
    assert_int_equal(ask(backend->ops->query), -EIO);
    assert_int_equal(store(put, &call), -EIO);
    backend->ops->put_abort(put);
    assert_int_equal(read_chunk(opened.open.get, &call), -EIO);
    backend->ops->get_close(opened.open.get);
    assert_int_equal(put_object(), -EIO);
    assert_int_equal(get_object(), -EIO);
    twin.vanished = false;
    assert_int_equal(get_object(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_rules_it_is_the_real_one, setup, teardown),
        cmocka_unit_test_setup_teardown(every_call_fails_when_it_is_told_to, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_done_may_be_said_to_have_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(leases_and_views_are_smaller_than_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_kept_may_rot, setup, teardown),
        cmocka_unit_test_setup_teardown(not_now_is_followed_by_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_are_late_and_overtaken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_may_vanish_and_come_back, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
