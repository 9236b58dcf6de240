/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_posix.c - what the store on disk says of itself: the store's record and an object's footer.
 *
 *   input: [ which ][ the beginning of a block; the rest of it is zeros ]
 *
 * The checksum is always mended: a footer that someone wrote on purpose must be refused as well. */
#include "fuzz.h"

#include <string.h>

#include "backend/posix_format.h"
#include "base/assert.h"

static const uint8_t uuid[BC_POSIX_UUID_LEN] = "a store's uuid.";

static void check_record(const uint8_t *data, size_t len)
{
    struct bc_posix_store_record record = {0};

    memcpy(&record, data, len < sizeof(record) ? len : sizeof(record));
    (void)bc_posix_store_check(&record);
    record.crc = bc_crc32c(0, &record, offsetof(struct bc_posix_store_record, crc));
    (void)bc_posix_store_check(&record);
}

static void check_footer(const uint8_t *data, size_t len)
{
    struct bc_posix_footer footer = {0};
    struct bc_hash128 hash;
    uint64_t file_len;

    memcpy(&footer, data, len < sizeof(footer) ? len : sizeof(footer));
    file_len = footer.file_len;
    hash = (struct bc_hash128){.low = footer.hash_low, .high = footer.hash_high};
    footer.crc = bc_crc32c(0, &footer, offsetof(struct bc_posix_footer, crc));
    if (!bc_posix_footer_valid(&footer, uuid, hash, file_len)) {
        return;
    }
    BC_ASSERT(footer.key_len > 0 && footer.key_len <= BC_KEY_LEN_MAX);
    BC_ASSERT(footer.data_len <= BC_OBJECT_SIZE_MAX);
    BC_ASSERT(file_len == bc_posix_file_len(footer.data_len));
    BC_ASSERT(footer.table_len == bc_posix_table_len(footer.data_len));
    BC_ASSERT(footer.crc_count == bc_crc32c_blocks(footer.data_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 0 && data[0] % 2 == 0) {
        check_record(data + 1, len - 1);
    } else if (len > 0) {
        check_footer(data + 1, len - 1);
    }
    return 0;
}
