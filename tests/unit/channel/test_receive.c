/* SPDX-License-Identifier: Apache-2.0 */
/* test_receive.c - what a channel shows, and what it refuses. */
#include "channel_test.h"

#include <stdlib.h>

static const char hello[] = "hello";

static void message_is_shown_where_it_was_received(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_wire_frame frame = frame_of(BC_MSG_PING, 0, 42, hello, sizeof(hello));
    struct bc_message message;
    uint8_t *room;
    size_t len;

    (void)state;
    assert_int_equal(bc_channel_in_space(channel, &room, &len), 0);
    memcpy(room, &frame, sizeof(frame));
    memcpy(room + sizeof(frame), hello, sizeof(hello));
    bc_channel_in_commit(channel, sizeof(frame) + sizeof(hello));
    assert_int_equal(bc_channel_next(channel, &message), 1);
    assert_int_equal(message.type, BC_MSG_PING);
    assert_int_equal(message.request_id, 42);
    assert_int_equal(message.body_len, sizeof(hello));
    assert_ptr_equal(message.body, room + sizeof(frame));
    assert_int_equal(channel_next_rc(channel), 0);
    bc_channel_destroy(channel);
}

static void nothing_is_shown_before_the_last_byte(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_wire_frame frame = frame_of(BC_MSG_PING, 0, 42, hello, sizeof(hello));
    uint8_t bytes[sizeof(frame) + sizeof(hello)];

    (void)state;
    memcpy(bytes, &frame, sizeof(frame));
    memcpy(bytes + sizeof(frame), hello, sizeof(hello));
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            assert_int_equal(channel_next_rc(channel), 0);
            assert_int_equal(bc_channel_in_partial(channel), i > 0);
            channel_feed(channel, bytes + i, 1);
        }
        assert_message(channel, BC_MSG_PING, 42, hello, sizeof(hello));
        assert_int_equal(channel_next_rc(channel), 0);
        assert_false(bc_channel_in_partial(channel));
    }
    bc_channel_destroy(channel);
}

static void empty_bodies_and_unknown_types_are_shown(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_wire_frame empty = frame_of(BC_MSG_STATS, 0, 1, NULL, 0);
    struct bc_wire_frame unknown = frame_of(200, 0, 2, hello, sizeof(hello));

    (void)state;
    assert_int_equal(empty.body_crc, 0);
    channel_feed_frame(channel, &empty, NULL);
    channel_feed_frame(channel, &unknown, hello);
    assert_message(channel, BC_MSG_STATS, 1, NULL, 0);
    assert_message(channel, 200, 2, hello, sizeof(hello));
    bc_channel_destroy(channel);
}

/* Feeds a sealed header whose field was changed, alone: the body has not come yet. */
#define ASSERT_HEADER_REFUSED(field, value, expected)                                   \
    do {                                                                                \
        struct bc_channel *channel = channel_new(0, 0, 0);                              \
        struct bc_wire_frame frame = frame_of(BC_MSG_PING, 0, 1, hello, sizeof(hello)); \
        frame.field = (value);                                                          \
        frame_seal(&frame);                                                             \
        channel_feed(channel, &frame, sizeof(frame));                                   \
        assert_int_equal(channel_next_rc(channel), expected);                           \
        bc_channel_destroy(channel);                                                    \
    } while (0)

static void header_is_refused_before_its_body_came(void **state)
{
    (void)state;
    ASSERT_HEADER_REFUSED(magic, 0, -EBADMSG);
    ASSERT_HEADER_REFUSED(version, 0, -EPROTONOSUPPORT);
    ASSERT_HEADER_REFUSED(version, 2, -EPROTONOSUPPORT);
    ASSERT_HEADER_REFUSED(flags, 2, -EBADMSG);
    ASSERT_HEADER_REFUSED(flags, BC_FRAME_FLAG_MORE | 0x8000, -EBADMSG);
    ASSERT_HEADER_REFUSED(reserved, 1, -EBADMSG);
    ASSERT_HEADER_REFUSED(body_len, BC_FRAME_BODY_MAX + 1, -EMSGSIZE);
    ASSERT_HEADER_REFUSED(body_len, UINT32_MAX, -EMSGSIZE);
    ASSERT_HEADER_REFUSED(body_len, BC_FRAME_BODY_MAX, 0);
}

