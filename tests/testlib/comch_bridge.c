/* SPDX-License-Identifier: Apache-2.0 */
/* comch_bridge - a way from TCP to Comch, for tests that speak the protocol byte by byte.
 *
 *   comch_bridge ADDRESS     ADDRESS: what the transport's connect takes, e.g. comch:/bluecache
 *
 * Listens on a port of 127.0.0.1, says which on stdout, and makes a connection of Comch for each one of
 * TCP; bytes are passed on both ways, no more held than fits the two buffers of a connection. The end of
 * one is the end of the other, after what was sent before it. Ends when stdin does.
 * Threads: one a connection, with its own engine. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "channel/transport.h"

#define BUFFER_LEN ((size_t)16 << 10)
#define STACK_LEN  ((size_t)256 << 10)
#define CONNECT_MS 10000u

static const char *address;

/* Bytes on their way in one direction. */
struct way {
    size_t start;
    size_t end;
    bool ended; /* nothing more comes */
    uint8_t data[BUFFER_LEN];
};

struct bridge {
    int fd;
    const struct bc_transport_ops *transport;
    struct bc_conn *conn;
    struct way there; /* TCP to Comch */
    struct way back;
    bool broken; /* the side of TCP takes nothing any more */
    bool deaf;   /* that of Comch does not; what it said before is still passed on */
};

static int64_t read_from(struct bridge *bridge, bool comch, void *data, size_t len)
{
    if (comch) {
        return bridge->transport->recv(bridge->conn, data, len);
    }
    ssize_t got = recv(bridge->fd, data, len, MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

static int64_t write_to(struct bridge *bridge, bool comch, const void *data, size_t len)
{
    if (comch) {
        return bridge->transport->send(bridge->conn, data, len);
    }
    ssize_t sent = send(bridge->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

/* True when something moved. */
static bool move(struct bridge *bridge, struct way *way, bool to_comch)
{
    bool moved = false;
    if (way->start == way->end && !way->ended) {
        int64_t got = read_from(bridge, !to_comch, way->data, BUFFER_LEN);
        if (got > 0) {
            way->start = 0;
            way->end = (size_t)got;
            moved = true;
        } else if (got != -EAGAIN && got != -EINTR) {
            way->ended = true;
            moved = true;
        }
    }
    if (way->start < way->end) {
        int64_t sent = write_to(bridge, to_comch, way->data + way->start, way->end - way->start);
        if (sent > 0) {
            way->start += (size_t)sent;
            moved = true;
        } else if (sent != -EAGAIN && sent != -EINTR && to_comch) {
            bridge->deaf = true;
        } else if (sent != -EAGAIN && sent != -EINTR) {
            bridge->broken = true;
        }
    }
    return moved;
}

static bool is_over(const struct bridge *bridge)
{
    return bridge->broken ||
           (!bridge->deaf && bridge->there.ended && bridge->there.start == bridge->there.end) ||
           (bridge->back.ended && bridge->back.start == bridge->back.end);
}

static void wait_for_more(struct bridge *bridge, struct bc_engine *engine)
{
    bool reads = !bridge->deaf && bridge->there.start == bridge->there.end && !bridge->there.ended;
    bool writes = bridge->back.start < bridge->back.end;
    struct pollfd fds[2] = {
        {.fd = bridge->fd, .events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0))},
        {.fd = bridge->transport->engine_fd(engine), .events = POLLIN},
    };
    uint64_t sleep_ns = bridge->transport->sleep_max_ns(engine);
    struct timespec timeout = {.tv_sec = (time_t)(sleep_ns / BC_NS_PER_S),
                               .tv_nsec = (long)(sleep_ns % BC_NS_PER_S)};
    (void)ppoll(fds, BC_ARRAY_LEN(fds), &timeout, NULL);
    if (!reads && (fds[0].revents & (POLLHUP | POLLERR)) != 0) {
        bridge->broken = true; /* reset, with bytes on their way */
    }
}

static void pass_on(struct bridge *bridge)
{
    struct bc_engine *engine = bridge->transport->conn_engine(bridge->conn);
    while (!is_over(bridge)) {
        bool moved = bridge->transport->progress(engine) > 0;
        moved |= !bridge->deaf && move(bridge, &bridge->there, true);
        moved |= move(bridge, &bridge->back, false);
        if (!moved && !is_over(bridge) && bridge->transport->arm(engine)) {
            wait_for_more(bridge, engine);
        }
    }
}

static void *bridge_main(void *arg)
{
    struct bridge *bridge = arg;
    int rc = bridge->transport->connect(address, CONNECT_MS, -1, &bridge->conn);
    if (rc == 0) {
        pass_on(bridge);
        bridge->transport->close(bridge->conn);
    } else {
        fprintf(stderr, "comch_bridge: %s: %s\n", address, strerror(-rc));
    }
    close(bridge->fd);
    free(bridge);
    return NULL;
}

static void begin(int fd, const pthread_attr_t *attributes)
{
    const int on = 1;
    pthread_t thread;
    struct bridge *bridge = calloc(1, sizeof(*bridge));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bridge == NULL) {
        close(fd);
        return;
    }
    bridge->fd = fd;
    bridge->transport = bc_transport_comch();
    if (pthread_create(&thread, attributes, bridge_main, bridge) != 0) {
        close(fd);
        free(bridge);
    }
}

static int listen_on_a_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, len) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &len) != 0) {
        perror("comch_bridge");
        exit(EXIT_FAILURE);
    }
    printf("%u\n", ntohs(name.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    pthread_attr_t attributes;
    if (argc != 2) {
        fprintf(stderr, "usage: comch_bridge ADDRESS\n");
        return 2;
    }
    address = argv[1];
    bc_log_set_level(BC_LOG_ERROR);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_LEN);
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = listen_on_a_port(), .events = POLLIN}};
    for (;;) {
        char byte;
        int fd;
        if (poll(fds, BC_ARRAY_LEN(fds), -1) < 0 && errno != EINTR) {
            return EXIT_FAILURE;
        }
        if (fds[0].revents != 0 && read(STDIN_FILENO, &byte, 1) <= 0) {
            _exit(EXIT_SUCCESS); /* connections may be open: their threads are not waited for */
        }
        if ((fds[1].revents & POLLIN) != 0 &&
            (fd = accept4(fds[1].fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
            begin(fd, &attributes);
        }
    }
}
