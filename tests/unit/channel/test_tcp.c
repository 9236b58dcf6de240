/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp.c - the TCP transport on the loopback. Every wait is a poll with a deadline. */
#include "channel_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "channel/transport.h"

#define WAIT_MS 5000

struct pair {
    struct bc_listener *listener;
    struct bc_conn *client;
    struct bc_conn *server;
};

static const struct bc_transport_ops *tcp(void)
{
    return bc_transport_tcp();
}

static void wait_for(int fd, short events)
{
    struct pollfd pollfd = {.fd = fd, .events = events};

    assert_int_equal(poll(&pollfd, 1, WAIT_MS), 1);
}

static void pair_open(struct pair *pair, const char *address)
{
    assert_int_equal(tcp()->listen(address, &pair->listener), 0);
    assert_int_equal(
        tcp()->connect(tcp()->listener_address(pair->listener), WAIT_MS, -1, &pair->client), 0);
    wait_for(tcp()->listener_fd(pair->listener), POLLIN);
    assert_int_equal(tcp()->accept(pair->listener, &pair->server), 0);
}

static void pair_close(struct pair *pair)
{
    tcp()->close(pair->client);
    tcp()->close(pair->server);
    tcp()->listener_close(pair->listener);
}

static bool have_v6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool have = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return have;
}

static void assert_socket(int fd)
{
    static const struct {
        int level;
        int name;
        int value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 10000},
    };

    for (size_t i = 0; i < BC_ARRAY_LEN(options); i++) {
        int value = 0;
        socklen_t len = sizeof(value);

        assert_int_equal(getsockopt(fd, options[i].level, options[i].name, &value, &len), 0);
        assert_int_equal(value, options[i].value);
    }
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void bytes_go_both_ways(void **state)
{
    struct pair pair;
    char bytes[16];

    (void)state;
    assert_string_equal(tcp()->name, "tcp");
    pair_open(&pair, "127.0.0.1:0");
    assert_socket(tcp()->conn_fd(pair.client));
    assert_socket(tcp()->conn_fd(pair.server));
    assert_int_equal(tcp()->recv(pair.server, bytes, sizeof(bytes)), -EAGAIN);
    assert_int_equal(tcp()->send(pair.client, "ping", 4), 4);
    wait_for(tcp()->conn_fd(pair.server), POLLIN);
    assert_int_equal(tcp()->recv(pair.server, bytes, sizeof(bytes)), 4);
    assert_memory_equal(bytes, "ping", 4);
    assert_int_equal(tcp()->send(pair.server, "pong!", 5), 5);
    wait_for(tcp()->conn_fd(pair.client), POLLIN);
    assert_int_equal(tcp()->recv(pair.client, bytes, 3), 3);
    assert_int_equal(tcp()->recv(pair.client, bytes, sizeof(bytes)), 2);
    pair_close(&pair);
}

static void names_say_who_talks(void **state)
{
    struct pair pair;
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    char text[64];

    (void)state;
    pair_open(&pair, "127.0.0.1:0");
    assert_string_equal(tcp()->conn_peer(pair.client), tcp()->listener_address(pair.listener));
    assert_int_equal(getsockname(tcp()->conn_fd(pair.client), (struct sockaddr *)&own, &len), 0);
    (void)snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(own.sin_port));
    assert_string_equal(tcp()->conn_peer(pair.server), text);
    assert_string_not_equal(tcp()->listener_address(pair.listener), "127.0.0.1:0");
    pair_close(&pair);
}

static void v6_and_names_work(void **state)
{
    struct pair pair;
    char text[64];

    (void)state;
    /* A name may stand for v6 first: the connection then goes on to the next address. */
    assert_int_equal(tcp()->listen("127.0.0.1:0", &pair.listener), 0);
    (void)snprintf(text, sizeof(text), "localhost%s",
                   strrchr(tcp()->listener_address(pair.listener), ':'));
    assert_int_equal(tcp()->connect(text, WAIT_MS, -1, &pair.client), 0);
    tcp()->close(pair.client);
    tcp()->listener_close(pair.listener);
    if (!have_v6()) {
        print_message("no IPv6 here: the rest is passed over\n");
        return;
    }
    pair_open(&pair, "[::1]:0");
    assert_memory_equal(tcp()->listener_address(pair.listener), "[::1]:", 6);
    assert_memory_equal(tcp()->conn_peer(pair.server), "[::1]:", 6);
    pair_close(&pair);
}

static void second_listener_on_a_port_is_refused(void **state)
{
    struct bc_listener *listener;
    struct bc_listener *second = NULL;
    struct bc_conn *conn = NULL;

    (void)state;
    assert_int_equal(tcp()->listen("127.0.0.1:0", &listener), 0);
    assert_int_equal(tcp()->listen(tcp()->listener_address(listener), &second), -EADDRINUSE);
    assert_int_equal(tcp()->accept(listener, &conn), -EAGAIN);
    assert_null(second);
    assert_null(conn);
    tcp()->listener_close(listener);
}

