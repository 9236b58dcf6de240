/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the files of the loop share: the loop's body, and the heap of its timers. Not
 * for other rooms.
 *
 * Invariants: `sleeping` is 1 only while the owner is in, or about to enter, the blocking wait; who
 * takes it back to 0 wakes the owner. `in_flight` counts ops with in_flight set.
 * Thread: the owner, but for `mailbox`, `sleeping`, `stop` and `wake_fd`. */
#ifndef BC_LOOP_INTERNAL_H
#define BC_LOOP_INTERNAL_H

#include <pthread.h>

#include "base/compiler.h"
#include "base/spin.h"
#include "loop/loop.h"

BC_EXTERN_C_BEGIN

#define BC_LOOP_NAME_MAX 16 /* of a thread's name in Linux, NUL included */
#define BC_TIMER_STOPPED UINT32_MAX

/* seq makes timers of one deadline expire in the order in which they were started. */
struct bc_timer_entry {
    uint64_t deadline_ns;
    uint64_t seq;
    struct bc_timer *timer;
};

struct bc_timer_heap {
    struct bc_timer_entry *entries;
    uint32_t count;
    uint32_t capacity;
    uint64_t next_seq;
};

struct bc_loop {
    struct io_uring ring;
    const struct bc_clock *clock;
    uint64_t now_ns;
    struct bc_spin spin;
    uint64_t idle_since_ns;
    bool idle;       /* nothing was done since idle_since_ns */
    bool bound;      /* the owner is final */
    bool disabled;   /* the ring waits to be enabled by its owner */
    bool wake_once;  /* the kernel has no multishot poll */
    bool real_clock; /* the clock moves while the loop sleeps */
    pthread_t owner;
    uint32_t in_flight;
    struct bc_list deferred;
    struct bc_list pollers;
    struct bc_list_node *next_poller; /* while pollers are called: who comes next */
    struct bc_timer_heap timers;
    struct bc_op wake_op;
    struct bc_counter turns;
    struct bc_counter sleeps;
    struct bc_counter completions;
    struct bc_counter mails;
    char name[BC_LOOP_NAME_MAX];

    struct bc_mpsc mailbox __attribute__((aligned(64)));
    uint32_t sleeping; /* atomic */
    uint32_t stop;     /* atomic */
    int wake_fd;
};

BC_MUST_USE int bc_timer_heap_init(struct bc_timer_heap *heap, uint32_t capacity);
/* Forgets the timers that are still started. */
void bc_timer_heap_fini(struct bc_timer_heap *heap);
/* Runs what is due at now_ns and was started before this call; returns how many. */
uint32_t bc_timer_heap_expire(struct bc_timer_heap *heap, uint64_t now_ns);
/* UINT64_MAX when none is started. */
uint64_t bc_timer_heap_next_ns(const struct bc_timer_heap *heap);

static inline void bc_loop_assert_owner(const struct bc_loop *loop)
{
    BC_DASSERT(pthread_equal(loop->owner, pthread_self()));
    (void)loop;
}

BC_EXTERN_C_END

#endif
