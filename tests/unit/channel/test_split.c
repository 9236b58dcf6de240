/* SPDX-License-Identifier: Apache-2.0 */
/* test_split.c - random messages through random splits, and streams that were changed on the way.
 * Whatever happens to a stream, what is shown before the error is what was sent. */
#include "channel_test.h"

#include <stdlib.h>

#include "seeded.h"

#define ROUNDS           60
#define MESSAGES_MAX     40
#define BODY_LEN_MAX     200000
#define BODY_LEN_SMALL   300
#define STREAM_LEN_MAX   ((size_t)16 << 20)
#define MUTATED_ROUNDS   1500
#define MUTATED_BODY_MAX 600
#define MUTATED_MESSAGES 6

struct sent {
    uint8_t type;
    uint64_t request_id;
    size_t body_len;
    uint8_t *body;
};

static void sent_free(struct sent *sent, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(sent[i].body);
    }
}

/* Sends count random messages, by send or by reserve, and takes the stream in random pieces. */
static size_t send_all(struct seeded *seeded, struct sent *sent, size_t count, size_t body_max,
                       size_t frame_max, uint8_t *stream)
{
    struct bc_channel *channel = channel_new(0, frame_max, 0);
    size_t stream_len = 0;

    for (size_t i = 0; i < count; i++) {
        bool small = seeded_below(seeded, 2) == 0;
        uint8_t *room;

        sent[i].type = (uint8_t)seeded_next(seeded);
        sent[i].request_id = seeded_next(seeded);
        sent[i].body_len = seeded_below(seeded, small ? BODY_LEN_SMALL : body_max);
        sent[i].body = malloc(sent[i].body_len + 1);
        assert_non_null(sent[i].body);
        seeded_fill(seeded, sent[i].body, sent[i].body_len);
        if (seeded_below(seeded, 2) == 0) {
            assert_int_equal(bc_channel_send(channel, sent[i].type, sent[i].request_id,
                                             sent[i].body, sent[i].body_len),
                             0);
        } else {
            assert_int_equal(
                bc_channel_reserve(channel, sent[i].body_len + seeded_below(seeded, 100), &room),
                0);
            memcpy(room, sent[i].body, sent[i].body_len);
            bc_channel_commit(channel, sent[i].type, sent[i].request_id, sent[i].body_len);
        }
        if (seeded_below(seeded, 4) == 0) {
            stream_len += channel_drain(channel, stream + stream_len, STREAM_LEN_MAX - stream_len,
                                        1 + seeded_below(seeded, 100000));
        }
    }
    stream_len += channel_drain(channel, stream + stream_len, STREAM_LEN_MAX - stream_len,
                                1 + seeded_below(seeded, 100000));
    bc_channel_destroy(channel);
    return stream_len;
}

/* Receives the stream in random pieces. Returns what bc_channel_next said last; every message that
 * it showed is the next one that was sent. */
static int receive_all(struct seeded *seeded, const struct sent *sent, size_t count,
                       const uint8_t *stream, size_t stream_len, size_t *seen_out)
{
    struct bc_channel *channel = channel_new(0, 0, 0);
    size_t piece_max = 1 + seeded_below(seeded, seeded_below(seeded, 2) == 0 ? 50 : 100000);
    size_t fed = 0;
    size_t seen = 0;
    int rc = 0;

    while (rc >= 0 && (fed < stream_len || rc == 1)) {
        struct bc_message message;

        if (rc == 0) {
            uint64_t piece = bc_min_u64(1 + seeded_below(seeded, piece_max), stream_len - fed);

            channel_feed(channel, stream + fed, piece);
            fed += piece;
        }
        rc = bc_channel_next(channel, &message);
        if (rc == 1) {
            assert_true(seen < count);
            assert_int_equal(message.type, sent[seen].type);
            assert_true(message.request_id == sent[seen].request_id);
            assert_int_equal(message.body_len, sent[seen].body_len);
            assert_memory_equal(message.body, sent[seen].body, message.body_len);
            seen++;
        }
    }
    if (rc < 0) {
        assert_int_equal(channel_next_rc(channel), rc);
    } else if (seen == count) {
        assert_false(bc_channel_in_partial(channel));
    }
    bc_channel_destroy(channel);
    *seen_out = seen;
    return rc;
}

