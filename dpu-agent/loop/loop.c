/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - the loop's life: the ring with the best features that the kernel has, its wake-up
 * descriptor, and what is handed to it by its owner (entries, deferred calls, pollers) and by
 * others (mails). The turn itself is in turn.c.
 *
 * Waking: a sender pushes its mail, then takes `sleeping` from 1 to 0 with an exchange; whoever
 * gets the 1 writes the eventfd. The owner sets `sleeping` to 1 with an exchange, then looks into
 * the mailbox once more before it blocks. Both exchanges are on one word: either the owner's reads
 * what a sender's released (and its look finds the mail), or the sender's reads the owner's 1 (and
 * it wakes). */
#include "loop/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"

#define LOOP_ENTRIES_DEFAULT 1024u
#define LOOP_TIMERS_DEFAULT  1024u
#define LOOP_SPIN_DEFAULT_NS (50 * BC_NS_PER_US)
/* Completions that fit before the kernel has to put some aside, as a multiple of the entries. */
#define LOOP_CQ_FACTOR       8u
#define LOOP_CQ_ENTRIES_MAX  65536u
#define LOOP_FLUSH_TRIES_MAX 1000u
#define LOOP_LAST_PASSES     64u

/* Numbers of the kernel's interface, for headers that are older than the kernel. */
#ifndef IORING_SETUP_SUBMIT_ALL
#define IORING_SETUP_SUBMIT_ALL (1U << 7)
#endif
#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#endif
#ifndef IORING_SETUP_TASKRUN_FLAG
#define IORING_SETUP_TASKRUN_FLAG (1U << 9)
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

/* Best first. A ring of one issuer is tied to the thread that enables it, hence R_DISABLED. */
static const uint32_t loop_setups[] = {
#ifdef BC_URING_2_3
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
#endif
    0,
};

static void log_create_failure(const char *name, int error)
{
    if (error == -EPERM || error == -EACCES) {
        BC_ERROR(
            "loop",
            "%s: io_uring is forbidden here (%s): allow it with sysctl kernel.io_uring_disabled=0, and in a "
            "container with a seccomp profile that permits io_uring_setup, io_uring_enter and "
            "io_uring_register (docker run --security-opt seccomp=PROFILE)",
            name, strerror(-error));
    } else if (error == -ENOSYS) {
        BC_ERROR(
            "loop",
            "%s: this kernel has no usable io_uring: 5.11 or newer is needed, with CONFIG_IO_URING, and "
            "a sandbox must pass io_uring_setup, io_uring_enter and io_uring_register on",
            name);
    } else if (error == -ENOMEM) {
        BC_ERROR("loop",
                 "%s: no memory for the io_uring: raise the limit of locked memory (ulimit -l)",
                 name);
    } else {
        BC_ERROR("loop", "%s: cannot create the event loop: %s", name, strerror(-error));
    }
}

/* A sandbox may let a ring be made and then not be enabled, by its owner: better told now. */
static int loop_probe_register(struct bc_loop *loop)
{
    struct io_uring_probe probe = {0};
    int rc = io_uring_register_probe(&loop->ring, &probe, 0);

    return rc < 0 ? rc : 0;
}

static int loop_setup_ring(struct bc_loop *loop, uint32_t entries)
{
    int rc = -EINVAL;
    size_t i;

    for (i = 0; i < BC_ARRAY_LEN(loop_setups) && rc == -EINVAL; i++) {
        struct io_uring_params params;

        memset(&params, 0, sizeof(params));
        params.flags = loop_setups[i] | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
        params.cq_entries =
            (uint32_t)bc_min_u64((uint64_t)entries * LOOP_CQ_FACTOR, LOOP_CQ_ENTRIES_MAX);
        rc = io_uring_queue_init_params(entries, &loop->ring, &params);
        loop->disabled = (params.flags & IORING_SETUP_R_DISABLED) != 0;
    }
    if (rc == 0 && ((loop->ring.features & IORING_FEAT_EXT_ARG) == 0 ||
                    (loop->ring.features & IORING_FEAT_NODROP) == 0)) {
        io_uring_queue_exit(&loop->ring);
        return -ENOSYS;
    }
    if (rc == 0) {
        rc = loop_probe_register(loop);
        if (rc != 0) {
            io_uring_queue_exit(&loop->ring);
        }
    }
    return rc;
}

