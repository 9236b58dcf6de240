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
#include "session/session.h"

#define ACCEPTS_PER_TURN 64
#define PAUSE_NS         (100 * BC_NS_PER_MS)

struct bc_server {
    struct bc_worker *worker;
    const struct bc_transport_ops *transport;
    struct bc_listener *listener;
    struct bc_watch watch;
    struct bc_timer pause;
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

static void hand_over(struct bc_server *server, struct bc_conn *conn)
{
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
    bc_watch_start(&server->watch, 0);
    bc_timer_start(server->worker->loop, &server->pause, PAUSE_NS);
}

/* What is left after so many is told by the watch again. */
static void ready(struct bc_watch *watch, uint32_t events)
{
    struct bc_server *server = BC_CONTAINER_OF(watch, struct bc_server, watch);
    (void)events;
    for (uint32_t i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct bc_conn *conn;
        int rc = server->transport->accept(server->listener, &conn);
        bool taken = rc == 0;
        if (rc == -EMFILE || rc == -ENFILE) {
            rc = accept_to_refuse(server);
        }
        if (rc == -EAGAIN) {
            return;
        }
        if (rc == -ECONNABORTED) {
            continue; /* it left before it was accepted */
        }
        if (rc != 0) {
            pause_accepting(server, rc);
            return;
        }
        if (taken) {
            hand_over(server, conn);
        }
    }
}

static void pause_over(struct bc_timer *timer)
{
    struct bc_server *server = BC_CONTAINER_OF(timer, struct bc_server, pause);
    bc_watch_start(&server->watch, POLLIN);
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
    bc_watch_init(&server->watch, server->worker->loop,
                  server->transport->listener_fd(server->listener), ready);
    bc_watch_start(&server->watch, POLLIN);
}

static void watch_stopped(struct bc_watch *watch)
{
    struct bc_server *server = BC_CONTAINER_OF(watch, struct bc_server, watch);
    server->transport->listener_close(server->listener);
    server->listener = NULL;
    server->stopped(server->stopped_arg);
}

void bc_server_stop(struct bc_server *server, void (*stopped)(void *arg), void *arg)
{
    server->stopped = stopped;
    server->stopped_arg = arg;
    bc_timer_stop(server->worker->loop, &server->pause);
    bc_watch_stop(&server->watch, watch_stopped);
}

void bc_server_destroy(struct bc_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->listener != NULL) {
        server->transport->listener_close(server->listener);
    }
    if (server->spare_fd >= 0) {
        close(server->spare_fd);
    }
    free(server);
}
