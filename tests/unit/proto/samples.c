/* SPDX-License-Identifier: Apache-2.0 */
/* samples.c - random valid bodies; see samples.h. */
#include "samples.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

#define SAMPLE_COUNT_MAX 8
#define SAMPLE_BYTES_MAX 100

static const uint8_t filler[SAMPLE_BYTES_MAX] = "what keys, names and descriptors are made of";

static struct bc_bytes some_bytes(struct seeded *seeded, size_t len_min)
{
    return (struct bc_bytes){
        .data = filler,
        .len = len_min + seeded_below(seeded, sizeof(filler) - len_min),
    };
}

static uint32_t some_status(struct seeded *seeded)
{
    uint32_t status = (uint32_t)seeded_below(seeded, BC_STATUS_COUNT);

    return status == BC_STATUS_IN_PROGRESS ? BC_STATUS_OK : status;
}

static uint32_t some_count(struct seeded *seeded, uint32_t count_min)
{
    return count_min + (uint32_t)seeded_below(seeded, SAMPLE_COUNT_MAX - count_min);
}

static int encode_hello(struct seeded *seeded, struct bc_writer *writer)
{
    struct bc_hello hello = {
        .auth = some_bytes(seeded, 0),
        .name = {.data = filler, .len = seeded_below(seeded, BC_NAME_LEN_MAX + 1)},
    };

    seeded_fill(seeded, &hello.wire, sizeof(hello.wire));
    hello.wire.version_min = 1;
    hello.wire.version_max = (uint16_t)(1 + seeded_below(seeded, 9));
    return bc_hello_encode(writer, &hello);
}

static int encode_hello_ack(struct seeded *seeded, struct bc_writer *writer)
{
    struct bc_hello_ack ack = {
        .name = {.data = filler, .len = seeded_below(seeded, BC_NAME_LEN_MAX + 1)},
    };

    seeded_fill(seeded, &ack.wire, sizeof(ack.wire));
    ack.wire.status = some_status(seeded);
    ack.wire.version = 1;
    ack.wire.requests_max = some_count(seeded, 1);
    ack.wire.entries_max = some_count(seeded, 1);
    ack.wire.bytes_max = some_count(seeded, 1);
    ack.wire.regions_max = some_count(seeded, 1);
    ack.wire.message_max = some_count(seeded, 1);
    ack.wire.object_size_max = some_count(seeded, 1);
    return bc_hello_ack_encode(writer, &ack);
}

static int encode_register(struct seeded *seeded, struct bc_writer *writer)
{
    uint32_t count = some_count(seeded, 0);
    int rc = bc_list_begin_encode(writer, count);

    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct bc_memory_desc memory = {.descriptor = some_bytes(seeded, 0)};

        seeded_fill(seeded, &memory.wire, sizeof(memory.wire));
        memory.wire.kind = BC_MEMORY_PCI_EXPORT;
        memory.wire.access &= BC_MEMORY_ACCESS_READ | BC_MEMORY_ACCESS_WRITE;
        memory.wire.generation |= 1;
        rc = bc_memory_encode(writer, &memory);
    }
    return rc;
}

static int encode_unregister(struct seeded *seeded, struct bc_writer *writer)
{
    struct bc_wire_memory_name names[SAMPLE_COUNT_MAX];

    seeded_fill(seeded, names, sizeof(names));
    return bc_unregister_encode(writer, names, some_count(seeded, 0));
}

static int encode_statuses(struct seeded *seeded, struct bc_writer *writer)
{
    uint32_t statuses[SAMPLE_COUNT_MAX];

    for (size_t i = 0; i < SAMPLE_COUNT_MAX; i++) {
        statuses[i] = some_status(seeded);
    }
    return bc_statuses_encode(writer, statuses, some_count(seeded, 0));
}

static int encode_transfer_entries(struct seeded *seeded, const struct bc_wire_transfer *header,
                                   struct bc_writer *writer)
{
    int rc = 0;

    for (uint32_t i = 0; i < header->entry_count && rc == 0; i++) {
        struct bc_wire_entry entry = {
            .key_index = (uint32_t)seeded_below(seeded, header->key_count),
            .memory_id = (uint32_t)seeded_next(seeded),
            .generation = (uint32_t)seeded_next(seeded),
            .memory_offset = seeded_next(seeded) >> 1,
            .object_offset = seeded_next(seeded) >> 1,
            .length = seeded_next(seeded) >> 1,
        };

        rc = bc_transfer_entry_encode(writer, &entry);
    }
    return rc;
}