static void port_is_free_again_after_its_connections(void **state)
{
    struct pair pair;
    struct bc_listener *again;
    char address[64];

    (void)state;
    pair_open(&pair, "127.0.0.1:0");
    (void)snprintf(address, sizeof(address), "%s", tcp()->listener_address(pair.listener));
    /* The server's end closes first, so that its port is left in TIME_WAIT. */
    tcp()->close(pair.server);
    pair.server = NULL;
    pair_close(&pair);
    assert_int_equal(tcp()->listen(address, &again), 0);
    tcp()->listener_close(again);
}

static void bad_addresses_are_refused(void **state)
{
    static const char *const texts[] = {"", "127.0.0.1:", "127.0.0.1:x", "1.2.3:4", "[::1", ":1"};
    struct bc_listener *listener = NULL;
    struct bc_conn *conn = NULL;

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(texts); i++) {
        assert_int_equal(tcp()->listen(texts[i], &listener), -EINVAL);
        assert_int_equal(tcp()->connect(texts[i], WAIT_MS, -1, &conn), -EINVAL);
    }
    assert_int_equal(tcp()->connect("127.0.0.1:0", WAIT_MS, -1, &conn), -EINVAL);
    /* An address of the documentation, which is nobody's. */
    assert_int_equal(tcp()->listen("192.0.2.1:0", &listener), -EADDRNOTAVAIL);
    assert_null(listener);
    assert_null(conn);
}

static void nobody_there_is_refused_at_once(void **state)
{
    struct bc_listener *listener;
    struct bc_conn *conn = NULL;
    char address[64];

    (void)state;
    assert_int_equal(tcp()->listen("127.0.0.1:0", &listener), 0);
    (void)snprintf(address, sizeof(address), "%s", tcp()->listener_address(listener));
    tcp()->listener_close(listener);
    assert_int_equal(tcp()->connect(address, WAIT_MS, -1, &conn), -ECONNREFUSED);
    assert_null(conn);
}

#define DEAF_CONNS_MAX  16u
#define DEAF_TIMEOUT_MS 30u

/* A listener that never accepts, with no place left in its backlog, lets a connection hang. */
struct deaf {
    int fd;
    char address[64];
    struct bc_conn *conns[DEAF_CONNS_MAX];
    size_t count;
};

static void deaf_start(struct deaf *deaf)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t name_len = sizeof(name);
    int rc = 0;

    deaf->count = 0;
    deaf->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(deaf->fd >= 0);
    assert_int_equal(bind(deaf->fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(deaf->fd, 0), 0);
    assert_int_equal(getsockname(deaf->fd, (struct sockaddr *)&name, &name_len), 0);
    (void)snprintf(deaf->address, sizeof(deaf->address), "127.0.0.1:%u", ntohs(name.sin_port));
    while (deaf->count < DEAF_CONNS_MAX) {
        rc = tcp()->connect(deaf->address, DEAF_TIMEOUT_MS, -1, &deaf->conns[deaf->count]);
        if (rc != 0) {
            break;
        }
        deaf->count++;
    }
    assert_int_equal(rc, -ETIMEDOUT);
}

static void deaf_stop(struct deaf *deaf)
{
    for (size_t i = 0; i < deaf->count; i++) {
        tcp()->close(deaf->conns[i]);
    }
    close(deaf->fd);
}

static void connect_gives_up_at_its_deadline(void **state)
{
    const struct bc_clock *clock = bc_clock_monotonic();
    uint64_t start_ns;
    struct bc_conn *conn = NULL;
    struct deaf deaf;

    (void)state;
    deaf_start(&deaf);
    start_ns = bc_clock_now_ns(clock);
    assert_int_equal(tcp()->connect(deaf.address, DEAF_TIMEOUT_MS, -1, &conn), -ETIMEDOUT);
    assert_true(bc_clock_now_ns(clock) - start_ns >= DEAF_TIMEOUT_MS * BC_NS_PER_MS);
    assert_true(bc_clock_now_ns(clock) - start_ns < WAIT_MS * BC_NS_PER_MS);
    deaf_stop(&deaf);
}

static void connect_gives_up_when_it_is_told_to(void **state)
{
    struct bc_conn *conn = NULL;
    struct deaf deaf;
    int stop_fd = eventfd(1, EFD_CLOEXEC);

    (void)state;
    assert_true(stop_fd >= 0);
    deaf_start(&deaf);
    assert_int_equal(tcp()->connect(deaf.address, WAIT_MS, stop_fd, &conn), -ECANCELED);
    assert_null(conn);
    deaf_stop(&deaf);
    close(stop_fd);
}

/* On the way to a port that nobody owns, the client's own port comes to be that port sooner or
 * later; nobody must be found there. */
static void free_port_never_answers_itself(void **state)
{
    enum { ATTEMPTS = 40000 };
    struct bc_listener *listener;
    struct bc_conn *conn = NULL;
    char address[64];
    long port;

    (void)state;
    assert_int_equal(tcp()->listen("127.0.0.1:0", &listener), 0);
    port = strtol(strrchr(tcp()->listener_address(listener), ':') + 1, NULL, 10);
    tcp()->listener_close(listener);
    /* Clients get even ports first, listeners odd ones. */
    (void)snprintf(address, sizeof(address), "127.0.0.1:%ld", port & ~1L);
    for (int i = 0; i < ATTEMPTS; i++) {
        if (tcp()->connect(address, WAIT_MS, -1, &conn) != -ECONNREFUSED) {
            fail_msg("attempt %d was not refused", i);
        }
    }
}

