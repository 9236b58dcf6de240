/* SPDX-License-Identifier: Apache-2.0 */
/* query.c - QUERY and REMOVE, which are lists of keys, and QUERY_RESULT.
 * Any thread; allocates nothing; errors as in proto.h. */
#include "proto/codec.h"

int bc_keys_encode(struct bc_writer *writer, const struct bc_bytes *keys, uint32_t count)
{
    int rc = bc_list_begin_encode(writer, count);

    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i].len > UINT16_MAX) {
            return -E2BIG;
        }
        bc_writer_u16(writer, (uint16_t)keys[i].len);
        bc_writer_copy(writer, keys[i].data, keys[i].len);
    }
    return bc_proto_written(writer);
}

static bool key_decode(struct bc_reader *reader, struct bc_bytes *key_out)
{
    struct bc_bytes key = bc_proto_view(reader, bc_reader_u16(reader));

    if (reader->failed) {
        return false;
    }
    *key_out = key;
    return true;
}

int bc_keys_decode(const void *body, size_t len, uint32_t *count_out, struct bc_keys_iter *iter_out)
{
    struct bc_reader reader;
    struct bc_keys_iter iter;
    struct bc_bytes key;
    uint32_t count;
    int rc;

    bc_reader_init(&reader, body, len);
    rc = bc_proto_list_decode(&reader, BC_QUERY_KEYS_MAX, &count);
    if (rc != 0) {
        return rc;
    }
    iter.reader = reader;
    iter.left = count;
    for (uint32_t i = 0; i < count; i++) {
        if (!key_decode(&reader, &key)) {
            return -EBADMSG;
        }
    }
    rc = bc_reader_finish(&reader);
    if (rc != 0) {
        return rc;
    }
    *count_out = count;
    *iter_out = iter;
    return 0;
}

bool bc_keys_next(struct bc_keys_iter *iter, struct bc_bytes *key_out)
{
    if (iter->left == 0 || !key_decode(&iter->reader, key_out)) {
        return false;
    }
    iter->left--;
    return true;
}

int bc_query_result_encode(struct bc_writer *writer, const struct bc_wire_query_result *results,
                           uint32_t count)
{
    int rc = bc_list_begin_encode(writer, count);

    if (rc != 0) {
        return rc;
    }
    bc_writer_copy(writer, results, count * sizeof(*results));
    return bc_proto_written(writer);
}

int bc_query_result_decode(const void *body, size_t len,
                           const struct bc_wire_query_result **results_out, uint32_t *count_out)
{
    const struct bc_wire_query_result *results;
    const uint8_t *elements;
    uint32_t count;
    int rc =
        bc_proto_array_decode(body, len, BC_QUERY_KEYS_MAX, sizeof(*results), &elements, &count);

    if (rc != 0) {
        return rc;
    }
    results = (const struct bc_wire_query_result *)elements;
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].reserved != 0 || !bc_proto_status_valid(results[i].status)) {
            return -EBADMSG;
        }
    }
    *results_out = results;
    *count_out = count;
    return 0;
}
