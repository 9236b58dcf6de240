/* SPDX-License-Identifier: Apache-2.0 */
/* posix_format.h - what the `posix` backend keeps on disk, version 1.
 * docs/internals/posix-format.md tells the same in prose, with the rules by which a file is valid.
 *
 *   ROOT/bluecache.store           what this directory is (struct bc_posix_store_record)
 *   ROOT/LOCK                      held by the running agent; text: "bluecache <pid>"
 *   ROOT/objects/7/a/7a....obj     one object; named by the 32 hex digits of its key's hash
 *   ROOT/tmp/w<worker>-<number>    an object that is not committed yet
 *
 *   object file:  [ data, padded to 4 KiB ][ checksum table, when large ][ footer, 4 KiB ]
 *
 * A file is ours and whole when its last 4 KiB are a footer whose checksum holds, that names this
 * store, this file name's hash and this file length. Data is checked by block when it is read.
 * Everything is little-endian. Pure functions: any thread. */
#ifndef BC_BACKEND_POSIX_FORMAT_H
#define BC_BACKEND_POSIX_FORMAT_H

#include <stdbool.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "dma_transfer.h"

BC_EXTERN_C_BEGIN

#define BC_POSIX_VERSION      1u
#define BC_POSIX_BLOCK        4096u
#define BC_POSIX_STORE_MAGIC  UINT64_C(0x45524F5453434C42) /* "BLCSTORE" */
#define BC_POSIX_OBJECT_MAGIC UINT64_C(0x314A424F53504342) /* "BCPSOBJ1" */
#define BC_POSIX_DIRS         16u                          /* of each of the two levels */
#define BC_POSIX_UUID_LEN     16u

#define BC_POSIX_STORE_NAME   "bluecache.store"
#define BC_POSIX_LOCK_NAME    "LOCK"
#define BC_POSIX_OBJECTS_NAME "objects"
#define BC_POSIX_TMP_NAME     "tmp"
#define BC_POSIX_SUFFIX       ".obj"

struct bc_posix_store_record {
    uint64_t magic;
    uint32_t version;
    uint32_t partitions;
    uint8_t uuid[BC_POSIX_UUID_LEN];
    uint64_t created_s; /* since 1970 */
    uint8_t reserved[4052];
    uint32_t crc; /* CRC32C of all bytes before */
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_posix_store_record) == BC_POSIX_BLOCK, "one block");

/* Checksums of data blocks that fit the footer: objects up to 44 MiB. Those of larger ones fill
 * whole blocks before it. */
#define BC_POSIX_INLINE_CRCS 704u
#define BC_POSIX_TABLE_CRCS  1024u /* in a table block */
#define BC_POSIX_TABLE_LEN_MAX \
    (BC_OBJECT_SIZE_MAX / BC_CRC_BLOCK_SIZE / BC_POSIX_TABLE_CRCS * BC_POSIX_BLOCK)

struct bc_posix_footer {
    uint64_t magic;
    uint32_t version;
    uint32_t table_len; /* bytes of the table blocks, 0 when the checksums are in crcs[] */
    uint8_t uuid[BC_POSIX_UUID_LEN];
    uint64_t hash_low;
    uint64_t hash_high;
    uint64_t data_len;
    uint64_t file_len;
    uint64_t object_version;
    uint32_t tenant;
    uint16_t key_len;
    uint16_t flags; /* 0 */
    uint32_t crc_count;
    uint32_t table_crc; /* CRC32C of the table blocks */
    uint8_t meta[BC_OBJECT_META_LEN];
    uint8_t key[BC_KEY_LEN_MAX]; /* zeros behind key_len */
    uint64_t group;              /* 0: none, as in files written before there were groups */
    uint8_t reserved[92];
    uint32_t crcs[BC_POSIX_INLINE_CRCS];
    uint32_t crc; /* CRC32C of all bytes before */
} BC_PACKED;
BC_STATIC_ASSERT(sizeof(struct bc_posix_footer) == BC_POSIX_BLOCK, "one block");
BC_STATIC_ASSERT(offsetof(struct bc_posix_footer, meta) == 88, "the fixed part is 88 bytes");
BC_STATIC_ASSERT(offsetof(struct bc_posix_footer, group) == 1176, "behind the key");
BC_STATIC_ASSERT(offsetof(struct bc_posix_footer, crcs) % 4 == 0, "read in place");
BC_STATIC_ASSERT(BC_POSIX_TABLE_LEN_MAX == 65536, "the largest table is 64 KiB");

static inline uint64_t bc_posix_padded(uint64_t len)
{
    return bc_align_up_u64(len, BC_POSIX_BLOCK);
}

static inline uint32_t bc_posix_table_len(uint64_t data_len)
{
    uint64_t crcs = bc_crc32c_blocks(data_len);

    return crcs <= BC_POSIX_INLINE_CRCS ? 0 : (uint32_t)bc_posix_padded(crcs * 4);
}

/* Length of the file of an object of data_len bytes. */
static inline uint64_t bc_posix_file_len(uint64_t data_len)
{
    return bc_posix_padded(data_len) + bc_posix_table_len(data_len) + BC_POSIX_BLOCK;
}

/* "objects/7/a/7a0c....obj" */
#define BC_POSIX_PATH_LEN (sizeof(BC_POSIX_OBJECTS_NAME) + 4 + BC_HASH_HEX_LEN + 4 + 1)
void bc_posix_path(struct bc_hash128 hash, char path_out[BC_POSIX_PATH_LEN]);
/* The hash that a file's name tells. False: not a name of ours. */
bool bc_posix_name_parse(const char *name, struct bc_hash128 *hash_out);

void bc_posix_store_encode(struct bc_posix_store_record *record, uint32_t partitions,
                           const uint8_t uuid[BC_POSIX_UUID_LEN], uint64_t created_s);
enum bc_posix_store_check {
    BC_POSIX_STORE_OK = 0,
    BC_POSIX_STORE_FOREIGN, /* no store record */
    BC_POSIX_STORE_OTHER_VERSION,
    BC_POSIX_STORE_CORRUPT, /* the checksum does not hold */
};
enum bc_posix_store_check bc_posix_store_check(const struct bc_posix_store_record *record);

/* Sets all but key, meta, group, the checksums of the data, and what bc_posix_footer_seal fills in. */
void bc_posix_footer_init(struct bc_posix_footer *footer, const uint8_t uuid[BC_POSIX_UUID_LEN],
                          struct bc_hash128 hash, uint32_t tenant, uint64_t data_len);
/* Version and checksums, when all else is there. `table` has table_len bytes, zeros at its end. */
void bc_posix_footer_seal(struct bc_posix_footer *footer, const void *table,
                          uint64_t object_version);
/* Whether this is the footer of a file of that length, name and store. */
bool bc_posix_footer_valid(const struct bc_posix_footer *footer,
                           const uint8_t uuid[BC_POSIX_UUID_LEN], struct bc_hash128 hash,
                           uint64_t file_len);
static inline bool bc_posix_table_valid(const struct bc_posix_footer *footer, const void *table)
{
    return bc_crc32c(0, table, footer->table_len) == footer->table_crc;
}

BC_EXTERN_C_END

#endif
