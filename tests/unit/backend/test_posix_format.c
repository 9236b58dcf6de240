/* SPDX-License-Identifier: Apache-2.0 */
/* test_posix_format.c - the records on disk: names, sizes, and that every byte of a footer
 * counts. */
#include "bed.h"

#include <string.h>

#include "backend/posix_format.h"

static const uint8_t uuid[BC_POSIX_UUID_LEN] = {1, 2,  3,  4,  5,  6,  7,  8,
                                                9, 10, 11, 12, 13, 14, 15, 16};

static void paths_spread_by_hash(void **state)
{
    struct bc_hash128 hash = {.low = UINT64_C(0x0123456789abcdef),
                              .high = UINT64_C(0x7a00000000000001)};
    char path[BC_POSIX_PATH_LEN];
    struct bc_hash128 back;

    (void)state;
    bc_posix_path(hash, path);
    assert_string_equal(path, "objects/7/a/7a000000000000010123456789abcdef.obj");
    assert_true(bc_posix_name_parse(path + 12, &back));
    assert_true(bc_hash_equal(hash, back));
}

static void other_names_are_not_ours(void **state)
{
    static const char *const names[] = {
        "",
        ".obj",
        "7a000000000000010123456789abcdef",
        "7a000000000000010123456789abcdef.ob",
        "7a000000000000010123456789abcdef.objx",
        "7a000000000000010123456789abcde.obj",
        "7A000000000000010123456789abcdef.obj",
        "7a00000000000001 123456789abcdef.obj",
        "7a000000000000010123456789abcdef.tmp",
    };
    struct bc_hash128 hash;

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(names); i++) {
        assert_false(bc_posix_name_parse(names[i], &hash));
    }
}

static void file_lengths(void **state)
{
    (void)state;
    assert_int_equal(bc_posix_file_len(0), 4096);
    assert_int_equal(bc_posix_file_len(1), 8192);
    assert_int_equal(bc_posix_file_len(4096), 8192);
    assert_int_equal(bc_posix_file_len(4097), 12288);
    assert_int_equal(bc_posix_file_len(1048576), 1048576 + 4096);
    /* 704 checksums fit the footer, 705 take a block. */
    assert_int_equal(bc_posix_table_len(704 * 65536), 0);
    assert_int_equal(bc_posix_table_len(704 * 65536 + 1), 4096);
    assert_int_equal(bc_posix_table_len(1024 * 65536), 4096);
    assert_int_equal(bc_posix_table_len(1024 * 65536 + 1), 8192);
    assert_int_equal(bc_posix_table_len(BC_OBJECT_SIZE_MAX), 65536);
    assert_int_equal(bc_posix_file_len(BC_OBJECT_SIZE_MAX), BC_OBJECT_SIZE_MAX + 65536 + 4096);
}

static void a_store_record_is_checked(void **state)
{
    static struct bc_posix_store_record record;

    (void)state;
    bc_posix_store_encode(&record, 64, uuid, 1700000000);
    assert_int_equal(bc_posix_store_check(&record), BC_POSIX_STORE_OK);
    for (size_t i = 0; i < sizeof(record); i++) {
        uint8_t *byte = (uint8_t *)&record + i;

        *byte ^= 0x10;
        assert_int_not_equal(bc_posix_store_check(&record), BC_POSIX_STORE_OK);
        *byte ^= 0x10;
    }
    record.version = 2;
    assert_int_equal(bc_posix_store_check(&record), BC_POSIX_STORE_OTHER_VERSION);
    memset(&record, 0, sizeof(record));
    assert_int_equal(bc_posix_store_check(&record), BC_POSIX_STORE_FOREIGN);
}

static void fill(struct bc_posix_footer *footer, struct bc_hash128 hash, uint64_t len,
                 const uint32_t *table)
{
    bc_posix_footer_init(footer, uuid, hash, 3, len);
    footer->key_len = 3;
    memcpy(footer->key, "key", 3);
    bc_posix_footer_seal(footer, table, 42);
}

static void every_byte_of_a_footer_counts(void **state)
{
    struct bc_hash128 hash = {.low = 5, .high = 6};
    static struct bc_posix_footer footer;

    (void)state;
    fill(&footer, hash, 100000, NULL);
    assert_true(bc_posix_footer_valid(&footer, uuid, hash, bc_posix_file_len(100000)));
    for (size_t i = 0; i < sizeof(footer); i++) {
        uint8_t *byte = (uint8_t *)&footer + i;

        *byte ^= 1;
        assert_false(bc_posix_footer_valid(&footer, uuid, hash, bc_posix_file_len(100000)));
        *byte ^= 1;
    }
}

static void a_footer_is_of_one_store_name_and_length(void **state)
{
    struct bc_hash128 hash = {.low = 5, .high = 6};
    struct bc_hash128 other = {.low = 5, .high = 7};
    uint8_t other_uuid[BC_POSIX_UUID_LEN] = {0};
    static struct bc_posix_footer footer;

    (void)state;
    fill(&footer, hash, 100000, NULL);
    assert_false(bc_posix_footer_valid(&footer, other_uuid, hash, bc_posix_file_len(100000)));
    assert_false(bc_posix_footer_valid(&footer, uuid, other, bc_posix_file_len(100000)));
    assert_false(bc_posix_footer_valid(&footer, uuid, hash, bc_posix_file_len(100000) + 4096));
    /* Right checksum, impossible contents. */
    footer.data_len = UINT64_C(1) << 62;
    bc_posix_footer_seal(&footer, NULL, 42);
    assert_false(bc_posix_footer_valid(&footer, uuid, hash, bc_posix_file_len(100000)));
    fill(&footer, hash, 100000, NULL);
    footer.key_len = 1025;
    bc_posix_footer_seal(&footer, NULL, 42);
    assert_false(bc_posix_footer_valid(&footer, uuid, hash, bc_posix_file_len(100000)));
}

static void a_table_is_checked(void **state)
{
    static uint32_t table[1024];
    static struct bc_posix_footer footer;
    struct bc_hash128 hash = {.low = 5, .high = 6};

    (void)state;
    for (uint32_t i = 0; i < 800; i++) {
        table[i] = i * 77;
    }
    fill(&footer, hash, 800 * 65536, table);
    assert_true(bc_posix_footer_valid(&footer, uuid, hash, bc_posix_file_len(800 * 65536)));
    assert_true(bc_posix_table_valid(&footer, table));
    table[1023] ^= 1;
    assert_false(bc_posix_table_valid(&footer, table));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_spread_by_hash),
        cmocka_unit_test(other_names_are_not_ours),
        cmocka_unit_test(file_lengths),
        cmocka_unit_test(a_store_record_is_checked),
        cmocka_unit_test(every_byte_of_a_footer_counts),
        cmocka_unit_test(a_footer_is_of_one_store_name_and_length),
        cmocka_unit_test(a_table_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
