/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - see request.h; and the functions of bluecache.h that work on a request, but
 * submit. */
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "dma_transfer.h"
#include "notify.h"
#include "progress.h"
#include "registry.h"
#include "session.h"
#include "transfer.h"

#define ENTRIES_MAX (1u << 20)
#define GRACE_NS    BC_NS_PER_S

/* ---- create -------------------------------------------------------------------------------- */

static int check_entry(const struct bc_client *client, const struct bc_entry *entry)
{
    const struct bc_memory *memory = entry->memory;

    if (memory == NULL || memory->client != client || (entry->key == NULL && entry->key_len > 0)) {
        return -EINVAL;
    }
    if (entry->memory_offset > memory->len || entry->length > memory->len - entry->memory_offset ||
        entry->length > UINT64_MAX - entry->object_offset) {
        return -EINVAL;
    }
    return 0;
}

static int copy_entries(struct bc_request *request, const struct bc_entry *entries)
{
    uint32_t *key_of = calloc(request->entry_count, sizeof(*key_of));
    int rc = key_of == NULL ? -ENOMEM
                            : bc_plan_init(&request->plan, entries, request->entry_count, key_of);

    for (uint32_t i = 0; rc == 0 && i < request->entry_count; i++) {
        request->entries[i] = (struct bc_request_entry){.memory = entries[i].memory,
                                                        .memory_offset = entries[i].memory_offset,
                                                        .object_offset = entries[i].object_offset,
                                                        .length = entries[i].length,
                                                        .key = key_of[i],
                                                        .bounced = entries[i].memory->bounced};
        if (entries[i].memory->bounced && key_of[i] != BC_KEY_NONE) {
            request->plan.keys[key_of[i]].bounce_len += bc_bounce_need(entries[i].length);
        }
        request->statuses[i] =
            (uint8_t)(key_of[i] == BC_KEY_NONE ? BC_STATUS_KEY_TOO_LONG : BC_STATUS_IN_PROGRESS);
    }
    free(key_of);
    return rc;
}

/* One key goes in one piece. */
static int check_bounce(const struct bc_client *client, const struct bc_request *request)
{
    for (uint32_t i = 0; i < request->plan.key_count; i++) {
        uint64_t need = request->plan.keys[i].bounce_len;

        if (need > client->settings.bounce_bytes) {
            BC_ERROR("host",
                     "an object of %llu bytes of GPU memory that is copied by way of host memory "
                     "needs as much of it; BLUECACHE_BOUNCE_BYTES is %llu",
                     (unsigned long long)need, (unsigned long long)client->settings.bounce_bytes);
            return -ENOBUFS;
        }
    }
    return 0;
}

int bc_request_create(struct bc_client *client, enum bc_op op, const struct bc_entry *entries,
                      size_t count, struct bc_request **request_out)
{
    struct bc_request *request;
    int rc;

    if ((op != BC_PUSH && op != BC_PULL) || entries == NULL || count == 0 || count > ENTRIES_MAX) {
        return -EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        rc = check_entry(client, &entries[i]);
        if (rc != 0) {
            return rc;
        }
    }
    request = calloc(1, sizeof(*request) +
                            count * (sizeof(request->entries[0]) + sizeof(request->statuses[0])));
    if (request == NULL) {
        return -ENOMEM;
    }
    request->client = client;
    request->op = op;
    request->status = BC_STATUS_IN_PROGRESS;
    request->entry_count = (uint32_t)count;
    request->entries = (struct bc_request_entry *)(request + 1);
    request->statuses = (uint8_t *)(request->entries + count);
    rc = copy_entries(request, entries);
    if (rc != 0) {
        free(request);
        return rc;
    }
    rc = check_bounce(client, request);
    if (rc != 0) {
        bc_request_destroy(request);
        return rc;
    }
    *request_out = request;
    return 0;
}

void bc_request_destroy(struct bc_request *request)
{
    if (request != NULL) {
        bc_plan_fini(&request->plan);
        free(request);
    }
}

/* ---- progress ------------------------------------------------------------------------------ */

struct bc_plan_limits bc_request_limits_locked(const struct bc_client *client, enum bc_op op)
{
    return (struct bc_plan_limits){
        .entries_max = (uint32_t)bc_min_u64(client->grant.entries_max, BC_TRANSFER_ENTRIES_MAX),
        .body_max = bc_min_u64(client->grant.message_max, BC_MESSAGE_BODY_MAX),
        .groups = op == BC_PUSH && (client->grant.features & BC_FEATURE_GROUPS) != 0,
        .bounce_max = client->settings.bounce_bytes / 4};
}

bool bc_request_is_safe_locked(const struct bc_request *request)
{
    if (request->copies > 0) {
        return false;
    }
    for (uint32_t i = 0; i < request->entry_count; i++) {
        const struct bc_export *exported = request->entries[i].exported;

        if (exported != NULL && exported->state != BC_EXPORT_CLOSED) {
            return false;
        }
    }
    return true;
}

