/* SPDX-License-Identifier: Apache-2.0 */
/* registry.c - see registry.h. */
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "errors.h"
#include "progress.h"
#include "proto/proto.h"
#include "revoke.h"
#include "session.h"

#define IDS_MAX          (1u << 20) /* bounds what an agent can make the client allocate */
#define REGION_RETRY_MS  UINT64_C(1000)
#define REGISTER_LEN_MAX (64u << 10) /* of one message: bounds the scratch memory */

struct register_batch {
    struct bc_pending pending;
    uint32_t count;
    struct bc_export *exports[];
};

/* ---- ids ----------------------------------------------------------------------------------- */

int bc_registry_reset_ids_locked(struct bc_client *client, uint32_t regions_max)
{
    uint32_t capacity = regions_max < IDS_MAX ? regions_max : IDS_MAX;
    uint8_t *used = calloc(capacity, 1);

    if (used == NULL) {
        return -ENOMEM;
    }
    free(client->ids.used);
    client->ids = (struct bc_memory_ids){.used = used, .capacity = capacity};
    return 0;
}

static int take_id(struct bc_memory_ids *ids, uint32_t *id_out)
{
    for (uint32_t i = 0; i < ids->capacity; i++) {
        uint32_t id = (ids->next + i) % ids->capacity;

        if (ids->used[id] == 0) {
            ids->used[id] = 1;
            ids->next = (id + 1) % ids->capacity;
            *id_out = id;
            return 0;
        }
    }
    return -ENOSPC;
}

static void give_id(struct bc_client *client, const struct bc_export *exported)
{
    if (client->link != NULL && exported->session == client->link->serial) {
        client->ids.used[exported->memory_id] = 0;
    }
}

/* ---- states -------------------------------------------------------------------------------- */

static void set_state(struct bc_client *client, struct bc_export *exported,
                      enum bc_export_state state)
{
    BC_TRACE("host", "export of %llu bytes: %s -> %s", (unsigned long long)exported->extent.len,
             bc_export_state_name(exported->state), bc_export_state_name(state));
    BC_ASSERT(state > exported->state);
    exported->state = state;
    bc_progress_changed_locked(client);
}

/* The region goes on without this export. */
static void cut_off(struct bc_export *exported)
{
    if (exported->region != NULL) {
        BC_ASSERT(exported->region->current == exported);
        exported->region->current = NULL;
        exported->region = NULL;
    }
}

void bc_registry_close_locked(struct bc_client *client, struct bc_export *exported)
{
    cut_off(exported);
    if (exported->pending.id != 0) {
        bc_pending_remove(&client->pending, &exported->pending);
    }
    set_state(client, exported, BC_EXPORT_CLOSING);
    exported->due_ns = 0;
    bc_list_remove(&client->exports, &exported->node);
    bc_list_push_back(&client->closings, &exported->node);
    bc_progress_kick_thread_locked(client);
}

static int unregister_reply(struct bc_client *client, struct bc_pending *pending,
                            const struct bc_message *message)
{
    struct bc_export *exported = BC_CONTAINER_OF(pending, struct bc_export, pending);
    const uint8_t *statuses;
    uint32_t count;

    if (bc_statuses_decode(message->body, message->body_len, &statuses, &count) != 0 ||
        count != 1) {
        return -EBADMSG;
    }
    if (bc_statuses_get(statuses, 0) == BC_STATUS_OK) {
        give_id(client, exported);
    }
    bc_registry_close_locked(client, exported);
    return 0;
}

static void unregister_lost(struct bc_client *client, struct bc_pending *pending)
{
    (void)client;
    (void)pending; /* bc_revoke_session_locked closes it, as all of its session */
}

/* Asks the agent to let go. What cannot be asked is revoked, which comes to the same. */
static void leave_locked(struct bc_client *client, struct bc_export *exported)
{
    struct bc_wire_memory_name name = {.memory_id = exported->memory_id,
                                       .generation = exported->generation};
    uint8_t body[sizeof(struct bc_wire_list) + sizeof(name)];
    struct bc_writer writer;
    size_t len = 0;
    int rc;

    cut_off(exported);
    exported->pending = (struct bc_pending){
        .reply_type = BC_MSG_UNREGISTER_ACK, .reply = unregister_reply, .lost = unregister_lost};
    bc_writer_init(&writer, body, sizeof(body));
    rc = client->link == NULL || client->link->serial != exported->session ? -ENOTCONN : 0;
    if (rc == 0) {
        rc = bc_unregister_encode(&writer, &name, 1);
    }
    if (rc == 0) {
        rc = bc_writer_finish(&writer, &len);
    }
    if (rc == 0) {
        rc = bc_pending_add(&client->pending, &exported->pending);
    }
    if (rc == 0) {
        rc = bc_link_send(client->link, BC_MSG_UNREGISTER, exported->pending.id, body, len);
    }
    if (rc != 0) {
        bc_registry_close_locked(client, exported);
        return;
    }
    set_state(client, exported, BC_EXPORT_LEAVING);
    exported->due_ns = bc_now_ns() + client->timeout_ns;
    bc_progress_timer_locked(client, exported->due_ns);
}