static void every_flipped_bit_is_noticed(void **state)
{
    struct bc_wire_frame frame = frame_of(BC_MSG_PING, 0, 1, hello, sizeof(hello));
    uint8_t bytes[sizeof(frame) + sizeof(hello)];

    (void)state;
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        struct bc_channel *channel = channel_new(0, 0, 0);

        memcpy(bytes, &frame, sizeof(frame));
        memcpy(bytes + sizeof(frame), hello, sizeof(hello));
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        channel_feed(channel, bytes, sizeof(bytes));
        assert_true(channel_next_rc(channel) < 0);
        bc_channel_destroy(channel);
    }
}

static void another_protocol_is_refused_by_its_first_bytes(void **state)
{
    static const uint8_t next_version[] = {'B', 'C', 'F', '1', 2};
    struct bc_channel *channel = channel_new(0, 0, 0);

    (void)state;
    channel_feed(channel, "GET ", 4);
    assert_int_equal(channel_next_rc(channel), -EBADMSG);
    bc_channel_destroy(channel);

    channel = channel_new(0, 0, 0);
    channel_feed(channel, next_version, 4);
    assert_int_equal(channel_next_rc(channel), 0);
    channel_feed(channel, next_version + 4, 1);
    assert_int_equal(channel_next_rc(channel), -EPROTONOSUPPORT);
    bc_channel_destroy(channel);
}

static void channel_is_dead_after_an_error_but_can_say_why(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_wire_frame good = frame_of(BC_MSG_PING, 0, 1, hello, sizeof(hello));
    struct bc_wire_frame bad = good;
    uint8_t bytes[100];

    (void)state;
    bad.header_crc++;
    channel_feed_frame(channel, &good, hello);
    channel_feed_frame(channel, &bad, hello);
    channel_feed_frame(channel, &good, hello);
    assert_message(channel, BC_MSG_PING, 1, hello, sizeof(hello));
    assert_int_equal(channel_next_rc(channel), -EBADMSG);
    assert_int_equal(channel_next_rc(channel), -EBADMSG);
    channel_feed_frame(channel, &good, hello);
    assert_int_equal(channel_next_rc(channel), -EBADMSG);
    assert_int_equal(bc_channel_send(channel, BC_MSG_ERROR, 0, hello, sizeof(hello)), 0);
    assert_int_equal(channel_drain(channel, bytes, sizeof(bytes), SIZE_MAX),
                     sizeof(good) + sizeof(hello));
    bc_channel_destroy(channel);
}

static void parts_become_one_message(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_wire_frame first = frame_of(BC_MSG_QUERY, BC_FRAME_FLAG_MORE, 7, "ab", 2);
    struct bc_wire_frame second = frame_of(BC_MSG_QUERY, BC_FRAME_FLAG_MORE, 7, "cde", 3);
    struct bc_wire_frame last = frame_of(BC_MSG_QUERY, 0, 7, "f", 1);
    struct bc_wire_frame none = frame_of(BC_MSG_QUERY, 0, 7, NULL, 0);

    (void)state;
    for (int round = 0; round < 2; round++) {
        channel_feed_frame(channel, &first, "ab");
        assert_int_equal(channel_next_rc(channel), 0);
        assert_true(bc_channel_in_partial(channel));
        channel_feed_frame(channel, &second, "cde");
        channel_feed_frame(channel, &last, "f");
        assert_message(channel, BC_MSG_QUERY, 7, "abcdef", 6);
        assert_int_equal(channel_next_rc(channel), 0);
        assert_false(bc_channel_in_partial(channel));
    }
    /* The last frame of a message may have nothing to add. */
    channel_feed_frame(channel, &first, "ab");
    channel_feed_frame(channel, &none, NULL);
    channel_feed_frame(channel, &last, "f");
    assert_message(channel, BC_MSG_QUERY, 7, "ab", 2);
    assert_message(channel, BC_MSG_QUERY, 7, "f", 1);
    bc_channel_destroy(channel);
}

