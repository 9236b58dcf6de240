/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c - see internal.h. What is sent is cut into messages and given to DOCA at once, so nothing
 * but messages under way has to be waited for at the end; what arrived waits in the stream. */
#include "channel/comch/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages of one connection under way: about the window. */
#define IN_FLIGHT_MAX 64u
/* Each connection may have so many whatever the others have, and these are kept for the others. */
#define IN_FLIGHT_FLOOR 2u

/* ---- life ---------------------------------------------------------------------------------- */

struct bc_conn *bc_comch_conn_create(struct bc_engine *engine, struct doca_comch_connection *doca)
{
    struct bc_conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL) {
        return NULL;
    }
    conn->engine = engine;
    conn->doca = doca;
    bc_comch_stream_init(&conn->stream);
    bc_list_push_back(&engine->conns, &conn->node);
    if (engine->server == NULL) {
        (void)snprintf(conn->peer, sizeof(conn->peer), "%s", engine->name);
    } else {
        engine->serial++;
        (void)snprintf(conn->peer, sizeof(conn->peer), "%s#%u", engine->name, engine->serial);
    }
    return conn;
}

static void leave_list(struct bc_list *list, struct bc_list_node *node)
{
    if (bc_list_linked(node)) {
        bc_list_remove(list, node);
    }
}

static void free_conn(struct bc_conn *conn)
{
    bc_comch_stream_fini(&conn->stream);
    free(conn);
}

void bc_comch_conn_detach(struct bc_conn *conn)
{
    struct bc_engine *engine = conn->engine;
    bool waits = bc_list_linked(&conn->waiting_node);

    for (uint32_t i = 0; conn->in_flight > 0 && i < engine->slot_count; i++) {
        if (engine->slots[i].conn == conn) {
            engine->slots[i].conn = NULL;
            conn->in_flight--;
        }
    }
    bc_list_remove(&engine->conns, &conn->node);
    leave_list(&engine->waiting, &conn->waiting_node);
    leave_list(&engine->blocked, &conn->blocked_node);
    leave_list(&engine->work, &conn->work_node);
    leave_list(&engine->touched, &conn->touched_node);
    conn->engine = NULL;
    if (waits || conn->phase != BC_COMCH_OPEN) {
        free_conn(conn);
    }
}

void bc_comch_conn_touch(struct bc_conn *conn, uint32_t events)
{
    if (conn->ready == NULL || conn->phase != BC_COMCH_OPEN || conn->engine == NULL) {
        return;
    }
    conn->events |= events;
    if (!bc_list_linked(&conn->touched_node)) {
        bc_list_push_back(&conn->engine->touched, &conn->touched_node);
    }
}

void bc_comch_conn_work(struct bc_conn *conn)
{
    if (conn->engine != NULL && !bc_list_linked(&conn->work_node)) {
        bc_list_push_back(&conn->engine->work, &conn->work_node);
    }
}

void bc_comch_conn_hang_up(struct bc_conn *conn)
{
    if (!conn->hung_up) {
        conn->hung_up = true;
        bc_comch_conn_touch(conn, POLLIN | POLLHUP);
    }
}

void bc_comch_conn_lost(struct bc_conn *conn, int error)
{
    if (conn->error == 0) {
        conn->error = error;
        bc_comch_conn_hang_up(conn);
        if (conn->phase != BC_COMCH_OPEN) {
            bc_comch_conn_work(conn);
        }
    }
}

/* ---- sending ------------------------------------------------------------------------------- */

/* Data leaves each other connection its floor; a message for the window or the end needs any slot. */
static bool may_take_slot(const struct bc_conn *conn, enum bc_comch_kind kind)
{
    const struct bc_engine *engine = conn->engine;
    size_t free_count = engine->free_slots.count;

    if (engine->full || free_count == 0) {
        return false;
    }
    return kind != BC_COMCH_DATA || conn->in_flight < IN_FLIGHT_FLOOR ||
           (conn->in_flight < IN_FLIGHT_MAX &&
            free_count > IN_FLIGHT_FLOOR * (engine->conns.count - 1));
}

bool bc_comch_conn_can_send(const struct bc_conn *conn)
{
    return conn->error == 0 && !conn->stream.peer_closed && conn->engine != NULL &&
           bc_comch_stream_room(&conn->stream) > 0 && may_take_slot(conn, BC_COMCH_DATA);
}

