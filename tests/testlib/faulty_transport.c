/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_transport.c - each connection stands for a real one. A listener is the real one. */
#include "testlib/faulty_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"

/* One call sends at most this much of what it corrupts: it is copied. */
#define CORRUPT_MAX 4096u

struct bc_conn {
    struct bc_list_node node;
    struct bc_faulty_transport *twin;
    const struct bc_transport_ops *ops;
    struct bc_conn *real;
    uint64_t again[2]; /* calls of each kind that are still answered -EAGAIN */
    int error;         /* lost by this; 0: not (atomic: the twin's user may let it expire) */
    int kept_fd;       /* once silent: the socket to the peer, which is still open; else -1 */
    int silent_fd;     /* and the other end of what stands in its place */
};

static struct bc_faulty_transport *chosen; /* atomic: release by choose, acquire by its users */

static struct bc_faulty_transport *current(void)
{
    struct bc_faulty_transport *transport = __atomic_load_n(&chosen, __ATOMIC_ACQUIRE);

    BC_ASSERT(transport != NULL);
    return transport;
}

static struct bc_fault_rule next(struct bc_faulty_transport *twin,
                                 enum bc_faulty_transport_kind kind)
{
    struct bc_fault_rule rule = {.action = BC_FAULT_NONE};
    const struct bc_fault_rule *found;

    pthread_mutex_lock(&twin->lock);
    found = bc_faults_next(&twin->faults, (uint32_t)kind);
    if (found != NULL) {
        rule = *found;
    }
    pthread_mutex_unlock(&twin->lock);
    return rule;
}

static void flip(struct bc_faulty_transport *twin, void *data, size_t len)
{
    uint8_t bit;

    pthread_mutex_lock(&twin->lock);
    (void)bc_faults_flip(&twin->faults, data, len, &bit);
    pthread_mutex_unlock(&twin->lock);
}

static int error_of(const struct bc_fault_rule *rule, int otherwise)
{
    return rule->error != 0 ? rule->error : otherwise;
}

/* ---- connections ---- */

struct bc_conn *bc_faulty_transport_wrap(struct bc_faulty_transport *transport,
                                         struct bc_conn *real)
{
    struct bc_conn *conn = calloc(1, sizeof(*conn));

    BC_ASSERT(conn != NULL);
    *conn = (struct bc_conn){
        .twin = transport, .ops = transport->real, .real = real, .kept_fd = -1, .silent_fd = -1};
    pthread_mutex_lock(&transport->lock);
    bc_list_push_back(&transport->conns, &conn->node);
    pthread_mutex_unlock(&transport->lock);
    return conn;
}

static int64_t lose(struct bc_conn *conn, int error)
{
    __atomic_store_n(&conn->error, error, __ATOMIC_RELEASE);
    /* The peer sees an end, and whoever polls this side is woken. */
    (void)shutdown(conn->ops->conn_fd(conn->real), SHUT_RDWR);
    return error;
}

/* Puts a socket whose other end nobody uses in the place of the connection's own. The peer keeps its
 * connection, as it would when the network between them is cut. */
static void silence(struct bc_conn *conn)
{
    int fd = conn->ops->conn_fd(conn->real);
    int pair[2];

    if (conn->kept_fd >= 0) {
        return;
    }
    pthread_mutex_lock(&conn->twin->lock);
    BC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    conn->kept_fd = dup(fd);
    conn->silent_fd = pair[1];
    BC_ASSERT(conn->kept_fd >= 0 && dup3(pair[0], fd, O_CLOEXEC) == fd);
    (void)close(pair[0]);
    pthread_mutex_unlock(&conn->twin->lock);
}

