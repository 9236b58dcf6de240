/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - turns a stream of bytes into messages and messages into bytes; it does no I/O of its
 * own.
 *
 *   transport recv -> in_space / in_commit -> bc_channel_next -> message (type, request id, body)
 *   bc_channel_send (or reserve + commit) -> out_peek / out_consume -> transport send
 *
 * Invariants: magic, version, flags, lengths and both CRCs are checked before a message is shown; a
 * frame larger than BC_FRAME_BODY_MAX or a message larger than message_max is refused when its
 * header is seen, before room is made for it; memory is bounded: one frame and what a recv brought
 * beside it, message_max for a message of several frames, and out_max (queued in segments that are
 * at least half full). Between messages no more than 512 KiB are kept for receiving. The type of a
 * message is not checked: whoever reads it knows which types it takes.
 * Copies: a message of one frame is shown where it was received; one of several frames is copied
 * once, into one piece. A sent body is copied once; queued bytes never move.
 * Once an error was returned by bc_channel_next the channel is dead: every later call returns it
 * again. (Sending still works, so that an ERROR can be said.)
 * Thread: one at a time (the owner locks if it has several).
 * Must not know: sockets, what messages mean. */
#ifndef BC_CHANNEL_CHANNEL_H
#define BC_CHANNEL_CHANNEL_H

#include "proto/proto.h"

BC_EXTERN_C_BEGIN

struct bc_channel_options {
    size_t message_max; /* largest body accepted; 0: BC_MESSAGE_BODY_MAX, which it cannot pass */
    size_t frame_max;   /* largest frame body sent; larger messages are cut; 0: BC_FRAME_BODY_MAX,
                           which it cannot pass */
    size_t out_max;     /* bytes waiting to be sent; 0: 16 MiB */
};

struct bc_message {
    uint8_t type;
    uint64_t request_id;
    const uint8_t *body; /* valid until the next call of next or in_commit on this channel */
    size_t body_len;
};

struct bc_channel;

/* options may be NULL (all defaults). -EINVAL when one is over the protocol's limit, -ENOMEM. */
BC_MUST_USE int bc_channel_create(const struct bc_channel_options *options,
                                  struct bc_channel **channel_out);
void bc_channel_destroy(struct bc_channel *channel);

/* Room to receive into; *len_out >= 4096. Valid until in_commit, or the next in_space;
 * bc_channel_next may be called in between. -ENOMEM, also when a full buffer of messages was not
 * taken by bc_channel_next: call that until it returns 0 first. */
BC_MUST_USE int bc_channel_in_space(struct bc_channel *channel, uint8_t **data_out,
                                    size_t *len_out);
/* The first len bytes of the room were received; 0 gives the room back. */
void bc_channel_in_commit(struct bc_channel *channel, size_t len);

/* 1: a message; 0: more bytes are needed; -EBADMSG (magic, CRC, flags, interleaving),
 * -EPROTONOSUPPORT (version), -EMSGSIZE, -ENOMEM. */
BC_MUST_USE int bc_channel_next(struct bc_channel *channel, struct bc_message *message_out);

/* True when bytes of an unfinished frame or message are buffered (a peer that stops here is
 * half-open). Meant for when bc_channel_next returned 0: whole messages not taken yet count too. */
bool bc_channel_in_partial(const struct bc_channel *channel);

/* Bytes of messages that were received and not shown yet, an unfinished one among them. */
size_t bc_channel_in_len(const struct bc_channel *channel);

/* Larger bodies are accepted from the next header on; never less than before (asserted), and not
 * over BC_MESSAGE_BODY_MAX (asserted). */
void bc_channel_grow_message_max(struct bc_channel *channel, size_t message_max);

/* Frames and queues a message; the body is copied. -EAGAIN when out_max would be passed (nothing
 * was queued: consume first), -EMSGSIZE over BC_MESSAGE_BODY_MAX or when out_max could never hold
 * it, -ENOMEM. */
BC_MUST_USE int bc_channel_send(struct bc_channel *channel, uint8_t type, uint64_t request_id,
                                const void *body, size_t body_len);

/* The same without the copy: room for a body of up to body_max bytes, to be encoded in place.
 * bc_channel_commit queues the first body_len of them as a message and cannot fail; a send or
 * another reserve instead of it drops the room. Errors as for send. (A body over frame_max is moved
 * once to make place for the headers inside.) */
BC_MUST_USE int bc_channel_reserve(struct bc_channel *channel, size_t body_max, uint8_t **body_out);
void bc_channel_commit(struct bc_channel *channel, uint8_t type, uint64_t request_id,
                       size_t body_len);

/* Bytes waiting: false when none. The view stays valid and unchanged until it is consumed, also
 * across sends, so that an asynchronous send may be under way; it may be less than all that
 * waits. */
bool bc_channel_out_peek(const struct bc_channel *channel, const uint8_t **data_out,
                         size_t *len_out);
/* The first len bytes that wait were sent. */
void bc_channel_out_consume(struct bc_channel *channel, size_t len);

BC_EXTERN_C_END

#endif
