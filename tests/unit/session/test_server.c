/* SPDX-License-Identifier: Apache-2.0 */
/* The accepting server over a listener that says what the test wants. */
#include "bed.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/server.h"

/* The one listener there is: readable while something waits. */
static struct {
    int fd;
    int error;            /* of the next accepts; 0: connections are handed out */
    uint32_t errors_left; /* that many fail; 0: all, while there is an error */
    uint32_t waiting;
    uint32_t accepts;
    uint32_t closed;
    int peers[8]; /* the clients' ends, in order */
    uint32_t peer_count;
} net;

struct bc_conn {
    int fd;
};

static int net_listen(const char *address, struct bc_listener **listener_out)
{
    (void)listener_out;
    return strcmp(address, "busy") == 0 ? -EADDRINUSE : 0;
}

static int net_listener_fd(const struct bc_listener *listener)
{
    (void)listener;
    return net.fd;
}

static const char *net_listener_address(const struct bc_listener *listener)
{
    (void)listener;
    return "net";
}

static void net_say(uint32_t waiting)
{
    uint64_t count = 1;
    net.waiting = waiting;
    if (waiting > 0) {
        assert_int_equal(write(net.fd, &count, sizeof(count)), sizeof(count));
    } else {
        (void)!read(net.fd, &count, sizeof(count));
    }
}

