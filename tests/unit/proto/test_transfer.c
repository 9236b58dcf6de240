/* SPDX-License-Identifier: Apache-2.0 */
/* test_transfer.c - TRANSFER: entries in place, key table, TLVs, and what makes one malformed. */
#include "proto_test.h"

#include <stdlib.h>

#define HEADER_LEN sizeof(struct bc_wire_transfer)
#define ENTRY_LEN  sizeof(struct bc_wire_entry)
#define ENTRY(i)   (HEADER_LEN + (i)*ENTRY_LEN)
#define KEYS       ENTRY(2)

static const uint8_t meta[BC_OBJECT_META_LEN] = "opaque";

static int decode(const void *data, size_t len)
{
    struct bc_transfer transfer;

    return bc_transfer_decode(data, len, &transfer);
}

/* Two entries, keys "ab" (with metadata on a push) and "", one TLV of three bytes. */
static void encode(struct body *body, uint8_t op)
{
    bool push = op == BC_TRANSFER_PUSH;
    const struct bc_tlv tlv = {.type = 777, .value = bytes_of("tlv")};
    const struct bc_wire_transfer header = {
        .op = op, .deadline_ms = 50, .key_count = 2, .entry_count = 2, .tlv_len = 7};
    const struct bc_key_desc keys[] = {
        {.wire = {.object_size = push ? 4096 : 0, .key_len = 9, .reserved = 1},
         .key = bytes_of("ab"),
         .meta = push ? meta : NULL},
        {.wire = {.flags = BC_KEY_FLAG_HAS_META}, .key = {NULL, 0}},
    };

    body_init(body);
    assert_int_equal(bc_transfer_header_encode(&body->writer, &header), 0);
    for (uint32_t i = 0; i < 2; i++) {
        const struct bc_wire_entry entry = {.key_index = 1 - i,
                                            .memory_id = 10 + i,
                                            .generation = 20 + i,
                                            .reserved = 1,
                                            .memory_offset = 30 + i,
                                            .object_offset = 40 + i,
                                            .length = 50 + i};

        assert_int_equal(bc_transfer_entry_encode(&body->writer, &entry), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(bc_transfer_key_encode(&body->writer, &keys[i]), 0);
    }
    assert_int_equal(bc_tlv_encode(&body->writer, &tlv), 0);
    assert_int_equal(body_len(body),
                     bc_transfer_body_len(2, 2, push ? 2 + BC_OBJECT_META_LEN : 2, 7));
}

static void transfer_comes_back_in_place(void **state)
{
    struct bc_transfer transfer;
    struct bc_key_iter iter;
    struct bc_key_desc key;
    struct bc_reader reader;
    struct bc_tlv tlv;
    struct body body;

    (void)state;
    encode(&body, BC_TRANSFER_PUSH);
    assert_int_equal(bc_transfer_decode(body.data, body_len(&body), &transfer), 0);
    assert_int_equal(transfer.wire.deadline_ms, 50);
    assert_ptr_equal(transfer.entries, body.data + HEADER_LEN);
    assert_int_equal(transfer.entries[1].key_index, 0);
    assert_int_equal(transfer.entries[1].memory_id, 11);
    assert_int_equal(transfer.entries[1].generation, 21);
    assert_int_equal(transfer.entries[1].reserved, 0);
    assert_int_equal(transfer.entries[1].memory_offset, 31);
    assert_int_equal(transfer.entries[1].object_offset, 41);
    assert_int_equal(transfer.entries[1].length, 51);

    assert_ptr_equal(transfer.keys.data, body.data + KEYS);
    assert_int_equal(transfer.keys.len, 2 * sizeof(struct bc_wire_key) + 2 + BC_OBJECT_META_LEN);
    bc_transfer_keys(&transfer, &iter);
    assert_true(bc_transfer_key_next(&iter, &key));
    assert_int_equal(key.wire.object_size, 4096);
    assert_int_equal(key.wire.key_len, 2);
    assert_int_equal(key.wire.flags, BC_KEY_FLAG_HAS_META);
    assert_bytes(key.key, "ab");
    assert_memory_equal(key.meta, meta, sizeof(meta));
    assert_true(bc_transfer_key_next(&iter, &key));
    assert_int_equal(key.wire.flags, 0);
    assert_int_equal(key.key.len, 0);
    assert_null(key.meta);
    assert_false(bc_transfer_key_next(&iter, &key));

    bc_reader_init(&reader, transfer.tlvs.data, transfer.tlvs.len);
    assert_true(bc_tlv_next(&reader, &tlv));
    assert_int_equal(tlv.type, 777);
    assert_bytes(tlv.value, "tlv");
    assert_false(bc_tlv_next(&reader, &tlv));
    assert_int_equal(bc_reader_finish(&reader), 0);
}

static void transfer_refuses_a_bad_header(void **state)
{
    const struct damage damage[] = {
        DAMAGE(0, struct bc_wire_transfer, op, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, op, 3, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, priority, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, flags, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, reserved, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, key_count, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, key_count, 1, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, key_count, 3, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, key_count, UINT32_MAX, -E2BIG),
        DAMAGE(0, struct bc_wire_transfer, entry_count, 0, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, entry_count, BC_TRANSFER_ENTRIES_MAX, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, entry_count, BC_TRANSFER_ENTRIES_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_transfer, tlv_len, 6, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, tlv_len, 8, -EBADMSG),
        DAMAGE(0, struct bc_wire_transfer, tlv_len, BC_TLV_BYTES_MAX + 1, -E2BIG),
        DAMAGE(0, struct bc_wire_transfer, deadline_ms, UINT32_MAX, 0),
    };
    struct body body;

    (void)state;
    encode(&body, BC_TRANSFER_PUSH);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode);
    encode(&body, BC_TRANSFER_PULL);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode);
}

