/* SPDX-License-Identifier: Apache-2.0 */
/* fake_answers.c - what the fake agent answers; see fake_agent.h. */
#include "fake_agent_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "trace.h"

#define AMPLE 1024u

static uint8_t scratch[BC_MESSAGE_BODY_MAX];

static uint64_t given(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static bool violation(const char *text)
{
    trace_add("violation: %s", text);
    return false;
}

static void send_writer(struct fake_conn *conn, uint8_t type, uint64_t id,
                        const struct bc_writer *writer)
{
    size_t len = 0;

    BC_ASSERT(bc_writer_finish(writer, &len) == 0);
    fake_send(conn, type, id, writer->data, len);
}

static void send_statuses(struct fake_conn *conn, uint8_t type, uint64_t id,
                          const uint32_t *statuses, uint32_t count)
{
    struct bc_writer writer;

    bc_writer_init(&writer, scratch, sizeof(scratch));
    BC_ASSERT(bc_statuses_encode(&writer, statuses, count) == 0);
    send_writer(conn, type, id, &writer);
}

static bool answer_hello(struct fake_conn *conn, const struct bc_message *message)
{
    const struct fake_agent_options *options = &conn->agent->options;
    struct bc_hello hello;
    struct bc_hello_ack ack = {
        .wire = {.status = options->hello_status,
                 .version = BC_WIRE_VERSION,
                 .features =
                     BC_FEATURE_EMULATED_DOCA | (options->no_groups ? 0 : BC_FEATURE_GROUPS),
                 .session_id = ++conn->agent->sessions,
                 .requests_max = (uint32_t)given(options->requests_max, AMPLE),
                 .entries_max = (uint32_t)given(options->entries_max, BC_TRANSFER_ENTRIES_MAX),
                 .bytes_max = given(options->bytes_max, UINT64_C(1) << 40),
                 .regions_max = (uint32_t)given(options->regions_max, FAKE_REGIONS_MAX),
                 .message_max = (uint32_t)given(options->message_max, BC_MESSAGE_BODY_MAX),
                 .object_size_max = BC_OBJECT_SIZE_MAX,
                 .chunk_len = 1u << 20,
                 .keepalive_ms = (uint32_t)given(options->keepalive_ms, 3600000)},
        .name = {.data = (const uint8_t *)"fake 1.0", .len = 8}};
    struct bc_writer writer;

    trace_add("hello");
    if (conn->greeted || bc_hello_decode(message->body, message->body_len, &hello) != 0) {
        return violation("hello");
    }
    conn->greeted = true;
    bc_writer_init(&writer, scratch, sizeof(scratch));
    if (options->hello_error != NULL) {
        BC_ASSERT(bc_error_encode(&writer, BC_STATUS_DENIED, options->hello_error) == 0);
        send_writer(conn, BC_MSG_ERROR, 0, &writer);
        return false;
    }
    ack.wire.name_len = (uint16_t)ack.name.len;
    BC_ASSERT(bc_hello_ack_encode(&writer, &ack) == 0);
    send_writer(conn, BC_MSG_HELLO_ACK, message->request_id, &writer);
    return options->hello_status == BC_STATUS_OK;
}

static bool answer_register(struct fake_conn *conn, const struct bc_message *message)
{
    uint32_t statuses[BC_REGISTER_BATCH_MAX];
    struct bc_register_iter iter;
    struct bc_memory_desc memory;
    uint32_t count;
    uint32_t i = 0;

    if (bc_register_decode(message->body, message->body_len, &count, &iter) != 0) {
        return violation("register");
    }
    while (bc_register_next(&iter, &memory)) {
        struct fake_region *region = &conn->regions[memory.wire.memory_id % FAKE_REGIONS_MAX];

        statuses[i] = conn->agent->status[BC_MSG_REGISTER];
        if (region->generation != 0 || memory.wire.generation == 0 ||
            memory.wire.memory_id >= given(conn->agent->options.regions_max, FAKE_REGIONS_MAX)) {
            return violation("memory id");
        }
        if (statuses[i++] == BC_STATUS_OK) {
            *region = (struct fake_region){.generation = memory.wire.generation,
                                           .len = memory.wire.length};
        }
    }
    send_statuses(conn, BC_MSG_REGISTER_ACK, message->request_id, statuses, count);
    return true;
}

static bool answer_unregister(struct fake_conn *conn, const struct bc_message *message)
{
    const struct bc_wire_memory_name *names;
    uint32_t statuses[BC_REGISTER_BATCH_MAX];
    uint32_t count;

    if (bc_unregister_decode(message->body, message->body_len, &names, &count) != 0) {
        return violation("unregister");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fake_region *region = &conn->regions[names[i].memory_id % FAKE_REGIONS_MAX];

        if (region->generation != names[i].generation) {
            return violation("unregister of an unknown memory");
        }
        region->generation = 0;
        statuses[i] = conn->agent->status[BC_MSG_UNREGISTER];
    }
    send_statuses(conn, BC_MSG_UNREGISTER_ACK, message->request_id, statuses, count);
    return true;
}

static uint32_t status_of_key(const struct bc_bytes *key)
{
    if (key->len >= 4 && memcmp(key->data, "miss", 4) == 0) {
        return BC_STATUS_NOT_FOUND;
    }
    return key->len >= 3 && memcmp(key->data, "bad", 3) == 0 ? BC_STATUS_CHECKSUM : BC_STATUS_OK;
}

static uint32_t status_of_entry(struct fake_conn *conn, const struct bc_wire_entry *entry,
                                const uint32_t *key_statuses)
{
    const struct fake_region *region = &conn->regions[entry->memory_id % FAKE_REGIONS_MAX];

    if (region->generation == 0 || region->generation != entry->generation) {
        return BC_STATUS_BAD_MEMORY;
    }
    if (entry->memory_offset > region->len || entry->length > region->len - entry->memory_offset) {
        return BC_STATUS_RANGE;
    }
    return key_statuses[entry->key_index];
}

static void send_completion(struct fake_conn *conn, uint64_t id, uint32_t status, uint16_t flags,
                            uint32_t first, const uint32_t *statuses, uint32_t count,
                            uint64_t bytes)
{
    struct bc_wire_completion wire = {.status = status,
                                      .flags = flags,
                                      .first_entry = first,
                                      .entry_count = count,
                                      .bytes = bytes,
                                      .agent_ns = 1};
    struct bc_writer writer;

    bc_writer_init(&writer, scratch, sizeof(scratch));
    BC_ASSERT(bc_completion_encode(&writer, &wire, statuses) == 0);
    send_writer(conn, BC_MSG_COMPLETION, id, &writer);
}

static void complete(struct fake_conn *conn, uint64_t id, const uint32_t *statuses, uint32_t count,
                     uint64_t bytes)
{
    uint32_t status = BC_STATUS_OK;

    for (uint32_t i = 0; i < count && status == BC_STATUS_OK; i++) {
        status = statuses[i];
    }
    for (uint32_t i = 0; conn->agent->piecemeal && i + 1 < count; i++) {
        send_completion(conn, id, statuses[i], BC_COMPLETION_FLAG_MORE, i, &statuses[i], 1, 0);
    }
    if (conn->agent->piecemeal) {
        send_completion(conn, id, status, 0, count - 1, &statuses[count - 1], 1, bytes);
    } else if (status == BC_STATUS_OK) {
        send_completion(conn, id, status, 0, 0, NULL, 0, bytes);
    } else {
        send_completion(conn, id, status, 0, 0, statuses, count, bytes);
    }
}

static uint64_t bytes_of(const struct bc_transfer *transfer)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < transfer->wire.entry_count; i++) {
        bytes += transfer->entries[i].length;
    }
    return bytes;
}

