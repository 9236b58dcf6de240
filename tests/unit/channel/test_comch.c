/* SPDX-License-Identifier: Apache-2.0 */
/* test_comch.c - the transport over the emulated Comch: bytes, readiness, back-pressure, sleeping.
 * Life and loss of connections are in test_comch_life.c. */
#include "comch_test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <doca_emu.h>

#include "channel/comch_wire.h"

static void bytes_go_both_ways(void **state)
{
    struct comch_bed bed;
    char bytes[16];

    (void)state;
    assert_string_equal(bc_transport_comch()->name, "comch");
    comch_open(&bed, 1);
    assert_int_equal(bed.ops->conn_fd(bed.clients[0]), -1);
    assert_int_equal(bed.ops->listener_fd(bed.listener), -1);
    assert_int_equal(bed.ops->recv(bed.servers[0], bytes, sizeof(bytes)), -EAGAIN);
    assert_int_equal(bed.ops->send(bed.clients[0], "ping", 4), 4);
    comch_until_ready(&bed, bed.servers[0], POLLIN);
    assert_int_equal(bed.ops->recv(bed.servers[0], bytes, sizeof(bytes)), 4);
    assert_memory_equal(bytes, "ping", 4);
    assert_int_equal(bed.ops->send(bed.servers[0], "pong!", 5), 5);
    comch_until_ready(&bed, bed.clients[0], POLLIN);
    assert_int_equal(bed.ops->recv(bed.clients[0], bytes, 3), 3);
    assert_int_equal(bed.ops->recv(bed.clients[0], bytes, sizeof(bytes)), 2);
    comch_close(&bed);
}

static void *connect_main(void *arg)
{
    struct bc_conn **conn = arg;
    assert_int_equal(bc_transport_comch()->connect(COMCH_CONNECT, COMCH_WAIT_MS, -1, conn), 0);
    return NULL;
}

/* A server that turns a client away speaks as soon as it is connected, and closes. */
static void what_is_said_at_once_arrives(void **state)
{
    struct comch_bed bed;

    (void)state;
    comch_open(&bed, 0);
    for (int i = 0; i < 200; i++) {
        struct bc_conn *client = NULL;
        struct bc_conn *server = NULL;
        char bytes[16];
        pthread_t thread;
        int64_t got;

        assert_int_equal(pthread_create(&thread, NULL, connect_main, &client), 0);
        while (bed.ops->accept(bed.listener, &server) != 0) {
            comch_turn(&bed);
        }
        assert_int_equal(bed.ops->send(server, "no", 2), 2);
        bed.ops->close(server);
        comch_turn(&bed);
        assert_int_equal(pthread_join(thread, NULL), 0);
        bed.clients[0] = client;
        bed.count = 1;
        comch_until_ready(&bed, client, POLLIN);
        got = bed.ops->recv(client, bytes, sizeof(bytes));
        assert_int_equal(got, 2);
        assert_memory_equal(bytes, "no", 2);
        bed.ops->close(client);
        bed.clients[0] = NULL;
        bed.count = 0;
    }
    comch_close(&bed);
}

static void names_say_who_talks(void **state)
{
    struct comch_bed bed;

    (void)state;
    comch_open(&bed, 2);
    assert_string_equal(bed.ops->listener_address(bed.listener), COMCH_LISTEN);
    assert_string_equal(bed.ops->conn_peer(bed.clients[0]), COMCH_CONNECT);
    assert_string_equal(bed.ops->conn_peer(bed.servers[0]), COMCH_LISTEN "#1");
    assert_string_equal(bed.ops->conn_peer(bed.servers[1]), COMCH_LISTEN "#2");
    comch_close(&bed);
}

static void long_streams_arrive_whole(void **state)
{
    static const size_t lens[] = {1, BC_COMCH_MESSAGE_MAX - BC_COMCH_HEADER_LEN,
                                  BC_COMCH_MESSAGE_MAX, BC_COMCH_WINDOW, 3 * BC_COMCH_WINDOW + 17};
    struct comch_bed bed;

    (void)state;
    comch_open(&bed, 3);
    for (size_t i = 0; i < BC_ARRAY_LEN(lens); i++) {
        comch_move(&bed, bed.clients[0], bed.servers[0], lens[i]);
        comch_move(&bed, bed.servers[2], bed.clients[2], lens[i]);
    }
    comch_close(&bed);
}

