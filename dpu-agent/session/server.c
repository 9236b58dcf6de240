/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - see server.h. */
#include "session/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "session/engine_poll.h"
#include "session/session.h"

#define ACCEPTS_PER_TURN 64
#define PAUSE_NS         (100 * BC_NS_PER_MS)

struct bc_server {
    struct bc_worker *worker;
    const struct bc_transport_ops *transport;
    struct bc_listener *listener;
    struct bc_watch watch;      /* of a listener with a descriptor */
    struct bc_engine_poll poll; /* of a listener with an engine */
    struct bc_task task;        /* with an engine: accepts the rest, or `stopped` is due */
    struct bc_timer pause;
    bool polling;
    bool paused;
    bool stopping;
    int spare_fd; /* of nothing: closed when there is no other for a connection to be refused */
    uint32_t next_worker;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* A connection on its way to its worker. */
struct handover {
    struct bc_mail mail;
    struct bc_worker *worker;
    const struct bc_transport_ops *transport;
    struct bc_conn *conn;
};

static void arrive(struct bc_mail *mail)
{
    struct handover *handover = BC_CONTAINER_OF(mail, struct handover, mail);
    bc_sessions_adopt(handover->worker->sessions, handover->transport, handover->conn);
    free(handover);
}

static bool is_asked(const struct bc_server *server)
{
    return server->transport->progress != NULL;
}

static void hand_over(struct bc_server *server, struct bc_conn *conn)
{
    if (is_asked(server)) {
        bc_sessions_adopt(server->worker->sessions, server->transport, conn);
        return;
    }
    struct bc_worker *worker = server->worker->peers[server->next_worker];
    server->next_worker = (server->next_worker + 1) % server->worker->worker_count;
    struct handover *handover = calloc(1, sizeof(*handover));
    if (handover == NULL) {
        bc_sessions_refuse(server->worker->sessions, server->transport, conn,
                           "the agent is out of memory");
        return;
    }
    handover->mail.deliver = arrive;
    handover->worker = worker;
    handover->transport = server->transport;
    handover->conn = conn;
    bc_loop_send(worker->loop, &handover->mail);
}

static void keep_spare(struct bc_server *server)
{
    if (server->spare_fd < 0) {
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

/* accept, with the descriptor that was kept when there is no other; what it returns. */
static int accept_to_refuse(struct bc_server *server)
{
    struct bc_conn *conn;
    if (server->spare_fd < 0) {
        return -EMFILE;
    }
    close(server->spare_fd);
    server->spare_fd = -1;
    int rc = server->transport->accept(server->listener, &conn);
    if (rc == 0) {
        bc_sessions_refuse(server->worker->sessions, server->transport, conn,
                           "the agent has no descriptors left (see --connections-max)");
    }
    keep_spare(server);
    return rc;
}

/* The connection that waits keeps the listener readable: it is not looked at while pausing. */
static void pause_accepting(struct bc_server *server, int rc)
{
    BC_WARN_LIMITED("server", "cannot accept: %s; pausing (raise the limit of open files?)",
                    strerror(-rc));
    server->paused = true;
    if (!is_asked(server)) {
        bc_watch_start(&server->watch, 0);
    }
    bc_timer_start(server->worker->loop, &server->pause, PAUSE_NS);
}

/* False: more may wait. */
static bool accept_some(struct bc_server *server)
{
    for (uint32_t i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct bc_conn *conn;
        int rc = server->transport->accept(server->listener, &conn);
        bool taken = rc == 0;
        if (rc == -EMFILE || rc == -ENFILE) {
            rc = accept_to_refuse(server);
        }
        if (rc == -EAGAIN) {
            return true;
        }
        if (rc == -ECONNABORTED) {
            continue; /* it left before it was accepted */
        }
        if (rc != 0) {
            pause_accepting(server, rc);
            return true;
        }
        if (taken) {
            hand_over(server, conn);
        }
    }
    return false;
}

/* What is left after so many is told by the watch again. */
static void ready(struct bc_watch *watch, uint32_t events)
{
    (void)events;
    (void)accept_some(BC_CONTAINER_OF(watch, struct bc_server, watch));
}

/* An engine tells of a connection once. */
static void accept_asked(struct bc_server *server)
{
    if (!server->paused && !server->stopping && !bc_list_linked(&server->task.node) &&
        !accept_some(server)) {
        bc_loop_defer(server->worker->loop, &server->task);
    }
}

static void progressed(struct bc_engine_poll *poll)
{
    accept_asked(BC_CONTAINER_OF(poll, struct bc_server, poll));
}

static void accept_rest(struct bc_task *task)
{
    accept_asked(BC_CONTAINER_OF(task, struct bc_server, task));
}

static void pause_over(struct bc_timer *timer)
{
    struct bc_server *server = BC_CONTAINER_OF(timer, struct bc_server, pause);
    server->paused = false;
    if (is_asked(server)) {
        accept_asked(server);
    } else {
        bc_watch_start(&server->watch, POLLIN);
    }
}

int bc_server_create(struct bc_worker *worker, const struct bc_transport_ops *transport,
                     const char *address, struct bc_server **server_out)
{
    struct bc_server *server = calloc(1, sizeof(*server));
    if (server == NULL) {
        return -ENOMEM;
    }
    int rc = transport->listen(address, &server->listener);
    if (rc != 0) {
        free(server);
        return rc;
    }
    server->worker = worker;
    server->transport = transport;
    server->task.run = accept_rest;
    bc_timer_init(&server->pause, pause_over);
    server->spare_fd = -1;
    keep_spare(server);
    *server_out = server;
    return 0;
}

const char *bc_server_address(const struct bc_server *server)
{
    return server->transport->listener_address(server->listener);
}

void bc_server_start(struct bc_server *server)
{
    struct bc_loop *loop = server->worker->loop;
    if (is_asked(server)) {
        server->polling = true;
        bc_engine_poll_start(&server->poll, loop, server->transport,
                             server->transport->listener_engine(server->listener), progressed);
        accept_asked(server); /* who came before the engine was asked */
        return;
    }
    bc_watch_init(&server->watch, loop, server->transport->listener_fd(server->listener), ready);
    bc_watch_start(&server->watch, POLLIN);
}

static void close_listener(struct bc_server *server)
{
    server->transport->listener_close(server->listener);
    server->listener = NULL;
}

static void watch_stopped(struct bc_watch *watch)
{
    struct bc_server *server = BC_CONTAINER_OF(watch, struct bc_server, watch);
    close_listener(server);
    server->stopped(server->stopped_arg);
}

static void task_stopped(struct bc_task *task)
{
    struct bc_server *server = BC_CONTAINER_OF(task, struct bc_server, task);
    server->stopped(server->stopped_arg);
}

void bc_server_stop(struct bc_server *server, void (*stopped)(void *arg), void *arg)
{
    struct bc_loop *loop = server->worker->loop;
    server->stopping = true;
    server->stopped = stopped;
    server->stopped_arg = arg;
    bc_timer_stop(loop, &server->pause);
    if (!is_asked(server)) {
        bc_watch_stop(&server->watch, watch_stopped);
        return;
    }
    /* The engine goes on for the sessions. */
    server->transport->listener_stop(server->listener);
    bc_loop_undefer(loop, &server->task);
    server->task.run = task_stopped;
    bc_loop_defer(loop, &server->task);
}

static void server_free(struct bc_server *server)
{
    if (server->listener != NULL) {
        close_listener(server);
    }
    if (server->spare_fd >= 0) {
        close(server->spare_fd);
    }
    free(server);
}

static void poll_stopped(struct bc_engine_poll *poll)
{
    server_free(BC_CONTAINER_OF(poll, struct bc_server, poll));
}

void bc_server_destroy(struct bc_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->polling) {
        bc_timer_stop(server->worker->loop, &server->pause);
        bc_loop_undefer(server->worker->loop, &server->task);
        bc_engine_poll_stop(&server->poll, poll_stopped);
    } else {
        server_free(server);
    }
}
