/* SPDX-License-Identifier: Apache-2.0 */
/* request_batch.c - QUERY and REMOVE: keys go to the workers that own them, one leg each. */
#include <errno.h>
#include <string.h>

#include "session/request_internal.h"

static void leg_end(struct bc_leg *leg)
{
    for (uint32_t i = 0; i < leg->count; i++) {
        leg->request->results[leg->places[i]] = leg->results[i];
    }
    bc_request_drop(leg->request);
}

static void leg_back(struct bc_mail *mail)
{
    leg_end(BC_CONTAINER_OF(mail, struct bc_leg, mail));
}

static void leg_done(struct bc_batch_op *op, int result)
{
    struct bc_leg *leg = BC_CONTAINER_OF(op, struct bc_leg, op);
    struct bc_worker *home = leg->request->env.home;
    for (uint32_t i = 0; result != 0 && i < leg->count; i++) {
        leg->results[i].result = result;
    }
    if (leg->worker == home) {
        leg_end(leg);
        return;
    }
    leg->mail.deliver = leg_back;
    bc_loop_send(home->loop, &leg->mail);
}

static void leg_run(struct bc_leg *leg)
{
    struct bc_backend *backend = leg->worker->backend;
    leg->op.keys = leg->keys;
    leg->op.results = leg->results;
    leg->op.count = leg->count;
    leg->op.done = leg_done;
    if (leg->request->kind == BC_REQUEST_QUERY) {
        backend->ops->query(backend, &leg->op);
    } else {
        backend->ops->remove(backend, &leg->op);
    }
}

static void leg_arrive(struct bc_mail *mail)
{
    leg_run(BC_CONTAINER_OF(mail, struct bc_leg, mail));
}

static bool key_ok(const struct bc_bytes *key)
{
    return key->len > 0 && key->len <= BC_KEY_LEN_MAX;
}

/* Hands every key to its worker's leg; the legs' arrays are cut from one array by prior counts. */
static void sort_keys(struct bc_request *request, struct bc_keys_iter iter)
{
    struct bc_bytes bytes;
    for (uint32_t place = 0; bc_keys_next(&iter, &bytes); place++) {
        if (!key_ok(&bytes)) {
            request->results[place].result = -ENAMETOOLONG;
            continue;
        }
        struct bc_hash128 hash = bc_hash_key(request->env.tenant, bytes.data, bytes.len);
        struct bc_leg *leg = &request->legs[bc_worker_of(request->env.home, hash)->index];
        leg->keys[leg->count] = (struct bc_object_key){
            .tenant = request->env.tenant,
            .key_len = (uint32_t)bytes.len,
            .key = bytes.data,
            .hash = hash,
        };
        leg->places[leg->count] = place;
        leg->count++;
    }
}

int bc_request_start_batch(struct bc_request *request, const void *body, size_t body_len)
{
    struct bc_worker *home = request->env.home;
    uint32_t workers = home->worker_count;
    uint32_t count = 0;
    struct bc_keys_iter iter;
    int rc = bc_keys_decode(body, body_len, &count, &iter);
    if (rc != 0) {
        return rc;
    }
    /* Every leg could get every key: with few workers the simple bound costs little. */
    size_t per_leg = count * (sizeof(struct bc_object_key) + sizeof(struct bc_object_result) +
                              sizeof(uint32_t)) +
                     4 * 16;
    rc = bc_request_reserve(request, body_len + count * sizeof(struct bc_object_result) +
                                         workers * (sizeof(struct bc_leg) + per_leg) + 8 * 16);
    if (rc != 0) {
        return rc;
    }
    request->body = bc_request_alloc(request, body_len);
    memcpy(request->body, body, body_len);
    rc = bc_keys_decode(request->body, body_len, &count, &iter);
    BC_ASSERT(rc == 0);
    request->key_count = count;
    request->results = bc_request_alloc(request, count * sizeof(*request->results));
    request->legs = bc_request_alloc(request, workers * sizeof(*request->legs));
    for (uint32_t w = 0; w < workers; w++) {
        struct bc_leg *leg = &request->legs[w];
        leg->request = request;
        leg->worker = home->peers[w];
        leg->keys = bc_request_alloc(request, count * sizeof(*leg->keys));
        leg->results = bc_request_alloc(request, count * sizeof(*leg->results));
        leg->places = bc_request_alloc(request, count * sizeof(*leg->places));
    }
    sort_keys(request, iter);
    for (uint32_t w = 0; w < workers; w++) {
        struct bc_leg *leg = &request->legs[w];
        if (leg->count == 0) {
            continue;
        }
        request->outstanding++;
        if (leg->worker == home) {
            leg_run(leg);
        } else {
            leg->mail.deliver = leg_arrive;
            bc_loop_send(leg->worker->loop, &leg->mail);
        }
    }
    return 0;
}
