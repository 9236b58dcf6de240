/* SPDX-License-Identifier: Apache-2.0 */
/* turn.c - one turn of the loop: what is ready is done, and when nothing was, how long to poll for
 * more and then to sleep.
 *
 * Invariants: each phase of a turn is bounded, so that none starves the others; nothing that was
 * left undone is slept on. Thread: the owner. */
#include "loop/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define TURN_MAILS_MAX       1024u
#define TURN_CQE_BATCH       64u
#define TURN_COMPLETIONS_MAX 4096u
#define TURN_SLEEP_MAX_NS    (3600 * BC_NS_PER_S) /* for ever, in the kernel's types */

/* The first turn settles who owns the loop: a ring of one issuer knows only the thread that enables
 * it. */
static void loop_bind(struct bc_loop *loop)
{
    long rc;

    if (loop->bound) {
        bc_loop_assert_owner(loop);
        return;
    }
    loop->bound = true;
    loop->owner = pthread_self();
    if (loop->disabled) {
        /* By hand: liburing 2.3 declares io_uring_enable_rings and does not export it. */
        rc = syscall(__NR_io_uring_register, loop->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
                     0);
        BC_ASSERT(rc == 0);
        loop->disabled = false;
    }
}

static void run_mail(struct bc_loop *loop, struct bc_mpsc_node *node)
{
    struct bc_mail *mail = BC_CONTAINER_OF(node, struct bc_mail, node);

    bc_counter_add(&loop->mails, 1);
    mail->deliver(mail);
}

static uint32_t run_mails(struct bc_loop *loop)
{
    uint32_t done = 0;

    while (done < TURN_MAILS_MAX) {
        struct bc_mpsc_node *node = bc_mpsc_pop(&loop->mailbox);
        if (node == NULL) {
            break;
        }
        run_mail(loop, node);
        done++;
    }
    return done;
}

static uint32_t run_deferred(struct bc_loop *loop)
{
    /* What is deferred from here on waits for the next turn. */
    size_t left = loop->deferred.count;
    uint32_t done = 0;

    for (; left > 0 && !bc_list_empty(&loop->deferred); left--) {
        struct bc_list_node *node = bc_list_pop_front(&loop->deferred);
        struct bc_task *task = BC_CONTAINER_OF(node, struct bc_task, node);
        task->run(task);
        done++;
    }
    return done;
}

static uint32_t run_pollers(struct bc_loop *loop)
{
    struct bc_list_node *node = bc_list_first(&loop->pollers);
    uint32_t done = 0;

    while (node != NULL) {
        struct bc_poller *poller = BC_CONTAINER_OF(node, struct bc_poller, node);
        loop->next_poller = bc_list_next(&loop->pollers, node);
        done += poller->poll(poller);
        node = loop->next_poller; /* moved on when that one was stopped */
    }
    loop->next_poller = NULL;
    return done;
}

static uint32_t run_completions(struct bc_loop *loop)
{
    struct io_uring_cqe *cqes[TURN_CQE_BATCH];
    struct io_uring_cqe taken[TURN_CQE_BATCH];
    uint32_t done = 0;
    uint32_t total = 0;
    uint32_t count;
    uint32_t i;

    do {
        count = io_uring_peek_batch_cqe(&loop->ring, cqes, TURN_CQE_BATCH);
        for (i = 0; i < count; i++) {
            taken[i].user_data = cqes[i]->user_data;
            taken[i].res = cqes[i]->res;
            taken[i].flags = cqes[i]->flags;
        }
        /* Given back before the callbacks run: they may submit so much that the kernel needs the
         * room. */
        io_uring_cq_advance(&loop->ring, count);
        for (i = 0; i < count; i++) {
            struct bc_op *op = io_uring_cqe_get_data(&taken[i]);

            if (op == NULL) {
                continue;
            }
            if ((taken[i].flags & IORING_CQE_F_MORE) == 0) {
                op->in_flight = false;
                loop->in_flight--;
            }
            done += op != &loop->wake_op;
            op->done(op, taken[i].res, taken[i].flags);
        }
        total += count;
    } while (count == TURN_CQE_BATCH && total < TURN_COMPLETIONS_MAX);
    bc_counter_add(&loop->completions, total);
    return done;
}

