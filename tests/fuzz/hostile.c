/* SPDX-License-Identifier: Apache-2.0 */
/* hostile.c - see hostile.h. */
#include "hostile.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "samples.h"

/* What an input does to a message that was right. */
enum harm {
    HARM_BODY_SHORTER = 1,
    HARM_BODY_LONGER = 2,
    HARM_BODY_NUMBER = 3, /* some bytes of the body become a number at an end */
    HARM_HEADER = 4,      /* a byte of the frame's header */
    HARM_PAUSE = 5,       /* the frame comes in two parts */
    HARM_STOP = 6,        /* only its first part comes, ever */
    HARM_DROP = 7,        /* only its first part comes, then the connection ends */
    HARM_TWICE = 8,
    HARM_FRAMES = 9,   /* it is cut in many frames */
    HARM_ENDLESS = 10, /* its last frame says that more follow */
    HARM_COUNT = 40,   /* any other: none */
};

struct stream {
    uint8_t bytes[HOSTILE_STREAM_MAX];
    size_t len;
};

/* ---- the connection ------------------------------------------------------------------------- */

void hostile_connect(struct hostile *hostile, struct bed *bed, uint32_t worker)
{
    memset(hostile, 0, sizeof(*hostile));
    hostile->bed = bed;
    hostile->next_id = 2;
    bed_connect(bed, worker, &hostile->client);
}

void hostile_drop(struct hostile *hostile)
{
    if (hostile->client.channel != NULL) {
        bed_close(&hostile->client);
        hostile->client.fd = -1;
    }
}

/* ---- questions and answers ------------------------------------------------------------------ */

static struct hostile_question *find(struct hostile *hostile, uint8_t type, uint64_t id)
{
    for (uint32_t i = 0; i < hostile->question_count; i++) {
        struct hostile_question *question = &hostile->questions[i];
        if (question->type == type && question->id == id) {
            return question;
        }
    }
    return NULL;
}

/* False: no room to remember one more. */
static bool remember(struct hostile *hostile, uint8_t type, uint64_t id)
{
    struct hostile_question *question = find(hostile, type, id);

    if (question == NULL && hostile->question_count == HOSTILE_QUESTIONS) {
        return false;
    }
    if (question == NULL) {
        question = &hostile->questions[hostile->question_count++];
        *question = (struct hostile_question){.id = id, .type = type};
    }
    question->sent++;
    return true;
}

/* The question that this answers; 0: it is no answer. */
static uint8_t question_of(uint8_t answer)
{
    switch (answer) {
    case BC_MSG_HELLO_ACK:
    case BC_MSG_REGISTER_ACK:
    case BC_MSG_UNREGISTER_ACK:
    case BC_MSG_COMPLETION:
    case BC_MSG_QUERY_RESULT:
    case BC_MSG_REMOVE_RESULT:
    case BC_MSG_PONG:
    case BC_MSG_STATS_RESULT:
        return answer - 1;
    default:
        return 0;
    }
}

static void check_message(struct hostile *hostile, const struct bc_message *message)
{
    struct hostile_question *question;
    uint64_t sum;

    BC_ASSERT(walk_decode(message->type, message->body, message->body_len, &sum) == 0);
    if (message->type == BC_MSG_ERROR || message->type == BC_MSG_GOODBYE) {
        hostile->over = true;
        return;
    }
    BC_ASSERT(question_of(message->type) != 0);
    question = find(hostile, question_of(message->type), message->request_id);
    if (hostile->dirty && (question == NULL || question->answered == question->sent)) {
        return; /* what was sent is not known for certain */
    }
    BC_ASSERT(question != NULL && question->answered < question->sent);
    question->answered++;
    if (message->type == BC_MSG_HELLO_ACK) {
        uint32_t status;
        memcpy(&status, message->body, sizeof(status));
        hostile->over = hostile->over || status != BC_STATUS_OK;
    }
}

