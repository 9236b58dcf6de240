/* SPDX-License-Identifier: Apache-2.0 */
/* The transport's twin, over TCP on the loopback: both ends of a connection are the twin's. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "testlib/faulty_transport.h"

#define WAIT_MS  10000
#define DATA_LEN 1000u

static struct bc_faulty_transport twin;
static const struct bc_transport_ops *ops;
static struct bc_listener *listener;
static struct bc_conn *client;
static struct bc_conn *server;
static uint8_t out[DATA_LEN];
static uint8_t in[DATA_LEN];

static void rule(enum bc_faulty_transport_kind kind, enum bc_fault_action action, uint64_t amount)
{
    struct bc_fault_rule one = {
        .kinds = 1u << kind, .first = 1, .action = action, .amount = amount};

    bc_faulty_transport_set(&twin, &one, 1);
}

static bool ready(const struct bc_conn *conn, short events, int wait_ms)
{
    struct pollfd pollfd = {.fd = ops->conn_fd(conn), .events = events};

    return poll(&pollfd, 1, wait_ms) == 1;
}

static struct bc_conn *accept_one(void)
{
    struct pollfd pollfd = {.fd = ops->listener_fd(listener), .events = POLLIN};
    struct bc_conn *conn = NULL;

    assert_int_equal(poll(&pollfd, 1, WAIT_MS), 1);
    assert_int_equal(ops->accept(listener, &conn), 0);
    return conn;
}

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < DATA_LEN; i++) {
        out[i] = (uint8_t)(i * 7);
    }
    memset(in, 0, DATA_LEN);
    bc_faulty_transport_init(&twin, bc_transport_tcp(), 3);
    ops = bc_faulty_transport_ops();
    assert_int_equal(ops->listen("127.0.0.1:0", &listener), 0);
    assert_int_equal(ops->connect(ops->listener_address(listener), WAIT_MS, -1, &client), 0);
    server = accept_one();
    assert_non_null(ops->conn_peer(server));
    assert_int_equal(bc_faulty_transport_conns(&twin), 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ops->close(client);
    ops->close(server);
    ops->close(NULL);
    ops->listener_close(listener);
    assert_int_equal(bc_faulty_transport_conns(&twin), 0);
    bc_faulty_transport_fini(&twin);
    return 0;
}

static int64_t receive(void)
{
    assert_true(ready(server, POLLIN, WAIT_MS));
    return ops->recv(server, in, DATA_LEN);
}

static uint32_t bits_that_differ(uint32_t len)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < len; i++) {
        bits += (uint32_t)__builtin_popcount(in[i] ^ out[i]);
    }
    return bits;
}

static void without_rules_it_is_the_real_one(void **state)
{
    (void)state;
    assert_int_equal(ops->send(client, out, DATA_LEN), DATA_LEN);
    assert_int_equal(receive(), DATA_LEN);
    assert_int_equal(bits_that_differ(DATA_LEN), 0);
    assert_int_equal(ops->recv(server, in, DATA_LEN), -EAGAIN);
    assert_int_equal(bc_faulty_transport_struck(&twin), 0);
    assert_int_equal(bc_faulty_transport_events(&twin), 5);
}

static void calls_take_less_than_they_are_given(void **state)
{
    (void)state;
    rule(BC_FAULTY_SEND, BC_FAULT_SHORT, 10);
    assert_int_equal(ops->send(client, out, DATA_LEN), 10);
    assert_int_equal(ops->send(client, out + 10, DATA_LEN - 10), DATA_LEN - 10);
    rule(BC_FAULTY_RECV, BC_FAULT_SHORT, 0);
    assert_int_equal(receive(), 1);
    assert_int_equal(in[0], out[0]);
}

static void a_bit_goes_wrong_on_the_way(void **state)
{
    (void)state;
    rule(BC_FAULTY_SEND, BC_FAULT_CORRUPT, 0);
    assert_int_equal(ops->send(client, out, DATA_LEN), DATA_LEN);
    assert_int_equal(out[999], (uint8_t)(999 * 7)); /* the caller's own bytes are whole */
    assert_int_equal(receive(), DATA_LEN);
    assert_int_equal(bits_that_differ(DATA_LEN), 1);
    rule(BC_FAULTY_RECV, BC_FAULT_CORRUPT, 0);
    assert_int_equal(ops->send(client, out, DATA_LEN), DATA_LEN);
    assert_int_equal(receive(), DATA_LEN);
    assert_int_equal(bits_that_differ(DATA_LEN), 1);
}

