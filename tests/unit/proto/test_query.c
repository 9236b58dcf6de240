/* SPDX-License-Identifier: Apache-2.0 */
/* test_query.c - QUERY and REMOVE with keys of any bytes, and QUERY_RESULT. */
#include "proto_test.h"

static int decode_keys(const void *data, size_t len)
{
    struct bc_keys_iter iter;
    uint32_t count;

    return bc_keys_decode(data, len, &count, &iter);
}

static int decode_result(const void *data, size_t len)
{
    const struct bc_wire_query_result *results;
    uint32_t count;

    return bc_query_result_decode(data, len, &results, &count);
}

static void keys_of_any_bytes_come_back(void **state)
{
    static const uint8_t long_key[UINT16_MAX - 100];
    const struct bc_bytes keys[] = {
        bytes_of("a/b"),
        {.data = (const uint8_t *)"\0\xff..", .len = 4},
        {.data = NULL, .len = 0},
        {.data = long_key, .len = sizeof(long_key)},
    };
    struct bc_keys_iter iter;
    struct bc_bytes key;
    struct body body;
    uint32_t count;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_keys_encode(&body.writer, keys, 4), 0);
    assert_int_equal(bc_keys_decode(body.data, body_len(&body), &count, &iter), 0);
    assert_int_equal(count, 4);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(bc_keys_next(&iter, &key));
        assert_int_equal(key.len, keys[i].len);
        if (key.len > 0) {
            assert_memory_equal(key.data, keys[i].data, key.len);
        }
    }
    assert_false(bc_keys_next(&iter, &key));
}

static void keys_refuse_bad_counts_and_lengths(void **state)
{
    const struct bc_bytes keys[] = {bytes_of("ab"), bytes_of("cd")};
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_list, count, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, 3, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, BC_QUERY_KEYS_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_list, reserved, 1, -EBADMSG),
        {.offset = 8, .len = 2, .value = 3, .error = -EBADMSG},
        {.offset = 8, .len = 2, .value = UINT16_MAX, .error = -EBADMSG},
        {.offset = 12, .len = 2, .value = 1, .error = -EBADMSG},
    };
    static const uint8_t bytes[UINT16_MAX + 1];
    const struct bc_bytes too_long = {.data = bytes, .len = sizeof(bytes)};
    const struct bc_bytes longest = {.data = bytes, .len = UINT16_MAX};
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_keys_encode(&body.writer, keys, 2), 0);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode_keys);
    assert_int_equal(bc_keys_encode(&body.writer, &too_long, 1), -E2BIG);
    assert_int_equal(bc_keys_encode(&body.writer, keys, BC_QUERY_KEYS_MAX + 1), -E2BIG);
    /* Within the limits, but not within this buffer. */
    assert_int_equal(bc_keys_encode(&body.writer, &longest, 1), -EMSGSIZE);
}

static void results_are_shown_in_place(void **state)
{
    static const struct bc_wire_query_result results[] = {
        {.status = BC_STATUS_OK, .size = 1 << 30, .version = 7},
        {.status = BC_STATUS_NOT_FOUND},
    };
    const struct bc_wire_query_result *out;
    struct body body;
    uint32_t count;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_query_result_encode(&body.writer, results, 2), 0);
    assert_int_equal(bc_query_result_decode(body.data, body_len(&body), &out, &count), 0);
    assert_int_equal(count, 2);
    assert_memory_equal(out, results, sizeof(results));
    assert_int_equal(bc_query_result_encode(&body.writer, results, BC_QUERY_KEYS_MAX + 1), -E2BIG);
}

static void results_refuse_each_bad_field(void **state)
{
    static const struct bc_wire_query_result results[2];
    const size_t second = sizeof(struct bc_wire_list) + sizeof(results[0]);
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_list, count, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, 3, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, UINT32_MAX, -E2BIG),
        DAMAGE(second, struct bc_wire_query_result, status, BC_STATUS_IN_PROGRESS, -EBADMSG),
        DAMAGE(second, struct bc_wire_query_result, reserved, 1, -EBADMSG),
        DAMAGE(second, struct bc_wire_query_result, size, UINT64_MAX, 0),
    };
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_query_result_encode(&body.writer, results, 2), 0);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode_result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_any_bytes_come_back),
        cmocka_unit_test(keys_refuse_bad_counts_and_lengths),
        cmocka_unit_test(results_are_shown_in_place),
        cmocka_unit_test(results_refuse_each_bad_field),
    };

    return cmocka_run_group_tests_name("proto_query", tests, NULL, NULL);
}