/* Enters the kernel when there is something to submit, or completions wait to be made visible. */
static void flush(struct bc_loop *loop)
{
    int rc = io_uring_submit(&loop->ring);

    if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY && rc != -ENOMEM) {
        BC_ERROR("loop", "%s: io_uring refuses submissions: %s", loop->name, strerror(-rc));
        BC_ASSERT(false && "io_uring_submit failed");
    }
}

static uint32_t pass(struct bc_loop *loop)
{
    uint32_t done;

    loop->now_ns = bc_clock_now_ns(loop->clock);
    done = run_mails(loop);
    done += run_deferred(loop);
    done += run_pollers(loop);
    done += bc_timer_heap_expire(&loop->timers, loop->now_ns);
    done += run_completions(loop);
    flush(loop);
    return done;
}

static bool any_poller_busy(struct bc_loop *loop)
{
    struct bc_list_node *node;

    for (node = bc_list_first(&loop->pollers); node != NULL;
         node = bc_list_next(&loop->pollers, node)) {
        struct bc_poller *poller = BC_CONTAINER_OF(node, struct bc_poller, node);
        if (poller->busy != NULL && poller->busy(poller)) {
            return true;
        }
    }
    return false;
}

/* Asked in order, until one refuses. */
static bool pollers_let_sleep(struct bc_loop *loop)
{
    struct bc_list_node *node = bc_list_first(&loop->pollers);
    bool sleep = true;

    while (node != NULL && sleep) {
        struct bc_poller *poller = BC_CONTAINER_OF(node, struct bc_poller, node);
        loop->next_poller = bc_list_next(&loop->pollers, node);
        if (poller->sleep != NULL) {
            sleep = poller->sleep(poller);
        } else {
            sleep = poller->busy == NULL || !poller->busy(poller);
        }
        node = loop->next_poller;
    }
    loop->next_poller = NULL;
    return sleep;
}

/* After a pass that did nothing, when polling is not worth it any more: true when there is nothing
 * to do but to wait. */
static bool may_sleep(struct bc_loop *loop)
{
    if (!pollers_let_sleep(loop)) {
        loop->idle = false;
        return false;
    }
    return bc_list_empty(&loop->deferred); /* a poller may have deferred something just now */
}

static void wait_for_completion(struct bc_loop *loop, uint64_t timeout_ns)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts;
    int rc;

    timeout_ns = bc_min_u64(timeout_ns, TURN_SLEEP_MAX_NS);
    ts.tv_sec = (int64_t)(timeout_ns / BC_NS_PER_S);
    ts.tv_nsec = (long long)(timeout_ns % BC_NS_PER_S);
#ifdef BC_URING_2_3
    rc = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &ts, NULL);
#else
    flush(loop);
    rc = io_uring_wait_cqes(&loop->ring, &cqe, 1, &ts, NULL);
#endif
    if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY && rc != -ENOMEM) {
        BC_ERROR("loop", "%s: io_uring cannot be waited for: %s", loop->name, strerror(-rc));
        BC_ASSERT(false && "waiting for io_uring failed");
    }
}

/* The shortest of what the pollers allow. */
static uint64_t pollers_sleep_ns(struct bc_loop *loop, uint64_t wait_ns)
{
    struct bc_list_node *node;

    for (node = bc_list_first(&loop->pollers); node != NULL;
         node = bc_list_next(&loop->pollers, node)) {
        struct bc_poller *poller = BC_CONTAINER_OF(node, struct bc_poller, node);
        if (poller->sleep_max_ns != NULL) {
            wait_ns = bc_min_u64(wait_ns, poller->sleep_max_ns(poller));
        }
    }
    return wait_ns;
}