static doca_error_t alloc_task(struct bc_conn *conn, const struct bc_comch_slot *slot, size_t len,
                               struct doca_comch_task_send **task_out)
{
    struct bc_engine *engine = conn->engine;

    return engine->server != NULL
               ? doca_comch_server_task_send_alloc_init(engine->server, conn->doca, slot->message,
                                                        (uint32_t)len, task_out)
               : doca_comch_client_task_send_alloc_init(engine->client, conn->doca, slot->message,
                                                        (uint32_t)len, task_out);
}

/* 0, -EAGAIN, or an error that ends the connection. */
static int submit(struct bc_conn *conn, struct bc_comch_slot *slot, size_t len)
{
    union doca_data user_data = {.ptr = slot};
    struct doca_comch_task_send *task = NULL;
    doca_error_t error = alloc_task(conn, slot, len, &task);

    if (error == DOCA_SUCCESS) {
        doca_task_set_user_data(doca_comch_task_send_as_task(task), user_data);
        error = doca_task_submit(doca_comch_task_send_as_task(task));
        if (error != DOCA_SUCCESS) {
            doca_task_free(doca_comch_task_send_as_task(task));
        }
    }
    if (error == DOCA_ERROR_NO_MEMORY || error == DOCA_ERROR_AGAIN) {
        conn->engine->full = true;
        return -EAGAIN;
    }
    if (error != DOCA_SUCCESS) {
        BC_DBG("comch", "%s: cannot send: %s", conn->peer, doca_error_get_name(error));
        return -ECONNRESET;
    }
    return 0;
}

/* Sends one message with len bytes of the stream. 0, -EAGAIN, -ECONNRESET. */
static int send_message(struct bc_conn *conn, enum bc_comch_kind kind, const void *data, size_t len)
{
    struct bc_engine *engine = conn->engine;
    struct bc_comch_slot *slot;
    int rc;

    if (!may_take_slot(conn, kind)) {
        return -EAGAIN;
    }
    slot = BC_CONTAINER_OF(bc_list_pop_front(&engine->free_slots), struct bc_comch_slot, node);
    bc_comch_stream_header(&conn->stream, kind, slot->message);
    if (len > 0) {
        memcpy(slot->message + BC_COMCH_HEADER_LEN, data, len);
    }
    rc = submit(conn, slot, BC_COMCH_HEADER_LEN + len);
    if (rc != 0) {
        bc_list_push_front(&engine->free_slots, &slot->node);
        if (rc != -EAGAIN) {
            bc_comch_conn_lost(conn, rc);
        }
        return rc;
    }
    slot->conn = conn;
    conn->in_flight++;
    bc_comch_stream_sent(&conn->stream, len);
    return 0;
}

static void block(struct bc_conn *conn)
{
    if (!bc_list_linked(&conn->blocked_node)) {
        bc_list_push_back(&conn->engine->blocked, &conn->blocked_node);
    }
}

