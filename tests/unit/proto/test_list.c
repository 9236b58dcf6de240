/* SPDX-License-Identifier: Apache-2.0 */
/* test_list.c - lists of statuses, and COMPLETION. */
#include "proto_test.h"

static int decode_statuses(const void *data, size_t len)
{
    const uint8_t *statuses;
    uint32_t count;

    return bc_statuses_decode(data, len, &statuses, &count);
}

static int decode_completion(const void *data, size_t len)
{
    struct bc_completion completion;

    return bc_completion_decode(data, len, &completion);
}

static void statuses_come_back_at_any_alignment(void **state)
{
    static const uint32_t statuses[] = {BC_STATUS_OK, BC_STATUS_NOT_FOUND, BC_STATUS_IO_ERROR};
    uint8_t data[64];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        struct bc_writer writer;
        const uint8_t *out;
        uint32_t count;
        size_t len;

        bc_writer_init(&writer, data + shift, sizeof(data) - shift);
        assert_int_equal(bc_statuses_encode(&writer, statuses, 3), 0);
        assert_int_equal(bc_writer_finish(&writer, &len), 0);
        assert_int_equal(bc_statuses_decode(data + shift, len, &out, &count), 0);
        assert_int_equal(count, 3);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(bc_statuses_get(out, i), statuses[i]);
        }
    }
}

static void statuses_refuse_what_is_never_on_the_wire(void **state)
{
    static const uint32_t statuses[] = {BC_STATUS_OK, BC_STATUS_OK};
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_list, count, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, BC_QUERY_KEYS_MAX, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, BC_QUERY_KEYS_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_list, reserved, 1, -EBADMSG),
        {.offset = 12, .len = 4, .value = BC_STATUS_IN_PROGRESS, .error = -EBADMSG},
        /* One that a later version adds. */
        {.offset = 12, .len = 4, .value = BC_STATUS_COUNT + 100, .error = 0},
    };
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_statuses_encode(&body.writer, statuses, 2), 0);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode_statuses);
    assert_int_equal(bc_list_begin_encode(&body.writer, BC_QUERY_KEYS_MAX), 0);
    assert_int_equal(bc_list_begin_encode(&body.writer, BC_QUERY_KEYS_MAX + 1), -E2BIG);
}

static void completion_comes_back(void **state)
{
    static const uint32_t statuses[] = {BC_STATUS_OK, BC_STATUS_RANGE};
    const struct bc_wire_completion header = {
        .status = BC_STATUS_RANGE,
        .flags = BC_COMPLETION_FLAG_MORE,
        .reserved = 1,
        .first_entry = 40,
        .entry_count = 2,
        .bytes = UINT64_C(1) << 40,
        .agent_ns = 12345,
    };
    struct bc_completion out;
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_completion_encode(&body.writer, &header, statuses), 0);
    assert_int_equal(bc_completion_decode(body.data, body_len(&body), &out), 0);
    assert_int_equal(out.wire.status, BC_STATUS_RANGE);
    assert_int_equal(out.wire.flags, BC_COMPLETION_FLAG_MORE);
    assert_int_equal(out.wire.reserved, 0);
    assert_int_equal(out.wire.first_entry, 40);
    assert_int_equal(out.wire.entry_count, 2);
    assert_int_equal(out.wire.bytes, UINT64_C(1) << 40);
    assert_int_equal(bc_statuses_get(out.statuses, 1), BC_STATUS_RANGE);
}

static void completion_without_entries_needs_no_statuses(void **state)
{
    const struct bc_wire_completion header = {.status = BC_STATUS_CANCELLED};
    struct bc_completion out;
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_completion_encode(&body.writer, &header, NULL), 0);
    assert_int_equal(body_len(&body), sizeof(header));
    assert_int_equal(bc_completion_decode(body.data, body_len(&body), &out), 0);
    assert_int_equal(out.wire.entry_count, 0);
}

static void completion_refuses_each_bad_field(void **state)
{
    static const uint32_t statuses[] = {BC_STATUS_OK, BC_STATUS_OK};
    const struct bc_wire_completion header = {.entry_count = 2};
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_completion, flags, 2, -EBADMSG),
        DAMAGE(0, struct bc_wire_completion, reserved, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_completion, status, BC_STATUS_IN_PROGRESS, -EBADMSG),
        DAMAGE(0, struct bc_wire_completion, entry_count, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_completion, entry_count, 3, -EBADMSG),
        DAMAGE(0, struct bc_wire_completion, entry_count, UINT32_MAX, -E2BIG),
        DAMAGE(0, struct bc_wire_completion, first_entry, BC_TRANSFER_ENTRIES_MAX - 2, 0),
        DAMAGE(0, struct bc_wire_completion, first_entry, BC_TRANSFER_ENTRIES_MAX - 1, -E2BIG),
        DAMAGE(0, struct bc_wire_completion, first_entry, UINT32_MAX, -E2BIG),
        {.offset = 36, .len = 4, .value = BC_STATUS_IN_PROGRESS, .error = -EBADMSG},
    };
    const struct bc_wire_completion too_far = {.first_entry = 1,
                                               .entry_count = BC_TRANSFER_ENTRIES_MAX};
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_completion_encode(&body.writer, &header, statuses), 0);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode_completion);
    assert_int_equal(bc_completion_encode(&body.writer, &too_far, statuses), -E2BIG);
}

static void completion_of_the_largest_request_fits(void **state)
{
    static const uint32_t statuses[BC_TRANSFER_ENTRIES_MAX];
    static uint8_t data[sizeof(struct bc_wire_completion) + sizeof(statuses)];
    const struct bc_wire_completion header = {.entry_count = BC_TRANSFER_ENTRIES_MAX};
    struct bc_writer writer;

    (void)state;
    bc_writer_init(&writer, data, sizeof(data));
    assert_int_equal(bc_completion_encode(&writer, &header, statuses), 0);
    assert_int_equal(decode_completion(data, sizeof(data)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_come_back_at_any_alignment),
        cmocka_unit_test(statuses_refuse_what_is_never_on_the_wire),
        cmocka_unit_test(completion_comes_back),
        cmocka_unit_test(completion_without_entries_needs_no_statuses),
        cmocka_unit_test(completion_refuses_each_bad_field),
        cmocka_unit_test(completion_of_the_largest_request_fits),
    };

    return cmocka_run_group_tests_name("proto_list", tests, NULL, NULL);
}
