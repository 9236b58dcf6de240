/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - see client.h. */
#include "client.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MAX   8192u
#define GIVE_UP_NS (120 * BC_NS_PER_S) /* of virtual time */
#define TURNS_MAX  2000000u
#define REGION_LEN sizeof(struct bc_memory_region)

/* ---- connection ----------------------------------------------------------------------------- */

void client_open(struct client *client, struct world *world, bool may_fall_silent)
{
    memset(client, 0, sizeof(*client));
    client->world = world;
    client->may_fall_silent = may_fall_silent;
    client->next = 1; /* 0 is what messages that nobody asked for have */
    assert_int_equal(bc_channel_create(NULL, &client->channel), 0);
    client->fd = world_connect(world);
}

static void lose(struct client *client)
{
    if (client->fd >= 0) {
        (void)close(client->fd);
        client->fd = -1;
    }
    for (uint32_t i = 0; i < client->next; i++) {
        if (client->replies[i].state == REPLY_AWAITED) {
            client->replies[i].state = REPLY_LOST;
        }
    }
}

void client_close(struct client *client)
{
    lose(client);
    bc_channel_destroy(client->channel);
    client->channel = NULL;
}

static void flush(struct client *client)
{
    const uint8_t *data;
    size_t len;

    while (client->fd >= 0 && bc_channel_out_peek(client->channel, &data, &len)) {
        ssize_t sent = send(client->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0) {
            return; /* what came before a loss is still to be read */
        }
        bc_channel_out_consume(client->channel, (size_t)sent);
    }
}

/* ---- answers -------------------------------------------------------------------------------- */

static void take_completion(struct reply *reply, const struct bc_message *message)
{
    struct bc_completion completion;

    WORLD_CHECK_EQUAL(bc_completion_decode(message->body, message->body_len, &completion), 0);
    WORLD_CHECK_EQUAL(completion.wire.flags & BC_COMPLETION_FLAG_MORE, 0);
    WORLD_CHECK(completion.wire.entry_count == 0 || completion.wire.entry_count == reply->count);
    for (uint32_t i = 0; i < reply->count; i++) {
        reply->statuses[i] = completion.wire.entry_count == 0
                                 ? completion.wire.status
                                 : bc_statuses_get(completion.statuses, i);
        WORLD_CHECK(reply->statuses[i] != BC_STATUS_IN_PROGRESS);
    }
}

static void take_statuses(struct reply *reply, const struct bc_message *message)
{
    const uint8_t *statuses;
    uint32_t count;

    WORLD_CHECK_EQUAL(bc_statuses_decode(message->body, message->body_len, &statuses, &count), 0);
    WORLD_CHECK_EQUAL(count, reply->count);
    for (uint32_t i = 0; i < count; i++) {
        reply->statuses[i] = bc_statuses_get(statuses, i);
    }
}

static void take_query(struct reply *reply, const struct bc_message *message)
{
    const struct bc_wire_query_result *results;
    uint32_t count;

    WORLD_CHECK_EQUAL(bc_query_result_decode(message->body, message->body_len, &results, &count),
                      0);
    WORLD_CHECK_EQUAL(count, reply->count);
    for (uint32_t i = 0; i < count; i++) {
        reply->statuses[i] = results[i].status;
        reply->sizes[i] = results[i].size;
    }
}

static void take(struct client *client, const struct bc_message *message)
{
    struct reply *reply;

    if (message->type == BC_MSG_ERROR || message->type == BC_MSG_GOODBYE ||
        message->type == BC_MSG_PING) {
        return; /* the end of the connection follows the first two */
    }
    if (message->request_id == 0 || message->request_id >= client->next) {
        world_fail("an answer to request %llu, which was never made",
                   (unsigned long long)message->request_id);
    }
    reply = &client->replies[message->request_id];
    if (reply->state != REPLY_AWAITED || reply->type != message->type) {
        world_fail("request %llu is answered by a message of type %u in state %d",
                   (unsigned long long)message->request_id, message->type, (int)reply->state);
    }
    switch (message->type) {
    case BC_MSG_COMPLETION:
        take_completion(reply, message);
        break;
    case BC_MSG_QUERY_RESULT:
        take_query(reply, message);
        break;
    case BC_MSG_HELLO_ACK:
        break;
    default:
        take_statuses(reply, message);
        break;
    }
    reply->state = REPLY_GIVEN;
}

