/* SPDX-License-Identifier: Apache-2.0 */
/* hello.c - HELLO and HELLO_ACK: versions, features, credits.
 * Any thread; allocates nothing; errors as in proto.h. */
#include "proto/codec.h"

int bc_hello_encode(struct bc_writer *writer, const struct bc_hello *hello)
{
    struct bc_wire_hello wire = hello->wire;

    if (hello->auth.len > BC_AUTH_LEN_MAX || hello->name.len > BC_NAME_LEN_MAX) {
        return -E2BIG;
    }
    wire.auth_len = (uint16_t)hello->auth.len;
    wire.name_len = (uint16_t)hello->name.len;
    wire.reserved = 0;
    bc_writer_copy(writer, &wire, sizeof(wire));
    bc_writer_copy(writer, hello->auth.data, hello->auth.len);
    bc_writer_copy(writer, hello->name.data, hello->name.len);
    return bc_proto_written(writer);
}

int bc_hello_decode(const void *body, size_t len, struct bc_hello *hello_out)
{
    struct bc_reader reader;
    struct bc_hello hello;

    bc_reader_init(&reader, body, len);
    bc_reader_copy(&reader, &hello.wire, sizeof(hello.wire));
    if (hello.wire.auth_len > BC_AUTH_LEN_MAX || hello.wire.name_len > BC_NAME_LEN_MAX) {
        return -E2BIG;
    }
    hello.auth = bc_proto_view(&reader, hello.wire.auth_len);
    hello.name = bc_proto_view(&reader, hello.wire.name_len);
    if (bc_reader_finish(&reader) != 0 || hello.wire.reserved != 0 || hello.wire.version_min == 0 ||
        hello.wire.version_min > hello.wire.version_max) {
        return -EBADMSG;
    }
    *hello_out = hello;
    return 0;
}

int bc_hello_ack_encode(struct bc_writer *writer, const struct bc_hello_ack *ack)
{
    struct bc_wire_hello_ack wire = ack->wire;

    if (ack->name.len > BC_NAME_LEN_MAX) {
        return -E2BIG;
    }
    wire.name_len = (uint16_t)ack->name.len;
    bc_writer_copy(writer, &wire, sizeof(wire));
    bc_writer_copy(writer, ack->name.data, ack->name.len);
    return bc_proto_written(writer);
}

/* A client that was welcomed with no credit at all would wait for ever. */
static int check_grant(const struct bc_wire_hello_ack *wire)
{
    if (wire->version == 0 || wire->requests_max == 0 || wire->entries_max == 0 ||
        wire->bytes_max == 0 || wire->regions_max == 0 || wire->message_max == 0 ||
        wire->object_size_max == 0) {
        return -EBADMSG;
    }
    if (wire->entries_max > BC_TRANSFER_ENTRIES_MAX || wire->message_max > BC_MESSAGE_BODY_MAX ||
        wire->object_size_max > BC_OBJECT_SIZE_MAX) {
        return -E2BIG;
    }
    return 0;
}

int bc_hello_ack_decode(const void *body, size_t len, struct bc_hello_ack *ack_out)
{
    struct bc_reader reader;
    struct bc_hello_ack ack;

    bc_reader_init(&reader, body, len);
    bc_reader_copy(&reader, &ack.wire, sizeof(ack.wire));
    if (ack.wire.name_len > BC_NAME_LEN_MAX) {
        return -E2BIG;
    }
    ack.name = bc_proto_view(&reader, ack.wire.name_len);
    if (bc_reader_finish(&reader) != 0 || !bc_proto_status_valid(ack.wire.status)) {
        return -EBADMSG;
    }
    if (ack.wire.status == BC_STATUS_OK) {
        int rc = check_grant(&ack.wire);

        if (rc != 0) {
            return rc;
        }
    }
    *ack_out = ack;
    return 0;
}