/* One receive; false when there is nothing. */
static bool receive(struct hostile *hostile)
{
    struct bed_client *client = &hostile->client;
    struct bc_message message;
    uint8_t *space;
    size_t len;
    ssize_t got;
    int rc;

    BC_ASSERT(bc_channel_in_space(client->channel, &space, &len) == 0);
    got = recv(client->fd, space, len, MSG_DONTWAIT);
    bc_channel_in_commit(client->channel, got > 0 ? (size_t)got : 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        client->closed = true;
        hostile->over = true;
    }
    while ((rc = bc_channel_next(client->channel, &message)) == 1) {
        check_message(hostile, &message);
    }
    BC_ASSERT(rc == 0);
    return got > 0;
}

void hostile_read(struct hostile *hostile)
{
    while (hostile->client.channel != NULL && !hostile->client.closed && receive(hostile)) {}
}

void hostile_check_answered(const struct hostile *hostile)
{
    if (hostile->client.channel == NULL || hostile->over || hostile->dirty) {
        return;
    }
    for (uint32_t i = 0; i < hostile->question_count; i++) {
        const struct hostile_question *question = &hostile->questions[i];
        bool silent = question->type == BC_MSG_CANCEL;
        BC_ASSERT(silent || question->answered == question->sent);
    }
}

/* ---- sending -------------------------------------------------------------------------------- */

/* A client that reads can always send in the end: the agent reads, or closes. */
static void send_bytes(struct hostile *hostile, const uint8_t *bytes, size_t len)
{
    struct bed_client *client = &hostile->client;
    uint32_t tries = 0;

    while (len > 0 && !client->closed) {
        ssize_t sent = send(client->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
            continue;
        }
        if (sent < 0 && errno != EAGAIN) {
            hostile->over = true;
            return;
        }
        bed_turn(hostile->bed);
        if (++tries % 16 == 0) {
            hostile_read(hostile);
        }
        BC_ASSERT(tries < HOSTILE_STREAM_TRIES);
    }
}

static void frame(struct stream *stream, uint8_t type, uint64_t id, const uint8_t *body, size_t len,
                  size_t frame_max)
{
    struct bc_channel_options options = {.frame_max = frame_max};
    struct bc_channel *channel;
    const uint8_t *data;

    BC_ASSERT(bc_channel_create(&options, &channel) == 0);
    BC_ASSERT(bc_channel_send(channel, type, id, body, len) == 0);
    stream->len = 0;
    while (bc_channel_out_peek(channel, &data, &len)) {
        BC_ASSERT(stream->len + len <= sizeof(stream->bytes));
        memcpy(stream->bytes + stream->len, data, len);
        stream->len += len;
        bc_channel_out_consume(channel, len);
    }
    bc_channel_destroy(channel);
}

static size_t harm_body(struct bc_reader *input, uint8_t harm, uint8_t *body, size_t len)
{
    uint64_t number;

    switch (harm) {
    case HARM_BODY_SHORTER:
        return len - bc_min_u64(len, 1u + bc_reader_u8(input));
    case HARM_BODY_LONGER:
        number = 1u + bc_reader_u8(input);
        number = bc_min_u64(number, HOSTILE_BODY_MAX - len);
        memset(body + len, 0, number);
        return len + number;
    case HARM_BODY_NUMBER: {
        uint8_t choice = bc_reader_u8(input);
        size_t size = (size_t)1 << choice % 4;
        size_t at = (choice / 4u) * (size_t)(choice % 4 == 0 ? 1 : 2);
        number = hostile_extreme(input);
        if (at + size <= len) {
            memcpy(body + at, &number, size);
        }
        return len;
    }
    default:
        return len;
    }
}

/* The last part of the stream that is sent in one piece. */
static void send_harmed(struct hostile *hostile, struct bc_reader *input, uint8_t harm,
                        struct stream *stream)
{
    size_t cut = (bc_reader_u8(input) * (stream->len / 64 + 1)) % stream->len;