/* What strikes this call: 1 to go on, or its result. Cuts *len. */
static int64_t strike(struct bc_conn *conn, enum bc_faulty_transport_kind kind,
                      struct bc_fault_rule *rule, size_t *len)
{
    *rule = next(conn->twin, kind);
    if (__atomic_load_n(&conn->error, __ATOMIC_ACQUIRE) != 0) {
        return conn->error;
    }
    if (conn->again[kind] > 0) {
        conn->again[kind]--;
        return -EAGAIN;
    }
    switch (rule->action) {
    case BC_FAULT_FAIL:
        return lose(conn, error_of(rule, -ECONNRESET));
    case BC_FAULT_SHORT:
        *len = (size_t)bc_min_u64(*len, bc_max_u64(rule->amount, 1));
        break;
    case BC_FAULT_DELAY:
        conn->again[kind] = rule->amount;
        return -EAGAIN;
    case BC_FAULT_REFUSE:
        return -EAGAIN;
    case BC_FAULT_VANISH:
        silence(conn);
        break;
    default:
        break;
    }
    return 1;
}

static int64_t faulty_send(struct bc_conn *conn, const void *data, size_t len)
{
    uint8_t wrong[CORRUPT_MAX];
    struct bc_fault_rule rule;
    int64_t rc = strike(conn, BC_FAULTY_SEND, &rule, &len);

    if (rc != 1) {
        return rc;
    }
    if (rule.action == BC_FAULT_CORRUPT) {
        len = bc_min_u64(len, sizeof(wrong));
        memcpy(wrong, data, len);
        flip(conn->twin, wrong, len);
        data = wrong;
    }
    return conn->ops->send(conn->real, data, len);
}

static int64_t faulty_recv(struct bc_conn *conn, void *data, size_t len)
{
    struct bc_fault_rule rule;
    int64_t rc = strike(conn, BC_FAULTY_RECV, &rule, &len);

    if (rc != 1) {
        return rc;
    }
    rc = conn->ops->recv(conn->real, data, len);
    if (rc > 0 && rule.action == BC_FAULT_CORRUPT) {
        flip(conn->twin, data, (size_t)rc);
    }
    return rc;
}

static int faulty_conn_fd(const struct bc_conn *conn)
{
    return conn->ops->conn_fd(conn->real);
}

static const char *faulty_conn_peer(const struct bc_conn *conn)
{
    return conn->ops->conn_peer(conn->real);
}

static void faulty_close(struct bc_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    pthread_mutex_lock(&conn->twin->lock);
    bc_list_remove(&conn->twin->conns, &conn->node);
    pthread_mutex_unlock(&conn->twin->lock);
    conn->ops->close(conn->real);
    if (conn->kept_fd >= 0) {
        (void)close(conn->kept_fd);
        (void)close(conn->silent_fd);
    }
    free(conn);
}

/* ---- making connections ---- */

static int faulty_listen(const char *address, struct bc_listener **listener_out)
{
    return current()->real->listen(address, listener_out);
}

static int faulty_listener_fd(const struct bc_listener *listener)
{
    return current()->real->listener_fd(listener);
}

static const char *faulty_listener_address(const struct bc_listener *listener)
{
    return current()->real->listener_address(listener);
}

static void faulty_listener_close(struct bc_listener *listener)
{
    current()->real->listener_close(listener);
}

static int faulty_accept(struct bc_listener *listener, struct bc_conn **conn_out)
{
    struct bc_faulty_transport *twin = current();
    struct bc_fault_rule rule = next(twin, BC_FAULTY_ACCEPT);
    struct bc_conn *real;
    int rc;

    if (rule.action == BC_FAULT_FAIL) {
        return error_of(&rule, -EMFILE);
    }
    if (rule.action == BC_FAULT_REFUSE || rule.action == BC_FAULT_DELAY) {
        return -EAGAIN;
    }
    rc = twin->real->accept(listener, &real);
    if (rc == 0) {
        *conn_out = bc_faulty_transport_wrap(twin, real);
    }
    return rc;
}

static int faulty_connect(const char *address, uint64_t timeout_ms, int stop_fd,
                          struct bc_conn **conn_out)
{
    struct bc_faulty_transport *twin = current();
    struct bc_fault_rule rule = next(twin, BC_FAULTY_CONNECT);
    uint64_t pause_ms = bc_min_u64(rule.amount / BC_NS_PER_MS, timeout_ms);
    struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
    struct bc_conn *real;
    int rc;

