/* SPDX-License-Identifier: Apache-2.0 */
/* session_messages.c - what each message of a client does. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "session/session_internal.h"

static void answer_hello(struct bc_session *session, uint64_t request_id, enum bc_status status)
{
    const struct bc_session_limits *limits = session->worker->limits;
    struct bc_hello_ack ack = {
        .wire =
            {
                .status = status,
                .version = BC_WIRE_VERSION,
                .name_len = (uint16_t)strlen(limits->agent_name),
                .features = limits->features,
                .session_id = session->id,
                .requests_max = session->requests_max,
                .entries_max = limits->entries_max,
                .bytes_max = limits->bytes_max,
                .regions_max = limits->regions_max,
                .message_max = limits->message_max,
                .object_size_max = limits->object_size_max,
                .chunk_len = limits->chunk_len,
                .keepalive_ms = limits->keepalive_ms,
            },
        .name = {(const uint8_t *)limits->agent_name, strlen(limits->agent_name)},
    };
    memcpy(ack.wire.agent_id, limits->agent_id, sizeof(ack.wire.agent_id));
    uint8_t body[sizeof(ack.wire) + BC_NAME_LEN_MAX];
    struct bc_writer writer;
    size_t len = 0;
    bc_writer_init(&writer, body, sizeof(body));
    if (bc_hello_ack_encode(&writer, &ack) != 0 || bc_writer_finish(&writer, &len) != 0) {
        bc_session_fail(session, BC_STATUS_INTERNAL, "HELLO could not be answered");
        return;
    }
    bc_session_send(session, BC_MSG_HELLO_ACK, request_id, body, len);
}

static void on_hello(struct bc_session *session, const struct bc_message *message)
{
    struct bc_hello hello;
    if (bc_hello_decode(message->body, message->body_len, &hello) != 0) {
        bc_session_fail(session, BC_STATUS_INVALID, "HELLO is malformed");
        return;
    }
    enum bc_status status = BC_STATUS_OK;
    if (hello.wire.version_min > BC_WIRE_VERSION || hello.wire.version_max < BC_WIRE_VERSION) {
        status = BC_STATUS_NOT_SUPPORTED;
    } else if (hello.wire.tenant != 0) {
        status = BC_STATUS_DENIED;
    }
    bc_log_key(session->name, sizeof(session->name), hello.name.data, hello.name.len);
    if (hello.wire.requests_wanted != 0 && hello.wire.requests_wanted < session->requests_max) {
        session->requests_max = hello.wire.requests_wanted;
    }
    answer_hello(session, message->request_id, status);
    if (status != BC_STATUS_OK) {
        BC_WARN_LIMITED("session", "client %s (%s) refused: %s", session->name, session->peer,
                        bc_status_text(status));
        bc_session_close_after_flush(session);
        return;
    }
    if (session->state == BC_SESSION_CLOSING || session->close_after_flush) {
        return; /* there was no memory for the answer */
    }
    bc_channel_grow_message_max(session->channel, session->worker->limits->message_max);
    session->tenant = hello.wire.tenant;
    session->state = BC_SESSION_OPEN;
    BC_INFO_LIMITED("session", "client %s (%s, pid %u) is session %llx", session->name,
                    session->peer, hello.wire.pid, (unsigned long long)session->id);
}

static void send_statuses(struct bc_session *session, uint8_t type, uint64_t request_id,
                          const uint32_t *statuses, uint32_t count)
{
    size_t room = sizeof(struct bc_wire_list) + count * sizeof(uint32_t);
    uint8_t *body = bc_session_scratch(session, room);
    struct bc_writer writer;
    size_t len = 0;
    if (body == NULL) {
        return;
    }
    bc_writer_init(&writer, body, room);
    int rc = bc_statuses_encode(&writer, statuses, count);
    if (rc == 0) {
        rc = bc_writer_finish(&writer, &len);
    }
    BC_ASSERT(rc == 0);
    bc_session_send(session, type, request_id, body, len);
}

/* Brings the gauge of all sessions up to date with this one. */
static void count_regions(struct bc_session *session)
{
    bc_counter_add(&session->owner->regions_now,
                   (int64_t)session->regions.live - (int64_t)session->regions_counted);
    session->regions_counted = session->regions.live;
}

static void registered(void *arg, uint64_t request_id, const uint32_t *statuses, uint32_t count)
{
    struct bc_session *session = arg;
    count_regions(session);
    send_statuses(session, BC_MSG_REGISTER_ACK, request_id, statuses, count);
    bc_session_check_closed(session);
}

