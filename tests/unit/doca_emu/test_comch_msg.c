/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch_msg.c - Comch: messages, their limits and order, back-pressure, and what becomes of
 * sends when a connection ends. Both sides are in this process. */
#include "comch_side.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

struct pair {
    struct side server;
    struct side client;
};

/* A connected pair; queues of so many messages (0: the default). */
static void make_pair(struct pair *pair, uint32_t queue)
{
    side_make_server(&pair->server, "messages");
    side_make_client(&pair->client, "messages");
    if (queue != 0) {
        assert_ok(doca_comch_server_set_recv_queue_size(pair->server.server, queue));
        assert_ok(doca_comch_client_set_recv_queue_size(pair->client.client, queue));
    }
    sides_connect(&pair->server, &pair->client);
}

static void end_pair(struct pair *pair)
{
    side_end(&pair->client, &pair->server);
    side_end(&pair->server, NULL);
}

static size_t in_flight(const struct side *side)
{
    size_t count = 0;
    assert_ok(doca_ctx_get_num_inflight_tasks(side->ctx, &count));
    return count;
}

static uint64_t counter(const struct doca_comch_connection *conn, enum doca_comch_counter which)
{
    uint64_t value = 0;
    assert_ok(doca_comch_connection_get_counter(conn, which, &value));
    return value;
}

/* --- messages ---------------------------------------------------------------------------------- */

static void messages_arrive_both_ways_and_are_counted(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 0);
    const uint32_t lens[4] = {1, 100, 4079, 4080};
    for (uint32_t i = 0; i < 4; i++) {
        side_send(&pair.client, i, lens[i]);
        sides_wait(&pair.server, &pair.client, &pair.server.messages, i + 1);
        assert_int_equal(pair.server.last_len, lens[i]);
    }
    side_send(&pair.server, 0, 4080);
    sides_wait(&pair.client, &pair.server, &pair.client.messages, 1);
    sides_wait(&pair.client, &pair.server, &pair.client.done, 4);
    assert_int_equal(pair.server.mismatches + pair.client.mismatches, 0);
    struct doca_comch_connection *conn = side_peer(&pair.client);
    assert_int_equal(counter(conn, DOCA_COMCH_COUNTER_SENT_MESSAGES), 0);
    assert_ok(doca_comch_connection_update_info(conn));
    assert_int_equal(counter(conn, DOCA_COMCH_COUNTER_SENT_MESSAGES), 4);
    assert_int_equal(counter(conn, DOCA_COMCH_COUNTER_SENT_BYTES), 1 + 100 + 4079 + 4080);
    assert_int_equal(counter(conn, DOCA_COMCH_COUNTER_RECV_MESSAGES), 1);
    assert_int_equal(counter(conn, DOCA_COMCH_COUNTER_RECV_BYTES), 4080);
    uint64_t value = 0;
    assert_doca(doca_comch_connection_get_counter(conn, (enum doca_comch_counter)0, &value),
                DOCA_ERROR_INVALID_VALUE);
    end_pair(&pair);
}

static void nothing_is_reported_outside_of_progress(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 0);
    unsigned before = pair.client.events + pair.server.events;
    side_send(&pair.client, 0, 8);
    assert_int_equal(pair.client.events + pair.server.events, before);
    assert_int_equal(in_flight(&pair.client), 1);
    sides_wait(&pair.client, NULL, &pair.client.done, 1);
    assert_int_equal(in_flight(&pair.client), 0);
    assert_int_equal(pair.server.messages, 0);
    end_pair(&pair);
}

