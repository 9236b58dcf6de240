/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness of descriptors. */
#include "loop_test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    struct bc_watch watch;
    uint32_t events;
    uint32_t called;
    uint32_t stopped;
    bool stops; /* in its callback */
};

static void end_stopped(struct bc_watch *watch)
{
    BC_CONTAINER_OF(watch, struct end, watch)->stopped++;
}

static void end_ready(struct bc_watch *watch, uint32_t events)
{
    struct end *end = BC_CONTAINER_OF(watch, struct end, watch);

    end->events = events;
    end->called++;
    if (end->stops) {
        bc_watch_stop(watch, end_stopped);
    }
}

static void end_stop(struct bc_loop *loop, struct end *end)
{
    uint32_t called = end->called;

    bc_watch_stop(&end->watch, end_stopped);
    assert_int_equal(end->stopped, 0);
    test_turn_until(loop, &end->stopped, 1);
    assert_int_equal(end->called, called);
}

static void pair_create(struct bc_loop *loop, int fds[2], struct end *end)
{
    *end = (struct end){.called = 0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    bc_watch_init(&end->watch, loop, fds[0], end_ready);
}

static void pair_close(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static void ready_is_repeated_until_drained(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct end end;
    char byte;
    int fds[2];

    (void)state;
    pair_create(loop, fds, &end);
    bc_watch_start(&end.watch, POLLIN);
    assert_int_equal(bc_loop_turn(loop, 0), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    test_turn_until(loop, &end.called, 3);
    assert_int_equal(end.events, POLLIN);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    (void)bc_loop_turn(loop, 0); /* what was reported before it was drained */
    (void)bc_loop_turn(loop, 0);
    end.called = 0;
    assert_int_equal(bc_loop_turn(loop, 1000), 0);
    assert_int_equal(end.called, 0);
    assert_int_equal(write(fds[1], "y", 1), 1);
    test_turn_until(loop, &end.called, 1);
    end_stop(loop, &end);
    pair_close(fds);
    bc_loop_destroy(loop);
}

static void events_can_be_changed_and_paused(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct end end;
    uint32_t i;
    int fds[2];

    (void)state;
    pair_create(loop, fds, &end);
    bc_watch_start(&end.watch, POLLIN);
    (void)bc_loop_turn(loop, 0);
    bc_watch_start(&end.watch, POLLIN | POLLOUT);
    test_turn_until(loop, &end.called, 2);
    assert_int_equal(end.events, POLLOUT);
    bc_watch_start(&end.watch, 0);
    for (i = 0; i < 4; i++) {
        (void)bc_loop_turn(loop, 1000);
    }
    end.called = 0;
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(bc_loop_turn(loop, 1000), 0);
    assert_int_equal(end.called, 0);
    bc_watch_start(&end.watch, POLLIN);
    test_turn_until(loop, &end.called, 1);
    assert_int_equal(end.events, POLLIN);
    /* To and fro before anything had time to happen. */
    bc_watch_start(&end.watch, POLLOUT);
    bc_watch_start(&end.watch, 0);
    bc_watch_start(&end.watch, POLLOUT);
    end.called = 0;
    end.events = 0;
    for (i = 0; i < 1000 && end.events != POLLOUT; i++) {
        (void)bc_loop_turn(loop, TEST_TURN_NS);
    }
    assert_int_equal(end.events, POLLOUT);
    end_stop(loop, &end);
    pair_close(fds);
    bc_loop_destroy(loop);
}

static void hang_up_is_reported(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct end end;
    int fds[2];

    (void)state;
    pair_create(loop, fds, &end);
    bc_watch_start(&end.watch, POLLIN);
    close(fds[1]);
    test_turn_until(loop, &end.called, 1);
    assert_true((end.events & POLLHUP) != 0);
    end_stop(loop, &end);
    close(fds[0]);
    bc_loop_destroy(loop);
}

static void stop_comes_back_in_every_state(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct end ends[5];
    int fds[5][2];
    uint32_t i;

    (void)state;
    for (i = 0; i < 5; i++) {
        pair_create(loop, fds[i], &ends[i]);
    }
    end_stop(loop, &ends[0]); /* never started */
    bc_watch_start(&ends[1].watch, POLLIN);
    end_stop(loop, &ends[1]); /* not yet submitted */
    bc_watch_start(&ends[2].watch, POLLIN);
    (void)bc_loop_turn(loop, 0);
    end_stop(loop, &ends[2]); /* armed */
    bc_watch_start(&ends[3].watch, POLLIN);
    (void)bc_loop_turn(loop, 0);
    bc_watch_start(&ends[3].watch, POLLOUT);
    end_stop(loop, &ends[3]); /* changing */
    ends[4].stops = true;
    bc_watch_start(&ends[4].watch, POLLOUT);
    test_turn_until(loop, &ends[4].stopped, 1); /* in its callback */
    assert_int_equal(ends[4].called, 1);
    assert_int_equal(bc_loop_in_flight(loop), 0);
    for (i = 0; i < 5; i++) {
        assert_int_equal(ends[i].stopped, 1);
        pair_close(fds[i]);
    }
    bc_loop_destroy(loop);
}

static void bad_descriptor_is_reported_once(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct end end = {.called = 0};

    (void)state;
    bc_watch_init(&end.watch, loop, 1000000, end_ready);
    bc_watch_start(&end.watch, POLLIN);
    test_turn_until(loop, &end.called, 1);
    assert_int_equal(end.events, POLLNVAL);
    (void)bc_loop_turn(loop, 1000);
    assert_int_equal(end.called, 1);
    end_stop(loop, &end);
    bc_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_is_repeated_until_drained),
        cmocka_unit_test(events_can_be_changed_and_paused),
        cmocka_unit_test(hang_up_is_reported),
        cmocka_unit_test(stop_comes_back_in_every_state),
        cmocka_unit_test(bad_descriptor_is_reported_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
