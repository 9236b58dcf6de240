/* SPDX-License-Identifier: Apache-2.0 */
/* comch_stream.c - see comch_stream.h. */
#include "channel/comch_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* A ring starts with room for a few messages; most connections never need more. */
#define RING_LEAST ((size_t)16 << 10)

void bc_comch_stream_init(struct bc_comch_stream *stream)
{
    *stream = (struct bc_comch_stream){.ring = NULL};
}

void bc_comch_stream_fini(struct bc_comch_stream *stream)
{
    free(stream->ring);
    stream->ring = NULL;
    stream->cap = 0;
    stream->len = 0;
}

/* Copies the first len bytes that wait. */
static void copy_out(const struct bc_comch_stream *stream, uint8_t *data, size_t len)
{
    size_t first = bc_min_u64(len, stream->cap - stream->start);

    if (first > 0) {
        memcpy(data, stream->ring + stream->start, first);
    }
    if (len > first) {
        memcpy(data + first, stream->ring, len - first);
    }
}

static int grow(struct bc_comch_stream *stream, size_t needed)
{
    size_t cap = bc_max_u64(stream->cap, RING_LEAST);
    uint8_t *ring;

    while (cap < needed) {
        cap *= 2;
    }
    if (cap == stream->cap) {
        return 0;
    }
    ring = malloc(cap);
    if (ring == NULL) {
        return -ENOMEM;
    }
    copy_out(stream, ring, stream->len);
    free(stream->ring);
    stream->ring = ring;
    stream->cap = cap;
    stream->start = 0;
    return 0;
}

static int put(struct bc_comch_stream *stream, const uint8_t *data, size_t len)
{
    size_t end;
    size_t first;
    int rc;

    /* What was read counts for the peer only when it was told. */
    if (len > BC_COMCH_WINDOW - stream->len - (stream->taken - stream->told)) {
        return -EMSGSIZE;
    }
    rc = grow(stream, stream->len + len);
    if (rc != 0) {
        return rc;
    }
    end = (stream->start + stream->len) % stream->cap;
    first = bc_min_u64(len, stream->cap - end);
    memcpy(stream->ring + end, data, first);
    if (len > first) {
        memcpy(stream->ring, data + first, len - first);
    }
    stream->len += len;
    return 0;
}

int bc_comch_stream_arrive(struct bc_comch_stream *stream, const uint8_t *message, size_t len)
{
    struct bc_comch_header header;
    int rc;

    if (stream->peer_closed) {
        return 0;
    }
    rc = bc_comch_header_decode(message, len, &header);
    if (rc != 0) {
        return rc;
    }
    if (header.taken - stream->peer_taken > stream->sent - stream->peer_taken) {
        return -EBADMSG;
    }
    if (header.kind == BC_COMCH_DATA) {
        rc = put(stream, message + BC_COMCH_HEADER_LEN, len - BC_COMCH_HEADER_LEN);
    }
    if (rc == 0) {
        stream->peer_taken = header.taken;
        stream->peer_closed = header.kind == BC_COMCH_CLOSE;
    }
    return rc;
}

size_t bc_comch_stream_read(struct bc_comch_stream *stream, void *data, size_t len)
{
    size_t got = bc_min_u64(len, stream->len);

    if (got == 0) {
        return 0;
    }
    copy_out(stream, data, got);
    stream->len -= got;
    /* An empty ring begins at its start again: a connection with little to say touches little. */
    stream->start = stream->len == 0 ? 0 : (stream->start + got) % stream->cap;
    stream->taken += (uint32_t)got;
    return got;
}

size_t bc_comch_stream_room(const struct bc_comch_stream *stream)
{
    return BC_COMCH_WINDOW - (size_t)(stream->sent - stream->peer_taken);
}

void bc_comch_stream_header(const struct bc_comch_stream *stream, enum bc_comch_kind kind,
                            uint8_t *out)
{
    struct bc_comch_header header = {.kind = (uint8_t)kind, .taken = stream->taken};

    bc_comch_header_encode(&header, out);
}

void bc_comch_stream_sent(struct bc_comch_stream *stream, size_t len)
{
    BC_DASSERT(len <= bc_comch_stream_room(stream));
    stream->sent += (uint32_t)len;
    stream->told = stream->taken;
}

bool bc_comch_stream_owes(const struct bc_comch_stream *stream)
{
    return stream->taken - stream->told >= BC_COMCH_WINDOW / 2;
}
