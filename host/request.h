/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - a request from submit to free.
 *
 *            submit           first part sent          last answer
 *   (queued) -------> QUEUED -----------------> BUSY ---------------> terminal -> bc_request_free
 *                       \ deadline: the caller     \ link lost           ^
 *                         gets an error             --> dying --revoked--/
 *
 * A request is cut into parts, one TRANSFER each, when it is more than the agent takes at once
 * (plan.h).
 * Memory: one block, made by bc_request_create; the caller's keys and entries are copied.
 * Thread: guarded by the client's lock, but `status`, which is written once (release) when all else
 * is in place and may be read by anybody (acquire); after that nothing changes any more. */
#ifndef BC_HOST_REQUEST_H
#define BC_HOST_REQUEST_H

#include "client.h"
#include "plan.h"

BC_EXTERN_C_BEGIN

struct bc_request_entry {
    struct bc_memory *memory;
    struct bc_export *exported; /* while its part is with an agent */
    uint64_t memory_offset;
    uint64_t object_offset;
    uint64_t length;
    uint32_t key;       /* index of the key; BC_KEY_NONE */
    bool bounced;       /* as its memory */
    uint64_t bounce_at; /* then: where it is in its part's lease */
};

struct bc_request {
    struct bc_client *client;
    struct bc_list_node node;       /* in client->requests, then ->finished */
    struct bc_list_node queue_node; /* in client->queue or ->dying */
    uint32_t status;                /* enum bc_status; atomic */
    enum bc_op op;
    bool started;     /* the agent has, or had, a part of it: bc_submit returned */
    bool dying;       /* lost with its session */
    bool cancelled;   /* by the user */
    bool expired;     /* the deadline passed, cancels were sent */
    int submit_error; /* it cannot be sent at all */
    uint64_t timeout_ns;
    uint64_t deadline_ns;
    uint64_t grace_until_ns; /* expired: then the link is dropped */
    uint64_t bytes;          /* moved */
    uint64_t plan_serial;    /* of the link whose grant the plan follows */
    struct bc_plan plan;
    uint32_t parts_sent; /* parts are sent in order */
    uint32_t parts_done;
    uint32_t parts_leased; /* parts have their leases up to this one (bounce.h) */
    uint32_t copies;       /* to and from the GPU, queued or under way */
    uint32_t entry_count;
    struct bc_request_entry *entries;
    uint8_t *statuses; /* enum bc_status of each entry; IN_PROGRESS: not named yet */
};

/* Checks and copies. -EINVAL, -ENOMEM. Any thread, without the lock. */
BC_MUST_USE int bc_request_create(struct bc_client *client, enum bc_op op,
                                  const struct bc_entry *entries, size_t count,
                                  struct bc_request **request_out);
void bc_request_destroy(struct bc_request *request);

static inline bool bc_request_is_terminal(const struct bc_request *request)
{
    return __atomic_load_n(&request->status, __ATOMIC_ACQUIRE) != BC_STATUS_IN_PROGRESS;
}

/* What a part may hold, as granted last. */
struct bc_plan_limits bc_request_limits_locked(const struct bc_client *client, enum bc_op op);

/* True when every export it names is closed and no copy to or from a GPU is under way. */
bool bc_request_is_safe_locked(const struct bc_request *request);

/* Makes it terminal: nobody has any part of it. Entries that were not named are DISCONNECTED, or
 * TIMED_OUT when it expired. */
void bc_request_finish_locked(struct bc_client *client, struct bc_request *request);

/* Deadlines: cancels what is late, drops the link when that is not answered. Lowers *next_ns. */
void bc_request_timers_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns);

BC_EXTERN_C_END

#endif
