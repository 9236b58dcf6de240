/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - see transfer.h. */
#include "transfer.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "progress.h"
#include "proto/proto.h"
#include "registry.h"
#include "revoke.h"
#include "session.h"

static struct bc_request_entry *entry_of(const struct bc_part *part, uint32_t index)
{
    struct bc_request *request = part->request;

    return &request->entries[request->plan.order[part->first + index]];
}

/* ---- answers ------------------------------------------------------------------------------- */

static void name_entry(struct bc_part *part, uint32_t index, uint32_t status)
{
    struct bc_request *request = part->request;
    uint8_t *slot = &request->statuses[request->plan.order[part->first + index]];

    if (status >= BC_STATUS_COUNT || status == BC_STATUS_IN_PROGRESS) {
        status = BC_STATUS_INTERNAL;
    }
    if (status == BC_STATUS_CANCELLED && request->expired && !request->cancelled) {
        status = BC_STATUS_TIMED_OUT; /* the cancel was the deadline's */
    }
    if (*slot == BC_STATUS_IN_PROGRESS) {
        part->named++;
    }
    *slot = (uint8_t)status;
}

/* Nothing of it is with the agent, and nothing is being copied: it is over. */
static void settle_request_locked(struct bc_client *client, struct bc_request *request)
{
    if (request->parts_done == request->plan.part_count && request->copies == 0 &&
        !request->dying && !bc_request_is_terminal(request)) {
        bc_request_finish_locked(client, request);
    }
}

/* Of a push nothing is sent, so all of it failed; of a pull, what came and was to be copied. */
static void fail_copies(struct bc_part *part)
{
    const struct bc_request *request = part->request;

    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t index = request->plan.order[part->first + i];

        if (request->op == BC_PUSH ||
            (request->entries[index].bounced && request->statuses[index] == BC_STATUS_OK)) {
            name_entry(part, i, BC_STATUS_DMA_ERROR);
        }
    }
}

void bc_transfer_copied_locked(struct bc_client *client, struct bc_part *part)
{
    struct bc_request *request = part->request;

    if (request->op == BC_PULL) {
        if (part->bounce.failed) {
            fail_copies(part);
        }
        request->parts_done++;
    }
    /* A push goes on when the queue is looked at; one that was dropped counts as done already. */
    if (request->dying) {
        bc_revoke_settle_locked(client);
    } else {
        settle_request_locked(client, request);
    }
    bc_progress_changed_locked(client);
}

bool bc_transfer_is_with_agent(const struct bc_request *request)
{
    for (uint32_t i = 0; i < request->parts_sent; i++) {
        if (request->plan.parts[i].pending.id != 0) {
            return true;
        }
    }
    return false;
}

/* The agent is done with the part: what it held is free. */
static void part_done_locked(struct bc_client *client, struct bc_part *part)
{
    struct bc_request *request = part->request;

    client->link->requests_used--;
    client->link->bytes_used -= part->bytes;
    for (uint32_t i = 0; i < part->count; i++) {
        struct bc_request_entry *entry = entry_of(part, i);

        bc_registry_unuse_locked(client, entry->exported);
        entry->exported = NULL;
    }
    request->bytes += part->moved;
    bc_progress_changed_locked(client); /* there are credits */
    if (part->bounce.len > 0) {
        if (request->op == BC_PULL && bc_bounce_copy_back_locked(client, part)) {
            return; /* done when that is */
        }
        bc_bounce_drop_locked(client, part);
    }
    request->parts_done++;
    settle_request_locked(client, request);
}

