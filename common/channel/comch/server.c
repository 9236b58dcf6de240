/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - see internal.h. A listener is an engine whose context is a server of Comch. */
#include "channel/comch/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/comch/compat.h"

/* Messages under way of all connections. */
#define TASKS_WANTED 1024u

static struct bc_engine *engine_of(const struct doca_comch_connection *connection)
{
    union doca_data user_data = {.ptr = NULL};
    struct doca_comch_server *server = doca_comch_server_get_server_ctx(connection);

    if (server == NULL ||
        doca_ctx_get_user_data(doca_comch_server_as_ctx(server), &user_data) != DOCA_SUCCESS) {
        return NULL;
    }
    return user_data.ptr;
}

static void connected_cb(struct doca_comch_event_connection_status_changed *event,
                         struct doca_comch_connection *connection, uint8_t successful)
{
    struct bc_engine *engine = engine_of(connection);
    union doca_data user_data = {.ptr = NULL};
    struct bc_conn *conn;

    (void)event;
    if (successful == 0 || engine == NULL) {
        return;
    }
    conn = bc_comch_conn_create(engine, connection);
    user_data.ptr = conn;
    (void)doca_comch_connection_set_user_data(connection, user_data);
    if (conn == NULL) {
        BC_WARN_LIMITED("comch", "out of memory: nobody answers a client of %s", engine->name);
        (void)doca_comch_server_disconnect(engine->server, connection);
        return;
    }
    if (engine->refuses) {
        conn->phase = BC_COMCH_CLOSED; /* nobody has it; it is turned away by the next progress */
        bc_comch_conn_work(conn);
        return;
    }
    bc_list_push_back(&engine->waiting, &conn->waiting_node);
}

static void disconnected_cb(struct doca_comch_event_connection_status_changed *event,
                            struct doca_comch_connection *connection, uint8_t successful)
{
    struct bc_conn *conn = doca_comch_connection_get_user_data(connection).ptr;

    (void)event;
    (void)successful;
    if (conn == NULL) {
        return;
    }
    conn->doca = NULL;
    if (bc_list_linked(&conn->waiting_node)) {
        bc_comch_conn_detach(conn); /* gone before it was accepted: nobody knows it */
        return;
    }
    bc_comch_conn_lost(conn, -ECONNRESET);
}

static void received_cb(struct doca_comch_event_msg_recv *event, uint8_t *message, uint32_t len,
                        struct doca_comch_connection *connection)
{
    (void)event;
    bc_comch_arrived(doca_comch_connection_get_user_data(connection).ptr, message, len);
}

/* ---- listen -------------------------------------------------------------------------------- */

static doca_error_t configure(struct bc_engine *engine, uint32_t tasks, uint32_t recv_queue)
{
    struct doca_comch_server *server = engine->server;
    doca_error_t error = doca_comch_server_set_max_msg_size(server, engine->message_max);

    if (error == DOCA_SUCCESS) {
        error = doca_comch_server_set_recv_queue_size(server, recv_queue);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_comch_server_task_send_set_conf(server, bc_comch_sent_cb,
                                                     bc_comch_send_failed_cb, tasks);
    }
    if (error == DOCA_SUCCESS) {
        error = doca_comch_server_event_msg_recv_register(server, received_cb);
    }
    if (error == DOCA_SUCCESS) {
        error = bc_doca_register_connections(server, connected_cb, disconnected_cb);
    }
    return error;
}

static int start_failed(const struct bc_engine *engine, doca_error_t error)
{
    /* A name that is taken has no error of its own. */
    int rc = error == DOCA_ERROR_INITIALIZATION ? -EADDRINUSE : bc_comch_errno(error);

    switch (rc) {
    case -EADDRINUSE:
        BC_ERROR("comch",
                 "cannot serve %s (%s): most likely another agent serves this host function under "
                 "the same name; stop it, or choose another name with --service",
                 engine->name, doca_error_get_name(error));
        break;
    case -EACCES:
        BC_ERROR("comch", "no permission to serve %s: run as root or as a member of the group mlnx",
                 engine->name);
        break;
    default:
        BC_ERROR("comch",
                 "cannot serve %s (%s): see that no other agent serves the same name, that DPU and "
                 "host run the same release of DOCA, and dmesg",
                 engine->name, doca_error_get_descr(error));
        break;
    }
    return rc;
}