/* Whether anything came. */
static bool receive(struct client *client)
{
    struct bc_message message;
    uint8_t *room;
    size_t len;
    ssize_t got;
    int rc;

    if (client->fd < 0) {
        return false;
    }
    assert_int_equal(bc_channel_in_space(client->channel, &room, &len), 0);
    got = recv(client->fd, room, len, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) {
        bc_channel_in_commit(client->channel, 0);
        return false;
    }
    if (got <= 0) {
        lose(client);
        return true;
    }
    bc_channel_in_commit(client->channel, (size_t)got);
    while ((rc = bc_channel_next(client->channel, &message)) == 1) {
        take(client, &message);
    }
    if (rc < 0) {
        lose(client); /* damaged on its way */
    }
    return true;
}

uint32_t client_send(struct client *client, uint8_t type, uint8_t answer, uint32_t count,
                     const void *body, size_t len)
{
    uint32_t id = client->next++;

    WORLD_CHECK(client->next <= CLIENT_REQUESTS_MAX && count <= CLIENT_RESULTS_MAX);
    client->replies[id] = (struct reply){.state = answer == 0      ? REPLY_UNUSED
                                                  : client->fd < 0 ? REPLY_LOST
                                                                   : REPLY_AWAITED,
                                         .type = answer,
                                         .count = count};
    assert_int_equal(bc_channel_send(client->channel, type, id, body, len), 0);
    flush(client);
    return id;
}

bool client_wait(struct client *client, uint32_t id)
{
    const struct reply *reply = &client->replies[id];
    uint64_t since_ns = world_now_ns(client->world);

    for (uint32_t turns = 0; reply->state == REPLY_AWAITED; turns++) {
        flush(client);
        if (receive(client)) {
            continue;
        }
        world_turn(client->world);
        if (turns >= TURNS_MAX || world_now_ns(client->world) - since_ns > GIVE_UP_NS) {
            if (!client->may_fall_silent) {
                world_fail("request %u (answer of type %u) is never answered", id, reply->type);
            }
            lose(client);
        }
    }
    return reply->state == REPLY_GIVEN;
}

/* ---- messages ------------------------------------------------------------------------------- */

static uint32_t finish(struct client *client, struct bc_writer *writer, uint8_t type,
                       uint8_t answer, uint32_t count, const void *body)
{
    size_t len = 0;

    assert_int_equal(bc_writer_finish(writer, &len), 0);
    return client_send(client, type, answer, count, body, len);
}

bool client_greet(struct client *client)
{
    uint8_t body[256];
    struct bc_writer writer;
    struct bc_hello hello = {
        .wire = {.version_min = BC_WIRE_VERSION, .version_max = BC_WIRE_VERSION, .name_len = 5},
        .name = {(const uint8_t *)"sweep", 5},
    };

    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_hello_encode(&writer, &hello), 0);
    return client_wait(client, finish(client, &writer, BC_MSG_HELLO, BC_MSG_HELLO_ACK, 0, body));
}

uint32_t client_register(struct client *client, const uint64_t *offsets, uint32_t count,
                         uint64_t len)
{
    uint8_t body[BODY_MAX];
    struct bc_writer writer;

    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_list_begin_encode(&writer, count), 0);
    for (uint32_t i = 0; i < count; i++) {
        struct bc_memory_region region = {.magic = BC_MEMORY_REGION_MAGIC,
                                          .base = client->world->memory + offsets[i],
                                          .len = len};
        struct bc_memory_desc memory = {
            .wire = {.memory_id = i,
                     .generation = 1,
                     .kind = BC_MEMORY_PCI_EXPORT,
                     .access = BC_MEMORY_ACCESS_READ | BC_MEMORY_ACCESS_WRITE,
                     .desc_len = REGION_LEN,
                     .length = len},
            .descriptor = {(const uint8_t *)&region, REGION_LEN},
        };
        assert_int_equal(bc_memory_encode(&writer, &memory), 0);
    }
    return finish(client, &writer, BC_MSG_REGISTER, BC_MSG_REGISTER_ACK, count, body);
}

