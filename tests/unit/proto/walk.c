/* SPDX-License-Identifier: Apache-2.0 */
/* walk.c - decodes a body and reads all that is shown; see samples.h.
 * What the decoders promise is asserted: views inside the body, iterators that yield every
 * element. */
#include "samples.h"

#include <errno.h>

#include "base/assert.h"

struct walk {
    const uint8_t *body;
    size_t len;
    uint64_t sum;
};

static void see(struct walk *walk, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    BC_ASSERT(len == 0 || (bytes >= walk->body && len <= walk->len &&
                           (size_t)(bytes - walk->body) <= walk->len - len));
    for (size_t i = 0; i < len; i++) {
        walk->sum = walk->sum * 31 + bytes[i];
    }
}

static void see_bytes(struct walk *walk, struct bc_bytes bytes)
{
    see(walk, bytes.data, bytes.len);
}

static int walk_hello(struct walk *walk)
{
    struct bc_hello hello;
    int rc = bc_hello_decode(walk->body, walk->len, &hello);

    if (rc == 0) {
        see_bytes(walk, hello.auth);
        see_bytes(walk, hello.name);
    }
    return rc;
}

static int walk_hello_ack(struct walk *walk)
{
    struct bc_hello_ack ack;
    int rc = bc_hello_ack_decode(walk->body, walk->len, &ack);

    if (rc == 0) {
        see_bytes(walk, ack.name);
    }
    return rc;
}

static int walk_register(struct walk *walk)
{
    struct bc_register_iter iter;
    struct bc_memory_desc memory;
    uint32_t count;
    uint32_t seen = 0;
    int rc = bc_register_decode(walk->body, walk->len, &count, &iter);

    if (rc != 0) {
        return rc;
    }
    while (bc_register_next(&iter, &memory)) {
        see_bytes(walk, memory.descriptor);
        seen++;
    }
    BC_ASSERT(seen == count && count <= BC_REGISTER_BATCH_MAX);
    return 0;
}

static int walk_unregister(struct walk *walk)
{
    const struct bc_wire_memory_name *names;
    uint32_t count;
    int rc = bc_unregister_decode(walk->body, walk->len, &names, &count);

    if (rc == 0) {
        see(walk, names, count * sizeof(*names));
    }
    return rc;
}

static int walk_statuses(struct walk *walk)
{
    const uint8_t *statuses;
    uint32_t count;
    int rc = bc_statuses_decode(walk->body, walk->len, &statuses, &count);

    if (rc != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < count; i++) {
        BC_ASSERT(bc_statuses_get(statuses, i) != BC_STATUS_IN_PROGRESS);
    }
    see(walk, statuses, count * sizeof(uint32_t));
    return 0;
}

static int walk_transfer(struct walk *walk)
{
    struct bc_transfer transfer;
    struct bc_key_iter iter;
    struct bc_key_desc key;
    struct bc_reader reader;
    struct bc_tlv tlv;
    uint32_t keys = 0;
    int rc = bc_transfer_decode(walk->body, walk->len, &transfer);

    if (rc != 0) {
        return rc;
    }
    see(walk, transfer.entries, transfer.wire.entry_count * sizeof(*transfer.entries));
    for (uint32_t i = 0; i < transfer.wire.entry_count; i++) {
        BC_ASSERT(transfer.entries[i].key_index < transfer.wire.key_count);
    }
    bc_transfer_keys(&transfer, &iter);
    while (bc_transfer_key_next(&iter, &key)) {
        see_bytes(walk, key.key);
        see(walk, key.meta, key.meta != NULL ? BC_OBJECT_META_LEN : 0);
        keys++;
    }
    BC_ASSERT(keys == transfer.wire.key_count);
    see(walk, transfer.groups, transfer.groups != NULL ? keys * sizeof(uint64_t) : 0);
    for (uint32_t i = 0; i < keys; i++) {
        walk->sum += bc_transfer_group(&transfer, i);
    }
    bc_reader_init(&reader, transfer.tlvs.data, transfer.tlvs.len);
    while (bc_tlv_next(&reader, &tlv)) {
        see_bytes(walk, tlv.value);
    }
    BC_ASSERT(bc_reader_finish(&reader) == 0);
    return 0;
}

