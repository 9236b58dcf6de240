/* SPDX-License-Identifier: Apache-2.0 */
/* faulty_files.c - each request gets a copy, which is what the real files see; the caller's own
 * request is completed when the copy is. */
#include "testlib/faulty_files.h"

#include <errno.h>
#include <stdlib.h>

#include "testlib/pause.h"

struct faulty_request {
    struct bc_file_req inner;
    struct bc_file_req *outer;
    struct bc_faulty_files *files;
    struct bc_fault_rule rule; /* action BC_FAULT_NONE: nothing goes wrong */
    struct bc_timer timer;
    struct bc_pause pause;
    int64_t result;   /* of a request that is held after its end */
    uint8_t *flipped; /* of a write: the caller's byte that is wrong meanwhile */
    uint8_t bit;
};

static bool has_data(const struct bc_file_req *req)
{
    return req->kind == BC_FILE_READ || req->kind == BC_FILE_WRITE;
}

static void complete(struct faulty_request *request, int64_t result)
{
    struct bc_file_req *outer = request->outer;

    if (request->flipped != NULL) {
        *request->flipped ^= request->bit;
    }
    request->files->under_way--;
    free(request);
    outer->result = result;
    outer->done(outer, result);
}

/* The byte at `at` of the request's data, counted over all its parts. */
static uint8_t *byte_at(const struct bc_file_req *req, uint64_t at)
{
    uint32_t i;

    for (i = 0; i < req->iov_count; i++) {
        if (at < req->iov[i].iov_len) {
            return (uint8_t *)req->iov[i].iov_base + at;
        }
        at -= req->iov[i].iov_len;
    }
    return NULL;
}

static uint64_t data_len(const struct bc_file_req *req)
{
    uint64_t len = 0;
    uint32_t i;

    for (i = 0; i < req->iov_count; i++) {
        len += req->iov[i].iov_len;
    }
    return len;
}

static uint8_t *flip_bit(struct faulty_request *request, uint64_t len)
{
    struct bc_faults *faults = &request->files->faults;
    uint8_t *byte = len > 0 ? byte_at(request->outer, bc_faults_random(faults) % len) : NULL;

    request->bit = (uint8_t)(1u << (bc_faults_random(faults) % 8));
    if (byte != NULL) {
        *byte ^= request->bit;
    }
    return byte;
}

static void cut(struct bc_file_req *req, uint64_t len)
{
    uint32_t i;

    for (i = 0; i < req->iov_count; i++) {
        req->iov[i].iov_len = (size_t)bc_min_u64(req->iov[i].iov_len, len);
        len -= req->iov[i].iov_len;
    }
}

static void hold_over(struct bc_pause *pause)
{
    struct faulty_request *request = BC_CONTAINER_OF(pause, struct faulty_request, pause);

    complete(request, request->result);
}

static void inner_done(struct bc_file_req *inner, int64_t result)
{
    struct faulty_request *request = BC_CONTAINER_OF(inner, struct faulty_request, inner);
    const struct bc_fault_rule *rule = &request->rule;

    request->files->in_real--;
    if (inner->kind == BC_FILE_CLOSE &&
        (rule->action == BC_FAULT_FAIL || rule->action == BC_FAULT_SHORT)) {
        result = rule->error != 0 ? rule->error : -EIO;
    } else if (rule->action == BC_FAULT_SHORT && inner->kind == BC_FILE_WRITE && result >= 0) {
        result = rule->error != 0 ? rule->error : -ENOSPC;
    } else if (rule->action == BC_FAULT_CORRUPT && inner->kind == BC_FILE_READ && result > 0) {
        (void)flip_bit(request, (uint64_t)result);
    } else if (rule->action == BC_FAULT_REORDER) {
        request->result = result;
        bc_pause_start(&request->pause, request->files->loop, rule->amount, hold_over);
        return;
    }
    complete(request, result);
}

static void start_inner(struct faulty_request *request)
{
    request->files->in_real++;
    bc_file_submit(request->files->real, &request->inner);
}

static void delay_over(struct bc_timer *timer)
{
    start_inner(BC_CONTAINER_OF(timer, struct faulty_request, timer));
}

static void fail_later(struct bc_task *task)
{
    struct faulty_request *request = BC_CONTAINER_OF(task, struct faulty_request, inner.task);

    complete(request, request->rule.error != 0 ? request->rule.error : -EIO);
}

static void defer_failure(struct faulty_request *request)
{
    request->inner.task.run = fail_later;
    bc_loop_defer(request->files->loop, &request->inner.task);
}

static void apply(struct faulty_request *request)
{
    struct bc_file_req *inner = &request->inner;

    if (inner->kind == BC_FILE_CLOSE && request->rule.action != BC_FAULT_DELAY) {
        start_inner(request); /* the descriptor goes, whatever is told */
        return;
    }
    switch (request->rule.action) {
    case BC_FAULT_FAIL:
        defer_failure(request);
        return;
    case BC_FAULT_DELAY:
        bc_timer_init(&request->timer, delay_over);
        bc_timer_start(request->files->loop, &request->timer, request->rule.amount);
        return;
    case BC_FAULT_SHORT:
        if (!has_data(inner)) {
            defer_failure(request);
            return;
        }
        cut(inner, request->rule.amount);
        break;
    case BC_FAULT_CORRUPT:
        if (inner->kind == BC_FILE_WRITE) {
            request->flipped = flip_bit(request, data_len(inner));
        }
        break;
    default:
        break;
    }
    start_inner(request);
}

static void faulty_submit(struct bc_files *files, struct bc_file_req *req)
{
    struct bc_faulty_files *self = BC_CONTAINER_OF(files, struct bc_faulty_files, files);
    struct faulty_request *request = calloc(1, sizeof(*request));
    const struct bc_fault_rule *rule = bc_faults_next(&self->faults, (uint32_t)req->kind);

    BC_ASSERT(request != NULL);
    self->requests++;
    self->under_way++;
    request->inner = *req;
    request->inner.task = (struct bc_task){.run = NULL};
    request->inner.done = inner_done;
    request->outer = req;
    request->files = self;
    self->frozen = self->frozen || (rule != NULL && rule->action == BC_FAULT_VANISH);
    if (self->frozen) {
        request->rule = (struct bc_fault_rule){.action = BC_FAULT_FAIL, .error = -EIO};
    } else if (rule != NULL) {
        request->rule = *rule;
    }
    apply(request);
}

void bc_faulty_files_init(struct bc_faulty_files *files, struct bc_files *real,
                          struct bc_loop *loop, uint64_t seed)
{
    *files =
        (struct bc_faulty_files){.files = {.submit = faulty_submit}, .real = real, .loop = loop};
    bc_faults_init(&files->faults, seed);
}
