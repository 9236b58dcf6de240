/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - life cycle of a connection. */
#include "session/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/session_internal.h"

#define REQUESTS_OF_WORKER_MAX 65536u
#define HELLO_LEN_MAX          (sizeof(struct bc_wire_hello) + BC_AUTH_LEN_MAX + BC_NAME_LEN_MAX)
#define DROP_RETRY_NS          (100 * BC_NS_PER_MS)
#define SCRATCH_KEPT_MAX       ((size_t)64 << 10)

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

void bc_session_trim_scratch(struct bc_session *session)
{
    if (session->scratch_len > SCRATCH_KEPT_MAX) {
        free(session->scratch);
        session->scratch = NULL;
        session->scratch_len = 0;
    }
}

void bc_session_fail(struct bc_session *session, enum bc_status status, const char *format, ...)
{
    char text[BC_ERROR_TEXT_LEN_MAX + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    BC_WARN_LIMITED("session", "client %s (%s): %s; the connection is closed", session->name,
                    session->peer, text);
    bc_counter_add(&session->owner->protocol_errors, 1);
    uint8_t body[sizeof(uint32_t) + BC_ERROR_TEXT_LEN_MAX];
    struct bc_writer writer;
    size_t len = 0;
    bc_writer_init(&writer, body, sizeof(body));
    if (bc_error_encode(&writer, status, text) == 0 && bc_writer_finish(&writer, &len) == 0) {
        bc_session_send(session, BC_MSG_ERROR, 0, body, len);
    }
    bc_session_close_after_flush(session);
}

void bc_session_say_goodbye(struct bc_session *session)
{
    if (session->state != BC_SESSION_CLOSING && !session->close_after_flush) {
        bc_session_send(session, BC_MSG_GOODBYE, 0, NULL, 0);
        bc_session_close_after_flush(session);
    }
}

/* ---- connections of all workers, counted where the first one counts --------------------------- */

static uint32_t *connections(const struct bc_sessions *sessions)
{
    return &sessions->worker->peers[0]->sessions->connections;
}

/* False: one too many. */
static bool count_in(struct bc_session *session)
{
    uint32_t *count = connections(session->owner);
    uint32_t max = session->worker->limits->sessions_max;
    session->counted = __atomic_add_fetch(count, 1, __ATOMIC_RELAXED) <= max;
    if (!session->counted) {
        __atomic_sub_fetch(count, 1, __ATOMIC_RELAXED);
    }
    return session->counted;
}

static void count_out(struct bc_session *session)
{
    if (session->counted) {
        __atomic_sub_fetch(connections(session->owner), 1, __ATOMIC_RELAXED);
    }
}

static void free_session(struct bc_task *task)
{
    struct bc_session *session = BC_CONTAINER_OF(task, struct bc_session, close_task);
    struct bc_sessions *owner = session->owner;
    bc_timer_stop(session->worker->loop, &session->timer);
    bc_list_remove(&owner->list, &session->node);
    count_out(session);
    bc_counter_add(&owner->open, -1);
    bc_regions_fini(&session->regions);
    bc_channel_destroy(session->channel);
    free(session->scratch);
    free(session->unsent);
    free(session->requests);
    free(session->flows);
    BC_DBG("session", "client %s (%s) is gone", session->name, session->peer);
    free(session);
}

void bc_session_check_closed(struct bc_session *session)
{
    if (session->state != BC_SESSION_CLOSING || !session->link_stopped || session->io_queued ||
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

static void link_stopped(struct bc_link *link)
{
    struct bc_session *session = BC_CONTAINER_OF(link, struct bc_session, link);
    session->transport->close(session->conn);
    session->conn = NULL;
    session->link_stopped = true;
    bc_session_check_closed(session);
}

void bc_session_close(struct bc_session *session, const char *why)
{
    if (session->state == BC_SESSION_CLOSING) {
        return;
    }
    BC_INFO_LIMITED("session", "client %s (%s) leaves: %s; %u requests in flight are cancelled",
                    session->name, session->peer, why, session->request_count);
    session->state = BC_SESSION_CLOSING;
    bc_timer_stop(session->worker->loop, &session->timer);
    bc_timer_stop(session->worker->loop, &session->send_timer);
    for (uint32_t i = 0; i < session->request_count; i++) {
        bc_request_cancel(session->requests[i], BC_STATUS_CANCELLED);
    }
    bc_session_give_place(session);
    bc_link_stop(&session->link, link_stopped);
    while (session->unsent_count > 0) {
        bc_session_finish_unsent(session);
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
    /* Who has not said HELLO has nothing longer to say. */
    struct bc_channel_options options = {.message_max = HELLO_LEN_MAX};
    session->flows = calloc(workers, sizeof(*session->flows));
    session->requests = calloc(limits->requests_max, sizeof(struct bc_request *));
    session->unsent = calloc(limits->requests_max, sizeof(struct bc_request *));
    if (session->flows == NULL || session->requests == NULL || session->unsent == NULL ||
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
    session->requests_max = limits->requests_max;
    return session;

err_free:
    free(session->unsent);
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
        bc_sessions_refuse(sessions, transport, conn, "the agent is out of memory");
        return;
    }
    session->transport = transport;
    session->conn = conn;
    session->id = (sessions->next_id++ << 8) | worker->index;
    session->close_task.run = free_session;
    snprintf(session->name, sizeof(session->name), "%s", "?");
    snprintf(session->peer, sizeof(session->peer), "%s", transport->conn_peer(conn));
    bc_session_io_init(session);
    bool full = !count_in(session);
    bc_list_push_back(&sessions->list, &session->node);
    bc_counter_add(&sessions->open, 1);
    bc_counter_add(&sessions->accepted, 1);
    bc_timer_start(worker->loop, &session->timer, worker->limits->hello_timeout_ms * BC_NS_PER_MS);
    bc_session_schedule_io(session);
    if (full || sessions->draining) {
        bc_counter_add(&sessions->refused, 1);
        bc_session_fail(session, full ? BC_STATUS_LIMIT : BC_STATUS_SHUTTING_DOWN,
                        full ? "too many connections (limit %u)"
                             : "the agent is shutting down (%u workers)",
                        full ? worker->limits->sessions_max : worker->worker_count);
    }
}

void bc_sessions_refuse(struct bc_sessions *sessions, const struct bc_transport_ops *transport,
                        struct bc_conn *conn, const char *why)
{
    struct bc_channel *channel;
    uint8_t body[sizeof(uint32_t) + BC_ERROR_TEXT_LEN_MAX];
    struct bc_writer writer;
    size_t len = 0;
    const uint8_t *data;
    BC_WARN_LIMITED("session", "client %s refused: %s", transport->conn_peer(conn), why);
    bc_counter_add(&sessions->refused, 1);
    bc_writer_init(&writer, body, sizeof(body));
    if (bc_error_encode(&writer, BC_STATUS_LIMIT, why) == 0 &&
        bc_writer_finish(&writer, &len) == 0 && bc_channel_create(NULL, &channel) == 0) {
        if (bc_channel_send(channel, BC_MSG_ERROR, 0, body, len) == 0 &&
            bc_channel_out_peek(channel, &data, &len)) {
            /* A new connection takes so little at once, or is not worth more. */
            (void)transport->send(conn, data, len);
        }
        bc_channel_destroy(channel);
    }
    transport->close(conn);
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
    if (sessions->worker->index == 0) {
        rc = bc_metrics_add_counter(metrics, BC_METRIC_COUNTER, "bluecache_log_suppressed_total",
                                    "Log lines that clients caused and that were kept back.",
                                    &bc_log_suppressed);
    }
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
    bc_list_init(&sessions->waiting);
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
    if (session->request_count == 0) {
        bc_session_say_goodbye(session);
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
