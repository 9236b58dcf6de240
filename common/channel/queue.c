/* SPDX-License-Identifier: Apache-2.0 */
/* queue.c - messages become frames that wait to be sent.
 * Invariants: a message lies in one segment; a segment is opened only when a message does not fit
 * behind what the last one holds, so segments are half full on average; queued bytes never move, so
 * that a send under way may point at them; while bytes wait, some wait in the first segment.
 * Thread: the channel's. Memory: 2 x out_max and two segments at most. Errors: as in channel.h. */
#include "channel/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"

#define SEGMENT_CAP  ((size_t)64 << 10)
#define SEGMENT_KEEP ((size_t)1280 << 10) /* a larger one is freed once it is empty */

#define HEADER_LEN sizeof(struct bc_wire_frame)

void bc_channel_out_init(struct bc_channel_out *out, size_t frame_max, size_t out_max)
{
    out->frame_max = frame_max;
    out->out_max = out_max;
}

void bc_channel_out_fini(struct bc_channel_out *out)
{
    struct bc_channel_segment *segment = out->head;

    while (segment != NULL) {
        struct bc_channel_segment *next = segment->next;

        free(segment);
        segment = next;
    }
    free(out->spare);
}

static struct bc_channel_segment *segment_get(struct bc_channel_out *out, size_t cap)
{
    struct bc_channel_segment *segment = out->spare;

    if (segment != NULL && segment->cap >= cap) {
        out->spare = NULL;
    } else {
        segment = malloc(sizeof(*segment) + cap);
        if (segment == NULL) {
            return NULL;
        }
        segment->cap = cap;
    }
    segment->next = NULL;
    segment->start = 0;
    segment->end = 0;
    return segment;
}

/* Takes the first segment off the list. */
static void head_drop(struct bc_channel_out *out)
{
    struct bc_channel_segment *segment = out->head;

    out->head = segment->next;
    if (out->head == NULL) {
        out->tail = NULL;
    }
    out->allocated -= segment->cap;
    if (out->spare == NULL && segment->cap == SEGMENT_CAP) {
        out->spare = segment;
    } else {
        free(segment);
    }
}

/* Room for len bytes at the tail's end. A list that holds nothing is one empty segment or none. */
static int make_room(struct bc_channel_out *out, size_t len)
{
    size_t cap = len > SEGMENT_CAP ? len : SEGMENT_CAP;
    struct bc_channel_segment *segment;

    if (len > out->out_max) {
        return -EMSGSIZE;
    }
    if (len > out->out_max - out->waiting) {
        return -EAGAIN;
    }
    if (out->waiting == 0 && out->head != NULL) {
        BC_DASSERT(out->head == out->tail);
        out->head->start = 0;
        out->head->end = 0;
        if (out->head->cap < len) {
            head_drop(out);
        }
    }
    if (out->tail != NULL && out->tail->cap - out->tail->end >= len) {
        return 0;
    }
    /* Only rooms reserved far larger than what came into them get here. */
    if (out->waiting > 0 && out->allocated + cap > 2 * (out->out_max + SEGMENT_CAP)) {
        return -EAGAIN;
    }
    segment = segment_get(out, cap);
    if (segment == NULL) {
        return -ENOMEM;
    }
    if (out->tail != NULL) {
        out->tail->next = segment;
    } else {
        out->head = segment;
    }
    out->tail = segment;
    out->allocated += segment->cap;
    return 0;
}

/* Bytes that a body takes with the headers of its frames; an empty one is one frame. */
static size_t framed_len(const struct bc_channel_out *out, size_t body_len)
{
    size_t frames = body_len == 0 ? 1 : (body_len + out->frame_max - 1) / out->frame_max;

    return body_len + frames * HEADER_LEN;
}

