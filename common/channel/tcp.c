/* SPDX-License-Identifier: Apache-2.0 */
/* tcp.c - the transport over TCP; see transport.h.
 * Thread: nothing shared between connections. Memory: one small structure per listener and
 * connection, freed by its close. */
#include "channel/transport.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "channel/address.h"

#define TCP_BACKLOG         1024
#define TCP_ACCEPT_ATTEMPTS 16
#define TCP_CONNECT_MS_MAX  UINT64_C(86400000)

/* A vanished peer: silence for 4 s, then a probe every 2 s; what was sent and not acknowledged for
 * 10 s, data or probe, ends the connection. */
#define TCP_KEEP_IDLE_S     4
#define TCP_KEEP_INTERVAL_S 2
#define TCP_KEEP_PROBES     3
#define TCP_SILENCE_MS_MAX  10000

/* "[v6%interface]:port" */
#define TCP_NAME_LEN (NI_MAXHOST + 16)

struct bc_listener {
    int fd;
    char address[TCP_NAME_LEN];
};

struct bc_conn {
    int fd;
    char peer[TCP_NAME_LEN];
};

static void close_fd(int fd)
{
    /* After EINTR the descriptor is closed on Linux: nothing to repeat. */
    (void)close(fd);
}

static void name_of(const struct sockaddr_storage *address, socklen_t len, char *name_out)
{
    char host[NI_MAXHOST];
    char port[8];

    if (getnameinfo((const struct sockaddr *)address, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(name_out, TCP_NAME_LEN, "unknown");
        return;
    }
    (void)snprintf(name_out, TCP_NAME_LEN, address->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                   host, port);
}

/* Takes over fd, also when it fails. */
static int conn_create(int fd, const struct sockaddr_storage *peer, socklen_t peer_len,
                       struct bc_conn **conn_out)
{
    static const struct {
        int level;
        int name;
        int value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, TCP_KEEP_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, TCP_KEEP_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, TCP_KEEP_PROBES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_SILENCE_MS_MAX},
    };
    struct bc_conn *conn;
    int rc;

    for (size_t i = 0; i < BC_ARRAY_LEN(options); i++) {
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                       sizeof(options[i].value)) != 0) {
            rc = -errno;
            goto err_close;
        }
    }
    conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        rc = -ENOMEM;
        goto err_close;
    }
    conn->fd = fd;
    name_of(peer, peer_len, conn->peer);
    *conn_out = conn;
    return 0;

err_close:
    close_fd(fd);
    return rc;
}

/* unresolved: the error for a name that nobody knows. */
static int resolve(const struct bc_address *address, bool passive, int unresolved,
                   struct addrinfo **list_out)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_protocol = IPPROTO_TCP,
        .ai_flags = AI_NUMERICSERV,
    };
    char port[8];
    int rc;

    if (address->numeric) {
        hints.ai_flags |= AI_NUMERICHOST;
    }
    if (passive) {
        hints.ai_flags |= AI_PASSIVE;
    }
    (void)snprintf(port, sizeof(port), "%u", address->port);
    rc = getaddrinfo(address->host, port, &hints, list_out);
    switch (rc) {
    case 0:
        return 0;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : unresolved;
    default:
        return address->numeric ? -EINVAL : unresolved;
    }
}

static int listen_on(const struct addrinfo *info, int *fd_out)
{
    const int on = 1;
    const int off = 0;
    int rc;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

    if (fd < 0) {
        return -errno;
    }
    /* [::] stands for all addresses of both families, whatever the system's default is. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (info->ai_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
        bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, TCP_BACKLOG) != 0) {
        rc = -errno;
        close_fd(fd);
        return rc;
    }
    *fd_out = fd;
    return 0;
}

static int tcp_listen(const char *text, struct bc_listener **listener_out)
{
    struct bc_address address;
    struct addrinfo *list;
    struct sockaddr_storage name = {0};
    socklen_t name_len = sizeof(name);
    struct bc_listener *listener;
    int rc = bc_address_parse(text, &address);

    if (rc != 0) {
        return rc;
    }
    rc = resolve(&address, true, -EADDRNOTAVAIL, &list);
    if (rc != 0) {
        return rc;
    }
    listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        rc = -ENOMEM;
        goto err_freeaddrinfo;
    }
    /* The first of the name's addresses that is ours. */
    rc = -EADDRNOTAVAIL;
    for (const struct addrinfo *info = list; info != NULL && rc != 0; info = info->ai_next) {
        rc = listen_on(info, &listener->fd);
    }
    if (rc != 0) {
        goto err_free;
    }
    if (getsockname(listener->fd, (struct sockaddr *)&name, &name_len) != 0) {
        rc = -errno;
        goto err_close;
    }
    name_of(&name, name_len, listener->address);
    freeaddrinfo(list);
    *listener_out = listener;
    return 0;

err_close:
    close_fd(listener->fd);
err_free:
    free(listener);
err_freeaddrinfo:
    freeaddrinfo(list);
    return rc;
}

static int tcp_listener_fd(const struct bc_listener *listener)
{
    return listener->fd;
}

static const char *tcp_listener_address(const struct bc_listener *listener)
{
    return listener->address;
}

static int tcp_accept(struct bc_listener *listener, struct bc_conn **conn_out)
{
    for (int i = 0; i < TCP_ACCEPT_ATTEMPTS; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t peer_len = sizeof(peer);
        int fd = accept4(listener->fd, (struct sockaddr *)&peer, &peer_len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            return conn_create(fd, &peer, peer_len, conn_out);
        }
        switch (errno) {
        case EAGAIN:
        case EBADF:
        case EFAULT:
        case EINVAL:
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
        case ENOTSOCK:
        case EPERM:
            return -errno;
        default:
            /* An error of a connection that is gone already, or EINTR: look at the next one. */
            break;
        }
    }
    return -EAGAIN;
}

