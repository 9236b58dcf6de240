/* SPDX-License-Identifier: Apache-2.0 */
/* request_internal.h - what request.c (life cycle), request_transfer.c and request_batch.c
 * share. */
#ifndef BC_SESSION_REQUEST_INTERNAL_H
#define BC_SESSION_REQUEST_INTERNAL_H

#include "base/pool.h"
#include "session/request.h"
#include "session/worker.h"

/* One object of a transfer. */
struct bc_part {
    struct bc_job job;
    struct bc_mail mail;        /* to the job's worker and back */
    struct bc_mail cancel_mail; /* likewise */
    struct bc_request *request;
    struct bc_worker *worker; /* NULL: decided without a job */
    uint32_t piece_first;
    uint32_t piece_count;
    bool back;       /* the job is done */
    bool cancel_out; /* cancel_mail was sent */
};

/* The keys of a query or remove that one worker owns. */
struct bc_leg {
    struct bc_mail mail;
    struct bc_batch_op op;
    struct bc_request *request;
    struct bc_worker *worker;
    struct bc_object_key *keys;
    struct bc_object_result *results;
    uint32_t *places; /* index in the message of each key */
    uint32_t count;
};

struct bc_request {
    struct bc_requests *owner;
    struct bc_request_env env;
    enum bc_request_kind kind;
    uint64_t id;
    uint64_t arrival_ns;
    uint64_t bytes;
    uint32_t outstanding; /* parts, legs and cancels that are out, plus one while starting */
    bool cancelled;
    enum bc_status cancel_status;
    struct bc_timer deadline;
    struct bc_task done_task;

    uint8_t *arena;
    size_t arena_len;
    size_t arena_used;

    uint8_t *body; /* copy of the message */
    size_t body_len;
    uint32_t entry_count;
    uint32_t *statuses; /* transfer: one per entry */
    struct bc_piece *pieces;
    struct bc_part *parts;
    uint32_t part_count;
    struct bc_leg *legs;
    struct bc_object_result *results; /* query, remove: one per key */
    uint32_t key_count;
};

struct bc_requests {
    struct bc_worker *worker;
    struct bc_pool pool;
    uint64_t memory; /* bytes of all arenas, of requests that are back too */
};

/* Room in the arena, aligned, zeroed. The arena was sized before: by BC_ARENA_ALIGN more than what is
 * taken, for each time. */
#define BC_ARENA_ALIGN ((size_t)16)
void *bc_request_alloc(struct bc_request *request, size_t len);
/* Empties the arena and makes it at least `len` bytes long. -EAGAIN, -ENOMEM. */
int bc_request_reserve(struct bc_request *request, size_t len);
/* A part, leg or cancel came back (or starting ended). */
void bc_request_drop(struct bc_request *request);

int bc_request_start_transfer(struct bc_request *request, const void *body, size_t body_len);
void bc_request_cancel_transfer(struct bc_request *request);
void bc_request_end_transfer(struct bc_request *request); /* gives regions back */
int bc_request_start_batch(struct bc_request *request, const void *body, size_t body_len);

#endif
