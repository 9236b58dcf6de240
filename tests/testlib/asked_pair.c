/* SPDX-License-Identifier: Apache-2.0 */
#include "testlib/asked_pair.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"

struct bc_engine {
    int fd;
    struct bc_list conns;
    uint64_t round; /* of progress */
    uint64_t arms;
    pthread_mutex_t lock; /* of `calling` and `stopped` */
    struct bc_list calling;
    bool stopped;
    struct bc_list waiting; /* seen by progress; to be accepted */
    int error;
    uint32_t errors_left;
};

struct bc_listener {
    struct bc_engine engine;
};

struct bc_conn {
    struct bc_list_node node;
    struct bc_engine *engine;
    int fd;
    size_t arrived; /* bytes that may be received */
    bool ended;     /* the peer closed; after what arrived */
    bool blocked;   /* a send was refused */
    uint64_t round; /* the last that looked at it */
    void (*ready)(void *arg, uint32_t events);
    void *arg;
};

static struct bc_conn *conn_of(struct bc_list_node *node)
{
    return BC_CONTAINER_OF(node, struct bc_conn, node);
}

/* ---- listener ------------------------------------------------------------------------------- */

static int asked_listen(const char *address, struct bc_listener **listener_out)
{
    struct bc_listener *listener;

    if (strcmp(address, "busy") == 0) {
        return -EADDRINUSE;
    }
    listener = calloc(1, sizeof(*listener));
    if (listener == NULL) {
        return -ENOMEM;
    }
    listener->engine.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (listener->engine.fd < 0) {
        int rc = -errno;

        free(listener);
        return rc;
    }
    bc_list_init(&listener->engine.conns);
    bc_list_init(&listener->engine.calling);
    bc_list_init(&listener->engine.waiting);
    pthread_mutex_init(&listener->engine.lock, NULL);
    *listener_out = listener;
    return 0;
}

static int no_fd(const struct bc_listener *listener)
{
    (void)listener;
    return -1;
}

static const char *listener_address(const struct bc_listener *listener)
{
    (void)listener;
    return "asked";
}

static void conn_close(struct bc_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    if (bc_list_linked(&conn->node)) {
        bc_list_remove(&conn->engine->conns, &conn->node);
    }
    (void)close(conn->fd);
    free(conn);
}

static int asked_accept(struct bc_listener *listener, struct bc_conn **conn_out)
{
    struct bc_engine *engine = &listener->engine;
    struct bc_list_node *node;

    if (engine->errors_left > 0) {
        engine->errors_left--;
        return engine->error;
    }
    node = bc_list_pop_front(&engine->waiting);
    if (node == NULL) {
        return -EAGAIN;
    }
    bc_asked_pair_adopt(engine, conn_of(node));
    *conn_out = conn_of(node);
    return 0;
}

static void close_all(struct bc_list *list)
{
    struct bc_list_node *node;

    while ((node = bc_list_pop_front(list)) != NULL) {
        conn_close(conn_of(node));
    }
}

static void listener_stop(struct bc_listener *listener)
{
    pthread_mutex_lock(&listener->engine.lock);
    listener->engine.stopped = true;
    close_all(&listener->engine.calling);
    pthread_mutex_unlock(&listener->engine.lock);
    close_all(&listener->engine.waiting);
}

static void listener_close(struct bc_listener *listener)
{
    if (listener == NULL) {
        return;
    }
    listener_stop(listener);
    BC_ASSERT(bc_list_empty(&listener->engine.conns));
    (void)close(listener->engine.fd);
    pthread_mutex_destroy(&listener->engine.lock);
    free(listener);
}

static struct bc_engine *listener_engine(const struct bc_listener *listener)
{
    return (struct bc_engine *)&listener->engine;
}

/* ---- engine --------------------------------------------------------------------------------- */

/* What came up since the last look. */
static uint32_t look_at(struct bc_conn *conn)
{
    struct pollfd fd = {.fd = conn->fd, .events = POLLIN | POLLOUT};
    uint32_t events = 0;
    int arrived = 0;

    if (poll(&fd, 1, 0) <= 0 || ioctl(conn->fd, FIONREAD, &arrived) != 0) {
        return 0;
    }
    if ((size_t)arrived > conn->arrived) {
        conn->arrived = (size_t)arrived;
        events |= POLLIN;
    }
    if (!conn->ended &&
        ((fd.revents & (POLLHUP | POLLERR)) != 0 || ((fd.revents & POLLIN) != 0 && arrived == 0))) {
        conn->ended = true;
        events |= POLLHUP;
    }
    if (conn->blocked && (fd.revents & POLLOUT) != 0) {
        conn->blocked = false;
        events |= POLLOUT;
    }
    return events;
}

static uint32_t take_calls(struct bc_engine *engine)
{
    struct bc_list_node *node;
    uint64_t count;
    uint32_t done = 0;

    (void)!read(engine->fd, &count, sizeof(count));
    pthread_mutex_lock(&engine->lock);
    while ((node = bc_list_pop_front(&engine->calling)) != NULL) {
        bc_list_push_back(&engine->waiting, node);
        done++;
    }
    pthread_mutex_unlock(&engine->lock);
    return done;
}

