/* SPDX-License-Identifier: Apache-2.0 */
/* link.c - see link.h.
 * An engine calls back once, when an event comes up, and from inside of its progress: the call is
 * noted, and made by a deferred task, again and again while the level is up. The task looks at the
 * level first, since the event may have been acted on meanwhile. */
#include "session/link.h"

#include <poll.h>

#include "base/assert.h"

#define ALWAYS ((uint32_t)(POLLHUP | POLLERR))

static bool is_asked(const struct bc_link *link)
{
    return link->transport->progress != NULL;
}

static void watch_ready(struct bc_watch *watch, uint32_t events)
{
    struct bc_link *link = BC_CONTAINER_OF(watch, struct bc_link, watch);
    link->ready(link, events);
}

static void watch_stopped(struct bc_watch *watch)
{
    struct bc_link *link = BC_CONTAINER_OF(watch, struct bc_link, watch);
    link->stopped(link);
}

/* What is up of what is asked for. */
static uint32_t level(const struct bc_link *link)
{
    return link->events == 0 ? 0
                             : link->transport->conn_ready(link->conn) & (link->events | ALWAYS);
}

static void note(struct bc_link *link)
{
    if (!bc_list_linked(&link->task.node)) {
        bc_loop_defer(link->loop, &link->task);
    }
}

static void task_ready(struct bc_task *task)
{
    struct bc_link *link = BC_CONTAINER_OF(task, struct bc_link, task);
    uint32_t events = level(link);
    if (events == 0) {
        return;
    }
    note(link); /* first: `ready` may stop the link */
    link->ready(link, events);
}

static void task_stopped(struct bc_task *task)
{
    struct bc_link *link = BC_CONTAINER_OF(task, struct bc_link, task);
    link->stopped(link);
}

static void engine_says(void *arg, uint32_t events)
{
    struct bc_link *link = arg;
    if ((events & (link->events | ALWAYS)) != 0 && link->events != 0) {
        note(link);
    }
}

void bc_link_init(struct bc_link *link, struct bc_loop *loop,
                  const struct bc_transport_ops *transport, struct bc_conn *conn, bc_link_fn ready)
{
    *link = (struct bc_link){
        .loop = loop, .transport = transport, .conn = conn, .ready = ready, .task.run = task_ready};
    if (is_asked(link)) {
        transport->conn_on_ready(conn, engine_says, link);
    } else {
        bc_watch_init(&link->watch, loop, transport->conn_fd(conn), watch_ready);
    }
}

void bc_link_start(struct bc_link *link, uint32_t events)
{
    if (!is_asked(link)) {
        bc_watch_start(&link->watch, events);
        return;
    }
    BC_ASSERT(link->stopped == NULL);
    link->events = events;
    if (level(link) != 0) {
        note(link);
    } else {
        bc_loop_undefer(link->loop, &link->task);
    }
}

void bc_link_stop(struct bc_link *link, void (*stopped)(struct bc_link *link))
{
    BC_ASSERT(link->stopped == NULL);
    link->stopped = stopped;
    if (!is_asked(link)) {
        bc_watch_stop(&link->watch, watch_stopped);
        return;
    }
    link->events = 0;
    link->transport->conn_on_ready(link->conn, NULL, NULL);
    link->task.run = task_stopped;
    note(link);
}