    switch (rule.action) {
    case BC_FAULT_FAIL:
        return error_of(&rule, -ECONNREFUSED);
    case BC_FAULT_REFUSE:
        return -ETIMEDOUT;
    case BC_FAULT_DELAY:
        if (poll(&stop, 1, (int)bc_min_u64(pause_ms, INT32_MAX)) > 0) {
            return -ECANCELED;
        }
        timeout_ms -= pause_ms;
        if (timeout_ms == 0) {
            return -ETIMEDOUT;
        }
        break;
    default:
        break;
    }
    rc = twin->real->connect(address, timeout_ms, stop_fd, &real);
    if (rc == 0) {
        *conn_out = bc_faulty_transport_wrap(twin, real);
    }
    if (rc == 0 && rule.action == BC_FAULT_VANISH) {
        silence(*conn_out);
    }
    return rc;
}

/* ---- the twin ---- */

const struct bc_transport_ops *bc_faulty_transport_ops(void)
{
    static const struct bc_transport_ops ops = {
        .name = "faulty",
        .listen = faulty_listen,
        .listener_fd = faulty_listener_fd,
        .listener_address = faulty_listener_address,
        .accept = faulty_accept,
        .listener_close = faulty_listener_close,
        .connect = faulty_connect,
        .send = faulty_send,
        .recv = faulty_recv,
        .conn_fd = faulty_conn_fd,
        .conn_peer = faulty_conn_peer,
        .close = faulty_close,
    };

    return &ops;
}

void bc_faulty_transport_init(struct bc_faulty_transport *transport,
                              const struct bc_transport_ops *real, uint64_t seed)
{
    memset(transport, 0, sizeof(*transport));
    transport->real = real;
    bc_list_init(&transport->conns);
    (void)pthread_mutex_init(&transport->lock, NULL);
    bc_faults_init(&transport->faults, seed);
    bc_faulty_transport_choose(transport);
}

void bc_faulty_transport_fini(struct bc_faulty_transport *transport)
{
    BC_ASSERT(bc_list_empty(&transport->conns));
    (void)pthread_mutex_destroy(&transport->lock);
}

void bc_faulty_transport_choose(struct bc_faulty_transport *transport)
{
    __atomic_store_n(&chosen, transport, __ATOMIC_RELEASE);
}

void bc_faulty_transport_set(struct bc_faulty_transport *transport,
                             const struct bc_fault_rule *rules, uint32_t count)
{
    pthread_mutex_lock(&transport->lock);
    bc_faults_clear(&transport->faults);
    for (uint32_t i = 0; i < count; i++) {
        bc_faults_add(&transport->faults, rules[i]);
    }
    pthread_mutex_unlock(&transport->lock);
}

void bc_faulty_transport_expire(struct bc_faulty_transport *transport)
{
    struct bc_list_node *node;

    pthread_mutex_lock(&transport->lock);
    for (node = bc_list_first(&transport->conns); node != NULL;
         node = bc_list_next(&transport->conns, node)) {
        struct bc_conn *conn = BC_CONTAINER_OF(node, struct bc_conn, node);
        if (conn->kept_fd >= 0) {
            (void)lose(conn, -ETIMEDOUT);
        }
    }
    pthread_mutex_unlock(&transport->lock);
}

uint64_t bc_faulty_transport_events(struct bc_faulty_transport *transport)
{
    uint64_t events;

    pthread_mutex_lock(&transport->lock);
    events = transport->faults.events;
    pthread_mutex_unlock(&transport->lock);
    return events;
}

uint64_t bc_faulty_transport_struck(struct bc_faulty_transport *transport)
{
    uint64_t struck = 0;

    pthread_mutex_lock(&transport->lock);
    for (uint32_t i = 0; i < BC_FAULT_ACTION_COUNT; i++) {
        struck += transport->faults.struck[i];
    }
    pthread_mutex_unlock(&transport->lock);
    return struck;
}

uint64_t bc_faulty_transport_conns(struct bc_faulty_transport *transport)
{
    uint64_t conns;

    pthread_mutex_lock(&transport->lock);
    conns = transport->conns.count;
    pthread_mutex_unlock(&transport->lock);
    return conns;
}