static void loop_arm_wake(struct bc_loop *loop)
{
    struct io_uring_sqe *sqe = bc_loop_sqe(loop);

    if (loop->wake_once) {
        io_uring_prep_poll_add(sqe, loop->wake_fd, POLLIN);
    } else {
        io_uring_prep_poll_multishot(sqe, loop->wake_fd, POLLIN);
    }
    bc_loop_track(loop, sqe, &loop->wake_op);
}

static void loop_woken(struct bc_op *op, int32_t result, uint32_t cqe_flags)
{
    struct bc_loop *loop = BC_CONTAINER_OF(op, struct bc_loop, wake_op);
    uint64_t count;
    ssize_t got = read(loop->wake_fd, &count, sizeof(count));

    (void)got; /* -EAGAIN when an earlier read has emptied it: what it stands for was seen then */
    if (result == -EINVAL) {
        loop->wake_once = true; /* Linux before 5.13 */
    }
    if ((cqe_flags & IORING_CQE_F_MORE) == 0) {
        loop_arm_wake(loop);
    }
}

static void loop_init(struct bc_loop *loop, const struct bc_loop_options *options)
{
    loop->clock = options->clock != NULL ? options->clock : bc_clock_monotonic();
    loop->real_clock = loop->clock == bc_clock_monotonic();
    loop->now_ns = bc_clock_now_ns(loop->clock);
    bc_spin_init(&loop->spin, options->spin_ns != 0 ? options->spin_ns : LOOP_SPIN_DEFAULT_NS);
    loop->owner = pthread_self();
    bc_list_init(&loop->deferred);
    bc_list_init(&loop->pollers);
    bc_mpsc_init(&loop->mailbox);
    loop->wake_op.done = loop_woken;
    snprintf(loop->name, sizeof(loop->name), "%s", options->name != NULL ? options->name : "loop");
}

int bc_loop_create(const struct bc_loop_options *options, struct bc_loop **loop_out)
{
    struct bc_loop *loop = NULL;
    int rc;

    rc = posix_memalign((void **)&loop, _Alignof(struct bc_loop), sizeof(*loop));
    if (rc != 0) {
        return -ENOMEM;
    }
    memset(loop, 0, sizeof(*loop));
    loop_init(loop, options);
    rc = bc_timer_heap_init(&loop->timers,
                            options->timers != 0 ? options->timers : LOOP_TIMERS_DEFAULT);
    if (rc != 0) {
        goto err_free;
    }
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0) {
        rc = -errno;
        goto err_fini_timers;
    }
    rc = loop_setup_ring(loop, options->entries != 0 ? options->entries : LOOP_ENTRIES_DEFAULT);
    if (rc != 0) {
        goto err_close_wake;
    }
    loop_arm_wake(loop);
    *loop_out = loop;
    return 0;

err_close_wake:
    close(loop->wake_fd);
err_fini_timers:
    bc_timer_heap_fini(&loop->timers);
err_free:
    log_create_failure(loop->name, rc);
    free(loop);
    return rc;
}

void bc_loop_destroy(struct bc_loop *loop)
{
    uint32_t passes;

    if (loop == NULL) {
        return;
    }
    /* The owner's thread may be gone: nothing is submitted any more, only calls are run. */
    loop->owner = pthread_self();
    for (passes = 0; passes < LOOP_LAST_PASSES; passes++) {
        struct bc_mpsc_node *mail = bc_mpsc_pop(&loop->mailbox);
        struct bc_list_node *task = bc_list_pop_front(&loop->deferred);

        if (mail == NULL && task == NULL) {
            break;
        }
        for (; mail != NULL; mail = bc_mpsc_pop(&loop->mailbox)) {
            struct bc_mail *each = BC_CONTAINER_OF(mail, struct bc_mail, node);
            each->deliver(each);
        }
        for (; task != NULL; task = bc_list_pop_front(&loop->deferred)) {
            struct bc_task *each = BC_CONTAINER_OF(task, struct bc_task, node);
            each->run(each);
        }
    }
    BC_ASSERT(bc_loop_in_flight(loop) == 0);
    BC_ASSERT(bc_list_empty(&loop->pollers));
    io_uring_queue_exit(&loop->ring);
    close(loop->wake_fd);
    bc_timer_heap_fini(&loop->timers);
    free(loop);
}

