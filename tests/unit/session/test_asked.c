/* SPDX-License-Identifier: Apache-2.0 */
/* What sessions and the server do with a transport that must be asked: the engine is asked while
 * there is something and slept on otherwise, connections stay with the worker that has it, a link
 * reports a level. */
#include "bed.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/link.h"
#include "session/server.h"
#include "testlib/asked_pair.h"

#define CLIENTS_MAX 100u

static struct bed bed;
static struct bc_server *server;
static struct bc_listener *listener; /* the server's */
static uint32_t stops;
static int peers[CLIENTS_MAX];
static uint32_t peer_count;

/* The asked pair, but that it shows its listener. */
static struct bc_transport_ops ops;

static int note_listen(const char *address, struct bc_listener **listener_out)
{
    int rc = bc_transport_asked_pair()->listen(address, listener_out);
    listener = rc == 0 ? *listener_out : NULL;
    return rc;
}

static void note_close(struct bc_listener *closed)
{
    bc_transport_asked_pair()->listener_close(closed);
    listener = NULL;
}

static struct bc_engine *engine(void)
{
    return ops.listener_engine(listener);
}

static void call(void)
{
    struct bc_conn *conn;
    assert_int_equal(bc_asked_pair_open(&conn, &peers[peer_count++]), 0);
    bc_asked_pair_call(listener, conn);
}

static void setup(uint32_t workers)
{
    struct bed_options options = {.workers = workers, .limits = {.sessions_max = CLIENTS_MAX}};
    stops = 0;
    peer_count = 0;
    ops = *bc_transport_asked_pair();
    ops.listen = note_listen;
    ops.listener_close = note_close;
    bed_init(&bed, &options);
    assert_int_equal(bc_server_create(bed.peers[0], &ops, "asked", &server), 0);
    assert_string_equal(bc_server_address(server), "asked");
}

static void note_stopped(void *arg)
{
    (void)arg;
    stops++;
}

static void stop_server(void)
{
    uint32_t before = stops;
    bc_server_stop(server, note_stopped, NULL);
    assert_int_equal(stops, before); /* later */
    bed_turns(&bed, 20);
    assert_int_equal(stops, before + 1);
}

static void destroy_server(void)
{
    bc_server_destroy(server);
    bed_turns(&bed, 20);
    assert_null(listener);
}

static void close_peers(void)
{
    for (uint32_t i = 0; i < peer_count; i++) {
        close(peers[i]);
    }
    bed_wait_empty(&bed);
}

static void teardown(void)
{
    stop_server();
    close_peers();
    destroy_server();
    bed_fini(&bed);
}

static void connections_stay_with_the_engines_worker(void **state)
{
    (void)state;
    setup(2);
    call(); /* before the engine is asked */
    bc_server_start(server);
    bed_turns(&bed, 5);
    for (uint32_t i = 0; i < 4; i++) {
        call();
        bed_turns(&bed, 5);
    }
    assert_int_equal(bc_sessions_count(bed.workers[0].worker.sessions), 5);
    assert_int_equal(bc_sessions_count(bed.workers[1].worker.sessions), 0);
    teardown();
}

static void many_at_once_are_all_accepted(void **state)
{
    (void)state;
    setup(1);
    bc_server_start(server);
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        call();
    }
    /* One progress tells of all of them, and one turn accepts fewer. */
    bed_turns(&bed, 10);
    assert_int_equal(bed_sessions(&bed), CLIENTS_MAX);
    teardown();
}

static bool call_then_arm(struct bc_engine *asked)
{
    if (peer_count == 0) {
        call();
    }
    return bc_transport_asked_pair()->arm(asked);
}

static void connection_that_comes_while_arming_is_accepted(void **state)
{
    (void)state;
    setup(1);
    ops.arm = call_then_arm;
    bc_server_start(server);
    for (uint32_t i = 0; i < 20; i++) {
        (void)bc_loop_turn(bed.workers[0].worker.loop, BC_NS_PER_MS);
    }
    assert_int_equal(bed_sessions(&bed), 1);
    teardown();
}

