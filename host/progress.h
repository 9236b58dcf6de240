/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - the client's lock, and waiting under it.
 * The thread that waits serves the connection itself: the first one polls the link (the leader),
 * the others sleep until what they wait for has come or the leader is gone. So a single waiting
 * thread sees its completion after one wake-up. When no application thread waits or tests for
 * BC_TAKEOVER_MS, the library thread polls the link instead.
 * Thread: any. Waiting functions release the lock while they sleep: what was read before is
 * stale. */
#ifndef BC_HOST_PROGRESS_H
#define BC_HOST_PROGRESS_H

#include "client.h"

BC_EXTERN_C_BEGIN

#define BC_TAKEOVER_MS UINT64_C(20)

/* An eventfd made readable, and unreadable again. */
void bc_progress_signal_fd(int fd);
void bc_progress_drain_fd(int fd);

void bc_client_lock(struct bc_client *client);
bool bc_client_trylock(struct bc_client *client);
/* Wakes the waiters whose wait is over. */
void bc_client_unlock(struct bc_client *client);

/* Something a waiter may wait for has changed. */
static inline void bc_progress_changed_locked(struct bc_client *client)
{
    client->changed = true;
}

/* Waits until ready(arg), which is called with the lock held: true; false at the deadline. */
typedef bool (*bc_ready_fn)(void *arg);
bool bc_progress_wait_locked(struct bc_client *client, bc_ready_fn ready, void *arg,
                             uint64_t deadline_ns);

/* Looks at the link without blocking: for bc_request_test. */
void bc_progress_poll_locked(struct bc_client *client);

/* The link is gone: whoever polls it has to stop. */
void bc_progress_release_leader_locked(struct bc_client *client);

/* Makes the library thread look at its timers again. */
void bc_progress_kick_thread_locked(struct bc_client *client);
/* The library thread must be awake at when_ns. */
void bc_progress_timer_locked(struct bc_client *client, uint64_t when_ns);

BC_EXTERN_C_END

#endif