static int walk_completion(struct walk *walk)
{
    struct bc_completion completion;
    int rc = bc_completion_decode(walk->body, walk->len, &completion);

    if (rc == 0) {
        see(walk, completion.statuses, completion.wire.entry_count * sizeof(uint32_t));
    }
    return rc;
}

static int walk_keys(struct walk *walk)
{
    struct bc_keys_iter iter;
    struct bc_bytes key;
    uint32_t count;
    uint32_t seen = 0;
    int rc = bc_keys_decode(walk->body, walk->len, &count, &iter);

    if (rc != 0) {
        return rc;
    }
    while (bc_keys_next(&iter, &key)) {
        see_bytes(walk, key);
        seen++;
    }
    BC_ASSERT(seen == count && count <= BC_QUERY_KEYS_MAX);
    return 0;
}

static int walk_query_result(struct walk *walk)
{
    const struct bc_wire_query_result *results;
    uint32_t count;
    int rc = bc_query_result_decode(walk->body, walk->len, &results, &count);

    if (rc == 0) {
        see(walk, results, count * sizeof(*results));
    }
    return rc;
}

static int walk_stats(struct walk *walk)
{
    struct bc_stats_iter iter;
    struct bc_metric_desc metric;
    uint32_t count;
    uint32_t seen = 0;
    int rc = bc_stats_decode(walk->body, walk->len, &count, &iter);

    if (rc != 0) {
        return rc;
    }
    while (bc_stats_next(&iter, &metric)) {
        see_bytes(walk, metric.name);
        seen++;
    }
    BC_ASSERT(seen == count);
    return 0;
}

static int walk_cancel(struct walk *walk)
{
    uint64_t request_id;

    return bc_cancel_decode(walk->body, walk->len, &request_id);
}

static int walk_ping(struct walk *walk)
{
    struct bc_bytes payload;
    int rc = bc_ping_decode(walk->body, walk->len, &payload);

    if (rc == 0) {
        see_bytes(walk, payload);
    }
    return rc;
}

static int walk_error(struct walk *walk)
{
    struct bc_error_message error;
    int rc = bc_error_decode(walk->body, walk->len, &error);

    if (rc == 0) {
        BC_ASSERT(error.text.len <= BC_ERROR_TEXT_LEN_MAX);
        see_bytes(walk, error.text);
    }
    return rc;
}

static int walk_empty(struct walk *walk)
{
    return bc_empty_decode(walk->len);
}

int walk_decode(uint8_t type, const void *body, size_t len, uint64_t *sum_out)
{
    static int (*const walks[BC_MSG_TYPE_COUNT])(struct walk *) = {
        [BC_MSG_HELLO] = walk_hello,
        [BC_MSG_HELLO_ACK] = walk_hello_ack,
        [BC_MSG_REGISTER] = walk_register,
        [BC_MSG_REGISTER_ACK] = walk_statuses,
        [BC_MSG_UNREGISTER] = walk_unregister,
        [BC_MSG_UNREGISTER_ACK] = walk_statuses,
        [BC_MSG_TRANSFER] = walk_transfer,
        [BC_MSG_COMPLETION] = walk_completion,
        [BC_MSG_QUERY] = walk_keys,
        [BC_MSG_QUERY_RESULT] = walk_query_result,
        [BC_MSG_REMOVE] = walk_keys,
        [BC_MSG_REMOVE_RESULT] = walk_statuses,
        [BC_MSG_CANCEL] = walk_cancel,
        [BC_MSG_PING] = walk_ping,
        [BC_MSG_PONG] = walk_ping,
        [BC_MSG_STATS] = walk_empty,
        [BC_MSG_STATS_RESULT] = walk_stats,
        [BC_MSG_GOODBYE] = walk_empty,
        [BC_MSG_ERROR] = walk_error,
    };
    struct walk walk = {.body = body, .len = len};
    int rc;

    if (type >= BC_MSG_TYPE_COUNT || walks[type] == NULL) {
        return -EINVAL;
    }
    rc = walks[type](&walk);
    *sum_out = walk.sum;
    return rc;
}
