/* SPDX-License-Identifier: Apache-2.0 */
/* comch_wire.h - how a stream of bytes travels in messages of Comch.
 *
 * Every message is a header of 8 bytes and, for DATA, 1 byte or more of the stream. Comch keeps the
 * order of messages and loses none, so pieces carry no number.
 *
 *   offset size
 *        0    1  version   BC_COMCH_VERSION; another one ends the connection
 *        1    1  kind      BC_COMCH_DATA, _CREDIT, _CLOSE; another one ends the connection
 *        2    2  zero
 *        4    4  taken     bytes of the peer's stream that the sender's program has received so
 *                          far, modulo 2^32, little-endian
 *
 * Window: at most BC_COMCH_WINDOW bytes of each direction are on their way or wait to be received:
 * sent - taken never exceeds it. That bounds what each side has to hold. A side that sees more, or a
 * `taken` that goes back or past what it sent, drops the connection. `taken` is in every message;
 * CREDIT is sent for it alone when half of the window was received and nothing told of it.
 *
 * CLOSE: the sender sends nothing more and receives nothing more. What comes after it is ignored.
 *
 * Size: a message is at most BC_COMCH_MESSAGE_MAX bytes, and no more than the device's limit; both
 * sides set the same value, so both functions of a BlueField must allow the same where that is less.
 */
#ifndef BC_CHANNEL_COMCH_WIRE_H
#define BC_CHANNEL_COMCH_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_COMCH_SERVICE \
    "bluecache" /* the name that the agent listens under, if no other is given */

#define BC_COMCH_VERSION     1u
#define BC_COMCH_WINDOW      (256u << 10)
#define BC_COMCH_MESSAGE_MAX 4080u
#define BC_COMCH_HEADER_LEN  8u
/* A device that takes less per message is not used. */
#define BC_COMCH_MESSAGE_LEAST 64u

enum bc_comch_kind {
    BC_COMCH_DATA = 1,
    BC_COMCH_CREDIT = 2,
    BC_COMCH_CLOSE = 3,
};

struct bc_comch_header {
    uint8_t kind; /* enum bc_comch_kind */
    uint32_t taken;
};

/* Writes BC_COMCH_HEADER_LEN bytes. */
void bc_comch_header_encode(const struct bc_comch_header *header, uint8_t *out);
/* A whole message. -EBADMSG: too short, another kind, a byte that is not zero, DATA without data, or
 * data where none belongs; -EPROTONOSUPPORT: another version. */
BC_MUST_USE int bc_comch_header_decode(const uint8_t *message, size_t len,
                                       struct bc_comch_header *header_out);

BC_EXTERN_C_END

#endif