/* over: with this status for all entries, or OK. */
static bool answer_transfer(struct fake_conn *conn, const struct bc_message *message, uint32_t over)
{
    struct bc_transfer transfer;
    struct bc_key_iter iter;
    struct bc_key_desc key;
    uint32_t *statuses;
    uint32_t *key_statuses;
    uint32_t keys = 0;

    BC_ASSERT(bc_transfer_decode(message->body, message->body_len, &transfer) == 0);
    statuses = calloc(transfer.wire.entry_count, sizeof(*statuses));
    key_statuses = calloc(transfer.wire.key_count, sizeof(*key_statuses));
    BC_ASSERT(statuses != NULL && key_statuses != NULL);
    bc_transfer_keys(&transfer, &iter);
    while (bc_transfer_key_next(&iter, &key)) {
        key_statuses[keys++] = status_of_key(&key.key);
    }
    for (uint32_t i = 0; i < transfer.wire.entry_count; i++) {
        statuses[i] =
            over != BC_STATUS_OK ? over : status_of_entry(conn, &transfer.entries[i], key_statuses);
    }
    conn->transfers--;
    conn->bytes -= bytes_of(&transfer);
    complete(conn, message->request_id, statuses, transfer.wire.entry_count,
             over == BC_STATUS_OK ? bytes_of(&transfer) : 0);
    free(statuses);
    free(key_statuses);
    return true;
}

