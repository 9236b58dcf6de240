/* SPDX-License-Identifier: Apache-2.0 */
/* channel_test.h - cmocka, frames made by hand, and bytes moved in and out of a channel. */
#ifndef BC_TEST_CHANNEL_TEST_H
#define BC_TEST_CHANNEL_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "channel/channel.h"

BC_EXTERN_C_BEGIN

#define FRAME_HEADER_LEN sizeof(struct bc_wire_frame)

/* A good header for this body: both CRCs are right. */
struct bc_wire_frame frame_of(uint8_t type, uint16_t flags, uint64_t request_id, const void *body,
                              size_t body_len);
/* Makes the header CRC right again after a field was changed. */
void frame_seal(struct bc_wire_frame *frame);

struct bc_channel *channel_new(size_t message_max, size_t frame_max, size_t out_max);

/* Puts all bytes in, asking for room as often as needed. Nothing is taken out. */
void channel_feed(struct bc_channel *channel, const void *data, size_t len);
void channel_feed_frame(struct bc_channel *channel, const struct bc_wire_frame *frame,
                        const void *body);

/* Takes all that waits, in pieces of at most piece_max bytes. Returns how many bytes. */
size_t channel_drain(struct bc_channel *channel, void *data, size_t cap, size_t piece_max);

/* The next message is this one. */
void assert_message(struct bc_channel *channel, uint8_t type, uint64_t request_id, const void *body,
                    size_t body_len);

/* What bc_channel_next returns, where it is no message. */
int channel_next_rc(struct bc_channel *channel);

BC_EXTERN_C_END

#endif
