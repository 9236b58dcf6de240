/* SPDX-License-Identifier: Apache-2.0 */
/* Turns, deferred calls, operations, mails from other threads, pollers, sleeping. */
#include "loop_test.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define SENDERS      4u
#define SENDER_MAILS 20000u

/* --- deferred calls --------------------------------------------------------------------------- */
struct deferred {
    struct bc_task task;
    struct bc_loop *loop;
    uint32_t again;
    uint32_t ran;
};

static void deferred_run(struct bc_task *task)
{
    struct deferred *deferred = BC_CONTAINER_OF(task, struct deferred, task);

    deferred->ran++;
    if (deferred->again > 0) {
        deferred->again--;
        bc_loop_defer(deferred->loop, task);
    }
}

static void deferred_call_runs_in_the_next_turn(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct deferred deferred = {.task = {.run = deferred_run}, .loop = loop, .again = 2};

    (void)state;
    bc_loop_defer(loop, &deferred.task);
    assert_int_equal(deferred.ran, 0);
    assert_int_equal(bc_loop_turn(loop, TEST_DEADLINE_NS), 1);
    assert_int_equal(deferred.ran, 1);
    assert_int_equal(bc_loop_turn(loop, TEST_DEADLINE_NS), 1);
    assert_int_equal(bc_loop_turn(loop, TEST_DEADLINE_NS), 1);
    assert_int_equal(bc_loop_turn(loop, 0), 0);
    assert_int_equal(deferred.ran, 3);
    bc_loop_destroy(loop);
}

static void undeferred_call_does_not_run(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct deferred deferred[3];
    uint32_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        deferred[i] = (struct deferred){.task = {.run = deferred_run}, .loop = loop};
        bc_loop_defer(loop, &deferred[i].task);
    }
    bc_loop_undefer(loop, &deferred[1].task);
    bc_loop_undefer(loop, &deferred[1].task);
    assert_int_equal(bc_loop_turn(loop, 0), 2);
    assert_int_equal(deferred[0].ran + deferred[2].ran, 2);
    assert_int_equal(deferred[1].ran, 0);
    bc_loop_destroy(loop);
}

/* --- operations ------------------------------------------------------------------------------- */
struct counted_op {
    struct bc_op op;
    uint32_t *count;
};

static void counted_done(struct bc_op *op, int32_t result, uint32_t cqe_flags)
{
    struct counted_op *counted = BC_CONTAINER_OF(op, struct counted_op, op);

    (void)cqe_flags;
    assert_int_equal(result, 0);
    assert_false(op->in_flight);
    (*counted->count)++;
}

static void more_operations_than_entries_complete(void **state)
{
    static struct counted_op ops[1000];
    struct bc_loop *loop = test_loop_create(NULL, 0);
    uint32_t count = 0;
    uint32_t i;

    (void)state;
    (void)bc_loop_turn(loop, 0); /* the queue can be flushed from here on */
    for (i = 0; i < BC_ARRAY_LEN(ops); i++) {
        struct io_uring_sqe *sqe = bc_loop_sqe(loop);
        ops[i] = (struct counted_op){.op = {.done = counted_done}, .count = &count};
        io_uring_prep_nop(sqe);
        bc_loop_track(loop, sqe, &ops[i].op);
        assert_true(ops[i].op.in_flight);
    }
    assert_int_equal(bc_loop_in_flight(loop), BC_ARRAY_LEN(ops));
    assert_int_equal(count, 0); /* never inside the call that submits */
    test_turn_until(loop, &count, BC_ARRAY_LEN(ops));
    assert_int_equal(bc_loop_in_flight(loop), 0);
    bc_loop_destroy(loop);
}

struct cancelled_op {
    struct bc_op op;
    struct bc_op cancel;
    int32_t result;
    uint32_t done;
};

static void cancelled_done(struct bc_op *op, int32_t result, uint32_t cqe_flags)
{
    struct cancelled_op *cancelled = BC_CONTAINER_OF(op, struct cancelled_op, op);

    (void)cqe_flags;
    cancelled->result = result;
    cancelled->done++;
}

static void cancel_done(struct bc_op *op, int32_t result, uint32_t cqe_flags)
{
    struct cancelled_op *cancelled = BC_CONTAINER_OF(op, struct cancelled_op, cancel);

    (void)result;
    (void)cqe_flags;
    cancelled->done++;
}

