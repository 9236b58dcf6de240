/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch_stream.c - streams over messages of Comch, without DOCA: the format of a message, the
 * window, and what a peer that breaks the rules comes to. */
#include "channel_test.h"

#include <errno.h>
#include <stdlib.h>

#include "channel/comch_stream.h"
#include "seeded.h"

#define DATA_MAX    (BC_COMCH_MESSAGE_MAX - BC_COMCH_HEADER_LEN)
#define QUEUE_MAX   512u
#define MOVED_TOTAL (UINT64_C(8) << 20)

/* ---- a message ----------------------------------------------------------------------------- */

static void header_comes_back_as_it_was(void **state)
{
    static const uint32_t takens[] = {0, 1, 0x01020304, UINT32_MAX};
    uint8_t message[BC_COMCH_HEADER_LEN + 1] = {0};

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(takens); i++) {
        for (uint8_t kind = BC_COMCH_DATA; kind <= BC_COMCH_CLOSE; kind++) {
            struct bc_comch_header header = {.kind = kind, .taken = takens[i]};
            struct bc_comch_header got = {0};
            size_t len = BC_COMCH_HEADER_LEN + (kind == BC_COMCH_DATA ? 1 : 0);

            bc_comch_header_encode(&header, message);
            assert_int_equal(bc_comch_header_decode(message, len, &got), 0);
            assert_int_equal(got.kind, kind);
            assert_int_equal(got.taken, takens[i]);
        }
    }
    assert_memory_equal(message, "\1\3\0\0\377\377\377\377", BC_COMCH_HEADER_LEN);
}

static void messages_that_are_none_are_refused(void **state)
{
    static const struct {
        const char *message;
        size_t len;
        int rc;
    } cases[] = {
        {"", 0, -EBADMSG},
        {"\1\2\0\0\0\0\0", 7, -EBADMSG},           /* too short */
        {"\0\2\0\0\0\0\0\0", 8, -EPROTONOSUPPORT}, /* versions */
        {"\2\2\0\0\0\0\0\0", 8, -EPROTONOSUPPORT},
        {"\1\0\0\0\0\0\0\0", 8, -EBADMSG}, /* kinds */
        {"\1\4\0\0\0\0\0\0", 8, -EBADMSG},
        {"\1\377\0\0\0\0\0\0", 8, -EBADMSG},
        {"\1\2\1\0\0\0\0\0", 8, -EBADMSG}, /* not zero */
        {"\1\2\0\1\0\0\0\0", 8, -EBADMSG},
        {"\1\1\0\0\0\0\0\0", 8, -EBADMSG},  /* data without data */
        {"\1\2\0\0\0\0\0\0x", 9, -EBADMSG}, /* data where none belongs */
        {"\1\3\0\0\0\0\0\0x", 9, -EBADMSG},
    };

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(cases); i++) {
        struct bc_comch_header header = {.kind = 77};

        assert_int_equal(
            bc_comch_header_decode((const uint8_t *)cases[i].message, cases[i].len, &header),
            cases[i].rc);
        assert_int_equal(header.kind, 77);
    }
}

/* ---- two ends ------------------------------------------------------------------------------ */

struct message {
    size_t len;
    uint8_t bytes[BC_COMCH_MESSAGE_MAX];
};

/* One direction: what `from` sent and `to` has not seen yet. */
struct way {
    struct bc_comch_stream *from;
    struct bc_comch_stream *to;
    struct message *queue;
    size_t first;
    size_t count;
    uint64_t sent;
    uint64_t read;
};

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8));
}

static bool send_one(struct way *way, enum bc_comch_kind kind, size_t len)
{
    struct message *message = &way->queue[(way->first + way->count) % QUEUE_MAX];

    if (way->count == QUEUE_MAX || len > bc_comch_stream_room(way->from)) {
        return false;
    }
    bc_comch_stream_header(way->from, kind, message->bytes);
    message->len = BC_COMCH_HEADER_LEN + len;
    for (size_t i = 0; i < len; i++) {
        message->bytes[BC_COMCH_HEADER_LEN + i] = byte_at(way->sent + i);
    }
    bc_comch_stream_sent(way->from, len);
    way->sent += len;
    way->count++;
    return true;
}

static void deliver(struct way *way)
{
    const struct message *message = &way->queue[way->first];

    if (way->count > 0) {
        assert_int_equal(bc_comch_stream_arrive(way->to, message->bytes, message->len), 0);
        way->first = (way->first + 1) % QUEUE_MAX;
        way->count--;
        assert_true(way->to->len <= BC_COMCH_WINDOW);
        assert_true(way->to->cap <= BC_COMCH_WINDOW);
    }
}