/* A retired export goes as soon as it may. */
static void let_go_locked(struct bc_client *client, struct bc_export *exported)
{
    if (exported->users > 0) {
        return;
    }
    if (exported->state == BC_EXPORT_LOCAL) {
        bc_registry_close_locked(client, exported);
    } else if (exported->state == BC_EXPORT_LIVE) {
        leave_locked(client, exported);
    }
    /* OPENING and SENDING: the thread that opens it, the answer. Others are on their way
     * already. */
}

void bc_registry_retire_locked(struct bc_client *client, struct bc_export *exported)
{
    cut_off(exported);
    let_go_locked(client, exported);
}

void bc_registry_drop_absorbed_locked(struct bc_client *client, struct bc_list *absorbed)
{
    struct bc_list_node *node;

    while ((node = bc_list_pop_front(absorbed)) != NULL) {
        struct bc_region *region = BC_CONTAINER_OF(node, struct bc_region, node);

        if (region->current != NULL) {
            bc_registry_retire_locked(client, region->current);
        }
        bc_region_destroy(region);
    }
}

void bc_registry_unuse_locked(struct bc_client *client, struct bc_export *exported)
{
    BC_ASSERT(exported->users > 0);
    exported->users--;
    if (exported->users > 0) {
        return;
    }
    if (exported->state == BC_EXPORT_CLOSED) {
        free(exported);
    } else if (exported->region == NULL) {
        let_go_locked(client, exported);
    }
}

static void region_failed(struct bc_export *exported, int error)
{
    if (exported->region != NULL) {
        exported->region->error = error;
        exported->region->retry_ns = bc_now_ns() + REGION_RETRY_MS * BC_NS_PER_MS;
    }
}

/* ---- opening ------------------------------------------------------------------------------- */

int bc_registry_open_locked(struct bc_client *client, struct bc_region *region,
                            struct bc_error *error)
{
    struct bc_export *exported = calloc(1, sizeof(*exported));
    int rc;

    if (exported == NULL) {
        return bc_error_set(error, -ENOMEM, "out of memory");
    }
    BC_ASSERT(region->current == NULL);
    exported->extent = region->extent;
    exported->region = region;
    region->current = exported;
    region->error = 0;
    bc_list_push_back(&client->exports, &exported->node);
    bc_client_unlock(client);
    rc = bc_window_open(&client->device, &exported->extent, &exported->window, error);
    bc_client_lock(client);
    if (rc != 0) {
        region_failed(exported, rc);
        cut_off(exported);
        bc_list_remove(&client->exports, &exported->node);
        free(exported);
        bc_progress_changed_locked(client);
        return rc;
    }
    set_state(client, exported, BC_EXPORT_LOCAL);
    if (exported->region == NULL) {
        let_go_locked(client, exported);
    }
    return 0;
}

/* ---- telling the agent --------------------------------------------------------------------- */

static void refused_locked(struct bc_client *client, struct bc_export *exported, int error)
{
    region_failed(exported, error);
    BC_WARN("host", "memory of %llu bytes cannot be registered with the agent: %s",
            (unsigned long long)exported->extent.len, strerror(-error));
    bc_registry_close_locked(client, exported);
}

static int register_reply(struct bc_client *client, struct bc_pending *pending,
                          const struct bc_message *message)
{
    struct register_batch *batch = BC_CONTAINER_OF(pending, struct register_batch, pending);
    const uint8_t *statuses;
    uint32_t count;

    if (bc_statuses_decode(message->body, message->body_len, &statuses, &count) != 0 ||
        count != batch->count) {
        return -EBADMSG;
    }
    bc_pending_remove(&client->pending, pending);
    for (uint32_t i = 0; i < count; i++) {
        struct bc_export *exported = batch->exports[i];
        uint32_t status = bc_statuses_get(statuses, i);

        if (status != BC_STATUS_OK) {
            give_id(client, exported);
            refused_locked(client, exported, bc_errno_from_status(status));
            continue;
        }
        set_state(client, exported, BC_EXPORT_LIVE);
        if (exported->region == NULL) {
            let_go_locked(client, exported);
        }
    }
    free(batch);
    return 0;
}