static void tcp_listener_close(struct bc_listener *listener)
{
    if (listener == NULL) {
        return;
    }
    close_fd(listener->fd);
    free(listener);
}

/* Waits until the connection under way on fd is decided. */
static int connect_wait(int fd, int stop_fd, uint64_t deadline_ns)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT}, {.fd = stop_fd, .events = POLLIN}};
    int error = 0;
    socklen_t error_len = sizeof(error);

    for (;;) {
        uint64_t now_ns = bc_clock_now_ns(bc_clock_monotonic());
        uint64_t left_ms =
            now_ns < deadline_ns ? (deadline_ns - now_ns + BC_NS_PER_MS - 1) / BC_NS_PER_MS : 0;
        int ready = poll(fds, BC_ARRAY_LEN(fds), (int)left_ms);

        if (ready > 0 && fds[1].revents != 0) {
            return -ECANCELED;
        }
        if (ready > 0) {
            break;
        }
        if (ready < 0 && errno != EINTR) {
            return -errno;
        }
        if (ready == 0 && left_ms == 0) {
            return -ETIMEDOUT;
        }
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0) {
        return -errno;
    }
    return -error;
}

/* A free port that is asked for from the very same port answers itself: TCP allows it, and the
 * port would then be taken when its real owner comes back. */
static bool connected_to_itself(int fd)
{
    struct sockaddr_storage own = {0};
    struct sockaddr_storage peer = {0};
    socklen_t own_len = sizeof(own);
    socklen_t peer_len = sizeof(peer);

    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           memcmp(&own, &peer, own_len) == 0;
}

static int connect_to(const struct addrinfo *info, int stop_fd, uint64_t deadline_ns, int *fd_out)
{
    int rc = 0;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, info->ai_addr, info->ai_addrlen) != 0) {
        rc = -errno;
        if (rc == -EINPROGRESS || rc == -EINTR) {
            rc = connect_wait(fd, stop_fd, deadline_ns);
        }
    }
    if (rc == 0 && connected_to_itself(fd)) {
        rc = -ECONNREFUSED;
    }
    if (rc != 0) {
        close_fd(fd);
        return rc;
    }
    *fd_out = fd;
    return 0;
}

/* Of several addresses' errors the one that tells most: somebody answered; nobody answered in
 * time; any other. */
static int telling(int error, int other)
{
    static const int order[] = {-ECONNREFUSED, -ETIMEDOUT};

    for (size_t i = 0; i < BC_ARRAY_LEN(order); i++) {
        if (error == order[i] || other == order[i]) {
            return order[i];
        }
    }
    return other;
}

static int connect_any(const struct addrinfo *list, int stop_fd, uint64_t deadline_ns,
                       struct bc_conn **conn_out)
{
    uint64_t left = 0;
    int rc = 0;

    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        left++;
    }
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next, left--) {
        /* A share for each, so that a first address that swallows everything is not the last. */
        uint64_t now_ns = bc_clock_now_ns(bc_clock_monotonic());
        uint64_t until_ns = now_ns < deadline_ns ? now_ns + (deadline_ns - now_ns) / left : now_ns;
        struct sockaddr_storage peer = {0};
        int fd = -1;
        int error = connect_to(info, stop_fd, until_ns, &fd);

        if (error == 0) {
            memcpy(&peer, info->ai_addr, info->ai_addrlen);
            return conn_create(fd, &peer, info->ai_addrlen, conn_out);
        }
        if (error == -ECANCELED) {
            return error;
        }
        rc = telling(rc, error);
    }
    return rc;
}

static int tcp_connect(const char *text, uint64_t timeout_ms, int stop_fd,
                       struct bc_conn **conn_out)
{
    uint64_t deadline_ns = bc_clock_now_ns(bc_clock_monotonic()) +
                           bc_min_u64(timeout_ms, TCP_CONNECT_MS_MAX) * BC_NS_PER_MS;
    struct bc_address address;
    struct addrinfo *list;
    int rc = bc_address_parse(text, &address);

    if (rc != 0) {
        return rc;
    }
    if (address.port == 0) {
        return -EINVAL;
    }
    rc = resolve(&address, false, -EHOSTUNREACH, &list);
    if (rc != 0) {
        return rc;
    }
    rc = connect_any(list, stop_fd, deadline_ns, conn_out);
    freeaddrinfo(list);
    return rc;
}

static int64_t tcp_send(struct bc_conn *conn, const void *data, size_t len)
{
    ssize_t sent;

    do {
        sent = send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static int64_t tcp_recv(struct bc_conn *conn, void *data, size_t len)
{
    ssize_t got;

    BC_DASSERT(len > 0);
    do {
        got = recv(conn->fd, data, len, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static int tcp_conn_fd(const struct bc_conn *conn)
{
    return conn->fd;
}

static const char *tcp_conn_peer(const struct bc_conn *conn)
{
    return conn->peer;
}

static void tcp_close(struct bc_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    close_fd(conn->fd);
    free(conn);
}

const struct bc_transport_ops *bc_transport_tcp(void)
{
    static const struct bc_transport_ops ops = {
        .name = "tcp",
        .listen = tcp_listen,
        .listener_fd = tcp_listener_fd,
        .listener_address = tcp_listener_address,
        .accept = tcp_accept,
        .listener_close = tcp_listener_close,
        .connect = tcp_connect,
        .send = tcp_send,
        .recv = tcp_recv,
        .conn_fd = tcp_conn_fd,
        .conn_peer = tcp_conn_peer,
        .close = tcp_close,
    };

    return &ops;
}
