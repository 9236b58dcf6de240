/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch_life.c - connections over the emulated Comch come and go: addresses and functions,
 * connecting, closing, loss, peers that break the rules, the end of a listener. */
#include "comch_test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doca_comch.h>
#include <doca_ctx.h>
#include <doca_dev.h>
#include <doca_emu.h>
#include <doca_pe.h>

#include "channel/comch_wire.h"

static const struct bc_transport_ops *comch(void)
{
    return bc_transport_comch();
}

/* ---- addresses ----------------------------------------------------------------------------- */

static void bad_addresses_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "test",
        "127.0.0.1:18517",
        "comch:0000:03:00.0/0000:ba:00.0/",
        "comch:0000:03:00.0/0000:ba:00.0/a/b",
        "comch:0000:03:00.0000/0000:ba:00.0/test",
        "comch:0000:03:00.0/0000:ba:00.0/a-name-that-is-longer-than-anybody-would-give-to-a-service",
    };
    struct bc_listener *listener = NULL;
    struct bc_conn *conn = NULL;

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(texts); i++) {
        assert_int_equal(comch()->listen(texts[i], &listener), -EINVAL);
        assert_int_equal(comch()->connect(texts[i], COMCH_WAIT_MS, -1, &conn), -EINVAL);
    }
    assert_null(listener);
    assert_null(conn);
}

static void wrong_functions_are_refused(void **state)
{
    static const struct {
        const char *address;
        int rc;
    } cases[] = {
        {"comch:0000:ba:00.0/0000:ba:00.0/test", -EOPNOTSUPP}, /* a host's function */
        {"comch:0000:77:00.0/0000:ba:00.0/test", -ENODEV},
        {"comch:0000:03:00.0/0000:bb:00.0/test", -ENODEV}, /* nobody's representor */
    };
    struct bc_listener *listener = NULL;
    struct bc_conn *conn = NULL;

    (void)state;
    for (size_t i = 0; i < BC_ARRAY_LEN(cases); i++) {
        assert_int_equal(comch()->listen(cases[i].address, &listener), cases[i].rc);
    }
    assert_int_equal(comch()->connect("comch:0000:03:00.0/test", COMCH_WAIT_MS, -1, &conn),
                     -EOPNOTSUPP);
    assert_int_equal(comch()->connect("comch:0000:77:00.0/test", COMCH_WAIT_MS, -1, &conn),
                     -ENODEV);
    assert_null(listener);
    assert_null(conn);
}

static void parts_that_are_not_given_are_chosen(void **state)
{
    struct comch_bed bed = {.ops = comch()};

    (void)state;
    assert_int_equal(comch()->listen("comch:/", &bed.listener), 0);
    assert_string_equal(comch()->listener_address(bed.listener),
                        "comch:0000:03:00.0/0000:ba:00.0/" BC_COMCH_SERVICE);
    assert_int_equal(comch_connect(&bed, "comch:", COMCH_WAIT_MS, -1, &bed.clients[0]), 0);
    bed.count = 1;
    /* Both spellings of an address name one function. */
    assert_int_equal(
        comch_connect(&bed, "comch:ba:00.0/" BC_COMCH_SERVICE, COMCH_WAIT_MS, -1, &bed.clients[1]),
        0);
    bed.count = 2;
    comch_close(&bed);
}

/* ---- listening and connecting -------------------------------------------------------------- */

static void second_listener_of_a_name_is_refused(void **state)
{
    struct bc_listener *second = NULL;
    struct bc_conn *conn = NULL;
    struct comch_bed bed;

    (void)state;
    comch_open(&bed, 0);
    assert_int_equal(comch()->listen(COMCH_LISTEN, &second), -EADDRINUSE);
    assert_null(second);
    assert_int_equal(comch()->accept(bed.listener, &conn), -EAGAIN);
    assert_null(conn);
    assert_int_equal(comch()->listen(COMCH_LISTEN "2", &second), 0);
    comch()->listener_close(second);
    comch_close(&bed);
    comch_open(&bed, 1); /* the name is free again */
    comch_close(&bed);
}

static void nobody_there_is_refused_at_once(void **state)
{
    struct bc_conn *conn = NULL;
    struct comch_bed bed;

    (void)state;
    assert_int_equal(comch()->connect(COMCH_CONNECT, COMCH_WAIT_MS, -1, &conn), -ECONNREFUSED);
    comch_open(&bed, 1);
    assert_int_equal(comch()->connect(COMCH_CONNECT "x", COMCH_WAIT_MS, -1, &conn), -ECONNREFUSED);
    assert_null(conn);
    comch_close(&bed);
    assert_int_equal(comch()->connect(COMCH_CONNECT, COMCH_WAIT_MS, -1, &conn), -ECONNREFUSED);
}

