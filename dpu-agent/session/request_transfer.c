/* SPDX-License-Identifier: Apache-2.0 */
/* request_transfer.c - TRANSFER: from entries to one job per key, and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "session/request_internal.h"

uint64_t bc_transfer_bytes(const struct bc_transfer *transfer)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < transfer->wire.entry_count; i++) {
        if (__builtin_add_overflow(bytes, transfer->entries[i].length, &bytes)) {
            return UINT64_MAX;
        }
    }
    return bytes;
}

static void part_end(struct bc_part *part)
{
    part->back = true;
    bc_request_drop(part->request);
}

static void part_back(struct bc_mail *mail)
{
    part_end(BC_CONTAINER_OF(mail, struct bc_part, mail));
}

/* In the job's worker. */
static void job_done(struct bc_job *job)
{
    struct bc_part *part = BC_CONTAINER_OF(job, struct bc_part, job);
    struct bc_worker *home = part->request->env.home;
    if (part->worker == home) {
        part_end(part);
        return;
    }
    part->mail.deliver = part_back;
    bc_loop_send(home->loop, &part->mail);
}

static void part_arrive(struct bc_mail *mail)
{
    struct bc_part *part = BC_CONTAINER_OF(mail, struct bc_part, mail);
    bc_pipeline_start(part->worker->pipeline, &part->job);
}

static void cancel_back(struct bc_mail *mail)
{
    bc_request_drop(BC_CONTAINER_OF(mail, struct bc_part, cancel_mail)->request);
}

static void cancel_arrive(struct bc_mail *mail)
{
    struct bc_part *part = BC_CONTAINER_OF(mail, struct bc_part, cancel_mail);
    /* A job that is done stays readable until the request ended, which waits for this mail. */
    bc_pipeline_cancel(part->worker->pipeline, &part->job, part->request->cancel_status);
    part->cancel_mail.deliver = cancel_back;
    bc_loop_send(part->request->env.home->loop, &part->cancel_mail);
}

void bc_request_cancel_transfer(struct bc_request *request)
{
    for (uint32_t i = 0; i < request->part_count; i++) {
        struct bc_part *part = &request->parts[i];
        if (part->worker == NULL || part->back) {
            continue;
        }
        if (part->worker == request->env.home) {
            bc_pipeline_cancel(part->worker->pipeline, &part->job, request->cancel_status);
            continue;
        }
        part->cancel_out = true;
        request->outstanding++;
        part->cancel_mail.deliver = cancel_arrive;
        bc_loop_send(part->worker->loop, &part->cancel_mail);
    }
}

void bc_request_end_transfer(struct bc_request *request)
{
    for (uint32_t i = 0; i < request->entry_count; i++) {
        if (request->pieces[i].region != NULL) {
            bc_region_unhold(request->pieces[i].region);
            request->pieces[i].region = NULL;
        }
    }
}

static int compare_pieces(const void *a, const void *b)
{
    const struct bc_piece *left = a;
    const struct bc_piece *right = b;
    if (left->object_offset != right->object_offset) {
        return left->object_offset < right->object_offset ? -1 : 1;
    }
    /* Empty pieces first: they never stand between two that touch. */
    return (left->len > right->len) - (left->len < right->len);
}

static void sort_pieces(struct bc_piece *pieces, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        if (compare_pieces(&pieces[i - 1], &pieces[i]) > 0) {
            qsort(pieces, count, sizeof(*pieces), compare_pieces);
            return;
        }
    }
}

static bool tiles(const struct bc_piece *pieces, uint32_t count, uint64_t size)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (pieces[i].object_offset != at) {
            return false;
        }
        at += pieces[i].len;
    }
    return at == size;
}

/* Groups the entries by key: part->piece_first and piece_count, pieces filled and resolved. */
static void place_pieces(struct bc_request *request, const struct bc_transfer *transfer)
{
    uint8_t access =
        transfer->wire.op == BC_TRANSFER_PUSH ? BC_MEMORY_ACCESS_READ : BC_MEMORY_ACCESS_WRITE;
    for (uint32_t i = 0; i < request->entry_count; i++) {
        request->parts[transfer->entries[i].key_index].piece_count++;
    }
    uint32_t first = 0;
    for (uint32_t k = 0; k < request->part_count; k++) {
        request->parts[k].piece_first = first;
        first += request->parts[k].piece_count;
        request->parts[k].piece_count = 0;
    }
    for (uint32_t i = 0; i < request->entry_count; i++) {
        const struct bc_wire_entry *entry = &transfer->entries[i];
        struct bc_part *part = &request->parts[entry->key_index];
        struct bc_piece *piece = &request->pieces[part->piece_first + part->piece_count++];
        enum bc_status status = BC_STATUS_OK;
        piece->memory_offset = entry->memory_offset;
        piece->object_offset = entry->object_offset;
        piece->len = entry->length;
        piece->entry_index = i;
        piece->region = bc_regions_find(request->env.regions, entry->memory_id, entry->generation,
                                        entry->memory_offset, entry->length, access, &status);
        piece->skip = piece->region == NULL;
        request->statuses[i] = piece->skip ? (uint32_t)status : BC_STATUS_IN_PROGRESS;
        if (piece->region != NULL) {
            bc_region_hold(piece->region);
        }
    }
}

