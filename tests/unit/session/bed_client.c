/* SPDX-License-Identifier: Apache-2.0 */
/* bed_client.c - clients of the bed: connecting, sending and receiving, and the messages that tests use. */
#include "bed.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testlib/asked_pair.h"
#include "testlib/pair.h"

/* ---- clients -------------------------------------------------------------------------------- */

struct adoption {
    struct bc_mail mail;
    struct bed_worker *worker;
    struct bc_conn *conn;
};

#ifdef BED_ASKED
static int open_pair(struct bc_conn **conn_out, int *fd_out)
{
    return bc_asked_pair_open(conn_out, fd_out);
}

static const struct bc_transport_ops *take_over(struct bed_worker *worker, struct bc_conn *conn)
{
    bc_asked_pair_adopt(worker->poll.engine, conn);
    return bc_transport_asked_pair();
}
#else
static int open_pair(struct bc_conn **conn_out, int *fd_out)
{
    return bc_pair_open(conn_out, fd_out);
}

static const struct bc_transport_ops *take_over(struct bed_worker *worker, struct bc_conn *conn)
{
    (void)worker;
    (void)conn;
    return bc_transport_pair();
}
#endif

static void adopt(struct bc_mail *mail)
{
    struct adoption *adoption = BC_CONTAINER_OF(mail, struct adoption, mail);
    bc_sessions_adopt(adoption->worker->worker.sessions,
                      take_over(adoption->worker, adoption->conn), adoption->conn);
    free(adoption);
}

void bed_connect(struct bed *bed, uint32_t worker, struct bed_client *client)
{
    memset(client, 0, sizeof(*client));
    client->bed = bed;
    assert_int_equal(bc_channel_create(NULL, &client->channel), 0);
    struct adoption *adoption = calloc(1, sizeof(*adoption));
    adoption->mail.deliver = adopt;
    adoption->worker = &bed->workers[worker];
    assert_int_equal(open_pair(&adoption->conn, &client->fd), 0);
    bc_loop_send(bed->workers[worker].worker.loop, &adoption->mail);
    if (!bed->options.threads) {
        bed_turn(bed);
    }
}

void bed_open(struct bed *bed, uint32_t worker, struct bed_client *client)
{
    bed_connect(bed, worker, client);
    bed_hello(client);
    bed_expect(client, BC_MSG_HELLO_ACK, 1);
}

void bed_close(struct bed_client *client)
{
    close(client->fd);
    bc_channel_destroy(client->channel);
    client->channel = NULL;
}

/* A turn, or a short wait, until the socket has room or data; false when the time is over. */
static bool wait_a_little(struct bed_client *client, short events, uint32_t *rounds)
{
    if (client->bed->options.threads) {
        struct pollfd poller = {.fd = client->fd, .events = events};
        return (*rounds)++ == 0 && poll(&poller, 1, BED_DEADLINE_MS) == 1;
    }
    bed_turn(client->bed);
    return (*rounds)++ < BED_MESSAGE_TURNS;
}