static int completion_reply(struct bc_client *client, struct bc_pending *pending,
                            const struct bc_message *message)
{
    struct bc_part *part = BC_CONTAINER_OF(pending, struct bc_part, pending);
    struct bc_completion completion;
    uint32_t first;

    if (bc_completion_decode(message->body, message->body_len, &completion) != 0) {
        return -EBADMSG;
    }
    first = completion.wire.first_entry;
    if (first > part->count || completion.wire.entry_count > part->count - first) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < completion.wire.entry_count; i++) {
        name_entry(part, first + i, bc_statuses_get(completion.statuses, i));
    }
    part->moved = completion.wire.bytes;
    if ((completion.wire.flags & BC_COMPLETION_FLAG_MORE) != 0) {
        return 0;
    }
    if (part->named < part->count) {
        if (completion.wire.entry_count != 0) {
            return -EBADMSG; /* the last answer leaves entries without a status */
        }
        for (uint32_t i = 0; i < part->count; i++) {
            uint32_t index = part->request->plan.order[part->first + i];

            if (part->request->statuses[index] == BC_STATUS_IN_PROGRESS) {
                name_entry(part, i, completion.wire.status);
            }
        }
    }
    bc_pending_remove(&client->pending, pending);
    part_done_locked(client, part);
    return 0;
}

/* With the session: the agent may still be at it. */
static void transfer_lost(struct bc_client *client, struct bc_pending *pending)
{
    struct bc_request *request = BC_CONTAINER_OF(pending, struct bc_part, pending)->request;

    if (!request->dying) {
        request->dying = true;
        if (bc_list_linked(&request->queue_node)) {
            bc_list_remove(&client->queue, &request->queue_node);
        }
        bc_list_push_back(&client->dying, &request->queue_node);
    }
}

/* ---- sending ------------------------------------------------------------------------------- */

static bool has_credit(const struct bc_client *client, const struct bc_part *part)
{
    const struct bc_link *link = client->link;
    uint32_t requests_max = link->ack.requests_max;

    if (client->settings.requests_max != 0 && client->settings.requests_max < requests_max) {
        requests_max = client->settings.requests_max;
    }
    return link->requests_used < requests_max && !bc_link_is_congested(link) &&
           (link->bytes_used == 0 || (part->bytes <= link->ack.bytes_max &&
                                      link->bytes_used <= link->ack.bytes_max - part->bytes));
}

/* The registration that the agent is told to use for the entry. */
static const struct bc_memory *reached_memory(const struct bc_request_entry *entry)
{
    return entry->bounced ? entry->memory->client->bounce.memory : entry->memory;
}

static bool memory_is_live(const struct bc_part *part)
{
    const struct bc_export *last = NULL;

    for (uint32_t i = 0; i < part->count; i++) {
        const struct bc_export *current = reached_memory(entry_of(part, i))->region->current;

        if (current != last && (current == NULL || current->state != BC_EXPORT_LIVE)) {
            return false;
        }
        last = current;
    }
    return last != NULL;
}

static int encode_entries(struct bc_writer *writer, const struct bc_part *part)
{
    int rc = 0;

    for (uint32_t i = 0; i < part->count && rc == 0; i++) {
        const struct bc_request_entry *entry = entry_of(part, i);
        const struct bc_memory *memory = reached_memory(entry);
        const struct bc_export *current = memory->region->current;
        uint64_t offset =
            entry->bounced ? part->bounce.offset + entry->bounce_at : entry->memory_offset;
        struct bc_wire_entry wire = {.key_index = entry->key - part->key_first,
                                     .memory_id = current->memory_id,
                                     .generation = current->generation,
                                     .memory_offset = memory->addr - current->extent.base + offset,
                                     .object_offset = entry->object_offset,
                                     .length = entry->length};

        rc = bc_transfer_entry_encode(writer, &wire);
    }
    return rc;
}

static int encode_keys(struct bc_writer *writer, const struct bc_part *part)
{
    const struct bc_request *request = part->request;
    int rc = 0;

    for (uint32_t i = 0; i < part->key_count && rc == 0; i++) {
        const struct bc_plan_key *key = &request->plan.keys[part->key_first + i];
        struct bc_key_desc desc = {
            .wire = {.object_size = request->op == BC_PUSH ? key->object_size : 0},
            .key = {.data = key->data, .len = key->len}};

        rc = bc_transfer_key_encode(writer, &desc);
    }
    return rc;
}

static int encode_groups(struct bc_writer *writer, const struct bc_part *part)
{
    const struct bc_plan_key *keys = part->request->plan.keys + part->key_first;
    int rc = bc_tlv_group_begin(writer, part->key_count);

    for (uint32_t i = 0; i < part->key_count && rc == 0; i++) {
        bc_writer_u64(writer, keys[i].group);
    }
    return rc;
}