uint32_t client_unregister(struct client *client, uint32_t count)
{
    struct bc_wire_memory_name names[CLIENT_RESULTS_MAX];
    uint8_t body[BODY_MAX];
    struct bc_writer writer;

    for (uint32_t i = 0; i < count; i++) {
        names[i] = (struct bc_wire_memory_name){.memory_id = i, .generation = 1};
    }
    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_unregister_encode(&writer, names, count), 0);
    return finish(client, &writer, BC_MSG_UNREGISTER, BC_MSG_UNREGISTER_ACK, count, body);
}

/* Index of the range's key in the table of keys: they follow each other. */
static bool same_key(const struct client_range *ranges, uint32_t i)
{
    return i > 0 && strcmp(ranges[i].key, ranges[i - 1].key) == 0;
}

uint32_t client_transfer(struct client *client, uint8_t op, const struct client_range *ranges,
                         uint32_t count)
{
    uint8_t body[BODY_MAX];
    struct bc_writer writer;
    struct bc_wire_transfer header = {
        .op = op, .deadline_ms = CLIENT_DEADLINE_MS, .entry_count = count};
    uint32_t index = 0;

    for (uint32_t i = 0; i < count; i++) {
        header.key_count += !same_key(ranges, i);
    }
    /* All objects are of one group: what is bad takes the others along. */
    header.tlv_len = op == BC_TRANSFER_PUSH ? (uint32_t)bc_tlv_group_len(header.key_count) : 0;
    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_transfer_header_encode(&writer, &header), 0);
    for (uint32_t i = 0; i < count; i++) {
        index += i > 0 && !same_key(ranges, i);
        struct bc_wire_entry entry = {.key_index = index,
                                      .memory_id = ranges[i].memory,
                                      .generation = 1,
                                      .memory_offset = ranges[i].memory_offset,
                                      .object_offset = ranges[i].object_offset,
                                      .length = ranges[i].len};
        assert_int_equal(bc_transfer_entry_encode(&writer, &entry), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct bc_key_desc key = {
            .wire = {.object_size = op == BC_TRANSFER_PUSH ? ranges[i].object_size : 0},
            .key = {(const uint8_t *)ranges[i].key, strlen(ranges[i].key)},
        };
        if (!same_key(ranges, i)) {
            assert_int_equal(bc_transfer_key_encode(&writer, &key), 0);
        }
    }
    if (op == BC_TRANSFER_PUSH) {
        assert_int_equal(bc_tlv_group_begin(&writer, header.key_count), 0);
        for (uint32_t i = 0; i < header.key_count; i++) {
            bc_writer_u64(&writer, 1);
        }
    }
    return finish(client, &writer, BC_MSG_TRANSFER, BC_MSG_COMPLETION, count, body);
}

uint32_t client_keys(struct client *client, uint8_t type, const char *const *keys, uint32_t count)
{
    struct bc_bytes bytes[CLIENT_RESULTS_MAX];
    uint8_t body[BODY_MAX];
    struct bc_writer writer;

    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = (struct bc_bytes){(const uint8_t *)keys[i], strlen(keys[i])};
    }
    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_keys_encode(&writer, bytes, count), 0);
    return finish(client, &writer, type,
                  type == BC_MSG_QUERY ? BC_MSG_QUERY_RESULT : BC_MSG_REMOVE_RESULT, count, body);
}

void client_cancel(struct client *client, uint32_t id)
{
    uint8_t body[16];
    struct bc_writer writer;

    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_cancel_encode(&writer, id), 0);
    (void)finish(client, &writer, BC_MSG_CANCEL, 0, 0, body);
}

void client_goodbye(struct client *client)
{
    (void)client_send(client, BC_MSG_GOODBYE, 0, 0, NULL, 0);
}
