/* SPDX-License-Identifier: Apache-2.0 */
/* receive.c - received bytes become messages.
 * A message of one frame is shown where it was received. Buffers grow with what really arrives, not
 * with what a header promises.
 * Thread: the channel's. Memory: cap_max and message_max bound it. Errors: as in channel.h. */
#include "channel/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"

#define IN_CAP_MIN    ((size_t)64 << 10)
#define IN_SPACE_MIN  ((size_t)4096)
#define PARTS_CAP_MIN ((size_t)64 << 10)
#define CAP_KEEP      ((size_t)256 << 10) /* a larger buffer is freed after its message */

void bc_channel_in_init(struct bc_channel_in *in, size_t message_max)
{
    size_t body_max = message_max < BC_FRAME_BODY_MAX ? message_max : BC_FRAME_BODY_MAX;

    in->message_max = message_max;
    in->cap_max = sizeof(struct bc_wire_frame) + body_max + IN_CAP_MIN;
}

void bc_channel_grow_message_max(struct bc_channel *channel, size_t message_max)
{
    BC_ASSERT(message_max >= channel->in.message_max && message_max <= BC_MESSAGE_BODY_MAX);
    bc_channel_in_init(&channel->in, message_max);
}

void bc_channel_in_fini(struct bc_channel_in *in)
{
    free(in->data);
    free(in->held);
    free(in->parts);
}

/* The shown message is let go: its bytes may move from now on. */
static void release_shown(struct bc_channel_in *in)
{
    in->shown = false;
    if (in->held != NULL) {
        free(in->held);
        in->held = NULL;
    }
}

/* Makes `want` bytes of room behind the `have` bytes that were not taken yet. */
static int make_room(struct bc_channel_in *in, size_t have, size_t want)
{
    size_t cap = in->cap > IN_CAP_MIN ? in->cap : IN_CAP_MIN;
    uint8_t *data;

    if (!in->shown && have + want <= in->cap) {
        memmove(in->data, in->data + in->start, have);
        in->start = 0;
        in->end = have;
        return 0;
    }
    while (cap < have + want) {
        cap *= 2;
    }
    if (cap > in->cap_max) {
        cap = in->cap_max;
    }
    if (have + want > cap) {
        return -ENOMEM;
    }
    data = malloc(cap);
    if (data == NULL) {
        return -ENOMEM;
    }
    if (have > 0) {
        memcpy(data, in->data + in->start, have);
    }
    if (in->shown) {
        in->held = in->data;
        in->shown = false;
    } else {
        free(in->data);
    }
    in->data = data;
    in->cap = cap;
    in->start = 0;
    in->end = have;
    return 0;
}

int bc_channel_in_space(struct bc_channel *channel, uint8_t **data_out, size_t *len_out)
{
    struct bc_channel_in *in = &channel->in;
    size_t have = in->end - in->start;
    size_t missing = in->frame_len > have ? in->frame_len - have : 0;
    size_t want = missing < have ? missing : have;

    if (want < IN_SPACE_MIN) {
        want = IN_SPACE_MIN;
    }
    if (have == 0 && !in->shown) {
        in->start = 0;
        in->end = 0;
        if (in->cap > CAP_KEEP) {
            free(in->data);
            in->data = NULL;
            in->cap = 0;
        }
    }
    if (in->cap - in->end < want) {
        int rc = make_room(in, have, want);

        if (rc != 0) {
            return rc;
        }
    }
    *data_out = in->data + in->end;
    *len_out = in->cap - in->end;
    return 0;
}

void bc_channel_in_commit(struct bc_channel *channel, size_t len)
{
    struct bc_channel_in *in = &channel->in;

    BC_ASSERT(len <= in->cap - in->end);
    in->end += len;
    release_shown(in);
}

/* A peer that speaks something else is told apart before it sent a whole header. */
static int check_prefix(const uint8_t *bytes, size_t len)
{
    struct bc_wire_frame frame = {0};

    memcpy(&frame, bytes, len < sizeof(frame) ? len : sizeof(frame));
    if (len >= sizeof(frame.magic) && frame.magic != BC_WIRE_MAGIC) {
        return -EBADMSG;
    }
    if (len > offsetof(struct bc_wire_frame, version) && frame.version != BC_WIRE_VERSION) {
        return -EPROTONOSUPPORT;
    }
    return 0;
}

/* Checks a header by itself, then against the message that it goes on with. The version comes
 * before the CRC, because another version may keep its CRC in another place. */