static enum bc_status check_key(const struct bc_request *request, const struct bc_key_desc *key,
                                uint8_t op)
{
    if (key->key.len == 0 || key->key.len > BC_KEY_LEN_MAX) {
        return BC_STATUS_KEY_TOO_LONG;
    }
    if (op == BC_TRANSFER_PUSH && key->wire.object_size > request->env.object_size_max) {
        return BC_STATUS_TOO_BIG;
    }
    return BC_STATUS_OK;
}

/* A push is whole or absent: one bad entry decides for all of its key. */
static enum bc_status check_push(const struct bc_request *request, const struct bc_part *part)
{
    const struct bc_piece *pieces = &request->pieces[part->piece_first];
    for (uint32_t i = 0; i < part->piece_count; i++) {
        if (pieces[i].skip) {
            return request->statuses[pieces[i].entry_index];
        }
    }
    if (!tiles(pieces, part->piece_count, part->job.object_size)) {
        return BC_STATUS_TILING;
    }
    return BC_STATUS_OK;
}

/* Decides what can be decided at once; what remains gets a worker. */
static void prepare_part(struct bc_request *request, struct bc_part *part,
                         const struct bc_key_desc *key, uint8_t op)
{
    struct bc_piece *pieces = &request->pieces[part->piece_first];
    struct bc_job *job = &part->job;
    part->request = request;
    job->op = op;
    job->object_size = op == BC_TRANSFER_PUSH ? key->wire.object_size : 0;
    job->meta = key->meta;
    job->pieces = pieces;
    job->piece_count = part->piece_count;
    job->statuses = request->statuses;
    job->done = job_done;
    enum bc_status status = check_key(request, key, op);
    if (status == BC_STATUS_OK) {
        sort_pieces(pieces, part->piece_count);
        if (op == BC_TRANSFER_PUSH) {
            status = check_push(request, part);
        }
    }
    if (status != BC_STATUS_OK) {
        for (uint32_t i = 0; i < part->piece_count; i++) {
            request->statuses[pieces[i].entry_index] = status;
        }
        return;
    }
    if (part->piece_count == 0) {
        return;
    }
    job->key = (struct bc_object_key){
        .tenant = request->env.tenant,
        .key_len = (uint32_t)key->key.len,
        .key = key->key.data,
        .hash = bc_hash_key(request->env.tenant, key->key.data, key->key.len),
    };
    part->worker = bc_worker_of(request->env.home, job->key.hash);
    job->flow = &request->env.flows[part->worker->index];
}

static void launch(struct bc_request *request)
{
    for (uint32_t k = 0; k < request->part_count; k++) {
        struct bc_part *part = &request->parts[k];
        if (part->worker == NULL) {
            continue;
        }
        request->outstanding++;
        if (part->worker == request->env.home) {
            bc_pipeline_start(part->worker->pipeline, &part->job);
        } else {
            part->mail.deliver = part_arrive;
            bc_loop_send(part->worker->loop, &part->mail);
        }
    }
}

static int reserve(struct bc_request *request, const struct bc_transfer *transfer, size_t body_len)
{
    size_t entries = transfer->wire.entry_count;
    size_t keys = transfer->wire.key_count;
    return bc_request_reserve(request, body_len + keys * sizeof(struct bc_part) +
                                           entries * sizeof(struct bc_piece) +
                                           entries * sizeof(uint32_t) + 4 * BC_ARENA_ALIGN);
}

int bc_request_start_transfer(struct bc_request *request, const void *body, size_t body_len)
{
    struct bc_transfer transfer;
    int rc = bc_transfer_decode(body, body_len, &transfer);
    if (rc == 0) {
        rc = reserve(request, &transfer, body_len);
    }
    if (rc != 0) {
        return rc;
    }
    request->body = bc_request_alloc(request, body_len);
    memcpy(request->body, body, body_len);
    rc = bc_transfer_decode(request->body, body_len, &transfer);
    BC_ASSERT(rc == 0);
    request->bytes = bc_transfer_bytes(&transfer);
    request->entry_count = transfer.wire.entry_count;
    request->part_count = transfer.wire.key_count;
    request->parts = bc_request_alloc(request, request->part_count * sizeof(*request->parts));
    request->pieces = bc_request_alloc(request, request->entry_count * sizeof(*request->pieces));
    request->statuses =
        bc_request_alloc(request, request->entry_count * sizeof(*request->statuses));
    place_pieces(request, &transfer);

    struct bc_key_iter iter;
    struct bc_key_desc key;
    uint64_t group_time = bc_group_time(request->env.home->group_clock);
    bc_transfer_keys(&transfer, &iter);
    for (uint32_t k = 0; bc_transfer_key_next(&iter, &key); k++) {
        request->parts[k].job.group = bc_transfer_group(&transfer, k);
        request->parts[k].job.group_time = group_time;
        prepare_part(request, &request->parts[k], &key, transfer.wire.op);
    }
    if (transfer.wire.deadline_ms > 0) {
        bc_timer_start(request->env.home->loop, &request->deadline,
                       transfer.wire.deadline_ms * BC_NS_PER_MS);
    }
    launch(request);
    return 0;
}