static void transfer_refuses_bad_entries_keys_and_tlvs(void **state)
{
    const size_t second_key = KEYS + sizeof(struct bc_wire_key) + 2 + BC_OBJECT_META_LEN;
    const size_t tlv = second_key + sizeof(struct bc_wire_key);
    const struct damage damage[] = {
        DAMAGE(ENTRY(0), struct bc_wire_entry, key_index, 2, -EBADMSG),
        DAMAGE(ENTRY(1), struct bc_wire_entry, key_index, UINT32_MAX, -EBADMSG),
        DAMAGE(ENTRY(1), struct bc_wire_entry, reserved, 1, -EBADMSG),
        DAMAGE(ENTRY(1), struct bc_wire_entry, length, UINT64_MAX, -EBADMSG),
        DAMAGE(ENTRY(1), struct bc_wire_entry, memory_offset, UINT64_MAX - 51, 0),
        DAMAGE(ENTRY(1), struct bc_wire_entry, memory_offset, UINT64_MAX - 50, -EBADMSG),
        DAMAGE(ENTRY(1), struct bc_wire_entry, object_offset, UINT64_MAX - 51, 0),
        DAMAGE(ENTRY(1), struct bc_wire_entry, object_offset, UINT64_MAX - 50, -EBADMSG),
        DAMAGE(ENTRY(1), struct bc_wire_entry, length, 0, 0),
        DAMAGE(KEYS, struct bc_wire_key, flags, BC_KEY_FLAG_HAS_META | 2, -EBADMSG),
        DAMAGE(KEYS, struct bc_wire_key, flags, 0, -EBADMSG),
        DAMAGE(KEYS, struct bc_wire_key, reserved, 1, -EBADMSG),
        DAMAGE(KEYS, struct bc_wire_key, key_len, 1, -EBADMSG),
        DAMAGE(KEYS, struct bc_wire_key, key_len, UINT16_MAX, -EBADMSG),
        DAMAGE(KEYS, struct bc_wire_key, object_size, UINT64_MAX, 0),
        DAMAGE(second_key, struct bc_wire_key, key_len, 1, -EBADMSG),
        {.offset = tlv + 2, .len = 2, .value = 4, .error = -EBADMSG},
        {.offset = tlv + 2, .len = 2, .value = 2, .error = -EBADMSG},
        {.offset = tlv + 2, .len = 2, .value = UINT16_MAX, .error = -EBADMSG},
    };
    struct body body;

    (void)state;
    encode(&body, BC_TRANSFER_PUSH);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode);
}

static void pull_refuses_an_object_size(void **state)
{
    const struct damage damage[] = {
        DAMAGE(KEYS, struct bc_wire_key, object_size, 1, -EBADMSG),
    };
    struct body body;

    (void)state;
    encode(&body, BC_TRANSFER_PULL);
    assert_damage(&body, damage, BC_ARRAY_LEN(damage), decode);
}

static void key_too_long_is_no_error_of_the_message(void **state)
{
    static const uint8_t bytes[UINT16_MAX + 1];
    const struct bc_wire_transfer header = {
        .op = BC_TRANSFER_PULL, .key_count = 1, .entry_count = 1};
    const struct bc_wire_entry entry = {.length = 1};
    struct bc_key_desc key = {.key = {.data = bytes, .len = 2000}};
    struct body body;

    (void)state;
    body_init(&body);
    assert_int_equal(bc_transfer_header_encode(&body.writer, &header), 0);
    assert_int_equal(bc_transfer_entry_encode(&body.writer, &entry), 0);
    assert_int_equal(bc_transfer_key_encode(&body.writer, &key), 0);
    assert_int_equal(decode(body.data, body_len(&body)), 0);
    key.key.len = sizeof(bytes);
    assert_int_equal(bc_transfer_key_encode(&body.writer, &key), -E2BIG);
    /* Within the limits, but not within what is left of this buffer. */
    key.key.len = UINT16_MAX;
    assert_int_equal(bc_transfer_key_encode(&body.writer, &key), -EMSGSIZE);
}

