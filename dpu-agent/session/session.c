/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - life cycle of a connection, its input and output. */
#include "session/session.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/session_internal.h"

/* One turn reads at most this often per session, so that a flood does not starve the others. */
#define READS_PER_TURN         8
#define REQUESTS_OF_WORKER_MAX 65536u
#define DROP_RETRY_NS          (100 * BC_NS_PER_MS)

uint8_t *bc_session_scratch(struct bc_session *session, size_t len)
{
    if (session->scratch_len < len) {
        size_t rounded = bc_align_up_u64(len, 4096);
        uint8_t *grown = realloc(session->scratch, rounded);
        if (grown == NULL) {
            bc_session_close(session, "out of memory for an answer");
            return NULL;
        }
        session->scratch = grown;
        session->scratch_len = rounded;
    }
    return session->scratch;
}

void bc_session_schedule_io(struct bc_session *session)
{
    if (!session->io_queued && session->state != BC_SESSION_CLOSING) {
        session->io_queued = true;
        bc_loop_defer(session->worker->loop, &session->io_task);
    }
}

void bc_session_send(struct bc_session *session, uint8_t type, uint64_t request_id,
                     const void *body, size_t body_len)
{
    if (session->state == BC_SESSION_CLOSING || session->close_after_flush) {
        return;
    }
    int rc = bc_channel_send(session->channel, type, request_id, body, body_len);
    if (rc != 0) {
        bc_session_close(session, rc == -EAGAIN ? "the client does not read its answers"
                                                : "an answer could not be queued");
        return;
    }
    bc_session_schedule_io(session);
}

