/* SPDX-License-Identifier: Apache-2.0 */
/* test_control.c - CANCEL, PING, ERROR, empty bodies, names of types. */
#include "proto_test.h"

static void cancel_comes_back_and_has_one_length(void **state)
{
    uint64_t request_id = 0;
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_cancel_encode(&body.writer, UINT64_C(0x0123456789ABCDEF)), 0);
    assert_int_equal(body_len(&body), 8);
    assert_int_equal(bc_cancel_decode(body.data, 7, &request_id), -EBADMSG);
    assert_int_equal(bc_cancel_decode(body.data, 9, &request_id), -EBADMSG);
    assert_int_equal(request_id, 0);
    assert_int_equal(bc_cancel_decode(body.data, 8, &request_id), 0);
    assert_true(request_id == UINT64_C(0x0123456789ABCDEF));
}

static void ping_is_bounded(void **state)
{
    uint8_t data[BC_PING_LEN_MAX + 1] = {0};
    struct bc_bytes payload;

    (void)state;
    assert_int_equal(bc_ping_decode(data, sizeof(data), &payload), -E2BIG);
    assert_int_equal(bc_ping_decode(data, BC_PING_LEN_MAX, &payload), 0);
    assert_int_equal(payload.len, BC_PING_LEN_MAX);
    assert_ptr_equal(payload.data, data);
    assert_int_equal(bc_ping_decode(NULL, 0, &payload), 0);
    assert_int_equal(payload.len, 0);
}

static void empty_body_has_no_bytes(void **state)
{
    (void)state;
    assert_int_equal(bc_empty_decode(0), 0);
    assert_int_equal(bc_empty_decode(1), -EBADMSG);
}

static void error_comes_back(void **state)
{
    struct bc_error_message error;
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_error_encode(&body.writer, BC_STATUS_LIMIT, "too many requests"), 0);
    assert_int_equal(bc_error_decode(body.data, body_len(&body), &error), 0);
    assert_int_equal(error.status, BC_STATUS_LIMIT);
    assert_bytes(error.text, "too many requests");

    body_init(&body);
    assert_int_equal(bc_error_encode(&body.writer, BC_STATUS_LIMIT, NULL), 0);
    assert_int_equal(bc_error_decode(body.data, body_len(&body), &error), 0);
    assert_int_equal(error.text.len, 0);
}

static void error_text_is_cut_between_characters(void **state)
{
    char text[BC_ERROR_TEXT_LEN_MAX + 10];
    struct bc_error_message error;
    struct body body;

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    body_init(&body);
    assert_int_equal(bc_error_encode(&body.writer, BC_STATUS_INVALID, text), 0);
    assert_int_equal(bc_error_decode(body.data, body_len(&body), &error), 0);
    assert_int_equal(error.text.len, BC_ERROR_TEXT_LEN_MAX);

    /* A character of three bytes, of which two would fit. */
    memcpy(text + BC_ERROR_TEXT_LEN_MAX - 2, "\xE2\x82\xAC", 3);
    body_init(&body);
    assert_int_equal(bc_error_encode(&body.writer, BC_STATUS_INVALID, text), 0);
    assert_int_equal(bc_error_decode(body.data, body_len(&body), &error), 0);
    assert_int_equal(error.text.len, BC_ERROR_TEXT_LEN_MAX - 2);
}

static void error_refuses_success_and_long_texts(void **state)
{
    uint8_t data[4 + BC_ERROR_TEXT_LEN_MAX + 1] = {BC_STATUS_LIMIT};
    struct bc_error_message error;

    (void)state;
    assert_int_equal(bc_error_decode(data, sizeof(data), &error), -E2BIG);
    assert_int_equal(bc_error_decode(data, sizeof(data) - 1, &error), 0);
    assert_int_equal(bc_error_decode(data, 3, &error), -EBADMSG);
    data[0] = BC_STATUS_OK;
    assert_int_equal(bc_error_decode(data, 4, &error), -EBADMSG);
    data[0] = BC_STATUS_IN_PROGRESS;
    assert_int_equal(bc_error_decode(data, 4, &error), -EBADMSG);
}

static void every_type_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 1; i < BC_MSG_TYPE_COUNT; i++) {
        const char *name = bc_message_type_name((uint8_t)i);

        assert_string_not_equal(name, "unknown");
        for (unsigned other = 1; other < i; other++) {
            assert_string_not_equal(name, bc_message_type_name((uint8_t)other));
        }
    }
    assert_string_equal(bc_message_type_name(BC_MSG_QUERY_RESULT), "query_result");
    assert_string_equal(bc_message_type_name(0), "unknown");
    assert_string_equal(bc_message_type_name(BC_MSG_TYPE_COUNT), "unknown");
    assert_string_equal(bc_message_type_name(UINT8_MAX), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel_comes_back_and_has_one_length),
        cmocka_unit_test(ping_is_bounded),
        cmocka_unit_test(empty_body_has_no_bytes),
        cmocka_unit_test(error_comes_back),
        cmocka_unit_test(error_text_is_cut_between_characters),
        cmocka_unit_test(error_refuses_success_and_long_texts),
        cmocka_unit_test(every_type_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests_name("proto_control", tests, NULL, NULL);
}