static void operation_is_cancelled_by_its_address(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct cancelled_op cancelled = {.op = {.done = cancelled_done},
                                     .cancel = {.done = cancel_done}};
    struct __kernel_timespec ts = {.tv_sec = 3600};
    struct io_uring_sqe *sqe = bc_loop_sqe(loop);

    (void)state;
    io_uring_prep_timeout(sqe, &ts, 0, 0);
    bc_loop_track(loop, sqe, &cancelled.op);
    (void)bc_loop_turn(loop, 0);
    sqe = bc_loop_sqe(loop);
    io_uring_prep_cancel(sqe, &cancelled.op, 0);
    bc_loop_track(loop, sqe, &cancelled.cancel);
    test_turn_until(loop, &cancelled.done, 2);
    assert_int_equal(cancelled.result, -ECANCELED);
    bc_loop_destroy(loop);
}

/* --- mails ------------------------------------------------------------------------------------ */
struct receiver {
    struct bc_loop *loop;
    uint32_t next[SENDERS]; /* the number that each sender's next mail must have */
    uint32_t count;
    pthread_t thread;
};

struct numbered_mail {
    struct bc_mail mail;
    struct receiver *receiver;
    uint32_t sender;
    uint32_t number;
};

struct sender {
    pthread_t thread;
    struct receiver *receiver;
    struct numbered_mail *mails;
};

static struct numbered_mail all_mails[SENDERS][SENDER_MAILS];

static void mail_deliver(struct bc_mail *mail)
{
    struct numbered_mail *numbered = BC_CONTAINER_OF(mail, struct numbered_mail, mail);
    struct receiver *receiver = numbered->receiver;

    assert_int_equal(receiver->next[numbered->sender], numbered->number);
    receiver->next[numbered->sender]++;
    if (++receiver->count == SENDERS * SENDER_MAILS) {
        bc_loop_stop(receiver->loop);
    }
}

static void *receiver_main(void *arg)
{
    struct receiver *receiver = arg;

    bc_loop_run(receiver->loop);
    return NULL;
}

static void *sender_main(void *arg)
{
    struct sender *sender = arg;
    uint32_t i;

    for (i = 0; i < SENDER_MAILS; i++) {
        bc_loop_send(sender->receiver->loop, &sender->mails[i].mail);
    }
    return NULL;
}

static void mails_of_many_threads_arrive_in_order(void **state)
{
    struct receiver receiver = {.count = 0};
    struct sender senders[SENDERS];
    uint32_t i;
    uint32_t j;

    (void)state;
    receiver.loop = test_loop_create(NULL, 0);
    assert_int_equal(pthread_create(&receiver.thread, NULL, receiver_main, &receiver), 0);
    for (i = 0; i < SENDERS; i++) {
        for (j = 0; j < SENDER_MAILS; j++) {
            all_mails[i][j] = (struct numbered_mail){
                .mail = {.deliver = mail_deliver}, .receiver = &receiver, .sender = i, .number = j};
        }
        senders[i] = (struct sender){.receiver = &receiver, .mails = all_mails[i]};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]), 0);
    }
    for (i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
    }
    assert_int_equal(pthread_join(receiver.thread, NULL), 0); /* hangs if a wake-up gets lost */
    assert_int_equal(receiver.count, SENDERS * SENDER_MAILS);
    bc_loop_destroy(receiver.loop);
}

struct ball {
    struct bc_mail mail;
    struct bc_loop *loops[2];
    uint32_t side;
    uint32_t left;
};

static void ball_deliver(struct bc_mail *mail)
{
    struct ball *ball = BC_CONTAINER_OF(mail, struct ball, mail);

    if (ball->left-- == 0) {
        bc_loop_stop(ball->loops[0]);
        bc_loop_stop(ball->loops[1]);
        return;
    }
    ball->side ^= 1;
    bc_loop_send(ball->loops[ball->side], mail);
}

/* Every throw finds the other loop asleep or falling asleep. */
static void sleeping_loops_wake_each_other(void **state)
{
    struct receiver receivers[2] = {{.count = 0}};
    struct ball ball = {.mail = {.deliver = ball_deliver}, .left = 5000};
    uint32_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        receivers[i].loop = test_loop_create(NULL, 0);
        ball.loops[i] = receivers[i].loop;
    }
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&receivers[i].thread, NULL, receiver_main, &receivers[i]),
                         0);
    }
    bc_loop_send(receivers[0].loop, &ball.mail);
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(receivers[i].thread, NULL), 0);
    }
    for (i = 0; i < 2; i++) {
        bc_loop_destroy(receivers[i].loop);
    }
}