size_t bed_send_some(struct bed_client *client, const void *data, size_t len)
{
    ssize_t sent = send(client->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? 0 : (size_t)sent;
}

void bed_send_raw(struct bed_client *client, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint32_t rounds = 0;
    while (len > 0) {
        ssize_t sent = send(client->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) {
            return; /* the agent closed: the test sees it when it reads */
        }
        if (sent < 0) {
            assert_true(wait_a_little(client, POLLOUT, &rounds));
            continue;
        }
        rounds = 0;
        at += sent;
        len -= (size_t)sent;
    }
}

void bed_send(struct bed_client *client, uint8_t type, uint64_t id, const void *body, size_t len)
{
    const uint8_t *data;
    assert_int_equal(bc_channel_send(client->channel, type, id, body, len), 0);
    while (bc_channel_out_peek(client->channel, &data, &len)) {
        bed_send_raw(client, data, len);
        bc_channel_out_consume(client->channel, len);
    }
}

bool bed_receive(struct bed_client *client, struct bc_message *message_out)
{
    uint32_t rounds = 0;
    for (;;) {
        int rc = bc_channel_next(client->channel, message_out);
        assert_true(rc >= 0);
        if (rc == 1) {
            return true;
        }
        uint8_t *space;
        size_t len;
        assert_int_equal(bc_channel_in_space(client->channel, &space, &len), 0);
        ssize_t got = recv(client->fd, space, len, MSG_DONTWAIT);
        bc_channel_in_commit(client->channel, got > 0 ? (size_t)got : 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            client->closed = true;
            return false;
        }
        if (got > 0) {
            rounds = 0;
        } else if (!wait_a_little(client, POLLIN, &rounds)) {
            return false;
        }
    }
}

struct bc_message bed_expect(struct bed_client *client, uint8_t type, uint64_t id)
{
    struct bc_message message;
    assert_true(bed_receive(client, &message));
    assert_string_equal(bc_message_type_name(message.type), bc_message_type_name(type));
    assert_int_equal(message.request_id, id);
    return message;
}

void bed_expect_silence(struct bed_client *client, uint32_t turns)
{
    uint8_t byte;
    bed_turns(client->bed, turns);
    assert_int_equal(recv(client->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
}

void bed_expect_closed(struct bed_client *client)
{
    struct bc_message message;
    assert_false(bed_receive(client, &message));
    assert_true(client->closed);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void finish_and_send(struct bed_client *client, struct bc_writer *writer, uint8_t type,
                            uint64_t request, const void *body)
{
    size_t len = 0;
    assert_int_equal(bc_writer_finish(writer, &len), 0);
    bed_send(client, type, request, body, len);
}

void bed_hello(struct bed_client *client)
{
    uint8_t body[256];
    struct bc_writer writer;
    struct bc_hello hello = {
        .wire = {.version_min = BC_WIRE_VERSION, .version_max = BC_WIRE_VERSION, .name_len = 3},
        .name = {(const uint8_t *)"bed", 3},
    };
    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_hello_encode(&writer, &hello), 0);
    finish_and_send(client, &writer, BC_MSG_HELLO, 1, body);
}

void bed_register(struct bed_client *client, uint64_t request, uint32_t id, uint64_t offset,
                  uint64_t len)
{
    uint8_t body[256];
    struct bc_writer writer;
    struct bc_memory_region region = {
        .magic = BC_MEMORY_REGION_MAGIC, .base = client->bed->memory + offset, .len = len};
    struct bc_memory_desc memory = {
        .wire = {.memory_id = id,
                 .generation = 1,
                 .kind = BC_MEMORY_PCI_EXPORT,
                 .access = BC_MEMORY_ACCESS_READ | BC_MEMORY_ACCESS_WRITE,
                 .desc_len = sizeof(region),
                 .length = len},
        .descriptor = {(const uint8_t *)&region, sizeof(region)},
    };
    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_list_begin_encode(&writer, 1), 0);
    assert_int_equal(bc_memory_encode(&writer, &memory), 0);
    finish_and_send(client, &writer, BC_MSG_REGISTER, request, body);
}

void bed_unregister(struct bed_client *client, uint64_t request, uint32_t id)
{
    uint8_t body[64];
    struct bc_writer writer;
    struct bc_wire_memory_name name = {.memory_id = id, .generation = 1};
    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_unregister_encode(&writer, &name, 1), 0);
    finish_and_send(client, &writer, BC_MSG_UNREGISTER, request, body);
}

void bed_transfer(struct bed_client *client, uint64_t request, uint8_t op, uint32_t id,
                  uint32_t first, uint32_t count, uint64_t len, uint32_t deadline_ms)
{
    uint64_t group = op == BC_TRANSFER_PUSH ? client->bed->group : 0;
    size_t tlv_len = group != 0 ? bc_tlv_group_len(count) : 0;
    size_t room = bc_transfer_body_len(count, count, count * 16, tlv_len);
    uint8_t *body = malloc(room);
    struct bc_writer writer;
    struct bc_wire_transfer header = {.op = op,
                                      .deadline_ms = deadline_ms,
                                      .key_count = count,
                                      .entry_count = count,
                                      .tlv_len = (uint32_t)tlv_len};
    bc_writer_init(&writer, body, room);
    assert_int_equal(bc_transfer_header_encode(&writer, &header), 0);
    for (uint32_t i = 0; i < count; i++) {
        struct bc_wire_entry entry = {.key_index = i,
                                      .memory_id = id,
                                      .generation = 1,
                                      .memory_offset = i * len,
                                      .length = len};
        assert_int_equal(bc_transfer_entry_encode(&writer, &entry), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        int name_len = snprintf(name, sizeof(name), "k%u", first + i);
        struct bc_key_desc key = {
            .wire = {.object_size = op == BC_TRANSFER_PUSH ? len : 0},
            .key = {(const uint8_t *)name, (size_t)name_len},
        };
        assert_int_equal(bc_transfer_key_encode(&writer, &key), 0);
    }
    for (uint32_t i = 0; i < count && group != 0; i++) {
        if (i == 0) {
            assert_int_equal(bc_tlv_group_begin(&writer, count), 0);
        }
        bc_writer_u64(&writer, group);
    }
    finish_and_send(client, &writer, BC_MSG_TRANSFER, request, body);
    free(body);
}

void bed_query(struct bed_client *client, uint64_t request, uint8_t type, uint32_t first,
               uint32_t count)
{
    size_t room = sizeof(struct bc_wire_list) + (size_t)count * 18;
    uint8_t *body = malloc(room);
    struct bc_writer writer;
    bc_writer_init(&writer, body, room);
    assert_int_equal(bc_list_begin_encode(&writer, count), 0);
    for (uint32_t i = 0; i < count; i++) {
        char name[16];
        int name_len = snprintf(name, sizeof(name), "k%u", first + i);
        bc_writer_u16(&writer, (uint16_t)name_len);
        bc_writer_copy(&writer, name, (size_t)name_len);
    }
    finish_and_send(client, &writer, type, request, body);
    free(body);
}

void bed_cancel(struct bed_client *client, uint64_t target)
{
    uint8_t body[16];
    struct bc_writer writer;
    bc_writer_init(&writer, body, sizeof(body));
    assert_int_equal(bc_cancel_encode(&writer, target), 0);
    finish_and_send(client, &writer, BC_MSG_CANCEL, 0, body);
}

enum bc_status bed_completion(struct bed_client *client, uint64_t request)
{
    struct bc_message message = bed_expect(client, BC_MSG_COMPLETION, request);
    struct bc_completion completion;
    assert_int_equal(bc_completion_decode(message.body, message.body_len, &completion), 0);
    return (enum bc_status)completion.wire.status;
}

enum bc_status bed_status(const struct bc_message *message, uint32_t index)
{
    const uint8_t *statuses;
    uint32_t count;
    assert_int_equal(bc_statuses_decode(message->body, message->body_len, &statuses, &count), 0);
    assert_true(index < count);
    return (enum bc_status)bc_statuses_get(statuses, index);
}