const struct bc_clock *bc_loop_clock(const struct bc_loop *loop)
{
    return loop->clock;
}

uint64_t bc_loop_now_ns(const struct bc_loop *loop)
{
    return loop->now_ns;
}

uint32_t bc_loop_in_flight(const struct bc_loop *loop)
{
    return loop->in_flight - (loop->wake_op.in_flight ? 1 : 0);
}

int bc_loop_register_metrics(struct bc_loop *loop, struct bc_metrics *metrics)
{
    const struct bc_counter_row rows[] = {
        {BC_METRIC_COUNTER, "bluecache_loop_turns_total", "Turns of the event loops", &loop->turns},
        {BC_METRIC_COUNTER, "bluecache_loop_sleeps_total",
         "Times an event loop waited in the kernel", &loop->sleeps},
        {BC_METRIC_COUNTER, "bluecache_loop_completions_total", "Completions taken from io_uring",
         &loop->completions},
        {BC_METRIC_COUNTER, "bluecache_loop_mails_total", "Messages delivered between threads",
         &loop->mails},
    };

    return bc_metrics_add_counters(metrics, rows, BC_ARRAY_LEN(rows));
}

struct io_uring_sqe *bc_loop_sqe(struct bc_loop *loop)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
    uint32_t tries;

    bc_loop_assert_owner(loop);
    /* The kernel refuses entries only for the moment, when it lacks memory for them. */
    for (tries = 0; sqe == NULL && tries < LOOP_FLUSH_TRIES_MAX; tries++) {
        BC_ASSERT(!loop->disabled && "too many operations before the first turn");
        (void)io_uring_submit(&loop->ring);
        sqe = io_uring_get_sqe(&loop->ring);
    }
    BC_ASSERT(sqe != NULL);
    return sqe;
}

void bc_loop_track(struct bc_loop *loop, struct io_uring_sqe *sqe, struct bc_op *op)
{
    BC_DASSERT(!op->in_flight);
    op->in_flight = true;
    loop->in_flight++;
    io_uring_sqe_set_data(sqe, op);
}

void bc_loop_defer(struct bc_loop *loop, struct bc_task *task)
{
    bc_loop_assert_owner(loop);
    BC_ASSERT(!bc_list_linked(&task->node));
    bc_list_push_back(&loop->deferred, &task->node);
}

void bc_loop_undefer(struct bc_loop *loop, struct bc_task *task)
{
    bc_loop_assert_owner(loop);
    if (bc_list_linked(&task->node)) {
        bc_list_remove(&loop->deferred, &task->node);
    }
}

static void loop_wake(struct bc_loop *loop)
{
    /* Acquire-release: see the head of this file. */
    if (__atomic_exchange_n(&loop->sleeping, 0, __ATOMIC_ACQ_REL) != 0) {
        uint64_t one = 1;
        ssize_t put = write(loop->wake_fd, &one, sizeof(one));
        (void)put; /* fails only when the counter is at its end: then it is readable anyway */
    }
}

void bc_loop_send(struct bc_loop *loop, struct bc_mail *mail)
{
    (void)bc_mpsc_push(&loop->mailbox, &mail->node);
    loop_wake(loop);
}

void bc_loop_stop(struct bc_loop *loop)
{
    int saved_errno = errno; /* it may be called from a signal handler */

    __atomic_store_n(&loop->stop, 1, __ATOMIC_RELEASE);
    loop_wake(loop);
    errno = saved_errno;
}

void bc_poller_start(struct bc_loop *loop, struct bc_poller *poller)
{
    bc_loop_assert_owner(loop);
    bc_list_push_back(&loop->pollers, &poller->node);
}

void bc_poller_stop(struct bc_loop *loop, struct bc_poller *poller)
{
    bc_loop_assert_owner(loop);
    if (!bc_list_linked(&poller->node)) {
        return;
    }
    if (loop->next_poller == &poller->node) {
        loop->next_poller = bc_list_next(&loop->pollers, &poller->node);
    }
    bc_list_remove(&loop->pollers, &poller->node);
}
