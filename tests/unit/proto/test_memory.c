/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory.c - REGISTER and UNREGISTER. */
#include "proto_test.h"

#define FIRST sizeof(struct bc_wire_list)

static struct bc_memory_desc sample_memory(uint32_t memory_id)
{
    return (struct bc_memory_desc){
        .wire = {.memory_id = memory_id,
                 .generation = 1,
                 .kind = BC_MEMORY_PCI_EXPORT,
                 .access = BC_MEMORY_ACCESS_READ | BC_MEMORY_ACCESS_WRITE,
                 .desc_len = 9999,
                 .reserved = 1,
                 .length = 1 << 20},
        .descriptor = bytes_of("descriptor"),
    };
}

static int decode_register(const void *data, size_t len)
{
    struct bc_register_iter iter;
    uint32_t count;

    return bc_register_decode(data, len, &count, &iter);
}

static void encode_register(struct body *body, uint32_t count)
{
    body_init(body);
    assert_int_equal(bc_list_begin_encode(&body->writer, count), 0);
    for (uint32_t i = 0; i < count; i++) {
        struct bc_memory_desc memory = sample_memory(100 + i);

        assert_int_equal(bc_memory_encode(&body->writer, &memory), 0);
    }
}

static void register_yields_each_memory_once(void **state)
{
    struct bc_register_iter iter;
    struct bc_memory_desc memory;
    struct body body;
    uint32_t count;

    (void)state;
    encode_register(&body, 3);
    assert_int_equal(bc_register_decode(body.data, body_len(&body), &count, &iter), 0);
    assert_int_equal(count, 3);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(bc_register_next(&iter, &memory));
        assert_int_equal(memory.wire.memory_id, 100 + i);
        assert_int_equal(memory.wire.length, 1 << 20);
        assert_int_equal(memory.wire.reserved, 0);
        assert_bytes(memory.descriptor, "descriptor");
    }
    assert_false(bc_register_next(&iter, &memory));
}

static void register_takes_the_largest_batch_and_no_more(void **state)
{
    struct bc_memory_desc memory = {.wire = {.generation = 1, .kind = BC_MEMORY_PCI_EXPORT}};
    struct body body;

    (void)state;
    for (uint32_t count = BC_REGISTER_BATCH_MAX; count <= BC_REGISTER_BATCH_MAX + 1; count++) {
        body_init(&body);
        assert_int_equal(bc_list_begin_encode(&body.writer, count), 0);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(bc_memory_encode(&body.writer, &memory), 0);
        }
        assert_int_equal(decode_register(body.data, body_len(&body)),
                         count > BC_REGISTER_BATCH_MAX ? -E2BIG : 0);
    }
}

static void register_takes_the_longest_descriptor_and_no_more(void **state)
{
    static const uint8_t bytes[BC_DESCRIPTOR_LEN_MAX + 1];
    struct bc_memory_desc memory = sample_memory(1);
    struct body body;

    (void)state;
    body_init(&body);
    memory.descriptor = (struct bc_bytes){.data = bytes, .len = sizeof(bytes)};
    assert_int_equal(bc_memory_encode(&body.writer, &memory), -E2BIG);
    memory.descriptor.len = BC_DESCRIPTOR_LEN_MAX;
    assert_int_equal(bc_list_begin_encode(&body.writer, 1), 0);
    assert_int_equal(bc_memory_encode(&body.writer, &memory), 0);
    assert_int_equal(decode_register(body.data, body_len(&body)), 0);
}

static void register_refuses_each_bad_field(void **state)
{
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_list, count, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, 3, -EBADMSG),
        DAMAGE(0, struct bc_wire_list, count, UINT32_MAX, -E2BIG),
        DAMAGE(0, struct bc_wire_list, reserved, 1, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_memory, generation, 0, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_memory, kind, 0, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_memory, kind, 4, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_memory, access, 4, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_memory, reserved, 1, -EBADMSG),
        DAMAGE(FIRST, struct bc_wire_memory, desc_len, BC_DESCRIPTOR_LEN_MAX + 1, -E2BIG),
        DAMAGE(FIRST, struct bc_wire_memory, desc_len, BC_DESCRIPTOR_LEN_MAX, -EBADMSG),
        /* For the session to answer, memory by memory. */
        DAMAGE(FIRST, struct bc_wire_memory, kind, BC_MEMORY_RDMA_KEY, 0),
        DAMAGE(FIRST, struct bc_wire_memory, kind, BC_MEMORY_INLINE, 0),
        DAMAGE(FIRST, struct bc_wire_memory, access, 0, 0),
        DAMAGE(FIRST, struct bc_wire_memory, length, 0, 0),
        DAMAGE(FIRST, struct bc_wire_memory, memory_id, UINT32_MAX, 0),
    };
    struct body body;

    (void)state;
    encode_register(&body, 2);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode_register);
}

static void unregister_shows_names_in_place(void **state)
{
    static const struct bc_wire_memory_name names[] = {{1, 2}, {3, 4}, {5, 6}};
    const struct bc_wire_memory_name *out;
    struct body body;
    uint32_t count;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_unregister_encode(&body.writer, names, 3), 0);
    assert_int_equal(bc_unregister_decode(body.data, body_len(&body), &out, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(out[2].memory_id, 5);
    assert_int_equal(out[2].generation, 6);
    assert_ptr_equal(out, body.data + sizeof(struct bc_wire_list));
}

static void unregister_takes_the_largest_batch_and_no_more(void **state)
{
    static const struct bc_wire_memory_name names[BC_REGISTER_BATCH_MAX + 1];
    const struct bc_wire_memory_name *out;
    struct body body;
    uint32_t count;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_unregister_encode(&body.writer, names, BC_REGISTER_BATCH_MAX + 1), -E2BIG);
    assert_int_equal(bc_unregister_encode(&body.writer, names, BC_REGISTER_BATCH_MAX), 0);
    assert_int_equal(bc_unregister_decode(body.data, body_len(&body), &out, &count), 0);
    assert_int_equal(count, BC_REGISTER_BATCH_MAX);
}

static void an_empty_list_is_valid(void **state)
{
    const struct bc_wire_memory_name *names;
    struct body body;
    uint32_t count = 99;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_unregister_encode(&body.writer, NULL, 0), 0);
    assert_int_equal(bc_unregister_decode(body.data, body_len(&body), &names, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(decode_register(body.data, body_len(&body)), 0);
}

static void nothing_is_written_on_failure(void **state)
{
    const struct bc_wire_memory_name *names = NULL;
    uint8_t data[4] = {1, 0, 0, 0};
    uint32_t count = 99;

    (void)state;
    assert_int_equal(bc_unregister_decode(data, sizeof(data), &names, &count), -EBADMSG);
    assert_int_equal(bc_unregister_decode(NULL, 0, &names, &count), -EBADMSG);
    assert_null(names);
    assert_int_equal(count, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(register_yields_each_memory_once),
        cmocka_unit_test(register_takes_the_largest_batch_and_no_more),
        cmocka_unit_test(register_takes_the_longest_descriptor_and_no_more),
        cmocka_unit_test(register_refuses_each_bad_field),
        cmocka_unit_test(unregister_shows_names_in_place),
        cmocka_unit_test(unregister_takes_the_largest_batch_and_no_more),
        cmocka_unit_test(an_empty_list_is_valid),
        cmocka_unit_test(nothing_is_written_on_failure),
    };

    return cmocka_run_group_tests_name("proto_memory", tests, NULL, NULL);
}
