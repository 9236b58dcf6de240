/* SPDX-License-Identifier: Apache-2.0 */
/* comch_wire.c - see comch_wire.h. */
#include "channel/comch_wire.h"

#include <errno.h>

#define TAKEN_OFFSET 4u

void bc_comch_header_encode(const struct bc_comch_header *header, uint8_t *out)
{
    out[0] = BC_COMCH_VERSION;
    out[1] = header->kind;
    out[2] = 0;
    out[3] = 0;
    for (unsigned int i = 0; i < 4; i++) {
        out[TAKEN_OFFSET + i] = (uint8_t)(header->taken >> (8 * i));
    }
}

int bc_comch_header_decode(const uint8_t *message, size_t len, struct bc_comch_header *header_out)
{
    struct bc_comch_header header = {0};

    if (len < BC_COMCH_HEADER_LEN) {
        return -EBADMSG;
    }
    if (message[0] != BC_COMCH_VERSION) {
        return -EPROTONOSUPPORT;
    }
    header.kind = message[1];
    if (header.kind < BC_COMCH_DATA || header.kind > BC_COMCH_CLOSE || message[2] != 0 ||
        message[3] != 0 || (header.kind == BC_COMCH_DATA) != (len > BC_COMCH_HEADER_LEN)) {
        return -EBADMSG;
    }
    for (unsigned int i = 0; i < 4; i++) {
        header.taken |= (uint32_t)message[TAKEN_OFFSET + i] << (8 * i);
    }
    *header_out = header;
    return 0;
}