void bc_session_fail(struct bc_session *session, enum bc_status status, const char *format, ...)
{
    char text[BC_ERROR_TEXT_LEN_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    BC_WARN("session", "client %s (%s): %s; the connection is closed", session->name, session->peer,
            text);
    bc_counter_add(&session->owner->protocol_errors, 1);
    uint8_t body[sizeof(uint32_t) + BC_ERROR_TEXT_LEN_MAX];
    struct bc_writer writer;
    size_t len = 0;
    bc_writer_init(&writer, body, sizeof(body));
    if (bc_error_encode(&writer, status, text) == 0 && bc_writer_finish(&writer, &len) == 0) {
        bc_session_send(session, BC_MSG_ERROR, 0, body, len);
    }
    session->close_after_flush = true;
    bc_session_schedule_io(session);
}

static void free_session(struct bc_task *task)
{
    struct bc_session *session = BC_CONTAINER_OF(task, struct bc_session, close_task);
    struct bc_sessions *owner = session->owner;
    bc_timer_stop(session->worker->loop, &session->timer);
    bc_list_remove(&owner->list, &session->node);
    bc_counter_add(&owner->open, -1);
    bc_regions_fini(&session->regions);
    bc_channel_destroy(session->channel);
    free(session->scratch);
    free(session->requests);
    free(session->flows);
    BC_DBG("session", "client %s (%s) is gone", session->name, session->peer);
    free(session);
}

void bc_session_check_closed(struct bc_session *session)
{
    if (session->state != BC_SESSION_CLOSING || !session->watch_stopped || session->io_queued ||
        session->request_count > 0 || session->close_queued) {
        return;
    }
    if (!session->dropping && session->regions.batches == 0) {
        int rc = bc_regions_drop_all(&session->regions, bc_session_regions_dropped, session);
        if (rc != 0) {
            bc_timer_start(session->worker->loop, &session->timer, DROP_RETRY_NS);
            return;
        }
        session->dropping = true;
    }
    if (session->dropped && session->regions.batches == 0) {
        session->close_queued = true;
        bc_loop_defer(session->worker->loop, &session->close_task);
    }
}

static void watch_stopped(struct bc_watch *watch)
{
    struct bc_session *session = BC_CONTAINER_OF(watch, struct bc_session, watch);
    session->transport->close(session->conn);
    session->conn = NULL;
    session->watch_stopped = true;
    bc_session_check_closed(session);
}

void bc_session_close(struct bc_session *session, const char *why)
{
    if (session->state == BC_SESSION_CLOSING) {
        return;
    }
    BC_INFO("session", "client %s (%s) leaves: %s; %u requests in flight are cancelled",
            session->name, session->peer, why, session->request_count);
    session->state = BC_SESSION_CLOSING;
    bc_timer_stop(session->worker->loop, &session->timer);
    for (uint32_t i = 0; i < session->request_count; i++) {
        bc_request_cancel(session->requests[i], BC_STATUS_CANCELLED);
    }
    bc_watch_stop(&session->watch, watch_stopped);
}

/* Sends what is queued; false when the session was closed. */
static bool flush(struct bc_session *session)
{
    const uint8_t *data;
    size_t len;
    while (bc_channel_out_peek(session->channel, &data, &len)) {
        int64_t sent = session->transport->send(session->conn, data, len);
        if (sent == -EAGAIN) {
            bc_watch_start(&session->watch, POLLIN | POLLOUT);
            return true;
        }
        if (sent < 0) {
            bc_session_close(session, "the connection was lost");
            return false;
        }
        bc_channel_out_consume(session->channel, (size_t)sent);
    }
    if (session->close_after_flush) {
        bc_session_close(session, "closed by the agent");
        return false;
    }
    return true;
}

/* One receive; true when there may be more. */
static bool receive(struct bc_session *session)
{
    uint8_t *space;
    size_t len;
    if (bc_channel_in_space(session->channel, &space, &len) != 0) {
        bc_session_close(session, "out of memory for input");
        return false;
    }
    int64_t got = session->transport->recv(session->conn, space, len);
    if (got == -EAGAIN) {
        session->readable = false;
        return false;
    }
    if (got <= 0) {
        bc_session_close(session,
                         got == 0 ? "it closed the connection" : "the connection was lost");
        return false;
    }
    bc_channel_in_commit(session->channel, (size_t)got);
    struct bc_message message;
    int rc;
    while ((rc = bc_channel_next(session->channel, &message)) == 1) {
        bc_session_handle(session, &message);
        if (session->state == BC_SESSION_CLOSING || session->close_after_flush) {
            return false;
        }
    }
    if (rc < 0) {
        bc_session_fail(session, rc == -EMSGSIZE ? BC_STATUS_LIMIT : BC_STATUS_INVALID,
                        "a frame is not acceptable (%s)",
                        rc == -EMSGSIZE          ? "too large"
                        : rc == -EPROTONOSUPPORT ? "another protocol version"
                                                 : "damaged or not this protocol");
        return false;
    }
    return (size_t)got == len;
}

static void watch_partial(struct bc_session *session)
{
    bool waiting = session->state == BC_SESSION_GREETING || bc_channel_in_partial(session->channel);
    if (!waiting) {
        bc_timer_stop(session->worker->loop, &session->timer);
    } else if (session->timer.heap_index == UINT32_MAX) {
        bc_timer_start(session->worker->loop, &session->timer,
                       session->worker->limits->hello_timeout_ms * BC_NS_PER_MS);
    }
}

static void io_task(struct bc_task *task)
{
    struct bc_session *session = BC_CONTAINER_OF(task, struct bc_session, io_task);
    session->io_queued = false;
    if (session->state == BC_SESSION_CLOSING) {
        bc_session_check_closed(session);
        return;
    }
    bool more = session->readable && !session->close_after_flush;
    for (uint32_t reads = 0; more && reads < READS_PER_TURN; reads++) {
        more = receive(session);
    }
    if (session->state == BC_SESSION_CLOSING || !flush(session)) {
        return;
    }
    watch_partial(session);
    if (more) {
        bc_session_schedule_io(session);
    }
}

static void watch_ready(struct bc_watch *watch, uint32_t events)
{
    struct bc_session *session = BC_CONTAINER_OF(watch, struct bc_session, watch);
    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) {
        session->readable = true;
    }
    if ((events & POLLOUT) != 0) {
        bc_watch_start(&session->watch, POLLIN);
    }
    bc_session_schedule_io(session);
}