static void progress_reports_one_event_a_call(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 0);
    for (uint32_t i = 0; i < 10; i++) {
        side_send(&pair.client, i, 8);
        side_send(&pair.server, i, 8);
    }
    unsigned calls = 0;
    while (pair.server.messages < 10 || pair.server.done < 10) {
        unsigned before = pair.server.events;
        uint8_t handled = doca_pe_progress(pair.server.pe);
        assert_int_equal(pair.server.events - before, handled);
        assert_in_range(++calls, 1, 1000);
    }
    assert_int_equal(pair.server.mismatches, 0);
    sides_wait(&pair.client, NULL, &pair.client.done, 10);
    end_pair(&pair);
}

static void received_bytes_are_gone_after_the_callback(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 0);
    side_send(&pair.client, 0, 64);
    sides_wait(&pair.server, &pair.client, &pair.server.messages, 1);
#ifdef __SANITIZE_ADDRESS__
    assert_true(__asan_address_is_poisoned(pair.server.last_buffer));
#else
    assert_false(check_pattern(pair.server.last_buffer, 64, 0));
    for (unsigned i = 1; i < 64; i++) {
        assert_int_equal(pair.server.last_buffer[i], pair.server.last_buffer[0]);
    }
#endif
    end_pair(&pair);
}

static void too_long_a_message_is_refused_at_alloc(void **state)
{
    struct pair pair;
    struct doca_comch_task_send *task = NULL;
    uint8_t message[4096] = {0};
    (void)state;
    make_pair(&pair, 0);
    struct doca_comch_connection *conn = side_peer(&pair.client);
    assert_doca(side_alloc(&pair.client, conn, message, 4081, &task), DOCA_ERROR_INVALID_VALUE);
    assert_doca(side_alloc(&pair.client, conn, message, 0, &task), DOCA_ERROR_INVALID_VALUE);
    assert_doca(side_alloc(&pair.client, conn, NULL, 1, &task), DOCA_ERROR_INVALID_VALUE);
    assert_doca(side_alloc(&pair.client, NULL, message, 1, &task), DOCA_ERROR_INVALID_VALUE);
    assert_doca(side_alloc(&pair.client, side_peer(&pair.server), message, 1, &task),
                DOCA_ERROR_INVALID_VALUE);
    end_pair(&pair);
    /* Of two different sizes the smaller one holds. */
    side_make_server(&pair.server, "sizes");
    side_make_client(&pair.client, "sizes");
    assert_ok(doca_comch_server_set_max_msg_size(pair.server.server, 100));
    sides_connect(&pair.server, &pair.client);
    conn = side_peer(&pair.client);
    assert_doca(side_alloc(&pair.client, conn, message, 101, &task), DOCA_ERROR_INVALID_VALUE);
    side_send(&pair.client, 0, 100);
    sides_wait(&pair.server, &pair.client, &pair.server.messages, 1);
    end_pair(&pair);
}

/* --- back-pressure ----------------------------------------------------------------------------- */

static void tasks_are_as_many_as_configured(void **state)
{
    struct pair pair;
    struct doca_comch_task_send *tasks[64];
    struct doca_comch_task_send *more = NULL;
    uint8_t byte = 0;
    (void)state;
    make_pair(&pair, 0);
    struct doca_comch_connection *conn = side_peer(&pair.client);
    for (unsigned i = 0; i < 64; i++) {
        assert_ok(side_alloc(&pair.client, conn, &byte, 1, &tasks[i]));
    }
    assert_doca(side_alloc(&pair.client, conn, &byte, 1, &more), DOCA_ERROR_NO_MEMORY);
    doca_task_free(doca_comch_task_send_as_task(tasks[0]));
    assert_ok(side_alloc(&pair.client, conn, &byte, 1, &tasks[0]));
    for (unsigned i = 0; i < 64; i++) {
        doca_task_free(doca_comch_task_send_as_task(tasks[i]));
    }
    end_pair(&pair);
}

