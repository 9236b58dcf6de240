/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - readiness of a descriptor, by a one-shot poll that is armed again after each callback.
 *
 * One-shot and not multishot: multishot polls report changes, and the contract is that of a level:
 * a session that left bytes in its socket is told again. Arming again is one entry in the turn's
 * submission and no system call of its own.
 *
 *   IDLE -start-> ARMED -start with other events-> CHANGING -both done-> ARMED (or IDLE with events
 *   0) any of these -stop-> STOPPING -both done-> STOPPED
 *
 * Invariant: a poll is not armed while a cancel is in flight, since the cancel could take the new
 * one.
 * Thread: the loop's owner. Memory: embedded in the caller's object until `stopped`. */
#include "loop/loop.h"

#include <errno.h>
#include <poll.h>

enum watch_state {
    WATCH_IDLE = 0,     /* nothing is reported */
    WATCH_ARMED = 1,    /* a poll is in flight, or its callback is running */
    WATCH_CHANGING = 2, /* the poll is being cancelled, to be armed with other events */
    WATCH_STOPPING = 3, /* waiting for what is in flight */
    WATCH_STOPPED = 4,
};

static void watch_polled(struct bc_op *op, int32_t result, uint32_t cqe_flags);
static void watch_cancelled(struct bc_op *op, int32_t result, uint32_t cqe_flags);

static void watch_arm(struct bc_watch *watch)
{
    struct io_uring_sqe *sqe;

    if (watch->events == 0) {
        watch->state = WATCH_IDLE;
        return;
    }
    watch->state = WATCH_ARMED;
    sqe = bc_loop_sqe(watch->loop);
    io_uring_prep_poll_add(sqe, watch->fd, watch->events);
    bc_loop_track(watch->loop, sqe, &watch->op);
}

/* The poll's own completion comes as well, whatever the cancel finds. With no poll in flight the
 * entry does nothing: its completion is the later turn in which `stopped` is called. */
static void watch_cancel(struct bc_watch *watch)
{
    struct io_uring_sqe *sqe;

    if (watch->cancel.in_flight) {
        return;
    }
    sqe = bc_loop_sqe(watch->loop);
    if (watch->op.in_flight) {
        io_uring_prep_rw(IORING_OP_POLL_REMOVE, sqe, -1, NULL, 0, 0);
        sqe->addr = (uint64_t)(uintptr_t)&watch->op;
    } else {
        io_uring_prep_nop(sqe);
    }
    bc_loop_track(watch->loop, sqe, &watch->cancel);
}

/* After each completion of a watch that changes or stops. */
static void watch_settle(struct bc_watch *watch)
{
    if (watch->op.in_flight || watch->cancel.in_flight) {
        return;
    }
    if (watch->state == WATCH_CHANGING) {
        watch_arm(watch);
    } else if (watch->state == WATCH_STOPPING) {
        watch->state = WATCH_STOPPED;
        if (watch->stopped != NULL) {
            watch->stopped(watch);
        }
    }
}

static void watch_polled(struct bc_op *op, int32_t result, uint32_t cqe_flags)
{
    struct bc_watch *watch = BC_CONTAINER_OF(op, struct bc_watch, op);

    (void)cqe_flags;
    if (watch->state != WATCH_ARMED) {
        watch_settle(watch);
        return;
    }
    if (result > 0) {
        watch->ready(watch, (uint32_t)result);
    } else if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
        watch->state = WATCH_IDLE;
        watch->ready(watch, POLLNVAL);
    }
    /* The callback may have stopped, paused or changed the watch. */
    if (watch->state == WATCH_ARMED && !watch->op.in_flight) {
        watch_arm(watch);
    }
}

static void watch_cancelled(struct bc_op *op, int32_t result, uint32_t cqe_flags)
{
    (void)result;
    (void)cqe_flags;
    watch_settle(BC_CONTAINER_OF(op, struct bc_watch, cancel));
}

void bc_watch_init(struct bc_watch *watch, struct bc_loop *loop, int fd, bc_watch_fn ready)
{
    watch->op = (struct bc_op){.done = watch_polled, .in_flight = false};
    watch->cancel = (struct bc_op){.done = watch_cancelled, .in_flight = false};
    watch->loop = loop;
    watch->ready = ready;
    watch->stopped = NULL;
    watch->fd = fd;
    watch->events = 0;
    watch->state = WATCH_IDLE;
}

void bc_watch_start(struct bc_watch *watch, uint32_t events)
{
    BC_ASSERT(watch->state != WATCH_STOPPING && watch->state != WATCH_STOPPED);
    if (watch->state == WATCH_IDLE) {
        watch->events = events;
        watch_arm(watch);
        return;
    }
    if (watch->state == WATCH_ARMED && watch->op.in_flight && watch->events != events) {
        watch->state = WATCH_CHANGING;
        watch_cancel(watch);
    }
    /* Otherwise it takes effect when the callback returns, or when the poll has been cancelled. */
    watch->events = events;
}

void bc_watch_stop(struct bc_watch *watch, void (*stopped)(struct bc_watch *watch))
{
    BC_ASSERT(watch->state != WATCH_STOPPING && watch->state != WATCH_STOPPED);
    watch->stopped = stopped;
    watch->state = WATCH_STOPPING;
    watch_cancel(watch);
}
