/* SPDX-License-Identifier: Apache-2.0 */
/* Timers on a virtual clock. */
#include "loop_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RANDOM_TIMERS 500u
#define RANDOM_STEPS  20000u

struct probe {
    struct bc_timer timer;
    struct bc_loop *loop;
    uint64_t restart_ns;
    bool restarts;
    uint32_t fired;
    uint32_t place; /* the how-manieth of all to fire */
};

static uint32_t fired_total;

static void probe_fired(struct bc_timer *timer)
{
    struct probe *probe = BC_CONTAINER_OF(timer, struct probe, timer);

    probe->fired++;
    probe->place = ++fired_total;
    if (probe->restarts) {
        bc_timer_start(probe->loop, timer, probe->restart_ns);
    }
}

static void probe_init(struct probe *probe, struct bc_loop *loop)
{
    *probe = (struct probe){.loop = loop};
    bc_timer_init(&probe->timer, probe_fired);
}

static void timers_fire_by_deadline_then_start(void **state)
{
    struct bc_clock clock;
    struct bc_loop *loop;
    struct probe probes[6];
    const uint64_t delays[6] = {30, 10, 20, 10, 0, 31};
    const uint32_t places[6] = {5, 2, 4, 3, 1, 0};
    uint32_t i;

    (void)state;
    bc_clock_virtual_init(&clock, 1000);
    loop = test_loop_create(&clock, 0);
    fired_total = 0;
    for (i = 0; i < 6; i++) {
        probe_init(&probes[i], loop);
        bc_timer_start(loop, &probes[i].timer, delays[i]);
    }
    bc_clock_virtual_advance(&clock, 30);
    assert_int_equal(bc_loop_turn(loop, 0), 5);
    for (i = 0; i < 6; i++) {
        assert_int_equal(probes[i].place, places[i]);
    }
    assert_int_equal(bc_loop_turn(loop, 0), 0);
    bc_clock_virtual_advance(&clock, 1);
    assert_int_equal(bc_loop_turn(loop, 0), 1);
    bc_loop_destroy(loop);
}

static void stopped_timer_does_not_fire(void **state)
{
    struct bc_clock clock;
    struct bc_loop *loop;
    struct probe probe;

    (void)state;
    bc_clock_virtual_init(&clock, 0);
    loop = test_loop_create(&clock, 0);
    probe_init(&probe, loop);
    bc_timer_stop(loop, &probe.timer);
    bc_timer_start(loop, &probe.timer, 5);
    bc_timer_stop(loop, &probe.timer);
    bc_timer_stop(loop, &probe.timer);
    bc_clock_virtual_advance(&clock, 10);
    assert_int_equal(bc_loop_turn(loop, 0), 0);
    assert_int_equal(probe.fired, 0);
    bc_loop_destroy(loop);
}

static void restart_moves_the_deadline(void **state)
{
    struct bc_clock clock;
    struct bc_loop *loop;
    struct probe probe;

    (void)state;
    bc_clock_virtual_init(&clock, 0);
    loop = test_loop_create(&clock, 0);
    probe_init(&probe, loop);
    bc_timer_start(loop, &probe.timer, 5);
    bc_timer_start(loop, &probe.timer, 50);
    bc_clock_virtual_advance(&clock, 49);
    assert_int_equal(bc_loop_turn(loop, 0), 0);
    bc_timer_start(loop, &probe.timer, 1);
    bc_clock_virtual_advance(&clock, 1);
    assert_int_equal(bc_loop_turn(loop, 0), 1);
    assert_int_equal(probe.fired, 1);
    bc_loop_destroy(loop);
}

static void timer_without_delay_fires_once_a_turn(void **state)
{
    struct bc_clock clock;
    struct bc_loop *loop;
    struct probe probe;
    uint32_t i;

    (void)state;
    bc_clock_virtual_init(&clock, 0);
    loop = test_loop_create(&clock, 0);
    probe_init(&probe, loop);
    probe.restarts = true;
    bc_timer_start(loop, &probe.timer, 0);
    for (i = 1; i <= 5; i++) {
        assert_int_equal(bc_loop_turn(loop, 0), 1);
        assert_int_equal(probe.fired, i);
    }
    bc_timer_stop(loop, &probe.timer);
    bc_loop_destroy(loop);
}

