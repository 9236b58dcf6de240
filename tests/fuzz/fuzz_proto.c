/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_proto.c - the decoder of every message.
 *
 *   input: [ message type ][ body ]
 *
 * walk_decode reads all that a decoder shows and asserts what decoders promise. */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t type = len > 0 ? (uint8_t)(1 + data[0] % (BC_MSG_TYPE_COUNT - 1)) : BC_MSG_HELLO;
    size_t body_len = len > 0 ? len - 1 : 0;
    uint8_t *body = fuzz_copy(data + 1, body_len);
    uint64_t sum;
    int rc = walk_decode(type, body, body_len, &sum);

    BC_ASSERT(rc == 0 || rc == -EBADMSG || rc == -E2BIG);
    free(body);
    return 0;
}