static void failing_accept_is_tried_again(void **state)
{
    (void)state;
    setup(1);
    bc_server_start(server);
    bc_asked_pair_fail(listener, -ENOMEM, 2);
    call();
    bed_turns(&bed, 100);
    assert_int_equal(bed_sessions(&bed), 0);
    call();
    bed_turns(&bed, 100);
    assert_int_equal(bed_sessions(&bed), 0); /* pausing */
    bed_pass(&bed, 250);
    assert_int_equal(bed_sessions(&bed), 2);
    /* Stops while it pauses, too. */
    bc_asked_pair_fail(listener, -ENOMEM, 1);
    call();
    bed_turns(&bed, 10);
    teardown();
}

/* GOODBYE goes out after the server stopped, by the engine that it still asks. */
static void sessions_outlive_the_stop(void **state)
{
    uint8_t answer[512];
    struct bc_wire_frame frame;
    (void)state;
    setup(1);
    bc_server_start(server);
    call();
    bed_turns(&bed, 5);
    stop_server();
    assert_int_equal(bed_sessions(&bed), 1);
    call(); /* turned away */
    assert_int_equal(recv(peers[1], answer, sizeof(answer), MSG_DONTWAIT), 0);
    bed_drain(&bed);
    bed_wait_empty(&bed);
    ssize_t got = recv(peers[0], answer, sizeof(answer), MSG_DONTWAIT);
    assert_int_equal(got, sizeof(frame));
    memcpy(&frame, answer, sizeof(frame));
    assert_int_equal(frame.type, BC_MSG_GOODBYE);
    assert_int_equal(recv(peers[0], answer, sizeof(answer), MSG_DONTWAIT), 0);
    assert_int_equal(bc_asked_pair_conns(engine()), 0);
    close_peers();
    destroy_server();
    bed_fini(&bed);
}

static void server_that_never_started_is_destroyed(void **state)
{
    (void)state;
    setup(1);
    bc_server_destroy(server);
    assert_null(listener);
    bed_fini(&bed);
}

/* ---- links ---------------------------------------------------------------------------------- */

struct seen {
    struct bc_link link;
    struct bc_conn *conn;
    uint32_t ready;
    uint32_t events;
    uint32_t stopped;
    bool take;
    bool stop;
};

static void seen_stopped(struct bc_link *link)
{
    struct seen *seen = BC_CONTAINER_OF(link, struct seen, link);
    seen->stopped++;
    link->transport->close(seen->conn);
}

static void seen_ready(struct bc_link *link, uint32_t events)
{
    struct seen *seen = BC_CONTAINER_OF(link, struct seen, link);
    uint8_t byte;
    seen->ready++;
    seen->events = events;
    if (seen->take) {
        assert_int_equal(link->transport->recv(seen->conn, &byte, 1), 1);
    }
    if (seen->stop) {
        bc_link_stop(link, seen_stopped);
    }
}

static void link_setup(struct seen *seen, int *peer_out)
{
    setup(1);
    bc_server_start(server);
    *seen = (struct seen){.ready = 0};
    assert_int_equal(bc_asked_pair_open(&seen->conn, peer_out), 0);
    bc_asked_pair_adopt(engine(), seen->conn);
    bc_link_init(&seen->link, bed.workers[0].worker.loop, &ops, seen->conn, seen_ready);
}

static void link_reports_a_level(void **state)
{
    struct seen seen;
    int peer;
    (void)state;
    link_setup(&seen, &peer);
    assert_int_equal(send(peer, "abc", 3, 0), 3);
    bed_turns(&bed, 5);
    assert_int_equal(seen.ready, 0); /* nothing was asked for */
    bc_link_start(&seen.link, POLLIN);
    assert_int_equal(seen.ready, 0); /* not inside of the call */
    bed_turns(&bed, 10);
    assert_in_range(seen.ready, 9, 11); /* once a turn, while nobody takes it */
    assert_int_equal(seen.events, POLLIN);
    seen.take = true;
    seen.ready = 0;
    bed_turns(&bed, 10);
    assert_int_equal(seen.ready, 3);
    /* Paused while more comes: told after. */
    bc_link_start(&seen.link, 0);
    assert_int_equal(send(peer, "d", 1, 0), 1);
    bed_turns(&bed, 5);
    assert_int_equal(seen.ready, 3);
    bc_link_start(&seen.link, POLLIN);
    bed_turns(&bed, 5);
    assert_int_equal(seen.ready, 4);
    seen.take = false;
    seen.stop = true;
    close(peer);
    bed_turns(&bed, 5);
    assert_int_equal(seen.ready, 5);
    assert_int_equal(seen.events & POLLHUP, POLLHUP);
    assert_int_equal(seen.stopped, 1);
    teardown();
}

