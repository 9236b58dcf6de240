/* SPDX-License-Identifier: Apache-2.0 */
/* submit.c - bc_submit and bc_submit_try: a request is queued, and the call returns when its first
 * part is with the agent. What waits in the queue without being started belongs to a thread that
 * waits here, so nothing is queued behind the caller's back but the later parts of a request. */
#include <errno.h>

#include "notify.h"
#include "progress.h"
#include "request.h"
#include "session.h"
#include "transfer.h"

struct start {
    struct bc_client *client;
    struct bc_request *request;
};

static bool started_cb(void *arg)
{
    const struct start *start = arg;

    return start->request->started || start->request->submit_error != 0 || start->client->closing;
}

static void use_memories(struct bc_request *request, bool use)
{
    for (uint32_t i = 0; i < request->entry_count; i++) {
        struct bc_memory *memory = request->entries[i].memory;

        memory->users += use ? 1 : UINT32_MAX; /* one more or one less */
    }
}

/* Not one entry has a key that an agent would take: the outcome is known. */
static void finish_at_once_locked(struct bc_client *client, struct bc_request *request)
{
    request->started = true;
    bc_list_push_back(&client->requests, &request->node);
    bc_request_finish_locked(client, request);
}

/* 0: the agent has the first part, the handle may be given out. */
static int start_locked(struct bc_client *client, struct bc_request *request, bool may_wait)
{
    struct start start = {.client = client, .request = request};

    if (client->closing || (!may_wait && !bc_session_is_up(client))) {
        return -ENOTCONN;
    }
    if (request->plan.part_count == 0) {
        finish_at_once_locked(client, request);
        return 0;
    }
    bc_list_push_back(&client->queue, &request->queue_node);
    bc_transfer_pump_locked(client);
    if (may_wait) {
        (void)bc_progress_wait_locked(client, started_cb, &start, request->deadline_ns);
    }
    if (request->started) {
        return 0;
    }
    if (request->submit_error != 0) { /* it left the queue already */
        return request->submit_error;
    }
    bc_list_remove(&client->queue, &request->queue_node);
    bc_transfer_pump_locked(client); /* it may have stood in the way of others */
    if (client->closing || !bc_session_is_up(client)) {
        return -ENOTCONN;
    }
    return may_wait ? -ETIMEDOUT : -EAGAIN;
}

static int submit(struct bc_client *client, enum bc_op op, const struct bc_entry *entries,
                  size_t count, const struct bc_submit_options *options, bool may_wait,
                  struct bc_request **request_out)
{
    uint64_t timeout_ms = options == NULL ? 0 : options->timeout_ms;
    struct bc_request *request;
    struct bc_plan_limits limits;
    int rc = bc_request_create(client, op, entries, count, &request);

    if (rc != 0) {
        return rc;
    }
    bc_client_lock(client);
    limits = bc_request_limits_locked(client, request->op);
    request->plan_serial = client->link != NULL ? client->link->serial : 0;
    bc_client_unlock(client);
    rc = bc_plan_cut(&request->plan, request, &limits);
    if (rc != 0) {
        bc_request_destroy(request);
        return rc;
    }
    request->deadline_ns = bc_client_deadline(client, timeout_ms);
    request->timeout_ns = request->deadline_ns - bc_now_ns();
    bc_client_lock(client);
    use_memories(request, true);
    rc = start_locked(client, request, may_wait);
    if (rc != 0) {
        use_memories(request, false);
    }
    bc_client_unlock(client);
    if (rc != 0) {
        bc_request_destroy(request);
        return rc;
    }
    *request_out = request;
    return 0;
}

int bc_submit(struct bc_client *client, enum bc_op op, const struct bc_entry *entries, size_t count,
              const struct bc_submit_options *options, struct bc_request **request_out)
{
    return submit(client, op, entries, count, options, true, request_out);
}

int bc_submit_try(struct bc_client *client, enum bc_op op, const struct bc_entry *entries,
                  size_t count, const struct bc_submit_options *options,
                  struct bc_request **request_out)
{
    return submit(client, op, entries, count, options, false, request_out);
}