static void unregistered(void *arg, uint64_t request_id, const uint32_t *statuses, uint32_t count)
{
    struct bc_session *session = arg;
    count_regions(session);
    send_statuses(session, BC_MSG_UNREGISTER_ACK, request_id, statuses, count);
    bc_session_check_closed(session);
}

void bc_session_regions_dropped(void *arg, uint64_t request_id, const uint32_t *statuses,
                                uint32_t count)
{
    struct bc_session *session = arg;
    (void)request_id;
    (void)statuses;
    (void)count;
    count_regions(session);
    session->dropped = true;
    bc_session_check_closed(session);
}

/* Decoders say -EBADMSG or -E2BIG for what is malformed; -ENOMEM is the agent's own trouble. */
static void fail_decode(struct bc_session *session, const struct bc_message *message, int rc)
{
    if (rc == -ENOMEM) {
        bc_session_fail(session, BC_STATUS_NO_MEMORY, "%s needs more than there is memory for",
                        bc_message_type_name(message->type));
    } else {
        bc_session_fail(session, BC_STATUS_INVALID, "%s is malformed",
                        bc_message_type_name(message->type));
    }
}

static void on_register(struct bc_session *session, const struct bc_message *message)
{
    int rc = bc_regions_register(&session->regions, message->body, message->body_len,
                                 message->request_id, registered, session);
    if (rc != 0) {
        fail_decode(session, message, rc);
    }
}

static void on_unregister(struct bc_session *session, const struct bc_message *message)
{
    const struct bc_wire_memory_name *names;
    uint32_t count;
    int rc = bc_unregister_decode(message->body, message->body_len, &names, &count);
    if (rc == 0) {
        rc = bc_regions_unregister(&session->regions, names, count, message->request_id,
                                   unregistered, session);
    }
    if (rc != 0) {
        fail_decode(session, message, rc);
    }
}

/* Answers a request that is done, unless the session closes, and gives it back. */
static void finish_request(struct bc_session *session, struct bc_request *request)
{
    for (uint32_t i = 0; i < session->request_count; i++) {
        if (session->requests[i] == request) {
            session->requests[i] = session->requests[--session->request_count];
            break;
        }
    }
    session->bytes_in_flight -= bc_request_bytes_wanted(request);
    session->request_memory -= bc_request_memory(request);
    bc_counter_add(&session->owner->requests_now, -1);
    if (session->state != BC_SESSION_CLOSING) {
        size_t room = bc_request_answer_len(request);
        uint8_t *body = bc_session_scratch(session, room);
        uint8_t type = 0;
        size_t len = 0;
        if (body != NULL) {
            int rc = bc_request_answer(request, body, room, &type, &len);
            BC_ASSERT(rc == 0);
            bc_session_send(session, type, bc_request_id(request), body, len);
        }
    }
    bc_request_put(request);
    if (session->draining && session->request_count == 0) {
        bc_session_say_goodbye(session);
    }
    bc_session_check_closed(session);
}

void bc_session_finish_unsent(struct bc_session *session)
{
    struct bc_request *request = session->unsent[session->unsent_first];
    session->unsent_first = (session->unsent_first + 1) % session->worker->limits->requests_max;
    session->unsent_count--;
    finish_request(session, request);
}

static void request_done(void *arg, struct bc_request *request)
{
    struct bc_session *session = arg;
    uint32_t max = session->worker->limits->requests_max;
    bc_request_record(request, &session->owner->push_ns, &session->owner->pull_ns);
    if (session->state == BC_SESSION_CLOSING || bc_session_has_room(session)) {
        finish_request(session, request);
        return;
    }
    BC_ASSERT(session->unsent_count < max);
    session->unsent[(session->unsent_first + session->unsent_count++) % max] = request;
}

static bool known_request(const struct bc_session *session, uint64_t id)
{
    for (uint32_t i = 0; i < session->request_count; i++) {
        if (bc_request_id(session->requests[i]) == id) {
            return true;
        }
    }
    return false;
}