static void link_reports_room(void **state)
{
    static uint8_t data[1 << 20];
    struct seen seen;
    int peer;
    (void)state;
    link_setup(&seen, &peer);
    while (ops.send(seen.conn, data, sizeof(data)) > 0) {}
    bc_link_start(&seen.link, POLLOUT);
    bed_turns(&bed, 5);
    assert_int_equal(seen.ready, 0);
    while (recv(peer, data, sizeof(data), MSG_DONTWAIT) > 0) {}
    bed_turns(&bed, 5);
    assert_true(seen.ready > 0);
    assert_int_equal(seen.events, POLLOUT);
    bc_link_start(&seen.link, 0);
    bed_turns(&bed, 5);
    seen.ready = 0;
    bed_turns(&bed, 5);
    assert_int_equal(seen.ready, 0);
    bc_link_stop(&seen.link, seen_stopped);
    assert_int_equal(seen.stopped, 0);
    bed_turns(&bed, 2);
    assert_int_equal(seen.stopped, 1);
    close(peer);
    teardown();
}

static void stopped_link_is_silent(void **state)
{
    struct seen seen;
    int peer;
    (void)state;
    link_setup(&seen, &peer);
    bc_link_start(&seen.link, POLLIN);
    bed_turns(&bed, 2);
    assert_int_equal(send(peer, "a", 1, 0), 1);
    bed_turn(&bed); /* noted: `ready` is due */
    bc_link_stop(&seen.link, seen_stopped);
    uint32_t ready = seen.ready;
    bed_turns(&bed, 5);
    assert_int_equal(seen.ready, ready);
    assert_int_equal(seen.stopped, 1);
    close(peer);
    teardown();
}

/* ---- sleeping ------------------------------------------------------------------------------- */

static uint32_t polls_stopped;

static void poll_stopped(struct bc_engine_poll *poll)
{
    (void)poll;
    polls_stopped++;
}

/* The engine's descriptor says nothing: each sleep ends by its limit, a millisecond here. */
static void idle_engine_is_slept_on(void **state)
{
    const struct bc_clock *clock = bc_clock_monotonic();
    struct bc_loop_options options = {.name = "asked", .spin_ns = 1};
    struct bc_engine_poll poll;
    struct bc_loop *loop;
    (void)state;
    ops = *bc_transport_asked_pair();
    assert_int_equal(ops.listen("asked", &listener), 0);
    assert_int_equal(bc_loop_create(&options, &loop), 0);
    bc_engine_poll_start(&poll, loop, &ops, engine(), NULL);
    uint64_t end_ns = bc_clock_now_ns(clock) + 10 * BC_NS_PER_S;
    while (bc_asked_pair_arms(engine()) < 5 && bc_clock_now_ns(clock) < end_ns) {
        (void)bc_loop_turn(loop, 20 * BC_NS_PER_S);
    }
    assert_int_equal(bc_asked_pair_arms(engine()), 5);
    assert_in_range(bc_asked_pair_progresses(engine()), 5, 50);
    polls_stopped = 0;
    bc_engine_poll_stop(&poll, poll_stopped);
    for (uint32_t i = 0; i < BED_TURNS_MAX && polls_stopped == 0; i++) {
        (void)bc_loop_turn(loop, BC_NS_PER_MS);
    }
    assert_int_equal(polls_stopped, 1);
    ops.listener_close(listener);
    bc_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_stay_with_the_engines_worker),
        cmocka_unit_test(many_at_once_are_all_accepted),
        cmocka_unit_test(connection_that_comes_while_arming_is_accepted),
        cmocka_unit_test(failing_accept_is_tried_again),
        cmocka_unit_test(sessions_outlive_the_stop),
        cmocka_unit_test(server_that_never_started_is_destroyed),
        cmocka_unit_test(link_reports_a_level),
        cmocka_unit_test(link_reports_room),
        cmocka_unit_test(stopped_link_is_silent),
        cmocka_unit_test(idle_engine_is_slept_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
