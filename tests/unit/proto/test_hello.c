/* SPDX-License-Identifier: Apache-2.0 */
/* test_hello.c - HELLO and HELLO_ACK: what is said comes back; what no peer may say is refused. */
#include "proto_test.h"

static struct bc_hello sample_hello(void)
{
    return (struct bc_hello){
        .wire = {.version_min = 1,
                 .version_max = 3,
                 .tenant = 7,
                 .features = BC_FEATURE_PARTS,
                 .host_id = {1, 2, 3},
                 .pid = 4711,
                 .requests_wanted = 64,
                 .auth_len = 9999,
                 .name_len = 9999,
                 .reserved = 1},
        .auth = bytes_of("secret"),
        .name = bytes_of("client"),
    };
}

static struct bc_hello_ack sample_ack(void)
{
    return (struct bc_hello_ack){
        .wire = {.status = BC_STATUS_OK,
                 .version = 1,
                 .features = BC_FEATURE_EMULATED_DOCA,
                 .session_id = 5,
                 .agent_id = {9, 8, 7},
                 .requests_max = 32,
                 .entries_max = BC_TRANSFER_ENTRIES_MAX,
                 .bytes_max = UINT64_MAX,
                 .regions_max = 1024,
                 .message_max = BC_MESSAGE_BODY_MAX,
                 .object_size_max = BC_OBJECT_SIZE_MAX,
                 .chunk_len = 1 << 20,
                 .keepalive_ms = 1000},
        .name = bytes_of("dpu_dma_copy 0.1.0 posix"),
    };
}

static int decode_hello(const void *data, size_t len)
{
    struct bc_hello hello;

    return bc_hello_decode(data, len, &hello);
}

static int decode_ack(const void *data, size_t len)
{
    struct bc_hello_ack ack;

    return bc_hello_ack_decode(data, len, &ack);
}

static void hello_comes_back_with_lengths_of_the_views(void **state)
{
    struct bc_hello hello = sample_hello();
    struct bc_hello out;
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_hello_encode(&body.writer, &hello), 0);
    assert_int_equal(body_len(&body), sizeof(struct bc_wire_hello) + 12);
    assert_int_equal(bc_hello_decode(body.data, body_len(&body), &out), 0);
    assert_int_equal(out.wire.version_max, 3);
    assert_int_equal(out.wire.tenant, 7);
    assert_int_equal(out.wire.pid, 4711);
    assert_int_equal(out.wire.requests_wanted, 64);
    assert_int_equal(out.wire.host_id[2], 3);
    assert_int_equal(out.wire.auth_len, 6);
    assert_int_equal(out.wire.reserved, 0);
    assert_bytes(out.auth, "secret");
    assert_bytes(out.name, "client");
}

static void hello_with_nothing_to_say_is_valid(void **state)
{
    struct bc_hello hello = {.wire = {.version_min = 1, .version_max = 1}};
    struct bc_hello out;
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_hello_encode(&body.writer, &hello), 0);
    assert_int_equal(bc_hello_decode(body.data, body_len(&body), &out), 0);
    assert_int_equal(out.auth.len, 0);
    assert_int_equal(out.name.len, 0);
}

static void hello_over_the_limits_is_not_encoded(void **state)
{
    static const uint8_t bytes[BC_AUTH_LEN_MAX + 1];
    struct bc_hello hello = sample_hello();
    struct body body;

    (void)state;
    body_init(&body);
    hello.auth = (struct bc_bytes){.data = bytes, .len = sizeof(bytes)};
    assert_int_equal(bc_hello_encode(&body.writer, &hello), -E2BIG);
    hello.auth.len = BC_AUTH_LEN_MAX;
    hello.name = (struct bc_bytes){.data = bytes, .len = BC_NAME_LEN_MAX + 1};
    assert_int_equal(bc_hello_encode(&body.writer, &hello), -E2BIG);
    hello.name.len = BC_NAME_LEN_MAX;
    assert_int_equal(bc_hello_encode(&body.writer, &hello), 0);
    assert_int_equal(decode_hello(body.data, body_len(&body)), 0);
}

static void hello_refuses_each_bad_field(void **state)
{
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_hello, version_min, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello, version_min, 4, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello, version_max, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello, reserved, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello, auth_len, BC_AUTH_LEN_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_hello, auth_len, BC_AUTH_LEN_MAX, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello, auth_len, 5, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello, name_len, BC_NAME_LEN_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_hello, name_len, 7, -EBADMSG),
    };
    struct bc_hello hello = sample_hello();
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_hello_encode(&body.writer, &hello), 0);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode_hello);
}

static void hello_ack_comes_back(void **state)
{
    struct bc_hello_ack ack = sample_ack();
    struct bc_hello_ack out;
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_hello_ack_encode(&body.writer, &ack), 0);
    assert_int_equal(bc_hello_ack_decode(body.data, body_len(&body), &out), 0);
    ack.wire.name_len = (uint16_t)ack.name.len;
    assert_memory_equal(&out.wire, &ack.wire, sizeof(ack.wire));
    assert_bytes(out.name, "dpu_dma_copy 0.1.0 posix");
}

static void hello_ack_refuses_a_welcome_without_credits(void **state)
{
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_hello_ack, version, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello_ack, requests_max, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello_ack, entries_max, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello_ack, bytes_max, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello_ack, regions_max, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello_ack, message_max, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello_ack, object_size_max, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello_ack, entries_max, BC_TRANSFER_ENTRIES_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_hello_ack, message_max, BC_MESSAGE_BODY_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_hello_ack, object_size_max, BC_OBJECT_SIZE_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_hello_ack, status, BC_STATUS_IN_PROGRESS, -EBADMSG),
        DAMAGE(0, struct bc_wire_hello_ack, name_len, BC_NAME_LEN_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_hello_ack, name_len, 3, -EBADMSG),
    };
    struct bc_hello_ack ack = sample_ack();
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_hello_ack_encode(&body.writer, &ack), 0);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode_ack);
}

static void hello_ack_that_refuses_needs_no_credits(void **state)
{
    struct bc_hello_ack ack = {.wire = {.status = BC_STATUS_NOT_SUPPORTED}};
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_hello_ack_encode(&body.writer, &ack), 0);
    assert_int_equal(decode_ack(body.data, body_len(&body)), 0);
    ack.name = (struct bc_bytes){.data = body.data, .len = BC_NAME_LEN_MAX + 1};
    assert_int_equal(bc_hello_ack_encode(&body.writer, &ack), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_comes_back_with_lengths_of_the_views),
        cmocka_unit_test(hello_with_nothing_to_say_is_valid),
        cmocka_unit_test(hello_over_the_limits_is_not_encoded),
        cmocka_unit_test(hello_refuses_each_bad_field),
        cmocka_unit_test(hello_ack_comes_back),
        cmocka_unit_test(hello_ack_refuses_a_welcome_without_credits),
        cmocka_unit_test(hello_ack_that_refuses_needs_no_credits),
    };

    return cmocka_run_group_tests_name("proto_hello", tests, NULL, NULL);
}