/* A server that nobody asks answers nobody. */
static void connect_gives_up_at_its_deadline(void **state)
{
    uint64_t start_ns = bc_clock_now_ns(bc_clock_monotonic());
    struct bc_conn *conn = NULL;
    struct comch_bed bed;

    (void)state;
    comch_open(&bed, 0);
    assert_int_equal(comch()->connect(COMCH_CONNECT, 30, -1, &conn), -ETIMEDOUT);
    assert_null(conn);
    assert_true(bc_clock_now_ns(bc_clock_monotonic()) - start_ns >= 30 * BC_NS_PER_MS);
    assert_true(bc_clock_now_ns(bc_clock_monotonic()) - start_ns < COMCH_WAIT_MS * BC_NS_PER_MS);
    comch_close(&bed);
}

static void connect_gives_up_when_it_is_told_to(void **state)
{
    int stop_fd = eventfd(1, EFD_CLOEXEC);
    struct bc_conn *conn = NULL;
    struct comch_bed bed;

    (void)state;
    assert_true(stop_fd >= 0);
    comch_open(&bed, 0);
    assert_int_equal(comch()->connect(COMCH_CONNECT, COMCH_WAIT_MS, stop_fd, &conn), -ECANCELED);
    assert_null(conn);
    comch_close(&bed);
    (void)close(stop_fd);
}

static void many_connections_are_served_side_by_side(void **state)
{
    struct comch_bed bed;

    (void)state;
    comch_open(&bed, 12);
    for (uint32_t i = 0; i < bed.count; i++) {
        comch_move(&bed, bed.clients[i], bed.servers[i], 10000);
        comch_move(&bed, bed.servers[bed.count - 1 - i], bed.clients[bed.count - 1 - i], 10000);
    }
    comch_close(&bed);
}

/* ---- closing ------------------------------------------------------------------------------- */

static void what_was_sent_arrives_before_the_end(void **state)
{
    struct comch_bed bed;
    char bytes[8];

    (void)state;
    comch_open(&bed, 2);
    assert_int_equal(comch()->send(bed.servers[0], "bye", 3), 3);
    comch()->close(bed.servers[0]);
    bed.servers[0] = NULL;
    comch_until_ready(&bed, bed.clients[0], POLLHUP);
    assert_int_equal(comch()->recv(bed.clients[0], bytes, sizeof(bytes)), 3);
    assert_int_equal(comch()->recv(bed.clients[0], bytes, sizeof(bytes)), 0);
    assert_int_equal(comch()->send(bed.clients[0], "x", 1), -EPIPE);

    assert_int_equal(comch()->send(bed.clients[1], "bye!", 4), 4);
    comch()->close(bed.clients[1]);
    bed.clients[1] = NULL;
    comch_until_ready(&bed, bed.servers[1], POLLHUP);
    assert_int_equal(comch()->recv(bed.servers[1], bytes, sizeof(bytes)), 4);
    assert_int_equal(comch()->recv(bed.servers[1], bytes, sizeof(bytes)), 0);
    assert_int_equal(comch()->send(bed.servers[1], "x", 1), -EPIPE);
    comch_close(&bed);
}

/* What a closed connection still gets is nobody's, and bothers nobody. */
static void who_talks_on_is_cut_off(void **state)
{
    struct comch_bed bed;
    int64_t rc = 0;
    uint64_t deadline_ns = bc_clock_now_ns(bc_clock_monotonic()) + COMCH_WAIT_MS * BC_NS_PER_MS;

    (void)state;
    comch_open(&bed, 2);
    comch()->close(bed.servers[0]);
    bed.servers[0] = NULL;
    while (rc >= 0 || rc == -EAGAIN) {
        assert_true(bc_clock_now_ns(bc_clock_monotonic()) < deadline_ns);
        rc = comch()->send(bed.clients[0], "still here", 10);
        (void)comch_turn(&bed);
    }
    assert_int_equal(rc, -EPIPE);
    comch_move(&bed, bed.clients[1], bed.servers[1], 5000);
    comch_close(&bed);
}

static void closing_nothing_does_nothing(void **state)
{
    (void)state;
    comch()->close(NULL);
    comch()->listener_close(NULL);
}

