/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.c - CRC-32C on top of ISA-L's crc32_iscsi, which picks the processor's instructions at run
 * time. crc32_iscsi keeps the raw register: neither the initial nor the final inversion of RFC 3720
 * is its own, so both are done here. Any thread; allocates nothing; no errors. */
#include "base/crc32c.h"

#include <isa-l/crc.h>

/* crc32_iscsi takes its length as an int. */
#define CRC_STEP_MAX ((size_t)1 << 30)

uint32_t bc_crc32c(uint32_t crc, const void *data, size_t len)
{
    const unsigned char *next = data;
    uint32_t state = ~crc;

    while (len > 0) {
        size_t step = len < CRC_STEP_MAX ? len : CRC_STEP_MAX;

        /* ISA-L only reads, though its prototype does not say so. */
        state = crc32_iscsi((unsigned char *)next, (int)step, state);
        next += step;
        len -= step;
    }
    return ~state;
}

static size_t block_len(size_t len, size_t offset)
{
    size_t left = len - offset;

    return left < BC_CRC_BLOCK_SIZE ? left : BC_CRC_BLOCK_SIZE;
}

void bc_crc32c_fill(const void *data, size_t len, uint32_t *out)
{
    const uint8_t *bytes = data;
    size_t blocks = bc_crc32c_blocks(len);

    for (size_t i = 0; i < blocks; i++) {
        size_t offset = i * BC_CRC_BLOCK_SIZE;

        out[i] = bc_crc32c(0, bytes + offset, block_len(len, offset));
    }
}

int64_t bc_crc32c_check(const void *data, size_t len, const uint32_t *expected)
{
    const uint8_t *bytes = data;
    size_t blocks = bc_crc32c_blocks(len);

    for (size_t i = 0; i < blocks; i++) {
        size_t offset = i * BC_CRC_BLOCK_SIZE;

        if (bc_crc32c(0, bytes + offset, block_len(len, offset)) != expected[i]) {
            return (int64_t)i;
        }
    }
    return -1;
}
