/* SPDX-License-Identifier: Apache-2.0 */
/* session_io.c - input and output of a connection.
 *
 * What a client has to send is read only while its answers find room: when OUT_HOLD bytes wait,
 * reading pauses and answers of requests that end stay with their requests. So a slow reader costs
 * the agent one answer more than OUT_HOLD, and is not punished; one that takes nothing for three
 * keep-alive intervals is closed. Reading pauses as well while many registrations are on their way
 * through the workers, and while the requests of a worker take much memory and those of this client
 * more than its share. Of a worker's clients only a few at a time may be in the middle of a long
 * message; others wait for a place, which nobody holds for longer than a message may take.
 *
 * Invariant: the link is started only for what would be acted on, since it reports a level. */
#include <errno.h>
#include <poll.h>

#include "base/log.h"
#include "session/session_internal.h"

/* One turn reads and sends at most this much per session, so that one does not starve the
 * others. */
#define READS_PER_TURN      8u
#define HANDLED_PER_TURN    (256u << 10)
#define SENT_PER_TURN       (4u << 20)
#define OUT_HOLD            (1u << 20)
#define BATCHES_SENT_MAX    16u
#define BATCHES_MAX         1024u
#define BATCH_BYTES_MAX     (1u << 20)
#define REQUEST_MEMORY_HIGH (BC_REQUESTS_MEMORY_MAX / 4)
#define LONG_MESSAGE        ((size_t)256 << 10)
#define LONG_MESSAGES_MAX   32u
#define SILENCES_UNTIL_LOST UINT64_C(3)

bool bc_session_has_room(const struct bc_session *session)
{
    return session->out_waiting < OUT_HOLD && session->unsent_count == 0;
}

/* Such a session has requests in flight: the end of each is an occasion to look again. */
static bool is_greedy(const struct bc_session *session)
{
    const struct bc_sessions *owner = session->owner;
    return bc_requests_memory(owner->requests) > REQUEST_MEMORY_HIGH &&
           session->request_memory > REQUEST_MEMORY_HIGH / bc_max_u64(owner->list.count, 1);
}

static bool may_read(const struct bc_session *session)
{
    return !session->close_after_flush && bc_session_has_room(session) &&
           session->regions.sent < BATCHES_SENT_MAX && session->regions.batches < BATCHES_MAX &&
           session->regions.bytes < BATCH_BYTES_MAX && !session->waits_place && !is_greedy(session);
}

void bc_session_give_place(struct bc_session *session)
{
    struct bc_sessions *owner = session->owner;
    if (session->waits_place) {
        session->waits_place = false;
        bc_list_remove(&owner->waiting, &session->waiting_node);
    }
    if (!session->has_place) {
        return;
    }
    session->has_place = false;
    owner->long_messages--;
    struct bc_list_node *node = bc_list_first(&owner->waiting);
    if (node != NULL) {
        struct bc_session *next = BC_CONTAINER_OF(node, struct bc_session, waiting_node);
        next->waits_place = false;
        next->has_place = true;
        owner->long_messages++;
        bc_list_remove(&owner->waiting, node);
        bc_session_schedule_io(next);
    }
}

/* Takes a place for the long message that is coming in, or gives it back after it. */
static void look_at_place(struct bc_session *session)
{
    struct bc_sessions *owner = session->owner;
    bool needed = bc_channel_in_len(session->channel) > LONG_MESSAGE;
    if (!needed) {
        bc_session_give_place(session);
    } else if (!session->has_place && owner->long_messages < LONG_MESSAGES_MAX) {
        session->has_place = true;
        owner->long_messages++;
    } else if (!session->has_place && !session->waits_place) {
        session->waits_place = true;
        bc_list_push_back(&owner->waiting, &session->waiting_node);
    }
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
    session->out_waiting += body_len + sizeof(struct bc_wire_frame);
    bc_session_schedule_io(session);
}

void bc_session_close_after_flush(struct bc_session *session)
{
    if (session->state == BC_SESSION_CLOSING || session->close_after_flush) {
        return;
    }
    session->close_after_flush = true;
    bc_timer_stop(session->worker->loop, &session->timer);
    bc_timer_start(session->worker->loop, &session->send_timer,
                   session->worker->limits->hello_timeout_ms * BC_NS_PER_MS);
    bc_session_schedule_io(session);
}

/* ---- output --------------------------------------------------------------------------------- */

/* The client took something, or everything: how long it may take nothing begins anew. */
static void watch_output(struct bc_session *session, bool progress, bool waiting)
{
    struct bc_loop *loop = session->worker->loop;
    if (session->close_after_flush) {
        return; /* one deadline for all of it */
    }
    if (!waiting) {
        bc_timer_stop(loop, &session->send_timer);
    } else if (progress || session->send_timer.heap_index == UINT32_MAX) {
        bc_timer_start(loop, &session->send_timer,
                       SILENCES_UNTIL_LOST * session->worker->limits->keepalive_ms * BC_NS_PER_MS);
    }
}