static void endless_delay_never_fires(void **state)
{
    struct bc_clock clock;
    struct bc_loop *loop;
    struct probe probe;

    (void)state;
    bc_clock_virtual_init(&clock, 1000);
    loop = test_loop_create(&clock, 0);
    probe_init(&probe, loop);
    bc_timer_start(loop, &probe.timer, UINT64_MAX);
    bc_clock_virtual_advance(&clock, UINT64_C(1) << 62);
    assert_int_equal(bc_loop_turn(loop, 0), 0);
    bc_loop_destroy(loop);
}

static void real_timer_wakes_the_sleeping_loop(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct probe probe;
    uint64_t start_ns = bc_clock_now_ns(bc_clock_monotonic());

    (void)state;
    probe_init(&probe, loop);
    bc_timer_start(loop, &probe.timer, BC_NS_PER_MS);
    while (probe.fired == 0) {
        assert_true(bc_clock_now_ns(bc_clock_monotonic()) - start_ns < TEST_DEADLINE_NS);
        (void)bc_loop_turn(loop, TEST_DEADLINE_NS);
    }
    assert_true(bc_clock_now_ns(bc_clock_monotonic()) - start_ns >= BC_NS_PER_MS);
    bc_loop_destroy(loop);
}

/* Random starts, restarts and stops against a plain array of deadlines. */
static void heap_agrees_with_a_model(void **state)
{
    static struct probe probes[RANDOM_TIMERS];
    static uint64_t deadline[RANDOM_TIMERS]; /* UINT64_MAX: not started */
    static uint32_t expected[RANDOM_TIMERS];
    const char *seed_text = getenv("BC_TEST_SEED");
    unsigned seed = seed_text != NULL ? (unsigned)atoi(seed_text) : (unsigned)time(NULL);
    struct bc_clock clock;
    struct bc_loop *loop;
    uint32_t step;
    uint32_t i;

    (void)state;
    print_message("BC_TEST_SEED=%u\n", seed);
    bc_clock_virtual_init(&clock, 0);
    loop = test_loop_create(&clock, 0);
    for (i = 0; i < RANDOM_TIMERS; i++) {
        probe_init(&probes[i], loop);
        deadline[i] = UINT64_MAX;
        expected[i] = 0;
    }
    for (step = 0; step < RANDOM_STEPS; step++) {
        uint64_t now_ns = bc_clock_now_ns(&clock);
        i = (uint32_t)rand_r(&seed) % RANDOM_TIMERS;
        switch (rand_r(&seed) % 4) {
        case 0:
            bc_timer_stop(loop, &probes[i].timer);
            deadline[i] = UINT64_MAX;
            break;
        case 1:
            bc_clock_virtual_advance(&clock, (uint64_t)rand_r(&seed) % 5);
            now_ns = bc_clock_now_ns(&clock);
            (void)bc_loop_turn(loop, 0);
            for (i = 0; i < RANDOM_TIMERS; i++) {
                if (deadline[i] <= now_ns) {
                    expected[i]++;
                    deadline[i] = UINT64_MAX;
                }
                assert_int_equal(probes[i].fired, expected[i]);
            }
            break;
        default:
            deadline[i] = now_ns + (uint64_t)rand_r(&seed) % 300;
            bc_timer_start(loop, &probes[i].timer, deadline[i] - now_ns);
        }
    }
    bc_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_by_deadline_then_start),
        cmocka_unit_test(stopped_timer_does_not_fire),
        cmocka_unit_test(restart_moves_the_deadline),
        cmocka_unit_test(timer_without_delay_fires_once_a_turn),
        cmocka_unit_test(endless_delay_never_fires),
        cmocka_unit_test(real_timer_wakes_the_sleeping_loop),
        cmocka_unit_test(heap_agrees_with_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
