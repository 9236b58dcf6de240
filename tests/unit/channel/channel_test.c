/* SPDX-License-Identifier: Apache-2.0 */
/* channel_test.c - see channel_test.h. */
#include "channel_test.h"

#include "base/crc32c.h"

struct bc_wire_frame frame_of(uint8_t type, uint16_t flags, uint64_t request_id, const void *body,
                              size_t body_len)
{
    struct bc_wire_frame frame = {
        .magic = BC_WIRE_MAGIC,
        .version = BC_WIRE_VERSION,
        .type = type,
        .flags = flags,
        .body_len = (uint32_t)body_len,
        .body_crc = bc_crc32c(0, body, body_len),
        .request_id = request_id,
    };

    frame_seal(&frame);
    return frame;
}

void frame_seal(struct bc_wire_frame *frame)
{
    frame->header_crc = bc_crc32c(0, frame, offsetof(struct bc_wire_frame, header_crc));
}

struct bc_channel *channel_new(size_t message_max, size_t frame_max, size_t out_max)
{
    const struct bc_channel_options options = {
        .message_max = message_max, .frame_max = frame_max, .out_max = out_max};
    struct bc_channel *channel = NULL;

    assert_int_equal(bc_channel_create(&options, &channel), 0);
    return channel;
}

void channel_feed(struct bc_channel *channel, const void *data, size_t len)
{
    const uint8_t *from = data;

    while (len > 0) {
        uint8_t *room;
        size_t step;

        assert_int_equal(bc_channel_in_space(channel, &room, &step), 0);
        assert_true(step >= 4096);
        if (step > len) {
            step = len;
        }
        memcpy(room, from, step);
        bc_channel_in_commit(channel, step);
        from += step;
        len -= step;
    }
}

void channel_feed_frame(struct bc_channel *channel, const struct bc_wire_frame *frame,
                        const void *body)
{
    channel_feed(channel, frame, sizeof(*frame));
    channel_feed(channel, body, frame->body_len);
}

size_t channel_drain(struct bc_channel *channel, void *data, size_t cap, size_t piece_max)
{
    uint8_t *to = data;
    const uint8_t *view;
    size_t len;
    size_t total = 0;

    while (bc_channel_out_peek(channel, &view, &len)) {
        assert_true(len > 0);
        if (len > piece_max) {
            len = piece_max;
        }
        assert_true(len <= cap - total);
        memcpy(to + total, view, len);
        bc_channel_out_consume(channel, len);
        total += len;
    }
    return total;
}

void assert_message(struct bc_channel *channel, uint8_t type, uint64_t request_id, const void *body,
                    size_t body_len)
{
    struct bc_message message;

    assert_int_equal(bc_channel_next(channel, &message), 1);
    assert_int_equal(message.type, type);
    assert_true(message.request_id == request_id);
    assert_int_equal(message.body_len, body_len);
    if (body_len > 0) {
        assert_memory_equal(message.body, body, body_len);
    }
}

int channel_next_rc(struct bc_channel *channel)
{
    struct bc_message message;
    int rc = bc_channel_next(channel, &message);

    assert_true(rc <= 0);
    return rc;
}