/* Counts it, and checks what the client was granted. */
static bool note_transfer(struct fake_conn *conn, const struct bc_message *message)
{
    const struct fake_agent_options *options = &conn->agent->options;
    struct bc_transfer transfer;
    struct fake_agent *agent = conn->agent;

    if (bc_transfer_decode(message->body, message->body_len, &transfer) != 0) {
        return violation("transfer");
    }
    trace_add("transfer %u", transfer.wire.entry_count);
    if (transfer.groups != NULL) {
        trace_add("groups %llu %llu", (unsigned long long)bc_transfer_group(&transfer, 0),
                  (unsigned long long)bc_transfer_group(&transfer, transfer.wire.key_count - 1));
    }
    conn->transfers++;
    conn->bytes += bytes_of(&transfer);
    agent->transfers_peak =
        conn->transfers > agent->transfers_peak ? conn->transfers : agent->transfers_peak;
    agent->bytes_peak = bc_max_u64(conn->bytes, agent->bytes_peak);
    if (conn->transfers > given(options->requests_max, AMPLE) ||
        transfer.wire.entry_count > given(options->entries_max, BC_TRANSFER_ENTRIES_MAX) ||
        message->body_len > given(options->message_max, BC_MESSAGE_BODY_MAX) ||
        (conn->bytes > given(options->bytes_max, UINT64_MAX) && conn->transfers > 1)) {
        return violation("over the credits");
    }
    return true;
}

static bool answer_keys(struct fake_conn *conn, const struct bc_message *message)
{
    struct bc_keys_iter iter;
    struct bc_bytes key;
    uint32_t count;
    uint32_t i = 0;
    uint32_t *statuses;
    struct bc_wire_query_result *results;

    if (bc_keys_decode(message->body, message->body_len, &count, &iter) != 0) {
        return violation("keys");
    }
    statuses = calloc(count + 1, sizeof(*statuses));
    results = calloc(count + 1, sizeof(*results));
    BC_ASSERT(statuses != NULL && results != NULL);
    while (bc_keys_next(&iter, &key)) {
        statuses[i] = status_of_key(&key);
        results[i] = (struct bc_wire_query_result){
            .status = statuses[i], .size = key.len * 100, .version = 7};
        i++;
    }
    if (message->type == BC_MSG_REMOVE) {
        send_statuses(conn, BC_MSG_REMOVE_RESULT, message->request_id, statuses, count);
    } else {
        struct bc_writer writer;

        bc_writer_init(&writer, scratch, sizeof(scratch));
        BC_ASSERT(bc_query_result_encode(&writer, results, count) == 0);
        send_writer(conn, BC_MSG_QUERY_RESULT, message->request_id, &writer);
    }
    free(statuses);
    free(results);
    return true;
}

static bool answer_stats(struct fake_conn *conn, const struct bc_message *message)
{
    struct bc_metric_desc metrics[2] = {
        {.wire = {.kind = BC_METRIC_COUNTER, .value = 42},
         .name = {.data = (const uint8_t *)"bluecache_fake_things_total", .len = 27}},
        {.wire = {.kind = BC_METRIC_HISTOGRAM, .value = 3, .p50 = 10, .p99 = 20, .sum = 35},
         .name = {.data = (const uint8_t *)"bluecache_fake_wait_ns", .len = 22}}};
    struct bc_writer writer;

    bc_writer_init(&writer, scratch, sizeof(scratch));
    BC_ASSERT(bc_list_begin_encode(&writer, 2) == 0);
    for (size_t i = 0; i < 2; i++) {
        metrics[i].wire.name_len = (uint8_t)metrics[i].name.len;
        BC_ASSERT(bc_metric_encode(&writer, &metrics[i]) == 0);
    }
    send_writer(conn, BC_MSG_STATS_RESULT, message->request_id, &writer);
    return true;
}

