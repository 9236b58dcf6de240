/* SPDX-License-Identifier: Apache-2.0 */
/* bounce.c - see bounce.h. */
#include "bounce.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "errors.h"
#include "gpu_path.h"
#include "progress.h"
#include "request.h"
#include "transfer.h"

/* What the copying thread takes at once: enough to hide the gap between two rounds, and little
 * enough not to keep the first of them waiting for the last. */
#define BATCH_BYTES (UINT64_C(16) << 20)

/* ---- leases -------------------------------------------------------------------------------- */

static struct bc_part *part_of_lease(struct bc_list_node *node)
{
    return BC_CONTAINER_OF(node, struct bc_part, bounce.node);
}

/* First fit. Leases are few: a request has some, and they are large. */
static bool place_lease(struct bc_bounce *bounce, struct bc_bounce_lease *lease)
{
    struct bc_list_node *node = bc_list_first(&bounce->leases);
    uint64_t at = 0;

    for (; node != NULL; node = bc_list_next(&bounce->leases, node)) {
        const struct bc_bounce_lease *other = &part_of_lease(node)->bounce;

        if (other->offset - at >= lease->len) {
            break;
        }
        at = other->offset + other->len;
    }
    if (node == NULL && bounce->len - at < lease->len) {
        return false;
    }
    lease->offset = at;
    if (node == NULL) {
        bc_list_push_back(&bounce->leases, &lease->node);
    } else {
        bc_list_insert_before(&bounce->leases, node, &lease->node);
    }
    return true;
}

static void give_back(struct bc_client *client, struct bc_part *part)
{
    bc_list_remove(&client->bounce.leases, &part->bounce.node);
    part->bounce.state = BC_BOUNCE_NONE;
}

static void queue_job_locked(struct bc_client *client, struct bc_part *part)
{
    part->bounce.state = BC_BOUNCE_QUEUED;
    part->request->copies++;
    bc_list_push_back(&client->bounce.jobs, &part->bounce.job);
    (void)pthread_cond_signal(&client->bounce.wake);
}

int bc_bounce_take_locked(struct bc_client *client, struct bc_part *part)
{
    BC_ASSERT(part->bounce.state == BC_BOUNCE_NONE && part->bounce.len > 0);
    if (client->bounce.full || !place_lease(&client->bounce, &part->bounce)) {
        client->bounce.full = true;
        return -EAGAIN;
    }
    if (part->request->op == BC_PUSH) {
        queue_job_locked(client, part);
    } else {
        part->bounce.state = BC_BOUNCE_READY;
    }
    return 0;
}

static struct bc_request_entry *entry_of(const struct bc_part *part, uint32_t index)
{
    return &part->request->entries[part->request->plan.order[part->first + index]];
}

/* Of a pull, what came; of a push, everything. */
static bool is_copied(const struct bc_part *part, uint32_t index)
{
    uint32_t at = part->request->plan.order[part->first + index];

    return part->request->entries[at].bounced &&
           (part->request->op == BC_PUSH || part->request->statuses[at] == BC_STATUS_OK);
}

bool bc_bounce_copy_back_locked(struct bc_client *client, struct bc_part *part)
{
    for (uint32_t i = 0; i < part->count; i++) {
        if (is_copied(part, i)) {
            queue_job_locked(client, part);
            return true;
        }
    }
    return false;
}

void bc_bounce_drop_locked(struct bc_client *client, struct bc_part *part)
{
    switch (part->bounce.state) {
    case BC_BOUNCE_NONE:
        break;
    case BC_BOUNCE_QUEUED:
        bc_list_remove(&client->bounce.jobs, &part->bounce.job);
        part->request->copies--;
        give_back(client, part);
        break;
    case BC_BOUNCE_READY:
        give_back(client, part);
        break;
    case BC_BOUNCE_COPYING:
        part->bounce.dropped = true;
        break;
    }
}

/* ---- the copying thread -------------------------------------------------------------------- */

/* Without the lock: nothing of the part changes while it is COPYING but `dropped`. */
static void begin_copies(struct bc_bounce *bounce, struct bc_part *part)
{
    enum bc_cuda_direction direction =
        part->request->op == BC_PUSH ? BC_CUDA_TO_HOST : BC_CUDA_TO_DEVICE;

    for (uint32_t i = 0; i < part->count; i++) {
        const struct bc_request_entry *entry = entry_of(part, i);

        if (is_copied(part, i) && entry->length > 0 &&
            bc_cuda_lane_copy(&bounce->lanes[entry->memory->lane], direction,
                              entry->memory->addr + entry->memory_offset,
                              bounce->base + part->bounce.offset + entry->bounce_at,
                              entry->length) != 0) {
            part->bounce.failed = true;
        }
    }
}