static void sends_wait_for_a_full_queue_and_none_is_lost(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 4);
    for (uint32_t i = 0; i < 20; i++) {
        side_send(&pair.client, i, 200 + i);
    }
    sides_wait(&pair.client, NULL, &pair.client.done, 4);
    side_run(&pair.client);
    assert_int_equal(pair.client.done, 4); /* the queue's length, and no more */
    assert_int_equal(in_flight(&pair.client), 16);
    sides_wait(&pair.server, NULL, &pair.server.messages, 1);
    sides_wait(&pair.client, NULL, &pair.client.done, 5);
    sides_wait(&pair.server, &pair.client, &pair.server.messages, 20);
    sides_wait(&pair.client, &pair.server, &pair.client.done, 20);
    assert_int_equal(pair.server.mismatches, 0);
    assert_int_equal(pair.client.failed, 0);
    end_pair(&pair);
}

static void submit_is_refused_when_the_send_queue_is_full(void **state)
{
    struct pair pair;
    (void)state;
    assert_int_equal(setenv("DOCA_EMU_COMCH_SEND_QUEUE", "3", 1), 0);
    make_pair(&pair, 4);
    for (uint32_t i = 0; i < 7; i++) {
        side_send(&pair.client, i, 8);
    }
    uint8_t byte = 0;
    assert_doca(side_try_send(&pair.client, side_peer(&pair.client), &byte, 1), DOCA_ERROR_AGAIN);
    sides_wait(&pair.server, &pair.client, &pair.server.messages, 1);
    sides_wait(&pair.client, NULL, &pair.client.done, 5);
    side_send(&pair.client, 7, 8);
    sides_wait(&pair.server, &pair.client, &pair.server.messages, 8);
    assert_int_equal(pair.server.mismatches, 0);
    end_pair(&pair);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_SEND_QUEUE"), 0);
}

static void slow_client_does_not_hold_up_another(void **state)
{
    struct pair pair;
    struct side fast;
    uint8_t message[8];
    (void)state;
    make_pair(&pair, 2);
    side_make_client(&fast, "messages");
    sides_connect(&pair.server, &fast);
    for (uint32_t i = 0; i < 6; i++) {
        side_send(&pair.server, i, 8); /* to the first client, which does not progress */
    }
    fill_pattern(message, sizeof(message), 0);
    assert_ok(side_try_send(&pair.server, pair.server.conns[1], message, sizeof(message)));
    sides_wait(&fast, &pair.server, &fast.messages, 1);
    assert_int_equal(fast.mismatches, 0);
    side_end(&fast, &pair.server);
    sides_wait(&pair.client, &pair.server, &pair.client.messages, 6);
    assert_int_equal(pair.client.mismatches, 0);
    end_pair(&pair);
}

static unsigned from_first;

static void count_first(struct side *side, struct doca_comch_connection *conn, const uint8_t *bytes,
                        uint32_t len)
{
    (void)bytes;
    (void)len;
    from_first += conn == side->conns[0];
}

static void clients_have_turns(void **state)
{
    struct pair pair;
    struct side second;
    (void)state;
    make_pair(&pair, 0);
    side_make_client(&second, "messages");
    sides_connect(&pair.server, &second);
    for (uint32_t i = 0; i < 10; i++) {
        side_send(&pair.client, i, 8);
        side_send(&second, i, 8);
    }
    pair.server.hooks.message = count_first;
    sides_wait(&pair.server, NULL, &pair.server.messages, 10);
    assert_int_equal(from_first, 5);
    sides_wait(&pair.server, NULL, &pair.server.messages, 20);
    side_end(&second, &pair.server);
    end_pair(&pair);
}

/* --- the end of a connection ------------------------------------------------------------------- */

