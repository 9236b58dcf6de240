/* SPDX-License-Identifier: Apache-2.0 */
/* engine_poll.c - see engine_poll.h. */
#include "session/engine_poll.h"

#include <poll.h>

static struct bc_engine_poll *of(struct bc_poller *poller)
{
    return BC_CONTAINER_OF(poller, struct bc_engine_poll, poller);
}

static uint32_t ask(struct bc_poller *poller)
{
    struct bc_engine_poll *poll = of(poller);
    uint32_t done = poll->transport->progress(poll->engine);
    if ((done > 0 || poll->not_armed) && poll->progressed != NULL) {
        poll->not_armed = false;
        poll->progressed(poll);
    }
    return done;
}

static bool arm(struct bc_poller *poller)
{
    struct bc_engine_poll *poll = of(poller);
    poll->not_armed = !poll->transport->arm(poll->engine);
    return !poll->not_armed;
}

static uint64_t sleep_max_ns(struct bc_poller *poller)
{
    struct bc_engine_poll *poll = of(poller);
    return poll->transport->sleep_max_ns(poll->engine);
}

/* It only ends the sleep: the turn that follows has asked the engine already. */
static void signalled(struct bc_watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
}

static void watch_stopped(struct bc_watch *watch)
{
    struct bc_engine_poll *poll = BC_CONTAINER_OF(watch, struct bc_engine_poll, watch);
    poll->stopped(poll);
}

void bc_engine_poll_start(struct bc_engine_poll *poll, struct bc_loop *loop,
                          const struct bc_transport_ops *transport, struct bc_engine *engine,
                          bc_engine_poll_fn progressed)
{
    *poll = (struct bc_engine_poll){
        .poller = {.poll = ask, .sleep = arm, .sleep_max_ns = sleep_max_ns},
        .loop = loop,
        .transport = transport,
        .engine = engine,
        .progressed = progressed,
    };
    bc_watch_init(&poll->watch, loop, transport->engine_fd(engine), signalled);
    bc_watch_start(&poll->watch, POLLIN);
    bc_poller_start(loop, &poll->poller);
}

void bc_engine_poll_stop(struct bc_engine_poll *poll, bc_engine_poll_fn stopped)
{
    poll->stopped = stopped;
    bc_poller_stop(poll->loop, &poll->poller);
    bc_watch_stop(&poll->watch, watch_stopped);
}
