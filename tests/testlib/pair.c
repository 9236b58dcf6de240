/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/pair.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct bc_conn {
    int fd;
};

static int64_t pair_send(struct bc_conn *conn, const void *data, size_t len)
{
    ssize_t sent = send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    return sent < 0 ? -errno : sent;
}

static int64_t pair_recv(struct bc_conn *conn, void *data, size_t len)
{
    ssize_t got = recv(conn->fd, data, len, MSG_DONTWAIT);

    return got < 0 ? -errno : got;
}

static int pair_fd(const struct bc_conn *conn)
{
    return conn->fd;
}

static const char *pair_peer(const struct bc_conn *conn)
{
    (void)conn;
    return "pair";
}

static void pair_close(struct bc_conn *conn)
{
    if (conn != NULL) {
        (void)close(conn->fd);
        free(conn);
    }
}

const struct bc_transport_ops *bc_transport_pair(void)
{
    static const struct bc_transport_ops ops = {
        .name = "pair",
        .send = pair_send,
        .recv = pair_recv,
        .conn_fd = pair_fd,
        .conn_peer = pair_peer,
        .close = pair_close,
    };

    return &ops;
}

int bc_pair_open(struct bc_conn **conn_out, int *peer_fd_out)
{
    struct bc_conn *conn = calloc(1, sizeof(*conn));
    int pair[2];

    if (conn == NULL) {
        return -ENOMEM;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        int rc = -errno;

        free(conn);
        return rc;
    }
    conn->fd = pair[1];
    *conn_out = conn;
    *peer_fd_out = pair[0];
    return 0;
}