static void not_now_is_said_once_or_often(void **state)
{
    (void)state;
    rule(BC_FAULTY_SEND, BC_FAULT_REFUSE, 0);
    assert_int_equal(ops->send(client, out, DATA_LEN), -EAGAIN);
    assert_int_equal(ops->send(client, out, DATA_LEN), DATA_LEN);
    rule(BC_FAULTY_RECV, BC_FAULT_DELAY, 3);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(receive(), -EAGAIN);
    }
    assert_int_equal(receive(), DATA_LEN);
}

static void a_lost_connection_is_lost_to_both(void **state)
{
    (void)state;
    rule(BC_FAULTY_SEND, BC_FAULT_FAIL, 0);
    assert_int_equal(ops->send(client, out, DATA_LEN), -ECONNRESET);
    assert_int_equal(ops->send(client, out, DATA_LEN), -ECONNRESET);
    assert_int_equal(ops->recv(client, in, DATA_LEN), -ECONNRESET);
    assert_int_equal(receive(), 0);
}

static void a_silent_peer_hears_and_says_nothing(void **state)
{
    uint64_t taken = 0;
    int64_t sent;

    (void)state;
    assert_int_equal(ops->send(client, out, DATA_LEN), DATA_LEN);
    assert_true(ready(server, POLLIN, WAIT_MS));
    rule(BC_FAULTY_SEND, BC_FAULT_VANISH, 0);
    while ((sent = ops->send(server, out, DATA_LEN)) > 0) {
        taken += (uint64_t)sent;
        assert_true(taken < 64 << 20);
    }
    assert_int_equal(sent, -EAGAIN);
    assert_true(taken > 0);
    assert_false(ready(server, POLLIN | POLLOUT, 0)); /* what had come is not seen either */
    assert_int_equal(ops->recv(server, in, DATA_LEN), -EAGAIN);
    assert_false(ready(client, POLLIN, 0));
    bc_faulty_transport_expire(&twin);
    assert_true(ready(server, POLLIN, WAIT_MS));
    assert_int_equal(ops->recv(server, in, DATA_LEN), -ETIMEDOUT);
}

static void connections_are_refused_and_late(void **state)
{
    const char *address = ops->listener_address(listener);
    struct bc_conn *conn = NULL;
    struct bc_conn *other;

    (void)state;
    rule(BC_FAULTY_CONNECT, BC_FAULT_FAIL, 0);
    assert_int_equal(ops->connect(address, WAIT_MS, -1, &conn), -ECONNREFUSED);
    rule(BC_FAULTY_CONNECT, BC_FAULT_REFUSE, 0);
    assert_int_equal(ops->connect(address, WAIT_MS, -1, &conn), -ETIMEDOUT);
    rule(BC_FAULTY_CONNECT, BC_FAULT_DELAY, UINT64_MAX);
    assert_int_equal(ops->connect(address, 1, -1, &conn), -ETIMEDOUT);
    rule(BC_FAULTY_CONNECT, BC_FAULT_DELAY, 1000);
    assert_int_equal(ops->connect(address, WAIT_MS, -1, &conn), 0);
    other = accept_one();
    ops->close(other);
    ops->close(conn);
    rule(BC_FAULTY_CONNECT, BC_FAULT_VANISH, 0);
    assert_int_equal(ops->connect(address, WAIT_MS, -1, &conn), 0);
    other = accept_one();
    assert_int_equal(ops->send(conn, out, 1), 1);
    assert_false(ready(other, POLLIN, 0));
    ops->close(other);
    ops->close(conn);
    assert_int_equal(bc_faulty_transport_conns(&twin), 2);
}

static void accepting_fails_and_waits(void **state)
{
    struct pollfd pollfd = {.fd = ops->listener_fd(listener), .events = POLLIN};
    struct bc_conn *conn;
    struct bc_conn *other;

    (void)state;
    assert_int_equal(ops->connect(ops->listener_address(listener), WAIT_MS, -1, &conn), 0);
    assert_int_equal(poll(&pollfd, 1, WAIT_MS), 1);
    rule(BC_FAULTY_ACCEPT, BC_FAULT_FAIL, 0);
    assert_int_equal(ops->accept(listener, &other), -EMFILE);
    rule(BC_FAULTY_ACCEPT, BC_FAULT_REFUSE, 0);
    assert_int_equal(ops->accept(listener, &other), -EAGAIN);
    assert_int_equal(poll(&pollfd, 1, 0), 1); /* it still waits */
    assert_int_equal(ops->accept(listener, &other), 0);
    ops->close(other);
    ops->close(conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_rules_it_is_the_real_one, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_take_less_than_they_are_given, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bit_goes_wrong_on_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(not_now_is_said_once_or_often, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_connection_is_lost_to_both, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_peer_hears_and_says_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_are_refused_and_late, setup, teardown),
        cmocka_unit_test_setup_teardown(accepting_fails_and_waits, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
