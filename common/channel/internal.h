/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - the two halves of a channel: received bytes (receive.c) and queued bytes (queue.c).
 * They share nothing but the format of a frame. Private to common/channel. */
#ifndef BC_CHANNEL_INTERNAL_H
#define BC_CHANNEL_INTERNAL_H

#include "channel/channel.h"

BC_EXTERN_C_BEGIN

/*  data                start               end                 cap
 *   | taken messages    | not taken yet     | room to receive   |
 * Bytes move only in bc_channel_in_space, and never those of a message that is shown: the stream
 * then goes on in another buffer, and the old one is held until the message is let go. */
struct bc_channel_in {
    uint8_t *data;
    size_t cap;
    size_t cap_max;
    size_t start;
    size_t end;
    uint8_t *held; /* the buffer of the shown message, when it is not `data` any more */
    bool shown;    /* the shown message lies in `data` */
    size_t message_max;
    int error; /* what bc_channel_next returned once and for all */

    struct bc_wire_frame frame; /* checked header of the frame at `start` */
    size_t frame_len;           /* header and body of that frame; 0: not seen yet */

    /* A message of several frames, put together. */
    uint8_t *parts;
    size_t parts_len;
    size_t parts_cap;
    bool parts_open; /* more frames belong to it */
    bool parts_shown;
    uint8_t parts_type;
    uint64_t parts_request_id;
};

/* Queued bytes lie in a list of segments and never move. While bytes wait the first segment is not
 * empty; another one is when a room in it was reserved and dropped. */
struct bc_channel_segment {
    struct bc_channel_segment *next;
    size_t cap;
    size_t start;
    size_t end;
    uint8_t data[];
};

struct bc_channel_out {
    struct bc_channel_segment *head;
    struct bc_channel_segment *tail;
    struct bc_channel_segment *spare; /* one segment of the usual size, or NULL */
    size_t waiting;                   /* bytes queued */
    size_t allocated;                 /* sum of cap over the list */
    size_t out_max;
    size_t frame_max;
    bool reserved; /* body_max bytes at the tail's end are being filled in */
    size_t reserved_max;
};

struct bc_channel {
    struct bc_channel_in in;
    struct bc_channel_out out;
};

void bc_channel_in_init(struct bc_channel_in *in, size_t message_max);
void bc_channel_in_fini(struct bc_channel_in *in);
void bc_channel_out_init(struct bc_channel_out *out, size_t frame_max, size_t out_max);
void bc_channel_out_fini(struct bc_channel_out *out);

BC_EXTERN_C_END

#endif
