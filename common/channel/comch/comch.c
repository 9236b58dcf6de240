/* SPDX-License-Identifier: Apache-2.0 */
/* comch.c - the table of the transport over Comch; see transport.h and internal.h. */
#include "channel/comch/internal.h"

/* Nothing here can be polled: it has to be asked. */
static int no_listener_fd(const struct bc_listener *listener)
{
    (void)listener;
    return -1;
}

static int no_conn_fd(const struct bc_conn *conn)
{
    (void)conn;
    return -1;
}

static const char *listener_address(const struct bc_listener *listener)
{
    return listener->name;
}

static const char *conn_peer(const struct bc_conn *conn)
{
    return conn->peer;
}

static struct bc_engine *listener_engine(const struct bc_listener *listener)
{
    return listener->engine;
}

static struct bc_engine *conn_engine(const struct bc_conn *conn)
{
    return conn->engine;
}

const struct bc_transport_ops *bc_transport_comch(void)
{
    static const struct bc_transport_ops ops = {
        .name = "comch",
        .listen = bc_comch_listen,
        .listener_fd = no_listener_fd,
        .listener_address = listener_address,
        .accept = bc_comch_accept,
        .listener_close = bc_comch_listener_close,
        .connect = bc_comch_connect,
        .send = bc_comch_send,
        .recv = bc_comch_recv,
        .conn_fd = no_conn_fd,
        .conn_peer = conn_peer,
        .close = bc_comch_close,
        .listener_engine = listener_engine,
        .conn_engine = conn_engine,
        .progress = bc_comch_progress,
        .arm = bc_comch_arm,
        .engine_fd = bc_comch_engine_fd,
        .sleep_max_ns = bc_comch_sleep_max_ns,
        .conn_ready = bc_comch_conn_ready,
        .conn_on_ready = bc_comch_conn_on_ready,
        .listener_stop = bc_comch_listener_stop,
    };

    return &ops;
}