static void timer_expired(struct bc_timer *timer)
{
    struct bc_session *session = BC_CONTAINER_OF(timer, struct bc_session, timer);
    if (session->state == BC_SESSION_CLOSING) {
        bc_session_check_closed(session);
    } else if (session->state == BC_SESSION_GREETING) {
        bc_session_close(session, "it said no HELLO in time");
    } else {
        bc_session_close(session, "it stopped inside a message");
    }
}

static struct bc_session *session_new(struct bc_sessions *sessions)
{
    const struct bc_session_limits *limits = sessions->worker->limits;
    uint32_t workers = sessions->worker->worker_count;
    struct bc_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return NULL;
    }
    struct bc_channel_options options = {.message_max = limits->message_max};
    session->flows = calloc(workers, sizeof(*session->flows));
    session->requests = calloc(limits->requests_max, sizeof(struct bc_request *));
    if (session->flows == NULL || session->requests == NULL ||
        bc_regions_init(&session->regions, sessions->worker, limits->regions_max) != 0) {
        goto err_free;
    }
    if (bc_channel_create(&options, &session->channel) != 0) {
        bc_regions_fini(&session->regions);
        goto err_free;
    }
    for (uint32_t i = 0; i < workers; i++) {
        bc_flow_init(&session->flows[i]);
    }
    session->owner = sessions;
    session->worker = sessions->worker;
    return session;

err_free:
    free(session->requests);
    free(session->flows);
    free(session);
    return NULL;
}

void bc_sessions_adopt(struct bc_sessions *sessions, const struct bc_transport_ops *transport,
                       struct bc_conn *conn)
{
    struct bc_worker *worker = sessions->worker;
    struct bc_session *session = session_new(sessions);
    if (session == NULL) {
        BC_WARN("session", "client %s refused: out of memory", transport->conn_peer(conn));
        bc_counter_add(&sessions->refused, 1);
        transport->close(conn);
        return;
    }
    session->transport = transport;
    session->conn = conn;
    session->id = (sessions->next_id++ << 8) | worker->index;
    session->io_task.run = io_task;
    session->close_task.run = free_session;
    snprintf(session->name, sizeof(session->name), "%s", "?");
    snprintf(session->peer, sizeof(session->peer), "%s", transport->conn_peer(conn));
    bc_timer_init(&session->timer, timer_expired);
    bc_watch_init(&session->watch, worker->loop, transport->conn_fd(conn), watch_ready);
    bool full = bc_list_empty(&sessions->list) == false &&
                sessions->list.count >= worker->limits->sessions_max;
    bc_list_push_back(&sessions->list, &session->node);
    bc_counter_add(&sessions->open, 1);
    bc_counter_add(&sessions->accepted, 1);
    bc_timer_start(worker->loop, &session->timer, worker->limits->hello_timeout_ms * BC_NS_PER_MS);
    bc_watch_start(&session->watch, POLLIN);
    if (full || sessions->draining) {
        bc_counter_add(&sessions->refused, 1);
        bc_session_fail(session, full ? BC_STATUS_LIMIT : BC_STATUS_SHUTTING_DOWN,
                        full ? "too many connections (limit %u per worker)"
                             : "the agent is shutting down (%u workers)",
                        full ? worker->limits->sessions_max : worker->worker_count);
    }
}

