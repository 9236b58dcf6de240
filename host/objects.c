/* SPDX-License-Identifier: Apache-2.0 */
/* objects.c - bc_query and bc_remove: lists of keys, cut into messages that the agent takes, one
 * after the other. Keys that no agent takes (empty, too long) are answered here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "call.h"
#include "progress.h"
#include "proto/proto.h"

#define KEY_HEAD_LEN sizeof(uint16_t)

/* One message's worth of keys, and where its answers go. */
struct batch {
    const uint32_t *index_of; /* of the keys sent, into the caller's list */
    uint32_t count;
    struct bc_object_info *infos; /* query */
    enum bc_status *statuses;     /* remove; may be NULL */
};

static enum bc_status clean(uint32_t status)
{
    return status >= BC_STATUS_COUNT || status == BC_STATUS_IN_PROGRESS ? BC_STATUS_INTERNAL
                                                                        : (enum bc_status)status;
}

static int query_answer(void *arg, const struct bc_message *message)
{
    const struct batch *batch = arg;
    const struct bc_wire_query_result *results;
    uint32_t count;

    if (bc_query_result_decode(message->body, message->body_len, &results, &count) != 0 ||
        count != batch->count) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < count; i++) {
        batch->infos[batch->index_of[i]] =
            (struct bc_object_info){.status = clean(results[i].status),
                                    .size = results[i].size,
                                    .version = results[i].version};
    }
    return 0;
}

static int remove_answer(void *arg, const struct bc_message *message)
{
    const struct batch *batch = arg;
    const uint8_t *statuses;
    uint32_t count;

    if (bc_statuses_decode(message->body, message->body_len, &statuses, &count) != 0 ||
        count != batch->count) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < count && batch->statuses != NULL; i++) {
        batch->statuses[batch->index_of[i]] = clean(bc_statuses_get(statuses, i));
    }
    return 0;
}

static int run_batch(struct bc_client *client, uint8_t type, const struct batch *batch,
                     const struct bc_bytes *keys, size_t body_len, uint64_t deadline_ns)
{
    struct bc_call call = {.type = type, .arg = (void *)batch};
    uint8_t *body = malloc(body_len);
    struct bc_writer writer;
    int rc;

    if (body == NULL) {
        return -ENOMEM;
    }
    call.reply_type = type == BC_MSG_QUERY ? BC_MSG_QUERY_RESULT : BC_MSG_REMOVE_RESULT;
    call.answer = type == BC_MSG_QUERY ? query_answer : remove_answer;
    call.body = body;
    bc_writer_init(&writer, body, body_len);
    rc = bc_keys_encode(&writer, keys, batch->count);
    if (rc == 0) {
        rc = bc_writer_finish(&writer, &call.body_len);
    }
    if (rc == 0) {
        rc = bc_call_run(client, &call, deadline_ns);
    }
    free(body);
    return rc;
}

/* Keys are taken from keys[*next] on until a message is full. Answers of bad keys are given at
 * once. */
static size_t fill_batch(struct batch *batch, const struct bc_key *keys, size_t count, size_t *next,
                         struct bc_bytes *sent, uint32_t *index_of, size_t body_max)
{
    size_t body_len = sizeof(struct bc_wire_list);

    batch->count = 0;
    for (; *next < count && batch->count < BC_QUERY_KEYS_MAX; (*next)++) {
        const struct bc_key *key = &keys[*next];

        if (key->len == 0 || key->len > BC_KEY_LEN_MAX) {
            if (batch->infos != NULL) {
                batch->infos[*next] = (struct bc_object_info){.status = BC_STATUS_KEY_TOO_LONG};
            }
            if (batch->statuses != NULL) {
                batch->statuses[*next] = BC_STATUS_KEY_TOO_LONG;
            }
            continue;
        }
        if (body_len + KEY_HEAD_LEN + key->len > body_max) {
            break;
        }
        body_len += KEY_HEAD_LEN + key->len;
        sent[batch->count] = (struct bc_bytes){.data = key->data, .len = key->len};
        index_of[batch->count++] = (uint32_t)*next;
    }
    return body_len;
}

static int run_all(struct bc_client *client, uint8_t type, const struct bc_key *keys, size_t count,
                   uint64_t timeout_ms, struct batch *batch)
{
    uint64_t deadline_ns = bc_client_deadline(client, timeout_ms);
    size_t room = bc_min_u64(count, BC_QUERY_KEYS_MAX);
    struct bc_bytes *sent = calloc(room, sizeof(*sent));
    uint32_t *index_of = calloc(room, sizeof(*index_of));
    size_t next = 0;
    size_t body_max;
    int rc = sent == NULL || index_of == NULL ? -ENOMEM : 0;

    bc_client_lock(client);
    body_max = bc_min_u64(client->grant.message_max, BC_MESSAGE_BODY_MAX);
    bc_client_unlock(client);
    batch->index_of = index_of;
    while (rc == 0 && next < count) {
        size_t body_len = fill_batch(batch, keys, count, &next, sent, index_of, body_max);

        if (batch->count > 0) {
            rc = run_batch(client, type, batch, sent, body_len, deadline_ns);
        }
    }
    free(sent);
    free(index_of);
    return rc;
}

static bool keys_are_valid(const struct bc_key *keys, size_t count)
{
    if (count > UINT32_MAX || (keys == NULL && count > 0)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (keys[i].data == NULL && keys[i].len > 0) {
            return false;
        }
    }
    return true;
}

int bc_query(struct bc_client *client, const struct bc_key *keys, size_t count, uint64_t timeout_ms,
             struct bc_object_info *infos_out)
{
    struct batch batch = {.infos = infos_out};

    if (!keys_are_valid(keys, count) || (infos_out == NULL && count > 0)) {
        return -EINVAL;
    }
    return count == 0 ? 0 : run_all(client, BC_MSG_QUERY, keys, count, timeout_ms, &batch);
}

int bc_remove(struct bc_client *client, const struct bc_key *keys, size_t count,
              uint64_t timeout_ms, enum bc_status *statuses_out)
{
    struct batch batch = {.statuses = statuses_out};

    if (!keys_are_valid(keys, count)) {
        return -EINVAL;
    }
    return count == 0 ? 0 : run_all(client, BC_MSG_REMOVE, keys, count, timeout_ms, &batch);
}