static int check_header(const struct bc_channel_in *in, const uint8_t *bytes)
{
    struct bc_wire_frame frame;
    int rc = check_prefix(bytes, sizeof(frame));

    if (rc != 0) {
        return rc;
    }
    memcpy(&frame, bytes, sizeof(frame));
    if (bc_crc32c(0, bytes, offsetof(struct bc_wire_frame, header_crc)) != frame.header_crc) {
        return -EBADMSG;
    }
    if ((frame.flags & ~BC_FRAME_FLAGS_KNOWN) != 0 || frame.reserved != 0) {
        return -EBADMSG;
    }
    /* Otherwise a peer could send such frames for ever without ever saying anything. */
    if ((frame.flags & BC_FRAME_FLAG_MORE) != 0 && frame.body_len == 0) {
        return -EBADMSG;
    }
    if (in->parts_open &&
        (frame.type != in->parts_type || frame.request_id != in->parts_request_id)) {
        return -EBADMSG;
    }
    if (frame.body_len > BC_FRAME_BODY_MAX || frame.body_len > in->message_max - in->parts_len) {
        return -EMSGSIZE;
    }
    return 0;
}

/* 1: the whole frame at `start` is there and its header is good; 0: not yet. */
static int frame_ready(struct bc_channel_in *in)
{
    size_t have = in->end - in->start;
    const uint8_t *bytes;

    if (have == 0) {
        return 0; /* there may be no buffer yet */
    }
    bytes = in->data + in->start;
    if (in->frame_len == 0) {
        int rc;

        if (have < sizeof(in->frame)) {
            return check_prefix(bytes, have);
        }
        rc = check_header(in, bytes);
        if (rc != 0) {
            return rc;
        }
        memcpy(&in->frame, bytes, sizeof(in->frame));
        in->frame_len = sizeof(in->frame) + in->frame.body_len;
    }
    return have >= in->frame_len ? 1 : 0;
}

/* check_header has bounded parts_len + len by message_max. */
static int parts_append(struct bc_channel_in *in, const uint8_t *body, size_t len)
{
    if (len > in->parts_cap - in->parts_len) {
        size_t cap = in->parts_cap > 0 ? in->parts_cap : PARTS_CAP_MIN;
        uint8_t *parts;

        while (cap < in->parts_len + len) {
            cap *= 2;
        }
        if (cap > in->message_max) {
            cap = in->message_max;
        }
        parts = realloc(in->parts, cap);
        if (parts == NULL) {
            return -ENOMEM;
        }
        in->parts = parts;
        in->parts_cap = cap;
    }
    if (len > 0) {
        memcpy(in->parts + in->parts_len, body, len);
        in->parts_len += len;
    }
    return 0;
}

static void parts_release(struct bc_channel_in *in)
{
    in->parts_shown = false;
    in->parts_len = 0;
    if (in->parts_cap > CAP_KEEP) {
        free(in->parts);
        in->parts = NULL;
        in->parts_cap = 0;
    }
}

/* Takes the frame that frame_ready announced. 1: it completes a message; 0: the message goes on. */
static int take_frame(struct bc_channel_in *in, struct bc_message *message_out)
{
    const uint8_t *body = in->data + in->start + sizeof(in->frame);
    size_t body_len = in->frame.body_len;
    bool more = (in->frame.flags & BC_FRAME_FLAG_MORE) != 0;

    if (bc_crc32c(0, body, body_len) != in->frame.body_crc) {
        return -EBADMSG;
    }
    if (more || in->parts_open) {
        int rc = parts_append(in, body, body_len);

        if (rc != 0) {
            return rc;
        }
        in->parts_open = more;
        in->parts_type = in->frame.type;
        in->parts_request_id = in->frame.request_id;
        in->parts_shown = !more;
        body = in->parts;
        body_len = in->parts_len;
    } else {
        in->shown = true;
    }
    in->start += in->frame_len;
    in->frame_len = 0;
    if (more) {
        return 0;
    }
    message_out->type = in->frame.type;
    message_out->request_id = in->frame.request_id;
    message_out->body = body;
    message_out->body_len = body_len;
    return 1;
}

int bc_channel_next(struct bc_channel *channel, struct bc_message *message_out)
{
    struct bc_channel_in *in = &channel->in;
    int rc = in->error;

    release_shown(in);
    if (in->parts_shown) {
        parts_release(in);
    }
    /* Every turn takes a frame off the buffer. */
    while (rc == 0) {
        rc = frame_ready(in);
        if (rc == 0) {
            return 0;
        }
        if (rc > 0) {
            rc = take_frame(in, message_out);
        }
    }
    if (rc < 0) {
        in->error = rc;
    }
    return rc;
}

bool bc_channel_in_partial(const struct bc_channel *channel)
{
    return channel->in.end != channel->in.start || channel->in.parts_open;
}

size_t bc_channel_in_len(const struct bc_channel *channel)
{
    const struct bc_channel_in *in = &channel->in;

    return in->end - in->start + (in->parts_open ? in->parts_len : 0);
}