static void register_lost(struct bc_client *client, struct bc_pending *pending)
{
    (void)client;
    free(BC_CONTAINER_OF(pending, struct register_batch, pending));
}

static int encode_memory(struct bc_client *client, struct bc_writer *writer,
                         struct bc_export *exported)
{
    struct bc_memory_desc desc = {.wire = {.kind = BC_MEMORY_PCI_EXPORT,
                                           .access = BC_MEMORY_ACCESS_READ | BC_MEMORY_ACCESS_WRITE,
                                           .desc_len = (uint16_t)exported->window.descriptor_len,
                                           .length = exported->extent.len},
                                  .descriptor = {.data = exported->window.descriptor,
                                                 .len = exported->window.descriptor_len}};
    int rc = take_id(&client->ids, &exported->memory_id);

    if (rc != 0) {
        return rc;
    }
    if (++client->generation == 0) { /* 0 is no generation */
        client->generation = 1;
    }
    exported->generation = client->generation;
    desc.wire.memory_id = exported->memory_id;
    desc.wire.generation = exported->generation;
    return bc_memory_encode(writer, &desc);
}

/* The LOCAL exports for the next message. Those that get no id are refused. */
static void collect_batch(struct bc_client *client, struct register_batch *batch,
                          struct bc_writer *writer)
{
    struct bc_list_node *node = bc_list_first(&client->exports);
    size_t left = writer->len - writer->pos;

    while (node != NULL && batch->count < BC_REGISTER_BATCH_MAX) {
        struct bc_export *exported = BC_CONTAINER_OF(node, struct bc_export, node);
        size_t need;
        int rc;

        node = bc_list_next(&client->exports, node);
        if (exported->state != BC_EXPORT_LOCAL || exported->region == NULL) {
            continue; /* OPENING: its window is another thread's for now */
        }
        need = sizeof(struct bc_wire_memory) + exported->window.descriptor_len;
        if (need > left) {
            break;
        }
        rc = encode_memory(client, writer, exported);
        if (rc != 0) {
            refused_locked(client, exported, rc);
            continue;
        }
        left -= need;
        exported->session = client->link->serial;
        set_state(client, exported, BC_EXPORT_SENDING);
        batch->exports[batch->count++] = exported;
    }
}

/* One message. False: nothing left to tell, or no room now. */
static bool announce_batch_locked(struct bc_client *client)
{
    size_t room = bc_min_u64(client->grant.message_max, REGISTER_LEN_MAX);
    uint8_t *body = bc_client_scratch_locked(client, room);
    struct register_batch *batch =
        calloc(1, sizeof(*batch) + BC_REGISTER_BATCH_MAX * sizeof(batch->exports[0]));
    struct bc_wire_list head = {0};
    struct bc_writer writer;
    int rc;

    if (batch == NULL || body == NULL) {
        free(batch);
        return false;
    }
    batch->pending = (struct bc_pending){
        .reply_type = BC_MSG_REGISTER_ACK, .reply = register_reply, .lost = register_lost};
    bc_writer_init(&writer, body, room);
    bc_writer_copy(&writer, &head, sizeof(head)); /* the count comes at the end */
    collect_batch(client, batch, &writer);
    if (batch->count == 0) {
        free(batch);
        return false;
    }
    head.count = batch->count;
    memcpy(body, &head, sizeof(head));
    rc = bc_pending_add(&client->pending, &batch->pending);
    if (rc == 0) {
        rc = bc_link_send(client->link, BC_MSG_REGISTER, batch->pending.id, body, writer.pos);
        if (rc != 0) {
            bc_pending_remove(&client->pending, &batch->pending);
        }
    }
    if (rc != 0) { /* the agent was not told: its answer would never come */
        for (uint32_t i = 0; i < batch->count; i++) {
            give_id(client, batch->exports[i]);
            refused_locked(client, batch->exports[i], rc);
        }
        free(batch);
        return false;
    }
    return true;
}