static void what_was_sent_before_the_end_still_arrives(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 0);
    for (uint32_t i = 0; i < 10; i++) {
        side_send(&pair.client, i, 500);
    }
    sides_wait(&pair.client, NULL, &pair.client.done, 10);
    assert_doca(doca_ctx_stop(pair.client.ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait_state(&pair.client, NULL, DOCA_CTX_STATE_IDLE);
    while (pair.server.messages < 10) {
        assert_int_equal(pair.server.disconnects, 0);
        sides_wait(&pair.server, NULL, &pair.server.messages, pair.server.messages + 1);
    }
    sides_wait(&pair.server, NULL, &pair.server.disconnects, 1);
    assert_int_equal(pair.server.mismatches, 0);
    end_pair(&pair);
}

static void waiting_sends_fail_when_the_peer_leaves(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 2);
    for (uint32_t i = 0; i < 5; i++) {
        side_send(&pair.server, i, 8);
    }
    sides_wait(&pair.server, NULL, &pair.server.done, 2);
    struct doca_comch_task_send *kept = NULL;
    uint8_t byte = 0;
    assert_ok(side_alloc(&pair.server, side_peer(&pair.server), &byte, 1, &kept));
    assert_doca(doca_ctx_stop(pair.client.ctx), DOCA_ERROR_IN_PROGRESS);
    sides_wait(&pair.server, &pair.client, &pair.server.disconnects, 1);
    assert_int_equal(pair.server.failed, 3); /* before the event */
    /* A task that outlives its connection fails, and can be freed. */
    assert_ok(doca_task_submit(doca_comch_task_send_as_task(kept)));
    sides_wait(&pair.server, NULL, &pair.server.failed, 4);
    assert_true(pair.server.last_status != DOCA_SUCCESS);
    end_pair(&pair);
}

static void stop_brings_waiting_sends_back(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 2);
    for (uint32_t i = 0; i < 5; i++) {
        side_send(&pair.client, i, 8);
    }
    struct doca_comch_task_send *kept = NULL;
    uint8_t byte = 0;
    assert_ok(side_alloc(&pair.client, side_peer(&pair.client), &byte, 1, &kept));
    assert_doca(doca_ctx_stop(pair.client.ctx), DOCA_ERROR_IN_PROGRESS);
    assert_int_equal(pair.client.failed, 0);
    sides_wait(&pair.client, NULL, &pair.client.failed, 3);
    side_run(&pair.client);
    assert_int_equal(pair.client.done, 2);
    assert_int_equal(side_state(&pair.client), DOCA_CTX_STATE_STOPPING); /* until it is freed */
    assert_doca(doca_task_submit(doca_comch_task_send_as_task(kept)), DOCA_ERROR_BAD_STATE);
    doca_task_free(doca_comch_task_send_as_task(kept));
    sides_wait_state(&pair.client, NULL, DOCA_CTX_STATE_IDLE);
    sides_wait(&pair.server, NULL, &pair.server.disconnects, 1);
    assert_int_equal(pair.server.messages, 2);
    end_pair(&pair);
}

static void resend(struct side *side, struct doca_task *task)
{
    if (side->done < 50) {
        assert_ok(doca_task_submit(task));
    } else {
        doca_task_free(task);
    }
}

static void completed_task_can_be_submitted_again(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 4);
    pair.client.hooks.done = resend;
    side_send(&pair.client, 0, 8);
    sides_wait(&pair.server, &pair.client, &pair.server.messages, 50);
    assert_int_equal(pair.client.done, 50);
    end_pair(&pair);
}

static void answer(struct side *side, struct doca_comch_connection *conn, const uint8_t *bytes,
                   uint32_t len)
{
    static uint8_t kept[256];
    assert_in_range(len, 1, sizeof(kept));
    memcpy(kept, bytes, len);
    assert_ok(side_try_send(side, conn, kept, len));
}

static void throw_out(struct side *side, struct doca_comch_connection *conn, const uint8_t *bytes,
                      uint32_t len)
{
    assert_ok(doca_comch_server_disconnect(side->server, conn));
    side->conns[0] = NULL;
    assert_true(check_pattern(bytes, len, 0)); /* still the callback's */
    assert_ok(doca_ctx_stop(side->ctx));
}

