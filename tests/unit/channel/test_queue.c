/* SPDX-License-Identifier: Apache-2.0 */
/* test_queue.c - how a channel queues what is sent. */
#include "channel_test.h"

#include <stdlib.h>

#include "../base/death.h"

/* What `from` queued arrives at a fresh channel. */
static struct bc_channel *deliver(struct bc_channel *from, size_t piece_max)
{
    enum { CAP = 4 << 20 };
    struct bc_channel *to = channel_new(0, 0, 0);
    uint8_t *bytes = malloc(CAP);

    assert_non_null(bytes);
    channel_feed(to, bytes, channel_drain(from, bytes, CAP, piece_max));
    free(bytes);
    return to;
}

static void message_is_one_sealed_frame(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_wire_frame expected = frame_of(BC_MSG_PONG, 0, 9, "abc", 3);
    uint8_t bytes[100];

    (void)state;
    assert_int_equal(bc_channel_send(channel, BC_MSG_PONG, 9, "abc", 3), 0);
    assert_int_equal(channel_drain(channel, bytes, sizeof(bytes), 1), sizeof(expected) + 3);
    assert_memory_equal(bytes, &expected, sizeof(expected));
    assert_memory_equal(bytes + sizeof(expected), "abc", 3);
    bc_channel_destroy(channel);
}

static void long_message_is_cut_in_frames(void **state)
{
    struct bc_channel *channel = channel_new(0, 4, 0);
    struct bc_wire_frame expected[] = {
        frame_of(BC_MSG_QUERY, BC_FRAME_FLAG_MORE, 9, "0123", 4),
        frame_of(BC_MSG_QUERY, BC_FRAME_FLAG_MORE, 9, "4567", 4),
        frame_of(BC_MSG_QUERY, 0, 9, "89", 2),
    };
    uint8_t bytes[200];
    struct bc_channel *to;

    (void)state;
    assert_int_equal(bc_channel_send(channel, BC_MSG_QUERY, 9, "0123456789", 10), 0);
    assert_int_equal(channel_drain(channel, bytes, sizeof(bytes), 7), 3 * FRAME_HEADER_LEN + 10);
    for (size_t i = 0; i < 3; i++) {
        assert_memory_equal(bytes + i * (FRAME_HEADER_LEN + 4), &expected[i], FRAME_HEADER_LEN);
    }
    /* Exactly full frames: no empty one follows. */
    assert_int_equal(bc_channel_send(channel, BC_MSG_QUERY, 9, "01234567", 8), 0);
    assert_int_equal(bc_channel_send(channel, BC_MSG_STATS, 10, NULL, 0), 0);
    to = deliver(channel, 1000);
    assert_message(to, BC_MSG_QUERY, 9, "01234567", 8);
    assert_message(to, BC_MSG_STATS, 10, NULL, 0);
    bc_channel_destroy(to);
    bc_channel_destroy(channel);
}

static void full_queue_refuses_and_keeps_what_it_has(void **state)
{
    const size_t each = FRAME_HEADER_LEN + 8;
    struct bc_channel *channel = channel_new(0, 0, 10 * each);
    uint8_t bytes[1000];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 10; i++) {
            assert_int_equal(bc_channel_send(channel, BC_MSG_PING, i, "12345678", 8), 0);
        }
        assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 10, NULL, 0), -EAGAIN);
        bc_channel_out_consume(channel, FRAME_HEADER_LEN - 1);
        assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 10, NULL, 0), -EAGAIN);
        bc_channel_out_consume(channel, 1);
        assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 10, NULL, 0), 0);
        assert_int_equal(channel_drain(channel, bytes, sizeof(bytes), 13), 10 * each);
    }
    bc_channel_destroy(channel);
}

static void message_that_never_fits_is_refused(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, FRAME_HEADER_LEN + 8);
    struct bc_channel *large = channel_new(0, 0, (size_t)64 << 20);
    uint8_t *body = calloc(1, BC_MESSAGE_BODY_MAX + 1);
    uint8_t *room;

    (void)state;
    assert_non_null(body);
    assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 1, body, 9), -EMSGSIZE);
    assert_int_equal(bc_channel_reserve(channel, 9, &room), -EMSGSIZE);
    assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 1, body, 8), 0);
    assert_int_equal(bc_channel_send(large, BC_MSG_PING, 1, body, BC_MESSAGE_BODY_MAX), 0);
    assert_int_equal(bc_channel_send(large, BC_MSG_PING, 1, body, BC_MESSAGE_BODY_MAX + 1),
                     -EMSGSIZE);
    assert_int_equal(bc_channel_reserve(large, BC_MESSAGE_BODY_MAX + 1, &room), -EMSGSIZE);
    free(body);
    bc_channel_destroy(large);
    bc_channel_destroy(channel);
}

