/* SPDX-License-Identifier: Apache-2.0 */
/* comch_stream.h - one end of a stream over messages of Comch: the window of each direction and the
 * bytes that wait to be received. It sends nothing itself and knows no DOCA. Private to
 * common/channel and its tests.
 * Invariants: never more than BC_COMCH_WINDOW bytes wait; sent - peer_taken and arrived - taken do
 * not exceed it either. Memory: what waits, in a ring that grows to the window and is freed by fini.
 * Thread: one at a time. */
#ifndef BC_CHANNEL_COMCH_STREAM_H
#define BC_CHANNEL_COMCH_STREAM_H

#include <stdbool.h>

#include "channel/comch_wire.h"

BC_EXTERN_C_BEGIN

struct bc_comch_stream {
    uint8_t *ring;
    size_t cap;
    size_t start;
    size_t len;          /* bytes that wait */
    uint32_t taken;      /* bytes read, modulo 2^32, as all of these */
    uint32_t told;       /* what the peer knows of `taken` */
    uint32_t sent;       /* bytes sent */
    uint32_t peer_taken; /* what the peer said it read of them */
    bool peer_closed;
};

void bc_comch_stream_init(struct bc_comch_stream *stream);
void bc_comch_stream_fini(struct bc_comch_stream *stream);

/* A message of the peer, copied. -EBADMSG, -EPROTONOSUPPORT (the message), -EMSGSIZE (past the
 * window), -ENOMEM: the connection is of no use any more. */
BC_MUST_USE int bc_comch_stream_arrive(struct bc_comch_stream *stream, const uint8_t *message,
                                       size_t len);
/* Bytes read, at most len; 0 when none wait. */
size_t bc_comch_stream_read(struct bc_comch_stream *stream, void *data, size_t len);

/* Bytes that the window lets be sent. */
size_t bc_comch_stream_room(const struct bc_comch_stream *stream);
/* Writes the header of a message that is about to be sent. */
void bc_comch_stream_header(const struct bc_comch_stream *stream, enum bc_comch_kind kind,
                            uint8_t *out);
/* That message was sent, with `len` bytes of the stream in it. */
void bc_comch_stream_sent(struct bc_comch_stream *stream, size_t len);
/* So much was read without the peer knowing that a message should be sent for it alone. */
bool bc_comch_stream_owes(const struct bc_comch_stream *stream);

BC_EXTERN_C_END

#endif