static int register_metrics(struct bc_sessions *sessions)
{
    struct bc_metrics *metrics = sessions->worker->metrics;
    if (metrics == NULL) {
        return 0;
    }
    struct {
        struct bc_counter *counter;
        enum bc_metric_kind kind;
        const char *name;
        const char *help;
    } rows[] = {
        {&sessions->open, BC_METRIC_GAUGE, "bluecache_session_open", "Connections."},
        {&sessions->accepted, BC_METRIC_COUNTER, "bluecache_session_accepted_total",
         "Connections accepted."},
        {&sessions->refused, BC_METRIC_COUNTER, "bluecache_session_refused_total",
         "Connections refused for lack of room."},
        {&sessions->protocol_errors, BC_METRIC_COUNTER, "bluecache_session_protocol_errors_total",
         "Connections closed for breaking the protocol or a limit."},
        {&sessions->pushes, BC_METRIC_COUNTER, "bluecache_session_pushes_total", "Push requests."},
        {&sessions->pulls, BC_METRIC_COUNTER, "bluecache_session_pulls_total", "Pull requests."},
        {&sessions->queries, BC_METRIC_COUNTER, "bluecache_session_queries_total",
         "Query requests."},
        {&sessions->removes, BC_METRIC_COUNTER, "bluecache_session_removes_total",
         "Remove requests."},
        {&sessions->cancels, BC_METRIC_COUNTER, "bluecache_session_cancels_total",
         "Cancels received."},
        {&sessions->limited, BC_METRIC_COUNTER, "bluecache_session_limited_total",
         "Requests refused for being over the credits."},
        {&sessions->requests_now, BC_METRIC_GAUGE, "bluecache_session_requests",
         "Requests in flight."},
        {&sessions->regions_now, BC_METRIC_GAUGE, "bluecache_session_regions",
         "Registered memories."},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < BC_ARRAY_LEN(rows); i++) {
        rc = bc_metrics_add_counter(metrics, rows[i].kind, rows[i].name, rows[i].help,
                                    rows[i].counter);
    }
    if (rc == 0) {
        rc = bc_metrics_add_histogram(metrics, "bluecache_session_push_ns",
                                      "Time of a push in the agent.", &sessions->push_ns);
    }
    if (rc == 0) {
        rc = bc_metrics_add_histogram(metrics, "bluecache_session_pull_ns",
                                      "Time of a pull in the agent.", &sessions->pull_ns);
    }
    return rc;
}

int bc_sessions_create(struct bc_worker *worker, struct bc_sessions **sessions_out)
{
    struct bc_sessions *sessions = calloc(1, sizeof(*sessions));
    if (sessions == NULL) {
        return -ENOMEM;
    }
    sessions->worker = worker;
    sessions->next_id = 1;
    bc_list_init(&sessions->list);
    uint64_t requests = (uint64_t)worker->limits->requests_max * worker->limits->sessions_max;
    int rc = bc_requests_create(worker, (uint32_t)bc_min_u64(requests, REQUESTS_OF_WORKER_MAX),
                                &sessions->requests);
    if (rc == 0) {
        rc = register_metrics(sessions);
    }
    if (rc != 0) {
        bc_requests_destroy(sessions->requests);
        free(sessions);
        return rc;
    }
    *sessions_out = sessions;
    return 0;
}

void bc_sessions_destroy(struct bc_sessions *sessions)
{
    if (sessions == NULL) {
        return;
    }
    BC_ASSERT(bc_list_empty(&sessions->list));
    bc_requests_destroy(sessions->requests);
    free(sessions);
}

static void drain_session(struct bc_session *session)
{
    session->draining = true;
    if (session->request_count == 0 && session->state != BC_SESSION_CLOSING &&
        !session->close_after_flush) {
        bc_session_send(session, BC_MSG_GOODBYE, 0, NULL, 0);
        session->close_after_flush = true;
        bc_session_schedule_io(session);
    }
}

void bc_sessions_drain(struct bc_sessions *sessions)
{
    sessions->draining = true;
    for (struct bc_list_node *node = bc_list_first(&sessions->list); node != NULL;
         node = bc_list_next(&sessions->list, node)) {
        drain_session(BC_CONTAINER_OF(node, struct bc_session, node));
    }
}

void bc_sessions_close_all(struct bc_sessions *sessions)
{
    for (struct bc_list_node *node = bc_list_first(&sessions->list); node != NULL;
         node = bc_list_next(&sessions->list, node)) {
        bc_session_close(BC_CONTAINER_OF(node, struct bc_session, node), "the agent stops");
    }
}

uint32_t bc_sessions_count(const struct bc_sessions *sessions)
{
    return (uint32_t)sessions->list.count;
}