/* An answer for a request that is not started: one status for all of it. */
static void refuse(struct bc_session *session, const struct bc_message *message, uint32_t count,
                   enum bc_status status)
{
    bc_counter_add(&session->owner->limited, status == BC_STATUS_LIMIT);
    if (message->type == BC_MSG_TRANSFER) {
        struct bc_wire_completion header = {.status = status};
        uint8_t body[sizeof(header)];
        struct bc_writer writer;
        size_t len = 0;
        bc_writer_init(&writer, body, sizeof(body));
        int rc = bc_completion_encode(&writer, &header, NULL);
        if (rc == 0) {
            rc = bc_writer_finish(&writer, &len);
        }
        BC_ASSERT(rc == 0);
        bc_session_send(session, BC_MSG_COMPLETION, message->request_id, body, len);
        return;
    }
    bool query = message->type == BC_MSG_QUERY;
    size_t item = query ? sizeof(struct bc_wire_query_result) : sizeof(uint32_t);
    size_t room = sizeof(struct bc_wire_list) + count * item;
    uint8_t *body = bc_session_scratch(session, room);
    if (body == NULL) {
        return;
    }
    struct bc_writer writer;
    size_t len = 0;
    bc_writer_init(&writer, body, room);
    int rc = bc_list_begin_encode(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        bc_writer_u32(&writer, status);
        for (uint32_t pad = sizeof(uint32_t); pad < item; pad += sizeof(uint32_t)) {
            bc_writer_u32(&writer, 0);
        }
    }
    if (rc == 0) {
        rc = bc_writer_finish(&writer, &len);
    }
    BC_ASSERT(rc == 0);
    bc_session_send(session, query ? BC_MSG_QUERY_RESULT : BC_MSG_REMOVE_RESULT,
                    message->request_id, body, len);
}

static void start_request(struct bc_session *session, const struct bc_message *message,
                          enum bc_request_kind kind, uint32_t count)
{
    struct bc_request_env env = {
        .home = session->worker,
        .regions = &session->regions,
        .flows = session->flows,
        .tenant = session->tenant,
        .object_size_max = session->worker->limits->object_size_max,
        .done = request_done,
        .arg = session,
    };
    if (known_request(session, message->request_id)) {
        bc_session_fail(session, BC_STATUS_INVALID, "request id %llu is in flight already",
                        (unsigned long long)message->request_id);
        return;
    }
    if (session->draining) {
        refuse(session, message, count, BC_STATUS_SHUTTING_DOWN);
        return;
    }
    if (session->request_count >= session->requests_max) {
        refuse(session, message, count, BC_STATUS_LIMIT);
        return;
    }
    struct bc_request *request;
    int rc = bc_request_start(session->owner->requests, &env, kind, message->request_id,
                              message->body, message->body_len, &request);
    if (rc == -EAGAIN || rc == -ENOMEM) {
        refuse(session, message, count, rc == -EAGAIN ? BC_STATUS_BUSY : BC_STATUS_NO_MEMORY);
        return;
    }
    if (rc != 0) {
        fail_decode(session, message, rc);
        return;
    }
    session->requests[session->request_count++] = request;
    session->bytes_in_flight += bc_request_bytes_wanted(request);
    session->request_memory += bc_request_memory(request);
    bc_counter_add(&session->owner->requests_now, 1);
}

static void on_transfer(struct bc_session *session, const struct bc_message *message)
{
    const struct bc_session_limits *limits = session->worker->limits;
    struct bc_transfer transfer;
    int rc = bc_transfer_decode(message->body, message->body_len, &transfer);
    if (rc != 0) {
        fail_decode(session, message, rc);
        return;
    }
    bool push = transfer.wire.op == BC_TRANSFER_PUSH;
    bc_counter_add(push ? &session->owner->pushes : &session->owner->pulls, 1);
    uint64_t bytes = bc_transfer_bytes(&transfer);
    bool over = session->bytes_in_flight > 0 &&
                (bytes > limits->bytes_max || session->bytes_in_flight > limits->bytes_max - bytes);
    if (transfer.wire.entry_count > limits->entries_max ||
        transfer.wire.key_count > limits->entries_max || over || bytes == UINT64_MAX) {
        refuse(session, message, 0, BC_STATUS_LIMIT);
        return;
    }
    start_request(session, message, BC_REQUEST_TRANSFER, 0);
}

static void on_keys(struct bc_session *session, const struct bc_message *message)
{
    bool query = message->type == BC_MSG_QUERY;
    uint32_t count = 0;
    struct bc_keys_iter iter;
    int rc = bc_keys_decode(message->body, message->body_len, &count, &iter);
    if (rc != 0) {
        fail_decode(session, message, rc);
        return;
    }
    bc_counter_add(query ? &session->owner->queries : &session->owner->removes, 1);
    start_request(session, message, query ? BC_REQUEST_QUERY : BC_REQUEST_REMOVE, count);
}