static void read_some(struct way *way, size_t len)
{
    static uint8_t data[BC_COMCH_WINDOW];
    size_t got = bc_comch_stream_read(way->to, data, len);

    assert_true(got <= len);
    for (size_t i = 0; i < got; i++) {
        assert_int_equal(data[i], byte_at(way->read + i));
    }
    way->read += got;
}

static void ways_open(struct way ways[2], struct bc_comch_stream ends[2])
{
    for (int i = 0; i < 2; i++) {
        bc_comch_stream_init(&ends[i]);
        ways[i] = (struct way){.from = &ends[i], .to = &ends[1 - i]};
        ways[i].queue = calloc(QUEUE_MAX, sizeof(*ways[i].queue));
        assert_non_null(ways[i].queue);
    }
}

static void ways_close(struct way ways[2], struct bc_comch_stream ends[2])
{
    for (int i = 0; i < 2; i++) {
        bc_comch_stream_fini(&ends[i]);
        free(ways[i].queue);
    }
}

/* Both directions at once, with steps of any size in any order, also where the counters wrap. */
static void bytes_arrive_in_order_within_the_window(void **state)
{
    struct seeded seeded = seeded_start("comch_stream");
    struct bc_comch_stream ends[2];
    struct way ways[2];
    uint64_t steps = 0;

    (void)state;
    ways_open(ways, ends);
    ends[0].sent = ends[0].peer_taken = UINT32_MAX - 100000;
    ends[1].taken = ends[1].told = UINT32_MAX - 100000;
    while (ways[0].read < MOVED_TOTAL || ways[1].read < MOVED_TOTAL) {
        struct way *way = &ways[seeded_below(&seeded, 2)];

        assert_true(++steps < 10000000);
        switch (seeded_below(&seeded, 4)) {
        case 0:
            (void)send_one(way, BC_COMCH_DATA, 1 + seeded_below(&seeded, DATA_MAX));
            break;
        case 1:
            deliver(way);
            break;
        case 2:
            read_some(way, 1 + seeded_below(&seeded, 20000));
            break;
        default:
            if (bc_comch_stream_owes(way->from)) {
                (void)send_one(way, BC_COMCH_CREDIT, 0);
            }
            break;
        }
    }
    assert_true(ways[0].sent - ways[0].read <= BC_COMCH_WINDOW);
    ways_close(ways, ends);
}

static void who_does_not_read_stops_the_sender(void **state)
{
    struct bc_comch_stream ends[2];
    struct way ways[2];

    (void)state;
    ways_open(ways, ends);
    while (send_one(&ways[0], BC_COMCH_DATA,
                    bc_min_u64(DATA_MAX, bc_max_u64(1, bc_comch_stream_room(&ends[0]))))) {
        deliver(&ways[0]);
    }
    assert_int_equal(bc_comch_stream_room(&ends[0]), 0);
    assert_int_equal(ends[1].len, BC_COMCH_WINDOW);
    read_some(&ways[0], BC_COMCH_WINDOW / 2 - 1);
    assert_false(bc_comch_stream_owes(&ends[1]));
    read_some(&ways[0], 1);
    assert_true(bc_comch_stream_owes(&ends[1]));
    assert_int_equal(bc_comch_stream_room(&ends[0]), 0);
    assert_true(send_one(&ways[1], BC_COMCH_CREDIT, 0));
    assert_false(bc_comch_stream_owes(&ends[1]));
    deliver(&ways[1]);
    assert_int_equal(bc_comch_stream_room(&ends[0]), BC_COMCH_WINDOW / 2);
    ways_close(ways, ends);
}

static void close_comes_after_what_was_sent(void **state)
{
    struct bc_comch_stream ends[2];
    struct way ways[2];
    uint8_t nothing;

    (void)state;
    ways_open(ways, ends);
    assert_true(send_one(&ways[0], BC_COMCH_DATA, 100));
    assert_true(send_one(&ways[0], BC_COMCH_CLOSE, 0));
    deliver(&ways[0]);
    assert_false(ends[1].peer_closed);
    deliver(&ways[0]);
    assert_true(ends[1].peer_closed);
    read_some(&ways[0], 1000);
    assert_int_equal(ways[0].read, 100);
    /* Nothing that comes later counts, whatever it is. */
    assert_int_equal(bc_comch_stream_arrive(&ends[1], (const uint8_t *)"rubbish", 7), 0);
    assert_int_equal(bc_comch_stream_read(&ends[1], &nothing, 1), 0);
    ways_close(ways, ends);
}

/* ---- peers that break the rules ------------------------------------------------------------ */