static void parts_of_two_messages_do_not_mix(void **state)
{
    const struct bc_wire_frame first = frame_of(BC_MSG_QUERY, BC_FRAME_FLAG_MORE, 7, "ab", 2);
    const struct bc_wire_frame intruders[] = {
        frame_of(BC_MSG_QUERY, 0, 8, "c", 1),
        frame_of(BC_MSG_REMOVE, 0, 7, "c", 1),
        frame_of(BC_MSG_QUERY, BC_FRAME_FLAG_MORE, 7, NULL, 0),
    };

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(intruders); i++) {
        struct bc_channel *channel = channel_new(0, 0, 0);

        channel_feed_frame(channel, &first, "ab");
        channel_feed(channel, &intruders[i], sizeof(intruders[i]));
        assert_int_equal(channel_next_rc(channel), -EBADMSG);
        bc_channel_destroy(channel);
    }
}

static void message_over_its_limit_is_refused_by_the_header(void **state)
{
    static const uint8_t body[200];
    struct bc_channel *channel = channel_new(200, 0, 0);
    struct bc_wire_frame all = frame_of(BC_MSG_QUERY, 0, 7, body, 200);
    struct bc_wire_frame part = frame_of(BC_MSG_QUERY, BC_FRAME_FLAG_MORE, 7, body, 150);
    struct bc_wire_frame rest = frame_of(BC_MSG_QUERY, 0, 7, body, 50);
    struct bc_wire_frame over = frame_of(BC_MSG_QUERY, 0, 7, body, 51);

    (void)state;
    channel_feed_frame(channel, &all, body);
    channel_feed_frame(channel, &part, body);
    channel_feed_frame(channel, &rest, body);
    channel_feed_frame(channel, &part, body);
    channel_feed(channel, &over, sizeof(over));
    assert_message(channel, BC_MSG_QUERY, 7, body, 200);
    assert_message(channel, BC_MSG_QUERY, 7, body, 200);
    assert_int_equal(channel_next_rc(channel), -EMSGSIZE);
    bc_channel_destroy(channel);

    channel = channel_new(199, 0, 0);
    channel_feed(channel, &all, sizeof(all));
    assert_int_equal(channel_next_rc(channel), -EMSGSIZE);
    bc_channel_destroy(channel);
}

/* Fills the rest of the buffer while a message is shown, as a receive under way would. */
static void shown_message_stays_while_more_is_received(void **state)
{
    enum { BODY_LEN = 3000, FRAMES = 400 };
    struct bc_channel *channel = channel_new(0, 0, 0);
    uint8_t *body = malloc(BODY_LEN);
    uint8_t *stream = malloc((FRAME_HEADER_LEN + BODY_LEN) * FRAMES);
    size_t stream_len = 0;
    size_t fed = 0;
    uint64_t seen = 0;

    (void)state;
    assert_non_null(body);
    assert_non_null(stream);
    for (uint64_t i = 0; i < FRAMES; i++) {
        struct bc_wire_frame frame;

        memset(body, (int)i, BODY_LEN);
        frame = frame_of(BC_MSG_PING, 0, i, body, BODY_LEN);
        memcpy(stream + stream_len, &frame, sizeof(frame));
        memcpy(stream + stream_len + sizeof(frame), body, BODY_LEN);
        stream_len += sizeof(frame) + BODY_LEN;
    }
    while (seen < FRAMES) {
        struct bc_message message;
        uint8_t *room;
        size_t step;
        int rc = bc_channel_next(channel, &message);

        assert_true(rc >= 0);
        assert_int_equal(bc_channel_in_space(channel, &room, &step), 0);
        step = bc_min_u64(step, stream_len - fed);
        memcpy(room, stream + fed, step);
        if (rc == 1) {
            memset(body, (int)seen, BODY_LEN);
            assert_true(message.request_id == seen);
            assert_int_equal(message.body_len, BODY_LEN);
            assert_memory_equal(message.body, body, BODY_LEN);
            seen++;
        }
        /* Not more than is taken: a buffer of messages that nobody takes is refused. */
        step = bc_min_u64(step, rc == 1 ? 2000 : 9000);
        bc_channel_in_commit(channel, step);
        fed += step;
    }
    assert_int_equal(channel_next_rc(channel), 0);
    assert_false(bc_channel_in_partial(channel));
    free(stream);
    free(body);
    bc_channel_destroy(channel);
}

