/* SPDX-License-Identifier: Apache-2.0 */
/* asked_tcp.c - takes the place of the transport over Comch in tests of the library: connections over
 * TCP that have to be asked. What came is seen by progress alone, so a caller that forgets to ask
 * hears nothing. A test runs on it with BLUECACHE_MODE=comch.
 * Address: "comch:PCI_ADDR/port-PORT", of the loopback. Only what a client needs. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "channel/transport.h"

#define SLEEP_MAX_NS (BC_NS_PER_MS / 5)

struct bc_engine {
    struct bc_conn *tcp;
    uint32_t ready; /* as of the last progress */
};

/* A connection and its engine are one. */
static struct bc_engine *engine_of(const struct bc_conn *conn)
{
    return (struct bc_engine *)(uintptr_t)conn;
}

static int asked_connect(const char *address, uint64_t timeout_ms, int stop_fd,
                         struct bc_conn **conn_out)
{
    const char *port = strstr(address, "/port-");
    struct bc_engine *engine = calloc(1, sizeof(*engine));
    char tcp_address[32];
    int rc;

    BC_ASSERT(engine != NULL);
    (void)snprintf(tcp_address, sizeof(tcp_address), "127.0.0.1:%s",
                   port == NULL ? "x" : port + strlen("/port-"));
    rc = bc_transport_tcp()->connect(tcp_address, timeout_ms, stop_fd, &engine->tcp);
    if (rc != 0) {
        free(engine);
        return rc;
    }
    engine->ready = POLLOUT;
    *conn_out = (struct bc_conn *)(void *)engine;
    return 0;
}

static struct bc_engine *asked_conn_engine(const struct bc_conn *conn)
{
    return engine_of(conn);
}

static int asked_engine_fd(const struct bc_engine *engine)
{
    return bc_transport_tcp()->conn_fd(engine->tcp);
}

static uint32_t look(const struct bc_engine *engine, short events)
{
    struct pollfd pollfd = {.fd = asked_engine_fd(engine), .events = events};

    return poll(&pollfd, 1, 0) == 1 ? (uint32_t)pollfd.revents : 0;
}

static uint32_t asked_progress(struct bc_engine *engine)
{
    uint32_t before = engine->ready;

    engine->ready = look(engine, POLLIN | POLLOUT);
    return engine->ready != before ? 1 : 0;
}

static bool asked_arm(struct bc_engine *engine)
{
    return look(engine, POLLIN) == 0;
}

static uint64_t asked_sleep_max_ns(const struct bc_engine *engine)
{
    (void)engine;
    return SLEEP_MAX_NS;
}

static uint32_t asked_conn_ready(const struct bc_conn *conn)
{
    return engine_of(conn)->ready;
}

static int64_t asked_send(struct bc_conn *conn, const void *data, size_t len)
{
    int64_t rc = bc_transport_tcp()->send(engine_of(conn)->tcp, data, len);

    if (rc == -EAGAIN) {
        engine_of(conn)->ready &= ~(uint32_t)POLLOUT;
    }
    return rc;
}

static int64_t asked_recv(struct bc_conn *conn, void *data, size_t len)
{
    struct bc_engine *engine = engine_of(conn);
    int64_t rc = -EAGAIN;

    if ((engine->ready & (POLLIN | POLLHUP | POLLERR)) != 0) {
        rc = bc_transport_tcp()->recv(engine->tcp, data, len);
    }
    if (rc == -EAGAIN || (rc > 0 && (size_t)rc < len)) {
        engine->ready &= ~(uint32_t)POLLIN;
    }
    return rc;
}

static int asked_conn_fd(const struct bc_conn *conn)
{
    (void)conn;
    return -1;
}

static const char *asked_conn_peer(const struct bc_conn *conn)
{
    return bc_transport_tcp()->conn_peer(engine_of(conn)->tcp);
}

static void asked_close(struct bc_conn *conn)
{
    if (conn != NULL) {
        bc_transport_tcp()->close(engine_of(conn)->tcp);
        free(engine_of(conn));
    }
}

const struct bc_transport_ops *bc_transport_comch(void)
{
    static const struct bc_transport_ops ops = {
        .name = "asked",
        .connect = asked_connect,
        .send = asked_send,
        .recv = asked_recv,
        .conn_fd = asked_conn_fd,
        .conn_peer = asked_conn_peer,
        .close = asked_close,
        .conn_engine = asked_conn_engine,
        .progress = asked_progress,
        .arm = asked_arm,
        .engine_fd = asked_engine_fd,
        .sleep_max_ns = asked_sleep_max_ns,
        .conn_ready = asked_conn_ready,
    };

    return &ops;
}