static void view_stays_while_more_is_sent(void **state)
{
    enum { BODY_LEN = 5000, MESSAGES = 200 };
    struct bc_channel *channel = channel_new(0, 0, 0);
    uint8_t body[BODY_LEN];
    const uint8_t *view;
    const uint8_t *again;
    uint8_t *before;
    size_t view_len;
    size_t again_len;

    (void)state;
    memset(body, 'x', sizeof(body));
    assert_false(bc_channel_out_peek(channel, &view, &view_len));
    assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 0, body, sizeof(body)), 0);
    assert_true(bc_channel_out_peek(channel, &view, &view_len));
    before = malloc(view_len);
    assert_non_null(before);
    memcpy(before, view, view_len);
    for (uint64_t i = 1; i < MESSAGES; i++) {
        memset(body, (int)i, sizeof(body));
        assert_int_equal(bc_channel_send(channel, BC_MSG_PING, i, body, sizeof(body)), 0);
        assert_true(bc_channel_out_peek(channel, &again, &again_len));
        assert_ptr_equal(again, view);
        assert_true(again_len >= view_len);
        assert_memory_equal(view, before, view_len);
    }
    free(before);
    bc_channel_destroy(channel);
}

static void reserved_room_becomes_a_message(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_channel *to;
    uint8_t *room;

    (void)state;
    assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 1, "a", 1), 0);
    assert_int_equal(bc_channel_reserve(channel, 100, &room), 0);
    memcpy(room, "reserved", 8);
    bc_channel_commit(channel, BC_MSG_PONG, 2, 8);
    assert_int_equal(bc_channel_reserve(channel, 100, &room), 0);
    bc_channel_commit(channel, BC_MSG_STATS, 3, 0);
    /* Dropped by the send that follows. */
    assert_int_equal(bc_channel_reserve(channel, 200000, &room), 0);
    assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 4, "b", 1), 0);
    assert_int_equal(bc_channel_reserve(channel, 200000, &room), 0);
    assert_int_equal(bc_channel_reserve(channel, 300000, &room), 0);
    memset(room, 'z', 5);
    bc_channel_commit(channel, BC_MSG_PONG, 5, 5);
    to = deliver(channel, 3);
    assert_message(to, BC_MSG_PING, 1, "a", 1);
    assert_message(to, BC_MSG_PONG, 2, "reserved", 8);
    assert_message(to, BC_MSG_STATS, 3, NULL, 0);
    assert_message(to, BC_MSG_PING, 4, "b", 1);
    assert_message(to, BC_MSG_PONG, 5, "zzzzz", 5);
    assert_int_equal(channel_next_rc(to), 0);
    bc_channel_destroy(to);
    bc_channel_destroy(channel);
}

static void reserved_room_outlives_what_was_sent_before(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_channel *to;
    uint8_t bytes[200];
    uint8_t *room;

    (void)state;
    assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 1, "a", 1), 0);
    assert_int_equal(bc_channel_reserve(channel, 100000, &room), 0);
    memset(room, 'r', 100000);
    assert_int_equal(channel_drain(channel, bytes, sizeof(bytes), 10), FRAME_HEADER_LEN + 1);
    bc_channel_commit(channel, BC_MSG_PONG, 2, 50);
    to = deliver(channel, 1000);
    assert_message(to, BC_MSG_PONG, 2, "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr", 50);
    bc_channel_destroy(to);
    bc_channel_destroy(channel);
}

static void reserved_long_message_is_cut_in_frames(void **state)
{
    uint8_t body[1000];
    uint8_t *room;

    (void)state;
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(i * 13);
    }
    for (size_t frame_max = 1; frame_max < 1100; frame_max += 37) {
        for (size_t len = 0; len <= sizeof(body); len += 125) {
            struct bc_channel *channel = channel_new(0, frame_max, 0);
            struct bc_channel *to;

            assert_int_equal(bc_channel_reserve(channel, sizeof(body), &room), 0);
            memcpy(room, body, sizeof(body));
            bc_channel_commit(channel, BC_MSG_QUERY, 5, len);
            to = deliver(channel, 1000);
            assert_message(to, BC_MSG_QUERY, 5, body, len);
            assert_int_equal(channel_next_rc(to), 0);
            bc_channel_destroy(to);
            bc_channel_destroy(channel);
        }
    }
}

