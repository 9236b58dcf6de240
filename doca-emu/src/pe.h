/* SPDX-License-Identifier: Apache-2.0 */
/* pe.h - inside of the progress engine: a stack of completed tasks that engine threads push on and
 * the owner thread takes as a whole, without a lock, and an eventfd, which the lock is for.
 * The eventfd is readable only while the engine was armed and something is pending: a completion
 * writes it when armed; a progress call that finds nothing takes the signal back and stays armed.
 * The notification handle is an epoll set of that eventfd and, while armed, of the descriptors of
 * contexts that are polled.
 * Thread: the owner's, but for emu_pe_complete(). */
#ifndef EMU_PE_H
#define EMU_PE_H

#include "ctx.h"

#include <pthread.h>

struct doca_pe {
    struct doca_ctx *contexts;
    struct emu_task_list ready; /* to be reported next; owner only */
    unsigned num_events;        /* unreported state changes of all contexts */
    unsigned num_stopping;      /* contexts in STOPPING */
    uint64_t random;            /* state of the random-order fault */
    EMU_ATOMIC(bool) busy;      /* inside of progress */
    int event_fd;
    int handle; /* epoll set: event_fd, and the wait_fd of contexts that are watched */

    unsigned num_polled;  /* contexts that are polled */
    unsigned next_polled; /* which of them is asked first */
    bool poll_first;      /* before completed tasks; in turns, so that neither waits for long */

    struct emu_task_list taken; /* from the stack, oldest first; owner only */

    EMU_ATOMIC(struct doca_task *) done; /* the stack, newest first */
    pthread_mutex_t lock;
    EMU_ATOMIC(bool) armed;     /* written under lock, read without */
    EMU_ATOMIC(bool) signalled; /* event_fd is readable; written under lock */
};

/* Any thread: the task is done, status is set. */
EMU_INTERNAL void emu_pe_complete(struct doca_pe *pe, struct doca_task *task);

/* Owner: something became pending other than by a completion. */
EMU_INTERNAL void emu_pe_kick(struct doca_pe *pe);

/* Owner, inside of progress: the task goes back to its user. The context may be gone afterwards. */
EMU_INTERNAL void emu_pe_report(struct doca_task *task);

/* Owner: the context's wait_fd is no longer part of the handle. */
void emu_pe_unwatch(struct doca_ctx *ctx);

#endif /* EMU_PE_H */