static void who_stops_listening_keeps_its_connections(void **state)
{
    struct bc_conn *late = NULL;
    struct comch_bed bed;
    uint8_t byte;
    int rc;

    (void)state;
    comch_open(&bed, 1);
    /* One that waits to be accepted is turned away as well. */
    assert_int_equal(comch_connect(&bed, COMCH_CONNECT, COMCH_WAIT_MS, -1, &bed.clients[1]), 0);
    bed.count = 2;
    comch()->listener_stop(bed.listener);
    comch_until_ready(&bed, bed.clients[1], POLLHUP);
    assert_true(comch()->recv(bed.clients[1], &byte, 1) <= 0);
    rc = comch_connect(&bed, COMCH_CONNECT, COMCH_WAIT_MS, -1, &late);
    if (rc == 0) { /* it was there for a moment */
        bed.clients[2] = late;
        bed.count = 3;
        comch_until_ready(&bed, late, POLLHUP);
        assert_true(comch()->recv(late, &byte, 1) <= 0);
    } else {
        assert_int_equal(rc, -ECONNREFUSED);
    }
    assert_int_equal(comch()->accept(bed.listener, &late), -EAGAIN);
    comch_move(&bed, bed.clients[0], bed.servers[0], 5000);
    comch_close(&bed);
}

static void the_end_of_a_listener_loses_its_connections(void **state)
{
    struct comch_bed bed;
    uint8_t byte;

    (void)state;
    comch_open(&bed, 2);
    comch()->listener_close(bed.listener);
    bed.listener = NULL;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(comch()->recv(bed.servers[i], &byte, 1), -ECONNRESET);
        assert_int_equal(comch()->send(bed.servers[i], &byte, 1), -ECONNRESET);
        assert_null(comch()->conn_engine(bed.servers[i]));
        comch_until_ready(&bed, bed.clients[i], POLLHUP);
        assert_int_equal(comch()->recv(bed.clients[i], &byte, 1), -ECONNRESET);
    }
    comch_close(&bed);
}

/* ---- loss ---------------------------------------------------------------------------------- */

/* A test that fails leaves nobody behind. */
static void die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(1);
    }
}

/* A client that connects, says one byte and waits to be killed. */
static pid_t spawn_client(void)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        die_with(parent);
        struct bc_conn *conn = NULL;

        if (comch()->connect(COMCH_CONNECT, COMCH_WAIT_MS, -1, &conn) == 0 &&
            comch()->send(conn, "x", 1) == 1) {
            for (;;) {
                (void)comch()->progress(comch()->conn_engine(conn));
                (void)usleep(1000);
            }
        }
        _exit(1);
    }
    return pid;
}

static bool accepted(void *arg)
{
    struct comch_bed *bed = arg;

    return comch()->accept(bed->listener, &bed->servers[0]) == 0;
}

static void killed_client_is_noticed(void **state)
{
    struct comch_bed bed;
    uint8_t byte;
    pid_t pid;

    (void)state;
    comch_open(&bed, 0);
    pid = spawn_client();
    assert_true(pid > 0);
    comch_until(&bed, accepted, &bed);
    bed.count = 1;
    comch_receive(&bed, bed.servers[0], &byte, 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    comch_until_ready(&bed, bed.servers[0], POLLHUP);
    assert_int_equal(comch()->recv(bed.servers[0], &byte, 1), -ECONNRESET);
    assert_int_equal(comch()->send(bed.servers[0], &byte, 1), -ECONNRESET);
    comch_close(&bed);
}

/* Its server serves until it is killed. */
static pid_t spawn_server(void)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == 0) {
        die_with(parent);
        struct bc_listener *listener = NULL;
        struct bc_conn *conn = NULL;

        if (comch()->listen(COMCH_LISTEN, &listener) != 0) {
            _exit(1);
        }
        for (;;) {
            (void)comch()->progress(comch()->listener_engine(listener));
            if (conn == NULL && comch()->accept(listener, &conn) == 0) {
                (void)comch()->send(conn, "x", 1);
            }
            (void)usleep(1000);
        }
    }
    return pid;
}

static void killed_server_is_noticed_and_replaced(void **state)
{
    struct comch_bed bed = {.ops = comch(), .count = 1};
    uint8_t byte;

    (void)state;
    for (int round = 0; round < 2; round++) {
        uint64_t deadline_ns = bc_clock_now_ns(bc_clock_monotonic()) + COMCH_WAIT_MS * BC_NS_PER_MS;
        pid_t pid = spawn_server();
        int rc = -1;

        assert_true(pid > 0);
        while (rc != 0 && bc_clock_now_ns(bc_clock_monotonic()) < deadline_ns) {
            rc = comch()->connect(COMCH_CONNECT, COMCH_WAIT_MS, -1, &bed.clients[0]);
        }
        assert_int_equal(rc, 0);
        comch_receive(&bed, bed.clients[0], &byte, 1);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        comch_until_ready(&bed, bed.clients[0], POLLHUP);
        assert_int_equal(comch()->recv(bed.clients[0], &byte, 1), -ECONNRESET);
        assert_int_equal(comch()->send(bed.clients[0], &byte, 1), -ECONNRESET);
        comch()->close(bed.clients[0]);
        bed.clients[0] = NULL;
    }
}