static void counted_deliver(struct bc_mail *mail)
{
    struct numbered_mail *numbered = BC_CONTAINER_OF(mail, struct numbered_mail, mail);

    numbered->receiver->count++;
}

static void stop_before_run_ends_it_at_once(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);

    (void)state;
    bc_loop_stop(loop);
    bc_loop_run(loop);
    bc_loop_stop(loop);
    bc_loop_run(loop);
    bc_loop_destroy(loop);
}

static void destroy_delivers_what_is_in_the_mailbox(void **state)
{
    struct receiver receiver = {.loop = test_loop_create(NULL, 0)};
    struct numbered_mail mail = {.mail = {.deliver = counted_deliver}, .receiver = &receiver};

    (void)state;
    (void)bc_loop_turn(receiver.loop, 0);
    bc_loop_send(receiver.loop, &mail.mail);
    bc_loop_destroy(receiver.loop);
    assert_int_equal(receiver.count, 1);
}

/* --- pollers ---------------------------------------------------------------------------------- */
struct engine {
    struct bc_poller poller;
    struct bc_loop *loop;
    uint32_t ready; /* what the next poll finds */
    bool is_busy;
    bool lets_sleep;
    bool stops; /* in its poll */
    uint32_t polled;
    uint32_t asked;
    uint64_t sleep_max_ns;
};

static uint32_t engine_poll(struct bc_poller *poller)
{
    struct engine *engine = BC_CONTAINER_OF(poller, struct engine, poller);
    uint32_t ready = engine->ready;

    engine->polled++;
    engine->ready = 0;
    if (engine->stops) {
        bc_poller_stop(engine->loop, poller);
    }
    return ready;
}

static bool engine_busy(struct bc_poller *poller)
{
    return BC_CONTAINER_OF(poller, struct engine, poller)->is_busy;
}

static bool engine_sleep(struct bc_poller *poller)
{
    struct engine *engine = BC_CONTAINER_OF(poller, struct engine, poller);

    engine->asked++;
    return engine->lets_sleep;
}

static uint64_t engine_sleep_max_ns(struct bc_poller *poller)
{
    return BC_CONTAINER_OF(poller, struct engine, poller)->sleep_max_ns;
}

static void visit_sleeps(void *arg, enum bc_metric_kind kind, const char *name, const char *help,
                         int64_t value, const struct bc_histogram *histogram)
{
    (void)kind;
    (void)help;
    (void)histogram;
    if (strcmp(name, "bluecache_loop_sleeps_total") == 0) {
        *(int64_t *)arg = value;
    }
}

static int64_t sleeps_of(struct bc_metrics *metrics)
{
    int64_t sleeps = -1;

    bc_metrics_visit(metrics, visit_sleeps, &sleeps);
    return sleeps;
}

static void busy_poller_spins_then_is_asked_to_arm(void **state)
{
    struct bc_clock clock;
    struct bc_loop *loop;
    struct bc_metrics *metrics = NULL;
    struct engine engine = {
        .poller = {.poll = engine_poll, .busy = engine_busy, .sleep = engine_sleep}};

    (void)state;
    bc_clock_virtual_init(&clock, 0);
    loop = test_loop_create(&clock, 100);
    assert_int_equal(bc_metrics_create(&metrics), 0);
    assert_int_equal(bc_loop_register_metrics(loop, metrics), 0);
    bc_poller_start(loop, &engine.poller);
    engine.is_busy = true;
    engine.ready = 3;
    assert_int_equal(bc_loop_turn(loop, 1000), 3);
    assert_int_equal(bc_loop_turn(loop, 1000), 0); /* idle from here on */
    bc_clock_virtual_advance(&clock, 99);
    assert_int_equal(bc_loop_turn(loop, 1000), 0);
    assert_int_equal(engine.asked, 0);
    assert_int_equal(sleeps_of(metrics), 0);
    bc_clock_virtual_advance(&clock, 1);
    assert_int_equal(bc_loop_turn(loop, 1000), 0); /* refuses: the spin starts anew */
    assert_int_equal(engine.asked, 1);
    assert_int_equal(sleeps_of(metrics), 0);
    engine.lets_sleep = true;
    assert_int_equal(bc_loop_turn(loop, 1000), 0);
    assert_int_equal(engine.asked, 1);
    bc_clock_virtual_advance(&clock, 100);
    assert_int_equal(bc_loop_turn(loop, 1000), 0);
    assert_int_equal(engine.asked, 2);
    assert_int_equal(sleeps_of(metrics), 1);
    bc_poller_stop(loop, &engine.poller);
    bc_loop_destroy(loop);
    bc_metrics_destroy(metrics);
}

