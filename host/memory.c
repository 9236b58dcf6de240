/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - bc_memory_register and bc_memory_unregister.
 *
 * A registration that no region covers gets one in two steps: the region and its export are made in
 * private, without the lock where that takes long; then the region is attached, if nothing came in
 * between, and swallows those that it was merged with. Nobody ever sees a region that is not
 * usable. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "bounce.h"
#include "errors.h"
#include "extent.h"
#include "progress.h"
#include "registry.h"
#include "session.h"

/* A merged export that fails or comes too late is followed by one of the bare range, and that by
 * another one when some other thread registered the same: more rounds mean a race without end. */
#define ROUNDS_MAX 8
/* More than an attempt to close a window takes. */
#define CLOSE_NS BC_NS_PER_S

struct settling {
    const struct bc_client *client;
    const struct bc_region *region;
};

/* The agent has it, or it is plain that it will not have it now. */
static bool is_settled(const struct bc_client *client, const struct bc_region *region)
{
    return client->closing || !bc_session_is_up(client) || region->error != 0 ||
           (region->current != NULL && region->current->state == BC_EXPORT_LIVE);
}

static bool private_settled_cb(void *arg)
{
    const struct settling *settling = arg;

    /* Without an export its session has ended: nobody but this thread knows of the region. */
    return settling->region->current == NULL || is_settled(settling->client, settling->region);
}

static bool joined_settled_cb(void *arg)
{
    const struct bc_memory *memory = arg;

    return is_settled(memory->client, memory->region);
}

static int refusal(const struct bc_region *region, struct bc_error *error)
{
    return bc_error_set(error, region->error, "the agent does not take the memory: %s",
                        region->error == -ENOSPC ? "it has no room for more registrations"
                                                 : strerror(-region->error));
}

static void abandon_locked(struct bc_client *client, struct bc_region *region)
{
    if (region->current != NULL) {
        bc_registry_retire_locked(client, region->current);
    }
    bc_region_destroy(region);
}

/* Makes a region in private, known to the agent if there is one. */
static int prepare_locked(struct bc_client *client, const struct bc_extent *extent,
                          uint64_t deadline_ns, struct bc_region **region_out,
                          struct bc_error *error)
{
    struct bc_region *region;
    struct settling settling = {.client = client};
    int rc = bc_region_create(extent, &region);

    if (rc != 0) {
        return bc_error_set(error, rc, "out of memory");
    }
    rc = bc_registry_open_locked(client, region, error);
    if (rc == 0) {
        bc_registry_announce_locked(client);
        settling.region = region;
        if (!bc_progress_wait_locked(client, private_settled_cb, &settling, deadline_ns)) {
            rc = bc_error_set(error, -ETIMEDOUT, "the agent does not answer a registration");
        } else if (region->error != 0) {
            rc = refusal(region, error);
        }
    }
    if (rc != 0) {
        abandon_locked(client, region);
        return rc;
    }
    *region_out = region;
    return 0;
}

static bool same_extent(const struct bc_extent *a, const struct bc_extent *b)
{
    return a->base == b->base && a->len == b->len;
}

/* 0: the memory is in a region. -EAGAIN: things changed meanwhile, look again; *exact: without
 * merging, since that did not work out. */
static int join_new_locked(struct bc_client *client, struct bc_memory *memory, bool *exact,
                           uint64_t deadline_ns, struct bc_error *error)
{
    uint64_t epoch = client->regions.epoch;
    struct bc_extent extent = memory->extent;
    struct bc_region *region = NULL;
    struct bc_list absorbed;
    bool merged;
    int rc;

    if (!*exact) {
        bc_regions_plan(&client->regions, &memory->extent, false, &extent);
    }
    merged = !same_extent(&extent, &memory->extent);
    rc = prepare_locked(client, &extent, deadline_ns, &region, error);
    if (rc != 0) {
        *exact = true;
        return merged && rc != -ETIMEDOUT ? -EAGAIN : rc;
    }
    if ((merged && client->regions.epoch != epoch) ||
        bc_regions_find(&client->regions, &memory->extent) != NULL) {
        abandon_locked(client, region);
        *exact = true;
        return -EAGAIN;
    }
    bc_list_init(&absorbed);
    rc = bc_regions_attach(&client->regions, region, &absorbed);
    if (rc != 0) {
        abandon_locked(client, region);
        return bc_error_set(error, rc, "out of memory");
    }
    bc_region_join(region, memory);
    bc_registry_drop_absorbed_locked(client, &absorbed);
    if (region->current == NULL) { /* the session ended meanwhile */
        bc_progress_kick_thread_locked(client);
    }
    return 0;
}

