/* SPDX-License-Identifier: Apache-2.0 */
/* request.h - a TRANSFER, QUERY or REMOVE from its message to its answer.
 *
 * A transfer is cut into one job per key; each job goes to the worker that owns the key's partition
 * and comes back; the last part to come back ends the request. Queries and removes go out as one
 * leg per worker. A cancel is one more mail per job, which comes back as well: the request's memory
 * is touched by other workers only while a part is out.
 *
 * Thread: the session's worker; parts are handed to other workers by mail.
 * Memory: requests come from a pool of the worker; what a request needs (a copy of its message,
 * jobs, pieces, statuses) lies in an arena that is kept for the next one unless it is large. All
 * arenas of a worker together stay below BC_REQUESTS_MEMORY_MAX. */
#ifndef BC_SESSION_REQUEST_H
#define BC_SESSION_REQUEST_H

#include "proto/proto.h"
#include "session/pipeline.h"

BC_EXTERN_C_BEGIN

struct bc_worker;
struct bc_request;
struct bc_requests;

enum bc_request_kind {
    BC_REQUEST_TRANSFER = 0,
    BC_REQUEST_QUERY = 1,
    BC_REQUEST_REMOVE = 2,
};

/* What a request needs of its session. */
struct bc_request_env {
    struct bc_worker *home;
    struct bc_regions *regions;
    struct bc_flow *flows; /* one per worker */
    uint32_t tenant;
    uint64_t object_size_max;
    /* In the home worker, exactly once per started request, never inside the start. The request is
     * read with the getters below and then given back by bc_request_put. */
    void (*done)(void *arg, struct bc_request *request);
    void *arg;
};

#define BC_REQUESTS_MEMORY_MAX (UINT64_C(256) << 20)

/* The worker's pool. -ENOMEM. */
BC_MUST_USE int bc_requests_create(struct bc_worker *worker, uint32_t count,
                                   struct bc_requests **requests_out);
void bc_requests_destroy(struct bc_requests *requests); /* all back (asserted) */
/* Bytes of all arenas now. */
uint64_t bc_requests_memory(const struct bc_requests *requests);

/* Bytes a transfer moves, before it is started: for credits. */
uint64_t bc_transfer_bytes(const struct bc_transfer *transfer);

/* Starts a decoded and credited message. -EAGAIN: the pool is empty, or the arenas are
 * at their limit; -ENOMEM; -EBADMSG. */
BC_MUST_USE int bc_request_start(struct bc_requests *requests, const struct bc_request_env *env,
                                 enum bc_request_kind kind, uint64_t id, const void *body,
                                 size_t body_len, struct bc_request **request_out);

/* Ends it early with `status` where it still can be. Idempotent. */
void bc_request_cancel(struct bc_request *request, enum bc_status status);

void bc_request_put(struct bc_request *request);

uint64_t bc_request_id(const struct bc_request *request);
enum bc_request_kind bc_request_kind_of(const struct bc_request *request);
uint64_t bc_request_bytes_wanted(const struct bc_request *request); /* what was credited */
uint64_t bc_request_memory(const struct bc_request *request);       /* of its arena */
/* Adds the time since arrival to the histogram of its kind of transfer. */
void bc_request_record(const struct bc_request *request, struct bc_histogram *push_ns,
                       struct bc_histogram *pull_ns);
/* The answer's message body; it needs bc_request_answer_len bytes at most. -EMSGSIZE. */
size_t bc_request_answer_len(const struct bc_request *request);
BC_MUST_USE int bc_request_answer(const struct bc_request *request, void *body, size_t len,
                                  uint8_t *type_out, size_t *len_out);

BC_EXTERN_C_END

#endif