static int arrive(struct bc_comch_stream *stream, uint8_t kind, uint32_t taken, size_t data_len)
{
    static uint8_t message[BC_COMCH_WINDOW + BC_COMCH_HEADER_LEN + 1];
    struct bc_comch_header header = {.kind = kind, .taken = taken};

    bc_comch_header_encode(&header, message);
    return bc_comch_stream_arrive(stream, message, BC_COMCH_HEADER_LEN + data_len);
}

static void more_than_the_window_is_refused(void **state)
{
    struct bc_comch_stream stream;
    uint8_t data[1000];

    (void)state;
    bc_comch_stream_init(&stream);
    assert_int_equal(arrive(&stream, BC_COMCH_DATA, 0, BC_COMCH_WINDOW + 1), -EMSGSIZE);
    assert_null(stream.ring);
    assert_int_equal(arrive(&stream, BC_COMCH_DATA, 0, BC_COMCH_WINDOW - 10), 0);
    assert_int_equal(arrive(&stream, BC_COMCH_DATA, 0, 11), -EMSGSIZE);
    /* Room that nobody told the peer of is none. */
    assert_int_equal(bc_comch_stream_read(&stream, data, sizeof(data)), sizeof(data));
    assert_int_equal(arrive(&stream, BC_COMCH_DATA, 0, 11), -EMSGSIZE);
    bc_comch_stream_sent(&stream, 0);
    assert_int_equal(arrive(&stream, BC_COMCH_DATA, 0, 11), 0);
    bc_comch_stream_fini(&stream);
}

static void credit_for_what_was_not_sent_is_refused(void **state)
{
    struct bc_comch_stream stream;

    (void)state;
    bc_comch_stream_init(&stream);
    assert_int_equal(arrive(&stream, BC_COMCH_CREDIT, 1, 0), -EBADMSG);
    bc_comch_stream_sent(&stream, 1000);
    assert_int_equal(arrive(&stream, BC_COMCH_CREDIT, 600, 0), 0);
    assert_int_equal(arrive(&stream, BC_COMCH_CREDIT, 599, 0), -EBADMSG); /* it goes back */
    assert_int_equal(arrive(&stream, BC_COMCH_DATA, 1001, 5), -EBADMSG);
    assert_int_equal(stream.len, 0);
    assert_int_equal(bc_comch_stream_room(&stream), BC_COMCH_WINDOW - 400);
    bc_comch_stream_fini(&stream);
}

/* Whatever comes, it is taken or refused, and memory stays within the window. */
static void random_messages_stay_within_bounds(void **state)
{
    struct seeded seeded = seeded_start("comch_stream_random");
    uint8_t message[BC_COMCH_MESSAGE_MAX];
    uint8_t data[5000];

    (void)state;
    for (uint32_t round = 0; round < 2000; round++) {
        struct bc_comch_stream stream;
        int rc = 0;

        bc_comch_stream_init(&stream);
        for (uint32_t i = 0; i < 100 && rc == 0; i++) {
            struct bc_comch_header header = {.kind = (uint8_t)(1 + seeded_below(&seeded, 2)),
                                             .taken = stream.peer_taken};
            size_t len = BC_COMCH_HEADER_LEN +
                         (header.kind == BC_COMCH_DATA ? 1 + seeded_below(&seeded, DATA_MAX) : 0);

            bc_comch_stream_sent(&stream, bc_comch_stream_room(&stream) / 2);
            bc_comch_header_encode(&header, message);
            if (seeded_below(&seeded, 4) == 0) {
                message[seeded_below(&seeded, BC_COMCH_HEADER_LEN)] ^=
                    (uint8_t)(1u << seeded_below(&seeded, 8));
            }
            rc = bc_comch_stream_arrive(&stream, message, seeded_below(&seeded, 50) == 0 ? 5 : len);
            assert_true(rc == 0 || rc == -EBADMSG || rc == -EPROTONOSUPPORT || rc == -EMSGSIZE);
            assert_true(stream.cap <= BC_COMCH_WINDOW && stream.len <= stream.cap);
            assert_true(bc_comch_stream_room(&stream) <= BC_COMCH_WINDOW);
            (void)bc_comch_stream_read(&stream, data, 1 + seeded_below(&seeded, sizeof(data)));
        }
        bc_comch_stream_fini(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_comes_back_as_it_was),
        cmocka_unit_test(messages_that_are_none_are_refused),
        cmocka_unit_test(bytes_arrive_in_order_within_the_window),
        cmocka_unit_test(who_does_not_read_stops_the_sender),
        cmocka_unit_test(close_comes_after_what_was_sent),
        cmocka_unit_test(more_than_the_window_is_refused),
        cmocka_unit_test(credit_for_what_was_not_sent_is_refused),
        cmocka_unit_test(random_messages_stay_within_bounds),
    };

    return cmocka_run_group_tests_name("channel_comch_stream", tests, NULL, NULL);
}
