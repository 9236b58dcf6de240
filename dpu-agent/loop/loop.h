/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - a worker's event loop: one io_uring for files, readiness of sockets and eventfds,
 * timers; deferred calls, pollers for engines without a descriptor, and a mailbox from other
 * threads.
 *
 * One turn: mailbox -> deferred -> pollers -> expired timers -> completions -> submit. When nothing
 * was done the loop polls a little for what comes next, at most spin_ns and only while that pays
 * (base/spin.h), then asks a busy poller to arm its descriptor (poller->sleep) and sleeps until a
 * completion, a mail or the next timer: neither an idle loop nor a slow engine burns a core.
 *
 * Threads: everything belongs to one thread ("the owner"), asserted in debug builds: the creating
 * one until the first turn or run, then for good the one that made it, since the kernel ties the
 * ring to it; only bc_loop_send and bc_loop_stop are for any thread. Before the first turn at most
 * `entries` operations can be prepared (asserted).
 * Memory: the ring and its queues at create. Nothing later, but that the heap of timers doubles
 * when more than `timers` are started at once; it never shrinks, so this ends when the peak was
 * seen. Ops, timers, tasks, mails and pollers are embedded in their owners and must stay valid
 * until their callback ran (or were stopped).
 * Callbacks run one at a time, never inside the call that submitted; they may submit, defer, start
 * and stop timers, and free what they are called for. */
#ifndef BC_LOOP_LOOP_H
#define BC_LOOP_LOOP_H

#include <liburing.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/list.h"
#include "base/metrics.h"
#include "base/mpsc.h"

BC_EXTERN_C_BEGIN

struct bc_loop;

struct bc_loop_options {
    uint32_t entries;             /* submission queue size; 0: 1024 */
    uint32_t timers;              /* room for started timers at create; 0: 1024 */
    uint64_t spin_ns;             /* see above; default when 0: 50 us; UINT64_MAX: never sleep */
    const struct bc_clock *clock; /* NULL: monotonic */
    const char *name;             /* for logs and the thread's name */
};

/* An operation in flight on the ring. */
struct bc_op;
typedef void (*bc_op_fn)(struct bc_op *op, int32_t result, uint32_t cqe_flags);
struct bc_op {
    bc_op_fn done;
    bool in_flight; /* maintained by the loop */
};

/* A call that runs soon: later in this turn or in the next, never inside bc_loop_defer. */
struct bc_task;
typedef void (*bc_task_fn)(struct bc_task *task);
struct bc_task {
    struct bc_list_node node;
    bc_task_fn run;
};

struct bc_timer;
typedef void (*bc_timer_fn)(struct bc_timer *timer);
struct bc_timer {
    bc_timer_fn expired;
    uint64_t deadline_ns;
    uint32_t heap_index; /* UINT32_MAX: not started; zero-initialise with bc_timer_init */
};

/* A message from another thread. */
struct bc_mail;
typedef void (*bc_mail_fn)(struct bc_mail *mail);
struct bc_mail {
    struct bc_mpsc_node node;
    bc_mail_fn deliver; /* runs in the owner thread */
};

/* An engine that must be asked. Started pollers are called every turn. */
struct bc_poller;
struct bc_poller {
    struct bc_list_node node;
    /* Does what is ready; returns how much it did (0: nothing). */
    uint32_t (*poll)(struct bc_poller *poller);
    /* True while work is outstanding: without `sleep` the loop must not sleep. */
    bool (*busy)(struct bc_poller *poller);
    /* Before the loop sleeps: arm your descriptor (which the owner watches by bc_watch). False: do
     * not sleep (something became ready, or there is nothing to arm and work is outstanding).
     * NULL: sleeping is always fine when not busy, never when busy. */
    bool (*sleep)(struct bc_poller *poller);
    /* After `sleep` said true: the longest sleep, for an engine whose descriptor may stay silent
     * although something is ready. NULL: no limit. */
    uint64_t (*sleep_max_ns)(struct bc_poller *poller);
};