/* Sends what is queued; false when the session was closed. *waiting_out: the socket is full. */
static bool flush(struct bc_session *session, bool *waiting_out)
{
    const uint8_t *data;
    size_t len;
    uint64_t total = 0;
    bool full = false;
    while (bc_channel_out_peek(session->channel, &data, &len) && total < SENT_PER_TURN) {
        int64_t sent = session->transport->send(session->conn, data, len);
        if (sent == -EAGAIN) {
            full = true;
            break;
        }
        if (sent < 0) {
            bc_session_close(session, "the connection was lost");
            return false;
        }
        bc_channel_out_consume(session->channel, (size_t)sent);
        session->out_waiting -= bc_min_u64(session->out_waiting, (uint64_t)sent);
        total += (uint64_t)sent;
    }
    bool waiting = bc_channel_out_peek(session->channel, &data, &len);
    if (!waiting) {
        session->out_waiting = 0; /* it counts one header a message, a long one has more */
        bc_session_trim_scratch(session);
        if (session->close_after_flush) {
            bc_session_close(session, "closed by the agent");
            return false;
        }
    } else if (!full) {
        bc_session_schedule_io(session);
    }
    watch_output(session, total > 0, waiting);
    *waiting_out = full;
    return true;
}

/* Answers that waited; each one that finds room may fill it. False when the session was closed. */
static bool send_unsent(struct bc_session *session)
{
    while (session->unsent_count > 0 && session->out_waiting < OUT_HOLD) {
        bc_session_finish_unsent(session);
    }
    return session->state != BC_SESSION_CLOSING;
}

/* ---- input ---------------------------------------------------------------------------------- */

static void refuse_frame(struct bc_session *session, int rc)
{
    bc_session_fail(session, rc == -EMSGSIZE ? BC_STATUS_LIMIT : BC_STATUS_INVALID,
                    "a frame is not acceptable (%s)",
                    rc == -EMSGSIZE          ? "too large"
                    : rc == -EPROTONOSUPPORT ? "another protocol version"
                                             : "damaged or not this protocol");
}

static bool may_handle(const struct bc_session *session)
{
    return may_read(session) && session->handled < HANDLED_PER_TURN;
}

/* Handles the messages that were received; false when no more may be received for now. */
static bool take_messages(struct bc_session *session)
{
    struct bc_message message;
    int rc = 0;
    while (may_handle(session) && (rc = bc_channel_next(session->channel, &message)) == 1) {
        session->handled += message.body_len + sizeof(struct bc_wire_frame);
        bc_session_handle(session, &message);
        if (session->state == BC_SESSION_CLOSING) {
            return false;
        }
        if (session->state == BC_SESSION_OPEN) {
            /* A whole message: the time for the next one has not begun. */
            bc_timer_stop(session->worker->loop, &session->timer);
        }
    }
    if (rc < 0) {
        refuse_frame(session, rc);
        return false;
    }
    session->unread = !may_handle(session);
    return !session->unread;
}

static bool take_and_look(struct bc_session *session)
{
    bool more = take_messages(session);
    if (session->state != BC_SESSION_CLOSING) {
        look_at_place(session);
    }
    return more;
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
    session->readable = (size_t)got == len; /* else it is drained, and the link tells of more */
    return take_and_look(session) && may_read(session) && session->readable;
}

/* A client that stops inside a message, or before HELLO, has a deadline; not while it is the agent
 * that reads nothing. */
static void watch_partial(struct bc_session *session)
{
    bool waiting = may_read(session) && (session->state == BC_SESSION_GREETING ||
                                         bc_channel_in_partial(session->channel));
    if (!waiting) {
        bc_timer_stop(session->worker->loop, &session->timer);
    } else if (session->timer.heap_index == UINT32_MAX) {
        bc_timer_start(session->worker->loop, &session->timer,
                       session->worker->limits->hello_timeout_ms * BC_NS_PER_MS);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

static void run_io(struct bc_session *session)
{
    session->handled = 0;
    bool more = !session->unread || take_and_look(session);
    more = more && session->readable && may_read(session);
    for (uint32_t reads = 0; more && reads < READS_PER_TURN; reads++) {
        more = receive(session);
    }
    bool full = false;
    if (session->state == BC_SESSION_CLOSING || !flush(session, &full) || !send_unsent(session)) {
        return;
    }
    watch_partial(session);
    bool reads = may_read(session);
    if (reads && (more || session->unread)) {
        bc_session_schedule_io(session);
    }
    bc_link_start(&session->link, (reads ? POLLIN : 0u) | (full ? POLLOUT : 0u));
}

static void io_task(struct bc_task *task)
{
    struct bc_session *session = BC_CONTAINER_OF(task, struct bc_session, io_task);
    session->io_queued = false;
    if (session->state == BC_SESSION_CLOSING) {
        bc_session_check_closed(session);
        return;
    }
    run_io(session);
}

static void link_ready(struct bc_link *link, uint32_t events)
{
    struct bc_session *session = BC_CONTAINER_OF(link, struct bc_session, link);
    if ((events & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0) {
        session->readable = true;
    }
    if (!session->io_queued) {
        run_io(session);
    }
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

static void send_timer_expired(struct bc_timer *timer)
{
    struct bc_session *session = BC_CONTAINER_OF(timer, struct bc_session, send_timer);
    bc_session_close(session, "it does not take its answers");
}

void bc_session_io_init(struct bc_session *session)
{
    session->io_task.run = io_task;
    bc_timer_init(&session->timer, timer_expired);
    bc_timer_init(&session->send_timer, send_timer_expired);
    bc_link_init(&session->link, session->worker->loop, session->transport, session->conn,
                 link_ready);
}