static void failed_send_is_the_end_of_a_connection(void **state)
{
    struct comch_bed bed;
    uint8_t byte;

    (void)state;
    comch_open(&bed, 2);
    doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_DROP, 1, 0);
    assert_true(comch()->send(bed.clients[0], "x", 1) <= 1);
    comch_until_ready(&bed, bed.clients[0], POLLHUP);
    comch_until_ready(&bed, bed.servers[0], POLLHUP);
    doca_emu_fault_clear_all();
    assert_int_equal(comch()->recv(bed.clients[0], &byte, 1), -ECONNRESET);
    assert_int_equal(comch()->recv(bed.servers[0], &byte, 1), -ECONNRESET);
    comch_move(&bed, bed.clients[1], bed.servers[1], 1000);
    comch_close(&bed);
}

/* ---- peers that break the rules ------------------------------------------------------------ */

/* A client of bare DOCA, which can send anything. */
struct rogue {
    struct doca_dev *dev;
    struct doca_pe *pe;
    struct doca_comch_client *client;
    struct doca_comch_connection *connection;
};

static void rogue_done(struct doca_comch_task_send *task, union doca_data user_data,
                       union doca_data ctx_data)
{
    (void)user_data;
    (void)ctx_data;
    doca_task_free(doca_comch_task_send_as_task(task));
}

static void rogue_received(struct doca_comch_event_msg_recv *event, uint8_t *message, uint32_t len,
                           struct doca_comch_connection *connection)
{
    (void)event;
    (void)message;
    (void)len;
    (void)connection;
}

static enum doca_ctx_states rogue_state(const struct rogue *rogue)
{
    enum doca_ctx_states state = DOCA_CTX_STATE_IDLE;

    assert_int_equal(doca_ctx_get_state(doca_comch_client_as_ctx(rogue->client), &state),
                     DOCA_SUCCESS);
    return state;
}

static void rogue_open(struct comch_bed *bed, struct rogue *rogue)
{
    struct doca_devinfo **list = NULL;
    uint32_t count = 0;

    assert_int_equal(doca_devinfo_create_list(&list, &count), DOCA_SUCCESS);
    for (uint32_t i = 0; i < count; i++) {
        if (doca_comch_cap_client_is_supported(list[i]) == DOCA_SUCCESS) {
            assert_int_equal(doca_dev_open(list[i], &rogue->dev), DOCA_SUCCESS);
            break;
        }
    }
    assert_int_equal(doca_devinfo_destroy_list(list), DOCA_SUCCESS);
    assert_int_equal(doca_pe_create(&rogue->pe), DOCA_SUCCESS);
    assert_int_equal(doca_comch_client_create(rogue->dev, "test", &rogue->client), DOCA_SUCCESS);
    assert_int_equal(doca_pe_connect_ctx(rogue->pe, doca_comch_client_as_ctx(rogue->client)),
                     DOCA_SUCCESS);
    assert_int_equal(doca_comch_client_set_max_msg_size(rogue->client, BC_COMCH_MESSAGE_MAX),
                     DOCA_SUCCESS);
    assert_int_equal(
        doca_comch_client_task_send_set_conf(rogue->client, rogue_done, rogue_done, 128),
        DOCA_SUCCESS);
    assert_int_equal(doca_comch_client_event_msg_recv_register(rogue->client, rogue_received),
                     DOCA_SUCCESS);
    assert_int_equal(doca_ctx_start(doca_comch_client_as_ctx(rogue->client)),
                     DOCA_ERROR_IN_PROGRESS);
    for (uint32_t i = 0; rogue_state(rogue) != DOCA_CTX_STATE_RUNNING; i++) {
        assert_true(i < 10000000);
        if (doca_pe_progress(rogue->pe) == 0 && comch_turn(bed) == 0) {
            comch_rest(bed);
        }
    }
    assert_int_equal(doca_comch_client_get_connection(rogue->client, &rogue->connection),
                     DOCA_SUCCESS);
}