    if (harm == HARM_HEADER) {
        struct bc_wire_frame *header = (struct bc_wire_frame *)(void *)stream->bytes;
        stream->bytes[cut % sizeof(*header)] ^= (uint8_t)(1u << cut % 8);
        if (bc_reader_u8(input) % 2 == 0) {
            header->header_crc = bc_crc32c(0, header, offsetof(struct bc_wire_frame, header_crc));
        }
    } else if (harm == HARM_ENDLESS) {
        struct bc_wire_frame *header = (struct bc_wire_frame *)(void *)stream->bytes;
        header->flags |= BC_FRAME_FLAG_MORE;
        header->header_crc = bc_crc32c(0, header, offsetof(struct bc_wire_frame, header_crc));
    }
    hostile->dirty = hostile->dirty || harm == HARM_HEADER || harm == HARM_ENDLESS ||
                     harm == HARM_STOP || harm == HARM_DROP;
    if (harm == HARM_PAUSE || harm == HARM_STOP || harm == HARM_DROP) {
        send_bytes(hostile, stream->bytes, cut);
        bed_turns(hostile->bed, 1 + bc_reader_u8(input) % 4);
        if (harm == HARM_PAUSE) {
            send_bytes(hostile, stream->bytes + cut, stream->len - cut);
        } else if (harm == HARM_DROP) {
            hostile_drop(hostile);
        }
        return;
    }
    send_bytes(hostile, stream->bytes, stream->len);
    if (harm == HARM_TWICE) {
        send_bytes(hostile, stream->bytes, stream->len);
    }
}

static void say(struct hostile *hostile, struct bc_reader *input, uint8_t type)
{
    static struct stream stream;
    static uint8_t body[HOSTILE_BODY_MAX];
    uint8_t harm = bc_reader_u8(input) % HARM_COUNT;
    uint8_t choice = bc_reader_u8(input);
    uint64_t id = hostile->next_id;
    size_t len = hostile_body(hostile, input, type, body);

    if (choice < 16) {
        id -= choice; /* used before, or 0 */
    } else if (choice == 255) {
        id = hostile_extreme(input);
    } else {
        hostile->next_id++;
    }
    if (!remember(hostile, type, id) || (harm == HARM_TWICE && !remember(hostile, type, id))) {
        return;
    }
    if (type == BC_MSG_GOODBYE) {
        hostile->over = true;
    }
    len = harm_body(input, harm, body, len);
    frame(&stream, type, id, body, len, harm == HARM_FRAMES ? 16 + (size_t)choice * 16 : 0);
    send_harmed(hostile, input, harm, &stream);
}

static void say_raw(struct hostile *hostile, struct bc_reader *input)
{
    size_t len = bc_min_u64(bc_reader_u8(input), bc_reader_left(input));

    hostile->dirty = true;
    send_bytes(hostile, bc_reader_view(input, len), len);
}

void hostile_step(struct hostile *hostile, struct bc_reader *input)
{
    static const uint8_t types[] = {
        BC_MSG_REGISTER, BC_MSG_TRANSFER, BC_MSG_TRANSFER,   BC_MSG_TRANSFER, BC_MSG_QUERY,
        BC_MSG_REMOVE,   BC_MSG_CANCEL,   BC_MSG_UNREGISTER, BC_MSG_PING,     BC_MSG_STATS,
    };
    uint8_t what = bc_reader_u8(input);

    if (hostile->client.closed) {
        hostile_drop(hostile);
        return;
    }
    if (what < 240) {
        say(hostile, input, types[what % BC_ARRAY_LEN(types)]);
        return;
    }
    switch (what) {
    case 240:
        say(hostile, input, BC_MSG_HELLO);
        break;
    case 241:
        say(hostile, input, BC_MSG_GOODBYE);
        break;
    case 242:
        say_raw(hostile, input);
        break;
    case 243:
        (void)shutdown(hostile->client.fd, SHUT_WR);
        hostile->over = true;
        break;
    case 244:
        hostile_drop(hostile);
        break;
    case 245:
    case 246:
        say(hostile, input, bc_reader_u8(input)); /* any type, also one that is not */
        break;
    default:
        hostile_read(hostile);
        break;
    }
}
