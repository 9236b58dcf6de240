/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - the small messages: CANCEL, PING, PONG, ERROR, those without a body, and the names of
 * all types.
 * Any thread; allocates nothing; errors as in proto.h. */
#include "proto/codec.h"

#include <string.h>

int bc_cancel_encode(struct bc_writer *writer, uint64_t request_id)
{
    bc_writer_u64(writer, request_id);
    return bc_proto_written(writer);
}

int bc_cancel_decode(const void *body, size_t len, uint64_t *request_id_out)
{
    struct bc_reader reader;
    uint64_t request_id;
    int rc;

    bc_reader_init(&reader, body, len);
    request_id = bc_reader_u64(&reader);
    rc = bc_reader_finish(&reader);
    if (rc != 0) {
        return rc;
    }
    *request_id_out = request_id;
    return 0;
}

int bc_ping_decode(const void *body, size_t len, struct bc_bytes *payload_out)
{
    struct bc_reader reader;

    if (len > BC_PING_LEN_MAX) {
        return -E2BIG;
    }
    bc_reader_init(&reader, body, len);
    *payload_out = bc_proto_view(&reader, len);
    return 0;
}

int bc_empty_decode(size_t len)
{
    return len == 0 ? 0 : -EBADMSG;
}

/* The length of `text` that fits, cut before a UTF-8 character that would be split. */
static size_t error_text_len(const char *text)
{
    size_t len = strnlen(text, BC_ERROR_TEXT_LEN_MAX + 1);

    if (len <= BC_ERROR_TEXT_LEN_MAX) {
        return len;
    }
    len = BC_ERROR_TEXT_LEN_MAX;
    while (len > 0 && ((uint8_t)text[len] & 0xC0) == 0x80) {
        len--;
    }
    return len;
}

int bc_error_encode(struct bc_writer *writer, uint32_t status, const char *text)
{
    BC_DASSERT(status != BC_STATUS_OK && bc_proto_status_valid(status));
    bc_writer_u32(writer, status);
    if (text != NULL) {
        bc_writer_copy(writer, text, error_text_len(text));
    }
    return bc_proto_written(writer);
}

int bc_error_decode(const void *body, size_t len, struct bc_error_message *error_out)
{
    struct bc_reader reader;
    struct bc_error_message error;

    bc_reader_init(&reader, body, len);
    error.status = bc_reader_u32(&reader);
    if (reader.failed || error.status == BC_STATUS_OK || !bc_proto_status_valid(error.status)) {
        return -EBADMSG;
    }
    if (bc_reader_left(&reader) > BC_ERROR_TEXT_LEN_MAX) {
        return -E2BIG;
    }
    error.text = bc_proto_view(&reader, bc_reader_left(&reader));
    *error_out = error;
    return 0;
}

const char *bc_message_type_name(uint8_t type)
{
    static const char *const names[BC_MSG_TYPE_COUNT] = {
        [BC_MSG_HELLO] = "hello",
        [BC_MSG_HELLO_ACK] = "hello_ack",
        [BC_MSG_REGISTER] = "register",
        [BC_MSG_REGISTER_ACK] = "register_ack",
        [BC_MSG_UNREGISTER] = "unregister",
        [BC_MSG_UNREGISTER_ACK] = "unregister_ack",
        [BC_MSG_TRANSFER] = "transfer",
        [BC_MSG_COMPLETION] = "completion",
        [BC_MSG_QUERY] = "query",
        [BC_MSG_QUERY_RESULT] = "query_result",
        [BC_MSG_REMOVE] = "remove",
        [BC_MSG_REMOVE_RESULT] = "remove_result",
        [BC_MSG_CANCEL] = "cancel",
        [BC_MSG_PING] = "ping",
        [BC_MSG_PONG] = "pong",
        [BC_MSG_STATS] = "stats",
        [BC_MSG_STATS_RESULT] = "stats_result",
        [BC_MSG_GOODBYE] = "goodbye",
        [BC_MSG_ERROR] = "error",
    };

    return type < BC_MSG_TYPE_COUNT && names[type] != NULL ? names[type] : "unknown";
}