void bc_registry_announce_locked(struct bc_client *client)
{
    /* Every round tells of at least one export, and none is added meanwhile. */
    while (bc_session_is_up(client) && announce_batch_locked(client)) {}
}

/* ---- the library thread's part ------------------------------------------------------------- */

static void closed_locked(struct bc_client *client, struct bc_export *exported)
{
    if (exported->attempts > 0) {
        BC_INFO("host", "memory of %llu bytes left quarantine",
                (unsigned long long)exported->extent.len);
    }
    bc_list_remove(&client->closings, &exported->node);
    set_state(client, exported, BC_EXPORT_CLOSED);
    if (exported->users == 0) {
        free(exported);
    } else {
        bc_revoke_settle_locked(client);
    }
}

static void close_one_locked(struct bc_client *client, struct bc_export *exported)
{
    int rc;

    exported->closing_now = true;
    bc_client_unlock(client);
    rc = bc_window_close(&client->device, &exported->window);
    bc_client_lock(client);
    exported->closing_now = false;
    if (rc == 0) {
        closed_locked(client, exported);
        return;
    }
    if (exported->attempts++ == 0) {
        BC_WARN(
            "host",
            "memory of %llu bytes is in quarantine: it is revoked, but a copy that had begun is "
            "not over (%s)",
            (unsigned long long)exported->extent.len, strerror(-rc));
    }
    exported->due_ns = bc_now_ns() + BC_CLOSE_RETRY_MS * BC_NS_PER_MS;
    bc_progress_changed_locked(client);
}

static struct bc_export *next_due(const struct bc_client *client, uint64_t now_ns,
                                  uint64_t *next_ns)
{
    const struct bc_list_node *node = bc_list_first(&client->closings);

    for (; node != NULL; node = bc_list_next(&client->closings, node)) {
        struct bc_export *exported = BC_CONTAINER_OF(node, struct bc_export, node);

        if (exported->closing_now) {
            continue;
        }
        if (exported->due_ns <= now_ns) {
            return exported;
        }
        bc_earliest(next_ns, exported->due_ns);
    }
    return NULL;
}

void bc_registry_close_due_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns)
{
    struct bc_export *exported;

    /* Bounded: each one is closed, or due later than now. */
    while ((exported = next_due(client, now_ns, next_ns)) != NULL) {
        close_one_locked(client, exported);
    }
}

void bc_registry_timers_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns)
{
    struct bc_list_node *node = bc_list_first(&client->exports);

    while (node != NULL) {
        struct bc_export *exported = BC_CONTAINER_OF(node, struct bc_export, node);

        node = bc_list_next(&client->exports, node);
        if (exported->state != BC_EXPORT_LEAVING) {
            continue;
        }
        if (now_ns >= exported->due_ns) {
            bc_registry_close_locked(client, exported);
        } else {
            bc_earliest(next_ns, exported->due_ns);
        }
    }
}

static bool wants_window(const struct bc_region *region, uint64_t now_ns, uint64_t *next_ns)
{
    if (region->current != NULL) {
        return false;
    }
    if (region->error != 0 && region->retry_ns > now_ns) {
        bc_earliest(next_ns, region->retry_ns);
        return false;
    }
    return true;
}

static struct bc_region *find_without_window(const struct bc_client *client, uint64_t now_ns,
                                             uint64_t *next_ns)
{
    const struct bc_list_node *node = bc_list_first(&client->regions.detached);

    for (size_t i = 0; i < client->regions.count; i++) {
        if (wants_window(client->regions.items[i], now_ns, next_ns)) {
            return client->regions.items[i];
        }
    }
    for (; node != NULL; node = bc_list_next(&client->regions.detached, node)) {
        struct bc_region *region = BC_CONTAINER_OF(node, struct bc_region, node);

        if (wants_window(region, now_ns, next_ns)) {
            return region;
        }
    }
    return NULL;
}

void bc_registry_restore_locked(struct bc_client *client, uint64_t now_ns, uint64_t *next_ns)
{
    struct bc_region *region;

    /* Bounded: each region then has a window, or an error and a later time. */
    while (bc_session_is_up(client) &&
           (region = find_without_window(client, now_ns, next_ns)) != NULL) {
        struct bc_error error = {""};

        if (bc_registry_open_locked(client, region, &error) != 0) {
            BC_ERROR("host", "memory cannot be registered again: %s", error.text);
        }
    }
    bc_registry_announce_locked(client);
}