static int net_accept(struct bc_listener *listener, struct bc_conn **conn_out)
{
    int pair[2];
    (void)listener;
    net.accepts++;
    if (net.error != 0) {
        int error = net.error;
        if (net.errors_left > 0 && --net.errors_left == 0) {
            net.error = 0;
        }
        return error;
    }
    if (net.waiting == 0) {
        return -EAGAIN;
    }
    net_say(net.waiting - 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    net.peers[net.peer_count++] = pair[0];
    *conn_out = malloc(sizeof(**conn_out));
    (*conn_out)->fd = pair[1];
    return 0;
}

static void net_listener_close(struct bc_listener *listener)
{
    (void)listener;
    net.closed++;
}

static int64_t net_send(struct bc_conn *conn, const void *data, size_t len)
{
    ssize_t sent = send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

static int64_t net_recv(struct bc_conn *conn, void *data, size_t len)
{
    ssize_t got = recv(conn->fd, data, len, MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

static int net_conn_fd(const struct bc_conn *conn)
{
    return conn->fd;
}

static const char *net_conn_peer(const struct bc_conn *conn)
{
    (void)conn;
    return "net client";
}

static void net_close(struct bc_conn *conn)
{
    close(conn->fd);
    free(conn);
}

static const struct bc_transport_ops net_ops = {
    .name = "net",
    .listen = net_listen,
    .listener_fd = net_listener_fd,
    .listener_address = net_listener_address,
    .accept = net_accept,
    .listener_close = net_listener_close,
    .send = net_send,
    .recv = net_recv,
    .conn_fd = net_conn_fd,
    .conn_peer = net_conn_peer,
    .close = net_close,
};

static struct bed bed;
static struct bc_server *server;
static uint32_t stops;

static void setup(uint32_t workers)
{
    struct bed_options options = {.workers = workers};
    memset(&net, 0, sizeof(net));
    stops = 0;
    net.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bed_init(&bed, &options);
    assert_int_equal(bc_server_create(bed.peers[0], &net_ops, "net", &server), 0);
    assert_string_equal(bc_server_address(server), "net");
    bc_server_start(server);
    bed_turns(&bed, 5);
}

static void note_stopped(void *arg)
{
    (void)arg;
    stops++;
}

static void teardown(void)
{
    for (uint32_t i = 0; i < net.peer_count; i++) {
        close(net.peers[i]);
    }
    bc_server_stop(server, note_stopped, NULL);
    bed_turns(&bed, 20);
    assert_int_equal(stops, 1);
    assert_int_equal(net.closed, 1);
    bc_server_destroy(server);
    assert_int_equal(net.closed, 1);
    bed_fini(&bed);
    close(net.fd);
}

static void connections_go_to_the_workers_in_turn(void **state)
{
    (void)state;
    setup(2);
    for (int i = 0; i < 5; i++) {
        net_say(1);
        bed_turns(&bed, 10);
    }
    assert_int_equal(bc_sessions_count(bed.workers[0].worker.sessions), 3);
    assert_int_equal(bc_sessions_count(bed.workers[1].worker.sessions), 2);
    teardown();
}

static void failing_accept_pauses_and_goes_on(void **state)
{
    static const int errors[] = {-EMFILE, -ENFILE, -ENOMEM};
    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(errors); i++) {
        setup(1);
        net.error = errors[i];
        net_say(1);
        uint32_t done = 0;
        for (int turn = 0; turn < 200; turn++) {
            done += bed_turn(&bed);
        }
        uint32_t tries = errors[i] == -ENOMEM ? 1 : 2; /* the second with the spare descriptor */
        assert_int_equal(net.accepts, tries);
        assert_true(done < 10); /* no spinning on a listener that stays readable */
        bed_pass(&bed, 250);
        assert_in_range(net.accepts, 2 * tries, 4 * tries);
        assert_int_equal(bed_sessions(&bed), 0);
        net.error = 0;
        bed_pass(&bed, 150);
        assert_int_equal(bed_sessions(&bed), 1);
        teardown();
    }
}

static void connection_without_a_descriptor_is_told_so(void **state)
{
    uint8_t answer[512];
    struct bc_wire_frame frame;
    ssize_t got;
    (void)state;
    setup(1);
    for (uint32_t i = 0; i < 3; i++) {
        net.error = -EMFILE;
        net.errors_left = 1;
        net_say(1);
        bed_turns(&bed, 10);
        assert_int_equal(net.peer_count, i + 1);
        got = recv(net.peers[i], answer, sizeof(answer), MSG_DONTWAIT);
        assert_true(got > (ssize_t)sizeof(frame));
        memcpy(&frame, answer, sizeof(frame));
        assert_int_equal(frame.type, BC_MSG_ERROR);
        assert_int_equal(answer[sizeof(frame)], BC_STATUS_LIMIT);
        assert_int_equal(recv(net.peers[i], answer, 1, MSG_DONTWAIT), 0);
    }
    assert_int_equal(bed_sessions(&bed), 0);
    assert_int_equal(bed_metric(&bed, "bluecache_session_refused_total"), 3);
    net_say(1);
    bed_turns(&bed, 10);
    assert_int_equal(bed_sessions(&bed), 1);
    teardown();
}

static void stops_while_it_pauses(void **state)
{
    (void)state;
    setup(1);
    net.error = -EMFILE;
    net_say(1);
    bed_turns(&bed, 10);
    teardown();
}

static void connection_that_left_is_passed_over(void **state)
{
    (void)state;
    setup(1);
    net.error = -ECONNABORTED;
    net_say(1);
    bed_turns(&bed, 3);
    assert_true(net.accepts >= 1 && net.accepts <= 64 * 3); /* bounded in every turn */
    net.error = 0;
    bed_turns(&bed, 10);
    assert_int_equal(bed_sessions(&bed), 1);
    teardown();
}

static void listen_error_is_passed_on(void **state)
{
    struct bc_server *none = NULL;
    struct bed_options options = {.workers = 1};
    (void)state;
    bed_init(&bed, &options);
    assert_int_equal(bc_server_create(bed.peers[0], &net_ops, "busy", &none), -EADDRINUSE);
    assert_null(none);
    bed_fini(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_go_to_the_workers_in_turn),
        cmocka_unit_test(failing_accept_pauses_and_goes_on),
        cmocka_unit_test(connection_without_a_descriptor_is_told_so),
        cmocka_unit_test(stops_while_it_pauses),
        cmocka_unit_test(connection_that_left_is_passed_over),
        cmocka_unit_test(listen_error_is_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