static uint32_t deadline_ms(const struct bc_request *request)
{
    uint64_t now_ns = bc_now_ns();
    uint64_t left_ms =
        request->deadline_ns > now_ns ? (request->deadline_ns - now_ns) / BC_NS_PER_MS : 0;

    return (uint32_t)bc_min_u64(bc_max_u64(left_ms, 1), UINT32_MAX);
}

static int encode_part(struct bc_writer *writer, const struct bc_part *part)
{
    struct bc_wire_transfer header = {.op = part->request->op == BC_PUSH ? BC_TRANSFER_PUSH
                                                                         : BC_TRANSFER_PULL,
                                      .deadline_ms = deadline_ms(part->request),
                                      .key_count = part->key_count,
                                      .entry_count = part->count,
                                      .tlv_len = (uint32_t)part->tlv_len};
    int rc = bc_transfer_header_encode(writer, &header);

    if (rc == 0) {
        rc = encode_entries(writer, part);
    }
    if (rc == 0) {
        rc = encode_keys(writer, part);
    }
    if (rc == 0 && part->tlv_len > 0) {
        rc = encode_groups(writer, part);
    }
    return rc;
}

static int send_part_locked(struct bc_client *client, struct bc_part *part)
{
    struct bc_link *link = client->link;
    uint8_t *body = bc_client_scratch_locked(client, part->body_len);
    struct bc_writer writer;
    size_t len = 0;
    int rc;

    if (body == NULL) {
        return -ENOMEM;
    }
    bc_writer_init(&writer, body, part->body_len);
    rc = encode_part(&writer, part);
    if (rc == 0) {
        rc = bc_writer_finish(&writer, &len);
    }
    if (rc != 0) {
        return rc;
    }
    part->pending = (struct bc_pending){
        .reply_type = BC_MSG_COMPLETION, .reply = completion_reply, .lost = transfer_lost};
    rc = bc_pending_add(&client->pending, &part->pending);
    if (rc != 0) {
        return rc;
    }
    rc = bc_link_send(link, BC_MSG_TRANSFER, part->pending.id, body, len);
    if (rc != 0) {
        bc_pending_remove(&client->pending, &part->pending);
        return rc;
    }
    link->requests_used++;
    link->bytes_used += part->bytes;
    for (uint32_t i = 0; i < part->count; i++) {
        struct bc_request_entry *entry = entry_of(part, i);

        entry->exported = reached_memory(entry)->region->current;
        bc_registry_use_locked(entry->exported);
    }
    return 0;
}

static void started_locked(struct bc_client *client, struct bc_request *request)
{
    if (!request->started) {
        request->started = true;
        bc_list_push_back(&client->requests, &request->node);
        bc_progress_timer_locked(client, request->deadline_ns);
        bc_progress_changed_locked(client);
    }
}

/* Another session may have granted less than the one that the request was cut for. */
static int recut_locked(struct bc_client *client, struct bc_request *request)
{
    struct bc_plan_limits limits = bc_request_limits_locked(client, request->op);
    int rc;

    if (request->started || request->plan_serial == client->link->serial) {
        return 0;
    }
    rc = bc_plan_cut(&request->plan, request, &limits);
    if (rc == 0) {
        request->plan_serial = client->link->serial;
        request->parts_leased = 0; /* it has no lease, or it would have been started */
    }
    return rc;
}

/* Takes the leases of as many parts as there is room for. With the first one the request is
 * started: its copy is under way. */
static void lease_parts_locked(struct bc_client *client, struct bc_request *request)
{
    while (request->parts_leased < request->plan.part_count) {
        struct bc_part *part = &request->plan.parts[request->parts_leased];

        if (part->bounce.len > 0) {
            if (bc_bounce_take_locked(client, part) != 0) {
                return;
            }
            started_locked(client, request);
        }
        request->parts_leased++;
    }
}

/* True: its copy from the GPU failed, and it ends without having been sent. */
static bool skip_failed_locked(struct bc_client *client, struct bc_part *part)
{
    if (!part->bounce.failed) {
        return false;
    }
    fail_copies(part);
    bc_bounce_drop_locked(client, part);
    part->request->parts_sent++;
    part->request->parts_done++;
    return true;
}