static void release_locked(struct bc_client *client, struct bc_memory *memory)
{
    struct bc_region *region = bc_regions_release(&client->regions, memory);

    if (region != NULL) {
        abandon_locked(client, region);
    }
}

static int join_existing_locked(struct bc_client *client, struct bc_memory *memory,
                                struct bc_region *region, uint64_t deadline_ns,
                                struct bc_error *error)
{
    int rc = 0;

    bc_region_join(region, memory);
    if (!bc_progress_wait_locked(client, joined_settled_cb, memory, deadline_ns)) {
        rc = bc_error_set(error, -ETIMEDOUT, "the agent does not answer a registration");
    } else if (memory->region->error != 0) { /* it may have been moved to another region */
        rc = refusal(memory->region, error);
    }
    if (rc != 0) {
        release_locked(client, memory);
    }
    return rc;
}

static int register_locked(struct bc_client *client, struct bc_memory *memory, uint64_t deadline_ns,
                           struct bc_error *error)
{
    bool exact = false;
    int rc = -EAGAIN;

    for (int round = 0; rc == -EAGAIN && round < ROUNDS_MAX; round++) {
        struct bc_region *region = bc_regions_find(&client->regions, &memory->extent);

        if (client->closing) {
            return bc_error_set(error, -ENOTCONN, "the client is being closed");
        }
        rc = region != NULL ? join_existing_locked(client, memory, region, deadline_ns, error)
                            : join_new_locked(client, memory, &exact, deadline_ns, error);
    }
    return rc == -EAGAIN ? bc_error_set(error, -EBUSY,
                                        "other threads register and release the "
                                        "same memory all the time")
                         : rc;
}

static int export_memory(struct bc_client *client, struct bc_memory *memory, uint64_t deadline_ns,
                         struct bc_error *error)
{
    int rc;

    bc_client_lock(client);
    rc = register_locked(client, memory, deadline_ns, error);
    bc_client_unlock(client);
    return rc;
}

/* What no device can reach is copied: once that is known of an allocation, for all of it. */
static int make_reachable(struct bc_client *client, struct bc_memory *memory, uint64_t deadline_ns,
                          struct bc_error *error)
{
    struct bc_error why = {"memory of the same allocation cannot be exported"};
    bool gpu = memory->extent.type == BC_MEMORY_CUDA;
    int rc = -ENOTSUP;

    if (!gpu || !bc_bounce_knows(client, &memory->extent)) {
        rc = export_memory(client, memory, deadline_ns, error);
        if (rc != -ENOTSUP || !gpu) {
            return rc;
        }
        why = *error;
    }
    return bc_bounce_register(client, memory, why.text, error);
}

int bc_memory_register(struct bc_client *client, void *addr, size_t len, enum bc_memory_type type,
                       uint32_t device, struct bc_memory **memory_out)
{
    uint64_t deadline_ns = bc_client_deadline(client, 0);
    struct bc_memory *memory = calloc(1, sizeof(*memory));
    struct bc_error error = {""};
    int rc;

    if (memory == NULL) {
        return -ENOMEM;
    }
    memory->client = client;
    memory->addr = (uint64_t)(uintptr_t)addr;
    memory->len = len;
    rc = bc_extent_find(addr, len, type, device, &memory->extent, &error);
    if (rc == 0) {
        rc = make_reachable(client, memory, deadline_ns, &error);
    }
    if (rc != 0) {
        BC_ERROR("host", "memory registration failed: %s", error.text);
        free(memory);
        return rc;
    }
    *memory_out = memory;
    return 0;
}

/* ---- unregister ---------------------------------------------------------------------------- */

static bool overlaps(const struct bc_extent *a, const struct bc_extent *b)
{
    return a->type == b->type && a->device == b->device && a->base < bc_extent_end(b) &&
           b->base < bc_extent_end(a);
}

enum reach {
    REACH_NONE,        /* nobody gets at it any more */
    REACH_LEAVING,     /* the agent was asked, or a window is being closed */
    REACH_CLOSABLE,    /* a window can be closed now */
    REACH_QUARANTINED, /* a window was revoked, but a copy is not over */
};

