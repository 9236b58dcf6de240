/* SPDX-License-Identifier: Apache-2.0 */
/* What one client, or all of them, can make the agent hold. */
#include "bed.h"

#include <sys/socket.h>
#include <unistd.h>

#include "session/session_internal.h"

#define MIB      (1u << 20)
#define KEY_LEN  1024u
#define HELLO_MS 1000u

static struct bed bed;

static void setup(const struct bed_options *options)
{
    bed_init(&bed, options);
}

static struct bc_sessions *sessions(void)
{
    return bed.workers[0].worker.sessions;
}

static void ping(struct bed_client *client, uint64_t id)
{
    bed_send(client, BC_MSG_PING, id, "ping", 4);
    bed_expect(client, BC_MSG_PONG, id);
}

/* One message of `type` with a body of `len` bytes: a list of keys of KEY_LEN bytes each. */
static struct bc_channel *long_question(uint8_t type, uint64_t id, uint32_t keys)
{
    size_t len = sizeof(struct bc_wire_list) + (size_t)keys * (2 + KEY_LEN);
    uint8_t *body = calloc(1, len);
    struct bc_channel_options options = {.out_max = 64 * MIB};
    struct bc_channel *out;
    memcpy(body, &keys, sizeof(keys));
    for (uint32_t i = 0; i < keys; i++) {
        uint8_t *key = body + sizeof(struct bc_wire_list) + (size_t)i * (2 + KEY_LEN);
        uint16_t key_len = KEY_LEN;
        memcpy(key, &key_len, sizeof(key_len));
        memcpy(key + 2, &i, sizeof(i));
    }
    assert_int_equal(bc_channel_create(&options, &out), 0);
    assert_int_equal(bc_channel_send(out, type, id, body, len), 0);
    free(body);
    return out;
}

/* Sends what is queued but the last `keep` bytes; turns while the socket is full. True: all of it. */
static bool send_but(struct bed_client *client, struct bc_channel *out, size_t keep)
{
    const uint8_t *data;
    size_t len;
    uint32_t idle = 0;
    while (bc_channel_out_peek(out, &data, &len) && idle < 100) {
        size_t want = len > keep ? len - keep : 0;
        if (want == 0) {
            return true;
        }
        size_t taken = bed_send_some(client, data, want);
        bc_channel_out_consume(out, taken);
        idle = taken > 0 ? 0 : idle + 1;
        bed_turn(&bed);
    }
    return idle < 100;
}

static void limit_of_connections_is_of_all_workers(void **state)
{
    struct bed_options options = {.workers = 2, .limits = {.sessions_max = 3}};
    struct bed_client clients[3];
    struct bed_client extra;
    (void)state;
    setup(&options);
    bed_open(&bed, 0, &clients[0]);
    bed_open(&bed, 0, &clients[1]);
    bed_open(&bed, 0, &clients[2]); /* a worker may have more than its share */
    for (uint32_t w = 0; w < 2; w++) {
        bed_connect(&bed, w, &extra);
        struct bc_message message = bed_expect(&extra, BC_MSG_ERROR, 0);
        assert_int_equal(message.body[0], BC_STATUS_LIMIT);
        bed_expect_closed(&extra);
        bed_close(&extra);
    }
    bed_close(&clients[1]);
    bed_pass(&bed, 10);
    bed_open(&bed, 1, &clients[1]); /* the refused ones hold no place */
    for (uint32_t i = 0; i < 3; i++) {
        ping(&clients[i], 7);
        bed_close(&clients[i]);
    }
    bed_fini(&bed);
}

static uint32_t hello_for(struct bed_client *client, uint32_t wanted)
{
    uint8_t body[256];
    struct bc_writer writer;
    struct bc_hello hello = {.wire = {.version_min = BC_WIRE_VERSION,
                                      .version_max = BC_WIRE_VERSION,
                                      .requests_wanted = wanted}};
    struct bc_hello_ack ack;
    size_t len = 0;
    bed_connect(&bed, 0, client);
    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_hello_encode(&writer, &hello), 0);
    assert_int_equal(bc_writer_finish(&writer, &len), 0);
    bed_send(client, BC_MSG_HELLO, 1, body, len);
    struct bc_message message = bed_expect(client, BC_MSG_HELLO_ACK, 1);
    assert_int_equal(bc_hello_ack_decode(message.body, message.body_len, &ack), 0);
    return ack.wire.requests_max;
}