static void hold(struct fake_conn *conn, const struct bc_message *message)
{
    struct fake_held *held = malloc(sizeof(*held) + message->body_len);
    struct fake_held **end = &conn->held;

    BC_ASSERT(held != NULL);
    held->next = NULL;
    held->type = message->type;
    held->request_id = message->request_id;
    held->body_len = message->body_len;
    memcpy(held->body, message->body, message->body_len);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = held;
}

static bool answer(struct fake_conn *conn, const struct bc_message *message)
{
    switch (message->type) {
    case BC_MSG_HELLO:
        return answer_hello(conn, message);
    case BC_MSG_REGISTER:
        return answer_register(conn, message);
    case BC_MSG_UNREGISTER:
        return answer_unregister(conn, message);
    case BC_MSG_TRANSFER:
        return answer_transfer(conn, message, conn->agent->status[BC_MSG_TRANSFER]);
    case BC_MSG_QUERY:
    case BC_MSG_REMOVE:
        return answer_keys(conn, message);
    case BC_MSG_PING:
        fake_send(conn, BC_MSG_PONG, message->request_id, message->body, message->body_len);
        return true;
    case BC_MSG_STATS:
        return answer_stats(conn, message);
    default:
        return violation("type");
    }
}

static struct fake_held *take_held(struct fake_conn *conn, uint8_t type, uint64_t id)
{
    for (struct fake_held **at = &conn->held; *at != NULL; at = &(*at)->next) {
        struct fake_held *held = *at;

        if (held->type == type && (id == 0 || held->request_id == id)) {
            *at = held->next;
            return held;
        }
    }
    return NULL;
}

static struct bc_message message_of(const struct fake_held *held)
{
    return (struct bc_message){.type = held->type,
                               .request_id = held->request_id,
                               .body = held->body,
                               .body_len = held->body_len};
}

static bool obey_cancel(struct fake_conn *conn, const struct bc_message *message)
{
    struct fake_held *held;
    uint64_t id;

    trace_add("cancel");
    if (bc_cancel_decode(message->body, message->body_len, &id) != 0) {
        return violation("cancel");
    }
    held = conn->agent->obey_cancel ? take_held(conn, BC_MSG_TRANSFER, id) : NULL;
    if (held != NULL) {
        struct bc_message kept = message_of(held);

        (void)answer_transfer(conn, &kept, BC_STATUS_CANCELLED);
        free(held);
    }
    return true;
}

static bool note(struct fake_conn *conn, const struct bc_message *message)
{
    uint32_t count = 0;

    if (message->body_len >= sizeof(count)) {
        memcpy(&count, message->body, sizeof(count));
    }
    switch (message->type) {
    case BC_MSG_REGISTER:
        trace_add("register %u", count);
        return true;
    case BC_MSG_UNREGISTER:
        trace_add("unregister");
        return true;
    case BC_MSG_TRANSFER:
        return note_transfer(conn, message);
    case BC_MSG_QUERY:
        trace_add("query %u", count);
        return true;
    case BC_MSG_REMOVE:
        trace_add("remove %u", count);
        return true;
    case BC_MSG_PING:
        trace_add("ping");
        return true;
    case BC_MSG_STATS:
        trace_add("stats");
        return true;
    default:
        return true;
    }
}

bool fake_message(struct fake_conn *conn, const struct bc_message *message)
{
    if (!conn->greeted && message->type != BC_MSG_HELLO) {
        return violation("before hello");
    }
    if (message->type == BC_MSG_CANCEL) {
        return obey_cancel(conn, message);
    }
    if (message->type == BC_MSG_GOODBYE) {
        trace_add("goodbye");
        return true;
    }
    if (message->type == BC_MSG_PONG) {
        trace_add("pong");
        return true;
    }
    if (!note(conn, message)) {
        return false;
    }
    if (conn->agent->hold[message->type]) {
        hold(conn, message);
        return true;
    }
    return answer(conn, message);
}

void fake_release_held(struct fake_conn *conn, uint8_t type)
{
    struct fake_held *held;

    while ((held = take_held(conn, type, 0)) != NULL) {
        struct bc_message message = message_of(held);

        (void)answer(conn, &message);
        free(held);
    }
}

void fake_drop_held(struct fake_conn *conn)
{
    while (conn->held != NULL) {
        struct fake_held *held = conn->held;

        conn->held = held->next;
        free(held);
    }
}