/* Rooms far larger than their messages run out of memory bounds before out_max is reached. */
static void reserving_too_much_too_often_is_refused(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 1 << 20);
    struct bc_channel *to;
    uint64_t sent = 0;
    uint8_t *room;
    int rc = 0;

    (void)state;
    while (rc == 0 && sent < 1000) {
        rc = bc_channel_reserve(channel, 500000, &room);
        if (rc == 0) {
            bc_channel_commit(channel, BC_MSG_STATS, sent++, 0);
        }
    }
    assert_int_equal(rc, -EAGAIN);
    assert_true(sent > 1);
    to = deliver(channel, 1000);
    for (uint64_t i = 0; i < sent; i++) {
        assert_message(to, BC_MSG_STATS, i, NULL, 0);
    }
    assert_int_equal(bc_channel_reserve(channel, 500000, &room), 0);
    bc_channel_destroy(to);
    bc_channel_destroy(channel);
}

static void consuming_may_span_what_was_peeked(void **state)
{
    enum { BODY_LEN = 40000, MESSAGES = 50 };
    const size_t each = FRAME_HEADER_LEN + BODY_LEN;
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_channel *to;
    uint8_t *body = calloc(1, BODY_LEN);

    (void)state;
    assert_non_null(body);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(bc_channel_send(channel, BC_MSG_PING, i, body, BODY_LEN), 0);
    }
    bc_channel_out_consume(channel, 7);
    bc_channel_out_consume(channel, each * 20 - 7);
    bc_channel_out_consume(channel, each * 10);
    to = deliver(channel, 10000);
    for (uint64_t i = 30; i < MESSAGES; i++) {
        assert_message(to, BC_MSG_PING, i, body, BODY_LEN);
    }
    assert_int_equal(bc_channel_send(channel, BC_MSG_PING, 0, body, BODY_LEN), 0);
    bc_channel_out_consume(channel, each);
    free(body);
    bc_channel_destroy(to);
    bc_channel_destroy(channel);
}

static void commit_nothing_reserved(void *arg)
{
    bc_channel_commit(arg, BC_MSG_PING, 1, 0);
}

static void commit_too_much(void *arg)
{
    uint8_t *room;

    if (bc_channel_reserve(arg, 5, &room) == 0) {
        bc_channel_commit(arg, BC_MSG_PING, 1, 6);
    }
}

static void commit_twice(void *arg)
{
    uint8_t *room;

    if (bc_channel_reserve(arg, 5, &room) == 0) {
        bc_channel_commit(arg, BC_MSG_PING, 1, 5);
        bc_channel_commit(arg, BC_MSG_PING, 1, 5);
    }
}

static void commit_what_a_send_dropped(void *arg)
{
    uint8_t *room;

    if (bc_channel_reserve(arg, 5, &room) == 0 &&
        bc_channel_send(arg, BC_MSG_PING, 1, "a", 1) == 0) {
        bc_channel_commit(arg, BC_MSG_PING, 1, 5);
    }
}

static void commit_what_was_refused(void *arg)
{
    uint8_t *room;

    if (bc_channel_reserve(arg, 5, &room) == 0 &&
        bc_channel_reserve(arg, BC_MESSAGE_BODY_MAX + 1, &room) == -EMSGSIZE) {
        bc_channel_commit(arg, BC_MSG_PING, 1, 5);
    }
}

static void consume_too_much(void *arg)
{
    bc_channel_out_consume(arg, 1);
}

static void misuse_is_a_bug(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);

    (void)state;
    assert_true(dies_saying(commit_nothing_reserved, channel, "reserved"));
    assert_true(dies_saying(commit_too_much, channel, "reserved_max"));
    assert_true(dies_saying(commit_twice, channel, "reserved"));
    assert_true(dies_saying(commit_what_a_send_dropped, channel, "reserved"));
    assert_true(dies_saying(commit_what_was_refused, channel, "reserved"));
    assert_true(dies_saying(consume_too_much, channel, "waiting"));
    bc_channel_destroy(channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_one_sealed_frame),
        cmocka_unit_test(long_message_is_cut_in_frames),
        cmocka_unit_test(full_queue_refuses_and_keeps_what_it_has),
        cmocka_unit_test(message_that_never_fits_is_refused),
        cmocka_unit_test(view_stays_while_more_is_sent),
        cmocka_unit_test(reserved_room_becomes_a_message),
        cmocka_unit_test(reserved_room_outlives_what_was_sent_before),
        cmocka_unit_test(reserved_long_message_is_cut_in_frames),
        cmocka_unit_test(reserving_too_much_too_often_is_refused),
        cmocka_unit_test(consuming_may_span_what_was_peeked),
        cmocka_unit_test(misuse_is_a_bug),
    };

    return cmocka_run_group_tests_name("channel_queue", tests, NULL, NULL);
}