static void credits_are_what_is_wanted_up_to_the_limit(void **state)
{
    struct bed_options options = {.workers = 1, .limits = {.requests_max = 8}};
    struct bed_client client;
    (void)state;
    setup(&options);
    static const uint32_t wanted[][2] = {{0, 8}, {1, 1}, {7, 7}, {8, 8}, {9, 8}, {UINT32_MAX, 8}};
    for (size_t i = 0; i < BC_ARRAY_LEN(wanted); i++) {
        assert_int_equal(hello_for(&client, wanted[i][0]), wanted[i][1]);
        bed_close(&client);
    }
    /* And they hold: with one credit, the second question of a turn is over it. */
    assert_int_equal(hello_for(&client, 1), 1);
    bed_query(&client, 2, BC_MSG_QUERY, 0, 1);
    bed_query(&client, 3, BC_MSG_QUERY, 0, 1);
    uint32_t limited = 0;
    for (uint32_t i = 0; i < 2; i++) {
        struct bc_message message;
        assert_true(bed_receive(&client, &message));
        limited += message.body[sizeof(struct bc_wire_list)] == BC_STATUS_LIMIT ? 1 : 0;
    }
    assert_int_equal(limited, 1);
    bed_close(&client);
    bed_fini(&bed);
}

static void long_message_before_hello_is_refused_by_its_header(void **state)
{
    struct bed_options options = {.workers = 1};
    struct bed_client client;
    struct bc_channel *out = long_question(BC_MSG_HELLO, 1, 8);
    const uint8_t *data;
    size_t len;
    (void)state;
    setup(&options);
    bed_connect(&bed, 0, &client);
    assert_true(bc_channel_out_peek(out, &data, &len));
    bed_send_raw(&client, data, sizeof(struct bc_wire_frame));
    struct bc_message message = bed_expect(&client, BC_MSG_ERROR, 0);
    assert_int_equal(message.body[0], BC_STATUS_LIMIT);
    bed_expect_closed(&client);
    bed_close(&client);
    bc_channel_destroy(out);
    bed_fini(&bed);
}

#define LONG_ONES 36u /* more than there are places for */

/* Most of a long message each: some of the senders are not read before others are done. */
static void few_long_messages_are_taken_at_a_time(void **state)
{
    struct bed_options options = {.workers = 1};
    static struct bed_client clients[LONG_ONES];
    struct bc_channel *outs[LONG_ONES];
    struct bed_client other;
    uint32_t sent = 0;
    (void)state;
    setup(&options);
    bed_open(&bed, 0, &other);
    for (uint32_t i = 0; i < LONG_ONES; i++) {
        bed_open(&bed, 0, &clients[i]);
        outs[i] = long_question(BC_MSG_QUERY, 2, 1024);
        sent += send_but(&clients[i], outs[i], 100) ? 1 : 0;
    }
    assert_int_equal(sent, 32);
    assert_int_equal(sessions()->long_messages, 32);
    assert_int_equal(sessions()->waiting.count, LONG_ONES - 32);
    ping(&other, 5); /* short ones need no place */
    for (uint32_t i = 0; i < LONG_ONES; i++) {
        assert_true(send_but(&clients[i], outs[i], 0));
        bed_expect(&clients[i], BC_MSG_QUERY_RESULT, 2);
        bc_channel_destroy(outs[i]);
    }
    assert_int_equal(sessions()->long_messages, 0);
    for (uint32_t i = 0; i < LONG_ONES; i++) {
        bed_close(&clients[i]);
    }
    bed_close(&other);
    bed_fini(&bed);
}