static int encode_transfer(struct seeded *seeded, struct bc_writer *writer)
{
    static const uint8_t meta[BC_OBJECT_META_LEN] = "meta";
    struct bc_tlv tlvs[2] = {
        {.type = BC_TLV_CHAIN_PARENT, .value = some_bytes(seeded, 0)},
        {.type = (uint16_t)(seeded_next(seeded) | 0x8000u), .value = some_bytes(seeded, 0)},
    };
    size_t tlv_count = seeded_below(seeded, 3);
    bool groups = seeded_below(seeded, 2) == 0;
    struct bc_wire_transfer header = {
        .op = (uint8_t)(1 + seeded_below(seeded, 2)),
        .deadline_ms = (uint32_t)seeded_next(seeded),
        .key_count = some_count(seeded, 1),
        .entry_count = some_count(seeded, 1),
    };
    int rc;

    for (size_t i = 0; i < tlv_count; i++) {
        header.tlv_len += 4 + (uint32_t)tlvs[i].value.len;
    }
    groups = groups && header.op == BC_TRANSFER_PUSH;
    header.tlv_len += groups ? (uint32_t)bc_tlv_group_len(header.key_count) : 0;
    rc = bc_transfer_header_encode(writer, &header);
    if (rc == 0) {
        rc = encode_transfer_entries(seeded, &header, writer);
    }
    for (uint32_t i = 0; i < header.key_count && rc == 0; i++) {
        struct bc_key_desc key = {
            .wire = {.object_size = header.op == BC_TRANSFER_PUSH ? seeded_next(seeded) : 0},
            .key = some_bytes(seeded, 0),
            .meta = seeded_below(seeded, 2) == 0 ? NULL : meta,
        };

        rc = bc_transfer_key_encode(writer, &key);
    }
    for (size_t i = 0; i < tlv_count && rc == 0; i++) {
        rc = bc_tlv_encode(writer, &tlvs[i]);
    }
    if (groups && rc == 0) {
        rc = bc_tlv_group_begin(writer, header.key_count);
    }
    for (uint32_t i = 0; i < header.key_count && groups && rc == 0; i++) {
        bc_writer_u64(writer, seeded_next(seeded));
    }
    return rc;
}

static int encode_completion(struct seeded *seeded, struct bc_writer *writer)
{
    uint32_t statuses[SAMPLE_COUNT_MAX];
    struct bc_wire_completion header = {
        .status = some_status(seeded),
        .flags = (uint16_t)seeded_below(seeded, 2),
        .first_entry = some_count(seeded, 0),
        .entry_count = some_count(seeded, 0),
        .bytes = seeded_next(seeded),
        .agent_ns = seeded_next(seeded),
    };

    for (size_t i = 0; i < SAMPLE_COUNT_MAX; i++) {
        statuses[i] = some_status(seeded);
    }
    return bc_completion_encode(writer, &header, statuses);
}

static int encode_keys(struct seeded *seeded, struct bc_writer *writer)
{
    struct bc_bytes keys[SAMPLE_COUNT_MAX];

    for (size_t i = 0; i < SAMPLE_COUNT_MAX; i++) {
        keys[i] = some_bytes(seeded, 0);
    }
    return bc_keys_encode(writer, keys, some_count(seeded, 0));
}

static int encode_query_result(struct seeded *seeded, struct bc_writer *writer)
{
    struct bc_wire_query_result results[SAMPLE_COUNT_MAX];

    for (size_t i = 0; i < SAMPLE_COUNT_MAX; i++) {
        results[i] = (struct bc_wire_query_result){
            .status = some_status(seeded),
            .size = seeded_next(seeded),
            .version = seeded_next(seeded),
        };
    }
    return bc_query_result_encode(writer, results, some_count(seeded, 0));
}

static int encode_stats(struct seeded *seeded, struct bc_writer *writer)
{
    uint32_t count = some_count(seeded, 0);
    int rc = bc_list_begin_encode(writer, count);

    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct bc_metric_desc metric = {.name = some_bytes(seeded, 1)};

        seeded_fill(seeded, &metric.wire, sizeof(metric.wire));
        metric.wire.kind = (uint8_t)seeded_below(seeded, BC_METRIC_HISTOGRAM + 1);
        rc = bc_metric_encode(writer, &metric);
    }
    return rc;
}

static int encode_ping(struct seeded *seeded, struct bc_writer *writer)
{
    bc_writer_copy(writer, filler, seeded_below(seeded, BC_PING_LEN_MAX + 1));
    return writer->failed ? -EMSGSIZE : 0;
}

int sample_encode(struct seeded *seeded, uint8_t type, struct bc_writer *writer)
{
    switch (type) {
    case BC_MSG_HELLO:
        return encode_hello(seeded, writer);
    case BC_MSG_HELLO_ACK:
        return encode_hello_ack(seeded, writer);
    case BC_MSG_REGISTER:
        return encode_register(seeded, writer);
    case BC_MSG_UNREGISTER:
        return encode_unregister(seeded, writer);
    case BC_MSG_REGISTER_ACK:
    case BC_MSG_UNREGISTER_ACK:
    case BC_MSG_REMOVE_RESULT:
        return encode_statuses(seeded, writer);
    case BC_MSG_TRANSFER:
        return encode_transfer(seeded, writer);
    case BC_MSG_COMPLETION:
        return encode_completion(seeded, writer);
    case BC_MSG_QUERY:
    case BC_MSG_REMOVE:
        return encode_keys(seeded, writer);
    case BC_MSG_QUERY_RESULT:
        return encode_query_result(seeded, writer);
    case BC_MSG_CANCEL:
        return bc_cancel_encode(writer, seeded_next(seeded));
    case BC_MSG_PING:
    case BC_MSG_PONG:
        return encode_ping(seeded, writer);
    case BC_MSG_STATS_RESULT:
        return encode_stats(seeded, writer);
    case BC_MSG_ERROR:
        return bc_error_encode(writer, BC_STATUS_LIMIT, "too many requests in flight");
    default:
        BC_ASSERT(type == BC_MSG_STATS || type == BC_MSG_GOODBYE);
        return 0;
    }
}