static void on_cancel(struct bc_session *session, const struct bc_message *message)
{
    uint64_t id;
    int rc = bc_cancel_decode(message->body, message->body_len, &id);
    if (rc != 0) {
        fail_decode(session, message, rc);
        return;
    }
    bc_counter_add(&session->owner->cancels, 1);
    for (uint32_t i = 0; i < session->request_count; i++) {
        if (bc_request_id(session->requests[i]) == id) {
            bc_request_cancel(session->requests[i], BC_STATUS_CANCELLED);
            return;
        }
    }
}

static void on_ping(struct bc_session *session, const struct bc_message *message)
{
    if (message->body_len > BC_PING_LEN_MAX) {
        bc_session_fail(session, BC_STATUS_INVALID, "PING is longer than %u bytes",
                        BC_PING_LEN_MAX);
        return;
    }
    bc_session_send(session, BC_MSG_PONG, message->request_id, message->body, message->body_len);
}

struct stats_context {
    struct bc_writer writer;
    uint32_t count;
    size_t len;
    int rc;
};

static void measure_metric(void *arg, enum bc_metric_kind kind, const char *name, const char *help,
                           int64_t value, const struct bc_histogram *histogram)
{
    struct stats_context *context = arg;
    (void)kind;
    (void)help;
    (void)value;
    (void)histogram;
    context->count++;
    context->len += sizeof(struct bc_wire_metric) + strlen(name);
}

static void encode_metric(void *arg, enum bc_metric_kind kind, const char *name, const char *help,
                          int64_t value, const struct bc_histogram *histogram)
{
    struct stats_context *context = arg;
    struct bc_metric_desc metric = {
        .wire = {.kind = (uint8_t)kind, .name_len = (uint8_t)strlen(name), .value = value},
        .name = {(const uint8_t *)name, strlen(name)},
    };
    (void)help;
    if (histogram != NULL) {
        metric.wire.p50 = bc_histogram_quantile(histogram, 0.5);
        metric.wire.p99 = bc_histogram_quantile(histogram, 0.99);
        metric.wire.sum = histogram->sum;
    }
    if (context->rc == 0) {
        context->rc = bc_metric_encode(&context->writer, &metric);
    }
}

static void on_stats(struct bc_session *session, const struct bc_message *message)
{
    int rc = bc_empty_decode(message->body_len);
    if (rc != 0) {
        fail_decode(session, message, rc);
        return;
    }
    struct stats_context context = {.len = sizeof(struct bc_wire_list)};
    bc_metrics_visit(session->worker->metrics, measure_metric, &context);
    uint8_t *body = bc_session_scratch(session, context.len);
    if (body == NULL) {
        return;
    }
    bc_writer_init(&context.writer, body, context.len);
    context.rc = bc_list_begin_encode(&context.writer, context.count);
    bc_metrics_visit(session->worker->metrics, encode_metric, &context);
    size_t len = 0;
    if (context.rc != 0 || bc_writer_finish(&context.writer, &len) != 0) {
        bc_session_fail(session, BC_STATUS_INTERNAL, "STATS could not be answered");
        return;
    }
    bc_session_send(session, BC_MSG_STATS_RESULT, message->request_id, body, len);
}

void bc_session_handle(struct bc_session *session, const struct bc_message *message)
{
    bool greeting = session->state == BC_SESSION_GREETING;
    if (greeting != (message->type == BC_MSG_HELLO)) {
        bc_session_fail(session, BC_STATUS_INVALID, "%s came out of order",
                        bc_message_type_name(message->type));
        return;
    }
    switch (message->type) {
    case BC_MSG_HELLO:
        on_hello(session, message);
        break;
    case BC_MSG_REGISTER:
        on_register(session, message);
        break;
    case BC_MSG_UNREGISTER:
        on_unregister(session, message);
        break;
    case BC_MSG_TRANSFER:
        on_transfer(session, message);
        break;
    case BC_MSG_QUERY:
    case BC_MSG_REMOVE:
        on_keys(session, message);
        break;
    case BC_MSG_CANCEL:
        on_cancel(session, message);
        break;
    case BC_MSG_PING:
        on_ping(session, message);
        break;
    case BC_MSG_STATS:
        on_stats(session, message);
        break;
    case BC_MSG_GOODBYE:
        bc_session_close(session, "goodbye");
        break;
    default:
        bc_session_fail(session, BC_STATUS_INVALID, "message %s is not for an agent",
                        bc_message_type_name(message->type));
        break;
    }
}
