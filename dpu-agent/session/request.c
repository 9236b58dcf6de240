/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - life cycle, pool and answers of requests. */
#include "session/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/request_internal.h"

/* An arena larger than this is given back to the system with its request, and any arena while all
 * of them hold more than that. */
#define ARENA_KEPT_MAX  (1u << 20)
#define ARENAS_KEPT_MAX (UINT64_C(32) << 20)

int bc_requests_create(struct bc_worker *worker, uint32_t count, struct bc_requests **requests_out)
{
    struct bc_requests *requests = calloc(1, sizeof(*requests));
    if (requests == NULL) {
        return -ENOMEM;
    }
    int rc = bc_pool_init(&requests->pool, count, sizeof(struct bc_request));
    if (rc != 0) {
        free(requests);
        return rc;
    }
    requests->worker = worker;
    *requests_out = requests;
    return 0;
}

void bc_requests_destroy(struct bc_requests *requests)
{
    if (requests == NULL) {
        return;
    }
    BC_ASSERT(bc_pool_used(&requests->pool) == 0);
    for (uint32_t i = 0; i < requests->pool.count; i++) {
        free(
            ((struct bc_request *)(void *)(requests->pool.objects + i * requests->pool.object_size))
                ->arena);
    }
    bc_pool_fini(&requests->pool);
    free(requests);
}

uint64_t bc_requests_memory(const struct bc_requests *requests)
{
    return requests->memory;
}

static void free_arena(struct bc_request *request)
{
    request->owner->memory -= request->arena_len;
    free(request->arena);
    request->arena = NULL;
    request->arena_len = 0;
}

int bc_request_reserve(struct bc_request *request, size_t len)
{
    struct bc_requests *owner = request->owner;
    request->arena_used = 0;
    if (request->arena_len >= len) {
        return 0;
    }
    free_arena(request);
    size_t rounded = bc_align_up_u64(len, 4096);
    if (rounded > BC_REQUESTS_MEMORY_MAX - bc_min_u64(owner->memory, BC_REQUESTS_MEMORY_MAX)) {
        return -EAGAIN;
    }
    request->arena = malloc(rounded);
    if (request->arena == NULL) {
        return -ENOMEM;
    }
    request->arena_len = rounded;
    owner->memory += rounded;
    return 0;
}

void *bc_request_alloc(struct bc_request *request, size_t len)
{
    size_t at = bc_align_up_u64(request->arena_used, BC_ARENA_ALIGN);
    BC_ASSERT(at + len <= request->arena_len);
    request->arena_used = at + len;
    memset(request->arena + at, 0, len);
    return request->arena + at;
}

static void done_task(struct bc_task *task)
{
    struct bc_request *request = BC_CONTAINER_OF(task, struct bc_request, done_task);
    bc_timer_stop(request->env.home->loop, &request->deadline);
    if (request->kind == BC_REQUEST_TRANSFER) {
        bc_request_end_transfer(request);
    }
    request->env.done(request->env.arg, request);
}

void bc_request_drop(struct bc_request *request)
{
    BC_ASSERT(request->outstanding > 0);
    if (--request->outstanding == 0) {
        bc_loop_defer(request->env.home->loop, &request->done_task);
    }
}

static void deadline_passed(struct bc_timer *timer)
{
    struct bc_request *request = BC_CONTAINER_OF(timer, struct bc_request, deadline);
    bc_request_cancel(request, BC_STATUS_TIMED_OUT);
}

int bc_request_start(struct bc_requests *requests, const struct bc_request_env *env,
                     enum bc_request_kind kind, uint64_t id, const void *body, size_t body_len,
                     struct bc_request **request_out)
{
    struct bc_request *request = bc_pool_get(&requests->pool);
    if (request == NULL) {
        return -EAGAIN;
    }
    uint8_t *arena = request->arena;
    size_t arena_len = request->arena_len;
    memset(request, 0, sizeof(*request));
    request->arena = arena;
    request->arena_len = arena_len;
    request->owner = requests;
    request->env = *env;
    request->kind = kind;
    request->id = id;
    request->arrival_ns = bc_loop_now_ns(env->home->loop);
    request->outstanding = 1;
    request->done_task.run = done_task;
    bc_timer_init(&request->deadline, deadline_passed);
    *request_out = request;
    int rc = kind == BC_REQUEST_TRANSFER ? bc_request_start_transfer(request, body, body_len)
                                         : bc_request_start_batch(request, body, body_len);
    if (rc != 0) {
        bc_pool_put(&requests->pool, request);
        return rc;
    }
    bc_request_drop(request);
    return 0;
}