/* How long the next timer and the pollers let the loop sleep. A clock that is not the system's
 * stands still meanwhile. */
static uint64_t sleep_ns(struct bc_loop *loop, uint64_t wait_ns)
{
    uint64_t next_ns = bc_timer_heap_next_ns(&loop->timers);
    uint64_t now_ns = bc_clock_now_ns(loop->clock);

    if (next_ns <= now_ns) {
        return 0;
    }
    wait_ns = pollers_sleep_ns(loop, wait_ns);
    return loop->real_clock ? bc_min_u64(wait_ns, next_ns - now_ns) : wait_ns;
}

/* Returns how many callbacks ran in here. */
static uint32_t sleep_once(struct bc_loop *loop, uint64_t wait_ns)
{
    uint64_t timeout_ns = sleep_ns(loop, wait_ns);
    struct bc_mpsc_node *mail;

    if (timeout_ns == 0) {
        return 0;
    }
    /* From here on who sends a mail wakes the loop; what was sent before is seen by the look into
     * the mailbox. Acquire-release: see the head of loop.c. */
    (void)__atomic_exchange_n(&loop->sleeping, 1, __ATOMIC_ACQ_REL);
    mail = bc_mpsc_pop(&loop->mailbox);
    if (mail == NULL && __atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE) == 0) {
        wait_for_completion(loop, timeout_ns);
        bc_counter_add(&loop->sleeps, 1);
    }
    (void)__atomic_exchange_n(&loop->sleeping, 0, __ATOMIC_ACQ_REL);
    if (mail == NULL) {
        return 0;
    }
    run_mail(loop, mail);
    return 1;
}

/* True: another look before sleeping. */
static bool look_again(struct bc_loop *loop, uint64_t wait_ns)
{
    uint64_t waited_ns = loop->now_ns - loop->idle_since_ns;

    return waited_ns < wait_ns && __atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE) == 0 &&
           bc_spin_again(&loop->spin, waited_ns, any_poller_busy(loop));
}

/* After a pass that did nothing: polls while that pays, then sleeps. Returns how many callbacks ran
 * in here. */
static uint32_t idle(struct bc_loop *loop, uint64_t wait_ns)
{
    uint32_t done = 0;

    if (!loop->idle) {
        loop->idle = true;
        loop->idle_since_ns = loop->now_ns;
    }
    if (loop->spin.max_ns == UINT64_MAX) {
        return 0;
    }
    if (!loop->real_clock) { /* it stands still in here: one look a turn, and only for an engine */
        if (any_poller_busy(loop) && look_again(loop, UINT64_MAX)) {
            return 0;
        }
    } else {
        while (done == 0 && look_again(loop, wait_ns)) {
            done = pass(loop);
        }
    }
    if (done == 0 && io_uring_cq_ready(&loop->ring) == 0 && may_sleep(loop)) {
        done = sleep_once(loop, wait_ns);
        done += pass(loop);
    }
    return done;
}

uint32_t bc_loop_turn(struct bc_loop *loop, uint64_t wait_ns)
{
    uint32_t done;

    loop_bind(loop);
    bc_counter_add(&loop->turns, 1);
    done = pass(loop);
    if (done == 0 && wait_ns > 0) {
        done = idle(loop, wait_ns);
    }
    if (done > 0) {
        if (loop->idle) {
            bc_spin_learn(&loop->spin, loop->now_ns - loop->idle_since_ns);
        }
        loop->idle = false;
    }
    return done;
}

void bc_loop_run(struct bc_loop *loop)
{
    loop_bind(loop);
    (void)pthread_setname_np(pthread_self(), loop->name);
    while (__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE) == 0) {
        (void)bc_loop_turn(loop, UINT64_MAX);
    }
    __atomic_store_n(&loop->stop, 0, __ATOMIC_RELAXED);
}
