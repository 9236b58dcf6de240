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

/* The worker of every key that is one, BC_WORKERS_MAX for the others, and how many keys each
 * gets. */
static void assign_keys(struct bc_request *request, struct bc_keys_iter iter, uint8_t *owners,
                        uint32_t *counts)
{
    struct bc_bytes bytes;
    for (uint32_t place = 0; bc_keys_next(&iter, &bytes); place++) {
        owners[place] = BC_WORKERS_MAX;
        if (!key_ok(&bytes)) {
            request->results[place].result = -ENAMETOOLONG;
            continue;
        }
        struct bc_hash128 hash = bc_hash_key(request->env.tenant, bytes.data, bytes.len);
        owners[place] = (uint8_t)bc_worker_of(request->env.home, hash)->index;
        counts[owners[place]]++;
    }
}

static void make_legs(struct bc_request *request, const uint32_t *counts)
{
    struct bc_worker *home = request->env.home;
    for (uint32_t w = 0; w < home->worker_count; w++) {
        struct bc_leg *leg = &request->legs[w];
        leg->request = request;
        leg->worker = home->peers[w];
        leg->keys = bc_request_alloc(request, counts[w] * sizeof(*leg->keys));
        leg->results = bc_request_alloc(request, counts[w] * sizeof(*leg->results));
        leg->places = bc_request_alloc(request, counts[w] * sizeof(*leg->places));
    }
}

static void fill_legs(struct bc_request *request, struct bc_keys_iter iter, const uint8_t *owners)
{
    struct bc_bytes bytes;
    for (uint32_t place = 0; bc_keys_next(&iter, &bytes); place++) {
        if (owners[place] == BC_WORKERS_MAX) {
            continue;
        }
        struct bc_leg *leg = &request->legs[owners[place]];
        leg->keys[leg->count] = (struct bc_object_key){
            .tenant = request->env.tenant,
            .key_len = (uint32_t)bytes.len,
            .key = bytes.data,
            .hash = bc_hash_key(request->env.tenant, bytes.data, bytes.len),
        };
        leg->places[leg->count] = place;
        leg->count++;
    }
}

static void launch(struct bc_request *request)
{
    struct bc_worker *home = request->env.home;
    for (uint32_t w = 0; w < home->worker_count; w++) {
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
}

/* What a request of `count` keys needs, however they spread over the workers. */
static size_t arena_len(size_t body_len, size_t count, size_t workers)
{
    size_t per_key = sizeof(uint8_t) + sizeof(uint32_t) + sizeof(struct bc_object_key) +
                     2 * sizeof(struct bc_object_result);
    return body_len + count * per_key + workers * (sizeof(struct bc_leg) + 3 * BC_ARENA_ALIGN) +
           4 * BC_ARENA_ALIGN;
}

int bc_request_start_batch(struct bc_request *request, const void *body, size_t body_len)
{
    uint32_t workers = request->env.home->worker_count;
    uint32_t counts[BC_WORKERS_MAX] = {0};
    uint32_t count = 0;
    struct bc_keys_iter iter;
    int rc = bc_keys_decode(body, body_len, &count, &iter);
    if (rc == 0) {
        rc = bc_request_reserve(request, arena_len(body_len, count, workers));
    }
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
    uint8_t *owners = bc_request_alloc(request, count);
    assign_keys(request, iter, owners, counts);
    make_legs(request, counts);
    fill_legs(request, iter, owners);
    launch(request);
    return 0;
}