/* Readiness of a descriptor, repeated until stopped. events: POLLIN, POLLOUT. */
struct bc_watch;
typedef void (*bc_watch_fn)(struct bc_watch *watch, uint32_t events);
struct bc_watch {
    struct bc_op op;
    struct bc_op cancel;
    struct bc_loop *loop;
    bc_watch_fn ready;
    void (*stopped)(struct bc_watch *watch); /* may be NULL */
    int fd;
    uint32_t events;
    uint32_t state; /* internal */
};

/* -ENOSYS or -EPERM: io_uring is forbidden here (container); the log says what to allow.
 * -ENOMEM. */
BC_MUST_USE int bc_loop_create(const struct bc_loop_options *options, struct bc_loop **loop_out);
/* After the owner is done with it; any thread. No operation may be in flight (asserted), watches
 * must be stopped. Mails and deferred calls are run once more; they must not start operations.
 * Timers that are still started are forgotten. */
void bc_loop_destroy(struct bc_loop *loop);

/* Runs until bc_loop_stop, which is consumed: a stop before the run ends it at once, and it may be
 * run again. The calling thread becomes the owner and gets the loop's name. */
void bc_loop_run(struct bc_loop *loop);
/* One turn for tests; waits at most wait_ns when there is nothing to do (0: does not wait).
 * Returns the number of callbacks that ran. */
uint32_t bc_loop_turn(struct bc_loop *loop, uint64_t wait_ns);
void bc_loop_stop(struct bc_loop *loop); /* any thread, also a signal handler */
/* Operations on the ring whose completion has not come: what a shutdown waits for. */
uint32_t bc_loop_in_flight(const struct bc_loop *loop);

const struct bc_clock *bc_loop_clock(const struct bc_loop *loop);
/* Time at the start of the turn: cheap. */
uint64_t bc_loop_now_ns(const struct bc_loop *loop);

/* Counters: bluecache_loop_turns_total, _sleeps_total, _completions_total, _mails_total. */
BC_MUST_USE int bc_loop_register_metrics(struct bc_loop *loop, struct bc_metrics *metrics);

/* A submission entry to prepare with io_uring_prep_*; never NULL (the queue is flushed when full).
 * Then bc_loop_track gives it its completion; both in the same call frame. The entry's user_data is
 * the op's address, so an op is cancelled by io_uring_prep_cancel(sqe, op, 0). */
struct io_uring_sqe *bc_loop_sqe(struct bc_loop *loop);
void bc_loop_track(struct bc_loop *loop, struct io_uring_sqe *sqe, struct bc_op *op);

void bc_loop_defer(struct bc_loop *loop, struct bc_task *task); /* not while it is queued */
/* The call does not run; the task may be freed. Nothing happens when it is not queued. */
void bc_loop_undefer(struct bc_loop *loop, struct bc_task *task);

void bc_timer_init(struct bc_timer *timer, bc_timer_fn expired);
void bc_timer_start(struct bc_loop *loop, struct bc_timer *timer, uint64_t delay_ns); /* restarts */
void bc_timer_stop(struct bc_loop *loop, struct bc_timer *timer); /* idempotent */

/* Any thread. The mail is the receiver's until `deliver` runs. Release order; pairs with the
 * owner's acquire. Mails to a stopped loop are delivered by bc_loop_destroy's last turn. */
void bc_loop_send(struct bc_loop *loop, struct bc_mail *mail);

void bc_poller_start(struct bc_loop *loop, struct bc_poller *poller);
void bc_poller_stop(struct bc_loop *loop, struct bc_poller *poller);

void bc_watch_init(struct bc_watch *watch, struct bc_loop *loop, int fd, bc_watch_fn ready);
/* (Re)arms for these events; the callback comes for every turn in which the descriptor is ready: it
 * need not drain the descriptor. 0 pauses the watch. POLLNVAL is reported once, when the descriptor
 * cannot be watched, and pauses it as well. */
void bc_watch_start(struct bc_watch *watch, uint32_t events);
/* No `ready` call comes after this; `stopped` is called when the descriptor may be closed and the
 * watch freed (in a later turn; also when it was never started). Once; to use it again, init it. */
void bc_watch_stop(struct bc_watch *watch, void (*stopped)(struct bc_watch *watch));

BC_EXTERN_C_END

#endif