void bc_request_finish_locked(struct bc_client *client, struct bc_request *request)
{
    uint32_t status = BC_STATUS_OK;
    uint8_t otherwise = request->expired ? BC_STATUS_TIMED_OUT : BC_STATUS_DISCONNECTED;

    BC_ASSERT(request->started && request->copies == 0 && !bc_list_linked(&request->queue_node));
    for (uint32_t i = 0; i < request->parts_leased; i++) {
        bc_bounce_drop_locked(client, &request->plan.parts[i]); /* lost with its session */
    }
    for (uint32_t i = 0; i < request->entry_count; i++) {
        struct bc_request_entry *entry = &request->entries[i];

        if (request->statuses[i] == BC_STATUS_IN_PROGRESS) {
            request->statuses[i] = otherwise;
        }
        if (status == BC_STATUS_OK) {
            status = request->statuses[i];
        }
        if (entry->exported != NULL) {
            bc_registry_unuse_locked(client, entry->exported);
            entry->exported = NULL;
        }
        entry->memory->users--;
    }
    bc_list_remove(&client->requests, &request->node);
    bc_list_push_back(&client->finished, &request->node);
    /* Pairs with the acquire of bc_request_is_terminal. Whoever is told below finds it terminal. */
    __atomic_store_n(&request->status, status, __ATOMIC_RELEASE);
    bc_notify_terminal_locked(client);
    bc_progress_changed_locked(client);
}

void bc_request_timers_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns)
{
    struct bc_list_node *node = bc_list_first(&client->requests);
    bool stopped = false;

    while (node != NULL) {
        struct bc_request *request = BC_CONTAINER_OF(node, struct bc_request, node);

        node = bc_list_next(&client->requests, node);
        if (request->dying) {
            continue;
        }
        if (!request->expired && now_ns >= request->deadline_ns) {
            request->expired = true;
            request->grace_until_ns = now_ns + bc_min_u64(request->timeout_ns, GRACE_NS);
            bc_transfer_stop_locked(client, request, BC_STATUS_TIMED_OUT);
            stopped = true;
            if (bc_request_is_terminal(request)) {
                continue;
            }
        }
        if (!request->expired) {
            bc_earliest(next_ns, request->deadline_ns);
        } else if (!bc_transfer_is_with_agent(request)) {
            continue; /* a copy on the GPU is not the agent's fault; its end goes on from here */
        } else if (now_ns < request->grace_until_ns) {
            bc_earliest(next_ns, request->grace_until_ns);
        } else if (client->link != NULL) {
            bc_session_drop_locked(client, -ETIMEDOUT, "it does not answer a cancel");
            return; /* everything in the list has changed */
        }
    }
    if (stopped) {
        bc_transfer_pump_locked(client); /* it may have stood in the way of others */
    }
}

/* ---- bluecache.h --------------------------------------------------------------------------- */

enum bc_status bc_request_test(struct bc_request *request)
{
    struct bc_client *client = request->client;

    if (!bc_request_is_terminal(request) && bc_client_trylock(client)) {
        bc_progress_poll_locked(client);
        bc_client_unlock(client);
    }
    return (enum bc_status)__atomic_load_n(&request->status, __ATOMIC_ACQUIRE);
}

static bool terminal_cb(void *arg)
{
    return bc_request_is_terminal(arg);
}

enum bc_status bc_request_wait(struct bc_request *request, uint64_t timeout_ms)
{
    struct bc_client *client = request->client;

    if (!bc_request_is_terminal(request)) {
        uint64_t limit_ms = bc_min_u64(timeout_ms, BC_TIMEOUT_MS_MAX);

        bc_client_lock(client);
        (void)bc_progress_wait_locked(client, terminal_cb, request,
                                      bc_now_ns() + limit_ms * BC_NS_PER_MS);
        bc_client_unlock(client);
    }
    return (enum bc_status)__atomic_load_n(&request->status, __ATOMIC_ACQUIRE);
}

enum bc_status bc_request_entry_status(const struct bc_request *request, size_t index)
{
    if (index >= request->entry_count) {
        return BC_STATUS_INVALID;
    }
    if (!bc_request_is_terminal(request)) {
        return BC_STATUS_IN_PROGRESS;
    }
    return (enum bc_status)request->statuses[index];
}

uint64_t bc_request_bytes(const struct bc_request *request)
{
    return bc_request_is_terminal(request) ? request->bytes : 0;
}

void bc_request_cancel(struct bc_request *request)
{
    struct bc_client *client = request->client;

    if (bc_request_is_terminal(request)) {
        return;
    }
    bc_client_lock(client);
    if (!bc_request_is_terminal(request) && !request->cancelled) {
        request->cancelled = true;
        bc_transfer_stop_locked(client, request, BC_STATUS_CANCELLED);
        bc_transfer_pump_locked(client); /* it may have stood in the way of others */
    }
    bc_client_unlock(client);
}

int bc_request_free(struct bc_request *request)
{
    struct bc_client *client;

    if (request == NULL) {
        return 0;
    }
    if (!bc_request_is_terminal(request)) {
        return -EBUSY;
    }
    client = request->client;
    /* Whoever made it terminal lets go of it with the lock. */
    bc_client_lock(client);
    bc_list_remove(&client->finished, &request->node);
    bc_client_unlock(client);
    bc_request_destroy(request);
    return 0;
}