/* A callback may close any connection: the list is begun again after each, past those of this
 * round. */
static struct bc_conn *next_of_round(struct bc_engine *engine)
{
    struct bc_list_node *node;

    for (node = bc_list_first(&engine->conns); node != NULL;
         node = bc_list_next(&engine->conns, node)) {
        if (conn_of(node)->round != engine->round) {
            return conn_of(node);
        }
    }
    return NULL;
}

static uint32_t progress(struct bc_engine *engine)
{
    uint32_t done = take_calls(engine);
    struct bc_conn *conn;

    engine->round++;
    while ((conn = next_of_round(engine)) != NULL) {
        uint32_t events = look_at(conn);

        conn->round = engine->round;
        if (events != 0) {
            done++;
            if (conn->ready != NULL) {
                conn->ready(conn->arg, events);
            }
        }
    }
    return done;
}

/* Takes what has come, as a device's last look does: the next progress does not tell of it. */
static bool arm(struct bc_engine *engine)
{
    engine->arms++;
    return take_calls(engine) == 0;
}

static int engine_fd(const struct bc_engine *engine)
{
    return engine->fd;
}

static uint64_t sleep_max_ns(const struct bc_engine *engine)
{
    (void)engine;
    return BC_NS_PER_MS;
}

/* ---- connections ---------------------------------------------------------------------------- */

static int64_t conn_send(struct bc_conn *conn, const void *data, size_t len)
{
    ssize_t sent = send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    conn->blocked = sent < 0 && errno == EAGAIN;
    return sent < 0 ? -errno : sent;
}

static int64_t conn_recv(struct bc_conn *conn, void *data, size_t len)
{
    ssize_t got;

    if (conn->arrived == 0 && !conn->ended) {
        return -EAGAIN;
    }
    got = recv(conn->fd, data, bc_min_u64(len, conn->ended ? len : conn->arrived), MSG_DONTWAIT);
    if (got > 0) {
        conn->arrived -= bc_min_u64(conn->arrived, (uint64_t)got);
    }
    return got < 0 ? -errno : got;
}

static int conn_fd(const struct bc_conn *conn)
{
    (void)conn;
    return -1;
}

static const char *conn_peer(const struct bc_conn *conn)
{
    (void)conn;
    return "asked pair";
}

static struct bc_engine *conn_engine(const struct bc_conn *conn)
{
    return conn->engine;
}

static uint32_t conn_ready(const struct bc_conn *conn)
{
    return (conn->arrived > 0 || conn->ended ? POLLIN : 0u) | (conn->blocked ? 0u : POLLOUT) |
           (conn->ended ? POLLHUP : 0u);
}

static void conn_on_ready(struct bc_conn *conn, void (*ready)(void *arg, uint32_t events),
                          void *arg)
{
    conn->ready = ready;
    conn->arg = arg;
}

const struct bc_transport_ops *bc_transport_asked_pair(void)
{
    static const struct bc_transport_ops ops = {
        .name = "asked pair",
        .listen = asked_listen,
        .listener_fd = no_fd,
        .listener_address = listener_address,
        .accept = asked_accept,
        .listener_close = listener_close,
        .send = conn_send,
        .recv = conn_recv,
        .conn_fd = conn_fd,
        .conn_peer = conn_peer,
        .close = conn_close,
        .listener_engine = listener_engine,
        .conn_engine = conn_engine,
        .progress = progress,
        .arm = arm,
        .engine_fd = engine_fd,
        .sleep_max_ns = sleep_max_ns,
        .conn_ready = conn_ready,
        .conn_on_ready = conn_on_ready,
        .listener_stop = listener_stop,
    };

    return &ops;
}

int bc_asked_pair_open(struct bc_conn **conn_out, int *peer_fd_out)
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

void bc_asked_pair_adopt(struct bc_engine *engine, struct bc_conn *conn)
{
    conn->engine = engine;
    bc_list_push_back(&engine->conns, &conn->node);
}

void bc_asked_pair_call(struct bc_listener *listener, struct bc_conn *conn)
{
    const uint64_t one = 1;
    bool stopped;

    pthread_mutex_lock(&listener->engine.lock);
    stopped = listener->engine.stopped;
    if (!stopped) {
        bc_list_push_back(&listener->engine.calling, &conn->node);
    }
    pthread_mutex_unlock(&listener->engine.lock);
    if (stopped) {
        conn_close(conn);
        return;
    }
    (void)!write(listener->engine.fd, &one, sizeof(one));
}

void bc_asked_pair_fail(struct bc_listener *listener, int error, uint32_t count)
{
    listener->engine.error = error;
    listener->engine.errors_left = count;
}

uint64_t bc_asked_pair_progresses(const struct bc_engine *engine)
{
    return engine->round;
}

uint64_t bc_asked_pair_arms(const struct bc_engine *engine)
{
    return engine->arms;
}

uint32_t bc_asked_pair_conns(const struct bc_engine *engine)
{
    return (uint32_t)engine->conns.count;
}