/* Which of the parts a copy failed in is not known any more: all of the lane's are lost. */
static void fail_lane(const struct bc_list *batch, uint32_t lane)
{
    struct bc_list_node *node = bc_list_first(batch);

    for (; node != NULL; node = bc_list_next(batch, node)) {
        struct bc_part *part = BC_CONTAINER_OF(node, struct bc_part, bounce.job);

        for (uint32_t i = 0; i < part->count; i++) {
            const struct bc_request_entry *entry = entry_of(part, i);

            part->bounce.failed =
                part->bounce.failed || (is_copied(part, i) && entry->memory->lane == lane);
        }
    }
}

static void copy_batch(struct bc_bounce *bounce, const struct bc_list *batch, uint32_t lane_count)
{
    struct bc_list_node *node = bc_list_first(batch);

    for (; node != NULL; node = bc_list_next(batch, node)) {
        begin_copies(bounce, BC_CONTAINER_OF(node, struct bc_part, bounce.job));
    }
    for (uint32_t i = 0; i < lane_count; i++) {
        if (bc_cuda_lane_wait(&bounce->lanes[i]) != 0) {
            fail_lane(batch, i);
        }
    }
}

static void take_batch_locked(struct bc_bounce *bounce, struct bc_list *batch)
{
    uint64_t bytes = 0;
    struct bc_list_node *node;

    while (bytes < BATCH_BYTES && (node = bc_list_pop_front(&bounce->jobs)) != NULL) {
        struct bc_part *part = BC_CONTAINER_OF(node, struct bc_part, bounce.job);

        part->bounce.state = BC_BOUNCE_COPYING;
        bytes += part->bounce.len;
        bc_list_push_back(batch, node);
    }
}

static void copied_locked(struct bc_client *client, struct bc_part *part)
{
    part->bounce.state = BC_BOUNCE_READY;
    part->request->copies--;
    if (part->request->op == BC_PULL || part->bounce.dropped) {
        give_back(client, part);
    }
    bc_transfer_copied_locked(client, part);
}

static void *copy_main(void *arg)
{
    struct bc_client *client = arg;
    struct bc_bounce *bounce = &client->bounce;

    bc_client_lock(client);
    while (!bounce->stop) {
        struct bc_list batch;
        struct bc_list_node *node;
        uint32_t lane_count = bounce->lane_count;

        if (bc_list_empty(&bounce->jobs)) {
            (void)pthread_cond_wait(&bounce->wake, &client->lock);
            continue;
        }
        bc_list_init(&batch);
        take_batch_locked(bounce, &batch);
        bc_client_unlock(client);
        copy_batch(bounce, &batch, lane_count);
        bc_client_lock(client);
        while ((node = bc_list_pop_front(&batch)) != NULL) {
            copied_locked(client, BC_CONTAINER_OF(node, struct bc_part, bounce.job));
        }
        bc_transfer_pump_locked(client); /* filled parts go, and leases were given back */
        bc_client_unlock(client);
        bc_client_lock(client);
    }
    bc_client_unlock(client);
    return NULL;
}