static void header_is_checked_before_it_is_sent(void **state)
{
    struct bc_wire_transfer header = {.op = BC_TRANSFER_PUSH, .key_count = 1, .entry_count = 1};
    struct bc_tlv tlv = {.value = {.data = meta, .len = UINT16_MAX + 1}};
    struct body body;

    (void)state;
    body_init(&body);
    header.entry_count = BC_TRANSFER_ENTRIES_MAX + 1;
    assert_int_equal(bc_transfer_header_encode(&body.writer, &header), -E2BIG);
    header.entry_count = 0;
    assert_int_equal(bc_transfer_header_encode(&body.writer, &header), -EBADMSG);
    header.entry_count = 1;
    header.tlv_len = BC_TLV_BYTES_MAX + 1;
    assert_int_equal(bc_transfer_header_encode(&body.writer, &header), -E2BIG);
    assert_int_equal(bc_tlv_encode(&body.writer, &tlv), -E2BIG);
    assert_int_equal(body_len(&body), 0);
    header.tlv_len = BC_TLV_BYTES_MAX;
    assert_int_equal(bc_transfer_header_encode(&body.writer, &header), 0);
}

static void entry_needs_room(void **state)
{
    const struct bc_wire_entry entry = {.length = 1};
    uint8_t data[ENTRY_LEN];
    struct bc_writer writer;

    (void)state;
    bc_writer_init(&writer, data, sizeof(data) - 1);
    assert_int_equal(bc_transfer_entry_encode(&writer, &entry), -EMSGSIZE);
    bc_writer_init(&writer, data, sizeof(data));
    assert_int_equal(bc_transfer_entry_encode(&writer, &entry), 0);
}

static void largest_transfer_fits_a_message(void **state)
{
    const struct bc_wire_transfer header = {.op = BC_TRANSFER_PUSH,
                                            .key_count = BC_TRANSFER_ENTRIES_MAX,
                                            .entry_count = BC_TRANSFER_ENTRIES_MAX};
    const struct bc_key_desc key = {.key = bytes_of("0123456789abcdef")};
    size_t len = bc_transfer_body_len(header.entry_count, header.key_count,
                                      (size_t)header.key_count * key.key.len, 0);
    uint8_t *data = malloc(len);
    struct bc_writer writer;
    size_t written;

    (void)state;
    assert_non_null(data);
    assert_true(len <= BC_MESSAGE_BODY_MAX);
    bc_writer_init(&writer, data, len);
    assert_int_equal(bc_transfer_header_encode(&writer, &header), 0);
    for (uint32_t i = 0; i < header.entry_count; i++) {
        const struct bc_wire_entry entry = {.key_index = i, .length = 1};

        assert_int_equal(bc_transfer_entry_encode(&writer, &entry), 0);
    }
    for (uint32_t i = 0; i < header.key_count; i++) {
        assert_int_equal(bc_transfer_key_encode(&writer, &key), 0);
    }
    assert_int_equal(bc_writer_finish(&writer, &written), 0);
    assert_int_equal(written, len);
    assert_int_equal(decode(data, len), 0);
    free(data);
}

/* A push or pull of three keys with these TLVs. */
static void encode_tlvs(struct body *body, uint8_t op, const struct bc_tlv *tlvs, size_t count)
{
    struct bc_wire_transfer header = {.op = op, .key_count = 3, .entry_count = 1};
    const struct bc_wire_entry entry = {.length = 1};
    const struct bc_key_desc key = {.key = bytes_of("key")};

    body_init(body);
    for (size_t i = 0; i < count; i++) {
        header.tlv_len += BC_TLV_HEADER_LEN + (uint32_t)tlvs[i].value.len;
    }
    assert_int_equal(bc_transfer_header_encode(&body->writer, &header), 0);
    assert_int_equal(bc_transfer_entry_encode(&body->writer, &entry), 0);
    for (uint32_t i = 0; i < header.key_count; i++) {
        assert_int_equal(bc_transfer_key_encode(&body->writer, &key), 0);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(bc_tlv_encode(&body->writer, &tlvs[i]), 0);
    }
}

