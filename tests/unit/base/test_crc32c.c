/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum against the vectors of RFC 3720 (B.4) and against a bit-by-bit twin. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

/* One bit at a time, straight from the polynomial. */
static uint32_t slow_crc32c(uint32_t crc, const uint8_t *data, size_t len)
{
    uint32_t value = ~crc;

    for (size_t i = 0; i < len; i++) {
        value ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78u : 0);
        }
    }
    return ~value;
}

static void crc_matches_published_vectors(void **state)
{
    uint8_t bytes[32];

    (void)state;
    assert_int_equal(bc_crc32c(0, "123456789", 9), 0xe3069283u);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(bc_crc32c(0, bytes, sizeof(bytes)), 0x8a9136aau);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(bc_crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43u);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(bc_crc32c(0, bytes, sizeof(bytes)), 0x46dd794eu);
}

static void crc_of_nothing_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(bc_crc32c(0, NULL, 0), 0);
    assert_int_equal(bc_crc32c(0x1234u, "x", 0), 0x1234);
}

static void crc_goes_on_from_any_split_and_alignment(void **state)
{
    uint8_t bytes[257];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t start = 0; start < 16; start++) {
        size_t len = sizeof(bytes) - start;
        uint32_t whole = slow_crc32c(0, bytes + start, len);

        assert_int_equal(bc_crc32c(0, bytes + start, len), whole);
        for (size_t split = 0; split <= len; split++) {
            uint32_t head = bc_crc32c(0, bytes + start, split);

            assert_int_equal(bc_crc32c(head, bytes + start + split, len - split), whole);
        }
    }
}

static void blocks_are_checked_one_by_one(void **state)
{
    const size_t len = 3 * BC_CRC_BLOCK_SIZE + 5;
    uint8_t *data = malloc(len);
    uint32_t crcs[4];

    (void)state;
    assert_non_null(data);
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)(i >> 7);
    }
    assert_int_equal(bc_crc32c_blocks(len), 4);
    bc_crc32c_fill(data, len, crcs);
    assert_int_equal(crcs[3], slow_crc32c(0, data + 3 * BC_CRC_BLOCK_SIZE, 5));
    assert_int_equal(bc_crc32c_check(data, len, crcs), -1);
    for (size_t block = 0; block < 4; block++) {
        data[block * BC_CRC_BLOCK_SIZE + 4] ^= 1;
        assert_int_equal(bc_crc32c_check(data, len, crcs), block);
        data[block * BC_CRC_BLOCK_SIZE + 4] ^= 1;
    }
    free(data);
}

static void block_count_rounds_up(void **state)
{
    (void)state;
    assert_int_equal(bc_crc32c_blocks(0), 0);
    assert_int_equal(bc_crc32c_blocks(1), 1);
    assert_int_equal(bc_crc32c_blocks(BC_CRC_BLOCK_SIZE), 1);
    assert_int_equal(bc_crc32c_blocks(BC_CRC_BLOCK_SIZE + 1), 2);
    assert_int_equal(bc_crc32c_check(NULL, 0, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_matches_published_vectors),
        cmocka_unit_test(crc_of_nothing_changes_nothing),
        cmocka_unit_test(crc_goes_on_from_any_split_and_alignment),
        cmocka_unit_test(blocks_are_checked_one_by_one),
        cmocka_unit_test(block_count_rounds_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
