/* SPDX-License-Identifier: Apache-2.0 */
/* The name of an object is part of the on-disk formats: golden values keep it as it is. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/hash.h"

static void key_hash_never_changes(void **state)
{
    static const struct {
        uint32_t tenant;
        const char *key;
        const char *hex;
    } golden[] = {
        {0, "", "2a33816ed7e0c373dbe563c737220b65"},
        {0, "block-1", "0ab8dcf7de0731b805c21a49604c310a"},
        {7, "block-1", "1c565e1806ab7c6a97d7b7e8ab8ddce0"},
    };
    char hex[BC_HASH_HEX_LEN + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        bc_hash_to_hex(bc_hash_key(golden[i].tenant, golden[i].key, strlen(golden[i].key)), hex);
        assert_string_equal(hex, golden[i].hex);
    }
}

static void key_hash_is_xxh3_of_tenant_and_key_at_any_length(void **state)
{
    static const size_t lens[] = {0, 1, 7, 240, 241, 1023, 1024, 1025, 65535, 300000};
    const uint32_t tenant = 0x04030201;

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint8_t *input = malloc(4 + lens[i]);
        struct bc_hash128 hash;
        XXH128_hash_t expected;

        assert_non_null(input);
        memcpy(input, "\x01\x02\x03\x04", 4);
        for (size_t at = 0; at < lens[i]; at++) {
            input[4 + at] = (uint8_t)(at * 31);
        }
        expected = XXH3_128bits(input, 4 + lens[i]);
        hash = bc_hash_key(tenant, input + 4, lens[i]);
        assert_true(hash.low == expected.low64 && hash.high == expected.high64);
        free(input);
    }
}

static void tenants_do_not_share_names(void **state)
{
    (void)state;
    assert_false(bc_hash_equal(bc_hash_key(0, "k", 1), bc_hash_key(1, "k", 1)));
    assert_false(bc_hash_equal(bc_hash_key(0, "k\0", 2), bc_hash_key(0, "k", 1)));
    assert_true(bc_hash_equal(bc_hash_key(0, NULL, 0), bc_hash_key(0, "k", 0)));
}

static void hex_reads_back(void **state)
{
    const struct bc_hash128 hash = {.low = 0x0123456789abcdef, .high = 0xfedcba9876543210};
    char hex[BC_HASH_HEX_LEN + 1];
    struct bc_hash128 back = {0};

    (void)state;
    bc_hash_to_hex(hash, hex);
    assert_string_equal(hex, "fedcba98765432100123456789abcdef");
    assert_int_equal(bc_hash_from_hex(hex, &back), 0);
    assert_true(bc_hash_equal(hash, back));
}

static void hex_of_any_other_form_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "fedcba98765432100123456789abcde",
        "fedcba98765432100123456789abcdef0",
        "Fedcba98765432100123456789abcdef",
        "fedcba98765432100123456789abcdeg",
        "fedcba9876543210 123456789abcdef",
        "0x000000000000000000000000000000",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        /* Exact size: reading on after the end would be seen. */
        char *text = strdup(bad[i]);
        struct bc_hash128 hash = {.low = 5, .high = 6};

        assert_non_null(text);
        assert_int_equal(bc_hash_from_hex(text, &hash), -EINVAL);
        assert_true(hash.low == 5 && hash.high == 6);
        free(text);
    }
}

static void partition_scales_the_top_bits(void **state)
{
    const struct bc_hash128 lowest = {.low = UINT64_MAX, .high = 0};
    const struct bc_hash128 middle = {.low = 0, .high = UINT64_C(1) << 63};
    const struct bc_hash128 highest = {.low = 0, .high = UINT64_MAX};

    (void)state;
    assert_int_equal(bc_hash_partition(lowest, 16), 0);
    assert_int_equal(bc_hash_partition(middle, 16), 8);
    assert_int_equal(bc_hash_partition(highest, 16), 15);
    assert_int_equal(bc_hash_partition(highest, 1), 0);
    assert_int_equal(bc_hash_partition(highest, 3), 2);
}

static void keys_spread_over_partitions(void **state)
{
    unsigned int counts[8] = {0};

    (void)state;
    for (uint32_t i = 0; i < 8000; i++) {
        counts[bc_hash_partition(bc_hash_key(0, &i, sizeof(i)), 8)]++;
    }
    for (size_t i = 0; i < 8; i++) {
        assert_in_range(counts[i], 850, 1150);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_hash_never_changes),
        cmocka_unit_test(key_hash_is_xxh3_of_tenant_and_key_at_any_length),
        cmocka_unit_test(tenants_do_not_share_names),
        cmocka_unit_test(hex_reads_back),
        cmocka_unit_test(hex_of_any_other_form_is_refused),
        cmocka_unit_test(partition_scales_the_top_bits),
        cmocka_unit_test(keys_spread_over_partitions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