/* Until the server has cut it off. */
static void rogue_close(struct comch_bed *bed, struct rogue *rogue)
{
    for (uint32_t i = 0; rogue_state(rogue) != DOCA_CTX_STATE_IDLE; i++) {
        assert_true(i < 10000000);
        if (doca_pe_progress(rogue->pe) == 0 && comch_turn(bed) == 0) {
            comch_rest(bed);
        }
    }
    assert_int_equal(doca_comch_client_destroy(rogue->client), DOCA_SUCCESS);
    assert_int_equal(doca_pe_destroy(rogue->pe), DOCA_SUCCESS);
    assert_int_equal(doca_dev_close(rogue->dev), DOCA_SUCCESS);
}

static void rogue_send(struct comch_bed *bed, const struct rogue *rogue, const void *message,
                       size_t len)
{
    struct doca_comch_task_send *task = NULL;

    while (rogue_state(rogue) == DOCA_CTX_STATE_RUNNING &&
           doca_comch_client_task_send_alloc_init(rogue->client, rogue->connection, message,
                                                  (uint32_t)len, &task) != DOCA_SUCCESS) {
        (void)doca_pe_progress(rogue->pe);
        (void)comch_turn(bed);
    }
    if (task != NULL && doca_task_submit(doca_comch_task_send_as_task(task)) != DOCA_SUCCESS) {
        doca_task_free(doca_comch_task_send_as_task(task));
    }
}

static void expect_cut_off(struct comch_bed *bed, struct rogue *rogue, int error)
{
    uint8_t bytes[BC_COMCH_MESSAGE_MAX];
    int64_t rc;

    comch_until_ready(bed, bed->servers[1], POLLHUP);
    do {
        rc = comch()->recv(bed->servers[1], bytes, sizeof(bytes));
    } while (rc > 0);
    assert_int_equal(rc, error);
    rogue_close(bed, rogue);
    comch()->close(bed->servers[1]);
    bed->servers[1] = NULL;
    comch_move(bed, bed->clients[0], bed->servers[0], 5000);
}

static bool second_accepted(void *arg)
{
    struct comch_bed *bed = arg;

    return comch()->accept(bed->listener, &bed->servers[1]) == 0;
}

static void who_breaks_the_rules_is_cut_off(void **state)
{
    static const struct {
        const char *message;
        size_t len;
        int error;
    } cases[] = {
        {"x", 1, -EBADMSG},
        {"\2\2\0\0\0\0\0\0", 8, -EPROTONOSUPPORT},
        {"\1\2\0\0\1\0\0\0", 8, -EBADMSG},
    };
    static uint8_t data[BC_COMCH_MESSAGE_MAX] = {1, BC_COMCH_DATA};
    struct comch_bed bed;
    struct rogue rogue;

    (void)state;
    comch_open(&bed, 1);
    for (size_t i = 0; i < BC_ARRAY_LEN(cases); i++) {
        rogue_open(&bed, &rogue);
        comch_until(&bed, second_accepted, &bed);
        rogue_send(&bed, &rogue, cases[i].message, cases[i].len);
        expect_cut_off(&bed, &rogue, cases[i].error);
    }
    /* More than the window. */
    rogue_open(&bed, &rogue);
    comch_until(&bed, second_accepted, &bed);
    for (uint32_t i = 0; i < 2 * BC_COMCH_WINDOW / sizeof(data); i++) {
        rogue_send(&bed, &rogue, data, sizeof(data));
    }
    expect_cut_off(&bed, &rogue, -EMSGSIZE);
    comch_close(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(wrong_functions_are_refused),
        cmocka_unit_test(parts_that_are_not_given_are_chosen),
        cmocka_unit_test(second_listener_of_a_name_is_refused),
        cmocka_unit_test(nobody_there_is_refused_at_once),
        cmocka_unit_test(connect_gives_up_at_its_deadline),
        cmocka_unit_test(connect_gives_up_when_it_is_told_to),
        cmocka_unit_test(many_connections_are_served_side_by_side),
        cmocka_unit_test(what_was_sent_arrives_before_the_end),
        cmocka_unit_test(who_talks_on_is_cut_off),
        cmocka_unit_test(closing_nothing_does_nothing),
        cmocka_unit_test(who_stops_listening_keeps_its_connections),
        cmocka_unit_test(the_end_of_a_listener_loses_its_connections),
        cmocka_unit_test(killed_client_is_noticed),
        cmocka_unit_test(killed_server_is_noticed_and_replaced),
        cmocka_unit_test(failed_send_is_the_end_of_a_connection),
        cmocka_unit_test(who_breaks_the_rules_is_cut_off),
    };

    return cmocka_run_group_tests_name("channel_comch_life", tests, comch_group_setup,
                                       comch_group_teardown);
}