static enum reach reach_of(const struct bc_client *client, const struct bc_memory *memory)
{
    const struct bc_list_node *node = bc_list_first(&client->closings);
    enum reach reach = REACH_NONE;

    for (; node != NULL; node = bc_list_next(&client->closings, node)) {
        const struct bc_export *exported = BC_CONTAINER_OF(node, const struct bc_export, node);

        if (!overlaps(&exported->extent, &memory->extent)) {
            continue;
        }
        if (!exported->closing_now) {
            return exported->due_ns == 0 ? REACH_CLOSABLE : REACH_QUARANTINED;
        }
        reach = REACH_LEAVING;
    }
    node = bc_list_first(&client->exports);
    for (; node != NULL; node = bc_list_next(&client->exports, node)) {
        const struct bc_export *exported = BC_CONTAINER_OF(node, const struct bc_export, node);

        if (exported->region == NULL && overlaps(&exported->extent, &memory->extent)) {
            return REACH_LEAVING;
        }
    }
    return reach;
}

static bool moved_on_cb(void *arg)
{
    const struct bc_memory *memory = arg;

    return reach_of(memory->client, memory) != REACH_LEAVING;
}

/* The agent does not answer: revoking does not need it. */
static void force_locked(struct bc_client *client, const struct bc_memory *memory)
{
    struct bc_list_node *node = bc_list_first(&client->exports);

    while (node != NULL) {
        struct bc_export *exported = BC_CONTAINER_OF(node, struct bc_export, node);

        node = bc_list_next(&client->exports, node);
        if (exported->region == NULL && exported->users == 0 &&
            exported->state == BC_EXPORT_LEAVING && overlaps(&exported->extent, &memory->extent)) {
            bc_registry_close_locked(client, exported);
        }
    }
}

/* What is in quarantine is tried again by every call. */
static void hurry_locked(struct bc_client *client, const struct bc_memory *memory)
{
    struct bc_list_node *node = bc_list_first(&client->closings);

    for (; node != NULL; node = bc_list_next(&client->closings, node)) {
        struct bc_export *exported = BC_CONTAINER_OF(node, struct bc_export, node);

        if (overlaps(&exported->extent, &memory->extent)) {
            exported->due_ns = 0;
        }
    }
}

static int wait_unreachable_locked(struct bc_client *client, const struct bc_memory *memory)
{
    uint64_t deadline_ns = bc_client_deadline(client, 0);
    uint64_t next_ns = UINT64_MAX;
    bool tried = false;
    bool forced = false;

    for (;;) {
        (void)bc_progress_wait_locked(client, moved_on_cb, (void *)memory, deadline_ns);
        switch (reach_of(client, memory)) {
        case REACH_NONE:
            return 0;
        case REACH_CLOSABLE: /* each round closes one, or finds it quarantined */
            tried = true;
            bc_registry_close_due_locked(client, bc_now_ns(), &next_ns);
            break;
        case REACH_QUARANTINED:
            if (tried) {
                return -EINPROGRESS;
            }
            tried = true;
            hurry_locked(client, memory);
            break;
        case REACH_LEAVING: /* the deadline passed */
            if (forced) {
                return -EINPROGRESS;
            }
            forced = true;
            force_locked(client, memory);
            deadline_ns = bc_now_ns() + CLOSE_NS; /* another thread may be closing it now */
            break;
        }
    }
}

int bc_memory_unregister(struct bc_client *client, struct bc_memory *memory)
{
    int rc = 0;

    if (memory == NULL || memory->client != client) {
        return -EINVAL;
    }
    bc_client_lock(client);
    if (memory->users > 0) {
        bc_client_unlock(client);
        return -EBUSY;
    }
    if (memory->bounced) { /* nobody but requests ever reached it */
        bc_list_remove(&client->bounce.memories, &memory->node);
        bc_client_unlock(client);
        free(memory);
        return 0;
    }
    if (memory->region != NULL) {
        struct bc_region *last = bc_regions_release(&client->regions, memory);

        bc_list_push_back(&client->leaving, &memory->node);
        memory->shared = last == NULL;
        if (last != NULL) {
            abandon_locked(client, last);
        }
    }
    if (!memory->shared) { /* what others registered stays reachable, for them */
        rc = wait_unreachable_locked(client, memory);
    }
    if (rc == 0) {
        bc_list_remove(&client->leaving, &memory->node);
    }
    bc_client_unlock(client);
    if (rc == 0) {
        free(memory);
    }
    return rc;
}
