/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - the client: everything that its parts share, and who may touch what.
 *
 *   application threads                        library thread (thread.c)
 *     submit, wait, register ...                 connects, reconnects, keeps alive, deadlines,
 *        \                                       closes windows, serves when nobody waits
 *         +--------- client->lock --------------+
 *
 * Locks. `lock` guards everything below it here, and every request, memory, region, export and
 * link. It is held for short stretches only: nothing blocks, sleeps or calls DOCA under it, but for
 * the calls of the link's own Comch engine, which belongs to whoever has the lock and never blocks.
 * device.lock is taken for the other DOCA calls, never together with `lock`.
 *
 * Loss of the agent (session.c, revoke.c). Whoever notices drops the link: what waited for an
 * answer is told, requests that the agent had become `dying`, their exports are to be closed. The
 * library thread closes the windows; when all of a dying request are closed, it becomes terminal.
 *
 * Lifetime: created by bc_client_open, freed by bc_client_close once nothing is quarantined. */
#ifndef BC_HOST_CLIENT_H
#define BC_HOST_CLIENT_H

#include <pthread.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/spin.h"
#include "bluecache/bluecache.h"
#include "bounce.h"
#include "device.h"
#include "exports.h"
#include "link.h"
#include "pending.h"
#include "settings.h"

BC_EXTERN_C_BEGIN

struct bc_waiter;

/* What a session's memory ids look like from the client's side. */
struct bc_memory_ids {
    uint8_t *used; /* one per id; an id whose UNREGISTER was not answered stays used */
    uint32_t capacity;
    uint32_t next; /* where to look first */
};

struct bc_client {
    /* Constant after open. */
    struct bc_settings settings;
    struct bc_device device;
    const struct bc_transport_ops *transport;
    uint64_t timeout_ns;
    pthread_t thread;
    bool thread_started;
    int thread_fd; /* eventfd: wakes the library thread */
    int leader_fd; /* eventfd: wakes the waiter that polls the link */
    int stop_fd;   /* eventfd: ends an attempt to connect; never drained */
    int ready_fd;  /* eventfd: what bc_client_fd hands out */

    pthread_mutex_t lock;

    /* Waiting and waking (progress.c). */
    struct bc_list waiters;
    struct bc_waiter *leader; /* polls the link without the lock; NULL: nobody does */
    struct bc_spin spin;      /* the leader's, also without the lock */
    bool changed;             /* something a waiter may wait for has changed: look at unlock */
    bool thread_polls;        /* the library thread polls the link for messages */
    bool thread_sends;        /* and for room to send */
    bool thread_kicked;
    uint64_t thread_until_ns; /* when the library thread wakes up by itself */
    uint64_t progress_ns;     /* when an application thread last looked at the link */
    bool fd_used;
    bool fd_signalled;    /* ready_fd is readable */
    bool terminal_unseen; /* a request became terminal since the last clear */

    /* The connection (session.c). */
    struct bc_link *link;      /* NULL: none */
    struct bc_list dead_links; /* struct bc_link.dead_node: to be closed by the library thread */
    uint64_t link_serial;
    bool connect_wanted;
    bool connected_once;
    int connect_error;     /* of the first attempt */
    struct bc_error error; /* its sentence */
    uint64_t connect_due_ns;
    uint32_t connect_failures; /* since the last session */
    uint64_t random;           /* state of the jitter */
    uint64_t reconnects;
    struct bc_wire_hello_ack grant; /* of the last session */
    char agent_name[64];
    struct bc_pending_table pending;
    uint8_t *scratch; /* where messages are put together */
    size_t scratch_len;

    /* Requests (request.c, transfer.c). */
    struct bc_list requests; /* all in progress: struct bc_request.node */
    struct bc_list finished; /* terminal, not freed yet: struct bc_request.node */
    struct bc_list queue;    /* those with parts to send, oldest first: .queue_node */
    struct bc_list dying;    /* lost with a session, not revoked yet: .queue_node */

    /* Memory (memory.c, registry.c). */
    struct bc_regions regions;
    struct bc_list exports;  /* struct bc_export.node: OPENING to LEAVING */
    struct bc_list closings; /* struct bc_export.node: CLOSING */
    struct bc_memory_ids ids;
    uint32_t generation;
    struct bc_list leaving; /* struct bc_memory.node: unregistered, but still in reach */
    struct bc_bounce bounce;

    bool closing; /* bc_client_close was called */
    bool stop;    /* the library thread ends */
};

static inline uint64_t bc_now_ns(void)
{
    return bc_clock_now_ns(bc_clock_monotonic());
}

/* The earlier of two times. */
static inline void bc_earliest(uint64_t *when_ns, uint64_t other_ns)
{
    if (other_ns < *when_ns) {
        *when_ns = other_ns;
    }
}

/* now + timeout_ms (0: the client's own), without overflow. */
uint64_t bc_client_deadline(const struct bc_client *client, uint64_t timeout_ms);

/* At least len bytes of scratch memory, valid until the next call. NULL: out of memory. */
uint8_t *bc_client_scratch_locked(struct bc_client *client, size_t len);

BC_EXTERN_C_END

#endif