static void a_device_of_small_messages_serves_as_well(void **state)
{
    struct comch_bed bed;

    (void)state;
    assert_int_equal(setenv("DOCA_EMU_COMCH_MAX_MSG", "64", 1), 0);
    assert_int_equal(setenv("DOCA_EMU_COMCH_SEND_TASKS", "3", 1), 0);
    assert_int_equal(setenv("DOCA_EMU_COMCH_RECV_QUEUE", "4", 1), 0);
    comch_open(&bed, 2);
    comch_move(&bed, bed.clients[0], bed.servers[0], 100000);
    comch_move(&bed, bed.servers[1], bed.clients[1], 100000);
    comch_close(&bed);
    assert_int_equal(setenv("DOCA_EMU_COMCH_MAX_MSG", "63", 1), 0);
    assert_int_equal(bed.ops->listen(COMCH_LISTEN, &bed.listener), -EOPNOTSUPP);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_MAX_MSG"), 0);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_SEND_TASKS"), 0);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_RECV_QUEUE"), 0);
}

/* ---- back-pressure ------------------------------------------------------------------------- */

/* Sends until nothing more is taken; the bytes taken. */
static uint64_t fill(struct comch_bed *bed, struct bc_conn *conn)
{
    static uint8_t data[10000];
    uint64_t taken = 0;
    uint32_t quiet = 0;

    while (quiet < 1000) {
        int64_t rc = bed->ops->send(conn, data, sizeof(data));

        assert_true(rc > 0 || rc == -EAGAIN);
        taken += rc > 0 ? (uint64_t)rc : 0;
        quiet = rc > 0 ? 0 : quiet + 1;
        assert_true(taken <= BC_COMCH_WINDOW);
        (void)comch_turn(bed);
    }
    return taken;
}

struct events {
    uint32_t seen;
    uint32_t calls;
};

static void note(void *arg, uint32_t seen)
{
    struct events *events = arg;

    events->seen |= seen;
    events->calls++;
}

static bool saw_room(void *arg)
{
    return (((const struct events *)arg)->seen & POLLOUT) != 0;
}

static void who_does_not_read_holds_up_only_itself(void **state)
{
    struct events events = {0};
    struct comch_bed bed;
    uint8_t *data = malloc(BC_COMCH_WINDOW);

    (void)state;
    assert_non_null(data);
    comch_open(&bed, 2);
    bed.ops->conn_on_ready(bed.servers[0], note, &events);
    assert_int_equal(fill(&bed, bed.servers[0]), BC_COMCH_WINDOW);
    assert_int_equal(bed.ops->conn_ready(bed.servers[0]) & POLLOUT, 0);
    assert_int_equal(events.seen & POLLOUT, 0);
    comch_move(&bed, bed.servers[1], bed.clients[1], 100000);
    comch_receive(&bed, bed.clients[0], data, BC_COMCH_WINDOW);
    comch_until(&bed, saw_room, &events);
    assert_true((bed.ops->conn_ready(bed.servers[0]) & POLLOUT) != 0);
    assert_true(fill(&bed, bed.servers[0]) > 0);
    comch_close(&bed);
    free(data);
}

/* DOCA takes none, or has no task, every now and then: nothing is lost and nothing doubled. */
static void refused_sends_are_tried_again(void **state)
{
    struct comch_bed bed;

    (void)state;
    comch_open(&bed, 1);
    doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_SEND_AGAIN, 1, 3);
    comch_move(&bed, bed.clients[0], bed.servers[0], 1000000);
    doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_SEND_AGAIN, 0, 0);
    doca_emu_fault_set(DOCA_EMU_FAULT_COMCH_TASK_NO_MEMORY, 1, 5);
    comch_move(&bed, bed.servers[0], bed.clients[0], 1000000);
    doca_emu_fault_clear_all();
    comch_close(&bed);
}

/* ---- readiness ----------------------------------------------------------------------------- */

static bool was_called(void *arg)
{
    return ((const struct events *)arg)->calls > 0;
}

