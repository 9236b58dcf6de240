/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_channel.c - a stream of bytes, cut anywhere, into the reader of frames.
 *
 *   input: [ choices: 2 bits message_max, 6 bits how the stream is cut ][ the stream ]
 *
 * What comes out is sent through a second channel and has to arrive there unchanged. The mutator
 * mends magic and checksums of most inputs: nothing behind them would be reached otherwise. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "channel/channel.h"

#define ECHO_LEN_MAX 4096u

static const size_t message_maxs[] = {64, 4096, 70000, BC_MESSAGE_BODY_MAX};

/* Moves what `from` wants to send into `to`. */
static void carry(struct bc_channel *from, struct bc_channel *to)
{
    const uint8_t *data;
    size_t len;

    while (bc_channel_out_peek(from, &data, &len)) {
        uint8_t *space;
        size_t room;

        BC_ASSERT(bc_channel_in_space(to, &space, &room) == 0);
        len = len < room ? len : room;
        memcpy(space, data, len);
        bc_channel_in_commit(to, len);
        bc_channel_out_consume(from, len);
    }
}

static void check_echo(const struct bc_message *message, size_t frame_max)
{
    struct bc_channel_options options = {.frame_max = frame_max};
    struct bc_channel *sender;
    struct bc_channel *receiver;
    struct bc_message again;

    BC_ASSERT(bc_channel_create(&options, &sender) == 0);
    BC_ASSERT(bc_channel_create(NULL, &receiver) == 0);
    BC_ASSERT(bc_channel_send(sender, message->type, message->request_id, message->body,
                              message->body_len) == 0);
    carry(sender, receiver);
    BC_ASSERT(bc_channel_next(receiver, &again) == 1);
    BC_ASSERT(again.type == message->type && again.request_id == message->request_id &&
              again.body_len == message->body_len);
    BC_ASSERT(again.body_len == 0 || memcmp(again.body, message->body, again.body_len) == 0);
    BC_ASSERT(bc_channel_next(receiver, &again) == 0 && !bc_channel_in_partial(receiver));
    bc_channel_destroy(receiver);
    bc_channel_destroy(sender);
}

/* Every message that is there. False: the channel is dead, for good. */
static bool take_messages(struct bc_channel *channel, size_t message_max)
{
    struct bc_message message;
    int rc;

    while ((rc = bc_channel_next(channel, &message)) == 1) {
        BC_ASSERT(message.body_len <= message_max);
        if (message.body_len <= ECHO_LEN_MAX) {
            check_echo(&message, 1 + message.request_id % 300);
        }
    }
    BC_ASSERT(rc == 0 || bc_channel_next(channel, &message) == rc);
    return rc == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t choices = len > 0 ? data[0] : 0;
    struct bc_channel_options options = {.message_max = message_maxs[choices & 3u]};
    struct bc_channel *channel;
    uint32_t cut = choices >> 2;
    size_t pos = 1;
    bool alive = true;

    BC_ASSERT(bc_channel_create(&options, &channel) == 0);
    while (pos < len && alive) {
        uint8_t *space;
        size_t room;
        size_t part;

        cut = cut * 1103515245u + 12345u;
        part = 1 + (choices >> 2 == 0 ? len : (cut >> 16) % 61u);
        part = part < len - pos ? part : len - pos;
        BC_ASSERT(bc_channel_in_space(channel, &space, &room) == 0);
        part = part < room ? part : room;
        memcpy(space, data + pos, part);
        bc_channel_in_commit(channel, part);
        pos += part;
        alive = take_messages(channel, options.message_max);
    }
    bc_channel_destroy(channel);
    return 0;
}

/* Makes a chain of frames of the stream; `strict`: each also ends where the stream does. */
static void mend(uint8_t *stream, size_t len, bool strict)
{
    struct bc_wire_frame frame;

    while (len >= sizeof(frame)) {
        size_t left = len - sizeof(frame);

        memcpy(&frame, stream, sizeof(frame));
        frame.magic = BC_WIRE_MAGIC;
        frame.version = BC_WIRE_VERSION;
        if (strict) {
            frame.flags &= BC_FRAME_FLAGS_KNOWN;
            frame.reserved = 0;
            frame.body_len =
                frame.body_len > left ? (uint32_t)(frame.body_len % (left + 1)) : frame.body_len;
        }
        if (frame.body_len <= left) {
            frame.body_crc = bc_crc32c(0, stream + sizeof(frame), frame.body_len);
            left = frame.body_len;
        }
        frame.header_crc = bc_crc32c(0, &frame, offsetof(struct bc_wire_frame, header_crc));
        memcpy(stream, &frame, sizeof(frame));
        stream += sizeof(frame) + left;
        len -= sizeof(frame) + left;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned int seed)
{
    len = LLVMFuzzerMutate(data, len, max_len);
    if (len > 1 && seed % 8 != 0) {
        mend(data + 1, len - 1, seed % 8 > 2);
    }
    return len;
}
