/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h - CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected, initial and final XOR
 * 0xFFFFFFFF, as in RFC 3720), done by ISA-L. The checksum of frames, records and of every
 * BC_CRC_BLOCK_SIZE bytes of object data. Any thread. */
#ifndef BC_BASE_CRC32C_H
#define BC_BASE_CRC32C_H

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

#define BC_CRC_BLOCK_SIZE 65536u

/* crc of data following bytes whose crc was `crc` (0 to start):
 * bc_crc32c(0, "123456789", 9) == 0xE3069283. */
uint32_t bc_crc32c(uint32_t crc, const void *data, size_t len);

/* Blocks in len bytes; the last one may be short. */
static inline size_t bc_crc32c_blocks(uint64_t len)
{
    return (size_t)((len + BC_CRC_BLOCK_SIZE - 1) / BC_CRC_BLOCK_SIZE);
}

/* One CRC per block of `data`; out has bc_crc32c_blocks(len) elements. */
void bc_crc32c_fill(const void *data, size_t len, uint32_t *out);

/* Index of the first block that does not match, or -1 when all do. */
int64_t bc_crc32c_check(const void *data, size_t len, const uint32_t *expected);

BC_EXTERN_C_END

#endif