static void closed_peer_is_an_end_then_a_broken_pipe(void **state)
{
    struct pair pair;
    char bytes[4];
    int64_t sent = 0;

    (void)state;
    pair_open(&pair, "127.0.0.1:0");
    tcp()->close(pair.server);
    pair.server = NULL;
    wait_for(tcp()->conn_fd(pair.client), POLLIN);
    assert_int_equal(tcp()->recv(pair.client, bytes, sizeof(bytes)), 0);
    /* The first send is answered by a reset, which the next one meets. SIGPIPE would end us. */
    assert_int_equal(tcp()->send(pair.client, "x", 1), 1);
    wait_for(tcp()->conn_fd(pair.client), POLLHUP);
    for (int i = 0; i < 2; i++) {
        sent = tcp()->send(pair.client, "x", 1);
        assert_true(sent == -EPIPE || sent == -ECONNRESET);
    }
    assert_int_equal(sent, -EPIPE);
    pair_close(&pair);
}

static void reset_peer_is_told_from_a_closed_one(void **state)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    struct pair pair;
    char bytes[4];

    (void)state;
    pair_open(&pair, "127.0.0.1:0");
    assert_int_equal(
        setsockopt(tcp()->conn_fd(pair.server), SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    tcp()->close(pair.server);
    pair.server = NULL;
    wait_for(tcp()->conn_fd(pair.client), POLLIN);
    assert_int_equal(tcp()->recv(pair.client, bytes, sizeof(bytes)), -ECONNRESET);
    pair_close(&pair);
}

/* One turn of a side: sends what waits, receives what came. */
static void pump(struct bc_channel *channel, struct bc_conn *conn)
{
    const uint8_t *view;
    uint8_t *room;
    size_t len;
    int64_t moved;

    if (bc_channel_out_peek(channel, &view, &len)) {
        moved = tcp()->send(conn, view, len);
        assert_true(moved > 0 || moved == -EAGAIN);
        bc_channel_out_consume(channel, moved > 0 ? (size_t)moved : 0);
    }
    assert_int_equal(bc_channel_in_space(channel, &room, &len), 0);
    moved = tcp()->recv(conn, room, len);
    assert_true(moved > 0 || moved == -EAGAIN);
    bc_channel_in_commit(channel, moved > 0 ? (size_t)moved : 0);
}

static void channel_over_tcp_carries_large_messages(void **state)
{
    enum { MESSAGES = 5 };
    struct bc_channel *client = channel_new(0, 100000, (size_t)32 << 20);
    struct bc_channel *server = channel_new(0, 0, 0);
    uint64_t deadline_ns = bc_clock_now_ns(bc_clock_monotonic()) + 20 * BC_NS_PER_S;
    uint8_t *body = malloc(BC_MESSAGE_BODY_MAX);
    struct bc_message message;
    uint64_t seen = 0;
    struct pair pair;

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < BC_MESSAGE_BODY_MAX; i++) {
        body[i] = (uint8_t)(i * 3 + (i >> 10));
    }
    pair_open(&pair, "127.0.0.1:0");
    for (uint64_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(bc_channel_send(client, BC_MSG_QUERY, i, body, 1 + 700000 * i), 0);
    }
    while (seen < MESSAGES && bc_clock_now_ns(bc_clock_monotonic()) < deadline_ns) {
        int rc;

        pump(client, pair.client);
        pump(server, pair.server);
        while ((rc = bc_channel_next(server, &message)) == 1) {
            assert_true(message.request_id == seen);
            assert_int_equal(message.body_len, 1 + 700000 * seen);
            assert_memory_equal(message.body, body, message.body_len);
            seen++;
        }
        assert_int_equal(rc, 0);
    }
    assert_int_equal(seen, MESSAGES);
    pair_close(&pair);
    free(body);
    bc_channel_destroy(server);
    bc_channel_destroy(client);
}

static void closing_nothing_does_nothing(void **state)
{
    (void)state;
    tcp()->close(NULL);
    tcp()->listener_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(names_say_who_talks),
        cmocka_unit_test(v6_and_names_work),
        cmocka_unit_test(second_listener_on_a_port_is_refused),
        cmocka_unit_test(port_is_free_again_after_its_connections),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(nobody_there_is_refused_at_once),
        cmocka_unit_test(connect_gives_up_at_its_deadline),
        cmocka_unit_test(connect_gives_up_when_it_is_told_to),
        cmocka_unit_test(free_port_never_answers_itself),
        cmocka_unit_test(closed_peer_is_an_end_then_a_broken_pipe),
        cmocka_unit_test(reset_peer_is_told_from_a_closed_one),
        cmocka_unit_test(channel_over_tcp_carries_large_messages),
        cmocka_unit_test(closing_nothing_does_nothing),
    };

    return cmocka_run_group_tests_name("channel_tcp", tests, NULL, NULL);
}