/* 0: all of it is sent. -EAGAIN: no credit, nor for those behind it. -ENOENT: its memory is not
 * known to the agent yet, or not filled. Others: it cannot be sent. */
static int send_parts_locked(struct bc_client *client, struct bc_request *request)
{
    int rc = recut_locked(client, request);

    if (rc == 0) {
        lease_parts_locked(client, request);
    }
    while (rc == 0 && request->parts_sent < request->plan.part_count) {
        struct bc_part *part = &request->plan.parts[request->parts_sent];

        if (part->bounce.len > 0 && part->bounce.state != BC_BOUNCE_READY) {
            return -ENOENT;
        }
        if (skip_failed_locked(client, part)) {
            continue;
        }
        if (!memory_is_live(part)) {
            return -ENOENT;
        }
        if (!has_credit(client, part)) {
            return -EAGAIN;
        }
        rc = send_part_locked(client, part);
        if (rc == 0) {
            request->parts_sent++;
            started_locked(client, request);
        }
    }
    return rc;
}

static void unsendable_locked(struct bc_client *client, struct bc_request *request, int error)
{
    if (request->started) {
        bc_transfer_stop_locked(client, request,
                                error == -ENOMEM ? BC_STATUS_NO_MEMORY : BC_STATUS_INVALID);
        return;
    }
    bc_list_remove(&client->queue, &request->queue_node);
    request->submit_error = error;
    bc_progress_changed_locked(client);
}

void bc_transfer_pump_locked(struct bc_client *client)
{
    struct bc_list_node *node = bc_list_first(&client->queue);

    client->bounce.full = false;
    while (node != NULL && bc_session_is_up(client)) {
        struct bc_request *request = BC_CONTAINER_OF(node, struct bc_request, queue_node);
        int rc = send_parts_locked(client, request);

        node = bc_list_next(&client->queue, node);
        if (rc == -EAGAIN) {
            break;
        }
        if (rc == 0) {
            bc_list_remove(&client->queue, &request->queue_node);
            settle_request_locked(client, request); /* when all of it failed here */
        } else if (rc != -ENOENT) {
            unsendable_locked(client, request, rc);
        }
    }
}

/* ---- early ends ---------------------------------------------------------------------------- */

static void send_cancel_locked(struct bc_client *client, const struct bc_part *part)
{
    uint8_t body[sizeof(uint64_t)];
    struct bc_writer writer;
    int rc;

    bc_writer_init(&writer, body, sizeof(body));
    rc = bc_cancel_encode(&writer, part->pending.id);
    if (rc == 0) {
        rc = bc_link_send(client->link, BC_MSG_CANCEL, part->pending.id, body, sizeof(body));
    }
    if (rc != 0) { /* the deadline comes all the same */
        BC_DBG("host", "no room for a cancel: %s", strerror(-rc));
    }
}

static void drop_unsent_locked(struct bc_client *client, struct bc_request *request,
                               enum bc_status status)
{
    if (request->parts_sent == request->plan.part_count) {
        return;
    }
    for (uint32_t i = request->parts_sent; i < request->plan.part_count; i++) {
        for (uint32_t k = 0; k < request->plan.parts[i].count; k++) {
            name_entry(&request->plan.parts[i], k, status);
        }
        bc_bounce_drop_locked(client, &request->plan.parts[i]);
        request->parts_done++;
    }
    request->parts_sent = request->plan.part_count;
    bc_list_remove(&client->queue, &request->queue_node);
}

void bc_transfer_stop_locked(struct bc_client *client, struct bc_request *request,
                             enum bc_status status)
{
    if (request->dying || bc_request_is_terminal(request)) {
        return;
    }
    for (uint32_t i = 0; i < request->parts_sent && client->link != NULL; i++) {
        if (request->plan.parts[i].pending.id != 0) {
            send_cancel_locked(client, &request->plan.parts[i]);
        }
    }
    drop_unsent_locked(client, request, status);
    settle_request_locked(client, request);
}
