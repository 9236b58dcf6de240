/* SPDX-License-Identifier: Apache-2.0 */
/* hash.h - the 128-bit hash that names an object inside the stores: XXH3-128 (xxhash) over the
 * tenant (4 bytes, little-endian) followed by the key. It is part of the on-disk formats: file
 * names, partitions and indexes derive from it. Any thread. */
#ifndef BC_BASE_HASH_H
#define BC_BASE_HASH_H

#include <stdbool.h>

#include "base/compiler.h"

BC_EXTERN_C_BEGIN

struct bc_hash128 {
    uint64_t low;
    uint64_t high;
};

#define BC_HASH_HEX_LEN 32 /* without the NUL */

/* Any length; allocates only for keys longer than any store accepts (1,024 bytes). */
struct bc_hash128 bc_hash_key(uint32_t tenant, const void *key, size_t key_len);

static inline bool bc_hash_equal(struct bc_hash128 a, struct bc_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

/* Lower-case hex, high word first; writes BC_HASH_HEX_LEN characters and a NUL. */
void bc_hash_to_hex(struct bc_hash128 hash, char out[BC_HASH_HEX_LEN + 1]);

/* 0, or -EINVAL when `text` is not exactly 32 lower-case hex digits. */
BC_MUST_USE int bc_hash_from_hex(const char *text, struct bc_hash128 *hash_out);

/* Partition of an object: the top bits of `high` scaled to [0, partitions), fixed for a
 * store's life. */
static inline uint32_t bc_hash_partition(struct bc_hash128 hash, uint32_t partitions)
{
    return (uint32_t)(((hash.high >> 32) * (uint64_t)partitions) >> 32);
}

BC_EXTERN_C_END

#endif
