/* SPDX-License-Identifier: Apache-2.0 */
/* link.h - when a connection can be read or written, whatever carries it: a descriptor, which the
 * loop watches, or an engine that is asked (transport.h), which calls back.
 *
 * Both report a level, as bc_watch does: `ready` comes again and again, once a turn, as long as one
 * of the events that were asked for is up; what stops reading and starts again later misses
 * nothing. It never comes inside of the caller's own calls.
 * Thread: the loop's owner, which is also the engine's. Memory: embedded in its owner, which keeps
 * it, and the connection, until `stopped` was called. */
#ifndef BC_SESSION_LINK_H
#define BC_SESSION_LINK_H

#include "channel/transport.h"
#include "loop/loop.h"

BC_EXTERN_C_BEGIN

struct bc_link;
typedef void (*bc_link_fn)(struct bc_link *link, uint32_t events);

struct bc_link {
    struct bc_loop *loop;
    const struct bc_transport_ops *transport;
    struct bc_conn *conn;
    bc_link_fn ready;
    void (*stopped)(struct bc_link *link);
    struct bc_watch watch; /* of a descriptor */
    struct bc_task task;   /* of an engine's connection: `ready` or `stopped` is due */
    uint32_t events;       /* asked for */
};

void bc_link_init(struct bc_link *link, struct bc_loop *loop,
                  const struct bc_transport_ops *transport, struct bc_conn *conn, bc_link_fn ready);
/* From now on for these events (POLLIN, POLLOUT; POLLHUP and POLLERR come with any); 0: none. */
void bc_link_start(struct bc_link *link, uint32_t events);
/* `ready` comes no more; `stopped` comes in a later turn, then the connection may be closed. */
void bc_link_stop(struct bc_link *link, void (*stopped)(struct bc_link *link));

BC_EXTERN_C_END

#endif