static void poller_without_descriptor_keeps_the_loop_awake(void **state)
{
    struct bc_clock clock;
    struct bc_loop *loop;
    struct bc_metrics *metrics = NULL;
    struct engine engine = {.poller = {.poll = engine_poll, .busy = engine_busy}};
    uint32_t i;

    (void)state;
    bc_clock_virtual_init(&clock, 0);
    loop = test_loop_create(&clock, 100);
    assert_int_equal(bc_metrics_create(&metrics), 0);
    assert_int_equal(bc_loop_register_metrics(loop, metrics), 0);
    bc_poller_start(loop, &engine.poller);
    engine.is_busy = true;
    for (i = 0; i < 10; i++) {
        bc_clock_virtual_advance(&clock, 100);
        assert_int_equal(bc_loop_turn(loop, TEST_DEADLINE_NS), 0);
    }
    assert_int_equal(sleeps_of(metrics), 0);
    engine.is_busy = false;
    assert_int_equal(bc_loop_turn(loop, 1000), 0);
    assert_int_equal(sleeps_of(metrics), 1);
    bc_poller_stop(loop, &engine.poller);
    bc_loop_destroy(loop);
    bc_metrics_destroy(metrics);
}

/* Nothing wakes the loop but the limit: without it the turn would last for the whole deadline. */
static void poller_limits_how_long_the_loop_sleeps(void **state)
{
    const struct bc_clock *clock = bc_clock_monotonic();
    struct bc_loop *loop = test_loop_create(NULL, 1);
    struct engine engines[2] = {
        {.poller = {.poll = engine_poll, .sleep = engine_sleep}, .lets_sleep = true},
        {.poller = {.poll = engine_poll,
                    .sleep = engine_sleep,
                    .sleep_max_ns = engine_sleep_max_ns},
         .lets_sleep = true,
         .sleep_max_ns = BC_NS_PER_MS},
    };
    uint64_t began_ns = bc_clock_now_ns(clock);
    uint32_t i;

    (void)state;
    for (i = 0; i < BC_ARRAY_LEN(engines); i++) {
        bc_poller_start(loop, &engines[i].poller);
    }
    for (i = 0; i < 100 && engines[1].asked < 5; i++) {
        assert_int_equal(bc_loop_turn(loop, TEST_DEADLINE_NS), 0);
    }
    assert_int_equal(engines[1].asked, 5);
    assert_true(bc_clock_now_ns(clock) - began_ns < TEST_DEADLINE_NS);
    for (i = 0; i < BC_ARRAY_LEN(engines); i++) {
        bc_poller_stop(loop, &engines[i].poller);
    }
    bc_loop_destroy(loop);
}

static void poller_may_stop_itself(void **state)
{
    struct bc_loop *loop = test_loop_create(NULL, 0);
    struct engine engines[3];
    uint32_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        engines[i] = (struct engine){
            .poller = {.poll = engine_poll, .busy = engine_busy}, .loop = loop, .stops = i != 2};
        bc_poller_start(loop, &engines[i].poller);
    }
    (void)bc_loop_turn(loop, 0);
    (void)bc_loop_turn(loop, 0);
    assert_int_equal(engines[0].polled, 1);
    assert_int_equal(engines[1].polled, 1);
    assert_int_equal(engines[2].polled, 2);
    bc_poller_stop(loop, &engines[2].poller);
    bc_poller_stop(loop, &engines[2].poller);
    bc_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deferred_call_runs_in_the_next_turn),
        cmocka_unit_test(undeferred_call_does_not_run),
        cmocka_unit_test(more_operations_than_entries_complete),
        cmocka_unit_test(operation_is_cancelled_by_its_address),
        cmocka_unit_test(mails_of_many_threads_arrive_in_order),
        cmocka_unit_test(sleeping_loops_wake_each_other),
        cmocka_unit_test(stop_before_run_ends_it_at_once),
        cmocka_unit_test(destroy_delivers_what_is_in_the_mailbox),
        cmocka_unit_test(busy_poller_spins_then_is_asked_to_arm),
        cmocka_unit_test(poller_without_descriptor_keeps_the_loop_awake),
        cmocka_unit_test(poller_limits_how_long_the_loop_sleeps),
        cmocka_unit_test(poller_may_stop_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