int64_t bc_comch_send(struct bc_conn *conn, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    size_t sent = 0;

    while (sent < len) {
        size_t piece;
        int rc;

        if (conn->error != 0 || conn->stream.peer_closed) {
            return conn->stream.peer_closed ? -EPIPE : -ECONNRESET;
        }
        piece = bc_min_u64(bc_min_u64(len - sent, bc_comch_stream_room(&conn->stream)),
                           conn->engine->message_max - BC_COMCH_HEADER_LEN);
        rc = piece == 0 ? -EAGAIN : send_message(conn, BC_COMCH_DATA, bytes + sent, piece);
        if (rc == -EAGAIN && sent == 0) {
            block(conn);
        }
        if (rc != 0) {
            return sent > 0 ? (int64_t)sent : rc;
        }
        sent += piece;
    }
    return (int64_t)sent;
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void pay_credit(struct bc_conn *conn)
{
    if (conn->error == 0 && conn->engine != NULL && bc_comch_stream_owes(&conn->stream) &&
        send_message(conn, BC_COMCH_CREDIT, NULL, 0) == -EAGAIN) {
        bc_comch_conn_work(conn);
    }
}

int64_t bc_comch_recv(struct bc_conn *conn, void *data, size_t len)
{
    size_t got;

    BC_DASSERT(len > 0);
    got = bc_comch_stream_read(&conn->stream, data, len);
    if (got > 0) {
        pay_credit(conn);
        return (int64_t)got;
    }
    if (conn->stream.peer_closed) {
        return 0;
    }
    return conn->error != 0 ? conn->error : -EAGAIN;
}

uint32_t bc_comch_conn_ready(const struct bc_conn *conn)
{
    bool over = conn->stream.peer_closed || conn->error != 0;
    uint32_t events = conn->stream.len > 0 || over ? POLLIN : 0;

    if (over) {
        events |= POLLHUP;
    } else if (bc_comch_conn_can_send(conn)) {
        events |= POLLOUT;
    }
    return events;
}

void bc_comch_conn_on_ready(struct bc_conn *conn, void (*ready)(void *arg, uint32_t events),
                            void *arg)
{
    conn->ready = ready;
    conn->ready_arg = arg;
    if (ready == NULL) {
        conn->events = 0;
        if (conn->engine != NULL) {
            leave_list(&conn->engine->touched, &conn->touched_node);
        }
    }
}

/* ---- the end ------------------------------------------------------------------------------- */

/* True when DOCA knows the connection no more, so that it can be freed. */
static bool disconnect(struct bc_conn *conn)
{
    union doca_data nobody = {.ptr = NULL};
    doca_error_t error;

    if (conn->doca == NULL || conn->engine->server == NULL) {
        return conn->doca == NULL;
    }
    error = doca_comch_server_disconnect(conn->engine->server, conn->doca);
    if (error == DOCA_ERROR_AGAIN) {
        return false;
    }
    /* Releases differ in whether the callback of a disconnect comes for one's own. */
    (void)doca_comch_connection_set_user_data(conn->doca, nobody);
    conn->doca = NULL;
    return true;
}

/* Of a connection that its user closed: what is left to do at now_ns. */
static void run_closing(struct bc_conn *conn, uint64_t now_ns)
{
    if (conn->phase == BC_COMCH_CLOSING && conn->error == 0 &&
        send_message(conn, BC_COMCH_CLOSE, NULL, 0) == 0) {
        conn->phase = BC_COMCH_CLOSED;
    }
    if (conn->error != 0 || now_ns >= conn->linger_until_ns ||
        (conn->phase == BC_COMCH_CLOSED && conn->in_flight == 0 && conn->stream.peer_closed)) {
        conn->leave = true;
    }
    if (conn->engine->server != NULL && conn->leave && disconnect(conn)) {
        bc_comch_conn_detach(conn);
        return;
    }
    bc_comch_conn_work(conn);
}

void bc_comch_conn_run(struct bc_conn *conn, uint64_t now_ns)
{
    if (conn->phase != BC_COMCH_OPEN) {
        run_closing(conn, now_ns);
    } else if (conn->leave) {
        if (!disconnect(conn) && conn->engine->server != NULL) {
            bc_comch_conn_work(conn);
        }
    } else {
        pay_credit(conn);
    }
}

/* The connection of a client takes its engine with it. */
static void close_client(struct bc_conn *conn)
{
    struct bc_engine *engine = conn->engine;

    while (conn->error == 0 && (conn->phase == BC_COMCH_CLOSING || conn->in_flight > 0) &&
           bc_clock_now_ns(bc_clock_monotonic()) < conn->linger_until_ns) {
        if (bc_comch_progress(engine) == 0 && conn->error == 0 && conn->in_flight > 0) {
            bc_comch_engine_wait(engine, -1, conn->linger_until_ns);
        }
    }
    bc_comch_engine_destroy(engine);
}

void bc_comch_close(struct bc_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    if (conn->engine == NULL) {
        free_conn(conn);
        return;
    }
    bc_comch_conn_on_ready(conn, NULL, NULL);
    leave_list(&conn->engine->blocked, &conn->blocked_node);
    conn->phase = BC_COMCH_CLOSING;
    conn->linger_until_ns =
        bc_clock_now_ns(bc_clock_monotonic()) + BC_TRANSPORT_LINGER_MS * BC_NS_PER_MS;
    if (conn->engine->server == NULL) {
        bc_comch_conn_work(conn);
        close_client(conn);
        return;
    }
    bc_comch_conn_run(conn, 0);
}