static void bytes_are_told_each_time_they_come(void **state)
{
    struct events events = {0};
    struct comch_bed bed;

    (void)state;
    comch_open(&bed, 1);
    bed.ops->conn_on_ready(bed.servers[0], note, &events);
    for (int i = 0; i < 3; i++) { /* also while the first are not read */
        events = (struct events){0};
        assert_int_equal(bed.ops->send(bed.clients[0], "x", 1), 1);
        comch_until(&bed, was_called, &events);
        assert_int_equal(events.seen, POLLIN);
        assert_int_equal(events.calls, 1);
    }
    bed.ops->conn_on_ready(bed.servers[0], NULL, NULL);
    events = (struct events){0};
    assert_int_equal(bed.ops->send(bed.clients[0], "x", 1), 1);
    for (int i = 0; i < 100; i++) {
        (void)comch_turn(&bed);
    }
    assert_int_equal(events.calls, 0);
    assert_true((bed.ops->conn_ready(bed.servers[0]) & POLLIN) != 0);
    comch_close(&bed);
}

struct closer {
    struct comch_bed *bed;
    uint32_t index;
    bool closed;
};

/* Closes its own connection and the next one. */
static void close_two(void *arg, uint32_t seen)
{
    struct closer *closer = arg;
    struct comch_bed *bed = closer->bed;

    (void)seen;
    assert_false(closer->closed);
    closer->closed = true;
    for (uint32_t i = closer->index; i <= closer->index + 1; i++) {
        bed->ops->close(bed->servers[i]);
        bed->servers[i] = NULL;
    }
}

static bool closer_closed(void *arg)
{
    return ((const struct closer *)arg)->closed;
}

static void connections_may_be_closed_by_who_is_told(void **state)
{
    struct comch_bed bed;
    struct closer closers[2];
    uint8_t byte;

    (void)state;
    comch_open(&bed, 4);
    for (uint32_t i = 0; i < 2; i++) {
        closers[i] = (struct closer){.bed = &bed, .index = 2 * i};
        bed.ops->conn_on_ready(bed.servers[2 * i], close_two, &closers[i]);
    }
    for (uint32_t i = 0; i < 4; i++) { /* all are told in one progress, or not any more */
        assert_int_equal(bed.ops->send(bed.clients[i], "x", 1), 1);
    }
    comch_until(&bed, closer_closed, &closers[0]);
    comch_until(&bed, closer_closed, &closers[1]);
    for (uint32_t i = 0; i < 4; i++) {
        comch_until_ready(&bed, bed.clients[i], POLLHUP);
        assert_int_equal(bed.ops->recv(bed.clients[i], &byte, 1), 0);
    }
    comch_close(&bed);
}

/* ---- sleeping ------------------------------------------------------------------------------ */

/* Both sides sleep until their descriptors say something; the message is found after it. */
static void sleeper_is_woken_by_a_message(void **state)
{
    struct comch_bed bed;
    struct bc_engine *engine;
    struct pollfd pollfd = {.events = POLLIN};
    uint8_t byte;
    uint32_t tries = 0;

    (void)state;
    comch_open(&bed, 1);
    engine = bed.ops->listener_engine(bed.listener);
    pollfd.fd = bed.ops->engine_fd(engine);
    for (int i = 0; i < 20; i++) {
        while (!bed.ops->arm(engine)) {
            (void)comch_turn(&bed);
            assert_true(++tries < 100000);
        }
        assert_true(bed.ops->sleep_max_ns(engine) > 0);
        assert_true(bed.ops->sleep_max_ns(engine) <= BC_NS_PER_MS);
        assert_int_equal(bed.ops->send(bed.clients[0], "x", 1), 1);
        (void)bed.ops->progress(bed.ops->conn_engine(bed.clients[0]));
        assert_int_equal(poll(&pollfd, 1, COMCH_WAIT_MS), 1);
        comch_until_ready(&bed, bed.servers[0], POLLIN);
        assert_int_equal(bed.ops->recv(bed.servers[0], &byte, 1), 1);
    }
    /* It told every time: there is no need to look more often any more. */
    assert_int_equal(bed.ops->sleep_max_ns(engine), BC_NS_PER_MS);
    comch_close(&bed);
}

static void nobody_sleeps_over_what_is_there(void **state)
{
    struct events events = {0};
    struct comch_bed bed;
    struct bc_engine *engine;
    uint32_t tries = 0;

    (void)state;
    comch_open(&bed, 1);
    engine = bed.ops->listener_engine(bed.listener);
    bed.ops->conn_on_ready(bed.servers[0], note, &events);
    assert_int_equal(bed.ops->send(bed.clients[0], "x", 1), 1);
    (void)bed.ops->progress(bed.ops->conn_engine(bed.clients[0]));
    while (bed.ops->arm(engine)) { /* the message is on its way */
        assert_true(++tries < 10000000);
    }
    assert_false(bed.ops->arm(engine)); /* it was handled, and not told yet */
    assert_int_equal(events.calls, 0);
    assert_true(bed.ops->progress(engine) > 0);
    assert_int_equal(events.seen, POLLIN);
    comch_close(&bed);
}

