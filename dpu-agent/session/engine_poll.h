/* SPDX-License-Identifier: Apache-2.0 */
/* engine_poll.h - lets a loop ask the engine of a transport (transport.h: progress, arm): once a
 * turn while there is traffic; before the loop sleeps the engine is armed, and the sleep ends when
 * its descriptor becomes readable or after sleep_max_ns, so that an idle engine costs next to
 * nothing.
 * Thread: the loop's owner. Memory: embedded in its owner, which keeps it, and the engine, until
 * `stopped` was called. */
#ifndef BC_SESSION_ENGINE_POLL_H
#define BC_SESSION_ENGINE_POLL_H

#include "channel/transport.h"
#include "loop/loop.h"

BC_EXTERN_C_BEGIN

struct bc_engine_poll;
typedef void (*bc_engine_poll_fn)(struct bc_engine_poll *poll);

struct bc_engine_poll {
    struct bc_poller poller;
    struct bc_watch watch; /* of the engine's descriptor */
    struct bc_loop *loop;
    const struct bc_transport_ops *transport;
    struct bc_engine *engine;
    bc_engine_poll_fn progressed;
    bc_engine_poll_fn stopped;
    bool not_armed; /* something was ready: arming may have done it, and no progress will tell */
};

/* progressed: called after each progress that did something, in a place where connections may be
 * accepted and closed; may be NULL. */
void bc_engine_poll_start(struct bc_engine_poll *poll, struct bc_loop *loop,
                          const struct bc_transport_ops *transport, struct bc_engine *engine,
                          bc_engine_poll_fn progressed);
/* The engine is asked no more; `stopped` comes in a later turn, then it may end. */
void bc_engine_poll_stop(struct bc_engine_poll *poll, bc_engine_poll_fn stopped);

BC_EXTERN_C_END

#endif