static void groups_come_back_in_the_order_of_the_keys(void **state)
{
    static const uint8_t values[24] = {[0] = 7, [15] = 0x80, [16] = 1, [17] = 2};
    const struct bc_tlv tlvs[] = {
        {.type = BC_TLV_SESSION, .value = bytes_of("s")},
        {.type = BC_TLV_GROUP, .value = {.data = values, .len = sizeof(values)}},
        {.type = 777, .value = bytes_of("odd")},
    };
    struct bc_transfer transfer;
    struct body body;

    (void)state;
    encode_tlvs(&body, BC_TRANSFER_PUSH, tlvs, 3);
    assert_int_equal(bc_transfer_decode(body.data, body_len(&body), &transfer), 0);
    assert_int_equal(bc_transfer_group(&transfer, 0), 7);
    assert_true(bc_transfer_group(&transfer, 1) == UINT64_C(1) << 63);
    assert_int_equal(bc_transfer_group(&transfer, 2), 0x201);
    encode_tlvs(&body, BC_TRANSFER_PUSH, tlvs, 1);
    assert_int_equal(bc_transfer_decode(body.data, body_len(&body), &transfer), 0);
    assert_null(transfer.groups);
    assert_int_equal(bc_transfer_group(&transfer, 2), 0);
}

static void groups_of_another_count_twice_or_of_a_pull_are_malformed(void **state)
{
    static const uint8_t values[32];
    struct bc_tlv tlvs[] = {
        {.type = BC_TLV_GROUP, .value = {.data = values, .len = 24}},
        {.type = BC_TLV_GROUP, .value = {.data = values, .len = 24}},
    };
    struct body body;

    (void)state;
    encode_tlvs(&body, BC_TRANSFER_PUSH, tlvs, 1);
    assert_int_equal(decode(body.data, body_len(&body)), 0);
    encode_tlvs(&body, BC_TRANSFER_PUSH, tlvs, 2);
    assert_int_equal(decode(body.data, body_len(&body)), -EBADMSG);
    encode_tlvs(&body, BC_TRANSFER_PULL, tlvs, 1);
    assert_int_equal(decode(body.data, body_len(&body)), -EBADMSG);
    for (size_t len = 0; len <= sizeof(values); len++) {
        tlvs[0].value.len = len;
        encode_tlvs(&body, BC_TRANSFER_PUSH, tlvs, 1);
        assert_int_equal(decode(body.data, body_len(&body)), len == 24 ? 0 : -EBADMSG);
    }
}

static void groups_are_written_as_they_are_read(void **state)
{
    const uint64_t values[] = {1, 0, UINT64_MAX};
    uint8_t data[64];
    struct bc_writer writer;
    struct bc_reader reader;
    struct bc_tlv tlv;

    (void)state;
    bc_writer_init(&writer, data, sizeof(data));
    assert_int_equal(bc_tlv_group_begin(&writer, 3), 0);
    for (size_t i = 0; i < 3; i++) {
        bc_writer_u64(&writer, values[i]);
    }
    assert_int_equal(writer.pos, bc_tlv_group_len(3));
    bc_reader_init(&reader, data, writer.pos);
    assert_true(bc_tlv_next(&reader, &tlv));
    assert_int_equal(tlv.type, BC_TLV_GROUP);
    assert_int_equal(tlv.value.len, sizeof(values));
    assert_memory_equal(tlv.value.data, values, sizeof(values));
    assert_int_equal(bc_reader_left(&reader), 0);
    assert_int_equal(bc_tlv_group_begin(&writer, BC_GROUP_KEYS_MAX), 0);
    assert_int_equal(bc_tlv_group_begin(&writer, BC_GROUP_KEYS_MAX + 1), -E2BIG);
    assert_true(bc_tlv_group_len(BC_GROUP_KEYS_MAX) <= BC_TLV_BYTES_MAX);
    bc_writer_init(&writer, data, 3);
    assert_int_equal(bc_tlv_group_begin(&writer, 1), -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transfer_comes_back_in_place),
        cmocka_unit_test(transfer_refuses_a_bad_header),
        cmocka_unit_test(transfer_refuses_bad_entries_keys_and_tlvs),
        cmocka_unit_test(pull_refuses_an_object_size),
        cmocka_unit_test(key_too_long_is_no_error_of_the_message),
        cmocka_unit_test(header_is_checked_before_it_is_sent),
        cmocka_unit_test(entry_needs_room),
        cmocka_unit_test(largest_transfer_fits_a_message),
        cmocka_unit_test(groups_come_back_in_the_order_of_the_keys),
        cmocka_unit_test(groups_of_another_count_twice_or_of_a_pull_are_malformed),
        cmocka_unit_test(groups_are_written_as_they_are_read),
    };

    return cmocka_run_group_tests_name("proto_transfer", tests, NULL, NULL);
}