/* Some releases of DOCA signal nothing for Comch. */
static void silent_descriptor_is_no_obstacle(void **state)
{
    struct comch_bed bed;

    (void)state;
    assert_int_equal(setenv("DOCA_EMU_COMCH_NO_EVENTS", "1", 1), 0);
    comch_open(&bed, 1);
    comch_move(&bed, bed.clients[0], bed.servers[0], 600000);
    comch_close(&bed);
    assert_int_equal(unsetenv("DOCA_EMU_COMCH_NO_EVENTS"), 0);
}

/* ---- the channel on it --------------------------------------------------------------------- */

static void pump(struct comch_bed *bed, struct bc_channel *channel, struct bc_conn *conn)
{
    const uint8_t *view;
    uint8_t *room;
    size_t len;
    int64_t moved;

    if (bc_channel_out_peek(channel, &view, &len)) {
        moved = bed->ops->send(conn, view, len);
        assert_true(moved > 0 || moved == -EAGAIN);
        bc_channel_out_consume(channel, moved > 0 ? (size_t)moved : 0);
    }
    (void)comch_turn(bed);
    assert_int_equal(bc_channel_in_space(channel, &room, &len), 0);
    moved = bed->ops->recv(conn, room, len);
    assert_true(moved > 0 || moved == -EAGAIN);
    bc_channel_in_commit(channel, moved > 0 ? (size_t)moved : 0);
}

static void channel_over_comch_carries_large_messages(void **state)
{
    enum { MESSAGES = 5 };
    struct bc_channel *client = channel_new(0, 100000, (size_t)32 << 20);
    struct bc_channel *server = channel_new(0, 0, 0);
    uint64_t deadline_ns = bc_clock_now_ns(bc_clock_monotonic()) + COMCH_WAIT_MS * BC_NS_PER_MS;
    uint8_t *body = malloc(BC_MESSAGE_BODY_MAX);
    struct bc_message message;
    uint64_t seen = 0;
    struct comch_bed bed;

    (void)state;
    assert_non_null(body);
    for (size_t i = 0; i < BC_MESSAGE_BODY_MAX; i++) {
        body[i] = (uint8_t)(i * 3 + (i >> 10));
    }
    comch_open(&bed, 1);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(bc_channel_send(client, BC_MSG_QUERY, i, body, 1 + 700000 * i), 0);
    }
    while (seen < MESSAGES && bc_clock_now_ns(bc_clock_monotonic()) < deadline_ns) {
        int rc;

        pump(&bed, client, bed.clients[0]);
        pump(&bed, server, bed.servers[0]);
        while ((rc = bc_channel_next(server, &message)) == 1) {
            assert_true(message.request_id == seen);
            assert_int_equal(message.body_len, 1 + 700000 * seen);
            assert_memory_equal(message.body, body, message.body_len);
            seen++;
        }
        assert_int_equal(rc, 0);
    }
    assert_int_equal(seen, MESSAGES);
    comch_close(&bed);
    free(body);
    bc_channel_destroy(server);
    bc_channel_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(what_is_said_at_once_arrives),
        cmocka_unit_test(names_say_who_talks),
        cmocka_unit_test(long_streams_arrive_whole),
        cmocka_unit_test(a_device_of_small_messages_serves_as_well),
        cmocka_unit_test(who_does_not_read_holds_up_only_itself),
        cmocka_unit_test(refused_sends_are_tried_again),
        cmocka_unit_test(bytes_are_told_each_time_they_come),
        cmocka_unit_test(connections_may_be_closed_by_who_is_told),
        cmocka_unit_test(sleeper_is_woken_by_a_message),
        cmocka_unit_test(nobody_sleeps_over_what_is_there),
        cmocka_unit_test(silent_descriptor_is_no_obstacle),
        cmocka_unit_test(channel_over_comch_carries_large_messages),
    };

    return cmocka_run_group_tests_name("channel_comch", tests, comch_group_setup,
                                       comch_group_teardown);
}