static void buffer_that_nobody_empties_is_bounded(void **state)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    struct bc_wire_frame frame = frame_of(BC_MSG_STATS, 0, 1, NULL, 0);
    size_t fed = 0;
    uint8_t *room;
    size_t len;
    int rc = 0;

    (void)state;
    for (int i = 0; i < 10000 && rc == 0; i++) {
        rc = bc_channel_in_space(channel, &room, &len);
        if (rc == 0) {
            size_t step = len / sizeof(frame) * sizeof(frame);

            for (size_t at = 0; at < step; at += sizeof(frame)) {
                memcpy(room + at, &frame, sizeof(frame));
            }
            bc_channel_in_commit(channel, step);
            fed += step;
        }
    }
    assert_int_equal(rc, -ENOMEM);
    assert_true(fed <= BC_FRAME_BODY_MAX + (128 << 10));
    for (size_t i = 0; i < fed / sizeof(frame); i++) {
        assert_message(channel, BC_MSG_STATS, 1, NULL, 0);
    }
    assert_int_equal(channel_next_rc(channel), 0);
    assert_int_equal(bc_channel_in_space(channel, &room, &len), 0);
    bc_channel_destroy(channel);
}

static void largest_frame_and_largest_message_arrive(void **state)
{
    struct bc_channel *from = channel_new(0, 0, 0);
    struct bc_channel *to = channel_new(0, 0, 0);
    uint8_t *body = malloc(BC_MESSAGE_BODY_MAX);
    const uint8_t *view;
    size_t len;

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < BC_MESSAGE_BODY_MAX; i++) {
        body[i] = (uint8_t)(i * 7 + (i >> 12));
    }
    assert_int_equal(bc_channel_send(from, BC_MSG_QUERY, 1, body, BC_FRAME_BODY_MAX), 0);
    assert_int_equal(bc_channel_send(from, BC_MSG_QUERY, 2, body, BC_MESSAGE_BODY_MAX), 0);
    for (uint64_t id = 1; id <= 2;) {
        struct bc_message message;
        int rc = bc_channel_next(to, &message);

        if (rc == 1) {
            assert_true(message.request_id == id);
            assert_int_equal(message.body_len, id == 1 ? BC_FRAME_BODY_MAX : BC_MESSAGE_BODY_MAX);
            assert_memory_equal(message.body, body, message.body_len);
            id++;
            continue;
        }
        assert_int_equal(rc, 0);
        assert_true(bc_channel_out_peek(from, &view, &len));
        len = bc_min_u64(len, 50000);
        channel_feed(to, view, len);
        bc_channel_out_consume(from, len);
    }
    assert_int_equal(channel_next_rc(to), 0);
    free(body);
    bc_channel_destroy(from);
    bc_channel_destroy(to);
}

static void options_over_the_protocol_are_refused(void **state)
{
    const struct bc_channel_options big_message = {.message_max = BC_MESSAGE_BODY_MAX + 1};
    const struct bc_channel_options big_frame = {.frame_max = BC_FRAME_BODY_MAX + 1};
    struct bc_channel *channel = NULL;

    (void)state;
    assert_int_equal(bc_channel_create(&big_message, &channel), -EINVAL);
    assert_int_equal(bc_channel_create(&big_frame, &channel), -EINVAL);
    assert_null(channel);
    channel = channel_new(BC_MESSAGE_BODY_MAX, BC_FRAME_BODY_MAX, 0);
    bc_channel_destroy(channel);
    assert_int_equal(bc_channel_create(NULL, &channel), 0);
    bc_channel_destroy(channel);
    bc_channel_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_shown_where_it_was_received),
        cmocka_unit_test(nothing_is_shown_before_the_last_byte),
        cmocka_unit_test(empty_bodies_and_unknown_types_are_shown),
        cmocka_unit_test(header_is_refused_before_its_body_came),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(another_protocol_is_refused_by_its_first_bytes),
        cmocka_unit_test(channel_is_dead_after_an_error_but_can_say_why),
        cmocka_unit_test(parts_become_one_message),
        cmocka_unit_test(parts_of_two_messages_do_not_mix),
        cmocka_unit_test(message_over_its_limit_is_refused_by_the_header),
        cmocka_unit_test(shown_message_stays_while_more_is_received),
        cmocka_unit_test(buffer_that_nobody_empties_is_bounded),
        cmocka_unit_test(largest_frame_and_largest_message_arrive),
        cmocka_unit_test(options_over_the_protocol_are_refused),
    };

    return cmocka_run_group_tests_name("channel_receive", tests, NULL, NULL);
}