/* Writes the header at `frame` for the body that follows it. */
static void write_header(uint8_t *frame, uint8_t type, bool more, uint64_t request_id,
                         size_t body_len)
{
    struct bc_wire_frame header = {
        .magic = BC_WIRE_MAGIC,
        .version = BC_WIRE_VERSION,
        .type = type,
        .flags = more ? BC_FRAME_FLAG_MORE : 0,
        .body_len = (uint32_t)body_len,
        .body_crc = bc_crc32c(0, frame + HEADER_LEN, body_len),
        .request_id = request_id,
    };

    header.header_crc = bc_crc32c(0, &header, offsetof(struct bc_wire_frame, header_crc));
    memcpy(frame, &header, HEADER_LEN);
}

int bc_channel_send(struct bc_channel *channel, uint8_t type, uint64_t request_id, const void *body,
                    size_t body_len)
{
    struct bc_channel_out *out = &channel->out;
    const uint8_t *from = body;
    size_t left = body_len;
    uint8_t *frame;
    int rc;

    out->reserved = false;
    if (body_len > BC_MESSAGE_BODY_MAX) {
        return -EMSGSIZE;
    }
    rc = make_room(out, framed_len(out, body_len));
    if (rc != 0) {
        return rc;
    }
    frame = out->tail->data + out->tail->end;
    do {
        size_t len = left < out->frame_max ? left : out->frame_max;

        if (len > 0) {
            memcpy(frame + HEADER_LEN, from, len);
            from += len;
            left -= len;
        }
        write_header(frame, type, left > 0, request_id, len);
        frame += HEADER_LEN + len;
    } while (left > 0);
    out->waiting += framed_len(out, body_len);
    out->tail->end += framed_len(out, body_len);
    return 0;
}

int bc_channel_reserve(struct bc_channel *channel, size_t body_max, uint8_t **body_out)
{
    struct bc_channel_out *out = &channel->out;
    int rc;

    out->reserved = false;
    if (body_max > BC_MESSAGE_BODY_MAX) {
        return -EMSGSIZE;
    }
    rc = make_room(out, framed_len(out, body_max));
    if (rc != 0) {
        return rc;
    }
    out->reserved = true;
    out->reserved_max = body_max;
    *body_out = out->tail->data + out->tail->end + HEADER_LEN;
    return 0;
}

void bc_channel_commit(struct bc_channel *channel, uint8_t type, uint64_t request_id,
                       size_t body_len)
{
    struct bc_channel_out *out = &channel->out;
    size_t total = framed_len(out, body_len);
    size_t frames = (total - body_len) / HEADER_LEN;
    uint8_t *base;

    BC_ASSERT(out->reserved && body_len <= out->reserved_max);
    out->reserved = false;
    base = out->tail->data + out->tail->end;
    /* From the last frame to the first: each moves away from those before it. */
    for (size_t i = frames; i-- > 0;) {
        size_t offset = i * out->frame_max;
        size_t left = body_len - offset;
        size_t len = left < out->frame_max ? left : out->frame_max;
        uint8_t *frame = base + offset + i * HEADER_LEN;

        if (i > 0) {
            memmove(frame + HEADER_LEN, base + HEADER_LEN + offset, len);
        }
        write_header(frame, type, i + 1 < frames, request_id, len);
    }
    out->waiting += total;
    out->tail->end += total;
}

bool bc_channel_out_peek(const struct bc_channel *channel, const uint8_t **data_out,
                         size_t *len_out)
{
    const struct bc_channel_out *out = &channel->out;

    if (out->waiting == 0) {
        return false;
    }
    *data_out = out->head->data + out->head->start;
    *len_out = out->head->end - out->head->start;
    return true;
}

void bc_channel_out_consume(struct bc_channel *channel, size_t len)
{
    struct bc_channel_out *out = &channel->out;

    BC_ASSERT(len <= out->waiting);
    out->waiting -= len;
    while (out->head != NULL) {
        struct bc_channel_segment *head = out->head;
        size_t here = head->end - head->start;
        size_t step = len < here ? len : here;

        head->start += step;
        len -= step;
        if (head == out->tail || head->start != head->end) {
            break;
        }
        head_drop(out);
    }
    BC_ASSERT(len == 0);
    /* What is reserved lies at the tail's end. */
    if (out->waiting == 0 && !out->reserved && out->head != NULL && out->head->cap > SEGMENT_KEEP) {
        head_drop(out);
    }
}