void bc_request_cancel(struct bc_request *request, enum bc_status status)
{
    if (request->cancelled || request->outstanding == 0) {
        return;
    }
    request->cancelled = true;
    request->cancel_status = status;
    if (request->kind == BC_REQUEST_TRANSFER) {
        bc_request_cancel_transfer(request);
    }
}

void bc_request_put(struct bc_request *request)
{
    BC_ASSERT(request->outstanding == 0);
    if (request->arena_len > ARENA_KEPT_MAX || request->owner->memory > ARENAS_KEPT_MAX) {
        free_arena(request);
    }
    bc_pool_put(&request->owner->pool, request);
}

uint64_t bc_request_id(const struct bc_request *request)
{
    return request->id;
}

enum bc_request_kind bc_request_kind_of(const struct bc_request *request)
{
    return request->kind;
}

uint64_t bc_request_bytes_wanted(const struct bc_request *request)
{
    return request->bytes;
}

uint64_t bc_request_memory(const struct bc_request *request)
{
    return request->arena_len;
}

static uint64_t age_ns(const struct bc_request *request)
{
    return bc_clock_now_ns(bc_loop_clock(request->env.home->loop)) - request->arrival_ns;
}

void bc_request_record(const struct bc_request *request, struct bc_histogram *push_ns,
                       struct bc_histogram *pull_ns)
{
    if (request->kind == BC_REQUEST_TRANSFER) {
        bool push = request->part_count > 0 && request->parts[0].job.op == BC_TRANSFER_PUSH;
        bc_histogram_record(push ? push_ns : pull_ns, age_ns(request));
    }
}

size_t bc_request_answer_len(const struct bc_request *request)
{
    switch (request->kind) {
    case BC_REQUEST_TRANSFER:
        return sizeof(struct bc_wire_completion) + request->entry_count * sizeof(uint32_t);
    case BC_REQUEST_QUERY:
        return sizeof(struct bc_wire_list) +
               request->key_count * sizeof(struct bc_wire_query_result);
    default:
        return sizeof(struct bc_wire_list) + request->key_count * sizeof(uint32_t);
    }
}

static int answer_transfer(const struct bc_request *request, struct bc_writer *writer)
{
    struct bc_wire_completion header = {.status = BC_STATUS_OK};
    bool uniform = true;
    for (uint32_t i = 0; i < request->entry_count; i++) {
        uniform = uniform && request->statuses[i] == request->statuses[0];
        if (header.status == BC_STATUS_OK) {
            header.status = request->statuses[i];
        }
    }
    for (uint32_t i = 0; i < request->part_count; i++) {
        header.bytes += request->parts[i].job.bytes_moved;
    }
    header.entry_count = uniform ? 0 : request->entry_count;
    header.agent_ns = age_ns(request);
    return bc_completion_encode(writer, &header, uniform ? NULL : request->statuses);
}

/* The wire's arrays are written one by one into the writer: no second buffer. */
static int answer_batch(const struct bc_request *request, struct bc_writer *writer)
{
    int rc = bc_list_begin_encode(writer, request->key_count);
    for (uint32_t i = 0; rc == 0 && i < request->key_count; i++) {
        const struct bc_object_result *result = &request->results[i];
        uint32_t status = bc_status_from_errno(result->result);
        bc_writer_u32(writer, status);
        if (request->kind == BC_REQUEST_QUERY) {
            bc_writer_u32(writer, 0);
            bc_writer_u64(writer, result->size);
            bc_writer_u64(writer, result->version);
        }
    }
    return rc;
}

int bc_request_answer(const struct bc_request *request, void *body, size_t len, uint8_t *type_out,
                      size_t *len_out)
{
    static const uint8_t types[] = {
        [BC_REQUEST_TRANSFER] = BC_MSG_COMPLETION,
        [BC_REQUEST_QUERY] = BC_MSG_QUERY_RESULT,
        [BC_REQUEST_REMOVE] = BC_MSG_REMOVE_RESULT,
    };
    struct bc_writer writer;
    bc_writer_init(&writer, body, len);
    int rc = request->kind == BC_REQUEST_TRANSFER ? answer_transfer(request, &writer)
                                                  : answer_batch(request, &writer);
    if (rc != 0) {
        return rc;
    }
    *type_out = types[request->kind];
    return bc_writer_finish(&writer, len_out);
}