static void all_messages_survive_any_split(void **state)
{
    static const size_t frame_sizes[] = {0, 1 << 16, 4096, 777, 64};
    struct seeded seeded = seeded_start(__func__);
    struct sent sent[MESSAGES_MAX];
    uint8_t *stream = malloc(STREAM_LEN_MAX);

    (void)state;
    assert_non_null(stream);
    for (int round = 0; round < ROUNDS; round++) {
        size_t frame_max = frame_sizes[seeded_below(&seeded, BC_ARRAY_LEN(frame_sizes))];
        size_t body_max = frame_max == 64 ? 20000 : BODY_LEN_MAX;
        size_t count = 1 + seeded_below(&seeded, MESSAGES_MAX - 1);
        size_t len = send_all(&seeded, sent, count, body_max, frame_max, stream);
        size_t seen;

        assert_int_equal(receive_all(&seeded, sent, count, stream, len, &seen), 0);
        assert_int_equal(seen, count);
        sent_free(sent, count);
    }
    free(stream);
}

static void mutate(struct seeded *seeded, uint8_t *stream, size_t *len)
{
    size_t at = seeded_below(seeded, *len);

    switch (seeded_below(seeded, 5)) {
    case 0:
        stream[at] ^= (uint8_t)(1u << seeded_below(seeded, 8));
        break;
    case 1:
        stream[at] = (uint8_t)seeded_next(seeded);
        break;
    case 2: /* cut at the end */
        *len = at + 1;
        break;
    case 3:
        seeded_fill(seeded, stream + at, seeded_below(seeded, *len - at));
        break;
    default: /* a hole */
        memmove(stream + at, stream + at + 1, *len - at - 1);
        *len -= 1;
        break;
    }
}

static void changed_streams_show_nothing_that_was_not_sent(void **state)
{
    struct seeded seeded = seeded_start(__func__);
    struct sent sent[MUTATED_MESSAGES];
    uint8_t *stream = malloc(STREAM_LEN_MAX);
    size_t errors = 0;

    (void)state;
    assert_non_null(stream);
    for (int round = 0; round < MUTATED_ROUNDS; round++) {
        size_t count = 1 + seeded_below(&seeded, MUTATED_MESSAGES - 1);
        size_t len = send_all(&seeded, sent, count, MUTATED_BODY_MAX,
                              1 + seeded_below(&seeded, MUTATED_BODY_MAX), stream);
        size_t seen;
        uint64_t changes = 1 + seeded_below(&seeded, 3);

        for (uint64_t i = 0; i < changes && len > 1; i++) {
            mutate(&seeded, stream, &len);
        }
        if (receive_all(&seeded, sent, count, stream, len, &seen) < 0) {
            errors++;
        }
        sent_free(sent, count);
    }
    assert_true(errors > MUTATED_ROUNDS / 3);
    free(stream);
}

static void random_bytes_are_refused(void **state)
{
    struct seeded seeded = seeded_start(__func__);
    uint8_t bytes[256];

    (void)state;
    for (int round = 0; round < MUTATED_ROUNDS; round++) {
        size_t seen;

        seeded_fill(&seeded, bytes, sizeof(bytes));
        assert_true(receive_all(&seeded, NULL, 0, bytes, sizeof(bytes), &seen) < 0);
        assert_int_equal(seen, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_messages_survive_any_split),
        cmocka_unit_test(changed_streams_show_nothing_that_was_not_sent),
        cmocka_unit_test(random_bytes_are_refused),
    };

    return cmocka_run_group_tests_name("channel_split", tests, NULL, NULL);
}