static int start_thread(struct bc_client *client)
{
    sigset_t all;
    sigset_t before;
    int rc;

    /* The application's signals are for its own threads. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&client->bounce.thread, NULL, copy_main, client);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    client->bounce.thread_started = rc == 0;
    if (rc == 0) {
        (void)pthread_setname_np(client->bounce.thread, "bluecache-gpu");
    }
    return -rc;
}

static void stop_thread(struct bc_client *client)
{
    struct bc_bounce *bounce = &client->bounce;

    if (!bounce->thread_started) {
        return;
    }
    bc_client_lock(client);
    bounce->stop = true;
    (void)pthread_cond_signal(&bounce->wake);
    bc_client_unlock(client);
    (void)pthread_join(bounce->thread, NULL);
    bounce->thread_started = false;
}

/* ---- the pool ------------------------------------------------------------------------------ */

void bc_bounce_init(struct bc_bounce *bounce)
{
    (void)pthread_mutex_init(&bounce->create_lock, NULL);
    (void)pthread_cond_init(&bounce->wake, NULL);
    bc_list_init(&bounce->memories);
    bc_list_init(&bounce->leases);
    bc_list_init(&bounce->jobs);
}

static void free_pool(struct bc_bounce *bounce)
{
    if (bounce->base != NULL) {
        bc_cuda_unpin(&bounce->lanes[0], bounce->base);
        bc_memory_free(bounce->base);
        bounce->base = NULL;
    }
}

void bc_bounce_fini(struct bc_client *client)
{
    struct bc_bounce *bounce = &client->bounce;
    struct bc_list_node *node;

    stop_thread(client);
    BC_ASSERT(bc_list_empty(&bounce->jobs) && bc_list_empty(&bounce->leases));
    while ((node = bc_list_pop_front(&bounce->memories)) != NULL) {
        free(BC_CONTAINER_OF(node, struct bc_memory, node));
    }
    free_pool(bounce);
    for (uint32_t i = 0; i < bounce->lane_count; i++) {
        bc_cuda_lane_close(&bounce->lanes[i]);
    }
    (void)pthread_cond_destroy(&bounce->wake);
    (void)pthread_mutex_destroy(&bounce->create_lock);
}

static bool same_allocation(const struct bc_extent *a, const struct bc_extent *b)
{
    return a->device == b->device && a->base == b->base && a->len == b->len &&
           a->identity == b->identity;
}

bool bc_bounce_knows(struct bc_client *client, const struct bc_extent *extent)
{
    const struct bc_list_node *node;
    bool found = false;

    bc_client_lock(client);
    node = bc_list_first(&client->bounce.memories);
    for (; node != NULL && !found; node = bc_list_next(&client->bounce.memories, node)) {
        found =
            same_allocation(&BC_CONTAINER_OF(node, const struct bc_memory, node)->extent, extent);
    }
    bc_client_unlock(client);
    return found;
}

/* Only the holder of create_lock adds lanes; the copying thread sees one by lane_count. */
static int find_lane(struct bc_client *client, const struct bc_extent *extent, uint32_t *lane_out,
                     struct bc_error *error)
{
    struct bc_bounce *bounce = &client->bounce;
    uint32_t count = bounce->lane_count;
    int rc;

    for (uint32_t i = 0; i < count; i++) {
        if (bc_cuda_lane_serves(&bounce->lanes[i], extent)) {
            *lane_out = i;
            return 0;
        }
    }
    if (count == BC_BOUNCE_LANES) {
        return bc_error_set(error, -ENOTSUP, "memory of more than %d CUDA contexts",
                            BC_BOUNCE_LANES);
    }
    rc = bc_cuda_lane_open(extent, &bounce->lanes[count], error);
    if (rc == 0) {
        bc_client_lock(client);
        bounce->lane_count = count + 1;
        bc_client_unlock(client);
        *lane_out = count;
    }
    return rc;
}

/* Memory as bc_memory_alloc gives it, pinned for CUDA as well: it lives in one piece, and the
 * emulation of DOCA shares it. */
static int make_pool(struct bc_client *client, struct bc_error *error)
{
    struct bc_bounce *bounce = &client->bounce;
    struct bc_memory *memory = NULL;
    void *base = NULL;
    int rc;

    bounce->len = client->settings.bounce_bytes;
    rc = bc_memory_alloc(bounce->len, &base);
    if (rc != 0) {
        return bc_error_set(error, rc, "no %llu MiB of host memory (BLUECACHE_BOUNCE_BYTES)",
                            (unsigned long long)(bounce->len >> 20));
    }
    rc = bc_cuda_pin(&bounce->lanes[0], base, bounce->len, error);
    if (rc != 0) {
        bc_memory_free(base);
        return rc;
    }
    bounce->base = base;
    rc = bounce->thread_started ? 0 : start_thread(client);
    if (rc == 0) {
        rc = bc_memory_register(client, base, bounce->len, BC_MEMORY_HOST, 0, &memory);
    }
    if (rc != 0) {
        free_pool(bounce);
        return bc_error_set(error, rc, "the pinned host memory cannot be registered: %s",
                            strerror(-rc));
    }
    bc_client_lock(client);
    bounce->memory = memory;
    bc_client_unlock(client);
    return 0;
}

int bc_bounce_register(struct bc_client *client, struct bc_memory *memory, const char *why,
                       struct bc_error *error)
{
    struct bc_bounce *bounce = &client->bounce;
    struct bc_error problem = {""};
    uint32_t lane = 0;
    int rc = 0;

    if (client->settings.bounce_bytes == 0) {
        return bc_error_set(error, -ENOTSUP, "%.160s; by host memory: BLUECACHE_BOUNCE_BYTES is 0",
                            why);
    }
    (void)pthread_mutex_lock(&bounce->create_lock);
    rc = find_lane(client, &memory->extent, &lane, &problem);
    if (rc == 0 && bounce->memory == NULL) {
        rc = make_pool(client, &problem);
    }
    (void)pthread_mutex_unlock(&bounce->create_lock);
    if (rc != 0) {
        return bc_error_set(error, rc, "%.160s; by host memory: %s", why, problem.text);
    }
    bc_gpu_path_tell(BC_GPU_PATH_BOUNCE, bounce->len, why);
    memory->bounced = true;
    memory->lane = lane;
    bc_client_lock(client);
    bc_list_push_back(&bounce->memories, &memory->node);
    bc_client_unlock(client);
    return 0;
}