static int start(struct bc_engine *engine, const char *service)
{
    uint32_t tasks = 0;
    uint32_t recv_queue = 0;
    doca_error_t error;
    int rc = bc_comch_engine_size(engine, TASKS_WANTED, &tasks, &recv_queue);

    if (rc != 0) {
        return rc;
    }
    error = doca_comch_server_create(engine->dev, engine->rep, service, &engine->server);
    if (error != DOCA_SUCCESS) {
        engine->server = NULL;
        return start_failed(engine, error);
    }
    rc = bc_comch_engine_connect(engine, doca_comch_server_as_ctx(engine->server));
    if (rc != 0) {
        return rc;
    }
    error = configure(engine, tasks, recv_queue);
    if (error == DOCA_SUCCESS) {
        error = doca_ctx_start(engine->ctx);
    }
    if (error != DOCA_SUCCESS && error != DOCA_ERROR_IN_PROGRESS) {
        return start_failed(engine, error);
    }
    engine->state = DOCA_CTX_STATE_RUNNING;
    return 0;
}

int bc_comch_listen(const char *text, struct bc_listener **listener_out)
{
    struct bc_listener *listener;
    struct bc_comch_address address;
    struct doca_dev *dev;
    struct doca_dev_rep *rep;
    int rc = bc_comch_address_parse(text, true, &address);

    if (rc != 0) {
        return rc;
    }
    rc = bc_comch_device_open(&address, true, &dev);
    if (rc != 0) {
        return rc;
    }
    rc = bc_comch_rep_open(dev, &address, &rep);
    if (rc != 0) {
        (void)doca_dev_close(dev);
        return rc;
    }
    listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        (void)doca_dev_rep_close(rep);
        (void)doca_dev_close(dev);
        return -ENOMEM;
    }
    (void)snprintf(listener->name, sizeof(listener->name), "comch:%s/%s/%s", address.device,
                   address.rep, address.service);
    rc = bc_comch_engine_create(dev, rep, listener->name, &listener->engine);
    if (rc != 0) {
        free(listener);
        return rc;
    }
    rc = start(listener->engine, address.service);
    if (rc != 0) {
        bc_comch_engine_destroy(listener->engine);
        free(listener);
        return rc;
    }
    *listener_out = listener;
    return 0;
}

/* ---- the rest ------------------------------------------------------------------------------ */

int bc_comch_accept(struct bc_listener *listener, struct bc_conn **conn_out)
{
    struct bc_list_node *node = bc_list_pop_front(&listener->engine->waiting);

    if (node == NULL) {
        return -EAGAIN;
    }
    *conn_out = BC_CONTAINER_OF(node, struct bc_conn, waiting_node);
    return 0;
}

void bc_comch_listener_stop(struct bc_listener *listener)
{
    struct bc_conn *conn;

    listener->engine->refuses = true;
    while (bc_comch_accept(listener, &conn) == 0) {
        conn->leave = true;
        bc_comch_close(conn);
    }
}

/* Connections that their users closed get their time; the others have been lost. */
static bool lingers(const struct bc_engine *engine)
{
    for (struct bc_list_node *node = bc_list_first(&engine->conns); node != NULL;
         node = bc_list_next(&engine->conns, node)) {
        const struct bc_conn *conn = BC_CONTAINER_OF(node, struct bc_conn, node);

        if (conn->phase != BC_COMCH_OPEN || conn->doca != NULL) {
            return true;
        }
    }
    return false;
}

void bc_comch_listener_close(struct bc_listener *listener)
{
    uint64_t until_ns =
        bc_clock_now_ns(bc_clock_monotonic()) + BC_TRANSPORT_LINGER_MS * BC_NS_PER_MS;
    struct bc_engine *engine;

    if (listener == NULL) {
        return;
    }
    engine = listener->engine;
    engine->ending = true;
    bc_comch_listener_stop(listener);
    for (struct bc_list_node *node = bc_list_first(&engine->conns); node != NULL;
         node = bc_list_next(&engine->conns, node)) {
        struct bc_conn *conn = BC_CONTAINER_OF(node, struct bc_conn, node);

        if (conn->phase == BC_COMCH_OPEN) {
            bc_comch_conn_on_ready(conn, NULL, NULL);
            bc_comch_conn_lost(conn, -ECONNRESET);
            conn->leave = true;
            bc_comch_conn_work(conn);
        }
    }
    while (lingers(engine) && bc_clock_now_ns(bc_clock_monotonic()) < until_ns) {
        if (bc_comch_progress(engine) == 0 && lingers(engine)) {
            bc_comch_engine_wait(engine, -1, until_ns);
        }
    }
    bc_comch_engine_destroy(engine);
    free(listener);
}