static void callbacks_may_answer_disconnect_and_stop(void **state)
{
    struct pair pair;
    (void)state;
    make_pair(&pair, 0);
    pair.server.hooks.message = answer;
    side_send(&pair.client, 0, 100);
    sides_wait(&pair.client, &pair.server, &pair.client.messages, 1);
    assert_int_equal(pair.client.mismatches, 0);
    sides_wait(&pair.server, NULL, &pair.server.done, 1);
    pair.server.hooks.message = throw_out;
    pair.server.messages = 0;
    side_send(&pair.client, 0, 100);
    sides_wait_state(&pair.client, &pair.server, DOCA_CTX_STATE_IDLE);
    assert_int_equal(side_state(&pair.server), DOCA_CTX_STATE_IDLE);
    end_pair(&pair);
}

/* --- faults ------------------------------------------------------------------------------------ */

static void faults_strike(void **state)
{
    struct pair pair;
    uint8_t byte = 0;
    (void)state;
    make_pair(&pair, 0);
    struct doca_comch_connection *conn = side_peer(&pair.client);
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_SEND_AGAIN, 2, 0));
    side_send(&pair.client, 0, 8);
    assert_doca(side_try_send(&pair.client, conn, &byte, 1), DOCA_ERROR_AGAIN);
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_TASK_NO_MEMORY, 1, 0));
    assert_doca(side_try_send(&pair.client, conn, &byte, 1), DOCA_ERROR_NO_MEMORY);
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_SEND_FAILED, 1, 0));
    assert_ok(side_try_send(&pair.client, conn, &byte, 1));
    sides_wait(&pair.client, &pair.server, &pair.client.failed, 1);
    assert_doca(pair.client.last_status, DOCA_ERROR_IO_FAILED);
    side_send(&pair.client, 1, 8);
    sides_wait(&pair.server, &pair.client, &pair.server.messages, 2);
    assert_int_equal(pair.server.mismatches, 0);

    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_EVENT_DELAY, 50000, 0));
    uint64_t begin = now_ms();
    side_send(&pair.client, 2, 8);
    sides_wait(&pair.server, &pair.client, &pair.server.messages, 3);
    assert_in_range(now_ms() - begin, 45, 20000);
    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_EVENT_DELAY, 0, 0));

    assert_ok(doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_DROP, 1, 0));
    assert_ok(side_try_send(&pair.client, conn, &byte, 1));
    sides_wait_state(&pair.client, &pair.server, DOCA_CTX_STATE_IDLE);
    sides_wait(&pair.server, &pair.client, &pair.server.disconnects, 1);
    assert_int_equal(pair.client.failed, 2);
    assert_int_equal(pair.server.messages, 3);
    doca_emu_fault_clear_all();
    sides_connect(&pair.server, &pair.client);
    end_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_both_ways_and_are_counted),
        cmocka_unit_test(nothing_is_reported_outside_of_progress),
        cmocka_unit_test(progress_reports_one_event_a_call),
        cmocka_unit_test(received_bytes_are_gone_after_the_callback),
        cmocka_unit_test(too_long_a_message_is_refused_at_alloc),
        cmocka_unit_test(tasks_are_as_many_as_configured),
        cmocka_unit_test(sends_wait_for_a_full_queue_and_none_is_lost),
        cmocka_unit_test(submit_is_refused_when_the_send_queue_is_full),
        cmocka_unit_test(slow_client_does_not_hold_up_another),
        cmocka_unit_test(clients_have_turns),
        cmocka_unit_test(what_was_sent_before_the_end_still_arrives),
        cmocka_unit_test(waiting_sends_fail_when_the_peer_leaves),
        cmocka_unit_test(stop_brings_waiting_sends_back),
        cmocka_unit_test(completed_task_can_be_submitted_again),
        cmocka_unit_test(callbacks_may_answer_disconnect_and_stop),
        cmocka_unit_test(faults_strike),
    };
    side_world();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
