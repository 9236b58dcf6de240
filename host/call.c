/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - see call.h. */
#include "call.h"

#include <errno.h>

#include "progress.h"
#include "session.h"

struct running {
    struct bc_pending pending;
    const struct bc_call *call;
    bool done;
    int result;
};

static int call_reply(struct bc_client *client, struct bc_pending *pending,
                      const struct bc_message *message)
{
    struct running *running = BC_CONTAINER_OF(pending, struct running, pending);
    int rc = running->call->answer(running->call->arg, message);

    bc_pending_remove(&client->pending, pending);
    running->done = true;
    running->result = rc;
    bc_progress_changed_locked(client);
    return rc == -EBADMSG ? rc : 0;
}

static void call_lost(struct bc_client *client, struct bc_pending *pending)
{
    struct running *running = BC_CONTAINER_OF(pending, struct running, pending);

    running->done = true;
    running->result = -ENOTCONN;
    bc_progress_changed_locked(client);
}

static bool session_cb(void *arg)
{
    const struct bc_client *client = arg;

    return client->closing || bc_session_is_up(client);
}

static bool done_cb(void *arg)
{
    return ((const struct running *)arg)->done;
}

int bc_call_wait_session_locked(struct bc_client *client, uint64_t deadline_ns)
{
    (void)bc_progress_wait_locked(client, session_cb, client, deadline_ns);
    return !client->closing && bc_session_is_up(client) ? 0 : -ENOTCONN;
}

static int run_locked(struct bc_client *client, struct running *running, uint64_t deadline_ns)
{
    const struct bc_call *call = running->call;
    int rc = bc_call_wait_session_locked(client, deadline_ns);

    if (rc != 0) {
        return rc;
    }
    rc = bc_pending_add(&client->pending, &running->pending);
    if (rc != 0) {
        return rc;
    }
    rc = bc_link_send(client->link, call->type, running->pending.id, call->body, call->body_len);
    if (rc == 0 && !bc_progress_wait_locked(client, done_cb, running, deadline_ns)) {
        rc = -ETIMEDOUT;
    }
    if (rc != 0) { /* an answer that comes later finds nobody */
        bc_pending_remove(&client->pending, &running->pending);
        return rc;
    }
    return running->result;
}

int bc_call_run(struct bc_client *client, const struct bc_call *call, uint64_t deadline_ns)
{
    struct running running = {.call = call};
    int rc;

    running.pending =
        (struct bc_pending){.reply_type = call->reply_type, .reply = call_reply, .lost = call_lost};
    bc_client_lock(client);
    rc = run_locked(client, &running, deadline_ns);
    bc_client_unlock(client);
    return rc;
}
