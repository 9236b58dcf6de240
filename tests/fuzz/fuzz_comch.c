/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_comch.c - messages of a hostile peer into one end of a stream over Comch.
 *
 *   input: [ choices: what is done between messages ][ 2 bytes length ][ message ][ 2 bytes ...
 *
 * What came must come out, in order, and never more than the window may be held. */
#include "fuzz.h"

#include <string.h>

#include "base/assert.h"
#include "channel/comch_stream.h"

static uint8_t held[BC_COMCH_WINDOW];

/* Reads len bytes at most; they are the first of what is held. */
static size_t read_some(struct bc_comch_stream *stream, size_t held_len, size_t len)
{
    static uint8_t out[BC_COMCH_WINDOW];
    size_t got = bc_comch_stream_read(stream, out, len);

    BC_ASSERT(got == (len < held_len ? len : held_len));
    BC_ASSERT(memcmp(out, held, got) == 0);
    memmove(held, held + got, held_len - got);
    return held_len - got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bc_comch_stream stream;
    uint8_t step = len > 0 ? data[0] : 0;
    size_t held_len = 0;
    int rc = 0;

    data += len > 0 ? 1 : 0;
    len -= len > 0 ? 1 : 0;
    bc_comch_stream_init(&stream);
    for (; len >= 2 && rc == 0; step = (uint8_t)(step * 5 + 1)) {
        size_t message_len = (size_t)(data[0] | data[1] << 8);
        bool closed = stream.peer_closed;

        data += 2;
        len -= 2;
        message_len = message_len < len ? message_len : len;
        rc = bc_comch_stream_arrive(&stream, data, message_len);
        if (rc == 0 && !closed && message_len > BC_COMCH_HEADER_LEN) {
            size_t piece = message_len - BC_COMCH_HEADER_LEN;

            BC_ASSERT(held_len + piece <= BC_COMCH_WINDOW);
            memcpy(held + held_len, data + BC_COMCH_HEADER_LEN, piece);
            held_len += piece;
        }
        BC_ASSERT(stream.len == held_len && stream.cap <= BC_COMCH_WINDOW);
        BC_ASSERT(bc_comch_stream_room(&stream) <= BC_COMCH_WINDOW);
        if ((step & 1) != 0) {
            held_len = read_some(&stream, held_len, (size_t)step * 16);
        }
        if ((step & 2) != 0) {
            uint8_t header[BC_COMCH_HEADER_LEN];

            bc_comch_stream_header(&stream, BC_COMCH_CREDIT, header);
            bc_comch_stream_sent(&stream, bc_comch_stream_room(&stream) / 4);
        }
        data += message_len;
        len -= message_len;
    }
    (void)read_some(&stream, held_len, BC_COMCH_WINDOW);
    bc_comch_stream_fini(&stream);
    return 0;
}
