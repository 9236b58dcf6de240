/* SPDX-License-Identifier: Apache-2.0 */
/* posix_format.c - writes and checks the records of posix_format.h. Pure functions, any thread. */
#include "backend/posix_format.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void bc_posix_path(struct bc_hash128 hash, char path_out[BC_POSIX_PATH_LEN])
{
    char hex[BC_HASH_HEX_LEN + 1];
    int len;

    bc_hash_to_hex(hash, hex);
    len = snprintf(path_out, BC_POSIX_PATH_LEN, "%s/%c/%c/%s%s", BC_POSIX_OBJECTS_NAME, hex[0],
                   hex[1], hex, BC_POSIX_SUFFIX);
    BC_ASSERT(len == (int)BC_POSIX_PATH_LEN - 1);
}

bool bc_posix_name_parse(const char *name, struct bc_hash128 *hash_out)
{
    char hex[BC_HASH_HEX_LEN + 1];

    if (strlen(name) != BC_HASH_HEX_LEN + strlen(BC_POSIX_SUFFIX) ||
        strcmp(name + BC_HASH_HEX_LEN, BC_POSIX_SUFFIX) != 0) {
        return false;
    }
    memcpy(hex, name, BC_HASH_HEX_LEN);
    hex[BC_HASH_HEX_LEN] = '\0';
    return bc_hash_from_hex(hex, hash_out) == 0;
}

void bc_posix_store_encode(struct bc_posix_store_record *record, uint32_t partitions,
                           const uint8_t uuid[BC_POSIX_UUID_LEN], uint64_t created_s)
{
    memset(record, 0, sizeof(*record));
    record->magic = BC_POSIX_STORE_MAGIC;
    record->version = BC_POSIX_VERSION;
    record->partitions = partitions;
    memcpy(record->uuid, uuid, sizeof(record->uuid));
    record->created_s = created_s;
    record->crc = bc_crc32c(0, record, offsetof(struct bc_posix_store_record, crc));
}

enum bc_posix_store_check bc_posix_store_check(const struct bc_posix_store_record *record)
{
    if (record->magic != BC_POSIX_STORE_MAGIC) {
        return BC_POSIX_STORE_FOREIGN;
    }
    /* Before the checksum: another version may keep it elsewhere. */
    if (record->version != BC_POSIX_VERSION) {
        return BC_POSIX_STORE_OTHER_VERSION;
    }
    if (record->crc != bc_crc32c(0, record, offsetof(struct bc_posix_store_record, crc))) {
        return BC_POSIX_STORE_CORRUPT;
    }
    return BC_POSIX_STORE_OK;
}

void bc_posix_footer_init(struct bc_posix_footer *footer, const uint8_t uuid[BC_POSIX_UUID_LEN],
                          struct bc_hash128 hash, uint32_t tenant, uint64_t data_len)
{
    memset(footer, 0, sizeof(*footer));
    footer->magic = BC_POSIX_OBJECT_MAGIC;
    footer->version = BC_POSIX_VERSION;
    footer->table_len = bc_posix_table_len(data_len);
    memcpy(footer->uuid, uuid, sizeof(footer->uuid));
    footer->hash_low = hash.low;
    footer->hash_high = hash.high;
    footer->data_len = data_len;
    footer->file_len = bc_posix_file_len(data_len);
    footer->tenant = tenant;
    footer->crc_count = (uint32_t)bc_crc32c_blocks(data_len);
}

void bc_posix_footer_seal(struct bc_posix_footer *footer, const void *table,
                          uint64_t object_version)
{
    footer->object_version = object_version;
    footer->table_crc = bc_crc32c(0, table, footer->table_len);
    footer->crc = bc_crc32c(0, footer, offsetof(struct bc_posix_footer, crc));
}

bool bc_posix_footer_valid(const struct bc_posix_footer *footer,
                           const uint8_t uuid[BC_POSIX_UUID_LEN], struct bc_hash128 hash,
                           uint64_t file_len)
{
    return footer->magic == BC_POSIX_OBJECT_MAGIC && footer->version == BC_POSIX_VERSION &&
           footer->crc == bc_crc32c(0, footer, offsetof(struct bc_posix_footer, crc)) &&
           memcmp(footer->uuid, uuid, sizeof(footer->uuid)) == 0 && footer->hash_low == hash.low &&
           footer->hash_high == hash.high && footer->file_len == file_len &&
           footer->data_len <= BC_OBJECT_SIZE_MAX &&
           bc_posix_file_len(footer->data_len) == file_len &&
           footer->table_len == bc_posix_table_len(footer->data_len) &&
           footer->crc_count == bc_crc32c_blocks(footer->data_len) && footer->key_len >= 1 &&
           footer->key_len <= BC_KEY_LEN_MAX && footer->object_version > 0;
}