/* The places of those that stop come back when their time is over. */
static void place_of_a_message_that_stops_comes_back(void **state)
{
    struct bed_options options = {.workers = 1};
    static struct bed_client clients[LONG_ONES];
    struct bc_channel *out = long_question(BC_MSG_QUERY, 2, 1024);
    (void)state;
    setup(&options);
    for (uint32_t i = 0; i < 32; i++) {
        struct bc_channel *half = long_question(BC_MSG_QUERY, 2, 1024);
        bed_open(&bed, 0, &clients[i]);
        assert_true(send_but(&clients[i], half, 100));
        bc_channel_destroy(half);
    }
    bed_open(&bed, 0, &clients[32]);
    assert_false(send_but(&clients[32], out, 0));
    bed_close(&clients[0]); /* one leaves */
    assert_true(send_but(&clients[32], out, 0));
    bed_expect(&clients[32], BC_MSG_QUERY_RESULT, 2);
    bed_pass(&bed, 2 * HELLO_MS);
    assert_int_equal(bed_sessions(&bed), 1);
    assert_int_equal(sessions()->long_messages, 0);
    for (uint32_t i = 1; i <= 32; i++) {
        bed_close(&clients[i]);
    }
    bc_channel_destroy(out);
    bed_fini(&bed);
}

#define HIGH (BC_REQUESTS_MEMORY_MAX / 4)

/* No copy ends before the clock moves: what a client asks for stays in the agent, up to its share. */
static void requests_of_a_greedy_client_wait_outside(void **state)
{
    struct bed_options options = {.workers = 1, .limits = {.requests_max = 256}};
    struct bc_fault_rule slow = {.kinds = BC_FAULT_ANY_KIND,
                                 .first = 1,
                                 .every = 1,
                                 .action = BC_FAULT_DELAY,
                                 .amount = 5 * BC_NS_PER_S};
    struct bed_client greedy;
    struct bed_client other;
    uint64_t asked = 0;
    (void)state;
    setup(&options);
    bed_open(&bed, 0, &greedy);
    bed_open(&bed, 0, &other);
    bed_register(&greedy, 2, 0, 0, MIB);
    bed_expect(&greedy, BC_MSG_REGISTER_ACK, 2);
    bc_faults_add(&bed.workers[0].engine.faults, slow);
    while (asked < 250 && bc_requests_memory(sessions()->requests) <= HIGH) {
        bed_transfer(&greedy, 10 + asked++, BC_TRANSFER_PUSH, 0, 0, 4096, 16, 0);
        bed_turns(&bed, 4);
    }
    assert_in_range(asked, 10, 249);
    assert_in_range(bc_requests_memory(sessions()->requests), HIGH, HIGH + 8 * MIB);
    bed_send(&greedy, BC_MSG_PING, 5, "ping", 4);
    bed_expect_silence(&greedy, 50);
    /* Others have all they need. */
    ping(&other, 3);
    bed_query(&other, 4, BC_MSG_QUERY, 0, 10);
    bed_expect(&other, BC_MSG_QUERY_RESULT, 4);
    /* It is read again when something of it ended. */
    bc_faults_clear(&bed.workers[0].engine.faults);
    bed_pass(&bed, 6000);
    bool answered = false;
    for (uint64_t i = 0; i <= asked && !answered; i++) {
        struct bc_message message;
        assert_true(bed_receive(&greedy, &message));
        answered = message.type == BC_MSG_PONG;
    }
    assert_true(answered);
    bed_close(&greedy);
    bed_close(&other);
    bed_wait_empty(&bed);
    assert_true(bc_requests_memory(sessions()->requests) <= 34 * MIB); /* what is kept for more */
    bed_fini(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit_of_connections_is_of_all_workers),
        cmocka_unit_test(credits_are_what_is_wanted_up_to_the_limit),
        cmocka_unit_test(long_message_before_hello_is_refused_by_its_header),
        cmocka_unit_test(few_long_messages_are_taken_at_a_time),
        cmocka_unit_test(place_of_a_message_that_stops_comes_back),
        cmocka_unit_test(requests_of_a_greedy_client_wait_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
